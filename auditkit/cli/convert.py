"""`auditkit convert`: from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditkit.cli.output import LONGEST_PATH
from auditkit.errors import printable

if TYPE_CHECKING:
    from auditkit.records import Battles

__all__ = ["command"]


@click.command("convert", short_help="Move a recording to another format.")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--to", metavar="NAME", help="Format to write.  [default: pairs for a file, run_folder for a folder]")
@click.option("--format", "format_", metavar="NAME", help="Read SOURCE as this format instead of recognising it.")
def command(source: Path, target: Path, to: str | None, format_: str | None) -> None:
    """Read SOURCE in any format and write TARGET in another.

    \b
    Examples:
      auditkit convert results/ pairs.parquet
      auditkit convert results/ run/ --to run_folder
    """
    from auditkit.formats import convert

    to = to or ("pairs" if target.suffix.lower() in {".jsonl", ".csv", ".parquet"} else "run_folder")
    battles = convert(source, target, to=to, format=format_)
    place = printable(target, LONGEST_PATH)
    click.echo(f"games: {len(battles.games)}, models: {len(battles.models)}; written to {place} as {to}", err=True)
    if to == "pairs" and target.suffix.lower() == ".csv":
        _warn(battles)


def _warn(battles: Battles) -> None:
    """Say how many cells a spreadsheet would run: they stay as they are, so that the file reads back the same."""
    from auditkit.reports.cells import is_formula

    tables = ((battles.games, ("prompt_id", "model", "opponent", "judge", "label")), (battles.answers, ("text",)), (battles.prompts, ("text", "category", "cluster")))  # fmt: skip
    count = sum(int(table[name].map(is_formula).sum()) for table, names in tables for name in names)
    if count:
        click.echo(
            f"note: {count} texts begin like a formula and are kept as they are: do not open the file in a spreadsheet",
            err=True,
        )
