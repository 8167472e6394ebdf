"""Measures of probes: known truths on arrays, equal to hand counts, and what happens where there is too little."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auditkit.attacks.probes import CLEAN, PLACEBO, Outcomes, Probe, ProbeResult, catalogue
from auditkit.attacks.probes.estimates import mean_of, share_of, sign_test
from auditkit.attacks.probes.places import slot_frame
from auditkit.records import Order
from auditkit.stats.intervals import clopper_pearson

Array = NDArray[np.float64]
BOTH: tuple[Order, ...] = ("model_first", "model_second")
PROBES = [p for p in vars(catalogue).values() if isinstance(p, Probe)]


def sigmoid(x: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def drawn(rng: np.random.Generator, logits: Array, samples: int = 1) -> Array:
    """Verdicts 0 or 1 of shape (n, orders, samples)."""
    return np.asarray((rng.random((*logits.shape, samples)) < sigmoid(logits)[:, :, None]).astype(np.float64))


def outcomes(arms: dict[str, Array], **more: Any) -> Outcomes:
    n, orders, _ = next(iter(arms.values())).shape
    names: Any = BOTH if orders == 2 else ("model_first",)
    given = {"gold": np.full(n, np.nan), "codes": np.arange(n), **more}
    return Outcomes(arms, given.pop("orders", names), **given)


def part(result: ProbeResult, name: str) -> Any:
    return next(p for p in result.parts if p.name == name)


# --- by hand --------------------------------------------------------------------------------------------------------


def test_rates_by_hand() -> None:
    """Ten games, counted by hand: robustness, consistency, success, reverse, accuracy before and after."""
    clean = np.array([[0, 0], [0, 1], [1, 0], [0, 0], [1, 1], [0, 0], [0, 0], [1, 1], [0, 1], [0, 0]], float)
    edit = np.array([1, 1, 1, 0, 1, 1, 0, 0, 1, 0], float)
    placebo = np.array([0, 0, 1, 0, 1, 0, 0, 1, 0, 1], float)
    found = catalogue.AUTHORITY.result(
        outcomes(
            {CLEAN: clean[:, None, :], "references": edit[:, None, None], PLACEBO: placebo[:, None, None]},
            gold=np.zeros(10),
        )
    )
    assert found.estimate == pytest.approx((edit - clean[:, 0]).mean())
    assert found.control == pytest.approx((placebo - clean[:, 0]).mean())
    assert found.difference == pytest.approx((edit - placebo).mean())
    assert found.control_arm == PLACEBO
    assert part(found, "robustness rate (RR)").estimate == pytest.approx(0.5)
    assert part(found, "robustness rate (RR)").ci == pytest.approx(clopper_pearson(5, 10))
    assert part(found, "consistency rate (CR)").estimate == pytest.approx(0.7)
    assert part(found, "CR - RR").estimate == pytest.approx(0.2)
    assert part(found, "success rate (ASR)").estimate == pytest.approx(4 / 7)
    assert part(found, "success rate (ASR)").ci == pytest.approx(clopper_pearson(4, 7))
    assert part(found, "reverse flips").estimate == pytest.approx(1 / 3)
    assert part(found, "ASR - reverse flips").estimate == pytest.approx(4 / 7 - 1 / 3)
    assert part(found, "accuracy before").estimate == pytest.approx(0.7)
    assert part(found, "accuracy after").estimate == pytest.approx(0.4)
    # edit against placebo: 4 prompts gained, 2 lost; against the second draw 3 gained, 1 lost, which says more
    assert found.p_value == pytest.approx(sum(math.comb(6, k) for k in range(3)) / 2**6)
    assert (found.p_value or 0.0) > (1 + 4) / 2**4


def test_position_by_hand() -> None:
    """Six pairs: three agree, one flips to each place, one is a tie one way."""
    first = np.array([1, 1, 0, 1, 0, 0.5])
    second = np.array([1, 1, 0, 0, 1, 0.0])
    values = np.stack([first, second], axis=1)[:, :, None]
    found = catalogue.POSITION.result(outcomes({CLEAN: np.concatenate([values, values], axis=2)}))
    assert found.estimate == pytest.approx((first - second).mean())
    assert part(found, "position consistency (PC)").estimate == pytest.approx(3 / 6)
    assert part(found, "conflict rate").estimate == pytest.approx(2 / 6)
    assert part(found, "first pick (FP)").estimate == pytest.approx(2 / 3)
    assert part(found, "first pick (FP)").n == 3
    assert part(found, "position fairness (PF)").estimate == pytest.approx(-1 / 6)
    assert part(found, "consistency on asking again").estimate == 1.0
    assert part(found, "due to the order").estimate == pytest.approx(0.5)
    assert "3 agree" in part(found, "pairs").note
    assert found.control == 0.0


def test_repetition_by_hand() -> None:
    """Three games of three draws: all alike, two and one, all alike."""
    values = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 0]], float)[:, None, :]
    found = catalogue.REPETITION.result(outcomes({CLEAN: values}))
    assert found.estimate == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert part(found, "flips between two draws").estimate == pytest.approx(1 / 3)
    means = values[:, 0].mean(axis=1)
    across, within = 3 * means.var(ddof=1), values[:, 0].var(axis=1, ddof=1).mean()
    assert part(found, "intraclass correlation ICC(1)").estimate == pytest.approx(
        (across - within) / (across + 2 * within)
    )


def test_calibration_and_scale_by_hand() -> None:
    """Brier score, its promise, and the use of a scale."""
    p = np.array([[0.9, 0.9], [0.6, 0.6], [0.2, 0.2], [0.7, 0.7]])
    gold = np.array([1.0, 0.0, 0.0, 1.0])
    found = catalogue.CALIBRATION.result(outcomes({CLEAN: p[:, :, None]}, gold=gold))
    assert found.estimate == pytest.approx(((p[:, 0] - gold) ** 2).mean())
    assert found.control == pytest.approx((p[:, 0] * (1 - p[:, 0])).mean())
    assert part(found, "accuracy").estimate == pytest.approx(0.75)
    ratings = (np.array([7, 7, 7, 10.0]) - 1) / 9
    used = catalogue.SCALE_USE.result(
        outcomes({CLEAN: ratings[:, None, None]}, orders=("unknown",), pairwise=False, scale=(1.0, 10.0))
    )
    shares = np.array([0.75, 0.25])
    assert used.estimate == pytest.approx(-(shares * np.log(shares)).sum() / math.log(10))
    assert part(used, "share of the most frequent rating (7)").estimate == pytest.approx(0.75)
    assert part(used, "share at multiples of five").estimate == pytest.approx(0.25)
    assert part(used, "ratings in use").estimate == 2


def test_self_preference_by_hand() -> None:
    """Within right answers: own family wins 3 of 4, others 1 of 4."""
    y = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 1], float)
    author = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 0], float)
    gold = np.array([1] * 8 + [0] * 2, float)
    found = catalogue.SELF_PREFERENCE.result(
        outcomes({CLEAN: y[:, None, None]}, gold=gold, author=author, orders=("model_first",))
    )
    assert found.estimate == pytest.approx(0.5)
    assert part(found, "demographic parity gap (DP)").estimate == pytest.approx(3 / 5 - 2 / 5)
    assert part(found, "self-enhancement error rate (ErrRate_SE)").estimate == pytest.approx(abs(1 - 0.6 / 0.4))
    # of the 70 ways to give four of eight right answers to the family: 17 are as far from even on either side
    assert found.p_value == pytest.approx(34 / 70, abs=0.04)


def test_verbosity_gap_by_hand() -> None:
    """Errors where the right answer is shorter (2 of 3) less errors where it is longer (1 of 3)."""
    gold = np.zeros(6)
    own = np.array([100, 100, 100, 10, 10, 10], float)  # wrong answer longer: the right one is shorter
    y = np.array([1, 1, 0, 1, 0, 0], float)
    arms = {CLEAN: np.repeat(y[:, None, None], 2, axis=2), "filled": np.full((6, 1, 1), np.nan)}
    found = catalogue.LENGTH.result(
        outcomes(arms, gold=gold, length={CLEAN: np.stack([own, np.full(6, 50.0)], axis=1)})
    )
    assert found.estimate is None
    from auditkit.attacks.probes.lengths import verbosity_gap

    gap = verbosity_gap(outcomes(arms, gold=gold, length={CLEAN: np.stack([own, np.full(6, 50.0)], axis=1)}))
    assert gap.estimate == pytest.approx(1 / 3)
    assert gap.ci is not None
    assert gap.ci[0] < 1 / 3 < gap.ci[1]


def test_missing_verdicts_are_left_out_and_counted() -> None:
    """Only games with a verdict in every arm count."""
    clean = np.zeros((6, 1, 2))
    edit = np.array([1, 1, np.nan, 0, 0, 1.0])[:, None, None]
    placebo = np.array([0, 0, 0, np.nan, 0, 0.0])[:, None, None]
    found = catalogue.AUTHORITY.result(outcomes({CLEAN: clean, "references": edit, PLACEBO: placebo}))
    assert found.n == 4
    assert found.estimate == pytest.approx(3 / 4)


@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.id)
@pytest.mark.parametrize("kind", ["nothing", "one item", "no verdicts", "all alike", "ratings"])
def test_too_little_is_not_measured(probe: Probe, kind: str) -> None:
    """No number, a reason, no warning; a constant judge has no bias to show."""
    n = {"nothing": 0, "one item": 1}.get(kind, 12)
    value = np.nan if kind == "no verdicts" else 0.5
    orders: Any = ("unknown",) if kind == "ratings" else BOTH
    arms = {arm: np.full((n, len(orders), probe.samples(arm)), value) for arm in probe.arms}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = probe.result(
            Outcomes(
                arms, orders, np.zeros(n), np.arange(n, dtype=np.intp),
                {arm: np.full((n, 2), 80.0) for arm in arms}, np.arange(n, dtype=float) % 2,
                pairwise=kind != "ratings", scale=(1.0, 10.0) if kind == "ratings" else None,
            )
        )  # fmt: skip
    assert found.probe == probe.id
    if found.estimate is None:
        assert found.note.startswith("not measured: ")
        assert found.p_value is None
    else:
        assert kind in ("all alike", "ratings")
        assert found.sentence.endswith(".")
        assert found.p_value is None or found.p_value > 0.5 or probe.id == "calibration"


def test_clusters_widen_intervals() -> None:
    """Ten items of one prompt are one draw, not ten."""
    rng = np.random.default_rng(0)
    hits = np.repeat((rng.random(30) < 0.3).astype(float), 10)[:, None]
    alone = share_of(hits, np.arange(300), 0.95)
    clustered = share_of(hits, np.repeat(np.arange(30), 10), 0.95)
    assert alone.ci is not None
    assert clustered.ci is not None
    assert clustered.ci[1] - clustered.ci[0] > 2 * (alone.ci[1] - alone.ci[0])
    assert sign_test(hits, np.repeat(np.arange(30), 10))[1] == int(hits.sum() / 10)
    assert mean_of(np.zeros((50, 1)), np.arange(50), 0.95).ci != (0.0, 0.0)


@pytest.mark.parametrize("effect", [-0.003, 0.0, 0.2])
def test_few_prompts_claim_no_more_than_their_interval(effect: float) -> None:
    """Eight prompts with probabilities: p-value and interval say the same, also where all changes are tiny and alike."""
    rng = np.random.default_rng(4)
    base = 0.5 + 0.1 * rng.random((8, 2, 1))
    arms = {CLEAN: np.repeat(base, 2, axis=2), PLACEBO: base, "references": base + effect}
    found = catalogue.AUTHORITY.result(outcomes(arms))
    assert found.difference_ci is not None
    assert found.p_value is not None
    assert (found.p_value < 0.05) is (not found.difference_ci[0] <= 0.0 <= found.difference_ci[1])
    assert found.difference == pytest.approx(effect)


def test_outcomes_are_checked() -> None:
    """Shapes and ranges."""
    with pytest.raises(ValueError, match="expected"):
        outcomes({CLEAN: np.zeros((3, 2, 1)), "x": np.zeros((2, 2, 1))})
    with pytest.raises(ValueError, match="must lie in"):
        outcomes({CLEAN: np.full((3, 2, 1), 1.5)})
    with pytest.raises(ValueError, match="codes"):
        Outcomes({}, BOTH, np.zeros(3), np.zeros(2, dtype=np.intp))
    with pytest.raises(ValueError, match="at least twice"):
        Probe("x", "x", "x", "x", "x", {}, catalogue.POSITION.measure)
    with pytest.raises(ValueError, match="only with gold"):
        Probe("x", "x", "x", "x", "x", catalogue.POSITION.arms, catalogue.POSITION.measure, turned=True)


# --- known truth ----------------------------------------------------------------------------------------------------

Make = Callable[[np.random.Generator, int], Outcomes]


def _logits(rng: np.random.Generator, n: int, position: float, quality: float) -> Array:
    merit = quality * rng.standard_normal(n)
    return np.stack([merit + position, merit - position], axis=1)


def judged(position: float = 0.0, effect: float = 0.0, placebo: float = 0.0, quality: float = 1.5) -> Make:
    """A judge with known coefficients: log-odds of the place, of the edit, of any change of the text."""

    def make(rng: np.random.Generator, n: int) -> Outcomes:
        base = _logits(rng, n, position, quality)
        arms = {CLEAN: drawn(rng, base, 3), PLACEBO: drawn(rng, base + placebo)}
        for arm in ("references", "trivia", *catalogue.SENTIMENT.arms, *catalogue.TEMPLATE.arms):
            if arm not in arms:
                arms[arm] = drawn(rng, base + placebo + effect)
        gold = np.where(base.mean(axis=1) > 0, 1.0, 0.0)
        return outcomes(arms, gold=gold)

    return make


def truth(position: float, effect: float, quality: float, n: int = 400_000) -> tuple[float, float]:
    """The gain by the edit and the slot gap in the population."""
    base = _logits(np.random.default_rng(1), n, position, quality)
    gain = float((sigmoid(base + effect) - sigmoid(base)).mean())
    gap = sigmoid(base)
    return gain, float((gap[:, 0] - gap[:, 1]).mean())


def tally(probe: Probe, make: Make, value: float, seeds: int, n: int = 120) -> tuple[float, float]:
    """Share of seeds whose interval for what is left covers `value`, and share that claim something."""
    covered = claimed = 0
    for seed in range(seeds):
        found = probe.result(make(np.random.default_rng(seed), n))
        assert found.difference_ci is not None
        covered += found.difference_ci[0] <= value <= found.difference_ci[1]
        claimed += found.p_value is not None and found.p_value < 0.05
    return covered / seeds, claimed / seeds


def _tolerance(seeds: int) -> float:
    return 3.3 * math.sqrt(0.05 * 0.95 / seeds)


@pytest.mark.parametrize("seeds", [120, pytest.param(1000, marks=pytest.mark.slow)])
def test_known_effects_are_covered(seeds: int) -> None:
    """The interval of what is left covers the truth at its level; a real effect is found, and its size is right."""
    for effect in (0.0, 0.9):
        gain, _ = truth(0.3, effect, 1.5)
        covered, claimed = tally(
            catalogue.AUTHORITY, judged(0.3, effect, 0.2), _with_placebo(0.3, effect, 0.2, 1.5), seeds
        )
        assert covered > 0.95 - _tolerance(seeds), effect
        assert (claimed > 0.5) if effect else (claimed <= 0.05 + _tolerance(seeds)), effect
        assert gain >= 0.0


def _with_placebo(position: float, effect: float, placebo: float, quality: float) -> float:
    return truth(position, effect + placebo, quality)[0] - truth(position, placebo, quality)[0]


@pytest.mark.parametrize("seeds", [120, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_slot_gap_is_covered(seeds: int) -> None:
    """Position: coverage at the level, found where it is, and not claimed where it is not."""
    for position in (0.0, 0.6):
        _, gap = truth(position, 0.0, 1.5)
        covered, claimed = tally(catalogue.POSITION, judged(position), gap, seeds)
        assert covered > 0.95 - _tolerance(seeds), position
        assert (claimed > 0.9) if position else (claimed <= 0.05 + _tolerance(seeds)), position


@pytest.mark.parametrize(
    "probe",
    [catalogue.AUTHORITY, catalogue.DISTRACTION, catalogue.SENTIMENT, catalogue.TEMPLATE, catalogue.POSITION],
    ids=lambda p: p.id,
)
@pytest.mark.parametrize("quality", [0.0, 2.0])
@pytest.mark.parametrize("seeds", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_honest_and_random_judges_raise_no_alarm(probe: Probe, quality: float, seeds: int) -> None:
    """At most one seed in twenty claims a bias of a judge that has none, decided or guessing."""
    claims = 0
    for seed in range(seeds):
        found = probe.result(judged(quality=quality)(np.random.default_rng(7000 + seed), 80))
        claims += found.p_value is not None and found.p_value < 0.05
    assert claims / seeds <= 0.05 + _tolerance(seeds)


def test_a_random_judge_flips_often_and_none_of_it_is_due_to_the_edit() -> None:
    """Half of all verdicts flip, the success rate is near a half, and what is attributable is near 0."""
    found = catalogue.AUTHORITY.result(judged(quality=0.0)(np.random.default_rng(3), 2000))
    assert part(found, "robustness rate (RR)").estimate == pytest.approx(0.5, abs=0.04)
    assert part(found, "success rate (ASR)").estimate == pytest.approx(0.5, abs=0.05)
    assert part(found, "ASR - reverse flips").estimate == pytest.approx(0.0, abs=0.06)
    assert found.difference == pytest.approx(0.0, abs=0.04)
    flips = catalogue.DISTRACTION.result(judged(quality=0.0)(np.random.default_rng(4), 2000))
    assert flips.estimate == pytest.approx(0.5, abs=0.04)
    assert flips.difference == pytest.approx(0.0, abs=0.04)
    assert "Nothing stands out" in flips.sentence


def test_sensitivity_to_any_edit_is_not_taken_for_a_bias() -> None:
    """A judge moved by any change of the text is moved by the placebo too: nothing is left for the references."""
    found = catalogue.AUTHORITY.result(judged(placebo=0.8)(np.random.default_rng(5), 1500))
    assert found.estimate is not None
    assert found.estimate > 0.08
    assert abs(found.difference or 0.0) < 0.04
    assert part(found, "gain by the placebo").estimate > 0.08


def _longer(slope: float, quality: float) -> Make:
    """Length counts `slope` log-odds a doubling; answers differ in length, and arms make them longer or shorter."""

    def make(rng: np.random.Generator, n: int) -> Outcomes:
        own, other = (np.exp(rng.normal(6.0, 0.5, n)) for _ in range(2))
        base = _logits(rng, n, 0.4, quality)
        arms, lengths = {}, {}
        for arm, factor in ((CLEAN, 1.0), (PLACEBO, 1.0), ("filled", 1.7), ("doubled", 2.05), ("concise", 0.4)):
            effect = slope * np.log2(own * factor / other)
            arms[arm] = drawn(rng, base + effect[:, None], 2 if arm == CLEAN else 1)
            lengths[arm] = np.stack([own * factor, other], axis=1)
        return outcomes(arms, length=lengths)

    return make


@pytest.mark.parametrize("seeds", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_length_slope_is_covered(seeds: int) -> None:
    """The slope within items covers the planted log-odds a doubling; none is claimed where none is."""
    name = "length slope, the same answer longer (LS)"
    for slope in (0.0, 0.5):
        covered = claimed = 0
        for seed in range(seeds):
            found = part(catalogue.LENGTH.result(_longer(slope, 0.0)(np.random.default_rng(seed), 150)), name)
            covered += found.ci[0] <= slope <= found.ci[1]
            claimed += found.p_value < 0.05
        assert covered / seeds > 0.95 - _tolerance(seeds), slope
        assert (claimed / seeds > 0.9) if slope else (claimed / seeds <= 0.05 + _tolerance(seeds)), slope


def _own_family(bias: float) -> Make:
    def make(rng: np.random.Generator, n: int) -> Outcomes:
        gold = (rng.random(n) < 0.5).astype(float)
        author = (rng.random(n) < 0.2 + 0.5 * gold).astype(float)  # the family is better: DP alone would mislead
        logits = 1.2 * (2 * gold - 1) + bias * author
        return outcomes({CLEAN: drawn(rng, logits[:, None], 2)}, gold=gold, author=author)

    return make


@pytest.mark.parametrize("seeds", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_self_preference_is_told_from_quality(seeds: int) -> None:
    """SB covers the truth, and a family that is merely better raises no alarm though its DP is large."""
    for bias in (0.0, 1.0):
        value = float(sigmoid(np.array([1.2 + bias]))[0] - sigmoid(np.array([1.2]))[0])
        covered, claimed = tally(catalogue.SELF_PREFERENCE, _own_family(bias), value, seeds, n=300)
        assert covered > 0.95 - _tolerance(seeds), bias
        assert (claimed > 0.3) if bias else (claimed <= 0.05 + _tolerance(seeds)), bias
    found = catalogue.SELF_PREFERENCE.result(_own_family(0.0)(np.random.default_rng(1), 2000))
    assert part(found, "demographic parity gap (DP)").estimate > 0.15


def test_two_equal_answers_and_anchors() -> None:
    """A judge that leans to the first place shows it on equal pairs; an anchor pulls by its known size."""
    rng = np.random.default_rng(2)
    n = 400
    equal = drawn(rng, np.full((n, 2), 0.8))
    equal[:, 1] = np.nan
    found = catalogue.EQUAL_PAIR.result(outcomes({CLEAN: equal, "equal": equal, "blanks": equal}))
    assert found.estimate == pytest.approx(float(sigmoid(np.array([0.8]))[0]) - 0.5, abs=0.06)
    assert (found.p_value or 1.0) < 1e-6
    fair = drawn(rng, np.zeros((n, 2)))
    fair[:, 1] = np.nan
    assert (catalogue.EQUAL_PAIR.result(outcomes({CLEAN: fair, "equal": fair, "blanks": fair})).p_value or 0.0) > 0.001
    base = _logits(rng, n, 0.0, 1.0)
    turned = np.array([1.0, -1.0])
    arms = {CLEAN: drawn(rng, base, 2), PLACEBO: drawn(rng, base)}
    arms |= {"high": drawn(rng, base + 0.7 * turned), "low": drawn(rng, base - 0.7 * turned)}
    pulled = catalogue.ANCHORING.result(outcomes(arms))
    # in the frame of the place: up by 0.7 for the first, down by 0.7
    shown = slot_frame(outcomes(arms), base * turned + 0.5)
    assert shown.shape == (n, 2)
    assert pulled.estimate == pytest.approx(float((sigmoid(base + 0.7) - sigmoid(base - 0.7)).mean()), abs=0.07)
    assert (pulled.p_value or 1.0) < 1e-6


def test_planted_errors_that_are_overlooked_are_found() -> None:
    """Planted errors beat the right answer more often than open ones; where they do not, nothing is claimed."""
    rng = np.random.default_rng(9)
    for logit, found_it in ((0.0, True), (-2.5, False)):
        arms = {CLEAN: drawn(rng, np.full((150, 2), -2.5), 2), "planted": drawn(rng, np.full((150, 2), logit))}
        found = catalogue.FALLACY.result(outcomes(arms, gold=np.zeros(150)))
        assert ((found.p_value or 0.0) < 0.01) is found_it
        assert part(found, "better than guessing").estimate == pytest.approx(
            0.5 - float(sigmoid(np.array([logit]))[0]), abs=0.07
        )
