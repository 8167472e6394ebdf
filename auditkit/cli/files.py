"""Write files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from auditkit.errors import InputError

__all__ = ["replace_file", "write_files"]


def write_files(out: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files (content by name) into the folder `out`, each whole or not at all.

    Raises:
        InputError: The folder cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            replace_file(out / name, text)
    except OSError as error:
        raise InputError(f"cannot write here: {error.strerror}", path=out, mend="choose another --out") from None


def replace_file(path: Path, text: str | bytes) -> None:
    """Put `text` (as UTF-8, if it is not bytes) at `path` in one step: a reader meets the old file or the new one, never a part.

    Raises:
        OSError: The folder cannot be written to.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode("utf-8"))
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)  # a temporary file is its owner's alone
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
