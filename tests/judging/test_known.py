"""Pairs with a known answer: right by construction, one fact apart, and read from files and recordings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from auditkit.errors import InputError
from auditkit.judging.known import builtin_pairs, generated, read_pairs


def test_generated_pairs_are_always_the_same_and_differ_in_every_question() -> None:
    pairs = generated(400)
    assert pairs == generated(400) and pairs[:7] == generated(7)
    assert len({p.question for p in pairs}) == len({p.id for p in pairs}) == 400
    assert all(p.right != p.wrong for p in pairs)
    assert all(0.8 < len(p.right) / len(p.wrong) < 1.25 for p in pairs), "length must not give the answer away"


def test_right_answers_of_sums_and_products_are_right_and_wrong_ones_wrong() -> None:
    """An independent recount of the kinds that a line of arithmetic can check."""
    checked = 0
    for pair in generated(400):
        match = re.fullmatch(r"What is (\d+) (plus|times) (\d+)\?", pair.question)
        if match:
            a, what, b = int(match[1]), match[2], int(match[3])
            truth = str(a + b if what == "plus" else a * b)
            assert truth in re.findall(r"\d+", pair.right)
            assert re.findall(r"\d+", pair.wrong)[-1] != truth
            checked += 1
        if pair.category == "order":
            words = pair.right.split(": ")[1].rstrip(".").split(", ")
            assert words == sorted(words) and sorted(pair.wrong.split(": ")[1].rstrip(".").split(", ")) == words
        if pair.category == "letters":
            word = re.search(r"'(\w+)'", pair.question)
            assert word and str(len(word[1])) in pair.right.split("has")[1]
    assert checked > 60


def test_more_pairs_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 400"):
        generated(401)
    assert len(builtin_pairs()) == 24 and len(builtin_pairs(10)) == 10 and len(builtin_pairs(60)) == 60


def test_pairs_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps({"id": "a", "prompt": "2+2?", "right": "4", "wrong": "5", "category": "sum"}) + "\n")
    (pair,), (read_file,) = read_pairs(file)
    assert (pair.id, pair.question, pair.right, pair.wrong, pair.category) == ("a", "2+2?", "4", "5", "sum")
    assert read_file.rows == 1


@pytest.mark.parametrize(
    ("second", "what"),
    [
        ({"id": "a", "prompt": "x", "right": "1", "wrong": "2"}, "second pair"),
        ({"id": "b", "prompt": "x", "right": "1", "wrong": "1"}, "same text"),
        ({"id": "b", "prompt": "x", "right": 1, "wrong": "1"}, "right"),
    ],
)
def test_bad_pairs_are_named(tmp_path: Path, second: dict[str, object], what: str) -> None:
    file = tmp_path / "pairs.jsonl"
    lines = [{"id": "a", "prompt": "2+2?", "right": "4", "wrong": "5"}, second]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match=what):
        read_pairs(file)


def test_pairs_from_recordings_with_a_known_answer(shared_data: Path) -> None:
    pairs, _ = read_pairs(shared_data / "judgebench")
    assert len(pairs) >= 269
    pairs, _ = read_pairs(shared_data / "llmbar" / "Natural")
    assert len(pairs) == 100
