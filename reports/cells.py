"""Text in the cells of a table that somebody opens in a spreadsheet."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["cell", "is_formula"]

#: What a spreadsheet takes for the start of a formula, also in its full-width forms.
_SIGNS: Final = "=+\\-@＝＋－＠"
#: Spreadsheets pass over spaces of every width, and over marks that show nothing, before they look for one.
_FORMULA: Final = re.compile(f"[\\s\x00\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]*[{_SIGNS}]")
#: Where the list separator is a semicolon, a new cell begins there, whatever quotes stand around it.
_LATER: Final = re.compile(f";(?=\\s{{0,16}}[{_SIGNS}])")


def is_formula(text: str) -> bool:
    """Tell whether a spreadsheet could run a cell of this text."""
    return _FORMULA.match(text) is not None


def cell(value: str | float | None) -> str | int | float | None:
    """Return `value` so that no spreadsheet runs it, in one line in which nothing can steer a terminal.

    Text gets an apostrophe before what could begin a formula, and an escape for each character that cannot be printed.
    """
    if not isinstance(value, str):
        return value
    shown = "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else _escape(c) for c in value)
    shown = _LATER.sub(";'", shown)
    return f"'{shown}" if is_formula(value) else shown


def _escape(c: str) -> str:
    return c.encode("unicode_escape").decode("ascii")
