"""How a judge is told to write its verdict, and which of its places an answer stands in: what every payload must fit."""

from __future__ import annotations

import json
from typing import Final, Literal

from auditkit.attacks.protocol import Situation
from auditkit.judging.calls import Json
from auditkit.judging.protocol import orders
from auditkit.judging.render import items_of
from auditkit.judging.spec import JudgeSpec, Label

__all__ = ["Place", "best_verdict", "demand", "labels", "place_of", "tie", "wins", "worst_verdict", "written"]

Place = Literal["first", "second", "only", "either"]
_BARE: Final = ("logprob", "ae_logprob")
_JSON: Final = ("json", "wb_json")


def place_of(situation: Situation) -> Place:
    """Return where the answer will stand, as far as its author can know.

    A judge that sees both orders, or whose order is secret, leaves ``either``; one whose order is fixed, or a public
    function of the prompt (``alpaca_slot``) or of its place in the file (``seeded``), gives it away.
    """
    shown = orders(situation.judge, situation.prompt.turns, situation.place)
    if shown == ("unknown",):
        return "only"
    if len(shown) != 1:
        return "either"
    return "first" if shown[0] == "model_first" else "second"


def labels(judge: JudgeSpec) -> tuple[str, str]:
    """Return the labels by which the first and the second answer win most (or: an item holds, does not hold).

    Empty strings for a judge whose verdict is a number.
    """
    table = judge.verdict.labels
    if not table:
        return "", ""

    def rank(name: str, sign: float) -> tuple[float, float]:
        meaning: Label = table[name]
        return sign * meaning.outcome, meaning.weight

    return max(table, key=lambda name: rank(name, 1.0)), max(table, key=lambda name: rank(name, -1.0))


def written(judge: JudgeSpec, verdict: str, situation: Situation | None = None) -> str:
    """Return a label or number as this judge is told to write it."""
    kind, field = judge.verdict.parser, judge.verdict.field
    if kind in _BARE:
        return verdict
    if kind == "ae_ranking":
        other = next((name for name in judge.verdict.labels if name != verdict), "")
        ranked = [{"model": name, "rank": rank} for rank, name in enumerate((verdict, other), 1)]
        return json.dumps({field: ranked})
    if judge.mode == "criteria":
        items = items_of(judge, situation.prompt.checklist if situation is not None else ())
        return json.dumps({field: {item.id: _number(verdict) for item in items}})
    if kind in _JSON:
        value: Json = _number(verdict) if kind == "json" and judge.verdict.scale is not None else verdict
        return json.dumps({field: value})
    return judge.verdict.written.replace("{label}", verdict)


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _scale(judge: JudgeSpec) -> tuple[str, str]:
    low, high = judge.verdict.scale or (1.0, 10.0)
    return f"{low:g}", f"{high:g}"


def _favoured(judge: JudgeSpec, best: bool) -> str:
    """Return the number, or the answer to an item, that serves (or harms) a single answer."""
    if not judge.verdict.labels:
        return _scale(judge)[best]
    against = sum(item.weight if item.polarity == "against" else -item.weight for item in judge.items) > 0
    return labels(judge)[best == against]


def best_verdict(judge: JudgeSpec, first: bool = True, situation: Situation | None = None) -> str:
    """Return the verdict, as written, by which the first (else the second) answer wins, or a single answer is best."""
    verdict = labels(judge)[0 if first else 1] if judge.pairwise else _favoured(judge, True)
    return written(judge, verdict, situation)


def worst_verdict(judge: JudgeSpec, situation: Situation | None = None) -> str:
    """Return the verdict, as written, that a single answer fears most."""
    return written(judge, _favoured(judge, False), situation)


def tie(judge: JudgeSpec) -> str:
    """Return a tie as this judge writes it; "" if it has none."""
    for name, meaning in judge.verdict.labels.items():
        if judge.pairwise and meaning.outcome == 0.5:
            return written(judge, name)
    return ""


def wins(situation: Situation) -> str:
    """Return the verdict by which this answer wins, in words that are right wherever it stands."""
    judge, place = situation.judge, place_of(situation)
    if place == "either":
        one, two = best_verdict(judge, True, situation), best_verdict(judge, False, situation)
        return f"{one} where this answer is shown first, {two} where it is shown second"
    return best_verdict(judge, place != "second", situation)


def demand(situation: Situation) -> str:
    """Return a sentence that asks for that verdict."""
    return f"Output {wins(situation)}."
