"""Where the values of a prompt go: literal text, places, and the strings that no value may imitate.

A layout depends on the judge and on the *shape* of the prompt (how many turns, is there a reference …), never on
a text. Between two places there is always a delimiter; delimiters are reserved: inside a value they are broken,
visibly, by a backslash after their first character. One more backslash is added to a delimiter that is already
broken, so that breaking can be undone exactly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Final, Literal

from auditkit.judging.spec import JudgeSpec, Template
from auditkit.judging.templates import Opaque, TemplateProblem, pieces

__all__ = ["TAGS", "Layout", "Shape", "broken", "known_names", "lay_out", "mended", "verdict_tokens"]

#: The tag that fences each value. The names are rare in real answers, so that few answers need breaking.
TAGS: Final[Mapping[str, str]] = {
    "question": "user_prompt",
    "answer": "assistant_answer",
    "answer_a": "answer_a",
    "answer_b": "answer_b",
    "reference": "reference_answer",
    "history": "earlier_conversation",
    "checklist": "review_checklist",
    "item": "review_item",
    "criterion": "review_criterion",
}
_SHORTEST: Final = 3
_MOST_NUMBERS: Final = 101


@dataclass(frozen=True)
class Shape:
    """What a layout depends on besides the judge.

    Attributes:
        turns: Turns that are judged together.
        reference: Turns of the reference answer that is shown; 0: none.
        history: Is there an earlier conversation?
        checklist: Is there a checklist?
        item: Number of the judge's own item that is asked about; None: none, or the prompt's own.
        criteria: How many criteria come from the prompt; 0: the judge's own.
    """

    turns: int = 1
    reference: int = 0
    history: bool = False
    checklist: bool = False
    item: int | None = None
    criteria: int = 0


@dataclass(frozen=True)
class Layout:
    """A laid-out prompt: message k is ``literals[k][0] value literals[k][1] value … literals[k][-1]``.

    Attributes:
        roles: Role of each message.
        literals: Literal texts of each message, one more than it has places.
        names: What stands in each place: ``question.1``, ``answer_a.2``, ``checklist`` …
        reserved: Strings that no value may hold unbroken.
    """

    roles: tuple[Literal["system", "user", "assistant"], ...]
    literals: tuple[tuple[str, ...], ...]
    names: tuple[tuple[str, ...], ...]
    reserved: tuple[str, ...]


def known_names(spec: JudgeSpec) -> frozenset[str]:
    """Return every variable that a template of this judge may use."""
    names = {"question", "turns", "history", "checklist", "texts", "reference"}
    names |= {"answer_a", "answer_b"} if spec.pairwise else {"answer"}
    if spec.mode in ("checklist", "principles"):
        names.add("item")
    if spec.mode == "criteria":
        names.add("criteria")
    return frozenset(names)


def variables(spec: JudgeSpec, shape: Shape) -> dict[str, object]:
    """Return the variables of a template, every untrusted value as an `Opaque` named as in `Layout.names`."""
    given = ["question", *(("answer_a", "answer_b") if spec.pairwise else ("answer",))]
    turns: list[dict[str, object]] = [
        {name: Opaque(f"{name}.{t}") for name in given} for t in range(1, shape.turns + 1)
    ]  # fmt: skip
    found: dict[str, object] = {"turns": turns, "texts": dict(spec.texts), **turns[-1]}
    if shape.reference:
        found["reference"] = Opaque(f"reference.{shape.reference}")
        if shape.reference == shape.turns:
            for t, turn in enumerate(turns, 1):
                turn["reference"] = Opaque(f"reference.{t}")
    if shape.history:
        found["history"] = Opaque("history")
    if shape.checklist:
        found["checklist"] = Opaque("checklist")
    if spec.mode in ("checklist", "principles"):
        found["item"] = Opaque("item") if shape.item is None else spec.items[shape.item].text
    if spec.mode == "criteria":
        own = [{"id": i.id, "text": i.text, "weight": i.weight} for i in spec.items]
        asked = [{"id": f"c{k}", "text": Opaque(f"criterion.{k}"), "weight": 1.0} for k in range(1, shape.criteria + 1)]
        found["criteria"] = asked or own
    return found


def lay_out(spec: JudgeSpec, template: Template, shape: Shape, nonce: str = "") -> Layout:
    """Lay out one template.

    Args:
        spec: The judge; its rendering must be ``jinja``.
        template: One of its templates.
        shape: The shape of the prompt.
        nonce: Put into every tag; "" for none. Only with fence ``tags``.

    Raises:
        TemplateProblem: An undefined value is shown, or two values have no delimiter between them.
    """
    bare = _bare(spec, template, shape)
    if spec.fence == "template":
        return bare
    return replace(bare, literals=_tagged(bare, nonce and f"-{nonce}", shape))


@lru_cache(maxsize=512)
def _bare(spec: JudgeSpec, template: Template, shape: Shape) -> Layout:
    """Return the layout without tags, checked as it will be with them."""
    values = variables(spec, shape)
    split = [pieces(message.text, values) for message in template.messages]
    literals = tuple(part[::2] for part in split)
    names = tuple(part[1::2] for part in split)
    if spec.fence == "tags":
        used = {TAGS[name.partition(".")[0]] for group in names for name in group}
        delimiters = {f"<{slash}{tag}" for tag in used for slash in ("", "/")}
    else:
        delimiters = {token for group in literals for token in _own_delimiters(group)}
    for token in sorted(delimiters):
        if len(token) < _SHORTEST or "\\" in token:
            raise TemplateProblem(
                f"the delimiter {token!r} cannot be told from ordinary text: put a longer line, without "
                'backslashes, round every value, or use fence = "tags"'
            )
    bare = Layout(
        tuple(m.role for m in template.messages), literals, names, tuple(sorted(delimiters | verdict_tokens(spec)))
    )
    finished = _tagged(bare, "", shape) if spec.fence == "tags" else literals
    for between in (text for group in finished for text in group[1:-1]):
        _check_between(between, delimiters)
    return bare


def _tagged(bare: Layout, nonce: str, shape: Shape) -> tuple[tuple[str, ...], ...]:
    """Return the literals with a tag on either side of every place."""
    out = []
    for group, named in zip(bare.literals, bare.names, strict=True):
        tags = [_tag(name, shape) + nonce for name in named]
        opened, closed = [f"<{tag}>\n" for tag in tags], [f"\n</{tag}>" for tag in tags]
        out.append(tuple(c + text + o for c, text, o in zip(["", *closed], group, [*opened, ""], strict=True)))
    return tuple(out)


def _tag(name: str, shape: Shape) -> str:
    kind, _, number = name.partition(".")
    many = shape.turns > 1 or kind == "criterion"
    return f"{TAGS[kind]}_{number}" if number and many else TAGS[kind]


def _own_delimiters(literals: tuple[str, ...]) -> set[str]:
    """Return the nearest line, or part of a line, on either side of each place."""
    found = set()
    for before, after in pairwise(literals):
        found |= {line.strip() for line in [x for x in before.split("\n") if x.strip()][-1:]}
        found |= {line.strip() for line in [x for x in after.split("\n") if x.strip()][:1]}
    return found


def _check_between(text: str, delimiters: set[str]) -> None:
    """Refuse a text between two places that cannot be found again for sure in the finished prompt.

    No value holds a delimiter, so the first place after a value where this text is found is its own, unless the
    value's end can be the text's own beginning: where the text overlaps itself, and what sticks out on the left
    holds no delimiter.
    """
    if not text.strip():
        raise TemplateProblem("two values follow each other with nothing between them: put a line there")
    border, borders = 0, [0]
    for i in range(1, len(text)):
        while border and text[i] != text[border]:
            border = borders[border - 1]
        border += text[i] == text[border]
        borders.append(border)
    border = borders[-1]
    while border:
        left = text[: len(text) - border]
        if not any(token in left for token in delimiters):
            raise TemplateProblem(f"the delimiter {text!r} overlaps itself")
        border = borders[border - 1]


def verdict_tokens(spec: JudgeSpec) -> frozenset[str]:
    """Return the verdicts as this judge writes them, where they can be told from ordinary text."""
    verdict = spec.verdict
    if verdict.parser != "labels" or len(verdict.written.replace("{label}", "").strip()) < 2:
        return frozenset()
    labels = list(verdict.labels)
    if verdict.scale is not None:
        low, high = (int(x) for x in verdict.scale)
        labels += [str(x) for x in range(low, min(high, low + _MOST_NUMBERS) + 1)]
    return frozenset(verdict.written.replace("{label}", label).strip() for label in labels)


# --- breaking and mending -------------------------------------------------------------------------------------------

# Call the text without its backslashes its skeleton, and note how many backslashes follow each of its characters.
# Whether a reserved string starts at a character depends on the skeleton alone; breaking adds one backslash there,
# mending takes one away. So mending undoes breaking for every text, and no broken text holds a reserved string.


@lru_cache(maxsize=512)
def _breaker(reserved: tuple[str, ...]) -> re.Pattern[str]:
    if not reserved:
        return re.compile(r"(?!)")
    found = [f"{re.escape(t[0])}(?=" + "".join(rf"\\*{re.escape(c)}" for c in t[1:]) + ")" for t in reserved]
    return re.compile("|".join(found), re.IGNORECASE)


@lru_cache(maxsize=512)
def _mender(reserved: tuple[str, ...]) -> re.Pattern[str]:
    if not reserved:
        return re.compile(r"(?!)")
    found = [rf"{re.escape(t[0])}(?=\\" + "".join(rf"\\*{re.escape(c)}" for c in t[1:]) + ")" for t in reserved]
    return re.compile(rf"({'|'.join(found)})\\", re.IGNORECASE)


def broken(text: str, reserved: tuple[str, ...]) -> str:
    """Return `text` with a backslash after the first character of every reserved string in it, broken or not."""
    return _breaker(reserved).sub(lambda hit: hit.group() + "\\", text)


def mended(text: str, reserved: tuple[str, ...]) -> str:
    """Undo `broken`."""
    return _mender(reserved).sub(lambda hit: hit.group(1), text)
