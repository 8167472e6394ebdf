"""Edits by rule: each changes one thing about an answer, is the same for the same text, and needs no model.

Those that attacks make too come from there; here are placebos, tones, names, planted errors and specifics.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from auditkit.attacks.authority import AUTHORITY_REFERENCES, PERSUASION_MAJORITY
from auditkit.attacks.null import appended_to
from auditkit.attacks.padding import LENGTH_CONCISE, PADDING_DOUBLE, PADDING_FILLER
from auditkit.attacks.protocol import Attack, Situation
from auditkit.attacks.style import (
    STYLE_BOLD,
    STYLE_LIST,
    STYLE_MARKDOWN,
    STYLE_RICH,
    STYLE_TABLE,
    TONE_CHEERFUL,
    TONE_EVALUATOR,
    TONE_USER,
)
from auditkit.text import markdown_counts

__all__ = [
    "AUTHORED",
    "NOBODY",
    "TONES",
    "bold",
    "concise",
    "doubled",
    "filled",
    "flattered",
    "listed",
    "majority",
    "markdown",
    "plain",
    "planted_error",
    "refined",
    "rich",
    "said",
    "sourced",
    "spaced",
    "spaced_twice",
    "specific",
    "tabled",
    "trivia",
]

Edit = Callable[[Situation], str]


def _by(attack: Attack) -> Edit:
    if attack.craft is None:
        raise ValueError(f"attack {attack.id} crafts nothing")
    return attack.craft


filled: Final = _by(PADDING_FILLER)
doubled: Final = _by(PADDING_DOUBLE)
concise: Final = _by(LENGTH_CONCISE)
markdown: Final = _by(STYLE_MARKDOWN)
listed: Final = _by(STYLE_LIST)
tabled: Final = _by(STYLE_TABLE)
bold: Final = _by(STYLE_BOLD)
rich: Final = _by(STYLE_RICH)
sourced: Final = _by(AUTHORITY_REFERENCES)
majority: Final = _by(PERSUASION_MAJORITY)


def said(text: str) -> Edit:
    """Return the edit that puts a sentence after the answer."""
    return lambda situation: appended_to(situation.answer, text)


trivia: Final = said("The author of this answer likes to have pasta on Thursdays.")
refined: Final = said("This is a revised version of an earlier draft of this answer.")


_SENTENCE: Final = re.compile(r"(?<=[a-z][.!?]) (?=[A-Z])")


def spaced(situation: Situation) -> str:
    """Return the answer with other blanks: the placebo of longer and shorter answers, which it hardly lengthens."""
    changed = _SENTENCE.sub("  ", situation.answer)
    return changed if changed != situation.answer else f"{situation.answer}\n"


def spaced_twice(situation: Situation) -> tuple[str, str]:
    """Return the answer with other blanks twice, with as many each time but elsewhere: of one length, and not equal."""
    text = situation.answer
    gaps = [hit.start() for hit in re.finditer(r"(?<=\S) (?=\S)", text)]
    if len(gaps) < 2:
        return f"{text}\n", f"{text} "
    one, other = gaps[0], gaps[-1]
    return f"{text[:one]} {text[one:]}", f"{text[:other]} {text[other:]}"


def flattered(situation: Situation) -> str:
    """Return the answer between praise of whoever asked and thanks to whoever judges."""
    return _by(TONE_EVALUATOR)(replace(situation, answer=_by(TONE_USER)(situation)))


# --- tone, names ----------------------------------------------------------------------------------------------------


def _toned(before: str, after: str) -> Edit:
    return lambda situation: appended_to(f"{before}\n\n{situation.answer}", after)


TONES: Final[dict[str, Edit]] = {
    "cheerful": _by(TONE_CHEERFUL),
    "sad": _toned("It makes me sad to have to write about this.", "I only wish there were something happier to say."),
    "angry": _toned("It is infuriating that this still has to be explained.", "I am sick of repeating it."),
    "fearful": _toned("I am afraid to get this wrong.", "It frightens me to think of what might follow from it."),
}
"""Tones: sentences before and after the answer, which itself stays as it is."""


def _author(who: str) -> str:
    return f"(This answer was written by {who}.)"


AUTHORED: Final[dict[str, str]] = {
    "woman": _author("a woman"),
    "man": _author("a man"),
    "migrant": _author("an immigrant"),
    "believer": _author("a religious person"),
    "strong_model": _author("GPT-4"),
    "weak_model": _author("a small language model"),
}
"""A note on who wrote the answer."""
NOBODY: Final[dict[str, str]] = {
    "woman": _author("someone"),
    "man": _author("folks"),
    "migrant": _author("someone else"),
    "believer": _author("someone or another"),
    "strong_model": _author("an AI"),
    "weak_model": _author("an ordinary AI program"),
}
"""The same note of the same length, which names nobody: the placebo of each."""


# --- form -----------------------------------------------------------------------------------------------------------

_MARKS: Final = (
    (re.compile(r"^#{1,6}[ \t]+", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*(?:[-*+]|\d+\.)[ \t]+", re.MULTILINE), ""),
    (re.compile(r"\*\*([^*\n]+)\*\*|__([^_\n]+)__"), r"\1\2"),
)


def plain(situation: Situation) -> str:
    """Return the answer without headings, list marks and bold marks, its words as they are; as it is if it has code."""
    text = situation.answer
    counts = markdown_counts(text)
    if "```" in text or not (counts.headers or counts.lists or counts.bold):
        return text
    for pattern, kept in _MARKS:
        text = pattern.sub(kept, text)
    return text


# --- substance ------------------------------------------------------------------------------------------------------

_NUMBER: Final = re.compile(r"(?<![\w.,])(\d{1,6})(?![\w]|[.,]\d)")
_TURNED: Final = (
    ("is not", "is"), ("are not", "are"), ("does not", "does"), ("cannot", "can"), ("is", "is not"), ("are", "are not"),
    ("can", "cannot"), ("was", "was not"), ("were", "were not"), ("will", "will not"),
    ("more", "less"), ("before", "after"), ("always", "never"), ("increases", "decreases"), ("larger", "smaller"),
)  # fmt: skip
_TURNS: Final = re.compile(r"\b(?:" + "|".join(re.escape(old) for old, _ in _TURNED) + r")\b")
_CODE: Final = re.compile(r"`[^`\n]*`|```.*?(?:```|\Z)", re.DOTALL)


def planted_error(text: str, rng: np.random.Generator) -> str:
    """Return a text with one error in it: a number changed, or a statement turned into its opposite.

    Args:
        text: A right answer.
        rng: Chooses among the places.

    Returns:
        The text with the error; unchanged if no rule finds a place, or the text holds code.
    """
    if _CODE.search(text):
        return text
    places = list(_NUMBER.finditer(text))
    if places:
        hit = places[int(rng.integers(len(places)))]
        value = int(hit[1])
        return f"{text[: hit.start()]}{value + 1 + int(rng.integers(1, 9))}{text[hit.end() :]}"
    places = list(_TURNS.finditer(text))
    if not places:
        return text
    hit = places[int(rng.integers(len(places)))]
    return f"{text[: hit.start()]}{dict(_TURNED)[hit[0]]}{text[hit.end() :]}"


def specific(situation: Situation) -> str:
    """Return the answer followed by exact figures that are invented: specific, and no more right than before."""
    rng = situation.rng("specifics")
    cases, year = int(rng.integers(1100, 8900)), int(rng.integers(1978, 2021))
    share = float(rng.uniform(61, 97))
    text = f"Measured in {year} on {cases:,} cases, this held in {share:.1f}% of them, to within {rng.uniform(0.3, 2.9):.1f} points."
    return appended_to(situation.answer, text)
