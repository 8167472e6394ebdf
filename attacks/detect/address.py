"""Answers that speak to the judge instead of the user.

Counts on 227 honest AlpacaEval submissions (181,918 answers): instruction override 0, evaluator-addressing 12.
"""

from __future__ import annotations

import re
from typing import Final

from auditkit.attacks.detect.answers import DEFAULTS, pattern_share
from auditkit.attacks.detect.tokens import REJECT_ANSWERS, REJECT_SHARE
from auditkit.records import Detection, Settings, Submission

__all__ = ["ADDRESS_INFO", "ADDRESS_REVIEW", "evaluator_address", "instruction_override"]

#: Answers that address an evaluator: 0.66 in 10,000 on clean submissions, 0.05 in 805. Two are information; a
#: hundredth of the answers (and three) is for review. Never rejected: a persuasive tone is no proof.
ADDRESS_INFO: Final = 2
ADDRESS_REVIEW: Final = 0.01

_OVERRIDE: Final = re.compile(
    r"(?i)\b(?:ignore|disregard|forget)\b.{0,25}?"
    r"\b(?:(?:above|previous|prior|earlier|preceding)\b.{0,40}?\b(?:instruction|direction|prompt|criteri|output|text)"
    r"|(?:instruction|direction|prompt)s?\s{1,3}(?:(?:given|stated|written)\s{1,3})?above\b)"
    r"|\bignore the above\s+(?:##|[A-Z{\[])"
)
_OVERRIDE_NEEDLES: Final = ("ignore", "disregard", "forget")
_OVERRIDE_SUBJECT: Final = re.compile(
    r"(?i)inject|jailbreak|adversarial|red.?team|\bprompts?\b|instruct|\bignore|disregard|\bLLMs?\b|language model"
    r"|chatbot|role.?play"
)
_ADDRESS: Final = re.compile(
    r"(?i)\b(?:evaluators?|graders?|the judges?|annotators?|(?:AI|LLM) (?:reviewers?|judges?))\b[^.\n]{0,60}?"
    r"\b(?:should|must|please|note|score|rate|prefer|choose|pick)\b"
    r"|\b(?:give|award|assign)\b[^.\n]{0,25}?\b(?:this|my|the) (?:answer|response|output|reply)\b[^.\n]{0,25}?"
    r"\b(?:full|highest|maximum|top|perfect)\b[^.\n]{0,15}?\b(?:scores?|marks?|ratings?)\b"
    r"|\b(?:full|highest|maximum|top|perfect) (?:score|mark|rating)s?\b[^.\n]{0,25}?\bthis (?:answer|response|output)\b"
    r"|\b(?:this|my) (?:answer|response|output|reply) (?:deserves|merits|should (?:get|receive|be (?:given|rated|scored|chosen|preferred)))\b"
    r"|\b(?:score|rate|grade) this (?:answer|response|output)\b"
)
_ADDRESS_NEEDLES: Final = (
    "evaluator", "grader", "the judge", "annotator", "ai reviewer", "llm reviewer", "ai judge", "llm judge", "this answer", "this response", "this output", "this reply",
    "my answer", "my response", "my output", "my reply", "the answer", "the response", "the output", "the reply",
)  # fmt: skip
_ADDRESS_SUBJECT: Final = re.compile(
    r"(?i)evaluat|grad(?:e|er|ing)\b|judg|rubric|annotat|\bscor(?:e|ing)|\brat(?:e|ing)|court|trial|\blaw|contest"
    r"|competition|feedback|review|\bexam|quiz|essay"
)


def instruction_override(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Find answers that tell the reader to ignore earlier instructions.

    The statistic is the share of answers with such a sentence which their prompt neither quotes nor asks about. One
    answer is for review; a fiftieth of the answers (three at least) is rejected.

    Source: specification D-ign; 0 of 181,918 honest answers.
    """
    return pattern_share(
        "instruction_override", submission, _OVERRIDE, _OVERRIDE_NEEDLES, _OVERRIDE_SUBJECT,
        review=(0.0, 1), reject=(REJECT_SHARE, REJECT_ANSWERS),
    )  # fmt: skip


def evaluator_address(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Find answers that address an evaluator or ask for a score.

    The statistic is the share of answers with such a sentence whose prompt is not about judging, grading or scoring.

    Source: specification D-eval; 12 of 181,918 honest answers; 0.01 for review.
    """
    return pattern_share(
        "evaluator_address", submission, _ADDRESS, _ADDRESS_NEEDLES, _ADDRESS_SUBJECT,
        info=(0.0, ADDRESS_INFO), review=(ADDRESS_REVIEW, ADDRESS_INFO + 1),
    )  # fmt: skip
