"""Every error that auditkit raises on purpose.

::

    AuditkitError
    ├── InputError            a file, record or field that cannot be used: exit code 2
    │   └── UnknownFormat     no reader recognises the path
    ├── UsageError            options that cannot go together or do not exist: exit code 2
    └── Undefined             an estimate that does not exist for these data
        ├── NoData            nothing to estimate from
        ├── Disconnected      models that no chain of wins and losses connects
        ├── Separated         a covariate that predicts the outcome perfectly: the estimate is infinite
        └── NotConverged      the optimiser stopped before its tolerance

Catch the base class at a program's edge::

    try:
        report = auditkit.audit("results/")
    except auditkit.AuditkitError as error:
        print(error)
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import ClassVar

__all__ = [
    "AuditkitError",
    "Disconnected",
    "InputError",
    "NoData",
    "NotConverged",
    "Separated",
    "Undefined",
    "UnknownFormat",
    "UsageError",
    "printable",
]

_SHORT = 160


def printable(value: object, limit: int = _SHORT) -> str:
    """Return `value` as one short line in which nothing can steer a terminal.

    Control, format and surrogate characters (ANSI escapes, bidi overrides, tag characters) are shown as
    backslash escapes, spaces of other widths as plain ones; text above `limit` characters is cut and its full
    length is stated.
    """
    text = value if isinstance(value, str) else str(value)
    cut = text[:limit]
    shown = "".join(c if c.isprintable() else _visible(c) for c in cut)
    return shown if len(text) <= limit else f"{shown}… ({len(text)} characters)"


def _visible(c: str) -> str:
    return " " if unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode("ascii")


class AuditkitError(Exception):
    """Anything auditkit raises on purpose."""

    exit_code: ClassVar[int] = 4


class InputError(AuditkitError):
    """A file, record or field that cannot be used.

    Args:
        problem: What is wrong, with what was expected and what came.
        path: The file or folder.
        record: Which record: ``"line 12"``, ``"item 3"``, ``"field 'preference'"``.
        mend: What the user can do next.
    """

    exit_code = 2

    def __init__(
        self, problem: str, *, path: Path | str | None = None, record: str | None = None, mend: str | None = None
    ) -> None:
        self.problem, self.path, self.record, self.mend = problem, path, record, mend
        where = ": ".join(printable(part) for part in (path, record) if part is not None)
        line = printable(problem, 400)
        if where:
            line = f"{where}: {line}"
        if mend:
            line = f"{line} ({printable(mend, 300)})"
        super().__init__(line)


class UnknownFormat(InputError):
    """No reader recognises the path."""


class UsageError(AuditkitError):
    """Options that cannot go together or name something that does not exist."""

    exit_code = 2


class Undefined(AuditkitError):
    """An estimate that does not exist for these data. The message is the reason, in plain words."""

    exit_code = 3


class NoData(Undefined):
    """Nothing to estimate from."""


class Disconnected(Undefined):
    """Models that no chain of wins and losses connects, so that their difference is infinite or unknown."""


class Separated(Undefined):
    """A covariate that predicts the outcome perfectly, so that its coefficient is infinite."""


class NotConverged(Undefined):
    """The optimiser stopped before its tolerance."""
