"""`auditkit compare` and `auditkit audit --site` as their user meets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from auditkit.cli import main
from auditkit.formats import run_folder
from auditkit.records import Battles

FAST = ("--replicates", "60", "--quiet")


@pytest.fixture(scope="module")
def recording(simulate: Callable[..., Battles], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with two honest submissions."""
    folder = tmp_path_factory.mktemp("recording") / "run"
    run_folder.write(simulate({"good": 1.5, "weak": -1.0}, prompts=60), folder)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call the command line in this process."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    return lambda *args: CliRunner().invoke(main, [str(a) for a in args])


def test_two_submissions_need_no_names(run: Callable[..., Result], recording: Path, tmp_path: Path) -> None:
    """Tables within 80 columns, both files written, exit code 0."""
    result = run("compare", recording, "--out", tmp_path / "out", *FAST)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("A is better\ngood over weak: +")
    assert all(len(line) <= 80 for line in result.stdout.splitlines() if not line.startswith("comparison: "))
    stored = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert (stored["schema"], stored["a"], stored["b"]) == ("auditkit.comparison/1", "good", "weak")
    assert "<h1>good" in (tmp_path / "out" / "compare.html").read_text()


def test_json_stands_alone_and_is_the_file(run: Callable[..., Result], recording: Path, tmp_path: Path) -> None:
    """With --json standard output is the comparison and nothing else, the same bytes every time."""
    args = ("compare", recording, "--submissions", "weak", "baseline", "--json", *FAST)
    first, second = run(*args), run(*args)
    assert first.stdout == second.stdout
    assert json.loads(first.stdout)["headline"]["estimate"] < 0


def test_faults_are_one_line_and_exit_code_two(run: Callable[..., Result], recording: Path) -> None:
    """A name that is not there, both kinds at once, no such path."""
    for args, text in (
        (("--submissions", "good", "nobody"), "no submission 'nobody' is recorded; there are: baseline, good, weak"),
        (("--submissions", "good", "weak", "--judges", "x", "y"), "not both"),
        (("--judges", "x", "y"), "no judge 'x' is recorded; there are: judge-x"),
    ):
        result = run("compare", recording, *args, *FAST)
        assert result.exit_code == 2
        assert text in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert run("compare", recording / "nothing", *FAST).exit_code == 2


def test_a_site_is_written_again_byte_for_byte(
    run: Callable[..., Result], recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--site writes pages and data and no other folder; a second run changes nothing; a foreign index is refused."""
    monkeypatch.chdir(tmp_path)
    args = ("audit", recording, "--site", tmp_path / "site", *FAST)
    result = run(*args)
    assert result.exit_code in (0, 3), result.output
    assert f"site: {tmp_path / 'site' / 'index.html'}" in result.stdout.replace("\n", "")
    before = {p.name: p.read_bytes() for p in (tmp_path / "site").iterdir()}
    assert {
        "index.html",
        "judge.html",
        "method.html",
        "report.json",
        "board.csv",
        "board.parquet",
        "site.json",
    } <= before.keys()
    assert sum(name.startswith("submission-") for name in before) == 2
    assert sum(name.startswith("compare-") for name in before) == 1
    run(*args)
    assert {p.name: p.read_bytes() for p in (tmp_path / "site").iterdir()} == before
    assert not Path("auditkit-report").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    refused = run("audit", recording, "--site", tmp_path / "mine", *FAST)
    assert refused.exit_code == 2
    assert "no page of ours" in refused.stderr
    assert (tmp_path / "mine" / "index.html").read_text() == "mine"


def test_a_site_with_json_keeps_standard_output_clean(
    run: Callable[..., Result], recording: Path, tmp_path: Path
) -> None:
    """The report on standard output is the report.json of the site."""
    result = run("audit", recording, "--site", tmp_path / "site", "--json", *FAST)
    assert result.stdout == (tmp_path / "site" / "report.json").read_text()
