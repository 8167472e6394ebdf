"""The claim job: planted gains, public recordings."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest

from auditkit import formats
from auditkit.claim import claim_battles
from auditkit.claims import BENCHMARKS, Board, Claim, ClaimResult, Estimate, Ledger, read_board
from auditkit.claims.boards import find_row
from auditkit.claims.controlled import own_score
from auditkit.claims.paired import pair
from auditkit.claims.verdicts import decide_gain
from auditkit.errors import NoData
from auditkit.records import (
    ANSWER_COLUMNS,
    GAME_COLUMNS,
    PROMPT_COLUMNS,
    RATING_COLUMNS,
    Battles,
    Benchmark,
    Settings,
    frame,
)

FAST = Settings(replicates=200)
BEATS = Claim(id="c", wording="beats", candidate="candidate", baseline="reference")


# --- planted truths -------------------------------------------------------------------------------------------------


def _planted(
    *,
    skill: float = 0.0,
    length: float = 0.0,
    stretch: float = 1.0,
    bold: float = 0.0,
    boldness: int = 0,
    prompts: int = 400,
    seed: int = 0,
    both_orders: bool = True,
    direct: bool = False,
    constant: bool = False,
    from_ratio: float | None = None,
) -> Battles:
    """Two models and a base, judged by a logistic judge: `skill` (log-odds) of the candidate over the reference, whose
    answers are `stretch` times as long and hold up to `boldness` bold spans more; `length` is the log-odds of a doubling,
    `bold` those of a bold span. With `from_ratio`, length counts only beyond an answer that many times as long.
    """
    rng = np.random.default_rng(seed)
    answers: dict[str, list[object]] = {name: [] for name in ANSWER_COLUMNS}
    games: dict[str, list[object]] = {name: [] for name in GAME_COLUMNS}
    hard = rng.normal(0.0, 0.6, prompts)

    def answer(model: str, prompt: str, words: int, spans: int) -> tuple[int, int, int]:
        text = " ".join(f"w{v}" for v in rng.integers(10, 99, max(words, 4))) + " **so**" * spans
        row = (prompt, model, 1, "the same words again" if constant and model == "candidate" else text, "", "", "")
        for name, value in zip(ANSWER_COLUMNS, row, strict=True):
            answers[name].append(value)
        return len(answers["text"]) - 1, len(str(row[3])), spans

    def play(
        prompt: str, model: str, opponent: str, a: tuple[int, int, int], b: tuple[int, int, int], odds: float
    ) -> None:
        longer = float(np.log2(a[1] / b[1]))
        odds += length * (longer if from_ratio is None else max(longer - np.log2(from_ratio), 0.0)) + bold * (
            a[2] - b[2]
        )
        for order in ("model_first", "model_second") if both_orders else ("model_first",):
            won = float(rng.random() < 1.0 / (1.0 + np.exp(-odds)))
            row = (prompt, model, opponent, "judge", order, "", won, 1.0, "", 1, float("nan"), a[0], b[0])
            for name, value in zip(GAME_COLUMNS, row, strict=True):
                games[name].append(value)

    for i in range(prompts):
        prompt, words = f"p{i:04d}", int(rng.integers(40, 160))
        base = answer("base", prompt, int(rng.integers(40, 160)), int(rng.integers(0, 4)))
        reference = answer("reference", prompt, words, int(rng.integers(0, 4)))
        longer = int(words * stretch * np.exp(rng.normal(0.0, 0.35)))
        candidate = answer("candidate", prompt, longer, int(rng.integers(0, 4)) + int(rng.integers(0, boldness + 1)))
        if direct:
            play(prompt, "candidate", "reference", candidate, reference, skill + 0.5 * hard[i])
            continue
        play(prompt, "reference", "base", reference, base, hard[i])
        play(prompt, "candidate", "base", candidate, base, hard[i] + skill)
    ids = [f"p{i:04d}" for i in range(prompts)]
    asked = {name: ids if name in ("prompt_id", "text") else [""] * prompts for name in PROMPT_COLUMNS}
    baselines = frozenset() if direct else frozenset({"base"})
    return Battles.build(
        Benchmark("planted", baselines=baselines, expected=prompts),
        games=frame(GAME_COLUMNS, games), answers=frame(ANSWER_COLUMNS, answers), prompts=frame(PROMPT_COLUMNS, asked),
    )  # fmt: skip


def _one(
    battles: Battles, claimed: Claim = BEATS, settings: Settings = FAST, boards: tuple[Board, ...] = ()
) -> ClaimResult:
    return claim_battles(Ledger((claimed,), boards), battles, settings=settings).results[0]


def _by_control(result: ClaimResult) -> dict[str, Estimate]:
    return {estimate.control: estimate for estimate in result.estimates}


def test_a_gain_from_length_alone_vanishes_under_length_control() -> None:
    """No skill, answers twice as long, a judge that likes length: the gain is real, and none of it is quality."""
    result = _one(_planted(length=1.2, stretch=1.6))
    assert (result.verdict, result.control) == ("vanishes_under", "length_controlled")
    assert "under length control" in result.sentence
    assert (_by_control(result)["length_controlled"].overlap or 0.0) > 0.15
    assert not any(part.note.startswith("EXTRAPOLATION") for part in result.decomposition)
    parts = {p.part: p for p in result.decomposition}
    assert parts["length"].ci is not None
    assert parts["length"].ci[0] > 5.0
    assert parts["model"].ci is not None
    assert parts["model"].ci[0] < 0.0 < parts["model"].ci[1]


def test_a_gain_from_bold_text_vanishes_under_style_control() -> None:
    """The same with markdown: length control leaves it, style control does not."""
    result = _one(_planted(bold=0.5, boldness=8))
    assert (result.verdict, result.control) == ("vanishes_under", "style_controlled")


# Against each other, four times as long: length counts only from twice as long on, so at equal length all of `skill` is
# left. A straight line through what was seen, drawn out to equal length, ends below 0.
_BENT: Final[dict[str, Any]] = {
    "skill": 0.8,
    "length": 2.0,
    "stretch": 4.0,
    "from_ratio": 2.5,
    "direct": True,
    "prompts": 600,
}


def test_quality_does_not_vanish_by_extrapolation() -> None:
    """True quality where no two answers are alike: the line's sign is its form's, and leaves the gain open."""
    result = _one(_planted(**_BENT))
    drawn = _by_control(result)["length_controlled"]
    assert drawn.ci is not None
    assert drawn.drop_ci is not None
    assert drawn.ci[0] <= 0 < drawn.drop_ci[0]  # of a control with overlap, this takes a gain away
    assert drawn.extrapolated
    assert (result.verdict, result.control) == ("not_separable", "")
    assert "by extrapolation only" in result.sentence
    assert "extrapolation" in result.flags
    marked = {part.part for part in result.decomposition if part.note.startswith("EXTRAPOLATION")}
    assert marked == {"model", "length", "style"}


def _estimate(control: str, at: float, half: float, drop: float, **more: Any) -> Estimate:
    return replace(Estimate(control, at, half / 2, (at - half, at + half), 400, (drop - 1, drop + 1)), **more)


def test_what_takes_a_gain_away() -> None:
    """Enough overlap does, to 0 or beyond; an extrapolation leaves it open, few prompts are mentioned."""
    raw = Estimate("raw", 20.0, 1.5, (17.0, 23.0), 800)
    far = {"overlap": 0.04, "note": "EXTRAPOLATION: alike on 4% of prompts"}
    gone = decide_gain(BEATS, raw, [_estimate("length_controlled", 1.0, 3.0, 19.0, overlap=0.3)])
    assert (gone.verdict, gone.control) == ("vanishes_under", "length_controlled")
    assert "the gain vanishes" in gone.sentence
    turned = decide_gain(BEATS, raw, [_estimate("length_controlled", -6.0, 3.0, 26.0, overlap=0.3)])
    assert (turned.verdict, turned.control) == ("vanishes_under", "length_controlled")
    assert "it reverses: under length control -6.0" in turned.sentence
    assert "vanishes" not in turned.sentence
    left = decide_gain(BEATS, raw, [_estimate("style_controlled", -6.0, 3.0, 26.0, **far)])
    assert left.verdict == "not_separable"
    assert "by extrapolation only (alike on 4% of prompts)" in left.sentence
    off = decide_gain(BEATS, raw, [Estimate("style_controlled", None, note="EXTRAPOLATION: undefined: off the scale")])
    assert off.verdict == "not_separable"
    kept = decide_gain(BEATS, raw, [_estimate("style_controlled", 6.0, 3.0, 14.0, **far)])
    assert kept.verdict == "certified"
    assert "style control (by extrapolation)" in kept.sentence
    few = decide_gain(BEATS, raw, [_estimate("length_matched", 1.0, 9.0, 19.0, overlap=0.04, subset=True)])
    assert few.verdict == "certified"
    assert "too few to decide" in few.sentence
    own = decide_gain(
        replace(BEATS, metric="style_controlled"), _estimate("style_controlled", -6.0, 3.0, 26.0, **far), []
    )
    assert own.verdict == "not_separable"


@pytest.mark.parametrize(
    ("length", "said"), [(0.2, "its interval was cut at -50 and +50, the scale"), (1.2, "where -50 to +50 is possible")]
)
def test_nothing_lies_beyond_the_scale(length: float, said: str) -> None:
    """Answers thirty times as long: what a line gives is cut at the scale and marked, or undefined where it leaves it."""
    battles = _planted(skill=0.8 - 4.9 * length, length=length, stretch=30.0, direct=True, prompts=150, seed=3)
    result = _one(battles)
    assert said in _by_control(result)["length_controlled"].note
    for found in result.estimates:
        assert abs(found.estimate or 0.0) <= 50.0 + 1e-9
        assert all(abs(end) <= 50.0 + 1e-9 for end in found.ci or ())
    model = result.decomposition[0]
    assert model.note.startswith("EXTRAPOLATION")
    assert all(abs(end) <= 50.0 + 1e-9 for end in model.ci or ())
    assert result.verdict != "vanishes_under"


@pytest.mark.parametrize("direct", [False, True])
def test_a_gain_in_quality_is_certified(direct: bool) -> None:
    """Skill survives every control although the answers are longer too, and the parts add up to the raw gain."""
    result = _one(_planted(skill=0.9, length=0.4, stretch=1.2, direct=direct))
    assert result.verdict == "certified"
    assert result.evidence == "per_instance"
    raw = _by_control(result)["raw"]
    assert raw.estimate is not None
    assert sum(p.points or 0.0 for p in result.decomposition) == pytest.approx(raw.estimate, abs=1e-9)
    assert {"length_controlled", "style_controlled", "length_matched", "swap_consistent"} <= set(_by_control(result))


def test_equal_models_are_equivalent_and_neither_beats() -> None:
    """With enough prompts TOST certifies; with few it does not, although no difference is found either way."""
    equal = Claim(id="e", wording="comparable", candidate="candidate", baseline="reference", margin=8.0)
    many = _planted(prompts=1000, seed=4)
    result = _one(many, equal)
    assert result.verdict == "certified"
    assert result.equivalence_p is not None
    assert result.equivalence_p < 0.05
    assert _one(many).verdict == "not_separable"
    few = _one(_planted(prompts=40, seed=3), equal)
    assert few.verdict == "not_separable"
    assert "not excluded" in few.sentence


def test_unequal_models_are_not_comparable() -> None:
    """A difference beyond the margin contradicts the claim; so does a better baseline."""
    battles = _planted(skill=1.2)
    equal = Claim(id="e", wording="comparable", candidate="candidate", baseline="reference", margin=3.0)
    assert _one(battles, equal).verdict == "contradicted"
    turned = replace(BEATS, candidate="reference", baseline="candidate")
    assert _one(battles, turned).verdict == "contradicted"


def test_equality_that_length_bought_vanishes() -> None:
    """A weaker model that reaches a stronger one by writing twice as much is equal only until length is held fixed."""
    equal = Claim(id="e", wording="comparable", candidate="candidate", baseline="reference", margin=8.0)
    result = _one(_planted(skill=-1.1, length=1.6, stretch=1.6, seed=0), equal)
    assert (result.verdict, result.control) == ("vanishes_under", "length_controlled")


def test_the_size_of_a_gain_is_checked() -> None:
    """A true gain that was claimed twice as large is contradicted; claimed smaller, it is certified."""
    battles = _planted(skill=0.9)
    exact = replace(BEATS, wording="exact")
    assert _one(battles, replace(exact, gain=60.0)).verdict == "contradicted"
    assert _one(battles, replace(exact, gain=10.0)).verdict == "certified"


def test_the_best_of_many_settings_needs_more() -> None:
    """A gain that is told from 0 for one setting is not if it was the best of hundreds."""
    battles = _planted(skill=0.27, seed=1)
    once = _one(battles)
    raw = _by_control(once)["raw"]
    assert raw.ci is not None
    assert raw.ci[0] > 0
    many = _one(battles, replace(BEATS, wording="up_to", gain=6.0, k=400))
    assert many.verdict == "not_separable"
    assert (many.threshold or 0) > (once.threshold or 0)
    assert many.optimism == pytest.approx(2.97 * (raw.se or 0), rel=0.02)
    assert "up_to" in many.flags


def test_training_runs_widen_the_interval() -> None:
    """The spread of independent runs is added to the error of the prompts."""
    battles = _planted(skill=0.5)
    plain, spread = _one(battles), _one(battles, replace(BEATS, runs=(2.0, 30.0)))
    assert plain.verdict == "certified"
    assert spread.verdict == "not_separable"
    assert "widened by 2 training runs" in _by_control(spread)["raw"].method


def test_a_gain_that_swaps_with_the_order_vanishes() -> None:
    """All of the gain comes from pairs whose verdict depends on the order."""
    battles = _planted(prompts=240, seed=5)
    games = battles.games.copy()
    number = games["prompt_id"].str[1:].astype(int)
    mine = games["model"] == "candidate"
    fair = np.where(number % 4 < 2, 1.0, 0.0)
    turned = np.where(
        mine, np.where(games["order"] == "model_first", 1.0, 0.5), np.where(games["order"] == "model_first", 0.5, 0.0)
    )
    even = np.where(mine, fair, np.where(number % 4 % 3 == 0, 1.0, 0.0))
    games["outcome"] = np.where(number % 2 == 0, turned, even)
    result = _one(replace(battles, games=games))
    assert (result.verdict, result.control) == ("vanishes_under", "swap_consistent")


def test_a_constant_answer_does_not_count() -> None:
    """Detectors of reject severity come before any control."""
    result = _one(_planted(skill=1.5, constant=True))
    assert (result.verdict, result.control) == ("vanishes_under", "gated")
    assert "exact duplicates" in result.sentence


def test_length_that_always_differs_alike_cannot_be_told_apart() -> None:
    """Where every answer is longer by one factor, no data can separate length from quality: undefined, not certain."""
    battles = _planted(skill=0.9)
    texts = battles.answers["text"].to_numpy(dtype=object)
    texts[:] = np.where(battles.answers["model"] == "candidate", "a" * 199, "b" * 99)
    result = _one(replace(battles, answers=battles.answers.assign(text=pd.Series(texts, dtype="str"))), BEATS)
    found = _by_control(result)["length_controlled"]
    assert found.estimate is None
    assert "told apart" in found.note


def test_ratings_are_paired_too() -> None:
    """A claim in ratings takes the ratings table; position is not measured."""
    rng = np.random.default_rng(2)
    battles = _planted(prompts=200)
    rows = battles.answers[battles.answers["model"] != "base"]
    score = np.where(rows["model"] == "candidate", 7.4, 7.0) + rng.normal(0.0, 0.8, len(rows))
    data = (rows["prompt_id"], rows["model"], ["judge"] * len(rows), [1] * len(rows), score, rows.index)
    ratings = frame(RATING_COLUMNS, {name: list(v) for name, v in zip(RATING_COLUMNS, data, strict=True)})
    result = _one(replace(battles, ratings=ratings), replace(BEATS, metric="score"))
    assert result.verdict == "certified"
    raw = _by_control(result)["raw"]
    assert raw.estimate == pytest.approx(0.4, abs=0.2)
    assert next(p for p in result.decomposition if p.part == "position").points is None


def test_a_compound_system_meets_its_best_component() -> None:
    """The baseline is the better of the components, and the sentence names it."""
    battles = _planted(skill=0.9)
    claimed = replace(BEATS, baseline="", components=("reference", "base"))
    result = _one(battles, claimed)
    assert "candidate over" in result.sentence
    assert result.evidence == "per_instance"


def test_the_same_seed_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the same; another seed, other intervals."""
    monkeypatch.setitem(os.environ, "SOURCE_DATE_EPOCH", "0")
    battles = _planted(prompts=120)
    first, second = (claim_battles(Ledger((BEATS,)), battles, settings=FAST) for _ in range(2))
    assert first == second
    assert _one(battles, settings=replace(FAST, seed=9)).estimates != first.results[0].estimates


def test_models_without_shared_prompts() -> None:
    """Nothing shared is said, not guessed."""
    battles = _planted(prompts=60)
    games = battles.games
    even = games["prompt_id"].str[1:].astype(int) % 2 == 0
    apart = replace(battles, games=games[even == (games["model"] == "candidate")].reset_index(drop=True))
    with pytest.raises(NoData, match="share no prompt"):
        pair(apart, "candidate", "reference", "win_rate")
    result = _one(apart)
    assert result.verdict == "cannot_check"
    assert "share no prompt" in result.checks[0].text


def test_wins_and_ties_are_taken_apart() -> None:
    """A rate of wins and ties is recomputed, and its parts are named."""
    battles = _planted(prompts=100)
    games = battles.games
    tied = games["prompt_id"].str[1:].astype(int) % 10 < 6
    games = games.assign(outcome=np.where(tied, 0.5, games["outcome"]))
    claimed = Claim(id="t", wording="exact", metric="win_or_tie", candidate="candidate", value=80.0)
    result = _one(replace(battles, games=games), claimed)
    assert result.verdict == "certified"
    assert result.flags == ("ties",)
    assert "tied 60.0%" in result.checks[0].text
    gain = _one(replace(battles, games=games), replace(BEATS, metric="win_or_tie"))
    assert gain.verdict == "cannot_check"


@pytest.mark.slow
def test_verdicts_over_many_samples() -> None:
    """True quality never vanishes; a length gain is never certified, no gain in at most 2 of 25 samples."""
    quality = [_one(_planted(skill=0.8, length=0.3, stretch=1.1, seed=s)).verdict for s in range(15)]
    assert "vanishes_under" not in quality
    assert quality.count("certified") >= 13
    assert all(_one(_planted(length=1.0, stretch=1.8, seed=s)).verdict != "certified" for s in range(15))
    assert sum(_one(_planted(seed=s)).verdict == "certified" for s in range(25)) <= 2
    bent = [_one(_planted(**_BENT, seed=s)).verdict for s in range(15)]
    assert "vanishes_under" not in bent
    alike = [_one(_planted(length=1.0, stretch=1.5, seed=s)) for s in range(15)]
    assert sum(result.verdict == "vanishes_under" for result in alike) >= 12


# --- public recordings ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alpaca(shared_data: Path) -> Battles:
    """Five public submissions to AlpacaEval 2."""
    folder = shared_data / "alpaca_eval"
    names = ("FuseChat-Gemma-2-9B-Instruct", "claude-2.1", "claude-2.1_concise", "NullModel")
    battles = formats.read(*(folder / "results" / name for name in names))
    return replace(battles, beside={"calibration": folder / "df_gamed.csv", "difficulty": folder / "instruction_difficulty.csv"})  # fmt: skip


@pytest.fixture(scope="module")
def board(shared_data: Path) -> tuple[Board, ...]:
    """AlpacaEval's public leaderboard."""
    return read_board(shared_data / "alpaca_eval" / "leaderboard.csv")


def test_a_public_gain_equals_the_leaderboard(alpaca: Battles, board: tuple[Board, ...]) -> None:
    """The raw gain is the difference of two public rows to 1e-6, the length-controlled one to 0.2; it is certified."""
    claimed = Claim(
        id="f", wording="exact", benchmark="alpaca_eval_2", gain=54.0, baseline_value=15.7,
        candidate="FuseChat-Gemma-2-9B-Instruct", baseline="claude-2.1",
    )  # fmt: skip
    result = _one(alpaca, claimed, Settings(replicates=60), board)
    assert result.verdict == "certified"
    found = _by_control(result)
    for control, metric, tolerance in (("raw", "win_rate", 1e-6), ("length_controlled_published", "length_controlled", 0.2)):  # fmt: skip
        rows = [find_row(board, "alpaca_eval_2", metric, name) for name in (claimed.candidate, claimed.baseline)]
        assert rows[0] is not None
        assert rows[1] is not None
        assert found[control].estimate == pytest.approx(rows[0].score - rows[1].score, abs=tolerance)
    assert found["raw"].se is not None
    assert found["raw"].se < (BENCHMARKS["alpaca_eval_2"].gain_se() or 0)  # pairing pays
    assert {c.name: c.status for c in result.checks}["baseline_recorded"] == "pass"
    off = _one(alpaca, replace(claimed, value=75.0), Settings(replicates=60), board)
    assert "candidate_recorded" in off.flags


def test_a_public_gain_that_is_length(alpaca: Battles) -> None:
    """One model, once asked to be brief: the longer answers win, and at equal length nothing is left."""
    claimed = replace(BEATS, candidate="claude-2.1", baseline="claude-2.1_concise")
    result = _one(alpaca, claimed, Settings(replicates=100))
    assert (result.verdict, result.control) == ("vanishes_under", "length_controlled")
    matched = _by_control(result)["length_matched"]
    assert matched.estimate is not None
    assert abs(matched.estimate) < 3.0


def test_the_null_model_beats_nobody(alpaca: Battles) -> None:
    """The real constant output leads every raw comparison and is thrown out with its reasons."""
    result = _one(alpaca, replace(BEATS, candidate="NullModel", baseline="claude-2.1"), Settings(replicates=50))
    assert (result.verdict, result.control) == ("vanishes_under", "gated")
    raw = _by_control(result)["raw"]
    assert raw.estimate is not None
    assert raw.estimate > 50


@pytest.mark.parametrize(("value", "verdict"), [(70.2, "certified"), (78.0, "contradicted"), (60.0, "contradicted")])
def test_a_claimed_public_score(alpaca: Battles, value: float, verdict: str) -> None:
    """The length-controlled rate is recomputed from the judgments."""
    claimed = Claim(
        id="s", wording="exact", benchmark="alpaca_eval_2", metric="length_controlled", value=value,
        candidate="FuseChat-Gemma-2-9B-Instruct",
    )  # fmt: skip
    assert _one(alpaca, claimed, Settings(replicates=50)).verdict == verdict


def test_arena_hard_both_orders(shared_data: Path) -> None:
    """Two games a prompt against the baseline itself: the gain is the win rate minus 50, verdicts are swapped."""
    battles = formats.read(shared_data / "arena_hard" / "arena-hard-v0.1")
    name = battles.models[0]
    result = _one(battles, replace(BEATS, candidate=name, baseline="gpt-4-0314"), Settings(replicates=50))
    own = own_score(battles, name, "win_rate", FAST)
    raw = _by_control(result)["raw"]
    assert own.estimate is not None
    assert raw.estimate == pytest.approx(own.estimate - 50.0, abs=1e-9)
    assert _by_control(result)["swap_consistent"].n < raw.n


def test_wildbench_ratings(shared_data: Path) -> None:
    """Scores of two models by task, paired."""
    battles = formats.read(shared_data / "wildbench" / "v2.0625" / "score.v2")
    claimed = Claim(
        id="w", wording="beats", benchmark="wildbench", metric="score", candidate="gpt-3.5-turbo-0125", baseline="gemma-7b-it",
    )  # fmt: skip
    assert _one(battles, claimed, Settings(replicates=50)).verdict == "certified"


def test_a_recording_of_another_benchmark_does_not_serve(alpaca: Battles) -> None:
    """It is said and the claim is taken as without recording."""
    claimed = replace(BEATS, benchmark="mt_bench", metric="score", candidate="NullModel", baseline="claude-2.1")
    result = _one(alpaca, claimed)
    assert result.verdict == "cannot_check"
    assert "it is of AlpacaEval" in result.checks[0].text
