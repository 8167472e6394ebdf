"""Bradley-Terry scores: Arena-Hard's (a star around the baseline) and those of recordings where all meet all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.controls.design import applies, clip, not_computed, points
from auditkit.errors import NoData, Undefined
from auditkit.records import Battles, Findings, Score, Settings
from auditkit.stats.bradley_terry import BradleyTerry, elo, fit
from auditkit.stats.intervals import cluster_mean, normal_interval, wilson

__all__ = ["Encoded", "arena_hard", "encode", "field_scores", "meets_all", "scored_games"]

CONTROL: Final = "arena_hard"
PUBLISHED: Final = "arena_hard_published"
FIELD: Final = "bradley_terry"

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

#: Outcome for the answer shown first, and whether the verdict is strong (arena-hard-auto, ``show_result.py``).
#: v0.1 (commit 3071ef9) scores five labels and drops any other; v2.0 (commit 196f6b8) also reads them mirrored.
_V01: Final = {"A>>B": (1.0, True), "A>B": (1.0, False), "A=B": (0.5, False), "B>A": (0.0, False), "B>>A": (0.0, True)}
_V20: Final = {
    **_V01,
    "A<B": (0.0, False),
    "A<<B": (0.0, True),
    "B=A": (0.5, False),
    "B<A": (1.0, False),
    "B<<A": (1.0, True),
}
_ROUNDS: Final = 100  # bootstrap rounds of both published versions


@dataclass(frozen=True, eq=False)
class Encoded:
    """Names as codes. `names` are sorted; `a`, `b` and `clusters` have shape (n,)."""

    names: tuple[str, ...]
    a: Codes
    b: Codes
    clusters: Codes


def encode(model: pd.Series, opponent: pd.Series, prompt: pd.Series) -> Encoded:
    """Return the codes of two columns of model names (sorted together) and of the prompts."""
    codes, names = pd.factorize(pd.concat([model, opponent], ignore_index=True))
    clusters = pd.factorize(prompt)[0].astype(np.int64, copy=False)
    order = np.argsort(np.asarray(names, dtype=object), kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    codes = place.take(codes)
    return Encoded(tuple(str(names[i]) for i in order), codes[: len(model)], codes[len(model) :], clusters)


def meets_all(battles: Battles) -> bool:
    """Tell whether models met each other rather than a baseline."""
    return applies(battles) and not battles.benchmark.baselines


def scored_games(battles: Battles, settings: Settings) -> pd.DataFrame:
    """Return Arena-Hard's games with outcome and weight as its version's rules read the labels.

    v0.1 drops a game whose label is not one of five; v2.0 reads ten labels and drops both games of a row (prompt,
    model, judge) if one of them has none. Dropped games keep their row with a NaN outcome. A strong verdict counts
    `settings.strong_weight` times.
    """
    games = battles.games
    games = games[(games["variant"] == "") & games["model"].isin(battles.models)].copy()
    labels = _V01 if battles.benchmark.version == "v0.1" else _V20
    label = games["label"]
    first = label.map({name: outcome for name, (outcome, _) in labels.items()}).to_numpy(dtype=np.float64)
    strong = label.map({name: strong for name, (_, strong) in labels.items()}).eq(True).to_numpy()
    order = games["order"].to_numpy()
    read = np.where(order == "model_first", first, np.where(order == "model_second", 1.0 - first, np.nan))
    unlabelled = (label == "").to_numpy() | (order == "unknown")
    outcome = np.where(unlabelled, games["outcome"].to_numpy(), read)
    strong = np.where(unlabelled, games["weight"].to_numpy() > 1.0, strong)
    games["outcome"] = outcome
    games["weight"] = np.where(strong, settings.strong_weight, 1.0)
    if battles.benchmark.version != "v0.1":
        incomplete = (
            games["outcome"].isna().groupby([games["prompt_id"], games["model"], games["judge"]]).transform("any")
        )
        games.loc[incomplete.to_numpy(), "outcome"] = np.nan
    return games


def arena_hard(battles: Battles, settings: Settings | None = None) -> Findings:
    """Score Arena-Hard recordings as published, and recordings where all meet all by Bradley-Terry.

    In Arena-Hard every battle involves the baseline, so the unpenalised Bradley-Terry win rate of a model equals
    its weighted mean outcome, ties half, strong verdicts three times (`settings.strong_weight`). That is the
    estimate of ``arena_hard``; its interval is cluster-robust by prompt. ``arena_hard_published`` has the
    published interval: 100 rounds of a row bootstrap that takes the two games of a prompt and the copies of a strong
    verdict as independent, at 95% (v0.1, on the Elo scale, all models resampled together) or 90% (v2.0, within
    the model, whose published point is the mean of the rounds).

    Recordings without a baseline get ``bradley_terry``: the probability of beating another model of the field
    drawn at random, with the Elo rating in the note. Elsewhere nothing is found.

    Args:
        battles: A recording.
        settings: Level, seed, weight of a strong verdict; None: the defaults.

    Source: arena-hard-auto ``show_result.py`` and ``utils_math.py`` at 3071ef9 (v0.1), ``show_result.py`` at 196f6b8
    (v2.0); Bradley and Terry, Biometrika 39 (1952) 324.
    """
    settings = settings or Settings()
    if meets_all(battles):
        return Findings(scores=_all_pairs(battles, settings))
    if not applies(battles) or battles.benchmark.format != "arena_hard":
        return Findings()
    games = scored_games(battles, settings)
    usable = games["outcome"].notna()
    total = float(games.loc[usable, "weight"].sum())
    scores: list[Score] = []
    for model in battles.models:
        own = games["model"] == model
        scores += _star(battles, model, games[own & usable], int((own & ~usable).sum()), total, settings)
    return Findings(scores=tuple(scores))


def _star(
    battles: Battles, model: str, games: pd.DataFrame, dropped: int, total: float, settings: Settings
) -> list[Score]:
    if games.empty:
        return [not_computed(model, CONTROL, "no game of this model has a verdict")]
    early = battles.benchmark.version == "v0.1"
    rules = "v0.1" if early else "v2.0"
    y, w = games["outcome"].to_numpy(), games["weight"].to_numpy()
    prompt, prompts = pd.factorize(games["prompt_id"])
    n = len(prompts)
    notes = [f"{int((w > 1).sum())} strong verdicts count {settings.strong_weight:g} times"]
    if dropped:
        how = "each game by itself" if early else "both games of a row if one lacks a label"
        notes.append(f"{dropped} games without a usable label left out ({rules} drops {how})")
    judges = games["judge"].nunique()
    if judges > 1:
        notes.append(f"games of {judges} judges pooled, as published for ensembles")
    method = f"Arena-Hard {rules} rules; weighted mean outcome (the Bradley-Terry win rate of a star)"
    estimate = float(w @ y / w.sum())
    try:
        mean = cluster_mean(y, prompt, w, settings.level)
    except NoData as error:
        note = "; ".join([*notes, f"no interval: {error}"])
        return [Score(model, CONTROL, points(estimate), n=n, method=method, note=note)]
    interval, how = (100 * mean.ci[0], 100 * mean.ci[1]), "cluster-robust by prompt"
    if mean.se == 0:
        low, high = wilson(min(estimate, 1.0) * n, n, settings.level)
        interval, how = (100 * low, 100 * high), "Wilson over prompts, for all have the same outcome"
    if estimate in (0.0, 1.0):
        notes.append(
            "never lost a game: the rating is infinite" if estimate else "never won a game: the rating is infinite"
        )
    rounds = _row_bootstrap(y, w, total if early else float(w.sum()), settings.rng(f"arena_hard:{model}"))
    published_se = 100 * float(rounds.std(ddof=1))
    return [
        Score(
            model, CONTROL, points(estimate), 100 * mean.se, clip(interval), n, f"{method}; interval: {how}",
            published_se=published_se, note="; ".join(notes),
        ),
        _published(model, estimate, rounds, n, early),
    ]  # fmt: skip


def _row_bootstrap(y: Floats, w: Floats, total: float, rng: np.random.Generator) -> Floats:
    """Return the weighted mean of each round of the published bootstrap, in which a row of weight 3 is three rows.

    Resampling all models' rows together leaves this model a random number of its own, binomial in the share it has.
    """
    values, at = np.unique(y, return_inverse=True)
    counts = np.bincount(at, weights=w)
    own = float(counts.sum())
    sizes = np.full(_ROUNDS, round(own))
    if total > own:
        sizes = np.maximum(rng.binomial(round(total), own / total, size=_ROUNDS), 1)
    drawn = rng.multinomial(sizes, counts / own)
    return np.asarray(drawn @ values / sizes)


def _published(model: str, estimate: float, rounds: Floats, n: int, early: bool) -> Score:
    if early:
        # percentiles are taken on the Elo scale, where a round without a loss is infinite: kept just inside
        inside = np.clip(rounds, 1e-12, 1 - 1e-12)
        low, high = np.quantile(np.log(inside / (1 - inside)), [0.025, 0.975])
        interval = (100 / (1 + math.exp(-low)), 100 / (1 + math.exp(-high)))
        point, what = estimate, "95% interval of 100 rounds over the rows of all models"
    else:
        low, high = np.quantile(rounds, [0.05, 0.95])
        interval = (100 * float(low), 100 * float(high))
        point, what = float(rounds.mean()), "90% interval and mean of 100 rounds over the model's rows"
    return Score(
        model, PUBLISHED, points(point), 100 * float(rounds.std(ddof=1)), clip(interval), n,
        f"row bootstrap as published for {'v0.1' if early else 'v2.0'}: {what}",
        note="rows of one prompt are taken as independent, so the interval is too narrow",
    )  # fmt: skip


def _all_pairs(battles: Battles, settings: Settings) -> tuple[Score, ...]:
    games = battles.games
    games = games[(games["variant"] == "") & games["outcome"].notna() & (games["model"] != games["opponent"])]
    method = "Bradley-Terry, exact maximum likelihood; chance to beat a random other model; interval: cluster-robust by prompt"
    if games.empty:
        return tuple(not_computed(model, FIELD, "no game has a verdict", method=method) for model in battles.models)
    coded = encode(games["model"], games["opponent"], games["prompt_id"])
    try:
        fitted = fit(
            coded.a, coded.b, games["outcome"].to_numpy(), len(coded.names), clusters=coded.clusters,
            weights=games["weight"].to_numpy(), names=coded.names,
        )  # fmt: skip
    except Undefined as error:
        return tuple(not_computed(model, FIELD, f"undefined: {error}", method=method) for model in battles.models)
    return field_scores(battles, FIELD, coded, fitted, method, settings)


def field_scores(
    battles: Battles,
    control: str,
    coded: Encoded,
    fitted: BradleyTerry,
    method: str,
    settings: Settings,
    *,
    overlaps: dict[str, float] | None = None,
    note: str = "",
) -> tuple[Score, ...]:
    """Return each model's chance (percent) to beat another model of the field drawn at random, with its interval.

    The interval follows from the ratings' joint covariance by the delta method on the log-odds scale.
    """
    m = len(coded.names)
    ratings, covariance = fitted.ratings, fitted.covariance[:m, :m]
    p = 1.0 / (1.0 + np.exp(ratings[None, :] - ratings[:, None]))
    np.fill_diagonal(p, 0.0)
    share = p.sum(axis=1) / (m - 1)
    slope = -p * (1.0 - p) / (m - 1)
    np.fill_diagonal(slope, -slope.sum(axis=1))
    se = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", slope, covariance, slope), 0.0))
    rating, rating_se = elo(ratings - ratings.mean()), elo(fitted.rating_se)
    prompts = pd.DataFrame({"model": np.concatenate([coded.a, coded.b]), "prompt": np.tile(coded.clusters, 2)})
    n = prompts.drop_duplicates().groupby("model").size()
    place = {name: i for i, name in enumerate(coded.names)}
    scores = []
    for model in battles.models:
        i = place.get(model)
        if i is None:
            scores.append(not_computed(model, control, "no game of this model has a verdict", method=method))
            continue
        at, error = float(share[i]), float(se[i])
        low, high = normal_interval(math.log(at / (1 - at)), error / (at * (1 - at)), settings.level)
        text = f"Elo {rating[i]:+.0f} ± {rating_se[i]:.0f} (standard error) around the mean of {m} models"
        scores.append(
            Score(
                model, control, 100 * at, 100 * error, (100 / (1 + math.exp(-low)), 100 / (1 + math.exp(-high))), int(n[i]),
                method, overlap=None if overlaps is None else overlaps.get(model), note="; ".join(filter(None, [text, note])),
            )
        )  # fmt: skip
    return tuple(scores)
