"""Many tests at once, and the best of many: adjusted p-values, and how good the best of K looks by chance."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["PAIRED_SD", "benjamini_hochberg", "expected_maximum", "holm", "selection_optimism"]

Array = NDArray[np.float64]

#: Standard deviation of paired differences of verdicts over prompts that planning figures assume.
PAIRED_SD: Final = 0.45


def holm(p_values: ArrayLike) -> Array:
    """Return Holm's adjusted p-values: reject those at most alpha and no true hypothesis falls with probability 1 - alpha.

    Args:
        p_values: (m,) p-values in 0..1; NaN: not tested, not counted, stays NaN.

    Raises:
        ValueError: A p-value is outside 0..1.

    Source: Holm, Scandinavian J. of Statistics 6 (1979) 65.
    """
    p, tested, order = _sorted(p_values)
    m = len(order)
    stepped = np.maximum.accumulate(p[tested][order] * (m - np.arange(m)))
    return _restored(p, tested, order, stepped)


def benjamini_hochberg(p_values: ArrayLike) -> Array:
    """Return Benjamini and Hochberg's adjusted p-values: of those at most q, a share of at most q is false, on average.

    Holds for independent and for positively dependent tests. Arguments and errors as for `holm`.

    Source: Benjamini and Hochberg, JRSS B 57 (1995) 289; adjusted form: Yekutieli and Benjamini,
    J. Statistical Planning and Inference 82 (1999) 171.
    """
    p, tested, order = _sorted(p_values)
    m = len(order)
    stepped = np.minimum.accumulate((p[tested][order] * m / np.arange(1, m + 1))[::-1])[::-1]
    return _restored(p, tested, order, stepped)


def expected_maximum(k: int) -> float:
    """Return the expected largest of k independent standard normal draws (0 for k = 1).

    Raises:
        ValueError: k is below 1.
    """
    from scipy.special import log_ndtr

    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    # E max - E one is the integral of P(one <= z) - P(max <= z), and E one is 0
    z = np.linspace(-12.0, 12.0, 24_001)
    below = log_ndtr(z)
    return float(np.trapezoid(np.exp(below) - np.exp(k * below), z))


def selection_optimism(k: int, n: int, sd: float = PAIRED_SD) -> float:
    """Return by how much the best of k candidates without effect is expected to look better, on the n prompts that chose it.

    ``E max(k) * sd / sqrt(n)``, for candidates whose means are independent and normal; correlated ones look less good.
    On other prompts the expectation is 0, and only those are reported. The same is what picking the best of k private
    runs adds to an honest score.

    Args:
        k: Candidates, at least 1.
        n: Prompts each was tried on, at least 1.
        sd: Standard deviation of the paired differences over prompts; the result has its unit.

    Raises:
        ValueError: An argument is outside its range.
    """
    if n < 1 or not 0.0 <= sd < math.inf:
        raise ValueError(f"n must be at least 1 and sd at least 0, got {n} and {sd}")
    return expected_maximum(k) * sd / math.sqrt(n)


def _sorted(p_values: ArrayLike) -> tuple[Array, NDArray[np.bool_], NDArray[np.intp]]:
    p = np.asarray(p_values, dtype=np.float64).ravel()
    if ((p < 0.0) | (p > 1.0)).any():
        raise ValueError("p-values must lie in 0..1")
    tested = ~np.isnan(p)
    return p, tested, np.argsort(p[tested], kind="stable")


def _restored(p: Array, tested: NDArray[np.bool_], order: NDArray[np.intp], stepped: Array) -> Array:
    inner = np.empty(len(order))
    inner[order] = np.minimum(stepped, 1.0)
    adjusted = np.full(len(p), np.nan)
    adjusted[tested] = inner
    return adjusted
