"""`auditkit link`: scores on one version of a benchmark on the scale of an earlier one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditkit.cli import options
from auditkit.cli.output import console_for, table_of
from auditkit.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

    from auditkit.linking import VersionLink

__all__ = ["command"]


@click.command("link", short_help="Put scores on an earlier version's scale.")
@click.argument("later", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--to", "earlier", required=True, type=click.Path(path_type=Path), help="Judgments on the earlier version."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of every random draw.")
@click.option(
    "--replicates", type=click.IntRange(50, 100_000), default=1000, show_default=True,
    help="Bootstrap draws of the prompts.",
)  # fmt: skip
@click.option(
    "--level", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True, help="Level of the intervals."
)
@click.option("--format", "format_", metavar="NAME", help="Read the recordings as this format.")
@options.json_option()
def command(
    later: tuple[Path, ...],
    earlier: Path,
    seed: int,
    replicates: int,
    level: float,
    format_: str | None,
    as_json: bool,
) -> None:
    """Put the scores of LATER, judgments on one version of a benchmark, on the scale of an earlier version.

    Models that were judged on both versions link them; where there are fewer than three, the prompts that are in both do
    (the anchors of `auditkit build --since`). Anchors whose outcome moved more than the rest are named: they may have
    leaked.

    \b
    Example:
      auditkit link runs/version-2 --to runs/version-1
    """
    from auditkit.linking import linked_versions

    found = linked_versions(
        list(later), earlier, level=level, replicates=replicates, seed=seed, format=format_
    )  # fmt: skip
    if as_json:
        body = {"schema": "auditkit.link/1", **asdict(found)}
        click.echo(json.dumps(body, indent=2, sort_keys=True, allow_nan=False))
        return
    _show(console_for(), found)


def _show(console: Console, link: VersionLink) -> None:
    from rich.text import Text

    unit = "points" if link.unit == "percent" else "rating points"
    title = f"{printable(link.later, 60)} on the scale of {printable(link.earlier, 60)}, the earlier version"
    console.print(Text(title, style="bold"))
    table = table_of(
        ("model", "left"), ("score", "right"), ("on the earlier scale", "right"), ("scored there", "right")
    )
    for one in link.models:
        low, high = one.linked_ci
        there = "—" if one.earlier is None else f"{one.earlier:.1f}"
        table.add_row(printable(one.model, 40), f"{one.score:.1f}", f"{one.linked:.1f} [{low:.1f}, {high:.1f}]", there)
    console.print(table)
    low, high = link.shift_ci
    how = f"{link.shared} models judged on both" if link.route == "models" else f"{link.anchors} anchors"
    apart = f"{abs(link.shift):.1f} {unit} {'harder' if link.shift > 0 else 'easier'}"
    _say(
        console,
        f"the later version is {apart if round(link.shift, 1) else 'as hard'}: shift "
        f"{link.shift:+.1f} [{low:+.1f}, {high:+.1f}], by {how}",
    )
    _say(console, f"prompts: {link.earlier_prompts} and {link.later_prompts}, {link.anchors} of them in both")
    if link.method == "mean_sigma":
        low, high = link.slope_ci
        _say(console, f"slope of the line: {link.slope:.2f} [{low:.2f}, {high:.2f}]")
    own = [one.own for one in link.models if one.own > 0.0]
    if own:
        least, most = f"{min(own):.0%}", f"{max(own):.0%}"
        _say(
            console,
            "models judged on the later version alone are moved from the line by "
            f"{least if least == most else f'{least} to {most}'} of the way to their own outcomes on the anchors",
        )
    if link.misfit is not None:
        _say(console, f"models judged on both are off the line by {link.misfit:.1f} {unit} (root mean square)")
    if link.moved is None:
        _say(console, f"anchors that moved: not measured: {printable(link.drift_reason, 200)}")
    elif not link.moved:
        _say(console, "anchors that moved more than the rest: none")
    for moved in link.moved or ():
        what = "as a leaked prompt does" if moved.moved > 0 else "against the rest"
        _say(
            console,
            f"anchor {printable(moved.prompt_id, 40)} moved by {moved.moved:+.1f} {unit}, {what} (p = {moved.p:.2g})",
        )
    if link.without is not None and link.without_ci is not None:
        low, high = link.without_ci
        _say(console, f"without them the shift is {link.without:+.1f} [{low:+.1f}, {high:+.1f}]")
    for note in link.notes:
        _say(console, f"note: {printable(note, 200)}", dim=True)
    _say(console, f"intervals at {link.level:.0%}: {link.replicates} bootstrap draws of the prompts, seed {link.seed}")


def _say(console: Console, text: str, dim: bool = False) -> None:
    from rich.text import Text

    console.print(Text(text, style="dim" if dim else ""))
