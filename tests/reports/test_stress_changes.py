"""What to change first: no advice for lack of data, length before what it explains, each difference within its bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auditkit.attacked import AttackResult
from auditkit.attacks.plan import AttackPlan
from auditkit.records import Settings
from auditkit.reports.stress_changes import USELESS, changes_for, pairs_needed
from auditkit.reports.stress_conclusions import _row, _share
from auditkit.reports.stress_report import Change, Measure, ProbeFinding
from auditkit.stress import StressPlan, stress

# --- accuracy -------------------------------------------------------------------------------------------------------


def measured(values: np.ndarray) -> Measure:
    return _share("accuracy", "names the right answer", values.astype(np.float64), 0.95)


def advice(values: np.ndarray) -> tuple[Change, ...]:
    return changes_for((), (measured(values),), (), ())


def test_three_pairs_all_right_are_no_reason_to_change_the_model() -> None:
    (change,) = advice(np.ones(3))
    assert change.from_ == "pairs"
    assert change.what.startswith("These 3 pairs cannot tell whether it knows right from wrong: play more (--pairs ")
    assert advice(np.ones(8)) == ()


def test_a_judge_that_follows_the_place_alone_is_useless_at_the_default_number_of_pairs() -> None:
    """Right in one of two orders on every pair: 24 of them bound its accuracy below 60%."""
    (change,) = advice(np.full(24, 0.5))
    assert change.from_ == "accuracy" and "another judge model" in change.what
    assert [c.from_ for c in advice(np.full(4, 0.5))] == ["pairs"]
    assert advice(np.zeros(24))[0].from_ == "accuracy"


def test_that_pairs_are_too_few_is_said_last() -> None:
    probe = ProbeFinding("x", "x", "x", 0.3, (0.1, 0.5), 9, difference=0.1, flag=True, sentence="So.", mend="Mend.")
    changes = changes_for((), (measured(np.array([1.0, 0.5, 0.0, 1.0])),), (), (probe,))
    assert [change.from_ for change in changes] == ["x", "pairs"]


#: The most runs that may call a judge of this accuracy useless; the fewest, for one that guesses.
FALSE_ALARMS = {0.6: 0.025, 0.75: 0.005, 0.9: 0.0}
FOUND = {8: 0.05, 24: 0.12, 100: 0.5}


@pytest.mark.parametrize("orders_agree", [False, True])
@pytest.mark.parametrize("n", [8, 24, 100])
@pytest.mark.parametrize("seeds", [250, pytest.param(3000, marks=pytest.mark.slow)])
def test_how_often_a_judge_is_called_useless(n: int, orders_agree: bool, seeds: int) -> None:
    """By true accuracy: next to never at 75% and above, at most the interval's error at 60%, and often for a guesser.

    At eight pairs the interval by Student's t (or Wilson's) of values in halves is approximate, and errs up to twice as
    often as stated.
    """
    rng = np.random.default_rng(n)
    for accuracy in (0.5, 0.6, 0.75, 0.9):
        called = untold = 0
        for _ in range(seeds):
            values = rng.binomial(1, accuracy, n) * 1.0 if orders_agree else rng.binomial(2, accuracy, n) / 2
            first = {change.from_ for change in advice(values)}
            called, untold = called + ("accuracy" in first), untold + ("pairs" in first)
        rate = called / seeds
        if accuracy == 0.5:
            assert rate >= FOUND[n] - 3 * np.sqrt(FOUND[n] / seeds), (accuracy, rate)
            silent = 1.0 - rate - untold / seeds  # its lower limit lies above a half
            assert silent <= 2.4 * 0.025 + 3 * np.sqrt(0.05 / seeds), silent
        else:
            allowed = FALSE_ALARMS[accuracy] * (2.4 if n == 8 else 1.0)
            assert rate <= allowed + 3 * np.sqrt(allowed / seeds), (accuracy, rate)


@pytest.mark.parametrize("accuracy", [0.5, 0.6, 0.75, 0.9])
def test_as_many_pairs_as_are_asked_for_tell(accuracy: float) -> None:
    """The number settles the question in most runs, and is one that can be played."""
    rng = np.random.default_rng(5)
    asked: list[int] = []
    told: list[bool] = []
    while len(told) < 150:
        found = measured(rng.binomial(2, accuracy, 8) / 2)
        if found.ci is None or not (found.ci[0] <= 0.5 and found.ci[1] >= USELESS):
            told.append(True)  # eight were enough
            continue
        asked.append(pairs_needed(found))
        assert 8 < asked[-1] <= 1000 and asked[-1] % 10 == 0
        told.append(all(c.from_ != "pairs" for c in advice(rng.binomial(2, accuracy, asked[-1]) / 2)))
    assert np.mean(told) >= 0.75, (accuracy, np.mean(told), np.median(asked))


# --- length and what it explains ------------------------------------------------------------------------------------


def attack(name: str, uplift: float, bound: float, mend: str, family: str = "style") -> AttackResult:
    return AttackResult(
        name, family, "none", 0, uplift, (bound, uplift), bound, uplift + 5, 0.001, None, True, 60, 5.0, title=name, mend=mend,
    )  # fmt: skip


def probe(name: str, flag: bool, gain: float = 0.8, mend: str = "") -> ProbeFinding:
    return ProbeFinding(
        name, name, "gain", gain, (gain - 0.1, gain + 0.1), 60, difference=gain if flag else 0.0, flag=flag,
        sentence=f"{name} says so.", mend=mend or f"Mend {name}.",
    )  # fmt: skip


LENGTH = probe("length", True, mend="Control length.")


def test_length_comes_first_and_holds_what_it_explains() -> None:
    tone, padded = attack("tone-user", 70, 62, "Mind the tone."), attack("padding-filler", 80, 75, "Control length.")
    changes = changes_for((), (), (tone, padded), (LENGTH, probe("flattery", False)))
    assert [change.what for change in changes] == ["Control length."]
    assert changes[0].points == 75
    assert "padding-filler, tone-user gain no more than that" in changes[0].why


@pytest.mark.parametrize(
    ("tone", "probes"),
    [
        (attack("tone-user", 70, 62, "Mind the tone."), (LENGTH, probe("flattery", True))),
        (attack("tone-user", 99, 95, "Mind the tone."), (LENGTH, probe("flattery", False))),
        (attack("tone-user", 70, 62, "Mind the tone."), (LENGTH,)),
        (attack("persuasion-pity", 70, 62, "Mind the tone."), (LENGTH, probe("bandwagon", False))),
    ],
    ids=["its probe stands out", "gains more than length can", "its probe was not played", "there is no such probe"],
)
def test_what_length_does_not_explain_is_named_after_it(tone: AttackResult, probes: tuple[ProbeFinding, ...]) -> None:
    changes = changes_for((), (), (tone,), probes)
    assert [change.what for change in changes][:2] == ["Control length.", "Mind the tone."]


def test_an_injection_is_never_taken_for_length() -> None:
    injected = attack("injection-naive", 70, 62, "Fence the answers.", "injection")
    for flagged in (True, False):
        changes = changes_for((), (), (injected,), (probe("length", flagged), probe("flattery", False)))
        assert changes[0].what == "Fence the answers."


def test_equal_answers_are_part_of_the_place() -> None:
    changes = changes_for((), (), (), (probe("equal-pair", True), probe("position", True)))
    assert [change.from_ for change in changes] == ["position"]
    assert [c.from_ for c in changes_for((), (), (), (probe("equal-pair", True), probe("position", False)))] == [
        "equal-pair"
    ]


# --- two judges -----------------------------------------------------------------------------------------------------


def test_differences_are_bounded_by_what_each_kind_can_be() -> None:
    """Two accuracies differ by at most 100 points, two gains by 200: with few pairs the bounds are what the limits follow."""
    a, b = np.zeros(5), np.full(5, 100.0)
    right = _row("accuracy", "accuracy", a, b, Settings())
    gain = _row("tone-user", "tone", a, b, Settings())
    assert right.ci is not None and gain.ci is not None
    assert right.ci[1] <= 100.0 and gain.ci[1] > 100.0
    assert right.ci[0] > gain.ci[0]
    assert (right.p_value or 1.0) < (gain.p_value or 0.0)
    wide = _row("tone-user", "tone", np.full(5, 100.0), np.full(5, -100.0), Settings())
    assert wide.difference == -200.0


# --- from end to end ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("taste", "first"),
    [("length=2", "length"), ("authority=4", "authority"), ("style=2", "style"), ("position=2", "position")],
)
def test_a_simulated_judge_is_told_its_own_taste_first(tmp_path: Path, taste: str, first: str) -> None:
    plan = StressPlan(
        model=f"simulated/biased?quality=2&{taste}",
        attacks=AttackPlan(only=("tone-user",)),
        probes="all",
        fuzz=20,
        pairs=60,
    )
    judge = stress("arena-hard-v0.1", plan, out=tmp_path).judge
    kin = {"style": {"style", "beauty"}, "position": {"position", "equal-pair"}}.get(first, {first})
    assert {p.probe for p in judge.probes if p.flag} == kin
    assert [change.from_ for change in judge.changes] == [first]
