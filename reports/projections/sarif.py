"""SARIF 2.1.0: one result a rule that failed, for code-scanning views."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final
from urllib.parse import quote

from auditkit.errors import printable
from auditkit.reports.report import Reason, Report, Status, SubmissionReport

__all__ = ["sarif"]

_LONG: Final = 2000
_LEVELS: Final[dict[Status, tuple[str, str]]] = {
    "fail": ("fail", "error"),
    "warn": ("fail", "warning"),
    "not_measured": ("open", "none"),
    "pass": ("pass", "none"),
}


def sarif(report: Report) -> str:
    """SARIF 2.1.0 with one result a submission and rule.

    A failure is an error, a condition a warning; what passed or was not measured has the kind ``pass`` or ``open``. The
    place is the submission's first file among the report's inputs.
    """
    rules = list(dict.fromkeys(r.rule for s in report.submissions for r in s.reasons))
    run = {
        "tool": {"driver": {
            "name": "auditkit",
            "version": report.auditkit,
            "rules": [{"id": rule, "shortDescription": {"text": rule.replace("_", " ")}} for rule in rules],
        }},
        "automationDetails": {"id": f"gameability/{_quoted(report.benchmark.name, safe='')}/"},
        "columnKind": "unicodeCodePoints",
        "results": [_result(report, s, r, rules.index(r.rule)) for s in report.submissions for r in s.reasons],
    }  # fmt: skip
    tree = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(tree, indent=1, allow_nan=False) + "\n"


def _result(report: Report, s: SubmissionReport, reason: Reason, index: int) -> dict[str, Any]:
    kind, level = _LEVELS[reason.status]
    model = printable(s.model, 200)
    return {
        "ruleId": reason.rule,
        "ruleIndex": index,
        "kind": kind,
        "level": level,
        "message": {"text": _message(f"{model}: {printable(reason.text, _LONG)}")},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": _place(report, s)}, "region": {"startLine": 1}},
            "logicalLocations": [{"name": model, "kind": "resource"}],
        }],
        "partialFingerprints": {"submissionAndRule/v1": hashlib.sha256(f"{model}\0{reason.rule}".encode()).hexdigest()},
        "properties": {"verdict": s.verdict, "value": reason.value, "threshold": reason.threshold},
    }  # fmt: skip


def _message(text: str) -> str:
    """Return `text` as a SARIF message in which nothing is a link or a placeholder (SARIF 2.1.0, 3.11.5 and 3.11.6)."""
    plain = text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return plain.replace("{", "{{").replace("}", "}}")


def _place(report: Report, s: SubmissionReport) -> str:
    own = [
        item.path for item in report.inputs if f"/{s.model}/" in item.path or item.path.endswith(f"/{s.model}.jsonl")
    ]
    path = (own or [item.path for item in report.inputs] or ["report.json"])[0]
    return _quoted(path.lstrip("/"), safe="/")


def _quoted(text: str, safe: str) -> str:
    return quote(text, safe=safe, errors="backslashreplace")
