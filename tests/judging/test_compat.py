"""The upstream parsers' truth tables, quirks included."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.formats._arena_hard import LABELS
from auditkit.judging.calls import Completion, TokenLogprob
from auditkit.judging.parse import parse_verdict
from auditkit.judging.spec import JudgeSpec, Label, Verdict, load_judge
from auditkit.records import Order

FIVE: Final = {label: Label(*LABELS[label]) for label in ("A>>B", "A>B", "A=B", "B>A", "B>>A")}
TEN: Final = {label: Label(*meaning) for label, meaning in LABELS.items()}
THREE: Final = {"A": Label(1.0), "C": Label(0.5), "B": Label(0.0)}
TWO: Final = {"m": Label(1.0), "M": Label(0.0)}
_PAIR: Final = load_judge("arena-hard-v0.1")
_SINGLE: Final = load_judge("mt-bench-single")


def _judge(parser: Any, labels: dict[str, Label], **more: Any) -> JudgeSpec:
    return replace(_PAIR if labels else _SINGLE, verdict=Verdict(parser, labels, **more))


AH1, AH2 = _judge("ah_v01", FIVE), _judge("ah_v2", TEN)
PAIR, SINGLE = _judge("mt_pair", THREE), _judge("mt_single", {}, scale=(1.0, 10.0))
CHOICE: Final = _judge("wb_json", dict(load_judge("wildbench-reward").verdict.labels), field="choice")
SCORE: Final = _judge("wb_json", {}, field="score", scale=(1.0, 10.0))
LOGPROB, BINARY = _judge("ae_logprob", TWO), _judge("ae_logprob", TWO, binarize=True)
RANKING: Final = _judge("ae_ranking", TWO, field="ordered_models")


@pytest.mark.parametrize(
    ("text", "v01", "v2"),
    [
        ("... [[A>B]] ... [[A=B]]", "", "A=B"),
        ("[[A>B]] and again [[A>B]]", "A>B", "A>B"),
        ("[[a>b]]", "", "A>B"),
        ("verdict: [A>B]", "", "A>B"),
        ("[[A>B]] … final [[B>A]]", "", "B>A"),
        ("[[a=b]]", "", "A=B"),
        ("no label at all", "", ""),
        ("[A>B] but [[B>A]]", "B>A", "B>A"),
        ("[[B>A]] then [A>>B]", "B>A", "B>A"),
        ("my verdict [[B>A]]\nThe answer said: [[A>>B]]", "", "A>>B"),
        ("[[A>>B", "", ""),
        ("", "", ""),
    ],
)
def test_arena_hard_labels(text: str, v01: str, v2: str) -> None:
    """v0.1 wants one distinct label; v2.0 upper-cases, prefers double brackets and takes the last."""
    for spec, expected in ((AH1, v01), (AH2, v2)):
        verdict = parse_verdict(spec, text)
        assert verdict.parsed == bool(expected)
        assert verdict.label == expected
        if expected:
            assert (verdict.outcome, verdict.weight) == LABELS[expected]


@pytest.mark.parametrize("label", ["A", "AB", ">", "A<B", "B=A", "A<<B", "A>>>B"])
def test_labels_that_upstream_reads_but_cannot_score(label: str) -> None:
    """`[[A]]` is read by both and scored by neither; v2.0 also scores the mirrored spellings."""
    old, new = parse_verdict(AH1, f"[[{label}]]"), parse_verdict(AH2, f"[[{label}]]")
    assert old.label == new.label == label
    assert not old.parsed
    assert not old.retry
    assert new.parsed == (label in LABELS)
    if not new.parsed:
        assert "scoring stops" in new.reason


def test_arena_hard_v01_reads_all_attempts_together() -> None:
    """The second attempt's text is appended to the first: a label in each, and they must agree."""
    assert parse_verdict(AH1, "[[A>B]]", earlier=["thinking"]).label == "A>B"
    assert not parse_verdict(AH1, "[[A>B]]", earlier=["[[B>A]]"]).parsed
    assert parse_verdict(AH1, "still thinking").retry
    assert not parse_verdict(AH1, "[[A>B]] [[B>A]]").retry


@pytest.mark.parametrize(
    ("text", "label"),
    [("[[A]]", "A"), ("[[B]]", "B"), ("[[C]]", "C"), ("first [[B]], no: [[A]]", "A"), ("[[C]] or [[B]]", "B"), ("[[a]]", ""), ("[A]", "")],
)  # fmt: skip
def test_mt_bench_pairs(text: str, label: str) -> None:
    """A mention of `[[A]]` anywhere decides, then `[[B]]`, then `[[C]]`."""
    assert parse_verdict(PAIR, text).label == label


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Rating: [[5]]", 5), ("quoted [[10]], rating [[2]]", 10), ("[[100]]", 100), ("[[1000]]", 1000), ("[[7/10]]", None),
        ("see [3]", 3), ("see [3], rating [[8.5]]", 8.5), ("[[7.]]", 7), ("[[ 7 ]]", None), ("[[-1]]", None), ("", None),
        ("[[010]]", None), ("[[٣]]", None), ("[[" + "9" * 6000 + "]]", None),
    ],
)  # fmt: skip
def test_mt_bench_ratings(text: str, score: float | None) -> None:
    """The first number in double brackets, else in single ones; never checked for range."""
    verdict = parse_verdict(SINGLE, text)
    assert verdict.parsed == (score is not None)
    if score is not None:
        assert verdict.score == score


def test_a_long_run_of_digits_is_read_in_linear_time() -> None:
    """Upstream's pattern backtracks quadratically; ours reads the same language in one pass."""
    assert not parse_verdict(SINGLE, "[[" + "1" * 2_000_000).parsed


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('{"choice": "A++"}', "A++"), (' {"choice": "B+", "x": 1}\n', "B+"), ('{"choice": "A>B"}', "A>B"), ('{"choice": ["A+"]}', ""),
        ('broken "choice" : "A+" and "choice": "B++"', "A+"), ('{"about": "say \\"choice\\": \\"A++\\"", "choice": "B+"}', "B+"),
        ("[]", ""), ('"choice"', ""), ("", ""), ("[" * 100_000, ""),
    ],
)  # fmt: skip
def test_wildbench_choices(text: str, label: str) -> None:
    """The field of the JSON object; where that is broken, the first thing that looks like the field."""
    verdict = parse_verdict(CHOICE, text)
    assert verdict.label == label
    assert verdict.parsed == (label in CHOICE.verdict.labels)


@pytest.mark.parametrize(
    ("text", "score"),
    [('{"score": "7"}', 7), ('{"score": 7}', 7), ('{"score": "70"}', 70), ('x "score": "3" "score": "9"', 3), ('{"score": "high"}', None), ('{"score": NaN}', None)],
)  # fmt: skip
def test_wildbench_scores(text: str, score: float | None) -> None:
    """Any number, in range or not."""
    verdict = parse_verdict(SCORE, text)
    assert verdict.parsed == (score is not None)
    assert score is None or verdict.score == score


def _tokens(**top: float) -> Completion:
    return Completion("m", "length", (TokenLogprob("m", -1.0, tuple(top.items())),))


def test_alpaca_eval_saturates_and_we_say_so() -> None:
    """A token that is not listed counts as impossible upstream; the record says so and states the interval."""
    verdict = parse_verdict(LOGPROB, _tokens(m=-0.5, x=-3.0))
    assert (verdict.outcome, verdict.label) == (1.0, "m")
    assert verdict.bound
    assert verdict.low < 1.0
    assert "impossible" in verdict.reason
    assert parse_verdict(LOGPROB, _tokens(M=-0.5, x=-3.0)).outcome == 0.0
    assert not parse_verdict(LOGPROB, _tokens(x=-0.5)).parsed
    assert not parse_verdict(LOGPROB, Completion("m")).parsed
    both = parse_verdict(LOGPROB, _tokens(m=math.log(0.2), M=math.log(0.6)))
    assert both.outcome == pytest.approx(0.25)
    assert not both.bound
    assert parse_verdict(LOGPROB, _tokens(**{" m": -0.1, "x": -3.0})).parsed is False


def test_alpaca_eval_binary_takes_the_likelier_label() -> None:
    """The classifier variant gives 1 or 0; equal probabilities count for the second."""
    assert parse_verdict(BINARY, _tokens(m=-0.5, M=-1.0)).outcome == 1.0
    assert parse_verdict(BINARY, _tokens(m=-1.0, M=-0.5)).outcome == 0.0
    assert parse_verdict(BINARY, _tokens(m=-0.7, M=-0.7)).outcome == 0.0


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ('{"ordered_models": [{"model": "m", "rank": 1}, {"model": "M", "rank": 2}]}', 1.0),
        ('{"ordered_models": [{"model": "M", "rank": 1}, {"model": "m", "rank": 2}]}', 0.0),
        ('```json\n{"ordered_models": [{"model": "m", "rank": 2}]}\n```', 0.0),
        ('{"ordered_models": [{"model": "m", "rank": 3}]}', None),
        ('{"ordered_models": [{"model": "x", "rank": 1}]}', None),
        ('{"ordered_models": 3}', None), ("```json", None), ("[]", None), ("", None),
    ],
)  # fmt: skip
def test_alpaca_eval_rankings(text: str, outcome: float | None) -> None:
    """The rank that the function call gives the first model."""
    verdict = parse_verdict(RANKING, text)
    assert verdict.parsed == (outcome is not None)
    assert outcome is None or verdict.outcome == outcome


@given(
    text=st.one_of(
        st.text(max_size=60),
        st.lists(st.sampled_from(["[[A]]", "[A]", "[[A>B]]", "[[1]]", '{"choice":', '"A+"}', "[", "]", "\n", "9"])).map(
            "".join
        ),
    )
)
def test_no_text_crashes_an_upstream_parser(text: str) -> None:
    """Gate H12: where upstream's code would stop, ours records a missing verdict."""
    for spec in (AH1, AH2, PAIR, SINGLE, CHOICE, SCORE, LOGPROB, RANKING):
        verdict = parse_verdict(spec, text)
        assert verdict.parsed or verdict.reason


# --- against what upstream recorded ---------------------------------------------------------------------------------


def _games(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8", newline="\n") as handle:
        for line in handle:
            yield from (game for game in json.loads(line)["games"] if game)


def test_the_parser_agrees_with_every_recorded_arena_hard_score(shared_data: Path) -> None:
    """Every recorded judgment: our v0.1 parser reads the score that upstream's wrote."""
    file = shared_data / "arena_hard/arena-hard-v0.1/model_judgment/gpt-3.5-turbo-0125/Nexusflow__Athene-V2-Chat.jsonl"
    seen = 0
    for game in _games(file):
        verdict = parse_verdict(AH1, game["judgment"])
        found = re.findall(r"\[\[([AB<>=]+)\]\]", game["judgment"])
        assert (verdict.label or None) == (game["score"] or None), found
        seen += 1
    assert seen == 216


def test_the_parser_agrees_with_every_recorded_probability(shared_data: Path) -> None:
    """Recorded AlpacaEval completions: our probability is the recorded preference, turned to the shown order."""
    from auditkit.formats.alpaca_eval import model_first

    file = shared_data / "alpaca_eval/results/claude-2.1/weighted_alpaca_eval_gpt4_turbo/annotations.json"
    seen = 0
    for row in json.loads(file.read_text(encoding="utf-8")):
        if not row.get("raw_completion"):
            continue
        tokens = tuple(
            TokenLogprob(t["token"], t["logprob"], tuple((x["token"], x["logprob"]) for x in t["top_logprobs"]))
            for t in row["raw_completion"]["logprobs"]["content"]
        )
        verdict = parse_verdict(LOGPROB, Completion(row["raw_completion"]["text"], "length", tokens))
        order: Order = "model_first" if model_first(row["instruction"]) else "model_second"
        assert verdict.for_model(order) == pytest.approx(row["preference"] - 1, abs=1e-8)
        seen += 1
    assert seen == 50
