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
_GAP: Final = 1.35
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


def cluster(vectors: Vectors, *, method: str, min_cluster: int, k: int, seed: int) -> Clusters:
    """Find clusters.

    Args:
        vectors: One row a prompt, of length 1 (rows of zeros: prompts without a known word).
        method: ``hdbscan`` or ``kmeans``.
        min_cluster: Smallest cluster of HDBSCAN.
        k: Clusters of k-means; 0: chosen.
        seed: Of every random draw.
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
        return _kmeans(vectors, k, seed)


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


def _kmeans(vectors: Vectors, k: int, seed: int) -> Clusters:
    from sklearn.cluster import MiniBatchKMeans

    count = len(vectors)
    wanted = k or int(np.clip(count // _PER_CLUSTER, 2, _MOST))
    sample = vectors[:: max(1, -(-count // _FITTED))].astype(np.float32)
    wanted = min(wanted, len(sample))
    model = MiniBatchKMeans(
        wanted, random_state=seed, batch_size=max(4096, 2 * wanted), n_init=1, init="random" if wanted > _PIECES else "k-means++",
        max_iter=30, reassignment_ratio=0.0, compute_labels=False,
    )  # fmt: skip
    model.fit(sample)
    centres = model.cluster_centers_.astype(np.float32)
    labels = _nearest(vectors, centres)
    method = f"mini-batch k-means, {wanted} clusters"
    if not k:
        own = _natural(vectors, labels, seed)
        if own is not None:
            return Clusters(_by_size(own), f"{method} joined to {int(own.max()) + 1} (a gap in the merge heights)")
    return Clusters(_by_size(labels), method)


def _nearest(vectors: Vectors, centres: Vectors) -> Integers:
    half = (centres**2).sum(axis=1) / 2
    step = _CHUNK // 5
    chunks = [
        (vectors[i : i + step].astype(np.float32) @ centres.T - half).argmax(axis=1)
        for i in range(0, len(vectors), step)
    ]
    return np.concatenate(chunks).astype(np.int64)


def _natural(vectors: Vectors, labels: Integers, seed: int) -> Integers | None:
    """Join k-means' pieces where the pool has clusters of its own, None where it has not.

    Pieces are merged by average linkage; the pool has a number of clusters of its own if one merge is much higher
    than the one before it (the largest ratio, at least 1.35).
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    names, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) < 4:
        return None
    sums = np.zeros((len(names), vectors.shape[1]))
    for j in range(vectors.shape[1]):
        sums[:, j] = np.bincount(inverse, weights=vectors[:, j], minlength=len(names))
    tree = linkage(sums / sizes[:, None], method="average")
    heights = np.maximum(tree[:, 2], 1e-9)
    ratios = heights[1:] / heights[:-1]
    # A gap among the first merges, or one that leaves a single pair of clusters, says nothing.
    low, high = len(ratios) // 4, len(ratios) - 1
    if high <= low:
        return None
    best = low + int(ratios[low:high].argmax())
    if ratios[best] < _GAP:
        return None
    joined = fcluster(tree, (heights[best] + heights[best + 1]) / 2, criterion="distance") - 1
    return np.asarray(joined, dtype=np.int64)[inverse]


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
