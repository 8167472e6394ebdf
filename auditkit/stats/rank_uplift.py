"""Places that an attack gains on a leaderboard, from one bootstrap of the prompts over the whole board.

All models are judged on the same prompts, by the same judge: a hard draw of prompts lowers all of them. Resampling the
prompts of the whole board at once keeps that, which adding up separate standard errors does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.errors import NoData
from auditkit.stats.bootstrap import bootstrap_means
from auditkit.stats.intervals import percentile_interval

__all__ = ["RankUplift", "rank_uplift", "rank_uplift_of_replicates"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RankUplift:
    """Ranks count from 1 (best) among all models of the board, the attacked one included; ties share the better rank.

    Attributes:
        clean_rank: Of the submission as it is; None where the attack needs no submission (a null model).
        attacked_rank: Of the attacked submission, in the other's place.
        median: Median over replicates of clean less attacked rank: places gained; None as above.
        ci: Interval of the places gained.
        ks: The places asked for.
        p_top: For each, the share of replicates in which the attacked submission ranks that high or higher.
        models: Models ranked.
    """

    clean_rank: int | None
    attacked_rank: int
    median: float | None
    ci: tuple[float, float] | None
    ks: tuple[int, ...]
    p_top: tuple[float, ...]
    models: int
    n: int
    level: float
    replicates: int
    seed: int


def rank_uplift(
    board: ArrayLike,
    attacked: ArrayLike,
    submission: int | None = None,
    *,
    ks: Sequence[int] = (1, 5, 10),
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> RankUplift:
    """Return the places that an attack gains, where a model's score is its mean over prompts.

    Args:
        board: (n, M) outcome of every model on every prompt, higher is better; NaN: none.
        attacked: (n,) outcome of the attacked submission; only prompts on which it was played count, for all models.
        submission: Column of the submission without attack, which the attacked one replaces; None: it is added.
        ks: Places to give the probability of.
        level: Confidence level.
        replicates: Bootstrap replicates.
        seed: Of the bootstrap.

    Raises:
        NoData: The attack was played on no prompt, or a model on none of these.
        ValueError: Shapes or `submission` do not fit.

    Source: Goldstein and Spiegelhalter, JRSS A 159 (1996) 385, section 3 (ranks by resampling).
    """
    scores, own = np.asarray(board, dtype=np.float64), np.asarray(attacked, dtype=np.float64)
    if scores.ndim != 2 or own.shape != scores.shape[:1]:
        raise ValueError(f"a board of {scores.shape} does not fit {own.shape} attacked outcomes")
    played = np.isfinite(own)
    together = np.column_stack([scores, own])[played]
    if not played.any() or not np.isfinite(together).any(axis=0).all():
        raise NoData("the attack was played on no prompt, or a model of the board on none of these")
    drawn = bootstrap_means(together, replicates, np.random.default_rng(seed))
    points = np.nanmean(together, axis=0)
    return rank_uplift_of_replicates(
        points[:-1], points[-1], drawn[:, :-1], drawn[:, -1], submission, n=int(played.sum()), ks=ks, level=level, seed=seed
    )  # fmt: skip


def rank_uplift_of_replicates(
    board: Array,
    attacked: float,
    board_replicates: Array,
    attacked_replicates: Array,
    submission: int | None = None,
    *,
    n: int,
    ks: Sequence[int] = (1, 5, 10),
    level: float = 0.95,
    seed: int = 0,
) -> RankUplift:
    """Return the places gained where scores are not means: from any estimator that was refitted in each replicate.

    Args:
        board: (M,) scores of the models.
        attacked: Score of the attacked submission.
        board_replicates: (R, M) scores in each replicate of one joint bootstrap; NaN: undefined there, ranks last.
        attacked_replicates: (R,) of the attacked submission in the same replicates.
        submission: As for `rank_uplift`.
        n: Prompts behind the scores.
        ks: As for `rank_uplift`, like the rest.
        level: Confidence level.
        seed: Of the bootstrap that made the replicates.

    Raises:
        NoData: Fewer than two replicates.
        ValueError: Shapes or `submission` do not fit.
    """
    models = len(board)
    if board_replicates.shape != (len(attacked_replicates), models):
        raise ValueError(f"replicates of {board_replicates.shape} do not fit {models} models")
    if submission is not None and not 0 <= submission < models:
        raise ValueError(f"submission must lie in 0..{models - 1}, got {submission}")
    others = np.arange(models) != (-1 if submission is None else submission)
    attacked_ranks = _ranks(attacked_replicates, board_replicates[:, others])
    clean_rank, median, ci = None, None, None
    if submission is not None:
        clean_rank = int(_ranks(board[[submission]], board[None, others])[0])
        gained = _ranks(board_replicates[:, submission], board_replicates[:, others]) - attacked_ranks
        median, ci = float(np.median(gained)), percentile_interval(gained, level)
    elif len(attacked_ranks) < 2:
        raise NoData("fewer than two bootstrap replicates")
    return RankUplift(
        clean_rank=clean_rank,
        attacked_rank=int(_ranks(np.array([attacked]), board[None, others])[0]),
        median=median,
        ci=ci,
        ks=tuple(ks),
        p_top=tuple(float((attacked_ranks <= k).mean()) for k in ks),
        models=int(others.sum()) + 1,
        n=n,
        level=level,
        replicates=len(attacked_ranks),
        seed=seed,
    )


def _ranks(own: Array, others: Array) -> NDArray[np.intp]:
    """Return one plus how many of the others are ahead, in each row."""
    lowest = np.where(np.isnan(own), -np.inf, own)
    return np.asarray(1 + (np.where(np.isnan(others), -np.inf, others) > lowest[:, None]).sum(axis=1))
