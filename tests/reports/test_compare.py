"""Two submissions or two judges, paired: against public figures, planted truths, and a second computation."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.multitest import multipletests

from auditkit.attacked import AttackArm, AttackSuite
from auditkit.compare import compare, compare_submissions
from auditkit.controls import joint, raw
from auditkit.errors import NoData, UsageError
from auditkit.formats import read, run_folder
from auditkit.judge_pairs import compare_judges
from auditkit.records import Battles, Settings
from auditkit.reports.compare_page import render_comparison
from auditkit.reports.comparison import Comparison, Difference, comparison_to_json, excerpt
from auditkit.stats.agreement import agreement
from auditkit.stats.claims import difference_error

FAST = Settings(replicates=60)
Simulate = Callable[..., Battles]


def row(found: Comparison, name: str) -> Difference:
    return next(r for r in found.rows if r.name == name)


# --- submissions ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alpaca(shared_data: Path) -> Comparison:
    """Two real submissions of AlpacaEval 2."""
    folder = shared_data / "alpaca_eval"
    battles = read(folder / "results" / "claude-2.1", folder / "results" / "gpt-3.5-turbo-1106")
    settings = Settings(calibration=folder / "df_gamed.csv")
    return compare_submissions(battles, "claude-2.1", "gpt-3.5-turbo-1106", settings, scores=())


def test_differences_of_real_submissions_are_those_of_the_published_board(
    alpaca: Comparison, shared_data: Path
) -> None:
    """Raw to 1e-6, length-controlled to 0.05 points (the board's own refits move by less)."""
    with (shared_data / "alpaca_eval" / "leaderboard.csv").open(encoding="utf-8") as file:
        board = {line[""]: line for line in csv.DictReader(file)}
    one, two = board["claude-2.1"], board["gpt-3.5-turbo-1106"]
    assert alpaca.headline.a == pytest.approx(float(one["win_rate"]), abs=1e-6)
    assert alpaca.headline.b == pytest.approx(float(two["win_rate"]), abs=1e-6)
    assert alpaca.headline.estimate == pytest.approx(float(one["win_rate"]) - float(two["win_rate"]), abs=1e-6)
    published = float(one["length_controlled_winrate"]) - float(two["length_controlled_winrate"])
    assert row(alpaca, "length_controlled_published").estimate == pytest.approx(published, abs=0.05)


def test_a_real_lead_that_length_explains_is_called_so(alpaca: Comparison) -> None:
    """The lead of claude-2.1 is gone at equal length, and the interval of what length took away excludes 0."""
    assert alpaca.outcome == "vanishes"
    held = row(alpaca, "length_controlled_paired")
    assert held.ci is not None
    assert held.taken_away is not None
    assert held.ci[0] <= 0 < held.taken_away[0]
    assert alpaca.counts.a + alpaca.counts.tied + alpaca.counts.b == alpaca.n == 805


def test_a_real_lead_is_not_taken_away_by_extrapolation(shared_data: Path) -> None:
    """Alike in style on 5% of prompts: the form of the regression decides its sign, so it decides no outcome.

    Raw counts leave -1.0, densities +10.8, log counts -8.6; AlpacaEval's own length control leaves +6.0 on its board.
    """
    folder = shared_data / "alpaca_eval"
    a, b = "FuseChat-Llama-3.2-1B-Instruct", "gpt-3.5-turbo-1106"
    battles = read(folder / "results" / a, folder / "results" / b)
    settings = Settings(calibration=folder / "df_gamed.csv", replicates=60)
    found = compare_submissions(battles, a, b, settings, scores=(), flagged={})
    style = row(found, "style_controlled_paired")
    assert style.estimate == pytest.approx(-8.64, abs=0.05)
    assert style.note.startswith("EXTRAPOLATION")
    assert found.outcome == "not_separable"
    assert "by extrapolation only" in found.sentence
    assert found.parts[0].points == pytest.approx(-8.64, abs=0.05)
    assert found.parts[0].note.startswith("EXTRAPOLATION")
    assert render_comparison(found).count('<span class="chip warn">extrapolation</span>') >= 5
    assert all((r.adjusted_p or 1.0) < 1e-4 for r in found.slices)  # 5 to 8 standard errors each, with 60 replicates


def test_categories_add_up_to_the_whole_and_are_corrected(alpaca: Comparison) -> None:
    """Their mean, weighted by prompts, is the raw difference; p-values are Holm's by another library."""
    whole = sum((r.estimate or 0.0) * r.n for r in alpaca.slices) / sum(r.n for r in alpaca.slices)
    assert whole == pytest.approx(alpaca.headline.estimate)
    assert [r.adjusted_p for r in alpaca.slices] == pytest.approx(
        multipletests([r.p_value for r in alpaca.slices], method="holm")[1]
    )
    for r in alpaca.slices:
        assert r.a is not None
        assert r.b is not None
        assert r.estimate == pytest.approx(r.a - r.b)


def test_prompts_are_the_extremes_of_both_sides(alpaca: Comparison) -> None:
    """A's best first, then B's; texts are there, shortened, on the model's own side."""
    gaps = [p.a - p.b for p in alpaca.prompts]
    assert gaps[:6] == sorted(gaps[:6], reverse=True)
    assert gaps[6:] == sorted(gaps[6:])
    assert min(gaps[:6]) > 90
    assert max(gaps[6:]) < -90
    assert all(p.prompt and p.first and p.second for p in alpaca.prompts)
    assert max(len(p.first) for p in alpaca.prompts) < 3000


def test_turning_the_pair_turns_every_number(simulate: Simulate) -> None:
    """Compare B with A and each difference, interval and part changes its sign, counts and prompts their sides."""
    battles = simulate({"one": 0.8, "two": -0.2}, prompts=80, length=0.8)
    there, back = (compare_submissions(battles, *names, FAST) for names in (("one", "two"), ("two", "one")))
    assert (there.outcome, back.outcome) in (("a", "b"), ("vanishes", "vanishes"))
    assert (there.counts.a, there.counts.b) == (back.counts.b, back.counts.a)
    assert [r.name for r in there.rows] == [r.name for r in back.rows]
    for x, y in zip((*there.rows, *there.slices), (*back.rows, *back.slices), strict=True):
        assert (x.estimate is None) == (y.estimate is None)
        if x.estimate is not None and y.estimate is not None:
            assert x.estimate == pytest.approx(-y.estimate)
            assert x.ci == pytest.approx((-y.ci[1], -y.ci[0]) if y.ci else None)
            assert x.p_value == y.p_value
    for one, two in zip(there.parts, back.parts, strict=True):
        assert one.points == pytest.approx(-two.points if two.points is not None else None)
    assert {p.prompt_id for p in there.prompts} == {p.prompt_id for p in back.prompts}


@pytest.mark.slow
def test_equal_models_are_told_apart_no_more_often_than_the_level_says(simulate: Simulate) -> None:
    """Of 20 pairs of equally good models at most 4 are told apart (95% level: 1 expected, 5 or more with chance 0.3%)."""
    settings, wrong = Settings(replicates=100), 0
    for seed in range(20):
        battles = simulate({"one": 0.2, "two": 0.2}, prompts=60, seed=seed)
        ci = compare_submissions(battles, "one", "two", settings, scores=()).headline.ci
        wrong += ci is None or not ci[0] <= 0 <= ci[1]
    assert wrong <= 4


def test_a_planted_lead_is_found_and_a_cheat_does_not_count(simulate: Simulate) -> None:
    """A better model is better under every control; a constant answer that leads is gated by what its text holds."""
    battles = simulate({"good": 1.5, "weak": -1.0, "null": 2.5}, prompts=150, constant=frozenset({"null"}))
    assert compare_submissions(battles, "good", "weak", FAST, scores=()).outcome == "a"
    cheat = compare_submissions(battles, "good", "null", FAST, scores=())
    assert cheat.outcome == "gated"
    assert "flagged" in cheat.sentence


def test_other_controls_are_differences_of_scores_with_an_honest_interval(simulate: Simulate) -> None:
    """Against one baseline as if independent, of models that met each other the errors add up; raw is never one of them."""
    battles = simulate({"one": 0.8, "two": -0.2}, prompts=80)
    scores = [*raw(battles, FAST).scores, *joint(battles, FAST).scores]
    found = compare_submissions(battles, "one", "two", FAST, scores=scores)
    table = {(s.model, s.control): s for s in scores}
    one, two = table["one", "joint"], table["two", "joint"]
    held = row(found, "joint")
    assert not held.paired
    assert one.estimate is not None
    assert two.estimate is not None
    assert one.se is not None
    assert two.se is not None
    assert held.estimate == pytest.approx(one.estimate - two.estimate)
    assert held.ci is not None
    assert held.ci[1] - held.ci[0] == pytest.approx(2 * 1.959964 * difference_error(one.se, two.se), rel=1e-6)
    assert [r.name for r in found.rows].count("raw") == 1
    everyone = replace(battles, benchmark=replace(battles.benchmark, baselines=frozenset()))
    added = row(compare_submissions(everyone, "one", "two", FAST, scores=scores), "joint")
    assert added.ci is not None
    assert added.ci[1] - added.ci[0] == pytest.approx(2 * 1.959964 * (one.se + two.se), rel=1e-6)


def test_the_baseline_can_be_one_of_the_two(simulate: Simulate) -> None:
    """They met each other: the difference is the win rate against it minus one half."""
    battles = simulate({"one": 0.8, "two": -0.2}, prompts=80)
    found = compare_submissions(battles, "one", "baseline", FAST, scores=())
    own = battles.games_of("one")["outcome"].mean()
    assert found.design == "direct"
    assert found.headline.estimate == pytest.approx(100 * (own - 0.5))


def test_what_cannot_be_compared_is_refused_with_the_names_there_are(simulate: Simulate, tmp_path: Path) -> None:
    """Unknown, the same twice, nothing named where there are three, both kinds at once, no shared prompt."""
    battles = simulate({"one": 0.8, "two": -0.2, "three": 0.0}, prompts=20)
    with pytest.raises(UsageError, match=r"no submission '\\\\x1b\[31mfour'.*baseline, one, three, two"):
        compare_submissions(battles, "one", "\x1b[31mfour", FAST)
    with pytest.raises(UsageError, match="compared with itself"):
        compare_submissions(battles, "one", "one", FAST)
    run_folder.write(battles, tmp_path / "run")
    with pytest.raises(UsageError, match="holds 3 submissions"):
        compare(tmp_path / "run", settings=FAST)
    with pytest.raises(UsageError, match="not both"):
        compare(tmp_path / "run", submissions=("one", "two"), judges=("x", "y"))
    with pytest.raises(UsageError, match="no judge 'y' is recorded; there are: judge-x"):
        compare(tmp_path / "run", judges=("judge-x", "y"))
    games = battles.games
    apart = games[(games["model"] == "one") == (games["prompt_id"] < "p0010")]
    with pytest.raises(NoData, match="share no prompt"):
        compare_submissions(replace(battles, games=apart), "one", "two", FAST)


# --- judges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subset", ["Natural", "Adversarial/Neighbor"])
def test_real_judges_have_their_published_accuracies_and_agreement(shared_data: Path, subset: str) -> None:
    """LLMBar: both accuracies are the published `correct_average`, kappa is scikit-learn's on the same games."""
    names = ("ChatGPT/Vanilla", "LLaMA2/Vanilla")
    found = compare(shared_data / "llmbar" / subset, judges=names, settings=Settings(replicates=200))
    published = [
        float(
            json.loads((shared_data / "llmbar" / subset / name / "statistics.json").read_text())[
                "correct_average"
            ].rstrip("%")
        )
        for name in names
    ]
    assert (found.headline.a, found.headline.b) == pytest.approx(tuple(published), abs=0.06)
    assert found.headline.estimate == pytest.approx(published[0] - published[1], abs=0.12)
    games = read(shared_data / "llmbar" / subset).games.set_index(["prompt_id", "order"]).sort_index()
    sides = [games.loc[games["judge"] == name, "outcome"] for name in names]
    both = [side[sides[0].notna() & sides[1].notna()] for side in sides]
    kappa = row(found, "kappa")
    assert kappa.estimate == pytest.approx(cohen_kappa_score((2 * both[0]).astype(int), (2 * both[1]).astype(int)))
    assert row(found, "agreement").estimate == pytest.approx(100 * float((both[0] == both[1]).mean()))
    assert kappa.ci is not None
    assert kappa.ci[0] < (kappa.estimate or 0.0) < kappa.ci[1]


def two_judges(simulate: Simulate, *, second: float, shift: float = 0.0) -> Battles:
    """One recording judged by an exact judge and by one that errs with probability `second`; gold is the exact verdict."""
    battles = simulate({"one": 0.4, "two": -0.4}, prompts=150)
    rng = np.random.default_rng(3)
    games = battles.games.assign(judge="exact", gold=battles.games["outcome"])
    turned = rng.random(len(games)) < second
    other = games.assign(judge="noisy", outcome=np.where(turned, 1.0 - games["outcome"], games["outcome"]))
    if shift:
        other.loc[other["model"] == "one", "outcome"] = 1.0
    import pandas as pd

    return replace(battles, games=pd.concat([games, other], ignore_index=True))


def test_a_judge_with_planted_errors_is_found_out(simulate: Simulate) -> None:
    """Accuracy falls by the planted share, agreement too; the exact one is called better, by a corrected test."""
    found = compare_judges(two_judges(simulate, second=0.2), "exact", "noisy", FAST)
    assert found.outcome == "a"
    assert found.headline.ci is not None
    assert found.headline.ci[0] < 20.0 < found.headline.ci[1]
    assert found.headline.a == 100.0
    agreed = row(found, "agreement")
    assert agreed.ci is not None
    assert agreed.ci[0] < 80.0 < agreed.ci[1]
    same = compare_judges(two_judges(simulate, second=0.0), "exact", "noisy", FAST)
    assert same.outcome == "not_separable"
    assert row(same, "agreement").estimate == 100.0
    assert same.prompts == ()


def test_a_judge_that_favours_a_submission_is_seen_by_submission(simulate: Simulate) -> None:
    """Without a known answer nobody is called better; the favoured submission's score differs, the other's does not."""
    battles = two_judges(simulate, second=0.0, shift=1.0)
    battles = replace(battles, games=battles.games.assign(gold=np.nan))
    found = compare_judges(battles, "exact", "noisy", FAST)
    assert found.outcome == "not_separable"
    assert "no right answer is known" in found.sentence
    by_model = {r.name: r for r in found.slices if r.kind == "model"}
    assert by_model["one"].adjusted_p is not None
    assert by_model["one"].adjusted_p <= 0.1
    assert (by_model["one"].estimate or 0.0) < -20
    assert by_model["two"].estimate == 0.0


def test_judges_in_two_recordings_are_matched_by_the_answers_they_saw(simulate: Simulate, tmp_path: Path) -> None:
    """The same games in two run folders pair up; games on other answers do not, and are counted."""
    whole = two_judges(simulate, second=0.1)
    for name in ("exact", "noisy"):
        run_folder.write(replace(whole, games=whole.games[whole.games["judge"] == name]), tmp_path / name)
    apart = compare(tmp_path / "exact", tmp_path / "noisy", judges=("exact", "noisy"), settings=FAST)
    together = compare_judges(whole, "exact", "noisy", FAST)
    assert apart.rows == together.rows
    texts = whole.answers["text"].copy()
    texts.loc[whole.answers["model"] == "two"] += " changed"
    changed = replace(
        whole, games=whole.games[whole.games["judge"] == "noisy"], answers=whole.answers.assign(text=texts)
    )
    run_folder.write(changed, tmp_path / "changed")
    half = compare(tmp_path / "exact", tmp_path / "changed", judges=("exact", "noisy"), settings=FAST)
    assert half.left_out == 600
    assert {r.name for r in half.slices} == {"one"}


def attacked(judge: str, gain: float) -> Battles:
    """A recording of one attack under which `gain` of 60 losing answers win."""
    from auditkit.records import GAME_COLUMNS, Benchmark, frame

    rows = [
        (f"p{i:03d}", "carrier", "opponent", judge, "model_first", "", won, 1.0, variant, 1, np.nan, -1, -1)
        for i in range(60)
        for variant, won in (("", 0.0), ("shout", float(i < gain * 60)))
    ]
    games = frame(GAME_COLUMNS, dict(zip(GAME_COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))
    arm = AttackArm("shout", "Shouting", "style", "", "", "", "black box", "zero")
    return replace(Battles.build(Benchmark("attacked"), games=games), suite=AttackSuite("suite", "carrier", (arm,)))


def test_attacks_on_both_judges_are_compared(simulate: Simulate) -> None:
    """A gives way on 10%, B on 60% of the pairs: A minus B is -50 points; with one judge attacked there is no row."""
    battles = two_judges(simulate, second=0.1)
    pair = [attacked("exact", 0.1), attacked("noisy", 0.6)]
    (found,) = compare_judges(battles, "exact", "noisy", FAST, attacked=pair).attacks
    assert (found.name, found.n) == ("Shouting", 60)
    assert found.estimate == pytest.approx(-50.0)
    assert (found.a, found.b) == pytest.approx((10.0, 60.0))
    assert found.adjusted_p is not None
    assert found.adjusted_p < 0.01
    assert compare_judges(battles, "exact", "noisy", FAST, attacked=pair[:1]).attacks == ()


# --- pieces -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 5)), min_size=4, max_size=60))
def test_agreement_and_kappa_are_those_of_scikit_learn(rows: list[tuple[int, int, int]]) -> None:
    """For any ratings; where both always give one rating kappa is undefined and not a number."""
    a, b, prompts = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    if len(set(prompts)) < 2:
        with pytest.raises(NoData):
            agreement(a, b, prompts, np.random.default_rng(0), replicates=50)
        return
    found = agreement(a, b, prompts, np.random.default_rng(0), replicates=50)
    assert found.share == pytest.approx(float((a == b).mean()))
    assert 0.0 <= found.ci[0] <= found.ci[1] <= 1.0
    if len({*a, *b}) == 1:
        assert found.kappa is None
        assert found.kappa_ci is None
    else:
        assert found.kappa == pytest.approx(cohen_kappa_score(a, b, labels=sorted({*a, *b})))


@given(st.text(max_size=900))
def test_an_excerpt_keeps_lines_and_nothing_that_steers(text: str) -> None:
    """Every character is printable or a line break; what is cut is said."""
    shown = excerpt(text)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert ("… (" in shown) >= (len(text) > 700)


def test_hostile_names_and_texts_stay_text(simulate: Simulate) -> None:
    """Markup in names, prompts and answers is escaped in the page and inert in JSON."""
    battles = simulate({"one": 0.8, "two": -0.2}, prompts=30)
    evil = "<img src=x onerror=alert(1)>{{ 7*7 }}</script>\x1b[31m"
    games = battles.games.assign(model=battles.games["model"].replace("one", evil))
    answers = battles.answers.assign(
        text=evil + battles.answers["text"], model=battles.answers["model"].replace("one", evil)
    )
    prompts = battles.prompts.assign(text=evil + battles.prompts["text"], category=[evil, "x"] * 15)
    found = compare_submissions(
        replace(battles, games=games, answers=answers, prompts=prompts), evil, "two", FAST, scores=()
    )
    page = render_comparison(found)
    assert "<img" not in page
    assert page.count("</script>") == 1
    assert "\x1b" not in page
    assert "&lt;img src=x" in page
    assert json.loads(comparison_to_json(found))["a"] == evil
