"""Names and links: nothing is written outside the place that was asked for, nothing is read that was not named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

#: Names that mean another place, or none, on some system.
NAMES = (
    "../../escaped", "../x", "..", ".", "/absolute/x", "//x", "a/b/c", "a\\..\\..\\x", "C:\\x", "CON", "nul.txt", "~root", "-rf", "--help",
    "x" * 300, "a\nb", "\u202egnp", "%2e%2e%2f", "x\x00y", ".hidden", "file:///x", "$HOME", "`id`", "İ", "i̇", "é", "e\u0301", " ", "x.", "aux",
)  # fmt: skip


def _pairs(path: Path, names: tuple[str, ...], prompts: int = 24) -> Path:
    rows = [
        {
            "prompt_id": f"p{k}", "prompt": f"Question {k}", "model": name, "opponent": "base", "answer": f"{name[:8]} {k}",
            "opponent_answer": f"b {k}", "winner": ("model", "opponent")[k % 2], "judge": "../../judge", "order": ("model_first", "model_second")[k % 2],
        }
        for name in names for k in range(prompts)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def test_names_of_models_and_judges_stay_below_the_folder_asked_for(tmp_path: Path, command: Any) -> None:
    """Every writer, with names that lead elsewhere: all that is new lies below the folder that was named."""
    home = tmp_path / "a" / "b" / "c"
    home.mkdir(parents=True)
    names = tuple(n for n in NAMES if n.strip() and "\x00" not in n)
    pairs = _pairs(tmp_path / "pairs.jsonl", names)
    before = _tree(tmp_path)
    jobs = [
        ("certify", pairs, "--out", home / "certified", "--replicates", 50),
        ("convert", pairs, home / "run", "--to", "run_folder"),
        ("convert", pairs, home / "alpaca", "--to", "alpaca_eval"),
        ("convert", pairs, home / "arena", "--to", "arena_hard"),
        ("convert", pairs, home / "pairs.csv"),
    ]  # fmt: skip
    for job in jobs:
        assert command(*job).exit_code in (0, 1, 2, 3), job
    new = _tree(tmp_path) - before
    assert new and all(name.startswith("a/b/c/") for name in new), sorted(new)[:5]
    made = [p for p in home.rglob("*") if p.is_file()]
    assert all(len(p.name.encode()) <= 255 and "\n" not in p.name and not p.is_symlink() for p in made)
    certificates = {p.name.casefold() for p in (home / "certified").glob("certificate*.json")}
    assert len(certificates) == len(names), "two submissions share the file of one"


def test_a_link_below_a_recording_leads_nowhere_else(tmp_path: Path, command: Any) -> None:
    """Links to files and folders outside are not read; a loop of links ends."""
    secret = _pairs(tmp_path / "outside.jsonl", ("secret-model",))
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "linked.jsonl").symlink_to(secret)
    (folder / "folder").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder)
    (folder / "itself.jsonl").symlink_to(folder / "itself.jsonl")
    (folder / "device.jsonl").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.jsonl")
    for job in (("audit", folder), ("build", folder, "--out", tmp_path / "o"), ("quality", folder)):
        found = command(*job)
        assert found.exit_code == 2 and "secret-model" not in found.output, found.output


@pytest.mark.parametrize("kind", ["file", "dangling", "loop"])
def test_what_is_written_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path, command: Any, kind: str) -> None:
    """Somebody laid links at the names of our files: they are replaced, and their targets stay as they are."""
    pairs = _pairs(tmp_path / "pairs.jsonl", ("a", "b"))
    out = tmp_path / "out"
    out.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    target = {"file": victim, "dangling": tmp_path / "new", "loop": out / "report.json"}[kind]
    for name in ("report.json", "report.html", "certificate-a.json", "policy.toml"):
        (out / name).symlink_to(target)
    for job in ("audit", "certify"):
        assert command(job, pairs, "--out", out, "--replicates", 50).exit_code in (0, 1, 3)
    assert victim.read_text() == "precious" and not (tmp_path / "new").exists()
    assert not [p for p in out.iterdir() if p.is_symlink()]


def test_a_folder_may_be_a_link_and_nothing_beside_is_touched(tmp_path: Path, command: Any) -> None:
    """An --out that is a link to a folder is what the user said; the files go there, and only they."""
    pairs = _pairs(tmp_path / "pairs.jsonl", ("a",))
    real = tmp_path / "real"
    real.mkdir()
    (real / "mine.txt").write_text("mine")
    (tmp_path / "out").symlink_to(real)
    assert command("audit", pairs, "--out", tmp_path / "out", "--replicates", 50).exit_code in (0, 1, 3)
    assert {p.name for p in real.iterdir()} == {"mine.txt", "report.json", "report.html"}
    assert (real / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["x" * 5000, "\udc80", "/dev/null/x", "\n", "//"])
def test_odd_paths_are_one_line(tmp_path: Path, command: Any, name: str) -> None:
    """A path that no system takes, as input, output, policy, key and certificate."""
    pairs = _pairs(tmp_path / "pairs.jsonl", ("a",))
    out = name if name.startswith("/") and name != "//" else f"{tmp_path}/{name}/x"
    jobs = [
        ("audit", name), ("audit", pairs, "--policy", f"{name}/p"), ("certify", pairs, "--key", name), ("verify", name), ("claim", name),
        ("judges", "check", f"{name}.toml"), ("build", name, "--out", tmp_path / "b"), ("certify", "--new-key", f"{out}/k"),
        ("quality", name), ("contamination", name, name),
    ]  # fmt: skip
    for job in jobs:
        found = command(*job)
        assert found.exit_code in (1, 2), (job, found.output)


@pytest.mark.parametrize("file", ["../outside.csv", "/etc/hostname", "a/../../outside.csv"])
def test_a_ledger_names_files_in_its_own_folder(tmp_path: Path, command: Any, file: str) -> None:
    """The board of a ledger cannot lie elsewhere."""
    (tmp_path / "outside.csv").write_text("model,score\na,1\n")
    folder = tmp_path / "ledger"
    folder.mkdir()
    (folder / "c.toml").write_text(
        f'schema = "auditkit.claims/1"\n[[boards]]\nbenchmark = "x"\nmetric = "win_rate"\nfile = {json.dumps(file)}\n'
        '[[claims]]\nid = "1"\nwording = "beats"\ncandidate = "a"\nbaseline = "b"\n'
    )
    found = command("claim", folder / "c.toml")
    assert found.exit_code == 2 and "in the ledger's folder" in found.output


@pytest.mark.parametrize("tables", ["../outside", "/etc", "tables-0/../..", "tables-0000000000000000/../../x"])
def test_a_run_folder_names_tables_of_its_own(tmp_path: Path, command: Any, tables: str) -> None:
    """`run.toml` cannot point to tables elsewhere."""
    (tmp_path / "run.toml").write_text(
        f'schema = "auditkit.run/1"\ntables = {json.dumps(tables)}\n[benchmark]\nname = "b"\n'
    )
    assert command("audit", tmp_path).exit_code == 2


def test_the_names_are_hostile(payloads: SimpleNamespace) -> None:
    """They lead elsewhere where nobody looks: joined to a folder as they are, some leave it."""
    base = Path("/base/folder")
    assert (
        sum(not os.path.normpath(base / name).startswith("/base/folder/") for name in NAMES if "\x00" not in name) >= 6
    )
    assert isinstance(payloads.UNICODE, tuple)
