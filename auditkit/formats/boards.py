"""Read boards: every model's score with its bootstrap replicates or its interval, and maps of names between boards.

Shapes, told by the first record, whatever the file is called:

- JSON Lines or a JSON list, one object a model: ``{"model", "score", "results": [...]}`` (Arena-Hard's, Chatbot Arena's);
  ``results`` may be called ``replicates`` or ``bootstrap``, ``score`` may be missing (the mean of the replicates).
- the same with ``length_controlled_winrate`` or ``per_prompt`` for a list: one value a prompt, resampled here.
- the same, or CSV, with an interval and no list: ``lower, upper`` or ``rating_q025, rating_q975``.
- CSV of AlpacaEval's leaderboard (``win_rate, standard_error, length_controlled_winrate, lc_standard_error``): two boards.
- CSV with one column a model and one row a replicate; a JSON object of model names to lists of replicates.
- a JSON object of names to names is a map of names.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.errors import InputError, printable
from auditkit.formats._io import clean, fingerprint, number_of, open_file, read_json, records_of, text_of, walk
from auditkit.records import Input

__all__ = ["Board", "Row", "is_board", "read_boards", "read_names"]

Array = NDArray[np.float64]

_DRAWS: Final = ("results", "replicates", "bootstrap")
_PER_PROMPT: Final = ("per_prompt", "length_controlled_winrate")
_ENDS: Final = (("lower", "upper"), ("rating_q025", "rating_q975"))
_SCORE: Final = ("score", "rating")
#: AlpacaEval's leaderboard: column of the score, of its standard error, name of the board.
_ALPACA: Final = (
    ("win_rate", "standard_error", "win_rate"),
    ("length_controlled_winrate", "lc_standard_error", "length_controlled"),
)
_SUFFIXES: Final = (".jsonl", ".ndjson", ".json", ".csv")
_MOST: Final = 1 << 28  # bytes of a CSV file


@dataclass(frozen=True)
class Row:
    """One model of a board.

    Attributes:
        score: Its score, on the board's own scale.
        draws: (R,) bootstrap replicates of it; none if the board came with intervals only.
        per_prompt: (n,) its value on each prompt instead, NaN where it has none.
        ci: The interval that came with it, at 95%.
        se: The standard error that came with it, NaN if none.
    """

    score: float
    draws: Array = field(default_factory=lambda: np.empty(0))
    per_prompt: Array = field(default_factory=lambda: np.empty(0))
    ci: tuple[float, float] | None = None
    se: float = math.nan


@dataclass(frozen=True)
class Board:
    """A board: its name (the file's stem), its models in the file's order, the file."""

    name: str
    rows: Mapping[str, Row]
    source: Input


def is_board(path: Path) -> bool:
    """Tell from the first record whether `path` is a board, or a folder that directly holds one; never raise."""
    try:
        if path.is_dir():
            return any(_kind_of(file) == "board" for file in _files(path))
        return _kind_of(path) == "board"
    except (InputError, OSError, ValueError):
        return False


def read_boards(path: Path) -> tuple[list[Board], list[dict[str, str]]]:
    """Read the boards and maps of names in a file, or directly in a folder.

    Raises:
        InputError: A file is damaged, a model is listed twice, or the path holds no board.
    """
    files = _files(path) if path.is_dir() else [path]
    boards: list[Board] = []
    names: list[dict[str, str]] = []
    for file in files:
        kind = _kind_of(file)
        if kind == "names":
            names.append(read_names(file))
        elif kind == "board":
            boards += _read(file)
    if not boards:
        raise InputError(
            "no board found: expected models with a score and bootstrap replicates or an interval",
            path=path,
            mend="one JSON object a line: model, score, results",
        )
    return boards, names


def read_names(path: Path) -> dict[str, str]:
    """Read a map of names between two boards, in either direction: a JSON object of names to names.

    Raises:
        InputError: The file is damaged or something else.
    """
    value = read_json(path)
    if not isinstance(value, dict) or not value or not all(isinstance(v, str) for v in value.values()):
        raise InputError("expected an object of model names to model names", path=path)
    return {clean(k): clean(v) for k, v in value.items()}


def _files(folder: Path) -> list[Path]:
    return [f for f in walk(folder) if f.parent == folder and f.suffix.lower() in _SUFFIXES]


def _kind_of(path: Path) -> str:
    """Return "board", "names" or ""; raise only what opening raises."""
    if path.suffix.lower() == ".csv":
        header = next(_csv(path), [])
        known = set(header)
        wide = len(header) > 1 and "model" not in known
        return "board" if _board_fields(known) or "win_rate" in known or (wide and _all_numbers(path)) else ""
    if path.suffix.lower() == ".json":
        value = read_json(path)
        if isinstance(value, dict) and value:
            if all(isinstance(v, str) for v in value.values()):
                return "names"
            return "board" if all(isinstance(v, list) and v and _number(v[0]) for v in value.values()) else ""
    for _, record in records_of(path):
        return "board" if _board_fields(set(record)) else ""
    return ""


def _board_fields(known: set[str]) -> bool:
    lists = known & {*_DRAWS, *_PER_PROMPT}
    scored = known & set(_SCORE) and any(set(ends) <= known for ends in _ENDS)
    return "model" in known and bool(lists or scored)


def _read(path: Path) -> list[Board]:
    name = path.stem
    if path.suffix.lower() == ".csv":
        header = next(_csv(path))
        if "win_rate" in header:
            return _alpaca(path, header)
        rows = _narrow_csv(path, header) if "model" in header else _wide_csv(path, header)
    elif path.suffix.lower() == ".json" and isinstance(value := read_json(path), dict):
        rows = {}
        for model, draws in value.items():
            values = _list({"results": draws}, "results", path, f"field {printable(model)!r}")
            rows[clean(model)] = Row(float(values.mean()), values)
    else:
        rows = {}
        for where, record in records_of(path):
            _add(rows, text_of(record, "model", path=path, where=where), _row(record, path, where), path, where)
    return [Board(name, rows, fingerprint(path, len(rows)))]


def _add(rows: dict[str, Row], model: str, row: Row, path: Path, where: str) -> None:
    if not model:
        raise InputError("the model has no name", path=path, record=where)
    if model in rows:
        raise InputError(f"model {model!r} is listed twice", path=path, record=where)
    rows[model] = row


def _row(record: dict[str, object], path: Path, where: str) -> Row:
    draws = next((_list(record, f, path, where) for f in _DRAWS if record.get(f) is not None), np.empty(0))
    each = next(
        (_list(record, f, path, where, gaps=True) for f in _PER_PROMPT if isinstance(record.get(f), list)), np.empty(0)
    )
    score = next((number_of(record, f, path=path, where=where) for f in _SCORE if record.get(f) is not None), math.nan)
    ci = None
    for low, high in _ENDS:
        if record.get(low) is not None and record.get(high) is not None:
            ci = (number_of(record, low, path=path, where=where), number_of(record, high, path=path, where=where))
            if ci[0] > ci[1]:
                raise InputError(f"the interval's ends are the wrong way round: {low} is above {high}", path=path, record=where)  # fmt: skip
    values = draws if draws.size else each
    if not values.size and ci is None:
        raise InputError("neither replicates nor an interval", path=path, record=where, mend="give results, or lower and upper")  # fmt: skip
    if math.isnan(score):
        if not values.size:
            raise InputError("field 'score' is missing", path=path, record=where)
        score = float(np.nanmean(values))
    return Row(score, draws, each, ci)


def _list(record: dict[str, object], name: str, path: Path, where: str, gaps: bool = False) -> Array:
    value = record[name]
    if not isinstance(value, list) or not value:
        raise InputError(f"field {name!r}: expected a list of numbers that is not empty", path=path, record=where)
    if not all(_number(v) or (gaps and v is None) for v in value):
        raise InputError(f"field {name!r}: expected numbers only", path=path, record=where)
    array = np.array([math.nan if v is None else v for v in value], dtype=np.float64)
    if np.isinf(array).any() or not np.isfinite(array).any():
        raise InputError(f"field {name!r}: expected finite numbers", path=path, record=where)
    return array


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _csv(path: Path) -> Iterator[list[str]]:
    """Yield the rows of a CSV file, the header first.

    Raises:
        InputError: It cannot be read, is too large, or is not UTF-8.
    """
    with open_file(path) as handle:
        raw = handle.read(_MOST + 1)
    if len(raw) > _MOST:
        raise InputError(f"a CSV file of more than {_MOST} bytes", path=path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(10) + 1
        raise InputError("not UTF-8", path=path, record=f"line {line}", mend="save it as UTF-8") from error
    try:
        yield from csv.reader(io.StringIO(text, newline=""), strict=True)
    except csv.Error as error:
        raise InputError(f"not CSV: {error}", path=path) from error


def _records(path: Path, header: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    rows = _csv(path)
    next(rows)
    for number, row in enumerate(rows, 2):
        if not row:
            continue
        if len(row) != len(header):
            raise InputError(f"expected {len(header)} fields, got {len(row)}", path=path, record=f"line {number}")
        yield f"line {number}", dict(zip(header, row, strict=True))


def _float(text: str, name: str, path: Path, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"field {name!r}: expected a finite number, got {text!r}", path=path, record=where)
    return value


def _all_numbers(path: Path) -> bool:
    try:
        rows = _csv(path)
        next(rows)
        return all(math.isfinite(float(cell)) for cell in next(rows))
    except (InputError, ValueError, StopIteration):
        return False


def _narrow_csv(path: Path, header: list[str]) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    wanted = {f for f in (*_SCORE, *(e for ends in _ENDS for e in ends)) if f in header}
    for where, record in _records(path, header):
        numbers: dict[str, object] = {f: _float(record[f], f, path, where) for f in wanted if record[f] != ""}
        _add(rows, clean(record["model"]), _row(numbers, path, where), path, where)
    return rows


def _wide_csv(path: Path, header: list[str]) -> dict[str, Row]:
    columns: dict[str, list[float]] = {}
    for model in header:
        if model in columns or not model:
            raise InputError(
                f"column {model!r}: every model needs one column with its name", path=path, record="line 1"
            )
        columns[model] = []
    for where, record in _records(path, header):
        for model, text in record.items():
            columns[model].append(_float(text, model, path, where))
    arrays = {clean(model): np.array(values) for model, values in columns.items()}
    if any(a.size == 0 for a in arrays.values()):
        raise InputError("no row of replicates", path=path)
    return {model: Row(float(a.mean()), a) for model, a in arrays.items()}


def _alpaca(path: Path, header: list[str]) -> list[Board]:
    first = "model" if "model" in header else header[0]
    boards = []
    for column, error, name in _ALPACA:
        if column not in header:
            continue
        rows: dict[str, Row] = {}
        for where, record in _records(path, header):
            if record[column] == "":
                continue
            se = _float(record[error], error, path, where) if record.get(error) else math.nan
            _add(rows, clean(record[first]), Row(_float(record[column], column, path, where), se=se), path, where)
        if rows:
            boards.append(Board(f"{path.stem} {name}", rows, fingerprint(path, len(rows))))
    return boards
