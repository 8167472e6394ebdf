"""A badge: the verdict as a small SVG for a model card or a README."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import Final

from auditkit.errors import printable
from auditkit.reports.report import Report, Verdict
from auditkit.reports.wording import GRADES, VERDICTS

__all__ = ["badge"]

_LABEL: Final = "gameability"
#: Dark enough for white text at a contrast of 4.5 to 1.
_COLOURS: Final[dict[Verdict, str]] = {
    "certified": "#1a7f37",
    "conditional": "#8a5a00",
    "rejected": "#b3261e",
    "not_certifiable": "#6a4c93",
}
_WORST: Final[tuple[Verdict, ...]] = ("rejected", "not_certifiable", "conditional", "certified")
#: Pixels a character takes at 11 px, and around a text.
_WIDE: Final = 6.6
_PAD: Final = 12


def badge(report: Report) -> str:
    """An SVG badge with the verdict and the grade; of several submissions the worst verdict and how many have it."""
    counts: Counter[Verdict] = Counter(s.verdict for s in report.submissions)
    worst: Verdict = next((verdict for verdict in _WORST if counts[verdict]), "not_certifiable")
    word = VERDICTS[worst].word.lower()
    if len(report.submissions) == 1:
        (s,) = report.submissions
        said = f"{word} · {GRADES[s.gameability.grade].word.lower()}"
        about = f"{printable(s.model, 80)} on {printable(report.benchmark.name, 80)}: {said}"
    else:
        said = f"{counts[worst]} of {len(report.submissions)} {word}"
        about = f"{printable(report.benchmark.name, 80)}: {said}"
    left, right = (round(len(text) * _WIDE) + _PAD for text in (_LABEL, said))
    title = escape(f"{_LABEL}: {about} ({report.created})")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{title}">\n'
        f"<title>{title}</title>\n"
        f'<rect width="{left}" height="20" fill="#444"/>\n'
        f'<rect x="{left}" width="{right}" height="20" fill="{_COLOURS[worst]}"/>\n'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">\n'
        f'<text x="{left / 2:g}" y="14" textLength="{left - _PAD}">{_LABEL}</text>\n'
        f'<text x="{left + right / 2:g}" y="14" textLength="{right - _PAD}">{escape(said)}</text>\n'
        "</g>\n</svg>\n"
    )
