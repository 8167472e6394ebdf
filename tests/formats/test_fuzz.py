"""Hostile files: whatever is in them, reading gives a recording or one clear `InputError`, never anything else."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.formats import read
from auditkit.records import Battles

PAIR = {
    "prompt_id": "p", "model": "a", "opponent": "b", "outcome": 0.5, "answer": "x", "opponent_answer": "y",
    "order": "unknown", "weight": 1.0, "turn": 1, "gold": 1, "judge": "j", "label": "l",
}  # fmt: skip
ALPACA = {
    "instruction": "Q?", "output_1": "b", "generator_1": "gpt4_1106_preview", "dataset": "koala", "output_2": "a",
    "generator_2": "m", "annotator": "weighted_alpaca_eval_gpt4_turbo", "preference": 1.5,
    "raw_completion": {"logprobs": {"content": [{"top_logprobs": [{"token": "m", "logprob": -0.1}]}]}},
}  # fmt: skip
OUTPUT = {"instruction": "R?", "output": "a", "dataset": "koala"}
QUESTION = {"uid": "q", "category": "arena-hard-v0.1", "cluster": "c", "prompt": "Q?"}
OLD_QUESTION = {"question_id": "r", "category": "arena-hard-v0.1", "turns": [{"content": "Q?"}]}
SHOWN = "<|The Start of Assistant A's Answer|>\nx\n<|The End of Assistant A's Answer|>"
GAME = {"score": "A>B", "judgment": {"answer": "…"}, "prompt": [{"role": "user", "content": SHOWN}]}
JUDGED = {"uid": "q", "judge": "j", "model": "m", "games": [GAME, {"score": "B>>A", "user_prompt": SHOWN}]}
ANSWER = {
    "uid": "q", "model": "m", "metadata": {"token_len": 1},
    "messages": [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": {"answer": "a", "thought": "t"}}],
}  # fmt: skip
OLD_ANSWER = {
    "question_id": "r", "model_id": "m", "choices": [{"index": 0, "turns": [{"content": "a", "token_len": 3}]}],
    "conv_metadata": {"x": 1},
}  # fmt: skip
RUN_GAME = {
    "prompt_id": "p", "model": "m", "opponent": "b", "judge": "j", "order": "unknown", "label": "", "outcome": 1.0,
    "weight": 1.0, "variant": "", "turn": 1, "gold": None, "answer": 0, "opponent_answer": -1,
}  # fmt: skip
RUN_ANSWER = {"prompt_id": "p", "model": "m", "turn": 1, "text": "t", "trace": "", "finish": "", "declared": ""}
RUN_NOTE = {"kind": "k", "text": "t", "count": 1, "path": "", "model": ""}
TOML = b'schema = "auditkit.run/1"\n[benchmark]\nname = "x"\nbaselines = ["b"]\nexpected = 3\nsimulated = true\n'


def lines(*records: object) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def table(kind: str) -> bytes:
    rows = pd.DataFrame([PAIR, {**PAIR, "model": "c"}])
    buffer = io.BytesIO()
    if kind == "csv":
        rows.to_csv(buffer, index=False)
    else:
        rows.to_parquet(buffer)
    return buffer.getvalue()


#: A small valid recording of every kind: the files by name, and the path to read.
SEEDS: dict[str, tuple[str, str, dict[str, bytes]]] = {
    "pairs.jsonl": ("pairs", "x.jsonl", {"x.jsonl": lines(PAIR, PAIR)}),
    "pairs.csv": ("pairs", "x.csv", {"x.csv": table("csv")}),
    "pairs.parquet": ("pairs", "x.parquet", {"x.parquet": table("parquet")}),
    "alpaca_eval": (
        "alpaca_eval", "results", {
            f"results/m/{ALPACA['annotator']}/annotations.json": json.dumps([ALPACA]).encode(),
            "results/m/model_outputs.json": json.dumps([OUTPUT]).encode(),
        },
    ),
    "arena_hard": (
        "arena_hard", "b", {
            "b/question.jsonl": lines(QUESTION, OLD_QUESTION),
            "b/model_answer/m.jsonl": lines(ANSWER, OLD_ANSWER),
            "b/model_judgment/j/m.jsonl": lines(JUDGED),
        },
    ),
    "run_folder": (
        "run_folder", "run", {
            "run/run.toml": TOML, "run/games.jsonl": lines(RUN_GAME), "run/answers.jsonl": lines(RUN_ANSWER),
            "run/notes.jsonl": lines(RUN_NOTE),
        },
    ),
}  # fmt: skip

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut, overwrite or insert somewhere."""
    at = draw(st.integers(0, len(content)))
    noise = draw(st.binary(max_size=6))
    how: dict[str, Callable[[], bytes]] = {
        "cut": lambda: content[:at],
        "overwrite": lambda: content[:at] + noise + content[at + len(noise) :],
        "insert": lambda: content[:at] + noise + content[at:],
        "replace": lambda: noise,
    }
    return how[draw(st.sampled_from(sorted(how)))]()


def changed(draw: st.DrawFn, value: Any) -> Any:
    """Replace, remove or rename one part of a JSON value, at any depth."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 6)) == 0:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: changed(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], changed(draw, value[at]), *value[at + 1 :]]
    return draw(anything)


def mutated(draw: st.DrawFn, name: str, content: bytes) -> bytes:
    if not name.endswith((".json", ".jsonl")) or draw(st.booleans()):
        return damaged(draw, content)
    if name.endswith(".json"):
        return json.dumps(changed(draw, json.loads(content))).encode()
    records = [json.loads(line) for line in content.splitlines()]
    at = draw(st.integers(0, len(records) - 1))
    records[at] = changed(draw, records[at])
    return lines(*records)


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.mark.parametrize("kind", SEEDS)
def test_seeds_are_valid(tmp_path: Path, kind: str) -> None:
    """The files that are damaged below are good before: otherwise the test would see only their errors."""
    name, place, files = SEEDS[kind]
    put(tmp_path, files)
    battles = read(tmp_path / place)
    assert len(battles.games) > 0
    assert battles.benchmark.format in {name, "run_folder"}


@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damage_is_one_clear_line(tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject) -> None:
    """A damaged recording is read or refused in one line, by its format and by recognition."""
    name, place, files = SEEDS[kind]
    folder = tmp_path_factory.mktemp("fuzz")
    victim = data.draw(st.sampled_from(sorted(files)))

    @st.composite
    def content(draw: st.DrawFn) -> bytes:
        return mutated(draw, victim, files[victim])

    put(folder, {**files, victim: data.draw(content())})
    for chosen in (name, None):
        try:
            battles = read(folder / place, format=chosen)
        except InputError as error:
            line = str(error)
            assert line.isprintable()
            assert len(line) < 1500
        else:
            usable(battles)


def usable(battles: Battles) -> None:
    """Check that what was read can be counted, listed and written as UTF-8."""
    assert battles.games["outcome"].dropna().between(0, 1).all()
    for model in battles.models:
        model.encode()
    for note in battles.notes:
        f"{note.text}{note.path}{note.model}".encode()
    for names in (battles.answers["text"], battles.prompts["text"], battles.dropped["where"]):
        for text in names:
            text.encode()


@pytest.mark.parametrize("kind", ["pairs.jsonl", "alpaca_eval", "arena_hard", "run_folder"])
def test_ten_megabytes_in_one_field(tmp_path: Path, kind: str) -> None:
    """A huge answer is an answer."""
    name, place, files = SEEDS[kind]
    field = {"pairs.jsonl": '"x"', "alpaca_eval": '"a"', "arena_hard": '"a"', "run_folder": '"t"'}[kind].encode()
    big = {n: c.replace(field, b'"' + b"A" * 10_000_000 + b'"', 1) for n, c in files.items() if b"schema" not in c}
    put(tmp_path, {**files, **big})
    battles = read(tmp_path / place)
    assert battles.benchmark.format in {name, "run_folder"}
    assert battles.answers["text"].str.len().max() >= 10_000_000
