"""Read a pool of prompts of any size: JSON Lines, JSON, CSV and Parquet, one record in memory at a time.

A record that cannot be used is kept with the reason, so that every line of the input is accounted for. A file of which
nothing can be used is an error if it was named by itself; of a folder it is passed over, with the reason: whatever writes
many files writes empty ones too.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditkit.bench.parts import write_part, write_whole
from auditkit.bench.settings import Turns
from auditkit.bench.shapes import COLUMNS, Raw, raw_of
from auditkit.errors import InputError, UsageError, printable
from auditkit.formats import _io

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "PART_BYTES",
    "PART_ROWS",
    "SUFFIXES",
    "expanded",
    "parts_of",
    "problems_of",
    "raws_of",
    "read_file",
    "schema",
]

SUFFIXES: Final = (".jsonl", ".json", ".csv", ".parquet")
_WHOLE: Final = ("question.jsonl", "prompts.jsonl")
PART_ROWS: Final = 20_000
PART_BYTES: Final = 32 << 20
_BATCH: Final = 1_000
_LONGEST_CELL: Final = 64 << 20
#: Longer texts are far above any length bound: their beginning is kept, for the record.
_KEPT: Final = 2_000_000


def schema() -> pa.Schema:
    """Return the columns of a part of prompts."""
    import pyarrow as pa

    return pa.schema(
        [
            ("row", pa.int64()), ("id", pa.string()), ("turns", pa.list_(pa.string())), ("category", pa.string()),
            ("language", pa.string()), ("source", pa.string()), ("licence", pa.string()), ("flagged", pa.bool_()),
            ("place", pa.string()), ("reason", pa.string()),
        ]
    )  # fmt: skip


def expanded(paths: Sequence[Path]) -> list[Path]:
    """Return the files of prompts that `paths` name: files, benchmark folders, and folders of files.

    Raises:
        InputError: Nothing there, or a file of another kind.
        UsageError: A file is named twice.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            whole = next((path / name for name in _WHOLE if (path / name).is_file()), None)
            below = [whole] if whole else [p for p in _io.walk(path) if p.suffix.lower() in SUFFIXES]
            if not below:
                raise InputError("no prompts below this folder", path=path, mend=f"files end in {', '.join(SUFFIXES)}")
            found += below
            continue
        _io.open_file(path).close()
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(
                f"a file of prompts ends in {', '.join(SUFFIXES)}", path=path, mend="rename it after what it holds"
            )
        found.append(path)
    seen: set[Path] = set()
    for path in found:
        if path.resolve() in seen:
            raise UsageError(f"{printable(path)} is given twice: its prompts would count twice")
        seen.add(path.resolve())
    return found


# --- one file -------------------------------------------------------------------------------------------------------


def _loads(raw: bytes) -> object:
    """Return what a line holds; raise `ValueError` with a reason of one word if it is nothing."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("not_utf8") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("not_json") from None


def _json_lines(path: Path, turns: Turns) -> Iterator[tuple[str, Raw]]:
    with _io.open_file(path) as handle:
        number = 0
        while raw := handle.readline(_io.MAX_LINE + 1):
            number += 1
            where = f"line {number}"
            if len(raw) > _io.MAX_LINE:
                while raw and not raw.endswith(b"\n"):
                    raw = handle.readline(_io.MAX_LINE)
                yield where, Raw(reason="line_too_long")
                continue
            if raw.isspace():
                continue
            try:
                value = _loads(raw)
            except ValueError as error:
                yield where, Raw(reason=str(error))
                continue
            yield where, raw_of(value, turns) if isinstance(value, dict) else Raw(reason="not_an_object")


def _is_list(path: Path) -> bool:
    with _io.open_file(path) as handle:
        head: bytes = handle.read(1 << 16)
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _json(path: Path, turns: Turns) -> Iterator[tuple[str, Raw]]:
    if not _is_list(path):
        try:
            value = _io.read_json(path)
        except InputError:  # JSON Lines under another name
            yield from _json_lines(path, turns)
            return
        items: object = [value]
    else:
        items = _io.read_json(path)
    for number, item in enumerate(items if isinstance(items, list) else [], 1):
        if isinstance(item, str):
            yield f"item {number}", raw_of({"prompt": item}, turns)
        else:
            yield f"item {number}", raw_of(item, turns) if isinstance(item, dict) else Raw(reason="not_an_object")


def _csv(path: Path, turns: Turns) -> Iterator[tuple[str, Raw]]:
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        with _io.open_file(path) as handle:
            # Bytes that are no UTF-8 become lone surrogates, by which the row is told.
            text = io.TextIOWrapper(handle, "utf-8-sig", errors="surrogateescape", newline="")
            reader = csv.DictReader((line.replace("\0", "\ufffd") for line in text), strict=False)
            for number, row in enumerate(reader, 1):
                where = f"row {number}"
                if None in row or None in row.values():
                    yield where, Raw(reason="odd_number_of_cells")
                elif any("\udc80" <= c <= "\udcff" for value in row.values() if not value.isascii() for c in value):
                    yield where, Raw(reason="not_utf8")
                else:
                    yield where, raw_of(row, turns)
    except csv.Error as error:
        raise InputError(f"not CSV: {error}", path=path, record=f"line {reader.line_num}") from error
    finally:
        csv.field_size_limit(limit)


def _parquet(path: Path, turns: Turns) -> Iterator[tuple[str, Raw]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from auditkit.formats._unpacking import refuse_bomb

    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if name in COLUMNS]
            refuse_bomb(path, names)
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH, columns=names, use_threads=False):
                for record in batch.to_pylist():
                    number += 1
                    yield f"row {number}", raw_of(record, turns)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"not readable as Parquet: {error}", path=path) from error


def _is_empty(path: Path) -> bool:
    try:
        return path.is_file() and not path.stat().st_size
    except OSError:
        return False  # what is wrong with it is told when it is opened


def raws_of(path: Path, turns: Turns) -> Iterator[tuple[str, Raw]]:
    """Yield ``(place, prompt)`` of every record of a file; none of an empty one, which `expanded` refuses by name.

    Raises:
        InputError: The file cannot be read at all.
    """
    if _is_empty(path):
        return iter(())
    match path.suffix.lower():
        case ".csv":
            return _csv(path, turns)
        case ".parquet":
            return _parquet(path, turns)
        case ".json":
            return _json(path, turns)
        case _:
            return _json_lines(path, turns)


# --- parts ----------------------------------------------------------------------------------------------------------


@dataclass
class _Writer:
    """Gathers rows and writes a part whenever it is large enough."""

    folder: Path
    number: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self.size += sum(map(len, row["turns"]))
        self.counts["rows"] += 1
        if row["reason"]:
            self.counts[row["reason"]] += 1
        if len(self.rows) >= PART_ROWS or self.size >= PART_BYTES:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        table = pa.Table.from_pylist(self.rows, schema=schema())
        write_part(self.folder / f"part-{self.number:05d}.parquet", table, self.counts)
        self.number += 1
        self.rows, self.size, self.counts = [], 0, Counter()


def read_file(inputs: Sequence[Path], output: Path, args: Mapping[str, Any]) -> None:
    """Split one file into parts; `output` says, once they are all there, how many.

    Args:
        inputs: The file.
        output: The file beside the parts that says that they are complete.
        args: ``file``: its number, from 0; ``turns``; ``licence``: of prompts that name none; ``alone``: was it named by
            itself?

    Raises:
        InputError: Not one record of a file that was named by itself can be used.
    """
    (path,) = inputs
    writer = _Writer(output.parent / output.stem)
    first, usable, problem = "", 0, ""
    try:
        for number, (where, raw) in enumerate(raws_of(path, args["turns"])):
            first = first or (f"{where}: {raw.reason}" if raw.reason else "")
            usable += not raw.reason
            writer.add(
                {
                    "row": (int(args["file"]) << 40) | number,
                    "id": raw.id,
                    "turns": [turn[:_KEPT] for turn in raw.turns],
                    "category": raw.category,
                    "language": raw.language,
                    "source": raw.source or path.stem,
                    "licence": raw.licence or args["licence"],
                    "flagged": raw.flagged,
                    "place": f"{path.name}: {where}",
                    "reason": raw.reason,
                }
            )
    except InputError as error:
        if args.get("alone", True):
            raise
        # Nothing says how much of a damaged file was sound before the fault.
        problem, usable = f"{error.record}: {error.problem}" if error.record else error.problem, 0
        writer = _Writer(output.parent / output.stem)
    if not usable and not problem:
        problem = "the file is empty" if _is_empty(path) else f"no prompt in this file{f' ({first})' if first else ''}"
        if args.get("alone", True):
            raise _no_prompt(path, problem)
    if writer.rows or not writer.number:
        writer.flush()
    write_whole(output, json.dumps({"parts": writer.number, "usable": usable, "problem": problem}).encode())


def _no_prompt(path: Path, problem: str) -> InputError:
    mend = "expected prompt, instruction, turns, or a conversation in each record"
    return InputError(problem, path=path, mend="save it as UTF-8" if "not_utf8" in problem else mend)


def problems_of(done: Sequence[Path], files: Sequence[Path], named: Collection[Path]) -> dict[int, str]:
    """Return why files were passed over, by their numbers.

    Args:
        done: What `read_file` wrote last of each file.
        files: The files.
        named: Those that were named by themselves.

    Raises:
        InputError: One of those was passed over when a folder was given, or no file holds a prompt.
    """
    told = [json.loads(path.read_bytes()) for path in done]
    problems = {k: str(one["problem"]) for k, one in enumerate(told) if one["problem"]}
    for k, problem in problems.items():
        if files[k] in named:
            raise _no_prompt(files[k], problem)
    if len(problems) == len(files):
        k, problem = next(iter(problems.items()))
        raise InputError(
            f"of {len(files)} files none holds a prompt; the first, {printable(files[k].name, 80)}: {problem}",
            path=files[k].parent,
        )
    return problems


def parts_of(done: Path) -> list[Path]:
    """Return the parts of a file that `read_file` has split; `done` is what it wrote last."""
    count = json.loads(done.read_bytes())["parts"]
    return [done.parent / done.stem / f"part-{number:05d}.parquet" for number in range(count)]
