"""Every fault of a server, the disk and the store, as the user of the command meets it: a line, exit code 4, and a
second start that makes good what the first could not.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import stamina
from click.testing import CliRunner, Result

from auditkit.cli import main
from auditkit.formats import read
from auditkit.judging.calls import Rejected
from auditkit.judging.store import database
from tests.judging.test_store_faults import on_a_disk

if TYPE_CHECKING:
    from tests.judging.world import World

pytest_plugins = ["tests.judging.world"]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One attempt a call, without a wait: the waits have tests of their own."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    stamina.set_testing(True, attempts=1)
    yield
    stamina.set_testing(False)


def call(spec: Path, out: Path, *more: object) -> Result:
    """Call the command in this process."""
    arguments = ["run", str(spec), "--out", str(out), "--quiet", *map(str, more)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["auditkit", *arguments])  # what it tells the user to type again
        return CliRunner().invoke(main, arguments)


def said(done: Result) -> str:
    """Return what went to standard error, and check that it is no traceback."""
    assert "Traceback" not in done.stderr
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.stdout == ""
    return done.stderr


def test_each_fault_is_a_line_and_the_next_start_makes_it_good(
    world: World, server: Any, fault: Any, tmp_path: Path
) -> None:
    """A server that fails every call: what is wrong in one line, exit code 4, nothing published; then all of it."""
    world.files(prompts=2)
    timeout = f"timeout = {0.3 if fault.name == 'slow-loris' else 30.0}"
    spec = world.spec(run=f"concurrency = 2\n{timeout}")
    done = call(spec, tmp_path / "run")
    line = said(done)
    words = fault.words.replace("within 1 s", "within 0.3 s")
    assert done.exit_code == 4
    assert line.count("\n") == 1
    assert words in line
    assert ("the provider refuses all 4 requests" in line) == (fault.error is Rejected)
    assert "0 of 4 games are stored; to go on: auditkit run " in line
    server.reply(server.completion("[[A>B]]"))
    again = call(spec, tmp_path / "run")
    assert (again.exit_code, said(again)) == (0, "")
    games = read(tmp_path / "run").games
    assert len(games) == 4
    assert games["outcome"].notna().all()


def test_a_judge_that_loops_has_no_verdict_and_stops_nothing(world: World, server: Any, tmp_path: Path) -> None:
    """A reply that says the same for ever is cut at its limit, asked for again as the judge says, and counts as missing."""
    world.files(prompts=2)
    loop = "The first answer is better because the first answer is better because " * 40
    choice = {"index": 0, "message": {"role": "assistant", "content": loop}, "finish_reason": "length"}
    server.reply(server.completion(choices=[choice]))
    spec = world.spec(use="arena-hard-v0.1", run="concurrency = 2")
    done = call(spec, tmp_path / "run")
    assert (done.exit_code, said(done)) == (0, "")
    assert len(server.seen) == 8, "each game is asked for twice"
    games = read(tmp_path / "run").games
    assert len(games) == 4
    assert games["outcome"].isna().all()
    call(spec, tmp_path / "run")
    assert len(server.seen) == 8, "an unreadable reply was paid for and is kept"


def test_a_refusal_is_kept_and_is_no_verdict(world: World, server: Any, tmp_path: Path) -> None:
    """A judge that declines has answered: nothing is asked again on the next start."""
    world.files(prompts=2)
    refused = {"index": 0, "message": {"content": None, "refusal": "I will not judge this."}, "finish_reason": "stop"}
    server.reply(server.completion(choices=[refused]))
    spec = world.spec(run="concurrency = 2")
    for _ in range(2):
        assert call(spec, tmp_path / "run").exit_code == 0
    assert len(server.seen) == 4
    assert read(tmp_path / "run").games["outcome"].isna().all()


def test_a_full_disk_ends_the_run_and_with_room_it_goes_on(world: World, server: Any, tmp_path: Path) -> None:
    """On a disk of 3 MB a run of long replies stops with exit code 4; what was stored is not asked again elsewhere."""
    world.files(prompts=40)
    server.reply(server.completion("so " * 40_000 + "\n[[A>B]]"))
    disk = world.folder / "disk"
    disk.mkdir()
    spec = world.spec(run="concurrency = 4")
    copy = world.folder / "kept.sqlite"
    script = (
        f'"{sys.executable}" -m auditkit run "$1" --out "$2/run" --quiet; code=$?; '
        'cp "$2/run/store.sqlite" "$3"; cp "$2/run/store.sqlite-wal" "$3-wal" 2>/dev/null; exit $code'
    )
    command = (*on_a_disk(disk, "true"), "sh", "-c", script, "sh", str(spec), str(disk), str(copy))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "full" in done.stderr
    assert "nothing committed is lost" in done.stderr
    assert "Traceback" not in done.stderr
    asked = len(server.seen)
    assert 0 < asked < 80
    with sqlite3.connect(copy) as connection:
        kept = connection.execute("SELECT count(*) FROM completions").fetchone()[0]
    connection.close()
    assert kept > 0
    again = call(spec, world.folder / "run", "--store", copy)
    assert (again.exit_code, said(again)) == (0, "")
    assert len(server.seen) - asked == 80 - kept
    assert len(read(world.folder / "run").games) == 80


def test_a_corrupt_store_is_refused_before_anything_is_asked(world: World, server: Any, tmp_path: Path) -> None:
    """A line that names the file and says what to do; nothing is asked, nothing is overwritten."""
    world.files(prompts=2)
    spec = world.spec(run="concurrency = 2")
    (tmp_path / "run").mkdir()
    store = tmp_path / "run" / "store.sqlite"
    store.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 64)
    before = store.read_bytes()
    done = call(spec, tmp_path / "run")
    assert done.exit_code == 2
    assert "store.sqlite" in said(done)
    assert "restore a copy" in done.stderr
    assert server.seen == []
    assert store.read_bytes() == before


def test_a_locked_store_is_waited_for_and_then_named(
    world: World, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that never lets the store go: exit code 4 and how to go on; with the lock gone the run is whole."""
    opened = database.open_database
    monkeypatch.setattr("auditkit.judging.store.store.open_database", lambda where, timeout: opened(where, 0.3))
    world.files(prompts=2)
    spec = world.spec(run="concurrency = 2")
    assert call(spec, tmp_path / "run", "--limit", 1).exit_code == 0
    blocker = sqlite3.connect(tmp_path / "run" / "store.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    done = call(spec, tmp_path / "run")
    assert done.exit_code == 4
    assert "locked by another process" in said(done)
    assert "run the same command again" in done.stderr
    blocker.rollback()
    blocker.close()
    assert call(spec, tmp_path / "run").exit_code == 0
    assert len(read(tmp_path / "run").games) == 4
    assert server.served == 4
