"""Read and write a run folder of this project: ``run.toml`` and one JSON Lines file a table.

``run.toml`` holds ``schema = "auditkit.run/1"`` and the table ``[benchmark]``. Beside it lie those of
``prompts.jsonl``, ``answers.jsonl``, ``games.jsonl``, ``ratings.jsonl``, ``counts.jsonl``, ``dropped.jsonl`` and
``notes.jsonl`` that have rows, each with exactly the columns of its table (`auditkit.records`). `answer` and
`opponent_answer` number the rows of ``answers.jsonl`` from 0 (-1: not recorded); null is a missing number. Other
files of the folder are not read. What is written is read back equal, and equal recordings are equal bytes.

A sub-folder ``judge_check`` is itself such a folder, with ``subject = "judge"``: the same judge on pairs with a known
answer. It becomes the recording's `Battles.judge_check`. A sub-folder ``attacks`` is another, with the games of
attacks by variant and a file ``suite.json`` that says what was declared: the recording's `Battles.attacked`.

The judge's file is ``judge.toml`` (of several judges the others ``judge-2.toml`` …); ``judges`` in ``run.toml`` holds
the files' hashes, and a file of another hash is noted and not used. They become `Battles.judges`.

Where ``run.toml`` has a line ``tables = "tables-…"``, the tables lie in that folder beside it: `publish` writes a new
one and then replaces ``run.toml``, so that a reader, and a crash, meet the old recording or the new one and no mixture.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, cast, get_args

from auditkit.attacked import suite_from_json, suite_to_json
from auditkit.errors import InputError, printable
from auditkit.formats import _io
from auditkit.records import (
    ANSWER_COLUMNS,
    DROPPED_COLUMNS,
    GAME_COLUMNS,
    PROMPT_COLUMNS,
    RATING_COLUMNS,
    TABLE_COLUMNS,
    Battles,
    Benchmark,
    Input,
    Note,
    Order,
    frame,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ATTACKS", "JUDGE_CHECK", "SCHEMA", "TITLE", "publish", "read", "recognise", "write"]

TITLE: Final = "run folder of auditkit (run.toml)"
SCHEMA: Final = "auditkit.run/1"
JUDGE_CHECK: Final = "judge_check"
ATTACKS: Final = "attacks"

_RUN: Final = "run.toml"
_NOTE_COLUMNS: Final = {"kind": "str", "text": "str", "count": "int64", "path": "str", "model": "str"}
_TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "prompts": PROMPT_COLUMNS,
    "answers": ANSWER_COLUMNS,
    "games": GAME_COLUMNS,
    "ratings": RATING_COLUMNS,
    "counts": TABLE_COLUMNS,
    "dropped": DROPPED_COLUMNS,
    "notes": _NOTE_COLUMNS,
}
_PLAIN: Final[Mapping[str, set[type]]] = {"str": {str}, "int64": {int}, "float64": {float, type(None)}}
_ROWS: Final = 2_000
_MAX_RUN: Final = 1 << 20
_SUITE: Final = "suite.json"
_MAX_SUITE: Final = 64 << 20
_MAX_JUDGE: Final = 4 << 20
_MOST_JUDGES: Final = 16
_TABLES_FOLDER: Final = re.compile(r"tables-[0-9a-f]{16}")
Subject = Literal["submissions", "judge"]


def recognise(path: Path) -> bool:
    """Tell whether `path` is a folder with a ``run.toml``, or that file."""
    return (path / _RUN).is_file() if path.is_dir() else path.name == _RUN


# --- reading ------------------------------------------------------------------------------------------------------


def _field(table: Mapping[str, object], name: str, kind: type, default: object, path: Path) -> Any:
    value = table.get(name, default)
    if type(value) is not kind:
        raise InputError(
            f"field '{name}': expected {kind.__name__}, got {type(value).__name__}", path=path, record="[benchmark]"
        )
    return _io.clean(value) if isinstance(value, str) else value


def _run(path: Path) -> tuple[Benchmark, Path, list[str]]:
    """Return what ``run.toml`` says: the benchmark, the folder that holds the tables, the hashes of the judges' files."""
    with _io.open_file(path) as handle:
        raw = handle.read(_MAX_RUN + 1)
    if len(raw) > _MAX_RUN:
        raise InputError(f"more than {_MAX_RUN} bytes", path=path)
    try:
        content = tomllib.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"not TOML: {error}", path=path) from error
    if content.get("schema") != SCHEMA:
        raise InputError(f"expected schema = {SCHEMA!r}, got {content.get('schema')!r}", path=path)
    table = content.get("benchmark")
    if not isinstance(table, dict):
        raise InputError("the table [benchmark] is missing", path=path)
    subject = _field(table, "subject", str, "submissions", path)
    if subject not in get_args(Subject):
        raise InputError(f"field 'subject': expected one of {', '.join(get_args(Subject))}", path=path)
    baselines = _field(table, "baselines", list, [], path)
    expected = _field(table, "expected", int, 0, path)
    if not all(isinstance(name, str) for name in baselines) or not 0 <= expected < 2**63:
        raise InputError("expected a list of names in 'baselines' and a count in 'expected'", path=path)
    tables = _field(content, "tables", str, "", path)
    if tables and not _TABLES_FOLDER.fullmatch(tables):
        raise InputError("field 'tables': expected the name of a folder of tables", path=path)
    judges = _field(content, "judges", list, [], path)
    if len(judges) > _MOST_JUDGES or not all(isinstance(digest, str) for digest in judges):
        raise InputError(f"field 'judges': expected at most {_MOST_JUDGES} hashes", path=path)
    benchmark = Benchmark(
        _field(table, "name", str, "", path),
        version=_field(table, "version", str, "", path),
        format=_field(table, "format", str, "run_folder", path),
        baselines=frozenset(_io.clean(name) for name in baselines),
        expected=expected,
        subject=cast(Subject, subject),
        simulated=_field(table, "simulated", bool, False, path),
    )
    return benchmark, path.parent / tables, judges


def _whole(record: dict[str, object], name: str, path: Path, where: str) -> int:
    value = record.get(name)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise InputError(f"field {name!r}: expected a whole number", path=path, record=where)
    return value


def _column(records: list[dict[str, object]], lines: list[int], name: str, kind: str, path: Path) -> list[object]:
    values = [record[name] for record in records]
    # The types of a whole column are looked at once; only a column that is not plain is gone through row by row.
    types = set(map(type, values))
    if types <= _PLAIN[kind]:
        if kind == "str" and all(map(str.isascii, cast("list[str]", values))):
            return values
        if kind == "float64" and all(v is None or math.isfinite(v) for v in cast("list[float | None]", values)):
            return [math.nan if value is None else value for value in values]
    at = [(record, f"line {line}") for record, line in zip(records, lines, strict=True)]
    if kind == "str":
        return [_io.text_of(record, name, path=path, where=where) for record, where in at]
    if kind == "float64":
        return [_io.number_of(record, name, path=path, where=where, optional=True) for record, where in at]
    return [_whole(record, name, path, where) for record, where in at]


def _table(path: Path, columns: Mapping[str, str]) -> tuple[pd.DataFrame, Input]:
    records: list[dict[str, object]] = []
    lines: list[int] = []
    for line, record in _io.read_jsonl(path):
        if record.keys() != columns.keys():
            odd = sorted(map(printable, record.keys() ^ columns.keys()))
            raise InputError(
                f"expected exactly the fields {', '.join(columns)}; missing or too many: {', '.join(odd)}",
                path=path,
                record=f"line {line}",
            )
        records.append(record)
        lines.append(line)
    data = {name: _column(records, lines, name, kind, path) for name, kind in columns.items()}
    return frame(columns, data), _io.fingerprint(path, len(records))


def _check(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Check what the columns' types do not say: answer numbers, orders, values in range."""
    games, ratings, rows = tables["games"], tables["ratings"], len(tables["answers"])
    for table, name, columns in (("games", games, ("answer", "opponent_answer")), ("ratings", ratings, ("answer",))):
        for column in columns:
            code = name[column]
            _refuse(table, (code < -1) | (code >= rows), f"field {column!r}: there are {rows} answers", folder)
    outcome, weight = games["outcome"], games["weight"]
    _refuse("games", ~games["order"].isin(get_args(Order)), "field 'order' is none of the known", folder)
    _refuse("games", (outcome < 0) | (outcome > 1), "field 'outcome': expected a number from 0 to 1 or null", folder)
    _refuse("games", ~((weight > 0) & (weight < 1e6)), "field 'weight': expected a positive number", folder)


def _refuse(table: str, bad: pd.Series, problem: str, folder: Path) -> None:
    if bad.any():
        raise InputError(problem, path=folder / f"{table}.jsonl", record=f"record {int(bad.to_numpy().argmax()) + 1}")


def read(path: Path) -> Battles:
    """Read a run folder (or the folder of the ``run.toml`` that is given).

    Raises:
        InputError: A file that cannot be read, or a record that has not exactly its table's fields and types.
    """
    run = path / _RUN if path.is_dir() else path
    battles = _with_attacks(_read(run), run.parent / ATTACKS)
    check = run.parent / JUDGE_CHECK / _RUN
    if not check.exists():
        return battles
    worth = _read(check)
    if worth.benchmark.subject != "judge" or battles.benchmark.subject == "judge":
        raise InputError(
            f"a folder {JUDGE_CHECK} belongs to a recording of submissions and has subject = 'judge'", path=check
        )
    return replace(battles, judge_check=worth, inputs=battles.inputs + worth.inputs)


def _with_attacks(battles: Battles, folder: Path) -> Battles:
    """Add what attacks made of the benchmark, if they were played."""
    if not (folder / _RUN).exists():
        return battles
    attacked, file = _read(folder / _RUN), folder / _SUITE
    with _io.open_file(file) as handle:
        raw = handle.read(_MAX_SUITE + 1)
    if len(raw) > _MAX_SUITE:
        raise InputError(f"more than {_MAX_SUITE} bytes", path=file)
    inputs = (*battles.inputs, *attacked.inputs, _io.fingerprint(file, 1))
    return replace(battles, attacked=replace(attacked, suite=suite_from_json(raw, file)), inputs=inputs)


def _read(run: Path) -> Battles:
    benchmark, folder, hashes = _run(run)
    judges, lost = _judges(run.parent, hashes)
    tables: dict[str, pd.DataFrame] = {}
    inputs = [_io.fingerprint(run, 1)]
    inputs += [_io.fingerprint(run.parent / _judge_file(n), 1) for n in range(1, len(hashes) + 1) if not lost]
    for name, columns in _TABLES.items():
        file = folder / f"{name}.jsonl"
        if file.exists():
            tables[name], read_file = _table(file, columns)
            inputs.append(read_file)
        else:
            tables[name] = frame(columns)
    _check(tables, folder)
    return Battles.build(
        benchmark,
        games=tables["games"],
        answers=tables["answers"],
        prompts=tables["prompts"],
        ratings=tables["ratings"],
        tables=tables["counts"],
        dropped=tables["dropped"],
        inputs=inputs,
        notes=[*(Note(**{str(k): v for k, v in row.items()}) for row in tables["notes"].to_dict("records")), *lost],
        judges=judges,
    )


def _judge_file(number: int) -> str:
    return f"judge-{number}.toml" if number > 1 else "judge.toml"


def _judges(folder: Path, hashes: Sequence[str]) -> tuple[list[str], list[Note]]:
    """Return the judges' files that are those of the run, and a note for each that is not."""
    judges, lost = [], []
    for number, digest in enumerate(hashes, 1):
        path = folder / _judge_file(number)
        try:
            with _io.open_file(path) as handle:
                raw = handle.read(_MAX_JUDGE + 1)
            text = raw.decode("utf-8") if hashlib.sha256(raw).hexdigest() == digest else None
        except (InputError, UnicodeDecodeError):
            text = None
        if text is None:
            what = "the judge's file is missing, or is not the one of this run: its gates are not measured"
            lost.append(Note("judge_changed", what, path=str(path)))
        else:
            judges.append(text)
    return judges, lost


# --- writing ------------------------------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    # A JSON string is a TOML basic string, but for the delete character, which TOML wants escaped.
    return json.dumps(_io.clean(text), ensure_ascii=False).replace("\x7f", "\\u007F")


def _hashes(battles: Battles) -> str:
    digests = ", ".join(f'"{hashlib.sha256(text.encode()).hexdigest()}"' for text in battles.judges)
    return f"judges = [{digests}]\n" if digests else ""


def _toml(battles: Battles, tables: str = "") -> str:
    benchmark = battles.benchmark
    baselines = ", ".join(map(_quoted, sorted(benchmark.baselines)))
    where = f"tables = {_quoted(tables)}\n" if tables else ""
    return (
        f"schema = {_quoted(SCHEMA)}\n{where}{_hashes(battles)}\n[benchmark]\n"
        f"name = {_quoted(benchmark.name)}\n"
        f"version = {_quoted(benchmark.version)}\n"
        f"format = {_quoted(benchmark.format)}\n"
        f"baselines = [{baselines}]\n"
        f"expected = {benchmark.expected}\n"
        f"subject = {_quoted(benchmark.subject)}\n"
        f"simulated = {str(benchmark.simulated).lower()}\n"
    )


def _lines(table: pd.DataFrame, columns: Mapping[str, str]) -> Iterator[str]:
    """Yield a line a row, so that a large table is never whole in memory as text."""
    names = list(columns)
    for start in range(0, len(table), _ROWS):
        values = []
        for name, kind in columns.items():
            column = table[name].iloc[start : start + _ROWS].tolist()
            values.append([None if math.isnan(v) else v for v in column] if kind == "float64" else column)
        for row in zip(*values, strict=True):
            yield json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, allow_nan=False) + "\n"


def _files(battles: Battles) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield the name and the lines of every table that has rows."""
    notes = frame(_NOTE_COLUMNS, {name: [getattr(note, name) for note in battles.notes] for name in _NOTE_COLUMNS})
    tables = {
        "prompts": battles.prompts, "answers": battles.answers, "games": battles.games, "ratings": battles.ratings,
        "counts": battles.tables, "dropped": battles.dropped, "notes": notes,
    }  # fmt: skip
    for name, columns in _TABLES.items():
        if len(tables[name]):
            yield f"{name}.jsonl", _lines(tables[name], columns)


def write(battles: Battles, path: Path) -> None:
    """Write a run folder; a table without rows gets no file. Equal recordings give equal bytes."""
    path.mkdir(parents=True, exist_ok=True)
    (path / _RUN).write_text(_toml(battles), encoding="utf-8", newline="\n")
    for name, lines in _files(battles):
        with (path / name).open("w", encoding="utf-8", newline="\n") as handle:
            handle.writelines(lines)
    if battles.judge_check is not None:
        write(battles.judge_check, path / JUDGE_CHECK)
    for number, text in enumerate(battles.judges, 1):
        (path / _judge_file(number)).write_text(text, encoding="utf-8", newline="\n")
    if battles.attacked is not None:
        write(battles.attacked, path / ATTACKS)
    if battles.suite is not None:
        (path / _SUITE).write_text(suite_to_json(battles.suite), encoding="utf-8", newline="\n")


def publish(battles: Battles, path: Path, record: str = "") -> None:
    """Write or replace the recording in a run folder that may be in use: whole or not at all.

    Args:
        battles: What to write.
        path: The run folder; what else lies in it stays, a ``judge_check`` that `battles` has none to replace with too.
        record: More of ``run.toml``, as TOML tables: how the recording was made. Readers do not look at it.

    Raises:
        OSError: The folder cannot be written; what was there before is still there.
    """
    path.mkdir(parents=True, exist_ok=True)
    if battles.judge_check is not None:
        publish(battles.judge_check, path / JUDGE_CHECK)
    if battles.attacked is not None:
        publish(battles.attacked, path / ATTACKS)
    if battles.suite is not None:
        _replace(path / _SUITE, suite_to_json(battles.suite))
    with _alone(path):
        for left in path.glob(".tables-*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(dir=path, prefix=".tables-"))
        try:
            digest = hashlib.sha256()
            for name, lines in _files(battles):
                with (scratch / name).open("wb") as handle:
                    for line in lines:
                        data = line.encode()
                        digest.update(data)
                        handle.write(data)
                    _settle(handle)
                digest.update(f"\0{name}\0".encode())
            scratch.chmod(0o755)
            tables = f"tables-{digest.hexdigest()[:16]}"
            if not (path / tables).exists():
                scratch.replace(path / tables)
            for number, text in enumerate(battles.judges, 1):
                _replace(path / _judge_file(number), text)
            _replace(path / _RUN, _toml(battles, tables) + record)
            for old in path.glob("tables-*"):
                if old.name != tables and _TABLES_FOLDER.fullmatch(old.name):
                    shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _settle(handle: BinaryIO) -> None:
    """Put what was written on the disk, before anything points to it."""
    handle.flush()
    os.fsync(handle.fileno())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: processes that share a run take turns."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as handle:
            handle.write(text.encode())
            _settle(handle)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
