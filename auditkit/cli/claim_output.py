"""What `auditkit claim` takes in and prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from auditkit.cli.output import console_for, table_of
from auditkit.errors import InputError, UsageError, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from auditkit.claims import Board, ClaimReport, ClaimResult, Estimate, Ledger

__all__ = ["deliver", "gather", "read_boards"]

_STYLES: Final = {
    "certified": "green",
    "not_separable": "yellow",
    "vanishes_under": "bold red",
    "contradicted": "bold red",
    "cannot_check": "magenta",
}
_PARTS: Final = {"model": "quality"}


def gather(paths: Sequence[Path], claims: Sequence[str], only: Sequence[str]) -> tuple[Ledger, Sequence[Path]]:
    """Return the ledger that a command line asks for, and the paths of its recordings.

    Raises:
        InputError: The ledger or a claim is not what it should be.
        UsageError: There is no claim, two have one id, or `only` names one that is not there.
    """
    from auditkit.claims import Ledger, parse_claim, read_ledger

    has_ledger = bool(paths) and paths[0].suffix == ".toml"
    ledger = read_ledger(paths[0]) if has_ledger else Ledger(())
    results = paths[1:] if has_ledger else paths
    if only:
        known = {claim.id: claim for claim in ledger.claims}
        for name in only:
            if name not in known:
                raise UsageError(
                    f"the ledger has no claim {printable(name)!r}; there are: {', '.join(known) or 'none'}"
                )
        ledger = replace(ledger, claims=tuple(known[name] for name in dict.fromkeys(only)))
    given = tuple(parse_claim(text, number) for number, text in enumerate(claims, start=1))
    ledger = replace(ledger, claims=ledger.claims + given)
    if not ledger.claims:
        raise UsageError(
            "no claim given: name a ledger (LEDGER.toml) or use --claim 'wording=… candidate=… baseline=…'"
        )
    ids = [claim.id for claim in ledger.claims]
    if twice := next((name for name in ids if ids.count(name) > 1), None):
        raise InputError(f"two claims have the id {twice!r}", mend="give the claim another id=…")
    return ledger, results


def read_boards(paths: Sequence[Path]) -> tuple[Board, ...]:
    """Return the boards in these files."""
    from auditkit.claims import read_board

    return tuple(board for path in paths for board in read_board(path))


def deliver(report: ClaimReport, *, as_json: bool) -> None:
    """Print the report: JSON alone with `as_json`, tables otherwise."""
    if as_json:
        from auditkit.reports.report import plain

        click.echo(json.dumps(plain(report, "report"), indent=2, allow_nan=False))
        return
    console = console_for()
    if len(report.results) > 1:
        _overview(console, report)
    for result in report.results:
        if len(report.results) == 1 or result.evidence == "per_instance":
            _detail(console, result)
    if len(report.results) > 1:
        counts = {v: sum(r.verdict == v for r in report.results) for v in _STYLES}
        console.print(", ".join(f"{n} {v.replace('_', ' ')}" for v, n in counts.items() if n))


def _overview(console: Console, report: ClaimReport) -> None:
    from rich.text import Text

    table = table_of(("claim", "left"), ("verdict", "word"), ("why", "left"))
    for result in report.results:
        why = Text(result.sentence)
        if result.flags:
            why.append(f" ({', '.join(result.flags).replace('_', ' ')})", style="dim")
        table.add_row(Text(printable(result.claim.id, 24)), _verdict(result), why)
    console.print(table)


def _verdict(result: ClaimResult, *, whole: bool = False) -> Text:
    from rich.text import Text

    words = result.verdict.replace("_", " ")
    if whole and result.control:
        words += f" {result.control.replace('_', ' ')}"
    return Text(words, style=_STYLES[result.verdict])


def _detail(console: Console, result: ClaimResult) -> None:
    from rich.text import Text

    claim = result.claim
    head = Text(f"{printable(claim.id, 60)}: ").append_text(_verdict(result, whole=True))
    console.print(head)
    console.print(Text(result.sentence))
    if claim.source:
        console.print(Text(f"claimed in: {printable(claim.source, 200)}", style="dim"))
    if claim.note:
        console.print(Text(f"note: {printable(claim.note, 300)}", style="dim"))
    if result.estimates:
        table = table_of(
            ("control", "left"), (f"{'score' if claim.of_score else 'gain'} [{result.level_used:.1%}]", "right"),
            ("taken away", "right"), ("n", "right"), ("overlap", "right"),
        )  # fmt: skip
        for estimate in result.estimates:
            table.add_row(*_cells(estimate, signed=not claim.of_score))
        console.print(table)
    for part in result.decomposition:
        name = _PARTS.get(part.part, part.part)
        ends = f" [{part.ci[0]:+.2f}, {part.ci[1]:+.2f}]" if part.ci is not None else ""
        value = "not measured" if part.points is None else f"{part.points:+.2f}{ends} points"
        console.print(Text(f"  {name}: {value}" + (f" ({part.note})" if part.note else "")))
    if result.threshold is not None:
        best = f", best of {result.best_of}" if result.best_of > 1 else ""
        console.print(
            Text(
                f"smallest gain told from 0: {result.threshold:.2f}{best}; found with 80% power: {result.detectable:.2f}"
            )
        )
    for check in result.checks:
        mark = "!" if check.status == "flag" else "✓"
        console.print(Text(f"{mark} {check.name.replace('_', ' ')}: {check.text}"))


def _cells(estimate: Estimate, *, signed: bool) -> tuple[str, str, str, str, str]:
    form = "+.2f" if signed else ".2f"
    if estimate.estimate is None:
        value = "—"
    elif estimate.ci is None:
        value = format(estimate.estimate, form)
    else:
        value = f"{estimate.estimate:{form}} [{estimate.ci[0]:{form}}, {estimate.ci[1]:{form}}]"
    drop = estimate.drop_ci
    return (
        estimate.control.replace("_", " "),
        value,
        "" if drop is None else f"[{drop[0]:+.2f}, {drop[1]:+.2f}]",
        str(estimate.n) if estimate.n else "",
        "" if estimate.overlap is None else f"{estimate.overlap:.0%}",
    )
