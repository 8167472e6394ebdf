"""Reading untrusted files: what is read, and the one clear error for what is not."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.formats import _io


def save(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_lines_end_at_newline_only(tmp_path: Path) -> None:
    """U+2028, U+0085, form feed and a lone carriage return inside an answer do not end its line."""
    text = "a\u2028b\u0085c\u2029d\x0ce\rf"
    path = save(tmp_path / "x.jsonl", "\n".join(json.dumps({"t": text}, ensure_ascii=False) for _ in range(2)) + "\n\n")
    assert list(_io.read_jsonl(path)) == [(1, {"t": text}), (2, {"t": text})]


def test_blank_lines_are_skipped_but_counted(tmp_path: Path) -> None:
    """A record's line number is the line that an editor shows."""
    path = save(tmp_path / "x.jsonl", '\n{"a":1}\n   \n{"a":2}')
    assert [number for number, _ in _io.read_jsonl(path)] == [2, 4]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\x1f\x8b\x08rest", "gzip"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1', "cut off"),
        (b'{"a": "half', "cut off"),
        (b'{"a": 1} x', "column 10"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"9" * 5000, "too many digits"),
    ],
)
def test_damaged_json_is_one_clear_line(tmp_path: Path, content: bytes, words: str) -> None:
    """Every way to damage a document gives an error that names the file and the reason, from both readers."""
    path = save(tmp_path / "x.json", content)
    for read in (_io.read_json, lambda p: list(_io.read_jsonl(p))):
        with pytest.raises(InputError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_error_names_line_and_column(tmp_path: Path) -> None:
    """The place of a syntax error is told for lines and for documents."""
    with pytest.raises(InputError, match=r"line 2, column 6"):
        list(_io.read_jsonl(save(tmp_path / "x.jsonl", '{"a":1}\n{"a":}\n')))
    with pytest.raises(InputError, match=r"line 3, column 6"):
        _io.read_json(save(tmp_path / "x.json", '[\n{"a":1},\n{"a":}]'))


def test_overlong_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line above the limit is refused without being held whole; ten megabytes are fine."""
    path = save(tmp_path / "x.jsonl", '{"a":"' + "x" * 10_000_000 + '"}\n')
    assert len(list(_io.read_jsonl(path))) == 1
    monkeypatch.setattr(_io, "MAX_LINE", 1000)
    with pytest.raises(InputError, match="line 1: a line of more than 1000 bytes"):
        list(_io.read_jsonl(path))


def test_overlarge_document_is_refused_unread(tmp_path: Path) -> None:
    """A two-gigabyte document is refused from its size."""
    path = tmp_path / "x.json"
    with path.open("wb") as handle:
        handle.write(b"[1")
        handle.truncate(2 << 30)
    with pytest.raises(InputError, match="JSON Lines"):
        _io.read_json(path)


def test_folder_pipe_and_missing_file_are_refused(tmp_path: Path) -> None:
    """What is not a regular file is refused before it is opened: a pipe would block for ever."""
    os.mkfifo(tmp_path / "pipe")
    for name, words in {"pipe": "pipe", ".": "folder", "none": "no such file", "a\0b": "cannot be read"}.items():
        with pytest.raises(InputError, match=words):
            _io.open_file(tmp_path / name)


def test_records_of_tells_the_two_kinds_by_content(tmp_path: Path) -> None:
    """A list and JSON Lines give the same records whatever the suffix, each named in its own way."""
    a = save(tmp_path / "a.jsonl", ' \n[{"a":1}, {"a":2}]')
    b = save(tmp_path / "b.json", '{"a":1}\n{"a":2}')
    assert list(_io.records_of(a)) == [("item 1", {"a": 1}), ("item 2", {"a": 2})]
    assert list(_io.records_of(b)) == [("line 1", {"a": 1}), ("line 2", {"a": 2})]
    with pytest.raises(InputError, match="item 2: expected an object, got a list"):
        list(_io.records_of(save(tmp_path / "c.json", '[{"a":1}, []]')))


def test_first_record_reads_only_the_start(tmp_path: Path) -> None:
    """The first record is found in a file whose rest is damaged; where there is none the answer is None."""
    assert _io.first_record(save(tmp_path / "a.json", '[{"a":1}, oops')) == {"a": 1}
    assert _io.first_record(save(tmp_path / "b.json", "[1]")) is None
    assert _io.first_record(save(tmp_path / "c.json", b"\xff\xfe")) is None
    assert _io.first_record(tmp_path / "none.json") is None
    huge = json.dumps({"a": "x" * 3_000_000})
    assert _io.first_record(save(tmp_path / "d.json", f"[{huge}, {huge}")) == json.loads(huge)


def test_walk_is_sorted_and_stays_below(tmp_path: Path) -> None:
    """Hidden files, links that leave, loops of links and pipes are not walked; links to files inside are."""
    folder = tmp_path / "in"
    for name in ("b/2.json", "b/1.json", "a.json", ".hidden/x.json", "b/.x.json"):
        save(folder / name, "{}")
    outside = save(tmp_path / "out/secret.json", "{}")
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "leak").symlink_to(outside)
    (folder / "leaks").symlink_to(outside.parent)
    (folder / "same.json").symlink_to(folder / "a.json")
    os.mkfifo(folder / "pipe")
    assert [str(p.relative_to(folder)) for p in _io.walk(folder)] == ["a.json", "same.json", "b/1.json", "b/2.json"]


def test_fingerprint_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    """The fingerprint can be checked with any other tool."""
    path = save(tmp_path / "x", b"abc")
    assert _io.fingerprint(path, 3).sha256 == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("value", [True, "1", [1], {}, 10**400, float("inf")])
def test_number_of_takes_numbers_only(value: object) -> None:
    """Text, truth values and what no float can hold are refused, with the field's name."""
    with pytest.raises(InputError, match="line 3: field 'n'"):
        _io.number_of({"n": value}, "n", path=Path("f"), where="line 3")


def test_optional_fields_are_nan_and_empty() -> None:
    """A missing or null optional number is NaN and a text "", never zero; one that is needed is an error."""
    where = Path("f")
    for record in ({}, {"x": None}):
        assert math.isnan(_io.number_of(dict(record), "x", path=where, where="", optional=True))
        assert _io.text_of(dict(record), "x", path=where, where="", optional=True) == ""
        for need in (_io.number_of, _io.text_of):
            with pytest.raises(InputError):
                need(dict(record), "x", path=where, where="")


@given(st.text(st.characters(codec=None)))
def test_text_can_always_be_written(text: str) -> None:
    """Whatever JSON can spell comes out as text that UTF-8 can hold, equal but for unpaired surrogates."""
    read = _io.text_of({"t": json.loads(json.dumps(text))}, "t", path=Path("f"), where="")
    assert read.encode().decode() == read
    if not any("\ud800" <= c <= "\udfff" for c in text):
        assert read == text


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Nothing but `InputError` comes out of the readers."""
    path = save(tmp_path_factory.mktemp("io") / "x.json", content)
    for read in (_io.read_json, lambda p: list(_io.read_jsonl(p)), lambda p: list(_io.records_of(p))):
        try:
            read(path)
        except InputError as error:
            assert "\n" not in str(error)
    _io.first_record(path)


@pytest.mark.parametrize("odd", ["NaN", "Infinity", "-Infinity", "9" * 5000])
def test_a_number_that_is_not_json_is_found(tmp_path: Path, odd: str) -> None:
    """A whole document names line and column of the number, not of the same word inside a text."""
    path = save(tmp_path / "a.json", f'[{{"a": "NaN, \\"Infinity"}},\n {{"b": {odd}}}]')
    with pytest.raises(InputError, match="line 2, column 8"):
        _io.read_json(path)
