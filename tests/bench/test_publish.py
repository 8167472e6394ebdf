"""The folder that a build writes: what may stand there before, and what a kill leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditkit.bench import parts
from auditkit.bench.publish import check_folder
from auditkit.bench.settings import BuildSettings
from auditkit.build import build
from auditkit.errors import UsageError

SMALL = BuildSettings(name="small", clusters=4, per_cluster=2, workers=1, k=8, cluster_score=0, prompt_score=0)


def test_a_build_that_was_killed_at_any_file_of_its_benchmark_goes_on(
    pool: tuple[Path, list[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file it was writing: the same command ends with the same bytes."""
    whole = build(pool[0], out=tmp_path / "out", settings=SMALL).folder
    expected = {path.name: path.read_bytes() for path in whole.iterdir()}
    for path in whole.iterdir():
        path.unlink()
    real, left = parts.write_whole, [0]

    def dying(path: Path, data: bytes) -> None:
        if left[0] == 0:
            path.with_name(f".{path.name}.1.part").write_bytes(data[: len(data) // 2])
            raise KeyboardInterrupt
        left[0] -= 1
        real(path, data)

    monkeypatch.setattr("auditkit.bench.publish.write_whole", dying)
    for files in range(5):
        left[0] = files
        with pytest.raises(KeyboardInterrupt):
            build(pool[0], out=tmp_path / "out", settings=SMALL)
    monkeypatch.setattr("auditkit.bench.publish.write_whole", real)
    build(pool[0], out=tmp_path / "out", settings=SMALL)
    assert {name: (whole / name).read_bytes() for name in expected} == expected


@pytest.mark.parametrize("names", [["question.jsonl"], ["ledger.parquet", "thesis.txt"], [".bashrc"]])
def test_a_folder_of_somebody_else_is_left_alone(names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="no benchmark folder"):
        check_folder(tmp_path)
