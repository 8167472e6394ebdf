"""Rank intervals: which places a model can hold, given how uncertain every difference is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

__all__ = ["Ranks", "independent_se", "opposed_se", "paired_se", "rank_intervals"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ranks:
    """Ranks of M models, best first. `lo` and `hi` bound each model's rank at `level`."""

    rank: NDArray[np.int64]
    lo: NDArray[np.int64]
    hi: NDArray[np.int64]
    level: float


def paired_se(outcomes: Array) -> Array:
    """Return the standard error of every difference of two means, paired on the prompts that both have.

    Args:
        outcomes: (M, n) mean outcome of each model on each prompt, NaN where it has none.

    Returns:
        (M, M) standard errors in the unit of `outcomes`; NaN where two models share fewer than two prompts.
    """
    valid = np.isfinite(outcomes)
    v = valid.astype(np.float64)
    x = np.where(valid, outcomes, 0.0)
    common = v @ v.T
    own = x @ v.T  # sum of row model over the prompts that both have
    squares = (x * x) @ v.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (own - own.T) / common
        variance = (squares + squares.T - 2.0 * (x @ x.T)) / common - mean * mean
        se = np.sqrt(np.maximum(variance, 0.0) / (common - 1.0))
    se[common < 2] = np.nan
    np.fill_diagonal(se, 0.0)
    return np.asarray(se)


def independent_se(se: Array) -> Array:
    """Return standard errors of all differences as if the M estimates were independent.

    Models judged on the same prompts are positively correlated, so these are too wide rather than too narrow.
    """
    return np.asarray(np.sqrt(se[:, None] ** 2 + se[None, :] ** 2))


def opposed_se(se: Array) -> Array:
    """Return standard errors of all differences that hold for any correlation of the M estimates.

    Where models meet each other, what one wins another loses: their estimates are negatively correlated, and errors
    as if they were independent would be too small (by a factor of 1.41 for two models).
    """
    total = se[:, None] + se[None, :]
    np.fill_diagonal(total, 0.0)
    return np.asarray(total)


def rank_intervals(estimates: Array, difference_se: Array, level: float = 0.95) -> Ranks:
    """Rank M estimates, highest first, with the ranks that their differences allow.

    A model is certainly above another when their difference exceeds its two-sided quantile, Bonferroni
    corrected for the M - 1 comparisons that one model's rank rests on. Ties share the better rank.

    Args:
        estimates: (M,) finite estimates.
        difference_se: (M, M) standard errors; NaN counts as infinitely uncertain.
        level: Confidence level of each model's interval.

    Returns:
        Ranks from 1 (best) to M. The interval of each model covers its true rank with probability `level`
        (Mohamad et al. 2022, simultaneous confidence intervals for ranks, here one model at a time).
    """
    count = len(estimates)
    z = norm.ppf(1.0 - (1.0 - level) / (2.0 * max(count - 1, 1)))
    ahead = estimates[None, :] - estimates[:, None]  # how far the column model is above the row model
    margin = z * np.where(np.isnan(difference_se), np.inf, difference_se)
    return Ranks(
        rank=1 + (ahead > 0).sum(axis=1),
        lo=1 + (ahead > margin).sum(axis=1),
        hi=count - (-ahead > margin).sum(axis=1),
        level=level,
    )
