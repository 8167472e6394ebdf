"""The judge as a search may ask it: within a budget, about search prompts alone, told no more than its access allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from auditkit.attacks.arena import Arena, Item, Judged, Trial, submitted
from auditkit.attacks.protocol import Access, BudgetSpent, Seen, Try
from auditkit.judging.calls import Completion
from auditkit.judging.spec import JudgeSpec
from auditkit.records import Order

__all__ = ["IN_SEARCH", "JudgeOracle"]

#: Added to the sample numbers of a search: what is reported comes from other draws of the judge.
IN_SEARCH: Final = 1000


class JudgeOracle:
    """An `auditkit.attacks.protocol.Oracle` over an arena.

    Args:
        arena: The judge.
        items: The search prompts: the only ones that it answers about.
        access: What it tells.
        calls: The budget.
        replaces: A text takes the place of every turn's answer (`auditkit.attacks.protocol.Attack`).
    """

    def __init__(
        self, arena: Arena, items: Sequence[Item], access: Access, calls: int, *, replaces: bool = False
    ) -> None:
        self._arena = arena
        self._items: Mapping[str, Item] = {item.prompt.id: item for item in items}
        self._access = access
        self._budget = calls
        self._calls = 0
        self._replaces = replaces

    @property
    def access(self) -> Access:
        """What it tells."""
        return self._access

    @property
    def calls(self) -> int:
        """Calls made so far."""
        return self._calls

    @property
    def left(self) -> int:
        """Calls that the budget still has."""
        return self._budget - self._calls

    def cost(self, tries: Sequence[Try]) -> int:
        """Return how many calls these tries would take, retries aside."""
        return sum(self._arena.calls_for(self._trials(one)) for one in tries)

    async def ask(self, tries: Sequence[Try]) -> list[Seen]:
        """Ask about several answers at once.

        Raises:
            BudgetSpent: They take more calls than are left; none is made.
            ValueError: A try is about a prompt that is no search prompt: the attack is at fault.
            AuditkitError: As `Arena.play`.
        """
        groups = [self._trials(one) for one in tries]
        need = sum(self._arena.calls_for(group) for group in groups)
        if need > self.left:
            raise BudgetSpent(f"{need} calls are asked for, and {self.left} of {self._budget} are left")
        flat = await self._arena.play([trial for group in groups for trial in group])
        self._calls += need
        rest = iter(flat)
        return [self._seen(group, [next(rest) for _ in group]) for group in groups]

    def _trials(self, one: Try) -> list[Trial]:
        situation = one.situation
        item = self._items.get(situation.prompt.id)
        if item is None:
            raise ValueError(f"a search asked about prompt {situation.prompt.id!r}, which is not one of its own")
        own = submitted(item, one.text, self._replaces)
        return self._arena.trials(item, own, order=one.order, sample=IN_SEARCH + one.sample)

    def _seen(self, trials: Sequence[Trial], judged: Sequence[Judged]) -> Seen:
        outcomes = [game.outcome for game in judged]
        if self._access in ("none", "verdict", "model"):
            outcomes = [o if math.isnan(o) else 1.0 if o > 0.5 else 0.0 if o < 0.5 else 0.5 for o in outcomes]
        known = [o for o in outcomes if not math.isnan(o)]
        logprobs: tuple[tuple[float | None, float], ...] = ()
        if self._access == "logprob":
            logprobs = tuple(
                found
                for trial, game in zip(trials, judged, strict=True)
                if (found := _winning(self._arena.judge, trial.order, game.completions)) is not None
            )
        return Seen(
            float(np.mean(known)) if known else math.nan,
            sum(game.calls for game in judged),
            logprobs,
            tuple(completion.text for game in judged for completion in game.completions),
        )


def _winning(judge: JudgeSpec, order: Order, said: Sequence[Completion]) -> tuple[float | None, float] | None:
    """Return the log-probability of the label by which the own answer wins (None: not listed), and the least listed;
    None where no log-probabilities came back: they bound nothing.
    """
    tokens = (said[-1].logprobs or ()) if said else ()
    token = next((t for t in tokens if t.token.strip()), tokens[0] if tokens else None)
    if token is None:
        return None
    wanted = 0.0 if order == "model_second" else 1.0
    labels = {label for label, meaning in judge.verdict.labels.items() if meaning.outcome == wanted}
    top = {token.token: token.logprob} | dict(token.top)
    hits = [math.exp(value) for text, value in top.items() if text.strip() in labels]
    return (math.log(math.fsum(hits)) if math.fsum(hits) > 0 else None), min(top.values())
