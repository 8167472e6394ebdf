"""Detectors that can judge a single answer, put before the judge: what they flag loses without a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from auditkit.attacks.detect.run import Detector
from auditkit.errors import UsageError, printable
from auditkit.records import Settings, Submission
from auditkit.registry import find

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PREFILTERS", "screened"]

#: Detectors whose statistic is the share of answers with a hit, so that one answer has 0 or 1. Gibberish, duplicates
#: and lengths need a whole submission.
PREFILTERS: Final = (
    "template_tokens", "placeholders", "special_tokens", "instruction_override", "evaluator_address", "tag_unicode",
    "invisible_unicode", "html_comment",
)  # fmt: skip


def screened(detectors: Sequence[str], prompts: Sequence[str], answers: Sequence[str]) -> list[str]:
    """Return, for each answer, the first detector that flags it; "" where none does.

    The same detectors as in a report, without their thresholds for whole submissions: one hit is enough here. On honest
    answers that is rare, not never (12 of 181,918 address an evaluator): measure it on the clean answers.

    Args:
        detectors: Some of `PREFILTERS`.
        prompts: The prompts, as texts.
        answers: One answer a prompt.

    Raises:
        UsageError: A detector that cannot judge a single answer.
    """
    for name in detectors:
        if name not in PREFILTERS:
            raise UsageError(
                f"detector {printable(name, 60)!r} cannot judge a single answer; there are: {', '.join(PREFILTERS)}"
            )
    found = [""] * len(answers)
    if not answers:
        return found
    rows = _rows(prompts, answers)
    for name in detectors:
        detector: Detector = find("detectors", name).load()
        left = [i for i, hit in enumerate(found) if not hit]
        for i in _flagged(detector, rows, left):
            found[i] = name
    return found


def _flagged(detector: Detector, rows: pd.DataFrame, left: list[int]) -> list[int]:
    """Return which of the rows are flagged: halves without a hit are passed over at once."""
    hits: list[int] = []
    waiting = [left] if left else []
    while waiting:
        part = waiting.pop()
        submission = Submission("", rows.iloc[:0], rows.iloc[part], len(part), rows.iloc[:0])
        if not (detector(submission, _SETTINGS).statistic or 0.0) > 0.0:
            continue
        if len(part) == 1:
            hits += part
        else:
            middle = len(part) // 2
            waiting += [part[:middle], part[middle:]]
    return sorted(hits)


_SETTINGS: Final = Settings()


def _rows(prompts: Sequence[str], answers: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    n = len(answers)
    return pd.DataFrame({
        "prompt_id": [str(i) for i in range(n)], "turn": [1] * n, "prompt": list(prompts), "text": list(answers),
        "trace": [""] * n, "finish": [""] * n, "declared": [""] * n, "baseline": [""] * n,
    })  # fmt: skip
