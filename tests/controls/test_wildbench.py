"""WB-Reward: the published tables with zero error, the K rule's truth table, and a recount of games."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.controls.wildbench import SWEEP, TASK_WEIGHTS, apply_k, wildbench_k
from auditkit.formats import wildbench
from auditkit.formats.wildbench import EMPTY, REFERENCES, TRUNCATED
from auditkit.records import ANSWER_COLUMNS, GAME_COLUMNS, TABLE_COLUMNS, Battles, Benchmark, Score, frame

NAN = float("nan")
HAIKU, LLAMA, GPT4T = REFERENCES.values()
KS = (-1, 1000, 1500)

#: One game: model, opponent, prompt, outcome, own answer, opponent's answer (None: not recorded).
Game = tuple[str, str, str, float, str | None, str | None]


def from_games(games: Sequence[Game], name: str = "wildbench") -> Battles:
    answers: list[tuple[object, ...]] = []
    rows: list[tuple[object, ...]] = []
    for model, opponent, prompt, outcome, *texts in games:
        numbers = []
        for who, text in zip((model, opponent), texts, strict=True):
            numbers.append(-1 if text is None else len(answers))
            if text is not None:
                answers.append((prompt, who, 1, text, "", "", ""))
        rows.append((prompt, model, opponent, "j", "model_first", "", outcome, 1.0, "", 1, NAN, *numbers))
    tables = [
        frame(columns, dict(zip(columns, map(list, zip(*part, strict=True)), strict=True))) if part else frame(columns)
        for columns, part in ((GAME_COLUMNS, rows), (ANSWER_COLUMNS, answers))
    ]
    baselines = frozenset(game[1] for game in games)
    return Battles.build(Benchmark("x", format=name, baselines=baselines), games=tables[0], answers=tables[1])


def from_counts(*rows: tuple[object, ...]) -> Battles:
    """Build a recording of count tables from rows ``(model, opponent, k, task, 5 counts, total)``."""
    columns = map(list, zip(*((*row, NAN) for row in rows), strict=True))
    return Battles.build(
        Benchmark("x", format="wildbench"), tables=frame(TABLE_COLUMNS, dict(zip(TABLE_COLUMNS, columns, strict=True)))
    )


def by_control(battles: Battles, model: str = "m") -> dict[str, Score]:
    scores = wildbench_k(battles).scores
    assert len({(s.model, s.control) for s in scores}) == len(scores)
    return {s.control: s for s in scores if s.model == model}


@pytest.fixture(scope="module")
def published(shared_data: Path) -> dict[tuple[str, str], Score]:
    return {(s.model, s.control): s for s in wildbench_k(wildbench.read(shared_data / "wildbench" / "tables")).scores}


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("reference", ["haiku", "llama", "gpt4t"])
def test_published_tables(shared_data: Path, published: dict[tuple[str, str], Score], reference: str, k: int) -> None:
    """Reward and task-macro reward of every model, reference and K equal the published file to 1e-12."""
    file = shared_data / "wildbench" / "tables" / f"pairwise-{reference}-K={k}.json"
    entries = json.loads(file.read_text())
    assert len(entries) >= 51
    for model, entry in entries.items():
        for field, tail in (("reward", ""), ("task_macro_reward", "_task_macro")):
            score = published[model, f"wildbench_k_{reference}_K={k}{tail}"]
            assert score.estimate is not None
            assert abs(score.estimate / 100 - entry[field]) <= 1e-12
            assert score.unit == "reward"
            assert score.n == entry["total"]


@pytest.mark.parametrize("k", KS)
def test_published_mixtures(shared_data: Path, published: dict[tuple[str, str], Score], k: int) -> None:
    """The mixture over references, missing ones as 0, equals the merged board for all 61 models; so does its macro."""
    board = json.loads((shared_data / "wildbench" / "tables" / f"all_stat_wildbench.{k}.json").read_text())
    assert len(board) == 61
    missing = 0
    for model, entry in board.items():
        absent = [s for s in REFERENCES if (model, f"wildbench_k_{s}_K={k}") not in published]
        for field, name in (("mixture_of_rewards", "mixture"), ("task_macro_reward", "task_macro_mixture")):
            score = published.get((model, f"wildbench_k_{name}_K={k}"))
            estimate = score.estimate if score else 0.0
            assert estimate is not None
            assert abs(estimate - entry[f"{field}.K={k}"]) <= 1e-10
            assert (score is None) == (len(absent) == 3)
        missing += len(absent)
    # Of the board's 183 cells, this many have no table row and are averaged in as 0.
    assert missing == 39


@pytest.mark.parametrize(
    ("outcome", "longer_by", "k", "counted"),
    [
        (0.75, 500, 500, 0.75),  # strictly greater
        (0.75, 501, 500, 0.5),
        (1.0, 5000, 500, 1.0),  # much better is untouched
        (0.25, -501, 500, 0.5),  # symmetric: the reference won and is longer
        (0.25, -500, 500, 0.25),
        (0.25, 501, 500, 0.25),  # the loser is longer
        (0.75, 5000, -1, 0.75),  # off
        (0.75, 1, 0, 0.5),
        (0.5, 5000, 0, 0.5),
        (0.0, -5000, 0, 0.0),
    ],
)
def test_truth_table(outcome: float, longer_by: int, k: int, counted: float) -> None:
    """The K rule turns a slight win into a tie only if the winner is more than K characters longer."""
    chars, other = np.array([6000.0 + longer_by]), np.array([6000.0])
    assert apply_k(np.array([outcome]), chars, other, k).tolist() == [counted]


def test_truncated_and_empty_items_stay_in_the_denominator() -> None:
    """They earn nothing but count in the published reward; the note gives the reward over counted items."""
    texts = ("fine", "fine"), ("x" + TRUNCATED, "fine"), ("fine", EMPTY), ("", "fine")
    battles = from_games([("m", HAIKU, f"p{i}", 1.0, *pair) for i, pair in enumerate(texts)])
    score = by_control(battles)["wildbench_k_haiku_K=-1"]
    assert (score.estimate, score.n) == (25.0, 4)
    assert "3 of 4 items truncated or empty" in score.note
    assert "100.00 over counted items" in score.note


def test_unparsed_games_are_left_out_and_bounded() -> None:
    """The published rule drops them; the note says what they could have made of the score."""
    games: list[Game] = [("m", HAIKU, f"p{i}", o, "a", "b") for i, o in enumerate((1.0, 0.25, NAN, NAN))]
    score = by_control(from_games(games))["wildbench_k_haiku_K=-1"]
    assert (score.estimate, score.n) == (25.0, 2)
    assert "2 unparsed left out: -37.50 if all were lost, 62.50 if won" in score.note


def test_lengths_that_are_not_known_leave_k_undefined() -> None:
    """Without both answers the rule cannot be applied; with the rule off the reward is there."""
    scores = by_control(from_games([("m", HAIKU, "p", 0.75, None, "b"), ("m", HAIKU, "q", 0.75, "a", "b")]))
    assert scores["wildbench_k_haiku_K=-1"].estimate == 50.0
    assert scores["wildbench_k_haiku_K=500"].estimate is None
    assert "1 of 2 games without both answers" in scores["wildbench_k_haiku_K=500"].note


@given(
    st.lists(
        st.tuples(
            st.sampled_from("pqrst"),
            st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
            *[st.sampled_from([0, 1, 2, 400, 502, 1400, 1600]).map("x".__mul__)] * 2,
        ),
        min_size=1,
        max_size=25,
    )
)
def test_games_against_plain_counting(rows: list[tuple[str, float, str, str]]) -> None:
    """The reward at every K of the sweep equals the published loop; a larger margin never takes away more wins."""
    scores = by_control(from_games([("m", LLAMA, *row) for row in rows]))
    for k in SWEEP:
        total = 0.0
        for _, outcome, ours, theirs in rows:
            if not ours or not theirs:
                continue
            winner, loser = (ours, theirs) if outcome > 0.5 else (theirs, ours)
            if outcome in (0.25, 0.75) and k >= 0 and len(winner) > len(loser) + k:
                continue
            total += 2 * outcome - 1
        score = scores[f"wildbench_k_llama_K={k}"]
        assert score.estimate == pytest.approx(100 * total / len(rows), abs=1e-9)
        if len({row[0] for row in rows}) < 2:
            assert score.ci is None


def test_counts_and_games_agree() -> None:
    """The same items as counts and as games: same reward, same standard error, one item a prompt."""
    outcomes = [1.0] * 3 + [0.75] * 5 + [0.5] * 2 + [0.25] * 4 + [0.0] * 2
    games: list[Game] = [("m", HAIKU, f"p{i}", o, "aa", "bb") for i, o in enumerate(outcomes)]
    games += [("m", HAIKU, f"s{i}", 1.0, "a" + TRUNCATED, "b") for i in range(4)]
    name = "wildbench_k_haiku_K=-1"
    ours, counted = (
        by_control(from_games(games))[name],
        by_control(from_counts(("m", HAIKU, -1, "", 3, 5, 2, 4, 2, 20)))[name],
    )
    assert ours.estimate == pytest.approx(counted.estimate)
    assert ours.se == pytest.approx(counted.se)
    assert ours.note == counted.note
    values = np.array([2 * o - 1 for o in outcomes] + [0.0] * 4)
    assert counted.se == pytest.approx(100 * values.std(ddof=1) / np.sqrt(20))


def test_games_come_before_counts() -> None:
    """Where a folder holds both for one model, reference and K, there is one row, from the games."""
    games = from_games([("m", HAIKU, "p", 1.0, "a", "b"), ("m", HAIKU, "q", 0.0, "a", "b")])
    counts = from_counts(("m", HAIKU, -1, "", 9, 0, 0, 0, 0, 9), ("m", HAIKU, 300, "", 9, 0, 0, 0, 0, 9))
    scores = by_control(Battles.build(games.benchmark, games=games.games, answers=games.answers, tables=counts.tables))
    assert scores["wildbench_k_haiku_K=-1"].estimate == 0.0
    assert scores["wildbench_k_haiku_K=300"].estimate == 100.0


def test_mixture_of_missing_and_self() -> None:
    """A missing reference pulls the published mixture to 0; the other variant leaves it out, but knows itself a tie."""
    full = [("m", reference, -1, "", 10, 0, 0, 0, 0, 10) for reference in REFERENCES.values()]
    one = [("n", HAIKU, -1, "", 10, 0, 0, 0, 0, 10)]
    itself = [(HAIKU, reference, -1, "", 10, 0, 0, 0, 0, 10) for reference in (LLAMA, GPT4T)]
    battles = from_counts(*full, *one, *itself)
    expected = {"m": (100, 100), "n": (100 / 3, 100), HAIKU: (200 / 3, 200 / 3)}
    for model, values in expected.items():
        scores = by_control(battles, model)
        found = [scores[f"wildbench_k_mixture{tail}_K=-1"].estimate for tail in ("", "_present")]
        assert found == pytest.approx(values)
    assert (
        "missing: Llama-2-70b-chat-hf, gpt-4-turbo-2024-04-09"
        in by_control(battles, "n")["wildbench_k_mixture_K=-1"].note
    )
    assert "wildbench_k_mixture_K=-1" not in by_control(from_counts(*full[:2]))


def test_macro_without_tasks() -> None:
    """A task without items earns 0, as published, and is named; no known task at all is undefined."""
    task = "Coding & Debugging"
    total = ("m", HAIKU, 5, "", 4, 0, 0, 0, 0, 4)
    score = by_control(from_counts(total, ("m", HAIKU, 5, task, 4, 0, 0, 0, 0, 4)))["wildbench_k_haiku_K=5_task_macro"]
    assert score.estimate == pytest.approx(100 * TASK_WEIGHTS[task] / 4.75)
    assert "Creative Tasks" in score.note
    odd = by_control(from_counts(total, ("m", HAIKU, 5, "Cooking", 4, 0, 0, 0, 0, 4)))
    assert odd["wildbench_k_haiku_K=5_task_macro"].estimate is None


def test_no_items_no_reward() -> None:
    """A file without items has no reward and says so; a model whose every verdict is unparsed likewise."""
    score = by_control(from_counts(("m", HAIKU, 5, "", 0, 0, 0, 0, 0, 0)))["wildbench_k_haiku_K=5"]
    assert (score.estimate, score.note) == (None, "the file held no items")
    games = by_control(from_games([("m", HAIKU, "p", NAN, "a", "b")]))
    assert games["wildbench_k_haiku_K=0"].estimate is None


def test_intervals_cover() -> None:
    """Over 400 simulated recordings the 95% interval from games holds the true reward 92 to 98% of the time."""
    rng = np.random.default_rng(7)
    share, values = np.array([0.15, 0.3, 0.2, 0.2, 0.15]), np.array([1.0, 0.75, 0.5, 0.25, 0.0])
    truth, hits = 100 * float(share @ (2 * values - 1)), 0
    games: list[Game] = []
    for run in range(400):
        games += [
            (f"m{run}", HAIKU, f"p{i}", float(o), "a", "b") for i, o in enumerate(rng.choice(values, 60, p=share))
        ]
    for score in wildbench_k(from_games(games)).scores:
        if score.control == "wildbench_k_haiku_K=-1":
            assert score.ci is not None
            hits += score.ci[0] <= truth <= score.ci[1]
    assert 0.92 <= hits / 400 <= 0.98


def test_other_benchmarks_have_no_reward() -> None:
    """The rule belongs to WildBench's labels only."""
    assert wildbench_k(from_games([("m", HAIKU, "p", 1.0, "a", "b")], name="pairs")).scores == ()
