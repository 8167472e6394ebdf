"""Reading verdicts: from the final channel only, never by default, never by crashing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.judging.calls import Completion, TokenLogprob
from auditkit.judging.parse import Parsed, combine, parse_verdict
from auditkit.judging.spec import Item, JudgeSpec, Label, Verdict, judge_names, load_judge

JUDGES: Final = {name: load_judge(name) for name in judge_names()}
ARENA: Final = JUDGES["arena-hard-v2.0"]
SINGLE: Final = JUDGES["mt-bench-single"]
LOGPROB: Final = JUDGES["alpaca-eval-2"]
SCORE: Final = JUDGES["wildbench-score"]
REWARD: Final = JUDGES["wildbench-reward"]
YES_NO: Final = replace(
    ARENA, mode="checklist", verdict=Verdict("labels", {"Yes": Label(1.0), "No": Label(0.0)}, written="{label}")
)
PIECES: Final = (
    "[[A>>B]]", "[[A>B]]", "[[A=B]]", "[[B>A]]", "[[B>>A]]", "[[A]]", "[A]", "[[a>b]]", "[A>B]", "[[", "]]", "[[7]]", "[[100]]",
    "[[1.5]]", "[7]", '{"choice": "A++"}', '"score": "9"', '{"score": 3}', "```json\n", "\n```", "\n", " ", "Yes", "No", "**",
    "m", "M", "\u2028", "\\", "verdict: ",
)  # fmt: skip
texts = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=10).map("".join))


@given(quoted=texts, label=st.sampled_from(sorted(ARENA.verdict.labels)))
def test_what_is_quoted_earlier_changes_nothing(quoted: str, label: str) -> None:
    """Gate H3: whatever stands before the final line, the verdict is the final line's."""
    alone = parse_verdict(ARENA, f"[[{label}]]")
    assert alone.parsed
    assert parse_verdict(ARENA, f"{quoted}\n[[{label}]]") == alone
    assert parse_verdict(ARENA, f"{quoted}\n[[{label}]]\n \n") == alone


@given(quoted=texts, rating=st.integers(1, 10))
def test_a_rating_quoted_earlier_changes_nothing(quoted: str, rating: int) -> None:
    """Gate H3 for ratings."""
    assert parse_verdict(SINGLE, f"{quoted}\nRating: [[{rating}]]").score == rating


@given(quoted=texts, answer=st.sampled_from(["Yes", "No"]))
def test_a_bare_label_is_a_line_of_its_own(quoted: str, answer: str) -> None:
    """Gate H3 for labels without brackets: the line is the label, give or take decoration."""
    verdict = parse_verdict(YES_NO, f"{quoted}\n**{answer}.**")
    assert verdict.label == answer
    assert not parse_verdict(YES_NO, f"{quoted}\n{answer}, because").parsed


@given(quoted=texts, choice=st.sampled_from(sorted(REWARD.verdict.labels)))
def test_json_is_read_from_its_field(quoted: str, choice: str) -> None:
    """Gate H3 for JSON: what other fields quote changes nothing."""
    reply = json.dumps({"about A": quoted, "choice": choice, "end": quoted})
    assert parse_verdict(REWARD, reply).label == choice
    assert parse_verdict(REWARD, f"```json\n{reply}\n```").label == choice


@pytest.mark.parametrize("name", JUDGES)
@given(text=texts, finish=st.sampled_from(["", "stop", "length", "content_filter"]))
def test_no_text_crashes_a_parser(name: str, text: str, finish: str) -> None:
    """Gates H4, H12: every completion gives a verdict in range or none, with a reason."""
    spec = JUDGES[name]
    verdict = parse_verdict(spec, Completion(text, finish))
    if verdict.parsed:
        assert spec.verdict.scale or verdict.label in spec.verdict.labels
        value = verdict.score if spec.verdict.scale else verdict.outcome
        low, high = spec.verdict.scale or (0.0, 1.0)
        assert low <= verdict.low <= value <= verdict.high <= high
    else:
        assert verdict.reason
        assert math.isnan(verdict.outcome)
        assert math.isnan(verdict.score)


NONE: Final = {
    "no label": "I cannot decide.",
    "empty": " \n ",
    "label not on the final line": "[[A>B]]\nThat is my verdict.",
    "two labels": "Not [[A>B]] but [[B>A]]",
    "the same label twice": "[[A>B]] [[A>B]]",
    "two lines that are one": "quoted [[A>>B]]\u2028[[B>A]]",
    "unknown label": "[[A]]",
    "single brackets": "[A>B]",
    "lower case": "[[a>b]]",
    "label of upstream's scoring only": "[[A<B]]",
    "broken marker": "[\\[A>B]]",
}


@pytest.mark.parametrize("text", NONE.values(), ids=list(NONE))
def test_a_reply_without_exactly_one_label_is_no_verdict(text: str) -> None:
    """There is no default: anything but one known label on the final line is unparsed, and tried again."""
    verdict = parse_verdict(ARENA, text)
    assert not verdict.parsed
    assert verdict.retry
    assert verdict.reason


@pytest.mark.parametrize("end", ["\n```", "\n \u200b\n", "\n```\n\ufeff", "\n\n"])
def test_lines_that_show_nothing_are_not_the_final_line(end: str) -> None:
    """Models close a block of code after their verdict, and some end with characters that nobody sees."""
    assert parse_verdict(ARENA, f"Reasons.\n[[A>B]]{end}").label == "A>B"
    assert not parse_verdict(ARENA, end).parsed


def test_a_reply_that_was_cut_off_has_no_final_line() -> None:
    """A label at the end of a truncated reply may be a quotation."""
    assert not parse_verdict(ARENA, Completion("I think [[A>B]]", "length")).parsed
    assert "token limit" in parse_verdict(ARENA, Completion("I think [[A>B]]", "length")).reason


def test_the_verdict_can_be_turned_to_the_models_side() -> None:
    """A verdict speaks of the answer shown first; the order says whose that is."""
    verdict = parse_verdict(ARENA, "[[A>>B]]")
    assert (verdict.outcome, verdict.weight) == (1.0, 3.0)
    assert verdict.for_model("model_first") == 1.0
    assert verdict.for_model("model_second") == 0.0
    assert math.isnan(parse_verdict(ARENA, "").for_model("model_second"))


@pytest.mark.parametrize("rating", ["0", "11", "-3", "1e1", "7/10", "NaN", "99999999999", "٣"])
def test_a_rating_is_a_number_in_range(rating: str) -> None:
    """Gate H4: what is not a plain number from 1 to 10 is no rating."""
    assert not parse_verdict(SINGLE, f"[[{rating}]]").parsed


@pytest.mark.parametrize(
    "reply",
    [
        "nothing", "[]", "3", '{"score": null}', '{"score": true}', '{"score": "11"}', '{"score": 1e400}', '{"score": NaN}',
        '{"score": "5", "score": "9"}', 'It is {"score": 5}', '{"score": 5} and more', "[" * 100_000, '{"score": ' + "9" * 5000 + "}",
    ],
)  # fmt: skip
def test_json_that_is_not_one_clear_object_is_no_verdict(reply: str) -> None:
    """Prose around the object, keys given twice, numbers out of range, nesting without end: unparsed."""
    assert not parse_verdict(SCORE, reply).parsed
    assert parse_verdict(SCORE, '{"score": "5"}').score == parse_verdict(SCORE, '{"score": 5}').score == 5


# --- log-probabilities ----------------------------------------------------------------------------------------------


def _top(*top: tuple[str, float], sampled: str | None = None) -> Completion:
    chosen = top[0] if sampled is None else (sampled, -9.0)
    listed = tuple((text, math.log(p) if p > 0 else -math.inf) for text, p in top)
    first = TokenLogprob(chosen[0], math.log(chosen[1]) if chosen[1] > 0 else chosen[1], listed)
    return Completion(chosen[0], "length", (first,))


def test_two_listed_labels_give_their_ratio() -> None:
    """With both labels listed, the outcome is P(m) / (P(m) + P(M)), exactly."""
    verdict = parse_verdict(LOGPROB, _top(("M", 0.6), ("m", 0.2), ("The", 0.1)))
    assert verdict.outcome == pytest.approx(0.25, abs=1e-12)
    assert not verdict.bound
    assert verdict.label == "M"


def test_blanks_before_a_label_do_not_hide_it() -> None:
    """`` m`` and ``m`` are one label; a blank token before it is passed over."""
    verdict = parse_verdict(LOGPROB, _top((" m", 0.3), ("m", 0.3), ("M", 0.2)))
    assert verdict.outcome == pytest.approx(0.75, abs=1e-12)
    blank = TokenLogprob("\n", 0.0, (("\n", 0.0),))
    later = _top(("m", 0.5), ("M", 0.5)).logprobs
    assert later is not None
    assert parse_verdict(LOGPROB, Completion("\nm", "", (blank, *later))).outcome == 0.5


def test_a_label_that_is_not_listed_gives_a_bound_never_a_certainty() -> None:
    """One label missing: the outcome is the nearer end of an interval that surely holds the truth."""
    verdict = parse_verdict(LOGPROB, _top(("m", 0.9), ("The", 0.05), ("A", 0.01)))
    assert verdict.bound
    assert verdict.outcome == verdict.low == pytest.approx(0.9 / 0.91)
    assert verdict.high == 1.0
    assert "bound" in verdict.reason
    other = parse_verdict(LOGPROB, _top(("M", 0.9), ("The", 0.05), ("A", 0.01)))
    assert other.outcome == other.high == pytest.approx(1 - 0.9 / 0.91)
    nearly = parse_verdict(LOGPROB, _top(("m", 0.9999), ("The", 0.00005)))
    assert nearly.low == pytest.approx(0.9999 / (0.9999 + 0.00005))


@given(
    m=st.floats(0.01, 1),
    big=st.floats(0.0, 1),
    rest=st.lists(st.floats(0.0, 1), min_size=3, max_size=8),
    k=st.integers(1, 6),
)
def test_the_bound_holds_for_every_distribution(m: float, big: float, rest: list[float], k: int) -> None:
    """Whatever the provider leaves out, the true ratio lies in the interval reported."""
    total = m + big + sum(rest)
    shares = {"m": m / total, "M": big / total} | {f"t{i}": p / total for i, p in enumerate(rest)}
    listed = sorted(shares.items(), key=lambda x: -x[1])[:k]
    verdict = parse_verdict(LOGPROB, _top(*listed))
    truth = m / (m + big)
    seen = {text for text, p in listed if p > 0} & {"m", "M"}
    assert verdict.parsed == bool(seen)
    if verdict.parsed:
        assert verdict.low - 1e-9 <= truth <= verdict.high + 1e-9
        assert min(abs(verdict.outcome - verdict.low), abs(verdict.outcome - verdict.high)) == 0


def test_the_sampled_token_does_not_lower_the_bound() -> None:
    """Only the provider's list says how likely an unlisted token can be; a rare sampled token does not."""
    verdict = parse_verdict(LOGPROB, _top(("m", 0.6), ("The", 0.2), sampled="zebra"))
    assert verdict.low == pytest.approx(0.6 / 0.8, abs=1e-3)


@pytest.mark.parametrize(
    "completion",
    [
        Completion("m"), Completion("m", logprobs=()), _top(("The", 0.5), ("A", 0.1)), _top(("M", 0.0), ("m", 0.0), sampled="x"),
        Completion("m", "", (TokenLogprob("m", math.nan, (("m", math.nan),)),)),
        Completion("m", "", (TokenLogprob("m", 2.0, (("m", 2.0),)),)),
    ],
)  # fmt: skip
def test_without_either_label_there_is_no_verdict(completion: Completion) -> None:
    """Neither label, no list, or numbers that are no log-probabilities: unparsed, not a half."""
    verdict = parse_verdict(LOGPROB, completion)
    assert not verdict.parsed
    assert math.isnan(verdict.outcome)


def test_tiny_probabilities_keep_their_ratio() -> None:
    """Log-probabilities far below what a float can hold as a probability are still compared."""
    top = (("m", -900.0), ("M", -900.0 - math.log(3)))
    verdict = parse_verdict(LOGPROB, Completion("x", "", (TokenLogprob("x", -0.1, top),)))
    assert verdict.outcome == pytest.approx(0.75)


# --- several verdicts, one answer -----------------------------------------------------------------------------------

TWO: Final = (Item("a", "x", 3.0), Item("b", "y", 1.0, "against"))


def _yes(outcome: float) -> Parsed:
    return Parsed(True, "Yes", outcome=outcome, low=outcome, high=outcome)


def test_items_add_up_by_weight_and_polarity() -> None:
    """A yes to an item that speaks against the answer counts like a no to one that speaks for it."""
    both = combine(YES_NO, [_yes(1.0), _yes(1.0)], TWO)
    assert both.score == pytest.approx(0.75)
    assert combine(YES_NO, [_yes(1.0), _yes(0.0)], TWO).score == pytest.approx(1.0)
    assert not both.bound


def test_an_item_without_a_verdict_bounds_the_score() -> None:
    """A missing item is not a no: there is no score, and the interval spans both possibilities."""
    verdict = combine(YES_NO, [_yes(1.0), Parsed(False, reason="x")], TWO)
    assert not verdict.parsed
    assert math.isnan(verdict.score)
    assert (verdict.low, verdict.high) == pytest.approx((0.75, 1.0))


def test_criteria_are_added_up_here() -> None:
    """The weighted mean is computed from the judge's single scores; a missing or extra one is no verdict."""
    spec: JudgeSpec = replace(
        SCORE, mode="criteria", verdict=Verdict("json", field="scores", scale=(1.0, 3.0)), items=TWO
    )
    verdict = parse_verdict(spec, '{"scores": {"a": 3, "b": "1"}, "total": 999}')
    assert verdict.score == pytest.approx((3 * 3.0 + 3 * 1.0) / 4)
    assert verdict.parts == (("a", 3.0), ("b", 1.0))
    for bad in (
        '{"scores": {"a": 3}}',
        '{"scores": {"a": 3, "b": 4}}',
        '{"scores": {"a": 3, "b": 1, "c": 3}}',
        '{"scores": 3}',
    ):
        assert not parse_verdict(spec, bad).parsed
