"""Style counts that are not what the text holds: declared wrongly, or hidden from the regular expressions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from auditkit.attacks.detect.answers import DEFAULTS, Answers, answers_of, judged, quote, unmeasured
from auditkit.records import Detection, Evidence, Settings, Submission
from auditkit.text import MarkdownCounts, count_tokens, markdown_counts, parsed_markdown

__all__ = ["MISMATCH_REVIEW", "metadata_mismatch"]

#: Share of answers with wrong or evaded counts. Arena-Hard v2.0's published answers: 0 of 750. One is information.
MISMATCH_REVIEW: Final = 0.01
#: Tokens may differ by this much: a trailing blank, another version of the vocabulary.
_TOKEN_SLACK: Final = 0.02
_TOKENS_AT_LEAST: Final = 3
#: Evaded: a reader sees at least so many headings, list items and bold spans, and twice what the counter counts.
_EVADED_ELEMENTS: Final = 4
_EVADED_RATIO: Final = 2
#: Only the shortest blocks are tried: the shorter, the more a removal takes along.
_BLOCKS: Final = 50
_FENCED: Final = re.compile(r"```([^`]*)```")
_KINDS: Final = ("header_count", "list_count", "bold_count")


def _total(counts: MarkdownCounts) -> int:
    return counts.headers + counts.lists + counts.bold


def _evaded(text: str) -> str | None:
    """Say how the text hides markdown from the counter, or None.

    The counter removes the content of each code block everywhere in the text. Only a text where that removes more
    than the blocks themselves can hide anything.
    """
    blocks = [block for block in set(_FENCED.findall(text)) if block] if "```" in text else []
    if not blocks:
        return None
    in_place = _FENCED.sub("``````", text)
    if not any(block in in_place for block in sorted(blocks, key=len)[:_BLOCKS]):
        return None
    counted = _total(markdown_counts(text))
    seen = parsed_markdown(text)
    shown = seen.headers + seen.lists + seen.bold
    if shown >= _EVADED_ELEMENTS and shown >= _EVADED_RATIO * counted + 1:
        return f"a code block's content, removed everywhere, leaves {counted} of {shown} markdown elements counted"
    return None


def _difference(declared: object, ours: MarkdownCounts) -> str | None:
    """Compare declared style counts with ours; None if they agree or nothing comparable was declared."""
    if not isinstance(declared, Mapping):
        return None
    expected = ours.as_metadata()
    for kind in _KINDS:
        given = declared.get(kind)
        if isinstance(given, Mapping):
            for name, value in expected[kind].items():
                if name in given and given[name] != value:
                    return f"{kind} {name}: declared {given[name]}, counted {value}"
        elif isinstance(given, int | float) and given != sum(expected[kind].values()):
            return f"{kind}: declared {given}, counted {sum(expected[kind].values())}"
    return None


def _declared(raw: str) -> object:
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        return None


def _wrong_tokens(answers: Answers, declared: Mapping[int, float]) -> dict[int, str]:
    rows = list(declared)
    counts, estimated = count_tokens([answers.texts[i] for i in rows], "o200k_base")
    if estimated:
        return {}
    return {
        i: f"token_len: declared {declared[i]:g}, counted {count}"
        for i, count in zip(rows, counts.tolist(), strict=True)
        if abs(declared[i] - count) > max(_TOKENS_AT_LEAST, _TOKEN_SLACK * count)
    }


def metadata_mismatch(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Find answers whose declared style counts are wrong, or whose text hides its style from the counter.

    Declared headings, lists, bold spans and ``token_len`` are compared with our own counts by the same rules
    (o200k_base tokens, with slack; if most disagree, the tokens were counted with another vocabulary and only the
    markdown is compared). Answers with a reasoning trace are not compared: their counts may cover the trace. Hidden
    style is looked for in all answers: a code block whose content, removed everywhere, takes the list and
    heading marks along. The statistic is the share of such answers; one is information, 0.01 is for review.

    Source: specification controls.md §1.9 (the counter and its evasion).
    """
    answers = answers_of(submission)
    n = len(answers)
    if not n:
        return unmeasured("metadata_mismatch", "no answers are recorded")
    found: dict[int, str] = {}
    tokens: dict[int, float] = {}
    compared = 0
    rows = submission.rows
    for i, (raw, trace) in enumerate(zip(rows["declared"].tolist(), rows["trace"].tolist(), strict=True)):
        text = answers.texts[i]
        evaded = _evaded(text)
        if evaded is not None:
            found[i] = evaded
        declared = _declared(raw) if not trace else None
        if isinstance(declared, Mapping):
            compared += 1
            wrong = _difference(declared, markdown_counts(text))
            if wrong is not None:
                found.setdefault(i, wrong)
            length = declared.get("token_len")
            if isinstance(length, int | float) and not isinstance(length, bool):
                tokens[i] = float(length)
    miscounted = _wrong_tokens(answers, tokens) if tokens else {}
    other_vocabulary = len(miscounted) > 0.5 * len(tokens)
    if not other_vocabulary:
        for i, wrong in miscounted.items():
            found.setdefault(i, wrong)
    note = f"style counts were declared with {compared} of {n} answers" if compared else "no style counts were declared"
    if other_vocabulary:
        note += "; token_len was counted with another vocabulary and is not compared"
    return judged(
        "metadata_mismatch",
        len(found) / n,
        n=n,
        info=1 / n,
        review=max(MISMATCH_REVIEW, 2 / n),
        evidence=[Evidence(answers.prompt_ids[i], quote("", found[i]).quote) for i in sorted(found)[:3]],
        note=note,
    )
