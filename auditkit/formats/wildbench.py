"""Read WildBench: score files, pair result files, and the published tables of counts.

* score files ``…/eval=<judge>/<model>.json``: ``session_id, score, model_test, model_output``;
* pair result files ``…/eval=<judge>/ref=<reference>/<model>.json``: ``session_id, parsed_result.choice, model_A,
  model_B, winner, extent, model_outputs``;
* count tables ``pairwise-<reference>-K=<k>.json``: wins, ties and losses a model, over all tasks and by task.

The published boards (``score.json``, ``all_stat*.json``, ``wb_elo_results.json``) are results of results and are not
read. Source of the shapes: allenai/WildBench, ``src/openai_batch_eval`` and ``leaderboard/data_dir``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from auditkit.errors import InputError
from auditkit.formats import _io
from auditkit.formats._tables import Answers
from auditkit.records import (
    DROPPED_COLUMNS,
    GAME_COLUMNS,
    PROMPT_COLUMNS,
    RATING_COLUMNS,
    TABLE_COLUMNS,
    Battles,
    Benchmark,
    Input,
    Note,
)
from auditkit.tables import table

__all__ = ["EMPTY", "REFERENCES", "TITLE", "TRUNCATED", "read", "recognise"]

TITLE: Final = "WildBench score files, pair results and count tables"
#: The three references of WB-Reward by the short names of the published tables.
REFERENCES: Final[Mapping[str, str]] = {
    "haiku": "claude-3-haiku-20240307",
    "llama": "Llama-2-70b-chat-hf",
    "gpt4t": "gpt-4-turbo-2024-04-09",
}
#: What the harness puts at the end of an answer that it cut, and in place of an empty one.
TRUNCATED: Final = "... (truncated)"
EMPTY: Final = "[This model response is empty.]"

_EXPECTED: Final = 1024
_LARGEST: Final = 10**9
_OUTCOME: Final = {"A++": 1.0, "A+": 0.75, "A=B": 0.5, "B+": 0.25, "B++": 0.0}
_EXTENT: Final = {"A++": 2, "A+": 1, "A=B": 0, "B+": 1, "B++": 2}
_COUNTS: Final = ("win_much", "win", "tie", "lose", "lose_much")
_TABLE_NAME: Final = re.compile(r"pairwise-(.+)-K=(-?\d{1,9})")

_Kind = Literal["score", "pair", "table"]


def _kind(path: Path) -> _Kind | None:
    if path.suffix not in {".json", ".jsonl"}:
        return None
    record = _io.first_record(path)
    if record is None:
        return None
    if "session_id" in record:
        if record.keys() >= {"model_A", "model_B", "model_outputs"}:
            return "pair"
        return "score" if record.keys() >= {"model_test", "score"} else None
    first = next(iter(record.values()), None)
    return "table" if isinstance(first, dict) and first.keys() >= {*_COUNTS, "total"} else None


def _files(path: Path) -> Iterator[Path]:
    return _io.walk(path) if path.is_dir() else iter((path,))


def recognise(path: Path) -> bool:
    """Say whether `path` is a WildBench score file, pair result file or count table, or a folder that holds one."""
    try:
        return any(_kind(file) is not None for file in _files(path))
    except InputError:
        return False


def read(path: Path) -> Battles:
    """Read one file, or all WildBench results below a folder.

    A score that is not a number in 1..10 and a choice that is not one of the five labels, or contradicts the file's own
    ``winner`` and ``extent``, are NaN and counted. A model compared with itself is no game and is counted as dropped.

    Raises:
        InputError: A file cannot be read, or a record lacks its fields.
    """
    found = _Found()
    readers = {"score": found.score_file, "pair": found.pair_file, "table": found.count_table}
    for file in _files(path):
        kind = _kind(file)
        if kind is not None:
            readers[kind](file)
    tested = {str(row[0]) for row in found.tables}
    # Every opponent of a game is a baseline; a reference that has a row of counts of its own is also a submission.
    baselines = {str(row[2]) for row in found.games} | ({str(row[1]) for row in found.tables} - tested)
    return Battles.build(
        Benchmark("WildBench", format="wildbench", baselines=frozenset(baselines), expected=_EXPECTED),
        games=table(GAME_COLUMNS, found.games),
        answers=found.answers.frame(),
        prompts=table(PROMPT_COLUMNS, [(name, "", "", "", "") for name in found.sessions]),
        ratings=table(RATING_COLUMNS, found.ratings),
        tables=table(TABLE_COLUMNS, found.tables),
        dropped=table(DROPPED_COLUMNS, found.dropped),
        inputs=found.inputs,
        notes=found.notes,
    )


class _Found:
    """What the files read so far hold."""

    def __init__(self) -> None:
        self.answers = Answers()
        self.sessions: dict[str, None] = {}
        self.games: list[tuple[object, ...]] = []
        self.ratings: list[tuple[object, ...]] = []
        self.tables: list[tuple[object, ...]] = []
        self.dropped: list[tuple[object, ...]] = []
        self.inputs: list[Input] = []
        self.notes: list[Note] = []
        self._seen: set[tuple[object, ...]] = set()

    def _drop(self, prompt: str, model: str, reason: str, file: Path, where: str) -> None:
        self.dropped.append((prompt, model, reason, f"{_io.clean(str(file))}: {where}"))

    def _new(self, key: tuple[object, ...], prompt: str, model: str, file: Path, where: str) -> bool:
        """Say whether `key` was not met before; a duplicate is put with the dropped rows."""
        if key in self._seen:
            self._drop(prompt, model, "duplicate", file, where)
            return False
        self._seen.add(key)
        return True

    def _finish(self, file: Path, rows: int, counts: Mapping[str, int]) -> None:
        self.inputs.append(_io.fingerprint(file, rows))
        for kind, count in counts.items():
            if count:
                self.notes.append(Note(kind, _WHAT[kind], count, _io.clean(str(file))))

    def score_file(self, file: Path) -> None:
        """Read one model's scores by one judge."""
        judge = _tagged(file, "eval=") or "unknown"
        rows, counts = 0, dict.fromkeys(("unparsed", "out_of_range"), 0)
        for where, record in _io.records_of(file):
            rows += 1
            prompt = _io.text_of(record, "session_id", path=file, where=where)
            model = _published_name(_io.text_of(record, "model_test", path=file, where=where), file)
            if not self._new(("score", prompt, model, judge), prompt, model, file, where):
                continue
            score, problem = _score(record)
            if problem:
                counts[problem] += 1
            self.sessions[prompt] = None
            answer = self.answers.add(prompt, model, _output(record.get("model_output"), file, where))
            self.ratings.append((prompt, model, judge, 1, score, answer))
        self._finish(file, rows, counts)

    def pair_file(self, file: Path) -> None:
        """Read one model's games against one reference."""
        judge = _tagged(file, "eval=") or "unknown"
        records = list(_io.records_of(file))
        pairs = [
            (_io.text_of(r, "model_A", path=file, where=w), _io.text_of(r, "model_B", path=file, where=w))
            for w, r in records
        ]
        reference = _reference(pairs, file)
        counts = dict.fromkeys(("unparsed", "contradiction"), 0)
        for (where, record), (first, second) in zip(records, pairs, strict=True):
            prompt = _io.text_of(record, "session_id", path=file, where=where)
            outputs = record.get("model_outputs")
            if not isinstance(outputs, dict):
                raise InputError("field 'model_outputs': expected an object", path=file, record=where)
            if first == second or len(outputs) == 1:
                self._drop(prompt, _published_name(first, file), "compared with itself", file, where)
                continue
            if reference not in (first, second) or not {first, second} <= {_io.clean(name) for name in outputs}:
                raise InputError(
                    f"expected the answers of {first!r} and {second!r}, one of them the reference {reference!r}",
                    path=file,
                    record=where,
                )
            texts = {_io.clean(name): _output(text, file, where) for name, text in outputs.items()}
            tested = second if first == reference else first
            model, opponent = _published_name(tested, file), _known(reference)
            if not self._new(("pair", prompt, model, opponent, judge), prompt, model, file, where):
                continue
            label, problem = _choice(record, first, second)
            if problem:
                counts[problem] += 1
            outcome = float("nan") if problem else _OUTCOME[label]
            self.sessions[prompt] = None
            rows = self.answers.add(prompt, model, texts[tested]), self.answers.add(prompt, opponent, texts[reference])
            order = "model_first" if tested == first else "model_second"
            outcome = outcome if tested == first else 1.0 - outcome
            nan = float("nan")
            self.games.append((prompt, model, opponent, judge, order, label, outcome, 1.0, "", 1, nan, *rows))
        self._finish(file, len(records), counts)

    def count_table(self, file: Path) -> None:
        """Read the counts of all models against one reference at one length margin K."""
        name = _TABLE_NAME.fullmatch(_io.clean(file.stem))
        if name is None:
            raise InputError(
                "a table of counts whose name does not say the reference and K",
                path=file,
                mend="name it pairwise-<reference>-K=<k>.json",
            )
        opponent, k = REFERENCES.get(name[1], name[1]), int(name[2])
        document = _io.read_json(file)
        if not isinstance(document, dict):
            raise InputError("expected an object of models", path=file)
        for key, entry in document.items():
            where = f"model {key!r}"
            if not isinstance(entry, dict):
                raise InputError("expected an object of counts", path=file, record=where)
            model = _io.clean(key)
            if "K" in entry and entry["K"] != k:
                raise InputError(f"the file's name says K={k}, the record K={entry['K']!r}", path=file, record=where)
            if not self._new(("table", model, opponent, k), "", model, file, where):
                continue
            counts, total = _counts(entry, file, where), _count(entry, "total", file, where)
            if sum(counts) > total:
                raise InputError(f"{sum(counts)} counted items of {total} in all", path=file, record=where)
            chars = _io.number_of(entry, "avg_len", path=file, where=where, optional=True)
            self.tables.append((model, opponent, k, "", *counts, total, chars))
            tasks = entry.get("task_categorized_results", {})
            if not isinstance(tasks, dict):
                raise InputError("field 'task_categorized_results': expected an object", path=file, record=where)
            for task, part in tasks.items():
                if not isinstance(part, dict):
                    raise InputError(f"task {task!r}: expected an object of counts", path=file, record=where)
                parts = _counts(part, file, f"{where}, task {task!r}")
                # A task's own file length is not published: its total is the items that were counted.
                self.tables.append((model, opponent, k, _io.clean(task), *parts, sum(parts), float("nan")))
        self._finish(file, len(document), {})


_WHAT: Final = {
    "unparsed": "judgments without a usable score or choice",
    "out_of_range": "scores outside 1..10, taken as unparsed",
    "contradiction": "choices that contradict the file's own winner and extent, taken as unparsed",
}


def _tagged(file: Path, tag: str) -> str:
    """Return what follows `tag` in the nearest folder's name that begins with it ("" if none does)."""
    return next((_io.clean(p.name.removeprefix(tag)) for p in file.parents if p.name.startswith(tag)), "")


def _published_name(name: str, file: Path) -> str:
    """Return the name under which the tables list a model: ``google/gemma-7b-it`` in ``gemma-7b-it.json`` loses its owner."""
    stem = _io.clean(file.stem)
    return stem if name.rpartition("/")[2] == stem else name


def _known(name: str) -> str:
    short = name.rpartition("/")[2]
    return short if short in REFERENCES.values() else name


def _reference(pairs: list[tuple[str, str]], file: Path) -> str:
    """Return the one name of a pair file that every row compares with: by folder, by file name, or a known reference."""
    met = [{first, second} for first, second in pairs if first != second]
    if not met:
        return ""
    folder, stem = _tagged(file, "ref="), _io.clean(file.stem)
    common = set.intersection(*met)
    by_folder = {name for name in set.union(*met) if folder in (name, name.rpartition("/")[2])} if folder else set()
    by_stem = {name for name in common if stem not in (name, name.rpartition("/")[2])}
    known = {name for name in common if _known(name) in REFERENCES.values()}
    for candidates in (by_folder, by_stem, known):
        if len(candidates) == 1:
            return candidates.pop()
    raise InputError(
        "which of the two models is the reference cannot be told",
        path=file,
        mend="put the file below a folder ref=<reference>",
    )


def _score(record: Mapping[str, object]) -> tuple[float, Literal["", "unparsed", "out_of_range"]]:
    value = record.get("score")
    try:
        score = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else float("nan")
    except (ValueError, OverflowError):
        score = float("nan")
    if math.isnan(score):
        return score, "unparsed"
    return (score, "") if 1 <= score <= 10 else (float("nan"), "out_of_range")


def _choice(
    record: Mapping[str, object], first: str, second: str
) -> tuple[str, Literal["", "unparsed", "contradiction"]]:
    """Return the label as the judge gave it, and why it cannot be used."""
    parsed = record.get("parsed_result")
    value = parsed.get("choice") if isinstance(parsed, dict) else None
    choice = _io.clean(value).strip() if isinstance(value, str) else ""
    if choice not in _OUTCOME:
        return choice, "unparsed"
    winner, extent = record.get("winner"), record.get("extent")
    expected = "tie" if choice == "A=B" else first if choice[0] == "A" else second
    agrees = winner in (None, expected) and extent in (None, _EXTENT[choice])
    return choice, "" if agrees else "contradiction"


def _output(value: object, path: Path, where: str) -> str:
    """Return an answer's text; a list holds samples, of which the first was judged."""
    if isinstance(value, list):
        value = value[0] if value else ""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError("a model's output: expected text or a list of texts", path=path, record=where)
    return _io.clean(value)


def _count(entry: dict[str, object], name: str, path: Path, where: str) -> int:
    value = _io.number_of(entry, name, path=path, where=where)
    if not value.is_integer() or not 0 <= value <= _LARGEST:
        raise InputError(f"field {name!r}: expected a count, got {value}", path=path, record=where)
    return int(value)


def _counts(entry: dict[str, object], path: Path, where: str) -> list[int]:
    return [_count(entry, name, path, where) for name in _COUNTS]
