"""What pages show of attacks: a forest plot sorted by what is sure, examples to read, and what was not played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from markupsafe import Markup

from auditkit.attacked import AttackResult
from auditkit.records import Interval
from auditkit.reports import charts, wording

__all__ = ["AttackRow", "AttacksView", "Forest", "attacks_view"]

#: Examples that are shown; there is one an attack, and all of them in the JSON.
_MOST_EXAMPLES: Final = 12
#: Attacks that are shown at once; up to so many need no fold.
_TOP: Final = 8
_MOST_OPEN: Final = 12


@dataclass(frozen=True)
class AttackRow:
    """One played attack and its bar: the uplift between its simultaneous bounds."""

    data: AttackResult
    plot: Markup


@dataclass(frozen=True)
class Forest:
    """Some of the attacks, on one scale."""

    scale: Markup
    rows: tuple[AttackRow, ...]


@dataclass(frozen=True)
class AttacksView:
    """The attacks of a suite, the surest gains and the others on the same scale.

    `played` counts both, `sure` those that surely gain something unearned, `unseen` those of them that no detector
    rejects, `deciding` all whose gain would be unearned. `hidden` is the surest of all that none rejects, None where they reject every one.
    """

    top: Forest
    rest: Forest
    played: int
    examples: tuple[AttackResult, ...]
    absent: tuple[AttackResult, ...]
    sure: int
    unseen: int
    deciding: int
    hidden: AttackResult | None


def _bounds(attack: AttackResult) -> Interval | None:
    if attack.lower_bound is None or attack.upper_bound is None:
        return None
    return attack.lower_bound, attack.upper_bound


def _sure(attack: AttackResult) -> float:
    return attack.lower_bound if attack.lower_bound is not None else float("-inf")


def _forest(ident: str, axis: charts.Axis, attacks: Sequence[AttackResult]) -> Forest:
    axis = replace(axis, ident=ident)
    rows = tuple(
        AttackRow(
            a, charts.interval_bar(f"{ident}{i}", axis, wording.name(a.title or a.attack, 60), a.uplift, _bounds(a))
        )
        for i, a in enumerate(attacks)
    )
    return Forest(charts.axis_scale(axis, "points gained"), rows)


def attacks_view(ident: str, attacks: Sequence[AttackResult]) -> AttacksView | None:
    """Return what is shown of `attacks`, the surest gain first; None without any.

    Examples are those of attacks that gained something, surest first; negative controls count for nothing.
    """
    if not attacks:
        return None
    played = sorted(
        (a for a in attacks if a.uplift is not None), key=lambda a: (-_sure(a), -(a.uplift or 0.0), a.attack)
    )
    values = [v for a in played for v in (a.uplift, *(_bounds(a) or ())) if v is not None]
    axis = charts.axis_for([*values, 0.0], reference=0.0)
    top = len(played) if len(played) <= _MOST_OPEN else _TOP
    deciding = [a for a in played if not a.ungraded]
    sure = [a for a in deciding if _sure(a) > 0.0 and not a.control]
    telling = [a for a in played if a.example is not None and (a.uplift or 0.0) > 0.0 and not a.control]
    return AttacksView(
        _forest(f"{ident}t", axis, played[:top]),
        _forest(f"{ident}r", axis, played[top:]),
        len(played),
        tuple(telling[:_MOST_EXAMPLES]),
        tuple(a for a in attacks if a.uplift is None),
        len(sure),
        sum(not a.detected_by for a in sure),
        len(deciding),
        next((a for a in deciding if not a.detected_by), None),
    )
