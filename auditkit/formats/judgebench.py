"""Read JudgeBench's output files: pairs with a known right answer, judged in both orders.

One JSON Lines file a judge (``pair_id, source, question, response_A, response_B, label, judge_name, judgments``).
The first judgment was shown A first, the second B first, and each decision is in the frame that was shown
(ScalerLab/JudgeBench, ``utils/metrics.py``). The recording is about the judge: every game is ``response_A``
against ``response_B``, and `gold` says which of them is right.
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

TITLE: Final = "JudgeBench judge outputs"
_SIDES: Final = ("response_A", "response_B")
_GOLD: Final = {"A>B": 1.0, "B>A": 0.0}
_SHOWN_FIRST_WINS: Final = {"A>B": 1.0, "A=B": 0.5, "B>A": 0.0}
_ORDERS: Final = ("model_first", "model_second")


def _ours(path: Path) -> bool:
    if path.suffix not in {".jsonl", ".json"}:
        return False
    record = _io.first_record(path)
    return record is not None and {"pair_id", "judgments", *_SIDES} <= record.keys()


def _files(path: Path) -> Iterator[Path]:
    return filter(_ours, _io.walk(path)) if path.is_dir() else iter((path,))


def recognise(path: Path) -> bool:
    """Say whether `path` is a JudgeBench output file or a folder that holds one."""
    try:
        return any(map(_ours, _files(path)))
    except InputError:
        return False


def read(path: Path) -> Battles:
    """Read one file, or every JudgeBench file of a folder.

    A judgment that is null, or whose decision is none of ``A>B``, ``A=B``, ``B>A``, is a game without an outcome.

    Raises:
        InputError: A file cannot be read, or a record lacks its fields or a label of ``A>B`` or ``B>A``.
    """
    found = _Found()
    for file in _files(path):
        found.read_file(file)
    return Battles.build(
        Benchmark("JudgeBench", format="judgebench", subject="judge"),
        games=table(GAME_COLUMNS, found.games),
        answers=found.answers.frame(),
        prompts=table(PROMPT_COLUMNS, found.prompt_rows()),
        dropped=table(DROPPED_COLUMNS, found.dropped),
        inputs=found.inputs,
        notes=found.notes,
    )


class _Found:
    """What the files read so far hold."""

    def __init__(self) -> None:
        self.answers = Answers()
        self.games: list[tuple[object, ...]] = []
        self.prompts: dict[str, tuple[str, str]] = {}
        self.dropped: list[tuple[object, ...]] = []
        self.inputs: list[Input] = []
        self.notes: list[Note] = []
        self._seen: set[tuple[str, str]] = set()
        self._judge_model = ""

    def prompt_rows(self) -> list[tuple[object, ...]]:
        return [(name, text, category, "", "") for name, (text, category) in self.prompts.items()]

    def read_file(self, file: Path) -> None:
        rows, before = 0, len(self.games)
        self._judge_model = ""
        for where, record in _io.records_of(file):
            rows += 1
            self._read_pair(record, file, where)
        self.inputs.append(_io.fingerprint(file, rows))
        unparsed = sum(game[5] not in _SHOWN_FIRST_WINS for game in self.games[before:])
        if unparsed:
            self.notes.append(Note("unparsed", "judgments without a usable decision", unparsed, _io.clean(str(file))))

    def _read_pair(self, record: dict[str, object], file: Path, where: str) -> None:
        pair = _io.text_of(record, "pair_id", path=file, where=where)
        label = _io.text_of(record, "label", path=file, where=where)
        if label not in _GOLD:
            raise InputError(f"field 'label': expected 'A>B' or 'B>A', got {label!r}", path=file, record=where)
        judgments = _judgments(record, file, where)
        self._judge_model = _judge_model(judgments) or self._judge_model
        protocol = _io.text_of(record, "judge_name", path=file, where=where, optional=True)
        judge = "/".join(filter(None, (self._judge_model, protocol))) or "unknown"
        if not judgments or (pair, judge) in self._seen:
            reason = "duplicate" if judgments else "no judgment"
            self.dropped.append((pair, _SIDES[0], reason, f"{_io.clean(str(file))}: {where}"))
            return
        self._seen.add((pair, judge))
        question = _io.text_of(record, "question", path=file, where=where)
        source = _io.text_of(record, "source", path=file, where=where, optional=True)
        self.prompts.setdefault(pair, (question, source))
        rows = [self.answers.add(pair, side, _io.text_of(record, side, path=file, where=where)) for side in _SIDES]
        for order, entry in zip(_ORDERS, judgments, strict=False):
            decision = entry.get("decision") if entry is not None else None
            label_given = _io.clean(decision) if isinstance(decision, str) else ""
            first_wins = _SHOWN_FIRST_WINS.get(label_given, float("nan"))
            outcome = first_wins if order == "model_first" else 1.0 - first_wins
            self.games.append((pair, *_SIDES, judge, order, label_given, outcome, 1.0, "", 1, _GOLD[label], *rows))


def _judgments(record: dict[str, object], path: Path, where: str) -> list[dict[str, object] | None]:
    judgments = record.get("judgments")
    if not isinstance(judgments, list) or len(judgments) > len(_ORDERS):
        raise InputError("field 'judgments': expected a list of at most two judgments", path=path, record=where)
    if not all(entry is None or isinstance(entry, dict) for entry in judgments):
        raise InputError("field 'judgments': expected objects or null", path=path, record=where)
    return judgments


def _judge_model(judgments: list[dict[str, object] | None]) -> str:
    for entry in judgments:
        inner = entry.get("judgment") if entry is not None else None
        name = inner.get("judge_model") if isinstance(inner, dict) else None
        if isinstance(name, str) and name:
            return _io.clean(name)
    return ""
