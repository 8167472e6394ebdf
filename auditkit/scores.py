"""What every model scored on a board, in arrays, whether the board came as a file or is made from a recording."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from auditkit.errors import InputError
from auditkit.formats.boards import Board, Row
from auditkit.stats.bootstrap import bootstrap_means, prompt_weights

if TYPE_CHECKING:
    from auditkit.records import Battles

__all__ = ["Scores", "of_board", "of_recording", "shared", "usable"]

Array = NDArray[np.float64]

_Z95: Final = 1.959963984540054


@dataclass(frozen=True)
class Scores:
    """A board of M models.

    Attributes:
        name: The board's name.
        kind: "board" or "recording".
        models: (M,) names.
        rows: (M,) what each scored, with its replicates or the spread that came with it.
        outcomes: (n, M) mean outcome on each prompt, NaN where there is none; None: prompts are not known.
        calls: (n, M) judge calls on each prompt.
        prompt_ids: (n,) names of the prompts.
        notes: What to know.
        dropped: Models that were left out.
    """

    name: str
    kind: str
    models: tuple[str, ...]
    rows: tuple[Row, ...]
    outcomes: Array | None = None
    calls: Array | None = None
    prompt_ids: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def score(self) -> Array:
        """(M,) scores on the board's own scale."""
        return np.array([row.score for row in self.rows])

    def interval(self, confidence: float) -> tuple[Array, Array]:
        """Return the lower and upper ends (M,) of the models' central intervals."""
        from scipy.special import ndtri

        z = float(ndtri((1.0 + confidence) / 2.0))
        ends = [_interval(row, confidence, z) for row in self.rows]
        return np.array([e[0] for e in ends]), np.array([e[1] for e in ends])

    def moments(self) -> tuple[Array, Array]:
        """Return the mean and the variance, with n, (M,) of the models' replicates."""
        found = [_moments(row) for row in self.rows]
        return np.array([m for m, _ in found]), np.array([v for _, v in found])

    def keep(self, models: Sequence[str]) -> Scores:
        """Return the same board with these models only, in this order."""
        at = {model: i for i, model in enumerate(self.models)}
        index = [at[m] for m in models]
        gone = tuple(m for m in self.models if m not in set(models))
        return replace(
            self,
            models=tuple(models),
            rows=tuple(self.rows[i] for i in index),
            outcomes=None if self.outcomes is None else self.outcomes[:, index],
            calls=None if self.calls is None else self.calls[:, index],
            dropped=self.dropped + gone,
        )


def of_board(board: Board, replicates: int, seed: int) -> Scores:
    """Return the scores of a board that came as a file; one value a prompt is resampled into replicates."""
    notes: list[str] = []
    rows: list[Row] = []
    rng = np.random.default_rng(seed)
    for row in board.rows.values():
        if row.per_prompt.size and not row.draws.size:
            row = replace(row, draws=bootstrap_means(row.per_prompt[:, None], replicates, rng)[:, 0])
            notes = ["one value a prompt: its prompts were resampled here, each model's on its own"]
        rows.append(row)
    return Scores(board.name, "board", tuple(board.rows), tuple(rows), notes=tuple(notes))


def of_recording(battles: Battles, replicates: int, seed: int) -> Scores:
    """Return the board of a recording: win rates in percent where there are games, mean ratings where not."""
    import pandas as pd

    if battles.benchmark.subject == "judge":
        raise InputError(
            "a recording of judges on pairs with a known answer, not of submissions to a benchmark",
            path=battles.inputs[0].path if battles.inputs else None,
            mend="audit it instead",
        )
    models = battles.models
    parts = [battles.games_of(m).assign(model=m) for m in models] if len(battles.games) else []
    if any(p["outcome"].notna().any() for p in parts):
        table = pd.concat([p for p in parts if len(p)], ignore_index=True)
        value, weight = 100.0 * table["outcome"], table["weight"]
    elif len(battles.ratings):
        table = battles.ratings[battles.ratings["model"].isin(models)].reset_index(drop=True)
        value, weight = table["score"], pd.Series(1.0, index=table.index)
    else:
        raise InputError("the recording holds neither games nor ratings by prompt", mend="counts alone show no prompts")
    weight = weight.where(value.notna(), 0.0)  # a call without a verdict is paid for all the same
    sums = pd.DataFrame(
        {"p": table["prompt_id"], "m": table["model"], "s": value.fillna(0.0) * weight, "w": weight, "n": 1.0}
    )
    sums = sums[sums.groupby("m")["w"].transform("sum") > 0.0]
    grouped = sums.groupby(["p", "m"], sort=True)[["s", "w", "n"]].sum()
    total, weights, calls = (grouped[c].unstack("m").fillna(0.0) for c in ("s", "w", "n"))
    seen = tuple(str(m) for m in total.columns)
    s, w = total.to_numpy(), weights.to_numpy()
    drawn = prompt_weights(len(s), replicates, np.random.default_rng(seed))
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = (drawn @ s) / (drawn @ w)
        outcomes = np.where(w > 0, s / w, np.nan)
    rows = tuple(
        Row(float(s[:, i].sum() / w[:, i].sum()), draws[np.isfinite(draws[:, i]), i]) for i in range(len(seen))
    )
    notes = ["prompts were resampled, every game of a drawn prompt together"]
    judges = table["judge"].nunique()
    if judges > 1:
        notes.append(f"{judges} judges: their verdicts count together")
    return Scores(
        battles.benchmark.name, "recording", seen, rows, outcomes, calls.to_numpy(),
        tuple(str(p) for p in total.index), tuple(notes), tuple(m for m in models if m not in seen),
    )  # fmt: skip


def _interval(row: Row, confidence: float, z: float) -> tuple[float, float]:
    if row.draws.size:
        low, high = np.quantile(row.draws, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
        return float(low), float(high)
    if row.ci is not None:  # that of a normal error, on each side, at another level
        low, high = row.score - row.ci[0], row.ci[1] - row.score
        return row.score - low * z / _Z95, row.score + high * z / _Z95
    return row.score - z * row.se, row.score + z * row.se


def _moments(row: Row) -> tuple[float, float]:
    if row.draws.size:
        return float(row.draws.mean()), float(row.draws.var())
    sd = (row.ci[1] - row.ci[0]) / (2.0 * _Z95) if row.ci is not None else row.se
    return row.score, sd * sd


def usable(scores: Scores) -> Scores:
    """Return the board without models that have neither replicates nor an interval."""
    kept = [m for m, r in zip(scores.models, scores.rows, strict=True) if r.draws.size or r.ci or math.isfinite(r.se)]
    return scores if len(kept) == len(scores.models) else scores.keep(kept)


def shared(mine: Scores, known: Scores, maps: Sequence[Mapping[str, str]]) -> tuple[Scores, Scores]:
    """Return both boards with the models that they share, in the same order."""
    best: dict[str, str] = {}
    for names in [{}, *maps, *({v: k for k, v in m.items()} for m in maps)]:
        found = _matched(mine.models, known.models, names)
        if len(found) > len(best):
            best = found
    if len(best) < 2:
        raise InputError(
            f"boards {mine.name!r} and {known.name!r} share {len(best)} models",
            mend="give --names FILE, a JSON object that maps the names of one to those of the other",
        )
    return mine.keep(list(best)), known.keep(list(best.values()))


def _matched(mine: Sequence[str], known: Sequence[str], names: Mapping[str, str]) -> dict[str, str]:
    """Return my name -> the reference's: first by the map, then the same name; letter case does not matter."""
    by_name = {name.casefold(): name for name in known}
    mapped = {k.casefold(): v.casefold() for k, v in names.items()}
    found: dict[str, str] = {}
    taken: set[str] = set()
    for table in (mapped, {name.casefold(): name.casefold() for name in mine}):
        for model in mine:
            target = by_name.get(table.get(model.casefold(), ""))
            if model not in found and target is not None and target not in taken:
                found[model] = target
                taken.add(target)
    return {model: found[model] for model in mine if model in found}
