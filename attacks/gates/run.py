"""Run every gate on a judge."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.attacks.gates import prompts as prompt_gates
from auditkit.attacks.gates import protocol, verdicts
from auditkit.attacks.gates.replies import Reader
from auditkit.attacks.gates.results import GateResult
from auditkit.attacks.gates.scenes import scenes_of
from auditkit.judging.inputs import Prompt
from auditkit.judging.spec import JudgeSpec

__all__ = ["run_gates"]


def run_gates(
    spec: JudgeSpec, *, cases: int = 300, seed: int = 0, prompts: Sequence[Prompt] = (), counted_here: bool = False
) -> tuple[GateResult, ...]:
    """Run the harness gates H1 to H12 on a judge, built in, imported or the user's own. No model is asked.

    For a judge that is rendered and read by auditkit they test auditkit with that file; for one that keeps upstream's
    rendering and parser, they test upstream's harness as far as the file says what it does.

    Args:
        spec: The judge.
        cases: Random fuzz cases of each fuzzed gate, beside a fixed corpus of hostile strings; at least 0.
        seed: Of the random cases. The same seed gives the same results.
        prompts: Prompts to render with instead of made-up ones (`auditkit.judging.inputs.read_prompts`); those that do
            not fit the judge are left out.
        counted_here: Are the verdicts counted by auditkit, whatever the parser? A label at which upstream's scoring
            stops is then a game without a verdict (H3, H4, H12).

    Returns:
        Twelve results in order.

    Raises:
        ValueError: `cases` or `seed` is negative.

    Source: the harness gates of specification D.3. Non-interference: Goguen and Meseguer, Security Policies and
    Security Models, IEEE S&P 1982.
    """
    if cases < 0 or seed < 0:
        raise ValueError("cases and seed are 0 or more")
    scenes = scenes_of(spec, prompts)
    reader = Reader(spec, counted_here)
    return (
        prompt_gates.non_interference(spec, scenes, cases, seed),
        prompt_gates.round_trip(spec, scenes, cases, seed),
        verdicts.channel(reader, cases, seed),
        verdicts.values(reader, cases, seed),
        verdicts.missing(reader),
        protocol.coverage(spec),
        protocol.duplicates(spec),
        protocol.order(spec, prompts, cases),
        prompt_gates.length(spec, scenes, cases, seed),
        protocol.self_judging(spec),
        protocol.clustering(spec),
        verdicts.crashes(reader, cases, seed),
    )
