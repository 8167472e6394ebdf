"""Figures over pairs of models: against scipy, a second plain implementation, and what must not change them."""

from __future__ import annotations

from itertools import combinations
from math import erf, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditkit.errors import NoData
from auditkit.stats.informative import FEWEST_MODELS, discrimination, silent_prompts, smallest_subset
from auditkit.stats.quality import (
    CLIP,
    Resample,
    central_intervals,
    confident_agreement,
    kendall,
    log_loss,
    overlapping,
    pair_brier,
    pair_confidence,
    pair_order_agreement,
    separability,
    spearman,
    tightness,
)

# Few distinct values, so that ties, points and identical intervals occur.
ENDS = st.tuples(st.integers(0, 9), st.integers(0, 4)).map(lambda p: (float(p[0]), float(p[0] + p[1])))


def board(size: int) -> st.SearchStrategy[list[tuple[tuple[float, float], tuple[float, float]]]]:
    return st.lists(st.tuples(ENDS, ENDS), min_size=size, max_size=9)


def draws(n: int) -> Resample:
    return Resample.draw(n, 60, 0.95, 1)


def naive_separability(ends: list[tuple[float, float]]) -> float:
    ordered = sorted(ends)
    apart = [not later[0] < earlier[1] for i, earlier in enumerate(ordered) for later in ordered[i + 1 :]]
    return sum(apart) / len(apart)


def naive_agreement(mine: list[tuple[float, float]], known: list[tuple[float, float]]) -> tuple[list[float], int]:
    """Return the +1, 0, -1 of every pair that the reference separates, and the number of all pairs."""

    def share(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return min(a[1], b[1]) - max(a[0], b[0]) > 0

    found, pairs = [], 0
    for i, j in combinations(range(len(mine)), 2):
        pairs += 1
        if share(known[i], known[j]):
            continue
        if share(mine[i], mine[j]):
            found.append(0.0)
        elif (mine[i] < mine[j] and known[i] < known[j]) or (mine[i] > mine[j] and known[i] > known[j]):
            found.append(1.0)
        else:
            found.append(-1.0)
    return found, pairs


@given(board(2))
def test_separability_and_agreement_equal_a_plain_second_implementation(
    pairs: list[tuple[tuple[float, float], tuple[float, float]]],
) -> None:
    mine, known = [p[0] for p in pairs], [p[1] for p in pairs]
    (low, high), (known_low, known_high) = np.array(mine).T, np.array(known).T
    resample = draws(len(mine))
    assert separability(low, high, resample).estimate == pytest.approx(naive_separability(mine))
    found = confident_agreement(low, high, known_low, known_high, resample)
    signs, count = naive_agreement(mine, known)
    assert found["agreement_paper"].estimate == pytest.approx(sum(signs) / count)
    assert found["agreement_paper"].pairs == count
    for name, expected in (
        ("agreement_blog", sum(signs)),
        ("agreement_notebook", sum((s + 1) / 2 for s in signs)),
    ):
        figure = found[name]
        assert figure.pairs == len(signs)
        assert figure.estimate == (None if not signs else pytest.approx(expected / len(signs)))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=12))
def test_rank_correlations_are_scipys(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=float).T
    resample = draws(len(x))
    rho, tau = spearman(x, y, resample).estimate, kendall(x, y, resample).estimate
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert (rho, tau) == (None, None)
    else:
        assert rho == pytest.approx(stats.spearmanr(x, y).statistic)
        assert tau == pytest.approx(stats.kendalltau(x, y).statistic)


@given(st.lists(st.integers(-50, 50), min_size=3, max_size=9, unique=True), st.randoms(use_true_random=False))
def test_the_order_of_models_and_the_scale_of_scores_change_nothing(values: list[int], random: object) -> None:
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    x = np.array(values, dtype=float)
    y, width = x + rng.normal(0, 20, len(x)), rng.uniform(1, 30, len(x))
    resample, order = draws(len(x)), rng.permutation(len(x))

    def ranks(a: np.ndarray, b: np.ndarray) -> list[float | None]:
        figures = (spearman(a, b, resample), kendall(a, b, resample), pair_order_agreement(a, b, resample))
        return [f.estimate for f in figures]

    def others(a: np.ndarray, b: np.ndarray, w: np.ndarray) -> list[float | None]:
        found = [
            separability(a - w, a + w, resample),
            *confident_agreement(a - w, a + w, b - w, b + w, resample).values(),
        ]
        sure = pair_confidence(a, w * w)
        found += [pair_brier(sure, b, resample), log_loss(sure, b, resample), tightness(a, w, b, w, resample)]
        return [f.estimate for f in found]

    assert ranks(x[order], y[order]) == pytest.approx(ranks(x, y))
    assert ranks(np.exp(x / 50), y**3) == pytest.approx(ranks(x, y))  # monotone
    assert others(x[order], y[order], width[order]) == pytest.approx(others(x, y, width))
    assert others(7 * x + 3, 7 * y + 3, 7 * width) == pytest.approx(others(x, y, width))  # affine


def test_pair_confidence_is_the_normal_probability_and_its_losses_are_the_textbooks() -> None:
    mean, variance, known = [1.0, 2.0, 2.0], [0.5, 0.25, 0.0], [3.0, 1.0, 2.0]
    sure = pair_confidence(mean, variance)
    brier = loss = 0.0
    for i, j in combinations(range(3), 2):
        p = 0.5 * (1 + erf((mean[j] - mean[i]) / sqrt(variance[i] + variance[j]) / sqrt(2)))
        assert sure[i, j] == pytest.approx(p)
        label = known[i] < known[j]
        brier += (p - label) ** 2 / 3
        loss -= log(p if label else 1 - p) / 3
    resample = draws(3)
    assert pair_brier(sure, known, resample).estimate == pytest.approx(brier)
    assert log_loss(sure, known, resample).estimate == pytest.approx(loss)


def test_certain_and_wrong_is_clipped_and_equal_and_certain_is_a_coin() -> None:
    sure = pair_confidence([1.0, 2.0, 2.0, 2.0], [0.0] * 4)
    assert sure[0, 1] == 1.0
    assert sure[1, 2] == 0.5
    wrong = log_loss(sure[:2, :2], [2.0, 1.0], draws(2))
    assert wrong.estimate == pytest.approx(-log(CLIP))
    assert wrong.ci is None


def test_an_anchored_model_overlaps_for_separability_and_not_for_agreement() -> None:
    low, high = np.array([50.0, 48.0]), np.array([50.0, 52.0])
    assert overlapping(low, high)[0, 1]
    assert confident_agreement(low, high, [1.0, 3.0], [2.0, 4.0], draws(2))["agreement_notebook"].estimate == 0.0


def test_intervals_come_from_the_replicates() -> None:
    low, high = central_intervals([np.arange(101.0), [7.0]], 0.8)
    assert [*low, *high] == pytest.approx([10.0, 7.0, 90.0, 7.0])
    with pytest.raises(NoData, match="no bootstrap replicate"):
        central_intervals([[]], 0.95)
    with pytest.raises(ValueError, match="finite"):
        separability([np.nan, 1.0], [1.0, 2.0], draws(2))
    with pytest.raises(NoData, match="1 models"):
        draws(1)


@pytest.mark.slow
def test_the_interval_over_models_covers() -> None:
    """Kendall's tau of a bivariate normal is 2/pi asin(r); nominal 95%, 30 models: at least 90% of 300 boards."""
    rng, r, hit = np.random.default_rng(5), 0.7, 0
    truth = 2 / np.pi * np.arcsin(r)
    for seed in range(300):
        x, y = rng.multivariate_normal([0, 0], [[1, r], [r, 1]], 30).T
        ci = kendall(x, y, Resample.draw(30, 400, 0.95, seed)).ci
        assert ci is not None
        hit += ci[0] <= truth <= ci[1]
    assert hit >= 270


def planted(models: int = 12, good: int = 60, noise: int = 300, seed: int = 3) -> np.ndarray:
    """Return prompts (rows) that separate models whose skills are apart, and more prompts that are coin flips."""
    rng = np.random.default_rng(seed)
    skill = np.linspace(-2, 2, models)
    telling = rng.random((good, models)) < 1 / (1 + np.exp(-2 * skill))
    return np.vstack([telling, rng.random((noise, models)) < 0.5]).astype(float)


def test_discrimination_finds_the_prompts_that_were_planted() -> None:
    x = planted()
    slope = discrimination(x)
    assert set(np.argsort(-slope)[:30].tolist()) <= set(range(60))
    assert np.mean(slope[:60]) > 2
    assert abs(np.mean(slope[60:])) < 0.3
    i, rest = 4, np.delete(x, 4, axis=0).mean(axis=0)
    assert slope[i] == pytest.approx(np.polyfit(rest, x[i], 1)[0])


def test_silent_prompts_and_missing_outcomes() -> None:
    x = np.array([[1.0, 1.0, 1.0], [0.0, 0.005, 0.0], [0.0, 1.0, np.nan], [np.nan, np.nan, 1.0]])
    assert silent_prompts(x).tolist() == [True, False, False, True]
    assert silent_prompts(x, 0.01).tolist() == [True, True, False, True]
    assert np.isnan(discrimination(x)[3])


def test_the_smallest_subset_is_small_where_most_prompts_are_noise_and_beats_chance() -> None:
    found = smallest_subset(planted(), bound=0.02)
    assert found.size is not None
    assert found.kept is not None
    assert found.random is not None
    assert found.size < 180
    assert found.kept >= found.full - 0.05
    assert found.random < found.kept - 0.2
    assert np.isin(found.order[:30], np.arange(60)).all()


def test_choosing_among_coin_flips_gains_nothing_on_models_that_did_not_choose() -> None:
    """All prompts are noise: on the choosing models the best look good; on the others nothing is kept above chance."""
    x = (np.random.default_rng(8).random((300, 16)) < 0.5).astype(float)
    found = smallest_subset(x, bound=0.0)
    assert found.full < 0.1
    assert found.kept is None or found.kept < 0.1


def test_prompts_are_not_chosen_where_models_are_too_few_or_costs_are_wrong() -> None:
    x = planted()
    with pytest.raises(NoData, match=f"at least {FEWEST_MODELS}"):
        smallest_subset(x[:, :5])
    with pytest.raises(ValueError, match="cost above 0"):
        smallest_subset(x, np.zeros(len(x)))
    dear = np.ones(len(x))
    dear[:30] = 50.0
    assert not np.isin(smallest_subset(x, dear).order[:20], np.arange(30)).any()
