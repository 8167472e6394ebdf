"""Where attacks meet the judge: items with two answers, trials of changed answers, and what the judge makes of them.

A trial asks exactly what a run would ask (`auditkit.judging.verdicts`) and goes through the same store: what was asked
before costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.attacks.protocol import Situation
from auditkit.judging.asking import Address, Asker, Halted, Ready, looked_up
from auditkit.judging.calls import Completion, Rejected, Request
from auditkit.judging.engine import Unread, workers_for
from auditkit.judging.inputs import Prompt
from auditkit.judging.nonces import nonce_of
from auditkit.judging.parse import combine
from auditkit.judging.parsed import Parsed, unparsed
from auditkit.judging.pool import work_through
from auditkit.judging.protocol import decided, games_for
from auditkit.judging.render import items_of
from auditkit.judging.spec import JudgeSpec
from auditkit.judging.verdicts import request_for, verdict_of
from auditkit.records import Order

__all__ = ["Arena", "Item", "Judged", "Tally", "Trial", "on_unit", "submitted"]

_NAN: Final = float("nan")


@dataclass(frozen=True)
class Item:
    """One prompt and the answers to it.

    Attributes:
        prompt: What was asked.
        own: The attacked submission's answer, turn by turn.
        opponent: The answer it meets, turn by turn; empty where the judge sees one answer.
        place: The prompt's place in the benchmark, from 0.
        gold: 1 if the own answer is known to be the right one, 0 if the opponent's is; NaN: not known.
    """

    prompt: Prompt
    own: tuple[str, ...]
    opponent: tuple[str, ...] = ()
    place: int = 0
    gold: float = _NAN

    def situation(
        self, judge: JudgeSpec, *, opponent: bool = False, seed: int = 0, turn: int | None = None
    ) -> Situation:
        """Return what an attacker sees of it, up to a turn (None: the last)."""
        turn = turn or len(self.own)
        shown = self.opponent[turn - 1] if opponent and self.opponent else ""
        prompt = self.prompt if turn == len(self.prompt.turns) else replace(self.prompt, turns=self.prompt.turns[:turn])
        return Situation(prompt, self.own[turn - 1], shown, judge, self.place, seed)

    def without_reference(self) -> Item:
        """Return the item whose right answer the judge is not shown as a reference: it would be told the solution.

        The category goes with it: some judges insist on a reference in some categories.
        """
        return replace(self, prompt=replace(self.prompt, reference=(), category=""))


def submitted(item: Item, text: str, replaces: bool) -> tuple[str, ...]:
    """Return the turns that an attacker submits: `text` for every turn if it replaces the answer, else for the last."""
    return (text,) * len(item.own) if replaces else (*item.own[:-1], text)


@dataclass(frozen=True, slots=True)
class Trial:
    """One game (or rating) to be asked about. `judge` takes the place of the arena's own where a probe changes it."""

    item: Item
    own: tuple[str, ...]
    opponent: tuple[str, ...]
    order: Order
    turn: int
    asked: tuple[int | None, ...]
    sample: int = 0
    judge: JudgeSpec | None = None

    @property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """The answers that are judged, the own one first."""
        return (self.own[: self.turn], self.opponent[: self.turn]) if self.opponent else (self.own[: self.turn],)


@dataclass(frozen=True)
class Judged:
    """What came of a trial: the verdict, how the own answer did (0..1, NaN without a verdict), and what was said."""

    verdict: Parsed
    outcome: float
    calls: int = 0
    completions: tuple[Completion, ...] = ()


def on_unit(judge: JudgeSpec, verdict: Parsed, order: Order) -> float:
    """Return how the own answer did on 0..1: the chance that it wins, or its rating put on the judge's scale."""
    if not verdict.parsed:
        return _NAN
    if judge.pairwise:
        return verdict.for_model(order)
    if judge.mode in ("checklist", "principles"):
        return verdict.score
    low, high = judge.verdict.scale or (0.0, 1.0)
    return (verdict.score - low) / (high - low)


@dataclass
class Tally:
    """What an arena has asked so far, calls that the store answered included."""

    calls: int = 0
    unparsed: int = 0
    refused: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    unpriced: int = 0

    def add(self, request: Request, completion: Completion) -> None:
        """Count one call."""
        self.calls += 1
        self.tokens_in += completion.usage.tokens_in or 0
        self.tokens_out += completion.usage.tokens_out or 0
        if completion.cost is None:
            self.unpriced += 1
        else:
            self.usd += completion.cost


@dataclass
class Arena:
    """A judge that can be asked about any answers.

    Attributes:
        judge: The judge.
        address: Its model, and where it is.
        asker: Whom to ask through.
        secret: Key of the per-prompt nonces, for judges that have any (`auditkit.judging.nonces`).
        swap_and_tie: Orders that disagree are a tie (`score`), whatever the judge's `aggregate` says.
        tell: Called with the number of trials finished since the last call.
    """

    judge: JudgeSpec
    address: Address
    asker: Asker
    secret: bytes | None = None
    swap_and_tie: bool = False
    tell: Callable[[int], None] = lambda done: None
    tally: Tally = field(default_factory=Tally)
    _unread: Unread = field(default_factory=Unread)

    @property
    def ties(self) -> bool:
        """Do orders that disagree make a tie?"""
        return self.swap_and_tie or self.judge.aggregate == "swap_and_tie"

    def trials(
        self,
        item: Item,
        own: tuple[str, ...],
        *,
        opponent: tuple[str, ...] | None = None,
        order: Order | None = None,
        sample: int = 0,
        judge: JudgeSpec | None = None,
    ) -> list[Trial]:
        """Return the games that a submission of `own` takes on a prompt, under the judge's own order policy.

        Args:
            item: Prompt and answers.
            own: The answer that is submitted, turn by turn.
            opponent: Takes the place of the item's.
            order: Only games in this order.
            sample: Number of the draw.
            judge: Takes the place of the arena's.
        """
        spec = judge or self.judge
        met = (item.opponent if opponent is None else opponent) if spec.pairwise else ()
        turns, checklist = item.prompt.turns, item.prompt.checklist
        games: dict[tuple[int, Order], list[int | None]] = {}
        for planned in games_for(spec, turns, checklist=checklist, index=item.place):
            games.setdefault((planned.turn, planned.order), []).append(planned.item)
        return [
            Trial(item, own, met, shown, turn, tuple(asked), sample, judge)
            for (turn, shown), asked in games.items()
            if order is None or shown in (order, "unknown")
        ]

    def calls_for(self, trials: Iterable[Trial]) -> int:
        """Return how many calls these trials take, retries aside."""
        return sum(
            len(trial.asked) for trial in trials
            if decided(trial.judge or self.judge, trial.texts, trial.order) is None
        )  # fmt: skip

    async def play(self, trials: Sequence[Trial]) -> list[Judged]:
        """Ask about every trial, in this order as far as calls run at once.

        A request that the provider refuses for good is a trial without a verdict.

        Returns:
            One result a trial.

        Raises:
            AuditkitError: The work had to stop: a call failed, the budget is spent, somebody interrupted. What came
                back is stored.
        """
        found: list[Judged | None] = [None] * len(trials)

        async def one(ready: Ready[int]) -> None:
            found[ready.item] = await self._judged(trials[ready.item], ready)
            self.tell(1)

        halt = self.asker.halt
        if not halt.called:
            await work_through(
                looked_up(self._work(trials), self.asker), one,
                workers=workers_for(self.asker.settings.concurrency), halt=halt,
            )  # fmt: skip
        if halt.called:
            raise halt.reason or Halted("stopped")
        return [result for result in found if result is not None]

    def _work(self, trials: Sequence[Trial]) -> Iterator[tuple[int, tuple[Request, ...]]]:
        for number, trial in enumerate(trials):
            judge = trial.judge or self.judge
            if decided(judge, trial.texts, trial.order) is not None:
                yield number, ()
            else:
                yield number, tuple(self._request(judge, trial, item) for item in trial.asked)

    def _request(self, judge: JudgeSpec, trial: Trial, item: int | None) -> Request:
        turns = trial.item.prompt.turns
        return request_for(
            judge, self.address.model, trial.item.prompt, trial.texts, trial.order, turn=trial.turn, item=item,
            sample=trial.sample, nonce=nonce_of(judge, self.secret, turns),
        )  # fmt: skip

    async def _judged(self, trial: Trial, ready: Ready[int]) -> Judged:
        judge = trial.judge or self.judge
        verdict = decided(judge, trial.texts, trial.order)
        if verdict is not None:
            return Judged(verdict, on_unit(judge, verdict, trial.order))
        said: list[Completion] = []

        def each(request: Request, completion: Completion) -> None:
            said.append(completion)
            self.tally.add(request, completion)

        checklist = trial.item.prompt.checklist
        items = items_of(judge, checklist) if judge.mode == "criteria" else ()
        try:
            verdicts = [
                await verdict_of(
                    judge,
                    request,
                    ready.found,
                    self.asker,
                    self.address,
                    sample=trial.sample,
                    items=items,
                    nonce=nonce_of(judge, self.secret, trial.item.prompt.turns),
                    each=each,
                )
                for request in ready.requests
            ]
        except Rejected as error:
            self.tally.refused += 1
            return Judged(unparsed(str(error), retry=False), _NAN, len(said), tuple(said))
        if judge.mode in ("checklist", "principles"):
            verdict = combine(judge, verdicts, items_of(judge, checklist))
        else:
            verdict = verdicts[0]
        self.tally.unparsed += not verdict.parsed
        self._unread.add(verdict)
        return Judged(verdict, on_unit(judge, verdict, trial.order), len(said), tuple(said))

    async def outcomes(
        self, asked: Sequence[tuple[Item, tuple[str, ...], int]], *, missing: float = _NAN
    ) -> tuple[NDArray[np.float64], list[list[Judged]]]:
        """Return how each submitted answer did, as the judge's whole protocol has it.

        Args:
            asked: Items, the turns submitted for them, and the number of the draw.
            missing: What a game without a verdict counts; NaN: the answer then has no outcome.

        Returns:
            How each did over its games (shape (len(asked),), 0..1 or NaN), and the games.
        """
        trials = [self.trials(item, own, sample=sample) for item, own, sample in asked]
        flat = await self.play([trial for group in trials for trial in group])
        rest = iter(flat)
        groups = [[next(rest) for _ in group] for group in trials]
        scores = [self.score(trial, group, missing) for trial, group in zip(trials, groups, strict=True)]
        return np.array(scores, dtype=np.float64), groups

    def score(self, trials: Sequence[Trial], judged: Sequence[Judged], missing: float = _NAN) -> float:
        """Return how one submitted answer did over its games, 0..1; NaN without a verdict.

        With `swap_and_tie` a turn's games count as a win or a loss only where all of them agree, as in MT-Bench's
        pairwise protocol; else as a tie.
        """
        by_turn: dict[int, list[float]] = {}
        for trial, game in zip(trials, judged, strict=True):
            value = missing if math.isnan(game.outcome) else game.outcome
            by_turn.setdefault(trial.turn, []).append(value)
        if self.swap_and_tie or (trials and (trials[0].judge or self.judge).aggregate == "swap_and_tie"):
            return float(np.mean([_agreed(values) for values in by_turn.values()]))
        return float(np.mean([value for values in by_turn.values() for value in values]))


def _agreed(values: Sequence[float]) -> float:
    if any(math.isnan(value) for value in values):
        return _NAN
    return 1.0 if min(values) > 0.5 else 0.0 if max(values) < 0.5 else 0.5
