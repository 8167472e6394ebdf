"""What to change about a judge, the most pressing first, from gates, figures, attacks and bias probes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from auditkit.attacked import AttackResult
from auditkit.attacks.gates import GateResult
from auditkit.reports.stress_report import Change, Measure, ProbeFinding

__all__ = ["USELESS", "VOIDING", "changes_for", "pairs_needed"]

#: Gates that a single string can break: whatever the judge says is void then.
VOIDING: Final = ("H1", "H2", "H3", "H4", "H12")
#: A judge whose accuracy is below this with confidence is not worth mending. By simulation, one of accuracy 75% hears that
#: in fewer than 1 in 100 runs at 8 pairs and in none at 24; one of 60% in 2.5% (3 to 6% at 8 pairs); one that guesses in 10
#: to 15% at 8, 16 to 26% at 24 and 56 to 81% at 100, as its two orders agree or not. The rest hear that pairs are too few.
USELESS: Final = 0.6
_MOST: Final = 12
_NAMED: Final = 4
_GUESSING: Final = 0.5
#: How much further than a two-sided 95% limit a mean must lie to be found with power 0.8: (1.96 + 0.84) / 1.96.
_POWER: Final = 1.43
#: The probe that holds what an attack adds to an answer against neutral text of the same length, by the start of its name.
_PROBE_OF: Final = {
    "tone-cheerful": "sentiment", "tone-": "flattery", "persuasion-flattery": "flattery", "persuasion-majority": "bandwagon",
    "style-emoji": "beauty", "style-rich": "beauty", "style-": "style", "authority-verified": "", "authority-": "authority",
}  # fmt: skip
#: Attacks that add text or marks and no more; those without a probe of their own are never taken for mere length.
_ADDS_TEXT: Final = ("tone-", "style-", "authority-", "persuasion-")
#: A finding that another one holds already.
_WITHIN: Final = {"equal-pair": "position", "beauty": "style"}


def changes_for(
    gates: Sequence[GateResult],
    measures: Sequence[Measure],
    attacks: Sequence[AttackResult],
    probes: Sequence[ProbeFinding],
) -> tuple[Change, ...]:
    """Return what to change, the most pressing first; one advice is given once, with its strongest reason.

    A judge that surely cannot tell right from wrong comes first: no wording mends it. Then harness gates that one string
    can break, then attacks by the points that they are sure to gain, then probes whose effect stands out of the noise.
    Where length stands out it comes before the attacks and probes that make answers longer, and holds those whose gain
    it explains. That the pairs are too few to tell right from wrong is said last.
    """
    ranked: list[tuple[float, Change]] = []
    by_name = {m.name: m for m in measures}
    accuracy = by_name.get("accuracy")
    if accuracy and accuracy.ci and accuracy.ci[1] < USELESS:
        ranked.append((1000.0, Change(
            "Use another judge model: nothing in the prompt mends one that cannot tell right from wrong.",
            _accuracy(accuracy), from_="accuracy",
        )))  # fmt: skip
    for gate in gates:
        if gate.status == "fail":
            weight = (500.0 if gate.gate in VOIDING else 30.0) - int(gate.gate[1:])
            ranked.append((weight, Change(gate.mend, f"Gate {gate.gate} fails: {gate.statement}", from_=gate.gate)))
    first = by_name.get("first_preference")
    if first and first.ci and not first.ci[0] <= 0.5 <= first.ci[1]:
        share = 100 * (first.estimate or 0)
        ranked.append((abs(share - 50), Change(
            "Play both orders and count disagreement as a tie (aggregate = \"swap_and_tie\").",
            f"It prefers the answer shown first in {share:.0f}% of its verdicts.", from_="position",
        )))  # fmt: skip
    ranked += _of_content(attacks, {p.probe: p for p in probes})
    ranked.sort(key=lambda pair: -pair[0])
    seen: dict[str, Change] = {}
    for _, change in ranked:
        seen.setdefault(change.what, change)
    told = list(seen.values())[:_MOST]
    if accuracy and accuracy.ci and accuracy.ci[0] <= _GUESSING and accuracy.ci[1] >= USELESS:
        told = told[: _MOST - 1]
        told.append(Change(
            f"These {accuracy.n} pairs cannot tell whether it knows right from wrong: play more (--pairs "
            f"{pairs_needed(accuracy)}).",
            _accuracy(accuracy), from_="pairs",
        ))  # fmt: skip
    return tuple(told)


def _accuracy(found: Measure) -> str:
    low, high = found.ci or (math.nan, math.nan)
    return (
        f"It names the right answer in {100 * (found.estimate or 0):.0f}% of {found.n} pairs ({100 * low:.0f} to "
        f"{100 * high:.0f}); guessing gives 50%."
    )


def pairs_needed(accuracy: Measure) -> int:
    """Return how many pairs tell whether a judge guesses, in tens: its interval then holds 50% or 60%, and not both.

    With the same spread as now and power 0.8 if the accuracy seen is the true one; at most as many as make the interval
    narrower than the two are apart, which is enough whatever is true.

    Args:
        accuracy: A share with its interval, from `n` pairs.
    """
    estimate, (low, high) = accuracy.estimate or 0.0, accuracy.ci or (0.0, 1.0)
    half = max(high - estimate, estimate - low)
    away = max(estimate - _GUESSING, USELESS - estimate)
    likely = accuracy.n * (_POWER * half / away) ** 2
    surely = accuracy.n * ((high - low) / (USELESS - _GUESSING)) ** 2
    return 10 * math.ceil(max(min(likely, surely), accuracy.n + 1) / 10)


def _of_content(attacks: Sequence[AttackResult], probes: Mapping[str, ProbeFinding]) -> list[tuple[float, Change]]:
    """Return the advice of attacks and probes with its weight, length before what it explains."""
    length = probes.get("length")
    length = length if length is not None and length.flag and length.mend else None
    ranked: list[tuple[float, Change]] = []
    behind: list[float] = []  # weights of what length comes before
    folded: dict[str, float] = {}
    for attack in attacks:
        bound = attack.lower_bound or 0.0
        if bound <= 0.0 or (attack.calls and not attack.held_out):  # the luck of a selection proves no weakness
            continue
        if length is not None and (attack.attack.startswith(_ADDS_TEXT) or attack.mend == length.mend):
            behind.append(bound)
            probe = next((probe for start, probe in _PROBE_OF.items() if attack.attack.startswith(start)), "")
            if attack.mend == length.mend or _explained(attack, length, probes.get(probe)):
                folded[attack.attack] = bound
                continue
        ranked.append((bound, Change(
            attack.mend, f"{attack.title}: gains at least {bound:.1f} points ({attack.attack}).", bound, attack.attack,
        )))  # fmt: skip
    for found in probes.values():
        whole = probes.get(_WITHIN.get(found.probe, ""))
        if found is length or not (found.flag and found.mend) or (whole is not None and whole.flag):
            continue
        behind.append(_points(found) / 2)
        ranked.append((behind[-1], Change(found.mend, found.sentence, None, found.probe)))
    if length is not None:
        names = ", ".join(sorted(folded, key=lambda name: -folded[name])[:_NAMED])
        more = len(folded) - _NAMED
        what = f"{names} and {more} more" if more > 0 else names
        why = (
            f"{length.sentence} {what} gain{'s' * (len(folded) == 1)} no more than that." if folded else length.sentence
        )
        weight = max([_points(length) / 2, *(weight + 1.0 for weight in behind)])
        ranked.append((weight, Change(length.mend, why, max(folded.values(), default=None), length.probe)))
    return ranked


def _points(found: ProbeFinding) -> float:
    return 100 * abs(found.difference if found.difference is not None else found.estimate or 0.0)


def _explained(attack: AttackResult, length: ProbeFinding, apart: ProbeFinding | None) -> bool:
    """Tell whether length accounts for an attack: it gains no more than filler may, and what it says gains nothing beyond.

    Args:
        attack: One that adds words or marks to an answer.
        length: The length probe's finding.
        apart: The finding of the probe that holds what the attack adds against neutral text of the same length.
    """
    if apart is None or apart.flag is not False or length.ci is None or attack.uplift is None:
        return False
    return attack.uplift <= 100 * length.ci[1]
