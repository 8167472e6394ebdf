"""Read and write Arena-Hard-Auto: ``question.jsonl``, ``model_answer/*.jsonl``, ``model_judgment/<judge>/*.jsonl``.

Three shapes are read: v0.1 as first published (``question_id, choices, games`` of two objects), v0.1 as the
project keeps it today (``uid, messages, games``) and v2.0 (several judges, a baseline for each category). In the
first game of a row the baseline is shown first, in the second the model (lmarena/arena-hard-auto,
``gen_judgment.py``); a label is read from the model's side, and ``>>`` counts three times (``show_result.py``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from auditkit.errors import InputError
from auditkit.formats import _io
from auditkit.formats._arena_hard import (
    ANSWERS,
    BASELINES,
    FIRST,
    JUDGMENTS,
    LABELS,
    ORDERS,
    QUESTIONS,
    Answer,
    Question,
    answer_of,
    id_of,
    question_of,
    shown,
    verdict,
)
from auditkit.formats._arena_hard_write import write
from auditkit.formats._tables import Answers
from auditkit.records import (
    DROPPED_COLUMNS,
    GAME_COLUMNS,
    PROMPT_COLUMNS,
    Battles,
    Benchmark,
    Input,
    Note,
)
from auditkit.tables import table
from auditkit.text import split_trace

__all__ = ["BASELINES", "LABELS", "TITLE", "read", "recognise", "write"]

TITLE: Final = "Arena-Hard-Auto v0.1 and v2.0 (questions, answers, judgments)"

_PEEKED: Final = 20


def _jsonl(folder: Path) -> Iterator[Path]:
    return (p for p in _io.walk(folder) if p.suffix == ".jsonl")


def _is_judgments(path: Path) -> bool:
    record = _io.first_record(path)
    return (
        record is not None and isinstance(record.get("games"), list) and not {"uid", "question_id"}.isdisjoint(record)
    )


def _is_answers(path: Path) -> bool:
    record = _io.first_record(path)
    if record is None:
        return False
    return {"uid", "messages"} <= record.keys() or (
        "choices" in record and isinstance(record.get("question_id"), str)  # MT-Bench has whole numbers
    )


def _any(folder: Path, test: object) -> bool:
    return callable(test) and any(test(p) for p in islice(_jsonl(folder), _PEEKED))


def recognise(path: Path) -> bool:
    """Tell whether `path` is a benchmark folder, a folder of judgments or answers, or one such file."""
    try:
        if not path.is_dir():
            return path.suffix == ".jsonl" and (_is_judgments(path) or _is_answers(path))
        roots = [p for p in (path, *_subfolders(path)) if (p / JUDGMENTS).is_dir() or (p / ANSWERS).is_dir()]
        folders = [p / name for p in roots for name in (JUDGMENTS, ANSWERS)] or [path]
        return any(_any(p, _is_judgments) or _any(p, _is_answers) for p in folders if p.is_dir())
    except (InputError, OSError):
        return False


def _subfolders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".") and not p.is_symlink())


@dataclass(frozen=True)
class _Place:
    """Where a recording lies: its judgment files and, if known, the benchmark's folder with questions and answers."""

    judgments: list[Path]
    root: Path | None
    idle: list[Path] = field(default_factory=list)


def _locate(path: Path) -> _Place:
    missing = InputError(
        "there are answers here, but no judgments", path=path, mend=f"add the judge's {JUDGMENTS}/<judge>/*.jsonl"
    )
    full = path.absolute()
    inside = next((p for p in (full, *islice(full.parents, 2)) if p.name == JUDGMENTS), None)
    if not path.is_dir():
        if _is_answers(path):
            raise missing
        return _Place([path], inside.parent if inside else None)
    if inside:
        return _Place(list(_jsonl(path)), inside.parent)
    if (path / JUDGMENTS).is_dir():
        return _Place(list(_jsonl(path / JUDGMENTS)), path)
    below = _subfolders(path)
    judged = [p for p in below if (p / JUDGMENTS).is_dir()]
    answered = [p for p in (path, *below) if (p / ANSWERS).is_dir()]
    if len(judged) > 1:
        raise InputError(
            f"holds several benchmarks: {', '.join(p.name for p in judged)}", path=path, mend="point to one of them"
        )
    if judged:
        return _Place(list(_jsonl(judged[0] / JUDGMENTS)), judged[0], [p for p in answered if p != judged[0]])
    files = [p for p in _jsonl(path) if _is_judgments(p)]
    if not files:
        raise (
            missing if answered or _any(path, _is_answers) else InputError("no judgments below this folder", path=path)
        )
    return _Place(files, None)


@dataclass
class _Reader:
    """What is gathered over the files of one recording."""

    questions: dict[str, Question] = field(default_factory=dict)
    #: Everything of a game but its answers, which are read last.
    games: list[tuple[str, str, str, str, str, str, float, float]] = field(default_factory=list)
    dropped: list[tuple[str, str, str, str]] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    seen: set[tuple[str, str, str]] = field(default_factory=set)
    categories: set[str] = field(default_factory=set)
    #: The recorded answers by file and by the model and prompt that they name.
    files: dict[Path, dict[tuple[str, str], Answer]] = field(default_factory=dict)
    #: The same by prompt and by either name of the model: its own in the file, and the file's.
    recorded: dict[tuple[str, str], Answer] = field(default_factory=dict)
    #: What the judge was shown, where that is not what was recorded: ``(prompt, name) -> texts by game number``.
    shown: dict[tuple[str, str], dict[int, str]] = field(default_factory=dict)

    def note(self, kind: str, text: str, count: int, path: Path, model: str = "") -> None:
        if count:
            self.notes.append(Note(kind, text, count, _io.clean(str(path)), model))

    def ask(self, path: Path) -> None:
        """Read the questions."""
        rows = repeated = 0
        for number, record in _io.read_jsonl(path):
            rows += 1
            where = f"line {number}"
            key = id_of(record, path, where)
            repeated += key in self.questions
            self.questions.setdefault(key, question_of(record, path, where))
        self.inputs.append(_io.fingerprint(path, rows))
        self.note("duplicate_prompt", "repeated questions; the first is kept", repeated, path)

    def judge(self, path: Path) -> None:
        """Read one file of judgments."""
        counted: Counter[str] = Counter()
        rows = 0
        for number, record in _io.read_jsonl(path):
            rows += 1
            where = f"line {number}"
            key = id_of(record, path, where)
            model = _io.text_of(record, "model", path=path, where=where)
            judge = _io.text_of(record, "judge", path=path, where=where, optional=True) or path.parent.name
            reason = "duplicate" if (key, model, judge) in self.seen else ""
            baseline = self._baseline(record, key, path, where, counted)
            games = record.get("games")
            if not isinstance(games, list) or len(games) > len(ORDERS):
                raise InputError("field 'games': expected a list of one or two games", path=path, record=where)
            reason = reason or ("self" if model == baseline else "" if games else "no_games")
            if reason:
                self.dropped.append((key, model, reason, _io.clean(f"{path}: {where}")))
                counted[reason] += 1
                continue
            self.seen.add((key, model, judge))
            for order, game in zip(ORDERS, games, strict=False):
                counted["answer_differs"] += self._compare(game, order, (model, baseline), key)
                label, outcome, weight = verdict(game, order, path, where, counted)
                self.games.append((key, model, baseline, judge, order, label, outcome, weight))
        self.inputs.append(_io.fingerprint(path, rows))
        for kind, text in _COUNTED.items():
            self.note(kind, text, counted[kind], path)

    def _baseline(self, record: dict[str, object], key: str, path: Path, where: str, counted: Counter[str]) -> str:
        known = self.questions.get(key)
        category = _io.text_of(record, "category", path=path, where=where, optional=True)
        category = category or (known.category if known else "")
        named = _io.text_of(record, "baseline", path=path, where=where, optional=True)
        self.categories.add(category)
        if not named and not category:
            counted["baseline_assumed"] += 1
            category = FIRST
        if not named and category not in BASELINES:
            raise InputError(
                f"no baseline is known for the category {category!r}",
                path=path,
                record=where,
                mend="add a field 'baseline' to the judgments",
            )
        return named or BASELINES[category]

    def _compare(self, game: object, order: str, names: tuple[str, str], key: str) -> int:
        """Keep what the judge was shown where it is not the recorded answer; return how often that was so."""
        if not isinstance(game, dict):
            return 0
        differing = 0
        for name, side in zip(names, "AB" if order == "model_first" else "BA", strict=True):
            recorded = self.recorded.get((name, key))
            text = shown(game, side) if recorded else None
            if recorded is None or text is None:
                continue
            if text.split() not in (recorded.text.split(), split_trace(recorded.text)[0].split()):
                self.shown.setdefault((name, key), {})[len(self.games)] = text
                differing += 1
        return differing

    def answers(self, path: Path) -> None:
        """Read one file of answers."""
        rows = none = repeated = 0
        latest: dict[tuple[str, str], Answer] = {}
        stem = _io.clean(path.stem)
        for number, record in _io.read_jsonl(path):
            rows += 1
            answer = answer_of(record, path, f"line {number}")
            if answer is None:
                none += 1
                continue
            place = (answer.model or stem, answer.prompt_id)
            repeated += place in latest
            # Of repeated answers the last counts, as it does upstream.
            latest[place] = self.recorded[place] = answer
            self.recorded.setdefault((stem, answer.prompt_id), answer)
            if answer.asked:
                self.questions.setdefault(answer.prompt_id, Question(answer.asked, "", "", ""))
        self.files[path] = latest
        self.inputs.append(_io.fingerprint(path, rows))
        self.note("no_answer", "records without an answer", none, path)
        self.note("duplicate_answer", "repeated answers; the last counts", repeated, path)

    def linked(self) -> tuple[Answers, dict[tuple[str, str, int], int]]:
        """Return the answers, and their numbers by model, prompt and game (-1: every other game)."""
        known = {name for game in self.games for name in game[1:3]}
        plays = Counter((name, game[0]) for game in self.games for name in game[1:3])
        unread = {place for place, texts in self.shown.items() if len(texts) == plays[place]}
        answers = Answers()
        numbers: dict[tuple[str, str, int], int] = {}
        for path, latest in self.files.items():
            stem = _io.clean(path.stem)
            renamed: dict[str, None] = {}
            for (named, key), answer in latest.items():
                model = stem if named not in known and stem in known else named
                if model != named:
                    renamed[named] = None
                # An answer that no judge was shown, in favour of another text, was not what was scored.
                if (model, key) not in unread:
                    numbers[model, key, -1] = answers.add(
                        key, model, answer.text, thought=answer.thought, declared=answer.declared
                    )
            for name in renamed:
                self.note("name_differs", f"the answers say {name!r}; the judgments use the file's name", 1, path)
        for (model, key), texts in self.shown.items():
            for game, text in texts.items():
                numbers[model, key, game] = answers.add(key, model, text)
        return answers, numbers


_COUNTED: Final = {
    "unparsed": "games without a verdict",
    "null_game": "games that the judge never answered",
    "unknown_label": "games with a label that is none of the protocol's",
    "answer_differs": "answers that the judge was shown and that are not the recorded ones; the judged text is used",
    "duplicate": "repeated judgments of one prompt by one judge; the first is kept",
    "no_games": "judgments without games",
    "self": "judgments in which the baseline meets itself",
    "baseline_assumed": f"judgments without a category; the baseline of {FIRST} is assumed",
}


def read(path: Path) -> Battles:
    """Read a benchmark folder, a folder of judgments, or one judgments file.

    Questions and answers are used where they lie in the benchmark's folder. A null game, a null score and an unknown
    label are games without an outcome (NaN), each counted. `expected` is the number of questions in the
    categories that were judged (0: no questions here).

    Raises:
        InputError: No judgments, a file that cannot be read, or a record of none of the three shapes.
    """
    place = _locate(path)
    reader = _Reader()
    root = place.root
    if root and (root / QUESTIONS).is_file():
        reader.ask(root / QUESTIONS)
    asked = list(reader.questions.values())
    if root and (root / ANSWERS).is_dir():
        for file in _jsonl(root / ANSWERS):
            reader.answers(file)
    for file in place.judgments:
        reader.judge(file)
    answers, numbers = reader.linked()
    for key, *_ in reader.games:
        reader.questions.setdefault(key, Question("", "", "", ""))
    for folder in place.idle:
        reader.note("no_judgments", "a benchmark without judgments; not read", 1, folder)

    expected = sum(question.category in reader.categories for question in asked) or len(asked)
    judged: dict[tuple[str, str], set[str]] = {}
    bare: Counter[str] = Counter()
    rows: list[tuple[object, ...]] = []
    for i, game in enumerate(reader.games):
        key, model, baseline, judge, *_ = game
        judged.setdefault((model, judge), set()).add(key)
        pair = [numbers.get((n, key, i), numbers.get((n, key, -1), -1)) for n in (model, baseline)]
        bare.update(name for name, number in zip((model, baseline), pair, strict=True) if number < 0)
        rows.append((*game, "", 1, math.nan, *pair))
    for (model, judge), keys in sorted(judged.items()):
        reader.note("missing", f"prompts without a judgment by {judge}", max(0, expected - len(keys)), path, model)
    for model, count in sorted(bare.items()):
        reader.note("answers_missing", "games whose answer is not recorded", count, path, model)
    return Battles.build(
        Benchmark(
            "Arena-Hard",
            version=_version(reader.categories),
            format="arena_hard",
            baselines=frozenset(game[2] for game in reader.games),
            expected=expected,
        ),
        games=table(GAME_COLUMNS, rows),
        answers=answers.frame(),
        prompts=table(
            PROMPT_COLUMNS, [(k, q.text, q.category, q.cluster, q.language) for k, q in reader.questions.items()]
        ),
        dropped=table(DROPPED_COLUMNS, reader.dropped),
        inputs=reader.inputs,
        notes=reader.notes,
    )


def _version(categories: set[str]) -> str:
    known = {"v0.1" if c in {FIRST, ""} else "v2.0" if c in BASELINES else "" for c in categories}
    return known.pop() if len(known) == 1 else ""
