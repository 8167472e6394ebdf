"""The writer: what an asyncio program puts into the store while a run goes on.

One task commits what is put, in the order in which it is put, many rows in one transaction; every statement runs in
one thread of its own, so that the event loop never waits for a disk. A put returns when its row is committed, and with
it all that was put before: what a kill can lose is what has not returned yet.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from sqlalchemy import Table

from auditkit.errors import AuditkitError
from auditkit.judging.calls import Completion, Request
from auditkit.judging.store.claims import Claim, new_owner
from auditkit.judging.store.rows import Answer, Game, Rating, Row, completion_row
from auditkit.judging.store.schema import completions

if TYPE_CHECKING:
    from auditkit.judging.store.store import Store

__all__ = ["Writer"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _Put:
    rows: list[tuple[Table, Row]]
    done: asyncio.Future[None]


class Writer:
    """A store's writer, in an ``async with`` (see `Store.writer`).

    Once a commit has failed, every put raises that error: nothing is put out of order or half. On leaving, what
    was put is committed and every claim given up; an error that nobody was told is raised.
    """

    def __init__(self, store: Store, *, batch: int, interval: float, capacity: int, ttl: float) -> None:
        self._store = store
        self._batch = batch
        self._interval = interval
        self._ttl = ttl
        self._owner = new_owner()
        self._claimed: set[str] = set()
        self._waiting: deque[_Put] = deque()
        self._room = asyncio.Semaphore(capacity)
        self._news = asyncio.Event()
        self._closing = False
        self._failure: Exception | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="auditkit-store")
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._commit_all()), asyncio.create_task(self._keep_claims())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        committing, keeping = self._tasks
        self._closing = True
        self._news.set()
        try:
            # A second cancellation must not stop what was paid for from being committed.
            await asyncio.shield(committing)
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            if self._claimed and self._failure is None:
                await self._in_thread(partial(self._store.release, self._owner))
        finally:
            self._thread.shutdown()
        if self._failure is not None and kind is None:
            raise self._failure

    async def put(self, request: Request, completion: Completion, *, wait: bool = True) -> None:
        """Store a completion; its claim is over then.

        Args:
            request: What was asked.
            completion: What came back.
            wait: Return when it is on the disk; else when there is room: it is there when whatever is put later is.

        Raises:
            StoreError: It, or something put earlier, could not be stored; the run can be resumed.
        """
        done = await self._enqueue([(completions, completion_row(request, completion))])
        if wait:
            await done
        else:
            done.add_done_callback(_told)
        self._claimed.discard(request.key)

    async def put_games(self, run: str, games: Iterable[Game]) -> None:
        """Store games of a run, together; returns when they are on the disk."""
        await self._put(self._store.rows_of(run, games))

    async def put_ratings(self, run: str, ratings: Iterable[Rating]) -> None:
        """Store ratings of a run, together; returns when they are on the disk."""
        await self._put(self._store.rows_of(run, ratings))

    async def put_answers(self, run: str, answers: Iterable[Answer]) -> None:
        """Store answers of a run, together; returns when they are on the disk."""
        await self._put(self._store.rows_of(run, answers))

    async def claim(self, keys: Iterable[str]) -> Claim:
        """Claim calls before making them; many at once, because a claim costs a commit. They are renewed until put."""
        claim = await self._in_thread(partial(self._store.claim, list(keys), self._owner, self._ttl))
        self._claimed |= claim.granted
        return claim

    async def release(self, keys: Iterable[str]) -> None:
        """Give up the claims on calls that came to nothing."""
        wanted = list(keys)
        await self._in_thread(partial(self._store.release, self._owner, wanted))
        self._claimed.difference_update(wanted)

    async def _put(self, rows: list[tuple[Table, Row]]) -> None:
        if rows:
            await (await self._enqueue(rows))

    async def _enqueue(self, rows: list[tuple[Table, Row]]) -> asyncio.Future[None]:
        """Put rows in line, once there is room, and return what is done when they are committed."""
        await self._room.acquire()
        if self._failure is not None or self._closing:
            self._room.release()
            raise self._failure or RuntimeError("the writer is closed")
        put = _Put(rows, asyncio.get_running_loop().create_future())
        self._waiting.append(put)
        self._news.set()
        return put.done

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _commit_all(self) -> None:
        while self._waiting or not self._closing:
            if not self._waiting:
                self._news.clear()
                await self._news.wait()
            if len(self._waiting) < self._batch and not self._closing:
                await asyncio.sleep(self._interval)
            puts = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
            if self._failure is None:
                try:
                    await self._in_thread(partial(self._store.commit, [row for put in puts for row in put.rows]))
                except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
                    self._failure = error
            for put in puts:
                self._room.release()
                if put.done.done():  # its task was cancelled; the row went in all the same
                    continue
                if self._failure is None:
                    put.done.set_result(None)
                else:
                    put.done.set_exception(self._failure)

    async def _keep_claims(self) -> None:
        while True:
            await asyncio.sleep(self._ttl / 3)
            if self._claimed:
                # A store that is down for a moment: the next commit, which matters more, tells of it if it lasts.
                with suppress(AuditkitError):
                    await self._in_thread(partial(self._store.renew, self._owner))


def _told(done: asyncio.Future[None]) -> None:
    """Take the error of a commit that nobody waits for: whoever puts next, or the end, raises it."""
    if not done.cancelled():
        done.exception()
