"""The verdict rules: what each looks at, and what its failure does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from auditkit.attacked import AttackResult
from auditkit.audit import audit_battles
from auditkit.errors import InputError, UsageError
from auditkit.policy import PRESETS, Case, decide, load_policy, policy_text, spread
from auditkit.records import Battles, Detection, Gate, Position, Score, Settings
from auditkit.reports.report import Bounds, NullFloor, Quality


def _attack(name: str, lower: float | None, *, control: bool = False) -> AttackResult:
    uplift = None if lower is None else lower + 1.0
    upper = None if lower is None else lower + 2.0
    return AttackResult(
        name, "null", "none", 0, uplift, None, lower, upper, None, None, False, 500, 1.0, control=control
    )  # fmt: skip


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
    attacks=(_attack("null-empty", 0.4),),
    judge_accuracy=(Score("judge-x", "judge_accuracy", 81.0, 3.0, (75.0, 87.0), 170, unit="accuracy"),),
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
        ({"judge_accuracy": (replace(GOOD.judge_accuracy[0], ci=(44.0, 68.0)),)}, "conditional", "judge"),
        ({"attacks": (_attack("a", 0.1), _attack("b", 12.5))}, "conditional", "uplift"),
    ],
)
def test_each_rule_fails_on_its_own_fault_with_its_own_effect(
    change: dict[str, object], verdict: str, rule: str
) -> None:
    """One fault at a time: the verdict is the rule's effect, and the rule is among the reasons."""
    found, rules = _failed(replace(GOOD, **change))  # type: ignore[arg-type]
    assert found == verdict
    assert rule in rules


def test_a_rejection_says_what_was_found_and_not_only_by_whom() -> None:
    found = (
        Detection("exact_duplicates", True, "reject", 0.998, 0.5, n=805),
        Detection("near_duplicates", True, "reject", 1.0, 0.5, n=805),
        Detection("foreign", True, "reject", 3.0, 0.5),
    )
    verdict, reasons = decide(load_policy(), replace(GOOD, detections=found))
    (reason,) = [r for r in reasons if r.rule == "detectors_reject"]
    assert verdict == "rejected"
    assert reason.text.startswith(
        "3 detectors reject the submission: exact duplicates (100% of the answers repeat another one word for word), "
        "near duplicates, foreign."
    )


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
        attacks=(),
        judge_accuracy=(),
        quality=replace(GOOD.quality, coverage=None),
    )
    verdict, reasons = decide(load_policy(), case)
    assert verdict == "certified"
    unmeasured = {r.rule for r in reasons if r.status == "not_measured"}
    assert {"detectors_reject", "null_floor", "position", "coverage", "overlap", "judge", "uplift"} <= unmeasured


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
        ('effect = "reject"', 'effect = "reject"\nunmeasured = "shrug"', "unmeasured"),
        ("days = 365", "days = 0", "days"),
        ("days = 365", "days = true", "days"),
        ("days = 365", "weeks = 3", "days"),
        ('name = "standard"', 'name = "two\\nlines"', "one line"),
        ("[rules.position]", '[benchmark."x".rules.astrology]', "astrology"),
        ("[rules.position]", '[benchmark."x".rules.controls]\neffect = "shame"\n[rules.position]', "effect"),
        ("[rules.position]", '[benchmark."x"]\nrule = 1\n[rules.position]', "exactly the table rules"),
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


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_certifies_a_clean_case(name: str) -> None:
    """Built-in policies carry their own name, and none speaks against a case without fault."""
    policy = load_policy(name)
    assert policy.name == name
    assert policy.text == policy_text(name)
    clean = replace(GOOD, attacks=tuple(_attack(f"a{i}", 0.1) for i in range(10)))
    verdict, reasons = decide(policy, clean)
    assert verdict == "certified", [r.text for r in reasons if r.status != "pass"]


def test_presets_are_ordered_by_what_they_ask() -> None:
    """On the same faults a stricter policy never gives a better verdict, and all three reject a constant answer."""
    better = ("certified", "conditional", "not_certifiable", "rejected")
    faults: list[dict[str, object]] = [
        {"n": 60}, {"n": 30}, {"quality": replace(GOOD.quality, coverage=0.97)}, {"attacks": (_attack("a", 5.0),)},
        {"position": Position("not_measured")}, {"null_floor": NullFloor(58.0, (56.0, 60.0), "constant", 500)},
        {"gates": (Gate("H1", "fail", "fuzzed", "broken"),)}, {"judge_accuracy": ()}, {"scores": GOOD.scores[:1]},
    ]  # fmt: skip
    for fault in faults:
        found = [decide(load_policy(name), replace(GOOD, **fault))[0] for name in PRESETS]  # type: ignore[arg-type]
        ranks = [better.index(verdict) for verdict in found]
        assert ranks == sorted(ranks, reverse=True), (fault, found)
    null = replace(GOOD, detections=(Detection("exact_duplicates", True, "reject", 1.0, 0.5),))
    assert {decide(load_policy(name), null)[0] for name in PRESETS} == {"rejected"}


def test_a_strict_policy_does_not_pass_what_was_not_measured() -> None:
    """A rule with `unmeasured` conditions or withholds, and says that it is for want of a measurement."""
    case = replace(GOOD, position=Position("not_measured"), attacks=tuple(_attack(f"a{i}", 0.1) for i in range(10)))
    verdict, reasons = decide(load_policy("strict"), case)
    assert verdict == "conditional"
    (reason,) = [r for r in reasons if r.status == "warn"]
    assert reason.rule == "position"
    assert reason.text.startswith("not measured, which this policy does not let pass")


def test_control_arms_are_no_attacks() -> None:
    """The control arm of a suite neither counts as an attack nor as a gain."""
    case = replace(GOOD, attacks=(_attack("control", 40.0, control=True), _attack("a", 0.1)))
    assert _failed(case)[0] == "certified"


def test_rules_can_differ_for_one_benchmark(tmp_path: Path) -> None:
    """A table of a benchmark changes, adds and leaves out rules there, by name or pattern, and nowhere else."""
    path = tmp_path / "policy.toml"
    path.write_text(
        policy_text() + '\n[benchmark."alpaca*".rules]\nprompts = { threshold = 805 }\noverlap = false\n'
        '\n[benchmark."AlpacaEval 3".rules.prompts]\nthreshold = 20\neffect = "condition"\n'
    )
    policy = load_policy(path)
    by_name = {r.name: r for r in policy.for_benchmark("AlpacaEval").rules}
    assert by_name["prompts"].threshold == 805
    assert by_name["prompts"].why == {r.name: r for r in policy.rules}["prompts"].why
    assert "overlap" not in by_name
    later = {r.name: r for r in policy.for_benchmark("alpacaeval 3").rules}
    assert (later["prompts"].threshold, later["prompts"].effect) == (20, "condition")
    assert policy.for_benchmark("MT-Bench").rules == policy.rules
    assert policy.for_benchmark("AlpacaEval").sha256 == policy.sha256
    assert decide(policy.for_benchmark("AlpacaEval"), GOOD)[0] == "not_certifiable"
    assert decide(policy.for_benchmark("MT-Bench"), GOOD)[0] == "certified"


def test_a_benchmark_is_meant_by_its_name_or_by_name_and_version_and_the_report_says_which(
    tmp_path: Path, simulate: Callable[..., Battles]
) -> None:
    """What every page shows, "AlpacaEval 2.0", may be written; a name that means no benchmark here does not pass in silence."""
    path = tmp_path / "policy.toml"
    path.write_text(
        policy_text() + '\n[benchmark."AlpacaEval 2.0".rules]\nprompts = { threshold = 805 }\n'
        '[benchmark."AplacaEval".rules]\nprompts = { threshold = 9 }\n'
    )
    policy = load_policy(path)
    assert {r.name: r for r in policy.for_benchmark("AlpacaEval", "2.0").rules}["prompts"].threshold == 805
    assert policy.for_benchmark("AlpacaEval", "1.0").rules == policy.rules
    battles = simulate({"one": 0.2}, prompts=60)
    battles = replace(battles, benchmark=replace(battles.benchmark, name="AlpacaEval", version="2.0"))
    report = audit_battles(battles, settings=Settings(replicates=50), policy=policy)
    told = [note.text for note in report.notes if note.kind == "policy"]
    assert told == [
        "the policy's rules for AlpacaEval 2.0 hold here (AlpacaEval 2.0)",
        "the policy's rules for AplacaEval are for other benchmarks (AlpacaEval 2.0)",
    ]


def test_an_edited_policy_does_not_pass_for_the_one_that_ships(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(policy_text())
    assert load_policy(path).title == load_policy().title
    path.write_text(policy_text().replace("threshold = 0.95", "threshold = 0.05"))
    edited = load_policy(path)
    assert not edited.built_in and edited.title == f"{load_policy().title} (edited: not the built-in policy)"
    path.write_text(policy_text().replace('name = "standard"', 'name = "ours"'))
    assert load_policy(path).title.startswith("ours ") and "edited" not in load_policy(path).title


def test_a_policy_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    """An unknown name, a folder and a huge file are one clear line each."""
    with pytest.raises(InputError, match="strict, standard, lenient"):
        load_policy("severe")
    with pytest.raises(UsageError, match="lenient"):
        policy_text("../../etc/passwd")
    with pytest.raises(InputError, match="folder"):
        load_policy(tmp_path)
    huge = tmp_path / "huge.toml"
    huge.write_text("#" * (2 << 20))
    with pytest.raises(InputError, match="more than"):
        load_policy(huge)
