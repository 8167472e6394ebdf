"""Gates on what is played and counted around the judge: H6 coverage, H7 duplicates, H8 orders, H10 and H11.

A judge file does not hold an aggregator. A judge that is rendered and read here is played and counted by auditkit,
so that is what is checked; of an imported judge only the order of the answers is in the file.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Final

from auditkit.attacks.gates.results import Counterexample, GateResult, fails, passes, quoted, unmeasured
from auditkit.judging.inputs import Answer, Prompt
from auditkit.judging.plan import Contest, plan
from auditkit.judging.protocol import orders
from auditkit.judging.spec import JudgeSpec

__all__ = ["clustering", "coverage", "duplicates", "order", "self_judging"]

_ELSEWHERE: Final = "upstream's aggregation is not in the judge file; an audit measures it on the results"
_REPORT: Final = "this is a fault of auditkit, not of the file: please report it"
_BOTH: Final = 'order = "both": each pair is played in both orders'


def _contest(spec: JudgeSpec) -> Contest:
    """Return a small contest: three prompts that the judge can show, and a model whose last answer is missing."""
    category = next((c for t in spec.templates for c in t.categories), "")
    prompts = tuple(
        Prompt(
            f"p{k}", (f"Question number {k}?",), category, checklist=("Is it right?",), reference=("An ideal answer.",)
        )
        for k in range(3)
    )
    answers = {
        "m": {p.id: Answer((f"An answer to {p.id}.",)) for p in prompts[:-1]},
        "b": {p.id: Answer((f"Another answer to {p.id}.",)) for p in prompts},
    }
    return Contest(spec, "client/judge", prompts, ("m",), {"*": "b"} if spec.pairwise else {}, answers)


def coverage(spec: JudgeSpec) -> GateResult:
    """H6: an answer that is missing is noticed, not passed over (specification D.3; V-01)."""
    if spec.rendering != "jinja":
        return unmeasured("H6", f"coverage: {_ELSEWHERE}")
    lacking: set[tuple[str, str]] = set()
    played = {task.prompt.id for task in plan(_contest(spec), missing=lacking)}
    if lacking == {("p2", "m")} and played == {"p0", "p1"}:
        said = "every prompt is played; a missing answer is listed, and an audit refuses less than 95% coverage"
        return passes("H6", "checked", said)
    said = f"of three prompts {len(played)} are played and {len(lacking)} listed as missing"
    return fails("H6", "checked", said, _REPORT)


def duplicates(spec: JudgeSpec) -> GateResult:
    """H7: no prompt is played or counted twice (specification D.3; V-02)."""
    if spec.rendering != "jinja":
        return unmeasured("H7", f"duplicates: {_ELSEWHERE}")
    contest = _contest(spec)
    keys = Counter(task.key(contest.judge_name) for task in plan(contest, missing=set()))
    if max(keys.values(), default=0) == 1:
        said = "every game has one key, made of prompt, models, order and turn: a second game of that key is not played"
        return passes("H7", "checked", said)
    return fails("H7", "checked", "two games share a key", _REPORT)


def order(spec: JudgeSpec, prompts: Sequence[Prompt], cases: int) -> GateResult:
    """H8: both orders are played, or nobody without a secret can know which answer is shown first.

    A rule that depends on the prompt alone is a predictor: it is run, and compared with what the protocol plays.

    Source: specification D.3; F-01's slot predictor (805 of 805 recorded slots).
    """
    if not spec.pairwise:
        return passes("H8", "proved", "one answer is shown at a time: there is no order")
    asked = [prompt.turns for prompt in prompts] or [(f"Question number {k}?",) for k in range(max(cases, 1))]
    seen = [orders(spec, turns, index) for index, turns in enumerate(asked)]
    if all(set(pair) == {"model_first", "model_second"} for pair in seen):
        return passes("H8", "checked", "every pair is played in both orders")
    match spec.order:
        case "alpaca_slot":
            predicted = ["model_first" if _alpaca_first("\n\n".join(turns)) else "model_second" for turns in asked]
            rule = 'random.Random("is_switched_outputs" + instruction + "0").choices([False, True])[0]'
            what = "one order, a function of the instruction without a secret"
        case "seeded":
            draws = random.Random(spec.seed)  # noqa: S311  the published draw
            predicted = ["model_first" if draws.random() < 0.5 else "model_second" for _ in asked]
            rule = f"the draws of random.Random({spec.seed}), below 0.5 at the prompt's place in the file"
            what = "one order, drawn from a public seed by the prompt's place in the file"
        case _:
            predicted = [spec.order] * len(asked)
            rule = f"always {spec.order}"
            what = "one order, the same in every game"
    first = "model" if seen[0][0] == "model_first" else "opponent"
    hits = sum(pair == (guess,) for pair, guess in zip(seen, predicted, strict=True))
    example = Counterexample(
        (("the predictor", rule), ("a prompt", "\n\n".join(asked[0]))),
        "both orders, or a slot that nobody can predict",
        f"{hits} of {len(asked)} slots predicted; this prompt shows the {first} first",
    )
    said = f"{what}: an attacker knows the slot and can send what works there"
    return fails("H8", "checked", said, _BOTH, example, cases=len(asked), failures=hits)


def _alpaca_first(instruction: str) -> bool:
    drawn: list[bool] = random.Random("is_switched_outputs" + instruction + "0").choices([False, True])  # noqa: S311
    return drawn[0]


def self_judging(spec: JudgeSpec) -> GateResult:
    """H10: no submission is judged by itself (specification D.3)."""
    model = f" (the file names {quoted(spec.model, 60)})" if spec.model else ""
    return unmeasured("H10", f"needs the submissions' names: an audit compares them with the judge's{model}")


def clustering(spec: JudgeSpec) -> GateResult:
    """H11: intervals take the prompt as the unit (specification D.3)."""
    if spec.rendering == "jinja":
        said = "every interval that auditkit computes is clustered by prompt; row-based ones are named as such"
        return passes("H11", "proved", said)
    rows = "; Arena-Hard resamples rows, of which each prompt has several"
    return unmeasured("H11", f"intervals: {_ELSEWHERE}{rows if spec.verdict.parser.startswith('ah_') else ''}")
