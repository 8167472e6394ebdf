"""A recording cut by category or language: which slices it has, and the recording on one of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final, Literal

from auditkit.records import TABLE_COLUMNS, Battles, frame

__all__ = ["KINDS", "Slice", "cut", "slices_of"]

Kind = Literal["category", "language"]
KINDS: Final[tuple[Kind, ...]] = ("category", "language")


@dataclass(frozen=True)
class Slice:
    """Prompts that share a category or a language. `value` comes from the recording: treat it as untrusted."""

    kind: Kind
    value: str
    prompts: frozenset[str]


def slices_of(battles: Battles, most: int) -> tuple[tuple[Slice, ...], int]:
    """Return the slices of a recording, by kind and then largest first, and how many were left out.

    A kind with one value only says nothing that the whole does not, and gives no slice. Prompts without a value
    are in none.

    Args:
        battles: A recording.
        most: Slices of each kind that are kept.
    """
    found: list[Slice] = []
    left_out = 0
    for kind in KINDS:
        named = battles.prompts[battles.prompts[kind] != ""]
        groups = [(str(value), frozenset(map(str, rows))) for value, rows in named.groupby(kind)["prompt_id"]]
        if len(groups) < 2:
            continue
        groups.sort(key=lambda group: (-len(group[1]), group[0]))
        found += [Slice(kind, value, prompts) for value, prompts in groups[:most]]
        left_out += max(len(groups) - most, 0)
    return tuple(found), left_out


def cut(battles: Battles, prompts: Collection[str]) -> Battles:
    """Return the recording on these prompts only.

    Answers stay where they are, for games point to them by number. Counts that came without their games cannot be
    divided and are left out.
    """
    kept = {
        name: table[table["prompt_id"].isin(prompts)]
        for name, table in (
            ("games", battles.games), ("ratings", battles.ratings), ("prompts", battles.prompts), ("dropped", battles.dropped),
        )
    }  # fmt: skip
    return replace(
        battles,
        games=kept["games"],
        ratings=kept["ratings"],
        prompts=kept["prompts"].reset_index(drop=True),
        dropped=kept["dropped"],
        tables=frame(TABLE_COLUMNS),
        benchmark=replace(battles.benchmark, expected=len(prompts) if battles.benchmark.expected else 0),
        attacked=None,
        judge_check=None,
        suite=None,
    )
