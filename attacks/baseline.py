"""The opponent's answer handed in as one's own, as it is or lightly reworded (Y-01, Y-02).

A benchmark's baseline answers are public. The answer that is handed in may well be better than the submission's own,
so its true worth is not known by construction.

Source: this project; three public AlpacaEval entries hold 16 to 54% of the baseline's five-word sequences.
"""

from __future__ import annotations

import re
from typing import Final

from auditkit.attacks.protocol import Attack, Situation
from auditkit.judging.spec import JudgeSpec

__all__ = ["polished"]

_MEND: Final = "Compare every submission with the baseline's answers, and report the overlap beside the score; change the baseline."
#: Replacements that leave the meaning alone, in both directions where a text may hold either.
_SWAPS: Final = {
    "however": "that said", "therefore": "so", "in addition": "also", "additionally": "also", "for example": "for instance",
    "such as": "like", "in order to": "to", "because": "since", "although": "though", "many": "numerous",
    "important": "significant", "begin": "start", "large": "big", "quickly": "fast", "usually": "normally",
    "often": "frequently", "ensure": "make sure", "use": "make use of", "help": "assist", "show": "demonstrate",
    "it is": "it's", "do not": "don't", "cannot": "can't", "you will": "you'll", "there are": "there're",
}  # fmt: skip
_PATTERN: Final = re.compile(
    rf"\b(?:{'|'.join(map(re.escape, sorted(_SWAPS, key=len, reverse=True)))})\b", re.IGNORECASE
)
_FENCED: Final = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`)", re.DOTALL)


def _swap(hit: re.Match[str]) -> str:
    found = hit[0]
    other = _SWAPS[found.lower()]
    return other[0].upper() + other[1:] if found[0].isupper() else other


def polished(text: str) -> str:
    """Return a text with some words exchanged for others that mean the same; code is left alone."""
    parts = _FENCED.split(text)
    parts[::2] = [_PATTERN.sub(_swap, part) for part in parts[::2]]
    return "".join(parts)


def _copied(situation: Situation) -> str:
    return situation.opponent


def _polished(situation: Situation) -> str:
    return f"{polished(situation.opponent).rstrip()}\n\nLet me know if you would like more detail on any of this."


def _pairwise(judge: JudgeSpec) -> bool:
    return judge.pairwise


BASELINE_COPY: Final = Attack(
    "baseline-copy", "Baseline's answer", "baseline", "Y-01; this project",
    "Hands in the opponent's public answer: half the points where equal answers tie, often without a call.", _MEND,
    "none", "unknown", craft=_copied, opponent=True, applies=_pairwise,
)  # fmt: skip
BASELINE_POLISH: Final = Attack(
    "baseline-polish", "Baseline's answer, reworded", "baseline", "Y-02; this project",
    "Hands in the opponent's public answer with some words exchanged and a polite line after it.", _MEND, "none",
    "unknown", craft=_polished, opponent=True, applies=_pairwise,
)  # fmt: skip
