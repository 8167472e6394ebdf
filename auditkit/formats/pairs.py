"""Read and write plain pairs: a JSON Lines, CSV or Parquet file with one row a game.

Columns (others are ignored and noted):

====================================  ============================================================================
``prompt_id``, ``prompt``             one of the two is needed; ``question_id`` is read as ``prompt_id``
``model``, ``opponent``               needed; or ``model_a``, ``model_b``, with ``model_a`` shown first
``outcome`` or ``winner``             one of the two is needed. ``outcome``: probability that the model wins, 0..1.
                                      ``winner``: ``model``, ``opponent``, ``tie`` (or ``model_a``, ``model_b``;
                                      ``tie (bothbad)``, ``bothbad`` and ``both_bad`` are ties). Empty: no verdict
``answer``, ``opponent_answer``       the texts (or ``answer_a``, ``answer_b``). Empty: not recorded; in CSV a quoted
                                      empty cell is an empty answer
``judge``                             who judged ("judge" if not given)
``order``                             ``model_first``, ``model_second`` or ``unknown``
``weight``                            how often the game counts in Bradley-Terry fits where all meet all (1)
``turn``                              turn of the conversation, from 1 (1)
``gold``                              1: the model's answer is known to be right, 0: wrong, empty: not known
``category``, ``cluster``,            of the prompt
``language``
``label``, ``variant``                the verdict as the judge gave it; the attack that the game was played under
====================================  ============================================================================

Where every row has the same opponent, and it is nowhere the model, it is the baseline.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from auditkit.errors import InputError, printable
from auditkit.formats import _io
from auditkit.formats._tables import Loss, refuse_losses
from auditkit.formats._unpacking import refuse_bomb
from auditkit.records import (
    ANSWER_COLUMNS,
    DROPPED_COLUMNS,
    GAME_COLUMNS,
    PROMPT_COLUMNS,
    Battles,
    Benchmark,
    Note,
    frame,
)
from auditkit.text import split_trace

__all__ = ["TITLE", "read", "recognise", "write"]

TITLE: Final = "plain pairs (JSON Lines, CSV, Parquet)"

_ALIASES: Final = {
    "question_id": "prompt_id", "model_a": "model", "model_b": "opponent", "answer_a": "answer",
    "answer_b": "opponent_answer",
}  # fmt: skip
_NUMBERS: Final = ("outcome", "weight", "turn", "gold")
_TEXTS: Final = (
    "prompt_id", "prompt", "model", "opponent", "winner", "answer", "opponent_answer", "judge", "order", "category",
    "cluster", "language", "label", "variant",
)  # fmt: skip
_NAMES: Final = frozenset({*_TEXTS, *_NUMBERS, *_ALIASES})
_TIES: Final = {"tie": 0.5, "tie (bothbad)": 0.5, "bothbad": 0.5, "both_bad": 0.5}
_WINNERS: Final = {"model": 1.0, "opponent": 0.0, **_TIES}
_WINNERS_AB: Final = {"model_a": 1.0, "model_b": 0.0, **_TIES}
_ORDERS: Final = ("model_first", "model_second", "unknown")
_SUFFIXES: Final = (".jsonl", ".ndjson", ".csv", ".parquet")
_BLOCK: Final = 64 << 20


def _fits(columns: set[str]) -> bool:
    have = {_ALIASES.get(name, name) for name in columns}
    return {"model", "opponent"} <= have and bool(have & {"outcome", "winner"}) and bool(have & {"prompt_id", "prompt"})


def recognise(path: Path) -> bool:
    """Tell whether `path` is a JSON Lines, CSV or Parquet file with the columns of pairs."""
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES or not path.is_file():
        return False
    try:
        if suffix == ".parquet":
            return _fits(set(pa_parquet.read_schema(path).names))
        if suffix == ".csv":
            with _io.open_file(path) as handle:
                head = handle.readline(1 << 16).decode("utf-8-sig")
            return _fits({name.strip().strip('"') for name in head.split(",")})
    except (InputError, OSError, ValueError, pa.ArrowException):
        return False
    record = _io.first_record(path)
    return record is not None and _fits(set(record))


# --- the file's columns -------------------------------------------------------------------------------------------


def _damaged(error: Exception, path: Path) -> InputError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(f"the file cannot be read: {reason}", path=path)


def _damaged_csv(error: Exception, path: Path, names: list[str]) -> InputError:
    """Name the row, which only Arrow's slower single-threaded reader can."""
    try:
        pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.large_string())),
        )
    except (pa.ArrowException, OSError, ValueError) as named:
        return _damaged(named, path)
    return _damaged(error, path)


def _from_csv(path: Path) -> tuple[dict[str, pd.Series], list[str]]:
    _io.open_file(path).close()
    with _io.open_file(path) as handle:
        head = handle.readline(1 << 20)
    wanted: list[str] = []
    try:
        # Every column is read as text: a model named "007" or "nan" is a name.
        names = pa_csv.read_csv(pa.BufferReader(head), parse_options=pa_csv.ParseOptions(newlines_in_values=True))
        wanted = [name for name in names.column_names if name in _NAMES]
        if not wanted:
            return {}, list(names.column_names)
        content = pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(block_size=_BLOCK),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.large_string()),
                include_columns=wanted,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged_csv(error, path, wanted) from error
    return _columns(content, path), [n for n in names.column_names if n not in _NAMES]


def _from_parquet(path: Path) -> tuple[dict[str, pd.Series], list[str]]:
    _io.open_file(path).close()
    try:
        names = pa_parquet.read_schema(path).names
        wanted = [name for name in names if name in _NAMES]
        refuse_bomb(path, wanted)
        content = pa_parquet.ParquetFile(path).read(columns=wanted)
        content.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise _damaged(error, path) from error
    return _columns(content, path), [n for n in names if n not in _NAMES]


def _columns(content: Any, path: Path) -> dict[str, pd.Series]:
    if len(set(content.column_names)) < len(content.column_names):
        raise InputError("a column's name is given twice", path=path)
    columns = {}
    for name in content.column_names:
        column = content.column(name)
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        textual = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        wants_number = name in _NUMBERS
        if pa.types.is_null(kind):
            kind = pa.float64() if wants_number else pa.large_string()
        elif textual:
            kind = pa.large_string()
        elif number and wants_number:
            kind = pa.float64()
        elif pa.types.is_integer(kind) and _ALIASES.get(name, name) == "prompt_id":
            kind = pa.large_string()
        else:
            wanted = "numbers" if wants_number else "text"
            raise InputError(f"column {name!r}: expected {wanted}, got {column.type}", path=path)
        try:
            columns[name] = column.cast(kind).to_pandas()
        except (pa.ArrowException, ValueError) as error:
            raise _damaged(error, path) from error
    return columns


def _from_jsonl(path: Path) -> tuple[dict[str, pd.Series], list[str]]:
    records = [(f"line {number}", record) for number, record in _io.read_jsonl(path)]
    present = dict.fromkeys(name for _, record in records for name in record)
    columns: dict[str, pd.Series] = {}
    for name in present:
        if name in _NUMBERS:
            values = [_io.number_of(r, name, path=path, where=w, optional=True) for w, r in records]
            columns[name] = pd.Series(values, dtype="float64")
        elif name in _NAMES:
            whole = _ALIASES.get(name, name) == "prompt_id"
            columns[name] = pd.Series([_text(r, name, path, w, whole) for w, r in records], dtype="str")
    return columns, [_io.clean(name) for name in present if name not in _NAMES]


def _text(record: dict[str, object], name: str, path: Path, where: str, whole: bool) -> str | None:
    value = record.get(name)
    if value is None:
        return None
    if whole and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _io.text_of(record, name, path=path, where=where)


# --- from columns to games ----------------------------------------------------------------------------------------


def _fail(bad: pd.Series, problem: str, path: Path, shown: pd.Series | None = None) -> None:
    """Raise for the first row that is `bad`, if any."""
    if bad.any():
        row = int(bad.to_numpy().argmax())
        got = "" if shown is None else f", got {printable(shown.iloc[row], 60)!r}"
        raise InputError(f"{problem}{got}", path=path, record=f"row {row + 1}")


def _numeric(column: pd.Series, name: str, path: Path) -> pd.Series:
    values = pd.to_numeric(column, errors="coerce").astype("float64")
    given = column.notna() if pd.api.types.is_numeric_dtype(column) else column.notna() & (column != "")
    _fail(given & ~np.isfinite(values), f"column {name!r}: expected a number", path, column)
    return values


def _outcome(columns: Mapping[str, pd.Series], lettered: bool, path: Path) -> pd.Series:
    if ("outcome" in columns) == ("winner" in columns):
        raise InputError("expected one of the columns 'outcome' and 'winner'", path=path)
    if "outcome" in columns:
        values = _numeric(columns["outcome"], "outcome", path)
        _fail((values < 0) | (values > 1), "column 'outcome': expected a number from 0 to 1", path, values)
        return values
    winner = columns["winner"].fillna("")
    known = _WINNERS_AB if lettered else _WINNERS
    values = winner.map(known).astype("float64")
    _fail(values.isna() & (winner != ""), f"column 'winner': expected one of {', '.join(known)}", path, winner)
    return values


def _optional(columns: Mapping[str, pd.Series], name: str, default: str, rows: int) -> pd.Series:
    if name not in columns:
        return pd.Series([default], dtype="str").repeat(rows).reset_index(drop=True)
    return columns[name].fillna(default)


def _prompt_ids(columns: Mapping[str, pd.Series], path: Path) -> pd.Series:
    if "prompt_id" in columns:
        ids = columns["prompt_id"]
        _fail(ids.isna() | (ids == ""), "column 'prompt_id' is empty", path)
        return ids
    if "prompt" not in columns:
        raise InputError("expected a column 'prompt_id' or 'prompt'", path=path)
    prompts = columns["prompt"]
    _fail(prompts.isna(), "column 'prompt' is empty", path)
    codes, distinct = pd.factorize(prompts)
    return pd.Series(pd.array([_io.prompt_key(text) for text in distinct], dtype="str").take(codes))


def _prompts(columns: Mapping[str, pd.Series], ids: pd.Series) -> tuple[pd.DataFrame, int]:
    """Return the prompts in first-seen order, and how many rows give another text for the same id."""
    rows = len(ids)
    texts = {name: _optional(columns, name, "", rows) for name in ("prompt", "category", "cluster", "language")}
    whole = frame(PROMPT_COLUMNS, {
        "prompt_id": ids, "text": texts["prompt"], "category": texts["category"], "cluster": texts["cluster"],
        "language": texts["language"],
    })  # fmt: skip
    distinct = whole.drop_duplicates(ignore_index=True)
    first = distinct.drop_duplicates("prompt_id", ignore_index=True)
    return first, len(distinct) - len(first)


def _answers(games: pd.DataFrame, columns: Mapping[str, pd.Series]) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Return the distinct answers of both sides in first-seen order, and each side's row numbers (-1: none)."""
    rows = len(games)
    sides = (("model", "answer"), ("opponent", "opponent_answer"))
    numbers = [np.full(rows, -1, dtype=np.int64) for _ in sides]
    given = [i for i, (_, name) in enumerate(sides) if name in columns]
    if not given:
        return frame(ANSWER_COLUMNS), numbers
    both = pd.concat(
        [
            pd.DataFrame({
                "prompt_id": games["prompt_id"], "model": games[sides[i][0]], "turn": games["turn"],
                "text": columns[sides[i][1]],
            })
            for i in given
        ],
        ignore_index=True,
    )  # fmt: skip
    there = both["text"].notna().to_numpy()
    kept = both[there]
    code = np.zeros(len(kept), dtype=np.int64)
    for name in kept.columns:
        part, distinct = pd.factorize(kept[name])
        # Renumbered after every column, so that the product of the counts cannot overflow.
        code = pd.factorize(code * max(len(distinct), 1) + part)[0].astype(np.int64)
    first = np.unique(code, return_index=True)[1]
    number = np.full(len(both), -1, dtype=np.int64)
    number[there] = code
    for i, part in zip(given, np.split(number, len(given)), strict=True):
        numbers[i] = part
    answers = kept.iloc[first].reset_index(drop=True)
    text = answers["text"].astype("str")
    trace = pd.Series([""], dtype="str").repeat(len(text)).reset_index(drop=True)
    tagged = np.flatnonzero(text.str.contains("<", regex=False))
    if len(tagged):
        split = [split_trace(text.iloc[i]) for i in tagged]
        text.iloc[tagged] = [answer for answer, _ in split]
        trace.iloc[tagged] = [thought for _, thought in split]
    nothing = pd.Series([""], dtype="str").repeat(len(text)).reset_index(drop=True)
    return frame(ANSWER_COLUMNS, {
        "prompt_id": answers["prompt_id"], "model": answers["model"], "turn": answers["turn"], "text": text,
        "trace": trace, "finish": nothing, "declared": nothing,
    }), numbers  # fmt: skip


def _games(columns: Mapping[str, pd.Series], lettered: bool, path: Path) -> pd.DataFrame:
    for name in ("model", "opponent"):
        if name not in columns:
            raise InputError(
                f"column {name!r} is missing", path=path, mend="expected model and opponent, or model_a and model_b"
            )
        _fail(columns[name].isna() | (columns[name] == ""), f"column {name!r} is empty", path)
    ids = _prompt_ids(columns, path)
    rows = len(ids)
    order = _optional(columns, "order", "model_first" if lettered else "unknown", rows)
    _fail(~order.isin(_ORDERS), f"column 'order': expected one of {', '.join(_ORDERS)}", path, order)
    numbers = {name: _numeric(columns[name], name, path) for name in ("weight", "turn", "gold") if name in columns}
    weight = numbers.get("weight", pd.Series(np.ones(rows)))
    _fail(~((weight > 0) & (weight < 1e6)), "column 'weight': expected a positive number", path, weight)
    turn = numbers.get("turn", pd.Series(np.ones(rows)))
    _fail(~((turn >= 1) & (turn <= 1e6) & (turn % 1 == 0)), "column 'turn': expected a whole number from 1", path, turn)
    gold = numbers.get("gold", pd.Series(np.full(rows, np.nan)))
    _fail(gold.notna() & ~gold.isin((0, 1)), "column 'gold': expected 0, 1 or nothing", path, gold)
    label = _optional(columns, "label" if "label" in columns else "winner", "", rows)
    unset = np.full(rows, -1, dtype=np.int64)
    return frame(GAME_COLUMNS, {
        "prompt_id": ids, "model": columns["model"], "opponent": columns["opponent"],
        "judge": _optional(columns, "judge", "judge", rows), "order": order, "label": label,
        "outcome": _outcome(columns, lettered, path), "weight": weight,
        "variant": _optional(columns, "variant", "", rows), "turn": turn, "gold": gold, "answer": unset,
        "opponent_answer": unset,
    })  # fmt: skip


def _baselines(games: pd.DataFrame) -> frozenset[str]:
    opponents = games["opponent"].unique()
    return (
        frozenset(map(str, opponents))
        if len(opponents) == 1 and opponents[0] not in set(games["model"].unique())
        else frozenset()
    )


def read(path: Path) -> Battles:
    """Read one file of pairs.

    Raises:
        InputError: The file cannot be read, a needed column is missing, or a row holds what its column cannot.
    """
    suffix = path.suffix.lower()
    readers = {".csv": _from_csv, ".parquet": _from_parquet, ".jsonl": _from_jsonl, ".ndjson": _from_jsonl}
    if suffix not in readers:
        raise InputError(f"expected a file ending in {', '.join(readers)}", path=path)
    raw, ignored = readers[suffix](path)
    clash = [f"{new} and {old}" for old, new in _ALIASES.items() if old in raw and new in raw]
    if clash:
        raise InputError(f"two columns for one thing: {', '.join(clash)}", path=path, mend="keep one of them")
    columns = {_ALIASES.get(name, name): column for name, column in raw.items()}
    if not columns or not len(next(iter(columns.values()))):
        raise InputError("no rows with columns of pairs", path=path)
    games = _games(columns, "model_a" in raw, path)
    alone = games["model"] == games["opponent"]
    dropped = frame(DROPPED_COLUMNS)
    if alone.any():
        lost = games[alone]
        where = [f"row {i + 1}" for i in lost.index]
        dropped = frame(
            DROPPED_COLUMNS,
            {"prompt_id": lost["prompt_id"], "model": lost["model"], "reason": ["self"] * len(lost), "where": where},
        ).reset_index(drop=True)
        games = games[~alone].reset_index(drop=True)
        columns = {name: column[~alone].reset_index(drop=True) for name, column in columns.items()}
    answers, numbers = _answers(games, columns)
    games["answer"], games["opponent_answer"] = numbers
    prompts, differing = _prompts(columns, games["prompt_id"])
    place = _io.clean(str(path))
    unparsed = int(games["outcome"].isna().sum())
    baselines = _baselines(games)
    unweighted = int((games["weight"] != 1).sum()) if baselines else 0
    notes = [
        Note(kind, text, count, place)
        for kind, text, count in (
            ("unparsed", "games without a verdict", unparsed),
            ("prompt_differs", "prompts whose rows disagree on text, category, cluster or language; the first counts", differing),
            ("self", "games of a model against itself; not counted", len(dropped)),
            ("weight_unused", "games with a weight: scores against a baseline count every game once", unweighted),
            ("ignored_columns", f"columns that are not read: {printable(', '.join(ignored), 200)}", len(ignored)),
        )
        if count
    ]  # fmt: skip
    return Battles.build(
        Benchmark(path.stem and _io.clean(path.stem), format="pairs", baselines=baselines),
        games=games,
        answers=answers,
        prompts=prompts,
        dropped=dropped,
        inputs=[_io.fingerprint(path, len(games))],
        notes=notes,
    )


# --- writing ------------------------------------------------------------------------------------------------------

_CANNOT: Final[frozenset[Loss]] = frozenset({
    "unjudged answers", "traces", "finish", "declared style", "ratings", "counts",
})  # fmt: skip


def write(battles: Battles, path: Path) -> None:
    """Write one file; its suffix (``.jsonl``, ``.csv``, ``.parquet``) chooses the kind.

    Prompts without a game and rows that a reader dropped are not written.

    Raises:
        InputError: The recording holds what the format cannot; nothing is written.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(f"expected a name ending in {', '.join(_SUFFIXES)}", path=path)
    refuse_losses(battles, "a file of pairs", path, _CANNOT)
    games = battles.games
    if battles.benchmark.baselines != _baselines(games):
        raise InputError(
            "a file of pairs cannot say which of several opponents are baselines",
            path=path,
            mend="write it as a run folder, which holds everything",
        )
    prompts = battles.prompts.drop_duplicates("prompt_id").set_index("prompt_id")
    rows = pd.DataFrame({"prompt_id": games["prompt_id"]})
    for name, source in {
        "prompt": "text",
        "category": "category",
        "cluster": "cluster",
        "language": "language",
    }.items():
        rows[name] = games["prompt_id"].map(prompts[source]).astype("str").fillna("")
    texts = battles.answers["text"]
    for name in ("model", "opponent", "judge", "order", "label", "variant", "outcome", "weight", "turn", "gold"):
        rows[name] = games[name]
    for name in ("answer", "opponent_answer"):
        rows[name] = games[name].map(texts).astype("str")
    content = pa.Table.from_pandas(rows, preserve_index=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".parquet":
        pa_parquet.write_table(content, path)
    elif suffix == ".csv":
        pa_csv.write_csv(content, path, pa_csv.WriteOptions(quoting_style="all_valid"))
    else:
        with path.open("w", encoding="utf-8", newline="\n") as handle:
            handle.writelines(
                json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in content.to_pylist()
            )
