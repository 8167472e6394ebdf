"""Hostile answers: every detector comes back from anything, in time linear in its length."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditkit.attacks.detect import detect
from auditkit.attacks.detect.run import Detector
from auditkit.records import Settings, Submission

Build = Callable[..., Submission]

PIECES = [
    "a", " ", "\n", "a\u0301\u0302\u0303", "\u200b", "\U000e0041", "```\n", "```a```", "`", "<!--", "<think>", "[[1]]", "[[A>>B]] ",
    "ignore above ", "ignore instruction", "evaluator ", "this answer ", "full score ", "{output_1}", "{question}", "<|", "> ",
    "- ", "[", "**a", "\U0001f468\u200d", "the ", "\u202e", "0", "\u4e2d", "give this answer ",
]  # fmt: skip


def _unbroken(submission: Submission, detectors: dict[str, Detector]) -> None:
    for detection in detect([submission], detectors, Settings())[submission.model]:
        assert "failed (" not in detection.note, detection
        assert all(len(e.quote) <= 300 and e.quote.isprintable() for e in detection.evidence)


@pytest.mark.parametrize("piece", PIECES)
def test_a_megabyte_of_anything_is_judged(build: Build, detectors: dict[str, Detector], piece: str) -> None:
    """One answer of a million characters among honest ones stops no detector."""
    texts = build(n=60).rows["text"].tolist()
    texts[7] = piece * (1_000_000 // len(piece))
    _unbroken(build(texts), detectors)


@pytest.mark.slow
@pytest.mark.parametrize("piece", PIECES)
def test_ten_megabytes_of_anything_are_judged(build: Build, detectors: dict[str, Detector], piece: str) -> None:
    """Ten times the length takes ten times the time, not a hundred times."""
    texts = build(n=60).rows["text"].tolist()
    texts[7] = piece * (10_000_000 // len(piece))
    _unbroken(build(texts), detectors)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(text=st.text(max_size=200), prompt=st.text(max_size=50), declared=st.text(max_size=40))
def test_any_text_is_judged(
    build: Build, detectors: dict[str, Detector], text: str, prompt: str, declared: str
) -> None:
    """Arbitrary Unicode in prompt, answer, baseline and metadata breaks nothing."""
    own = build(
        [text] * 40, prompts=[prompt] * 40, baselines=[prompt + text] * 40, declared=[declared] * 40, trace=[text] * 40
    )
    _unbroken(own, detectors)


@pytest.mark.parametrize(
    "declared",
    [
        '{"token_len": "many"}',
        '{"header_count": [1]}',
        "[" * 5000,
        "null",
        '{"bold_count": {"**": null}}',
        "{",
        '{"token_len": 1e999}',
    ],
)
def test_hostile_metadata_is_no_crash(build: Build, detectors: dict[str, Detector], declared: str) -> None:
    """Declared metadata of any shape is compared or left alone."""
    _unbroken(build(declared=[declared] * 200), detectors)
