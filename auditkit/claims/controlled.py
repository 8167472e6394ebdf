"""A gain between two recorded models, raw and under each control, and how it divides."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit import registry
from auditkit.attacks.detect import detect
from auditkit.claims.paired import STYLE, Pairs, pair, sides
from auditkit.claims.results import LITTLE_OVERLAP, Estimate
from auditkit.controls import length_controlled, raw, style_controlled
from auditkit.controls.calibration import places, published_calibration
from auditkit.controls.design import designs
from auditkit.errors import Undefined
from auditkit.records import Battles, Interval, Part, Score, Settings
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.claims import adjusted_gain
from auditkit.stats.intervals import cluster_mean, percentile_interval
from auditkit.stats.length_control import fit_length_control, refit_length_control
from auditkit.stats.uplift import paired_uplift

__all__ = ["GATED", "MATCHED_FACTOR", "Gains", "gains", "own_score"]

Floats = NDArray[np.float64]

GATED: Final = "gated"
#: Answers are about equally long if neither is more than this many times the other, as in `controls.length`.
MATCHED_FACTOR: Final = 1.25
_STYLE_FACTOR: Final = 1.5
_STYLE_GAP: Final = 0.5
_FEWEST: Final = 30  # prompts in a subset
_DIFFERS: Final = 20  # prompts on which a covariate must differ for its slope to be estimated, as in `controls.style`
_EXACT: Final = 1.0 + 1e-9  # a mean of differences at the end of the scale is not beyond it
_FAILED: Final = 0.05  # share of refits without a solution above which there is no interval


@dataclass(frozen=True)
class Gains:
    """What a recording says of two models.

    Attributes:
        estimates: ``raw`` first, then every control that applies; ``gated`` only where the candidate failed it.
        decomposition: Model (quality), length, style, position; they add up to the raw gain.
        pairs: The paired prompts.
        scores: Candidate's and baseline's own raw scores, in points; None where they met each other.
    """

    estimates: tuple[Estimate, ...]
    decomposition: tuple[Part, ...]
    pairs: Pairs
    scores: tuple[float, float] | None


def gains(
    battles: Battles,
    candidate: str,
    baseline: str,
    metric: str,
    settings: Settings,
    level: float,
    *,
    flagged: Sequence[str] | None = None,
) -> Gains:
    """Measure the gain of `candidate` over `baseline`, raw and under each control.

    All controls share one bootstrap of the prompts, so that the raw gain minus a controlled one has an interval too.
    Length and style are held fixed by `auditkit.stats.claims.adjusted_gain`, at equal log characters and equal log
    (1 + count) of headers, list items and bold spans *of the two models' answers*; on AlpacaEval's own prompts the
    difference of the two published length-controlled win rates stands beside it.

    Args:
        battles: A recording.
        candidate, baseline: Models of it.
        metric: Of the claim.
        settings: Replicates, seed, calibration.
        level: Of the intervals.
        flagged: Detectors of reject severity that are known to have flagged the candidate; None: they are run.

    Raises:
        NoData: The two share no usable judgments.
    """
    pairs = pair(battles, candidate, baseline, metric)
    rng = settings.rng("claim")
    weights = np.vstack([np.ones(pairs.n), prompt_weights(pairs.n, settings.replicates, rng)])
    found = [_raw(pairs, settings, level)]
    found += [
        estimate
        for estimate in (
            _published_length(battles, candidate, baseline, metric, settings, level, pairs.limit),
            *_regressions(pairs, weights, level),
            _subset(pairs, weights, level, "length_matched", pairs.ratio <= MATCHED_FACTOR, "the answers are about equally long"),
            None if pairs.consistent is None else
            _subset(pairs, weights, level, "swap_consistent", pairs.consistent, "every verdict is the same in both orders"),
            _gate(_flagged(battles, candidate, settings) if flagged is None else flagged),
        )
        if estimate is not None
    ]  # fmt: skip
    scores = None if pairs.design == "direct" else pairs.scores
    return Gains(tuple(found), _decomposition(pairs, weights, level), pairs, scores)


def own_score(battles: Battles, model: str, metric: str, settings: Settings) -> Score:
    """Return one model's score in `metric`, by the control of that name.

    Raises:
        Undefined: It cannot be computed; the message says why.
    """
    if metric == "score":
        table = battles.ratings[(battles.ratings["model"] == model) & battles.ratings["score"].notna()]
        if not len(table):
            raise Undefined(f"no usable rating of {model!r} is recorded")
        mean = cluster_mean(table["score"], pd.factorize(table["prompt_id"])[0], level=settings.level)
        return Score(model, "raw", mean.estimate, mean.se, mean.ci, mean.n_clusters, unit="rating")
    if metric in ("reward", "win_or_tie"):
        table = sides(battles, model)
        if not len(table):
            raise Undefined(f"no usable verdict on {model!r} is recorded")
        y = table["outcome"].to_numpy()
        values = 200.0 * y - 100.0 if metric == "reward" else 100.0 * (y >= 0.5)
        mean = cluster_mean(values, pd.factorize(table["prompt_id"])[0], level=settings.level)
        unit: Literal["reward", "win_rate"] = "reward" if metric == "reward" else "win_rate"
        won, tied = 100.0 * float((y > 0.5).mean()), 100.0 * float((y == 0.5).mean())
        split = (
            f"won {won:.1f}%, tied {tied:.1f}%, lost {100 - won - tied:.1f}%: won + tied / 2 is {won + tied / 2:.1f}"
        )
        note = split if metric == "win_or_tie" else ""
        return Score(model, "raw", mean.estimate, mean.se, mean.ci, mean.n_clusters, unit=unit, note=note)
    known: dict[str, Callable[[Battles, Settings], object]] = {
        "win_rate": raw, "length_controlled": length_controlled, "style_controlled": style_controlled,
    }  # fmt: skip
    mine = battles.games["model"] == model
    if not battles.benchmark.baselines:  # every game belongs to two models
        mine |= battles.games["opponent"] == model
    alone = replace(battles, games=battles.games[mine])
    control = {"win_rate": "raw"}.get(metric, metric)
    if not len(alone.games):
        raise Undefined(f"no game of {model!r} is recorded")
    scores = getattr(known[metric](alone, settings), "scores", ())
    found = next((s for s in scores if isinstance(s, Score) and s.model == model and s.control == control), None)
    if found is None or found.estimate is None:
        raise Undefined(found.note if found is not None else f"{metric} does not apply to this recording")
    return found


def _raw(pairs: Pairs, settings: Settings, level: float) -> Estimate:
    width = max(float(np.abs(pairs.difference).max()), 1e-9) if math.isinf(pairs.limit) else pairs.limit
    share = np.clip(pairs.difference / width, -1.0, 1.0)
    found = paired_uplift(share, level, replicates=settings.replicates, seed=settings.seed)
    how = "studentised prompt bootstrap" if found.method == "max_t" else "betting (few prompts)"
    se = found.se * width if np.isfinite(found.se) else None
    return Estimate(
        "raw", found.estimate * width, se, (found.ci[0] * width, found.ci[1] * width), pairs.n,
        method=f"mean paired difference by prompt ({pairs.design.replace('_', ' ')}); interval: {how}",
    )  # fmt: skip


def _covariates(pairs: Pairs) -> tuple[Floats, tuple[str, ...], NDArray[np.bool_]]:
    """Return length and style (n, 4), their terms, and the prompts on which both answers are recorded."""
    X = np.column_stack([pairs.length, pairs.style])
    known = np.asarray(np.isfinite(X).all(axis=1), dtype=np.bool_)
    return _without_rare(X, known), ("length", *(["style"] * len(STYLE))), known


def _without_rare(X: Floats, rows: NDArray[np.bool_]) -> Floats:
    """Return the columns with those set to 0 that differ from 0 on too few rows to have a slope."""
    often = np.count_nonzero(X[rows], axis=0) >= _DIFFERS
    return np.where(often, X, 0.0)


def _alike(pairs: Pairs) -> NDArray[np.bool_]:
    """Return on which prompts the two answers are alike in length and style (n,)."""
    return np.asarray((pairs.ratio <= _STYLE_FACTOR) & (pairs.style_gap <= _STYLE_GAP), dtype=np.bool_)


def _marked(notes: Sequence[str]) -> str:
    """Return the notes of what is an extrapolation as one note that begins with the word."""
    return f"EXTRAPOLATION: {'; '.join(notes)}" if notes else ""


def _regressions(pairs: Pairs, weights: Floats, level: float) -> list[Estimate]:
    X, terms, known = _covariates(pairs)
    left_out = [name for name, column in zip(STYLE, X[known][:, 1:].T, strict=True) if not column.any()]
    near = (pairs.ratio <= MATCHED_FACTOR)[known]
    alike = _alike(pairs)[known]
    found = []
    for control, columns, overlap, what in (
        ("length_controlled", slice(0, 1), near, "log characters"),
        ("style_controlled", slice(0, None), alike, f"log characters and log counts of {', '.join(STYLE)}"),
    ):
        method = f"regression of paired differences; gain at equal {what}; interval: prompt bootstrap"
        if not known.any():
            found.append(Estimate(control, None, method=method, note="the answers are not recorded"))
            continue
        try:
            fit = adjusted_gain(pairs.difference[known], X[known][:, columns], terms[columns], weights[:, known])
        except Undefined as error:
            found.append(Estimate(control, None, n=int(known.sum()), method=method, note=f"undefined: {error}"))
            continue
        notes = []
        if left_out and control == "style_controlled":
            notes.append(f"{', '.join(left_out)} differ on fewer than {_DIFFERS} prompts: not controlled")
        if not known.all():
            notes.append(f"{int((~known).sum())} prompts without both answers left out")
        found.append(
            _spread(control, fit.controlled, fit.total, int(known.sum()), level, method, "; ".join(notes),
                    overlap=float(overlap.mean()), limit=pairs.limit)
        )  # fmt: skip
    return found


def _spread(
    control: str,
    values: Floats,
    totals: Floats,
    n: int,
    level: float,
    method: str,
    note: str = "",
    *,
    overlap: float | None = None,
    subset: bool = False,
    limit: float = math.inf,
    among: str = "the two models' answers",
) -> Estimate:
    """Return the estimate of row 0, its interval and that of the drop from the raw gain, from the other rows.

    A gain beyond `limit` is impossible: the estimate is undefined, an interval is cut there, and either is marked.
    """
    far = []
    if not subset and overlap is not None and overlap < LITTLE_OVERLAP:
        far.append(f"{among} are alike in this on {overlap:.0%} of prompts")
    if np.isfinite(values[0]) and abs(values[0]) > limit * _EXACT:
        far.append(f"undefined: the fit gives {values[0]:+.1f}, where {-limit:+g} to {limit:+g} is possible")
        note = "; ".join(filter(None, [_marked(far), note]))
        return Estimate(control, None, n=n, subset=subset, overlap=overlap, method=method, note=note)
    good = np.isfinite(values[1:])
    if not np.isfinite(values[0]) or (~good).mean() > _FAILED or good.sum() < 2:
        reason = "; ".join(
            filter(None, [note, f"no interval: {int((~good).sum())} of {len(good)} resamples have none"])
        )
        return Estimate(control, None, n=n, subset=subset, overlap=overlap, method=method, note=reason)
    drawn = values[1:][good]
    ci, cut = _within(percentile_interval(drawn, level), limit)
    note = "; ".join(filter(None, [_marked([*far, *cut]), note]))
    return Estimate(
        control, float(values[0]), float(drawn.std(ddof=1)), ci, n,
        percentile_interval(totals[1:][good] - np.clip(drawn, -limit, limit), level), subset, overlap, method, note,
    )  # fmt: skip


def _within(ci: Interval, limit: float) -> tuple[Interval, list[str]]:
    """Return an interval cut at what is possible, and what there is to note of that."""
    if max(-ci[0], ci[1]) <= limit * _EXACT:
        return ci, []
    return (max(ci[0], -limit), min(ci[1], limit)), [f"its interval was cut at {-limit:+g} and {limit:+g}, the scale"]


def _subset(
    pairs: Pairs, weights: Floats, level: float, control: str, keep: NDArray[np.bool_], where: str
) -> Estimate | None:
    n = int(keep.sum())
    overlap = float(keep.mean())
    method = f"mean paired difference where {where}; interval: prompt bootstrap"
    if control == "length_matched" and not np.isfinite(pairs.ratio).any():
        return None
    if n < _FEWEST:
        note = f"undefined: {n} such prompts, fewer than {_FEWEST}"
        return Estimate(control, None, n=n, subset=True, overlap=overlap, method=method, note=note)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = weights[:, keep] @ pairs.difference[keep] / weights[:, keep].sum(axis=1)
    totals = weights @ pairs.difference / weights.sum(axis=1)
    return _spread(control, values, totals, n, level, method, overlap=overlap, subset=True)


def _decomposition(pairs: Pairs, weights: Floats, level: float) -> tuple[Part, ...]:
    X, terms, known = _covariates(pairs)
    if not known.any():
        return ()
    moved = bool(np.ptp(pairs.order[known]) > 0)
    if moved:
        X, terms = _without_rare(np.column_stack([X, pairs.order]), known), (*terms, "position")
    try:
        fit = adjusted_gain(pairs.difference[known], X[known], terms, weights[:, known])
    except Undefined:
        return ()

    alike = float(_alike(pairs)[known].mean())
    far = [f"the answers are alike in length and style on {alike:.0%} of prompts"] if alike < LITTLE_OVERLAP else []
    off = abs(float(fit.controlled[0])) > pairs.limit * _EXACT
    if off:
        far.append(f"undefined: the fit leaves {fit.controlled[0]:+.1f} to the models, more than is possible")

    def part(name: Literal["model", "length", "style", "position"], values: Floats) -> Part:
        if off:
            return Part(name, None, note=_marked(far))
        drawn = values[1:][np.isfinite(values[1:])]
        if len(drawn) < (1.0 - _FAILED) * (len(values) - 1):
            return Part(name, float(values[0]), note=_marked(far))
        own = [] if name == "position" else far
        # what length or style moves can lead from one end of the scale to the other
        ci, cut = _within(percentile_interval(drawn, level), pairs.limit * (1.0 if name == "model" else 2.0))
        return Part(name, float(values[0]), ci, _marked([*own, *cut]))

    parts = [part("model", fit.controlled), part("length", fit.parts["length"]), part("style", fit.parts["style"])]
    if moved:
        parts.append(part("position", fit.parts["position"]))
    elif pairs.order_known:
        parts.append(Part("position", 0.0, note="both were shown in the same order on every prompt"))
    else:
        parts.append(Part("position", None, note="the order of the answers is not recorded"))
    return tuple(parts)


def _published_length(
    battles: Battles, candidate: str, baseline: str, metric: str, settings: Settings, level: float, limit: float
) -> Estimate | None:
    """Return the difference of two published length-controlled win rates, refitted on shared resamples of prompts.

    It holds length equal to the opponent's, so its overlap is that of either model's answers with the opponent's.
    """
    if metric not in ("win_rate", "length_controlled"):
        return None
    calibration = published_calibration(battles, settings)
    if isinstance(calibration, str):
        return None
    order = places(battles, calibration)
    names = [m for m in (candidate, baseline) if m not in battles.benchmark.baselines]
    played = designs(replace(battles, games=battles.games[battles.games["model"].isin(names)]))
    control = "length_controlled_published"
    lengths = battles.answers["text"].str.len().to_numpy(dtype=np.float64)
    code = {key: i for i, key in enumerate(dict.fromkeys(key for m in names for key in played[m].prompts))}
    draws = prompt_weights(len(code), settings.replicates, settings.rng("claim-length"))
    weights = np.vstack([np.ones(len(code)), draws])
    rates, plain, near = [], [], []
    try:
        for model in names:
            found = played[model].keep(played[model].answered & played[model].usable)
            place = found.place if order is None else np.array([order[key] for key in found.prompts])[found.prompt]
            own = weights[:, np.array([code[key] for key in found.prompts])[found.prompt]]
            delta = lengths[found.opponent_answer] - lengths[found.answer]
            ratio = np.log1p(lengths[found.opponent_answer]) - np.log1p(lengths[found.answer])
            near.append(float((np.abs(ratio) <= np.log(MATCHED_FACTOR)).mean()))
            difficulty = calibration.difficulty[place]
            fit = fit_length_control(delta, difficulty, found.outcome, calibration.gamed)
            values, _ = refit_length_control(fit, difficulty, found.outcome, calibration.gamed, own)
            values[0] = fit.win_rate
            rates.append(100.0 * values)
            plain.append(100.0 * (own @ found.outcome) / own.sum(axis=1))
    except (Undefined, IndexError) as error:
        return Estimate(control, None, note=f"undefined: {error}")
    sign = 1.0 if names[0] == candidate else -1.0
    gain, total = ((sign * (v[0] - (v[1] if len(v) > 1 else 50.0))) for v in (rates, plain))
    method = "difference of AlpacaEval's length_controlled_v1; interval: prompt bootstrap, both models refitted"
    among = "a model's and its opponent's answers"
    return _spread(control, gain, total, len(code), level, method, overlap=min(near), limit=limit, among=among)


def _flagged(battles: Battles, candidate: str, settings: Settings) -> list[str]:
    """Return the detectors of reject severity that flag a submission."""
    if candidate not in battles.models or not len(battles.answers):
        return []
    submission = battles.submission(candidate)
    if not len(submission.rows):
        return []
    plugins = {name: plugin.load() for name, plugin in registry.plugins("detectors").items()}
    found = detect([submission], plugins, settings)[candidate]
    return [d.detector for d in found if d.flag and d.severity == "reject"]


def _gate(flagged: Sequence[str]) -> Estimate | None:
    """Return what is left of a candidate whose answers hold what no honest answer holds; None if they do not."""
    if not flagged:
        return None
    note = f"the submission was flagged for {', '.join(name.replace('_', ' ') for name in flagged)}"
    return Estimate(GATED, None, method="detectors of reject severity", note=note)
