"""Read MT-Bench folders in FastChat's shapes: questions, answers, single ratings and pairwise judgments.

``question.jsonl``, ``model_answer/*.jsonl`` and ``model_judgment/*_single.jsonl`` or ``*_pair.jsonl``
(lm-sys/FastChat, ``fastchat/llm_judge``). A single judgment rates one turn on 1..10 (-1: the judge's text had no
rating). A pairwise judgment is two games: in the first ``model_1`` is shown first, in the second ``model_2``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
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
    Battles,
    Benchmark,
    Input,
    Note,
)
from auditkit.tables import table

__all__ = ["TITLE", "read", "recognise"]

TITLE: Final = "MT-Bench questions, answers and judgments"
_EXPECTED: Final = 80
_OUTCOME: Final = {"model_1": 1.0, "tie": 0.5, "model_2": 0.0}
_GAMES: Final = {"g1_winner": "model_first", "g2_winner": "model_second"}

_Kind = Literal["question", "answer", "single", "pair"]


def _kind(path: Path) -> _Kind | None:
    if path.suffix != ".jsonl":
        return None
    record = _io.first_record(path)
    if record is None or "question_id" not in record:
        return None
    keys = record.keys()
    if keys >= {"model_1", "model_2", "g1_winner"}:
        return "pair"
    if keys >= {"model", "judge", "score", "turn"}:
        return "single"
    if keys >= {"model_id", "choices"}:
        return "answer"
    turns = record.get("turns")
    # Arena-Hard v0.1 asks its questions in objects, MT-Bench in plain texts.
    return "question" if isinstance(turns, list) and turns and all(isinstance(t, str) for t in turns) else None


def _files(path: Path) -> Iterator[Path]:
    """Yield the candidates: below a folder, or beside and around one judgment file."""
    if path.is_dir():
        yield from _io.walk(path)
        return
    yield path
    home = path.absolute().parent.parent if path.absolute().parent.name == "model_judgment" else path.absolute().parent
    yield from (file for file in (home / "question.jsonl",) if file.is_file())
    if (home / "model_answer").is_dir():
        yield from _io.walk(home / "model_answer")


def recognise(path: Path) -> bool:
    """Say whether `path` is an MT-Bench judgment file, or a folder with MT-Bench questions or judgments."""
    try:
        if not path.is_dir():
            return _kind(path) in {"single", "pair"}
        return any(_kind(file) in {"single", "pair", "question"} for file in _io.walk(path))
    except InputError:
        return False


def read(path: Path) -> Battles:
    """Read a folder, or one judgment file with the questions and answers around it.

    A rating of -1 is unparsed, one outside 1..10 is impossible; both are NaN and counted. A winner other than
    ``model_1``, ``model_2`` and ``tie`` (FastChat writes ``error``) is a game without an outcome. Where all pairwise
    judgments have the same ``model_2``, that is the baseline (FastChat's mode ``pairwise-baseline``).

    Raises:
        InputError: A file cannot be read, a record lacks its fields, or no judgment was found.
    """
    found = _Found()
    files: dict[_Kind, dict[Path, Path]] = {"question": {}, "answer": {}, "single": {}, "pair": {}}
    for file in _files(path):
        kind = _kind(file)
        if kind is not None and not (kind == "answer" and file.parent.name == "reference_answer"):
            files[kind].setdefault(file.absolute(), file)
    readers: tuple[tuple[_Kind, Callable[[dict[str, object], Path, str], None]], ...] = (
        ("question", found.question),
        ("answer", found.answer),
        ("single", found.single),
        ("pair", found.pair),
    )
    for step, reader in readers:
        for file in files[step].values():
            rows = 0
            for number, record in _io.read_jsonl(file):
                reader(record, file, f"line {number}")
                rows += 1
            found.inputs.append(_io.fingerprint(file, rows))
    if not (found.games or found.ratings):
        raise InputError(
            "MT-Bench questions or answers, but no judgments",
            path=path,
            mend="add model_judgment/*_single.jsonl or *_pair.jsonl",
        )
    seconds = {str(game[2]) for game in found.games}
    return Battles.build(
        Benchmark(
            "MT-Bench",
            format="mt_bench",
            baselines=frozenset(seconds) if len(seconds) == 1 else frozenset(),
            expected=len(found.prompts) or _EXPECTED,
        ),
        games=table(GAME_COLUMNS, found.games),
        answers=found.answers.frame(),
        prompts=table(PROMPT_COLUMNS, found.prompt_rows()),
        ratings=table(RATING_COLUMNS, found.ratings),
        dropped=table(DROPPED_COLUMNS, found.dropped),
        inputs=found.inputs,
        notes=[Note(kind, text, count, path) for (kind, text, path), count in sorted(found.counts.items())],
    )


class _Found:
    """What the files read so far hold. Questions and answers are read before judgments."""

    def __init__(self) -> None:
        self.answers = Answers()
        self.prompts: dict[str, tuple[str, str]] = {}
        self.games: list[tuple[object, ...]] = []
        self.ratings: list[tuple[object, ...]] = []
        self.dropped: list[tuple[object, ...]] = []
        self.inputs: list[Input] = []
        self.counts: dict[tuple[str, str, str], int] = {}
        self._answer_rows: dict[tuple[str, str, int], int] = {}
        self._seen: set[tuple[object, ...]] = set()

    def prompt_rows(self) -> list[tuple[object, ...]]:
        return [(name, text, category, "", "") for name, (text, category) in self.prompts.items()]

    def _count(self, kind: str, text: str, file: Path) -> None:
        key = (kind, text, _io.clean(str(file)))
        self.counts[key] = self.counts.get(key, 0) + 1

    def _new(self, key: tuple[object, ...], prompt: str, model: str, file: Path, where: str) -> bool:
        """Say whether `key` was not met before; a duplicate is put with the dropped rows."""
        if key in self._seen:
            self.dropped.append((prompt, model, "duplicate", f"{_io.clean(str(file))}: {where}"))
            return False
        self._seen.add(key)
        return True

    def question(self, record: dict[str, object], file: Path, where: str) -> None:
        prompt = _question_id(record, file, where)
        category = _io.text_of(record, "category", path=file, where=where, optional=True)
        turns = _texts(record.get("turns"), "turns", file, where)
        self.prompts.setdefault(prompt, ("\n\n".join(turns), category))

    def answer(self, record: dict[str, object], file: Path, where: str) -> None:
        prompt = _question_id(record, file, where)
        model = _io.text_of(record, "model_id", path=file, where=where)
        choices = record.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(first, dict):
            raise InputError("field 'choices': expected a list with an object", path=file, record=where)
        if self._new(("answer", prompt, model), prompt, model, file, where):
            for turn, text in enumerate(_texts(first.get("turns"), "choices[0].turns", file, where), 1):
                self._answer_rows[prompt, model, turn] = self.answers.add(prompt, model, text, turn=turn)

    def single(self, record: dict[str, object], file: Path, where: str) -> None:
        prompt = _question_id(record, file, where)
        model = _io.text_of(record, "model", path=file, where=where)
        judge, turn = _judge(record, file, where), _turn(record, file, where)
        score = _io.number_of(record, "score", path=file, where=where, optional=True)
        if score == -1 or math.isnan(score):
            self._count("unparsed", "judgments without a rating", file)
            score = float("nan")
        elif not 1 <= score <= 10:
            self._count("out_of_range", "ratings outside 1..10, taken as unparsed", file)
            score = float("nan")
        if self._new(("single", prompt, model, judge, turn), prompt, model, file, where):
            answer = self._answer_rows.get((prompt, model, turn), -1)
            self.ratings.append((prompt, model, judge, turn, score, answer))

    def pair(self, record: dict[str, object], file: Path, where: str) -> None:
        prompt = _question_id(record, file, where)
        model, opponent = (_io.text_of(record, name, path=file, where=where) for name in ("model_1", "model_2"))
        judge, turn = _judge(record, file, where), _turn(record, file, where)
        if not self._new(("pair", prompt, model, opponent, judge, turn), prompt, model, file, where):
            return
        rows = [self._answer_rows.get((prompt, name, turn), -1) for name in (model, opponent)]
        for field, order in _GAMES.items():
            winner = _io.text_of(record, field, path=file, where=where, optional=True)
            if winner not in _OUTCOME:
                self._count("unparsed", "games without a winner", file)
            outcome = _OUTCOME.get(winner, float("nan"))
            nan = float("nan")
            self.games.append((prompt, model, opponent, judge, order, winner, outcome, 1.0, "", turn, nan, *rows))


def _question_id(record: dict[str, object], path: Path, where: str) -> str:
    value = record.get("question_id")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InputError("field 'question_id': expected a whole number or text", path=path, record=where)
    return _io.clean(str(value))


def _turn(record: dict[str, object], path: Path, where: str) -> int:
    turn = record.get("turn")
    if isinstance(turn, bool) or not isinstance(turn, int) or not 1 <= turn <= 1000:
        raise InputError("field 'turn': expected 1, 2, …", path=path, record=where)
    return turn


def _judge(record: dict[str, object], path: Path, where: str) -> str:
    judge = record.get("judge")
    # FastChat writes [model, prompt]; the prompt differs between turns and categories of one judge.
    name = judge[0] if isinstance(judge, list) and judge else judge
    if not isinstance(name, str):
        raise InputError("field 'judge': expected [model, prompt]", path=path, record=where)
    return _io.clean(name)


def _texts(value: object, name: str, path: Path, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"field {name!r}: expected a list of texts", path=path, record=where)
    return [_io.clean(item) for item in value]
