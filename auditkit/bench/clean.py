"""Ingest a part: length, moderation, redaction, language, toxicity. Every row leaves with a reason or without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Final

from auditkit.bench.language import language_of
from auditkit.bench.parts import read_part, write_part
from auditkit.bench.redact import redacted
from auditkit.errors import UsageError, printable

__all__ = ["Toxicity", "ingest", "text_of", "toxicity_from", "width"]

Toxicity = Callable[[list[str]], Sequence[float]]
"""Takes texts and returns a number from 0 (harmless) to 1 for each."""

_CONTROL: Final = {c: None for c in range(32) if c not in (9, 10, 13)}
_BINARY: Final = 0.1
"""Share of control and replacement characters above which a text is taken for binary data."""


def text_of(turns: Sequence[str]) -> str:
    """Return the text by which a prompt is compared, embedded and annotated: its turns, joined by a blank line."""
    return "\n\n".join(turns)


def width(text: str) -> int:
    """Return the length of a text in characters, one of a script without blanks between words counting three times."""
    if text.isascii():
        return len(text)
    return len(text) + 2 * sum(1 for c in text if "\u0e00" <= c <= "\u0eff" or "\u2e80" <= c <= "\u9fff")


@lru_cache(maxsize=4)
def toxicity_from(name: str) -> Toxicity:
    """Return the function that ``module:function`` names.

    Raises:
        UsageError: There is none.
    """
    try:
        found = EntryPoint("toxicity", name, "auditkit.toxicity").load()
    except (ImportError, AttributeError) as error:
        raise UsageError(f"toxicity {printable(name)!r} cannot be loaded: {error}") from error
    if not callable(found):
        raise UsageError(f"toxicity {printable(name)!r} is no function")
    checked: Toxicity = found
    return checked


def _binary(text: str) -> bool:
    odd = sum(text.count(c) for c in "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x10\x1b\ufffd")
    return odd > _BINARY * len(text)


def ingest(inputs: Sequence[Path], output: Path, args: Mapping[str, Any]) -> None:
    """Ingest one part of prompts.

    Args:
        inputs: The part as it was read.
        output: The part to write: the same rows; those that are left out have a reason and no text.
        args: ``min_chars, max_chars, languages, redact, keep_flagged, toxicity, max_toxicity`` of the settings.
    """
    import pyarrow as pa

    table = read_part(inputs[0])
    reasons: list[str] = table.column("reason").to_pylist()
    counts = Counter({"rows": table.num_rows})
    turns, languages, sure, chars, redactions = [], [], [], [], []
    for i, (said, flagged) in enumerate(
        zip(table.column("turns").to_pylist(), table.column("flagged").to_pylist(), strict=True)
    ):
        language, probability, size, found = "", 0.0, 0, Counter[str]()
        if not reasons[i]:
            said, size, reasons[i], found = _cleaned(said, flagged, args)
        if not reasons[i]:
            language, probability = language_of(text_of(said))
            if args["languages"] and language not in args["languages"]:
                reasons[i] = "language"
        turns.append([] if reasons[i] else said)
        languages.append(language)
        sure.append(probability)
        chars.append(size)
        redactions.append(sum(found.values()))
        counts.update({f"redacted.{kind}": n for kind, n in found.items()})
    toxic = _toxicity(turns, reasons, args)
    for reason in reasons:
        counts[reason or "kept"] += 1
    made = {
        "turns": pa.array(turns, pa.list_(pa.string())), "reason": pa.array(reasons, pa.string()),
        "language": pa.array(languages, pa.string()), "language_probability": pa.array(sure, pa.float32()),
        "chars": pa.array(chars, pa.int64()), "redactions": pa.array(redactions, pa.int32()),
        "toxicity": pa.array(toxic, pa.float32()),
    }  # fmt: skip
    for name, column in made.items():
        place = table.schema.get_field_index(name)
        table = table.append_column(name, column) if place < 0 else table.set_column(place, name, column)
    write_part(output, table, counts)


def _cleaned(said: list[str], flagged: bool, args: Mapping[str, Any]) -> tuple[list[str], int, str, Counter[str]]:
    """Return the turns, their length, the reason to leave the prompt out, and what was redacted."""
    none: Counter[str] = Counter()
    size = width(text_of(said))
    if size > args["max_chars"]:
        return [], size, "too_long", none
    if _binary(text_of(said)):
        return [], size, "binary", none
    said = [turn.replace("\r\n", "\n").translate(_CONTROL).strip() for turn in said]
    size = width(text_of(said))
    if not size:
        return [], size, "empty", none
    if size < args["min_chars"]:
        return [], size, "too_short", none
    if flagged and not args["keep_flagged"]:
        return [], size, "flagged", none
    if args["redact"]:
        total: Counter[str] = Counter()
        for k, turn in enumerate(said):
            said[k], found = redacted(turn)
            total += found
        return said, size, "", total
    return said, size, "", none


def _toxicity(turns: list[list[str]], reasons: list[str], args: Mapping[str, Any]) -> list[float | None]:
    """Return the toxicity of the prompts that are still in (None: not measured) and leave out what is above the limit."""
    found: list[float | None] = [None] * len(turns)
    if not args["toxicity"]:
        return found
    kept = [i for i, reason in enumerate(reasons) if not reason]
    scores = toxicity_from(args["toxicity"])([text_of(turns[i]) for i in kept])
    if len(scores) != len(kept) or not all(0.0 <= float(score) <= 1.0 for score in scores):
        raise UsageError(f"toxicity {printable(args['toxicity'])!r} must return a number from 0 to 1 for each text")
    for i, score in zip(kept, scores, strict=True):
        found[i] = float(score)
        if score > args["max_toxicity"]:
            reasons[i], turns[i] = "toxic", []
    return found
