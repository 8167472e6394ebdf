"""Two submissions, or two judges, side by side as one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from markupsafe import Markup

from auditkit.reports import charts, wording
from auditkit.reports.charts import Axis
from auditkit.reports.comparison import Comparison, Counts, Difference, Outcome
from auditkit.reports.pages import page
from auditkit.reports.wording import Word

__all__ = ["OUTCOMES", "label_of", "render_comparison"]

OUTCOMES: Final[dict[Outcome, tuple[str, Word]]] = {
    "a": ("certified", Word("A is better", "A", "The difference holds as judged and under every control that applies.")),
    "b": ("certified", Word("B is better", "B", "The difference holds as judged and under every control that applies.")),
    "not_separable": ("not_certifiable", Word("Not told apart", "?", "These prompts do not decide which of the two is better.")),
    "vanishes": ("conditional", Word("Vanishes under control", "!", "The judge prefers one of them, but not once what it should not go by is held fixed.")),
    "gated": ("rejected", Word("Does not count", "✕", "The one ahead holds what no honest answer holds: its lead is no evidence of better answers.")),
}  # fmt: skip
_LABELS: Final = {
    "length_controlled_paired": "At equal length",
    "style_controlled_paired": "At equal length and style",
    "length_controlled_published": "Length controlled, as published",
    "length_matched": "Answers of about equal length",
    "swap_consistent": "Verdicts that hold in both orders",
    "agreement": "Same verdict",
    "kappa": "Agreement beyond chance (kappa)",
    "accuracy": "Names the right answer",
    "consistency": "Same verdict in both orders",
    "first_preference": "Prefers the answer shown first",
}
_DESIGNS: Final = {
    "direct": "the two met each other: a win rate against the other, minus 50",
    "shared_opponent": "both met the same opponents",
    "ratings": "each was rated by itself",
    "same_games": "both judged the same answers in the same order",
}
_UNITS: Final = {
    "win_rate": "points of win rate",
    "rating": "points of the judge's scale",
    "accuracy": "percentage points",
}


@dataclass(frozen=True)
class _Row:
    data: Difference
    label: str
    plot: Markup


@dataclass(frozen=True)
class _Table:
    """Differences that share a scale."""

    title: str
    scale: Markup
    rows: tuple[_Row, ...]
    tested: int
    sided: bool


def label_of(row: Difference) -> str:
    """Return what a row is called; values of slices and models are shown as they are, made visible."""
    if row.kind in ("category", "language", "model", "attack"):
        return wording.name(row.name, 80)
    return _LABELS.get(row.name) or wording.control_label(row.name)


def _table(ident: str, title: str, rows: Sequence[Difference], unit: str, digits: int) -> _Table | None:
    if not rows:
        return None
    values = [v for r in rows for v in (r.estimate, *(r.ci or ())) if v is not None]
    axis: Axis = replace(charts.axis_for(values, reference=0.0), ident=ident)
    made = tuple(
        _Row(
            r,
            label_of(r),
            charts.interval_bar(
                f"{ident}{i}", axis, label_of(r), r.estimate, r.ci, extrapolated=_beyond(r), digits=digits
            ),
        )
        for i, r in enumerate(rows)
    )
    sided = any(r.a is not None and r.b is not None for r in rows)
    return _Table(
        title, charts.axis_scale(axis, f"A minus B, {unit}"), made, sum(r.adjusted_p is not None for r in rows), sided
    )


def _beyond(row: Difference) -> bool:
    return row.note.startswith("EXTRA")


def _tug(counts: Counts, a: str, b: str) -> Markup:
    """Return a bar divided by who did better on how many prompts."""
    total = max(counts.a + counts.tied + counts.b, 1)
    widths = [100.0 * part / total for part in (counts.a, counts.tied, counts.b)]
    starts = [0.0, widths[0], widths[0] + widths[1]]
    parts = Markup("").join(
        Markup('<rect class="{}" x="{:.2f}%" y="0" width="{:.2f}%" height="100%"/>').format(kind, x, width)
        for kind, x, width in zip(("a", "tied", "b"), starts, widths, strict=True)
    )
    return Markup(
        '<svg class="tug" role="img" aria-labelledby="tug-t" width="100%" height="22"><title id="tug-t">A better on {} prompts, '
        "equal on {}, B better on {}</title>{}</svg>"
    ).format(counts.a, counts.tied, counts.b, parts)


def render_comparison(
    comparison: Comparison, *, links: Sequence[tuple[str, str]] = (), hrefs: tuple[str, str] = ("", "")
) -> str:
    """Return the page of a comparison.

    Args:
        comparison: The comparison.
        links: Other pages of the site, ``(href, words)``.
        hrefs: Pages of A and of B; "": none.
    """
    c = comparison
    digits = 2 if c.unit == "rating" else 1
    unit = _UNITS[c.unit]
    measures = [r for r in c.rows if r.name in ("agreement", "kappa")]
    parts = [
        Difference(wording.PARTS[p.part], "part", p.points, p.ci, c.n, note=p.note)
        for p in c.parts
        if p.points is not None
    ]
    slices = {kind: [r for r in c.slices if r.kind == kind] for kind in ("category", "language", "model")}
    titles = {"category": "By category", "language": "By language", "model": "By submission"}
    kind, word = OUTCOMES[c.outcome]
    if c.subject == "judges" and c.headline.estimate is None:
        word = Word("Agreement only", "?", "No right answer is known, so neither judge is called better.")
    elif c.subject == "judges":
        texts = {"a": "A names the right answer more often.", "b": "B names the right answer more often."}
        word = word._replace(text=texts.get(c.outcome, "These pairs do not decide which judge is right more often."))
    return page(
        "compare.html.j2",
        c=c,
        links=links,
        hrefs=hrefs,
        seal=(kind, word),
        design=_DESIGNS.get(c.design, c.design),
        unit=unit,
        digits=digits,
        tug=_tug(c.counts, c.a, c.b),
        controls=_table("d", "Controls", [r for r in c.rows if r not in measures], unit, digits),
        measures=[(label_of(r), r) for r in measures],
        parts=_table("w", "Parts", parts, unit, digits),
        missing_parts=[(wording.PARTS[p.part], p.note) for p in c.parts if p.points is None],
        slices=[
            found
            for k, name in slices.items()
            if (found := _table(f"{k[0]}s", titles[k], name, unit, digits)) is not None
        ],
        attacks=_table("a", "Attacks", c.attacks, "points gained", 1),
        ahead=sum(p.a > p.b for p in c.prompts),
    )
