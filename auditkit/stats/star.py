"""Style-controlled win rates where every battle involves the baseline: an intercept for each model, shared slopes.

``P(model m beats the baseline on row i) = 1 / (1 + exp(-(intercept[m] + x_i @ slopes)))``. The games form a star
around the baseline, so this is Bradley-Terry with covariates, and its Hessian is an arrow: diagonal in the
intercepts, bordered by the few slopes. Rows of the same model, prompt and features collapse into one fractional
outcome. Bootstrap refits start at the full-data optimum, where the first Newton step is linear in the replicate's
weights and so costs one matrix product; the following ones are batched.

Source of the model: style control of Arena-Hard-Auto (Li et al. 2024); cluster-robust covariance, Liang and Zeger,
Biometrika 73 (1986) 13; separated data, Albert and Anderson, Biometrika 71 (1984) 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.errors import NoData, NotConverged, Separated
from auditkit.stats.logistic import separated

__all__ = ["StarFit", "StarRefits", "StarRows", "collapse", "fit_star", "refit_star"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_STEP_TOLERANCE: Final = 1e-7  # Newton's error is about the square of its last step
_GRADIENT_TOLERANCE: Final = 1e-9  # of the mean log-likelihood
_MAX_ITERATIONS: Final = 40
#: Largest change of a row's log-odds in one step. Below 1.79 a Newton step always lowers the loss: by generalised
#: self-concordance (Bach, Electronic J. Statistics 4 (2010) 384, proposition 1) with (exp(r) - r - 1) / r**2 < 1.
_LARGEST_STEP: Final = 1.75
_DIVERGED: Final = 30.0
_REPLICATES: Final = 128  # refitted together: their temporaries stay in cache


@dataclass(frozen=True, eq=False)
class StarRows:
    """Collapsed rows, sorted by model, then prompt.

    Attributes:
        start: Where each model's rows begin, shape (models + 1,).
        prompt: Prompt code of each row, shape (rows,).
        outcome: Weighted mean outcome of the row's games, 0..1, shape (rows,).
        weight: Sum of their weights, shape (rows,).
        X: Feature differences seen from the model, shape (rows, features).
        n_prompts: Number of prompt codes.
    """

    start: Codes
    prompt: Codes
    outcome: Floats
    weight: Floats
    X: Floats
    n_prompts: int

    @property
    def n_models(self) -> int:
        """Number of models."""
        return len(self.start) - 1


@dataclass(frozen=True, eq=False)
class StarFit:
    """A maximum-likelihood fit.

    Attributes:
        intercepts: Log-odds of each model against the baseline at features zero, shape (models,).
        slopes: Log-odds per unit of each feature, shape (features,).
        covariance: Cluster-robust by prompt, shape (models + features,) squared.
        n_prompts: Prompts with rows.
        iterations: Newton steps.
        gradient: Largest absolute element of the mean log-likelihood's gradient where it was last evaluated.
    """

    intercepts: Floats
    slopes: Floats
    covariance: Floats
    n_prompts: int
    iterations: int
    gradient: float


@dataclass(frozen=True, eq=False)
class StarRefits:
    """Refits under replicate weights.

    Attributes:
        intercepts: Shape (replicates, models); plus or minus infinity where the model lost or won nothing in the
            replicate (the likelihood's limit), NaN where it has no row in it or the refit did not converge.
        slopes: Shape (replicates, features); NaN where the refit did not converge.
        converged: Shape (replicates,).
        gradient: Largest absolute element of each mean log-likelihood's gradient where it was last evaluated.
        iterations: Largest number of Newton steps a replicate took.
    """

    intercepts: Floats
    slopes: Floats
    converged: NDArray[np.bool_]
    gradient: Floats
    iterations: int


def collapse(model: Codes, prompt: Codes, outcome: Floats, weights: Floats | None, X: Floats) -> StarRows:
    """Merge rows of the same model, prompt and features into one of fractional outcome; exact for this model.

    Args:
        model: Codes 0.., shape (n,); each up to the largest must occur.
        prompt: Codes 0.., shape (n,).
        outcome: Probability that the model wins, 0..1, shape (n,), no NaN.
        weights: Positive, shape (n,); None: 1.
        X: Feature differences seen from the model, shape (n, p), finite.

    Raises:
        NoData: There are no rows.
    """
    n = len(model)
    if n == 0:
        raise NoData("there are no games")
    if not (outcome.min() >= 0.0 and outcome.max() <= 1.0):
        raise ValueError("outcomes must lie in 0..1; drop and count the missing ones first")
    if not np.isfinite(X).all():
        raise ValueError("features must be finite")
    w = np.ones(n) if weights is None else weights
    order = np.lexsort((*X.T[::-1], prompt, model))
    model, prompt, outcome, w, X = model[order], prompt[order], outcome[order], w[order], X[order]
    new = np.ones(n, dtype=bool)
    new[1:] = (model[1:] != model[:-1]) | (prompt[1:] != prompt[:-1]) | (X[1:] != X[:-1]).any(axis=1)
    first = np.flatnonzero(new)
    weight = np.add.reduceat(w, first)
    mean = np.clip(np.add.reduceat(w * outcome, first) / weight, 0.0, 1.0)
    counts = np.bincount(model[first])
    if not counts.all():
        raise NoData(f"model {int(counts.argmin())} has no games")
    return StarRows(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        prompt[first],
        mean,
        weight,
        np.ascontiguousarray(X[first]),
        int(prompt.max()) + 1,
    )


@dataclass(frozen=True, eq=False)
class _Design:
    """Rows with what every pass needs: a column of ones, the features and their products."""

    rows: StarRows
    ones_x: Floats  # (rows, 1 + p)
    products: Floats  # (rows, 1 + p + p (p + 1) / 2): ones, features, products of features
    upper: tuple[NDArray[np.intp], NDArray[np.intp]]
    reach: Floats  # (p,), largest absolute value of each feature
    ridge: tuple[float, float]

    @classmethod
    def of(cls, rows: StarRows, ridge: tuple[float, float]) -> _Design:
        p = rows.X.shape[1]
        upper = np.triu_indices(p)
        ones_x = np.hstack([np.ones((len(rows.X), 1)), rows.X])
        return cls(
            rows,
            ones_x,
            np.hstack([ones_x, rows.X[:, upper[0]] * rows.X[:, upper[1]]]),
            upper,
            np.abs(rows.X).max(axis=0),
            ridge,
        )

    def sums(self, weights: Floats, intercepts: Floats, slopes: Floats) -> tuple[Floats, Floats]:
        """Return score and curvature sums, (R, M, 1 + p) and (R, M, 1 + p + p(p+1)/2), for replicate weights (R, P)."""
        rows = self.rows
        scores = np.empty((len(weights), rows.n_models, self.ones_x.shape[1]))
        curves = np.empty((len(weights), rows.n_models, self.products.shape[1]))
        by_prompt = np.ascontiguousarray(weights.T)  # replicates last: a prompt's weights are gathered in one piece
        for m in range(rows.n_models):
            own = slice(int(rows.start[m]), int(rows.start[m + 1]))
            w = by_prompt[rows.prompt[own]]
            w *= rows.weight[own, None]
            p_win = rows.X[own] @ -slopes.T
            p_win -= intercepts[:, m]
            np.exp(p_win, out=p_win)
            p_win += 1.0
            np.reciprocal(p_win, out=p_win)
            residual = rows.outcome[own, None] - p_win
            residual *= w
            scores[:, m] = residual.T @ self.ones_x[own]
            w *= p_win
            np.subtract(1.0, p_win, out=p_win)
            w *= p_win
            curves[:, m] = w.T @ self.products[own]
        return scores, curves

    def prompt_sums(self, intercepts: Floats, slopes: Floats) -> tuple[Floats, Floats]:
        """Return the same sums at one point for each prompt: (P, M, 1 + p) and (P, M, 1 + p + p(p+1)/2)."""
        rows = self.rows
        model = np.repeat(np.arange(rows.n_models), np.diff(rows.start))
        p_win = 1.0 / (1.0 + np.exp(-(intercepts[model] + rows.X @ slopes)))
        residual = rows.weight * (rows.outcome - p_win)
        curve = rows.weight * p_win * (1.0 - p_win)
        cell, size = rows.prompt * rows.n_models + model, rows.n_prompts * rows.n_models

        def table(weight: Floats, columns: Floats) -> Floats:
            summed = np.empty((size, columns.shape[1]))
            for j, column in enumerate(columns.T):
                summed[:, j] = np.bincount(cell, weights=weight * column, minlength=size)
            return summed.reshape(rows.n_prompts, rows.n_models, -1)

        return table(residual, self.ones_x), table(curve, self.products)

    def newton(
        self, scores: Floats, curves: Floats, intercepts: Floats, slopes: Floats, used: NDArray[np.bool_]
    ) -> tuple[Floats, Floats, Floats]:
        """Return the Newton moves of intercepts (R, M) and slopes (R, p), and the gradient's largest element (R,).

        Models that are not `used` in a replicate neither move nor take part.
        """
        p = self.rows.X.shape[1]
        weight = used[:, :, None]
        scores, curves = np.where(weight, scores, 0.0), np.where(weight, curves, 0.0)
        own = scores[:, :, 0] - self.ridge[0] * np.where(used, intercepts, 0.0)
        shared = scores[:, :, 1:].sum(axis=1) - self.ridge[1] * slopes
        head = np.where(used, curves[:, :, 0] + self.ridge[0], 1.0)
        arrow = curves[:, :, 1 : 1 + p]
        packed = curves[:, :, 1 + p :].sum(axis=1)
        block = np.empty((len(scores), p, p))
        block[:, self.upper[0], self.upper[1]] = packed
        block[:, self.upper[1], self.upper[0]] = packed
        block[:, np.arange(p), np.arange(p)] += self.ridge[1]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            scaled = arrow / head[:, :, None]
            block -= np.swapaxes(scaled, 1, 2) @ arrow
            right = shared - (scaled * own[:, :, None]).sum(axis=1)
            move_slopes = _solve(block, right)
            move = own / head - (scaled @ move_slopes[:, :, None])[:, :, 0]
        gradient = np.abs(np.hstack([own, shared])).max(axis=1)
        return np.where(used, move, 0.0), move_slopes, gradient


def _solve(matrices: Floats, vectors: Floats) -> Floats:
    """Solve a stack of small systems; NaN where one is singular, so that it cannot take the others with it."""
    if not matrices.shape[1]:
        return vectors
    try:
        return np.asarray(np.linalg.solve(matrices, vectors[:, :, None])[:, :, 0])
    except np.linalg.LinAlgError:
        solved = np.full_like(vectors, np.nan)
        for i, (matrix, vector) in enumerate(zip(matrices, vectors, strict=True)):
            if np.linalg.matrix_rank(matrix) == len(matrix):
                solved[i] = np.linalg.solve(matrix, vector)
        return solved


def _bounded(move: Floats, move_slopes: Floats, reach: Floats) -> tuple[Floats, Floats, Floats]:
    """Shorten moves that would change a row's log-odds too much; also return the largest change of a coefficient.

    `reach` is the largest absolute value of each feature, shape (p,).
    """
    length = np.abs(np.hstack([move, move_slopes])).max(axis=1)
    change = np.abs(move).max(axis=1) + np.abs(move_slopes) @ reach
    shrink = np.minimum(1.0, _LARGEST_STEP / np.maximum(change, 1e-300))[:, None]
    return move * shrink, move_slopes * shrink, length


def fit_star(rows: StarRows, *, ridge: tuple[float, float] = (0.0, 0.0)) -> StarFit:
    """Fit by exact maximum likelihood, with the covariance clustered by prompt.

    Args:
        rows: Collapsed games.
        ridge: ``(on intercepts, on slopes)``, added to the loss as ``ridge / 2 * sum of squares``.

    Raises:
        Separated: A model won or lost everything, a feature predicts the outcome perfectly, or the features are
            linearly dependent; the message names the models by code.
        NoData: Fewer than two prompts.
        NotConverged: Newton's method failed.
    """
    design = _Design.of(rows, ridge)
    total = np.add.reduceat(rows.weight, rows.start[:-1])
    won = np.add.reduceat(rows.weight * rows.outcome, rows.start[:-1])
    extreme = np.flatnonzero((won <= 0) | (won >= total * (1.0 - 1e-12)))
    if len(extreme) and ridge[0] == 0.0:
        raise Separated(f"models that won or lost every game: {', '.join(map(str, extreme))}")
    n_prompts = len(np.unique(rows.prompt))
    if n_prompts < 2:
        raise NoData("one prompt is not enough for a standard error")
    share = np.clip(won / total, 1e-3, 1 - 1e-3)
    intercepts, slopes = np.log(share / (1.0 - share))[None, :], np.zeros((1, rows.X.shape[1]))
    used, weights = np.ones((1, rows.n_models), dtype=bool), np.ones((1, rows.n_prompts))
    iteration = 0
    while True:
        iteration += 1
        scores, curves = design.sums(weights, intercepts, slopes)
        move, move_slopes, gradient = design.newton(scores, curves, intercepts, slopes, used)
        move, move_slopes, length = _bounded(move, move_slopes, design.reach)
        if not np.isfinite(length[0]):
            raise Separated("the features are linearly dependent or predict the outcome perfectly")
        intercepts, slopes = intercepts + move, slopes + move_slopes
        mean_gradient = float(gradient[0] / total.sum())
        if length[0] <= _STEP_TOLERANCE and mean_gradient <= _GRADIENT_TOLERANCE:
            break
        if max(np.abs(intercepts).max(), np.abs(slopes).max(initial=0.0)) > _DIVERGED:
            raise Separated("a coefficient grows without bound: a feature predicts the outcome perfectly")
        if iteration == _MAX_ITERATIONS:
            model = np.repeat(np.arange(rows.n_models), np.diff(rows.start))
            if separated(np.hstack([np.eye(rows.n_models)[model], rows.X]), rows.outcome):
                raise Separated("the features predict the outcome perfectly: a coefficient is infinite")
            raise NotConverged(f"no maximum found in {_MAX_ITERATIONS} Newton steps")
    covariance = _covariance(design, intercepts[0], slopes[0], n_prompts)
    return StarFit(intercepts[0], slopes[0], covariance, n_prompts, iteration, mean_gradient)


def _covariance(design: _Design, intercepts: Floats, slopes: Floats, n_prompts: int) -> Floats:
    m, p = len(intercepts), len(slopes)
    scores, curves = design.prompt_sums(intercepts, slopes)
    per_prompt = np.hstack([scores[:, :, 0], scores[:, :, 1:].sum(axis=1)])
    summed = curves.sum(axis=0)
    hessian = np.zeros((m + p, m + p))
    hessian[:m, :m] = np.diag(summed[:, 0] + design.ridge[0])
    hessian[:m, m:] = summed[:, 1 : 1 + p]
    hessian[m:, :m] = hessian[:m, m:].T
    block = np.zeros((p, p))
    block[design.upper] = summed[:, 1 + p :].sum(axis=0)
    hessian[m:, m:] = np.triu(block) + np.triu(block, 1).T + design.ridge[1] * np.eye(p)
    scale = 1.0 / np.sqrt(np.diag(hessian))
    if np.linalg.eigvalsh(hessian * np.outer(scale, scale))[0] < 1e-10:
        raise Separated("the features are linearly dependent or predict the outcome perfectly")
    bread = np.linalg.inv(hessian)
    covariance = bread @ (per_prompt.T @ per_prompt) @ bread * (n_prompts / (n_prompts - 1.0))
    return np.asarray((covariance + covariance.T) / 2.0)


def refit_star(
    rows: StarRows, fit: StarFit, prompt_weights: Floats, *, ridge: tuple[float, float] = (0.0, 0.0)
) -> StarRefits:
    """Refit under each row of prompt weights, to the exact optimum.

    A model that won or lost everything in a replicate has no finite intercept there; the likelihood's limit is
    taken (plus or minus infinity) and the slopes are those of the other models.

    Args:
        rows: Collapsed games.
        fit: `fit_star` of the same rows with the same ridge.
        prompt_weights: How often each prompt counts, shape (replicates, prompts).
        ridge: As in `fit_star`.
    """
    design = _Design.of(rows, ridge)
    m, p, n_replicates = rows.n_models, rows.X.shape[1], len(prompt_weights)
    score_table, curve_table = (t.reshape(rows.n_prompts, -1) for t in design.prompt_sums(fit.intercepts, fit.slopes))
    cell = rows.prompt * m + np.repeat(np.arange(m), np.diff(rows.start))
    size = rows.n_prompts * m
    played = np.bincount(cell, weights=rows.weight, minlength=size).reshape(rows.n_prompts, m)
    won = np.bincount(cell, weights=rows.weight * rows.outcome, minlength=size).reshape(rows.n_prompts, m)
    all_intercepts, all_slopes = np.empty((n_replicates, m)), np.empty((n_replicates, p))
    converged, gradients, longest = np.zeros(n_replicates, dtype=bool), np.full(n_replicates, np.inf), 0
    for begin in range(0, n_replicates, _REPLICATES):
        weights = prompt_weights[begin : begin + _REPLICATES]
        here = len(weights)
        total, wins = weights @ played, weights @ won
        above, below = wins >= total * (1.0 - 1e-12), wins <= 0.0
        used = ~(above | below) if ridge[0] == 0.0 else np.ones((here, m), dtype=bool)
        scale = np.maximum(np.where(used, total, 0.0).sum(axis=1), 1e-300)
        alpha, beta = np.tile(fit.intercepts, (here, 1)), np.tile(fit.slopes, (here, 1))
        scores = (weights @ score_table).reshape(here, m, -1)
        curves = (weights @ curve_table).reshape(here, m, -1)
        done, gradient = np.zeros(here, dtype=bool), np.full(here, np.inf)
        active = np.flatnonzero(used.any(axis=1))
        scores, curves = scores[active], curves[active]
        for iteration in range(1, _MAX_ITERATIONS + 1):
            if not len(active):
                break
            longest = max(longest, iteration)
            raw = design.newton(scores, curves, alpha[active], beta[active], used[active])
            move, move_slopes, length = _bounded(raw[0], raw[1], design.reach)
            alpha[active] += move
            beta[active] += move_slopes
            gradient[active] = raw[2] / scale[active]
            finished = (length <= _STEP_TOLERANCE) & (gradient[active] <= _GRADIENT_TOLERANCE)
            done[active[finished]] = True
            size_now = np.maximum(np.abs(alpha[active]).max(axis=1), np.abs(beta[active]).max(axis=1, initial=0.0))
            active = active[~finished & (size_now <= _DIVERGED)]  # false for NaN too
            if len(active):
                scores, curves = design.sums(weights[active], alpha[active], beta[active])
        alpha[~done] = np.nan
        beta[~done] = np.nan
        if ridge[0] == 0.0:
            alpha[above] = np.inf
            alpha[below] = -np.inf
            alpha[total <= 0.0] = np.nan
        at = slice(begin, begin + here)
        all_intercepts[at], all_slopes[at], converged[at], gradients[at] = alpha, beta, done, gradient
    return StarRefits(all_intercepts, all_slopes, converged, gradients, longest)
