"""Betting limits hold at every n, whatever the distribution, and while one watches."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from auditkit.errors import NoData
from auditkit.stats.betting import (
    Bettor,
    anytime_lower,
    anytime_p_value,
    anytime_upper,
    betting_interval,
    betting_p_value,
    confidence_sequence,
    empirical_bernstein_interval,
)

Array = NDArray[np.float64]

VALUES = st.lists(st.sampled_from([-1.0, -0.5, -0.1, 0.0, 0.3, 0.5, 1.0]), min_size=1, max_size=40)
#: Zero-mean and not, symmetric and skewed, mostly one value.
SHAPES = [
    ([-1.0, 0.0, 1.0], [0.1, 0.8, 0.1]),
    ([-0.5, 0.0, 1.0], [0.02, 0.97, 0.01]),
    ([-1.0, 1.0], [0.05, 0.95]),
    ([0.0, 1.0], [0.9, 0.1]),
]


def failures_allowed(n: int, rate: float) -> int:
    """Return how many of n independent failures at `rate` are exceeded once in a thousand times."""
    return int(binom.ppf(0.999, n, rate))


@pytest.mark.parametrize(("values", "p"), SHAPES)
@pytest.mark.parametrize("n", [5, 30])
def test_intervals_cover(values: list[float], p: list[float], n: int) -> None:
    """90% intervals miss the mean in at most 10% of draws, both kinds, at any n."""
    rng = np.random.default_rng(0)
    truth = float(np.dot(values, p))
    betting = bernstein = 0
    for _ in range(100):
        x = rng.choice(values, n, p=p)
        low, high = betting_interval(x, 0.9).ci
        betting += not low <= truth <= high
        low, high = empirical_bernstein_interval(x, 0.9).ci
        bernstein += not low <= truth <= high
    assert betting <= failures_allowed(100, 0.1)
    assert bernstein <= failures_allowed(100, 0.1)


@pytest.mark.parametrize(("values", "p"), SHAPES)
def test_capital_grows_past_its_limit_seldom_at_any_time(values: list[float], p: list[float]) -> None:
    """Looked at after every value, the true mean is refuted at 5% in at most 5% of runs (Ville)."""
    rng = np.random.default_rng(1)
    truth = float(np.dot(values, p))
    refuted = 0
    for _ in range(1000):
        bettor = Bettor(truth, 0.05, 200)
        bettor.update(rng.choice(values, 200, p=p))
        refuted += bettor.log_peak > math.log(20)
    assert refuted <= failures_allowed(1000, 0.05)


def test_betting_beats_bernstein_and_hoeffding() -> None:
    """On paired differences of verdicts the betting interval is the narrowest; Hoeffding's half-widths as specified."""
    rng = np.random.default_rng(2)
    for n, published in ((80, 0.274), (500, 0.109), (805, 0.086)):
        hoeffding = 2.0 * math.sqrt(math.log(20) / (2 * n))
        assert hoeffding == pytest.approx(published, abs=5e-4)  # one-sided 95%, range 2
        x = rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], n, p=[0.03, 0.07, 0.8, 0.07, 0.03])
        low, high = betting_interval(x, 0.9).ci
        wide_low, wide_high = empirical_bernstein_interval(x, 0.9).ci
        assert high - low < wide_high - wide_low
        assert (high - low) / 2 < 0.6 * hoeffding


def test_constant_values_give_the_closed_form() -> None:
    """Of 805 prompts that never change, the mean is within about ln(1/alpha) / (0.9 n) of 0, not exactly 0."""
    low, high = betting_interval(np.zeros(805), 0.9).ci
    assert high == pytest.approx(math.log(20) / (0.9 * 805), rel=0.05)
    assert low == pytest.approx(-high)


def test_empirical_bernstein_is_the_formula() -> None:
    """Worked by hand: n = 4, V = 1/3, R = 1, ln(4 / 0.05)."""
    found = empirical_bernstein_interval([0, 0, 1, 1], 0.95, bounds=(-100.0, -99.0 + 100.0))
    log = math.log(80)
    half = math.sqrt(2 * (1 / 3) * log / 4) + 7 * 101 * log / 9
    assert found.ci == (max(-100, 0.5 - half), min(1.0, 0.5 + half))


@given(VALUES, st.randoms(use_true_random=False))
def test_order_changes_nothing_and_signs_mirror(values: list[float], random: object) -> None:
    """A planned interval depends on the values alone; turning their signs turns the interval."""
    mixed = list(values)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    found = betting_interval(values)
    assert betting_interval(mixed) == found
    turned = betting_interval([-v for v in values])
    assert (-turned.ci[1], -turned.ci[0]) == pytest.approx(found.ci, abs=1e-2)
    assert -1 <= found.ci[0] <= found.estimate <= found.ci[1] <= 1


@given(VALUES)
def test_higher_levels_are_wider(values: list[float]) -> None:
    """The interval grows with the level, and with the bounds."""
    ends = [betting_interval(values, level).ci for level in (0.8, 0.95, 0.99, 0.999)]
    for (low, high), (wider_low, wider_high) in pairwise(ends):
        assert wider_low <= low + 1e-6
        assert wider_high >= high - 1e-6


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(-5, 5), st.floats(0.1, 10))
def test_units_do_not_matter(values: list[float], shift: float, scale: float) -> None:
    """Shifted and scaled with their bounds, values give the shifted and scaled interval."""
    plain = betting_interval(values, bounds=(0.0, 1.0)).ci
    moved = np.clip(np.array(values) * scale + shift, shift, shift + scale)
    found = betting_interval(moved, bounds=(shift, shift + scale)).ci
    assert found == pytest.approx([shift + scale * end for end in plain], abs=1e-5 * scale)


@given(VALUES)
def test_sequences_only_narrow(values: list[float]) -> None:
    """Lower limits never fall and upper ones never rise from look to look; the last is that of `anytime_lower`."""
    found = confidence_sequence(values, 0.9)
    assert (np.diff(found.lower) >= -1e-8).all()
    assert (np.diff(found.upper) <= 1e-8).all()
    assert found.lower[-1] == pytest.approx(anytime_lower(values, 0.05))
    assert found.upper[-1] == pytest.approx(anytime_upper(values, 0.05))


@given(VALUES, st.integers(1, 5))
def test_updates_in_parts_are_one_update(values: list[float], parts: int) -> None:
    """A bettor told in batches has the capital of one told at once."""
    whole, split = Bettor(0.1, 0.05, 40), Bettor(0.1, 0.05, 40)
    whole.update(np.array(values))
    for part in np.array_split(np.array(values), parts):
        split.update(part)
    assert split.log_peak == pytest.approx(whole.log_peak)


def test_p_value_agrees_with_the_interval() -> None:
    """The mean at the lower limit has a p-value of the interval's one-sided error."""
    x = np.random.default_rng(3).choice([0.0, 1.0], 60, p=[0.5, 0.5])
    low, _ = betting_interval(x, 0.9).ci
    assert betting_p_value(x, low) == pytest.approx(0.05, rel=1e-3)
    assert betting_p_value(x, 0.0) < 0.05
    assert betting_p_value(x, 0.9) == pytest.approx(1.0)


def test_the_anytime_p_value_agrees_with_the_limit_and_never_rises() -> None:
    """At the lower limit it is the limit's error; with more values it can only fall."""
    x = np.random.default_rng(3).choice([-0.5, 0.0, 1.0], 80, p=[0.2, 0.5, 0.3])
    low = anytime_lower(x, 0.05, horizon=100)
    assert anytime_p_value(x, 0.05, mean=low, horizon=100) == pytest.approx(0.05, rel=1e-3)
    path = [anytime_p_value(x[:k], 0.05, horizon=100) for k in range(1, 81)]
    assert all(a >= b for a, b in pairwise(path)) and 0 < path[-1] < 0.05
    assert anytime_p_value([-1.0, -0.5], 0.05) == 1.0


def test_without_replacement_covers_and_ends_at_the_mean() -> None:
    """Drawn from a finite set, limits hold at all times, are narrower, and meet at the set's mean when all is seen."""
    rng = np.random.default_rng(4)
    population = rng.choice([-1.0, 0.0, 0.5, 1.0], 60, p=[0.1, 0.6, 0.1, 0.2])
    mean, looks, missed = float(population.mean()), [10, 30, 50, 60], 0
    for _ in range(60):
        x = rng.permutation(population)
        finite = confidence_sequence(x, 0.9, looks=looks, population=60)
        missed += not ((finite.lower <= mean + 1e-6).all() and (finite.upper >= mean - 1e-6).all())
        assert finite.lower[-1] >= mean - 1e-6
        assert finite.upper[-1] <= mean + 1e-6
        endless = confidence_sequence(x, 0.9, looks=looks)
        assert finite.upper[2] - finite.lower[2] < endless.upper[2] - endless.lower[2]
    assert missed <= failures_allowed(60, 0.1)


def test_bad_input_is_refused() -> None:
    """Nothing, missing or out of bounds: one clear error each."""
    with pytest.raises(NoData):
        betting_interval([])
    with pytest.raises(NoData):
        empirical_bernstein_interval([0.5])
    with pytest.raises(ValueError, match="finite and lie in"):
        betting_interval([0.5, math.nan])
    with pytest.raises(ValueError, match="finite and lie in"):
        betting_interval([0.5, 1.5])
    with pytest.raises(ValueError, match="bounds must increase"):
        betting_interval([0.5], bounds=(1.0, 0.0))
    with pytest.raises(ValueError, match="level must lie"):
        betting_interval([0.5], 1.0)
    with pytest.raises(ValueError, match="looks must lie"):
        confidence_sequence([0.5], looks=[2])
    with pytest.raises(ValueError, match="alpha must lie"):
        Bettor(0.0, 1.0, 5)
    with pytest.raises(ValueError, match="must exceed the lower bound"):
        Bettor(-1.0, 0.05, 5)
    few = Bettor(0.0, 0.05, 5, population=2)
    with pytest.raises(ValueError, match="more values than the population"):
        few.update(np.zeros(3))
