"""The work folder: which stage was made with which settings, and what of it is there.

``state.json`` holds the key of each stage: a hash of its settings, of the code's own version and of the keys of the
stages that it builds on. A stage whose key is unchanged keeps its parts, also those of a start that was killed; a
stage whose key has changed is made anew, and so is every one after it, because their keys change with it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from auditkit.bench.parts import write_whole
from auditkit.errors import InputError, UsageError, printable

__all__ = ["FORMAT", "Stage", "Work", "digest", "opened"]

FORMAT: Final = 2
"""Version of the part files: raised when a stage's code changes what it writes."""
_STATE: Final = "state.json"
_SCHEMA: Final = "auditkit.build-work/1"


def digest(value: object) -> str:
    """Return a short hash (hex) of anything that JSON can hold."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Stage:
    """A stage's folder, its key, and whether it is complete."""

    name: str
    folder: Path
    key: str
    done: bool
    facts: Mapping[str, Any]


@dataclass
class Work:
    """An open work folder (see `opened`)."""

    folder: Path
    state: dict[str, Any] = field(default_factory=dict)

    def begin(self, name: str, settings: Mapping[str, object], after: Sequence[Stage] = ()) -> Stage:
        """Return a stage, emptied if it was made with other settings or from other stages.

        Args:
            name: Its folder's name.
            settings: Everything that decides what it makes.
            after: The stages that it builds on.
        """
        key = digest([FORMAT, name, dict(settings), [stage.key for stage in after]])
        folder = self.folder / name
        known = self.state["stages"].get(name, {})
        if known.get("key") != key:
            # The record goes first: parts without a record are never taken for current ones.
            self.state["stages"].pop(name, None)
            self._save()
            if folder.exists():
                shutil.rmtree(folder)
            known = {"key": key, "done": False, "facts": {}}
            self.state["stages"][name] = known
            self._save()
        folder.mkdir(parents=True, exist_ok=True)
        return Stage(name, folder, key, bool(known["done"]), known["facts"])

    def finish(self, stage: Stage, facts: Mapping[str, Any]) -> Stage:
        """Note that a stage is complete, with what came of it."""
        self.state["stages"][stage.name] = {"key": stage.key, "done": True, "facts": dict(facts)}
        self._save()
        return Stage(stage.name, stage.folder, stage.key, True, dict(facts))

    def fingerprint(self, path: Path) -> str:
        """Return the SHA-256 (hex) of an input; a file of unchanged size and time is not read again.

        Raises:
            InputError: It cannot be read.
        """
        try:
            found = path.stat()
            known = self.state["inputs"].get(str(path))
            if known and known["size"] == found.st_size and known["mtime_ns"] == found.st_mtime_ns:
                return str(known["sha256"])
            with path.open("rb") as handle:
                sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"the file cannot be read: {error.strerror}", path=path) from error
        self.state["inputs"][str(path)] = {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "sha256": sha256}
        self._save()
        return sha256

    def _save(self) -> None:
        write_whole(self.folder / _STATE, json.dumps(self.state, indent=1, sort_keys=True).encode())


def _read_state(folder: Path) -> dict[str, Any]:
    path = folder / _STATE
    fresh: dict[str, Any] = {"schema": _SCHEMA, "stages": {}, "inputs": {}}
    if not path.exists():
        if any(entry.name != ".lock" for entry in folder.iterdir()):
            raise UsageError(f"{printable(folder)} is not empty and no work folder of a build: choose another --work")
        return fresh
    try:
        state = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"not readable: {error}", path=path, mend="remove the work folder") from error
    if not isinstance(state, dict) or state.get("schema") != _SCHEMA:
        raise InputError("a work folder of another version", path=path, mend="remove it, or choose another --work")
    return {**fresh, **state}


@contextmanager
def opened(folder: Path) -> Iterator[Work]:
    """Open a work folder for one build at a time.

    Raises:
        InputError: It cannot be made, or is damaged.
        UsageError: Another build is using it, or it holds something else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(f"the work folder cannot be made: {error.strerror}", path=folder) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another build is using {folder}: wait for it, or choose another --work") from None
        yield Work(folder, _read_state(folder))
