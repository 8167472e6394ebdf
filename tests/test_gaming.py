"""What attacks on a benchmark mean for its submissions: what the top costs whom, and what attacks that decide nothing show."""

from __future__ import annotations

import runpy
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from auditkit.attacked import OPPONENT, AttackArm, AttackSuite
from auditkit.gaming import Gaming, gameability_of, gaming_of
from auditkit.records import ANSWER_COLUMNS, GAME_COLUMNS, Battles, Benchmark, Settings
from auditkit.reports.card import card
from auditkit.reports.report import Gameability
from auditkit.reports.wording import grade_bound, grade_sentence
from auditkit.tables import table

Array = NDArray[np.float64]
N = 120


def share(wins: float) -> Array:
    """Return outcomes of which `wins` of ten are won, the same prompts first."""
    return (np.arange(N) % 10 < wins).astype(float)


def recording(rows: list[tuple[str, str, Array]], suite: AttackSuite | None = None) -> Battles:
    """Return one game a prompt for each (model, variant, outcomes)."""
    games: list[tuple[object, ...]] = []
    answers: list[tuple[object, ...]] = []
    for model, variant, outcomes in rows:
        for i, value in enumerate(outcomes):
            games.append((
                f"p{i:03d}", model, OPPONENT, "judge", "model_first", "", value, 1.0, variant, 1, float("nan"), len(answers), -1,
            ))  # fmt: skip
            answers.append((f"p{i:03d}", model, 1, f"answer {i} of {model} {variant}", "", "", ""))
    built = Battles.build(
        Benchmark("test", baselines=frozenset({OPPONENT})),
        games=table(GAME_COLUMNS, games), answers=table(ANSWER_COLUMNS, answers),
    )  # fmt: skip
    return built if suite is None else replace(built, suite=suite)


def gaming(carrier: str, attacked: Array, *, gold: str = "nonpositive", **more: object) -> Gaming:
    """Attack one submission of a board of three: 8, 5 and 2 wins of ten."""
    board = {"good": share(8), "middling": share(5), "weak": share(2)}
    arm = AttackArm("shout", "Shout", "injection", "test", "", "", "none", gold, **more)  # type: ignore[arg-type]
    suite = AttackSuite("suite", carrier, (arm,))
    battles = recording([(name, "", outcomes) for name, outcomes in board.items()])
    battles = replace(
        battles, attacked=recording([(carrier, "", board[carrier]), (carrier, "shout", attacked)], suite)
    )  # fmt: skip
    found = gaming_of(battles, Settings(replicates=200))
    assert found is not None
    return found


@cache
def sample() -> SimpleNamespace:
    """Return the reports that the tests of pages share."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("reports") / "sample.py")))


def graded(found: Gaming) -> Gameability:
    return gameability_of((), None, None, (), found)


@pytest.mark.parametrize("wins", [8, 2])
def test_whoever_leads_buys_nothing(wins: float) -> None:
    """The first submission with an attack that does nothing, or harm: the top was its own before, so it has no price."""
    found = gaming("good", share(wins))
    assert found.cost_to_top is None and "leads already" in found.unpaid and "good" in found.unpaid
    assert any(line.startswith("cost to the top: ") and "leads already" in line for line in graded(found).not_measured)


def test_the_top_is_bought_by_a_gain_that_is_sure() -> None:
    bought = gaming("weak", share(10))
    assert bought.cost_to_top == 0 and bought.unpaid == "" and bought.rank_uplift == 2
    result = graded(bought)
    assert result.carrier == "weak" and not any("cost to the top" in line for line in result.not_measured)
    dear = gaming("weak", share(10), calls=300, searched=("elsewhere",))
    assert dear.cost_to_top == 300
    short = gaming("weak", share(6))
    assert short.cost_to_top is None and "lifts weak to the top" in short.unpaid
    chosen = gaming("weak", share(10), calls=300)
    assert chosen.cost_to_top is None and chosen.rank_uplift is None, "chosen on the prompts that count"


def test_attacks_that_decide_nothing_are_shown_and_only_the_others_are_missing() -> None:
    """One attack whose answers may be better: its gain is an upper bound; the list of missing ones does not name it."""
    found = gaming("weak", share(6), gold="unknown")
    result = graded(found)
    assert result.grade == "unresolved" and result.points is None
    first = result.not_measured[0]
    assert "unearned" in first and "shout +40.0 (" in first and "may really be better" in first
    missing = [line for line in result.not_measured if "attacks, not played" in line]
    assert missing and not any("shout" in line for line in missing)
    assert any(line.startswith("cost to the top: no attack was measured") for line in result.not_measured)
    assert result.suite == "suite" and result.carrier == "weak"


def test_an_attack_that_was_played_is_not_listed_as_missing() -> None:
    found = gaming("weak", share(6), gold="unknown")
    played = replace(found.result.attacks[0], attack="style-bold")
    result = graded(replace(found, result=replace(found.result, attacks=(played,))))
    style = next(line for line in result.not_measured if line.startswith("style attacks, not played"))
    assert "style-bold" not in style and "style-markdown" in style


def test_within_names_the_upper_limit_and_not_the_lower_one() -> None:
    """What no attack exceeds is the ceiling; the largest lower bound, 0 here, would claim what nothing shows."""
    found = gaming("weak", share(2))
    calm = replace(found.result, grade="within", floor_points=-0.4, ceiling_points=1.6)
    result = graded(replace(found, result=calm))
    assert (result.points, result.ceiling) == (0.0, 1.6)
    assert "more than 1.6 points" in grade_sentence(result)
    assert grade_bound(result) == grade_bound(replace(result, grade="unresolved")) == "≤ 1.6 points"
    assert grade_bound(replace(result, grade="gameable", points=3.0)) == "≥ 3.0 points"
    assert grade_bound(Gameability("unresolved", 0.0)) == "", "constants alone give no upper limit"
    submission = replace(sample().attacked(), gameability=result)
    tile = next(t for t in card(sample().report(submission), submission) if t.label == "Gameable by")
    assert (tile.value, tile.status) == ("≤ 1.6 points", "info")


def test_attacks_that_decide_nothing_are_not_said_to_be_absent() -> None:
    submission = replace(sample().attacked(), gameability=graded(gaming("weak", share(6), gold="unknown")))
    tile = next(t for t in card(sample().report(submission), submission) if t.label == "Gameable by")
    assert tile.status == "not_measured" and "known to be unearned" in tile.text


def test_the_tiles_say_whose_answers_were_attacked() -> None:
    for found in (gaming("weak", share(10)), gaming("good", share(8))):
        submission = replace(sample().attacked(), gameability=graded(found))
        tiles = {tile.label: tile for tile in card(sample().report(submission), submission)}
        assert f"with the answers of {found.carrier}" in tiles["Cost to the top"].text
        assert ("leads already" in tiles["Cost to the top"].text) == (found.carrier == "good")
        assert f"with the answers of {found.carrier}" in tiles["Rank uplift"].text
