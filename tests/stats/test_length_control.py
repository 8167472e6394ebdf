"""The published length control: same folds, same penalty, same optimum as scikit-learn's, and the same figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from auditkit.errors import NoData, NotConverged, Undefined
from auditkit.stats import length_control
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.length_control import (
    FOLDS,
    GAMED_WEIGHT,
    PENALTY_GRID,
    Gamed,
    fit_length_control,
    fold_codes,
    refit_length_control,
)
from auditkit.stats.logistic import sigmoid

Array = NDArray[np.float64]


def recording(seed: int, n: int = 160, m: int = 120) -> tuple[Array, Array, Array, Gamed]:
    """Length differences, difficulties, soft outcomes and calibration rows with a planted length effect."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(size=n)
    delta = rng.normal(200, 600, n).round()
    y = sigmoid(-1.3 * np.tanh(delta / 600) + 0.8 * difficulty + 0.2 + rng.normal(size=n))
    theirs, hard = np.tanh(rng.normal(size=m)), rng.normal(size=m)
    gamed = Gamed(theirs, hard, sigmoid(-1.6 * theirs + rng.normal(size=m)))
    return delta, difficulty, y, gamed


def by_scikit_learn(delta: Array, difficulty: Array, y: Array, gamed: Gamed) -> tuple[float, float]:
    """Fit as the benchmark does: every row twice, liblinear, grouped folds, weighted log loss. (C, win rate)."""
    own = np.column_stack([np.tanh(delta / delta.std(ddof=1)), difficulty, np.ones(len(y))])
    theirs = np.column_stack([gamed.length, gamed.difficulty, np.zeros(len(gamed.outcome))])
    X = np.tile(np.concatenate([theirs, own]), (2, 1))
    p = np.concatenate([gamed.outcome, y])
    w = np.concatenate([np.full(len(gamed.outcome), GAMED_WEIGHT), np.ones(len(y))])
    label = np.repeat([1, 0], len(p))
    copies = np.concatenate([w * p, w * (1 - p)])
    group = np.tile(np.arange(len(p)), 2)

    def fit(C: float, rows: NDArray[np.intp]) -> Array:
        model = LogisticRegression(
            C=C, l1_ratio=1.0, solver="liblinear", fit_intercept=False, tol=1e-9, max_iter=20_000, random_state=123
        )
        return np.asarray(model.fit(X[rows], label[rows], sample_weight=copies[rows]).coef_[0])

    losses = np.zeros(len(PENALTY_GRID))
    for train, test in GroupKFold(5).split(X, label, group):
        for i, C in enumerate(PENALTY_GRID):
            share = np.clip(sigmoid(X[test] @ fit(C, train)), 1e-15, 1 - 1e-15)
            truth = np.tile(p, 2)[test]
            loss = -(truth * np.log(share) + (1 - truth) * np.log(1 - share)) * np.tile(w, 2)[test]
            losses[i] += loss.mean() / 5
    C = float(PENALTY_GRID[losses.argmin()])
    b = fit(C, np.arange(len(X)))
    return C, float(sigmoid(b[1] * difficulty + b[2]).mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_scikit_learn(seed: int) -> None:
    """Same penalty picked and same win rate as liblinear with grouped folds, to a thousandth of a point."""
    delta, difficulty, y, gamed = recording(seed)
    fit = fit_length_control(delta, difficulty, y, gamed)
    C, rate = by_scikit_learn(delta, difficulty, y, gamed)
    assert fit.penalty_c == C
    assert 100 * fit.win_rate == pytest.approx(100 * rate, abs=1e-3)


@given(st.integers(5, 400))
@settings(max_examples=20)
def test_folds_are_those_of_scikit_learn(n: int) -> None:
    """Rows are dealt to the folds that GroupKFold deals pairs of equal size to."""
    group = np.tile(np.arange(n), 2)
    theirs = np.empty(2 * n, dtype=int)
    for number, (_, test) in enumerate(GroupKFold(FOLDS).split(group, groups=group)):
        theirs[test] = number
    assert (theirs[:n] == fold_codes(n)).all()


def test_regulariser_matters() -> None:
    """Ablation: without the calibration rows the length weight follows the model's own games, and the score moves."""
    delta, difficulty, y, gamed = recording(3)
    held, free = (fit_length_control(delta, difficulty, y, rows) for rows in (gamed, None))
    opposite = Gamed(gamed.length, gamed.difficulty, 1 - gamed.outcome)
    pulled = fit_length_control(delta, difficulty, y, opposite)
    assert abs(held.win_rate - free.win_rate) > 1e-4
    assert pulled.coefficients[0] > free.coefficients[0] > held.coefficients[0] - 0.5
    assert pulled.coefficients[0] > held.coefficients[0]


@given(st.integers(0, 10**6), st.floats(0.2, 9))
@settings(max_examples=15)
def test_unit_of_length_is_irrelevant(seed: int, unit: float) -> None:
    """Lengths in another unit give the same score: the difference is standardised."""
    delta, difficulty, y, gamed = recording(seed, 60, 40)
    fit, scaled = (fit_length_control(d, difficulty, y, gamed) for d in (delta, unit * delta))
    assert scaled.win_rate == pytest.approx(fit.win_rate, abs=1e-7)


def test_published_standard_error_is_the_spread_of_predictions() -> None:
    """The published formula knows nothing of the coefficients' own error, so the bootstrap's is larger."""
    delta, difficulty, y, gamed = recording(4)
    fit = fit_length_control(delta, difficulty, y, gamed)
    predicted = sigmoid(difficulty * fit.coefficients[1] + fit.coefficients[2])
    assert fit.published_se == pytest.approx(predicted.std(ddof=1) / np.sqrt(len(y)))
    weights = prompt_weights(len(y), 400, np.random.default_rng(0))
    rates, coefficients = refit_length_control(fit, difficulty, y, gamed, weights)
    assert rates.shape == (400,)
    assert coefficients.shape == (400, 3)
    assert rates.mean() == pytest.approx(fit.win_rate, abs=0.01)


def test_refit_with_unit_weights_is_the_fit() -> None:
    """A resample that holds every prompt once reproduces the fit."""
    delta, difficulty, y, gamed = recording(5)
    for rows in (gamed, None):
        fit = fit_length_control(delta, difficulty, y, rows)
        rates, coefficients = refit_length_control(fit, difficulty, y, rows, np.ones((2, len(y))))
        assert rates == pytest.approx(fit.win_rate, abs=1e-8)
        assert coefficients[1] == pytest.approx(fit.coefficients, abs=1e-6)


def test_games_without_a_verdict_count_in_scale_and_mean_only() -> None:
    """A missing verdict stays out of the fit but, as upstream, in the scale of the lengths and in the mean."""
    delta, difficulty, y, gamed = recording(6)
    y[::10] = np.nan
    fit = fit_length_control(delta, difficulty, y, gamed)
    assert fit.length == pytest.approx(np.tanh(delta / delta.std(ddof=1)))
    assert fit.win_rate == pytest.approx(sigmoid(difficulty * fit.coefficients[1] + fit.coefficients[2]).mean())
    filled = y.copy()
    filled[::10] = 1.0
    assert fit_length_control(delta, difficulty, filled, gamed).win_rate != pytest.approx(fit.win_rate, abs=1e-4)
    rates, _ = refit_length_control(fit, difficulty, y, gamed, np.ones((1, len(y))))
    assert rates[0] == pytest.approx(fit.win_rate, abs=1e-8)


def test_undefined_fits_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    """No length spread, too few games or an exhausted solver: never a number."""
    delta, difficulty, y, gamed = recording(7)
    with pytest.raises(Undefined, match="same"):
        fit_length_control(np.full(len(y), 7.0), difficulty, y, gamed)
    with pytest.raises(NoData):
        fit_length_control(delta[:4], difficulty[:4], y[:4], gamed)
    with monkeypatch.context() as patch:
        patch.setattr(length_control, "_ITERATIONS", 1)
        with pytest.raises(NotConverged, match="cross-validation"):
            fit_length_control(delta, difficulty, y, gamed)
    monkeypatch.setattr(length_control, "_EXACT", -1.0)  # a tolerance that nothing meets: the last fit alone fails
    with pytest.raises(NotConverged, match="the length control did not"):
        fit_length_control(delta, difficulty, y, gamed)
