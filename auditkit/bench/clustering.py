"""Clusters of vectors: HDBSCAN after a reduction for small pools, mini-batch k-means for large ones.

HDBSCAN leaves prompts outside every cluster. As published (BERTopic's ``reduce_outliers``), each of them goes to the
cluster whose words it shares most, by the cosine of class-based TF-IDF; one that shares none stays outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from auditkit.bench.embedding import hashed_counts
from auditkit.bench.settings import LARGE_POOL

__all__ = ["Clusters", "class_weights", "cluster", "coordinates", "join_outliers", "method_for"]

Integers = np.ndarray[Any, np.dtype[np.int64]]
Vectors = np.ndarray[Any, np.dtype[np.floating[Any]]]

OUTLIER: Final = -1
_REDUCED: Final = 15
_FITTED: Final = 200_000
"""Vectors that k-means is fitted on, evenly spaced over a larger pool."""
_CHUNK: Final = 50_000
#: A cluster for every 16 prompts, at most 4,000: what BenchBuilder found in 200,000.
_PER_CLUSTER: Final = 16
_MOST: Final = 4_000
_PIECES: Final = 500
#: Numbers of clusters at which a peak of the silhouette is looked for. Fewer clusters are languages or registers.
_FEWEST: Final = 20
_GRID_STEP: Final = 1.25
_GRID_SAMPLE: Final = 8_000
_SCORED: Final = 4_000
#: A peak stands so much above what is two steps beside it, and is at least this high.
_AROUND: Final = 2
_PEAK: Final = 1.15
_CLEAR: Final = 0.1
_BUCKETS: Final = 1 << 16


@dataclass(frozen=True)
class Clusters:
    """The clusters of a pool.

    Attributes:
        labels: The number of each prompt's cluster, from 0 by falling size; -1: in none.
        method: How they were found, for the datasheet.
        outliers: Prompts that HDBSCAN left outside, before they were given to clusters.
    """

    labels: Integers
    method: str
    outliers: int = 0


def method_for(asked: str, count: int, embedding: str) -> str:
    """Return ``hdbscan`` or ``kmeans``: the one that was asked for, or the one for a pool of `count` prompts.

    Hashed words leave no dense regions for HDBSCAN to find: of 2,135 real prompts it left 70% outside every cluster.
    """
    if asked != "auto":
        return asked
    return "kmeans" if count > LARGE_POOL or embedding == "hashed" else "hdbscan"


def cluster(vectors: Vectors, *, method: str, min_cluster: int, k: int, seed: int, least: int = 2) -> Clusters:
    """Find clusters.

    Args:
        vectors: One row a prompt, of length 1 (rows of zeros: prompts without a known word).
        method: ``hdbscan`` or ``kmeans``.
        min_cluster: Smallest cluster of HDBSCAN.
        k: Clusters of k-means; 0: chosen.
        seed: Of every random draw.
        least: Clusters that k-means should find at least where it chooses, as far as eight prompts each allow.
    """
    from threadpoolctl import threadpool_limits

    count = len(vectors)
    if count == 0:
        return Clusters(np.zeros(0, dtype=np.int64), "none: no prompts")
    if np.ptp(vectors, axis=0).max(initial=0.0) < 1e-6:
        return Clusters(np.zeros(count, dtype=np.int64), "none: all prompts have one vector")
    with threadpool_limits(1):  # sums of floats must not depend on how many processors there are
        if method == "hdbscan" and count > min_cluster:
            return _hdbscan(vectors, min_cluster, seed)
        if method == "hdbscan":
            return Clusters(np.zeros(count, dtype=np.int64), f"none: no more than {min_cluster} prompts")
        return _kmeans(vectors, k, seed, least)


def _by_size(labels: Integers) -> Integers:
    """Number the clusters by falling size; of one size, by their first member."""
    inside = labels >= 0
    names, first, inverse, sizes = np.unique(
        labels[inside], return_index=True, return_inverse=True, return_counts=True
    )  # fmt: skip
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(names))
    out = np.full(len(labels), OUTLIER, dtype=np.int64)
    out[inside] = rank[inverse]
    return out


def coordinates(vectors: Vectors, size: int, seed: int) -> Vectors:
    """Return the vectors in the `size` directions of their largest variance (fitted on at most 50,000 of them)."""
    from sklearn.decomposition import PCA

    sample = vectors[:: max(1, -(-len(vectors) // _CHUNK))].astype(np.float32)
    if len(sample) < 2:
        return np.zeros((len(vectors), 1), dtype=np.float32)
    size = min(size, *sample.shape)
    reduction = PCA(size, svd_solver="covariance_eigh" if sample.shape[1] <= 1000 else "randomized", random_state=seed)
    reduction.fit(sample)
    # The sign of a direction means nothing and is not the same on every machine.
    signs = np.sign(reduction.components_[np.arange(size), np.abs(reduction.components_).argmax(axis=1)])
    chunks = [
        reduction.transform(vectors[i : i + _CHUNK].astype(np.float32)) * signs for i in range(0, len(vectors), _CHUNK)
    ]
    return np.concatenate(chunks).astype(np.float32)


def _hdbscan(vectors: Vectors, min_cluster: int, seed: int) -> Clusters:
    from sklearn.cluster import HDBSCAN

    reduced = coordinates(vectors, _REDUCED, seed)
    found = HDBSCAN(min_cluster_size=min_cluster, copy=True).fit_predict(reduced).astype(np.int64)
    labels = _by_size(found)
    method = f"HDBSCAN (smallest cluster {min_cluster}) after PCA to {reduced.shape[1]} dimensions"
    return Clusters(labels, method, int((labels < 0).sum()))


def _kmeans(vectors: Vectors, k: int, seed: int, least: int) -> Clusters:
    count = len(vectors)
    wanted = k or int(np.clip(max(count // _PER_CLUSTER, min(least, count // 8)), 2, _MOST))
    sample = vectors[:: max(1, -(-count // _FITTED))].astype(np.float32)
    wanted = min(wanted, len(sample))
    own = None if k else _natural(sample, seed)
    if own is not None:
        labels = _nearest(vectors, _centres(sample, len(own), seed, own))
        return Clusters(_by_size(labels), f"mini-batch k-means, {len(own)} clusters (where the silhouette peaks)")
    labels = _nearest(vectors, _centres(sample, wanted, seed))
    return Clusters(_by_size(labels), f"mini-batch k-means, {wanted} clusters")


def _centres(sample: Vectors, k: int, seed: int, start: Vectors | None = None, starts: int = 3) -> Vectors:
    from sklearn.cluster import MiniBatchKMeans

    few = k <= _PIECES
    init: Any = "k-means++" if few else "random"
    if start is not None:
        init = start
    model = MiniBatchKMeans(
        k, random_state=seed, batch_size=max(4096, 2 * k), n_init=starts if few and start is None else 1, init=init,
        max_iter=30, reassignment_ratio=0.01 if few else 0.0, compute_labels=False,
    )  # fmt: skip
    return np.asarray(model.fit(sample).cluster_centers_, dtype=np.float32)


def _nearest(vectors: Vectors, centres: Vectors) -> Integers:
    half = (centres**2).sum(axis=1) / 2
    step = _CHUNK // 5
    chunks = [
        (vectors[i : i + step].astype(np.float32) @ centres.T - half).argmax(axis=1)
        for i in range(0, len(vectors), step)
    ]
    return np.concatenate(chunks).astype(np.int64)


def _natural(sample: Vectors, seed: int) -> Vectors | None:
    """Return the centres of the clusters that a pool has by itself, None where it has no number of its own.

    The simplified silhouette (how much nearer the own centre is than the next) is looked at on a grid of numbers. In
    a pool of separate topics it peaks at their number, for any further cluster splits a topic; in a pool without them
    it has no peak. What is still split just above it is joined as long as the silhouette rises.
    """
    sample = sample[:: max(1, -(-len(sample) // _GRID_SAMPLE))]
    grid = [_FEWEST]
    while (k := int(grid[-1] * _GRID_STEP)) <= min(_PIECES, len(sample) // 8):
        grid.append(k)
    if len(grid) < 2 * _AROUND + 1:
        return None
    found, scores = [], []
    for k in grid:
        found.append(_centres(sample, k, seed, starts=1))
        scores.append(_silhouette(sample, found[-1]))
    best = int(np.argmax(scores[_AROUND:-_AROUND])) + _AROUND
    ends = max(scores[best - _AROUND], scores[best + _AROUND])
    if scores[best] < _CLEAR or scores[best] < _PEAK * ends:
        return None
    return _joined(sample, found[best + 1])


def _silhouette(vectors: Vectors, centres: Vectors) -> float:
    some = vectors[:: max(1, len(vectors) // _SCORED)]
    squares = (some**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * some @ centres.T
    near = np.sqrt(np.maximum(np.partition(squares, 1, axis=1)[:, :2], 0.0))
    return float(((near[:, 1] - near[:, 0]) / np.maximum(near[:, 1], 1e-9)).mean())


def _joined(vectors: Vectors, centres: Vectors) -> Vectors:
    """Join centres that are parts of one cluster: as many, in the order of Ward's merges, as raise the silhouette."""
    from scipy.cluster.hierarchy import fcluster, linkage

    sizes = np.bincount(_nearest(vectors, centres), minlength=len(centres)).astype(np.float64)
    norms = np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    tree = linkage(centres / norms, method="ward")
    best, highest = centres, _silhouette(vectors, centres)
    for wanted in range(len(centres) - 1, len(centres) // 2, -1):
        group = fcluster(tree, wanted, criterion="maxclust") - 1
        sums = np.zeros((int(group.max()) + 1, centres.shape[1]))
        np.add.at(sums, group, centres * sizes[:, None])
        joined = np.asarray(sums / np.maximum(np.bincount(group, weights=sizes), 1.0)[:, None], dtype=np.float32)
        if (score := _silhouette(vectors, joined)) > highest:
            best, highest = joined, score
    return best


# --- outliers -------------------------------------------------------------------------------------------------------


def class_weights(counts: Any) -> Any:
    """Return class-based TF-IDF of the word counts of clusters: ``tf * log(1 + A / f)``.

    `tf` is a word's share of its cluster, `f` its count over all clusters, `A` the mean number of words of a cluster
    (Grootendorst 2022, equation 2).

    Args:
        counts: Word counts, ``(clusters, words)``, sparse.
    """
    from scipy import sparse

    total = np.asarray(counts.sum(axis=0)).ravel()
    sizes = np.asarray(counts.sum(axis=1)).ravel()
    idf = np.log(1.0 + sizes.mean() / np.maximum(total, 1.0))
    share = sparse.diags_array(1.0 / np.maximum(sizes, 1.0)) @ counts
    return sparse.csr_matrix(share @ sparse.diags_array(idf))


def join_outliers(labels: Integers, texts: Iterator[Sequence[str]]) -> Integers:
    """Give every prompt outside the clusters to the one whose words it shares most.

    Args:
        labels: Clusters, -1 outside.
        texts: The prompts' texts in order, batch by batch.
    """
    from scipy import sparse

    size = int(labels.max(initial=OUTLIER)) + 1
    if size == 0 or (labels >= 0).all():
        return labels
    total = sparse.csr_matrix((size, _BUCKETS), dtype=np.float64)
    outside = []
    start = 0
    for batch in texts:
        own = labels[start : start + len(batch)]
        start += len(batch)
        counts = hashed_counts(batch, _BUCKETS)
        inside = np.flatnonzero(own >= 0)
        ones = np.ones(len(inside))
        total += sparse.csr_matrix((ones, (own[inside], inside)), shape=(size, len(batch))) @ counts
        outside.append(counts[np.flatnonzero(own < 0)])
    weights = class_weights(total)
    norms = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1)).ravel())
    weights = sparse.diags_array(1.0 / np.maximum(norms, 1e-12)) @ weights
    shared = (sparse.vstack(outside) @ weights.T).toarray()
    best = shared.argmax(axis=1)
    best[shared.max(axis=1) <= 0.0] = OUTLIER
    out = labels.copy()
    out[labels < 0] = best
    return out
