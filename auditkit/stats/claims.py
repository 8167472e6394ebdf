"""Arithmetic of claimed gains: thresholds, the best of k settings, equivalence, and a gain at equal covariates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.errors import NoData, Undefined
from auditkit.stats.multiplicity import expected_maximum

__all__ = [
    "Adjustment",
    "Equivalence",
    "adjusted_gain",
    "detectable_gain",
    "difference_error",
    "equivalence",
    "level_of_best",
    "optimism_of_best",
    "threshold_of_gain",
]

Array = NDArray[np.float64]

_PROMPTS_A_COEFFICIENT: Final = 10
_DEPENDENT: Final = (
    1e-9  # smallest singular value, relative to the largest, of standardised columns that tell something
)
_BLOCK: Final = 4_000_000  # weights times products held at once: 32 MB


def difference_error(se: float, other_se: float, correlation: float = 0.0) -> float:
    """Return the standard error of the difference of two scores: ``sqrt(a^2 + b^2 - 2 r a b)``.

    Args:
        se: Standard error of one score, at least 0.
        other_se: Of the other, in the same unit.
        correlation: Of the two scores over prompts: 0 for scores of which only the boards are known.

    Raises:
        ValueError: An argument is outside its range.
    """
    if not (0.0 <= se < math.inf and 0.0 <= other_se < math.inf and -1.0 <= correlation <= 1.0):
        raise ValueError(f"expected errors of at least 0 and a correlation, got {se}, {other_se}, {correlation}")
    return math.sqrt(max(0.0, se * se + other_se * other_se - 2.0 * correlation * se * other_se))


def level_of_best(level: float, k: int) -> float:
    """Return the two-sided level at which the best of `k` settings is tested, so that `level` holds for all of them.

    Each of k gains exceeds its one-sided limit with chance ``1 - q``; all k stay below with ``q^k`` if they are
    independent, and with more if they are positively correlated. So ``q = ((1 + level) / 2)^(1/k)``.

    Args:
        level: Two-sided confidence level for one setting, 0..1.
        k: Settings that the best was picked from, at least 1.

    Raises:
        ValueError: An argument is outside its range.

    Source: Šidák, JASA 62 (1967) 626.
    """
    if not 0.0 < level < 1.0 or k < 1:
        raise ValueError(f"level must lie strictly between 0 and 1 and k be at least 1, got {level} and {k}")
    return float(2.0 * ((1.0 + level) / 2.0) ** (1.0 / k) - 1.0)


def threshold_of_gain(se: float, level: float = 0.95, k: int = 1) -> float:
    """Return the smallest observed gain whose interval excludes 0, for the best of `k` settings; in the unit of `se`.

    Args:
        se: Standard error of the gain, at least 0.
        level: Two-sided level.
        k: As for `level_of_best`.
    """
    from scipy.special import ndtri

    return float(ndtri((1.0 + level_of_best(level, k)) / 2.0)) * se


def detectable_gain(se: float, level: float = 0.95, power: float = 0.8, k: int = 1) -> float:
    """Return the true gain that exceeds `threshold_of_gain` with chance `power`.

    Raises:
        ValueError: `power` is outside 0.5..1, or as for `level_of_best`.

    Source: Cohen 1988, chapter 2.
    """
    from scipy.special import ndtri

    if not 0.5 <= power < 1.0:
        raise ValueError(f"power must lie in 0.5..1, got {power}")
    return threshold_of_gain(se, level, k) + float(ndtri(power)) * se


def optimism_of_best(se: float, k: int) -> float:
    """Return by how much the best of `k` settings without any gain is expected to look better: ``E max(k) * se``.

    Holds for independent settings; correlated ones look less good. Source: `auditkit.stats.multiplicity`.
    """
    return expected_maximum(k) * se


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests of ``|difference| < margin``.

    Attributes:
        p_value: The larger of the two one-sided p-values.
        ci: The ``1 - 2 alpha`` interval that lies within the margin exactly if both tests reject.
        equivalent: Whether both reject at alpha.
        alpha: One-sided error of each, ``1 - level``.
    """

    p_value: float
    ci: tuple[float, float]
    equivalent: bool
    alpha: float
    margin: float


def equivalence(
    difference: float, se: float, margin: float, *, level: float = 0.95, freedom: float | None = None
) -> Equivalence:
    """Test whether a difference is smaller than a margin that was chosen beforehand.

    A difference that fails to differ is not thereby equal: with few prompts everything fails to differ.

    Args:
        difference: The estimate.
        se: Its standard error, at least 0.
        margin: Largest difference that would not matter, above 0, in the same unit.
        level: ``1 - alpha``; each one-sided test has error alpha.
        freedom: Degrees of freedom of Student's t; None: normal.

    Raises:
        ValueError: An argument is outside its range.

    Source: Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15 (1987) 657 (TOST).
    """
    from scipy.special import ndtr, ndtri, stdtr, stdtrit

    if not (0.0 < margin < math.inf and 0.0 <= se < math.inf and 0.5 <= level < 1.0):
        raise ValueError(f"expected margin above 0, se at least 0, level in 0.5..1; got {margin}, {se}, {level}")
    if se == 0.0:
        inside = abs(difference) < margin
        return Equivalence(0.0 if inside else 1.0, (difference, difference), inside, 1.0 - level, margin)
    if freedom is None:
        below, quantile = float(ndtr((abs(difference) - margin) / se)), float(ndtri(level))
    else:
        below, quantile = float(stdtr(freedom, (abs(difference) - margin) / se)), float(stdtrit(freedom, level))
    ci = (difference - quantile * se, difference + quantile * se)
    return Equivalence(below, ci, below < 1.0 - level, 1.0 - level, margin)


@dataclass(frozen=True)
class Adjustment:
    """A mean paired difference, split, for each of R weightings; in the unit of the differences.

    Attributes:
        total: Weighted mean difference (R,).
        controlled: Expected difference at equal covariates (R,); NaN where the weighted columns are dependent.
        parts: By term, what comes with its covariates (R,); ``controlled + sum(parts) = total``.
    """

    total: Array
    controlled: Array
    parts: dict[str, Array]


def adjusted_gain(difference: Array, covariates: Array, terms: Sequence[str], weights: Array) -> Adjustment:
    """Regress paired differences of outcome on paired differences of covariates, and read off the gain at none.

    ``d_i = alpha + x_i beta``: alpha is the gain on a prompt to which both models give answers alike in x; what the
    two answers share of a prompt (its difficulty, its opponent's answer, its slot) cancels in both differences, so a
    slope over prompts cannot pass for one of length. Least squares, linear on the scale of the outcome: the parts
    ``mean(x) beta`` add up with alpha to the mean difference exactly, with no order of switching on.

    Args:
        difference: Candidate minus baseline by prompt (n,).
        covariates: Candidate minus baseline (n, p), finite; a column that is 0 everywhere gets slope 0.
        terms: What each column belongs to (p,).
        weights: Prompt weights (R, n), at least 0 with a positive sum: ones for the data, then bootstrap draws.

    Raises:
        NoData: Fewer than ten prompts a coefficient.
        Undefined: The covariates are linearly dependent, or one hardly varies: gain and covariate cannot be told apart.

    Source: Cochran, Biometrics 13 (1957) 261 (analysis of covariance); Wooldridge, Econometric Analysis of Cross
    Section and Panel Data (2010), section 10.5 (first differences).
    """
    d = np.asarray(difference, dtype=np.float64)
    used = np.flatnonzero(np.any(covariates != 0.0, axis=0))
    X = np.column_stack([np.ones(len(d)), covariates[:, used]])
    n, p = X.shape
    if n < _PROMPTS_A_COEFFICIENT * p:
        raise NoData(f"{n} prompts for {p} coefficients; at least {_PROMPTS_A_COEFFICIENT * p} are needed")
    scale = np.sqrt((X * X).mean(axis=0))
    X = X / scale
    singular = np.linalg.svd(X, compute_uv=False)
    if singular[-1] < _DEPENDENT * singular[0]:
        raise Undefined("a covariate does not vary or follows from the others: it cannot be told apart from the gain")
    products = (X[:, :, None] * X[:, None, :]).reshape(n, p * p)
    moments = X * d[:, None]
    size = weights.sum(axis=1, keepdims=True)
    coefficients = np.full((len(weights), p), np.nan)
    means = weights @ X / size
    step = max(1, _BLOCK // n)
    for start in range(0, len(weights), step):
        block = weights[start : start + step]
        normal = (block @ products).reshape(-1, p, p)
        right = block @ moments
        whole = np.linalg.cond(normal) < 1.0 / _DEPENDENT
        coefficients[start : start + step][whole] = np.linalg.solve(normal[whole], right[whole][:, :, None])[:, :, 0]
    names = [terms[int(j)] for j in used]
    parts = {term: np.zeros(len(weights)) for term in dict.fromkeys(terms)}
    for column, term in enumerate(names, start=1):
        parts[term] = parts[term] + means[:, column] * coefficients[:, column]
    return Adjustment((weights @ d) / size[:, 0], coefficients[:, 0] / scale[0], parts)
