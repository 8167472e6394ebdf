"""The joint regression recovers planted effects, its parts add up to the raw score, and it refuses what it cannot know."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from auditkit.controls import joint, raw
from auditkit.records import Battles, Findings, Settings
from auditkit.stats.logistic import sigmoid

MakeBattles = Callable[..., Battles]
Array = NDArray[np.float64]
Row = tuple[str, str, str, float, str, str]
FAST = Settings(replicates=100)
FIRST, SECOND = "model_first", "model_second"


def answer(chars: int, headers: int, lists: int, bold: int) -> str:
    """An answer of about so many characters with so many markdown elements."""
    marks = "# h\n" * headers + "- i\n" * lists + "**b** " * bold
    return marks + "x" * max(chars - len(marks), 1)


def rows(seed: int, n: int = 200, models: int = 1, orders: tuple[str, ...] = (FIRST, SECOND)) -> list[Row]:
    """Games with planted model, position, length, style and difficulty effects."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=n)
    games = []
    for k in range(models):
        own, other = rng.integers(100, 900, (2, n)), rng.integers(100, 900, (2, n))
        marks = rng.integers(0, 5, (2, 3, n))
        texts = [
            [answer(int(c[i]), *map(int, m[:, i])) for i in range(n)]
            for c, m in ((own[0], marks[0]), (other[0], marks[1]))
        ]
        chars = [np.array([len(t) for t in side], dtype=float) for side in texts]
        d = chars[0] - chars[1]
        ratio = (marks[0] - marks[1]) / (marks[0] + marks[1] + 1)
        logit = 0.3 + 0.2 * k + 1.0 * np.tanh(d / d.std(ddof=1)) + 0.8 * ratio[1] - 0.9 * hard
        for i in range(n):
            for order in orders:
                shift = 0.7 if order == SECOND else -0.7
                y = float(rng.random() < sigmoid(logit[i] + shift))
                games.append((f"p{i}", f"m{k}", order, y, texts[0][i], texts[1][i]))
    return games


def points(findings: Findings, model: str = "m0") -> dict[str, float | None]:
    """Points by part."""
    return {part.part: part.points for part in findings.decomposition[model]}


@pytest.fixture(scope="module")
def five(make_battles: MakeBattles) -> Battles:
    """Five models on 200 prompts in both orders: enough others to know a prompt's difficulty."""
    return make_battles(rows(0, models=5))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=8)
def test_parts_add_up_to_the_raw_score(make_battles: MakeBattles, seed: int) -> None:
    """The points of all parts make the raw win rate minus 50."""
    battles = make_battles(rows(seed, n=60))
    found = joint(battles, FAST)
    if found.scores[0].estimate is None:
        return
    total = sum(value for value in points(found).values() if value is not None)
    assert total + 50 == pytest.approx(raw(battles).scores[0].estimate, abs=1e-6)
    assert points(found)["model"] == pytest.approx(found.scores[0].estimate - 50)


def test_agrees_with_a_regression_by_hand(make_battles: MakeBattles) -> None:
    """Score, style effects and their intervals equal those of a statsmodels GLM on columns built here."""
    games = rows(1)
    battles = make_battles(games)
    found = joint(battles, FAST)
    own, other = [row[4] for row in games], [row[5] for row in games]

    def count(texts: list[str], mark: str) -> Array:
        return np.array([t.count(mark) for t in texts], dtype=float)

    def ratio(mark: str) -> Array:
        a, b = count(own, mark), count(other, mark)
        return np.asarray((a - b) / (a + b + 1))

    d = np.array([len(a) - len(b) for a, b in zip(own, other, strict=True)], dtype=float)
    style = [ratio(mark) for mark in ("# ", "- ", "**b**")]
    order = np.array([0.5 if row[2] == SECOND else -0.5 for row in games])
    X = np.column_stack([np.ones(len(d)), order, np.tanh(d / d.std(ddof=1)), *style])
    y = np.array([row[3] for row in games])
    groups = np.array([int(row[0][1:]) for row in games])
    fit = sm.GLM(y, X, family=sm.families.Binomial()).fit(cov_type="cluster", cov_kwds={"groups": groups})
    b = fit.params
    rate = 50 * (sigmoid(b[0] + 0.5 * b[1]) + sigmoid(b[0] - 0.5 * b[1]))
    assert found.scores[0].estimate == pytest.approx(rate, abs=1e-5)
    for j, effect in enumerate(found.style["m0"]):
        scale = style[j].std(ddof=1)
        assert effect.coefficient == pytest.approx(b[3 + j] * scale, abs=1e-6)
        half = 1.959964 * fit.bse[3 + j] * scale
        assert effect.ci == pytest.approx((b[3 + j] * scale - half, b[3 + j] * scale + half), abs=1e-5)
    assert [e.feature for e in found.style["m0"]] == ["headers", "lists", "bold"]
    assert found.style["m0"][0].mean == pytest.approx(count(own, "# ").mean())
    assert found.style["m0"][2].baseline_mean == pytest.approx(count(other, "**b**").mean())
    assert "difficulty left out" in found.scores[0].note


def test_planted_effects_have_their_points(make_battles: MakeBattles) -> None:
    """A model that is longer and has more lists than the baseline earns points for both, in both orders none for position."""
    rng = np.random.default_rng(5)
    games: list[Row] = []
    for i in range(500):
        mine, theirs = int(rng.integers(300, 1000)), int(rng.integers(100, 700))
        lists = rng.integers([0, 2], [4, 7])  # baseline, model
        own, other = answer(mine, 0, int(lists[1]), 0), answer(theirs, 0, int(lists[0]), 0)
        for order, shift in ((FIRST, -0.4), (SECOND, 0.4)):
            logit = (
                -0.5
                + 1.2 * np.tanh((len(own) - len(other)) / 280)
                + 0.9 * (lists[1] - lists[0]) / (lists.sum() + 1)
                + shift
            )
            games.append((f"p{i}", "m0", order, float(rng.random() < sigmoid(logit)), own, other))
    found = joint(make_battles(games), FAST)
    parts = {part.part: part for part in found.decomposition["m0"]}
    truth = 50 * (sigmoid(-0.9) + sigmoid(-0.1))
    score = found.scores[0]
    assert score.ci is not None
    assert score.ci[0] <= truth <= score.ci[1]
    for name in ("length", "style"):
        assert parts[name].ci is not None
        assert parts[name].ci[0] > 2  # type: ignore[index]  # asserted on the line above
    assert parts["position"].points == pytest.approx(0, abs=0.5)


def test_always_second_shows_as_position_points(five: Battles) -> None:
    """Dropping most of one model's games in the first slot lifts its raw score, and the lift is called position."""
    games = five.games
    drop = (games["model"] == "m0") & (games["order"] == FIRST) & (np.arange(len(games)) % 10 != 0)
    lopsided = replace(five, games=games[~drop].reset_index(drop=True))
    before, after = points(joint(five, FAST)), points(joint(lopsided, FAST))
    assert before["position"] == pytest.approx(0, abs=0.5)
    assert after["position"] is not None
    assert after["position"] > 3
    assert after["model"] == pytest.approx(before["model"], abs=6)


def test_answering_only_easy_prompts_shows_as_difficulty_points(five: Battles) -> None:
    """A model judged only on the prompts that the others win gains points called difficulty, not model."""
    games = five.games
    others = games[games["model"] != "m0"].groupby("prompt_id")["outcome"].mean()
    easy = set(others[others > others.median()].index)
    drop = (games["model"] == "m0") & ~games["prompt_id"].isin(easy)
    some = replace(five, games=games[~drop].reset_index(drop=True))
    found = joint(some, FAST)
    difficulty = points(found)["difficulty"]
    assert difficulty is not None
    assert difficulty > 5
    assert points(joint(five, FAST))["difficulty"] == pytest.approx(0, abs=1e-6)
    assert "4 other models" in next(s for s in found.scores if s.model == "m0").method


def test_mirrored_recording_mirrors_the_score(make_battles: MakeBattles) -> None:
    """Seen from the baseline's side every part changes its sign, except what belongs to the slot itself."""
    turn = {FIRST: SECOND, SECOND: FIRST}
    games = rows(3)
    there = [(p, m, turn[o], 1 - y, b, a) for p, m, o, y, a, b in games]
    one, two = (joint(make_battles(g), FAST) for g in (games, there))
    assert one.scores[0].estimate is not None
    assert two.scores[0].estimate == pytest.approx(100 - one.scores[0].estimate, abs=1e-5)
    for part, value in points(one).items():
        if value is not None:
            assert points(two)[part] == pytest.approx(-value, abs=1e-4)


def test_rerun_and_row_order_are_irrelevant(five: Battles) -> None:
    """Same seed, same findings; a shuffled games table gives the same estimates."""
    assert joint(five, FAST) == joint(five, FAST)
    mixed = replace(five, games=five.games.sample(frac=1, random_state=1).reset_index(drop=True))
    for one, two in zip(joint(five, FAST).scores, joint(mixed, FAST).scores, strict=True):
        assert two.estimate == pytest.approx(one.estimate, abs=1e-6)


def test_portions_of_the_bootstrap_change_nothing(five: Battles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing the resamples in portions is a matter of memory; drawing none leaves estimates without intervals."""
    whole = joint(five, FAST)
    # the package's name `joint` is the function; the module is found in the table of modules
    monkeypatch.setattr(sys.modules["auditkit.controls.joint"], "_PORTION", 7 * 200)
    portions = joint(five, FAST)
    for one, two in zip(whole.scores, portions.scores, strict=True):
        assert two.ci == pytest.approx(one.ci)
    none = joint(five, Settings(replicates=0))
    for one, two in zip(whole.scores, none.scores, strict=True):
        assert (two.estimate, two.se, two.ci) == (one.estimate, None, None)


def test_separated_fits_are_undefined(make_battles: MakeBattles) -> None:
    """If the longer answer always wins there is no finite length effect: the reason, not a number."""
    games = [(p, m, o, float(len(a) > len(b)), a, b) for p, m, o, _, a, b in rows(6)]
    found = joint(make_battles(games), FAST)
    assert found.scores[0].estimate is None
    assert "perfectly" in found.scores[0].note
    assert found.decomposition == {}
    all_won = joint(make_battles([(p, m, o, 1.0, a, b) for p, m, o, _, a, b in rows(6)]), FAST)
    assert "perfectly" in all_won.scores[0].note


def test_partly_separated_fits_are_undefined(make_battles: MakeBattles) -> None:
    """A header that always wins, on a few prompts only, has no finite effect either."""
    games = []
    for i, (p, m, o, y, _, _) in enumerate(rows(7)):
        flagged = i // 2 < 12
        games.append(
            (
                p,
                m,
                o,
                1.0 if flagged else y,
                answer(200 + 7 * (i // 2), int(flagged), 0, 0),
                answer(400 + 3 * (i // 2 % 50), 0, 0, 0),
            )
        )
    found = joint(make_battles(games), FAST)
    assert found.scores[0].estimate is None
    assert "perfectly" in found.scores[0].note


def test_too_few_prompts_are_undefined(make_battles: MakeBattles) -> None:
    """Five prompts a coefficient are the least."""
    score = joint(make_battles(rows(8, n=20)), FAST).scores[0]
    assert score.estimate is None
    assert "20 prompts for 6 coefficients" in score.note


def test_lengths_that_never_come_near_are_undefined(make_battles: MakeBattles) -> None:
    """Always about six times as long: nothing tells how answers of equal length would fare."""
    rng = np.random.default_rng(0)
    games = [
        (
            f"p{i}",
            "m0",
            order,
            float(rng.random() < 0.7),
            answer(600 + int(rng.integers(0, 40)), 0, 0, 0),
            answer(100, 0, 0, 0),
        )
        for i in range(100)
        for order in (FIRST, SECOND)
    ]
    found = joint(make_battles(games), FAST)
    assert found.scores[0].estimate is None
    assert found.scores[0].note.endswith("would fare if they were: length")
    assert "m0" not in found.decomposition


def test_collinear_columns_are_undefined(make_battles: MakeBattles) -> None:
    """Headers that come exactly with lists cannot be told apart from them."""
    rng = np.random.default_rng(0)
    games = []
    for i in range(100):
        k, own = int(rng.integers(0, 4)), int(rng.integers(100, 500))
        games += [
            (f"p{i}", "m0", order, float(rng.random() < 0.5), answer(own, k, k, 0), answer(300, 1, 1, 0))
            for order in (FIRST, SECOND)
        ]
    assert "linearly dependent" in joint(make_battles(games), FAST).scores[0].note


def test_unsteady_bootstraps_have_no_interval(make_battles: MakeBattles) -> None:
    """If many resamples have no optimum the estimate stands alone and the note counts them."""
    games = []
    for i, (p, m, o, y, a, b) in enumerate(rows(9)):
        flagged = i // 2 < 4
        outcome = float(i // 2 != 0) if flagged else y  # one loss among the flagged prompts holds the effect finite
        games.append((p, m, o, outcome, "# h\n" * flagged + a.replace("# h\n", ""), b.replace("# h\n", "")))
    found = joint(make_battles(games), FAST)
    score = found.scores[0]
    assert score.estimate is not None
    assert score.ci is None
    assert score.se is None
    assert "bootstrap refits have no optimum" in score.note
    assert all(part.ci is None for part in found.decomposition["m0"])


def test_what_does_not_vary_is_left_out_and_said(make_battles: MakeBattles) -> None:
    """No order, equal lengths, no style: the model alone is left, each missing part with its reason."""
    games = [(f"p{i}", "m0", "unknown", float(i % 3 == 0), "# same\n", "other te") for i in range(60)]
    games = [(p, m, o, y, a, b[: len(a)].ljust(len(a), "x")) for p, m, o, y, a, b in games]
    found = joint(make_battles(games), FAST)
    score = found.scores[0]
    assert score.estimate == pytest.approx(100 / 3)
    assert "never varies: headers" in score.note
    parts = {part.part: part for part in found.decomposition["m0"]}
    assert parts["model"].points == pytest.approx(100 / 3 - 50)
    for name in ("length", "style", "position", "difficulty"):
        assert parts[name].points is None
        assert parts[name].note
    one_order = joint(make_battles(rows(4, orders=(SECOND,))), FAST)
    assert "only one order" in one_order.scores[0].note


def test_some_unknown_orders_are_counted(make_battles: MakeBattles) -> None:
    """Games of unknown order count as balanced and are said."""
    games = [(p, m, "unknown" if i < 10 else o, y, a, b) for i, (p, m, o, y, a, b) in enumerate(rows(2))]
    assert "order of 10 games is not recorded" in joint(make_battles(games), FAST).scores[0].note


def test_overlap_is_the_share_of_alike_prompts(make_battles: MakeBattles) -> None:
    """Overlap counts prompts within a factor 1.5 in length and ±0.5 in every style ratio; little of it is marked."""
    rng = np.random.default_rng(3)
    games: list[Row] = []
    for i in range(100):
        own = int(rng.integers(300, 320)) if i < 6 else int(rng.integers(900, 1000))
        games += [(f"p{i}", "m0", order, float(rng.random() < 0.5), "x" * own, "y" * 310) for order in (FIRST, SECOND)]
    score = joint(make_battles(games), FAST).scores[0]
    assert score.overlap == pytest.approx(0.06)
    assert score.note.startswith("EXTRAPOLATION")


def test_difficulty_needs_a_baseline(make_battles: MakeBattles) -> None:
    """Where every model met every other, the others' outcomes mirror one's own and are not difficulty."""
    games = rows(4, n=60)
    battles = make_battles(games, baselines=frozenset(), opponent="rival")
    assert "without a baseline" in joint(battles, FAST).scores[0].note


def test_difficulty_that_never_varies_is_left_out(make_battles: MakeBattles) -> None:
    """Other models that always win say nothing of the prompts."""
    games = [(p, m, o, y if m == "m0" else 1.0, a, b) for p, m, o, y, a, b in rows(4, models=4)]
    found = joint(make_battles(games), FAST)
    parts = {part.part: part for part in found.decomposition["m0"]}
    assert parts["difficulty"].points is None
    assert "same on every prompt" in parts["difficulty"].note


@pytest.mark.parametrize(
    ("failure", "says"),
    [(ConvergenceWarning("stuck"), "did not converge: stuck"), (None, "did not converge")],
)
def test_regressions_that_stop_early_are_undefined(
    make_battles: MakeBattles, monkeypatch: pytest.MonkeyPatch, failure: Warning | None, says: str
) -> None:
    """A fit that warns or gives up gives a reason, not its last iterate."""
    fit = GLM.fit

    def stops(self: GLM, **how: object) -> object:
        if failure is not None:
            raise failure
        return fit(self, maxiter=1, **how)

    monkeypatch.setattr(GLM, "fit", stops)
    score = joint(make_battles(rows(1, n=60)), FAST).scores[0]
    assert score.estimate is None
    assert says in score.note


def test_does_not_apply(make_battles: MakeBattles) -> None:
    """Judge test sets get nothing; games without answers get a reason."""
    battles = make_battles(rows(1, n=40), subject="judge")
    assert joint(battles, FAST) == Findings()
    battles = make_battles(rows(1, n=40))
    battles.games["answer"] = -1
    assert "both answers recorded" in joint(battles, FAST).scores[0].note


def test_prompts_out_of_order_take_the_others_for_difficulty(alpaca: Battles) -> None:
    """Where the published difficulty cannot be matched to the prompts, the other models' outcomes stand in."""
    beside = {"calibration": alpaca.beside["calibration"]}
    unmatched = replace(alpaca, prompts=alpaca.prompts.iloc[::-1].reset_index(drop=True), beside=beside)
    assert all("13 other models" in score.method for score in joint(unmatched, FAST).scores)
    assert all("AlpacaEval's difficulty" in score.method for score in joint(alpaca, FAST).scores)


def test_public_recording(alpaca: Battles) -> None:
    """On AlpacaEval every model has a score whose parts add up, the null model's is marked, and position earns nothing overall."""
    found = joint(alpaca, FAST)
    plain = {score.model: score.estimate for score in raw(alpaca).scores}
    for score in found.scores:
        assert score.estimate is not None
        assert score.ci is not None
        assert score.ci[0] <= score.estimate <= score.ci[1]
        parts = points(found, score.model)
        assert sum(value for value in parts.values() if value is not None) + 50 == pytest.approx(
            plain[score.model], abs=1e-5
        )
        assert abs(parts["position"] or 0) < 1  # 399 against 406: the slots are all but balanced
        assert ("EXTRAPOLATION" in score.note) == ((score.overlap or 0) < 0.10)
    null = next(score for score in found.scores if score.model == "NullModel")
    assert null.overlap == 0
