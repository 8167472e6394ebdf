"""Uplift that counts only what the detectors let through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from auditkit.errors import NoData
from auditkit.stats.detectability import conformal_threshold, enforced_differences, passing_differences
from auditkit.stats.uplift import paired_differences, suite_uplift


def same(found: NDArray[np.float64], expected: list[list[float]]) -> None:
    """Compare with numbers worked by hand, NaN equal to NaN."""
    np.testing.assert_allclose(found, np.array(expected))


def test_definition() -> None:
    """Difference less gold change where the answer passes, nothing where it is flagged; a loss where that is enforced."""
    clean, attacked = np.array([0.5, 0.5, 1.0]), np.array([[1.0, 0.5], [1.0, 1.0], [np.nan, 1.0]])
    flagged = np.array([[False, True], [True, False], [True, False]])
    gold = np.full((3, 2), 0.1)
    same(passing_differences(clean, attacked, flagged), [[0.5, 0], [0, 0.5], [np.nan, 0]])
    same(passing_differences(clean, attacked, flagged, gold=gold), [[0.4, 0], [0, 0.4], [np.nan, -0.1]])
    same(enforced_differences(clean, attacked, flagged), [[0.5, -0.5], [-0.5, 0.5], [np.nan, 0]])


def test_a_removed_submission_gains_nothing() -> None:
    """Flagged as a whole, nothing passes, and everything is lost where that is enforced."""
    clean, attacked, flagged = np.array([0.5, 1.0]), np.ones((2, 2)), np.zeros((2, 2), bool)
    same(passing_differences(clean, attacked, flagged, removed=[True, False]), [[0, 0.5], [0, 0]])
    same(enforced_differences(clean, attacked, flagged, removed=[True, False]), [[-0.5, 0.5], [-1, 0]])


@given(st.integers(0, 2**32 - 1))
def test_detectors_never_help_the_attacker_of_nothing(seed: int) -> None:
    """For null answers (clean score 0) both figures agree and lie between 0 and the plain uplift."""
    rng = np.random.default_rng(seed)
    attacked, flagged = rng.choice([0, 0.5, 1.0], (50, 3)), rng.random((50, 3)) < 0.3
    clean = np.zeros(50)
    passing = passing_differences(clean, attacked, flagged)
    np.testing.assert_array_equal(passing, enforced_differences(clean, attacked, flagged))
    assert ((passing >= 0) & (passing <= paired_differences(clean, attacked))).all()


def test_the_card_line() -> None:
    """An attack of 40 points of which detectors flag three answers in four still gains ten, and the bounds say so."""
    rng = np.random.default_rng(0)
    clean = np.full(600, 0.5)
    attacked = np.where(rng.random((600, 1)) < 0.9, 1.0, 0.5)
    found = suite_uplift(passing_differences(clean, attacked, rng.random((600, 1)) < 0.75), replicates=1000)
    assert 0.08 < found.floor < 0.1125 < found.ceiling < 0.14


def test_thresholds_keep_their_rate() -> None:
    """Over many draws of 99 clean submissions, a new clean one is flagged in 1% of cases, whatever the scores."""
    rng = np.random.default_rng(1)
    flagged = sum(rng.pareto(1.5) > conformal_threshold(rng.pareto(1.5, 99)) for _ in range(4000))
    assert 0.004 < flagged / 4000 < 0.017


def test_too_few_clean_submissions_are_uncalibrated() -> None:
    """1% needs 99: with 98 there is no threshold, with 99 it is the largest score."""
    scores = np.arange(99.0)
    assert conformal_threshold(scores) == 98
    assert conformal_threshold(scores, 0.1) == 89
    with pytest.raises(NoData, match="needs 99; uncalibrated"):
        conformal_threshold(scores[:-1])


def test_bad_input_is_refused() -> None:
    """Shapes and ranges that do not fit."""
    clean, attacked, flagged = np.zeros(2), np.ones((2, 1)), np.zeros((2, 1), bool)
    with pytest.raises(ValueError, match="flags do not fit"):
        passing_differences(clean, attacked, np.zeros((3, 1), bool))
    with pytest.raises(ValueError, match="removals do not fit"):
        enforced_differences(clean, attacked, flagged, removed=[True, False])
    with pytest.raises(ValueError, match="gold changes"):
        passing_differences(clean, attacked, flagged, gold=[[2.0], [0.0]])
    with pytest.raises(ValueError, match="rate must lie"):
        conformal_threshold([0.1], 1.0)
    with pytest.raises(ValueError, match="must be finite"):
        conformal_threshold([np.nan])
