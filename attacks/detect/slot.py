"""Win rates that depend on where the answer was shown.

A gap between the two places is the judge's doing: every AlpacaEval model has one. It says something of a
submission only if it is out of line with the other submissions, or if the answers are all the same, so that
nothing else can make the difference. For review at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from auditkit.attacks.detect.answers import DEFAULTS, answers_of, constant_share, unmeasured
from auditkit.attacks.detect.run import compared_by
from auditkit.records import Detection, Evidence, Settings, Submission

__all__ = ["SLOT_Z", "slot_asymmetry"]

#: Standard errors (specification D-slot): of the gap itself, and of its excess over the cohort.
SLOT_Z: Final = 4.0
_MINIMUM: Final = 30
_COHORT: Final = 5
_CONSTANT: Final = 0.5


@dataclass(frozen=True)
class _Gap:
    """Win rates by place, 0..1, with the standard error of their difference."""

    first: float
    second: float
    se: float
    n_first: int
    n_second: int

    @property
    def points(self) -> float:
        return 100 * (self.second - self.first)

    @property
    def z(self) -> float:
        if self.se > 0:
            return (self.second - self.first) / self.se
        return 0.0 if self.first == self.second else float(np.copysign(np.inf, self.second - self.first))

    @property
    def log_odds(self) -> tuple[float, float]:
        """The gap in log-odds (points shrink near 0 and 100 for the same bias), and its standard error."""
        low, high = 0.5 / (self.n_first + 1), 0.5 / (self.n_second + 1)
        first, second = np.clip(self.first, low, 1 - low), np.clip(self.second, high, 1 - high)
        slope = max(1 / (first * (1 - first)), 1 / (second * (1 - second)))
        return float(np.log(second / (1 - second)) - np.log(first / (1 - first))), float(slope * self.se)


def _gap(submission: Submission) -> _Gap | None:
    games = submission.games
    order = games["order"].to_numpy()
    outcome = games["outcome"].to_numpy(dtype=np.float64)
    known = ~np.isnan(outcome) & ((order == "model_first") | (order == "model_second"))
    if not known.any():
        return None
    codes, prompts = games["prompt_id"][known].factorize()
    cell = 2 * codes + (order[known] == "model_second")
    count = np.bincount(cell, minlength=2 * len(prompts))
    with np.errstate(invalid="ignore"):
        mean = (np.bincount(cell, outcome[known], minlength=2 * len(prompts)) / count).reshape(-1, 2)
    both = ~np.isnan(mean).any(axis=1)
    paired = bool(both.mean() >= 0.5)
    if paired:
        mean = mean[both]
    first, second = (column[~np.isnan(column)] for column in mean.T)
    if min(len(first), len(second)) < _MINIMUM:
        return None
    if paired:
        variance = (second - first).var(ddof=1) / len(first)
    else:
        variance = first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)
    return _Gap(float(first.mean()), float(second.mean()), float(np.sqrt(variance)), len(first), len(second))


def _text(gap: _Gap) -> str:
    return (
        f"second {100 * gap.second:.1f}, first {100 * gap.first:.1f}: gap {gap.points:.1f} points, "
        f"z {abs(gap.z):.1f} (n {gap.n_second}/{gap.n_first})"
    )


def _cohort(submissions: Sequence[Submission], detections: Sequence[Detection]) -> list[Detection]:
    gaps = [_gap(s) for s in submissions]
    signed = np.array([np.nan if gap is None else gap.log_odds[0] for gap in gaps])
    result = []
    for i, (gap, own) in enumerate(zip(gaps, detections, strict=True)):
        rest = np.delete(signed, i)
        rest = rest[~np.isnan(rest)]
        if gap is None or own.flag or len(rest) < _COHORT:
            result.append(own)
            continue
        usual = float(np.median(rest))
        spread = 1.4826 * float(np.median(np.abs(rest - usual)))
        value, se = gap.log_odds
        z = abs(value - usual) / max(float(np.hypot(se, spread)), 1e-9)
        result.append(
            replace(
                own,
                flag=abs(gap.z) > SLOT_Z and z > SLOT_Z,
                severity="review",
                note=f"in log-odds {value:+.2f}, cohort median {usual:+.2f}: {z:.1f} standard errors apart",
            )
        )
    return result


@compared_by(_cohort)
def slot_asymmetry(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Measure how far the win rates in the two places are apart.

    The statistic is the size of the gap, in win-rate points: paired within prompts where both orders were judged,
    else between the prompts shown first and second. It is flagged, for review, if it is more than 4 standard errors
    and either more than 4 standard errors from the cohort's usual gap (in log-odds, five other submissions at
    least), or the answers are all the same, so that only the place differs. Otherwise, and with fewer other
    submissions, the gap is the judge's own as far as anyone can tell.

    Source: specification D-slot; AlpacaEval's slot is a function of the instruction.
    """
    gap = _gap(submission)
    if gap is None:
        why = f"fewer than {_MINIMUM} prompts were judged with the answer in each place, or the place is not recorded"
        return unmeasured("slot_asymmetry", why)
    answers = answers_of(submission)
    constant = len(answers) >= _MINIMUM and constant_share(answers) >= _CONSTANT
    return Detection(
        "slot_asymmetry",
        flag=True if constant and abs(gap.z) > SLOT_Z else None,
        severity="review" if constant else "info",
        statistic=abs(gap.points),
        threshold=SLOT_Z * 100 * gap.se,
        n=gap.n_first + gap.n_second,
        evidence=(Evidence("", _text(gap)),),
        note="most answers are the same text: only the place differs"
        if constant
        else f"not measured: fewer than {_COHORT} other submissions show what gap is usual for this judge",
    )
