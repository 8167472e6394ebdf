"""The card: one line for each thing that decides how far a score can be trusted, read from the top."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from auditkit.reports import wording as w
from auditkit.reports.leaderboard import headline, score_of
from auditkit.reports.report import COST_TO_TOP, Report, SubmissionReport

__all__ = ["Tile", "card", "overlap_threshold"]


@dataclass(frozen=True)
class Tile:
    """One line of the card. `value` is short, `text` says what it is and where it comes from."""

    label: str
    status: Literal["pass", "warn", "fail", "info", "not_measured"]
    value: str
    text: str


def _ruled(submission: SubmissionReport, *rules: str) -> Literal["pass", "warn", "fail", "info"]:
    """Return the worst that the policy's `rules` say, "info" where it has none of them or could not measure them."""
    found = {r.status for r in submission.reasons if r.rule in rules}
    if "fail" in found:
        return "fail"
    if "warn" in found:
        return "warn"
    return "pass" if "pass" in found else "info"


def _unmeasured(label: str, text: str) -> Tile:
    return Tile(label, "not_measured", "Not measured", text)


def overlap_threshold(submission: SubmissionReport) -> float | None:
    """Return the overlap below which the policy calls a control an extrapolation, None if it has no such rule."""
    return next((r.threshold for r in submission.reasons if r.rule == "overlap"), None)


def card(report: Report, submission: SubmissionReport) -> tuple[Tile, ...]:
    """Return the card of `submission`, in the order in which it is to be read."""
    return (
        _harness(report, submission),
        _null_floor(report, submission),
        _uplift(submission),
        _rank(report, submission),
        _rank_uplift(submission),
        _cost_to_top(submission),
        _detectors(submission),
        _length(submission),
        _position(submission),
        _spread(submission),
        _quality(report, submission),
    )


def _harness(report: Report, submission: SubmissionReport) -> Tile:
    measured = [g for g in report.harness if g.status != "not_measured"]
    failed = [g.gate for g in measured if g.status == "fail"]
    if not measured:
        return _unmeasured("Harness gates", "A recording alone does not show whether the harness can be broken.")
    open_gates = len(report.harness) - len(measured)
    rest = f" {open_gates} not measured." if open_gates else ""
    if failed:
        untouched = _ruled(submission, "gates") == "pass"
        names = w.name(", ".join(failed), 80) + (": not for this score." if untouched else ".")
        value = f"{len(failed)} of {len(measured)} fail"
        return Tile("Harness gates", "info" if untouched else "fail", value, f"{names}{rest}")
    return Tile("Harness gates", "pass", f"{len(measured)} of {len(measured)} hold", rest.strip())


def _null_floor(report: Report, submission: SubmissionReport) -> Tile:
    floor = submission.null_floor
    if floor.estimate is None:
        return _unmeasured("Null floor", floor.note or "No constant answer was judged.")
    score = score_of(submission, headline(report)[0])
    above = score is not None and score.estimate is not None and floor.estimate > score.estimate
    source = f"Best constant answer: {w.name(floor.attack)}." if floor.attack else "Best constant answer."
    text = f"{source} {w.interval(floor.ci)}{', n ' + w.amount(floor.n) if floor.n else ''}."
    if floor.note:
        return Tile("Null floor", "info", f"{w.number(floor.estimate)}%", f"{w.sentence(floor.note, 200)} {text}")
    return Tile("Null floor", "warn" if above else "info", f"{w.number(floor.estimate)}%", text)


def _uplift(submission: SubmissionReport) -> Tile:
    found = submission.gameability
    if found.points is None:
        decided = "No attack was run against this judge." if not submission.attacks else ""
        return _unmeasured("Gameable by", decided or "No attack was measured whose gain is known to be unearned.")
    within = found.grade == "within" and found.ceiling is not None
    shown = f"≤ {w.number(max(found.ceiling or 0.0, 0.0))}" if within else f"≥ {w.number(found.points)}"
    means = f"{w.sentence(found.attack, 80)} " if found.attack else ""
    suite = f"Suite: {w.name(found.suite)}." if found.suite else ""
    status: Literal["warn", "info"] = "info" if within else "warn"
    return Tile(
        "Gameable by",
        status,
        f"{shown} points",
        f"{means}{w.interval(found.ci)} {suite}".strip(),
    )


def _rank(report: Report, submission: SubmissionReport) -> Tile:
    raw, held = headline(report)
    first, second = submission.ranks.get(raw), submission.ranks.get(held)
    if first is None and second is None:
        reason = "Not ranked among the others." if len(report.submissions) > 1 else "One submission was audited."
        return _unmeasured("Rank", reason)
    parts = [
        f"{w.control_label(control)}: {r.rank}, between {r.lo} and {r.hi}"
        for control, r in ((raw, first), (held, second)) if r is not None
    ]  # fmt: skip
    shown = " → ".join(str(r.rank) for r in (first, second) if r is not None)
    return Tile("Rank", "info", shown, f"{'; '.join(parts)}; of {len(report.submissions)}.")


def _rank_uplift(submission: SubmissionReport) -> Tile:
    places = submission.gameability.rank_uplift
    if places is None:
        return _unmeasured("Rank uplift", "Ranks that the best attack gains.")
    text = f"Gained by the best attack{_carried(submission)}."
    return Tile("Rank uplift", "warn" if places > 0 else "info", f"{w.signed(places, 0)} ranks", text)


def _cost_to_top(submission: SubmissionReport) -> Tile:
    found = submission.gameability
    text = f"Judge calls that an adversary needs to come first{_carried(submission)}."
    if found.cost_to_top is None:
        mark = f"{COST_TO_TOP}: "
        why = next((reason.removeprefix(mark) for reason in found.not_measured if reason.startswith(mark)), "")
        return _unmeasured("Cost to the top", f"{text} {w.sentence(why, 200)}" if why else text)
    return Tile("Cost to the top", "warn", f"{w.amount(found.cost_to_top)} calls", text)


def _carried(submission: SubmissionReport) -> str:
    carrier = submission.gameability.carrier
    return f" with the answers of {w.name(carrier, 60)}" if carrier else ""


def _detectors(submission: SubmissionReport) -> Tile:
    ran = [d for d in submission.detectors if d.flag is not None]
    if not ran:
        return _unmeasured("Detectors", "The recording holds no answers of this submission.")
    flags = {kind: sum(1 for d in ran if d.flag and d.severity == kind) for kind in ("reject", "review", "info")}
    status: Literal["fail", "warn", "pass"] = "fail" if flags["reject"] else "warn" if flags["review"] else "pass"
    raised = ", ".join(f"{n} {kind}" for kind, n in flags.items() if n)
    total = sum(flags.values())
    value = f"{total} of {len(ran)} flag" if total else f"None of {len(ran)} flag"
    return Tile("Detectors", status, value, f"By severity: {raised}." if raised else "Nothing found in the answers.")


def _length(submission: SubmissionReport) -> Tile:
    part = next((p for p in submission.decomposition if p.part == "length"), None)
    length = submission.length
    texts = []
    if length.mean_chars is not None:
        texts.append(f"Answers of {w.amount(round(length.mean_chars))} characters on average")
    if length.baseline_mean_chars is not None:
        texts.append(f"baseline {w.amount(round(length.baseline_mean_chars))}")
    told = ", ".join(texts) + "." if texts else length.note
    if part is None or part.points is None:
        return _unmeasured("Length", told or "Points that come with length.")
    return Tile("Length", "info", f"{w.signed(part.points)} points", f"{told} {w.interval(part.ci)}".strip())


def _position(submission: SubmissionReport) -> Tile:
    position = submission.position
    if position.effect_points is None:
        return _unmeasured("Position", position.note or f"{w.POSITION_DESIGNS[position.design].capitalize()}.")
    agree = (
        f" Same verdict in both orders: {w.share(position.consistency)}." if position.consistency is not None else ""
    )
    return Tile(
        "Position", _ruled(submission, "position"), f"{w.signed(position.effect_points)} points",
        f"Second against first, {w.interval(position.ci)}.{agree}" if position.ci else f"Second against first.{agree}",
    )  # fmt: skip


def _spread(submission: SubmissionReport) -> Tile:
    points = submission.gameability.control_spread
    if points is None:
        return _unmeasured("Controls agree", "Fewer than two controls give a win rate.")
    status = _ruled(submission, "control_spread")
    return Tile(
        "Controls agree", status, f"within {w.number(points)} points", "Between the lowest and the highest control."
    )


def _quality(report: Report, submission: SubmissionReport) -> Tile:
    q = submission.quality
    status = _ruled(submission, "coverage", "missing", "prompts")
    lost = f"{w.amount(q.missing)} missing, {w.amount(q.unparsed)} without a usable verdict, {w.amount(q.duplicates)} duplicate."
    if q.coverage is None:
        return Tile("Data quality", status, f"n {w.amount(submission.n)}", f"Coverage unknown; {lost}")
    of = f" of {w.amount(report.benchmark.expected)} prompts" if report.benchmark.expected else ""
    return Tile("Data quality", status, w.share(q.coverage), f"{w.amount(submission.n)}{of} usable; {lost}")
