"""Link the scores of two versions of a benchmark, and find anchors whose outcome moved more than the rest.

The design is that of test equating with common items (Kolen and Brennan, Test Equating, Scaling, and Linking, 3rd ed.
2014): some prompts, the anchors, are in both versions. Where models were judged on both versions they link the scales
by themselves (single group); where none were, the anchors do (chained linking), which must be a random sample of the
first version: no choice that looked at outcomes. Outcomes are prompts by models, NaN for none; the unit of resampling is
the prompt, and an anchor is drawn together in both versions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.errors import NoData
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.intervals import percentile_interval
from auditkit.stats.multiplicity import holm

__all__ = ["FEWEST_ANCHORS", "FEWEST_FOR_SLOPE", "Drift", "Link", "anchor_drift", "expected_link_se", "link_scores"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Pairs = NDArray[np.int64]

#: With fewer models the error of a slope costs more than the stretch that it mends: through the anchors it is noise, and
#: over a few models on both versions it is theirs alone, which no interval over prompts shows.
FEWEST_FOR_SLOPE: Final = 15
#: With fewer models on both versions the anchors link better than they do.
_FEWEST_SHARED: Final = 3
#: Fewer anchors neither link nor show which of them moved.
FEWEST_ANCHORS: Final = 10
_MAD: Final = 1.482602218505602
_SPREAD: Final = 1e-9


@dataclass(frozen=True)
class Link:
    """``score on the first version = intercept + slope * score on the second``; intervals are over prompts.

    Attributes:
        route: "models": models judged on both versions; "anchors": the prompts that are in both.
        method: "mean": shifted (slope 1); "mean_sigma": shifted and stretched.
        shift, shift_se, shift_ci: Mean of first minus second over the models that link: how much harder (above 0) the
            second version is, in the unit of the outcomes.
        slope, slope_ci: Of the line; 1 for "mean".
        intercept: Of the line.
        linked, linked_ci: (M2,) and (M2, 2): the second version's models on the first version's scale.
        own: (M2,) 0..1: how far each of them is moved from the line to where its own outcomes on the anchors put it.
        misfit: Root mean square of first minus linked over models judged on both; None: fewer than two.
        first_models, second_models: Models that link, of each version; the same number for the route "models".
        n_first, n_second, n_anchors: Prompts.
    """

    route: Literal["models", "anchors"]
    method: Literal["mean", "mean_sigma"]
    shift: float
    shift_se: float
    shift_ci: tuple[float, float]
    slope: float
    slope_ci: tuple[float, float]
    intercept: float
    linked: Array
    linked_ci: Array
    own: Array
    misfit: float | None
    first_models: int
    second_models: int
    n_first: int
    n_second: int
    n_anchors: int
    level: float
    replicates: int
    seed: int


def _weights(n: int, inside: NDArray[np.int64], common: Array, replicates: int, rng: np.random.Generator) -> Array:
    """Return (1 + replicates, n) weights of prompts: ones first, then draws; anchors get those of `common`."""
    weights = np.ones((replicates + 1, n))
    rest = np.setdiff1d(np.arange(n), inside)
    if rest.size:
        weights[1:, rest] = prompt_weights(rest.size, replicates, rng)
    weights[1:, inside] = common
    return weights


def _means(x: Array, weights: Array) -> Array:
    found = np.isfinite(x)
    if found.all():
        return np.asarray(weights @ x / weights.sum(axis=1, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(weights @ np.where(found, x, 0.0) / (weights @ found.astype(np.float64)))


def link_scores(
    first: ArrayLike,
    second: ArrayLike,
    anchors: ArrayLike,
    shared: ArrayLike,
    *,
    method: Literal["auto", "mean", "mean_sigma"] = "auto",
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> Link:
    """Put the second version's scores on the scale of the first.

    With at least three models on both versions (or too few anchors) those models link: ``mean`` takes the mean paired
    difference, ``mean_sigma`` also the ratio of the standard deviations. Otherwise the link is chained through the
    anchors: each version's models say how the anchors stand to the whole of their version. Where the same models with
    the same outcomes are on both versions, both routes are the same line.

    A line is the same for all models, but what is harder is not as much harder for each of them. With "auto", a model
    of the second version alone is moved from the line to its own mean on the anchors by ``1 - B``,
    ``B = (m - 2)/m * v/(v + t^2)``: v is the bootstrap variance of that distance, t^2 the variance of models about the
    line that is not noise, m the models that show it less the parameters of the line. So up to three models are linked
    by their own outcomes on the anchors, and many by the line if models do not differ in how hard the version is for
    them. The interval has the variance ``v (1 - B) + 2 B^2 distance^2 / (m - 2)`` of it.

    Args:
        first, second: (n1, M1) and (n2, M2) outcomes.
        anchors: (k, 2) rows of the prompts that are in both; a random sample of the first version's.
        shared: (s, 2) columns of the models that are in both.
        method: "auto": as above, "mean_sigma" where at least 15 models (of each version) link and the slope's interval
            excludes 1. "mean", "mean_sigma": the line alone.
        level: Of the intervals.
        replicates: Bootstrap draws of the prompts: of those of one version only, and of the anchors.
        seed: Of the draws.

    Raises:
        NoData: No model and fewer than `FEWEST_ANCHORS` prompts are in both, or a model has no outcome.

    Source: Kolen and Brennan (2014), sections 4.1 (mean and linear methods), 4.5 (chained linear); 2.2 (single group).
    Morris, JASA 78 (1983) 47, section 5 (B, and the variance, for unequal v; t^2 by moments).
    """
    x, y = (np.asarray(a, dtype=np.float64) for a in (first, second))
    rows, columns = (np.asarray(a, dtype=np.int64).reshape(-1, 2) for a in (anchors, shared))
    if len(columns) < _FEWEST_SHARED and len(rows) >= FEWEST_ANCHORS:
        route: Literal["models", "anchors"] = "anchors"
        models = (x.shape[1], y.shape[1])
    elif len(columns):
        route, models = "models", (len(columns), len(columns))
    else:
        raise NoData(
            f"the versions share no model and {len(rows)} prompts: judge a model on both, or at least {FEWEST_ANCHORS} "
            "anchors on each"
        )
    rng = np.random.default_rng(seed)
    common = prompt_weights(len(rows), replicates, rng) if len(rows) else np.zeros((replicates, 0))
    own = _weights(len(x), rows[:, 0], common, replicates, rng)
    other = _weights(len(y), rows[:, 1], common, replicates, rng)
    s1, s2 = _means(x, own), _means(y, other)
    if not (np.isfinite(s1[0]).all() and np.isfinite(s2[0]).all()):
        raise NoData("a model has no outcome on a version")
    if route == "models":
        b1, b2 = s1[:, columns[:, 0]], s2[:, columns[:, 1]]
        up, down = _ratio(b1, b2), np.ones(len(b1))
        shifts = (b1 - b2).mean(axis=1)
    else:
        b1, b2 = _means(x[rows[:, 0]], own[:, rows[:, 0]]), _means(y[rows[:, 1]], other[:, rows[:, 1]])
        if not (np.isfinite(b1[0]).all() and np.isfinite(b2[0]).all()):
            raise NoData("a model has no outcome on the anchors")
        up, down = _ratio(s1, b1), _ratio(b2, s2)
        shifts = (s1 - b1).mean(axis=1) - (s2 - b2).mean(axis=1)
    slope = up * down
    low, high = percentile_interval(slope[1:], level)
    stretch = method == "mean_sigma" or (
        method == "auto" and min(models) >= FEWEST_FOR_SLOPE and not low <= 1.0 <= high
    )  # fmt: skip
    if not stretch:
        up = down = slope = np.ones(len(slope))
    if route == "models":
        intercept = b1.mean(axis=1) - slope * b2.mean(axis=1)
    else:
        intercept = s1.mean(axis=1) + up * (b2.mean(axis=1) - down * s2.mean(axis=1) - b1.mean(axis=1))
    line = intercept[:, None] + slope[:, None] * s2
    linked, weight = line, np.zeros(y.shape[1])
    if method == "auto":
        # A model on both versions has its own score there: the line is for the others, and to be judged by it.
        alone = np.setdiff1d(np.arange(y.shape[1]), columns[:, 1] if route == "models" else [])
        far = np.full((len(line), len(alone)), np.nan)
        if len(rows) >= FEWEST_ANCHORS:
            there = _means(x[rows[:, 0]], own[:, rows[:, 0]])
            known = np.isfinite(there[0])
            here = _means(y[rows[:, 1]][:, alone], other[:, rows[:, 1]])
            whole, part = (a[:, known].mean(axis=1)[:, None] for a in (s1, there))
            far = whole + up[:, None] * (here - part) - line[:, alone]
        off = far if route == "anchors" else b1 - line[:, columns[:, 1]]
        weight[alone], more = _own_weight(far, off, 2 if stretch else 1)
        moved = np.where(np.isfinite(far), far, 0.0) * weight[alone]
        moved[1:] += np.sqrt(more) * rng.standard_normal((replicates, len(alone)))
        linked = line.copy()
        linked[:, alone] += moved
    draws = shifts[1:][np.isfinite(shifts[1:])]
    misfit = None
    if len(columns) >= 2:
        misfit = float(np.sqrt(((s1[0, columns[:, 0]] - linked[0, columns[:, 1]]) ** 2).mean()))
    return Link(
        route, "mean_sigma" if stretch else "mean", float(shifts[0]), float(draws.std(ddof=1)),
        percentile_interval(draws, level), float(slope[0]), percentile_interval(slope[1:], level), float(intercept[0]),
        linked[0], np.array([percentile_interval(linked[1:, m], level) for m in range(y.shape[1])]), weight, misfit,
        *models, len(x), len(y), len(rows), level, replicates, seed,
    )  # fmt: skip


def _own_weight(far: Array, off: Array, fitted: int) -> tuple[Array, Array]:
    """Return how far models are moved from the line, and the variance that is then to be added to the draws.

    Args:
        far: (1 + replicates, m) from the line to where a model's own outcomes on the anchors put it; NaN: none there.
        off: (1 + replicates, models that link) how far these are off the line.
        fitted: Parameters of the line.
    """
    free = off.shape[1] - fitted
    between = max(float((off[0] ** 2).sum() - _variance(off[1:]).sum()) / free, 0.0) if free > 0 else 0.0
    known = np.isfinite(far[0])
    distance = np.where(known, far[0], 0.0)
    noise = _variance(far[1:])
    total = noise + between
    back = max(free - 2, 0) / max(free, 1) * np.where(total > 0.0, noise / np.where(total > 0.0, total, 1.0), 1.0)
    weight = np.where(known, 1.0 - back, 0.0)
    more = weight * (1.0 - weight) * noise
    if free > 2:
        more = more + 2.0 * back**2 * distance**2 / (free - 2)
    return weight, np.asarray(np.where(known, more, between))


def _ratio(over: Array, under: Array) -> Array:
    """Return the ratio of standard deviations over models, replicate by replicate; 1 where there is no spread."""
    if min(over.shape[1], under.shape[1]) < 2:
        return np.ones(len(over))
    a, b = over.std(axis=1, ddof=1), under.std(axis=1, ddof=1)
    return np.asarray(np.where((a > _SPREAD) & (b > _SPREAD), a / np.where(b > _SPREAD, b, 1.0), 1.0))


def _variance(draws: Array) -> Array:
    """Return the variance of each column, of the draws that have a figure; 0 where there are none."""
    found = np.isfinite(draws)
    n = np.maximum(found.sum(axis=0), 1)
    mean = np.where(found, draws, 0.0).sum(axis=0) / n
    return np.asarray((np.where(found, draws - mean, 0.0) ** 2).sum(axis=0) / n)


@dataclass(frozen=True)
class Drift:
    """How far each anchor's outcome moved from the first version to the second, beyond the move that all share.

    Attributes:
        moved: (k,) second minus first, mean over models, less `typical`; NaN: not judged on both.
        typical: The median move of all.
        scale: What counts as one standard deviation of a move.
        z, p: (k,) moves in that unit (an anchor's own noise, where larger), and p-values, two-sided, Holm's adjustment.
        flagged: (k,) p below 1 - level.
        paired: Were the same models compared?
        n: Anchors with a move.
    """

    moved: Array
    typical: float
    scale: float
    z: Array
    p: Array
    flagged: Mask
    paired: bool
    n: int
    level: float


def anchor_drift(first: ArrayLike, second: ArrayLike, *, paired: bool, level: float = 0.95) -> Drift:
    """Tell which anchors moved more than the rest: one that leaked is answered better than its neighbours are.

    A move is measured against the others: ``z = (d - median d) / s`` with s the largest of 1.4826 times the median
    absolute deviation, the pooled and the anchor's own standard error of a mean over models.

    Args:
        first, second: (k, M1) and (k, M2) outcomes on the anchors, in the same order.
        paired: The columns are the same models, which differences are then taken within.
        level: Probability that none is flagged where none moved (Holm).

    Raises:
        NoData: Fewer than `FEWEST_ANCHORS` anchors were judged on both, or no outcome differs: the anchors were not
            judged again.

    Source: the robust z of Huynh and Meyer, Practical Assessment, Research, and Evaluation 15 (2010) 2, here with the
    sampling error as a floor.
    """
    x, y = (np.asarray(a, dtype=np.float64) for a in (first, second))
    if paired:
        means, errors = _mean_and_error(y - x)
    else:
        (m1, v1), (m2, v2) = _mean_and_error(x), _mean_and_error(y)
        means, errors = m2 - m1, v1 + v2
    known = np.isfinite(means)
    if known.sum() < FEWEST_ANCHORS:
        raise NoData(f"{int(known.sum())} anchors were judged on both versions: at least {FEWEST_ANCHORS} are needed")
    typical = float(np.median(means[known]))
    moved = means - typical
    mad = _MAD * float(np.median(np.abs(moved[known])))
    pooled = float(np.nanmean(errors[known])) if np.isfinite(errors[known]).any() else 0.0
    scale = max(mad, math.sqrt(pooled))
    if scale <= _SPREAD:
        raise NoData("the anchors' outcomes are the same on both versions: they were not judged again")
    z = moved / np.maximum(scale, np.sqrt(np.nan_to_num(errors)))
    from scipy.special import ndtr

    p = holm(np.where(known, 2.0 * ndtr(-np.abs(z)), np.nan))
    with np.errstate(invalid="ignore"):
        flagged = p < 1.0 - level
    return Drift(moved, typical, scale, z, p, flagged, paired, int(known.sum()), level)


def _mean_and_error(x: Array) -> tuple[Array, Array]:
    """Return the mean over models and the square of its standard error; NaN where there are too few."""
    found = np.isfinite(x)
    n = found.sum(axis=1).astype(np.float64)
    filled = np.where(found, x, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = filled.sum(axis=1) / n
        spread = (np.where(found, x - mean[:, None], 0.0) ** 2).sum(axis=1) / (n - 1.0)
        return np.asarray(np.where(n > 0, mean, np.nan)), np.asarray(np.where(n > 1, spread / n, np.nan))


def expected_link_se(outcomes: ArrayLike, anchors: int, prompts: int, models: int) -> float:
    """Return the standard error that a link of the next version is expected to have, in the unit of the outcomes.

    ``SE^2 = 2 (1-f) d^2 / n + (1-f)^2 e^2 (1/M1 + 1/M2) / k`` with f = k/n the share of anchors: d is the standard
    deviation over prompts of the mean outcome (less its own noise), e that of what a model's outcome on a prompt
    differs from the sum of both, M1 the models that a prompt has outcomes of, M2 other `models` on the next version. It takes new
    prompts for as different from one another as the old ones are.

    Args:
        outcomes: (n1, M1) past outcomes.
        anchors: k, at least 1.
        prompts: n of the next version.
        models: Models to be judged on it.

    Raises:
        NoData: Fewer than two models or prompts have outcomes.
    """
    x = np.asarray(outcomes, dtype=np.float64)
    x = x[np.isfinite(x).sum(axis=1) >= 2] if x.ndim == 2 else np.zeros((0, 0))
    if len(x) < 2 or anchors < 1:
        raise NoData("a link error is expected from at least two models on two prompts, and an anchor")
    found = np.isfinite(x)
    rest = x - np.nanmean(x, axis=0)
    mean = np.nanmean(rest, axis=1)
    left = np.where(found, rest - mean[:, None], 0.0)
    noise = float((left**2).sum() / max(found.sum() - len(x) - x.shape[1] + 1, 1))
    spread = max(float(mean.var(ddof=1)) - noise * float((1.0 / found.sum(axis=1)).mean()), 0.0)
    f = anchors / prompts
    own = float(found.sum(axis=1).mean())
    variance = 2.0 * (1.0 - f) * spread / prompts
    variance += (1.0 - f) ** 2 * noise * (1.0 / own + 1.0 / max(models, 1)) / anchors
    # Models of their own on the prompts that are not anchors: their outcomes are noise, too.
    variance += (1.0 - f) * noise * (1.0 / own + 1.0 / max(models, 1)) / prompts
    return math.sqrt(variance)
