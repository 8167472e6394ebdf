"""Both orders or a tie: the win rate of a judge whose verdict counts only where swapping the answers does not change it."""

from __future__ import annotations

from typing import Final

import numpy as np

from auditkit.controls.design import Design, applies, clip, designs, judges_text, not_computed, points
from auditkit.errors import NoData
from auditkit.records import Battles, Findings, Score, Settings
from auditkit.stats.intervals import cluster_mean, dense_codes, wilson

__all__ = ["AGGREGATE", "swap_and_tie"]

CONTROL = "swap_and_tie"
#: Kind of the note by which a recording says that its judge's protocol counts disagreement as a tie.
AGGREGATE: Final = "aggregate"


def swap_and_tie(battles: Battles, settings: Settings | None = None) -> Findings:
    """Compute the win rate in which a pair counts as won or lost only where both orders name the same winner.

    Any other pair (a flip, a tie either way) is a tie. Only for recordings of a judge whose file says so (``aggregate =
    "swap_and_tie"``). Pairs that lack a verdict in one order are left out and counted in the note. The interval clusters
    by prompt.

    Args:
        battles: A recording.
        settings: Confidence level; None: the defaults.

    Source: Zheng et al. 2023, arXiv:2306.05685, section 3.4; FastChat ``show_result.py`` (win only if both games agree).
    """
    settings = settings or Settings()
    if not applies(battles) or not any(n.kind == AGGREGATE and n.text.startswith(CONTROL) for n in battles.notes):
        return Findings()
    return Findings(scores=tuple(_score(found, settings) for found in designs(battles).values()))


def _score(found: Design, settings: Settings) -> Score:
    known = found.keep(found.usable & np.isfinite(found.order))
    keys = dense_codes(known.pair)
    n_pairs = int(keys.max(initial=-1)) + 1
    second = known.order > 0
    lost, won = np.ones(n_pairs, dtype=bool), np.ones(n_pairs, dtype=bool)
    seen = np.zeros((2, n_pairs), dtype=bool)
    for slot in (0, 1):
        rows = second == bool(slot)
        seen[slot, keys[rows]] = True
    np.logical_and.at(won, keys, known.outcome > 0.5)
    np.logical_and.at(lost, keys, known.outcome < 0.5)
    both = seen.all(axis=0)
    if not both.any():
        return not_computed(found.model, CONTROL, "not computed: no pair has a verdict in both orders")
    prompt = np.empty(n_pairs, dtype=np.intp)
    prompt[keys] = known.prompt
    value = np.where(won, 1.0, np.where(lost, 0.0, 0.5))[both]
    ties = int((value == 0.5).sum())
    n = len(np.unique(prompt[both]))
    missing = len(np.unique(found.pair)) - int(both.sum())
    note = f"of {len(value)} pairs {int((value == 1).sum())} won, {ties} tied, {int((value == 0).sum())} lost"
    note += f"; {missing} pairs without a verdict in both orders left out" if missing else ""
    method = "pairs on which both orders agree, others ties; interval: cluster-robust by prompt, t" + judges_text(found)
    try:
        mean = cluster_mean(value, prompt[both], level=settings.level)
    except NoData as error:
        return Score(found.model, CONTROL, points(float(value.mean())), n=n, method=method, note=f"{note}; {error}")
    interval, se = (100 * mean.ci[0], 100 * mean.ci[1]), 100 * mean.se
    if mean.se == 0:  # every prompt has the same outcome: the sandwich knows no spread, Wilson still does
        low, high = wilson(mean.estimate * n, n, settings.level)
        interval = (100 * low, 100 * high)
    return Score(found.model, CONTROL, points(mean.estimate), se, clip(interval), n, method, note=note)
