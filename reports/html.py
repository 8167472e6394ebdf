"""The report as one HTML file: no network, no foreign script, nothing in it that a submission can run.

Every value is escaped (``autoescape=True``), text from outside passes `wording.name` first, ids are made from
positions and never from names, and a Content-Security-Policy allows exactly our own style sheet and script by hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal

from markupsafe import Markup

from auditkit.records import Detection, Length, Part, Position, Score, StyleEffect
from auditkit.reports import charts, wording
from auditkit.reports.card import Tile, card, overlap_threshold
from auditkit.reports.charts import Axis
from auditkit.reports.leaderboard import headline, ordered, ranked_controls, score_of
from auditkit.reports.report import JudgeInfo, Reason, Report, SubmissionReport

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["environment", "page_policy", "page_text", "render", "report_fragment", "submission_fragment"]

#: How many of each are shown; the rest is counted and stands in report.json.
_MOST_NOTES: Final = 60
_MOST_INPUTS: Final = 60
_MOST_QUOTES: Final = 4
#: Points that the scale of one submission's scores spans at least.
_LEAST_SPAN: Final = 20.0
_ORDER: Final = {control: i for i, control in enumerate(wording.CONTROLS)}
#: Controls that look only at comparable prompts: their overlap is the size of that subset, and nothing is extrapolated.
_SUBSETS: Final = ("length_matched",)


def page_text(name: str) -> str:
    """Return the text of one of our own templates, style sheets or scripts."""
    return files("auditkit.reports").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def environment() -> Environment:
    """Return what renders every page: everything is escaped, and a name that is not there is an error."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    env = Environment(
        loader=FunctionLoader(page_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals.update(w=wording, charts=charts, most_quotes=_MOST_QUOTES)
    return env


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page_policy(css: str, js: str) -> str:
    """Return the Content-Security-Policy of a page: our own style sheet and script, by hash, and nothing else."""
    return f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(js)}; base-uri 'none'; form-action 'none'"


# --- what the templates show of one submission ----------------------------------------------------------------------


@dataclass(frozen=True)
class _ScoreRow:
    score: Score
    label: str
    plot: Markup
    extrapolated: bool


@dataclass(frozen=True)
class _ScoreGroup:
    """Scores that share a scale."""

    unit: str
    scale: Markup
    rows: tuple[_ScoreRow, ...]


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
class _Submission:
    ident: str
    data: SubmissionReport
    raw: Score | None
    held: Score | None
    card: tuple[Tile, ...]
    telling: tuple[Reason, ...]
    passed: tuple[Reason, ...]
    groups: tuple[_ScoreGroup, ...]
    waterfall: _Waterfall | None
    style: _Style | None
    quintiles: Markup | None
    coverage: Markup | None
    flagged: tuple[Detection, ...]
    clear: tuple[Detection, ...]
    unmeasured: tuple[Detection, ...]


def _values(scores: Iterable[Score]) -> list[float]:
    return [v for s in scores for v in (s.estimate, *(s.ci or ())) if v is not None]


def _axis(unit: str, scores: Iterable[Score]) -> Axis:
    """Return the whole scale of a unit, on which submissions are compared."""
    if unit in ("win_rate", "accuracy"):
        return charts.PERCENT
    return charts.REWARD if unit == "reward" else charts.axis_for(_values(scores))


def _close_axis(unit: str, scores: Sequence[Score]) -> Axis:
    """Return the part of the scale that holds one submission's scores, so that its intervals can be told apart."""
    values, whole = _values(scores), _axis(unit, scores)
    if not values or unit == "rating":
        return whole
    lo, hi = min(values), max(values)
    pad = max((_LEAST_SPAN - (hi - lo)) / 2.0, 0.0)
    near = charts.axis_for([max(lo - pad, whole.lo), min(hi + pad, whole.hi)])
    inside = whole.reference is not None and near.lo <= whole.reference <= near.hi
    return Axis(near.lo, near.hi, near.ticks, whole.reference if inside else None)


def _groups(ident: str, scores: Sequence[Score], least_overlap: float | None) -> tuple[_ScoreGroup, ...]:
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
                f"{ident}-{unit}-{i}",
                axis,
                label,
                s.estimate,
                s.ci,
                extrapolated=beyond,
                digits=2 if unit == "rating" else 1,
            )
            rows.append(_ScoreRow(s, label, plot, beyond))
        scale = charts.axis_scale(axis, wording.UNITS[unit])
        groups.append(_ScoreGroup(unit, scale, tuple(rows)))
    return tuple(groups)


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


_SEVERITY_ORDER: Final = ("reject", "review", "info")


def _submission(report: Report, index: int, submission: SubmissionReport) -> _Submission:
    ident = f"s{index}"
    raw, held = headline(report)
    shown = score_of(submission, raw)
    flagged = sorted((d for d in submission.detectors if d.flag), key=lambda d: _SEVERITY_ORDER.index(d.severity))
    quintiles, coverage = submission.length.quintiles, submission.quality.coverage
    return _Submission(
        ident=ident,
        data=submission,
        raw=shown,
        held=score_of(submission, held),
        card=card(report, submission),
        telling=tuple(r for r in submission.reasons if r.status in ("fail", "warn")),
        passed=tuple(r for r in submission.reasons if r.status not in ("fail", "warn")),
        groups=_groups(ident, submission.scores, overlap_threshold(submission)),
        waterfall=_waterfall(ident, submission.decomposition, shown),
        style=_style(ident, submission.style),
        quintiles=charts.quintile_chart(f"{ident}-q", quintiles) if quintiles else None,
        coverage=None if coverage is None else charts.coverage_bar(f"{ident}-coverage", coverage),
        flagged=tuple(flagged),
        clear=tuple(d for d in submission.detectors if d.flag is False),
        unmeasured=tuple(d for d in submission.detectors if d.flag is None),
    )


# --- several submissions, judges --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _LeaderboardRow:
    ident: str
    data: SubmissionReport
    plot: Markup
    scores: tuple[Score | None, ...]


@dataclass(frozen=True)
class _Column:
    """One score of the leaderboard and the mark that shows it in the plot."""

    control: str
    label: str
    mark: Literal["ring", "dot"]


@dataclass(frozen=True)
class _Leaderboard:
    columns: tuple[_Column, ...]
    scale: Markup
    rows: tuple[_LeaderboardRow, ...]
    slope: Markup | None
    slope_controls: tuple[str, ...]
    slope_columns: tuple[str, ...]
    counts: tuple[tuple[str, int], ...]


def _leaderboard(report: Report) -> _Leaderboard | None:
    if len(report.submissions) < 2:
        return None
    raw, held = headline(report)
    shown = [s for sub in report.submissions for s in (score_of(sub, raw), score_of(sub, held)) if s is not None]
    first = next((s for s in shown if s.control == raw), None)
    unit = first.unit if first is not None else "win_rate"
    axis = replace(_axis(unit, [s for s in shown if s.unit == unit]), ident="l")
    rows = []
    for index, submission in ordered(report, held or raw):
        judged, controlled = score_of(submission, raw), score_of(submission, held)
        same = controlled if controlled is not None and controlled.unit == unit else None
        plot = charts.pair_bar(f"l{index}", axis, wording.name(submission.model, 60), judged, same)
        shown_scores = (judged, controlled) if held else (judged,)
        rows.append(_LeaderboardRow(f"s{index}", submission, plot, shown_scores))
    controls = ranked_controls(report)
    lines = [
        charts.SlopeRow(s.model, tuple(s.ranks[c].rank if c in s.ranks else None for c in controls), s.verdict == "rejected")
        for s in report.submissions if s.ranks
    ]  # fmt: skip
    columns = [_Column(raw, wording.control_label(raw) if raw else "Score", "ring")]
    if held:
        columns.append(_Column(held, wording.control_label(held), "dot"))
    verdicts = [s.verdict for s in report.submissions]
    labels = tuple(wording.control_label(c) for c in controls)
    return _Leaderboard(
        columns=tuple(columns),
        scale=charts.axis_scale(axis, wording.UNITS[unit]),
        rows=tuple(rows),
        slope=charts.slope_chart("slope", labels, lines) if len(controls) > 1 and len(lines) > 1 else None,
        slope_controls=controls,
        slope_columns=labels,
        counts=tuple((v, verdicts.count(v)) for v in wording.VERDICTS if v in verdicts),
    )


@dataclass(frozen=True)
class _Judge:
    """One judge of a test set for judges, or of the pairs with a known answer that a recording brings along."""

    ident: str
    model: str
    sentence: str
    groups: tuple[_ScoreGroup, ...]
    position: Position | None
    length: Length | None


@dataclass(frozen=True)
class _JudgeTable:
    """All judges on one scale, by the first score that each of them has."""

    scale: Markup
    rows: tuple[tuple[_Judge, Score, Markup], ...]


def _judge_table(judges: Sequence[_Judge]) -> _JudgeTable | None:
    first = [(j, j.groups[0].rows[0].score) for j in judges if j.groups]
    if len(first) < 2:
        return None
    axis = replace(_axis(first[0][1].unit, [s for _, s in first]), ident="j")
    scale = charts.axis_scale(axis, wording.UNITS[first[0][1].unit])
    ordered_rows = sorted(first, key=lambda row: -(row[1].estimate if row[1].estimate is not None else float("-inf")))
    return _JudgeTable(
        scale,
        tuple(
            (j, s, charts.interval_bar(f"{j.ident}-all", axis, wording.name(j.model, 60), s.estimate, s.ci))
            for j, s in ordered_rows
        ),
    )


def _judges(judge: JudgeInfo) -> tuple[_Judge, ...]:
    names = dict.fromkeys([*(s.model for s in judge.scores), *judge.position, *judge.length])
    return tuple(
        _Judge(
            f"j{i}",
            model,
            wording.judge_sentence(
                next((s for s in judge.scores if (s.model, s.control) == (model, "judge_accuracy")), None),
                judge.position.get(model),
            ),
            _groups(f"j{i}", [s for s in judge.scores if s.model == model], None),
            judge.position.get(model),
            judge.length.get(model),
        )
        for i, model in enumerate(names)
    )


def render(report: Report, *, only: int | None = None, links: Sequence[tuple[str, str]] = ()) -> str:
    """Return `report` as one self-contained HTML page.

    The same report gives the same bytes. Long lists of notes, inputs and quotations are cut, and the page says so.

    Args:
        report: The report.
        only: Index of the one submission to show, as a page of a site; None: all, under their leaderboard.
        links: Other pages of the site, ``(href, words)``; the hrefs are ours.
    """
    css, js = page_text("report.css"), page_text("report.js")
    judges = _judges(report.judge)
    policy = page_policy(css, js)
    return environment().get_template("report.html.j2").render(
        report=report,
        policy=policy,
        css=Markup(css),  # noqa: S704  our own file, hashed above
        js=Markup(js),  # noqa: S704  our own file, hashed above
        simulated=report.benchmark.simulated or report.judge.simulated,
        leaderboard=_leaderboard(report) if only is None else None,
        submissions=[_submission(report, i, s) for i, s in enumerate(report.submissions) if only in (None, i)],
        links=links,
        judges=judges,
        judge_table=_judge_table(judges),
        notes=report.notes[:_MOST_NOTES],
        inputs=report.inputs[:_MOST_INPUTS],
    )  # fmt: skip


def submission_fragment(submission: SubmissionReport) -> str:
    """Return one submission as a small piece of HTML for a notebook."""
    return environment().get_template("fragment.html.j2").render(benchmark="", submissions=[submission])


def report_fragment(report: Report) -> str:
    """Return the report as a small piece of HTML for a notebook."""
    return environment().get_template("fragment.html.j2").render(
        benchmark=report.benchmark.name, submissions=report.submissions
    )  # fmt: skip
