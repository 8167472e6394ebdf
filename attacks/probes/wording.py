"""Sentences of probe results, in plain words."""

from __future__ import annotations

from auditkit.attacks.probes.protocol import Part
from auditkit.records import Interval

__all__ = ["between", "percent", "points", "spread"]


def points(value: float) -> str:
    """Return a share as points with its sign."""
    shown = f"{100 * value:+.1f}"
    return f"{'0.0' if shown in ('+0.0', '-0.0') else shown} points"


def percent(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.1f}%"


def spread(ci: Interval | None) -> str:
    """Return an interval of shares as points."""
    return "no interval" if ci is None else f"{100 * ci[0]:.1f} to {100 * ci[1]:.1f}"


def between(part: Part) -> str:
    """Return a figure in points with its interval."""
    return "not measured" if part.estimate is None else f"{points(part.estimate)} ({spread(part.ci)})"
