"""Prompts and recorded answers are read from every shape that they come in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.formats import run_folder
from auditkit.judging.inputs import read_answers, read_prompts
from auditkit.records import Battles


def lines(path: Path, *records: object) -> Path:
    """Write JSON Lines."""
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def test_prompts_of_every_benchmark_are_read(tmp_path: Path) -> None:
    """Arena-Hard old and new, MT-Bench, AlpacaEval, WildBench, our own and plain ones."""
    shapes: list[tuple[dict[str, object], tuple[str, ...], str, str]] = [
        ({"uid": "u", "category": "hard_prompt", "prompt": "P"}, ("P",), "u", "arena_hard"),
        ({"question_id": "u", "category": "arena-hard-v0.1", "turns": [{"content": "P"}]}, ("P",), "u", "arena_hard"),
        ({"question_id": 81, "category": "math", "turns": ["P", "Q"], "reference": ["R", "S"]}, ("P", "Q"), "81", "mt_bench"),
        ({"session_id": "u", "conversation_input": [{"role": "user", "content": "P"}]}, ("P",), "u", "wildbench"),
        ({"prompt_id": "u", "text": "P", "category": "", "cluster": "", "language": ""}, ("P",), "u", ""),
        ({"id": "u", "prompt": "P"}, ("P",), "u", ""),
    ]  # fmt: skip
    for number, (record, turns, key, kind) in enumerate(shapes):
        found = read_prompts(lines(tmp_path / f"{number}.jsonl", record))
        assert (found.prompts[0].turns, found.prompts[0].id, found.format) == (turns, key, kind)
    alpaca = tmp_path / "outputs.json"
    alpaca.write_text(json.dumps([{"instruction": "P", "output": "A", "generator": "m", "dataset": "koala"}]))
    assert read_prompts(alpaca).prompts[0].category == "koala"
    table = tmp_path / "prompts.csv"
    table.write_text('prompt_id,prompt,category\n1,"P, and\nmore",essay\n')
    assert read_prompts(table).prompts[0].turns == ("P, and\nmore",)


def test_real_question_files_are_read(shared_data: Path) -> None:
    """The published files, whole."""
    arena = read_prompts(shared_data / "arena_hard" / "arena-hard-v2.0")
    assert (len(arena.prompts), arena.format, arena.version) == (750, "arena_hard", "v2.0")
    mt = read_prompts(shared_data / "mt_bench" / "question.jsonl")
    assert len(mt.prompts) == 80
    assert all(len(prompt.turns) == 2 for prompt in mt.prompts)
    answers = read_answers(
        next((shared_data / "arena_hard" / "arena-hard-v2.0" / "model_answer").glob("llama*.jsonl")), arena.prompts
    )
    assert len(answers.answers) > 700


def test_a_recording_gives_prompts_and_answers(simulate: Callable[..., Battles], tmp_path: Path) -> None:
    """A run folder without loose prompt files is read through the formats."""
    battles = simulate({"honest": 0.4}, prompts=20)
    run_folder.write(battles, tmp_path / "run")
    prompts = read_prompts(tmp_path / "run")
    assert len(prompts.prompts) == 20
    answers = read_answers(tmp_path / "run", prompts.prompts, "honest")
    assert len(answers.answers) == 20
    with pytest.raises(InputError, match="several models"):
        read_answers(tmp_path / "run", prompts.prompts)


def test_answers_of_every_shape_are_matched_to_their_prompts(tmp_path: Path) -> None:
    """By id or by the prompt's text, never by place; traces are split off; one row a turn is joined."""
    prompts = read_prompts(
        lines(tmp_path / "p.jsonl", {"id": "a", "prompt": "first?"}, {"id": "b", "prompt": "second?"})
    ).prompts
    shapes = [
        {"uid": "b", "model": "m", "messages": [{"role": "assistant", "content": {"answer": "said"}}]},
        {"question_id": "b", "model_id": "m", "choices": [{"turns": [{"content": "said"}]}]},
        {"question_id": "b", "model_id": "m", "choices": [{"turns": ["said"]}]},
        {"instruction": "second?", "output": "said", "generator": "m"},
        {"session_id": "b", "output": ["said"], "generator": "m"},
        {"prompt_id": "b", "model": "m", "turn": 1, "text": "<think>hm</think>said", "trace": "", "finish": "stop"},
        {"prompt": "second?", "answer": "said"},
    ]
    for number, record in enumerate(shapes):
        found = read_answers(lines(tmp_path / f"{number}.jsonl", record), prompts)
        assert {key: answer.turns for key, answer in found.answers.items()} == {"b": ("said",)}
    trace = read_answers(tmp_path / "5.jsonl", prompts)
    assert (trace.answers["b"].trace, trace.answers["b"].finish, trace.model) == ("hm", "stop", "m")
    assert read_answers(tmp_path / "6.jsonl", prompts).model == "6"


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"id": "a"}], "line 1: no prompt"),
        ([{"id": "a", "prompt": ""}], "line 1: the prompt is empty"),
        ([{"id": "a", "prompt": "x"}, {"id": "a", "prompt": "y"}], "line 2: a second prompt with the id 'a'"),
        ([{"id": [1], "prompt": "x"}], "line 1: field 'id'"),
        ([{"id": "a", "turns": [1]}], "line 1: field 'turns'"),
        ([{"id": "a", "conversation_input": [{"role": "assistant", "content": "x"}]}], "user's turn"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_named(tmp_path: Path, records: list[object], message: str) -> None:
    """File, line and what is wrong."""
    with pytest.raises(InputError, match=message):
        read_prompts(lines(tmp_path / "p.jsonl", *records))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": "a"}, "no answer"),
        ({"answer": "x"}, "without the id or the text"),
        ({"id": "zzz", "answer": "x"}, "none of these answers"),
        ({"id": "a", "choices": [{"turns": ["x", "y"]}]}, "2 turns, but the prompt has 1"),
        ({"id": "a", "answer": None}, "no answers"),
    ],
)
def test_an_answer_that_cannot_be_used_is_named(tmp_path: Path, record: object, message: str) -> None:
    """What is wrong, in one line."""
    prompts = read_prompts(lines(tmp_path / "p.jsonl", {"id": "a", "prompt": "x?"})).prompts
    with pytest.raises(InputError, match=message):
        read_answers(lines(tmp_path / "a.jsonl", record), prompts)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), suffix=st.sampled_from([".jsonl", ".json", ".csv"]))
def test_no_bytes_are_a_traceback(tmp_path: Path, data: bytes, suffix: str) -> None:
    """Whatever a file holds, the answer is prompts or an `InputError` of one line."""
    path = tmp_path / f"p{suffix}"
    path.write_bytes(data)
    try:
        prompts = read_prompts(path).prompts
        read_answers(path, prompts)
    except InputError as error:
        assert "\n" not in str(error)
