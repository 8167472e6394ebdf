"""A real Postgres server for tests: Debian's binaries, a throw-away data folder, a free port of the loopback.

A pytest plugin: a test module that names it in `pytest_plugins` has the fixtures `postgres` (the server, started
once a session) and `store_url` (a new store's address, of each kind in turn).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import pytest

__all__ = ["PostgresServer", "postgres", "postgres_server", "store_url"]

_BINARIES: Final = Path("/usr/lib/postgresql")
#: Nothing that a test stores must outlive a power cut, so that the server starts and commits faster.
_OPTIONS: Final = (
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "max_connections=40",
    "listen_addresses=127.0.0.1",
)


@dataclass
class PostgresServer:
    """A server under way. `database` makes a new, empty database and returns its URL."""

    port: int
    folder: Path
    command: list[str]
    _numbers: Iterator[int] = field(default_factory=count)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with suppress(Exception):
                self.execute("SELECT 1")
                return
            time.sleep(0.05)
        raise RuntimeError(f"Postgres did not start: {(self.folder / 'log').read_text(errors='replace')}")

    def stop(self) -> None:
        """Stop the server at once, breaking its connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)  # Postgres' immediate shutdown
            self._process.wait(30)
            self._process = None

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement as the superuser and return its rows."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://tester@127.0.0.1:{self.port}/{database}"

    def emptied(self) -> str:
        """Return the URL of a database that holds no store: cheaper than a new one, for one test at a time."""
        self.execute("DROP SCHEMA IF EXISTS auditkit CASCADE")
        return self.url("postgres")

    def database(self, options: str = "") -> str:
        """Make a new database and return its URL."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} {options}")
        return self.url(name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _unprivileged() -> list[str]:
    """Return what runs a command as somebody else: Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("Postgres does not run as root, and there is no setpriv to leave it")
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server while the block lasts; skip the test where Postgres is not installed."""
    found = sorted(_BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip(f"Postgres is not installed (no {_BINARIES}/*/bin/initdb)")
    pytest.importorskip("psycopg", reason="psycopg is not installed (extra `postgres`)")
    binaries, other = found[-1].parent, _unprivileged()
    with tempfile.TemporaryDirectory(prefix="auditkit-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if other:
            os.chown(folder, 65534, 65534)
        data = folder / "data"
        make = [*other, str(binaries / "initdb"), "-D", str(data), "-U", "tester", "-A", "trust", "-E", "UTF8"]
        make += ["--locale=C", "--no-instructions", "--no-sync"]
        subprocess.run(make, check=True, capture_output=True, cwd=folder)
        port = _free_port()
        options = [
            part
            for option in (*_OPTIONS, f"port={port}", f"unix_socket_directories={folder}")
            for part in ("-c", option)
        ]
        server = PostgresServer(port, folder, [*other, str(binaries / "postgres"), "-D", str(data), *options])
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres server; tests that need one skip where it is not installed."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that does not exist yet: an SQLite file, then a Postgres database."""
    if request.param == "sqlite":
        return str(tmp_path / "store.sqlite")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.emptied()
