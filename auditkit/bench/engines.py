"""Where the work on parts is done: in this process, in a few processes, or on a Ray cluster.

A job makes one part file from others and depends on nothing else, so that it may be done anywhere, in any order, and
again: what is there already is not made again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

__all__ = ["Engine", "Job", "LocalEngine", "Task", "perform"]

Task = Callable[[Sequence[Path], Path, Mapping[str, Any]], None]
"""Makes one part: ``task(inputs, output, arguments)``. A function of a module, so that any process can import it."""

_WATCH: Final = 1.0
_SMALL: Final = 4 << 20
"""Bytes of input that are done sooner here than processes are started."""


@dataclass(frozen=True)
class Job:
    """One part to make."""

    inputs: tuple[Path, ...]
    output: Path
    args: Mapping[str, Any] = field(default_factory=dict)


class Engine(Protocol):
    """Does jobs."""

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[Job]:
        """Do every job and yield each once its part is there, in any order."""
        ...

    def close(self) -> None:
        """Release what the engine holds."""
        ...


def perform(task: Task, job: Job) -> None:
    """Do one job, unless its part is there."""
    if not job.output.exists():
        job.output.parent.mkdir(parents=True, exist_ok=True)
        task(job.inputs, job.output, job.args)


def _leave_with(parent: int) -> None:
    """End this process when its parent is gone: a build that was killed leaves nobody behind."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        os._exit(1)

    # One thread a process: as many processes as processors do the work.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    threading.Thread(target=watch, daemon=True).start()


class LocalEngine:
    """Does jobs in processes of this machine; a single job, or with one worker, in this one.

    The processes are started when there is enough to do for them, and stay until `close`.

    Args:
        workers: Processes; 0: as many as there are processors.
    """

    def __init__(self, workers: int = 0) -> None:
        self._workers = workers or len(os.sched_getaffinity(0))
        self._pool: ProcessPoolExecutor | None = None

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[Job]:
        """Do every job; no more are handed out than the processes can begin."""
        waiting = [job for job in jobs if not job.output.exists()]
        size = sum(job.inputs[0].stat().st_size for job in waiting)
        if len(waiting) <= 1 or self._workers == 1 or size < _SMALL:
            for job in waiting:
                perform(task, job)
                yield job
            return
        yield from self._spread(task, waiting)

    def _started(self) -> ProcessPoolExecutor:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers, mp_context=get_context("spawn"), initializer=_leave_with, initargs=(os.getpid(),)
            )
        return self._pool

    def _spread(self, task: Task, jobs: Iterable[Job]) -> Iterator[Job]:
        from concurrent.futures import FIRST_COMPLETED, Future, wait

        pool = self._started()
        running: dict[Future[None], Job] = {}
        rest = iter(jobs)
        try:
            while True:
                while len(running) < 2 * self._workers and (job := next(rest, None)) is not None:
                    running[pool.submit(perform, task, job)] = job
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    done.result()
                    yield running.pop(done)
        finally:
            for future in running:
                future.cancel()
