"""Agreement of two raters on the same items, with and without what chance gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.errors import NoData
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.intervals import cluster_mean, dense_codes, percentile_interval, wilson

__all__ = ["Agreement", "agreement"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How often two raters give the same rating.

    Attributes:
        share: Of items with the same rating, 0..1.
        ci: Cluster-robust by prompt; Wilson's over prompts where every prompt came out the same.
        kappa: Cohen's, -1..1: 0 is what their margins give by chance. None where both always give one rating.
        kappa_ci: Percentile interval of the prompt bootstrap; None where `kappa` is, or too few resamples have one.
        n: Items.
        prompts: Clusters.
    """

    share: float
    ci: tuple[float, float]
    kappa: float | None
    kappa_ci: tuple[float, float] | None
    n: int
    prompts: int


def agreement(
    first: ArrayLike,
    second: ArrayLike,
    prompts: ArrayLike,
    rng: np.random.Generator,
    *,
    replicates: int,
    level: float = 0.95,
) -> Agreement:
    """Measure the agreement of two raters.

    Args:
        first: Ratings of one rater (n,), any finite codes.
        second: Of the other, on the same items.
        prompts: Cluster of each item (n,).
        rng: For the bootstrap of the prompts.
        replicates: Resamples.
        level: Confidence level.

    Raises:
        NoData: Fewer than two prompts.

    Source: Cohen, Educational and Psychological Measurement 20 (1960) 37.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    codes = dense_codes(prompts)
    n_prompts = int(codes.max()) + 1 if codes.size else 0
    if n_prompts < 2:
        raise NoData(f"{n_prompts} shared prompts: agreement needs at least two")
    same = (a == b).astype(np.float64)
    mean = cluster_mean(same, codes, level=level)
    ci = (
        (max(mean.ci[0], 0.0), min(mean.ci[1], 1.0))
        if mean.se > 0
        else wilson(mean.estimate * n_prompts, n_prompts, level)
    )
    values, joint = np.unique(np.concatenate([a, b]), return_inverse=True)
    k = len(values)
    cell = joint[: len(a)] * k + joint[len(a) :]
    counts = np.bincount(codes * k * k + cell, minlength=n_prompts * k * k).reshape(n_prompts, k * k)
    weights = np.vstack([np.ones(n_prompts), prompt_weights(n_prompts, replicates, rng)])
    kappas = _kappa(np.asarray(weights @ counts, dtype=np.float64).reshape(-1, k, k))
    drawn = kappas[1:][np.isfinite(kappas[1:])]
    steady = bool(np.isfinite(kappas[0])) and len(drawn) >= 0.95 * replicates and len(drawn) > 1
    return Agreement(
        mean.estimate, ci, float(kappas[0]) if np.isfinite(kappas[0]) else None,
        percentile_interval(drawn, level) if steady else None, len(a), n_prompts,
    )  # fmt: skip


def _kappa(tables: Array) -> Array:
    """Return kappa of every table (R, k, k) of counts; NaN where chance alone gives full agreement."""
    share = tables / tables.sum(axis=(1, 2), keepdims=True)
    seen = np.trace(share, axis1=1, axis2=2)
    chance = (share.sum(axis=2) * share.sum(axis=1)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(chance < 1.0 - 1e-12, (seen - chance) / (1.0 - chance), np.nan))
