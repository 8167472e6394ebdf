"""The datasheet as one HTML file: no network, no script, and nothing in it that a prompt can run.

Every value is escaped, text from outside passes `printable` first, and a Content-Security-Policy allows our own style
sheet, by its hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from auditkit.bench.record import Datasheet
from auditkit.errors import printable

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render"]


def _file(name: str) -> str:
    return files("auditkit.bench").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    env = Environment(
        loader=FunctionLoader(_file), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    env.filters.update(
        name=printable,
        words=lambda text: printable(text).replace("_", " "),
        amount=lambda n: f"{n:,}",
        share=lambda x: "not measured" if x is None else f"{100 * x:.1f}%",
        number=lambda x, digits=2: "undefined" if x is None else f"{x:.{digits}f}",
    )
    return env


def render(sheet: Datasheet, plot: Markup) -> str:
    """Return the page.

    Args:
        sheet: The record.
        plot: The map of the pool.
    """
    style = _file("datasheet.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    widest = max((row.left for row in sheet.funnel), default=1) or 1
    return _environment().get_template("datasheet.html.j2").render(
        sheet=sheet, style=Markup(style), policy=policy, plot=plot, widest=widest  # noqa: S704  our own style sheet
    )  # fmt: skip
