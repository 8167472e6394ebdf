"""`auditkit audit`: recorded judgments in, verdicts and a report out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from auditkit.cli import options, output
from auditkit.cli.progress import showing
from auditkit.cli.site_files import write_site

__all__ = ["command"]


@click.command("audit", short_help="Audit recorded judgments.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.reading_options()
@options.settings_options()
@options.policy_option()
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False),
    help="Write report.json and report.html here.  [default: auditkit-report, or nothing with --json]",
)  # fmt: skip
@click.option(
    "--site", type=click.Path(path_type=Path, file_okay=False),
    help="Write a static site here: leaderboard, a page a submission, comparisons, judge, method, CSV, Parquet, JSON.",
)  # fmt: skip
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
    policy: str | None,
    out: Path | None,
    site: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Audit recorded judgments in PATHS: results folders or files.

    Formats are recognised: AlpacaEval 2, Arena-Hard, MT-Bench, WildBench, JudgeBench, LLMBar, plain pairs
    (JSONL, CSV, Parquet) and auditkit's own run folders. No model, key or network is used.

    \b
    Example:
      auditkit audit results/ --calibration df_gamed.csv --out out
      auditkit audit results/ --site out/site
    """
    from auditkit.audit import audit, exit_code

    settings = options.settings_of(calibration, seed, replicates, level)
    files: dict[str, bytes] = {}
    with showing(quiet) as progress:
        given: dict[str, Any] = {
            "format": format_, "settings": settings, "policy": policy, "keep_going": keep_going,
            "command": output.command_line(), "progress": progress,
        }  # fmt: skip
        if site is None:
            report = audit(*paths, **given)
        else:
            from auditkit.site import audit_site

            report, files = audit_site(*paths, **given)
    index = write_site(files, site) if site is not None else None
    output.deliver(report, out=out, as_json=as_json, site=index)
    click.get_current_context().exit(exit_code(report))
