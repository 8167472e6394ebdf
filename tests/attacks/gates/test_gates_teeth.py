"""The gates on our own harness can fail: each part of it is broken on purpose, and the gate that guards it notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from auditkit.attacks.gates import protocol, run_gates, scenes
from auditkit.judging import parse, plan, render
from auditkit.judging.calls import Completion, Message
from auditkit.judging.parsed import Parsed, labelled, scored, unparsed
from auditkit.judging.spec import JudgeSpec, load_judge

PAIR = load_judge("mt-bench-pairwise")
RATING = load_judge("mt-bench-single")


def _failing(spec: JudgeSpec) -> dict[str, str]:
    found = run_gates(spec, cases=40)
    return {r.gate: r.counterexample.given[0][1] if r.counterexample else "" for r in found if r.status == "fail"}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Forget what was rendered by a whole or a broken harness."""
    yield
    scenes._plain.cache_clear()


def test_a_renderer_that_reads_values_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second pass over the finished prompt, as some harness will have one day."""
    whole = render.render

    def twice(*args: Any, **more: Any) -> render.Rendered:
        shown = whole(*args, **more)
        return replace(shown, messages=tuple(
            Message(m.role, m.content.replace("{{ question }}", "What was asked.")) for m in shown.messages
        ))  # fmt: skip

    monkeypatch.setattr(scenes, "render", twice)
    scenes._plain.cache_clear()
    found = run_gates(PAIR, cases=40)
    assert found[0].status == "pass", "a value that is replaced in its own place by a constant touches nothing else"
    assert found[1].counterexample is not None
    assert found[1].counterexample.given[0][1] == "{{ question }}"


def test_a_renderer_that_moves_text_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that empties another part of the prompt."""
    whole = render.render

    def moves(*args: Any, **more: Any) -> render.Rendered:
        shown = whole(*args, **more)
        if not any("{#" in m.content for m in shown.messages):
            return shown
        return replace(shown, messages=(Message("system", "Be kind."), *shown.messages[1:]))

    monkeypatch.setattr(scenes, "render", moves)
    scenes._plain.cache_clear()
    assert _failing(PAIR).get("H1") == "{#"


def test_delimiters_that_are_not_broken_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the backslashes an answer can close its tag."""
    monkeypatch.setattr(render, "broken", lambda text, reserved: text)
    found = run_gates(PAIR, cases=40)
    assert [r.gate for r in found if r.status == "fail"] == ["H2"]
    assert found[1].kind == "fuzzed"
    assert "delimiter" in found[1].counterexample.found  # type: ignore[union-attr]


def _first_anywhere(spec: JudgeSpec, text: str) -> Parsed:
    pattern = parse._written(spec.verdict.written)
    found = pattern.findall(text) if pattern else []
    return labelled(found[0], spec.verdict.labels) if found else unparsed("none")


def _unchecked(spec: JudgeSpec, text: str) -> Parsed:
    pattern = parse._written(spec.verdict.written)
    found = pattern.findall(text.split("\n")[-1]) if pattern else []
    try:
        return scored(float(found[-1]), found[-1], None) if found else unparsed("none")
    except ValueError:
        return unparsed("no number")


def _half(spec: JudgeSpec, text: str) -> Parsed:
    return Parsed(True, "C", outcome=0.5, low=0.5, high=0.5) if "[[" not in text else _first_anywhere(spec, text)


def _crashes(spec: JudgeSpec, text: str) -> Parsed:
    if text.endswith("[A]"):
        raise KeyError("A")
    return _first_anywhere(spec, text.split("\n")[-1])


@pytest.mark.parametrize(
    ("spec", "reader", "gate"),
    [(PAIR, _first_anywhere, "H3"), (RATING, _unchecked, "H4"), (PAIR, _half, "H5"), (PAIR, _crashes, "H12")],
)
def test_a_broken_parser_is_found(
    monkeypatch: pytest.MonkeyPatch, spec: JudgeSpec, reader: Callable[[JudgeSpec, str], Parsed], gate: str
) -> None:
    """The first label anywhere, a number out of range, a tie by default, an exception: each by its own gate."""
    monkeypatch.setattr(parse, "_from_final_line", reader)
    assert gate in _failing(spec)


def test_a_plan_that_forgets_or_repeats_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing answer that nobody lists, and a game that is played twice."""
    whole = plan.plan

    def forgets(contest: Any, *, missing: set[tuple[str, str]]) -> Any:
        yield from whole(contest, missing=set())

    def repeats(contest: Any, *, missing: set[tuple[str, str]]) -> Any:
        tasks = list(whole(contest, missing=missing))
        return tasks + tasks[:1]

    monkeypatch.setattr(protocol, "plan", forgets)
    assert "H6" in _failing(PAIR)
    monkeypatch.setattr(protocol, "plan", repeats)
    assert "H7" in _failing(PAIR)


def test_log_probabilities_that_are_none_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that takes whatever number comes."""

    def careless(spec: JudgeSpec, completion: Completion) -> Parsed:
        top = dict((completion.logprobs or ())[0].top) if completion.logprobs else {}
        return Parsed(True, "m", outcome=top["m"], low=0.0, high=0.0) if "m" in top else unparsed("none")

    monkeypatch.setattr(parse, "_from_logprobs", careless)
    found = {r.gate: r for r in run_gates(load_judge("alpaca-eval-2"), cases=20)}
    assert found["H4"].status == found["H12"].status == "fail"
    assert found["H4"].counterexample is not None
    assert found["H4"].counterexample.given[1][0] == "the labels' log-probabilities"
