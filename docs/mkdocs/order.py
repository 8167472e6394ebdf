"""What the search of the site shows first: words and explanations before lists and fields."""

from __future__ import annotations

from typing import Any

BOOSTS = {
    "glossary.md": 4.0,
    "report_schema.md": 0.1,
    "attacks.md": 0.4,
    "benchmarks.md": 0.4,
    "cli.md": 0.7,
    "api/": 0.3,
}


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> None:
    """Set a page's weight in the search."""
    for start, boost in BOOSTS.items():
        if page.file.src_uri.startswith(start):
            page.meta["search"] = {"boost": boost}
