"""Make a call and, if it fails in a way that may pass, make it again: backing off, within a total time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf

import stamina

from auditkit.errors import UsageError
from auditkit.judging.calls import Client, Completion, Json, Request, Transient
from auditkit.judging.limits import Limits

__all__ = ["Retry", "call", "expected_tokens"]

# stamina logs every retry as a warning; in a program that sets up no logging these would land in the progress display.
logging.getLogger("stamina").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Retry:
    """When to give a call up.

    Args:
        attempts: Most attempts, the first included.
        total: Seconds from the start of the first attempt to the end of the last, waits included.
        wait_initial: Seconds before the second attempt, doubled before each later one.
        wait_jitter: Random part added to each wait, uniform from 0 to this many seconds.
        wait_max: Longest of these waits in seconds. A wait that the provider asks for is kept, however long, unless
            it does not fit into `total`.
    """

    attempts: int = 8
    total: float = 600.0
    wait_initial: float = 0.5
    wait_jitter: float = 1.0
    wait_max: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or not self.total > 0:
            raise UsageError(f"retries need at least 1 attempt and more than 0 seconds, not {self}")


def _whole(value: Json | None) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def expected_tokens(request: Request) -> int:
    """Estimate the tokens of a call: a quarter of the characters sent, plus the most it may generate, if it says so."""
    sent = sum(len(message.content) for message in request.messages)
    return sent // 4 + (_whole(request.params.get("max_tokens")) or _whole(request.params.get("max_completion_tokens")))


async def _attempt(client: Client, request: Request, timeout: float | None) -> Completion:
    try:
        async with asyncio.timeout(timeout):
            return await client.complete(request)
    except TimeoutError:
        limit = "in time" if timeout is None else f"within {timeout:g} s"
    raise Transient(f"{request.model}: no answer {limit}")


async def call(
    client: Client,
    request: Request,
    *,
    limits: Limits,
    timeout: float | None = None,
    retry: Retry = Retry(),
    tokens: int | None = None,
    held: Callable[[Transient], None] = lambda error: None,
) -> Completion:
    """Make one call through `limits`, retrying `Transient` failures with exponential, jittered waits.

    Under ``stamina.set_testing`` there are no waits and as many attempts as that says.

    Args:
        client: Who makes the call.
        request: What is asked.
        limits: The gate of the client's provider.
        timeout: Seconds that a single attempt may take, on top of what the client itself allows; None: no limit here.
        retry: When to give up.
        tokens: Tokens that the call is expected to use, in and out; None: `expected_tokens`.
        held: Told of a failure after which the provider asks for a wait, before it begins.

    Raises:
        Fatal, Rejected: At once; they are never tried again.
        Transient: The last failure, when the attempts or the time are used up, or when the provider asks for a wait
            that does not fit into the time left.
    """
    loop = asyncio.get_running_loop()
    expected = expected_tokens(request) if tokens is None else tokens
    deadline = inf
    last: Transient | None = None

    def again(error: Exception) -> bool | float:
        nonlocal last
        if not isinstance(error, Transient):
            return False
        last = error
        if error.retry_after is None:
            return True
        if loop.time() + error.retry_after >= deadline:
            return False
        held(error)
        return error.retry_after

    with suppress(TimeoutError):  # the scope's: the total time is used up
        async with asyncio.timeout(None) as scope:
            async for attempt in stamina.retry_context(
                on=again,
                attempts=retry.attempts,
                timeout=None,  # stamina's own would let a wait overrun it; the scope does not
                wait_initial=retry.wait_initial,
                wait_max=retry.wait_max,
                wait_jitter=retry.wait_jitter,
            ):
                with attempt:
                    async with limits.slot(expected, again=attempt.num > 1) as slot:
                        if attempt.num == 1:  # the queue before the first attempt is nobody's fault
                            deadline = loop.time() + retry.total
                            scope.reschedule(deadline)
                        completion = await _attempt(client, request, timeout)
                        slot.done(completion)
                    return completion
    raise last or Transient(f"{request.model}: no answer within {retry.total:g} s")
