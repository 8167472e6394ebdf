"""The games or ratings of a run as a table, read from its store column by column: there may be very many.

Rows come in the plan's order, whichever verdict came back first. Repeated games carry the variant ``repeat-1``,
``repeat-2`` …: they measure the judge's noise and are no part of a score.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from auditkit.errors import InputError, printable
from auditkit.judging.plan import Contest, Task
from auditkit.judging.store import Game, Rating, Store
from auditkit.records import ANSWER_COLUMNS, GAME_COLUMNS, RATING_COLUMNS, frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Answers", "Noise", "Verdicts", "answers_of", "games_table", "noise_of", "ratings_table", "verdicts_of"]

Numbers = NDArray[np.signedinteger[Any]]

_GAME: Final = (
    "prompt_id", "model", "opponent", "judge", "order", "label", "turn", "sample", "outcome", "weight", "gold",
)  # fmt: skip
_RATING: Final = ("prompt_id", "model", "judge", "turn", "sample", "score")
_NAMED: Final = frozenset({"prompt_id", "model", "opponent", "judge", "order", "label"})
_REAL: Final = frozenset({"outcome", "weight", "gold", "score"})
_PLACES: Final = {"model_first": 0, "model_second": 1, "unknown": 2}
_NAN: Final = float("nan")


# --- answers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answers:
    """The answers of a contest.

    Attributes:
        table: One row an answer and turn.
        names: Number of each model, ``len(names)`` for any other.
        rows: Row by model, place of the prompt and turn from 0; -1 where there is none, as in the last of each.
    """

    table: pd.DataFrame
    names: Mapping[str, int]
    rows: Numbers

    def row(self, names: Sequence[str], model: Numbers, place: Numbers, turn: Numbers) -> Numbers:
        """Return the rows of answers: `model` numbers `names`, `place` the prompts, `turn` counts from 1."""
        number = np.array([self.names.get(name, len(self.names)) for name in names], dtype=np.int64)
        last = self.rows.shape[2] - 1
        found: Numbers = self.rows[number[model], place, np.where((turn >= 1) & (turn <= last), turn - 1, last)]
        return found


def answers_of(contest: Contest) -> Answers:
    """Return the answers of a contest, every turn a row."""
    places = {prompt.id: k for k, prompt in enumerate(contest.prompts)}
    names = {name: k for k, name in enumerate(contest.answers)}
    most = max((len(prompt.turns) for prompt in contest.prompts), default=1)
    at = np.full((len(names) + 1, len(places) + 1, most + 1), -1, dtype=np.int64)
    columns: dict[str, list[object]] = {name: [] for name in ANSWER_COLUMNS}
    for name, answers in contest.answers.items():
        for prompt_id, answer in answers.items():
            for turn, text in enumerate(answer.turns, 1):
                if prompt_id in places and turn <= most:
                    at[names[name], places[prompt_id], turn - 1] = len(columns["text"])
                trace, finish = (answer.trace, answer.finish) if turn == len(answer.turns) else ("", "")
                row = (prompt_id, name, turn, text, trace, finish, "")
                for column, value in zip(columns.values(), row, strict=True):
                    column.append(value)
    return Answers(frame(ANSWER_COLUMNS, columns), names, at)


# --- verdicts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdicts:
    """Every verdict of a run, in the plan's order.

    Attributes:
        columns: Arrays of one length by field; texts by their numbers in `names`.
        names: Texts by field.
        place: Place of each prompt in the benchmark.
        stored: How many of them the store holds; the others are rejected.
    """

    columns: Mapping[str, NDArray[Any]]
    names: Mapping[str, Sequence[str]]
    place: Numbers
    stored: int

    def text(self, field: str, kept: NDArray[Any]) -> Any:
        """Return a field's texts in the rows `kept`, as a column of a table."""
        import pandas as pd

        return pd.array(self.names[field], dtype="str").take(self.columns[field][kept])


class _Texts:
    """Texts by number, in the order in which they come."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.codes = array("i")

    def extend(self, values: Iterable[str]) -> None:
        known = self.numbers
        self.codes.extend([known.setdefault(value, len(known)) for value in values])


def verdicts_of(contest: Contest, store: Store, runs: Iterable[str], rejected: Iterable[Task] = ()) -> Verdicts:
    """Read the verdicts of a run.

    Args:
        contest: The contest.
        store: The run's store.
        runs: The store's names of the runs that hold the models' games.
        rejected: Games that the provider refuses for good: games without an outcome.

    Raises:
        InputError: A row that cannot be read, or does not belong to the contest.
    """
    fields = _GAME if contest.judge.pairwise else _RATING
    texts = {name: _Texts() for name in fields if name in _NAMED}
    numbers = {name: array("d" if name in _REAL else "i") for name in fields if name not in _NAMED}
    for page in store.columns(Game if contest.judge.pairwise else Rating, runs, fields):
        for name, values in page.items():
            (texts.get(name) or numbers[name]).extend(values)
    stored = len(numbers["turn"])
    for task in rejected:
        row: dict[str, Any] = {
            "prompt_id": task.prompt.id, "model": task.model, "opponent": task.opponent, "judge": contest.judge_name,
            "order": task.order, "label": "", "turn": task.turn, "sample": task.sample, "weight": 1.0,
        }  # fmt: skip
        for name in fields:
            (texts.get(name) or numbers[name]).extend([row.get(name, _NAN)])
    columns = {name: _array(column.codes) for name, column in texts.items()}
    columns |= {name: _array(column) for name, column in numbers.items()}
    known = {
        "prompt_id": {prompt.id: k for k, prompt in enumerate(contest.prompts)},
        "model": {model: k for k, model in enumerate(contest.models)},
        "order": _PLACES,
    }
    place, rank, order = (
        _looked_up(texts[name], known[name], name) if name in texts else np.zeros_like(columns["turn"])
        for name in ("prompt_id", "model", "order")
    )
    at = np.lexsort((columns["sample"], order, columns["turn"], rank, place))
    return Verdicts(
        {name: column[at] for name, column in columns.items()},
        {name: list(column.numbers) for name, column in texts.items()},
        place[at],
        stored,
    )


def _array(values: array[Any]) -> NDArray[Any]:
    return np.array(values, dtype=np.float64 if values.typecode == "d" else np.int32)


def _looked_up(column: _Texts, known: Mapping[str, int], field: str) -> Numbers:
    """Return what `known` says of the text of every row."""
    for text in column.numbers:
        if text not in known:
            raise InputError(
                f"the store holds a verdict of this run with {field} {printable(text, 60)!r}, which is not in it",
                mend="the store was changed by something else; restore a copy",
            )
    found: Numbers = np.array([known[text] for text in column.numbers], dtype=np.int32)[_array(column.codes)]
    return found


# --- tables ---------------------------------------------------------------------------------------------------------


def games_table(verdicts: Verdicts, answers: Answers) -> pd.DataFrame:
    """Return the table of games."""
    import pandas as pd

    columns, kept = verdicts.columns, np.arange(len(verdicts.place))
    variants = [f"repeat-{sample}" if sample else "" for sample in range(int(columns["sample"].max(initial=0)) + 1)]
    sides = (
        answers.row(verdicts.names[name], columns[name], verdicts.place, columns["turn"])
        for name in ("model", "opponent")
    )
    return frame(
        GAME_COLUMNS,
        {
            **{n: verdicts.text(n, kept) for n in ("prompt_id", "model", "opponent", "judge", "order", "label")},
            "outcome": columns["outcome"],
            "weight": columns["weight"],
            "variant": pd.array(variants, dtype="str").take(columns["sample"]),
            "turn": columns["turn"],
            "gold": columns["gold"],
            **dict(zip(("answer", "opponent_answer"), sides, strict=True)),
        },
    )


def ratings_table(verdicts: Verdicts, answers: Answers) -> pd.DataFrame:
    """Return the table of ratings: those of the first draw."""
    columns = verdicts.columns
    kept = np.flatnonzero(columns["sample"] == 0)
    turn = columns["turn"][kept]
    return frame(
        RATING_COLUMNS,
        {
            **{name: verdicts.text(name, kept) for name in ("prompt_id", "model", "judge")},
            "turn": turn,
            "score": columns["score"][kept],
            "answer": answers.row(verdicts.names["model"], columns["model"][kept], verdicts.place[kept], turn),
        },
    )


# --- noise ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """How far verdicts on one and the same game differ: `n` games with several verdicts, the share of them (0..1)
    whose verdict changed, and the standard deviation of one verdict, pooled.
    """

    n: int
    changed: float
    sd: float


def noise_of(verdicts: Verdicts) -> Noise | None:
    """Return the judge's noise; None where no game was asked more than once."""
    columns = verdicts.columns
    value = columns["outcome" if "outcome" in columns else "score"]
    read = ~np.isnan(value)
    game = np.stack([columns[name] for name in ("prompt_id", "model", "turn", "order") if name in columns])[:, read]
    value = value[read]
    if not len(value):
        return None
    # Draws of one game follow each other.
    starts = np.flatnonzero(np.r_[True, (game[:, 1:] != game[:, :-1]).any(axis=0)])
    counts = np.diff(np.r_[starts, len(value)])
    many = counts > 1
    if not many.any():
        return None
    changed = np.minimum.reduceat(value, starts) != np.maximum.reduceat(value, starts)
    away = value - np.repeat(np.add.reduceat(value, starts) / counts, counts)
    variance = np.add.reduceat(away**2, starts)[many] / (counts[many] - 1)
    return Noise(int(many.sum()), float(changed[many].mean()), float(np.sqrt(variance.mean())))
