"""One start of work that asks models: an asker with its store's writer, signals that stop it, and the event loop."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar

from auditkit.errors import AuditkitError
from auditkit.judging.asking import Address, Asker, Halt
from auditkit.judging.calls import Client
from auditkit.judging.clients import client_for
from auditkit.judging.events import Meter
from auditkit.judging.runspec import RunSettings
from auditkit.judging.spending import Spending
from auditkit.judging.store import Store

__all__ = ["Interrupted", "asking", "complete", "frozen"]

T = TypeVar("T")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(AuditkitError):
    """Somebody stopped the run (Ctrl-C, or a signal to end). What was paid for is stored."""


def complete(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end, also where a loop runs already (in a notebook): in a thread of its own then."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, main).result()


@asynccontextmanager
async def asking(
    store: Store,
    settings: RunSettings,
    *,
    spending: Spending,
    meter: Meter,
    addresses: Iterable[Address],
    connect: Callable[..., Client] = client_for,
) -> AsyncIterator[Asker]:
    """Yield an asker whose clients are known to work; Ctrl-C calls its halt, and a second one ends the program.

    Args:
        store: Where completions are kept.
        settings: Concurrency, limits, time-outs.
        spending: What may be spent.
        meter: Told of every call.
        addresses: Whom the work will ask; their clients are made first.
        connect: Makes clients; the registered ones by default.

    Raises:
        UsageError: A client cannot be used as asked.
    """
    halt = Halt()
    with _stopping(halt), frozen():
        async with store.writer() as writer:
            asker = Asker(store, writer, settings, spending, meter, halt, connect)
            try:
                for address in addresses:
                    asker.open(address)
                yield asker
            finally:
                await asker.close()


@contextmanager
def frozen() -> Iterator[None]:
    """Keep the garbage collector from going through what is there already: a sixth of a call's processor time. Inside
    another one it does nothing.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _stopping(halt: Halt) -> Iterator[None]:
    """Let Ctrl-C and a signal to end call a halt; a second one ends the program at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if halt.called:
            raise KeyboardInterrupt
        halt.call(Interrupted("interrupted"))

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
