"""The threat model names tests, and they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
_NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def _tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_named_test_exists() -> None:
    """Each ``path::test`` of the document is a function of that file."""
    named = _NAMED.findall(TEXT)
    assert len(named) >= 40
    missing = [f"{p}::{t}" for p, t in named if not (ROOT / p).is_file() or (t and t not in _tests(ROOT / p))]
    assert missing == []


def test_every_threat_names_a_test() -> None:
    """No row of a table of threats is without one."""
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and line.count("|") == 5]
    threats = [row for row in rows if not row.startswith("| threat ")]
    assert len(threats) >= 18
    assert [row[:60] for row in threats if not _NAMED.search(row)] == []


def test_every_file_of_these_tests_is_named() -> None:
    """What is attacked here is in the document."""
    named = {path for path, _ in _NAMED.findall(TEXT)} | {"tests/security/test_threats.py"}
    assert {f"tests/security/{p.name}" for p in Path(__file__).parent.glob("test_*.py")} <= named
