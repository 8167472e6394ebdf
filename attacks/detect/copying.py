"""Answers that are somebody else's text: the baseline's, or the prompt's own."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from auditkit.attacks.detect.answers import DEFAULTS, answers_of, judged, quote, unmeasured
from auditkit.attacks.detect.duplicates import shingles
from auditkit.records import Detection, Settings, Submission

__all__ = ["COPY_REVIEW", "ECHO_REVIEW", "baseline_copy", "echoes", "prompt_echo"]

#: Mean 5-gram Jaccard similarity with the baseline's answer to the same prompt. Clean maximum of 227 AlpacaEval
#: submissions: 0.044; three submissions that polish the baseline: 0.161 to 0.538.
COPY_REVIEW: Final = 0.10
#: Share of answers that mostly repeat their prompt, beyond the baseline's share. Largest of the 13 honest AlpacaEval
#: models here: 0.02 (rewriting tasks, and small models that repeat the question).
ECHO_REVIEW: Final = 0.10
_ECHO_OVERLAP: Final = 0.8
_ECHO_GRAMS: Final = 4
_MINIMUM: Final = 20

Counts = np.ndarray[Any, np.dtype[np.int64]]


def _overlap(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[Counts, Counts, Counts]:
    """Return, text by text, how many 5-grams left and right share, and how many each has."""
    a, b = shingles(left), shingles(right)
    return a.overlap(b), a.size, b.size


def baseline_copy(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Measure how much of the baseline's answers the submission repeats.

    The statistic is the mean Jaccard similarity of the 5-grams of words of an answer and the baseline's answer to
    the same prompt. A flag is for review and names no cause: polishing the baseline, a shared teacher, or the
    baseline itself submitted all look like this.

    Source: specification D-copy; threshold 0.10.
    """
    answers = answers_of(submission)
    both, own, other = _overlap(tuple(answers.texts), tuple(answers.baselines))
    usable = (own > 0) & (other > 0)
    n = int(usable.sum())
    if n < _MINIMUM:
        why = f"{n} pairs of answers of five words or more, at least {_MINIMUM} are needed"
        return unmeasured("baseline_copy", why, n=n)
    jaccard = np.zeros(len(answers))
    jaccard[usable] = both[usable] / (own + other - both)[usable]
    exact = sum(1 for text, base in zip(answers.texts, answers.baselines, strict=True) if text and text == base)
    worst = [int(i) for i in np.argsort(-jaccard, kind="stable")[:3] if jaccard[i] >= COPY_REVIEW]
    return judged(
        "baseline_copy",
        float(jaccard[usable].mean()),
        n=n,
        review=COPY_REVIEW,
        evidence=[quote(answers.prompt_ids[i], answers.texts[i]) for i in worst],
        note=f"{exact} answers equal the baseline's to the character",
    )


def echoes(prompts: tuple[str, ...], texts: tuple[str, ...]) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], int]:
    """Return which texts are little more than their own prompts (see `prompt_echo`), and how many could be told."""
    both, own, asked = _overlap(texts, prompts)
    usable = (own >= _ECHO_GRAMS) & (asked >= _ECHO_GRAMS)
    return usable & (both >= _ECHO_OVERLAP * own), int(usable.sum())


def prompt_echo(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Measure the share of answers that are little more than their own prompt.

    An answer of eight words or more echoes its prompt if four fifths of its 5-grams of words stand there. The
    statistic is that share less the baseline's: tasks such as "correct this sentence" make any answer an echo.

    Source: ours; threshold 0.10.
    """
    answers = answers_of(submission)
    prompts = tuple(answers.prompts)
    echo, n = echoes(prompts, tuple(answers.texts))
    if n < _MINIMUM:
        why = f"{n} answers and prompts of eight words or more, at least {_MINIMUM} are needed"
        return unmeasured("prompt_echo", why, n=n)
    expected, known = echoes(prompts, tuple(answers.baselines))
    usual = float(expected.sum()) / known if known >= _MINIMUM else 0.0
    rows = [int(i) for i in np.flatnonzero(echo)[:3]]
    return judged(
        "prompt_echo",
        max(float(echo.sum()) / n - usual, 0.0),
        n=n,
        review=ECHO_REVIEW,
        evidence=[quote(answers.prompt_ids[i], answers.texts[i]) for i in rows],
    )
