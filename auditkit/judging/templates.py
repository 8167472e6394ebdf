"""A judge's template: Jinja2 in a sandbox, from which every untrusted value is kept out.

A template decides only *where* a value goes. Values enter as `Opaque` tokens that can be shown and nothing
else: they have no text, no length and no truth value, so that nothing in the rendered prompt outside a value's
own place can depend on what the value says (non-interference, by construction). The texts are put in
afterwards, by joining strings; no text is ever read as a template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NoReturn

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, Undefined, UndefinedError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["Opaque", "TemplateProblem", "check_syntax", "escape_braces", "pieces"]


class TemplateProblem(ValueError):
    """A template that cannot be used; the message says what is wrong, with the line where it is known."""


class Opaque:
    """The place of one untrusted value. It can be shown by a template and tested with ``is defined``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def _refuse(self, *_: object) -> NoReturn:
        raise TemplateProblem(f"{self.name} can only be shown, or tested with `is defined`")

    __str__ = __repr__ = __format__ = __bool__ = __len__ = __iter__ = __getitem__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _refuse


#: What a template may hold: text, values, loops and conditions. No calls, arithmetic, macros, includes or assignments.
_NODES: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.For, nodes.If, nodes.Getattr,
    nodes.Getitem, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Test, nodes.Filter,
)  # fmt: skip
_BRACES: Final = re.compile(r"\{(?=[{%#])")


def _environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    env.globals.clear()
    env.filters = {"length": len}
    env.tests = {"defined": env.tests["defined"]}
    return env


_PLAIN: Final = _environment()


def escape_braces(text: str) -> str:
    """Return a template that renders exactly `text`."""
    return _BRACES.sub("{{ '{' }}", text)


def check_syntax(text: str, known: frozenset[str]) -> frozenset[str]:
    """Check one template and return the names that it uses.

    Args:
        text: The template.
        known: Every name that may be defined for it.

    Raises:
        TemplateProblem: A syntax error, a construct that a judge's template may not hold, or an unknown name.
    """
    if "\x00" in text:
        raise TemplateProblem("a NUL character")
    try:
        tree = _PLAIN.parse(text)
        for node in tree.find_all(nodes.Node):
            if not isinstance(node, _NODES):
                kind = type(node).__name__.lower()
                raise TemplateProblem(
                    f"line {node.lineno}: {kind} is not allowed here; values, loops and conditions are"
                )
        # Only now: compiling computes constants, and 'a' * 10**9 is one.
        _PLAIN.compile(tree)
    except TemplateSyntaxError as error:
        raise TemplateProblem(f"line {error.lineno}: {error.message}") from error
    except RecursionError as error:
        raise TemplateProblem("nested too deeply") from error
    used = frozenset(meta.find_undeclared_variables(tree))
    for name in sorted(used - known):
        raise TemplateProblem(f"{name} is not a variable of this judge; there are: {', '.join(sorted(known))}")
    return used


@lru_cache(maxsize=256)
def _compiled(text: str) -> Template:
    env = _environment()
    env.finalize = _shown
    return env.from_string(text)


def _shown(value: Any) -> str:
    if isinstance(value, Opaque):
        return f"\x00{value.name}\x00"
    if isinstance(value, Undefined):
        return str(value)  # raises, naming the variable
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list):
        raise TemplateProblem("a list cannot be shown whole: go through it with {% for one in … %}")
    names = f": {', '.join(sorted(map(str, value)))}" if isinstance(value, Mapping) else ""
    raise TemplateProblem(f"a group of values cannot be shown whole: show one of them{names}")


def pieces(text: str, variables: Mapping[str, object]) -> tuple[str, ...]:
    """Run a template and return what it shows: literal text and names of values in turn, text first and last.

    Raises:
        TemplateProblem: An undefined value is shown, or a value is used for anything but showing it.
    """
    try:
        out = _compiled(text).render(variables)
    except (UndefinedError, SecurityError) as error:
        raise TemplateProblem(error.message or "an undefined value") from error
    except TypeError as error:
        raise TemplateProblem(str(error)) from error
    return tuple(out.split("\x00"))
