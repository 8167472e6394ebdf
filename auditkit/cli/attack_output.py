"""How attacks are printed: a table of what each gained, and the few lines that say what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from auditkit.cli.output import say, table_of
from auditkit.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

    from auditkit.attacked import AttackResult
    from auditkit.reports.report import Report

__all__ = ["points", "print_attacks", "print_suite"]

_MOST: Final = 12


def points(value: float | None) -> str:
    """Return points with their sign; a dash: not measured."""
    return "–" if value is None else f"{value:+.1f}"


def print_attacks(console: Console, attacks: Sequence[AttackResult]) -> None:
    """Print the attacks that gained most, and how many there are beside them."""
    played = [a for a in attacks if a.uplift is not None]
    if not played:
        return
    table = table_of(
        ("attack", "name"), ("uplift", "right"), ("bounds", "right"), ("success", "right"), ("n", "right"), ("caught", "word")
    )  # fmt: skip
    for attack in played[:_MOST]:
        table.add_row(
            printable(attack.attack, 32) + ("*" if attack.ungraded else ""), points(attack.uplift),
            f"{points(attack.lower_bound)} to {points(attack.upper_bound)}",
            "–" if attack.asr is None else f"{100 * attack.asr:.0f}%", str(attack.n),
            "yes" if attack.detected_by else "no",
        )  # fmt: skip
    console.print(table)
    if any(attack.ungraded for attack in played[:_MOST]):
        say(console, "  * counts for no grade: its answers may be better, or the judge helped to choose them")
    rest = len(played) - _MOST
    absent = sum(a.status == "not_measured" for a in attacks)
    if rest > 0 or absent:
        say(console, f"  {max(rest, 0)} more in the report; {absent} not measured")


def print_suite(console: Console, report: Report) -> None:
    """Print what the attacks on a benchmark came to; nothing where none were played."""
    from auditkit.reports.wording import grade_sentence

    attacked = next((s for s in report.submissions if s.attacks), None)
    if attacked is None:
        return
    found, floor = attacked.gameability, attacked.null_floor
    say(console, f"attacks on this benchmark's judge: {grade_sentence(found)}")
    if found.points is not None and found.points > 0 and found.attack:
        say(console, f"  the strongest for sure: {printable(found.attack, 60)}")
    if floor.estimate is not None:
        interval = "" if floor.ci is None else f" [{floor.ci[0]:.1f}, {floor.ci[1]:.1f}]"
        say(
            console,
            f"  null floor: an answer of no worth scores {floor.estimate:.1f}{interval} ({printable(floor.attack, 60)})",
        )
    if found.rank_uplift:
        say(console, f"  places gained: {found.rank_uplift:g}")
    if found.cost_to_top is not None:
        say(console, f"  judge calls to come first: {found.cost_to_top}")
    print_attacks(console, attacked.attacks)
