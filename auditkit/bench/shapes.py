"""From a record to a prompt: plain prompts, and the conversations of LMSYS-Chat-1M, WildChat and Chatbot Arena."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from auditkit.bench.settings import Turns
from auditkit.formats._io import clean

__all__ = ["COLUMNS", "Raw", "raw_of"]

_TEXTS: Final = ("prompt", "instruction", "question", "text", "query", "input")
#: Conversations: the field, by which key a message says who speaks, by which what is said.
_TALKS: Final = (
    ("conversation_a", "role", "content"),  # Chatbot Arena: the two sides share the user's turns
    ("conversation", "role", "content"),  # LMSYS-Chat-1M, WildChat
    ("conversation_input", "role", "content"),  # WildBench
    ("messages", "role", "content"),
    ("conversations", "from", "value"),
)
_USERS: Final = frozenset({"user", "human", "prompter"})
_IDS: Final = ("uid", "question_id", "conversation_id", "conversation_hash", "prompt_id", "session_id", "id", "index")
_CATEGORIES: Final = ("category", "dataset", "primary_tag")
_LICENCES: Final = ("license", "licence")
_MODERATED: Final = ("openai_moderation", "toxic", "flagged", "toxic_chat_tag")
#: The columns of a table that are looked at: the rest of a wide Parquet file is not read.
COLUMNS: Final = frozenset(
    {*_TEXTS, *(name for name, _, _ in _TALKS), *_IDS, *_CATEGORIES, *_LICENCES, *_MODERATED, "turns", "language",
     "source"}
)  # fmt: skip


@dataclass(frozen=True)
class Raw:
    """A prompt as it stands in a file. `reason`: why it cannot be used, "" if it can."""

    turns: tuple[str, ...] = ()
    id: str = ""
    category: str = ""
    language: str = ""
    source: str = ""
    licence: str = ""
    flagged: bool = False
    reason: str = ""


def _short(record: Mapping[str, object], names: tuple[str, ...]) -> str:
    for name in names:
        value = record.get(name)
        if isinstance(value, str) and value:
            return clean(value[:200])
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return ""


def _said(content: object) -> str | None:
    """Return the text of a message; a list of parts is joined, parts that are no text are left out."""
    if isinstance(content, str):
        return clean(content)
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        texts = [clean(part) for part in parts if isinstance(part, str)]
        return "\n".join(texts) if texts else None
    return None


def _turns(record: Mapping[str, object]) -> tuple[tuple[str, ...], str]:
    """Return all user turns, and what is wrong if there are none."""
    listed = record.get("turns")
    if isinstance(listed, list):
        items = [item.get("content") if isinstance(item, dict) else item for item in listed]
        said = [_said(item) for item in items]
        if not said or any(text is None for text in said):
            return (), "no_text"
        return tuple(text for text in said if text is not None), ""
    for name, who, what in _TALKS:
        talk = record.get(name)
        if talk is None:
            continue
        if not isinstance(talk, list) or not all(isinstance(message, dict) for message in talk):
            return (), "not_a_conversation"
        said = [_said(message.get(what)) for message in talk if str(message.get(who)).lower() in _USERS]
        texts = tuple(text for text in said if text is not None)
        return texts, "" if texts else "no_user_turn"
    for name in _TEXTS:
        if name in record:
            value = record[name]
            return ((clean(value),), "") if isinstance(value, str) else ((), "empty" if value is None else "no_text")
    return (), "no_prompt"


def _flagged(record: Mapping[str, object]) -> bool:
    """Tell whether the record says that moderation flagged the conversation."""
    if record.get("toxic") is True or record.get("flagged") is True:
        return True
    for name in ("openai_moderation", "toxic_chat_tag"):
        found = record.get(name)
        for item in found if isinstance(found, list) else [found]:
            if isinstance(item, Mapping) and (item.get("flagged") is True or _any_flag(item)):
                return True
    return False


def _any_flag(item: Mapping[object, object]) -> bool:
    # Chatbot Arena's toxic_chat_tag holds a verdict for each of several classifiers.
    return any(isinstance(value, Mapping) and value.get("flagged") is True for value in item.values())


def raw_of(record: Mapping[str, object], turns: Turns) -> Raw:
    """Return the prompt of a record.

    Args:
        record: A line of a file, of any shape that is known.
        turns: Which user turns of a conversation make the prompt.
    """
    said, reason = _turns(record)
    if not reason and not any(text.strip() for text in said[: 1 if turns == "first" else None]):
        reason = "empty"
    if turns == "all" and not all(text.strip() for text in said):
        said = tuple(text for text in said if text.strip())
    return Raw(
        said[:1] if turns == "first" else said,
        _short(record, _IDS),
        _short(record, _CATEGORIES),
        _short(record, ("language",)),
        _short(record, ("source",)),
        _short(record, _LICENCES),
        _flagged(record),
        reason,
    )
