"""Race texts against each other with few games: successive halving on paired games, with Beta posteriors.

What one game tells may be as little as who won. All arms meet the same games in the same order, so that an easy prompt
favours nobody. After each rung the worse half leaves; the race ends early when the leader is better than every other
arm with the probability asked for.

Source: successive halving, Karnin et al. 2013 (ICML), algorithm 1; the early end and the pairing are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from auditkit.attacks.protocol import Situation, Try
from auditkit.attacks.search.asking import Game, Purse

__all__ = ["Arm", "race"]

#: Tries that are asked about at once where the arms are few, so that calls can run side by side.
_AT_ONCE: Final = 16


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
    purse: Purse, arms: Sequence[Arm], games: Sequence[Game], *, calls: int, confident: float = 0.95
) -> list[Arm]:
    """Race, and return the arms from best to worst.

    Args:
        purse: Who asks the judge.
        arms: At least one. Games that an arm has played before are not played again.
        games: The games, in the order in which everybody meets them; after the last one the first comes again, with
            another draw of the judge.
        calls: What the race may take; fewer are taken if the purse has fewer, or the leader is clear.
        confident: Probability with which the leader must be better than each other arm for an early end.

    Raises:
        CallError: The judge gave no completion.
    """
    if not arms or not games:
        raise ValueError("a race needs an arm and a game")
    stop = purse.calls + min(calls, purse.left)
    alive, gone = list(arms), list[Arm]()
    rungs = max(1, math.ceil(math.log2(len(alive))))
    for rung in range(rungs):
        each = max(1, purse.cost(_tries(alive, games, range(1))))
        target = min(arm.games for arm in alive) + max(1, (stop - purse.calls) // (each * (rungs - rung)))
        while (at := min(arm.games for arm in alive)) < target:
            behind = [arm for arm in alive if arm.games == at]
            others = [arm.games for arm in alive if arm.games > at]
            until = min(target, *others, at + max(1, _AT_ONCE // len(behind)))
            tries = _tries(behind, games, range(at, until))
            if purse.cost(tries) > stop - purse.calls:
                tries = _tries(behind, games, range(at, at + 1))
                if purse.cost(tries) > stop - purse.calls:
                    return _ranked(alive) + gone
            for number, seen in enumerate(await purse.ask(tries)):
                behind[number % len(behind)].outcomes.append(0.0 if math.isnan(seen.outcome) else seen.outcome)
            if _decided(alive, confident):
                return _ranked(alive) + gone
        ranked = _ranked(alive)
        kept = math.ceil(len(ranked) / 2) if rung < rungs - 1 else len(ranked)
        alive, gone = ranked[:kept], ranked[kept:] + gone
    return alive + gone


def _tries(arms: Sequence[Arm], games: Sequence[Game], numbers: range) -> list[Try]:
    """Return tries game by game, so that those that share a prompt come one after the other."""
    asked = [(games[number % len(games)], number // len(games)) for number in numbers]
    return [game.with_text(arm.craft(game.situation), sample) for game, sample in asked for arm in arms]


def _ranked(arms: Sequence[Arm]) -> list[Arm]:
    return sorted(arms, key=lambda arm: (arm.games == 0, -arm.mean))


def _decided(arms: Sequence[Arm], confident: float) -> bool:
    first, *rest = _ranked(arms)
    return bool(rest) and all(first.beats(other) >= confident for other in rest)
