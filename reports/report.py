"""The gameability report: the records behind `report.json`, schema ``auditkit.report/1``.

A report repeats what controls, detectors and gates found (records of `auditkit.records`, unchanged) and adds
what was concluded from it. It is plain data: no estimate is made here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from auditkit.attacked import AttackResult
from auditkit.errors import InputError
from auditkit.records import (
    Detection,
    Explanation,
    Gate,
    Input,
    Interval,
    Length,
    Note,
    Part,
    Position,
    Score,
    StyleEffect,
)

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import TypeAdapter

__all__ = [
    "COST_TO_TOP",
    "SCHEMA",
    "BenchmarkInfo",
    "Bounds",
    "Cost",
    "Gameability",
    "Grade",
    "JudgeInfo",
    "Method",
    "NullFloor",
    "Quality",
    "Rank",
    "Reason",
    "Report",
    "Status",
    "SubmissionReport",
    "Verdict",
    "from_json",
    "json_schema",
    "plain",
    "to_json",
]

SCHEMA: Final = "auditkit.report/1"
#: How the reason for an unmeasured cost to the top begins in `Gameability.not_measured`.
COST_TO_TOP: Final = "cost to the top"

Verdict = Literal["certified", "conditional", "rejected", "not_certifiable"]
Status = Literal["pass", "warn", "fail", "not_measured"]
Grade = Literal["voidable", "gameable", "unresolved", "within"]


@dataclass(frozen=True)
class BenchmarkInfo:
    """What was asked. `prompts` counts those that were read, `expected` those the benchmark has (0: unknown)."""

    name: str
    version: str
    prompts: int
    sha256: str
    format: str = ""
    subject: Literal["submissions", "judge"] = "submissions"
    expected: int = 0
    baselines: tuple[str, ...] = ()
    simulated: bool = False


@dataclass(frozen=True)
class JudgeInfo:
    """Who judged. Where the recording is a test set for judges, or brings pairs with a known answer along (`judge_check`
    of a run folder), `scores` (unit "accuracy") and the maps, keyed like `Score.model` by the judge's name, say how well
    each judge did; they are empty elsewhere.
    """

    name: str
    model: str
    sha256: str
    simulated: bool = False
    scores: tuple[Score, ...] = ()
    position: Mapping[str, Position] = field(default_factory=dict)
    length: Mapping[str, Length] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """How the numbers were made, and the command that makes them again.

    `level` is the confidence level of every interval (0..1), `replicates` the number of prompt-bootstrap
    refits, `policy` the name and version of the verdict rules.
    """

    level: float = 0.95
    replicates: int = 0
    policy: str = ""
    command: str = ""


@dataclass(frozen=True)
class Reason:
    """One rule of the policy applied to one submission; `text` says the outcome in plain words."""

    rule: str
    status: Status
    value: float | None
    threshold: float | None
    text: str


@dataclass(frozen=True)
class Bounds:
    """The raw win rate in percent under three readings of games without a verdict."""

    dropped: float | None
    all_lost: float | None
    all_won: float | None


@dataclass(frozen=True)
class Quality:
    """How complete the data are. `coverage`: share (0..1) of the benchmark's prompts with a verdict, None if unknown."""

    coverage: float | None
    missing: int
    unparsed: int
    duplicates: int
    bounds: Bounds | None = None


@dataclass(frozen=True)
class Rank:
    """Rank under one control among the submissions of this report, best first; `lo` and `hi` bound it."""

    rank: int
    lo: int
    hi: int


@dataclass(frozen=True)
class NullFloor:
    """The best score that a constant answer reached, in the unit of the score. None: not measured, `note` says why."""

    estimate: float | None
    ci: Interval | None = None
    attack: str = ""
    n: int = 0
    note: str = ""


@dataclass(frozen=True)
class Gameability:
    """How far the score can be moved without better answers, as far as was measured.

    `points` is the largest simultaneous lower bound over the suite, `rank_uplift` ranks gained,
    `cost_to_top` judge calls of the cheapest attack that lifts `carrier` above every other submission for sure (None where
    it leads already), `control_spread` the points between the highest and the lowest defined control.
    What was not measured is listed by name; `grade` "unresolved" with nothing measured claims nothing.
    """

    grade: Grade
    points: float | None = None
    ci: Interval | None = None
    attack: str = ""
    rank_uplift: float | None = None
    cost_to_top: int | None = None
    control_spread: float | None = None
    suite: str = ""
    not_measured: tuple[str, ...] = ()
    #: Mean change in points when the judge is asked the same again; None: not measured.
    noise: float | None = None
    #: The submission whose answers were attacked; rank uplift and cost to the top are its own.
    carrier: str = ""
    #: No attack of the suite gains more points than this; None: not measured.
    ceiling: float | None = None


@dataclass(frozen=True)
class Cost:
    """What the audit of this submission spent. None: not recorded."""

    calls: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    usd: float | None = None


@dataclass(frozen=True)
class SubmissionReport:
    """Everything found about one submission, verdict first."""

    model: str
    n: int
    verdict: Verdict
    reasons: tuple[Reason, ...]
    quality: Quality
    scores: tuple[Score, ...]
    decomposition: tuple[Part, ...]
    position: Position
    length: Length
    style: tuple[StyleEffect, ...]
    detectors: tuple[Detection, ...]
    attacks: tuple[AttackResult, ...]
    null_floor: NullFloor
    gameability: Gameability
    cost: Cost = Cost()
    #: By control. Empty where only one was audited.
    ranks: Mapping[str, Rank] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """Return the scores, one row a control."""
        return _scores_frame(self.scores)

    def _repr_html_(self) -> str:
        from auditkit.reports.html import submission_fragment

        return submission_fragment(self)


@dataclass(frozen=True)
class Report:
    """The gameability report of one audit."""

    schema: Literal["auditkit.report/1"]
    auditkit: str
    created: str
    seed: int
    benchmark: BenchmarkInfo
    judge: JudgeInfo
    inputs: tuple[Input, ...]
    harness: tuple[Gate, ...]
    submissions: tuple[SubmissionReport, ...]
    notes: tuple[Note, ...] = ()
    method: Method = Method()
    #: What a plugin's controls say of themselves, by control; ours are explained on the page and in the docs.
    explanations: Mapping[str, Explanation] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """Return every score, one row a submission (or judge) and control."""
        return _scores_frame(self.judge.scores + tuple(s for sub in self.submissions for s in sub.scores))

    def _repr_html_(self) -> str:
        from auditkit.reports.html import report_fragment

        return report_fragment(self)


def _scores_frame(scores: tuple[Score, ...]) -> pd.DataFrame:
    import pandas as pd

    names = [f.name for f in fields(Score)]
    rows = [[getattr(s, name) for name in names] for s in scores]
    frame = pd.DataFrame(rows, columns=names)
    at = names.index("ci")
    frame.insert(at, "lo", pd.Series([None if s.ci is None else s.ci[0] for s in scores], dtype="float64"))
    frame.insert(at + 1, "hi", pd.Series([None if s.ci is None else s.ci[1] for s in scores], dtype="float64"))
    floats = dict.fromkeys(("estimate", "se", "overlap", "published_se"), "float64")
    return frame.drop(columns="ci").astype(floats)


def plain(value: object, where: str) -> Any:
    """Return `value` as JSON data: fields in their declared order, mapping keys sorted, finite floats only."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")  # unpaired surrogates are not Unicode text
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}: a report holds finite numbers, or null with a reason")
        return float(value)
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name), f"{where}.{f.name}") for f in fields(value)}
    if isinstance(value, Mapping):
        return {plain(k, where): plain(value[k], f"{where}[{k!r}]") for k in sorted(value)}
    if isinstance(value, (tuple, list)):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise TypeError(f"{where}: {type(value).__name__} cannot be part of a report")


def to_json(report: Report) -> str:
    """Return `report` as the text of `report.json`: ASCII, two-space indent, the same bytes for the same report.

    Raises:
        ValueError: A number is NaN or infinite; what is undefined belongs in the report as None with its reason.
    """
    return json.dumps(plain(report, "report"), indent=2, allow_nan=False) + "\n"


@cache
def _adapter() -> TypeAdapter[Report]:
    from pydantic import TypeAdapter

    return TypeAdapter(Report)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that a report may hold")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_constant(text[:40])


def from_json(text: str | bytes, *, path: Path | str | None = None) -> Report:
    """Read the text of a `report.json`. Unknown keys are passed over: a later version may add some.

    Args:
        text: The file's content.
        path: Where it came from, for error messages.

    Raises:
        InputError: Not JSON, not a report, another version of the schema, or a field of the wrong type.
    """
    from pydantic import ValidationError

    try:
        data = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a JSON report: {error}", path=path, mend="give the report.json of an audit") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"expected a report of schema {SCHEMA!r}, got {schema!r}",
            path=path, record="field 'schema'", mend="give the report.json of an audit, or use the auditkit that wrote it",
        )  # fmt: skip
    try:
        return _adapter().validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{first['msg']} ({error.error_count()} in all)", path=path, record=f"field {where!r}",
            mend="report.json is written by auditkit; make it again instead of editing it",
        ) from None  # fmt: skip


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `report.json`."""
    schema = _adapter().json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:auditkit:report:1",
        **schema,
        "title": SCHEMA,
    }
