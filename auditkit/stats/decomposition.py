"""Split the points of a win rate over model, length, style, position and difficulty, additively and exactly.

Given a logistic regression of the outcome with an intercept (the model) and terms for length, style, order and
prompt difficulty, where 0 means "no difference" for every term:

- ``controlled`` is the win rate at equal length and equal style, with both orders weighing half, over all prompts of
  the benchmark; `model` is that minus 50;
- `difficulty` is the same over the model's own games minus over all prompts of the benchmark: what it gains by which
  prompts it was judged on (0 if it was judged on all alike);
- `length`, `style` and `position` share the way from there to the fitted mean, by exact Shapley values: each part's
  mean effect over all orders of switching the parts on. "On" puts in the terms as observed; "off" is 0, for
  position the mean over both orders.

At a maximum-likelihood fit the fitted mean is the raw win rate, so the parts add up to the raw win rate minus 50.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from auditkit.stats.logistic import sigmoid
from auditkit.stats.shapley import shapley

__all__ = ["Decomposition", "JointDesign", "Term", "decompose", "joined"]

Array = NDArray[np.float64]
Term = Literal["model", "length", "style", "position", "difficulty"]

_BLOCK: Final = 150_000


@dataclass(frozen=True)
class JointDesign:
    """A joint regression's covariates and what each stands for.

    Attributes:
        X: Covariates (n, p); the first column is the intercept.
        terms: What each column stands for (p,); "position" and "difficulty" at most once. The column of "position"
            is +0.5 where the model was shown second, -0.5 where first.
        prompt: Code of each game's prompt in the benchmark (n,), 0..m-1.
        difficulty: Difficulty of every prompt of the benchmark (m,), on the scale of its column.
    """

    X: Array
    terms: tuple[Term, ...]
    prompt: NDArray[np.intp]
    difficulty: Array


@dataclass(frozen=True)
class Decomposition:
    """Shares (0..1) for each of R sets of coefficients.

    Attributes:
        controlled: Win rate at equal length and style in both orders (R,).
        total: Fitted mean outcome (R,).
        parts: Contribution of each part (R,), `model` from 0.5; together they make ``total - 0.5``.
    """

    controlled: Array
    total: Array
    parts: dict[Term, Array]


def decompose(coefficients: Array, design: JointDesign, weights: Array) -> Decomposition:
    """Decompose the fitted win rate for every set of coefficients.

    Args:
        coefficients: One row a replicate (R, p); a row of NaN gives NaN.
        design: The regression.
        weights: Weight of every prompt of the benchmark (R, m), at least 0.
    """
    replicates, m = weights.shape
    step = max(1, _BLOCK // max(m, len(design.prompt)))
    return joined([
        _block(coefficients[begin : begin + step], design, weights[begin : begin + step])
        for begin in range(0, max(replicates, 1), step)
    ])  # fmt: skip


def joined(blocks: Sequence[Decomposition]) -> Decomposition:
    """Return decompositions of one design, at least one, one after another."""
    return Decomposition(
        np.concatenate([b.controlled for b in blocks]),
        np.concatenate([b.total for b in blocks]),
        {part: np.concatenate([b.parts[part] for b in blocks]) for part in blocks[0].parts},
    )


def _block(coefficients: Array, design: JointDesign, weights: Array) -> Decomposition:
    terms = np.array(design.terms)
    own = weights[:, design.prompt]
    own = own / own.sum(axis=1, keepdims=True)
    everywhere = weights / weights.sum(axis=1, keepdims=True)

    def of(*names: Term) -> Array:
        columns = np.isin(terms, names)
        return np.asarray(coefficients[:, columns] @ design.X[:, columns].T)

    half = 0.5 * coefficients[:, terms == "position"].sum(axis=1, keepdims=True)
    slope = coefficients[:, terms == "difficulty"].sum(axis=1, keepdims=True)

    def both_orders(logits: Array, weight: Array) -> Array:
        if "position" not in design.terms:
            return _mean(weight, sigmoid(logits))
        return 0.5 * _mean(weight, sigmoid(logits + half) + sigmoid(logits - half))

    base = of("model", "difficulty")
    controlled = both_orders(coefficients[:, :1] + slope * design.difficulty, everywhere)
    players: list[Term] = [part for part in ("length", "style", "position") if part in design.terms]
    shifts = {part: of(part) for part in players}
    worth = np.empty((2 ** len(players), len(coefficients)))
    for coalition in range(len(worth)):
        switched = [part for j, part in enumerate(players) if coalition >> j & 1]
        logits = base + sum((shifts[part] for part in switched), start=np.zeros(1))
        if "position" in switched:
            worth[coalition] = _mean(own, sigmoid(logits))
        else:
            worth[coalition] = both_orders(logits, own)
    parts: dict[Term, Array] = {"model": controlled - 0.5}
    parts.update(zip(players, shapley(worth), strict=True))
    if "difficulty" in design.terms:
        parts["difficulty"] = worth[0] - controlled
    return Decomposition(controlled, worth[-1], parts)


def _mean(weight: Array, values: Array) -> Array:
    return np.asarray(np.einsum("rn,rn->r", weight, np.broadcast_to(values, weight.shape)))
