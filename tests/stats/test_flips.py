"""Flips agree with independent implementations and with counts made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep

from auditkit.errors import NoData
from auditkit.stats.flips import directional_flips, excess_flips, mcnemar, positional_consistency, share
from auditkit.stats.intervals import clopper_pearson

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(PAIRS)
def test_mcnemar_agrees_with_statsmodels(pairs: list[tuple[bool, bool]]) -> None:
    """The exact p-value is statsmodels'; mid-p takes off the probability of the table itself."""
    before, after = zip(*pairs, strict=True)
    found = mcnemar(before, after)
    table = np.zeros((2, 2))
    for b, a in pairs:
        table[int(b), int(a)] += 1
    assert (found.lost, found.gained, found.n) == (table[1, 0], table[0, 1], len(pairs))
    assert found.exact_p == pytest.approx(float(reference_mcnemar(table, exact=True).pvalue))
    changed = found.gained + found.lost
    if changed:
        own = float(binom.pmf(min(found.gained, found.lost), changed, 0.5))
        double = 2 * float(binom.cdf(min(found.gained, found.lost), changed, 0.5))
        assert found.mid_p == pytest.approx(min(1.0, double - own))
        assert found.mid_p <= found.exact_p


def test_mcnemar_worked_example() -> None:
    """One loss against nine gains: 2 * 11 / 1024 exact, less 10 / 1024 for mid-p (Fagerland et al. 2013's formula)."""
    before = [1] + [0] * 9 + [1] * 5
    after = [0] + [1] * 9 + [1] * 5
    found = mcnemar(before, after)
    assert (found.exact_p, found.mid_p) == pytest.approx((22 / 1024, 12 / 1024))


@given(PAIRS)
def test_directional_flips_agree_with_statsmodels(pairs: list[tuple[bool, bool]]) -> None:
    """Rates are of those that could flip; the difference has Newcombe's interval."""
    before, after = zip(*pairs, strict=True)
    found = directional_flips(before, after)
    could, did = sum(not b for b, _ in pairs), sum(not b and a for b, a in pairs)
    held, left = sum(b for b, _ in pairs), sum(b and not a for b, a in pairs)
    assert (found.asr.k, found.asr.n, found.reverse.k, found.reverse.n) == (did, could, left, held)
    if could:
        assert found.asr.ci == clopper_pearson(did, could)
    if could and held:
        assert found.net == pytest.approx(did / could - left / held)
        reference = confint_proportions_2indep(did, could, left, held, compare="diff", method="newcomb")
        assert found.net_ci == pytest.approx(reference, abs=1e-6)
    else:
        assert math.isnan(found.net)
        assert math.isnan(found.net_ci[0])


def test_a_random_judge_has_no_net_flips() -> None:
    """A judge that tosses a coin has a directional success rate near one half, and a net rate near 0."""
    rng = np.random.default_rng(0)
    found = directional_flips(rng.random(4000) < 0.5, rng.random(4000) < 0.5)
    assert found.asr.estimate == pytest.approx(0.5, abs=0.04)
    assert found.net_ci[0] < 0 < found.net_ci[1]


def test_nothing_to_flip_is_not_measured() -> None:
    """A null answer that no prompt favoured has no reverse flips to measure: NaN, never 0."""
    found = directional_flips([0, 0, 0, 0], [1, 1, 0, 0])
    assert found.asr.estimate == 0.5
    assert math.isnan(found.reverse.estimate)
    assert found.reverse.n == 0
    assert math.isnan(found.net)


def test_flips_of_an_edit_beyond_those_of_repetition() -> None:
    """A judge that wavers on a tenth of the prompts, and an edit that flips a further fifth: the excess holds a fifth."""
    rng = np.random.default_rng(1)
    verdicts = rng.integers(0, 3, 1500)
    repeated = np.where(rng.random(1500) < 0.1, (verdicts + 1) % 3, verdicts)
    edited = np.where(rng.random(1500) < 0.3, (verdicts + 2) % 3, verdicts)
    found = excess_flips(verdicts, edited, repeated)
    assert found.robustness.estimate == pytest.approx(0.7, abs=0.04)
    assert found.consistency.estimate == pytest.approx(0.9, abs=0.03)
    assert found.excess.estimate == pytest.approx(found.consistency.estimate - found.robustness.estimate)
    assert found.excess.ci[0] < 0.2 < found.excess.ci[1]
    assert found.test.mid_p < 1e-6
    same = excess_flips(verdicts, repeated, repeated)
    assert same.excess.estimate == 0.0
    assert same.excess.ci[0] < 0 < same.excess.ci[1]
    assert same.test.exact_p == 1.0


def test_positional_consistency_needs_both_orders() -> None:
    """Only prompts won in both orders count."""
    found = positional_consistency([1, 1, 0, 0], [1, 0, 1, 0])
    assert (found.k, found.n, found.estimate) == (1, 4, 0.25)
    assert found.ci == clopper_pearson(1, 4)


@pytest.mark.parametrize(("n", "percent"), [(80, 3.68), (500, 0.60), (805, 0.37)])
def test_no_success_leaves_room(n: int, percent: float) -> None:
    """None of n: the one-sided 95% limits of the specification."""
    assert 100 * share(0, n, 0.9).ci[1] == pytest.approx(percent, abs=0.005)


def test_bad_input_is_refused() -> None:
    """Unequal, empty or missing verdicts: one clear error each."""
    with pytest.raises(ValueError, match="differ in shape"):
        mcnemar([1, 0], [1])
    with pytest.raises(NoData):
        mcnemar([], [])
    with pytest.raises(ValueError, match="drop and count missing"):
        positional_consistency([1.0, math.nan], [1.0, 0.0])
    with pytest.raises(ValueError, match="differ in shape"):
        excess_flips([0, 1], [0, 1], [0])
    with pytest.raises(NoData):
        excess_flips([], [], [])
    with pytest.raises(ValueError, match="k must lie"):
        share(3, 2)
