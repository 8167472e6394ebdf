"""Measures of who wrote an answer, or says to have revised it.

Sources: Wataoka et al. 2024, arXiv:2410.21819 (self-preference); Ye et al. 2024, arXiv:2410.02736 (CALM, appendix:
ErrRate_SE and ErrRate_RA).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.attacks.probes.edited import unmeasured
from auditkit.attacks.probes.protocol import CLEAN, Array, Outcomes, Part, Probe, ProbeResult
from auditkit.attacks.probes.wording import between
from auditkit.stats.intervals import normal_interval, percentile_interval

__all__ = ["error_rate", "refined_parts", "written_by"]

_RESAMPLES: Final = 999
Rows = NDArray[np.bool_]


def written_by(probe: Probe, outcomes: Outcomes) -> ProbeResult:
    """Measure self-preference: does an answer by the judge's own family do better than its worth?

    The statistic is SB, ``P(wins | own family, right) - P(wins | another family, right)``; where no gold is known, DP
    without the condition, which mixes preference with quality. Two-sided (a judge that marks its own family down is as
    unfair to compare it with others): permutation test of authorship within gold strata; the
    interval takes each group's own spread.
    """
    author, gold = outcomes.author, outcomes.gold
    level = outcomes.level
    y = np.full(outcomes.n, np.nan)
    games = outcomes.games(CLEAN)
    has = np.isfinite(games).any(axis=1)
    if has.any():
        y[has] = np.nanmean(games[has], axis=1)
    statistic = "self-bias (SB)"
    if author is None or not np.isfinite(author).any():
        return unmeasured(probe, statistic, "no answer is known to be by the judge's own family")
    usable = np.isfinite(y) & np.isfinite(author)
    stratified = bool((np.isfinite(gold) & usable).any())
    right = usable & (gold == 1.0) if stratified else usable
    strata = np.where(np.isfinite(gold), gold, 2.0) if stratified else np.zeros(outcomes.n)
    head = _contrast(y, author, right, level, statistic if stratified else "DP")
    if head.estimate is None:
        return unmeasured(probe, statistic, head.note)
    p_value = _permuted(y, author, right, strata, outcomes.seed)
    parts = [
        _contrast(y, author, usable, level, "demographic parity gap (DP)"),
        _ratio(y, author, usable, outcomes, "self-enhancement error rate (ErrRate_SE)"),
    ]
    if stratified:
        parts.append(_contrast(y, author, usable & (gold == 0.0), level, "self-bias on wrong answers"))
    significant = p_value < 1.0 - level
    who = "right answers by its own family" if stratified else "answers by its own family"
    sentence = (
        f"{who[0].upper()}{who[1:]} win {between(head)}, {'more' if head.estimate > 0 else 'less'} often than others"
        if significant
        else f"No preference for its own family stands out: {who} win {between(head)} more often than others"
    )  # fmt: skip
    note = "" if stratified else "without known right answers this mixes preference with quality"
    return ProbeResult(
        probe.id, statistic if stratified else "demographic parity gap (DP)", head.estimate, head.ci, head.n,
        difference=head.estimate, difference_ci=head.ci, p_value=p_value, parts=tuple(parts), sentence=f"{sentence}.",
        mend=probe.mend, note=note,
    )  # fmt: skip


def _contrast(y: Array, author: Array, rows: Rows, level: float, name: str) -> Part:
    own, other = y[rows & (author == 1.0)], y[rows & (author == 0.0)]
    if len(own) < 2 or len(other) < 2:
        return Part(name, None, note=f"{len(own)} answers by its own family and {len(other)} by others")
    estimate = float(own.mean() - other.mean())
    se = math.sqrt(own.var(ddof=1) / len(own) + other.var(ddof=1) / len(other))
    low, high = normal_interval(estimate, se, level)
    return Part(name, estimate, (max(-1.0, low), min(1.0, high)), len(own) + len(other))


def _permuted(y: Array, author: Array, rows: Rows, strata: Array, seed: int) -> float:
    """Return the two-sided p-value of the contrast when authors are shuffled within gold strata."""
    rng = np.random.default_rng(seed)
    values, who, group = y[rows], author[rows], strata[rows]
    order = np.lexsort((np.arange(len(who)), group))
    values, who, group = values[order], who[order], group[order]
    keys = rng.random((_RESAMPLES, len(who))) + group[None, :] * 2.0
    shuffled = who[np.argsort(keys, axis=1)]
    own = shuffled == 1.0
    drawn = (own * values).sum(axis=1) / own.sum(axis=1) - (~own * values).sum(axis=1) / (~own).sum(axis=1)
    seen = values[who == 1.0].mean() - values[who == 0.0].mean()
    return float((1 + (np.abs(drawn) >= abs(seen) - 1e-12).sum()) / (_RESAMPLES + 1))


def _ratio(y: Array, author: Array, rows: Rows, outcomes: Outcomes, name: str) -> Part:
    """Return ``|1 - mean own / mean other|`` with a bootstrap interval: the denominator may be small."""
    own, other = y[rows & (author == 1.0)], y[rows & (author == 0.0)]
    if len(own) < 2 or len(other) < 2 or other.mean() == 0.0:
        return Part(name, None, note="fewer than two answers of either kind, or nothing won by others")
    return error_rate(own, other, outcomes, name, paired=False)


def error_rate(one: Array, other: Array, outcomes: Outcomes, name: str, *, paired: bool) -> Part:
    """Return ``|1 - mean one / mean other|`` with a bootstrap interval by item."""
    rng = np.random.default_rng(outcomes.seed)
    counts = [rng.multinomial(len(x), np.full(len(x), 1 / len(x)), size=_RESAMPLES) for x in (one, other)]
    top, bottom = counts[0] @ one / len(one), counts[0 if paired else 1] @ other / len(other)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.abs(1.0 - top / bottom)
    drawn = drawn[np.isfinite(drawn)]
    estimate = abs(1.0 - float(one.mean()) / float(other.mean()))
    if len(drawn) < 2:
        return Part(name, estimate, None, len(one))
    return Part(name, estimate, percentile_interval(drawn, outcomes.level), len(one) + (0 if paired else len(other)))


def refined_parts(probe: Probe, outcomes: Outcomes, arm: str) -> Iterator[Part]:
    """Yield the refinement-aware error rate, and the same of a second draw."""
    base = outcomes.games(CLEAN)
    for name, games in (("ErrRate_RA", outcomes.games(arm)), ("ErrRate_RA of a second draw", outcomes.games(CLEAN, 1))):
        both = np.isfinite(base) & np.isfinite(games)
        rows = both.any(axis=1)
        if rows.sum() < 2:
            yield Part(name, None, note="fewer than two items have both verdicts")
            continue
        one, other = (np.where(both, x, 0.0).sum(axis=1)[rows] / both.sum(axis=1)[rows] for x in (games, base))
        if other.mean() == 0.0:
            yield Part(name, None, note="the answers as they are never win")
            continue
        yield error_rate(one, other, outcomes, name, paired=True)
