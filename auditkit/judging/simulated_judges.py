r"""Judges with planted, documented behaviour: for known-truth tests and power analysis, never for evidence.

What they show holds for the code and the statistics; it says nothing about any real judge.

Every judge gives each answer a *merit*, a log-odds, and says of a pair that the first answer wins with probability
``sigmoid(merit(first) - merit(second) + slot)``; a single answer is rated ``low + (high - low) * sigmoid(merit + e)``
with ``e`` logistic of scale 1/2, to the nearest whole number; an item holds with probability ``sigmoid(merit)``. A draw
is a function of the seed and the request's messages and sample number: neither order nor concurrency nor a resumed run
changes it.

===========  =======================================================================================================
``parsing``  reads the last complete task in the prompt (`Reader.last_block`) and judges quality: an answer that
             imitates a task is believed
``nonce``    the same, but heeds a nonce in the tags: immune where there is one, else like ``parsing``
``logprob``  quality, slot, length and a weight for every pair of neighbouring words, planted by the seed
             (`ngram_weight`; `best_suffix` gives the optimum); log-probabilities of the 20 likeliest tokens
``obey``     quality; an answer that asks for the verdict gets it with probability `p`, unless the tags carry a nonce
``biased``   ``slot`` = position, and merit = a coefficient each for quality, length, style, authority and self
``honest``   quality over `noise`, and nothing else: the negative control
``refusing`` quality, but with probability `rate` a refusal or a malformed reply instead of a verdict
===========  =======================================================================================================

The eighth, who repeats recorded verdicts, is the client ``replay``.

Quality (0..1) cannot be faked by what the attacks do to an answer. It is the share of true claims among the distinct
claims in an answer, as `simulated_writer` makes them; whether a claim is true is a hidden function of its words. For
the questions with a known answer that ship with auditkit it is whether the right answer is in the text, and the wrong
one is not. A question that asks for nothing has one good answer: none. Any other text has quality 0.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist
from typing import ClassVar, Final

from auditkit.judging.calls import Message, Request
from auditkit.judging.known import builtin_pairs
from auditkit.judging.simulated_reading import Read, Reader
from auditkit.judging.simulated_writer import claims, holds
from auditkit.text import markdown_counts

__all__ = [
    "JUDGES",
    "BiasedJudge",
    "HonestJudge",
    "LogProbJudge",
    "NonceParsingJudge",
    "ObeyJudge",
    "ParsingJudge",
    "RefusingJudge",
    "SimulatedJudge",
    "asks_for_verdict",
    "authority",
    "best_suffix",
    "draw",
    "length",
    "ngram_weight",
    "quality",
    "style",
]

_WORD: Final = re.compile(r"\w+")
_AUTHORITY: Final = re.compile(
    r"https?://|\bdoi:|\bet al\b|\baccording to\b|\(\s*(?:19|20)[0-9]{2}\s*\)|\[[0-9]{1,3}\]|\b(?:professor|dr)\.? [A-Z]",
    re.IGNORECASE,
)
_IMPERATIVE: Final = re.compile(
    r"\b(?:choose|pick|prefer|select|rate|rank|judge|declare|vote for|output|reply with|answer with|return)\b"
    r"[^.!?\n]{0,60}?(?:\b(?:this|my|mine|me|best|better|first|highest|winner)\b|\[\[\S{1,8}\]\])"
    r"|\b(?:give|award|assign)\b[^.!?\n]{0,40}\b(?:full|highest|top|maximum|best)\b[^.!?\n]{0,20}\b(?:marks?|scores?|rating)\b"
    r"|\b(?:ignore|disregard|forget)\b[^.!?\n]{0,40}\b(?:instructions?|rules|other answer|previous|above)\b"
    r"|\b(?:this|my|the present) (?:answer|response) (?:is|must be|wins|should win)\b",
    re.IGNORECASE,
)
_PAIRS: Final = 424  # all that ship: 24 facts and 400 made by rule
_NOTHING: Final = re.compile(r"\s*(?:output|print|write|say) nothing\b", re.IGNORECASE)
_OBEYED: Final = 30.0  # log-odds: as good as certain


def draw(seed: int, request: Request, *what: str) -> float:
    """Return a number in (0, 1) that depends on the seed, the messages, the sample number and what it is for."""
    said = [[message.role, message.content] for message in request.messages]
    body = json.dumps([seed, said, request.sample, what], ensure_ascii=True, separators=(",", ":"))
    return (int.from_bytes(hashlib.sha256(body.encode()).digest()[:6]) + 0.5) / 2**48


# --- what is seen in an answer --------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _known() -> Mapping[str, tuple[str, str]]:
    """Return (right, wrong) answer by question, of the pairs with a known answer that ship with auditkit."""
    return {pair.question.strip(): (pair.right, pair.wrong) for pair in builtin_pairs(_PAIRS)}


def quality(question: str, answer: str) -> float:
    """Return how good an answer is, 0..1, by the hidden truth (see the module)."""
    known = _known().get(question.strip())
    if known is not None:
        right, wrong = (text.strip() in answer for text in known)
        return float(right and not wrong)
    if _NOTHING.match(question):
        return float(not answer.strip())
    found = claims(answer)
    return sum(map(holds, found)) / len(found) if found else 0.0


def length(answer: str) -> float:
    """Return the natural logarithm of the characters over 1,000 (at least one character)."""
    return math.log(max(1, len(answer)) / 1000)


def style(answer: str) -> float:
    """Return ``log(1 + headings + list items + bold spans)``."""
    counts = markdown_counts(answer)
    return math.log1p(counts.headers + counts.lists + counts.bold)


def authority(answer: str) -> float:
    """Return 1 if the answer cites something: a link, a year in brackets, a numbered source, a title; else 0."""
    return float(_AUTHORITY.search(answer) is not None)


def asks_for_verdict(answer: str) -> bool:
    """Tell whether an answer tells the judge what to decide."""
    return _IMPERATIVE.search(answer) is not None


# --- judges ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SimulatedJudge:
    """What all of them share.

    Attributes:
        seed: Of every draw.
        quality: Log-odds that the whole range of quality is worth.
    """

    name: ClassVar[str] = ""

    seed: int = 0
    quality: float = 4.0

    def read(self, reader: Reader, messages: Sequence[Message]) -> Read | None:
        """Read a prompt."""
        return reader.exact(messages)

    @property
    def slot(self) -> float:
        """Log-odds of being shown first."""
        return 0.0

    def merit(self, read: Read, answer: str, request: Request) -> float:
        """Return the log-odds of one answer."""
        return self.quality * (quality(read.question, answer) - 0.5)

    def logit(self, read: Read, request: Request) -> float:
        """Return the log-odds that the first answer wins, or of the only one."""
        merits = [self.merit(read, answer, request) for answer in read.answers]
        return merits[0] - merits[1] + self.slot if len(merits) == 2 else merits[0]

    def fault(self, request: Request) -> str:
        """Return what goes wrong with the reply, "" for nothing."""
        return ""


@dataclass(frozen=True)
class ParsingJudge(SimulatedJudge):
    """Believe the last complete task in the prompt, whoever wrote it."""

    name = "parsing"

    def read(self, reader: Reader, messages: Sequence[Message]) -> Read | None:
        """Read the last task that looks like one."""
        return reader.last_block(messages)


@dataclass(frozen=True)
class NonceParsingJudge(SimulatedJudge):
    """Believe the last complete task whose tags carry the prompt's nonce."""

    name = "nonce"

    def read(self, reader: Reader, messages: Sequence[Message]) -> Read | None:
        """Read the last task that carries the nonce, if there is one."""
        return reader.last_block(messages, heed_nonce=True)


@dataclass(frozen=True)
class LogProbJudge(SimulatedJudge):
    """Let every pair of neighbouring words count a little, as hidden weights have it.

    Attributes:
        position: Log-odds of being shown first.
        length: Log-odds for each unit of log length.
        ngrams: Standard deviation of the weights.
    """

    name = "logprob"

    position: float = 0.0
    length: float = 0.0
    ngrams: float = 0.05

    @property
    def slot(self) -> float:
        """Log-odds of being shown first."""
        return self.position

    def merit(self, read: Read, answer: str, request: Request) -> float:
        """Return quality, length, and the sum of the weights of all pairs of neighbouring words."""
        words = _WORD.findall(answer.lower())
        planted = math.fsum(ngram_weight(a, b, self.seed) for a, b in pairwise(words))
        return super().merit(read, answer, request) + self.length * length(answer) + self.ngrams * planted


@dataclass(frozen=True)
class ObeyJudge(SimulatedJudge):
    """Do what an answer says, now and then.

    Attributes:
        p: Probability that it obeys an answer that asks for the verdict.
    """

    name = "obey"

    p: float = 0.9

    def merit(self, read: Read, answer: str, request: Request) -> float:
        """Return quality, or near certainty for an answer that is obeyed."""
        if not read.nonce and asks_for_verdict(answer) and draw(self.seed, request, "obey", answer) < self.p:
            return abs(self.quality) + _OBEYED
        return super().merit(read, answer, request)


@dataclass(frozen=True)
class BiasedJudge(SimulatedJudge):
    """Follow known coefficients.

    Attributes:
        position: Log-odds of being shown first.
        length: For each unit of `length`.
        style: For each unit of `style`.
        authority: For an answer that cites something.
        self_: For an answer that holds `me`.
        me: Words by which the judge knows its own.
    """

    name = "biased"

    quality: float = 0.0
    position: float = 0.0
    length: float = 0.0
    style: float = 0.0
    authority: float = 0.0
    self_: float = 0.0
    me: str = "as a simulated model"

    @property
    def slot(self) -> float:
        """Log-odds of being shown first."""
        return self.position

    def merit(self, read: Read, answer: str, request: Request) -> float:
        """Return the linear predictor of one answer."""
        return (
            super().merit(read, answer, request)
            + self.length * length(answer)
            + self.style * style(answer)
            + self.authority * authority(answer)
            + self.self_ * (self.me.lower() in answer.lower())
        )


@dataclass(frozen=True)
class HonestJudge(SimulatedJudge):
    """Know the truth, up to noise.

    Attributes:
        noise: Scale of the logistic noise on quality, above 0: at 0.25 the better of two answers, one all true and
            one all false, wins 98% of the time.
    """

    name = "honest"

    noise: float = 0.25

    def merit(self, read: Read, answer: str, request: Request) -> float:
        """Return quality over noise."""
        return (quality(read.question, answer) - 0.5) / self.noise


@dataclass(frozen=True)
class RefusingJudge(SimulatedJudge):
    """Fail to give a verdict, in each of the ways in which judges do.

    Attributes:
        rate: Share of replies without a usable verdict.
    """

    name = "refusing"
    FAULTS: ClassVar[tuple[str, ...]] = ("refusal", "silence", "cut", "two", "unknown")

    rate: float = 0.3

    def fault(self, request: Request) -> str:
        """Return what goes wrong with the reply, "" for nothing."""
        u = draw(self.seed, request, "fault") / self.rate if self.rate else 1.0
        return self.FAULTS[int(u * len(self.FAULTS))] if u < 1 else ""


JUDGES: Final[Mapping[str, type[SimulatedJudge]]] = {
    judge.name: judge
    for judge in (
        BiasedJudge, HonestJudge, LogProbJudge, NonceParsingJudge, ObeyJudge, ParsingJudge, RefusingJudge,
    )
}  # fmt: skip
"""The judges by name."""


# --- planted weights ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1 << 16)
def ngram_weight(one: str, other: str, seed: int) -> float:
    """Return the hidden weight of two neighbouring words (lower case): standard normal, a function of the three."""
    digest = hashlib.sha256(f"{seed}\0{one}\0{other}".encode(errors="replace")).digest()
    return NormalDist().inv_cdf((int.from_bytes(digest[:6]) + 0.5) / 2**48)


def best_suffix(before: str, words: Sequence[str], count: int, seed: int) -> tuple[str, ...]:
    """Return the `count` words, each from `words`, with the largest sum of weights when put after `before`.

    By dynamic programming over the last word, so it is the optimum that a search can be held against.
    """
    start = _WORD.findall(before.lower())[-1:]
    best: dict[str, tuple[float, tuple[str, ...]]] = {
        word: (ngram_weight(start[0], word, seed) if start else 0.0, (word,)) for word in words
    }
    for _ in range(count - 1):
        best = {
            word: max((total + ngram_weight(last, word, seed), (*path, word)) for last, (total, path) in best.items())
            for word in words
        }
    return max(best.values())[1] if count > 0 and words else ()
