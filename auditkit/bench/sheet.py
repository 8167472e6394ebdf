"""The datasheet of a build: its figures, the prompts with why each is in, and the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from auditkit.bench.annotating import Annotated
from auditkit.bench.criteria import CRITERIA
from auditkit.bench.overlap import TESTS
from auditkit.bench.page import render
from auditkit.bench.parts import read_part, total_counts
from auditkit.bench.pipeline import Pipeline
from auditkit.bench.plot import cluster_map
from auditkit.bench.publish import digest_of
from auditkit.bench.reading import expanded
from auditkit.bench.record import (
    Chosen,
    ClusterRow,
    CriterionRow,
    Datasheet,
    FunnelRow,
    LanguageRow,
    Reason,
    Refresh,
)
from auditkit.bench.redact import KINDS
from auditkit.bench.select import TAKEN, Choice, cluster_means
from auditkit.bench.translations import translation_groups
from auditkit.formats._io import prompt_key
from auditkit.judging.prices import estimate

__all__ = ["OUTCOMES", "Pool", "datasheet", "outcomes", "page_of", "prompts_of"]

#: What becomes of a prompt that is kept, by number.
OUTCOMES: Final = (
    "drawn", "not_drawn", "below_prompt_score", "below_cluster_score", "in_no_cluster", "annotation_unread",
    "stopped_in_first_pass", "translation",
)  # fmt: skip
_DRAWN, _NOT_DRAWN, _PROMPT, _CLUSTER, _NOWHERE, _UNREAD, _FIRST, _TRANSLATION = range(len(OUTCOMES))
_NAMED: Final = 5
_COLUMNS: Final = ("row", "id", "turns", "category", "language", "source", "licence", "place", "copies", "redactions")


@dataclass(frozen=True)
class Pool:
    """What is known of every prompt that is kept, its text aside.

    Attributes:
        questions: The question that each puts in another language than others do, as `auditkit.bench.select.choose` takes
            it: `TAKEN` where one of them is in an earlier version or in a benchmark named.
    """

    rows: Any
    languages: list[str]
    categories: list[str]
    sources: list[str]
    licences: list[str]
    questions: Any

    @property
    def strata(self) -> list[tuple[str, str]]:
        """Language and category of each."""
        return list(zip(self.languages, self.categories, strict=True))

    @classmethod
    def of(cls, pipeline: Pipeline) -> Pool:
        """Read it."""
        wanted = ("row", "language", "category", "source", "licence")
        tables = [read_part(part, wanted) for part in pipeline.kept[1]]
        columns = {name: [v for table in tables for v in table.column(name).to_pylist()] for name in wanted}
        name = pipeline.settings.name
        categories = [category or name for category in columns["category"]]
        return cls(
            np.array(columns["row"], dtype=np.int64),
            columns["language"],
            categories,
            columns["source"],
            columns["licence"],
            _questions(pipeline, np.array(columns["row"], dtype=np.int64)),
        )


def _questions(pipeline: Pipeline, kept: Any) -> Any:
    """Return the questions that are there in several languages, for the rows that are kept."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = [
        table.filter(pc.equal(table.column("reason"), ""))
        for table in (
            read_part(part, ("row", "id", "language", "chars", "reason")) for part in pipeline.ingested[1]
        )
    ]  # fmt: skip
    table = pa.concat_tables(found) if found else None
    if table is None or not table.num_rows:
        return np.full(len(kept), -1, dtype=np.int64)
    rows = table.column("row").to_numpy()
    sizes = np.maximum(table.column("chars").to_numpy(), 1).astype(np.float64)
    groups = translation_groups(rows >> 40, table.column("id").to_pylist(), table.column("language").to_pylist(), sizes)
    out = [read_part(part.with_suffix(".dropped"), ("row", "reason")) for part in pipeline.kept[1]]
    known = [
        row for part in out for row, reason in zip(*(part.column(name).to_pylist() for name in ("row", "reason")), strict=True)
        if reason.startswith(("earlier_", "contaminated_"))
    ]  # fmt: skip
    taken = groups[np.searchsorted(rows, np.array(known, dtype=np.int64))]
    groups[np.isin(groups, taken[taken >= 0])] = TAKEN
    return groups[np.searchsorted(rows, kept)]


def outcomes(done: Annotated, labels: Any, choice: Choice) -> Any:
    """Return what became of every prompt that is kept, as numbers into `OUTCOMES`; the first reason counts."""
    score, _ = _thresholds(done)
    found = np.full(len(labels), _NOT_DRAWN, dtype=np.int8)
    found[~done.good] = _CLUSTER
    with np.errstate(invalid="ignore"):
        found[~done.good & (done.scores < score)] = _PROMPT
    found[~done.good & (labels < 0)] = _NOWHERE
    found[~done.last] = _FIRST
    found[done.unread] = _UNREAD
    found[choice.aside] = _TRANSLATION
    found[choice.chosen] = _DRAWN
    return found


def _thresholds(done: Annotated) -> tuple[float, float]:
    last = done.passes[-1]
    return last.prompt_score, last.cluster_score


def prompts_of(
    pipeline: Pipeline, pool: Pool, done: Annotated, choice: Choice, names: Mapping[int, str]
) -> list[Chosen]:
    """Return the prompts of the benchmark, cluster by cluster, each with why it is in."""
    labels = pipeline.clustered[1].labels
    means = cluster_means(np.where(done.last, done.scores, np.nan), labels)
    prompt, cluster = _thresholds(done)
    wanted = {int(place): k for k, place in enumerate(choice.chosen)}
    found: dict[int, Chosen] = {}
    start = 0
    for part in pipeline.kept[1]:
        table = read_part(part, _COLUMNS)
        inside = sorted(place for place in wanted if start <= place < start + table.num_rows)
        for place, row in zip(
            inside, table.take(np.array([place - start for place in inside], dtype=np.int64)).to_pylist(), strict=True
        ):
            number, score = int(labels[place]), int(done.scores[place])
            met = dict(zip(CRITERIA, done.met[place].tolist(), strict=True))
            mean = float(means[number])
            who = "by the offline rules, not by a model" if not done.passes[-1].model else f"by {done.by}"
            found[wanted[place]] = Chosen(
                prompt_key("\n\n".join(row["turns"])), tuple(row["turns"]), row["category"] or pipeline.settings.name,
                row["language"], number, names.get(number, f"cluster {number}"), score, mean, met, done.by, row["copies"],
                row["source"], row["licence"], row["place"], row["id"], row["redactions"],
                f"meets {score} of 7 criteria ({who}; at least {prompt:g} asked); mean of its cluster {mean:.2f} (at least "
                f"{cluster:g} asked); drawn with seed {pipeline.settings.seed}",
            )  # fmt: skip
        start += table.num_rows
    return [found[k] for k in sorted(found)]


# --- figures --------------------------------------------------------------------------------------------------------


def _reasons(counts: Mapping[str, int], leave: Sequence[str] = ("rows", "kept")) -> tuple[Reason, ...]:
    return tuple(
        Reason(name, n) for name, n in sorted(counts.items(), key=lambda x: (-x[1], x[0]))
        if n and name not in leave and not name.startswith("redacted.")
    )  # fmt: skip


def _funnel(pipeline: Pipeline, done: Annotated, became: Any, drawn: int) -> tuple[FunnelRow, ...]:
    ingested, kept = pipeline.counts["01-ingest"], pipeline.counts["05-keep"]
    doubles = {name: kept[name] for name in ("exact_duplicate", "near_duplicate")}
    shared = {f"contaminated_{test}": kept[f"contaminated_{test}"] for test in TESTS}
    unique = ingested["kept"] - sum(doubles.values())
    counted = Counter(dict(zip(OUTCOMES, np.bincount(became, minlength=len(OUTCOMES)).tolist(), strict=True)))
    rows = [
        FunnelRow("read", ingested["rows"]),
        FunnelRow("ingested", ingested["kept"], _reasons(ingested)),
        FunnelRow("unique", unique, _reasons(doubles)),
    ]
    earlier = {f"earlier_{test}": kept[f"earlier_{test}"] for test in TESTS}
    if pipeline.earlier:
        rows.append(FunnelRow("in no earlier version", unique - sum(earlier.values()), _reasons(earlier)))
    if pipeline.settings.against:
        rows.append(FunnelRow("uncontaminated", kept["kept"], _reasons(shared)))
    left = kept["kept"]
    if len(done.passes) > 1:
        left = done.passes[0].passed
        rows.append(FunnelRow("through the first pass", left, (Reason("below_thresholds", kept["kept"] - left),)))
    wanted = ("below_prompt_score", "below_cluster_score", "in_no_cluster", "annotation_unread")
    good = int(done.good.sum())
    rows.append(FunnelRow("qualify", good, _reasons({name: counted[name] for name in wanted})))
    if counted["translation"]:
        good -= counted["translation"]
        rows.append(FunnelRow("in one language each", good, _reasons({"translation": counted["translation"]})))
    rows.append(FunnelRow("drawn", drawn, _reasons({"not_drawn": good - drawn})))
    return tuple(rows)


def _tally(values: Sequence[str], none: str) -> tuple[Reason, ...]:
    return _reasons(Counter(value or none for value in values), ())


def _notes(pipeline: Pipeline, pool: Pool, done: Annotated, drawn: int, choice: Choice) -> tuple[str, ...]:
    s = pipeline.settings
    notes = [*_passed_over(pipeline), *_languages(pool, choice)]
    if not any(one.model for one in done.passes):
        notes.append(
            "Criteria were scored by offline rules that look at the surface of a prompt, not by a language model. "
            "Build with --annotator for annotations as published."
            if "rules/1" in done.by
            else "Criteria are recorded annotations; prompts without one do not qualify."
        )
    if drawn < s.size:
        notes.append(
            f"{s.size} prompts were asked for and {drawn} are here: {choice.clusters} clusters hold "
            f"prompts that qualify, {choice.full} of them {s.per_cluster} or more."
        )
    if s.embedding == "hashed":
        notes.append("Clusters are made from words, not meanings: prompts of two languages are never in one cluster.")
    elif s.embedding.startswith("openai/"):
        notes.append(_embedded(pipeline))
    if s.redact:
        notes.append("Names of persons are not looked for when personal data are redacted.")
    if not s.against:
        notes.append("Contamination was not measured: no benchmark or training prompts were named (--against).")
    if not s.toxicity:
        notes.append("Toxicity was not measured, beyond the flags in the records themselves (--toxicity).")
    return tuple(notes)


def _languages(pool: Pool, choice: Choice) -> list[str]:
    """Say how many prompts are the same questions in several languages."""
    if len(choice.aside):
        told = (
            f"{len(choice.aside):,} prompts that qualify are another prompt, or one that must not be drawn, in another "
            "language: their ids are the same, in files that are translations of each other. A question is drawn in one "
            "language at most (--translations: in all)."
        )
        return [told]
    groups = pool.questions[choice.chosen]
    _, sharing = np.unique(groups[groups >= 0], return_counts=True)
    if not (sharing > 1).any():
        return []
    told = (
        f"{int(sharing[sharing > 1].sum()):,} of the {len(groups):,} drawn prompts put {int((sharing > 1).sum()):,} "
        "questions in several languages. They are not independent: intervals that count them as different prompts are too "
        "narrow."
    )
    return [told]


def _passed_over(pipeline: Pipeline) -> list[str]:
    """Name the files of folders that nothing could be read from."""
    out = [(pipeline.files[k][0].name, problem) for k, problem in sorted(pipeline.problems.items())]
    if not out:
        return []
    named = "; ".join(f"{name} ({problem})" for name, problem in out[:_NAMED])
    more = f"; and {len(out) - _NAMED:,} more" if len(out) > _NAMED else ""
    return [f"{len(out):,} of {len(pipeline.files):,} files hold no prompt and were passed over: {named}{more}."]


def _embedded(pipeline: Pipeline) -> str:
    """Say what the vectors of an endpoint took, whenever they were made."""
    s, counts = pipeline.settings, total_counts(pipeline.embedded[1])
    calls, tokens = counts["embedding_calls"], counts["embedding_tokens"]
    price = estimate(s.embedding, tokens, 0, base_url=s.embedding_url or None)
    cost = "price not known" if price is None else f"${price.dollars:.4f} at the prices of {price.source}"
    return f"Vectors are by {s.embedding}: {calls:,} calls, {tokens:,} tokens, {cost}."


def datasheet(
    pipeline: Pipeline,
    pool: Pool,
    done: Annotated,
    choice: Choice,
    chosen: Sequence[Chosen],
    names: Mapping[int, str],
    became: Any,
    refresh: Refresh | None = None,
    notes: Sequence[str] = (),
) -> Datasheet:
    """Return the record of a build; of a version that follows another, `chosen` holds more than what was drawn."""
    s = pipeline.settings
    labels = pipeline.clustered[1]
    drawn = np.zeros(len(pool.rows), dtype=bool)
    drawn[choice.chosen] = True
    kept, good, took = (
        Counter(language for language, yes in zip(pool.languages, mask.tolist(), strict=True) if yes)
        for mask in (np.ones(len(pool.rows), dtype=bool), done.good, drawn)
    )
    read = ~np.isnan(done.scores)
    means = cluster_means(np.where(done.last, done.scores, np.nan), labels.labels)
    sizes, fit, out = (
        np.bincount(labels.labels[(labels.labels >= 0) & mask], minlength=len(means))
        for mask in (np.ones(len(pool.rows), dtype=bool), done.good, drawn)
    )
    against = expanded([Path(path) for path in s.against])
    redactions = {kind: pipeline.counts["01-ingest"][f"redacted.{kind}"] for kind in (*KINDS, "SECRET")}
    told = {k: v for k, v in asdict(s).items() if k not in ("workers", "concurrency", "max_cost", "store", "engine")}
    told["against"] = [Path(path).name for path in s.against]
    told["judgments"] = [Path(path).name for path in s.judgments]
    told["since"] = Path(s.since).name if s.since else ""
    told["anchors"] = s.overlap if s.since else None
    told["recorded"] = [Path(path).name for path in s.recorded]
    told |= {"prompt_score": s.thresholds[0], "cluster_score": s.thresholds[1]}
    rows = [total_counts(parts)["rows"] for parts in pipeline.read[1]]
    problems = pipeline.problems
    return Datasheet(
        s.name, s.version, version("judge-auditkit"), len(chosen), s.size, digest_of(chosen), told,
        tuple(
            {"file": p.name, "sha256": h, "rows": n, "problem": problems.get(k, "")}
            for k, ((p, h), n) in enumerate(zip(pipeline.files, rows, strict=True))
        ),
        tuple({"file": p.name, "sha256": pipeline.work.fingerprint(p)} for p in against),
        _funnel(pipeline, done, became, len(choice.chosen)), done.passes, done.agreement,
        tuple(LanguageRow(x, n, good[x], took[x]) for x, n in sorted(kept.items(), key=lambda x: (-x[1], x[0]))),
        tuple(
            CriterionRow(
                name, float(done.met[read, k].mean()) if read.any() else None,
                float(done.met[drawn, k].mean()) if drawn.any() else None,
            )
            for k, name in enumerate(CRITERIA)
        ),
        tuple(
            ClusterRow(
                c, names.get(c, f"cluster {c}"), int(sizes[c]), None if np.isnan(means[c]) else float(means[c]),
                int(fit[c]), int(out[c]),
            )
            for c in np.flatnonzero(out).tolist()
        ),
        len(means), labels.method, labels.outliers, int((labels.labels < 0).sum()), s.embedding,
        _reasons({f"{test}": pipeline.counts["05-keep"][f"contaminated_{test}"] for test in TESTS}), _reasons(redactions),
        _tally([one.licence for one in chosen], "not stated"), _tally([one.source for one in chosen], "not stated"),
        (*_notes(pipeline, pool, done, len(chosen), choice), *notes), refresh,
    )  # fmt: skip


def page_of(sheet: Datasheet, pipeline: Pipeline, done: Annotated, choice: Choice, names: Mapping[int, str]) -> str:
    """Return the datasheet as one HTML file."""
    plot = cluster_map(
        pipeline.vectors, pipeline.clustered[1].labels, done.scores, choice.chosen, names, pipeline.settings.seed
    )  # fmt: skip
    return render(sheet, plot)
