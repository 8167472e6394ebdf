"""The records of Arena-Hard-Auto: labels, baselines, and the shapes of a question, an answer and a game."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditkit.errors import InputError
from auditkit.formats import _io

#: The verdict of a game: the outcome for the answer shown first (A), and how often it counts.
LABELS: Final = {
    "A>>B": (1.0, 3.0), "A>B": (1.0, 1.0), "A=B": (0.5, 1.0), "A<B": (0.0, 1.0), "A<<B": (0.0, 3.0),
    "B>>A": (0.0, 3.0), "B>A": (0.0, 1.0), "B=A": (0.5, 1.0), "B<A": (1.0, 1.0), "B<<A": (1.0, 3.0),
}  # fmt: skip
#: The baseline of each category (``utils/judge_utils.py``).
BASELINES: Final = {
    "arena-hard-v0.1": "gpt-4-0314",
    "hard_prompt": "o3-mini-2025-01-31",
    "coding": "o3-mini-2025-01-31",
    "math": "o3-mini-2025-01-31",
    "creative_writing": "gemini-2.0-flash-001",
}
FIRST: Final = "arena-hard-v0.1"
ORDERS: Final = ("model_second", "model_first")
JUDGMENTS, ANSWERS, QUESTIONS = "model_judgment", "model_answer", "question.jsonl"


def id_of(record: dict[str, object], path: Path, where: str) -> str:
    name = "uid" if "uid" in record else "question_id"
    value = record.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _io.text_of(record, name, path=path, where=where)


def _objects(record: dict[str, object], name: str, path: Path, where: str) -> list[dict[str, object]]:
    value = record.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(f"field {name!r}: expected a list of objects", path=path, record=where)
    return value


@dataclass(frozen=True)
class Answer:
    model: str
    prompt_id: str
    text: str
    thought: str
    declared: str
    asked: str


def answer_of(record: dict[str, object], path: Path, where: str) -> Answer | None:
    """Return an answer of either shape; None where the model gave none."""
    key = id_of(record, path, where)
    if "messages" in record:
        messages = _objects(record, "messages", path, where)
        model = _io.text_of(record, "model", path=path, where=where, optional=True)
        asked = "\n\n".join(
            _io.text_of(m, "content", path=path, where=where) for m in messages if m.get("role") == "user"
        )
        last = next((m for m in reversed(messages) if m.get("role") == "assistant"), {})
        content, name = (last.get("content"), "answer") if isinstance(last.get("content"), dict) else (last, "content")
        style = record.get("metadata")
    else:
        choices = _objects(record, "choices", path, where)
        model = _io.text_of(record, "model_id", path=path, where=where, optional=True)
        asked = ""
        turns = _objects(choices[0], "turns", path, where) if choices else []
        content, name = (turns[-1] if turns else {}), "content"
        style = record.get("conv_metadata")
        if isinstance(content, dict) and "token_len" in content:
            style = {"token_len": content["token_len"], **(style if isinstance(style, dict) else {})}
    if not isinstance(content, dict) or content.get(name) is None:
        return None
    return Answer(
        model,
        key,
        _io.text_of(content, name, path=path, where=where),
        _io.text_of(content, "thought", path=path, where=where, optional=True),
        json.dumps(style) if isinstance(style, dict) else "",
        asked,
    )


@dataclass(frozen=True)
class Question:
    text: str
    category: str
    cluster: str
    language: str


def question_of(record: dict[str, object], path: Path, where: str) -> Question:
    def field_of(name: str) -> str:
        return _io.text_of(record, name, path=path, where=where, optional=True)

    if "prompt" in record or "turns" not in record:
        text = _io.text_of(record, "prompt", path=path, where=where)
    else:
        turns = record["turns"]
        if not isinstance(turns, list):
            raise InputError("field 'turns': expected a list", path=path, record=where)
        text = "\n\n".join(
            _io.text_of(turn if isinstance(turn, dict) else {"content": turn}, "content", path=path, where=where)
            for turn in turns
        )
    return Question(text, field_of("category"), field_of("cluster") or field_of("subcategory"), field_of("language"))


def shown(game: dict[str, object], side: str) -> str | None:
    """Return the answer that the judge was shown as `side` ("A" or "B"); None where the prompt does not tell.

    An answer that holds the delimiters itself makes the prompt ambiguous, so that it tells nothing.
    """
    text = game.get("user_prompt")
    messages = game.get("prompt")
    if isinstance(messages, list) and messages and isinstance(messages[-1], dict):
        text = messages[-1].get("content")
    start, end = f"<|The Start of Assistant {side}'s Answer|>\n", f"\n<|The End of Assistant {side}'s Answer|>"
    if not isinstance(text, str) or text.count(start) != 1 or text.count(end) != 1:
        return None
    return _io.clean(text.partition(start)[2].partition(end)[0])


def verdict(game: object, order: str, path: Path, where: str, counted: Counter[str]) -> tuple[str, float, float]:
    """Return a game's label, its outcome from the model's side and its weight."""
    if game is None:
        counted["null_game"] += 1
        return "", math.nan, 1.0
    if not isinstance(game, dict):
        raise InputError("field 'games': expected objects or null", path=path, record=where)
    label = _io.text_of(game, "score", path=path, where=where, optional=True)
    if label not in LABELS:
        counted["unknown_label" if label else "unparsed"] += 1
        return label, math.nan, 1.0
    outcome, weight = LABELS[label]
    return label, outcome if order == "model_first" else 1.0 - outcome, weight
