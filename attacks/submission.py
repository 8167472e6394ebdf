"""Which rows are submitted, and how often: omission, repetition, and the best of several selections (V-01 to V-03).

The answers stay as they are. The scores that the attacker has seen are one draw of the judge; what the selection is
worth is measured on another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from auditkit.attacks.protocol import Attack

__all__ = ["best_of_gain", "omission_gain"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Counts = np.ndarray[Any, np.dtype[np.int64]]
_DRAWS: Final = 20
_KEPT: Final = 0.8


def omission_gain(sd: float, share: float) -> float:
    """Return what leaving out the worst prompts adds to a mean: ``sd * phi(z) / (1 - share)`` with ``Phi(z) = share``.

    Args:
        sd: Standard deviation of the per-prompt outcome, 0..1, that the attacker can rank prompts by.
        share: Share of the prompts that is left out, 0 <= share < 1.

    Returns:
        The gain on the scale of the outcome, for normally distributed outcomes (the mean of a truncated normal).

    Raises:
        ValueError: `sd` is negative, or `share` outside [0, 1).
    """
    from statistics import NormalDist

    if sd < 0 or not 0 <= share < 1:
        raise ValueError("expected sd >= 0 and 0 <= share < 1")
    if share == 0:
        return 0.0
    normal = NormalDist()
    return sd * normal.pdf(normal.inv_cdf(share)) / (1 - share)


def best_of_gain(sd: float, n: int, k: int) -> float:
    """Return what publishing the best of `k` equal submissions adds by noise alone: ``sd / sqrt(n) * E[max of k]``.

    Args:
        sd: Standard deviation of the per-prompt outcome between submissions that are equally good, 0..1.
        n: Prompts, at least 1.
        k: Submissions, at least 1.

    Returns:
        The expected gain on the scale of the outcome, by the normal approximation.

    Raises:
        ValueError: An argument is out of range.
    """
    from scipy.special import ndtr

    if sd < 0 or n < 1 or k < 1:
        raise ValueError("expected sd >= 0, n >= 1 and k >= 1")
    if k == 1:
        return 0.0
    z = np.linspace(-12.0, 12.0, 24_001)
    density = k * np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * ndtr(z) ** (k - 1)
    return sd / math.sqrt(n) * float(np.trapezoid(z * density, z))


def _ranked(scores: Floats) -> Counts:
    """Return the rows from the worst to the best; a row without a score is the worst."""
    return np.argsort(np.nan_to_num(scores, nan=-1.0), kind="stable").astype(np.int64)


def _omit(share: float) -> Callable[[Floats, np.random.Generator], Counts]:
    def submit(scores: Floats, rng: np.random.Generator) -> Counts:
        counts = np.ones(len(scores), dtype=np.int64)
        counts[_ranked(scores)[: int(share * len(scores))]] = 0
        return counts

    return submit


def _repeat(share: float, times: int) -> Callable[[Floats, np.random.Generator], Counts]:
    def submit(scores: Floats, rng: np.random.Generator) -> Counts:
        counts = np.ones(len(scores), dtype=np.int64)
        best = _ranked(scores)[::-1][: int(share * len(scores))]
        counts[best] = times
        return counts

    return submit


def _best_of(scores: Floats, rng: np.random.Generator) -> Counts:
    n = len(scores)
    kept = max(1, round(_KEPT * n))
    if kept >= n:
        return np.ones(n, dtype=np.int64)
    drawn = np.argsort(rng.random((_DRAWS, n)), axis=1)[:, :kept]
    means = np.nan_to_num(scores, nan=0.0)[drawn].mean(axis=1)
    counts = np.zeros(n, dtype=np.int64)
    counts[drawn[int(np.argmax(means))]] = 1
    return counts


SUBMISSION_OMIT: Final = Attack(
    "submission-omit", "A tenth of the prompts left out", "submission", "V-01; this project",
    "Leaves out the tenth of the prompts on which the submission did worst.",
    "Accept complete submissions alone, and count a missing answer as lost.", "none", "nonpositive", submit=_omit(0.1),
    params={"share": 0.1},
)  # fmt: skip
SUBMISSION_DUPLICATE: Final = Attack(
    "submission-duplicate", "Easy prompts submitted twice", "submission", "V-02; this project",
    "Submits the tenth of the prompts on which it did best twice, so that they count double.",
    "Require every prompt exactly once, by its id and by the hash of its text.", "none", "nonpositive",
    submit=_repeat(0.1, 2), params={"share": 0.1, "times": 2},
)  # fmt: skip
SUBMISSION_BEST_OF: Final = Attack(
    "submission-best-of", "Best of twenty selections", "submission", "V-03; arXiv:2504.20879, section 3",
    "Draws twenty selections of four fifths of the prompts, and submits the one that scored best.",
    "Publish every submission of a lab, not its best, and score on prompts that it has not been scored on before.",
    "none", "nonpositive", submit=_best_of, params={"draws": _DRAWS, "kept": _KEPT},
)  # fmt: skip
