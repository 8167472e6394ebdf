"""T-01: a phrase of up to four words that raises the score of any answer it is appended to.

`GreedyPhrase` is the published search: word by word, every word of the vocabulary is tried after the phrase so far on a
fifth of the search prompts, and the one with the highest mean score is kept. `RacingPhrase` asks the same question of a
larger vocabulary with fewer calls: the words race (`auditkit.attacks.search.racing`), against stopping there, several
phrases go on to the next word, and the best of those reached is kept.

Where words do equally well the commonest is taken: the phrase that stands out least. How much a phrase stands out is
its perplexity, ``exp(-mean log p)``; the published code reports ``1 / mean log p`` under that name, which is no
perplexity (specification A.5.1).

Source: Raina et al. 2024 (arXiv 2402.14016), section 4; the race is ours (specification A.5.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from auditkit.attacks.protocol import Attack, Budget, BudgetSpent, Fitted, Oracle, Situation, Try
from auditkit.attacks.search.asking import Purse, games_of
from auditkit.attacks.search.payloads import crafted
from auditkit.attacks.search.racing import Arm, race
from auditkit.attacks.search.vocabulary import WORDS
from auditkit.text import token_texts

if TYPE_CHECKING:
    import numpy as np

__all__ = ["GreedyPhrase", "RacingPhrase", "perplexity", "word_logprob"]


def perplexity(logprobs: Sequence[float]) -> float:
    """Return ``exp(-mean log p)`` of some tokens' or words' log-probabilities (nats).

    Raises:
        ValueError: There are none.
    """
    if not logprobs:
        raise ValueError("the perplexity of nothing is not defined")
    return math.exp(-math.fsum(logprobs) / len(logprobs))


@cache
def _ranks() -> dict[str, int]:
    return {text[1:]: rank for rank, text in enumerate(token_texts("cl100k_base")) if text.startswith(" ")}


def word_logprob(word: str) -> float:
    """Return a rough log-probability of a word, from its rank in a tokeniser's vocabulary by the Zipf-Mandelbrot law.

    A word that is no token, and any word where the vocabulary is not at hand, counts as the rarest.
    """
    ranks = _ranks()
    size = max(len(ranks), len(WORDS))
    # The law with exponent 1 and shift 2.7; the normaliser is its integral.
    return -math.log((ranks.get(word, size) + 2.7) * math.log((size + 2.7) / 2.7))


def _subset(situations: Sequence[Situation], share: float) -> Sequence[Situation]:
    return situations[: max(1, math.ceil(share * len(situations)))]


def _fitted(best: Arm, words: Sequence[str], calls: int, history: Sequence[tuple[int, float]]) -> Fitted:
    payload = {"form": "suffix", "text": " ".join(words)}
    mean = sum(best.outcomes) / best.games if best.games else None
    return Fitted(dict(payload), crafted("suffix", payload["text"]), calls, in_search=mean, history=tuple(history))


def _arm(words: Sequence[str]) -> Arm:
    return Arm(" ".join(words), crafted("suffix", " ".join(words)))


def _best_first(arms: Sequence[Arm]) -> list[Arm]:
    """Sort by how arms did; equals by how little their phrase stands out."""

    def rank(arm: Arm) -> tuple[float, float]:
        words = arm.name.split()
        return -arm.mean, perplexity([word_logprob(word) for word in words]) if words else 0.0

    return sorted(arms, key=rank)


@dataclass(frozen=True)
class GreedyPhrase:
    """The published search; calling it is an `auditkit.attacks.protocol.Attack.search`.

    Attributes:
        words: Most words of the phrase.
        share: Share of the search prompts that is used.
        games: Most games of them, so that a large benchmark leaves calls for many words.
        vocabulary: Words that are tried; as many of them, drawn at random, as the budget is enough for.
    """

    words: int = 4
    share: float = 0.2
    games: int = 10
    vocabulary: tuple[str, ...] = WORDS

    async def __call__(
        self, oracle: Oracle, situations: Sequence[Situation], budget: Budget, rng: np.random.Generator
    ) -> Fitted:
        """Search word by word. It takes words * vocabulary * games calls.

        Raises:
            NoData: There is no search prompt.
            BudgetSpent: Not even one word a place can be tried.
            CallError: The judge gave no completion.
        """
        purse, games = Purse(oracle, budget), games_of(_subset(situations, self.share))[: self.games]
        one = purse.cost([game.with_text(game.situation.answer + " word") for game in games])
        count = min(len(self.vocabulary), purse.left // (self.words * max(1, one)))
        if count < 1:
            raise BudgetSpent(f"one word takes {self.words * one} calls, and {purse.left} are left")
        vocabulary = [self.vocabulary[int(k)] for k in rng.permutation(len(self.vocabulary))[:count]]
        phrase, found, history = list[str](), list[Arm](), list[tuple[int, float]]()
        for _ in range(self.words):
            arms = [_arm([*phrase, word]) for word in vocabulary]
            tries: list[Try] = [game.with_text(arm.craft(game.situation)) for game in games for arm in arms]
            for number, seen in enumerate(await purse.ask(tries)):
                arms[number % len(arms)].outcomes.append(0.0 if math.isnan(seen.outcome) else seen.outcome)
            found.append(_best_first(arms)[0])
            phrase = found[-1].name.split()
            history.append((purse.calls, max(arm.mean for arm in found)))
        best = _best_first(found)[0]
        return _fitted(best, best.name.split(), purse.calls, history)


@dataclass(frozen=True)
class RacingPhrase:
    """Our search; calling it is an `auditkit.attacks.protocol.Attack.search`.

    Attributes:
        words: Most words of the phrase.
        beam: Phrases that go on to the next word.
        vocabulary: Words that are tried; of the first word all, of a later one as many as the budget is enough for.
    """

    words: int = 4
    beam: int = 3
    vocabulary: tuple[str, ...] = WORDS

    async def __call__(
        self, oracle: Oracle, situations: Sequence[Situation], budget: Budget, rng: np.random.Generator
    ) -> Fitted:
        """Search word by word, the budget shared out evenly over the places.

        Raises:
            NoData: There is no search prompt.
            CallError: The judge gave no completion.
        """
        purse, games = Purse(oracle, budget), games_of(situations)
        games = [games[int(k)] for k in rng.permutation(len(games))]
        one = max(1, purse.cost([games[0].with_text(games[0].situation.answer + " word")]))
        beam, kept, history = [_arm([])], [_arm([])], list[tuple[int, float]]()
        for place in range(self.words):
            calls = purse.left // (self.words - place)
            # Half of a race's calls go to its first rung: one game for every word.
            count = min(len(self.vocabulary) * len(beam), max(4, calls // (2 * one)))
            words = [self.vocabulary[int(k)] for k in rng.permutation(len(self.vocabulary))]
            pairs = [(arm, word) for word in words for arm in beam][:count]
            arms = [_arm([*arm.name.split(), word]) for arm, word in pairs]
            if purse.left < one * len(kept):
                break
            ranked = [arm for arm in await race(purse, [*kept, *arms], games, rng, calls=calls) if arm.games]
            if not ranked:
                break
            beam = _best_first(ranked[: self.beam])
            kept = beam[:1]
            history.append((purse.calls, kept[0].mean))
        best = kept[0]
        return _fitted(best, best.name.split(), purse.calls, history)


# --- records --------------------------------------------------------------------------------------------------------

_MEND: Final = (
    "Compare two answers instead of rating one, which such phrases move less, and reject submissions whose answers share "
    "an ending."
)

PHRASE_GREEDY: Final = Attack(
    "phrase-greedy", "Universal phrase, word by word", "phrase", "T-01; arXiv:2402.14016, section 4",
    "Appends to every answer the four words that raised the scores of other answers most, found one after the other.",
    _MEND, "score", "nonpositive", search=GreedyPhrase(), budget=Budget(4_000), params={"words": 4, "share": 0.2, "games": 10},
)  # fmt: skip
PHRASE_RACING: Final = Attack(
    "phrase-racing", "Universal phrase, by racing words", "phrase", "T-01; this project, after arXiv:2402.14016",
    "Appends to every answer up to four words that won a race against the other words of a vocabulary.", _MEND,
    "verdict", "nonpositive", search=RacingPhrase(), budget=Budget(2_000), params={"words": 4, "beam": 3},
)  # fmt: skip
