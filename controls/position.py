"""Position: what being shown second did to the verdicts, and the win rate with both orders weighing the same."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from auditkit.controls.design import Design, applies, clip, designs, judge_designs, judges_text, not_computed, points
from auditkit.errors import NoData
from auditkit.records import Battles, Findings, Position, Score, Settings, Slot
from auditkit.stats.intervals import cluster_mean, dense_codes, normal_interval, wilson

__all__ = ["position"]

CONTROL = "position_balanced"
_FEW: Final = 2

Floats = NDArray[np.float64]


def position(battles: Battles, settings: Settings | None = None) -> Findings:
    """Measure the effect of the order in which the two answers were shown.

    Both orders of a pair recorded (``within_pair``): the effect is the mean over pairs of outcome shown second
    minus outcome shown first, with a cluster-robust interval and t test by prompt. `consistency` is the share of
    pairs whose two verdicts name the same winner, or are both ties; a tie against a win is inconsistent.

    One order each (``between_items``; AlpacaEval's order is a hash of the instruction): the effect is the
    difference of the two groups' mean outcomes, over a random split of the prompts. Interval and z test take each
    group's own spread (Neyman; Welch), clustered by prompt. All models of such a benchmark share one split, so
    their effects are not independent confirmations.

    `first_preference` is the share of decided games (outcome not 0.5) that went to the answer shown first.
    ``position_balanced`` is the win rate in which each order weighs half. For a judge test set the findings are
    by judge and there is no score.

    Args:
        battles: A recording.
        settings: Confidence level; None: the defaults.

    Source: Wang et al., arXiv:2305.17926 (conflict rate); Shi et al., arXiv:2406.07791 (consistency, preference).
    """
    settings = settings or Settings()
    if battles.benchmark.subject == "judge":
        judged = judge_designs(battles)
        return Findings(position={judge: _position(found, settings) for judge, found in judged.items()})
    if not applies(battles):
        return Findings()
    played = designs(battles)
    return Findings(
        scores=tuple(_balanced(found, settings) for found in played.values()),
        position={model: _position(found, settings) for model, found in played.items()},
    )


@dataclass(frozen=True)
class _Pairs:
    """Pairs of games that differ in the order only: outcome shown first, outcome shown second, prompt."""

    first: Floats
    second: Floats
    prompt: NDArray[np.intp]
    games: NDArray[np.bool_]


def _pairs(found: Design) -> _Pairs:
    """Find the pairs with both orders; repeated games of one order are averaged."""
    keys = dense_codes(found.pair)
    n = int(keys.max(initial=-1)) + 1
    second = found.order > 0
    count = [np.bincount(keys[slot], minlength=n) for slot in (~second, second)]
    with np.errstate(invalid="ignore"):
        mean = [
            np.bincount(keys[slot], weights=found.outcome[slot], minlength=n) / c
            for slot, c in zip((~second, second), count, strict=True)
        ]
    both = (count[0] > 0) & (count[1] > 0)
    prompt = np.empty(n, dtype=np.intp)
    prompt[keys] = found.prompt
    return _Pairs(mean[0][both], mean[1][both], prompt[both], both[keys])


def _position(found: Design, settings: Settings) -> Position:
    known = found.keep(found.usable & np.isfinite(found.order))
    if not len(known.outcome):
        reason = "the order of the answers is not recorded" if found.usable.any() else "no game has a verdict"
        return Position("not_measured", note=reason)
    pairs = _pairs(known)
    # Both orders of most games: the pairs are the design. A few repeats among single games: the split is.
    if 2 * int(pairs.games.sum()) >= len(known.outcome):
        return _within(known, pairs, settings)
    return _between(known, settings)


def _within(known: Design, pairs: _Pairs, settings: Settings) -> Position:
    known = known.keep(pairs.games)
    signs = np.sign(pairs.first - 0.5), np.sign(pairs.second - 0.5)
    same = signs[0] == signs[1]
    ties = (signs[0] == 0) | (signs[1] == 0)
    n = len(same)
    table = f"of {n} pairs {int((same & ~ties).sum())} agree, {int((same & ties).sum())} tie both ways, "
    table += f"{int((~same & ties).sum())} tie one way only, {int((~same & ~ties).sum())} flip"
    effect = interval = p_value = None
    try:
        mean = cluster_mean(pairs.second - pairs.first, pairs.prompt, level=settings.level)
        effect, interval = 100 * mean.estimate, (100 * mean.ci[0], 100 * mean.ci[1])
        p_value = _t_test(mean.estimate, mean.se, mean.n_clusters - 1)
        table += "; p-value: cluster-robust t test by prompt"
    except NoData as error:
        effect = 100 * float((pairs.second - pairs.first).mean())
        table += f"; no interval: {error}"
    slots = (
        _slot("first", pairs.first, pairs.prompt, settings.level),
        _slot("second", pairs.second, pairs.prompt, settings.level),
    )
    return Position(
        "within_pair", float(same.mean()), _first_preference(known), effect, interval, p_value, n, table, slots
    )


def _slot(place: Literal["first", "second"], outcome: Floats, prompt: NDArray[np.intp], level: float) -> Slot:
    """Return the win rate in one place, clustered by prompt; without spread Wilson's interval over the prompts."""
    prompts, at = len(np.unique(prompt)), float(outcome.mean())
    try:
        mean = cluster_mean(outcome, prompt, level=level)
    except NoData:
        return Slot(place, points(at), None, prompts)
    low, high = mean.ci if mean.se else wilson(at * prompts, prompts, level)
    return Slot(place, points(at), clip((100 * low, 100 * high)), prompts)


def _between(known: Design, settings: Settings) -> Position:
    y, second = known.outcome, known.order > 0
    n_first, n_second = int((~second).sum()), int(second.sum())
    if not _both_orders(known):
        note = f"shown second: {n_second} games, first: {n_first}: position and quality cannot be told apart"
        return Position("not_measured", first_preference=_first_preference(known), n=len(y), note=note)
    counts = f"shown second: {n_second} games, first: {n_first}"
    effect = float(y[second].mean() - y[~second].mean())
    se, _ = _slot_errors(known)
    low, high = normal_interval(effect, se, settings.level)
    note = f"{counts}; mean outcome second {100 * y[second].mean():.1f}, first {100 * y[~second].mean():.1f}"
    p_value = _two_sided(effect, se)
    note += f"; z = {effect / se:.1f}" if se > 0 else "; no spread within the orders"
    return Position(
        "between_items",
        None,
        _first_preference(known),
        100 * effect,
        (max(-100.0, 100 * low), min(100.0, 100 * high)),
        p_value,
        len(y),
        note,
        (
            _slot("first", y[~second], known.prompt[~second], settings.level),
            _slot("second", y[second], known.prompt[second], settings.level),
        ),
    )


def _balanced(found: Design, settings: Settings) -> Score:
    known = found.keep(found.usable & np.isfinite(found.order))
    y, second = known.outcome, known.order > 0
    if not len(y):
        reason = "the order of the answers is not recorded" if found.usable.any() else "no game has a verdict"
        return not_computed(found.model, CONTROL, f"not computed: {reason}")
    if not _both_orders(known):
        reason = f"undefined: fewer than {_FEW} prompts in one of the two orders"
        return not_computed(found.model, CONTROL, reason, n=len(known.prompts))
    means = float(y[second].mean()), float(y[~second].mean())
    _, se = _slot_errors(known)
    n, estimate = len(known.prompts), sum(means) / 2
    low, high = normal_interval(estimate, se, settings.level)
    how = "cluster-robust by prompt, normal"
    if se == 0:  # no spread within the orders: the sandwich knows no error, Wilson still does
        low, high = wilson(estimate * n, n, settings.level)
        how = "Wilson over prompts, for the outcomes do not vary"
    return Score(
        found.model,
        CONTROL,
        points(estimate),
        100 * se if se else None,
        clip((100 * low, 100 * high)),
        n,
        f"mean of the win rates in the two orders; interval: {how}{judges_text(found)}",
        note=f"shown second {100 * means[0]:.1f}%, first {100 * means[1]:.1f}%",
    )


def _both_orders(known: Design) -> bool:
    return all(len(np.unique(known.prompt[slot])) >= _FEW for slot in (known.order > 0, known.order < 0))


def _slot_errors(known: Design) -> tuple[float, float]:
    """Return the cluster-robust standard errors of difference and mean of the two orders' mean outcomes.

    A game's influence on its order's mean is ``(y - m) / n``, scaled by ``sqrt(G / (G - 1))`` with G the prompts of
    that order (for one game a prompt this is Welch's standard error); influences are summed by prompt.
    """
    sums = []
    for slot in (known.order > 0, known.order < 0):
        n = int(slot.sum())
        prompts = len(np.unique(known.prompt[slot]))
        factor = math.sqrt(prompts / (prompts - 1))
        residual = np.where(slot, known.outcome - known.outcome[slot].mean(), 0.0) * factor / n
        sums.append(np.bincount(known.prompt, weights=residual))
    return float(np.linalg.norm(sums[0] - sums[1])), float(np.linalg.norm(sums[0] + sums[1])) / 2


def _first_preference(known: Design) -> float | None:
    decided = known.outcome != 0.5
    if not decided.any():
        return None
    first_won = (known.outcome > 0.5) == (known.order < 0)
    return float(first_won[decided].mean())


def _t_test(estimate: float, se: float, freedom: int) -> float:
    from scipy.special import stdtr

    if se == 0:
        return 1.0 if estimate == 0 else 0.0
    return float(2 * stdtr(freedom, -abs(estimate / se)))


def _two_sided(estimate: float, se: float) -> float:
    from scipy.special import ndtr

    if se == 0:
        return 1.0 if estimate == 0 else 0.0
    return float(2 * ndtr(-abs(estimate / se)))
