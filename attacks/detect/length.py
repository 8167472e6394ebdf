"""Answers that were cut short, and lengths that do not vary with the prompt."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from auditkit.attacks.detect.answers import DEFAULTS, answers_of, judged, quote, unmeasured
from auditkit.records import Detection, Settings, Submission

__all__ = ["DISPERSION_REVIEW", "TRUNCATED_REVIEW", "ends_unfinished", "is_stub", "length_dispersion", "truncation"]

#: Share of truncated answers beyond the baseline's. Thirteen honest AlpacaEval models: 0 to 0.08 (models that leave the
#: last full stop out); answers cut to ten characters: 1.
TRUNCATED_REVIEW: Final = 0.30
#: Share of answers whose length is within 2% of the median. Thirteen honest AlpacaEval models: 0.010 to 0.043; a constant: 1.
DISPERSION_REVIEW: Final = 0.25
_NEAR_MEDIAN: Final = 0.02
_MINIMUM: Final = 30
#: A shorter answer is a stub where the baseline needed `_LONG_CHARS` or more for the same prompt.
_STUB_CHARS: Final = 20
_LONG_CHARS: Final = 200
#: Shorter answers may end without a full stop: a name, a title, a number.
_SENTENCE_CHARS: Final = 80
#: Below this median length, equal lengths are nothing special (letters, numbers, yes and no).
_MEDIAN_CHARS: Final = 40
#: Ends in the middle of a sentence: a comma, a dash, an open bracket, or a lower-case word after running text.
_UNFINISHED: Final = re.compile(r"(?:[,;(\[\u2013\u2014\u3001]|(?<=[a-z][ ])[a-z]{1,20})\Z")
_LIMIT: Final = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})


def ends_unfinished(text: str) -> bool:
    """Tell whether a text of 80 characters or more stops inside a sentence."""
    tail = text[-60:].rstrip()
    return len(text) >= _SENTENCE_CHARS and "\n" not in tail[-30:] and _UNFINISHED.search(tail) is not None


def is_stub(text: str, other: str) -> bool:
    """Tell whether a text has fewer than 20 characters where another answer took 200 or more."""
    return len(text) < _STUB_CHARS and len(other) >= _LONG_CHARS


def truncation(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Measure the share of answers that were cut short.

    An answer counts if its generation stopped at the token limit (``finish``), if it is a stub (fewer than 20
    characters where the baseline took 200 or more), or if it is at least 80 characters long and ends inside a
    sentence. The statistic is that share less the baseline's share of unfinished endings. Length control pays for
    cutting answers: a GPT-4 baseline cut to ten characters or so rises from 3.7 to 12.2 points.

    Source: specification D-len, L-03; threshold 0.30 for review.
    """
    answers = answers_of(submission)
    n = len(answers)
    if n < _MINIMUM:
        return unmeasured("truncation", f"{n} answers, at least {_MINIMUM} are needed", n=n)
    limited = [finish in _LIMIT for finish in submission.rows["finish"].tolist()]
    stub = list(map(is_stub, answers.texts, answers.baselines))
    ending = [ends_unfinished(text) for text in answers.texts]
    known = [base for base in answers.baselines if base]
    usual = sum(map(ends_unfinished, known)) / len(known) if known else 0.0
    cut = [any(row) for row in zip(limited, stub, ending, strict=True)]
    rows = [i for i in range(n) if cut[i]][:3]
    return judged(
        "truncation",
        max(sum(cut) / n - usual, 0.0),
        n=n,
        review=TRUNCATED_REVIEW,
        evidence=[
            quote(answers.prompt_ids[i], answers.texts[i], max(len(answers.texts[i]) - 60, 0), len(answers.texts[i]))
            for i in rows
        ],
        note=f"{sum(limited)} stopped at the token limit, {sum(stub)} stubs, {sum(ending)} unfinished sentences"
        + ("" if known else "; no baseline answers to compare with"),
    )


def length_dispersion(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Measure whether the lengths of the answers vary with their prompts.

    The statistic is the share of answers whose length is within 2% of the median length. Not measured where the
    median is below 40 characters: letters and numbers are all of one length.

    Source: specification D-len; threshold 0.25 for review.
    """
    answers = answers_of(submission, distinct=True)
    n = len(answers)
    if n < _MINIMUM:
        return unmeasured("length_dispersion", f"{n} answers, at least {_MINIMUM} are needed", n=n)
    size = np.array([len(text) for text in answers.texts], dtype=np.float64)
    median = float(np.median(size))
    if median < _MEDIAN_CHARS:
        return unmeasured("length_dispersion", f"the median answer has {median:.0f} characters", n=n)
    near = np.abs(size - median) <= _NEAR_MEDIAN * median
    return judged(
        "length_dispersion",
        float(near.mean()),
        n=n,
        review=DISPERSION_REVIEW,
        evidence=[
            quote(answers.prompt_ids[i], f"{len(answers.texts[i])} characters: {answers.texts[i][:120]}")
            for i in np.flatnonzero(near)[:3].tolist()
        ],
        note=f"median {median:.0f} characters, coefficient of variation {float(size.std() / size.mean()):.2f}",
    )
