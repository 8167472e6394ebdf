"""Build a benchmark from a pool of real prompts: the BenchBuilder pipeline, resumable and accounted for.

::

    result = build("pool.jsonl", out="bench", settings=BuildSettings(name="mine", clusters=50))
    result.sheet.funnel

A build that was stopped, by whatever, goes on when the same call is made again; a changed input or setting redoes what
follows from it and nothing else. ``BuildSettings(since="bench-v1", judgments=("run",))`` makes the version that follows an
earlier one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from auditkit import formats
from auditkit.bench.annotating import Annotated, Asking, annotated, forecast_of, named
from auditkit.bench.clean import text_of
from auditkit.bench.engines import Engine, LocalEngine
from auditkit.bench.pipeline import Pipeline, Progress, no_progress
from auditkit.bench.publish import LEDGER, check_folder, publish, write_ledger
from auditkit.bench.record import Chosen, Datasheet
from auditkit.bench.refresh import Release, check_out, next_version, read_release
from auditkit.bench.refresh_choice import Past
from auditkit.bench.refreshing import Refreshed, earlier_of, refreshed
from auditkit.bench.select import Choice, choose
from auditkit.bench.settings import BuildSettings
from auditkit.bench.sheet import OUTCOMES, Pool, datasheet, outcomes, page_of, prompts_of
from auditkit.bench.signatures import exact_keys
from auditkit.bench.words import folded
from auditkit.bench.work import digest, opened
from auditkit.errors import InputError, NoData, UsageError, printable
from auditkit.judging.clients import client_for
from auditkit.judging.events import Listener
from auditkit.judging.forecast import Forecast
from auditkit.scores import of_recording

__all__ = ["BuildResult", "BuildSettings", "build", "build_forecast"]


@dataclass(frozen=True)
class BuildResult:
    """What a build came to.

    Attributes:
        folder: The benchmark: ``question.jsonl``, ``prompts.jsonl``, ``datasheet.html``, ``datasheet.json``,
            ``ledger.parquet``, ``manifest.json``; ``retired.jsonl`` where it follows an earlier version.
        work: The work folder.
        prompts: Prompts of the benchmark.
        asked: Prompts that were asked for.
        sheet: The datasheet.
        calls: Calls of this start.
        dollars: US dollars spent in this start, as far as prices are known.
        unpriced: Calls of this start whose price is not known.
    """

    folder: Path
    work: Path
    prompts: int
    asked: int
    sheet: Datasheet
    calls: int
    dollars: float
    unpriced: int

    @property
    def short(self) -> bool:
        """Tell whether fewer prompts qualify than were asked for."""
        return self.prompts < self.asked


def _engine(settings: BuildSettings) -> Engine:
    if settings.engine == "ray":
        from auditkit.bench.ray_engine import RayEngine

        return RayEngine()
    return LocalEngine(settings.workers)


def build(
    *prompts: Path | str,
    out: Path | str,
    settings: BuildSettings | None = None,
    work: Path | str | None = None,
    progress: Progress = no_progress,
    listener: Listener | None = None,
    connect: Callable[..., Any] = client_for,
) -> BuildResult:
    """Build a benchmark, or go on with a build that was stopped.

    Args:
        prompts: Files and folders of prompts and conversations.
        out: The benchmark's folder.
        settings: What is asked for.
        work: The work folder; None: ``OUT.work`` beside `out`.
        progress: Told how far the stages are.
        listener: Told how far the annotation is.
        connect: Makes clients; the registered ones by default.

    Returns:
        What it came to; fewer prompts than asked for are no error.

    Raises:
        InputError: An input cannot be used.
        UsageError: A setting names something that does not exist.
        NoData: No prompt qualifies; the message says at which step they were lost.
        AuditkitError: Calls failed, the budget is spent, or somebody stopped it; the same call goes on.
    """
    target = Path(out)
    check_folder(target)
    with _opened(prompts, target, settings, work, progress) as (pipeline, release):
        asking = Asking(pipeline, listener, connect)
        asking.check()
        return _built(target, pipeline, asking, release)


@contextmanager
def _opened(
    prompts: Sequence[Path | str], target: Path, settings: BuildSettings | None, work: Path | str | None, progress: Progress
) -> Iterator[tuple[Pipeline, Release | None]]:  # fmt: skip
    """Yield a checked pipeline over an open work folder, and the version that is followed."""
    s = settings or BuildSettings()
    if not prompts:
        raise UsageError("no prompts were given")
    release = None
    if s.since:
        release = read_release(Path(s.since))
        check_out(target, release)
        s = replace(s, version=s.version or next_version(release.version))
        if s.version in release.versions:
            raise UsageError(f"there is a version {s.version} already: {', '.join(release.versions)}")
    s = replace(s, version=s.version or "1")
    folder = Path(work) if work is not None else target.with_name(f"{target.name}.work")
    engine = _engine(s)
    try:
        with opened(folder) as place:
            pipeline = Pipeline(place, [Path(path) for path in prompts], s, engine, progress, earlier_of(release))
            pipeline.check()
            yield pipeline, release
    finally:
        engine.close()


def _built(target: Path, pipeline: Pipeline, asking: Asking, release: Release | None) -> BuildResult:
    s = pipeline.settings
    past = None if release is None else _past(release, s.judgments)
    asking.ready()
    if not pipeline.total:
        raise NoData(f"no prompt is left to annotate: {_lost(pipeline)}")
    kept: Refreshed | None = None
    if release is not None and past is not None:
        kept = refreshed(asking, release, past, s.version)
    _, clusters = pipeline.clustered
    done: Annotated = annotated(asking)
    pool = Pool.of(pipeline)
    room = s.size if kept is None else kept.room
    choice: Choice = choose(
        done.good,
        clusters.labels,
        pool.strata,
        wanted=-(-room // s.per_cluster),
        per_cluster=s.per_cluster,
        seed=s.seed,
        questions=None if s.translations else pool.questions,
    )
    choice = replace(choice, chosen=choice.chosen[:room])
    names = named(asking, done, choice)
    new = prompts_of(pipeline, pool, done, choice, names)
    became = outcomes(done, clusters.labels, choice)
    chosen: list[Chosen] = (
        [replace(one, first_version=s.version) for one in new] if kept is None else kept.together(new, s.version)
    )
    sheet = datasheet(
        pipeline, pool, done, choice, chosen, names, became,
        None if kept is None else kept.record(chosen, s.version), () if kept is None else kept.notes(len(new), bool(done.passes[-1].model)),
    )  # fmt: skip
    write_ledger(target / LEDGER, pipeline.ingested[1], pipeline.kept[1], became, OUTCOMES)
    page = page_of(sheet, pipeline, done, choice, names)
    publish(target, chosen, sheet, page, release, () if kept is None else kept.retired)
    if not new:
        raise NoData(
            f"no prompt qualifies (score at least {s.thresholds[0]} in a cluster of mean {s.thresholds[1]:g}); "
            f"{target}/datasheet.html shows where they were lost; lower --prompt-score or --cluster-score"
        )
    meter = asking.meter
    return BuildResult(
        target, pipeline.work.folder, len(chosen), s.size, sheet, meter.calls, meter.spent, meter.unpriced
    )  # fmt: skip


def _past(release: Release, judgments: Sequence[str]) -> Past:
    """Read past judgments and lay them beside the prompts of a release: by the prompt's text, or by its id.

    Raises:
        InputError: A recording that cannot be read, holds judgments of other prompts, or another kind of judgments.
    """
    if not judgments:
        return Past.none(len(release.prompts))
    number_of = {prompt.uid: k for k, prompt in enumerate(release.prompts)}
    keys = exact_keys([folded(text_of(prompt.turns)) for prompt in release.prompts]).tolist()
    by_text = {key: k for k, key in enumerate(keys)}
    columns, inputs, units = [], [], set()
    answers: dict[int, list[str]] = {}
    for root, battles in zip(judgments, formats.read_each(judgments)[0], strict=True):
        scores = of_recording(battles, 1, 0)
        if scores.outcomes is None:
            raise InputError("the recording holds no outcome by prompt", path=Path(root))
        told = battles.prompts[battles.prompts["text"] != ""]
        at = {str(one): number_of[str(one)] for one in scores.prompt_ids if str(one) in number_of}
        texts = exact_keys([folded(str(text)) for text in told["text"]]).tolist() if len(told) else []
        at |= {
            str(one): by_text[key] for one, key in zip(told["prompt_id"], texts, strict=True) if key in by_text
        }  # fmt: skip
        found = [(k, at[one]) for k, one in enumerate(scores.prompt_ids) if one in at]
        if not found:
            raise InputError(
                f"judgments of another benchmark: none of its {len(scores.prompt_ids)} judged prompts is in version "
                f"{release.version} of {printable(release.name, 60)}",
                path=Path(root),
            )
        x = np.full((len(release.prompts), len(scores.models)), np.nan)
        x[[k for _, k in found]] = scores.outcomes[[k for k, _ in found]]
        columns.append(x[:, np.isfinite(x).any(axis=0)])
        units.add("percent" if len(battles.games) and battles.games["outcome"].notna().any() else "rating")
        own = battles.answers[battles.answers["prompt_id"].isin(at)]
        for one, text in zip(own["prompt_id"], own["text"], strict=True):
            answers.setdefault(at[str(one)], []).append(str(text))
        hashes = [[os.path.relpath(one.path, root), one.sha256] for one in battles.inputs]
        inputs.append({"recording": Path(root).name, "files": str(len(hashes)), "digest": digest(hashes)})
    if len(units) > 1:
        raise InputError("win rates and ratings were given: they are not on one scale", path=Path(judgments[-1]))
    return Past(np.concatenate(columns, axis=1), units.pop(), tuple(inputs), answers)


def _lost(pipeline: Pipeline) -> str:
    counts = {**pipeline.counts.get("01-ingest", {}), **pipeline.counts.get("05-keep", {})}
    reasons = {k: n for k, n in counts.items() if n and k not in ("rows", "kept") and not k.startswith("redacted.")}
    return (
        ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in sorted(reasons.items(), key=lambda x: -x[1]))
        or "none came in"
    )


def build_forecast(
    *prompts: Path | str,
    out: Path | str,
    settings: BuildSettings | None = None,
    work: Path | str | None = None,
    progress: Progress = no_progress,
) -> Forecast:
    """Say what `build` with the same arguments would ask of models and cost; ask nobody.

    The stages that cost nothing are carried out in the work folder, where `build` finds them: only then is it known
    how many prompts are left to annotate. A second pass is priced as if every prompt reached it.

    Raises:
        InputError, UsageError: As `build`.
    """
    with _opened(prompts, Path(out), settings, work, progress) as (pipeline, release):
        source = [] if release is None else [text_of(prompt.turns) for prompt in release.prompts]
        return forecast_of(Asking(pipeline, None, client_for), source)
