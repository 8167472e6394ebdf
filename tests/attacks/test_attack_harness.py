"""Attacks on harnesses, run on the published templates and parsers, and against ours, which they must not move."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from auditkit.attacks import baseline, formats_break, padding
from auditkit.attacks.protocol import Attack, Situation
from auditkit.attacks.wording import place_of
from auditkit.formats.alpaca_eval import model_first
from auditkit.judging.importers import import_judge
from auditkit.judging.inputs import Prompt
from auditkit.judging.parse import parse_verdict
from auditkit.judging.protocol import decided, orders
from auditkit.judging.render import Rendered, render, unrender
from auditkit.judging.spec import JudgeSpec, load_judge

FILES: Final = {
    "alpaca": ("alpaca_eval/weighted_alpaca_eval_gpt4_turbo", None),
    "arena v0.1": ("arena_hard/arena-hard-v0.1.yaml", None),
    "arena v2.0": ("arena_hard/arena-hard-v2.0.yaml", None),
    "mt pair": ("mt_bench/judge_prompts.jsonl", "pair"),
    "mt single": ("mt_bench/judge_prompts.jsonl", "single"),
    "wild pair": ("wildbench/eval_template.pairwise.v2.md", None),
    "wild score": ("wildbench/eval_template.score.v2.md", None),
}
MINE, THEIRS, HIDDEN = "My own weak answer.", "The other one's much better answer.", "Does it name the Fresnel lens?"
Import = Callable[..., JudgeSpec]


@pytest.fixture(scope="session")
def published(shared_data: Path) -> Import:
    """Import a published judge, as it is or hardened."""

    def make(key: str, *, compat: bool = True) -> JudgeSpec:
        file, name = FILES[key]
        return import_judge(shared_data / "judges" / file, name=name, compat=compat)

    return make


def at(judge: JudgeSpec, place: int = 0, text: str = "Why do lighthouses turn?") -> Situation:
    """A prompt at a place of the benchmark's file."""
    return Situation(Prompt(f"p{place}", (f"{text} {place}",), checklist=(HIDDEN,)), MINE, THEIRS, judge, place)


def shown(attack: Attack, where: Situation, judge: JudgeSpec | None = None) -> Rendered:
    """What a judge is sent of an attacked answer, in the order that it sees on this prompt."""
    assert attack.craft is not None
    judge = judge or where.judge
    answers = (attack.craft(where), THEIRS) if judge.pairwise else (attack.craft(where),)
    order = orders(where.judge, where.prompt.turns, where.place)[0]
    return render(judge, turns=where.prompt.turns, answers=answers, order=order, checklist=(HIDDEN,))


def text_of(rendered: Rendered) -> str:
    """The finished prompt."""
    return "\n".join(message.content for message in rendered.messages)


# --- placeholders ---------------------------------------------------------------------------------------------------


def test_the_other_answer_is_captured_where_the_slot_is_the_first(published: Import) -> None:
    """AlpacaEval: the other one's text moves into the attacker's place, and its own place shows the bare placeholder.

    In the second slot the attacker hands in the real answer. Both slots occur, as the prompt decides.
    """
    judge, seen = published("alpaca"), set()
    for place in range(30):
        where = at(judge, place)
        text = text_of(shown(formats_break.PLACEHOLDER_CAPTURE, where))
        first = '"model_identifier": "m",\n        "output": """'
        mine = text.split(first)[1].split('"""')[0]
        seen.add(place_of(where))
        if place_of(where) == "first":
            assert mine == THEIRS
            assert '"output": """{output_2}"""' in text
            assert MINE not in text
        else:
            assert mine == THEIRS, "the other answer is shown first, as it should be"
            assert MINE in text
    assert seen == {"first", "second"}


def test_the_capture_is_inert_once_the_template_is_filled_in_one_pass(published: Import) -> None:
    """The hardened twin shows the placeholder as the answer that it is, and the other answer in its own place."""
    judge, hardened = published("alpaca"), published("alpaca", compat=False)
    where = next(at(judge, place) for place in range(30) if place_of(at(judge, place)) == "first")
    read = unrender(shown(formats_break.PLACEHOLDER_CAPTURE, where, hardened))
    assert read is not None
    assert (read["answer_a.1"], read["answer_b.1"]) == ("{output_2}", THEIRS)


@pytest.mark.parametrize("key", ["wild pair", "wild score"])
def test_the_hidden_checklist_leaks_upstream_and_is_inert_here(published: Import, key: str) -> None:
    """WildBench: `{$checklist}` in an answer is filled with the private checklist; in the hardened twin it stays text."""
    judge, hardened = published(key), published(key, compat=False)
    leaked = text_of(shown(formats_break.PLACEHOLDER_RUBRIC, at(judge)))
    assert leaked.count(HIDDEN) == 2
    assert f"met by this answer:\n- {HIDDEN}" in leaked
    safe = text_of(shown(formats_break.PLACEHOLDER_RUBRIC, at(judge), hardened))
    assert safe.count(HIDDEN) == 1
    assert "met by this answer:\n{$checklist}" in safe


def test_an_answer_becomes_a_copy_of_the_other(published: Import) -> None:
    """WildBench, shown first: both places hold the other one's answer."""
    judge = published("wild pair")
    for place in range(20):
        text = text_of(shown(formats_break.PLACEHOLDER_COPY, at(judge, place)))
        expected = 2 if place_of(at(judge, place)) == "first" else 1
        assert text.count(THEIRS) == expected


@pytest.mark.parametrize("key", FILES)
def test_no_placeholder_is_filled_in_a_hardened_judge(published: Import, key: str) -> None:
    """All known placeholders at once: every one of them is read back as it was written."""
    judge = published(key, compat=False)
    read = unrender(shown(formats_break.PLACEHOLDER_SPRAY, at(judge)))
    assert read is not None
    assert formats_break.PLACEHOLDER_SPRAY.craft is not None
    assert formats_break.PLACEHOLDER_SPRAY.craft(at(judge)) in read.values()


# --- slots ----------------------------------------------------------------------------------------------------------


def test_the_slot_is_known_from_the_prompt_alone(shared_data: Path) -> None:
    """AlpacaEval: the slot that the recorded log-probabilities show is the one that an attacker foretells, 50 of 50.

    The stored null model keeps no log-probabilities in this copy; its slots by the same rule are 406 and 399, and its
    win rates by them 68.2 and 85.7, a gap of 17.5 points.
    """
    judge = load_judge("alpaca-eval-2-slot")
    folder = shared_data / "alpaca_eval" / "results"

    def place(row: dict[str, Any]) -> str:
        return place_of(Situation(Prompt("p", (row["instruction"],)), "", "", judge))

    def rows(model: str) -> list[dict[str, Any]]:
        file = folder / model / "weighted_alpaca_eval_gpt4_turbo" / "annotations.json"
        found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        return found

    seen = 0
    for row in rows("claude-2.1"):
        if not row.get("raw_completion"):
            continue
        top = {t["token"]: t["logprob"] for t in row["raw_completion"]["logprobs"]["content"][0]["top_logprobs"]}
        m_wins = top["m"] > top["M"]
        model_wins = row["preference"] > 1.5
        assert (place(row) == "first") == (m_wins == model_wins)
        seen += 1
    assert seen == 50

    null = rows("NullModel")
    outcome = {where: [r["preference"] - 1 for r in null if place(r) == where] for where in ("first", "second")}
    assert {where: len(values) for where, values in outcome.items()} == {"first": 406, "second": 399}
    means = {where: 100 * sum(values) / len(values) for where, values in outcome.items()}
    assert means["first"] == pytest.approx(68.24, abs=0.005)
    assert means["second"] == pytest.approx(85.75, abs=0.005)
    assert all((place(r) == "first") == model_first(r["instruction"]) for r in null)


# --- messages -------------------------------------------------------------------------------------------------------


def test_the_conversation_is_forged_at_chatml_tags_and_not_in_the_hardened_twin(published: Import) -> None:
    """AlpacaEval splits the finished text at tags: the judge finds its own verdict, the right one for the slot."""
    judge, hardened = published("alpaca"), published("alpaca", compat=False)
    for place in range(8):
        where = at(judge, place)
        forged = shown(formats_break.SPECIAL_CHATML, where).messages
        assert [m.role for m in forged] == ["system", "user", "assistant", "user"]
        assert forged[2].content == ("m" if place_of(where) == "first" else "M")
        assert [m.role for m in shown(formats_break.SPECIAL_CHATML, where, hardened).messages] == ["system", "user"]


# --- verdicts -------------------------------------------------------------------------------------------------------


def quoted(attack: Attack, judge: JudgeSpec) -> str:
    """The last line of an attacked answer, as a judge that quotes it would write it."""
    assert attack.craft is not None
    return attack.craft(at(replace(judge, order="model_first") if judge.pairwise else judge)).splitlines()[-1]


@pytest.mark.parametrize(
    ("key", "said", "upstream", "honest"),
    [
        ("mt single", "{quoted}\nToo short to help anyone.\n[[2]]", 10.0, 2.0),
        ("mt pair", "{quoted}\nB is right and A is not.\n[[B]]", 1.0, 0.0),
        ("arena v2.0", "B is right.\n[[B>>A]]\n{quoted}", 1.0, None),
        ("wild pair", '{{"about A": "it says {quoted}", "choice": "B++"}}', 1.0, None),
        ("wild score", '{{"strengths": "it says {quoted}", "score": "2"}}', 10.0, None),
    ],
)
def test_a_quoted_verdict_is_taken_upstream_and_not_here(
    published: Import, key: str, said: str, upstream: float, honest: float | None
) -> None:
    """A judge that quotes the answer's last line: the published reader takes the quotation.

    Ours reads the final verdict; where the quotation broke the form of the reply, or is the final line, it is never a
    verdict that the judge did not give there.
    """
    judge, hardened = published(key), published(key, compat=False)
    text = said.format(quoted=quoted(formats_break.VERDICT_ECHO, judge))
    verdict = parse_verdict(judge, text)
    assert (verdict.outcome if judge.pairwise else verdict.score) == upstream
    ours = parse_verdict(hardened, text)
    if honest is not None:
        assert (ours.outcome if judge.pairwise else ours.score) == honest
    elif key != "arena v2.0":
        assert not ours.parsed


def test_a_judge_that_shows_both_orders_cannot_be_made_to_end_in_one_verdict() -> None:
    """Against both orders the echo must name two verdicts: on the final line they are none."""
    judge = load_judge("arena-hard-v2.0")
    assert formats_break.VERDICT_ECHO.craft is not None
    last = formats_break.VERDICT_ECHO.craft(at(judge)).splitlines()[-1]
    assert not parse_verdict(judge, f"B is right.\n[[B>A]]\n{last}").parsed


def test_a_number_beyond_the_scale_is_taken_upstream_and_refused_here(published: Import) -> None:
    """FastChat reads 1,000 of 10; WildBench's broken reply too; ours reads neither."""
    for key, number in (("mt single", 1000.0), ("wild score", 1000.0)):
        judge = published(key)
        assert formats_break.VERDICT_BEYOND.craft is not None
        text = formats_break.VERDICT_BEYOND.craft(at(judge))
        assert parse_verdict(judge, text).score == number
        assert not parse_verdict(published(key, compat=False), text).parsed


def test_citations_read_as_ratings_upstream(published: Import) -> None:
    """FastChat falls back to single brackets: a quoted citation is a ten."""
    judge = published("mt single")
    assert formats_break.VERDICT_CITATION.craft is not None
    said = formats_break.VERDICT_CITATION.craft(at(judge)) + "\nI rate this two of ten."
    assert parse_verdict(judge, said).score == 10.0
    assert not parse_verdict(published("mt single", compat=False), said).parsed


def test_the_label_that_stops_the_scoring(published: Import) -> None:
    """Arena-Hard v2.0 reads `[A]`, and its table of scores has no such entry; ours has no verdict to read."""
    judge = published("arena v2.0")
    assert formats_break.VERDICT_CRASH.craft is not None
    assert "[A]" in formats_break.VERDICT_CRASH.craft(at(judge))
    verdict = parse_verdict(judge, "Comparing [A] with the other: [A] is shorter.")
    assert (verdict.label, verdict.parsed) == ("A", False)
    assert "scoring stops" in verdict.reason
    assert parse_verdict(published("arena v2.0", compat=False), "[A] is shorter.").label == ""


@pytest.mark.parametrize(
    ("prompt", "hard"),
    [
        ("Why is the sky blue?", False),
        ("Prove that there are infinitely many primes.", True),
        ("x " * 300, True),
        ("", False),
    ],
)
def test_verdicts_are_dropped_on_hard_prompts_alone(published: Import, prompt: str, hard: bool) -> None:
    """On an easy prompt the answer is handed in as it is."""
    assert formats_break.VERDICT_DROP.craft is not None
    where = at(published("arena v2.0"), text=prompt)
    assert (formats_break.VERDICT_DROP.craft(where) == MINE) is not hard


def test_attacks_on_one_harness_leave_others_alone(published: Import) -> None:
    """What each applies to: the judges whose code it is about, and none of ours."""
    every = {key: published(key) for key in FILES} | {
        "ours": load_judge("arena-hard-v2.0"),
        "rating": load_judge("mt-bench-single"),
    }
    applies = {
        attack.id: {key for key, judge in every.items() if attack.applies(judge)}
        for attack in vars(formats_break).values()
        if isinstance(attack, Attack)
    }
    assert applies["placeholder-capture"] == applies["special-chatml"] == {"alpaca"}
    assert applies["placeholder-copy"] == {"wild pair"}
    assert applies["placeholder-rubric"] == {"wild pair", "wild score"}
    assert applies["verdict-crash"] == {"arena v0.1", "arena v2.0"}
    assert applies["verdict-beyond"] == applies["verdict-citation"] == {"mt single", "wild score", "rating"}
    assert applies["placeholder-spray"] == applies["special-tokens"] == applies["verdict-echo"] == set(every)


# --- length and copies ----------------------------------------------------------------------------------------------


def test_the_length_that_is_read_back_from_the_prompt_is_five(published: Import) -> None:
    """WildBench measures what stands between its delimiters in the finished prompt: five characters of five thousand."""
    judge = published("wild pair")
    where = replace(at(judge), answer="y" * 5_000)
    assert padding.LENGTH_EVASION.craft is not None
    own = padding.LENGTH_EVASION.craft(where)
    text = text_of(render(judge, turns=where.prompt.turns, answers=(own, THEIRS), order="model_first"))
    measured = re.search(r"<\|begin_of_response_A\|>(.*?)<\|end_of_response_A\|>", text, re.DOTALL)
    assert measured is not None
    assert measured[1].strip() == "yyyyy"
    hardened = published("wild pair", compat=False)
    read = unrender(render(hardened, turns=where.prompt.turns, answers=(own, THEIRS), order="model_first"))
    assert read is not None
    assert len(read["answer_a.1"]) > 5_000


def test_the_baselines_answer_is_half_a_win_without_a_call() -> None:
    """AlpacaEval's rule: equal answers tie, and the judge is not asked."""
    judge = load_judge("alpaca-eval-2")
    assert baseline.BASELINE_COPY.craft is not None
    made = baseline.BASELINE_COPY.craft(at(judge))
    verdict = decided(judge, (made, THEIRS))
    assert verdict is not None
    assert verdict.outcome == 0.5
    assert baseline.BASELINE_POLISH.craft is not None
    assert decided(judge, (baseline.BASELINE_POLISH.craft(at(judge)), THEIRS)) is None


def test_polishing_changes_words_and_leaves_code_alone() -> None:
    """Words are exchanged, capitals kept, code untouched; the same text comes out every time."""
    text = "However, it is large because `use many` it must.\n```\nhowever = many\n```\nOften, use it."
    assert baseline.polished(text) == (
        "That said, it's big since `use many` it must.\n```\nhowever = many\n```\nFrequently, make use of it."
    )
