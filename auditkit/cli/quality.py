"""`auditkit quality`: how good is a benchmark?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from auditkit.cli import options
from auditkit.cli.files import write_files
from auditkit.cli.output import LONGEST_PATH, command_line, console_for, table_of
from auditkit.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

    from auditkit.quality import BoardQuality, PromptQuality, Quality
    from auditkit.stats.quality import Estimate

__all__ = ["command"]

_LABELS: Final = {
    "agreement_notebook": "agreement, notebook (0..1)",
    "agreement_blog": "agreement, blog (-1..1)",
    "agreement_paper": "agreement, paper (-1..1)",
    "pair_order": "same order, all pairs",
    "spearman": "Spearman's rho",
    "kendall": "Kendall's tau-b",
    "brier": "pair-rank Brier (0.25: chance)",
    "log_loss": "pair-rank log loss, nats",
}
_SHOWN: Final = 3
_PAGE: Final = "quality.html"
_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True, readable=True)


@click.command("quality", short_help="Say how good a benchmark is.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--against", metavar="FILE|BOARD", help="Reference that people trust: a file, or a board among PATHS.")
@click.option("--names", multiple=True, type=_FILE, help="JSON map of model names between boards, either direction.")
@click.option(
    "--confidence", multiple=True, type=click.FloatRange(0.5, 0.999), default=(0.95, 0.8), show_default=True,
    help="Confidence of the models' own intervals; agreement takes the first.",
)  # fmt: skip
@click.option(
    "--bound", type=click.FloatRange(0, 0.5), default=0.02, show_default=True,
    help="Separability that the smallest subset of prompts may lose.",
)  # fmt: skip
@click.option(
    "--price", type=click.FloatRange(0, min_open=True), metavar="DOLLARS", help="Price of one judge call, for cost."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of every random draw.")
@click.option(
    "--replicates", type=click.IntRange(50, 100_000), default=1000, show_default=True,
    help="Bootstrap draws of the models.",
)  # fmt: skip
@click.option(
    "--level", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True,
    help="Level of every figure's interval.",
)  # fmt: skip
@click.option("--format", "format_", metavar="NAME", help="Read PATHS as recordings of this format.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False),
    help="Write quality.json, quality.html and prompts.csv here.",
)  # fmt: skip
@options.json_option()
def command(
    paths: tuple[Path, ...],
    against: str | None,
    names: tuple[Path, ...],
    confidence: tuple[float, ...],
    bound: float,
    price: float | None,
    seed: int,
    replicates: int,
    level: float,
    format_: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Say how good the benchmarks in PATHS are: do they separate models, and in the right order?

    PATHS are boards (every model's score with its bootstrap replicates or interval; a folder of them) or recordings.
    From recordings it also says which prompts earn their keep.

    \b
    Examples:
      auditkit quality boards/ --against chatbot_arena
      auditkit quality results/ --price 0.01 --out out
    """
    from auditkit.quality import quality

    found = quality(
        *paths, against=against, names=names, confidence=confidence, level=level, replicates=replicates, seed=seed,
        bound=bound, dollars_per_call=price, format=format_,
    )  # fmt: skip
    if out is not None:
        _write(found, out)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2, sort_keys=True))
        return
    console = console_for()
    for board in found.boards:
        _board(console, board, found)
    _say(
        console, f"intervals at {found.level:.0%}: {found.replicates} bootstrap draws of the models, seed {found.seed}"
    )
    if out is not None:
        click.echo(f"page: {printable(out / _PAGE, LONGEST_PATH)}")


def _write(found: Quality, out: Path) -> None:
    """Write the files, each whole or not at all."""
    from importlib.metadata import version

    from auditkit.reports.quality_page import prompts_csv, render_quality

    files = {
        "quality.json": json.dumps(found.to_dict(), indent=2, sort_keys=True) + "\n",
        _PAGE: render_quality(found, version=version("judge-auditkit"), command=command_line()),
    }
    if any(board.prompts is not None for board in found.boards):
        files["prompts.csv"] = prompts_csv(found.boards)
    write_files(out, files)


def _board(console: Console, board: BoardQuality, found: Quality) -> None:
    from rich.text import Text

    name = printable(board.name, 60)
    left = f" ({len(board.dropped)} more not used)" if board.dropped else ""
    versus = f" against {printable(found.reference, 60)}" if found.reference else ""
    console.print(Text(f"{name}: {len(board.models)} models{left}{versus}", style="bold"))
    table = table_of(("figure", "left"), ("estimate [interval]", "right"), ("pairs", "right"))
    for key, figure in board.figures.items():
        table.add_row(_label(key, board), _shown(figure), str(figure.pairs))
    if board.gameability is not None:
        g = board.gameability
        for label, value, ci in (("verbose", g.verbose, g.verbose_ci), ("concise", g.concise, g.concise_ci)):
            table.add_row(f"length gameability, {label}, %", f"{value:.1f} [{ci[0]:.1f}, {ci[1]:.1f}]", f"{g.n} models")
    console.print(table)
    if board.calls_per_model is not None:
        money = "" if board.dollars_per_model is None else f", ${board.dollars_per_model:,.2f}"
        _say(console, f"cost of a model: {board.calls_per_model:,.0f} judge calls{money}")
    if board.prompts is not None:
        _prompts(console, board.prompts)
    for note in board.notes:
        _say(console, f"note: {printable(note, 200)}", dim=True)
    console.print()


def _label(key: str, board: BoardQuality) -> str:
    if key.startswith("separability_"):
        return f"separability with confidence {key.removeprefix('separability_')}%"
    if key == "tighter":
        return f"times tighter than {printable(board.tighter_than, 40)}"
    return _LABELS[key]


def _shown(figure: Estimate) -> str:
    if figure.estimate is None:
        return "—"
    if figure.ci is None:
        return f"{figure.estimate:.3f} [—]"
    return f"{figure.estimate:.3f} [{figure.ci[0]:.3f}, {figure.ci[1]:.3f}]"


def _prompts(console: Console, found: PromptQuality) -> None:
    total = len(found.prompts)
    measured = [p for p in found.prompts if p.per_call is not None and not p.silent]
    turned = "" if found.misleading is None else f", {found.misleading} order models the other way"
    _say(console, f"prompts: {found.silent} of {total} separate nobody{turned}")
    ranked = sorted(measured, key=lambda p: -(p.per_call or 0.0))
    for title, some in (("most", ranked[:_SHOWN]), ("least", ranked[-_SHOWN:][::-1])):
        listed = ", ".join(f"{printable(p.prompt_id, 40)} {p.per_call:+.2f}" for p in some)
        if listed:
            _say(console, f"{title} information a judge call: {listed}")
    subset = found.subset
    if subset is None:
        _say(console, f"smallest subset: not measured: {found.reason}")
    elif subset.size is None or subset.kept is None or subset.kept_ci is None or subset.random is None:
        _say(
            console,
            f"smallest subset: none; fewer prompts lose more than {subset.bound:g} of separability {subset.full:.3f}",
        )
    else:
        low, high = subset.kept_ci
        over = f"; the loss exceeds {subset.bound:g} there" if subset.full - subset.kept > subset.bound else ""
        _say(
            console,
            f"smallest subset: {subset.size} of {total} prompts keep separability {subset.kept:.3f} of {subset.full:.3f} "
            f"(change {subset.kept - subset.full:+.3f} [{low:+.3f}, {high:+.3f}] over {subset.splits} splits; as many at "
            f"random: {subset.random:.3f}), on models that did not choose them{over}",
        )  # fmt: skip


def _say(console: Console, text: str, dim: bool = False) -> None:
    from rich.text import Text

    console.print(Text(text, style="dim" if dim else ""))
