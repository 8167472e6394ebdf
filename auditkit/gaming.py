"""From what attacks made of a benchmark to what it means for every submission: floor, grade, rank uplift, cost.

A recording without attacks still has a floor if a constant answer was judged in it; what was not measured is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from auditkit import registry
from auditkit.attacked import AttackResult
from auditkit.attacks.results import SuiteResult, analyse, score_table
from auditkit.errors import printable
from auditkit.policy import spread
from auditkit.records import Battles, Gate, Score, Settings
from auditkit.reports.report import Cost, Gameability, Grade, NullFloor
from auditkit.stats.rank_uplift import rank_uplift
from auditkit.stats.uplift import suite_uplift

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Gaming", "gameability_of", "gaming_of", "prompt_outcomes", "suite_floor", "unplayed"]

_RANKS: Final = ("rank uplift under attack", "cost to the top in judge calls")
_CONSTANTS: Final = "constant answers found in the recording"


@dataclass(frozen=True)
class Gaming:
    """What attacks made of a benchmark, the same for every submission that its judge scored.

    Attributes:
        result: What the suite came to.
        rank_uplift: Median ranks that the best attack gains its carrier; None: there is no board.
        cost_to_top: Judge calls of the cheapest attack that passes every listed submission; None: none of the suite does.
        reached: Is `cost_to_top` of a measured attack? If not, none reached the top within this suite.
        cost: What all calls took.
        suite: The suite's name.
    """

    result: SuiteResult
    rank_uplift: float | None
    cost_to_top: int | None
    reached: bool
    cost: Cost
    suite: str


def gaming_of(battles: Battles, settings: Settings) -> Gaming | None:
    """Return what attacks made of a recording's benchmark, None where none were played."""
    attacked = battles.attacked
    if attacked is None or attacked.suite is None:
        return None
    result, suite = analyse(attacked, settings), attacked.suite
    uplift, cost = _ranks(battles, attacked, result, settings)
    return Gaming(
        result, uplift, cost, cost is not None,
        Cost(suite.calls, suite.tokens_in, suite.tokens_out, suite.usd if not suite.unpriced else None), suite.name,
    )  # fmt: skip


def _ranks(
    battles: Battles, attacked: Battles, result: SuiteResult, settings: Settings
) -> tuple[float | None, int | None]:
    """Return the ranks that the best attack gains, and the calls of the cheapest one that reaches the top."""
    suite = attacked.suite
    board = prompt_outcomes(battles.games)
    board = board[board.index.isin(battles.models)].sort_index()
    if suite is None or len(board) < 2 or not result.attack or suite.carrier not in board.index:
        return None, None
    prompts, _, _, tables = score_table(attacked)
    carrier = int(board.index.get_loc(suite.carrier))
    matrix = board.reindex(columns=prompts).to_numpy(dtype=np.float64).T
    gained = None
    cheapest: int | None = None
    played = sorted((a for a in result.attacks if a.attack in tables and a.uplift is not None), key=lambda a: a.calls)
    level = 1.0 - (1.0 - settings.level) / max(len(played), 1)  # one that passes is picked from all of them
    for attack in played:
        column = tables[attack.attack]
        seen = np.isfinite(column) & np.isfinite(matrix).all(axis=1)
        if seen.sum() < 2:
            continue
        found = rank_uplift(matrix[seen], column[seen], carrier, level=settings.level, seed=settings.seed)
        if attack.attack == result.attack:
            gained = found.median
        others = np.delete(matrix[seen], carrier, axis=1)
        if cheapest is None and attack.gold != "unknown" and _passes(column[seen], others, level, settings.seed):
            cheapest = attack.calls
    return gained, cheapest


def _passes(column: NDArray[np.float64], others: NDArray[np.float64], level: float, seed: int) -> bool:
    """Tell whether an attacked score lies above every other one for sure: the lower limit of each paired difference."""
    found = suite_uplift(column[:, None] - others, level, seed=seed)
    return min(u.lower_bound for u in found.attacks) > 0.0


def prompt_outcomes(games: pd.DataFrame) -> pd.DataFrame:
    """Return the mean outcome by model (rows) and prompt (columns) of games as they are, NaN where there is none."""
    games = games[games["variant"] == ""]
    return games.groupby(["model", "prompt_id"], sort=False)["outcome"].mean().unstack("prompt_id")


def unplayed() -> tuple[str, ...]:
    """Return what a recording cannot show, by name: every registered attack, family by family."""
    families: dict[str, list[str]] = {}
    for name, plugin in registry.plugins("attacks").items():
        families.setdefault(plugin.load().family, []).append(name)
    return tuple(
        f"{family} attacks, none played ({len(names)}): {', '.join(names)}"
        for family, names in sorted(families.items())
    )


def suite_floor(gaming: Gaming) -> NullFloor | None:
    """Return the best answer of no worth that was played, None if none was."""
    floor = gaming.result.null_floor
    if floor is None:
        return None
    return NullFloor(floor.estimate, floor.ci, f"attack {printable(floor.attack, 80)}", floor.n)


def gameability_of(
    scores: Sequence[Score],
    floor: NullFloor | None,
    median: float | None,
    gates: Sequence[Gate],
    gaming: Gaming | None,
) -> Gameability:
    """Grade a score: a failed gate or a worthless answer above the field makes it voidable.

    Args:
        scores: The submission's own.
        floor: The best worthless answer, played or recorded.
        median: The honest submissions' median raw score.
        gates: Harness gates that touch the score.
        gaming: What attacks made of the benchmark; None: none were played.
    """
    lower = floor.ci[0] if floor is not None and floor.ci is not None else None
    voidable = any(g.status == "fail" for g in gates) or (lower is not None and median is not None and lower > median)
    if gaming is None or gaming.result.floor_points is None:
        known = floor is not None and lower is not None
        grade: Grade = "voidable" if voidable else "gameable" if lower is not None and lower > 0 else "unresolved"
        return Gameability(
            grade,
            lower if known else None,
            floor.ci if known and floor is not None else None,
            floor.attack if known and floor is not None else "",
            control_spread=spread(scores),
            suite=_CONSTANTS if known else "",
            not_measured=(*unplayed(), *_RANKS),
        )
    result = gaming.result
    best = next(a for a in result.attacks if a.attack == result.attack)
    return Gameability(
        "voidable" if voidable else result.grade or "unresolved",
        max(result.floor_points or 0.0, 0.0),
        None if best.lower_bound is None or best.upper_bound is None else (best.lower_bound, best.upper_bound),
        result.attack,
        gaming.rank_uplift,
        gaming.cost_to_top,
        spread(scores),
        gaming.suite,
        _not_measured(result.attacks, gaming),
        result.noise,
    )


def _not_measured(attacks: Sequence[AttackResult], gaming: Gaming) -> tuple[str, ...]:
    absent = [f"attack {a.attack}: {printable(a.note, 120)}" for a in attacks if a.status == "not_measured"]
    if gaming.rank_uplift is None:
        absent.append("rank uplift under attack: there is one submission, or the attacked one is not on the board")
    if not gaming.reached:
        absent.append("cost to the top: no attack of this suite passes every submission for sure")
    return tuple(absent)
