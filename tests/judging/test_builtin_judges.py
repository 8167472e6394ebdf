"""The judges that ship: each against the published protocol it says it follows."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from auditkit.formats._arena_hard import BASELINES, LABELS
from auditkit.formats.wildbench import REFERENCES
from auditkit.judging.calls import Completion, Message, TokenLogprob
from auditkit.judging.parse import parse_verdict
from auditkit.judging.protocol import decided, games_for, orders, retry_messages
from auditkit.judging.render import render
from auditkit.judging.spec import Item, JudgeSpec, judge_names, load_judge
from auditkit.registry import plugins

NAMES: Final = (
    "alpaca-eval-2", "alpaca-eval-2-slot", "arena-hard-v0.1", "arena-hard-v2.0", "mt-bench-pairwise", "mt-bench-single",
    "wildbench-reward", "wildbench-score",
)  # fmt: skip


def _system(spec: JudgeSpec, **more: Any) -> str:
    answers = ("a", "b") if spec.pairwise else ("a",)
    return render(spec, turns="q", answers=answers, **more).messages[0].content


def test_the_built_in_judges_are_plugins() -> None:
    """They are found by entry point like a third party's, under their own names."""
    assert judge_names() == NAMES
    for name in NAMES:
        assert load_judge(name).name == name
        assert plugins("judges")[name].distribution == "judge-auditkit"


@pytest.mark.parametrize("name", NAMES)
def test_every_judge_says_what_it_is_and_guards_what_it_shows(name: str) -> None:
    """A source, tags round every value, and a system prompt that says what the tags mean."""
    spec = load_judge(name)
    assert "in our own words" in spec.source
    assert (spec.fence, spec.rendering) == ("tags", "jinja")
    assert "backslash" in _system(spec)
    assert "material" in _system(spec)


@pytest.mark.parametrize("name", NAMES)
def test_every_label_is_told_to_the_judge(name: str) -> None:
    """Each label of the verdict table stands in the prompt as the parser wants it written."""
    spec = load_judge(name)
    rendered = render(spec, turns="q", answers=("a", "b") if spec.pairwise else ("a",))
    text = "\n".join(message.content for message in rendered.messages)
    for label in spec.verdict.labels:
        written = spec.verdict.written.replace("{label}", label) if spec.verdict.parser == "labels" else label
        assert written in text


def _sentences(text: str) -> set[str]:
    return {" ".join(x.split()) for x in re.split(r"[.!?:\n]|\\n", text) if len(x.split()) >= 6}


@pytest.mark.parametrize("name", NAMES)
def test_no_prompt_repeats_an_upstream_sentence(shared_data: Path, name: str) -> None:
    """The prompts are our own: no sentence of six words or more is one of the published files'."""
    upstream: set[str] = set()
    for file in (shared_data / "judges").rglob("*.*"):
        if file.is_file():
            upstream |= _sentences(file.read_text(encoding="utf-8"))
    assert len(upstream) > 60
    spec = load_judge(name)
    ours = [text for template in spec.templates for message in template.messages for text in [message.text]]
    for text in (*ours, *spec.texts.values()):
        assert not _sentences(text) & upstream


# --- Arena-Hard -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "model", "tokens", "retries", "missing"),
    [
        ("arena-hard-v0.1", "gpt-4-1106-preview", 4096, 1, "drop_game"),
        ("arena-hard-v2.0", "gpt-4.1", 16000, 0, "drop_pair"),
    ],
)
def test_arena_hard(name: str, model: str, tokens: int, retries: int, missing: str) -> None:
    """Five labels, strong ones three times; two games, the baseline first; T = 0."""
    spec = load_judge(name)
    assert set(spec.verdict.labels) == {"A>>B", "A>B", "A=B", "B>A", "B>>A"}
    for label, meaning in spec.verdict.labels.items():
        assert (meaning.outcome, meaning.weight) == LABELS[label]
        verdict = parse_verdict(spec, f"Because.\n[[{label}]]")
        assert (verdict.outcome, verdict.weight) == LABELS[label]
    assert [(g.order, g.turn) for g in games_for(spec, "q")] == [("model_second", 1), ("model_first", 1)]
    assert dict(spec.params) == {"temperature": 0.0, "max_tokens": tokens}
    assert (spec.model, spec.retries, spec.missing) == (model, retries, missing)
    assert bool(spec.retry_text) == bool(retries)


def test_arena_hard_baselines_are_by_category() -> None:
    """The baseline follows the question's category."""
    v1, v2 = load_judge("arena-hard-v0.1"), load_judge("arena-hard-v2.0")
    assert v1.baseline("arena-hard-v0.1") == "gpt-4-0314"
    assert {category: v2.baseline(category) for category in BASELINES} == BASELINES


def test_arena_hard_writes_its_own_answer_except_to_creative_prompts() -> None:
    """v2.0 drops the judge's own solution, and the comparison with it, for creative writing only."""
    spec = load_judge("arena-hard-v2.0")
    creative, hard = _system(spec, category="creative_writing"), _system(spec, category="hard_prompt")
    assert "Solve the request yourself" in hard
    assert "your own solution" in hard
    assert "your own solution" not in creative
    assert "Solve" not in creative
    assert _system(load_judge("arena-hard-v0.1")).count("Solve the request yourself") == 1


def test_arena_hard_asks_again_with_the_reply_in_view() -> None:
    """v0.1's second attempt continues the conversation; a judge without a retry text just asks again."""
    spec = load_judge("arena-hard-v0.1")
    sent = (Message("system", "s"), Message("user", "u"))
    again = retry_messages(spec, sent, "hm")
    assert again[:3] == (*sent, Message("assistant", "hm"))
    assert again[3].role == "user"
    assert retry_messages(load_judge("arena-hard-v2.0"), sent, "hm") == sent


# --- AlpacaEval -----------------------------------------------------------------------------------------------------


def test_alpaca_eval() -> None:
    """One token, T = 1, five log-probabilities; m is the answer shown first; equal answers tie without a call."""
    for name in ("alpaca-eval-2", "alpaca-eval-2-slot"):
        spec = load_judge(name)
        assert dict(spec.params) == {"temperature": 1.0, "max_tokens": 1, "logprobs": True, "top_logprobs": 5}
        assert {label: meaning.outcome for label, meaning in spec.verdict.labels.items()} == {"m": 1.0, "M": 0.0}
        assert (spec.retries, spec.model) == (0, "gpt-4-1106-preview")
        assert spec.baseline("anything") == "gpt4_1106_preview"
        reply = Completion("m", "length", (TokenLogprob("m", -0.1, (("m", -0.1), ("M", -2.5), ("The", -9.0))),))
        assert parse_verdict(spec, reply).outcome == pytest.approx(1 / (1 + 2.718281828459045 ** (-2.4)))
        tie = decided(spec, ("same", "same"))
        assert tie is not None
        assert (tie.outcome, tie.parsed) == (0.5, True)
        assert decided(spec, ("same", "other")) is None
    both = [game.order for game in games_for(load_judge("alpaca-eval-2"), "q")]
    assert both == ["model_first", "model_second"]


def test_alpaca_evals_slot_is_the_published_one() -> None:
    """One game, whose order is the published function of the instruction alone."""
    spec = load_judge("alpaca-eval-2-slot")
    for instruction in ("What are the names?", "Hi, I'm trying to solve a crossword", "ünïcode?"):
        switched = random.Random(f"is_switched_outputs{instruction}0").choices([False, True], k=1)[0]  # noqa: S311
        assert orders(spec, instruction) == (("model_first",) if switched else ("model_second",))


@pytest.mark.parametrize("order", ["model_first", "model_second"])
def test_a_judge_may_be_played_in_one_order(order: Any) -> None:
    """A single order is one game a pair, for every prompt the same."""
    spec = replace(load_judge("alpaca-eval-2"), order=order)
    assert orders(spec, "q") == orders(spec, "another", 7) == (order,)


def test_a_checklist_judge_makes_one_call_an_item() -> None:
    """The prompt's checklist, or the judge's own principles, are asked about one by one."""
    base = load_judge("wildbench-score")
    checklist = replace(base, mode="checklist")
    assert [game.item for game in games_for(checklist, "q", checklist=["a", "b", "c"])] == [0, 1, 2]
    assert games_for(checklist, "q") == ()
    principles = replace(base, mode="principles", items=(Item("x", "short"), Item("y", "kind")))
    assert [game.item for game in games_for(principles, "q", checklist=["a"])] == [0, 1]


# --- MT-Bench -------------------------------------------------------------------------------------------------------


def test_mt_bench_single() -> None:
    """A rating from 1 to 10 after each turn, T = 0, 2,048 tokens, one attempt; ratings out of range are none."""
    spec = load_judge("mt-bench-single")
    assert dict(spec.params) == {"temperature": 0.0, "max_tokens": 2048}
    assert (spec.mode, spec.verdict.scale, spec.retries, spec.missing) == ("single", (1.0, 10.0), 0, "drop_game")
    assert [(g.order, g.turn) for g in games_for(spec, ["a", "b"])] == [("unknown", 1), ("unknown", 2)]
    assert [parse_verdict(spec, f"Good.\n[[{x}]]").parsed for x in (0, 1, 7.5, 10, 11)] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_mt_bench_pairwise() -> None:
    """Three labels of equal weight, both orders after each turn, the model first in game 1."""
    spec = load_judge("mt-bench-pairwise")
    assert dict(spec.params) == {"temperature": 0.0, "max_tokens": 2048}
    assert {k: (v.outcome, v.weight) for k, v in spec.verdict.labels.items()} == {
        "A": (1, 1),
        "B": (0, 1),
        "C": (0.5, 1),
    }
    assert [(g.order, g.turn) for g in games_for(spec, ["a", "b"])] == [
        ("model_first", 1), ("model_second", 1), ("model_first", 2), ("model_second", 2),
    ]  # fmt: skip
    assert (spec.retries, spec.missing, spec.baseline("writing")) == (0, "drop_pair", "gpt-3.5-turbo")


@pytest.mark.parametrize("name", ["mt-bench-single", "mt-bench-pairwise"])
@pytest.mark.parametrize("category", ["math", "reasoning", "coding", "arena-hard-200", "writing", "stem"])
@pytest.mark.parametrize("turns", [1, 2])
def test_mt_bench_shows_references_where_upstream_does(name: str, category: str, turns: int) -> None:
    """Four categories are judged with a reference, after both turns; the others never see it."""
    spec = load_judge(name)
    answers = [[f"{who}{t}" for t in range(turns)] for who in ("mine", "theirs")][: 2 if spec.pairwise else 1]
    rendered = render(
        spec, turns=[f"q{t}" for t in range(turns)], answers=answers, category=category, reference=["ref0", "ref1"]
    )
    text = "\n".join(message.content for message in rendered.messages)
    expected = category in ("math", "reasoning", "coding", "arena-hard-200")
    assert ("ref0" in text) == expected
    assert ("ref1" in text) == (expected and turns == 2)
    assert ("reference answer" in rendered.messages[0].content) == expected
    for t in range(turns):
        assert f"\nq{t}\n" in text
        assert f"\nmine{t}\n" in text


# --- WildBench ------------------------------------------------------------------------------------------------------


def test_wildbench_reward() -> None:
    """Five choices worth 1, 1/2, 0, -1/2 and -1; JSON, T = 0, 1,024 tokens; texts cut after 1,000 words."""
    spec = load_judge("wildbench-reward")
    reward = {"A++": 1.0, "A+": 0.5, "A=B": 0.0, "B+": -0.5, "B++": -1.0}
    assert {label: 2 * meaning.outcome - 1 for label, meaning in spec.verdict.labels.items()} == reward
    assert {meaning.weight for meaning in spec.verdict.labels.values()} == {1.0}
    assert dict(spec.params) == {"temperature": 0.0, "max_tokens": 1024, "response_format": {"type": "json_object"}}
    assert (spec.words, spec.retries, spec.order) == (1000, 0, "both")
    assert spec.baseline("any") in REFERENCES.values()
    assert parse_verdict(spec, '{"about A": "so", "choice": "B+"}').outcome == 0.25


def test_wildbench_score() -> None:
    """A score from 1 to 10 in JSON, text or number; nothing is cut; one call an answer."""
    spec = load_judge("wildbench-score")
    assert dict(spec.params) == {"temperature": 0.0, "max_tokens": 1024, "response_format": {"type": "json_object"}}
    assert (spec.mode, spec.words, spec.verdict.scale, spec.retries) == ("single", 0, (1.0, 10.0), 0)
    assert len(games_for(spec, "q", checklist=["a", "b"])) == 1
    assert parse_verdict(spec, '{"score": "8"}').score == 8
    assert not parse_verdict(spec, '{"score": "12"}').parsed


def test_wildbench_decides_about_empty_answers_without_a_call() -> None:
    """A blank answer loses by the strongest label, two blanks tie, and a blank scores 1."""
    reward, score = load_judge("wildbench-reward"), load_judge("wildbench-score")

    def label(first: str, second: str, **more: Any) -> str:
        verdict = decided(reward, (first, second), **more)
        assert verdict is not None
        return verdict.label

    assert label(" ", "text") == "B++"
    assert label("text", "\n") == "A++"
    assert label("", "") == "A=B"
    assert label("", "text", order="model_second") == "A++"
    assert decided(reward, ("a", "b")) is None
    blank = decided(score, ("",))
    assert blank is not None
    assert blank.score == 1.0
    assert decided(score, ("text",)) is None
    assert decided(load_judge("arena-hard-v2.0"), ("", "text")) is None


@pytest.mark.parametrize("name", NAMES)
def test_the_rubric_is_short(name: str) -> None:
    """What a judge sends besides the values stays below 450 words: it is paid for with every game."""
    spec = load_judge(name)
    rendered = render(spec, turns="", answers=("", "") if spec.pairwise else ("",))
    assert sum(len(message.content.split()) for message in rendered.messages) < 450
