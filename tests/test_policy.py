"""The verdict rules: what each looks at, and what its failure does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from auditkit.errors import InputError
from auditkit.policy import Case, decide, load_policy, policy_text, spread
from auditkit.records import Detection, Gate, Position, Score
from auditkit.reports.report import Bounds, NullFloor, Quality

GOOD = Case(
    model="honest",
    n=500,
    recorded=True,
    scores=(
        Score("honest", "raw", 55.0, 1.5, (52.0, 58.0), 500),
        Score("honest", "length_controlled", 53.0, 1.6, (50.0, 56.0), 500, overlap=0.4),
    ),
    quality=Quality(1.0, 0, 0, 0, Bounds(55.0, 55.0, 55.0)),
    position=Position("between_items", effect_points=2.0, ci=(-2.0, 6.0), p_value=0.3, n=500),
    detections=(Detection("near_duplicates", False, "reject", 0.001, 0.02),),
    gates=(Gate("H6", "pass", "checked", "all there"),),
    null_floor=NullFloor(10.0, (8.0, 12.0), "constant", 500),
)


def _failed(case: Case) -> tuple[str, list[str]]:
    verdict, reasons = decide(load_policy(), case)
    return verdict, [r.rule for r in reasons if r.status in ("fail", "warn")]


def test_a_submission_that_no_rule_touches_is_certified() -> None:
    """Every rule passes on a clean case, and each says so in words."""
    verdict, reasons = decide(load_policy(), GOOD)
    assert verdict == "certified"
    assert {r.status for r in reasons} == {"pass"}
    assert all(r.text for r in reasons)


@pytest.mark.parametrize(
    ("change", "verdict", "rule"),
    [
        ({"detections": (Detection("exact_duplicates", True, "reject", 1.0, 0.5),)}, "rejected", "detectors_reject"),
        ({"detections": (Detection("html_comment", True, "review", 3, 0),)}, "conditional", "detectors_review"),
        ({"n": 20}, "not_certifiable", "prompts"),
        ({"recorded": False, "n": 0}, "not_certifiable", "games_recorded"),
        ({"scores": (Score("honest", "raw", 55.0, 9.0, (37.0, 73.0), 60),)}, "not_certifiable", "precision"),
        ({"quality": replace(GOOD.quality, coverage=0.8)}, "not_certifiable", "coverage"),
        ({"gates": (Gate("H10", "fail", "checked", "judged by itself"),)}, "not_certifiable", "gates"),
        ({"quality": replace(GOOD.quality, unparsed=40, bounds=Bounds(55.0, 51.0, 59.0))}, "conditional", "missing"),
        ({"null_floor": NullFloor(76.9, (75.1, 78.7), "constant", 805)}, "conditional", "null_floor"),
        ({"scores": GOOD.scores[:1]}, "conditional", "controls"),
        ({"scores": (replace(GOOD.scores[1], overlap=0.03), GOOD.scores[0])}, "conditional", "overlap"),
        ({"scores": (GOOD.scores[0], replace(GOOD.scores[1], estimate=70.0))}, "conditional", "control_spread"),
        ({"position": replace(GOOD.position, effect_points=-17.0, p_value=1e-6)}, "conditional", "position"),
    ],
)
def test_each_rule_fails_on_its_own_fault_with_its_own_effect(
    change: dict[str, object], verdict: str, rule: str
) -> None:
    """One fault at a time: the verdict is the rule's effect, and the rule is among the reasons."""
    found, rules = _failed(replace(GOOD, **change))  # type: ignore[arg-type]
    assert found == verdict
    assert rule in rules


def test_a_rejection_outranks_every_other_effect() -> None:
    """A short, uncovered submission of one repeated answer is rejected, not merely not certifiable."""
    case = replace(GOOD, n=20, detections=(Detection("exact_duplicates", True, "reject", 1.0, 0.5),))
    assert _failed(case)[0] == "rejected"


def test_what_was_not_measured_changes_no_verdict() -> None:
    """Without answers, order or a null model the rules are listed as not measured and the verdict stands."""
    case = replace(
        GOOD,
        detections=(),
        scores=(GOOD.scores[0], Score("honest", "joint", 54.0, 1.6, (51.0, 57.0), 500, overlap=0.4)),
        position=Position("not_measured"),
        null_floor=NullFloor(None),
        quality=replace(GOOD.quality, coverage=None),
    )
    verdict, reasons = decide(load_policy(), case)
    assert verdict == "certified"
    unmeasured = {r.rule for r in reasons if r.status == "not_measured"}
    assert {"detectors_reject", "null_floor", "position", "coverage", "overlap"} <= unmeasured


def test_a_large_but_noisy_position_effect_does_not_condition() -> None:
    """Above the threshold but p >= 0.05: no false alarm."""
    case = replace(GOOD, position=replace(GOOD.position, effect_points=15.0, p_value=0.2))
    assert _failed(case)[0] == "certified"


def test_spread_compares_win_rates_only() -> None:
    """A reward on another scale never enters the spread."""
    assert spread((GOOD.scores[0], Score("m", "wildbench_k", -80.0, unit="reward"))) is None
    assert spread(GOOD.scores) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('schema = "auditkit.policy/1"', 'schema = "auditkit.policy/9"', "schema"),
        ("[rules.position]", "[rules.astrology]", "astrology"),
        ('effect = "reject"', 'effect = "shame"', "effect"),
        ("threshold = 0.95", 'threshold = "most"', "threshold"),
        ("threshold = 0.95", "threshold = inf", "threshold"),
        ("threshold = 0.95", "treshold = 0.95", "exactly the fields"),
        ('name = "standard"', "name = 3", "name"),
        ("[rules.prompts]", "[rules.prompts", "TOML"),
    ],
)
def test_a_wrong_policy_is_one_clear_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    """Unknown schema, rule, field, effect or threshold: an InputError that names it."""
    path = tmp_path / "policy.toml"
    path.write_text(policy_text().replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        load_policy(path)


def test_a_policy_may_leave_rules_out_and_move_thresholds(tmp_path: Path) -> None:
    """Only the rules that a policy names are applied, with its numbers."""
    path = tmp_path / "lenient.toml"
    path.write_text(
        'schema = "auditkit.policy/1"\nname = "mine"\nversion = "2"\n'
        '[rules.prompts]\neffect = "condition"\nthreshold = 1000\nwhy = "house rule"\n'
    )
    policy = load_policy(path)
    verdict, reasons = decide(policy, GOOD)
    assert verdict == "conditional"
    assert [r.rule for r in reasons] == ["prompts"]
    assert reasons[0].text.endswith("house rule")
