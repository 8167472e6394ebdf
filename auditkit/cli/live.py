"""Submissions that are still to be judged: a spec among recordings is run first, and attacked if that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from auditkit.cli import output, running
from auditkit.errors import AuditkitError, UsageError

__all__ = ["played"]


def played(paths: Sequence[Path], *, attacks: str, max_cost: float | None, quiet: bool) -> tuple[Path, ...]:
    """Have the judge play every spec (a TOML file) among `paths`, and return the run folders in their places.

    Args:
        paths: Recordings and specs.
        attacks: The suite of attacks to play as well; "none": none.
        max_cost: The most that each spec may spend, in US dollars.
        quiet: Show no progress.

    Raises:
        AuditkitError: A run did not come to its end; the same command goes on. UsageError: There is no spec to which
            `attacks` or `max_cost` could apply.
    """
    if not any(path.suffix == ".toml" for path in paths):
        if attacks != "none" or max_cost is not None:
            raise UsageError("--attacks and --max-cost are for a spec (audit.toml) whose judge is asked")
        return tuple(paths)
    return tuple(_played(path, attacks, max_cost, quiet) if path.suffix == ".toml" else path for path in paths)


def _played(spec: Path, attacks: str, max_cost: float | None, quiet: bool) -> Path:
    from auditkit.attack import attack
    from auditkit.attacks.plan import AttackPlan
    from auditkit.attacks.suite import SuiteName
    from auditkit.run import run

    flags = {"max_cost": max_cost}
    with running.resumable(output.command_line()), running.following(quiet) as listener:
        if attacks == "none":
            result = run(spec, flags=flags, listener=listener)
        else:
            plan = AttackPlan(suite=cast(SuiteName, attacks))
            result = attack(spec, plan, flags=flags, listener=listener).run
    if not result.complete:
        raise AuditkitError(running.why_incomplete(result, output.command_line()))
    return result.folder
