"""Ask a model: from the store if the answer is there, else by a call that is paid for once and stored.

Processes that share a store claim calls before making them; what another one is making is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from auditkit.errors import AuditkitError
from auditkit.judging.calling import Retry, call
from auditkit.judging.calls import CallError, Client, Completion, Fatal, Request, Transient
from auditkit.judging.clients import client_for
from auditkit.judging.events import Meter
from auditkit.judging.limits import Limits
from auditkit.judging.runspec import RunSettings
from auditkit.judging.spending import Spending
from auditkit.judging.store import Store, Writer

__all__ = ["Address", "Asker", "Found", "Halt", "Halted", "Ready", "looked_up"]

T = TypeVar("T")

_LONG_WAIT: Final = 5.0
"""Seconds that a provider asks for, from which on it is said."""
_POLL: Final = 1.0
"""Seconds between looks at calls that another process makes."""
_SOON: Final = 0.02
"""Seconds between looks at a completion that this process is writing."""
_AT_A_TIME: Final = 8
"""Prompts that are rendered before calls under way get their turn."""


class Halted(AuditkitError):
    """No new call starts any more."""


class Halt:
    """A stop that everyone sees: no new call starts, those under way may end. `reason` is the first that was given."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reason: BaseException | None = None

    @property
    def called(self) -> bool:
        """Is it over?"""
        return self._event.is_set()

    def call(self, reason: BaseException) -> None:
        """Stop, because of `reason`."""
        if not self.called:
            self.reason = reason
            self._event.set()

    async def wait(self) -> None:
        """Wait until somebody calls a halt."""
        await self._event.wait()


class _Guarded:
    """A client that makes no call after a halt, neither a first nor a repeated one."""

    def __init__(self, client: Client, halt: Halt) -> None:
        self._client = client
        self._halt = halt

    async def complete(self, request: Request) -> Completion:
        if self._halt.called:
            raise Halted("stopped before the call")
        return await self._client.complete(request)

    async def close(self) -> None:
        await self._client.close()


@dataclass(frozen=True)
class Address:
    """Whom to ask: ``client/model``, and the address instead of the provider's own ("" for none)."""

    model: str
    base_url: str = ""

    @property
    def provider(self) -> tuple[str, str]:
        """What shares a client and its limits: the client's name and the address."""
        return self.model.partition("/")[0], self.base_url


@dataclass(frozen=True)
class Found:
    """What a look into the store came to; every key is in exactly one of the three."""

    stored: Mapping[str, Completion]
    granted: frozenset[str]
    held: frozenset[str]


@dataclass(frozen=True)
class Ready(Generic[T]):
    """Something to do, the requests that it starts with, and what the store says of them."""

    item: T
    requests: tuple[Request, ...]
    found: Found


@dataclass
class Asker:
    """Clients, limits, money and the store's writer of one start of a run; use it inside one event loop."""

    store: Store
    writer: Writer
    settings: RunSettings
    spending: Spending
    meter: Meter
    halt: Halt
    connect: Callable[..., Client] = client_for
    _clients: dict[tuple[str, str], Client] = field(default_factory=dict)
    _limits: dict[tuple[str, str], Limits] = field(default_factory=dict)
    _flying: dict[str, asyncio.Future[Completion]] = field(default_factory=dict)
    _asked: set[int] = field(default_factory=set)

    async def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            await client.close()

    def open(self, address: Address) -> None:
        """Make the client of an address, so that what is wrong with it is known before the work starts.

        Raises:
            UsageError: The client cannot be used as asked, or its price is needed and not known.
        """
        self.spending.refuse_unknown(address.model, address.base_url or None)
        self._client(address)

    def _client(self, address: Address) -> tuple[Client, Limits]:
        key = address.provider
        if key not in self._clients:
            made = self.connect(address.model, base_url=address.base_url or None, timeout=self.settings.timeout)
            self._clients[key] = _Guarded(made, self.halt)
            self._limits[key] = Limits(
                self.settings.concurrency,
                requests_per_minute=self.settings.requests_per_minute,
                tokens_per_minute=self.settings.tokens_per_minute,
            )
        return self._clients[key], self._limits[key]

    async def look_up(self, keys: Iterable[str]) -> Found:
        """Read what is stored of `keys` and claim the rest; `ask` makes the claimed calls."""
        wanted = list(dict.fromkeys(keys))
        stored = await asyncio.to_thread(self.store.completions, wanted)
        missing = [key for key in wanted if key not in stored]
        if not missing:
            return Found(stored, frozenset(), frozenset())
        claim = await self.writer.claim(missing)
        if claim.stored:
            stored |= await asyncio.to_thread(self.store.completions, claim.stored)
        return Found(stored, claim.granted, frozenset(claim.held))

    async def ask(self, request: Request, address: Address, *, granted: bool = False) -> Completion:
        """Return the completion of `request`: the stored one, another process's, or that of a call made now.

        Args:
            request: What is asked.
            address: Of whom.
            granted: `look_up` has claimed it already.

        Raises:
            CallError: The call gave no completion.
            BudgetReached: It does not fit into what may be spent.
            Halted: The run is stopping.
            StoreError: It could not be stored.
        """
        key = request.key
        # Two games may ask the same (two models with one answer): one call is made, and both take what it gave.
        if key in self._flying:
            return await asyncio.shield(self._flying[key])
        own = _short(key) in self._asked  # it came back in this start, and may be on its way to the disk
        granted = granted and not own
        while not granted:
            found = await self.look_up([key])
            if key in found.stored:
                return found.stored[key]
            if key in self._flying:
                return await asyncio.shield(self._flying[key])
            granted = key in found.granted and not own
            if not granted:
                if self.halt.called:
                    raise Halted("stopped while another process makes the call")
                await asyncio.sleep(_SOON if own else _POLL)
        flying = self._flying[key] = asyncio.get_running_loop().create_future()
        try:
            completion = await self._call(request, address)
        except BaseException as error:
            flying.set_exception(error if isinstance(error, Exception) else Halted("stopped during the call"))
            flying.exception()  # looked at: nobody else may be waiting for it
            if isinstance(error, Fatal):
                self.halt.call(error)  # before anything is waited for: whoever gets this call's slot must not use it
            # Given up at once, so that another process need not wait for the lease to end. A writer that closes gives
            # up whatever is left.
            if isinstance(error, CallError) and not self.halt.called:
                await self.writer.release([key])
            raise
        else:
            flying.set_result(completion)
            self._asked.add(_short(key))
            return completion
        finally:
            del self._flying[key]

    async def _call(self, request: Request, address: Address) -> Completion:
        client, limits = self._client(address)
        ticket = await self.spending.reserve(request, address.base_url or None)
        completion: Completion | None = None
        try:
            completion = await call(
                client, request, limits=limits, timeout=self.settings.timeout,
                retry=Retry(total=self.settings.retry_total), held=self._held,
            )  # fmt: skip
        finally:
            self.spending.settle(ticket, completion)
        self.meter.calls, self.meter.wait = self.meter.calls + 1, 0.0
        self.meter.spent, self.meter.unpriced = self.spending.spent, self.spending.unpriced
        # Not waited for: what the completion leads to is put after it, and counts when both are on the disk.
        await self.writer.put(request, completion, wait=False)
        return completion

    def _held(self, error: Transient) -> None:
        """Say why nothing happens for a while."""
        wait = error.retry_after or 0.0
        if wait >= _LONG_WAIT:
            self.meter.wait = wait
            self.meter.tell()


def _short(key: str) -> int:
    """Return a content key in 64 bits: enough to tell the calls of one start apart, and small."""
    return int(key[:16], 16)


async def _chunks(items: Iterable[T], size: int) -> AsyncIterator[list[T]]:
    """Cut `items` into lists of at most `size`, letting others go on meanwhile: to make one takes time."""
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
        elif len(chunk) % _AT_A_TIME == 0:
            await asyncio.sleep(0)
    if chunk:
        yield chunk


async def looked_up(work: Iterable[tuple[T, Sequence[Request]]], asker: Asker) -> AsyncIterator[Ready[T]]:
    """Yield work whose requests are stored or claimed, a few at a time; what another process makes comes last.

    Args:
        work: What is to be done, with the requests that it starts with (none: nothing to look up).
        asker: Whom to look up and claim through.
    """
    waiting = work
    while True:
        held: list[tuple[T, Sequence[Request]]] = []
        async for chunk in _chunks(waiting, asker.settings.concurrency):
            found = await asker.look_up(request.key for _, requests in chunk for request in requests)
            for item, requests in chunk:
                if any(request.key in found.held for request in requests):
                    held.append((item, requests))
                else:
                    yield Ready(item, tuple(requests), found)
        if not held:
            return
        await asyncio.sleep(_POLL)
        waiting = held
