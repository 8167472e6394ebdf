"""What a place costs: planted curves are found, an attack that never gets there is censored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from auditkit.errors import NoData
from auditkit.stats.cost import _isotonic, cost_to_top

Array = NDArray[np.float64]

BUDGETS = [0, 10, 100, 1000, 5000]


def planted(curve: list[float], rng: np.random.Generator, n: int = 400, restarts: int = 6) -> tuple[Array, Array]:
    """Return won or lost games of an attack with these win rates, and of a board of four models, prompts shared."""
    hard = rng.normal(0, 0.1, n)
    own = np.array(curve)[:, None, None] + hard
    attack = rng.random((len(curve), restarts, n)) < own
    board = rng.random((n, 4)) < np.array([0.8, 0.6, 0.5, 0.3]) + hard[:, None]
    return attack.astype(float), board.astype(float)


@given(st.lists(st.lists(st.floats(-5, 5), min_size=4, max_size=4), min_size=1, max_size=4))
def test_isotonic_agrees_with_scipy(curves: list[list[float]]) -> None:
    """Every row is SciPy's isotonic regression of it."""
    for row, fitted in zip(curves, _isotonic(np.array(curves)), strict=True):
        assert fitted == pytest.approx(isotonic_regression(row).x, abs=1e-9)


def test_a_planted_cost_is_found() -> None:
    """A search that passes the second model at 100 calls, the best at none of those tried."""
    rng = np.random.default_rng(0)
    scores, board = planted([0.2, 0.4, 0.72, 0.75, 0.75], rng)
    found = cost_to_top(BUDGETS, scores, board, 2)
    assert (found.calls, found.censored) == (100, False)
    assert found.ci == (100, 100)
    assert found.curve == tuple(sorted(found.curve))
    top = cost_to_top(BUDGETS, scores, board, 1)
    assert (top.calls, top.censored) == (None, True)
    assert top.ci[1] is None
    assert top.lead_ci[-1][0] < 0


def test_an_attack_that_needs_no_search_costs_nothing() -> None:
    """A constant answer that wins without a call has cost 0."""
    scores, board = planted([0.95, 0.95, 0.95, 0.95, 0.95], np.random.default_rng(1))
    found = cost_to_top(BUDGETS, scores, board, 1)
    assert (found.calls, found.ci) == (0, (0, 0))


def test_the_place_is_rarely_claimed_where_it_is_not_held() -> None:
    """An attack exactly as good as the second of four models: a place claimed in few of 60 seeds."""
    claimed = 0
    for seed in range(60):
        scores, board = planted([0.6, 0.6, 0.6], np.random.default_rng(seed), n=150)
        claimed += not cost_to_top([0, 1, 2], scores, board, 2, replicates=200, seed=seed).censored
    assert claimed <= 6


@given(st.integers(0, 2**32 - 1))
def test_more_ambition_costs_more(seed: int) -> None:
    """A higher place never costs less, at any level; a higher level never costs less."""
    rng = np.random.default_rng(seed)
    scores, board = planted([0.3, 0.5, 0.7, 0.9], rng, n=60, restarts=3)
    costs = [cost_to_top([0, 1, 10, 100], scores, board, k, replicates=100).calls for k in (1, 2, 3, 4)]
    paid = [np.inf if c is None else c for c in costs]
    assert paid == sorted(paid, reverse=True)
    levels = [cost_to_top([0, 1, 10, 100], scores, board, 2, level=x, replicates=100).calls for x in (0.5, 0.9, 0.99)]
    paid = [np.inf if c is None else c for c in levels]
    assert paid == sorted(paid)


def test_restarts_add_uncertainty() -> None:
    """Searches that succeed by luck, one in three, are less certain than those that all end alike."""
    rng = np.random.default_rng(2)
    board = np.tile([0.5, 0.4], (200, 1)) + rng.normal(0, 0.01, (200, 1))
    alike, lucky = np.full((1, 6, 200), 0.55), np.full((1, 6, 200), 0.4)
    lucky[:, :2] = 0.85
    steady = cost_to_top([10], alike, board, 1)
    wild = cost_to_top([10], lucky, board, 1)
    assert steady.lead[0] == pytest.approx(wild.lead[0], abs=1e-9)
    assert steady.calls == 10
    assert wild.calls is None


def test_bad_input_is_refused() -> None:
    """Shapes, budgets, places and missing scores that do not fit."""
    scores, board = np.ones((2, 3, 5)), np.ones((5, 2))
    with pytest.raises(ValueError, match="do not fit"):
        cost_to_top([0], scores, board, 1)
    with pytest.raises(ValueError, match="must increase"):
        cost_to_top([10, 10], scores, board, 1)
    with pytest.raises(ValueError, match=r"k must lie in 1\.\.2"):
        cost_to_top([0, 10], scores, board, 3)
    with pytest.raises(NoData):
        cost_to_top([0, 10], np.ones((2, 0, 5)), board, 1)
    scores[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="count a missing verdict as a loss"):
        cost_to_top([0, 10], scores, board, 1)
