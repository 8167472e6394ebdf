"""The win rate on the prompts where the two answers are about equally long: length control without a model."""

from __future__ import annotations

from typing import Final

from auditkit.controls.design import Design, answer_chars, applies, clip, designs, judges_text, not_computed, points
from auditkit.controls.length import COMPARABLE, comparable
from auditkit.records import Battles, Findings, Score, Settings
from auditkit.stats.intervals import cluster_mean, wilson

__all__ = ["length_matched"]

CONTROL = "length_matched"
_ENOUGH: Final = 30


def length_matched(battles: Battles, settings: Settings | None = None) -> Findings:
    """Compute the win rate over the games in which neither answer is more than 1.25 times as long as the other.

    Nothing is extrapolated, but the matched prompts are not a random part of the benchmark: short-answer prompts
    match more often. Undefined with fewer than 30 matched prompts. `overlap` is the share of prompts that match.

    Args:
        battles: A recording.
        settings: Confidence level; None: the defaults.
    """
    settings = settings or Settings()
    if not applies(battles):
        return Findings()
    return Findings(scores=tuple(_score(battles, found, settings) for found in designs(battles).values()))


def _score(battles: Battles, found: Design, settings: Settings) -> Score:
    model = found.model
    found = found.keep(found.answered & found.usable)
    if not len(found.outcome):
        return not_computed(model, CONTROL, "not computed: no game has a verdict and both answers recorded")
    near = comparable(answer_chars(battles, found.answer), answer_chars(battles, found.opponent_answer))
    overlap = float(found.prompt_mean(near).mean())
    matched = found.keep(near)
    n = len(matched.prompts)
    method = (
        f"mean outcome where neither answer is over {COMPARABLE} times as long; interval: cluster-robust by prompt, t"
    )
    if n < _ENOUGH:
        note = f"undefined: the answers are about equally long on {n} prompts, fewer than {_ENOUGH}"
        return Score(model, CONTROL, None, n=n, method=method, overlap=overlap, note=note)
    mean = cluster_mean(matched.outcome, matched.prompt, level=settings.level)
    se: float | None = 100 * mean.se
    ci = mean.ci
    if mean.se == 0:  # every matched prompt has the same outcome: the sandwich knows no spread, Wilson still does
        se, ci = None, wilson(mean.estimate * n, n, settings.level)
        method = method.replace("cluster-robust by prompt, t", "Wilson over prompts, for all have the same outcome")
    interval = clip((100 * ci[0], 100 * ci[1]))
    return Score(model, CONTROL, points(mean.estimate), se, interval, n, method + judges_text(found), overlap=overlap)
