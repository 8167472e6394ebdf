"""What a judge's owner can switch on against attacks, alone or stacked, and what each costs.

A defence turns one `Setup` into another and asks nobody: whoever plays attacks against both measures what it does.
"""

from auditkit.attacks.defences.catalogue import DEFENCES, panel_of
from auditkit.attacks.defences.constraints import CONSTRAINTS
from auditkit.attacks.defences.frontier import Point, frontier
from auditkit.attacks.defences.panel import Member, combined, family_of, without_family
from auditkit.attacks.defences.protocol import Defence, Setup
from auditkit.attacks.defences.screening import PREFILTERS, screened
from auditkit.attacks.defences.stacking import JudgeFile, compatible, judge_file, losses, stack, stacks

__all__ = [
    "CONSTRAINTS",
    "DEFENCES",
    "PREFILTERS",
    "Defence",
    "JudgeFile",
    "Member",
    "Point",
    "Setup",
    "combined",
    "compatible",
    "family_of",
    "frontier",
    "judge_file",
    "losses",
    "panel_of",
    "screened",
    "stack",
    "stacks",
    "without_family",
]
