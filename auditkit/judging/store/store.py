"""The store's door: what can be asked of it and put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from sqlalchemy import Column, Connection, Select, Table, select, tuple_
from sqlalchemy import Row as SqlRow

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
    columns_of,
    completion_of,
    completion_row,
    record_of,
    record_row,
    run_of,
    run_row,
    to_text,
)
from auditkit.judging.store.statements import among, chunks, insert, keys_in, put

if TYPE_CHECKING:
    from auditkit.judging.store.writer import Writer

__all__ = ["Store"]

R = TypeVar("R")

_TABLES: Final[Mapping[type, Table]] = {Answer: schema.answers, Game: schema.games, Rating: schema.ratings}
#: Rows read at once: few enough that memory stays flat, whatever a row holds.
_PAGE: Final = 1_000
#: What a completion is made of: not the messages, which are as long again.
_RESULT: Final = tuple(c for c in schema.completions.c if c.name not in ("messages", "params"))


class Store:
    """An open store (see `auditkit.judging.store`). Any thread may use it; `close` it, or use it in a ``with``."""

    def __init__(self, database: Database, clock: leases.Clock = None) -> None:
        self._database = database
        self._clock = clock
        self._runs: dict[str, int] = {}

    @classmethod
    def open(cls, where: str | Path, *, timeout: float = 30.0, clock: leases.Clock = None) -> Store:
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
        wanted = sorted(set(keys))
        return self._database.read(lambda connection: keys_in(connection, schema.completions, wanted))

    def iter_completions(self, keys: Iterable[str]) -> Iterator[tuple[str, Completion]]:
        """Yield the stored completions of `keys` with their keys, page by page; a key that is not stored is left out."""
        for row in self._pages(select(*_RESULT), schema.completions, keys):
            yield row["key"], self._decoded(completion_of, schema.completions, row)

    def completions(self, keys: Iterable[str]) -> dict[str, Completion]:
        """Return the stored completions of `keys` by content key."""
        return dict(self.iter_completions(keys))

    def put_completions(self, pairs: Iterable[tuple[Request, Completion]]) -> None:
        """Store completions, all of them or none. One that is stored already stays as it is."""
        self.commit([(schema.completions, completion_row(*pair)) for pair in pairs])

    # --- runs -------------------------------------------------------------------------------------------------------

    def put_run(self, run: Run) -> Run:
        """Store a run unless one of its name is there; return the stored one, for the caller to compare.

        Raises:
            InputError: The name is empty or longer than 255 characters.
        """
        row = run_row(run)
        if not 0 < len(row["name"]) <= 255:
            raise InputError(f"a run's name has 1 to 255 characters, got {len(row['name'])}: {printable(run.name)}")

        def work(connection: Connection) -> Row:
            new = insert(connection.dialect.name, schema.runs).values(row).on_conflict_do_nothing()
            connection.execute(new)
            found = connection.execute(select(schema.runs).where(schema.runs.c.name == row["name"]))
            return dict(found.mappings().one())

        return self._decoded(run_of, schema.runs, self._database.write(work))

    def run(self, name: str) -> Run | None:
        """Return the run of a name, None if there is none."""
        rows = self._rows(select(schema.runs).where(schema.runs.c.name == to_text(name)))
        return self._decoded(run_of, schema.runs, rows[0]) if rows else None

    def runs(self) -> list[Run]:
        """Return every run, oldest first."""
        rows = self._rows(select(schema.runs).order_by(schema.runs.c.id))
        return [self._decoded(run_of, schema.runs, row) for row in rows]

    # --- games, ratings, answers ------------------------------------------------------------------------------------

    def put_games(self, run: str, games: Iterable[Game]) -> None:
        """Store games of a run, all or none. A game of the same key is replaced: putting one twice changes nothing.

        Raises:
            InputError: There is no such run (see `put_run`).
        """
        self.commit(self.rows_of(run, games))

    def put_ratings(self, run: str, ratings: Iterable[Rating]) -> None:
        """Store ratings of a run, as `put_games` does."""
        self.commit(self.rows_of(run, ratings))

    def put_answers(self, run: str, answers: Iterable[Answer]) -> None:
        """Store answers of a run, as `put_games` does."""
        self.commit(self.rows_of(run, answers))

    def games(self, run: str) -> Iterator[Game]:
        """Yield a run's games in the order of their keys, whatever order they were played in; memory stays flat.

        Raises:
            InputError: There is no such run, or a row that cannot be read.
        """
        return self._records(Game, run)

    def ratings(self, run: str) -> Iterator[Rating]:
        """Yield a run's ratings in the order of their keys."""
        return self._records(Rating, run)

    def answers(self, run: str) -> Iterator[Answer]:
        """Yield a run's answers in the order of their keys."""
        return self._records(Answer, run)

    def columns(
        self, kind: type[Game | Rating], runs: Iterable[str], names: Sequence[str]
    ) -> Iterator[dict[str, list[Any]]]:
        """Yield fields of the games (or ratings) of several runs, page by page, each as a list: a fraction of the time
        and memory that records take.

        Args:
            kind: `Game` or `Rating`.
            runs: Names of the runs.
            names: Which fields.

        Raises:
            InputError: There is no such run, or a row that cannot be read.
        """
        table = _TABLES[kind]
        for rows in self._pages_of(table, list(runs), [table.c[name] for name in names]):
            try:
                yield columns_of(kind, names, [row[2:] for row in rows])
            except (TypeError, ValueError) as error:
                raise self._unreadable(error, table, f"{rows[0].key} and the rows after it") from error

    def game_keys(self, *runs: str, judge_sha256: str | None = None) -> set[str]:
        """Return the keys (`game_key`) of the games of `runs`, of one version of the judge if `judge_sha256` is given."""
        return self._keys(schema.games, runs, judge_sha256)

    def rating_keys(self, *runs: str, judge_sha256: str | None = None) -> set[str]:
        """Return the keys (`rating_key`) of the ratings of `runs`, as `game_keys` does."""
        return self._keys(schema.ratings, runs, judge_sha256)

    # --- claims -----------------------------------------------------------------------------------------------------

    def claim(self, keys: Iterable[str], owner: str, ttl: float) -> Claim:
        """Claim calls before making them (see `auditkit.judging.store.leases`).

        Args:
            keys: Content keys of the requests.
            owner: Who claims, from `new_owner`. What it holds already it is granted again.
            ttl: Seconds until the lease is over unless it is renewed; longer than a call can take.
        """
        wanted = list(keys)
        return self._database.write(lambda connection: leases.claim(connection, wanted, owner, ttl, self._clock))

    def renew(self, owner: str) -> None:
        """Start every lease of `owner` anew."""
        self._database.write(lambda connection: leases.renew(connection, owner, self._clock))

    def release(self, owner: str, keys: Iterable[str] | None = None) -> None:
        """Give up the leases of `owner` on `keys`, or all of them. A stored completion's lease is over by itself."""
        wanted = None if keys is None else list(keys)
        self._database.write(lambda connection: leases.release(connection, owner, wanted))

    # --- writing while a run goes on --------------------------------------------------------------------------------

    def writer(self, *, batch: int = 500, interval: float = 0.005, capacity: int = 2_000, ttl: float = 60.0) -> Writer:
        """Return the writer of an asyncio program (see `Writer`); use it in an ``async with``.

        Args:
            batch: Most puts committed together.
            interval: How long a put waits for others to be committed with, in seconds.
            capacity: Puts that may wait at once; a further one waits for room.
            ttl: Seconds after which the claims of a writer that died are anybody's. A living one renews them.
        """
        from auditkit.judging.store.writer import Writer

        return Writer(self, batch=batch, interval=interval, capacity=capacity, ttl=ttl)

    def rows_of(self, run: str, records: Iterable[Answer | Game | Rating]) -> list[tuple[Table, Row]]:
        """Return the rows of a run's records with their tables, for `commit`."""
        run_id = self._run_id(run)
        return [(_TABLES[type(record)], {"run_id": run_id, **record_row(record)}) for record in records]

    def commit(self, rows: Sequence[tuple[Table, Row]]) -> None:
        """Put rows into their tables in one transaction."""
        if not rows:
            return
        tables: dict[str, tuple[Table, list[Row]]] = {}
        for table, row in rows:
            tables.setdefault(table.name, (table, []))[1].append(row)

        def work(connection: Connection) -> None:
            # In one order in every process, so that two never wait for each other in a circle.
            for _, (table, of_table) in sorted(tables.items()):
                put(connection, table, of_table)

        self._database.write(work)

    # --- reading ----------------------------------------------------------------------------------------------------

    def _rows(self, query: Select[Any]) -> list[Row]:
        return self._database.read(lambda connection: [row._asdict() for row in connection.execute(query)])

    def _decoded(self, decode: Callable[[Mapping[str, Any]], R], table: Table, row: Mapping[str, Any]) -> R:
        try:
            return decode(row)
        except (TypeError, ValueError) as error:
            raise self._unreadable(error, table, row.get("key", row.get("name"))) from error

    def _unreadable(self, error: Exception, table: Table, row: object) -> InputError:
        return InputError(
            f"a row cannot be read: {error}",
            path=self.name,
            record=f"{table.name} {row}",
            mend="the store was changed by something else; restore a copy",
        )

    def _run_id(self, run: str) -> int:
        if run not in self._runs:
            rows = self._rows(select(schema.runs.c.id).where(schema.runs.c.name == to_text(run)))
            if not rows:
                raise InputError(f"the store has no run named {printable(run)!r}", path=self.name)
            self._runs[run] = rows[0]["id"]
        return self._runs[run]

    def _pages(self, query: Select[Any], table: Table, keys: Iterable[str]) -> Iterator[Row]:
        # A query a page: one for all would hold a transaction open, and with it the log of all that is written meanwhile.
        for chunk in chunks(keys, _PAGE):
            yield from self._rows(query.where(among(self._database.dialect, table.c.key, chunk)).order_by(table.c.key))

    def _pages_of(
        self, table: Table, runs: Sequence[str], columns: Sequence[Column[Any]]
    ) -> Iterator[Sequence[SqlRow[Any]]]:
        """Yield the key, run number and `columns` of the rows of `runs`, page by page, in the order of their keys."""
        identity = (table.c.key, table.c.run_id)
        query = select(*identity, *columns).where(table.c.run_id.in_([self._run_id(run) for run in runs]))
        query = query.order_by(*identity).limit(_PAGE)
        page = query
        while rows := self._database.read(partial(_fetched, page)):
            yield rows
            page = query.where(tuple_(*identity) > tuple_(*rows[-1][:2]))

    def _records(self, kind: type[T], run: str) -> Iterator[T]:
        table = _TABLES[kind]
        for rows in self._pages_of(table, [run], [c for c in table.c if c.name not in ("key", "run_id")]):
            for row in rows:
                yield self._decoded(partial(record_of, kind), table, row._asdict())

    def _keys(self, table: Table, runs: Iterable[str], judge_sha256: str | None = None) -> set[str]:
        query = select(table.c.key).where(table.c.run_id.in_([self._run_id(run) for run in runs]))
        if judge_sha256 is not None:
            query = query.where(table.c.judge_sha256 == judge_sha256)
        return self._database.read(lambda connection: set(connection.scalars(query)))


def _fetched(query: Select[Any], connection: Connection) -> Sequence[SqlRow[Any]]:
    return connection.execute(query).all()
