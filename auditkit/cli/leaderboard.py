"""`auditkit leaderboard`: raw and controlled ranks side by side."""

from __future__ import annotations

from pathlib import Path

import click

from auditkit.cli import options, output
from auditkit.cli.progress import showing

__all__ = ["command"]


@click.command("leaderboard", short_help="Rank submissions, raw and controlled.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.reading_options()
@options.settings_options()
@click.option("--by", default="raw", show_default=True, metavar="CONTROL", help="Rank by this control's score.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV on standard output and nothing else there.")
@options.json_option()
@options.quiet_option()
def command(
    paths: tuple[Path, ...],
    format_: str | None,
    keep_going: bool,
    calibration: Path | None,
    seed: int,
    replicates: int,
    level: float,
    by: str,
    as_csv: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Rank the submissions in PATHS (results, or one report.json of an earlier audit).

    \b
    Example:
      auditkit leaderboard results/ --by length_controlled --csv
    """
    from auditkit.audit import audit

    report = output.stored_report(paths)
    if report is None:
        settings = options.settings_of(calibration, seed, replicates, level)
        with showing(quiet) as progress:
            report = audit(*paths, format=format_, settings=settings, keep_going=keep_going, progress=progress)
    output.leaderboard(report, by=by, as_csv=as_csv, as_json=as_json)
