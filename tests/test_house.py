"""What must not be in the repository, and what must."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
#: Written in two halves, so that this file does not hold what it looks for.
HOSTS = (
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry.npm" + "js.org",
    "npm" + "mirror.com",
    "conda" + ".anaconda.org",
)
MACHINE = (
    re.compile(r"/home/\w"),
    re.compile(r"/root/\w"),
    re.compile(r"/Users/\w"),
    re.compile(r"(?<![\w.])/work/\w"),
)


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files that git knows or would add; skipped in a source archive."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def test_nothing_names_a_registry(tracked: list[Path]) -> None:
    """A checkout installs from whatever index its machine is set up for: no file names one."""
    named = [(str(f.relative_to(ROOT)), host) for f in tracked for host in HOSTS if host in _text(f)]
    assert named == []


def test_nothing_names_a_machine(tracked: list[Path]) -> None:
    """No file holds a path of the machine on which it was written."""
    found = []
    for file in tracked:
        if file.suffix != ".png":
            text = _text(file)
            found += [(str(file.relative_to(ROOT)), hit.group()) for p in MACHINE if (hit := p.search(text))]
    assert found == []


def test_files_that_record_registries_are_not_tracked(tracked: list[Path]) -> None:
    """uv.lock and package-lock.json hold registry addresses; requirements.lock stands in for them."""
    assert {file.name for file in tracked} & {"uv.lock", "package-lock.json"} == set()


def test_every_locked_requirement_has_hashes() -> None:
    """Each requirement is one exact version with SHA-256 hashes, and no line holds an address or an index."""
    text = _text(LOCK)
    assert "://" not in text
    assert not re.search(r"^\s*(-i|--index-url|--extra-index-url|--find-links|-f)\b", text, re.MULTILINE)
    entries = re.split(r"\n(?=\S)", text.strip())
    requirements = [entry for entry in entries if not entry.startswith("#")]
    assert len(requirements) > 50
    for entry in requirements:
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry.splitlines()[0]


def test_every_dependency_is_locked() -> None:
    """Nothing that pyproject.toml asks for is missing from the lock."""
    import tomllib

    project = tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    locked = set(re.findall(r"^([a-z0-9._-]+)==", _text(LOCK), re.MULTILINE))
    names = {re.split(r"[\[<>=~! ;]", requirement, maxsplit=1)[0].lower() for requirement in wanted}
    assert names <= locked


def test_the_licence_is_apache() -> None:
    """The licence that pyproject.toml names is the licence that ships."""
    assert _text(ROOT / "LICENSE").split()[:4] == ["Apache", "License", "Version", "2.0,"]


def test_the_changelog_has_this_version() -> None:
    """The version that is built is described."""
    import tomllib

    version = tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]["version"]
    assert re.search(rf"^## \[{re.escape(version)}\]", _text(ROOT / "CHANGELOG.md"), re.MULTILINE)
