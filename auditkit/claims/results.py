"""What a claim audit finds: plain records, ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from auditkit.claims.ledger import Claim
from auditkit.records import Input, Interval, Part

__all__ = [
    "LITTLE_OVERLAP",
    "SCHEMA",
    "Check",
    "ClaimReport",
    "ClaimResult",
    "Estimate",
    "Evidence",
    "Status",
    "Verdict",
]

SCHEMA: Final = "auditkit.claim-report/1"
#: Share of prompts with comparable answers below which a controlled gain is an extrapolation, as in an audit.
LITTLE_OVERLAP: Final = 0.10

#: `contradicted`: the data exclude what was claimed (the other model is better, or the gain is smaller than claimed).
Verdict = Literal["certified", "not_separable", "vanishes_under", "contradicted", "cannot_check"]
Status = Literal["pass", "flag"]
#: What the verdict rests on: recorded judgments, rows of a board, or the claim's own figures at face value.
Evidence = Literal["per_instance", "board", "claimed", "none"]


@dataclass(frozen=True)
class Estimate:
    """A gain (or, for a claim about a score, a score) under one control, in points of the metric.

    Attributes:
        control: ``raw``, a control's name, or ``gated``.
        estimate: None where it is undefined; `note` then says why.
        ci: At `ClaimResult.level_used`, wider than the plain level for the best of several settings.
        drop_ci: Interval of the raw gain minus this one, on the same prompts; None: not measured.
        n: Prompts.
        subset: Whether fewer prompts answer the question than were recorded: too few for an absent gain to mean much.
        overlap: Share of prompts (0..1) on which the two answers are comparable in what is held fixed.
        note: What to know of it; begins with ``EXTRAPOLATION`` where it is read off away from nearly all prompts.
    """

    control: str
    estimate: float | None
    se: float | None = None
    ci: Interval | None = None
    n: int = 0
    drop_ci: Interval | None = None
    subset: bool = False
    overlap: float | None = None
    method: str = ""
    note: str = ""

    @property
    def extrapolated(self) -> bool:
        """Whether it is read off where hardly any prompt lies, or lies off the scale: its sign is the model's choice."""
        return self.note.startswith("EXTRAPOLATION")

    @property
    def decides(self) -> bool:
        """Whether enough prompts stand behind it to take a gain away by itself."""
        return not self.extrapolated and (self.overlap is None or self.overlap >= LITTLE_OVERLAP)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `name` is a short fixed word."""

    name: str
    status: Status
    text: str


@dataclass(frozen=True)
class ClaimResult:
    """The verdict on one claim, with its numbers.

    Attributes:
        claim: What was claimed.
        verdict: See `Verdict`.
        control: The control of ``vanishes_under``, else "".
        sentence: The verdict in plain words, with the numbers it rests on.
        evidence: What it rests on.
        measured: The gain (or score) that decided; None if there is none.
        estimates: The same under every control that applies.
        decomposition: The gain divided over model (quality), length, style and position; they add up to the raw gain.
        checks: What else was looked at, flags first.
        threshold: Smallest gain that would have been told from 0 with this evidence, corrected for `best_of`.
        detectable: True gain that would have been found with power 0.8.
        optimism: By how much the best of `best_of` settings without any gain is expected to look better.
        best_of: Settings corrected for.
        level_used: Level of the intervals in `estimates`.
        equivalence_p: The larger p-value of the two one-sided tests of ``comparable``.
    """

    claim: Claim
    verdict: Verdict
    control: str
    sentence: str
    evidence: Evidence
    measured: Estimate | None = None
    estimates: tuple[Estimate, ...] = ()
    decomposition: tuple[Part, ...] = ()
    checks: tuple[Check, ...] = ()
    threshold: float | None = None
    detectable: float | None = None
    optimism: float | None = None
    best_of: int = 1
    level_used: float = 0.95
    equivalence_p: float | None = None

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the checks that flagged something, sorted."""
        return tuple(sorted({check.name for check in self.checks if check.status == "flag"}))


@dataclass(frozen=True)
class ClaimReport:
    """All claims of a ledger. `exit_code` is that of the command."""

    schema: str
    auditkit: str
    created: str
    seed: int
    level: float
    replicates: int
    ledger: str
    ledger_sha256: str
    inputs: tuple[Input, ...]
    results: tuple[ClaimResult, ...]

    @property
    def exit_code(self) -> int:
        """0 if every claim is certified, 3 if the rest cannot be checked, 1 if one does not hold."""
        found = {result.verdict for result in self.results}
        if found <= {"certified"}:
            return 0
        return 3 if found <= {"certified", "cannot_check"} else 1
