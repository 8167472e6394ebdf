"""Small files that want much: compressed, repeated, nested or endless input is refused or costs what it weighs."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from auditkit.cli import main
from auditkit.judging.spec import load_judge, to_toml
from auditkit.policy import policy_text

#: MiB that a command may use above an idle one, whatever a small file says. A bomb below would take tens of GiB.
ALLOWANCE = 500
HUGE = 300 << 20


def _packed(kind: str, size: int) -> bytes:
    """Return `size` zero bytes, packed as small as they go."""
    if kind == "zstd":
        out = pa.BufferOutputStream()
        with pa.CompressedOutputStream(out, "zstd") as stream:
            block = bytes(1 << 20)
            for _ in range(size >> 20):
                stream.write(block)
        return bytes(out.getvalue().to_pybytes())
    packer = {
        "gz": lambda: gzip.compress(bytes(size), 1),
        "bz2": lambda: bz2.compress(bytes(size)),
        "xz": lambda: lzma.compress(bytes(size), preset=0),
    }
    return packer[kind]()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 24 MiB of nothing in every packing."""
    folder = tmp_path_factory.mktemp("packed")
    size = 24 << 20
    for kind in ("gz", "bz2", "xz", "zstd"):
        (folder / f"bomb.{kind}").write_bytes(_packed(kind, size))
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("results.jsonl", bytes(size))
    return folder


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zstd", "zip"])
def test_packed_input_is_refused_unread(packed: Path, tmp_path: Path, kind: str) -> None:
    """Under any name, by every command that reads files: one line, nothing unpacked."""
    data = (packed / f"bomb.{kind}").read_bytes()
    jobs = []
    for suffix in (".jsonl", ".json", ".csv", ".parquet", f".csv.{kind}", f".jsonl.{kind}"):
        path = tmp_path / f"bomb{suffix}"
        path.write_bytes(data)
        jobs += [("audit", path), ("build", path, "--out", tmp_path / "b", "--dry-run"), ("quality", path)]
    pack = tmp_path / f"df_gamed.csv.{kind}"
    pack.write_bytes(data)
    jobs += [("verify", pack), ("claim", pack), ("judges", "check", pack), ("run", pack), ("judges", "import", pack)]
    for job in jobs:
        result = CliRunner().invoke(main, [str(word) for word in job])
        assert result.exit_code in (1, 2), (job, result.output)
        assert "internal error" not in result.output, (job, result.output)


def test_the_calibration_file_is_read_as_it_is(packed: Path) -> None:
    """A packed calibration is not unpacked on the way in, whatever its name."""
    from auditkit.controls.calibration import _table
    from auditkit.errors import InputError

    for kind in ("gz", "bz2", "xz", "zip"):
        path = packed / f"df_gamed.csv.{kind}"
        path.write_bytes((packed / f"bomb.{kind}").read_bytes())
        with pytest.raises(InputError):
            _table(path, path.stat().st_size, ("index",))


# --- Parquet ---------------------------------------------------------------------------------------------------------


def _repeated(path: Path, length: int, rows: int, **columns: str) -> None:
    """Write a Parquet file in which one long text stands in every row: a few KiB that unpack to `length` x `rows`."""
    long = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * length]))
    known = {
        name: pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))
        for name, text in columns.items()
    }
    table = pa.table({**known, "answer": long, "prompt": long}).replace_schema_metadata()
    pq.write_table(
        table, path, compression="zstd", use_dictionary=True, dictionary_pagesize_limit=1 << 30, store_schema=False
    )


def test_a_parquet_file_that_unpacks_to_much_is_refused(tmp_path: Path, processes: Callable[..., Any]) -> None:
    """1 MiB of text in each of 20,000 rows is 40 GiB in memory and a few KiB on the disk."""
    bomb = tmp_path / "bomb.parquet"
    _repeated(bomb, 1 << 20, 20_000, prompt_id="p", model="m", opponent="o", winner="model")
    assert bomb.stat().st_size < 1 << 20
    jobs = [
        ("plugins",), ("audit", bomb, "--out", tmp_path / "o"), ("build", bomb, "--out", tmp_path / "b", "--workers", 1),
        ("contamination", bomb, bomb),
    ]  # fmt: skip
    idle, *ended = processes(jobs)
    for job, done in zip(jobs[1:], ended, strict=True):
        assert done.code == 2, (job, done.text)
        assert "bomb.parquet" in done.text and done.text.count("\n") <= 3, done.text
        assert done.peak < idle.peak + ALLOWANCE, job


# --- TOML, JSON, YAML ------------------------------------------------------------------------------------------------

DEEP = 100_000


def _bombs(before: str, kind: str) -> dict[str, str]:
    """Return documents of TOML, JSON or YAML that want time, depth or digits; `before`: what makes it one of its kind."""
    if kind == "toml":
        return {
            "arrays": f"{before}\nx = {'[' * DEEP}",
            "closed arrays": f"{before}\nx = {'[' * 5000}{']' * 5000}",
            "inline tables": f"{before}\nx = {'{a=' * 5000}1{'}' * 5000}",
            "dotted key": f"{before}\n{'.'.join('a' * 3000)} = 1",
            "dotted table": f"{before}\n[{'.'.join('a' * 3000)}]\nb = 1",
            "digits": f"{before}\nx = {'9' * DEEP}",
            "hex digits": f"{before}\nx = 0x{'f' * DEEP}",
            "float digits": f"{before}\nx = {'9' * DEEP}.5",
            "exponent": f"{before}\nx = 1e999999999",
            "twice": f"{before}\nx = 1\nx = 2",
            "quotes": before + '\nx = """' + '"' * 3 + "\\" * 99_999,
            "date": f"{before}\nx = 9999-12-31T23:59:59.999999999999Z",
            "long key": f"{before}\n{'k' * DEEP} = 1",
            "tables": f"{before}\n" + "[[x]]\n" * 20_000,
            "not Unicode": f'{before}\nx = "\\ud800"',
        }
    if kind == "yaml":
        laughs = "\n".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]" for i in range(12))
        return {
            "laughs": f"a: &a [lol]\n{laughs}", "flow": "[" * DEEP, "maps": "{a: " * 20_000, "blocks": "- " * 20_000,
            "question marks": "? " * 20_000, "digits": f"a: {'9' * DEEP}", "sexagesimal": f"a: {':'.join(['59'] * 20_000)}",
            "python": "a: !!python/object/apply:os.system ['true']", "merge": "a: &a {<<: *a}", "twice": "a: 1\na: 2",
            "keys": "\n".join(f"k{i}: 1" for i in range(2_000)), "anchors": "a: " + "&b " * 5000,
        }  # fmt: skip
    return {
        "arrays": "[" * DEEP, "closed arrays": "[" * DEEP + "]" * DEEP, "objects": '{"a":' * DEEP + "1" + "}" * DEEP,
        "digits": f'{{"a": {"9" * DEEP}}}', "minus": f'{{"a": -{"9" * DEEP}}}', "float": f'{{"a": {"9" * DEEP}.0e-5}}',
        "exponent": '{"a": 1e999999999}', "twice": '{"model": "a", "model": "b"}', "NaN": '{"a": NaN}', "lone": '{"a": "\\ud800"}',
        "in a field": f'{{"model": {"[" * 5000}{"]" * 5000}, "opponent": "o", "winner": "model", "prompt_id": "p"}}',
        "number field": f'{{"model": "m", "opponent": "o", "outcome": {"9" * 4000}, "prompt_id": "p"}}',
        "id field": f'{{"model": "m", "opponent": "o", "outcome": 1, "prompt_id": {"9" * 4299}}}',
    }  # fmt: skip


def _all_jobs(folder: Path) -> list[tuple[object, ...]]:
    """Return every command that reads a document, once for every bomb."""
    judge = to_toml(load_judge("arena-hard-v0.1"))
    head, _, rest = judge.partition("\n")
    heads = {
        "policy": policy_text("standard").split("[", 1)[0], "judge": 'schema = "auditkit.judge/1"\nname = "j"',
        "spec": "", "claims": 'schema = "auditkit.claims/1"', "run": 'schema = "auditkit.run/1"',
    }  # fmt: skip
    assert head and rest
    pairs = folder / "good.jsonl"
    pairs.write_text("".join(
        json.dumps({"prompt_id": f"p{k}", "model": "m", "opponent": "o", "winner": "model"}) + "\n" for k in range(4)
    ))  # fmt: skip
    jobs: list[tuple[object, ...]] = []
    for name, before in heads.items():
        for k, text in enumerate(_bombs(before, "toml").values()):
            path = folder / f"{name}-{k}.toml"
            path.write_text(text, encoding="utf-8")
            if name == "run":
                path = folder / f"run-{k}"
                path.mkdir()
                (path / "run.toml").write_text(text, encoding="utf-8")
            jobs.append({
                "policy": ("audit", pairs, "--policy", path), "judge": ("judges", "check", path), "spec": ("run", path, "--dry-run"),
                "claims": ("claim", path), "run": ("audit", path),
            }[name])  # fmt: skip
    for k, text in enumerate(_bombs("", "yaml").values()):
        path = folder / f"j{k}.yaml"
        path.write_text(text, encoding="utf-8")
        jobs.append(("judges", "import", path))
    for k, text in enumerate(_bombs("", "json").values()):
        path = folder / f"b{k}.jsonl"
        path.write_text(text, encoding="utf-8")
        report = folder / f"r{k}" / "report.json"
        report.parent.mkdir()
        report.write_text(text, encoding="utf-8")
        jobs += [
            ("audit", path), ("quality", path), ("verify", path), ("leaderboard", report), ("build", path, "--out", folder / "b"),
            ("judges", "import", path, "--kind", "fastchat"), ("quality", pairs, "--names", path),
        ]  # fmt: skip
    return jobs


def test_documents_that_want_much_are_one_line(tmp_path: Path) -> None:
    """Depth, digits, repeated keys, aliases: exit code 2 (1 for a certificate) and one clear line, never a fault of ours."""
    wrong = {}
    for job in _all_jobs(tmp_path):
        result = CliRunner().invoke(main, [str(word) for word in job])
        shown = " ".join(str(word).replace(str(tmp_path), ".") for word in job)
        good = result.exit_code in (1, 2, 3) and "internal error" not in result.output and len(result.output) < 6000
        if not good or (result.exit_code == 2 and result.stderr.count("\n") > 5):
            wrong[shown] = result.output[-300:]
    assert wrong == {}


# --- lines and answers without end -----------------------------------------------------------------------------------


def test_a_line_without_end_is_refused(tmp_path: Path, processes: Callable[..., Any]) -> None:
    """A sparse file of 300 MiB without a line end: refused by its length, never held whole."""
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(b'{"model": "')
        file.truncate(HUGE)
    judge = tmp_path / "judge.toml"
    with judge.open("wb") as file:
        file.truncate(HUGE)
    jobs = [
        ("plugins",), ("audit", path), ("build", path, "--out", tmp_path / "o", "--workers", 1), ("verify", path),
        ("judges", "check", judge), ("run", judge), ("claim", judge), ("audit", path, "--policy", judge), ("judges", "import", judge),
    ]  # fmt: skip
    idle, *ended = processes(jobs)
    for job, done in zip(jobs[1:], ended, strict=True):
        assert done.code in (1, 2) and "Traceback" not in done.text, (job, done.text)
        assert done.peak < idle.peak + ALLOWANCE, (job, done.peak - idle.peak)
