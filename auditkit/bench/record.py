"""What a build says about the benchmark it made: the datasheet's record, and its JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Final

from auditkit.bench.agreement import Agreement

__all__ = [
    "SCHEMA", "AnnotationPass", "Chosen", "ClusterRow", "CriterionRow", "Datasheet", "Evolution", "FunnelRow",
    "LanguageRow", "Lineage", "LinkError", "Reason", "Refresh", "StratumRow", "to_json",
]  # fmt: skip

SCHEMA: Final = "auditkit.datasheet/1"


@dataclass(frozen=True)
class Reason:
    """Why prompts were left out at a step, and how many."""

    reason: str
    prompts: int


@dataclass(frozen=True)
class FunnelRow:
    """A step of the funnel: prompts that were left after it, and why the others were not."""

    step: str
    left: int
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class LanguageRow:
    """A language: prompts of the pool that were kept, that qualify, that were drawn."""

    language: str
    kept: int
    qualify: int
    drawn: int


@dataclass(frozen=True)
class CriterionRow:
    """A criterion: the share of the kept and of the drawn prompts that meet it, in the annotations that count."""

    criterion: str
    kept: float | None
    drawn: float | None


@dataclass(frozen=True)
class ClusterRow:
    """A cluster from which prompts were drawn."""

    cluster: int
    name: str
    size: int
    mean_score: float | None
    qualify: int
    drawn: int


@dataclass(frozen=True)
class AnnotationPass:
    """One pass of annotation.

    Attributes:
        by: Annotators.
        asked, unread: Prompts asked about; those whose annotation could not be read.
        prompt_score, cluster_score: Thresholds.
        passed: Prompts that reach both.
        calls, tokens_in, tokens_out, dollars, unpriced: What the calls behind it took, whenever they were made.
        model: Is it an annotation by a language model?
    """

    by: tuple[str, ...]
    asked: int
    unread: int
    prompt_score: float
    cluster_score: float
    passed: int
    calls: int
    tokens_in: int
    tokens_out: int
    dollars: float
    unpriced: int
    model: bool


@dataclass(frozen=True)
class Chosen:
    """A prompt of the benchmark, and why it is in.

    Attributes:
        uid: First 16 hex digits of the SHA-256 of its text.
        why: One sentence.
        origin: File and place that it is from, with its own id there.
        kind: ``new``, ``anchor`` (kept from the version before) or ``evolved``.
        first_version: The version that it came with.
        evolved_from: The prompt that it was evolved from, "" for none.
    """

    uid: str
    turns: tuple[str, ...]
    category: str
    language: str
    cluster: int
    cluster_name: str
    score: int
    cluster_mean: float
    criteria: dict[str, bool]
    annotator: str
    copies: int
    source: str
    licence: str
    origin: str
    origin_id: str
    redactions: int
    why: str
    kind: str = "new"
    first_version: str = ""
    evolved_from: str = ""


@dataclass(frozen=True)
class StratumRow:
    """A language and category of the version before: its prompts, those that were fit to stay, the anchors."""

    language: str
    category: str
    earlier: int
    fit: int
    anchors: int


@dataclass(frozen=True)
class LinkError:
    """The standard error that the link of the two versions is expected to have with so many new models."""

    models: int
    se: float


@dataclass(frozen=True)
class Lineage:
    """An evolved prompt: from which, how, and the signal of its source with the models behind it."""

    id: str
    source: str
    how: str
    best_minus_worst: float
    models: int


@dataclass(frozen=True)
class Evolution:
    """What came of having a model evolve the most informative prompts.

    Attributes:
        by: The model.
        wanted, sources: Prompts asked for; prompts that they were to be evolved from.
        funnel: From the questions that were put to the prompts that are in.
        calls, tokens_in, tokens_out, dollars, unpriced: What the calls behind it took, whenever they were made.
        lineage: Of each prompt that is in.
    """

    by: str
    wanted: int
    sources: int
    funnel: tuple[FunnelRow, ...]
    calls: int
    tokens_in: int
    tokens_out: int
    dollars: float
    unpriced: int
    lineage: tuple[Lineage, ...]


@dataclass(frozen=True)
class Refresh:
    """How a version follows the one before.

    Attributes:
        name, version, manifest: Of the version before; SHA-256 of its manifest.
        chain: Version and manifest of every version, the oldest first.
        earlier, anchors: Prompts of the version before, and those of them that stay.
        strata: Where they are.
        retired: Prompts of the version before that do not stay, by reason.
        retired_before: Prompts that had been retired earlier.
        judgments: Files of past judgments.
        models, judged, measured: Models in them; prompts judged at all, and by enough models to say what they are worth.
        discrimination: Mean discrimination of these, and the spread between them that is not noise.
        anchor_gap: Mean outcome on the anchors less that on all judged prompts, in the unit of the outcomes.
        unit: ``percent`` (win rates) or ``rating``.
        link_error: Expected; empty where past judgments are too few.
        evolution: None where none was asked for.
    """

    name: str
    version: str
    manifest: str
    chain: tuple[dict[str, str], ...]
    earlier: int
    anchors: int
    strata: tuple[StratumRow, ...]
    retired: tuple[Reason, ...]
    retired_before: int
    judgments: tuple[dict[str, str], ...]
    models: int
    judged: int
    measured: int
    discrimination: tuple[float, float] | None
    anchor_gap: float | None
    unit: str
    link_error: tuple[LinkError, ...]
    evolution: Evolution | None


@dataclass(frozen=True)
class Datasheet:
    """Everything that a datasheet shows. It holds no time and no path of a machine: equal builds are equal bytes."""

    name: str
    version: str
    auditkit: str
    prompts: int
    asked: int
    sha256: str
    settings: dict[str, Any]
    inputs: tuple[dict[str, Any], ...]
    against: tuple[dict[str, Any], ...]
    funnel: tuple[FunnelRow, ...]
    passes: tuple[AnnotationPass, ...]
    agreement: tuple[Agreement, ...]
    languages: tuple[LanguageRow, ...]
    criteria: tuple[CriterionRow, ...]
    clusters: tuple[ClusterRow, ...]
    clusters_found: int
    clusters_method: str
    outliers: int
    unclustered: int
    embedding: str
    contamination: tuple[Reason, ...]
    redactions: tuple[Reason, ...]
    licences: tuple[Reason, ...]
    sources: tuple[Reason, ...]
    notes: tuple[str, ...]
    refresh: Refresh | None = None
    schema: str = SCHEMA


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def to_json(sheet: Datasheet) -> str:
    """Return a datasheet as JSON: sorted keys, numbers to six digits, null for what was not measured."""
    return json.dumps(_plain(asdict(sheet)), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
