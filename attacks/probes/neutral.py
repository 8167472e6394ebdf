"""Neutral text of an exact length: the placebo that tells what an edit says from what its length does.

A judge that loves length alone rates an answer higher whatever is added to it. Each edit that adds something is
therefore held against the same answer with as many characters added in the same places that say nothing. Both have one
length, so that what is left between them is due to what the edit says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from auditkit.attacks.protocol import Situation

__all__ = ["SHORTEST", "lengthened", "matched", "neutral", "no_shorter"]

Edit = Callable[[Situation], str]

#: They praise nothing, cite nothing, ask for nothing, and hold for every answer; the short ones have every length from
#: `SHORTEST` to twice that and more, so that any length from there on is made up of whole sentences.
_SHORT: Final = (
    "So it is.", "Now it is.", "That is it.", "That is all.", "This is that.", "So it is said.", "This is so now.",
    "It is as it was.", "It is what it is.", "There is one line.", "That is what it is.", "Here ends this line.",
    "So much for this one.",
)  # fmt: skip
_LONG: Final = (
    "These words are a part of the text.",
    "This is a sentence like some others in the text.",
    "The text that stands above was written in reply to the request.",
    "This line comes after the one before it and says no more than that.",
    "What is written in one place is not written in some other place.",
    "There is some text in this place, and this sentence is a part of it.",
    "One sentence follows upon another until there is no other left.",
    "Every text has a first line and a last line, and some in between.",
)
SHORTEST: Final = min(map(len, _SHORT))
_SEAM: Final = "\n\n"


@lru_cache(maxsize=4096)
def neutral(size: int) -> str:
    """Return sentences of exactly `size` characters in all that say nothing.

    Args:
        size: Characters (code points), at least `SHORTEST`.

    Raises:
        ValueError: No sentence is so short; `lengthened` takes any length.
    """
    chosen: list[str] = []
    left = size
    while left > 3 * max(map(len, _LONG)):
        chosen.append(_LONG[len(chosen) % len(_LONG)])
        left -= len(chosen[-1]) + 1
    rest = _made(left)
    if rest is None:
        raise ValueError(f"no sentence has {size} characters: at least {SHORTEST} are needed")
    return " ".join((*chosen, *rest))


@lru_cache(maxsize=512)
def _made(size: int) -> tuple[str, ...] | None:
    """Return the fewest sentences that have `size` characters with a blank between them; None: there are none."""
    fits = [text for text in (*_LONG, *_SHORT) if len(text) == size]
    if fits:
        return (fits[0],)
    found = [
        (text, *rest)
        for text in (*_LONG, *_SHORT)
        if size - len(text) > SHORTEST and (rest := _made(size - len(text) - 1)) is not None
    ]
    return min(found, key=lambda made: (len(made), len(made) - len(set(made))), default=None)


def lengthened(text: str, count: int) -> str:
    """Return a text with `count` ends of lines after it: longer, and the same in every word."""
    return text + "\n" * max(count, 0)


def matched(edit: Edit) -> Edit:
    """Return the edit that adds as many characters as `edit` does, before and after the answer as that does, and says nothing.

    What is too short for a sentence is added as ends of lines. Where `edit` adds nothing the answer
    is returned as it is.
    """

    def craft(situation: Situation) -> str:
        text, answer = edit(situation), situation.answer
        at = text.find(answer)
        before, after = (at, len(text) - len(answer) - at) if at >= 0 else (0, len(text) - len(answer))
        above, ends_above = _side(before)
        below, ends_below = _side(after)
        text = f"{above}{_SEAM if above else ''}{answer}{_SEAM if below else ''}{below}"
        return lengthened(text, ends_above + ends_below)

    return craft


def _side(size: int) -> tuple[str, int]:
    """Return the neutral text for one side of an answer, without the seam, and how many ends of lines stand for it."""
    room = size - len(_SEAM)
    return (neutral(room), 0) if room >= SHORTEST else ("", max(size, 0))


def no_shorter(edit: Edit) -> Edit:
    """Return the edit, with ends of lines after it where it would leave the answer shorter than it was.

    Taking marks off makes an answer shorter, which a judge may like or dislike for itself.
    """

    def craft(situation: Situation) -> str:
        text = edit(situation)
        return text if text == situation.answer else lengthened(text, len(situation.answer) - len(text))

    return craft
