"""The stress test as one HTML file, under the same rules as the report: nothing that a model wrote can run in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from markupsafe import Markup

from auditkit.attacked import AttackResult
from auditkit.reports import charts, wording
from auditkit.reports.html import environment, page_policy, page_text
from auditkit.reports.stress_report import Measure, StressedJudge, StressReport

__all__ = ["render_stress", "stress_fragment"]

_FIRST: Final = 3
_SHARE: Final = charts.Axis(0.0, 100.0, (0.0, 25.0, 50.0, 75.0, 100.0), 50.0, "m")
_GRADE: Final = {
    "voidable": "A single string can break this harness: whatever it scores is void until that is mended.",
    "gameable": "Attacked answers gain points that they did not earn.",
    "unresolved": "These pairs cannot tell whether the attacks gain anything.",
    "within": "No attack of this suite and budget gained more than the bound. Other attacks may do more.",
}


@dataclass(frozen=True)
class _AttackRow:
    data: AttackResult
    plot: Markup


@dataclass(frozen=True)
class _View:
    """One judge as the template shows it."""

    ident: str
    letter: str
    data: StressedJudge
    grade: str
    grade_text: str
    first: tuple[object, ...]
    more: tuple[object, ...]
    measures: tuple[tuple[Measure, Markup], ...]
    share_scale: Markup
    scale: Markup
    attacks: tuple[_AttackRow, ...]
    absent: tuple[AttackResult, ...]
    examples: tuple[AttackResult, ...]


def _view(judge: StressedJudge, ident: str, letter: str) -> _View:
    played = [a for a in judge.attacks if a.uplift is not None]
    values = [v for a in played for v in (a.lower_bound, a.upper_bound, a.uplift) if v is not None]
    axis = replace(charts.axis_for([*values, 0.0], reference=0.0), ident=f"{ident}a")
    share = replace(_SHARE, ident=f"{ident}m")
    rows = tuple(
        _AttackRow(
            a,
            charts.interval_bar(
                f"{ident}a{i}", axis, wording.name(a.title or a.attack, 60), a.uplift,
                None if a.lower_bound is None or a.upper_bound is None else (a.lower_bound, a.upper_bound),
            ),
        )
        for i, a in enumerate(played)
    )  # fmt: skip
    measures = tuple(
        (m, charts.interval_bar(
            f"{ident}m{i}", share, wording.name(m.label, 60), None if m.estimate is None else 100 * m.estimate,
            None if m.ci is None else (100 * m.ci[0], 100 * m.ci[1]),
        ))
        for i, m in enumerate(judge.measures)
    )  # fmt: skip
    grade = judge.grade or "not_measured"
    return _View(
        ident, letter, judge, grade, _GRADE.get(grade, "No attack was played whose answers are known to be no better."), judge.changes[:_FIRST],
        judge.changes[_FIRST:], measures, charts.axis_scale(share, "Percent"),
        charts.axis_scale(axis, "Points gained"), rows,
        tuple(a for a in judge.attacks if a.status == "not_measured"),
        tuple(a for a in played if a.example is not None and (a.uplift or 0.0) > 0.0)[:8],
    )  # fmt: skip


def render_stress(report: StressReport) -> str:
    """Return the stress test as one self-contained HTML page; the same report gives the same bytes."""
    css, js = page_text("report.css"), page_text("report.js")
    views = [
        _view(judge, f"j{i}", "AB"[i] if report.against is not None else "")
        for i, judge in enumerate(report.judges)
    ]  # fmt: skip
    return environment().get_template("stress.html.j2").render(
        report=report,
        policy=page_policy(css, js),
        css=Markup(css),  # noqa: S704  our own file, hashed by page_policy
        js=Markup(js),  # noqa: S704  our own file, hashed by page_policy
        views=views,
        simulated=any(judge.facts.simulated for judge in report.judges),
    )  # fmt: skip


def stress_fragment(report: StressReport) -> str:
    """Return the stress test as a small piece of HTML for a notebook."""
    return environment().get_template("stress_fragment.html.j2").render(report=report)
