"""Adjusted p-values agree with statsmodels; the best of many looks as good as published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from auditkit.stats.multiplicity import PAIRED_SD, benjamini_hochberg, expected_maximum, holm, selection_optimism
from auditkit.stats.uplift import paired_uplift


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
def test_adjusted_p_values_agree_with_statsmodels(p: list[float]) -> None:
    """Holm and Benjamini-Hochberg equal statsmodels' on any p-values, ties included."""
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1])


def test_untested_hypotheses_do_not_count() -> None:
    """NaN stays NaN, and the others are adjusted as if it were not there."""
    for adjust in (holm, benjamini_hochberg):
        found = adjust([0.01, math.nan, 0.04])
        assert math.isnan(found[1])
        assert found[[0, 2]] == pytest.approx(adjust([0.01, 0.04]))
    assert holm([]).size == 0
    with pytest.raises(ValueError, match=r"lie in 0\.\.1"):
        holm([1.2])


@pytest.mark.parametrize(
    ("k", "exact"), [(1, 0.0), (2, 1 / math.sqrt(math.pi)), (3, 1.5 / math.sqrt(math.pi)), (10, 1.5387527308)]
)
def test_expected_maximum_is_exact(k: int, exact: float) -> None:
    """Closed forms for two and three normals, the tabled value for ten."""
    assert expected_maximum(k) == pytest.approx(exact, abs=1e-8)


@given(st.integers(1, 10**7), st.integers(1, 1000))
def test_more_candidates_look_better(k: int, more: int) -> None:
    """The expected maximum rises with the number of candidates, slower than sqrt(2 ln k)."""
    assert expected_maximum(k) <= expected_maximum(k + more) + 1e-9
    assert expected_maximum(k) <= math.sqrt(2 * math.log(k)) + 1e-9


@pytest.mark.parametrize(("k", "n", "points"), [(384, 20, 29.8), (50, 20, 22.8), (384, 500, 6.0), (10, 500, 3.0)])
def test_published_selection_optimism(k: int, n: int, points: float) -> None:
    """The specification's four figures, made by simulation at a paired sd of 0.45: within 0.2 points of the exact ones."""
    assert PAIRED_SD == 0.45
    assert 100 * selection_optimism(k, n) == pytest.approx(points, abs=0.2)


def test_best_of_384_on_20_prompts_is_nothing_on_others() -> None:
    """Candidates without effect: the best of 384 gains about 30 points where it was chosen, about 0 on held-out prompts."""
    rng = np.random.default_rng(0)
    p = PAIRED_SD**2 / 2
    searched, held_out, claimed = [], [], 0
    for seed in range(40):
        means = rng.choice([-1.0, 0.0, 1.0], (384, 20), p=[p, 1 - 2 * p, p]).mean(axis=1)
        searched.append(float(means.max()))
        found = paired_uplift(rng.choice([-1.0, 0.0, 1.0], 500, p=[p, 1 - 2 * p, p]), replicates=400, seed=seed)
        held_out.append(found.estimate)
        claimed += found.lower_bound > 0
    assert 100 * np.mean(searched) == pytest.approx(100 * selection_optimism(384, 20), abs=2.0)
    assert 100 * np.mean(searched) == pytest.approx(29.8, abs=2.0)
    assert 100 * np.mean(held_out) == pytest.approx(0.0, abs=1.2)
    assert claimed <= 5


def test_bad_input_is_refused() -> None:
    """Counts below 1 and impossible spreads."""
    with pytest.raises(ValueError, match="k must be"):
        expected_maximum(0)
    with pytest.raises(ValueError, match="n must be"):
        selection_optimism(5, 0)
    with pytest.raises(ValueError, match="n must be"):
        selection_optimism(5, 5, math.nan)
