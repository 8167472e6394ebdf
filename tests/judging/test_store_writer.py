"""The writer of an asyncio program: what it acknowledges is stored, and nothing that was paid for is dropped."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from auditkit.judging.calls import Completion, Message, Request
from auditkit.judging.store import Answer, Game, Rating, Run, Store, StoreError, new_owner

pytest_plugins = ["tests.judging.postgres_server"]


def request(number: int) -> Request:
    return Request("openai/judge", (Message("user", f"question {number}"),))


def game(number: int, outcome: float = 1.0) -> Game:
    return Game(f"p{number}", "m", "o", "j", "sha", "model_first", outcome=outcome)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path, timeout=0.3) as store:
        store.put_run(Run("r"))
        yield store


class Slow:
    """Stands between a writer and its store: counts commits, and lets none through until told."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commits = 0
        self.go = threading.Event()
        self._commit = store.commit
        monkeypatch.setattr(store, "commit", self.commit)

    def commit(self, rows: list[object]) -> None:
        self.go.wait(10)
        self.commits += 1
        self._commit(rows)  # type: ignore[arg-type]  # handed on as it came


def test_a_put_that_returned_is_seen_by_others(store_url: str) -> None:
    """At the moment a put returns, another connection finds the row."""

    async def work(store: Store, other: Store) -> None:
        async with store.writer() as writer:
            for number in range(5):
                await writer.put(request(number), Completion(str(number)))
                assert other.completions([request(number).key])[request(number).key].text == str(number)
            await writer.put_games("r", [game(1), game(2)])
            assert len(list(other.games("r"))) == 2
            await writer.put_ratings("r", [Rating("p", "m", "j", "sha", 5.0)])
            assert [r.score for r in other.ratings("r")] == [5.0]
            await writer.put_answers("r", [Answer("p", "m", "text")])
            assert [a.text for a in other.answers("r")] == ["text"]
            await writer.put_games("r", [])

    with Store.open(store_url) as store, Store.open(store_url) as other:
        store.put_run(Run("r"))
        asyncio.run(work(store, other))


def test_what_is_not_waited_for_is_there_when_what_is_put_after_it_is(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put may not wait for the disk; one that follows does, and finds everything put before it stored."""

    async def work(store: Store, other: Store) -> None:
        slow = Slow(store, monkeypatch)
        async with store.writer() as writer:
            await writer.claim([request(i).key for i in range(40)])
            for number in range(40):
                await writer.put(request(number), Completion(str(number)), wait=False)
            assert not other.known(request(i).key for i in range(40))
            putting = asyncio.create_task(writer.put_games("r", [game(1)]))
            await asyncio.sleep(0.02)
            assert not putting.done()
            slow.go.set()
            await putting
            assert len(other.known(request(i).key for i in range(40))) == 40
            await writer.put(request(40), Completion("40"), wait=False)
        assert other.known([request(40).key])
        assert len(other.claim([request(50).key], new_owner(), 60).granted) == 1

    with Store.open(store_url) as store, Store.open(store_url) as other:
        store.put_run(Run("r"))
        asyncio.run(work(store, other))


def test_what_was_not_waited_for_and_failed_is_told_by_the_next_put(store: Store, path: Path) -> None:
    """Nobody waited for it: whoever puts next learns that it failed, and else the end does."""
    blocker = sqlite3.connect(path, isolation_level=None)
    told: list[BaseException | None] = []

    async def work(then_put: bool) -> None:
        async with store.writer() as writer:
            await writer.put(request(1), Completion("a"), wait=False)
            if then_put:
                told.extend(await asyncio.gather(writer.put_games("r", [game(1)]), return_exceptions=True))

    blocker.execute("BEGIN IMMEDIATE")
    for then_put in (True, False):
        with pytest.raises(StoreError, match="locked"):
            asyncio.run(work(then_put))
    blocker.close()
    assert [type(error) for error in told] == [StoreError]
    assert list(store.games("r")) == []


def test_puts_at_once_are_committed_together(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand puts at once take a handful of commits, at most `batch` puts each."""
    slow = Slow(store, monkeypatch)
    slow.go.set()

    async def work() -> None:
        async with store.writer(batch=300) as writer:
            await asyncio.gather(*(writer.put(request(i), Completion("a")) for i in range(1_000)))

    asyncio.run(work())
    assert 4 <= slow.commits <= 8
    assert len(store.known(request(i).key for i in range(1_000))) == 1_000


def test_a_slow_store_holds_its_writers_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than `capacity` puts wait: the others wait for room, and all get there in the end."""
    slow = Slow(store, monkeypatch)
    taken: list[int] = []

    async def work() -> None:
        async with store.writer(capacity=4, batch=2, interval=0.0) as writer:
            puts = [asyncio.create_task(writer.put(request(i), Completion("a"))) for i in range(20)]
            for _ in range(20):
                await asyncio.sleep(0.001)
                taken.append(len(writer._waiting))
            assert not any(put.done() for put in puts)
            slow.go.set()
            await asyncio.gather(*puts)

    asyncio.run(work())
    assert 0 < max(taken) <= 4
    assert len(store.known(request(i).key for i in range(20))) == 20


def test_a_cancelled_put_is_stored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops waiting for a put does not undo it: the call was paid for."""
    slow = Slow(store, monkeypatch)

    async def work() -> None:
        async with store.writer() as writer:
            put = asyncio.create_task(writer.put(request(1), Completion("a")))
            await asyncio.sleep(0.02)
            put.cancel()
            await asyncio.gather(put, return_exceptions=True)
            slow.go.set()

    asyncio.run(work())
    assert store.known([request(1).key])


def test_an_interrupted_program_stores_what_it_had(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle: what was put is committed before the program ends, claims are given up."""
    slow = Slow(store, monkeypatch)

    async def work() -> None:
        async with store.writer() as writer:
            await writer.claim([request(2).key])
            puts = [asyncio.create_task(writer.put(request(i), Completion("a"))) for i in (0, 1)]
            await asyncio.sleep(0.02)
            threading.Timer(0.05, slow.go.set).start()
            for put in puts:
                put.cancel()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(work())
    assert len(store.known([request(0).key, request(1).key])) == 2
    assert store.claim([request(2).key], new_owner(), 60).granted


def test_a_store_that_fails_tells_everyone_who_waits(store: Store, path: Path) -> None:
    """Locked for longer than it waits, the store fails every put with one line, on leaving too; what was in stays."""
    blocker = sqlite3.connect(path, isolation_level=None)
    told: list[BaseException | None] = []

    async def work() -> None:
        async with store.writer() as writer:
            await writer.put(request(0), Completion("a"))
            blocker.execute("BEGIN IMMEDIATE")
            puts = (writer.put(request(i), Completion("a")) for i in range(1, 4))
            told.extend(await asyncio.gather(*puts, return_exceptions=True))
            blocker.rollback()
            told.extend(await asyncio.gather(writer.put(request(9), Completion("a")), return_exceptions=True))

    with pytest.raises(StoreError, match=r"locked by another process \(waited 0.3 s\)"):
        asyncio.run(work())
    blocker.close()
    assert len(told) == 4
    assert all(isinstance(error, StoreError) for error in told)
    assert store.known(request(i).key for i in range(10)) == {request(0).key}


def test_an_unexpected_error_reaches_whoever_put(store: Store) -> None:
    """A row that no database takes does not leave its task waiting for ever."""

    async def work() -> None:
        async with store.writer() as writer:
            await asyncio.wait_for(writer.put_games("r", [Game("p", "m", "o", "j", "s", "unknown", turn=2**70)]), 10)

    with pytest.raises(OverflowError):
        asyncio.run(work())


def test_a_closed_writer_takes_nothing(store: Store) -> None:
    """Using a writer after its block is our own mistake, and says so."""

    async def work() -> None:
        async with store.writer() as writer:
            pass
        await writer.put(request(1), Completion("a"))

    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(work())


def test_a_claim_lasts_as_long_as_its_writer(store: Store, path: Path) -> None:
    """A claim outlives its length while the writer lives; a put, a release and leaving end it."""
    keys = [request(i).key for i in range(4)]
    someone = new_owner()

    async def work(other: Store) -> None:
        async with store.writer(ttl=0.3) as writer:
            assert (await writer.claim(keys)).granted == set(keys)
            await asyncio.sleep(0.7)
            assert set(other.claim(keys, someone, 60).held) == set(keys)
            await writer.put(request(0), Completion("a"))
            await writer.release([keys[1]])
            claim = await asyncio.to_thread(partial(other.claim, keys, someone, 60))
            assert claim.stored == {keys[0]}
            assert claim.granted == {keys[1]}
            assert set(claim.held) == set(keys[2:])
        assert other.claim(keys, someone, 60).granted == set(keys[1:])

    with Store.open(path) as other:
        asyncio.run(work(other))
