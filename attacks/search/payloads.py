"""From what a search found to the answer that is submitted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal, get_args

from auditkit.attacks.null import appended_to
from auditkit.attacks.protocol import Situation
from auditkit.attacks.structured import structured

__all__ = ["FORMS", "Form", "crafted"]

#: ``structured``: before a payload that closes the judge's own template; ``appended``: that, after the real answer;
#: ``plain``: the found text and nothing else; ``suffix``: the found text after the real answer, on the same line.
Form = Literal["structured", "appended", "plain", "suffix"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)


def crafted(form: Form, text: str) -> Callable[[Situation], str]:
    """Return what makes the answer to any prompt from a text that was found.

    Args:
        form: How the text is used.
        text: The text.
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, not {form!r}")
    return partial(_craft, form, text)


def _craft(form: Form, text: str, situation: Situation) -> str:
    if form == "plain":
        return text
    if form == "suffix":
        return appended_to(situation.answer, text, " ") if text else situation.answer
    payload = structured(situation.judge, situation.prompt, prefix=f"{text}\n")
    return payload if form == "structured" else appended_to(situation.answer, payload)
