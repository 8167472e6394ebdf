"""What goes wrong with a store: one clear line, and nothing lost that was acknowledged."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditkit.errors import AuditkitError, InputError
from auditkit.judging.calls import Completion, Message, Request
from auditkit.judging.store import Game, Run, Store, StoreError

if TYPE_CHECKING:
    from tests.judging.postgres_server import PostgresServer

pytest_plugins = ["tests.judging.postgres_server"]

CHILD = Path(__file__).with_name("store_child.py")


def request(number: int) -> Request:
    return Request("openai/m", (Message("user", f"question {number}"),), {"temperature": 0})


def child(*arguments: object, before: tuple[str, ...] = ()) -> Any:
    """Run a task of `store_child.py` and return what it says."""
    command = [*before, sys.executable, str(CHILD), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a run, a game and fifty completions of some size."""
    path = tmp_path / "store.sqlite"
    with Store.open(path) as store:
        store.put_run(Run("r"))
        store.put_games("r", [Game("p", "m", "o", "j", "s", "unknown", outcome=0.5)])
        store.put_completions((request(i), Completion("x" * 3_000)) for i in range(50))
    return path


def one_line(error: AuditkitError, code: int) -> str:
    assert error.exit_code == code
    assert "\n" not in str(error)
    return str(error)


# --- kill -9 and full disks -----------------------------------------------------------------------------------------


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Ten times a process is killed while eight tasks put: every put that returned is there, the file is sound."""
    path = tmp_path / "store.sqlite"
    said = child("kills", path, 10, 20261123)
    assert len(said["acknowledged"]) > 50
    assert set(said["checks"]) == {"ok"}
    with Store.open(path) as store:
        stored = store.completions(request(number).key for number in said["acknowledged"])
    assert {c.text.split()[1] for c in stored.values()} == {str(number) for number in said["acknowledged"]}


def on_a_disk(space: Path, prepare: str) -> tuple[str, ...]:
    """Return what runs a command with a file system of 3 MB in the folder `space`, after the shell's `prepare`."""
    unshare = shutil.which("unshare")
    script = f'mount -t tmpfs -o size=3m none "$1" && {prepare} && shift && exec "$@"'
    wrapper = (unshare or "", "-rm", "sh", "-c", script, "sh", str(space))
    if unshare is None or subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    return wrapper


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    """On a disk of 3 MB the store fills up, says so, and still has every completion that it acknowledged."""
    said = child("fill", tmp_path / "store.sqlite", before=on_a_disk(tmp_path, "true"))
    assert said["error"].startswith("StoreError 4 ")
    assert "the disk" in said["error"]
    assert "nothing committed is lost" in said["error"]
    assert said["known"] == said["acknowledged"] > 20


@pytest.mark.slow
def test_a_disk_that_is_full_before_is_one_line(tmp_path: Path) -> None:
    """A store cannot be made on a disk without room, and that is all it says."""
    wrapper = on_a_disk(tmp_path, 'head -c 3m /dev/zero > "$1/filler"')
    assert child("fill", tmp_path / "store.sqlite", before=wrapper)["error"].startswith("StoreError 4 ")


@pytest.mark.slow
def test_a_disk_that_may_not_be_written_is_one_line(path: Path) -> None:
    """On a read-only disk the error is the user's to mend, and names the file."""
    wrapper = on_a_disk(path.parent, 'mount -o remount,ro none "$1"')
    assert child("fill", path, before=wrapper)["error"].startswith(f"InputError 2 {path}: the store cannot be opened")


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_one_line(tmp_path: Path) -> None:
    """A quota stops the store as a full disk does."""
    said = child(
        "fill", tmp_path / "store.sqlite", before=("sh", "-c", 'ulimit -f 2048; trap "" XFSZ; exec "$@"', "sh")
    )
    assert said["error"].startswith("StoreError 4 ")
    assert "full" in said["error"]
    assert said["known"] == said["acknowledged"] > 20


# --- locked ---------------------------------------------------------------------------------------------------------


@contextmanager
def locked_by_sqlite(path: Path) -> Iterator[None]:
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        blocker.rollback()
        blocker.close()


@contextmanager
def locked_by_another_auditkit(path: Path) -> Iterator[None]:
    descriptor = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("locked", [locked_by_sqlite, locked_by_another_auditkit])
def test_a_locked_store_says_so_and_works_again(path: Path, locked: Any) -> None:
    """Somebody else writes for longer than we wait: one line that names the file; reading goes on, writing later too."""
    with Store.open(path, timeout=0.2) as store:
        with locked(path):
            with pytest.raises(StoreError) as caught:
                store.put_run(Run("other"))
            line = one_line(caught.value, 4)
            assert line.startswith(f"{path}: the store is locked by another process (waited 0.2 s)")
            assert len(list(store.games("r"))) == 1
        store.put_run(Run("other"))


def test_a_store_locked_against_reading_cannot_be_opened(path: Path) -> None:
    """A program that holds the whole file makes opening it fail with the same line."""
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("PRAGMA locking_mode = EXCLUSIVE")
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked by another process"):
        Store.open(path, timeout=0.2)
    blocker.rollback()
    blocker.close()


def test_a_short_lock_is_waited_for(path: Path) -> None:
    """A lock that ends in time is never noticed."""
    with Store.open(path) as store:
        lock = locked_by_another_auditkit(path)
        lock.__enter__()
        threading.Timer(0.2, lambda: lock.__exit__(None, None, None)).start()
        store.put_run(Run("other"))
        assert store.run("other") is not None


def test_a_store_closes_while_another_writes(path: Path) -> None:
    """Leaving is no error because somebody else is writing."""
    store = Store.open(path, timeout=0.1)
    with locked_by_another_auditkit(path):
        store.close()


def test_a_folder_that_vanishes_is_one_line(path: Path) -> None:
    """A run folder that was moved away under the store is said to be gone."""
    store = Store.open(path)
    path.parent.rename(path.parent.with_name("moved"))
    with pytest.raises(StoreError, match="No such file") as caught:
        store.put_run(Run("other"))
    one_line(caught.value, 4)
    store.close()


# --- files that are no store ----------------------------------------------------------------------------------------


def refused(where: str | Path, match: str) -> str:
    with pytest.raises(InputError, match=match) as caught:
        Store.open(where, timeout=0.2)
    return one_line(caught.value, 2)


def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Text, and an SQLite database of something else, are not taken over."""
    text = tmp_path / "notes.txt"
    text.write_text("not a database " * 100, encoding="utf-8")
    assert str(text) in refused(text, "corrupt or no SQLite file")
    assert text.read_text(encoding="utf-8") == "not a database " * 100

    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.commit()
    connection.close()
    before = other.read_bytes()
    refused(other, "database of something else")
    assert other.read_bytes() == before


def test_a_corrupt_store_is_refused(path: Path) -> None:
    """Overwritten pages are met with one line that says what to do, when they are read at the latest."""
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(InputError, match="corrupt") as caught, Store.open(path) as store:
        store.known([request(1).key])
    assert "restore a copy" in one_line(caught.value, 2)


def test_a_truncated_store_is_refused(path: Path) -> None:
    """So is a file that lost its end."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="corrupt"), Store.open(path) as store:
        list(store.iter_completions(request(i).key for i in range(50)))


@pytest.mark.parametrize("column", ["logprobs", "text"])
def test_a_row_that_something_else_changed_is_named(path: Path, column: str) -> None:
    """A value that we would not have written is an error that names its row, not a wrong result."""
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE completions SET {column} = ? WHERE key = ?", (17, request(3).key))  # noqa: S608
    connection.commit()
    connection.close()
    if column == "text":  # a number in a text column is a text to SQLite
        connection = sqlite3.connect(path)
        connection.execute("UPDATE completions SET text = x'ff00' WHERE key = ?", (request(3).key,))
        connection.commit()
        connection.close()
    with Store.open(path) as store, pytest.raises(InputError, match=f"completions {request(3).key}"):
        store.completions([request(3).key])


@pytest.mark.parametrize(
    ("where", "match"),
    [
        ("mysql://me@host/db", "no store speaks mysql://"),
        ("nonsense://", "nonsense://"),
        ("sqlite://", "names no file"),
        ("sqlite:///store.sqlite?mode=ro", "takes no options"),
        ("sqlite:///:memory:", "names no file"),
        ("postgresql+asyncpg://host/db", "no store speaks"),
        ("postgresql://host:port/db", "postgresql://"),
        ("/proc/nowhere/store.sqlite", "no store can be made here"),
        ("/dev/null/store.sqlite", "no store can be made here"),
        ("a\x00b", "no store can be made here"),
    ],
)
def test_an_address_that_is_none_is_refused(where: str, match: str) -> None:
    """What cannot be a store is refused with what can, and nothing secret in the line."""
    refused(where, match)


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    """A run folder given instead of its store gets the hint."""
    assert "store.sqlite" in refused(tmp_path, "this is a folder")


def test_a_path_may_hold_any_characters(tmp_path: Path) -> None:
    """A path is taken as it is, not as an address; missing folders are made."""
    path = tmp_path / "50% of #1?&=;" / "store.sqlite"
    with Store.open(path) as store:
        store.put_run(Run("r"))
    with Store.open(f"sqlite:///{tmp_path}/plain.sqlite") as store:
        assert store.runs() == []
    assert path.is_file()
    assert sorted(p.name for p in path.parent.iterdir()) == ["store.sqlite"]


# --- Postgres -------------------------------------------------------------------------------------------------------


def test_a_server_that_restarts_is_waited_for(postgres: PostgresServer) -> None:
    """A server that goes away for a moment costs time, not the run; one that stays away is one line."""
    with (
        Store.open(postgres.emptied(), timeout=20) as store,
        Store.open(postgres.url("postgres"), timeout=0.3) as hasty,
    ):
        store.put_run(Run("before"))
        postgres.stop()
        try:
            with pytest.raises(StoreError) as caught:
                hasty.put_run(Run("never"))
            assert "the store's server cannot be reached" in one_line(caught.value, 4)
            starting = threading.Timer(0.3, postgres.start)
            starting.start()
            store.put_run(Run("after"))
            starting.join()
        finally:
            if postgres._process is None:
                postgres.start()
        assert [run.name for run in store.runs()] == ["before", "after"]


def test_connections_that_break_are_made_anew(postgres: PostgresServer) -> None:
    """A server that drops every connection, idle or not, is not noticed."""
    drop = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()"
    )
    with Store.open(postgres.emptied()) as store:
        for number in range(3):
            store.put_completions([(request(number), Completion("x"))])
            postgres.execute(drop)
        assert len(store.known(request(i).key for i in range(3))) == 3


def test_a_server_that_is_not_there_is_one_line(postgres: PostgresServer) -> None:
    """No server, no such database or option: one line at once, without the password; it can be resumed when it is there."""
    for url, match in (
        ("postgresql://me:hunter2@127.0.0.1:1/db", "cannot be reached.*refused"),
        (postgres.url("missing"), 'database "missing" does not exist'),
        (postgres.url("postgres?hunter=2"), "invalid connection option"),
    ):
        with pytest.raises(StoreError, match=match) as caught:
            Store.open(url)
        assert "hunter2" not in one_line(caught.value, 4)


def test_a_database_of_another_encoding_is_refused(postgres: PostgresServer) -> None:
    """A database that cannot hold every character is refused before anything is stored."""
    url = postgres.database("ENCODING 'LATIN1' TEMPLATE template0")
    assert "LATIN1" in refused(url, "a store needs UTF8")


def test_postgres_without_its_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg a Postgres address is refused with the extra that brings it."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "pip install 'judge-auditkit[postgres]'" in refused("postgresql://host/db", "needs the package psycopg")
