"""The annotation of a pool: one pass or two, the thresholds after each, agreement, names of clusters, and the bill."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from auditkit.bench.agreement import Agreement, agreement
from auditkit.bench.annotate import (
    Annotations,
    annotate_parts,
    by_model,
    by_record,
    by_rules,
    load_annotations,
    pending,
    recorded_annotations,
)
from auditkit.bench.asking import Reply, replies
from auditkit.bench.criteria import CRITERIA, MAX_TOKENS, question
from auditkit.bench.engines import Job
from auditkit.bench.evolve import HOWS, evolve_question
from auditkit.bench.evolve import MAX_TOKENS as EVOLVE_TOKENS
from auditkit.bench.parts import read_part, total_counts, write_part
from auditkit.bench.pipeline import Pipeline
from auditkit.bench.record import AnnotationPass
from auditkit.bench.rules import NAME, criteria_by_rule
from auditkit.bench.select import Choice, qualifying
from auditkit.bench.settings import Annotator, BuildSettings
from auditkit.bench.topics import SHOWN, SHOWN_CHARS, TOPIC_TOKENS, parse_topic, terms_of, topic_question, unique_names
from auditkit.bench.work import Stage
from auditkit.errors import UsageError
from auditkit.judging.asking import Address
from auditkit.judging.calls import Request
from auditkit.judging.events import Listener, Meter
from auditkit.judging.forecast import Forecast, Line
from auditkit.judging.prices import estimate, table
from auditkit.judging.runspec import RunSettings
from auditkit.judging.session import asking as asking_session
from auditkit.judging.session import complete
from auditkit.judging.spending import Spending
from auditkit.judging.store import Store
from auditkit.text import count_tokens

__all__ = ["Annotated", "Asking", "annotated", "annotation_pass", "forecast_of", "named"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
_COMPARED: Final = 20_000
"""Prompts on which the rules are compared with other annotations, evenly spaced over more."""
_COUNTED: Final = 500
_NAMED: Final = 300
"""Clusters that have a name although nothing was drawn from them: the largest."""


@dataclass
class Asking:
    """Whom a build asks, with what it may spend."""

    pipeline: Pipeline
    listener: Listener | None
    connect: Callable[..., Any]
    meter: Meter = field(init=False)
    spending: Spending = field(init=False)

    def __post_init__(self) -> None:
        self.meter = Meter(self.listener)
        self.spending = Spending(self.settings.max_cost)

    @property
    def settings(self) -> BuildSettings:
        """The build's settings."""
        return self.pipeline.settings

    @property
    def addresses(self) -> list[Address]:
        """Every model that is asked."""
        asked = (self.settings.first, self.settings.second, self.settings.namer, self.settings.evolver)
        return [Address(one.model, one.base_url) for one in asked if one is not None and one.model]

    @property
    def store(self) -> str | Path:
        """Where completions are kept."""
        return self.settings.store or self.pipeline.work.folder / "store.sqlite"

    @cached_property
    def recorded(self) -> dict[int, tuple[bool, ...]]:
        """Recorded annotations, by the key of the prompt."""
        return recorded_annotations([Path(path) for path in self.settings.recorded])

    def check(self) -> None:
        """Raise if somebody cannot be asked, before the work starts.

        Raises:
            UsageError: No such client, no key, or a limit on the cost where the price is not known.
            InputError: Recorded annotations that cannot be read.
        """
        if not self.settings.name.isprintable():
            raise UsageError("the benchmark's name holds characters that cannot be printed")
        for address in self.addresses:
            self.spending.refuse_unknown(address.model, address.base_url or None)
            complete(self.connect(address.model, base_url=address.base_url or None).close())
        self.recorded  # noqa: B018  cached, and raises if a file cannot be read

    def ready(self) -> None:
        """Carry out the stages that annotation needs."""
        self.pipeline.kept  # noqa: B018  cached

    def run(self, work: Callable[[Any], Any]) -> Any:
        """Run ``work(asker)`` with everything that asking needs."""
        limits = RunSettings(concurrency=self.settings.concurrency, max_cost=self.settings.max_cost)

        async def main() -> Any:
            with Store.open(self.store) as store:
                async with asking_session(
                    store,
                    limits,
                    spending=self.spending,
                    meter=self.meter,
                    addresses=self.addresses,
                    connect=self.connect,
                ) as asker:
                    return await work(asker)

        return complete(main())


@dataclass(frozen=True)
class Annotated:
    """An annotated pool; every array has one entry a prompt that is kept.

    Attributes:
        good: Reaches both thresholds of the last pass.
        scores: Criteria met in the last pass that a prompt was in; NaN: not read.
        met: Those criteria, ``(n, 7)``.
        last: Was it in the last pass?
        unread: Its annotation could not be read.
        by: The annotator of the last pass.
        passes, agreement: For the datasheet.
    """

    good: np.ndarray[Any, np.dtype[np.bool_]]
    scores: Floats
    met: np.ndarray[Any, np.dtype[np.bool_]]
    last: np.ndarray[Any, np.dtype[np.bool_]]
    unread: np.ndarray[Any, np.dtype[np.bool_]]
    by: str
    passes: tuple[AnnotationPass, ...]
    agreement: tuple[Agreement, ...]


def annotation_pass(
    asking: Asking, name: str, who: Annotator, inputs: Sequence[tuple[Path, ...]], after: list[Stage]
) -> Annotations:
    """Annotate parts and return the annotations."""
    pipeline, s = asking.pipeline, asking.settings
    recorded = s.recorded if name.startswith("08") else ()
    told = {
        "model": who.model or NAME,
        "url": who.base_url,
        "recorded": [pipeline.work.fingerprint(Path(p)) for p in recorded],
    }
    stage = pipeline.work.begin(name, told, after)
    jobs = [Job(one, stage.folder / one[0].parent.name / one[0].name) for one in inputs]
    if not who.model and not recorded:
        return load_annotations(pipeline.mapped(stage, by_rules, jobs))
    known = asking.recorded if recorded else {}
    left = [job for job in jobs if not job.output.exists()]
    if not who.model:
        for job in left:
            by_record(job, known)
    elif left and s.engine == "ray" and s.max_cost is None and "://" in s.store:
        # Every node asks; the store that they share sees to it that no call is made twice.
        args = {
            "model": who.model, "url": who.base_url, "recorded": list(recorded), "store": s.store,
            "concurrency": s.concurrency,
        }  # fmt: skip
        pipeline.mapped(stage, by_model, [replace(job, args=args) for job in jobs])
        made = total_counts([job.output for job in left])
        asking.meter.calls += made["made"]
        asking.meter.spent += made["made_microdollars"] / 1e6
        asking.meter.unpriced += made["made_unpriced"]
    elif left:
        total, _ = pending(jobs, known)
        done = total_counts([job.output for job in jobs if job.output.exists()])["asked"]
        asking.meter.begin("annotations", total, done)
        asking.run(lambda asker: annotate_parts(jobs, asker, Address(who.model, who.base_url), known))
        asking.meter.tell()
    pipeline.work.finish(stage, {})
    return load_annotations([job.output for job in jobs])


def _over(pool: Any, found: Annotations) -> tuple[Any, Any, Any]:
    """Return scores, criteria and "was asked about" of a pass over all prompts of the pool."""
    place = np.searchsorted(pool, found.rows)
    scores = np.full(len(pool), np.nan)
    met = np.zeros((len(pool), len(CRITERIA)), dtype=bool)
    asked = np.zeros(len(pool), dtype=bool)
    scores[place], met[place], asked[place] = found.scores, found.met, True
    return scores, met, asked


def _told(found: Annotations, prompt: float, cluster: float, passed: int, model: bool) -> AnnotationPass:
    return AnnotationPass(
        found.by, len(found.rows), int((~found.read).sum()), prompt, cluster, passed, found.calls, found.tokens_in,
        found.tokens_out, found.cost, found.unpriced, model,
    )  # fmt: skip


def annotated(asking: Asking) -> Annotated:
    """Annotate the pool in one pass or two, and apply the thresholds.

    Raises:
        Incomplete: Calls failed for now; AuditkitError: the work was halted.
    """
    pipeline, s = asking.pipeline, asking.settings
    stage, parts = pipeline.kept
    clusters = pipeline.clustered[1].labels
    rows = np.concatenate([read_part(part, ["row"]).column("row").to_numpy() for part in parts])
    first = annotation_pass(asking, "08-annotate", s.first, [(part,) for part in parts], [stage])
    scores, met, asked = _over(rows, first)
    by_model = bool(s.first.model)
    if s.second is None:
        good = qualifying(scores, clusters, *s.thresholds)
        told = _told(first, *s.thresholds, int(good.sum()), by_model)
        agreed = _with_rules(asking, first, rows, s.seed) if by_model or s.recorded else ()
        return Annotated(good, scores, met, asked, asked & np.isnan(scores), ", ".join(first.by), (told,), agreed)
    through = qualifying(scores, clusters, s.first_prompt, s.first_cluster)
    left = _left(asking, rows[through], parts, stage)
    second = annotation_pass(asking, "10-annotate-second", s.second, [*zip(parts, left[1], strict=True)], [left[0]])
    final, met2, asked2 = _over(rows, second)
    good = qualifying(final, clusters, *s.thresholds)
    both = asked2 & ~np.isnan(final) & ~np.isnan(scores)
    pair = agreement(", ".join(first.by), met[both], ", ".join(second.by), met2[both], seed=s.seed)
    passes = (
        _told(first, s.first_prompt, s.first_cluster, int(through.sum()), by_model),
        _told(second, *s.thresholds, int(good.sum()), bool(s.second.model)),
    )
    return Annotated(
        good, np.where(asked2, final, scores), np.where(asked2[:, None], met2, met), asked2,
        np.where(asked2, np.isnan(final), np.isnan(scores)), ", ".join(second.by), passes,
        (pair, *_with_rules(asking, first, rows, s.seed)),
    )  # fmt: skip


def _left(asking: Asking, rows: Any, parts: Sequence[Path], before: Stage) -> tuple[Stage, list[Path]]:
    """Write which prompts the first pass lets through."""
    import pyarrow as pa

    digest = hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()
    stage = asking.pipeline.work.begin("09-left", {"rows": digest}, [before])
    paths = []
    for part in parts:
        own = read_part(part, ["row"]).column("row").to_numpy()
        paths.append(stage.folder / part.parent.name / part.name)
        write_part(paths[-1], pa.table({"row": own[np.isin(own, rows)]}))
    return asking.pipeline.work.finish(stage, {}), paths


def _with_rules(asking: Asking, found: Annotations, rows: Any, seed: int) -> tuple[Agreement, ...]:
    """Compare the offline rules with other annotations."""
    usable = np.flatnonzero(found.read)
    usable = usable[:: max(1, -(-len(usable) // _COMPARED))]
    wanted = set(found.rows[usable].tolist())
    texts: dict[int, str] = {}
    start = 0
    for batch in asking.pipeline.texts():
        texts |= {
            row: t for row, t in zip(rows[start : start + len(batch)].tolist(), batch, strict=True) if row in wanted
        }
        start += len(batch)
    by_rule = np.array([criteria_by_rule(texts[row]) for row in found.rows[usable].tolist()], dtype=bool)
    return (
        agreement(NAME, by_rule.reshape(-1, len(CRITERIA)), ", ".join(found.by), found.met[usable], seed=seed),
    )  # fmt: skip


# --- names of clusters ----------------------------------------------------------------------------------------------


def _members(pipeline: Pipeline, wanted: set[int], most: int) -> dict[int, list[str]]:
    """Return the beginnings of some prompts of each cluster, evenly spaced over it."""
    labels = pipeline.clustered[1].labels
    sizes = np.bincount(labels[labels >= 0]) if (labels >= 0).any() else np.zeros(0, dtype=int)
    found: dict[int, list[str]] = {number: [] for number in sorted(wanted)}
    seen = np.zeros(len(sizes), dtype=np.int64)
    start = 0
    for batch in pipeline.texts():
        for text, number in zip(batch, labels[start : start + len(batch)].tolist(), strict=True):
            if number in found:
                step = max(1, int(sizes[number]) // most)
                if seen[number] % step == 0 and len(found[number]) < most:
                    found[number].append(text[: 4 * SHOWN_CHARS])
                seen[number] += 1
        start += len(batch)
    return found


def named(asking: Asking, done: Annotated, choice: Choice) -> dict[int, str]:
    """Return the names of the clusters that were drawn from, and of the largest others."""
    labels = asking.pipeline.clustered[1].labels
    drawn = set(labels[choice.chosen].tolist())
    wanted = drawn | set(range(min(_NAMED, int(labels.max(initial=-1)) + 1)))
    members = _members(asking.pipeline, wanted, SHOWN)
    names = unique_names(terms_of(members))
    namer = asking.settings.namer
    if namer is None or not namer.model or not drawn:
        return names
    asking.meter.begin("topics", len(drawn), 0)
    questions = [(n, partial(topic_question, members[n], namer.model)) for n in sorted(drawn)]
    found: Mapping[int, Reply[str]] = asking.run(
        lambda asker: _replied(questions, asker, Address(namer.model, namer.base_url))
    )
    asking.meter.tell()
    said = {number: [reply.value] for number, reply in found.items() if reply.value}
    return {**names, **unique_names(said)}


async def _replied(questions: Any, asker: Any, address: Address) -> Any:
    found = await replies(questions, asker, address, parse_topic)
    if asker.halt.called and asker.halt.reason is not None:
        raise asker.halt.reason
    return found


# --- the bill -------------------------------------------------------------------------------------------------------


def forecast_of(asking: Asking, sources: Sequence[str] = ()) -> Forecast:
    """Count what is still to be asked: calls, tokens, dollars.

    Args:
        asking: The build.
        sources: Texts of the prompts of which some may be evolved.
    """
    s = asking.settings
    asking.check()
    jobs = [Job((part,), asking.pipeline.work.folder / "none" / part.name) for part in asking.pipeline.kept[1]]
    total, texts = pending(jobs, asking.recorded)
    where = asking.store
    store = Store.open(where) if "://" in str(where) or Path(where).exists() else None
    lines, rough = [], False
    try:
        for what, who in (("annotations", s.first), ("annotations, second pass (at most)", s.second)):
            if who is not None and who.model:
                keys = {question(text, who.model).key for text in texts} if store else set()
                stored = store.known(keys) if store else set()
                asked = [text for text in texts if not stored or question(text, who.model).key not in stored]
                line, estimated = _line(
                    what, who, [_sent(text, who.model) for text in asked], MAX_TOKENS, total - len(asked)
                )
                lines.append(line)
                rough |= estimated
    finally:
        if store:
            store.close()
    if s.namer is not None and s.namer.model:
        sent = ["word " * (SHOWN * SHOWN_CHARS // 5)] * min(s.clusters, max(1, len(texts)))
        lines.append(_line("names of clusters (at most)", s.namer, sent, TOPIC_TOKENS, 0)[0])
    if s.evolver is not None and s.evolve:
        sent = [_question_text(evolve_question(text, s.evolver.model, how)) for text in sources for how in HOWS]
        most = (sent * (1 + 2 * s.evolve // max(len(sent), 1)))[: 2 * s.evolve]
        lines.append(_line("evolved prompts (at most)", s.evolver, most, EVOLVE_TOKENS, 0)[0])
        for what, who in (("annotations of evolved prompts (at most)", s.first), ("… second pass (at most)", s.second)):
            if who is not None and who.model:
                asked = [_sent(text, who.model) for text in sources][: 2 * s.evolve]
                lines.append(_line(what, who, asked, MAX_TOKENS, 0)[0])
    if s.embedding.startswith("openai/"):
        lines.append(_line("embeddings", Annotator(s.embedding, s.embedding_url), texts, 0, 0)[0])
    prices = table()
    return Forecast(tuple(lines), prices.source if prices else "no price table", rough)


def _sent(text: str, model: str) -> str:
    return _question_text(question(text, model))


def _question_text(request: Request) -> str:
    return "\n".join(message.content for message in request.messages)


def _line(what: str, who: Annotator, sent: Sequence[str], out: int, stored: int) -> tuple[Line, bool]:
    sample = sent[:: max(1, len(sent) // _COUNTED)]
    if not sample:
        free = estimate(who.model, 0, 0, base_url=who.base_url or None)
        return Line(what, who.model, stored, 0, 0, 0, True, None if free is None else 0.0), False
    counts, estimated = count_tokens(sample, "o200k_base")
    mean = float(counts.mean())
    price = estimate(who.model, mean, out, calls=len(sent), base_url=who.base_url or None)
    dollars = None if price is None else price.dollars
    tokens = round(mean * len(sent))
    return Line(what, who.model, stored, len(sent), tokens, out * len(sent), True, dollars), estimated
