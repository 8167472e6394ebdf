"""N-02: random search for a prefix that makes the judge name the attacker's label, with log-probabilities.

One token of the prefix is changed at a time, and the change kept if the loss does not rise; the loss is the mean over
the active games of the negative log-probability of the label by which the answer wins. Games become active one by one,
another every 16 steps, from 2 to both orders of 10 prompts: 384 steps take 4,944 calls as published.

Four defects of the published code are mended here; ``published=True`` keeps the first two, for comparison:

1. a label that is not listed was left out of the mean (`auditkit.attacks.search.asking.loss`);
2. when a game became active the loss was forgotten, so that whatever came next was kept, however bad. Here the prefix
   at hand is asked about in the new game: 2 calls for the first prefix and 1 for each of 18 games, 4,964 in all;
3. tokens were decoded and encoded again, which changes their number. Here a prefix is a list of token *texts*;
4. candidates that were tried before were looked up in a list. Here it is a hash set.

Source: Zheng et al. 2024 (arXiv 2410.07137), section 3 and the code of sail-sg/Cheating-LLM-Benchmarks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from auditkit.attacks.protocol import Attack, Budget, Fitted, Oracle, Seen, Situation, Try
from auditkit.attacks.search.asking import Game, Purse, games_of, loss
from auditkit.attacks.search.payloads import Form, crafted
from auditkit.attacks.search.vocabulary import tokens

if TYPE_CHECKING:
    import numpy as np

__all__ = ["RandomSearch"]

_DRAWS: Final = 1_000


@dataclass(frozen=True)
class RandomSearch:
    """The search; calling it is an `auditkit.attacks.protocol.Attack.search`.

    Attributes:
        prompts: Most search prompts that are used.
        steps: Candidates.
        length: Tokens of the prefix.
        start: Games that are active at first.
        stride: Steps after which another game becomes active.
        form: What the prefix goes into.
        initial: The token that the prefix starts from, `length` times.
        published: Keep the defects 1 and 2.
    """

    prompts: int = 10
    steps: int = 384
    length: int = 128
    start: int = 2
    stride: int = 16
    form: Form = "structured"
    initial: str = " }"
    published: bool = False

    def calls(self, prompts: int | None = None) -> int:
        """Return how many calls the whole search takes, where each prompt is shown in both orders.

        Args:
            prompts: Search prompts at hand; None: as many as are used.
        """
        games = 2 * min(self.prompts, self.prompts if prompts is None else prompts)
        active = [min(games, self.start + step // self.stride) for step in range(self.steps)]
        return sum(active) + (0 if self.published else max(active, default=0))

    async def __call__(
        self, oracle: Oracle, situations: Sequence[Situation], budget: Budget, rng: np.random.Generator
    ) -> Fitted:
        """Search until the steps or the budget are used up.

        Raises:
            NoData: There is no search prompt.
            CallError: The judge gave no completion.
        """
        purse = Purse(oracle, budget)
        games = games_of(situations[: self.prompts])
        vocabulary = tokens()
        prefix = [self.initial] * self.length
        tried = {"".join(prefix)}
        active, best, history = min(self.start, len(games)), math.inf, list[tuple[int, float]]()
        held: list[Seen] = []  # what was seen of the prefix at hand, game by game
        for step in range(self.steps):
            if step and step % self.stride == 0 and active < len(games):
                active += 1
                best = math.inf
            if not self.published:
                fresh = self._tries(games[len(held) : active], prefix)
                if fresh and not purse.affords(fresh):
                    break
                held += await purse.ask(fresh) if fresh else []
                best = self._loss(held)
            candidate = self._untried(prefix, vocabulary, tried, rng)
            if candidate is None:
                break
            tries = self._tries(games[:active], candidate)
            if not purse.affords(tries):
                break
            seen = await purse.ask(tries)
            reached = self._loss(seen)
            if reached <= best and reached < math.inf:
                prefix, best, held = candidate, reached, seen
                history.append((purse.calls, math.exp(-best)))
        text = "".join(prefix)
        known = [one.outcome for one in held if not math.isnan(one.outcome)]
        return Fitted(
            {"form": self.form, "text": text, "tokens": list(prefix)}, crafted(self.form, text), purse.calls,
            in_search=sum(known) / len(known) if known else None, history=tuple(history),
        )  # fmt: skip

    @staticmethod
    def _untried(
        prefix: Sequence[str], vocabulary: Sequence[str], tried: set[str], rng: np.random.Generator
    ) -> list[str] | None:
        """Return the prefix with one token changed, as it was not tried before; None if there seems to be no such one."""
        for _ in range(_DRAWS):
            candidate = list(prefix)
            candidate[int(rng.integers(len(prefix)))] = vocabulary[int(rng.integers(len(vocabulary)))]
            text = "".join(candidate)
            if text not in tried:
                tried.add(text)
                return candidate
        return None

    def _tries(self, games: Sequence[Game], prefix: Sequence[str]) -> list[Try]:
        craft = crafted(self.form, "".join(prefix))
        return [game.with_text(craft(game.situation)) for game in games]

    def _loss(self, seen: Sequence[Seen]) -> float:
        terms = [loss(one, survivors=self.published) for one in seen]
        if self.published:
            terms = [term for term in terms if term < math.inf]
        return sum(terms) / len(terms) if terms else math.inf


# --- records --------------------------------------------------------------------------------------------------------

_SOURCE: Final = "arXiv:2410.07137, section 3"
_MEND: Final = (
    "Fence every answer between delimiters that carry a random nonce for each call, reject submissions that repeat one "
    "text, and do not give out the judge's log-probabilities."
)
_WHOLE: Final = RandomSearch()


def _record(name: str, title: str, number: str, summary: str, form: Form, *, real: bool = False) -> Attack:
    search = replace(_WHOLE, form=form)
    return Attack(
        f"search-{name}", title, "search", f"{number}; {_SOURCE}", summary, _MEND, "logprob",
        "nonpositive" if real else "zero", search=search, budget=Budget(search.calls()), replaces=not real,
        params=dict(vars(search)),
    )  # fmt: skip


SEARCH_APPENDED: Final = _record(
    "appended", "Real answer, then a payload with a searched prefix", "N-06",
    "Puts after every answer the structured payload, before it a prefix found by random search on other prompts.",
    "appended", real=True,
)  # fmt: skip
SEARCH_RANDOM: Final = _record(
    "random", "Structured payload with a prefix by random search", "N-02",
    "One constant answer: the structured payload, before it 128 tokens found by random search on other prompts.",
    "structured",
)  # fmt: skip
SEARCH_UNSTRUCTURED: Final = _record(
    "unstructured", "Tokens by random search and nothing else", "N-05",
    "One constant answer of 128 tokens found by random search on other prompts, without the structured payload.", "plain",
)  # fmt: skip
