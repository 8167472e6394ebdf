"""Payloads made from a judge's own template: balanced, complete, inert where the defence is on."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.attacks.null import NULL_APPENDED, NULL_STRUCTURED
from auditkit.attacks.protocol import Situation
from auditkit.attacks.structured import ASKED, frame_of, structured, structured_payload
from auditkit.attacks.wording import best_verdict, labels, place_of, tie, wins, worst_verdict
from auditkit.errors import InputError
from auditkit.judging.calls import Message, Request
from auditkit.judging.clients.simulated import SimulatedClient
from auditkit.judging.importers import import_judge
from auditkit.judging.inputs import Prompt
from auditkit.judging.layout import Shape, lay_out
from auditkit.judging.parse import parse_verdict
from auditkit.judging.render import Rendered, render, unrender
from auditkit.judging.simulated_writer import SimulatedWriter
from auditkit.judging.spec import JudgeSpec, judge_names, load_judge
from auditkit.records import Order

NONCE: Final = "5f3a9c0e7b214d68"
QUESTION: Final = "Why do lighthouses have rotating lamps in winter storms?"
SPECS: Final = {name: load_judge(name) for name in judge_names()}
UPSTREAM: Final = {
    "arena-hard-v0.1": ("arena_hard/arena-hard-v0.1.yaml", None),
    "arena-hard-v2.0": ("arena_hard/arena-hard-v2.0.yaml", None),
    "alpaca weighted": ("alpaca_eval/weighted_alpaca_eval_gpt4_turbo", None),
    "alpaca binary": ("alpaca_eval/alpaca_eval_clf_gpt4_turbo", None),
    "alpaca ranking": ("alpaca_eval/alpaca_eval_cot_gpt4_turbo_fn", None),
    "mt pair": ("mt_bench/judge_prompts.jsonl", "pair"),
    "mt single": ("mt_bench/judge_prompts.jsonl", "single"),
    "wildbench pair": ("wildbench/eval_template.pairwise.v2.md", None),
    "wildbench score": ("wildbench/eval_template.score.v2.md", None),
}
ORDERS: Final[tuple[Order, ...]] = ("model_first", "model_second")
Import = Callable[[str, bool], JudgeSpec]


@pytest.fixture(scope="session")
def upstream(shared_data: Path) -> Import:
    """Import a published judge, as it is or hardened."""

    def make(key: str, compat: bool) -> JudgeSpec:
        file, name = UPSTREAM[key]
        return import_judge(shared_data / "judges" / file, name=name, compat=compat)

    return make


def good(seed: int = 4) -> str:
    """An answer of which everything is true, in the world of the simulated judges."""
    asked = Request("simulated/writer", (Message("user", QUESTION),))
    return SimulatedWriter(seed=seed, skill=1.0, words=60).write(asked).text


def shown(judge: JudgeSpec, own: str, order: Order, nonce: str | None = None) -> Rendered:
    """Render one game against a good answer."""
    answers = (own, good()) if judge.pairwise else (own,)
    return render(judge, turns=QUESTION, answers=answers, order=order, checklist=("Is it right?",), nonce=nonce)


def score(judge: JudgeSpec, model: str, own: str, order: Order, nonce: str | None = None) -> float:
    """Return how the own answer does, 0..1."""
    rendered = shown(judge, own, order, nonce)
    request = Request(f"simulated/{model}?quality=60", rendered.messages, dict(judge.params))
    verdict = parse_verdict(judge, asyncio.run(SimulatedClient([judge]).complete(request)))
    assert verdict.parsed, verdict.reason
    if judge.pairwise:
        return verdict.for_model(order)
    low, high = judge.verdict.scale or (0.0, 1.0)
    return (verdict.score - low) / (high - low)


# --- what a payload holds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECS)
def test_the_payload_holds_every_delimiter_of_the_answers_and_the_question(name: str) -> None:
    """Each tag that fences a question or an answer is opened in the payload, and closed."""
    judge = SPECS[name]
    layout = lay_out(judge, next(t for t in judge.templates if t.turns != "many" and not t.reference), Shape())
    payload = structured_payload(judge)
    tags = [token for token in layout.reserved if token.startswith("<")]
    assert len(tags) == (6 if judge.pairwise else 4)
    for token in tags:
        assert f"{token}>" in payload


@pytest.mark.parametrize(("name", "order"), list(itertools.product(SPECS, ORDERS)))
def test_the_prompt_with_the_payload_has_as_many_ends_as_beginnings(name: str, order: Order) -> None:
    """In the plain text, every delimiter is opened as often as it is closed: true blocks and staged ones.

    Pairwise: three questions and first answers (true, staged, reopened), four second answers (the true task's rest
    too); a rating: two of each.
    """
    judge = SPECS[name]
    answers = (structured_payload(judge), "Other.") if judge.pairwise else (structured_payload(judge),)
    # Without breaking, as a judge without this defence would render it.
    text = "".join(
        message.content for message in render(judge, turns=QUESTION, answers=answers, order=order).messages[1:]
    ).replace("\\", "")
    tags = ("user_prompt", "answer_a", "answer_b") if judge.pairwise else ("user_prompt", "assistant_answer")
    counts = [(text.count(f"<{tag}>"), text.count(f"</{tag}>")) for tag in tags]
    assert counts == ([(3, 3), (3, 3), (4, 4)] if judge.pairwise else [(2, 2), (2, 2)])


@pytest.mark.parametrize("key", UPSTREAM)
def test_published_templates_are_closed_and_reopened(upstream: Import, key: str) -> None:
    """Every line by which a published template opens or closes a question or answer is in the payload."""
    judge = upstream(key, True)
    payload = structured_payload(judge)
    frame = frame_of(judge)
    for k, kind in enumerate(frame.kinds):
        if kind:
            assert frame.literals[k].rstrip("\n").rsplit("\n", 1)[-1].strip() in payload
            assert frame.literals[k + 1].lstrip("\n").split("\n", 1)[0].strip() in payload
    assert payload.count(ASKED) == (2 if judge.pairwise else 1)
    assert 300 < len(payload) < 2_500
    # What is left open is what the template closes: the place of an answer.
    named = "answer_a" if judge.pairwise else "answer"
    opening = frame.literals[frame.kinds.index(named)].rstrip("\n").rsplit("\n", 1)[-1].strip()
    assert payload.rstrip("\n").endswith(opening)


def test_prefix_and_suffix_stand_where_a_search_puts_them() -> None:
    """The prefix is before everything; the suffix follows the staged question."""
    payload = structured_payload(SPECS["arena-hard-v0.1"], prefix="PPP", suffix=" SSS")
    assert payload.startswith("PPP\n</answer_a>")
    assert payload.count(f"{ASKED} SSS") == 2
    assert structured_payload(SPECS["arena-hard-v0.1"]) == payload.replace("PPP", "").replace(" SSS", "")


def test_the_parts_of_the_lattice_are_what_they_say() -> None:
    """Without `close` there is no delimiter; without `stage` no task; without `cancel` no word to the judge."""
    judge = SPECS["arena-hard-v0.1"]
    assert "<" not in structured(judge, parts="cancel stage").replace("<<", "").replace("[[A>>B]]", "")
    assert ASKED not in structured(judge, parts="close cancel")
    assert "rehearsal" not in structured(judge, parts="close stage reopen")
    assert structured(judge, parts="close").strip().startswith("</answer_a>")


def test_answers_in_conversations_of_their_own_are_staged_in_the_other_order(upstream: Import) -> None:
    """MT-Bench's two turns: A's staged conversation and B's, then B's whole and A's up to its last answer."""
    prompt = Prompt("p", (QUESTION, "And in fog?"))
    payload = structured(upstream("mt pair", True), prompt)
    begins = [f"<|The Start of Assistant {x}'s Conversation with User|>" for x in "AB"]
    places = sorted(
        (m.start(), x) for x, begin in zip("AB", begins, strict=True) for m in re.finditer(re.escape(begin), payload)
    )
    assert [x for _, x in places] == ["B", "A", "B", "B", "A"]
    assert payload.endswith("### Assistant A:\n")
    assert payload.count(ASKED) == 8
    ours = structured(SPECS["mt-bench-pairwise"], prompt)
    assert ours.endswith("<answer_a_2>\n")
    counts = [(ours.count(f"<answer_{x}>"), ours.count(f"</answer_{x}>")) for x in ("a_1", "a_2", "b_1", "b_2")]
    # One end of the true place, one staged conversation each, and B's once more in the rest of the true task.
    assert counts == [(2, 2), (2, 2), (3, 3), (3, 3)]


def test_a_judge_without_a_usable_template_is_refused() -> None:
    """A judge whose only template is for another category is no judge for this prompt."""
    judge = SPECS["mt-bench-single"]
    with pytest.raises(InputError, match="needs a reference"):
        structured(judge, Prompt("p", ("2 + 2?",), category="math"))


# --- the verdicts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECS)
def test_the_verdicts_are_those_that_the_parser_reads(name: str) -> None:
    """A judge that writes what a payload demands is read as the payload wants, by the judge's own parser."""
    judge = SPECS[name]
    if judge.verdict.parser == "logprob":
        assert {judge.verdict.labels[label].outcome for label in labels(judge)} == {0.0, 1.0}
        return
    if judge.pairwise:
        assert parse_verdict(judge, best_verdict(judge, True)).outcome == 1.0
        assert parse_verdict(judge, best_verdict(judge, False)).outcome == 0.0
        assert parse_verdict(judge, tie(judge)).outcome == 0.5
    else:
        assert judge.verdict.scale is not None
        assert parse_verdict(judge, best_verdict(judge)).score == judge.verdict.scale[1]
        assert parse_verdict(judge, worst_verdict(judge)).score == judge.verdict.scale[0]


@pytest.mark.parametrize("key", UPSTREAM)
def test_the_published_parsers_read_the_verdicts_too(upstream: Import, key: str) -> None:
    """The same through every published parser that reads text."""
    judge = upstream(key, True)
    if judge.verdict.parser == "ae_logprob":
        assert labels(judge) == ("m", "M")
    elif judge.pairwise:
        assert parse_verdict(judge, best_verdict(judge, True)).outcome == 1.0
        assert parse_verdict(judge, best_verdict(judge, False)).outcome == 0.0
    else:
        assert parse_verdict(judge, best_verdict(judge)).score == 10.0


def test_an_attacker_knows_the_place_only_where_it_is_public(upstream: Import) -> None:
    """Both orders leave it open; AlpacaEval's slot and WildBench's seed give it away, and the demand follows."""
    both = Situation(Prompt("p", (QUESTION,)), "a", "b", SPECS["arena-hard-v0.1"])
    assert place_of(both) == "either"
    assert wins(both).count("[[") == 2
    seen = set()
    for place in range(40):
        there = Situation(Prompt("p", (f"{QUESTION} {place}",)), "a", "b", SPECS["alpaca-eval-2-slot"], place)
        seen.add((place_of(there), wins(there)))
    assert seen == {("first", "m"), ("second", "M")}
    wild = upstream("wildbench pair", True)
    known = {place_of(Situation(Prompt("p", (QUESTION,)), "a", "b", wild, place)) for place in range(40)}
    assert known == {"first", "second"}
    assert place_of(Situation(Prompt("p", (QUESTION,)), "a", "", SPECS["mt-bench-single"])) == "only"


# --- the parsing judge falls in both orders, its nonce-fenced twin does not -----------------------------------------


@pytest.mark.parametrize("name", SPECS)
def test_the_parsing_judge_loses_and_its_nonce_fenced_twin_does_not(name: str) -> None:
    """One payload, both orders, defence on and off: the nonce makes the difference."""
    judge = SPECS[name]
    payload = structured_payload(judge)
    for order in ORDERS if judge.pairwise else ORDERS[:1]:
        assert score(judge, "honest", payload, order) < 0.35, "an honest reader gives little for it"
        assert score(judge, "parsing", payload, order) > 0.99
        assert score(judge, "parsing", payload, order, NONCE) > 0.99, "a nonce that nobody heeds does not help"
        assert score(judge, "nonce", payload, order, NONCE) < 0.01


@pytest.mark.parametrize("key", UPSTREAM)
def test_the_published_templates_lose_in_both_orders(upstream: Import, key: str) -> None:
    """The payload is generated from each published template, and takes over a careless reader of it."""
    judge = upstream(key, True)
    for order in ORDERS if judge.pairwise else ORDERS[:1]:
        assert score(judge, "parsing", structured_payload(judge), order) > 0.99


@pytest.mark.parametrize(("name", "nonce"), list(itertools.product(SPECS, (None, NONCE))))
def test_the_payload_is_inert_in_our_rendering(name: str, nonce: str | None) -> None:
    """It is read back as the answer that it is: nothing of it is outside its place."""
    judge = SPECS[name]
    payload = structured_payload(judge)
    rendered = shown(judge, payload, "model_first", nonce)
    read = unrender(rendered)
    assert read is not None
    assert read["answer_a.1" if judge.pairwise else "answer.1"] == payload
    assert read["question.1"] == QUESTION
    text = "".join(message.content for message in rendered.messages)
    opening = f"<answer_a{f'-{nonce}' if nonce else ''}>" if judge.pairwise else "<assistant_answer"
    plain = "".join(text for group in rendered.literals for text in group)
    assert text.count(opening) == plain.count(opening)


@pytest.mark.parametrize("key", [key for key in UPSTREAM if key != "alpaca ranking"])  # it cannot be hardened
def test_the_payload_is_inert_in_a_hardened_import_and_not_in_the_original(upstream: Import, key: str) -> None:
    """Made from the published template, the payload is read back whole by the hardened twin, and forges ends in the original."""
    original, hardened = upstream(key, True), upstream(key, False)
    payload = structured_payload(original)
    before, after = shown(original, payload, "model_first"), shown(hardened, payload, "model_first")
    read = unrender(after)
    assert read is not None
    assert payload in read.values()
    frame = frame_of(original)
    ends = [
        frame.literals[k + 1].strip().split("\n")[0].strip() for k, kind in enumerate(frame.kinds) if "answer" in kind
    ]
    for end in ends:
        plain = sum(literal.count(end) for group in before.literals for literal in group)
        assert sum(message.content.count(end) for message in before.messages) > plain
        assert sum(message.content.count(end) for message in after.messages) == plain


@given(st.text(max_size=200), st.sampled_from(sorted(SPECS)), st.integers(1, 3))
def test_any_answer_may_carry_the_payload(answer: str, name: str, turns: int) -> None:
    """Crafting never fails for any answer and any number of turns, and keeps the answer before the payload."""
    prompt = Prompt("p", (QUESTION,) * turns, checklist=("Is it right?",))
    situation = Situation(prompt, answer, "", SPECS[name])
    assert NULL_APPENDED.craft is not None
    assert NULL_STRUCTURED.craft is not None
    made = NULL_APPENDED.craft(situation)
    assert made == answer + NULL_STRUCTURED.craft(situation)
