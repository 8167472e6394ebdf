"""What an edit says is told from its length: placebos of one length, harm in one direction, and tastes planted alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auditkit.attacks.probes import CLEAN, PLACEBO, Outcomes, Probe, catalogue, placebo_of
from auditkit.attacks.probes.edited import control_of
from auditkit.attacks.probes.estimates import compared, sign_test
from auditkit.attacks.probes.neutral import SHORTEST, matched, neutral
from auditkit.attacks.probing import Probed
from auditkit.attacks.protocol import Situation
from auditkit.judging.inputs import Prompt
from auditkit.judging.known import builtin_pairs
from auditkit.judging.simulated_judges import asks_for_verdict, authority, length, quality, style
from auditkit.judging.simulated_writer import claims
from auditkit.judging.spec import load_judge
from auditkit.records import Order
from auditkit.reports.stress_changes import changes_for
from auditkit.reports.stress_conclusions import _probes
from auditkit.reports.stress_report import ProbeFinding

Array = NDArray[np.float64]
PROBES = [p for p in vars(catalogue).values() if isinstance(p, Probe)]
JUDGE = load_judge("arena-hard-v0.1")
BOTH: tuple[Order, ...] = ("model_first", "model_second")
TEXTS = (
    "Yes.", "42", "It is at rest", "Rivers run to the sea as a rule. The water is then taken up again.\n\nIt rains.",
    "# So\n\n- **one** thing\n- another  thing\n\n1. third", "```\nx = 3\n```\nIs it? It is: «ü» 😀.",
)  # fmt: skip


def situation(answer: str, opponent: str = "It flows away.", number: int = 0) -> Situation:
    return Situation(Prompt(f"p{number}", ("Why?",)), answer, opponent, JUDGE)


# --- placebos of one length -----------------------------------------------------------------------------------------


def test_neutral_text_has_any_length_and_says_nothing() -> None:
    """Exactly as many characters; no mark, number, reference, claim or plea; too short a one is refused."""
    for size in range(SHORTEST, 700):
        text = neutral(size)
        assert len(text) == size
        assert style(text) == authority(text) == 0.0
        assert not claims(text) and not asks_for_verdict(text) and not any(map(str.isdigit, text))
    with pytest.raises(ValueError, match="at least 9"):
        neutral(SHORTEST - 1)


def additive() -> Iterator[tuple[Probe, str]]:
    for probe in PROBES:
        for arm in probe.arms:
            if placebo_of(arm) in probe.arms:
                yield probe, arm


@pytest.mark.parametrize("answer", TEXTS)
def test_every_edit_meets_a_placebo_of_its_own_length(answer: str) -> None:
    """Both answers are as long as in the arm; the answer itself is whole in it; where there is none the arm adds nothing."""
    at = situation(answer)
    checked = 0
    for probe, arm in additive():
        shown, placebo = probe.arms[arm](at), probe.arms[placebo_of(arm)](at)
        if shown is None or placebo is None:
            assert shown is None or len(shown.own) == len(answer), (probe.id, arm)
            continue
        assert (len(placebo.own), len(placebo.opponent)) == (len(shown.own), len(shown.opponent)), (probe.id, arm)
        assert answer in placebo.own and placebo.own != shown.own
        checked += 1
    assert checked >= 15


def test_every_probe_that_edits_an_answer_has_one() -> None:
    """But for the length probe, whose length is what is asked about."""
    at = situation(TEXTS[3])
    for probe in PROBES:
        for arm, make in probe.arms.items():
            shown = make(at)
            if arm in (CLEAN, PLACEBO) or arm.startswith(placebo_of("")) or shown is None or probe.id == "length":
                continue
            longer = len(shown.own) - len(at.answer), len(shown.opponent) - len(at.opponent)
            if probe.id in ("equal-pair", "fallacy"):
                assert len(shown.own) == len(shown.opponent)
            elif longer != (0, 0):
                assert placebo_of(arm) in probe.arms, (probe.id, arm)


def test_text_before_and_after_is_matched_where_it_stands() -> None:
    text = matched(lambda at: f"{'b' * 30}\n\n{at.answer}\n\n{'a' * 40}")(situation("An answer."))
    before, _, after = text.partition("\n\nAn answer.\n\n")
    assert (len(before), len(after)) == (30, 40)
    assert matched(lambda at: at.answer)(situation("An answer.")) == "An answer."


# --- the direction that does harm -----------------------------------------------------------------------------------


def outcomes(arms: dict[str, Array], **more: Any) -> Outcomes:
    n = next(iter(arms.values())).shape[0]
    return Outcomes(arms, BOTH, np.zeros(n), np.arange(n, dtype=np.intp), **more)


@pytest.mark.parametrize("exact", [True, False])
def test_one_sided_tests_are_the_halves(exact: bool) -> None:
    rng = np.random.default_rng(0)
    change, control = ((rng.random((30, 2)) < p).astype(np.float64) for p in (0.8, 0.3))
    if not exact:
        change, control = (0.8 * x + 0.1 * rng.random((30, 2)) for x in (change, control))
    args: dict[str, Any] = {"codes": np.arange(30), "level": 0.95, "shares": False, "exact": exact}
    up = compared(change, control, greater=True, **args).p_value or 0.0
    down = compared(control, change, greater=True, **args).p_value or 0.0
    both = compared(change, control, **args).p_value or 0.0
    assert up == pytest.approx(both / 2) and up < 0.01 and down > 0.99
    assert sign_test(np.zeros((3, 1)), np.arange(3), greater=True)[0] == 1.0


@pytest.mark.parametrize("name", sorted({"template", "distraction", "sentiment", "identity", "compassion-fade"}))
def test_fewer_flips_than_asking_again_are_no_bias(name: str) -> None:
    """The judge gives another verdict in half the games when asked again, and in few under the edit."""
    rng = np.random.default_rng(1)
    probe = next(p for p in PROBES if p.id == name)
    n = 80
    clean = (rng.random((n, 2, 1)) < 0.5).astype(float)
    steady = np.where(rng.random((n, 2, 1)) < 0.1, 1.0 - clean, clean)
    again = (rng.random((n, 2, 1)) < 0.5).astype(float)
    arms = {arm: again if arm == PLACEBO or arm.startswith(placebo_of("")) else steady for arm in probe.arms}
    arms[CLEAN] = np.concatenate([clean, again], axis=2)
    found = probe.result(outcomes(arms))
    assert (found.difference or 0.0) < -0.2
    assert (found.p_value or 0.0) > 0.9
    (finding,) = _probes([Probed(probe, found)], 0.95)
    assert finding.flag is False
    assert changes_for((), (), (), (finding,)) == ()
    turned = {arm: steady if values is again else again for arm, values in arms.items()}
    turned[CLEAN] = np.concatenate([clean, steady], axis=2)
    (harmful,) = _probes([Probed(probe, probe.result(outcomes(turned)))], 0.95)
    assert harmful.flag is True and len(changes_for((), (), (), (harmful,))) == 1


HARMLESS = ("authority", "bandwagon", "flattery", "refinement", "concreteness", "length", "fallacy")


@pytest.mark.parametrize("name", HARMLESS)
def test_an_edit_that_loses_is_no_bias(name: str) -> None:
    """A judge that marks references, boasts, invented figures, filler and planted errors down does what it should."""
    probe = next(p for p in PROBES if p.id == name)
    rng, n = np.random.default_rng(2), 80
    plain = {arm: (rng.random((n, 2, probe.samples(arm))) < 0.5).astype(float) for arm in probe.arms}
    edits = [arm for arm in probe.arms if arm not in (CLEAN, PLACEBO) and not arm.startswith(placebo_of(""))]
    for sign, flagged in ((0.0, False), (1.0, True)):
        arms = {arm: np.where(rng.random(x.shape) < 0.8, sign, x) if arm in edits else x for arm, x in plain.items()}
        sizes = {arm: np.full((n, 2), 90.0) for arm in arms}
        (found,) = _probes([Probed(probe, probe.result(outcomes(arms, length=sizes)))], 0.95)
        assert found.flag is flagged, (name, sign)


def test_form_is_a_bias_in_either_direction() -> None:
    """The words are the same: to mark them down for their form is as wrong."""
    rng = np.random.default_rng(3)
    for probe in (catalogue.STYLE, catalogue.BEAUTY):
        arms = {arm: (rng.random((80, 2, probe.samples(arm))) < 0.5).astype(float) for arm in probe.arms}
        arms |= {arm: np.zeros((80, 2, 1)) for arm in ("markdown", "rich") if arm in arms}
        (found,) = _probes([Probed(probe, probe.result(outcomes(arms)))], 0.95)
        assert found.flag is True and (found.difference or 0.0) < -0.3


def test_what_beats_empty_text_alone_is_no_bias() -> None:
    """A judge that rightly marks filler down likes the references no better than the answer as it is."""
    rng = np.random.default_rng(4)
    arms = {CLEAN: (rng.random((100, 2, 2)) < 0.5).astype(float), "references": (rng.random((100, 2, 1)) < 0.5) * 1.0}
    arms[placebo_of("references")] = (rng.random((100, 2, 1)) < 0.1) * 1.0
    found = catalogue.AUTHORITY.result(outcomes(arms))
    assert (found.difference or 0.0) > 0.3 and (found.p_value or 0.0) > 0.05
    arms["references"] = np.ones((100, 2, 1))
    assert (catalogue.AUTHORITY.result(outcomes(arms)).p_value or 1.0) < 1e-6


def test_an_item_whose_edit_adds_nothing_is_held_against_a_second_draw() -> None:
    clean = np.zeros((4, 2, 2))
    clean[:, :, 1] = 0.5
    placebo = np.ones((4, 2, 1))
    placebo[2:] = np.nan
    games, name = control_of(
        catalogue.AUTHORITY, outcomes({CLEAN: clean, placebo_of("references"): placebo}), "references"
    )
    assert name == "placebo of its length"
    assert games[:, 0].tolist() == [1.0, 1.0, 0.5, 0.5]


# --- one taste at a time --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Taste:
    """A judge with coefficients, as `simulated/biased` has them; every distinct question is drawn once."""

    quality: float = 2.0
    length: float = 0.0
    style: float = 0.0
    authority: float = 0.0
    position: float = 0.0

    def merit(self, question: str, answer: str) -> float:
        return (
            self.quality * (quality(question, answer) - 0.5) + self.length * length(answer) + self.style * style(answer)
            + self.authority * authority(answer)
        )  # fmt: skip


def situations(n: int) -> list[Situation]:
    return [
        Situation(Prompt(pair.id, (pair.question,)), pair.wrong, pair.right, JUDGE, place, seed=0)
        for place, pair in enumerate(builtin_pairs(n))
    ]


class Played:
    """All probes on the same items: the chance that each thing shown wins, and which of them are one and the same."""

    def __init__(self, taste: Taste, items: Sequence[Situation]) -> None:
        self.n = len(items)
        self.probes = [p for p in PROBES if p.applies(JUDGE) and "author" not in p.needs and p.id != "repetition"]
        self.keys: dict[tuple[Any, ...], int] = {}
        chances: list[float] = []
        self.places: dict[tuple[str, str], NDArray[np.intp]] = {}
        self.lengths: dict[tuple[str, str], Array] = {}
        for probe in self.probes:
            for arm, make in probe.arms.items():
                place = np.full((self.n, 2, probe.samples(arm)), -1, dtype=np.intp)
                size = np.full((self.n, 2), np.nan)
                for i, at in enumerate(items):
                    shown = make(at)
                    if shown is None:
                        continue
                    size[i] = len(shown.own), len(shown.opponent)
                    question = at.prompt.turns[-1]
                    gap = taste.merit(question, shown.own) - taste.merit(question, shown.opponent)
                    for k, order in enumerate(BOTH):
                        if shown.order not in (None, order):
                            continue
                        logit = gap + (taste.position if order == "model_first" else -taste.position)
                        for sample in range(probe.samples(arm)):
                            key = (i, shown.own, shown.opponent, order, sample, shown.turns, shown.judge)
                            if key not in self.keys:
                                self.keys[key] = len(chances)
                                chances.append(1.0 / (1.0 + np.exp(-logit)))
                            place[i, k, sample] = self.keys[key]
                self.places[probe.id, arm], self.lengths[probe.id, arm] = place, size
        self.chances = np.array(chances)

    def findings(self, seed: int) -> tuple[ProbeFinding, ...]:
        drawn = np.append((np.random.default_rng(seed).random(len(self.chances)) < self.chances).astype(float), np.nan)
        played = []
        for probe in self.probes:
            arms = {arm: drawn[self.places[probe.id, arm]] for arm in probe.arms}
            sizes = {arm: self.lengths[probe.id, arm] for arm in probe.arms}
            played.append(Probed(probe, probe.result(outcomes(arms, length=sizes))))
        return _probes(played, 0.95)


TASTES = {
    "length": (Taste(length=2.0), {"length"}),
    "style": (Taste(style=2.0), {"style", "beauty"}),
    "authority": (Taste(authority=3.0), {"authority"}),
    "position": (Taste(position=2.0), {"position", "equal-pair"}),
}


@pytest.mark.parametrize("name", sorted(TASTES))
@pytest.mark.parametrize("seeds", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_a_taste_is_named_and_no_other_is(name: str, seeds: int) -> None:
    """Its own probe is flagged in every run and gives the first advice; others at no more than the false discovery rate."""
    taste, own = TASTES[name]
    played = Played(taste, situations(60))
    wrong, total = [], 0
    for seed in range(seeds):
        findings = played.findings(seed)
        flagged = {p.probe for p in findings if p.flag}
        assert own <= flagged, (seed, flagged)
        changes = changes_for((), (), (), findings)
        assert changes[0].from_ == name, (seed, changes)
        total += len(flagged - own)
        wrong.append(len(flagged - own) / len(flagged))
    assert np.mean(wrong) <= 0.10 + 2.0 * np.sqrt(0.1 * 0.9 / seeds), total


@pytest.mark.parametrize("seeds", [40, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("knows", [0.0, 2.0])
def test_a_noisy_judge_without_bias_is_flagged_no_more_often_than_stated(knows: float, seeds: int) -> None:
    """Without a bias every flag is false, so that the share of runs with any is the false discovery rate: at most 0.1."""
    played = Played(Taste(quality=knows), situations(60))
    runs = [any(p.flag for p in played.findings(9000 + seed)) for seed in range(seeds)]
    assert np.mean(runs) <= 0.10 + 2.0 * np.sqrt(0.1 * 0.9 / seeds)
