"""MT-Bench in FastChat's shapes: ratings by turn, two games a pairwise row, bad input is one line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.formats import mt_bench

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def question(number: int) -> dict[str, object]:
    return {"question_id": number, "category": "writing", "turns": [f"Write {number}.", "Shorter."]}


def answer(number: int, model: str) -> dict[str, object]:
    turns = [f"<think>hm</think>{model} {number}", f"{model} again"]
    return {"question_id": number, "answer_id": "x", "model_id": model, "choices": [{"index": 0, "turns": turns}]}


def single(number: int, model: str, score: object, turn: object = 1) -> dict[str, object]:
    return {
        "question_id": number, "model": model, "judge": ["gpt-4", "single-v1"], "user_prompt": "", "judgment": "",
        "score": score, "turn": turn, "tstamp": 0.0,
    }  # fmt: skip


def pair(number: int, one: str, two: str, first: object, second: object, turn: int = 1) -> dict[str, object]:
    return {
        "question_id": number, "model_1": one, "model_2": two, "g1_winner": first, "g2_winner": second,
        "judge": ["gpt-4", "pair-v2"], "g1_judgment": "", "g2_judgment": "", "turn": turn, "tstamp": 0.0,
    }  # fmt: skip


def save(path: Path, *records: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def folder(root: Path) -> Path:
    """A small bench: two questions, two models, everything judged in both modes."""
    save(root / "question.jsonl", question(81), question(82))
    for model in ("a", "b"):
        save(root / "model_answer" / f"{model}.jsonl", answer(81, model), answer(82, model))
    save(root / "reference_answer" / "gpt-4.jsonl", answer(81, "gpt-4"))
    save(
        root / "model_judgment" / "gpt-4_single.jsonl",
        *(single(q, m, 8 + (m == "a"), t) for q in (81, 82) for m in "ab" for t in (1, 2)),
    )
    save(root / "model_judgment" / "gpt-4_pair.jsonl", pair(81, "a", "b", "model_1", "tie"))
    return root


def test_folder_is_one_recording(tmp_path: Path) -> None:
    """Questions, answers, ratings and games fit together; reference answers are no submission."""
    battles = mt_bench.read(folder(tmp_path))
    assert mt_bench.recognise(tmp_path)
    assert battles.prompts["text"].tolist() == ["Write 81.\n\nShorter.", "Write 82.\n\nShorter."]
    assert len(battles.ratings) == 8
    assert set(battles.answers["model"]) == {"a", "b"}
    rated = battles.ratings.merge(battles.answers, left_on="answer", right_index=True)
    assert (rated["turn_x"] == rated["turn_y"]).all()
    assert (rated["model_x"] == rated["model_y"]).all()
    assert battles.answers.loc[0, "text"] == "a 81"
    assert battles.answers.loc[0, "trace"] == "hm"
    assert battles.benchmark.expected == 2


def test_a_row_is_two_games(tmp_path: Path) -> None:
    """Game 1 shows model_1 first, game 2 shows it second; the winner is named, not placed."""
    games = mt_bench.read(folder(tmp_path)).games
    assert games["order"].tolist() == ["model_first", "model_second"]
    assert games["outcome"].tolist() == [1.0, 0.5]
    assert games["label"].tolist() == ["model_1", "tie"]


def test_a_file_finds_what_lies_around_it(tmp_path: Path) -> None:
    """One judgment file is enough: the questions and answers of its bench come along, other judgments do not."""
    battles = mt_bench.read(folder(tmp_path) / "model_judgment" / "gpt-4_single.jsonl")
    assert len(battles.prompts) == 2
    assert (battles.ratings["answer"] >= 0).all()
    assert battles.games.empty


@pytest.mark.parametrize(
    ("score", "kind"), [(-1, "unparsed"), (None, "unparsed"), (0, "out_of_range"), (100, "out_of_range")]
)
def test_unusable_rating_is_missing_and_counted(tmp_path: Path, score: object, kind: str) -> None:
    """FastChat's -1 and its unchecked 100 are no ratings."""
    battles = mt_bench.read(save(tmp_path / "j.jsonl", single(81, "a", score), single(82, "a", 10)))
    assert math.isnan(battles.ratings["score"][0])
    assert battles.ratings["score"][1] == 10
    assert [(n.kind, n.count) for n in battles.notes] == [(kind, 1)]
    assert battles.benchmark.expected == 80


def test_errors_are_missing_games(tmp_path: Path) -> None:
    """``error`` and anything else that names no winner is NaN and counted."""
    rows = pair(81, "a", "b", "error", "model_2"), pair(82, "a", "b", None, "model_3")
    battles = mt_bench.read(save(tmp_path / "j.jsonl", *rows))
    assert battles.games["outcome"].isna().tolist() == [True, False, True, True]
    assert [(n.kind, n.count) for n in battles.notes] == [("unparsed", 3)]


def test_baseline_is_the_one_second_model(tmp_path: Path) -> None:
    """In FastChat's baseline mode the second model never changes; in all-pairs mode there is no baseline."""
    against_one = [pair(81, m, "base", "tie", "tie") for m in "ab"]
    assert mt_bench.read(save(tmp_path / "j.jsonl", *against_one)).benchmark.baselines == {"base"}
    everyone = [*against_one, pair(81, "a", "b", "tie", "tie")]
    assert not mt_bench.read(save(tmp_path / "j.jsonl", *everyone)).benchmark.baselines


def test_duplicates_are_dropped_and_listed(tmp_path: Path) -> None:
    """The first judgment of a question, model and turn counts."""
    rows = single(81, "a", 3), single(81, "a", 9), pair(81, "a", "b", "tie", "tie"), pair(81, "a", "b", "tie", "tie")
    save(tmp_path / "model_judgment" / "j_single.jsonl", *rows[:2])
    save(tmp_path / "model_judgment" / "j_pair.jsonl", *rows[2:])
    battles = mt_bench.read(tmp_path)
    assert battles.ratings["score"].tolist() == [3.0]
    assert len(battles.games) == 2
    assert battles.dropped["reason"].tolist() == ["duplicate"] * 2


def test_arena_hard_files_are_left_alone(tmp_path: Path) -> None:
    """Arena-Hard v0.1 has the same names for other shapes."""
    save(tmp_path / "question.jsonl", {"question_id": "q", "turns": [{"content": "Q?"}]})
    save(tmp_path / "judged.jsonl", {"question_id": "q", "model": "m", "judge": "j", "games": [{"score": "A>B"}]})
    assert not mt_bench.recognise(tmp_path)
    assert not mt_bench.recognise(tmp_path / "judged.jsonl")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (single(81, "a", "9"), "'score': expected a number"),
        (single(81, "a", 9, turn=0), "'turn'"),
        (single(81, "a", 9, turn="1"), "'turn'"),
        (single(81, "a", 9) | {"judge": {}}, "'judge'"),
        (single(81, "a", 9) | {"question_id": [1]}, "'question_id'"),
        (single(81, "a", 9) | {"model": None}, "'model'"),
    ],
)
def test_bad_record_is_named(tmp_path: Path, record: dict[str, object], words: str) -> None:
    """The message names the file, the line and the field."""
    path = save(tmp_path / "j.jsonl", single(80, "a", 9), record)
    with pytest.raises(InputError, match="line 2") as error:
        mt_bench.read(path)
    assert words in str(error.value)


def test_bad_answer_is_named(tmp_path: Path) -> None:
    """Answers that are not texts stop the reading where they are."""
    for choices, words in (([], "'choices'"), ([{"turns": ["a", 1]}], "choices[0].turns")):
        save(folder(tmp_path) / "model_answer" / "a.jsonl", answer(81, "a") | {"choices": choices})
        with pytest.raises(InputError) as error:
            mt_bench.read(tmp_path)
        assert words in str(error.value)


def test_a_folder_that_cannot_be_listed_is_not_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recognising never raises; reading says what is wrong."""

    def deny(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", deny)
    assert not mt_bench.recognise(tmp_path)
    with pytest.raises(InputError, match="cannot be listed"):
        mt_bench.read(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    record=st.sampled_from([single(81, "a", 9), pair(81, "a", "b", "tie", "tie"), question(81), answer(81, "a")]),
    data=st.data(),
    value=JSON,
    raw=st.binary(max_size=40),
)
def test_nothing_but_input_errors(
    tmp_path: Path, record: dict[str, object], data: st.DataObject, value: object, raw: bytes
) -> None:
    """Any value in any field of any of the four kinds of file, and any bytes, read or raise `InputError`."""
    field = data.draw(st.sampled_from(sorted(record)))
    good = json.dumps(record).encode()
    path = tmp_path / "fuzz.jsonl"
    for content in (good + b"\n" + json.dumps(record | {field: value}).encode(), good + b"\n" + raw, raw):
        path.write_bytes(content)
        for target in (path, tmp_path):
            mt_bench.recognise(target)
            try:
                mt_bench.read(target)
            except InputError:
                continue


def test_public_questions(shared_data: Path) -> None:
    """The 80 public questions are recognised; without judgments the reader says what is missing."""
    assert mt_bench.recognise(shared_data / "mt_bench")
    with pytest.raises(InputError, match="no judgments"):
        mt_bench.read(shared_data / "mt_bench")


def test_public_questions_with_judgments(shared_data: Path, tmp_path: Path) -> None:
    """With a rating beside them, the 80 questions and their 8 categories are the benchmark."""
    (tmp_path / "question.jsonl").symlink_to(shared_data / "mt_bench" / "question.jsonl")
    path = save(tmp_path / "model_judgment" / "j_single.jsonl", single(81, "a", 9))
    battles = mt_bench.read(path)
    assert battles.benchmark.expected == 80
    assert battles.prompts["category"].value_counts().to_dict() == dict.fromkeys(
        ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"), 10
    )
