"""Uplift that survives the detectors: what an attack gains with the answers that are not flagged."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.errors import NoData
from auditkit.stats.uplift import paired_differences

__all__ = ["conformal_threshold", "enforced_differences", "passing_differences"]

Array = NDArray[np.float64]


def conformal_threshold(clean_scores: ArrayLike, rate: float = 0.01) -> float:
    """Return the threshold that a new clean submission's score exceeds with probability at most `rate`.

    The ``ceil((n + 1) (1 - rate))``-th smallest clean score; flag what is above it. Holds where clean submissions, old
    and new, are exchangeable, whatever the scores' distribution.

    Args:
        clean_scores: (n,) detector scores of clean submissions that did not shape the detector.
        rate: False-alarm rate, in 0..1.

    Raises:
        NoData: Too few clean submissions for that rate (99 for 0.01): the detector is uncalibrated.
        ValueError: The rate is outside 0..1 or a score is not finite.

    Source: Vovk, Gammerman and Shafer 2005, chapter 4 (inductive conformal); Bates et al., Annals of Statistics 51
    (2023) 149, section 2.
    """
    scores = np.asarray(clean_scores, dtype=np.float64).ravel()
    if not 0.0 < rate < 1.0:
        raise ValueError(f"rate must lie strictly between 0 and 1, got {rate}")
    if not np.isfinite(scores).all():
        raise ValueError("detector scores must be finite")
    place = math.ceil((scores.size + 1) * (1.0 - rate) - 1e-9)
    if place > scores.size:
        needed = math.ceil(1.0 / rate - 1.0 - 1e-9)
        raise NoData(f"{scores.size} clean submissions: a false-alarm rate of {rate:g} needs {needed}; uncalibrated")
    return float(np.sort(scores)[place - 1])


def passing_differences(
    clean: ArrayLike,
    attacked: ArrayLike,
    flagged: ArrayLike,
    *,
    gold: ArrayLike | None = None,
    removed: ArrayLike | None = None,
) -> Array:
    """Return ``(difference - gold change) * (not flagged)``: the uplift that counts only answers which pass.

    Hand the result to `auditkit.stats.uplift.suite_uplift`, with bounds -2..2 if `gold` is given. A flagged answer
    counts nothing here; `enforced_differences` scores it as a loss. The two agree for a null model, whose clean score
    is 0 by construction.

    Args:
        clean: Scores without attack, (n,) or (n, K), 0..1.
        attacked: Scores under attack (n, K), 0..1; NaN: not played.
        flagged: (n, K) whether a detector flags the attacked answer.
        gold: Change of the true value (n, K) in -1..1; None: 0, which is exact for null answers and a lower bound for
            attacks that only append.
        removed: (K,) whether a detector flags the whole submission, which is then removed: nothing of it passes.

    Returns:
        (n, K) differences; NaN: not played.

    Raises:
        ValueError: Shapes do not fit or a value is outside its range.
    """
    differences = paired_differences(clean, attacked)
    out = _out(differences, flagged, removed)
    if gold is not None:
        change = np.asarray(gold, dtype=np.float64).reshape(differences.shape)
        if not (np.abs(change) <= 1.0).all():
            raise ValueError("gold changes must lie in -1..1")
        differences = differences - change
    return np.where(out & ~np.isnan(differences), 0.0, differences)


def enforced_differences(
    clean: ArrayLike, attacked: ArrayLike, flagged: ArrayLike, *, removed: ArrayLike | None = None
) -> Array:
    """Return the differences on a leaderboard that scores flagged answers as losses.

    A flagged answer scores 0, so its difference is minus the clean score; a removed submission loses everything.
    Arguments and errors as for `passing_differences`. This is what the attacker would see, and may be below 0 where
    `passing_differences` is above.
    """
    before, after = np.asarray(clean, dtype=np.float64), np.asarray(attacked, dtype=np.float64)
    differences = paired_differences(before, after)
    out = _out(differences, flagged, removed)
    lost = paired_differences(before, np.zeros_like(differences))
    return np.where(out & ~np.isnan(differences), lost, differences)


def _out(differences: Array, flagged: ArrayLike, removed: ArrayLike | None) -> NDArray[np.bool_]:
    flags = np.asarray(flagged, dtype=np.bool_)
    flags = flags[:, None] if flags.ndim == 1 else flags
    if flags.shape != differences.shape:
        raise ValueError(f"{flags.shape} flags do not fit {differences.shape} differences")
    if removed is None:
        return flags
    whole = np.asarray(removed, dtype=np.bool_).ravel()
    if whole.shape != (differences.shape[1],):
        raise ValueError(f"{whole.size} removals do not fit {differences.shape[1]} attacks")
    return np.asarray(flags | whole)
