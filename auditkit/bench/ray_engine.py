"""The engine for a Ray cluster: parts are made by Ray Data tasks, wherever there is a processor.

A row of the data set names a part, and the task that makes it reads and writes the work folder, which every node must
see under one path (a shared file system). What is there already is not made again, so the part files are the
checkpoints; a task that dies with its node is done again by Ray. Equal inputs make equal parts, whoever makes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from auditkit.bench.engines import Job, Task, perform
from auditkit.errors import AuditkitError, UsageError

__all__ = ["RayEngine"]


def _done(row: dict[str, Any], task: Task, jobs: Sequence[Job]) -> dict[str, Any]:
    """Make one part; an error that is ours travels as text, so that the driver can raise it as it is."""
    job = jobs[int(row["id"])]
    try:
        perform(task, job)
    except AuditkitError as error:
        return {"id": row["id"], "problem": str(error), "code": error.exit_code}
    return {"id": row["id"], "problem": "", "code": 0}


class RayEngine:
    """Does jobs on the Ray cluster that the environment names (``RAY_ADDRESS``), or on one of this machine alone.

    Raises:
        UsageError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self) -> None:
        try:
            import ray
        except ImportError:
            raise UsageError("--engine ray needs the extra: pip install 'judge-auditkit[ray]'") from None
        self._ray = ray
        self._own = not ray.is_initialized()
        if self._own:
            try:
                ray.init(log_to_driver=False, configure_logging=False, include_dashboard=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise UsageError(f"the Ray cluster cannot be reached: {error}") from error

    def close(self) -> None:
        """Leave the cluster, if this engine joined it."""
        if self._own and self._ray.is_initialized():
            self._ray.shutdown()

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[Job]:
        """Do every job that is left, one Ray task a part."""
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        waiting = [i for i, job in enumerate(jobs) if not job.output.exists()]
        if not waiting:
            return
        rows = ray.data.from_items([{"id": i} for i in waiting], override_num_blocks=len(waiting))
        made = rows.map(partial(_done, task=task, jobs=list(jobs)))
        for row in made.iter_rows():
            if row["problem"]:
                raise _Remote(row["problem"], int(row["code"]))
            yield jobs[int(row["id"])]


class _Remote(AuditkitError):
    """An error of ours that a task on another node met; its exit code is that error's."""

    def __init__(self, problem: str, exit_code: int) -> None:
        super().__init__(problem)
        self.exit_code = exit_code  # type: ignore[misc]  # the class's default, replaced by the error's own
