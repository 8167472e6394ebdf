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
#: A pool has a number of clusters of its own where the merge that would make them fewer is this much higher.
_GAP: Final = 1.15
_FEWEST: Final = 20
"""Fewer clusters than this are languages or registers, not topics: 4,272 real prompts in five languages fall into 5."""
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
    labels = _nearest(vectors, _centres(sample, wanted, seed))
    own = 0 if k else _natural(vectors, labels)
    if own:
        labels = _nearest(vectors, _centres(sample, own, seed))
        return Clusters(_by_size(labels), f"mini-batch k-means, {own} clusters (chosen by a gap in Ward's heights)")
    return Clusters(_by_size(labels), f"mini-batch k-means, {wanted} clusters")


def _centres(sample: Vectors, k: int, seed: int) -> Vectors:
    from sklearn.cluster import MiniBatchKMeans

    few = k <= _PIECES
    model = MiniBatchKMeans(
        k, random_state=seed, batch_size=max(4096, 2 * k), n_init=3 if few else 1, init="k-means++" if few else "random",
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


def _natural(vectors: Vectors, labels: Integers) -> int:
    """Return how many clusters a pool has by itself, 0 where it has no such number.

    The directions of k-means' pieces are merged by Ward's method. A pool of separate topics shows one gap: while
    pieces of one topic merge the heights rise little by little, and the first merge of two topics is much higher.
    Real prompts have no such gap (the largest ratio among 4,272 is 1.06).
    """
    from scipy.cluster.hierarchy import linkage

    _, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    count = len(sizes)
    if count <= 2 * _FEWEST:
        return 0
    sums = np.zeros((count, vectors.shape[1]))
    for j in range(vectors.shape[1]):
        sums[:, j] = np.bincount(inverse, weights=vectors[:, j].astype(np.float64), minlength=count)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    heights = np.maximum(linkage(sums / np.maximum(norms, 1e-12), method="ward")[:, 2], 1e-9)
    ratios = heights[1:] / heights[:-1]
    left = count - 1 - np.arange(len(ratios))  # clusters after the merge below the gap
    inside = (left >= _FEWEST) & (left <= 0.75 * count)
    if not inside.any():
        return 0
    best = int(np.argmax(np.where(inside, ratios, 0.0)))
    around = np.abs(np.arange(len(ratios)) - best) > 3
    rival = float(ratios[inside & around].max(initial=1.0))
    return int(left[best]) if ratios[best] >= _GAP and np.log(ratios[best]) >= 2 * np.log(rival) else 0


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
