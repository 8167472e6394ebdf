"""What the store keeps, and how each record becomes a row and a record again.

Rows are plain mappings of column names to values. Three things do not fit a database as they are:

- NUL and unpaired surrogates (which SQLite or Postgres refuse) are written as U+001A and four hex digits, and so
  is U+001A itself; reading undoes it, so that every text comes back exactly as it was. Any other text is stored
  verbatim.
- NaN (an unparsed outcome, an unknown price) is NULL, and NULL is NaN again (None for a price).
- A count from a provider that no 64-bit column holds is NULL: it cannot be true.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, TypeVar, get_type_hints

from auditkit.judging.calls import Completion, Json, Request, TokenLogprob, Usage
from auditkit.judging.store.redaction import without_secrets
from auditkit.records import Order

__all__ = [
    "Answer",
    "Game",
    "Rating",
    "Row",
    "Run",
    "columns_of",
    "completion_of",
    "completion_row",
    "game_key",
    "rating_key",
    "record_of",
    "record_row",
    "run_of",
    "run_row",
    "to_text",
]

Row = dict[str, Any]
T = TypeVar("T", "Answer", "Game", "Rating")

_NAN: Final = float("nan")
_LARGEST: Final = 2**63 - 1


def _digest(*identity: str | int) -> str:
    return hashlib.sha256(json.dumps(identity, separators=(",", ":")).encode()).hexdigest()


def game_key(
    judge: str,
    prompt_id: str,
    model: str,
    opponent: str,
    order: Order,
    *,
    turn: int = 1,
    variant: str = "",
    sample: int = 0,
) -> str:
    """Return what identifies a game within a run (SHA-256, hex): a run holds one game under each key."""
    return _digest("game", judge, prompt_id, model, opponent, order, turn, variant, sample)


def rating_key(judge: str, prompt_id: str, model: str, *, turn: int = 1, variant: str = "", sample: int = 0) -> str:
    """Return what identifies a rating within a run (SHA-256, hex)."""
    return _digest("rating", judge, prompt_id, model, turn, variant, sample)


@dataclass(frozen=True)
class Game:
    """One verdict on two answers.

    Attributes:
        judge_sha256: Which version of the judge's spec spoke.
        label: The verdict as the judge gave it, "" if there is none.
        outcome: The judge's probability that `model` beats `opponent`, 0..1; NaN: unparsed.
        weight: How often the verdict counts (positive).
        variant: "" or the attack that made the answer.
        sample: Number of the repeated judgment.
        gold: 1 or 0 where it is known who is right, else NaN.
        request_key: Content key of the call that decided it.
        reason: Why there is no outcome, "" if there is one.
        usage, cost, latency: What the calls of this game took together (tokens, US dollars, seconds).
    """

    prompt_id: str
    model: str
    opponent: str
    judge: str
    judge_sha256: str
    order: Order
    label: str = ""
    outcome: float = _NAN
    weight: float = 1.0
    variant: str = ""
    turn: int = 1
    sample: int = 0
    gold: float = _NAN
    request_key: str = ""
    reason: str = ""
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    latency: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isnan(self.outcome) or 0 <= self.outcome <= 1):
            raise ValueError(f"outcome must lie in 0..1 or be NaN, got {self.outcome}")
        if not 0 < self.weight < 1e6:
            raise ValueError(f"weight must be positive and finite, got {self.weight}")

    @cached_property
    def key(self) -> str:
        """What identifies the game within a run (see `game_key`)."""
        return game_key(
            self.judge, self.prompt_id, self.model, self.opponent, self.order,
            turn=self.turn, variant=self.variant, sample=self.sample,
        )  # fmt: skip


@dataclass(frozen=True)
class Rating:
    """One absolute rating of one answer: `score` on the judge's own scale, NaN if unparsed. The rest as in `Game`."""

    prompt_id: str
    model: str
    judge: str
    judge_sha256: str
    score: float = _NAN
    label: str = ""
    variant: str = ""
    turn: int = 1
    sample: int = 0
    request_key: str = ""
    reason: str = ""
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    latency: float = 0.0

    def __post_init__(self) -> None:
        if math.isinf(self.score):
            raise ValueError(f"score must be finite or NaN, got {self.score}")

    @cached_property
    def key(self) -> str:
        """What identifies the rating within a run (see `rating_key`)."""
        return rating_key(
            self.judge, self.prompt_id, self.model, turn=self.turn, variant=self.variant, sample=self.sample
        )


@dataclass(frozen=True)
class Answer:
    """One model's answer to one turn of one prompt, its reasoning trace kept apart; `tokens` as the provider counts."""

    prompt_id: str
    model: str
    text: str
    turn: int = 1
    trace: str = ""
    finish: str = ""
    request_key: str = ""
    tokens: int | None = None

    @cached_property
    def key(self) -> str:
        """What identifies the answer within a run: prompt, model and turn."""
        return _digest("answer", self.prompt_id, self.model, self.turn)


@dataclass(frozen=True)
class Run:
    """A named run: its resolved spec and the hashes of what it was made from. `created` (RFC 3339) is set by the store."""

    name: str
    spec: Mapping[str, Json] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    created: str = ""


# --- values ---------------------------------------------------------------------------------------------------------

_UNSTORABLE: Final = re.compile("[\x00\x1a\ud800-\udfff]")
_STORED: Final = re.compile("\x1a([0-9a-f]{4})")


def to_text(text: str) -> str:
    """Return `text` as it is stored: without what a database refuses."""
    return _UNSTORABLE.sub(lambda hit: f"\x1a{ord(hit.group()):04x}", text)


def _from_text(text: str) -> str:
    return _STORED.sub(lambda hit: chr(int(hit.group(1), 16)), text) if "\x1a" in text else text


def _to_json(value: object) -> str:
    return to_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _from_json(text: str) -> Any:
    return json.loads(_from_text(text))


def _to_number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _from_number(value: float | None) -> float:
    return _NAN if value is None else value


def _to_count(value: int | None) -> int | None:
    return value if value is not None and 0 <= value <= _LARGEST else None


def _same(value: Any) -> Any:
    return value


_CODECS: Final[Mapping[object, tuple[Callable[[Any], object], Callable[[Any], object]]]] = {
    str: (to_text, _from_text),
    Order: (_same, _same),
    int: (_same, _same),
    int | None: (_to_count, _same),
    float: (_to_number, _from_number),
    float | None: (_to_number, _same),
}
#: What numbers of games and ratings lie within, where they are not NaN.
_RANGES: Final = {"outcome": (0.0, 1.0), "weight": (5e-324, 1e6), "score": (-1.8e308, 1.8e308)}
_USAGE: Final = tuple(f.name for f in fields(Usage))


# --- records and rows -----------------------------------------------------------------------------------------------


def _codecs(
    kind: type[Answer | Game | Rating],
) -> tuple[tuple[str, Callable[[Any], object], Callable[[Any], object]], ...]:
    hints = get_type_hints(kind)
    return tuple((f.name, *_CODECS[hints[f.name]]) for f in fields(kind) if hints[f.name] is not Usage)


_FIELDS: Final = {kind: _codecs(kind) for kind in (Answer, Game, Rating)}


def _usage_row(usage: Usage) -> Row:
    return {name: _to_count(getattr(usage, name)) for name in _USAGE}


def _usage_of(row: Mapping[str, Any]) -> Usage:
    return Usage(*(row[name] for name in _USAGE))


def record_row(record: Answer | Game | Rating) -> Row:
    """Return the row of an answer, game or rating; its run is not in it."""
    row: Row = {"key": record.key}
    for name, encode, _ in _FIELDS[type(record)]:
        row[name] = encode(getattr(record, name))
    if not isinstance(record, Answer):
        row |= _usage_row(record.usage)
    return row


def record_of(kind: type[T], row: Mapping[str, Any]) -> T:
    """Return the record of a row."""
    values: dict[str, Any] = {name: decode(row[name]) for name, _, decode in _FIELDS[kind]}
    if kind is not Answer:
        values["usage"] = _usage_of(row)
    return kind(**values)


def columns_of(kind: type[Game | Rating], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """Return fields of games or ratings as lists, from rows that hold just these, with the checks of the records.

    Raises:
        TypeError, ValueError: A value that no record holds.
    """
    decoders = {name: decode for name, _, decode in _FIELDS[kind]}
    columns: dict[str, list[Any]] = {}
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        decode = decoders[name]
        if decode is _from_text:  # few different ones
            texts = {value: decode(value) for value in set(values)}
            columns[name] = [texts[value] for value in values]
        else:
            columns[name] = [decode(value) for value in values]
    for name, (low, high) in _RANGES.items():
        if not all(math.isnan(value) or low <= value <= high for value in columns.get(name, ())):
            raise ValueError(f"{name} must lie in {low:g}..{high:g} or be NaN")
    return columns


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def run_row(run: Run) -> Row:
    """Return the row of a run, without the secrets of its spec, stamped with the time."""
    return {
        "name": to_text(run.name),
        "spec": _to_json(without_secrets(run.spec)),
        "hashes": _to_json(dict(run.hashes)),
        "created": _now(),
    }


def run_of(row: Mapping[str, Any]) -> Run:
    """Return the run of a row."""
    return Run(_from_text(row["name"]), _from_json(row["spec"]), _from_json(row["hashes"]), row["created"])


def _logprob(value: float) -> float | str:
    # JSON has no infinities; a token that cannot occur has the log-probability -inf.
    return value if math.isfinite(value) else str(value)


def _logprobs_row(logprobs: tuple[TokenLogprob, ...] | None) -> str | None:
    if logprobs is None:
        return None
    return _to_json([[t.token, _logprob(t.logprob), [[word, _logprob(p)] for word, p in t.top]] for t in logprobs])


def _logprobs_of(text: str | None) -> tuple[TokenLogprob, ...] | None:
    if text is None:
        return None
    return tuple(
        TokenLogprob(token, float(logprob), tuple((word, float(p)) for word, p in top))
        for token, logprob, top in _from_json(text)
    )


def completion_row(request: Request, completion: Completion) -> Row:
    """Return the row of a completion: what was asked (without secrets), and what came back."""
    return {
        "key": request.key,
        "model": to_text(request.model),
        "sample": request.sample,
        "text": to_text(completion.text),
        "trace": to_text(completion.trace),
        "finish": to_text(completion.finish),
        "served": to_text(completion.served),
        "logprobs": _logprobs_row(completion.logprobs),
        **_usage_row(completion.usage),
        "cost": _to_number(completion.cost),
        "latency": _to_number(completion.latency),
        "created": _now(),
        "params": _to_json(without_secrets(request.params)),
        "messages": _to_json([[m.role, m.content] for m in request.messages]),
    }


def completion_of(row: Mapping[str, Any]) -> Completion:
    """Return the completion of a row."""
    return Completion(
        text=_from_text(row["text"]),
        finish=_from_text(row["finish"]),
        logprobs=_logprobs_of(row["logprobs"]),
        usage=_usage_of(row),
        cost=row["cost"],
        latency=_from_number(row["latency"]),
        served=_from_text(row["served"]),
        trace=_from_text(row["trace"]),
    )
