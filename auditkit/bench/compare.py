"""Contamination of one set of prompts by another, streamed: `auditkit contamination A B`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditkit.bench.clean import text_of
from auditkit.bench.overlap import TESTS, Index, index_of
from auditkit.bench.reading import expanded, raws_of
from auditkit.errors import InputError

__all__ = ["Contamination", "Hit", "compare"]

_BATCH: Final = 5_000
_RANK: Final = {test: rank for rank, test in enumerate(TESTS)}


@dataclass(frozen=True)
class Hit:
    """A prompt of A that is found in B.

    Attributes:
        prompt, place: Its beginning, and where in A it stands.
        found: Where in B.
        test: The strictest test that it fails: ``exact``, ``near``, ``13-gram``.
        value: Similarity for ``exact`` and ``near``; for ``13-gram`` the share of B's prompt that is in A.
    """

    prompt: str
    place: str
    found: str
    test: str
    value: float


@dataclass(frozen=True)
class Contamination:
    """How much of A is in B.

    Attributes:
        prompts: Prompts of A.
        unusable: Records of A without a prompt.
        against: Prompts of B that were looked at.
        hits: Prompts of A that are found, in A's order, each with the strictest match.
        near: The similarity from which two prompts are near-duplicates.
    """

    prompts: int
    unusable: int
    against: int
    hits: tuple[Hit, ...]
    near: float

    @property
    def by_test(self) -> dict[str, int]:
        """Hits by test."""
        counted = Counter(hit.test for hit in self.hits)
        return {test: counted[test] for test in TESTS}

    @property
    def share(self) -> float:
        """Share of A's prompts that are found in B."""
        return len(self.hits) / self.prompts


def _prompts(path: Path) -> Iterator[tuple[str, str]]:
    for file in expanded([path]):
        for where, raw in raws_of(file, "all"):
            yield f"{file.name}: {where}", "" if raw.reason else text_of(raw.turns)


def compare(
    a: Path, b: Path, *, near: float = 0.7, progress: Callable[[str, int, int], None] | None = None
) -> Contamination:
    """Look for the prompts of A in B. A is held in memory; B may be of any size.

    Args:
        a: A benchmark: a file or a folder of prompts.
        b: Another one, or the prompts that a model was trained on.
        near: Jaccard similarity from which two prompts are near-duplicates.
        progress: Told how many prompts of B were looked at.

    Raises:
        InputError: A file cannot be read, or holds no prompt.
    """
    texts: list[str] = []
    places: list[str] = []
    owners: list[int] = []
    prompts = unusable = 0
    for file in expanded([a]):
        for where, raw in raws_of(file, "all"):
            if raw.reason:
                unusable += 1
                continue
            # Each turn too: what was leaked is often the first one alone.
            told = list(dict.fromkeys([text_of(raw.turns), *raw.turns]))
            texts += told
            places += [f"{file.name}: {where}"] * len(told)
            owners += [prompts] * len(told)
            prompts += 1
    if not texts:
        raise InputError("no prompts", path=a)
    index = index_of(texts, places)
    best: dict[int, Hit] = {}
    seen = 0
    batch: list[tuple[str, str]] = []
    for item in _prompts(b):
        if item[1]:
            batch.append(item)
        if len(batch) == _BATCH:
            _look(index, texts, owners, batch, near, best)
            seen, batch = seen + len(batch), []
            if progress is not None:
                progress("contamination", seen, 0)
    _look(index, texts, owners, batch, near, best)
    seen += len(batch)
    if not seen:
        raise InputError("no prompts", path=b)
    return Contamination(prompts, unusable, seen, tuple(best[i] for i in sorted(best)), near)


def _look(
    index: Index, texts: list[str], owners: list[int], batch: list[tuple[str, str]], near: float, best: dict[int, Hit]
) -> None:
    for (place, _), match in zip(batch, index.matches([text for _, text in batch], near), strict=True):
        if match is None:
            continue
        hit = Hit(texts[match.item][:200], index.names[match.item], place, match.test, match.value)
        owner = owners[match.item]
        known = best.get(owner)
        if known is None or (_RANK[hit.test], -hit.value) < (_RANK[known.test], -known.value):
            best[owner] = hit
