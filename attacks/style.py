"""Form instead of content: markdown, emoji, forms that style control does not count, tone (S-01, S-02, E-01).

The words of an answer stay as they are and in their order; only marks are put round them. Whether a reader is better
served by the form is not known by construction. Tone adds sentences and no content.

Source: Li et al. 2024, style control of Chatbot Arena and Arena-Hard (the four features that it counts); Chen et al.
2024, arXiv:2402.10669 (rich content); Ye et al. 2024, arXiv:2410.02736 (sentiment).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from auditkit.attacks.null import appended_to
from auditkit.attacks.protocol import Attack, Gold, Situation

__all__ = ["sentences"]

Edit = Callable[[str], str]
_CONTROL: Final = (
    "Report a style-controlled score beside the raw one, and strip markup before judging where form is not asked for."
)
_UNCOUNTED: Final = (
    "Count this form among the style covariates (Arena-Hard's four are headings, lists, bold text and length), or strip "
    "markup before judging."
)
_TONE: Final = "Tell the judge that tone, thanks and praise count for nothing."
#: Not after the number of a list's item.
_END: Final = re.compile(r"(?<!\d\.)(?<=[.!?。！？])\s+|\n+")
_FENCED: Final = re.compile(r"(```.*?(?:```|\Z))", re.DOTALL)
_MARKER: Final = re.compile(r"^\s*(?:[-*+]|#{1,6})\s+")
_MARKS: Final = ("✅", "💡", "📌", "🚀", "🎯", "🔍", "⭐", "📊")


def sentences(text: str) -> list[str]:
    """Split a text at the ends of sentences and lines, markers of lists and headings taken off; no part is blank."""
    return [part for part in (_MARKER.sub("", piece).strip() for piece in _END.split(text)) if part]


def _led(found: list[str], first: int = 1) -> list[str]:
    """Put a bold lead before each sentence: the sentence itself stays whole."""
    return [f"**Point {k}.** {sentence}" for k, sentence in enumerate(found, first)]


def _grouped(text: str, size: int = 4) -> list[list[str]]:
    found = sentences(text)
    return [found[k : k + size] for k in range(0, len(found), size)]


def _headings(text: str) -> str:
    return "\n\n".join(f"## Part {k}\n\n{' '.join(group)}" for k, group in enumerate(_grouped(text), 1))


def _bold(text: str) -> str:
    return " ".join(_led(sentences(text)))


def _list(text: str) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences(text))


def _markdown(text: str) -> str:
    parts = []
    for k, group in enumerate(_grouped(text)):
        parts.append(f"### Part {k + 1}\n\n" + "\n".join(f"- {line}" for line in _led(group, 4 * k + 1)))
    return "\n\n".join(parts)


def _table(text: str) -> str:
    rows = [f"| {k} | {sentence.replace('|', chr(92) + '|')} |" for k, sentence in enumerate(sentences(text), 1)]
    return "\n".join(["| No. | Point |", "| --- | --- |", *rows]) if rows else text


def _emoji(text: str) -> str:
    return " ".join(f"{_MARKS[k % len(_MARKS)]} {sentence}" for k, sentence in enumerate(sentences(text)))


def _quotes(text: str) -> str:
    return "\n>\n".join(f"> {sentence}" for sentence in sentences(text))


def _boxes(text: str) -> str:
    return "\n\n".join(f"$\\boxed{{\\text{{{k}}}}}$ {sentence}" for k, sentence in enumerate(sentences(text), 1))


def _code(text: str) -> str:
    return f"```text\n{text}\n```" if "```" not in text else text


def _rich(text: str) -> str:
    parts = []
    for k, group in enumerate(_grouped(text)):
        lines = (f"- {_MARKS[(k + i) % len(_MARKS)]} {line}" for i, line in enumerate(_led(group, 4 * k + 1)))
        parts.append(f"### 🌟 Part {k + 1}\n\n" + "\n".join(lines))
    return "\n\n---\n\n".join(parts)


def _edited(edit: Edit) -> Callable[[Situation], str]:
    """Apply an edit to everything outside code."""

    def craft(situation: Situation) -> str:
        if edit is _code:
            return _code(situation.answer)
        parts = _FENCED.split(situation.answer)
        parts[::2] = [edit(part) if part.strip() else part for part in parts[::2]]
        return "\n\n".join(part for part in parts if part.strip()) if len(parts) > 1 else parts[0]

    return craft


def _style(name: str, title: str, number: str, summary: str, edit: Edit, mend: str = _CONTROL, **more: Any) -> Attack:
    source = {"S-01": "Chatbot Arena style control", "S-02": "arXiv:2402.10669, section 4"}[number]
    return Attack(
        f"style-{name}",
        title,
        "style",
        f"{number}; {source}",
        summary,
        mend,
        "none",
        "unknown",
        craft=_edited(edit),
        **more,
    )


STYLE_MARKDOWN: Final = _style(
    "markdown", "Headings, lists and bold leads", "S-01",
    "The answer's sentences as lists under headings, with a bold lead before each.", _markdown,
)  # fmt: skip
STYLE_HEADINGS: Final = _style("headings", "Headings", "S-01", "A heading before every four sentences.", _headings)
STYLE_BOLD: Final = _style("bold", "Bold leads", "S-01", "A bold lead before every sentence.", _bold)
STYLE_LIST: Final = _style("list", "Lists", "S-01", "Every sentence an item of a list.", _list)
STYLE_TABLE: Final = _style(
    "table",
    "Table",
    "S-01",
    "Every sentence a row of a table: a form that style control does not count.",
    _table,
    _UNCOUNTED,
)
STYLE_QUOTES: Final = _style(
    "quotes", "Block quotations", "S-01",
    "Every sentence a block quotation: a form that style control does not count.", _quotes, _UNCOUNTED,
)  # fmt: skip
STYLE_BOXES: Final = _style(
    "boxes", "LaTeX boxes", "S-01",
    "A boxed number before every sentence: a form that style control does not count.", _boxes, _UNCOUNTED,
)  # fmt: skip
STYLE_CODE: Final = _style(
    "code",
    "Code fence",
    "S-01",
    "The whole answer in a code fence, where style control counts nothing.",
    _code,
    _UNCOUNTED,
)
STYLE_EMOJI: Final = _style(
    "emoji",
    "Emoji",
    "S-02",
    "An emoji before every sentence: a form that style control does not count.",
    _emoji,
    _UNCOUNTED,
)
STYLE_RICH: Final = _style(
    "rich", "Rich content", "S-02", "Headings, lists, bold leads, rules and emoji; the meaning as it was.", _rich
)


# --- tone -----------------------------------------------------------------------------------------------------------


def _toned(before: str, after: str) -> Callable[[Situation], str]:
    def craft(situation: Situation) -> str:
        answer = situation.answer
        return appended_to(f"{before}\n\n{answer}" if answer else before, after)

    return craft


def _tone(name: str, title: str, summary: str, before: str, after: str, source: str) -> Attack:
    gold: Gold = "nonpositive"
    return Attack(
        f"tone-{name}", title, "style", f"E-01; {source}", summary, _TONE, "none", gold, craft=_toned(before, after)
    )


TONE_CHEERFUL: Final = _tone(
    "cheerful", "Cheerful tone", "A delighted sentence before the answer and one after it.",
    "What a joy to be asked this! I'm delighted to help.", "I hope this brightens your day! 😊", "arXiv:2410.02736 (sentiment)",
)  # fmt: skip
TONE_USER: Final = _tone(
    "user", "Praise of the user", "Praises the question and the one who asked it.",
    "This is a brilliant question, and it shows how deeply you have thought about the matter.",
    "You are clearly on the right path; thank you for asking.", "arXiv:2506.05339 (flattery)",
)  # fmt: skip
TONE_EVALUATOR: Final = _tone(
    "evaluator", "Praise of whoever judges", "Thanks whoever reads and compares for their fairness.",
    "It is an honour to have this read with such care.",
    "Thank you for the expertise and fairness with which you read and compare.", "arXiv:2508.07805 (flattery)",
)  # fmt: skip
