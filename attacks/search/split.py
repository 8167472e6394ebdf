"""Search discipline: prompts that a search may see, prompts that count, and the record under which a finding is frozen.

The best of many candidates looks good on the prompts that chose it even where the judge is pure noise: the best of 384
on 20 prompts by about 30 points. So a search sees one part of the prompts, what it found is frozen by hash, and only
the other part is reported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from auditkit.attacks.protocol import Attack, Fitted
from auditkit.errors import InputError, UsageError, printable
from auditkit.judging.inputs import Prompt

__all__ = ["Frozen", "Split", "freeze", "split"]


@dataclass(frozen=True)
class Split:
    """Places of the prompts in the benchmark, from 0, in its order: every prompt is in exactly one part.

    Attributes:
        search: What searches see.
        evaluation: What counts.
        share: Share asked for, 0..1.
        seed: Of the hash.
        search_sha256: Hash (hex) of the ids of the search prompts, sorted.
        evaluation_sha256: The same of the others.
    """

    search: tuple[int, ...]
    evaluation: tuple[int, ...]
    share: float
    seed: int
    search_sha256: str
    evaluation_sha256: str


def split(prompts: Sequence[Prompt], share: float = 0.25, seed: int = 0, *, stratify: bool = False) -> Split:
    """Split prompts into a part that searches see and a part that counts.

    The order is that of a keyed hash, so the split depends on the seed and the prompts and on nothing else, least of
    all on how anybody did on them. Prompts of one cluster, and prompts that read the same, stay together.

    Args:
        prompts: The benchmark, in its own order.
        share: Share of the prompts that searches see, strictly between 0 and 1.
        seed: Of the hash.
        stratify: Let both parts hold each category in proportion.

    Returns:
        The split. The search part's size differs from ``share * n`` by at most one, or by half the largest cluster.

    Raises:
        UsageError: `share` is out of range.
        InputError: Two prompts have one id, or all prompts are one cluster: nothing can be held out.
    """
    if not 0.0 < share < 1.0:
        raise UsageError(f"the share of search prompts must lie strictly between 0 and 1, not {share}")
    ids = [prompt.id for prompt in prompts]
    if len(set(ids)) < len(ids):
        twice = next(name for k, name in enumerate(ids) if name in ids[:k])
        raise InputError(f"prompt id {printable(twice, 60)!r} is there twice")
    groups: dict[str, list[int]] = {}
    for place, prompt in enumerate(prompts):
        groups.setdefault(_kin(prompt), []).append(place)
    if len(groups) < 2:
        raise InputError(
            f"{len(prompts)} prompts in {len(groups)} clusters cannot be split",
            mend="give at least two unrelated prompts",
        )
    ordered = sorted(
        groups.items(), key=lambda item: (prompts[item[1][0]].category if stratify else "", _hash(seed, item[0]))
    )
    chosen = _evenly([len(places) for _, places in ordered], share, int(_hash(seed, "offset")[:12], 16) / 16**12)
    search = sorted(place for (_, places), taken in zip(ordered, chosen, strict=True) if taken for place in places)
    seen = set(search)
    evaluation = [place for place in range(len(prompts)) if place not in seen]
    return Split(
        tuple(search), tuple(evaluation), share, seed,
        _digest(ids[place] for place in search), _digest(ids[place] for place in evaluation),
    )  # fmt: skip


def _kin(prompt: Prompt) -> str:
    if prompt.cluster:
        return "cluster\0" + prompt.cluster
    return "text\0" + " ".join(prompt.text.casefold().split())


def _hash(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}\0{text}".encode(errors="replace")).hexdigest()


def _evenly(sizes: Sequence[int], share: float, offset: float) -> list[bool]:
    """Choose groups along the list so that every stretch of it holds the share: systematic sampling of whole groups."""
    taken: list[bool] = []
    seen = got = 0
    for size in sizes:
        seen += size
        taken.append(share * seen + offset - got >= 0.5 + size / 2)
        got += size * taken[-1]
    if all(taken) or not any(taken):
        smallest = min(range(len(sizes)), key=lambda k: sizes[k])
        taken[smallest] = not taken[smallest]
    return taken


def _digest(ids: Iterable[str]) -> str:
    """Return the hash (hex) of a set of prompt ids, whatever their order."""
    return hashlib.sha256(json.dumps(sorted(ids), ensure_ascii=True).encode()).hexdigest()


@dataclass(frozen=True)
class Frozen:
    """What was fixed before a prompt that counts was touched.

    Attributes:
        attack: Id of the attack.
        sha256: Hash (hex) of what its search found (`auditkit.attacks.protocol.Fitted.sha256`).
        search_sha256: Hash (hex) of the ids of the prompts that the search saw.
        search_ids: Those ids, sorted.
    """

    attack: str
    sha256: str
    search_sha256: str
    search_ids: tuple[str, ...]

    def check(self, fitted: Fitted, evaluation: Iterable[Prompt]) -> None:
        """Refuse an attack that was changed since, or that would be measured on what it was searched on.

        Args:
            fitted: The attack that is about to be played.
            evaluation: The prompts that it is about to be played on.

        Raises:
            UsageError: It is another attack, or one of the prompts was seen by the search.
        """
        if fitted.sha256 != self.sha256:
            raise UsageError(
                f"attack {self.attack} was frozen as {self.sha256[:12]} and is now {fitted.sha256[:12]}: "
                "what was found may not change once prompts that count are touched"
            )
        both = sorted({prompt.id for prompt in evaluation} & set(self.search_ids))
        if both:
            raise UsageError(
                f"attack {self.attack} was searched on prompt {printable(both[0], 60)!r}"
                f"{f' and {len(both) - 1} more' if len(both) > 1 else ''}: its effect there would be selected, not measured"
            )


def freeze(attack: Attack, fitted: Fitted, search: Iterable[Prompt]) -> Frozen:
    """Freeze what a search found.

    Args:
        attack: The attack.
        fitted: What its search returned.
        search: The prompts that it saw.
    """
    ids = sorted(prompt.id for prompt in search)
    return Frozen(attack.id, fitted.sha256, _digest(ids), tuple(ids))
