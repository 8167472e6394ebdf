"""One model's games as arrays: what every control starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.records import Battles, Interval, Score

__all__ = [
    "Design",
    "answer_chars",
    "answer_measures",
    "applies",
    "clip",
    "design",
    "design_of",
    "judges_text",
    "not_computed",
    "points",
]

_SLOT: Final = {"model_first": -0.5, "model_second": 0.5, "unknown": np.nan}
_KEPT: Final = "_answer_measures"

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Design:
    """The games of one model, seen from its side; attack variants are not among them.

    Attributes:
        model: The model.
        games: Its rows of the games table (n).
        prompts: Prompt ids in the order of first appearance (G,).
        prompt: Code of each game's prompt (n,), 0..G-1.
        outcome: Probability that the model wins (n,); NaN: no verdict.
        order: +0.5 if the model was shown second, -0.5 if first (n,); NaN: not recorded.
        answer: Rows of the answers table, the model's (n,); -1: not recorded.
        opponent_answer: The same for the opponent (n,).
    """

    model: str
    games: pd.DataFrame
    prompts: NDArray[np.object_]
    prompt: Codes
    outcome: Floats
    order: Floats
    answer: NDArray[np.int64]
    opponent_answer: NDArray[np.int64]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which games have a verdict (n,)."""
        return np.isfinite(self.outcome)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """For which games both answers are recorded (n,)."""
        return (self.answer >= 0) & (self.opponent_answer >= 0)

    @property
    def without_verdict(self) -> int:
        """How many games have no verdict."""
        return int((~self.usable).sum())

    def keep(self, rows: NDArray[np.bool_]) -> Design:
        """Return the design with only these games, prompts renumbered."""
        codes, prompt = np.unique(self.prompt[rows], return_inverse=True)
        return Design(
            self.model,
            self.games[rows],
            self.prompts[codes],
            prompt.astype(np.intp, copy=False),
            self.outcome[rows],
            self.order[rows],
            self.answer[rows],
            self.opponent_answer[rows],
        )

    def prompt_mean(self, values: Floats | NDArray[np.bool_]) -> Floats:
        """Return the mean of `values` (n,) over the games of each prompt (G,)."""
        n = len(self.prompts)
        return np.asarray(np.bincount(self.prompt, weights=values, minlength=n) / np.bincount(self.prompt, minlength=n))


def design(battles: Battles, model: str) -> Design:
    """Return the games of `model` as arrays."""
    return design_of(model, battles.games_of(model))


def design_of(model: str, games: pd.DataFrame) -> Design:
    """Return these games (rows of the games table) as arrays under the name `model`."""
    games = games[games["variant"] == ""]
    prompt, prompts = pd.factorize(games["prompt_id"])
    return Design(
        model,
        games,
        np.asarray(prompts, dtype=object),
        prompt,
        games["outcome"].to_numpy(),
        games["order"].map(_SLOT).to_numpy(dtype=np.float64),
        games["answer"].to_numpy(),
        games["opponent_answer"].to_numpy(),
    )


def applies(battles: Battles) -> bool:
    """Tell whether a recording has games from which a submission's win rate can be computed."""
    return battles.benchmark.subject == "submissions" and len(battles.games) > 0


def answer_measures(battles: Battles) -> pd.DataFrame:
    """Return `auditkit.text.measure` of the answers table, measured once for all controls of a recording."""
    from auditkit.text import measure

    kept: pd.DataFrame | None = battles.__dict__.get(_KEPT)
    if kept is None:  # kept as functools.cached_property keeps it: the record is frozen, its __dict__ is not
        kept = battles.__dict__[_KEPT] = measure(battles.answers["text"].tolist())
    return kept


def answer_chars(battles: Battles, rows: NDArray[np.int64]) -> Floats:
    """Return the lengths in characters of the answers in `rows` (all recorded)."""
    return np.asarray(battles.answers["text"].iloc[rows].str.len().to_numpy(dtype=np.float64))


def judges_text(found: Design) -> str:
    """Return what a method says of its judges: nothing for one, their number for several."""
    judges = found.games["judge"].nunique()
    return "" if judges < 2 else f"; games of {judges} judges, each weighs in"


def clip(interval: Interval) -> Interval:
    """Return the interval cut to 0..100: a win rate cannot lie outside."""
    return max(0.0, interval[0]), min(100.0, interval[1])


def points(share: float) -> float:
    """Return a share (0..1) in percent, with rounding noise kept inside 0..100."""
    return min(100.0, max(0.0, 100.0 * share))


def not_computed(model: str, control: str, reason: str, *, n: int = 0, method: str = "") -> Score:
    """Return a score without an estimate, and the reason."""
    return Score(model, control, None, n=n, method=method, note=reason)
