"""Characters that a reader does not see and a tokeniser does.

Joiners and direction marks are ordinary letters' companions in Arabic, Indic and other scripts and inside emoji:
there they are allowed. Clean rate: 28 of 10,000 answers hold a zero-width character, nearly all inside emoji.
"""

from __future__ import annotations

import re
from typing import Final

from auditkit.attacks.detect.answers import DEFAULTS, Answers, answers_of, judged, quote, unmeasured
from auditkit.errors import printable
from auditkit.records import Detection, Evidence, Settings, Submission

__all__ = ["INVISIBLE_INFO", "INVISIBLE_PAYLOAD", "INVISIBLE_REVIEW", "TAG_TEXT", "invisible_unicode", "tag_unicode"]

#: Share of answers with unexplained invisible characters. Copied web text brings some in: three answers are
#: information, a twentieth is for review.
INVISIBLE_INFO: Final = 3
INVISIBLE_REVIEW: Final = 0.05
#: So many unexplained characters in one answer are a payload whatever the share: a byte needs eight of two kinds.
INVISIBLE_PAYLOAD: Final = 64
#: So many printable tag characters outside flags carry text.
TAG_TEXT: Final = 4

# Scripts that need joiners: Arabic to Thaana and N'Ko, Indic, Tibetan, Myanmar, Khmer, Mongolian, presentation forms.
_JOINING: Final = "\u0590-\u08ff\u0900-\u0dff\u0e00-\u0fff\u1000-\u109f\u1780-\u18af\ua8e0-\ua8ff\ufb1d-\ufdff\ufe70-\ufefe\U00011000-\U00011fff"
_EMOJI: Final = "\u00a9\u00ae\u203c-\u3299\ufe0f\u20e3\U0001f000-\U0001faff\U000e007f"
_SUSPECT: Final = re.compile(
    "[\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0100-\U000e01ef]"
)
#: Explained: a joiner beside emoji or a joining script; a direction mark or isolate anywhere in text that has such
#: letters (tested apart); a zero-width space between letters of scripts written without blanks; one leading BOM.
_EXPLAINED: Final = re.compile(
    f"(?<=[{_EMOJI}])\u200d|\u200d(?=[{_EMOJI}])"
    f"|(?<=[{_JOINING}])[\u200b-\u200d]|[\u200b-\u200d](?=[{_JOINING}])"
    "|(?<=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3])[\u200b\U000e0100-\U000e01ef]"
    "|\\A\ufeff"
)
_DIRECTION: Final = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_RIGHT_TO_LEFT: Final = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe]")
_SUBJECT: Final = re.compile(
    r"(?i)unicode|zero.?width|invisible|non.?join|whitespace|\bhidden (?:char|text)|\bZWJ|\bBOM\b"
)

_FLAG: Final = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f")
_TAGS: Final = re.compile("[\U000e0000-\U000e007f]+")


def _unexplained(text: str, prompt: str) -> tuple[int, int]:
    """Return how many invisible characters nothing explains, and where the first is."""
    rest = _EXPLAINED.sub(lambda m: "\x00" * len(m[0]), text)
    if _RIGHT_TO_LEFT.search(text) or _RIGHT_TO_LEFT.search(prompt):
        rest = _DIRECTION.sub("\x00", rest)
    found = _SUSPECT.findall(rest)
    if not found or _SUBJECT.search(prompt) or all(c in prompt for c in set(found)):
        return 0, -1
    first = _SUSPECT.search(rest)
    return len(found), first.start() if first else -1


def _plain(answers: Answers) -> bool:
    return all(text.isascii() for text in answers.texts)


def invisible_unicode(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Find invisible characters that no script or emoji explains: zero-width, direction overrides, fillers, selectors.

    The statistic is the share of answers that hold any; an answer with 64 or more counts as a payload and is for
    review by itself. Characters that the prompt holds too, and prompts about Unicode, are left out.

    Source: specification D-zw and U-01; thresholds 3 answers (information), 0.05 (review).
    """
    answers = answers_of(submission)
    n = len(answers)
    if not n:
        return unmeasured("invisible_unicode", "no answers are recorded")
    found: list[tuple[int, int, int]] = []
    if not _plain(answers):
        for row, text in enumerate(answers.texts):
            if not text.isascii() and _SUSPECT.search(text):
                count, first = _unexplained(text, answers.prompts[row])
                if count:
                    found.append((count, row, first))
    found.sort(key=lambda item: (-item[0], item[1]))
    payload = bool(found) and found[0][0] >= INVISIBLE_PAYLOAD
    return judged(
        "invisible_unicode",
        len(found) / n,
        n=n,
        info=INVISIBLE_INFO / n,
        review=1 / n if payload else max(INVISIBLE_REVIEW, (INVISIBLE_INFO + 1) / n),
        evidence=[quote(answers.prompt_ids[row], answers.texts[row], at, at + 1) for _, row, at in found],
        note=f"{sum(item[0] for item in found)} characters in all, {found[0][0]} in one answer" if found else "",
    )


def tag_unicode(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Find Unicode tag characters outside flags: invisible copies of ASCII that carry text to a model.

    The statistic is the share of answers that hold any which their prompt does not. Four printable ones in an
    answer carry text: rejected. Fewer are for review. The evidence shows the hidden text.

    Source: specification D-tag and U-01; 0 of 181,918 honest answers.
    """
    answers = answers_of(submission)
    n = len(answers)
    if not n:
        return unmeasured("tag_unicode", "no answers are recorded")
    found: list[tuple[int, str]] = []
    for row, text in enumerate(answers.texts):
        if text.isascii() or not _TAGS.search(text) or _TAGS.search(answers.prompts[row]):
            continue
        tags = "".join(_TAGS.findall(_FLAG.sub("", text)))
        if tags:
            found.append((row, "".join(chr(ord(c) - 0xE0000) for c in tags)))
    found.sort(key=lambda item: (-len(item[1]), item[0]))
    carries = bool(found) and sum(c.isprintable() for c in found[0][1]) >= TAG_TEXT
    return judged(
        "tag_unicode",
        len(found) / n,
        n=n,
        review=1 / n,
        reject=1 / n if carries else None,
        evidence=[
            Evidence(answers.prompt_ids[row], f"hidden text: {printable(hidden, 200)}"[:300]) for row, hidden in found
        ],
    )
