"""Run a benchmark: generate the answers that are missing, have a judge compare them, keep everything that was paid for.

::

    done = run("audit.toml", out="runs/first")
    report = auditkit.audit(done.folder)

A run that was stopped, by whatever, goes on when the same call is made again; nothing is paid for twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from auditkit.errors import InputError
from auditkit.formats import run_folder
from auditkit.judging.answers import Generated, generate, stored_answers
from auditkit.judging.asking import Asker, Halt
from auditkit.judging.calls import CallError, Client
from auditkit.judging.clients import client_for
from auditkit.judging.engine import GaveUp, Played, play
from auditkit.judging.events import Listener, Meter
from auditkit.judging.export import battles_of, record_of_run, run_name
from auditkit.judging.forecast import Forecast, forecast, stand_ins
from auditkit.judging.nonces import key_of
from auditkit.judging.plan import Contest, Task, plan, prompts_of
from auditkit.judging.resolve import Work, only_known, resolve
from auditkit.judging.runspec import RunSpec, load_spec
from auditkit.judging.session import Interrupted, asking, complete, frozen
from auditkit.judging.spending import BudgetReached, Spending
from auditkit.judging.store import Run, Store, StoreError

__all__ = ["Flags", "Interrupted", "RunResult", "dry_run", "prepared", "run", "store_of"]

STORE: Final = "store.sqlite"
Flags = Mapping[str, int | float | str | None]


#: What the same command, made again, may get past.
_RESUMABLE: Final = (Interrupted, CallError, BudgetReached, GaveUp)


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        folder: The run folder, which `auditkit.audit` reads.
        games: Games (or ratings) of the plan.
        done: Those that are in the store.
        failed: Answers and games whose calls failed for now: the same command tries them again.
        rejected: Answers and games that the provider refuses for good.
        unparsed: Games of this start whose verdict could not be read.
        calls: Calls of this start that came back.
        dollars: US dollars spent in this start, as far as prices are known.
        unpriced: Calls of this start whose price is not known.
        stopped: Why it did not run to the end, "" if it did.
        problem: What went wrong last, "" if nothing did.
    """

    folder: Path
    games: int
    done: int
    failed: int
    rejected: int
    unparsed: int
    calls: int
    dollars: float
    unpriced: int
    stopped: str = ""
    problem: str = ""

    @property
    def complete(self) -> bool:
        """Tell whether nothing is left that the same command could do, and there is something to show for it."""
        return not self.stopped and not self.failed and (self.done > 0 or not self.games)


def run(
    spec: Path | str,
    *,
    out: Path | str | None = None,
    flags: Flags | None = None,
    limit: int | None = None,
    only: Sequence[str] = (),
    listener: Listener | None = None,
    connect: Callable[..., Client] = client_for,
) -> RunResult:
    """Run a benchmark, or go on with a run that was stopped.

    The run folder gets ``run.toml``, the tables that `auditkit.audit` reads, and the store unless the spec names
    another one. Ctrl-C ends the run within a few seconds: no new call starts, those under way may end.

    Args:
        spec: The run spec (``audit.toml``).
        out: The run folder; None: ``runs/`` and the spec's name, in the working directory.
        flags: Settings that replace those of the spec, by their names in `RunSettings`.
        limit: Only the first so many prompts.
        only: Only these models or categories.
        listener: Told how far the run is.
        connect: Makes clients; the registered ones by default.

    Returns:
        What it came to; ``stopped`` says why if it did not run to the end.

    Raises:
        InputError: The spec, or a file that it names, cannot be used.
        UsageError: Something in it does not exist or does not go together.
    """
    work, folder = prepared(spec, out, flags, only)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the run folder cannot be made: {error.strerror}", path=folder) from error
    with Store.open(store_of(work.spec, folder)) as store, frozen():
        if work.contest.judge.nonce or work.contest.judge.label_nonce:
            work = replace(work, contest=replace(work.contest, key=key_of(store, folder.name)))
        session = _Session(work, folder, store, limit, tuple(only), Meter(listener), connect)
        complete(session.go())
        return session.finish()


def dry_run(
    spec: Path | str,
    *,
    out: Path | str | None = None,
    flags: Flags | None = None,
    limit: int | None = None,
    only: Sequence[str] = (),
) -> Forecast:
    """Say what `run` with the same arguments would ask and cost; ask nobody, write nothing.

    Raises:
        InputError, UsageError: As `run`.
    """
    work, folder = prepared(spec, out, flags, only)
    where = store_of(work.spec, folder)
    store = Store.open(where) if "://" in str(where) or Path(where).exists() else None
    prompts = [prompt for _, prompt in prompts_of(work.contest, limit, only)]
    try:
        written = {w.name: stored_answers(w, prompts, store) for w in work.writers} if store else {}
        made = stand_ins(work.writers, prompts)
        contest = work.with_answers({name: {**made[name], **written.get(name, {})} for name in made})
        return forecast(
            contest, work.writers, work.judge, store, prompts=prompts, written=written,
            tasks=plan(contest, limit=limit, only=only), known=_known(store, folder.name, contest) if store else set(),
        )  # fmt: skip
    finally:
        if store:
            store.close()


def prepared(spec: Path | str, out: Path | str | None, flags: Flags | None, only: Sequence[str]) -> tuple[Work, Path]:
    """Return what a spec resolves to, and its run folder.

    Raises:
        InputError, UsageError: As `run`.
    """
    path = Path(spec)
    work = resolve(load_spec(path, flags))
    only_known(only, work.contest)
    return work, Path("runs", path.stem) if out is None else Path(out)


def store_of(spec: RunSpec, folder: Path) -> str | Path:
    """Return where the store of a run is."""
    return spec.run.store or folder / STORE


def _known(store: Store, name: str, contest: Contest) -> set[str]:
    have = {run.name for run in store.runs()}
    runs = [run for run in (run_name(name, contest, model) for model in contest.models) if run in have]
    return store.game_keys(*runs) if contest.judge.pairwise else store.rating_keys(*runs)


@dataclass
class _Session:
    """One start of a run."""

    work: Work
    folder: Path
    store: Store
    limit: int | None
    only: tuple[str, ...]
    meter: Meter
    connect: Callable[..., Client]

    def __post_init__(self) -> None:
        self.contest = self.work.contest
        self.made = Generated()
        self.played = Played()
        self.runs: dict[str, str] = {}
        self.missing: set[tuple[str, str]] = set()
        self.spending = Spending(self.work.spec.run.max_cost)
        self.reason: BaseException | None = None

    async def go(self) -> None:
        """Do everything; where it stops early, `reason` says why."""
        async with asking(
            self.store, self.work.spec.run, spending=self.spending, meter=self.meter, connect=self.connect,
            addresses=(self.work.judge, *(w.address for w in self.work.writers)),
        ) as asker:  # fmt: skip
            await self._stages(asker, asker.halt)
        self.reason = asker.halt.reason

    async def _stages(self, asker: Asker, halt: Halt) -> None:
        wanted = [w for w in self.work.writers if self._wanted(w.name)]
        if wanted:
            run = f"{self.folder.name[:80]}/answers"
            await asyncio.to_thread(self.store.put_run, Run(run))
            prompts = [prompt for _, prompt in prompts_of(self.contest, self.limit, self.only)]
            self.made = await generate(wanted, prompts, asker, run=run)
            self.contest = self.work.with_answers(self.made.answers)
        if halt.called:
            return
        self.runs = {m: run_name(self.folder.name, self.contest, m) for m in self.contest.models}
        for model, run in self.runs.items():
            hashes = {"judge": self.contest.judge_sha256, "games": self.contest.fingerprint(model)}
            await asyncio.to_thread(self.store.put_run, Run(run, {"model": model}, hashes))
        known = await asyncio.to_thread(_known, self.store, self.folder.name, self.contest)
        self.played = await play(
            self.contest, self._tasks, asker, self.work.judge, known=known, run_of=self.runs.__getitem__
        )

    def _wanted(self, model: str) -> bool:
        named = [name for name in self.only if name in self.contest.models]
        return not named or model in named or model not in self.contest.models

    def _tasks(self) -> Iterator[Task]:
        return plan(self.contest, limit=self.limit, only=self.only, missing=self.missing)

    def finish(self) -> RunResult:
        """Publish what the store holds in the run folder, and say what came of it.

        Raises:
            AuditkitError: The run could not go on because of something that is not a matter of trying again.
        """
        reason = self.reason
        if isinstance(reason, StoreError):
            raise reason
        reasons = {(prompt_id, model): why for prompt_id, model, why in self.made.rejected}
        battles = battles_of(
            self.store,
            self.runs,
            self.contest,
            self.work.benchmark,
            played=self.played,
            missing=[(*lack, reasons.get(lack, "there is no answer")) for lack in sorted(self.missing)],
        )
        if battles is not None:
            try:
                run_folder.publish(battles, self.folder, record_of_run(self.work, self.contest))
            except OSError as error:
                raise StoreError(
                    f"{self.folder}: the tables cannot be written: {error.strerror}; what was paid for is in the store"
                ) from error
        if reason is not None and not isinstance(reason, _RESUMABLE):
            raise reason
        return RunResult(
            self.folder,
            self.played.total,
            self.played.done,
            self.made.failed + self.played.failed,
            len(self.made.rejected) + len(self.played.rejected),
            self.played.unparsed,
            self.meter.calls,
            self.spending.spent,
            self.spending.unpriced,
            "" if reason is None else str(reason),
            self.meter.note,
        )
