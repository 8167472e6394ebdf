"""Versions of a benchmark: what a release is made of, how the next one knows that it is unchanged, what was retired.

Every release carries ``manifest.json``: the SHA-256 of each of its files, and that of the manifest of every release
before it. A release that was changed after it was published is refused as the start of the next one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from auditkit.bench.criteria import CRITERIA
from auditkit.errors import InputError, UsageError, printable

__all__ = [
    "MANIFEST", "RETIRED", "Kept", "Release", "Retired", "check_out", "is_inside", "manifest_of", "next_version", "read_release",
    "retired_lines",
]  # fmt: skip

MANIFEST: Final = "manifest.json"
RETIRED: Final = "retired.jsonl"
_SCHEMA: Final = "auditkit.release/1"
_LAST_NUMBER: Final = re.compile(r"\d+(?=\D*\Z)")
_NEEDED: Final = ("question.jsonl", "prompts.jsonl", "datasheet.json")


@dataclass(frozen=True)
class Kept:
    """A prompt of an earlier version, as its ``prompts.jsonl`` has it."""

    uid: str
    turns: tuple[str, ...]
    category: str
    language: str
    cluster: str
    score: int
    cluster_mean: float
    criteria: Mapping[str, bool]
    annotator: str
    copies: int
    redactions: int
    source: str
    licence: str
    origin: str
    origin_id: str
    first_version: str
    evolved_from: str


@dataclass(frozen=True)
class Retired:
    """A prompt that was in a version and is in none that follows.

    Attributes:
        id, turns, category, language, cluster: The prompt.
        first_version, retired_in: The version that it came with, the first without it.
        reason: ``leaked``, ``duplicate_of_new``, ``too_old``, ``uninformative`` or ``rotated``.
        detail: One sentence.
        models: Models whose past judgments count; the next two are None where they are too few.
        discrimination, best_minus_worst: What past judgments say.
    """

    id: str
    turns: tuple[str, ...]
    category: str
    language: str
    cluster: str
    first_version: str
    retired_in: str
    reason: str
    detail: str
    models: int
    discrimination: float | None
    best_minus_worst: float | None


@dataclass(frozen=True)
class Release:
    """An earlier version that is as it was published.

    Attributes:
        folder: Where it is.
        manifest: SHA-256 (hex) of its manifest.
        chain: Version and manifest of every release before it, the oldest first.
        prompts: Its prompts, in the order of ``question.jsonl``.
        retired: Prompts that were retired before.
        pools: SHA-256 of the files that its prompts were drawn from.
    """

    folder: Path
    name: str
    version: str
    manifest: str
    chain: tuple[Mapping[str, str], ...]
    prompts: tuple[Kept, ...]
    retired: tuple[Retired, ...]
    pools: frozenset[str]

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version up to this one, the oldest first."""
        return (*(one["version"] for one in self.chain), self.version)


def next_version(version: str) -> str:
    """Return a version with its last number raised by one: 1 to 2, 2.9 to 2.10; ``x`` to ``x.2``."""
    match = _LAST_NUMBER.search(version)
    if match is None:
        return f"{version}.2"
    return f"{version[: match.start()]}{int(match[0]) + 1}{version[match.end() :]}"


def manifest_of(
    name: str, version: str, prompts: int, files: Mapping[str, bytes], follows: Release | None
) -> str:  # fmt: skip
    """Return the manifest of a release, as JSON.

    Args:
        name, version, prompts: The release's.
        files: The bytes of each of its files.
        follows: The release before it.
    """
    before = [] if follows is None else [*follows.chain, {"version": follows.version, "manifest": follows.manifest}]
    body = {
        "schema": _SCHEMA, "name": name, "version": version, "prompts": prompts,
        "files": {file: hashlib.sha256(data).hexdigest() for file, data in files.items()},
        "follows": before[-1] if before else None, "chain": [dict(one) for one in before],
    }  # fmt: skip
    return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def retired_lines(retired: Sequence[Retired]) -> str:
    """Return ``retired.jsonl``."""
    return "".join(json.dumps(asdict(one), ensure_ascii=False, allow_nan=False) + "\n" for one in retired)


def is_inside(path: Path, folder: Path) -> bool:
    """Tell whether a path is a folder, or lies in it, links followed."""
    return path.resolve().is_relative_to(folder.resolve())


def read_release(folder: Path) -> Release:
    """Read an earlier version, every file checked against its manifest.

    Raises:
        InputError: It is no benchmark that `auditkit build` made, or not as it was published.
    """
    if not folder.is_dir():
        raise InputError("an earlier version is a folder that auditkit build made", path=folder)
    raw = _bytes(folder / MANIFEST, folder)
    body = _object(raw, folder / MANIFEST)
    files: Any = body.get("files")
    chain: Any = body.get("chain")
    good = (
        body.get("schema") == _SCHEMA and isinstance(files, dict) and isinstance(chain, list)
        and all(isinstance(body.get(key), str) and body[key] for key in ("name", "version"))
        and all(isinstance(one, dict) and all(isinstance(one.get(k), str) for k in ("version", "manifest")) for one in chain)
        and (body.get("follows") == (chain[-1] if chain else None))
    )  # fmt: skip
    if not good:
        raise InputError("not the manifest of a benchmark of this version of auditkit", path=folder / MANIFEST)
    missing = [name for name in (*_NEEDED, *([RETIRED] if chain else [])) if name not in files]
    if missing:
        raise InputError(f"the manifest does not name {missing[0]}", path=folder / MANIFEST)
    data: dict[str, bytes] = {}
    for name, sha256 in files.items():
        if Path(name).name != name:
            raise InputError(f"a file outside the folder: {printable(name, 60)!r}", path=folder / MANIFEST)
        data[name] = _bytes(folder / name, folder)
        if hashlib.sha256(data[name]).hexdigest() != sha256:
            raise InputError(
                "changed after the benchmark was published: its SHA-256 is not that in manifest.json", path=folder / name,
                mend="take the folder as it was published",
            )  # fmt: skip
    sheet = _object(data["datasheet.json"], folder / "datasheet.json")
    inputs = sheet.get("inputs")
    pools = frozenset(str(one.get("sha256")) for one in inputs) if isinstance(inputs, list) else frozenset()
    prompts = tuple(
        _kept(record, body["version"], folder, line)
        for line, record in _lines(data["prompts.jsonl"], folder / "prompts.jsonl")
    )  # fmt: skip
    if not prompts:
        raise InputError("the earlier version holds no prompt", path=folder / "prompts.jsonl")
    retired = tuple(
        _retired(record, folder, line) for line, record in _lines(data.get(RETIRED, b""), folder / RETIRED)
    )  # fmt: skip
    return Release(
        folder, body["name"], body["version"], hashlib.sha256(raw).hexdigest(), tuple(chain), prompts, retired, pools
    )


def _bytes(path: Path, folder: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if path.name != MANIFEST:
            raise InputError("the file is missing; the manifest names it", path=path) from None
        old = (folder / "datasheet.json").is_file()
        raise InputError(
            "no benchmark that auditkit build made: there is no manifest.json", path=folder,
            mend="build it again with this version of auditkit" if old else "name the folder that an earlier build wrote",
        ) from None  # fmt: skip
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", path=path) from error


def _object(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError("not JSON", path=path) from error
    if not isinstance(body, dict):
        raise InputError("expected a JSON object", path=path)
    return body


def _lines(raw: bytes, path: Path) -> list[tuple[str, dict[str, Any]]]:
    lines = [line for line in raw.split(b"\n") if line]
    return [(f"line {k}", _object(line, path)) for k, line in enumerate(lines, start=1)]


def _kept(record: dict[str, Any], version: str, folder: Path, line: str) -> Kept:
    try:
        return Kept(
            str(record["id"]), tuple(str(turn) for turn in record["turns"]), str(record["category"]),
            str(record["language"]), str(record["cluster"]), int(record["score"]), float(record["cluster_mean"]),
            {name: bool(record["criteria"][name]) for name in CRITERIA}, str(record["annotator"]),
            int(record["copies"]), int(record["redactions"]), str(record["source"]), str(record["licence"]),
            str(record["origin"]), str(record["origin_id"]), str(record.get("first_version") or version),
            str(record.get("evolved_from") or ""),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"not a prompt of a build: {error!r}", path=folder / "prompts.jsonl", record=line) from error


def _retired(record: dict[str, Any], folder: Path, line: str) -> Retired:
    try:
        return Retired(**{**record, "turns": tuple(str(turn) for turn in record["turns"])})
    except (KeyError, TypeError) as error:
        raise InputError("not a retired prompt of a build", path=folder / RETIRED, record=line) from error


def check_out(out: Path, release: Release) -> None:
    """Raise if a new version would be written over an earlier one.

    Raises:
        UsageError: It would.
    """
    if is_inside(out, release.folder):
        raise UsageError(f"--out {printable(out)} is the earlier version itself: choose another folder")
