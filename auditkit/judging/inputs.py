"""What a run starts from: prompts and recorded answers, read from any file or folder that holds them.

Prompts come from Arena-Hard and MT-Bench question files, AlpacaEval instructions, WildBench items, our own
``prompts.jsonl``, plain JSON Lines, JSON or CSV with a column ``prompt``, or any recording that `auditkit.formats`
reads. Answers come from the model answer files of the same projects, plain files with a column ``answer``, or a
recording. Answers are matched to prompts by id, else by the prompt's text; never by place.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from auditkit.errors import InputError, UnknownFormat, printable
from auditkit.formats import _io, read
from auditkit.formats._arena_hard import BASELINES, FIRST
from auditkit.judging.calls import Message
from auditkit.records import Input
from auditkit.text import split_trace

__all__ = ["Answer", "Prompt", "Prompts", "Recorded", "read_answers", "read_prompts"]

_IDS: Final = ("uid", "question_id", "prompt_id", "session_id", "id")
_TEXTS: Final = ("prompt", "instruction", "question", "text")
_ANSWERS: Final = ("answer", "output", "response", "text")
_MODELS: Final = ("model", "model_id", "generator")
_QUESTION_FILES: Final = ("question.jsonl", "prompts.jsonl")
_LONGEST_CELL: Final = 64 << 20


@dataclass(frozen=True)
class Prompt:
    """What a model is asked: the user's turns in order, and what a judge may be shown beside them.

    `history` is the conversation before the first turn; `reference` a reference answer, turn by turn.
    """

    id: str
    turns: tuple[str, ...]
    category: str = ""
    cluster: str = ""
    language: str = ""
    history: tuple[Message, ...] = ()
    checklist: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All turns, joined by a blank line."""
        return "\n\n".join(self.turns)

    @cached_property
    def sha256(self) -> str:
        """Hash (hex) of everything a model or judge may be shown of it."""
        shown = [
            self.turns, self.category, [[m.role, m.content] for m in self.history], self.checklist, self.reference,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(shown, ensure_ascii=True).encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """A model's answer, one text a turn, traces split off. `finish`: why the last turn's generation stopped."""

    turns: tuple[str, ...]
    trace: str = ""
    finish: str = ""

    @cached_property
    def sha256(self) -> str:
        """Hash (hex) of the texts that a judge is shown."""
        return hashlib.sha256(json.dumps(self.turns, ensure_ascii=True).encode()).hexdigest()


@dataclass(frozen=True)
class Prompts:
    """A benchmark's prompts in its own order. `format` and `version` name the benchmark's kind, "" if it is none known."""

    prompts: tuple[Prompt, ...]
    inputs: tuple[Input, ...]
    format: str = ""
    version: str = ""


Row = tuple[str, Mapping[str, object]]


def _rows(path: Path) -> Iterator[Row]:
    """Yield ``(place, record)`` of a JSON Lines, JSON or CSV file."""
    if path.suffix.lower() != ".csv":
        yield from _io.records_of(path)
        return
    with _io.open_file(path) as handle:
        raw = handle.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 at byte {error.start}", path=path, mend="save it as UTF-8") from error
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        for number, row in enumerate(reader, 1):
            if None in row or None in row.values():
                raise InputError("more or fewer cells than the header has", path=path, record=f"row {number}")
            yield f"row {number}", row
    except csv.Error as error:
        raise InputError(f"not CSV: {error}", path=path, record=f"line {reader.line_num}") from error
    finally:
        csv.field_size_limit(limit)


def _id(record: Mapping[str, object], path: Path, where: str) -> str:
    for name in _IDS:
        value = record.get(name)
        if isinstance(value, str) and value:
            return _io.clean(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value not in (None, ""):
            raise InputError(f"field {name!r}: expected text or a whole number", path=path, record=where)
    return ""


def _text(record: Mapping[str, object], name: str, path: Path, where: str) -> str:
    return _io.text_of(dict(record), name, path=path, where=where, optional=True)


def _list_of_texts(value: object, name: str, path: Path, where: str) -> tuple[str, ...]:
    """Return a list of texts, or of objects with ``content``; a single text is a list of one, nothing is none."""
    if value is None or value == "":
        return ()
    items = value if isinstance(value, list) else [value]
    texts = [item.get("content") if isinstance(item, dict) else item for item in items]
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"field {name!r}: expected a list of texts", path=path, record=where)
    return tuple(_io.clean(str(text)) for text in texts)


def _messages(value: object, path: Path, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise InputError("field 'conversation_input': expected a list of messages", path=path, record=where)
    out = []
    for message in value:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if role not in ("system", "user", "assistant") or not isinstance(content, str):
            raise InputError("a message needs a role and a content", path=path, record=where)
        out.append(Message(role, _io.clean(content)))
    if out[-1].role != "user":
        raise InputError("the conversation must end with the user's turn", path=path, record=where)
    return tuple(out)


def _prompt(record: Mapping[str, object], path: Path, where: str) -> Prompt:
    history: tuple[Message, ...] = ()
    if "turns" in record:
        turns = _list_of_texts(record["turns"], "turns", path, where)
    elif "conversation_input" in record:
        *before, last = _messages(record["conversation_input"], path, where)
        history, turns = tuple(before), (last.content,)
    else:
        name = next((n for n in _TEXTS if n in record), None)
        if name is None:
            raise InputError(
                f"no prompt: expected one of the fields turns, conversation_input, {', '.join(_TEXTS)}",
                path=path,
                record=where,
            )
        turns = (_text(record, name, path, where),)
    if not turns or not all(turns):
        raise InputError("the prompt is empty", path=path, record=where)
    category = next(
        (text for n in ("category", "dataset", "primary_tag") if (text := _text(record, n, path, where))), ""
    )
    return Prompt(
        _id(record, path, where) or _io.prompt_key("\n\n".join(turns)),
        turns,
        category,
        _text(record, "cluster", path, where) or _text(record, "subcategory", path, where),
        _text(record, "language", path, where),
        history,
        _list_of_texts(record.get("checklist"), "checklist", path, where),
        _list_of_texts(record.get("reference"), "reference", path, where),
    )


def _kind(record: Mapping[str, object]) -> tuple[str, str]:
    """Tell which benchmark a record of prompts is from: the format's name and its version."""
    if "conversation_input" in record:
        return "wildbench", ""
    if "instruction" in record:
        return "alpaca_eval", ""
    turns = record.get("turns")
    if isinstance(turns, list) and turns and isinstance(turns[0], str) and "question_id" in record:
        return "mt_bench", ""
    if record.get("category") in BASELINES and ("uid" in record or "question_id" in record):
        return "arena_hard", "v0.1" if record.get("category") == FIRST else "v2.0"
    return "", ""


def _question_file(path: Path) -> Path | None:
    if not path.is_dir():
        return path
    return next((path / name for name in _QUESTION_FILES if (path / name).is_file()), None)


def read_prompts(path: Path) -> Prompts:
    """Read a benchmark's prompts.

    Args:
        path: A file of prompts; a folder that holds ``question.jsonl`` or ``prompts.jsonl``; or a recording.

    Raises:
        InputError: Nothing there, two prompts with one id and different texts, or a record that is no prompt.
    """
    file = _question_file(path)
    if file is None:
        return _recorded_prompts(path)
    found: dict[str, Prompt] = {}
    kind = ("", "")
    rows = 0
    for where, record in _rows(file):
        rows += 1
        if rows == 1:
            kind = _kind(record)
        prompt = _prompt(record, file, where)
        known = found.setdefault(prompt.id, prompt)
        if known.turns != prompt.turns:
            raise InputError(f"a second prompt with the id {printable(prompt.id, 60)!r}", path=file, record=where)
    if not found:
        raise InputError("no prompts", path=file)
    return Prompts(tuple(found.values()), (_io.fingerprint(file, rows),), *kind)


def _recorded_prompts(path: Path) -> Prompts:
    try:
        battles = read(path)
    except UnknownFormat as error:
        raise InputError(
            "no prompts found",
            path=path,
            mend="point to question.jsonl, prompts.jsonl, a JSONL or CSV file, or a recording",
        ) from error
    table = battles.prompts
    if not len(table) or (table["text"] == "").any():
        raise InputError("the recording does not hold its prompts' texts", path=path)
    prompts = tuple(
        Prompt(str(key), (str(text),), str(category), str(cluster), str(language))
        for key, text, category, cluster, language in table.itertuples(index=False)
    )
    return Prompts(prompts, battles.inputs, battles.benchmark.format, battles.benchmark.version)


# --- answers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recorded:
    """One model's recorded answers by prompt id, in the benchmark's order, and the files that they were read from."""

    model: str
    answers: Mapping[str, Answer]
    inputs: tuple[Input, ...]


@dataclass
class _Answers:
    """Answers met so far, by the model that a record names and by prompt."""

    by_model: dict[str, dict[str, Answer]] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)

    def add(self, model: str, key: str, texts: Sequence[str], thought: str, finish: str) -> None:
        split = [split_trace(text) for text in texts]
        trace = "\n".join(filter(None, (thought, *(trace for _, trace in split))))
        answer = Answer(tuple(text for text, _ in split), trace, finish)
        self.by_model.setdefault(model, {}).setdefault(key, answer)


def _answer_texts(record: Mapping[str, object], path: Path, where: str) -> tuple[tuple[str, ...], str] | None:
    """Return an answer's turns and its trace as given apart; None where the record says there is none."""
    if "messages" in record:
        messages = record["messages"]
        if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            raise InputError("field 'messages': expected a list of objects", path=path, record=where)
        contents = [m.get("content") for m in messages if m.get("role") == "assistant"]
        said = [c.get("answer") if isinstance(c, dict) else c for c in contents]
        thoughts = [str(c["thought"]) for c in contents if isinstance(c, dict) and isinstance(c.get("thought"), str)]
        if not said or any(text is None for text in said):
            return None
        return _list_of_texts(said, "messages", path, where), "\n".join(thoughts)
    if "choices" in record:
        choices = record["choices"]
        first = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(first, dict):
            raise InputError("field 'choices': expected a list with an object", path=path, record=where)
        return _list_of_texts(first.get("turns"), "choices[0].turns", path, where), ""
    name = next((n for n in _ANSWERS if n in record), None)
    if name is None:
        raise InputError(
            f"no answer: expected one of the fields messages, choices, {', '.join(_ANSWERS)}", path=path, record=where
        )
    if record[name] is None:
        return None
    texts = _list_of_texts(record[name], name, path, where) if isinstance(record[name], list) else (
        _text(record, name, path, where),
    )  # fmt: skip
    return texts, _text(record, "trace", path, where)


def _answer_file(path: Path, found: _Answers) -> None:
    turns: dict[tuple[str, str], dict[int, tuple[str, str, str]]] = {}
    rows = 0
    for where, record in _rows(path):
        rows += 1
        model = next((text for n in _MODELS if (text := _text(record, n, path, where))), "")
        key = _id(record, path, where)
        if not key:
            # In a file of answers `text` is the answer.
            asked = next((text for n in _TEXTS[:-1] if (text := _text(record, n, path, where))), "")
            if not asked:
                raise InputError("an answer without the id or the text of its prompt", path=path, record=where)
            key = _io.prompt_key(asked)
        said = _answer_texts(record, path, where)
        if said is None:
            continue
        texts, thought = said
        finish = _text(record, "finish", path, where)
        turn = record.get("turn")
        if isinstance(turn, int) and not isinstance(turn, bool) and len(texts) == 1:  # one row a turn
            turns.setdefault((model, key), {}).setdefault(turn, (texts[0], thought, finish))
        else:
            found.add(model, key, texts, thought, finish)
    for (model, key), parts in turns.items():
        if sorted(parts) != list(range(1, len(parts) + 1)):
            raise InputError(f"the answer to {printable(key, 60)!r} lacks a turn", path=path)
        ordered = [parts[turn] for turn in sorted(parts)]
        found.add(model, key, [p[0] for p in ordered], "\n".join(p[1] for p in ordered if p[1]), ordered[-1][2])
    found.inputs.append(_io.fingerprint(path, rows))


def _answer_recording(path: Path, found: _Answers) -> None:
    battles = read(path)
    parts: dict[tuple[str, str], list[tuple[int, str, str, str]]] = {}
    columns = ["model", "prompt_id", "turn", "text", "trace", "finish"]
    for model, key, turn, text, trace, finish in battles.answers[columns].itertuples(index=False):
        parts.setdefault((str(model), str(key)), []).append((int(turn), str(text), str(trace), str(finish)))
    for (model, key), rows in parts.items():
        first = {turn: row for turn, *row in sorted(rows, key=lambda r: r[0], reverse=True)}
        ordered = [first[turn] for turn in sorted(first)]
        found.add(model, key, [r[0] for r in ordered], "\n".join(r[1] for r in ordered if r[1]), ordered[-1][2])
    found.inputs += battles.inputs


def read_answers(path: Path, prompts: Sequence[Prompt], model: str = "") -> Recorded:
    """Read one model's recorded answers.

    Args:
        path: A file of answers or a recording.
        prompts: The benchmark.
        model: Whose answers. Where the file names one model only, or none, it is that one under any name. "": the
            only one there is.

    Raises:
        InputError: Nothing there, several models of which none is `model`, an answer with the wrong number of turns,
            or no answer to any of the prompts.
    """
    found = _Answers()
    if path.is_dir() or _is_recording(path):
        _answer_recording(path, found)
    else:
        _answer_file(path, found)
    named = found.by_model
    if not named:
        raise InputError("no answers", path=path)
    if model not in named and len(named) > 1:
        wanted = f", none of them {printable(model, 60)!r}" if model else ""
        raise InputError(
            f"answers of several models{wanted}: {', '.join(printable(name, 40) for name in sorted(named)[:10])}",
            path=path,
            mend="name the model as the file does" if model else "give each model a file of its own",
        )
    theirs = model if model in named else next(iter(named))
    own = named[theirs]
    answers: dict[str, Answer] = {}
    for prompt in prompts:
        answer = own.get(prompt.id) or own.get(_io.prompt_key(prompt.text))
        if answer is None:
            continue
        if len(answer.turns) != len(prompt.turns):
            raise InputError(
                f"{len(answer.turns)} turns, but the prompt has {len(prompt.turns)}",
                path=path,
                record=f"answer to {printable(prompt.id, 60)!r}",
            )
        answers[prompt.id] = answer
    if not answers:
        raise InputError("none of these answers is to a prompt of the benchmark", path=path)
    return Recorded(model or theirs or path.stem, answers, tuple(found.inputs))


def _is_recording(path: Path) -> bool:
    record = _io.first_record(path) if path.suffix.lower() != ".csv" else None
    return path.suffix.lower() == ".parquet" or (
        record is not None and ("games" in record or {"output_1", "output_2"} <= record.keys())
    )
