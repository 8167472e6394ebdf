"""The words and number formats of a report: every sentence that a reader sees and that is not data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from auditkit.errors import printable
from auditkit.records import Interval, Position, Score
from auditkit.reports.report import Gameability, Grade, Status, Verdict

__all__ = [
    "CONTROLS",
    "GATES",
    "GRADES",
    "NONE",
    "PARTS",
    "POSITION_DESIGNS",
    "SEVERITIES",
    "STATUSES",
    "UNITS",
    "VERDICTS",
    "WHY",
    "Word",
    "amount",
    "answer_sentence",
    "block",
    "control_label",
    "grade_sentence",
    "interval",
    "judge_sentence",
    "name",
    "number",
    "p_value",
    "plain",
    "position_sentence",
    "score_interval",
    "score_value",
    "sentence",
    "share",
    "signed",
    "sorted_by",
]

MINUS: Final = "\N{MINUS SIGN}"
NONE: Final = "\N{EN DASH}"


class Word(NamedTuple):
    """How one value of a closed vocabulary is shown: a word, a mark that does not need colour, a sentence."""

    word: str
    mark: str
    text: str


VERDICTS: Final[Mapping[Verdict, Word]] = {
    "certified": Word("Certified", "✓", "No rule of the policy speaks against this score."),
    "conditional": Word("Conditional", "!", "The score may be used with the reservations below."),
    "rejected": Word("Rejected", "✕", "The submission itself shows signs that the policy does not accept."),
    "not_certifiable": Word("Not certifiable", "?", "The recording does not allow a verdict on this score."),
}
GRADES: Final[Mapping[Grade, Word]] = {
    "voidable": Word("Voidable", "✕", "The harness, or an answer without content, can produce a score like this."),
    "gameable": Word("Gameable", "!", "An adversary was shown to gain points without better answers."),
    "unresolved": Word("Unresolved", "?", "Too little was measured to bound what an adversary could gain."),
    "within": Word("Within", "✓", "No attack of this suite and budget gained more than the bound."),
}
STATUSES: Final[Mapping[Status, Word]] = {
    "fail": Word("Fails", "✕", ""),
    "warn": Word("Warning", "!", ""),
    "not_measured": Word("Not measured", NONE, ""),
    "pass": Word("Met", "✓", ""),
}
GATES: Final[Mapping[str, Word]] = {
    "fail": Word("Fails", "✕", ""),
    "pass": Word("Holds", "✓", ""),
    "not_measured": Word("Not measured", NONE, ""),
}
SEVERITIES: Final[Mapping[str, Word]] = {
    "reject": Word("Reject", "✕", "Grounds for rejection on its own."),
    "review": Word("Review", "!", "A person should look at it."),
    "info": Word("Info", "i", "Good to know; no fault by itself."),
}
#: In the order in which they are shown: raw first, then with more and more held fixed.
CONTROLS: Final[Mapping[str, str]] = {
    "raw": "Raw win rate",
    "arena_hard": "Arena-Hard Bradley-Terry",
    "arena_hard_published": "Arena-Hard, interval as published",
    "mt_bench": "MT-Bench rating",
    "mt_bench_pair": "MT-Bench pairwise",
    "wildbench_score": "WildBench score",
    "wildbench_score_adjusted": "WildBench score, centred",
    "position_balanced": "Position balanced",
    "length_controlled": "Length controlled",
    "length_controlled_aligned": "Length controlled, aligned by instruction",
    "length_matched": "Length-matched subset",
    "arena_hard_style": "Arena-Hard style control",
    "chatbot_arena_style": "Chatbot Arena style control",
    "style_controlled": "Style controlled",
    "joint": "All held equal (joint)",
    "gated": "Gated",
    "judge_accuracy": "Accuracy",
    "judge_accuracy_model_first": "Accuracy, response A first",
    "judge_accuracy_model_second": "Accuracy, response A second",
    "judge_accuracy_both_orders": "Right in both orders",
    "judge_accuracy_net": "Right on balance",
    "judge_agreement": "Same verdict in both orders",
}
_WILDBENCH: Final = "wildbench_k_"
PARTS: Final[Mapping[str, str]] = {
    "model": "The model itself",
    "length": "Length",
    "style": "Style",
    "position": "Position",
    "difficulty": "Prompt difficulty",
}
POSITION_DESIGNS: Final[Mapping[str, str]] = {
    "within_pair": "each pair judged in both orders",
    "between_items": "each pair judged in one order only; orders compared between prompts",
    "not_measured": "the order was not recorded",
}
UNITS: Final[Mapping[str, str]] = {
    "win_rate": "Win rate, percent",
    "accuracy": "Accuracy, percent",
    "reward": "Reward, \N{MINUS SIGN}100 to 100",
    "rating": "Rating, on the judge's scale",
}


def name(value: object, limit: int = 80) -> str:
    """Return an untrusted string as one short visible line."""
    return printable(value, limit).strip() or "(empty)"


def block(value: object, limit: int) -> str:
    """Return untrusted text with its line breaks and nothing else that is not visible; cut after `limit` characters."""
    text = str(value)
    shown = "\n".join(printable(line, limit) for line in text[:limit].split("\n")) or "(empty)"
    return shown if len(text) <= limit else f"{shown}… ({len(text)} characters)"


def sentence(value: object, limit: int) -> str:
    """Return untrusted prose as one visible line that begins like a sentence and ends like one."""
    text = name(value, limit)
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?)…" else f"{text}."


def false_alarm(level: float) -> str:
    """Return how often a detector that rejects is wrong about an honest submission, as one sentence."""
    from auditkit.attacks.detect import HONEST_REJECTED
    from auditkit.stats.intervals import clopper_pearson

    wrong, n = HONEST_REJECTED
    most = clopper_pearson(wrong, n, level)[1]
    return (
        f"Detectors reject {wrong or 'none'} of {amount(n)} honest AlpacaEval submissions: false alarms in at most "
        f"{share(most)} of submissions like those (level {share(level, 0)}); on other prompts the rate is not known."
    )


def plain(value: float | None) -> str:
    """Return a number of unknown unit to four significant digits."""
    if value is None:
        return NONE
    return (f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}").replace("-", MINUS)


def number(value: float | None, digits: int = 1) -> str:
    """Return `value` with a true minus sign and thousands separators, or a dash for None."""
    if value is None:
        return NONE
    text = f"{value:,.{digits}f}"
    return text.replace("-", "" if not text.strip("-0.,") else MINUS)


def signed(value: float | None, digits: int = 1) -> str:
    """Return `value` with its sign always shown."""
    text = number(value, digits)
    return text if value is None or text[0] == MINUS or not text.strip("0.,") else f"+{text}"


def sorted_by(value: float | None) -> str:
    """Return a number as a script sorts by it, to the digits that can matter; nothing for None."""
    return "" if value is None else f"{value:.6g}"


def amount(value: int | None) -> str:
    """Return a count with thousands separators, or a dash for None."""
    return number(value, 0)


def share(value: float | None, digits: int = 1) -> str:
    """Return a share (0..1) in percent; only what is whole is called 100 percent, only what is none 0."""
    if value is None:
        return NONE
    text, least = f"{100.0 * value:.{digits}f}", 10.0**-digits
    if value > 0.0 and not float(text):
        return f"<{least:.{digits}f}%"
    if value < 1.0 and float(text) == 100.0:
        return f">{100.0 - least:.{digits}f}%"
    return f"{100.0 * value:.{0 if value in (0.0, 1.0) else digits}f}%"


def p_value(value: float | None) -> str:
    """Return a p-value to two significant digits."""
    if value is None:
        return NONE
    return "<0.001" if value < 0.001 else f"{value:.2g}"


def interval(ci: Interval | None, digits: int = 1) -> str:
    """Return an interval as ``[lo, hi]``, or nothing for None."""
    return "" if ci is None else f"[{number(ci[0], digits)},\N{NO-BREAK SPACE}{number(ci[1], digits)}]"


def _digits(score: Score) -> int:
    return 2 if score.unit == "rating" else 1


def score_value(score: Score) -> str:
    """Return a score's estimate in its unit, or "undefined"."""
    if score.estimate is None:
        return "undefined"
    text = signed(score.estimate) if score.unit == "reward" else number(score.estimate, _digits(score))
    return f"{text}%" if score.unit in ("win_rate", "accuracy") else text


def score_interval(score: Score) -> str:
    """Return a score's interval as ``[lo, hi]``, or nothing."""
    return interval(score.ci, _digits(score))


def control_label(control: str) -> str:
    """Return the reader's name of a control, detector or feature; a plugin's own name with its underscores opened."""
    if control in CONTROLS:
        return CONTROLS[control]
    if control.startswith(_WILDBENCH):
        return name(f"WildBench {control[len(_WILDBENCH) :].replace('K=-1', 'K off').replace('_', ' ')}", 60)
    text = name(control.replace("_", " "), 60)
    return text[0].upper() + text[1:]


#: Above the reasons, by verdict.
WHY: Final[Mapping[Verdict, str]] = {
    "certified": "What speaks for it",
    "conditional": "Why only with reservations",
    "rejected": "Why not",
    "not_certifiable": "Why they cannot tell",
}
#: Can the score be believed? By verdict.
_ANSWERS: Final[Mapping[Verdict, str]] = {
    "certified": "Yes, by every rule of this policy.",
    "conditional": "With reservations.",
    "rejected": "No.",
    "not_certifiable": "These data cannot tell.",
}


def answer_sentence(verdict: Verdict) -> str:
    """Return the answer to "can this score be believed?"."""
    return _ANSWERS[verdict]


def grade_bound(gameability: Gameability) -> str:
    """Return the points that go with a grade, "" without any: at least so many gained, or no attack of the suite more."""
    points, ceiling = gameability.points, gameability.ceiling
    if gameability.grade in ("gameable", "voidable") and points is not None:
        return f"≥ {number(points)} points"
    return "" if ceiling is None else f"≤ {number(max(ceiling, 0.0))} points"


def grade_sentence(gameability: Gameability) -> str:
    """Return what the grade claims, with its number; never that a score is robust."""
    points = gameability.points
    if gameability.grade == "gameable" and points is not None:
        return f"Gameable by at least {number(points)} points without better answers."
    if gameability.grade == "within" and gameability.ceiling is not None:
        most = number(max(gameability.ceiling, 0.0))
        return f"No attack of this suite and budget gains more than {most} points. Other attacks may do more."
    return GRADES[gameability.grade].text


#: From this share of decided games on, a judge is said to go by the place in which an answer is shown.
_BY_PLACE: Final = 0.9


def judge_sentence(accuracy: Score | None, position: Position | None) -> str:
    """Return what a judge's verdicts are worth by its answers to pairs with a known answer, in plain words."""
    parts = []
    if accuracy is not None and accuracy.estimate is not None:
        shown = f"{score_value(accuracy)} {score_interval(accuracy)}".strip()
        low, high = accuracy.ci or (accuracy.estimate, accuracy.estimate)
        if low > 50.0:
            parts.append(f"On pairs with a known answer this judge is right in {shown} of its verdicts; a coin in 50%.")
        elif high < 50.0:
            parts.append(f"On pairs with a known answer this judge does worse than a coin: {shown} right.")
        else:
            parts.append(f"On pairs with a known answer this judge cannot be told from a coin: {shown} right.")
    first = position.first_preference if position is not None else None
    if first is not None:
        place = "first" if first >= 0.5 else "second"
        text = f"It prefers the answer shown {place} in {share(max(first, 1.0 - first))} of decided games"
        parts.append(
            f"{text}: it goes by the place, not by the answer." if max(first, 1.0 - first) >= _BY_PLACE else f"{text}."
        )
    return " ".join(parts)


def position_sentence(position: Position) -> str:
    """Return what going first or second did, in one sentence."""
    if position.effect_points is None:
        return (
            sentence(position.note, 400)
            if position.note
            else "The effect of being shown first or second could not be measured."
        )
    effect = position.effect_points
    if position.ci is not None and position.ci[0] <= 0.0 <= position.ci[1]:
        return "No effect of being shown first or second can be told from chance."
    return f"Shown second, the answer wins {number(abs(effect))} points {'more' if effect > 0 else 'less'} often."
