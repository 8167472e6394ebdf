"""Recorded judgments of two models as paired differences, one row a prompt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import NoData
from auditkit.records import Battles

__all__ = ["STYLE", "Pairs", "pair", "sides"]

Floats = NDArray[np.float64]

#: Elements whose counts are compared; length is apart.
STYLE: Final = ("headers", "lists", "bold")
_MEASURES: Final = ("chars", *STYLE)
_SLOT: Final = {"model_first": -0.5, "model_second": 0.5, "unknown": np.nan}
_TURNED: Final = {"model_first": "model_second", "model_second": "model_first", "unknown": "unknown"}
_KEY: Final = ["prompt_id", "opponent", "judge", "turn"]
_SCALES: Final[Mapping[str, float]] = {"reward": 200.0, "score": 1.0}


@dataclass(frozen=True)
class Pairs:
    """Two models on the prompts that both were judged on, `n` of them. Candidate minus baseline throughout.

    Attributes:
        design: ``direct``: they met each other, and the gain is the win rate minus one half; ``shared_opponent``: they
            met the same opponents; ``ratings``: each was rated by itself.
        difference: Of outcome or rating by prompt (n,), in points of the metric.
        scale: Points that the largest possible difference has (1 for ratings, which have their own).
        length: Difference of log characters (n,); NaN where an answer is not recorded.
        style: Difference of log (1 + count) of `STYLE` (n, 3); NaN the same.
        order: Difference of slots, +1 if only the candidate was shown second (n,); 0 where not recorded.
        order_known: Whether any order is recorded.
        ratio: Longer answer over shorter (n,).
        style_gap: Largest ``|a - b| / (a + b + 1)`` of a count (n,).
        consistent: Whether every verdict of either model holds in both orders (n,); None: one order only.
        left_out: Prompts with a verdict on one model only.
        scores: Mean score of candidate and baseline over these prompts, in points.
        prompts: Ids of the prompts (n,).
        outcomes: Score of candidate and baseline on each prompt, in points (n, 2).
    """

    design: Literal["direct", "shared_opponent", "ratings"]
    difference: Floats
    scale: float
    length: Floats
    style: Floats
    order: Floats
    order_known: bool
    ratio: Floats
    style_gap: Floats
    consistent: NDArray[np.bool_] | None
    left_out: int
    scores: tuple[float, float]
    prompts: tuple[str, ...]
    outcomes: Floats

    @property
    def n(self) -> int:
        """Prompts."""
        return len(self.difference)

    @property
    def limit(self) -> float:
        """The largest gain that is possible, in points; infinite for ratings, whose scale no recording states."""
        return {"direct": self.scale / 2.0, "shared_opponent": self.scale, "ratings": math.inf}[self.design]


def pair(battles: Battles, candidate: str, baseline: str, metric: str) -> Pairs:
    """Pair the judgments of two models by prompt, opponent, judge and turn; a prompt's differences are averaged.

    Args:
        battles: A recording.
        candidate: A model of it.
        baseline: Another one; it may be the benchmark's own baseline.
        metric: Of the claim: ``score`` takes ratings, anything else games.

    Raises:
        NoData: Either has no usable judgment, or they share no prompt.
    """
    if metric == "score":
        return _rated(battles, candidate, baseline)
    scale = _SCALES.get(metric, 100.0)
    own = sides(battles, candidate)
    met = own[own["opponent"] == baseline]
    if len(met):
        return _direct(battles, met, scale)
    other = sides(battles, baseline)
    for name, games in ((candidate, own), (baseline, other)):
        if not len(games):
            raise NoData(f"no usable verdict on {name!r} is recorded")
    return _against_others(battles, own, other, scale)


def sides(battles: Battles, model: str) -> pd.DataFrame:
    """Return the games of `model` with a verdict and without attacks, seen from its side."""
    games = battles.games
    games = games[(games["variant"] == "") & games["outcome"].notna()]
    own = games[games["model"] == model]
    turned = games[(games["opponent"] == model) & (games["model"] != model)].rename(
        columns={"model": "opponent", "opponent": "model", "answer": "opponent_answer", "opponent_answer": "answer"}
    )
    turned = turned.assign(outcome=1.0 - turned["outcome"], order=turned["order"].map(_TURNED))[list(games.columns)]
    return pd.concat([own, turned]) if len(turned) else own


def _measured(battles: Battles, *codes: pd.Series) -> pd.DataFrame:
    """Return length and style of the answers in `codes`, by row number of the answers table."""
    from auditkit.text import measure

    used = np.unique(np.concatenate([c.to_numpy() for c in codes]))
    used = used[used >= 0]
    table = measure(battles.answers["text"].iloc[used].tolist())[list(_MEASURES)].astype("float64")
    return table.set_axis(used, axis=0)


def _by_key(games: pd.DataFrame, measures: pd.DataFrame, key: list[str], value: str) -> pd.DataFrame:
    table = games[key].assign(y=games[value].to_numpy(), **{m: games["answer"].map(measures[m]) for m in _MEASURES})
    if "order" in games:
        table["slot"] = games["order"].map(_SLOT).astype("float64")
    return table.groupby(key, sort=False).mean()


def _consistent(games: pd.DataFrame) -> pd.Series:
    """Return by key whether the verdict is the same in both orders, for keys that have both."""
    means = [games[games["order"] == o].groupby(_KEY)["outcome"].mean() for o in ("model_first", "model_second")]
    both = pd.concat(means, axis=1, join="inner", keys=["first", "second"])
    return np.sign(both["first"] - 0.5) == np.sign(both["second"] - 0.5)


def _direct(battles: Battles, games: pd.DataFrame, scale: float) -> Pairs:
    measures = _measured(battles, games["answer"], games["opponent_answer"])
    own = _by_key(games, measures, _KEY, "outcome")
    other = _by_key(games.assign(answer=games["opponent_answer"]), measures, _KEY, "outcome")
    other["y"] = 0.5
    other["slot"] = 0.0
    own["slot"] = 2.0 * own["slot"]  # the two slots differ by 1 or -1
    agreed = _consistent(games)
    table = _joined(own, other, agreed if len(agreed) else None)
    return _pairs("direct", table, scale, 0)


def _against_others(battles: Battles, own: pd.DataFrame, other: pd.DataFrame, scale: float) -> Pairs:
    measures = _measured(battles, own["answer"], other["answer"])
    agreed = [_consistent(games) for games in (own, other)]
    both = pd.concat(agreed, axis=1, join="inner").all(axis=1) if all(len(a) for a in agreed) else None
    first, second = (_by_key(games, measures, _KEY, "outcome") for games in (own, other))
    table = _joined(first, second, both)
    seen = [set(games["prompt_id"]) for games in (own, other)]
    return _pairs("shared_opponent", table, scale, len(seen[0] ^ seen[1]))


def _rated(battles: Battles, candidate: str, baseline: str) -> Pairs:
    ratings = battles.ratings[battles.ratings["score"].notna()]
    tables = [ratings[ratings["model"] == model] for model in (candidate, baseline)]
    for name, table in zip((candidate, baseline), tables, strict=True):
        if not len(table):
            raise NoData(f"no usable rating of {name!r} is recorded")
    measures = _measured(battles, *(table["answer"] for table in tables))
    first, second = (_by_key(table, measures, ["prompt_id", "judge", "turn"], "score") for table in tables)
    seen = [set(table["prompt_id"]) for table in tables]
    return _pairs("ratings", _joined(first, second, None), 1.0, len(seen[0] ^ seen[1]))


def _joined(own: pd.DataFrame, other: pd.DataFrame, consistent: pd.Series | None) -> pd.DataFrame:
    table = own.add_suffix("_own").join(other.add_suffix("_other"), how="inner")
    if not len(table):
        raise NoData("the two models share no prompt, opponent and judge")
    for name in STYLE:
        a, b = table[f"{name}_own"], table[f"{name}_other"]
        table[name] = np.log1p(a) - np.log1p(b)
        table[f"{name}_gap"] = (a - b).abs() / (a + b + 1.0)
    a, b = table["chars_own"], table["chars_other"]
    table["length"] = np.log1p(a) - np.log1p(b)
    table["ratio"] = (np.maximum(a, b) + 1.0) / (np.minimum(a, b) + 1.0)
    table["order"] = table["slot_own"] - table["slot_other"] if "slot_own" in table else np.nan
    table["difference"] = table["y_own"] - table["y_other"]
    if consistent is not None:
        table["consistent"] = consistent.astype("float64")  # aligned by key; NaN: not judged in both orders
    return table


def _pairs(
    design: Literal["direct", "shared_opponent", "ratings"], table: pd.DataFrame, scale: float, left_out: int
) -> Pairs:
    known = bool(table["order"].notna().any())
    table = table.assign(order=table["order"].fillna(0.0))
    numbers = table.select_dtypes("number").groupby(table.index.get_level_values("prompt_id"), sort=True)
    mean = numbers.mean()
    consistent = None
    if "consistent" in mean:  # a prompt counts if all of its verdicts were tried in both orders and held
        complete = table["consistent"].notna().groupby(table.index.get_level_values("prompt_id"), sort=True).all()
        consistent = ((mean["consistent"] == 1.0) & complete).to_numpy()
    gaps = mean[[f"{name}_gap" for name in STYLE]].to_numpy().max(axis=1)
    shift = -0.5 if scale == _SCALES["reward"] else 0.0
    return Pairs(
        design,
        scale * mean["difference"].to_numpy(),
        scale,
        mean["length"].to_numpy(),
        mean[list(STYLE)].to_numpy(),
        mean["order"].to_numpy(),
        known,
        mean["ratio"].to_numpy(),
        gaps,
        consistent,
        left_out,
        (scale * float(mean["y_own"].mean() + shift), scale * float(mean["y_other"].mean() + shift)),
        tuple(map(str, mean.index)),
        scale * (mean[["y_own", "y_other"]].to_numpy() + shift),
    )
