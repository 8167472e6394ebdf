"""Counts the steps of a backtracking match, and makes the strings on which one takes many.

`Machine` walks the tree that Python's own parser makes of a pattern, as its engine does: one step for every node that is
tried at a place. Runs of one kind of character cost their length and every place that is given back. What the engine
leaves out by looking for literal prefixes is counted here, so that the count is an upper bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]  # the engine's own parser
from typing import Any

__all__ = ["Machine", "TooManySteps", "families"]

Then = Callable[[int], int]
Node = Callable[[int, Then], int]
_ONE = frozenset({_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN})
_REPEATS = frozenset({_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT})
_WORD = re.compile(r"\w")


class TooManySteps(Exception):
    """A match took more steps than it may."""


class Machine:
    """A pattern, ready to be run on texts."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.tree = _parser.parse(pattern, flags)
        self.flags = self.tree.state.flags
        self.text = ""
        self.steps = 0
        self.most = 1 << 62
        self.groups: dict[int, tuple[int, int]] = {}
        self._start = self._sequence(list(self.tree))

    def count(self, text: str, *, anchored: bool, most: int = 1 << 62) -> int:
        """Return the steps of looking for every match in `text`, or of one match at its start if `anchored`.

        Raises:
            TooManySteps: More than `most`.
        """
        self.text, self.steps, self.most = text, 0, most
        at = 0
        while at <= len(text):
            self.groups = {}
            end = self._start(at, lambda place: place)
            if anchored:
                break
            at = max(end, at + 1)
        return self.steps

    def _tick(self, steps: int = 1) -> None:
        self.steps += steps
        if self.steps > self.most:
            raise TooManySteps

    # --- one node each: a function of a place and of what comes after, which returns the end of the match or -1 ------

    def _sequence(self, nodes: list[Any]) -> Node:
        parts = [self._node(op, arg) for op, arg in nodes]

        def run(at: int, then: Then, k: int = 0) -> int:
            return then(at) if k == len(parts) else parts[k](at, lambda place: run(place, then, k + 1))

        return run

    def _accepts(self, op: Any, arg: Any) -> Callable[[str], bool]:
        one = _compiler.compile(_parser.SubPattern(self.tree.state, [(op, arg)]), self.flags)
        known: dict[str, bool] = {}

        def accepts(c: str) -> bool:
            if c not in known:
                known[c] = one.match(c) is not None
            return known[c]

        return accepts

    def _node(self, op: Any, arg: Any) -> Node:
        if op in _ONE:
            return self._single(self._accepts(op, arg))
        if op in _REPEATS:
            return self._repeat(op, *arg)
        if op is _constants.SUBPATTERN:
            group, _, _, inner = arg
            return self._group(group, self._sequence(list(inner)))
        if op is _constants.BRANCH:
            return self._branch([self._sequence(list(inner)) for inner in arg[1]])
        if op is _constants.AT:
            return self._at(arg)
        if op in (_constants.ASSERT, _constants.ASSERT_NOT):
            return self._assert(op is _constants.ASSERT, arg[0], arg[1])
        if op is _constants.GROUPREF:
            return self._reference(arg)
        if op is _constants.ATOMIC_GROUP:
            return self._atomic(self._sequence(list(arg)))
        if op is _constants.FAILURE:
            return lambda at, then: -1
        raise NotImplementedError(str(op))

    def _single(self, accepts: Callable[[str], bool]) -> Node:
        def run(at: int, then: Then) -> int:
            self._tick()
            return then(at + 1) if at < len(self.text) and accepts(self.text[at]) else -1

        return run

    def _repeat(self, op: Any, low: int, high: Any, inner: Any) -> Node:
        most = 1 << 62 if high is _constants.MAXREPEAT else int(high)
        nodes = list(inner)
        if len(nodes) == 1 and nodes[0][0] in _ONE:
            return self._run(op, low, most, self._accepts(*nodes[0]))
        body = self._sequence(nodes)
        if op is _constants.POSSESSIVE_REPEAT:
            return self._atomic(self._greedy(body, low, most))
        return self._greedy(body, low, most) if op is _constants.MAX_REPEAT else self._lazy(body, low, most)

    def _run(self, op: Any, low: int, most: int, accepts: Callable[[str], bool]) -> Node:
        def run(at: int, then: Then) -> int:
            text, length = self.text, 0
            lazy = op is _constants.MIN_REPEAT
            while length < (low if lazy else most) and at + length < len(text) and accepts(text[at + length]):
                length += 1
            self._tick(length + 1)
            if length < low:
                return -1
            if lazy:
                while True:
                    end = then(at + length)
                    if end >= 0 or length >= most or at + length >= len(text) or not accepts(text[at + length]):
                        return end
                    length += 1
                    self._tick()
            for back in range(length, (length if op is _constants.POSSESSIVE_REPEAT else low) - 1, -1):
                self._tick()
                end = then(at + back)
                if end >= 0:
                    return end
            return -1

        return run

    def _greedy(self, body: Node, low: int, most: int) -> Node:
        def run(at: int, then: Then, done: int = 0) -> int:
            self._tick()
            if done < most:
                end = body(at, lambda place: -1 if place == at and done >= low else run(place, then, done + 1))
                if end >= 0:
                    return end
            return then(at) if done >= low else -1

        return run

    def _lazy(self, body: Node, low: int, most: int) -> Node:
        def run(at: int, then: Then, done: int = 0) -> int:
            self._tick()
            if done >= low:
                end = then(at)
                if end >= 0 or done >= most:
                    return end
            return body(at, lambda place: -1 if place == at and done >= low else run(place, then, done + 1))

        return run

    def _group(self, group: int | None, body: Node) -> Node:
        def run(at: int, then: Then) -> int:
            before = self.groups.get(group) if group is not None else None

            def ended(place: int) -> int:
                if group is not None:
                    self.groups[group] = (at, place)
                return then(place)

            end = body(at, ended)
            if end < 0 and group is not None and before is not None:
                self.groups[group] = before
            return end

        return run

    def _branch(self, ways: list[Node]) -> Node:
        def run(at: int, then: Then) -> int:
            self._tick()
            return next((end for way in ways if (end := way(at, then)) >= 0), -1)

        return run

    def _at(self, where: Any) -> Node:
        def run(at: int, then: Then) -> int:
            self._tick()
            text = self.text
            before, after = at > 0 and bool(_WORD.match(text[at - 1])), at < len(text) and bool(_WORD.match(text[at]))
            lines = bool(self.flags & re.MULTILINE)
            holds = {
                _constants.AT_BEGINNING: at == 0 or (lines and text[at - 1] == "\n"),
                _constants.AT_BEGINNING_STRING: at == 0,
                _constants.AT_END: at == len(text) or text[at:] == "\n" or (lines and text[at] == "\n"),
                _constants.AT_END_STRING: at == len(text),
                _constants.AT_BOUNDARY: before != after,
                _constants.AT_NON_BOUNDARY: before == after,
            }[where]
            return then(at) if holds else -1

        return run

    def _assert(self, positive: bool, direction: int, inner: Any) -> Node:
        body = self._sequence(list(inner))
        width = inner.getwidth()[0]

        def run(at: int, then: Then) -> int:
            self._tick()
            start = at if direction >= 0 else at - width
            holds = start >= 0 and body(start, lambda place: place) >= 0
            return then(at) if holds == positive else -1

        return run

    def _reference(self, group: int) -> Node:
        def run(at: int, then: Then) -> int:
            if group not in self.groups:
                return -1
            start, end = self.groups[group]
            said = self.text[start:end]
            self._tick(len(said) + 1)
            return then(at + len(said)) if self.text.startswith(said, at) else -1

        return run

    def _atomic(self, body: Node) -> Node:
        def run(at: int, then: Then) -> int:
            end = body(at, lambda place: place)
            return then(end) if end >= 0 else -1

        return run


# --- the strings ------------------------------------------------------------------------------------------------------

_TRIED = "a0 \n\t_-.,:;/\\\"'`*#@$&%+=~|<>[]{}()!?Aé\u0301あ\u200b"


def _samples(machine: Machine, op: Any, arg: Any) -> str:
    """Return a character that a node accepts, "" if none of the usual ones is."""
    if op is _constants.LITERAL:
        return chr(arg)
    accepts = machine._accepts(op, arg)
    found = next((c for c in _TRIED if accepts(c)), "")
    if not found and op is _constants.IN:
        found = next(
            (chr(a[0] if o is _constants.RANGE else a) for o, a in arg if o in (_constants.RANGE, _constants.LITERAL)),
            "",
        )
    return found


def _example(machine: Machine, nodes: Any, turn: int, letters: set[str]) -> str:
    """Return a text that a pattern matches, roughly: each branch and each repeat taken by `turn`; note the letters."""
    said = ""
    for op, arg in nodes:
        if op in _ONE:
            c = _samples(machine, op, arg)
            letters.add(c)
            said += c
        elif op in _REPEATS:
            low, high, inner = arg
            part = _example(machine, inner, turn, letters)
            said += part * min(max(low, min(1 + turn % 2, high if isinstance(high, int) else 2)), 30)
        elif op is _constants.SUBPATTERN:
            said += _example(machine, arg[3], turn, letters)
        elif op is _constants.BRANCH:
            every = [_example(machine, inner, turn, letters) for inner in arg[1]]
            said += every[turn % len(every)]
        elif op is _constants.ATOMIC_GROUP:
            said += _example(machine, arg, turn, letters)
        elif op is _constants.ASSERT and arg[0] > 0:
            _example(machine, arg[1], turn, letters)
    return said


def families(machine: Machine, size: int) -> Iterator[str]:
    """Yield texts of about `size` characters on which a pattern could be slow: from its own letters and examples.

    Runs of a letter; an example cut off at several places and said again and again; the same followed by a run; pairs
    of letters; each with an end that fits nothing.
    """
    letters: set[str] = set()
    examples = {_example(machine, machine.tree, turn, letters) for turn in range(4)}
    alphabet = sorted(c for c in letters if c)[:7]
    for c in alphabet:
        yield c * size
        yield c * size + "\x00"
    for example in sorted(examples)[:2]:
        cuts = sorted({len(example) * k // 4 for k in range(1, 5)} | {1, 2, len(example) - 1})
        for cut in cuts:
            start = example[:cut]
            if cut <= 0 or not start:
                continue
            yield start * (size // len(start) + 1) + "\x00"
            yield (start + "\n") * (size // (len(start) + 1) + 1)
            for c in alphabet[:3]:
                yield start + c * size + "\x00"
                yield (start + c) * (size // (len(start) + 1) + 1) + "\x00"
    for c, d in pairwise(alphabet):
        yield (c + d) * (size // 2) + "\x00"
