"""Folders as cluster jobs write them: empty and broken files are passed over and told, never in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from auditkit.bench.compare import compare
from auditkit.bench.settings import BuildSettings
from auditkit.build import build
from auditkit.cli import main
from auditkit.errors import InputError

EASY = BuildSettings(clusters=5, per_cluster=1, workers=1, k=5, prompt_score=0, cluster_score=0.0, min_chars=5)


def _lines(start: int, n: int = 30) -> str:
    return "".join(
        json.dumps({"id": f"p{i}", "prompt": f"Sort the list number {i} of {i * i} names by their length and tell why"}) + "\n"
        for i in range(start, start + n)
    )  # fmt: skip


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A folder of parts, of which four of seven hold nothing that can be read."""
    folder = tmp_path / "pool"
    folder.mkdir()
    (folder / "_SUCCESS").write_bytes(b"")
    (folder / "part-0.jsonl").write_text(_lines(0))
    (folder / "part-1.jsonl").write_bytes(b"")
    (folder / "part-2.jsonl").write_text(_lines(100), encoding="utf-16")
    latin = '{"prompt": "Erkläre mir bitte die Wörter dieses Satzes"}\n'.encode("latin-1")
    (folder / "part-3.jsonl").write_bytes(_lines(200).encode() + 3 * latin)
    (folder / "part-4.json").write_bytes(b'[{"prompt": "caf\xe9 and other words of this language"}]')
    (folder / "part-5.csv").write_bytes(
        "prompt\nWas heißt das auf Englisch?\n".encode() + "Was heißt es?\n".encode("latin-1")
    )
    (folder / "part-6.parquet").write_bytes(b"PAR1 cut off")
    return folder


def test_a_broken_file_of_a_folder_is_passed_over_and_told(shards: Path, tmp_path: Path) -> None:
    """Lines of a file that can be read are counted one by one; a file that cannot is named with the reason."""
    made = build(shards, out=tmp_path / "out", settings=EASY)
    files = {one["file"]: one for one in made.sheet.inputs}
    assert {name: one["rows"] for name, one in files.items()} == {
        "part-0.jsonl": 30, "part-1.jsonl": 0, "part-2.jsonl": files["part-2.jsonl"]["rows"], "part-3.jsonl": 33,
        "part-4.json": 0, "part-5.csv": 2, "part-6.parquet": 0,
    }  # fmt: skip
    problems = {name: one["problem"] for name, one in files.items() if one["problem"]}
    assert set(problems) == {"part-1.jsonl", "part-2.jsonl", "part-4.json", "part-6.parquet"}
    assert problems["part-1.jsonl"] == "the file is empty"
    assert "not_utf8" in problems["part-2.jsonl"]
    assert "not UTF-8" in problems["part-4.json"]
    assert "not readable as Parquet" in problems["part-6.parquet"]
    note = next(note for note in made.sheet.notes if "passed over" in note)
    assert note.startswith("4 of 7 files hold no prompt and were passed over: part-1.jsonl (the file is empty); ")
    funnel = made.sheet.funnel
    assert funnel[0].left == sum(one["rows"] for one in files.values())
    ledger = pq.read_table(made.folder / "ledger.parquet").to_pylist()
    assert len(ledger) == funnel[0].left
    assert sum(line["outcome"] == "not_utf8" and line["place"].startswith("part-3") for line in ledger) == 3
    assert sum(line["outcome"] == "not_utf8" and line["place"].startswith("part-5") for line in ledger) == 1
    assert "passed over: the file is empty" in (made.folder / "datasheet.html").read_text(encoding="utf-8")
    again = build(shards, out=tmp_path / "again", settings=EASY, work=made.work)
    assert again.sheet.notes == made.sheet.notes


@pytest.mark.parametrize("name", ["part-1.jsonl", "part-2.jsonl", "part-4.json", "part-6.parquet"])
def test_a_broken_file_that_is_named_is_refused(shards: Path, tmp_path: Path, name: str) -> None:
    """By its name it is refused, also where the work folder knows it from its folder."""
    shown = CliRunner().invoke(main, ["build", str(shards / name), "--out", str(tmp_path / "out")])
    assert shown.exit_code == 2
    assert name in shown.output
    whole = build(shards, out=tmp_path / "whole", settings=EASY)
    rest = [path for path in sorted(shards.iterdir()) if path.suffix and path.name != name]
    good = [path for path in rest if path.name in ("part-0.jsonl", "part-3.jsonl")]
    with pytest.raises(InputError, match=name):
        build(*good, shards / name, out=tmp_path / "whole", settings=EASY, work=whole.work)


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    """Nothing at all is left: one line says why, with the first file's reason."""
    folder = tmp_path / "pool"
    folder.mkdir()
    for i in range(3):
        (folder / f"part-{i}.jsonl").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"of 3 files none holds a prompt; the first, part-0\.jsonl: the file is empty"
    ):
        build(folder, out=tmp_path / "out", settings=EASY)


def test_empty_files_of_what_to_keep_clear_of_hold_nothing(shards: Path, tmp_path: Path) -> None:
    """An empty part of a benchmark is no benchmark; one that cannot be read is refused: the check would be less than told."""
    known = tmp_path / "known"
    known.mkdir()
    (known / "part-0.jsonl").write_text(_lines(0, 10))
    (known / "part-1.jsonl").write_bytes(b"")
    settings: dict[str, Any] = {**EASY.__dict__, "against": (str(known),)}
    made = build(shards, out=tmp_path / "out", settings=BuildSettings(**settings))
    assert any(row.step == "uncontaminated" and row.reasons for row in made.sheet.funnel)
    assert compare(known, shards / "part-0.jsonl").share == 1.0
    (known / "part-2.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(InputError, match=r"part-2\.parquet"):
        build(shards, out=tmp_path / "out", settings=BuildSettings(**settings))
