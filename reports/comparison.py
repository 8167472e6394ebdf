"""Two submissions, or two judges, on the same prompts: the records behind ``compare.json``, schema ``auditkit.comparison/1``.

Every difference is A minus B. It is plain data: no estimate is made here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal

from auditkit.errors import printable
from auditkit.records import Input, Interval, Part
from auditkit.reports.report import plain

__all__ = ["SCHEMA", "Comparison", "Counts", "Difference", "Outcome", "PromptPair", "comparison_to_json", "excerpt"]

SCHEMA: Final = "auditkit.comparison/1"

#: `vanishes`: A and B differ as judged, and no longer once a control holds something fixed. `gated`: the one ahead was
#: flagged by a detector of reject severity.
Outcome = Literal["a", "b", "not_separable", "vanishes", "gated"]


@dataclass(frozen=True)
class Difference:
    """One figure of both sides and its difference A minus B, in points; None: not measured, `note` says why.

    Attributes:
        name: A control, a measure, an attack, or the value of a slice. Values of slices and models are untrusted.
        kind: ``control``, ``measure``, ``attack``, ``category``, ``language``, ``model``.
        a, b: The figure of either side, where it has one of its own.
        estimate: A minus B.
        ci: At `Comparison.level`.
        n: Prompts.
        taken_away: Interval of the raw difference minus this one, on the same prompts.
        p_value: Two-sided, of no difference.
        adjusted_p: By Holm over all rows of the same kind.
        overlap: Share of prompts (0..1) on which the two answers are comparable in what is held fixed.
        paired: False: the difference of two separate scores, whose interval holds whatever they have in common.
    """

    name: str
    kind: str
    estimate: float | None
    ci: Interval | None = None
    n: int = 0
    a: float | None = None
    b: float | None = None
    taken_away: Interval | None = None
    p_value: float | None = None
    adjusted_p: float | None = None
    overlap: float | None = None
    paired: bool = True
    method: str = ""
    note: str = ""


@dataclass(frozen=True)
class Counts:
    """Prompts on which A did better, as well, and worse than B."""

    a: int
    tied: int
    b: int


@dataclass(frozen=True)
class PromptPair:
    """One prompt on which the two differ, its texts shortened and made visible (`excerpt`).

    `a` and `b` are scores on the prompt in points; for judges, the points that each gave to the first answer.
    """

    prompt_id: str
    category: str
    prompt: str
    a: float
    b: float
    first: str = ""
    second: str = ""


@dataclass(frozen=True)
class Comparison:
    """Two sides, paired.

    Attributes:
        subject: What is compared.
        a, b: Names, untrusted.
        outcome: See `Outcome`.
        sentence: The outcome in plain words, with its numbers.
        unit: Of the points: win rates in percent, ratings on the judge's scale, or accuracy in percent.
        design: How the two meet: ``direct``, ``shared_opponent``, ``ratings``, ``same_games``.
        n: Prompts that both have.
        left_out: Prompts that only one of them has (for judges: games).
        counts: Of prompts.
        headline: What `outcome` rests on first.
        rows: Under each control, or each measure of the judges.
        parts: The raw difference divided over model, length, style and position.
        slices: By category, language or, for judges, model.
        attacks: What attacks gain with either judge.
        prompts: Where they differ most, A's best first, then B's.
    """

    schema: Literal["auditkit.comparison/1"]
    subject: Literal["submissions", "judges"]
    auditkit: str
    created: str
    seed: int
    level: float
    replicates: int
    benchmark: str
    judge: str
    a: str
    b: str
    outcome: Outcome
    sentence: str
    unit: Literal["win_rate", "rating", "accuracy"]
    design: str
    n: int
    left_out: int
    counts: Counts
    headline: Difference
    rows: tuple[Difference, ...]
    parts: tuple[Part, ...] = ()
    slices: tuple[Difference, ...] = ()
    slices_left_out: int = 0
    attacks: tuple[Difference, ...] = ()
    prompts: tuple[PromptPair, ...] = ()
    simulated: bool = False
    inputs: tuple[Input, ...] = ()
    command: str = ""


def comparison_to_json(comparison: Comparison) -> str:
    """Return `comparison` as JSON: ASCII, two-space indent, the same bytes for the same comparison."""
    return json.dumps(plain(comparison, "comparison"), indent=2, allow_nan=False) + "\n"


def excerpt(text: str, limit: int = 700) -> str:
    """Return the beginning of an untrusted text: its line breaks are kept, everything else is made visible."""
    lines = text[:limit].splitlines()
    shown = "\n".join(printable(line, limit) for line in lines).strip("\n")
    return shown if len(text) <= limit else f"{shown}… ({len(text)} characters)"
