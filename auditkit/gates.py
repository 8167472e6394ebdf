"""Harness gates as far as a recording can show them (H1-H12, the card's first line).

What needs the judge's template and parser is measured where the recording holds the judge's file, as a run folder does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from auditkit.errors import InputError, printable
from auditkit.records import Battles, Gate

__all__ = ["Check", "check_gates"]

#: Single-order recordings whose share of games with the model first leaves this range are unbalanced.
BALANCED: Final = (0.4, 0.6)
#: Coverage below this share of the benchmark's prompts fails gate H6.
COVERED: Final = 0.95


_MODEL: Final = re.compile(r"(?<!\S)[^\s(]*\((\S+)\)$")
#: Random cases of each gate that is tried on a recorded judge, beside the fixed ones.
CASES: Final = 100
#: Gates that need the judge's file, with what they need of it.
_OF_JUDGE: Final = {
    "H1": "non-interference: needs the judge's prompt template, which this recording does not hold",
    "H2": "delimiter round trip: needs the judge's prompt template",
    "H3": "verdict channel: needs the judge's parser",
    "H4": "verdict range: needs the judge's parser",
    "H12": "crash-freedom: needs the judge's parser",
}


@dataclass(frozen=True)
class Check:
    """A gate, and the models whose scores its failure touches (None: all of them)."""

    gate: Gate
    touches: frozenset[str] | None = None


def check_gates(battles: Battles) -> tuple[Check, ...]:
    """Check what a recording shows of each gate; what it cannot show is `not_measured`.

    H1-H4 and H12 need the judge's own template and parser: they are tried on the judge's file where the recording holds
    it (`Battles.judges`), with its verdicts counted by auditkit, and fail if they fail for any of its judges. H9 and H11 hold for auditkit's own numbers by
    construction: lengths are counted on the recorded answers, intervals are clustered by prompt.
    """
    of_judge = _of_judges(battles.judges)
    return (
        *(of_judge[gate] for gate in ("H1", "H2", "H3", "H4")),
        _missing(battles),
        _coverage(battles),
        _duplicates(battles),
        _orders(battles),
        _lengths(battles),
        _self_judging(battles),
        Check(Gate("H11", "pass", "proved", "every interval here is clustered by prompt; row-based ones are named as such")),
        of_judge["H12"],
    )  # fmt: skip


def _unmeasured(gate: str, why: str) -> Check:
    return Check(Gate(gate, "not_measured", "checked", why))


def _of_judges(files: Sequence[str]) -> dict[str, Check]:
    """Return the gates that need the judge's file: of several judges the worst."""
    if not files:
        return {gate: _unmeasured(gate, why) for gate, why in _OF_JUDGE.items()}
    from auditkit.attacks.gates import run_gates
    from auditkit.judging.spec import parse_judge

    tried: dict[str, list[Gate]] = {gate: [] for gate in _OF_JUDGE}
    for file in files:
        try:
            spec = parse_judge(file, "judge.toml")
        except InputError as error:  # written by another version
            return {gate: _unmeasured(gate, f"the recorded judge cannot be read: {error}") for gate in _OF_JUDGE}
        for result in run_gates(spec, cases=CASES, counted_here=True):
            if result.gate in tried:
                tried[result.gate].append(result.to_gate())
    worst = {"fail": 0, "not_measured": 1, "pass": 2}
    return {gate: Check(min(found, key=lambda g: worst[g.status])) for gate, found in tried.items()}


def _found(gate: str, status: Literal["pass", "fail"], evidence: str, touches: frozenset[str] | None = None) -> Check:
    return Check(Gate(gate, status, "checked", evidence), touches)


def _missing(battles: Battles) -> Check:
    unparsed = int(battles.games["outcome"].isna().sum() + battles.ratings["score"].isna().sum())
    total = len(battles.games) + len(battles.ratings)
    if not total:
        return _unmeasured("H5", "missing is loss: only counts are recorded")
    return _found(
        "H5", "pass", f"{unparsed} of {total} games without a verdict, all counted and bounded, none dropped silently"
    )


def _coverage(battles: Battles) -> Check:
    expected = battles.benchmark.expected
    if not expected:
        return _unmeasured("H6", "coverage: the benchmark's number of prompts is unknown")
    seen = battles.games[["model", "prompt_id"]].drop_duplicates().groupby("model").size()
    rated = battles.ratings[["model", "prompt_id"]].drop_duplicates().groupby("model").size()
    have = seen.combine(rated, max, fill_value=0)
    have = have[have.index.isin(battles.models)]
    if have.empty:
        return _unmeasured("H6", "coverage: only counts are recorded")
    short = have[have < expected]
    low = have[have < COVERED * expected]
    if len(low):
        names = ", ".join(f"{printable(m, 40)} ({int(k)} of {expected})" for m, k in low.iloc[:5].items())
        return _found(
            "H6", "fail", f"less than {COVERED:.0%} covered by {len(low)} of {len(have)}: {names}", frozenset(low.index)
        )
    detail = f"; {len(short)} miss a few (least: {int(short.min())})" if len(short) else ""
    return _found(
        "H6", "pass", f"at least {COVERED:.0%} of {expected} prompts covered by every submission ({len(have)}){detail}"
    )


def _duplicates(battles: Battles) -> Check:
    if not (len(battles.games) or len(battles.ratings)):
        return _unmeasured("H7", "duplicates: only counts are recorded")
    count = int((battles.dropped["reason"] == "duplicate").sum())
    key = ["prompt_id", "model", "opponent", "judge", "order", "variant", "turn"]
    again = int(battles.games.duplicated(key).sum())
    text = f"{count} duplicate rows left out, the first of each kept" if count else "no duplicate row was left out"
    if again:
        text += f"; {again} games repeat a prompt, pair, judge and order: each counts, and intervals cluster them"
    return _found("H7", "pass", text)


def _orders(battles: Battles) -> Check:
    games = battles.games
    known = games[games["order"] != "unknown"]
    if known.empty:
        return _unmeasured("H8", "order balance: the order of the answers is not recorded")
    keys = ["model", "opponent", "prompt_id", "judge", "turn"]
    both = known.groupby(keys, sort=False)["order"].nunique()
    paired = float((both == 2).mean())
    if paired >= COVERED:
        return _found("H8", "pass", f"{paired:.1%} of the pairs were judged in both orders")
    if not battles.benchmark.baselines:
        return _orders_of_all(battles)
    share = float((known["order"] == "model_first").mean())
    text = f"each pair was judged in one order; {share:.1%} of the games show the model first"
    balanced = BALANCED[0] <= share <= BALANCED[1]
    return _found("H8", "pass" if balanced else "fail", text)


def _orders_of_all(battles: Battles) -> Check:
    """Ask of each model where all meet all how often it was shown first: a row there belongs to two models."""
    uneven: dict[str, float] = {}
    for model in battles.models:
        order = battles.games_of(model)["order"]
        order = order[order != "unknown"]
        share = float((order == "model_first").mean()) if len(order) else 0.5
        if not BALANCED[0] <= share <= BALANCED[1]:
            uneven[model] = share
    text = "each pair was judged in one order; "
    if not uneven:
        low, high = (f"{bound:.0%}" for bound in BALANCED)
        return _found("H8", "pass", f"{text}every model is shown first in {low} to {high} of its games")
    names = ", ".join(f"{printable(m, 40)} ({share:.1%})" for m, share in list(uneven.items())[:5])
    text += f"not shown first in about half of their games: {names}"
    return _found("H8", "fail", text, frozenset(uneven))


def _lengths(battles: Battles) -> Check:
    if battles.answers.empty:
        return _unmeasured("H9", "length on raw text: no answers are recorded")
    return Check(
        Gate("H9", "pass", "proved", "lengths and style are counted on the recorded answers, never read from metadata")
    )


def _self_judging(battles: Battles) -> Check:
    named = {str(j) for j in (*battles.games["judge"].unique(), *battles.ratings["judge"].unique()) if j}
    # A run of auditkit names protocol and model: "arena-hard-v2.0 (openai/gpt-4.1)".
    models = {hit[1] for judge in named if (hit := _MODEL.search(judge))}
    judges = {_plain(j) for j in (*named, *models, *(model.rpartition("/")[2] for model in models))}
    if not judges:
        return _unmeasured("H10", "self-judging: the judge is not recorded")
    own = frozenset(m for m in battles.models if _plain(m) in judges)
    if own:
        return _found("H10", "fail", f"judged by itself: {', '.join(printable(m, 40) for m in sorted(own))}", own)
    return _found("H10", "pass", "no submission carries the judge's name")


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
