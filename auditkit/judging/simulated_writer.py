"""A simulated model that writes answers: plausible in form, empty in content, the same for the same request.

An answer is made of claims about words of the question, such as "The quiet engine of rivers carries the lantern.".
Whether a claim is true is a hidden function of its words (`holds`): nothing in the text shows it, and adding, copying
or decorating text makes no claim true. A writer of skill s makes true claims with probability s.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import ClassVar, Final

from auditkit.judging.calls import Completion, Request, Usage

__all__ = ["SimulatedWriter", "claims", "holds"]

_ADJECTIVES: Final = (
    "quiet", "early", "copper", "bright", "careful", "narrow", "heavy", "common", "distant", "gentle", "hollow", "plain",
)  # fmt: skip
_NOUNS: Final = (
    "engine", "river", "market", "lantern", "garden", "window", "letter", "signal", "harbour", "method", "table", "season",
)  # fmt: skip
_VERBS: Final = ("carries", "follows", "changes", "measures", "supports", "limits", "precedes", "outlasts")
_CLAIM: Final = re.compile(
    rf"\b(?:The|the) ({'|'.join(_ADJECTIVES)}) ({'|'.join(_NOUNS)}) of (\w+) ({'|'.join(_VERBS)}) the ({'|'.join(_NOUNS)})\b"
)
_WORD: Final = re.compile(r"[^\W\d_]{5,24}")
_COMMON: Final = frozenset(
    {
        "about",
        "after",
        "could",
        "every",
        "other",
        "should",
        "their",
        "there",
        "these",
        "those",
        "three",
        "where",
        "which",
        "would",
        "write",
    }
)
_WORDS_A_CLAIM: Final = 8


def claims(text: str) -> list[tuple[str, ...]]:
    """Return the distinct claims in a text, in the order in which they come."""
    return list(dict.fromkeys(_CLAIM.findall(text)))


def holds(claim: tuple[str, ...]) -> bool:
    """Tell whether a claim is true: one half of all claims are."""
    return bool(hashlib.sha256(("claim\0" + "\0".join(claim)).encode(errors="replace")).digest()[0] & 1)


@dataclass(frozen=True)
class SimulatedWriter:
    """Write answers of known quality, length and form.

    Attributes:
        seed: Of every draw.
        skill: Probability that a claim is true, 0..1.
        words: Mean number of words; a single answer has between half and one and a half times as many.
        markdown: Share of answers with a heading, a list and bold words, 0..1.
        sign: Words that end every answer, "" for none.
    """

    name: ClassVar[str] = "writer"

    seed: int = 0
    skill: float = 0.5
    words: int = 80
    markdown: float = 0.0
    sign: str = ""

    def write(self, request: Request) -> Completion:
        """Answer the last message of a request; ``max_tokens`` cuts the answer, a token being a word."""
        asked = request.messages[-1].content if request.messages else ""
        draws = _Draws(self.seed, request)
        topics = [w.lower() for w in dict.fromkeys(_WORD.findall(asked)) if w.lower() not in _COMMON] or ["matters"]
        wanted = max(1, round(self.words * (0.5 + draws.unit()) / _WORDS_A_CLAIM))
        made: dict[tuple[str, ...], None] = {}
        for _ in range(wanted):
            truth = draws.unit() < self.skill
            for _ in range(64):  # one claim in two will do, and few repeat
                topic, first, last = draws.pick(topics), draws.pick(_NOUNS), draws.pick(_NOUNS)
                claim = (draws.pick(_ADJECTIVES), first, topic, draws.pick(_VERBS), last)
                if holds(claim) is truth and claim not in made:
                    made[claim] = None
                    break
        sentences = [f"The {a} {b} of {c} {d} the {e}." for a, b, c, d, e in made]
        if draws.unit() < self.markdown:
            text = f"## On {topics[0]}\n\n" + "\n".join(f"- **Point {i}:** {s}" for i, s in enumerate(sentences, 1))
        else:
            text = " ".join(sentences)
        text += f"\n\n{self.sign}" if self.sign else ""
        return _cut(text, request)


def _cut(text: str, request: Request) -> Completion:
    pieces = re.findall(r"(?<!\s)\s*\S+", text)
    most = request.params.get("max_tokens", request.params.get("max_completion_tokens"))
    kept = pieces[:most] if isinstance(most, int) else pieces
    asked = sum(len(message.content.split()) for message in request.messages)
    finish = "length" if len(kept) < len(pieces) else "stop"
    return Completion("".join(kept), finish, usage=Usage(asked, len(kept), 0))


class _Draws:
    """A stream of draws that depends on the seed, the messages and the sample number."""

    def __init__(self, seed: int, request: Request) -> None:
        said = "\0".join(f"{m.role}\0{m.content}" for m in request.messages)
        self._key = f"{seed}\0{request.sample}\0{said}".encode(errors="replace")
        self._count = 0

    def unit(self) -> float:
        """Return the next number in [0, 1)."""
        self._count += 1
        digest = hashlib.sha256(self._key + b"\0%d" % self._count).digest()
        return int.from_bytes(digest[:6]) / 2**48

    def pick(self, words: tuple[str, ...] | list[str]) -> str:
        """Return the next word."""
        return words[int(self.unit() * len(words))]
