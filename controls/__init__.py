"""Controls: what is a score once something is held fixed?

Every control is a function ``(battles, settings) -> Findings``, registered by entry point in the group
``auditkit.controls``.
"""

from __future__ import annotations

from auditkit.controls.bradley_terry import arena_hard
from auditkit.controls.joint import joint
from auditkit.controls.judge_accuracy import judge_accuracy
from auditkit.controls.length import length_controlled
from auditkit.controls.length_matched import length_matched
from auditkit.controls.position import position
from auditkit.controls.ratings import mt_bench, wildbench_score
from auditkit.controls.style import arena_hard_style, chatbot_arena_style, style_controlled
from auditkit.controls.wildbench import wildbench_k
from auditkit.controls.win_rate import Bounds, missing_bounds, raw

__all__ = [
    "Bounds",
    "arena_hard",
    "arena_hard_style",
    "chatbot_arena_style",
    "joint",
    "judge_accuracy",
    "length_controlled",
    "length_matched",
    "missing_bounds",
    "mt_bench",
    "position",
    "raw",
    "style_controlled",
    "wildbench_k",
    "wildbench_score",
]
