"""Attack a benchmark: what could an adversary make of a score that this judge gives on these prompts?

::

    done = attack("audit.toml", out="runs/first")
    report = auditkit.audit(done.folder)      # every submission's report now says how far its score can be gamed

The benchmark is run first, as far as it was not. One submission carries the attacks: its answers are changed and judged
again. Everything goes through the run's store, so that the same command goes on where an earlier start stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from auditkit.attacks.arena import Arena, Item
from auditkit.attacks.plan import AttackPlan
from auditkit.attacks.playing import play_suite
from auditkit.attacks.suite import Suite, choose
from auditkit.errors import InputError, UsageError, printable
from auditkit.formats import run_folder
from auditkit.judging.calls import Client
from auditkit.judging.clients import client_for
from auditkit.judging.events import Listener, Meter
from auditkit.judging.forecast import Forecast, Line, line_for, stand_in
from auditkit.judging.nonces import key_of
from auditkit.judging.plan import Contest
from auditkit.judging.prices import table
from auditkit.judging.resolve import Work
from auditkit.judging.session import asking, complete
from auditkit.judging.spending import Spending
from auditkit.judging.store import Store
from auditkit.judging.verdicts import request_for
from auditkit.records import Battles
from auditkit.run import Flags, RunResult, dry_run, prepared, run, store_of

__all__ = ["AttackRun", "attack", "dry_run_attack"]


@dataclass(frozen=True)
class AttackRun:
    """What an attack came to: the run folder that `auditkit.audit` reads, and what this start took."""

    folder: Path
    run: RunResult
    attacked: bool
    calls: int = 0
    dollars: float = 0.0
    unpriced: int = 0

    @property
    def complete(self) -> bool:
        """Tell whether nothing is left that the same command could do."""
        return self.run.complete and self.attacked


def attack(
    spec: Path | str,
    plan: AttackPlan | None = None,
    *,
    out: Path | str | None = None,
    flags: Flags | None = None,
    limit: int | None = None,
    listener: Listener | None = None,
    connect: Callable[..., Client] = client_for,
) -> AttackRun:
    """Run a benchmark as far as it was not run, and attack its judge.

    Args:
        spec: The run spec (``audit.toml``).
        plan: What is attacked; None: the standard suite.
        out: The run folder; as for `auditkit.run`.
        flags: Settings that replace those of the spec; as for `auditkit.run`.
        limit: Only the first so many prompts.
        listener: Told how far it is.
        connect: Makes clients; the registered ones by default.

    Returns:
        The run folder; not `attacked` where the run itself did not end.

    Raises:
        InputError, UsageError: The spec or the plan cannot be used.
        AuditkitError: A call failed, the budget is spent, or somebody interrupted: what was paid for is stored, and the
            same call goes on.
    """
    plan = plan or AttackPlan()
    work, folder = prepared(spec, out, flags, ())
    chosen_carrier(work.contest, plan.carrier)
    suite = suite_for(work.contest, plan)
    done = run(spec, out=out, flags=flags, limit=limit, listener=listener, connect=connect)
    if not done.complete:
        return AttackRun(folder, done, attacked=False)
    recorded = run_folder.read(folder)
    items = _items(recorded, work.contest, plan.carrier, limit)
    spending, meter = Spending(work.spec.run.max_cost), Meter(listener)

    async def main(store: Store) -> Battles:
        addresses = [work.judge, *([plan.writer] if plan.writer else [])]
        async with asking(
            store, work.spec.run, spending=spending, meter=meter, addresses=addresses, connect=connect
        ) as asker:
            # The key of the run's own games: a judge that fences with a nonce meets attacks behind the same fence.
            arena = Arena(
                work.contest.judge, work.judge, asker, secret=key_of(store, folder.name), tell=meter.advance
            )  # fmt: skip
            games = sum(len(arena.trials(item, item.own)) for item in items)
            meter.begin("attacks", games + plan.playing(suite, games) + plan.searching(suite, len(items)), 0)
            played = await play_suite(
                arena, items, suite, plan.settings(work.spec.run.seed), benchmark=work.benchmark,
                carrier=plan.carrier or work.contest.models[0], attacker=plan.writer,
            )  # fmt: skip
            meter.begin("attacks", meter.done, meter.done)
            return played

    with Store.open(store_of(work.spec, folder)) as store:
        attacked = complete(main(store))
    run_folder.publish(attacked, folder / run_folder.ATTACKS)
    return AttackRun(folder, done, True, meter.calls, spending.spent, spending.unpriced)


def dry_run_attack(
    spec: Path | str,
    plan: AttackPlan | None = None,
    *,
    out: Path | str | None = None,
    flags: Flags | None = None,
    limit: int | None = None,
) -> Forecast:
    """Say what `attack` with the same arguments would ask at most, and what that would cost; ask nobody, write nothing.

    Raises:
        InputError, UsageError: As `attack`.
    """
    plan = plan or AttackPlan()
    work, _ = prepared(spec, out, flags, ())
    suite = suite_for(work.contest, plan)
    before = dry_run(spec, out=out, flags=flags, limit=limit)
    lines, rough = attack_lines(work, suite, plan, limit)
    prices = table()
    return Forecast((*before.lines, *lines), prices.source if prices else "no price table", before.estimated or rough)


def attack_lines(work: Work, suite: Suite, plan: AttackPlan, limit: int | None) -> tuple[list[Line], bool]:
    """Return what playing a suite takes at most: every attack on every prompt, and each search's whole budget."""
    contest = work.contest
    prompts = contest.prompts[:limit]
    games = sum(len(contest.calls(prompt, place)) for place, prompt in enumerate(prompts))
    repeat = games * any(a.submit is not None for a in suite.attacks)
    text = "word " * 200
    requests = [
        request_for(
            contest.judge, contest.judge_model, prompt, [(text,) * len(prompt.turns)] * (1 + contest.judge.pairwise),
            planned.order, turn=planned.turn, item=planned.item,
        )
        for place, prompt in enumerate(prompts[:20])
        for planned in contest.calls(prompt, place)
    ]  # fmt: skip
    lines, rough = [], False
    counted = (
        ("attacked answers", plan.playing(suite, games)),
        ("second draw", repeat),
        ("searches", plan.searching(suite, len(prompts))),
    )
    asked = [(what, work.judge, requests, calls) for what, calls in counted]
    if plan.writer is not None:
        asked.append(("the attacker's model", plan.writer, [stand_in(plan.writer)], plan.writing(suite, len(prompts))))
    for what, address, sent, calls in asked:
        if calls:
            line, estimated = line_for(f"{what}, at most", address, sent, calls, 0)
            lines.append(line)
            rough |= estimated
    return lines, rough


def chosen_carrier(contest: Contest, carrier: str) -> str:
    """Return the submission that carries the attacks.

    Raises:
        UsageError: There is none of that name.
    """
    if carrier and carrier not in contest.models:
        listed = ", ".join(printable(name, 40) for name in contest.models[:20])
        raise UsageError(f"no submission is named {printable(carrier, 60)!r}; there are: {listed}")
    return carrier or contest.models[0]


def suite_for(contest: Contest, plan: AttackPlan) -> Suite:
    """Return the attacks that a plan declares.

    Raises:
        UsageError: There is no attack of that name, or none is left.
    """
    suite = choose(
        contest.judge, suite=plan.suite, only=plan.only, access=plan.access, attacker=bool(plan.attacker),
    )  # fmt: skip
    if not suite.attacks:
        why = "; ".join(f"{name}: {reason}" for name, reason in suite.left_out[:5])
        raise UsageError(f"no attack is left to play ({why})")
    return suite


def _items(recorded: Battles, contest: Contest, carrier: str, limit: int | None) -> list[Item]:
    """Return the prompts on which the carrier's answer was judged, with what it was compared with."""
    name = carrier or contest.models[0]
    texts: dict[tuple[str, str], dict[int, str]] = {}
    answers = recorded.answers
    for model, prompt_id, turn, text in zip(
        answers["model"], answers["prompt_id"], answers["turn"], answers["text"], strict=True
    ):
        texts.setdefault((model, prompt_id), {})[turn] = text
    items = []
    for place, prompt in enumerate(contest.prompts[:limit]):
        own = texts.get((name, prompt.id))
        other = texts.get((contest.baseline(prompt), prompt.id)) if contest.judge.pairwise else {}
        if own is not None and other is not None:
            items.append(
                Item(prompt, tuple(own[t] for t in sorted(own)), tuple(other[t] for t in sorted(other)), place)
            )
    if not items:
        raise InputError(f"no prompt has an answer of {printable(name, 60)!r} that was judged")
    return items
