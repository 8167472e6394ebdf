"""`auditkit judges` as its user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from auditkit.cli import main
from auditkit.judging.spec import load_judge, parse_judge


def _run(*args: object) -> Result:
    return CliRunner().invoke(main, ["judges", *(str(a) for a in args)])


def test_list_names_every_judge_within_80_columns() -> None:
    """The table fits a terminal; the JSON carries the hash."""
    result = _run("list")
    assert result.exit_code == 0
    assert "arena-hard-v2.0" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    rows = json.loads(_run("list", "--json").stdout)
    assert {row["name"]: row["sha256"] for row in rows}["mt-bench-single"] == load_judge("mt-bench-single").sha256


def test_show_prints_a_judge_file() -> None:
    """What is shown can be saved and used: it is the same judge."""
    result = _run("show", "arena-hard-v2.0")
    assert result.exit_code == 0
    assert parse_judge(result.stdout) == load_judge("arena-hard-v2.0")
    shown = json.loads(_run("show", "arena-hard-v2.0", "--json").stdout)
    assert shown["verdict"]["labels"]["A>>B"] == {"outcome": 1.0, "weight": 3.0}


def test_check_says_what_a_file_is_or_what_is_wrong(tmp_path: Path) -> None:
    """A usable file is summed up, exit code 0; a broken one is one line and exit code 2."""
    file = tmp_path / "mine.toml"
    file.write_text(_run("show", "mt-bench-pairwise").stdout)
    result = _run("check", file)
    assert result.exit_code == 0
    assert "A = 1, C = 0.5, B = 0" in result.stdout
    assert json.loads(_run("check", file, "--json").stdout)["name"] == "mt-bench-pairwise"
    file.write_text(file.read_text().replace("{{ turn.answer_b }}", "{{ turn.answr_b }}"))
    result = _run("check", file)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "answr_b" in result.stderr


def test_unknown_judges_and_files_are_one_line() -> None:
    """A name that is not installed lists those that are; a missing file is named."""
    result = _run("show", "no-such")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "mt-bench-single" in result.stderr
    result = _run("check", "no/such.toml")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "no such file" in result.stderr
    result = _run("import", "x.yaml", "--kind", "nope")
    assert result.exit_code == 2
    assert "arena_hard" in result.stderr


def test_import_writes_a_file_that_check_accepts(shared_data: Path, tmp_path: Path) -> None:
    """Standard output is the judge and nothing else; notes go to standard error."""
    source = shared_data / "judges/arena_hard/arena-hard-v2.0.yaml"
    result = _run("import", source)
    assert result.exit_code == 0
    assert "--settings" in result.stderr
    spec = parse_judge(result.stdout)
    assert spec.verdict.parser == "ah_v2"
    out = tmp_path / "judge.toml"
    result = _run("import", source, "--hardened", "--out", out)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert load_judge(out).verdict.parser == "labels"
    assert _run("check", out).exit_code == 0
    result = _run("import", source, "--out", tmp_path / "no/such/folder/judge.toml")
    assert (result.exit_code, result.stderr.count("auditkit:")) == (2, 1)


OPEN = """
schema = "auditkit.judge/1"
name = "open"
title = "Renders as WildBench does"
source = "made for a test"
mode = "single"
rendering = "wildbench"
missing = "bound"

[verdict]
parser = "labels"
scale = [1, 9]

[[templates]]
[[templates.messages]]
role = "user"
text = "(q)\\n{$user_query}\\n(a)\\n{$model_output}\\n(/a)\\n(c)\\n{$checklist}\\n(/c)\\nEnd with \\u001b[[5]]."
"""


def test_check_tries_the_gates_on_request(tmp_path: Path) -> None:
    """Without --gates a usable file is fine; with them an open one is exit code 1, shown and mended within 80 columns."""
    file = tmp_path / "open.toml"
    file.write_text(OPEN)
    assert _run("check", file).exit_code == 0
    result = _run("check", file, "--gates", "--cases", 20)
    assert result.exit_code == 1
    table, _, failures = result.stdout.partition("H1 fails:")
    assert "not measured" in table
    assert "the answer: {$checklist}\n" in failures
    assert "  mend:" in failures
    assert "2 of 12 gates fail" in failures.splitlines()[-1]
    assert "\x1b" not in result.stdout
    shown = result.stdout.partition("sha256:")[2].partition("\n")[2]
    assert max(map(len, shown.splitlines())) <= 80


def test_the_gates_as_json_hold_every_text_whole(tmp_path: Path) -> None:
    """The same results, the rendered prompt included; the exit code says the same."""
    file = tmp_path / "open.toml"
    file.write_text(OPEN)
    result = _run("check", file, "--gates", "--cases", 20, "--json")
    assert result.exit_code == 1
    gates = {gate["gate"]: gate for gate in json.loads(result.stdout)["gates"]}
    assert len(gates) == 12
    assert {g for g, found in gates.items() if found["status"] == "fail"} == {"H1", "H2"}
    example = gates["H1"]["counterexample"]
    assert example["given"] == [["the answer", "{$checklist}"]]
    assert example["prompt"].startswith("(q)\n")
    assert "gates" not in json.loads(_run("check", file, "--json").stdout)


def test_check_takes_an_installed_judge_and_prompts(tmp_path: Path) -> None:
    """Ours hold; a file of prompts is used, and a file that is none is one line."""
    result = _run("check", "mt-bench-pairwise", "--gates", "--cases", 10)
    assert result.exit_code == 0
    assert "holds, proved" in result.stdout
    assert "0 of 12 gates fail, 11 hold, 1 not measured" in result.stdout
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "How old is the moon?"}\n')
    file = tmp_path / "open.toml"
    file.write_text(OPEN)
    assert "moon" in _run("check", file, "--gates", "--cases", 0, "--prompts", prompts, "--json").stdout
    result = _run("check", file, "--gates", "--prompts", tmp_path / "no.jsonl")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert _run("check", "no-such-judge").exit_code == 2


@pytest.mark.parametrize(
    "args", [("--help",), ("list", "--help"), ("show", "--help"), ("check", "--help"), ("import", "--help")]
)
def test_help_is_there(args: tuple[str, ...]) -> None:
    """Every command explains itself."""
    result = _run(*args)
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
