"""Render as the benchmarks' own harnesses do, quirks included, so that they can be tested as they are.

* ``str_format`` (Arena-Hard, FastChat): one pass of `str.format`. Safe against placeholders in values; nothing keeps
  a value from holding the template's delimiters.
* ``alpaca_eval`` (``make_prompts``, ``prompt_to_chatml``): each placeholder of the template in turn replaced once,
  where it first occurs *in what has been built so far*, then the text is split at ChatML tags. A value that holds
  ``{output_2}`` or a ChatML tag is read as template.
* ``wildbench`` (``eval.py``): each placeholder in turn replaced wherever it occurs; texts cut by words; an empty
  answer shown as a notice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Final, Literal, NoReturn, cast

from auditkit.errors import InputError, printable
from auditkit.formats._io import clean
from auditkit.formats.wildbench import EMPTY, TRUNCATED
from auditkit.judging.calls import Message
from auditkit.judging.spec import JudgeSpec, Template

__all__ = ["Filled", "check_upstream", "fill", "format_fields"]

Role = Literal["system", "user", "assistant"]

_AE_FIELD: Final = re.compile(r"{([^ \s]+?)}")
_AE_KNOWN: Final = ("instruction", "output_1", "output_2")
_WB_PAIR: Final = ("history", "user_query", "candidate_A", "candidate_B", "checklist")
_WB_SINGLE: Final = ("history", "user_query", "model_output", "checklist")
_START: Final = "<|im_start|>"
_END: Final = "<|im_end|>"


@dataclass(frozen=True)
class Filled:
    """A prompt as upstream builds it, with the literals and places that its template has, message by message."""

    messages: tuple[Message, ...]
    literals: tuple[tuple[str, ...], ...]
    names: tuple[tuple[str, ...], ...]
    values: tuple[tuple[str, ...], ...]


def format_fields(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split a `str.format` template into literal texts and field names.

    Raises:
        ValueError: A brace is unmatched, or a field is more than a name.
    """
    literals, names, current = [], [], ""
    for literal, name, spec, conversion in Formatter().parse(text):
        current += literal
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise ValueError(f"field {{{name}}} is more than a name")
        literals.append(current)
        names.append(name)
        current = ""
    return (*literals, current), tuple(names)


def check_upstream(spec: JudgeSpec, template: Template, where: str, refuse: Callable[..., NoReturn]) -> None:
    """Check a template of an upstream rendering; `refuse` raises with the field's name."""
    texts = [message.text for message in template.messages]
    if spec.rendering == "str_format":
        known = _format_values(spec, ("",) * 9, (("",) * 9,) * (2 if spec.pairwise else 1), ("",) * 9).keys()
        for k, text in enumerate(texts):
            if template.messages[k].role == "system":
                continue
            try:
                _, names = format_fields(text)
            except ValueError as error:
                refuse(f"{where}.messages.{k}.text", f"not a template of str.format: {error}")
            for name in names:
                if name not in known:
                    refuse(f"{where}.messages.{k}.text", f"unknown field {{{name}}}")
        return
    if len(texts) != 1:
        refuse(f"{where}.messages", "expected one message: upstream fills one text")
    if spec.rendering == "alpaca_eval":
        names = tuple(_AE_FIELD.findall(texts[0]))
        if sorted(names) != sorted(_AE_KNOWN):
            refuse(f"{where}.messages.0.text", f"expected {', '.join(_AE_KNOWN)} once each, got {', '.join(names)}")
        try:
            chatml(texts[0])
        except InputError as error:
            refuse(f"{where}.messages.0.text", error.problem)
        return
    for name in (_WB_PAIR if spec.pairwise else _WB_SINGLE)[1:3]:
        if f"{{${name}}}" not in texts[0]:
            refuse(f"{where}.messages.0.text", f"never shows {{${name}}}")


def fill(
    spec: JudgeSpec,
    template: Template,
    turns: tuple[str, ...],
    answers: tuple[tuple[str, ...], ...],
    reference: tuple[str, ...],
    checklist: tuple[str, ...],
    history: Sequence[Message],
) -> Filled:
    """Build a prompt as upstream does.

    Args:
        spec: A judge with an upstream rendering.
        template: One of its templates.
        turns: The user's turns.
        answers: The answers in the order shown.
        reference: The reference answer's turns; empty: none.
        checklist: The checklist's lines.
        history: The conversation before the first turn.

    Raises:
        InputError: The template asks for a turn that there is not, or upstream's own code would stop here.
    """
    if spec.rendering == "str_format":
        return _fill_format(spec, template, _format_values(spec, turns, answers, reference))
    text = template.messages[0].text
    if spec.rendering == "alpaca_eval":
        values = {"instruction": "\n\n".join(turns), "output_1": answers[0][-1], "output_2": answers[1][-1]}
        return _fill_alpaca_eval(text, values)
    return _fill_wildbench(spec, text, _wildbench_values(spec, turns, answers, checklist, history))


def _format_values(
    spec: JudgeSpec, turns: tuple[str, ...], answers: tuple[tuple[str, ...], ...], reference: tuple[str, ...]
) -> dict[str, str]:
    """Return every field that Arena-Hard v0.1 and v2.0 and FastChat fill, under their names."""
    values = {f"question_{t}": text for t, text in enumerate(turns, 1)}
    values |= {f"ref_answer_{t}": text for t, text in enumerate(reference, 1)}
    if turns:
        values |= {"question": turns[0], "QUESTION": turns[0]}
    if spec.pairwise:
        first, second = answers
        values |= {"answer_a": first[0], "answer_b": second[0], "ANSWER_A": first[-1], "ANSWER_B": second[-1]}
        # Arena-Hard v0.1 numbers the turns of both answers through.
        values |= {f"answer_{n}": text for n, text in enumerate((*first, *second), 1)}
        for side, answer in (("a", first), ("b", second)):
            values |= {f"answer_{side}_{t}": text for t, text in enumerate(answer, 1)}
    else:
        values["answer"] = answers[0][0]
        values |= {f"answer_{t}": text for t, text in enumerate(answers[0], 1)}
    return values


def _fill_format(spec: JudgeSpec, template: Template, values: Mapping[str, str]) -> Filled:
    messages, literals, names, filled = [], [], [], []
    turns = sum(name.startswith("question_") for name in values)
    for message in template.messages:
        split = ((message.text,), ()) if message.role == "system" else format_fields(message.text)
        for name in split[1]:
            if name not in values:
                raise InputError(f"judge {spec.name} shows {{{name}}}, which this prompt does not have")
        inside = tuple(values[name] for name in split[1])
        joined = split[0][0] + "".join(v + text for v, text in zip(inside, split[0][1:], strict=True))
        messages.append(Message(message.role, joined))
        literals.append(split[0])
        names.append(split[1])
        filled.append(inside)
    last = {"ANSWER_A", f"answer_{turns}", f"answer_a_{turns}", *(("answer", "answer_a") if turns == 1 else ())}
    if not any(last & set(group) for group in names):
        raise InputError(f"judge {spec.name} never shows turn {turns} of a prompt")
    return Filled(tuple(messages), tuple(literals), tuple(names), tuple(filled))


def chatml(text: str) -> tuple[Message, ...]:
    """Split a text at ChatML tags, as AlpacaEval does.

    Raises:
        InputError: Upstream's own code would stop here, or send a role that no provider knows.
    """
    text = text.strip()
    if not text.startswith(_START) or not text.endswith(_END):
        raise InputError("a ChatML text begins with <|im_start|> and ends with <|im_end|>")
    messages = []
    for part in text.split(_START)[1:]:
        role, newline, body = part.partition("\n")
        role = "system" if role.strip().startswith("system") else role.strip()
        if not newline:
            raise InputError("a ChatML tag without a line after it: AlpacaEval's own code stops here")
        if role not in ("system", "user", "assistant"):
            raise InputError(f"AlpacaEval would send a message with the role {printable(role, 40)!r}")
        messages.append(Message(cast("Role", role), body.split(_END, 1)[0].strip()))
    return tuple(messages)


def _fill_alpaca_eval(text: str, values: Mapping[str, str]) -> Filled:
    built = text
    for name in dict.fromkeys(_AE_FIELD.findall(text)):
        built = built.replace(f"{{{name}}}", values[name], 1)
    plain = chatml(text)
    split = [_AE_FIELD.split(message.content) for message in plain]
    names = tuple(tuple(part[1::2]) for part in split)
    return Filled(
        chatml(built), tuple(tuple(part[::2]) for part in split), names,
        tuple(tuple(values[name] for name in group) for group in names),
    )  # fmt: skip


def _cut(text: str, words: int) -> str:
    return " ".join(text.split(" ")[:words]) + TRUNCATED if 0 < words < len(text.split(" ")) else text


def _wildbench_values(
    spec: JudgeSpec,
    turns: tuple[str, ...],
    answers: tuple[tuple[str, ...], ...],
    checklist: tuple[str, ...],
    history: Sequence[Message],
) -> dict[str, str]:
    earlier = "".join(
        f"{message.role.upper()}: {clean(message.content)}\n\n"
        for message in history
        if message.role in ("user", "assistant")
    )
    shown = [_cut(answer[-1], spec.words) for answer in answers]
    if spec.pairwise:
        shown = [text if text.strip() else EMPTY for text in shown]
    names = _WB_PAIR if spec.pairwise else _WB_SINGLE
    listed = "".join(f"- {line}\n" for line in checklist)
    return dict(zip(names, (_cut(earlier, spec.words), _cut(turns[-1], spec.words), *shown, listed), strict=True))


def _fill_wildbench(spec: JudgeSpec, text: str, values: Mapping[str, str]) -> Filled:
    built = text
    for name, value in values.items():
        built = built.replace(f"{{${name}}}", value)
    split = re.split("|".join(rf"\{{\$({re.escape(name)})\}}" for name in values), text)
    step = len(values) + 1
    names = tuple(next(x for x in split[i + 1 : i + step] if x) for i in range(0, len(split) - 1, step))
    return Filled(
        (Message("user", built),), (tuple(split[::step]),), (names,), (tuple(values[name] for name in names),)
    )
