"""Best of n: curves that are known, and what is left of a gain when the chooser is not the one who scores."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from auditkit.errors import NoData
from auditkit.stats.best_of_n import best_of_n, expected_max, kl_best_of_n

Floats = NDArray[np.float64]


def correlated(prompts: int, n: int, rho: float, seed: int = 0) -> tuple[Floats, Floats]:
    """Proxy and gold scores, standard normal, with correlation rho."""
    rng = np.random.default_rng(seed)
    proxy, other = rng.standard_normal((2, prompts, n))
    return proxy, rho * proxy + math.sqrt(1 - rho**2) * other


def test_the_divergence_is_the_published_formula() -> None:
    """log n - (n - 1) / n, also by simulating the density ratio n F^(n-1)."""
    assert kl_best_of_n([1, 2, 4, 16]) == pytest.approx(
        [0.0, math.log(2) - 1 / 2, math.log(4) - 3 / 4, math.log(16) - 15 / 16]
    )
    u = np.random.default_rng(0).random((200_000, 8)).max(axis=1)
    assert np.log(8 * u**7).mean() == pytest.approx(float(kl_best_of_n(8)), abs=0.01)
    with pytest.raises(ValueError, match="at least 1"):
        kl_best_of_n(0)


def test_the_expected_maximum_is_that_of_the_tables() -> None:
    """Known values for 1, 2, 3 and 10; a simulation for 384; the bound sqrt(2 log n) above."""
    assert expected_max([1, 2, 3, 10]) == pytest.approx(
        [0.0, 1 / math.sqrt(math.pi), 1.5 / math.sqrt(math.pi), 1.5387527], abs=1e-6
    )
    drawn = np.random.default_rng(0).standard_normal((20_000, 384)).max(axis=1)
    assert float(expected_max(384)) == pytest.approx(drawn.mean(), abs=0.01)
    assert float(expected_max(100_000)) < math.sqrt(2 * math.log(100_000))
    with pytest.raises(ValueError, match="between 1 and"):
        expected_max(0)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8, 1.0])
def test_gold_gains_rho_times_what_the_proxy_gains(rho: float) -> None:
    """The analytic curve rho * E[max of n] is recovered for every n, and the gap and the recovery with it."""
    found = best_of_n(*correlated(1_500, 32, rho))
    analytic = expected_max(found.n)
    assert found.proxy == pytest.approx(analytic, abs=0.06)
    assert found.gold == pytest.approx(rho * analytic, abs=0.07)
    assert found.gap == pytest.approx((1 - rho) * analytic, abs=0.07)
    assert found.recovery == pytest.approx(rho, abs=0.03)
    assert found.within == pytest.approx(rho, abs=0.02)
    assert (found.gap >= -1e-9).all() if rho < 1 else found.gap == pytest.approx(0.0, abs=1e-9)
    assert (found.prompts, found.level, found.seed) == (1_500, 0.95, 0)


def test_the_interval_covers_at_its_level() -> None:
    """95% intervals of the gold score at n = 16 hold the analytic value in 95% of 400 simulations (binomial tolerance)."""
    truth = 0.5 * float(expected_max(16))
    held = 0
    for seed in range(400):
        found = best_of_n(*correlated(40, 16, 0.5, seed), replicates=10)
        held += found.gold_low[-1] <= truth <= found.gold_high[-1]
    assert 0.92 <= held / 400 <= 0.98


def test_the_knee_is_where_gold_turns() -> None:
    """Gold rises with the proxy and falls beyond it: the analytic optimum lies inside the interval of the knee."""
    rng = np.random.default_rng(1)
    proxy = rng.standard_normal((800, 64))
    gold = proxy - 0.5 * np.square(np.maximum(proxy - 0.5, 0.0)) * 2
    found = best_of_n(proxy, gold, seed=3)
    x = np.linspace(-8, 8, 4001)
    from scipy.stats import norm

    value = x - np.square(np.maximum(x - 0.5, 0.0))
    analytic = [np.trapezoid(value * n * norm.pdf(x) * norm.cdf(x) ** (n - 1), x) for n in range(1, 65)]
    best = int(np.argmax(analytic)) + 1
    assert 1 < best < 64
    assert found.knee_low <= best <= found.knee_high
    assert found.knee_low <= found.knee <= found.knee_high < 64
    assert found.gold[-1] < found.gold[found.knee - 1]
    assert (np.diff(found.proxy) > 0).all()


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=4, max_size=4), min_size=2, max_size=3),
    st.integers(0, 999),
)
def test_the_curve_is_the_mean_over_all_subsets(proxy: list[list[float]], seed: int) -> None:
    """By brute force, ties under the proxy shared out evenly."""
    p = np.array(proxy)
    g = np.random.default_rng(seed).random(p.shape)
    found = best_of_n(p, g, replicates=5)
    for n in range(1, 5):
        chosen, seen, ideal = [], [], []
        for row_p, row_g in zip(p, g, strict=True):
            # Ties are shared out over all answers that tie, not over those of a subset: as if ranks were drawn at random.
            smooth = np.array([row_g[row_p == value].mean() for value in row_p])
            for subset in combinations(range(4), n):
                best = max(subset, key=lambda k: row_p[k])
                chosen.append(row_p[best])
                seen.append(smooth[best])
                ideal.append(max(row_g[list(subset)]))
        assert found.proxy[n - 1] == pytest.approx(np.mean(chosen))
        assert found.gold[n - 1] == pytest.approx(np.mean(seen))
        assert found.oracle[n - 1] == pytest.approx(np.mean(ideal))


def test_where_gold_does_not_vary_nothing_is_recovered() -> None:
    """Not measured is NaN, never 0."""
    proxy, _ = correlated(10, 4, 0.5)
    found = best_of_n(proxy, np.zeros_like(proxy))
    assert math.isnan(found.recovery) and math.isnan(found.within)


def test_what_cannot_be_estimated_is_refused() -> None:
    """One prompt; a missing score; two shapes."""
    with pytest.raises(NoData, match="at least two prompts"):
        best_of_n([[1.0, 2.0]], [[1.0, 2.0]])
    with pytest.raises(NoData, match="not finite"):
        best_of_n([[1.0, math.nan]] * 2, [[1.0, 2.0]] * 2)
    with pytest.raises(ValueError, match="one shape"):
        best_of_n([[1.0, 2.0]], [[1.0]])
