"""Play bias probes: every arm of every probe on the same items, through the judge's own protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit import registry
from auditkit.attacks.arena import Arena, Item, Trial
from auditkit.attacks.probes.protocol import Outcomes, Probe, ProbeResult, Staged
from auditkit.errors import AuditkitError, printable
from auditkit.judging.protocol import games_for
from auditkit.judging.spec import JudgeSpec
from auditkit.records import Order, Settings

__all__ = ["CORE", "Probed", "known_probes", "play_probes", "probe_calls"]

#: Probes that cost little and say most: the rest explores.
CORE: Final = ("authority", "equal-pair", "length", "position", "repetition")


@dataclass(frozen=True)
class Probed:
    """A probe and what it found."""

    probe: Probe
    result: ProbeResult


@dataclass(frozen=True)
class _Shown:
    """One thing that is shown: of which item, arm and draw, and the games that it takes."""

    item: int
    arm: str
    sample: int
    staged: Staged
    trials: tuple[Trial, ...]


def known_probes(only: Iterable[str] = ()) -> tuple[Probe, ...]:
    """Return the registered probes in the order of their names, or those of `only`."""
    wanted = set(only)
    return tuple(
        plugin.load() for name, plugin in registry.plugins("probes").items() if not wanted or name in wanted
    )  # fmt: skip


def probe_calls(judge: JudgeSpec, items: Sequence[Item], only: Iterable[str] = ()) -> int:
    """Return how many calls the probes (those of `only`; empty: all) take at most; those that probes share are made once."""
    once = sum(
        len(_orders(judge)) * len({(game.turn, game.item) for game in games_for(judge, item.prompt.turns, index=item.place)})
        for item in items
    )  # fmt: skip
    return once * sum(
        probe.samples(arm)
        for probe in known_probes(only) if probe.applies(judge)
        for arm in probe.arms
    )  # fmt: skip


async def play_probes(
    arena: Arena, items: Sequence[Item], settings: Settings, only: Iterable[str] = ()
) -> tuple[Probed, ...]:
    """Play every registered probe that applies.

    Args:
        arena: The judge.
        items: Prompts with the answers that probes edit.
        settings: Level and seed.
        only: Only these probes; empty: all.

    Returns:
        What each found, in the order of their names. One that cannot be measured on these items says why.

    Raises:
        AuditkitError: As `Arena.play`.
    """
    found = []
    for probe in known_probes(only):
        why = _unfit(probe, arena.judge, items)
        if why:
            found.append(Probed(probe, ProbeResult(probe.id, "", note=why)))
            continue
        try:
            outcomes = await _played(probe, arena, items, settings)
            result = probe.result(outcomes)
        except AuditkitError:
            raise
        except Exception as error:  # noqa: BLE001  a plugin is anyone's code: the other probes go on
            result = ProbeResult(probe.id, "", note=f"the probe failed: {printable(repr(error))}")
        found.append(Probed(probe, result))
    return tuple(found)


def _unfit(probe: Probe, judge: JudgeSpec, items: Sequence[Item]) -> str:
    if not probe.applies(judge):
        return "does not apply to this judge"
    if "opponent" in probe.needs and not judge.pairwise:
        return "needs a judge that compares two answers"
    if "gold" in probe.needs and all(np.isnan(item.gold) for item in items):
        return "needs pairs with a known answer"
    if "author" in probe.needs:
        return "needs answers whose author is of the judge's family, and others: who wrote these is not recorded"
    return ""


def _orders(judge: JudgeSpec) -> tuple[Order, ...]:
    return ("model_first", "model_second") if judge.pairwise else ("unknown",)


async def _played(probe: Probe, arena: Arena, items: Sequence[Item], settings: Settings) -> Outcomes:
    orders = _orders(arena.judge)
    if probe.turned:
        items = [_turned(item) for item in items if not np.isnan(item.gold)]
    shown = [
        _Shown(i, arm, sample, staged, tuple(_trials(arena, item, staged, sample)))
        for i, item in enumerate(items)
        for arm, stage in probe.arms.items()
        if (staged := stage(item.situation(arena.judge, opponent=True, seed=settings.seed))) is not None
        for sample in range(probe.samples(arm))
    ]
    judged = iter(await arena.play([trial for one in shown for trial in one.trials]))
    values: dict[tuple[str, int, int, int], list[float]] = {}
    for one in shown:
        for trial in one.trials:
            key = (one.arm, one.item, orders.index(trial.order), one.sample)
            values.setdefault(key, []).append(next(judged).outcome)
    return Outcomes(
        outcome=_tables(probe, values, len(items), len(orders)),
        orders=orders,
        gold=np.array([item.gold for item in items]),
        codes=_codes(items),
        length=_lengths(shown, len(items)),
        pairwise=arena.judge.pairwise,
        scale=arena.judge.verdict.scale,
        level=settings.level,
        seed=settings.seed,
    )


def _turned(item: Item) -> Item:
    """Return the item with the wrong answer as the own one."""
    return item if item.gold == 0.0 else replace(item, own=item.opponent, opponent=item.own, gold=0.0)


def _trials(arena: Arena, item: Item, staged: Staged, sample: int) -> list[Trial]:
    asked = replace(item, prompt=replace(item.prompt, turns=staged.turns))
    judge = None if staged.judge == arena.judge else staged.judge
    own = (*item.own[:-1], staged.own)
    opponent = (*item.opponent[:-1], staged.opponent) if staged.opponent else ()
    return arena.trials(asked, own, opponent=opponent, order=staged.order, sample=sample, judge=judge)


def _tables(
    probe: Probe, values: Mapping[tuple[str, int, int, int], Sequence[float]], n: int, orders: int
) -> dict[str, NDArray[np.float64]]:
    tables = {arm: np.full((n, orders, probe.samples(arm)), np.nan) for arm in probe.arms}
    for (arm, item, order, sample), games in values.items():
        tables[arm][item, order, sample] = float(np.mean(games))
    return tables


def _codes(items: Sequence[Item]) -> NDArray[np.intp]:
    known: dict[str, int] = {}
    return np.array([known.setdefault(item.prompt.text, len(known)) for item in items], dtype=np.intp)


def _lengths(shown: Sequence[_Shown], n: int) -> dict[str, NDArray[np.float64]]:
    lengths: dict[str, NDArray[np.float64]] = {}
    for one in shown:
        table = lengths.setdefault(one.arm, np.full((n, 2), np.nan))
        table[one.item] = len(one.staged.own), len(one.staged.opponent)
    return lengths
