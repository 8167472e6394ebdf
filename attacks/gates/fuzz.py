"""Seeded fuzzing and shrinking, small and pure: the same seed gives the same cases and the same counterexample."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

import numpy as np

__all__ = ["Fuzzed", "fuzz", "shrink", "texts"]

S = TypeVar("S")

#: Filler between hostile pieces: ordinary words, and what text measures and splitters disagree about.
_FILLER: Final = (
    "word", "The answer is four.", " ", "  ", "\n", "\n\n", "\r\n", "\r", "\t", "\x0b", "\x0c", "\x1c", "\x85", "\u2028",
    "\u2029", "\u00a0", "\u3000", "\u200b", "\ufeff", "\u202e", "\U000e0041", "\x00", "\x1b[2J", "\ud800", "é", "e\u0301",
    "ß", "\u017f", "\u0130", "\u0661", "\uff11", "\u0410", "\U0001f600", "\\", "\\\\", "\\n", "'", '"', '"""', "```", "`",
    "<", ">", "</", "{", "}", "[", "]", "[[", "]]", "|", "%", "$", "#", "0", "9", "A", "B",
)  # fmt: skip
_MOST_PIECES: Final = 6
#: So many failing cases are shrunk; the smallest result counts.
_SHRUNK: Final = 12
_MOST_STEPS: Final = 4_000


def texts(pieces: Sequence[str], cases: int, seed: int, name: str) -> Iterator[str]:
    """Yield `cases` random joins of hostile pieces and filler.

    Args:
        pieces: Hostile pieces.
        cases: How many texts.
        seed: Of the draws.
        name: Separates the draws of one user from another's with the same seed.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    pool = (*pieces, *_FILLER)
    for _ in range(cases):
        count = int(rng.integers(1, _MOST_PIECES + 1))
        # Half of the draws from the hostile pieces, which the filler would otherwise outnumber.
        bounds = np.where(rng.random(count) < 0.5, len(pieces) or 1, len(pool))
        yield "".join(pool[int(k)] for k in rng.integers(0, bounds))


def shrink(text: str, broken: Callable[[str], bool]) -> str:
    """Return a shortest part of `text` that greedy removal of ever smaller blocks reaches and that is still `broken`.

    Removing any single character of the result mends it (unless the limit on steps was met).
    Source: Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE TSE 28(2), 2002 (ddmin).
    """
    size, steps = max(len(text) // 2, 1), 0
    while size:
        at, removed = 0, False
        while at < len(text) and steps < _MOST_STEPS:
            shorter = text[:at] + text[at + size :]
            steps += 1
            if broken(shorter):
                text, removed = shorter, True
            else:
                at += size
        if not removed or size > 1:
            size //= 2
    return text


@dataclass(frozen=True)
class Fuzzed(Generic[S]):
    """What fuzzing found: cases run, cases that broke, and the setting and text of the smallest counterexample."""

    cases: int
    failures: int
    smallest: tuple[S, str] | None


def fuzz(
    settings: Sequence[S], pieces: Sequence[str], broken: Callable[[S, str], bool], *, cases: int, seed: int, name: str
) -> Fuzzed[S]:
    """Try every piece in every setting, then `cases` random texts with the settings in turn; shrink what breaks.

    Args:
        settings: Where a text can be put, at least one.
        pieces: Hostile pieces, the most telling first: of equally short counterexamples the first is kept.
        broken: Does the text break the gate in this setting?
        cases: How many random texts.
        seed: Of the draws.
        name: As in `texts`.
    """
    pieces = list(dict.fromkeys(pieces))
    failed: list[tuple[S, str]] = []
    every = [(setting, piece) for piece in pieces for setting in settings]
    drawn = enumerate(texts(pieces, cases, seed, name))
    every += [(settings[k % len(settings)], text) for k, text in drawn]
    failed = [(setting, text) for setting, text in every if broken(setting, text)]
    best: tuple[S, str] | None = None
    for setting, text in sorted(failed, key=lambda pair: len(pair[1]))[:_SHRUNK]:
        small = shrink(text, partial(broken, setting))
        if best is None or len(small) < len(best[1]):
            best = setting, small
    return Fuzzed(len(every), len(failed), best)
