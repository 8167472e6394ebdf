"""AlpacaEval 2's length-controlled win rate, as published, solved to its exact optimum.

With ``d`` the length difference (baseline minus model, characters) and ``difficulty`` the published difficulty of
the prompt, the model is ``P(model wins) = sigmoid(w1 tanh(d / sd(d)) + w2 difficulty + w3)`` and the score is the
mean over prompts with the first term left out. It is fitted on the model's own games (weight 1) together with
1,610 calibration rows: the judge's preferences for the baseline asked to be verbose and to be concise, weight 0.1
and no intercept. They hold w1 to what length alone did to the baseline. The loss has an L1 penalty whose strength
is picked by five-fold cross-validation over ten values.

Source: Dubois, Galambosi, Liang and Hashimoto, arXiv:2404.04475, section 3; alpaca_eval v0.6.6,
``metrics/glm_winrate.py``, variant ``length_controlled_v1``. The upstream solver (liblinear, tolerance 1e-4, every
row twice, once per label) and ours (proximal Newton, fractional outcomes) minimise the same function.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.errors import NoData, NotConverged, Undefined
from auditkit.stats.logistic import refit_logistic, sigmoid

__all__ = ["Gamed", "LengthControl", "fit_length_control", "fold_codes", "refit_length_control"]

Array = NDArray[np.float64]

PENALTY_GRID: Final = np.logspace(-4, 4, 10)  # C of scikit-learn's LogisticRegressionCV; the penalty is 1 / C
FOLDS: Final = 5
GAMED_WEIGHT: Final = 0.1  # lambda 0.2, halved because there are two gamed baselines
_CLIP: Final = 1e-15
_ITERATIONS: Final = 200
_EXACT: Final = 1e-6
_CHOOSING: Final = (
    5e-3  # last step of a cross-validated fit: off by about 2e-5 in log-odds, far below what ranks penalties
)
_MILD: Final = float(1.0 / PENALTY_GRID[6])  # a penalty often picked: its optimum is near all others' that matter


@dataclass(frozen=True)
class Gamed:
    """Calibration rows: what the judge preferred when the baseline itself was made longer or shorter.

    Attributes:
        length: ``tanh`` of the standardised length difference (m,).
        difficulty: Published difficulty of each row's prompt (m,).
        outcome: Preference for the gamed baseline (m,), 0..1.
    """

    length: Array
    difficulty: Array
    outcome: Array


@dataclass(frozen=True)
class LengthControl:
    """A fitted length control.

    Attributes:
        win_rate: Length-controlled win rate, 0..1.
        coefficients: Weights of the length term (baseline minus model), the difficulty, the model (3,).
        penalty_c: The inverse penalty that cross-validation picked.
        published_se: Standard error by the published formula, 0..1: the spread of *fitted* win probabilities
            over prompts divided by sqrt(n). It leaves out that the coefficients are estimated, so it is too small.
        length: The length feature of the model's own rows (n,).
    """

    win_rate: float
    coefficients: Array
    penalty_c: float
    published_se: float
    length: Array


def fit_length_control(delta: Array, difficulty: Array, outcome: Array, gamed: Gamed | None) -> LengthControl:
    """Fit the published length control to one model's games.

    Args:
        delta: Baseline length minus model length (n,), characters.
        difficulty: Difficulty of each game's prompt (n,).
        outcome: Probability that the model wins (n,), 0..1. A game without a verdict (NaN) is left out of the fit
            but, as upstream, counts in the scale of the length difference and in the mean.
        gamed: Calibration rows; None fits without them (upstream's ``noreg``, which lets a model bend w1).

    Raises:
        NoData: Fewer than five games with a verdict.
        Undefined: Every length difference is the same: there is no scale to standardise by.
        NotConverged: The solver stopped before its tolerance.
    """
    used = np.isfinite(outcome)
    if used.sum() < FOLDS:
        raise NoData(f"{int(used.sum())} usable games: the published cross-validation needs at least {FOLDS}")
    scale = float(delta.std(ddof=1))
    if scale == 0:
        raise Undefined("every length difference is the same: length has no scale and no effect to estimate")
    length = np.tanh(delta / scale)
    X, y, w = _stack(length[used], difficulty[used], outcome[used], gamed)
    near = refit_logistic(X, y, w[None, :], np.zeros(3), l1=_MILD, max_iterations=_ITERATIONS)[0]
    c = float(PENALTY_GRID[_cross_validate(X, y, w, near).argmin()])
    coefficients = refit_logistic(X, y, w[None, :], near, l1=1.0 / c, tol=_EXACT, max_iterations=_ITERATIONS)[0]
    if np.isnan(coefficients).any():
        raise NotConverged("the length control did not converge")
    predicted = sigmoid(coefficients[1] * difficulty + coefficients[2])
    published = float(predicted.std(ddof=1)) / math.sqrt(len(predicted))
    return LengthControl(float(predicted.mean()), coefficients, c, published, length)


def _cross_validate(X: Array, y: Array, w: Array, near: Array) -> Array:
    """Return the held-out loss of every penalty (10,), averaged over the folds as upstream's scorer does."""
    fold = fold_codes(len(y))
    training = np.where(fold == np.arange(FOLDS)[:, None], 0.0, w)
    penalty = 1.0 / PENALTY_GRID
    # Where no slope of the loss at 0 reaches the penalty the optimum is 0 (Karush-Kuhn-Tucker): nothing to fit.
    steepest = np.abs((training * (0.5 - y)) @ X).max(axis=1)
    group, strength = np.nonzero(steepest[:, None] > penalty)
    fitted = np.zeros((FOLDS, len(penalty), 3))
    fitted[group, strength] = refit_logistic(
        X, y, training[group], near, l1=penalty[strength], tol=_CHOOSING, max_iterations=_ITERATIONS
    )
    if np.isnan(fitted).any():
        raise NotConverged("the cross-validation of the length control did not converge")
    loss = np.zeros(len(penalty))
    for number in range(FOLDS):
        out = fold == number
        share = np.clip(sigmoid(X[out] @ fitted[number].T), _CLIP, 1 - _CLIP)
        loss -= ((w * y)[out] @ np.log(share) + (w * (1 - y))[out] @ np.log1p(-share)) / (out.sum() * FOLDS)
    return loss


def refit_length_control(
    fit: LengthControl, difficulty: Array, outcome: Array, gamed: Gamed | None, weights: Array
) -> tuple[Array, Array]:
    """Refit the length control on resampled prompts: own rows reweighted, calibration rows and penalty as they are.

    Args:
        fit: The full-data fit.
        difficulty: Difficulty of each own game's prompt (n,).
        outcome: Outcomes of own games (n,).
        gamed: The calibration rows of `fit`.
        weights: Bootstrap weights of own games (R, n).

    Returns:
        Win rates (R,), 0..1, and coefficients (R, 3); NaN where a refit did not converge.
    """
    used = np.isfinite(outcome)
    X, y, w = _stack(fit.length[used], difficulty[used], outcome[used], gamed)
    fixed = np.broadcast_to(w[: len(y) - int(used.sum())], (len(weights), len(y) - int(used.sum())))
    stacked = np.concatenate([fixed, weights[:, used]], axis=1)
    coefficients = refit_logistic(X, y, stacked, fit.coefficients, l1=1.0 / fit.penalty_c)
    predicted = sigmoid(coefficients[:, 1:2] * difficulty + coefficients[:, 2:])
    return (predicted * weights).sum(axis=1) / weights.sum(axis=1), coefficients


def _stack(length: Array, difficulty: Array, outcome: Array, gamed: Gamed | None) -> tuple[Array, Array, Array]:
    own = np.column_stack([length, difficulty, np.ones(len(outcome))])
    if gamed is None:
        return own, outcome, np.ones(len(outcome))
    theirs = np.column_stack([gamed.length, gamed.difficulty, np.zeros(len(gamed.outcome))])
    return (
        np.concatenate([theirs, own]),
        np.concatenate([gamed.outcome, outcome]),
        np.concatenate([np.full(len(gamed.outcome), GAMED_WEIGHT), np.ones(len(outcome))]),
    )


def fold_codes(n_groups: int) -> NDArray[np.intp]:
    """Deal `n_groups` rows to five folds as scikit-learn's ``GroupKFold`` deals equally large groups.

    ``GroupKFold`` sorts groups by size and deals from the end, each group to the emptiest fold. Every group has the
    same size here (a row and its copy), so with a stable sort (scikit-learn from 1.9) the last row goes to fold 0,
    the one before it to fold 1, and so on. Older versions sorted with NumPy's quicksort, which leaves equal groups
    in another order: other folds may pick another penalty, which moves published scores by up to 0.15 points.
    """
    return np.arange(n_groups - 1, -1, -1) % FOLDS
