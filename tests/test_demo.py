"""The recorded run that ships with auditkit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auditkit import demo, registry
from auditkit.attacks.detect import detect
from auditkit.audit import audit, audit_battles
from auditkit.formats import read, run_folder
from auditkit.records import Battles, Settings

HONEST = ("honest-strong", "honest-weak")
LARGEST = 1_500_000


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
