"""The joint regression: model, order, length, style and difficulty at once, and how the points of a score divide."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.controls.calibration import places, published_calibration
from auditkit.controls.design import (
    Design,
    answer_measures,
    applies,
    bootstrap_spread,
    clip,
    designs,
    judges_text,
    not_computed,
    points,
)
from auditkit.controls.style_features import unsupported
from auditkit.errors import NoData, NotConverged, Separated, Undefined
from auditkit.records import Battles, Findings, Part, Score, Settings, StyleEffect
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.decomposition import Decomposition, JointDesign, Term, decompose, joined
from auditkit.stats.intervals import normal_interval
from auditkit.stats.logistic import refit_logistic, separated

__all__ = ["joint"]

CONTROL = "joint"
STYLE: Final = ("headers", "lists", "bold")
_PARTS: Final[tuple[Term, ...]] = ("model", "length", "style", "position", "difficulty")
_PROMPTS_A_COEFFICIENT: Final = 10
_OTHERS: Final = 3
#: Overlap: on a prompt's games lengths differ by at most this factor …
_LENGTH_FACTOR: Final = 1.5
#: … and no style feature's ratio difference exceeds this (one side has about three times as much as the other).
_STYLE_LIMIT: Final = 0.5
_LITTLE_OVERLAP: Final = 0.10
_PORTION: Final = 5_000_000  # bootstrap weights held at once: 40 MB
_FAR: Final = 8.0  # log-odds beyond which a fit is tested for separation
_MOST_FAILED: Final = 0.05  # share of bootstrap refits without an optimum above which no interval is given

Floats = NDArray[np.float64]


def joint(battles: Battles, settings: Settings | None = None) -> Findings:
    """Fit one regression per model with everything in it, and decompose its score.

    A binomial GLM (logit link) of the outcome, fractions included, on an intercept (the model), the order
    (+0.5 shown second, -0.5 first), the length difference ``tanh((own - opponent) / sd)``, the style differences
    ``(own - opponent) / (own + opponent + 1)`` of headers, list items and bold spans, and the prompt's difficulty;
    covariance clustered by prompt (statsmodels). Columns that do not vary are left out and said to be.

    Difficulty is AlpacaEval's published one where it applies, else minus the log-odds of the other models'
    mean outcome on the prompt (at least three others against the same baselines), both made independent of the
    order over the benchmark's prompts: AlpacaEval's own difficulty holds a fifth of position.

    The score ``joint`` is 100 times the mean predicted outcome at zero length and style difference, averaged over
    both orders and over all prompts of the recording. `Findings.decomposition` divides the raw win rate minus 50
    over model, length, style, position and difficulty (`auditkit.stats.decomposition`); the parts add up exactly.
    Intervals of both: prompt bootstrap, the regression refitted each time. `Findings.style` has each feature's
    log-odds for one standard deviation of its difference, with the clustered covariance.

    `overlap` is the share of prompts on which the lengths are within a factor of 1.5 and every style difference
    lies within ±0.5; below 0.10 the note marks the score as an extrapolation.

    A score is undefined (None and the reason) with fewer than ten prompts a coefficient, perfect separation,
    collinear columns, no convergence, or where differences all lie further from none than from each other.

    Args:
        battles: A recording.
        settings: Level, replicates, seed, calibration; None: the defaults.

    Raises:
        InputError: The calibration or difficulty file is not what it should be.

    Source: McCullagh and Nelder (1989) ch. 4; Papke and Wooldridge (1996); Liang and Zeger (1986). Style features:
    FastChat ``serve/monitor``, as in Chatbot Arena's style control.
    """
    settings = settings or Settings()
    if not applies(battles):
        return Findings()
    benchmark = _Benchmark.of(battles, settings)
    scores: list[Score] = []
    decomposition: dict[str, tuple[Part, ...]] = {}
    style: dict[str, tuple[StyleEffect, ...]] = {}
    for model, played in designs(battles).items():
        found = played.keep(played.usable & played.answered)
        if not len(found.outcome):
            reason = "not computed: no game has a verdict and both answers recorded"
            scores.append(not_computed(model, CONTROL, reason))
            continue
        columns = _columns(battles, found, benchmark)
        try:
            result = _fit(found, columns, benchmark, settings)
        except Undefined as error:
            reason = f"undefined: {error}"
            scores.append(not_computed(model, CONTROL, reason, n=len(found.prompts), method=columns.method))
            continue
        scores.append(result.score)
        decomposition[model] = result.parts
        style[model] = result.style
    return Findings(scores=tuple(scores), decomposition=decomposition, style=style)


@dataclass(frozen=True)
class _Benchmark:
    """What all models of a recording share.

    Attributes:
        code: Number of each prompt by id (m).
        slot: Mean order over all games of each prompt (m,).
        outcomes: Usable games: ``prompt`` (its number), ``model``, ``y``.
        published: AlpacaEval's difficulty by prompt (m,), if it applies.
        settings: Seed and number of bootstrap replicates.
        baselines: Whether every model met fixed baselines.
    """

    code: Mapping[str, int]
    slot: Floats
    outcomes: pd.DataFrame
    published: Floats | None
    settings: Settings
    baselines: bool

    @classmethod
    def of(cls, battles: Battles, settings: Settings) -> _Benchmark:
        games = battles.games[battles.games["variant"] == ""]
        codes, ids = pd.factorize(games["prompt_id"])
        m = len(ids)
        order = games["order"].map({"model_first": -0.5, "model_second": 0.5, "unknown": 0.0}).to_numpy(np.float64)
        slot = np.bincount(codes, weights=order, minlength=m) / np.bincount(codes, minlength=m)
        usable = games["outcome"].notna().to_numpy()
        outcomes = pd.DataFrame(
            {
                "prompt": codes[usable],
                "model": games["model"].to_numpy()[usable],
                "y": games["outcome"].to_numpy()[usable],
            }
        )
        published = None
        calibration = published_calibration(battles, settings)
        if not isinstance(calibration, str):
            place = places(battles, calibration)
            if place is not None:
                published = calibration.difficulty[[place[key] for key in ids]]
        code = {str(key): number for number, key in enumerate(ids)}
        return cls(code, slot, outcomes, published, settings, bool(battles.benchmark.baselines))

    def resamples(self) -> Iterator[Floats]:
        """Draw bootstrap weights of the prompts (at most R, m), in portions of bounded memory, the same for every model."""
        rng, replicates, m = self.settings.rng(CONTROL), self.settings.replicates, len(self.slot)
        portion = max(1, _PORTION // m)
        for begin in range(0, max(replicates, 1), portion):
            yield prompt_weights(m, min(portion, replicates - begin), rng)

    def difficulty(self, model: str) -> tuple[Floats | None, str]:
        """Return the difficulty of each prompt for `model`, centred and independent of the order, and where it is from."""
        m = len(self.slot)
        if self.published is not None:
            values, source = self.published, "AlpacaEval's difficulty without its share of position"
        else:
            others = self.outcomes[self.outcomes["model"] != model]
            n_others = others["model"].nunique()
            if not self.baselines:
                return None, "difficulty left out: without a baseline the others' outcomes say nothing of the prompt"
            if n_others < _OTHERS:
                return (
                    None,
                    f"difficulty left out: it needs {_OTHERS} other models on the same prompts, there are {n_others}",
                )
            prompt, y = others["prompt"].to_numpy(), others["y"].to_numpy()
            won = np.bincount(prompt, weights=y, minlength=m)
            games = np.bincount(prompt, minlength=m)
            values = np.log((games - won + 0.5) / (won + 0.5))
            values = np.where(games > 0, values, values[games > 0].mean())
            source = f"difficulty from {n_others} other models' outcomes"
        slot = self.slot - self.slot.mean()
        values = values - values.mean()
        spread = float(slot @ slot)
        if spread > 0:
            values = values - (slot @ values) / spread * slot
        return values, source


@dataclass(frozen=True)
class _Columns:
    """The regression of one model before it is fitted."""

    design: JointDesign
    style: tuple[str, ...]
    measures: Mapping[str, tuple[Floats, Floats]]
    overlap: float
    method: str
    left_out: dict[Term, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _columns(battles: Battles, found: Design, benchmark: _Benchmark) -> _Columns:
    """Build the covariates, leaving out what does not vary."""
    measured = answer_measures(battles)
    measures = {
        name: tuple(measured[name].to_numpy(dtype=np.float64)[rows] for rows in (found.answer, found.opponent_answer))
        for name in ("chars", *STYLE)
    }
    left_out: dict[Term, str] = {}
    notes: list[str] = []
    columns: list[tuple[Term, str, Floats]] = [("model", "", np.ones(len(found.outcome)))]

    known = np.isfinite(found.order)
    order = np.where(known, found.order, 0.0)
    if not known.any():
        left_out["position"] = "the order of the answers is not recorded"
    elif np.ptp(order) == 0:
        left_out["position"] = "only one order was used: position and model cannot be told apart"
    else:
        columns.append(("position", "", order))
        if not known.all():
            notes.append(f"the order of {int((~known).sum())} games is not recorded; taken as balanced")

    own, other = measures["chars"]
    difference = own - other
    scale = float(difference.std(ddof=1)) if len(difference) > 1 else 0.0
    if scale > 0:
        columns.append(("length", "", np.tanh(difference / scale)))
    else:
        left_out["length"] = "every length difference is the same"

    features = {name: _ratio(*measures[name]) for name in STYLE}
    varying = tuple(name for name, values in features.items() if np.ptp(values) > 0)
    columns += [("style", name, features[name]) for name in varying]
    constant = [name for name in STYLE if name not in varying and features[name][0] != 0]
    if constant:
        notes.append(f"style left out, for it never varies: {', '.join(constant)}")
    if not varying:
        left_out["style"] = "no header, list or bold difference varies"

    prompt = np.array([benchmark.code[str(key)] for key in found.prompts], dtype=np.intp)[found.prompt]
    difficulty, source = benchmark.difficulty(found.model)
    everywhere = np.zeros(len(benchmark.slot))
    if difficulty is None:
        left_out["difficulty"] = source
    elif np.ptp(difficulty[prompt]) == 0:
        left_out["difficulty"] = "difficulty left out: it is the same on every prompt"
    else:
        everywhere = difficulty
        columns.append(("difficulty", "", difficulty[prompt]))

    near = np.maximum(own, other) <= _LENGTH_FACTOR * np.minimum(own, other)
    for values in features.values():
        near &= np.abs(values) <= _STYLE_LIMIT
    terms = tuple(term for term, _, _ in columns)
    method = f"binomial GLM on {', '.join(dict.fromkeys(terms))}, cluster-robust by prompt" + (
        f"; {source}" if "difficulty" in terms else ""
    )
    return _Columns(
        JointDesign(np.column_stack([values for _, _, values in columns]), terms, prompt, everywhere),
        varying,
        measures,
        float(found.prompt_mean(near).mean()),
        method + judges_text(found),
        left_out,
        tuple(notes),
    )


def _ratio(own: Floats, other: Floats) -> Floats:
    return (own - other) / (own + other + 1.0)


@dataclass(frozen=True)
class _Result:
    score: Score
    parts: tuple[Part, ...]
    style: tuple[StyleEffect, ...]


def _fit(found: Design, columns: _Columns, benchmark: _Benchmark, settings: Settings) -> _Result:
    X = columns.design.X
    n, p = len(found.prompts), X.shape[1]
    if n < _PROMPTS_A_COEFFICIENT * p:
        raise NoData(f"{n} prompts for {p} coefficients; at least {_PROMPTS_A_COEFFICIENT * p} are needed")
    held = [j for j, term in enumerate(columns.design.terms) if term in ("length", "style")]
    if unseen := unsupported(X[:, held]):
        names = [name for name in ("length", *columns.style) if name != "length" or "length" in columns.design.terms]
        raise NoData(
            "no pair of answers is anywhere near alike in this, so nothing tells how they would fare if they were: "
            + ", ".join(names[j] for j in unseen)
        )
    coefficients, covariance = _glm(X, found.outcome, found.prompt)
    full = decompose(coefficients[None, :], columns.design, np.ones((1, len(benchmark.slot))))
    portions = []
    for weights in benchmark.resamples():
        refits = refit_logistic(X, found.outcome, weights[:, columns.design.prompt], coefficients)
        portions.append(decompose(refits, columns.design, weights))
    resampled = joined(portions)
    drawn = len(resampled.controlled)
    failed = int(np.isnan(resampled.controlled).sum())

    notes = list(columns.notes)
    if columns.overlap < _LITTLE_OVERLAP:
        notes.insert(
            0,
            f"EXTRAPOLATION to equal length and style: the two answers are alike in both on {columns.overlap:.0%} of prompts",
        )
    notes += [text for part, text in columns.left_out.items() if part != "difficulty"]
    if "difficulty" in columns.left_out:
        notes.append(columns.left_out["difficulty"])
    steady = failed <= _MOST_FAILED * drawn
    if not steady:
        notes.append(f"no interval: {failed} of {drawn} bootstrap refits have no optimum")
    se, interval = bootstrap_spread(resampled.controlled, settings.level, 100) if steady else (None, None)
    score = Score(
        found.model,
        CONTROL,
        points(float(full.controlled[0])),
        se,
        interval and clip(interval),
        n,
        f"{columns.method}; interval: prompt bootstrap, {drawn} refits" + (f" ({failed} failed)" if failed else ""),
        overlap=columns.overlap,
        note="; ".join(notes),
    )
    return _Result(
        score,
        _parts(full, resampled, columns, settings.level, steady),
        _style(columns, coefficients, covariance, settings),
    )


def _glm(X: Floats, y: Floats, clusters: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Fit statsmodels' binomial GLM and return coefficients and cluster-robust covariance.

    Raises:
        Separated: The outcome is predicted perfectly.
        NotConverged: The fit stopped early or warned.
        Undefined: The columns are linearly dependent.
    """
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM
    from statsmodels.tools.sm_exceptions import ConvergenceWarning, PerfectSeparationWarning

    if np.linalg.matrix_rank(X) < X.shape[1]:
        raise Undefined("the covariates are linearly dependent: their effects cannot be told apart")
    with warnings.catch_warnings():
        for kind in (ConvergenceWarning, PerfectSeparationWarning, RuntimeWarning):
            warnings.simplefilter("error", kind)
        try:
            result = GLM(y, X, family=Binomial()).fit(
                tol=1e-10, cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": True}
            )
        except (ConvergenceWarning, PerfectSeparationWarning, RuntimeWarning, ValueError) as error:
            if separated(X, y):
                raise Separated("the covariates predict the verdict perfectly: the estimate is infinite") from error
            raise NotConverged(f"the regression did not converge: {error}") from error
    coefficients = np.asarray(result.params, dtype=np.float64)
    if np.abs(X @ coefficients).max() > _FAR and separated(X, y):
        raise Separated("the covariates predict the verdict perfectly: the estimate is infinite")
    if not result.converged:
        raise NotConverged("the regression did not converge")
    return coefficients, np.asarray(result.cov_params(), dtype=np.float64)


def _parts(
    full: Decomposition, resampled: Decomposition, columns: _Columns, level: float, steady: bool
) -> tuple[Part, ...]:
    """Return the parts in points, those left out with their reason; without intervals if the refits are not steady."""
    left_out, alike = columns.left_out, columns.overlap
    far = f"EXTRAPOLATION: the two answers are alike in length and style on {alike:.0%} of prompts"
    note = far if alike < _LITTLE_OVERLAP else ""
    result = []
    for part in _PARTS:
        if part in left_out:
            result.append(Part(part, None, note=left_out[part]))
            continue
        _, interval = bootstrap_spread(resampled.parts[part], level, 100) if steady else (None, None)
        own = note if part in ("model", "length", "style") else ""
        result.append(Part(part, 100 * float(full.parts[part][0]), interval, own))
    return tuple(result)


def _style(columns: _Columns, coefficients: Floats, covariance: Floats, settings: Settings) -> tuple[StyleEffect, ...]:
    """Return each style feature's log-odds for one standard deviation of its difference."""
    first = columns.design.terms.index("style") if columns.style else 0
    result = []
    for name in STYLE:
        own, other = columns.measures[name]
        effect = interval = None
        if name in columns.style:
            j = first + columns.style.index(name)
            scale = float(columns.design.X[:, j].std(ddof=1))
            effect = float(coefficients[j]) * scale
            interval = normal_interval(effect, float(np.sqrt(covariance[j, j])) * scale, settings.level)
        result.append(StyleEffect(name, effect, interval, float(own.mean()), float(other.mean())))
    return tuple(result)
