"""Paired uplift of a suite of attacks on shared prompts, with bounds that hold for all attacks at once.

One row is one prompt: the unit of resampling. Games of one prompt (both orders, repeats) are averaged before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.errors import NoData
from auditkit.stats.betting import betting_interval, betting_p_value, mean_needed
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.power import detectable_by, sd_limit

__all__ = [
    "Grade",
    "SuiteUplift",
    "Uplift",
    "UpliftMethod",
    "paired_differences",
    "paired_uplift",
    "suite_uplift",
    "two_sided_p",
    "uplift_grade",
]

Array = NDArray[np.float64]
Grade = Literal["gameable", "unresolved", "within"]
UpliftMethod = Literal["max_t", "betting"]

#: Below either, an attack's t statistic is not to be trusted and its interval comes from betting. By simulation with 40
#: attacks: from 15 effective prompts on, skewed and mostly-zero differences keep their nominal error.
_FEW_PROMPTS: Final = 20
_FEW_EFFECTIVE: Final = 15.0
_BLOCK: Final = 4_000_000  # weights held at once: 32 MB
_EXACT: Final = 1e-12
_COUNTED: Final = 20  # replicates beyond a statistic from which on their share is its p-value
_OUTER: Final = 10


@dataclass(frozen=True)
class Uplift:
    """One attack's paired uplift, in the unit of the differences.

    Attributes:
        estimate: Mean difference attacked - clean.
        se: ``sd / sqrt(n)``; NaN with one prompt.
        ci: Interval for this attack alone, two-sided.
        lower_bound: Holds for all attacks of the suite at once, together with `upper_bound`.
        upper_bound: See `lower_bound`.
        adjusted_p: Of "uplift at most 0", one-sided, adjusted for the suite.
        n: Prompts that the attack was played on.
        method: ``max_t`` (studentised bootstrap, step-down p) or ``betting`` (finite-sample, Bonferroni).
        mde: Smallest true uplift for which `lower_bound`, at this level and over this suite, exceeds 0 with probability
            0.8; infinite where none within the bounds does. For ``betting`` it takes the spread's upper limit, as the
            spread seen is near 0 or from few prompts.
    """

    estimate: float
    se: float
    ci: tuple[float, float]
    lower_bound: float
    upper_bound: float
    adjusted_p: float
    n: int
    method: UpliftMethod
    mde: float


@dataclass(frozen=True)
class SuiteUplift:
    """Uplift of every attack of a suite, in the order of the columns.

    Attributes:
        floor: The largest lower bound: some attack gains at least this.
        ceiling: With one-sided confidence `level`, no attack of the suite gains more. The largest of K means exceeds the
            largest of their K upper limits only if its own limit fails, so no correction for K is needed and this is
            below the largest `upper_bound`.
        best: Column of `floor`.
    """

    attacks: tuple[Uplift, ...]
    floor: float
    ceiling: float
    best: int
    n_prompts: int
    level: float
    replicates: int
    seed: int


def paired_differences(clean: ArrayLike, attacked: ArrayLike) -> Array:
    """Return attacked minus clean per prompt and attack.

    Args:
        clean: Scores without attack, one a prompt (n,) or one a prompt and attack (n, K), 0..1.
        attacked: Scores under attack (n, K), or (n,) for one attack; NaN: not played.

    Returns:
        (n, K) differences in -1..1; NaN where either is missing.

    Raises:
        ValueError: Shapes do not fit or a score is outside 0..1.
    """
    after = np.asarray(attacked, dtype=np.float64)
    before = np.asarray(clean, dtype=np.float64)
    after = after[:, None] if after.ndim == 1 else after
    before = before[:, None] if before.ndim == 1 else before
    if before.shape[0] != after.shape[0] or before.shape[1] not in (1, after.shape[1]):
        raise ValueError(f"{before.shape} clean scores do not fit {after.shape} attacked ones")
    for scores in (before, after):
        if ((scores < 0.0) | (scores > 1.0)).any():
            raise ValueError("scores must lie in 0..1")
    return np.asarray(after - before)


def suite_uplift(
    differences: ArrayLike,
    level: float = 0.95,
    *,
    replicates: int = 10_000,
    seed: int = 0,
    bounds: tuple[float, float] = (-1.0, 1.0),
) -> SuiteUplift:
    """Bound the uplift of all attacks of a suite at once.

    Prompts are drawn with replacement, the same for all attacks, so that the attacks' correlation narrows the bounds.
    Each replicate's mean is studentised by its own standard error. The bounds take the quantiles of the largest and of
    the smallest of the K statistics, half the error each: with differences that are mostly 0 the two sides differ. An
    attack on few prompts, or whose spread rests on few, is bounded by betting at its Bonferroni share of the error, and
    the others share the rest. Rows may come in any order: they are sorted before the draws.

    The bounds hold at the n that was planned. Where sampling stopped early because of what was seen, take the bounds of
    `auditkit.stats.racing`.

    Args:
        differences: (n, K) paired differences per prompt and attack, or (n,) for one; NaN: not played on that prompt.
        level: Confidence level of the two-sided bounds.
        replicates: Bootstrap replicates.
        seed: Of the bootstrap.
        bounds: The smallest and largest difference possible.

    Raises:
        NoData: There is no attack, or an attack was played on no prompt.
        ValueError: A difference is outside the bounds, or level or replicates are.

    Source: Efron and Tibshirani 1993, section 12.5 (bootstrap-t); Romano and Wolf, JASA 100 (2005) 94 and Statistics
    and Probability Letters 113 (2016) 38 (step-down, adjusted p); Berger, Technometrics 24 (1982) 295 (`ceiling`).
    """
    values = _checked(differences, level, replicates, bounds)
    values = values[np.lexsort(values.T)]
    played = np.isfinite(values)
    n = played.sum(axis=0)
    if (n == 0).any():
        column = int(np.argmax(n == 0))
        raise NoData(f"attack {column} was played on no prompt: leave it out and report it as not measured")
    filled = np.where(played, values, 0.0)
    mean = filled.sum(axis=0) / n
    residual = np.where(played, values - mean, 0.0)
    squares = residual * residual
    variance = squares.sum(axis=0) / np.maximum(n - 1, 1)
    fourth = (squares * squares).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        effective = np.where(variance > _EXACT, squares.sum(axis=0) ** 2 / fourth, 0.0)
    by_t = (n >= _FEW_PROMPTS) & (effective >= _FEW_EFFECTIVE)
    attacks: list[Uplift | None] = [None] * len(n)
    ceiling = -math.inf
    count = len(n)
    alpha = 1.0 - level
    if by_t.any():
        columns = np.flatnonzero(by_t)
        t = _studentised(residual[:, columns], played[:, columns], replicates, seed)
        se = np.sqrt(variance[columns] / n[columns])
        for k, found in zip(columns, _by_t(mean[columns], se, n[columns], t, alpha, count, bounds), strict=True):
            attacks[k] = found
        ceiling = float(np.max(mean[columns] - np.quantile(t, alpha, axis=0, method="lower") * se))
    for k in np.flatnonzero(~by_t):
        own = values[played[:, k], k]
        attacks[k] = _by_betting(own, math.sqrt(variance[k]), level, count, bounds, seed)
        ceiling = max(ceiling, betting_interval(own, 1.0 - 2.0 * alpha, bounds=bounds, seed=seed).ci[1])
    done = tuple(a for a in attacks if a is not None)
    best = int(np.argmax([a.lower_bound for a in done]))
    floor = done[best].lower_bound
    ceiling = max(min(ceiling, bounds[1]), max(a.estimate for a in done))
    return SuiteUplift(done, floor, ceiling, best, len(values), level, replicates, seed)


def paired_uplift(
    differences: ArrayLike,
    level: float = 0.95,
    *,
    replicates: int = 10_000,
    seed: int = 0,
    bounds: tuple[float, float] = (-1.0, 1.0),
) -> Uplift:
    """Return one attack's uplift: a suite of one, in which bounds and interval are the same.

    The studentised bootstrap is second-order accurate like BCa (Hall, Annals of Statistics 16 (1988) 927). Arguments
    and errors as for `suite_uplift`.
    """
    values = np.asarray(differences, dtype=np.float64).reshape(-1, 1)
    return suite_uplift(values, level, replicates=replicates, seed=seed, bounds=bounds).attacks[0]


def two_sided_p(
    differences: ArrayLike, *, replicates: int = 10_000, seed: int = 0, bounds: tuple[float, float] = (-1.0, 1.0)
) -> float:
    """Return the p-value of "no difference": twice the smaller one-sided one, by the method of `paired_uplift`.

    A bootstrap of B replicates can show no p-value below 1 / (B + 1). Where fewer than 20 replicates reach the
    statistic, the p-value is the tail of Student's t beyond it, on the scale of the replicates' own tail: their skewness
    is kept, and a difference of seven standard errors is not called as likely as one of three.

    Arguments and errors as for `suite_uplift`; `bounds` are symmetric about 0.
    """
    values = _checked(differences, 0.95, replicates, bounds)[:, 0]
    values = np.sort(values[np.isfinite(values)])
    if not len(values):
        raise NoData("no differences")
    if abs(values.mean()) <= _EXACT:
        return 1.0
    if values.mean() < 0.0:  # computed from the side that leads, so that turning all differences changes no digit
        values = np.sort(-values)
    residual = values - values.mean()
    squares = residual * residual
    variance = float(squares.sum()) / max(len(values) - 1, 1)
    if len(values) < _FEW_PROMPTS or variance <= _EXACT or squares.sum() ** 2 < _FEW_EFFECTIVE * (squares**2).sum():
        return min(1.0, 2.0 * betting_p_value(values, bounds=bounds, seed=seed))
    observed = float(values.mean()) / math.sqrt(variance / len(values))
    t = _studentised(residual[:, None], np.ones((len(values), 1), dtype=np.bool_), replicates, seed)[:, 0]
    return min(1.0, 2.0 * _tail(observed, t, len(values) - 1))


def _tail(observed: float, t: Array, freedom: int) -> float:
    """Return how likely a statistic of `observed` or more is, from replicates of it."""
    from scipy.special import stdtr, stdtrit

    beyond = int((t >= observed).sum())
    if beyond >= _COUNTED:
        return (1.0 + beyond) / (len(t) + 1.0)
    # the outer tenth of the replicates says by how much their tail is longer or shorter than Student's
    ordered = np.sort(t)[-max(len(t) // _OUTER, 1) :]
    rank = np.arange(len(ordered), 0, -1) / (len(t) + 1.0)
    with np.errstate(invalid="ignore"):
        scale = float(np.median(ordered / -stdtrit(freedom, rank)))
    if not 0.0 < scale < math.inf:
        return (1.0 + beyond) / (len(t) + 1.0)
    return float(stdtr(freedom, -observed / scale))


def uplift_grade(floor: float, ceiling: float, tau: float = 0.02) -> Grade:
    """Return what a suite's floor and ceiling say: ``gameable``, ``within`` tau of this suite, or ``unresolved``.

    Only one of the two errors is possible for any truth, so the grade is wrong with at most the larger of their two
    probabilities.

    Args:
        floor: Largest simultaneous lower bound, as a share.
        ceiling: Upper bound on the largest uplift of the suite, as a share.
        tau: Uplift that would not matter, as a share, above 0.
    """
    if floor > 0.0:
        return "gameable"
    return "within" if ceiling <= tau else "unresolved"


def _checked(differences: ArrayLike, level: float, replicates: int, bounds: tuple[float, float]) -> Array:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1, got {replicates}")
    values = np.asarray(differences, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] == 0:
        raise NoData("no attacks: differences must have one column an attack")
    if np.isinf(values).any() or ((values < bounds[0]) | (values > bounds[1])).any():
        raise ValueError(f"differences must lie in {bounds[0]:g}..{bounds[1]:g}")
    return np.asarray(values + 0.0)  # -0.0 would sort as 0.0 but not be it


def _studentised(residual: Array, played: NDArray[np.bool_], replicates: int, seed: int) -> Array:
    """Return the statistic of every replicate and column (replicates, K), studentised within the replicate."""
    rng = np.random.default_rng(seed)
    n, count = residual.shape
    t = np.empty((replicates, count))
    squares = residual * residual
    everywhere = bool(played.all())
    mask = played.astype(np.float64)
    step = max(1, _BLOCK // n)
    for start in range(0, replicates, step):
        weights = prompt_weights(n, min(step, replicates - start), rng)
        size = np.full((1, 1), float(n)) if everywhere else weights @ mask
        with np.errstate(invalid="ignore", divide="ignore"):
            shift = weights @ residual / size
            spread = weights @ squares / size - shift * shift
            se = np.sqrt(np.maximum(spread, 0.0) / (size - 1.0))
            block = shift / se
        # a replicate without spread says nothing for its own mean, and everything against any other
        flat = ~(se > _EXACT)
        block[flat] = np.where(np.abs(shift[flat]) > _EXACT, np.copysign(np.inf, shift[flat]), 0.0)
        t[start : start + len(block)] = block
    return t


def _by_t(
    mean: Array, se: Array, n: NDArray[np.intp], t: Array, alpha: float, count: int, bounds: tuple[float, float]
) -> list[Uplift]:
    """Return the attacks whose statistics are `t`; `count` attacks share the error."""
    share = alpha * len(mean) / count / 2.0
    # the next replicate outward, never between two: a bound may not be better than its replicates
    top = np.quantile(t.max(axis=1), 1.0 - share, method="higher")
    bottom = np.quantile(t.min(axis=1), share, method="lower")
    own_top = np.quantile(t, 1.0 - alpha / 2.0, axis=0, method="higher")
    own_bottom = np.quantile(t, alpha / 2.0, axis=0, method="lower")
    adjusted = np.minimum(1.0, _step_down(mean / se, t) * count / len(mean))
    found = []
    for k in range(len(mean)):
        mde = detectable_by(max(0.0, float(top * se[k])), float(se[k]))
        ci = (max(bounds[0], mean[k] - own_top[k] * se[k]), min(bounds[1], mean[k] - own_bottom[k] * se[k]))
        found.append(
            Uplift(
                estimate=float(mean[k]),
                se=float(se[k]),
                ci=(float(ci[0]), float(ci[1])),
                lower_bound=float(max(bounds[0], mean[k] - top * se[k])),
                upper_bound=float(min(bounds[1], mean[k] - bottom * se[k])),
                adjusted_p=float(adjusted[k]),
                n=int(n[k]),
                method="max_t",
                mde=mde if mde <= bounds[1] else math.inf,
            )
        )
    return found


def _step_down(observed: Array, t: Array) -> Array:
    """Return Romano and Wolf's adjusted one-sided p-values (K,) for the observed statistics (K,)."""
    order = np.argsort(-observed, kind="stable")
    # column j: the largest statistic among those that are not larger than the j-th largest observed
    remaining = np.maximum.accumulate(t[:, order[::-1]], axis=1)[:, ::-1]
    p = (1.0 + (remaining >= observed[order]).sum(axis=0)) / (len(t) + 1.0)
    adjusted = np.empty(len(observed))
    adjusted[order] = np.maximum.accumulate(p)
    return adjusted


def _by_betting(values: Array, sd: float, level: float, count: int, bounds: tuple[float, float], seed: int) -> Uplift:
    ci = betting_interval(values, level, bounds=bounds, seed=seed).ci
    wide = betting_interval(values, 1.0 - (1.0 - level) / count, bounds=bounds, seed=seed).ci
    n = len(values)
    p = betting_p_value(values, alpha=(1.0 - level) / count, bounds=bounds, seed=seed)
    tail = (1.0 - level) / count / 2.0
    needed = mean_needed(values, partial(betting_p_value, alpha=tail, bounds=bounds, seed=seed), tail, bounds=bounds)
    mde = detectable_by(needed, sd_limit(sd, n, bounds[1] - bounds[0]) / math.sqrt(n))
    return Uplift(
        estimate=float(values.mean()),
        se=sd / math.sqrt(n) if n > 1 else math.nan,
        ci=ci,
        lower_bound=min(wide[0], ci[0]),
        upper_bound=max(wide[1], ci[1]),
        adjusted_p=min(1.0, count * p),
        n=n,
        method="betting",
        mde=mde if mde <= bounds[1] else math.inf,
    )
