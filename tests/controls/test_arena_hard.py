"""Arena-Hard's scores and Bradley-Terry for all-pairs recordings."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression

from auditkit.controls.bradley_terry import arena_hard, encode, scored_games
from auditkit.formats import arena_hard as reader
from auditkit.records import GAME_COLUMNS, Battles, Benchmark, Score, Settings, frame


def recording(
    rows: Sequence[tuple[str, str, str | None, str | None]], version: str = "v2.0", judge: str = "j"
) -> Battles:
    """Build a recording from ``(prompt, model, label of game 1, label of game 2)``; None: no label."""
    labels = {"A>>B": 1.0, "A>B": 1.0, "A=B": 0.5, "B>A": 0.0, "B>>A": 0.0, "A<B": 0.0}
    games: dict[str, list[object]] = {name: [] for name in GAME_COLUMNS}
    for prompt, model, *pair in rows:
        for order, label in zip(("model_second", "model_first"), pair, strict=True):
            first = math.nan if label is None else labels.get(label, math.nan)
            outcome = first if order == "model_first" else 1 - first
            weight = 3.0 if label and (">>" in label or "<<" in label) else 1.0
            values = (prompt, model, "base", judge, order, label or "", outcome, weight, "", 1, math.nan, -1, -1)
            for name, value in zip(GAME_COLUMNS, values, strict=True):
                games[name].append(value)
    benchmark = Benchmark("Arena-Hard", version, "arena_hard", frozenset({"base"}))
    return Battles.build(benchmark, games=frame(GAME_COLUMNS, games))


def all_pairs(games: Sequence[tuple[str, str, str, float]]) -> Battles:
    """Build a recording without a baseline from ``(prompt, model, opponent, outcome)``."""
    columns: dict[str, list[object]] = {name: [] for name in GAME_COLUMNS}
    for prompt, model, opponent, outcome in games:
        values = (prompt, model, opponent, "j", "unknown", "", outcome, 1.0, "", 1, math.nan, -1, -1)
        for name, value in zip(GAME_COLUMNS, values, strict=True):
            columns[name].append(value)
    return Battles.build(Benchmark("pairs"), games=frame(GAME_COLUMNS, columns))


def score(battles: Battles, control: str = "arena_hard", settings: Settings | None = None) -> Score:
    """Return the only score of a control."""
    (found,) = (s for s in arena_hard(battles, settings).scores if s.control == control)
    return found


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("B>>A", "A>>B", 1.0),
        ("B>A", "A>B", 1.0),
        ("A>B", "A>B", 0.5),
        ("A>>B", "A>B", 0.25),
        ("A=B", "B>>A", 0.125),
    ],
)
@pytest.mark.parametrize("version", ["v0.1", "v2.0"])
def test_two_games_score_as_in_the_truth_table(first: str, second: str, expected: float, version: str) -> None:
    """Game 1 shows the baseline first, a strong verdict counts three times."""
    games = scored_games(recording([("p", "m", first, second)], version), Settings())
    assert np.average(games["outcome"], weights=games["weight"]) == pytest.approx(expected)
    assert score(recording([("p", "m", first, second)], version)).estimate == pytest.approx(100 * expected)


def test_a_missing_label_drops_one_game_in_v01_and_the_row_in_v20() -> None:
    """The same judgments give different battles in the two versions, and both are counted in the note."""
    rows: list[tuple[str, str, str | None, str | None]] = [("p", "m", None, "A>B"), ("q", "m", "A>B", "B>A")]
    early, late = score(recording(rows, "v0.1")), score(recording(rows, "v2.0"))
    assert early.estimate == pytest.approx(100 / 3)
    assert late.estimate == pytest.approx(0)
    assert "1 games without" in early.note
    assert "2 games without" in late.note


def test_a_mirrored_label_counts_in_v20_only() -> None:
    """``A<B`` is unknown to v0.1."""
    rows: list[tuple[str, str, str | None, str | None]] = [("p", "m", "A<B", "A>B"), ("q", "m", "A>B", "A<B")]
    assert score(recording(rows, "v0.1")).estimate == pytest.approx(50)
    assert "2 games" in score(recording(rows, "v0.1")).note
    assert score(recording(rows, "v2.0")).estimate == pytest.approx(50)
    assert "without a usable label" not in score(recording(rows, "v2.0")).note


def test_rows_of_other_judges_and_models_are_dropped_by_themselves() -> None:
    """v2.0 drops a row of one judge and one model, not the prompt."""
    one = recording([("p", "m", None, "A>B"), ("p", "n", "B>A", "A>B")])
    two = recording([("p", "m", "B>A", "A>B")], judge="k")
    games = scored_games(Battles.concat([one, two]), Settings())
    assert games["outcome"].isna().tolist() == [True, True, False, False, False, False]


def random_rows(seed: int, models: Sequence[str] = ("m", "n"), prompts: int = 80) -> list[tuple[str, str, str, str]]:
    """Draw labels; a prompt's two games agree mostly."""
    rng = np.random.default_rng(seed)
    rows = []
    for k, model in enumerate(models):
        for p in range(prompts):
            wins = rng.random() < 0.4 + 0.2 * k
            strong = ">>" if rng.random() < 0.6 else ">"
            pair = (f"B{strong}A", f"A{strong}B") if wins else (f"A{strong}B", f"B{strong}A")
            rows.append((f"p{p}", model, *pair))
    return rows


def test_estimate_equals_the_published_logistic_regression() -> None:
    """v0.1's fit (columns of ln 10, a tie as one row each way) has the weighted mean as its win rate."""
    battles = recording([*random_rows(1), ("t", "m", "A=B", "A=B"), ("t", "n", "A=B", "B>A")], "v0.1")
    games = scored_games(battles, Settings())
    models = ["base", "m", "n"]
    X = np.zeros((len(games), 3))
    X[np.arange(len(games)), [models.index(m) for m in games["model"]]] = math.log(10)
    X[:, 0] = -math.log(10)
    y, w = games["outcome"].to_numpy(), games["weight"].to_numpy()
    lr = LogisticRegression(fit_intercept=False, C=np.inf, tol=1e-12, max_iter=10_000).fit(
        np.vstack([X, X]), np.repeat([1, 0], len(X)), sample_weight=np.concatenate([w * y, w * (1 - y)])
    )
    elo = 400 * lr.coef_[0]
    for at, model in ((1, "m"), (2, "n")):
        (found,) = (s for s in arena_hard(battles).scores if s.model == model and s.control == "arena_hard")
        assert found.estimate == pytest.approx(100 / (1 + 10 ** ((elo[0] - elo[at]) / 400)), abs=1e-4)


def test_interval_is_the_clustered_one_and_the_row_bootstrap_is_narrower() -> None:
    """Two agreeing games of weight three are one prompt: rows taken as independent give too narrow an interval."""
    battles = recording(random_rows(2, ["m"], 200), "v0.1")
    found, published = score(battles), score(battles, "arena_hard_published")
    games = scored_games(battles, Settings())
    copies = np.repeat(np.arange(len(games)), games["weight"].astype(int))
    groups = pd.factorize(games["prompt_id"])[0][copies]
    ols = sm.OLS(games["outcome"].to_numpy()[copies], np.ones(len(copies)))
    oracle = ols.fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    assert found.se == pytest.approx(100 * float(oracle.bse[0]) * math.sqrt(200 / 199), rel=1e-9)
    assert found.ci is not None
    assert published.ci is not None
    assert published.ci[1] - published.ci[0] < 0.7 * (found.ci[1] - found.ci[0])
    assert published.estimate == found.estimate
    assert found.published_se == published.se
    assert "row bootstrap" in published.method
    assert "too narrow" in published.note


def test_v20_publishes_the_mean_of_its_rounds_and_a_90_percent_interval() -> None:
    """The published point differs from the weighted mean by bootstrap noise only, and is seeded here."""
    battles = recording(random_rows(3, ["m"], 300), "v2.0")
    found, published = score(battles), score(battles, "arena_hard_published")
    assert found.estimate is not None
    assert published.estimate is not None
    assert published.se is not None
    assert published.estimate != found.estimate
    assert abs(published.estimate - found.estimate) < 4 * published.se / 10
    assert published.ci is not None
    assert published.ci[1] - published.ci[0] == pytest.approx(2 * 1.645 * published.se, rel=0.35)
    assert "90%" in published.method
    assert score(battles, "arena_hard_published") == published
    assert score(battles, "arena_hard_published", Settings(seed=1)) != published


def test_published_standard_error_is_that_of_independent_rows() -> None:
    """Over many rows the bootstrap's spread is the binomial one."""
    battles = recording(random_rows(4, ["m"], 2000), "v2.0")
    games = scored_games(battles, Settings())
    share = np.average(games["outcome"], weights=games["weight"])
    expected = 100 * math.sqrt(share * (1 - share) / games["weight"].sum())
    assert score(battles, "arena_hard_published").se == pytest.approx(expected, rel=0.25)


def test_a_model_that_never_lost_gets_100_with_an_interval() -> None:
    """The rating is infinite, the win rate and its interval are not."""
    found = score(recording([(f"p{i}", "m", "B>A", "A>B") for i in range(30)]))
    assert found.estimate == 100
    assert found.ci is not None
    assert found.ci[1] == 100
    assert 80 < found.ci[0] < 95
    assert "never lost" in found.note


def test_a_model_without_verdicts_and_one_prompt_are_told() -> None:
    """No estimate, and no interval, each with its reason."""
    none = score(recording([("p", "m", None, None)]))
    assert none.estimate is None
    assert "no game" in none.note
    one = score(recording([("p", "m", "A>B", "A>B")]))
    assert one.estimate == 50
    assert one.ci is None
    assert "no interval" in one.note


def test_strong_weight_is_a_setting() -> None:
    """With weight one, a strong verdict is a verdict."""
    battles = recording([("p", "m", "A>>B", "A>B"), ("q", "m", "B>A", "B>A")])
    assert score(battles, settings=Settings(strong_weight=1)).estimate == pytest.approx(50)


def test_attack_variants_are_left_out() -> None:
    """Games on attacked answers are no part of the score."""
    battles = recording([("p", "m", "A>B", "A>B"), ("q", "m", "B>A", "A>B")])
    battles.games["variant"] = np.where(battles.games["prompt_id"] == "q", "attack", "")
    assert score(battles).estimate == 50


def test_published_judgments_score_as_counted_by_hand(shared_data: Path) -> None:
    """Athene-V2-Chat against gpt-4-0314, judged by gpt-3.5-turbo-0125: v0.1's rules applied line by line."""
    folder = shared_data / "arena_hard" / "arena-hard-v0.1"
    file = folder / "model_judgment" / "gpt-3.5-turbo-0125" / "Nexusflow__Athene-V2-Chat.jsonl"
    won = total = 0.0
    for line in filter(None, file.read_text(encoding="utf-8").split("\n")):
        for game, own in zip(json.loads(line)["games"], "BA", strict=True):
            label = game["score"]
            if label is None:
                continue
            times = 3 if ">>" in label else 1
            total += times
            won += times * (0.5 if label == "A=B" else float(label[0] == own))
    found = score(reader.read(folder))
    assert found.estimate == pytest.approx(100 * won / total, abs=1e-12)
    assert found.estimate == pytest.approx(2.0390, abs=1e-4)
    assert found.n == 107
    assert "175 strong verdicts" in found.note


def test_all_pairs_get_their_chance_against_the_field() -> None:
    """Two models that split their games 3 to 1: 75 percent, and Elo points that say the same."""
    rows = [(f"p{i}", "a", "b", float(i % 4 > 0)) for i in range(400)]
    scores = {s.model: s for s in arena_hard(all_pairs(rows)).scores}
    assert scores["a"].estimate == pytest.approx(75)
    assert scores["b"].estimate == pytest.approx(25)
    assert scores["a"].se == pytest.approx(100 * math.sqrt(0.75 * 0.25 / 399), rel=1e-6)
    assert scores["a"].control == "bradley_terry"
    assert f"Elo {200 * math.log10(3):+.0f}" in scores["a"].note
    assert scores["a"].n == 400


def test_all_pairs_do_not_depend_on_who_is_named_first() -> None:
    """Turning every second battle changes no score."""
    rng = np.random.default_rng(0)
    names = ["a", "b", "c"]
    rows = []
    for i in range(300):
        x, y = rng.choice(3, 2, replace=False)
        rows.append((f"p{i % 100}", names[x], names[y], float(rng.random() < 0.5 + 0.15 * (int(y) - int(x)))))
    turned = [(p, b, a, 1 - o) if i % 2 else (p, a, b, o) for i, (p, a, b, o) in enumerate(rows)]
    for one, other in zip(arena_hard(all_pairs(rows)).scores, arena_hard(all_pairs(turned)).scores, strict=True):
        assert one.model == other.model
        assert one.estimate == pytest.approx(other.estimate)
        assert one.se == pytest.approx(other.se)


def test_disconnected_models_are_undefined_by_name() -> None:
    """A model that never lost has no rating, and so nobody has; the reason names it."""
    rows = [("p", "a", "b", 1.0), ("q", "a", "b", 1.0), ("q", "b", "c", 1.0), ("r", "b", "c", 0.0)]
    for found in arena_hard(all_pairs(rows)).scores:
        assert found.estimate is None
        assert "never lost: a" in found.note


def test_other_recordings_find_nothing() -> None:
    """A star that is not Arena-Hard's, and a judge's own test set, have no such score."""
    star = recording([("p", "m", "A>B", "A>B")])
    other = Battles.build(Benchmark("x", format="alpaca_eval", baselines=frozenset({"base"})), games=star.games)
    judge = Battles.build(Benchmark("x", format="arena_hard", subject="judge"), games=star.games)
    assert not arena_hard(other).scores
    assert not arena_hard(judge).scores


def test_codes_are_sorted_names() -> None:
    """Codes follow the sorted names and prompts their first appearance."""
    coded = encode(pd.Series(["b", "c"]), pd.Series(["c", "a"]), pd.Series(["q", "p"]))
    assert coded.names == ("a", "b", "c")
    assert coded.a.tolist() == [1, 2]
    assert coded.b.tolist() == [2, 0]
    assert coded.clusters.tolist() == [0, 1]
