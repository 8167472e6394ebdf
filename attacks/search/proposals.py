"""How a search changes a prefix: fresh words, words that helped before put elsewhere, one phrase over and over.

A prefix is a list of token texts. Where a change goes is drawn in proportion to what changes there have gained, and
how much is changed at once follows how often changes succeed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Change", "Kind", "Proposals"]

Kind = Literal["fresh", "copy", "repeat"]
#: Share of batches that no kind of change falls below, so that one that failed early is tried again.
_FLOOR: Final = 0.1
#: What a batch weighs against all before it in the record of a kind of change.
_MEMORY: Final = 0.3
#: A batch in which more than this share of changes helped makes the next changes longer, else shorter.
_SUCCESS: Final = 0.3
_LONGER, _SHORTER = 1.3, 0.8
_KEPT: Final = 12


@dataclass(frozen=True)
class Change:
    """One change: these texts from this place on."""

    kind: Kind
    start: int
    texts: tuple[str, ...]

    @property
    def places(self) -> range:
        """The places that change."""
        return range(self.start, self.start + len(self.texts))

    def on(self, prefix: Sequence[str]) -> list[str]:
        """Return the changed prefix."""
        return [*prefix[: self.start], *self.texts, *prefix[self.start + len(self.texts) :]]


@dataclass
class Proposals:
    """Proposes changes, and learns from what became of them.

    Attributes:
        vocabulary: Token texts to draw from.
        length: Token texts in the prefix.
        rng: Of every draw.
        kinds: The kinds of change that are used.
        size: Texts that a change of a part changes, on average.
    """

    vocabulary: Sequence[str]
    length: int
    rng: np.random.Generator
    kinds: tuple[Kind, ...] = ("fresh", "copy", "repeat")
    size: float = 0.0
    _gain: dict[Kind, float] = field(default_factory=dict)
    _places: NDArray[np.float64] = field(init=False)
    _good: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._places = np.zeros(self.length)
        self.size = self.size or max(1.0, self.length / 8)

    def fresh(self, count: int) -> tuple[str, ...]:
        """Draw texts."""
        return tuple(self.vocabulary[k] for k in self.rng.integers(len(self.vocabulary), size=count))

    def openings(self, count: int) -> list[Change]:
        """Return whole prefixes to start from: one text over and over, if that is allowed, and fresh ones."""
        made = []
        for k in range(count):
            repeated = "repeat" in self.kinds and k % 4 < 3
            texts = self.fresh(1) * self.length if repeated else self.fresh(self.length)
            made.append(Change("repeat" if repeated else "fresh", 0, texts))
        return made

    def batch(self, prefix: Sequence[str], count: int) -> list[Change]:
        """Return up to `count` changes of one kind. Those of a part touch no place twice, so that they can be joined."""
        kind = self._kind()
        if kind == "repeat":
            return [Change(kind, 0, self._repeated()) for _ in range(count)]
        size = int(np.clip(round(self.size), 1, self.length))
        made: list[Change] = []
        for start in self._starts(size, count):
            texts = self._copied(size) if kind == "copy" else self.fresh(size)
            if texts == tuple(prefix[start : start + size]):
                texts = self.fresh(size)
            made.append(Change(kind, start, texts))
        # Late changes first: a cache of the prompt's beginning is reused as far as the first change.
        return sorted(made, key=lambda change: -change.start)

    def learn(self, changes: Sequence[Change], gains: Sequence[float], calls: int) -> None:
        """Take note of a batch.

        Args:
            changes: What was tried.
            gains: What each gained (log-odds); up to 0 where it did not help.
            calls: Calls that the batch took.
        """
        useful = np.maximum(gains, 0.0)
        for kind in {change.kind: None for change in changes}:
            own = np.array([change.kind == kind for change in changes])
            # Of whole prefixes one is kept, of changes of a part all that helped.
            total = useful[own].max() if kind == "repeat" else useful[own].sum()
            rate = float(total) / max(1.0, calls * own.mean())
            self._gain[kind] = (1 - _MEMORY) * self._gain.get(kind, rate) + _MEMORY * rate
            if kind != "repeat" and len(changes[int(own.argmax())].texts) < self.length:
                grow = np.count_nonzero(useful[own]) / own.sum() > _SUCCESS
                most = max(1.0, self.length / (2 * own.sum()))
                self.size = float(np.clip(self.size * (_LONGER if grow else _SHORTER), 1.0, most))
        for change, gain in zip(changes, useful, strict=True):
            if gain > 0:
                self._places[change.start : change.start + len(change.texts)] += gain / len(change.texts)
                self.remember(change.texts, float(gain))

    def remember(self, texts: Sequence[str], gain: float) -> None:
        """Keep a phrase that helped, to be used elsewhere."""
        phrase = _period(tuple(texts))
        self._good = sorted({*self._good, (gain / len(texts), phrase)}, reverse=True)[:_KEPT]

    def _kind(self) -> Kind:
        ready = [kind for kind in self.kinds if kind != "copy" or self._good]
        untried = [kind for kind in ready if kind not in self._gain]
        if untried:
            return untried[0]
        gains = np.array([self._gain[kind] for kind in ready])
        total = gains.sum()
        shares = gains / total if total > 0 else np.full(len(ready), 1 / len(ready))
        shares = _FLOOR + (1 - _FLOOR * len(ready)) * shares
        return ready[int(self.rng.choice(len(ready), p=shares / shares.sum()))]

    def _starts(self, size: int, count: int) -> list[int]:
        """Draw where changes go, so that they do not overlap: places that gained before are likelier."""
        cells = self.length // size
        offset = int(self.rng.integers(self.length - cells * size + 1))
        worth = self._places[offset : offset + cells * size].reshape(cells, size).mean(axis=1)
        weights = 1.0 + worth / worth.mean() if worth.mean() > 0 else np.ones(cells)
        drawn = self.rng.choice(cells, size=min(count, cells), replace=False, p=weights / weights.sum())
        return [offset + int(cell) * size for cell in drawn]

    def _copied(self, size: int) -> tuple[str, ...]:
        _, phrase = self._good[int(self.rng.integers(len(self._good)))]
        times = -(-size // len(phrase))
        return (phrase * times)[:size]

    def _repeated(self) -> tuple[str, ...]:
        period = int(self.rng.choice([1, 2, 4], p=[0.6, 0.25, 0.15]))
        parts = list(self.fresh(period))
        if period > 1 and self._good:
            _, phrase = self._good[int(self.rng.integers(len(self._good)))]
            parts[: min(len(phrase), period - 1)] = phrase[: period - 1]
        times = -(-self.length // period)
        return (tuple(parts) * times)[: self.length]


def _period(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the shortest phrase whose repetition gives these texts."""
    for size in range(1, len(texts)):
        if all(texts[k] == texts[k - size] for k in range(size, len(texts))):
            return texts[:size]
    return texts
