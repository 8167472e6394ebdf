"""The run folder: what is written is read back equal, and nothing else is accepted."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.formats import run_folder
from auditkit.records import (
    ANSWER_COLUMNS,
    DROPPED_COLUMNS,
    GAME_COLUMNS,
    PROMPT_COLUMNS,
    RATING_COLUMNS,
    TABLE_COLUMNS,
    Battles,
    Benchmark,
    Note,
    frame,
)

TABLES = ("games", "answers", "prompts", "ratings", "tables", "dropped")

#: Any text that a file can hold.
text = st.text(st.characters(codec="utf-8"), max_size=8)
whole = st.integers(0, 2**40)
finite = st.floats(allow_nan=False, allow_infinity=False)


def rows(columns: dict[str, str], **special: st.SearchStrategy[object]) -> st.SearchStrategy[pd.DataFrame]:
    kinds = {"str": text, "int64": whole, "float64": finite | st.just(math.nan)}
    row = st.tuples(*(special.get(name, kinds[kind]) for name, kind in columns.items()))
    return st.lists(row, max_size=4).map(
        lambda found: frame(columns, {n: [r[i] for r in found] for i, n in enumerate(columns)})
    )


@st.composite
def recordings(draw: st.DrawFn) -> Battles:
    """Any recording with at least one game."""
    answers = draw(rows(dict(ANSWER_COLUMNS)))
    number = st.integers(-1, len(answers) - 1)
    games = draw(
        rows(
            dict(GAME_COLUMNS),
            order=st.sampled_from(["model_first", "model_second", "unknown"]),
            outcome=st.floats(0, 1) | st.just(math.nan),
            weight=st.floats(0.01, 100),
            answer=number,
            opponent_answer=number,
        ).filter(len)
    )
    names = st.frozensets(text, max_size=2)
    return Battles.build(
        Benchmark(
            draw(text), draw(text), draw(text), draw(names), draw(whole), draw(st.sampled_from(["submissions", "judge"])),
            draw(st.booleans()),
        ),
        games=games,
        answers=answers,
        prompts=draw(rows(dict(PROMPT_COLUMNS))),
        ratings=draw(rows(dict(RATING_COLUMNS), answer=number)),
        tables=draw(rows(dict(TABLE_COLUMNS))),
        dropped=draw(rows(dict(DROPPED_COLUMNS))),
        notes=draw(st.lists(st.builds(Note, text, text, whole, text, text), max_size=2)),
    )  # fmt: skip


@given(recordings())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, battles: Battles) -> None:
    """Any recording that is written is read back equal, and writing it again gives the same bytes."""
    folder = tmp_path_factory.mktemp("run")
    run_folder.write(battles, folder / "a")
    again = run_folder.read(folder / "a")
    assert again.benchmark == battles.benchmark
    assert again.notes == battles.notes
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(again, table), getattr(battles, table))
    run_folder.write(again, folder / "b")
    for path in (folder / "a").iterdir():
        assert path.read_bytes() == (folder / "b" / path.name).read_bytes()


def small() -> Battles:
    game = {
        "prompt_id": "p", "model": "m", "opponent": "b", "judge": "j", "order": "unknown", "label": "", "outcome": 1.0,
        "weight": 1.0, "variant": "", "turn": 1, "gold": math.nan, "answer": 0, "opponent_answer": -1,
    }  # fmt: skip
    answer = {"prompt_id": "p", "model": "m", "turn": 1, "text": "t", "trace": "", "finish": "", "declared": ""}
    return Battles.build(
        Benchmark("demo"),
        games=frame(GAME_COLUMNS, {k: [v] for k, v in game.items()}),
        answers=frame(ANSWER_COLUMNS, {k: [v] for k, v in answer.items()}),
    )


def test_other_files_are_not_read(tmp_path: Path) -> None:
    """Reports and a store in the folder change nothing."""
    run_folder.write(small(), tmp_path)
    before = run_folder.read(tmp_path)
    for name in ("report.json", "store.sqlite", "other.jsonl"):
        (tmp_path / name).write_text("not a table")
    after = run_folder.read(tmp_path)
    assert after.inputs == before.inputs
    assert [Path(i.path).name for i in after.inputs] == ["run.toml", "answers.jsonl", "games.jsonl"]
    assert run_folder.recognise(tmp_path)
    assert run_folder.recognise(tmp_path / "run.toml")
    assert run_folder.read(tmp_path / "run.toml").inputs == before.inputs


def test_text_that_looks_like_a_trace_is_not_split_again(tmp_path: Path) -> None:
    """The folder holds tables, not raw answers: nothing in them is interpreted."""
    battles = small()
    answers = battles.answers.assign(text=pd.Series(["<think>a</think>b"], dtype="str"))
    run_folder.write(replace(battles, answers=answers), tmp_path)
    assert run_folder.read(tmp_path).answers["text"].tolist() == ["<think>a</think>b"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answer": 1}, "there are 1 answers"),
        ({"answer": -2}, "there are 1 answers"),
        ({"answer": True}, "'answer': expected a whole number"),
        ({"answer": 2**70}, "'answer': expected a whole number"),
        ({"answer": 0.0}, "'answer': expected a whole number"),
        ({"order": "first"}, "'order'"),
        ({"outcome": 1.5}, "'outcome'"),
        ({"outcome": "1"}, "'outcome': expected a number, got text"),
        ({"weight": 0}, "'weight'"),
        ({"weight": None}, "'weight'"),
        ({"model": None}, "'model': expected text, got null"),
        ({"extra": 1}, "extra"),
    ],
)
def test_records_have_exactly_their_columns(tmp_path: Path, change: dict[str, object], words: str) -> None:
    """A record with another type, range or field is named with its file."""
    run_folder.write(small(), tmp_path)
    path = tmp_path / "games.jsonl"
    path.write_text(json.dumps(json.loads(path.read_text()) | change) + "\n")
    with pytest.raises(InputError, match=words) as caught:
        run_folder.read(tmp_path)
    assert "games.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("schema = 1", "expected schema"),
        ('schema = "auditkit.run/2"\n[benchmark]', "expected schema"),
        ('schema = "auditkit.run/1"', "benchmark"),
        ('schema = "auditkit.run/1"\nbenchmark = 3', "benchmark"),
        ('schema = "auditkit.run/1"\n[benchmark]\nexpected = -1', "expected"),
        ('schema = "auditkit.run/1"\n[benchmark]\nexpected = true', "expected int, got bool"),
        ('schema = "auditkit.run/1"\n[benchmark]\nbaselines = [1]', "baselines"),
        ('schema = "auditkit.run/1"\n[benchmark]\nsubject = "x"', "subject"),
        ('schema = "auditkit.run/1"\n[benchmark]\nname = 1', "name"),
        ("x = " + "[" * 5000, "not TOML"),
        ("schema =", "not TOML"),
    ],
)
def test_damaged_run_file_is_one_clear_line(tmp_path: Path, content: str, words: str) -> None:
    """A run.toml that cannot be used says which field and why."""
    run_folder.write(small(), tmp_path)
    (tmp_path / "run.toml").write_text(content)
    with pytest.raises(InputError, match=words):
        run_folder.read(tmp_path)


def test_folder_without_judgments(tmp_path: Path) -> None:
    """Answers alone are not a recording."""
    run_folder.write(small(), tmp_path)
    (tmp_path / "games.jsonl").unlink()
    with pytest.raises(InputError, match="no judgments"):
        run_folder.read(tmp_path)


def test_the_judges_files_are_kept_with_the_recording(tmp_path: Path) -> None:
    """Written, published and read back equal; joined parts of one run hold their judge once."""
    battles = replace(small(), judges=("a = 1\n", 'b = "ä"\n'))
    run_folder.write(battles, tmp_path / "a")
    run_folder.publish(battles, tmp_path / "b")
    for folder in (tmp_path / "a", tmp_path / "b"):
        assert (folder / "judge.toml").read_text(encoding="utf-8") == "a = 1\n"
        assert (folder / "judge-2.toml").read_text(encoding="utf-8") == 'b = "ä"\n'
        assert run_folder.read(folder).judges == battles.judges
    one = replace(small(), judges=("a = 1\n",))
    assert Battles.concat([battles, one]).judges == battles.judges
    run_folder.publish(one, tmp_path / "b")
    assert run_folder.read(tmp_path / "b").judges == one.judges


@pytest.mark.parametrize("change", ["edited", "removed", "not UTF-8"])
def test_a_judges_file_that_is_not_the_runs_is_not_used(tmp_path: Path, change: str) -> None:
    """It is noted, and the recording is read all the same."""
    run_folder.write(replace(small(), judges=("a = 1\n",)), tmp_path)
    file = tmp_path / "judge.toml"
    if change == "removed":
        file.unlink()
    else:
        file.write_bytes(b"a = 2\n" if change == "edited" else b"\xff")
    read = run_folder.read(tmp_path)
    assert read.judges == ()
    assert [(note.kind, note.path) for note in read.notes] == [("judge_changed", str(file))]


@pytest.mark.parametrize("judges", ["3", '["a", 1]', str([f"{k}" for k in range(99)])])
def test_hashes_of_judges_are_checked(tmp_path: Path, judges: str) -> None:
    """Anything but a short list of texts is refused, naming the field."""
    run_folder.write(small(), tmp_path)
    run = tmp_path / "run.toml"
    run.write_text(run.read_text().replace("\n\n[benchmark]", f"\njudges = {judges}\n\n[benchmark]"))
    with pytest.raises(InputError, match="judges"):
        run_folder.read(tmp_path)
