"""The runs that ship with auditkit: the live one, its recorded copy, and the simulated one."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from auditkit import demo, registry
from auditkit.attacks.detect import detect
from auditkit.audit import audit, audit_battles
from auditkit.cli import main
from auditkit.errors import InputError
from auditkit.formats import read, run_folder
from auditkit.judging.resolve import resolve
from auditkit.judging.runspec import load_spec
from auditkit.judging.spec import to_toml
from auditkit.records import Battles, Settings
from auditkit.reports import render
from auditkit.reports.report import Report
from auditkit.reports.wording import judge_sentence

HONEST = ("honest-strong", "honest-weak")
LARGEST = 1_500_000
LARGEST_LIVE = 500_000


@pytest.fixture(scope="module")
def battles() -> Battles:
    """The run as it ships."""
    return read(demo.recorded())


@pytest.fixture(scope="module")
def anew() -> Battles:
    """The run, generated again."""
    return demo.generate()


def test_the_generator_makes_the_committed_bytes(tmp_path: Path, anew: Battles) -> None:
    """Writing the generated run gives exactly the files that ship (regenerate with the lines below if a change is meant).

    from auditkit import demo; from auditkit.formats import run_folder
    run_folder.write(demo.generate(), demo.recorded())
    """
    run_folder.write(anew, tmp_path)
    committed = {file.name: file.read_bytes() for file in demo.recorded().iterdir()}
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == committed
    assert sum(map(len, committed.values())) < LARGEST


def test_another_seed_makes_another_run(anew: Battles) -> None:
    """The seed is used: texts and verdicts both change with it."""
    other = demo.generate(seed=1)
    assert not other.answers["text"].equals(anew.answers["text"])
    assert not other.games["outcome"].equals(anew.games["outcome"])


def test_it_says_that_it_is_simulated(battles: Battles) -> None:
    """Benchmark and judge are labelled, in the recording and in the report."""
    assert battles.benchmark.simulated
    assert "simulated" in battles.benchmark.name
    assert all("simulated" in judge for judge in battles.games["judge"].unique())


def test_every_pair_is_judged_in_both_orders(battles: Battles) -> None:
    """Each submission meets the baseline once in each order on every prompt, and some verdicts are unparsed."""
    orders = battles.games.groupby(["model", "prompt_id"])["order"].agg(["nunique", "size"])
    assert (orders["nunique"] == 2).all()
    assert (orders["size"] == 2).all()
    assert len(orders) == len(battles.models) * len(battles.prompts)
    unparsed = battles.games["outcome"].isna()
    assert 0 < unparsed.sum() < 0.02 * len(unparsed)
    assert (battles.games.loc[unparsed, "label"] == "").all()


def test_prompts_are_varied(battles: Battles) -> None:
    """120 different prompts, several categories, two languages."""
    prompts = battles.prompts
    assert len(prompts) == prompts["text"].nunique() == 120
    assert prompts["category"].nunique() >= 8
    assert set(prompts["language"]) == {"en", "de"}


def test_no_slot_is_left_open(battles: Battles) -> None:
    """The texts hold no unfilled template slot and no empty answer."""
    texts = pd.concat([battles.answers["text"], battles.prompts["text"]])
    assert not texts.str.contains(r"[{}]").any()
    assert (texts.str.len() > 20).all()


def test_the_planted_tastes_are_in_the_verdicts(battles: Battles) -> None:
    """Padding and decoration win what substance does not, and the null answer wins mostly where it is shown last."""
    games = battles.games
    wins = games.groupby("model")["outcome"].mean()
    assert wins["honest-strong"] > wins["honest-weak"] + 0.1
    assert min(wins["padded"], wins["styled"]) > wins["honest-weak"] + 0.1
    null = games[games["model"] == "null-constant"].groupby("order")["outcome"].mean()
    expected = {order: chance * (1 - demo.TIES) + 0.5 * demo.TIES for order, chance in demo.FOOLED.items()}
    for order, mean in expected.items():
        assert abs(null[order] - mean) < 4 * np.sqrt(0.25 / 120)


def test_honest_submissions_raise_no_flag(battles: Battles) -> None:
    """No detector asks for a review of an honest submission."""
    detectors = {name: plugin.load() for name, plugin in registry.plugins("detectors").items()}
    found = detect([battles.submission(model) for model in battles.models], detectors, Settings())
    flagged = {(m, d.detector) for m in HONEST for d in found[m] if d.flag and d.severity != "info"}
    assert flagged == set()


def test_only_the_null_model_is_rejected() -> None:
    """The strong submission is certified and leads once style is held fixed, the constant one is rejected."""
    report = audit(demo.recorded())
    verdicts = {s.model: s.verdict for s in report.submissions}
    assert verdicts == {
        "honest-strong": "certified",
        "honest-weak": "conditional",
        "null-constant": "rejected",
        "padded": "conditional",
        "styled": "conditional",
        "truncated": "conditional",
    }
    assert report.benchmark.simulated
    assert report.judge.simulated
    scores = {(s.model, score.control): score.estimate for s in report.submissions for score in s.scores}
    for control in ("joint", "style_controlled"):
        strong = scores["honest-strong", control]
        for model in ("honest-weak", "padded", "styled", "truncated"):
            held = scores[model, control]
            assert strong is not None
            assert held is not None
            assert held < strong
    assert (scores["styled", "raw"] or 0.0) > (scores["honest-strong", "raw"] or 0.0)


@pytest.mark.slow
def test_other_seeds_tell_the_same_story() -> None:
    """What the demo shows does not hang on its seed: five other runs reject the null model and nothing else."""
    for seed in range(1, 6):
        report = audit_battles(demo.generate(seed), settings=Settings(replicates=200))
        rejected = {s.model for s in report.submissions if s.verdict == "rejected"}
        assert rejected == {"null-constant"}


# --- the live run and its recorded copy ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live() -> Battles:
    """The recorded copy of the live run."""
    return read(demo.recorded_live())


@pytest.fixture(scope="module")
def live_report() -> Report:
    """Its audit."""
    return audit(demo.recorded_live())


def test_the_recorded_copy_is_of_the_benchmark_that_ships(live: Battles) -> None:
    """Prompts, judge, models and known pairs of the copy are those that a live run would use now.

    Where this fails: run `auditkit demo --out out` and copy out/run to auditkit/examples/live, without its store and
    without the [[inputs]] of run.toml.
    """
    work = resolve(load_spec(demo.benchmark(), environ={}))
    record = tomllib.loads((demo.recorded_live() / "run.toml").read_text("utf-8"))
    assert record["judge"]["sha256"] == work.contest.judge_sha256
    assert live.games["judge"].unique().tolist() == [work.contest.judge_name]
    assert live.judges == (to_toml(work.contest.judge),)
    assert live.prompts["text"].tolist() == [prompt.text for prompt in work.contest.prompts]
    writers = {w.name: (w.address.model, w.system, dict(w.params)) for w in work.writers}
    assert writers == {m["name"]: (m["model"], m["system"], m["params"]) for m in record["models"] if "model" in m}
    known = resolve(load_spec(demo.known_pairs(), environ={}))
    assert known.contest.judge_sha256 == work.contest.judge_sha256
    check = live.judge_check
    assert check is not None
    assert check.prompts["text"].tolist() == [prompt.text for prompt in known.contest.prompts]
    for name in ("right", "wrong"):
        texts = check.answers.loc[check.answers["model"] == name, "text"].tolist()
        assert texts == [known.contest.answers[name][p.id].turns[0] for p in known.contest.prompts]


def test_the_recorded_copy_is_small_and_holds_no_store_and_no_path() -> None:
    """What ships is the tables and their record."""
    files = [file for file in demo.recorded_live().rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < LARGEST_LIVE
    assert {file.suffix for file in files} == {".toml", ".jsonl"}
    assert not any("inputs" in tomllib.loads(f.read_text("utf-8")) for f in files if f.suffix == ".toml")


def test_the_live_run_is_complete_and_not_simulated(live: Battles) -> None:
    """A real model: every pair in both orders with a verdict, 20 to 30 known pairs, each right answer known."""
    assert not live.benchmark.simulated
    check = live.judge_check
    assert check is not None
    assert check.benchmark.subject == "judge"
    assert 20 <= len(check.prompts) <= 30
    assert (check.games["gold"] == 1.0).all()
    for battles in (live, check):
        assert battles.games["outcome"].notna().all()
        assert (battles.games.groupby(["model", "prompt_id"])["order"].nunique() == 2).all()
    assert live.models == ("null-constant", "terse", "wordy")


def test_the_report_says_what_the_judge_is_worth(live: Battles, live_report: Report, tmp_path: Path) -> None:
    """Accuracy and position preference are a plain recount of the known pairs, and page and terminal say them."""
    check = live.judge_check
    assert check is not None
    right = [outcome > 0.5 for outcome in check.games["outcome"]]
    first = [
        (outcome > 0.5) == (order == "model_first")
        for outcome, order in zip(check.games["outcome"], check.games["order"], strict=True)
    ]
    judge = live_report.judge
    assert not judge.simulated
    scores = {score.control: score for score in judge.scores}
    accuracy = scores["judge_accuracy"]
    assert accuracy.estimate == pytest.approx(100 * sum(right) / len(right))
    assert accuracy.ci is not None
    assert accuracy.ci[0] < accuracy.ci[1]
    place = judge.position[judge.name]
    assert place.first_preference == pytest.approx(sum(first) / len(first))
    sentence = judge_sentence(accuracy, place)
    assert f"{accuracy.estimate:.1f}%" in sentence
    assert sentence in render(live_report)
    shown = CliRunner().invoke(main, ["demo", "--recorded", "--quiet", "--json", "--out", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["judge"]["scores"]


def test_too_few_prompts_certify_nothing(live_report: Report) -> None:
    """Sixteen prompts carry no verdict, whatever the scores."""
    assert {s.verdict for s in live_report.submissions} == {"not_certifiable"}


def test_the_terminal_says_what_the_judge_is_worth(tmp_path: Path) -> None:
    """`auditkit demo --recorded` prints a line about the judge and ends with 0."""
    shown = CliRunner().invoke(main, ["demo", "--recorded", "--quiet", "--out", str(tmp_path / "out")])
    assert shown.exit_code == 0, shown.output
    assert "On pairs with a known answer" in " ".join(shown.stdout.split())
    assert (tmp_path / "out" / "report.html").exists()


def test_without_a_model_the_recorded_copy_is_audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, one line says so, and the report is that of the recorded copy."""
    monkeypatch.setattr(demo, "_NEEDED", ("xllamacpp", "no_such_package_of_weights"))
    shown = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "out")])
    assert shown.exit_code == 0, shown.output
    assert "auditing the recorded copy of a live run" in shown.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report["benchmark"]["name"] == "auditkit-demo (live)"


@pytest.mark.slow
@pytest.mark.skipif(bool(demo.missing()), reason="the extra 'local' is not installed")
def test_the_live_run_runs(tmp_path: Path, live: Battles) -> None:
    """The embedded model answers and judges; made again, nothing is asked twice and the report says the same."""
    out = tmp_path / "out"
    shown = CliRunner().invoke(main, ["demo", "--out", str(out)])
    assert shown.exit_code == 0, shown.output
    first = (out / "report.json").read_text("utf-8")
    made = read(out / "run")
    assert made.judge_check is not None
    assert len(made.games) == len(live.games)
    assert json.loads(first)["judge"]["scores"]
    again = CliRunner().invoke(main, ["demo", "--out", str(out), "--quiet"])
    assert again.exit_code == 0, again.output
    second = json.loads((out / "report.json").read_text("utf-8"))
    assert second["judge"] == json.loads(first)["judge"]
    assert second["submissions"] == json.loads(first)["submissions"]


# --- what a recording brings along about its judge ----------------------------------------------------------------


def test_a_judge_check_is_written_and_read_back(tmp_path: Path, live: Battles) -> None:
    """The pairs with a known answer survive writing, publishing and joining; of one judge they count once."""
    run_folder.write(live, tmp_path / "a")
    run_folder.publish(live, tmp_path / "b")
    for folder in ("a", "b"):
        again = read(tmp_path / folder)
        assert again.judge_check is not None
        assert live.judge_check is not None
        pd.testing.assert_frame_equal(again.judge_check.games, live.judge_check.games)
    both = Battles.concat([live, live])
    assert both.judge_check is not None
    assert live.judge_check is not None
    assert len(both.judge_check.games) == len(live.judge_check.games)


def test_a_folder_of_submissions_is_no_judge_check(tmp_path: Path, live: Battles) -> None:
    """A sub-folder judge_check without subject "judge" is refused with one line."""
    run_folder.write(live, tmp_path)
    run_folder.write(replace(live, judge_check=None), tmp_path / run_folder.JUDGE_CHECK)
    with pytest.raises(InputError, match="subject = 'judge'"):
        read(tmp_path)


def test_another_judge_is_not_credited(live: Battles) -> None:
    """Pairs that a different judge saw say nothing about this one: a note, and no number."""
    other = live.judge_check
    assert other is not None
    other = replace(other, games=other.games.assign(judge="somebody else"))
    report = audit_battles(replace(live, judge_check=other), settings=Settings(replicates=100))
    assert report.judge.scores == ()
    assert not report.judge.position
    assert any("somebody else" in note.text for note in report.notes)


@pytest.mark.parametrize(
    ("right", "by_place", "says"),
    [
        (1.0, False, "right in 100.0%"),
        (0.0, False, "worse than a coin"),
        (0.5, True, "it goes by the place, not by the answer"),
    ],
)
def test_the_judge_is_told_in_plain_words(live: Battles, right: float, by_place: bool, says: str) -> None:
    """A perfect judge, one that is always wrong, and one that always takes the answer shown second."""
    check = live.judge_check
    assert check is not None
    outcome = np.where(check.games["order"] == "model_first", 0.2, 0.8) if by_place else 0.2 + 0.6 * right
    check = replace(check, games=check.games.assign(outcome=outcome))
    report = audit_battles(replace(live, judge_check=check), settings=Settings(replicates=100))
    accuracy = next(s for s in report.judge.scores if s.control == "judge_accuracy")
    assert accuracy.estimate == pytest.approx(100 * right)
    place = report.judge.position[report.judge.name]
    assert says in judge_sentence(accuracy, place)
    assert ("shown second" in judge_sentence(None, place)) == by_place


def test_nothing_known_about_a_judge_says_nothing() -> None:
    """Without pairs there is no sentence."""
    assert judge_sentence(None, None) == ""
