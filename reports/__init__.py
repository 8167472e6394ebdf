"""Gameability reports: the record, its JSON and HTML, and the leaderboard."""

from __future__ import annotations

from auditkit.reports.html import render
from auditkit.reports.leaderboard import leaderboard_csv, leaderboard_rows
from auditkit.reports.report import Report, SubmissionReport, from_json, json_schema, to_json

__all__ = [
    "Report",
    "SubmissionReport",
    "from_json",
    "json_schema",
    "leaderboard_csv",
    "leaderboard_rows",
    "render",
    "to_json",
]
