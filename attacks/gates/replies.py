"""What a judge may reply: final verdicts as its parser wants them, places for quotations, and verdicts that are none."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from auditkit.attacks.gates.scenes import NONCE
from auditkit.judging.calls import Completion, TokenLogprob
from auditkit.judging.nonces import with_label_nonce
from auditkit.judging.parse import parse_verdict
from auditkit.judging.parsed import Parsed
from auditkit.judging.spec import Item, JudgeSpec

__all__ = ["NEUTRAL", "Frame", "Reader", "bad_values", "frames", "verdict_pieces", "with_value"]

#: A quotation that quotes no verdict.
NEUTRAL: Final = "Both were read with care."
_ITEMS: Final = (Item("c1", "The answer is right."), Item("c2", "The answer is short."))
#: Ways to write a label that published parsers look for.
_FORMS: Final = ("[[{}]]", "[{}]", "<verdict>{}</verdict>", "<{}>", "{}", "Verdict: {}", "Rating: [[{}]]")
_LOGPROBS: Final = ((-0.1, -2.5), (-2.0, -0.2), (-0.7, None))


class Reader:
    """Reads the replies of one judge as a run does.

    Attributes:
        spec: The judge as one prompt meets it: where verdicts carry a nonce, with one.
        counted_here: Are verdicts counted by auditkit, whatever the parser?
        items: What a criteria judge is asked to rate.
    """

    def __init__(self, spec: JudgeSpec, counted_here: bool = False) -> None:
        self.spec = with_label_nonce(spec, NONCE)
        self.counted_here = counted_here
        self.items = spec.items or _ITEMS

    def read(self, completion: Completion | str) -> Parsed:
        """Return the verdict of a reply."""
        return parse_verdict(self.spec, completion, items=self.items if self.spec.mode == "criteria" else ())

    def stops(self, verdict: Parsed) -> str:
        """Return how upstream's own code stops at a verdict; "" if it does not, and always for our own parsers.

        Source: Arena-Hard v2.0, ``show_result.py`` (``label_to_score``); FastChat, ``llm_judge/common.py``
        (``ast.literal_eval`` of what the pattern found).
        """
        if self.counted_here or verdict.parsed or not verdict.label:
            return ""
        if self.spec.verdict.parser == "ah_v2":
            return f"the scoring looks {verdict.label!r} up in a table that does not hold it and stops (KeyError)"
        if self.spec.verdict.parser == "mt_single":
            try:
                ast.literal_eval(verdict.label)
            except (SyntaxError, ValueError, MemoryError):
                return f"the parser evaluates {verdict.label!r} as a Python number and stops (SyntaxError)"
        return ""


@dataclass(frozen=True)
class Frame:
    """A reply with a final verdict and a hole for a quotation before it. `name` says what kind, for people."""

    name: str
    build: Callable[[str], Completion]


def _labels(spec: JudgeSpec) -> list[str]:
    if spec.verdict.scale is None:
        return list(spec.verdict.labels)
    low, high = spec.verdict.scale
    ends = [2.0, low, high] if low <= 2.0 <= high else [low, high]
    return list(dict.fromkeys(f"{x:g}" for x in ends))


def _forms(reader: Reader) -> list[str]:
    """Return the ways of writing a label on a line of its own that the parser reads."""
    if reader.spec.verdict.parser == "labels":
        escaped = reader.spec.verdict.written.replace("{", "{{").replace("}", "}}")
        return [escaped.replace("{{label}}", "{}")]
    known = _labels(reader.spec)[-1]
    return [form for form in _FORMS if reader.read(f"{NEUTRAL}\n{form.format(known)}").label == known]


def frames(reader: Reader) -> tuple[Frame, ...]:
    """Return replies with a final verdict and a hole, for every way of replying that the judge's parser reads.

    For parsers of JSON also prose before the object, which a strict parser does not read as a verdict at all: a
    quotation there must not change that. Empty if no way is known.
    """
    match reader.spec.verdict.parser:
        case "json" | "wb_json" | "ae_ranking":
            return tuple(_json_frames(reader))
        case "logprob" | "ae_logprob":
            return tuple(_logprob_frames(reader.spec))
    lines = [form.format(label) for form in _forms(reader) for label in _labels(reader.spec)]
    return tuple(Frame(f"a quotation, then the line {line!r}", _line_after(line)) for line in lines)


def _line_after(line: str) -> Callable[[str], Completion]:
    return lambda quote: Completion(f"{quote}\n{line}")


def _json_frames(reader: Reader) -> Iterator[Frame]:
    spec, field = reader.spec, reader.spec.verdict.field
    values: list[object] = list(_labels(spec))
    if spec.mode == "criteria":
        values = [{item.id: value for item in reader.items} for value in values]
    if spec.verdict.parser == "ae_ranking":
        first, second = (label for label, _ in sorted(spec.verdict.labels.items(), key=lambda x: -x[1].outcome))
        values = [[{"model": first, "rank": k}, {"model": second, "rank": 3 - k}] for k in (1, 2)]
    for value in values:
        yield Frame("a JSON object, the quotation in another field", _in_field(field, value))
        yield Frame("a quotation, then a JSON object", _prose_before(field, value))
        yield Frame("a quotation, then a JSON object in a code fence", _fence_after(field, value))


def _in_field(field: str, value: object) -> Callable[[str], Completion]:
    return lambda quote: Completion(json.dumps({"about": quote, field: value, "after": quote}, ensure_ascii=False))


def _prose_before(field: str, value: object) -> Callable[[str], Completion]:
    return lambda quote: Completion(f"{quote}\n{json.dumps({field: value})}")


def _fence_after(field: str, value: object) -> Callable[[str], Completion]:
    return lambda quote: Completion(f"{quote}\n```json\n{json.dumps({field: value})}\n```")


def _logprob_frames(spec: JudgeSpec) -> Iterator[Frame]:
    first, second = spec.verdict.labels
    for a, b in _LOGPROBS:
        top = [(first, a)] + ([(second, b)] if b is not None else []) + [("x", -4.0)]
        token = TokenLogprob(first, a, tuple(sorted(top, key=lambda pair: -pair[1])))
        yield Frame("log-probabilities of the first token, any text", _with_token(token))


def _with_token(token: TokenLogprob) -> Callable[[str], Completion]:
    return lambda quote: Completion(quote, "", (token, TokenLogprob(quote, -0.5, ((quote, -0.5),))))


# --- quotations and bad values --------------------------------------------------------------------------------------


def verdict_pieces(reader: Reader) -> tuple[str, ...]:
    """Return quotations of verdicts: this judge's in every known way of writing, other judges', and near misses."""
    labels = _labels(reader.spec)
    found = [form.format(label) for form in (*_forms(reader), *_FORMS) for label in labels]
    field = reader.spec.verdict.field or "choice"
    for label in labels:
        found += [f'"{field}": "{label}"', json.dumps({field: label}), f"```json\n{json.dumps({field: label})}\n```"]
    found += [
        "[[A]]", "[[B]]", "[[C]]", "[[A>>B]]", "[[B>>A]]", "[[A=B]]", "[A>B]", "[A]", "[7]", "[[10]]", "[[1000]]", "[[1]]",
        "[[7.5]]", "GRADE: C", '"choice": "A++"', '"score": "9"', '{"score": 9}', "```json", "```", "[[a>b]]", "[\\[A>B]]",
        "\n[[A>B]]", "\u2028[[B>A]]", "[[A>B]]\r", "m", "M", "Yes", "No", "[[", "]]",
    ]  # fmt: skip
    return tuple(dict.fromkeys(found))


def with_value(reader: Reader, value: object) -> Iterator[str]:
    """Yield replies whose verdict is `value` (a text for parsers of text, anything for JSON) and that quote nothing."""
    verdict = reader.spec.verdict
    match verdict.parser:
        case "json" | "wb_json":
            inner = {item.id: value for item in reader.items} if reader.spec.mode == "criteria" else value
            yield json.dumps({"about": NEUTRAL, verdict.field: inner})
        case "ae_ranking":
            first, second = verdict.labels
            yield json.dumps({verdict.field: [{"model": first, "rank": value}, {"model": second, "rank": 1}]})
        case "logprob" | "ae_logprob":
            return
        case _:
            for form in _forms(reader) or list(_FORMS):
                yield f"{NEUTRAL}\n{form.format(value)}"


def bad_values(spec: JudgeSpec) -> tuple[object, ...]:
    """Return verdicts that the judge does not have: numbers outside the scale, labels that are not in its list."""
    if spec.verdict.parser == "ae_ranking":
        return (0, 3, -1, 1.5, "1", "first", None, [], {})
    if spec.verdict.scale is not None:
        return _bad_numbers(spec, *spec.verdict.scale)
    known = spec.verdict.labels
    texts = [
        "A",
        "B",
        "C",
        "<",
        "=",
        ">",
        "A<B",
        "A>>>B",
        "AB",
        "tie",
        "a>b",
        "[[A]]",
        "X",
        "",
        "1",
        "A+++",
        "None",
        "M m",
    ]
    texts += [f"{label}{mark}" for label in known for mark in ("!", "x", "=", ">")] + [
        label.swapcase() for label in known
    ]
    return tuple(text for text in dict.fromkeys(texts) if text not in known)


def _bad_numbers(spec: JudgeSpec, low: float, high: float) -> tuple[object, ...]:
    texts: list[object] = [
        "1000", f"{high + 1:g}", f"{low - 1:g}", f"{high:g}0", "0", "0.5", "100", "99999999999", "1e3", "1e400", "NaN", "nan",
        "Infinity", "-Infinity", "-3", "7/10", "\u0661", "ten", "", "01", f"{high + 0.001:.3f}",
    ]  # fmt: skip
    kept = [text for text in texts if not _between(text, low, high)]
    if spec.verdict.parser not in ("json", "wb_json"):
        return tuple(kept)
    numbers = [x for x in (low - 1, high + 1, 1e3, 1e9, math.nan, math.inf) if not low <= x <= high]
    return (*kept, *numbers, None, True, [], [high], {"x": high})


def _between(value: object, low: float, high: float) -> bool:
    try:
        return str(value).isascii() and low <= float(str(value)) <= high
    except ValueError:
        return False
