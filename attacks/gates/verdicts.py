"""Gates on how a reply is read: H3 verdict channel, H4 range and labels, H5 missing verdicts, H12 crash-freedom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from auditkit.attacks.gates.fuzz import fuzz
from auditkit.attacks.gates.replies import NEUTRAL, Frame, Reader, bad_values, frames, verdict_pieces, with_value
from auditkit.attacks.gates.results import Counterexample, GateResult, fails, passes, quoted, unmeasured
from auditkit.judging.calls import Completion, TokenLogprob
from auditkit.judging.parse import combine
from auditkit.judging.parsed import Parsed
from auditkit.judging.render import items_of
from auditkit.judging.spec import JudgeSpec

__all__ = ["channel", "crashes", "missing", "values"]

_OURS: Final = ("labels", "json", "logprob")
_CHANNEL: Final = {
    "labels": "the label is looked for on the last line alone: what stands before it is never searched",
    "json": "the reply must be one JSON object and the verdict is the value of one field: other text is never searched",
    "logprob": "the verdict is computed from the first token's log-probabilities: the text is never read",
    "ae_logprob": "the verdict is computed from the first token's log-probabilities: the text is never read",
}
_LOOKED_UP: Final = (
    "a verdict leaves the parser only through a look-up among the judge's labels or a check of its scale; anything else is no "
    "verdict"
)
_STRICT: Final = (
    'read the reply here: `auditkit judges import … --hardened`, or parser = "labels" (one label on the final line) or '
    '"json" (one object, nothing around it)'
)
_DROPPED: Final = {
    "drop_game": "a game without a verdict is left out of the score",
    "drop_pair": "a game without a verdict is left out of the score, and the pair's other game with it",
}
_RATIO: Final = (
    "a verdict is a ratio of two labels' probabilities, which lies from 0 to 1; what is no log-probability is refused"
)
_NONE: Final = "no verdict"
_UNREADABLE: Final = (
    "", " \n ", "I cannot decide.", "I'm sorry, but I can't help with that.", "Both answers are good.", "[", "[[", "[[]]",
    "[[?]]", "{", "{}", "[]", "null", "```json\n```", "N/A", "As an AI model, I have no opinion. [[", "The reply was cut of",
)  # fmt: skip

_COUNTED: Final = "every reply tried gave a verdict that can be counted, or none with a reason"
_HEAVY: Final = ("[" * 5000, '{"a":' * 3000, "9" * 5000, "[[" + "9" * 400 + "]]", "[[01]]")


def _said(verdict: Parsed) -> str:
    if not verdict.parsed:
        return _NONE
    if math.isfinite(verdict.score):
        return f"the score {verdict.score:g}"
    return f"the verdict {quoted(verdict.label, 40)} (outcome {verdict.outcome:g})"


def _key(reader: Reader, verdict: Parsed) -> tuple[object, ...]:
    """Return what a score is computed from."""
    if not verdict.parsed:
        return (_NONE, verdict.label if reader.stops(verdict) else "")
    score, outcome = (None if math.isnan(x) else x for x in (verdict.score, verdict.outcome))
    return (verdict.label, score, outcome, verdict.weight, verdict.parts)


# --- H3 -------------------------------------------------------------------------------------------------------------


def channel(reader: Reader, cases: int, seed: int) -> GateResult:
    """H3: the verdict is a function of the final channel alone; a verdict quoted before it changes nothing.

    Every kind of reply that the parser reads is given once with a quotation and once with a harmless sentence.

    Source: specification D.3; F-04a to F-04d.
    """
    known = frames(reader)
    if not known:
        return unmeasured("H3", "no way of writing a verdict is known that the judge's parser reads")
    plain = {frame: _key(reader, reader.read(frame.build(NEUTRAL))) for frame in known}

    def changed(frame: Frame, quote: str) -> bool:
        return bool(quote.strip()) and _key(reader, reader.read(frame.build(quote))) != plain[frame]

    def flipped(frame: Frame, quote: str) -> bool:
        return changed(frame, quote) and reader.read(frame.build(quote)).parsed and plain[frame][0] != _NONE

    pieces = verdict_pieces(reader)
    found = fuzz(known, pieces, changed, cases=cases, seed=seed, name="H3")
    if found.smallest is None:
        argument = _CHANNEL.get(reader.spec.verdict.parser)
        if argument:
            return passes("H3", "proved", argument, cases=found.cases)
        return passes("H3", "fuzzed", "no quotation tried before the verdict changed it", cases=found.cases)
    # A quotation that turns one verdict into another tells more than one that makes it unreadable.
    frame, quote = fuzz(known, pieces, flipped, cases=0, seed=seed, name="H3").smallest or found.smallest
    verdict = reader.read(frame.build(quote))
    example = Counterexample(
        (("the judge's reply", frame.build(quote).text),),
        f"{_said(reader.read(frame.build(NEUTRAL)))}, as the reply ends",
        f"{_said(verdict)}, because the reply quotes {quoted(quote, 60)} first",
    )
    said = (
        f"a verdict that the judge merely quotes counts: {found.failures} of {found.cases} quotations tried changed what "
        "was read"
    )
    return fails("H3", "fuzzed", said, _STRICT, example, cases=found.cases, failures=found.failures)


# --- H4 -------------------------------------------------------------------------------------------------------------


def _outside(reader: Reader, verdict: Parsed) -> bool:
    """Tell whether something counts as a verdict that the judge does not have."""
    known, scale = reader.spec.verdict.labels, reader.spec.verdict.scale
    if not verdict.parsed:
        return scale is None and bool(reader.stops(verdict))
    if scale is not None:
        return not scale[0] <= verdict.score <= scale[1]
    return verdict.label not in known or not 0.0 <= verdict.outcome <= 1.0


def values(reader: Reader, cases: int, seed: int) -> GateResult:
    """H4: numbers outside the scale, labels that are not in the list and citations are no verdicts.

    Source: specification D.3; F-04a (FastChat takes ``[[1000]]``, and a citation ``[7]`` for a rating), F-06.
    """
    spec = reader.spec
    if spec.verdict.parser in ("logprob", "ae_logprob"):
        return _probabilities(reader, cases, seed)
    replies = [text for value in bad_values(spec) for text in with_value(reader, value)]
    found = fuzz([reader], replies, lambda r, text: _outside(r, r.read(text)), cases=cases, seed=seed, name="H4")
    # A citation's number may lie on the scale: it is still none of the judge's verdicts.
    cited = [f"Both rest on source [{x:g}]." for x in spec.verdict.scale or ()]
    caught = [text for text in cited if reader.read(text).parsed]
    total, failures = found.cases + len(cited), found.failures + len(caught)
    if not failures:
        if spec.verdict.parser in _OURS:
            return passes("H4", "proved", _LOOKED_UP, cases=total)
        return passes("H4", "fuzzed", "nothing outside the labels or the scale counted", cases=total)
    text = found.smallest[1] if found.smallest is not None else caught[0]
    verdict = reader.read(text)
    got = _said(verdict) if verdict.parsed else f"the label {quoted(verdict.label, 40)} is handed on as a verdict"
    example = Counterexample((("the judge's reply", text),), _NONE, got)
    what = "a label" if spec.verdict.scale is None else "a number"
    said = f"{what} that is none of the judge's counts as a verdict: {failures} of {total} replies tried"
    return fails("H4", "fuzzed", said, _mend_values(spec), example, cases=total, failures=failures)


def _mend_values(spec: JudgeSpec) -> str:
    if spec.verdict.parser == "labels":
        return 'write the verdict so that no citation looks like it: written = "[[{label}]]"'
    return f"{_STRICT}: labels are looked up, numbers checked against the scale"


def _completion(spec: JudgeSpec, logprobs: tuple[float, float], text: str) -> Completion:
    first, second = spec.verdict.labels
    top = ((first, logprobs[0]), (text, -3.0), (second, logprobs[1]))
    return Completion(text, "", (TokenLogprob(text, logprobs[0], top),))


def _probabilities(reader: Reader, cases: int, seed: int) -> GateResult:
    """Try log-probabilities that are none, tokens that are no label, and labels that are not listed."""
    spec = reader.spec
    nan, inf = float("nan"), float("inf")
    odd = [(nan, -1.0), (-1.0, nan), (5.0, -1.0), (inf, -1.0), (-inf, -inf), (-900.0, -1.0), (-0.1, -inf), (-0.5, -0.9)]

    def wrong(pair: tuple[float, float], text: str) -> bool:
        return _outside(reader, reader.read(_completion(spec, pair, text)))

    found = fuzz(odd, verdict_pieces(reader), wrong, cases=cases, seed=seed, name="H4")
    if found.smallest is None:
        return passes("H4", "proved", _RATIO, cases=found.cases)
    pair, text = found.smallest
    verdict = reader.read(_completion(spec, pair, text))
    example = Counterexample(
        (("the first token", text), ("the labels' log-probabilities", f"{pair[0]:g}, {pair[1]:g}")),
        "no verdict, or an outcome from 0 to 1", _said(verdict),
    )  # fmt: skip
    return fails(
        "H4", "fuzzed", "log-probabilities that are none count as a verdict", _STRICT, example, cases=found.cases,
        failures=found.failures,
    )  # fmt: skip


# --- H5 -------------------------------------------------------------------------------------------------------------


def missing(reader: Reader) -> GateResult:
    """H5: a reply that cannot be read is no verdict, and a game without one is not silently left out.

    The first half is fuzzed with replies that say nothing. The second is the file's `missing` for a judge that renders
    and reads as upstream does: it is that harness that is tested. For a judge that is rendered and read here, it is
    auditkit's own score, which keeps such games, counts them and is bounded by all of them lost and all of them won.

    Source: specification D.3; F-05, F-04f (garak counts an unreadable reply as one pole).
    """
    spec = reader.spec
    known = [text for text in _UNREADABLE if not (text and text in spec.verdict.labels)]
    taken = [text for text in known if reader.read(Completion(text)).parsed]
    if taken:
        verdict = reader.read(Completion(taken[0]))
        example = Counterexample((("the judge's reply", taken[0]),), _NONE, _said(verdict))
        return fails(
            "H5", "fuzzed", f"a reply that says nothing counts as a verdict: {len(taken)} of {len(known)} tried",
            _STRICT, example, cases=len(known), failures=len(taken),
        )  # fmt: skip
    if spec.rendering == "jinja":
        said = (
            "a game without a verdict stays in the record, is counted, and bounds the score: all of them lost, all won"
        )
        if spec.missing in _DROPPED:
            said += f". The published score leaves it out (missing = {spec.missing}); auditkit's does not"
        return passes("H5", "checked", said, cases=len(known))
    if spec.missing not in _DROPPED:
        how = "counts as zero" if spec.missing == "count_as_zero" else "bounds the score"
        return passes("H5", "checked", f"a game without a verdict {how}", cases=len(known))
    unread = known[2]
    example = Counterexample(
        (("the judge's reply", unread),),
        "a loss, or a game that is counted and bounds the score",
        "a mean over the games that are left: whoever makes the judge refuse or ramble on prompts it would lose gains",
    )
    said = f"{_DROPPED[spec.missing]} (missing = {spec.missing})"
    if spec.verdict.parser == "ae_logprob":
        said += "; where one of two labels is not among the listed log-probabilities, it counts as impossible"
    mend = 'set missing = "bound" and score with auditkit, or count such games as lost'
    return fails("H5", "checked", said, mend, example, cases=len(known))


# --- H12 ------------------------------------------------------------------------------------------------------------


def _crash(reader: Reader, text: str) -> str:
    """Return how reading a reply, or counting what was read, stops or gives what no score can use; "" if it does not."""
    spec = reader.spec
    try:
        verdicts = [reader.read(completion) for completion in _completions(spec, text)]
        for verdict in verdicts:
            if stopped := reader.stops(verdict):
                return stopped
            if broken := _unusable(spec, verdict):
                return broken
        if spec.mode in ("checklist", "principles"):
            items = items_of(spec, ("one", "two"))
            combine(spec, [verdicts[0]] * len(items), items)
    except Exception as error:  # noqa: BLE001  whatever it raises is what the gate looks for
        return f"{type(error).__name__}: {error}"
    return ""


def _completions(spec: JudgeSpec, text: str) -> Sequence[Completion]:
    if spec.verdict.parser not in ("logprob", "ae_logprob"):
        return Completion(text), Completion(text, "length")
    first, second = spec.verdict.labels
    nan, least = float("nan"), float("-inf")
    listed = ((text, -0.2), (first, -1.0), (second, least), (f" {first}", -2.0))
    tokens = [TokenLogprob(text, -0.2, listed), TokenLogprob(text, nan, ((text, nan),)), TokenLogprob(text, 3.0)]
    return Completion(text), Completion(text, "", ()), *(Completion(text, "", (token,)) for token in tokens)


def _unusable(spec: JudgeSpec, verdict: Parsed) -> str:
    if not verdict.parsed:
        return "" if verdict.reason else "no verdict, and no reason why"
    value = verdict.score if spec.mode in ("single", "criteria") else verdict.outcome
    if not math.isfinite(value) or not math.isfinite(verdict.weight):
        return f"a verdict with the value {value:g} and the weight {verdict.weight:g}"
    return ""


def crashes(reader: Reader, cases: int, seed: int) -> GateResult:
    """H12: no reply stops the parser, and every verdict that the parser gives can be counted.

    For a judge read as upstream does, the gate also follows the verdict to where upstream's code looks it up.

    Source: specification D.3; F-06 (one ``[A]`` in a reply ends Arena-Hard v2.0's scoring with a KeyError).
    """
    pieces = [*verdict_pieces(reader), *_UNREADABLE, *_HEAVY]
    pieces += [text for value in bad_values(reader.spec) for text in with_value(reader, value)]
    found = fuzz([reader], pieces, lambda r, text: bool(_crash(r, text)), cases=cases, seed=seed, name="H12")
    if found.smallest is None:
        return passes("H12", "fuzzed", _COUNTED, cases=found.cases)
    text = found.smallest[1]
    example = Counterexample(
        (("the judge's reply", text),), "a verdict that can be counted, or none with a reason", _crash(reader, text)
    )
    said = f"one reply stops the judging or the scoring: {found.failures} of {found.cases} replies tried"
    mend = f"{_STRICT}: an unknown label is then a game without a verdict"
    return fails("H12", "fuzzed", said, mend, example, cases=found.cases, failures=found.failures)
