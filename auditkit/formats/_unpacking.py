"""Parquet files that are small on the disk and unpack to more than memory holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from auditkit.errors import InputError

__all__ = ["refuse_bomb"]

#: A file may unpack to this many bytes, or to so many times its own size, whichever is more.
_ALWAYS: Final = 1 << 30
_TIMES: Final = 200
_ROWS: Final = 4096
#: Of a chunk in which a value can repeat the one before it at no cost, few rows are unpacked at once.
_FEW_ROWS: Final = 16
_REPEATING: Final = "DELTA_BYTE_ARRAY"


def refuse_bomb(path: Path, columns: Sequence[str]) -> None:
    """Raise if the texts of `columns` unpack to far more than the file weighs.

    A text that stands in every row is stored once, so that a few KiB can hold hundreds of GiB: texts are counted by
    their place in the file's dictionary, without unpacking them. The file's own figures are checked first.

    Raises:
        InputError: They do.
        pyarrow.ArrowException: The file is damaged.
        OSError: The file cannot be read.
    """
    most = max(_ALWAYS, _TIMES * path.stat().st_size)
    with pq.ParquetFile(path) as file:
        leaves, stated, repeating = _leaves(file.metadata, frozenset(columns))
    if stated > most:
        raise _bomb(path)
    total = 0
    with pq.ParquetFile(path, read_dictionary=leaves) as file:
        rows = _FEW_ROWS if repeating else _ROWS
        for batch in file.iter_batches(batch_size=rows, columns=list(columns), use_threads=False):
            total += sum(_size(column) for column in batch.columns)
            if total > most:
                raise _bomb(path)


def _bomb(path: Path) -> InputError:
    return InputError(
        "a Parquet file that unpacks to far more than it weighs",
        path=path,
        mend="write it as JSON Lines, if it is what it should be",
    )


def _leaves(metadata: Any, wanted: frozenset[str]) -> tuple[list[str], int, bool]:
    """Return the paths of the texts in `wanted`, the bytes that the file says they unpack to, and whether values repeat."""
    leaves: set[str] = set()
    repeating: set[str] = set()
    stated = 0
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            if chunk.path_in_schema.split(".")[0] not in wanted:
                continue
            stated += chunk.total_uncompressed_size
            if chunk.physical_type == "BYTE_ARRAY":
                (repeating if _REPEATING in chunk.encodings else leaves).add(chunk.path_in_schema)
    return sorted(leaves - repeating), stated, bool(repeating)


def _size(array: Any) -> int:
    """Return the bytes of an array once it is unpacked."""
    if pa.types.is_dictionary(array.type):
        lengths = pc.fill_null(pc.binary_length(array.dictionary), 0)
        return pc.sum(pc.cast(pc.take(lengths, array.indices), pa.int64())).as_py() or 0
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return _size(array.flatten())
    if pa.types.is_struct(array.type):
        return sum(_size(field) for field in array.flatten())
    return int(array.nbytes)
