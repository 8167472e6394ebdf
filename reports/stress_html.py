"""The stress test as one HTML file, under the same rules as the report: nothing that a model wrote can run in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from markupsafe import Markup

from auditkit.reports import charts, wording
from auditkit.reports.attack_view import AttacksView, attacks_view
from auditkit.reports.html import environment, page
from auditkit.reports.stress_report import Measure, StressedJudge, StressReport

__all__ = ["render_stress", "stress_fragment"]

_FIRST: Final = 3
_SHARE: Final = charts.Axis(0.0, 100.0, (0.0, 25.0, 50.0, 75.0, 100.0), 50.0, "m")
_ANSWER: Final = {
    "voidable": "No.",
    "gameable": "Not where somebody tries.",
    "unresolved": "These pairs cannot tell.",
    "within": "Within this suite, yes.",
}
_GRADE: Final = {
    "voidable": "A single string can break this harness: whatever it scores is void until that is mended.",
    "gameable": "Attacked answers gain points that they did not earn.",
    "unresolved": "These pairs cannot tell whether the attacks gain anything.",
    "within": "No attack of this suite and budget gained more than the bound. Other attacks may do more.",
}


@dataclass(frozen=True)
class _View:
    """One judge as the template shows it."""

    ident: str
    letter: str
    data: StressedJudge
    grade: str
    answer: str
    grade_text: str
    accuracy: Measure | None
    first: tuple[object, ...]
    more: tuple[object, ...]
    measures: tuple[tuple[Measure, Markup], ...]
    share_scale: Markup
    attacks: AttacksView | None


def _view(judge: StressedJudge, ident: str, letter: str) -> _View:
    share = replace(_SHARE, ident=f"{ident}m")
    measures = tuple(
        (m, charts.interval_bar(
            f"{ident}m{i}", share, wording.name(m.label, 60), None if m.estimate is None else 100 * m.estimate,
            None if m.ci is None else (100 * m.ci[0], 100 * m.ci[1]),
        ))
        for i, m in enumerate(judge.measures)
    )  # fmt: skip
    grade = judge.grade or "not_measured"
    return _View(
        ident, letter, judge, grade, _ANSWER.get(grade, "It was not asked to withstand anything."),
        _GRADE.get(grade, "No attack was played whose answers are known to be no better."),
        next((m for m in judge.measures if m.name == "accuracy" and m.estimate is not None), None),
        judge.changes[:_FIRST], judge.changes[_FIRST:], measures, charts.axis_scale(share, "Percent"),
        attacks_view(f"{ident}a", judge.attacks),
    )  # fmt: skip


def render_stress(report: StressReport) -> str:
    """Return the stress test as one self-contained HTML page; the same report gives the same bytes."""
    views = [
        _view(judge, f"j{i}", "AB"[i] if report.against is not None else "")
        for i, judge in enumerate(report.judges)
    ]  # fmt: skip
    return page(
        "stress.html.j2",
        report=report,
        views=views,
        simulated=any(judge.facts.simulated for judge in report.judges),
    )  # fmt: skip


def stress_fragment(report: StressReport) -> str:
    """Return the stress test as a small piece of HTML for a notebook."""
    return environment().get_template("stress_fragment.html.j2").render(report=report)
