"""Controls: what is a score once something is held fixed?

Every control is a function ``(battles, settings) -> Findings``, registered by entry point in the group
``auditkit.controls``.
"""

from __future__ import annotations

from auditkit.controls.joint import joint
from auditkit.controls.length import length_controlled
from auditkit.controls.length_matched import length_matched
from auditkit.controls.position import position
from auditkit.controls.win_rate import Bounds, missing_bounds, raw

__all__ = [
    "Bounds",
    "joint",
    "length_controlled",
    "length_matched",
    "missing_bounds",
    "position",
    "raw",
]
