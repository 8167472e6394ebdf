"""Read a verdict from a completion: a label on the final line, one JSON object, or two labels' log-probabilities.

The verdict is a function of the final channel alone (gate H3): what the judge quotes before its final line changes
nothing. A completion that cannot be read is recorded as that; there is no default verdict.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from auditkit.judging.calls import Completion
from auditkit.judging.compat import COMPAT, label_interval
from auditkit.judging.parsed import Parsed, labelled, scored, unparsed
from auditkit.judging.spec import Item, JudgeSpec

__all__ = ["Parsed", "combine", "parse_verdict"]

_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_DECORATION: Final = " \t\r*_`\"'.:$"
_FENCE: Final = re.compile(r"```(?:json)?[ \t]*\n(.*)\n[ \t]*```", re.DOTALL)
_LONGEST: Final = 1 << 20
_LONGEST_LABEL: Final = 80
#: A line that shows nothing: blanks, characters that have no shape, and the end of a block of code.
_NOTHING: Final = re.compile("[\\s`\u200b-\u200f\u2060\ufeff]*")


def parse_verdict(
    spec: JudgeSpec, completion: Completion | str, *, earlier: Sequence[str] = (), items: Sequence[Item] = ()
) -> Parsed:
    """Read the verdict of one completion.

    Args:
        spec: The judge.
        completion: What came back; text alone where nothing else is known.
        earlier: Texts of earlier attempts at the same call, oldest first (one upstream parser reads them together).
        items: The items of a criteria judge (`auditkit.judging.render.items_of`).

    Returns:
        The verdict for the answer shown first; never raises for any text.
    """
    if isinstance(completion, str):
        completion = Completion(completion)
    known = COMPAT.get(spec.verdict.parser)
    if known is not None:
        return known(spec, completion, earlier)
    if spec.verdict.parser == "logprob":
        return _from_logprobs(spec, completion)
    if completion.finish == "length":
        return unparsed("the reply was cut off at the token limit")
    if _NOTHING.fullmatch(completion.text):
        why = f" (the call ended with {completion.finish!r})" if completion.finish not in ("", "stop") else ""
        return unparsed(f"the reply is empty{why}")
    if len(completion.text) > _LONGEST:
        return unparsed(f"a reply of {len(completion.text)} characters")
    if spec.verdict.parser == "json":
        return _from_json(spec, completion.text, items)
    return _from_final_line(spec, completion.text)


@lru_cache(maxsize=4096)  # one for each prompt where labels carry a nonce
def _written(pattern: str) -> re.Pattern[str] | None:
    before, after = (part.strip() for part in pattern.split("{label}"))
    if not before and not after:
        return None
    inner = f"[^{re.escape(after[0])}]{{0,{_LONGEST_LABEL}}}?" if after else rf"\S{{1,{_LONGEST_LABEL}}}"
    return re.compile(re.escape(before) + f"({inner})" + re.escape(after))


def _from_final_line(spec: JudgeSpec, text: str) -> Parsed:
    verdict = spec.verdict
    line = next(line for line in reversed(text.split("\n")) if not _NOTHING.fullmatch(line))
    pattern = _written(verdict.written)
    found = [line.strip()] if pattern is None else [hit.strip() for hit in pattern.findall(line)]
    if not verdict.written.partition("{label}")[2].strip():
        found = [x if x in verdict.labels else x.strip(_DECORATION) for x in found]
    if not found:
        return unparsed("no verdict on the final line")
    if len(found) > 1:
        return unparsed(f"{len(found)} verdicts on the final line")
    if verdict.scale is None:
        return labelled(found[0], verdict.labels)
    if not _NUMBER.fullmatch(found[0]):
        return unparsed("the verdict is not a number", label=found[0][:40])
    return scored(float(found[0]), found[0], verdict.scale)


# --- JSON -----------------------------------------------------------------------------------------------------------


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _refuse(token: str) -> float:
    raise ValueError(f"{token} is not JSON")


def _from_json(spec: JudgeSpec, text: str, items: Sequence[Item]) -> Parsed:
    body = text.strip()
    fenced = _FENCE.fullmatch(body)
    try:
        reply = json.loads(fenced[1] if fenced else body, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return unparsed("the reply is not one JSON object")
    if not isinstance(reply, dict):
        return unparsed("the reply is not one JSON object")
    value = reply.get(spec.verdict.field)
    if spec.mode == "criteria":
        return _criteria(spec, value, items or spec.items)
    if spec.verdict.scale is not None:
        number = _as_number(value)
        if number is None:
            return unparsed(f"{spec.verdict.field!r} is not a number")
        return scored(number, str(value)[:40], spec.verdict.scale)
    if not isinstance(value, str):
        return unparsed(f"{spec.verdict.field!r} is missing or not text")
    return labelled(value.strip(), spec.verdict.labels)


def _as_number(value: object) -> float | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9:
        return float(value)
    return None


def _criteria(spec: JudgeSpec, value: object, items: Sequence[Item]) -> Parsed:
    """Return the weighted mean of the criteria's scores, computed here: a judge's own arithmetic is not used."""
    if not isinstance(value, dict):
        return unparsed(f"{spec.verdict.field!r} is missing or not an object")
    low, high = spec.verdict.scale or (0.0, 1.0)
    parts = []
    for item in items:
        number = _as_number(value.get(item.id))
        if number is None or not low <= number <= high:
            return unparsed(f"criterion {item.id!r} has no score from {low:g} to {high:g}")
        parts.append((item.id, number))
    if not parts or len(value) != len(parts):
        return unparsed("scores for criteria that were not asked about")
    turned = [
        (low + high - x if i.polarity == "against" else x, i.weight) for (_, x), i in zip(parts, items, strict=True)
    ]
    score = sum(x * w for x, w in turned) / sum(w for _, w in turned)
    return Parsed(True, f"{score:g}", score=score, low=score, high=score, parts=tuple(parts))


# --- log-probabilities ----------------------------------------------------------------------------------------------


def _from_logprobs(spec: JudgeSpec, completion: Completion) -> Parsed:
    """Compare two labels by the probability of their token, the first that is not blank.

    Variants of a label that differ in blanks count together. A label that is not among the tokens that the provider
    lists is at most as likely as the least likely of those, and as what is left of 1: the outcome reported is the end
    of that interval which is nearer to a half, and it is marked as a bound. Neither listed: no verdict.
    """
    labels, tokens = spec.verdict.labels, completion.logprobs or ()
    token = next((t for t in tokens if t.token.strip()), tokens[0] if tokens else None)
    if token is None:
        return unparsed("no log-probabilities came back", retry=False)
    top = {token.token: token.logprob} | dict(token.top)
    if any(math.isnan(x) or x > 1e-3 for x in top.values()):
        return unparsed("a log-probability above 0, or not a number")
    listed: dict[str, float] = {}
    for text, logprob in top.items():
        label = text.strip()
        if label in labels and logprob > -math.inf:
            listed[label] = _log_sum(listed[label], logprob) if label in listed else logprob
    first = next(label for label, meaning in labels.items() if meaning.outcome == 1.0)
    second = next(label for label in labels if label != first)
    if not listed:
        return unparsed(f"neither {first!r} nor {second!r} among the {len(top)} likeliest tokens")
    rest = 1.0 - sum(math.exp(x) for x in top.values())
    low, high = label_interval(listed.get(first), listed.get(second), [math.exp(x) for _, x in token.top], rest)
    outcome = min(max(0.5, low), high)
    label = max(listed, key=lambda x: listed[x])
    missing = [x for x in (first, second) if x not in listed]
    reason = f"{missing[0]!r} is not among the {len(top)} likeliest tokens: the outcome is a bound" if missing else ""
    return Parsed(True, label, outcome=outcome, weight=labels[label].weight, low=low, high=high, reason=reason)


def _log_sum(a: float, b: float) -> float:
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))


# --- several verdicts, one answer -----------------------------------------------------------------------------------


def combine(spec: JudgeSpec, verdicts: Sequence[Parsed], items: Sequence[Item]) -> Parsed:
    """Return the score of an answer from its items' verdicts: the weighted share that speaks for it, 0..1.

    Args:
        spec: A checklist or principles judge.
        verdicts: One verdict an item.
        items: The items, in the same order.

    Returns:
        The score. If an item has no verdict there is none; `low` and `high` then bound it (item lost, item won).
    """
    if len(verdicts) != len(items) or not items:
        raise ValueError(f"{len(verdicts)} verdicts for {len(items)} items")
    total = sum(item.weight for item in items)
    low = high = 0.0
    parts = []
    for item, verdict in zip(items, verdicts, strict=True):
        ends = (verdict.low, verdict.high) if verdict.parsed else (0.0, 1.0)
        if item.polarity == "against":
            ends = (1.0 - ends[1], 1.0 - ends[0])
        low, high = low + item.weight * ends[0] / total, high + item.weight * ends[1] / total
        parts.append((item.id, verdict.outcome))
    missing = [item.id for item, verdict in zip(items, verdicts, strict=True) if not verdict.parsed]
    if missing:
        reason = f"no verdict on {len(missing)} of {len(items)} items"
        return Parsed(False, reason=reason, low=low, high=high, parts=tuple(parts))
    shares = [1.0 - x if i.polarity == "against" else x for (_, x), i in zip(parts, items, strict=True)]
    score = sum(x * i.weight for x, i in zip(shares, items, strict=True)) / total
    if not any(verdict.bound for verdict in verdicts):
        low = high = score
    return Parsed(True, f"{score:g}", score=score, low=low, high=high, parts=tuple(parts))
