"""Attacks on real answers to AlpacaEval's prompts: what the detectors make of them, next to thirteen honest models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from auditkit import formats
from auditkit.attacks.baseline import BASELINE_COPY, BASELINE_POLISH
from auditkit.attacks.detect.run import Detector
from auditkit.attacks.null import NULL_APPENDED, NULL_STRUCTURED
from auditkit.attacks.protocol import Attack, Situation
from auditkit.judging.importers import import_judge
from auditkit.judging.inputs import Prompt
from auditkit.judging.spec import JudgeSpec
from auditkit.records import Battles, Settings, Submission

Attacked = Callable[[Attack], Submission]


@pytest.fixture(scope="module")
def battles(shared_data: Path) -> Battles:
    """The fourteen published submissions."""
    return formats.read(shared_data / "alpaca_eval" / "results")


@pytest.fixture(scope="module")
def judge(shared_data: Path) -> JudgeSpec:
    """AlpacaEval's published judge, as it is."""
    return import_judge(shared_data / "judges" / "alpaca_eval" / "weighted_alpaca_eval_gpt4_turbo", compat=True)


@pytest.fixture(scope="module")
def attacked(battles: Battles, judge: JudgeSpec) -> Attacked:
    """Apply an attack to claude-2.1's 805 answers."""
    honest = battles.submission("claude-2.1")

    def make(attack: Attack) -> Submission:
        assert attack.craft is not None
        rows = honest.rows.copy()
        rows["text"] = [
            attack.craft(Situation(Prompt(key, (prompt,)), text, base if attack.opponent else "", judge, i))
            for i, (key, prompt, text, base) in enumerate(
                zip(rows["prompt_id"], rows["prompt"], rows["text"], rows["baseline"], strict=True)
            )
        ]
        return replace(honest, rows=rows)

    return make


def test_near_duplicates_separate_the_constants_from_every_honest_model(
    battles: Battles, attacked: Attacked, detectors: dict[str, Detector]
) -> None:
    """Specification D-dup: honest models stay at or below 0.0025, far below the threshold of 0.02; constants are at 1.

    The same holds for the published null model and for the payload that is generated from the published template.
    """
    honest = [
        detectors["near_duplicates"](battles.submission(model), Settings()).statistic or 0.0
        for model in battles.models
        if model != "NullModel"
    ]
    assert len(honest) == 13
    assert max(honest) <= 0.0025
    for constant in (battles.submission("NullModel"), attacked(NULL_STRUCTURED)):
        assert detectors["near_duplicates"](constant, Settings()).statistic == pytest.approx(1.0, abs=1e-3)
        assert detectors["exact_duplicates"](constant, Settings()).severity == "reject"


def test_a_payload_after_real_answers_is_no_duplicate_and_is_rejected_all_the_same(
    attacked: Attacked, detectors: dict[str, Detector]
) -> None:
    """N-06: no answer repeats another, and the template's tokens and the cancellation give every one of them away."""
    submission = attacked(NULL_APPENDED)
    assert detectors["exact_duplicates"](submission, Settings()).severity != "reject"
    for name in ("template_tokens", "instruction_override"):
        found = detectors[name](submission, Settings())
        assert found.severity == "reject"
        assert found.statistic is not None and found.statistic > 0.95


def test_copies_of_the_baseline_are_told_from_every_honest_model(
    battles: Battles, attacked: Attacked, detectors: dict[str, Detector]
) -> None:
    """Specification D-copy: honest models at most 0.044; the copy 1, the reworded copy far above the threshold of 0.10."""
    measure = detectors["baseline_copy"]
    honest = [measure(battles.submission(model), Settings()).statistic or 0.0 for model in battles.models]
    assert max(honest) <= 0.044
    copy, polish = (measure(attacked(attack), Settings()) for attack in (BASELINE_COPY, BASELINE_POLISH))
    assert copy.statistic == 1.0
    assert polish.statistic is not None and 0.5 < polish.statistic < 1.0
    assert copy.flag and polish.flag
