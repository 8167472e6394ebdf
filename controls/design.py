"""One model's games as arrays: what every control starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.records import Battles, Interval, Score
from auditkit.stats.intervals import percentile_interval

__all__ = [
    "Design",
    "answer_chars",
    "answer_measures",
    "applies",
    "bootstrap_spread",
    "clip",
    "designs",
    "judge_designs",
    "judges_text",
    "not_computed",
    "points",
]

_SLOT: Final = {"model_first": -0.5, "model_second": 0.5, "unknown": np.nan}
_KEPT: Final = "_answer_measures"
_LENGTHS: Final = "_answer_chars"
_FEWEST: Final = 2

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Design:
    """The games of one model, seen from its side; attack variants are not among them.

    Attributes:
        model: The model.
        prompts: Prompt ids (G,).
        prompt: Code of each game's prompt (n,), 0..G-1.
        outcome: Probability that the model wins (n,); NaN: no verdict.
        order: +0.5 if the model was shown second, -0.5 if first (n,); NaN: not recorded.
        answer: Rows of the answers table, the model's (n,); -1: not recorded.
        opponent_answer: The same for the opponent (n,).
        judge: Code of each game's judge (n,).
        pair: Code of each game's prompt, opponent, judge and turn (n,): games that may differ in the order only.
    """

    model: str
    prompts: NDArray[np.object_]
    prompt: Codes
    outcome: Floats
    order: Floats
    answer: NDArray[np.int64]
    opponent_answer: NDArray[np.int64]
    judge: Codes
    pair: Codes

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

    @property
    def place(self) -> Codes:
        """Each game's place among the games of its judge (n,), from 0."""
        place = np.empty(len(self.judge), dtype=np.intp)
        for judge in np.unique(self.judge):
            rows = self.judge == judge
            place[rows] = np.arange(int(rows.sum()))
        return place

    def keep(self, rows: NDArray[np.bool_] | Codes) -> Design:
        """Return the design with only these games, prompts renumbered in the order of their codes."""
        codes, prompt = np.unique(self.prompt[rows], return_inverse=True)
        return Design(
            self.model,
            self.prompts[codes],
            prompt.astype(np.intp, copy=False),
            self.outcome[rows],
            self.order[rows],
            self.answer[rows],
            self.opponent_answer[rows],
            self.judge[rows],
            self.pair[rows],
        )

    def prompt_mean(self, values: Floats | NDArray[np.bool_]) -> Floats:
        """Return the mean of `values` (n,) over the games of each prompt (G,)."""
        n = len(self.prompts)
        return np.asarray(np.bincount(self.prompt, weights=values, minlength=n) / np.bincount(self.prompt, minlength=n))


def designs(battles: Battles) -> Mapping[str, Design]:
    """Return the games of every model as arrays, by model in the recording's order."""
    if not battles.benchmark.baselines:  # every game belongs to two models
        return {model: _arrays(model, battles.games_of(model)) for model in battles.models}
    everything = _arrays("", battles.games)
    names = battles.games["model"][battles.games["variant"] == ""]
    code, models = pd.factorize(names)
    rows = np.split(np.argsort(code, kind="stable"), np.cumsum(np.bincount(code, minlength=len(models)))[:-1])
    found = dict(zip(models, rows, strict=True)) if len(models) else {}
    nothing = np.empty(0, dtype=np.intp)
    return {model: replace(everything.keep(found.get(model, nothing)), model=model) for model in battles.models}


def judge_designs(battles: Battles) -> Mapping[str, Design]:
    """Return the games of every judge as arrays, seen from the side of their first model, by judge."""
    games = battles.games
    return {
        str(judge): _arrays(str(judge), games[games["judge"] == judge]) for judge in sorted(games["judge"].unique())
    }


def _arrays(model: str, games: pd.DataFrame) -> Design:
    games = games[games["variant"] == ""]
    prompt, prompts = pd.factorize(games["prompt_id"])
    judge, _ = pd.factorize(games["judge"])
    pair = prompt.astype(np.int64)
    for codes in (judge, pd.factorize(games["opponent"])[0], pd.factorize(games["turn"])[0]):
        pair = pair * (int(codes.max(initial=0)) + 1) + codes
    return Design(
        model,
        np.asarray(prompts, dtype=object),
        prompt,
        games["outcome"].to_numpy(),
        games["order"].map(_SLOT).to_numpy(dtype=np.float64),
        games["answer"].to_numpy(),
        games["opponent_answer"].to_numpy(),
        judge,
        pair,
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
    kept: Floats | None = battles.__dict__.get(_LENGTHS)
    if kept is None:
        kept = battles.__dict__[_LENGTHS] = battles.answers["text"].str.len().to_numpy(dtype=np.float64)
    return kept[rows]


def judges_text(found: Design) -> str:
    """Return what a method says of its judges: nothing for one, their number for several."""
    judges = len(np.unique(found.judge))
    return "" if judges < 2 else f"; games of {judges} judges, each weighs in"


def clip(interval: Interval) -> Interval:
    """Return the interval cut to 0..100: a win rate cannot lie outside."""
    return max(0.0, interval[0]), min(100.0, interval[1])


def bootstrap_spread(replicates: Floats, level: float, scale: float = 1.0) -> tuple[float | None, Interval | None]:
    """Return standard error and percentile interval of the finite replicates times `scale`; None with fewer than two."""
    values = replicates[np.isfinite(replicates)] * scale
    if len(values) < _FEWEST:
        return None, None
    return float(values.std(ddof=1)), percentile_interval(values, level)


def points(share: float) -> float:
    """Return a share (0..1) in percent, with rounding noise kept inside 0..100."""
    return min(100.0, max(0.0, 100.0 * share))


def not_computed(model: str, control: str, reason: str, *, n: int = 0, method: str = "") -> Score:
    """Return a score without an estimate, and the reason."""
    return Score(model, control, None, n=n, method=method, note=reason)
