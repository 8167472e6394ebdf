"""The client ``replay``: completions that were paid for before, and nobody is called.

In a run spec the model keeps its name behind ``replay/``, and the address is the store that holds the completions::

    [judge]
    use = "arena-hard-v2.0"
    model = "replay/openai/gpt-4.1"
    base_url = "runs/mine/store.sqlite"        # or postgresql://…

A request is found by its content key: what was asked then must be what is asked now, to the byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditkit.errors import UsageError, printable
from auditkit.judging.calls import Completion, Rejected, Request
from auditkit.judging.clients import TIMEOUT

if TYPE_CHECKING:
    from auditkit.judging.store import Store

__all__ = ["ReplayClient", "make"]

_PREFIX: Final = "replay/"


class ReplayClient:
    """Answers from what is recorded.

    Args:
        recorded: Completions by content key, or the store that holds them.
        name: Where they come from, for messages.
        own: Close the store with the client.
    """

    def __init__(self, recorded: Mapping[str, Completion] | Store, name: str = "the recording", own: bool = False):
        self._recorded = recorded
        self._name = printable(name)
        self._own = own

    async def complete(self, request: Request) -> Completion:
        """Return what was recorded for a request, under its name with or without ``replay/``; cost and latency are 0.

        Raises:
            Rejected: Nothing was.
        """
        first = replace(request, model=request.model.removeprefix(_PREFIX))
        for key in dict.fromkeys((first.key, request.key)):
            found = await self._find(key)
            if found is not None:
                return replace(found, cost=0.0, latency=0.0)
        sample = f", sample {request.sample}" if request.sample else ""
        raise Rejected(
            f"{printable(first.model)}: not recorded in {self._name}: request {first.key[:12]}{sample} "
            "(the model, a message or a parameter differs from what was asked then)"
        )

    async def close(self) -> None:
        """Close the store, if it is this client's."""
        if self._own and not isinstance(self._recorded, Mapping):
            await asyncio.to_thread(self._recorded.close)

    async def _find(self, key: str) -> Completion | None:
        if isinstance(self._recorded, Mapping):
            return self._recorded.get(key)
        return (await asyncio.to_thread(self._recorded.completions, [key])).get(key)


def make(*, base_url: str | None = None, timeout: float = TIMEOUT) -> ReplayClient:
    """Make the client for completions that a store holds.

    Args:
        base_url: The store: an SQLite file, or an address such as ``postgresql://…``.
        timeout: Seconds to wait for a store that is in use.

    Raises:
        UsageError: No store is given, or there is no such file.
        InputError, StoreError: It cannot be opened.
    """
    if base_url is None:
        raise UsageError("the client replay needs the store to replay: set base_url, such as runs/NAME/store.sqlite")
    from auditkit.judging.store import Store

    file = base_url.removeprefix("sqlite:///")
    if "://" not in file and not Path(file).is_file():
        raise UsageError(f"the client replay finds no store at {printable(file)}")
    store = Store.open(base_url, timeout=timeout)
    return ReplayClient(store, store.name, own=True)
