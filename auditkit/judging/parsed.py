"""What a completion said, as far as it could be read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from auditkit.judging.spec import Label
from auditkit.records import Order

__all__ = ["Parsed", "labelled", "scored", "unparsed"]

_NAN: Final = float("nan")


@dataclass(frozen=True)
class Parsed:
    """A verdict, or why there is none.

    Attributes:
        parsed: Is there a usable verdict?
        label: The label as the judge gave it, known or not; "" if none. A score as text where the verdict is one.
        outcome: Probability that the answer *shown first* wins (pairwise), or that the item holds (checklist,
            principles), 0..1; NaN without a verdict.
        score: The number on the judge's scale (single, criteria); NaN without one.
        weight: How often the game counts.
        reason: Why there is no verdict, or what to know about the one there is.
        low: With `high`, the interval that surely holds the outcome (or the score). Equal to it where it is exact;
            wider where a label was not among the listed log-probabilities.
        high: See `low`.
        retry: Is another attempt of any use?
        parts: Number by criterion.
    """

    parsed: bool
    label: str = ""
    outcome: float = _NAN
    score: float = _NAN
    weight: float = 1.0
    reason: str = ""
    low: float = _NAN
    high: float = _NAN
    retry: bool = False
    parts: tuple[tuple[str, float], ...] = ()

    @property
    def bound(self) -> bool:
        """Tell whether the outcome or score is the near end of an interval, not an exact figure."""
        return self.parsed and self.low != self.high

    def for_model(self, order: Order) -> float:
        """Return the outcome from the model's side (NaN if there is none)."""
        return 1.0 - self.outcome if order == "model_second" else self.outcome


def unparsed(reason: str, *, label: str = "", retry: bool = True) -> Parsed:
    """Return the record of a completion without a usable verdict."""
    return Parsed(False, label=label, reason=reason, retry=retry)


def labelled(label: str, table: Mapping[str, Label], *, retry: bool = True, reason: str = "") -> Parsed:
    """Return what a label means; a label that the judge does not know is no verdict."""
    known = table.get(label)
    if known is None:
        return unparsed(reason or f"unknown label {label[:40]!r}", label=label, retry=retry)
    x = known.outcome
    return Parsed(True, label, outcome=x, weight=known.weight, low=x, high=x)


def scored(value: float, text: str, scale: tuple[float, float] | None) -> Parsed:
    """Return a number as a verdict; outside `scale` (None: any finite number) it is none."""
    if not math.isfinite(value):
        return unparsed("the score is not a finite number", label=text)
    if scale is not None and not scale[0] <= value <= scale[1]:
        return unparsed(f"score {text} outside {scale[0]:g} to {scale[1]:g}", label=text)
    return Parsed(True, text, score=value, low=value, high=value)
