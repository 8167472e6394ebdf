"""`auditkit convert`: from one format to another."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("convert")
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
    click.echo(f"games: {len(battles.games)}, models: {len(battles.models)}; written to {target} as {to}", err=True)
