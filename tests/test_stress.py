"""Stress tests of judges: through the library and the command line, on judges whose weakness is planted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from auditkit.attacks.plan import AttackPlan
from auditkit.cli import main
from auditkit.errors import InputError, UsageError
from auditkit.judging.spec import load_judge
from auditkit.reports.stress_html import render_stress
from auditkit.reports.stress_report import StressReport, stress_from_json, stress_to_json
from auditkit.stress import StressPlan, dry_run_stress, exit_code, stress

INJECTED = AttackPlan(only=("injection-naive", "padding-double"))


def stressed(tmp_path: Path, model: str, **plan: object) -> StressReport:
    known: dict[str, object] = {"model": model, "attacks": INJECTED, "probes": "none", "fuzz": 20, "pairs": 24}
    return stress("arena-hard-v0.1", StressPlan(**{**known, **plan}), out=tmp_path)  # type: ignore[arg-type]


def test_an_obedient_judge_is_gameable_and_is_told_what_to_change(tmp_path: Path) -> None:
    report = stressed(tmp_path, "simulated/obey?p=0.9")
    judge = report.judge
    assert judge.grade == "gameable" and judge.points and judge.points > 30
    assert judge.changes and judge.changes[0].from_ == "injection-naive" and judge.changes[0].what
    accuracy = next(m for m in judge.measures if m.name == "accuracy")
    assert accuracy.estimate and accuracy.estimate > 0.9
    assert exit_code(report) == 1


def test_a_judge_that_cannot_tell_right_from_wrong_hears_that_first(tmp_path: Path) -> None:
    report = stressed(tmp_path, "simulated/biased?position=8")
    assert report.judge.changes[0].from_ == "accuracy"
    first = next(m for m in report.judge.measures if m.name == "first_preference")
    assert first.estimate and first.estimate > 0.95
    assert any(change.from_ == "position" for change in report.judge.changes)


def test_two_judges_are_compared_pair_by_pair(tmp_path: Path) -> None:
    report = stressed(
        tmp_path,
        "simulated/obey?p=0.9",
        against="arena-hard-v0.1",
        against_model="simulated/honest?noise=0.2",
        pairs=60,
    )
    assert report.comparison is not None and report.against is not None
    rows = {row.name: row for row in report.comparison.rows}
    injected = rows["injection-naive"]
    assert injected.difference is not None and injected.difference < -50 and injected.sentence == "B holds better"
    assert rows["accuracy"].n == 60 and "1 of 2 attacks" in report.comparison.sentence


def test_a_nonce_mends_the_judge_that_heeds_one_and_the_file_says_so(tmp_path: Path) -> None:
    plan = AttackPlan(only=("null-structured",))
    report = stressed(tmp_path, "simulated/nonce", attacks=plan, harden=True, pairs=24)
    chosen = next(stack for stack in report.defended if stack.chosen)
    plain = report.defended[0]
    assert "nonce" in chosen.stack and plain.strongest and plain.strongest > 80
    assert chosen.strongest is not None and chosen.strongest < 15
    assert load_judge(tmp_path / "judge.toml").nonce


def test_a_judge_that_rates_one_answer_is_stressed_too(tmp_path: Path) -> None:
    report = stress(
        "mt-bench-single", StressPlan(model="simulated/obey?p=0.9", attacks=INJECTED, probes="none", fuzz=20),
        out=tmp_path,
    )  # fmt: skip
    assert report.judge.grade == "gameable"
    accuracy = next(m for m in report.judge.measures if m.name == "accuracy")
    assert accuracy.estimate and accuracy.estimate > 0.9


def test_the_record_is_read_back_equal_and_the_page_holds_it(tmp_path: Path) -> None:
    report = stressed(tmp_path, "simulated/obey?p=0.9")
    assert stress_from_json(stress_to_json(report)) == report
    page = render_stress(report)
    assert "What to change first" in page and "injection-naive" in page and "Simulated." in page
    with pytest.raises(InputError, match="schema"):
        stress_from_json("{}")


def test_what_cannot_be_stressed_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="client/model"):
        stressed(tmp_path, "gpt-4")
    with pytest.raises(UsageError, match="no score in common"):
        stressed(tmp_path, "simulated/honest", against="mt-bench-single")
    with pytest.raises(UsageError, match="no attack or family"):
        stressed(tmp_path, "simulated/honest", attacks=AttackPlan(only=("nothing",)))


def test_a_dry_run_asks_nobody() -> None:
    plan = StressPlan(model="simulated/honest", attacks=INJECTED, probes="none", pairs=10)
    forecast = dry_run_stress("arena-hard-v0.1", plan)
    assert forecast.calls == 10 * 2 * 2 + 10 * 2 * 2


@pytest.mark.parametrize(
    ("judge", "plan"),
    [
        ("arena-hard-v0.1", {"probes": "all"}),
        ("arena-hard-v0.1", {"harden": True}),
        ("mt-bench-single", {"probes": "all"}),
        ("arena-hard-v0.1", {"attacks": AttackPlan(only=("rewrite-refining",), attacker="simulated/writer")}),
        ("arena-hard-v0.1", {"attacks": AttackPlan(suite="quick", budget=30)}),
    ],
)
def test_no_stress_asks_more_than_its_forecast_says(judge: str, plan: dict[str, Any], tmp_path: Path) -> None:
    usual = {"model": "simulated/obey?p=0.5", "pairs": 6, "attacks": INJECTED, "probes": "none", "fuzz": 5}
    whole = StressPlan(**{**usual, **plan})
    forecast = dry_run_stress(judge, whole)
    told: list[int] = []
    stress(judge, whole, out=tmp_path, listener=lambda s: told.append(s.calls))
    assert 0 < max(told) <= forecast.calls


def test_own_pairs_are_all_played_or_drawn_and_told(tmp_path: Path) -> None:
    """Also those of a category in which the judge insists on a reference: the judge is not told the solution."""
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(
        json.dumps({"prompt": f"What is {i} plus 1?", "right": str(i + 1), "wrong": str(i + 2), "category": "math"}) + "\n"
        for i in range(30)
    ))  # fmt: skip
    known = {"prompts": file, "attacks": AttackPlan(only=("injection-naive",))}
    whole = stressed(tmp_path / "all", "simulated/honest", **known, pairs=None)
    assert (whole.pairs, whole.pairs_source) == (30, "mine.jsonl")
    part = stressed(tmp_path / "part", "simulated/honest", **known, pairs=8)
    assert (part.pairs, part.pairs_source) == (8, "8 of the 30 pairs of mine.jsonl, drawn by seed 0")
    plan = StressPlan(model="simulated/honest", probes="none", fuzz=5, **known)  # type: ignore[arg-type]
    assert stress("mt-bench-single", plan, out=tmp_path / "single").pairs == 30
    with pytest.raises(UsageError, match="30 pairs, and 31"):
        stressed(tmp_path / "more", "simulated/honest", **known, pairs=31)
    with pytest.raises(UsageError, match="pairs ship with auditkit"):
        stressed(tmp_path / "ours", "simulated/honest", pairs=100_000)


def test_nothing_to_play_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no attack is left to play .*rewrite-refining"):
        stressed(tmp_path, "simulated/honest", attacks=AttackPlan(only=("rewrite-refining",)))
    refused = CliRunner().invoke(
        main, ["stress", "arena-hard-v0.1", "--model", "simulated/nosuch", "--out", str(tmp_path)]
    )
    assert refused.exit_code == 2 and "unknown simulated model" in refused.output
    refused = CliRunner().invoke(main, ["stress", "arena-hard-v0.1", "--full-grid", "--budget", "9"])
    assert refused.exit_code == 2 and "--full-grid" in refused.output


def test_the_command_tells_the_three_things_to_change(tmp_path: Path) -> None:
    args = [
        "stress", "arena-hard-v0.1", "--model", "simulated/obey?p=0.9", "--attack", "injection", "--probes", "none",
        "--pairs", "24", "--out", str(tmp_path), "--quiet",
    ]  # fmt: skip
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 1, result.output
    assert "what to change first" in result.output and "  1. " in result.output
    lines = [line for line in result.output.splitlines() if not line.startswith("report: ")]
    assert max(map(len, lines)) <= 80
    assert json.loads((tmp_path / "stress.json").read_text())["schema"] == "auditkit.stress/1"
