"""What the page shows of one submission: verdict, reasons and remedies first, then every score, part and finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from markupsafe import Markup

from auditkit.records import Detection, Part, Position, Score, StyleEffect
from auditkit.reports import charts, wording
from auditkit.reports.attack_view import AttacksView, attacks_view
from auditkit.reports.card import Tile, card, overlap_threshold
from auditkit.reports.charts import Axis
from auditkit.reports.explanations import remedy
from auditkit.reports.leaderboard import headline, score_of
from auditkit.reports.report import Reason, Report, SubmissionReport

__all__ = ["ScoreGroup", "SlotsView", "SubmissionView", "score_groups", "slots_view", "submission_view", "whole_axis"]

#: Points that the scale of one submission's scores spans at least.
_LEAST_SPAN: Final = 20.0
_ORDER: Final = {control: i for i, control in enumerate(wording.CONTROLS)}
#: Controls that look only at comparable prompts: their overlap is the size of that subset, and nothing is extrapolated.
_SUBSETS: Final = ("length_matched",)
_SEVERITY_ORDER: Final = ("reject", "review", "info")
_FIRST: Final = 3
_MOST_REMEDIES: Final = 4
#: What is told of a submission that no rule touches, most telling first.
_TELLING: Final = (
    "uplift",
    "judge",
    "null_floor",
    "control_spread",
    "position",
    "detectors_reject",
    "gates",
    "precision",
)
#: What a reader has to know that it is unknown.
_WANTED: Final = ("uplift", "judge", "null_floor", "attacks_played")


@dataclass(frozen=True)
class ScoreRow:
    """One score and its bar; `extrapolated`: fewer prompts are comparable than the policy asks for."""

    score: Score
    label: str
    plot: Markup
    extrapolated: bool


@dataclass(frozen=True)
class ScoreGroup:
    """Scores that share a scale."""

    unit: str
    scale: Markup
    rows: tuple[ScoreRow, ...]


@dataclass(frozen=True)
class _Step:
    """One row of the waterfall."""

    label: str
    plot: Markup
    value: str
    ci: str
    note: str


@dataclass(frozen=True)
class _Waterfall:
    scale: Markup
    steps: tuple[_Step, ...]


@dataclass(frozen=True)
class _Style:
    scale: Markup
    rows: tuple[tuple[StyleEffect, Markup], ...]


@dataclass(frozen=True)
class _Overlap:
    """Share of comparable prompts under each control, against the least that the policy asks for."""

    scale: Markup
    rows: tuple[tuple[str, float, Markup], ...]
    least: float


@dataclass(frozen=True)
class SlotsView:
    """The win rate in each place: ``(label, value, interval, n, bar)``."""

    scale: Markup
    rows: tuple[tuple[str, str, str, int, Markup], ...]


@dataclass(frozen=True)
class SubmissionView:
    """One submission as the template shows it; `gists` has what the summary of a fold says."""

    ident: str
    data: SubmissionReport
    raw: Score | None
    held: Score | None
    head: tuple[ScoreGroup, ...]
    card: tuple[Tile, ...]
    first: tuple[Reason, ...]
    remedies: tuple[str, ...]
    rules: tuple[Reason, ...]
    groups: tuple[ScoreGroup, ...]
    overlap: _Overlap | None
    waterfall: _Waterfall | None
    style: _Style | None
    slots: SlotsView | None
    quintiles: Markup | None
    support: Markup | None
    coverage: Markup | None
    flagged: tuple[Detection, ...]
    clear: tuple[Detection, ...]
    unmeasured: tuple[Detection, ...]
    attacks: AttacksView | None
    gists: Mapping[str, str]


# --- scores -----------------------------------------------------------------------------------------------------------


def _values(scores: Iterable[Score]) -> list[float]:
    return [v for s in scores for v in (s.estimate, *(s.ci or ())) if v is not None]


def whole_axis(unit: str, scores: Iterable[Score]) -> Axis:
    """Return the whole scale of a unit, on which submissions are compared."""
    if unit in ("win_rate", "accuracy"):
        return charts.PERCENT
    return charts.REWARD if unit == "reward" else charts.axis_for(_values(scores))


def _close_axis(unit: str, scores: Sequence[Score]) -> Axis:
    """Return the part of the scale that holds one submission's scores, so that its intervals can be told apart."""
    values, whole = _values(scores), whole_axis(unit, scores)
    if not values or unit == "rating":
        return whole
    lo, hi = min(values), max(values)
    pad = max((_LEAST_SPAN - (hi - lo)) / 2.0, 0.0)
    near = charts.axis_for([max(lo - pad, whole.lo), min(hi + pad, whole.hi)])
    inside = whole.reference is not None and near.lo <= whole.reference <= near.hi
    return Axis(near.lo, near.hi, near.ticks, whole.reference if inside else None)


def score_groups(ident: str, scores: Sequence[Score], least_overlap: float | None) -> tuple[ScoreGroup, ...]:
    """Return `scores` by unit, raw first, each with its bar.

    Args:
        ident: Begin of the ids of the scales.
        scores: Of one submission or judge.
        least_overlap: The overlap below which a score is drawn as an extrapolation; None: none is.
    """
    groups = []
    for unit in dict.fromkeys(s.unit for s in scores):
        own = sorted((s for s in scores if s.unit == unit), key=lambda s: _ORDER.get(s.control, len(_ORDER)))
        axis = replace(_close_axis(unit, own), ident=f"{ident}-{unit}")
        rows = []
        for i, s in enumerate(own):
            label = wording.control_label(s.control)
            beyond = (
                least_overlap is not None and s.estimate is not None and s.overlap is not None
                and s.overlap < least_overlap and s.control not in _SUBSETS
            )  # fmt: skip
            plot = charts.interval_bar(
                f"{ident}-{unit}-{i}", axis, label, s.estimate, s.ci, extrapolated=beyond,
                digits=2 if unit == "rating" else 1,
            )  # fmt: skip
            rows.append(ScoreRow(s, label, plot, beyond))
        scale = charts.axis_scale(axis, wording.UNITS[unit])
        groups.append(ScoreGroup(unit, scale, tuple(rows)))
    return tuple(groups)


def _overlap(ident: str, submission: SubmissionReport) -> _Overlap | None:
    known = [(s.control, s.overlap) for s in submission.scores if s.overlap is not None]
    least = overlap_threshold(submission)
    if not known or least is None:
        return None
    axis = replace(charts.PERCENT, reference=None, ident=f"{ident}-o")
    known.sort(key=lambda row: _ORDER.get(row[0], len(_ORDER)))
    rows = tuple(
        (
            control,
            share,
            charts.share_bar(f"{ident}-o{i}", axis, wording.control_label(control), 100.0 * share, 100.0 * least),
        )
        for i, (control, share) in enumerate(known)
    )
    return _Overlap(charts.axis_scale(axis, "share of the prompts in percent"), rows, least)


def _waterfall(ident: str, parts: Sequence[Part], score: Score | None) -> _Waterfall | None:
    """Return the parts as steps that end at the raw score; where they begin is what they leave over."""
    known = [p.points for p in parts if p.points is not None]
    if score is None or score.estimate is None or not known:
        return None
    start = level = score.estimate - sum(known)
    values = [start, score.estimate, *(score.ci or ())]
    for part in parts:
        values += [level + bound for bound in part.ci or ()]
        level += part.points or 0.0
        values.append(level)
    axis = replace(charts.axis_for(values, reference=start), ident=f"{ident}-w")
    base = "An even match" if abs(start - 50.0) < 0.05 else "Where the parts begin"
    plot = charts.level_bar(f"{ident}-w0", axis, base, start, None, first=True)
    steps = [_Step(base, plot, f"{wording.number(start)}%", "", "")]
    level = start
    for i, part in enumerate(parts, 1):
        label = wording.PARTS[part.part]
        if part.points is None:
            plot = charts.part_bar(f"{ident}-w{i}", axis, label, level, None, None)
            steps.append(_Step(label, plot, "undefined", "", part.note))
            continue
        ci = None if part.ci is None else (level + part.ci[0], level + part.ci[1])
        plot = charts.part_bar(f"{ident}-w{i}", axis, label, level, level + part.points, ci)
        steps.append(_Step(label, plot, wording.signed(part.points), wording.interval(part.ci), part.note))
        level += part.points
    end = "The raw score"
    plot = charts.level_bar(f"{ident}-w{len(parts) + 1}", axis, end, score.estimate, score.ci, first=False)
    steps.append(_Step(end, plot, wording.score_value(score), wording.score_interval(score), ""))
    return _Waterfall(charts.axis_scale(axis, "win rate in percent"), tuple(steps))


def _style(ident: str, effects: Sequence[StyleEffect]) -> _Style | None:
    values = [v for e in effects for v in (e.coefficient, *(e.ci or ())) if v is not None]
    if not values:
        return None
    axis = replace(charts.axis_for(values, reference=0.0), ident=f"{ident}-f")
    rows = tuple(
        (e, charts.interval_bar(f"{ident}-f{i}", axis, wording.name(e.feature, 40), e.coefficient, e.ci, digits=2))
        for i, e in enumerate(effects)
    )
    return _Style(charts.axis_scale(axis, "log-odds"), rows)


def slots_view(ident: str, position: Position, balanced: Score | None = None) -> SlotsView | None:
    """Return the win rate in each place and, where known, with both weighing the same."""
    if not position.slots:
        return None
    shown = [(f"Shown {s.place}", s.points, s.ci, s.n) for s in position.slots]
    if balanced is not None and balanced.estimate is not None:
        shown.append(("Both weighing the same", balanced.estimate, balanced.ci, balanced.n))
    values = [v for _, at, ci, _ in shown for v in (at, *(ci or ()))]
    axis = replace(charts.axis_for([*values, 50.0], reference=50.0), ident=f"{ident}-p")
    rows = tuple(
        (
            label,
            f"{wording.number(at)}%",
            wording.interval(ci),
            n,
            charts.interval_bar(f"{ident}-p{i}", axis, label, at, ci),
        )
        for i, (label, at, ci, n) in enumerate(shown)
    )
    return SlotsView(charts.axis_scale(axis, "win rate in percent"), rows)


# --- verdict, reasons, what would change it ---------------------------------------------------------------------------


def _ranked(submission: SubmissionReport) -> list[Reason]:
    """Return the reasons in the order in which they matter: what fails, what warns, what is not known, what holds."""

    def place(reason: Reason) -> tuple[int, int]:
        at = _TELLING.index(reason.rule) if reason.rule in _TELLING else len(_TELLING)
        if reason.status in ("fail", "warn"):
            return (0 if reason.status == "fail" else 1, 0)  # the policy's own order within them
        wanted = reason.status == "not_measured" and reason.rule in _WANTED
        return (2 if wanted else 3 if reason.status == "pass" else 4, at)

    return sorted(submission.reasons, key=place)


def _remedies(submission: SubmissionReport, ranked: Sequence[Reason]) -> tuple[str, ...]:
    found = dict.fromkeys(text for r in ranked if r.status in ("fail", "warn") and (text := remedy(submission, r)))
    found |= dict.fromkeys(text for r in ranked if r.status == "not_measured" and (text := remedy(submission, r)))
    return tuple(found)[:_MOST_REMEDIES]


def _gists(submission: SubmissionReport, tiles: Sequence[Tile], attacks: AttacksView | None) -> dict[str, str]:
    by_label = {tile.label: tile.value for tile in tiles}
    counts = {s: sum(r.status == s for r in submission.reasons) for s in ("fail", "warn", "pass", "not_measured")}
    words = {"fail": "fail", "warn": "warn", "pass": "met", "not_measured": "not measured"}
    defined = sum(s.estimate is not None for s in submission.scores)
    undefined = len(submission.scores) - defined
    features = [e.feature for e in submission.style if e.ci is not None and not e.ci[0] <= 0.0 <= e.ci[1]]
    shares = [(p.points, wording.PARTS[p.part]) for p in submission.decomposition if p.points is not None]
    biggest = max(
        (row for row in shares if row[1] != wording.PARTS["model"]), key=lambda row: abs(row[0]), default=None
    )
    mean, base = submission.length.mean_chars, submission.length.baseline_mean_chars
    return {
        "rules": ", ".join(f"{n} {words[s]}" for s, n in counts.items() if n),
        "controls": f"{defined} scores{f', {undefined} not estimable' if undefined else ''}; {by_label['Controls agree'].lower()}"
        if defined
        else "none is estimable",
        "parts": f"most besides the model: {biggest[1].lower()}, {wording.signed(biggest[0])} points" if biggest else "not measured",
        "length": f"{wording.number(mean, 0)} characters{f', baseline {wording.number(base, 0)}' if base is not None else ''}"
        if mean is not None
        else "not measured",
        "style": f"counts: {', '.join(wording.name(f, 30) for f in features)}" if features
        else "no feature stands out" if any(e.coefficient is not None for e in submission.style) else "not measured",
        "position": by_label["Position"],
        "detectors": by_label["Detectors"],
        "attacks": f"{attacks.sure} of {attacks.played} surely gain" if attacks else "none was played",
        "quality": by_label["Data quality"],
    }  # fmt: skip


def submission_view(report: Report, index: int, *, shared_attacks: bool) -> SubmissionView:
    """Return what is shown of the submission at `index`; attacks only where all submissions do not share them."""
    submission, ident = report.submissions[index], f"s{index}"
    raw, held = headline(report)
    shown, controlled = score_of(submission, raw), score_of(submission, held)
    least = overlap_threshold(submission)
    ranked, tiles = _ranked(submission), card(report, submission)
    flagged = sorted((d for d in submission.detectors if d.flag), key=lambda d: _SEVERITY_ORDER.index(d.severity))
    quintiles, coverage = submission.length.quintiles, submission.quality.coverage
    attacks = attacks_view(f"{ident}a", submission.attacks)
    return SubmissionView(
        ident=ident,
        data=submission,
        raw=shown,
        held=controlled,
        head=score_groups(f"{ident}h", [s for s in (shown, controlled) if s is not None], least),
        card=tiles,
        first=tuple(ranked[:_FIRST]),
        remedies=_remedies(submission, ranked),
        rules=tuple(ranked),
        groups=score_groups(ident, submission.scores, least),
        overlap=_overlap(ident, submission),
        waterfall=_waterfall(ident, submission.decomposition, shown),
        style=_style(ident, submission.style),
        slots=slots_view(ident, submission.position, score_of(submission, "position_balanced")),
        quintiles=charts.quintile_chart(f"{ident}-q", quintiles) if quintiles else None,
        support=charts.support_strip(f"{ident}-s", [q[0] for q in quintiles]) if quintiles else None,
        coverage=None if coverage is None else charts.coverage_bar(f"{ident}-coverage", coverage),
        flagged=tuple(flagged),
        clear=tuple(d for d in submission.detectors if d.flag is False),
        unmeasured=tuple(d for d in submission.detectors if d.flag is None),
        attacks=None if shared_attacks else attacks,
        gists=_gists(submission, tiles, attacks),
    )
