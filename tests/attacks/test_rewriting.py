"""Rewriters: the loops as published, within their budgets, against judges and models that are known."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.attacks.drafting import between
from auditkit.attacks.protocol import Situation, Tools, Try
from auditkit.attacks.rewriting import (
    REWRITE_EVOLVING,
    REWRITE_PARAPHRASE,
    REWRITE_REFINING,
    REWRITE_UNTIL_WON,
    Evolving,
    Paraphrase,
    Refining,
    UntilWon,
    chrf,
)
from auditkit.judging.calls import Completion, Message, Rejected
from auditkit.judging.simulated_judges import BiasedJudge, HonestJudge
from auditkit.records import Order
from tests.attacks.search.oracle import ARENA, SINGLE, MemoryOracle, MemoryTools, gold, situations

RECORDS: Final = (REWRITE_EVOLVING, REWRITE_PARAPHRASE, REWRITE_REFINING, REWRITE_UNTIL_WON)
Rewrite = Callable[[Situation, Tools], Awaitable[str]]


def counting(one: Try, order: Order) -> Completion:
    """A judge that rates the largest number in an answer, whatever else it says: n / (n + 20) of its scale."""
    n = max((int(digits) for digits in re.findall(r"\d{1,3}", one.text)), default=0)
    return Completion(f"It names {n}.\nRating: [[{1 + 9 * n / (n + 20):.3f}]]")


def numbered(messages: Sequence[Message], sample: int) -> str:
    """A model that names a number 2 higher than any it is shown: it climbs only where it is shown what did well."""
    shown = [int(n) for n in re.findall(r"version (\d+)", " ".join(m.content for m in messages))]
    return f"Sure. <answer>version {max(shown, default=0) + 2 + sample}</answer>"


def rewrite(way: Rewrite, situation: Situation, tools: MemoryTools) -> str:
    async def main() -> str:
        return await way(situation, tools)

    return asyncio.run(main())


def at(answer: str = "version 1") -> Situation:
    (one,) = situations(1, judge=SINGLE)
    return Situation(one.prompt, answer, "", SINGLE)


def tools(model: Callable[[Sequence[Message], int], str] | None = numbered, **more: int) -> MemoryTools:
    oracle = MemoryOracle(HonestJudge(), "score", more.get("calls", 10**6), SINGLE, replies=counting)
    return MemoryTools(oracle, model, more.get("written", 10**6))


@pytest.mark.parametrize("way", [Evolving(), Refining()], ids=["evolving", "refining"])
def test_loops_climb_on_what_did_well(way: Evolving | Refining) -> None:
    """The score reached ends the loop; the best text is handed in, not the last."""
    desk = tools()
    found = rewrite(way, at(), desk)
    reached = int(found.split()[1])
    assert reached >= 9
    asked = [int(one.text.split()[1]) for one in desk.oracle.asked]
    assert asked[0] == 1
    assert reached in asked


def test_the_evolving_loop_is_the_published_one() -> None:
    """Ten rounds of four samples, the ten best shown worst first with their scores, an end at 80 of 100."""
    letters = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    flat = tools(lambda messages, sample: f"<answer>plain text {next(letters)}</answer>")
    rewrite(Evolving(), at("no number"), flat)
    assert flat.calls == 40 == REWRITE_EVOLVING.budget.model_calls
    prompts = [messages[-1].content for messages, _, _ in flat.asked]
    assert [text.count("Score:") for text in prompts[::4]] == [1, 5, 9, 10, 10, 10, 10, 10, 10, 10]
    draws = {(messages, sample) for messages, _, sample in flat.asked}
    assert len(draws) == 40  # the same request again is another draw
    climbing = tools()
    rewrite(Evolving(), at(), climbing)
    shown = re.findall(r"Score: (\d+) of 100\n<answer>\nversion (\d+)", climbing.asked[-1][0][-1].content)
    assert len(shown) == 10
    assert [int(score) for score, _ in shown] == sorted(round(100 * int(n) / (int(n) + 20)) for _, n in shown)
    done = tools(lambda messages, sample: "<answer>version 99</answer>")
    assert rewrite(Evolving(), at(), done) == "version 99"
    assert done.calls == 4


def test_the_refining_loop_is_the_published_one() -> None:
    """Three conversations of five attempts; each hears its own score and the judge's words, and sees its last three."""
    flat = tools(lambda messages, sample: f"<answer>try {len(messages)} {sample} of many</answer>")
    rewrite(Refining(), at("no number"), flat)
    assert flat.calls == 15 == REWRITE_REFINING.budget.model_calls
    lengths = [len(messages) for messages, _, _ in flat.asked]
    assert lengths == [2] * 3 + [4] * 3 + [6] * 3 + [8] * 6
    last = flat.asked[-1][0]
    assert [m.role for m in last] == ["system", "user", *["assistant", "user"] * 3]
    assert re.search(r"The judge gave it \d+ of 100\. It said:\n<reply>\nIt names", last[-1].content)


def test_paraphrases_stay_close() -> None:
    """What is too far from the original is not even asked about; each round rewords the best so far."""
    original = "The quiet engine of rivers carries the lantern, as was said in version 1 of the text."

    def model(messages: Sequence[Message], sample: int) -> str:
        text = messages[-1].content.split("The text:\n")[1]
        if sample % 2:
            return "<answer>version 999 and nothing else that was said</answer>"
        higher = re.sub(r"version (\d+)", lambda hit: f"version {int(hit[1]) + 3}", text)
        return f"<answer>{higher}</answer>"

    desk = tools(model)
    found = rewrite(Paraphrase(), at(original), desk)
    assert found == original.replace("version 1", "version 13")
    assert all("999" not in one.text for one in desk.oracle.asked)
    assert all(Paraphrase().close(original, one.text) for one in desk.oracle.asked)
    assert desk.calls == 16 == REWRITE_PARAPHRASE.budget.model_calls


def test_rewording_ends_with_the_first_win() -> None:
    """An answer that wins already is left alone; else the first wording that wins is handed in."""
    (strong,) = situations(1, judge=ARENA, skill=1.0, against=0.0)
    desk = MemoryTools(MemoryOracle(HonestJudge(noise=0.01), "verdict", spec=ARENA), numbered)
    assert rewrite(UntilWon(), strong, desk) == strong.answer
    assert desk.calls == 0
    (weak,) = situations(1, judge=ARENA, skill=0.0, against=0.5)
    good = situations(1, judge=ARENA, skill=1.0)[0].answer

    def model(messages: Sequence[Message], sample: int) -> str:
        return f"<answer>{good if sample == 2 else weak.answer + ' Indeed.' * (sample + 1)}</answer>"

    desk = MemoryTools(MemoryOracle(HonestJudge(noise=0.01), "verdict", spec=ARENA), model)
    assert rewrite(UntilWon(), weak, desk) == good
    assert desk.calls == 3


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.id)
@pytest.mark.parametrize(("calls", "written"), [(0, 5), (1, 5), (3, 5), (99, 0), (99, 3)])
def test_whatever_runs_out_an_answer_is_handed_in(record: object, calls: int, written: int) -> None:
    """The best so far; the answer as it was where nothing was judged."""
    way = record.rewrite  # type: ignore[attr-defined]
    desk = tools(calls=calls, written=written)
    found = rewrite(way, at(), desk)
    assert found
    assert desk.oracle.calls <= calls and desk.calls <= written
    if calls <= 1 or written == 0:
        assert found == "version 1"


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.id)
def test_the_declared_budget_is_enough_for_the_whole_loop(record: object) -> None:
    """With it nothing is cut short: as many calls of the model as without a limit, on a judge that sees both orders."""
    used = []
    for budget in (record.budget, None):  # type: ignore[attr-defined]
        (situation,) = situations(1, judge=ARENA)
        oracle = MemoryOracle(BiasedJudge(position=-9), "score", budget.calls if budget else 10**6, ARENA)
        desk = MemoryTools(oracle, None, budget.model_calls if budget else 10**6)
        rewrite(record.rewrite, situation, desk)  # type: ignore[attr-defined]
        used.append((desk.calls, oracle.calls))
    assert used[0] == used[1]
    assert used[0][1] <= record.budget.calls  # type: ignore[attr-defined]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.id)
def test_a_model_that_refuses_costs_its_calls_and_nothing_else(record: object) -> None:
    """A refused request, an empty reply: the attempt is lost, the loop goes on, the original is handed in."""

    def refuses(messages: Sequence[Message], sample: int) -> str:
        if sample % 2:
            raise Rejected("content filter")
        return "  "

    desk = tools(refuses)
    assert rewrite(record.rewrite, at(), desk) == "version 1"  # type: ignore[attr-defined]
    assert desk.calls > 0


def test_an_honest_judge_pays_for_quality_alone() -> None:
    """With a writer of known skill the judge's favourite is really better: gold is unknown, and here it rises."""
    gains = []
    for place in range(6):
        (situation,) = situations(1, judge=SINGLE, first=place)
        desk = MemoryTools(MemoryOracle(HonestJudge(noise=0.1), "score", spec=SINGLE))
        found = rewrite(Evolving(rounds=2), situation, desk)
        gains.append(gold(situation, found) - gold(situation, situation.answer))
    assert sum(gains) / len(gains) > 0.3
    assert all(record.gold == "unknown" for record in RECORDS)


def test_the_answer_is_what_stands_between_the_tags() -> None:
    """The last pair of tags; an unclosed tag up to the end; no tag: all of the reply."""
    assert between("Hm. <answer>one</answer> <answer> two </answer> done") == "two"
    assert between("<ANSWER>cut off") == "cut off"
    assert between(" no tags ") == "no tags"
    assert between("<note>n</note><answer>a</answer>", "note") == "n"


# --- chrF -----------------------------------------------------------------------------------------------------------


def test_chrf_by_hand() -> None:
    """'abcd' and 'abce': 3 of 4 letters, 2 of 3 pairs, 1 of 2 triples, 0 of 1 quadruple."""
    assert chrf("abcd", "abce") == pytest.approx((3 / 4 + 2 / 3 + 1 / 2 + 0) / 4)
    assert chrf("a b", "ab") == 1.0
    assert chrf("", "") == 1.0
    assert chrf("", "x") == 0.0
    assert chrf("abc", "xyz") == 0.0


@given(st.text(max_size=30), st.text(max_size=30))
def test_chrf_is_symmetric_and_within_bounds(one: str, other: str) -> None:
    """0 to 1, whichever text comes first."""
    value = chrf(one, other)
    assert 0.0 <= value <= 1.0
    assert value == pytest.approx(chrf(other, one))
    assert not math.isnan(value)
