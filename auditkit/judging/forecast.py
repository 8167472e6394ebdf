"""What a run would cost, before anything is spent: calls, tokens and dollars, by whom is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from typing import Final

from auditkit.judging.answers import Writer, first_request
from auditkit.judging.asking import Address
from auditkit.judging.calls import Message, Request
from auditkit.judging.inputs import Answer, Prompt
from auditkit.judging.plan import Contest, Task
from auditkit.judging.prices import estimate, table
from auditkit.judging.protocol import decided
from auditkit.judging.store import Store
from auditkit.text import count_tokens

__all__ = ["Forecast", "Line", "forecast", "line_for", "stand_in", "stand_ins"]

_SAMPLE: Final = 500
"""Requests whose tokens are counted; where there are more, so many evenly spaced ones stand for all."""
_PAGE: Final = 1000
"""Requests whose keys are looked up together."""
_ASKED: Final = 600
"""Words that an attacker sends to its model in one call."""
_REPLY: Final = 1024
"""Tokens that a reply is taken to have where the spec sets no limit."""


@dataclass(frozen=True)
class Line:
    """What one model would be asked.

    Attributes:
        what: ``answers of NAME`` or ``judgments``.
        model: ``client/model``.
        stored: Answers or games that are there already, or need no call.
        calls: Calls to make; a retry of an unreadable verdict comes on top.
        tokens_in: Tokens that these calls send, counted with OpenAI's current vocabulary.
        tokens_out: The most tokens that may come back; estimated where `limited` is false.
        limited: Does the spec limit the length of replies?
        dollars: US dollars, if every reply is that long; None: the price is not known.
    """

    what: str
    model: str
    stored: int
    calls: int
    tokens_in: int
    tokens_out: int
    limited: bool
    dollars: float | None


@dataclass(frozen=True)
class Forecast:
    """What a run would cost. `prices`: the price table and its date; `estimated`: are token counts estimates?"""

    lines: tuple[Line, ...]
    prices: str
    estimated: bool

    @property
    def calls(self) -> int:
        """Calls to make, in all."""
        return sum(line.calls for line in self.lines)

    @property
    def dollars(self) -> float:
        """US dollars of the calls whose price is known."""
        return sum(line.dollars or 0.0 for line in self.lines)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Models whose price is not known."""
        return tuple(sorted({line.model for line in self.lines if line.dollars is None and line.calls}))


def forecast(
    contest: Contest,
    writers: Sequence[Writer],
    judge: Address,
    store: Store | None,
    *,
    prompts: Sequence[Prompt],
    written: Mapping[str, Mapping[str, Answer]],
    tasks: Iterable[Task],
    known: set[str],
) -> Forecast:
    """Count what is still to be asked.

    Args:
        contest: The contest, with `stand_ins` for the answers that are not written yet.
        writers: Models whose answers are generated.
        judge: Whom to ask for verdicts.
        store: The run's store, None if there is none yet.
        prompts: What the writers are asked.
        written: Those of their answers that the store holds, by model and prompt id.
        tasks: The plan over all answers, stand-ins included.
        known: Keys of the games that the store holds.
    """
    lines = []
    rough = False
    for writer in writers:
        stored = written.get(writer.name, {})
        left = [first_request(writer, p) for p in prompts if p.id not in stored for _ in p.turns]
        line, estimated = line_for(f"answers of {writer.name}", writer.address, left, len(left), len(stored))
        lines.append(line)
        rough |= estimated
    played = list(tasks)
    is_open = [
        task.key(contest.judge_name) not in known and decided(contest.judge, contest.texts(task), task.order) is None
        for task in played
    ]
    asked = [(task, item) for task in compress(played, is_open) for item in task.items]
    if store is not None:
        # A game that is not there may still cost nothing: one answer that changed opens every game of its model.
        asked = list(_unpaid(asked, contest, store))
    calls, still = len(asked), len({id(task) for task, _ in asked})
    step = max(1, calls // _SAMPLE)
    requests = [contest.request(task, item) for task, item in islice(asked, 0, None, step)]
    line, estimated = line_for("judgments", judge, requests, calls, len(played) - still)
    lines.append(line)
    prices = table()
    return Forecast(tuple(lines), prices.source if prices else "no price table", rough or estimated)


def _unpaid(
    asked: Iterable[tuple[Task, int | None]], contest: Contest, store: Store
) -> Iterator[tuple[Task, int | None]]:
    """Yield what is asked of the judge and is not in the store."""
    rest = iter(asked)
    while page := list(islice(rest, _PAGE)):
        keys = [contest.request(task, item).key for task, item in page]
        stored = store.known(keys)
        yield from (one for one, key in zip(page, keys, strict=True) if key not in stored)


def stand_ins(writers: Sequence[Writer], prompts: Sequence[Prompt]) -> dict[str, dict[str, Answer]]:
    """Return texts that stand in for answers that are not written yet, as long as they may become."""
    made: dict[str, dict[str, Answer]] = {}
    for writer in writers:
        # No two alike: equal answers may need no call.
        text = f"{writer.name}{' word' * _limit(writer.params)[0]}"
        made[writer.name] = {prompt.id: Answer((text,) * len(prompt.turns)) for prompt in prompts}
    return made


def _limit(params: Mapping[str, object]) -> tuple[int, bool]:
    for name in ("max_tokens", "max_completion_tokens"):
        value = params.get(name)
        if isinstance(value, int) and value > 0:
            return value, True
    return _REPLY, False


def stand_in(writer: Address) -> Request:
    """Return a request that stands for those of a model that writes attacks: an answer, and what is to be done with it."""
    return Request(writer.model, (Message("user", "word " * _ASKED),))


def line_for(what: str, address: Address, requests: Sequence[Request], calls: int, stored: int) -> tuple[Line, bool]:
    """Return what a number of calls would cost, and whether its tokens are estimates.

    Args:
        what: Shown to people.
        address: Who is asked.
        requests: The requests, or some that stand for all.
        calls: How many there are.
        stored: How many are there already.
    """
    sample = requests[:: max(1, len(requests) // _SAMPLE)]
    if not sample:
        free = estimate(address.model, 0, 0, base_url=address.base_url or None)
        return Line(what, address.model, stored, 0, 0, 0, True, None if free is None else 0.0), False
    texts = ["\n".join(message.content for message in request.messages) for request in sample]
    counts, estimated = count_tokens(texts, "o200k_base")
    mean = float(counts.mean())
    out, limited = _limit(sample[0].params)
    price = estimate(address.model, mean, out, calls=calls, base_url=address.base_url or None)
    dollars = None if price is None else price.dollars
    return Line(what, address.model, stored, calls, round(mean * calls), out * calls, limited, dollars), estimated
