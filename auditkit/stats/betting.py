"""Finite-sample limits for the mean of bounded values, by betting against every candidate mean.

If the mean were at most m, nobody could expect to win by betting on each value to exceed m. Capital that grew by a
factor 1/alpha therefore refutes m at level alpha (Ville's inequality), at any sample size, for any distribution
within the bounds, and whenever one looks. The lower limit is the smallest m that is not refuted.

The stakes are set for a horizon: the number of values at which the limit shall be tightest. The limit holds before
and at any other number as well, so that one rule serves an interval at a fixed n and a sequence that may stop early.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.errors import NoData

__all__ = [
    "LARGEST_STAKE",
    "Bettor",
    "BoundedMean",
    "ConfidenceSequence",
    "anytime_lower",
    "anytime_p_value",
    "anytime_upper",
    "betting_interval",
    "betting_p_value",
    "confidence_sequence",
    "empirical_bernstein_interval",
    "mean_needed",
]

Array = NDArray[np.float64]
Bounds = tuple[float, float]

#: No stake risks more than this share of the capital. The paper's 1/2 is wasteful where nearly all values are equal.
LARGEST_STAKE: Final = 0.9
#: Standard deviation that the stakes start from, for bounds -1..1: what paired differences of verdicts have.
_PRIOR_SD: Final = 0.45
_ORDERS: Final = 32
_STRETCH: Final = 64
_TOLERANCE: Final = 1e-9


@dataclass(frozen=True)
class BoundedMean:
    """The mean of n values within `bounds`, with an interval that holds at this n."""

    estimate: float
    ci: tuple[float, float]
    n: int
    level: float
    bounds: Bounds


@dataclass(frozen=True)
class ConfidenceSequence:
    """Limits after each look, all of which hold at once: lower limits never fall, upper ones never rise.

    A lower limit above the upper one is a failure that happens with probability at most 1 - `level`.
    """

    looks: tuple[int, ...]
    lower: Array
    upper: Array
    level: float
    bounds: Bounds


class Bettor:
    """Bets, value by value, against "the mean is at most `mean`".

    Args:
        mean: The hypothetical mean, above the lower bound.
        alpha: Error at which it is to be refuted: the stakes are set for it, `log_peak` holds for every error.
        horizon: Number of values for which the stakes are set.
        bounds: The smallest and largest value possible.
        population: Size of the finite set from which values are drawn without replacement; None: independent draws.
            With it the hypothesis is about the mean of that set.

    Attributes:
        log_peak: Highest log capital so far; the hypothesis is refuted at every error from ``exp(-log_peak)`` on.

    Source: Waudby-Smith and Ramdas, JRSS B 86 (2024) 1, arXiv:2010.09686: section 4, hedged capital with predictable
    plug-in stakes, here with the fixed-n stakes; section 5 for draws without replacement.
    """

    def __init__(
        self, mean: float, alpha: float, horizon: int, *, bounds: Bounds = (-1.0, 1.0), population: int | None = None
    ) -> None:
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
        if not bounds[0] < mean:
            raise ValueError(f"the hypothetical mean must exceed the lower bound {bounds[0]:g}, got {mean:g}")
        self._low, self._width = bounds[0], bounds[1] - bounds[0]
        self._mean = (mean - self._low) / self._width
        self._scale = 2.0 * math.log(1.0 / alpha) / horizon
        self._population = population
        self._seen, self._sum, self._squares, self._log = 0, 0.0, (_PRIOR_SD / 2.0) ** 2, 0.0
        self.log_peak = 0.0

    def update(self, values: Array) -> None:
        """Bet on further values (k,), finite and within the bounds, in the order in which they were drawn.

        Raises:
            ValueError: More values than the population has.
        """
        if not values.size:
            return
        x = (values - self._low) / self._width
        t = self._seen + np.arange(1, x.size + 1)
        total = self._sum + np.cumsum(x)
        mean = (0.5 + total) / (t + 1)
        squares = self._squares + np.cumsum((x - mean) ** 2)
        variance = np.concatenate([[self._squares], squares[:-1]]) / t  # of the values before
        fair = np.full(x.size, self._mean)
        if self._population is not None:
            left = self._population - t + 1
            if left[-1] < 1:
                raise ValueError(f"more values than the population has: {self._population}")
            # 0 where the hypothesis leaves nothing for the rest; below, it is refuted by arithmetic
            fair = np.maximum((self._population * self._mean - (total - x)) / left, _TOLERANCE)
            if total[-1] > self._population * self._mean + _TOLERANCE:
                self.log_peak = math.inf
        stake = np.minimum(np.sqrt(self._scale / variance), LARGEST_STAKE / fair)
        path = self._log + np.cumsum(np.log1p(stake * (x - fair)))
        self.log_peak = max(self.log_peak, float(path.max()))
        self._seen, self._sum, self._squares, self._log = (
            int(t[-1]),
            float(total[-1]),
            float(squares[-1]),
            float(path[-1]),
        )


def anytime_lower(
    values: ArrayLike,
    alpha: float,
    *,
    horizon: int | None = None,
    bounds: Bounds = (-1.0, 1.0),
    population: int | None = None,
) -> float:
    """Return the lower limit that holds whenever one stops, at one-sided error `alpha` over all times together.

    Args:
        values: (n,) finite values within `bounds`, in the order in which they were drawn.
        alpha: The error.
        horizon: As for `Bettor`; None: the number of values (then it must not depend on what was seen).
        bounds: The smallest and largest value possible.
        population: As for `Bettor`.

    Raises:
        NoData: There is no value.
        ValueError: A value is not finite or outside the bounds.
    """
    x = _checked(values, bounds)
    target, width = math.log(1.0 / alpha), bounds[1] - bounds[0]

    def excess(share: float) -> float:
        bettor = Bettor(bounds[0] + share * width, alpha, horizon or x.size, bounds=bounds, population=population)
        bettor.update(x)
        return min(bettor.log_peak, 1e9) - target

    return bounds[0] + width * _smallest_kept(excess)


def anytime_upper(
    values: ArrayLike,
    alpha: float,
    *,
    horizon: int | None = None,
    bounds: Bounds = (-1.0, 1.0),
    population: int | None = None,
) -> float:
    """Return the upper limit, the mirror image of `anytime_lower`."""
    turned = (-bounds[1], -bounds[0])
    negative = -np.asarray(values, dtype=np.float64)
    return -anytime_lower(negative, alpha, horizon=horizon, bounds=turned, population=population)


def anytime_p_value(
    values: ArrayLike, alpha: float, *, mean: float = 0.0, horizon: int | None = None, bounds: Bounds = (-1.0, 1.0)
) -> float:
    """Return the p-value of "the mean is at most `mean`" that holds whenever one stops: one over the highest capital.

    Args:
        values: As for `anytime_lower`.
        alpha: Error that the stakes are set for; the p-value holds at every level.
        mean: The hypothetical mean, strictly within the bounds.
        horizon: As for `anytime_lower`.
        bounds: The smallest and largest value possible.

    Raises:
        NoData, ValueError: As for `anytime_lower`.
    """
    x = _checked(values, bounds)
    bettor = Bettor(mean, alpha, horizon or x.size, bounds=bounds)
    bettor.update(x)
    return math.exp(-bettor.log_peak)


def confidence_sequence(
    values: ArrayLike,
    level: float = 0.95,
    *,
    looks: Sequence[int] | None = None,
    horizon: int | None = None,
    bounds: Bounds = (-1.0, 1.0),
    population: int | None = None,
) -> ConfidenceSequence:
    """Return limits after each look that hold at all times together, so that one may stop whenever one likes.

    Args:
        values: (n,) finite values within `bounds`, in the order in which they were drawn.
        level: Confidence level of the whole sequence of two-sided intervals.
        looks: After how many values to report, each 1..n; None: after every value.
        horizon: As for `Bettor`; None: n.
        bounds: The smallest and largest value possible.
        population: As for `Bettor`.

    Raises:
        NoData: There is no value.
        ValueError: A value is not finite or outside the bounds, or a look is outside 1..n.
    """
    tail = _tail(level)
    x = _checked(values, bounds)
    at = tuple(range(1, x.size + 1) if looks is None else looks)
    if any(not 1 <= look <= x.size for look in at):
        raise ValueError(f"looks must lie in 1..{x.size}")
    goal = horizon or x.size
    lower = [anytime_lower(x[:k], tail, horizon=goal, bounds=bounds, population=population) for k in at]
    upper = [anytime_upper(x[:k], tail, horizon=goal, bounds=bounds, population=population) for k in at]
    return ConfidenceSequence(at, np.array(lower), np.array(upper), level, bounds)


def betting_interval(
    values: ArrayLike, level: float = 0.95, *, bounds: Bounds = (-1.0, 1.0), seed: int = 0
) -> BoundedMean:
    """Return the mean with its betting interval, at a number of values that was planned.

    Capital depends on the order of the values, so the final capital of 32 random orders is averaged. The values are sorted before, so that the order in which they came changes nothing.

    Args:
        values: (n,) finite values within `bounds`, independent draws.
        level: Confidence level of the two-sided interval.
        bounds: The smallest and largest value possible.
        seed: Of the orders.

    Raises:
        NoData: There is no value.
        ValueError: A value is not finite or outside the bounds.

    Source: as for `Bettor`; Vovk and Wang, Annals of Statistics 49 (2021) 1736, on averaging e-values.
    """
    tail = _tail(level)
    x = np.sort(_checked(values, bounds))
    mean, (low, high) = float(x.mean()), bounds
    target = math.log(1.0 / tail)
    below, above = _Orders((x - low) / (high - low), tail, seed), _Orders((high - x) / (high - low), tail, seed)
    lower = low + (high - low) * _smallest_kept(lambda m: below.log_capital(m) - target)
    upper = high - (high - low) * _smallest_kept(lambda m: above.log_capital(m) - target)
    return BoundedMean(mean, (min(lower, mean), max(upper, mean)), x.size, level, bounds)


def betting_p_value(
    values: ArrayLike, mean: float = 0.0, *, alpha: float = 0.05, bounds: Bounds = (-1.0, 1.0), seed: int = 0
) -> float:
    """Return the p-value of "the mean is at most `mean`": one over the capital that `betting_interval` ends with.

    Args:
        values: As for `betting_interval`.
        mean: The hypothetical mean, strictly within the bounds.
        alpha: Error that the stakes are set for; the p-value holds at every level.
        bounds: The smallest and largest value possible.
        seed: Of the orders.
    """
    x = (_checked(values, bounds) - bounds[0]) / (bounds[1] - bounds[0])
    capital = _Orders(x, alpha, seed).log_capital((mean - bounds[0]) / (bounds[1] - bounds[0]))
    return math.exp(-max(capital, 0.0))


def mean_needed(
    values: ArrayLike, p_value: Callable[[Array], float], alpha: float, *, bounds: Bounds = (-1.0, 1.0)
) -> float:
    """Return the smallest mean at which values spread like these refute "the mean is at most 0"; infinite if none does.

    The values are moved to each mean, and cut at the bounds. A betting limit lies the further below the mean, the nearer
    the mean is to the upper bound: how far it lies below these values says nothing of others.

    Args:
        values: (n,) finite values within `bounds`.
        p_value: Of the hypothesis, for values.
        alpha: The error at which it is to be refuted.
        bounds: The smallest and largest value possible; 0 lies between them.
    """
    from scipy.optimize import brentq

    x = _checked(values, bounds)
    centred = x - x.mean()

    def excess(mean: float) -> float:
        return math.log(max(p_value(np.clip(centred + mean, *bounds)), 1e-300) / alpha)

    if excess(bounds[1]) > 0.0:
        return math.inf
    return float(brentq(excess, 0.0, bounds[1], xtol=1e-4 * bounds[1])) if excess(0.0) > 0.0 else 0.0


def empirical_bernstein_interval(
    values: ArrayLike, level: float = 0.95, *, bounds: Bounds = (-1.0, 1.0)
) -> BoundedMean:
    """Return the mean with the empirical-Bernstein interval: closed form, valid at every n, wider than betting.

    ``mean ± (sqrt(2 V ln(4 / alpha) / n) + 7 R ln(4 / alpha) / (3 (n - 1)))`` with V the sample variance and R the
    width of the bounds.

    Raises:
        NoData: Fewer than two values.
        ValueError: A value is not finite or outside the bounds.

    Source: Maurer and Pontil, COLT 2009, arXiv:0907.3740, theorem 4, on both sides.
    """
    tail = _tail(level)
    x = _checked(values, bounds)
    if x.size < 2:
        raise NoData("one value: a variance needs at least two")
    log, width, mean = math.log(2.0 / tail), bounds[1] - bounds[0], float(x.mean())
    half = math.sqrt(2.0 * float(x.var(ddof=1)) * log / x.size) + 7.0 * width * log / (3.0 * (x.size - 1))
    return BoundedMean(mean, (max(bounds[0], mean - half), min(bounds[1], mean + half)), x.size, level, bounds)


def _tail(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    return (1.0 - level) / 2.0


def _checked(values: ArrayLike, bounds: Bounds) -> Array:
    x = np.asarray(values, dtype=np.float64).ravel()
    if not x.size:
        raise NoData("no values: a mean of nothing has no interval")
    if not bounds[0] < bounds[1]:
        raise ValueError(f"bounds must increase, got {bounds}")
    if not (np.isfinite(x).all() and bounds[0] <= x.min() and x.max() <= bounds[1]):
        raise ValueError(f"values must be finite and lie in {bounds[0]:g}..{bounds[1]:g}")
    return x


class _Orders:
    """Values on 0..1 in random orders (rows), with the stake on each."""

    def __init__(self, values: Array, alpha: float, seed: int) -> None:
        n = values.size
        self._x = np.sort(values)[_orders(n, seed)]
        t = np.arange(1, n + 1)
        prior = (_PRIOR_SD / 2.0) ** 2
        mean = (0.5 + np.cumsum(self._x, axis=1)) / (t + 1)
        squares = prior + np.cumsum((self._x - mean) ** 2, axis=1)
        before = np.concatenate([np.full((_ORDERS, 1), prior), squares[:, :-1]], axis=1)
        self._stake = np.sqrt(2.0 * math.log(1.0 / alpha) / n * t / before)
        self._stretches = np.arange(0, n, _STRETCH)

    def log_capital(self, mean: float) -> float:
        """Return the log of the mean final capital after betting that values exceed `mean`."""
        factors = 1.0 + np.minimum(self._stake, LARGEST_STAKE / mean) * (self._x - mean)
        # products of stretches too short to overflow: a logarithm of each value takes five times as long
        logs = np.log(np.multiply.reduceat(factors, self._stretches, axis=1)).sum(axis=1)
        top = float(logs.max())
        return top + math.log(float(np.exp(logs - top).mean()))


@lru_cache(maxsize=8)
def _orders(n: int, seed: int) -> NDArray[np.intp]:
    """Return random orders of n values, one a row."""
    return np.random.default_rng(seed).permuted(np.tile(np.arange(n), (_ORDERS, 1)), axis=1)


def _smallest_kept(excess: Callable[[float], float]) -> float:
    """Return the mean on 0..1 from which on nothing is refuted; `excess` falls in the mean."""
    from scipy.optimize import brentq

    lowest = _TOLERANCE
    return float(brentq(excess, lowest, 1.0, xtol=_TOLERANCE)) if excess(lowest) > 0.0 else 0.0
