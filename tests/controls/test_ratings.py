"""Ratings: the published WB-Score, FastChat's averages and pair aggregation, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.controls.ratings import mt_bench, wildbench_score
from auditkit.formats import wildbench
from auditkit.records import GAME_COLUMNS, RATING_COLUMNS, Battles, Benchmark, Score, frame

NAN = float("nan")

#: One rating: question, model, judge, turn, score.
Rating = tuple[str, str, str, int, float]
#: One pairwise row: question, model 1, model 2, turn, outcome of game 1, of game 2 (model 1's side).
Pair = tuple[str, str, str, int, float, float]


def recording(
    name: str, ratings: Sequence[Rating] = (), pairs: Sequence[Pair] = (), baselines: frozenset[str] = frozenset()
) -> Battles:
    games = [
        (question, one, two, "j", order, "", outcome, 1.0, "", turn, NAN, -1, -1)
        for question, one, two, turn, *outcomes in pairs
        for order, outcome in zip(("model_first", "model_second"), outcomes, strict=True)
    ]
    tables = [
        frame(columns, dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))) if rows else frame(columns)
        for columns, rows in ((GAME_COLUMNS, games), (RATING_COLUMNS, [(*r, -1) for r in ratings]))
    ]
    return Battles.build(Benchmark("x", format=name, baselines=baselines), games=tables[0], ratings=tables[1])


def scores_of(scores: Sequence[Score], model: str = "m") -> dict[str, Score]:
    assert len({(s.model, s.control) for s in scores}) == len(scores)
    return {s.control: s for s in scores if s.model == model}


@pytest.mark.parametrize("model", ["gemma-7b-it", "gpt-3.5-turbo-0125"])
def test_published_wildbench_score(shared_data: Path, model: str) -> None:
    """Mean and adjusted score of the public score files equal the published table to 1e-9."""
    folder = shared_data / "wildbench"
    published = json.loads((folder / "tables" / "score.json").read_text())[model]
    found = scores_of(wildbench_score(wildbench.read(folder / "v2.0625")).scores, model)
    score, adjusted = found["wildbench_score"], found["wildbench_score_adjusted"]
    assert score.estimate == pytest.approx(published["score"], abs=1e-9)
    assert adjusted.estimate == pytest.approx(published["adjusted_score"], abs=1e-9)
    assert score.n == published["total"]
    assert score.unit == "rating"
    assert score.ci is not None
    assert score.se is not None
    assert adjusted.se == pytest.approx(2 * score.se)
    assert adjusted.ci == pytest.approx(tuple((end - 5) * 2 for end in score.ci))


def test_unparsed_scores_are_left_out_and_bounded() -> None:
    """Never 0 and never the middle: the note says what the missing scores could have made."""
    rows: list[Rating] = [(f"s{i}", "m", "j", 1, value) for i, value in enumerate((8.0, 6.0, NAN, NAN))]
    score = scores_of(wildbench_score(recording("wildbench", rows)).scores)["wildbench_score"]
    assert (score.estimate, score.n) == (7.0, 2)
    assert score.note == "2 of 4 unparsed, left out: 4.00 if all were 1, 8.50 if 10"


def test_judges_are_kept_apart() -> None:
    """With two judges each has rows of its own, named after it."""
    rows: list[Rating] = [
        (f"s{i}", "m", judge, 1, value) for i in range(3) for judge, value in (("a", 8.0), ("b", 4.0))
    ]
    found = scores_of(wildbench_score(recording("wildbench", rows)).scores)
    assert found["wildbench_score:a"].estimate == 8.0
    assert found["wildbench_score:b"].estimate == 4.0


def test_nothing_rated_is_undefined() -> None:
    """No rating, no number; one prompt, no interval."""
    found = scores_of(wildbench_score(recording("wildbench", [("s", "m", "j", 1, NAN)])).scores)
    assert found["wildbench_score"].estimate is None
    assert "wildbench_score_adjusted" not in found
    alone = scores_of(wildbench_score(recording("wildbench", [("s", "m", "j", 1, 7.0)])).scores)["wildbench_score"]
    assert (alone.estimate, alone.ci) == (7.0, None)


@given(
    st.lists(
        st.tuples(st.sampled_from("pqrs"), st.sampled_from([1, 2]), st.sampled_from([1.0, 5.0, 9.5, NAN])),
        min_size=1, max_size=12, unique_by=lambda row: row[:2],
    )
)  # fmt: skip
def test_mt_bench_means(rows: list[tuple[str, int, float]]) -> None:
    """The published average is the mean of all rated rows; each turn has its own; errors cluster by question."""
    found = scores_of(mt_bench(recording("mt_bench", [(q, "m", "j", t, s) for q, t, s in rows])).scores)
    rated = [(q, t, s) for q, t, s in rows if s == s]  # noqa: PLR0124  NaN
    for name, wanted in (("mt_bench", (1, 2)), ("mt_bench_turn_1", (1,)), ("mt_bench_turn_2", (2,))):
        part = [(q, s) for q, t, s in rated if t in wanted]
        if not any(t in wanted for _, t, _ in rows):
            assert name not in found
            continue
        if not part:
            assert found[name].estimate is None
            continue
        mean = sum(s for _, s in part) / len(part)
        assert found[name].estimate == pytest.approx(mean)
        assert found[name].n == len(part)
        questions = {q for q, _ in part}
        if len(questions) > 1:
            sums = np.array([sum(s - mean for q, s in part if q == question) for question in questions])
            g = len(questions)
            assert found[name].se == pytest.approx(np.sqrt(g / (g - 1) * (sums**2).sum()) / len(part), abs=1e-12)


def test_turns_that_fail_unequally_are_shown() -> None:
    """Parse failures in one turn shift the published average; the note has the mean of the turns."""
    rows: list[Rating] = [
        ("p", "m", "j", 1, 9.0),
        ("q", "m", "j", 1, 9.0),
        ("p", "m", "j", 2, 3.0),
        ("q", "m", "j", 2, NAN),
    ]
    score = scores_of(mt_bench(recording("mt_bench", rows)).scores)["mt_bench"]
    assert score.estimate == 7.0
    assert "turns weigh 2, 1; 6.00 if they weighed the same" in score.note


@given(
    st.lists(
        st.tuples(
            st.sampled_from("pqrst"), st.sampled_from([("a", "b"), ("a", "c"), ("b", "c")]), st.sampled_from([1, 2]),
            *[st.sampled_from([1.0, 0.5, 0.0, NAN])] * 2,
        ),
        min_size=1, max_size=20, unique_by=lambda row: row[:3],
    )
)  # fmt: skip
def test_pair_aggregation_against_fastchat_rule(rows: list[tuple[str, tuple[str, str], int, float, float]]) -> None:
    """Error in either game: dropped. Tie in game 1 or a disagreement: tie. Else the winner of both."""
    pairs: list[Pair] = [(q, *names, t, one, two) for q, names, t, one, two in rows]
    scores = mt_bench(recording("mt_bench", pairs=pairs)).scores
    for model in "abc":
        tally = {"win": 0, "tie": 0, "loss": 0, "error": 0}
        for _, one, two, _, first, second in pairs:
            if model not in (one, two):
                continue
            if np.isnan(first) or np.isnan(second):
                tally["error"] += 1
            elif first == 0.5 or first != second:
                tally["tie"] += 1
            else:
                tally["win" if (first == 1.0) == (model == one) else "loss"] += 1
        found = scores_of(scores, model)
        n = tally["win"] + tally["tie"] + tally["loss"]
        if not n + tally["error"]:
            assert not found
            continue
        score = found["mt_bench_pair"]
        assert score.note.startswith(f"{tally['win']} won, {tally['tie']} tied or inconsistent, {tally['loss']} lost")
        if n:
            assert score.estimate == pytest.approx(100 * (tally["win"] + 0.5 * tally["tie"]) / n)
        else:
            assert score.estimate is None
        assert (f"{tally['error']} pairs with an error" in score.note) == (tally["error"] > 0)


def test_a_clean_sweep_keeps_an_interval_of_width() -> None:
    """Winning every pair is no proof of 100 percent: the interval is Wilson's over questions."""
    pairs: list[Pair] = [(f"q{i}", "m", "base", turn, 1.0, 1.0) for i in range(10) for turn in (1, 2)]
    scores = mt_bench(recording("mt_bench", pairs=pairs, baselines=frozenset({"base"}))).scores
    (score,) = scores
    assert (score.model, score.estimate, score.n) == ("m", 100.0, 20)
    assert score.ci is not None
    assert score.ci[0] < 80
    assert "10 questions" in score.method


def test_other_benchmarks_are_left_alone() -> None:
    """Each control reads its own benchmark's ratings only."""
    rows: list[Rating] = [("s", "m", "j", 1, 7.0)]
    assert wildbench_score(recording("mt_bench", rows)).scores == ()
    assert mt_bench(recording("wildbench", rows)).scores == ()
