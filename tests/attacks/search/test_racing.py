"""Races: the best arm with few games, on paired games, and never more than the budget."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.attacks.protocol import Budget, Try
from auditkit.attacks.search.asking import Purse, advantage, games_of
from auditkit.attacks.search.payloads import FORMS, crafted
from auditkit.attacks.search.racing import Arm, race
from auditkit.judging.calls import Completion
from auditkit.judging.simulated_judges import HonestJudge
from auditkit.records import Order
from tests.attacks.search.oracle import ARENA, MemoryOracle, situations


def planted(rates: dict[str, float], seed: int = 0) -> Callable[[Try, Order], Completion]:
    """A judge by which a text wins at its own rate, prompt by prompt and draw by draw, drawn anew for every game."""
    rng = np.random.default_rng(seed)

    def replies(one: Try, order: Order) -> Completion:
        won = rng.random() < rates[one.text]
        first = won == (order != "model_second")
        return Completion("[[A>B]]" if first else "[[B>A]]")

    return replies


def play(rates: dict[str, float], calls: int, seed: int = 0, confident: float = 0.95) -> tuple[list[Arm], MemoryOracle]:
    oracle = MemoryOracle(HonestJudge(), "verdict", spec=ARENA, replies=planted(rates, seed))
    arms = [Arm(name, crafted("plain", name)) for name in rates]
    games = games_of(situations(10, judge=ARENA))
    ranked = asyncio.run(
        race(Purse(oracle, Budget(10**6)), arms, games, np.random.default_rng(seed), calls=calls, confident=confident)
    )
    return ranked, oracle


def test_the_best_arm_wins_with_a_fraction_of_the_games() -> None:
    """One arm of sixteen wins 7 games in 10, the others 3: at 10 games an arm a race finds it more often than a grid."""
    rates = {f"arm{k}": 0.7 if k == 11 else 0.3 for k in range(16)}
    raced = sum(play(rates, 160, seed)[0][0].name == "arm11" for seed in range(60))
    rng = np.random.default_rng(0)
    wins = rng.binomial(10, list(rates.values()), size=(10_000, 16))
    grid = float(np.mean((wins.argmax(axis=1) == 11) & ((wins == wins.max(axis=1, keepdims=True)).sum(axis=1) == 1)))
    assert raced / 60 >= 0.85 > grid


def test_a_clear_leader_ends_the_race() -> None:
    """Nobody is asked on once it is clear: far below the budget."""
    _, oracle = play({"best": 1.0, "a": 0.0, "b": 0.0, "c": 0.0}, 2_000)
    assert oracle.calls <= 32


@given(st.integers(1, 9), st.integers(0, 120))
def test_no_budget_is_overspent_and_nobody_is_lost(count: int, calls: int) -> None:
    """Whatever the budget: every arm comes back, played ones first."""
    rates = {f"arm{k}": k / 10 for k in range(count)}
    ranked, oracle = play(rates, calls)
    assert oracle.calls <= calls
    assert sorted(arm.name for arm in ranked) == sorted(rates)
    played = [arm.games > 0 for arm in ranked]
    assert played == sorted(played, reverse=True)


def test_arms_meet_the_same_games() -> None:
    """The k-th game of every arm is on the same prompt, in the same order, with the same draw; one game at a time."""
    _, oracle = play({"a": 0.5, "b": 0.5, "c": 0.5}, 90, confident=2.0)
    met: dict[str, list[tuple[str, object, int]]] = {}
    for one in oracle.asked:
        met.setdefault(one.text, []).append((one.situation.prompt.id, one.order, one.sample))
    longest = max(met.values(), key=len)
    assert all(games == longest[: len(games)] for games in met.values())
    assert len(set(longest)) == len(longest) > 20  # more than there are games: then with another draw


def test_games_played_before_are_not_played_again() -> None:
    """An arm that comes with a record meets only what it has not met."""
    oracle = MemoryOracle(HonestJudge(), "verdict", spec=ARENA, replies=planted({"old": 0.5, "new": 0.5}))
    old, new = Arm("old", crafted("plain", "old"), [1.0, 0.0] * 6), Arm("new", crafted("plain", "new"))
    games = games_of(situations(10, judge=ARENA))
    asyncio.run(race(Purse(oracle, Budget(99)), [old, new], games, np.random.default_rng(0), calls=20, confident=2.0))
    first = [one for one in oracle.asked if one.text == "old"]
    assert 12 <= new.games <= 20
    assert not {(one.situation.prompt.id, one.order) for one in first} & {
        (g.situation.prompt.id, g.order) for g in games[:12]
    }


def test_a_game_without_a_verdict_is_lost() -> None:
    """A text that breaks the judge must not lead."""
    oracle = MemoryOracle(HonestJudge(), "verdict", spec=ARENA, replies=lambda one, order: Completion("no verdict"))
    arm = Arm("x", crafted("plain", "x"))
    asyncio.run(
        race(
            Purse(oracle, Budget(9)),
            [arm, Arm("y", crafted("plain", "y"))],
            games_of(situations(1, judge=ARENA)),
            np.random.default_rng(0),
            calls=8,
        )
    )
    assert set(arm.outcomes) == {0.0}


def test_the_posterior_is_the_textbook_one() -> None:
    """Beta(1 + wins, 1 + losses): 7 wins of 10."""
    arm = Arm("x", crafted("plain", "x"), [1.0] * 7 + [0.0] * 3)
    assert arm.mean == pytest.approx(8 / 12)
    assert arm.variance == pytest.approx(8 * 4 / (12**2 * 13))
    rng = np.random.default_rng(0)
    assert arm.low(0.9) == pytest.approx(np.quantile(rng.beta(8, 4, 200_000), 0.1), abs=0.005)
    other = Arm("y", crafted("plain", "y"), [1.0] * 4 + [0.0] * 6)
    exact = np.mean(rng.beta(8, 4, 200_000) > rng.beta(5, 7, 200_000))
    assert arm.beats(other) == pytest.approx(exact, abs=0.01)


def test_the_advantage_is_the_log_odds() -> None:
    """Exact where both labels are listed, a bound where one is missing, the worst without a verdict."""
    from auditkit.attacks.protocol import Seen

    assert advantage(Seen(0.25)) == pytest.approx(math.log(1 / 3))
    assert advantage(Seen(0.25, 1, ((-1.4, -9.0),))) == pytest.approx(math.log(1 / 3))
    assert advantage(Seen(0.0, 1, ((None, -9.0),))) == pytest.approx(-9.0)
    assert advantage(Seen(math.nan)) == -12.0
    assert (advantage(Seen(0.0)), advantage(Seen(1.0))) == (-12.0, 12.0)


def test_every_form_is_made_and_no_other() -> None:
    """The found text is in every answer; the real answer where the form says so."""
    (situation,) = situations(1, skill=0.5)
    for form in FORMS:
        answer = crafted(form, "found text")(situation)
        assert "found text" in answer
        assert (situation.answer in answer) == (form in ("appended", "suffix"))
    assert crafted("suffix", "")(situation) == situation.answer
    with pytest.raises(ValueError, match="form must be one of"):
        crafted("other", "x")  # type: ignore[arg-type]
