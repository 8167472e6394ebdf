"""Links between versions, against planted abilities and difficulties; informativeness from few judgments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import pytest

from auditkit.errors import NoData
from auditkit.formats import read
from auditkit.scores import of_recording
from auditkit.stats.informative import best_minus_worst, discrimination, shrunk_discrimination
from auditkit.stats.linking import Link, anchor_drift, expected_link_se, link_scores

HARDER: Final = 0.6
"""How much harder (in log-odds) the new prompts of a planted second version are."""


@dataclass(frozen=True)
class World:
    """Planted: abilities of two groups of models, and what is true of their scores in percent."""

    first: Any
    second: Any
    anchors: Any
    shared: Any
    shift: float


def _expected(ability: Any, easiness: Any) -> Any:
    return 100.0 / (1.0 + np.exp(-(ability + easiness)))


def world(
    seed: int, *, n: int = 300, k: int = 60, models: int = 8, shared: int = 8, drift: float = 0.0, rejudged: bool = True
) -> World:
    """Plant two versions: prompts of n(0, 0.9) and, on the second, n(-HARDER, 0.9); k of the first are on both.

    Every outcome is the mean of two games. `shift` is the truth over prompts: what the linking models would lose on
    endless prompts of the second version's mixture, averaged over the models that are on both (all of the first where
    none are).
    """
    rng = np.random.default_rng(seed)
    ability = rng.normal(0.0, 0.8, models)
    other = np.concatenate([ability[:shared], rng.normal(0.0, 0.8, models - shared)])
    old, new = rng.normal(0.0, 0.9, n), rng.normal(-HARDER, 0.9, n - k)
    easy1, easy2 = old, np.concatenate([old[:k], new])
    p1 = _expected(ability, easy1[:, None]) / 100.0
    p2 = _expected(other, easy2[:, None]) / 100.0
    if drift:
        p2[0] = _expected(other, easy2[0] + drift) / 100.0
    first, second = 50.0 * rng.binomial(2, p1), 50.0 * rng.binomial(2, p2)
    if not rejudged:
        second[:k, :shared] = first[:k, :shared]
    grid = np.array([0.9 * NormalDist().inv_cdf((i + 0.5) / 401) for i in range(401)])[:, None]
    both = ability[:shared] if shared else ability
    gap = (_expected(both, grid) - _expected(both, grid - HARDER)).mean()
    pairs = np.column_stack([np.arange(k), np.arange(k)])
    own = np.column_stack([np.arange(shared), np.arange(shared)])
    return World(first, second, pairs, own, float(gap * (n - k) / n))


def _links(seeds: range, **planted: Any) -> list[tuple[Link, float]]:
    found = []
    for seed in seeds:
        w = world(seed, **planted)
        found.append((link_scores(w.first, w.second, w.anchors, w.shared, replicates=400, seed=seed), w.shift))
    return found


def _covered(found: list[tuple[Link, float]]) -> float:
    return float(np.mean([low <= truth <= high for link, truth in found for low, high in [link.shift_ci]]))


@pytest.mark.parametrize(("shared", "route"), [(8, "models"), (0, "anchors")])
def test_the_planted_shift_is_recovered(shared: int, route: str) -> None:
    """Without bias, and mostly inside its interval; the slow test below counts how often exactly."""
    found = _links(range(60), shared=shared)
    assert {link.route for link, _ in found} == {route}
    errors = np.array([link.shift - truth for link, truth in found])
    assert abs(errors.mean()) < 3.0 * errors.std() / np.sqrt(len(errors)) + 0.2
    assert found[0][1] == pytest.approx(9.0, abs=1.5)
    assert _covered(found) >= 0.85


@pytest.mark.slow
@pytest.mark.parametrize("planted", [{"shared": 8}, {"shared": 8, "rejudged": False}, {"shared": 0, "models": 20}])
def test_intervals_of_the_shift_cover_as_often_as_they_say(planted: dict[str, Any]) -> None:
    """95% intervals hold the planted shift in 93 to 97 of 100 worlds (1,000 of them: a standard error of 0.7)."""
    assert 0.93 <= _covered(_links(range(1_000), **planted)) <= 0.97


def _linear(seed: int, slope: float = 0.8, level: float = -6.0, models: int = 12, n: int = 250, k: int = 50) -> Any:
    """Plant scores that are linked by a line exactly: the second version stretches and shifts what models can do."""
    rng = np.random.default_rng(seed)
    ability = rng.normal(50.0, 12.0, models)
    first = ability + rng.normal(0.0, 15.0, (n, 1)) + rng.normal(0.0, 20.0, (n, models))
    # The anchors are prompts of the first version: the line holds for the mixture of both.
    new = (level + slope * ability - ability * k / n) / (1 - k / n)
    second = new + rng.normal(0.0, 15.0, (n, 1)) + rng.normal(0.0, 20.0, (n, models))
    second[:k] = first[:k]
    pairs = np.column_stack([np.arange(k), np.arange(k)])
    own = np.column_stack([np.arange(models - 1), np.arange(models - 1)])  # the last was judged on the second alone
    return first[:, :-1], second, pairs, own, ability


def test_a_model_of_the_second_version_is_put_on_the_scale_of_the_first() -> None:
    """A model that was never judged on the first version gets the score that it would have there, with its interval."""
    hits: dict[Any, list[bool]] = {"mean_sigma": [], "auto": []}
    slopes, weights = [], []
    for seed in range(200):
        first, second, pairs, own, ability = _linear(seed)
        for method in ("mean_sigma", "auto"):
            link = link_scores(first, second, pairs, own, method=method, replicates=200, seed=seed)
            low, high = link.linked_ci[-1]
            hits[method].append(low <= ability[-1] <= high)
            if method == "mean_sigma":
                slopes.append(link.slope)
                assert link.misfit is not None
                assert link.misfit < 6.0
            else:
                assert (link.method, link.slope) == ("mean", 1.0)  # eleven models do not say how a scale is stretched
                weights.append(link.own[-1])
                assert (link.own[:-1] == 0.0).all()
    for shares in hits.values():
        assert 0.90 <= np.mean(shares) <= 0.99  # 200 worlds: a standard error of 1.5 points
    assert np.mean(slopes) == pytest.approx(1.25, abs=0.03)
    assert np.mean(weights) > 0.4  # but that models differ is seen, and this one's own anchors count


def test_scales_are_stretched_where_that_is_supported() -> None:
    """Of 24 models a slope of 1.25 is seen nearly always, a slope of 1 is left alone nearly always."""
    found = {
        slope: [
            link_scores(*_linear(seed, slope, models=25)[:4], replicates=200, seed=seed).method for seed in range(40)
        ]
        for slope in (0.8, 1.0)
    }
    assert found[0.8].count("mean_sigma") >= 36
    assert found[1.0].count("mean") >= 34


def test_both_routes_are_one_line_where_the_models_are_the_same() -> None:
    """Chained through the anchors, or by the models: the same models with the same outcomes give the same link."""
    w = world(3, rejudged=False)
    for method in ("mean", "mean_sigma"):
        direct = link_scores(w.first, w.second, w.anchors, w.shared, method=method, seed=1)
        chained = link_scores(w.first, w.second, w.anchors, np.zeros((0, 2)), method=method, seed=1)
        assert (direct.route, chained.route) == ("models", "anchors")
        assert chained.shift == pytest.approx(direct.shift)
        assert chained.slope == pytest.approx(direct.slope)
        assert chained.linked == pytest.approx(direct.linked)
        assert chained.shift_ci == pytest.approx(direct.shift_ci)


def test_what_cannot_be_linked() -> None:
    """Nothing in common is an error that says what to judge; little in common is linked by what there is."""
    w = world(1)
    with pytest.raises(NoData, match="share no model and 4 prompts"):
        link_scores(w.first, w.second, w.anchors[:4], np.zeros((0, 2)))
    few = link_scores(w.first, w.second, w.anchors[:4], w.shared[:1])
    assert (few.route, few.method, few.misfit) == ("models", "mean", None)
    with pytest.raises(NoData, match="4 anchors"):
        anchor_drift(w.first[:4], w.second[:4], paired=True)
    with pytest.raises(NoData, match="not judged again"):
        anchor_drift(w.first[:60], w.first[:60], paired=True)


@pytest.mark.parametrize("models", [3, 20])
def test_the_expected_error_is_the_error(models: int) -> None:
    """What is promised before anything is judged is how far links are off, to a tenth."""
    found = [_unshared(seed, models, 60) for seed in range(250)]
    errors = np.array([error for error, _ in found])
    told = np.array([se for _, se in found])
    assert told.mean() == pytest.approx(errors.std(), rel=0.15)


def _unshared(seed: int, models: int, k: int, n: int = 300) -> tuple[float, float]:
    """Link a version judged by other models of the same abilities; return the error, and the one that was expected."""
    rng = np.random.default_rng(seed)
    ability = np.linspace(-1.2, 1.2, 12)
    others = np.linspace(-1.2, 1.2, models)
    easy = rng.normal(0.0, 0.9, (n, 1))
    second = np.concatenate([easy[:k], rng.normal(0.0, 0.9, (n - k, 1))])
    one = 50.0 * rng.binomial(2, _expected(ability, easy) / 100.0)
    two = 50.0 * rng.binomial(2, _expected(others, second) / 100.0)
    pairs = np.column_stack([np.arange(k), np.arange(k)])
    link = link_scores(one, two, pairs, np.zeros((0, 2)), method="mean", replicates=60, seed=seed)
    return link.shift, expected_link_se(one, k, n, models)


def test_a_fifth_of_the_prompts_is_where_more_anchors_stop_paying() -> None:
    """At 500 prompts: half as many anchors cost a third more error, half as many again buy less than a sixth."""
    rng = np.random.default_rng(5)
    outcomes = 50.0 * rng.binomial(2, _expected(rng.normal(0, 0.8, 12), rng.normal(0, 0.9, (500, 1))) / 100.0)
    se = {k: expected_link_se(outcomes, k, 500, 3) for k in (25, 50, 100, 150)}
    assert se[50] / se[100] > 1.3
    assert se[150] / se[100] > 0.8
    assert se[25] / se[50] > 1.3


def test_halves_of_a_real_benchmark_are_linked(shared_data: Path) -> None:
    """AlpacaEval split at random, 80 prompts in both: held-out models of one half get their score on the other."""
    whole = of_recording(read(shared_data / "alpaca_eval"), 1, 0).outcomes
    assert whole is not None
    models = whole.shape[1]
    hits, misses = [], []
    for seed in range(12):
        mixed = np.random.default_rng(seed).permutation(len(whole))
        one, two = whole[mixed[:440]], whole[mixed[360:]]
        pairs = np.column_stack([np.arange(360, 440), np.arange(80)])
        held = np.arange(seed % 3, models, 3)
        rest = np.setdiff1d(np.arange(models), held)
        own = np.column_stack([np.arange(len(rest)), rest])
        for shared, first in ((own, one[:, rest]), (np.zeros((0, 2)), one[:, rest])):
            link = link_scores(first, two, pairs, shared, replicates=200, seed=seed)
            truth = np.nanmean(whole[:, held], axis=0)  # on all prompts, of which the first half is a sample
            hits += ((link.linked_ci[held, 0] <= truth) & (truth <= link.linked_ci[held, 1])).tolist()
            misses += (link.linked[held] - np.nanmean(one[:, held], axis=0)).tolist()
            assert link.shift_ci[0] - 0.5 <= 0.0 <= link.shift_ci[1] + 0.5  # halves of one benchmark are as hard
    assert np.mean(hits) >= 0.85  # models and halves are few and share prompts
    assert np.sqrt(np.mean(np.square(misses))) < 2.5  # points of win rate, of scores from 2 to 77


# --- drift ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [8, 0])
def test_a_leaked_anchor_is_named_and_others_are_not(shared: int) -> None:
    """A planted leak is found; without one, an alarm is rare (5 of 100 worlds are promised)."""
    named, alarms = [], []
    for seed in range(120):
        for leak in (6.0, 0.0):
            w = world(seed, drift=leak, shared=shared)
            found = anchor_drift(w.first[:60], w.second[:60], paired=shared > 0)
            if leak:
                hard = w.first[0].mean() < 40.0  # an anchor that was nearly always won cannot move up
                named += [bool(found.flagged[0] and found.moved[0] > 0)] if hard else []
            else:
                alarms.append(bool(found.flagged.any()))
    assert len(named) > 30
    assert np.mean(alarms) <= 0.10
    assert np.mean(named) >= 0.5


# --- informativeness ------------------------------------------------------------------------------------------------


def test_shrunk_discrimination_is_closer_to_the_truth() -> None:
    """With 14 models a single slope is mostly noise: shrunk slopes miss the planted ones by less, and say by how much."""
    rng = np.random.default_rng(11)
    ability = np.linspace(-1.0, 1.0, 14)
    true = rng.normal(1.0, 0.5, 400)
    x = 50.0 + 15.0 * true[:, None] * ability + rng.normal(0.0, 25.0, (400, 14))
    true = true / true.mean()
    found, plain = shrunk_discrimination(x), discrimination(x)
    miss = np.sqrt(((found.shrunk - true) ** 2).mean())
    assert miss < 0.75 * np.sqrt(((plain - true) ** 2).mean())
    inside = np.abs(found.shrunk - true) <= 1.96 * found.sd
    assert 0.9 <= inside.mean() <= 0.99
    assert (found.models == 14).all()
    few = shrunk_discrimination(x[:, :4])
    assert np.isnan(few.shrunk).all()
    some = x.copy()
    some[3, 4:] = np.nan
    assert np.isnan(shrunk_discrimination(some).shrunk[3])


def test_best_minus_worst_ranks_planted_prompts_first() -> None:
    """Prompts on which models differ most come first; one judgment, or none, is no measurement."""
    rng = np.random.default_rng(2)
    wide = np.zeros(50, dtype=bool)
    wide[::5] = True
    x = 50.0 + np.where(wide[:, None], 30.0, 3.0) * rng.normal(0.0, 1.0, (50, 9))
    gap = best_minus_worst(x)
    assert set(np.argsort(-gap)[:10].tolist()) == set(np.flatnonzero(wide).tolist())
    assert best_minus_worst(np.array([[0.0, 30.0, np.nan], [5.0, np.nan, np.nan], [np.nan] * 3])).tolist()[0] == 30.0
    assert np.isnan(best_minus_worst(np.array([[5.0, np.nan], [np.nan, np.nan]]))).all()
