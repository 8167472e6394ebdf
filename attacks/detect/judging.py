"""What a submission did to its own judging: verdicts that failed, prompts left out, rows given twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from auditkit.attacks.detect.answers import DEFAULTS, judged, quote, unmeasured
from auditkit.attacks.detect.run import compared_by
from auditkit.records import Detection, Evidence, Settings, Submission

__all__ = ["FAILURE_P", "FAILURE_SHARE", "MISSING_REVIEW", "coverage", "duplicate_rows", "parse_failures"]

#: Failed verdicts: at least 1%, and more than the other submissions have by Fisher's exact test (specification D-parse).
FAILURE_SHARE: Final = 0.01
FAILURE_P: Final = 0.001
#: Prompts left out, or rows given twice: one is information. With a standard deviation of 0.4 between prompts, the
#: best choice of 0.5% of them is worth 0.6 points (specification V-01).
MISSING_REVIEW: Final = 0.005
_MINIMUM: Final = 30


def _failures(submission: Submission) -> tuple[int, int]:
    outcome = submission.games["outcome"].to_numpy()
    return int(np.isnan(outcome).sum()), len(outcome)


def _cohort(submissions: Sequence[Submission], detections: Sequence[Detection]) -> list[Detection]:
    from scipy.stats import hypergeom

    counts = [_failures(s) for s in submissions]
    all_failed, all_games = (sum(column) for column in zip(*counts, strict=True))
    result = []
    for (failed, games), own in zip(counts, detections, strict=True):
        others = all_games - games
        if own.statistic is None or others < _MINIMUM:
            result.append(own)
            continue
        # Fisher's exact test, one-sided: so many of all failures among this submission's games, or more.
        p = float(hypergeom.sf(failed - 1, all_games, all_failed, games))
        usual = (all_failed - failed) / others
        result.append(
            replace(
                own,
                flag=own.statistic >= FAILURE_SHARE and p < FAILURE_P,
                severity="review",
                note=f"{failed} of {games} verdicts failed; {usual:.2%} among the other submissions, Fisher p {p:.2g}",
            )
        )
    return result


@compared_by(_cohort)
def parse_failures(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Measure how many verdicts failed, compared with the other submissions' share.

    A benchmark that drops failed verdicts pays for breaking the judge on hard prompts. The statistic is the share
    of games without a usable verdict; flagged, for review, from 0.01 on if Fisher's exact test against the other
    submissions' games gives p < 0.001.

    Source: specification D-parse, F-05.
    """
    failed, n = _failures(submission)
    if n < _MINIMUM:
        return unmeasured("parse_failures", f"{n} games, at least {_MINIMUM} are needed", n=n)
    return Detection(
        "parse_failures",
        None,
        "info",
        statistic=failed / n,
        threshold=FAILURE_SHARE,
        n=n,
        evidence=tuple(
            Evidence(str(row.prompt_id), quote("", str(row.label) or "no verdict").quote)
            for row in submission.games[submission.games["outcome"].isna()].head(3).itertuples()
        ),
        note=f"not measured: {failed} of {n} verdicts failed, and no other submissions show what is usual",
    )


def coverage(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Measure the share of the benchmark's prompts that the submission left out.

    A prompt counts as answered if a game, an answer or a dropped row of the submission names it. Any prompt left
    out is information; from 0.005 on it is for review: a score over chosen prompts is not the benchmark's score.

    Source: specification D-cov, V-01.
    """
    expected = submission.expected
    if expected <= 0:
        return unmeasured("coverage", "the benchmark's number of prompts is unknown")
    there = (
        set(submission.games["prompt_id"]) | set(submission.rows["prompt_id"]) | set(submission.dropped["prompt_id"])
    )
    there.discard("")
    if not there:
        return unmeasured("coverage", "neither games nor answers are recorded, only ratings or counts")
    missing = max(expected - len(there), 0)
    return judged(
        "coverage",
        missing / expected,
        n=expected,
        info=1 / expected,
        review=max(MISSING_REVIEW, 2 / expected),
        note=f"{missing} of {expected} prompts have no row" if missing else "",
    )


def duplicate_rows(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Measure how many rows the submission gave more than once: each repeats a prompt's weight.

    Counted are the reader's dropped duplicates, and games that agree in prompt, opponent, judge, order, variant and
    turn. The statistic is their share of all rows. Any is information, from 0.005 on for review.

    Source: specification D-cov, V-02.
    """
    dropped = submission.dropped
    named = dropped[dropped["reason"].str.contains("duplicate", case=False)]
    games = submission.games
    key = ["prompt_id", "opponent", "judge", "order", "variant", "turn"]
    # Rows in the same place that only a judge's temperature tells apart are repeated votes: the whole set is repeated.
    repeats = games.groupby(key, observed=True).size().to_numpy()
    usual = int(np.median(repeats)) if len(repeats) else 1
    extra = int(np.maximum(repeats - usual, 0).sum())
    n = len(games) + len(named)
    if not n:
        return unmeasured("duplicate_rows", "no rows are recorded")
    found = len(named) + extra
    return judged(
        "duplicate_rows",
        found / n,
        n=n,
        info=1 / n,
        review=max(MISSING_REVIEW, 2 / n),
        evidence=[
            Evidence(str(row.prompt_id), quote("", f"{row.where}: {row.reason}").quote)
            for row in named.head(3).itertuples()
        ],
        note=f"{len(named)} rows dropped by the reader, {extra} games repeated" if found else "",
    )
