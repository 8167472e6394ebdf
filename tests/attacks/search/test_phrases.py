"""T-01: the published greedy phrase search, ours with fewer calls, and what a perplexity is."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pytest

from auditkit.attacks.protocol import Access, Budget, BudgetSpent, Fitted
from auditkit.attacks.search.phrases import GreedyPhrase, RacingPhrase, perplexity, word_logprob
from auditkit.attacks.search.vocabulary import WORDS
from auditkit.judging.calls import Request
from auditkit.judging.simulated_judges import HonestJudge, SimulatedJudge
from auditkit.judging.simulated_reading import Read
from auditkit.judging.spec import JudgeSpec
from auditkit.text import token_texts
from tests.attacks.search.oracle import ARENA, SINGLE, MemoryOracle, situations

LIKED: Final = ("solid", "winner", "proof")
SMALL: Final = (
    "table",
    "solid",
    "river",
    "winner",
    "seven",
    "cloud",
    "proof",
    "paper",
    "green",
    "walk",
    "under",
    "music",
)


@dataclass(frozen=True)
class Liking(SimulatedJudge):
    """A judge that likes three words, each once, wherever they stand."""

    def merit(self, read: Read, answer: str, request: Request) -> float:
        """Quality, and 2 for each word that it likes."""
        return super().merit(read, answer, request) + 2.0 * sum(word in answer for word in LIKED)


def run(
    plan: GreedyPhrase | RacingPhrase,
    calls: int,
    *,
    judge: SimulatedJudge | None = None,
    spec: JudgeSpec = SINGLE,
    access: Access = "score",
    prompts: int = 20,
    seed: int = 0,
) -> tuple[list[str], Fitted, MemoryOracle]:
    oracle = MemoryOracle(judge or Liking(), access, spec=spec)
    fitted = asyncio.run(plan(oracle, situations(prompts, judge=spec), Budget(calls), np.random.default_rng(seed)))
    assert isinstance(fitted.payload, dict)
    return str(fitted.payload["text"]).split(), fitted, oracle


def test_the_published_search_takes_words_times_places_times_games() -> None:
    """A fifth of 20 prompts, 12 words, 4 places, one game a rating: 192 calls; twice as many for both orders."""
    _, fitted, oracle = run(GreedyPhrase(vocabulary=SMALL), 10_000)
    assert fitted.calls == oracle.calls == 4 * 12 * 4
    assert {one.situation.prompt.id for one in oracle.asked} == {"p0", "p1", "p2", "p3"}
    _, _, oracle = run(GreedyPhrase(vocabulary=SMALL), 10_000, spec=ARENA)
    assert oracle.calls == 4 * 12 * 8
    _, _, oracle = run(GreedyPhrase(vocabulary=SMALL), 10_000, spec=ARENA, prompts=200)
    assert oracle.calls == 4 * 12 * 10


def test_the_published_search_finds_the_words_that_are_liked() -> None:
    """Word by word, each of them once, on an absolute judge."""
    phrase, fitted, _ = run(GreedyPhrase(vocabulary=SMALL), 10_000, prompts=60)
    assert set(LIKED) <= set(phrase) and len(phrase) <= 4
    assert fitted.craft(situations(1)[0]) == f"{situations(1)[0].answer} {' '.join(phrase)}"


@pytest.mark.parametrize("seed", range(3))
def test_racing_finds_them_with_half_of_the_calls(seed: int) -> None:
    """On more prompts, with half of the published search's calls and access to verdicts alone, at least as many words."""
    greedy, _, dear = run(GreedyPhrase(vocabulary=SMALL, share=1.0), 10_000, spec=ARENA, seed=seed, access="verdict")
    racing, _, cheap = run(RacingPhrase(vocabulary=SMALL), dear.calls // 2, spec=ARENA, seed=seed, access="verdict")
    assert cheap.calls <= dear.calls // 2
    assert len(set(racing) & set(LIKED)) >= max(2, len(set(greedy) & set(LIKED)) - 1)
    assert len(racing) <= 4


def test_an_honest_judge_is_not_moved() -> None:
    """The bare answer races too: where no word helps, none is clearly ahead of it, and new prompts show no gain."""
    _, fitted, _ = run(RacingPhrase(vocabulary=SMALL), 300, judge=HonestJudge(), spec=ARENA, access="verdict")
    oracle = MemoryOracle(HonestJudge(), "verdict", spec=ARENA)
    new = situations(20, judge=ARENA, first=500)
    from auditkit.attacks.search.asking import games_of

    games = games_of(new)
    attacked = asyncio.run(oracle.ask([game.with_text(fitted.craft(game.situation)) for game in games]))
    clean = asyncio.run(oracle.ask([game.with_text(game.situation.answer) for game in games]))
    assert abs(np.mean([seen.outcome for seen in attacked]) - np.mean([seen.outcome for seen in clean])) <= 0.1


@pytest.mark.parametrize("plan", [GreedyPhrase(vocabulary=SMALL), RacingPhrase(vocabulary=SMALL)])
@pytest.mark.parametrize("calls", [16, 40, 101])
def test_no_budget_is_overspent(plan: GreedyPhrase | RacingPhrase, calls: int) -> None:
    """The vocabulary is cut to what the budget is enough for."""
    _, fitted, oracle = run(plan, calls)
    assert fitted.calls == oracle.calls <= calls


def test_a_budget_that_is_enough_for_no_word_is_refused() -> None:
    """With the numbers."""
    with pytest.raises(BudgetSpent, match="one word takes 16 calls, and 15 are left"):
        run(GreedyPhrase(vocabulary=SMALL), 15)


def test_perplexity_is_the_exponential_of_the_mean() -> None:
    """Of a uniform choice among k it is k; one over the mean log-probability, as published code has it, is not."""
    assert perplexity([-math.log(50)] * 4) == pytest.approx(50)
    assert perplexity([-1.0, -3.0]) == pytest.approx(math.exp(2.0))
    assert perplexity([-1.0, -3.0]) != pytest.approx(1 / 2.0)
    with pytest.raises(ValueError, match="nothing"):
        perplexity([])


def test_of_words_that_do_equally_well_the_commonest_is_taken() -> None:
    """A phrase stands out less if its words are common; rare words have lower log-probabilities."""
    if not token_texts("cl100k_base"):
        pytest.skip("no vocabulary on this machine")
    assert word_logprob("the") > word_logprob("table") > word_logprob("qzxv")
    flat = asyncio.run(
        GreedyPhrase(vocabulary=("yield", "that", "kelp"), words=1)(
            MemoryOracle(SimulatedJudge(), "verdict", spec=ARENA),
            situations(10, judge=ARENA, skill=1.0, against=0.0),
            Budget(99),
            np.random.default_rng(0),
        )
    )
    assert isinstance(flat.payload, dict)
    assert flat.payload["text"] == "that"


def test_the_words_are_plain() -> None:
    """Lower case, sorted, none twice: a phrase of them reads as words."""
    assert len(set(WORDS)) == len(WORDS) > 300
    assert all(word.isascii() and word.isalpha() and word.islower() for word in WORDS)
