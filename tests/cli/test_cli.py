"""The command line as its user meets it: output, exit codes, bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from auditkit.cli import main
from auditkit.formats import run_folder
from auditkit.records import Battles

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call the command line in this process."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    def call(*args: object) -> Result:
        return CliRunner().invoke(main, [str(a) for a in args])

    return call


@pytest.fixture(scope="session")
def recording(simulate: Callable[..., Battles], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an honest and a constant submission."""
    folder = tmp_path_factory.mktemp("recording") / "run"
    run_folder.write(simulate({"honest": 0.4, "null": 1.5}, prompts=150, constant=frozenset({"null"})), folder)
    return folder


FAST = ("--replicates", "60", "--quiet")


def test_audit_prints_verdicts_and_writes_both_files(run: Run, recording: Path, tmp_path: Path) -> None:
    """The constant submission is rejected (exit code 1), the honest one is not; both files are there."""
    result = run("audit", recording, "--out", tmp_path / "out", *FAST)
    assert result.exit_code == 1, result.output
    assert "rejected" in result.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    verdicts = {s["model"]: s["verdict"] for s in report["submissions"]}
    assert verdicts["null"] == "rejected"
    assert verdicts["honest"] in {"certified", "conditional"}
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")
    assert max(len(line) for line in result.stdout.splitlines() if not line.startswith("report: ")) <= 80


def test_json_is_alone_on_standard_output(
    run: Run, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --json standard output is one JSON document and no file is written unless asked for."""
    monkeypatch.chdir(tmp_path)
    result = run("audit", recording, "--json", "--replicates", "60")
    assert json.loads(result.stdout)["schema"] == "auditkit.report/1"
    assert "controls" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_same_audit_gives_the_same_bytes(run: Run, recording: Path) -> None:
    """Same inputs, same seed: byte for byte the same report."""
    first, second = (run("audit", recording, "--json", *FAST).stdout for _ in range(2))
    assert first == second


def test_leaderboard_reads_results_and_stored_reports_alike(run: Run, recording: Path, tmp_path: Path) -> None:
    """A report.json of an earlier audit gives the same leaderboard as its results."""
    run("audit", recording, "--out", tmp_path, *FAST)
    direct = run("leaderboard", recording, "--json", *FAST)
    stored = run("leaderboard", tmp_path / "report.json", "--json")
    assert direct.exit_code == stored.exit_code == 0, direct.output + stored.output
    assert json.loads(direct.stdout) == json.loads(stored.stdout)
    assert run("leaderboard", tmp_path, "--csv").stdout.count("\n") == 3
    assert run("leaderboard", tmp_path, "--by", "astrology").exit_code == 2


def test_convert_round_trips(run: Run, recording: Path, tmp_path: Path) -> None:
    """A run folder becomes a Parquet file of pairs and audits to the same raw scores."""
    pairs = tmp_path / "pairs.parquet"
    result = run("convert", recording, pairs)
    assert result.exit_code == 0, result.output
    assert run("convert", recording, pairs).exit_code == 2

    def raw(path: Path) -> dict[str, float]:
        found = json.loads(run("audit", path, "--json", *FAST).stdout)["submissions"]
        return {s["model"]: x["estimate"] for s in found for x in s["scores"] if x["control"] == "raw"}

    assert raw(pairs) == pytest.approx(raw(recording))


def test_plugins_lists_every_group(run: Run) -> None:
    """Controls, detectors and formats are listed with their distribution; an unknown group is a usage error."""
    found = json.loads(run("plugins", "--json").stdout)
    groups = {(p["group"], p["name"]) for p in found}
    assert {("controls", "raw"), ("detectors", "near_duplicates"), ("formats", "alpaca_eval")} <= groups
    assert {p["distribution"] for p in found} == {"judge-auditkit"}
    assert all(p["summary"] for p in found)
    assert run("plugins", "nonsense").exit_code == 2
    assert max(map(len, run("plugins").stdout.splitlines())) <= 80


def test_the_policy_that_is_shown_can_be_used(run: Run, recording: Path, tmp_path: Path) -> None:
    """What --show-policy prints is a valid policy; one more prompt demanded than there are changes the verdict."""
    policy = tmp_path / "policy.toml"
    policy.write_text(run("certify", "--show-policy").stdout.replace("threshold = 50 ", "threshold = 999 "))
    result = run("audit", recording, "--policy", policy, "--json", *FAST)
    verdicts = {s["model"]: s["verdict"] for s in json.loads(result.stdout)["submissions"]}
    assert verdicts == {"honest": "not_certifiable", "null": "rejected"}


def _bad(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "input"
    if kind == "missing":
        return path
    if kind == "empty folder":
        path.mkdir()
    elif kind == "symlink loop":
        path.mkdir()
        (path / "again").symlink_to(path)
    elif kind == "zip":
        path = path.with_suffix(".jsonl")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("pairs.jsonl", "{}")
    elif kind == "empty file":
        path = path.with_suffix(".jsonl")
        path.touch()
    elif kind == "binary":
        path = path.with_suffix(".json")
        path.write_bytes(bytes(range(256)) * 40)
    elif kind == "truncated":
        path = path.with_suffix(".json")
        path.write_text('[{"instruction": "a", "output_1": "b", "output_2": "c", "generator_2": "m", "pre')
    elif kind == "wrong type":
        path = path.with_suffix(".jsonl")
        path.write_text('{"prompt": "q", "model": "m", "opponent": "b", "outcome": "yes"}\n')
    elif kind == "not a number":
        path = path.with_suffix(".jsonl")
        path.write_text('{"prompt": "q", "model": "m", "opponent": "b", "outcome": NaN}\n')
    elif kind == "terminal escapes":
        path = path.with_suffix(".jsonl")
        path.write_text('{"prompt": "q", "model": "\\u001b[2Jm", "opponent": "b", "winner": "\\u001b]0;own\\u0007"}\n')
    return path


@pytest.mark.parametrize(
    "kind",
    ["missing", "empty folder", "symlink loop", "zip", "empty file", "binary", "truncated", "wrong type",
     "not a number", "terminal escapes"],
)  # fmt: skip
def test_bad_input_is_one_clear_line_and_exit_code_2(run: Run, tmp_path: Path, kind: str) -> None:
    """No traceback, no escape sequence: one line on standard error that names the file, and exit code 2."""
    path = _bad(tmp_path, kind)
    result = run("audit", path, "--quiet", "--json")
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert path.name in result.stderr
    assert "\x1b" not in result.stderr
    assert "Traceback" not in result.stderr


def test_keep_going_keeps_the_results_of_the_other_inputs(run: Run, recording: Path, tmp_path: Path) -> None:
    """A broken path is skipped with a note that says why; without --keep-going it stops the audit."""
    broken = _bad(tmp_path, "truncated")
    assert run("audit", recording, broken, "--json", *FAST).exit_code == 2
    result = run("audit", recording, broken, "--keep-going", "--json", *FAST)
    report = json.loads(result.stdout)
    assert {s["model"] for s in report["submissions"]} == {"honest", "null"}
    assert any(note["kind"] == "skipped" and broken.name in note["text"] for note in report["notes"])


def test_an_unwritable_out_is_one_line(run: Run, recording: Path, tmp_path: Path) -> None:
    """--out below a file: exit code 2 and a line that says what to do."""
    (tmp_path / "file").touch()
    result = run("audit", recording, "--out", tmp_path / "file" / "out", *FAST)
    assert result.exit_code == 2
    assert "cannot write here: Not a directory" in result.stderr


def test_a_closed_pipe_ends_quietly(recording: Path) -> None:
    """`auditkit audit … | head -1` prints no traceback."""
    code = f"import sys; from auditkit.cli import main; sys.argv[1:] = ['audit', {str(recording)!r}, '--json', '--quiet', '--replicates', '60']; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    process.wait()
    assert "Traceback" not in error


@pytest.mark.parametrize("command", ["audit", "certify", "convert", "demo", "leaderboard", "plugins"])
def test_every_command_explains_itself(run: Run, command: str) -> None:
    """Each command has help with an example."""
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
