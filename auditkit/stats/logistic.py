"""Logistic regression with fractional outcomes: one exact fit, its cluster-robust covariance, many refits at once.

All fits are Newton's method with a step bound instead of a line search. With ``r`` the largest change of any
row's log-odds, a (proximal) Newton step of length ``min(1, 1/r)`` always lowers the loss: by generalised
self-concordance ``f(b + t d) <= f(b) + t g'd + t^2 d'Hd psi(t r)`` and ``psi(1) = e - 2 < 1`` (Bach, Electronic
Journal of Statistics 4 (2010) 384, proposition 1). No loss is evaluated, so replicates run through BLAS together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.errors import NoData, NotConverged, Separated, Undefined
from auditkit.stats.intervals import dense_codes

__all__ = ["LogisticFit", "cluster_covariance", "fit_logistic", "refit_logistic", "separated", "sigmoid"]

Array = NDArray[np.float64]

_MAX_ITERATIONS: Final = 100
_REFIT_ITERATIONS: Final = 40
_SUSPICIOUS_LOGIT: Final = 20.0  # beyond this a diverging fit is worth a test for separation
_THREADS_FROM: Final = 200_000  # OpenBLAS uses threads from 262,144 multiplications
_SWEEPS: Final = 500
_SETTLED: Final = 1e-12
_DEPENDENT: Final = 1e-11  # smallest eigenvalue of the unit-diagonal Gram matrix that still is a full rank
_BLOCK: Final = 150_000  # row-replicates held at once: temporaries of 1.2 MB stay in the cache (measured best)


@dataclass(frozen=True)
class LogisticFit:
    """A converged fit.

    Attributes:
        coefficients: Maximum-likelihood coefficients (p,), log-odds.
        covariance: Inverse information (p, p): right for independent rows with 0/1 outcomes only; for games
            that share prompts take `cluster_covariance`.
        iterations: Newton steps taken.
        loss: Weighted sum of the log loss at the optimum.
        n: Rows with a positive weight.
    """

    coefficients: Array
    covariance: Array
    iterations: int
    loss: float
    n: int


def sigmoid(logits: ArrayLike) -> Array:
    """Return ``1 / (1 + exp(-x))`` without overflow warnings."""
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(logits, dtype=np.float64))), dtype=np.float64)


def fit_logistic(
    X: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    start: ArrayLike | None = None,
    tol: float = 1e-9,
) -> LogisticFit:
    """Fit a logistic regression by maximum (quasi-)likelihood, without penalty and without adding an intercept.

    Args:
        X: Covariates (n, p).
        y: Outcomes (n,) in 0..1; fractions are soft labels.
        weights: Row weights (n,), at least 0; None: 1.
        start: Coefficients to start at (p,); None: 0.
        tol: Stop when no row's log-odds moves by more than this.

    Raises:
        NoData: Fewer rows with a positive weight than coefficients.
        Separated: A combination of covariates predicts the outcome perfectly; the estimate is infinite.
        NotConverged: 100 Newton steps were not enough.
        Undefined: The covariates are linearly dependent.

    Source: McCullagh and Nelder, Generalized Linear Models (1989) ch. 4; Papke and Wooldridge, J. Applied
    Econometrics 11 (1996) 619, for fractional outcomes.
    """
    X, y, w = _rows(X, y, weights)
    n, p = X.shape
    if n < p or n == 0:
        raise NoData(f"{n} usable rows for {p} coefficients")
    _check_rank(X, w)
    beta = np.zeros(p) if start is None else np.array(start, dtype=np.float64)
    for iteration in range(1, _MAX_ITERATIONS + 1):
        eta = X @ beta
        mu = sigmoid(eta)
        hessian = (X * (w * mu * (1 - mu))[:, None]).T @ X
        try:
            step = np.linalg.solve(hessian, X.T @ (w * (y - mu)))
        except np.linalg.LinAlgError:
            break
        moved = X @ step
        reach = float(np.abs(moved).max())
        if not np.isfinite(reach):
            break
        beta = beta + step * min(1.0, 1.0 / reach) if reach > 0 else beta
        if reach <= tol:
            eta = X @ beta
            loss = float(w @ (np.logaddexp(0.0, eta) - y * eta))
            return LogisticFit(beta, np.asarray(np.linalg.inv(hessian)), iteration, loss, n)
        if iteration % 10 == 0 and np.abs(eta).max() > _SUSPICIOUS_LOGIT:
            _refuse_separated(X, y)
    _refuse_separated(X, y)
    raise NotConverged(f"the logistic fit did not reach its tolerance in {_MAX_ITERATIONS} steps")


def separated(X: ArrayLike, y: ArrayLike) -> bool:
    """Tell whether some combination of the columns of `X` predicts `y` perfectly, wholly or on some rows.

    Then the likelihood has no maximum. A fractional outcome can only be predicted by 0 log-odds in that
    direction. Solved exactly as a linear programme: is there a direction d with ``x d >= 0`` where y is 1,
    ``x d <= 0`` where y is 0, ``x d = 0`` elsewhere, that is not 0 on every row?

    Source: Albert and Anderson, Biometrika 71 (1984) 1; Konis, DPhil thesis, Oxford (2007), section 4.
    """
    from scipy.optimize import linprog

    X, y, _ = _rows(X, y, None)
    scale = np.abs(X).max(axis=0, initial=0.0)
    X = X / np.where(scale > 0, scale, 1.0)
    decided = (y == 0) | (y == 1)
    signed = X[decided] * np.where(y[decided] == 1, 1.0, -1.0)[:, None]
    if not len(signed):
        return False
    equal = X[~decided]
    if len(equal) > X.shape[1]:  # the row space says the same with p rows
        equal = np.linalg.qr(equal, mode="r")
    found = linprog(
        -signed.sum(axis=0),
        A_ub=-signed,
        b_ub=np.zeros(len(signed)),
        A_eq=equal if len(equal) else None,
        b_eq=np.zeros(len(equal)) if len(equal) else None,
        bounds=(-1.0, 1.0),
        method="highs",
    )
    return bool(found.status == 0 and -found.fun > 1e-7)


def cluster_covariance(
    X: ArrayLike, y: ArrayLike, weights: ArrayLike | None, coefficients: ArrayLike, clusters: ArrayLike
) -> Array:
    """Return the cluster-robust (sandwich) covariance of logistic coefficients.

    ``V = G/(G-1) * A^-1 (sum_g s_g s_g') A^-1`` with A the information and ``s_g`` the sum over cluster g of
    ``w (y - mu) x``. (statsmodels multiplies by ``(n-1)/(n-p)`` on top.)

    Args:
        X: Covariates (n, p).
        y: Outcomes (n,) in 0..1.
        weights: Row weights (n,); None: 1.
        coefficients: The optimum (p,).
        clusters: Integer cluster codes (n,).

    Raises:
        NoData: Fewer than two clusters.
        Undefined: The information is singular.

    Source: Liang and Zeger, Biometrika 73 (1986) 13.
    """
    X = np.asarray(X, dtype=np.float64)
    y = np.asarray(y, dtype=np.float64)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    codes = dense_codes(clusters)
    n_clusters = int(codes.max()) + 1 if codes.size else 0
    if n_clusters < 2:
        raise NoData(f"{n_clusters} clusters: a robust covariance needs at least two")
    mu = sigmoid(X @ np.asarray(coefficients, dtype=np.float64))
    scores = X * (w * (y - mu))[:, None]
    sums = np.stack([np.bincount(codes, weights=column, minlength=n_clusters) for column in scores.T], axis=1)
    information = (X * (w * mu * (1 - mu))[:, None]).T @ X
    try:
        bread = np.linalg.inv(information)
    except np.linalg.LinAlgError as error:
        raise Undefined("the covariates are linearly dependent: their effects cannot be told apart") from error
    covariance: Array = n_clusters / (n_clusters - 1) * bread @ (sums.T @ sums) @ bread
    return covariance


def refit_logistic(
    X: ArrayLike,
    y: ArrayLike,
    weights_by_replicate: ArrayLike,
    start: ArrayLike,
    *,
    l1: ArrayLike = 0.0,
    tol: float = 5e-4,
    max_iterations: int = _REFIT_ITERATIONS,
) -> Array:
    """Fit the same logistic regression under many weightings (bootstrap replicates, folds), batched through BLAS.

    Minimises ``sum_i w_i logloss_i + l1 * sum_j |b_j|`` for each replicate, exactly: Newton steps, or proximal
    Newton steps (coordinate descent on the quadratic model) where `l1` is above 0.

    Args:
        X: Covariates (n, p); p up to a few dozen.
        y: Outcomes (n,) in 0..1.
        weights_by_replicate: Row weights (R, n), at least 0.
        start: The full-data optimum (p,), or one start a replicate (R, p).
        l1: Penalty, one number or one a replicate (R,).
        tol: A replicate is done after a step that moved no row's log-odds by more than this. Newton's steps
            square the error, so the result is exact to about ``tol**2``: far below what a bootstrap can show.
        max_iterations: Steps after which a replicate is given up.

    Returns:
        Coefficients (R, p). Replicates that separate, are singular or do not converge are NaN: count them.
    """
    X = np.ascontiguousarray(X, dtype=np.float64)
    y = np.asarray(y, dtype=np.float64)
    W = np.asarray(weights_by_replicate, dtype=np.float64)
    n, p = X.shape
    replicates = len(W)
    starts = np.broadcast_to(np.asarray(start, dtype=np.float64), (replicates, p))
    penalty = np.broadcast_to(np.asarray(l1, dtype=np.float64), (replicates,))
    upper = np.triu_indices(p)
    products = np.ascontiguousarray(X[:, upper[0]] * X[:, upper[1]])
    fitted = np.empty((replicates, p))
    step = max(1, _BLOCK // max(n, 1))
    for begin in range(0, replicates, step):
        rows = slice(begin, begin + step)
        fitted[rows] = _refit_block(X, products, upper, y, W[rows], starts[rows], penalty[rows], tol, max_iterations)
    return fitted


def _refit_block(
    X: Array,
    products: Array,
    upper: tuple[NDArray[np.intp], NDArray[np.intp]],
    y: Array,
    W: Array,
    start: Array,
    l1: Array,
    tol: float,
    max_iterations: int,
) -> Array:
    beta = start.copy()
    done = np.full(beta.shape, np.nan)
    active = np.arange(len(beta))
    p = X.shape[1]
    penalised = bool((l1 > 0).any())
    same_start = len(beta) > 1 and bool((beta == beta[0]).all())
    chances, spare = np.empty_like(W), np.empty_like(W)  # reused: fresh pages cost more than the arithmetic
    for iteration in range(max_iterations):
        if iteration == 0 and same_start:  # one set of chances serves all replicates
            mu = sigmoid(X @ beta[0])
            gradient = _thin(W, X * (mu - y)[:, None])
            packed = _thin(W, products * (mu * (1.0 - mu))[:, None])
        else:
            mu, work = chances[: len(active)], spare[: len(active)]
            _thin(-beta, X.T, mu)
            with np.errstate(over="ignore"):
                np.exp(mu, out=mu)
            mu += 1.0
            np.reciprocal(mu, out=mu)
            np.subtract(mu, y, out=work)
            work *= W
            gradient = _thin(work, X)
            np.subtract(1.0, mu, out=work)
            work *= mu
            work *= W
            packed = _thin(work, products)
        hessian = np.empty((len(active), p, p))
        hessian[:, upper[0], upper[1]] = packed
        hessian[:, upper[1], upper[0]] = packed
        direction = _lasso_step(hessian, gradient, beta, l1) if penalised else _newton_step(hessian, gradient)
        moved = _thin(direction, X.T, spare[: len(active)])
        reach = np.maximum(moved.max(axis=1), -moved.min(axis=1))
        usable = np.isfinite(reach)
        beta = beta + direction / np.maximum(reach, 1.0)[:, None]
        finished = usable & (reach <= tol)
        done[active[finished]] = beta[finished]
        keep = usable & ~finished
        if not keep.any():
            break
        if not keep.all():
            active, beta, W, l1 = active[keep], beta[keep], W[keep], l1[keep]
    return done


def _thin(A: Array, B: Array, out: Array | None = None) -> Array:
    """Return ``A @ B`` in slices too small for BLAS to start threads.

    These products are bound by memory: threads gain nothing, and on a busy machine waiting for them costs tenfold.
    """
    if out is None:
        out = np.empty((len(A), B.shape[1]))
    step = max(1, _THREADS_FROM // B.size)
    for begin in range(0, len(A), step):
        np.matmul(A[begin : begin + step], B, out=out[begin : begin + step])
    return out


def _newton_step(hessian: Array, gradient: Array) -> Array:
    try:
        return np.asarray(-np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0])
    except np.linalg.LinAlgError:  # one singular replicate must not take the others with it
        direction = np.full(gradient.shape, np.nan)
        for i, (matrix, vector) in enumerate(zip(hessian, gradient, strict=True)):
            try:
                direction[i] = -np.linalg.solve(matrix, vector)
            except np.linalg.LinAlgError:
                continue
        return direction


def _lasso_step(hessian: Array, gradient: Array, beta: Array, l1: Array) -> Array:
    """Minimise ``g'd + d'Hd/2 + l1 |beta + d|_1`` for each replicate.

    While no coefficient changes its sign the penalty is linear and the minimiser is one solve; the sign of the
    result proves it. The others go through coordinate descent.
    """
    signs = np.where(beta == 0, -np.sign(gradient), np.sign(beta))
    direction = _newton_step(hessian, gradient + l1[:, None] * signs)
    settled = ((np.sign(beta + direction) == signs) & (signs != 0)).all(axis=1)
    if not settled.all():
        rest = ~settled
        direction[rest] = _coordinate_descent(hessian[rest], gradient[rest], beta[rest], l1[rest])
    return direction


def _coordinate_descent(hessian: Array, gradient: Array, beta: Array, l1: Array) -> Array:
    p = beta.shape[1]
    diagonal = np.einsum("rjj->rj", hessian)
    curvature = np.where(diagonal > 0, diagonal, np.nan)
    target = beta.copy()
    slope = gradient.copy()  # g + H d
    for _ in range(_SWEEPS):
        before = target.copy()
        for j in range(p):
            wanted = target[:, j] * curvature[:, j] - slope[:, j]
            new = np.sign(wanted) * np.maximum(np.abs(wanted) - l1, 0.0) / curvature[:, j]
            slope += hessian[:, j, :] * (new - target[:, j])[:, None]
            target[:, j] = new
        moved = np.abs(target - before).max(axis=1)
        if (moved[np.isfinite(moved)] < _SETTLED).all():
            break
    return np.asarray(target - beta)


def _rows(X: ArrayLike, y: ArrayLike, weights: ArrayLike | None) -> tuple[Array, Array, Array]:
    X = np.asarray(X, dtype=np.float64)
    y = np.asarray(y, dtype=np.float64)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    if X.ndim != 2 or y.shape != (len(X),) or w.shape != y.shape:
        raise ValueError(f"shapes do not fit: X {X.shape}, y {y.shape}, weights {w.shape}")
    if not (np.isfinite(X).all() and ((y >= 0) & (y <= 1)).all() and ((w >= 0) & np.isfinite(w)).all()):
        raise ValueError("X must be finite, y in 0..1, weights finite and at least 0")
    if (w == 0).any():
        X, y, w = X[w > 0], y[w > 0], w[w > 0]
    return X, y, w


def _check_rank(X: Array, w: Array) -> None:
    gram = (X * w[:, None]).T @ X
    scale = np.sqrt(np.diag(gram))
    if (scale == 0).any():
        raise Undefined("a covariate is 0 on every row: it has no effect to estimate")
    if np.linalg.eigvalsh(gram / np.outer(scale, scale))[0] < _DEPENDENT:
        raise Undefined("the covariates are linearly dependent: their effects cannot be told apart")


def _refuse_separated(X: Array, y: Array) -> None:
    if separated(X, y):
        raise Separated("the covariates predict the outcome perfectly: the estimate is infinite")
