"""Contamination: is a prompt in a benchmark, or in the prompts that a model was trained on?

Three tests, the strictest first: the same text (case and blanks aside), a near-duplicate (MinHash), a run of 13 words
in common (Brown et al. 2020, appendix C: GPT-3's decontamination). A run that occurs in many prompts of one side is a
phrase that everybody uses, such as the opening of a template, and counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from auditkit.bench.clean import text_of
from auditkit.bench.parts import column_of, matrix_of, read_part, write_part
from auditkit.bench.signatures import BANDS, exact_keys, signatures, similarity
from auditkit.bench.words import Grams, folded, word_grams, words

__all__ = ["GRAM_WORDS", "TESTS", "Index", "Match", "index_of", "load_index", "save_index"]

GRAM_WORDS: Final = 13
TESTS: Final = ("exact", "near", "13-gram")
#: A run of words that stands in more prompts than this (and in more than one of a hundred) is a common phrase.
_COMMON: Final = 5
_MOST_CANDIDATES: Final = 50


@dataclass(frozen=True)
class Match:
    """Why a prompt counts as contaminated.

    Attributes:
        test: ``exact``, ``near`` or ``13-gram``.
        item: Number of the prompt of the index that it matches.
        value: Estimated Jaccard similarity for ``exact`` (1) and ``near``; for ``13-gram`` the share of the prompt's
            runs of 13 words that are in the index.
    """

    test: str
    item: int
    value: float


@dataclass(frozen=True)
class Index:
    """The prompts to keep clear of. Arrays are sorted by their keys, with the number of the item beside each.

    Attributes:
        names: The name of each item, for reports.
    """

    names: tuple[str, ...]
    exact: Any
    exact_items: Any
    grams: Any
    gram_items: Any
    bands: Any
    band_items: Any
    sketches: Any

    def matches(self, texts: Sequence[str], near: float) -> list[Match | None]:
        """Return for each of `texts` why it counts as contaminated, None where it does not.

        Args:
            texts: Prompts, as they are.
            near: Jaccard similarity from which two prompts are near-duplicates.
        """
        wanted = [folded(text) for text in texts]
        found: list[Match | None] = [None] * len(wanted)
        if not wanted or not self.names:
            return found
        runs = _runs(wanted)
        hit, item = _looked_up(self.grams, self.gram_items, runs.hashes)
        owners = runs.owners
        hits = np.bincount(owners[hit], minlength=len(wanted))
        first = np.full(len(wanted), -1)
        first[owners[hit][::-1]] = item[hit][::-1]
        for i in np.flatnonzero(hits).tolist():
            found[i] = Match("13-gram", int(first[i]), float(hits[i] / runs.counts[i]))
        bands, sketches = signatures(wanted)
        for i, other, close in self._near(bands, sketches, near):
            found[i] = Match("near", other, close)
        same, at = _looked_up(self.exact, self.exact_items, exact_keys(wanted))
        for i in np.flatnonzero(same).tolist():
            found[i] = Match("exact", int(at[i]), 1.0)
        return found

    def _near(self, bands: Any, sketches: Any, near: float) -> list[tuple[int, int, float]]:
        best: dict[int, tuple[int, float]] = {}
        for band in range(BANDS):
            keys = self.bands[band]
            start = np.searchsorted(keys, bands[:, band], "left")
            stop = np.searchsorted(keys, bands[:, band], "right")
            size = np.minimum(stop - start, _MOST_CANDIDATES)
            asked = np.repeat(np.arange(len(bands)), size)
            within = np.arange(len(asked)) - np.repeat(np.cumsum(size) - size, size)
            others = self.band_items[band][np.repeat(start, size) + within]
            close = similarity(sketches[asked], self.sketches[others])
            for i, other, s in zip(asked[close >= near], others[close >= near], close[close >= near], strict=True):
                if (-s, other) < (-best.get(int(i), (0, 0.0))[1], best.get(int(i), (0, 0.0))[0]):
                    best[int(i)] = (int(other), float(s))
        return [(i, *best[i]) for i in sorted(best)]


def _runs(texts: Sequence[str]) -> Grams:
    return word_grams(words(texts), GRAM_WORDS)


def _looked_up(keys: Any, items: Any, wanted: Any) -> tuple[Any, Any]:
    """Return which of `wanted` are among the sorted `keys`, and their items (anything where they are not)."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=bool), np.zeros(len(wanted), dtype=np.int64)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return keys[place] == wanted, items[place]


def index_of(texts: Sequence[str], names: Sequence[str]) -> Index:
    """Index the prompts to keep clear of.

    Args:
        texts: Their texts.
        names: A name for each, for reports.
    """
    wanted = [folded(text) for text in texts]
    keys = exact_keys(wanted)
    order = np.argsort(keys, kind="stable")
    runs = _runs(wanted)
    owners = runs.owners
    by_gram = np.lexsort((owners, runs.hashes))
    grams, owners = runs.hashes[by_gram], owners[by_gram]
    distinct = np.ones(len(grams), dtype=bool)
    distinct[1:] = (grams[1:] != grams[:-1]) | (owners[1:] != owners[:-1])
    grams, owners = grams[distinct], owners[distinct]
    unique, first, times = np.unique(grams, return_index=True, return_counts=True)
    rare = times <= max(_COMMON, len(wanted) // 100)
    bands, sketches = signatures(wanted) if wanted else (np.zeros((0, BANDS), np.uint32), np.zeros((0, 1), np.uint16))
    sorted_bands = np.argsort(bands, axis=0, kind="stable")
    return Index(
        tuple(names), keys[order], order, unique[rare], owners[first[rare]],
        np.take_along_axis(bands, sorted_bands, axis=0).T, sorted_bands.T, sketches,
    )  # fmt: skip


def save_index(path: Path, index: Index) -> None:
    """Write an index to a file that workers read."""
    import pyarrow as pa

    size = len(index.names)
    gram_count = len(index.grams)
    columns = {
        "name": pa.array(index.names, pa.string()), "exact": pa.array(index.exact),
        "exact_item": pa.array(index.exact_items), "bands": column_of(index.bands.T.reshape(size, BANDS)),
        "band_items": column_of(index.band_items.T.reshape(size, BANDS).astype(np.int64)),
        "sketch": column_of(index.sketches),
    }  # fmt: skip
    write_part(path, pa.table(columns), {"items": size})
    write_part(path.with_suffix(".grams"), pa.table({"gram": index.grams, "item": index.gram_items}), {"n": gram_count})


def load_index(path: Path) -> Index:
    """Read an index that `save_index` wrote; once for as long as the file stays the same."""
    return _loaded(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _loaded(path: Path, version: int) -> Index:
    table, grams = read_part(path), read_part(path.with_suffix(".grams"))
    return Index(
        tuple(table.column("name").to_pylist()),
        table.column("exact").to_numpy(), table.column("exact_item").to_numpy(),
        grams.column("gram").to_numpy(), grams.column("item").to_numpy(),
        np.ascontiguousarray(matrix_of(table, "bands", np.uint32).T),
        np.ascontiguousarray(matrix_of(table, "band_items", np.int64).T),
        matrix_of(table, "sketch", np.uint16),
    )  # fmt: skip


def keep(inputs: Sequence[Path], output: Path, args: Mapping[str, Any]) -> None:
    """Write the prompts of a part that are no duplicates and in no benchmark named; the others with their reason.

    Args:
        inputs: The ingested part, and the file of duplicates.
        output: The part to write: rows that stay, with ``copies``; ``….dropped`` beside it: the others.
        args: ``near``; ``index``: path of the index of `save_index`, "" for none; ``earlier``: how many of its first
            items are of earlier versions of the benchmark.
    """
    import pyarrow as pa

    table = read_part(inputs[0])
    rows = table.column("row").to_numpy()
    decided = read_part(inputs[1])
    known = decided.column("row").to_numpy()
    place = np.searchsorted(known, rows)
    alive = np.array([not reason for reason in table.column("reason").to_pylist()], dtype=bool)
    place[~alive] = 0
    reasons = table.column("reason").to_pylist()
    of = np.full(len(rows), -1)
    value = np.full(len(rows), np.nan, dtype=np.float32)
    copies = np.zeros(len(rows), dtype=np.int64)
    if len(known):
        state = decided.column("state").to_numpy()[place]
        for code, name in ((1, "exact_duplicate"), (2, "near_duplicate")):
            for i in np.flatnonzero(alive & (state == code)).tolist():
                reasons[i] = name
        gone = alive & (state > 0)
        of[gone] = decided.column("of").to_numpy()[place][gone]
        value[gone] = decided.column("similarity").to_numpy()[place][gone]
        copies[alive] = decided.column("copies").to_numpy()[place][alive]
    against = [""] * len(rows)
    if args["index"]:
        index = load_index(Path(args["index"]))
        left = np.array([i for i, reason in enumerate(reasons) if not reason], dtype=np.int64)
        texts = [text_of(turns) for turns in table.column("turns").take(left).to_pylist()]
        for i, match in zip(left.tolist(), index.matches(texts, args["near"]), strict=True):
            if match is not None:
                side = "earlier" if match.item < args.get("earlier", 0) else "contaminated"
                reasons[i] = f"{side}_{match.test}"
                against[i], value[i] = index.names[match.item], match.value
    stays = np.array([not reason for reason in reasons], dtype=bool)
    counts: dict[str, int] = {"rows": len(rows)}
    for reason, before in zip(reasons, alive.tolist(), strict=True):
        if before:
            counts[reason or "kept"] = counts.get(reason or "kept", 0) + 1
    dropped = pa.table(
        {
            "row": rows[~stays], "id": table.column("id").filter(pa.array(~stays)),
            "place": table.column("place").filter(pa.array(~stays)),
            "source": table.column("source").filter(pa.array(~stays)),
            "reason": pa.array([reason for reason in reasons if reason], pa.string()),
            "of": of[~stays], "value": value[~stays],
            "against": pa.array([a for a, s in zip(against, stays.tolist(), strict=True) if not s], pa.string()),
        }
    )  # fmt: skip
    write_part(output.with_suffix(".dropped"), dropped)
    kept = table.filter(pa.array(stays)).drop_columns(["reason", "flagged"])
    write_part(output, kept.append_column("copies", pa.array(copies[stays])), counts)
