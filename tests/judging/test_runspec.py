"""The run spec: what is accepted, what is refused and how, and which setting wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import InputError, UsageError
from auditkit.judging.runspec import RunSettings, load_spec, parse_spec

GOOD = """
[benchmark]
path = "question.jsonl"
baseline = "base.jsonl"
[[models]]
name = "candidate"
model = "openai/some-model"
base_url = "http://127.0.0.1:8000/v1"
system = "Be brief."
params = { temperature = 0.7, max_tokens = 512 }
[judge]
use = "arena-hard-v2.0"
model = "openai/judge-model"
[run]
concurrency = 8
max_cost = 25
seed = 7
"""


def test_a_spec_is_read_as_it_is_written() -> None:
    """Every key lands in its field; what is left out has its default."""
    spec = parse_spec(GOOD)
    assert spec.models[0].params == {"temperature": 0.7, "max_tokens": 512}
    assert spec.run == RunSettings(concurrency=8, max_cost=25.0, seed=7)
    assert spec.judge.order is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 7", "sead = 7", "field 'run.sead': unknown key"),
        ("concurrency = 8", 'concurrency = "8"', "field 'run.concurrency'"),
        ("concurrency = 8", "concurrency = 0", "concurrency must be at least 1"),
        ("max_cost = 25", "max_cost = inf", "finite"),
        ("max_cost = 25", "max_cost = -1", "max_cost must be at least 0"),
        ("seed = 7", "seed = 2026-01-01", "dates"),
        ('path = "question.jsonl"', "", "field 'benchmark.path': is missing"),
        ('model = "openai/some-model"', "", "needs one of 'model'"),
        ('model = "openai/some-model"', 'model = "some-model"', "expected client/model"),
        ('model = "openai/some-model"', 'answers = "a.jsonl"', "take no base_url"),
        ('name = "candidate"', 'name = " "', "is empty"),
        ('use = "arena-hard-v2.0"', 'use = "x"\norder = "sideways"', "field 'judge.order'"),
        ("[run]", '[run]\nhome = "/"', "unknown key"),
        ("[benchmark]", "[benchmark", "not TOML"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_field(old: str, new: str, message: str) -> None:
    """One line that names the field and what is wrong with it."""
    assert old in GOOD
    with pytest.raises(InputError, match=message) as caught:
        parse_spec(GOOD.replace(old, new), "audit.toml")
    assert "audit.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        'api_key = "sk-live-123456789"',
        'base_url = "http://user:password@127.0.0.1/v1"',
        'params = { extra_headers = { Authorization = "Bearer abcdefghijkl" } }',
    ],
)
def test_a_key_in_the_spec_is_refused_and_not_shown(line: str) -> None:
    """Keys come from the environment only; the message does not repeat one."""
    text = GOOD.replace('model = "openai/judge-model"', f'model = "openai/judge-model"\n{line}')
    with pytest.raises(InputError, match="no place in a run spec") as caught:
        parse_spec(text)
    for secret in ("sk-live", "password@", "abcdefghijkl"):
        assert secret not in str(caught.value)


def test_two_models_of_one_name_are_refused() -> None:
    """Names are what games are told apart by."""
    with pytest.raises(InputError, match="a second model named 'candidate'"):
        parse_spec(GOOD + '[[models]]\nname = "candidate"\nanswers = "x.jsonl"\n')


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    """The four sources, in the order that the documentation gives."""
    path = tmp_path / "audit.toml"
    path.write_text(GOOD)
    environ = {"AUDITKIT_SEED": "8", "AUDITKIT_CONCURRENCY": "16", "AUDITKIT_REPEATS": " "}
    spec = load_spec(path, {"seed": 9, "concurrency": None}, environ)
    assert (spec.run.seed, spec.run.concurrency, spec.run.max_cost, spec.run.repeats) == (9, 16, 25.0, 1)
    assert spec.path("question.jsonl") == tmp_path / "question.jsonl"


@pytest.mark.parametrize(
    ("environ", "flags", "message"),
    [
        ({"AUDITKIT_CONCURRENCY": "many"}, {}, "AUDITKIT_CONCURRENCY must be a whole number"),
        ({"AUDITKIT_MAX_COST": "nan"}, {}, "max_cost must be at least 0"),
        ({}, {"repeats": 0}, "repeats must be at least 1"),
    ],
)
def test_a_setting_that_cannot_be_used_is_a_usage_error(
    tmp_path: Path, environ: dict[str, str], flags: dict[str, int], message: str
) -> None:
    """Flags and variables are checked like the file."""
    path = tmp_path / "audit.toml"
    path.write_text(GOOD)
    with pytest.raises(UsageError, match=message):
        load_spec(path, flags, environ)


@given(st.text(max_size=200))
def test_no_text_is_a_traceback(text: str) -> None:
    """Whatever a file holds, the answer is a spec or an `InputError`."""
    for document in (text, GOOD + text, GOOD.replace("candidate", text)):
        try:
            parse_spec(document)
        except InputError as error:
            assert "\n" not in str(error)
