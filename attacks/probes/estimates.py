"""Estimates that all probes share: shares and mean differences of games, clustered by prompt, and exact tests.

Games are arrays of shape (n_items, n_orders) with NaN where there is none. All of one prompt's games count as one draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.attacks.probes.protocol import Array, Part
from auditkit.errors import NoData
from auditkit.records import Interval
from auditkit.stats.betting import betting_interval, betting_p_value
from auditkit.stats.intervals import cluster_mean, dense_codes

__all__ = ["Compared", "compared", "mean_of", "per_prompt", "share_of", "sign_test", "verdicts"]

#: A t interval of differences is not to be trusted where most prompts did not change and fewer than so many did, nor
#: with fewer prompts than `_FEW`, nor without any spread.
_FEW_CHANGED: Final = 15
_FEW: Final = 6


def verdicts(games: Array, pairwise: bool) -> Array:
    """Return what counts as the same verdict: -1 lost, 0 tie, 1 won; for a rating the rating. NaN stays NaN."""
    return np.sign(games - 0.5) if pairwise else np.round(games, 6)


def _flat(values: Array, codes: NDArray[np.intp]) -> tuple[Array, NDArray[np.intp]]:
    known = np.isfinite(values)
    return values[known], np.repeat(codes[:, None], values.shape[1], axis=1)[known]


def per_prompt(values: Array, codes: NDArray[np.intp]) -> Array:
    """Return the mean over the games of each prompt that has any."""
    flat, where = _flat(values, codes)
    if not flat.size:
        return flat
    dense = dense_codes(where)
    return np.asarray(np.bincount(dense, weights=flat) / np.bincount(dense))


def share_of(hits: Array, codes: NDArray[np.intp], level: float, name: str = "") -> Part:
    """Return a share with its interval.

    Clopper and Pearson's with the effective number of games: ``p (1 - p) / se^2`` with the cluster-robust `se`, at most
    the games there are; where all games agree, the number of prompts.

    Args:
        hits: Games, 0 or 1 (or a share of 1); NaN where there is none.
        codes: Prompt of each item.
        level: Confidence level.
        name: Of the part.

    Source: Korn and Graubard, Survey Methodology 24 (1998) 193.
    """
    from scipy.special import betaincinv

    flat, where = _flat(hits, codes)
    n = int(flat.size)
    if not n:
        return Part(name, None, note="no game to count")
    p = float(flat.mean())
    prompts = len(np.unique(where))
    effective = float(prompts)
    if 0.0 < p < 1.0 and prompts > 1:
        se = cluster_mean(flat, where).se
        if se > 0.0:
            effective = min(float(n), p * (1.0 - p) / se**2 * prompts / (prompts - 1))
    effective = max(effective, 1.0)
    tail = (1.0 - level) / 2.0
    k = p * effective
    low = 0.0 if p <= 0.0 else float(betaincinv(k, effective - k + 1.0, tail))
    high = 1.0 if p >= 1.0 else float(betaincinv(k + 1.0, effective - k, 1.0 - tail))
    return Part(name, p, (low, high), n)


def mean_of(
    values: Array, codes: NDArray[np.intp], level: float, name: str = "", bounds: Interval = (-1.0, 1.0)
) -> Part:
    """Return a mean with its interval: Student's t by prompt, or betting where few prompts changed (`_FEW_CHANGED`).

    Args:
        values: Games within `bounds`; NaN where there is none.
        codes: Prompt of each item.
        level: Confidence level.
        name: Of the part.
        bounds: The smallest and largest value possible.
    """
    flat, where = _flat(values, codes)
    n = int(flat.size)
    if not n:
        return Part(name, None, note="no game to average")
    means = per_prompt(values, codes)
    if _needs_betting(means):
        bounded = betting_interval(means, level, bounds=bounds)
        mean = float(flat.mean())
        return Part(name, mean, (min(bounded.ci[0], mean), max(bounded.ci[1], mean)), n)
    found = cluster_mean(flat, where, level=level)
    return Part(name, found.estimate, (max(bounds[0], found.ci[0]), min(bounds[1], found.ci[1])), n)


def _needs_betting(means: Array) -> bool:
    changed = int(np.count_nonzero(means))
    return bool(len(means) < _FEW or changed < min(_FEW_CHANGED, len(means)) or np.ptp(means) < 1e-12)


def sign_test(values: Array, codes: NDArray[np.intp], *, greater: bool = False) -> tuple[float, int, int]:
    """Test whether values above 0 and below 0 are equally likely: McNemar's exact test, one draw a prompt.

    Args:
        values: Differences, such as flips under an edit less flips under repetition; NaN where there is none.
        codes: Prompt of each item; a prompt counts by the sign of its mean.
        greater: Test against "above 0 is likelier" alone, else against either.

    Returns:
        p-value (1 where nothing differs), prompts above 0, prompts below 0.

    Source: McNemar, Psychometrika 12 (1947) 153; exact: Dixon and Mood, JASA 41 (1946) 557.
    """
    from scipy.special import bdtr

    means = per_prompt(values, codes)
    above, below = int((means > 1e-12).sum()), int((means < -1e-12).sum())
    if above + below == 0:
        return 1.0, 0, 0
    if greater:  # by symmetry as many or more above 0 are as likely as so few, or fewer, below it
        return float(bdtr(below, above + below, 0.5)), above, below
    return min(1.0, 2.0 * float(bdtr(min(above, below), above + below, 0.5))), above, below


@dataclass(frozen=True)
class Compared:
    """A figure under a change, the same figure without it, and what is left; `p_value` of "nothing is left"."""

    estimate: Part
    control: Part
    difference: Part
    p_value: float | None
    n: int


def compared(
    change: Array,
    control: Array,
    codes: NDArray[np.intp],
    level: float,
    *,
    shares: bool,
    exact: bool,
    greater: bool = False,
) -> Compared:
    """Compare a change with its control, game by game; games that lack either are left out of both.

    Args:
        change: What happened under the change, shape (n_items, n_orders): a hit (0 or 1) or a difference (-1..1).
        control: The same without it.
        codes: Prompt of each item.
        level: Confidence level.
        shares: They are hits.
        exact: Take the exact sign test, for verdicts; else a test of the mean by prompt, for probabilities and ratings:
            Student's t, or betting where few prompts changed.
        greater: The p-value is of "the change is at most the control", for what does harm in that direction alone; else
            of "they are equal". Intervals are two-sided either way.

    Raises:
        NoData: Fewer than two prompts have both.
    """
    both = np.isfinite(change) & np.isfinite(control)
    prompts = len(np.unique(codes[both.any(axis=1)]))
    if prompts < 2:
        raise NoData(f"{prompts} prompts with a verdict in every arm, at least 2 are needed")
    one, other = (np.where(both, values, np.nan) for values in (change, control))
    estimate = share_of if shares else mean_of
    left = mean_of(one - other, codes, level)  # both are taken from one draw: the difference stays within -1..1
    test = sign_test(one - other, codes, greater=greater)[0] if exact else _t_test(one - other, codes, greater)
    items = int(both.any(axis=1).sum())
    return Compared(
        replace(estimate(one, codes, level), n=items), replace(estimate(other, codes, level), n=items),
        replace(left, n=items, p_value=test), test, items,
    )  # fmt: skip


def _t_test(values: Array, codes: NDArray[np.intp], greater: bool) -> float:
    """Return the p-value of "the mean is 0" (or "at most 0"), by prompt: as the interval of `mean_of` is made."""
    from scipy.special import stdtr

    flat, where = _flat(values, codes)
    means = per_prompt(values, codes)
    if _needs_betting(means):
        above = betting_p_value(means, alpha=0.025)
        return above if greater else min(1.0, 2.0 * min(above, betting_p_value(-means, alpha=0.025)))
    found = cluster_mean(flat, where)
    if found.se == 0.0 or not math.isfinite(found.se):
        return 1.0 if abs(found.estimate) < 1e-12 else sign_test(values, codes, greater=greater)[0]
    t = found.estimate / found.se
    return float(stdtr(found.n_clusters - 1, -t) if greater else 2.0 * stdtr(found.n_clusters - 1, -abs(t)))
