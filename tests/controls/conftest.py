"""Recordings for the tests of controls: synthetic ones with planted effects, and the public AlpacaEval one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from auditkit.formats import alpaca_eval
from auditkit.records import ANSWER_COLUMNS, GAME_COLUMNS, PROMPT_COLUMNS, Battles, Benchmark, frame

#: One game: prompt, model, order, outcome, own answer, baseline's answer.
Row = tuple[str, str, str, float, str, str]
MakeBattles = Callable[..., Battles]


def build(
    rows: Sequence[Row],
    *,
    expected: int = 0,
    judge: str | Sequence[str] = "judge",
    subject: str = "submissions",
    opponent: str = "base",
    baselines: frozenset[str] = frozenset({"base"}),
) -> Battles:
    """Build a recording against one baseline from plain rows."""
    answers: dict[tuple[str, str, str], int] = {}
    games: dict[str, list[object]] = {name: [] for name in GAME_COLUMNS}
    judges = [judge] * len(rows) if isinstance(judge, str) else list(judge)
    for (prompt, model, order, outcome, own, other), by in zip(rows, judges, strict=True):
        numbers = [
            answers.setdefault((prompt, who, text), len(answers)) for who, text in ((model, own), (opponent, other))
        ]
        values = (prompt, model, opponent, by, order, "", outcome, 1.0, "", 1, np.nan, *numbers)
        for name, value in zip(GAME_COLUMNS, values, strict=True):
            games[name].append(value)
    ids = list(dict.fromkeys(row[0] for row in rows))
    columns = {name: [key[i] for key in answers] for i, name in enumerate(("prompt_id", "model", "text"))}
    kept = {name: columns.get(name, [1 if name == "turn" else ""] * len(answers)) for name in ANSWER_COLUMNS}
    asked = {name: ids if name in ("prompt_id", "text") else [""] * len(ids) for name in PROMPT_COLUMNS}
    return Battles.build(
        Benchmark("made up", baselines=baselines, expected=expected, subject=subject),  # type: ignore[arg-type]
        games=frame(GAME_COLUMNS, games),
        answers=frame(ANSWER_COLUMNS, kept),
        prompts=frame(PROMPT_COLUMNS, asked),
    )


@pytest.fixture(scope="session")
def make_battles() -> MakeBattles:
    """The builder of recordings from plain rows."""
    return build


@pytest.fixture(scope="session")
def alpaca(shared_data: Path) -> Battles:
    """The public AlpacaEval recording: 14 models, 805 prompts."""
    return alpaca_eval.read(shared_data / "alpaca_eval" / "results")
