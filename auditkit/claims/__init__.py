"""Claims: what somebody says of a score, as data; what boards and recordings say of it; what follows."""

from __future__ import annotations

from auditkit.claims.boards import BENCHMARKS, Board, Facts, Row, read_board
from auditkit.claims.ledger import Claim, Ledger, Setting, parse_claim, read_ledger
from auditkit.claims.results import Check, ClaimReport, ClaimResult, Estimate

__all__ = [
    "BENCHMARKS",
    "Board",
    "Check",
    "Claim",
    "ClaimReport",
    "ClaimResult",
    "Estimate",
    "Facts",
    "Ledger",
    "Row",
    "Setting",
    "parse_claim",
    "read_board",
    "read_ledger",
]
