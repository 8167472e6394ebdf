"""Bootstrap weights are multinomial counts, reproducible, and independent of block size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import NoData
from auditkit.stats import bootstrap
from auditkit.stats.bootstrap import bootstrap_means, prompt_weights


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 99))
def test_rows_are_counts_that_sum_to_the_prompts(n: int, replicates: int, seed: int) -> None:
    """Every row holds whole numbers and sums to the number of prompts; a seed gives the same rows again."""
    weights = prompt_weights(n, replicates, np.random.default_rng(seed))
    assert weights.shape == (replicates, n)
    assert (weights.sum(axis=1) == n).all()
    assert (weights == weights.round()).all()
    assert (weights >= 0).all()
    assert (weights == prompt_weights(n, replicates, np.random.default_rng(seed))).all()


def test_moments_are_multinomial() -> None:
    """Mean 1, variance 1 - 1/n, covariance -1/n."""
    n, replicates = 5, 40_000
    weights = prompt_weights(n, replicates, np.random.default_rng(0))
    expected = np.eye(n) - np.full((n, n), 1 / n)
    assert weights.mean(axis=0) == pytest.approx(np.ones(n), abs=0.03)
    assert np.abs(np.cov(weights.T) - expected).max() < 0.03


def test_blocks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing in small blocks gives the same bytes as drawing at once."""
    whole = prompt_weights(17, 50, np.random.default_rng(3))
    monkeypatch.setattr(bootstrap, "_BLOCK", 60)
    assert (prompt_weights(17, 50, np.random.default_rng(3)) == whole).all()


def test_means_are_those_of_the_drawn_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every column's mean over the drawn prompts that have a value, the same draw for all columns, block by block."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(20, 3))
    values[:15, 1] = np.nan
    monkeypatch.setattr(bootstrap, "_BLOCK", 60)
    means = bootstrap_means(values, 40, np.random.default_rng(4))
    for weights, row in zip(prompt_weights(20, 40, np.random.default_rng(4)), means, strict=True):
        drawn = np.repeat(values, weights.astype(int), axis=0)
        for j in range(3):
            kept = drawn[np.isfinite(drawn[:, j]), j]
            assert row[j] == pytest.approx(kept.mean()) if kept.size else np.isnan(row[j])


def test_nothing_to_resample() -> None:
    """Without prompts there is no bootstrap."""
    with pytest.raises(NoData):
        prompt_weights(0, 10, np.random.default_rng(0))
