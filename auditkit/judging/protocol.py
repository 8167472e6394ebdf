"""Which calls a judge makes: games and their order, calls that need not be made, and what a retry says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from auditkit.formats.alpaca_eval import model_first
from auditkit.judging.calls import Message
from auditkit.judging.parsed import Parsed, labelled, scored
from auditkit.judging.render import Text, items_of
from auditkit.judging.spec import JudgeSpec
from auditkit.records import Order

__all__ = ["Planned", "decided", "games_for", "orders", "retry_messages"]


@dataclass(frozen=True)
class Planned:
    """One call to make: the order of the answers (``unknown`` where one is shown), how many turns are judged
    together, and the number of the item that is asked about (None: none).
    """

    order: Order
    turn: int
    item: int | None = None


@lru_cache(maxsize=8)
def _draws(seed: int, count: int) -> tuple[bool, ...]:
    generator = random.Random(seed)  # noqa: S311  WildBench's published draw, not a secret
    return tuple(generator.random() < 0.5 for _ in range(count))


def orders(spec: JudgeSpec, turns: Text, index: int = 0) -> tuple[Order, ...]:
    """Return the orders in which a pairwise judge sees a pair, first game first.

    Args:
        spec: The judge.
        turns: The user's turns.
        index: Place of the prompt in the benchmark's file, from 0 (only ``seeded`` looks at it).

    Returns:
        One or two orders; ``("unknown",)`` for a judge that sees one answer at a time.
    """
    if not spec.pairwise:
        return ("unknown",)
    both: tuple[Order, Order] = ("model_first", "model_second")
    match spec.order:
        case "both":
            return both if spec.first_game == "model_first" else both[::-1]
        case "alpaca_slot":
            instruction = turns if isinstance(turns, str) else "\n\n".join(turns)
            return (both[0],) if model_first(instruction) else (both[1],)
        case "seeded":
            # Rounded up, so that a file of n prompts draws a handful of times, not n times.
            drawn = _draws(spec.seed, (index // 4096 + 1) * 4096)
            return (both[0],) if drawn[index] else (both[1],)
        case _:
            return (spec.order,)


def games_for(spec: JudgeSpec, turns: Text, *, checklist: Sequence[str] = (), index: int = 0) -> tuple[Planned, ...]:
    """Return every call that judging one answer (or pair) on one prompt takes, in the judge's order.

    Args:
        spec: The judge.
        turns: The user's turns.
        checklist: The prompt's checklist.
        index: Place of the prompt in the benchmark's file, from 0.
    """
    last = 1 if isinstance(turns, str) else len(turns)
    judged = range(1, last + 1) if spec.turns == "each" else (last,)
    asked: Sequence[int | None] = (None,)
    if spec.mode in ("checklist", "principles"):
        asked = range(len(items_of(spec, checklist)))
    return tuple(
        Planned(order, turn, item) for turn in judged for order in orders(spec, turns, index) for item in asked
    )


def decided(spec: JudgeSpec, answers: Sequence[Text], order: Order = "model_first") -> Parsed | None:
    """Return the verdict that needs no call, None where a call is needed.

    Args:
        spec: The judge.
        answers: The model's answer and the opponent's, or the model's; as for `auditkit.judging.render.render`.
        order: Which of the two would be shown first.
    """
    texts = ["\n\n".join((a,) if isinstance(a, str) else a) for a in answers]
    if order == "model_second":
        texts.reverse()
    table = spec.verdict.labels
    if spec.pairwise and spec.identical_is_tie and texts[0] == texts[1]:
        return Parsed(True, outcome=0.5, low=0.5, high=0.5, reason="equal answers: a tie without a call")
    blank = [not text.strip() for text in texts]
    if not spec.empty_loses or not any(blank):
        return None
    if not spec.pairwise:
        lowest = spec.verdict.scale[0] if spec.verdict.scale else 0.0
        return scored(lowest, f"{lowest:g}", spec.verdict.scale)
    wanted = 0.5 if all(blank) else 0.0 if blank[0] else 1.0
    label = max((x for x in table if table[x].outcome == wanted), key=lambda x: table[x].weight, default="")
    if not label:
        return Parsed(True, outcome=wanted, low=wanted, high=wanted, reason="a blank answer: decided without a call")
    return labelled(label, table)


def retry_messages(spec: JudgeSpec, messages: Sequence[Message], reply: str) -> tuple[Message, ...]:
    """Return what is sent after a reply without a verdict: the same again, or the reply and a reminder."""
    if not spec.retry_text:
        return tuple(messages)
    return (*messages, Message("assistant", reply), Message("user", spec.retry_text))
