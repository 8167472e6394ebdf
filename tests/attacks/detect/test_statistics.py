"""The detectors' statistics against naive counts and another library."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditkit.attacks.detect import detect
from auditkit.attacks.detect.answers import fold, judged, quote
from auditkit.attacks.detect.copying import baseline_copy
from auditkit.attacks.detect.duplicates import near_duplicates, shingles
from auditkit.attacks.detect.gibberish import _CLASS, _strangest, _surprisal
from auditkit.attacks.detect.judging import parse_failures
from auditkit.attacks.detect.slot import slot_asymmetry
from auditkit.records import Settings, Submission

Build = Callable[..., Submission]


def _grams(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def _jaccard(a: str, b: str) -> float:
    left, right = _grams(a), _grams(b)
    return len(left & right) / len(left | right) if left and right else 0.0


@given(
    st.lists(st.text(alphabet="ab \n", max_size=40), max_size=6),
    st.lists(st.text(alphabet="ab ", max_size=40), max_size=6),
)
def test_shingles_are_the_sets_of_5_grams(left: list[str], right: list[str]) -> None:
    """Sizes and intersections equal those of Python sets of word tuples."""
    n = min(len(left), len(right))
    a, b = shingles(tuple(left[:n])), shingles(tuple(right[:n]))
    assert a.size.tolist() == [len(_grams(t)) for t in left[:n]]
    assert a.overlap(b).tolist() == [len(_grams(x) & _grams(y)) for x, y in zip(left[:n], right[:n], strict=True)]


def test_mean_similarity_estimates_the_mean_over_all_pairs(build: Build, writer: Any) -> None:
    """2,000 random pairs come close to the exact mean over all pairs (standard error of the draw: 0.003)."""
    tail = " and so the careful harbour explains the quiet lantern of a patient neighbour to everyone who asks about it today"
    texts = [writer.sentence() + (tail if i % 2 else "") for i in range(60)]
    exact = float(np.mean([_jaccard(a, b) for a, b in combinations(texts, 2)]))
    found = near_duplicates(build(texts), Settings())
    assert found.statistic == pytest.approx(exact, abs=0.015)


def test_copying_is_the_mean_jaccard_with_the_baseline(build: Build) -> None:
    """Equal to the naive mean over prompts."""
    honest = build(n=40)
    base = honest.rows["baseline"].tolist()
    texts = [f"{b} {t}" for b, t in zip(base, honest.rows["text"], strict=True)]
    exact = np.mean([_jaccard(a, b) for a, b in zip(texts, base, strict=True)])
    assert baseline_copy(build(texts), Settings()).statistic == pytest.approx(exact)


def test_the_slot_gap_is_welchs(build: Build) -> None:
    """Between prompts: the z of the gap is Welch's t statistic."""
    rng = np.random.default_rng(5)
    order = ["model_first", "model_second"] * 100
    outcome = rng.random(200) * np.where(np.array(order) == "model_second", 1.0, 0.7)
    found = slot_asymmetry(build(order=order, outcome=outcome), Settings())
    first, second = outcome[0::2], outcome[1::2]
    assert found.statistic == pytest.approx(100 * abs(second.mean() - first.mean()))
    welch = stats.ttest_ind(second, first, equal_var=False).statistic
    assert found.statistic is not None
    assert found.threshold is not None
    assert found.statistic / found.threshold * 4 == pytest.approx(abs(welch))


def test_games_without_a_verdict_or_an_order_have_no_slot(build: Build) -> None:
    """They are left out, and with too few others the gap is not measured."""
    rng = np.random.default_rng(5)
    outcome = np.where(rng.random(200) < 0.5, np.nan, rng.random(200))
    kept = ~np.isnan(outcome)
    order = np.array(["model_first", "model_second"] * 100)
    found = slot_asymmetry(build(order=order, outcome=outcome), Settings())
    gap = outcome[kept & (order == "model_second")].mean() - outcome[kept & (order == "model_first")].mean()
    assert found.statistic == pytest.approx(100 * abs(gap))
    assert found.n == int(kept.sum())
    assert slot_asymmetry(build(order=["unknown"] * 200), Settings()).statistic is None


def test_failed_verdicts_are_tested_by_fishers_exact_test(build: Build) -> None:
    """The p-value in the note is scipy's, one-sided."""
    failed = (12, 3, 4)
    cohort = [build(model=f"m{k}", outcome=[np.nan] * k + [1.0] * (200 - k)) for k in failed]
    p = stats.fisher_exact([[12, 188], [7, 393]], alternative="greater").pvalue
    note = detect(cohort, {"parse_failures": parse_failures}, Settings())["m12"][0].note
    assert note.endswith(f"Fisher p {p:.2g}")


def test_surprisal_is_a_probability_and_windows_are_means() -> None:
    """After every pair of classes the probabilities add up to 1; the strangest window is a plain maximum of means."""
    training = ("the quick brown fox jumps over the lazy dog. " * 20, "0123 {x} [y] __z__ caf\u00e9\n" * 5)
    bits = _surprisal(training)
    assert (2.0 ** -bits.reshape(64, 64, 64).astype(float)).sum(axis=2) == pytest.approx(np.ones((64, 64)), rel=1e-4)
    text = "The dog jumps over qzxv#8 and more of the lazy fox in the quick brown {text} " * 4
    codes = [int(_CLASS[b]) for b in text.encode()]
    each = [float(bits[(codes[i] << 12) | (codes[i + 1] << 6) | codes[i + 2]]) for i in range(len(codes) - 2)]
    means = [np.mean(each[i : i + 128]) for i in range(0, len(each) - 127, 16)]
    best, where = _strangest((text, "short"), bits)
    assert best[0] == pytest.approx(max(means), rel=1e-5)
    assert where[0] == 16 * int(np.argmax(means))
    assert np.isnan(best[1])


@given(st.text(max_size=400), st.integers(0, 400), st.integers(0, 60))
def test_quotations_are_short_and_inert(text: str, start: int, length: int) -> None:
    """At most 300 characters, all printable, whatever the text and the place."""
    for evidence in (quote("p", text), quote("p", text, start, start + length)):
        assert len(evidence.quote) <= 300
        assert evidence.quote.isprintable()


def test_a_quotation_shows_the_place_it_is_about() -> None:
    """Deep inside a long text, the found words are in the quotation."""
    text = "a" * 5000 + " FOUND " + "b" * 5000
    assert "FOUND" in quote("p", text, 5001, 5006).quote


def test_severity_is_that_of_the_highest_threshold_reached() -> None:
    """Info, review, reject: each from its threshold on, and the threshold reported is the one reached."""
    steps = [judged("d", s, n=1, info=0.1, review=0.2, reject=0.3) for s in (0.05, 0.1, 0.2, 0.3)]
    assert [(d.flag, d.severity, d.threshold) for d in steps] == [
        (False, "info", 0.1), (True, "info", 0.1), (True, "review", 0.2), (True, "reject", 0.3),
    ]  # fmt: skip
    assert judged("d", 0.1, n=1, info=0.5, review=0.1).severity == "review"


def test_folding_ignores_case_and_blanks() -> None:
    """A prompt quoted with another line break is still quoted."""
    assert fold("The  Start\nof") == fold("the start of")
