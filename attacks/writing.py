"""What a rewriting attack works with: the attacker's own model, and the judge about one prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from auditkit.attacks.protocol import BudgetSpent, Oracle
from auditkit.judging.asking import Address, Asker
from auditkit.judging.calls import Json, Message, Rejected, Request
from auditkit.text import split_trace

__all__ = ["WritingTools"]


class WritingTools:
    """An `auditkit.attacks.protocol.Tools` over an asker: what the model wrote before costs nothing.

    Args:
        asker: Whom to ask through.
        model: The attacker's model; None: there is none.
        oracle: The judge.
        calls: The most calls of the model.
    """

    def __init__(self, asker: Asker, model: Address | None, oracle: Oracle, calls: int) -> None:
        self._asker = asker
        self._model = model
        self._oracle = oracle
        self._budget = calls
        self._calls = 0
        self._refused = 0

    @property
    def oracle(self) -> Oracle:
        """The judge."""
        return self._oracle

    @property
    def calls(self) -> int:
        """Calls of the model so far."""
        return self._calls

    @property
    def refused(self) -> int:
        """Calls that the provider refused for good: nothing was written."""
        return self._refused

    async def write(
        self, messages: Sequence[Message], params: Mapping[str, Json] | None = None, sample: int = 0
    ) -> str:
        """Return what the attacker's model says, a reasoning trace left out.

        Raises:
            BudgetSpent: There is no model, or no call is left.
            CallError: The model gave no completion.
        """
        if self._model is None:
            raise BudgetSpent("there is no model that writes")
        if self._calls >= self._budget:
            raise BudgetSpent(f"all {self._budget} calls of the model are made")
        self._calls += 1
        request = Request(self._model.model, tuple(messages), dict(params or {}), sample)
        try:
            completion = await self._asker.ask(request, self._model)
        except Rejected:
            self._refused += 1
            raise
        return split_trace(completion.text)[0]
