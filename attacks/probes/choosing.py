"""Which probes there are, which a judge and a set of items allow, and what is left after correction for their number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from auditkit.attacks.probes.protocol import Need, Probe, ProbeResult
from auditkit.errors import UsageError, printable
from auditkit.judging.spec import JudgeSpec
from auditkit.registry import plugins
from auditkit.stats.multiplicity import benjamini_hochberg

__all__ = ["applicable", "corrected", "known_probes", "turned"]


def known_probes() -> tuple[Probe, ...]:
    """Return the registered probes, ours and others', by id.

    Raises:
        UsageError: A plugin is no probe.
    """
    found = []
    for name, plugin in plugins("probes").items():
        probe = plugin.load()
        if not isinstance(probe, Probe):
            raise UsageError(f"probe {printable(name, 60)!r} of {plugin.distribution} is {type(probe).__name__}")
        found.append(probe)
    return tuple(found)


def applicable(
    probes: Iterable[Probe], judge: JudgeSpec, has: Collection[Need]
) -> tuple[tuple[Probe, ...], tuple[tuple[str, str], ...]]:
    """Split probes into those that can be played and ``(id, reason)`` of the others.

    Args:
        probes: The probes.
        judge: The judge.
        has: What (some) items have.
    """
    fit, left_out = [], []
    words = {
        "gold": "a known right answer", "opponent": "an answer to compare with", "author": "an author of its own family",
    }  # fmt: skip
    for probe in probes:
        missing = [words[need] for need in probe.needs if need not in has]
        if not probe.applies(judge):
            left_out.append((probe.id, f"makes no sense for judge {printable(judge.name, 60)}"))
        elif missing:
            left_out.append((probe.id, f"no item has {' and '.join(missing)}"))
        else:
            fit.append(probe)
    return tuple(fit), tuple(left_out)


def turned(own: str, opponent: str, gold: float) -> tuple[str, str] | None:
    """Return an item's answers with the wrong one first, as `Probe.turned` wants them; None where gold is not known."""
    if gold == 0.0:
        return own, opponent
    return (opponent, own) if gold == 1.0 else None


def corrected(results: Sequence[ProbeResult]) -> tuple[float | None, ...]:
    """Return the p-values adjusted for the number of probes (Benjamini and Hochberg): probes explore.

    Those below 0.1 stand out; of these a tenth is expected to be false. None where nothing was tested.
    """
    p_values = [np.nan if result.p_value is None else result.p_value for result in results]
    return tuple(None if np.isnan(p) else float(p) for p in benjamini_hochberg(p_values))
