"""Part files: Parquet, written whole and then renamed, so that what is there is complete.

A part carries what was counted while it was made in its own metadata: a stage's figures are the sum over its parts,
whenever and wherever they were made.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from auditkit.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["column_of", "counts_of", "matrix_of", "read_part", "rows_of", "total_counts", "write_part", "write_whole"]

_COUNTS: Final = b"auditkit.counts"


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step: a reader, and a crash, meet the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_part(path: Path, table: pa.Table, counts: Mapping[str, int] | None = None) -> None:
    """Write a table as a part file.

    Args:
        path: Where to.
        table: What.
        counts: What was counted while it was made.
    """
    import pyarrow.parquet as pq

    kept = {_COUNTS: json.dumps(dict(counts or {}), sort_keys=True).encode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        pq.write_table(table.replace_schema_metadata(kept), part, compression="zstd", compression_level=1)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_part(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a part file.

    Raises:
        InputError: It was damaged by something else.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, columns=None if columns is None else list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"a part file cannot be read: {error}", path=path, mend="remove it; the same command makes it again"
        ) from error


def counts_of(path: Path) -> Counter[str]:
    """Return what was counted while a part was made."""
    import pyarrow.parquet as pq

    metadata = pq.read_schema(path).metadata or {}
    return Counter(json.loads(metadata.get(_COUNTS, b"{}")))


def total_counts(paths: Iterable[Path]) -> Counter[str]:
    """Return the sum of the counts of several parts."""
    total: Counter[str] = Counter()
    for path in paths:
        total.update(counts_of(path))
    return total


def rows_of(paths: Iterable[Path], columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of several parts, one part in memory at a time."""
    for path in paths:
        table = read_part(path, columns)
        yield from zip(*(table.column(name).to_pylist() for name in columns), strict=True)


def column_of(matrix: np.ndarray[Any, Any]) -> pa.Array:
    """Return the rows of a matrix as a column of fixed-size bytes."""
    import pyarrow as pa

    rows = np.ascontiguousarray(matrix)
    kind = pa.binary(rows.shape[1] * rows.itemsize)
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(rows), [None, pa.py_buffer(rows.tobytes())])


def matrix_of(table: pa.Table, name: str, kind: type[np.generic]) -> np.ndarray[Any, Any]:
    """Return a column that `column_of` made as a matrix of numbers of `kind`."""
    column = table.column(name).combine_chunks()
    if hasattr(column, "chunks"):  # a chunked array stays one where it has no chunk, or several
        column = column.chunk(0) if column.num_chunks else column
    width = column.type.byte_width // np.dtype(kind).itemsize
    if not len(column):
        return np.zeros((0, width), dtype=kind)
    data = np.frombuffer(column.buffers()[1], dtype=np.uint8)
    start = column.offset * column.type.byte_width
    return data[start : start + len(column) * column.type.byte_width].view(kind).reshape(len(column), width)
