"""The logistic fits agree with statsmodels and scikit-learn, refuse what has no optimum, and batch exactly."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from auditkit.errors import NoData, NotConverged, Separated, Undefined
from auditkit.stats import logistic
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.logistic import cluster_covariance, fit_logistic, refit_logistic, separated, sigmoid

Array = NDArray[np.float64]


def sample(seed: int, n: int = 300, p: int = 4, *, soft: bool = True) -> tuple[Array, Array, NDArray[np.int_]]:
    """Covariates with an intercept, outcomes, and prompt codes (two games a prompt)."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, p - 1))])
    chance = sigmoid(X @ rng.normal(scale=0.7, size=p))
    y = rng.beta(2 * chance + 0.05, 2 * (1 - chance) + 0.05) if soft else (rng.random(n) < chance).astype(float)
    return X, np.asarray(y, dtype=np.float64), np.arange(n) // 2


@given(st.integers(0, 10**6), st.booleans())
def test_agrees_with_statsmodels(seed: int, soft: bool) -> None:
    """Coefficients, clustered covariance and model covariance equal a statsmodels binomial GLM's."""
    X, y, g = sample(seed, soft=soft)
    ours = fit_logistic(X, y)
    theirs = sm.GLM(y, X, family=sm.families.Binomial()).fit(tol=1e-12, cov_type="cluster", cov_kwds={"groups": g})
    assert ours.coefficients == pytest.approx(theirs.params, abs=1e-7)
    n, p = X.shape
    robust = cluster_covariance(X, y, None, ours.coefficients, g) * (n - 1) / (n - p)
    assert robust == pytest.approx(theirs.cov_params(), rel=1e-5, abs=1e-9)
    plain = sm.GLM(y, X, family=sm.families.Binomial()).fit(tol=1e-12)
    assert ours.covariance == pytest.approx(plain.cov_params(), rel=1e-5, abs=1e-9)


@given(st.integers(0, 10**6))
def test_weights_are_copies(seed: int) -> None:
    """A row of weight k counts as k copies of it, and a row of weight 0 as none."""
    X, y, g = sample(seed, 80)
    w = np.random.default_rng(seed).integers(0, 4, len(y))
    weighted = fit_logistic(X, y, w)
    copied = fit_logistic(np.repeat(X, w, axis=0), np.repeat(y, w))
    assert weighted.coefficients == pytest.approx(copied.coefficients, abs=1e-8)
    assert weighted.loss == pytest.approx(copied.loss)
    robust = [
        cluster_covariance(X[w > 0], y[w > 0], w[w > 0], weighted.coefficients, g[w > 0]),
        cluster_covariance(np.repeat(X, w, axis=0), np.repeat(y, w), None, copied.coefficients, np.repeat(g, w)),
    ]
    assert robust[0] == pytest.approx(robust[1], rel=1e-6)


@given(st.integers(0, 10**6))
def test_swapping_sides_and_shuffling(seed: int) -> None:
    """Swapping the two sides negates every coefficient; the order of rows is irrelevant."""
    X, y, _ = sample(seed, 120)
    fit = fit_logistic(X, y).coefficients
    assert fit_logistic(X, 1 - y).coefficients == pytest.approx(-fit, abs=1e-8)
    order = np.random.default_rng(seed).permutation(len(y))
    assert fit_logistic(X[order], y[order]).coefficients == pytest.approx(fit, abs=1e-8)


@given(st.integers(0, 10**6), st.floats(-12, 12))
def test_any_start_reaches_the_same_optimum(seed: int, far: float) -> None:
    """The step bound makes Newton safe from a bad start."""
    X, y, _ = sample(seed, 120)
    assert fit_logistic(X, y, start=np.full(4, far)).coefficients == pytest.approx(
        fit_logistic(X, y).coefficients, abs=1e-7
    )


def test_an_outlying_row_does_not_break_the_fit() -> None:
    """A row a thousand standard deviations out is fitted, not taken for separation."""
    X, y, _ = sample(1, soft=True)
    X[0, 1] = 1000.0
    y[0] = 0.5
    ours = fit_logistic(X, y)
    gradient = X.T @ (y - sigmoid(X @ ours.coefficients))
    assert np.abs(gradient).max() < 1e-6


@pytest.mark.parametrize("soft_rows", [0, 20])
def test_perfect_prediction_is_refused(soft_rows: int) -> None:
    """Wholly or partly separated outcomes have no finite estimate: never a number."""
    X, y, _ = sample(2, soft=False)
    whole = (X[:, 1] > 0).astype(float)
    with pytest.raises(Separated):
        fit_logistic(X, whole)
    flag = np.zeros(len(y))
    flag[:30] = 1
    y[:30] = 1
    y[100 : 100 + soft_rows] = 0.3  # soft labels elsewhere do not bound the coefficient of the flag
    with pytest.raises(Separated):
        fit_logistic(np.column_stack([X, flag]), y)
    y[5] = 0.999  # one doubtful verdict among them makes the estimate finite
    assert np.isfinite(fit_logistic(np.column_stack([X, flag]), y).coefficients).all()


@given(st.integers(0, 10**6))
def test_separation_test_agrees_with_brute_force(seed: int) -> None:
    """For one covariate and an intercept, separation is what sorting shows."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, 8).astype(float)
    y = rng.choice([0.0, 1.0, 0.5], 8, p=[0.45, 0.45, 0.1])
    X = np.column_stack([np.ones(8), x])
    # a direction (a, b) separates iff some threshold function sign(a + b x) is weakly right on hard labels,
    # zero on soft ones, and not zero on every hard one
    found = False
    for angle in np.concatenate([np.arctan2(-t, 1) for t in [np.unique(x)]] + [np.linspace(-np.pi, np.pi, 721)]):
        for a, b in ((np.sin(angle), np.cos(angle)), (-np.sin(angle), -np.cos(angle))):
            score = a + b * x
            score[np.abs(score) < 1e-9] = 0
            right = (score * np.where(y == 1, 1, -1))[(y == 0) | (y == 1)]
            found = found or bool(
                len(right) and (right >= 0).all() and (right > 0).any() and (score[(y > 0) & (y < 1)] == 0).all()
            )
    assert separated(X, y) == found


def test_undefined_fits_raise() -> None:
    """Too few rows, dependent columns, empty columns and an exhausted solver all say so."""
    X, y, g = sample(3)
    with pytest.raises(NoData):
        fit_logistic(X[:3], y[:3])
    with pytest.raises(NoData):
        fit_logistic(X, y, np.zeros(len(y)))
    with pytest.raises(Undefined, match="dependent"):
        fit_logistic(np.column_stack([X, 2 * X[:, 1] - X[:, 0]]), y)
    with pytest.raises(Undefined, match="0 on every row"):
        fit_logistic(np.column_stack([X, np.zeros(len(y))]), y)
    with pytest.raises(NoData):
        cluster_covariance(X, y, None, np.zeros(4), np.zeros(len(y), dtype=int))
    with pytest.raises(Undefined, match="dependent"):
        cluster_covariance(np.column_stack([X[:, 0], X[:, 0]]), y, None, np.zeros(2), g)
    with pytest.raises(NotConverged):
        fit_logistic(X, y, start=np.full(4, 1e6))
    with pytest.raises(NotConverged):
        fit_logistic(X, y, tol=-1.0)  # a tolerance that nothing meets
    for bad in ((X[:5], y), (X, y + 2), (X * np.nan, y)):
        with pytest.raises(ValueError, match=r"shapes|finite"):
            fit_logistic(*bad)


@given(st.integers(0, 10**6))
def test_batched_refits_equal_single_fits(seed: int) -> None:
    """Each replicate of the batch is what a fit of its own would give."""
    X, y, _ = sample(seed, 150)
    weights = prompt_weights(len(y), 12, np.random.default_rng(seed))
    batch = refit_logistic(X, y, weights, fit_logistic(X, y).coefficients)
    single = np.array([fit_logistic(X, y, w).coefficients for w in weights])
    assert batch == pytest.approx(single, abs=1e-7)


def test_batches_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Block size is a matter of memory only."""
    X, y, _ = sample(5)
    weights = prompt_weights(len(y), 30, np.random.default_rng(5))
    whole = refit_logistic(X, y, weights, np.zeros(4))
    monkeypatch.setattr(logistic, "_BLOCK", 900)
    assert refit_logistic(X, y, weights, np.zeros(4)) == pytest.approx(whole, abs=1e-9)


def test_replicates_without_an_optimum_are_nan_and_alone() -> None:
    """A separated and a singular replicate come back as NaN; the others are fitted all the same."""
    X, y, _ = sample(6, soft=False)
    X = np.column_stack([X, np.r_[np.ones(20), np.zeros(len(y) - 20)]])
    y[:20] = np.tile([0.0, 1.0], 10)
    weights = np.ones((3, len(y)))
    weights[0, 1:20:2] = 0  # only losses are left where the flag is set
    weights[1, :20] = 0  # nobody is left where the flag is set
    fitted = refit_logistic(X, y, weights, np.zeros(5))
    assert np.isnan(fitted[:2]).all()
    assert fitted[2] == pytest.approx(fit_logistic(X, y).coefficients, abs=1e-7)


@given(st.integers(0, 10**6), st.sampled_from([0.05, 1.0, 8.0, 60.0]))
def test_lasso_agrees_with_scikit_learn(seed: int, penalty: float) -> None:
    """The L1 optimum has the loss of scikit-learn's SAGA fit or a lower one, and satisfies the KKT conditions."""
    X, y, _ = sample(seed, 120, soft=False)
    ours = refit_logistic(X, y, np.ones((1, len(y))), np.zeros(4), l1=penalty, max_iterations=100)[0]
    gradient = X.T @ (sigmoid(X @ ours) - y)
    inside = ours == 0
    assert (np.abs(gradient[inside]) <= penalty + 1e-6).all()
    assert gradient[~inside] == pytest.approx(-penalty * np.sign(ours[~inside]), abs=1e-5)
    if len(set(y)) == 2:
        theirs = LogisticRegression(
            C=1 / penalty,
            l1_ratio=1.0,
            solver="liblinear",
            fit_intercept=False,
            tol=1e-8,
            max_iter=5000,
            random_state=0,
        ).fit(X, y)
        assert ours == pytest.approx(theirs.coef_[0], abs=2e-3)


def test_lasso_handles_soft_labels_and_weights() -> None:
    """A smooth split of each coefficient into its positive and negative part finds the same optimum."""
    X, y, _ = sample(8, 200)
    w = np.random.default_rng(8).uniform(0.1, 2, 200)

    def loss(v: Array) -> float:
        b = v[:4] - v[4:]
        eta = X @ b
        return float(w @ (np.logaddexp(0, eta) - y * eta) + 3.0 * v.sum())

    best = minimize(
        loss, np.full(8, 0.1), bounds=[(0, None)] * 8, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-9}
    )
    ours = refit_logistic(X, y, w[None, :], np.zeros(4), l1=3.0)[0]
    assert ours == pytest.approx(best.x[:4] - best.x[4:], abs=1e-4)


def test_sigmoid_is_silent_at_the_ends() -> None:
    """Huge log-odds give 0 and 1 without a warning."""
    assert sigmoid([-1e4, 0.0, 1e4]).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("fails", [True, False])
def test_a_singular_step_ends_in_an_error(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    """A solver that meets a singular or overflowing information stops with an error, never with its last iterate."""
    X, y, _ = sample(9)

    def singular(_: Array, right: Array) -> Array:
        if fails:
            raise np.linalg.LinAlgError
        return np.full_like(right, np.nan)

    monkeypatch.setattr(np.linalg, "solve", singular)
    with pytest.raises(NotConverged):
        fit_logistic(X, y)
    assert np.isnan(refit_logistic(X, y, np.ones((3, len(y))), np.zeros(4))).all()


def test_lasso_needs_no_exact_inner_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sweep of coordinate descent a step still reaches the optimum, in more steps."""
    X, y, _ = sample(10, 120)
    exact = refit_logistic(X, y, np.ones((1, len(y))), np.zeros(4), l1=12.0, tol=1e-9, max_iterations=500)
    monkeypatch.setattr(logistic, "_SWEEPS", 1)
    rough = refit_logistic(X, y, np.ones((1, len(y))), np.zeros(4), l1=12.0, tol=1e-9, max_iterations=500)
    assert (exact == 0).any()
    assert rough == pytest.approx(exact, abs=1e-6)
