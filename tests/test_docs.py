"""The documentation says what is there, and its commands run."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import click
import pytest

from auditkit import registry
from auditkit.cli import main
from auditkit.demo import recorded
from auditkit.formats import read, run_folder
from auditkit.policy import load_policy
from auditkit.reports.report import Report, SubmissionReport

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?P<kind>\w+)(?P<mark>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
#: A block that is a file of an example: written before the page's commands run.
TITLE = re.compile(r'title="([\w./-]+)"')
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
#: Done, policy not met, too little data: what the documentation shows on purpose. 2 and 4 are faults.
FINE = {0, 1, 3}
MOST_UNTESTED = 2
#: The part of the recorded run on which the examples are run.
PROMPTS = 60
MODELS = ("honest-strong", "honest-weak")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    kind: str
    mark: str
    body: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def _blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match["kind"], match["mark"].strip(), match["body"]))
    return found


EVERY = _blocks()
FILES = [block for block in EVERY if TITLE.fullmatch(block.mark)]
BLOCKS = [block for block in EVERY if block.kind in ("sh", "python") and block not in FILES]
#: Run where the published files that they name are at hand (`shared_data`), in a folder that holds them.
PUBLISHED_FILES = "alpaca_eval"
PUBLISHED = [block for block in BLOCKS if not block.mark and f" {PUBLISHED_FILES}/" in block.body]
TESTED = [block for block in BLOCKS if not block.mark and block not in PUBLISHED]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the recorded run, small enough to be audited many times."""
    whole = read(recorded())
    prompts = whole.prompts.iloc[:PROMPTS]
    games = whole.games[whole.games["prompt_id"].isin(prompts["prompt_id"]) & whole.games["model"].isin(MODELS)]
    folder = tmp_path_factory.mktemp("recording") / "results"
    small = replace(whole, prompts=prompts, games=games, benchmark=replace(whole.benchmark, expected=PROMPTS))
    run_folder.write(small, folder)
    return folder


@pytest.fixture
def place(tmp_path: Path, recording: Path) -> Path:
    """A folder with a recording named results/, as the documentation has it."""
    shutil.copytree(recording, tmp_path / "results")
    return tmp_path


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose `auditkit` starts at once (see `tests/zygote.py`)."""
    folder = tmp_path_factory.mktemp("command")
    zygote = Path(__file__).with_name("zygote.py")
    with subprocess.Popen([sys.executable, zygote, folder / "socket"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        _module(zygote).write_client(folder, folder / "socket")
        yield folder
        server.terminate()


def _environment(*folders: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUDITKIT")}
    path = os.pathsep.join(map(str, (*folders, Path(sys.executable).parent, os.environ["PATH"])))
    return {**kept, "COLUMNS": "80", "PATH": path}


def _commands(body: str) -> list[str]:
    return [line for line in body.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def _run(block: Block, place: Path, *folders: Path) -> None:
    """Run the commands of a block. They print every line of the block of kind `output` that follows; `…` is any text."""
    printed = ""
    for command in _commands(block.body):
        done = subprocess.run(
            ["bash", "-c", command], cwd=place, env=_environment(*folders), capture_output=True, text=True, check=False
        )
        assert done.returncode in FINE, f"{block}: {command}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        printed += done.stdout
    _shows(block, printed)


def _shows(block: Block, printed: str) -> None:
    after = EVERY[EVERY.index(block) + 1 :][:1]
    for line in after[0].body.splitlines() if after and after[0].kind == "output" else ():
        pattern = rf"^[ ]*{'.*'.join(map(re.escape, line.strip().split('…')))}[ ]*$"
        assert re.search(pattern, printed, re.MULTILINE), f"{block} prints no {line!r}, but\n{printed}"


@pytest.mark.parametrize("page", sorted({block.page for block in TESTED}), ids=lambda page: page.name)
def test_every_command_runs(page: Path, place: Path, command: Path) -> None:
    """The commands of a page, run in order in a folder that holds a recording, end as the page says.

    Those of the README are started as a reader starts them, the others from a process that has imported everything.
    """
    folders = () if page.name == "README.md" else (command,)
    for block in FILES:
        if block.page == page:
            path = place / TITLE.fullmatch(block.mark)[1]  # type: ignore[index]  # FILES are those that match
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
    for block in TESTED:
        if block.page == page and block.kind == "sh":
            _run(block, place, *folders)


@pytest.mark.parametrize("block", PUBLISHED, ids=str)
def test_every_command_on_published_files_runs(block: Block, tmp_path: Path, shared_data: Path) -> None:
    """A block on a benchmark's published files runs beside them and prints what the page shows."""
    (tmp_path / PUBLISHED_FILES).symlink_to(shared_data / PUBLISHED_FILES)
    _run(block, tmp_path)


@pytest.mark.parametrize("block", [b for b in TESTED if b.kind == "python"], ids=str)
def test_every_python_example_runs(block: Block, place: Path) -> None:
    """A Python example runs as it stands and prints something: the lines that the page shows after it."""
    done = subprocess.run([sys.executable, "-c", block.body], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    _shows(block, done.stdout)


def test_untested_blocks_are_few_and_say_why() -> None:
    """A block that is not run is marked `no-test` with its reason."""
    untested = [block for block in BLOCKS if block.mark]
    assert len(untested) <= MOST_UNTESTED
    for block in untested:
        assert re.fullmatch(r"no-test: \w.{10,}", block.mark), block


def test_documented_make_targets_exist() -> None:
    """Every `make target` that a page names is in the Makefile, and each target has a line of help."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert targets == {"bench", "demo", "demo-build", "docs", "help", "lint", "lock", "setup", "test", "test-all"}
    named = {name for page in PAGES for name in re.findall(r"\bmake ([a-z-]+)\b(?=`|\n)", page.read_text("utf-8"))}
    assert {"demo", "test"} <= named <= targets


def test_continuous_integration_runs_the_documented_targets() -> None:
    """`.ci/run` is executable and runs lint and tests through make."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^make lint test$", script.read_text(encoding="utf-8"), re.MULTILINE)


def test_links_lead_somewhere() -> None:
    """Every relative link of a page leads to a file of the repository."""
    links = [(page, target) for page in PAGES for target in LINK.findall(page.read_text(encoding="utf-8"))]
    broken = [f"{page.name}: {target}" for page, target in links if not (page.parent / target).exists()]
    assert broken == []


def test_every_page_can_be_found() -> None:
    """A page that nobody finds might as well not exist: it is linked from the README or from the home page of the site."""
    linked = set(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    linked |= {f"docs/{target}" for target in LINK.findall((ROOT / "docs" / "index.md").read_text(encoding="utf-8"))}
    pages = {f"docs/{page.name}" for page in PAGES if page.parent.name == "docs"}
    assert pages - {"docs/index.md"} <= linked


def test_the_page_of_the_schema_is_up_to_date() -> None:
    """docs/report_schema.md is what docs/generate_schema.py writes, and names every record and field of the schema."""
    page = (ROOT / "docs" / "report_schema.md").read_text(encoding="utf-8")
    assert page == _module(ROOT / "docs" / "generate_schema.py").page(), "run docs/generate_schema.py"
    for record in (Report, SubmissionReport):
        section = page.split(f"\n## {record.__name__}\n")[1].split("\n## ")[0]
        assert [f.name for f in fields(record) if f"| `{f.name}` |" not in section] == []


def test_the_command_page_is_up_to_date() -> None:
    """docs/cli.md is what docs/generate_cli.py writes, and names every command."""
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == _module(ROOT / "docs" / "generate_cli.py").page(), "run docs/generate_cli.py"
    for name in main.list_commands(click.Context(main)):
        assert f"## auditkit {name}\n" in page


@pytest.mark.parametrize(
    ("group", "page"), [("controls", "controls.md"), ("detectors", "detectors.md"), ("formats", "formats.md")]
)
def test_every_plugin_of_ours_is_documented(group: registry.Group, page: str) -> None:
    """The page names each plugin that ships with auditkit."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    ours = [name for name, plugin in registry.plugins(group).items() if plugin.distribution == "judge-auditkit"]
    assert [name for name in ours if f"`{name}`" not in text] == []


def test_every_rule_is_documented_with_its_effect() -> None:
    """The table of rules is the standard policy's: same rules, order, effects and thresholds."""
    text = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| [^|]+ \| ([\d.]+)[^|]*\|$", text, re.MULTILINE)
    assert [(name, effect, float(limit)) for name, effect, limit in rows] == [
        (rule.name, rule.effect, rule.threshold) for rule in load_policy().rules
    ]


def test_every_field_of_the_report_is_documented() -> None:
    """docs/report.md names each key of a report and of a submission."""
    text = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    for record in (Report, SubmissionReport):
        assert [f.name for f in fields(record) if not re.search(rf"`{f.name}(\[\])?`", text)] == []


def test_the_number_of_detectors_in_the_readme_is_right() -> None:
    """The README counts the detectors; so does the package's metadata."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    count = len(project["entry-points"]["auditkit.detectors"])
    assert f"{count} detectors" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_picture_is_small() -> None:
    """The README's picture is a PNG below 300 kB."""
    data = (ROOT / "docs" / "report.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n")
    assert len(data) < 300_000
