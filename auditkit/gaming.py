"""From what attacks made of a benchmark to what it means for every submission: floor, grade, rank uplift, cost.

A recording without attacks still has a floor if a constant answer was judged in it; what was not measured is named.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
from auditkit.reports.report import COST_TO_TOP, Cost, Gameability, Grade, NullFloor
from auditkit.stats.rank_uplift import rank_uplift
from auditkit.stats.uplift import suite_uplift

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Gaming", "gameability_of", "gaming_of", "prompt_outcomes", "suite_floor", "unplayed"]

_RANKS: Final = ("rank uplift under attack", f"{COST_TO_TOP} in judge calls")
_MOST_NAMED: Final = 12
_CONSTANTS: Final = "constant answers found in the recording"


@dataclass(frozen=True)
class Gaming:
    """What attacks made of a benchmark, the same for every submission that its judge scored.

    Attributes:
        result: What the suite came to.
        rank_uplift: Median ranks that the best attack gains its carrier; None: `unranked` says why there are none.
        unranked: Why there is no rank uplift.
        cost_to_top: Judge calls of the cheapest attack that lifts its carrier above every listed submission; None: `unpaid`
            says why there is none.
        unpaid: Why there is no cost to the top.
        cost: What all calls took.
        suite: The suite's name.
        carrier: The submission whose answers were attacked.
    """

    result: SuiteResult
    rank_uplift: float | None
    unranked: str
    cost_to_top: int | None
    unpaid: str
    cost: Cost
    suite: str
    carrier: str


def gaming_of(battles: Battles, settings: Settings) -> Gaming | None:
    """Return what attacks made of a recording's benchmark, None where none were played."""
    attacked = battles.attacked
    if attacked is None or attacked.suite is None:
        return None
    result, suite = analyse(attacked, settings), attacked.suite
    return Gaming(
        result, *_ranks(battles, attacked, result, settings),
        Cost(suite.calls, suite.tokens_in, suite.tokens_out, suite.usd if not suite.unpriced else None), suite.name,
        suite.carrier,
    )  # fmt: skip


def _ranks(
    battles: Battles, attacked: Battles, result: SuiteResult, settings: Settings
) -> tuple[float | None, str, int | None, str]:
    """Return the ranks that the best attack gains, and the calls of the cheapest one that buys the top; each with the
    reason where there is none.

    An attack buys the top if it gains for sure and lies above every other submission for sure, and its carrier did not
    lead before. One that asks nobody costs nothing.
    """
    suite = attacked.suite
    board = prompt_outcomes(battles.games)
    board = board[board.index.isin(battles.models)].sort_index()
    if suite is None or len(board) < 2 or suite.carrier not in board.index:
        alone = "there is one submission, or the attacked one is not on the board"
        return None, alone, None, alone
    if not result.attack:
        none = "no attack was measured whose gain is known to be unearned"
        return None, none, None, none
    prompts, _, _, tables = score_table(attacked)
    carrier = int(board.index.get_loc(suite.carrier))
    matrix = board.reindex(columns=prompts).to_numpy(dtype=np.float64).T
    complete = np.isfinite(matrix).all(axis=1)
    means = matrix[complete].mean(axis=0) if complete.any() else np.full(len(board), np.nan)
    leads = bool((np.delete(means, carrier) < means[carrier]).all())
    gained = None
    cheapest: int | None = None
    played = sorted((a for a in result.attacks if a.attack in tables and not a.ungraded), key=lambda a: a.calls)
    level = 1.0 - (1.0 - settings.level) / max(len(played), 1)  # one that passes is picked from all of them
    for attack in played:
        column = tables[attack.attack]
        seen = np.isfinite(column) & complete
        if seen.sum() < 2:
            continue
        if attack.attack == result.attack:
            found = rank_uplift(matrix[seen], column[seen], carrier, level=settings.level, seed=settings.seed)
            gained = found.median
        if cheapest is None and not leads and (attack.lower_bound or 0.0) > 0.0:
            others = np.delete(matrix[seen], carrier, axis=1)
            cheapest = attack.calls if _passes(column[seen], others, level, settings.seed) else None
    who = printable(suite.carrier, 60)
    unranked = "" if gained is not None else "the best attack changes no answer, but which rows count"
    if result.attack in tables and gained is None:
        unranked = "the best attack met no two prompts that the whole board was judged on"
    if leads:
        return gained, unranked, None, f"the attacked submission, {who}, leads already: attack another one (--carrier)"
    return (
        gained,
        unranked,
        cheapest,
        "" if cheapest is not None else f"no attack of this suite lifts {who} to the top for sure",
    )


def _passes(column: NDArray[np.float64], others: NDArray[np.float64], level: float, seed: int) -> bool:
    """Tell whether an attacked score lies above every other one for sure: the lower limit of each paired difference."""
    found = suite_uplift(column[:, None] - others, level, seed=seed)
    return min(u.lower_bound for u in found.attacks) > 0.0


def prompt_outcomes(games: pd.DataFrame) -> pd.DataFrame:
    """Return the mean outcome by model (rows) and prompt (columns) of games as they are, NaN where there is none."""
    games = games[games["variant"] == ""]
    return games.groupby(["model", "prompt_id"], sort=False)["outcome"].mean().unstack("prompt_id")


def unplayed(played: Collection[str] = ()) -> tuple[str, ...]:
    """Return what a recording cannot show, by name: every registered attack that is not `played`, family by family."""
    families: dict[str, list[str]] = {}
    for name, plugin in registry.plugins("attacks").items():
        if name not in played:
            families.setdefault(plugin.load().family, []).append(name)
    return tuple(
        f"{family} attacks, not played ({len(names)}): {', '.join(names)}" for family, names in sorted(families.items())
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
            suite=gaming.suite if gaming is not None else _CONSTANTS if known else "",
            not_measured=(*unplayed(), *_RANKS) if gaming is None else _undecided(gaming),
            noise=None if gaming is None else gaming.result.noise,
            carrier="" if gaming is None else gaming.carrier,
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
        gaming.carrier,
        result.ceiling_points,
    )


def _undecided(gaming: Gaming) -> tuple[str, ...]:
    """Return what attacks did not show that decide nothing: the gain that is unearned, and all that was not played."""
    played = [a for a in gaming.result.attacks if a.uplift is not None]
    shown = "; ".join(
        f"{printable(a.attack, 40)} {a.uplift:+.1f} ({a.lower_bound:+.1f} to {a.upper_bound:+.1f}; {a.ungraded})"
        for a in played[:_MOST_NAMED]
    )
    rest = f"; and {len(played) - _MOST_NAMED} more" if len(played) > _MOST_NAMED else ""
    unearned = (f"points that are known to be unearned; at most what was gained: {shown}{rest}",) if played else ()
    return (
        *unearned,
        *_not_measured(gaming.result.attacks, gaming),
        *unplayed({a.attack for a in gaming.result.attacks}),
    )


def _not_measured(attacks: Sequence[AttackResult], gaming: Gaming) -> tuple[str, ...]:
    absent = [f"attack {a.attack}: {printable(a.note, 120)}" for a in attacks if a.status == "not_measured"]
    if gaming.rank_uplift is None:
        absent.append(f"rank uplift under attack: {gaming.unranked}")
    if gaming.unpaid:
        absent.append(f"{COST_TO_TOP}: {gaming.unpaid}")
    return tuple(absent)
