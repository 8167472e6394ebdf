"""Put one question about each of many texts to a model, through the engine's own asker.

Calls pass the limits, the budget and the store of `auditkit.judging`: what was paid for is stored before it counts, and
is never paid for twice. A reply that cannot be read is asked for once more, then counted as unread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from auditkit.judging.asking import Address, Asker, Ready, looked_up
from auditkit.judging.calls import Completion, Rejected, Request, Transient
from auditkit.judging.engine import Streak, workers_for
from auditkit.judging.pool import work_through

__all__ = ["Reply", "replies"]

V = TypeVar("V")

_TRIES = 2


@dataclass(frozen=True)
class Reply(Generic[V]):
    """What came of one question.

    Attributes:
        value: What the reply says; None: it could not be read, or the provider refuses to answer.
        calls: Calls that it took, those of earlier starts included.
        tokens_in, tokens_out: Their tokens, as far as the provider says.
        cost: Their price in US dollars; None: not known.
        refused: The provider's reason for refusing, "" if it did not.
    """

    value: V | None
    calls: int
    tokens_in: int
    tokens_out: int
    cost: float | None
    refused: str = ""


class _Questions(Generic[V]):
    def __init__(self, asker: Asker, address: Address, read: Callable[[str], V | None]) -> None:
        self._asker = asker
        self._address = address
        self._read = read
        self._streak = Streak(2 * workers_for(asker.settings.concurrency))
        self.found: dict[int, Reply[V]] = {}

    async def put(self, ready: Ready[tuple[int, Callable[[int], Request]]]) -> None:
        """Put one question; leave it open if its call fails for now."""
        (number, request_of), meter = ready.item, self._asker.meter
        said: list[Completion] = []
        value: V | None = None
        refused = ""
        try:
            for sample in range(_TRIES):
                request = ready.requests[0] if sample == 0 else request_of(sample)
                completion = ready.found.stored.get(request.key)
                if completion is None:
                    granted = request.key in ready.found.granted
                    completion = await self._asker.ask(request, self._address, granted=granted)
                said.append(completion)
                self._streak.success()
                value = self._read(completion.text)
                if value is not None:
                    break
        except Rejected as error:
            refused = str(error)
            meter.note = refused
            self._streak.failure(error)
        except Transient as error:
            meter.failed, meter.note = meter.failed + 1, str(error)
            meter.tell()
            self._streak.failure(error)
            return
        costs = [completion.cost for completion in said]
        self.found[number] = Reply(
            value,
            len(said),
            sum(c.usage.tokens_in or 0 for c in said),
            sum(c.usage.tokens_out or 0 for c in said),
            None if any(cost is None for cost in costs) else sum(cost or 0.0 for cost in costs),
            refused,
        )
        meter.done += 1
        meter.unparsed += value is None
        meter.tell()


async def replies(
    questions: Iterable[tuple[int, Callable[[int], Request]]],
    asker: Asker,
    address: Address,
    read: Callable[[str], V | None],
) -> dict[int, Reply[V]]:
    """Put every question.

    Args:
        questions: A number and the function from the number of the draw to the request, for each.
        asker: Whom to ask through.
        address: Whom to ask.
        read: Reads a reply; None where it cannot be read.

    Returns:
        The replies by number. A question is missing where its call failed for now, or the work was halted: look at
        ``asker.halt``.
    """
    table: _Questions[V] = _Questions(asker, address, read)

    def work() -> Iterator[tuple[tuple[int, Callable[[int], Request]], tuple[Request, ...]]]:
        for number, request_of in questions:
            yield (number, request_of), (request_of(0),)

    await work_through(
        looked_up(work(), asker), table.put, workers=workers_for(asker.settings.concurrency), halt=asker.halt
    )  # fmt: skip
    return table.found
