"""Length: AlpacaEval's length-controlled win rate, and what length did to the verdicts of any recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.controls.calibration import PROMPTS, Calibration, places, published_calibration
from auditkit.controls.design import (
    Design,
    answer_chars,
    applies,
    bootstrap_spread,
    clip,
    designs,
    judge_designs,
    judges_text,
    not_computed,
    points,
)
from auditkit.errors import Undefined
from auditkit.records import Battles, Findings, Length, Score, Settings
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.intervals import normal_interval
from auditkit.stats.length_control import LengthControl, fit_length_control, refit_length_control
from auditkit.stats.logistic import cluster_covariance, fit_logistic

__all__ = ["COMPARABLE", "comparable", "length_controlled"]

CONTROL = "length_controlled"
ALIGNED = "length_controlled_aligned"
#: Two lengths are comparable if neither is more than this many times the other. Scale-free and symmetric, so a
#: constant output (which changes the standard deviation that AlpacaEval divides by) cannot stretch it.
COMPARABLE: Final = 1.25
_LITTLE_OVERLAP: Final = 0.10
_ONE_SIDED: Final = 0.05
_BINS: Final = 5
_NOT_IN_ORDER: Final = (
    f"not computed: the prompts are not AlpacaEval's {PROMPTS} in their published order, and "
    "instruction_difficulty.csv, by which they could be matched, does not lie beside the results"
)

Floats = NDArray[np.float64]


def length_controlled(battles: Battles, settings: Settings | None = None) -> Findings:
    """Compute AlpacaEval 2's length-controlled win rate exactly as published, and describe the role of length.

    The estimator is ``length_controlled_v1`` of alpaca_eval v0.6.6 (`auditkit.stats.length_control`; Dubois et al.,
    arXiv:2404.04475). It needs the published calibration rows (``df_gamed.csv``: `settings.calibration`, or found
    beside the results) and holds for AlpacaEval's 805 prompts only; elsewhere the score is not computed and says so.

    Upstream looks a prompt's difficulty up by the row's *place* in the annotations file. If rows are missing, every
    later row gets a neighbour's difficulty, and the leaderboard's figures for such models are made that way. So
    ``length_controlled`` is the published figure, and where rows are missing ``length_controlled_aligned`` stands
    beside it: the same fit with difficulty joined by instruction.

    `se` and `ci` come from a prompt bootstrap that refits the model (penalty and calibration rows fixed);
    `published_se` is upstream's ``lc_standard_error``, the spread of fitted probabilities, which is far too small.
    `overlap` is the share of prompts on which neither answer is more than 1.25 times as long as the other.

    `Findings.length` holds, for every model with recorded answers, the win rate by quintile of the length
    difference and the length coefficient: log-odds for one unit of ``tanh(difference / sd)``, model minus baseline
    (so positive: longer wins), from the published fit if there is one, else from a logistic regression of the
    outcome on that term alone. Long answers often go with hard prompts: the coefficient alone is no evidence of gaming.

    Args:
        battles: A recording.
        settings: Level, replicates, seed, calibration; None: the defaults.

    Raises:
        InputError: The calibration or difficulty file is not what it should be.
    """
    settings = settings or Settings()
    if battles.benchmark.subject == "judge":
        return Findings(length=_by_judge(battles, settings))
    if not applies(battles):
        return Findings()
    calibration = published_calibration(battles, settings)
    order = None if isinstance(calibration, str) else places(battles, calibration)
    if order is None and not isinstance(calibration, str) and len(battles.prompts) >= PROMPTS:
        calibration = _NOT_IN_ORDER
    scores: list[Score] = []
    lengths: dict[str, Length] = {}
    for model, played in designs(battles).items():
        found = played.keep(played.answered)
        if not len(found.outcome):
            scores.append(not_computed(model, CONTROL, "not computed: the answers are not recorded"))
            continue
        own, other = answer_chars(battles, found.answer), answer_chars(battles, found.opponent_answer)
        overlap = float(found.prompt_mean(comparable(own, other)).mean())
        if isinstance(calibration, str):
            scores.append(replace(not_computed(model, CONTROL, calibration), overlap=overlap))
            lengths[model] = _slope(found, own, other, overlap, settings)
            continue
        try:
            published, length = _published(found, own, other, overlap, calibration, order, settings)
            scores += published
            lengths[model] = length
        except Undefined as error:
            scores.append(replace(not_computed(model, CONTROL, f"undefined: {error}"), overlap=overlap))
            lengths[model] = _slope(found, own, other, overlap, settings)
    return Findings(scores=tuple(scores), length=lengths)


def comparable(own: Floats, other: Floats) -> NDArray[np.bool_]:
    """Tell on which games neither answer is more than `COMPARABLE` times as long as the other."""
    return np.asarray(np.maximum(own, other) <= COMPARABLE * np.minimum(own, other))


def _published(
    found: Design,
    own: Floats,
    other: Floats,
    overlap: float,
    calibration: Calibration,
    order: Mapping[str, int] | None,
    settings: Settings,
) -> tuple[list[Score], Length]:
    """Return the published score, the aligned one where it differs, and what the fit says of length."""
    place = found.place
    by_prompt = None
    if order is not None:
        by_prompt = np.array([order[key] for key in found.prompts], dtype=np.intp)[found.prompt]
        # A file out of order is not a file with gaps: upstream's lookup by place would be noise, not a figure.
        same = found.judge[1:] == found.judge[:-1]
        if (np.diff(by_prompt)[same] <= 0).any():
            place = by_prompt
    if place.max(initial=0) >= PROMPTS:
        raise Undefined(f"more than {PROMPTS} games of one judge: not a recording of AlpacaEval's prompts")
    weights = prompt_weights(len(found.prompts), settings.replicates, settings.rng(CONTROL))[:, found.prompt]
    y, delta = found.outcome, other - own
    notes = [_extrapolation(found, own, other, overlap)]
    if found.without_verdict:
        notes.append(f"{found.without_verdict} games without a verdict are left out of the fit")
    fit = fit_length_control(delta, calibration.difficulty[place], y, calibration.gamed)
    scores = []
    moved = 0 if by_prompt is None else int(np.count_nonzero(np.not_equal(by_prompt, place)))
    if moved:
        notes.append(
            f"the published recipe joins difficulty by row: {moved} of {len(place)} rows "
            f"carry another prompt's; joined by instruction: {ALIGNED}"
        )
    elif by_prompt is None:
        notes.append("the order of the prompts could not be checked (no instruction_difficulty.csv beside the results)")
    score, coefficients = _score(found, fit, calibration.difficulty[place], y, calibration, weights, settings)
    scores.append(replace(score, overlap=overlap, note="; ".join(filter(None, notes))))
    if moved and by_prompt is not None:
        difficulty = calibration.difficulty[by_prompt]
        aligned = fit_length_control(delta, difficulty, y, calibration.gamed)
        score, coefficients = _score(found, aligned, difficulty, y, calibration, weights, settings)
        note = "; ".join(filter(None, ["difficulty joined by instruction", *notes[:-1]]))
        scores.append(replace(score, control=ALIGNED, overlap=overlap, published_se=None, note=note))
        fit = aligned
    slopes = -coefficients[:, 0]
    length = Length(
        float(-fit.coefficients[0]),
        bootstrap_spread(slopes, settings.level)[1],
        *_mean_lengths(found, own, other),
        overlap,
        _quintiles(own - other, y),
        "coefficient of AlpacaEval's published fit; it is held to what length did to the baseline's own variants",
    )
    return scores, length


def _score(
    found: Design,
    fit: LengthControl,
    difficulty: Floats,
    y: Floats,
    calibration: Calibration,
    weights: Floats,
    settings: Settings,
) -> tuple[Score, Floats]:
    rates, coefficients = refit_length_control(fit, difficulty, y, calibration.gamed, weights)
    failed = int(np.isnan(rates).sum())
    method = (
        f"AlpacaEval length_controlled_v1, C = {fit.penalty_c:.4g} by 5-fold cross-validation; interval: prompt "
        f"bootstrap, {len(rates)} refits" + (f" ({failed} did not converge)" if failed else "") + judges_text(found)
    )
    se, interval = bootstrap_spread(rates, settings.level, 100)
    score = Score(
        found.model,
        CONTROL,
        points(fit.win_rate),
        se,
        interval and clip(interval),
        len(found.prompts),
        method,
        published_se=100 * fit.published_se,
    )
    return score, coefficients


def _extrapolation(found: Design, own: Floats, other: Floats, overlap: float) -> str:
    """Say in plain words where equal length was hardly or never seen."""
    longer, shorter = (float(found.prompt_mean(side).mean()) for side in (own > other, own < other))
    reasons = []
    if overlap < _LITTLE_OVERLAP:
        reasons.append(f"the answers are about equally long (within a factor {COMPARABLE}) on {overlap:.0%} of prompts")
    if longer < _ONE_SIDED:
        reasons.append(f"the model's answer is the longer one on only {longer:.1%} of prompts")
    if shorter < _ONE_SIDED:
        reasons.append(f"the model's answer is the shorter one on only {shorter:.1%} of prompts")
    return f"EXTRAPOLATION to equal length: {' and '.join(reasons)}" if reasons else ""


def _slope(found: Design, own: Floats, other: Floats, overlap: float, settings: Settings) -> Length:
    """Describe length without the published calibration: one logistic slope, cluster-robust."""
    used = found.usable
    y, difference = found.outcome[used], (own - other)[used]
    described = (*_mean_lengths(found, own, other), overlap, _quintiles(own - other, found.outcome))
    scale = float(difference.std(ddof=1)) if len(difference) > 1 else 0.0
    if scale == 0:
        return Length(None, None, *described, "no coefficient: every length difference is the same")
    X = np.column_stack([np.ones(len(y)), np.tanh(difference / scale)])
    try:
        fit = fit_logistic(X, y)
        covariance = cluster_covariance(X, y, None, fit.coefficients, found.prompt[used])
    except Undefined as error:
        return Length(None, None, *described, f"no coefficient: {error}")
    slope = float(fit.coefficients[1])
    interval = normal_interval(slope, float(np.sqrt(covariance[1, 1])), settings.level)
    note = "coefficient of a logistic regression on the length difference alone; difficulty is not held fixed"
    return Length(slope, interval, *described, note)


def _by_judge(battles: Battles, settings: Settings) -> dict[str, Length]:
    """Describe the role of length for each judge of a judge test set (first answer against second)."""
    found = {}
    for judge, played in judge_designs(battles).items():
        one = played.keep(played.answered)
        if len(one.outcome):
            own, other = answer_chars(battles, one.answer), answer_chars(battles, one.opponent_answer)
            overlap = float(one.prompt_mean(comparable(own, other)).mean())
            found[judge] = _slope(one, own, other, overlap, settings)
    return found


def _mean_lengths(found: Design, own: Floats, other: Floats) -> tuple[float, float]:
    return float(found.prompt_mean(own).mean()), float(found.prompt_mean(other).mean())


def _quintiles(difference: Floats, outcome: Floats) -> tuple[tuple[float, float, int], ...]:
    """Return mean length difference, win rate (percent) and games of each fifth, shortest first."""
    used = np.isfinite(outcome)
    difference, outcome = difference[used], outcome[used]
    if len(difference) < _BINS:
        return ()
    parts = np.array_split(np.argsort(difference, kind="stable"), _BINS)
    return tuple((float(difference[p].mean()), 100 * float(outcome[p].mean()), len(p)) for p in parts)
