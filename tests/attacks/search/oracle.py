"""The simulated judge in memory, as a search may ask it: the real template, the real parser, no engine and no store."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from auditkit.attacks.protocol import Access, BudgetSpent, Oracle, Seen, Situation, Try
from auditkit.judging.calls import Completion, Json, Message, Request
from auditkit.judging.clients.simulated import reply_of
from auditkit.judging.inputs import Prompt
from auditkit.judging.parse import parse_verdict
from auditkit.judging.render import render
from auditkit.judging.simulated_judges import SimulatedJudge, quality
from auditkit.judging.simulated_reading import Reader
from auditkit.judging.simulated_writer import SimulatedWriter
from auditkit.judging.spec import JudgeSpec, load_judge
from auditkit.records import Order

ALPACA: Final = load_judge("alpaca-eval-2")
ARENA: Final = load_judge("arena-hard-v2.0")
SINGLE: Final = load_judge("mt-bench-single")


def written(question: str, *, skill: float, seed: int = 0, words: int = 60) -> str:
    """Return an answer of known quality."""
    asked = Request("simulated/writer", (Message("user", question),))
    return SimulatedWriter(seed=seed, skill=skill, words=words).write(asked).text


def situations(
    count: int, *, judge: JudgeSpec = ALPACA, first: int = 0, skill: float = 0.0, against: float = 1.0, seed: int = 0
) -> list[Situation]:
    """Return prompts with a poor answer and a good opponent (unless told otherwise); no two sets of places overlap."""
    made = []
    for place in range(first, first + count):
        question = f"Question {place}: why do rotating lamps number {place} help sailors in storms?"
        own = written(question, skill=skill, seed=1 + place)
        other = written(question, skill=against, seed=100_000 + place)
        made.append(Situation(Prompt(f"p{place}", (question,)), own, other, judge, place, seed))
    return made


Answer = Callable[[Try, Order], Completion]


@dataclass
class MemoryOracle:
    """An `auditkit.attacks.protocol.Oracle` over one simulated judge, or over `replies` alone."""

    judge: SimulatedJudge
    access: Access = "logprob"
    budget: int = 10**9
    spec: JudgeSpec = ALPACA
    params: Mapping[str, Json] = field(default_factory=lambda: {"logprobs": True, "top_logprobs": 20})
    replies: Answer | None = None
    calls: int = 0
    asked: list[Try] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = Reader([self.spec])

    @property
    def left(self) -> int:
        """Calls that the budget still has."""
        return self.budget - self.calls

    def orders(self, one: Try) -> tuple[Order, ...]:
        """Return the orders that a try asks about."""
        if not self.spec.pairwise:
            return ("unknown",)
        return (one.order,) if one.order else ("model_first", "model_second")

    def cost(self, tries: Sequence[Try]) -> int:
        """Return how many calls these tries would take."""
        return sum(len(self.orders(one)) for one in tries)

    async def ask(self, tries: Sequence[Try]) -> list[Seen]:
        """Ask about several answers."""
        need = self.cost(tries)
        if need > self.left:
            raise BudgetSpent(f"{need} calls, {self.left} left")
        self.calls += need
        self.asked += tries
        self.batches.append(need)
        return [self._seen(one) for one in tries]

    def _seen(self, one: Try) -> Seen:
        said = [(order, self._said(one, order)) for order in self.orders(one)]
        outcomes = [self._outcome(completion, order) for order, completion in said]
        known = [x for x in outcomes if not math.isnan(x)]
        listed = tuple(self._winning(completion, order) for order, completion in said if completion.logprobs)
        return Seen(
            sum(known) / len(known) if known else math.nan,
            len(said),
            listed if self.access == "logprob" else (),
            tuple(completion.text for _, completion in said),
        )

    def _said(self, one: Try, order: Order) -> Completion:
        if self.replies is not None:
            return self.replies(one, order)
        situation = one.situation
        answers = (one.text, situation.opponent) if self.spec.pairwise else (one.text,)
        rendered = render(self.spec, turns=situation.prompt.turns, answers=answers, order=order)
        request = Request("simulated", rendered.messages, {**self.spec.params, **self.params}, one.sample)
        read = self.judge.read(self._reader, request.messages)
        assert read is not None
        return reply_of(self.judge, read, request)

    def _outcome(self, completion: Completion, order: Order) -> float:
        parsed = parse_verdict(self.spec, completion)
        if not parsed.parsed:
            return math.nan
        if not self.spec.pairwise:
            low, high = self.spec.verdict.scale or (0.0, 1.0)
            outcome = (parsed.score - low) / (high - low)
        else:
            outcome = parsed.for_model(order)
        if self.access in ("verdict", "model"):
            return 1.0 if outcome > 0.5 else 0.0 if outcome < 0.5 else 0.5
        return outcome

    def _winning(self, completion: Completion, order: Order) -> tuple[float | None, float]:
        wanted = 0.0 if order == "model_second" else 1.0
        label = next(name for name, meaning in self.spec.verdict.labels.items() if meaning.outcome == wanted)
        top = dict((completion.logprobs or ())[0].top)
        return top.get(label), min(top.values())


def is_oracle(oracle: Oracle) -> Oracle:
    """Let the type checker see that the oracle keeps the protocol."""
    return oracle


is_oracle(MemoryOracle(SimulatedJudge()))


@dataclass
class MemoryTools:
    """An `auditkit.attacks.protocol.Tools` over a simulated writer, or over any function of the messages."""

    oracle: MemoryOracle
    model: Callable[[Sequence[Message], int], str] | None = None
    budget: int = 10**9
    writer: SimulatedWriter = field(default_factory=SimulatedWriter)
    calls: int = 0
    asked: list[tuple[tuple[Message, ...], Mapping[str, Json], int]] = field(default_factory=list)

    async def write(
        self, messages: Sequence[Message], params: Mapping[str, Json] | None = None, sample: int = 0
    ) -> str:
        """Return what the model says."""
        if self.calls >= self.budget:
            raise BudgetSpent("no call of the model is left")
        self.calls += 1
        self.asked.append((tuple(messages), dict(params or {}), sample))
        if self.model is not None:
            return self.model(messages, sample)
        return self.writer.write(Request("simulated/writer", tuple(messages), params or {}, sample)).text


def gold(situation: Situation, text: str) -> float:
    """Return the true quality of an answer, 0..1."""
    return quality(situation.prompt.text, text)
