"""What makes a judge usable, beyond the types of its fields."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn

from auditkit.errors import InputError, printable
from auditkit.judging.layout import Shape, known_names, lay_out
from auditkit.judging.nonces import carries_label_nonce, labelled_text
from auditkit.judging.spec import JudgeSpec, Template, Verdict
from auditkit.judging.templates import TemplateProblem, check_syntax
from auditkit.judging.upstream import check_upstream

__all__ = ["PARAMS", "check"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")
#: A group that is said again: with a repeat inside it takes exponential time on what nearly matches.
_REPEATED_GROUP: Final = re.compile(r"(?<!\\)\)[*+{]")
_COMPAT_GROUP: Final = re.compile(r"[AB<>=]+")
#: Sampling parameters that a judge may set, and what they may be.
PARAMS: Final[Mapping[str, Callable[[object], bool]]] = {
    "frequency_penalty": lambda v: _number(v, -2, 2),
    "logprobs": lambda v: isinstance(v, bool),
    "max_completion_tokens": lambda v: _whole(v, 1, 10_000_000),
    "max_tokens": lambda v: _whole(v, 1, 10_000_000),
    "presence_penalty": lambda v: _number(v, -2, 2),
    "reasoning_effort": lambda v: isinstance(v, str),
    "response_format": lambda v: isinstance(v, dict),
    "seed": lambda v: _whole(v, 0, 2**63 - 1),
    "stop": lambda v: isinstance(v, str) or (isinstance(v, list) and all(isinstance(x, str) for x in v)),
    "temperature": lambda v: _number(v, 0, 2),
    "tool_choice": lambda v: isinstance(v, str | dict),
    "tools": lambda v: isinstance(v, list),
    "top_logprobs": lambda v: _whole(v, 0, 20),
    "top_p": lambda v: _number(v, 0, 1),
}


def _number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def check(spec: JudgeSpec, path: Path | str | None = None) -> None:
    """Check a judge in full.

    Raises:
        InputError: Something in it cannot be used; the field is named.
    """

    def refuse(where: str, problem: str, mend: str | None = None) -> NoReturn:
        raise InputError(problem, path=path, record=f"field {where!r}", mend=mend)

    _check_plain(spec, refuse)
    _check_verdict(spec, refuse)
    _check_items(spec, refuse)
    if not spec.templates:
        refuse("templates", "a judge needs at least one template")
    for number, template in enumerate(spec.templates):
        _check_template(spec, number, template, refuse)


Refuse = Callable[..., NoReturn]
_STAND_IN: Final = "0" * 16


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (key, *_strings(inner))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


def _check_plain(spec: JudgeSpec, refuse: Refuse) -> None:
    if not _NAME.fullmatch(spec.name):
        refuse("name", f"expected letters, digits, '.', '_', '+' or '-', at most 80, got {printable(spec.name)!r}")
    for where in ("title", "source"):
        text = getattr(spec, where)
        if not text.strip() or "\n" in text:
            refuse(where, "expected one line of text")
    for where in ("texts", "notes"):
        if any("\x00" in text for text in _strings(getattr(spec, where))):
            refuse(where, "a NUL character")
    for key, value in spec.params.items():
        if key not in PARAMS:
            refuse(f"params.{key}", f"unknown parameter; there are: {', '.join(PARAMS)}")
        if not PARAMS[key](value):
            refuse(f"params.{key}", f"not a value for this parameter: {printable(value, 60)!r}")
    if not 0 <= spec.retries <= 10:
        refuse("retries", f"expected 0 to 10, got {spec.retries}")
    if spec.retry_text and not spec.retries:
        refuse("retry_text", "is never sent: retries is 0")
    if spec.words < 0 or spec.seed < 0:
        refuse("words" if spec.words < 0 else "seed", "expected 0 or more")
    if not spec.pairwise:
        for where in ("order", "first_game", "identical_is_tie", "aggregate"):
            if getattr(spec, where) != getattr(_BLANK, where):
                refuse(where, f"a judge of mode {spec.mode} shows one answer at a time")
    elif spec.first_game != _BLANK.first_game and spec.order != "both":
        refuse("first_game", 'only with order = "both"')
    elif spec.aggregate != _BLANK.aggregate and spec.order != "both":
        refuse("aggregate", 'two orders are needed: only with order = "both"')
    if (spec.nonce or spec.label_nonce) and spec.rendering != "jinja":
        refuse("nonce" if spec.nonce else "label_nonce", "an upstream renderer puts in no nonce")
    if spec.nonce and spec.fence != "tags":
        refuse("nonce", 'the template\'s own delimiters carry no nonce: only with fence = "tags"')


_BLANK: Final = JudgeSpec("x", "x", "x", "pairwise", Verdict("labels"), ())


def _check_verdict(spec: JudgeSpec, refuse: Refuse) -> None:
    verdict = spec.verdict
    numeric = spec.mode in ("single", "criteria")
    if numeric:
        if verdict.labels:
            refuse("verdict.labels", f"a judge of mode {spec.mode} gives a number: set scale instead")
        if verdict.scale is None:
            refuse("verdict.scale", f"a judge of mode {spec.mode} needs the lowest and highest number")
        if not verdict.scale[0] < verdict.scale[1]:
            refuse("verdict.scale", "expected the lowest number, then the highest")
    elif verdict.scale is not None:
        refuse("verdict.scale", f"a judge of mode {spec.mode} gives a label, not a number")
    elif len(verdict.labels) < 2:
        refuse("verdict.labels", "expected at least two labels")
    allowed = {
        "pairwise": ("labels", "json", "logprob", "ah_v01", "ah_v2", "mt_pair", "wb_json", "ae_logprob", "ae_ranking"),
        "single": ("labels", "json", "mt_single", "wb_json"),
        "criteria": ("json",),
    }.get(spec.mode, ("labels", "json", "logprob"))
    if verdict.parser not in allowed:
        refuse(
            "verdict.parser", f"{verdict.parser!r} cannot be used in mode {spec.mode}; there are: {', '.join(allowed)}"
        )
    if verdict.parser == "labels" and verdict.written.count("{label}") != 1:
        refuse("verdict.written", "expected {label} exactly once")
    if verdict.parser == "labels" and "\n" in verdict.written:
        refuse("verdict.written", "a verdict is read from one line")
    if spec.label_nonce and not carries_label_nonce(verdict):
        refuse("label_nonce", "the verdict must be a label on the final line, written with something on both sides")
    if spec.label_nonce and any(":" in label for label in verdict.labels):
        refuse("label_nonce", "a label with a colon cannot carry one")
    if verdict.parser in ("json", "wb_json", "ae_ranking") and not verdict.field:
        refuse("verdict.field", f"parser {verdict.parser!r} needs the name of the field")
    if verdict.patterns and verdict.parser not in ("ah_v01", "ah_v2"):
        refuse("verdict.patterns", "only for the parsers ah_v01 and ah_v2")
    for number, pattern in enumerate(verdict.patterns):
        try:
            groups = re.compile(pattern).groups
        except (re.error, RecursionError) as error:
            refuse(f"verdict.patterns.{number}", f"not a regular expression: {error}")
        if _REPEATED_GROUP.search(pattern):
            refuse(f"verdict.patterns.{number}", "a repeated group can take for ever on some reply")
        if groups != 1:
            refuse(f"verdict.patterns.{number}", "expected exactly one group, the label")
    for label, meaning in verdict.labels.items():
        if not 0 <= meaning.outcome <= 1:
            refuse(f"verdict.labels.{label}.outcome", f"expected 0 to 1, got {meaning.outcome}")
        if not 0 < meaning.weight < 1e6:
            refuse(f"verdict.labels.{label}.weight", f"expected more than 0, got {meaning.weight}")
        if not _producible(verdict, label):
            refuse(f"verdict.labels.{label}", f"parser {verdict.parser!r} can never produce this label")
    if spec.pairwise:
        sides = Counter((m.outcome, m.weight) for m in verdict.labels.values())
        mirrored = Counter((1 - outcome, weight) for outcome, weight in sides.elements())
        if sides != mirrored:
            refuse("verdict.labels", "the labels favour one place: every label needs its mirror image")
    if verdict.parser in ("logprob", "ae_logprob", "ae_ranking"):
        if sorted(m.outcome for m in verdict.labels.values()) != [0.0, 1.0]:
            refuse("verdict.labels", f"parser {verdict.parser!r} needs two labels, with outcomes 0 and 1")
        if verdict.parser != "ae_ranking" and (
            spec.params.get("logprobs") is not True or spec.params.get("top_logprobs", 0) < 2
        ):
            refuse("params.top_logprobs", "this parser needs logprobs = true and top_logprobs of at least 2")


def _producible(verdict: Verdict, label: str) -> bool:
    if not label.strip() or label != label.strip() or "\n" in label:
        return False
    match verdict.parser:
        case "ah_v01" | "ah_v2":
            return bool(_COMPAT_GROUP.fullmatch(label)) or bool(verdict.patterns)
        case "mt_pair":
            return label in ("A", "B", "C")
        case "logprob" | "ae_logprob":
            return not any(c.isspace() for c in label)
        case "labels":
            before, _, after = verdict.written.partition("{label}")
            return not any(side.strip() and side.strip() in label for side in (before, after))
        case "mt_single":
            return False
        case _:
            return True


def _check_items(spec: JudgeSpec, refuse: Refuse) -> None:
    if spec.items and spec.mode not in ("criteria", "principles"):
        refuse("items", f"a judge of mode {spec.mode} asks about no items of its own")
    if spec.mode == "principles" and not spec.items:
        refuse("items", "a principles judge needs at least one item")
    counts = Counter(item.id for item in spec.items)
    for number, item in enumerate(spec.items):
        if not item.id.strip() or counts[item.id] > 1:
            refuse(f"items.{number}.id", "expected a name that no other item has")
        if not item.text.strip() or "\x00" in item.text or "\x00" in item.id:
            refuse(f"items.{number}.text", "expected text")
        if not 0 < item.weight < 1e6:
            refuse(f"items.{number}.weight", f"expected more than 0, got {item.weight}")


def _check_template(spec: JudgeSpec, number: int, template: Template, refuse: Refuse) -> None:
    where = f"templates.{number}"
    roles = [message.role for message in template.messages]
    if not roles or roles[-1] != "user" or "system" in roles[1:]:
        refuse(f"{where}.messages", "expected an optional system message first and a user message last")
    if spec.rendering != "jinja":
        check_upstream(spec, template, where, refuse)
        return
    for k, message in enumerate(template.messages):
        try:
            check_syntax(message.text, known_names(spec))
        except TemplateProblem as error:
            refuse(f"{where}.messages.{k}.text", str(error))
    needed = {"answer_a", "answer_b"} if spec.pairwise else {"answer"}
    for shape in _shapes(spec, template):
        try:
            layout = lay_out(spec, template, shape)
        except TemplateProblem as error:
            refuse(where, f"{error} (tried with {_described(shape)})")
        shown = {name.partition(".")[0] for group in layout.names for name in group}
        for name in sorted((needed | {"question"} | ({"item"} if spec.mode == "checklist" else set())) - shown):
            refuse(where, f"never shows {name}")
        texts = [text for group in layout.literals for text in group]
        if spec.label_nonce and not any(labelled_text(spec, text, _STAND_IN) != text for text in texts):
            refuse(
                "label_nonce", f"{where} names no verdict as it is to be written: the judge would not learn its code"
            )
        if template.reference and "reference" not in shown:
            refuse(where, "is for prompts with a reference and never shows it")
    if len({message.text for message in template.messages}) != len(template.messages):
        refuse(f"{where}.messages", "two messages are the same")


def _shapes(spec: JudgeSpec, template: Template) -> Iterator[Shape]:
    """Yield the shapes that a template must be able to render: each optional value there or not."""
    turns = {"one": (1,), "many": (2,), None: (1, 2)}[template.turns]
    for n in turns:
        references = (n,) if template.reference else (0, n)
        for reference in references:
            for extra in (False, True):
                shape = Shape(n, reference, history=extra, checklist=extra)
                if spec.mode == "principles":
                    yield from (replace(shape, item=i) for i in range(len(spec.items)))
                elif spec.mode == "criteria" and not spec.items:
                    yield replace(shape, criteria=2)
                else:
                    yield shape


def _described(shape: Shape) -> str:
    has = [name for name in ("reference", "history", "checklist") if getattr(shape, name)]
    return f"{shape.turns} turns, {' and '.join(has) if has else 'no reference, history or checklist'}"
