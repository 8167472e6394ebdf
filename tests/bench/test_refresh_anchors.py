"""What a new version's anchors and `link` do together: planted and real versions through the product's own choice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from auditkit.bench.refresh import Kept, Release
from auditkit.bench.refresh_choice import Decision, Past, decide, worth_of
from auditkit.formats import read
from auditkit.scores import of_recording
from auditkit.stats.linking import Link, expected_link_se, link_scores

NONE: Final = np.zeros((0, 2), dtype=np.int64)
HARDER: Final = 0.6
"""How much harder (in log-odds) the new prompts of a planted second version are."""


def release(n: int) -> Release:
    """Return a version of n prompts: two a cluster, two languages, three categories of unequal size."""
    kept = tuple(
        Kept(
            f"q{k}", (f"prompt {k}",), ("math", "code", "code", "prose", "prose", "prose")[k // 2 % 6],
            "en" if k % 10 < 8 else "de", f"c{k // 2}", 5, 4.0, {}, "rules", 1, 0, "", "", "pool", str(k), "1", "",
        )
        for k in range(n)
    )  # fmt: skip
    return Release(Path("v1"), "planted", "1", "0" * 64, (), kept, (), frozenset())


def drawn(outcomes: Any, k: int, seed: int, leaks: dict[int, str] | None = None) -> Decision:
    """Decide as `build --since --judgments` does."""
    past = Past(outcomes)
    return decide(
        release(len(outcomes)), worth_of(past), leaks or {}, {}, version="2", wanted=k, max_age=0, seed=seed
    )  # fmt: skip


# --- the draw -------------------------------------------------------------------------------------------------------


def test_anchors_do_not_depend_on_outcomes() -> None:
    """Judgments say why others are retired; which prompts stay is the same with others, and with none."""
    rng = np.random.default_rng(1)
    one, two = (50.0 * rng.binomial(2, 0.5, (300, 12)) for _ in range(2))
    one[::3] = 50.0
    found = [drawn(x, 60, 7) for x in (one, two, np.full((300, 0), np.nan))]
    assert found[0].anchors == found[1].anchors == found[2].anchors
    assert len(found[0].anchors) == 60
    assert set(found[0].anchors) & set(range(0, 300, 3))
    assert {one.reason for one in found[0].retired} == {"uninformative", "rotated"}
    assert {one.reason for one in found[2].retired} == {"rotated"}
    assert drawn(one, 60, 8).anchors != found[0].anchors


def test_anchors_are_a_miniature_of_the_version() -> None:
    """Every prompt has the same chance; strata have their share, and few clusters two where a fifth is drawn."""
    n, k, draws = 240, 48, 400
    blank = np.full((n, 0), np.nan)
    times = np.zeros(n)
    for seed in range(draws):
        found = drawn(blank, k, seed)
        times[list(found.anchors)] += 1
        for row in found.strata:
            assert abs(row.anchors - row.earlier * k / n) < 1.0
        assert max(Counter(one // 2 for one in found.anchors).values()) == 1
    share = times / draws
    assert abs(share - k / n).max() < 5.0 * np.sqrt(k / n * (1 - k / n) / draws)


def test_what_leaked_is_replaced_by_its_like() -> None:
    """A prompt that leaked is no anchor: one of its cluster, else of its stratum, comes in its place."""
    n, k = 240, 48
    before = drawn(np.full((n, 0), np.nan), k, 3)
    leaks = dict.fromkeys(before.anchors[::2], "found in train.jsonl")
    after = drawn(np.full((n, 0), np.nan), k, 3, leaks)
    assert len(after.anchors) == k
    assert not set(after.anchors) & set(leaks)
    assert set(before.anchors) - set(leaks) <= set(after.anchors)
    assert {one // 2 for one in after.anchors} == {one // 2 for one in before.anchors}
    everything = drawn(np.full((n, 0), np.nan), k, 3, dict.fromkeys(range(n - 5), "leaked"))
    assert everything.anchors == tuple(range(n - 5, n))


# --- planted versions -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Planted:
    """A link, the datasheet's expected errors of it, and what is true.

    Attributes:
        link: Of a second version whose anchors the product drew.
        expected, alone: What the datasheet says: for as many new models, and for one.
        shift: What the second version's models lose, mean over them and over endless prompts.
        scores: (M2,) their true scores on the prompts of the first version.
    """

    link: Link
    expected: float
    alone: float
    shift: float
    scores: Any


def _mean_outcome(ability: Any, easiness: Any, slope: Any = 1.0) -> Any:
    return 100.0 / (1.0 + np.exp(-slope * (ability + easiness)))


def planted(
    seed: int,
    *,
    n: int = 500,
    k: int = 100,
    first: int = 12,
    second: int = 12,
    better: float = 0.0,
    log_sd: float = 0.0,
) -> Planted:
    """Plant two versions of n prompts, judged in two games each by models that are on one version alone.

    Abilities are n(0, 0.8), the new models' `better` higher; easiness n(0, 0.9), of new prompts `HARDER` lower;
    discriminations log-normal.
    """
    rng = np.random.default_rng(seed)
    old, new = rng.normal(0.0, 0.8, first), rng.normal(better, 0.8, second)
    easy, slopes = rng.normal(0.0, 0.9, (n, 1)), np.exp(rng.normal(0.0, log_sd, (n, 1)))
    x = 50.0 * rng.binomial(2, _mean_outcome(old, easy, slopes) / 100.0)
    stay = np.array(drawn(x, k, seed).anchors)
    easy2 = np.concatenate([easy[stay], rng.normal(-HARDER, 0.9, (n - k, 1))])
    slopes2 = np.concatenate([slopes[stay], np.exp(rng.normal(0.0, log_sd, (n - k, 1)))])
    y = 50.0 * rng.binomial(2, _mean_outcome(new, easy2, slopes2) / 100.0)
    link = link_scores(x, y, np.column_stack([stay, np.arange(k)]), NONE, replicates=200, seed=seed)
    endless = np.random.default_rng(0)  # the same for every world: its own error is small
    e, d = endless.normal(0.0, 0.9, (4_000, 1)), np.exp(endless.normal(0.0, log_sd, (4_000, 1)))
    gap = (_mean_outcome(new, e, d) - _mean_outcome(new, e - HARDER, d)).mean()
    scores = _mean_outcome(new, easy, slopes).mean(axis=0)
    return Planted(
        link, expected_link_se(x, k, n, second), expected_link_se(x, k, n, 1), float(gap * (n - k) / n), scores
    )  # fmt: skip


def _covers(found: list[Planted]) -> tuple[float, float]:
    """Return how often intervals hold the true shift, and the true score of a model."""
    shifts = [low <= one.shift <= high for one in found for low, high in [one.link.shift_ci]]
    scores = [
        ((one.link.linked_ci[:, 0] <= one.scores) & (one.scores <= one.link.linked_ci[:, 1])).mean() for one in found
    ]
    return float(np.mean(shifts)), float(np.mean(scores))


def _errors(found: list[Planted]) -> tuple[float, float]:
    """Return the root mean square error of the shift, and of a linked score."""
    shift = np.sqrt(np.mean([(one.link.shift - one.shift) ** 2 for one in found]))
    return float(shift), float(np.sqrt(np.mean([((one.link.linked - one.scores) ** 2).mean() for one in found])))


WORLDS: Final[list[dict[str, Any]]] = [{}, {"log_sd": 0.4}, {"better": 0.8}, {"log_sd": 0.4, "better": 0.8}]


@pytest.mark.parametrize("world", WORLDS)
def test_scores_are_linked_through_the_product_s_own_anchors(world: dict[str, Any]) -> None:
    """Twenty worlds of each kind: no interval misses as a rule; the slow test below counts how often exactly."""
    shifts, scores = _covers([planted(seed, n=300, k=60, **world) for seed in range(20)])
    assert shifts >= 0.80
    assert scores >= 0.88


@pytest.mark.slow
@pytest.mark.parametrize("models", [3, 12, 20])
@pytest.mark.parametrize("world", WORLDS)
def test_intervals_through_the_anchors_cover_as_often_as_they_say(world: dict[str, Any], models: int) -> None:
    """95% intervals hold 93 to 97 of 100 true shifts and scores, and the datasheet's errors are the errors to a tenth.

    600 worlds: a standard error of 0.9 points for the shift, less for scores.
    """
    found = [planted(seed, first=max(models, 12), second=models, **world) for seed in range(600)]
    for share in _covers(found):
        assert 0.93 - 0.01 <= share <= 0.97 + 0.01
    shift, score = _errors(found)
    assert float(np.mean([one.expected for one in found])) == pytest.approx(shift, rel=0.10)
    # Three models are linked each by its own outcomes, as one new model is; more lean on one another.
    alone = float(np.mean([one.alone for one in found]))
    assert score == pytest.approx(alone, rel=0.10) if models == 3 else score < 0.85 * alone


def test_the_datasheet_expects_the_error_that_links_have() -> None:
    """To a quarter, in 60 worlds (the root mean square of 60 has a standard error of a tenth)."""
    found = [planted(seed, n=300, k=60, log_sd=0.4, better=0.8) for seed in range(60)]
    assert float(np.mean([one.expected for one in found])) == pytest.approx(_errors(found)[0], rel=0.25)


# --- real versions --------------------------------------------------------------------------------------------------


@cache
def _alpaca_eval(shared_data: Path) -> tuple[Any, Any]:
    """Return outcomes, prompts by models, and the logarithm of the length of each prompt."""
    battles = read(shared_data / "alpaca_eval")
    scores = of_recording(battles, 1, 0)
    texts = dict(zip(battles.prompts["prompt_id"].astype(str), battles.prompts["text"].astype(str), strict=True))
    return scores.outcomes, np.log([len(texts[one]) + 1.0 for one in scores.prompt_ids])


def _real(shared_data: Path, kind: str, models: int, seeds: range) -> tuple[float, float, set[str]]:
    """Split AlpacaEval's prompts and models; return coverage and error of linked scores, and the methods.

    440 prompts are the first version, 80 anchors and the 360 others the second. "random": the halves are alike.
    "length": long prompts come into the first version more often, which some models are better at and others worse.
    """
    whole, length = _alpaca_eval(shared_data)
    hits, misses = [], []
    methods: set[str] = set()
    for seed in seeds:
        rng = np.random.default_rng(seed)
        mixed = rng.permutation(whole.shape[1])
        old, new = mixed[:7], mixed[7 : 7 + models]
        order = np.argsort(-length * (kind == "length") + rng.normal(0.0, 0.8, len(length)))
        one, rest = rng.permutation(order[:440]), rng.permutation(order[440:])
        x = whole[np.ix_(one, old)]
        stay = np.array(drawn(x, 80, seed).anchors)
        y = whole[np.ix_(np.concatenate([one[stay], rest[:360]]), new)]
        link = link_scores(x, y, np.column_stack([stay, np.arange(80)]), NONE, replicates=200, seed=seed)
        truth = np.nanmean(whole[np.ix_(one, new)], axis=0)
        hits.append(((link.linked_ci[:, 0] <= truth) & (truth <= link.linked_ci[:, 1])).mean())
        misses.append(((link.linked - truth) ** 2).mean())
        methods.add(link.method)
    return float(np.mean(hits)), float(np.sqrt(np.mean(misses))), methods


@pytest.mark.parametrize(("kind", "models", "error"), [("random", 7, 2.5), ("random", 3, 3.2), ("length", 7, 3.0)])
def test_real_models_are_linked_through_the_product_s_own_anchors(
    shared_data: Path, kind: str, models: int, error: float
) -> None:
    """Seven models on one half of AlpacaEval, others on the other: their score on the first half is in its interval."""
    share, miss, methods = _real(shared_data, kind, models, range(30))
    assert 0.90 <= share <= 0.99  # 14 models and 805 prompts are in every split
    assert miss < error  # points of win rate, of scores from 2 to 77
    assert methods == {"mean"}
