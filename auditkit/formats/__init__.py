"""Recordings in and out: recognise a benchmark's files, read them into `Battles`, write them elsewhere.

A format is a module (or any object) with ``TITLE``, ``recognise`` and ``read``, and ``write`` where it can
be written, registered by entry point in the group ``auditkit.formats``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from auditkit import registry
from auditkit.errors import InputError, UnknownFormat, UsageError
from auditkit.formats._io import open_file, walk
from auditkit.formats._join import join
from auditkit.records import Battles

__all__ = ["Format", "convert", "join", "read", "read_each", "refuse_overlap"]


class Format(Protocol):
    """What a plugin of the group ``auditkit.formats`` offers. A module is one.

    A format that can also be written has ``write(battles: Battles, path: Path) -> None``, which raises
    `InputError`, before it writes anything, where the recording holds what the format cannot.
    """

    TITLE: str

    def recognise(self, path: Path) -> bool:
        """Tell from names and the first record whether `path` is of this format; never raise."""
        ...

    def read(self, path: Path) -> Battles:
        """Read the recording at `path`, a file or a folder.

        Raises:
            InputError: It cannot be used; file and record are named.
        """
        ...


def _check_path(path: Path) -> None:
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # name too long, a loop of links, a NUL in the name
        raise InputError(f"the path cannot be used: {error}", path=path) from error
    if is_folder:
        if next(walk(path), None) is None:
            raise InputError("the folder holds no files", path=path)
    elif not exists:
        raise InputError("no such file or folder", path=path)
    else:
        open_file(path).close()


def _recognised(path: Path) -> str:
    known = registry.plugins("formats")
    claims = []
    for name, plugin in known.items():
        try:
            if plugin.load().recognise(path):
                claims.append(name)
        except InputError:  # a folder below that cannot be listed: reading, not recognising, reports it
            continue
    if len(claims) == 1:
        return claims[0]
    if not claims:
        raise UnknownFormat(
            "not a recording of any known format",
            path=path,
            mend=f"point to the folder or file itself; formats: {', '.join(known)}",
        )
    raise InputError(
        f"could be {' or '.join(claims)}",
        path=path,
        mend=f"point to one recording, or choose with --format {claims[0]}",
    )


def _read_one(path: Path, format: str | None) -> Battles:  # noqa: A002  the option's own name
    if format is not None:
        registry.find("formats", format)
    _check_path(path)
    plugin: Format = registry.find("formats", format or _recognised(path)).load()
    return plugin.read(path)


def refuse_overlap(paths: Sequence[Path]) -> None:
    """Raise where one path is, or holds, another: its games would count twice.

    Raises:
        InputError: Two of the paths overlap.
    """
    places = []
    for path in paths:
        try:
            places.append((path.resolve(), path))
        except (OSError, RuntimeError, ValueError):  # reading it gives the clear line
            continue
    for i, (place, path) in enumerate(places):
        for other, first in places[:i]:
            if place == other or place.is_relative_to(other) or other.is_relative_to(place):
                raise InputError(
                    f"overlaps with {first}: its games would count twice", path=path, mend="give each recording once"
                )


def read(*paths: Path | str, format: str | None = None) -> Battles:  # noqa: A002  the option's own name
    """Read one recording, or several of one benchmark joined.

    Args:
        paths: Files or folders; each is recognised by itself.
        format: A format's name (``auditkit plugins`` lists them), to skip the recognition.

    Returns:
        The recording.

    Raises:
        InputError: A path is missing, empty, damaged, given twice, or recognised by more than one format; or the
            recordings cannot be compared (no baseline in common).
        UnknownFormat: No format recognises a path.
        UsageError: There is no format of that name, or no path was given.
    """
    parts, _ = read_each(paths, format=format)
    return join(parts)


def read_each(
    paths: Iterable[Path | str],
    format: str | None = None,  # noqa: A002  the option's own name
    keep_going: bool = False,
) -> tuple[list[Battles], list[InputError]]:
    """Read every path by itself.

    Args:
        paths: Files or folders.
        format: As for `read`.
        keep_going: Collect the errors and read on, instead of raising the first.

    Returns:
        The recordings that could be read, in order, and the errors of those that could not.

    Raises:
        InputError: As `read`, unless `keep_going`. Overlapping paths are always refused.
        UsageError: There is no format of that name, or no path was given.
    """
    wanted = [Path(path) for path in paths]
    if not wanted:
        raise UsageError("no path was given")
    refuse_overlap(wanted)
    parts: list[Battles] = []
    errors: list[InputError] = []
    for path in wanted:
        try:
            parts.append(_read_one(path, format))
        except InputError as error:
            if not keep_going:
                raise
            errors.append(error)
    return parts, errors


def convert(
    source: Path | str,
    target: Path | str,
    *,
    to: str,
    format: str | None = None,  # noqa: A002  the option's own name
) -> Battles:
    """Read `source` and write it to `target` in the format `to`.

    Returns:
        The recording that was written.

    Raises:
        InputError: `source` cannot be read, `target` exists and is not empty, or the format `to` cannot hold
            everything that the recording holds; what would be lost is named.
        UsageError: There is no format of that name, or it cannot be written.
    """
    write = getattr(registry.find("formats", to).load(), "write", None)
    if write is None:
        raise UsageError(f"format {to} can be read but not written")
    place = Path(target)
    try:
        taken = any(place.iterdir()) if place.is_dir() else place.exists() and place.stat().st_size > 0
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"the target cannot be used: {error}", path=place) from error
    if taken:
        raise InputError("the target exists and is not empty", path=place, mend="choose a new name")
    battles = read(source, format=format)
    try:
        write(battles, place)
    except OSError as error:
        raise InputError(f"the target cannot be written: {error.strerror}", path=place) from error
    return battles
