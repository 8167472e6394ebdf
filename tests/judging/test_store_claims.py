"""Claims: two processes that share a store make no call twice, and no clock or death blocks one."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from auditkit.judging.calls import Completion, Message, Request
from auditkit.judging.store import Claim, Store, new_owner
from auditkit.judging.store.claims import is_dead

pytest_plugins = ["tests.judging.postgres_server"]

CHILD = Path(__file__).with_name("store_child.py")


def request(number: int) -> Request:
    return Request("openai/m", (Message("user", f"question {number}"),), {"temperature": 0})


def keys(*numbers: int) -> list[str]:
    return [request(number).key for number in numbers]


class Clock:
    """A clock that shows what it is told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(store_url: str, clock: Clock) -> Iterator[Store]:
    with Store.open(store_url, clock=clock) as store:
        yield store


def child(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(CHILD), *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def test_a_call_is_granted_once(store: Store) -> None:
    """What one has, another is not granted, but told for how long; the owner may claim it again."""
    a, b = new_owner(), new_owner()
    assert store.claim(keys(1, 2, 2), a, 60).granted == set(keys(1, 2))
    claim = store.claim(keys(2, 3), b, 60)
    assert claim == Claim(frozenset(keys(3)), frozenset(), {keys(2)[0]: 60.0})
    assert store.claim(keys(1, 2, 3), a, 60).granted == set(keys(1, 2))


def test_a_stored_call_is_not_granted(store: Store) -> None:
    """A call that was made meanwhile is reported as stored, whoever held it, and leaves no lease behind."""
    a, b = new_owner(), new_owner()
    store.claim(keys(1, 2), a, 60)
    store.put_completions([(request(1), Completion("made")), (request(3), Completion("made"))])
    claim = store.claim(keys(1, 2, 3), b, 60)
    assert claim == Claim(frozenset(), frozenset(keys(1, 3)), {keys(2)[0]: 60.0})


def test_what_is_released_is_free(store: Store) -> None:
    """An owner gives up some calls, or all; nobody gives up another's."""
    a, b = new_owner(), new_owner()
    store.claim(keys(1, 2, 3), a, 60)
    store.release(b)
    store.release(a, keys(1))
    assert store.claim(keys(1, 2, 3), b, 60).granted == set(keys(1))
    store.release(a)
    assert store.claim(keys(1, 2, 3), b, 60).granted == set(keys(1, 2, 3))


def test_a_lease_is_over_after_its_length(store: Store, clock: Clock) -> None:
    """It lasts its length from when it was last renewed, and then anybody may have the call."""
    a, b = new_owner(), new_owner()
    store.claim(keys(1), a, 60)
    clock.now += 59
    assert store.claim(keys(1), b, 60).held == {keys(1)[0]: 1.0}
    store.renew(a)
    clock.now += 59
    assert store.claim(keys(1), b, 60).held
    clock.now += 1
    assert store.claim(keys(1), b, 60).granted
    assert store.claim(keys(1), a, 60).held


@pytest.mark.parametrize("jump", [-1e9, -30.0, 1e9])
def test_a_clock_that_jumps_neither_blocks_nor_repeats_for_ever(store: Store, clock: Clock, jump: float) -> None:
    """After a jump either way a call is free at most once more, and never held for longer than one length."""
    a, b, c = new_owner(), new_owner(), new_owner()
    store.claim(keys(1), a, 60)
    clock.now += jump
    assert store.claim(keys(1), b, 60).granted, "free at once, not after the jump"
    assert store.claim(keys(1), c, 60).held, "and only once"
    clock.now += 60
    assert store.claim(keys(1), c, 60).granted


def test_renewing_after_a_jump_keeps_the_call(store: Store, clock: Clock) -> None:
    """An owner that renews in time notices nothing of a jump."""
    a, b = new_owner(), new_owner()
    store.claim(keys(1), a, 60)
    clock.now -= 1e6
    store.renew(a)
    assert store.claim(keys(1), b, 60).held == {keys(1)[0]: 60.0}


def test_the_calls_of_a_killed_process_are_free_at_once(store_url: str) -> None:
    """A living process keeps its calls; when it is killed the next one has them without waiting for the lease."""
    with child("hold", store_url, 3) as holder, Store.open(store_url) as store:
        assert holder.stdout is not None
        assert json.loads(holder.stdout.readline()) == {"granted": 3}
        claim = store.claim(keys(0, 1, 2), new_owner(), 60)
        assert all(500 < left <= 600 for left in claim.held.values())
        assert len(claim.held) == 3
        holder.kill()
        holder.wait()
        assert store.claim(keys(0, 1, 2), new_owner(), 60).granted == set(keys(0, 1, 2))


def test_two_processes_make_every_call_once(store_url: str) -> None:
    """Two processes open a new store at once and want the same calls: each is made once, every row is there once."""
    with child("share", store_url, 150) as one, child("share", store_url, 150) as two:
        made = [json.loads(process.communicate(timeout=60)[0])["made"] for process in (one, two)]
    assert sorted(made[0] + made[1]) == list(range(150))
    with Store.open(store_url) as store:
        assert len(store.known(keys(*range(150)))) == 150
        assert sorted(game.prompt_id for game in store.games("shared")) == sorted(f"p{i}" for i in range(150))
        assert [run.name for run in store.runs()] == ["shared"]


def test_nobody_writes_between_looking_and_leasing(tmp_path: Path) -> None:
    """A claim keeps other programs from writing from its first look on, so that it cannot lose to one half-way."""
    path = tmp_path / "store.sqlite"
    tried: list[str] = []

    def clock() -> float:
        # Read by the claim within its transaction, before anything else.
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                tried.append(str(error))
        return 0.0

    with Store.open(path, clock=clock) as store:
        store.claim(keys(1), new_owner(), 60)
    assert tried == ["database is locked"]


@pytest.mark.parametrize("other_does", ["claims", "renews"])
def test_a_lease_granted_meanwhile_is_not_taken_for_a_jump(store_url: str, other_does: str) -> None:
    """While one reads the clock another leases or renews, by a later reading: the call has one owner all the same."""
    a, b = new_owner(), new_owner()
    granted: list[frozenset[str]] = []

    with Store.open(store_url, clock=lambda: 1_001.0) as first:

        def meanwhile() -> None:
            if other_does == "renews":
                first.renew(a)
            granted.append(first.claim(keys(1), a, 60).granted)

        thread = threading.Thread(target=meanwhile)

        def early() -> float:
            thread.start()
            thread.join(0.3)  # it gets through only if nothing keeps it out
            return 1_000.0

        with Store.open(store_url, clock=early) as second:
            if other_does == "renews":
                with Store.open(store_url, clock=lambda: 999.0) as before:
                    assert before.claim(keys(1), a, 60).granted
            granted.append(second.claim(keys(1), b, 60).granted)
        thread.join()
    assert sorted(map(len, granted)) == [0, 1]


def test_only_a_process_that_is_surely_gone_is_dead() -> None:
    """Oneself is alive, a process number that belongs to another process is not; another machine cannot be judged."""
    own = new_owner()
    assert own != new_owner()
    machine, pid, started, nonce = own.split("/")
    if not machine:
        pytest.skip("this machine has no /proc")
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    assert not is_dead(own)
    assert is_dead(f"{machine}/{finished.pid}/{started}/{nonce}")
    assert is_dead(f"{machine}/{pid}/{int(started) - 1}/{nonce}")
    for unknown in (f"elsewhere/{finished.pid}/{started}/{nonce}", "", "///", "a/b/c/d", f"{machine}/{'9' * 40}/1/x"):
        assert not is_dead(unknown)
