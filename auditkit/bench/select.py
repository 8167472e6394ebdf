"""Which prompts make the benchmark: two thresholds, then a seeded sample of clusters, each prompt with its reason.

A prompt qualifies if its score (criteria met, 0 to 7) and the mean score of its cluster reach their thresholds; the
mean is over every annotated member of the cluster, as published (BenchBuilder ``filter.py``). The shape, 250 clusters
of 2 prompts, is that of Arena-Hard v0.1, whose sampling code was not published: ours draws clusters within strata of
language and category, in proportion to the prompts that qualify.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

__all__ = ["OUTLIER", "TAKEN", "Choice", "choose", "cluster_means", "qualifying", "shares"]

OUTLIER: Final = -1
"""The cluster of prompts that are in none: they are never drawn."""

TAKEN: Final = -2
"""The number of a question that is spoken for: none of its prompts is drawn."""

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


def cluster_means(scores: Floats, clusters: Integers) -> Floats:
    """Return the mean score of each cluster, by its number; NaN where no member was annotated.

    Args:
        scores: Criteria met, 0 to 7; NaN where the annotation could not be read.
        clusters: Number of each prompt's cluster, `OUTLIER` for none.
    """
    size = int(clusters.max(initial=OUTLIER)) + 1
    known = (clusters >= 0) & ~np.isnan(scores)
    total = np.bincount(clusters[known], weights=scores[known], minlength=size)
    count = np.bincount(clusters[known], minlength=size)
    means = np.full(size, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means


def qualifying(scores: Floats, clusters: Integers, prompt_score: float, cluster_score: float) -> Mask:
    """Tell which prompts reach both thresholds."""
    means = cluster_means(scores, clusters)
    own = np.full(len(scores), np.nan)
    inside = clusters >= 0
    own[inside] = means[clusters[inside]]
    with np.errstate(invalid="ignore"):
        return (scores >= prompt_score) & (own >= cluster_score)


@dataclass(frozen=True)
class Choice:
    """A drawn benchmark.

    Attributes:
        chosen: Places of the prompts, cluster by cluster in the order of their numbers.
        clusters: Clusters drawn.
        full: Those of them that gave as many prompts as asked.
        strata: ``(language, category)`` to clusters that qualify and clusters drawn.
        aside: Places of the prompts that qualify and were set aside before the draw, for another language of the same
            question.
    """

    chosen: Integers
    clusters: int
    full: int
    strata: dict[tuple[str, str], tuple[int, int]]
    aside: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def shares(sizes: Sequence[int], wanted: int) -> list[int]:
    """Split `wanted` in proportion to `sizes`, none above its size (largest remainders, the larger stratum first)."""
    total = sum(sizes)
    if wanted >= total:
        return list(sizes)
    exact = [wanted * size / total for size in sizes]
    found = [int(x) for x in exact]
    by_rest = sorted(range(len(sizes)), key=lambda i: (found[i] - exact[i], -sizes[i], i))
    for i in by_rest[: wanted - sum(found)]:
        found[i] += 1
    return found


def choose(
    good: Mask,
    clusters: Integers,
    strata: Sequence[tuple[str, str]],
    *,
    wanted: int,
    per_cluster: int,
    seed: int,
    questions: Integers | None = None,
) -> Choice:
    """Draw `per_cluster` prompts from each of `wanted` clusters.

    Clusters with enough prompts come first; where there are too few of them, those with fewer prompts follow, the
    larger first. Within a cluster the prompts are spread over its strata.

    Args:
        good: Which prompts qualify.
        clusters: Number of each prompt's cluster.
        strata: Language and category of each prompt.
        wanted: Clusters.
        per_cluster: Prompts of each.
        seed: Of the draw.
        questions: Number of the question of each prompt, of which one is drawn at most; -1: its own; `TAKEN`: none is drawn.
    """
    rng = np.random.default_rng(seed)
    aside = np.zeros(0, dtype=np.int64)
    if questions is not None:
        aside = _aside(good, clusters, questions, per_cluster, seed)
        good = good.copy()
        good[aside] = False
    members: dict[int, list[int]] = {}
    for i in np.flatnonzero(good & (clusters >= 0)).tolist():
        members.setdefault(int(clusters[i]), []).append(i)
    home = {c: _most(strata[i] for i in own) for c, own in members.items()}
    drawn: list[int] = []
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for size in range(per_cluster, 0, -1):
        pool = sorted(c for c, own in members.items() if min(len(own), per_cluster) == size)
        groups: dict[tuple[str, str], list[int]] = {}
        for c in pool:
            groups.setdefault(home[c], []).append(c)
        names = sorted(groups)
        counts = shares([len(groups[name]) for name in names], wanted - len(drawn)) if names else []
        for name, share in zip(names, counts, strict=True):
            picked = [groups[name][k] for k in sorted(rng.permutation(len(groups[name]))[:share].tolist())]
            drawn += picked
            before = found.get(name, (0, 0))
            found[name] = (before[0] + len(groups[name]), before[1] + len(picked))
    chosen: list[int] = []
    for c in sorted(drawn):
        chosen += _spread([members[c][k] for k in rng.permutation(len(members[c])).tolist()], strata, per_cluster)
    full = sum(len(members[c]) >= per_cluster for c in drawn)
    return Choice(np.array(chosen, dtype=np.int64), len(drawn), full, found, aside)


def _aside(good: Mask, clusters: Integers, questions: Integers, per_cluster: int, seed: int) -> Integers:
    """Return the prompts that make room for another one of their question.

    A question goes where it helps a cluster to the prompts that are asked of it: the clusters that lack fewest first,
    from the questions that could go to fewest others. Where it helps none, chance decides.
    """
    fits = np.flatnonzero(good & (clusters >= 0))
    size = np.bincount(clusters[fits][questions[fits] == -1], minlength=int(clusters.max(initial=-1)) + 1)
    several: dict[int, list[int]] = {}
    there: dict[int, list[int]] = {}
    # A stream of its own: where nothing is to be set aside, the draw is what it would be without questions.
    for i in np.random.default_rng([seed, 1]).permutation(fits[questions[fits] >= 0]).tolist():
        several.setdefault(int(questions[i]), []).append(i)
        there.setdefault(int(clusters[i]), []).append(i)
    stays: dict[int, int] = {}
    for c in sorted(there, key=lambda c: (max(per_cluster - size[c], 0), len(there[c]), c)):
        lacks = per_cluster - int(size[c])
        free: dict[int, int] = {}
        for i in there[c]:
            if int(questions[i]) not in stays:
                free.setdefault(int(questions[i]), i)
        if 0 < lacks <= len(free):
            for question in sorted(free, key=lambda q: len(several[q]))[:lacks]:
                stays[question] = free[question]
    out = [i for question, own in several.items() for i in own if i != stays.get(question, own[0])]
    return np.array(sorted(out + fits[questions[fits] == TAKEN].tolist()), dtype=np.int64)


def _most(names: Any) -> tuple[str, str]:
    counted: dict[tuple[str, str], int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    return min(counted, key=lambda name: (-counted[name], name))


def _spread(shuffled: Sequence[int], strata: Sequence[tuple[str, str]], most: int) -> list[int]:
    """Take `most` prompts, one of each stratum before a second of any."""
    rank: dict[tuple[str, str], int] = {}
    order = []
    for k, i in enumerate(shuffled):
        rank[strata[i]] = rank.get(strata[i], 0) + 1
        order.append((rank[strata[i]], k, i))
    return sorted(i for _, _, i in sorted(order)[:most])
