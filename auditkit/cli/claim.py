"""`auditkit claim`: audit claimed scores and gains."""

from __future__ import annotations

from pathlib import Path

import click

from auditkit.cli import claim_output, options
from auditkit.cli.progress import showing

__all__ = ["command"]

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True, readable=True)


@click.command("claim", short_help="Audit claimed scores and gains.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[LEDGER.toml] [RESULTS]...")
@click.option(
    "--claim", "claims", multiple=True, metavar="'KEY=VALUE …'", help="A claim, instead of or besides a ledger's."
)
@click.option(
    "--board", "boards", multiple=True, type=_FILE, metavar="CSV", help="Public rows: model, score, lo, hi or se."
)
@click.option("--only", multiple=True, metavar="ID", help="Audit only the ledger's claim of this id.")
@click.option("--format", "format_", metavar="NAME", help="Read RESULTS as this format instead of recognising it.")
@options.settings_options()
@options.json_option()
@options.quiet_option()
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    claims: tuple[str, ...],
    boards: tuple[Path, ...],
    only: tuple[str, ...],
    format_: str | None,
    calibration: Path | None,
    seed: int,
    replicates: int,
    level: float,
    as_json: bool,
    quiet: bool,
) -> None:
    """Audit claimed scores and gains against judgments, public rows and arithmetic.

    A first path that ends in .toml is a ledger of claims; the others are recorded results. A claim has the fields
    wording (exact, up_to, beats, comparable), benchmark, metric, candidate, baseline, value, gain, baseline_value,
    k, margin, runs, components.

    \b
    Examples:
      auditkit claim claims.toml results/
      auditkit claim results/ --claim 'wording=beats candidate=A baseline=B'

    \b
    Exit codes: 0 every claim certified · 1 a claim does not hold
                2 bad input or usage · 3 the rest cannot be checked
    """
    from auditkit.claim import claim

    ledger, results = claim_output.gather(paths, claims, only)
    rows = claim_output.read_boards(boards)
    settings = options.settings_of(calibration, seed, replicates, level)
    with showing(quiet) as progress:
        report = claim(ledger, *results, boards=rows, settings=settings, format=format_, progress=progress)
    claim_output.deliver(report, as_json=as_json)
    ctx.exit(report.exit_code)
