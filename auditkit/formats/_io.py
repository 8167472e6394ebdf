"""Read untrusted files: JSON, JSON Lines, folders; every failure is one `InputError` that names file and record."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from auditkit.errors import InputError, printable
from auditkit.records import Input

__all__ = [
    "clean",
    "fingerprint",
    "first_record",
    "number_of",
    "open_file",
    "prompt_key",
    "read_json",
    "read_jsonl",
    "records_of",
    "text_of",
    "walk",
]

MAX_DOCUMENT: Final = 1 << 30
MAX_LINE: Final = 64 << 20
_PEEK: Final = 1 << 20
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_GZIP: Final = b"\x1f\x8b"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MANY_DIGITS: Final = "a whole number with too many digits"
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_ODD_NUMBER: Final = re.compile(r"NaN|-?Infinity|-?(?<![0-9])[0-9]{4000,}")


def clean(text: str) -> str:
    """Replace unpaired surrogates, which no file can hold, by U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def walk(folder: Path) -> Iterator[Path]:
    """Yield the regular files below `folder`, each folder's own files first, both in sorted order.

    Hidden files and folders are skipped. Links to folders are not followed: what they lead to is either below
    `folder` and read there, or outside, where nothing is read. A link to a file counts if its target is below
    `folder`.

    Raises:
        InputError: A folder cannot be listed.
    """
    try:
        root = folder.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise InputError("a loop of links", path=folder) from error
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                listed = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
        except OSError as error:
            raise InputError(f"the folder cannot be listed: {error.strerror}", path=here) from error
        waiting.extend(here / e.name for e in reversed(listed) if e.is_dir(follow_symlinks=False))
        for entry in listed:
            path = here / entry.name
            if entry.is_file(follow_symlinks=False) or (entry.is_symlink() and _leads_below(path, root)):
                yield path


def _leads_below(link: Path, root: Path) -> bool:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return target.is_file() and target.is_relative_to(root)


def open_file(path: Path) -> BinaryIO:
    """Open a regular, uncompressed file for reading bytes.

    Raises:
        InputError: It is missing, a folder, a pipe, empty, compressed or unreadable.
    """
    try:
        # A pipe or a device would block for ever: asked before opening.
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError("expected a file, got a folder", path=path)
        if not stat.S_ISREG(mode):
            raise InputError("expected a regular file, got a pipe, socket or device", path=path)
        handle = path.open("rb")
    except FileNotFoundError as error:
        raise InputError("no such file", path=path) from error
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"the file cannot be read: {reason}", path=path) from error
    try:
        head = handle.read(4)
        handle.seek(0)
    except OSError as error:
        handle.close()
        raise InputError(f"the file cannot be read: {error.strerror}", path=path) from error
    problem = mend = None
    if not head:
        problem = "the file is empty"
    elif head in _ZIP:
        problem, mend = "a zip archive is not read", "unpack it and point to the folder"
    elif head.startswith(_GZIP):
        problem, mend = "a gzip file is not read", "unpack it with gunzip first"
    if problem:
        handle.close()
        raise InputError(problem, path=path, mend=mend)
    return handle


def _no_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)


def _decode(raw: bytes, path: Path, where: str | None) -> object:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        place = where or f"line {before.count(10) + 1}"
        column = error.start - before.rfind(b"\n")
        raise InputError(
            f"not UTF-8 at byte {column} of the line", path=path, record=place, mend="save it as UTF-8"
        ) from error
    try:
        value: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        place = f"{where}, column {error.colno}" if where else f"line {error.lineno}, column {error.colno}"
        ended = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        mend = "the file looks cut off" if ended else None
        raise InputError(f"not JSON: {error.msg}", path=path, record=place, mend=mend) from error
    except RecursionError as error:
        raise InputError("JSON nested too deeply", path=path, record=where) from error
    except ValueError as error:  # NaN and Infinity; whole numbers of more than 4300 digits
        problem = str(error) if "is not JSON" in str(error) else _MANY_DIGITS
        mend = "write null for a missing number" if problem is not _MANY_DIGITS else None
        raise InputError(problem, path=path, record=where or _place_of_odd_number(text), mend=mend) from error
    return value


def _place_of_odd_number(text: str) -> str | None:
    """Return the line of the first number that is not JSON, for a decoder that names none."""
    plain = _STRING.sub(lambda match: " " * len(match.group()), text)
    found = _ODD_NUMBER.search(plain)
    if found is None:
        return None
    before = text[: found.start()]
    return f"line {before.count(chr(10)) + 1}, column {found.start() - before.rfind(chr(10))}"


def read_json(path: Path) -> object:
    """Read one JSON document.

    Raises:
        InputError: It is missing, larger than 1 GiB, compressed, not UTF-8, not JSON (NaN and Infinity are not),
            cut off or nested too deeply; line and column are named.
    """
    with open_file(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        if size > MAX_DOCUMENT:
            raise InputError(
                f"one JSON document of {size} bytes; the limit is {MAX_DOCUMENT}",
                path=path,
                mend="write it as JSON Lines, one record a line",
            )
        return _decode(handle.read(), path, None)


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield ``(line number from 1, record)`` of a JSON Lines file; blank lines are skipped.

    Lines end at ``\\n`` only: an answer may hold U+2028, U+0085 and other characters that are line ends elsewhere.

    Raises:
        InputError: As `read_json`, for the line; also a line above 64 MiB or one that is not an object.
    """
    with open_file(path) as handle:
        number = 0
        while raw := handle.readline(MAX_LINE + 1):
            number += 1
            where = f"line {number}"
            if len(raw) > MAX_LINE:
                raise InputError(f"a line of more than {MAX_LINE} bytes", path=path, record=where)
            if raw.isspace():
                continue
            value = _decode(raw, path, where)
            if not isinstance(value, dict):
                raise InputError(f"expected an object, got {_kind(value)}", path=path, record=where)
            yield number, value


def records_of(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield ``("item 3" or "line 3", record)`` of a JSON list of objects or a JSON Lines file, told by its first byte.

    Raises:
        InputError: As `read_json` and `read_jsonl`; also an item that is not an object.
    """
    with open_file(path) as handle:
        head = handle.read(_PEEK).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head.startswith(b"["):
        for number, record in read_jsonl(path):
            yield f"line {number}", record
        return
    items = read_json(path)
    if not isinstance(items, list):
        raise InputError(f"expected a list of objects, got {_kind(items)}", path=path)
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict):
            raise InputError(f"expected an object, got {_kind(item)}", path=path, record=f"item {number}")
        yield f"item {number}", item


def first_record(path: Path) -> dict[str, object] | None:
    """Return the first object of a JSON list or a JSON Lines file; None where there is none.

    For recognisers: never raises, and reads no more than the longest line that is allowed.
    """
    for limit in (_PEEK, MAX_LINE):
        try:
            with open_file(path) as handle:
                raw = handle.read(limit)
            text = raw.decode("utf-8-sig", "replace").lstrip().removeprefix("[").lstrip()
            if not text.startswith("{"):
                return None
            value, _ = _DECODER.raw_decode(text)
        except (InputError, OSError):
            return None
        except (ValueError, RecursionError):
            if len(raw) < limit:
                return None
        else:
            return value if isinstance(value, dict) else None
    return None


def fingerprint(path: Path, rows: int) -> Input:
    """Return the record of one file that was read: its path, the SHA-256 of its bytes, and `rows`."""
    try:
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", path=path) from error
    return Input(clean(str(path)), digest, rows)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    if type(value) in names:
        return names[type(value)]
    return f"the number {printable(value, 20)}"


def text_of(record: dict[str, object], name: str, *, path: Path, where: str, optional: bool = False) -> str:
    """Return a text field, unpaired surrogates replaced by U+FFFD; "" if `optional` and missing or null.

    Raises:
        InputError: The field is missing or is not text.
    """
    value = record.get(name)
    if isinstance(value, str):
        return clean(value)
    if value is None and optional:
        return ""
    if name not in record:
        raise InputError(f"field {name!r} is missing", path=path, record=where)
    raise InputError(f"field {name!r}: expected text, got {_kind(value)}", path=path, record=where)


def number_of(record: dict[str, object], name: str, *, path: Path, where: str, optional: bool = False) -> float:
    """Return a finite number field; NaN if `optional` and missing or null. Text and truth values are not numbers.

    Raises:
        InputError: The field is missing, not a number, or not finite.
    """
    value = record.get(name)
    if value is None and optional:
        return math.nan
    if name not in record:
        raise InputError(f"field {name!r} is missing", path=path, record=where)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"field {name!r}: expected a number, got {_kind(value)}", path=path, record=where)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"field {name!r}: expected a finite number", path=path, record=where)
    return number


def prompt_key(text: str) -> str:
    """Return the prompt id of a format that has none: the first 16 hex digits of the text's SHA-256."""
    return hashlib.sha256(clean(text).encode()).hexdigest()[:16]
