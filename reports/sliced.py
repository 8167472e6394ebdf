"""What the board says on a part of the prompts: records only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from auditkit.records import Score
from auditkit.reports.report import Rank

__all__ = ["SliceBoard", "SliceRow", "Slices"]


@dataclass(frozen=True)
class SliceRow:
    """One submission on the prompts of a slice. None: not measured there."""

    model: str
    raw: Score | None
    held: Score | None
    raw_rank: Rank | None
    held_rank: Rank | None


@dataclass(frozen=True)
class SliceBoard:
    """The board on the `prompts` prompts of one category or language; ranks among listed submissions, best first."""

    kind: Literal["category", "language"]
    value: str
    prompts: int
    rows: tuple[SliceRow, ...]


@dataclass(frozen=True)
class Slices:
    """All slices of a board, by kind and then largest first.

    Attributes:
        boards: One a slice.
        left_out: Slices that were too many to be shown.
        note: Why there is none, or why the controlled score has none; "" if there is nothing to say.
    """

    boards: tuple[SliceBoard, ...] = ()
    left_out: int = 0
    note: str = ""
