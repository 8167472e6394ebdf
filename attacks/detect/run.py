"""Run every detector on every submission, and compare each submission with the others."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from auditkit.attacks.detect.answers import DEFAULTS
from auditkit.errors import printable
from auditkit.records import Detection, Settings, Submission

__all__ = ["Cohort", "Detector", "compared_by", "detect"]

Detector = Callable[[Submission, Settings], Detection]
#: Takes all submissions and what the detector said of each, and returns what it says in the light of all.
Cohort = Callable[[Sequence[Submission], Sequence[Detection]], Sequence[Detection]]
_ATTRIBUTE: Final = "cohort"
_D = TypeVar("_D", bound=Callable[..., Detection])


def compared_by(cohort: Cohort) -> Callable[[_D], _D]:
    """Mark a detector whose flag depends on the other submissions: `cohort` decides once all are measured.

    The mark is the attribute ``cohort`` of the detector, so that a detector from elsewhere can carry it too.
    """

    def mark(detector: _D) -> _D:
        setattr(detector, _ATTRIBUTE, cohort)
        return detector

    return mark


def _failed(name: str, error: Exception) -> Detection:
    return Detection(name, None, "info", note=f"not measured: the detector failed ({printable(repr(error))})")


def _measure(name: str, detector: Detector, submission: Submission, settings: Settings) -> Detection:
    try:
        return replace(detector(submission, settings), detector=name)
    except Exception as error:  # noqa: BLE001  # a plugin is anyone's code: its failure is reported, the audit goes on
        return _failed(name, error)


def _compare(
    name: str, detector: Detector, submissions: Sequence[Submission], first: list[Detection]
) -> list[Detection]:
    cohort: Cohort | None = getattr(detector, _ATTRIBUTE, None)
    if cohort is not None:
        try:
            first = [replace(d, detector=name) for _, d in zip(submissions, cohort(submissions, first), strict=True)]
        except Exception as error:  # noqa: BLE001  # as in _measure
            return [_failed(name, error) for _ in submissions]
    known = sorted(d.statistic for d in first if d.statistic is not None)
    if len(known) < 2:
        return first
    return [
        d
        if d.statistic is None
        # Of the others: all that are at least as large, without its own.
        else replace(d, p_value=(len(known) - bisect_left(known, d.statistic)) / len(known))
        for d in first
    ]


def detect(
    submissions: Sequence[Submission], detectors: Mapping[str, Detector], settings: Settings = DEFAULTS
) -> dict[str, tuple[Detection, ...]]:
    """Run all detectors on all submissions and calibrate them against the cohort.

    The p-value is conformal: (1 + others with a statistic at least as large) / (1 + others); None where there are
    no others. With k others it cannot fall below 1 / (1 + k), so it ranks submissions and flags none by itself.

    Args:
        submissions: The submissions of one recording.
        detectors: Detectors by name; results carry that name.
        settings: Seed and the like, passed on to each detector.

    Returns:
        For each model, one detection per detector, in the order of `detectors`.

    Source: Vovk, Gammerman and Shafer 2005, conformal p-values.
    """
    # Submission by submission: detectors share what they compute from the same answers.
    first = [{name: _measure(name, d, s, settings) for name, d in detectors.items()} for s in submissions]
    columns = [
        _compare(name, detector, submissions, [own[name] for own in first]) for name, detector in detectors.items()
    ]
    return {s.model: tuple(column[i] for column in columns) for i, s in enumerate(submissions)}
