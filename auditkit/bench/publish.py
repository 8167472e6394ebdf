"""Write a benchmark folder: prompts in our shape and in Arena-Hard's, the datasheet, and the account of every prompt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from auditkit.bench.parts import read_part, write_whole
from auditkit.bench.record import Chosen, Datasheet, to_json
from auditkit.bench.refresh import MANIFEST, RETIRED, Release, Retired, manifest_of, retired_lines
from auditkit.errors import InputError, UsageError, printable

__all__ = ["LEDGER", "check_folder", "lines_of", "publish", "write_ledger"]

LEDGER: Final = "ledger.parquet"
_SHEET: Final = "datasheet.json"
_OURS: Final = frozenset({LEDGER, MANIFEST, RETIRED, _SHEET, "datasheet.html", "prompts.jsonl", "question.jsonl"})


def check_folder(out: Path) -> None:
    """Raise if a folder holds anything but an earlier benchmark, or the beginning of one that was stopped.

    Raises:
        UsageError: It holds something else.
        InputError: It cannot be used.
    """
    try:
        if out.exists() and not (out.is_dir() and _is_ours(out)):
            raise UsageError(f"{printable(out)} exists and is no benchmark folder: choose another --out")
    except OSError as error:
        raise InputError(f"the folder cannot be used: {error.strerror}", path=out) from error


def _is_ours(out: Path) -> bool:
    """Tell whether a folder is empty, a benchmark, or what a build leaves that was killed while it wrote: the ledger is
    written first, and each file under another name until it is whole.
    """
    names = {entry.name for entry in out.iterdir()}
    whole = {name for name in names if not (name.startswith(".") and name.endswith(".part"))}
    return not whole or _SHEET in whole or (LEDGER in whole and whole <= _OURS)


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def lines_of(chosen: Sequence[Chosen]) -> tuple[str, str]:
    """Return ``question.jsonl``, as Arena-Hard reads it, and ``prompts.jsonl``, with why each prompt is in.

    Prompts of several turns have ``turns`` in place of ``prompt``, as Arena-Hard's first release had.
    """
    questions, prompts = [], []
    for one in chosen:
        said = {"prompt": one.turns[0]} if len(one.turns) == 1 else {"turns": [{"content": turn} for turn in one.turns]}
        questions.append(
            _line(
                {
                    "uid": one.uid,
                    "category": one.category,
                    "cluster": one.cluster_name,
                    "language": one.language,
                    **said,
                }
            )
        )
        prompts.append(
            _line(
                {
                    "id": one.uid, "turns": list(one.turns), "category": one.category, "language": one.language,
                    "cluster": one.cluster_name, "cluster_number": one.cluster, "score": one.score,
                    "cluster_mean": round(one.cluster_mean, 6), "criteria": one.criteria, "annotator": one.annotator,
                    "copies": one.copies, "redactions": one.redactions, "source": one.source, "licence": one.licence,
                    "origin": one.origin, "origin_id": one.origin_id, "kind": one.kind,
                    "first_version": one.first_version, "evolved_from": one.evolved_from, "why": one.why,
                }
            )
        )  # fmt: skip
    return "".join(f"{line}\n" for line in questions), "".join(f"{line}\n" for line in prompts)


def publish(
    out: Path,
    chosen: Sequence[Chosen],
    sheet: Datasheet,
    page: str,
    follows: Release | None = None,
    retired: Sequence[Retired] = (),
) -> None:
    """Write the files of a benchmark, each whole; the manifest, which names the others' hashes, last.

    Args:
        out: The benchmark's folder, with its ledger in it.
        chosen, sheet, page: What is written.
        follows: The version before.
        retired: Every prompt that was ever retired.

    Raises:
        InputError: The folder cannot be written to.
    """
    questions, prompts = lines_of(chosen)
    files = {
        "question.jsonl": questions, "prompts.jsonl": prompts, "datasheet.html": page, _SHEET: to_json(sheet),
    }  # fmt: skip
    if follows is not None:
        files[RETIRED] = retired_lines(retired)
    try:
        data = {name: text.encode() for name, text in files.items()}
        for name, raw in data.items():
            write_whole(out / name, raw)
        if follows is None:
            (out / RETIRED).unlink(missing_ok=True)
        data[LEDGER] = (out / LEDGER).read_bytes()
        write_whole(
            out / MANIFEST, manifest_of(sheet.name, sheet.version, sheet.prompts, data, follows).encode()
        )  # fmt: skip
    except OSError as error:
        raise InputError(f"the benchmark cannot be written: {error.strerror}", path=out) from error


def digest_of(chosen: Sequence[Chosen]) -> str:
    """Return the SHA-256 (hex) of ``question.jsonl``."""
    return hashlib.sha256(lines_of(chosen)[0].encode()).hexdigest()


def write_ledger(
    path: Path, ingested: Sequence[Path], kept: Sequence[Path], outcome: np.ndarray[Any, Any], names: Sequence[str]
) -> None:
    """Write what became of every prompt of the input, one row each, in the input's order.

    Args:
        path: Where to.
        ingested: The ingested parts.
        kept: The parts of `auditkit.bench.overlap.keep`, one for each.
        outcome: For every prompt that was kept, the number of what became of it.
        names: What the numbers mean.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("row", pa.int64()), ("place", pa.string()), ("id", pa.string()), ("outcome", pa.string()), ("of", pa.int64()),
         ("value", pa.float32()), ("against", pa.string())]
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.part")
    try:
        with pq.ParquetWriter(scratch, schema, compression="zstd") as writer:
            for table in _accounts(ingested, kept, outcome, names):
                writer.write_table(table.cast(schema))
        scratch.replace(path)
    except OSError as error:
        raise InputError(f"the ledger cannot be written: {error.strerror}", path=path) from error
    finally:
        scratch.unlink(missing_ok=True)


def _accounts(
    ingested: Sequence[Path], kept: Sequence[Path], outcome: np.ndarray[Any, Any], names: Sequence[str]
) -> Iterator[Any]:
    import pyarrow as pa

    start = 0
    for first, last in zip(ingested, kept, strict=True):
        table = read_part(first, ["row", "place", "id", "reason"])
        rows = table.column("row").to_numpy()
        told = table.column("reason").to_pylist()
        of = np.full(len(rows), -1)
        value = np.full(len(rows), np.nan, dtype=np.float32)
        against = [""] * len(rows)
        out = read_part(last.with_suffix(".dropped"))
        for place, reason, other, how, where in zip(
            np.searchsorted(rows, out.column("row").to_numpy()).tolist(),
            *(out.column(name).to_pylist() for name in ("reason", "of", "value", "against")),
            strict=True,
        ):
            told[place], of[place], value[place], against[place] = reason, other, how, where
        stayed = np.searchsorted(rows, read_part(last, ["row"]).column("row").to_numpy())
        for place, number in zip(stayed.tolist(), outcome[start : start + len(stayed)].tolist(), strict=True):
            told[place] = names[number]
        start += len(stayed)
        yield pa.table(
            {"row": rows, "place": table.column("place"), "id": table.column("id"), "outcome": told, "of": of,
             "value": value, "against": against}
        )  # fmt: skip
