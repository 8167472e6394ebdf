"""What can be said of a claim before any judgment is read: units, arithmetic, the public baseline, settings, scope."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.claims.boards import Board, Facts, Row, find_row
from auditkit.claims.ledger import Claim
from auditkit.claims.results import Check
from auditkit.claims.verdicts import points
from auditkit.errors import printable
from auditkit.stats.claims import detectable_gain, difference_error, optimism_of_best, threshold_of_gain

__all__ = ["baseline_row", "before_data", "of_size", "unit_fault"]

_ROUNDING = 0.05 + 1e-9
_THREE_ROUNDINGS = 0.15 + 1e-9
#: What scores are, in words, for the unit check.
_UNITS = {
    "win_rate": "a win rate in percent",
    "length_controlled": "a length-controlled win rate",
    "style_controlled": "a style-controlled win rate",
    "score": "a rating",
    "reward": "a reward",
}


def unit_fault(claim: Claim, facts: Facts | None) -> str:
    """Return what is wrong with the claim's unit, "" if nothing is."""
    if facts is None or claim.metric == "win_or_tie":
        return ""
    if claim.metric not in facts.metrics:
        return (
            f"{claim.benchmark} reports {_UNITS[facts.metrics[0]]}; the claim is about {_UNITS[claim.metric]}: "
            "another quantity, whose spread is not known"
        )
    if claim.metric == facts.metrics[0]:
        for value in (claim.value, claim.baseline_value):
            if value is not None and not facts.limits[0] <= value <= facts.limits[1]:
                return (
                    f"{value:g} lies outside {facts.limits[0]:g} to {facts.limits[1]:g}, the range of {claim.benchmark}"
                )
    return ""


def baseline_row(claim: Claim, boards: Sequence[Board]) -> Row | None:
    """Return the public row to compare with: the baseline's, or that of the best component of a compound system."""
    names = claim.components or (claim.baseline,)
    rows = [row for name in names if (row := find_row(boards, claim.benchmark, claim.metric, name)) is not None]
    return max(rows, key=lambda row: row.score, default=None)


def before_data(
    claim: Claim, facts: Facts | None, boards: Sequence[Board], others: Sequence[Claim], level: float
) -> list[Check]:
    """Return every check that needs no judgments. `others` are the ledger's claims, for the scope."""
    found: list[Check] = []
    if fault := unit_fault(claim, facts):
        found.append(Check("unit", "flag", fault))
    if claim.metric == "win_or_tie":
        text = "wins and ties are counted together: two equal models both get over 50; ask for win + tie/2"
        found.append(Check("ties", "flag", text))
    if claim.value is not None and claim.baseline_value is not None and claim.gain is not None:
        made = claim.value - claim.baseline_value
        if abs(made - claim.gain) > _THREE_ROUNDINGS:
            text = f"{claim.value:g} - {claim.baseline_value:g} = {points(made)}, not {points(claim.gain)}"
            found.append(Check("arithmetic", "flag", text))
    found += _baseline(claim, facts, boards, level)
    found += _settings(claim, facts, level)
    if claim.components and (row := baseline_row(claim, boards)) is not None:
        text = f"compared with its own best component, {printable(row.model, 60)} at {row.score:g}"
        found.append(Check("best_component", "flag", text))
    found += _scope(claim, boards, others)
    return found


def _baseline(claim: Claim, facts: Facts | None, boards: Sequence[Board], level: float) -> list[Check]:
    row = find_row(boards, claim.benchmark, claim.metric, claim.baseline)
    if claim.baseline_value is None or row is None:
        return []
    se = row.error(facts, claim.metric)
    off = row.score - claim.baseline_value
    seen = f"the claim has its baseline at {claim.baseline_value:g}, the public row at {row.score:g}"
    if se is None:
        return [Check("baseline", "flag" if abs(off) > _ROUNDING else "pass", seen)]
    allowed = threshold_of_gain(difference_error(se, facts.se if facts is not None else se), level)
    if abs(off) > allowed:
        return [Check("baseline", "flag", f"{seen}: {points(off)}, beyond the {allowed:.1f} that chance explains")]
    return [Check("baseline", "pass", f"{seen}: within chance")]


def _settings(claim: Claim, facts: Facts | None, level: float) -> list[Check]:
    if not claim.settings or claim.gain is None:
        return []
    best = max(claim.settings, key=lambda s: s.gain)
    each = ", ".join(f"{printable(s.name, 40)} {points(s.gain)}" for s in claim.settings)
    exact = abs(best.gain - claim.gain) <= _ROUNDING
    text = f"by setting: {each}"
    if not exact:
        text += f"; the largest is {points(best.gain)}, not {points(claim.gain)}"
    weak = False
    se = facts.gain_se() if facts is not None else None
    if se is not None:
        threshold = threshold_of_gain(se, level)
        below = sum(s.gain < threshold for s in claim.settings)
        weak = below > 0
        text += f"; {below} of {len(claim.settings)} below the threshold of {threshold:.1f}"
    return [Check("settings", "flag" if weak or not exact else "pass", text)]


def _scope(claim: Claim, boards: Sequence[Board], others: Sequence[Claim]) -> list[Check]:
    if claim.wording != "beats" or not claim.candidate:
        return []
    against = [
        f"on {other.benchmark} its claimed {other.value:g} is below the {row.score:g} of {printable(claim.baseline, 60)}"
        for other in others
        if other.benchmark != claim.benchmark
        and (other.paper, other.candidate) == (claim.paper, claim.candidate)
        and other.value is not None
        and (row := find_row(boards, other.benchmark, other.metric, claim.baseline)) is not None
        and other.value < row.score
    ]
    return (
        [Check("scope", "flag", f"the claim is about {claim.benchmark} only: {'; '.join(against)}")] if against else []
    )


def of_size(claim: Claim, gain: float, facts: Facts | None, se: float, level: float) -> list[Check]:
    """Return the checks of a figure at face value: the threshold, the best of several, and whether pairing could help.

    Args:
        claim: The claim.
        gain: The claimed gain.
        facts: Of its benchmark.
        se: Standard error of a gain without pairing.
        level: Two-sided level.
    """
    k = claim.best_of
    threshold, detectable = threshold_of_gain(se, level, k), detectable_gain(se, level)
    found: list[Check] = []
    if k > 1:
        found.append(Check("up_to", "flag", best_of_text(claim, se, level)))
    paired = facts.gain_se(paired=True) if facts is not None else None
    reach = threshold_of_gain(paired, level, k) if paired is not None else threshold
    if gain < threshold:
        text = f"{points(gain)} is below {threshold:.1f}, the smallest gain that two board rows can tell from 0"
        found.append(Check("threshold", "flag", text))
        if gain >= reach > 0 and reach < threshold:
            text = f"judgments paired by prompt can tell {reach:.1f} from 0: with them the claim could be decided"
            found.append(Check("pairing", "flag", text))
    if reach <= gain < detectable:
        text = f"{points(gain)} is near the threshold: a true gain is found with 80% power from {detectable:.1f} on"
        found.append(Check("near_threshold", "flag", text))
    return found


def best_of_text(claim: Claim, se: float, level: float) -> str:
    """Say what picking the best of several settings does."""
    k = claim.best_of
    stated = f"the best of {k} settings" if claim.k or claim.settings else f"the best of at least {k} settings"
    return (
        f"{stated}: noise alone adds {optimism_of_best(se, k):.1f} to the best, and the threshold rises from "
        f"{threshold_of_gain(se, level):.1f} to {threshold_of_gain(se, level, k):.1f}"
    )
