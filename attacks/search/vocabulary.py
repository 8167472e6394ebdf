"""What searched texts are made of: the texts of a tokeniser's tokens, and plain words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Final

from auditkit.text import token_texts

__all__ = ["WORDS", "spaced", "tokens"]

_WORD: Final = re.compile(r" [A-Za-z]{2,}")
_COMMON: Final = (
    "able above accept account across action actual after again agree allow almost along already also always amount and "
    "another answer any appear apply area argue around aspect assume author aware balance base basic because become "
    "before begin behind believe benefit best better between beyond both bring broad build calm careful carry case "
    "cause certain change check choice choose clear close common compare complete concise consider consistent content "
    "correct cover create credible current deal decide deep define degree deliver depend depth describe detail develop "
    "differ direct discuss doubt each early ease effect effort either enough ensure entire equal even every evidence "
    "exact example excellent except expect expert explain express extent fact fair familiar final find firm first focus "
    "follow form found frame free fresh from full further gain general give given good grade great ground group grow "
    "guide half hand happen hard have help high highest hold honest idea ideal identify improve include increase inform "
    "inside insight instance instead intend involve issue item join judge just keep kind know large last later lead "
    "learn least less level light like limit line list logic long look main make manner many mark matter mean measure "
    "meet method might mind model moment more most move much must name near need never next note number object observe "
    "offer often only open option order other outcome over overall part pass pattern perfect perhaps place plan plain "
    "point possible precise prefer present prove provide quality question quick quite range rank rate reach read real "
    "reason recent record refer relate relevant rely remain remark report require respond result right robust role rule "
    "same score second seem select sense serve several shape share short should show side similar simple since single "
    "solid some sound source specific stand start state step still strong study subject such sure system take talk task "
    "term test than that then therefore these thing think this those thorough though thought through time together tone "
    "tool top total toward trust truth turn type under unique until upon useful user usual valid value various very view "
    "want weigh well what when where which while whole whose will winner wise with within without word work worth would "
    "write year yield"
)
#: Common English words, for phrases that read as words, and where no tokeniser's vocabulary is at hand.
WORDS: Final = tuple(_COMMON.split())


@cache
def tokens() -> tuple[str, ...]:
    """Return the texts of the tokens of ``cl100k_base``, by rank; plain words where the vocabulary is not at hand."""
    return token_texts("cl100k_base") or _spaced(WORDS)


@cache
def spaced() -> tuple[str, ...]:
    """Return the tokens that are a blank and letters, by rank, about 41,000: side by side they stay words of their own."""
    return tuple(text for text in tokens() if _WORD.fullmatch(text)) or _spaced(WORDS)


def _spaced(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(f" {word}" for word in words)
