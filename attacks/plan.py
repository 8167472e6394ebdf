"""What is attacked, by whom, and within which budget."""

from __future__ import annotations

from dataclasses import dataclass

from auditkit.attacks.playing import PlaySettings
from auditkit.attacks.protocol import Access
from auditkit.attacks.suite import Suite, SuiteName
from auditkit.judging.asking import Address

__all__ = ["AttackPlan"]


@dataclass(frozen=True)
class AttackPlan:
    """What is attacked, by whom, and within which budget.

    Attributes:
        suite: ``quick``, ``standard`` or ``full``.
        only: Attacks or families instead of a suite.
        access: The most that an attacker has.
        carrier: The submission whose answers are attacked; "": the first of the spec.
        attacker: ``client/model`` of attacks that write; "": there is none.
        attacker_url: The address that its client calls instead of the provider's own.
        adaptive: Spend judge calls where they decide.
        budget: Most judge calls for playing attacks; None: no limit. With one, calls are spent where they decide.
        search_calls: Most judge calls of one search; None: what each asks for.
        search_share: Share of the prompts that searches see.
    """

    suite: SuiteName = "standard"
    only: tuple[str, ...] = ()
    access: Access = "model"
    carrier: str = ""
    attacker: str = ""
    attacker_url: str = ""
    adaptive: bool = False
    budget: int | None = None
    search_calls: int | None = None
    search_share: float = 0.25

    @property
    def writer(self) -> Address | None:
        """The attacker's model."""
        return Address(self.attacker, self.attacker_url) if self.attacker else None

    def settings(self, seed: int, level: float = 0.95) -> PlaySettings:
        """Return how the suite is played."""
        return PlaySettings(
            seed=seed, adaptive=self.adaptive or self.budget is not None, budget=self.budget, search_calls=self.search_calls,
            search_share=self.search_share, level=level,
        )  # fmt: skip

    def playing(self, suite: Suite, games: int) -> int:
        """Return the most judge calls that playing a suite takes, where one answer to every prompt takes `games`."""
        calls = games * sum(attack.submit is None for attack in suite.attacks)
        return calls if self.budget is None else min(calls, self.budget)

    def searching(self, suite: Suite, prompts: int) -> int:
        """Return the most judge calls of a suite's searches, and of its rewriters on every prompt."""
        return sum(
            min(attack.budget.calls, self.search_calls or attack.budget.calls) * (1 if attack.search else prompts)
            for attack in suite.attacks
        )

    def writing(self, suite: Suite, prompts: int) -> int:
        """Return the most calls of the attacker's model: once for a search, on every prompt for a rewriter."""
        if self.writer is None:
            return 0
        return sum(attack.budget.model_calls * (1 if attack.search else prompts) for attack in suite.attacks)
