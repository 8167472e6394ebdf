"""`auditkit run`: answers and verdicts made as a spec says, into a run folder."""

from __future__ import annotations

from pathlib import Path

import click

from auditkit.cli import options, output
from auditkit.errors import AuditkitError

__all__ = ["command"]


@click.command("run", short_help="Generate answers and judge them.")
@click.argument("spec", type=click.Path(path_type=Path, dir_okay=False, exists=True, readable=True))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="The run folder.  [default: runs/ and SPEC's name]"
)
@click.option(
    "--store", metavar="URL", help="Store: a path, or postgresql://…  [default: store.sqlite in the run folder]"
)
@click.option("--max-cost", type=click.FloatRange(0), metavar="USD", help="Stop before this start spends more.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked and what it would cost; ask nobody.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N prompts.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this model or category; may be given again.")
@click.option("--repeats", type=click.IntRange(1), metavar="K", help="Play each game K times: the judge's own noise.")
@click.option("--concurrency", type=click.IntRange(1), metavar="N", help="Most calls at once, for each provider.")
@click.option("--seed", type=click.IntRange(0), help="Seed of every random draw.")
@click.option("--audit", "then_audit", is_flag=True, help="Audit the run at once; the report goes into the run folder.")
@options.json_option()
@options.quiet_option()
def command(
    spec: Path,
    out: Path | None,
    store: str | None,
    max_cost: float | None,
    dry_run: bool,
    limit: int | None,
    only: tuple[str, ...],
    repeats: int | None,
    concurrency: int | None,
    seed: int | None,
    then_audit: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Generate answers and judge them as SPEC (audit.toml) says; go on where an earlier start stopped.

    Everything that is paid for is stored before it counts: the same command, made again, pays for nothing twice.
    Each setting may also come from the environment, as AUDITKIT_MAX_COST and so on; keys come only from there.

    \b
    Example:
      auditkit run audit.toml --dry-run
    """
    from auditkit.cli import running
    from auditkit.run import dry_run as forecast
    from auditkit.run import run

    flags = {"store": store, "max_cost": max_cost, "repeats": repeats, "concurrency": concurrency, "seed": seed}
    if dry_run:
        running.show_forecast(forecast(spec, out=out, flags=flags, limit=limit, only=only), as_json=as_json)
        return
    with running.following(quiet) as listener:
        result = run(spec, out=out, flags=flags, limit=limit, only=only, listener=listener)
    running.show_result(result, as_json=as_json and not then_audit, quiet=quiet)
    if not result.complete:
        raise AuditkitError(running.why_incomplete(result, output.command_line()))
    if then_audit:
        _audit(result.folder, as_json=as_json, quiet=quiet)


def _audit(folder: Path, *, as_json: bool, quiet: bool) -> None:
    from auditkit.audit import audit, exit_code
    from auditkit.cli.progress import showing

    with showing(quiet) as progress:
        report = audit(folder, command=output.command_line(), progress=progress)
    output.deliver(report, out=folder, as_json=as_json)
    click.get_current_context().exit(exit_code(report))
