"""The prompt bootstrap: resample prompts, keep every game of a drawn prompt together."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.errors import NoData

__all__ = ["bootstrap_means", "prompt_weights"]

_BLOCK: Final = 2_000_000  # draws held at once: 16 MB


def prompt_weights(n_prompts: int, replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw bootstrap weights: how often each prompt occurs in a resample of `n_prompts` prompts with replacement.

    Args:
        n_prompts: Prompts, at least 1.
        replicates: Resamples.
        rng: The generator that is drawn from.

    Returns:
        Multinomial counts (replicates, n_prompts); every row sums to `n_prompts`.

    Raises:
        NoData: There is no prompt to draw from.

    Source: Efron, Annals of Statistics 7 (1979) 1; Field and Welsh, JRSS B 69 (2007) 369 (clusters).
    """
    if n_prompts < 1:
        raise NoData("no prompts to resample")
    weights = np.empty((replicates, n_prompts))
    step = max(1, _BLOCK // n_prompts)
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        drawn = rng.integers(0, n_prompts, size=(rows, n_prompts))
        drawn += np.arange(rows)[:, None] * n_prompts
        weights[start : start + rows] = np.bincount(drawn.ravel(), minlength=rows * n_prompts).reshape(rows, n_prompts)
    return weights


def bootstrap_means(values: NDArray[np.float64], replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return every column's mean in every resample of the rows (prompts), the same rows for all columns.

    Args:
        values: (n, M) outcomes, NaN where a column has none for a prompt.
        replicates: Resamples.
        rng: The generator that is drawn from.

    Returns:
        (replicates, M); NaN where a resample holds no value of a column.

    Raises:
        NoData: There is no prompt to draw from.
    """
    n, columns = values.shape
    found = np.isfinite(values)
    filled, mask = np.where(found, values, 0.0), found.astype(np.float64)
    complete = bool(found.all())
    means = np.empty((replicates, columns))
    step = max(1, _BLOCK // max(n, 1))
    for start in range(0, replicates, step):
        weights = prompt_weights(n, min(step, replicates - start), rng)
        size = np.full((1, 1), float(n)) if complete else weights @ mask
        with np.errstate(invalid="ignore", divide="ignore"):
            means[start : start + step] = weights @ filled / size
    return means
