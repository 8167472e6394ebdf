"""Shapley values and the decomposition add up, and give each part what it alone does."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from auditkit.stats import decomposition
from auditkit.stats.decomposition import JointDesign, decompose
from auditkit.stats.logistic import fit_logistic, sigmoid
from auditkit.stats.shapley import shapley

Array = NDArray[np.float64]


@given(st.integers(0, 4), st.integers(0, 10**6))
def test_shapley_is_the_mean_over_orders(parts: int, seed: int) -> None:
    """Each part gets its mean marginal contribution over all orders; together they make the whole."""
    worth = np.random.default_rng(seed).normal(size=(2**parts, 3))
    expected = np.zeros((parts, 3))
    orders = list(permutations(range(parts)))
    for order in orders:
        have = 0
        for part in order:
            expected[part] += (worth[have | 1 << part] - worth[have]) / len(orders)
            have |= 1 << part
    found = shapley(worth)
    assert found == pytest.approx(expected)
    assert found.sum(axis=0) == pytest.approx(worth[-1] - worth[0])


def test_shapley_needs_every_coalition() -> None:
    """A table that is not a power of two long is a mistake."""
    with pytest.raises(ValueError, match="power of two"):
        shapley(np.zeros(3))


def design(seed: int, n: int = 200) -> tuple[JointDesign, Array]:
    """Two games a prompt in both orders, with length, two style columns and difficulty; and outcomes."""
    rng = np.random.default_rng(seed)
    prompt = np.repeat(np.arange(n // 2), 2)
    difficulty = rng.normal(size=n // 2)
    difficulty -= difficulty.mean()
    X = np.column_stack([
        np.ones(n),
        np.tile([-0.5, 0.5], n // 2),
        np.repeat(np.tanh(rng.normal(0.5, 1, n // 2)), 2),
        np.repeat(rng.uniform(-1, 1, (n // 2, 2)) + 0.4, 2, axis=0),
        difficulty[prompt],
    ])  # fmt: skip
    y = sigmoid(X @ np.array([0.4, 0.8, 1.0, 0.5, -0.3, -0.7]) + rng.normal(size=n))
    return JointDesign(X, ("model", "position", "length", "style", "style", "difficulty"), prompt, difficulty), y


@given(st.integers(0, 10**6))
def test_parts_add_up_to_the_raw_win_rate(seed: int) -> None:
    """At the optimum the parts make the mean outcome minus a half, exactly; balance leaves nothing to position and mix."""
    joint, y = design(seed)
    b = fit_logistic(joint.X, y).coefficients
    found = decompose(b[None, :], joint, np.ones((1, 100)))
    assert sum(part[0] for part in found.parts.values()) == pytest.approx(y.mean() - 0.5, abs=1e-9)
    assert found.total[0] == pytest.approx(y.mean(), abs=1e-9)
    assert found.parts["model"][0] == pytest.approx(found.controlled[0] - 0.5)
    assert found.parts["position"][0] == pytest.approx(0, abs=5e-3)
    assert found.parts["difficulty"][0] == pytest.approx(0, abs=1e-12)


def test_controlled_is_the_rate_at_no_difference() -> None:
    """The controlled rate equals the mean prediction with length and style at 0, over prompts and both orders."""
    joint, y = design(1)
    b = fit_logistic(joint.X, y).coefficients
    naive = np.mean([sigmoid(b[0] + b[1] * slot + b[5] * joint.difficulty).mean() for slot in (-0.5, 0.5)])
    assert decompose(b[None, :], joint, np.ones((1, 100))).controlled[0] == pytest.approx(naive)


def test_a_part_without_effect_has_no_points() -> None:
    """A zero coefficient earns nothing, and swapping the sides of the outcome swaps every sign."""
    joint, y = design(2)
    b = fit_logistic(joint.X, y).coefficients
    b[2] = 0.0
    found = decompose(np.stack([b, -b]), joint, np.ones((2, 100)))
    assert found.parts["length"][0] == pytest.approx(0, abs=1e-12)
    for part in found.parts.values():
        assert part[1] == pytest.approx(-part[0], abs=1e-12)


def test_single_order_and_easy_prompts_show() -> None:
    """Always being shown second earns position points; answering only easy prompts earns difficulty points."""
    joint, _ = design(3)
    b = np.array([0.2, 1.0, 0.0, 0.0, 0.0, -0.8])
    always = JointDesign(np.where(np.arange(6) == 1, 0.5, joint.X), joint.terms, joint.prompt, joint.difficulty)
    found = decompose(b[None, :], always, np.ones((1, 100)))
    assert found.parts["position"][0] > 0.05
    easy = joint.X[:, 5] < 0
    some = JointDesign(joint.X[easy], joint.terms, joint.prompt[easy], joint.difficulty)
    assert decompose(b[None, :], some, np.ones((1, 100))).parts["difficulty"][0] > 0.05


def test_replicates_are_independent_of_blocks_and_of_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks change nothing, weights are per replicate, and a NaN replicate stays NaN alone."""
    joint, y = design(4)
    b = fit_logistic(joint.X, y).coefficients
    weights = np.random.default_rng(0).integers(0, 3, (7, 100)).astype(float)
    several = np.repeat(b[None, :], 7, axis=0)
    several[3] = np.nan
    whole = decompose(several, joint, weights)
    monkeypatch.setattr(decomposition, "_BLOCK", 400)
    blocks = decompose(several, joint, weights)
    for part, values in whole.parts.items():
        assert np.isnan(values).tolist() == [i == 3 for i in range(7)]
        assert blocks.parts[part] == pytest.approx(values, nan_ok=True)
    alone = decompose(b[None, :], joint, weights[5:6])
    assert alone.controlled[0] == pytest.approx(whole.controlled[5])


def test_intercept_only() -> None:
    """With nothing but the model every point is the model's."""
    joint = JointDesign(np.ones((4, 1)), ("model",), np.arange(4), np.zeros(4))
    found = decompose(np.array([[0.7]]), joint, np.ones((1, 4)))
    assert list(found.parts) == ["model"]
    assert found.parts["model"][0] == pytest.approx(sigmoid(0.7) - 0.5)
