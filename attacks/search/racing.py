"""Race texts against each other with few games: top-two Thompson sampling with Beta posteriors, on paired games.

What one game tells may be as little as who won. All arms meet the same games in the same order, so that an easy prompt
favours nobody. Games go to the arms that may still be best; the race ends early when the leader is better than every
other arm with the probability asked for.

Source: Russo 2016 (arXiv 1602.08448), section 3, with beta = 1/2. Against successive halving (Karnin et al. 2013) it
found the best of 16 arms (0.7 against 0.3, 160 games) in 95% instead of 85% of simulated races.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from auditkit.attacks.protocol import Situation, Try
from auditkit.attacks.search.asking import Game, Purse

__all__ = ["Arm", "race"]

#: Tries that are asked about at once, so that calls can run side by side.
_AT_ONCE: Final = 8


@dataclass
class Arm:
    """One text on its way through a race.

    Attributes:
        name: What it is, as data that can be frozen.
        craft: Makes its answer to a prompt.
        outcomes: How it did game by game, 0..1; a game without a verdict counts as lost.
    """

    name: str
    craft: Callable[[Situation], str]
    outcomes: list[float] = field(default_factory=list)

    @property
    def games(self) -> int:
        """Games played."""
        return len(self.outcomes)

    @property
    def mean(self) -> float:
        """Mean of the Beta posterior from a uniform prior: a win adds to the one side, a tie half to each."""
        return (1.0 + math.fsum(self.outcomes)) / (2.0 + self.games)

    @property
    def variance(self) -> float:
        """Variance of the same posterior."""
        return self.mean * (1.0 - self.mean) / (3.0 + self.games)

    def low(self, level: float = 0.9) -> float:
        """Return the value that the share of wins exceeds with probability `level`."""
        from scipy.special import betaincinv

        won = math.fsum(self.outcomes)
        return float(betaincinv(1.0 + won, 1.0 + self.games - won, 1.0 - level))

    def beats(self, other: Arm) -> float:
        """Return the probability that this arm is the better one (normal approximation of both posteriors)."""
        return 0.5 * math.erfc((other.mean - self.mean) / math.sqrt(2.0 * (self.variance + other.variance)))


async def race(
    purse: Purse,
    arms: Sequence[Arm],
    games: Sequence[Game],
    rng: np.random.Generator,
    *,
    calls: int,
    confident: float = 0.95,
) -> list[Arm]:
    """Race, and return the arms from best to worst; those that could not be asked about come last.

    Args:
        purse: Who asks the judge.
        arms: At least one. Games that an arm has played before are not played again.
        games: The games, in the order in which everybody meets them; after the last one the first comes again, with
            another draw of the judge.
        rng: Of the draws from the posteriors.
        calls: What the race may take; fewer are taken if the purse has fewer, or the leader is clear.
        confident: Probability with which the leader must be better than each other arm for an early end.

    Raises:
        CallError: The judge gave no completion.
    """
    if not arms or not games:
        raise ValueError("a race needs an arm and a game")
    stop = purse.calls + min(calls, purse.left)
    first = [arm for arm in arms if not arm.games]
    while len(arms) > 1:
        chosen = first or _chosen(arms, rng)
        tries = _tries(chosen, games)
        while chosen and purse.cost(tries) > stop - purse.calls:
            chosen = chosen[:-1]
            tries = _tries(chosen, games)
        before = purse.calls
        for arm, seen in zip(chosen, await purse.ask(tries) if tries else [], strict=True):
            arm.outcomes.append(0.0 if math.isnan(seen.outcome) else seen.outcome)
        # Where no call was made (none is left, or every answer was decided without one) more rounds tell nothing.
        if purse.calls == before or _decided(arms, confident):
            break
        first = []
    return _ranked(arms)


def _chosen(arms: Sequence[Arm], rng: np.random.Generator) -> list[Arm]:
    """Draw who plays next: the best arm by a draw from the posteriors, and as often the best other one by another draw.

    What is drawn at once is played side by side; those whose next game is the same come one after the other.
    """
    won = np.array([math.fsum(arm.outcomes) for arm in arms])
    played = np.array([arm.games for arm in arms])
    draws = rng.beta(1.0 + won, 1.0 + played - won, size=(_AT_ONCE, len(arms)))
    leaders = draws.argmax(axis=1)
    again = rng.beta(1.0 + won, 1.0 + played - won, size=(_AT_ONCE, len(arms)))
    again[np.arange(_AT_ONCE), leaders] = -1.0
    picked = np.where(rng.random(_AT_ONCE) < 0.5, leaders, again.argmax(axis=1))
    return [arms[int(k)] for k in sorted(picked, key=lambda k: (arms[int(k)].games, int(k)))]


def _tries(chosen: Sequence[Arm], games: Sequence[Game]) -> list[Try]:
    """Return each arm's next tries; one that is chosen twice plays its next two games."""
    ahead: Counter[int] = Counter()
    tries = []
    for arm in chosen:
        number = arm.games + ahead[id(arm)]
        ahead[id(arm)] += 1
        game = games[number % len(games)]
        tries.append(game.with_text(arm.craft(game.situation), number // len(games)))
    return tries


def _ranked(arms: Sequence[Arm]) -> list[Arm]:
    return sorted(arms, key=lambda arm: (arm.games == 0, -arm.mean))


def _decided(arms: Sequence[Arm], confident: float) -> bool:
    first, *rest = _ranked(arms)
    return bool(rest) and all(first.beats(other) >= confident for other in rest)
