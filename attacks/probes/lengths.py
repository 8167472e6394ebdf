"""Measures of length: what longer answers win, between items and within them, and who pays for it.

Sources: Dubois et al. 2024, arXiv:2404.04475 (length control); Saito et al. 2023, arXiv:2310.10076 (verbosity gap).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from auditkit.attacks.probes.estimates import share_of
from auditkit.attacks.probes.protocol import CLEAN, Array, Outcomes, Part, Probe
from auditkit.errors import NoData, NotConverged, Separated, Undefined
from auditkit.stats.intervals import dense_codes, normal_interval
from auditkit.stats.logistic import cluster_covariance, fit_logistic

__all__ = ["length_parts", "length_slope", "verbosity_gap"]


def _doublings(outcomes: Outcomes, arm: str) -> Array:
    """Return how many doublings the own answer is longer than the opponent's (shape (n_items,)); NaN if not known."""
    found = outcomes.length.get(arm)
    if found is None:
        return np.full(outcomes.n, np.nan)
    own, other = (np.where(found[:, k] > 0, found[:, k], np.nan) for k in (0, 1))
    return np.asarray(np.log2(own) - np.log2(other))


def length_slope(outcomes: Outcomes, arms: Sequence[str], name: str, *, within: bool) -> Part:
    """Return the log-odds that an answer gains by each doubling of its length, with a cluster-robust interval.

    A logistic regression of the outcome on the difference in length, the place, and the gold where that is known (else
    an intercept). With `within` the difference is split into the item's mean over the arms and what an arm departs from
    it (Mundlak), and the slope is that of the latter: the same answer, longer. Where items differ much in what else
    decides them, the slope is somewhat too small (it is an average over items, not any item's own).

    Args:
        outcomes: The outcomes, with lengths.
        arms: Whose games are used.
        name: Of the part.
        within: Take the slope within items.

    Source: Mundlak, Econometrica 46 (1978) 69.
    """
    rows: list[Array] = []
    length = np.stack([_doublings(outcomes, arm) for arm in arms])
    known = np.isfinite(length)
    count = known.sum(axis=0)
    mean = np.divide(np.where(known, length, 0.0).sum(axis=0), count, out=np.full(outcomes.n, np.nan), where=count > 0)
    place = np.array([{"model_first": 0.5, "model_second": -0.5}.get(order, 0.0) for order in outcomes.orders])
    known_gold = bool(np.isfinite(outcomes.gold).all()) and len(np.unique(outcomes.gold)) == 2
    level = 2.0 * outcomes.gold - 1.0 if known_gold else np.ones(outcomes.n)
    y: list[Array] = []
    codes: list[NDArray[np.intp]] = []
    for arm, own in zip(arms, length, strict=True):
        games = outcomes.games(arm)
        usable = np.isfinite(games) & np.isfinite(own)[:, None]
        item, order = np.nonzero(usable)
        columns = [own[item] - mean[item] if within else own[item], level[item]]
        if within:
            columns.append(mean[item])
        if np.any(place):
            columns.append(place[order])
        rows.append(np.stack(columns, axis=1))
        y.append(games[usable])
        codes.append(outcomes.codes[item])
    X, outcome, cluster = np.concatenate(rows), np.concatenate(y), np.concatenate(codes)
    varies = np.ptp(X, axis=0) > 1e-9 if len(X) else np.zeros(0, dtype=bool)
    if len(X) < 10 or not varies[0]:
        return Part(name, None, n=len(X), note="the lengths do not differ, or there are fewer than ten games")
    X = X[:, varies | (np.abs(X).max(axis=0) > 0) & (np.arange(X.shape[1]) == 1)]
    try:
        fit = fit_logistic(X, outcome)
        covariance = cluster_covariance(X, outcome, None, fit.coefficients, dense_codes(cluster))
    except (NoData, NotConverged, Separated, Undefined) as error:
        return Part(name, None, n=len(X), note=str(error))
    slope, se = float(fit.coefficients[0]), float(np.sqrt(covariance[0, 0]))
    from scipy.special import ndtr

    p_value = float(2.0 * ndtr(-abs(slope / se))) if se > 0 else None
    return Part(name, slope, normal_interval(slope, se, outcomes.level), len(X), p_value, "log-odds a doubling")


def verbosity_gap(outcomes: Outcomes) -> Part:
    """Return how much more often the judge errs where the right answer is the shorter one than where it is the longer.

    A tie counts as half an error. The interval takes each group's own spread.
    """
    name = "verbosity gap"
    longer = _doublings(outcomes, CLEAN)
    gold = outcomes.gold
    games = outcomes.games(CLEAN)
    side = 0.5 + 0.5 * np.sign(games - 0.5)
    wrong = np.where(gold[:, None] == 1.0, 1.0 - side, side)
    wrong = np.where(np.isfinite(games) & np.isfinite(gold)[:, None], wrong, np.nan)
    right_is_longer = np.where(gold == 1.0, longer, -longer)
    short, long = (np.where((sign * right_is_longer > 0)[:, None], wrong, np.nan) for sign in (-1.0, 1.0))
    one, other = (share_of(x, outcomes.codes, outcomes.level) for x in (short, long))
    if one.estimate is None or other.estimate is None or one.ci is None or other.ci is None:
        return Part(name, None, note="the right answer is never, or always, the shorter one")
    gap = one.estimate - other.estimate
    low = gap - float(np.hypot(one.estimate - one.ci[0], other.ci[1] - other.estimate))
    high = gap + float(np.hypot(one.ci[1] - one.estimate, other.estimate - other.ci[0]))
    return Part(name, gap, (max(-1.0, low), min(1.0, high)), one.n + other.n, note="Newcombe's interval")


def length_parts(probe: Probe, outcomes: Outcomes) -> Iterator[Part]:
    """Yield the slopes and the gap."""
    if outcomes.pairwise:
        arms = [arm for arm in probe.arms if arm in outcomes.length]
        yield length_slope(outcomes, arms, "length slope, the same answer longer (LS)", within=True)
        yield length_slope(outcomes, [CLEAN], "length slope between answers", within=False)
        if np.isfinite(outcomes.gold).any():
            yield verbosity_gap(outcomes)
