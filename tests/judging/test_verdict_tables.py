"""The tables of a run, read column by column, against records sorted in plain Python."""

from __future__ import annotations

import math
import random
import sqlite3
import statistics
import tracemalloc
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from auditkit.errors import InputError
from auditkit.judging.calls import Usage
from auditkit.judging.inputs import Answer, Prompt
from auditkit.judging.plan import Contest, plan
from auditkit.judging.spec import load_judge
from auditkit.judging.store import Game, Rating, Run, Store
from auditkit.judging.verdict_tables import answers_of, games_table, noise_of, ratings_table, verdicts_of

LABELS = ("[[A>B]]", "", "odd \x00 \x1a label", "ärger")


def contest(use: str, prompts: int = 12, repeats: int = 3, turns: int = 1) -> Contest:
    """Three models and a baseline; one model has no answer to every third prompt."""
    asked = tuple(
        Prompt(f"q{i:03}", tuple(f"question {i}.{t}" for t in range(turns)), "essay") for i in reversed(range(prompts))
    )
    answers = {
        name: {
            p.id: Answer(tuple(f"{name} says {t}" for t in p.turns))
            for k, p in enumerate(asked)
            if name != "thin" or k % 3
        }
        for name in ("zeta", "thin", "alpha", "base")
    }
    judge = load_judge(use)
    baselines = {"*": "base"} if judge.pairwise else {}
    models = ("zeta", "thin", "alpha") if judge.pairwise else ("zeta", "thin", "alpha", "base")
    return Contest(judge, "openai/judge", asked, models, baselines, answers, repeats)


def fill(store: Store, made: Contest, draws: random.Random) -> list[Game] | list[Rating]:
    """Store a verdict on every game of the plan, in any order, in one run a model; return them in the plan's order."""
    games: list[Game] = []
    ratings: list[Rating] = []
    for task in plan(made):
        label, silent = draws.choice(LABELS), draws.random() < 0.2
        if task.opponent:
            games.append(
                Game(
                    task.prompt.id, task.model, task.opponent, made.judge_name, "sha", task.order, label,
                    math.nan if silent else draws.choice((0.0, 0.5, 1.0)), draws.choice((1.0, 3.0)), turn=task.turn,
                    sample=task.sample, usage=Usage(10, 2), reason="why " * 50,
                )
            )  # fmt: skip
        else:
            score = math.nan if silent else float(draws.randint(1, 10))
            ratings.append(
                Rating(task.prompt.id, task.model, made.judge_name, "sha", score, turn=task.turn, sample=task.sample)
            )
    for model in made.models:
        store.put_run(Run(model))
        store.put_games(model, draws.sample(own := [g for g in games if g.model == model], len(own)))
        store.put_ratings(model, draws.sample(rated := [r for r in ratings if r.model == model], len(rated)))
    return sorted_as_planned(made, games) if games else sorted_ratings(made, ratings)


def sorted_as_planned(made: Contest, games: list[Game]) -> list[Game]:
    place = {p.id: k for k, p in enumerate(made.prompts)}
    orders = ["model_first", "model_second"]
    return sorted(
        games, key=lambda g: (place[g.prompt_id], made.models.index(g.model), g.turn, orders.index(g.order), g.sample)
    )


def sorted_ratings(made: Contest, ratings: list[Rating]) -> list[Rating]:
    place = {p.id: k for k, p in enumerate(made.prompts)}
    return sorted(ratings, key=lambda r: (place[r.prompt_id], made.models.index(r.model), r.turn, r.sample))


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store.sqlite")


@pytest.mark.parametrize("seed", range(3))
def test_games_are_those_of_the_store_in_the_plans_order(store: Store, seed: int) -> None:
    """Every field of every game, wherever it was stored, with the row of each side's answer."""
    made = contest("arena-hard-v2.0")
    expected = fill(store, made, random.Random(seed))  # noqa: S311  a test's draw
    answers = answers_of(made)
    table = games_table(verdicts_of(made, store, made.models), answers)
    assert len(table) == len(expected) > 100
    for row, game in zip(table.itertuples(), expected, strict=True):
        assert isinstance(game, Game)
        assert (row.prompt_id, row.model, row.opponent, row.judge, row.order, row.label, row.weight, row.turn) == (
            game.prompt_id, game.model, game.opponent, game.judge, game.order, game.label, game.weight, game.turn,
        )  # fmt: skip
        assert same(row.outcome, game.outcome)
        assert row.variant == (f"repeat-{game.sample}" if game.sample else "")
        for name, at in ((game.model, row.answer), (game.opponent, row.opponent_answer)):
            assert tuple(answers.table.loc[at, ["model", "prompt_id", "turn"]]) == (name, game.prompt_id, game.turn)


def test_ratings_are_those_of_the_first_draw(store: Store) -> None:
    """Two turns a prompt, three draws of each: one row a turn."""
    made = contest("mt-bench-single", turns=2)
    expected = fill(store, made, random.Random(1))  # noqa: S311  a test's draw
    answers = answers_of(made)
    table = ratings_table(verdicts_of(made, store, made.models), answers)
    kept = [r for r in expected if r.sample == 0]
    assert len(table) == len(kept) > 50
    for row, rating in zip(table.itertuples(), kept, strict=True):
        assert isinstance(rating, Rating)
        assert (row.prompt_id, row.model, row.turn) == (rating.prompt_id, rating.model, rating.turn)
        assert same(row.score, rating.score)
        assert answers.table.loc[
            row.answer, "text"
        ] == f"{rating.model} says question {int(rating.prompt_id[1:])}." + str(rating.turn - 1)


@pytest.mark.parametrize("use", ["arena-hard-v2.0", "mt-bench-single"])
def test_the_noise_is_that_of_draws_of_one_game(store: Store, use: str) -> None:
    """Share of games whose verdict changed, and the pooled standard deviation, against Python's statistics."""
    made = contest(use, turns=2 if use.startswith("mt") else 1)
    groups: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for verdict in fill(store, made, random.Random(2)):  # noqa: S311  a test's draw
        if isinstance(verdict, Game):
            who, value = (verdict.prompt_id, verdict.model, str(verdict.order)), verdict.outcome
        else:
            who, value = (verdict.prompt_id, verdict.model, str(verdict.turn)), verdict.score
        if not math.isnan(value):
            groups[who].append(value)
    several = [values for values in groups.values() if len(values) > 1]
    noise = noise_of(verdicts_of(made, store, made.models))
    assert noise is not None
    assert noise.n == len(several) > 30
    assert noise.changed == pytest.approx(sum(len(set(v)) > 1 for v in several) / len(several))
    assert noise.sd == pytest.approx(math.sqrt(statistics.fmean(statistics.variance(v) for v in several)))
    assert noise_of(verdicts_of(replace(made), store, [])) is None


def test_rejected_games_have_no_outcome_and_take_their_place(store: Store) -> None:
    """They are rows like any other, where the plan has them."""
    made = contest("arena-hard-v2.0", repeats=1)
    tasks = list(plan(made))
    expected = fill(store, made, random.Random(3))  # noqa: S311  a test's draw
    with sqlite3.connect(store.name) as connection:
        connection.execute("DELETE FROM games WHERE prompt_id = 'q007'")
    connection.close()
    lost = [task for task in tasks if task.prompt.id == "q007"]
    verdicts = verdicts_of(made, store, made.models, lost)
    table = games_table(verdicts, answers_of(made))
    assert list(zip(table["prompt_id"], table["model"], table["order"], strict=True)) == [
        (g.prompt_id, g.model, g.order) for g in expected if isinstance(g, Game)
    ]
    assert table[table["prompt_id"] == "q007"]["outcome"].isna().all()
    assert verdicts.stored == len(expected) - len(lost)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("outcome = 7.0", "outcome must lie in 0..1"),
        ("outcome = 'much'", "a row cannot be read"),
        ("prompt_id = 'elsewhere'", "'elsewhere', which is not in it"),
        ("\"order\" = 'first'", "'first', which is not in it"),
    ],
)
def test_a_store_that_something_else_changed_is_refused(store: Store, change: str, words: str) -> None:
    """One line that says what is wrong; nothing is published from it."""
    made = contest("arena-hard-v2.0", repeats=1)
    fill(store, made, random.Random(4))  # noqa: S311  a test's draw
    with sqlite3.connect(store.name) as connection:
        connection.execute(f"UPDATE games SET {change} WHERE prompt_id = 'q003'")  # noqa: S608  a test's own words
    connection.close()
    with pytest.raises(InputError, match=words):
        verdicts_of(made, store, made.models)


def test_a_stored_game_takes_little_memory(store: Store) -> None:
    """At most 200 bytes a game while they are read, however long the reasons that are stored with them."""
    made = contest("arena-hard-v2.0", prompts=1_000, repeats=1)
    count = len(fill(store, made, random.Random(5)))  # noqa: S311  a test's draw
    verdicts_of(made, store, made.models[:1])  # what is made once
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        verdicts = verdicts_of(made, store, made.models)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert verdicts.stored == count > 5_000
    pages = 1_300_000  # two pages of a thousand rows each, as the database hands them out
    assert peak < pages + 200 * count
