"""`auditkit compare`: two submissions or two judges, paired."""

from __future__ import annotations

from pathlib import Path

import click

from auditkit.cli import compare_output, options
from auditkit.cli.output import command_line
from auditkit.cli.progress import showing

__all__ = ["command"]


@click.command("compare", short_help="Compare two submissions or two judges, paired.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--submissions", nargs=2, metavar="A B", help="The two submissions; the baseline may be one of them.")
@click.option("--judges", nargs=2, metavar="A B", help="Two judges of the same games, instead.")
@click.option("--format", "format_", metavar="NAME", help="Read as this format instead of recognising it.")
@options.settings_options()
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Write compare.json and compare.html here."
)
@options.json_option()
@options.quiet_option()
def command(
    paths: tuple[Path, ...],
    submissions: tuple[str, str] | None,
    judges: tuple[str, str] | None,
    format_: str | None,
    calibration: Path | None,
    seed: int,
    replicates: int,
    level: float,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare two submissions or two judges in PATHS, prompt by prompt.

    Of submissions: the difference as judged, under each control, by category, and the prompts on which they differ most.
    Of judges: agreement, and who is right more often where the right answer is known. Every difference is A minus B. A
    recording that holds just two needs no names.

    \b
    Examples:
      auditkit compare results/ --submissions gpt-4 vicuna-7b --out out
      auditkit compare llmbar/ --judges ChatGPT/Vanilla LLaMA2/Vanilla
    """
    from auditkit.compare import compare

    settings = options.settings_of(calibration, seed, replicates, level)
    with showing(quiet) as progress:
        found = compare(
            *paths, submissions=submissions, judges=judges, settings=settings, format=format_,
            command=command_line(), progress=progress,
        )  # fmt: skip
    compare_output.deliver(found, out=out, as_json=as_json)
