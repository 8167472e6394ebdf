"""What commands print and write: tables for a terminal, JSON, the report's two files."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from auditkit.cli.files import write_files
from auditkit.errors import UsageError, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from auditkit.registry import Plugin
    from auditkit.reports.report import Report, SubmissionReport

__all__ = [
    "LONGEST_PATH",
    "MARKS",
    "STYLES",
    "command_line",
    "console_for",
    "deliver",
    "leaderboard",
    "plugin_table",
    "say",
    "stored_report",
    "table_of",
    "toml_text",
    "write_report",
]

_DEFAULT_OUT: Final = Path("auditkit-report")
STYLES: Final = {"certified": "green", "conditional": "yellow", "rejected": "bold red", "not_certifiable": "magenta"}
MARKS: Final = {"fail": "✗", "warn": "!", "not_measured": "·", "pass": "✓"}
#: Characters of a name that a table may hold; a narrower column cuts it again.
_LONGEST: Final = 60
#: Characters of a path that a line may hold: whole, so that it can be opened.
LONGEST_PATH: Final = 4096


def command_line() -> str:
    """Return the command line that is running, as it can be typed again."""
    return shlex.join(["auditkit", *sys.argv[1:]])


def deliver(report: Report, *, out: Path | None, as_json: bool, site: Path | None = None) -> None:
    """Write the report's files and print it: JSON alone with `as_json`, tables otherwise. `site`: the site's first page."""
    from auditkit.reports.report import to_json

    if out is None and not as_json and site is None:
        out = _DEFAULT_OUT
    pages = write_report(report, out) if out is not None else None
    if as_json:
        click.echo(to_json(report), nl=False)
        return
    _print_report(report)
    if pages is not None:
        click.echo(f"report: {printable(pages[1], LONGEST_PATH)}")
    if site is not None:
        click.echo(f"site: {printable(site, LONGEST_PATH)}")


def write_report(report: Report, out: Path) -> tuple[Path, Path]:
    """Write report.json and report.html into `out`, each whole or not at all.

    Raises:
        InputError: The folder cannot be made or written to.
    """
    from auditkit.reports import render, to_json

    write_files(out, {"report.json": to_json(report), "report.html": render(report)})
    return out / "report.json", out / "report.html"


def stored_report(paths: Sequence[Path]) -> Report | None:
    """Return the report in `paths` if that is what they name (a report.json, or a folder that was --out), else None."""
    from auditkit.reports.report import from_json

    if len(paths) != 1:
        return None
    path = paths[0]
    if path.is_dir() and (path / "report.json").is_file() and not (path / "run.toml").exists():
        path = path / "report.json"
    if path.name != "report.json" or not path.is_file():
        return None
    return from_json(path.read_bytes(), path=path)


def toml_text(text: str) -> str:
    """Return a TOML document of somebody else for a terminal: what cannot be printed as TOML's escape for it."""
    kept = "\n\t"
    return "".join(c if c.isprintable() or c in kept else f"\\U{ord(c):08x}" for c in text)


def console_for() -> Console:
    from rich.console import Console

    console = Console(highlight=False, emoji=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, emoji=False, markup=False, width=80)


def say(console: Console, text: str) -> None:
    """Print a line of prose; what does not fit goes on under its own beginning."""
    from rich.padding import Padding
    from rich.text import Text

    body = text.lstrip()
    console.print(Padding(Text(body), (0, 0, 0, len(text) - len(body))))


def table_of(*columns: tuple[str, str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header, kind in columns:  # what must not break keeps its width; names are cut first, then text is folded
        table.add_column(
            header,
            justify="right" if kind == "right" else "left",
            no_wrap=kind in {"right", "word"},
            overflow="ellipsis" if kind == "name" else "fold",
        )
    return table


def _interval(estimate: float | None, ci: tuple[float, float] | None) -> str:
    if estimate is None:
        return "—"
    return f"{estimate:.1f}" if ci is None else f"{estimate:.1f} [{ci[0]:.1f}, {ci[1]:.1f}]"


def _margin(estimate: float | None, ci: tuple[float, float] | None) -> str:
    """Return estimate and half-width: for tables with two scores a row; the report holds both ends."""
    if estimate is None:
        return "—"
    return f"{estimate:.1f}" if ci is None else f"{estimate:.1f} ±{(ci[1] - ci[0]) / 2:.1f}"


def _print_report(report: Report) -> None:
    from rich.text import Text

    from auditkit.cli.attack_output import print_suite

    console = console_for()
    b = report.benchmark
    console.print(
        Text(
            f"{printable(b.name, 60)} {printable(b.version, 40)}: {b.prompts} prompts, judge {printable(report.judge.name, 60)}"
        )
    )
    if b.simulated:
        console.print(Text("SIMULATED judge: these numbers show the tool, not any real model", style="bold yellow"))
    if b.subject == "judge":
        _print_judge(console, report)
    elif len(report.submissions) == 1:
        _print_submission(console, report.submissions[0])
    else:
        _print_submissions(console, report)
    if b.subject == "submissions":
        _print_worth(console, report)
        print_suite(console, report)
    for note in report.notes[:8]:
        about = f"{printable(note.model, 60)}: " if note.model else ""
        count = f" ({note.count})" if note.count > 1 else ""
        console.print(Text(f"note: {about}{printable(note.text, 200)}{count}", style="dim"))
    if len(report.notes) > 8:
        console.print(Text(f"and {len(report.notes) - 8} more notes, all in the report", style="dim"))


def _print_judge(console: Console, report: Report) -> None:
    from rich.text import Text

    from auditkit.reports.wording import control_label

    table = table_of(("judge", "name"), ("measure", "left"), ("percent [interval]", "right"), ("n", "right"))
    for score in report.judge.scores:
        table.add_row(
            Text(printable(score.model, _LONGEST)), control_label(score.control),
            _interval(score.estimate, score.ci), str(score.n),
        )  # fmt: skip
    console.print(table)
    for name, p in sorted(report.judge.position.items()):
        if p.consistency is not None and p.first_preference is not None:
            text = f"{printable(name, 40)}: same verdict in both orders {p.consistency:.1%}, first answer preferred {p.first_preference:.1%}"
            console.print(Text(text))


def _print_worth(console: Console, report: Report) -> None:
    """Print what each judge is worth by the pairs with a known answer that the recording brings along."""
    from rich.text import Text

    from auditkit.reports.wording import judge_sentence

    accuracy = {s.model: s for s in report.judge.scores if s.control == "judge_accuracy"}
    for name in sorted(accuracy.keys() | report.judge.position.keys()):
        text = judge_sentence(accuracy.get(name), report.judge.position.get(name))
        console.print(Text(f"judge {printable(name, 60)}: {text}", style="bold"))


def _print_submission(console: Console, s: SubmissionReport) -> None:
    from rich.text import Text

    from auditkit.reports.wording import control_label

    console.print(Text(f"{printable(s.model, 60)}: ").append(s.verdict.replace("_", " "), style=STYLES[s.verdict]))
    table = table_of(("control", "left"), ("score [interval]", "right"), ("n", "right"), ("overlap", "right"))
    for score in s.scores:
        overlap = "" if score.overlap is None else f"{score.overlap:.0%}"
        table.add_row(control_label(score.control), _interval(score.estimate, score.ci), str(score.n), overlap)
    console.print(table)
    for reason in s.reasons:
        console.print(Text(f"{MARKS[reason.status]} {reason.text[:1].upper()}{reason.text[1:]}"))


def _print_submissions(console: Console, report: Report) -> None:
    from rich.text import Text

    from auditkit.reports.leaderboard import headline, ordered, score_of
    from auditkit.reports.wording import control_label

    raw, held = headline(report)
    table = table_of(
        ("submission", "name"), ("verdict", "word"), ("raw", "right"), ("controlled", "right"), ("rank", "right")
    )
    for _, s in ordered(report, raw):
        found, controlled, rank = score_of(s, raw), score_of(s, held), s.ranks.get(raw)
        table.add_row(
            Text(printable(s.model, _LONGEST)),
            Text(s.verdict.replace("_", " "), style=STYLES[s.verdict]),
            _margin(found.estimate, found.ci) if found else "—",
            _margin(controlled.estimate, controlled.ci) if controlled else "—",
            f"{rank.rank} ({rank.lo}-{rank.hi})" if rank else "—",
        )
    console.print(table)
    labels = f"raw: {control_label(raw)}" + (f"; controlled: {control_label(held)}" if held else "")
    console.print(Text(f"{labels}; intervals at {report.method.level:.0%}, by prompt; rank by raw"))
    for s in report.submissions:
        if s.verdict == "rejected":
            for reason in s.reasons:
                if reason.status == "fail":
                    console.print(Text(f"✗ {printable(s.model, 60)}: {reason.text}", style="red"))


def leaderboard(report: Report, *, by: str, as_csv: bool, as_json: bool) -> None:
    """Print the submissions of `report` ranked by the control `by`.

    Raises:
        UsageError: No submission is ranked by that control.
    """
    import json

    from auditkit.reports import leaderboard_csv, leaderboard_rows

    known = sorted({control for s in report.submissions for control in s.ranks})
    if report.submissions and by not in known and len(report.submissions) > 1:
        raise UsageError(f"no submission is ranked by {printable(by)!r}; there are: {', '.join(known) or 'none'}")
    if as_json:
        click.echo(json.dumps(leaderboard_rows(report, by=by), indent=2))
    elif as_csv:
        click.echo(leaderboard_csv(report, by=by), nl=False)
    else:
        _print_leaderboard(report, by)


def _print_leaderboard(report: Report, by: str) -> None:
    from rich.text import Text

    from auditkit.reports.leaderboard import ordered

    table = table_of(
        ("rank", "right"),
        ("submission", "name"),
        (by.replace("_", " "), "right"),
        ("raw rank", "right"),
        ("verdict", "word"),
    )
    for _, s in ordered(report, by):
        rank, raw = s.ranks.get(by), s.ranks.get("raw")
        score = next((x for x in s.scores if x.control == by), None)
        table.add_row(
            f"{rank.rank} ({rank.lo}-{rank.hi})" if rank else "—",
            Text(printable(s.model, _LONGEST)),
            _interval(score.estimate, score.ci) if score else "—",
            str(raw.rank) if raw else "—",
            Text(s.verdict.replace("_", " "), style=STYLES[s.verdict]),
        )
    console_for().print(table)


def plugin_table(found: Sequence[Plugin]) -> None:
    """Print plugins as a table."""
    from rich.text import Text

    table = table_of(("group", "left"), ("name", "left"), ("from", "left"), ("what it does", "left"))
    for p in found:
        table.add_row(
            p.group, Text(printable(p.name, 40)), Text(f"{p.distribution} {p.version}"), Text(printable(p.summary, 120))
        )
    console_for().print(table)
