"""Plain pairs: the documented columns in all three kinds of file, and one clear error for every other cell."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.formats import pairs
from auditkit.formats._io import prompt_key
from auditkit.records import Battles

KINDS = ("jsonl", "csv", "parquet")


def save(folder: Path, kind: str, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write `rows` without the writer under test."""
    path = folder / f"games.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


def kinds(battles: Battles) -> dict[str, int]:
    return {note.kind: note.count for note in battles.notes}


@pytest.mark.parametrize("kind", KINDS)
def test_least_columns(tmp_path: Path, kind: str) -> None:
    """Prompt, two models and an outcome are enough; everything else has a stated default."""
    path = save(tmp_path, kind, [{"prompt_id": "007", "model": "nan", "opponent": "=1+1", "outcome": 0.25}])
    assert pairs.recognise(path)
    game = pairs.read(path).games.iloc[0]
    assert game.drop(["gold", "outcome"]).to_dict() == {
        "prompt_id": "007", "model": "nan", "opponent": "=1+1", "judge": "judge", "order": "unknown", "label": "",
        "weight": 1.0, "variant": "", "turn": 1, "answer": -1, "opponent_answer": -1,
    }  # fmt: skip
    assert game["outcome"] == 0.25
    assert math.isnan(game["gold"])


@pytest.mark.parametrize("kind", KINDS)
def test_lettered_columns(tmp_path: Path, kind: str) -> None:
    """``model_a``/``model_b`` rows are seen from a's side, a first; a bad tie is a tie; no winner is no outcome."""
    winners = ["model_a", "model_b", "tie", "tie (bothbad)", "bothbad", "both_bad", None]
    rows = [{"question_id": i, "model_a": "a", "model_b": "b", "winner": w} for i, w in enumerate(winners)]
    battles = pairs.read(save(tmp_path, kind, rows))
    assert battles.games["outcome"].fillna(-1).tolist() == [1, 0, 0.5, 0.5, 0.5, 0.5, -1]
    assert battles.games["label"].tolist() == [*winners[:-1], ""]
    assert set(battles.games["order"]) == {"model_first"}
    assert battles.games["prompt_id"].tolist() == [str(i) for i in range(7)]
    assert kinds(battles) == {"unparsed": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_shared_and_traces_split(tmp_path: Path, kind: str) -> None:
    """The same text of a model to a prompt is one answer, whichever side it was on; null is not recorded."""
    row = {"prompt": "Q?", "outcome": 1.0}
    rows = [
        {**row, "model": "a", "opponent": "b", "answer": "x", "opponent_answer": "<think>h</think> y"},
        {**row, "model": "b", "opponent": "a", "answer": "<think>h</think> y", "opponent_answer": "x"},
        {**row, "model": "a", "opponent": "b", "answer": "z", "opponent_answer": None},
    ]
    battles = pairs.read(save(tmp_path, kind, rows))
    games, answers = battles.games, battles.answers
    assert answers[["model", "text", "trace"]].to_numpy().tolist() == [["a", "x", ""], ["b", "y", "h"], ["a", "z", ""]]
    assert games[["answer", "opponent_answer"]].to_numpy().tolist() == [[0, 1], [1, 0], [2, -1]]
    assert set(games["prompt_id"]) == {prompt_key("Q?")}
    assert battles.prompts["text"].tolist() == ["Q?"]


def test_baseline_is_the_one_constant_opponent(tmp_path: Path) -> None:
    """One opponent that never plays the other side is the baseline; else every model is a submission."""
    row = {"prompt_id": "p", "outcome": 1}
    star = [{**row, "model": m, "opponent": "base"} for m in "ab"]
    assert pairs.read(save(tmp_path, "jsonl", star)).models == ("a", "b")
    assert pairs.read(save(tmp_path, "jsonl", star)).benchmark.baselines == {"base"}
    ring = [*star, {**row, "model": "base", "opponent": "a"}]
    assert pairs.read(save(tmp_path, "jsonl", ring)).models == ("a", "b", "base")


def test_csv_tells_empty_from_missing(tmp_path: Path) -> None:
    """A quoted empty cell is an empty answer, an unquoted one is not recorded; cells may hold line ends and BOMs."""
    path = tmp_path / "x.csv"
    path.write_bytes(
        '\ufeffprompt_id,model,opponent,outcome,answer,opponent_answer\np,a,b,1,"",\nq,a,b,,"two\nlines, ""so""",x\n'.encode()
    )
    assert pairs.recognise(path)
    battles = pairs.read(path)
    assert battles.games["answer"].tolist() == [0, 1]
    assert battles.games["opponent_answer"].tolist() == [-1, 2]
    assert battles.answers["text"].tolist() == ["", 'two\nlines, "so"', "x"]
    assert battles.games["outcome"].isna().tolist() == [False, True]


def test_model_against_itself_is_no_game(tmp_path: Path) -> None:
    """Self-play says nothing about a model: dropped, listed with its row, counted."""
    row = {"prompt_id": "p", "outcome": 1, "answer": "t"}
    rows = [{**row, "model": "a", "opponent": m} for m in "bab"]
    battles = pairs.read(save(tmp_path, "csv", rows))
    assert len(battles.games) == 2
    assert battles.games["answer"].tolist() == [0, 0]
    assert battles.dropped[["reason", "where"]].to_numpy().tolist() == [["self", "row 2"]]
    assert kinds(battles)["self"] == 1


def test_prompts_that_disagree_are_counted(tmp_path: Path) -> None:
    """The first text of an id counts; unknown columns are named in a note."""
    row = {"prompt_id": "p", "model": "a", "opponent": "b", "outcome": 1, "conv": 1}
    battles = pairs.read(save(tmp_path, "csv", [{**row, "prompt": t} for t in ("one", "two", "one")]))
    assert battles.prompts["text"].tolist() == ["one"]
    assert kinds(battles) == {"prompt_differs": 1, "ignored_columns": 1}


GOOD: dict[str, object] = {"prompt_id": "p", "model": "a", "opponent": "b", "outcome": 0.5}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outcome": 1.5}, "row 2: column 'outcome': expected a number from 0 to 1"),
        ({"outcome": -0.1}, "row 2: column 'outcome'"),
        ({"model": ""}, "row 2: column 'model' is empty"),
        ({"opponent": None}, "row 2: column 'opponent' is empty"),
        ({"prompt_id": None}, "row 2: column 'prompt_id' is empty"),
        ({"order": "first"}, "row 2: column 'order': expected one of model_first, .*'first'"),
        ({"weight": 0.0}, "row 2: column 'weight'"),
        ({"turn": 1.5}, "row 2: column 'turn'"),
        ({"turn": 0}, "row 2: column 'turn'"),
        ({"gold": 0.5}, "row 2: column 'gold'"),
    ],
)
def test_bad_cells_are_named(tmp_path: Path, kind: str, change: dict[str, object], words: str) -> None:
    """Row, column, what was expected and what came, for each kind of file."""
    fill: dict[str, object] = {"order": "unknown", "weight": 1.0, "turn": 1.0, "gold": 1.0}
    rows = [{**GOOD, **fill}, {**GOOD, **fill, **change}]
    with pytest.raises(InputError, match=words):
        pairs.read(save(tmp_path, kind, rows))


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_winner_is_named(tmp_path: Path, kind: str) -> None:
    """The winners are a closed list, and each pair of columns has its own."""
    rows = [{"prompt_id": "p", "model": "a", "opponent": "b", "winner": w} for w in ("model", "model_a")]
    with pytest.raises(InputError, match=r"row 2: column 'winner': expected one of model, opponent, tie.*'model_a'"):
        pairs.read(save(tmp_path, kind, rows))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{**GOOD, "winner": "tie"}], "one of the columns 'outcome' and 'winner'"),
        ([{"prompt_id": "p", "model": "a", "opponent": "b"}], "one of the columns"),
        ([{"model": "a", "opponent": "b", "outcome": 1}], "'prompt_id' or 'prompt'"),
        ([{"prompt_id": "p", "model": "a", "outcome": 1}], "'opponent' is missing"),
        ([{**GOOD, "model_a": "x"}], "two columns for one thing: model and model_a"),
        ([{"x": 1}], "no rows with columns of pairs"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_needed_columns(tmp_path: Path, kind: str, rows: list[dict[str, object]], words: str) -> None:
    """A missing, doubled or ambiguous column is an error, not a guess."""
    with pytest.raises(InputError, match=words):
        pairs.read(save(tmp_path, kind, rows))


@pytest.mark.parametrize("value", ["1", True, [1], {"a": 1}])
def test_jsonl_numbers_are_numbers(tmp_path: Path, value: object) -> None:
    """Text and truth values in a number's place are refused with their line."""
    with pytest.raises(InputError, match="line 1: field 'outcome': expected a number"):
        pairs.read(save(tmp_path, "jsonl", [{**GOOD, "outcome": value}]))


@pytest.mark.parametrize("column", ["model", "outcome", "prompt_id", "answer"])
def test_parquet_types(tmp_path: Path, column: str) -> None:
    """A Parquet column of another type is refused by name."""
    path = save(tmp_path, "parquet", [{**GOOD, column: [True]}])
    with pytest.raises(InputError, match=f"column '{column}': expected"):
        pairs.read(path)


def test_csv_numbers(tmp_path: Path) -> None:
    """A cell that is no number is named as it stands."""
    path = tmp_path / "x.csv"
    for cell in ("high", "nan", "inf", "1e999", "True", "0,5"):
        path.write_text(f'prompt_id,model,opponent,outcome\np,a,b,"{cell}"\n')
        with pytest.raises(InputError, match="row 1: column 'outcome'"):
            pairs.read(path)


cell = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).map(lambda t: "x" + t)
plain_rows = st.lists(
    st.fixed_dictionaries(
        {
            "prompt_id": st.sampled_from("pq"),
            "prompt": st.just("Q"),
            "model": st.sampled_from(["a", "../../x", "\x1b[0m", '"']),
            "opponent": st.just("=base()"),
            "outcome": st.none() | st.floats(0, 1),
            "weight": st.sampled_from([1.0, 3.0]),
            "order": st.sampled_from(["model_first", "model_second", "unknown"]),
            "turn": st.integers(1, 3),
            "gold": st.none() | st.sampled_from([0, 1]),
            "answer": st.none() | cell,
            "opponent_answer": st.none() | cell,
            "label": st.text(st.characters(codec="utf-8"), max_size=3),
            "judge": cell,
            "category": st.just("c"),
        }
    ),
    min_size=1,
    max_size=5,
)


@given(plain_rows, st.sampled_from(KINDS))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], kind: str) -> None:
    """What is read and written in any kind is read back equal."""
    folder = tmp_path_factory.mktemp("pairs")
    battles = pairs.read(save(folder, "jsonl", rows))
    target = folder / f"out.{kind}"
    pairs.write(battles, target)
    again = pairs.read(target)
    assert again.benchmark.baselines == battles.benchmark.baselines
    for table in ("games", "answers", "prompts"):
        pd.testing.assert_frame_equal(getattr(again, table), getattr(battles, table))


@pytest.mark.slow
def test_two_million_rows(tmp_path: Path) -> None:
    """Two million games load as columns, and the numbers add up."""
    n = 2_000_000
    i = pd.RangeIndex(n)
    content = pd.DataFrame({
        "prompt_id": (i % 5000).astype("str"), "model_a": "m" + (i % 200).astype("str"),
        "model_b": "m" + ((i + 1 + i % 198) % 200).astype("str"), "winner": ["model_a", "tie"] * (n // 2),
    })  # fmt: skip
    content.to_parquet(tmp_path / "x.parquet")
    content.to_csv(tmp_path / "x.csv", index=False)
    for kind in ("parquet", "csv"):
        battles = pairs.read(tmp_path / f"x.{kind}")
        assert len(battles.games) + len(battles.dropped) == n
        assert 0.74 < battles.games["outcome"].mean() < 0.76


@pytest.mark.parametrize(("row", "words"), [("q2,m,b", "Row #3"), ("q2,m\xe9,b,1", "Row #3")])
def test_a_damaged_csv_names_the_row(tmp_path: Path, row: str, words: str) -> None:
    """Too few cells, or bytes that are not UTF-8: the row is named."""
    path = tmp_path / "games.csv"
    path.write_bytes(f"prompt_id,model,opponent,outcome\nq1,m,b,1\n{row}\n".encode("latin-1"))
    with pytest.raises(InputError, match=words):
        pairs.read(path)


def test_weights_that_no_score_reads_are_noted(tmp_path: Path) -> None:
    """Against a baseline every game counts once: a file with weights is told so."""
    rows = [{"prompt_id": f"p{i}", "model": "m", "opponent": "b", "outcome": 1, "weight": 1 + i} for i in range(3)]
    assert kinds(pairs.read(save(tmp_path, "jsonl", rows)))["weight_unused"] == 2
