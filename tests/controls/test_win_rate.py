"""The raw win rate is the mean verdict, honest about spread and about what is missing."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.controls import missing_bounds, raw
from auditkit.records import RATING_COLUMNS, Battles, Benchmark, Settings, frame

MakeBattles = Callable[..., Battles]
GAMES = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from([0.0, 0.5, 1.0, 0.25, math.nan])), min_size=1, max_size=30
)


def rows(games: list[tuple[int, float]]) -> list[tuple[str, str, str, float, str, str]]:
    """Plain rows of one model."""
    return [(f"p{prompt}", "m", "unknown", outcome, "a", "b") for prompt, outcome in games]


@given(games=GAMES)
def test_estimate_is_the_mean_of_what_has_a_verdict(make_battles: MakeBattles, games: list[tuple[int, float]]) -> None:
    """NaN games are left out and counted; swapping the sides turns w into 100 - w; the order of rows is irrelevant."""
    usable = [outcome for _, outcome in games if not math.isnan(outcome)]
    score = raw(make_battles(rows(games))).scores[0]
    if not usable:
        assert score.estimate is None
        assert "no game" in score.note
        return
    assert score.estimate is not None
    assert score.estimate == pytest.approx(100 * np.mean(usable))
    assert score.n == len({prompt for prompt, outcome in games if not math.isnan(outcome)})
    if len(usable) < len(games):
        assert f"{len(games) - len(usable)} games without a verdict" in score.note
    swapped = raw(make_battles(rows([(prompt, 1 - outcome) for prompt, outcome in games]))).scores[0]
    assert swapped.estimate == pytest.approx(100 - score.estimate)
    again = raw(make_battles(rows(games[::-1]))).scores[0]
    assert again.estimate == pytest.approx(score.estimate)
    if score.ci and swapped.ci and again.ci:
        assert (100 - swapped.ci[1], 100 - swapped.ci[0]) == pytest.approx(score.ci)
        assert again.ci == pytest.approx(score.ci)
        assert 0 <= score.ci[0] <= score.estimate <= score.ci[1] <= 100


def test_unanimous_verdicts_keep_an_interval(make_battles: MakeBattles) -> None:
    """Ten wins of ten are not certainty: Wilson's interval stands in for a spread of zero."""
    score = raw(make_battles(rows([(i, 1.0) for i in range(10)]))).scores[0]
    assert score.estimate == 100
    assert score.ci == pytest.approx((72.2, 100), abs=0.1)
    assert "Wilson" in score.method


def test_one_prompt_has_no_interval(make_battles: MakeBattles) -> None:
    """A single prompt gives a mean but no spread over prompts."""
    score = raw(make_battles(rows([(0, 1.0), (0, 0.0)]))).scores[0]
    assert (score.estimate, score.se, score.ci) == (50, None, None)
    assert "no interval" in score.note


@given(games=GAMES, expected=st.integers(0, 20))
def test_bounds_are_what_filling_in_would_give(
    make_battles: MakeBattles, games: list[tuple[int, float]], expected: int
) -> None:
    """The bounds equal the mean after every missing game is filled in as lost or as won (one game a prompt)."""
    once = list({prompt: (prompt, outcome) for prompt, outcome in games}.values())
    battles = make_battles(rows(once), expected=expected)
    found = missing_bounds(battles, "m")
    outcomes = np.array([outcome for _, outcome in once] + [math.nan] * max(0, expected - len(once)))
    lost, won = (100 * np.where(np.isnan(outcomes), fill, outcomes).mean() for fill in (0.0, 1.0))
    assert (found.all_lost, found.all_won) == pytest.approx((lost, won))
    assert found.missing == np.isnan(outcomes).sum()
    if found.dropped is not None:
        assert found.all_lost - 1e-9 <= found.dropped <= found.all_won + 1e-9


def test_bounds_of_a_model_without_games(make_battles: MakeBattles) -> None:
    """Nothing answered leaves everything open; nothing expected leaves nothing to say."""
    assert missing_bounds(make_battles(rows([(0, 1.0)]), expected=4), "other") == (None, 0.0, 100.0, 4.0)
    assert missing_bounds(make_battles(rows([(0, 1.0)])), "other") == (None, 0.0, 100.0, 0.0)


def test_attacked_games_do_not_count(make_battles: MakeBattles) -> None:
    """Games of an attack variant are no part of a model's own score."""
    battles = make_battles(rows([(0, 1.0), (1, 0.0), (2, 0.0)]))
    battles.games.loc[2, "variant"] = "null"
    assert raw(battles).scores[0].estimate == 50


def test_does_not_apply_without_games_or_to_judges(make_battles: MakeBattles) -> None:
    """A rating-only recording and a judge test set have no raw win rate, and get none."""
    ratings = frame(
        RATING_COLUMNS,
        {"prompt_id": ["p"], "model": ["m"], "judge": ["j"], "turn": [1], "score": [5.0], "answer": [-1]},
    )
    assert raw(Battles.build(Benchmark("ratings"), ratings=ratings)).scores == ()
    assert raw(make_battles(rows([(0, 1.0), (1, 0.0)]), subject="judge")).scores == ()


def test_several_judges_are_said(make_battles: MakeBattles) -> None:
    """With two judges both weigh in, the method says so, and prompts are counted once."""
    battles = make_battles(rows([(0, 1.0), (1, 0.0), (0, 1.0), (1, 1.0)]), judge=["a", "a", "b", "b"])
    score = raw(battles, Settings(level=0.9)).scores[0]
    assert (score.estimate, score.n) == (75, 2)
    assert "2 judges" in score.method


def test_equals_the_published_leaderboard(alpaca: Battles, shared_data: Path) -> None:
    """Win rate and published standard error equal the leaderboard's to 1e-6 points for every listed model."""
    with (shared_data / "alpaca_eval" / "leaderboard.csv").open(encoding="utf-8") as file:
        board = {row[""]: row for row in csv.DictReader(file)}
    compared = 0
    for score in raw(alpaca).scores:
        if score.model in board:
            assert score.estimate == pytest.approx(float(board[score.model]["win_rate"]), abs=1e-6)
            assert score.published_se == pytest.approx(float(board[score.model]["standard_error"]), abs=1e-6)
            assert score.se == pytest.approx(score.published_se, rel=1e-9)  # one game a prompt: here they agree
            compared += 1
    assert compared == 13
