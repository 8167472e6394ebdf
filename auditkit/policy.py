"""Verdict rules: a policy file in, reasons and a verdict out.

A policy names rules, each with a threshold and an effect. The rules themselves are the functions here; a
policy can set their thresholds and effects or leave some out, and cannot add code.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, get_args

from auditkit.errors import InputError, printable
from auditkit.records import Detection, Gate, Position, Score
from auditkit.reports.report import NullFloor, Quality, Reason, Status, Verdict
from auditkit.reports.wording import control_label

__all__ = ["Case", "Policy", "Rule", "decide", "load_policy", "policy_text", "spread"]

Effect = Literal["reject", "withhold", "condition"]
_SCHEMA: Final = "auditkit.policy/1"
_POSITION_ALPHA: Final = 0.05


@dataclass(frozen=True)
class Rule:
    """One rule of a policy: what it allows, what its failure does, and why it is there."""

    name: str
    effect: Effect
    threshold: float
    why: str


@dataclass(frozen=True)
class Policy:
    """A validated policy. `sha256` is of the file's bytes, so that a report names exactly what decided."""

    name: str
    version: str
    rules: tuple[Rule, ...]
    sha256: str


@dataclass(frozen=True)
class Case:
    """What the rules look at for one submission.

    `gates` are only those whose failure touches this score; `n` counts prompts with a usable verdict and
    `recorded` whether there are games or ratings at all (not only counts).
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


@dataclass(frozen=True)
class _Outcome:
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


def _detectors(case: Case, severity: str, limit: float) -> _Outcome:
    measured = [d for d in case.detections if d.flag is not None]
    if not measured:
        return _Outcome(None, None, "no detector could be run: the recording holds no answers of this submission")
    hits = [d.detector.replace("_", " ") for d in measured if d.flag and d.severity == severity]
    does = "reject" if severity == "reject" else "ask for a review of"
    if len(hits) == 1:
        does = "rejects" if severity == "reject" else "asks for a review of"
    if len(hits) > limit:
        return _Outcome(False, len(hits), f"{_count(len(hits), 'detector')} {does} the submission: {_names(hits)}")
    none = "none rejects" if severity == "reject" else "none asks for a review of"
    return _Outcome(True, len(hits), f"{_count(len(measured), 'detector')} ran; {none} the submission")


def _detectors_reject(case: Case, limit: float) -> _Outcome:
    return _detectors(case, "reject", limit)


def _detectors_review(case: Case, limit: float) -> _Outcome:
    return _detectors(case, "review", limit)


def _games_recorded(case: Case, limit: float) -> _Outcome:
    if case.recorded:
        return _Outcome(True, case.n, f"the verdicts on {_count(case.n, 'prompt')} are recorded one by one")
    return _Outcome(False, 0, "only counts are recorded: no game, answer or rating can be looked at")


def _prompts(case: Case, limit: float) -> _Outcome:
    return _Outcome(
        case.n >= limit, case.n, f"{_count(case.n, 'prompt')} with a usable verdict; at least {limit:g} are needed"
    )


def _precision(case: Case, limit: float) -> _Outcome:
    score = _raw(case)
    if score is None or score.ci is None or score.unit not in ("win_rate", "accuracy"):
        return _Outcome(None, None, "no win rate with an interval")
    half = (score.ci[1] - score.ci[0]) / 2
    return _Outcome(
        half <= limit, half, f"the raw score's interval is ± {half:.1f} points wide; at most ± {limit:g} is allowed"
    )


def _coverage(case: Case, limit: float) -> _Outcome:
    share = case.quality.coverage
    if share is None:
        return _Outcome(None, None, "the benchmark's number of prompts is unknown")
    return _Outcome(share >= limit, share, f"{share:.1%} of the benchmark's prompts have a game of this submission")


def _gates(case: Case, limit: float) -> _Outcome:
    measured = [g for g in case.gates if g.status != "not_measured"]
    if not measured:
        return _Outcome(None, None, "no harness gate could be checked from a recording")
    failed = [g for g in measured if g.status == "fail"]
    if len(failed) > limit:
        detail = "; ".join(f"{g.gate}: {g.evidence}" for g in failed)
        return _Outcome(False, len(failed), f"{_count(len(failed), 'harness gate')} failed for this score: {detail}")
    return _Outcome(True, len(failed), f"{_count(len(measured), 'harness gate')} checked; none fails for this score")


def _missing(case: Case, limit: float) -> _Outcome:
    bounds = case.quality.bounds
    if bounds is None or bounds.all_lost is None or bounds.all_won is None:
        return _Outcome(None, None, "no win rate to bound")
    gap = bounds.all_won - bounds.all_lost
    count = case.quality.missing + case.quality.unparsed
    return _Outcome(
        gap <= limit, gap, f"{count} games are missing or unparsed; counting them all lost or all won moves the score by {gap:.1f} points"
    )  # fmt: skip


def _null_floor(case: Case, limit: float) -> _Outcome:
    floor, score = case.null_floor, _raw(case)
    if floor.estimate is None:
        return _Outcome(None, None, floor.note or "no constant answer was judged here")
    if score is None or score.estimate is None or score.unit != "win_rate":
        return _Outcome(None, None, "no win rate to compare with the null floor")
    gap = floor.estimate - score.estimate
    who = printable(floor.attack, 60)
    if gap > limit:
        return _Outcome(
            False, gap, f"a constant answer ({who}) scores {floor.estimate:.1f} on this benchmark, {gap:.1f} points above this submission: "
            "the benchmark's fault, not the submitter's",
        )  # fmt: skip
    return _Outcome(True, gap, f"the best constant answer ({who}) scores {floor.estimate:.1f}, below this submission")


def _controls(case: Case, limit: float) -> _Outcome:
    held = [s.control for s in case.scores if s.estimate is not None and (s.overlap is not None or s.unit == "reward")]
    if len(held) >= limit:
        return _Outcome(True, len(held), f"{_count(len(held), 'control')} of length or style could be computed")
    return _Outcome(False, len(held), "no score at equal length or style could be computed")


def _overlap(case: Case, limit: float) -> _Outcome:
    """Look at the control that holds length fixed: the published one where it exists, else the length-matched subset."""
    for control in ("length_controlled", "length_matched"):
        shares = [s.overlap for s in case.scores if s.control == control and s.overlap is not None]
        if shares:
            share = min(shares)
            text = f"{share:.1%} of the prompts have two answers of similar length"
            if share < limit:
                return _Outcome(False, share, f"only {text}: a score at equal length is an extrapolation")
            return _Outcome(True, share, text)
    return _Outcome(None, None, "no score at equal length was computed")


def _control_spread(case: Case, limit: float) -> _Outcome:
    value = spread(case.scores)
    if value is None:
        return _Outcome(None, None, "fewer than two controls give a win rate")
    held = [s for s in case.scores if s.estimate is not None and s.unit == "win_rate"]
    low, high = min(held, key=lambda s: s.estimate or 0.0), max(held, key=lambda s: s.estimate or 0.0)
    return _Outcome(
        value <= limit, value, f"controls differ by {value:.1f} points: {control_label(low.control)} {low.estimate:.1f}, "
        f"{control_label(high.control)} {high.estimate:.1f}"
    )  # fmt: skip


def _position(case: Case, limit: float) -> _Outcome:
    p = case.position
    if p.design == "not_measured" or p.effect_points is None:
        return _Outcome(None, None, p.note or "the order of the answers is not recorded")
    if p.design == "within_pair":
        return _Outcome(
            True, abs(p.effect_points), "every pair was judged in both orders, so the order cancels; "
            f"shown second scores {p.effect_points:+.1f} points against shown first",
        )  # fmt: skip
    clear = p.p_value is not None and p.p_value < _POSITION_ALPHA
    return _Outcome(
        not (clear and abs(p.effect_points) > limit), abs(p.effect_points),
        f"each pair was judged in one order; shown second scores {p.effect_points:+.1f} points against shown first",
    )  # fmt: skip


_RULES: Final[Mapping[str, Callable[[Case, float], _Outcome]]] = {
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
}


def policy_text(name: str = "standard") -> str:
    """Return the text of a built-in policy."""
    return files("auditkit").joinpath("policies", f"{name}.toml").read_text(encoding="utf-8")


def load_policy(path: Path | None = None) -> Policy:
    """Read and check a policy file; the built-in `standard` policy if `path` is None.

    Raises:
        InputError: Not TOML, another schema, an unknown rule or key, an effect or threshold of the wrong kind.
    """
    if path is None:
        data = policy_text().encode()
    else:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", path=path) from None
    try:
        tree = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a TOML policy: {error}", path=path or "standard") from None
    return _policy(tree, path or Path("standard"), hashlib.sha256(data).hexdigest())


def _policy(tree: dict[str, Any], path: Path, sha256: str) -> Policy:
    def wrong(problem: str, record: str, mend: str = "compare with `auditkit certify --show-policy`") -> InputError:
        return InputError(problem, path=path, record=record, mend=mend)

    if tree.get("schema") != _SCHEMA:
        raise wrong(f"expected {_SCHEMA!r}, got {tree.get('schema')!r}", "field 'schema'")
    for key in ("name", "version"):
        if not isinstance(tree.get(key), str):
            raise wrong("expected a text", f"field {key!r}")
    if extra := sorted(set(tree) - {"schema", "name", "version", "rules"}):
        raise wrong("unknown field", f"field {extra[0]!r}")
    table = tree.get("rules")
    if not isinstance(table, dict) or not table:
        raise wrong("expected a table of rules", "field 'rules'")
    rules = []
    for name, body in table.items():
        record = f"rule {name!r}"
        if name not in _RULES:
            raise wrong(f"no rule has this name; there are: {', '.join(_RULES)}", record)
        if not isinstance(body, dict) or set(body) != {"effect", "threshold", "why"}:
            raise wrong("expected exactly the fields effect, threshold and why", record)
        effect, threshold, why = body["effect"], body["threshold"], body["why"]
        if effect not in get_args(Effect):
            raise wrong(f"effect must be one of {', '.join(get_args(Effect))}, got {effect!r}", record)
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not abs(threshold) < 1e9:
            raise wrong(f"threshold must be a finite number, got {threshold!r}", record)
        if not isinstance(why, str):
            raise wrong("why must be a text", record)
        rules.append(Rule(name, effect, float(threshold), why))
    return Policy(tree["name"], tree["version"], tuple(rules), sha256)


_VERDICT_OF: Final[Mapping[Effect, Verdict]] = {
    "reject": "rejected",
    "withhold": "not_certifiable",
    "condition": "conditional",
}
_WORST_FIRST: Final[tuple[Verdict, ...]] = ("rejected", "not_certifiable", "conditional")


def decide(policy: Policy, case: Case) -> tuple[Verdict, tuple[Reason, ...]]:
    """Apply every rule of `policy` to `case`.

    Returns:
        The verdict (the worst effect among the failed rules; certified if none failed) and one reason a rule,
        failures first.
    """
    reasons: list[Reason] = []
    reached: set[Verdict] = set()
    for rule in policy.rules:
        outcome = _RULES[rule.name](case, rule.threshold)
        status: Status
        text = outcome.text
        if outcome.holds is None:
            status = "not_measured"
        elif outcome.holds:
            status = "pass"
        else:
            status = "warn" if rule.effect == "condition" else "fail"
            reached.add(_VERDICT_OF[rule.effect])
            text = f"{text}. {rule.why}"
        value = None if outcome.value is None else float(outcome.value)
        reasons.append(Reason(rule.name, status, value, rule.threshold, text))
    order = ("fail", "warn", "not_measured", "pass")
    reasons.sort(key=lambda r: order.index(r.status))
    verdict: Verdict = "certified"
    for worst in _WORST_FIRST:
        if worst in reached:
            verdict = worst
            break
    return verdict, tuple(reasons)
