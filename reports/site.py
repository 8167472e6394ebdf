"""A report as a static site: every file of it, by name. Nothing here touches the disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from auditkit.errors import InputError
from auditkit.reports.board_page import render_board
from auditkit.reports.compare_page import render_comparison
from auditkit.reports.comparison import Comparison
from auditkit.reports.html import render
from auditkit.reports.judge_page import render_judge
from auditkit.reports.leaderboard import (
    Row,
    ends_of,
    headline,
    leaderboard_csv,
    leaderboard_json,
    leaderboard_parquet,
    places_of,
    rows_csv,
)
from auditkit.reports.pages import BOARD, JUDGE, LINKS, METHOD, SiteMap, page, pair_key
from auditkit.reports.report import Report, to_json
from auditkit.reports.sliced import Slices
from auditkit.reports.wording import control_label

__all__ = ["MANIFEST", "SCHEMA", "manifest_text", "read_manifest", "site_files", "slice_rows"]

MANIFEST: Final = "site.json"
SCHEMA: Final = "auditkit.site/1"
_BOARD_FILES: Final = (("board.csv", "CSV"), ("board.parquet", "Parquet"), ("board.json", "JSON"))
_SLICES: Final = "slices.csv"
_REPORT: Final = "report.json"


def slice_rows(slices: Slices) -> list[Row]:
    """Return the board on every slice as flat rows, one a slice and submission; None: not measured there."""
    rows: list[Row] = []
    for board in slices.boards:
        for row in board.rows:
            line: Row = {
                "kind": board.kind, "value": board.value, "prompts": board.prompts, "model": row.model,
            }  # fmt: skip
            for name, score, rank in (("raw", row.raw, row.raw_rank), ("controlled", row.held, row.held_rank)):
                line |= {
                    f"{name}_control": score.control if score else None,
                    name: score.estimate if score else None,
                    **ends_of(name, score),
                    f"{name}_n": score.n if score else None,
                    **places_of(name, rank),
                }
            rows.append(line)
    return rows


def _methods(report: Report) -> list[tuple[str, str]]:
    """Return how each score was computed, in the words of the first submission that has it."""
    found: dict[str, str] = {}
    for submission in report.submissions:
        for score in submission.scores:
            if score.method:
                found.setdefault(score.control, score.method)
    return [(control_label(control), method) for control, method in found.items()]


def site_files(
    report: Report, slices: Slices, comparisons: Sequence[Comparison] = (), judges: Sequence[Comparison] = ()
) -> dict[str, bytes]:
    """Return the files of a site: leaderboard, a page a submission, comparisons, judge, method, and the data.

    The same arguments give the same bytes. All links are relative.

    Args:
        report: The report of all submissions.
        slices: The board by category and language.
        comparisons: Pairs of submissions that get a page.
        judges: Pairs of judges that get a page.
    """
    files = _BOARD_FILES + (((_SLICES, "CSV by category and language"),) if slices.boards else ())
    files += ((_REPORT, "the whole report (JSON)"),)
    pairs, benches = (tuple((c.a, c.b) for c in group) for group in (comparisons, judges))
    site = SiteMap.of(report, pairs, benches, files)
    raw, held = headline(report)
    by = held or raw
    texts: dict[str, str] = {
        BOARD: render_board(report, slices, comparisons, site),
        JUDGE: render_judge(report, judges, site),
        METHOD: page("site_method.html.j2", report=report, links=LINKS, methods=_methods(report)),
        _REPORT: to_json(report),
        "board.csv": leaderboard_csv(report, by=by),
        "board.json": leaderboard_json(report, by=by),
    }
    if slices.boards:
        texts[_SLICES] = rows_csv(slice_rows(slices))
    for index, submission in enumerate(report.submissions):
        texts[site.submissions[submission.model]] = render(report, only=index, links=LINKS)
    for c in comparisons:
        hrefs = (site.submissions.get(c.a, ""), site.submissions.get(c.b, ""))
        texts[site.comparisons[pair_key(c.a, c.b)]] = render_comparison(c, links=LINKS, hrefs=hrefs)
    for c in judges:
        texts[site.judges[pair_key(c.a, c.b)]] = render_comparison(c, links=LINKS)
    found = {name: text.encode("utf-8") for name, text in texts.items()}
    found["board.parquet"] = leaderboard_parquet(report, by=by)
    return dict(sorted(found.items()))


def manifest_text(hashes: Mapping[str, str]) -> str:
    """Return the manifest of a site: SHA-256 by file name. A later run may replace or remove these, and nothing else."""
    return json.dumps({"schema": SCHEMA, "files": dict(sorted(hashes.items()))}, indent=2) + "\n"


def read_manifest(text: str) -> dict[str, str]:
    """Return the file names and hashes of a manifest.

    Raises:
        InputError: It is not one of ours.
    """
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    files = data.get("files") if isinstance(data, dict) and data.get("schema") == SCHEMA else None
    if not isinstance(files, dict) or not all(isinstance(v, str) for v in files.values()):
        raise InputError("not the manifest of a site", mend="choose another folder for --site")
    return {str(name): value for name, value in files.items()}
