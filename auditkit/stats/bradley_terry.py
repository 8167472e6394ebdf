"""Bradley-Terry ratings by exact maximum likelihood, with intervals clustered by prompt.

Models are integer codes, outcomes the probability (0..1) that `a` beats `b`; a tie is 0.5. Ratings are on the
natural-log scale, ``P(a beats b) = 1 / (1 + exp(rating[b] - rating[a] - features @ coefficients))``, and centred
at zero unless a ridge fixes their level. The likelihood of the plain model depends on the battles only through the
win matrix, so it is aggregated once; with covariates the rows are visited a few times, in blocks.

Sources: R. A. Bradley and M. E. Terry, Biometrika 39 (1952) 324; existence of the estimate, L. R. Ford,
Amer. Math. Monthly 64 (1957) 28; the cluster-robust ("sandwich") covariance, K.-Y. Liang and S. L. Zeger,
Biometrika 73 (1986) 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditkit.errors import Disconnected, NoData, NotConverged, Separated, printable
from auditkit.stats.cluster_scores import score_products

__all__ = [
    "BradleyTerry",
    "check_connected",
    "elo",
    "fit",
    "fit_contextual",
    "win_matrix",
]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_BLOCK: Final = 1 << 16  # rows a pass holds at once: its temporaries stay in cache, memory does not grow with rows
_START_ROWS: Final = 100_000  # rows of the rough fit that starts the exact one
_STEP_TOLERANCE: Final = 1e-5  # Newton's error is about the square of its last step
_MAX_ITERATIONS: Final = 60
_DIVERGED: Final = 30.0  # log-odds beyond which a coefficient is on its way to infinity


@dataclass(frozen=True, eq=False)
class BradleyTerry:
    """A fitted model.

    Attributes:
        ratings: Shape (models,), natural-log scale.
        coefficients: Shape (features,), log-odds per unit of each feature; empty for the plain model.
        covariance: Shape (models + features,) squared, cluster-robust; the ratings' part is singular along a
            common shift, so standard errors of *differences* need its off-diagonals (`difference`).
        n: Battles used.
        n_clusters: Clusters (prompts); equal to `n` where battles were taken as independent.
        ridge: ``(on ratings, on coefficients)``; the objective holds ``ridge / 2 * sum of squares``.
        iterations: Newton steps over all rows.
        gradient: Largest absolute element of the mean log-likelihood's gradient where it was last evaluated.
    """

    ratings: Floats
    coefficients: Floats
    covariance: Floats
    n: int
    n_clusters: int
    ridge: tuple[float, float]
    iterations: int
    gradient: float

    @property
    def rating_se(self) -> Floats:
        """Standard errors of the centred ratings, shape (models,)."""
        return np.sqrt(np.diag(self.covariance)[: len(self.ratings)])

    @property
    def coefficient_se(self) -> Floats:
        """Standard errors of the coefficients, shape (features,)."""
        return np.sqrt(np.diag(self.covariance)[len(self.ratings) :])

    def difference(self, i: int, j: int) -> tuple[float, float]:
        """Return ``(rating[i] - rating[j], its standard error)``."""
        v = self.covariance
        return float(self.ratings[i] - self.ratings[j]), math.sqrt(max(v[i, i] + v[j, j] - 2.0 * v[i, j], 0.0))

    def difference_se(self) -> Floats:
        """Return the standard errors of all differences of ratings, (models, models), as `ranks.rank_intervals` takes them."""
        m = len(self.ratings)
        v = self.covariance[:m, :m]
        own = np.diag(v)
        return np.asarray(np.sqrt(np.maximum(own[:, None] + own[None, :] - 2.0 * v, 0.0)))


def elo(values: Floats) -> Floats:
    """Return natural-log ratings (or their standard errors) in Elo points, 400 / ln 10 each."""
    return values * (400.0 / math.log(10.0))


def win_matrix(a: Codes, b: Codes, outcome: Floats, n_models: int, weights: Floats | None = None) -> Floats:
    """Return the weighted wins of each model over each other, shape (models, models); a tie is half a win for both."""
    won = outcome if weights is None else outcome * weights
    pair, cells = a * n_models + b, n_models * n_models
    total = np.bincount(pair, weights=weights, minlength=cells).astype(float)
    wins = np.bincount(pair, weights=won, minlength=cells).astype(float)
    lost = np.maximum(total - wins, 0.0)
    return np.asarray(wins.reshape(n_models, n_models) + lost.reshape(n_models, n_models).T)


def check_connected(wins: Floats, names: Sequence[str] = ()) -> None:
    """Raise unless a chain of wins leads from every model to every other, which is when the ratings exist (Ford).

    Args:
        wins: Shape (models, models), as `win_matrix` returns it.
        names: The models' names for the message; their codes if empty.

    Raises:
        Disconnected: With the models that never won or never lost, or the groups that no chain joins.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    graph = csr_array(wins > 0)
    n_groups, group = connected_components(graph, directed=True, connection="strong")
    if n_groups <= 1:
        return

    def name(codes: NDArray[np.int64]) -> str:
        shown = ", ".join(printable(names[c], 60) if names else str(c) for c in codes[:5])
        return shown if len(codes) <= 5 else f"{shown} and {len(codes) - 5} more"

    off = wins * ~np.eye(len(wins), dtype=bool)
    won, lost = off.sum(axis=1), off.sum(axis=0)
    reasons = [
        f"{word}: {name(codes)}"
        for word, codes in (
            ("never met another model", np.flatnonzero((won == 0) & (lost == 0))),
            ("never lost", np.flatnonzero((won > 0) & (lost == 0))),
            ("never won", np.flatnonzero((won == 0) & (lost > 0))),
        )
        if len(codes)
    ]
    if not reasons:
        sizes = np.bincount(group)
        small = np.flatnonzero(group == int(sizes.argmin()))
        reasons.append(
            f"{n_groups} groups of models that did not both beat and lose to each other, one is {name(small)}"
        )
    raise Disconnected(f"the ratings are infinite or unknown; {'; '.join(reasons)}")


def _factor(hessian: Floats, free_shift: int) -> Callable[[Floats], Floats]:
    """Return the solver of `hessian`; a common shift of the first `free_shift` parameters is fixed at a zero sum."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    matrix = hessian
    if free_shift:
        matrix = hessian.copy()
        matrix[:free_shift, :free_shift] += np.trace(hessian[:free_shift, :free_shift]) / free_shift**2
    scale = np.sqrt(np.diag(matrix))
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise Separated("the likelihood is flat: an outcome is predicted with certainty")
    try:
        factor = cho_factor(matrix / np.outer(scale, scale))
    except LinAlgError:
        raise Separated("the features are linearly dependent or predict the outcome perfectly") from None
    if np.diag(factor[0]).min() < 1e-6:
        raise Separated("the features are linearly dependent or predict the outcome perfectly")

    def solve(right: Floats) -> Floats:
        scaled = right / (scale if right.ndim == 1 else scale[:, None])
        solved: Floats = cho_solve(factor, scaled) / (scale if right.ndim == 1 else scale[:, None])
        return solved

    return solve


class _Step(NamedTuple):
    loss: float
    gradient: Floats  # of the loss
    hessian: Floats


def _newton(
    evaluate: Callable[[Floats], _Step], start: Floats, free_shift: int, total: float
) -> tuple[Floats, _Step, int, float]:
    """Minimise by Newton's method with step halving; return parameters, last evaluation, steps, mean gradient."""
    params, step = start, evaluate(start)
    for iteration in range(1, _MAX_ITERATIONS + 1):
        move = _factor(step.hessian, free_shift)(-step.gradient)
        largest = float(np.abs(move).max())
        if largest <= _STEP_TOLERANCE:
            return params + move, step, iteration, float(np.abs(step.gradient).max()) / total
        size = 1.0
        while True:
            tried = params + size * move
            after = evaluate(tried)
            if after.loss <= step.loss + 1e-10 * abs(step.loss) or size < 1e-4:
                break
            size /= 2.0
        params, step = tried, after
        if float(np.abs(params).max()) > _DIVERGED:
            raise Separated("a coefficient grows without bound: a feature predicts the outcome perfectly")
    raise NotConverged(f"no maximum found in {_MAX_ITERATIONS} Newton steps")


def _start(wins: Floats, ridge: float) -> Floats:
    """Return a rough rating from each model's smoothed log-odds."""
    won, lost = wins.sum(axis=1) + 1.0 + ridge, wins.sum(axis=0) + 1.0 + ridge
    rough = np.log(won / lost)
    return np.asarray(rough - rough.mean())


def _fit_counts(wins: Floats, ridge: float) -> tuple[Floats, _Step, int, float]:
    """Fit the plain model to a win matrix."""
    met = wins + wins.T
    n = len(wins)

    def evaluate(ratings: Floats) -> _Step:
        gap = ratings[:, None] - ratings[None, :]
        small = np.exp(-np.abs(gap))
        p = np.where(gap >= 0, 1.0, small) / (1.0 + small)
        loss = float((wins * (np.maximum(-gap, 0.0) + np.log1p(small))).sum()) + 0.5 * ridge * float(ratings @ ratings)
        gradient = (met * p).sum(axis=1) - wins.sum(axis=1) + ridge * ratings
        curve = met * p * (1.0 - p)
        np.fill_diagonal(curve, 0.0)
        hessian = np.diag(curve.sum(axis=1) + ridge) - curve
        return _Step(loss, gradient, hessian)

    off = wins.copy()
    np.fill_diagonal(off, 0.0)
    wins, met = off, off + off.T
    return _newton(evaluate, _start(wins, ridge), 0 if ridge > 0 else n, max(float(wins.sum()), 1.0))


def _checked(
    a: Codes, b: Codes, outcome: Floats, n_models: int, weights: Floats | None, clusters: Codes | None
) -> None:
    n = len(a)
    if n == 0:
        raise NoData("there are no battles")
    for label, array in (("b", b), ("outcome", outcome), ("weights", weights), ("clusters", clusters)):
        if array is not None and len(array) != n:
            raise ValueError(f"{label} has {len(array)} rows, a has {n}")
    for label, codes in (("a", a), ("b", b)):
        if codes.min() < 0 or codes.max() >= n_models:
            raise ValueError(f"{label} holds codes outside 0..{n_models - 1}")
    if not (outcome.min() >= 0.0 and outcome.max() <= 1.0):
        raise ValueError("outcomes must lie in 0..1; drop and count the missing ones first")
    if weights is not None and not (weights.min() > 0.0 and math.isfinite(weights.max())):
        raise ValueError("weights must be positive and finite")


def _sandwich(hessian: Floats, meat: Floats, n_clusters: int, free_shift: int) -> Floats:
    if n_clusters < 2:
        raise NoData("one prompt is not enough for a standard error")
    solve = _factor(hessian, free_shift)
    half = solve(meat)
    covariance: Floats = solve(half.T) * (n_clusters / (n_clusters - 1.0))
    return (covariance + covariance.T) / 2.0


def fit(
    a: Codes,
    b: Codes,
    outcome: Floats,
    n_models: int,
    *,
    clusters: Codes | None = None,
    weights: Floats | None = None,
    ridge: float = 0.0,
    names: Sequence[str] = (),
) -> BradleyTerry:
    """Fit the plain model.

    Args:
        a: Codes 0..n_models-1 of the first model of each battle, shape (n,).
        b: Codes of the second.
        outcome: Probability that `a` beat `b`, 0..1, shape (n,).
        n_models: How many models there are.
        clusters: Prompt code of each battle, 0..; None: every battle is its own cluster.
        weights: Positive weight of each battle; None: 1.
        ridge: Stated penalty ``ridge / 2 * sum(ratings ** 2)``; with one, unconnected models get a finite rating.
        names: The models' names, for messages.

    Returns:
        Ratings centred at zero, and their covariance.

    Raises:
        NoData: No battles, or a single prompt.
        Disconnected: The ratings do not exist, and `ridge` is 0.
        NotConverged: Newton's method failed.
    """
    _checked(a, b, outcome, n_models, weights, clusters)
    wins = win_matrix(a, b, outcome, n_models, weights)
    if ridge == 0.0:
        check_connected(wins, names)
    ratings, step, iterations, gradient = _fit_counts(wins, ridge)
    p = 1.0 / (1.0 + np.exp(ratings[None, :] - ratings[:, None]))
    residual = outcome - p.ravel().take(a * n_models + b)
    if weights is not None:
        residual = residual * weights
    meat, n_clusters = score_products(a, b, residual, np.empty((len(a), 0)), clusters, n_models)
    covariance = _sandwich(step.hessian, meat, n_clusters, 0 if ridge > 0 else n_models)
    return BradleyTerry(ratings, np.empty(0), covariance, len(a), n_clusters, (ridge, 0.0), iterations, gradient)


@dataclass(frozen=True, eq=False)
class _Rows:
    """The battles of a contextual fit, visited in blocks."""

    pair: Codes
    outcome: Floats
    columns: Floats  # the features, shape (p, n): whole columns are what NumPy is fast with
    weights: Floats | None
    n_models: int
    ridge: Floats

    def every(self, stride: int) -> _Rows:
        """Return each `stride`-th battle, for a rough fit that a ridge of one pseudo-battle a model keeps finite."""
        rows = slice(None, None, stride)
        return _Rows(
            np.ascontiguousarray(self.pair[rows]),
            np.ascontiguousarray(self.outcome[rows]),
            np.ascontiguousarray(self.columns[:, rows]),
            None if self.weights is None else np.ascontiguousarray(self.weights[rows]),
            self.n_models,
            np.maximum(self.ridge, 1.0),
        )

    def evaluate(self, params: Floats, residual: Floats) -> _Step:
        """Return loss, gradient and Hessian at `params`; fill `residual` with the weighted residuals."""
        m, p, cells = self.n_models, len(self.columns), self.n_models * self.n_models
        ratings, beta = params[:m], params[m:]
        table = (ratings[:, None] - ratings[None, :]).ravel()
        by_pair = np.zeros((2 + p, cells))
        curve_xx, gradient_x, loss = np.zeros((p, p)), np.zeros(p), 0.0
        for start in range(0, len(self.pair), _BLOCK):
            rows = slice(start, start + _BLOCK)
            pair, columns, y = self.pair[rows], self.columns[:, rows], self.outcome[rows]
            gap = table.take(pair)
            gap += beta @ columns
            small = np.exp(-np.abs(gap))
            p_win = np.where(gap >= 0, 1.0, small)
            small += 1.0
            p_win /= small
            part = np.log(small)  # the loss is softplus(gap) - y * gap
            part += np.maximum(gap, 0.0)
            part -= y * gap
            left = np.subtract(y, p_win, out=residual[rows])
            p_win *= 1.0 - p_win
            if self.weights is not None:
                w = self.weights[rows]
                left *= w
                p_win *= w
                part *= w
            loss += float(part.sum())
            by_pair[0] += np.bincount(pair, weights=left, minlength=cells)
            by_pair[1] += np.bincount(pair, weights=p_win, minlength=cells)
            curved = columns * p_win
            for j in range(p):
                by_pair[2 + j] += np.bincount(pair, weights=curved[j], minlength=cells)
            curve_xx += curved @ columns.T
            gradient_x += columns @ left
        square = by_pair.reshape(2 + p, m, m)
        gradient = np.concatenate([square[0].sum(axis=0) - square[0].sum(axis=1), -gradient_x]) + self.ridge * params
        hessian = np.empty((m + p, m + p))
        met = square[1] + square[1].T
        hessian[:m, :m] = np.diag(met.sum(axis=1)) - met
        cross = square[2:].sum(axis=2) - square[2:].sum(axis=1)
        hessian[:m, m:], hessian[m:, :m], hessian[m:, m:] = cross.T, cross, curve_xx
        hessian[np.diag_indices(m + p)] += self.ridge
        return _Step(loss + 0.5 * float(self.ridge @ (params * params)), gradient, hessian)


def fit_contextual(
    a: Codes,
    b: Codes,
    outcome: Floats,
    X: Floats,
    n_models: int,
    *,
    clusters: Codes | None = None,
    weights: Floats | None = None,
    ridge: tuple[float, float] = (0.0, 0.0),
    names: Sequence[str] = (),
) -> BradleyTerry:
    """Fit ratings and the coefficients of covariates together (style control of Chatbot Arena and Arena-Hard).

    The published fits are of this kind: Chatbot Arena and Arena-Hard v0.1 with ``ridge = (0.5 / ln(10)**2, 0.5)``
    (scikit-learn's C=1 with ratings in powers of ten), Arena-Hard v2.0 with none.

    Args:
        a: Codes 0..n_models-1 of the first model of each battle, shape (n,).
        b: Codes of the second.
        outcome: Probability that `a` beat `b`, 0..1, shape (n,).
        X: Feature differences seen from `a`, shape (n, p), finite.
        n_models: How many models there are.
        clusters: Prompt code of each battle, 0..; None: every battle is its own cluster.
        weights: Positive weight of each battle; None: 1.
        ridge: ``(on ratings, on coefficients)``, added to the loss as ``ridge / 2 * sum of squares``.
        names: The models' names, for messages.

    Returns:
        Ratings (centred at zero where `ridge[0]` is 0), coefficients and their joint covariance.

    Raises:
        NoData: No battles, or a single prompt.
        Disconnected: The ratings do not exist (and `ridge[0]` is 0).
        Separated: A coefficient is infinite, or the features are linearly dependent.
        NotConverged: Newton's method failed.
    """
    _checked(a, b, outcome, n_models, weights, clusters)
    if X.ndim != 2 or len(X) != len(a):
        raise ValueError(f"X must have shape ({len(a)}, features), got {X.shape}")
    if not np.isfinite(X).all():
        raise ValueError("features must be finite")
    if ridge[0] == 0.0:
        check_connected(win_matrix(a, b, outcome, n_models, weights), names)
    p = X.shape[1]
    penalty = np.concatenate([np.full(n_models, ridge[0]), np.full(p, ridge[1])])
    rows = _Rows(a * n_models + b, outcome, np.ascontiguousarray(X.T, dtype=np.float64), weights, n_models, penalty)
    residual = np.empty(len(a))
    total = float(len(a) if weights is None else weights.sum())
    start = np.zeros(n_models + p)
    stride = len(a) // _START_ROWS
    if stride > 1:
        rough = rows.every(stride)
        start = _newton(lambda at: rough.evaluate(at, residual[: len(rough.pair)]), start, 0, total)[0]
        start[:n_models] -= start[:n_models].mean()
    free_shift = 0 if ridge[0] > 0 else n_models
    params, step, iterations, gradient = _newton(lambda at: rows.evaluate(at, residual), start, free_shift, total)
    meat, n_clusters = score_products(a, b, residual, rows.columns.T, clusters, n_models)
    covariance = _sandwich(step.hessian, meat, n_clusters, free_shift)
    return BradleyTerry(
        params[:n_models], params[n_models:], covariance, len(a), n_clusters, ridge, iterations, gradient
    )
