"""Intervals agree with independent implementations and keep their algebra."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from auditkit.errors import NoData
from auditkit.stats.intervals import (
    clopper_pearson,
    cluster_mean,
    dense_codes,
    normal_interval,
    percentile_interval,
    wilson,
)

LEVELS = st.sampled_from([0.8, 0.9, 0.95, 0.99])


@given(st.integers(1, 2000), st.data(), LEVELS)
def test_shares_agree_with_statsmodels(n: int, data: st.DataObject, level: float) -> None:
    """Clopper-Pearson and Wilson equal statsmodels' beta and wilson methods."""
    k = data.draw(st.integers(0, n))
    assert clopper_pearson(k, n, level) == pytest.approx(proportion_confint(k, n, 1 - level, "beta"), abs=1e-9)
    assert wilson(k, n, level) == pytest.approx(proportion_confint(k, n, 1 - level, "wilson"), abs=1e-9)


@given(st.integers(1, 500), st.data())
def test_share_intervals_hold_the_share_and_mirror(n: int, data: st.DataObject) -> None:
    """An interval holds its share, and counting failures instead of successes mirrors it."""
    k = data.draw(st.integers(0, n))
    for low, high, mirrored in (
        (*clopper_pearson(k, n), clopper_pearson(n - k, n)),
        (*wilson(k, n), wilson(n - k, n)),
    ):
        assert 0 <= low <= k / n <= high <= 1
        assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-12)


def test_rule_of_three() -> None:
    """None of 805 leaves at most 0.37% one-sided, the figure that the detectors' thresholds rest on."""
    assert clopper_pearson(0, 805, 0.90)[1] == pytest.approx(1 - 0.05 ** (1 / 805))


def test_share_of_nothing_is_undefined() -> None:
    """No trials, no interval; counts that cannot be are our own mistake."""
    with pytest.raises(NoData):
        clopper_pearson(0, 0)
    with pytest.raises(NoData):
        wilson(0, 0)
    with pytest.raises(ValueError, match="k must lie"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="k must lie"):
        clopper_pearson(-1, 2)
    with pytest.raises(ValueError, match="level must lie"):
        wilson(1, 2, 1.0)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=60), LEVELS)
def test_one_row_a_cluster_is_the_textbook_mean(values: list[float], level: float) -> None:
    """With one row a cluster the sandwich is sd / sqrt(n) and the interval is the t interval."""
    found = cluster_mean(values, range(len(values)), level=level)
    assert found.estimate == pytest.approx(np.mean(values))
    assert found.se == pytest.approx(np.std(values, ddof=1) / math.sqrt(len(values)), abs=1e-12)
    if found.se > 1e-9:
        assert found.ci == pytest.approx(stats.t.interval(level, len(values) - 1, found.estimate, found.se))


def test_cluster_mean_agrees_with_statsmodels() -> None:
    """The weighted, clustered mean equals a weighted regression on a constant with clustered covariance."""
    rng = np.random.default_rng(0)
    clusters = rng.integers(0, 40, 300)
    y, w = rng.normal(size=300) + clusters % 3, rng.uniform(0.5, 3, 300)
    fit = sm.WLS(y, np.ones(300), weights=w).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}
    )
    g = len(np.unique(clusters))
    found = cluster_mean(y, clusters, w)
    assert found.estimate == pytest.approx(fit.params[0])
    assert found.se == pytest.approx(fit.bse[0] * math.sqrt(g / (g - 1)))
    assert (found.n, found.n_clusters) == (300, g)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9)), min_size=4, max_size=40))
def test_repeating_every_row_changes_nothing(rows: list[tuple[float, int]]) -> None:
    """Copies inside their prompt add no information: estimate and standard error stay, unlike a row-wise SE."""
    y, g = (np.array(part) for part in zip(*rows, strict=True))
    if len(set(g)) < 2:
        with pytest.raises(NoData):
            cluster_mean(y, g)
        return
    once, thrice = cluster_mean(y, g), cluster_mean(np.repeat(y, 3), np.repeat(g, 3))
    assert (thrice.estimate, thrice.se) == pytest.approx((once.estimate, once.se))
    weighted = cluster_mean(y, g, np.full(len(y), 3.0))
    assert (weighted.estimate, weighted.se) == pytest.approx((once.estimate, once.se))


def test_missing_values_are_refused() -> None:
    """A NaN must be counted by the caller, never averaged away."""
    with pytest.raises(ValueError, match="finite"):
        cluster_mean([0.1, math.nan, 0.3], [0, 1, 2])


def test_percentile_interval_leaves_out_failed_replicates() -> None:
    """Replicates without an estimate are left out; without two there is no interval."""
    values = np.append(np.linspace(0, 100, 101), [np.nan, np.inf])
    assert percentile_interval(values, 0.9) == pytest.approx((5, 95))
    with pytest.raises(NoData):
        percentile_interval([1.0, math.nan])


def test_normal_interval_is_symmetric() -> None:
    """The 95% interval reaches 1.96 standard errors to either side."""
    assert normal_interval(3, 2) == pytest.approx((3 - 2 * 1.959964, 3 + 2 * 1.959964), abs=1e-5)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50))
def test_dense_codes_keep_order_and_identity(codes: list[int]) -> None:
    """Codes come out as 0..G-1, equal where they were equal and ordered as they were."""
    dense = dense_codes(codes)
    assert sorted(set(dense.tolist())) == list(range(len(set(codes))))
    assert [sorted(set(codes))[c] for c in dense] == codes
