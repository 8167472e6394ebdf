"""Many jobs at once: a bounded queue, a fixed number of workers, and an end that is clean whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from auditkit.judging.asking import Halt, Halted

__all__ = ["GRACE", "work_through"]

J = TypeVar("J")

GRACE: Final = 5.0
"""Seconds that calls under way have to end after a halt; what takes longer is abandoned."""


async def work_through(
    jobs: AsyncIterator[J], work: Callable[[J], Awaitable[None]], *, workers: int, halt: Halt, grace: float = GRACE
) -> None:
    """Do every job, at most `workers` at once; memory stays flat however many there are.

    An error of a job or of `jobs` calls a halt. After a halt no job is begun; those under way have `grace` seconds
    to end and are cancelled then.

    Args:
        jobs: What to do, prepared a little ahead of the workers.
        work: Does one job.
        workers: Most jobs at once.
        halt: Stops everything when it is called, by whomever.
        grace: Seconds.
    """
    # What is prepared is claimed, and another process that shares the run has to leave it: no more than is needed.
    queue: asyncio.Queue[J | None] = asyncio.Queue()
    room = asyncio.Semaphore(max(1, workers // 8))

    async def fill() -> None:
        try:
            async for job in jobs:
                await room.acquire()
                queue.put_nowait(job)
            for _ in range(workers):
                queue.put_nowait(None)
        except Exception as error:  # noqa: BLE001  whatever it is, it ends the run and is raised by the caller
            halt.call(error)

    async def serve() -> None:
        try:
            while (job := await queue.get()) is not None and not halt.called:
                room.release()
                await work(job)
        except Halted:
            return
        except Exception as error:  # noqa: BLE001  as above
            halt.call(error)

    filling = asyncio.create_task(fill())
    serving = [asyncio.create_task(serve()) for _ in range(workers)]
    finished = asyncio.create_task(_all(serving))
    halted = asyncio.create_task(halt.wait())
    try:
        await asyncio.wait({finished, halted}, return_when=asyncio.FIRST_COMPLETED)
        if halt.called:
            filling.cancel()
            with suppress(asyncio.CancelledError):
                await filling
            while not queue.empty():
                queue.get_nowait()
            for _ in range(workers):  # those who wait for a job go home
                queue.put_nowait(None)
            await asyncio.wait({finished}, timeout=grace)
    finally:
        for task in (filling, halted, finished, *serving):
            task.cancel()
        await asyncio.gather(filling, halted, finished, *serving, return_exceptions=True)


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks)
