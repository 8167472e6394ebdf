"""Choosing a stack of defences: what was told the solution is shown, and is neither compared nor chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from auditkit.attacks.defences import DEFENCES, Setup, stack
from auditkit.attacks.hardening import HardenedStack, choose_stack
from auditkit.attacks.plan import AttackPlan
from auditkit.attacks.results import SuiteResult
from auditkit.judging.spec import load_judge
from auditkit.stress import StressPlan, stress

JUDGE = load_judge("arena-hard-v0.1")


def measured(*names: str, strongest: float, accuracy: float, told: bool = False) -> HardenedStack:
    """Return a stack that lets the strongest attack gain so many points and is right on so many of 100 pairs."""
    right = (np.arange(100) < accuracy).astype(float)
    result = SuiteResult((), strongest - 10, strongest + 10, "a", None, "", None, None, 0.0, None, 100, 0.95)
    setup = stack(Setup(JUDGE), [DEFENCES[name] for name in names])
    return HardenedStack(setup, result, strongest, right, (), told)


def test_the_best_stack_is_not_chosen_where_it_knew_the_answers() -> None:
    plain = measured(strongest=60, accuracy=90)
    nonce = measured("nonce", strongest=20, accuracy=89)
    guided = measured("reference-guided", strongest=0, accuracy=100)
    best = choose_stack([plain, nonce, guided])
    assert [s.chosen for s in best] == [False, False, True], "its own references: it may be compared"
    told = choose_stack([plain, nonce, replace(guided, told=True)])
    assert [s.chosen for s in told] == [False, True, False]
    assert [s.on_frontier for s in told] == [True, True, False], "nor does it push the others off the frontier"


def test_a_stress_test_shows_the_guided_stacks_and_writes_another(tmp_path: Path) -> None:
    """Pairs with a known answer have the right answer for a reference: every guided stack was told it."""
    plan = StressPlan(
        model="simulated/obey?p=0.9", pairs=8, probes="none", fuzz=5, harden=True,
        attacks=AttackPlan(only=("injection-naive",)),
    )  # fmt: skip
    found = stress("arena-hard-v0.1", plan, out=tmp_path).defended
    guided = [d for d in found if "reference-guided" in d.stack]
    assert guided and not any(d.chosen or d.frontier for d in guided)
    assert all("never chosen" in d.note for d in guided)
    assert sum(d.chosen for d in found) == 1 and any(d.frontier for d in found)
