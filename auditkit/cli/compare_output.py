"""What `auditkit compare` prints and writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from auditkit.cli.files import write_files
from auditkit.cli.output import LONGEST_PATH, console_for, table_of
from auditkit.errors import printable

if TYPE_CHECKING:
    from auditkit.reports.comparison import Comparison, Difference

__all__ = ["deliver"]

_STYLES: Final = {"a": "green", "b": "green", "not_separable": "yellow", "vanishes": "bold red", "gated": "bold red"}
_HEADS: Final = {"category": "category", "language": "language", "model": "submission", "attack": "attack"}


def deliver(found: Comparison, *, out: Path | None, as_json: bool) -> None:
    """Write compare.json and compare.html into `out`, and print: JSON alone with `as_json`, tables otherwise.

    Raises:
        InputError: The folder cannot be made or written to.
    """
    from auditkit.reports.compare_page import render_comparison
    from auditkit.reports.comparison import comparison_to_json

    page = None
    if out is not None:
        page = out / "compare.html"
        write_files(out, {"compare.json": comparison_to_json(found), page.name: render_comparison(found)})
    if as_json:
        click.echo(comparison_to_json(found), nl=False)
        return
    _print(found)
    if page is not None:
        click.echo(f"comparison: {printable(page, LONGEST_PATH)}")


def _print(found: Comparison) -> None:
    from rich.text import Text

    from auditkit.reports.compare_page import OUTCOMES

    console = console_for()
    console.print(Text(OUTCOMES[found.outcome][1].word, style=_STYLES[found.outcome]))
    console.print(Text(found.sentence))
    console.print(Text(f"A: {printable(found.a, 60)}"))
    console.print(Text(f"B: {printable(found.b, 60)}"))
    better = "right more often" if found.subject == "judges" and found.headline.estimate is not None else "better"
    counts = found.counts
    kept = f"{found.n} shared prompts: A {better} on {counts.a}, equal on {counts.tied}, B {better} on {counts.b}"
    console.print(Text(kept))
    _table(found, "measure" if found.subject == "judges" else "control", found.rows)
    for kind, head in _HEADS.items():
        rows = found.attacks if kind == "attack" else [r for r in found.slices if r.kind == kind]
        if rows:
            _table(found, head, rows)
    tested = " p-values: two-sided, corrected by Holm over the rows of a table." if any(
        r.adjusted_p is not None for r in (*found.rows, *found.slices, *found.attacks)
    ) else ""  # fmt: skip
    console.print(Text(f"A minus B in points; intervals at {found.level:.0%}, by prompt.{tested}", style="dim"))


def _table(found: Comparison, head: str, rows: Sequence[Difference]) -> None:
    from rich.text import Text

    from auditkit.reports.compare_page import label_of

    tested = any(r.adjusted_p is not None for r in rows)
    columns = [
        (head, "left"),
        ("A − B [interval]", "right"),
        ("n", "right"),
        *([("p, corrected", "right")] if tested else []),
    ]
    table = table_of(*columns)
    for row in rows:
        digits = 2 if found.unit == "rating" or row.name == "kappa" else 1
        sign = "" if row.name in ("agreement", "kappa") else "+"
        beyond = row.note.startswith("EXTRAPOLATION")
        if row.estimate is None:
            value = "undefined" if beyond else "not measured"
        else:
            value = f"{row.estimate:{sign}.{digits}f}"
            value += "" if row.ci is None else f" [{row.ci[0]:{sign}.{digits}f}, {row.ci[1]:{sign}.{digits}f}]"
        p = "" if row.adjusted_p is None else "<0.001" if row.adjusted_p < 0.001 else f"{row.adjusted_p:.3f}"
        label = label_of(row) + (" (extrapolation)" if beyond else "")
        table.add_row(Text(label), value, str(row.n) if row.n else "", *([p] if tested else []))
    console_for().print(table)
