"""Texts as arrays of hashes: words, runs of words and runs of characters of a whole batch at once.

Nothing here loops over texts or words in Python: a batch becomes one array of code points, and every hash is a few
array operations over it.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

__all__ = ["Grams", "char_grams", "folded", "word_grams", "words"]

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Offsets = np.ndarray[Any, np.dtype[np.int64]]

_ODD: Final = 0x9E3779B97F4A7C15
_BASE: Final = 0xD1342543DE82EF95
_BASE_INVERSE: Final = pow(_BASE, -1, 1 << 64)
#: Scripts that are written without blanks between words: every character is a word of its own.
_UNSPACED: Final = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3040, 0x30FF),
    (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9D), (0x20000, 0x323AF),
)  # fmt: skip


@dataclass(frozen=True)
class Grams:
    """Hashes of a batch of texts, text after text.

    Attributes:
        hashes: One number a gram, in the order of the texts.
        offsets: Where each text's begin; one more entry than there are texts.
    """

    hashes: Hashes
    offsets: Offsets

    @property
    def counts(self) -> Offsets:
        """How many grams each text has."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> Offsets:
        """The number of the text that each gram belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.counts)


def folded(text: str) -> str:
    """Return a text in the form in which texts are compared: NFKC, case folded, every run of blanks one blank."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def _mixed(values: Hashes) -> Hashes:
    """Return the values after a mixing step in which every bit depends on every other (splitmix64's)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@cache
def _classes() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the class of each code point: 1 part of a word, 2 a word by itself, 0 neither."""
    found = np.zeros(sys.maxunicode + 1, dtype=np.uint8)
    known = [c for c in range(0x20000) if unicodedata.category(chr(c))[0] in "LMN"]
    found[known] = 1
    found[ord("_")] = 1
    for first, last in _UNSPACED:
        span = found[first : last + 1]
        span[span == 1] = 2
    found[0x20000:0x323B0] = 2
    return found


def _codes(texts: Sequence[str]) -> tuple[np.ndarray[Any, np.dtype[np.uint32]], Offsets]:
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    sizes = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    return codes, np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(sizes)))


def words(texts: Sequence[str]) -> Grams:
    """Return the hash of every word.

    A word is a run of letters, marks, digits and underscores; in scripts without blanks between words, each
    character. `folded` texts give words that do not depend on case.

    Args:
        texts: The batch.
    """
    codes, offsets = _codes(texts)
    if not len(codes):
        return Grams(np.zeros(0, dtype=np.uint64), np.zeros(len(texts) + 1, dtype=np.int64))
    kind = _classes()[codes]
    inside = kind == 1
    first = np.zeros(len(codes), dtype=bool)
    first[offsets[:-1][offsets[:-1] < len(codes)]] = True
    joined = inside[1:] & inside[:-1] & ~first[1:]  # this character belongs to the word of the one before
    begins = kind > 0
    begins[1:] &= ~joined
    ends = kind > 0
    ends[:-1] &= ~joined
    starts, stops = np.flatnonzero(begins), np.flatnonzero(ends) + 1
    powers = np.full(len(codes), _BASE, dtype=np.uint64)
    powers[0] = 1
    np.multiply.accumulate(powers, out=powers)
    sums = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum(_mixed((codes.astype(np.uint64) + np.uint64(1)) * np.uint64(_ODD)) * powers, out=sums[1:])
    # The polynomial of a word, whatever stands before it: divided by the base to the power of its place.
    inverse = np.full(len(codes), _BASE_INVERSE, dtype=np.uint64)
    inverse[0] = 1
    np.multiply.accumulate(inverse, out=inverse)
    return Grams(_mixed((sums[stops] - sums[starts]) * inverse[starts]), np.searchsorted(starts, offsets))


def word_grams(found: Grams, n: int) -> Grams:
    """Return the hash of every run of `n` words; a text of fewer words has none."""
    return _runs(found.hashes, found.offsets, n)


def char_grams(texts: Sequence[str], n: int) -> Grams:
    """Return the hash of every run of `n` characters; a shorter text has one, that of all its characters."""
    padded = [text if len(text) >= n else text.ljust(n, "\0") for text in texts]
    codes, offsets = _codes(padded)
    return _runs(codes.astype(np.uint64) + np.uint64(1), offsets, n)


def _runs(values: Hashes, offsets: Offsets, n: int) -> Grams:
    count = max(len(values) - n + 1, 0)
    rolled = np.zeros(count, dtype=np.uint64)
    for k in range(n):
        rolled = (rolled ^ values[k : k + count]) * np.uint64(_ODD)
        rolled ^= rolled >> np.uint64(29)
    left = np.repeat(offsets[1:], np.diff(offsets))[:count] - np.arange(count)
    sizes = np.maximum(np.diff(offsets) - n + 1, 0)
    return Grams(_mixed(rolled[left >= n]), np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(sizes))))
