"""AlpacaEval's length control reproduces the leaderboard, refuses wrong calibrations, and says when it extrapolates."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from auditkit.controls import length_controlled
from auditkit.controls.calibration import places, published_calibration
from auditkit.errors import InputError
from auditkit.records import Battles, Benchmark, Findings, Score, Settings
from auditkit.stats.length_control import fit_length_control
from auditkit.stats.logistic import sigmoid

MakeBattles = Callable[..., Battles]
FAST = Settings(replicates=60)
N = 805


def by_model(findings: Findings, control: str = "length_controlled") -> Mapping[str, Score]:
    """Scores of one control by model."""
    return {score.model: score for score in findings.scores if score.control == control}


@pytest.fixture(scope="module")
def board(shared_data: Path) -> Mapping[str, Mapping[str, str]]:
    """The published leaderboard by model."""
    with (shared_data / "alpaca_eval" / "leaderboard.csv").open(encoding="utf-8") as file:
        return {row[""]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def found(alpaca: Battles) -> Findings:
    """The control on the public recording."""
    return length_controlled(alpaca, FAST)


def test_equals_the_published_leaderboard(found: Findings, board: Mapping[str, Mapping[str, str]]) -> None:
    """Within 0.12 points of the published figure for every listed model and 0.03 in the median."""
    errors = []
    for model, score in by_model(found).items():
        assert score.estimate is not None
        if model in board:
            errors.append(abs(score.estimate - float(board[model]["length_controlled_winrate"])))
    assert len(errors) == 13
    assert max(errors) < 0.12
    assert np.median(errors) < 0.03


def test_published_standard_error_is_reproduced_and_too_small(
    found: Findings, board: Mapping[str, Mapping[str, str]]
) -> None:
    """The published formula is matched where it was published; the bootstrap's error is far larger."""
    compared = 0
    for model, score in by_model(found).items():
        assert score.se is not None
        assert score.published_se is not None
        if model in board and board[model]["lc_standard_error"]:
            assert score.published_se == pytest.approx(float(board[model]["lc_standard_error"]), abs=2e-4)
            assert score.se > 1.5 * score.published_se  # about 2 to 6 times with many replicates
            compared += 1
    assert compared == 3


def test_rows_missing_upstream_are_joined_as_published_and_aligned_beside(found: Findings) -> None:
    """Only models with missing rows get the second figure, joined by instruction, and both say what they are."""
    published, aligned = by_model(found), by_model(found, "length_controlled_aligned")
    assert set(aligned) == {"alpaca-7b_concise", "alpaca-7b_verbose", "phi-2"}
    for model, score in aligned.items():
        assert "joined by instruction" in score.note
        assert "rows carry another prompt's" in published[model].note
        assert score.published_se is None
        assert score.estimate is not None
    assert aligned["alpaca-7b_verbose"].estimate == pytest.approx(5.20, abs=0.05)  # published: 6.82


def test_extrapolations_are_marked(found: Findings) -> None:
    """The constant null model and every truncating model are marked; models of comparable length are not."""
    notes = {model: score.note for model, score in by_model(found).items()}
    assert "EXTRAPOLATION" in notes["NullModel"]
    assert "EXTRAPOLATION" in notes["claude-2.1_concise"]
    assert "EXTRAPOLATION" not in notes["FuseChat-Gemma-2-9B-Instruct"]
    assert "EXTRAPOLATION" not in notes["claude-2.1"]


def test_length_of_the_null_model(found: Findings) -> None:
    """Its own length is constant and yet the win rate climbs with the difference: the slope is the baseline's length."""
    length = found.length["NullModel"]
    assert length.mean_chars == 872
    assert length.baseline_mean_chars == pytest.approx(2049, abs=1)
    rates = [rate for _, rate, _ in length.quintiles]
    assert rates == pytest.approx([65, 77, 77, 78, 89], abs=0.6)
    assert length.coefficient is not None
    assert length.coefficient > 0


def test_calibration_rows_matter(alpaca: Battles) -> None:
    """Ablation on real data: without the gamed rows the length weight and the score differ."""
    calibration = published_calibration(alpaca, FAST)
    assert not isinstance(calibration, str)
    games = alpaca.games[alpaca.games["model"] == "OpenHermes-2.5-Mistral-7B"]
    texts = alpaca.answers["text"].str.len().to_numpy()
    delta = (texts[games["opponent_answer"]] - texts[games["answer"]]).astype(float)
    y = games["outcome"].to_numpy()
    held, free = (fit_length_control(delta, calibration.difficulty, y, g) for g in (calibration.gamed, None))
    assert abs(100 * (held.win_rate - free.win_rate)) > 0.3


def test_order_of_files_and_reruns_are_irrelevant(alpaca: Battles, found: Findings) -> None:
    """Same seed, same figures; the calibration given by path equals the one found beside the results."""
    again = length_controlled(alpaca, replace(FAST, calibration=alpaca.beside["calibration"]))
    assert again == found


# --- a made-up recording of the same shape -----------------------------------------------------------------------------


def calibration_table(seed: int = 0) -> pd.DataFrame:
    """A made-up calibration file of the published shape."""
    rng = np.random.default_rng(seed)
    difficulty, length = rng.normal(size=N), rng.normal(size=2 * N)
    return pd.DataFrame(
        {
            "preference": sigmoid(-1.5 * np.tanh(length)),
            "index": np.tile(np.arange(N), 2),
            "std_delta_len": length,
            "instruction_difficulty": np.tile(difficulty, 2),
            "not_gamed_baseline": False,
            "model": "made up",
        }
    )


@pytest.fixture
def made_up(make_battles: MakeBattles, tmp_path: Path) -> Battles:
    """805 made-up prompts with calibration and difficulty files beside them and a planted length effect."""
    table = calibration_table()
    table.to_csv(tmp_path / "df_gamed.csv", index=False)
    hard = table["instruction_difficulty"][:N].to_numpy()
    pd.DataFrame({"instruction": [f"p{i}" for i in range(N)], "instruction_difficulty": hard}).to_csv(
        tmp_path / "instruction_difficulty.csv", index=False
    )
    rng = np.random.default_rng(1)
    own, other = rng.integers(50, 400, (2, N))
    delta = (other - own) / (other - own).std(ddof=1)
    y = (rng.random(N) < sigmoid(-1.2 * np.tanh(delta) + 0.5 * hard + 0.3)).astype(float)
    battles = make_battles(
        [(f"p{i}", "m", "unknown", y[i], "x" * own[i], "y" * other[i]) for i in range(N)],
        opponent="gpt4_1106_preview",
        baselines=frozenset({"gpt4_1106_preview"}),
    )
    return replace(
        battles,
        benchmark=Benchmark(
            "AlpacaEval", format="alpaca_eval", baselines=frozenset({"gpt4_1106_preview"}), expected=N
        ),
        beside={
            "calibration": tmp_path / "df_gamed.csv", "difficulty": tmp_path / "instruction_difficulty.csv",
        },
    )  # fmt: skip


def keep(battles: Battles, rows: np.ndarray) -> Battles:
    """The recording with only these games, in this order."""
    games = battles.games.iloc[rows].reset_index(drop=True)
    prompts = battles.prompts[battles.prompts["prompt_id"].isin(games["prompt_id"])].reset_index(drop=True)
    return replace(battles, games=games, prompts=prompts)


def blind(battles: Battles) -> Battles:
    """The recording without its difficulty file."""
    return replace(battles, beside={"calibration": battles.beside["calibration"]})


def test_planted_win_rate_is_covered(made_up: Battles) -> None:
    """The interval holds the planted win rate at equal length."""
    hard = calibration_table()["instruction_difficulty"][:N]
    truth = 100 * sigmoid(0.5 * hard + 0.3).mean()
    score = by_model(length_controlled(made_up))["m"]
    assert score.ci is not None
    assert score.ci[0] <= truth <= score.ci[1]
    coefficient = length_controlled(made_up, FAST).length["m"].ci
    assert coefficient is not None
    assert coefficient[0] <= 1.2 <= coefficient[1] + 0.3


def test_swapping_the_order_of_rows_changes_nothing(made_up: Battles) -> None:
    """A shuffled file is joined by instruction: the same fit up to the deal of the folds, and no second figure."""
    shuffled = keep(made_up, np.random.default_rng(0).permutation(N))
    straight, mixed = (by_model(length_controlled(b, FAST))["m"] for b in (made_up, shuffled))
    assert straight.estimate is not None
    assert mixed.estimate == pytest.approx(straight.estimate, abs=0.2)
    assert by_model(length_controlled(shuffled, FAST), "length_controlled_aligned") == {}


def test_missing_rows_with_and_without_the_order(made_up: Battles) -> None:
    """With gaps both joins are given; without the difficulty file the figure says that the order is unchecked."""
    some = keep(made_up, np.delete(np.arange(N), [10, 400]))
    assert set(by_model(length_controlled(some, FAST), "length_controlled_aligned")) == {"m"}
    score = by_model(length_controlled(blind(some), FAST))["m"]
    assert score.estimate == by_model(length_controlled(some, FAST))["m"].estimate
    assert "could not be checked" in score.note


def test_missing_verdicts_are_counted(made_up: Battles) -> None:
    """Games without a verdict are left out of the fit and said."""
    made_up.games.loc[:6, "outcome"] = np.nan
    score = by_model(length_controlled(made_up, FAST))["m"]
    assert score.estimate is not None
    assert "7 games without a verdict" in score.note


def test_undefined_fits_are_notes(made_up: Battles) -> None:
    """Equal lengths everywhere: no number, the reason instead."""
    same = replace(made_up, answers=made_up.answers.assign(text="as long"))
    score = by_model(length_controlled(same, FAST))["m"]
    assert score.estimate is None
    assert "every length difference is the same" in score.note
    too_many = blind(keep(made_up, np.r_[np.arange(N - 1), np.arange(3)]))
    assert "more than 805 games" in by_model(length_controlled(too_many, FAST))["m"].note


def test_without_calibration_the_note_says_how_to_get_it(made_up: Battles) -> None:
    """No calibration: no score, but what is missing and where it is, and length is described all the same."""
    findings = length_controlled(replace(made_up, beside={}), FAST)
    score = by_model(findings)["m"]
    assert score.estimate is None
    assert "df_gamed.csv" in score.note
    assert "tatsu-lab/alpaca_eval" in score.note
    assert "--calibration" in score.note
    assert len(findings.length["m"].quintiles) == 5


def test_other_805_prompts_are_not_taken_for_the_benchmark(made_up: Battles) -> None:
    """805 prompts that are not the benchmark's, with nothing to match them by, get no figure."""
    assert "published order" in by_model(length_controlled(blind(made_up), FAST))["m"].note


def test_the_published_order_is_recognised(alpaca: Battles) -> None:
    """The real prompts need no difficulty file: their order is known, and gives the same places."""
    calibration = published_calibration(alpaca, FAST)
    assert not isinstance(calibration, str)
    assert places(blind(alpaca), calibration) == places(alpaca, calibration)


def test_without_replicates_the_estimate_stands_alone(made_up: Battles) -> None:
    """Asking for no bootstrap gives the figure without an interval."""
    score = by_model(length_controlled(made_up, Settings(replicates=0)))["m"]
    assert score.estimate == by_model(length_controlled(made_up, FAST))["m"].estimate
    assert (score.se, score.ci) == (None, None)


def test_other_prompts_or_baselines_are_not_controlled(made_up: Battles) -> None:
    """The calibration says nothing of other prompts or another baseline."""
    other = replace(made_up, benchmark=replace(made_up.benchmark, name="mine", format="pairs"))
    assert "805 prompts only" in by_model(length_controlled(other, FAST))["m"].note
    old = replace(made_up, benchmark=replace(made_up.benchmark, baselines=frozenset({"text_davinci_003"})))
    assert "baseline" in length_controlled(old, FAST).scores[0].note


def change(column: str, row: int, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A change of one cell of the calibration file."""

    def apply(table: pd.DataFrame) -> pd.DataFrame:
        table[column] = table[column].astype(object)
        table.loc[row, column] = value
        return table

    return apply


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda t: t.drop(columns="std_delta_len"), "missing: std_delta_len"),
        (lambda t: t.iloc[:-1], "expected 1,610 calibration rows"),
        (lambda t: pd.concat([t, t]), "expected 1,610 calibration rows"),
        (change("preference", 3, ""), "row 5: field 'preference': expected a number, got ''"),
        (change("preference", 3, "nan"), "expected a number"),
        (change("std_delta_len", 9, "inf"), "row 11: field 'std_delta_len'"),
        (change("preference", 0, 1.5), "row 2: field 'preference': expected 0..1, got 1.5"),
        (change("index", 7, 805), "expected 0..804, got 805"),
        (change("index", 7, 6.5), "expected 0..804, got 6.5"),
        (change("index", 7, 6), "every index exactly twice"),
        (change("instruction_difficulty", 900, 99.0), "one value for each index"),
        (lambda t: t.iloc[:0], "got 0"),
    ],
)
def test_wrong_calibration_files_are_refused(
    made_up: Battles, spoil: Callable[[pd.DataFrame], pd.DataFrame], says: str
) -> None:
    """One clear line names the file, the row and what was expected."""
    path = made_up.beside["calibration"]
    spoil(calibration_table()).to_csv(path, index=False)
    with pytest.raises(InputError) as error:
        length_controlled(made_up, FAST)
    assert says in str(error.value)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,b\n"open', b"PK\x03\x04"])
def test_files_that_are_no_csv_are_refused(made_up: Battles, content: bytes) -> None:
    """Empty, binary and cut-off files end in one line, not a traceback."""
    made_up.beside["calibration"].write_bytes(content)
    with pytest.raises(InputError):
        length_controlled(made_up, FAST)


def test_absent_and_huge_calibrations_are_refused(made_up: Battles, tmp_path: Path) -> None:
    """A path that does not exist, a folder, and a file far too large."""
    for path in (tmp_path / "nothing.csv", tmp_path):
        with pytest.raises(InputError, match="no such calibration file"):
            length_controlled(made_up, replace(FAST, calibration=path))
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(InputError, match="2,048 MB"):
        length_controlled(made_up, replace(FAST, calibration=huge))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda t: t.assign(instruction_difficulty=t["instruction_difficulty"] + 0.5),
            "calibration file, in its order",
        ),
        (lambda t: t.assign(instruction="same"), "805 different instructions, got 1"),
        (lambda t: t.assign(instruction="other " + t["instruction"]), "not among its instructions"),
        (lambda t: t.drop(columns="instruction"), "missing: instruction"),
    ],
)
def test_wrong_difficulty_files_are_refused(
    made_up: Battles, spoil: Callable[[pd.DataFrame], pd.DataFrame], says: str
) -> None:
    """The difficulty file must be AlpacaEval's and belong to the calibration."""
    path = made_up.beside["difficulty"]
    spoil(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(InputError, match=says):
        length_controlled(made_up, FAST)


def test_an_unreadable_difficulty_file_is_refused(made_up: Battles) -> None:
    """A difficulty file that has gone is a clear line as well."""
    made_up.beside["difficulty"].unlink()
    with pytest.raises(InputError, match="cannot be read"):
        length_controlled(made_up, FAST)


# --- length without the published calibration ----------------------------------------------------------------------


def pairs(make_battles: MakeBattles, seed: int = 0, **how: object) -> Battles:
    """Any other benchmark: 300 prompts in both orders with a planted length slope of 1."""
    rng = np.random.default_rng(seed)
    own, other = rng.integers(20, 500, (2, 300))
    slope = np.tanh((own - other) / (own - other).std(ddof=1))
    rows = [
        (f"p{i}", "m", order, float(rng.random() < sigmoid(slope[i])), "x" * own[i], "y" * other[i])
        for i in range(300)
        for order in ("model_first", "model_second")
    ]
    return make_battles(rows, **how)


def test_slope_agrees_with_statsmodels(make_battles: MakeBattles) -> None:
    """Coefficient and interval are a clustered binomial GLM's on the length term; the planted slope lies inside."""
    battles = pairs(make_battles)
    length = length_controlled(battles).length["m"]
    texts = battles.answers["text"].str.len().to_numpy()
    games = battles.games
    d = (texts[games["answer"]] - texts[games["opponent_answer"]]).astype(float)
    X = sm.add_constant(np.tanh(d / d.std(ddof=1)))
    groups = games["prompt_id"].astype("category").cat.codes.to_numpy()
    theirs = sm.GLM(games["outcome"].to_numpy(), X, family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": groups}
    )
    n, p = X.shape
    interval = theirs.params[1] + 1.959964 * theirs.bse[1] * np.sqrt((n - p) / (n - 1)) * np.array([-1, 1])
    assert length.coefficient == pytest.approx(theirs.params[1], abs=1e-6)
    assert length.ci == pytest.approx(tuple(interval), abs=1e-5)
    assert length.ci is not None
    assert length.ci[0] <= 1 <= length.ci[1]


def test_judges_are_described_one_by_one(make_battles: MakeBattles) -> None:
    """A judge test set has a length slope for each judge and no score."""
    found = length_controlled(pairs(make_battles, judge="j", subject="judge"))
    assert found.scores == ()
    assert found.length["j"].coefficient is not None
    silent = pairs(make_battles, judge="j", subject="judge")
    silent.games["answer"] = -1
    assert length_controlled(silent) == Findings()


def test_length_without_spread_or_answers(make_battles: MakeBattles) -> None:
    """Equal lengths have no coefficient, separated ones neither; without answers there is nothing to describe."""
    equal = make_battles([(f"p{i}", "m", "unknown", i % 2, "aa", "bb") for i in range(9)])
    assert "same" in length_controlled(equal).length["m"].note
    longer = make_battles([(f"p{i}", "m", "unknown", i % 2, "a" * (1 + 5 * (i % 2)), "bbb") for i in range(9)])
    length = length_controlled(longer).length["m"]
    assert length.coefficient is None
    assert "perfectly" in length.note
    assert length_controlled(replace(longer, games=longer.games.iloc[:0], ratings=longer.ratings)).scores == ()
    longer.games["answer"] = -1
    found = length_controlled(longer)
    assert "not recorded" in found.scores[0].note
    assert found.length == {}
    few = make_battles([("p", "m", "unknown", 1.0, "a", "bb")])
    assert length_controlled(few).length["m"].quintiles == ()
