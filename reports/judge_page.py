"""What a recording shows of its judge, as a page of a site: what its verdicts are worth, and what it goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from auditkit.records import Interval
from auditkit.reports import charts, wording
from auditkit.reports.comparison import Comparison
from auditkit.reports.pages import LINKS, SiteMap, page, pair_key
from auditkit.reports.report import Report

__all__ = ["render_judge"]


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


@dataclass(frozen=True)
class _Figure:
    """A figure of one submission or judge."""

    name: str
    href: str
    value: float
    ci: Interval | None
    note: str


def _table(
    ident: str, figures: Sequence[_Figure], unit: str, digits: int, sides: tuple[str, str], of: str
) -> _Table | None:
    """Return figures on one scale around 0."""
    if not figures:
        return None
    values = [v for f in figures for v in (f.value, *(f.ci or ()))]
    axis = replace(charts.axis_for(values, reference=0.0), ident=ident)
    rows = tuple(
        _Row(
            wording.name(f.name, 60), f.href,
            charts.interval_bar(f"{ident}{i}", axis, wording.name(f.name, 60), f.value, f.ci, digits=digits),
            wording.signed(f.value, digits), wording.interval(f.ci, digits), f.note,
        )
        for i, f in enumerate(figures)
    )  # fmt: skip
    return _Table(charts.axis_scale(axis, unit), rows, _told([f.ci for f in figures if f.ci is not None], sides, of))


def _positions(report: Report, site: SiteMap) -> list[_Figure]:
    """Return the effect of the place: with every submission, or of every judge where judges are tested."""
    found = [(s.model, site.submissions.get(s.model, ""), s.position) for s in report.submissions]
    found = found or [(name, "", p) for name, p in sorted(report.judge.position.items())]
    return [
        _Figure(name, href, p.effect_points, p.ci,
                "" if p.consistency is None else f"same verdict in both orders: {wording.share(p.consistency)}")
        for name, href, p in found if p.effect_points is not None
    ]  # fmt: skip


def _lengths(report: Report, site: SiteMap) -> list[_Figure]:
    """Return the effect of length, as `_positions` does that of the place."""
    found = [(s.model, site.submissions.get(s.model, ""), s.length) for s in report.submissions]
    found = found or [(name, "", x) for name, x in sorted(report.judge.length.items())]
    return [
        _Figure(name, href, x.coefficient, x.ci, "" if x.overlap is None else f"overlap in length: {wording.share(x.overlap, 0)}")
        for name, href, x in found if x.coefficient is not None
    ]  # fmt: skip


def _told(intervals: Sequence[Interval], sides: tuple[str, str], of: str) -> str:
    above, below = sum(ci[0] > 0 for ci in intervals), sum(ci[1] < 0 for ci in intervals)
    parts = [f"{side} for {n} of {len(intervals)} {of}" for n, side in zip((above, below), sides, strict=True) if n]
    if not parts:
        return "No interval excludes 0: these data show no such preference."
    text = ", and ".join(parts)
    return f"{text[0].upper()}{text[1:]}: the intervals exclude 0."


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
    of = "submissions" if report.submissions else "judges"
    return page(
        "site_judge.html.j2",
        report=report,
        links=LINKS,
        sentences=_sentences(report),
        accuracy=_accuracy(report),
        of=of.removesuffix("s").capitalize(),
        position=_table(
            "jp", _positions(report, site), "points of win rate, shown second minus shown first", 1,
            ("the second place is favoured", "the first place is favoured"), of,
        ),
        length=_table(
            "jl", _lengths(report, site), "log-odds per standard deviation of the length difference", 2,
            ("longer answers are favoured", "shorter answers are favoured"), of,
        ),
        pairs=[(site.judges[pair_key(c.a, c.b)], c) for c in comparisons],
        simulated=report.benchmark.simulated or report.judge.simulated,
    )  # fmt: skip
