"""Choosing the best of n by a proxy: how far it moves, what it seems to gain, what it gains.

The proxy is the judge that chose (or any score an attacker climbs); gold is what nobody chose by: another judge, a
checkable answer, a person. Under the proxy the best of more answers is always better; under gold it may turn.

Source: Gao et al. 2023 (arXiv 2210.10760), section 3 and appendix on the unbiased estimator; the catalogue, A.6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.errors import NoData
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.intervals import normal_interval, percentile_interval

__all__ = ["BestOfN", "best_of_n", "expected_max", "kl_best_of_n"]

_Floats = NDArray[np.float64]


def kl_best_of_n(n: ArrayLike) -> _Floats:
    """Return the divergence (nats) of best-of-n from the model that it samples: ``log n - (n - 1) / n``.

    Exact where no two answers tie, an upper bound else.

    Args:
        n: Answers sampled, whole numbers from 1, any shape.
    """
    size = np.asarray(n, dtype=np.float64)
    if np.any(size < 1):
        raise ValueError("best of n needs n of at least 1")
    return np.asarray(np.log(size) - (size - 1) / size, dtype=np.float64)


def expected_max(n: ArrayLike) -> _Floats:
    """Return the mean of the largest of n standard normal draws, by quadrature to 1e-6.

    A proxy that correlates with gold by rho, both standard normal, gains this under the proxy, and rho times this under
    gold. It is also what the luckiest of n equal candidates gains by noise alone, in standard errors.

    Args:
        n: Whole numbers from 1 to 100,000, any shape.
    """
    from scipy.special import log_ndtr

    size = np.asarray(n, dtype=np.float64)
    if np.any((size < 1) | (size > 100_000)):
        raise ValueError("n must lie between 1 and 100,000")
    x = np.linspace(-9.0, 9.0, 7_201)
    # E[max] = integral of x n phi(x) Phi(x)^(n-1)
    density = np.exp(
        np.log(size)[..., None] + (size[..., None] - 1) * log_ndtr(x) - 0.5 * x**2 - 0.5 * math.log(2 * math.pi)
    )
    return np.asarray(np.trapezoid(x * density, x, axis=-1), dtype=np.float64)


@dataclass(frozen=True)
class BestOfN:
    """Curves over n = 1 … N; every array has shape (N,), in the unit of the scores, and is a mean over prompts.

    Attributes:
        n: Answers to choose from.
        kl: Divergence from sampling once (nats).
        proxy: Proxy score of the answer that the proxy chose.
        gold: Gold score of the same answer.
        oracle: Gold score of the answer that gold would have chosen.
        gold_low: With `gold_high`, its interval over prompts.
        gold_high: See `gold_low`.
        gap: Judge-overfit gap: proxy minus gold, less the same at n = 1.
        gap_low: With `gap_high`, its interval over prompts.
        gap_high: See `gap_low`.
        recovery: Share of the oracle's gain that is reached at n = N; NaN where there is nothing to gain.
        within: Mean over prompts of the correlation of proxy and gold among a prompt's answers; NaN where none varies.
        knee: n at which gold is largest: what is sampled beyond it makes answers worse.
        knee_low: With `knee_high`, its percentile interval over resampled prompts.
        knee_high: See `knee_low`.
        prompts: Prompts.
        level: Confidence level.
        seed: Of the resampling.
    """

    n: NDArray[np.int64]
    kl: _Floats
    proxy: _Floats
    gold: _Floats
    oracle: _Floats
    gold_low: _Floats
    gold_high: _Floats
    gap: _Floats
    gap_low: _Floats
    gap_high: _Floats
    recovery: float
    within: float
    knee: int
    knee_low: int
    knee_high: int
    prompts: int
    level: float
    seed: int


def best_of_n(
    proxy: ArrayLike, gold: ArrayLike, *, level: float = 0.95, replicates: int = 1000, seed: int = 0
) -> BestOfN:
    """Return how proxy and gold go with n, from N scored answers to each prompt.

    For each n the mean over all subsets of n of a prompt's N answers is computed exactly, so that no draw is left in it:
    the answer of rank r (from 1, by the proxy) is the best of n in C(r-1, n-1) of C(N, n) subsets. Of answers that tie
    under the proxy each is chosen equally often.

    Args:
        proxy: Scores of the judge that chooses, shape (prompts, N).
        gold: Scores that it does not see, same shape and, for the gap to mean anything, same scale.
        level: Confidence level of the intervals.
        replicates: Resamples of prompts for the knee.
        seed: Of the resampling.

    Raises:
        NoData: Fewer than two prompts, no answers, or a score that is not finite.
    """
    p, g = np.asarray(proxy, dtype=np.float64), np.asarray(gold, dtype=np.float64)
    if p.ndim != 2 or p.shape != g.shape:
        raise ValueError(f"proxy and gold must have one shape (prompts, answers), not {p.shape} and {g.shape}")
    prompts, most = p.shape
    if prompts < 2 or most < 1:
        raise NoData(f"best of n needs at least two prompts with answers, got {prompts} of {most}")
    if not (np.isfinite(p).all() and np.isfinite(g).all()):
        raise NoData("a score is not finite: leave the prompts out whose answers have no verdict")
    weights = _subset_weights(most)
    by_proxy = np.sort(p, axis=1) @ weights.T
    by_gold = _sorted_by(p, g) @ weights.T
    oracle = (np.sort(g, axis=1) @ weights.T).mean(axis=0)
    gap = (by_proxy - by_proxy[:, :1]) - (by_gold - by_gold[:, :1])
    mean_gold, mean_gap = by_gold.mean(axis=0), gap.mean(axis=0)
    gold_se, gap_se = (x.std(axis=0, ddof=1) / math.sqrt(prompts) for x in (by_gold, gap))
    knees = np.argmax(prompt_weights(prompts, replicates, np.random.default_rng(seed)) @ by_gold, axis=1) + 1
    low, high = percentile_interval(knees, level)
    reach = oracle[-1] - mean_gold[0]
    n = np.arange(1, most + 1)
    return BestOfN(
        n, kl_best_of_n(n), by_proxy.mean(axis=0), mean_gold, oracle,
        *_band(mean_gold, gold_se, level), mean_gap, *_band(mean_gap, gap_se, level),
        float((mean_gold[-1] - mean_gold[0]) / reach) if reach > 1e-12 else math.nan, _within(p, g),
        int(np.argmax(mean_gold)) + 1, math.floor(low), math.ceil(high), prompts, level, seed,
    )  # fmt: skip


def _subset_weights(most: int) -> _Floats:
    """Return P(rank r is the best of n), shape (most, most): rows n, columns ranks from the lowest."""
    from scipy.special import gammaln

    n, r = np.arange(1, most + 1)[:, None], np.arange(1, most + 1)[None, :]
    inside = r >= n

    def log_choose(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = gammaln(a + 1) - gammaln(b + 1) - gammaln(np.maximum(a - b, 0) + 1)
        return found

    log = log_choose(r - 1, n - 1) - log_choose(np.full_like(n, most), n)
    return np.where(inside, np.exp(np.where(inside, log, 0.0)), 0.0)


def _sorted_by(p: _Floats, g: _Floats) -> _Floats:
    """Return gold in the order of the proxy, the mean of a tie in place of each of its members."""
    order = np.argsort(p, axis=1, kind="stable")
    sorted_p, sorted_g = np.take_along_axis(p, order, axis=1), np.take_along_axis(g, order, axis=1)
    new = np.ones_like(sorted_p, dtype=bool)
    new[:, 1:] = sorted_p[:, 1:] != sorted_p[:, :-1]
    group = np.cumsum(new.ravel()) - 1  # a row's first answer always begins a group
    means = np.bincount(group, weights=sorted_g.ravel()) / np.bincount(group)
    return np.asarray(means[group].reshape(p.shape), dtype=np.float64)


def _band(mean: _Floats, se: _Floats, level: float) -> tuple[_Floats, _Floats]:
    ends = [normal_interval(float(m), float(s), level) for m, s in zip(mean, se, strict=True)]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])


def _within(p: _Floats, g: _Floats) -> float:
    a, b = p - p.mean(axis=1, keepdims=True), g - g.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    varies = scale > 1e-12
    return float(np.mean((a * b).sum(axis=1)[varies] / scale[varies])) if varies.any() else math.nan
