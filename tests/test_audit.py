"""The audit job, from a recording to a report."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import auditkit
from auditkit import registry
from auditkit.audit import audit, audit_battles, exit_code
from auditkit.errors import InputError, UsageError
from auditkit.records import Battles, Benchmark, Explanation, Findings, Score, Settings
from auditkit.reports import render
from auditkit.reports.report import Report, from_json, to_json

FAST = Settings(replicates=80)


@pytest.fixture(scope="module")
def report(simulate: Callable[..., Battles]) -> Report:
    """Two honest submissions and a constant one that the judge falls for."""
    battles = simulate(
        {"better": 0.6, "worse": -0.6, "null": 2.0}, prompts=200, constant=frozenset({"null"}), unparsed=3
    )
    return audit_battles(battles, settings=FAST)


def test_only_the_constant_submission_is_rejected(report: Report) -> None:
    """The null model is rejected with its reason; honest ones are not, whatever the benchmark lets others do."""
    verdicts = {s.model: s.verdict for s in report.submissions}
    assert verdicts["null"] == "rejected"
    assert verdicts["better"] == verdicts["worse"] == "conditional"
    assert exit_code(report) == 1


def test_the_null_model_becomes_the_others_floor(report: Report) -> None:
    """A constant answer above the field makes every score voidable, by at least its lower bound."""
    by_model = {s.model: s for s in report.submissions}
    floor = by_model["better"].null_floor
    assert floor.estimate is not None and floor.ci is not None
    assert floor.attack == "recorded submission null"
    assert by_model["better"].gameability.grade == "voidable"
    assert by_model["better"].gameability.points == floor.ci[0]
    assert any(r.rule == "null_floor" and r.status == "warn" for r in by_model["better"].reasons)
    assert any(r.rule == "null_floor" and r.status == "not_measured" for r in by_model["null"].reasons)


def test_unparsed_games_are_counted_and_bounded(report: Report) -> None:
    """Three games without a verdict: counted, and the bounds enclose the estimate."""
    for s in report.submissions:
        assert s.quality.unparsed == 3
        bounds = s.quality.bounds
        assert bounds is not None
        assert bounds.all_lost is not None and bounds.all_won is not None and bounds.dropped is not None
        assert bounds.all_lost < bounds.dropped < bounds.all_won


def test_ranks_are_given_for_every_control_with_an_interval(report: Report) -> None:
    """The raw ranks follow the raw scores, each interval holds its rank, and a rejected submission takes no rank."""
    raw = {s.model: s.ranks["raw"].rank for s in report.submissions if s.ranks}
    assert raw == {"better": 1, "worse": 2}
    for s in report.submissions:
        for rank in s.ranks.values():
            assert rank.lo <= rank.rank <= rank.hi


def test_no_plugin_failed_and_the_report_is_json(report: Report) -> None:
    """Every control ran, and the report survives being written and read."""
    assert [n for n in report.notes if n.kind == "control_failed"] == []
    assert to_json(from_json(to_json(report))) == to_json(report)


def test_a_failing_plugin_is_noted_and_takes_nothing_along(
    simulate: Callable[..., Battles], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One control that raises leaves the others' results and a note with its name."""

    class Broken:
        @staticmethod
        def load() -> Callable[..., object]:
            def control(battles: Battles, settings: Settings) -> object:
                raise ZeroDivisionError("planted")

            return control

    known = registry.plugins("controls")
    monkeypatch.setattr(
        "auditkit.registry.plugins",
        lambda group: {**known, "broken": Broken} if group == "controls" else {},
    )
    found = audit_battles(simulate({"m": 0.0}, prompts=80), settings=FAST)
    assert any(n.kind == "control_failed" and "broken" in n.text and "planted" in n.text for n in found.notes)
    assert any(x.control == "raw" for x in found.submissions[0].scores)


def test_a_plugin_explains_its_own_control(simulate: Callable[..., Battles], monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that a control brings along stands in the report and on its page; ours are not repeated there."""

    def halved(battles: Battles, settings: Settings) -> Findings:
        return Findings(scores=tuple(Score(m, "halved", 25.0) for m in battles.models))

    halved.explanations = {  # type: ignore[attr-defined]
        "halved": Explanation("Half of <b>everything</b>.", "raw / 2", "a test", "Always."),
        "raw": Explanation("not ours", "", "", ""),
    }

    class Plugin:
        def load(self) -> object:
            return halved

    known = registry.plugins("controls")
    monkeypatch.setattr(
        "auditkit.registry.plugins",
        lambda group: {"raw": known["raw"], "halved": Plugin()} if group == "controls" else {},
    )
    found = audit_battles(simulate({"m": 0.0}, prompts=60), settings=FAST)
    assert list(found.explanations) == ["halved"]
    assert from_json(to_json(found)).explanations == found.explanations
    page = render(found)
    assert "Half of &lt;b&gt;everything&lt;/b&gt;." in page
    assert "not ours" not in page


def test_too_little_data_is_not_certifiable(simulate: Callable[..., Battles]) -> None:
    """Twelve prompts carry no verdict: exit code 3."""
    found = audit_battles(simulate({"m": 0.0}, prompts=12), settings=FAST)
    assert found.submissions[0].verdict == "not_certifiable"
    assert exit_code(found) == 3


def test_hostile_names_and_answers_survive_as_data(simulate: Callable[..., Battles]) -> None:
    """Markup, escapes, paths and formulas in names and answers change nothing."""
    battles = simulate({"../../<script>alert(1)</script>": 0.1, "=cmd()|'x'": -0.1, "\x1b[31mred": 0.0}, prompts=60)
    answers = battles.answers.assign(
        text=battles.answers["text"].str.cat(["{{7*7}}</script>\x00"] * len(battles.answers))
    )
    found = audit_battles(replace(battles, answers=answers), settings=FAST)
    assert len(found.submissions) == 3
    assert to_json(from_json(to_json(found))) == to_json(found)


def test_paths_are_needed_and_unknown_formats_named(tmp_path: Path) -> None:
    """No path and an unknown --format are usage errors, not tracebacks."""
    with pytest.raises(UsageError, match="no path"):
        audit()
    with pytest.raises(UsageError, match="formats plugin"):
        audit(tmp_path, format="astrology")


def test_counts_alone_are_not_certifiable(shared_data: Path) -> None:
    """A WildBench table of counts gives rewards and says that no game can be looked at."""
    found = audit(shared_data / "wildbench" / "tables" / "pairwise-haiku-K=-1.json", settings=FAST)
    assert {s.verdict for s in found.submissions} == {"not_certifiable"}
    assert all(any(r.rule == "games_recorded" and r.status == "fail" for r in s.reasons) for s in found.submissions)


@pytest.fixture(scope="module")
def alpaca(shared_data: Path) -> Report:
    """The audit of the real AlpacaEval 2 recordings."""
    folder = shared_data / "alpaca_eval"
    return audit(folder / "results", settings=Settings(replicates=100, calibration=folder / "df_gamed.csv"))


def test_alpaca_eval_scores_equal_the_published_ones(alpaca: Report, shared_data: Path) -> None:
    """Raw win rates equal the leaderboard to 1e-6; length-controlled ones within 0.12 points, 0.03 in the median."""
    with (shared_data / "alpaca_eval" / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        board = {row[""]: row for row in csv.DictReader(file)}
    gaps = []
    for s in alpaca.submissions:
        if s.model not in board:
            continue
        scores = {x.control: x.estimate for x in s.scores}
        raw, held = scores["raw"], scores["length_controlled"]
        assert raw is not None and held is not None
        assert raw == pytest.approx(float(board[s.model]["win_rate"]), abs=1e-6)
        gaps.append(abs(held - float(board[s.model]["length_controlled_winrate"])))
    assert len(gaps) >= 12
    assert max(gaps) <= 0.12
    assert sorted(gaps)[len(gaps) // 2] <= 0.03


def test_alpaca_eval_rejects_the_real_null_model_and_nobody_else(alpaca: Report) -> None:
    """NullModel: constant output, template tokens and the 17.5-point slot gap are named; no honest model is rejected."""
    rejected = [s for s in alpaca.submissions if s.verdict == "rejected"]
    assert [s.model for s in rejected] == ["NullModel"]
    flags = {d.detector: d for d in rejected[0].detectors if d.flag}
    assert {"exact_duplicates", "near_duplicates", "template_tokens", "slot_asymmetry"} <= set(flags)
    assert flags["slot_asymmetry"].statistic == pytest.approx(17.5, abs=0.05)
    assert any("gap 17.5 points" in e.quote for e in flags["slot_asymmetry"].evidence)


def test_alpaca_eval_marks_extrapolations(alpaca: Report) -> None:
    """Length control far from any pair of equal length is called an extrapolation, for the null model and short answers."""
    notes = {s.model: x.note for s in alpaca.submissions for x in s.scores if x.control == "length_controlled"}
    assert "EXTRAPOLATION" in notes["NullModel"]
    assert "EXTRAPOLATION" not in notes["FuseChat-Gemma-2-9B-Instruct"]


def test_a_wrong_calibration_file_is_the_users_to_mend(shared_data: Path, tmp_path: Path) -> None:
    """A calibration file without its columns stops the audit with one line that names it."""
    wrong = tmp_path / "df_gamed.csv"
    wrong.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"df_gamed\.csv"):
        audit(shared_data / "alpaca_eval" / "results" / "phi-2", settings=Settings(replicates=60, calibration=wrong))


def test_judge_test_sets_report_on_the_judge(shared_data: Path) -> None:
    """LLMBar and JudgeBench have no submission to certify: the numbers are the judge's."""
    found = audit(shared_data / "judgebench", settings=FAST)
    assert found.submissions == ()
    assert found.judge.scores
    assert found.judge.position
    assert exit_code(found) == 0


def test_the_public_door_offers_the_function_after_the_module_was_imported() -> None:
    """`auditkit.audit` is the function even though a module of that name exists."""
    assert auditkit.audit is audit
    assert Benchmark("b").subject == "submissions"
