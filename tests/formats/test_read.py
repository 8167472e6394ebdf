"""Reading by recognition: the right format is found, and what cannot be read is one clear line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import auditkit.formats
from auditkit import registry
from auditkit.errors import InputError, UnknownFormat, UsageError
from auditkit.formats import convert, read, read_each

PAIR = {"prompt_id": "p", "model": "a", "opponent": "b", "outcome": 0.5}
ALPACA = {
    "instruction": "Q?", "output_1": "b", "generator_1": "gpt4_1106_preview", "dataset": "koala", "output_2": "a",
    "generator_2": "m", "annotator": "weighted_alpaca_eval_gpt4_turbo", "preference": 1.5,
}  # fmt: skip
ARENA = {"uid": "q", "judge": "j", "model": "m", "games": [{"score": "A>B"}, {"score": "B>A"}]}


def save(path: Path, *records: object, whole: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(records) if whole else "".join(json.dumps(r) + "\n" for r in records))
    return path


def test_own_formats_are_whole() -> None:
    """Every format that ships has a title, a recogniser and a reader."""
    for name, plugin in registry.plugins("formats").items():
        found = plugin.load()
        assert found.TITLE, name
        assert callable(found.recognise), name
        assert callable(found.read), name


def test_formats_are_recognised(tmp_path: Path) -> None:
    """Each recording is read by its own format without being told."""
    paths = {
        "pairs": save(tmp_path / "games.jsonl", PAIR),
        "alpaca_eval": save(tmp_path / "m.json", ALPACA, whole=True),
        "arena_hard": save(tmp_path / "judged.jsonl", ARENA),
    }
    for name, path in paths.items():
        assert read(path).benchmark.format == name
        assert read(str(path), format=name).benchmark.format == name
    assert convert(paths["pairs"], tmp_path / "run", to="run_folder").benchmark.format == "pairs"
    claims = [n for n, p in registry.plugins("formats").items() if p.load().recognise(tmp_path / "run")]
    assert claims == ["run_folder"]


def test_real_folders_have_one_reader(shared_data: Path) -> None:
    """Every folder of public recordings with judgments is claimed by exactly one format."""
    expected = {"alpaca_eval": "alpaca_eval", "alpaca_eval/results": "alpaca_eval", "arena_hard": "arena_hard"}
    for folder, name in expected.items():
        claims = [n for n, p in registry.plugins("formats").items() if p.load().recognise(shared_data / folder)]
        assert claims == [name]


def test_several_paths_are_joined(tmp_path: Path) -> None:
    """Games of several files are one table, in the order given."""
    paths = [save(tmp_path / f"{m}.jsonl", {**PAIR, "model": m}) for m in "ca"]
    battles = read(*paths)
    assert battles.games["model"].tolist() == ["c", "a"]
    assert len(battles.inputs) == 2


def test_unknown_format_lists_the_known(tmp_path: Path) -> None:
    """The error says what could be read."""
    with pytest.raises(UnknownFormat) as caught:
        read(save(tmp_path / "x.json", {"a": 1}))
    for name in registry.plugins("formats"):
        assert name in str(caught.value)
    with pytest.raises(UsageError, match="no formats plugin is named 'x'"):
        read(tmp_path, format="x")
    with pytest.raises(UsageError, match="no path"):
        read()


def test_two_claims_name_both(tmp_path: Path) -> None:
    """A folder of two recordings is not guessed at."""
    save(tmp_path / "in/results/m/weighted_alpaca_eval_gpt4_turbo/annotations.json", ALPACA, whole=True)
    save(tmp_path / "in/results/model_judgment/j/m.jsonl", ARENA)
    with pytest.raises(InputError, match=r"alpaca_eval or arena_hard.*--format alpaca_eval"):
        read(tmp_path / "in")
    assert read(tmp_path / "in", format="alpaca_eval").benchmark.format == "alpaca_eval"
    assert read(tmp_path / "in", format="arena_hard").benchmark.format == "arena_hard"


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, empty, compressed, looping and special paths each have a line of their own, with and without a format."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / ".x").write_text("{}")
    (tmp_path / "zero.json").touch()
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04....")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "round").mkdir()
    (tmp_path / "round" / "again").symlink_to(tmp_path / "round")
    os.mkfifo(tmp_path / "pipe")
    lines = {
        "none": "no such file or folder",
        "empty": "the folder holds no files",
        "hidden": "the folder holds no files",
        "round": "the folder holds no files",
        "zero.json": "the file is empty",
        "x.zip": r"a zip archive is not read \(unpack it",
        "loop": "no such file or folder|loop",
        "pipe": "pipe",
        "n" * 300: "cannot be used",
        "a\0b": "cannot be used|no such file",
    }
    for name, words in lines.items():
        for format_name in (None, "pairs", "alpaca_eval"):
            with pytest.raises(InputError, match=words) as caught:
                read(tmp_path / name, format=format_name)
            assert "\n" not in str(caught.value)


def test_keep_going_keeps_the_others(tmp_path: Path) -> None:
    """A damaged input is reported, the results of the others are kept; without the option it stops."""
    good = [save(tmp_path / f"{m}.jsonl", {**PAIR, "model": m}) for m in "ac"]
    bad = tmp_path / "b.jsonl"
    bad.write_text(json.dumps(PAIR) + '\n{"model":')
    parts, errors = read_each([good[0], bad, good[1]], keep_going=True)
    assert [p.models for p in parts] == [("a",), ("c",)]
    assert [str(e.path) for e in errors] == [str(bad)]
    assert "line 2" in str(errors[0])
    with pytest.raises(InputError, match="line 2"):
        read_each([good[0], bad, good[1]])


def test_a_recording_counts_once(tmp_path: Path) -> None:
    """The same file by two names, or a folder and a file in it, would count games twice."""
    path = save(tmp_path / "d" / "a.jsonl", PAIR)
    (tmp_path / "link.jsonl").symlink_to(path)
    for other in (path, tmp_path / "link.jsonl", tmp_path / "d", tmp_path / "d" / ".." / "d" / "a.jsonl"):
        for keep_going in (True, False):
            with pytest.raises(InputError, match="count twice"):
                read_each([path, other], keep_going=keep_going)


def test_public_names_are_sorted() -> None:
    """`__all__` is the public door, in order, and everything in it exists."""
    names = auditkit.formats.__all__
    assert names == sorted(names)
    assert all(hasattr(auditkit.formats, name) for name in names)


def test_the_same_games_in_two_recordings_count_once(tmp_path: Path) -> None:
    """A submission given twice under two paths keeps one copy; the other is counted and noted."""
    rows = [{**PAIR, "prompt_id": f"p{i}"} for i in range(5)]
    one = save(tmp_path / "one.jsonl", *rows)
    two = save(tmp_path / "two.jsonl", *rows[:4], {**PAIR, "prompt_id": "new"})
    battles = read(one, two)
    assert len(battles.games) == 6
    assert (battles.dropped["reason"] == "duplicate").sum() == 4
    assert [(n.kind, n.count, n.model) for n in battles.notes] == [("duplicate", 4, "a")]


def test_recordings_without_a_common_opponent_are_refused(tmp_path: Path) -> None:
    """Scores against different baselines, or of an arena and against a baseline, have no common scale."""
    star = save(tmp_path / "star.jsonl", PAIR)
    other = save(tmp_path / "other.jsonl", {**PAIR, "opponent": "c"})
    arena = save(
        tmp_path / "arena.jsonl", {**PAIR, "model": "a", "opponent": "d"}, {**PAIR, "model": "d", "opponent": "a"}
    )
    for paths in ((star, other), (star, arena), (arena, star)):
        with pytest.raises(InputError, match="cannot be compared"):
            read(*paths)
    assert read(star, save(tmp_path / "more.jsonl", {**PAIR, "model": "e"})).models == ("a", "e")
