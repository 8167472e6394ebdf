"""Position effects are measured within pairs or between items, and never where they cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditkit.controls import position
from auditkit.records import Battles, Findings

MakeBattles = Callable[..., Battles]
FIRST, SECOND = "model_first", "model_second"


def game(prompt: int, order: str, outcome: float) -> tuple[str, str, str, float, str, str]:
    """One game of model m."""
    return (f"p{prompt}", "m", order, outcome, "a", "b")


def test_pairs_are_counted_three_ways(make_battles: MakeBattles) -> None:
    """Agreement, double ties, one-sided ties and flips are told apart; consistency counts the first two."""
    table = [(1, 1), (0, 0), (0.5, 0.5), (0.5, 1), (1, 0), (0, 1), (0, 1)]  # outcome shown first, shown second
    games = [game(i, order, y) for i, pair in enumerate(table) for order, y in zip((FIRST, SECOND), pair, strict=True)]
    found = position(make_battles(games)).position["m"]
    assert found.design == "within_pair"
    assert found.n == 7
    assert found.consistency == pytest.approx(3 / 7)
    assert found.effect_points == pytest.approx(100 * np.mean([b - a for a, b in table]))
    # shown-first answer won: model first and won (2), model second and lost (2 of 6 decided)
    assert found.first_preference == pytest.approx((2 + 2) / 11)
    assert "2 agree, 1 tie both ways, 1 tie one way only, 3 flip" in found.note


def test_within_pair_effect_is_a_paired_t_test(make_battles: MakeBattles) -> None:
    """One pair a prompt: effect, interval and p-value are scipy's paired t test."""
    rng = np.random.default_rng(0)
    first, second = rng.random(50), rng.random(50) * 0.7 + 0.3
    games = [game(i, FIRST, first[i]) for i in range(50)] + [game(i, SECOND, second[i]) for i in range(50)]
    found = position(make_battles(games)).position["m"]
    theirs = stats.ttest_rel(second, first)
    assert found.effect_points == pytest.approx(100 * (second - first).mean())
    assert found.p_value == pytest.approx(theirs.pvalue)
    interval = theirs.confidence_interval(0.95)
    assert found.ci == pytest.approx((100 * interval.low, 100 * interval.high))
    for slot, place, outcomes in zip(found.slots, ("first", "second"), (first, second), strict=True):
        own = stats.ttest_1samp(outcomes, 0).confidence_interval(0.95)
        assert (slot.place, slot.n) == (place, 50)
        assert slot.points == pytest.approx(100 * outcomes.mean())
        assert slot.ci == pytest.approx((max(100 * own.low, 0), min(100 * own.high, 100)))


def test_between_items_effect_is_welch(make_battles: MakeBattles) -> None:
    """One order a prompt: the effect is the difference of the groups with Welch's standard error."""
    rng = np.random.default_rng(1)
    y = rng.random(90)
    y[:40] += (1 - y[:40]) * 0.5
    games = [game(i, SECOND if i < 40 else FIRST, y[i]) for i in range(90)]
    findings = position(make_battles(games))
    found = findings.position["m"]
    z = stats.ttest_ind(y[:40], y[40:], equal_var=False).statistic
    assert found.design == "between_items"
    assert found.consistency is None
    assert found.effect_points == pytest.approx(100 * (y[:40].mean() - y[40:].mean()))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert "shown second: 40 games, first: 50" in found.note
    balanced = findings.scores[0]
    assert balanced.estimate == pytest.approx(50 * (y[:40].mean() + y[40:].mean()))
    assert balanced.se == pytest.approx(50 * math.sqrt(stats.sem(y[:40]) ** 2 + stats.sem(y[40:]) ** 2))


@given(
    pairs=st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
        min_size=3,
        max_size=20,
    )
)
def test_swapping_sides_keeps_the_position_effect(
    make_battles: MakeBattles, pairs: list[tuple[int, float, float]]
) -> None:
    """Seen from the other side (outcome and order turned) the position effect is the same, the win rate 100 - w."""
    turn = {FIRST: SECOND, SECOND: FIRST}
    games = [game(i, order, y) for i, a, b in pairs for order, y in ((FIRST, a), (SECOND, b))]
    turned = [(p, m, turn[o], 1 - y, a, b) for p, m, o, y, a, b in games]
    here, there = (position(make_battles(g)) for g in (games, turned))
    one, two = here.position["m"], there.position["m"]
    assert two.effect_points == pytest.approx(one.effect_points)
    assert two.consistency == one.consistency
    assert two.first_preference == one.first_preference
    if here.scores[0].estimate is not None and there.scores[0].estimate is not None:
        assert there.scores[0].estimate == pytest.approx(100 - here.scores[0].estimate)


def test_unknown_or_single_orders_are_not_measured(make_battles: MakeBattles) -> None:
    """No order, one order, or one prompt in the second order: not measured, with the reason."""
    for games, reason in (
        ([game(i, "unknown", 1.0) for i in range(5)], "not recorded"),
        ([game(i, FIRST, i / 5) for i in range(5)], "cannot be told apart"),
        ([game(i, FIRST, 1.0) for i in range(5)] + [game(9, SECOND, 0.0)], "cannot be told apart"),
        ([game(i, FIRST, math.nan) for i in range(5)], "verdict"),
    ):
        findings = position(make_battles(games))
        assert findings.position["m"].design == "not_measured"
        assert reason in findings.position["m"].note
        assert findings.scores[0].estimate is None


def test_unanimous_groups_have_no_spurious_certainty(make_battles: MakeBattles) -> None:
    """No spread at all gives p = 1 for no effect; all ties decide nothing."""
    ties = position(make_battles([game(i, SECOND if i % 2 else FIRST, 0.5) for i in range(8)])).position["m"]
    assert (ties.effect_points, ties.p_value, ties.first_preference) == (0, 1.0, None)
    same = [game(i, order, 1.0) for i in range(5) for order in (FIRST, SECOND)]
    assert position(make_battles(same)).position["m"].p_value == 1.0


def test_single_pair_has_no_interval(make_battles: MakeBattles) -> None:
    """One pair shows an effect but no spread."""
    found = position(make_battles([game(0, FIRST, 0.0), game(0, SECOND, 1.0)])).position["m"]
    assert (found.effect_points, found.ci, found.p_value) == (100, None, None)


def test_repeated_games_of_one_order_are_averaged(make_battles: MakeBattles) -> None:
    """Three games first and one second of a pair make one pair."""
    games = [game(0, FIRST, y) for y in (0.0, 0.0, 1.0)] + [
        game(0, SECOND, 1.0),
        game(1, FIRST, 1.0),
        game(1, SECOND, 1.0),
    ]
    found = position(make_battles(games)).position["m"]
    assert found.n == 2
    assert found.effect_points == pytest.approx(100 * (2 / 3 + 0) / 2)


def test_a_judge_test_set_is_by_judge(make_battles: MakeBattles) -> None:
    """Where the recording is about judges, each judge has its own position finding and no score."""
    games = [game(i, order, y) for i in range(4) for order, y in ((FIRST, 1.0), (SECOND, 0.0))]
    found = position(make_battles(games + games, judge=["a"] * 8 + ["b"] * 8, subject="judge"))
    assert set(found.position) == {"a", "b"}
    assert found.scores == ()
    assert found.position["a"].effect_points == -100
    assert found.position["a"].first_preference == 1.0


def test_does_not_apply_without_games(make_battles: MakeBattles) -> None:
    """No games, no findings; where every model met every other, both sides are measured."""
    battles = make_battles([game(i, order, y) for i in range(4) for order, y in ((FIRST, 0.0), (SECOND, 1.0))])
    assert position(replace(battles, games=battles.games.iloc[:0])) == Findings()
    met = make_battles(
        [game(i, order, y) for i in range(4) for order, y in ((FIRST, 0.0), (SECOND, 1.0))], baselines=frozenset()
    )
    found = position(met).position
    assert set(found) == {"base", "m"}
    assert found["base"].effect_points == found["m"].effect_points == 100


def test_planted_position_effect_is_covered(make_battles: MakeBattles) -> None:
    """A planted gap of 20 points lies in the 95% interval for about 95% of simulated recordings."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(100):
        skill = rng.uniform(0.2, 0.6, 150)
        games = [
            game(i, o, float(rng.random() < skill[i] + (0.2 if o == SECOND else 0)))
            for i in range(150)
            for o in (FIRST, SECOND)
        ]
        interval = position(make_battles(games)).position["m"].ci
        assert interval is not None
        hits += interval[0] <= 20 <= interval[1]
    assert 89 <= hits <= 100


def test_null_model_slot_gap(alpaca: Battles) -> None:
    """The published null model: 17.5 points between the slots, z = 10.3, 399 prompts shown second and 406 first."""
    found = position(alpaca).position["NullModel"]
    assert found.effect_points == pytest.approx(17.50, abs=0.01)
    assert "399 games, first: 406" in found.note
    assert "z = 10.3" in found.note
    assert found.n == 805


def test_winning_every_game_is_not_certainty(make_battles: MakeBattles) -> None:
    """All games won in both orders: an interval with a width."""
    games = [game(i, order, 1.0) for i, order in enumerate(["model_first", "model_second"] * 20)]
    score = position(make_battles(games)).scores[0]
    assert (score.estimate, score.se) == (100, None)
    assert score.ci is not None
    assert 85 < score.ci[0] < 95
