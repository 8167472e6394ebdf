"""Inference-time systems: how their parts read replies, what they cost, and how best-of-n overfits its judge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit import registry
from auditkit.attacks.drafting import Ledger, Step
from auditkit.attacks.inference import (
    best_of_n,
    critique_then_fuse,
    mixture,
    parse_critiques,
    parse_ranking,
    rank_then_fuse,
    self_refine,
)
from auditkit.attacks.protocol import Attack, Situation, Try
from auditkit.judging.calls import Message
from auditkit.judging.simulated_judges import BiasedJudge, HonestJudge
from auditkit.judging.simulated_writer import SimulatedWriter
from auditkit.stats.best_of_n import best_of_n as curves
from tests.attacks.search.oracle import SINGLE, MemoryOracle, MemoryTools, gold, situations


def desk(model: object = None, calls: int = 10**6, written: int = 10**6) -> MemoryTools:
    oracle = MemoryOracle(HonestJudge(), "score", calls)
    return MemoryTools(oracle, model, written)  # type: ignore[arg-type]


def one() -> Situation:
    return situations(1)[0]


def kind(messages: Sequence[Message]) -> str:
    """Which part of a system is speaking, by its instructions."""
    first = messages[0].content
    for word in ("Rank", "Review", "better than each", "your draft"):
        if word in first:
            return word
    return "sample"


# --- reading replies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "n", "order"),
    [
        ("[4] > [2]", 4, [3, 1, 0, 2]),
        ("\n\n [2] > [1] > [3]\n[3] > [1]", 3, [1, 0, 2]),
        ("[2] > [2] > [9] > [0] > [1]", 3, [1, 0, 2]),
        ("the best is 2", 3, [0, 1, 2]),
        ("", 2, [0, 1]),
    ],
)
def test_a_ranking_is_its_first_line(reply: str, n: int, order: list[int]) -> None:
    """Indices that it leaves out follow in their own order; what is no index is passed over."""
    assert parse_ranking(reply, n) == order


@given(st.text(st.sampled_from("[]0123456789> \n"), max_size=40), st.integers(1, 9))
def test_every_ranking_is_a_permutation(reply: str, n: int) -> None:
    """Whatever the model says."""
    assert sorted(parse_ranking(reply, n)) == list(range(n))


def test_a_critique_has_exactly_one_part_for_each() -> None:
    """Numbered in order, none empty; else there is none."""
    assert parse_critiques("[1] Good.\nMore.\n[2]: Bad, see [1] here.", 2) == ["Good.\nMore", "Bad, see [1] here"]
    for reply in ("[1] Good.", "[1] a\n[2] b\n[3] c", "[2] a\n[1] b", "[1] a\n[2]", "good and bad", ""):
        assert parse_critiques(reply, 2) is None


# --- systems --------------------------------------------------------------------------------------------------------


def test_best_of_n_hands_in_what_the_judge_likes_best() -> None:
    """All samples are different draws of the bare prompt; each is judged once, in both orders."""
    tools = desk()
    made = asyncio.run(best_of_n(one(), tools, 6))
    assert len(set(made.candidates)) == 6
    assert made.text in made.candidates
    assert gold(one(), made.text) == max(gold(one(), text) for text in made.candidates)
    assert {messages for messages, _, _ in tools.asked} == {(Message("user", one().prompt.text),)}
    assert [sample for _, _, sample in tools.asked] == list(range(6))
    assert [params for _, params, _ in tools.asked] == [{"temperature": 1.0, "max_tokens": 512}] * 6
    assert made.ledger.judge_calls == 12 and made.ledger.steps["sample"].calls == 6


def test_ranked_candidates_are_fused() -> None:
    """The model's own ranking decides who is fused, in that order."""
    heard: dict[str, str] = {}

    def model(messages: Sequence[Message], sample: int) -> str:
        part = kind(messages)
        heard[part] = messages[-1].content
        return {"sample": f"text {sample}", "Rank": "[3] > [1]", "better than each": "fused"}[part]

    tools = desk(model)
    made = asyncio.run(rank_then_fuse(one(), tools, 4, 2))
    assert (made.text, made.candidates) == ("fused", ("text 2", "text 0"))
    assert "Candidate [1]:\ntext 2" in heard["better than each"] and "text 3" not in heard["better than each"]
    assert made.ledger.judge_calls == 0
    assert {name: step.calls for name, step in made.ledger.steps.items()} == {"sample": 4, "rank": 1, "fuse": 1}


def test_a_critique_that_does_not_split_is_asked_for_again_ten_times() -> None:
    """With other draws; then the candidates are fused without reviews."""

    def model(messages: Sequence[Message], sample: int) -> str:
        part = kind(messages)
        if part == "Review":
            return "[1] fine\n[2] poor\n[3] fair" if sample == 3 else "[1] only one"
        reviewed = "Review of candidate [2]:\npoor" in messages[-1].content
        return f"text {sample}" if part == "sample" else f"fused {reviewed}"

    made = asyncio.run(critique_then_fuse(one(), desk(model), 3))
    assert made.text == "fused True"
    assert made.ledger.steps["critique"].calls == 4
    never = asyncio.run(critique_then_fuse(one(), desk(lambda m, s: "nothing"), 3))
    assert never.ledger.steps["critique"].calls == 10
    assert never.text == "nothing"


def test_the_fuser_can_be_told_to_keep_to_the_length() -> None:
    """Also where there are no reviews; without the switch it is not told."""
    for system in (rank_then_fuse, critique_then_fuse, mixture):
        told = []
        for short in (True, False):
            tools = desk(lambda m, s: "text")
            asyncio.run(system(one(), tools, length_control=short))
            fusers = [messages[0].content for messages, _, _ in tools.asked if kind(messages) == "better than each"]
            told.append({"no longer than the longest" in text for text in fusers})
        assert told == [{True}, {False}]


def test_layers_see_the_layer_before() -> None:
    """Two layers of three and a last fusion: 3 + 3 + 1 calls; every fusion sees three candidates of the last layer."""
    seen: list[str] = []

    def model(messages: Sequence[Message], sample: int) -> str:
        if kind(messages) == "sample":
            return f"text {sample}"
        seen.append(messages[-1].content)
        return f"fusion {len(seen)}"

    made = asyncio.run(mixture(one(), desk(model), layers=2, width=3))
    assert (made.text, made.candidates) == ("fusion 4", ("fusion 1", "fusion 2", "fusion 3"))
    assert [text.count("Candidate [") for text in seen] == [3] * 4
    assert "text 2" in seen[0] and "fusion 3" in seen[3] and "text 2" not in seen[3]
    assert made.ledger.total.calls == 7


def test_refining_shows_the_last_draft() -> None:
    """One sample, then as many improvements as asked for."""

    def model(messages: Sequence[Message], sample: int) -> str:
        return "draft" if kind(messages) == "sample" else messages[-1].content.split("The draft:\n")[1] + "+"

    made = asyncio.run(self_refine(one(), desk(model), rounds=3))
    assert (made.text, made.ledger.total.calls) == ("draft+++", 4)


def test_the_ledger_counts_tokens_of_both_sides() -> None:
    """What the model read and what it wrote, step by step."""
    made = asyncio.run(self_refine(one(), desk(lambda m, s: "one two three"), rounds=1))
    sample, refined = made.ledger.steps["sample"], made.ledger.steps["refine"]
    assert sample.tokens_out == refined.tokens_out == 3
    assert refined.tokens_in > sample.tokens_in > 5
    assert made.ledger.total == Step(2, sample.tokens_in + refined.tokens_in, 6)
    assert Ledger().total == Step()


SYSTEMS = sorted(name for name in registry.plugins("attacks") if name.startswith("inference-"))


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_declared_budget_is_enough_and_is_kept(name: str) -> None:
    """As many calls as without a limit; with less there is still an answer."""
    attack: Attack = registry.find("attacks", name).load()
    assert attack.rewrite is not None and attack.gold == "unknown"

    async def run(tools: MemoryTools) -> str:
        assert attack.rewrite is not None
        return await attack.rewrite(one(), tools)

    free, bound = desk(), desk(None, attack.budget.calls, attack.budget.model_calls)
    assert asyncio.run(run(free)) == asyncio.run(run(bound))
    assert (free.calls, free.oracle.calls) == (bound.calls, bound.oracle.calls)
    assert (attack.access == "model") == (bound.oracle.calls == 0)
    for calls, written in ((0, 0), (3, 2), (1, 7)):
        poor = desk(None, calls, written)
        assert asyncio.run(run(poor))
        assert poor.calls <= written and poor.oracle.calls <= calls
    assert asyncio.run(run(desk(lambda m, s: "", 99, 99))) == one().answer


# --- overfitting ----------------------------------------------------------------------------------------------------


def test_best_of_n_overfits_the_judge_that_chooses() -> None:
    """A judge that likes length, 16 samples of a writer, 60 prompts: its score rises with n, true quality does not.

    The gap has its interval above 0 at n = 16. Judged by a judge of quality alone the same samples gain for real.
    """
    vain, honest = BiasedJudge(length=4.0, seed=1), HonestJudge(noise=0.05)
    scores: dict[str, list[list[float]]] = {"vain": [], "honest": [], "gold": []}
    for situation in situations(60, judge=SINGLE):
        tools = MemoryTools(MemoryOracle(vain, "score", spec=SINGLE), writer=SimulatedWriter(words=60))
        made = asyncio.run(best_of_n(situation, tools, 16))
        for name, judge in (("vain", vain), ("honest", honest)):
            oracle = MemoryOracle(judge, "score", spec=SINGLE)
            tries = [Try(situation, text) for text in made.candidates]
            scores[name].append([seen.outcome for seen in asyncio.run(oracle.ask(tries))])
        scores["gold"].append([gold(situation, text) for text in made.candidates])
    overfit, sound = curves(scores["vain"], scores["gold"]), curves(scores["honest"], scores["gold"])
    assert overfit.proxy[-1] - overfit.proxy[0] > 0.1
    assert abs(overfit.gold[-1] - overfit.gold[0]) < 0.06
    assert overfit.gap_low[-1] > 0.05
    assert abs(overfit.within) < 0.1
    assert sound.within > 0.8
    assert sound.recovery > 0.6
    assert overfit.recovery < 0.3
    assert np.all(np.diff(overfit.proxy) >= -1e-12)
