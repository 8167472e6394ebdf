"""The columns of every table that flows through auditkit, and how such a table is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ANSWER_COLUMNS",
    "DROPPED_COLUMNS",
    "GAME_COLUMNS",
    "PROMPT_COLUMNS",
    "RATING_COLUMNS",
    "TABLE_COLUMNS",
    "frame",
    "table",
]

#: One row a game (one judge call). `outcome` is the judge's probability that `model` beats `opponent`
#: (0..1; NaN: no usable verdict, never 0 or 0.5). `weight` is 1, or 3 for a strong verdict (``>>``) of
#: Arena-Hard. `gold` is 1 where `model`'s answer is known to be the right one, 0 where it is known to be
#: the wrong one, else NaN. `answer` and `opponent_answer` are row numbers of the answers table (-1: not
#: recorded). `label` is the verdict as the judge gave it, "" if there is none.
GAME_COLUMNS: Final[Mapping[str, str]] = {
    "prompt_id": "str", "model": "str", "opponent": "str", "judge": "str", "order": "str", "label": "str",
    "outcome": "float64", "weight": "float64", "variant": "str", "turn": "int64", "gold": "float64",
    "answer": "int64", "opponent_answer": "int64",
}  # fmt: skip
#: One row an answer. `text` never holds the reasoning trace. `declared` is the style metadata that came
#: with the answer, as a JSON string ("" if none): never believed, only compared with our own count.
ANSWER_COLUMNS: Final[Mapping[str, str]] = {
    "prompt_id": "str", "model": "str", "turn": "int64", "text": "str", "trace": "str", "finish": "str",
    "declared": "str",
}  # fmt: skip
#: One row a prompt, in the benchmark's own order. `text` is what the model was asked, turns joined by a blank line.
PROMPT_COLUMNS: Final[Mapping[str, str]] = {
    "prompt_id": "str", "text": "str", "category": "str", "cluster": "str", "language": "str",
}  # fmt: skip
#: One row an absolute rating (MT-Bench single, WildBench score): `score` on the judge's own scale, NaN if unparsed.
RATING_COLUMNS: Final[Mapping[str, str]] = {
    "prompt_id": "str", "model": "str", "judge": "str", "turn": "int64", "score": "float64", "answer": "int64",
}  # fmt: skip
#: Win/tie/loss counts that came without their games (WildBench tables). `k` is the length margin (-1: off),
#: `task` "" for all tasks; `total` is the file length, which includes items that were not counted.
TABLE_COLUMNS: Final[Mapping[str, str]] = {
    "model": "str", "opponent": "str", "k": "int64", "task": "str", "win_much": "int64", "win": "int64",
    "tie": "int64", "lose": "int64", "lose_much": "int64", "total": "int64", "mean_chars": "float64",
}  # fmt: skip
#: Rows that were read but cannot be a game: duplicates, rows without an answer. Counted and reported, never silent.
DROPPED_COLUMNS: Final[Mapping[str, str]] = {"prompt_id": "str", "model": "str", "reason": "str", "where": "str"}


def frame(columns: Mapping[str, str], data: Mapping[str, object] | None = None) -> pd.DataFrame:
    """Return a table with exactly `columns`, of the named types (arrays or lists in, no rows if `data` is None)."""
    import pandas as pd

    if data is None:
        return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in columns.items()})
    if list(data) != list(columns):
        raise ValueError(f"expected the columns {list(columns)}, got {list(data)}")
    return pd.DataFrame(data).astype(dict(columns))


def table(columns: Mapping[str, str], rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    """Return the table of `rows`, whose values are in the order of `columns`."""
    if not rows:
        return frame(columns)
    return frame(columns, dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)))
