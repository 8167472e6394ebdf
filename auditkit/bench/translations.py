"""Which prompts are one question in several languages: their own ids tell, where whole files share them.

Datasets are published in many languages with the ids of the first. No word of two translations is the same, so that
duplicates are not found by their text; but a benchmark that holds a question twice has fewer independent prompts than it
counts. Ids such as ``1, 2, 3`` coincide by accident: two files hold translations only if a large share of their ids is
common, the languages differ, and the lengths go together, which those of unrelated prompts do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from auditkit.bench.language import UNKNOWN

__all__ = ["translation_groups"]

Integers = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

_FEWEST: Final = 20
"""Common ids from which two files are compared: the lengths of so few unrelated prompts correlate above 0.8 once in a
million times."""
_COMMON: Final = 0.5
_DIFFER: Final = 0.8
_TOGETHER: Final = 0.8
_UNIQUE: Final = 0.9
#: An id in more files than there are languages in any dataset is a counter.
_MOST_FILES: Final = 250


def _first_of(*keys: Integers) -> Integers:
    """Return the places of the first prompt of every combination of keys, sorted by the keys."""
    order = np.lexsort((np.arange(len(keys[0])), *reversed(keys)))
    changed = np.zeros(len(order), dtype=bool)
    changed[:1] = True
    for key in keys:
        changed[1:] |= key[order][1:] != key[order][:-1]
    found: Integers = order[changed]
    return found


def _units(files: Integers, codes: Integers, spoken: Integers) -> Integers:
    """Return the unit of each prompt: its file, or its language within a file whose ids repeat; -1 for none."""
    named = codes >= 0
    known = spoken.max(initial=0) + 1
    own = np.unique(files, return_inverse=True)[1].astype(np.int64)
    count = int(own.max(initial=-1)) + 1
    size = np.bincount(own[named], minlength=count)
    unique = np.bincount(own[named][_first_of(own[named], codes[named])], minlength=count)
    mixed = unique < _UNIQUE * size
    found = np.where(mixed[own], count + own * known + spoken, own)
    found[~named] = -1
    found = np.unique(found, return_inverse=True)[1].astype(np.int64) - (1 if (~named).any() else 0)
    total = np.bincount(found[named], minlength=1)
    distinct = np.bincount(found[named][_first_of(found[named], codes[named])], minlength=len(total))
    repeated = distinct < _UNIQUE * total
    found[named & repeated[found]] = -1
    return found


def translation_groups(files: Integers, ids: Sequence[str], languages: Sequence[str], sizes: Floats) -> Integers:
    """Return the number of the question that each prompt puts, -1 where it is in one language only.

    Args:
        files: Number of the file of each prompt.
        ids: Its own id there, "" for none.
        languages: Its language.
        sizes: Its length, above 0.

    Returns:
        Numbers from 0, equal for prompts of equal ids whose files hold translations of each other.
    """
    import pyarrow as pa
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    groups = np.full(len(ids), -1, dtype=np.int64)
    if not len(ids):
        return groups
    codes = pa.array(ids, pa.string()).dictionary_encode().indices.to_numpy().astype(np.int64)
    codes[np.array([not one for one in ids])] = -1
    spoken_names = pa.array(languages, pa.string()).dictionary_encode()
    spoken = spoken_names.indices.to_numpy().astype(np.int64)
    unknown = np.array([name == UNKNOWN for name in spoken_names.dictionary.to_pylist()])[spoken]
    units = _units(files, codes, spoken)
    count = int(units.max(initial=-1)) + 1
    inside = np.flatnonzero(units >= 0)
    if count < 2:
        return groups
    first = inside[_first_of(codes[inside], units[inside])]
    often = np.bincount(codes[first])
    first = first[(often[codes[first]] > 1) & (often[codes[first]] <= _MOST_FILES)]
    pairs, (n, both, differ, x, y, xx, yy, xy) = _compared(first, codes, units, count, spoken, unknown, np.log(sizes))
    volume = np.bincount(units[inside], minlength=count)
    a, b = pairs // count, pairs % count
    with np.errstate(invalid="ignore", divide="ignore"):
        together = (n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y))
        linked = (
            (n >= _FEWEST) & (n >= _COMMON * np.minimum(volume[a], volume[b])) & (2 * both >= n)
            & (differ >= _DIFFER * both) & (together >= _TOGETHER)
        )  # fmt: skip
    if not linked.any():
        return groups
    graph = coo_array((np.ones(int(linked.sum())), (a[linked], b[linked])), shape=(count, count))
    family = connected_components(graph, directed=False)[1].astype(np.int64)
    alone = np.bincount(family)[family] < 2
    members = inside[~alone[units[inside]]]
    keys = family[units[members]] * (int(codes.max()) + 1) + codes[members]
    _, numbers = np.unique(keys, return_inverse=True)
    # An id that repeats within one unit alone is no translation.
    sharing = np.bincount(numbers[_first_of(numbers.astype(np.int64), units[members])])
    groups[members] = np.where(sharing[numbers] > 1, numbers, -1)
    return groups


def _compared(
    first: Integers, codes: Integers, units: Integers, count: int, spoken: Integers, unknown: Any, sizes: Floats
) -> tuple[Integers, Any]:
    """Return the pairs of units with a common id, and for each: ids, with both languages known, with two different
    ones, and the sums of lengths, squares and products."""
    code, unit = codes[first], units[first]
    names: list[Integers] = []
    sums: list[Any] = []
    for shift in range(1, _MOST_FILES):
        same = np.flatnonzero(code[shift:] == code[:-shift])
        if not len(same):
            break
        p, q = first[same], first[same + shift]
        known = ~unknown[p] & ~unknown[q]
        x, y = sizes[p], sizes[q]
        values = (np.ones(len(p)), known, known & (spoken[p] != spoken[q]), x, y, x * x, y * y, x * y)
        pairs, place = np.unique(unit[same] * count + unit[same + shift], return_inverse=True)
        names.append(pairs)
        sums.append(np.stack([np.bincount(place, weights=value, minlength=len(pairs)) for value in values]))
    if not names:
        return np.zeros(0, dtype=np.int64), np.zeros((8, 0))
    pairs, place = np.unique(np.concatenate(names), return_inverse=True)
    every = np.concatenate(sums, axis=1)
    return pairs, np.stack([np.bincount(place, weights=row, minlength=len(pairs)) for row in every])
