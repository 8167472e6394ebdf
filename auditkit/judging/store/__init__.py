"""The store: every completion that was paid for, and the answers, games and ratings made of them.

SQLite (one file, WAL) by default, Postgres by URL where several machines share a run; SQLAlchemy Core speaks to
both. Completions are kept under the content key of their request and belong to no run, so that no call is paid
for twice; answers, games and ratings belong to a named run. Errors are never stored, and neither are secrets::

    with Store.open("runs/mine/store.sqlite") as store:
        store.put_run(Run("mine", spec))
        missing = set(keys) - store.known(keys)
        async with store.writer() as writer:
            claim = await writer.claim(missing)              # so that two processes do not make one call twice
            await writer.put(request, completion)            # returns once the row is on the disk

Processes on one machine may share an SQLite store; processes on several machines need Postgres.
Names load when first used, so that importing the package does not import SQLAlchemy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from auditkit.judging.store.claims import Claim, new_owner
    from auditkit.judging.store.errors import StoreError
    from auditkit.judging.store.rows import Answer, Game, Rating, Run, game_key, rating_key
    from auditkit.judging.store.store import Store
    from auditkit.judging.store.writer import Writer

_HOMES: Final = {
    "Answer": "rows",
    "Claim": "claims",
    "Game": "rows",
    "Rating": "rows",
    "Run": "rows",
    "Store": "store",
    "StoreError": "errors",
    "Writer": "writer",
    "game_key": "rows",
    "new_owner": "claims",
    "rating_key": "rows",
}

__all__ = [
    "Answer",
    "Claim",
    "Game",
    "Rating",
    "Run",
    "Store",
    "StoreError",
    "Writer",
    "game_key",
    "new_owner",
    "rating_key",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
