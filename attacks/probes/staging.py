"""How arms are made: an answer edited, both answers edited, the judge's instructions changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from auditkit.attacks.probes.protocol import Arm, Staged
from auditkit.attacks.protocol import Situation
from auditkit.judging.spec import JudgeSpec, MessageTemplate

__all__ = ["as_it_is", "both", "changeable", "edited", "instructed", "prefixed"]

Edit = Callable[[Situation], str]


def as_it_is(situation: Situation) -> Staged:
    """Show the item as it is."""
    return Staged(situation.prompt.turns, situation.answer, situation.opponent, situation.judge)


def edited(edit: Edit) -> Arm:
    """Return the arm with the own answer edited; it does not apply where the edit changes nothing."""

    def arm(situation: Situation) -> Staged | None:
        if not situation.answer.strip():
            return None
        text = edit(situation)
        return None if text == situation.answer else replace(as_it_is(situation), own=text)

    return arm


def both(own: str, opponent: str) -> Arm:
    """Return the arm with a sentence after each answer; where the judge sees one answer, after that alone."""

    def arm(situation: Situation) -> Staged | None:
        if not situation.answer.strip():
            return None
        shown = as_it_is(situation)
        met = f"{shown.opponent}\n\n{opponent}" if shown.opponent.strip() else shown.opponent
        return replace(shown, own=f"{shown.own}\n\n{own}", opponent=met)

    return arm


def changeable(judge: JudgeSpec) -> bool:
    """Tell whether a sentence can be put before a judge's instructions (AlpacaEval's tags leave no room for one)."""
    return judge.rendering != "alpaca_eval"


@lru_cache(maxsize=256)
def prefixed(judge: JudgeSpec, text: str) -> JudgeSpec:
    """Return the judge with a sentence before its instructions."""
    templates = tuple(
        replace(t, messages=(MessageTemplate(t.messages[0].role, f"{text}\n\n{t.messages[0].text}"), *t.messages[1:]))
        for t in judge.templates
    )
    return replace(judge, templates=templates)


def instructed(text: str | Callable[[JudgeSpec], str]) -> Arm:
    """Return the arm with a sentence before the judge's instructions."""

    def arm(situation: Situation) -> Staged | None:
        said = text if isinstance(text, str) else text(situation.judge)
        return replace(as_it_is(situation), judge=prefixed(situation.judge, said)) if said else None

    return arm
