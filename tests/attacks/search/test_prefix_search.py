"""Our prefix search: at most a tenth of the published search's calls, at least as strong, on prompts it has not seen."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pytest

from auditkit.attacks.protocol import Budget, Fitted
from auditkit.attacks.search import prefix as module
from auditkit.attacks.search.asking import advantage, games_of
from auditkit.attacks.search.prefix import SEARCH_RACING, PrefixSearch
from auditkit.attacks.search.proposals import Change, Kind, Proposals
from auditkit.attacks.search.random_search import RandomSearch
from auditkit.errors import NoData
from auditkit.judging.calls import Request
from auditkit.judging.simulated_judges import LogProbJudge, SimulatedJudge, best_suffix, ngram_weight
from auditkit.judging.simulated_reading import Read
from tests.attacks.search.oracle import MemoryOracle, situations

TENTH: Final = 494
PARTS: Final = ("fresh", "copy")


@dataclass(frozen=True)
class Moody(LogProbJudge):
    """A judge for whom a share of what a pair of words is worth is another for every question."""

    share: float = 0.5

    def merit(self, read: Read, answer: str, request: Request) -> float:
        words = answer.lower().split()
        common, own = math.sqrt(1 - self.share), math.sqrt(self.share)
        planted = math.fsum(
            common * ngram_weight(a, b, self.seed) + own * ngram_weight(a, f"{b} {read.question}", self.seed)
            for a, b in pairwise(words)
        )
        return SimulatedJudge.merit(self, read, answer, request) + self.ngrams * planted


def run(plan: PrefixSearch | RandomSearch, oracle: MemoryOracle, seed: int, calls: int = 10**6) -> Fitted:
    return asyncio.run(plan(oracle, situations(10), Budget(calls), np.random.default_rng(seed)))


def held_out(judge: LogProbJudge, fitted: Fitted) -> float:
    """Mean log-odds that the constant wins, on ten prompts that no search has seen, in both orders."""
    oracle = MemoryOracle(judge)
    tries = [game.with_text(fitted.craft(game.situation)) for game in games_of(situations(10, first=500))]
    return float(np.mean([advantage(seen) for seen in asyncio.run(oracle.ask(tries))]))


def compared(judge: LogProbJudge, seed: int, ours: PrefixSearch) -> tuple[float, float]:
    """Held-out strength of ours at a tenth of the calls, and of the published search."""
    cheap, dear = MemoryOracle(judge), MemoryOracle(judge)
    first = run(ours, cheap, seed, TENTH)
    second = run(RandomSearch(form="plain", published=True), dear, seed)
    assert cheap.calls <= TENTH
    assert dear.calls == 4_944
    return held_out(judge, first), held_out(judge, second)


@pytest.mark.parametrize("seed", range(3))
def test_a_tenth_of_the_calls_finds_a_prefix_at_least_as_strong(seed: int) -> None:
    """Three seeds; the slow test has twenty."""
    ours, published = compared(LogProbJudge(seed=seed), seed, PrefixSearch(form="plain"))
    assert ours >= published + 3.0  # log-odds: far more than as strong


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("fresh", "copy", "repeat"), PARTS], ids=["all", "without repetition"])
def test_a_tenth_of_the_calls_over_twenty_seeds(kinds: tuple[Kind, ...]) -> None:
    """At least as strong in every one of twenty seeds, also without repeating one phrase over the whole prefix."""
    pairs = [compared(LogProbJudge(seed=seed), seed, PrefixSearch(form="plain", kinds=kinds)) for seed in range(20)]
    assert [ours >= published for ours, published in pairs] == [True] * 20, pairs


@pytest.mark.slow
def test_where_prompts_differ_more_games_become_active() -> None:
    """With half of the worth of a pair of words peculiar to the question, still ahead in every seed."""
    pairs = [compared(Moody(seed=seed), seed, PrefixSearch(form="plain")) for seed in range(8)]
    assert all(ours >= published for ours, published in pairs), pairs


def test_more_games_become_active_where_they_are_needed() -> None:
    """A judge alike on all prompts is asked about two games; a moody one about more."""

    def games(judge: LogProbJudge) -> int:
        oracle = MemoryOracle(judge)
        run(PrefixSearch(form="plain", length=24, kinds=PARTS), oracle, 0, 200)
        return len({(one.situation.prompt.id, one.order) for one in oracle.asked})

    assert games(LogProbJudge()) == 2
    assert games(Moody(share=0.8)) > 4


def test_on_a_small_vocabulary_the_optimum_is_nearly_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight words out of twelve: dynamic programming knows the best; the search gets most of the way."""
    words = [
        " amber",
        " birch",
        " cedar",
        " delta",
        " ember",
        " flint",
        " grove",
        " heron",
        " inlet",
        " jetty",
        " kelp",
        " lunar",
    ]
    monkeypatch.setattr(module, "spaced", lambda: tuple(words))

    def worth(text: str, seed: int) -> float:
        return math.fsum(ngram_weight(a, b, seed) for a, b in pairwise(text.split()))

    for seed in range(3):
        fitted = run(
            PrefixSearch(form="plain", length=8), MemoryOracle(LogProbJudge(seed=seed, ngrams=0.3)), seed, TENTH
        )
        assert isinstance(fitted.payload, dict)
        best = worth(" ".join(best_suffix("", [w.strip() for w in words], 8, seed)), seed)
        random = np.mean([worth("".join(np.random.default_rng(k).choice(words, 8)), seed) for k in range(50)])
        assert worth(str(fitted.payload["text"]), seed) >= random + 0.75 * (best - random)


@pytest.mark.parametrize("budget", [0, 1, 2, 9, 50, 137])
def test_no_budget_is_overspent(budget: int) -> None:
    """Whoever holds it; what is left over is less than a batch takes."""
    plan = PrefixSearch(form="plain", length=8)
    own, oracles = MemoryOracle(LogProbJudge()), MemoryOracle(LogProbJudge(), budget=budget)
    first, second = run(plan, own, 0, budget), run(plan, oracles, 0)
    assert first.sha256 == second.sha256
    assert budget - 26 <= own.calls == oracles.calls <= budget
    assert first.calls == own.calls


def test_nothing_to_search_on_is_said() -> None:
    """No prompts, no search."""
    with pytest.raises(NoData, match="at least one search prompt"):
        asyncio.run(PrefixSearch()(MemoryOracle(LogProbJudge()), [], Budget(10), np.random.default_rng(0)))


def test_the_same_generator_finds_the_same() -> None:
    """Same seed, same prefix; another seed, another."""
    plan = PrefixSearch(form="plain", length=16)
    first, again, other = (run(plan, MemoryOracle(LogProbJudge()), seed, 100).sha256 for seed in (1, 1, 2))
    assert first == again != other


def test_neighbouring_calls_share_their_prompt() -> None:
    """Nine of ten calls follow one about the same game: what a local model or a provider keeps of it is used again."""
    shares = {}
    for name, plan in (
        ("ours", PrefixSearch(form="plain", length=32)),
        ("published", RandomSearch(form="plain", length=32)),
    ):
        oracle = MemoryOracle(LogProbJudge())
        run(plan, oracle, 0, 400)
        games = [(one.situation.prompt.id, one.order) for one in oracle.asked]
        shares[name] = float(np.mean([a == b for a, b in pairwise(games)]))
    assert shares["ours"] > 0.8
    assert shares["published"] < 0.1


def test_the_reported_outcome_is_that_of_the_prefix_found() -> None:
    """In-search value: the mean outcome of the winner on the games it met; the way there only rises on a steady judge."""
    judge = LogProbJudge()
    oracle = MemoryOracle(judge)
    fitted = run(PrefixSearch(form="plain", length=16, kinds=PARTS), oracle, 0, 200)
    assert isinstance(fitted.payload, dict)
    mine = [one for one in oracle.asked if one.text == fitted.payload["text"]]
    outcomes = [seen.outcome for seen in asyncio.run(MemoryOracle(judge).ask(mine))]
    assert fitted.in_search == pytest.approx(np.mean(outcomes))
    assert SEARCH_RACING.budget.calls == TENTH


# --- proposals ------------------------------------------------------------------------------------------------------


def proposals(length: int = 32, **more: object) -> Proposals:
    return Proposals([f" w{k}" for k in range(500)], length, np.random.default_rng(0), **more)  # type: ignore[arg-type]


def test_changes_of_a_part_never_overlap_and_keep_the_length() -> None:
    """So that all that helped can be joined."""
    maker = proposals(kinds=PARTS)
    prefix = list(maker.fresh(32))
    for size in (1.0, 3.0, 7.0, 40.0):
        maker.size = size
        maker.remember((" a", " b"), 1.0)
        changes = maker.batch(prefix, 8)
        places = [place for change in changes for place in change.places]
        assert len(places) == len(set(places))
        assert [change.start for change in changes] == sorted((c.start for c in changes), reverse=True)
        assert all(len(change.on(prefix)) == 32 and change.on(prefix) != prefix for change in changes)


def test_what_helps_is_done_more_often() -> None:
    """A kind of change that gains is chosen more often than one that does not, which is still tried now and then."""
    maker = proposals(kinds=("fresh", "repeat"))
    prefix = list(maker.fresh(32))
    chosen = []
    for _ in range(300):
        changes = maker.batch(prefix, 4)
        chosen.append(changes[0].kind)
        maker.learn(changes, [1.0 if changes[0].kind == "fresh" else 0.0] * len(changes), 4)
    assert 0.02 < chosen.count("repeat") / 300 < 0.25


def test_places_that_gained_are_changed_more_often() -> None:
    """Position weights follow the accepted updates."""
    maker = proposals(kinds=("fresh",))
    maker.size = 1.0
    for _ in range(30):
        maker.learn([Change("fresh", 5, (" x",))], [1.0], 1)
        maker.size = 1.0
    counts = np.bincount([change.start for _ in range(400) for change in maker.batch([" y"] * 32, 1)], minlength=32)
    assert counts[5] > 4 * np.delete(counts, 5).mean()


def test_changes_grow_with_success_and_shrink_without() -> None:
    """The success rule, within one text and the share of a batch."""
    maker = proposals(kinds=("fresh",))
    changes = [Change("fresh", k, (" x",)) for k in range(4)]
    for _ in range(20):
        maker.learn(changes, [1.0] * 4, 4)
    assert maker.size == 4.0  # an eighth of the prefix: four such changes are half of it
    for _ in range(20):
        maker.learn(changes, [-1.0] * 4, 4)
    assert maker.size == 1.0
