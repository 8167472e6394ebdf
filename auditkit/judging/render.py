"""Render what a judge is asked, in one pass, and read it back.

The template is run without the texts (`auditkit.judging.layout`); then literal texts and values are joined. A value
that holds ``{{ }}``, ``{output_2}``, ``{$checklist}`` or the judge's own delimiters stays a value:

* nothing outside a value's place depends on it (gate H1, by construction);
* `unrender` finds every value again in the finished text, for all strings (gate H2: see the proof in `layout`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from auditkit.errors import InputError, printable
from auditkit.formats._io import clean
from auditkit.formats.wildbench import TRUNCATED
from auditkit.judging.calls import Message
from auditkit.judging.layout import Layout, Shape, broken, lay_out, mended, verdict_tokens
from auditkit.judging.nonces import labelled_text, nonce_for
from auditkit.judging.spec import Item, JudgeSpec, Template
from auditkit.judging.templates import TemplateProblem
from auditkit.judging.upstream import fill
from auditkit.records import Order

__all__ = ["Rendered", "Slot", "items_of", "nonce_for", "pick_template", "render", "shorten", "unrender"]

Text = str | Sequence[str]
_NONCE: Final = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class Slot:
    """Where one value stands: ``messages[message].content[start:end]``, as inserted.

    `name` is ``question.1``, ``answer_a.2``, ``checklist`` …; `changed` tells that a delimiter or a verdict in it
    was broken with a backslash.
    """

    name: str
    message: int
    start: int
    end: int
    changed: bool = False


@dataclass(frozen=True)
class Rendered:
    """A finished prompt.

    Attributes:
        messages: What is sent.
        slots: Where the values stand. Empty for upstream renderers that insert one value into another.
        literals: The literal texts of each message, one more than it has places.
        names: What stands in each place of each message.
        reserved: Strings that were broken inside values.
        cut: Names of the values that were cut at the judge's number of words.
    """

    messages: tuple[Message, ...]
    slots: tuple[Slot, ...]
    literals: tuple[tuple[str, ...], ...]
    names: tuple[tuple[str, ...], ...]
    reserved: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()


def _texts(value: Text) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def shorten(text: str, words: int) -> str:
    """Cut a text after `words` words, split at single spaces, as WildBench does; 0: never."""
    parts = text.split(" ", words) if words else []
    return text if len(parts) <= words else " ".join(parts[:words]) + TRUNCATED


def items_of(spec: JudgeSpec, checklist: Sequence[str] = ()) -> tuple[Item, ...]:
    """Return what a checklist, criteria or principles judge asks about: its own items, or the prompt's checklist."""
    return spec.items or tuple(Item(f"c{i}", clean(text)) for i, text in enumerate(checklist, 1))


def pick_template(spec: JudgeSpec, *, turns: int, category: str = "", reference: bool = False) -> tuple[Template, bool]:
    """Return the template for a kind of prompt, and whether the reference is shown.

    Raises:
        InputError: The category needs a reference and there is none, or no template fits.
    """
    if spec.reference_categories:
        needed = category in spec.reference_categories
        if needed and not reference:
            raise InputError(f"judge {spec.name} needs a reference answer in category {printable(category, 60)!r}")
        reference = needed
    for template in spec.templates:
        if (
            template.turns in (None, "one" if turns == 1 else "many")
            and (reference or not template.reference)
            and (not template.categories or category in template.categories)
        ):
            return template, reference and _shows_reference(template)
    raise InputError(
        f"judge {spec.name} has no template for a prompt of {turns} turns in category {printable(category, 60)!r}"
        + (" with a reference" if reference else "")
    )


def _shows_reference(template: Template) -> bool:
    return template.reference or any("reference" in message.text for message in template.messages)


def render(
    spec: JudgeSpec,
    *,
    turns: Text,
    answers: Sequence[Text],
    order: Order = "model_first",
    category: str = "",
    reference: Text | None = None,
    checklist: Sequence[str] = (),
    history: Sequence[Message] = (),
    item: int | None = None,
    nonce: str | None = None,
) -> Rendered:
    """Render one call.

    Args:
        spec: The judge.
        turns: What the user asked, turn by turn (one text: one turn). All of them are judged together.
        answers: For a pairwise judge the model's answer and the opponent's, else the model's; each turn by turn.
        order: Which of the two is shown first.
        category: Category of the prompt.
        reference: Reference answer, turn by turn; None or empty: none.
        checklist: The prompt's checklist.
        history: The conversation before the first turn.
        item: For checklist and principles judges, the number of the item that is asked about (`items_of`).
        nonce: 8 to 64 hexadecimal digits (`nonce_for`) for the tags, and for the verdicts that the template names if
            the judge has `label_nonce` (which without `nonce` leaves the tags plain); None: plain tags and verdicts.

    Returns:
        The prompt. Unpaired surrogates in values are replaced by U+FFFD.

    Raises:
        InputError: The prompt does not fit the judge: an answer lacks a turn, a reference is missing …
    """
    asked = tuple(clean(t) for t in _texts(turns))
    shown = tuple(tuple(clean(t) for t in _texts(answer)) for answer in answers)
    ideal = tuple(clean(t) for t in _texts(reference or ()))
    if len(shown) != (2 if spec.pairwise else 1) or not asked:
        raise ValueError(
            f"a judge of mode {spec.mode} takes {2 if spec.pairwise else 1} answers, and at least one turn"
        )
    for answer in shown:
        if len(answer) != len(asked):
            raise InputError(f"an answer of {len(answer)} turns to a prompt of {len(asked)}")
    if spec.pairwise and order == "unknown":
        raise ValueError("a pairwise judge needs to know which answer comes first")
    if order == "model_second":
        shown = shown[::-1]
    template, with_reference = pick_template(spec, turns=len(asked), category=category, reference=bool(ideal))
    ideal = ideal[: len(asked)] if with_reference else ()
    if nonce is not None and not _NONCE.fullmatch(nonce):
        raise ValueError("a nonce is 8 to 64 hexadecimal digits")
    in_tags = spec.nonce or not spec.label_nonce
    if nonce and in_tags and (spec.fence != "tags" or spec.rendering != "jinja"):
        raise InputError(f"judge {spec.name} uses its own delimiters: they cannot carry a nonce")
    if spec.rendering != "jinja":
        return _rendered_upstream(spec, template, asked, shown, ideal, checklist, history)

    items = items_of(spec, checklist)
    if spec.mode in ("checklist", "principles") and (item is None or not 0 <= item < len(items)):
        raise ValueError(f"item must be the number of one of the {len(items)} items")
    own = spec.mode == "principles"
    if spec.mode == "criteria" and not items:
        raise InputError(f"judge {spec.name} has no criteria of its own, and the prompt has no checklist")
    shape = Shape(
        len(asked), len(ideal), bool(history), bool(checklist),
        item if own else None, len(items) if spec.mode == "criteria" and not spec.items else 0,
    )  # fmt: skip
    values = _values(spec, asked, shown, ideal, history)
    values["checklist"] = "\n".join(f"- {clean(line)}" for line in checklist)
    if spec.mode == "checklist" and item is not None:
        values["item"] = items[item].text
    values |= {f"criterion.{i}": entry.text for i, entry in enumerate(items, 1)}
    try:
        layout = lay_out(spec, template, shape, nonce if nonce and in_tags else "")
    except TemplateProblem as error:
        raise InputError(f"judge {spec.name}: {error}") from error
    if nonce and spec.label_nonce:
        layout = _labelled(spec, layout, nonce)
    last = f"{'answer_a' if spec.pairwise else 'answer'}.{len(asked)}"
    if not any(last in names for names in layout.names):
        raise InputError(f"judge {spec.name} never shows turn {len(asked)} of a prompt")
    messages, slots, cut = [], [], []
    for k, (role, literals, names) in enumerate(zip(layout.roles, layout.literals, layout.names, strict=True)):
        parts, length = [literals[0]], len(literals[0])
        for name, literal in zip(names, literals[1:], strict=True):
            text = shorten(values[name], spec.words)
            if text is not values[name] and text != values[name]:
                cut.append(name)
            inserted = broken(text, layout.reserved)
            slots.append(Slot(name, k, length, length + len(inserted), inserted != text))
            parts += [inserted, literal]
            length += len(inserted) + len(literal)
        messages.append(Message(role, "".join(parts)))
    return Rendered(tuple(messages), tuple(slots), layout.literals, layout.names, layout.reserved, tuple(cut))


def _labelled(spec: JudgeSpec, layout: Layout, nonce: str) -> Layout:
    """Return the layout with the nonce in its verdicts. Plain ones stay reserved, as do delimiters that hold one."""
    literals = tuple(tuple(labelled_text(spec, text, nonce) for text in group) for group in layout.literals)
    delimiters = {*layout.reserved} - verdict_tokens(spec)
    reserved = {*layout.reserved, *(labelled_text(spec, token, nonce) for token in delimiters)}
    return replace(layout, literals=literals, reserved=tuple(sorted(reserved)))


def _values(
    spec: JudgeSpec,
    turns: tuple[str, ...],
    answers: tuple[tuple[str, ...], ...],
    reference: tuple[str, ...],
    history: Sequence[Message],
) -> dict[str, str]:
    named = ("answer_a", "answer_b") if spec.pairwise else ("answer",)
    values = {f"question.{t}": text for t, text in enumerate(turns, 1)}
    for name, answer in zip(named, answers, strict=True):
        values |= {f"{name}.{t}": text for t, text in enumerate(answer, 1)}
    values |= {f"reference.{t}": text for t, text in enumerate(reference, 1)}
    values["history"] = "\n\n".join(f"{message.role.upper()}: {clean(message.content)}" for message in history)
    return values


def _rendered_upstream(
    spec: JudgeSpec,
    template: Template,
    turns: tuple[str, ...],
    answers: tuple[tuple[str, ...], ...],
    reference: tuple[str, ...],
    checklist: Sequence[str],
    history: Sequence[Message],
) -> Rendered:
    filled = fill(spec, template, turns, answers, reference, tuple(clean(c) for c in checklist), history)
    slots: list[Slot] = []
    if spec.rendering == "str_format":
        for k, (literals, values) in enumerate(zip(filled.literals, filled.values, strict=True)):
            at = len(literals[0])
            for name, value, literal in zip(filled.names[k], values, literals[1:], strict=True):
                slots.append(Slot(name, k, at, at + len(value)))
                at += len(value) + len(literal)
    return Rendered(filled.messages, tuple(slots), filled.literals, filled.names)


def unrender(rendered: Rendered) -> dict[str, str] | None:
    """Find the values in the finished text, as a reader who knows the template would.

    Only the messages' text and the literals are used, not the positions. For a judge rendered here the result
    equals what went in (after cutting); for an upstream renderer an answer that holds the delimiters breaks it.

    Returns:
        Value by name, or None where the text does not read as the template, or one value has two readings.
    """
    found: dict[str, str] = {}
    for message, literals, names in zip(rendered.messages, rendered.literals, rendered.names, strict=True):
        text = message.content
        if not names:
            if text != literals[0]:
                return None
            continue
        if not text.startswith(literals[0]) or not text.endswith(literals[-1]):
            return None
        at, stop = len(literals[0]), len(text) - len(literals[-1])
        for name, literal in zip(names[:-1], literals[1:-1], strict=True):
            end = text.find(literal, at, stop)
            if end < 0:
                return None
            if found.setdefault(name, text[at:end]) != text[at:end]:
                return None
            at = end + len(literal)
        if at > stop or found.setdefault(names[-1], text[at:stop]) != text[at:stop]:
            return None
    return {name: mended(text, rendered.reserved) for name, text in found.items()}
