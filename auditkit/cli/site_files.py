"""Put the files of a site into a folder: ours are replaced or removed, nobody else's are touched."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from auditkit.cli.files import replace_file
from auditkit.errors import InputError

__all__ = ["write_site"]

#: Names that a site of ours can have: a manifest that somebody changed cannot name any other file.
_OURS: Final = re.compile(
    r"(index|judge|method)\.html|(submission|compare|judges)-[0-9a-f]{24}\.html|report\.json|slices\.csv|board\.(csv|json|parquet)"
)


def write_site(files: Mapping[str, bytes], out: Path) -> Path:
    """Write a site into `out` and return its first page. The same site twice leaves the same bytes.

    Pages of an earlier, larger site are removed if its manifest names them and they are as they were written. A file
    that stands in the way and is not ours is left alone, and so is the rest.

    Raises:
        InputError: A file that is not ours has a name that is needed, or the folder cannot be written to.
    """
    from auditkit.reports.site import MANIFEST, manifest_text, read_manifest

    try:
        out.mkdir(parents=True, exist_ok=True)
        known = out / MANIFEST
        before = read_manifest(known.read_text(encoding="utf-8")) if known.exists() else {}
        for name in files:
            if name not in before and ((out / name).exists() or (out / name).is_symlink()):
                raise InputError(
                    "the folder holds a file of this name that is no page of ours", path=out / name,
                    mend="choose an empty folder for --site",
                )  # fmt: skip
        # Named before they are written: a run that is killed here leaves nothing that the next one takes for foreign.
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        replace_file(known, manifest_text({**before, **hashes}))
        for name, data in files.items():
            replace_file(out / name, data)
        for name in sorted(before.keys() - files.keys()):
            if _OURS.fullmatch(name):
                _remove(out / name, before[name])
        replace_file(known, manifest_text(hashes))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its manifest is not text"
        raise InputError(
            f"cannot write the site: {reason}", path=out, mend="choose another folder for --site"
        ) from None
    return out / "index.html"


def _remove(path: Path, expected: str) -> None:
    """Remove a stale page, unless somebody changed it."""
    if path.is_symlink() or not path.is_file():
        return
    if hashlib.sha256(path.read_bytes()).hexdigest() == expected:
        path.unlink()
