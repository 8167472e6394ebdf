"""Read verdicts as the benchmarks' own harnesses do, quirks included.

==============  ====================================================================================================
``ah_v01``      all labels in double brackets; one distinct label, or none. Attempts are read together.
``ah_v2``       upper-cased; double brackets, else single ones; the last match
``mt_pair``     ``[[A]]`` anywhere, else ``[[B]]``, else ``[[C]]``
``mt_single``   first number in double brackets, else in single ones; any size
``wb_json``     the JSON field, else the first ``"field": "…"`` in the text
``ae_logprob``  ratio of two tokens' probabilities; a token that is not listed counts as impossible
``ae_ranking``  the rank of the first model in a function call's arguments
==============  ====================================================================================================
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from auditkit.judging.calls import Completion
from auditkit.judging.parsed import Parsed, labelled, scored, unparsed
from auditkit.judging.spec import JudgeSpec

__all__ = ["COMPAT", "label_interval"]

DOUBLE: Final = r"\[\[([AB<>=]+)\]\]"
SINGLE: Final = r"\[([AB<>=]+)\]"
# The same language as upstream's ``\\d+\\.?\\d*``, which is quadratic on a long run of digits.
_NUMBERS: Final = (re.compile(r"\[\[(\d+(?:\.\d*)?)\]\]"), re.compile(r"\[(\d+(?:\.\d*)?)\]"))
_FENCED: Final = re.compile(r"```json(.*?)```", re.DOTALL)


def _ah_v01(spec: JudgeSpec, completion: Completion, earlier: Sequence[str]) -> Parsed:
    judgment = "".join(f"\n{text}" for text in (*earlier, completion.text))
    found = re.findall((spec.verdict.patterns or (DOUBLE,))[0], judgment)
    labels = {label for label in found if label}
    if not labels:
        return unparsed("no label")
    if len(labels) > 1:
        return unparsed("more than one label: Arena-Hard v0.1 neither counts the game nor tries again", retry=False)
    return labelled(labels.pop().strip("\n"), spec.verdict.labels, retry=False)


def _ah_v2(spec: JudgeSpec, completion: Completion, earlier: Sequence[str]) -> Parsed:
    for pattern in spec.verdict.patterns or (DOUBLE, SINGLE):
        found = [label for label in re.findall(pattern, completion.text.upper()) if label]
        if found:
            label = found[-1].strip("\n")
            return labelled(
                label, spec.verdict.labels, retry=False,
                reason=f"unknown label {label[:40]!r}: Arena-Hard v2.0's own scoring stops here",
            )  # fmt: skip
    return unparsed("no label", retry=False)


def _mt_pair(spec: JudgeSpec, completion: Completion, earlier: Sequence[str]) -> Parsed:
    for label in ("A", "B", "C"):
        if f"[[{label}]]" in completion.text:
            return labelled(label, spec.verdict.labels, retry=False)
    return unparsed("no label", retry=False)


def _mt_single(spec: JudgeSpec, completion: Completion, earlier: Sequence[str]) -> Parsed:
    for pattern in _NUMBERS:
        hit = pattern.search(completion.text)
        if hit:
            try:
                return scored(float(ast.literal_eval(hit[1])), hit[1][:40], None)
            except (SyntaxError, ValueError, OverflowError, MemoryError):
                return unparsed("a number that FastChat's own code stops at", label=hit[1][:40], retry=False)
    return unparsed("no rating", retry=False)


def _wb_json(spec: JudgeSpec, completion: Completion, earlier: Sequence[str]) -> Parsed:
    text, field = completion.text.strip(), spec.verdict.field
    try:
        reply: object = json.loads(text)
    except (ValueError, RecursionError):
        hit = re.search(rf'"{re.escape(field)}"\s*:\s*"([^"]*?)"', text)
        reply = {field: hit[1]} if hit else {}
    value = reply.get(field) if isinstance(reply, dict) else None
    if spec.pairwise:
        if not isinstance(value, str):
            return unparsed(f"no {field!r}", retry=False)
        return labelled(value, spec.verdict.labels, retry=False)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return unparsed(f"no {field!r}", retry=False)
    try:
        return scored(float(value), str(value)[:40], None)
    except (ValueError, OverflowError):
        return unparsed(f"{field!r} is not a number", label=str(value)[:40], retry=False)


def label_interval(
    first: float | None, second: float | None, listed: Sequence[float], rest: float
) -> tuple[float, float]:
    """Return the interval that surely holds P(first) / (P(first) + P(second)).

    Args:
        first: Log-probability of the first label; None if it is not listed.
        second: The same of the second. Not both may be None.
        listed: Probabilities of the tokens that the provider lists: no other token is likelier than the least of them.
        rest: Probability that is left for tokens that are not listed.

    Returns:
        Lowest and highest value; equal where both labels are listed.
    """
    if first is not None and second is not None:
        gap = second - first
        share = 1.0 / (1.0 + math.exp(gap)) if gap < 700 else 0.0
        return share, share
    known = math.exp(first if first is not None else second or 0.0)
    unseen = max(0.0, min(min(listed, default=1.0), rest))
    near = known / (known + unseen) if known > 0 else 0.5
    return (near, 1.0) if first is not None else (0.0, 1.0 - near)


def _ae_logprob(spec: JudgeSpec, completion: Completion, earlier: Sequence[str]) -> Parsed:
    tokens, labels = completion.logprobs, spec.verdict.labels
    if not tokens:
        return unparsed("no log-probabilities came back", retry=False)
    top = dict(tokens[0].top)
    if any(math.isnan(x) or x > 1e-3 for x in top.values()):
        return unparsed("a log-probability above 0, or not a number", retry=False)
    first = next(label for label, meaning in labels.items() if meaning.outcome == 1.0)
    second = next(label for label in labels if label != first)
    a, b = top.get(first), top.get(second)
    if (a is None or a == -math.inf) and (b is None or b == -math.inf):
        return unparsed(f"neither {first!r} nor {second!r} among the {len(top)} likeliest tokens", retry=False)
    every = [math.exp(x) for x in top.values()]
    low, high = label_interval(a, b, every, 1.0 - sum(every))
    outcome, reason = low, ""
    if a is None or b is None:
        missing, outcome = (first, 0.0) if a is None else (second, 1.0)
        reason = f"{missing!r} is not among the {len(top)} likeliest tokens: AlpacaEval takes it as impossible"
    likelier = a is not None and (b is None or a > b)
    if spec.verdict.binarize:
        outcome = low = high = float(likelier)
    return Parsed(True, first if likelier else second, outcome=outcome, low=low, high=high, reason=reason)


def _ae_ranking(spec: JudgeSpec, completion: Completion, earlier: Sequence[str]) -> Parsed:
    text, labels = completion.text, spec.verdict.labels
    if "```json" in text:
        hit = _FENCED.search(text)
        text = hit[1] if hit else ""
    first = next(label for label, meaning in labels.items() if meaning.outcome == 1.0)
    second = next(label for label in labels if label != first)
    try:
        ranked = json.loads(text)[spec.verdict.field]
        rank = next(entry for entry in ranked if entry["model"] == first)["rank"]
    except (ValueError, RecursionError, LookupError, TypeError, StopIteration):
        return unparsed("no ranking", retry=False)
    if rank not in (1, 2):
        return unparsed("a rank other than 1 and 2", label=str(rank)[:40], retry=False)
    return labelled(first if rank == 1 else second, labels, retry=False)


#: Upstream parser by name: judge, completion and the texts of earlier attempts in, verdict out.
COMPAT: Final[Mapping[str, Callable[[JudgeSpec, Completion, Sequence[str]], Parsed]]] = {
    "ae_logprob": _ae_logprob,
    "ae_ranking": _ae_ranking,
    "ah_v01": _ah_v01,
    "ah_v2": _ah_v2,
    "mt_pair": _mt_pair,
    "mt_single": _mt_single,
    "wb_json": _wb_json,
}
