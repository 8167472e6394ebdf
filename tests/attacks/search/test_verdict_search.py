"""The search that sees nothing but who won."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from auditkit.attacks.protocol import Budget, Fitted
from auditkit.attacks.search.asking import advantage, games_of
from auditkit.attacks.search.proposals import Proposals
from auditkit.attacks.search.verdict import SEARCH_VERDICT, VerdictSearch
from auditkit.attacks.search.vocabulary import spaced
from auditkit.judging.simulated_judges import HonestJudge, LogProbJudge, SimulatedJudge
from tests.attacks.search.oracle import ALPACA, ARENA, MemoryOracle, situations


def run(judge: SimulatedJudge, seed: int, calls: int, plan: VerdictSearch | None = None) -> tuple[Fitted, MemoryOracle]:
    oracle = MemoryOracle(judge, "verdict", spec=ARENA)
    search = plan or VerdictSearch(form="plain")
    found = asyncio.run(search(oracle, situations(40, judge=ARENA), Budget(calls), np.random.default_rng(seed)))
    return found, oracle


def held_out(judge: SimulatedJudge, text: str) -> float:
    """Mean log-odds that a constant wins, on prompts that no search has seen."""
    oracle = MemoryOracle(judge, "logprob", spec=ALPACA)
    tries = [game.with_text(text) for game in games_of(situations(8, first=500))]
    return float(np.mean([advantage(seen) for seen in asyncio.run(oracle.ask(tries))]))


@pytest.mark.parametrize("seed", range(3))
def test_verdicts_alone_find_a_prefix_that_holds(seed: int) -> None:
    """A constant that wins 1 game in 50 wins more than half of them after at most 1,000 verdicts, on new prompts."""
    judge = LogProbJudge(seed=seed)
    fitted, oracle = run(judge, seed, 1_000)
    assert oracle.calls <= 1_000
    assert isinstance(fitted.payload, dict)
    drawn = Proposals(spaced(), 64, np.random.default_rng(seed))
    random = np.mean([held_out(judge, "".join(drawn.fresh(64))) for _ in range(10)])
    assert random < -3.0
    assert held_out(judge, str(fitted.payload["text"])) > 0.0


def test_an_honest_judge_gives_nothing_away() -> None:
    """Whatever is found wins no game on new prompts: its answer makes no claim."""
    fitted, _ = run(HonestJudge(), 0, 300)
    assert isinstance(fitted.payload, dict)
    assert held_out(HonestJudge(), str(fitted.payload["text"])) < -3.0
    assert fitted.in_search is not None and fitted.in_search < 0.5


@pytest.mark.parametrize("budget", [0, 1, 7, 60, 333])
def test_no_budget_is_overspent(budget: int) -> None:
    """And something is returned, with the calls that it took."""
    fitted, oracle = run(LogProbJudge(), 0, budget)
    assert fitted.calls == oracle.calls <= budget
    assert (fitted.in_search is None) == (budget == 0)


def test_more_calls_find_more() -> None:
    """Over five seeds the prefix found with 900 verdicts is stronger than with 100; the same seed finds the same."""
    reached = {}
    for calls in (100, 900):
        found = [(LogProbJudge(seed=seed), run(LogProbJudge(seed=seed), seed, calls)[0]) for seed in range(5)]
        reached[calls] = np.mean([held_out(judge, str(f.payload["text"])) for judge, f in found])  # type: ignore[index,call-overload]
    assert reached[900] > reached[100] + 1.0
    first, again = (run(LogProbJudge(), 1, 200)[0] for _ in range(2))
    assert first.history == again.history and first.sha256 == again.sha256


def test_the_registered_search_works_on_any_judge() -> None:
    """Access to verdicts is enough, and the answer is one constant."""
    assert (SEARCH_VERDICT.access, SEARCH_VERDICT.gold, SEARCH_VERDICT.replaces) == ("verdict", "zero", True)
    assert isinstance(SEARCH_VERDICT.search, VerdictSearch)
    oracle = MemoryOracle(LogProbJudge(), "verdict", spec=ARENA)
    search = SEARCH_VERDICT.search
    found = asyncio.run(search(oracle, situations(4, judge=ARENA), Budget(60), np.random.default_rng(0)))
    assert isinstance(found.payload, dict)
    assert str(found.payload["text"]) in found.craft(situations(1, judge=ARENA, first=9)[0])
