"""What a run tells while it goes on: one snapshot a change, for whoever shows it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Listener", "Meter", "Snapshot", "Stage"]

Stage = Literal["answers", "games", "attacks", "annotations", "topics", "evolved prompts"]

_WINDOW = 30.0


@dataclass(frozen=True)
class Snapshot:
    """How far a stage is.

    Attributes:
        stage: ``answers``, ``games`` or ``attacks``; of a build, ``annotations``, ``topics`` or ``evolved
            prompts``.
        done: Finished, those found in the store included.
        total: All of them.
        calls: Calls that came back in this start of the run.
        failed: Given up in this start: they are tried again when the run is resumed.
        unparsed: Finished without a verdict.
        spent: US dollars spent in this start.
        unpriced: Calls whose price is not known.
        rate: Finished a second, over the last half minute.
        left: Seconds that the rest takes at this rate; None: not known.
        note: The last thing that went wrong, "" if nothing did.
        wait: Seconds that the provider asked for, of which nobody has heard yet that they are over; 0: none.
    """

    stage: Stage
    done: int
    total: int
    calls: int = 0
    failed: int = 0
    unparsed: int = 0
    spent: float = 0.0
    unpriced: int = 0
    rate: float = 0.0
    left: float | None = None
    note: str = ""
    wait: float = 0.0


Listener = Callable[[Snapshot], None]


@dataclass
class Meter:
    """Counts, and tells a listener."""

    listener: Listener | None = None
    stage: Stage = "games"
    total: int = 0
    done: int = 0
    calls: int = 0
    failed: int = 0
    unparsed: int = 0
    spent: float = 0.0
    unpriced: int = 0
    note: str = ""
    wait: float = 0.0
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def begin(self, stage: Stage, total: int, done: int) -> None:
        """Start a stage of which `done` of `total` are there already."""
        self.stage, self.total, self.done, self.note = stage, total, done, ""
        self.failed = self.unparsed = 0
        self._recent.clear()
        self._recent.append((time.monotonic(), done))
        self.tell()

    def advance(self, done: int) -> None:
        """Count what was finished, also where it is more than was thought, and tell."""
        self.done += done
        self.total = max(self.total, self.done)
        self.tell()

    def tell(self) -> None:
        """Tell the listener how things stand."""
        if self.listener is None:
            return
        now = time.monotonic()
        self._recent.append((now, self.done))
        while len(self._recent) > 2 and self._recent[0][0] < now - _WINDOW:
            self._recent.popleft()
        start, before = self._recent[0]
        rate = (self.done - before) / (now - start) if now > start else 0.0
        left = (self.total - self.done) / rate if rate > 0 else None
        self.listener(
            Snapshot(
                self.stage, self.done, self.total, self.calls, self.failed, self.unparsed, self.spent, self.unpriced,
                rate, left, self.note, self.wait,
            )
        )  # fmt: skip
