"""How a run shows itself: a live line on a terminal, a plain line now and then elsewhere, its end, its forecast."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from auditkit.errors import AuditkitError, printable

if TYPE_CHECKING:
    from auditkit.judging.events import Snapshot
    from auditkit.judging.forecast import Forecast, Line
    from auditkit.run import RunResult

__all__ = ["following", "resumable", "show_forecast", "show_result", "why_incomplete"]

_EVERY: Final = 10.0
"""Seconds between two plain lines."""
_NAMES: Final = {
    "answers": "answers",
    "games": "judging",
    "attacks": "attacks",
    "annotations": "annotate",
    "topics": "topics",
    "evolved prompts": "evolve",
}


@contextmanager
def resumable(command: str) -> Iterator[None]:
    """Say how work goes on whose calls failed, whose budget is spent, or that somebody interrupted."""
    try:
        yield
    except AuditkitError as error:
        if error.exit_code == AuditkitError.exit_code:
            raise AuditkitError(f"{error}; what was paid for is stored; to go on: {command}") from error
        raise


@contextmanager
def following(quiet: bool) -> Iterator[Callable[[Snapshot], None]]:
    """Yield a listener that shows how far a run is, on standard error."""
    if quiet:
        yield lambda snapshot: None
    elif sys.stderr.isatty():
        with _live() as listener:
            yield listener
    else:
        yield _Lines()


def _left(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _money(dollars: float, unpriced: int) -> str:
    shown = f"${dollars:.2f}" if dollars >= 0.995 or dollars == 0 else f"${dollars:.4f}"
    return f"{shown} + {unpriced} calls of unknown price" if unpriced else shown


def _facts(snapshot: Snapshot) -> str:
    parts = [f"{snapshot.rate:.1f}/s", f"left {_left(snapshot.left)}", _money(snapshot.spent, snapshot.unpriced)]
    if snapshot.unparsed:
        parts.append(f"{snapshot.unparsed} without a verdict")
    if snapshot.failed:
        parts.append(f"{snapshot.failed} failed ({printable(snapshot.note, 80)})")
    if snapshot.wait:
        parts.append(f"waits {_left(snapshot.wait)}, as the provider asks")
    return ", ".join(parts)


class _Lines:
    """A line at the start and the end of a stage, and every few seconds between."""

    def __init__(self) -> None:
        self._stage = ""
        self._next = 0.0
        self._waits = False

    def __call__(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        news = snapshot.wait > 0 and not self._waits
        self._waits = snapshot.wait > 0
        if snapshot.stage == self._stage and now < self._next and snapshot.done < snapshot.total and not news:
            return
        if snapshot.stage == self._stage and snapshot.done == snapshot.total and self._next == float("inf"):
            return
        self._stage = snapshot.stage
        self._next = float("inf") if snapshot.done == snapshot.total else now + _EVERY
        what = f"auditkit: {_NAMES[snapshot.stage]} {snapshot.done}/{snapshot.total}"
        click.echo(f"{what}, {_facts(snapshot)}" if snapshot.calls or snapshot.wait else what, err=True)


@contextmanager
def _live() -> Iterator[Callable[[Snapshot], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
    from rich.text import Text

    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bars:
        tasks: dict[str, TaskID] = {}

        def listener(snapshot: Snapshot) -> None:
            name = _NAMES[snapshot.stage]
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=snapshot.total, facts="")
            bars.update(
                tasks[name], completed=snapshot.done, total=snapshot.total, facts=Text(_facts(snapshot)).plain
            )  # fmt: skip

        yield listener


def show_result(result: RunResult, *, as_json: bool, quiet: bool) -> None:
    """Print what a run came to: JSON on standard output, or a few lines on standard error."""
    if as_json:
        body = {**asdict(result), "folder": str(result.folder), "complete": result.complete}
        click.echo(json.dumps(body, indent=2, sort_keys=True))
    if quiet or as_json:
        return
    click.echo(
        f"auditkit: {result.done} of {result.games} games are in {printable(result.folder)}; "
        f"{result.calls} calls, {_money(result.dollars, result.unpriced)}",
        err=True,
    )
    if result.unparsed:
        click.echo(f"auditkit: {result.unparsed} games without a readable verdict: they count as missing", err=True)
    if result.rejected:
        click.echo(
            f"auditkit: {result.rejected} requests that the provider refuses for good: their games count as missing",
            err=True,
        )
    if result.complete:
        click.echo(f"auditkit: next: auditkit audit {shlex.quote(printable(result.folder))}", err=True)


def why_incomplete(result: RunResult, command: str) -> str:
    """Say in one line why a run did not end, and how it goes on."""
    refused = f"the provider refuses all {result.rejected} requests ({result.problem})"
    why = result.stopped or (f"{result.failed} calls failed ({result.problem})" if result.failed else refused)
    return f"{why}; {result.done} of {result.games} games are stored; to go on: {command}"


def show_forecast(forecast: Forecast, *, as_json: bool) -> None:
    """Print what a run would cost, on standard output."""
    if as_json:
        body = {
            "calls": forecast.calls, "dollars": forecast.dollars, "unpriced": forecast.unpriced,
            "prices": forecast.prices, "estimated_tokens": forecast.estimated,
            "lines": [asdict(line) for line in forecast.lines],
        }  # fmt: skip
        click.echo(json.dumps(body, indent=2, sort_keys=True))
        return
    for line in forecast.lines:
        click.echo(_forecast_line(line))
    unknown = f", and what {', '.join(printable(m, 60) for m in forecast.unpriced)} costs, which is not known"
    click.echo(
        f"in all: {forecast.calls} calls, at most ${forecast.dollars:.2f}"
        f"{unknown if forecast.unpriced else ''} (prices: {forecast.prices})"
    )
    if forecast.estimated:
        click.echo("tokens are estimated: no vocabulary to count with is installed")


def _forecast_line(line: Line) -> str:
    most = "at most" if line.limited else "about (replies have no limit)"
    price = "price not known" if line.dollars is None else f"${line.dollars:.2f}"
    return (
        f"{printable(line.what, 60)} ({printable(line.model, 60)}): {line.calls} calls, {line.stored} stored or "
        f"decided, {line.tokens_in} tokens in, {most} {line.tokens_out} tokens out, {price}"
    )
