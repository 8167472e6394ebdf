"""Read LLMBar's results: human-labelled pairs and a judge's verdicts in both orders.

``<subset>/<judge>/<strategy>/result.json`` holds a list of ``{input, output_1, output_2, label, results}``. A strategy
of several steps adds one element to `results` for each; the last one is the verdict that the published
``statistics.json`` counts. ``winner`` ("1", "2", else unparsed) is already in the file's frame under both
``swap = False`` (output 1 shown first) and ``swap = True`` (Zeng et al., arXiv:2310.07641). The recording is about the
judge: ``output_1`` is ``response_A``, ``output_2`` is ``response_B``, and `gold` says which of them is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from auditkit.errors import InputError
from auditkit.formats import _io
from auditkit.formats._tables import Answers
from auditkit.records import DROPPED_COLUMNS, GAME_COLUMNS, PROMPT_COLUMNS, Battles, Benchmark, Input, Note
from auditkit.tables import table

__all__ = ["TITLE", "read", "recognise"]

TITLE: Final = "LLMBar results"
_ORDERS: Final = {"swap = False": "model_first", "swap = True": "model_second"}
_OUTCOME: Final = {"1": 1.0, "2": 0.0}
_FIELDS: Final = frozenset({"input", "output_1", "output_2", "label", "results"})


def _ours(path: Path) -> bool:
    if path.suffix not in {".json", ".jsonl"}:
        return False
    record = _io.first_record(path)
    return record is not None and record.keys() >= _FIELDS


def _files(path: Path) -> Iterator[Path]:
    return filter(_ours, _io.walk(path)) if path.is_dir() else iter((path,))


def recognise(path: Path) -> bool:
    """Say whether `path` is an LLMBar ``result.json`` or a folder that holds one."""
    try:
        return any(map(_ours, _files(path)))
    except InputError:
        return False


def read(path: Path) -> Battles:
    """Read one ``result.json``, or all below a folder; judge, strategy and subset come from the folders' names.

    Raises:
        InputError: A file cannot be read, or a record lacks its fields or a label of 1 or 2.
    """
    found = _Found()
    for file in _files(path):
        found.read_file(file)
    return Battles.build(
        Benchmark("LLMBar", format="llmbar", subject="judge"),
        games=table(GAME_COLUMNS, found.games),
        answers=found.answers.frame(),
        prompts=table(PROMPT_COLUMNS, found.prompt_rows()),
        dropped=table(DROPPED_COLUMNS, found.dropped),
        inputs=found.inputs,
        notes=found.notes,
    )


def _names(file: Path) -> tuple[str, str]:
    """Return judge (with its strategy) and subset of ``<subset>/<judge>/<strategy>/result.json``."""
    folders = [_io.clean(name) for name in file.absolute().parent.parts[1:]]
    subset = folders[-3:-2]
    if folders[-4:-3] == ["Adversarial"]:
        subset = ["Adversarial", *subset]
    return "/".join(folders[-2:]) or "unknown", "/".join(subset)


class _Found:
    """What the files read so far hold."""

    def __init__(self) -> None:
        self.answers = Answers()
        self.games: list[tuple[object, ...]] = []
        self.prompts: dict[str, tuple[str, str]] = {}
        self.dropped: list[tuple[object, ...]] = []
        self.inputs: list[Input] = []
        self.notes: list[Note] = []
        self._seen: set[tuple[str, str, int, int]] = set()

    def prompt_rows(self) -> list[tuple[object, ...]]:
        return [(name, text, category, "", "") for name, (text, category) in self.prompts.items()]

    def read_file(self, file: Path) -> None:
        judge, subset = _names(file)
        rows, before = 0, len(self.games)
        for where, record in _io.records_of(file):
            rows += 1
            self._read_item(record, judge, subset, file, where)
        self.inputs.append(_io.fingerprint(file, rows))
        unparsed = sum(game[5] not in _OUTCOME for game in self.games[before:])
        if unparsed:
            self.notes.append(Note("unparsed", "verdicts that name neither output", unparsed, _io.clean(str(file))))

    def _read_item(self, record: dict[str, object], judge: str, subset: str, file: Path, where: str) -> None:
        label = record.get("label")
        if isinstance(label, bool) or label not in (1, 2):
            raise InputError(f"field 'label': expected 1 or 2, got {label!r}", path=file, record=where)
        question = _io.text_of(record, "input", path=file, where=where)
        prompt = _io.prompt_key(question)
        outputs = [_io.text_of(record, name, path=file, where=where) for name in ("output_1", "output_2")]
        verdicts = _last_step(record, file, where)
        ours = self.answers.add(prompt, "response_A", outputs[0])
        other = self.answers.add(prompt, "response_B", outputs[1])
        self.prompts.setdefault(prompt, (question, subset))
        item = (prompt, judge, ours, other)
        if item in self._seen or not verdicts:
            reason = "duplicate" if verdicts else "no judgment"
            self.dropped.append((prompt, "response_A", reason, f"{_io.clean(str(file))}: {where}"))
            return
        self._seen.add(item)
        for order, winner in verdicts:
            outcome = _OUTCOME.get(winner, float("nan"))
            gold = 1.0 if label == 1 else 0.0
            sides = ("response_A", "response_B")
            self.games.append((prompt, *sides, judge, order, winner, outcome, 1.0, "", 1, gold, ours, other))


def _last_step(record: dict[str, object], path: Path, where: str) -> list[tuple[str, str]]:
    steps = record.get("results")
    if not isinstance(steps, list):
        raise InputError("field 'results': expected a list", path=path, record=where)
    if not steps:
        return []
    last = steps[-1]
    if not isinstance(last, dict):
        raise InputError("field 'results': expected a list of objects", path=path, record=where)
    verdicts = []
    for key, order in _ORDERS.items():
        if key in last:
            verdict = last[key]
            winner = verdict.get("winner") if isinstance(verdict, dict) else None
            usable = isinstance(winner, str | int) and not isinstance(winner, bool)
            verdicts.append((order, _io.clean(str(winner)) if usable else ""))
    return verdicts
