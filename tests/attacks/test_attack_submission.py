"""Attacks on the choice of rows, against the formulas and on recorded results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.attacks.protocol import Attack
from auditkit.attacks.submission import (
    SUBMISSION_BEST_OF,
    SUBMISSION_DUPLICATE,
    SUBMISSION_OMIT,
    best_of_gain,
    omission_gain,
)

ALL = (SUBMISSION_OMIT, SUBMISSION_DUPLICATE, SUBMISSION_BEST_OF)


def counts_of(
    attack: Attack, scores: np.ndarray[tuple[int], np.dtype[np.float64]], seed: int = 0
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """How often each row is submitted."""
    assert attack.submit is not None
    return attack.submit(scores, np.random.default_rng(seed))


def test_the_formula_of_omission() -> None:
    """The published case: standard deviation 0.4, a tenth left out: +7.8 points; and by simulation."""
    assert 100 * omission_gain(0.4, 0.1) == pytest.approx(7.80, abs=0.005)
    assert omission_gain(0.4, 0.0) == omission_gain(0.0, 0.3) == 0.0
    rng = np.random.default_rng(3)
    scores = rng.normal(0.5, 0.4, 200_000)
    kept = np.sort(scores)[20_000:].mean()
    assert kept - scores.mean() == pytest.approx(omission_gain(0.4, 0.1), abs=0.003)
    for bad in ((-1.0, 0.1), (0.4, 1.0), (0.4, -0.1)):
        with pytest.raises(ValueError, match="expected"):
            omission_gain(*bad)


def test_the_formula_of_private_submissions() -> None:
    """The best of k by noise alone, against simulation; one submission gains nothing."""
    assert best_of_gain(0.5, 500, 1) == 0.0
    # E[max of 2] = 1/sqrt(pi); of 10: 1.5388.
    assert best_of_gain(1.0, 1, 2) == pytest.approx(1 / np.sqrt(np.pi), abs=1e-6)
    assert best_of_gain(1.0, 1, 10) == pytest.approx(1.53875, abs=1e-4)
    rng = np.random.default_rng(5)
    means = rng.normal(0.5, 0.4, (2_000, 27, 40)).mean(axis=2).max(axis=1)
    assert means.mean() - 0.5 == pytest.approx(best_of_gain(0.4, 40, 27), abs=0.004)
    with pytest.raises(ValueError, match="expected"):
        best_of_gain(0.4, 0, 3)


def test_omission_leaves_out_the_worst_tenth(shared_data: Path) -> None:
    """On recorded AlpacaEval outcomes: 80 of 805 are gone, they are the worst, and the mean is that of the rest."""
    file = shared_data / "alpaca_eval/results/claude-2.1/weighted_alpaca_eval_gpt4_turbo/annotations.json"
    rows = json.loads(file.read_text(encoding="utf-8"))
    scores = np.array([row["preference"] - 1 for row in rows if row["preference"]])
    counts = counts_of(SUBMISSION_OMIT, scores)
    assert len(scores) == 805
    assert (counts == 0).sum() == 80
    assert scores[counts == 0].max() <= scores[counts == 1].min()
    gain = np.average(scores, weights=counts) - scores.mean()
    assert gain == pytest.approx(scores.mean() * 80 / 725 - scores[counts == 0].sum() / 725, abs=1e-12)
    # Outcomes near 0 are many and bounded below, so the formula for normal outcomes bounds the gain.
    assert 0 < gain < omission_gain(float(scores.std()), 80 / 805)


def test_duplicates_weigh_the_best_tenth_twice() -> None:
    """Each row is submitted once, the best tenth twice."""
    scores = np.arange(50.0)
    counts = counts_of(SUBMISSION_DUPLICATE, scores)
    assert counts.tolist() == [1] * 45 + [2] * 5


def test_a_row_without_a_score_is_the_worst() -> None:
    """An attacker would leave it out first."""
    scores = np.array([0.2, np.nan, 0.0, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert counts_of(SUBMISSION_OMIT, scores).tolist() == [1, 0, 1, 1, 1, 1, 1, 1, 1, 1]


def test_selecting_on_noise_gains_where_it_was_seen_and_nowhere_else() -> None:
    """Best of twenty selections on pure noise: a gain on the draw that was seen, none on a second one."""
    seen, fresh = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        first, second = rng.random(100), rng.random(100)
        counts = counts_of(SUBMISSION_BEST_OF, first, seed)
        assert counts.sum() == 80
        seen.append(np.average(first, weights=counts) - first.mean())
        fresh.append(np.average(second, weights=counts) - second.mean())
    assert np.mean(seen) > 0.02
    assert abs(np.mean(fresh)) < 3 * np.std(fresh) / np.sqrt(len(fresh))


@given(st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), min_size=1, max_size=60), st.integers(0, 5))
def test_any_scores_give_counts(scores: list[float], seed: int) -> None:
    """Whole numbers from 0, one a row, not all of them 0, the same for the same seed."""
    values = np.array(scores)
    for attack in ALL:
        counts = counts_of(attack, values, seed)
        assert counts.shape == values.shape
        assert counts.dtype == np.int64
        assert counts.min() >= 0
        assert counts.sum() > 0
        assert (counts == counts_of(attack, values, seed)).all()
