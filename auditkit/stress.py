"""Put a judge under stress: what breaks it, what its verdicts are worth, and what to change in its file.

::

    report = stress("my-judge.toml", StressPlan(model="openai/gpt-4.1"))
    report = stress("a.toml", StressPlan(model="openai/gpt-4.1", against="b.toml"))

The material is pairs with a known answer: the *wrong* answer is attacked and meets the right one, so whatever an attack
gains is unearned. Gates look at the judge's file alone; attacks and probes ask the judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from auditkit.attacks.arena import Arena, Item
from auditkit.attacks.defences import Setup, judge_file
from auditkit.attacks.gates import run_gates
from auditkit.attacks.hardening import DefendedArena, HardenedStack, harden, measured_stacks
from auditkit.attacks.plan import AttackPlan
from auditkit.attacks.playing import play_suite
from auditkit.attacks.probing import CORE, play_probes, probe_calls
from auditkit.attacks.results import analyse
from auditkit.attacks.suite import Suite, choose
from auditkit.audit import created
from auditkit.errors import InputError, UsageError, printable
from auditkit.judging.asking import Address, Asker
from auditkit.judging.calls import Client, Request
from auditkit.judging.clients import client_for
from auditkit.judging.events import Listener, Meter
from auditkit.judging.forecast import Forecast, line_for, stand_in
from auditkit.judging.inputs import Prompt
from auditkit.judging.known import MOST_PAIRS, KnownPair, builtin_pairs, read_pairs
from auditkit.judging.nonces import key_of
from auditkit.judging.prices import table
from auditkit.judging.protocol import games_for
from auditkit.judging.runspec import RunSettings
from auditkit.judging.session import asking, complete
from auditkit.judging.spec import JudgeSpec, load_judge, to_toml
from auditkit.judging.spending import Spending
from auditkit.judging.store import Store
from auditkit.judging.verdicts import request_for
from auditkit.records import Battles, Benchmark, Input, Settings
from auditkit.reports.stress_conclusions import compared, concluded, defended
from auditkit.reports.stress_report import SCHEMA, StressedJudge, StressReport

__all__ = ["StressPlan", "Stressed", "dry_run_stress", "exit_code", "stress"]

STORE: Final = "stress.sqlite"
CARRIER: Final = "wrong answer"
DEFENDED: Final = "judge.toml"


@dataclass(frozen=True)
class StressPlan:
    """What a judge is put through.

    Attributes:
        model: ``client/model`` of the judge; "": the one that its file names.
        base_url: The address that its client calls instead of the provider's own.
        against: A second judge, played on the same pairs; "": none.
        against_model, against_url: Its model and address; "": the first judge's.
        pairs: How many pairs with a known answer; None: 24 of those that ship with auditkit (plain facts first, then
            exercises made by rule), all of the user's own.
        prompts: A file or recording with pairs of the user's own, instead of those; fewer than there are are drawn by seed.
        attacks: Suite, access, budget: as for a benchmark.
        probes: Bias probes: ``none``, the ``core`` ones, or ``all`` that apply.
        harden: Try stacks of defences, and choose the one that holds best.
        fuzz: Random cases of each fuzzed gate.
    """

    model: str = ""
    base_url: str = ""
    against: str = ""
    against_model: str = ""
    against_url: str = ""
    pairs: int | None = None
    prompts: Path | None = None
    attacks: AttackPlan = field(default_factory=lambda: AttackPlan(suite="quick"))
    probes: Literal["core", "all", "none"] = "core"
    harden: bool = False
    fuzz: int = 300


@dataclass(frozen=True)
class Stressed:
    """One judge after its test: what was concluded, the games behind it, and, where answers are rated one by one, how
    the right ones did.
    """

    judge: StressedJudge
    games: Battles
    right: NDArray[np.float64] | None = None


def stress(
    judge: Path | str,
    plan: StressPlan | None = None,
    *,
    out: Path | str,
    settings: Settings | None = None,
    limits: RunSettings | None = None,
    listener: Listener | None = None,
    connect: Callable[..., Client] = client_for,
    command: str = "",
) -> StressReport:
    """Put a judge, or two, under stress.

    Args:
        judge: The name of an installed judge, or a TOML file.
        plan: What it is put through.
        out: Folder of the store; the caller writes the report there too.
        settings: Confidence level, replicates, seed.
        limits: Concurrency, money, time-outs.
        listener: Told how far it is.
        connect: Makes clients; the registered ones by default.
        command: The command line to print in the report.

    Raises:
        InputError, UsageError: The judge, the pairs or the plan cannot be used.
        AuditkitError: A call failed, the budget is spent, or somebody interrupted: what was paid for is stored, and the
            same call goes on.
    """
    plan, settings = plan or StressPlan(), settings or Settings()
    limits = replace(limits or RunSettings(), seed=settings.seed)
    sides = sides_of(judge, plan)
    pairs, source, inputs = pairs_of(plan, settings.seed)
    items = items_of_pairs(pairs)
    suites = [suite_of(spec, plan) for spec, _ in sides]
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    spending, meter = Spending(limits.max_cost), Meter(listener)

    async def main(store: Store) -> tuple[list[Stressed], tuple[HardenedStack, ...]]:
        writer = plan.attacks.writer
        addresses = [*(address for _, address in sides), *([writer] if writer else [])]
        async with asking(store, limits, spending=spending, meter=meter, addresses=addresses, connect=connect) as asker:
            games = sum(len(items) * 2 * (2 + len(suite.attacks)) for suite in suites)
            if plan.probes != "none":
                games += sum(probe_calls(spec, items, _probes_of(plan)) for spec, _ in sides)
            meter.begin("attacks", games, 0)
            found = []
            for (spec, address), suite in zip(sides, suites, strict=True):
                found.append(await _stressed(spec, address, suite, items, asker, meter, plan, settings))
            stacks = await _hardened(sides[0], items, asker, meter, plan, settings, folder) if plan.harden else ()
            meter.begin("attacks", meter.done, meter.done)
            return found, stacks

    with Store.open(limits.store or folder / STORE) as store:
        found, stacks = complete(main(store))
    if stacks:
        write_defended(stacks, folder)
    other = found[1] if len(found) > 1 else None
    return StressReport(
        schema=SCHEMA,
        auditkit=version("judge-auditkit"),
        created=created(),
        seed=settings.seed,
        level=settings.level,
        pairs=len(items),
        pairs_source=source,
        judge=found[0].judge,
        against=None if other is None else other.judge,
        comparison=None
        if other is None
        else compared(found[0].games, other.games, settings, (found[0].right, other.right)),
        defended=defended(stacks, settings),
        inputs=inputs,
        command=command,
    )


def sides_of(judge: Path | str, plan: StressPlan) -> list[tuple[JudgeSpec, Address]]:
    """Return the judges of a plan, each with the model that speaks for it.

    Raises:
        InputError: A judge that cannot be used on pairs, or names no model.
    """
    sides = [_side(load_judge(judge), plan.model, plan.base_url)]
    if plan.against:
        model, url = plan.against_model or plan.model, plan.against_url or plan.base_url
        sides.append(_side(load_judge(plan.against), model, url))
        if sides[0][0].pairwise != sides[1][0].pairwise:
            raise UsageError("one judge compares two answers and the other rates one: they have no score in common")
    return sides


def _side(spec: JudgeSpec, model: str, url: str) -> tuple[JudgeSpec, Address]:
    if spec.mode == "checklist" and not spec.items:
        raise InputError(
            f"judge {spec.name} needs a checklist with every prompt, which pairs with a known answer do not have",
            mend="stress a judge with items of its own, or attack a benchmark: auditkit attack SPEC",
        )
    chosen = model or spec.model
    if not chosen:
        raise InputError(f"judge {spec.name} names no model", record="field 'model'", mend="give --model client/model")
    if model and "/" not in model:
        raise UsageError(f"--model: expected client/model, such as openai/gpt-4.1, got {printable(model, 60)!r}")
    return spec, Address(chosen if "/" in chosen else f"openai/{chosen}", url)


def pairs_of(plan: StressPlan, seed: int = 0) -> tuple[tuple[KnownPair, ...], str, tuple[Input, ...]]:
    """Return the pairs of a plan, where they come from, and the files that were read.

    Raises:
        UsageError: More are asked for than there are.
    """
    if plan.prompts is None:
        if plan.pairs is not None and plan.pairs > MOST_PAIRS:
            raise UsageError(f"{MOST_PAIRS} pairs ship with auditkit: ask for fewer, or bring your own (--prompts)")
        return builtin_pairs(plan.pairs), "pairs that ship with auditkit", ()
    pairs, inputs = read_pairs(plan.prompts)
    source = printable(plan.prompts.name, 80)
    if plan.pairs is None or plan.pairs == len(pairs):
        return pairs, source, inputs
    if plan.pairs > len(pairs):
        raise UsageError(f"{source} holds {len(pairs)} pairs, and {plan.pairs} are asked for")
    drawn = np.sort(np.random.default_rng(seed).choice(len(pairs), plan.pairs, replace=False))
    return (
        tuple(pairs[i] for i in drawn),
        f"{plan.pairs} of the {len(pairs)} pairs of {source}, drawn by seed {seed}",
        inputs,
    )


def items_of_pairs(pairs: Sequence[KnownPair]) -> list[Item]:
    """Return pairs as items: the wrong answer is the attacked one, and meets the right one."""
    return [
        Item(
            Prompt(pair.id, (pair.question,), category=pair.category, reference=(pair.right,)),
            (pair.wrong,), (pair.right,), place, gold=0.0,
        )
        for place, pair in enumerate(pairs)
    ]  # fmt: skip


def suite_of(spec: JudgeSpec, plan: StressPlan) -> Suite:
    """Return the attacks that a judge meets."""
    attacks = plan.attacks
    suite = choose(
        spec, suite=attacks.suite, only=attacks.only, access=attacks.access, attacker=bool(attacks.attacker),
        opponent=False,  # the opponent is the right answer: who copies it is right
    )  # fmt: skip
    if attacks.only and not suite.attacks:
        why = "; ".join(f"{name}: {reason}" for name, reason in suite.left_out[:5])
        raise UsageError(f"no attack is left to play against {spec.name} ({why})")
    return suite


async def _stressed(
    spec: JudgeSpec, address: Address, suite: Suite, items: Sequence[Item], asker: Asker, meter: Meter,
    plan: StressPlan, settings: Settings,
) -> Stressed:  # fmt: skip
    shown = [item.without_reference() for item in items]
    arena = Arena(spec, address, asker, secret=key_of(asker.store, f"stress/{spec.sha256[:16]}"), tell=meter.advance)
    games = await play_suite(
        arena, shown, suite, replace(plan.attacks.settings(settings.seed, settings.level), repeat=True),
        benchmark=_benchmark(items, address), carrier=CARRIER, attacker=plan.attacks.writer,
    )  # fmt: skip
    probes = await play_probes(arena, shown, settings, _probes_of(plan)) if plan.probes != "none" else ()
    gates = run_gates(spec, cases=plan.fuzz, seed=settings.seed)
    right = None
    if not spec.pairwise:
        right, _ = await arena.outcomes([(item, item.opponent, 0) for item in shown])
    result = analyse(games, settings, right=right)
    judge = concluded(spec, address.model, gates, games, result, probes, right, arena.tally, settings)
    return Stressed(judge, games, right)


async def _hardened(
    side: tuple[JudgeSpec, Address], items: Sequence[Item], asker: Asker, meter: Meter, plan: StressPlan,
    settings: Settings, folder: Path,
) -> tuple[HardenedStack, ...]:  # fmt: skip
    spec, address = side

    def arena_of(setup: Setup) -> DefendedArena:
        spoken = address
        if address.provider[0] == "simulated":  # it reads the prompts of judges that it is told of
            file = folder / f"judge-{setup.judge.sha256[:16]}.toml"
            file.write_text(to_toml(setup.judge), encoding="utf-8")
            spoken = replace(address, model=_reading(address.model, file))
        secret = key_of(asker.store, f"stress/{setup.judge.sha256[:16]}")
        return DefendedArena(setup.judge, spoken, asker, secret=secret, tell=meter.advance, setup=setup)

    return await harden(
        measured_stacks(spec, references=True), arena_of, items, lambda judge: suite_of(judge, plan), settings,
        plan.attacks.settings(settings.seed, settings.level), benchmark=_benchmark(items, address), carrier=CARRIER,
        fuzz=min(plan.fuzz, 30),
    )  # fmt: skip


def _reading(model: str, file: Path) -> str:
    """Return the name of a simulated model that reads the prompts of the judge in `file`."""
    kept = [part for part in model.partition("?")[2].split("&") if part and not part.startswith("judge=")]
    return f"{model.partition('?')[0]}?{'&'.join([*kept, f'judge={quote(str(file.absolute()))}'])}"


def write_defended(stacks: Sequence[HardenedStack], folder: Path) -> None:
    """Write the judge file of the chosen stack as ``judge.toml``; nothing where the judge as it is holds best."""
    chosen = next((s for s in stacks if s.chosen), None)
    if chosen is not None and chosen.setup.stack:
        (folder / DEFENDED).write_text(judge_file(chosen.setup).text, encoding="utf-8")


def _benchmark(items: Sequence[Item], address: Address) -> Benchmark:
    return Benchmark(
        "pairs with a known answer", format="run_folder", expected=len(items),
        simulated=address.provider[0] == "simulated",
    )  # fmt: skip


def _probes_of(plan: StressPlan) -> tuple[str, ...]:
    return CORE if plan.probes == "core" else ()


def dry_run_stress(judge: Path | str, plan: StressPlan | None = None, seed: int = 0) -> Forecast:
    """Say what `stress` would ask at most, retries of unreadable verdicts aside, and what that would cost; ask nobody,
    write nothing.

    Raises:
        InputError, UsageError: As `stress`.
    """
    plan = plan or StressPlan()
    items = [item.without_reference() for item in items_of_pairs(pairs_of(plan, seed)[0])]
    counts: list[tuple[str, Address, list[Request], int]] = []
    for spec, address in sides_of(judge, plan):
        suite, requests = suite_of(spec, plan), _plain_requests(spec, address, items)
        asked = {
            "pairs, twice": 2 * len(requests),
            "right answers": 0 if spec.pairwise else len(requests),
            "attacked answers, at most": plan.attacks.playing(suite, len(requests)),
            "searches, at most": plan.attacks.searching(suite, len(items)),
            "probes": probe_calls(spec, items, _probes_of(plan)) if plan.probes != "none" else 0,
        }
        counts += [(f"{what} ({spec.name})", address, requests, calls) for what, calls in asked.items()]
        writing = plan.attacks.writing(suite, len(items))
        if plan.attacks.writer is not None and writing:
            counts.append(
                ("the attacker's model, at most", plan.attacks.writer, [stand_in(plan.attacks.writer)], writing)
            )
    if plan.harden:
        counts.append(_hardening(sides_of(judge, plan)[0], items, plan))
    lines, rough = [], False
    for what, address, requests, calls in counts:
        if calls:
            line, estimated = line_for(what, address, requests, calls, 0)
            lines.append(line)
            rough |= estimated
    prices = table()
    return Forecast(tuple(lines), prices.source if prices else "no price table", rough)


def _plain_requests(spec: JudgeSpec, address: Address, items: Sequence[Item]) -> list[Request]:
    """Return the calls that the pairs take as they are."""
    return [
        request_for(
            spec, address.model, item.prompt, (item.own, item.opponent)[: 1 + spec.pairwise], planned.order,
            turn=planned.turn, item=planned.item,
        )
        for item in items
        for planned in games_for(spec, item.prompt.turns, index=item.place)
    ]  # fmt: skip


def _hardening(
    side: tuple[JudgeSpec, Address], items: Sequence[Item], plan: StressPlan
) -> tuple[str, Address, list[Request], int]:
    """Return what all stacks of defences take at most: pairs, attacks and searches again for each."""
    spec, address = side
    setups = measured_stacks(spec, references=True)
    calls = 0.0
    for setup in setups:
        suite = suite_of(setup.judge, plan)
        games = sum(len(games_for(setup.judge, item.prompt.turns, index=item.place)) for item in items)
        once = games * (1 + (not spec.pairwise)) + plan.attacks.playing(suite, games)
        calls += max(1, 1 + len(setup.panel)) * (once + plan.attacks.searching(suite, len(items)))
    return f"{len(setups)} stacks of defences, at most", address, _plain_requests(spec, address, items), round(calls)


def exit_code(report: StressReport) -> int:
    """Return 1 if a judge's gate fails or an attack surely gains, else 3 if nothing could be told, else 0."""
    last = report.judges[-1]
    if last.grade in ("voidable", "gameable") or any(gate.status == "fail" for gate in last.gates):
        return 1
    return 3 if last.grade in (None, "unresolved") else 0
