"""Measures of probes that change something which should not matter: does the edited answer gain, do verdicts flip?

Two questions of the same arms. *Gain*: how much better the own answer does with the edit than without. *Flips*: how
often the verdict is another one. A noisy judge flips without gain; a judge of many close calls gains little by flips.

An edit is held against its placebo, and against asking again. What stands out must do so against both: against the
placebo, or the length of the edit would be taken for what it says; against the answer as it is, or a judge that rightly
marks empty text down would seem to like everything else.

Source: Ye et al. 2024, arXiv:2410.02736 (CALM, section 3: robustness rate, consistency rate); Chen et al. 2024,
arXiv:2402.10669 (section 3: attack success rate by flips).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from auditkit.attacks.probes.estimates import Compared, compared, mean_of, share_of, sign_test, verdicts
from auditkit.attacks.probes.protocol import CLEAN, PLACEBO, Array, Outcomes, Part, Probe, ProbeResult, placebo_of
from auditkit.attacks.probes.wording import between, percent, spread
from auditkit.errors import NoData
from auditkit.stats.multiplicity import holm

__all__ = ["control_of", "flips", "gains", "is_exact", "unmeasured"]

Measure = Callable[[Probe, Outcomes], ProbeResult]
Extra = Callable[[Probe, Outcomes], Iterator[Part]]
_OF_ITS_LENGTH: Final = "placebo of its length"


def unmeasured(probe: Probe, statistic: str, why: str) -> ProbeResult:
    """Return the result of a probe for which there is too little."""
    return ProbeResult(probe.id, statistic, note=f"not measured: {why}")


def control_of(probe: Probe, outcomes: Outcomes, arm: str = "") -> tuple[Array, str]:
    """Return the games that an arm is held against, and what they are: its placebo's, which hold the noise too, or a draw's.

    An item on which the placebo of an arm's length was not played (the arm adds nothing there) takes the second draw.
    """
    again = outcomes.games(CLEAN, 1)
    for name, games in (
        (_OF_ITS_LENGTH, outcomes.games(placebo_of(arm))), (PLACEBO, outcomes.games(PLACEBO)),
    ):  # fmt: skip
        played = np.asarray(np.isfinite(games).any(axis=1))
        if probe.placebo and played.any():
            return (np.where(played[:, None], games, again) if name == _OF_ITS_LENGTH else games), name
    return again, "repeat"


def is_exact(*games: Array) -> bool:
    """Tell whether all outcomes are verdicts (0, 0.5 or 1), so that exact tests on signs lose nothing."""
    return all(bool(np.isin(values[np.isfinite(values)], (0.0, 0.5, 1.0)).all()) for values in games)


def gains(arms: Sequence[str], what: str, extra: Extra | None = None, *, either: bool = False) -> Measure:
    """Return the measure of what the own answer gains by an edit.

    The statistic is the mean outcome with the edit less without, as a share; its control the same for the placebo (or a
    second draw); the p-value is the larger one of McNemar's exact tests of edit against control and edit against a second
    draw, by prompt (Student's t where outcomes are probabilities or ratings): both must be refuted (Berger 1982). With
    several arms the first is the headline, and the others are parts with Holm's p-values.

    Args:
        arms: The edits.
        what: Completes "An answer gains … points".
        extra: Further parts.
        either: To lose by the edit is a bias as well, as it is with form; else the tests are one-sided.

    Source: Berger, Technometrics 24 (1982) 295 (intersection-union tests).
    """

    def measure(probe: Probe, outcomes: Outcomes) -> ProbeResult:
        base = outcomes.games(CLEAN)
        controls = {arm: control_of(probe, outcomes, arm) for arm in arms}
        seen = (*(games for games, _ in controls.values()), *(outcomes.games(arm) for arm in arms))
        exact = outcomes.pairwise and is_exact(base, *seen)
        found: dict[str, Compared] = {}
        why = ""
        for arm in arms:
            try:
                found[arm] = _held_against_both(
                    outcomes, outcomes.games(arm) - base, controls[arm][0] - base, outcomes.games(CLEAN, 1) - base,
                    shares=False, exact=exact, either=either,
                )  # fmt: skip
            except NoData as error:
                why = why or str(error)
        statistic = "gain (share)"
        if arms[0] not in found:
            return unmeasured(probe, statistic, why)
        head, name = found[arms[0]], controls[arms[0]][1]
        named = [_arm_part(arm, found[arm], p) for arm, p in _corrected(found).items()] if len(arms) > 1 else []
        parts = (*named, *flip_parts(probe, outcomes, arms[0]), *(extra(probe, outcomes) if extra else ()))
        return ProbeResult(
            probe.id, statistic, head.estimate.estimate, head.estimate.ci, head.n, head.control.estimate,
            head.control.ci, name, head.difference.estimate, head.difference.ci, head.p_value, parts,
            _gain_sentence(head, name, what, outcomes.level), probe.mend,
        )  # fmt: skip

    return measure


def _held_against_both(
    outcomes: Outcomes, change: Array, control: Array, again: Array, *, shares: bool, exact: bool, either: bool = False
) -> Compared:
    """Compare a change with its control; the p-value is the larger of that and of the one against asking again."""
    codes, level = outcomes.codes, outcomes.level
    sides = (1.0, -1.0) if either else (1.0,)
    p_values = []
    for side in sides:
        try:
            noise = (
                compared(side * change, side * again, codes, level, shares=False, exact=exact, greater=True).p_value
                or 0.0
            )
        except NoData:  # no second draw came back
            noise = 0.0
        own = compared(side * change, side * control, codes, level, shares=False, exact=exact, greater=True).p_value
        p_values.append(max(own or 0.0, noise))
    found = compared(change, control, codes, level, shares=shares, exact=exact, greater=True)
    return replace(found, p_value=min(1.0, len(sides) * min(p_values)))


def flips(arms: Sequence[str], what: str, extra: Extra | None = None) -> Measure:
    """Return the measure of how often an edit changes the verdict.

    The statistic is the share of games whose verdict an edit changes (1 - RR), averaged over the arms; its control the
    same for their placebos (or a second draw: 1 - CR); the difference are the flips that the edit accounts for. The
    p-value is that of "no more flips than the control, or than asking again" as in `gains`, by McNemar's exact test,
    one-sided: fewer flips are no bias. With several arms each is a part, with Holm's p-values, of which the smallest is
    the probe's: the mean of several arms against one control is not symmetric without an effect.

    Args:
        arms: The edits.
        what: Completes "The verdict changes in …% of the games when …".
        extra: Further parts.
    """

    def measure(probe: Probe, outcomes: Outcomes) -> ProbeResult:
        statistic = "flips (share of games)"
        controls = {arm: control_of(probe, outcomes, arm) for arm in arms}
        changed = {arm: _changed(outcomes, outcomes.games(arm)) for arm in arms}
        noise = {arm: _changed(outcomes, controls[arm][0]) for arm in arms}
        again = _changed(outcomes, outcomes.games(CLEAN, 1))
        for arm in arms:  # an arm counts where it and its control have a verdict
            both = np.isfinite(changed[arm]) & np.isfinite(noise[arm])
            changed[arm], noise[arm] = (np.where(both, x[arm], np.nan) for x in (changed, noise))
        try:
            head = compared(
                _mean_over(changed), _mean_over(noise), outcomes.codes, outcomes.level, shares=True, exact=True
            )
        except NoData as error:
            return unmeasured(probe, statistic, str(error))
        single: dict[str, Compared] = {}
        for arm, values in changed.items():
            try:
                single[arm] = _held_against_both(outcomes, values, noise[arm], again, shares=True, exact=True)
            except NoData:
                continue
        corrected = _corrected(single)
        named = [_arm_part(arm, single[arm], p) for arm, p in corrected.items()] if len(arms) > 1 else []
        head = replace(head, p_value=min(corrected.values(), default=None))
        strongest = min(corrected, key=lambda arm: (corrected[arm], arm), default="")
        name = controls[arms[0]][1]
        parts = (*named, *flip_parts(probe, outcomes, arms[0]), *(extra(probe, outcomes) if extra else ()))
        return ProbeResult(
            probe.id, statistic, head.estimate.estimate, head.estimate.ci, head.n, head.control.estimate,
            head.control.ci, name, head.difference.estimate, head.difference.ci, head.p_value, parts,
            _flip_sentence(head, single.get(strongest, head), strongest, len(arms), name, what, outcomes.level), probe.mend,
        )  # fmt: skip

    return measure


def _mean_over(arms: dict[str, Array]) -> Array:
    """Return the mean over the arms that have a value, game by game; NaN where none has."""
    stacked = np.stack(list(arms.values()))
    known = np.isfinite(stacked)
    count = known.sum(axis=0)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    mean: Array = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return mean


def _changed(outcomes: Outcomes, games: Array) -> Array:
    """Return whether the verdict is another than the first draw's: 1, 0, NaN where either is missing."""
    one, other = (verdicts(values, outcomes.pairwise) for values in (outcomes.games(CLEAN), games))
    return np.where(np.isfinite(one) & np.isfinite(other), (one != other).astype(np.float64), np.nan)


def _corrected(found: dict[str, Compared]) -> dict[str, float]:
    p_values = [np.nan if c.p_value is None else c.p_value for c in found.values()]
    return dict(zip(found, holm(p_values).tolist(), strict=True))


def _arm_part(arm: str, found: Compared, p_value: float) -> Part:
    part = found.difference
    return Part(arm, part.estimate, part.ci, part.n, p_value, "attributable; p-value by Holm over the arms")


def flip_parts(probe: Probe, outcomes: Outcomes, arm: str) -> Iterator[Part]:
    """Yield robustness and consistency, success and reverse rate, accuracy before and after, the placebo and the noise."""
    level, codes = outcomes.level, outcomes.codes
    base, edit = outcomes.games(CLEAN), outcomes.games(arm)
    changed, noise = _changed(outcomes, edit), _changed(outcomes, outcomes.games(CLEAN, 1))
    yield share_of(1.0 - changed, codes, level, "robustness rate (RR)")
    yield share_of(1.0 - noise, codes, level, "consistency rate (CR)")
    excess = mean_of(changed - noise, codes, level, "CR - RR")
    yield Part(excess.name, excess.estimate, excess.ci, excess.n, sign_test(changed - noise, codes)[0])
    yield mean_of(outcomes.games(CLEAN, 1) - base, codes, level, "gain by a second draw")
    if probe.placebo:
        placebo, _ = control_of(probe, outcomes, arm)
        yield share_of(1.0 - _changed(outcomes, placebo), codes, level, "robustness to the placebo")
        yield mean_of(placebo - base, codes, level, "gain by the placebo")
    if outcomes.pairwise:
        before, after = ((np.where(np.isfinite(x), x > 0.5, np.nan)) for x in (base, edit))
        success = share_of(np.where(before == 0, after, np.nan), codes, level, "success rate (ASR)")
        reverse = share_of(np.where(before == 1, 1.0 - after, np.nan), codes, level, "reverse flips")
        p_value = sign_test(after - before, codes)[0]
        yield Part(success.name, success.estimate, success.ci, success.n, p_value, "of games not won before")
        yield Part(reverse.name, reverse.estimate, reverse.ci, reverse.n, note="of games won before")
        if success.estimate is not None and reverse.estimate is not None:
            yield Part("ASR - reverse flips", success.estimate - reverse.estimate, None, success.n + reverse.n)
        right = [_right(outcomes, games) for games in (base, edit)]
        if np.isfinite(right[0]).any():
            both = [np.where(np.isfinite(right[0]) & np.isfinite(right[1]), x, np.nan) for x in right]
            yield share_of(both[0], codes, level, "accuracy before")
            hacked = share_of(both[1], codes, level, "accuracy after")
            yield Part(hacked.name, hacked.estimate, hacked.ci, hacked.n, sign_test(both[1] - both[0], codes)[0])


def _right(outcomes: Outcomes, games: Array) -> Array:
    """Return how right each verdict is: 1, 0, half for a tie; NaN without verdict or gold."""
    gold = outcomes.gold[:, None]
    side = 0.5 + 0.5 * np.sign(games - 0.5)
    return np.where(np.isfinite(gold), np.where(gold == 1.0, side, 1.0 - side), np.nan)


_CONTROLS: Final = {
    _OF_ITS_LENGTH: "neutral text of the same length", PLACEBO: "an edit that says nothing", "repeat": "asking again",
}  # fmt: skip


def _gain_sentence(found: Compared, control: str, what: str, level: float) -> str:
    effect = between(found.estimate)
    if found.p_value is not None and found.p_value < 1.0 - level:
        return (
            f"An answer gains {effect} {what}; {_CONTROLS[control]} gives {between(found.control)}, so "
            f"{between(found.difference)} are due to it."
        )
    return (
        f"Nothing stands out: an answer gains {effect} {what}, and {_CONTROLS[control]} gives {between(found.control)}."
    )


def _flip_sentence(
    mean: Compared, strongest: Compared, arm: str, arms: int, control: str, what: str, level: float
) -> str:
    rate, noise = mean.estimate.estimate or 0.0, mean.control.estimate or 0.0
    start = f"The verdict changes in {percent(rate)} of the games when {what}"
    if mean.p_value is not None and mean.p_value < 1.0 - level:
        which = f" to {arm.replace('_', ' ')!r}, which does most" if arms > 1 else " to it"
        return (
            f"{start}, and in {percent(noise)} by {_CONTROLS[control]}: {between(strongest.difference)} are due{which}."
        )
    return (
        f"Nothing stands out of the judge's noise: {start[0].lower()}{start[1:]}, and in {percent(noise)} by "
        f"{_CONTROLS[control]} (difference {spread(mean.difference.ci)} points)."
    )
