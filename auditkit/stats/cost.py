"""What a place on the leaderboard costs an attacker, in judge calls."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.errors import NoData
from auditkit.stats.bootstrap import bootstrap_means

__all__ = ["CostToTop", "cost_to_top"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CostToTop:
    """The smallest budget with which the attacked submission beats the board's k-th model for certain.

    Attributes:
        calls: That budget; None where none of those tried is enough: more than ``budgets[-1]``.
        ci: Interval of the smallest budget that is enough in a replicate; None: beyond ``budgets[-1]``.
        curve: Isotonic mean score at each budget, in the unit of the scores.
        lead: `curve` less the k-th best score of the board.
        lead_ci: Its interval at each budget; `calls` is the first whose lower end exceeds 0.
    """

    k: int
    calls: float | None
    ci: tuple[float | None, float | None]
    budgets: tuple[float, ...]
    curve: tuple[float, ...]
    lead: tuple[float, ...]
    lead_ci: tuple[tuple[float, float], ...]
    restarts: int
    n: int
    level: float
    replicates: int
    seed: int

    @property
    def censored(self) -> bool:
        """Whether the cost exceeds every budget tried."""
        return self.calls is None


def cost_to_top(
    budgets: ArrayLike,
    scores: ArrayLike,
    board: ArrayLike,
    k: int,
    *,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> CostToTop:
    """Return the budget that buys a place among the first k.

    At each budget the score is the mean over restarts of the search, made isotonic (an attacker with more budget keeps
    what was found with less). Prompts are resampled for attack and board at once, so that the k-th model is as
    uncertain as it is, and restarts are resampled as well, each with its whole path of budgets. As the curve rises, the
    first budget whose interval excludes 0 needs no correction for the number of budgets.

    Args:
        budgets: (B,) judge calls of the search, at least 0, increasing.
        scores: (B, R, n) evaluation score of each restart's frozen candidate on each evaluation prompt.
        board: (n, M) score of every other model on the same prompts; the submission itself is left out.
        k: The place, 1..M.
        level: Confidence level of the two-sided intervals.
        replicates: Bootstrap replicates.
        seed: Of the bootstrap.

    Raises:
        NoData: There is no budget, restart or prompt.
        ValueError: Shapes do not fit, budgets do not increase, k is outside 1..M, or a score is missing (count it as a
            loss before).

    Source: Barlow et al. 1972, chapter 1 (isotonic regression by the max-min formula).
    """
    spent = np.asarray(budgets, dtype=np.float64)
    attacked, others = np.asarray(scores, dtype=np.float64), np.asarray(board, dtype=np.float64)
    if attacked.ndim != 3 or others.ndim != 2 or spent.shape != attacked.shape[:1] or len(others) != attacked.shape[2]:
        raise ValueError(f"{spent.shape} budgets, {attacked.shape} scores and a board of {others.shape} do not fit")
    if not attacked.size:
        raise NoData("no budget, restart or prompt: nothing was searched")
    if (np.diff(spent) <= 0.0).any() or spent[0] < 0.0:
        raise ValueError("budgets must increase from 0 or more")
    if not 1 <= k <= others.shape[1]:
        raise ValueError(f"k must lie in 1..{others.shape[1]}, got {k}")
    if not (np.isfinite(attacked).all() and np.isfinite(others).all()):
        raise ValueError("scores must be finite: count a missing verdict as a loss before")
    steps, restarts, n = attacked.shape
    curve = _isotonic(attacked.mean(axis=(1, 2))[None])[0]
    lead = curve - _kth(others.mean(axis=0)[None], k)[0]

    rng = np.random.default_rng(seed)
    flat = attacked.reshape(steps * restarts, n).T
    drawn = bootstrap_means(np.column_stack([flat, others]), replicates, rng)
    searches = drawn[:, : steps * restarts].reshape(replicates, steps, restarts)
    picked = rng.multinomial(restarts, np.full(restarts, 1.0 / restarts), size=replicates) / restarts
    curves = _isotonic(np.einsum("rbs,rs->rb", searches, picked))
    leads = curves - _kth(drawn[:, steps * restarts :], k)[:, None]
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(leads, [tail, 1.0 - tail], axis=0)
    enough = leads > 0.0
    first = np.where(enough.any(axis=1), spent[np.argmax(enough, axis=1)], math.inf)
    # whole budgets, never between two
    ends = np.quantile(first, [tail, 1.0 - tail], method="nearest")
    certain = np.flatnonzero(low > 0.0)
    return CostToTop(
        k=k,
        calls=float(spent[certain[0]]) if certain.size else None,
        ci=(_tried(float(ends[0])), _tried(float(ends[1]))),
        budgets=tuple(spent.tolist()),
        curve=tuple(curve.tolist()),
        lead=tuple(lead.tolist()),
        lead_ci=tuple(zip(low.tolist(), high.tolist(), strict=True)),
        restarts=restarts,
        n=n,
        level=level,
        replicates=replicates,
        seed=seed,
    )


def _isotonic(curves: Array) -> Array:
    """Return the non-decreasing least-squares fit of every row (R, B)."""
    sums = np.concatenate([np.zeros((len(curves), 1)), np.cumsum(curves, axis=1)], axis=1)
    steps = curves.shape[1]
    fitted = np.full(curves.shape, -np.inf)
    for start in range(steps):
        # the smallest mean of any stretch that begins here and reaches at least to each step
        means = (sums[:, start + 1 :] - sums[:, [start]]) / np.arange(1, steps - start + 1)
        reach = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        fitted[:, start:] = np.maximum(fitted[:, start:], reach)
    return fitted


def _kth(means: Array, k: int) -> Array:
    """Return the k-th largest of every row."""
    return np.asarray(np.partition(means, means.shape[1] - k, axis=1)[:, means.shape[1] - k])


def _tried(budget: float) -> float | None:
    return budget if math.isfinite(budget) else None
