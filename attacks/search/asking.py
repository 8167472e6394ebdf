"""What every search shares: games in a fixed order, what an answer of the judge is worth, and what may still be spent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from auditkit.attacks.protocol import Budget, Oracle, Seen, Situation, Try
from auditkit.errors import NoData
from auditkit.records import Order

__all__ = ["FURTHEST", "Game", "Purse", "advantage", "games_of", "loss"]

#: Log-odds beyond which more is not told apart: a probability of one in 160,000.
FURTHEST: Final = 12.0


@dataclass(frozen=True)
class Game:
    """One question to the judge apart from the answer tried: a situation, and the order in which the pair is shown."""

    situation: Situation
    order: Order | None

    def with_text(self, text: str, sample: int = 0) -> Try:
        """Return the try of an answer in this game."""
        return Try(self.situation, text, self.order, sample)


def games_of(situations: Sequence[Situation]) -> list[Game]:
    """Return the games of some prompts, prompt by prompt: two each where the judge sees a pair in both orders.

    Raises:
        NoData: There is no prompt.
    """
    if not situations:
        raise NoData("a search needs at least one search prompt")
    games: list[Game] = []
    for situation in situations:
        if situation.judge.pairwise and situation.judge.order == "both":
            games += [Game(situation, "model_first"), Game(situation, "model_second")]
        else:
            games.append(Game(situation, None))
    return games


class Purse:
    """An oracle, and what one search may still spend of its own budget and of the oracle's.

    Args:
        oracle: The judge.
        budget: The search's own.
    """

    def __init__(self, oracle: Oracle, budget: Budget) -> None:
        self._oracle = oracle
        self._before = oracle.calls
        self._most = budget.calls

    @property
    def calls(self) -> int:
        """Calls that this search has made."""
        return self._oracle.calls - self._before

    @property
    def left(self) -> int:
        """Calls that it may still make."""
        return min(self._most - self.calls, self._oracle.left)

    def cost(self, tries: Sequence[Try]) -> int:
        """Return how many calls these tries would take."""
        return self._oracle.cost(tries)

    def affords(self, tries: Sequence[Try]) -> bool:
        """Tell whether the calls that these tries take are left."""
        return self.cost(tries) <= self.left

    async def ask(self, tries: Sequence[Try]) -> list[Seen]:
        """Ask, as `auditkit.attacks.protocol.Oracle.ask`."""
        return await self._oracle.ask(tries)


def loss(seen: Seen, *, survivors: bool = False) -> float:
    """Return the mean over games of the negative log-probability (nats) of the label by which the answer wins.

    A label that is not listed is at most as likely as the least likely one that is: its log-probability is taken to be
    that bound. Infinite where no log-probabilities came back.

    Args:
        seen: What the judge said.
        survivors: Leave out games whose label is not listed, as the published search does: an answer that makes the
            judge say neither label then looks good.

    Source: specification A.2, defect 1.
    """
    terms = []
    for wanted, least in seen.logprobs:
        if wanted is not None:
            terms.append(-wanted)
        elif not survivors:
            terms.append(-least if least < 0 else math.inf)
    return sum(terms) / len(terms) if terms else math.inf


def advantage(seen: Seen) -> float:
    """Return the log-odds (nats) that the answer wins, within ±12; -12 where the judge gave no verdict.

    Unlike a probability it adds up: what one change of the text is worth hardly depends on how far ahead the answer
    is, so changes can be compared on few games.
    """
    if len(seen.logprobs) == 1 and seen.logprobs[0][0] is None:
        value = -loss(seen)
    elif math.isnan(seen.outcome):
        return -FURTHEST
    else:
        p = min(max(seen.outcome, 1e-9), 1 - 1e-9)
        value = math.log(p) - math.log1p(-p)
    return min(max(value, -FURTHEST), FURTHEST)
