"""The length-matched win rate is the plain win rate where the answers are about equally long."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from auditkit.controls import length_matched, raw
from auditkit.records import Battles
from auditkit.stats.intervals import wilson

MakeBattles = Callable[..., Battles]


def rows(n: int, near: int) -> list[tuple[str, str, str, float, str, str]]:
    """`near` prompts within a factor 1.25, the rest beyond; outcomes differ between the two groups."""
    return [
        (f"p{i}", "m", "unknown", float(i % 3 == 0 if i < near else 1), "x" * (100 if i < near else 126), "y" * (125 if i < near else 100))
        for i in range(n)
    ]  # fmt: skip


def test_equals_the_mean_over_matched_prompts(make_battles: MakeBattles) -> None:
    """Exactly 1.25 times as long still matches, 1.26 times does not."""
    games = rows(100, 60)
    score = length_matched(make_battles(games)).scores[0]
    matched = raw(make_battles(games[:60])).scores[0]
    assert (score.estimate, score.se, score.ci, score.n) == (matched.estimate, matched.se, matched.ci, 60)
    assert score.overlap == pytest.approx(0.6)


def test_too_few_matches_are_undefined(make_battles: MakeBattles) -> None:
    """Below 30 matched prompts there is a reason instead of a number."""
    score = length_matched(make_battles(rows(100, 29))).scores[0]
    assert (score.estimate, score.n) == (None, 29)
    assert "29 prompts" in score.note


def test_unrecorded_answers_and_missing_verdicts(make_battles: MakeBattles) -> None:
    """Without answers or verdicts nothing is computed, and the note says why."""
    battles = make_battles(rows(40, 40))
    battles.games["answer"] = -1
    assert length_matched(battles).scores[0].estimate is None
    battles = make_battles([(p, m, o, np.nan, a, b) for p, m, o, _, a, b in rows(40, 40)])
    assert "no game has a verdict" in length_matched(battles).scores[0].note
    assert length_matched(make_battles(rows(40, 40), subject="judge")).scores == ()


def test_side_of_the_difference_is_irrelevant(make_battles: MakeBattles) -> None:
    """Swapping the two answers' lengths matches the same prompts."""
    games = rows(100, 60)
    swapped = [(p, m, o, y, b, a) for p, m, o, y, a, b in games]
    assert length_matched(make_battles(games)).scores == length_matched(make_battles(swapped)).scores


def test_winning_every_matched_game_is_not_certainty(make_battles: MakeBattles) -> None:
    """Forty wins of forty leave room below 100: the interval has a width, and no standard error is claimed."""
    games = [(p, m, o, 1.0, a, b) for p, m, o, _, a, b in rows(40, 40)]
    score = length_matched(make_battles(games)).scores[0]
    assert score.estimate == 100
    assert score.se is None
    assert score.ci is not None
    assert score.ci[0] == pytest.approx(100 * wilson(40, 40)[0])
    assert "Wilson" in score.method
