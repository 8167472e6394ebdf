"""How well a benchmark tells models apart, and whether it agrees with a reference: figures over pairs of models.

Every figure is a mean over pairs (i < j) of models, or a rank correlation over models, and has an interval from a
bootstrap over the models: draw n of the n models with replacement, count each pair of different models as often as it
was drawn. The uncertainty of the scores themselves is already in the figures, through the models' intervals and
replicates; what the interval adds is that other models could have been on the board. With few models it is rough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.errors import NoData
from auditkit.stats.bootstrap import prompt_weights

__all__ = [
    "CLIP",
    "FEWEST_FOR_INTERVAL",
    "Estimate",
    "Resample",
    "central_intervals",
    "confident_agreement",
    "kendall",
    "log_loss",
    "overlapping",
    "pair_brier",
    "pair_confidence",
    "pair_order_agreement",
    "separability",
    "spearman",
    "tightness",
]

Array = NDArray[np.float64]
Pairs = NDArray[np.float64]

#: Probabilities are kept this far from 0 and 1 in the log loss (the spacing of floats at 1), as published.
CLIP: Final = float(np.finfo(np.float64).eps)
#: Fewer models than this give no interval.
FEWEST_FOR_INTERVAL: Final = 4


@dataclass(frozen=True)
class Estimate:
    """A figure over `n` models and `pairs` pairs of them. `ci` is None where the models are too few for one.

    `estimate` is None where the figure does not exist (no pair to average over, all scores tied).
    """

    estimate: float | None
    ci: tuple[float, float] | None
    n: int
    pairs: int


@dataclass(frozen=True)
class Resample:
    """Bootstrap draws of the models: `weights` (R, n), how often each model occurs in each draw."""

    weights: Array
    level: float

    @classmethod
    def draw(cls, n: int, replicates: int, level: float, seed: int) -> Resample:
        """Draw `replicates` resamples of `n` models.

        Raises:
            NoData: Fewer than two models.
            ValueError: `level` is not strictly between 0 and 1.
        """
        if n < 2:
            raise NoData(f"{n} models: a benchmark is judged by the pairs of models that it separates")
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
        return cls(prompt_weights(n, replicates, np.random.default_rng(seed)), level)

    def estimate(self, point: float, drawn: Array, pairs: int) -> Estimate:
        """Return the figure with the percentile interval of its draws (NaN: a draw on which it does not exist)."""
        n = self.weights.shape[1]
        finite = drawn[np.isfinite(drawn)]
        if not np.isfinite(point):
            return Estimate(None, None, n, pairs)
        if n < FEWEST_FOR_INTERVAL or finite.size < 0.9 * drawn.size:
            return Estimate(float(point), None, n, pairs)
        low, high = np.quantile(finite, [(1.0 - self.level) / 2.0, (1.0 + self.level) / 2.0])
        return Estimate(float(point), (float(low), float(high)), n, pairs)


def central_intervals(replicates: Sequence[ArrayLike], level: float) -> tuple[Array, Array]:
    """Return the lower and upper ends (n,) of the central `level` interval of each model's replicates.

    Raises:
        NoData: A model has no replicate.
        ValueError: `level` is not strictly between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    values = [np.asarray(r, dtype=np.float64).ravel() for r in replicates]
    if any(v.size == 0 for v in values):
        raise NoData("a model has no bootstrap replicate")
    ends = np.array([np.quantile(v, [(1.0 - level) / 2.0, (1.0 + level) / 2.0]) for v in values])
    return ends[:, 0], ends[:, 1]


def overlapping(lower: ArrayLike, upper: ArrayLike) -> NDArray[np.bool_]:
    """Return (n, n): do two models' intervals overlap, as separability counts it?

    Ordered by lower end, they do if the second begins strictly below the end of the first. So the single point of an
    anchored model (a baseline that is 50 by definition) overlaps with an interval that it lies in, unless it is its
    lower end.
    """
    low, high = _column(lower), _column(upper)
    first = _precedes(low, high)
    begins_below_end = low[None, :] < high[:, None]  # column model begins below the end of the row model
    found = np.where(first, begins_below_end, begins_below_end.T)
    np.fill_diagonal(found, False)
    return np.asarray(found)


def separability(lower: ArrayLike, upper: ArrayLike, resample: Resample) -> Estimate:
    """Return separability with confidence: the share of pairs whose intervals do not overlap, 0..1.

    The published notebook counts pairs with the very same two intervals once; here every pair counts.

    Args:
        lower: (n,) lower ends of the models' confidence intervals.
        upper: (n,) upper ends.
        resample: Draws of the n models.

    Source: Li et al., arXiv:2406.11939, section 4; arena-hard-auto's `benchmark_statistics.ipynb`.
    """
    return _pair_mean((~overlapping(lower, upper)).astype(np.float64), None, resample)


def confident_agreement(
    lower: ArrayLike, upper: ArrayLike, ref_lower: ArrayLike, ref_upper: ArrayLike, resample: Resample
) -> dict[str, Estimate]:
    """Return agreement with confidence by its three published definitions, which give three different numbers.

    - ``agreement_notebook``: over the pairs that the reference separates, 1 where the benchmark separates them in the
      same order, 0.5 where its intervals overlap, 0 where it reverses them; 0..1.
    - ``agreement_blog``: over the same pairs, +1, 0 and -1 (twice the former less 1); -1..1.
    - ``agreement_paper``: +1, 0 and -1 over all pairs, 0 where either side does not separate them; -1..1.

    Here two intervals overlap if they share more than a point, and the order is that of ``(lower, upper)``, as in the
    notebook: an anchored model's point is therefore separated from every interval.

    Args:
        lower: (n,) lower ends of the benchmark's intervals.
        upper: (n,) upper ends.
        ref_lower: (n,) lower ends of the reference's intervals, same models in the same order.
        ref_upper: (n,) upper ends.
        resample: Draws of the n models.

    Source: arena-hard-auto's `benchmark_statistics.ipynb` (notebook), lmsys.org/blog/2024-04-19-arena-hard (blog), Li et
    al., arXiv:2406.11939, section 4 (paper).
    """
    low, high, known_low, known_high = map(_column, (lower, upper, ref_lower, ref_upper))
    first, known = _precedes(low, high), _precedes(known_low, known_high)
    same = (first & known) | (first.T & known.T)
    vague, judged = _shared(low, high), ~_shared(known_low, known_high)
    sign = np.where(vague, 0.0, np.where(same, 1.0, -1.0))
    return {
        "agreement_notebook": _pair_mean((sign + 1.0) / 2.0, judged, resample),
        "agreement_blog": _pair_mean(sign, judged, resample),
        "agreement_paper": _pair_mean(np.where(judged, sign, 0.0), None, resample),
    }


def pair_order_agreement(scores: ArrayLike, reference: ArrayLike, resample: Resample) -> Estimate:
    """Return the share of pairs that both order the same way by score, whatever the intervals, 0..1; a tie counts 0."""
    x, y = _column(scores), _column(reference)
    return _pair_mean((_sign(x) * _sign(y) > 0).astype(np.float64), None, resample)


def pair_confidence(mean: ArrayLike, variance: ArrayLike) -> Pairs:
    """Return (n, n): the benchmark's probability that the row model is worse than the column model.

    ``Phi((mu_b - mu_a) / sqrt(var_a + var_b))`` from mean and variance (with n, not n - 1) of the replicates; 0.5 where
    both are known without error and equal.

    Source: arena-hard-auto's `benchmark_statistics.ipynb`.
    """
    from scipy.special import ndtr

    mu, var = _column(mean), _column(variance)
    ahead, sd = mu[None, :] - mu[:, None], np.sqrt(var[:, None] + var[None, :])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(sd > 0.0, ahead / sd, np.sign(ahead) * np.inf)
    return np.asarray(np.where(ahead == 0.0, 0.5, ndtr(z)))


def pair_brier(confidence: Pairs, reference: ArrayLike, resample: Resample) -> Estimate:
    """Return the pair-rank Brier score: mean squared error of `confidence` against the reference's order, 0..1.

    0.25 is what always saying 0.5 gets; a pair that the reference ties counts as half each way.

    Source: Li et al., arXiv:2406.11939, section 4.
    """
    return _pair_mean((confidence - _worse(reference)) ** 2, None, resample)


def log_loss(confidence: Pairs, reference: ArrayLike, resample: Resample) -> Estimate:
    """Return the mean log loss (nats) of `confidence` against the reference's order, probabilities clipped by `CLIP`.

    Pairs that are fully separated in the wrong order dominate it: each adds 36 nats, whatever the benchmark is like.
    """
    p, label = np.clip(confidence, CLIP, 1.0 - CLIP), _worse(reference)
    loss = -(label * np.log(p) + (1.0 - label) * np.log1p(-p))
    return _pair_mean((loss + loss.T) / 2.0, None, resample)


def kendall(scores: ArrayLike, reference: ArrayLike, resample: Resample) -> Estimate:
    """Return Kendall's tau-b of two scores of the same models, -1..1; None where one of them ties all models."""
    a, b = _sign(_column(scores)), _sign(_column(reference))
    weights = np.vstack([np.ones((1, len(a))), resample.weights])
    with np.errstate(divide="ignore", invalid="ignore"):
        tau = _sums(a * b, weights) / np.sqrt(_sums(a * a, weights) * _sums(b * b, weights))
    return resample.estimate(tau[0], tau[1:], _count(len(a)))


def spearman(scores: ArrayLike, reference: ArrayLike, resample: Resample) -> Estimate:
    """Return Spearman's rank correlation (ties share the mean rank), -1..1; None where one score ties all models."""
    x, y = _column(scores), _column(reference)
    weights = np.vstack([np.ones((1, len(x))), resample.weights])
    p, q = _ranks(x, weights), _ranks(y, weights)
    size = weights.sum(axis=1, keepdims=True)
    p -= (weights * p).sum(axis=1, keepdims=True) / size
    q -= (weights * q).sum(axis=1, keepdims=True) / size
    spread = np.sqrt((weights * p * p).sum(axis=1) * (weights * q * q).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.where(spread > 1e-9, (weights * p * q).sum(axis=1) / spread, np.nan)
    return resample.estimate(rho[0], rho[1:], _count(len(x)))


def tightness(
    scores: ArrayLike, widths: ArrayLike, other_scores: ArrayLike, other_widths: ArrayLike, resample: Resample
) -> Estimate:
    """Return how many times tighter the intervals of one board are than those of another, scales taken out.

    Each board's mean interval width is divided by the standard deviation (n - 1) of its scores over the same models;
    the figure is the other's ratio over this one's. Above 1: this board is tighter.

    Args:
        scores: (n,) scores on this board.
        widths: (n,) widths of its intervals.
        other_scores: (n,) scores of the same models on the other board.
        other_widths: (n,) widths of its intervals, at the same level.
        resample: Draws of the n models.
    """
    weights = np.vstack([np.ones((1, len(_column(scores)))), resample.weights])
    mine = _relative_width(_column(scores), _column(widths), weights)
    other = _relative_width(_column(other_scores), _column(other_widths), weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = other / mine
    return resample.estimate(factor[0], factor[1:], _count(weights.shape[1]))


def _relative_width(scores: Array, widths: Array, weights: Array) -> Array:
    size = weights.sum(axis=1)
    mean = weights @ scores / size
    variance = (weights * (scores[None, :] - mean[:, None]) ** 2).sum(axis=1) / (size - 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (weights @ widths / size) / np.sqrt(variance)
    return np.asarray(np.where(variance > 0.0, found, np.nan))


def _column(values: ArrayLike) -> Array:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1 or not np.isfinite(column).all():
        raise ValueError("one finite number a model is needed: leave models without one out")
    return column


def _precedes(low: Array, high: Array) -> NDArray[np.bool_]:
    """Return (n, n): is the row's ``(lower, upper)`` smaller than the column's?"""
    below = low[:, None] < low[None, :]
    return np.asarray(below | ((low[:, None] == low[None, :]) & (high[:, None] < high[None, :])))


def _shared(low: Array, high: Array) -> NDArray[np.bool_]:
    """Return (n, n): do two intervals share more than a point?"""
    return np.asarray(np.minimum(high[:, None], high[None, :]) > np.maximum(low[:, None], low[None, :]))


def _sign(values: Array) -> Pairs:
    return np.asarray(np.sign(values[:, None] - values[None, :]))


def _worse(reference: ArrayLike) -> Pairs:
    """Return (n, n): 1 where the row is worse than the column by the reference, 0.5 where they tie, else 0."""
    return (1.0 - _sign(_column(reference))) / 2.0


def _ranks(values: Array, weights: Array) -> Array:
    """Return each model's mean rank in every draw (R, n), up to a constant."""
    below = (values[None, :] < values[:, None]).astype(np.float64)
    equal = (values[None, :] == values[:, None]).astype(np.float64)
    return np.asarray(weights @ below.T + 0.5 * (weights @ equal.T))


def _sums(values: Pairs, weights: Array) -> Array:
    """Return, for every draw, the sum over pairs of different models of a symmetric (n, n) `values`."""
    off = values.copy()
    np.fill_diagonal(off, 0.0)
    return np.asarray(((weights @ off) * weights).sum(axis=1) / 2.0)


def _count(n: int) -> int:
    return n * (n - 1) // 2


def _pair_mean(values: Pairs, counted: NDArray[np.bool_] | None, resample: Resample) -> Estimate:
    """Return the mean of a symmetric (n, n) `values` over the pairs that are `counted` (None: all)."""
    n = len(values)
    if resample.weights.shape[1] != n:
        raise ValueError(f"draws of {resample.weights.shape[1]} models do not fit {n} models")
    mask = np.ones((n, n)) if counted is None else counted.astype(np.float64)
    weights = np.vstack([np.ones((1, n)), resample.weights])
    size = _sums(mask, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = _sums(values * mask, weights) / size
    return resample.estimate(mean[0], mean[1:], round(float(size[0])))
