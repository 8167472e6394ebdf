"""N-02: the published search's calls to the unit, its four defects and what mends them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from auditkit.attacks.protocol import Budget, Fitted, Seen, Situation, Try
from auditkit.attacks.search import random_search
from auditkit.attacks.search.asking import advantage, games_of, loss
from auditkit.attacks.search.random_search import SEARCH_RANDOM, RandomSearch
from auditkit.attacks.search.vocabulary import tokens
from auditkit.errors import NoData
from auditkit.judging.calls import Completion, TokenLogprob
from auditkit.judging.simulated_judges import LogProbJudge
from auditkit.records import Order
from auditkit.text import count_tokens
from tests.attacks.search.oracle import ARENA, MemoryOracle, situations

BIG = Budget(10**6)


def search(
    plan: RandomSearch, oracle: MemoryOracle, found: Sequence[Situation], budget: Budget = BIG, seed: int = 0
) -> Fitted:
    return asyncio.run(plan(oracle, found, budget, np.random.default_rng(seed)))


def says(wins: float | None, loses: float = -1.0, least: float = -15.0) -> Completion:
    """A reply whose first answer is called m (and wins by it) with this log-probability; None: m is not listed."""
    top = [("M", loses), ("other", least)] + ([] if wins is None else [("m", wins)])
    return Completion("M", "stop", (TokenLogprob("M", loses, tuple(sorted(top, key=lambda pair: -pair[1]))),))


def indifferent(one: Try, order: Order) -> Completion:
    """A judge to whom all answers are equal: it costs next to nothing to ask."""
    return says(-1.0)


# --- accounting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("published", "calls"), [(True, 4_944), (False, 4_964)])
def test_the_whole_search_takes_as_many_calls_as_published(published: bool, calls: int) -> None:
    """10 prompts, 384 steps: 4,944 calls; 20 more where the prefix at hand is asked about in each game as it comes."""
    plan = RandomSearch(published=published, form="plain", length=8)
    oracle = MemoryOracle(LogProbJudge(), replies=indifferent)
    fitted = search(plan, oracle, situations(10))
    assert oracle.calls == plan.calls() == fitted.calls == calls
    candidates = [n for n in oracle.batches if n > 1]
    active = [min(20, 2 + step // 16) for step in range(384)]
    assert (
        oracle.batches if published else [n for n in candidates if n == 2][1:] + [n for n in candidates if n > 2]
    ) == active


def test_the_registered_search_is_the_published_one_mended() -> None:
    """Its budget is what it takes; with log-probabilities alone; its answer is one constant."""
    assert SEARCH_RANDOM.budget.calls == 4_964
    assert (SEARCH_RANDOM.access, SEARCH_RANDOM.gold, SEARCH_RANDOM.replaces) == ("logprob", "zero", True)


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("budget", [0, 1, 2, 3, 100, 997])
def test_no_budget_is_overspent(published: bool, budget: int) -> None:
    """The search ends when the next step does not fit, whoever holds the budget, and returns what it has."""
    plan = RandomSearch(published=published, form="plain", length=8)
    own = MemoryOracle(LogProbJudge(), replies=indifferent)
    oracles = MemoryOracle(LogProbJudge(), replies=indifferent, budget=budget)
    first = search(plan, own, situations(10), Budget(budget))
    second = search(plan, oracles, situations(10))
    assert first.sha256 == second.sha256
    assert budget - 20 <= own.calls == oracles.calls <= budget


def test_fewer_prompts_than_wanted_will_do() -> None:
    """The games stop at what there is."""
    plan = RandomSearch(form="plain", length=4, steps=64)
    oracle = MemoryOracle(LogProbJudge())
    search(plan, oracle, situations(2))
    assert oracle.calls == plan.calls(2) == 16 * (2 + 3) + 32 * 4 + 4
    with pytest.raises(NoData):
        search(plan, oracle, [])


# --- the four defects -----------------------------------------------------------------------------------------------


def test_a_label_that_is_not_listed_counts_as_the_least_that_is() -> None:
    """Defect 1: the mean over what is left would prefer an answer that silences the judge."""
    good, silenced = Seen(0.5, 1, ((-1.0, -9.0), (-1.0, -9.0))), Seen(0.5, 1, ((-0.5, -9.0), (None, -9.0)))
    assert loss(silenced) == pytest.approx((0.5 + 9.0) / 2)
    assert loss(silenced) > loss(good)
    assert loss(silenced, survivors=True) == 0.5 < loss(good, survivors=True)
    assert loss(Seen(math.nan)) == math.inf
    # An oracle that has no log-probability at all may report a bound of 0, which bounds nothing.
    assert loss(Seen(math.nan, 1, ((None, 0.0),))) == math.inf


def test_an_answer_that_silences_the_judge_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defect 1 in a whole search: of two tokens the published search keeps the one that makes the label vanish."""
    monkeypatch.setattr(random_search, "tokens", lambda: (" hush", " fine"))

    def replies(one: Try, order: Order) -> Completion:
        hushed, swapped = one.text.count("hush"), order == "model_second"
        wins = -2.0 - 0.1 * one.text.count("fine")
        if hushed:  # in one order the label is gone, in the other it is a little likelier
            wins = None if swapped else -1.5  # type: ignore[assignment]
        said = says(wins)
        (token,) = said.logprobs or ()
        renamed = {"m": "M", "M": "m"} if swapped else {}
        return replace(said, logprobs=(replace(token, top=tuple((renamed.get(t, t), x) for t, x in token.top)),))

    found = {}
    for published in (True, False):
        oracle = MemoryOracle(LogProbJudge(), replies=replies)
        plan = RandomSearch(published=published, form="plain", length=3, steps=7, stride=99, initial=" start")
        found[published] = str(search(plan, oracle, situations(1)).payload)
    assert "hush" in found[True]
    assert "hush" not in found[False]


def test_no_prefix_is_kept_that_is_worse_than_the_one_before() -> None:
    """Defect 2: on games that are all alike the loss may only fall; forgetting it lets it rise at every new game."""
    same = [replace(one, answer="", opponent="None.") for one in situations(1) * 10]
    risen = {}
    for published in (True, False):
        plan = RandomSearch(published=published, form="plain", length=24, steps=96)
        reached = [value for _, value in search(plan, MemoryOracle(LogProbJudge(ngrams=0.3)), same).history]
        risen[published] = int((np.diff(reached) < -1e-9).sum())
    assert risen[False] == 0
    assert risen[True] >= 3


def test_a_prefix_keeps_its_length() -> None:
    """Defect 3: the texts of 128 tokens stay 128 texts, where decoding and encoding would change their number."""
    fitted = search(RandomSearch(form="plain", steps=128), MemoryOracle(LogProbJudge()), situations(2))
    payload = fitted.payload
    assert isinstance(payload, dict) and isinstance(payload["tokens"], list)
    assert len(payload["tokens"]) == 128
    assert "".join(map(str, payload["tokens"])) == payload["text"]
    if tokens()[0] != " able":  # the vocabulary is at hand
        counts, estimated = count_tokens([str(payload["text"])], "cl100k_base")
        assert not estimated
        assert counts[0] != 128


def test_no_candidate_is_asked_about_twice() -> None:
    """Defect 4: what was tried is known, also where few candidates exist; then the search ends."""
    oracle = MemoryOracle(LogProbJudge())
    search(RandomSearch(published=True, form="plain", length=16, stride=999), oracle, situations(2))
    texts = [one.text for one in oracle.asked]
    assert len(set(texts)) == len(texts) // 2 == 384


def test_a_search_ends_where_nothing_is_left_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tokens in two places are four prefixes."""
    monkeypatch.setattr(random_search, "tokens", lambda: (" a", " b"))
    oracle = MemoryOracle(LogProbJudge())
    search(RandomSearch(form="plain", length=2, initial=" a"), oracle, situations(1))
    assert {one.text for one in oracle.asked} <= {" a a", " a b", " b a", " b b"}


# --- what it finds --------------------------------------------------------------------------------------------------


def test_what_is_found_holds_on_prompts_that_were_not_seen() -> None:
    """On a judge of word pairs the prefix gains on held-out prompts too; the structured payload carries it whole."""
    judge = LogProbJudge(seed=3)
    fitted = search(RandomSearch(form="structured", steps=192), MemoryOracle(judge), situations(3))
    held_out = MemoryOracle(judge)

    def mean(text: str) -> float:
        payload = fitted.payload
        assert isinstance(payload, dict)
        tries = [
            game.with_text(fitted.craft(game.situation).replace(str(payload["text"]), text))
            for game in games_of(situations(6, first=50))
        ]
        return float(np.mean([advantage(seen) for seen in asyncio.run(held_out.ask(tries))]))

    assert isinstance(fitted.payload, dict)
    assert mean(str(fitted.payload["text"])) > mean(" }" * 128) + 1.0
    assert str(fitted.payload["text"]) in fitted.craft(situations(1)[0])


def test_a_judge_without_log_probabilities_leaves_the_prefix_as_it_was() -> None:
    """Nothing is told, so nothing is kept; the outcomes are reported all the same."""
    fitted = search(
        RandomSearch(form="plain", length=4, steps=10),
        MemoryOracle(LogProbJudge(), spec=ARENA),
        situations(2, judge=ARENA),
    )
    assert isinstance(fitted.payload, dict)
    assert fitted.payload["text"] == " }" * 4
    assert fitted.history == ()


def test_the_same_generator_finds_the_same() -> None:
    """Same seed, same prefix; another seed, another."""
    plan = RandomSearch(form="plain", length=8, steps=32)
    first, again, other = (search(plan, MemoryOracle(LogProbJudge()), situations(3), seed=s).sha256 for s in (1, 1, 2))
    assert first == again != other
