"""The client ``simulated``: judges and a writer whose behaviour is planted, for tests of whole runs and power analysis.

The model's name holds the parameters::

    simulated/biased?position=0.4&length=0.3&seed=1     a judge (auditkit.judging.simulated_judges)
    simulated/honest?judge=./my-judge.toml              … of prompts of a judge that is not installed
    simulated/writer?skill=0.8&words=120&seed=2         a model that answers (auditkit.judging.simulated_writer)

A judge reads the finished prompt and replies in the words that the prompt asks for, so that rendering, engine and
parsing are the real ones. Whatever comes back says ``simulated/…`` where a provider names the model that served it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from auditkit.errors import AuditkitError, UsageError, printable
from auditkit.judging.calls import Completion, Rejected, Request, TokenLogprob, Usage
from auditkit.judging.clients import TIMEOUT
from auditkit.judging.simulated_judges import JUDGES, SimulatedJudge, draw
from auditkit.judging.simulated_reading import Read, Reader
from auditkit.judging.simulated_writer import SimulatedWriter
from auditkit.judging.spec import JudgeSpec, judge_names, load_judge

__all__ = ["SimulatedClient", "make", "reply_of"]

T = TypeVar("T", SimulatedJudge, SimulatedWriter)

_FILLERS: Final = tuple(f" word{i}" for i in range(40))
_STRAY: Final = 0.01  # probability of all tokens that are no label
_TOP: Final = 20
_BOUNDS: Final = {
    "p": (0.0, 1.0),
    "rate": (0.0, 1.0),
    "skill": (0.0, 1.0),
    "markdown": (0.0, 1.0),
    "words": (1, 20_000),
}


# --- names and parameters -------------------------------------------------------------------------------------------


def _made(kind: type[T], given: dict[str, str], where: str) -> T:
    known = {field.name.rstrip("_"): field for field in fields(kind)}
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise UsageError(
            f"{where}: unknown parameter {printable(unknown[0])!r} (there are: {', '.join(sorted(known))})"
        )
    values: dict[str, Any] = {}
    for name, text in given.items():
        field = known[name]
        if field.type == "str":
            values[field.name] = text
            continue
        try:
            value = int(text) if field.type == "int" else float(text)
        except ValueError:
            value = math.nan
        low, high = _BOUNDS.get(name, (0, 2**63) if field.type == "int" else (-1e6, 1e6))
        if name == "noise":
            low, high = 1e-6, 1e6
        if not low <= value <= high:
            expected = f"a {'whole ' if field.type == 'int' else ''}number from {low:g} to {high:g}"
            raise UsageError(f"{where}: parameter {name} must be {expected}, not {printable(text, 40)!r}")
        values[field.name] = value
    return kind(**values)


@lru_cache(maxsize=256)
def _parsed(model: str) -> tuple[SimulatedJudge | SimulatedWriter, str]:
    """Return who a model's name asks for, and the judge that it names ("" for any that is installed)."""
    where = printable(model)
    name, _, query = model.partition("/")[2].partition("?")
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=32) if query.count("&") < 32 else [("&", "")]
    given = dict(pairs)
    if len(given) != len(pairs):
        raise UsageError(f"{where}: a parameter is given twice")
    if name == SimulatedWriter.name:
        return _made(SimulatedWriter, given, where), ""
    if name not in JUDGES:
        raise UsageError(
            f"{where}: unknown simulated model (there are: {', '.join(sorted([*JUDGES, SimulatedWriter.name]))})"
        )
    judge = given.pop("judge", "")
    return _made(JUDGES[name], given, where), judge


# --- replies --------------------------------------------------------------------------------------------------------


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _verdicts(spec: JudgeSpec) -> tuple[str, str]:
    """Return the labels for "the first wins" and "the second wins" (yes and no): the plainest, that weighs least."""
    labels = spec.verdict.labels
    best, worst = max(v.outcome for v in labels.values()), min(v.outcome for v in labels.values())
    return (
        min((k for k, v in labels.items() if v.outcome == best), key=lambda k: labels[k].weight),
        min((k for k, v in labels.items() if v.outcome == worst), key=lambda k: labels[k].weight),
    )


def _rating(spec: JudgeSpec, logit: float, u: float) -> int:
    low, high = spec.verdict.scale or (1.0, 10.0)
    return round(low + (high - low) * _sigmoid(logit + 0.5 * math.log(u / (1 - u))))


def _tokens(labels: tuple[str, str], p: float, u: float, most: int) -> TokenLogprob:
    """Return the one token of a reply: two labels share what is left by tokens that are none."""
    chances = dict(zip(labels, ((1 - _STRAY) * p, (1 - _STRAY) * (1 - p)), strict=True))
    chances |= {word: _STRAY * 0.5 ** (i + 1) for i, word in enumerate(_FILLERS)}
    listed = sorted(((token, math.log(x)) for token, x in chances.items() if x > 0), key=lambda pair: -pair[1])
    reached = accumulate(chances.values())
    token = next((token for token, total in zip(chances, reached, strict=True) if u < total), labels[0])
    return TokenLogprob(token, dict(listed).get(token, -1e3), tuple(listed[: min(most, _TOP)]))


def reply_of(judge: SimulatedJudge, read: Read, request: Request) -> Completion:
    """Return what a judge says of a prompt, in the form that the prompt's own judge reads.

    Args:
        judge: Who judges.
        read: What it has read.
        request: What it was sent; the draws depend on it.
    """
    spec, logit = read.spec, judge.logit(read, request)
    u = draw(judge.seed, request, "verdict")
    kind = spec.verdict.parser
    tokens: tuple[TokenLogprob, ...] | None = None
    if kind in ("logprob", "ae_logprob"):
        wanted = request.params.get("top_logprobs")
        first = next(k for k, v in spec.verdict.labels.items() if v.outcome == 1.0)
        second = next(k for k in spec.verdict.labels if k != first)
        token = _tokens((first, second), _sigmoid(logit), u, wanted if isinstance(wanted, int) else 0)
        text, tokens = token.token, (token,) if request.params.get("logprobs") else None
    elif spec.mode == "criteria":
        rated = {item.id: _rating(spec, logit, draw(judge.seed, request, item.id)) for item in read.items}
        text = json.dumps({spec.verdict.field: rated})
    elif spec.verdict.scale is not None or kind == "mt_single" or (kind == "wb_json" and not spec.pairwise):
        text = _worded(spec, str(_rating(spec, logit, u)))
    else:
        text = _worded(spec, _verdicts(spec)[u >= _sigmoid(logit)])
    return _marred(judge.fault(request), Completion(text, "stop", tokens), spec)


def _worded(spec: JudgeSpec, verdict: str) -> str:
    field = spec.verdict.field
    if spec.verdict.parser == "ae_ranking":
        first, second = _verdicts(spec)
        order = (first, second) if verdict == first else (second, first)
        return json.dumps({field: [{"model": model, "rank": rank} for rank, model in enumerate(order, 1)]})
    if spec.verdict.parser in ("json", "wb_json"):
        number = int(verdict) if verdict.isdecimal() and spec.verdict.parser == "json" else verdict
        return json.dumps({"findings": "Simulated: both were read.", field: number})
    return f"Simulated: what was shown has been read.\n{spec.verdict.written.replace('{label}', verdict)}"


def _marred(fault: str, said: Completion, spec: JudgeSpec) -> Completion:
    if fault == "refusal":
        return Completion("I cannot help with comparing these texts.", "refusal")
    if fault == "silence":
        return Completion("", "content_filter")
    if fault == "cut":
        return Completion("Simulated: what was shown has been", "length")
    if fault == "two":
        return Completion(f"{said.text} {said.text.splitlines()[-1]}", "stop")
    if fault == "unknown":
        return Completion(_worded(spec, "A?B") if spec.verdict.parser != "ae_ranking" else "{}", "stop")
    return said


# --- the client -----------------------------------------------------------------------------------------------------


class SimulatedClient:
    """Simulated models by name. It calls nobody and takes no time.

    Args:
        judges: The judges whose prompts are read; none: every judge that is installed.
    """

    def __init__(self, judges: Sequence[JudgeSpec] = ()) -> None:
        self._judges = tuple(judges)
        self._readers: dict[str, Reader] = {}

    async def complete(self, request: Request) -> Completion:
        """Answer a request, without calling anybody.

        Raises:
            UsageError: The model's name asks for nothing that there is.
            Rejected: The prompt is of none of the judges that it reads.
        """
        who, named = _parsed(request.model)
        if isinstance(who, SimulatedWriter):
            said = who.write(request)
        else:
            read = who.read(self._reader(named, request.model), request.messages)
            if read is None:
                raise Rejected(
                    f"{printable(request.model)}: a prompt of no judge that it reads "
                    "(name the judge's file: simulated/…?judge=FILE)"
                )
            said = reply_of(who, read, request)
            asked = sum(len(message.content.split()) for message in request.messages)
            said = replace(said, usage=Usage(asked, len(said.text.split()), 0))
        return replace(said, cost=0.0, served=f"simulated/{who.name}")

    async def close(self) -> None:
        """Nothing is held."""

    def _reader(self, named: str, model: str) -> Reader:
        if named not in self._readers:
            try:
                found = [load_judge(named)] if named else self._judges or [load_judge(name) for name in judge_names()]
            except AuditkitError as error:
                raise UsageError(f"{printable(model)}: {error}") from error
            self._readers[named] = Reader(found)
        return self._readers[named]


def make(*, base_url: str | None = None, timeout: float = TIMEOUT) -> SimulatedClient:
    """Make the client for simulated models.

    Raises:
        UsageError: An address is given.
    """
    if base_url is not None:
        raise UsageError("the client simulated calls nobody and takes no base_url")
    return SimulatedClient()
