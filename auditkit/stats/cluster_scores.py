"""Cluster-robust middle of a Bradley-Terry sandwich: the sum over prompts of score times score'.

A battle's score is its weighted residual times ``(e_a - e_b, x)``: two entries and the features. Summing it over
each prompt as a dense table would take prompts times models cells; this module never does.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["score_products"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_BLOCK: Final = 1 << 17  # rows a pass holds at once (whole prompts): memory does not grow with rows
_PAIRED_SIZE: Final = 32  # battles of a cluster up to which all their pairs cost less than a row of a dense table


def score_products(
    a: Codes, b: Codes, residual: Floats, X: Floats, clusters: Codes | None, n_models: int
) -> tuple[Floats, int]:
    """Return the sum over clusters of score times score', and the number of clusters with battles.

    The ratings' part of small clusters is summed over the pairs of their battles, that of large ones through a
    dense table of these clusters by models, both in blocks of whole clusters.

    Args:
        a: Codes of the first model of each battle, shape (n,).
        b: Codes of the second.
        residual: Weight times (outcome - fitted probability), shape (n,).
        X: Features, shape (n, p).
        clusters: Cluster codes, shape (n,); None: every battle is its own.
        n_models: How many models there are.
    """
    m, p = n_models, X.shape[1]
    meat = np.zeros((m + p, m + p))
    order, ends = (None, np.arange(1, len(a) + 1)) if clusters is None else _by_cluster(clusters)
    _add_features(meat, a, b, residual, X, clusters, m)
    cuts = ends[np.searchsorted(ends, np.arange(_BLOCK, len(a), _BLOCK))]
    for start, stop in pairwise([0, *np.unique(cuts).tolist(), len(a)]):
        if start < stop:
            # np.take, here and below: indexing by an array is several times slower
            rows = np.arange(start, stop) if order is None else order[start:stop].astype(np.int64)
            sizes = np.diff(
                ends[np.searchsorted(ends, start, side="right") : np.searchsorted(ends, stop) + 1], prepend=start
            )
            meat[:m, :m] += _ratings(a.take(rows), b.take(rows), residual.take(rows), sizes, m)
    return meat, len(ends)


def _add_features(
    meat: Floats, a: Codes, b: Codes, residual: Floats, X: Floats, clusters: Codes | None, m: int
) -> None:
    """Add the part of the features, and of features by ratings."""
    p = X.shape[1]
    shared: list[Floats] = []
    spread = np.empty(len(a))
    for j in range(p):
        np.multiply(residual, X[:, j], out=spread)
        if clusters is None:
            shared.append(spread.copy())
        else:
            shared.append(np.bincount(clusters, weights=spread).astype(np.float64, copy=False))
            np.take(shared[j], clusters, out=spread, mode="clip")  # other modes would copy
        spread *= residual
        meat[:m, m + j] = np.bincount(a, weights=spread, minlength=m) - np.bincount(b, weights=spread, minlength=m)
    if p:
        table = np.stack(shared)
        meat[m:, m:] = table @ table.T
        meat[m:, :m] = meat[:m, m:].T


def _by_cluster(clusters: Codes) -> tuple[NDArray[np.int32], Codes]:
    """Return the order that sorts rows by cluster, and where each cluster that has rows ends in it.

    A counting sort (SciPy's conversion of a sparse matrix), eight times as fast as NumPy's sorting here.
    """
    from scipy.sparse import coo_array

    n, n_clusters = len(clusters), int(clusters.max()) + 1
    at = (clusters.astype(np.int32), np.arange(n, dtype=np.int32))
    sorted_rows = coo_array((np.ones(n, dtype=np.int8), at), shape=(n_clusters, n)).tocsr()
    ends = sorted_rows.indptr.astype(np.int64)
    return sorted_rows.indices, ends[1:][np.diff(ends) > 0]


def _ratings(a: Codes, b: Codes, residual: Floats, sizes: Codes, m: int) -> Floats:
    """Return the products of the ratings' part in one block of whole clusters, sorted, of these sizes."""
    local = np.repeat(np.arange(len(sizes)), sizes)
    products = np.zeros((m, m))
    large = sizes > max(_PAIRED_SIZE, m // 8)
    if large.any():
        rows = large[local]
        number = (np.cumsum(large) - 1)[local[rows]] * m
        cells = int(large.sum()) * m
        dense = np.bincount(number + a[rows], weights=residual[rows], minlength=cells)
        dense -= np.bincount(number + b[rows], weights=residual[rows], minlength=cells)
        own = dense.reshape(-1, m)
        products += own.T @ own
        a, b, residual, local = a[~rows], b[~rows], residual[~rows], local[~rows]
    return products + _pair_products(a, b, residual, local, m)


def _pair_products(a: Codes, b: Codes, residual: Floats, clusters: Codes, m: int) -> Floats:
    """Return the products of all pairs of battles of one cluster; rows sorted by cluster, clusters small."""
    cells = m * m
    square = np.bincount(a * m + b, weights=residual * residual, minlength=cells).reshape(m, m)
    products = np.diag(square.sum(axis=1) + square.sum(axis=0)) - square - square.T
    cell: list[Codes] = []
    weight: list[Floats] = []
    row_a, row_b = a * m, b * m
    lag, first = 0, np.arange(len(a))
    while True:
        lag += 1
        first = first[: np.searchsorted(first, len(a) - lag)]
        first = first[clusters.take(first) == clusters.take(first + lag)]
        if not len(first):
            break
        second = first + lag
        above_a, above_b, across_a, across_b = row_a.take(first), row_b.take(first), a.take(second), b.take(second)
        both = residual.take(first) * residual.take(second)
        cell += [above_a + across_a, above_b + across_b, above_a + across_b, above_b + across_a]
        weight += [both, both, -both, -both]
    if cell:
        summed = np.bincount(np.concatenate(cell), weights=np.concatenate(weight), minlength=cells).reshape(m, m)
        products += summed + summed.T
    return np.asarray(products, dtype=np.float64)
