"""The quality of benchmarks as one HTML file, and their prompts as CSV; under the rules of every page of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from markupsafe import Markup

from auditkit.reports import charts, wording
from auditkit.reports.charts import Axis
from auditkit.reports.html import page
from auditkit.reports.leaderboard import rows_csv
from auditkit.reports.quality_report import BoardQuality, PromptQuality, PromptWorth, Quality
from auditkit.stats.quality import Estimate

__all__ = ["prompts_csv", "render_quality"]

_SHARE: Final = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
_SIGNED: Final = Axis(-1.0, 1.0, (-1.0, -0.5, 0.0, 0.5, 1.0), 0.0)
#: Label, what it is, and its scale (None: it has no end, so that a bar would mean nothing), by figure.
_FIGURES: Final[dict[str, tuple[str, str, Axis | None]]] = {
    "agreement_notebook": (
        "Agreement, notebook", "Over the pairs that the reference separates: 1 same order, 0.5 not separated, 0 reversed.",
        _SHARE,
    ),
    "pair_order": ("Same order", "Share of all pairs in the same order by score.", _SHARE),
    "agreement_blog": ("Agreement, blog", "Over the pairs that the reference separates: +1, 0, −1.", _SIGNED),
    "agreement_paper": ("Agreement, paper", "Over all pairs: +1, 0, −1; 0 where either side does not separate.", _SIGNED),
    "spearman": ("Spearman's rho", "Of the scores.", _SIGNED),
    "kendall": ("Kendall's tau-b", "Of the scores.", _SIGNED),
    "brier": ("Pair-rank Brier", "Squared error of each pair's order; 0.25 is a coin, 0 the best.", None),
    "log_loss": ("Pair-rank log loss", "The same in nats; ln 2 = 0.693 is a coin, 0 the best.", None),
    "tighter": ("Times tighter", "Interval width over the spread of scores, against the loosest board read.", None),
}  # fmt: skip
_MOST: Final = 8


@dataclass(frozen=True)
class _Row:
    label: str
    about: str
    plot: Markup
    figure: Estimate


@dataclass(frozen=True)
class _Group:
    scale: Markup | None
    rows: tuple[_Row, ...]


@dataclass(frozen=True)
class _View:
    ident: str
    data: BoardQuality
    lede: str
    groups: tuple[_Group, ...]
    worth: Markup | None
    best: tuple[PromptWorth, ...]
    worst: tuple[PromptWorth, ...]
    subset: str


def _described(key: str, board: BoardQuality) -> tuple[str, str, Axis | None]:
    if key.startswith("separability_"):
        level = key.removeprefix("separability_")
        return f"Separability at {level}%", f"Share of pairs of models whose {level}% intervals do not overlap.", _SHARE
    label, about, axis = _FIGURES[key]
    return label, f"{about} Here: {wording.name(board.tighter_than, 60)}." if key == "tighter" else about, axis


def _groups(ident: str, board: BoardQuality) -> tuple[_Group, ...]:
    described = [(_described(key, board), figure) for key, figure in board.figures.items()]
    groups = []
    for number, base in enumerate((_SHARE, _SIGNED, None)):
        axis = None if base is None else replace(base, ident=f"{ident}g{number}")
        rows = tuple(
            _Row(label, about, Markup("") if axis is None else charts.interval_bar(
                f"{ident}r{number}-{i}", axis, label, figure.estimate, figure.ci, digits=3,
            ), figure)
            for i, ((label, about, own), figure) in enumerate(described) if own is base
        )  # fmt: skip
        if rows:
            ends = "" if base is None else f"{base.lo:g} to {base.hi:g}"
            groups.append(_Group(None if axis is None else charts.axis_scale(axis, ends), rows))
    return tuple(groups)


def _lede(board: BoardQuality) -> str:
    key = next((k for k in board.figures if k.startswith("separability_")), None)
    figure = board.figures[key] if key is not None else None
    if key is None or figure is None or figure.estimate is None:
        return "Separability was not measured."
    between = ""
    if figure.ci is not None:
        low, high = (wording.share(end, 0) for end in figure.ci)
        between = f", and with other models it could be {low} to {high}"
    level = key.removeprefix("separability_")
    return f"It tells {wording.share(figure.estimate, 0)} of the pairs of models apart at {level}% confidence{between}."


def _subset(found: PromptQuality) -> str:
    subset, total = found.subset, len(found.prompts)
    if subset is None:
        return f"Smallest subset: not measured: {found.reason}."
    if subset.size is None or subset.kept is None or subset.kept_ci is None or subset.random is None:
        return f"No smaller set of prompts keeps separability {subset.full:.3f} to within {subset.bound:g}."
    low, high = subset.kept_ci
    over = f" The loss exceeds {subset.bound:g} there." if subset.full - subset.kept > subset.bound else ""
    return (
        f"{subset.size} of {total} prompts keep separability {subset.kept:.3f} of {subset.full:.3f} (change "
        f"{subset.kept - subset.full:+.3f} [{low:+.3f}, {high:+.3f}] over {subset.splits} splits), on models that did not "
        f"choose them. As many drawn at random keep {subset.random:.3f}.{over}"
    )


def _view(board: BoardQuality, ident: str) -> _View:
    found = board.prompts
    if found is None:
        return _View(ident, board, _lede(board), _groups(ident, board), None, (), (), "")
    measured = [p for p in found.prompts if p.per_call is not None and not p.silent]
    ranked = sorted(measured, key=lambda p: -(p.per_call or 0.0))
    worth = charts.ranked_curve(
        f"{ident}w", [p.per_call or 0.0 for p in ranked], "Discrimination a judge call, prompts from most to least"
    ) if len(ranked) > 1 else None  # fmt: skip
    worst = ranked[_MOST:][-_MOST:]
    return _View(
        ident, board, _lede(board), _groups(ident, board), worth, tuple(ranked[:_MOST]), tuple(worst[::-1]),
        _subset(found),
    )  # fmt: skip


def render_quality(found: Quality, *, version: str, command: str = "") -> str:
    """Return what was found as one self-contained HTML page; the same findings give the same bytes.

    Args:
        found: What `auditkit.quality` returned.
        version: Of auditkit.
        command: The command that makes it again.
    """
    return page(
        "quality.html.j2",
        found=found,
        version=version,
        command=command,
        views=[_view(board, f"q{i}") for i, board in enumerate(found.boards)],
        columns=[
            (key, _described(key, board)[0])
            for key, board in {key: board for board in found.boards for key in board.figures}.items()
        ],
    )  # fmt: skip


def prompts_csv(boards: Sequence[BoardQuality]) -> str:
    """Return one row a board and prompt: what it is worth. Cells that a spreadsheet would run are neutralised."""
    return rows_csv([
        {
            "board": board.name, "prompt_id": p.prompt_id, "discrimination": p.discrimination, "calls": p.calls,
            "per_call": p.per_call, "per_dollar": p.per_dollar, "separates_nobody": p.silent,
            "in_smallest_subset": p.chosen,
        }
        for board in boards
        for p in (board.prompts.prompts if board.prompts is not None else ())
    ])  # fmt: skip
