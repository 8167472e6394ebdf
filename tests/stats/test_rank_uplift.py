"""Places gained on a board: by hand, against a plain loop, and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import NoData
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.rank_uplift import rank_uplift, rank_uplift_of_replicates


def test_certain_places_are_certain() -> None:
    """Models that never come near each other: an attack from last to first gains all places in every replicate."""
    board = np.tile([0.9, 0.7, 0.5, 0.1], (50, 1))
    found = rank_uplift(board, np.full(50, 0.95), 3, ks=(1, 2))
    assert (found.clean_rank, found.attacked_rank, found.models) == (4, 1, 4)
    assert (found.median, found.ci, found.p_top) == (3.0, (3.0, 3.0), (1.0, 1.0))
    added = rank_uplift(board, np.full(50, 0.6))
    assert (added.clean_rank, added.median, added.ci) == (None, None, None)
    assert (added.attacked_rank, added.models) == (3, 5)
    assert added.p_top == (0.0, 1.0, 1.0)


def test_replicates_are_a_joint_bootstrap() -> None:
    """Equal to a loop that resamples prompts and ranks the whole board anew."""
    rng = np.random.default_rng(0)
    board = (rng.random((60, 5)) < [0.8, 0.6, 0.55, 0.5, 0.3]).astype(float)
    attacked = (rng.random(60) < 0.7).astype(float)
    found = rank_uplift(board, attacked, 4, ks=(2,), replicates=200, seed=3)
    gained, high = [], 0
    for weight in prompt_weights(60, 200, np.random.default_rng(3)):
        means, own = weight @ board / 60, float(weight @ attacked / 60)
        clean = 1 + int((means[:4] > means[4] + 1e-12).sum())
        after = 1 + int((means[:4] > own + 1e-12).sum())
        gained.append(clean - after)
        high += after <= 2
    assert found.median == np.median(gained)
    assert found.ci == pytest.approx(np.quantile(gained, [0.025, 0.975]))
    assert found.p_top == (high / 200,)


def test_prompts_shared_by_the_board_cancel() -> None:
    """An attack that is a little better on every prompt, easy or hard, overtakes for certain although scores vary much."""
    rng = np.random.default_rng(1)
    hard = rng.uniform(0, 0.8, 100)
    board = np.column_stack([hard + 0.1, hard])
    found = rank_uplift(board, hard + 0.15, 1, ks=(1,))
    assert found.p_top == (1.0,)
    assert found.ci == (1.0, 1.0)


def test_only_prompts_of_the_attack_count() -> None:
    """Prompts without an attacked outcome are left out for all; a model's own gaps only for itself."""
    rng = np.random.default_rng(2)
    board, attacked = rng.random((80, 3)), rng.random(80)
    attacked[40:] = np.nan
    assert rank_uplift(board, attacked, 0) == rank_uplift(board[:40], attacked[:40], 0)
    board[:10, 2] = np.nan
    assert rank_uplift(board, attacked, 0).n == 40


@given(st.integers(0, 2**32 - 1), st.permutations(range(4)))
def test_order_of_models_does_not_matter(seed: int, order: list[int]) -> None:
    """Columns in another order give the same ranks."""
    rng = np.random.default_rng(seed)
    board, attacked = rng.random((30, 4)), rng.random(30)
    plain = rank_uplift(board, attacked, order[0], replicates=50)
    assert rank_uplift(board[:, order], attacked, 0, replicates=50) == plain
    assert list(plain.p_top) == sorted(plain.p_top)
    assert plain.ci is not None
    assert plain.median is not None
    assert plain.ci[0] <= plain.median <= plain.ci[1]


def test_any_estimator_may_make_the_replicates() -> None:
    """Scores from elsewhere: an undefined replicate ranks last."""
    board_replicates = np.array([[3.0, 1.0], [3.0, np.nan]])
    found = rank_uplift_of_replicates(
        np.array([3.0, 1.0]), 4.0, board_replicates, np.array([4.0, np.nan]), 1, n=10, ks=(1,)
    )
    assert found.p_top == (0.5,)
    assert (found.clean_rank, found.attacked_rank, found.median) == (2, 1, 0.5)


def test_bad_input_is_refused() -> None:
    """Shapes and columns that do not fit; an attack that was not played."""
    board = np.ones((4, 2))
    with pytest.raises(ValueError, match="does not fit"):
        rank_uplift(board, np.ones(3))
    with pytest.raises(ValueError, match=r"submission must lie in 0\.\.1"):
        rank_uplift(board, np.ones(4), 2)
    with pytest.raises(NoData):
        rank_uplift(board, np.full(4, np.nan))
    with pytest.raises(ValueError, match="do not fit"):
        rank_uplift_of_replicates(np.ones(2), 1.0, np.ones((3, 3)), np.ones(3), n=4)
    with pytest.raises(NoData):
        rank_uplift_of_replicates(np.ones(2), 1.0, np.ones((1, 2)), np.ones(1), n=4)
