"""Money: what was spent, what the calls under way may cost, and whether another call fits the limit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from auditkit.errors import AuditkitError, UsageError
from auditkit.judging.calling import expected_tokens
from auditkit.judging.calls import Completion, Request
from auditkit.judging.prices import estimate

__all__ = ["BudgetReached", "Spending", "call_estimate"]

_TOKENS_OUT = 1024
"""Tokens that a reply is taken to have where the request sets no limit."""


class BudgetReached(AuditkitError):
    """The next call may cost more than is left of ``--max-cost``."""


def call_estimate(request: Request, base_url: str | None = None) -> float | None:
    """Return the most that a call is expected to cost in US dollars; None if its price is not known.

    Input is a quarter of the characters; output is the most that the request allows, else 1,024 tokens.
    """
    sent = sum(len(message.content) for message in request.messages) // 4
    out = expected_tokens(request) - sent or _TOKENS_OUT
    price = estimate(request.model, sent, out, base_url=base_url)
    return None if price is None else price.dollars


@dataclass
class Spending:
    """What this start of a run has spent, and the limit on it.

    A call starts only if what is spent, what the calls under way may cost and what it may cost itself stay within
    the limit. If they do not, it waits for calls under way to end: most cost less than they might.

    Attributes:
        limit: US dollars; None: no limit.
        spent: US dollars of the calls that came back.
        unpriced: Calls whose price is not known.
    """

    limit: float | None = None
    spent: float = 0.0
    unpriced: int = 0
    _reserved: dict[int, float] = field(default_factory=dict)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)
    _next: int = 0

    def refuse_unknown(self, model: str, base_url: str | None) -> None:
        """Raise if there is a limit and nobody knows what `model` costs.

        Raises:
            UsageError: The limit could not be kept.
        """
        if self.limit is not None and estimate(model, 1000, 1000, base_url=base_url) is None:
            where = f" at {base_url}" if base_url else ""
            raise UsageError(
                f"the price of {model}{where} is not known, so that a limit on the cost cannot be kept; "
                "leave out max_cost, or limit the work with --limit"
            )

    async def reserve(self, request: Request, base_url: str | None = None) -> int:
        """Set aside what a call may cost; wait for calls under way if it does not fit now.

        Returns:
            A ticket for `settle`.

        Raises:
            BudgetReached: It does not fit, and no call is under way whose end could change that.
        """
        cost = 0.0 if self.limit is None else call_estimate(request, base_url) or 0.0
        while self.limit is not None and self.spent + sum(self._reserved.values()) + cost > self.limit:
            if not any(self._reserved.values()):
                raise BudgetReached(
                    f"the next call may cost ${cost:.4f}, and ${self.spent:.4f} of the ${self.limit:.2f} is spent"
                )
            self._freed.clear()
            await self._freed.wait()
        self._next += 1
        self._reserved[self._next] = cost
        return self._next

    def settle(self, ticket: int, completion: Completion | None) -> None:
        """Give back what was set aside; count what the call cost (None: it gave nothing, and is taken to be free)."""
        del self._reserved[ticket]
        self._freed.set()
        if completion is None:
            return
        if completion.cost is None:
            self.unpriced += 1
        else:
            self.spent += completion.cost
