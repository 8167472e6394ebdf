"""The board on each category and language: scores and ranks estimated anew on those prompts, by the same controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from auditkit import registry
from auditkit.audit import Progress, ranks_of
from auditkit.controls.slices import KINDS, Slice, cut, slices_of
from auditkit.errors import Undefined
from auditkit.records import Battles, Score, Settings
from auditkit.reports.leaderboard import headline
from auditkit.reports.report import Report
from auditkit.reports.sliced import SliceBoard, SliceRow, Slices

__all__ = ["sliced_board"]

#: Slices of each kind that are shown, and rows of all of them together: more make neither a readable menu nor a page
#: below one megabyte.
MOST_SLICES: Final = 16
MOST_ROWS: Final = 480
#: Controls that estimate from the games at hand and therefore mean on a part of the prompts what they mean on all. A
#: published length control is not among them: its fit is tied to the whole list of prompts.
_PLUGINS: Final[Mapping[str, str]] = {
    "raw": "raw",
    "arena_hard": "arena_hard",
    "mt_bench": "mt_bench",
    "wildbench_score": "wildbench_score",
    "arena_hard_style": "arena_hard_style",
    "chatbot_arena_style": "chatbot_arena_style",
    "style_controlled": "style_controlled",
    "joint": "joint",
    "length_matched": "length_matched",
    "position_balanced": "position",
}


def sliced_board(
    battles: Battles, report: Report, settings: Settings, progress: Progress = lambda stage, done, total: None
) -> Slices:
    """Return the board of `report` on every category and language of the recording's prompts.

    The raw score and, where its control can be estimated on a part of the prompts, the controlled one are computed by
    the same controls as in the report, ranks by the same rule (`auditkit.audit.ranks_of`). Intervals hold for each
    slice by itself: who looks for the best of many slices looks for chance.

    Args:
        battles: The recording of `report`.
        report: Its audit: which scores stand for raw and controlled, and who is listed.
        settings: Level, replicates, seed.
        progress: Told of every finished slice.
    """
    raw, held = headline(report)
    if not report.submissions or raw not in _PLUGINS:
        return Slices(
            note="The recording holds no games or ratings by prompt: nothing can be estimated on a part of them."
        )
    kinds = sum(battles.prompts.loc[battles.prompts[kind] != "", kind].nunique() > 1 for kind in KINDS)
    most = max(2, min(MOST_SLICES, MOST_ROWS // (len(report.submissions) * max(kinds, 1))))
    found, left_out = slices_of(battles, most)
    if not found:
        return Slices(note="The recording names neither categories nor languages of its prompts, or only one of each.")
    boards = []
    for step, one in enumerate(found):
        progress("slices", step, len(found))
        boards.append(_board(battles, report, one, raw, held, settings))
    progress("slices", len(found), len(found))
    note = ""
    if held and not any(row.held is not None for board in boards for row in board.rows):
        note = "The controlled score is not measured on a part of the prompts: its fit is tied to all of them."
    return Slices(tuple(boards), left_out, note)


def _board(battles: Battles, report: Report, one: Slice, raw: str, held: str, settings: Settings) -> SliceBoard:
    part = cut(battles, one.prompts)
    scores = [*_scores(part, raw, settings), *(_scores(part, held, settings) if held in _PLUGINS else ())]
    known = {(s.model, s.control): s for s in scores if s.estimate is not None}
    listed = [s.model for s in report.submissions if s.verdict != "rejected"]
    ranks = ranks_of(part, scores, listed, settings)
    return SliceBoard(
        one.kind, one.value, len(one.prompts),
        tuple(
            SliceRow(
                s.model, known.get((s.model, raw)), known.get((s.model, held)),
                ranks.get(s.model, {}).get(raw), ranks.get(s.model, {}).get(held),
            )
            for s in report.submissions
        ),
    )  # fmt: skip


def _scores(part: Battles, control: str, settings: Settings) -> list[Score]:
    plugin = registry.plugins("controls").get(_PLUGINS[control])
    if plugin is None or not (len(part.games) or len(part.ratings)):
        return []
    try:
        findings = plugin.load()(part, settings)
    except Undefined:
        return []
    return [s for s in findings.scores if s.control == control]
