"""The leaderboard as a page of its own: every submission with its scores, places and verdict, whole and by slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from markupsafe import Markup

from auditkit.records import Score
from auditkit.reports import charts, wording
from auditkit.reports.charts import Axis
from auditkit.reports.comparison import Comparison
from auditkit.reports.leaderboard import flags_of, headline, ordered, ranked_controls, score_of
from auditkit.reports.pages import LINKS, SiteMap, page, pair_key
from auditkit.reports.report import Rank, Report, SubmissionReport
from auditkit.reports.sliced import SliceBoard, Slices

__all__ = ["render_board"]

_MOST_LINES: Final = 60


@dataclass(frozen=True)
class _Move:
    """From the raw to the controlled place: `by` ranks up (below 0: down); `sure` if the two rank intervals are apart."""

    by: int
    sure: bool


@dataclass(frozen=True)
class _Cells:
    """What depends on the prompts that are looked at."""

    plot: Markup
    n: int
    raw: Score | None
    raw_rank: Rank | None
    held: Score | None
    held_rank: Rank | None
    move: _Move | None


@dataclass(frozen=True)
class _Row:
    index: int
    data: SubmissionReport
    href: str
    cells: _Cells
    flags: tuple[tuple[str, tuple[str, ...]], ...]
    weight: int
    measured: bool


@dataclass(frozen=True)
class _Slice:
    ident: str
    data: SliceBoard
    rows: tuple[tuple[_Row, _Cells], ...]


@dataclass(frozen=True)
class _Pair:
    href: str
    data: Comparison


def _move(raw: Rank | None, held: Rank | None) -> _Move | None:
    if raw is None or held is None:
        return None
    return _Move(raw.rank - held.rank, raw.lo > held.hi or held.lo > raw.hi)


def _plain_axis(scores: Sequence[Score]) -> Axis:
    unit = scores[0].unit if scores else "win_rate"
    if unit in ("win_rate", "accuracy"):
        return charts.PERCENT
    return (
        charts.REWARD
        if unit == "reward"
        else charts.axis_for([v for s in scores for v in (s.estimate, *(s.ci or ())) if v is not None])
    )


def _cells(
    ident: str,
    axis: Axis,
    label: str,
    n: int,
    raw: Score | None,
    held: Score | None,
    raw_rank: Rank | None,
    held_rank: Rank | None,
) -> _Cells:
    same = held if held is not None and (raw is None or held.unit == raw.unit) else None
    plot = charts.pair_bar(ident, axis, label, raw, same)
    return _Cells(plot, n, raw, raw_rank, held, held_rank, _move(raw_rank, held_rank))


#: How much a flag weighs when rows are sorted by what the detectors hit.
_WEIGHTS: Final = {"reject": 10_000, "review": 100, "info": 1}


def _rows(report: Report, raw: str, held: str, axis: Axis, site: SiteMap) -> tuple[_Row, ...]:
    rows = []
    for index, s in ordered(report, held or raw):
        flags = flags_of(s)
        label = wording.name(s.model, 60)
        one, two = score_of(s, raw), score_of(s, held)
        n = one.n if one is not None and one.n else s.n  # counts without their games have prompts too
        cells = _cells(f"m{index}", axis, label, n, one, two, s.ranks.get(raw), s.ranks.get(held))
        weight = sum(_WEIGHTS[severity] * len(names) for severity, names in flags)
        measured = any(d.flag is not None for d in s.detectors)
        rows.append(_Row(index, s, site.submissions.get(s.model, ""), cells, flags, weight, measured))
    return tuple(rows)


def _slices(slices: Slices, rows: Sequence[_Row], axis: Axis) -> tuple[_Slice, ...]:
    found = []
    for k, board in enumerate(slices.boards):
        by_model = {r.model: r for r in board.rows}
        cells = []
        for row in rows:
            s = by_model[row.data.model]
            n = s.raw.n if s.raw is not None else 0
            cells.append(
                (
                    row,
                    _cells(
                        f"c{k}-{row.index}", axis, wording.name(s.model, 60), n, s.raw, s.held, s.raw_rank, s.held_rank
                    ),
                )
            )
        cells.sort(key=lambda cell: _place(cell[1]))
        found.append(_Slice(f"c{k}", board, tuple(cells)))
    return tuple(found)


def _place(cells: _Cells) -> tuple[float, float]:
    rank = cells.held_rank or cells.raw_rank
    score = cells.raw.estimate if cells.raw is not None else None
    return (rank.rank if rank else float("inf"), -score if score is not None else float("inf"))


def _told(rows: Sequence[_Row], held: str) -> list[str]:
    """Return what the board comes to, in sentences."""
    listed = [r for r in rows if r.data.verdict != "rejected"]
    rejected = len(rows) - len(listed)
    told = []
    if rejected:
        told.append(
            f"{rejected} of {len(rows)} submissions {'is' if rejected == 1 else 'are'} rejected and hold{'s' if rejected == 1 else ''} no rank."
        )
    moves = [(r, r.cells.move) for r in listed if r.cells.move is not None]
    if held and moves:
        moved = [(r, m) for r, m in moves if m.by]
        sure = sum(m.sure for _, m in moved)
        label = wording.control_label(held).lower()
        if moved:
            beyond = (
                f"{sure} of them by more than their rank intervals allow for"
                if sure
                else "none by more than their rank intervals allow for"
            )
            told.append(
                f"With the {label} score, {len(moved)} of {len(moves)} ranked submissions change place, {beyond}."
            )
        else:
            told.append(f"With the {label} score, nobody changes place.")
    apart = sum(r.cells.raw_rank is not None and r.cells.raw_rank.lo == r.cells.raw_rank.hi for r in listed)
    ranked = sum(r.cells.raw_rank is not None for r in listed)
    if ranked > 1 and apart == ranked:
        told.append("The data fix every raw rank.")
    elif ranked > 1 and apart:
        told.append(
            f"The data fix the raw rank of {apart} of {ranked}; the others share theirs within the interval shown."
        )
    elif ranked > 1:
        told.append("The data fix no raw rank: each could be another within the interval shown.")
    return told


def render_board(report: Report, slices: Slices, comparisons: Sequence[Comparison], site: SiteMap) -> str:
    """Return the leaderboard page of a site.

    Args:
        report: The report of all submissions.
        slices: The board by category and language.
        comparisons: The pairs that have a page.
        site: File names.
    """
    raw, held = headline(report)
    shown = [s for sub in report.submissions for s in (score_of(sub, raw), score_of(sub, held)) if s is not None]
    first = next((s for s in shown if s.control == raw), None)
    same = [s for s in shown if first is not None and s.unit == first.unit]
    axis = replace(_plain_axis(same), ident="b")
    rows = _rows(report, raw, held, axis, site)
    controls = ranked_controls(report)
    lines = [
        charts.SlopeRow(s.model, tuple(s.ranks[c].rank if c in s.ranks else None for c in controls), s.verdict == "rejected")
        for s in report.submissions if s.ranks
    ]  # fmt: skip
    slope = len(controls) > 1 and 1 < len(lines) <= _MOST_LINES
    verdicts = [s.verdict for s in report.submissions]
    labels = tuple(wording.control_label(c) for c in controls)
    return page(
        "board.html.j2",
        report=report,
        links=LINKS,
        files=site.files,
        rows=rows,
        slices=_slices(slices, rows, axis),
        slice_note=slices.note,
        slices_left_out=slices.left_out,
        kinds=tuple(dict.fromkeys(b.kind for b in slices.boards)),
        raw=raw,
        held=held,
        raw_label=wording.control_label(raw) if raw else "Score",
        held_label=wording.control_label(held) if held else "",
        scale=charts.axis_scale(axis, wording.UNITS[first.unit if first is not None else "win_rate"]),
        told=_told(rows, held),
        counts=[(v, verdicts.count(v)) for v in wording.VERDICTS if v in verdicts],
        costed=any(s.cost.usd is not None or s.cost.calls is not None for s in report.submissions),
        slope=charts.slope_chart("slope", labels, lines) if slope else None,
        rank_controls=controls,
        rank_labels=labels,
        all_pairs=len(comparisons) == len(rows) * (len(rows) - 1) // 2,
        pairs=[_Pair(site.comparisons[pair_key(c.a, c.b)], c) for c in comparisons],
        simulated=report.benchmark.simulated or report.judge.simulated,
    )
