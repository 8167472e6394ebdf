"""What is installed is what is in the folders."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

from auditkit import registry
from auditkit.cli import main

ROOT = Path(__file__).resolve().parents[1]
CONFIG: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = CONFIG["tool"]["setuptools"]
SIBLINGS = ("attacks", "controls", "reports")
HEAVY = ("litellm", "numpy", "openai", "pandas", "pyarrow", "pydantic", "scipy", "statsmodels", "tiktoken")


def _order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each in order (what ruff's RUF022 keeps)."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2, name)


def _packages() -> Iterator[str]:
    for name, folder in SETUPTOOLS["package-dir"].items():
        for init in sorted((ROOT / folder).rglob("__init__.py")):
            parts = init.parent.relative_to(ROOT / folder).parts
            if not any((ROOT / folder / part).is_symlink() for part in parts[:1]):
                yield ".".join([name, *parts])


def test_every_package_is_listed() -> None:
    """A new package that pyproject.toml does not list would be missing from the wheel."""
    assert sorted(SETUPTOOLS["packages"]) == sorted(_packages())


def test_folders_are_linked_into_the_package() -> None:
    """The links serve type checkers; each leads to its sibling folder."""
    for folder in SIBLINGS:
        assert (ROOT / "auditkit" / folder).resolve() == ROOT / folder


ENTRIES = [
    (group.removeprefix("auditkit."), name, target)
    for group, names in CONFIG["project"]["entry-points"].items()
    for name, target in names.items()
]


@pytest.mark.parametrize(("group", "name", "target"), ENTRIES, ids=[f"{g}-{n}" for g, n, _ in ENTRIES])
def test_every_entry_point_resolves(group: registry.Group, name: str, target: str) -> None:
    """Each registered plugin loads from our own distribution and says in one line what it is."""
    plugin = registry.find(group, name)
    assert plugin.distribution == CONFIG["project"]["name"]
    assert plugin.entry.value == target
    assert plugin.load() is not None
    assert plugin.summary


@pytest.mark.parametrize("name", list(_packages()))
def test_public_names_are_sorted_and_exist(name: str) -> None:
    """A package lists its public names once, in order, and each is there."""
    package = import_module(name)
    public = list(getattr(package, "__all__", []))
    assert public == sorted(set(public), key=_order)
    for attribute in public:
        assert getattr(package, attribute) is not None


def _modules() -> Iterator[Path]:
    for folder in ("auditkit", *SIBLINGS):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if not any((ROOT / folder / part).is_symlink() for part in file.relative_to(ROOT / folder).parts[:1]):
                yield file


def test_public_names_of_modules_are_sorted() -> None:
    """The same holds for every module that lists its public names."""
    unsorted = []
    for file in _modules():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                if list(names) != sorted(set(names), key=_order):
                    unsorted.append(str(file.relative_to(ROOT)))
    assert unsorted == []


@pytest.mark.parametrize("command", ["", *main.list_commands(click.Context(main))])
def test_help_imports_nothing_heavy(command: str) -> None:
    """`--help` of the program and of each command starts without the libraries that take seconds to import."""
    code = (
        "import sys\n"
        "from auditkit.cli import main\n"
        f"main({[*command.split(), '--help']!r}, standalone_mode=False)\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.startswith("Usage: ")
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_package_imports_nothing_heavy() -> None:
    """`import auditkit` costs nothing: its names load when used."""
    code = f"import sys, auditkit\nprint(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_the_wheel_holds_everything_and_runs_in_a_foreign_folder(tmp_path: Path) -> None:
    """The wheel has every module and data file, and starts where folders named like ours lie in the way."""
    wheels = tmp_path / "wheels"
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, str(wheels), str(_copy(tmp_path / "source"))], check=True)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for file in _modules():
        place = file.relative_to(ROOT)
        inside = place if place.parts[0] == "auditkit" else Path("auditkit") / place
        assert inside.as_posix() in names
    for data in ("auditkit/py.typed", "auditkit/policies/standard.toml", "auditkit/examples/words.toml"):
        assert data in names
    assert "auditkit/examples/demo/run.toml" in names
    assert {"auditkit/examples/live/run.toml", "auditkit/examples/bench/known/audit.toml"} <= names
    for template in (ROOT / "reports" / "templates").iterdir():
        assert f"auditkit/reports/templates/{template.name}" in names
    assert {name.split("/")[0] for name in names} == {
        "auditkit",
        f"judge_auditkit-{CONFIG['project']['version']}.dist-info",
    }

    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*install, str(target), str(wheel)], check=True)
    foreign = tmp_path / "foreign"
    for package in SIBLINGS:
        (foreign / package).mkdir(parents=True)
        (foreign / package / "__init__.py").write_text("raise RuntimeError('somebody else')\n", encoding="utf-8")
    code = (
        f"import sys\nsys.path.insert(0, {str(target)!r})\n"
        "import auditkit, auditkit.attacks, auditkit.controls, auditkit.reports\n"
        f"assert auditkit.attacks.__file__.startswith({str(target)!r})\n"
        "from auditkit.cli import main\n"
        "main(['demo', '--recorded', '--out', 'out', '--quiet'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=foreign, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (foreign / "out" / "report.html").stat().st_size > 10_000


def _copy(target: Path) -> Path:
    """Copy what a build reads, so that building leaves nothing behind in the checkout."""
    import shutil

    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    target.mkdir()
    for folder in ("auditkit", *SIBLINGS):
        shutil.copytree(ROOT / folder, target / folder, symlinks=True, ignore=skip)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, target / file)
    return target
