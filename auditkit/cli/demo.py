"""`auditkit demo`: a small benchmark run live in this process, or a recorded copy of it, and its audit."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from auditkit.cli import options, output
from auditkit.cli.progress import showing

__all__ = ["command"]


@click.command("demo", short_help="Run and audit a small benchmark here.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("auditkit-report"), show_default=True,
    help="Write report.json, report.html and, where it runs live, the run folder here.",
)  # fmt: skip
@click.option("--recorded", "source", flag_value="recorded", help="Audit the recorded copy of such a run.")
@click.option(
    "--simulated", "source", flag_value="simulated", help="Audit a larger recording whose judge is simulated."
)
@options.json_option()
@options.quiet_option()
def command(out: Path, source: Literal["recorded", "simulated"] | None, as_json: bool, quiet: bool) -> None:
    """Have a very small model answer and judge a small benchmark, here and now, and audit it.

    The model runs inside this process and takes about two minutes on 2 cores. Where the extra 'local' is not
    installed, a recorded copy of such a run is audited instead.

    \b
    Example:
      auditkit demo --out out
      auditkit demo --recorded
    """
    from auditkit import demo
    from auditkit.audit import audit

    missing = "" if source else demo.missing()
    if source == "simulated":
        folder = demo.recorded()
    elif source == "recorded" or missing:
        folder = demo.recorded_live()
        if missing and not quiet:
            click.echo(f"auditkit: {missing}: auditing the recorded copy of a live run", err=True)
    else:
        folder = _live(out, quiet)
    with showing(quiet) as progress:
        report = audit(folder, command=output.command_line(), progress=progress)
    output.deliver(report, out=out, as_json=as_json)


def _live(out: Path, quiet: bool) -> Path:
    """Run the benchmark and the pairs with a known answer, and return the run folder that holds both."""
    from auditkit import demo

    if not quiet:
        click.echo("auditkit: pairs with a known answer, to see what the judge is worth", err=True)
    known = _run(demo.known_pairs(), out / "known-pairs", quiet)
    if not quiet:
        click.echo("auditkit: the benchmark: the model answers, then judges the answers in both orders", err=True)
    folder = _run(demo.benchmark(), out / "run", quiet)
    demo.attach(known, folder)
    return folder


def _run(spec: Path, folder: Path, quiet: bool) -> Path:
    from auditkit.cli import running
    from auditkit.errors import AuditkitError
    from auditkit.run import run

    with running.following(quiet) as listener:
        result = run(spec, out=folder, listener=listener)
    if not result.complete:
        raise AuditkitError(running.why_incomplete(result, output.command_line()))
    return result.folder
