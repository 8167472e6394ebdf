"""Which prompts tell models apart, and how few of them do as well as all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.errors import NoData

__all__ = [
    "FEWEST_MODELS", "FEWEST_TO_DISCRIMINATE", "Shrunk", "Subset", "best_minus_worst", "discrimination",
    "shrunk_discrimination", "silent_prompts", "smallest_subset",
]  # fmt: skip

Array = NDArray[np.float64]

#: Fewer models cannot be split into those that choose the prompts and those that verify the choice.
FEWEST_MODELS: Final = 8
#: A slope over fewer models is noise.
FEWEST_TO_DISCRIMINATE: Final = 5
_SIZES: Final = 24
_SPLITS: Final = 40


@dataclass(frozen=True)
class Subset:
    """The fewest prompts that keep separability, and what they keep on models that did not choose them.

    Attributes:
        size: Prompts needed; None: only all of them keep it within the bound.
        full: Separability with all prompts, mean over the verifying splits, 0..1.
        kept: The same with the chosen prompts.
        kept_ci: The central interval of `kept` less `full` over these splits.
        random: The same with as many prompts drawn at random.
        order: All prompts (row numbers), most informative first, by all models: the first `size` are the subset.
        splits: Splits that chose the size; as many others verified it.
    """

    size: int | None
    full: float
    kept: float | None
    kept_ci: tuple[float, float] | None
    random: float | None
    order: NDArray[np.intp]
    bound: float
    confidence: float
    level: float
    n_prompts: int
    n_models: int
    splits: int
    seed: int


def silent_prompts(outcomes: ArrayLike, tolerance: float = 1e-12) -> NDArray[np.bool_]:
    """Return (n,): prompts on which no two models' outcomes differ by more than `tolerance`; they separate nobody.

    A prompt that fewer than two models have an outcome for is silent, too.

    Args:
        outcomes: (n, M) mean outcome of each model on each prompt; NaN: none.
        tolerance: In the unit of the outcomes.
    """
    x = _table(outcomes)
    found = np.isfinite(x)
    low = np.where(found, x, np.inf).min(axis=1)
    high = np.where(found, x, -np.inf).max(axis=1)
    return np.asarray((found.sum(axis=1) < 2) | (high - low <= tolerance))


def discrimination(outcomes: ArrayLike) -> Array:
    """Return (n,): how far each prompt spreads the models in the order of their scores on all other prompts.

    The slope of the models' outcomes on the prompt on their mean outcome on the others: 1 is a prompt that spreads them
    as much as the score does, 0 tells nothing, below 0 it orders them the other way round. This is classical test
    theory's item discrimination, uncorrected for its own noise: with M models, a slope of a prompt with outcomes 0 and 1
    has a standard error of about ``0.5 / (sd of scores * sqrt(M))``.

    Args:
        outcomes: (n, M) as for `silent_prompts`.

    Returns:
        Slopes; NaN where fewer than two models have an outcome, or these have equal scores on the other prompts.

    Source: Lord and Novick, Statistical Theories of Mental Test Scores (1968), chapter 15 (the item is left out of the
    total).
    """
    return _slopes(_table(outcomes))[0]


def _slopes(x: Array) -> tuple[Array, Array, Array]:
    """Return each prompt's slope, the sum of squares of what it is a slope on, and that of its residuals."""
    found = np.isfinite(x)
    filled, mask = np.where(found, x, 0.0), found.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = (filled.sum(axis=0) - filled) / (mask.sum(axis=0) - mask)
        rest = np.where(found & np.isfinite(rest), rest, 0.0)
        size = mask.sum(axis=1, keepdims=True)
        centred = (rest - rest.sum(axis=1, keepdims=True) / size) * mask
        spread = (centred**2).sum(axis=1)
        slope = (centred * filled).sum(axis=1) / spread
        about = (filled - filled.sum(axis=1, keepdims=True) / size) * mask
    slope = np.where((mask.sum(axis=1) >= 2) & (spread > 1e-15), slope, np.nan)
    left = ((about - np.nan_to_num(slope)[:, None] * centred) ** 2).sum(axis=1)
    return np.asarray(slope), np.asarray(spread), np.asarray(left)


@dataclass(frozen=True)
class Shrunk:
    """Discrimination of single prompts, drawn to the mean of all as far as it is noise.

    Attributes:
        slope: (n,) as `discrimination`; NaN where fewer than `FEWEST_TO_DISCRIMINATE` models have an outcome.
        shrunk, sd: (n,) the posterior mean and standard deviation; NaN where not measured.
        models: (n,) models with an outcome.
        mean, between: Mean of the slopes, and the standard deviation that is not noise.
    """

    slope: Array
    shrunk: Array
    sd: Array
    models: NDArray[np.int64]
    mean: float
    between: float


def shrunk_discrimination(outcomes: ArrayLike) -> Shrunk:
    """Return every prompt's discrimination, shrunk: few judgments a prompt say little about that prompt alone.

    ``shrunk = mean + w (slope - mean)``, ``w = t^2 / (t^2 + v)``: v is the slope's sampling variance (residuals pooled
    over prompts), t^2 the variance of the slopes less the mean of v, at least 0, and `mean` is weighted by
    ``1 / (t^2 + v)``.

    Args:
        outcomes: (n, M) as for `silent_prompts`.

    Source: Morris, JASA 78 (1983) 47 (parametric empirical Bayes; t^2 by moments).
    """
    x = _table(outcomes)
    slope, spread, left = _slopes(x)
    models = np.isfinite(x).sum(axis=1)
    known = np.isfinite(slope) & (models >= FEWEST_TO_DISCRIMINATE)
    nothing = np.full(len(x), np.nan)
    slope = np.where(known, slope, np.nan)
    if not known.any():
        return Shrunk(slope, nothing, nothing, models, float("nan"), float("nan"))
    noise = float(left[known].sum() / (models[known] - 2).sum())
    with np.errstate(divide="ignore"):
        v = noise / spread
    own = slope[known]
    between = max(float(own.var(ddof=1)) - float(v[known].mean()), 0.0) if len(own) > 1 else 0.0
    weight = 1.0 / np.maximum(between + v[known], 1e-30)
    mean = float((weight * own).sum() / weight.sum())
    w = between / np.maximum(between + v, 1e-30)
    sd = np.sqrt(w * v)
    return Shrunk(
        slope, mean + w * (slope - mean), np.where(known, sd, np.nan), models, mean, float(np.sqrt(between))
    )  # fmt: skip


def best_minus_worst(outcomes: ArrayLike) -> Array:
    """Return (n,): the best outcome on each prompt less the worst, eva's signal of what is worth evolving.

    ``max_m u(x, m) - min_m u(x, m)``. The paper takes the rewards of several answers of one policy to a prompt; past
    judgments give the outcomes of several models. It grows with the models and with noise: prompts are to be ranked by
    it among those with as many models, not measured.

    Args:
        outcomes: (n, M) as for `silent_prompts`.

    Returns:
        From 0 up, in the unit of the outcomes; NaN where fewer than two models have one.

    Source: Ye et al., Scalable RL Post-Training Beyond Static Human Prompts: Evolving Alignment via Asymmetric
    Self-Play (arXiv 2411.00062), section on the informativeness proxy: the reward gap of best and worst response.
    """
    x = _table(outcomes)
    found = np.isfinite(x)
    gap = np.where(found, x, -np.inf).max(axis=1, initial=-np.inf) - np.where(found, x, np.inf).min(
        axis=1, initial=np.inf
    )
    return np.asarray(np.where(found.sum(axis=1) >= 2, gap, np.nan))


def smallest_subset(
    outcomes: ArrayLike,
    cost: ArrayLike | None = None,
    *,
    bound: float = 0.02,
    confidence: float = 0.95,
    level: float = 0.95,
    seed: int = 0,
) -> Subset:
    """Return the fewest prompts whose separability is at most `bound` below that of all, chosen and verified apart.

    Models are split in halves at random, many times. One half orders the prompts by discrimination per unit of cost;
    the other half, which had no part in that, says what separability the first k of them give. Half of the splits
    choose k, on the mean of these curves; the others report what k keeps. So neither the prompts nor k are judged by
    the models that chose them; the splits do share their models, so the interval is over splits, not over new models.

    Intervals of a score on k prompts are those of Agresti and Coull, with two outcomes at each end of the scale added:
    on a few prompts a model may have the same outcome throughout, which is not certainty.

    Args:
        outcomes: (n, M) as for `silent_prompts`.
        cost: (n,) cost of each prompt, above 0; None: the same.
        bound: Separability that may be lost, 0..1.
        confidence: Confidence level of the models' intervals.
        level: Level of the interval over splits.
        seed: Of the splits and of the random subsets.

    Raises:
        NoData: Fewer than `FEWEST_MODELS` models, or fewer than 4 prompts.
        ValueError: Shapes do not fit, or `bound` or a cost is out of range.

    Source: Agresti and Coull, The American Statistician 52 (1998) 119 (the interval).
    """
    x = _table(outcomes)
    n, models = x.shape
    price = np.ones(n) if cost is None else np.asarray(cost, dtype=np.float64)
    if price.shape != (n,) or not (np.isfinite(price).all() and (price > 0.0).all()):
        raise ValueError("one cost above 0 a prompt is needed")
    if not 0.0 <= bound < 1.0:
        raise ValueError(f"bound must lie in 0..1, got {bound}")
    if models < FEWEST_MODELS:
        raise NoData(
            f"{models} models: at least {FEWEST_MODELS} are needed to choose prompts on some and verify on others"
        )
    if n < 4:
        raise NoData(f"{n} prompts: there is no subset to choose")
    rng = np.random.default_rng(seed)
    ends = (float(np.nanmin(x)), float(np.nanmax(x)))
    sizes = np.unique(np.geomspace(min(10, n), n, _SIZES).round().astype(int))
    curves = np.empty((_SPLITS, len(sizes)))
    by_chance = np.empty_like(curves)
    for split in range(_SPLITS):
        mixed = rng.permutation(models)
        choosing, verifying = mixed[: models // 2], mixed[models // 2 :]
        curves[split] = _curve(x[np.ix_(_order(x[:, choosing], price), verifying)], sizes, confidence, ends)
        by_chance[split] = _curve(x[np.ix_(rng.permutation(n), verifying)], sizes, confidence, ends)
    half = _SPLITS // 2
    choose, verify = curves[:half].mean(axis=0), curves[half:]
    # The first from which on every larger size does, too: curves are noisy.
    enough = np.logical_and.accumulate((choose >= choose[-1] - bound)[::-1])[::-1]
    at = int(np.argmax(enough))
    full = float(verify[:, -1].mean())
    order = _order(x, price)
    if sizes[at] >= n:
        return Subset(None, full, None, None, None, order, bound, confidence, level, n, models, half, seed)
    lost = verify[:, at] - verify[:, -1]
    low, high = np.quantile(lost, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Subset(
        size=int(sizes[at]),
        full=full,
        kept=float(verify[:, at].mean()),
        kept_ci=(float(low), float(high)),
        random=float(by_chance[half:, at].mean()),
        order=order,
        bound=bound,
        confidence=confidence,
        level=level,
        n_prompts=n,
        n_models=models,
        splits=half,
        seed=seed,
    )


def _order(x: Array, price: Array) -> NDArray[np.intp]:
    """Return prompts by discrimination per cost, best first; those without a figure last, ties in their own order."""
    worth = discrimination(x) / price
    return np.argsort(np.where(np.isnan(worth), np.inf, -worth), kind="stable")


def _curve(x: Array, sizes: NDArray[np.int_], confidence: float, ends: tuple[float, float]) -> Array:
    """Return the separability of the first k prompts for every k of `sizes`; outcomes lie between `ends`."""
    from scipy.special import ndtri

    found = np.isfinite(x)
    filled = np.where(found, x, 0.0)
    count, total, squares = (np.cumsum(a, axis=0)[sizes - 1] for a in (found.astype(float), filled, filled * filled))
    count, total = count + 4.0, total + 2.0 * sum(ends)
    squares = squares + 2.0 * sum(end * end for end in ends)
    mean = total / count
    variance = np.maximum(squares / count - mean * mean, 0.0)
    half = float(ndtri((1.0 + confidence) / 2.0)) * np.sqrt(variance / count)
    apart = np.abs(mean[:, :, None] - mean[:, None, :]) >= half[:, :, None] + half[:, None, :]
    first, second = np.triu_indices(x.shape[1], 1)
    # Where all outcomes are the same no interval has a width, and nobody differs.
    differ = mean[:, first] != mean[:, second]
    return np.asarray((apart[:, first, second] & differ).mean(axis=1))


def _table(outcomes: ArrayLike) -> Array:
    x = np.asarray(outcomes, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"outcomes must be prompts by models, got {x.ndim} dimensions")
    return x
