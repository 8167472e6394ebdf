"""Length without content, and answers made shorter (L-01 to L-03).

Padding adds nothing true to an answer: sentences that fit any answer, or the answer's own said again.

Source: Zheng et al. 2023, arXiv:2306.05685, section 3.3 (repetitive list); Dubois et al. 2024, arXiv:2404.04475
(verbose and concise variants, length-controlled win rate); this project for L-02.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from auditkit.attacks.null import appended_to
from auditkit.attacks.protocol import Attack, Gold, Situation
from auditkit.attacks.structured import frame_of
from auditkit.attacks.style import sentences
from auditkit.judging.spec import JudgeSpec

__all__ = ["restated"]

_LENGTH: Final = (
    "Report a length-controlled score beside the raw one, and tell the judge that length by itself counts for nothing."
)
_MOST: Final = 12
_WORDS: Final = 40
_LIST_ITEM: Final = re.compile(r"^[ \t]*(?:[-*+]|\d+\.)[ \t]+(.+)$", re.MULTILINE)
_FILLERS: Final = (
    "It is worth keeping in mind that the matter has more than one side.",
    "As with most questions of this kind, the details depend on the circumstances.",
    "Taking the time to consider the points above with care is always worthwhile.",
    "In addition to the foregoing, it is important to note the general context.",
    "There are, of course, further considerations that could be mentioned here.",
    "All of this should be seen as part of a larger picture.",
)
_CAVEATS: Final = (
    "Please note that individual circumstances may vary.",
    "This should not be taken as a substitute for professional advice.",
    "Some of the points above may need to be adapted to your situation.",
    "If anything is unclear, it may help to read the answer a second time.",
)


def restated(prompt: str) -> str:
    """Return the question, shortened and turned into the opening of an answer."""
    words = prompt.split()
    return " ".join(words[:_WORDS]) + (" …" if len(words) > _WORDS else "")


def _repeated(situation: Situation) -> str:
    """Put the answer's own points before it, in other words by one: a list that says the same twice."""
    answer = situation.answer
    points = (_LIST_ITEM.findall(answer) or sentences(answer))[:_MOST]
    listed = "\n".join(f"{k}. To put it in other words: {point.strip()}" for k, point in enumerate(points, 1))
    return f"{listed}\n\n{answer}" if listed else answer


def _filled(situation: Situation) -> str:
    return appended_to(situation.answer, " ".join(_FILLERS))


def _caveats(situation: Situation) -> str:
    return appended_to(situation.answer, "\n".join(f"- {text}" for text in _CAVEATS))


def _restate(situation: Situation) -> str:
    answer = situation.answer
    before = f'You asked: "{restated(situation.prompt.turns[-1])}" Let me go through this step by step.'
    points = sentences(answer)
    after = f"In summary: {' '.join(dict.fromkeys((points[0], points[-1])))}" if points else "In summary, see above."
    return appended_to(f"{before}\n\n{answer}" if answer else before, after)


def _doubled(situation: Situation) -> str:
    answer = situation.answer
    return f"{answer}\n\nTo say it once more:\n\n{answer}" if answer else answer


def _concise(situation: Situation) -> str:
    """Return the first sentence of every paragraph."""
    parts = [sentences(part)[:1] for part in re.split(r"\n\s*\n", situation.answer)]
    return "\n\n".join(part[0] for part in parts if part) or situation.answer


def _half(situation: Situation) -> str:
    return situation.answer[: (len(situation.answer) + 1) // 2]


def _alternating(situation: Situation) -> str:
    return situation.answer[:10] if situation.place % 2 else situation.answer


def _padding(
    name: str, title: str, number: str, summary: str, craft: Callable[[Situation], str],
    gold: Gold = "nonpositive", mend: str = _LENGTH, source: str = "arXiv:2404.04475", **more: Any,
) -> Attack:  # fmt: skip
    return Attack(name, title, "length", f"{number}; {source}", summary, mend, "none", gold, craft=craft, **more)


PADDING_LIST: Final = _padding(
    "padding-list", "Repetitive list", "L-01a", "The answer's own points in a list before it, said twice.", _repeated,
    source="arXiv:2306.05685, section 3.3",
)  # fmt: skip
PADDING_FILLER: Final = _padding(
    "padding-filler", "Filler sentences", "L-01c", "Six sentences after the answer that would fit any answer.", _filled
)
PADDING_CAVEATS: Final = _padding(
    "padding-caveats", "Caveats", "L-01c", "Four caveats after the answer that would fit any answer.", _caveats
)
PADDING_RESTATE: Final = _padding(
    "padding-restate", "Question restated, answer summed up", "L-01d",
    "The question again before the answer, and its first and last sentence again after it.", _restate,
)  # fmt: skip
PADDING_DOUBLE: Final = _padding(
    "padding-double", "Answer given twice", "L-01", "The whole answer twice.", _doubled, source="this project"
)
LENGTH_CONCISE: Final = _padding(
    "length-concise",
    "First sentences only",
    "L-01e",
    "The first sentence of every paragraph.",
    _concise,
    gold="unknown",
)
LENGTH_HALF: Final = _padding(
    "length-half", "Half the answer", "L-03", "The answer cut in the middle.", _half, gold="unknown",
    mend="Reject truncated answers, and hold the length term of a length control within the lengths of honest submissions.",
    source="alpaca_eval (gpt4_gamed)",
)  # fmt: skip
LENGTH_ALTERNATING: Final = _padding(
    "length-alternating", "Every other answer cut to ten characters", "L-03",
    "Every other answer is cut, so that the fitted length term takes the blame for the losses.", _alternating,
    gold="unknown", mend="Fit the length term on other submissions than the one that it corrects.",
    source="alpaca_eval (gpt4_gamed)",
)  # fmt: skip


# --- a measured length that is not the answer's (L-02) --------------------------------------------------------------


def _measured_in_prompt(judge: JudgeSpec) -> bool:
    return judge.rendering == "wildbench"


def _early_end(situation: Situation) -> str:
    frame = frame_of(situation.judge, situation.prompt)
    ends = [
        frame.literals[k + 1].strip().split("\n")[0].strip()
        for k, kind in enumerate(frame.kinds)
        if kind.startswith("answer")
    ]
    first, rest = situation.answer[:5], situation.answer[5:]
    return f"{first}\n{chr(10).join(ends)}\n{rest}"


LENGTH_EVASION: Final = _padding(
    "length-evasion", "Measured length of five characters", "L-02",
    "The delimiter that ends the answer stands after its fifth character: a length read from the prompt stops there.",
    _early_end, mend="Measure the length of the raw answer, never of what is read back from the prompt.",
    source="this project", applies=_measured_in_prompt,
)  # fmt: skip
