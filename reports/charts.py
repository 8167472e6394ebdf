"""Charts as inline SVG: interval bars, the waterfall, win rate by length difference, rank lines.

Horizontal places are percentages and vertical ones pixels, so a chart takes the width it is given and its text
stays legible on a phone; a chart in a table row is drawn about the middle of the row, however high that is. Colours come from the page's style sheet by class; shape, sign or dash says the same.
Every chart is an image with a title; the numbers it shows stand in a table beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from markupsafe import Markup

from auditkit.records import Interval, Score
from auditkit.reports.wording import control_label, name, number, score_interval, score_value, share, signed

__all__ = [
    "PERCENT",
    "REWARD",
    "Axis",
    "SlopeRow",
    "axis_for",
    "axis_scale",
    "coverage_bar",
    "interval_bar",
    "key",
    "level_bar",
    "pair_bar",
    "part_bar",
    "quintile_chart",
    "ranked_curve",
    "share_bar",
    "slope_chart",
    "support_strip",
]

#: Room in percent on both sides of an axis, so that a mark at its end is not cut.
_INSET: Final = 4.0
#: Nearer than this to an end, in percent, a label about a mark would be cut.
_EDGE: Final = 14.0
_NOTHING: Final = Markup("")
_SLOPE_STEP: Final = 26
_MOST_POINTS: Final = 120


def _percent(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"


@dataclass(frozen=True)
class Axis:
    """A horizontal scale: its ends, the values that are marked, and the one that means "no difference".

    `ident` names it in the page: `axis_scale` draws its grid once, and every row refers to that.
    """

    lo: float
    hi: float
    ticks: tuple[float, ...]
    reference: float | None = None
    ident: str = ""

    def at(self, value: float) -> str:
        """Return the place of `value` as a percentage of the width; what lies outside is put at the edge."""
        inside = min(max(value, self.lo), self.hi)
        return _percent(_INSET + (100.0 - 2.0 * _INSET) * (inside - self.lo) / (self.hi - self.lo))

    def span(self, a: float, b: float) -> tuple[str, str]:
        """Return where the stretch between `a` and `b` begins and how wide it is."""
        left, right = (float(self.at(v)[:-1]) for v in (min(a, b), max(a, b)))
        return _percent(left), _percent(max(right - left, 0.3))


def axis_for(values: Sequence[float], *, reference: float | None = None) -> Axis:
    """Return an axis with round ticks that holds `values` (and `reference`)."""
    known = [*values, *([] if reference is None else [reference])] or [0.0]
    lo, hi = min(known), max(known)
    if hi - lo < 1e-9:
        pad = max(abs(hi) * 0.1, 0.5)
        lo, hi = lo - pad, hi + pad
    step = 10.0 ** math.floor(math.log10((hi - lo) / 2.0))
    for factor in (1.0, 2.0, 2.5, 5.0, 10.0):
        if (hi - lo) / (step * factor) <= 5.0:
            step *= factor
            break
    first, last = math.floor(lo / step + 1e-9), math.ceil(hi / step - 1e-9)
    ticks = tuple(k * step for k in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks, reference)


PERCENT: Final = Axis(0.0, 100.0, (0.0, 25.0, 50.0, 75.0, 100.0), 50.0)
REWARD: Final = Axis(-100.0, 100.0, (-100.0, -50.0, 0.0, 50.0, 100.0), 0.0)


def _svg(kind: str, ident: str, height: int | str, title: str, body: Markup, desc: str = "") -> Markup:
    labels = f"{ident}-t {ident}-d" if desc else f"{ident}-t"
    described = Markup('<desc id="{}-d">{}</desc>').format(ident, desc) if desc else _NOTHING
    return Markup(
        '<svg class="chart {}" role="img" aria-labelledby="{}" width="100%" height="{}"><title id="{}-t">{}</title>{}{}</svg>'
    ).format(kind, labels, height, ident, title, described, body)


def _join(parts: Sequence[Markup]) -> Markup:
    return Markup("").join(parts)


def _line(kind: str, x1: str, y1: float, x2: str, y2: float) -> Markup:
    # 0 is what a browser takes where nothing is said; rows are drawn about 0 and there are many of them
    ends = [Markup(' {}="{:g}"').format(at, y) for at, y in (("y1", y1), ("y2", y2)) if y]
    return Markup('<line class="{}" x1="{}" x2="{}"{}/>').format(kind, x1, x2, _join(ends))


def _text(kind: str, x: str, y: float, text: str, anchor: str = "middle") -> Markup:
    end = Markup("") if anchor == "middle" else Markup(' text-anchor="{}"').format(anchor)  # the style sheet's default
    return Markup('<text class="{}" x="{}" y="{:g}"{}>{}</text>').format(kind, x, y, end, text)


def _grid(axis: Axis) -> Markup:
    """Return the lines of the scale; their stroke is the group's, so that they need no class of their own."""
    ticks = axis.ticks if axis.reference is None or axis.reference in axis.ticks else (*axis.ticks, axis.reference)
    return _join([
        Markup('<line{} x1="{}" x2="{}" y2="100%"/>').format(
            Markup(' class="reference"') if tick == axis.reference else "", axis.at(tick), axis.at(tick)
        )
        for tick in ticks
    ])  # fmt: skip


def _row(kind: str, ident: str, axis: Axis, title: str, marks: Sequence[Markup], behind: Markup = _NOTHING) -> Markup:
    """Return a chart that fills its table cell; `marks` count pixels from the middle of the row, `behind` does not."""
    grid = Markup('<use href="#{}-grid"/>').format(axis.ident)
    # A row's chart is repeated so often that its name is an attribute: half the bytes of a title and a reference to it.
    return Markup(
        '<svg class="chart row {}" id="{}" role="img" aria-label="{}">{}{}<svg y="50%">{}</svg></svg>'
    ).format(kind, ident, title, grid, behind, _join(marks))


def _lead(axis: Axis, value: float, y1: str, y2: str) -> Markup:
    return Markup('<line class="lead" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(axis.at(value), y1, axis.at(value), y2)


def _disc(kind: str, axis: Axis, value: float, y: float = 0.0) -> Markup:
    return Markup('<circle class="{}" cx="{}"{} r="5"/>').format(
        kind, axis.at(value), Markup(' cy="{:g}"').format(y) if y else ""
    )


def _interval_line(kind: str, axis: Axis, ci: Interval) -> Markup:
    return _line(kind, axis.at(ci[0]), 0, axis.at(ci[1]), 0)


def axis_scale(axis: Axis, label: str) -> Markup:
    """Return the numbers of `axis`, to stand above a column of bars, and the grid that those bars refer to."""
    step = axis.ticks[1] - axis.ticks[0]
    digits = next((d for d in range(6) if abs(step * 10**d - round(step * 10**d)) < 1e-6), 6)
    grid = Markup('<defs><g id="{}-grid" class="grid">{}</g></defs>').format(axis.ident, _grid(axis))
    marks = [Markup('<text x="{}" y="12">{}</text>').format(axis.at(t), number(t, digits)) for t in axis.ticks]
    title = f"Scale of the bars below: {label}, from {number(axis.lo, digits)} to {number(axis.hi, digits)}"
    return Markup('<svg class="chart scale" role="img" aria-label="{}">{}{}</svg>').format(title, grid, _join(marks))


def interval_bar(
    ident: str,
    axis: Axis,
    label: str,
    estimate: float | None,
    ci: Interval | None,
    *,
    extrapolated: bool = False,
    digits: int = 1,
) -> Markup:
    """Return one row's estimate as a dot on its interval; an extrapolation is hollow and dashed."""
    if estimate is None:
        return _row("interval", ident, axis, f"{label}: undefined", [_text("undefined", "50%", 4, "undefined")])
    soft = " soft" if extrapolated else ""
    marks = [] if ci is None else [_interval_line(f"whisker{soft}", axis, ci)]
    marks.append(_disc(f"dot{soft}", axis, estimate))
    told = f", interval {number(ci[0], digits)} to {number(ci[1], digits)}" if ci is not None else ", no interval"
    extra = ", an extrapolation" if extrapolated else ""
    return _row("interval", ident, axis, f"{label}: {number(estimate, digits)}{told}{extra}", marks)


def pair_bar(ident: str, axis: Axis, label: str, judged: Score | None, controlled: Score | None) -> Markup:
    """Return a submission's score as judged (ring, above) and its controlled score (disc, below) on one scale."""
    marks, told = [], []
    for score, y, kind in ((judged, -7.0, "ring"), (controlled, 7.0, "dot")):
        if score is None or score.estimate is None:
            continue
        if score.ci is not None:
            marks.append(_line(f"whisker {kind}-line", axis.at(score.ci[0]), y, axis.at(score.ci[1]), y))
        marks.append(_disc(kind, axis, score.estimate, y))
        told.append(f"{control_label(score.control)} {score_value(score)} {score_interval(score)}".strip())
    return _row("pair", ident, axis, f"{label}: {', '.join(told) or 'undefined'}", marks)


def key(ident: str, kind: Literal["ring", "dot"]) -> Markup:
    """Return the mark of a legend."""
    axis = Axis(0.0, 1.0, ())
    body = _line(f"whisker {kind}-line", "2", 8, "32", 8) + _disc(kind, axis, 0.5, 8)
    return _svg("key", ident, 16, "ring on a line" if kind == "ring" else "disc on a line", body)


def level_bar(ident: str, axis: Axis, label: str, value: float, ci: Interval | None, *, first: bool) -> Markup:
    """Return the first or last row of a waterfall: a level as a dot, since the scale need not begin at zero."""
    marks = [] if ci is None else [_interval_line("whisker", axis, ci)]
    lead = _lead(axis, value, "50%", "100%") if first else _lead(axis, value, "0", "50%")
    return _row("step", ident, axis, f"{label}: {number(value)}", [*marks, _disc("dot", axis, value)], lead)


def part_bar(ident: str, axis: Axis, label: str, start: float, end: float | None, ci: Interval | None) -> Markup:
    """Return one part of a waterfall as a bar from `start` to `end`; `ci` is the interval of `end`.

    The lines lead on from the row above and to the row below. Without an `end` the part is undefined.
    """
    if end is None:
        return _row("step", ident, axis, f"{label}: undefined", [], _lead(axis, start, "0", "100%"))
    left, width = axis.span(start, end)
    shape = Markup('<rect class="{}" x="{}" y="-8" width="{}" height="16" rx="2"/>').format(
        "gain" if end >= start else "loss", left, width
    )
    marks = [shape] if ci is None else [shape, _interval_line("whisker", axis, ci)]
    leads = _lead(axis, start, "0", "50%") + _lead(axis, end, "50%", "100%")
    return _row("step", ident, axis, f"{label}: {signed(end - start)} points", marks, leads)


def coverage_bar(ident: str, covered: float) -> Markup:
    """Return the share of the benchmark that has a verdict as a filled bar."""
    body = Markup(
        '<rect class="empty" x="0" y="2" width="100%" height="10" rx="5"/>'
        '<rect class="level" x="0" y="2" width="{:.2f}%" height="10" rx="5"/>'
    ).format(100.0 * min(max(covered, 0.0), 1.0))
    return _svg("coverage", ident, 14, f"Coverage {share(covered)}", body)


def share_bar(ident: str, axis: Axis, label: str, percent: float, least: float) -> Markup:
    """Return a share in percent as a bar from 0; the stretch below `least` is marked, and a bar that ends in it is hollow."""
    zone = Markup('<rect class="beyond" x="{}" y="0" width="{}" height="100%"/>').format(*axis.span(axis.lo, least))
    few = percent < least
    left, width = axis.span(0.0, percent)
    bar = Markup('<rect class="{}" x="{}" y="-6" width="{}" height="12" rx="2"/>').format(
        "level few" if few else "level", left, width
    )
    told = f", below {number(least, 0)}: an extrapolation" if few else ""
    return _row("share", ident, axis, f"{label}: {number(percent)} percent of the prompts{told}", [bar], zone)


def support_strip(ident: str, differences: Sequence[float]) -> Markup:
    """Return where length differences were seen and where equal length lies, on one line of characters.

    Args:
        ident: Unique id.
        differences: Mean difference of each fifth of the games in characters, model minus baseline, ascending.
    """
    low, high = min(differences), max(differences)
    axis = axis_for([low, high, 0.0], reference=0.0)
    top, line, bottom = 16.0, 40.0, 58.0
    left, width = axis.span(low, high)
    marks = [_line("reference", axis.at(0.0), top, axis.at(0.0), bottom)]
    near = float(axis.at(0.0)[:-1])
    anchor = "start" if near < _EDGE else "end" if near > 100.0 - _EDGE else "middle"
    marks.append(_text("value", axis.at(0.0), 11, "equal length", anchor))
    marks.append(
        Markup('<rect class="seen" x="{}" y="{:g}" width="{}" height="12" rx="6"/>').format(left, line - 6, width)
    )
    beyond = low > 0.0 or high < 0.0
    if beyond:
        marks.append(_line("whisker soft", axis.at(0.0), line, axis.at(low if low > 0.0 else high), line))
    marks += [_disc("dot", axis, d, line) for d in differences]
    marks += [_text("tick", axis.at(t), 74, number(t, 0)) for t in axis.ticks]
    seen = f"fifths of the games lie from {signed(low, 0)} to {signed(high, 0)} characters"
    where = "equal length lies outside: a score there is an extrapolation" if beyond else "equal length lies within"
    return _svg("support", ident, 78, f"Length differences that were seen: {seen}; {where}", _join(marks))


def quintile_chart(ident: str, quintiles: Sequence[tuple[float, float, int]]) -> Markup:
    """Return win rate (percent) by quintile of the length difference, shortest first.

    Args:
        ident: Unique id.
        quintiles: Mean difference in characters, win rate, number of games.
    """
    top, bottom = 14.0, 164.0

    def y(rate: float) -> float:
        return round(bottom - (bottom - top) * min(max(rate, 0.0), 100.0) / 100.0, 1)

    def x(i: int) -> str:
        return _percent(12.0 + 86.0 * (i + 0.5) / len(quintiles))

    marks = []
    for tick in PERCENT.ticks:
        marks.append(_line("reference" if tick == 50.0 else "grid", "10%", y(tick), "100%", y(tick)))
        marks.append(_text("tick", "8%", y(tick) + 4, number(tick, 0), "end"))
    rates = [q[1] for q in quintiles]
    marks += [_line("path", x(i), y(a), x(i + 1), y(b)) for i, (a, b) in enumerate(pairwise(rates))]
    for i, (difference, rate, _n) in enumerate(quintiles):
        marks.append(Markup('<circle class="dot" cx="{}" cy="{:g}" r="5"/>').format(x(i), y(rate)))
        marks.append(_text("value", x(i), y(rate) - 10 if rate < 92 else y(rate) + 19, number(rate, 0)))
        marks.append(_text("tick", x(i), bottom + 18, signed(difference, 0)))
    return _svg(
        "quintiles",
        ident,
        190,
        "Win rate by length difference to the baseline, shortest fifth first; the numbers stand beside it",
        _join(marks),
    )


def ranked_curve(ident: str, values: Sequence[float], title: str) -> Markup:
    """Return values in falling order as one line over their rank, at most 120 of them, evenly spaced.

    Args:
        ident: Unique id.
        values: At least two, falling.
        title: What they are.
    """
    axis = axis_for([values[0], values[-1]], reference=0.0)
    top, bottom = 10.0, 130.0
    picked = sorted({round(i * (len(values) - 1) / (_MOST_POINTS - 1)) for i in range(_MOST_POINTS)})

    def y(value: float) -> float:
        return bottom - (bottom - top) * (value - axis.lo) / (axis.hi - axis.lo)

    def x(rank: int) -> str:
        return f"{10.0 + 88.0 * rank / (len(values) - 1):.2f}%"

    marks = []
    for tick in axis.ticks:
        marks.append(_line("reference" if tick == 0.0 else "grid", "10%", y(tick), "98%", y(tick)))
        marks.append(_text("tick", "9%", y(tick) + 4, f"{tick:g}", "end"))
    marks += [_line("path", x(i), y(values[i]), x(j), y(values[j])) for i, j in pairwise(picked)]
    ends = ((0, "start"), (len(values) - 1, "end"))
    marks += [_text("tick", x(i), bottom + 18, number(i + 1, 0), anchor) for i, anchor in ends]
    desc = f"from {number(values[0], 2)} at rank 1 to {number(values[-1], 2)} at rank {len(values)}"
    return _svg("ranked", ident, 152, title, _join(marks), desc)


@dataclass(frozen=True)
class SlopeRow:
    """One submission's places, one a column; None where it has no place."""

    model: str
    places: tuple[int | None, ...]
    rejected: bool = False


def slope_chart(ident: str, columns: Sequence[str], rows: Sequence[SlopeRow]) -> Markup:
    """Return places joined by lines, one line a submission, best at the top.

    Submissions that share a place stand one below the other under the same number.
    """
    slots = [_slots(rows, i) for i in range(len(columns))]
    left, right = (30.0, 70.0) if len(columns) < 4 else (24.0, 76.0)
    height = 30 + max(map(len, slots), default=0) * _SLOPE_STEP

    def x(i: int) -> float:
        return left + (right - left) * i / max(len(columns) - 1, 1)

    def y(i: int, row: int) -> float:
        return 30.0 + (slots[i][row] + 0.5) * _SLOPE_STEP

    room = min(24.0, (right - left) / max(len(columns) - 1, 1))
    marks = [_label("column", x(i) - room / 2.0, 0.0, room, column) for i, column in enumerate(columns)]
    for number_of, row in enumerate(rows):
        model = name(row.model, 60)
        told = ", ".join(f"{c} {'no rank' if p is None else p}" for c, p in zip(columns, row.places, strict=True))
        parts = [Markup("<title>{}: {}</title>").format(model, told)]
        known = [(i, place) for i, place in enumerate(row.places) if place is not None]
        for (i, a), (j, b) in pairwise(known):
            way = ("up" if b < a else "down" if b > a else "flat") + (" void" if row.rejected else "")
            parts.append(_line(f"rank {way}", f"{x(i):.2f}%", y(i, number_of), f"{x(j):.2f}%", y(j, number_of)))
        for i, place in known:
            at = y(i, number_of)
            parts.append(Markup('<circle class="dot" cx="{:.2f}%" cy="{:g}" r="4.5"/>').format(x(i), at))
            text = f"{'✕ ' if row.rejected else ''}{model}"
            if i == 0:
                parts.append(_label("before", 0.0, at - _SLOPE_STEP / 2, left - 2.0, f"{place} · {text}"))
            elif i == len(columns) - 1:
                parts.append(_label("after", right + 2.0, at - _SLOPE_STEP / 2, 98.0 - right, f"{place} · {text}"))
        marks.append(Markup("<g>{}</g>").format(_join(parts)))
    title = f"Ranks under {', '.join(columns)}, joined by lines"
    return _svg("slope", ident, height, title, _join(marks), "The same ranks stand in the table below.")


def _slots(rows: Sequence[SlopeRow], column: int) -> dict[int, int]:
    """Return which line from the top each row that has a place in `column` stands on."""
    placed = [(place, i) for i, row in enumerate(rows) if (place := row.places[column]) is not None]
    return {i: slot for slot, (_, i) in enumerate(sorted(placed))}


def _label(kind: str, x: float, y: float, width: float, text: str) -> Markup:
    """Return text that is cut with an ellipsis where its room ends, which SVG text cannot do."""
    return Markup(
        '<foreignObject x="{:.2f}%" y="{:g}" width="{:.2f}%" height="{}"><div class="label {}">{}</div></foreignObject>'
    ).format(x, y, width, _SLOPE_STEP, kind, text)
