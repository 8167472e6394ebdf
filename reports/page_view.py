"""What the page shows beside single submissions: the field, how its judge behaved, and what every control means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from markupsafe import Markup

from auditkit.records import Explanation, Length, Position, Score
from auditkit.reports import charts, wording
from auditkit.reports.explanations import EXPLANATIONS, explained, rule_title
from auditkit.reports.leaderboard import headline, ordered, ranked_controls, score_of
from auditkit.reports.report import JudgeInfo, Reason, Report, SubmissionReport
from auditkit.reports.submission_view import ScoreGroup, SlotsView, score_groups, slots_view, whole_axis

__all__ = [
    "BehaviourView",
    "ConcernView",
    "ExplainedView",
    "JudgeTableView",
    "JudgeView",
    "LeaderboardView",
    "behaviour_view",
    "concern_views",
    "explained_views",
    "judge_table_view",
    "judge_views",
    "leaderboard_view",
]

#: Submissions whose position effect is drawn, and whose lost verdicts are named.
_MOST_ROWS: Final = 60
_MOST_NAMES: Final = 5
_MOST_CONCERNS: Final = 6


# --- the field --------------------------------------------------------------------------------------------------------


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
class LeaderboardView:
    """Submissions beside each other, best first."""

    columns: tuple[_Column, ...]
    scale: Markup
    rows: tuple[_LeaderboardRow, ...]
    slope: Markup | None
    slope_controls: tuple[str, ...]
    slope_columns: tuple[str, ...]
    counts: tuple[tuple[str, int], ...]


def leaderboard_view(report: Report) -> LeaderboardView | None:
    """Return the leaderboard; None with fewer than two submissions."""
    if len(report.submissions) < 2:
        return None
    raw, held = headline(report)
    shown = [s for sub in report.submissions for s in (score_of(sub, raw), score_of(sub, held)) if s is not None]
    first = next((s for s in shown if s.control == raw), None)
    unit = first.unit if first is not None else "win_rate"
    axis = replace(whole_axis(unit, [s for s in shown if s.unit == unit]), ident="l")
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
    return LeaderboardView(
        columns=tuple(columns),
        scale=charts.axis_scale(axis, wording.UNITS[unit]),
        rows=tuple(rows),
        slope=charts.slope_chart("slope", labels, lines) if len(controls) > 1 and len(lines) > 1 else None,
        slope_controls=controls,
        slope_columns=labels,
        counts=tuple((v, verdicts.count(v)) for v in wording.VERDICTS if v in verdicts),
    )


@dataclass(frozen=True)
class ConcernView:
    """A rule that speaks against some submissions: how many, and what it says of the one it touches most."""

    rule: str
    title: str
    status: Literal["fail", "warn"]
    count: int
    of: int
    model: str
    text: str


def concern_views(report: Report) -> tuple[ConcernView, ...]:
    """Return the rules that fail or warn somewhere in the field, rejections first, then the most frequent."""
    touched: dict[str, list[tuple[SubmissionReport, Reason]]] = {}
    for submission in report.submissions:
        for reason in submission.reasons:
            if reason.status in ("fail", "warn"):
                touched.setdefault(reason.rule, []).append((submission, reason))
    found = []
    for rule, cases in touched.items():
        fails = any(reason.status == "fail" for _, reason in cases)
        submission, worst = max(cases, key=lambda case: (case[1].status == "fail", abs(case[1].value or 0.0)))
        title = rule_title(rule, broken=True)
        found.append(
            ConcernView(
                rule,
                title,
                "fail" if fails else "warn",
                len(cases),
                len(report.submissions),
                submission.model,
                worst.text,
            )
        )
    return tuple(sorted(found, key=lambda c: (c.status != "fail", -c.count))[:_MOST_CONCERNS])


# --- the judge --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JudgeView:
    """One judge of a test set for judges, or of the pairs with a known answer that a recording brings along."""

    ident: str
    model: str
    sentence: str
    groups: tuple[ScoreGroup, ...]
    position: Position | None
    slots: SlotsView | None
    length: Length | None


@dataclass(frozen=True)
class JudgeTableView:
    """All judges on one scale, by the first score that each of them has."""

    scale: Markup
    rows: tuple[tuple[JudgeView, Score, Markup], ...]


def judge_table_view(judges: Sequence[JudgeView]) -> JudgeTableView | None:
    """Return the table of judges; None with fewer than two that have a score."""
    first = [(j, j.groups[0].rows[0].score) for j in judges if j.groups]
    if len(first) < 2:
        return None
    axis = replace(whole_axis(first[0][1].unit, [s for _, s in first]), ident="j")
    scale = charts.axis_scale(axis, wording.UNITS[first[0][1].unit])
    ordered_rows = sorted(first, key=lambda row: -(row[1].estimate if row[1].estimate is not None else float("-inf")))
    return JudgeTableView(
        scale,
        tuple(
            (j, s, charts.interval_bar(f"{j.ident}-all", axis, wording.name(j.model, 60), s.estimate, s.ci))
            for j, s in ordered_rows
        ),
    )


def judge_views(judge: JudgeInfo) -> tuple[JudgeView, ...]:
    """Return every judge that was put to pairs with a known answer."""
    names = dict.fromkeys([*(s.model for s in judge.scores), *judge.position, *judge.length])
    return tuple(
        JudgeView(
            f"j{i}",
            model,
            wording.judge_sentence(
                next((s for s in judge.scores if (s.model, s.control) == (model, "judge_accuracy")), None),
                judge.position.get(model),
            ),
            score_groups(f"j{i}", [s for s in judge.scores if s.model == model], None),
            judge.position.get(model),
            slots_view(f"j{i}", judge.position[model]) if model in judge.position else None,
            judge.length.get(model),
        )
        for i, model in enumerate(names)
    )


@dataclass(frozen=True)
class BehaviourView:
    """How the judge behaved in this recording, over all submissions.

    Attributes:
        scale, rows: ``(ident, model, position, bar)`` of what being shown second was worth.
        more: Submissions that are not drawn.
        unparsed: Verdicts that could not be read.
        lost: ``(model, count)`` of the submissions that lost the most of them.
        noise: Mean change in points when asked the same again; None: not measured.
    """

    scale: Markup | None
    rows: tuple[tuple[str, str, Position, Markup], ...]
    more: int
    unparsed: int
    lost: tuple[tuple[str, int], ...]
    noise: float | None


def behaviour_view(report: Report) -> BehaviourView:
    """Return what the verdicts of this recording say about the judge."""
    known = [(f"s{i}", s.model, s.position) for i, s in enumerate(report.submissions)]
    drawn = sorted(
        (row for row in known if row[2].effect_points is not None), key=lambda row: -abs(row[2].effect_points or 0.0)
    )
    shown = drawn[:_MOST_ROWS]
    values = [v for _, _, p in shown for v in (p.effect_points, *(p.ci or ())) if v is not None]
    axis = replace(charts.axis_for([*values, 0.0], reference=0.0), ident="b")
    rows = tuple(
        (ident, model, p, charts.interval_bar(f"b{ident}", axis, wording.name(model, 60), p.effect_points, p.ci))
        for ident, model, p in shown
    )
    lost = sorted(
        ((s.model, s.quality.unparsed) for s in report.submissions if s.quality.unparsed), key=lambda r: -r[1]
    )
    noise = next((s.gameability.noise for s in report.submissions if s.gameability.noise is not None), None)
    return BehaviourView(
        charts.axis_scale(axis, "points, second against first") if rows else None,
        rows,
        len(drawn) - len(shown),
        sum(s.quality.unparsed for s in report.submissions),
        tuple(lost[:_MOST_NAMES]),
        noise,
    )


# --- the controls -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExplainedView:
    """One control in plain words, and where it could not be estimated: ``(reason, models)``."""

    ident: str
    title: str
    labels: tuple[str, ...]
    told: Explanation | None
    absent: tuple[tuple[str, tuple[str, ...]], ...]
    estimated: int
    of: int


def explained_views(report: Report) -> tuple[tuple[ExplainedView, ...], Mapping[str, str]]:
    """Return the controls of `report` in the order of the page, and by control the id of its explanation."""
    scores = [*(s for sub in report.submissions for s in sub.scores), *report.judge.scores]
    order = {control: i for i, control in enumerate(wording.CONTROLS)}
    families: dict[str, list[str]] = {}
    for control in sorted(dict.fromkeys(s.control for s in scores), key=lambda c: order.get(c, len(order))):
        families.setdefault(explained(control) or control, []).append(control)
    views: list[ExplainedView] = []
    idents: dict[str, str] = {}
    for i, (family, controls) in enumerate(families.items()):
        ident = f"c{i}"
        idents |= dict.fromkeys(controls, ident)
        own = [s for s in scores if s.control in controls]
        absent: dict[str, dict[str, None]] = {}
        for s in own:
            if s.estimate is None:
                absent.setdefault(s.note or "no reason is recorded", {})[s.model] = None
        told = EXPLANATIONS.get(family) or next((e for c in controls if (e := report.explanations.get(c))), None)
        labels = tuple(wording.control_label(c) for c in controls)
        title = wording.control_label(family) if family in wording.CONTROLS or len(controls) > 1 else labels[0]
        views.append(
            ExplainedView(
                ident, title, labels if len(controls) > 1 else (), told,
                tuple((reason, tuple(models)) for reason, models in absent.items()),
                sum(s.estimate is not None for s in own), len(own),
            )
        )  # fmt: skip
    return tuple(views), idents
