"""How a simulated judge reads a prompt: from its text alone, as a model would.

`Reader.exact` knows the judge's templates and finds the values where they stand. `Reader.last_block` reads as a
careless model does: whatever looks like a question followed by its answers is a task, and the last complete one is
the task. An answer that imitates a task takes it over. Where tags carry a nonce, a reader who heeds it takes only
tags with that nonce.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Final

from auditkit.errors import InputError
from auditkit.judging.calls import Message
from auditkit.judging.layout import TAGS
from auditkit.judging.nonces import label_nonce, with_label_nonce
from auditkit.judging.render import Rendered, items_of, render, unrender
from auditkit.judging.spec import Item, JudgeSpec

__all__ = ["Read", "Reader", "place_kind"]

_MOST_TURNS: Final = 4
_MOST_CRITERIA: Final = 10
_MOST_NONCES: Final = 8
_SHORTEST_START: Final = 12
_NONCE: Final = re.compile(rf"<(?:{'|'.join(TAGS.values())})(?:_[0-9]+)?-([0-9a-f]{{8,64}})>")
_STAND_IN: Final = "0123456789abcdef" * 2


@dataclass(frozen=True)
class Read:
    """What a judge understood.

    Attributes:
        spec: The judge whose prompt it is.
        question: What the user asked, turns joined by blank lines.
        answers: The answers in the order shown: two for a pairwise judge, else one; turns joined by blank lines.
        items: What a criteria judge is asked to rate.
        nonce: Do the tags carry a nonce?
    """

    spec: JudgeSpec
    question: str
    answers: tuple[str, ...]
    items: tuple[Item, ...] = ()
    nonce: bool = False


class Reader:
    """Reads the prompts of some judges.

    Args:
        specs: The judges, most likely first.
    """

    def __init__(self, specs: Sequence[JudgeSpec]) -> None:
        self._specs = tuple(specs)

    def exact(self, messages: Sequence[Message]) -> Read | None:
        """Read a prompt by its template; None if it is no prompt of these judges, or can be read in two ways."""
        found = self._frame(messages)
        return None if found is None else found[0]

    def last_block(self, messages: Sequence[Message], *, heed_nonce: bool = False) -> Read | None:
        """Read the last complete task in a prompt; None if it is no prompt of these judges.

        Args:
            messages: The prompt.
            heed_nonce: Where the tags carry a nonce, take only tags that carry it.
        """
        found = self._frame(messages, loose=True)
        if found is None:
            return None
        read, frame, nonce = found
        text = "\n".join(message.content for message in messages[: len(frame.messages)])
        block = _last_block(_scanner(read.spec, frame.literals, frame.names, nonce if heed_nonce else ""), text)
        return read if block is None else replace(read, question=block[0], answers=block[1:])

    def _frame(self, messages: Sequence[Message], loose: bool = False) -> tuple[Read, Rendered, str] | None:
        first = next((hit for m in messages if (hit := _NONCE.search(m.content))), None)
        tags = first[1] if first else ""
        for spec, nonce in ((s, nonce) for s in self._specs for nonce in _nonces(s, tags, messages)):
            for frame in _frames(spec, bool(nonce)):
                frame = _renonced(spec, frame, nonce)
                if [m.role for m in frame.messages] != [m.role for m in messages[: len(frame.messages)]]:
                    continue
                asked = _without_preface(frame, messages[: len(frame.messages)])
                values = unrender(replace(frame, messages=asked))
                if values is None and loose and _starts_alike(frame, asked):
                    values = {}
                if values is not None:
                    return _read(with_label_nonce(spec, nonce or None), values, bool(tags)), frame, tags
        return None


def _without_preface(frame: Rendered, messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the messages from where the template begins: probes and defences put sentences before a judge's own."""
    found = []
    for message, (first, *_) in zip(messages, frame.literals, strict=True):
        at = message.content.find(first) if len(first) >= _SHORTEST_START else 0
        found.append(replace(message, content=message.content[at:]) if at > 0 else message)
    return tuple(found)


def _starts_alike(frame: Rendered, messages: Sequence[Message]) -> bool:
    """Tell whether a prompt is this template's, though an answer has blurred where its parts end."""
    return all(
        message.content.startswith(literals[0]) and message.content.endswith(literals[-1])
        for message, literals in zip(messages, frame.literals, strict=True)
    )


def _nonces(spec: JudgeSpec, tags: str, messages: Sequence[Message]) -> Iterator[str]:
    """Yield the nonces that a prompt may have been made with: the tags', or what may be its labels'."""
    if not spec.label_nonce or tags:
        yield tags
        return
    after = re.escape(spec.verdict.written.partition("{label}")[2].strip())
    found = re.findall(rf":([0-9a-f]{{4}}){after}", "\n".join(m.content for m in messages))
    yield from list(dict.fromkeys(found))[:_MOST_NONCES] or [""]


def _renonced(spec: JudgeSpec, frame: Rendered, nonce: str) -> Rendered:
    if not nonce:
        return frame
    after = spec.verdict.written.partition("{label}")[2].strip()
    changes = [(_STAND_IN, nonce)]
    if spec.label_nonce:
        changes.append((f":{label_nonce(_STAND_IN)}{after}", f":{label_nonce(nonce)}{after}"))
    literals = frame.literals
    for old, new in changes:
        literals = tuple(tuple(text.replace(old, new) for text in group) for group in literals)
    return replace(frame, literals=literals)


_NAMED: Final = re.compile(r"([A-Za-z_]+?)(?:[._]([0-9]+))?")
_KINDS: Final = {
    "question": "question", "instruction": "question", "user_query": "question",
    "answer_a": "answer_a", "candidate_a": "answer_a", "answer_b": "answer_b", "candidate_b": "answer_b",
    "answer": "answer", "model_output": "answer",
}  # fmt: skip
"""What a place holds, by its name here and in the upstream templates (in lower case)."""


def place_kind(name: str, names: Sequence[str], pairwise: bool) -> tuple[str, int]:
    """Return what stands in a place ("" for nothing that is judged) and of which turn."""
    hit = _NAMED.fullmatch(name)
    stem, turn = (hit[1].lower(), int(hit[2] or 1)) if hit else ("", 1)
    if pairwise and stem == "output":  # AlpacaEval numbers the answers
        return ("answer_a", "answer_b")[turn > 1], 1
    if pairwise and stem == "answer":  # Arena-Hard v0.1 numbers the turns of both answers through
        half = len({other for other in names if other.startswith("answer_")}) // 2
        return ("answer_a", turn) if turn <= half else ("answer_b", turn - half)
    return _KINDS.get(stem, ""), turn


def _read(spec: JudgeSpec, values: dict[str, str], nonce: bool) -> Read:
    found: dict[str, dict[int, str]] = {"question": {}, "answer": {}, "answer_a": {}, "answer_b": {}}
    for name, value in values.items():
        kind, turn = place_kind(name, list(values), spec.pairwise)
        if kind:
            found[kind][turn] = value
    joined = {kind: "\n\n".join(text for _, text in sorted(turns.items())) for kind, turns in found.items()}
    asked = [values[f"criterion.{k}"] for k in range(1, len(values) + 1) if f"criterion.{k}" in values]
    items = items_of(spec, asked) if spec.mode == "criteria" else ()
    named = ("answer_a", "answer_b") if spec.pairwise else ("answer",)
    return Read(spec, joined["question"], tuple(joined[name] for name in named), items, nonce)


class _Frames:
    """The literal texts of a judge's prompts, shape by shape, made when first needed."""

    def __init__(self, spec: JudgeSpec, nonce: bool) -> None:
        self._made: list[Rendered] = []
        self._more = _shapes(spec, _STAND_IN if nonce else None)

    def __iter__(self) -> Iterator[Rendered]:
        k = 0
        while True:
            if k == len(self._made):
                fresh = next(self._more, None)
                if fresh is None:
                    return
                self._made.append(fresh)
            yield self._made[k]
            k += 1


@lru_cache(maxsize=256)
def _frames(spec: JudgeSpec, nonce: bool) -> _Frames:
    return _Frames(spec, nonce)


def _shapes(spec: JudgeSpec, nonce: str | None) -> Iterator[Rendered]:
    """Yield every distinct finished prompt with empty values, the plainest first."""
    if nonce and not spec.label_nonce and (spec.fence != "tags" or spec.rendering != "jinja"):
        return
    texts = "".join(message.text for template in spec.templates for message in template.messages)
    categories = dict.fromkeys(["", *(c for t in spec.templates for c in t.categories), *spec.reference_categories])
    lists = [0, 1] if "checklist" in texts and spec.mode != "criteria" else [0]
    if spec.mode == "checklist":
        lists = [1]
    if spec.mode == "criteria" and not spec.items:
        lists = list(range(1, _MOST_CRITERIA + 1))
    numbers = range(len(spec.items)) if spec.mode == "principles" else [0] if spec.mode == "checklist" else [None]
    seen = set()
    for turns, category, reference, history, points, item in product(
        range(1, _MOST_TURNS + 1),
        categories,
        [False, True] if "reference" in texts or spec.reference_categories else [False],
        [False, True] if "history" in texts else [False],
        lists,
        numbers,
    ):
        said = tuple(["x"] * turns)
        try:
            frame = render(
                spec,
                turns=said,
                answers=(said, said) if spec.pairwise else (said,),
                category=category,
                reference=said if reference else None,
                checklist=("x",) * points,
                history=(Message("user", "x"),) if history else (),
                item=item,
                nonce=nonce,
            )
        except (InputError, ValueError):
            continue
        if (frame.literals, frame.names) not in seen:
            seen.add((frame.literals, frame.names))
            yield frame


# --- the last complete task -----------------------------------------------------------------------------------------


def _loosely(delimiter: str, nonce: str) -> str:
    """Return a pattern for a delimiter as a careless reader sees it: broken or not, of any turn, with any nonce."""
    tag = re.fullmatch(r"<(/?)([a-z_]+?)(?:_[0-9]+)?(?:-[0-9a-f]{8,64})?>", delimiter)
    if tag is None:
        return r"\\*".join(re.escape(c) for c in delimiter)
    name = r"\\*".join(re.escape(c) for c in tag[1] + tag[2])
    return rf"(?i:<\\*{name}(?:_[0-9]+)?" + (f"-{nonce}>)" if nonce else r"(?:-[^<>\s]*)?>)")


@dataclass(frozen=True)
class _Scanner:
    """Finds delimiters. `parts` are a task's parts in order; the k-th delimiter `closes` and `opens` some of them."""

    pattern: re.Pattern[str]
    parts: tuple[str, ...]
    closes: tuple[frozenset[str], ...]
    opens: tuple[frozenset[str], ...]


@lru_cache(maxsize=64)
def _scanner(
    spec: JudgeSpec, literals: tuple[tuple[str, ...], ...], names: tuple[tuple[str, ...], ...], nonce: str
) -> _Scanner:
    ends: dict[str, tuple[list[str], str]] = {}
    every_name = [name for named in names for name in named]
    for group, named in zip(literals, names, strict=True):
        for name, before, after in zip(named, group[:-1], group[1:], strict=True):
            kind, _ = place_kind(name, every_name, spec.pairwise)
            if kind:
                lines = [line.strip() for line in before.split("\n") if line.strip()]
                closed = next((line.strip() for line in after.split("\n") if line.strip()), "")
                ends.setdefault(kind, (lines, closed))
    last = [lines[-1] for lines, _ in ends.values() if lines]
    # One delimiter may both close a part and open the next; where two parts open alike, the line before tells them apart.
    opens = {
        kind: r"\s+".join(_loosely(line, nonce) for line in (lines[-2:] if last.count(lines[-1]) > 1 else lines[-1:]))
        for kind, (lines, _) in ends.items()
        if lines
    }
    closes = {kind: _loosely(closed, nonce) for kind, (_, closed) in ends.items() if closed}
    every = sorted({*opens.values(), *closes.values()}, key=len, reverse=True)
    # Labels may differ in case alone ("m" and "M"): only tags are read without regard to it.
    pattern = re.compile("|".join(f"({delimiter})" for delimiter in every) or "(?!)")
    return _Scanner(
        pattern,
        tuple(ends),
        tuple(frozenset(kind for kind, d in closes.items() if d == delimiter) for delimiter in every),
        tuple(frozenset(kind for kind, d in opens.items() if d == delimiter) for delimiter in every),
    )


def _last_block(scanner: _Scanner, text: str) -> tuple[str, ...] | None:
    """Return the parts of the last task in which every part is opened and closed in turn."""
    found: list[str] = []
    begun: int | None = None
    last: tuple[str, ...] | None = None
    for hit in scanner.pattern.finditer(text):
        which = (hit.lastindex or 1) - 1
        if begun is not None and scanner.parts[len(found)] in scanner.closes[which]:
            found.append(text[begun : hit.start()].strip())
            begun = None
            if len(found) == len(scanner.parts):
                last, found = tuple(found), []
        opened = scanner.opens[which]
        if scanner.parts[0] in opened:
            found, begun = [], hit.end()
        elif found and scanner.parts[len(found)] in opened:
            begun = hit.end()
    return last
