"""Build a benchmark from a pool of real prompts: the BenchBuilder pipeline, resumable and accounted for.

::

    result = build("pool.jsonl", out="bench", settings=BuildSettings(name="mine", clusters=50))
    result.sheet.funnel

A build that was stopped, by whatever, goes on when the same call is made again; a changed input or setting redoes what
follows from it and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditkit.bench.annotating import Annotated, Asking, annotated, forecast_of, named
from auditkit.bench.engines import Engine, LocalEngine
from auditkit.bench.pipeline import Pipeline, Progress, no_progress
from auditkit.bench.publish import LEDGER, check_folder, publish, write_ledger
from auditkit.bench.record import Datasheet
from auditkit.bench.select import Choice, choose
from auditkit.bench.settings import BuildSettings
from auditkit.bench.sheet import OUTCOMES, Pool, datasheet, outcomes, page_of, prompts_of
from auditkit.bench.work import opened
from auditkit.errors import NoData, UsageError
from auditkit.judging.clients import client_for
from auditkit.judging.events import Listener
from auditkit.judging.forecast import Forecast

__all__ = ["BuildResult", "BuildSettings", "build", "build_forecast"]


@dataclass(frozen=True)
class BuildResult:
    """What a build came to.

    Attributes:
        folder: The benchmark: ``question.jsonl``, ``prompts.jsonl``, ``datasheet.html``, ``datasheet.json``,
            ``ledger.parquet``.
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
    s = settings or BuildSettings()
    if not prompts:
        raise UsageError("no prompts were given")
    target = Path(out)
    check_folder(target)
    folder = Path(work) if work is not None else target.with_name(f"{target.name}.work")
    engine = _engine(s)
    try:
        with opened(folder) as place:
            pipeline = Pipeline(place, [Path(path) for path in prompts], s, engine, progress)
            pipeline.check()
            asking = Asking(pipeline, listener, connect)
            asking.check()
            return _built(target, pipeline, asking)
    finally:
        engine.close()


def _built(target: Path, pipeline: Pipeline, asking: Asking) -> BuildResult:
    s = pipeline.settings
    asking.ready()
    if not pipeline.total:
        raise NoData(f"no prompt is left to annotate: {_lost(pipeline)}")
    _, clusters = pipeline.clustered
    done: Annotated = annotated(asking)
    pool = Pool.of(pipeline)
    choice: Choice = choose(
        done.good, clusters.labels, pool.strata, wanted=s.clusters, per_cluster=s.per_cluster, seed=s.seed
    )
    names = named(asking, done, choice)
    chosen = prompts_of(pipeline, pool, done, choice, names)
    became = outcomes(done, clusters.labels, choice)
    sheet = datasheet(pipeline, pool, done, choice, chosen, names, became)
    write_ledger(target / LEDGER, pipeline.ingested[1], pipeline.kept[1], became, OUTCOMES)
    publish(target, chosen, sheet, page_of(sheet, pipeline, done, choice, names))
    if not chosen:
        raise NoData(
            f"no prompt qualifies (score at least {s.thresholds[0]} in a cluster of mean {s.thresholds[1]:g}); "
            f"{target}/datasheet.html shows where they were lost; lower --prompt-score or --cluster-score"
        )
    meter = asking.meter
    return BuildResult(
        target, pipeline.work.folder, len(chosen), s.clusters * s.per_cluster, sheet, meter.calls, meter.spent, meter.unpriced
    )  # fmt: skip


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
    s = settings or BuildSettings()
    if not prompts:
        raise UsageError("no prompts were given")
    target = Path(out)
    folder = Path(work) if work is not None else target.with_name(f"{target.name}.work")
    engine = _engine(s)
    try:
        with opened(folder) as place:
            pipeline = Pipeline(place, [Path(path) for path in prompts], s, engine, progress)
            pipeline.check()
            return forecast_of(Asking(pipeline, None, client_for))
    finally:
        engine.close()
