"""Style fits of a star design: oracles, refits, limits."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from auditkit.errors import NoData, Separated
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.star import StarRows, collapse, fit_star, refit_star

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def games(seed: int, m: int = 4, prompts: int = 60, p: int = 2) -> tuple[Codes, Codes, Floats, Floats, Floats]:
    """Draw two games a prompt for each model, with ties, strong verdicts and shared style effects."""
    rng = np.random.default_rng(seed)
    model = np.repeat(np.arange(m), 2 * prompts)
    prompt = np.tile(np.repeat(np.arange(prompts), 2), m)
    X = np.repeat(rng.normal(size=(m * prompts, p)), 2, axis=0)
    chance = 1 / (1 + np.exp(-(np.linspace(-1, 1, m)[model] + X @ np.linspace(0.6, -0.2, p))))
    outcome = np.where(rng.random(len(model)) < 0.2, 0.5, (rng.random(len(model)) < chance).astype(float))
    return model, prompt, outcome, rng.choice([1.0, 3.0], size=len(model)), X


def dummies(model: Codes, X: Floats) -> Floats:
    """Return one column a model, then the features."""
    return np.hstack([np.eye(int(model.max()) + 1)[model], X])


def test_fit_and_sandwich_equal_statsmodels_on_repeated_rows() -> None:
    """Collapsed, weighted rows give the coefficients and clustered errors of a GLM on the repeated games."""
    model, prompt, outcome, weights, X = games(1)
    found = fit_star(collapse(model, prompt, outcome, weights, X))
    copies = np.repeat(np.arange(len(model)), weights.astype(int))
    glm = sm.GLM(outcome[copies], dummies(model, X)[copies], family=sm.families.Binomial())
    oracle = glm.fit(cov_type="cluster", cov_kwds={"groups": prompt[copies], "use_correction": False}, tol=1e-13)
    np.testing.assert_allclose(np.concatenate([found.intercepts, found.slopes]), oracle.params, atol=1e-9)
    se = np.sqrt(np.diag(found.covariance))
    np.testing.assert_allclose(se, oracle.bse * np.sqrt(60 / 59), rtol=1e-7)
    assert found.gradient < 1e-9
    assert found.n_prompts == 60


@pytest.mark.parametrize("ridge", [(0.0, 0.0), (0.3, 0.7)])
def test_each_refit_equals_its_own_fit(ridge: tuple[float, float]) -> None:
    """A batched refit is the fit of the resampled rows, to the last digits."""
    model, prompt, outcome, weights, X = games(2)
    rows = collapse(model, prompt, outcome, weights, X)
    draws = prompt_weights(60, 70, np.random.default_rng(3))  # more than one batch
    refits = refit_star(rows, fit_star(rows, ridge=ridge), draws, ridge=ridge)
    assert refits.converged.all()
    assert refits.gradient.max() < 1e-9
    for r in (0, 33, 69):
        times = draws[r, prompt]
        some = times > 0
        own = collapse(model[some], prompt[some], outcome[some], (weights * times)[some], X[some])
        expected = fit_star(own, ridge=ridge)
        np.testing.assert_allclose(refits.intercepts[r], expected.intercepts, atol=1e-10)
        np.testing.assert_allclose(refits.slopes[r], expected.slopes, atol=1e-10)


def test_ridge_equals_scikit_learn() -> None:
    """Half a unit of ridge is scikit-learn's C=1 on doubled rows."""
    model, prompt, outcome, weights, X = games(4)
    found = fit_star(collapse(model, prompt, outcome, weights, X), ridge=(0.5, 0.5))
    D = dummies(model, X)
    theirs = LogisticRegression(fit_intercept=False, C=1.0, tol=1e-12, max_iter=10_000).fit(
        np.vstack([D, D]),
        np.repeat([1, 0], len(D)),
        sample_weight=2 * np.concatenate([weights * outcome, weights * (1 - outcome)]),
    )
    np.testing.assert_allclose(np.concatenate([found.intercepts, found.slopes]), theirs.coef_[0], atol=1e-6)


def test_without_features_the_win_rate_is_the_weighted_mean() -> None:
    """The star's closed form."""
    model, prompt, outcome, weights, _ = games(5)
    found = fit_star(collapse(model, prompt, outcome, weights, np.empty((len(model), 0))))
    expected = [np.average(outcome[model == k], weights=weights[model == k]) for k in range(4)]
    np.testing.assert_allclose(1 / (1 + np.exp(-found.intercepts)), expected, atol=1e-12)


@given(st.integers(0, 1000))
def test_row_order_does_not_matter(seed: int) -> None:
    """Shuffled games collapse to the same rows."""
    model, prompt, outcome, weights, X = games(seed, m=3, prompts=12)
    order = np.random.default_rng(seed).permutation(len(model))
    one = collapse(model, prompt, outcome, weights, X)
    other = collapse(model[order], prompt[order], outcome[order], weights[order], X[order])
    np.testing.assert_array_equal(one.start, other.start)
    np.testing.assert_array_equal(one.prompt, other.prompt)
    np.testing.assert_allclose(one.outcome, other.outcome)
    np.testing.assert_allclose(one.X, other.X)
    assert one.weight.sum() == pytest.approx(weights.sum())


def _one_loss() -> StarRows:
    """Return rows in which the last model lost on one prompt only."""
    model, prompt, outcome, weights, X = games(6)
    outcome = np.where(model == 3, 1.0, outcome)
    outcome[(model == 3) & (prompt == 0)] = 0.0
    return collapse(model, prompt, outcome, weights, X)


def test_a_replicate_without_a_loss_takes_the_limit() -> None:
    """Where the one prompt a model lost is not drawn, its win rate is 1 and the other models are fitted without it."""
    rows = _one_loss()
    draws = np.ones((2, 60))
    draws[0, 0] = 0
    refits = refit_star(rows, fit_star(rows), draws)
    assert refits.converged.all()
    assert refits.intercepts[0, 3] == np.inf
    assert np.isfinite(refits.intercepts[1, 3])
    model, prompt, outcome, weights, X = games(6)
    some = (model < 3) & (prompt > 0)
    others = fit_star(collapse(model[some], prompt[some], outcome[some], weights[some], X[some]))
    np.testing.assert_allclose(refits.intercepts[0, :3], others.intercepts, atol=1e-10)
    np.testing.assert_allclose(refits.slopes[0], others.slopes, atol=1e-10)


def test_a_model_without_rows_in_a_replicate_has_no_intercept_there() -> None:
    """A model that was asked other prompts than those drawn is NaN, the rest stands."""
    model, prompt, outcome, weights, X = games(7)
    keep = (model != 0) | (prompt < 5)
    rows = collapse(model[keep], prompt[keep], outcome[keep], weights[keep], X[keep])
    draws = np.ones((1, 60))
    draws[0, :5] = 0
    refits = refit_star(rows, fit_star(rows), draws)
    assert np.isnan(refits.intercepts[0, 0])
    assert np.isfinite(refits.intercepts[0, 1:]).all()


def test_a_replicate_that_separates_is_marked() -> None:
    """Weights that leave rows a feature predicts perfectly give no number, and do not touch other replicates."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    outcome = (x > 0).astype(float)
    outcome[:6] = 1 - outcome[:6]
    rows = collapse(np.zeros(40, dtype=np.int64), np.arange(40), outcome, None, x[:, None])
    draws = np.ones((2, 40))
    draws[0, :6] = 0
    refits = refit_star(rows, fit_star(rows), draws)
    assert refits.converged.tolist() == [False, True]
    assert np.isnan(refits.slopes[0]).all()


def test_what_has_no_estimate_is_refused() -> None:
    """All won, a perfect or repeated feature, one prompt, no games."""
    model, prompt, outcome, weights, X = games(8)
    with pytest.raises(Separated, match="won or lost every game: 2"):
        fit_star(collapse(model, prompt, np.where(model == 2, 1.0, outcome), weights, X))
    outcome = np.where(outcome == 0.5, 1.0, outcome)
    with pytest.raises(Separated):
        fit_star(collapse(model, prompt, outcome, weights, (2 * outcome - 1)[:, None]))
    with pytest.raises(Separated, match="dependent"):
        fit_star(collapse(model, prompt, outcome, weights, np.hstack([X, X[:, :1]])))
    with pytest.raises(NoData, match="one prompt"):
        fit_star(collapse(model, np.zeros_like(prompt), outcome, weights, X))
    with pytest.raises(NoData, match="no games"):
        collapse(model[:0], prompt[:0], outcome[:0], None, X[:0])
    with pytest.raises(NoData, match="model 0"):
        collapse(model + 1, prompt, outcome, None, X)
    with pytest.raises(ValueError, match="outcomes"):
        collapse(model, prompt, outcome * np.nan, None, X)
    with pytest.raises(ValueError, match="features"):
        collapse(model, prompt, outcome, None, X * np.inf)
