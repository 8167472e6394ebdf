"""The rules that a policy may name: each looks at one thing about a submission and says what it found.

A policy sets thresholds and effects (`auditkit.policy`); it cannot add code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from auditkit.attacked import AttackResult
from auditkit.errors import printable
from auditkit.records import Detection, Gate, Position, Score
from auditkit.reports.report import NullFloor, Quality
from auditkit.reports.wording import control_label

__all__ = ["RULES", "Case", "Outcome", "spread"]

_POSITION_ALPHA: Final = 0.05


@dataclass(frozen=True)
class Case:
    """What the rules look at for one submission.

    `gates` are only those whose failure touches this score; `n` counts prompts with a usable verdict and
    `recorded` whether there are games or ratings at all (not only counts). `attacks` are those played on the
    benchmark, `judge_accuracy` what its judges got right on pairs with a known answer, in percent.
    """

    model: str
    n: int
    recorded: bool
    scores: Sequence[Score]
    quality: Quality
    position: Position
    detections: Sequence[Detection]
    gates: Sequence[Gate]
    null_floor: NullFloor
    attacks: Sequence[AttackResult] = ()
    judge_accuracy: Sequence[Score] = ()


@dataclass(frozen=True)
class Outcome:
    """What a rule measured. `holds` None: not measured."""

    holds: bool | None
    value: float | None
    text: str


def _raw(case: Case) -> Score | None:
    defined = [s for s in case.scores if s.estimate is not None]
    for wanted in ("raw", "mt_bench", "wildbench_score"):
        for score in defined:
            if score.control == wanted:
                return score
    return defined[0] if defined else None


def spread(scores: Sequence[Score]) -> float | None:
    """Return the points between the highest and the lowest win rate in percent, None with fewer than two of them."""
    values = [s.estimate for s in scores if s.estimate is not None and s.unit == "win_rate"]
    return max(values) - min(values) if len(values) > 1 else None


def _names(items: Sequence[str]) -> str:
    return ", ".join(items)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


#: What a flag means, for detectors whose statistic is a share of the answers.
_SHARES: Final[Mapping[str, str]] = {
    "exact_duplicates": "of the answers repeat another one word for word",
    "instruction_override": "of the answers tell the judge what to do",
    "placeholders": "of the answers hold a placeholder of a judge's template",
    "template_tokens": "of the answers hold marks of a judge's template",
}


def _said(detection: Detection) -> str:
    """Return a detector's name, and in brackets what it found where that is a share."""
    name = detection.detector.replace("_", " ")
    what, share = _SHARES.get(detection.detector, ""), detection.statistic
    return f"{name} ({100 * share:.0f}% {what})" if what and share is not None and 0.005 <= share <= 1.0 else name


def _detectors(case: Case, severity: str, limit: float) -> Outcome:
    measured = [d for d in case.detections if d.flag is not None]
    if not measured:
        return Outcome(None, None, "no detector could be run: the recording holds no answers of this submission")
    hits = [_said(d) for d in measured if d.flag and d.severity == severity]
    does = "reject" if severity == "reject" else "ask for a review of"
    if len(hits) == 1:
        does = "rejects" if severity == "reject" else "asks for a review of"
    if len(hits) > limit:
        return Outcome(False, len(hits), f"{_count(len(hits), 'detector')} {does} the submission: {_names(hits)}")
    none = "none rejects" if severity == "reject" else "none asks for a review of"
    return Outcome(True, len(hits), f"{_count(len(measured), 'detector')} ran; {none} the submission")


def _detectors_reject(case: Case, limit: float) -> Outcome:
    return _detectors(case, "reject", limit)


def _detectors_review(case: Case, limit: float) -> Outcome:
    return _detectors(case, "review", limit)


def _games_recorded(case: Case, limit: float) -> Outcome:
    if case.recorded:
        return Outcome(True, case.n, f"the verdicts on {_count(case.n, 'prompt')} are recorded one by one")
    return Outcome(False, 0, "only counts are recorded: no game, answer or rating can be looked at")


def _prompts(case: Case, limit: float) -> Outcome:
    return Outcome(
        case.n >= limit, case.n, f"{_count(case.n, 'prompt')} with a usable verdict; at least {limit:g} are needed"
    )


def _precision(case: Case, limit: float) -> Outcome:
    score = _raw(case)
    if score is None or score.ci is None or score.unit not in ("win_rate", "accuracy"):
        return Outcome(None, None, "no win rate with an interval")
    half = (score.ci[1] - score.ci[0]) / 2
    return Outcome(
        half <= limit, half, f"the raw score's interval is ± {half:.1f} points wide; at most ± {limit:g} is allowed"
    )


def _coverage(case: Case, limit: float) -> Outcome:
    share = case.quality.coverage
    if share is None:
        return Outcome(None, None, "the benchmark's number of prompts is unknown")
    return Outcome(share >= limit, share, f"{share:.1%} of the benchmark's prompts have a game of this submission")


def _gates(case: Case, limit: float) -> Outcome:
    measured = [g for g in case.gates if g.status != "not_measured"]
    if not measured:
        return Outcome(None, None, "no harness gate could be checked from a recording")
    failed = [g for g in measured if g.status == "fail"]
    if len(failed) > limit:
        detail = "; ".join(f"{g.gate}: {g.evidence}" for g in failed)
        return Outcome(False, len(failed), f"{_count(len(failed), 'harness gate')} failed for this score: {detail}")
    return Outcome(True, len(failed), f"{_count(len(measured), 'harness gate')} checked; none fails for this score")


def _missing(case: Case, limit: float) -> Outcome:
    bounds = case.quality.bounds
    if bounds is None or bounds.all_lost is None or bounds.all_won is None:
        return Outcome(None, None, "no win rate to bound")
    gap = bounds.all_won - bounds.all_lost
    count = case.quality.missing + case.quality.unparsed
    return Outcome(
        gap <= limit, gap, f"{count} games are missing or unparsed; counting them all lost or all won moves the score by {gap:.1f} points"
    )  # fmt: skip


def _null_floor(case: Case, limit: float) -> Outcome:
    floor, score = case.null_floor, _raw(case)
    if floor.estimate is None:
        return Outcome(None, None, floor.note or "no constant answer was judged here")
    if score is None or score.estimate is None or score.unit != "win_rate":
        return Outcome(None, None, "no win rate to compare with the null floor")
    gap = floor.estimate - score.estimate
    who = printable(floor.attack, 60)
    if gap > limit:
        return Outcome(
            False, gap, f"a constant answer ({who}) scores {floor.estimate:.1f} on this benchmark, {gap:.1f} points above this submission: "
            "the benchmark's fault, not the submitter's",
        )  # fmt: skip
    return Outcome(True, gap, f"the best constant answer ({who}) scores {floor.estimate:.1f}, below this submission")


def _controls(case: Case, limit: float) -> Outcome:
    held = [s.control for s in case.scores if s.estimate is not None and (s.overlap is not None or s.unit == "reward")]
    if len(held) >= limit:
        return Outcome(True, len(held), f"{_count(len(held), 'control')} of length or style could be computed")
    return Outcome(False, len(held), "no score at equal length or style could be computed")


def _overlap(case: Case, limit: float) -> Outcome:
    """Look at the control that holds length fixed: the published one where it exists, else the length-matched subset."""
    for control in ("length_controlled", "length_matched"):
        shares = [s.overlap for s in case.scores if s.control == control and s.overlap is not None]
        if shares:
            share = min(shares)
            text = f"{share:.1%} of the prompts have two answers of similar length"
            if share < limit:
                return Outcome(False, share, f"only {text}: a score at equal length is an extrapolation")
            return Outcome(True, share, text)
    return Outcome(None, None, "no score at equal length was computed")


def _control_spread(case: Case, limit: float) -> Outcome:
    value = spread(case.scores)
    if value is None:
        return Outcome(None, None, "fewer than two controls give a win rate")
    held = [s for s in case.scores if s.estimate is not None and s.unit == "win_rate"]
    low, high = min(held, key=lambda s: s.estimate or 0.0), max(held, key=lambda s: s.estimate or 0.0)
    return Outcome(
        value <= limit, value, f"controls differ by {value:.1f} points: {control_label(low.control)} {low.estimate:.1f}, "
        f"{control_label(high.control)} {high.estimate:.1f}"
    )  # fmt: skip


def _position(case: Case, limit: float) -> Outcome:
    p = case.position
    if p.design == "not_measured" or p.effect_points is None:
        return Outcome(None, None, p.note or "the order of the answers is not recorded")
    if p.design == "within_pair":
        return Outcome(
            True, abs(p.effect_points), "every pair was judged in both orders, so the order cancels; "
            f"shown second scores {p.effect_points:+.1f} points against shown first",
        )  # fmt: skip
    clear = p.p_value is not None and p.p_value < _POSITION_ALPHA
    return Outcome(
        not (clear and abs(p.effect_points) > limit), abs(p.effect_points),
        f"each pair was judged in one order; shown second scores {p.effect_points:+.1f} points against shown first",
    )  # fmt: skip


def _judge(case: Case, limit: float) -> Outcome:
    """Ask whether every judge is right more often than `limit`, as far as its pairs with a known answer can tell."""
    measured = [s for s in case.judge_accuracy if s.estimate is not None and s.ci is not None]
    if not measured:
        return Outcome(None, None, "the judge was not put to pairs with a known answer")
    worst = min(measured, key=lambda s: s.ci[0] if s.ci else 0.0)
    lower = worst.ci[0] if worst.ci else 0.0
    found = f"on {_count(worst.n, 'pair')} with a known answer the judge {printable(worst.model, 60)} is right in {worst.estimate:.1f}%"
    return Outcome(lower > limit, lower, f"{found}, at least {lower:.1f}% for sure; more than {limit:g}% is needed")


def _attacks_played(case: Case, limit: float) -> Outcome:
    played = sum(a.uplift is not None and not a.control for a in case.attacks)
    if played >= limit:
        return Outcome(True, played, f"{_count(played, 'attack')} played on this benchmark's judge")
    return Outcome(
        False, played, f"{_count(played, 'attack')} played on this benchmark's judge; at least {limit:g} are needed"
    )


def _uplift(case: Case, limit: float) -> Outcome:
    """Look at the most points that an attack gained for sure: the largest lower bound, simultaneous over the suite."""
    measured = [a for a in case.attacks if a.lower_bound is not None and not a.control]
    if not measured:
        return Outcome(None, None, "no attack was played on this benchmark's judge")
    best = max(measured, key=lambda a: a.lower_bound or 0.0)
    gain = best.lower_bound or 0.0
    text = f"the attack {printable(best.attack, 60)} gains at least {gain:.1f} points without a better answer"
    if gain > limit:
        return Outcome(False, gain, f"{text}: the benchmark's fault, not the submitter's")
    return Outcome(True, gain, f"no attack of {len(measured)} is known to gain more than {max(gain, 0.0):.1f} points")


RULES: Final[Mapping[str, Callable[[Case, float], Outcome]]] = {
    "detectors_reject": _detectors_reject,
    "games_recorded": _games_recorded,
    "prompts": _prompts,
    "precision": _precision,
    "coverage": _coverage,
    "gates": _gates,
    "missing": _missing,
    "detectors_review": _detectors_review,
    "null_floor": _null_floor,
    "controls": _controls,
    "overlap": _overlap,
    "control_spread": _control_spread,
    "position": _position,
    "judge": _judge,
    "attacks_played": _attacks_played,
    "uplift": _uplift,
}
