"""How far two annotators agree on the seven criteria, with intervals over prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from auditkit.bench.criteria import CRITERIA

__all__ = ["Agreement", "CriterionAgreement", "agreement"]

Labels = np.ndarray[Any, np.dtype[np.bool_]]
_REPLICATES: Final = 1000
_LEVEL: Final = 0.95
_FEWEST: Final = 2


@dataclass(frozen=True)
class CriterionAgreement:
    """Agreement on one criterion.

    Attributes:
        criterion: Its name.
        agree: Share of prompts on which both say the same.
        kappa: Cohen's kappa; None where an annotator says the same of every prompt (it is undefined).
        first_yes, second_yes: Share of prompts that each says meet it.
    """

    criterion: str
    agree: float
    kappa: float | None
    first_yes: float
    second_yes: float


@dataclass(frozen=True)
class Agreement:
    """Agreement of two annotators.

    Attributes:
        first, second: Who they are.
        n: Prompts that both annotated.
        criteria: Criterion by criterion.
        score_kappa: Quadratically weighted kappa of the scores (0 to 7); None: undefined.
        score_kappa_ci: Its interval, percentile bootstrap over prompts; None: undefined.
        score_difference: Mean of the first's score less the second's.
        level, replicates, seed: Of the interval.
    """

    first: str
    second: str
    n: int
    criteria: tuple[CriterionAgreement, ...]
    score_kappa: float | None
    score_kappa_ci: tuple[float, float] | None
    score_difference: float | None
    level: float = _LEVEL
    replicates: int = _REPLICATES
    seed: int = 0


def _kappa(a: Labels, b: Labels) -> float | None:
    p, q = a.mean(), b.mean()
    expected = p * q + (1 - p) * (1 - q)
    return None if expected >= 1.0 else float(((a == b).mean() - expected) / (1.0 - expected))


def _weighted(a: Any, b: Any, weights: Any) -> Any:
    """Return quadratically weighted kappa, one a row of `weights` (Cohen 1968); NaN where undefined."""
    total = weights.sum(axis=1)
    observed = weights @ ((a - b) ** 2.0) / total
    ma, mb = weights @ a / total, weights @ b / total
    va, vb = weights @ (a**2.0) / total - ma**2, weights @ (b**2.0) / total - mb**2
    expected = va + vb + (ma - mb) ** 2
    return 1.0 - np.divide(observed, expected, out=np.full(len(total), np.nan), where=expected > 1e-12)


def agreement(first: str, a: Labels, second: str, b: Labels, *, seed: int = 0) -> Agreement:
    """Measure the agreement of two annotators.

    Args:
        first, second: Their names.
        a, b: Criteria met, ``(n, 7)``, of the same prompts.
        seed: Of the bootstrap.
    """
    n = len(a)
    if n < _FEWEST:
        return Agreement(first, second, n, (), None, None, None, seed=seed)
    each = tuple(
        CriterionAgreement(
            name, float((a[:, k] == b[:, k]).mean()), _kappa(a[:, k], b[:, k]), float(a[:, k].mean()), float(b[:, k].mean())
        )
        for k, name in enumerate(CRITERIA)
    )  # fmt: skip
    x, y = a.sum(axis=1).astype(float), b.sum(axis=1).astype(float)
    rng = np.random.default_rng(seed)
    point = float(_weighted(x, y, np.ones((1, n)))[0])
    drawn = np.concatenate(
        [
            _weighted(x, y, rng.multinomial(n, np.full(n, 1 / n), size=100).astype(float))
            for _ in range(_REPLICATES // 100)
        ]
    )
    known = drawn[~np.isnan(drawn)]
    interval = None
    if not np.isnan(point) and len(known) >= 0.9 * _REPLICATES:
        low, high = np.quantile(known, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
        interval = (float(low), float(high))
    return Agreement(
        first, second, n, each, None if np.isnan(point) else point, interval, float((x - y).mean()), seed=seed
    )  # fmt: skip
