"""Measures of what the place of an answer does: position, two equal answers, and what was shown before.

Source: Wang et al. 2023, arXiv:2305.17926 (conflict rate); Shi et al. 2024, arXiv:2406.07791 (repetition stability,
position consistency, position fairness).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from auditkit.attacks.probes.edited import control_of, is_exact, unmeasured
from auditkit.attacks.probes.estimates import compared, mean_of, share_of, sign_test, verdicts
from auditkit.attacks.probes.protocol import CLEAN, Array, Outcomes, Part, Probe, ProbeResult
from auditkit.attacks.probes.wording import between, percent
from auditkit.errors import NoData
from auditkit.records import Order

__all__ = ["anchored", "placed", "slot_frame", "tied"]


def slot_frame(outcomes: Outcomes, games: Array) -> Array:
    """Return how the answer *shown first* did."""
    second = np.array([order == "model_second" for order in outcomes.orders])
    return np.where(second[None, :], 1.0 - games, games)


def _column(outcomes: Outcomes, games: Array, order: Order) -> Array:
    if order not in outcomes.orders:
        return np.full((outcomes.n, 1), np.nan)
    return games[:, outcomes.orders.index(order), None]


def placed(probe: Probe, outcomes: Outcomes) -> ProbeResult:
    """Measure position: what being shown first is worth.

    The statistic is the mean outcome shown first less shown second, on items that were shown in both orders; its control
    the same between two draws in one order; the p-value is the exact binomial test on the prompts whose verdict depends
    on the order (Student's t where outcomes are probabilities).
    """
    statistic = "slot gap (share)"
    draws = [outcomes.games(CLEAN, k) for k in (0, 1)]
    first = [_column(outcomes, x, "model_first") for x in draws]
    second = [_column(outcomes, x, "model_second") for x in draws]
    gap = first[0] - second[0]
    # The same comparison without a change of places: two draws of each order, the one order's sign turned.
    noise = 0.5 * ((first[0] - first[1]) - (second[0] - second[1]))
    both = np.isfinite(gap)
    codes, level = outcomes.codes, outcomes.level
    if int(both.sum()) < 2:
        return unmeasured(probe, statistic, "fewer than two items were judged in both orders")
    estimate, control = (mean_of(x, codes, level) for x in (gap, noise))
    left = mean_of(gap - np.where(np.isfinite(noise), noise, 0.0), codes, level, bounds=(-2.0, 2.0))
    exact = is_exact(first[0], second[0])
    p_value = sign_test(gap, codes)[0] if exact else _t(gap, outcomes)
    parts = tuple(_order_parts(outcomes, first, second))
    by_name = {part.name: part for part in parts}
    consistent = by_name["position consistency (PC)"].estimate or 0.0
    if p_value < 1.0 - level:
        place = "first" if (estimate.estimate or 0.0) > 0 else "second"
        sentence = (
            f"The {place} place is worth {between(estimate)}: swapping the answers leaves {percent(consistent)} of the "
            "verdicts as they are."
        )
    else:
        sentence = (
            f"No preference for a place stands out: the first place is worth {between(estimate)}, and swapping the "
            f"answers leaves {percent(consistent)} of the verdicts as they are."
        )
    return ProbeResult(
        probe.id, statistic, estimate.estimate, estimate.ci, int(both.sum()), control.estimate, control.ci,
        "repeat" if control.estimate is not None else "", left.estimate, left.ci, p_value, parts, sentence, probe.mend,
    )  # fmt: skip


def _t(values: Array, outcomes: Outcomes) -> float:
    found = compared(values, np.zeros_like(values), outcomes.codes, outcomes.level, shares=False, exact=False)
    return 1.0 if found.p_value is None else found.p_value


def _row_mean(values: Array) -> Array:
    """Return the mean over the games of each item, shape (n_items, 1); NaN where it has none."""
    known = np.isfinite(values)
    count = known.sum(axis=1, keepdims=True)
    total = np.where(known, values, 0.0).sum(axis=1, keepdims=True)
    mean: Array = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return mean


def _order_parts(outcomes: Outcomes, first: list[Array], second: list[Array]) -> Iterator[Part]:
    level, codes = outcomes.level, outcomes.codes
    one, other = (verdicts(x[0], True) for x in (first, second))
    both = np.isfinite(one) & np.isfinite(other)
    same = np.where(both, (one == other).astype(np.float64), np.nan)
    yield share_of(same, codes, level, "position consistency (PC)")
    yield share_of(np.where(both, (one * other < 0).astype(np.float64), np.nan), codes, level, "conflict rate")
    ties = int((both & (one == 0) & (other == 0)).sum())
    mixed = int((both & ((one == 0) ^ (other == 0))).sum())
    agreed = np.where(both & (same == 1) & (one != 0), 1.0, np.nan)
    yield Part(
        "pairs", float(both.sum()), None, int(both.sum()),
        note=f"{int(np.isfinite(agreed).sum())} agree, {ties} tie both ways, {mixed} tie one way, "
        f"{int((both & (one * other < 0)).sum())} name the other winner",
    )  # fmt: skip
    # An inconsistent pair leans to the place that its two verdicts favour together.
    lean = np.where(both & (same == 0), np.sign(one - other), np.nan)
    picked = share_of(
        np.where(np.isfinite(lean), (lean > 0).astype(np.float64), np.nan), codes, level, "first pick (FP)"
    )
    note = "of the pairs whose verdict depends on the order"
    if picked.estimate is None:
        yield Part(picked.name, None, note="no verdict depends on the order")
    else:
        yield Part(picked.name, picked.estimate, picked.ci, picked.n, sign_test(lean, codes)[0], note)
    fairness = np.where(both, np.where(np.isfinite(lean), -lean, 0.0), np.nan)
    fair = mean_of(fairness, codes, level, "position fairness (PF)")
    yield Part(fair.name, fair.estimate, fair.ci, fair.n, note="below 0: for the first place, above: for the second")
    again = [verdicts(x[1], True) for x in (first, second)]
    kept = np.concatenate([
        np.where(np.isfinite(a) & np.isfinite(b), (a == b).astype(np.float64), np.nan)
        for a, b in zip((one, other), again, strict=True)
    ], axis=1)  # fmt: skip
    yield share_of(kept, codes, level, "consistency on asking again")
    excess = mean_of(np.where(both, 1.0 - same, np.nan) - _row_mean(1.0 - kept), codes, level, "due to the order")
    yield Part(
        excess.name,
        excess.estimate,
        excess.ci,
        excess.n,
        None,
        "verdicts that the order changes less those a draw does",
    )


def tied(probe: Probe, outcomes: Outcomes) -> ProbeResult:
    """Measure what a judge does with two equal answers: it should call a tie, or favour neither place.

    The statistic is how much more often than half the first of two equal answers wins (of those that are no tie); the
    p-value is the exact binomial test. There is no control: without a preference it is 0 whatever the noise.
    """
    statistic = "first place among equals (share above half)"
    level, codes = outcomes.level, outcomes.codes
    equal = slot_frame(outcomes, outcomes.games("equal"))
    spaced = slot_frame(outcomes, outcomes.games("blanks"))
    judged = {name: int(np.isfinite(x).any(axis=1).sum()) for name, x in (("equal", equal), ("blanks", spaced))}
    if max(judged.values()) < 2:
        return unmeasured(probe, statistic, "fewer than two pairs of equal answers have a verdict")
    games = spaced if judged["blanks"] >= 2 else equal
    lean = mean_of(games - 0.5, codes, level, bounds=(-0.5, 0.5))
    exact = is_exact(games)
    p_value = sign_test(games - 0.5, codes)[0] if exact else _t(games - 0.5, outcomes)
    parts = []
    for name, values in (("equal", equal), ("but for blanks", spaced)):
        verdict = verdicts(values, True)
        known = np.isfinite(verdict)
        parts.append(
            share_of(np.where(known, (verdict != 0).astype(np.float64), np.nan), codes, level, f"no tie: {name}")
        )
        parts.append(
            share_of(np.where(known & (verdict != 0), (verdict > 0).astype(np.float64), np.nan), codes, level,
                     f"first pick (FP): {name}")
        )  # fmt: skip
    if p_value < 1.0 - level:
        place = "first" if (lean.estimate or 0.0) > 0 else "second"
        sentence = f"Of two answers that say the same, the {place} is favoured: {between(lean)} off an even chance."
    else:
        sentence = (
            f"Of two answers that say the same, neither place is favoured beyond chance: {between(lean)} off even."
        )
    return ProbeResult(
        probe.id, statistic, lean.estimate, lean.ci, int(np.isfinite(games).any(axis=1).sum()), p_value=p_value,
        difference=lean.estimate, difference_ci=lean.ci, parts=tuple(parts), sentence=sentence, mend=probe.mend,
    )  # fmt: skip


def anchored(probe: Probe, outcomes: Outcomes) -> ProbeResult:
    """Measure anchoring: what a judge was told of the comparison (or rating) before.

    The statistic is the mean outcome after a high anchor less after a low one: of the place that won before, where two
    answers are compared; its control the same for two draws without anchor; McNemar's exact test by prompt, Student's t
    for ratings.
    """
    statistic = "pull of the anchor (share)"
    turned = (lambda x: slot_frame(outcomes, x)) if outcomes.pairwise else (lambda x: x)
    high, low = turned(outcomes.games("high")), turned(outcomes.games("low"))
    noise = turned(outcomes.games(CLEAN, 1)) - turned(outcomes.games(CLEAN))
    exact = outcomes.pairwise and is_exact(high, low)
    try:
        found = compared(high - low, np.zeros_like(high), outcomes.codes, outcomes.level, shares=False, exact=exact)
    except NoData as error:
        return unmeasured(probe, statistic, str(error))
    control = mean_of(noise, outcomes.codes, outcomes.level)
    left = mean_of(
        high - low - np.where(np.isfinite(noise), noise, 0.0), outcomes.codes, outcomes.level, bounds=(-2.0, 2.0)
    )
    placebo, _ = control_of(probe, outcomes)
    base = outcomes.games(CLEAN)
    parts = [
        mean_of(turned(outcomes.games(arm)) - turned(base), outcomes.codes, outcomes.level, f"after the {arm} anchor")
        for arm in ("high", "low")
    ]
    if probe.placebo:
        parts.append(
            mean_of(turned(placebo) - turned(base), outcomes.codes, outcomes.level, "after a sentence without one")
        )
    part = found.estimate
    what = "the place that won the comparison before" if outcomes.pairwise else "an answer that follows a high rating"
    stands_out = found.p_value is not None and found.p_value < 1.0 - outcomes.level
    verb = "pulls the verdict" if (part.estimate or 0.0) > 0 else "pushes the verdict away"
    sentence = (
        f"What was said of the case before {verb}: {what} gains {between(part)}." if stands_out
        else f"No pull of what was said before stands out: {what} gains {between(part)}."
    )  # fmt: skip
    return ProbeResult(
        probe.id, statistic, part.estimate, part.ci, found.n, control.estimate, control.ci,
        "repeat" if control.estimate is not None else "", left.estimate, left.ci, found.p_value, tuple(parts), sentence,
        probe.mend,
    )  # fmt: skip
