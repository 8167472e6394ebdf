"""What the pages of a site share: their names, the links between them, and how one is rendered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from auditkit.reports import html
from auditkit.reports.report import Report

__all__ = ["BOARD", "JUDGE", "LINKS", "METHOD", "SiteMap", "page", "pair_key"]

BOARD = "index.html"
JUDGE = "judge.html"
METHOD = "method.html"
#: The pages that every page links to.
LINKS = ((BOARD, "Leaderboard"), (JUDGE, "Judge"), (METHOD, "Method and sources"))
#: Hexadecimal digits of a name's hash in a file name: 96 bits, so that nobody finds two names with one page.
_DIGITS = 24


def _digest(*names: str) -> str:
    text = "\x00".join(names).encode("utf-8", "backslashreplace")
    return hashlib.sha256(text).hexdigest()[:_DIGITS]


def pair_key(a: str, b: str) -> tuple[str, str]:
    """Return two names in the order under which their comparison is kept."""
    return (a, b) if a <= b else (b, a)


@dataclass(frozen=True)
class SiteMap:
    """Which pages a site has. File names come from hashes: a name can neither choose its file nor leave the folder.

    Attributes:
        submissions: File by model.
        comparisons: File by pair (`pair_key`).
        judges: File of the comparison by pair of judges.
        files: Further files beside the pages: ``(file name, words)``.
    """

    submissions: Mapping[str, str] = field(default_factory=dict)
    comparisons: Mapping[tuple[str, str], str] = field(default_factory=dict)
    judges: Mapping[tuple[str, str], str] = field(default_factory=dict)
    files: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls, report: Report, pairs: tuple[tuple[str, str], ...], judges: tuple[tuple[str, str], ...],
        files: tuple[tuple[str, str], ...],
    ) -> SiteMap:  # fmt: skip
        """Return the map of a site of `report` with comparisons of `pairs` of submissions and of `judges`."""
        return cls(
            {s.model: f"submission-{_digest(s.model)}.html" for s in report.submissions},
            {pair_key(a, b): f"compare-{_digest(*pair_key(a, b))}.html" for a, b in pairs},
            {pair_key(a, b): f"judges-{_digest(*pair_key(a, b))}.html" for a, b in judges},
            files,
        )


def page(template: str, **values: object) -> str:
    """Return a page of the site."""
    return html.page(template, css=("report.css", "board.css"), js=("sort.js", "site.js"), **values)
