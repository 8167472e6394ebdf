"""A race reaches the full grid's grade with a quarter of its calls, and does not claim what is not so."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import binom

from auditkit.stats.racing import Race, Racing, race_limits
from auditkit.stats.uplift import Grade, suite_uplift, uplift_grade

Array = NDArray[np.float64]

ARMS, PROMPTS = 40, 805
SCENARIOS = ("honest", "one strong", "several mild", "mixed")


@dataclass(frozen=True)
class Compared:
    """A race beside the full grid on the same judgments."""

    race: Race
    grade: Grade
    floor: float
    wrong: bool


def uplifts(scenario: str, rng: np.random.Generator) -> Array:
    """Return the true uplift of each attack."""
    truth = np.zeros(ARMS)
    order = rng.permutation(ARMS)
    if scenario == "one strong":
        truth[order[0]] = 0.20
    elif scenario == "one mild":
        truth[order[0]] = 0.08
    elif scenario == "several mild":
        truth[order[:5]] = 0.08
    elif scenario == "mixed":
        truth[order[0]], truth[order[1:5]], truth[order[5:10]] = 0.15, 0.06, -0.05
    return truth


def judged(rng: np.random.Generator, truth: Array, n: int, noise: float) -> Array:
    """Return paired differences of a noisy judge: most 0, attacks correlated through the clean game they share."""
    z = ndtr(math.sqrt(0.3) * rng.normal(size=(n, 1)) + math.sqrt(0.7) * rng.normal(size=(n, len(truth))))
    differences = np.empty_like(z)
    for k, uplift in enumerate(truth):
        p = noise * np.array([0.15, 0.35, 0.0, 0.35, 0.15])
        p[2] = 1 - p.sum() - abs(uplift)
        p[4 if uplift > 0 else 0] += abs(uplift)
        differences[:, k] = np.array([-1, -0.5, 0, 0.5, 1])[np.minimum(np.searchsorted(np.cumsum(p), z[:, k]), 4)]
    return np.asarray(differences)


def run(racing: Racing, differences: Array) -> Race:
    """Race on judgments made before."""
    while (work := racing.next()) is not None:
        for arm, prompts in work:
            racing.tell(arm, differences[prompts, arm])
    return racing.result()


def compare(scenario: str, seed: int, noise: float = 0.2) -> Compared:
    """Race and play the full grid."""
    rng = np.random.default_rng([seed, 7])
    truth = uplifts(scenario, rng)
    differences = judged(rng, truth, PROMPTS, noise)
    full = suite_uplift(differences, replicates=500, seed=seed)
    race = run(Racing(ARMS, PROMPTS, seed=seed), differences)
    false_claim = any(a.lower > t for a, t in zip(race.arms, truth, strict=True)) or race.ceiling < truth.max()
    return Compared(race, uplift_grade(full.floor, full.ceiling), full.floor, false_claim)


def test_a_race_reaches_the_grade_with_a_quarter_of_the_calls() -> None:
    """20 seeds over four scenarios: the full grid's grade in all but one, on average below a quarter of the calls."""
    found = [compare(SCENARIOS[seed % 4], seed) for seed in range(20)]
    assert sum(c.race.grade == c.grade for c in found) >= 19
    assert np.mean([c.race.share for c in found]) <= 0.25
    assert sum(c.wrong for c in found) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [*SCENARIOS, "one mild"])
def test_a_race_reaches_the_grade_over_200_seeds(scenario: str) -> None:
    """The issue's target for each scenario: the same grade, at most a quarter of the calls, error at most 5%.

    The same grade in 95% of seeds: the full grid itself accuses an honest judge in up to 2.5%. In 92% where one attack in
    40 gains 8 points, of which the full grid shows 3: a race may give it up.
    """
    found = [compare(scenario, seed) for seed in range(200)]
    assert np.mean([c.race.grade == c.grade for c in found]) >= (0.92 if scenario == "one mild" else 0.95)
    assert np.mean([c.race.share for c in found]) <= 0.25
    assert sum(c.wrong for c in found) <= binom.ppf(0.999, 200, 0.05)
    gameable = [c for c in found if c.race.grade == c.grade == "gameable"]
    if scenario != "honest":
        # the size reported is near the full grid's
        assert np.mean([c.floor - c.race.floor for c in gameable]) < 0.03


@pytest.mark.slow
def test_a_quiet_judge_is_cleared_over_200_seeds() -> None:
    """A judge that wavers on 1% of the prompts is mostly within two points by both, with under three tenths of the calls.

    No fewer: even answers that never change need ln(20) / 0.9 / 0.02 = 166 of 805 prompts each. Both grades turn on the
    few prompts that waver, so they agree in nine seeds of ten.
    """
    found = [compare("honest", seed, noise=0.01) for seed in range(200)]
    assert np.mean([c.grade == "within" for c in found]) >= 0.85
    assert np.mean([c.race.grade == "within" for c in found]) >= 0.85
    assert np.mean([c.race.grade == c.grade for c in found]) >= 0.90
    assert np.mean([c.race.share for c in found]) <= 0.30
    assert sum(c.wrong for c in found) <= binom.ppf(0.999, 200, 0.05)


def test_constant_answers_are_cleared_as_soon_as_they_can_be() -> None:
    """Attacks that never change a verdict: each is dropped once its upper limit is below tau."""
    race = run(Racing(6, 805), np.zeros((805, 6)))
    assert (race.grade, race.stopped) == ("within", "decided")
    assert {a.status for a in race.arms} == {"below_tau"}
    assert all(a.n < 200 for a in race.arms)
    assert 0 < race.ceiling <= race.tau
    assert race.floor < 0


def test_a_small_grid_is_given_up_early() -> None:
    """80 prompts cannot show 2 points: the race says so after an eighth instead of playing on."""
    race = run(Racing(20, 80), np.zeros((80, 20)))
    assert (race.grade, race.stopped) == ("unresolved", "hopeless")
    assert race.share < 0.2


def test_the_strongest_is_played_out_and_the_others_are_not() -> None:
    """One attack of 30 points among 20: it gets all its prompts, the others a fraction, unless refining is off."""
    truth = np.zeros(20)
    truth[13] = 0.3
    differences = judged(np.random.default_rng(1), truth, 500, 0.2)
    race = run(Racing(20, 500), differences)
    assert (race.grade, race.best, race.stopped) == ("gameable", 13, "decided")
    assert race.arms[13].n == 500
    assert race.arms[13].status == "above_zero"
    assert max(a.n for k, a in enumerate(race.arms) if k != 13) < 150
    quick = run(Racing(20, 500, refine=False), differences)
    assert quick.grade == "gameable"
    assert quick.played < race.played
    assert 0 < quick.floor < race.floor


def test_prompts_come_in_one_random_order() -> None:
    """Every arm walks through the same permutation, each prompt at most once; another seed, another order."""
    seen: dict[int, list[int]] = {0: [], 1: [], 2: []}
    racing = Racing(3, 100, seed=5)
    rng = np.random.default_rng(0)
    while (work := racing.next()) is not None:
        for arm, prompts in work:
            seen[arm] += prompts.tolist()
            racing.tell(arm, rng.choice([-0.5, 0.0, 0.5], len(prompts)))
    longest = max(seen.values(), key=len)
    assert len(set(longest)) == len(longest)
    assert all(own == longest[: len(own)] for own in seen.values())
    assert longest != sorted(longest)
    other = Racing(3, 100, seed=6).next()
    assert other is not None
    assert other[0][1].tolist() != longest[: len(other[0][1])]


def test_answers_may_come_in_any_order_and_be_awaited() -> None:
    """While answers are out there is nothing to ask; arms answered in another order race alike."""
    differences = judged(np.random.default_rng(2), np.array([0.0, 0.2, 0.0, 0.0]), 300, 0.2)
    forward, backward = Racing(4, 300), Racing(4, 300)
    while (work := forward.next()) is not None:
        assert forward.next() == []
        asked = {arm: prompts.tolist() for arm, prompts in work}
        other = backward.next()
        assert other is not None
        assert {arm: prompts.tolist() for arm, prompts in other} == asked
        for arm, prompts in work:
            forward.tell(arm, differences[prompts, arm])
        for arm, prompts in reversed(other):
            assert backward.result().stopped == "running"
            backward.tell(arm, differences[prompts, arm])
    assert backward.next() is None
    assert forward.result() == backward.result()


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 60), st.integers(0, 100))
def test_a_race_ends_within_its_budget(seed: int, arms: int, prompts: int, budget: int) -> None:
    """Any judgments, missing ones too: it ends, plays no more than allowed, and its limits are in order."""
    rng = np.random.default_rng(seed)
    differences = rng.choice([-1.0, 0.0, 0.5, 1.0, np.nan], (prompts, arms))
    race = run(Racing(arms, prompts, budget=budget, seed=seed), differences)
    assert race.played <= min(budget, arms * prompts)
    assert race.played == sum(a.n + a.missing for a in race.arms)
    assert race.share == race.played / (arms * prompts)
    assert race.floor == race.arms[race.best].lower
    for a in race.arms:
        assert a.lower >= -1
        assert a.upper <= 1
        assert a.n > 0 or math.isnan(a.estimate)
    if any(a.n == 0 for a in race.arms):
        assert race.ceiling == 1
        assert race.grade != "within"


def test_limits_can_be_derived_from_the_record() -> None:
    """The values in their order, and what was planned, give the race's limits anew."""
    differences = judged(np.random.default_rng(3), np.array([0.0, 0.1, 0.3]), 300, 0.2)
    racing, played = Racing(3, 300), [np.empty(0)] * 3
    while (work := racing.next()) is not None:
        for arm, prompts in work:
            racing.tell(arm, differences[prompts, arm])
            played[arm] = np.concatenate([played[arm], differences[prompts, arm]])
    race = racing.result()
    limits = [race_limits(x, n_arms=3, n_prompts=300) for x in played]
    assert [(low, high) for low, high, _ in limits] == [(a.lower, a.upper) for a in race.arms]
    assert max(own for *_, own in limits) == race.ceiling
    assert race_limits(np.empty(0), n_arms=3, n_prompts=300) == (-1.0, 1.0, 1.0)


def test_missing_verdicts_are_counted() -> None:
    """Prompts without a verdict are played and counted, never taken for 0."""
    differences = np.full((50, 2), np.nan)
    differences[::2, 0] = 1.0
    race = run(Racing(2, 50), differences)
    assert race.arms[1].n == 0
    assert race.arms[1].missing > 0
    assert math.isnan(race.arms[1].estimate)
    assert race.arms[0].estimate == 1.0
    assert race.grade == "gameable"


def test_bad_input_is_refused() -> None:
    """Settings out of range, and values that were not asked for."""
    with pytest.raises(ValueError, match="attacks and prompts"):
        Racing(0, 5)
    with pytest.raises(ValueError, match="must lie in"):
        Racing(1, 5, tau=0.0)
    racing = Racing(2, 50)
    with pytest.raises(ValueError, match="awaits 0 values"):
        racing.tell(0, [0.0])
    work = racing.next()
    assert work is not None
    size = len(work[0][1])
    with pytest.raises(ValueError, match=f"awaits {size} values, got 1"):
        racing.tell(0, [0.0])
    with pytest.raises(ValueError, match=r"lie in -1\.\.1"):
        racing.tell(0, np.full(size, 2.0))
