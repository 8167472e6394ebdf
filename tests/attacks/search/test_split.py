"""Search discipline: parts that do not overlap, findings that do not change, and what happens to those who cheat."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.attacks.protocol import Budget, Fitted
from auditkit.attacks.search import freeze, split
from auditkit.attacks.search.asking import Purse, games_of
from auditkit.attacks.search.payloads import crafted
from auditkit.attacks.search.prefix import SEARCH_RACING
from auditkit.errors import InputError, UsageError
from auditkit.judging.inputs import Prompt
from auditkit.judging.simulated_judges import BiasedJudge
from auditkit.stats.best_of_n import expected_max
from auditkit.stats.intervals import clopper_pearson
from tests.attacks.search.oracle import ARENA, MemoryOracle, situations


def prompts(count: int, cluster: str = "") -> list[Prompt]:
    return [Prompt(f"p{k}", (f"Question number {k}?",), cluster=cluster) for k in range(count)]


@given(st.integers(2, 90), st.floats(0.02, 0.98), st.integers(0, 99), st.booleans())
def test_every_prompt_is_in_exactly_one_part(count: int, share: float, seed: int, stratify: bool) -> None:
    """Disjoint, complete, neither empty, of the size asked for, and the same on every call."""
    found = split(prompts(count), share, seed, stratify=stratify)
    assert sorted(found.search + found.evaluation) == list(range(count))
    assert found.search and found.evaluation
    assert abs(len(found.search) - share * count) <= 1
    assert found == split(prompts(count), share, seed, stratify=stratify)


def test_the_split_depends_on_seed_and_prompts_alone() -> None:
    """Another seed, another split; the order of the file does not matter to who is in which part."""
    some = prompts(60)
    first, other, turned = split(some, seed=1), split(some, seed=2), split(some[::-1], seed=1)
    assert first.search != other.search
    assert {some[k].id for k in first.search} == {some[::-1][k].id for k in turned.search}
    assert first.search_sha256 == turned.search_sha256 != first.evaluation_sha256


@given(st.lists(st.integers(1, 6), min_size=2, max_size=20), st.floats(0.1, 0.9))
def test_kin_stay_together(sizes: list[int], share: float) -> None:
    """Prompts of a cluster, and prompts that read the same, are never split: the one would give the other away."""
    made, kin = [], []
    for number, size in enumerate(sizes):
        for k in range(size):
            same_text = number % 2 == 0
            text = (
                f"  Question {number}? " if same_text and k else f"question {number}?" if same_text else f"{number} {k}"
            )
            made.append(Prompt(f"{number}-{k}", (text,), cluster="" if same_text else f"c{number}"))
            kin.append(number)
    found = split(made, share)
    assert not {kin[k] for k in found.search} & {kin[k] for k in found.evaluation}


def test_each_category_is_in_both_parts_in_proportion() -> None:
    """Stratified: within one prompt of the share in each of five categories of uneven size."""
    sizes = {"a": 40, "b": 24, "c": 12, "d": 8, "e": 4}
    made = [Prompt(f"{name}{k}", (f"{name} {k}",), category=name) for name, n in sizes.items() for k in range(n)]
    found = split(made, 0.25, stratify=True)
    for name, n in sizes.items():
        assert abs(sum(made[k].category == name for k in found.search) - n / 4) <= 1


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5])
def test_a_share_that_leaves_a_part_empty_is_refused(share: float) -> None:
    """With the reason."""
    with pytest.raises(UsageError, match="strictly between 0 and 1"):
        split(prompts(10), share)


def test_what_cannot_be_split_is_refused() -> None:
    """One cluster; one id twice."""
    with pytest.raises(InputError, match="cannot be split"):
        split(prompts(5, cluster="one"))
    with pytest.raises(InputError, match="'p0' is there twice"):
        split([*prompts(3), Prompt("p0", ("Another?",))])


def test_a_finding_is_frozen_before_prompts_that_count_are_touched() -> None:
    """It may not change afterwards, nor be played on a prompt that the search saw."""
    some = prompts(12)
    parts = split(some, 0.5)
    search, evaluation = ([some[k] for k in part] for part in (parts.search, parts.evaluation))
    fitted = Fitted({"form": "plain", "text": "x"}, crafted("plain", "x"))
    frozen = freeze(SEARCH_RACING, fitted, search)
    assert (frozen.attack, frozen.sha256, frozen.search_sha256) == ("search-racing", fitted.sha256, parts.search_sha256)
    frozen.check(fitted, evaluation)
    with pytest.raises(UsageError, match="was searched on prompt"):
        frozen.check(fitted, [*evaluation, search[0]])
    with pytest.raises(UsageError, match="was frozen as"):
        frozen.check(Fitted({"form": "plain", "text": "y"}, crafted("plain", "y")), evaluation)


# --- why ------------------------------------------------------------------------------------------------------------


def test_selection_alone_looks_like_thirty_points() -> None:
    """The arithmetic of specification D.5: paired standard deviation 0.45, best of K on n prompts (to 0.2 points)."""
    for k, n, points in ((384, 20, 29.8), (50, 20, 22.8), (384, 500, 6.0), (10, 500, 3.0)):
        assert 100 * 0.45 * float(expected_max(k)) / n**0.5 == pytest.approx(points, abs=0.2)


def test_the_best_of_384_gains_on_its_own_prompts_and_nowhere_else() -> None:
    """A judge of pure noise, 20 prompts: about +30 points where it was chosen, about 0 on 80 prompts held out.

    One game a prompt, so a prompt's standard deviation is 0.5: the largest of 384 binomial means is 0.5 + 0.31.
    """
    everyone = situations(100, judge=ARENA)
    parts = split([one.prompt for one in everyone], 0.2)
    judge = BiasedJudge(seed=4)  # all coefficients 0: every verdict is the toss of a coin

    def outcomes(purse: Purse, text: str, places: tuple[int, ...]) -> list[float]:
        games = games_of([everyone[k] for k in places])[::2]
        return [seen.outcome for seen in asyncio.run(purse.ask([game.with_text(text) for game in games]))]

    oracle = MemoryOracle(judge, "verdict", spec=ARENA)
    purse = Purse(oracle, Budget(10**6))
    candidates = [f"candidate {k}" for k in range(384)]
    in_search = {text: float(np.mean(outcomes(purse, text, parts.search))) for text in candidates}
    assert oracle.calls == 384 * 20
    best = max(candidates, key=lambda text: in_search[text])
    assert 0.26 <= in_search[best] - 0.5 <= 0.36
    assert abs(float(np.mean(list(in_search.values()))) - 0.5) < 0.01
    frozen = freeze(
        SEARCH_RACING, Fitted({"text": best}, crafted("plain", best)), [everyone[k].prompt for k in parts.search]
    )
    frozen.check(Fitted({"text": best}, crafted("plain", best)), [everyone[k].prompt for k in parts.evaluation])
    won = sum(outcomes(purse, best, parts.evaluation))
    low, high = clopper_pearson(int(won), len(parts.evaluation))
    assert low < 0.5 < high
    assert abs(won / len(parts.evaluation) - 0.5) < 0.12
