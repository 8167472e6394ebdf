"""Read the head of a GGUF file: what the model is, how long its context is, which of its tokens steer it.

A file that is not what it says it is must not reach the native code that loads it. Source of the layout: the GGUF
specification (ggml, docs/gguf.md), versions 2 and 3.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from auditkit.judging.calls import Fatal

__all__ = ["Gguf", "read_head"]

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_SIZES: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING: Final = 8
_ARRAY: Final = 9
_CONTROL: Final = 3
_MOST_ENTRIES: Final = 1 << 16
_MOST_ITEMS: Final = 1 << 22
_LONGEST_KEY: Final = 1 << 16
_LONGEST_TEXT: Final = 1 << 24


class _Malformed(Exception):
    pass


@dataclass(frozen=True)
class Gguf:
    """The head of a model file.

    Attributes:
        path: The file.
        size: Its bytes.
        architecture: ``llama``, ``qwen2`` …
        context: Tokens of context that the model was trained with; 0: not said.
        control: Texts of the control tokens (end of turn, start of a message …), sorted.
        template: Does it bring a chat template?
    """

    path: Path
    size: int
    architecture: str
    context: int
    control: tuple[str, ...]
    template: bool


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = len(_MAGIC)

    def number(self, kind: int) -> Any:
        form = struct.Struct("<" + _SIZES[kind])
        if self._at + form.size > len(self._data):
            raise _Malformed("it ends in the middle of its head")
        (value,) = form.unpack_from(self._data, self._at)
        self._at += form.size
        return value

    def text(self, longest: int) -> bytes:
        length = self.number(10)
        if length > longest or self._at + length > len(self._data):
            raise _Malformed("a text in its head runs past the end")
        self._at += length
        return self._data[self._at - length : self._at]

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text(_LONGEST_TEXT)
        if kind != _ARRAY:
            if kind not in _SIZES:
                raise _Malformed(f"a value of unknown type {kind}")
            return self.number(kind)
        inner, count = self.number(4), self.number(10)
        if count > _MOST_ITEMS or (inner != _STRING and inner not in _SIZES):
            raise _Malformed("a list that no model has")
        if inner == _STRING:
            return [self.text(_LONGEST_KEY) for _ in range(count)]
        form = struct.Struct(f"<{count}{_SIZES[inner]}")
        if self._at + form.size > len(self._data):
            raise _Malformed("a list in its head runs past the end")
        self._at += form.size
        return form.unpack_from(self._data, self._at - form.size)


def read_head(path: Path, where: str) -> Gguf:
    """Read a model file's head.

    Args:
        path: The file.
        where: The model's name, for the message.

    Raises:
        Fatal: There is no such file, or it is no GGUF model that can be used alone.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise Fatal(f"{where}: {path} is not a file")
        with path.open("rb") as handle:
            start = handle.read(8)
            if start[:4] != _MAGIC or len(start) < 8:
                raise Fatal(f"{where}: {path} is not a GGUF file (name a .gguf model file)")
            with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _head(_Reader(data), path, size, where)
    except OSError as error:
        raise Fatal(f"{where}: {path} cannot be read: {error.strerror or error}") from error
    except _Malformed as error:
        raise Fatal(f"{where}: {path} is a damaged GGUF file: {error} (fetch it again)") from error


def _head(reader: _Reader, path: Path, size: int, where: str) -> Gguf:
    version = reader.number(4)
    if version not in _VERSIONS:
        raise Fatal(f"{where}: {path} has GGUF version {version}; versions 2 and 3 are read (convert it anew)")
    tensors, entries = reader.number(10), reader.number(10)
    if not 0 < tensors <= _MOST_ENTRIES or entries > _MOST_ENTRIES:
        raise _Malformed("no tensors, or more than any model has")
    head: dict[str, Any] = {}
    for _ in range(entries):
        key = reader.text(_LONGEST_KEY).decode("utf-8", "replace")
        head[key] = reader.value(reader.number(4))
    architecture = _text(head.get("general.architecture"))
    if not architecture:
        raise _Malformed("it does not say what model it is")
    if _count(head.get("split.count")) > 1:
        raise Fatal(f"{where}: {path} is one part of several (join them with llama-gguf-split --merge)")
    tokens, kinds = head.get("tokenizer.ggml.tokens") or (), head.get("tokenizer.ggml.token_type") or ()
    if not isinstance(tokens, list) or not tokens:
        raise _Malformed("it has no vocabulary")
    control = {_text(t) for t, kind in zip(tokens, kinds, strict=False) if kind == _CONTROL}
    return Gguf(
        path,
        size,
        architecture,
        _count(head.get(f"{architecture}.context_length")),
        tuple(sorted(token for token in control if len(token) > 1)),
        bool(_text(head.get("tokenizer.chat_template"))),
    )


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
