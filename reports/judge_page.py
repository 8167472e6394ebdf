"""What a recording shows of its judge, as a page of a site: what its verdicts are worth, and what it goes by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from auditkit.records import Interval
from auditkit.reports import charts, wording
from auditkit.reports.comparison import Comparison
from auditkit.reports.pages import LINKS, SiteMap, page, pair_key
from auditkit.reports.report import Report, SubmissionReport

__all__ = ["render_judge"]

_Figure = tuple[float | None, Interval | None]


@dataclass(frozen=True)
class _Row:
    label: str
    href: str
    plot: Markup
    value: str
    ci: str
    note: str


@dataclass(frozen=True)
class _Table:
    """A figure by row. `told` says how many intervals lie on one side of 0."""

    scale: Markup
    rows: tuple[_Row, ...]
    told: str = ""

    @property
    def noted(self) -> bool:
        """Whether any row has a note."""
        return any(row.note for row in self.rows)


def _by_submission(
    ident: str, report: Report, site: SiteMap, unit: str, digits: int, figure: Callable[[SubmissionReport], _Figure],
    note: Callable[[SubmissionReport], str], sides: tuple[str, str],
) -> _Table | None:  # fmt: skip
    """Return a figure of every submission that has one, on one scale around 0."""
    known = [(s, *figure(s)) for s in report.submissions]
    known = [(s, value, ci) for s, value, ci in known if value is not None]
    if not known:
        return None
    values = [v for _, value, ci in known for v in (value, *(ci or ())) if v is not None]
    axis = replace(charts.axis_for(values, reference=0.0), ident=ident)
    rows = tuple(
        _Row(
            wording.name(s.model, 60), site.submissions.get(s.model, ""),
            charts.interval_bar(f"{ident}{i}", axis, wording.name(s.model, 60), value, ci, digits=digits),
            wording.signed(value, digits), wording.interval(ci, digits), note(s),
        )
        for i, (s, value, ci) in enumerate(known)
    )  # fmt: skip
    return _Table(charts.axis_scale(axis, unit), rows, _told([ci for _, _, ci in known if ci is not None], sides))


def _told(intervals: Sequence[Interval], sides: tuple[str, str]) -> str:
    above, below = sum(ci[0] > 0 for ci in intervals), sum(ci[1] < 0 for ci in intervals)
    parts = [
        f"{side} with {n} of {len(intervals)} submissions" for n, side in zip((above, below), sides, strict=True) if n
    ]
    if not parts:
        return "No interval excludes 0: these data show no such preference."
    text = " and ".join(parts)
    return f"It {text}: their intervals exclude 0."


def _accuracy(report: Report) -> _Table | None:
    scores = [s for s in report.judge.scores if s.estimate is not None and s.unit == "accuracy"]
    if not scores:
        return None
    axis = replace(charts.PERCENT, ident="ja")
    several = len({s.model for s in scores}) > 1
    rows = tuple(
        _Row(
            (f"{wording.name(s.model, 60)}: " if several else "") + wording.control_label(s.control), "",
            charts.interval_bar(f"ja{i}", axis, wording.control_label(s.control), s.estimate, s.ci),
            wording.score_value(s), wording.score_interval(s), f"{wording.amount(s.n)} verdicts or pairs",
        )
        for i, s in enumerate(scores)
    )  # fmt: skip
    return _Table(charts.axis_scale(axis, wording.UNITS["accuracy"]), rows)


def _sentences(report: Report) -> list[tuple[str, str]]:
    names = dict.fromkeys([*(s.model for s in report.judge.scores), *report.judge.position])
    accuracy = {s.model: s for s in report.judge.scores if s.control == "judge_accuracy"}
    found = [(name, wording.judge_sentence(accuracy.get(name), report.judge.position.get(name))) for name in names]
    return [(wording.name(name, 80), text) for name, text in found if text]


def render_judge(report: Report, comparisons: Sequence[Comparison], site: SiteMap) -> str:
    """Return the judge page of a site.

    Args:
        report: The report of all submissions.
        comparisons: Pairs of judges that have a page.
        site: File names.
    """
    return page(
        "site_judge.html.j2",
        report=report,
        links=LINKS,
        sentences=_sentences(report),
        accuracy=_accuracy(report),
        position=_by_submission(
            "jp", report, site, "points of win rate, shown second minus shown first", 1,
            lambda s: (s.position.effect_points, s.position.ci),
            lambda s: "" if s.position.consistency is None else f"same verdict in both orders: {wording.share(s.position.consistency)}",
            ("favours the second place", "favours the first place"),
        ),
        length=_by_submission(
            "jl", report, site, "log-odds per standard deviation of the length difference", 2,
            lambda s: (s.length.coefficient, s.length.ci),
            lambda s: "" if s.length.overlap is None else f"overlap in length: {wording.share(s.length.overlap, 0)}",
            ("favours longer answers", "favours shorter answers"),
        ),
        pairs=[(site.judges[pair_key(c.a, c.b)], c) for c in comparisons],
        simulated=report.benchmark.simulated or report.judge.simulated,
    )  # fmt: skip
