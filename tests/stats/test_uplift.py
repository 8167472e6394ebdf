"""Bounds of a suite: known truth, exact special cases, agreement with slower code, and what must not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr

from auditkit.errors import NoData
from auditkit.stats.betting import betting_interval
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.uplift import (
    SuiteUplift,
    paired_differences,
    paired_uplift,
    suite_uplift,
    two_sided_p,
    uplift_grade,
)

Array = NDArray[np.float64]

LEVELS = [-1.0, -0.5, 0.0, 0.5, 1.0]
MATRICES = st.integers(0, 2**32 - 1).map(lambda seed: judged(np.random.default_rng(seed), 60, np.zeros(4)))


def judged(rng: np.random.Generator, n: int, uplift: Array, noise: float = 0.2) -> Array:
    """Return paired differences (n, K) as judging gives them: most 0, attacks correlated through the shared clean game."""
    z = math.sqrt(0.4) * rng.normal(size=(n, 1)) + math.sqrt(0.6) * rng.normal(size=(n, len(uplift)))
    p = np.tile(noise * np.array([0.15, 0.35, 0.0, 0.35, 0.15]), (len(uplift), 1))
    p[:, 2] = 1 - p.sum(axis=1) - np.abs(uplift)
    p[:, 4] += np.maximum(uplift, 0)
    p[:, 0] += np.maximum(-uplift, 0)
    edges = np.cumsum(p, axis=1)
    return np.asarray(np.array(LEVELS)[np.minimum((ndtr(z)[:, :, None] > edges[None]).sum(axis=2), 4)])


def misses(found: SuiteUplift, truth: Array) -> bool:
    """Tell whether any simultaneous interval misses its truth."""
    lower, upper = (np.array([getattr(a, f"{end}_bound") for a in found.attacks]) for end in ("lower", "upper"))
    return bool(((lower > truth + 1e-12) | (upper < truth - 1e-12)).any())


def assert_rare(count: int, n: int, rate: float = 0.05) -> None:
    """Fail where a rate of at most `rate` gives a count this large less than once in a thousand times."""
    assert count <= stats.binom.ppf(0.999, n, rate), f"{count} of {n}"


def test_honest_judge_is_seldom_accused() -> None:
    """Forty attacks without effect: some lower bound above 0 in at most 5% of 200 seeds; so with the ceiling below 0."""
    accused = under = 0
    for seed in range(200):
        differences = judged(np.random.default_rng([seed, 1]), 150, np.zeros(40), 0.4)
        found = suite_uplift(differences, replicates=300, seed=seed)
        accused += found.floor > 0
        under += found.ceiling < 0
    assert_rare(accused, 200)
    assert_rare(under, 200)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "noise"), [(80, 0.2), (150, 0.05), (805, 0.2)])
def test_honest_judge_is_seldom_accused_over_1000_seeds(n: int, noise: float) -> None:
    """The same over 1,000 seeds, at the sizes of MT-Bench and AlpacaEval and for a judge that hardly ever wavers."""
    accused = 0
    for seed in range(1000):
        differences = judged(np.random.default_rng([seed, 2]), n, np.zeros(40), noise)
        accused += suite_uplift(differences, replicates=1000, seed=seed).floor > 0
    assert_rare(accused, 1000)


def test_planted_uplifts_lie_inside() -> None:
    """Planted uplifts, some negative, some rare: all simultaneous intervals hold theirs in 95% of 100 seeds."""
    truth = np.concatenate([np.zeros(10), [0.25, 0.1, 0.05, 0.02, -0.1]])
    missed, single = 0, 0
    for seed in range(100):
        found = suite_uplift(judged(np.random.default_rng([seed, 3]), 300, truth), replicates=500, seed=seed)
        missed += misses(found, truth)
        single += sum(not a.ci[0] <= t <= a.ci[1] for a, t in zip(found.attacks, truth, strict=True))
        assert found.floor <= truth.max() + 0.05
        assert found.best == 10
    assert_rare(missed, 100)
    assert 0.02 <= single / (100 * len(truth)) <= 0.07


@pytest.mark.slow
def test_planted_uplifts_lie_inside_over_1000_seeds() -> None:
    """At the nominal rate, neither below nor far above: 95% of 1,000 seeds; the ceiling fails in at most 5%."""
    truth = np.concatenate([np.zeros(20), np.linspace(-0.1, 0.3, 20)])
    missed = over = 0
    for seed in range(1000):
        found = suite_uplift(judged(np.random.default_rng([seed, 4]), 500, truth), replicates=1000, seed=seed)
        missed += misses(found, truth)
        over += found.ceiling < truth.max()
    assert_rare(missed, 1000)
    assert missed >= 15
    assert_rare(over, 1000)


def test_statistics_are_the_studentised_bootstrap() -> None:
    """Bounds and p-values equal a plain loop over resamples, attacks and steps."""
    differences = judged(np.random.default_rng(5), 200, np.array([0.0, 0.05, 0.15]))
    found = suite_uplift(differences, replicates=300, seed=9)
    assert {a.method for a in found.attacks} == {"max_t"}
    rows = differences[np.lexsort(differences.T)]
    mean, se = rows.mean(axis=0), rows.std(axis=0, ddof=1) / math.sqrt(200)
    t = np.empty((300, 3))
    for r, weight in enumerate(prompt_weights(200, 300, np.random.default_rng(9))):
        drawn = np.repeat(rows, weight.astype(int), axis=0)
        t[r] = (drawn.mean(axis=0) - mean) / (drawn.std(axis=0, ddof=1) / math.sqrt(200))
    top, bottom = np.sort(t.max(axis=1))[::-1], np.sort(t.min(axis=1))
    lower = np.array([a.lower_bound for a in found.attacks])
    upper = np.array([a.upper_bound for a in found.attacks])
    # 2.5% of 300 replicates lie beyond the eighth
    assert lower == pytest.approx(mean - top[7] * se)
    assert upper == pytest.approx(mean - bottom[7] * se)
    observed, left, p, largest = mean / se, [0, 1, 2], [0.0] * 3, 0.0
    while left:
        k = max(left, key=lambda j: observed[j])
        largest = max(largest, (1 + int((t[:, left].max(axis=1) >= observed[k]).sum())) / 301)
        p[k] = largest
        left.remove(k)
    assert [a.adjusted_p for a in found.attacks] == pytest.approx(p)
    assert [a.se for a in found.attacks] == pytest.approx(se)


def test_many_prompts_agree_with_student() -> None:
    """One attack on many prompts: the interval is the t interval, the p-value its one-sided p."""
    x = np.random.default_rng(6).normal(0.02, 0.2, 2000).clip(-1, 1)
    found = paired_uplift(x, replicates=4000)
    low, high = stats.t.interval(0.95, 1999, x.mean(), x.std(ddof=1) / math.sqrt(2000))
    assert found.ci == pytest.approx((low, high), abs=0.0008)
    assert (found.lower_bound, found.upper_bound) == found.ci
    assert found.adjusted_p == pytest.approx(stats.ttest_1samp(x, 0, alternative="greater").pvalue, abs=0.002)


def test_correlated_attacks_cost_less_than_bonferroni() -> None:
    """Copies of one attack are bounded like one attack; independent ones like Bonferroni."""
    rng = np.random.default_rng(7)
    one = judged(rng, 400, np.array([0.1]))
    copies = suite_uplift(np.repeat(one, 30, axis=1), replicates=4000)
    assert copies.attacks[4].lower_bound == pytest.approx(paired_uplift(one, replicates=4000).lower_bound)
    mixed = suite_uplift(rng.normal(0, 0.2, (1000, 20)).clip(-1, 1), replicates=10_000)
    a = mixed.attacks[0]
    assert (a.estimate - a.lower_bound) / a.se == pytest.approx(stats.norm.isf(0.025 / 20), abs=0.15)


def test_near_constant_attacks_are_bounded_by_betting() -> None:
    """Columns without spread, with a handful of flips or few prompts never get an interval of width 0."""
    rng = np.random.default_rng(8)
    differences = judged(rng, 805, np.zeros(5))
    differences[:, 1] = 0.0
    differences[:, 2] = 0.5
    differences[:, 3] = 0.0
    differences[:6, 3] = 1.0
    differences[12:, 4] = np.nan
    found = suite_uplift(differences, replicates=1000)
    assert [a.method for a in found.attacks] == ["max_t", "betting", "betting", "betting", "betting"]
    constant = found.attacks[1]
    wide = betting_interval(np.zeros(805), 1 - 0.05 / 5)
    assert (constant.lower_bound, constant.upper_bound) == wide.ci
    assert constant.ci == betting_interval(np.zeros(805)).ci
    assert constant.se == 0.0
    assert 0 < constant.mde < 0.04
    assert constant.adjusted_p == 1.0
    assert found.attacks[2].adjusted_p < 1e-6
    assert 0.45 < found.floor < 0.5
    assert found.best == 2
    assert found.attacks[4].n == 12
    # the t-bounded one shares the error with four others: as wide as one of five
    narrow = suite_uplift(differences[:, [0]], replicates=1000).attacks[0]
    assert found.attacks[0].lower_bound < narrow.lower_bound


def test_ceiling_is_below_the_largest_upper_bound() -> None:
    """The largest uplift's bound needs no correction for the number of attacks; a suite of one has only its own."""
    differences = judged(np.random.default_rng(9), 300, np.zeros(30))
    found = suite_uplift(differences, replicates=1000)
    assert max(a.estimate for a in found.attacks) < found.ceiling < max(a.upper_bound for a in found.attacks)


def test_missing_prompts_are_left_out() -> None:
    """An attack played on a part of the prompts is the attack on that part."""
    rng = np.random.default_rng(10)
    differences = judged(rng, 400, np.array([0.1, 0.0]))
    part = differences.copy()
    part[rng.random(400) < 0.5, 0] = np.nan
    found = suite_uplift(part, replicates=2000)
    kept = part[np.isfinite(part[:, 0]), 0]
    alone = paired_uplift(kept, replicates=2000)
    assert found.attacks[0].n == kept.size
    assert found.attacks[0].estimate == pytest.approx(kept.mean())
    assert found.attacks[0].ci == pytest.approx(alone.ci, abs=0.006)
    assert found.attacks[1].n == 400


@given(MATRICES, st.randoms(use_true_random=False))
def test_order_of_prompts_changes_nothing(differences: Array, random: object) -> None:
    """Prompts in another order give the same result to the last bit."""
    order = list(range(len(differences)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert suite_uplift(differences[order], replicates=99) == suite_uplift(differences, replicates=99)


@given(MATRICES)
def test_bounds_are_ordered_and_grow_with_the_level(differences: Array) -> None:
    """Lower bound, interval, estimate, interval, upper bound, in this order, within -1..1; wider at a higher level."""
    previous = None
    for level in (0.8, 0.9, 0.99):
        found = suite_uplift(differences, level, replicates=199)
        for a in found.attacks:
            assert -1 <= a.lower_bound <= a.ci[0] <= a.estimate <= a.ci[1] <= a.upper_bound <= 1
            assert 0 < a.adjusted_p <= 1
        assert found.floor == max(a.lower_bound for a in found.attacks) == found.attacks[found.best].lower_bound
        assert found.floor <= found.ceiling
        if previous is not None:
            for a, narrower in zip(found.attacks, previous.attacks, strict=True):
                assert a.lower_bound <= narrower.lower_bound + 1e-6
                assert a.upper_bound >= narrower.upper_bound - 1e-6
            assert found.ceiling >= previous.ceiling - 1e-6
        previous = found


def test_claims_and_p_values_agree() -> None:
    """A lower bound above 0 comes with an adjusted p-value of at most half the error."""
    truth = np.array([0.0, 0.04, 0.06, 0.1, 0.2])
    for seed in range(10):
        found = suite_uplift(judged(np.random.default_rng(seed), 400, truth), replicates=1000)
        for a in found.attacks:
            assert a.lower_bound <= 0 or a.adjusted_p <= 0.025 + 1 / 1000


def test_paired_differences_take_one_clean_run_or_one_each() -> None:
    """One clean column is shared; missing on either side stays missing."""
    clean, attacked = np.array([0.0, 1.0, np.nan]), np.array([[1.0, 0.5], [np.nan, 0.5], [1.0, 1.0]])
    expected = np.array([[1.0, 0.5], [np.nan, -0.5], [np.nan, np.nan]])
    np.testing.assert_array_equal(paired_differences(clean, attacked), expected)
    np.testing.assert_array_equal(paired_differences(np.column_stack([clean, clean]), attacked), expected)
    np.testing.assert_array_equal(paired_differences(clean, attacked[:, 0]), expected[:, :1])
    with pytest.raises(ValueError, match="do not fit"):
        paired_differences(clean[:2], attacked)
    with pytest.raises(ValueError, match=r"lie in 0\.\.1"):
        paired_differences(clean, attacked * 2)


@pytest.mark.parametrize(
    ("floor", "ceiling", "grade"),
    [
        (0.01, 0.3, "gameable"),
        (0.001, 0.015, "gameable"),
        (0.0, 0.02, "within"),
        (-0.1, 0.01, "within"),
        (-0.1, 0.021, "unresolved"),
    ],
)
def test_grades(floor: float, ceiling: float, grade: str) -> None:
    """A floor above 0 comes first, then a ceiling of at most tau."""
    assert uplift_grade(floor, ceiling) == grade


def test_bad_input_is_refused() -> None:
    """No attack, none played, out of bounds: one clear error each."""
    with pytest.raises(NoData, match="no attacks"):
        suite_uplift(np.empty((5, 0)))
    with pytest.raises(NoData, match="attack 1 was played on no prompt"):
        suite_uplift([[0.1, np.nan], [0.2, np.nan]])
    with pytest.raises(ValueError, match=r"lie in -1\.\.1"):
        suite_uplift([[1.5]])
    with pytest.raises(ValueError, match=r"lie in -1\.\.1"):
        suite_uplift([[np.inf]])
    with pytest.raises(ValueError, match="level must lie"):
        suite_uplift([[0.5]], 0.0)
    with pytest.raises(ValueError, match="replicates must be"):
        suite_uplift([[0.5]], replicates=0)


@pytest.mark.parametrize(("n", "level", "method"), [(200, 0.95, "max_t"), (200, 0.8, "max_t"), (12, 0.95, "betting")])
def test_the_reported_bound_finds_the_reported_effect(n: int, level: float, method: str) -> None:
    """A true uplift of the `mde` that is reported has a lower bound above 0 in 80% of the draws: that very bound.

    For betting the figure takes the spread's upper limit and so is found more often.
    """
    rng = np.random.default_rng(4)
    noise = rng.choice([-0.1, 0.0, 0.1], size=(n, 8))
    mde = suite_uplift(noise, level, replicates=1000).attacks[0].mde
    assert 0 < mde < 1
    found = []
    for _ in range(200):
        drawn = rng.choice([-0.1, 0.0, 0.1], size=(n, 8))
        drawn[:, 0] += mde
        a = suite_uplift(np.clip(drawn, -1, 1), level, replicates=200).attacks[0]
        found.append(a.lower_bound > 0)
        assert a.method == method
    assert np.mean(found) == pytest.approx(0.8, abs=0.1) if method == "max_t" else np.mean(found) > 0.8


def test_one_prompt_says_almost_nothing() -> None:
    """A single prompt has no standard error and an interval of nearly all that is possible."""
    found = paired_uplift([1.0])
    assert math.isnan(found.se)
    assert found.lower_bound < 0 < found.upper_bound == 1
    assert found.mde > 1


# --- two-sided p-values -----------------------------------------------------------------------------------------------

#: Differences with mean 0, by how skewed they are: values and their chances.
OUTCOMES: dict[str, tuple[list[float], list[float]]] = {
    "coin": ([-1.0, 1.0], [0.5, 0.5]),
    "mostly none": ([-1.0, 0.0, 1.0], [0.15, 0.7, 0.15]),
    "skewed": ([-1.0 / 3.0, 1.0], [0.75, 0.25]),
    "skewed, mostly none": ([-0.25, 0.0, 1.0], [0.4, 0.5, 0.1]),
}


def _wrong(outcome: str, n: int, seeds: int, replicates: int) -> float:
    """Return how often 5% finds a difference where there is none."""
    values, chances = OUTCOMES[outcome]
    draws = (np.random.default_rng([seed, n]).choice(values, n, p=chances) for seed in range(seeds))
    found = [two_sided_p(draw, replicates=replicates, seed=seed) for seed, draw in enumerate(draws)]
    return float(np.mean(np.array(found) <= 0.05))


@pytest.mark.parametrize("outcome", ["coin", "skewed"])
def test_a_p_value_is_wrong_as_often_as_it_says(outcome: str) -> None:
    """At 5%, of 300 samples of 100 prompts 1.5 to 8.5% (2.8 standard errors), with replicates whose floor is 3.3%."""
    assert 0.015 <= _wrong(outcome, 100, 300, 60) <= 0.085


@pytest.mark.slow
@pytest.mark.parametrize("replicates", [60, 200, 1000])
@pytest.mark.parametrize("n", [30, 100, 200, 800])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_p_values_over_many_samples(outcome: str, n: int, replicates: int) -> None:
    """At most 6.5% at 5% everywhere, and at least 3% from 200 prompts on: fewer, or few that differ, are bet on."""
    rate = _wrong(outcome, n, 1500, replicates)
    assert rate <= 0.065
    assert rate >= 0.03 or n < 200


def test_a_p_value_has_no_floor() -> None:
    """Seven standard errors are less likely than five, with 50 replicates as with 10,000; Student's t says how much."""
    rng = np.random.default_rng(5)
    noise = rng.uniform(-0.5, 0.5, 300)
    noise -= noise.mean()
    se = noise.std(ddof=1) / math.sqrt(300)
    found = [[two_sided_p(noise + k * se, replicates=b) for k in (1.0, 2.0, 3.0, 5.0, 7.0)] for b in (50, 10_000)]
    for p in found:
        assert p == sorted(p, reverse=True)
        assert len(set(p)) == 5
    exact = [2.0 * float(stats.t.sf(k, 299)) for k in (1.0, 2.0, 3.0, 5.0, 7.0)]
    assert np.log10(found[1]) == pytest.approx(np.log10(exact), abs=0.8)
    assert found[0][4] < 1e-5


@given(st.integers(0, 2**32 - 1))
def test_a_p_value_does_not_depend_on_direction_or_order(seed: int) -> None:
    """Turned or shuffled differences have the same p-value, between 0 and 1."""
    rng = np.random.default_rng(seed)
    values = rng.choice([-1.0, 0.0, 0.5, 1.0], int(rng.integers(2, 60)))
    p = two_sided_p(values, replicates=50)
    assert 0.0 <= p <= 1.0
    assert two_sided_p(-values, replicates=50) == p
    assert two_sided_p(rng.permutation(values), replicates=50) == p
