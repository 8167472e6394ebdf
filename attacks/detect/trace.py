"""Reasoning traces that were left in the answers, where judge and length count them."""

from __future__ import annotations

import re
from typing import Final

from auditkit.attacks.detect.answers import DEFAULTS, pattern_share
from auditkit.records import Detection, Settings, Submission
from auditkit.text import without_code

__all__ = ["LEAK_INFO", "LEAK_REVIEW", "trace_leak"]

#: No honest AlpacaEval answer holds such a tag. One answer may be a slip of the template: information. A hundredth
#: of the answers (two at least) is for review: the judge saw text that was not meant for it.
LEAK_INFO: Final = 1
LEAK_REVIEW: Final = 0.01
_TAG: Final = re.compile(
    r"(?i)</?(?:think|thinking|reasoning|thought|thoughts|scratchpad|chain_of_thought)>"
    r"|<\|(?:begin|end)_of_(?:thought|thinking)\|>|\u25c1/?think\u25b7|\[/?THINK\]"
)
_NEEDLES: Final = ("think>", "thinking>", "reasoning>", "thought>", "thoughts>", "scratchpad>", "of_thought>", "of_thought|>",
                   "of_thinking|>", "think\u25b7", "think]")  # fmt: skip
_SUBJECT: Final = re.compile(r"(?i)\btags?\b|\bxml\b|reasoning model|chain.of.thought|scratchpad|\bdeepseek|\bprompt")


def trace_leak(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Find tags of reasoning traces that remain in the answers after a leading trace was split off.

    The statistic is the share of answers with such a tag outside code which their prompt neither quotes nor asks about.

    Source: ours; thresholds: 1 answer (information), 0.01 (review).
    """
    return pattern_share(
        "trace_leak", submission, _TAG, _NEEDLES, _SUBJECT, without_code,
        info=(0.0, LEAK_INFO), review=(LEAK_REVIEW, LEAK_INFO + 1),
    )  # fmt: skip
