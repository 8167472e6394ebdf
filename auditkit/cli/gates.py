"""How `auditkit judges check --gates` prints what it found: a table, then every failing gate with its counterexample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from auditkit.attacks.gates import GateResult

__all__ = ["as_document", "print_gates"]

_WIDTH: Final = 80
_LONGEST: Final = 400
_QUOTE: Final = "    | "
_STYLES: Final = {"pass": "green", "fail": "bold red", "not_measured": "dim"}


def as_document(results: Sequence[GateResult]) -> list[dict[str, Any]]:
    """Return the results as JSON holds them, every text whole."""
    from dataclasses import asdict

    return [asdict(result) for result in results]


def _answer(result: GateResult) -> str:
    if result.status == "not_measured":
        return "not measured"
    if result.status == "fail":
        return "FAILS"
    return {
        "proved": f"holds, proved; {result.cases} cases agree" if result.cases else "holds, proved",
        "fuzzed": f"holds in {result.cases} cases",
        "checked": "holds, checked",
    }[result.kind]


def print_gates(results: Sequence[GateResult]) -> None:
    """Print the table, the counterexamples, and why what is not measured is not."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, emoji=False)
    console = console if console.is_terminal else Console(highlight=False, emoji=False, width=_WIDTH)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("gate", no_wrap=True)
    table.add_column("asks", ratio=1)
    table.add_column("answer", no_wrap=True)
    for result in results:
        table.add_row(result.gate, result.title, Text(_answer(result), style=_STYLES[result.status]))
    console.print(table)
    failed = [result for result in results if result.status == "fail"]
    for result in failed:
        _print_failure(result)
    for result in results:
        if result.status == "not_measured":
            _print_wrapped(f"{result.gate} not measured: ", result.statement)
    count = sum(result.status == "pass" for result in results)
    click.echo(f"\n{len(failed)} of 12 gates fail, {count} hold, {12 - count - len(failed)} not measured")


def _print_failure(result: GateResult) -> None:
    _print_wrapped(click.style(f"{result.gate} fails: ", fg="red", bold=True), result.statement)
    example = result.counterexample
    if example is not None:
        for what, text in example.given:
            _print_given(what, text)
        lines = example.excerpt(_WIDTH - len(_QUOTE))
        if lines:
            click.echo("  what the judge is sent there:")
        for line in lines:
            click.echo(f"{_QUOTE}{line}")
        _print_wrapped("  expected: ", example.expected)
        _print_wrapped("  found:    ", example.found)
    _print_wrapped("  mend:     ", result.mend)
    click.echo()


def _print_given(what: str, text: str) -> None:
    """Print a text of the counterexample: on the line if it is one line, else below it, line by line."""
    from auditkit.errors import printable

    lines = [printable(line, _LONGEST) for line in text.split("\n")]
    if len(lines) == 1 and len(what) + len(lines[0]) + 4 <= _WIDTH:
        click.echo(f"  {what}: {lines[0]}")
        return
    click.echo(f"  {what}:")
    for line in lines:
        _print_wrapped(_QUOTE, line, after=_QUOTE)


def _print_wrapped(start: str, text: str, after: str | None = None) -> None:
    import textwrap

    from auditkit.errors import printable

    plain = click.unstyle(start)
    indent = " " * len(plain) if plain.startswith("  ") else "  "
    wrapped = textwrap.fill(
        printable(text, 2 * _LONGEST), _WIDTH, initial_indent=" " * len(plain), subsequent_indent=after or indent,
        break_on_hyphens=False,
    )  # fmt: skip
    click.echo(start + wrapped[len(plain) :])
