"""Running detectors: calibration against the cohort, failures that do not spread, the same result every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit import registry
from auditkit.attacks.detect import detect
from auditkit.attacks.detect.run import Detector, compared_by
from auditkit.records import Detection, Settings, Submission

Build = Callable[..., Submission]

NAMES = (
    "baseline_copy coverage duplicate_rows evaluator_address exact_duplicates gibberish html_comment instruction_override "
    "invisible_unicode language_mismatch length_dispersion metadata_mismatch near_duplicates parse_failures placeholders "
    "prompt_echo slot_asymmetry special_tokens tag_unicode template_tokens trace_leak truncation"
)


def test_our_detectors_are_registered_under_their_names(detectors: dict[str, Detector], build: Build) -> None:
    """Each entry point leads to a function that gives a detection of its own name and has a summary."""
    assert sorted(detectors) == NAMES.split()
    submission = build()
    for name, detector in detectors.items():
        assert detector(submission, Settings()).detector == name
        assert registry.find("detectors", name).summary.endswith((".", ":"))


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=1, max_size=9))
def test_p_values_are_conformal(statistics: list[int | None]) -> None:
    """(1 + others at least as large) / (1 + others), counted one by one; None without others or statistic."""
    import pandas as pd

    empty = pd.DataFrame()
    cohort = [Submission(str(i), empty, empty, 0, empty) for i in range(len(statistics))]
    found = detect(
        cohort, {"d": lambda s, _: Detection("", False, "info", statistic=statistics[int(s.model)])}, Settings()
    )
    for i, own in enumerate(statistics):
        others = [s for k, s in enumerate(statistics) if k != i and s is not None]
        expected = (1 + sum(s >= own for s in others)) / (1 + len(others)) if own is not None and others else None
        assert found[str(i)][0].p_value == expected


def test_a_detector_that_raises_is_not_measured_and_the_others_go_on(build: Build) -> None:
    """A plugin's failure is its own; the message cannot steer a terminal."""

    def broken(submission: Submission, settings: Settings) -> Detection:
        raise KeyError("\x1b[31mno such column")

    def fine(submission: Submission, settings: Settings) -> Detection:
        return Detection("fine", False, "info", statistic=0.0)

    first, second = detect([build()], {"broken": broken, "fine": fine}, Settings())["m"]
    assert (first.detector, first.flag, second.flag) == ("broken", None, False)
    assert "KeyError" in first.note
    assert "\x1b" not in first.note


def test_a_cohort_step_that_raises_is_not_measured_either(build: Build) -> None:
    """The same holds for what a detector does once it knows the others."""

    def raises(submissions: Sequence[Submission], detections: Sequence[Detection]) -> Sequence[Detection]:
        raise ZeroDivisionError

    @compared_by(raises)
    def detector(submission: Submission, settings: Settings) -> Detection:
        return Detection("d", True, "reject", statistic=1.0)

    assert detect([build()], {"d": detector}, Settings())["m"][0].flag is None


def test_the_cohort_step_sees_all_submissions_in_order(build: Build) -> None:
    """What the step returns stands for the submissions in their order."""

    def rank(submissions: Sequence[Submission], detections: Sequence[Detection]) -> Sequence[Detection]:
        return [
            Detection("d", s.model == "b", "review", statistic=d.statistic)
            for s, d in zip(submissions, detections, strict=True)
        ]

    @compared_by(rank)
    def detector(submission: Submission, settings: Settings) -> Detection:
        return Detection("d", None, "info", statistic=1.0)

    found = detect([build(model=m) for m in "abc"], {"d": detector}, Settings())
    assert [found[m][0].flag for m in "abc"] == [False, True, False]


def test_no_submissions_give_no_detections(detectors: dict[str, Detector]) -> None:
    """An empty recording is no error."""
    assert detect([], detectors, Settings()) == {}


def test_the_same_seed_gives_the_same_detections(build: Build, detectors: dict[str, Detector]) -> None:
    """Sampling detectors draw from the seed alone."""
    submissions = [build(seed=s, model=f"m{s}", n=300) for s in (1, 2)]
    assert detect(submissions, detectors, Settings(seed=3)) == detect(submissions, detectors, Settings(seed=3))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_tiny_submissions_are_not_measured_rather_than_flagged(
    build: Build, detectors: dict[str, Detector], n: int
) -> None:
    """None, one or two honest answers: every detector returns, none flags, and those that cannot tell say so."""
    found = detect([build(n=n)], detectors, Settings())["m"]
    assert [d for d in found if d.flag] == []
    assert [d for d in found if "failed (" in d.note] == []
    assert all(d.note.startswith("not measured: ") for d in found if d.flag is None)
    assert {"exact_duplicates", "near_duplicates", "gibberish", "slot_asymmetry", "truncation"} <= {
        d.detector for d in found if d.flag is None
    }
