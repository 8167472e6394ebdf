"""The report of a judge stress test: the records behind ``stress.json``, schema ``auditkit.stress/1``.

It is plain data, concluded from what gates, attacks, probes and pairs with a known answer found: no estimate is made
here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from auditkit.attacked import AttackResult
from auditkit.errors import InputError
from auditkit.records import Input, Interval, Note
from auditkit.reports.report import Grade, NullFloor, plain

__all__ = [
    "SCHEMA",
    "Change",
    "Comparison",
    "Defended",
    "GateFinding",
    "JudgeFacts",
    "Measure",
    "PairedDifference",
    "ProbeFinding",
    "StressReport",
    "StressedJudge",
    "stress_from_json",
    "stress_schema",
    "stress_to_json",
]

SCHEMA: Final = "auditkit.stress/1"


@dataclass(frozen=True)
class Measure:
    """One figure of a judge with its interval; None: not measured, `note` says why. `unit`: share, points or log-odds."""

    name: str
    label: str
    estimate: float | None
    ci: Interval | None = None
    n: int = 0
    unit: str = "share"
    note: str = ""


@dataclass(frozen=True)
class JudgeFacts:
    """Which judge. `model` is ``client/model``; `sha256` that of the judge file in canonical form."""

    name: str
    title: str
    mode: str
    model: str
    sha256: str
    source: str = ""
    simulated: bool = False
    defences: tuple[str, ...] = ()


@dataclass(frozen=True)
class GateFinding:
    """One harness gate (`auditkit.attacks.gates`), its smallest counterexample as printable lines."""

    gate: str
    title: str
    status: Literal["pass", "fail", "not_measured"]
    kind: Literal["proved", "fuzzed", "checked"]
    cases: int
    failures: int
    statement: str
    mend: str = ""
    given: tuple[tuple[str, str], ...] = ()
    expected: str = ""
    found: str = ""
    excerpt: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProbeFinding:
    """One bias probe: its figure, the same figure without the edit (the judge's own noise), and what is left of it.

    `p_value` is of "nothing is left that does harm" (`auditkit.attacks.probes.ProbeResult`), `adjusted_p` the same with the
    false discovery rate controlled over all probes (Benjamini and Hochberg). `flag` tells whether that is below 0.1, and
    the former below 1 - level: probes explore, they do not decide.
    """

    probe: str
    title: str
    statistic: str
    estimate: float | None
    ci: Interval | None
    n: int
    control: float | None = None
    control_ci: Interval | None = None
    difference: float | None = None
    difference_ci: Interval | None = None
    p_value: float | None = None
    adjusted_p: float | None = None
    flag: bool | None = None
    sentence: str = ""
    mend: str = ""
    source: str = ""
    note: str = ""
    parts: tuple[Measure, ...] = ()


@dataclass(frozen=True)
class Change:
    """One thing to change in the judge file or harness: what, why, and how many points are at stake (None: a gate)."""

    what: str
    why: str
    points: float | None = None
    from_: str = ""


@dataclass(frozen=True)
class Defended:
    """One stack of defences: what attacks gain then, what accuracy is left, what it costs; is it on the frontier?

    `strongest` is the largest uplift seen, in points, `uplift` the largest simultaneous lower bound and `ceiling` the
    upper one, both at the level that holds for all stacks together; `calls` is a multiple of the undefended judge's.
    """

    stack: tuple[str, ...]
    strongest: float | None
    uplift: float | None
    ceiling: float | None
    attack: str
    accuracy: float | None
    accuracy_ci: Interval | None
    calls: float
    n: int
    frontier: bool = False
    chosen: bool = False
    failed_gates: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class PairedDifference:
    """The same figure of two judges on the same prompts: B minus A. `adjusted_p` by Holm over all rows."""

    name: str
    label: str
    a: float | None
    b: float | None
    difference: float | None
    ci: Interval | None
    n: int
    unit: str = "points"
    p_value: float | None = None
    adjusted_p: float | None = None
    sentence: str = ""


@dataclass(frozen=True)
class StressedJudge:
    """Everything found about one judge."""

    facts: JudgeFacts
    gates: tuple[GateFinding, ...]
    measures: tuple[Measure, ...]
    null_floor: NullFloor
    attacks: tuple[AttackResult, ...]
    grade: Grade | None
    points: float | None
    ceiling: float | None
    attack: str
    undetected_points: float | None
    undetected_attack: str
    probes: tuple[ProbeFinding, ...]
    changes: tuple[Change, ...]
    suite: str
    calls: int
    tokens_in: int
    tokens_out: int
    usd: float
    unpriced: int = 0
    not_measured: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two judges on the same prompts, paired; `sentence` says what it comes to."""

    rows: tuple[PairedDifference, ...]
    sentence: str


@dataclass(frozen=True)
class StressReport:
    """A judge under stress; with `against`, two of them."""

    schema: Literal["auditkit.stress/1"]
    auditkit: str
    created: str
    seed: int
    level: float
    pairs: int
    pairs_source: str
    judge: StressedJudge
    against: StressedJudge | None = None
    comparison: Comparison | None = None
    defended: tuple[Defended, ...] = ()
    inputs: tuple[Input, ...] = ()
    notes: tuple[Note, ...] = ()
    command: str = ""

    @property
    def judges(self) -> Sequence[StressedJudge]:
        """The judges that were put under stress."""
        return (self.judge,) if self.against is None else (self.judge, self.against)

    def _repr_html_(self) -> str:
        from auditkit.reports.stress_html import stress_fragment

        return stress_fragment(self)


def stress_to_json(report: StressReport) -> str:
    """Return the text of ``stress.json``: ASCII, the same bytes for the same report.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    return json.dumps(plain(report, "report"), indent=2, allow_nan=False) + "\n"


def stress_from_json(text: str | bytes, *, path: Path | str | None = None) -> StressReport:
    """Read the text of a ``stress.json``.

    Raises:
        InputError: Not JSON, or not such a report.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a JSON report: {error}", path=path) from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise InputError(f"expected a report of schema {SCHEMA!r}", path=path, record="field 'schema'")
    try:
        report: StressReport = TypeAdapter(StressReport).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(str(first["msg"]), path=path, record=f"field {where!r}") from None
    return report


def stress_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of ``stress.json``."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(StressReport).json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:auditkit:stress:1",
        **schema,
        "title": SCHEMA,
    }
