"""Exact Shapley values: split a difference fairly over the few parts that make it."""

from __future__ import annotations

from math import factorial

import numpy as np
from numpy.typing import NDArray

__all__ = ["shapley"]


def shapley(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each part's mean contribution over all orders in which the parts can be added.

    The contributions add up to ``values[all] - values[none]`` exactly.

    Args:
        values: Worth of every coalition (2**k, ...): row ``sum(2**j for j in coalition)``. Further axes
            (bootstrap replicates) are carried along.

    Returns:
        Contributions (k, ...).

    Source: Shapley, Contributions to the Theory of Games II (1953) 307.
    """
    parts = len(values).bit_length() - 1
    if len(values) != 2**parts:
        raise ValueError(f"expected a power of two of coalitions, got {len(values)}")
    result = np.zeros((parts, *values.shape[1:]))
    for coalition in range(len(values)):
        size = coalition.bit_count()
        for part in range(parts):
            if coalition >> part & 1:
                continue
            share = factorial(size) * factorial(parts - size - 1) / factorial(parts)
            result[part] += share * (values[coalition | 1 << part] - values[coalition])
    return result
