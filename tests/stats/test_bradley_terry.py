"""Bradley-Terry fits: oracles, invariances, refusals, coverage."""

from __future__ import annotations

import math

import choix
import evalica
import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from auditkit.errors import Disconnected, NoData, Separated
from auditkit.stats.bradley_terry import BradleyTerry, check_connected, elo, fit, fit_contextual, win_matrix
from auditkit.stats.cluster_scores import score_products

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def battles(seed: int, n: int = 600, m: int = 5, p: int = 0) -> tuple[Codes, Codes, Floats, Floats, Codes]:
    """Draw battles with ties from known ratings; a prompt has about six of them."""
    rng = np.random.default_rng(seed)
    ratings = np.linspace(-1, 1, m)
    a = rng.integers(0, m, n)
    b = (a + rng.integers(1, m, n)) % m
    X = rng.normal(size=(n, p))
    chance = 1 / (1 + np.exp(-(ratings[a] - ratings[b] + X @ np.linspace(0.5, -0.3, p))))
    outcome = np.where(rng.random(n) < 0.2, 0.5, (rng.random(n) < chance).astype(float))
    return a, b, outcome, X, rng.integers(0, n // 6, n)


def design(a: Codes, b: Codes, X: Floats, m: int) -> Floats:
    """Return the full design with the first model as the reference."""
    D = np.zeros((len(a), m))
    D[np.arange(len(a)), a] += 1
    D[np.arange(len(a)), b] -= 1
    return np.hstack([D[:, 1:], X])


def test_plain_fit_equals_choix_where_there_are_no_ties() -> None:
    """choix's I-LSR, with every battle listed as winner and loser, finds the same ratings."""
    a, b, outcome, _, _ = battles(1)
    keep = outcome != 0.5
    a, b, outcome = a[keep], b[keep], outcome[keep]
    pairs = [(i, j) if won else (j, i) for i, j, won in zip(a, b, outcome, strict=True)]
    found = fit(a, b, outcome, 5)
    np.testing.assert_allclose(found.ratings, choix.ilsr_pairwise(5, pairs, tol=1e-12, max_iter=1000), atol=1e-8)


def test_plain_fit_equals_evalica_with_ties_as_half_wins() -> None:
    """evalica's iteration agrees to its own tolerance."""
    a, b, outcome, _, _ = battles(2)
    names = np.array(list("vwxyz"))
    winners = [{1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}[o] for o in outcome]
    theirs = evalica.bradley_terry(names[a].tolist(), names[b].tolist(), winners, tolerance=1e-12, limit=10_000)
    expected = np.log(theirs.scores.loc[list(names)].to_numpy())
    np.testing.assert_allclose(fit(a, b, outcome, 5).ratings, expected - expected.mean(), atol=1e-6)


@pytest.mark.parametrize("p", [0, 3])
def test_estimates_and_sandwich_equal_statsmodels(p: int) -> None:
    """Ratings, slopes and cluster-robust standard errors are those of a binomial GLM clustered by prompt."""
    a, b, outcome, X, clusters = battles(3, p=p)
    weights = np.random.default_rng(0).choice([1.0, 3.0], size=len(a))
    found = (
        fit_contextual(a, b, outcome, X, 5, clusters=clusters, weights=weights)
        if p
        else fit(a, b, outcome, 5, clusters=clusters, weights=weights)
    )
    copies = np.repeat(np.arange(len(a)), weights.astype(int))
    model = sm.GLM(outcome[copies], design(a, b, X, 5)[copies], family=sm.families.Binomial())
    oracle = model.fit(cov_type="cluster", cov_kwds={"groups": clusters[copies], "use_correction": False}, tol=1e-12)
    np.testing.assert_allclose((found.ratings - found.ratings[0])[1:], oracle.params[:4], atol=1e-7)
    np.testing.assert_allclose(found.coefficients, oracle.params[4:], atol=1e-7)
    g = found.n_clusters
    expected = oracle.bse * math.sqrt(g / (g - 1))
    mine = [found.difference(i, 0)[1] for i in range(1, 5)]
    np.testing.assert_allclose([*mine, *found.coefficient_se], expected, rtol=1e-6)
    np.testing.assert_allclose(found.difference_se()[1:, 0], mine)


@pytest.mark.parametrize("p", [0, 2])
@pytest.mark.parametrize("sizes", ["small", "large", "mixed", "none"])
def test_score_products_equal_the_definition(p: int, sizes: str) -> None:
    """However prompts are sized, the summed products are those of an explicit loop over prompts."""
    a, b, _, _, _ = battles(4, n=400)
    rng = np.random.default_rng(5)
    residual, X = rng.normal(size=400), rng.normal(size=(400, p))
    clusters = {
        "small": rng.integers(0, 150, 400),
        "large": rng.integers(0, 3, 400),
        "mixed": np.where(rng.random(400) < 0.5, 7, rng.integers(8, 200, 400)),
        "none": None,
    }[sizes]
    scores = np.zeros((400, 5 + p))
    scores[np.arange(400), a] += residual
    scores[np.arange(400), b] -= residual
    scores[:, 5:] = X * residual[:, None]
    groups = np.arange(400) if clusters is None else clusters
    sums = np.array([scores[groups == g].sum(axis=0) for g in np.unique(groups)])
    got, n = score_products(a, b, residual, X, clusters, 5)
    np.testing.assert_allclose(got, sums.T @ sums, atol=1e-9)
    assert n == len(sums)


def test_published_ridge_equals_scikit_learn_on_doubled_rows() -> None:
    """Chatbot Arena's fit: columns of ln 10, C=1, each row once for each label with its share as weight."""
    a, b, outcome, X, clusters = battles(6, n=200, p=2)
    D = np.zeros((len(a), 5))
    D[np.arange(len(a)), a] += math.log(10)
    D[np.arange(len(a)), b] -= math.log(10)
    D = np.hstack([D, X])
    theirs = LogisticRegression(fit_intercept=False, C=1.0, tol=1e-12, max_iter=10_000).fit(
        np.vstack([D, D]), np.repeat([1, 0], len(a)), sample_weight=2 * np.concatenate([outcome, 1 - outcome])
    )
    ridge = (0.5 / math.log(10) ** 2, 0.5)
    found = fit_contextual(a, b, outcome, X, 5, clusters=clusters, ridge=ridge)
    np.testing.assert_allclose(found.ratings / math.log(10), theirs.coef_[0, :5], atol=1e-6)
    np.testing.assert_allclose(found.coefficients, theirs.coef_[0, 5:], atol=1e-6)


def test_rough_start_does_not_change_the_result() -> None:
    """With so many rows that a subsample starts the fit, the gradient at the result is still zero."""
    a, b, outcome, X, _ = battles(7, n=250_000, p=2)
    found = fit_contextual(a, b, outcome, X, 5)
    D = design(a, b, X, 5)
    eta = D @ np.concatenate([(found.ratings - found.ratings[0])[1:], found.coefficients])
    gradient = D.T @ (outcome - 1 / (1 + np.exp(-eta))) / len(a)
    assert np.abs(gradient).max() < 1e-12


@given(st.integers(0, 10_000), st.permutations(range(5)))
def test_relabelling_and_swapping_sides_change_nothing(seed: int, order: list[int]) -> None:
    """Ratings follow their models under any renumbering, and a battle seen from the other side is the same."""
    a, b, outcome, X, clusters = battles(seed, n=120, p=1)
    assume(_connected(win_matrix(a, b, outcome, 5)))
    place = np.array(order)
    one = fit_contextual(a, b, outcome, X, 5, clusters=clusters)
    other = fit_contextual(place[b], place[a], 1 - outcome, -X, 5, clusters=clusters)
    np.testing.assert_allclose(one.ratings, other.ratings[place], atol=1e-8)
    np.testing.assert_allclose(one.coefficients, other.coefficients, atol=1e-8)
    np.testing.assert_allclose(one.rating_se, other.rating_se[place], atol=1e-8)


def _connected(wins: Floats) -> bool:
    reach = np.linalg.matrix_power((wins > 0).astype(int) + np.eye(len(wins), dtype=int), len(wins))
    return bool((reach > 0).all())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0])), min_size=1))
def test_a_number_is_given_only_where_the_estimate_exists(rows: list[tuple[int, int, float]]) -> None:
    """The check accepts exactly the win graphs in which every model reaches every other."""
    a, b, outcome = (np.array(column) for column in zip(*rows, strict=True))
    wins = win_matrix(a, b, outcome.astype(float), 4)
    if _connected(wins):
        check_connected(wins)
    else:
        with pytest.raises(Disconnected):
            check_connected(wins)


def test_disconnection_names_its_models() -> None:
    """A model that never lost, one that never won and separate groups are said so by (printable) name."""
    names = ("strong\x1b[31m", "middle", "weak")
    a, b = np.array([0, 1, 0]), np.array([1, 2, 2])
    with pytest.raises(Disconnected, match=r"never lost: strong\\x1b\[31m; never won: weak"):
        fit(a, b, np.ones(3), 3, names=names)
    a, b = np.array([0, 1, 2, 3]), np.array([1, 0, 3, 2])
    with pytest.raises(Disconnected, match="2 groups"):
        fit(a, b, np.ones(4), 4)


def test_evalica_example_is_refused_and_a_stated_ridge_mends_it() -> None:
    """a beats b, c beats b, a ties c: the plain estimate does not exist; a ridge ranks a and c above b."""
    a, b, outcome = np.array([0, 2, 0]), np.array([1, 1, 2]), np.array([1.0, 1.0, 0.5])
    with pytest.raises(Disconnected, match="never won: 1"):
        fit(a, b, outcome, 3)
    found = fit(a, b, outcome, 3, ridge=0.01)
    assert found.ratings[0] == pytest.approx(found.ratings[2])
    assert found.ratings[0] > 0 > found.ratings[1]
    assert found.ridge == (0.01, 0.0)


def test_separation_and_dependence_are_refused() -> None:
    """A feature that tells the winner, and a feature given twice, have no finite coefficient."""
    a, b, outcome, X, _ = battles(8, n=200, p=1)
    outcome = np.where(outcome == 0.5, 1.0, outcome)
    with pytest.raises(Separated):
        fit_contextual(a, b, outcome, (2 * outcome - 1)[:, None], 5)
    with pytest.raises(Separated, match="dependent"):
        fit_contextual(a, b, outcome, np.hstack([X, 2 * X]), 5)


def test_impossible_input_is_refused() -> None:
    """No battles, one prompt, NaN outcomes, codes out of range, other lengths, bad weights or features."""
    a, b, outcome, X, _ = battles(9, n=60, p=1)
    with pytest.raises(NoData):
        fit(a[:0], b[:0], outcome[:0], 5)
    with pytest.raises(NoData, match="one prompt"):
        fit(a, b, outcome, 5, clusters=np.zeros(60, dtype=np.int64))
    with pytest.raises(ValueError, match="outcomes"):
        fit(a, b, np.where(outcome > 0.5, np.nan, outcome), 5)
    with pytest.raises(ValueError, match="codes outside"):
        fit(a, b, outcome, 3)
    with pytest.raises(ValueError, match="rows"):
        fit(a, b[:-1], outcome, 5)
    with pytest.raises(ValueError, match="weights"):
        fit(a, b, outcome, 5, weights=np.zeros(60))
    with pytest.raises(ValueError, match="finite"):
        fit_contextual(a, b, outcome, np.full_like(X, np.inf), 5)
    with pytest.raises(ValueError, match="shape"):
        fit_contextual(a, b, outcome, X[:-1], 5)


def test_elo_puts_ten_to_one_at_400_points() -> None:
    """Odds of ten are 400 Elo points."""
    assert elo(np.array([math.log(10.0)]))[0] == pytest.approx(400)


def _simulate(seed: int) -> tuple[BradleyTerry, BradleyTerry]:
    """Fit battles whose verdicts share a prompt effect, with and without clustering."""
    rng = np.random.default_rng(seed)
    prompts, each, m = 120, 12, 4
    ratings = np.array([0.6, 0.2, -0.2, -0.6])
    a = np.tile(np.repeat([0, 0, 0, 1, 1, 2], 2), prompts)
    b = np.tile(np.repeat([1, 2, 3, 2, 3, 3], 2), prompts)
    prompt = np.repeat(np.arange(prompts), each)
    liking = rng.normal(scale=1.0, size=(prompts, m))[prompt]
    rows = np.arange(len(a))
    gap = ratings[a] - ratings[b] + liking[rows, a] - liking[rows, b]
    outcome = (rng.random(len(a)) < 1 / (1 + np.exp(-gap))).astype(float)
    return fit(a, b, outcome, m, clusters=prompt), fit(a, b, outcome, m)


def test_prompt_clustered_interval_covers_and_the_row_interval_does_not() -> None:
    """Over 300 worlds the 95% interval of a difference covers its long-run value 93-97% of the time; rows do not."""
    fits = [_simulate(seed) for seed in range(300)]
    truth = float(np.mean([f.difference(0, 3)[0] for f, _ in fits]))

    def coverage(which: int) -> float:
        values = [f[which].difference(0, 3) for f in fits]
        return float(np.mean([abs(value - truth) <= 1.96 * se for value, se in values]))

    assert 0.93 <= coverage(0) <= 0.97
    assert coverage(1) < 0.90
