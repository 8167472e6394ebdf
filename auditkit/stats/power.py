"""What a test of paired uplift could find: the effect for given prompts, the prompts for a given effect, and the effect
that a limit as it was computed would have found.
"""

from __future__ import annotations

import math

__all__ = ["detectable_by", "minimum_detectable_effect", "required_prompts", "sd_limit"]


def detectable_by(needed: float, se: float, power: float = 0.8) -> float:
    """Return the smallest true mean whose lower limit exceeds 0 with probability `power`.

    ``needed + z(power) * se``: the estimate of such a mean lies above `needed` that often. Normal approximation; level and
    number of attacks are those of the limit.

    Args:
        needed: The smallest estimate whose lower limit exceeds 0, at least 0, in the unit of the mean; infinite: none.
        se: Standard error of the mean, finite and at least 0.
        power: Chance to find the effect, 0.5..1.

    Raises:
        ValueError: An argument is outside its range.
    """
    from scipy.special import ndtri

    if not needed >= 0.0:
        raise ValueError(f"needed must be at least 0, got {needed}")
    _check(se, 1, 0.05, power)
    return needed + float(ndtri(power)) * se


def sd_limit(sd: float, n: int, width: float) -> float:
    """Return the upper limit, at 0.95, of the standard deviation of values within bounds `width` apart.

    Args:
        sd: That of n values, with n - 1.
        n: Values, at least 1.
        width: Largest less smallest value possible.

    Source: Maurer and Pontil, COLT 2009, arXiv:0907.3740, theorem 10.
    """
    if n < 2:
        return width / 2.0
    return min(sd + width * math.sqrt(2.0 * math.log(20.0) / (n - 1)), width / 2.0)


def minimum_detectable_effect(sd: float, n: int, *, attacks: int = 1, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest true uplift that is found with probability `power`.

    ``(z(1 - alpha / attacks) + z(power)) * sd / sqrt(n)``: normal approximation, one-sided, Bonferroni; for planning. The
    two-sided bounds of `auditkit.stats.uplift.suite_uplift` spend half of their error on this side, so give
    ``alpha=(1 - level) / 2`` for them; where attacks move together they find somewhat less. A claim "not gameable by more
    than x" needs x above this.

    Args:
        sd: Standard deviation of the paired differences over prompts; the result has its unit.
        n: Prompts, at least 1.
        attacks: Attacks that share `alpha`, at least 1.
        alpha: One-sided error of the suite.
        power: Chance to find the effect, 0.5..1.

    Raises:
        ValueError: An argument is outside its range.

    Source: Cohen 1988, chapter 2, one-sample form.
    """
    _check(sd, attacks, alpha, power)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    return _quantiles(attacks, alpha, power) * sd / math.sqrt(n)


def required_prompts(effect: float, sd: float, *, attacks: int = 1, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return how many prompts find a true uplift of `effect` with probability `power`.

    Args:
        effect: The uplift, above 0, in the unit of `sd`.
        sd: As for `minimum_detectable_effect`, like the rest.

    Raises:
        ValueError: An argument is outside its range.
    """
    _check(sd, attacks, alpha, power)
    if not effect > 0.0:
        raise ValueError(f"effect must be above 0, got {effect}")
    return max(1, math.ceil((_quantiles(attacks, alpha, power) * sd / effect) ** 2 - 1e-9))


def _quantiles(attacks: int, alpha: float, power: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(1.0 - alpha / attacks) + ndtri(power))


def _check(sd: float, attacks: int, alpha: float, power: float) -> None:
    if not 0.0 <= sd < math.inf:
        raise ValueError(f"sd must be finite and at least 0, got {sd}")
    if attacks < 1:
        raise ValueError(f"attacks must be at least 1, got {attacks}")
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha must lie strictly between 0 and 0.5, got {alpha}")
    if not 0.5 <= power < 1.0:
        raise ValueError(f"power must lie in 0.5..1, got {power}")
