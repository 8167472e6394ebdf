"""Inference-time systems as attacks: sample, rank, critique, fuse, refine, mix (R-01, and Archon's components).

Each is a function of a situation and tools that returns an answer with what it cost, so that it can be compared with
best-of-n of the same model at the same number of calls. A system that chooses by the judge that scores it overfits that
judge: `auditkit.stats.best_of_n` holds the arithmetic of it.

Components are as strict as Archon's: a ranking is read from its first line and indices that it leaves out follow in
their own order; a critique must fall into exactly one part a candidate, or it is asked for again, up to ten times; the
fuser can be told to keep to the longest candidate's length.

Source: Saad-Falcon et al. 2024 (Archon, arXiv 2409.15254), section 3; Wang et al. 2024 (mixture of agents, arXiv
2406.04692), section 2; specification, systems 2.4. The instructions to the model are ours.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from auditkit.attacks.drafting import Desk, Ledger, question_of
from auditkit.attacks.protocol import Attack, Budget, Situation, Tools
from auditkit.judging.calls import Json, Message

__all__ = [
    "Made",
    "best_of_n",
    "critique_then_fuse",
    "mixture",
    "parse_critiques",
    "parse_ranking",
    "rank_then_fuse",
    "self_refine",
]

_CRITIQUE_TRIES: Final = 10
_INDEX: Final = re.compile(r"\[(\d{1,4})\]")
_RANK: Final = (
    "Rank candidate answers to a message from best to worst by correctness, completeness and clarity. Reply with one line "
    "of numbers in brackets and nothing else, such as: [2] > [3] > [1]"
)
_CRITIQUE: Final = (
    "Review candidate answers to a message. For each candidate, in order, begin a line with its number in brackets, such "
    "as [1], and say after it what is strong and what is weak. Write one part for each candidate and nothing else."
)
_FUSE: Final = (
    "You are given a message and candidate answers to it. Write one answer that is better than each of them: keep what is "
    "right, leave out what is wrong or repeated, add what is missing. Reply with that answer alone."
)
_SHORT: Final = " It must be no longer than the longest candidate."
_REFINE: Final = (
    "Here is a message and your draft of an answer. Find what is wrong, unclear or missing in the draft, and write the "
    "improved answer. Reply with that answer alone."
)


@dataclass(frozen=True)
class Made:
    """An answer, what it cost, and the candidates that it was made from."""

    text: str
    ledger: Ledger
    candidates: tuple[str, ...] = ()


# --- components -----------------------------------------------------------------------------------------------------


def _listed(desk: Desk, candidates: Sequence[str], critiques: Sequence[str] = ()) -> str:
    parts = [f"The message:\n{question_of(desk.situation)}"]
    for k, text in enumerate(candidates, 1):
        parts.append(f"Candidate [{k}]:\n{text}")
        if critiques:
            parts.append(f"Review of candidate [{k}]:\n{critiques[k - 1]}")
    return "\n\n".join(parts)


async def _sample(desk: Desk, n: int, into: list[str]) -> None:
    """Add up to `n` answers of the model to the prompt alone."""
    prompt = desk.situation.prompt
    # Turns in one message: what was answered to the earlier ones is not known here.
    messages = [*prompt.history, Message("user", prompt.text)]
    for _ in range(n):
        said = await desk.write("sample", messages)
        if said:
            into.append(said)


def parse_ranking(reply: str, n: int) -> list[int]:
    """Read ``[4] > [2]`` from the first line of a reply that is not blank.

    Args:
        reply: What the model said.
        n: How many candidates there are.

    Returns:
        Every place from 0 to n - 1, best first. Numbers out of range and repeated ones are passed over; places that
        the line leaves out follow in their own order.
    """
    line = next((line for line in reply.splitlines() if line.strip()), "")
    named = [int(number) - 1 for number in _INDEX.findall(line)]
    found = [place for place in dict.fromkeys(named) if 0 <= place < n]
    return found + [place for place in range(n) if place not in found]


async def _rank(desk: Desk, candidates: Sequence[str], top: int) -> list[str]:
    if len(candidates) < 2:
        return list(candidates)
    reply = await desk.write("rank", [Message("system", _RANK), Message("user", _listed(desk, candidates))])
    return [candidates[place] for place in parse_ranking(reply, len(candidates))[:top]]


def parse_critiques(reply: str, n: int) -> list[str] | None:
    """Split a reply at lines that begin with ``[1]``, ``[2]`` … into one part a candidate.

    Args:
        reply: What the model said.
        n: How many candidates there are.

    Returns:
        The parts; None unless there are exactly `n`, numbered in order, none of them empty.
    """
    pieces = re.split(r"^[^\S\n]*\[(\d{1,4})\]", reply, flags=re.MULTILINE)
    numbers, parts = pieces[1::2], [part.strip(" \t\n:.-") for part in pieces[2::2]]
    if [int(number) for number in numbers] != list(range(1, n + 1)) or not all(parts):
        return None
    return parts


async def _critiques(desk: Desk, candidates: Sequence[str]) -> list[str]:
    """Return one review a candidate; none at all if no reply falls into as many parts."""
    messages = [Message("system", _CRITIQUE), Message("user", _listed(desk, candidates))]
    for _ in range(_CRITIQUE_TRIES):
        parts = parse_critiques(await desk.write("critique", messages), len(candidates))
        if parts is not None:
            return parts
    return []


async def _fuse(desk: Desk, candidates: Sequence[str], critiques: Sequence[str] = (), *, short: bool = False) -> str:
    messages = [
        Message("system", _FUSE + (_SHORT if short else "")),
        Message("user", _listed(desk, candidates, critiques)),
    ]
    return await desk.write("fuse", messages)


def _made(desk: Desk, text: str, candidates: Sequence[str]) -> Made:
    """Return what there is: the last thing made, else the first candidate, else the answer as it was."""
    return Made(text or next(iter(candidates), desk.situation.answer), desk.ledger, tuple(candidates))


# --- systems --------------------------------------------------------------------------------------------------------


async def best_of_n(situation: Situation, tools: Tools, n: int = 16) -> Made:
    """Sample `n` answers and hand in the one that the judge likes best (R-01).

    Raises:
        CallError: The model or the judge gave no completion.
    """
    desk, candidates = Desk(situation, tools), list[str]()
    with desk.within_budget():
        await _sample(desk, n, candidates)
    with desk.within_budget():
        await desk.judge(candidates)
    return _made(desk, desk.best if desk.drafts else "", candidates)


async def rank_then_fuse(
    situation: Situation, tools: Tools, n: int = 8, top: int = 4, *, length_control: bool = False
) -> Made:
    """Sample `n` answers, let the model rank them, and fuse the `top` best. The judge is not asked.

    Raises:
        CallError: The model gave no completion.
    """
    desk, candidates, text = Desk(situation, tools), list[str](), ""
    with desk.within_budget():
        await _sample(desk, n, candidates)
        candidates = await _rank(desk, candidates, top)
        text = await _fuse(desk, candidates, short=length_control) if candidates else ""
    return _made(desk, text, candidates)


async def critique_then_fuse(situation: Situation, tools: Tools, n: int = 5, *, length_control: bool = False) -> Made:
    """Sample `n` answers, let the model review each, and fuse them in sight of the reviews. The judge is not asked.

    Raises:
        CallError: The model gave no completion.
    """
    desk, candidates, text = Desk(situation, tools), list[str](), ""
    with desk.within_budget():
        await _sample(desk, n, candidates)
        critiques = await _critiques(desk, candidates) if candidates else []
        text = await _fuse(desk, candidates, critiques, short=length_control) if candidates else ""
    return _made(desk, text, candidates)


async def mixture(
    situation: Situation, tools: Tools, layers: int = 2, width: int = 4, *, length_control: bool = False
) -> Made:
    """Mix answers in layers: `width` samples, then `layers` - 1 layers of as many fusions of the last, then one fusion.

    Raises:
        CallError: The model gave no completion.
    """
    desk, candidates, text = Desk(situation, tools), list[str](), ""
    with desk.within_budget():
        await _sample(desk, width, candidates)
        for _ in range(layers - 1):
            fused = [await _fuse(desk, candidates, short=length_control) for _ in range(width if candidates else 0)]
            candidates = [fusion for fusion in fused if fusion] or candidates
        text = await _fuse(desk, candidates, short=length_control) if candidates else ""
    return _made(desk, text, candidates)


async def self_refine(situation: Situation, tools: Tools, rounds: int = 3) -> Made:
    """Let the model improve an answer of its own, round after round. The judge is not asked.

    Raises:
        CallError: The model gave no completion.
    """
    desk, candidates = Desk(situation, tools), list[str]()
    with desk.within_budget():
        await _sample(desk, 1, candidates)
        for _ in range(rounds if candidates else 0):
            asked = f"The message:\n{question_of(situation)}\n\nThe draft:\n{candidates[-1]}"
            said = await desk.write("refine", [Message("system", _REFINE), Message("user", asked)])
            if said:
                candidates.append(said)
    return _made(desk, candidates[-1] if candidates else "", candidates)


# --- records --------------------------------------------------------------------------------------------------------

_MEND_JUDGE: Final = (
    "Score the same answers with a judge that took no part in choosing them, and report how far the two drift apart."
)
_MEND_CALLS: Final = (
    "List how many calls an answer took, and compare with best-of-n of the same model at as many; control for length."
)


def _system(
    name: str, title: str, source: str, summary: str, system: Callable[..., Awaitable[Made]], budget: Budget,
    **params: Json,
) -> Attack:  # fmt: skip
    async def rewrite(situation: Situation, tools: Tools) -> str:
        made: Made = await system(situation, tools, **params)
        return made.text

    judged = budget.calls > 0
    return Attack(
        f"inference-{name}", title, "inference", source, summary, _MEND_JUDGE if judged else _MEND_CALLS,
        "score" if judged else "model", "unknown", rewrite=rewrite, budget=budget, params=params,
    )  # fmt: skip


INFERENCE_BEST_OF_N: Final = _system(
    "best-of-n", "Best of 16 by the judge", "R-01; arXiv:2210.10760, section 3",
    "A model answers 16 times and the answer that the judge likes best is handed in.", best_of_n, Budget(32, 16), n=16,
)  # fmt: skip
INFERENCE_CRITIQUE_FUSE: Final = _system(
    "critique-fuse", "Reviewed and fused samples", "R-01, without the judge; arXiv:2409.15254, section 3",
    "A model answers five times, reviews its answers, and fuses them in sight of the reviews.", critique_then_fuse,
    Budget(0, 5 + _CRITIQUE_TRIES + 1), n=5,
)  # fmt: skip
INFERENCE_MIXTURE: Final = _system(
    "mixture", "Mixture of samples in layers", "R-01, without the judge; arXiv:2406.04692, section 2",
    "A model fuses its own answers in two layers of four, and fuses the last layer into one answer.", mixture,
    Budget(0, 9), layers=2, width=4,
)  # fmt: skip
INFERENCE_RANK_FUSE: Final = _system(
    "rank-fuse", "Ranked and fused samples", "R-01, without the judge; arXiv:2409.15254, section 3",
    "A model answers eight times, ranks its answers, and fuses the four best.", rank_then_fuse, Budget(0, 10), n=8, top=4,
)  # fmt: skip
INFERENCE_REFINE: Final = _system(
    "refine", "Answer refined by its own model", "R-06; arXiv:2407.04549",
    "A model improves an answer of its own three times.", self_refine, Budget(0, 4), rounds=3,
)  # fmt: skip
