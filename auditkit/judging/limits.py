"""How many calls may run at once, and how fast new ones may start.

Concurrency adapts by additive increase and multiplicative decrease (Chiu and Jain 1989, *Computer Networks* 17): a
window of calls that all succeed adds one; a refusal (429) cuts to 0.7, once for all the calls that were in flight
together. As in CUBIC (RFC 9438, section 4), the level that was last refused is remembered: growth is quick well below
it and slow around it. A 5xx, a time-out or a dropped connection says nothing about our share of the server: it only
stops growth for ten seconds.

Requests and tokens a minute are token buckets that hold at most one or two seconds' worth, so that starts are spread
over the minute. What a provider says in its headers (`Allowance`, `Retry-After`) holds back new starts, for at most a
minute at a time: calls already under way are never stopped.

Time is the event loop's own, which is monotonic: setting the machine's clock changes nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from types import TracebackType
from typing import Final, Self

from auditkit.errors import UsageError
from auditkit.judging.calls import Allowance, Completion, RateLimited, Transient

__all__ = ["LONGEST_HOLD", "Limits", "Slot"]

LONGEST_HOLD: Final = 60.0
"""Seconds that new starts are held back at most on a provider's word, before one call is tried again."""

_DECREASE: Final = 0.7
_NEAR: Final = (0.9, 1.1)  # shares of the level that was last refused between which growth is slow
_BELOW, _AROUND, _ABOVE = 4.0, 0.25, 1.0  # calls added per clean window: below, between and above these
_GROWTH_PAUSE: Final = 10.0  # seconds without growth after a fault that is no refusal
_MINUTE: Final = 60.0
_TICK: Final = 1e-6  # seconds; a shorter wait is rounding, which no clock resolves


class _Bucket:
    """A token bucket whose use in any minute stays within `per_minute` (plus the one amount that exceeds its depth)."""

    def __init__(self, per_minute: float, depth: float, unit: float, now: float) -> None:
        self.depth = depth
        self.rate = (per_minute - (depth - unit)) / _MINUTE
        self.level = depth
        self.at = now

    def _refill(self, now: float) -> None:
        self.level = min(self.depth, self.level + (now - self.at) * self.rate)
        self.at = now

    def delay(self, amount: float, now: float) -> float:
        """Return the seconds until `amount` may be taken; an amount above the depth waits for a full bucket."""
        self._refill(now)
        return max(0.0, min(amount, self.depth) - self.level) / self.rate

    def take(self, amount: float, now: float) -> None:
        """Take `amount`, into debt if need be; a negative amount gives back."""
        self._refill(now)
        self.level = min(self.depth, self.level - amount)


class _Stock:
    """What a provider said is left of one of its limits, counted down with every start until it is renewed."""

    def __init__(self) -> None:
        self.left: float | None = None
        self.whole: float = math.inf
        self.until: float = 0.0

    def heard(self, whole: int | None, left: int | None, reset: float | None, now: float) -> None:
        if left is None or reset is None:
            return
        self.left = left
        self.whole = math.inf if whole is None else whole
        self.until = now + min(reset, LONGEST_HOLD)

    def delay(self, amount: float, now: float) -> float:
        if self.left is None:
            return 0.0
        if now >= self.until:
            self.left = None
            return 0.0
        # What is larger than the limit itself never fits: waiting for it is in vain.
        return 0.0 if min(amount, self.whole) <= self.left else self.until - now

    def take(self, amount: float) -> None:
        if self.left is not None:
            self.left -= amount


class Slot:
    """Permission for one call: ``async with limits.slot(tokens) as slot: …; slot.done(completion)``."""

    __slots__ = ("_again", "_completion", "_limits", "_started", "tokens")

    def __init__(self, limits: Limits, tokens: int, again: bool) -> None:
        self._limits = limits
        self._again = again
        self._completion: Completion | None = None
        self._started = 0.0
        self.tokens = tokens

    def done(self, completion: Completion) -> None:
        """Say that the call succeeded: its usage and allowance count when the slot is left."""
        self._completion = completion

    async def __aenter__(self) -> Self:
        self._started = await self._limits._enter(self.tokens, self._again)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limits._leave(self.tokens, self._started, error, self._completion)


class Limits:
    """The gate that every call to one provider passes. It belongs to one event loop.

    Args:
        concurrency: Most calls at once, at least 1. Calls start at this level; refusals find the right one below it.
        requests_per_minute: Most starts in any 60 seconds; None: no such limit.
        tokens_per_minute: Most tokens in any 60 seconds, input and output together, as estimated when a call starts
            and corrected by the usage that comes back; None: no such limit.

    Raises:
        UsageError: A limit below what a single call needs.
    """

    def __init__(
        self,
        concurrency: int = 64,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        if concurrency < 1:
            raise UsageError(f"concurrency must be at least 1, not {concurrency}")
        for name, value in (("requests", requests_per_minute), ("tokens", tokens_per_minute)):
            if value is not None and not (value >= 1 and math.isfinite(value)):
                raise UsageError(f"{name} per minute must be at least 1, not {value:g}")
        self._cap = concurrency
        self._allowed = float(concurrency)
        self._refused_at = float(concurrency)
        self._in_flight = 0
        self._cut_at = -math.inf
        self._grow_after = -math.inf
        self._hold_until = -math.inf
        self._rates = (requests_per_minute, tokens_per_minute)
        self._buckets: tuple[_Bucket | None, _Bucket | None] | None = None
        self._stocks = (_Stock(), _Stock())
        self._waiting: deque[tuple[asyncio.Future[float], int]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def allowed(self) -> int:
        """Calls that may run at once now."""
        return int(self._allowed)

    @property
    def in_flight(self) -> int:
        """Calls that run now."""
        return self._in_flight

    @property
    def held(self) -> float:
        """Seconds for which no new call starts, because the provider asked for it; 0: not held."""
        return max(0.0, self._hold_until - asyncio.get_running_loop().time())

    def slot(self, tokens: int = 0, *, again: bool = False) -> Slot:
        """Return a slot for one call; entering it waits until the call may start, first come, first served.

        Args:
            tokens: Tokens that the call is expected to use, in and out.
            again: A retry: it goes before calls that have not been tried yet.
        """
        return Slot(self, tokens, again)

    async def _enter(self, tokens: int, again: bool) -> float:
        loop = asyncio.get_running_loop()
        if not self._waiting and self._in_flight < int(self._allowed):
            now = loop.time()
            if self._delay(tokens, now) <= _TICK:
                return self._start(tokens, now)
        granted: asyncio.Future[float] = loop.create_future()
        if again:
            self._waiting.appendleft((granted, tokens))
        else:
            self._waiting.append((granted, tokens))
        self._pump()
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():  # let in and called off in the same turn of the loop
                self._leave(tokens, granted.result(), None, None)
            else:
                self._pump()
            raise

    def _start(self, tokens: int, now: float) -> float:
        self._in_flight += 1
        for bucket, stock, amount in zip(self._bucket_pair(now), self._stocks, (1, tokens), strict=True):
            if bucket is not None:
                bucket.take(amount, now)
            stock.take(amount)
        return now

    def _leave(self, tokens: int, started: float, error: BaseException | None, done: Completion | None) -> None:
        now = asyncio.get_running_loop().time()
        if isinstance(error, RateLimited):
            self._cut(started, now)
        elif isinstance(error, Transient):
            self._grow_after = now + _GROWTH_PAUSE
        elif done is not None:
            self._grow(now)
        if isinstance(error, Transient) and error.retry_after is not None:
            self._hold_until = max(self._hold_until, now + min(error.retry_after, LONGEST_HOLD))
        self._in_flight -= 1
        if done is not None:
            self._settle(tokens, done, now)
        self._pump()

    def _cut(self, started: float, now: float) -> None:
        if started < self._cut_at:
            return  # in flight together with the call that led to the last cut: the same refusal
        self._cut_at = now
        self._refused_at = min(self._allowed, float(self._in_flight))
        self._allowed = max(1.0, self._refused_at * _DECREASE)

    def _grow(self, now: float) -> None:
        # Success while slots are free says nothing about a level that was never reached.
        if now < self._grow_after or self._in_flight < int(self._allowed):
            return
        near, beyond = (share * self._refused_at for share in _NEAR)
        if self._allowed < near:
            self._allowed = min(near, self._allowed + _BELOW / self._allowed)
        else:
            step = _AROUND if self._allowed < beyond else _ABOVE
            self._allowed = min(float(self._cap), self._allowed + step / self._allowed)

    def _settle(self, tokens: int, done: Completion, now: float) -> None:
        used = (done.usage.tokens_in or 0) + (done.usage.tokens_out or 0)
        token_bucket = self._bucket_pair(now)[1]
        if token_bucket is not None and used:
            token_bucket.take(used - tokens, now)
        said: Allowance | None = done.allowance
        if said is not None:
            self._stocks[0].heard(said.requests, said.requests_left, said.requests_reset, now)
            self._stocks[1].heard(said.tokens, said.tokens_left, said.tokens_reset, now)

    def _bucket_pair(self, now: float) -> tuple[_Bucket | None, _Bucket | None]:
        if self._buckets is None:  # made on first use: the loop's time starts anywhere
            requests, tokens = self._rates
            self._buckets = (
                None if requests is None else _Bucket(requests, max(1.0, requests // 60), 1.0, now),
                None if tokens is None else _Bucket(tokens, tokens / 30, 0.0, now),
            )
        return self._buckets

    def _delay(self, tokens: int, now: float) -> float:
        wait = max(0.0, self._hold_until - now)
        for bucket, stock, amount in zip(self._bucket_pair(now), self._stocks, (1, tokens), strict=True):
            if bucket is not None:
                wait = max(wait, bucket.delay(amount, now))
            wait = max(wait, stock.delay(amount, now))
        return wait

    def _pump(self) -> None:
        """Let in those who wait, as far as slots and budgets allow; set a timer if only time is missing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._waiting and self._in_flight < int(self._allowed):
            granted, tokens = self._waiting[0]
            if not granted.cancelled():
                wait = self._delay(tokens, now)
                if wait > _TICK:
                    self._timer = loop.call_later(wait, self._pump)
                    return
                granted.set_result(self._start(tokens, now))
            self._waiting.popleft()
