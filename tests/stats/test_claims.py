"""Claim arithmetic: thresholds as specified, the best of k, equivalence, gains at equal covariates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.weightstats import ttost_paired

from auditkit.claims import BENCHMARKS
from auditkit.errors import NoData, Undefined
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.claims import (
    adjusted_gain,
    detectable_gain,
    difference_error,
    equivalence,
    level_of_best,
    optimism_of_best,
    threshold_of_gain,
)


@pytest.mark.parametrize(
    ("benchmark", "paired", "threshold", "detectable"),
    [
        ("alpaca_eval_2", False, 3.9, 5.5),
        ("alpaca_eval_2", True, 2.8, 4.0),
        ("arena_hard_v0.1", False, 3.2, 4.6),
    ],
)
def test_thresholds_of_the_known_benchmarks(benchmark: str, paired: bool, threshold: float, detectable: float) -> None:
    """The planning table, to the one decimal that it has: AlpacaEval 2 with n = 805, Arena-Hard with 500 prompts."""
    se = BENCHMARKS[benchmark].gain_se(paired=paired)
    assert se is not None
    assert threshold_of_gain(se) == pytest.approx(threshold, abs=0.05)
    assert detectable_gain(se) == pytest.approx(detectable, abs=0.05)


def test_a_tenth_of_a_rating_is_noise_on_mt_bench() -> None:
    """With 80 questions a score has an error of about 0.2: a gain of 0.1 is far below the threshold."""
    facts = BENCHMARKS["mt_bench"]
    assert facts.se == pytest.approx(0.2, abs=0.03)
    assert threshold_of_gain(facts.gain_se() or 0.0) > 5 * 0.1


@pytest.mark.parametrize(("k", "factor"), [(1, 0.0), (2, 0.56), (4, 1.03), (8, 1.42)])
def test_the_best_of_k_without_a_gain(k: int, factor: float) -> None:
    """The expected maximum of k normals; about 2.0 points on AlpacaEval 2 at k = 4."""
    assert optimism_of_best(1.0, k) == pytest.approx(factor, abs=0.006)
    if k == 4:
        assert optimism_of_best(BENCHMARKS["alpaca_eval_2"].gain_se() or 0.0, k) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("k", [1, 2, 8])
def test_the_corrected_threshold_keeps_its_error(k: int) -> None:
    """The best of k settings without a gain exceeds the threshold with the one-sided error of one setting."""
    best = np.random.default_rng(k).standard_normal((200_000, k)).max(axis=1)
    assert (best > threshold_of_gain(1.0, 0.95, k)).mean() == pytest.approx(0.025, abs=0.0015)


def test_arguments_are_checked() -> None:
    """What makes no sense raises."""
    with pytest.raises(ValueError, match="level"):
        level_of_best(1.0, 2)
    with pytest.raises(ValueError, match="k be at least 1"):
        level_of_best(0.95, 0)
    with pytest.raises(ValueError, match="power"):
        detectable_gain(1.0, power=0.2)
    with pytest.raises(ValueError, match="margin"):
        equivalence(0.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="errors"):
        difference_error(-1.0, 1.0)


def test_equivalence_equals_statsmodels() -> None:
    """TOST on paired differences, p-value for p-value."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.2, 1.0, 60), rng.normal(0.0, 1.0, 60)
    d = a - b
    found = equivalence(float(d.mean()), float(d.std(ddof=1) / math.sqrt(60)), 0.5, freedom=59)
    expected, _, _ = ttost_paired(a, b, -0.5, 0.5)
    assert found.p_value == pytest.approx(expected, abs=1e-12)


@given(st.floats(-5, 5), st.floats(0.01, 3), st.floats(0.1, 5))
def test_equivalence_is_its_interval_within_the_margin(difference: float, se: float, margin: float) -> None:
    """Both tests reject exactly if the 90% interval lies within the margin."""
    found = equivalence(difference, se, margin)
    assert found.equivalent == (-margin < found.ci[0] and found.ci[1] < margin)


def test_a_failed_difference_test_is_no_equivalence() -> None:
    """An imprecise 0 differs from nothing and is equal to nothing."""
    assert threshold_of_gain(4.0) > 0.0
    assert not equivalence(0.0, 4.0, 3.0).equivalent
    assert equivalence(0.0, 0.0, 3.0).equivalent


def _planted(n: int, gain: float, slope: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(0.5, 1.0, (n, 2))
    return gain + x @ np.array([slope, 0.0]) + rng.normal(0.0, 1.0, n), x


def test_adjusted_gain_equals_weighted_least_squares() -> None:
    """For every weighting alpha is statsmodels' intercept, and the parts add up to the mean."""
    d, x = _planted(120, 0.3, 0.8, 1)
    weights = np.vstack([np.ones(120), prompt_weights(120, 3, np.random.default_rng(0))])
    found = adjusted_gain(d, x, ("length", "style"), weights)
    for r, w in enumerate(weights):
        expected = sm.WLS(d, sm.add_constant(x), weights=w).fit().params[0]
        assert found.controlled[r] == pytest.approx(expected, abs=1e-10)
    total = found.controlled + found.parts["length"] + found.parts["style"]
    np.testing.assert_allclose(total, found.total, atol=1e-12)
    np.testing.assert_allclose(found.total, weights @ d / weights.sum(axis=1), atol=1e-12)


def test_a_column_of_zeros_has_no_part() -> None:
    """What never differs takes nothing away."""
    d, x = _planted(80, 1.0, 0.0, 2)
    found = adjusted_gain(d, np.zeros_like(x), ("length", "style"), np.ones((1, 80)))
    assert found.controlled[0] == pytest.approx(d.mean())
    assert found.parts == {"length": np.zeros(1), "style": np.zeros(1)}


def test_what_cannot_be_told_apart_is_undefined() -> None:
    """A constant difference, a repeated column, too few prompts."""
    d, x = _planted(80, 1.0, 0.0, 2)
    ones = np.ones((1, 80))
    with pytest.raises(Undefined, match="told apart"):
        adjusted_gain(d, np.ones((80, 1)), ("length",), ones)
    with pytest.raises(Undefined, match="told apart"):
        adjusted_gain(d, x[:, [0, 0]], ("length", "style"), ones)
    with pytest.raises(NoData, match="29 prompts for 3 coefficients"):
        adjusted_gain(d[:29], x[:29], ("length", "style"), ones[:, :29])


def test_resamples_without_a_solution_are_missing() -> None:
    """A weighting under which a column is constant gives NaN, not a number."""
    d, x = _planted(60, 1.0, 0.0, 4)
    lonely = np.zeros((1, 60))
    lonely[0, :2] = 30.0
    found = adjusted_gain(d, x, ("length", "style"), np.vstack([np.ones((1, 60)), lonely]))
    assert np.isfinite(found.controlled[0])
    assert np.isnan(found.controlled[1])


@pytest.mark.slow
def test_intervals_of_an_adjusted_gain_cover() -> None:
    """The bootstrap interval of a planted gain holds it in about 95 of 100 samples, that of no gain excludes 0 in 5."""
    covered = 0
    for seed in range(400):
        d, x = _planted(150, 0.25, 0.6, 1000 + seed)
        weights = prompt_weights(150, 400, np.random.default_rng(seed))
        low, high = np.quantile(adjusted_gain(d, x, ("length", "style"), weights).controlled, [0.025, 0.975])
        covered += low <= 0.25 <= high
    assert 0.915 <= covered / 400 <= 0.975
