"""The engine: plays every game of a contest that the store does not hold yet.

Games are prepared a little ahead (rendered, looked up, claimed), played by a fixed number of workers, and stored
before they count. A verdict that cannot be read is asked for again as the judge says, then stored as unparsed. A
game whose call fails for now stays open and is played when the run is resumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

from auditkit.errors import AuditkitError, InputError, printable
from auditkit.judging.asking import Address, Asker, Found, Ready, looked_up
from auditkit.judging.calls import Completion, Rejected, Request, Transient, Usage
from auditkit.judging.parse import combine
from auditkit.judging.parsed import Parsed
from auditkit.judging.plan import Contest, Task
from auditkit.judging.pool import work_through
from auditkit.judging.protocol import decided
from auditkit.judging.render import items_of
from auditkit.judging.store import Game, Rating
from auditkit.judging.verdicts import verdict_of

__all__ = ["GaveUp", "Played", "Streak", "Unread", "play", "workers_for"]

_HOPELESS: Final = 10
_UNREAD: Final = 30


class GaveUp(AuditkitError):
    """Call after call failed: going on would only repeat it. The run can be resumed."""


def workers_for(concurrency: int) -> int:
    """Return how many workers keep `concurrency` calls under way: while as many wait for the disk, the next request is
    ready, or it would not be on its way when a call ends.
    """
    return 2 * concurrency


@dataclass
class Streak:
    """Counts failures in a row. `limit` calls that fail one after the other end the run; so do ten rejections at the
    start, before any call has succeeded.
    """

    limit: int
    _failed: int = 0
    _succeeded: bool = False

    def success(self) -> None:
        """Note a call that came back."""
        self._failed, self._succeeded = 0, True

    def failure(self, error: Rejected | Transient) -> None:
        """Note a call that gave nothing.

        Raises:
            GaveUp: It was one too many.
        """
        self._failed += 1
        most = self.limit if self._succeeded or isinstance(error, Transient) else min(_HOPELESS, self.limit)
        if self._failed >= most:
            raise GaveUp(f"{self._failed} calls in a row came to nothing; the last: {error}") from error


@dataclass
class Unread:
    """Counts verdicts that cannot be read: a judge of whose first thirty not one can be is not asked further, as its
    whole budget would buy nothing.
    """

    _reasons: Counter[str] = field(default_factory=Counter)
    _read: bool = False

    def add(self, verdict: Parsed) -> None:
        """Note what a call came to.

        Raises:
            GaveUp: It was one too many.
        """
        self._read = self._read or verdict.parsed
        if self._read:
            return
        self._reasons[verdict.reason] += 1
        if self._reasons.total() >= _UNREAD:
            reason, times = self._reasons.most_common(1)[0]
            raise GaveUp(
                f"none of the judge's first {_UNREAD} verdicts can be read; {times} times: {printable(reason, 100)}; "
                "look at the replies, and change the judge's prompt, token limit or model"
            )


@dataclass
class Played:
    """What became of a contest in this start of the run.

    Attributes:
        total: Games of the plan.
        done: Those that are in the store now.
        failed: Those whose call failed for now.
        rejected: Those that the provider will never answer, with its reason: games without a verdict.
        unparsed: Those of this start whose verdict could not be read.
        identical: Games of this start between two equal answers.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    rejected: list[tuple[Task, str]] = field(default_factory=list)
    unparsed: int = 0
    identical: int = 0


@dataclass
class _Cost:
    """What the calls of one game took together."""

    usage: Usage = field(default_factory=lambda: Usage(0, 0, 0))
    cost: float | None = 0.0
    latency: float = 0.0
    key: str = ""

    def add(self, request: Request, completion: Completion) -> None:
        old, new = self.usage, completion.usage
        self.usage = Usage(
            _sum(old.tokens_in, new.tokens_in), _sum(old.tokens_out, new.tokens_out), _sum(old.cached, new.cached or 0)
        )
        self.cost = None if self.cost is None or completion.cost is None else self.cost + completion.cost
        self.latency += completion.latency
        self.key = request.key


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


async def play(
    contest: Contest,
    tasks: Callable[[], Iterable[Task]],
    asker: Asker,
    address: Address,
    *,
    known: set[str],
    run_of: Callable[[str], str],
) -> Played:
    """Play every game of a plan that is not known.

    Args:
        contest: Judge, prompts, answers.
        tasks: The plan; gone through twice.
        asker: Whom to ask through.
        address: The judge's.
        known: Keys of the games that the store holds.
        run_of: The store's name of the run that holds a model's games.

    Returns:
        The counts, also where the run was halted: look at ``asker.halt``.
    """
    if contest.key is None and (contest.judge.nonce or contest.judge.label_nonce):
        raise ValueError(f"judge {contest.judge.name} fences with a nonce: the contest needs a key")
    match = _Match(contest, asker, address, run_of)
    opened = bytearray(task.key(contest.judge_name) not in known for task in tasks())
    played = match.played
    played.total, played.done = len(opened), len(opened) - sum(opened)
    asker.meter.begin("games", played.total, played.done)
    if played.done < played.total:
        await work_through(
            looked_up(match.work(compress(tasks(), opened)), asker),
            match.play,
            workers=workers_for(asker.settings.concurrency),
            halt=asker.halt,
        )
    asker.meter.tell()
    return played


class _Match:
    """One start of a run's games."""

    def __init__(self, contest: Contest, asker: Asker, address: Address, run_of: Callable[[str], str]) -> None:
        self._contest = contest
        self._asker = asker
        self._address = address
        self._run_of = run_of
        self._streak = Streak(2 * asker.settings.concurrency + 4)
        self._unread = Unread()
        self.played = Played()

    def work(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, tuple[Request, ...]]]:
        """Yield the games with their first requests; none where the verdict needs no call."""
        contest = self._contest
        for task in tasks:
            if decided(contest.judge, contest.texts(task), task.order) is not None:
                yield task, ()
                continue
            try:
                yield task, tuple(contest.request(task, item) for item in task.items)
            except InputError as error:
                raise InputError(error.problem, record=f"prompt {printable(task.prompt.id, 60)!r}") from error

    async def play(self, game: Ready[Task]) -> None:
        """Play one game and store it; count it if its call failed."""
        task, meter = game.item, self._asker.meter
        spent = _Cost()
        try:
            verdict = await self._judged(game, spent)
        except Rejected as error:
            self.played.rejected.append((task, str(error)))
            meter.done, meter.unparsed, meter.note = meter.done + 1, meter.unparsed + 1, str(error)
            meter.tell()
            self._streak.failure(error)
            return
        except Transient as error:
            self.played.failed += 1
            meter.failed, meter.note = self.played.failed, str(error)
            meter.tell()
            self._streak.failure(error)
            return
        if game.requests:
            self._streak.success()
        await self._store(task, verdict, spent)
        self.played.done += 1
        if task.opponent:
            texts = self._contest.texts(task)
            self.played.identical += texts[0] == texts[1]
        self.played.unparsed += not verdict.parsed
        meter.done, meter.unparsed = meter.done + 1, meter.unparsed + (not verdict.parsed)
        meter.tell()
        if game.requests:
            self._unread.add(verdict)

    async def _judged(self, game: Ready[Task], spent: _Cost) -> Parsed:
        task, judge = game.item, self._contest.judge
        early = decided(judge, self._contest.texts(task), task.order)
        if early is not None:
            return early
        verdicts = [await self._verdict(task, request, game.found, spent) for request in game.requests]
        if judge.mode in ("checklist", "principles"):
            return combine(judge, verdicts, items_of(judge, task.prompt.checklist))
        return verdicts[0]

    async def _verdict(self, task: Task, request: Request, found: Found, spent: _Cost) -> Parsed:
        judge = self._contest.judge
        return await verdict_of(
            judge, request, found, self._asker, self._address, sample=task.sample,
            items=items_of(judge, task.prompt.checklist) if judge.mode == "criteria" else (),
            nonce=self._contest.nonce(task.prompt), each=spent.add,
        )  # fmt: skip

    async def _store(self, task: Task, verdict: Parsed, spent: _Cost) -> None:
        contest, writer = self._contest, self._asker.writer
        run = self._run_of(task.model)
        if task.opponent:
            game = Game(
                task.prompt.id, task.model, task.opponent, contest.judge_name, contest.judge_sha256, task.order,
                verdict.label, verdict.for_model(task.order), verdict.weight, turn=task.turn, sample=task.sample,
                request_key=spent.key, reason=verdict.reason, usage=spent.usage, cost=spent.cost, latency=spent.latency,
            )  # fmt: skip
            await writer.put_games(run, [game])
        else:
            rating = Rating(
                task.prompt.id, task.model, contest.judge_name, contest.judge_sha256, verdict.score, verdict.label,
                turn=task.turn, sample=task.sample, request_key=spent.key, reason=verdict.reason, usage=spent.usage,
                cost=spent.cost, latency=spent.latency,
            )  # fmt: skip
            await writer.put_ratings(run, [rating])
