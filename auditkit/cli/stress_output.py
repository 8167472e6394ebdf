"""What `auditkit stress` prints: the judge's worth, what broke it, and the things to change, at 80 columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from auditkit.cli.attack_output import points, print_attacks
from auditkit.cli.files import write_files
from auditkit.cli.output import LONGEST_PATH, console_for, say, table_of
from auditkit.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

    from auditkit.reports.stress_report import StressedJudge, StressReport

__all__ = ["deliver", "write_stress"]

_MARKS: Final = {"fail": "✗", "pass": "✓", "not_measured": "·"}
_GRADES: Final = {
    "voidable": "voidable: a single string can break its harness",
    "gameable": "gameable",
    "unresolved": "unresolved: these pairs cannot tell",
    "within": "within the bound of this suite and budget; other attacks may do more",
}
_FIRST: Final = 3
_MOST: Final = 12


def deliver(report: StressReport, *, out: Path, as_json: bool) -> None:
    """Write the report's files and print it: JSON alone with `as_json`, tables otherwise."""
    from auditkit.reports.stress_report import stress_to_json

    page = write_stress(report, out)
    if as_json:
        click.echo(stress_to_json(report), nl=False)
        return
    console = console_for()
    for letter, judge in zip("AB", report.judges, strict=False):
        _judge(console, judge, report, letter if report.against else "")
    if report.comparison is not None:
        _comparison(console, report)
    if report.defended:
        _defended(console, report)
    click.echo(f"report: {printable(page, LONGEST_PATH)}")


def write_stress(report: StressReport, out: Path) -> Path:
    """Write stress.json and stress.html into `out`, each whole or not at all; return the page.

    Raises:
        InputError: The folder cannot be written to.
    """
    from auditkit.reports.stress_html import render_stress
    from auditkit.reports.stress_report import stress_to_json

    write_files(out, {"stress.json": stress_to_json(report), "stress.html": render_stress(report)})
    return out / "stress.html"


def _percent(value: float | None, ci: tuple[float, float] | None) -> str:
    if value is None:
        return "not measured"
    shown = f"{100 * value:.0f}%"
    return shown if ci is None else f"{shown} [{100 * ci[0]:.0f}, {100 * ci[1]:.0f}]"


def _judge(console: Console, judge: StressedJudge, report: StressReport, letter: str) -> None:
    facts = judge.facts
    head = f"{letter + ': ' if letter else ''}{printable(facts.name, 40)} ({printable(facts.model, 30)})"
    console.print(f"\n{head}, {report.pairs} pairs, {judge.calls} calls", markup=False, highlight=False)
    if facts.simulated:
        say(console, "  a simulated judge: this tests auditkit, not any real judge")
    for measure in judge.measures:
        line = f"  {measure.label}: {_percent(measure.estimate, measure.ci)}"
        say(console, line + (f" ({measure.note})" if measure.note else ""))
    failed = [g for g in judge.gates if g.status == "fail"]
    passed = sum(g.status == "pass" for g in judge.gates)
    say(console, f"  harness gates: {passed} hold, {len(failed)} fail")
    for gate in failed:
        say(console, f"  {_MARKS['fail']} {gate.gate} {printable(gate.statement, 300)}")
    floor = judge.null_floor
    if floor.estimate is not None and floor.ci is not None:
        say(
            console,
            f"  null floor: an answer of no worth scores {floor.estimate:.0f} [{floor.ci[0]:.0f}, {floor.ci[1]:.0f}] "
            f"of 100 ({printable(floor.attack, 40)})",
        )
    _grade(console, judge)
    print_attacks(console, judge.attacks)
    _probes(console, judge)
    _changes(console, judge)


def _grade(console: Console, judge: StressedJudge) -> None:
    if judge.grade is None:
        say(console, "  grade: not measured: no attack was played whose answers are known to be no better")
        return
    text = f"  grade: {_GRADES[judge.grade]}"
    if judge.points is not None and judge.points > 0:
        text += f"; gameable by at least {judge.points:.1f} points ({printable(judge.attack, 40)})"
    elif judge.ceiling is not None:
        text += f"; no attack of this suite gains more than {max(judge.ceiling, 0.0):.1f} points"
    say(console, text)


def _probes(console: Console, judge: StressedJudge) -> None:
    flagged = [p for p in judge.probes if p.flag]
    if not judge.probes:
        return
    measured = sum(p.estimate is not None for p in judge.probes)
    say(
        console,
        f"  bias probes: {measured} of {len(judge.probes)} measured, {len(flagged)} stand out of the judge's own noise "
        "(false discovery rate 10%)",
    )
    for probe in flagged[:_MOST]:
        say(console, f"  ! {probe.probe}: {printable(probe.sentence, 200)}")


def _changes(console: Console, judge: StressedJudge) -> None:
    if not judge.changes:
        console.print("\n  nothing to change was found; what was not measured is listed in the report", markup=False)
        return
    console.print(f"\n  what to change first ({len(judge.changes)} in all):", markup=False, highlight=False)
    for number, change in enumerate(judge.changes[:_FIRST], 1):
        say(console, f"  {number}. {printable(change.what, 300)}")
        say(console, f"     {printable(change.why, 300)}")


_SHORT: Final = {
    "B holds better": "B holds", "B gives way more": "B gives way", "B is right more often": "B is right more",
    "B is right less often": "B is right less", "the data do not tell the two apart": "not told apart",
}  # fmt: skip


def _comparison(console: Console, report: StressReport) -> None:
    found = report.comparison
    assert found is not None  # noqa: S101  the caller looked
    console.print()
    say(console, f"B against A: {found.sentence}")
    table = table_of(
        ("points", "name"), ("A", "right"), ("B", "right"), ("B - A", "right"), ("p, Holm", "right"), ("", "word")
    )
    for row in found.rows[: _MOST + 1]:
        ci = "" if row.ci is None else f" [{row.ci[0]:+.0f}, {row.ci[1]:+.0f}]"
        table.add_row(
            printable(row.name, 32), points(row.a), points(row.b), points(row.difference) + ci,
            "–" if row.adjusted_p is None else f"{row.adjusted_p:.3f}", _SHORT.get(row.sentence, ""),
        )  # fmt: skip
    console.print(table)
    if len(found.rows) > _MOST + 1:
        say(console, f"  {len(found.rows) - _MOST - 1} more in the report")


def _defended(console: Console, report: StressReport) -> None:
    console.print("\nstacks of defences (* on the frontier, > written to the judge file)", markup=False)
    table = table_of(
        ("", "word"), ("stack", "left"), ("strongest", "right"), ("surely", "right"), ("accuracy", "right"), ("calls", "right")
    )  # fmt: skip
    for stack in report.defended:
        mark = ">" if stack.chosen else "*" if stack.frontier else ""
        table.add_row(
            mark, printable(" + ".join(stack.stack) or "as it is", 120), points(stack.strongest),
            "–" if stack.uplift is None else f"≥{max(stack.uplift, 0.0):.0f}",
            _percent(stack.accuracy, stack.accuracy_ci), f"x{stack.calls:.1f}",
        )  # fmt: skip
    console.print(table)
