"""Measures of the plain verdicts alone: are they stable, do they use the scale, are they right as often as they say?

Sources: Shi et al. 2024, arXiv:2406.07791 (repetition stability); Stureborg et al. 2024, arXiv:2405.01724 (scale use).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from auditkit.attacks.probes.edited import unmeasured
from auditkit.attacks.probes.estimates import compared, mean_of, share_of, verdicts
from auditkit.attacks.probes.places import slot_frame
from auditkit.attacks.probes.protocol import CLEAN, Array, Outcomes, Part, Probe, ProbeResult
from auditkit.attacks.probes.wording import percent, spread
from auditkit.errors import NoData
from auditkit.stats.intervals import percentile_interval

__all__ = ["calibrated", "repeated", "scale_used"]

_RESAMPLES: Final = 2000
_BINS: Final = 10


# --- asking again ---------------------------------------------------------------------------------------------------


def repeated(probe: Probe, outcomes: Outcomes) -> ProbeResult:
    """Measure how stable verdicts are when the same is asked again: this is the noise that other probes subtract.

    The statistic is the repetition stability: the mean share of draws that give a game's most frequent verdict.
    """
    statistic = "repetition stability (RS)"
    values = outcomes.outcome[CLEAN]
    drawn = np.isfinite(values).sum(axis=2)
    codes, level = outcomes.codes, outcomes.level
    if (drawn >= 2).any(axis=1).sum() < 2:
        return unmeasured(probe, statistic, "fewer than two items have two verdicts")
    seen = verdicts(values, outcomes.pairwise)
    counts = (seen[:, :, :, None] == seen[:, :, None, :]).sum(axis=3).max(axis=2)
    modal = np.where(drawn >= 2, counts / np.maximum(drawn, 1), np.nan)
    stability = mean_of(modal, codes, level, bounds=(0.0, 1.0))
    kept = verdicts(values[:, :, 0], outcomes.pairwise) == verdicts(values[:, :, 1], outcomes.pairwise)
    flipped = np.where(np.isfinite(values[:, :, :2]).all(axis=2), 1.0 - kept, np.nan)
    flip = share_of(flipped, codes, level, "flips between two draws")
    correlation, deviation = _variance_parts(values)
    parts = (
        flip,
        Part("intraclass correlation ICC(1)", correlation, None, int((drawn >= 2).sum()),
             note="" if correlation is not None else "not defined: all verdicts are alike"),
        Part("standard deviation of one draw", deviation, None, int((drawn >= 2).sum())),
    )  # fmt: skip
    sentence = (
        f"Asked again, the judge gives another verdict in {percent(flip.estimate or 0.0)} of the games "
        f"({spread(flip.ci)} points): differences below that are its own noise."
    )
    return ProbeResult(
        probe.id, statistic, stability.estimate, stability.ci, int((drawn >= 2).any(axis=1).sum()), parts=parts,
        sentence=sentence, mend=probe.mend if (flip.ci or (0.0,))[0] > 0.05 else "",
    )  # fmt: skip


def _variance_parts(values: Array) -> tuple[float | None, float | None]:
    """Return ICC(1) and the within-game standard deviation, over games with all draws."""
    flat = values.reshape(-1, values.shape[2])
    flat = flat[np.isfinite(flat).all(axis=1)]
    n, k = flat.shape
    if n < 2 or k < 2:
        return None, None
    means = flat.mean(axis=1)
    across = k * float(means.var(ddof=1))
    within = float(flat.var(axis=1, ddof=1).mean())
    total = across + (k - 1) * within
    return ((across - within) / total if total > 0.0 else None), math.sqrt(within)


# --- scale use ------------------------------------------------------------------------------------------------------


def scale_used(probe: Probe, outcomes: Outcomes) -> ProbeResult:
    """Measure how much of its scale a judge uses.

    The statistic is the entropy of its ratings over that of a scale used evenly, 0..1 (whole numbers only); the interval
    is a bootstrap over prompts.
    """
    statistic = "entropy of the ratings (0..1)"
    low, high = outcomes.scale or (0.0, 1.0)
    ratings = low + (high - low) * outcomes.games(CLEAN)
    known = np.isfinite(ratings).any(axis=1)
    if known.sum() < 2:
        return unmeasured(probe, statistic, "fewer than two answers have a rating")
    steps = round(high - low) + 1
    placed = np.clip(np.round(ratings[known, 0] - low), 0, steps - 1).astype(np.intp)
    table = np.zeros((len(placed), steps))
    table[np.arange(len(placed)), placed] = 1.0
    rng = np.random.default_rng(outcomes.seed)
    drawn = rng.multinomial(len(placed), np.full(len(placed), 1 / len(placed)), size=_RESAMPLES) @ table
    estimate = float(_entropy(table.sum(axis=0)[None, :])[0])
    ci = percentile_interval(_entropy(drawn), outcomes.level)
    used = table.mean(axis=0)
    rated = low + np.arange(steps)
    fives = np.isin(np.round(rated), np.round(rated[np.round(rated) % 5 == 0]))
    middle = np.abs((rated - low) / (high - low) - 0.5) <= 0.25
    codes, level = outcomes.codes[known], outcomes.level
    top = int(used.argmax())
    parts = (
        share_of(table[:, [top]], codes, level, f"share of the most frequent rating ({rated[top]:g})"),
        share_of(table[:, fives].sum(axis=1, keepdims=True), codes, level, "share at multiples of five"),
        share_of(table[:, middle].sum(axis=1, keepdims=True), codes, level, "share in the middle half of the scale"),
        Part("ratings in use", float((used > 0).sum()), None, len(placed), note=f"of {steps}"),
    )
    sentence = (
        f"It uses {int((used > 0).sum())} of {steps} ratings; {percent(float(used[top]))} of the answers get "
        f"{rated[top]:g}."
    )
    crowded = used[top] > 0.5
    return ProbeResult(
        probe.id, statistic, estimate, ci, len(placed), parts=parts, sentence=sentence,
        mend=probe.mend if crowded else "",
    )  # fmt: skip


def _entropy(counts: Array) -> Array:
    share = counts / counts.sum(axis=1, keepdims=True)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    entropy: Array = -(share * logs).sum(axis=1) / math.log(counts.shape[1])
    return entropy


# --- calibration ----------------------------------------------------------------------------------------------------


def calibrated(probe: Probe, outcomes: Outcomes) -> ProbeResult:
    """Measure whether a judge that gives probabilities is right as often as it says.

    The statistic is the Brier score of "the answer shown first wins" against the known answer (0 best, 0.25 for one that
    always says a half); its control is what the judge's probabilities would get if they were right, ``mean p (1 - p)``,
    so that the difference is miscalibration. Interval and p-value by prompt.
    """
    statistic = "Brier score"
    shown = slot_frame(outcomes, outcomes.games(CLEAN))
    gold = slot_frame(outcomes, np.repeat(outcomes.gold[:, None], len(outcomes.orders), axis=1))
    loss, promised = (shown - gold) ** 2, np.where(np.isfinite(gold), shown * (1.0 - shown), np.nan)
    try:
        found = compared(loss, promised, outcomes.codes, outcomes.level, shares=False, exact=False)
    except NoData as error:
        return unmeasured(probe, statistic, str(error))
    known = np.isfinite(loss)
    p, y = shown[known], gold[known]
    parts = (
        Part("expected calibration error (ECE)", _ece(p, y), None, int(known.sum()), note=f"{_BINS} bins of equal width"),
        Part("mean confidence", float(np.maximum(p, 1 - p).mean()), None, int(known.sum())),
        share_of(np.where(known, 0.5 + 0.5 * np.sign(shown - 0.5) * np.where(gold > 0.5, 1, -1), np.nan),
                 outcomes.codes, outcomes.level, "accuracy"),
    )  # fmt: skip
    off = (found.difference.estimate or 0.0) > 0
    confident = f"{percent(parts[1].estimate or 0.0)} sure and right in {percent(parts[2].estimate or 0.0)}"
    significant = found.p_value is not None and found.p_value < 1.0 - outcomes.level
    says = "too sure" if off else "less sure than it could be"
    sentence = f"On average it is {confident} of the games" + (f": {says}." if significant else ".")
    return ProbeResult(
        probe.id, statistic, found.estimate.estimate, found.estimate.ci, found.n, found.control.estimate,
        found.control.ci, "promised", found.difference.estimate, found.difference.ci, found.p_value, parts, sentence,
        probe.mend,
    )  # fmt: skip


def _ece(p: Array, y: Array) -> float:
    bins = np.minimum((p * _BINS).astype(np.intp), _BINS - 1)
    count = np.bincount(bins, minlength=_BINS)
    gaps = np.abs(np.bincount(bins, weights=p - y, minlength=_BINS))
    return float(gaps.sum() / count.sum())
