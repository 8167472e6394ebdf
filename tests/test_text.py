"""Text measures: the published counters to the digit, and nothing that a hostile text can hang or fool."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit import text as text_module
from auditkit.text import (
    count_tokens,
    emoji_count,
    markdown_counts,
    measure,
    parsed_markdown,
    split_trace,
    without_code,
)

MARKDOWN = st.text(alphabet="#*_-+`1.2 \n\ta>|\r\u2028", max_size=60)


# --- traces ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["think", "thinking", "reasoning", "THINK"])
def test_a_leading_trace_is_split_off(tag: str) -> None:
    """The answer and the trace come apart whatever the tag's name."""
    assert split_trace(f"\n<{tag}>hm\nhm</{tag}>\n\nParis.") == ("Paris.", "hm\nhm")


def test_an_unclosed_trace_leaves_no_answer() -> None:
    """A model that never stopped thinking gave no answer."""
    assert split_trace("<think>on and on") == ("", "on and on")


@given(st.text(max_size=80))
def test_a_text_without_a_leading_tag_is_untouched(body: str) -> None:
    """Tags elsewhere are part of the answer."""
    text = "x" + body + "<think>no</think>"
    assert split_trace(text) == (text, "")


# --- Arena-Hard's counters ------------------------------------------------------------------------------------------


def _oracle(text: str) -> dict[str, dict[str, int]]:
    """Count as controls.md §1.9 states it, pattern by pattern."""
    for block in re.findall("```([^`]*)```", text):
        text = text.replace(block, "")

    def n(pattern: str) -> int:
        return len(re.findall(pattern, text, re.MULTILINE))

    return {
        "header_count": {f"h{k}": n(rf"^#{{{k}}}\s") for k in range(1, 7)},
        "list_count": {"ordered": n(r"^\s*\d+\.\s"), "unordered": n(r"^\s*[-*+]\s")},
        "bold_count": {"**": n(r"\*\*[^*\n]+\*\*"), "__": n(r"__[^_\n]+__")},
    }


@given(MARKDOWN)
def test_the_linear_counters_equal_the_published_patterns(text: str) -> None:
    """Our linear patterns and the published quadratic ones count the same on any text."""
    assert markdown_counts(text).as_metadata() == _oracle(text)


def test_counts_equal_the_metadata_of_published_answers(shared_data: Path) -> None:
    """Headings, lists, bold and o200k tokens equal Arena-Hard v2.0's `metadata` on every answer."""
    answers, metadata = [], []
    for path in sorted((shared_data / "arena_hard" / "arena-hard-v2.0" / "model_answer").glob("*.jsonl")):
        for line in path.read_text("utf-8").split("\n"):
            if line:
                record = json.loads(line)
                answers.append(record["messages"][-1]["content"]["answer"])
                metadata.append(record["metadata"])
    assert len(answers) == 750
    tokens, estimated = count_tokens(answers, "o200k_base")
    assert not estimated
    ours = [{"token_len": int(n), **markdown_counts(a).as_metadata()} for n, a in zip(tokens, answers, strict=True)]
    assert ours == metadata


def test_a_fence_that_holds_a_newline_fools_only_the_published_counter() -> None:
    """The quirk that hides three list items is kept in one counter and absent from the other."""
    text = "So:\n- one\n- two\n- three\n\n```\n```\n"
    assert markdown_counts(text).lists == 0
    assert parsed_markdown(text).lists == 3


def test_totals_are_sums_of_the_parts() -> None:
    """The three totals add up what `as_metadata` lists."""
    counts = markdown_counts("# a\n## b\n1. c\n- d\n+ e\n**f** __g__ **h**\n")
    assert (counts.headers, counts.lists, counts.bold) == (2, 3, 3)


# --- parsed markdown ------------------------------------------------------------------------------------------------


def test_the_parser_sees_what_a_reader_sees() -> None:
    """Each kind of element is counted once; code is not markdown."""
    text = (
        "Title\n=====\n\n## Second\n\n1. a\n2. b\n   - c\n\n> quote\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n"
        "**bold** [link](http://example.org)\n\n```\n# not a heading\n- nor an item\n**nor bold**\n```\n"
    )
    seen = parsed_markdown(text)
    assert (seen.headers, seen.ordered, seen.unordered, seen.lists) == (2, 2, 1, 3)
    assert (seen.bold, seen.code_blocks, seen.tables, seen.links, seen.blockquotes) == (1, 1, 1, 1, 1)
    assert seen.complete


@pytest.mark.parametrize("piece", ["[", "![", "[a](", "> ", "- ", "**a", "`", "<!--", "|a", "[a\n", "*a_ ", "\\"])
def test_hostile_markdown_is_parsed_to_an_end(piece: str) -> None:
    """A megabyte of any opener comes back, marked as cut."""
    assert not parsed_markdown(piece * (1_000_000 // len(piece))).complete


def test_deep_nesting_does_not_overflow() -> None:
    """Nested lists and quotes deeper than any reader follows are no crash."""
    lists = "\n".join("  " * depth + "- a" for depth in range(300))
    assert parsed_markdown(lists).unordered > 0
    assert parsed_markdown(">" * 50_000 + "a").blockquotes > 0


def test_a_recursion_error_of_the_parser_is_an_incomplete_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the parser overflow all the same, the count says that it is incomplete."""

    class Overflows:
        def parse(self, text: str) -> list[object]:
            raise RecursionError

    monkeypatch.setattr(text_module, "_parser", Overflows)
    assert not parsed_markdown("a").complete


def test_code_is_taken_out_whatever_its_fence() -> None:
    """Closed, unclosed, tilde and inline code all go; the prose stays."""
    assert "secret" not in without_code("a\n```py\nsecret\n```\nb `secret` c\n~~~\nsecret\n~~~\n")
    assert without_code("a\n```\nsecret").split() == ["a"]
    assert without_code("plain * text") == "plain * text"
    assert "kept" in without_code("```\nx\n```\nkept\n```\ny\n```")


# --- emoji ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("plain", 0),
        ("😀", 1),
        ("👨‍👩‍👧", 1),
        ("🇫🇷🇩🇪", 2),
        ("1️⃣ 2️⃣", 2),
        ("👍🏽!", 1),
        ("© 2020 → ■ ✗", 0),
        ("©️", 1),
        ("✅ 😀😀", 3),
        ("日本語", 0),
    ],
)
def test_emoji_are_counted_as_a_reader_sees_them(text: str, n: int) -> None:
    """A joined family, a flag, a keycap is one; typographic symbols are none."""
    assert emoji_count(text) == n


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_tokens_are_tiktokens_own() -> None:
    """Known counts of the published vocabularies, special tokens read as plain text."""
    texts = ["hello world", "", "<|endoftext|>", "hello world"]
    counts, estimated = count_tokens(texts, "cl100k_base")
    assert not estimated
    assert counts.dtype == np.int64
    assert list(counts) == [2, 0, 7, 2]


@pytest.mark.parametrize("vocabulary", ["cl100k_base", "o200k_base"])
@pytest.mark.parametrize("piece", [" ", "a", "\n", "!", "\u0301", "中", " \n", "\ud800"])
def test_long_runs_neither_hang_nor_crash(vocabulary: text_module.Vocabulary, piece: str) -> None:
    """A million characters of one kind are counted; unguarded, blanks overflow o200k's stack."""
    counts, _ = count_tokens([piece * 1_200_000], vocabulary)
    assert counts[0] > 1000


def test_counting_tokens_does_not_import_litellm() -> None:
    """The vocabulary is found without the 2.8 seconds of importing the package it lies in."""
    code = (
        "import sys\nfrom auditkit.text import count_tokens\n"
        "assert count_tokens(['a b'], 'o200k_base')[1] is False\nassert 'litellm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def no_vocabulary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine on which litellm's wheel is absent and the cache folder is empty."""
    monkeypatch.setattr(text_module, "find_spec", lambda name: None)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("DATA_GYM_CACHE_DIR", raising=False)
    text_module._encoding.cache_clear()
    yield tmp_path
    text_module._encoding.cache_clear()


def test_without_a_vocabulary_the_count_is_a_marked_estimate(no_vocabulary: Path) -> None:
    """No vocabulary: an estimate that says so, zero for nothing, and nothing was fetched."""
    counts, estimated = count_tokens(["", "a" * 460, "ж" * 100, "a"], "cl100k_base")
    assert estimated
    assert list(counts) == [0, 100, 125, 1]
    assert list(no_vocabulary.iterdir()) == []


def test_a_damaged_vocabulary_is_neither_used_nor_deleted(no_vocabulary: Path) -> None:
    """tiktoken would delete a file with a wrong hash and download another; it never sees it."""
    damaged = no_vocabulary / "fb374d419588a4632f3f557e76b4b70aebbca790"
    damaged.write_bytes(b"IQ== 0\n")
    assert count_tokens(["some text"], "o200k_base")[1]
    assert damaged.read_bytes() == b"IQ== 0\n"


def test_the_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pointing tiktoken to the vocabulary leaves no trace in the environment."""
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    text_module._encoding.cache_clear()
    count_tokens(["a"], "cl100k_base")
    assert "TIKTOKEN_CACHE_DIR" not in os.environ


# --- many texts -----------------------------------------------------------------------------------------------------


def test_measure_gives_one_row_a_text_in_order() -> None:
    """Rows follow the texts, repeated texts included; no text, no row."""
    texts = ["# a\n\n- b\n", "", "# a\n\n- b\n", "**x** y z 😀"]
    table = measure(texts, parsed=True)
    assert list(table["chars"]) == [9, 0, 9, 11]
    assert list(table["words"]) == [4, 0, 4, 4]
    assert list(table["headers"]) == [1, 0, 1, 0]
    assert list(table["parsed_lists"]) == [1, 0, 1, 0]
    assert list(table["bold"]) == [0, 0, 0, 1]
    assert list(table["emoji"]) == [0, 0, 0, 1]
    assert set(map(str, table.dtypes)) == {"int64"}
    assert list(measure([]).columns) == ["chars", "words", "headers", "lists", "bold"]
    assert len(measure([])) == 0


@given(st.lists(st.text(max_size=30), max_size=6))
def test_measure_equals_the_single_measures(texts: list[str]) -> None:
    """The table holds what the single functions say, whatever the text."""
    table = measure(texts)
    for row, text in zip(table.itertuples(), texts, strict=True):
        counts = markdown_counts(text)
        assert (row.chars, row.headers, row.lists, row.bold) == (len(text), counts.headers, counts.lists, counts.bold)


@pytest.mark.parametrize("piece", ["\n", " ", "#", "`", "```a```", "*", "<think>", "~~~\n", "1", "``x`", "`x "])
def test_ten_megabytes_of_anything_are_measured(piece: str) -> None:
    """Every measure is linear: an answer of ten megabytes is a matter of a second."""
    text = piece * (10_000_000 // len(piece))
    assert measure([text])["chars"][0] == len(text)
    without_code(text)
    split_trace(text)


def test_importing_the_module_imports_nothing_heavy() -> None:
    """`auditkit --help` reaches this module: no parser, tokeniser or frame may come with it."""
    code = (
        "import sys, auditkit.text\n"
        "assert not {'pandas', 'numpy', 'tiktoken', 'markdown_it', 'litellm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert importlib.import_module("auditkit.text").__all__ == sorted(text_module.__all__)
