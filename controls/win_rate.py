"""The raw win rate: the mean verdict, with the split into wins, ties and losses beside it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from auditkit.controls.design import Design, applies, clip, designs, judges_text, not_computed, points
from auditkit.errors import NoData
from auditkit.records import Battles, Findings, Score, Settings
from auditkit.stats.intervals import cluster_mean, wilson

__all__ = ["Bounds", "missing_bounds", "raw"]

CONTROL = "raw"


class Bounds(NamedTuple):
    """The raw win rate under three readings of what is missing, in percent.

    Attributes:
        dropped: Missing games left out (what the raw score does); None if no game is usable.
        all_lost: Every missing game counted as lost.
        all_won: Every missing game counted as won.
        missing: How many games are missing: unanswered or unjudged prompts, and games without a verdict.
    """

    dropped: float | None
    all_lost: float
    all_won: float
    missing: float


def raw(battles: Battles, settings: Settings | None = None) -> Findings:
    """Compute the raw win rate of every model.

    The estimate is the plain mean of the outcomes (a tie or a soft verdict counts as its fraction), in percent.
    Games without a verdict are left out and counted in the note. The standard error clusters by prompt;
    `published_se` is AlpacaEval's ``100 * sd(ddof=1) / sqrt(n games)``, which takes games as independent.

    Args:
        battles: A recording.
        settings: Confidence level; None: the defaults.

    Source: alpaca_eval v0.6.6, ``metrics/helpers.py`` (point estimate and published standard error).
    """
    settings = settings or Settings()
    if not applies(battles):
        return Findings()
    return Findings(scores=tuple(_score(found, settings) for found in designs(battles).values()))


def _score(found: Design, settings: Settings) -> Score:
    used = found.keep(found.usable)
    if not len(used.outcome):
        return not_computed(found.model, CONTROL, "no game of this model has a verdict")
    y = used.outcome
    n = len(used.prompts)
    method = "mean outcome; interval: cluster-robust by prompt, t" + judges_text(found)
    note = split_text(used, found.without_verdict)
    try:
        mean = cluster_mean(y, used.prompt, level=settings.level)
    except NoData as error:
        note = f"{note}; no interval: {error}"
        return Score(found.model, CONTROL, points(float(y.mean())), n=n, method=method, note=note)
    interval, se = (100 * mean.ci[0], 100 * mean.ci[1]), 100 * mean.se
    if mean.se == 0:  # every prompt has the same outcome: the sandwich knows no spread, Wilson still does
        low, high = wilson(mean.estimate * n, n, settings.level)
        interval = (100 * low, 100 * high)
        method = "mean outcome; interval: Wilson over prompts, for all have the same outcome" + judges_text(found)
    published = 100 * float(y.std(ddof=1)) / math.sqrt(len(y)) if len(y) > 1 else None
    return Score(
        found.model, CONTROL, points(mean.estimate), se, clip(interval), n, method, published_se=published, note=note
    )


def split_text(used: Design, without_verdict: int) -> str:
    """Say how many games were won, tied and lost, and how many have no verdict."""
    y = used.outcome
    share = [100 * float(np.mean(part)) for part in (y > 0.5, y == 0.5, y < 0.5)]
    text = "win {:.1f}%, tie {:.1f}%, loss {:.1f}% of {} games".format(*share, len(y))
    return f"{text}; {without_verdict} games without a verdict left out" if without_verdict else text


def missing_bounds(battles: Battles, model: str) -> Bounds:
    """Return the raw win rate with what is missing dropped, lost and won.

    Missing are the benchmark's prompts that the model has no game on (as many games each as it has on the
    others) and its games without a verdict.
    """
    games = battles.games_of(model)
    games = games[games["variant"] == ""]
    outcome = games["outcome"].to_numpy()
    y = outcome[np.isfinite(outcome)]
    n_prompts = games["prompt_id"].nunique()
    each = len(outcome) / n_prompts if n_prompts else 1.0
    missing = (len(outcome) - len(y)) + each * max(0, battles.benchmark.expected - n_prompts)
    total = len(y) + missing
    dropped = points(float(y.mean())) if len(y) else None
    if total == 0:
        return Bounds(dropped, 0.0, 100.0, 0.0)
    won = float(y.sum())
    return Bounds(dropped, points(won / total), points((won + missing) / total), missing)
