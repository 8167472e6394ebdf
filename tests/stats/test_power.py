"""Minimum detectable effects equal the published table, and prompts and effects are each other's inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from auditkit.stats.power import detectable_by, minimum_detectable_effect, required_prompts


@pytest.mark.parametrize(("attacks", "points"), [(1, (12.5, 5.0, 3.9)), (20, (18.4, 7.3, 5.8)), (40, (19.4, 7.8, 6.1))])
def test_published_table(attacks: int, points: tuple[float, ...]) -> None:
    """Paired sd 0.45, power 0.8, one-sided 0.05 over the attacks, for MT-Bench, Arena-Hard and AlpacaEval, to 0.05 points."""
    found = [100 * minimum_detectable_effect(0.45, n, attacks=attacks) for n in (80, 500, 805)]
    assert found == pytest.approx(points, abs=0.05)


@given(st.floats(0.01, 0.5), st.floats(0.05, 1), st.integers(1, 100), st.floats(0.5, 0.99))
def test_required_prompts_are_enough_and_one_less_is_not(effect: float, sd: float, attacks: int, power: float) -> None:
    """The prompts found detect the effect, one fewer would not."""
    n = required_prompts(effect, sd, attacks=attacks, power=power)
    assert minimum_detectable_effect(sd, n, attacks=attacks, power=power) <= effect * (1 + 1e-6)
    if n > 1:
        assert minimum_detectable_effect(sd, n - 1, attacks=attacks, power=power) > effect * (1 - 1e-6)


def test_the_effect_is_found_as_often_as_promised() -> None:
    """A true effect of that size crosses the one-sided limit in 80% of 4,000 draws."""
    effect = minimum_detectable_effect(0.45, 500, attacks=20)
    limit = minimum_detectable_effect(0.45, 500, attacks=20, power=0.5)
    drawn = np.random.default_rng(0).normal(effect, 0.45 / np.sqrt(500), 4000)
    assert (drawn > limit).mean() == pytest.approx(0.8, abs=0.03)


def test_the_effect_that_a_normal_limit_finds_is_the_planned_one() -> None:
    """With the two-sided normal limit at its share of the error, what was found and what was planned are the same."""
    se, z = 0.45 / np.sqrt(500), norm.isf(0.025 / 20)
    assert detectable_by(z * se, se) == pytest.approx(minimum_detectable_effect(0.45, 500, attacks=20, alpha=0.025))
    assert detectable_by(0.1, se, power=0.5) == pytest.approx(0.1)


def test_bad_input_is_refused() -> None:
    """Arguments outside their range are named."""
    assert detectable_by(float("inf"), 0.1) == float("inf")
    for needed, se, power in ((-0.1, 0.1, 0.8), (0.1, float("nan"), 0.8), (0.1, 0.1, 1.0)):
        with pytest.raises(ValueError, match="must"):
            detectable_by(needed, se, power)
    for arguments, message in (
        ({"sd": -1.0, "n": 5}, "sd must"),
        ({"sd": 1.0, "n": 0}, "n must"),
        ({"sd": 1.0, "n": 5, "attacks": 0}, "attacks must"),
        ({"sd": 1.0, "n": 5, "alpha": 0.6}, "alpha must"),
        ({"sd": 1.0, "n": 5, "power": 0.2}, "power must"),
    ):
        with pytest.raises(ValueError, match=message):
            minimum_detectable_effect(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="effect must"):
        required_prompts(0.0, 0.5)
