"""Pairs with a known answer: a question, a right answer and a wrong one, for finding out what a judge is worth.

Twenty-four plain ones ship as files (``examples/bench/known``); `generated` makes more by rule, so that the right
answer is right by construction: arithmetic, units, calendar, order, counting, spelling. In each pair the two answers
are of one form and about one length, and differ in the fact alone. Other pairs come from a file or from a recording
whose games carry a known answer (LLMBar, JudgeBench).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Final

from auditkit.errors import InputError
from auditkit.formats import _io, read
from auditkit.records import Battles, Input

__all__ = ["MOST_PAIRS", "KnownPair", "builtin_pairs", "generated", "read_pairs"]


@dataclass(frozen=True)
class KnownPair:
    """A question with a right and a wrong answer."""

    id: str
    question: str
    right: str
    wrong: str
    category: str = ""


# --- by rule --------------------------------------------------------------------------------------------------------

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WORDS: Final = (
    "lantern", "copper", "harvest", "window", "marble", "thunder", "basket", "meadow", "pencil", "orchard", "silver",
    "bridge", "violin", "candle", "garden", "rocket", "planet", "saddle", "mirror", "timber", "anchor", "feather",
)  # fmt: skip
_THINGS: Final = ("apples", "tickets", "books", "chairs", "coins", "stamps", "bottles", "cards")
_NAMES: Final = ("Ana", "Ben", "Chen", "Dara", "Eli", "Fay", "Goran", "Hana")


def _sum(rng: Random) -> tuple[str, str, str]:
    a, b = rng.randint(12, 98), rng.randint(12, 98)
    off = rng.choice((-10, -2, 2, 10))
    return f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}.", f"{a} plus {b} is {a + b + off}."


def _product(rng: Random) -> tuple[str, str, str]:
    a, b = rng.randint(6, 19), rng.randint(3, 9)
    wrong = a * b + rng.choice((-b, b))
    return f"What is {a} times {b}?", f"{a} times {b} equals {a * b}.", f"{a} times {b} equals {wrong}."


def _story(rng: Random) -> tuple[str, str, str]:
    who, what, have, gone = rng.choice(_NAMES), rng.choice(_THINGS), rng.randint(30, 90), rng.randint(5, 25)
    got = rng.randint(3, 20)
    left = have - gone + got
    question = (
        f"{who} has {have} {what}, gives away {gone} and then finds {got} more. How many {what} does {who} have now?"
    )

    def answer(end: int) -> str:
        return (
            f"{who} starts with {have} {what}. After giving away {gone} there are {have - gone}, and with {got} more "
            f"that makes {end}. {who} has {end} {what} now."
        )

    return question, answer(left), answer(left + rng.choice((-3, 4, -5)))


def _unit(rng: Random) -> tuple[str, str, str]:
    n = rng.randint(2, 40)
    big, small, factor = rng.choice((
        ("metres", "centimetres", 100), ("kilograms", "grams", 1000), ("hours", "minutes", 60), ("feet", "inches", 12),
        ("weeks", "days", 7), ("litres", "millilitres", 1000), ("minutes", "seconds", 60),
    ))  # fmt: skip
    wrong = n * factor + rng.choice((-factor, factor))
    return (
        f"How many {small} are {n} {big}?",
        f"{n} {big} are {n * factor} {small}.",
        f"{n} {big} are {wrong} {small}.",
    )


def _calendar(rng: Random) -> tuple[str, str, str]:
    names, unit = rng.choice(((_MONTHS, "month"), (_DAYS, "day of the week")))
    start, step = rng.randrange(len(names)), rng.randint(2, 6)
    right = names[(start + step) % len(names)]
    wrong = names[(start + step + rng.choice((1, -1))) % len(names)]
    short = unit.split(" ", maxsplit=1)[0]
    return (
        f"Which {unit} comes {step} {short}s after {names[start]}?",
        f"{step} {short}s after {names[start]} it is {right}.",
        f"{step} {short}s after {names[start]} it is {wrong}.",
    )


def _order(rng: Random) -> tuple[str, str, str]:
    words = rng.sample(_WORDS, 4)
    right, wrong = sorted(words), sorted(words)
    at = rng.randrange(3)
    wrong[at], wrong[at + 1] = wrong[at + 1], wrong[at]
    asked = ", ".join(words)
    return (
        f"Put these words in alphabetical order: {asked}.",
        f"In alphabetical order the words are: {', '.join(right)}.",
        f"In alphabetical order the words are: {', '.join(wrong)}.",
    )


def _letters(rng: Random) -> tuple[str, str, str]:
    word = rng.choice(_WORDS)
    return (
        f"How many letters does the word '{word}' have?",
        f"The word '{word}' has {len(word)} letters.",
        f"The word '{word}' has {len(word) + rng.choice((-1, 1, 2))} letters.",
    )


def _backwards(rng: Random) -> tuple[str, str, str]:
    word = rng.choice(_WORDS)
    right = word[::-1]
    at = next(i for i in range(len(right) - 1) if right[i] != right[i + 1])
    wrong = right[:at] + right[at + 1] + right[at] + right[at + 2 :]
    return f"Spell '{word}' backwards.", f"Spelled backwards, it is '{right}'.", f"Spelled backwards, it is '{wrong}'."


def _largest(rng: Random) -> tuple[str, str, str]:
    numbers = rng.sample(range(100, 999), 5)
    *_, second, largest = sorted(numbers)
    return (
        f"Which of these numbers is the largest: {', '.join(map(str, numbers))}?",
        f"The largest of the five numbers is {largest}.",
        f"The largest of the five numbers is {second}.",
    )


def _sequence(rng: Random) -> tuple[str, str, str]:
    start, step = rng.randint(1, 30), rng.randint(3, 12)
    shown = [start + step * i for i in range(4)]
    right = start + step * 4
    return (
        f"What is the next number: {', '.join(map(str, shown))}?",
        f"Each number is {step} more than the one before, so the next is {right}.",
        f"Each number is {step} more than the one before, so the next is {right + rng.choice((-1, 1, step))}.",
    )


_RULES: Final[Mapping[str, Callable[[Random], tuple[str, str, str]]]] = {
    "sum": _sum, "product": _product, "story": _story, "units": _unit, "calendar": _calendar, "order": _order,
    "letters": _letters, "backwards": _backwards, "largest": _largest, "sequence": _sequence,
}  # fmt: skip
_MOST: Final = 400
MOST_PAIRS: Final = 24 + _MOST
"""Pairs that `builtin_pairs` can give: the facts and those made by rule."""


@cache
def _all_generated() -> tuple[KnownPair, ...]:
    rng = Random(0)  # noqa: S311  a fixed list of exercises, not a secret
    found: dict[str, KnownPair] = {}
    while len(found) < _MOST:
        for kind, rule in _RULES.items():
            question, right, wrong = rule(rng)
            if question not in found and len(found) < _MOST:
                found[question] = KnownPair(f"rule-{len(found) + 1:03d}", question, right, wrong, kind)
    return tuple(found.values())


def generated(count: int) -> tuple[KnownPair, ...]:
    """Return the first `count` pairs (0..400) made by rule: always the same ones, every kind in turn.

    Raises:
        ValueError: More are asked for than there are.
    """
    if not 0 <= count <= _MOST:
        raise ValueError(f"0 to {_MOST} pairs can be made, not {count}")
    return _all_generated()[:count]


@cache
def _shipped() -> tuple[KnownPair, ...]:
    folder = files("auditkit") / "examples" / "bench" / "known"

    def column(name: str, field: str) -> dict[str, str]:
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        return {record["id"]: record[field] for record in map(json.loads, lines)}

    asked = column("prompts.jsonl", "prompt")
    right, wrong = column("right.jsonl", "answer"), column("wrong.jsonl", "answer")
    return tuple(KnownPair(key, asked[key], right[key], wrong[key], "facts") for key in asked)


def builtin_pairs(count: int | None = None) -> tuple[KnownPair, ...]:
    """Return pairs that ship with auditkit: 24 plain facts, then those made by rule; None: the facts alone."""
    facts = _shipped()
    if count is None:
        return facts
    return facts[:count] if count <= len(facts) else facts + generated(count - len(facts))


# --- from files -----------------------------------------------------------------------------------------------------

_PAIR_FIELDS: Final = ("prompt", "right", "wrong")


def read_pairs(path: Path) -> tuple[tuple[KnownPair, ...], tuple[Input, ...]]:
    """Read pairs from a JSON Lines file with ``prompt``, ``right``, ``wrong`` (and ``id``, ``category``), or from any
    recording of `auditkit.formats` whose games carry a known answer.

    Raises:
        InputError: Nothing of the kind.
    """
    if path.is_file():
        first = next(iter(_io.records_of(path)), None)
        if first is not None and all(name in first[1] for name in _PAIR_FIELDS):
            pairs = tuple(_from_records(path))
            return pairs, (_io.fingerprint(path, len(pairs)),)
    battles = read(path)
    pairs = tuple(_from_games(battles))
    if not pairs:
        raise InputError(
            "no pairs with a known answer", path=path,
            mend="give JSON Lines with prompt, right and wrong, or a recording that says which answer is right",
        )  # fmt: skip
    return pairs, battles.inputs


def _from_records(path: Path) -> Iterator[KnownPair]:
    seen: set[str] = set()
    for where, record in _io.records_of(path):
        question, right, wrong = (_io.text_of(record, name, path=path, where=where) for name in _PAIR_FIELDS)
        key = str(record.get("id") or where)
        if key in seen:
            raise InputError(f"a second pair with the id {key!r}", path=path, record=where)
        if right == wrong:
            raise InputError("the right and the wrong answer are the same text", path=path, record=where)
        seen.add(key)
        category = record.get("category")
        yield KnownPair(key, question, right, wrong, category if isinstance(category, str) else "")


def _from_games(battles: Battles) -> Iterator[KnownPair]:
    games = battles.games
    games = games[(games["gold"] == 1.0) | (games["gold"] == 0.0)]
    games = games[(games["answer"] >= 0) & (games["opponent_answer"] >= 0)]
    prompts = battles.prompts.drop_duplicates("prompt_id").set_index("prompt_id")
    texts = battles.answers["text"].tolist()
    for row in games.drop_duplicates("prompt_id").itertuples():
        own, other = texts[row.answer], texts[row.opponent_answer]
        right, wrong = (own, other) if row.gold == 1.0 else (other, own)
        if right != wrong and row.prompt_id in prompts.index:
            prompt = prompts.loc[row.prompt_id]
            yield KnownPair(row.prompt_id, str(prompt["text"]), right, wrong, str(prompt["category"]))
