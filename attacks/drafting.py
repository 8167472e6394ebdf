"""One prompt's attacker at work: what the model writes, how the judge takes it, and what both cost.

Rewriters, inference-time systems and written injections share it. What the judge says here is never reported: it has
chosen the text. Whatever is handed in is judged again, with other draws.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from auditkit.attacks.protocol import BudgetSpent, Situation, Tools, Try
from auditkit.judging.calls import Message, Rejected
from auditkit.text import count_tokens

__all__ = ["Desk", "Draft", "Ledger", "Step", "between", "question_of"]

#: What the model may write is bound to the length of the answer under attack, in tokens: some models never stop.
_TIMES, _SHORTEST, _LONGEST = 4, 512, 4096


@dataclass(frozen=True)
class Step:
    """What one kind of step cost: calls of the model, and the tokens of what it read and wrote (`cl100k_base`)."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class Ledger:
    """What an answer cost: calls and tokens of the model step by step, and calls of the judge.

    Attributes:
        steps: By name: ``sample``, ``rank``, ``critique`` …
        judge_calls: Calls of the judge.
    """

    steps: Mapping[str, Step] = field(default_factory=dict)
    judge_calls: int = 0

    @property
    def total(self) -> Step:
        """All steps together."""
        every = self.steps.values()
        return Step(
            sum(step.calls for step in every),
            sum(step.tokens_in for step in every),
            sum(step.tokens_out for step in every),
        )


@dataclass(frozen=True)
class Draft:
    """A text, how it did in the loop (0..1; NaN without a verdict), and what the judge said."""

    text: str
    score: float
    said: str = ""


class Desk:
    """A situation and the tools for it.

    Args:
        situation: The prompt and its answers.
        tools: The attacker's model, and the judge.
    """

    def __init__(self, situation: Situation, tools: Tools) -> None:
        self.situation = situation
        self._tools = tools
        self._judge_before = tools.oracle.calls
        self._steps: dict[str, Step] = {}
        self._samples: dict[tuple[Message, ...], int] = {}
        self.drafts: list[Draft] = []
        tokens = int(count_tokens([situation.answer], "cl100k_base")[0][0])
        self._most = min(max(_TIMES * tokens, _SHORTEST), _LONGEST)

    @property
    def ledger(self) -> Ledger:
        """What has been spent so far."""
        return Ledger(dict(self._steps), self._tools.oracle.calls - self._judge_before)

    @property
    def ranked(self) -> list[Draft]:
        """The judged drafts, best first; of equals the earlier one."""
        return sorted(self.drafts, key=lambda draft: -_known(draft.score))

    @property
    def best(self) -> str:
        """The text of the best draft; the answer as it was if there is none."""
        return self.ranked[0].text if self.drafts else self.situation.answer

    @contextmanager
    def within_budget(self) -> Iterator[None]:
        """Stop a loop, and carry on after it, when no call is left."""
        try:
            yield
        except BudgetSpent:
            return

    async def write(self, step: str, messages: Sequence[Message], most: int | None = None) -> str:
        """Return what the model says, without blanks around it; "" if its provider refuses the request.

        The same messages again are another draw.

        Args:
            step: Name of the step in the ledger.
            messages: The conversation.
            most: Most tokens of the reply; None: some times as many as the answer under attack has.

        Raises:
            BudgetSpent: No call is left.
            CallError: The model gave no completion.
        """
        key = tuple(messages)
        sample = self._samples.get(key, 0)
        self._samples[key] = sample + 1
        try:
            # Draws must differ, and some models take no other temperature.
            said = await self._tools.write(messages, {"temperature": 1.0, "max_tokens": most or self._most}, sample)
        except Rejected:
            said = ""
        spent = self._steps.get(step, Step())
        asked, told = (int(n) for n in count_tokens(["\n".join(m.content for m in messages), said], "cl100k_base")[0])
        self._steps[step] = Step(spent.calls + 1, spent.tokens_in + asked, spent.tokens_out + told)
        return said.strip()

    async def judge(self, texts: Sequence[str]) -> list[Draft]:
        """Have texts judged and keep them as drafts. Blank texts, and texts judged before, are not asked about again.

        Raises:
            BudgetSpent: No call is left; texts that could be paid for are judged first.
            CallError: The judge gave no completion.
        """
        known = {draft.text: draft for draft in self.drafts}
        fresh = [text for text in dict.fromkeys(texts) if text.strip() and text not in known]
        oracle = self._tools.oracle
        tries = [Try(self.situation, text) for text in fresh]
        groups = [tries] if oracle.cost(tries) <= oracle.left else [[one] for one in tries]
        for group in groups:
            for one, seen in zip(group, await oracle.ask(group) if group else [], strict=True):
                said = next((text for text in seen.texts if text.strip()), "")
                known[one.text] = Draft(one.text, seen.outcome, said)
                self.drafts.append(known[one.text])
        return [known[text] for text in texts if text in known]


def _known(score: float) -> float:
    return -1.0 if math.isnan(score) else score


@lru_cache(maxsize=8)
def _tagged(tag: str) -> re.Pattern[str]:
    return re.compile(rf"<{tag}>(.*?)(?:</{tag}>|\Z)", re.DOTALL | re.IGNORECASE)


def between(text: str, tag: str = "answer") -> str:
    """Return what stands in the last ``<tag>…</tag>`` of a reply, closed or not; all of the reply if there is none."""
    found = _tagged(tag).findall(text)
    return (found[-1] if found else text).strip()


def question_of(situation: Situation) -> str:
    """Return the prompt as text: the conversation before it, then its turns."""
    before = [f"{message.role.upper()}: {message.content}" for message in situation.prompt.history]
    return "\n\n".join((*before, *situation.prompt.turns))
