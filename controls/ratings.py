"""Absolute ratings: the mean WildBench score, and MT-Bench's means by turn and aggregation of pairwise games."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.controls.design import clip
from auditkit.errors import NoData
from auditkit.records import Battles, Findings, Score, Settings
from auditkit.stats.intervals import Mean, cluster_mean, wilson

__all__ = ["mt_bench", "wildbench_score"]

_SCALE: Final = (1.0, 10.0)
_ROW: Final = ["prompt_id", "model", "opponent", "judge", "turn"]
Floats = NDArray[np.float64]


def wildbench_score(battles: Battles, settings: Settings | None = None) -> Findings:
    """Compute WB-Score: the mean of a judge's scores from 1 to 10 over all items, truncated and empty ones included.

    ``wildbench_score`` is the mean, ``wildbench_score_adjusted`` is ``(mean - 5) * 2`` (-8..10), both with an interval
    clustered by prompt. Unparsed scores are left out; the note counts and bounds them. With several judges the judge's
    name follows the control's.

    Args:
        battles: A WildBench recording with ratings.
        settings: Confidence level; None: the defaults.

    Source: allenai/WildBench ``leaderboard/data_dir/_create_tables.py``; Lin et al., arXiv:2406.04770, section 4.
    """
    settings = settings or Settings()
    if battles.benchmark.format != "wildbench":
        return Findings()
    scores: list[Score] = []
    for model, tail, rows in _by_model(battles.ratings):
        plain = _rating(model, f"wildbench_score{tail}", rows, settings.level, "mean score over all items")
        scores.append(plain)
        if plain.estimate is not None and plain.ci is not None:
            low, high = plain.ci
            scores.append(
                Score(
                    model,
                    f"wildbench_score_adjusted{tail}",
                    (plain.estimate - 5) * 2,
                    None if plain.se is None else 2 * plain.se,
                    ((low - 5) * 2, (high - 5) * 2),
                    n=plain.n,
                    method="(mean score - 5) * 2; interval clustered by prompt",
                    unit="rating",
                )
            )
    return Findings(scores=tuple(scores))


def mt_bench(battles: Battles, settings: Settings | None = None) -> Findings:
    """Compute MT-Bench's figures: mean ratings by turn and in all, and the aggregation of pairwise games.

    Ratings: ``mt_bench`` is the published average, the mean over all rows that have a rating, so that parse failures
    in one turn shift the weight of the turns (the note gives the mean of the two turns where they differ);
    ``mt_bench_turn_1``, ``mt_bench_turn_2`` are the means by turn. Pairwise: a pair of games is a win or a loss if
    both name the same winner, else a tie (an inconsistent pair counts as one); a pair with an error in either game is
    left out. ``mt_bench_pair`` is the published ``win_rate_adjusted`` over the remaining pairs, a tie as half a win; the
    note has the counts. All intervals cluster by question. With several judges the judge's name follows the control's.

    Args:
        battles: An MT-Bench recording.
        settings: Confidence level; None: the defaults.

    Source: Zheng et al., arXiv:2306.05685; lm-sys/FastChat ``llm_judge/show_result.py``.
    """
    settings = settings or Settings()
    if battles.benchmark.format != "mt_bench":
        return Findings()
    scores: list[Score] = []
    for model, tail, rows in _by_model(battles.ratings):
        turns = [
            _rating(model, f"mt_bench_turn_{turn}{tail}", part, settings.level, f"mean rating of turn {turn}")
            for turn, part in rows.groupby("turn", sort=True)
        ]
        scores.append(_average(model, f"mt_bench{tail}", rows, turns, settings.level))
        scores += turns
    pairs = _pairs(battles)
    for model, tail, rows in _by_model(pairs):
        scores.append(_pair_score(model, f"mt_bench_pair{tail}", rows, settings.level))
    return Findings(scores=tuple(scores))


def _by_model(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield model, what to add to a control's name, and the rows, for each model and judge."""
    several = table["judge"].nunique() > 1
    for (model, judge), rows in table.groupby(["model", "judge"], sort=True):
        yield str(model), f":{judge}" if several else "", rows


def _mean(values: Floats, prompts: pd.Series, level: float) -> tuple[float, Mean | None]:
    """Return a mean, and its error and interval by prompt where there are two prompts."""
    try:
        found = cluster_mean(values, pd.factorize(prompts)[0], level=level)
    except NoData:
        return float(values.mean()), None
    return found.estimate, found


def _rating(model: str, control: str, rows: pd.DataFrame, level: float, what: str) -> Score:
    rated = rows[rows["score"].notna()]
    missing = len(rows) - len(rated)
    if rated.empty:
        return Score(model, control, None, method=what, unit="rating", note=f"none of {len(rows)} rows has a rating")
    values = rated["score"].to_numpy()
    estimate, found = _mean(values, rated["prompt_id"], level)
    note = ""
    if missing:
        low, high = ((values.sum() + end * missing) / len(rows) for end in _SCALE)
        note = f"{missing} of {len(rows)} unparsed, left out: {low:.2f} if all were 1, {high:.2f} if 10"
    return Score(
        model,
        control,
        estimate,
        found.se if found else None,
        (max(_SCALE[0], found.ci[0]), min(_SCALE[1], found.ci[1])) if found else None,
        n=len(rated),
        method=f"{what}; interval clustered by prompt" if found else f"{what}; no interval from one prompt",
        unit="rating",
        note=note,
    )


def _average(model: str, control: str, rows: pd.DataFrame, turns: list[Score], level: float) -> Score:
    score = _rating(model, control, rows, level, "mean rating over the rows that have one (published)")
    means = [turn.estimate for turn in turns if turn.estimate is not None]
    if len({turn.n for turn in turns}) > 1 and len(means) == len(turns):
        counts = ", ".join(str(turn.n) for turn in turns)
        extra = f"turns weigh {counts}; {sum(means) / len(means):.2f} if they weighed the same"
        return replace(score, note="; ".join(filter(None, (score.note, extra))))
    return score


def _pairs(battles: Battles) -> pd.DataFrame:
    """Return one row a pair of games and side: ``prompt_id, model, judge, turn, result`` (1, .5, 0; NaN: error)."""
    games = battles.games[battles.games["variant"] == ""]
    first, second = (games[games["order"] == order] for order in ("model_first", "model_second"))
    both = first.merge(second, on=_ROW, suffixes=("", "_2"))
    one, two = both["outcome"].to_numpy(), both["outcome_2"].to_numpy()
    result = np.where(one == two, one, 0.5)
    result[np.isnan(one) | np.isnan(two)] = np.nan
    ours = both[["prompt_id", "model", "judge", "turn"]].assign(result=result)
    theirs = both[["prompt_id", "opponent", "judge", "turn"]].rename(columns={"opponent": "model"})
    table = pd.concat([ours, theirs.assign(result=1 - result)], ignore_index=True)
    return table[~table["model"].isin(battles.benchmark.baselines)]


def _pair_score(model: str, control: str, rows: pd.DataFrame, level: float) -> Score:
    used = rows[rows["result"].notna()]
    result, errors = used["result"].to_numpy(), len(rows) - len(used)
    win, tie, loss = (int((result == value).sum()) for value in (1.0, 0.5, 0.0))
    what = "pairs of games, an inconsistent pair as a tie, a tie as half a win (published)"
    note = f"{win} won, {tie} tied or inconsistent, {loss} lost"
    if errors:
        note += f"; {errors} pairs with an error left out"
    if used.empty:
        return Score(model, control, None, method=what, note=note)
    estimate, found = _mean(result, used["prompt_id"], level)
    se, ci, how = None, None, "no interval from one question"
    if found is not None and len(used) in (win, loss):
        ci = wilson(estimate * found.n_clusters, found.n_clusters, level)
        how = f"Wilson interval of {found.n_clusters} questions that all came out the same"
    elif found is not None:
        se, ci, how = 100 * found.se, found.ci, "interval clustered by question"
    return Score(
        model,
        control,
        100 * estimate,
        se,
        clip((100 * ci[0], 100 * ci[1])) if ci else None,
        n=len(used),
        method=f"{what}; {how}",
        note=note,
    )
