"""The fuzzer and the shrinker: seeded, and down to what cannot be made smaller."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.attacks.gates.fuzz import fuzz, shrink, texts
from auditkit.attacks.gates.results import Counterexample

PATTERNS = (re.compile(r"a.*b", re.DOTALL), re.compile(r"(?s)x(.*x)"), re.compile(r"\{\w+\}"), re.compile("."))


def _part_of(part: str, whole: str) -> bool:
    rest = iter(whole)
    return all(c in rest for c in part)


@given(text=st.text(max_size=80), pattern=st.sampled_from(PATTERNS))
def test_shrinking_ends_where_no_character_can_go(text: str, pattern: re.Pattern[str]) -> None:
    """The result is part of the text, still broken, and whole without any one of its characters."""

    def broken(x: str) -> bool:
        return pattern.search(x) is not None

    if not broken(text):
        return
    small = shrink(text, broken)
    assert broken(small)
    assert _part_of(small, text)
    assert not any(broken(small[:k] + small[k + 1 :]) for k in range(len(small)))


def test_shrinking_ends_on_a_long_text_that_cannot_shrink() -> None:
    """The number of steps is bounded: an attacker's text cannot make the tool hang."""
    text, steps = "x" * 50_000, 0

    def only_whole(x: str) -> bool:
        nonlocal steps
        steps += 1
        return x == text

    assert shrink(text, only_whole) == text
    assert steps < 10_000


def test_cases_are_seeded() -> None:
    """Same seed and name, same texts; the pieces make up about half of what is drawn."""
    first = list(texts(["<<A>>", "<<B>>"], 50, 1, "x"))
    assert first == list(texts(["<<A>>", "<<B>>"], 50, 1, "x"))
    assert first != list(texts(["<<A>>", "<<B>>"], 50, 2, "x"))
    assert first != list(texts(["<<A>>", "<<B>>"], 50, 1, "y"))
    assert len(first) == 50
    assert 25 < sum("<<" in text for text in first) < 50


def test_the_smallest_of_all_counterexamples_is_kept() -> None:
    """Every piece meets every setting; of what breaks, the shortest after shrinking is reported, the first of equals."""
    found = fuzz(
        ["odd", "even"],
        ["long {x}", "b{y}", "{z}"],
        lambda s, t: s == "odd" and "{" in t and "}" in t,
        cases=0,
        seed=0,
        name="t",
    )
    assert (found.cases, found.failures) == (6, 3)
    assert found.smallest == ("odd", "{}")
    none = fuzz(["a"], ["x"], lambda s, t: False, cases=10, seed=0, name="t")
    assert (none.cases, none.failures, none.smallest) == (11, 0, None)


@pytest.mark.parametrize(
    ("prompt", "span", "lines"),
    [
        ("a\nb\nc\nd\ne\nf\ng", (6, 7), ("b", "c", "d", "e", "f")),
        ("one", (0, 3), ("one",)),
        ("x" * 50 + "HERE" + "y" * 50, (50, 54), ("…xxxxxHEREyyyyyyyyy…",)),
        ("HERE" + "y" * 50, (0, 4), ("HEREyyyyyyyyyyyyyyy…",)),
        ("x" * 50 + "HERE", (50, 54), ("…xxxxxxxxxxxxxxxHERE",)),
        ("esc\x1b[2J", (0, 1), (r"esc\x1b[2J",)),
        ("", (0, 0), ()),
    ],
)
def test_an_excerpt_shows_where_to_look(prompt: str, span: tuple[int, int], lines: tuple[str, ...]) -> None:
    """The lines around the place, cut to the width without losing it, and nothing that steers a terminal."""
    assert Counterexample((("x", "y"),), "", "", prompt, span).excerpt(20) == lines
