"""The leaderboard of a report: which scores stand side by side, its order, and its rows for CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Final

from auditkit.records import Score, Severity
from auditkit.reports.cells import cell
from auditkit.reports.report import Rank, Report, SubmissionReport, plain

__all__ = [
    "Row",
    "ends_of",
    "flags_of",
    "headline",
    "leaderboard_csv",
    "leaderboard_json",
    "leaderboard_parquet",
    "leaderboard_rows",
    "ordered",
    "places_of",
    "ranked_controls",
    "rows_csv",
    "score_of",
]

Row = dict[str, str | int | float | None]

#: Scores that are shown as they were judged, then those that hold something fixed; the first one found is taken.
_AS_JUDGED: Final = ("raw", "arena_hard", "mt_bench", "wildbench_score", "wildbench_k_mixture_K=-1")
_CONTROLLED: Final = (
    "length_controlled", "arena_hard_style", "style_controlled", "joint", "chatbot_arena_style", "position_balanced",
    "length_matched", "wildbench_k_mixture_K=500", "wildbench_k_mixture_K=1000", "wildbench_k_mixture_K=1500",
)  # fmt: skip
_MOST_COLUMNS: Final = 4


def score_of(submission: SubmissionReport, control: str) -> Score | None:
    """Return the submission's score under `control`, or None."""
    return next((s for s in submission.scores if s.control == control), None)


def _defined(report: Report) -> Mapping[str, int]:
    """Count, by control, the submissions that have an estimate."""
    counts: dict[str, int] = {}
    for submission in report.submissions:
        for control in dict.fromkeys(s.control for s in submission.scores if s.estimate is not None):
            counts[control] = counts.get(control, 0) + 1
    return counts


def headline(report: Report) -> tuple[str, str]:
    """Return the control that stands for the raw score and the one that stands for the controlled score.

    Either is "" where no submission has such a score.
    """
    counts = _defined(report)
    raw = next((c for c in _AS_JUDGED if c in counts), next(iter(counts), ""))
    held = [c for c in _CONTROLLED if c in counts and c != raw]
    return raw, max(held, key=lambda c: counts[c], default="")


def ranked_controls(report: Report) -> tuple[str, ...]:
    """Return the controls under which submissions have a place: raw first, then the best known, at most four.

    Variants (``arena_hard_published`` beside ``arena_hard``) rank alike and are left out.
    """
    raw, held = headline(report)
    known = {c for s in report.submissions for c in s.ranks}
    others = sorted(c for c in known if not any(c.startswith(f"{other}_") for other in known))
    order = dict.fromkeys((raw, held, *_CONTROLLED, *others))
    return tuple(c for c in order if c in known)[:_MOST_COLUMNS]


def ordered(report: Report, by: str) -> list[tuple[int, SubmissionReport]]:
    """Return the submissions with their index in the report, best under `by` first, rejected ones after all others."""

    def key(item: tuple[int, SubmissionReport]) -> tuple[bool, float, float, str]:
        submission = item[1]
        rank, score = submission.ranks.get(by), score_of(submission, by)
        estimate = score.estimate if score is not None else None
        return (
            submission.verdict == "rejected",
            rank.rank if rank else float("inf"),
            -estimate if estimate is not None else float("inf"),
            submission.model,
        )

    return sorted(enumerate(report.submissions), key=key)


def flags_of(submission: SubmissionReport) -> tuple[tuple[Severity, tuple[str, ...]], ...]:
    """Return the detectors that flagged something, by severity, gravest first."""
    severities: tuple[Severity, ...] = ("reject", "review", "info")
    named = (
        (sev, tuple(d.detector for d in submission.detectors if d.flag and d.severity == sev)) for sev in severities
    )
    return tuple((severity, names) for severity, names in named if names)


def ends_of(name: str, score: Score | None) -> Row:
    """Return the columns of a score's interval."""
    lo, hi = (None, None) if score is None or score.ci is None else score.ci
    return {f"{name}_lo": lo, f"{name}_hi": hi}


def places_of(name: str, rank: Rank | None) -> Row:
    """Return the columns of a rank and its interval."""
    whole, lo, hi = (None, None, None) if rank is None else (rank.rank, rank.lo, rank.hi)
    return {f"{name}_rank": whole, f"{name}_rank_lo": lo, f"{name}_rank_hi": hi}


def leaderboard_rows(report: Report, *, by: str = "raw") -> list[Row]:
    """Return one flat row a submission, best first: verdict, grade, and score, interval and rank of every control.

    Args:
        report: The report.
        by: The control that orders the rows.
    """
    controls = tuple(dict.fromkeys(s.control for sub in report.submissions for s in sub.scores))
    rows = []
    for _, submission in ordered(report, by):
        row: Row = {
            "model": submission.model,
            "verdict": submission.verdict,
            "grade": submission.gameability.grade,
            "n": submission.n,
            "coverage": submission.quality.coverage,
            "detectors": " ".join(f"{severity}:{name}" for severity, names in flags_of(submission) for name in names),
            "calls": submission.cost.calls,
            "usd": submission.cost.usd,
        }
        for control in controls:
            score = score_of(submission, control)
            row |= {control: score.estimate if score else None, **ends_of(control, score)}
            row |= {
                f"{control}_overlap": score.overlap if score else None,
                **places_of(control, submission.ranks.get(control)),
            }
        rows.append(row)
    return rows


def rows_csv(rows: Sequence[Mapping[str, str | int | float | None]]) -> str:
    """Return rows as CSV with a header. Cells that a spreadsheet would run are neutralised."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if rows:
        writer.writerow([cell(column) for column in rows[0]])
        writer.writerows([cell(value) for value in row.values()] for row in rows)
    return out.getvalue()


def leaderboard_csv(report: Report, *, by: str = "raw") -> str:
    """Return `leaderboard_rows` as CSV with a header. Cells that a spreadsheet would run are neutralised."""
    return rows_csv(leaderboard_rows(report, by=by))


def leaderboard_json(report: Report, *, by: str = "raw") -> str:
    """Return `leaderboard_rows` as a JSON list."""
    return json.dumps(plain(leaderboard_rows(report, by=by), "board"), indent=2, allow_nan=False) + "\n"


def leaderboard_parquet(report: Report, *, by: str = "raw") -> bytes:
    """Return `leaderboard_rows` as a Parquet file: one type a column, names as they are (Parquet runs nothing)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = plain(leaderboard_rows(report, by=by), "board")
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    typed = {}
    for name, values in columns.items():
        found = {type(value) for value in values if value is not None}
        kind = float if found == {int, float} or not found else next(iter(found))
        typed[name] = pa.array(values, kinds[kind])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(typed), sink)
    return bytes(sink.getvalue().to_pybytes())
