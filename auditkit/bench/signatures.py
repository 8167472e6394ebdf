"""MinHash signatures of a part (rensa), and when two prompts count as the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from auditkit.bench.clean import text_of
from auditkit.bench.parts import column_of, read_part, write_part
from auditkit.bench.words import char_grams, folded

__all__ = ["BANDS", "GRAM", "exact_keys", "sign", "signatures", "similarity"]

GRAM: Final = 5
"""Characters of a shingle: characters, so that one wrong word costs a few shingles, and scripts without blanks work."""
_BAND_ROWS: Final = 6
BANDS: Final = 42
"""Bands of the index. A pair of Jaccard similarity s is looked at with probability 1 - (1 - s^6)^42: 0.995 at 0.7,
0.9999 at 0.8, 0.03 at 0.3.
"""
_PERMUTATIONS: Final = BANDS * _BAND_ROWS
_COMPARED: Final = 128
"""Permutations by which a pair is measured: standard error 0.04 at 0.7. Kept to 16 bits each (b-bit MinHash, Li and
König 2010: the chance of an agreement by accident is 2^-16).
"""
#: The beginning of a text stands for it: two long texts that agree so far are the same task.
_LOOKED_AT: Final = 20_000

Bands = np.ndarray[Any, np.dtype[np.uint32]]
Sketches = np.ndarray[Any, np.dtype[np.uint16]]


def exact_keys(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return a 63-bit key of each `folded` text: equal for prompts that differ in case and blanks only."""
    digests = (hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts)
    raw = np.frombuffer(b"".join(digests), dtype=np.uint64)
    return (raw >> np.uint64(1)).astype(np.int64)


def signatures(texts: Sequence[str]) -> tuple[Bands, Sketches]:
    """Return the band keys, ``(n, 42)``, and the sketches, ``(n, 128)``, of `folded` texts."""
    from rensa import RMinHash

    grams = char_grams([text[:_LOOKED_AT] for text in texts], GRAM)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        grams.hashes, grams.offsets.astype(np.uint64), _PERMUTATIONS, 0
    )  # fmt: skip
    minima = np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(texts), _PERMUTATIONS)
    mixed = np.zeros((len(texts), BANDS), dtype=np.uint64)
    for k in range(_BAND_ROWS):
        mixed = (mixed ^ minima[:, k::_BAND_ROWS].astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return (mixed >> np.uint64(32)).astype(np.uint32), minima[:, :_COMPARED].astype(np.uint16)


def similarity(a: Sketches, b: Sketches) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Estimate the Jaccard similarity of pairs of texts from their sketches, row by row."""
    same: np.ndarray[Any, np.dtype[np.float64]] = (a == b).mean(axis=1)
    return same


def sign(inputs: Sequence[Path], output: Path, args: Mapping[str, Any]) -> None:
    """Write keys and signatures of the prompts of a part that are still in."""
    import pyarrow as pa

    table = read_part(inputs[0], ["row", "turns", "reason"])
    kept = np.flatnonzero(np.array([not reason for reason in table.column("reason").to_pylist()], dtype=bool))
    rows = table.column("row").to_numpy()[kept]
    said = table.column("turns").take(kept).to_pylist()
    texts = [folded(text_of(turns)) for turns in said]
    bands, sketches = signatures(texts)
    columns = [pa.array(rows), pa.array(exact_keys(texts)), column_of(bands), column_of(sketches)]
    write_part(output, pa.table(columns, names=["row", "exact", "bands", "sketch"]), {"signed": len(rows)})
