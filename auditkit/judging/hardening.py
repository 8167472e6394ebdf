"""An imported judge with its words and labels, and our machinery: rendering, parsing, both orders."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from auditkit.errors import InputError
from auditkit.formats._arena_hard import LABELS
from auditkit.judging.spec import JudgeSpec, Label, MessageTemplate, Template, Verdict
from auditkit.judging.templates import escape_braces
from auditkit.judging.upstream import chatml, format_fields

__all__ = ["FIVE", "hardened"]

#: The labels that Arena-Hard's judges are told of; its v2.0 scoring knows their mirror images too.
FIVE: Final = ("A>>B", "A>B", "A=B", "B>A", "B>>A")
_NAMES: Final[Mapping[str, str]] = {
    "question": "question", "QUESTION": "question", "instruction": "question", "user_query": "question",
    "ANSWER_A": "answer_a", "ANSWER_B": "answer_b", "output_1": "answer_a", "output_2": "answer_b",
    "candidate_A": "answer_a", "candidate_B": "answer_b", "model_output": "answer",
}  # fmt: skip


def hardened(spec: JudgeSpec) -> JudgeSpec:
    """Return an imported judge with our rendering, parser and both orders; words, labels and parameters are kept."""
    verdict = spec.verdict
    match verdict.parser:
        case "ah_v01" | "ah_v2":
            verdict = Verdict("labels", {label: Label(*LABELS[label]) for label in FIVE})
        case "mt_pair":
            verdict = Verdict("labels", verdict.labels)
        case "mt_single":
            verdict = Verdict("labels", scale=verdict.scale)
        case "wb_json":
            verdict = replace(verdict, parser="json")
        case "ae_logprob":
            verdict = Verdict("logprob", verdict.labels)
        case _:
            raise InputError(f"a judge with the parser {verdict.parser} can only be imported as it is")
    return replace(
        spec,
        name=f"{spec.name}-hardened",
        source=f"{spec.source}; rendered and read by auditkit",
        verdict=verdict,
        templates=tuple(_jinja(spec, template) for template in spec.templates),
        order="both" if spec.pairwise else spec.order,
        first_game=spec.first_game,
        seed=0,
        rendering="jinja",
        fence="template",
    )


def _jinja(spec: JudgeSpec, template: Template) -> Template:
    name_of = _field_names(spec)
    messages = []
    if spec.rendering == "alpaca_eval":
        source: Sequence[tuple[Any, str]] = [(m.role, m.content) for m in chatml(template.messages[0].text)]
    else:
        source = [(m.role, m.text) for m in template.messages]
    for role, text in source:
        literals, names = _split(spec, text) if role == "user" else ((text,), ())
        parts = [escape_braces(literals[0])]
        for name, literal in zip(names, literals[1:], strict=True):
            parts += [name_of(name), escape_braces(literal)]
        messages.append(MessageTemplate(role, "".join(parts)))
    return replace(template, messages=tuple(messages))


def _split(spec: JudgeSpec, text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if spec.rendering == "str_format":
        return format_fields(text)
    pattern = r"{([^ \s]+?)}" if spec.rendering == "alpaca_eval" else r"\{\$(\w+)\}"
    parts = re.split(pattern, text)
    return tuple(parts[::2]), tuple(parts[1::2])


def _field_names(spec: JudgeSpec) -> Callable[[str], str]:
    """Return the function from upstream's placeholder to ours."""

    def ours(name: str) -> str:
        if name in _NAMES:
            return f"{{{{ {_NAMES[name]} }}}}"
        if name in ("history", "checklist"):
            # Upstream shows nothing where there is none.
            return f"{{%+ if {name} is defined +%}}{{{{ {name} }}}}{{%+ endif +%}}"
        kind, _, number = name.rpartition("_")
        if number.isdecimal():
            turn = int(number) - 1
            if spec.verdict.parser == "ah_v01" and kind == "answer":
                return f"{{{{ answer_{'ab'[turn]} }}}}" if turn < 2 else name
            kind = "reference" if kind == "ref_answer" else kind
            return f"{{{{ turns[{turn}].{kind} }}}}"
        return f"{{{{ {name} }}}}"

    return ours
