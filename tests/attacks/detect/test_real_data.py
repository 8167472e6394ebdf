"""The detectors on AlpacaEval's published results: the null model is rejected, thirteen honest models are not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from auditkit import formats
from auditkit.attacks.detect import detect
from auditkit.attacks.detect.run import Detector
from auditkit.attacks.detect.tokens import _EXACT
from auditkit.records import Battles, Detection, Settings


@pytest.fixture(scope="module")
def battles(shared_data: Path) -> Battles:
    """The fourteen published submissions."""
    return formats.read(shared_data / "alpaca_eval" / "results")


@pytest.fixture(scope="module")
def found(battles: Battles, detectors: dict[str, Detector]) -> dict[str, dict[str, Detection]]:
    """Every detection, by model and detector."""
    cohort = [battles.submission(model) for model in battles.models]
    assert len(cohort) == 14
    return {m: {d.detector: d for d in ds} for m, ds in detect(cohort, detectors, Settings()).items()}


def test_the_null_model_is_rejected_for_what_it_is(found: dict[str, dict[str, Detection]]) -> None:
    """Constant output and template tokens reject it; the slot gap is named."""
    null = found["NullModel"]
    rejected = {name for name, d in null.items() if d.flag and d.severity == "reject"}
    assert rejected == {"exact_duplicates", "near_duplicates", "template_tokens", "instruction_override"}
    assert null["exact_duplicates"].statistic == pytest.approx(0.9988, abs=1e-4)
    assert null["near_duplicates"].statistic == pytest.approx(1.0)
    assert null["slot_asymmetry"].statistic == pytest.approx(17.5, abs=0.05)
    assert null["slot_asymmetry"].flag is True
    assert null["slot_asymmetry"].severity == "review"
    assert null["slot_asymmetry"].evidence[0].quote == "second 85.7, first 68.2: gap 17.5 points, z 10.3 (n 399/406)"


def test_honest_models_are_flagged_by_nothing_but_missing_rows(found: dict[str, dict[str, Detection]]) -> None:
    """No reject and no review flag on any of thirteen; the three with 802 to 804 rows are told so."""
    honest = {
        (model, d.detector, d.severity)
        for model, detections in found.items()
        if model != "NullModel"
        for d in detections.values()
        if d.flag
    }
    assert honest == {
        ("alpaca-7b_concise", "coverage", "info"),
        ("alpaca-7b_verbose", "coverage", "info"),
        ("phi-2", "coverage", "info"),
    }


def test_every_detector_measured_every_honest_model(found: dict[str, dict[str, Detection]]) -> None:
    """Nothing is silently left out on real data."""
    assert [d for m, ds in found.items() if m != "NullModel" for d in ds.values() if d.flag is None] == []


def test_honest_models_stay_well_below_the_thresholds(found: dict[str, dict[str, Detection]]) -> None:
    """Graded statistics keep a margin of two at least, so that the next honest model is safe as well."""
    graded = (
        "baseline_copy", "exact_duplicates", "gibberish", "language_mismatch", "length_dispersion", "near_duplicates",
        "prompt_echo", "truncation",
    )  # fmt: skip
    for model, detections in found.items():
        for name in graded if model != "NullModel" else ():
            statistic, threshold = detections[name].statistic, detections[name].threshold
            assert statistic is not None
            assert threshold is not None
            assert statistic <= threshold / 2, (model, name, statistic)


def test_no_published_answer_holds_an_exact_placeholder(battles: Battles) -> None:
    """The harness keys occur in none of eleven thousand answers and no baseline answer, code included."""
    assert len(battles.answers) > 11_000
    assert [t for t in battles.answers["text"] if _EXACT.search(t)] == []


def test_placeholder_keys_are_those_of_the_published_templates(shared_data: Path) -> None:
    """Each key that the judges' own template files substitute is known, the common English ones apart."""
    keys: set[str] = set()
    for path in sorted((shared_data / "judges").rglob("*")):
        if path.is_file():
            keys |= set(re.findall(r"(?<!\{)\{\$?[A-Za-z_0-9]+\}(?!\})", path.read_text("utf-8")))
    ordinary = {
        "{instruction}",
        "{question}",
        "{question_1}",
        "{question_2}",
        "{QUESTION}",
        "{answer}",
        "{answer_1}",
        "{answer_2}",
    }
    assert len(keys) > 15
    assert {key for key in keys - ordinary if not _EXACT.fullmatch(key)} == set()


def test_an_arena_hard_recording_raises_no_false_alarm(shared_data: Path, detectors: dict[str, Detector]) -> None:
    """Other prompts, other models, two games a prompt: nothing but the coverage, 108 of 500 prompts, is flagged.

    The published answer file of this model is keyed to other prompts than the judge saw; only what was judged counts.
    """
    recording = formats.read(shared_data / "arena_hard" / "arena-hard-v0.1")
    found = detect([recording.submission(model) for model in recording.models], detectors, Settings())
    assert len(found) == 1
    assert [d.detector for ds in found.values() for d in ds if d.flag and d.severity != "info"] == ["coverage"]
    assert [d for ds in found.values() for d in ds if "failed (" in d.note] == []
