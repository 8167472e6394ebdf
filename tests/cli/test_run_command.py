"""`auditkit run` as its user meets it: what goes to which stream, exit codes, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from auditkit.cli import main
from auditkit.cli.running import why_incomplete
from auditkit.run import RunResult

Run = Callable[..., Result]


@pytest.fixture
def call() -> Run:
    """Call the command in this process."""
    return lambda *args: CliRunner().invoke(main, ["run", *map(str, args)])


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """Two prompts, recorded answers, a judge at an address where nobody listens."""
    (tmp_path / "p.csv").write_text("prompt_id,prompt\na,Why?\nb,How?\n")
    for model in ("cand", "base"):
        (tmp_path / f"{model}.csv").write_text(
            f"prompt_id,model,answer\na,{model},one {model}\nb,{model},two {model}\n"
        )
    path = tmp_path / "audit.toml"
    path.write_text(
        '[benchmark]\npath = "p.csv"\nbaseline = "base.csv"\n[[models]]\nname = "cand"\nanswers = "cand.csv"\n[judge]\n'
        'use = "arena-hard-v2.0"\nmodel = "openai/judge"\nbase_url = "http://127.0.0.1:9/v1"\n[run]\nretry_total = 0.05\n'
        "concurrency = 1\n"
    )
    return path


def test_a_dry_run_prints_what_it_would_ask(call: Run, spec: Path) -> None:
    """Calls, tokens, the price table with its date, and that the price is not known."""
    done = call(spec, "--dry-run")
    assert done.exit_code == 0
    assert "4 calls" in done.stdout
    assert "price not known" in done.stdout
    assert "installed 20" in done.stdout


def test_a_dry_run_as_json_is_data_alone(call: Run, spec: Path) -> None:
    """Standard output parses, with one entry a model."""
    body = json.loads(call(spec, "--dry-run", "--json").stdout)
    assert (body["calls"], body["unpriced"]) == (4, ["openai/judge"])
    assert body["lines"][0]["what"] == "judgments"


def test_a_run_that_cannot_go_on_exits_with_4_and_says_how_to_resume(call: Run, spec: Path, tmp_path: Path) -> None:
    """One line on standard error; with --json the counts on standard output."""
    done = call(spec, "--out", tmp_path / "run", "--json", "--quiet")
    assert done.exit_code == 4
    body = json.loads(done.stdout)
    assert (body["complete"], body["done"], body["games"]) == (False, 0, 4)
    assert done.stderr.count("\n") == 1
    assert "0 of 4 games are stored; to go on: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nobody"], "neither a model nor a category"),
        (["--max-cost", "1"], "price of openai/judge"),
        (["--repeats", "0"], "--repeats"),
        (["--store", "mysql://host/x"], "no store speaks mysql"),
        (["--out", "audit.toml"], "is a file"),
    ],
)
def test_bad_options_exit_with_2(
    call: Run, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """A clear line, and no traceback."""
    monkeypatch.chdir(tmp_path)
    done = call(spec, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_spec_that_is_not_toml_exits_with_2(call: Run, tmp_path: Path) -> None:
    """The file is named."""
    (tmp_path / "bad.toml").write_text("[benchmark\n")
    done = call(tmp_path / "bad.toml")
    assert done.exit_code == 2
    assert "bad.toml: not TOML" in done.stderr.replace("\n", "")


def test_why_incomplete_is_one_line_with_the_command() -> None:
    """The reason first, how far it came, and what to type."""
    result = RunResult(Path("run"), 10, 4, 2, 0, 0, 6, 0.5, 0, problem="m: 503")
    assert why_incomplete(result, "auditkit run x.toml") == (
        "2 calls failed (m: 503); 4 of 10 games are stored; to go on: auditkit run x.toml"
    )
