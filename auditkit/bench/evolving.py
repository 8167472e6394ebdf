"""Have a model evolve the most informative prompts of the version before, and let in what passes every check.

A candidate goes through what a prompt of the pool goes through: ingestion, the index of prompts to keep clear of, the
annotator and its threshold; and beside that through the leak check of `auditkit.bench.evolve`. Every completion is in
the store before it counts, so that a build that was killed asks again for nothing that was answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from auditkit.bench.annotate import Annotations, Incomplete
from auditkit.bench.annotating import Asking, annotation_pass
from auditkit.bench.asking import Reply, replies
from auditkit.bench.clean import ingest, text_of
from auditkit.bench.criteria import CRITERIA
from auditkit.bench.evolve import HOWS, How, Written, evolve_question, nonce_of, parse_evolved, problem_of
from auditkit.bench.overlap import index_of, load_index
from auditkit.bench.parts import read_part, write_part
from auditkit.bench.reading import schema
from auditkit.bench.record import Chosen, Evolution, FunnelRow, Lineage, Reason
from auditkit.bench.refresh import Release
from auditkit.bench.refresh_choice import Decision, Past, Worth
from auditkit.bench.settings import Annotator
from auditkit.bench.work import Stage, digest
from auditkit.formats._io import prompt_key
from auditkit.judging.asking import Address, Asker

__all__ = ["Evolved", "evolved", "sources_of"]

_PART: Final = Path("evolved") / "part-00000.parquet"
_STEPS: Final = (
    ("read", ("unread", "refused")),
    ("clean", ("empty", "too_short", "too_long", "binary", "language", "toxic", "flagged")),
    ("no leak", ("copies_source", "repeats_question", "holds_answer", "other_language")),
    ("new", ("in_earlier_version", "contaminated", "duplicate_of_pool", "duplicate_of_evolved")),
    ("qualify", ("annotation_unread", "below_prompt_score")),
    ("in", ("not_needed",)),
)


@dataclass(frozen=True)
class Evolved:
    """Evolved prompts that are in (cluster and version still to be set), and the account of all."""

    chosen: tuple[Chosen, ...]
    record: Evolution


@dataclass(frozen=True)
class _Task:
    """One prompt to evolve in one way."""

    source: int
    how: How


def sources_of(release: Release, decision: Decision, worth: Worth, wanted: int) -> list[int]:
    """Return the prompts that are worth evolving, the best first: by best minus worst, then by discrimination.

    Only prompts that were fit to stay and separate models, on which at least two models were judged and differ.
    """
    gap, slope = worth.gap, np.nan_to_num(worth.shrunk.shrunk, nan=-np.inf)
    usable = decision.fit & ~worth.uninformative & np.isfinite(gap) & (gap > 0.0)
    fit = np.flatnonzero(usable).tolist()
    return sorted(fit, key=lambda k: (-gap[k], -slope[k], release.prompts[k].uid))[:wanted]


def evolved(asking: Asking, release: Release, decision: Decision, worth: Worth, past: Past) -> Evolved:
    """Have prompts evolved and return those that pass.

    Raises:
        Incomplete: Calls failed for now; AuditkitError: the work was halted.
    """
    s = asking.settings
    who = s.evolver or Annotator()
    sources = sources_of(release, decision, worth, s.evolve)
    # Half of the prompts go one way and half the other; then each goes the way that it has not gone.
    tasks = [_Task(k, HOWS[(i + turn) % 2]) for turn in (0, 1) for i, k in enumerate(sources)]
    texts = {k: text_of(release.prompts[k].turns) for k in sources}
    said = _written(asking, who, tasks, texts) if tasks else []
    problems = ["" if reply.value is not None else "refused" if reply.refused else "unread" for reply in said]
    for k, (task, reply) in enumerate(zip(tasks, said, strict=True)):
        if reply.value is not None and reply.value.nonce not in ("", nonce_of(texts[task.source], task.how)):
            problems[k] = "unread"  # a tag that only the prompt itself can have asked for
    stage, part = _ingested(asking, release, tasks, said, problems)
    table = read_part(part)
    for row, reason in zip(table.column("row").to_pylist(), table.column("reason").to_pylist(), strict=True):
        problems[row] = problems[row] or reason
    clean = {
        row: text_of(turns)
        for row, turns in zip(table.column("row").to_pylist(), table.column("turns").to_pylist(), strict=True)
        if not problems[row]
    }
    for row, text in clean.items():
        source = tasks[row].source
        language = release.prompts[source].language
        problems[row] = problem_of(text, texts[source], language, past.answers.get(source, ()), s.near)
    _against_others(asking, {row: text for row, text in clean.items() if not problems[row]}, problems)
    met, by = _annotated(asking, stage, part, problems)
    order = [row for row in range(len(tasks)) if not problems[row]]
    for row in order[s.evolve :]:
        problems[row] = "not_needed"
    columns = {row["row"]: row for row in table.to_pylist()}
    chosen = tuple(
        _chosen(asking, release, tasks[row], columns[row], met[row], by, worth) for row in order[: s.evolve]
    )  # fmt: skip
    lineage = tuple(
        Lineage(
            one.uid, one.evolved_from, tasks[row].how, float(worth.gap[tasks[row].source]),
            int(worth.shrunk.models[tasks[row].source]),
        )
        for one, row in zip(chosen, order, strict=False)
    )  # fmt: skip
    costs = [reply.cost for reply in said]
    record = Evolution(
        who.model, s.evolve, len(sources), _funnel(len(tasks), problems), sum(r.calls for r in said),
        sum(r.tokens_in for r in said), sum(r.tokens_out for r in said), float(sum(cost or 0.0 for cost in costs)),
        sum(r.calls for r in said if r.cost is None), lineage,
    )  # fmt: skip
    return Evolved(chosen, record)


def _written(
    asking: Asking, who: Annotator, tasks: Sequence[_Task], texts: dict[int, str]
) -> list[Reply[Written]]:  # fmt: skip
    """Return the reply to every question, in the order of the tasks."""
    questions = [
        (number, partial(evolve_question, texts[task.source], who.model, task.how)) for number, task in enumerate(tasks)
    ]
    asking.meter.begin("evolved prompts", len(tasks), 0)
    found: dict[int, Reply[Written]] = asking.run(
        lambda asker: _replied(questions, asker, Address(who.model, who.base_url))
    )
    asking.meter.tell()
    if len(found) < len(tasks):
        raise Incomplete(f"{len(tasks) - len(found)} prompts were not evolved ({asking.meter.note})")
    return [found[number] for number in range(len(tasks))]


async def _replied(questions: Any, asker: Asker, address: Address) -> Any:
    found = await replies(questions, asker, address, parse_evolved)
    if asker.halt.called and asker.halt.reason is not None:
        raise asker.halt.reason
    return found


def _ingested(
    asking: Asking, release: Release, tasks: Sequence[_Task], said: Sequence[Reply[Written]], problems: Sequence[str]
) -> tuple[Stage, Path]:
    """Ingest the candidates as prompts of the pool are: the same bounds, redaction, languages, toxicity."""
    import pyarrow as pa

    s = asking.settings
    rows = []
    for number, (task, reply) in enumerate(zip(tasks, said, strict=True)):
        if not problems[number] and reply.value is not None:
            source = release.prompts[task.source]
            rows.append(
                {
                    "row": number, "id": "", "turns": [reply.value.text], "category": source.category, "language": "",
                    "source": source.source, "licence": source.licence, "flagged": False,
                    "place": f"evolved in {task.how} from {source.uid}", "reason": "",
                }
            )  # fmt: skip
    args = {
        "min_chars": s.min_chars, "max_chars": s.max_chars, "languages": list(s.languages), "redact": s.redact,
        "keep_flagged": s.keep_flagged, "toxicity": s.toxicity, "max_toxicity": s.max_toxicity,
    }  # fmt: skip
    before = asking.pipeline.work.begin("11-evolve", {"rows": digest(rows)})
    raw = before.folder / _PART
    if not raw.exists():
        write_part(raw, pa.Table.from_pylist(rows, schema=schema()), {"rows": len(rows)})
    stage = asking.pipeline.work.begin("12-evolve-ingest", args, [asking.pipeline.work.finish(before, {})])
    part = stage.folder / _PART
    if not part.exists():
        ingest([raw], part, args)
    return asking.pipeline.work.finish(stage, {}), part


def _against_others(asking: Asking, texts: dict[int, str], problems: list[str]) -> None:
    """Mark candidates that are in an earlier version, in a benchmark named, in the pool, or there twice."""
    pipeline, near = asking.pipeline, asking.settings.near
    path, _ = pipeline.index
    rows = list(texts)
    if path is not None:
        for row, match in zip(rows, load_index(path).matches([texts[row] for row in rows], near), strict=True):
            if match is not None:
                problems[row] = "in_earlier_version" if match.item < pipeline.earlier_items else "contaminated"
    rows = [row for row in rows if not problems[row]]
    if not rows:
        return
    index = index_of([texts[row] for row in rows], [str(row) for row in rows])
    for batch in pipeline.texts():
        for match in index.matches(batch, near):
            if match is not None:
                problems[rows[match.item]] = "duplicate_of_pool"
    kept: list[str] = []
    for row in rows:
        if problems[row]:
            continue
        if kept and index_of(kept, [""] * len(kept)).matches([texts[row]], near)[0] is not None:
            problems[row] = "duplicate_of_evolved"
        else:
            kept.append(texts[row])


def _annotated(
    asking: Asking, stage: Stage, part: Path, problems: list[str]
) -> tuple[dict[int, np.ndarray[Any, Any]], str]:  # fmt: skip
    """Annotate the candidates that are left, in one pass or two, and apply the prompt scores; clusters have no say."""
    s = asking.settings
    passes = [("14-annotate-evolved", s.first, s.first_prompt if s.second else s.thresholds[0])]
    if s.second is not None:
        passes.append(("16-annotate-evolved-second", s.second, s.thresholds[0]))
    met: dict[int, np.ndarray[Any, Any]] = {}
    by = ""
    for name, who, least in passes:
        after, left = _left(asking, name, stage, part, problems)
        found: Annotations = annotation_pass(asking, name, who, [(left,)], [after])
        by = ", ".join(found.by)
        for row, score, own in zip(found.rows.tolist(), found.scores.tolist(), found.met, strict=True):
            met[row] = own
            if np.isnan(score):
                problems[row] = "annotation_unread"
            elif score < least:
                problems[row] = "below_prompt_score"
    return met, by


def _left(asking: Asking, name: str, stage: Stage, part: Path, problems: Sequence[str]) -> tuple[Stage, Path]:
    """Write the candidates that are still in as a part of their own."""
    table = read_part(part)
    rows = table.column("row").to_numpy()
    stay = np.array([not problems[row] for row in rows.tolist()], dtype=bool)
    number = f"{int(name[:2]) - 1}-evolve-left"
    after = asking.pipeline.work.begin(number, {"rows": digest(rows[stay].tolist())}, [stage])
    left = after.folder / _PART
    if not left.exists():
        write_part(left, table.take(np.flatnonzero(stay)), {"rows": int(stay.sum())})
    return asking.pipeline.work.finish(after, {}), left


def _chosen(
    asking: Asking, release: Release, task: _Task, row: dict[str, Any], met: Any, by: str, worth: Worth
) -> Chosen:  # fmt: skip
    source = release.prompts[task.source]
    score = int(met.sum())
    model = asking.settings.evolver.model if asking.settings.evolver else ""
    return Chosen(
        prompt_key(text_of(row["turns"])), tuple(row["turns"]), source.category, row["language"] or source.language, -1,
        source.cluster, score, source.cluster_mean, dict(zip(CRITERIA, met.tolist(), strict=True)), by, 1, source.source,
        source.licence, row["place"], "", row["redactions"],
        f"evolved in {task.how} by {model} from {source.uid}, on which {int(worth.shrunk.models[task.source])} models "
        f"differ by {worth.gap[task.source]:.1f} (best minus worst); meets {score} of 7 criteria (by {by}; at least "
        f"{asking.settings.thresholds[0]:g} asked)",
        "evolved", "", source.uid,
    )  # fmt: skip


def _funnel(asked: int, problems: Sequence[str]) -> tuple[FunnelRow, ...]:
    counted = Counter(problem for problem in problems if problem)
    rows, left = [FunnelRow("asked for", asked)], asked
    for step, reasons in _STEPS:
        found = tuple(Reason(name, counted[name]) for name in reasons if counted[name])
        left -= sum(reason.prompts for reason in found)
        rows.append(FunnelRow(step, left, found))
    return tuple(rows)
