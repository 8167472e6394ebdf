"""Attacking a benchmark, from a spec to every submission's report, through the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from auditkit.attack import attack, dry_run_attack
from auditkit.attacked import suite_from_json, suite_to_json
from auditkit.attacks.plan import AttackPlan
from auditkit.audit import audit
from auditkit.cli import main
from auditkit.errors import InputError, UsageError
from auditkit.formats import run_folder
from auditkit.judging.known import builtin_pairs
from auditkit.judging.spec import load_judge, to_toml
from auditkit.records import Settings

QUICK = Settings(replicates=100)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A benchmark of 40 prompts with three submissions: one mostly right, one half, one mostly wrong; an obedient judge."""
    pairs = builtin_pairs(40)

    def write(name: str, rows: list[dict[str, str]]) -> None:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    write("prompts.jsonl", [{"id": p.id, "prompt": p.question} for p in pairs])
    write("baseline.jsonl", [{"id": p.id, "answer": p.right if i % 2 else p.wrong} for i, p in enumerate(pairs)])
    for name, share in (("good", 9), ("middling", 5), ("weak", 1)):
        rows = [{"id": p.id, "answer": p.right if i % 10 < share else p.wrong} for i, p in enumerate(pairs)]
        write(f"{name}.jsonl", rows)
    models = "".join(
        f'[[models]]\nname = "{name}"\nanswers = "{name}.jsonl"\n' for name in ("weak", "middling", "good")
    )  # fmt: skip
    file = tmp_path / "audit.toml"
    file.write_text(
        '[benchmark]\npath = "prompts.jsonl"\nbaseline = "baseline.jsonl"\n'
        f'{models}[judge]\nuse = "arena-hard-v0.1"\nmodel = "simulated/obey?p=0.9&seed=2"\n',
        encoding="utf-8",
    )
    return file


PLAN = AttackPlan(only=("injection-naive", "null-structured", "padding-double"))


def test_every_submission_s_report_carries_what_attacks_made_of_the_benchmark(spec: Path, tmp_path: Path) -> None:
    done = attack(spec, PLAN, out=tmp_path / "run")
    assert done.complete and done.calls > 0
    report = audit(done.folder, settings=QUICK)
    assert {s.model for s in report.submissions} == {"weak", "middling", "good"}
    for submission in report.submissions:
        found = {a.attack: a for a in submission.attacks}
        assert set(found) == {"injection-naive", "null-structured", "padding-double"}
        assert submission.gameability.points and submission.gameability.points > 20
        assert submission.gameability.attack in ("injection-naive", "null-structured"), "both ask for the verdict"
        assert submission.gameability.cost_to_top == 0, "an attack that asks nobody passes every submission"
        assert submission.gameability.rank_uplift == 2
        assert submission.null_floor.attack.startswith("attack null-structured")
        assert submission.cost.calls and submission.cost.calls > 0
    assert report.judge.sha256 == load_judge("arena-hard-v0.1").sha256
    texts = run_folder.read(done.folder).answers["text"]
    assert not texts.str.contains("verdict").any(), "attacked answers are no submission's"


def test_a_judge_whose_tags_and_labels_carry_a_secret_can_be_attacked(spec: Path, tmp_path: Path) -> None:
    judge = replace(load_judge("arena-hard-v0.1"), name="guarded", fence="tags", nonce=True, label_nonce=True)
    (tmp_path / "guarded.toml").write_text(to_toml(judge), encoding="utf-8")
    text = spec.read_text(encoding="utf-8").replace('"arena-hard-v0.1"', '"guarded.toml"')
    spec.write_text(text.replace("obey?p=0.9", f"nonce?judge={tmp_path / 'guarded.toml'}"), encoding="utf-8")
    report = audit(attack(spec, AttackPlan(only=("injection-naive",)), out=tmp_path / "run").folder, settings=QUICK)
    for submission in report.submissions:
        (found,) = submission.attacks
        assert found.status == "played" and found.uplift is not None and found.uplift < 10, found


def test_the_same_command_again_asks_nobody_and_gives_the_same_folder(spec: Path, tmp_path: Path) -> None:
    first = attack(spec, PLAN, out=tmp_path / "run")
    suite = (first.folder / "attacks" / "suite.json").read_bytes()
    again = attack(spec, PLAN, out=tmp_path / "run")
    assert again.calls == 0 and (first.folder / "attacks" / "suite.json").read_bytes() == suite


def test_a_suite_is_written_and_read_back(spec: Path, tmp_path: Path) -> None:
    folder = attack(spec, AttackPlan(only=("padding-double",)), out=tmp_path / "run").folder
    battles = run_folder.read(folder)
    assert battles.attacked is not None and battles.attacked.suite is not None
    text = suite_to_json(battles.attacked.suite)
    assert suite_from_json(text.encode()) == battles.attacked.suite
    (folder / "attacks" / "suite.json").write_text(text.replace('"padding-double"', "7", 1))
    with pytest.raises(InputError, match="attack"):
        run_folder.read(folder)


def test_a_dry_run_asks_nobody_and_bounds_the_calls(spec: Path, tmp_path: Path) -> None:
    forecast = dry_run_attack(spec, PLAN, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    lines = {line.what: line for line in forecast.lines}
    assert lines["judgments"].calls == 40 * 2 * 3 and lines["attacked answers, at most"].calls == 40 * 2 * 3
    done = attack(spec, PLAN, out=tmp_path / "run")
    assert done.calls + done.run.calls <= forecast.calls


def test_names_that_are_none_are_refused_before_anything_is_asked(spec: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no submission is named"):
        attack(spec, AttackPlan(carrier="nobody"), out=tmp_path / "run")
    with pytest.raises(UsageError, match="no attack or family is named"):
        attack(spec, AttackPlan(only=("nothing",)), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_prints_a_report(spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    args = [
        "attack",
        str(spec),
        "--attack",
        "injection-naive",
        "--carrier",
        "good",
        "--out",
        str(out),
        "--quiet",
        "--json",
    ]
    result = CliRunner().invoke(main, args)
    assert result.exit_code in (0, 1, 3), result.output
    report = json.loads(result.stdout)
    assert report["submissions"][0]["attacks"][0]["attack"] == "injection-naive"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "injection-naive" in page
