"""From numbers to a verdict on a claim, with a sentence that says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auditkit.claims.controlled import GATED
from auditkit.claims.ledger import Claim
from auditkit.claims.results import Estimate, Verdict
from auditkit.errors import printable
from auditkit.records import Interval
from auditkit.stats.claims import Equivalence, equivalence

__all__ = [
    "Decision",
    "beyond",
    "decide_comparable",
    "decide_gain",
    "decide_score",
    "interval",
    "label",
    "points",
    "span",
]

_PUBLISHED = "length_controlled_published"
_LABELS = {
    "raw": "the raw comparison",
    "length_controlled": "length control",
    _PUBLISHED: "the published length control",
    "style_controlled": "style control",
    "length_matched": "answers of about equal length",
    "swap_consistent": "verdicts that hold in both orders",
    GATED: "the detectors",
}
_SMALL = 2.0
_ROUNDING = 0.05 + 1e-9  # a figure given to one decimal


@dataclass(frozen=True)
class Decision:
    """A verdict, the control of ``vanishes_under`` ("" else), and the sentence."""

    verdict: Verdict
    sentence: str
    control: str = ""


def label(control: str) -> str:
    """Return a control's name for a sentence."""
    return _LABELS.get(control, control.replace("_", " "))


def points(value: float) -> str:
    """Return a gain with its sign, to one decimal; two for the small scale of ratings."""
    return f"{value:+.1f}" if abs(value) >= 0.95 or value == 0 else f"{value:+.2f}"


def span(estimate: Estimate) -> str:
    """Return an estimate with its interval, all with the same decimals."""
    if estimate.estimate is None:
        return "undefined"
    if estimate.ci is None:
        return points(estimate.estimate)
    return interval(estimate.estimate, estimate.ci)


def interval(estimate: float, ci: Interval) -> str:
    """Return an estimate with an interval, signed; two decimals where all three are small, as ratings are."""
    decimals = 2 if max(map(abs, (estimate, *ci))) < _SMALL else 1
    return f"{estimate:+.{decimals}f} [{ci[0]:+.{decimals}f}, {ci[1]:+.{decimals}f}]"


def decide_gain(claim: Claim, main: Estimate, others: Sequence[Estimate]) -> Decision:
    """Decide a claimed gain from the estimate in the claim's own metric and those under controls.

    A gain vanishes under a control if what is left cannot be told from 0 *and* the control took away more than chance
    would (the interval of the drop is above 0). Where only the first is so, the data cannot tell the gain from what
    the control holds fixed, unless the control looked at few prompts: that alone says nothing. A control that
    extrapolates, or a subset of less than a tenth of the prompts, takes no gain away: the sign of what an
    extrapolation leaves depends on the form of its regression. The first leaves the claim open, the second is said.
    """
    if main.estimate is None or main.ci is None:
        return Decision("cannot_check", f"The gain has no interval: {main.note or 'no error is known'}.")
    pair = _pair(claim)
    low, high = main.ci
    if main.extrapolated and main.control != _PUBLISHED and (high < 0 or low > 0):
        return Decision("not_separable", f"{pair}: {span(main)}, but only by extrapolation: {_why(main)}.")
    if high < 0:
        return Decision("contradicted", f"{pair}: {span(main)}: the baseline is the better one.")
    if low <= 0:
        return Decision("not_separable", f"{pair}: {span(main)}: this cannot be told from no difference.")
    gate = next((e for e in others if e.control == GATED), None)
    if gate is not None:
        text = f"{pair}: {span(main)}, but {gate.note}: none of it counts."
        return Decision("vanishes_under", text, GATED)
    lost = [e for e in others if e.ci is not None and e.ci[0] <= 0 and e.drop_ci is not None and e.drop_ci[0] > 0]
    for other in lost:
        if other.decides:
            under = f"under {label(other.control)} {span(other)}"
            turned = other.ci is not None and other.ci[1] < 0
            text = f"{pair}: {span(main)}" + (
                f"; it reverses: {under}." if turned else f", but {under}: the gain vanishes."
            )
            return Decision("vanishes_under", text + _disagreement(other, others), other.control)
    for other in others:
        absent = other.estimate is None and other.extrapolated
        if not other.subset and (absent or (other.ci is not None and other.ci[0] <= 0)):
            how = " " if absent else ", by extrapolation only "
            why = f"{how}({_why(other)})" if other.extrapolated else ""
            text = (
                f"{pair}: {span(main)}, and under {label(other.control)} {span(other)}{why}: the data cannot tell the "
                "gain from what that control holds fixed."
            )
            return Decision("not_separable", text + (_disagreement(other, others) if other.extrapolated else ""))
    if claim.gain is not None and claim.gain > high + _ROUNDING:
        text = f"{pair}: {span(main)}: better, but by less than the claimed {points(claim.gain)}."
        return Decision("contradicted", text)
    held = [
        label(e.control) + (" (by extrapolation)" if e.extrapolated else "")
        for e in others
        if e.ci is not None and e.ci[0] > 0
    ]
    text = f"{pair}: {span(main)}; it holds" + (f" under {_listed(held)}." if held else ".")
    for few in lost:
        text += f" With {label(few.control)} it is {span(few)}: {few.n} prompts, too few to decide."
    return Decision("certified", text)


def _why(estimate: Estimate) -> str:
    """Return why an estimate is an extrapolation: the first thing that its note says after the word."""
    return estimate.note.removeprefix("EXTRAPOLATION: ").split("; ")[0]


def _disagreement(named: Estimate, others: Sequence[Estimate]) -> str:
    """Name the benchmark's own length control where it leaves a gain that ours, or a subset, does not."""
    published = next((e for e in others if e.control == _PUBLISHED), None)
    if published is None or published is named or published.ci is None or published.ci[0] <= 0:
        return ""
    return f" The benchmark's own length control leaves {span(published)}."


def decide_comparable(
    claim: Claim, main: Estimate, others: Sequence[Estimate], level: float, freedom: float | None
) -> tuple[Decision, Equivalence | None]:
    """Decide a claim of equivalence by two one-sided tests at the claim's margin, raw and under controls."""
    margin = claim.margin or 0.0
    if main.estimate is None or main.se is None:
        return Decision("cannot_check", f"The difference has no error: {main.note or 'none is known'}."), None
    test = equivalence(main.estimate, main.se, margin, level=level, freedom=freedom)
    text = f"{_pair(claim)}: {interval(main.estimate, test.ci)} at {1 - 2 * test.alpha:.0%}, margin {margin:g}, TOST p {_p(test.p_value)}"
    if beyond(test):
        return Decision("contradicted", f"{text}: they differ by more than the margin."), test
    if not test.equivalent:
        return Decision("not_separable", f"{text}: a difference beyond the margin is not excluded."), test
    gate = next((e for e in others if e.control == GATED), None)
    if gate is not None:
        return Decision("vanishes_under", f"{text}, but {gate.note}.", GATED), test
    for other in others:
        if other.estimate is None or other.se is None or other.drop_ci is None or other.ci is None:
            continue
        held = equivalence(other.estimate, other.se, margin, level=level)
        moved = other.drop_ci[0] > 0 or other.drop_ci[1] < 0
        if not held.equivalent and moved and abs(other.estimate) > margin:
            text = f"{text}, but under {label(other.control)} {span(other)}: no longer within the margin."
            if not other.decides:
                few = f"only by extrapolation: {_why(other)}" if other.extrapolated else f"{other.n} prompts are few"
                return Decision("not_separable", f"{text[:-1]}, {few}."), test
            return Decision("vanishes_under", text, other.control), test
    return Decision("certified", f"{text}: equivalent within the margin."), test


def beyond(test: Equivalence) -> bool:
    """Whether the whole interval lies beyond the margin: the two differ by more."""
    return test.ci[0] > test.margin or test.ci[1] < -test.margin


def decide_score(claim: Claim, main: Estimate, what: str) -> Decision:
    """Decide a claimed score: whether it lies in the interval of `what` (a row, the recording)."""
    name = printable(claim.candidate, 60) or "the candidate"
    value = claim.value if claim.value is not None else 0.0
    if main.estimate is None or main.ci is None:
        return Decision("cannot_check", f"{what} gives no interval for {name}.")
    at = f"{main.estimate:.1f} [{main.ci[0]:.1f}, {main.ci[1]:.1f}]"
    if main.ci[0] - _ROUNDING <= value <= main.ci[1] + _ROUNDING:
        return Decision("certified", f"{name}: the claimed {value:g} agrees with {what}, {at}.")
    side = "above" if value > main.ci[1] else "below"
    return Decision("contradicted", f"{name}: the claimed {value:g} lies {side} {what}, {at}.")


def _pair(claim: Claim) -> str:
    names = [printable(name, 60) for name in (claim.candidate, claim.baseline)]
    return f"{names[0] or 'the candidate'} over {names[1] or 'its baseline'}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
