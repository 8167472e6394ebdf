"""AlpacaEval: the published figures from the published files, and everything that can be odd in them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.formats import alpaca_eval
from auditkit.records import GAME_COLUMNS, Battles, Benchmark, frame

JUDGE = "weighted_alpaca_eval_gpt4_turbo"


def row(i: int, **other: object) -> dict[str, object]:
    """One record of an annotations file about the model ``m``."""
    return {
        "instruction": f"Question {i}?", "output_1": f"base {i}", "generator_1": "gpt4_1106_preview",
        "dataset": "koala", "output_2": f"mine {i}", "generator_2": "m", "annotator": JUDGE, "preference": 1.25,
        **other,
    }  # fmt: skip


def save(folder: Path, rows: Sequence[Mapping[str, object]], model: str = "m", judge: str = JUDGE) -> Path:
    path = folder / model / judge / "annotations.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))
    return path


def kinds(battles: Battles) -> dict[str, int]:
    return {note.kind: note.count for note in battles.notes}


def test_published_win_rates(shared_data: Path) -> None:
    """The mean outcome of every recorded model is the published win rate to 1e-6 points, under its published name."""
    battles = alpaca_eval.read(shared_data / "alpaca_eval" / "results")
    with (shared_data / "alpaca_eval" / "leaderboard.csv").open(newline="") as handle:
        board = {line[0]: float(line[1]) for line in csv.reader(handle) if line[1] != "win_rate"}
    rates = 100 * battles.games.groupby("model")["outcome"].mean()
    assert len(rates) == 14
    assert set(rates.index) - board.keys() == {"text_davinci_003"}, "the one that the list does not have"
    for model in board.keys() & set(rates.index):
        assert rates[model] == pytest.approx(board[model], abs=1e-6)
    assert battles.benchmark.expected == 805
    assert {n.model: n.count for n in battles.notes if n.kind == "missing"} == {
        "alpaca-7b_concise": 1, "alpaca-7b_verbose": 3, "phi-2": 2,
    }  # fmt: skip
    assert set(battles.beside) == {"calibration", "difficulty", "leaderboard"}


def test_published_slots_and_order(shared_data: Path) -> None:
    """The slot formula agrees with every recorded log-probability, and prompts are in the benchmark's own order."""
    battles = alpaca_eval.read(shared_data / "alpaca_eval" / "results")
    assert "slot_differs" not in kinds(battles)
    assert battles.prompts["text"].map(alpaca_eval.model_first).sum() == 406
    first = battles.prompts["text"].head(12).map(alpaca_eval.model_first).astype(int)
    assert list(first) == [1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 1]
    with (shared_data / "alpaca_eval" / "instruction_difficulty.csv").open(newline="") as handle:
        published = [line["instruction"] for line in csv.DictReader(handle)]
    # The published table went through CSV, which turned carriage returns into line feeds.
    assert [t.replace("\r\n", "\n") for t in battles.prompts["text"]] == [t.replace("\r\n", "\n") for t in published]
    null = battles.games[battles.games["model"] == "NullModel"].groupby("order")["outcome"].mean()
    assert 100 * (null["model_second"] - null["model_first"]) == pytest.approx(17.5, abs=0.05)


def test_slot_function_is_stable() -> None:
    """The slot of three prompts, drawn once with the published rule and fixed here."""
    prompts = ("What is 2 + 2?", "Write a haiku about rain.", "Où est la gare ?")
    assert [alpaca_eval.model_first(p) for p in prompts] == [False, False, True]


def test_rows_are_matched_by_instruction(tmp_path: Path) -> None:
    """Shuffled rows give the same games; prompts come in the order of the fullest file, the others after it."""
    save(tmp_path, [row(i, generator_2="a") for i in (3, 1)], "a")
    save(tmp_path, [row(i, generator_2="b") for i in (1, 2, 4)], "b")
    battles = alpaca_eval.read(tmp_path)
    assert list(battles.prompts["text"]) == [f"Question {i}?" for i in (1, 2, 4, 3)]
    texts = battles.answers["text"]
    assert list(battles.games["answer"].map(texts)) == ["mine 3", "mine 1", "mine 1", "mine 2", "mine 4"]
    assert list(battles.games["opponent_answer"].map(texts)) == ["base 3", "base 1", "base 1", "base 2", "base 4"]
    assert len(battles.answers) == 5 + 4, "a baseline answer that files share is one row"


def test_every_preference_has_its_meaning(tmp_path: Path) -> None:
    """1..2 is an outcome, 0 an old tie, null and -1 no verdict; all odd ones are counted."""
    values = [1, 2, 1.5, 0, None, -1]
    save(tmp_path, [row(i, preference=value) for i, value in enumerate(values)])
    battles = alpaca_eval.read(tmp_path)
    outcome = battles.games["outcome"].tolist()
    assert outcome[:4] == [0, 1, 0.5, 0.5]
    assert all(map(math.isnan, outcome[4:]))
    assert (kinds(battles)["unparsed"], kinds(battles)["legacy_tie"]) == (2, 1)


@pytest.mark.parametrize("value", [0.5, 2.01, -2, "1.5", True, [1]])
def test_other_preferences_are_refused(tmp_path: Path, value: object) -> None:
    """A preference that means nothing is one clear error, not a number."""
    path = save(tmp_path, [row(0), row(1, preference=value)])
    with pytest.raises(InputError, match=r"item 2: field 'preference'"):
        alpaca_eval.read(path)


def test_duplicates_keep_the_first(tmp_path: Path) -> None:
    """A repeated instruction counts once, the first time, and the others are listed."""
    save(tmp_path, [row(0, preference=2), row(0, preference=1), row(1)])
    battles = alpaca_eval.read(tmp_path)
    assert battles.games["outcome"].tolist() == [1, 0.25]
    assert battles.dropped[["model", "reason"]].to_numpy().tolist() == [["m", "duplicate"]]
    assert battles.dropped["where"].iloc[0].endswith("annotations.json: item 2")


def test_rows_without_an_answer_are_dropped_and_counted(tmp_path: Path) -> None:
    """A null answer is not an empty answer."""
    save(tmp_path, [row(0, output_2=None), row(1, output_2="")])
    battles = alpaca_eval.read(tmp_path)
    assert list(battles.dropped["reason"]) == ["no_answer"]
    assert len(battles.games) == 1
    assert battles.benchmark.expected == 805
    assert kinds(battles)["missing"] == 804


def test_nested_duplicate_folder_is_read_once(tmp_path: Path) -> None:
    """An annotator's folder inside itself adds nothing, and is noted; alone it is read, under the model's name."""
    save(tmp_path, [row(0)])
    save(tmp_path / "m", [row(0, preference=2)], JUDGE)
    battles = alpaca_eval.read(tmp_path)
    assert battles.games["outcome"].tolist() == [0.25]
    assert kinds(battles)["nested_duplicate"] == 1
    (tmp_path / "m" / JUDGE / "annotations.json").unlink()
    alone = alpaca_eval.read(tmp_path)
    assert alone.models == ("m",)
    assert alone.games["outcome"].tolist() == [1]


def test_differing_baseline_answers_are_kept_apart(tmp_path: Path) -> None:
    """Two files whose baseline text differs give two answer rows and a note."""
    save(tmp_path, [row(0, generator_2="a")], "a")
    save(tmp_path, [row(0, generator_2="b", output_1="another")], "b")
    battles = alpaca_eval.read(tmp_path)
    assert list(battles.games["opponent_answer"].map(battles.answers["text"])) == ["base 0", "another"]
    assert kinds(battles)["baseline_differs"] == 1


def test_several_judges_are_told_apart(tmp_path: Path) -> None:
    """The same row by another annotator is another game, of unknown order if nothing tells its slot."""
    save(tmp_path, [row(0)])
    save(tmp_path, [row(0, annotator="other")], judge="other")
    battles = alpaca_eval.read(tmp_path)
    assert dict(zip(battles.games["judge"], battles.games["order"], strict=True))["other"] == "unknown"
    assert len(battles.games) == 2
    assert battles.dropped.empty


def completion(first: float) -> dict[str, object]:
    """A raw completion in which the judge gives the first-shown answer the probability `first`."""
    top = [{"token": "m", "logprob": math.log(first)}, {"token": "M", "logprob": math.log(1 - first)}]
    return {"logprobs": {"content": [{"token": "m", "top_logprobs": top}]}, "text": "m"}


def test_log_probabilities_tell_the_slot(tmp_path: Path) -> None:
    """Where the log-probabilities say another slot than the formula, theirs is used and the row counted."""
    want = [alpaca_eval.model_first(f"Question {i}?") for i in range(4)]
    # P(first shown) = 0.8: the model wins with 0.8 if it was shown first, with 0.2 if second.
    agreeing = [
        row(i, preference=1.8 if first else 1.2, raw_completion=completion(0.8)) for i, first in enumerate(want)
    ]
    assert "slot_differs" not in kinds(alpaca_eval.read(save(tmp_path / "x", agreeing)))
    turned = [*agreeing[:3], {**agreeing[3], "preference": 3 - float(str(agreeing[3]["preference"]))}]
    battles = alpaca_eval.read(save(tmp_path / "y", turned))
    assert kinds(battles)["slot_differs"] == 1
    assert battles.games["order"].iloc[3] == ("model_second" if want[3] else "model_first")
    other = alpaca_eval.read(save(tmp_path / "z", [{**r, "annotator": "mine"} for r in agreeing], judge="mine"))
    assert [order == "model_first" for order in other.games["order"]] == want


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3), lambda s: st.lists(s, max_size=2) | st.dictionaries(st.sampled_from(["logprobs", "content", "top_logprobs", "token", "logprob"]), s, max_size=3), max_leaves=8))  # fmt: skip
def test_any_raw_completion_is_harmless(raw: object) -> None:
    """The raw completion is evidence only: whatever it is, reading goes on."""
    assert alpaca_eval._slot_shown({"raw_completion": raw}, 1.2) in {"unknown", "model_first", "model_second"}


def test_model_is_called_as_its_folder(tmp_path: Path) -> None:
    """The published list names a submission by its folder; another ``generator_2`` is noted."""
    save(tmp_path, [row(0, generator_2="example")], "Real-Name")
    battles = alpaca_eval.read(tmp_path)
    assert battles.models == ("Real-Name",)
    assert kinds(battles)["name_differs"] == 1


def test_single_file_takes_names_from_its_rows(tmp_path: Path) -> None:
    """A file outside a results folder may hold several models."""
    path = tmp_path / "all.json"
    path.write_text(json.dumps([row(0, generator_2="a"), row(0, generator_2="b")]))
    assert alpaca_eval.recognise(path)
    assert alpaca_eval.read(path).models == ("a", "b")


def test_model_outputs_add_what_was_not_judged(tmp_path: Path) -> None:
    """Answers without a judgment are kept; judged answers that are not the model's own output are counted."""
    save(tmp_path, [row(0), row(1)])
    outputs = [
        {"instruction": f"Question {i}?", "output": text, "generator": "m", "dataset": "koala"}
        for i, text in enumerate(["mine 0", "a better one", "never judged"])
    ]
    (tmp_path / "m" / "model_outputs.json").write_text(json.dumps(outputs))
    battles = alpaca_eval.read(tmp_path)
    mine = battles.answers[battles.answers["model"] == "m"]
    assert list(mine["text"]) == ["mine 0", "mine 1", "never judged"]
    assert (kinds(battles)["unjudged"], kinds(battles)["answer_differs"]) == (1, 1)
    assert len(battles.prompts) == 3
    assert len(battles.inputs) == 2


def test_reasoning_trace_never_is_answer(tmp_path: Path) -> None:
    """A leading trace is kept apart from the answer."""
    save(tmp_path, [row(0, output_2="<think>hm</think>\n\nyes")])
    answer = alpaca_eval.read(tmp_path).answers.iloc[0]
    assert (answer["text"], answer["trace"]) == ("yes", "hm")


def test_expected_is_the_sets_own_size_elsewhere(tmp_path: Path) -> None:
    """Prompts that are not AlpacaEval's are not measured against 805."""
    save(tmp_path, [row(i, dataset="own", generator_2="a") for i in range(3)], "a")
    save(tmp_path, [row(0, dataset="own", generator_2="b")], "b")
    battles = alpaca_eval.read(tmp_path)
    assert battles.benchmark.expected == 3
    assert [(n.model, n.count) for n in battles.notes if n.kind == "missing"] == [("b", 2)]


def test_baseline_against_itself_is_no_game(tmp_path: Path) -> None:
    """The baseline's own file would be 805 ties with itself."""
    save(tmp_path, [row(0)])
    save(tmp_path, [row(0, generator_2="gpt4_1106_preview", preference=1.5)], "gpt4_1106_preview")
    battles = alpaca_eval.read(tmp_path)
    assert battles.models == ("m",)
    assert list(battles.dropped["reason"]) == ["self"]


@pytest.mark.parametrize("name", ["../../x", "=cmd()", "\x1b[31mred", "a/b@together", "\ud800", "x" * 5000])
def test_hostile_names_are_data(tmp_path: Path, name: str) -> None:
    """A name is never a path, a formula or a control sequence: it comes back as it was, also through writing."""
    path = tmp_path / "in.json"
    path.write_text(json.dumps([row(0, generator_2=name)]))
    battles = alpaca_eval.read(path)
    clean = name.replace("\ud800", "\ufffd")
    assert battles.models == (clean,)
    target = tmp_path / "out" / "results"
    alpaca_eval.write(battles, target)
    assert alpaca_eval.read(target).models == (clean,)
    assert {p.name for p in tmp_path.iterdir()} == {"in.json", "out"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"results"}


@pytest.mark.parametrize("single", [True, False])
def test_written_results_are_read_back_equal(tmp_path: Path, single: bool) -> None:
    """Writing loses nothing that it accepts: games, answers and prompts are the same tables."""
    rows = [row(i, preference=value) for i, value in enumerate([1.0, 1.5, None, 1.123456789])]
    save(tmp_path / "in", rows)
    battles = alpaca_eval.read(tmp_path / "in")
    target = tmp_path / ("out.json" if single else "out")
    alpaca_eval.write(battles, target)
    again = alpaca_eval.read(target)
    for table in ("games", "answers", "prompts"):
        pd.testing.assert_frame_equal(getattr(again, table), getattr(battles, table))


def one_game(**other: object) -> Battles:
    game: dict[str, object] = {
        "prompt_id": "p", "model": "m", "opponent": "b", "judge": "j", "order": "unknown", "label": "", "outcome": 1.0,
        "weight": 1.0, "variant": "", "turn": 1, "gold": math.nan, "answer": -1, "opponent_answer": -1,
    }  # fmt: skip
    columns = {name: [{**game, **other}[name]] for name in GAME_COLUMNS}
    return Battles.build(Benchmark("x"), games=frame(GAME_COLUMNS, columns))


@pytest.mark.parametrize(
    ("battles", "words"),
    [
        (one_game(label="A>B", weight=3.0), "label, weight"),
        (one_game(turn=2, gold=1.0, variant="null"), "variant, turn, gold"),
        (one_game(), "answers are not recorded"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path: Path, battles: Battles, words: str) -> None:
    """A conversion that would lose something writes nothing and says what."""
    with pytest.raises(InputError, match=words):
        alpaca_eval.write(battles, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("table", "column", "value", "words"),
    [
        ("games", "order", "unknown", "the order of the answers"),
        ("games", "prompt_id", "elsewhere", "prompts without a text"),
        ("prompts", "text", "the same", "prompts without a text of their own"),
        ("games", "model", "one", "several games of one judge"),
    ],
)
def test_what_a_row_cannot_say_is_named(tmp_path: Path, table: str, column: str, value: str, words: str) -> None:
    """Order, ids and repeated games that AlpacaEval's rows cannot carry are refused."""
    rows = [row(i, generator_2=m) for m, i in (("a", 0), ("b", 0), ("b", 1))]
    path = tmp_path / "in.json"
    path.write_text(json.dumps(rows))
    battles = alpaca_eval.read(path)
    getattr(battles, table)[column] = value
    with pytest.raises(InputError, match=words):
        alpaca_eval.write(battles, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folder_named_like_the_file(tmp_path: Path) -> None:
    """A folder called annotations.json is no recording."""
    (tmp_path / "annotations.json").mkdir()
    assert not alpaca_eval.recognise(tmp_path)
    with pytest.raises(InputError, match=r"no annotations\.json below this folder"):
        alpaca_eval.read(tmp_path)
