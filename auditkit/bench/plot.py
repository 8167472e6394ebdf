"""The map of a pool as inline SVG: prompts as dots, near ones together, drawn ones marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from auditkit.bench.clustering import coordinates
from auditkit.errors import printable

__all__ = ["cluster_map"]

_DOTS: Final = 800
_LABELS: Final = 14
_WIDTH: Final = 960
_HEIGHT: Final = 600
_EDGE: Final = 30
_FEWEST: Final = 50
_PLACE: Final = 50


def _layout(vectors: Any, seed: int) -> Any:
    """Return places between 0 and 1: t-SNE of up to 50 directions, or the two main directions of a small pool."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        narrow = coordinates(vectors, _PLACE, seed)
        if len(narrow) >= _FEWEST and np.ptp(narrow, axis=0).max() > 1e-6:
            perplexity = min(30.0, (len(narrow) - 1) / 3)
            tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, max_iter=250, learning_rate="auto")
            narrow = tsne.fit_transform(narrow)
    flat = np.zeros((len(narrow), 2))
    flat[:, : min(2, narrow.shape[1])] = narrow[:, :2]
    spread = np.maximum(np.ptp(flat, axis=0), 1e-9)
    return (flat - flat.min(axis=0)) / spread


def cluster_map(vectors: Any, labels: Any, scores: Any, chosen: Any, names: Mapping[int, str], seed: int) -> Markup:
    """Draw a pool.

    Args:
        vectors: One row a prompt.
        labels: Clusters.
        scores: Criteria met; NaN: not read.
        chosen: Places of the prompts that were drawn.
        names: Names of clusters.
        seed: Of the layout.
    """
    count = len(vectors)
    rng = np.random.default_rng(seed)
    marked = np.sort(rng.permutation(chosen)[: _DOTS // 2])
    others = np.setdiff1d(np.arange(count), chosen)
    shown = np.sort(np.concatenate((marked, rng.permutation(others)[: _DOTS - len(marked)]))).astype(np.int64)
    if not len(shown):
        return Markup("")
    places = _layout(np.asarray(vectors[shown], dtype=np.float32), seed)
    x = _EDGE + places[:, 0] * (_WIDTH - 2 * _EDGE)
    y = _EDGE + places[:, 1] * (_HEIGHT - 2 * _EDGE)
    drawn = np.isin(shown, chosen)
    dots = []
    for mark in (False, True):
        for i in np.flatnonzero(drawn == mark).tolist():
            score = scores[shown[i]]
            level = "none" if np.isnan(score) else f"s{int(score)}"
            dots.append(
                Markup('<circle class="{}{}" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(
                    level, " drawn" if mark else "", x[i], y[i], 4 if mark else 2.5
                )
            )
    own = labels[shown]
    title = f"{len(shown)} of {count} prompts; {int(drawn.sum())} of those shown were drawn"
    return Markup(
        '<svg class="map" viewBox="0 0 {} {}" role="img" aria-labelledby="map-t"><title id="map-t">{}</title>{}{}</svg>'
    ).format(_WIDTH, _HEIGHT, title, Markup("").join(dots), _names(own, x, y, drawn, names))


def _names(own: Any, x: Any, y: Any, drawn: Any, names: Mapping[int, str]) -> Markup:
    """Write the names of the clusters with most drawn dots, where no name stands yet."""
    texts, taken = [], list[tuple[float, float]]()
    numbers, sizes = np.unique(own[drawn & (own >= 0)], return_counts=True)
    members = {int(n): int((own == n).sum()) for n in numbers}
    for number, _ in sorted(zip(numbers.tolist(), sizes.tolist(), strict=True), key=lambda p: (-members[p[0]], p[0])):
        inside = own == number
        at = float(np.median(x[inside])), float(np.median(y[inside]))
        if len(taken) >= _LABELS or any(abs(at[0] - a) < 150 and abs(at[1] - b) < 22 for a, b in taken):
            continue
        taken.append(at)
        left = min(max(at[0], 90.0), _WIDTH - 90.0)
        texts.append(
            Markup('<text x="{:.1f}" y="{:.1f}">{}</text>').format(
                left, at[1] - 6, printable(names.get(number, ""), 32)
            )
        )
    return Markup("").join(texts)
