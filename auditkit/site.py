"""The site job: a recording and its report in, the files of a static site out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

from auditkit import policy as verdicts
from auditkit.audit import Progress, audit_battles, recording
from auditkit.compare import compare_submissions
from auditkit.errors import Undefined
from auditkit.judge_pairs import compare_judges
from auditkit.records import Battles, Settings
from auditkit.reports.leaderboard import flags_of, headline, ordered
from auditkit.reports.report import Report
from auditkit.reports.site import site_files
from auditkit.slices import sliced_board

__all__ = ["audit_site", "pairs_of", "site"]

#: Up to this many submissions every pair has a page; above, neighbours in rank do.
_ALL_PAIRS: Final = 5
_MOST_PAIRS: Final = 60
_MOST_JUDGES: Final = 4


def _quiet(stage: str, done: int, total: int) -> None:
    pass


def audit_site(
    *paths: Path | str,
    format: str | None = None,  # noqa: A002  the field's word, and the option's name
    settings: Settings | None = None,
    policy: Path | str | None = None,
    keep_going: bool = False,
    command: str = "",
    progress: Progress = _quiet,
) -> tuple[Report, dict[str, bytes]]:
    """Audit recordings as `auditkit.audit` does and return the report with the files of its site. Arguments as there."""
    settings = settings or Settings()
    rules = verdicts.load_policy(policy)
    battles = recording(*paths, format=format, keep_going=keep_going, progress=progress)
    report = audit_battles(battles, settings=settings, policy=rules, command=command, progress=progress)
    return report, site(battles, report, settings, progress=progress)


def site(
    battles: Battles, report: Report, settings: Settings | None = None, *, progress: Progress = _quiet
) -> dict[str, bytes]:
    """Return the files of the site of `report`, by name.

    Args:
        battles: The recording that `report` audits.
        report: The report.
        settings: Level, replicates, seed, calibration: those of the audit.
        progress: Told of every finished step.

    Returns:
        Pages and data; the same arguments give the same bytes.
    """
    settings = settings or Settings()
    slices = sliced_board(battles, report, settings, progress)
    scores = tuple(s for submission in report.submissions for s in submission.scores)
    flagged = {s.model: dict(flags_of(s)).get("reject", ()) for s in report.submissions}
    comparisons, judges = [], []
    wanted = pairs_of(report)
    for step, (a, b) in enumerate(wanted):
        progress("comparisons", step, len(wanted))
        try:
            comparisons.append(compare_submissions(battles, a, b, settings, scores=scores, flagged=flagged))
        except Undefined:
            continue  # without a shared prompt there is no pair to show
    progress("comparisons", len(wanted), len(wanted))
    names = sorted(set(battles.games["judge"]) - {""})[:_MOST_JUDGES]
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            try:
                judges.append(compare_judges(battles, a, b, settings))
            except Undefined:
                continue  # they judged different games: nothing pairs them
    return site_files(report, slices, comparisons, judges)


def pairs_of(report: Report) -> tuple[tuple[str, str], ...]:
    """Return the pairs of submissions that get a page: all of a few, else neighbours in the raw and controlled order.

    Rejected submissions hold no rank and stand in no pair, unless all submissions are few.
    """
    models = [s.model for s in report.submissions]
    raw, held = headline(report)
    order = [s for _, s in ordered(report, held or raw)]
    if len(models) <= _ALL_PAIRS:
        names = [s.model for s in order]
        return tuple((a, b) for i, a in enumerate(names) for b in names[i + 1 :])
    found: dict[frozenset[str], tuple[str, str]] = {}
    for by in filter(None, (raw, held)):
        listed = [s.model for _, s in ordered(report, by) if s.verdict != "rejected" and by in s.ranks]
        for a, b in pairwise(listed):
            found.setdefault(frozenset((a, b)), (a, b))
    return tuple(found.values())[:_MOST_PAIRS]
