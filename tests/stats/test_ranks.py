"""Rank intervals: paired standard errors and the ranks that they allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.stats.ranks import independent_se, opposed_se, paired_se, rank_intervals


def test_paired_se_equals_the_textbook_formula_on_each_pair() -> None:
    """Every entry is the standard error of the mean difference over the prompts that both models have."""
    rng = np.random.default_rng(1)
    x = rng.random((4, 50))
    x[rng.random(x.shape) < 0.2] = np.nan
    found = paired_se(x)
    for i in range(4):
        for j in range(4):
            d = x[i] - x[j]
            d = d[np.isfinite(d)]
            assert found[i, j] == pytest.approx(d.std(ddof=1) / np.sqrt(len(d)), abs=1e-12)


def test_models_without_common_prompts_have_no_paired_se() -> None:
    """Fewer than two shared prompts give NaN, not zero."""
    x = np.array([[1.0, 0.0, np.nan, np.nan], [np.nan, np.nan, 1.0, 0.0]])
    assert np.isnan(paired_se(x)[0, 1])


def test_certain_differences_give_single_ranks() -> None:
    """With tiny errors every interval is one rank, with huge ones it is all ranks."""
    estimates = np.array([10.0, 30.0, 20.0])
    sharp = rank_intervals(estimates, independent_se(np.full(3, 1e-6)))
    assert sharp.rank.tolist() == sharp.lo.tolist() == sharp.hi.tolist() == [3, 1, 2]
    blunt = rank_intervals(estimates, independent_se(np.full(3, 1e6)))
    assert blunt.lo.tolist() == [1, 1, 1]
    assert blunt.hi.tolist() == [3, 3, 3]


def test_unknown_errors_leave_the_rank_open() -> None:
    """A NaN standard error separates nothing."""
    found = rank_intervals(np.array([1.0, 99.0]), np.full((2, 2), np.nan))
    assert found.lo.tolist() == [1, 1]
    assert found.hi.tolist() == [2, 2]


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=12), st.floats(0.01, 20))
def test_the_interval_holds_the_rank(estimates: list[float], se: float) -> None:
    """lo <= rank <= hi, and ties share the better rank."""
    found = rank_intervals(np.array(estimates), independent_se(np.full(len(estimates), se)))
    assert (found.lo <= found.rank).all()
    assert (found.rank <= found.hi).all()
    assert found.rank.min() == 1


def test_intervals_cover_the_true_rank() -> None:
    """Planted means with prompt noise: each model's true rank lies inside at least at the nominal rate."""
    rng = np.random.default_rng(7)
    truth = np.array([0.40, 0.45, 0.50, 0.52, 0.60])
    true_rank = 1 + (truth[None, :] > truth[:, None]).sum(axis=1)
    hits = np.zeros(5)
    for _ in range(400):
        shared = rng.normal(0, 0.2, 200)
        x = truth[:, None] + shared[None, :] + rng.normal(0, 0.3, (5, 200))
        found = rank_intervals(x.mean(axis=1), paired_se(x))
        hits += (found.lo <= true_rank) & (true_rank <= found.hi)
    assert (hits / 400 >= 0.95).all()


def test_models_that_meet_each_other_have_opposed_errors() -> None:
    """Of two models one wins what the other loses: the difference has twice the error, not 1.41 times."""
    rng = np.random.default_rng(3)
    shares = rng.binomial(100, 0.5, size=20_000) / 100
    difference = shares - (1 - shares)
    assert opposed_se(np.full(2, shares.std()))[0, 1] == pytest.approx(difference.std())
    assert independent_se(np.full(2, shares.std()))[0, 1] == pytest.approx(difference.std() / np.sqrt(2))
