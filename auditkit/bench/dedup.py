"""Exact and near duplicates over the whole pool: the first of a kind stays, in the order of the input.

Near duplicates are looked for by locality-sensitive hashing, one band at a time, so that memory holds one number a
prompt and the sketches are read from disk. A prompt is left out if a prompt before it *that stays* is as similar as
asked; nothing is left out because of a chain of neighbours.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from auditkit.bench.parts import matrix_of, read_part
from auditkit.bench.signatures import BANDS, similarity

__all__ = ["EXACT", "KEPT", "NEAR", "Duplicates", "duplicates_of"]

Integers = np.ndarray[Any, np.dtype[np.int64]]

KEPT, EXACT, NEAR = 0, 1, 2
_PAIRS: Final = 200_000
"""Pairs measured at once."""


@dataclass(frozen=True)
class Duplicates:
    """What stays, prompt by prompt, in the order of the input.

    Attributes:
        rows: The prompts' row numbers, ascending.
        state: 0 stays, 1 exact duplicate, 2 near duplicate.
        of: The row number of the prompt that stays in its place; its own where it stays itself.
        similarity: Estimated Jaccard similarity to that prompt; 1 for itself.
        copies: How often a prompt that stays occurred, itself included; 0 for the others.
    """

    rows: Integers
    state: np.ndarray[Any, np.dtype[np.int8]]
    of: Integers
    similarity: np.ndarray[Any, np.dtype[np.float32]]
    copies: Integers


def _column(parts: Sequence[Path], name: str) -> Integers:
    found = [read_part(part, [name]).column(name).to_numpy() for part in parts]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


@contextmanager
def _sketches(parts: Sequence[Path], keep: np.ndarray[Any, np.dtype[np.bool_]], folder: Path) -> Iterator[Any]:
    """Yield the sketches and the bands of the prompts that `keep` marks, as matrices on disk."""
    count = int(keep.sum())
    with tempfile.TemporaryDirectory(dir=folder, prefix=".scratch-") as scratch:
        sketch_file, band_file = Path(scratch, "sketches"), Path(scratch, "bands")
        start, width = 0, 1
        with sketch_file.open("wb") as sketches, band_file.open("wb") as bands:
            bands.truncate(max(count, 1) * BANDS * 4)
            written = 0
            for part in parts:
                table = read_part(part, ["bands", "sketch"])
                own = keep[start : start + table.num_rows]
                start += table.num_rows
                matrix = matrix_of(table, "sketch", np.uint16)[own]
                width = max(width, matrix.shape[1])
                sketches.write(matrix.tobytes())
                for band, column in enumerate(matrix_of(table, "bands", np.uint32)[own].T):
                    bands.seek((band * count + written) * 4)
                    bands.write(column.tobytes())
                written += len(matrix)
        yield (
            np.memmap(sketch_file, dtype=np.uint16, mode="r", shape=(count, width)),
            np.memmap(band_file, dtype=np.uint32, mode="r", shape=(BANDS, count)),
        )


def _close_pairs(sketches: Any, bands: Any, near: float) -> tuple[Integers, Integers, Any]:
    """Return pairs (later, earlier) of similar prompts, and how similar they are.

    Of a bucket, each prompt is measured against the first, the one before it and the one before that: what one band
    misses in a crowded bucket, another finds.
    """
    count = sketches.shape[0]
    codes: list[Integers] = []
    found: list[Any] = []
    for band in range(BANDS):
        keys = np.array(bands[band])
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        starts = np.concatenate(([True], ordered[1:] != ordered[:-1]))
        group = np.cumsum(starts) - 1
        first = np.flatnonzero(starts)[group]
        place = np.arange(count)
        ends = []
        for earlier in (first, place - 1, place - 2):
            fits = (earlier >= first) & (earlier < place)
            ends.append(order[place[fits]] * np.int64(count) + order[earlier[fits]])
        pairs = np.unique(np.concatenate(ends))
        if codes:
            pairs = np.setdiff1d(pairs, codes[-1], assume_unique=True)
        for k in range(0, len(pairs), _PAIRS):
            some = pairs[k : k + _PAIRS]
            close = similarity(sketches[some // count], sketches[some % count])
            good = close >= near
            codes.append(some[good])
            found.append(close[good])
        if codes:
            joined, index = np.unique(np.concatenate(codes), return_index=True)
            codes, found = [joined], [np.concatenate(found)[index]]
    if not codes:
        none = np.zeros(0, dtype=np.int64)
        return none, none, np.zeros(0)
    return codes[0] // count, codes[0] % count, found[0]


def duplicates_of(parts: Sequence[Path], near: float, folder: Path) -> Duplicates:
    """Find the duplicates among prompts.

    Args:
        parts: Parts of `auditkit.bench.signatures.sign`, in the order of the input.
        near: Jaccard similarity of 5-grams of characters from which two prompts are near-duplicates.
        folder: Where scratch files may be put.
    """
    rows, exact = _column(parts, "row"), _column(parts, "exact")
    count = len(rows)
    state = np.zeros(count, dtype=np.int8)
    of = np.arange(count)
    close = np.ones(count, dtype=np.float32)
    _, first, inverse = np.unique(exact, return_index=True, return_inverse=True)
    of = first[inverse]  # np.unique names the first occurrence
    state[of != np.arange(count)] = EXACT
    unique = np.flatnonzero(state == KEPT)
    if near < 1.0 and len(unique) > 1:
        with _sketches(parts, state == KEPT, folder) as (sketches, bands):
            later, earlier, measured = _close_pairs(sketches, bands, near)
        dropped = np.zeros(len(unique), dtype=bool)
        # Pairs come in the order of the later prompt, then of the earlier: a greedy pass over them decides each
        # prompt once everything before it is decided.
        for a, b, s in zip(later.tolist(), earlier.tolist(), measured.tolist(), strict=True):
            if not dropped[a] and not dropped[b]:
                dropped[a] = True
                state[unique[a]], of[unique[a]], close[unique[a]] = NEAR, unique[b], s
    # An exact copy of a near duplicate belongs to the prompt that stays for both.
    last = of[of]
    close[state == EXACT] = close[of[state == EXACT]]
    copies = np.bincount(last, minlength=count)
    return Duplicates(rows, state, rows[last] if count else rows, close, copies)
