"""AlpacaEval's length gameability: how far a metric moves when a model is only told to be concise or verbose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.errors import NoData
from auditkit.stats.intervals import percentile_interval

__all__ = ["LengthGameability", "length_gameability"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LengthGameability:
    """In percent of a score, on the raw win rate's scale; 0: prompting for length changes nothing.

    The intervals resample the models, both those with variants and those whose dispersion sets the scale. With the six
    models of the published figure they are rough.
    """

    verbose: float
    verbose_ci: tuple[float, float]
    concise: float
    concise_ci: tuple[float, float]
    weight: float
    n: int
    level: float
    replicates: int
    seed: int


def length_gameability(
    base: ArrayLike,
    verbose: ArrayLike,
    concise: ArrayLike,
    board_metric: ArrayLike,
    board_win_rate: ArrayLike,
    *,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> LengthGameability:
    """Return the published figure, with an interval.

    ``100 * sd(win rate) / sd(metric) * mean over models of sd(base, variant) / mean(base, variant)``, the standard
    deviations with n - 1. The factor undoes that a metric may simply have a narrower scale than the win rate. The
    published code takes it over all models but the verbose variants, concise ones included; so does the caller that
    wants the published figure.

    Args:
        base: (m,) metric of each model without instruction on length.
        verbose: (m,) of the same models told to be verbose.
        concise: (m,) of the same models told to be concise.
        board_metric: (M,) metric of the models that set the scale.
        board_win_rate: (M,) raw win rate of these.
        level: Confidence level.
        replicates: Bootstrap replicates.
        seed: Of the bootstrap.

    Raises:
        NoData: No model has variants, or fewer than two set the scale, or these do not differ.
        ValueError: Shapes do not fit, a value is not finite, or a model's metric is not above 0.

    Source: Dubois et al., arXiv:2404.04475, section 4.2, and alpaca_eval's `notebooks/notebook_helpers.py`.
    """
    plain, longer, shorter = (np.asarray(a, dtype=np.float64) for a in (base, verbose, concise))
    metric, raw = np.asarray(board_metric, dtype=np.float64), np.asarray(board_win_rate, dtype=np.float64)
    if not (plain.shape == longer.shape == shorter.shape and metric.shape == raw.shape):
        raise ValueError(
            "each model needs a base, a verbose and a concise value, each of the board metric and win rate"
        )
    if not all(np.isfinite(a).all() for a in (plain, longer, shorter, metric, raw)):
        raise ValueError("metrics must be finite: leave models without them out")
    if not plain.size or metric.size < 2:
        raise NoData("no model was told to be concise and verbose, or fewer than two set the scale")
    if min(plain.min(), longer.min(), shorter.min()) <= 0.0:
        raise ValueError("a relative spread needs metrics above 0")
    if metric.std() == 0.0:
        raise NoData("all models have the same metric: its scale is unknown")
    spreads = np.stack([_spread(plain, longer), _spread(plain, shorter)])
    weight = raw.std(ddof=1) / metric.std(ddof=1)
    points = 100.0 * weight * spreads.mean(axis=1)

    rng = np.random.default_rng(seed)
    models = rng.integers(0, plain.size, (replicates, plain.size))
    board = rng.integers(0, metric.size, (replicates, metric.size))
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = raw[board].std(axis=1, ddof=1) / metric[board].std(axis=1, ddof=1)
        drawn = 100.0 * weights * spreads[:, models].mean(axis=2)
    return LengthGameability(
        verbose=float(points[0]),
        verbose_ci=percentile_interval(drawn[0], level),
        concise=float(points[1]),
        concise_ci=percentile_interval(drawn[1], level),
        weight=float(weight),
        n=plain.size,
        level=level,
        replicates=replicates,
        seed=seed,
    )


def _spread(base: Array, variant: Array) -> Array:
    """Return sd / mean of each pair."""
    return np.asarray(np.abs(base - variant) / np.sqrt(2.0) / ((base + variant) / 2.0))
