"""The report as one HTML file: no network, no foreign script, nothing in it that a submission can run.

Every value is escaped (``autoescape=True``), text from outside passes `wording.name` first, ids are made from
positions and never from names, and a Content-Security-Policy allows exactly our own style sheet and script by hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from auditkit.reports import charts, explanations, wording
from auditkit.reports.attack_view import AttacksView, attacks_view
from auditkit.reports.page_view import (
    behaviour_view,
    concern_views,
    explained_views,
    judge_table_view,
    judge_views,
    leaderboard_view,
)
from auditkit.reports.report import Report, SubmissionReport
from auditkit.reports.submission_view import submission_view

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["environment", "page", "render", "report_fragment", "submission_fragment"]

#: How many of each are shown; the rest is counted and stands in report.json.
_MOST_NOTES: Final = 60
_MOST_INPUTS: Final = 60
_MOST_QUOTES: Final = 4


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
    env.globals.update(w=wording, x=explanations, charts=charts, most_quotes=_MOST_QUOTES)
    return env


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page(
    template: str, *, css: Sequence[str] = ("report.css",), js: Sequence[str] = ("sort.js", "report.js"), **values: object
) -> str:  # fmt: skip
    """Return a page: our own style sheets and scripts inline, allowed by hash in its Content-Security-Policy, nothing else.

    Args:
        template: Its template.
        css: Style sheets, in their order.
        js: Scripts, in their order.
        values: What the template shows.
    """
    style, script = ("".join(map(page_text, names)) for names in (css, js))
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    return environment().get_template(template).render(
        policy=policy,
        css=Markup(style),  # noqa: S704  our own files, hashed above
        js=Markup(script),  # noqa: S704  our own files, hashed above
        **values,
    )  # fmt: skip


def _shared_attacks(report: Report) -> AttacksView | None:
    """Return the attacks once where all submissions have the same: they were played on the judge that all share."""
    first, *others = [s.attacks for s in report.submissions] or [()]
    return attacks_view("a", first) if all(own == first for own in others) else None


def _shared_unknown(report: Report) -> tuple[str, ...]:
    """Return what was not measured once where it is the same for all of several submissions."""
    lists = {s.gameability.not_measured for s in report.submissions}
    return lists.pop() if len(lists) == 1 and len(report.submissions) > 1 else ()


def render(report: Report, *, only: int | None = None, links: Sequence[tuple[str, str]] = ()) -> str:
    """Return `report` as one self-contained HTML page.

    The same report gives the same bytes. Long lists of notes, inputs and quotations are cut, and the page says so.

    Args:
        report: The report.
        only: Index of the one submission to show, as a page of a site; None: all, under their leaderboard.
        links: Other pages of the site, ``(href, words)``; the hrefs are ours.
    """
    judges = judge_views(report.judge)
    attacks = _shared_attacks(report)
    explained, idents = explained_views(report)
    shown = [i for i in range(len(report.submissions)) if only in (None, i)]
    leaderboard = leaderboard_view(report) if only is None else None
    return page(
        "report.html.j2",
        report=report,
        simulated=report.benchmark.simulated or report.judge.simulated,
        leaderboard=leaderboard,
        concerns=concern_views(report) if leaderboard is not None else (),
        submissions=[submission_view(report, i, shared_attacks=attacks is not None) for i in shown],
        attacks=attacks,
        unknown=_shared_unknown(report) if leaderboard is not None else (),
        behaviour=behaviour_view(report),
        explained=explained,
        explained_ids=idents,
        links=links,
        judges=judges,
        judge_table=judge_table_view(judges),
        notes=report.notes[:_MOST_NOTES],
        inputs=report.inputs[:_MOST_INPUTS],
    )  # fmt: skip


def submission_fragment(submission: SubmissionReport) -> str:
    """Return one submission's scores as a small piece of HTML for a notebook."""
    return environment().get_template("fragment.html.j2").render(benchmark="", submissions=(submission,))


def report_fragment(report: Report) -> str:
    """Return the report as a small piece of HTML for a notebook."""
    return environment().get_template("fragment.html.j2").render(
        benchmark=report.benchmark.name, submissions=report.submissions
    )  # fmt: skip
