"""The store's door: what can be asked of it and put into it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from sqlalchemy import Connection, Select, Table, func, select

from auditkit.errors import InputError, printable
from auditkit.judging.calls import Completion, Request
from auditkit.judging.store import leases, schema
from auditkit.judging.store.claims import Claim
from auditkit.judging.store.database import Database, open_database
from auditkit.judging.store.rows import (
    Answer,
    Game,
    Rating,
    Row,
    Run,
    T,
    completion_of,
    completion_row,
    record_of,
    record_row,
    run_of,
    run_row,
)
from auditkit.judging.store.statements import chunks, keys_in, put

if TYPE_CHECKING:
    from auditkit.judging.store.writer import Writer

__all__ = ["Store"]

_TABLES: Final[Mapping[type, Table]] = {Answer: schema.answers, Game: schema.games, Rating: schema.ratings}
#: Rows read at once: few enough that memory stays flat, whatever a row holds.
_PAGE: Final = 1_000
#: What a completion is made of: not the messages, which are as long again.
_RESULT: Final = tuple(c for c in schema.completions.c if c.name not in ("messages", "params"))


class Store:
    """An open store (see `auditkit.judging.store`). Any thread may use it; `close` it, or use it in a ``with``."""

    def __init__(self, database: Database, clock: Callable[[], float] | None = None) -> None:
        self._database = database
        self._clock = clock
        self._runs: dict[str, int] = {}

    @classmethod
    def open(
        cls, where: str | Path, *, timeout: float = 30.0, clock: Callable[[], float] | None = None
    ) -> Store:
        """Open a store, making or migrating its tables.

        Args:
            where: A path or ``sqlite:///PATH`` (made if it is not there), or ``postgresql://USER@HOST/DATABASE``.
            timeout: How long to wait for a lock, or for a Postgres server that went away, in seconds.
            clock: The clock of leases, in seconds; None: the machine's monotonic clock for SQLite, the server's
                for Postgres.

        Raises:
            InputError: An address of another kind, a file that is no store, corrupt or not writable, or a store of
                a newer auditkit.
            StoreError: The store is locked, its disk is full, or its server cannot be reached.
        """
        return cls(open_database(where, timeout), clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Where the store is, without a password."""
        return self._database.name

    def close(self) -> None:
        """Close the store's connections."""
        self._database.close()

    # --- completions ------------------------------------------------------------------------------------------------

    def known(self, keys: Iterable[str]) -> set[str]:
        """Return those of the content keys `keys` whose completion is stored."""
        return self._database.read(partial(keys_in, table=schema.completions, keys=sorted(set(keys))))

    def iter_completions(self, keys: Iterable[str]) -> Iterator[tuple[str, Completion]]:
        """Yield the stored completions of `keys` with their keys, page by page; keys that are not stored are left out."""
        for chunk in chunks(keys, _PAGE):
            query = select(*_RESULT).where(schema.completions.c.key.in_(chunk))
            for row in self._rows(query):
                yield row["key"], self._decoded(partial(completion_of, row), "completions", row)

    def completions(self, keys: Iterable[str]) -> dict[str, Completion]:
        """Return the stored completions of `keys` by content key."""
        return dict(self.iter_completions(keys))

    def put_completions(self, pairs: Iterable[tuple[Request, Completion]]) -> None:
        """Store completions, all of them or none. One that is stored already stays as it is."""
        self.commit([(schema.completions, completion_row(*pair)) for pair in pairs])

    # --- runs -------------------------------------------------------------------------------------------------------

    def put_run(self, run: Run) -> Run:
        """Store a run unless one of its name is there; return the stored one, which the caller compares.

        Raises:
            InputError: The name is empty or longer than 255 characters.
        """
        if not 0 < len(run.name) <= 255:
            raise InputError(f"a run's name has 1 to 255 characters, got {len(run.name)}")
        row = run_row(run)

        def work(connection: Connection) -> Row:
            found = connection.execute(_run_named(row["name"])).mappings().first()
            if found is None:
                connection.execute(_insert_run(connection, row))
                found = connection.execute(_run_named(row["name"])).mappings().one()
            return dict(found)

        return run_of(self._database.write(work))

    def run(self, name: str) -> Run | None:
        """Return the run of a name, None if there is none."""
        return next((run for run in self.runs() if run.name == name), None)

    def runs(self) -> list[Run]:
        """Return every run, oldest first."""
        return [
            self._decoded(partial(run_of, row), "runs", row)
            for row in self._rows(select(schema.runs).order_by(schema.runs.c.id))
        ]
