"""Join recordings that were given together: refuse what cannot be compared, count no game twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from auditkit.errors import InputError
from auditkit.records import DROPPED_COLUMNS, Battles, Note, frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["join"]

_GAME: Final = ["prompt_id", "model", "opponent", "judge", "order", "variant", "turn"]
_RATING: Final = ["prompt_id", "model", "judge", "turn"]


def join(parts: Sequence[Battles]) -> Battles:
    """Join recordings of one benchmark.

    A game or rating that an earlier recording already holds (same prompt, models, judge, order, variant and turn) is
    left out, counted among the submission's duplicates and noted, as a reader does within one recording. Where all
    meet all, repeated votes are usual and stay.

    Raises:
        InputError: Recordings of judges and of submissions, or with no baseline in common.
    """
    _refuse_strangers(parts)
    return Battles.concat(_without_repeats(parts))


def _refuse_strangers(parts: Sequence[Battles]) -> None:
    """Raise where two recordings' win rates are against different opponents: they have no common scale."""
    played = [part for part in parts if len(part.games)]
    for i, part in enumerate(played):
        for first in played[:i]:
            one, other = first.benchmark.baselines, part.benchmark.baselines
            if bool(one) != bool(other) or (one and not one & other):
                against, against_first = (", ".join(sorted(b)) or "each other" for b in (other, one))
                raise InputError(
                    f"its models met {against}, those of {first.benchmark.name} met {against_first}: their scores "
                    "cannot be compared",
                    path=part.inputs[0].path if part.inputs else None,
                    mend="audit them one by one",
                )


def _without_repeats(parts: Sequence[Battles]) -> list[Battles]:
    kept: list[Battles] = []
    for part in parts:
        if not kept or not part.benchmark.baselines:
            kept.append(part)
            continue
        games = _known(part.games, [p.games for p in kept], _GAME)
        ratings = _known(part.ratings, [p.ratings for p in kept], _RATING)
        if not (games.any() or ratings.any()):
            kept.append(part)
            continue
        left_out = _left_out(part, games, ratings)
        kept.append(
            replace(
                part,
                games=part.games[~games].reset_index(drop=True),
                ratings=part.ratings[~ratings].reset_index(drop=True),
                dropped=_stack(part.dropped, left_out),
                notes=(*part.notes, *_notes(part, left_out)),
            )
        )
    return kept


def _known(table: pd.DataFrame, earlier: Sequence[pd.DataFrame], key: list[str]) -> pd.Series:
    """Tell which rows of `table` one of the `earlier` tables holds."""
    import pandas as pd

    places = pd.MultiIndex.from_frame(table[key])
    found = pd.Series(False, index=table.index)
    for other in earlier:
        if len(table) and len(other):
            found |= places.isin(pd.MultiIndex.from_frame(other[key]))
    return found


def _left_out(part: Battles, games: pd.Series, ratings: pd.Series) -> pd.DataFrame:
    where = part.inputs[0].path if part.inputs else part.benchmark.name
    rows = _stack(part.games.loc[games, ["prompt_id", "model"]], part.ratings.loc[ratings, ["prompt_id", "model"]])
    return frame(
        DROPPED_COLUMNS,
        {
            "prompt_id": rows["prompt_id"],
            "model": rows["model"],
            "reason": ["duplicate"] * len(rows),
            "where": [where] * len(rows),
        },
    )


def _notes(part: Battles, left_out: pd.DataFrame) -> list[Note]:
    path = part.inputs[0].path if part.inputs else ""
    text = "games or ratings that an earlier recording holds already; the first are kept"
    counts = left_out["model"].value_counts(sort=False)
    return [Note("duplicate", text, int(count), path, str(model)) for model, count in counts.items()]


def _stack(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    filled = [table for table in (first, second) if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else first
