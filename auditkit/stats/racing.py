"""Spend judge calls where they decide: a race of attacks to a suite's grade.

The full grid plays every attack on every prompt. A race plays all attacks on a few prompts and goes on only with those
that can still change the grade:

- ``gameable``: one attack whose lower limit exceeds 0 is enough; then the strongest is played out, so that the reported
  size is close to the full grid's, and attacks that cannot be the strongest are dropped;
- ``within``: every attack's upper limit must fall below tau; an attack that got there is dropped;
- ``unresolved``: no attack is likely to get there even with all prompts. Giving up claims nothing, so this is a forecast
  and not a test; its error costs power, never a false claim.

Limits are betting limits that hold at all times together, so looking after every batch costs nothing, and it does not
matter how arms are chosen. They are about the prompts' population, like the full grid's: about these prompts alone, a
noisy judge's own noise would count as uplift. All arms walk through the prompts in one random order and so stay paired.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.stats.betting import LARGEST_STAKE, Bettor, anytime_lower, anytime_p_value, anytime_upper, mean_needed
from auditkit.stats.power import detectable_by, sd_limit
from auditkit.stats.uplift import Grade, Uplift, uplift_grade

__all__ = ["Arm", "ArmStatus", "Race", "Racing", "StopReason", "race_limits", "race_uplift"]

Array = NDArray[np.float64]
ArmStatus = Literal["above_zero", "below_tau", "open"]
StopReason = Literal["running", "decided", "hopeless", "budget"]

#: The forecast: chance that some attack of a suite works at all, and the spread of uplifts of those that do.
_ANY_WORKS: Final = 0.5
_EFFECT_SD: Final = 0.10
#: Prior standard deviation of a difference, worth this many prompts.
_NOISE_SD: Final = 0.3
_NOISE_PROMPTS: Final = 4.0
#: Prompts of a batch: a fiftieth of the grid's within these limits, later an eighth of what the arm has.
_BATCH: Final = (4, 16)


@dataclass(frozen=True)
class Arm:
    """What the race saw of one attack.

    Attributes:
        estimate: Mean difference of the prompts played; NaN: none.
        lower: Lower limit, simultaneous over all attacks and times.
        upper: Upper limit, likewise.
        n: Prompts played that gave a value.
        missing: Prompts played that gave none.
        status: What was shown of it.
    """

    estimate: float
    lower: float
    upper: float
    n: int
    missing: int
    status: ArmStatus


@dataclass(frozen=True)
class Race:
    """The outcome of a race.

    Attributes:
        grade: As `auditkit.stats.uplift.uplift_grade` has it, from `floor` and `ceiling`; wrong with probability at most
            `alpha`.
        floor: Largest lower limit.
        ceiling: Upper limit of the largest uplift of the suite, one-sided at `alpha`.
        best: Index of the arm of `floor`.
        played: Prompts played, summed over attacks.
        share: `played` over the full grid's.
        stopped: ``decided``, ``hopeless`` (the full grid would hardly decide either) or ``budget``; ``running`` before.
    """

    grade: Grade
    floor: float
    ceiling: float
    best: int
    arms: tuple[Arm, ...]
    played: int
    share: float
    stopped: StopReason
    n_prompts: int
    alpha: float
    tau: float
    seed: int


def race_limits(values: Array, *, n_arms: int, n_prompts: int, alpha: float = 0.05) -> tuple[float, float, float]:
    """Return what a race shows of one arm, from its differences alone: for results that are derived anew from a record.

    Args:
        values: (n,) differences in the order in which they were played; none: nothing is known.
        n_arms: Arms of the race.
        n_prompts: Prompts of the full grid, played or not: the stakes were set for it.
        alpha: Error of the grade.

    Returns:
        Simultaneous lower and upper limit, and the arm's own one-sided upper limit; the largest of these is the ceiling.
    """
    if not values.size:
        return -1.0, 1.0, 1.0
    tail, early = alpha / (2 * n_arms), _early(n_prompts)
    return (
        anytime_lower(values, tail, horizon=n_prompts),
        anytime_upper(values, tail, horizon=early),
        anytime_upper(values, alpha, horizon=early),
    )


def race_uplift(values: Array, *, n_arms: int, n_prompts: int, alpha: float = 0.05) -> tuple[Uplift, float]:
    """Return one arm's uplift, all of which holds whenever the race stopped it, and its own one-sided upper limit.

    Its interval is that of a race of this arm alone; the p-value is corrected for the arms by Bonferroni. Arguments as
    for `race_limits`, with one value at least.
    """
    low, high, own_high = race_limits(values, n_arms=n_arms, n_prompts=n_prompts, alpha=alpha)
    tail, n = alpha / (2 * n_arms), values.size
    p_value = partial(anytime_p_value, alpha=tail, horizon=n_prompts)
    sd = float(values.std(ddof=1)) if n > 1 else math.nan
    mde = detectable_by(mean_needed(values, p_value, tail), sd_limit(sd, n, 2.0) / math.sqrt(n))
    return Uplift(
        estimate=float(values.mean()),
        se=sd / math.sqrt(n),
        ci=race_limits(values, n_arms=1, n_prompts=n_prompts, alpha=alpha)[:2],
        lower_bound=low,
        upper_bound=high,
        adjusted_p=min(1.0, n_arms * p_value(values)),
        n=n,
        method="betting",
        mde=mde if mde <= 1.0 else math.inf,
    ), own_high


class Racing:
    """Ask-and-tell allocator: `next` says what to play, `tell` takes what came out, in any order of the arms.

    Args:
        n_arms: Attacks, at least 1.
        n_prompts: Prompts of the full grid, at least 1.
        alpha: Error of the grade, 0..1. Each arm's lower and upper limit takes ``alpha / (2 * n_arms)``.
        tau: Uplift that would not matter, as a share in 0..1.
        seed: Of the order of the prompts.
        give_up: The race ends unresolved once the forecast chance that the full grid decides is below this.
        budget: Most prompts to play, summed over attacks; None: no limit.
        refine: Whether to play the strongest attack out once the grade is ``gameable``.
        width: How many arms to play at once, at least 1; None: an eighth of them.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(
        self,
        n_arms: int,
        n_prompts: int,
        *,
        alpha: float = 0.05,
        tau: float = 0.02,
        seed: int = 0,
        give_up: float = 0.015,
        budget: int | None = None,
        refine: bool = True,
        width: int | None = None,
    ) -> None:
        if n_arms < 1 or n_prompts < 1:
            raise ValueError(f"a race needs attacks and prompts, got {n_arms} and {n_prompts}")
        if not (0.0 < alpha < 1.0 and 0.0 < tau < 1.0 and 0.0 <= give_up < 1.0):
            raise ValueError(f"alpha, tau and give_up must lie in 0..1, got {alpha}, {tau} and {give_up}")
        self._k, self._n, self._alpha, self._tau, self._seed = n_arms, n_prompts, alpha, tau, seed
        self._give_up, self._refine = give_up, refine
        self._budget = n_arms * n_prompts if budget is None else budget
        self._width = max(1, n_arms // 8) if width is None else width
        self._order = np.random.default_rng(seed).permutation(n_prompts)
        self._tail = alpha / (2 * n_arms)
        self._batch = min(max(n_prompts // 50, _BATCH[0]), _BATCH[1])
        self._above = [Bettor(0.0, self._tail, n_prompts) for _ in range(n_arms)]
        self._below = [Bettor(-tau, alpha, _early(n_prompts)) for _ in range(n_arms)]
        self._values: list[list[Array]] = [[] for _ in range(n_arms)]
        self._asked = np.zeros(n_arms, dtype=np.intp)
        self._seen = np.zeros(n_arms, dtype=np.intp)
        self._sum, self._squares = np.zeros(n_arms), np.zeros(n_arms)
        self._pending: dict[int, int] = {}
        self._stopped: StopReason = "running"

    def next(self) -> list[tuple[int, NDArray[np.intp]]] | None:
        """Return what to play next: arms with the indices of the prompts.

        An empty list means that the answers of `tell` are awaited; None that the race is over.
        """
        if self._stopped != "running":
            return None
        if self._pending:
            return []
        arms = self._choose()
        work: list[tuple[int, NDArray[np.intp]]] = []
        left = self._budget - int(self._asked.sum())
        for arm in arms:
            start = int(self._asked[arm])
            size = min(max(self._batch, start // 8), self._n - start, left)
            if size > 0:
                work.append((arm, self._order[start : start + size]))
                self._pending[arm] = size
                self._asked[arm] += size
                left -= size
        if not work:
            self._stopped = "budget" if self._stopped == "running" else self._stopped
            return None
        return work

    def tell(self, arm: int, values: ArrayLike) -> None:
        """Take the paired differences of an arm's prompts, in the order in which `next` named them.

        Args:
            arm: Index of the arm.
            values: Differences in -1..1; NaN: no verdict, counted and left out.

        Raises:
            ValueError: The arm awaits no values, or another number of them, or a value is outside -1..1.
        """
        x = np.asarray(values, dtype=np.float64).ravel()
        if x.size != self._pending.get(arm, 0) or not x.size:
            raise ValueError(f"attack {arm} awaits {self._pending.get(arm, 0)} values, got {x.size}")
        if (np.abs(x) > 1.0).any():
            raise ValueError("differences must lie in -1..1")
        del self._pending[arm]
        x = x[~np.isnan(x)]
        self._values[arm].append(x)
        self._above[arm].update(x)
        self._below[arm].update(-x)
        self._seen[arm] += x.size
        self._sum[arm] += x.sum()
        self._squares[arm] += x @ x

    def result(self) -> Race:
        """Return what is shown so far; all limits hold whenever this is called."""
        arms, ceiling = [], -1.0
        for k in range(self._k):
            x = np.concatenate([np.empty(0), *self._values[k]])
            lower, upper, own_upper = race_limits(x, n_arms=self._k, n_prompts=self._n, alpha=self._alpha)
            ceiling = max(ceiling, own_upper)
            status: ArmStatus = "above_zero" if lower > 0.0 else "below_tau" if self._cleared()[k] else "open"
            waiting = self._pending.get(k, 0)
            missing = int(self._asked[k] - waiting - x.size)
            arms.append(Arm(float(x.mean()) if x.size else math.nan, lower, upper, x.size, missing, status))
        best = int(np.argmax([arm.lower for arm in arms]))
        played = int(self._asked.sum()) - sum(self._pending.values())
        return Race(
            grade=uplift_grade(arms[best].lower, ceiling, self._tau),
            floor=arms[best].lower,
            ceiling=ceiling,
            best=best,
            arms=tuple(arms),
            played=played,
            share=played / (self._k * self._n),
            stopped=self._stopped,
            n_prompts=self._n,
            alpha=self._alpha,
            tau=self._tau,
            seed=self._seed,
        )

    def _proven(self) -> NDArray[np.bool_]:
        return np.array([bettor.log_peak > -math.log(self._tail) for bettor in self._above])

    def _cleared(self) -> NDArray[np.bool_]:
        return np.array([bettor.log_peak > -math.log(self._alpha) for bettor in self._below])

    def _choose(self) -> list[int]:
        """Return the arms to play next, most telling first; none, and the reason set, where the race is over."""
        fresh = np.flatnonzero(self._asked == 0)
        if fresh.size:
            return [int(arm) for arm in fresh]
        mean, sd = self._moments()
        proven = self._proven()
        if proven.any():
            return self._refined(mean, sd, proven)
        cleared = self._cleared()
        passes, clears = _forecast(mean, sd, np.maximum(self._seen, 1), self._n, self._alpha, self._tau)
        unfinished = self._asked < self._n
        passes = np.where(unfinished, passes, 0.0)
        gain = 1.0 - float(np.prod(1.0 - passes))
        within = float(np.prod(np.where(cleared, 1.0, np.where(unfinished, clears, 0.0))))
        done = bool(cleared.all())
        if gain < self._give_up and (done or within < self._give_up):
            self._stopped = "decided" if done else "hopeless"
            return []
        useful = unfinished & ~cleared if within >= self._give_up and not done else unfinished & (passes > 0.0)
        ranked = np.flatnonzero(useful)
        # what is most likely to show an uplift is also most likely to rule out "within"
        ranked = ranked[np.lexsort((self._asked[ranked], -passes[ranked]))]
        return [int(arm) for arm in ranked[: self._width]]

    def _refined(self, mean: Array, sd: Array, proven: NDArray[np.bool_]) -> list[int]:
        """Return the leader and whoever might be stronger, until the leader is played out."""
        half = math.sqrt(-2.0 * math.log(self._tail)) * sd / np.sqrt(np.maximum(self._seen, 1))
        low, high = mean - half, mean + half
        leader = int(np.argmax(np.where(proven, low, -np.inf)))
        if not self._refine or self._asked[leader] >= self._n:
            self._stopped = "decided"
            return []
        rivals = (self._asked < self._n) & (high > low[leader])
        rivals[leader] = False
        ranked = np.flatnonzero(rivals)
        ranked = ranked[np.argsort(-high[ranked], kind="stable")]
        return [leader, *(int(arm) for arm in ranked[:1])]

    def _moments(self) -> tuple[Array, Array]:
        """Return each arm's mean and standard deviation, the latter drawn towards the arms' common one."""
        n = np.maximum(self._seen, 1)
        mean = self._sum / n
        within = np.maximum(self._squares - n * mean * mean, 0.0)
        pooled = (within.sum() + _NOISE_PROMPTS * _NOISE_SD**2) / (n.sum() + _NOISE_PROMPTS)
        return mean, np.sqrt((within + _NOISE_PROMPTS * pooled) / (n + _NOISE_PROMPTS))


def _early(n_prompts: int) -> int:
    """Return the horizon of upper limits: an attack that is dropped for its own is to be dropped early."""
    return max(1, n_prompts // 4)


def _forecast(mean: Array, sd: Array, n: NDArray[np.intp], total: int, alpha: float, tau: float) -> tuple[Array, Array]:
    """Return each arm's chance that, on all prompts, its lower limit exceeds 0, and that its upper one is below tau.

    Predictive probabilities with an arm's true uplift either 0 or normal around 0.
    """
    from scipy.special import ndtr, ndtri

    count = len(mean)
    works = 1.0 - (1.0 - _ANY_WORKS) ** (1.0 / count)
    noise = sd * sd / n
    slab = _EFFECT_SD**2
    log_odds = (
        math.log(works / (1.0 - works)) - 0.5 * np.log1p(slab / noise) + 0.5 * mean**2 * slab / (noise * (noise + slab))
    )
    chance = 1.0 / (1.0 + np.exp(-log_odds))
    left = 1.0 - n / total
    own = sd * sd * left / total  # of the mean of all prompts, from the prompts left
    shrunk = mean * slab / (slab + noise)
    spread = left * left * slab * noise / (slab + noise) + own
    done = n / total * mean
    passing = float(ndtri(1.0 - alpha / (2 * count))) * sd / math.sqrt(total)
    # a betting limit shrinks with the spread, and no faster than one over the prompts where there is none
    log = -math.log(alpha)
    clearing = tau - np.maximum(math.sqrt(2.0 * log) * sd / math.sqrt(total), log / (LARGEST_STAKE * total))

    def below(limit: Array) -> Array:
        null = ndtr((limit - done) / np.sqrt(own + 1e-18))
        real = ndtr((limit - done - left * shrunk) / np.sqrt(spread + 1e-18))
        return np.asarray((1.0 - chance) * null + chance * real)

    return 1.0 - below(passing), below(clearing)
