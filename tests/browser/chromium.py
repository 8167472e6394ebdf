"""What the tests in a browser share: how Chromium is started, how wide a page is looked at, what axe-core is asked.

Loaded by path, like the other helpers of the tests.
"""

from __future__ import annotations

import shutil
from typing import Any

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SIZES = {"phone": (360, 800), "desktop": (1280, 900)}
#: Everything that WCAG 2.2 AA asks for, as far as a machine can tell, and axe-core's advice on headings and landmarks.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}


def open_all(page: Any) -> None:
    """Open every fold of a page."""
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")
