"""Intervals for shares and means: exact, score, cluster-robust and bootstrap.

The unit of resampling is the cluster (in auditkit: the prompt), never the row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.errors import NoData

__all__ = [
    "Mean",
    "clopper_pearson",
    "cluster_mean",
    "normal_interval",
    "percentile_interval",
    "wilson",
]


@dataclass(frozen=True)
class Mean:
    """A weighted mean with its cluster-robust standard error and interval, in the unit of the values."""

    estimate: float
    se: float
    ci: tuple[float, float]
    n: int
    n_clusters: int


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval of a binomial share.

    Args:
        k: Successes, 0..n.
        n: Trials, at least 1.
        level: Confidence level.

    Returns:
        Lower and upper end, 0..1 (0 at k = 0 and 1 at k = n).

    Raises:
        NoData: `n` is 0.

    Source: Clopper and Pearson, Biometrika 26 (1934) 404.
    """
    from scipy.special import betaincinv

    _check_level(level)
    if n == 0:
        raise NoData("no trials: a share of nothing has no interval")
    if not 0 <= k <= n:
        raise ValueError(f"k must lie in 0..n, got {k} of {n}")
    tail = (1.0 - level) / 2.0
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 1.0 - tail))
    return low, high


def wilson(k: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a share; `k` and `n` may be fractional (weighted counts).

    Args:
        k: Successes, 0..n.
        n: Trials, above 0.
        level: Confidence level.

    Returns:
        Lower and upper end, 0..1.

    Raises:
        NoData: `n` is 0.

    Source: Wilson, JASA 22 (1927) 209.
    """
    _check_level(level)
    if n == 0:
        raise NoData("no trials: a share of nothing has no interval")
    if not 0 <= k <= n:
        raise ValueError(f"k must lie in 0..n, got {k} of {n}")
    z = _normal_quantile(level)
    share = k / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # rounding must not push the ends past the share at k = 0 or k = n
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def normal_interval(estimate: float, se: float, level: float = 0.95) -> tuple[float, float]:
    """Return ``estimate ± z * se`` with the standard normal quantile of `level`."""
    _check_level(level)
    half = _normal_quantile(level) * se
    return estimate - half, estimate + half


def percentile_interval(replicates: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Return the central `level` interval of bootstrap replicates.

    Args:
        replicates: One number a replicate; NaN marks a replicate on which the estimate does not exist
            and is left out (the caller counts and reports these).
        level: Confidence level.

    Raises:
        NoData: Fewer than two finite replicates.
    """
    _check_level(level)
    values = np.asarray(replicates, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if values.size < 2:
        raise NoData("fewer than two bootstrap replicates have an estimate")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def cluster_mean(values: ArrayLike, clusters: ArrayLike, weights: ArrayLike | None = None, level: float = 0.95) -> Mean:
    """Return the weighted mean with the cluster-robust (sandwich) standard error of a ratio estimator.

    ``m = sum(w y) / sum(w)`` and ``V = G/(G-1) * sum_g u_g^2 / (sum w)^2`` with ``u_g`` the sum over cluster g
    of ``w (y - m)``. With one row a cluster and equal weights this is the textbook ``sd(ddof=1)/sqrt(n)``.
    The interval takes Student's t with G - 1 degrees of freedom.

    Args:
        values: Outcomes (n,), finite.
        clusters: Integer cluster codes (n,), at least 0; gaps are allowed.
        weights: Row weights (n,), above 0; None: equal.
        level: Confidence level.

    Raises:
        NoData: Fewer than two clusters (no spread to estimate a standard error from).

    Source: Liang and Zeger, Biometrika 73 (1986) 13; Cameron and Miller, J. Human Resources 50 (2015) 317, eq. 11.
    """
    from scipy.special import stdtrit

    _check_level(level)
    y = np.asarray(values, dtype=np.float64)
    w = np.ones_like(y) if weights is None else np.asarray(weights, dtype=np.float64)
    if not np.isfinite(y).all():
        raise ValueError("values must be finite: drop and count missing ones before")
    codes = dense_codes(clusters)
    n_clusters = int(codes.max()) + 1 if codes.size else 0
    if n_clusters < 2:
        raise NoData(f"{n_clusters} prompts with a usable game: a standard error needs at least two")
    total = float(w.sum())
    mean = float((w * y).sum() / total)
    sums = np.bincount(codes, weights=w * (y - mean), minlength=n_clusters)
    se = math.sqrt(n_clusters / (n_clusters - 1) * float(sums @ sums)) / total
    half = float(stdtrit(n_clusters - 1, (1 + level) / 2)) * se
    return Mean(mean, se, (mean - half, mean + half), int(y.size), n_clusters)


def dense_codes(clusters: ArrayLike) -> NDArray[np.intp]:
    """Return the codes renumbered to 0..G-1 without gaps, in the order of the old ones."""
    codes = np.asarray(clusters)
    return np.unique(codes, return_inverse=True)[1].astype(np.intp, copy=False).ravel()


def _normal_quantile(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))
