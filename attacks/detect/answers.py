"""What every detector works with: a submission's answers as plain lists, quotations, and the step to a Detection."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from auditkit.errors import printable
from auditkit.records import Detection, Evidence, Settings, Severity, Submission

__all__ = [
    "DEFAULTS",
    "Answers",
    "Hit",
    "answers_of",
    "constant_share",
    "find_hits",
    "fold",
    "invited_note",
    "judged",
    "least",
    "pattern_share",
    "quote",
    "quote_hits",
    "unmeasured",
]

DEFAULTS: Final = Settings()
#: How many quotations a detection carries, how much of a text each shows, and how long it may be once escaped.
QUOTES: Final = 3
QUOTE_CHARS: Final = 200
_ESCAPED_CHARS: Final = 300


@dataclass(frozen=True)
class Answers:
    """The answers of one submission, row by row."""

    prompt_ids: list[str]
    prompts: list[str]
    texts: list[str]
    baselines: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Iterable[int]) -> Answers:
        """Return the answers of the given rows, in that order."""
        chosen = list(rows)
        return Answers(
            [self.prompt_ids[i] for i in chosen],
            [self.prompts[i] for i in chosen],
            [self.texts[i] for i in chosen],
            [self.baselines[i] for i in chosen],
        )


def answers_of(submission: Submission, *, distinct: bool = False) -> Answers:
    """Return the answers of a submission.

    Args:
        submission: The submission.
        distinct: Keep one answer per distinct prompt (and turn): the same prompt twice may well get the same answer.
    """
    rows = submission.rows
    ids: list[str] = rows["prompt_id"].tolist()
    prompts: list[str] = rows["prompt"].tolist()
    answers = Answers(ids, prompts, rows["text"].tolist(), rows["baseline"].tolist())
    if not distinct:
        return answers
    first: dict[tuple[str, int], int] = {}
    for i, (key, prompt, turn) in enumerate(zip(ids, prompts, rows["turn"].tolist(), strict=True)):
        first.setdefault((prompt or key, turn), i)
    return answers if len(first) == len(answers) else answers.take(first.values())


def constant_share(answers: Answers) -> float:
    """Return the share of answers that are the most frequent answer."""
    counts: dict[str, int] = {}
    for text in answers.texts:
        counts[text] = counts.get(text, 0) + 1
    return max(counts.values()) / len(answers) if counts else 0.0


def quote(prompt_id: str, text: str, start: int = 0, end: int | None = None) -> Evidence:
    """Quote `text` around start..end (from its beginning by default), escaped and shortened."""
    if end is None:
        shown = printable(text, QUOTE_CHARS)
    else:
        left = max(0, start - (QUOTE_CHARS - min(end - start, QUOTE_CHARS)) // 2)
        shown = printable(text[left : left + QUOTE_CHARS], QUOTE_CHARS)
        shown = f"{'…' if left else ''}{shown}{'…' if left + QUOTE_CHARS < len(text) else ''}"
    return Evidence(prompt_id, shown if len(shown) <= _ESCAPED_CHARS else shown[: _ESCAPED_CHARS - 1] + "…")


def unmeasured(detector: str, why: str, *, n: int = 0, statistic: float | None = None) -> Detection:
    """Return the detection of something that could not be measured."""
    return Detection(detector, None, "info", statistic=statistic, n=n, note=f"not measured: {why}")


def judged(
    detector: str,
    statistic: float,
    *,
    n: int,
    review: float,
    reject: float | None = None,
    info: float | None = None,
    evidence: Sequence[Evidence] = (),
    note: str = "",
) -> Detection:
    """Return the detection of a statistic: flagged from the lowest threshold on, with the severity that it reaches."""
    steps: list[tuple[float, Severity]] = [(review, "review")]
    if info is not None and info < review:
        steps.insert(0, (info, "info"))
    if reject is not None:
        steps.append((reject, "reject"))
    threshold, severity = steps[0]
    for value, name in steps:
        if statistic >= value:
            threshold, severity = value, name
    return Detection(
        detector,
        statistic >= steps[0][0],
        severity,
        float(statistic),
        threshold,
        None,
        n,
        tuple(evidence[:QUOTES]),
        note,
    )


@dataclass(frozen=True)
class Hit:
    """A pattern found in an answer: row, where, and whether the prompt invited it (holds the like, or asks about it)."""

    row: int
    start: int
    end: int
    invited: bool


def fold(text: str) -> str:
    """Fold for comparison of a quotation with its prompt: case and runs of blanks do not matter."""
    return re.sub(r"\s+", " ", text).casefold()


def find_hits(
    answers: Answers,
    pattern: re.Pattern[str],
    needles: Sequence[str],
    subject: re.Pattern[str],
    clean: Callable[[str], str] = str,
) -> tuple[list[Hit], list[str]]:
    """Find the first match of `pattern` in each answer that the prompt did not invite.

    Args:
        answers: The answers.
        pattern: What to look for; linear in the length of the text.
        needles: Lower-case strings of which every match holds one: a quick test before the pattern.
        subject: Words in a prompt that make such text a fair part of the answer.
        clean: Applied to an answer before the search (such as taking code out).

    Returns:
        One hit per answer with a match, uninvited matches preferred; and the searched texts of those rows.
    """
    hits, searched = [], []
    for row, text in enumerate(answers.texts):
        low = text.lower()
        if not any(needle in low for needle in needles):
            continue
        text = clean(text)
        prompt = answers.prompts[row]
        folded = fold(prompt)
        about = subject.search(prompt) is not None or pattern.search(prompt) is not None
        best: Hit | None = None
        tried: set[str] = set()
        for match in pattern.finditer(text):
            if match[0] in tried:
                continue
            tried.add(match[0])
            invited = about or fold(match[0]).strip() in folded
            if best is None or not invited:
                best = Hit(row, match.start(), match.end(), invited)
            if about or not invited:
                break
        if best is not None:
            hits.append(best)
            searched.append(text)
    return hits, searched


def quote_hits(answers: Answers, hits: Sequence[Hit], searched: Sequence[str]) -> list[Evidence]:
    """Quote the first hits with their surroundings, uninvited ones first."""
    order = sorted(range(len(hits)), key=lambda i: hits[i].invited)[:QUOTES]
    return [quote(answers.prompt_ids[hits[i].row], searched[i], hits[i].start, hits[i].end) for i in order]


def invited_note(hits: Sequence[Hit]) -> str:
    """Say how many hits were set aside because their prompts invited them."""
    invited = sum(hit.invited for hit in hits)
    return f"{invited} more in answers whose prompts quote them or ask about them, not counted" if invited else ""


def least(n: int, share: float, answers: int) -> float:
    """Return the threshold that is reached by this share of `n` answers, and by at least so many of them."""
    return max(share, answers / n)


def pattern_share(
    detector: str,
    submission: Submission,
    pattern: re.Pattern[str],
    needles: Sequence[str],
    subject: re.Pattern[str],
    clean: Callable[[str], str] = str,
    *,
    review: tuple[float, int],
    info: tuple[float, int] | None = None,
    reject: tuple[float, int] | None = None,
) -> Detection:
    """Return the detection of the share of answers with an uninvited match (see `find_hits`).

    Each threshold is ``(share, answers)``: reached by that share of the answers and by at least so many.
    """
    answers = answers_of(submission)
    n = len(answers)
    if not n:
        return unmeasured(detector, "no answers are recorded")
    hits, searched = find_hits(answers, pattern, needles, subject, clean)
    return judged(
        detector,
        sum(not hit.invited for hit in hits) / n,
        n=n,
        info=least(n, *info) if info else None,
        review=least(n, *review),
        reject=least(n, *reject) if reject else None,
        evidence=quote_hits(answers, hits, searched),
        note=invited_note(hits),
    )
