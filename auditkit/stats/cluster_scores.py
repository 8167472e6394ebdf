"""Cluster-robust middle of a Bradley-Terry sandwich: the sum over prompts of score times score'.

A battle's score is its weighted residual times ``(e_a - e_b, x)``: two entries and the features. Summing it over
each prompt as a dense table would take prompts times models cells; this module never does.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["score_products"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_PAIRED_SIZE: Final = 32  # battles of a cluster up to which all their pairs cost less than a row of a dense table


def _by_cluster(clusters: Codes, n_clusters: int) -> NDArray[np.int32]:
    """Return the order that sorts rows by cluster: a counting sort, eight times as fast as NumPy's here."""
    from scipy.sparse import coo_array

    n = len(clusters)
    at = (clusters.astype(np.int32), np.arange(n, dtype=np.int32))
    order: NDArray[np.int32] = coo_array((np.ones(n, dtype=np.int8), at), shape=(n_clusters, n)).tocsr().indices
    return order


def _own_products(a: Codes, b: Codes, square: Floats, n_models: int) -> Floats:
    """Return the sum over battles of ``square * d d'`` with ``d = e_a - e_b``."""
    table = np.bincount(a * n_models + b, weights=square, minlength=n_models * n_models).reshape(n_models, n_models)
    return np.asarray(np.diag(table.sum(axis=1) + table.sum(axis=0)) - table - table.T, dtype=np.float64)


def _pair_products(a: Codes, b: Codes, residual: Floats, clusters: Codes, n_models: int) -> Floats:
    """Return the products of all pairs of battles of one cluster; rows sorted by cluster, clusters small."""
    cells = n_models * n_models
    table = np.zeros(cells)
    first = np.arange(len(a))
    lag = 0
    while True:
        lag += 1
        first = first[: np.searchsorted(first, len(a) - lag)]
        first = first[clusters[first] == clusters[first + lag]]
        if not len(first):
            break
        second = first + lag
        weight = residual[first] * residual[second]
        row_a, row_b, column_a, column_b = a[first] * n_models, b[first] * n_models, a[second], b[second]
        table += np.bincount(row_a + column_a, weights=weight, minlength=cells)
        table += np.bincount(row_b + column_b, weights=weight, minlength=cells)
        table -= np.bincount(row_a + column_b, weights=weight, minlength=cells)
        table -= np.bincount(row_b + column_a, weights=weight, minlength=cells)
    square = table.reshape(n_models, n_models)
    return np.asarray(square + square.T) + _own_products(a, b, residual * residual, n_models)


def score_products(
    a: Codes, b: Codes, residual: Floats, X: Floats, clusters: Codes | None, n_models: int
) -> tuple[Floats, int]:
    """Return the sum over clusters of score times score', and the number of clusters with battles.

    A battle's score is its weighted residual times ``(e_a - e_b, x)``. The ratings' part of small clusters is
    summed over the pairs of their battles, that of large ones through a dense table of clusters by models:
    memory stays proportional to the number of battles whatever the clusters are.
    """
    m, p = n_models, X.shape[1]
    meat = np.zeros((m + p, m + p))
    if clusters is None:
        sizes, shared_here = np.ones(len(a), dtype=np.int64), X * residual[:, None]
        summed = residual[:, None] * shared_here
        meat[:m, :m] = _own_products(a, b, residual * residual, m)
    else:
        n_clusters = int(clusters.max()) + 1
        sizes = np.bincount(clusters, minlength=n_clusters)
        shared_here = np.empty((n_clusters, p))
        for j in range(p):
            shared_here[:, j] = np.bincount(clusters, weights=residual * X[:, j], minlength=n_clusters)
        summed = residual[:, None] * shared_here[clusters]
        large = sizes > max(_PAIRED_SIZE, m // 8)
        in_large = large[clusters]
        if in_large.any():
            number = (np.cumsum(large) - 1)[clusters[in_large]] * m
            cells = int(large.sum()) * m
            r = residual[in_large]
            dense = np.bincount(number + a[in_large], weights=r, minlength=cells)
            dense -= np.bincount(number + b[in_large], weights=r, minlength=cells)
            own = dense.reshape(-1, m)
            meat[:m, :m] += own.T @ own
        if not in_large.all():
            order = _by_cluster(clusters, n_clusters)
            if in_large.any():
                order = order[~in_large[order]]
            meat[:m, :m] += _pair_products(a[order], b[order], residual[order], clusters[order], m)
    for j in range(p):
        column = np.ascontiguousarray(summed[:, j])
        meat[:m, m + j] = np.bincount(a, weights=column, minlength=m) - np.bincount(b, weights=column, minlength=m)
    meat[m:, :m] = meat[:m, m:].T
    meat[m:, m:] = shared_here.T @ shared_here
    return meat, int(np.count_nonzero(sizes))
