"""The database under a store: opening it, transactions, and what its errors mean.

Writers of one SQLite file take turns under a lock on its folder, checkpoints included. SQLite locks too, but
before 3.51.3 a checkpoint that meets another process's write can lose pages (its "WAL-reset bug"), and its way of
waiting wakes late; SQLite's own locks still keep out programs that are not auditkit.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url, text

from auditkit.errors import AuditkitError, InputError, printable
from auditkit.judging.store import migrations
from auditkit.judging.store.errors import StoreError

__all__ = ["Database", "open_database"]

T = TypeVar("T")

#: Postgres has a schema of ours, so that a database may hold other things too.
_HOME: Final = "auditkit"
_KINDS: Final = "a path, sqlite:///PATH or postgresql://USER@HOST/DATABASE"
#: Postgres' codes for a broken connection, a transaction that lost to another, a server that goes down or comes up.
_PASSING: Final = ("08", "40001", "40P01", "57P01", "57P02", "57P03")


class Database:
    """An open database whose tables are there and current. Any thread may use it."""

    def __init__(self, engine: Engine, name: str, folder: Path | None, timeout: float) -> None:
        self._reading = engine
        self._writing = engine.execution_options(auditkit_begin="IMMEDIATE")
        self._folder = folder
        self._timeout = timeout
        self.name = name
        #: How long to try again where Postgres gave up, in seconds: not before it was reached once.
        self.patience = 0.0
        self.dialect: Final = engine.dialect.name

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return ``work(connection)``, run in a transaction that changes nothing."""
        return self._patiently(partial(self._once, self._reading.connect, work))

    def write(self, work: Callable[[Connection], T]) -> T:
        """Return ``work(connection)``, committed. `work` may run more than once and must come to the same each time."""
        return self._patiently(partial(self._once, self._writing.begin, work, exclusive=True))

    def _once(
        self,
        connect: Callable[[], Any],  # a context manager of a connection: Engine.connect and Engine.begin differ in type
        work: Callable[[Connection], T],
        *,
        exclusive: bool = False,
    ) -> T:
        with self._turn() if exclusive else nullcontext(), connect() as connection:
            return work(connection)

    def _patiently(self, step: Callable[[], T]) -> T:
        deadline = time.monotonic() + self.patience
        pause = 0.05
        while True:
            try:
                with explained(self.name, self._timeout):
                    return step()
            except _Passing as error:
                if time.monotonic() + pause > deadline:
                    raise StoreError(str(error)) from error.__cause__
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the right to write: one writer of an SQLite file at a time, whichever process or thread it is in."""
        if self._folder is None:
            yield
            return
        deadline = time.monotonic() + self._timeout
        pause = 0.0005
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if time.monotonic() > deadline:
                    raise _locked(self.name, self._timeout)
                time.sleep(pause)
                pause = min(2 * pause, 0.01)
            yield
        finally:
            os.close(descriptor)

    def use_wal(self) -> None:
        """Let readers of an SQLite file go on while somebody writes. A file system that cannot do that stays as it is."""

        def work(connection: Connection) -> None:
            # By the driver, because the mode changes only outside a transaction.
            raw = connection.connection.driver_connection
            if raw is not None:
                raw.execute("PRAGMA journal_mode = WAL")

        self._patiently(partial(self._once, self._reading.connect, work, exclusive=True))

    def close(self) -> None:
        """Close every connection. The last one of an SQLite file moves the log into the file, which is writing."""
        try:
            with self._turn():
                self._reading.dispose()
        except (StoreError, OSError):
            # Whoever writes for that long has the file open, so that this is not the last connection.
            self._reading.dispose()


# --- opening --------------------------------------------------------------------------------------------------------


def open_database(where: str | Path, timeout: float) -> Database:
    """Open the database at a path or URL, and make or migrate its tables.

    Raises:
        InputError: No such kind of URL, a file that is no store, corrupt or not writable, or a newer auditkit's.
        StoreError: It is locked, its disk is full, or its server cannot be reached.
    """
    url = _url(where)
    if url.get_backend_name() == "sqlite":
        folder: Path | None = _folder(url)
        name = printable(url.database or "")
        engine = _sqlite(url, timeout)
    else:
        folder, name = None, str(URL.create("postgresql", url.username, None, url.host, url.port, url.database))
        engine = _postgres(url)
    database = Database(engine, name, folder, timeout)
    try:
        if not database.read(lambda connection: migrations.is_current(connection, name)):
            database.write(lambda connection: migrations.migrate(connection, name))
        if folder:
            database.use_wal()
        else:
            database.read(partial(_check_encoding, name=name))
    except BaseException:
        engine.dispose()
        raise
    database.patience = timeout
    return database


def _url(where: str | Path) -> URL:
    text_of = str(where)
    if isinstance(where, Path) or "://" not in text_of:
        return URL.create("sqlite", database=text_of)
    scheme = text_of.partition("://")[0]
    try:
        url = make_url(text_of)
    except (exc.ArgumentError, ValueError) as error:
        raise InputError(f"this is no store's address: it starts with {scheme}://", mend=f"give {_KINDS}") from error
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername != "sqlite":
        raise InputError(f"no store speaks {scheme}://", mend=f"give {_KINDS}")
    if not url.database or url.database == ":memory:":
        raise InputError("a store must outlive the process, and this address names no file", mend=f"give {_KINDS}")
    if url.query:
        raise InputError("the address of an SQLite store takes no options", path=url.database)
    return url


def _folder(url: URL) -> Path:
    path = Path(url.database or "")
    if "\0" in str(path):
        raise InputError("no store can be made here: a path has no NUL", path=path)
    try:
        if path.is_dir():
            raise InputError("this is a folder; a store is a file", path=path, mend="name a file in it: store.sqlite")
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise InputError(f"no store can be made here: {error}", path=path) from error
    return path.parent


def _sqlite(url: URL, timeout: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": timeout, "check_same_thread": False}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own idea of when a transaction begins leaves out reads and table changes; `begin` is ours.
        connection.isolation_level = None
        # An acknowledged row outlives a power cut, not only the process.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads before it writes must take the lock first, or it fails where it should wait.
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('auditkit_begin', 'DEFERRED')}")

    return engine


def _postgres(url: URL) -> Engine:
    # A server that vanishes without a word is noticed within a minute, not after the two hours of TCP's default.
    defaults = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
    try:
        return create_engine(
            url,
            connect_args={name: value for name, value in defaults.items() if name not in url.query},
            execution_options={"schema_translate_map": {None: _HOME}},
            hide_parameters=True,  # prompts and answers have no place in an error
        )
    except ModuleNotFoundError as error:
        raise InputError(
            "a store on Postgres needs the package psycopg", mend="pip install 'judge-auditkit[postgres]'"
        ) from error


def _check_encoding(connection: Connection, name: str) -> None:
    encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise InputError(f"the database's encoding is {encoding}; a store needs UTF8", path=name)


# --- what errors mean -----------------------------------------------------------------------------------------------


class _Passing(StoreError):
    """A fault of Postgres that a second try may not meet."""


def _locked(name: str, timeout: float) -> StoreError:
    return StoreError(
        f"{name}: the store is locked by another process (waited {timeout:g} s); "
        "when that has ended, run the same command again"
    )


@contextmanager
def explained(name: str, timeout: float) -> Iterator[None]:
    """Turn what the database raises into one line that says what is wrong and what to do."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _explain(error.orig, name, timeout, lost=error.connection_invalidated) from error
    except sqlite3.Error as error:
        raise _explain(error, name, timeout) from error
    except (exc.TimeoutError, OSError) as error:
        raise StoreError(f"{name}: the store failed: {printable(error)}") from error


def _explain(error: BaseException | None, name: str, timeout: float, *, lost: bool = False) -> AuditkitError:
    said = printable(str(error).strip().partition("\n")[0])
    if isinstance(error, sqlite3.Error):
        return _explain_sqlite(getattr(error, "sqlite_errorcode", 0) & 0xFF, said, name, timeout)
    code = getattr(error, "sqlstate", None)
    if code == "53100":
        return _full(name)
    unreachable = code is None and type(error).__name__ in ("OperationalError", "ConnectionTimeout")
    if lost or unreachable or (code or "").startswith(_PASSING):
        return _Passing(f"{name}: the store's server cannot be reached or gave up: {said}")
    return StoreError(f"{name}: the store failed: {said}")


def _explain_sqlite(code: int, said: str, name: str, timeout: float) -> AuditkitError:
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return _locked(name, timeout)
    if code == sqlite3.SQLITE_FULL:
        return _full(name)
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(
            f"{name}: the disk failed or is full ({said}); nothing committed is lost: "
            "make room, then run the same command again"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return InputError(
            f"the store is corrupt or no SQLite file ({said})",
            path=name,
            mend="restore a copy, or move it away to start anew",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return InputError(f"the store cannot be opened for writing ({said})", path=name)
    return StoreError(f"{name}: the store failed: {said}")


def _full(name: str) -> StoreError:
    return StoreError(
        f"{name}: the disk is full; nothing committed is lost: make room, then run the same command again"
    )
