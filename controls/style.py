"""Style control: the score once answers are compared at the same length and markdown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.controls.bradley_terry import encode, field_scores, meets_all, scored_games
from auditkit.controls.design import applies, not_computed
from auditkit.controls.style_features import (
    MARKDOWN,
    OURS,
    Standardised,
    density,
    overlap,
    parsed_measures,
    published_counts,
    ratio,
    standardise,
    unsupported,
)
from auditkit.errors import Undefined
from auditkit.records import Battles, Findings, Interval, Score, Settings
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.bradley_terry import check_connected, fit_contextual, win_matrix
from auditkit.stats.intervals import normal_interval, percentile_interval
from auditkit.stats.star import StarFit, StarRows, collapse, fit_star, refit_star

__all__ = ["arena_hard_style", "chatbot_arena_style", "style_controlled"]

ARENA_HARD: Final = "arena_hard_style"
CHATBOT_ARENA: Final = "chatbot_arena_style"
CHATBOT_ARENA_EXACT: Final = "chatbot_arena_style_unpenalised"
OWN: Final = "style_controlled"

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_TEN: Final = math.log(10.0)
#: scikit-learn's C=1 on rows that occur once for each label, as Chatbot Arena and Arena-Hard v0.1 fit: half a unit on
#: each coefficient, ratings in powers of ten.
_PUBLISHED_RIDGE: Final = (0.5 / _TEN**2, 0.5)
_FEWEST_PROMPTS: Final = 20  # prompts on which a feature must differ for its slope to be estimated
_PROMPTS_PER_COEFFICIENT: Final = 10
_LITTLE_OVERLAP: Final = 0.1
_FAILED_SHARE: Final = 0.05  # of refits, above which the bootstrap interval is not reported
_NAMES: Final = ("tokens", *MARKDOWN)


@dataclass(frozen=True, eq=False)
class _Arms:
    """Games of several models against their baselines; an arm is a model against one baseline."""

    arms: tuple[tuple[str, str], ...]
    arm: Codes
    prompt: Codes
    outcome: Floats
    weight: Floats
    answer: Codes
    opponent_answer: Codes

    @classmethod
    def of(cls, games: pd.DataFrame) -> _Arms:
        """Take games that have an outcome and both answers."""
        pairs = pd.MultiIndex.from_frame(games[["model", "opponent"]])
        arm, arms = pd.factorize(pairs, sort=True)
        return cls(
            tuple((str(model), str(opponent)) for model, opponent in arms),
            arm.astype(np.int64, copy=False),
            pd.factorize(games["prompt_id"])[0].astype(np.int64, copy=False),
            games["outcome"].to_numpy(),
            games["weight"].to_numpy(),
            games["answer"].to_numpy(),
            games["opponent_answer"].to_numpy(),
        )

    def shares(self, model: str) -> tuple[Codes, Floats]:
        """Return the arms of `model` and the share of its prompts that each has."""
        arms = np.array([i for i, (name, _) in enumerate(self.arms) if name == model], dtype=np.int64)
        counts = np.array([len(np.unique(self.prompt[self.arm == i])) for i in arms], dtype=np.float64)
        return arms, counts / counts.sum()


def _answered(games: pd.DataFrame) -> pd.Series:
    return games["outcome"].notna() & (games["answer"] >= 0) & (games["opponent_answer"] >= 0)


def _percent(logits: Floats, shares: Floats, covariance: Floats, level: float) -> tuple[float, float, Interval]:
    """Return the mean win rate over arms, its standard error (delta method) and an interval on the log-odds scale."""
    p = 1.0 / (1.0 + np.exp(-logits))
    at = float(shares @ p)
    slope = shares * p * (1.0 - p)
    error = math.sqrt(max(float(slope @ covariance @ slope), 0.0))
    low, high = normal_interval(math.log(at / (1 - at)), error / (at * (1 - at)), level)
    return 100 * at, 100 * error, (100 / (1 + math.exp(-low)), 100 / (1 + math.exp(-high)))


def _dropped(names: tuple[str, ...], kept: tuple[int, ...]) -> str:
    left_out = [name for j, name in enumerate(names) if j not in kept]
    return f"not controlled, for the answers hardly differ in it: {', '.join(left_out)}" if left_out else ""


def _extrapolates(share: float) -> str:
    text = f"EXTRAPOLATION: in one feature the answers are alike on {share:.0%} of prompts"
    return text if share < _LITTLE_OVERLAP else ""


# --- Arena-Hard ---------------------------------------------------------------------------------------------------


def arena_hard_style(battles: Battles, settings: Settings | None = None) -> Findings:
    """Compute Arena-Hard's style-controlled score (tokens, headers, lists, bold) by exact maximum likelihood.

    All models share the slopes. v0.1: ``(model - baseline) / (model + baseline + 1)`` of the four counts (cl100k
    tokens), standardised with ddof 0, and a ridge of C=1 on ratings and slopes. v2.0: tokens (o200k)
    ``(model - baseline) / (model + baseline)``, elements per token for the other three, ddof 1, no ridge. Features are
    centred, so the published score holds at the *mean* style difference of all models; `style_controlled` reads
    its own at no difference. Rows count as often as their verdict (a strong one three times).

    Upstream's v2.0 optimiser (float32 L-BFGS, learning rate 0.1, 50 iterations, no line search) stops early: on 27
    models by 1,000 games its win rates were up to 1 point from the maximum (mean 0.2) with four features. Scores
    computed by it agree with these only to about a point. v0.1's scikit-learn fit converges.

    The interval is the percentile interval of `settings.replicates` refits over resampled prompts, each to the
    exact optimum; the standard error is the sandwich clustered by prompt. (Published: 100 rounds over rows.)

    Args:
        battles: A recording; nothing is found unless its format is Arena-Hard's.
        settings: Level, replicates, seed, weight of a strong verdict; None: the defaults.

    Source: arena-hard-auto ``utils_math.py`` at 3071ef9 (v0.1), ``show_result.py`` and ``utils/math_utils.py`` at 196f6b8
    (v2.0); Li et al., From Crowdsourced Data to High-Quality Benchmarks (2024), section on style control.
    """
    settings = settings or Settings()
    if not applies(battles) or battles.benchmark.format != "arena_hard":
        return Findings()
    early = battles.benchmark.version == "v0.1"
    games = scored_games(battles, settings)
    played = games["outcome"].notna()
    usable = games[_answered(games)]
    reasons = dict.fromkeys(battles.models, "no game has both a verdict and both answers recorded")
    for model, own in usable.groupby("model")["outcome"]:
        reasons.pop(str(model))
        if not early and own.nunique() == 1 and own.iloc[0] in (0.0, 1.0):
            verb = "won" if own.iloc[0] else "lost"
            reasons[str(model)] = f"undefined: {verb} every game, so the rating is infinite"
    usable = usable[~usable["model"].isin(reasons)]
    scores = [not_computed(model, ARENA_HARD, reason) for model, reason in reasons.items()]
    if not usable.empty:
        missing = (played & ~_answered(games)).groupby(games["model"]).sum()
        scores += _arena_hard(battles, usable, missing, early, settings)
    return Findings(scores=tuple(sorted(scores, key=lambda s: s.model)))


def _arena_hard(
    battles: Battles, games: pd.DataFrame, missing: pd.Series, early: bool, settings: Settings
) -> list[Score]:
    data = _Arms.of(games)
    models = list(dict.fromkeys(model for model, _ in data.arms))
    raw, estimated = _arena_hard_features(battles, data, early)
    style = standardise(raw, data.weight, ddof=0 if early else 1, centre=True)
    baselines = sorted({baseline for _, baseline in data.arms})
    X, ridge = style.X, (0.0, 0.0)
    against = np.array([baselines.index(baseline) for _, baseline in data.arms])
    if early:
        # the ridge also holds the baseline's rating, which so is a coefficient of its own, in powers of ten
        X = np.hstack([X, -_TEN * (against[data.arm, None] == np.arange(len(baselines)))])
        ridge = _PUBLISHED_RIDGE
    method = (
        f"Arena-Hard {'v0.1' if early else 'v2.0'} style control ({', '.join(_NAMES[j] for j in style.kept) or 'no feature'}), "
        f"{'ridge C=1' if early else 'no ridge'}, exact maximum; interval: percentiles of {settings.replicates} prompt-bootstrap refits"
    )
    try:
        rows = collapse(data.arm, data.prompt, data.outcome, data.weight, X)
        fitted = fit_star(rows, ridge=ridge)
    except Undefined as error:
        return [not_computed(model, ARENA_HARD, f"undefined: {error}", method=method) for model in models]
    replicates, failed, gradient = _refits(rows, fitted, ridge, against, len(style.kept), settings)
    to_logit = np.eye(len(data.arms), len(data.arms) + X.shape[1])
    if early:
        to_logit[np.arange(len(against)), len(against) + len(style.kept) + against] = -_TEN
    logits = to_logit @ np.concatenate([fitted.intercepts, fitted.slopes])
    covariance = to_logit @ fitted.covariance @ to_logit.T
    scores = []
    for model in models:
        arms, shares = data.shares(model)
        at, se, interval = _percent(logits[arms], shares, covariance[np.ix_(arms, arms)], settings.level)
        mine = np.isin(data.arm, arms)
        alike = overlap(raw[mine][:, style.kept], np.unique(data.prompt[mine], return_inverse=True)[1])
        notes = [_extrapolates(alike), _dropped(_NAMES, style.kept)]
        if failed <= _FAILED_SHARE * settings.replicates and settings.replicates > 1:
            low, high = percentile_interval(replicates[:, arms] @ shares, settings.level)
            interval = 100 * low, 100 * high
            notes.append(f"{failed} of {settings.replicates} refits did not converge" if failed else "")
        else:
            notes.append(f"{failed} of {settings.replicates} refits failed: the interval is the sandwich's")
        notes.append(f"{int(missing[model])} games without a recorded answer left out" if missing[model] else "")
        notes.append("token counts are estimates: no vocabulary at hand" if estimated else "")
        notes.append(f"largest mean gradient of a refit {gradient:.0e}")
        scores.append(
            Score(
                model, ARENA_HARD, at, se, interval, len(np.unique(data.prompt[mine])), method, overlap=alike,
                note="; ".join(filter(None, notes)),
            )
        )  # fmt: skip
    return scores


def _arena_hard_features(battles: Battles, data: _Arms, early: bool) -> tuple[Floats, bool]:
    """Return the four published differences of each game, model minus baseline, before standardising."""
    used = np.concatenate([data.answer, data.opponent_answer])
    counts, estimated = published_counts(battles, used, "cl100k_base" if early else "o200k_base")
    own, other = counts[data.answer], counts[data.opponent_answer]
    if early:
        return ratio(own, other), estimated
    length = ratio(own[:, :1], other[:, :1], plus=0.0)
    return np.hstack([length, ratio(density(own[:, 1:], own[:, :1]), density(other[:, 1:], other[:, :1]))]), estimated


def _refits(
    rows: StarRows, fitted: StarFit, ridge: tuple[float, float], against: Codes, n_features: int, settings: Settings
) -> tuple[Floats, int, float]:
    """Return win rates (replicates, arms) over resampled prompts, how many refits failed and the largest gradient."""
    weights = prompt_weights(rows.n_prompts, settings.replicates, settings.rng(ARENA_HARD))
    refits = refit_star(rows, fitted, weights, ridge=ridge)
    logits = refits.intercepts
    if ridge[0] > 0:
        logits = logits - _TEN * refits.slopes[:, n_features + against]
    done = refits.converged
    with np.errstate(over="ignore"):
        rates = 1.0 / (1.0 + np.exp(-logits))
    return rates, int((~done).sum()), float(refits.gradient[done].max(initial=0.0))


# --- Chatbot Arena ------------------------------------------------------------------------------------------------


def chatbot_arena_style(battles: Battles, settings: Settings | None = None) -> Findings:
    """Compute Chatbot Arena's style-controlled Bradley-Terry where all models meet all.

    Features are ``(a - b) / (a + b + 1)`` of tokens (cl100k), headers, lists and bold, standardised with ddof 0.
    ``chatbot_arena_style`` has the published ridge on ratings and slopes (C=1), ``chatbot_arena_style_unpenalised``
    has none. Both are undefined where no chain of wins joins the models: the ridge alone would decide. The score is the chance to beat another
    model of the field drawn at random; intervals come from the sandwich clustered by prompt (published: a
    bootstrap over rows).

    Args:
        battles: A recording; nothing is found if models met a baseline.
        settings: Level; None: the defaults.

    Source: FastChat ``fastchat/serve/monitor/rating_systems.py`` at 0e6d3e4; LMSYS, "Does style matter?" (2024).
    """
    settings = settings or Settings()
    if not meets_all(battles):
        return Findings()
    games = battles.games
    games = games[(games["variant"] == "") & (games["model"] != games["opponent"])]
    games = games[_answered(games)]
    if games.empty:
        reason = "no game has both a verdict and both answers recorded"
        return Findings(scores=tuple(not_computed(model, CHATBOT_ARENA, reason) for model in battles.models))
    coded = encode(games["model"], games["opponent"], games["prompt_id"])
    weight, outcome = games["weight"].to_numpy(), games["outcome"].to_numpy()
    answer, opponent = games["answer"].to_numpy(), games["opponent_answer"].to_numpy()
    counts, estimated = published_counts(battles, np.concatenate([answer, opponent]), "cl100k_base")
    raw = ratio(counts[answer], counts[opponent])
    style = standardise(raw, weight, ddof=0, centre=False)
    overlaps = {
        name: overlap(raw[mine][:, style.kept], np.unique(coded.clusters[mine], return_inverse=True)[1])
        for i, name in enumerate(coded.names)
        if (mine := (coded.a == i) | (coded.b == i)).any()
    }
    scores: list[Score] = []
    for control, ridge in ((CHATBOT_ARENA, _PUBLISHED_RIDGE), (CHATBOT_ARENA_EXACT, (0.0, 0.0))):
        method = (
            f"Bradley-Terry with style ({', '.join(_NAMES[j] for j in style.kept) or 'no feature'}), "
            f"{'ridge C=1' if ridge[0] else 'no ridge'}, exact maximum; interval: cluster-robust by prompt"
        )
        try:
            # a ridge gives a number even to models that no chain of games compares: it would be the ridge's
            check_connected(win_matrix(coded.a, coded.b, outcome, len(coded.names), weight), coded.names)
            fitted = fit_contextual(
                coded.a, coded.b, outcome, style.X, len(coded.names), clusters=coded.clusters, weights=weight,
                ridge=ridge, names=coded.names,
            )  # fmt: skip
        except Undefined as error:
            scores += [not_computed(m, control, f"undefined: {error}", method=method) for m in battles.models]
            continue
        notes = [_dropped(_NAMES, style.kept), "token counts are estimates: no vocabulary at hand" if estimated else ""]
        scores += field_scores(
            battles, control, coded, fitted, method, settings, overlaps=overlaps, note="; ".join(filter(None, notes))
        )
    return Findings(scores=tuple(sorted(scores, key=lambda s: s.model)))


# --- ours ---------------------------------------------------------------------------------------------------------


def style_controlled(battles: Battles, settings: Settings | None = None) -> Findings:
    """Compute the win rate against the baseline at no difference in length and markdown.

    Each model has its own logistic regression of the outcome on ``(model - baseline) / (model + baseline + 1)`` of
    characters and of headers, list items, bold spans, code blocks, tables, links, block quotes and emoji, as a
    markdown parser counts them; the score is the fitted win rate where all are zero. So a score depends on no other
    submission, unlike the published fits, whose slopes all models share and whose features are centred. A strong
    verdict counts once. A feature in which the two answers differ on fewer than 20 prompts is not controlled.

    `overlap` is the share of prompts with a difference within half a standard deviation of none, in the controlled
    feature where that share is smallest. Below 0.1 the score is marked as an extrapolation. It is undefined where no
    feature differs, and where a feature's differences all lie further from none than they lie from each other.

    Args:
        battles: A recording; nothing is found where models met each other rather than a baseline.
        settings: Level; None: the defaults.

    Source: our own; the features follow FastChat's style control, the interval Liang and Zeger (1986).
    """
    settings = settings or Settings()
    if not applies(battles) or not battles.benchmark.baselines:
        return Findings()
    games = battles.games
    games = games[(games["variant"] == "") & games["model"].isin(battles.models)]
    played = games["outcome"].notna()
    answered = _answered(games)
    by_model = dict(list(games[answered].groupby("model")))
    missing = (played & ~answered).groupby(games["model"]).sum()
    measured = parsed_measures(battles)[list(OURS)].to_numpy(dtype=np.float64) if by_model else np.empty((0, len(OURS)))
    scores = []
    for model in battles.models:
        own = by_model.get(model)
        if own is None:
            scores.append(not_computed(model, OWN, "no game has both a verdict and both answers recorded"))
        else:
            scores.append(_own(model, own, measured, int(missing[model]), settings))
    return Findings(scores=tuple(scores))


def _own(model: str, games: pd.DataFrame, measured: Floats, missing: int, settings: Settings) -> Score:
    data = _Arms.of(games)
    raw = ratio(measured[data.answer], measured[data.opponent_answer])
    n = int(data.prompt.max()) + 1
    style = _own_features(raw, data.prompt)
    unseen = unsupported(raw)
    alike = overlap(raw[:, style.kept], data.prompt)
    method = (
        f"logistic regression on differences in {', '.join(OURS[j] for j in style.kept) or 'nothing'}; win rate at no "
        "difference; interval: cluster-robust by prompt"
    )
    notes = [_extrapolates(alike), _dropped(OURS, style.kept)]
    notes.append(f"{missing} games without a recorded answer left out" if missing else "")
    needed = max(_FEWEST_PROMPTS, _PROMPTS_PER_COEFFICIENT * (len(style.kept) + len(data.arms)))
    if n < needed:
        reason = f"undefined: {n} prompts are too few for {len(style.kept)} features, {needed} are needed"
        return not_computed(model, OWN, reason, n=n, method=method)
    if np.ptp(data.outcome) == 0:
        return not_computed(model, OWN, "undefined: every game has the same outcome", n=n, method=method)
    if unseen:
        reason = "undefined: no pair of answers is anywhere near alike in this, so nothing tells how they would fare if they were: "
        return not_computed(model, OWN, reason + ", ".join(OURS[j] for j in unseen), n=n, method=method)
    if not style.kept:
        reason = "undefined: the two answers hardly differ in any feature, so there is nothing to hold fixed; the raw win rate stands"
        return not_computed(model, OWN, reason, n=n, method=method)
    try:
        fitted = fit_star(collapse(data.arm, data.prompt, data.outcome, None, style.X))
    except Undefined as error:
        return not_computed(model, OWN, f"undefined: {error}", n=n, method=method)
    arms, shares = data.shares(model)
    covariance = fitted.covariance[: len(arms), : len(arms)]
    at, se, interval = _percent(fitted.intercepts, shares, covariance, settings.level)
    return Score(model, OWN, at, se, interval, n, method, overlap=alike, note="; ".join(filter(None, notes)))


def _own_features(raw: Floats, prompt: Codes) -> Standardised:
    """Standardise the features in which the answers differ on enough prompts; keep those that tell something new."""
    differs = [len(np.unique(prompt[column != 0])) >= _FEWEST_PROMPTS for column in raw.T]
    enough = np.flatnonzero(differs)
    style = standardise(raw[:, enough], np.ones(len(raw)), ddof=1, centre=False)
    kept: list[int] = []
    ones = np.ones((len(raw), 1))
    for j in range(style.X.shape[1]):
        design = np.hstack([ones, style.X[:, [*kept, j]]])
        if np.linalg.matrix_rank(design, tol=1e-8 * math.sqrt(len(raw))) == design.shape[1]:
            kept.append(j)
    return Standardised(style.X[:, kept], tuple(int(enough[style.kept[j]]) for j in kept))
