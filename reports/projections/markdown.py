"""Markdown: the decision for a pull request or the summary of a CI job."""

from __future__ import annotations

import re
from typing import Final

from auditkit.errors import printable
from auditkit.reports.leaderboard import headline, score_of
from auditkit.reports.report import Report, SubmissionReport
from auditkit.reports.wording import GRADES, NONE, VERDICTS, score_interval, score_value

__all__ = ["markdown"]

_LONG: Final = 1000
#: What is markup inside a line (a line never begins with it), starts an emoji, or becomes a mention, a reference or a
#: link by itself.
_MARKUP: Final = re.compile(r"([\\`*_\[\]|~^$<>&\"'@#]|:(?=[/\w+-])|(?<=[wW])\.)")
#: An entity is not enough for these: an empty comment breaks the word.
_LIVE: Final = "@#:."


def markdown(report: Report) -> str:
    """Markdown (GitHub's) with a table of verdicts and scores, and the reasons of each submission.

    Names and sentences are escaped: they cannot hold markup, links, mentions or further lines.
    """
    raw, held = headline(report)
    made = (
        f"Judge: {_escaped(report.judge.name, 120)}. Policy: {_escaped(report.method.policy, 120)}. "
        f"auditkit {_escaped(report.auditkit, 40)}, {_escaped(report.created, 40)}."
    )
    lines = [
        f"## Gameability: {_escaped(report.benchmark.name, 120)}",
        "",
        made,
        "",
        "| submission | verdict | grade | score | controlled |",
        "|---|---|---|---|---|",
    ]
    for s in report.submissions:
        scores = [f"{score_value(x)} {score_interval(x)}" if (x := score_of(s, name)) else NONE for name in (raw, held)]
        word = VERDICTS[s.verdict]
        cells = [
            _code(s.model),
            f"{word.mark} **{word.word}**",
            GRADES[s.gameability.grade].word,
            *map(_escaped, scores),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for s in report.submissions:
        lines += ["", *_reasons(s)]
    return "\n".join(lines) + "\n"


def _reasons(s: SubmissionReport) -> list[str]:
    lines = [f"### {_code(s.model)}: {VERDICTS[s.verdict].word}", ""]
    for mark, status in (("✕", "fail"), ("!", "warn")):
        lines += [
            f"- {mark} {_escaped(r.text[:1].upper() + r.text[1:], _LONG)}" for r in s.reasons if r.status == status
        ]
    rest = {word: [r.rule for r in s.reasons if r.status == word] for word in ("not_measured", "pass")}
    if rest["not_measured"]:
        lines.append(f"- Not measured: {_escaped(', '.join(rest['not_measured']).replace('_', ' '))}")
    if rest["pass"]:
        lines.append(f"- {len(rest['pass'])} rules passed")
    return lines


def _escaped(text: str, limit: int = 160) -> str:
    """Return `text` as one line of Markdown that shows it: entities for what is markup, comments inside what is live."""
    parts = _MARKUP.split(printable(text, limit))
    return "".join(f"&#{ord(p)};{'<!-- -->' if p in _LIVE else ''}" if i % 2 else p for i, p in enumerate(parts))


def _code(name: str) -> str:
    return f"<code>{_escaped(name, 80)}</code>"
