"""Build record tables from rows, and refuse to write what a format cannot hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from auditkit.errors import InputError
from auditkit.records import ANSWER_COLUMNS, PROMPT_COLUMNS, Battles
from auditkit.tables import table
from auditkit.text import split_trace

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answers", "Loss", "folder_name", "prompt_table", "refuse_losses"]

Loss = Literal[
    "label", "weight", "order", "variant", "turn", "gold", "answers", "unjudged answers", "traces", "finish",
    "declared style", "category", "cluster", "language", "ratings", "counts",
]  # fmt: skip

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._@+=-]")


def prompt_table(prompts: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """Return the table of prompts from their texts and categories by id."""
    return table(PROMPT_COLUMNS, [(key, text, category, "", "") for key, (text, category) in prompts.items()])


class Answers:
    """The answers met so far, numbered for the games: the same text of a model to a prompt and turn is one row."""

    def __init__(self) -> None:
        self._number: dict[tuple[str, str, int, str, str], int] = {}
        self._rows: list[tuple[object, ...]] = []

    def add(
        self, prompt_id: str, model: str, text: str, turn: int = 1, *, thought: str = "", declared: str = ""
    ) -> int:
        """Return the row number of an answer; a trace at its start is split off and follows `thought`."""
        key = (prompt_id, model, turn, text, thought)
        number = self._number.get(key)
        if number is None:
            number = self._number[key] = len(self._rows)
            answer, trace = split_trace(text)
            whole = "\n".join(filter(None, (thought, trace)))
            self._rows.append((prompt_id, model, turn, answer, whole, "", declared))
        return number

    def frame(self) -> pd.DataFrame:
        """Return the table of `ANSWER_COLUMNS`."""
        return table(ANSWER_COLUMNS, self._rows)


def folder_name(name: str) -> str:
    """Return a file name for `name` (a model's or judge's, written by anyone) that stays inside its folder.

    Plain names are kept; any other gets its unsafe characters replaced and a hash that keeps it apart from others.
    """
    safe = _UNSAFE.sub("_", name)[:80].lstrip(".")
    if safe == name and name:
        return name
    return f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def refuse_losses(battles: Battles, title: str, path: Path, cannot: frozenset[Loss]) -> None:
    """Raise where `battles` holds one of the things that a format cannot hold.

    Raises:
        InputError: What would be lost is named.
    """
    games, answers, prompts = battles.games, battles.answers, battles.prompts
    used = len(set(games["answer"]) | set(games["opponent_answer"])) - (
        1 if (games[["answer", "opponent_answer"]] < 0).any(axis=None) else 0
    )
    found: dict[Loss, bool] = {
        "label": bool((games["label"] != "").any()),
        "weight": bool((games["weight"] != 1).any()),
        "order": bool((games["order"] != "unknown").any()),
        "variant": bool((games["variant"] != "").any()),
        "turn": bool((games["turn"] != 1).any() or (answers["turn"] != 1).any()),
        "gold": bool(games["gold"].notna().any()),
        "answers": len(answers) > 0,
        "unjudged answers": used < len(answers),
        "traces": bool((answers["trace"] != "").any()),
        "finish": bool((answers["finish"] != "").any()),
        "declared style": bool((answers["declared"] != "").any()),
        "category": bool((prompts["category"] != "").any()),
        "cluster": bool((prompts["cluster"] != "").any()),
        "language": bool((prompts["language"] != "").any()),
        "ratings": len(battles.ratings) > 0,
        "counts": len(battles.tables) > 0,
    }
    lost = [name for name, there in found.items() if there and name in cannot]
    if lost:
        raise InputError(
            f"{title} cannot hold everything in this recording; lost would be: {', '.join(lost)}",
            path=path,
            mend="write it as a run folder, which holds everything",
        )
