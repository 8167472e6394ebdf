"""The battles table: what it refuses, how it joins, how it turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from auditkit.errors import InputError, printable
from auditkit.records import GAME_COLUMNS, Battles, Benchmark, Settings, frame


@pytest.mark.parametrize(
    ("column", "value", "said"), [("outcome", 1.5, "0..1"), ("outcome", -0.1, "0..1"), ("weight", 0.0, "weight")]
)
def test_numbers_out_of_range_are_refused_where_they_enter(
    simulate: Callable[..., Battles], column: str, value: float, said: str
) -> None:
    """An outcome outside 0..1 or a weight that is not positive never reaches a control."""
    battles = simulate({"m": 0.0}, prompts=10)
    games = battles.games.copy()
    games.loc[3, column] = value
    with pytest.raises(InputError, match=said):
        Battles.build(battles.benchmark, games=games, answers=battles.answers, prompts=battles.prompts)


def test_an_empty_recording_is_refused() -> None:
    """No game, rating or count: nothing to audit."""
    with pytest.raises(InputError, match="no judgments"):
        Battles.build(Benchmark("empty"))


def test_joined_recordings_keep_every_game_with_its_own_answers(simulate: Callable[..., Battles]) -> None:
    """After concat each game still points at the text that it pointed at before."""
    a, b = simulate({"a": 0.0}, prompts=20, seed=1), simulate({"b": 0.5}, prompts=30, seed=2)
    both = Battles.concat([a, b])
    assert both.models == ("a", "b")
    for part, model in ((a, "a"), (b, "b")):
        for column in ("answer", "opponent_answer"):
            before = part.answers["text"].iloc[part.games[column]].tolist()
            after = both.answers["text"].iloc[both.games_of(model)[column]].tolist()
            assert after == before


def test_judge_sets_and_submissions_do_not_mix(simulate: Callable[..., Battles]) -> None:
    """Joining recordings of different kinds is refused."""
    a = simulate({"a": 0.0}, prompts=10)
    judge = replace(a, benchmark=replace(a.benchmark, subject="judge"))
    with pytest.raises(InputError, match="cannot be audited together"):
        Battles.concat([a, judge])


def test_without_a_baseline_a_model_sees_its_games_from_both_sides() -> None:
    """Where everybody meets everybody, the second role is turned: outcome, gold and order."""
    nan = float("nan")
    games = frame(
        GAME_COLUMNS,
        {
            "prompt_id": ["p", "q"], "model": ["x", "y"], "opponent": ["y", "x"], "judge": ["j", "j"],
            "order": ["model_first", "model_first"], "label": ["", ""], "outcome": [1.0, 0.25], "weight": [1.0, 1.0],
            "variant": ["", ""], "turn": [1, 1], "gold": [1.0, nan], "answer": [-1, -1], "opponent_answer": [-1, -1],
        },
    )  # fmt: skip
    battles = Battles.build(Benchmark("arena"), games=games)
    assert battles.models == ("x", "y")
    own = battles.games_of("x")
    assert own["outcome"].tolist() == [1.0, 0.75]
    assert own["order"].tolist() == ["model_first", "model_second"]
    assert own["opponent"].tolist() == ["y", "y"]
    assert battles.games_of("y")["gold"].tolist()[0] == 0.0


def test_a_consumer_draws_the_same_numbers_whoever_else_draws() -> None:
    """Streams are named: one consumer more changes nobody's numbers."""
    one, two = Settings(seed=3), Settings(seed=3)
    two.rng("other").random(100)
    assert one.rng("length").random(4).tolist() == two.rng("length").random(4).tolist()
    assert one.rng("length").random() != one.rng("style").random()


def test_printable_shows_what_could_steer_a_terminal() -> None:
    """Escapes, bidi overrides, tag characters and lone surrogates are visible; long text is cut and says so."""
    shown = printable("a\x1b[31m\u202eb\U000e0041\ud800c")
    assert shown.isprintable()
    assert "\\x1b" in shown
    assert printable("x" * 500).endswith("(500 characters)")
