"""The gate keeps its promises: never above the cap or the budgets, down to what a server bears, and up again."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import UsageError
from auditkit.judging.calls import Allowance, Completion, RateLimited, Rejected, Transient, Usage
from auditkit.judging.limits import LONGEST_HOLD, Limits

Run = Callable[[Coroutine[Any, Any, Any]], Any]
DONE = Completion("x")


def now() -> float:
    return asyncio.get_running_loop().time()


async def work(
    limits: Limits, seconds: float = 0.0, fail: Exception | None = None, tokens: int = 0, done: Completion = DONE
) -> float:
    """Make one pretended call; return when it started."""
    try:
        async with limits.slot(tokens) as slot:
            started = now()
            await asyncio.sleep(seconds)
            if fail is not None:
                raise fail
            slot.done(done)
    except (RateLimited, Transient, Rejected):
        pass
    return started


def most_in_any_minute(starts: Sequence[float], amounts: Sequence[float] | None = None) -> float:
    """The naive oracle: the largest sum over the half-open minutes that begin at a start."""
    at = np.asarray(starts)
    within = (at[None, :] >= at[:, None]) & (at[None, :] < at[:, None] + 60 - 1e-3)
    return float((within @ (np.ones(len(at)) if amounts is None else np.asarray(amounts))).max())


class PlantedServer:
    """Answers in 100 ms, and refuses at once what comes while `capacity` calls are running."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.running, self.refused, self.answered = capacity, 0, 0, 0

    async def call(self, limits: Limits) -> None:
        while True:
            try:
                async with limits.slot() as slot:
                    if self.running >= self.capacity:
                        self.refused += 1
                        await asyncio.sleep(0.01)
                        raise RateLimited("slow down")
                    self.running += 1
                    try:
                        await asyncio.sleep(0.1)
                    finally:
                        self.running -= 1
                    self.answered += 1
                    slot.done(DONE)
                return
            except RateLimited:
                await asyncio.sleep(0.1)


@given(
    cap=st.integers(1, 9),
    jobs=st.lists(st.tuples(st.floats(0, 5), st.sampled_from(["ok", "429", "500", "400", "cancel"])), max_size=40),
)
def test_never_more_than_the_cap_and_all_slots_come_back(
    simulated_time: Run, cap: int, jobs: list[tuple[float, str]]
) -> None:
    """Whatever calls do, at most `cap` run at once, the level stays within 1..cap, and no slot is lost."""
    failures = {"429": RateLimited("x", 0.5), "500": Transient("x"), "400": Rejected("x")}

    async def main() -> None:
        limits = Limits(cap)
        running, peak = 0, 0

        async def job(seconds: float, end: str) -> None:
            nonlocal running, peak
            async with limits.slot() as slot:
                running += 1
                peak = max(peak, running)
                assert 1 <= limits.allowed <= cap
                try:
                    await asyncio.sleep(seconds)
                finally:
                    running -= 1
                if end in failures:
                    raise failures[end]
                slot.done(DONE)

        tasks = [asyncio.create_task(job(*spec)) for spec in jobs]
        await asyncio.sleep(1.0)
        for task, (_, end) in zip(tasks, jobs, strict=True):
            if end == "cancel":
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert peak <= cap and limits.in_flight == 0
        await asyncio.gather(*(work(limits, 1.0) for _ in range(cap)))

    simulated_time(main())


@pytest.mark.parametrize("capacity", [3, 8, 30])
def test_finds_what_a_server_bears(simulated_time: Run, capacity: int) -> None:
    """Asked for 64 at once, it settles around the planted capacity: few refusals, little idle."""
    server = PlantedServer(capacity)

    async def main() -> float:
        limits = Limits(64)
        await asyncio.gather(*(server.call(limits) for _ in range(200 * capacity)))
        return now()

    elapsed = simulated_time(main())
    assert server.answered == 200 * capacity
    ideal = server.answered * 0.1 / capacity
    assert elapsed < 1.3 * ideal
    # Cutting to 0.7 from 64 costs at most 64 + 64 * 0.7 + … refusals; after that they are rare.
    assert server.refused < 64 / (1 - 0.7) + 0.1 * server.answered


def test_recovers_when_the_server_does(simulated_time: Run) -> None:
    """After the capacity grows again the level follows it, and never exceeds the cap."""
    server = PlantedServer(4)

    async def main() -> tuple[int, int]:
        limits = Limits(32)
        first = asyncio.gather(*(server.call(limits) for _ in range(400)))
        await first
        low = limits.allowed
        server.capacity = 1000
        await asyncio.gather(*(server.call(limits) for _ in range(4000)))
        return low, limits.allowed

    low, high = simulated_time(main())
    assert low <= 6
    assert high == 32


def test_one_burst_of_refusals_cuts_once(simulated_time: Run) -> None:
    """Calls in flight together are refused together: that is one piece of news."""

    async def main() -> int:
        limits = Limits(64)
        await asyncio.gather(*(work(limits, 0.1, RateLimited("x")) for _ in range(64)))
        return limits.allowed

    assert simulated_time(main()) == int(64 * 0.7)


def test_server_faults_stop_growth_without_cutting(simulated_time: Run) -> None:
    """A 5xx leaves the level where it is, and for ten seconds it does not grow."""

    async def main() -> tuple[int, int, int, int]:
        limits = Limits(10)
        await asyncio.gather(*(work(limits, 0.1, RateLimited("x")) for _ in range(10)))
        cut = limits.allowed
        await work(limits, 0.1, Transient("x"))
        after_fault = limits.allowed
        await asyncio.gather(*(work(limits, 0.1) for _ in range(200)))
        paused = limits.allowed
        await asyncio.sleep(10)
        await asyncio.gather(*(work(limits, 0.1) for _ in range(200)))
        return cut, after_fault, paused, limits.allowed

    assert simulated_time(main()) == (7, 7, 7, 10)


def test_does_not_grow_on_calls_that_never_filled_it(simulated_time: Run) -> None:
    """One call at a time proves nothing about ten."""

    async def main() -> int:
        limits = Limits(10)
        await asyncio.gather(*(work(limits, 0.1, RateLimited("x")) for _ in range(10)))
        for _ in range(100):
            await work(limits, 0.1)
        return limits.allowed

    assert simulated_time(main()) == 7


@given(rate=st.integers(1, 2000), seconds=st.floats(0, 3), pause=st.floats(0, 120))
def test_requests_a_minute(simulated_time: Run, rate: int, seconds: float, pause: float) -> None:
    """No minute holds more starts than allowed, not even after a rest, and the budget is used."""
    count = min(3 * rate, 120)

    async def main() -> list[float]:
        limits = Limits(10_000, requests_per_minute=rate)
        first = await asyncio.gather(*(work(limits, seconds) for _ in range(count)))
        await asyncio.sleep(pause)
        return [*first, *await asyncio.gather(*(work(limits, seconds) for _ in range(count)))]

    starts = simulated_time(main())
    assert most_in_any_minute(starts) <= rate
    used = starts[count - 1] - starts[0]
    assert used <= 60 * count / rate * 1.05 + 1e-6


@given(
    rate=st.integers(100, 100_000),
    shares=st.lists(st.floats(0.001, 0.5), min_size=1, max_size=40),
    seed=st.integers(0, 99),
)
def test_tokens_a_minute(simulated_time: Run, rate: int, shares: list[float], seed: int) -> None:
    """No minute holds more tokens than allowed plus one call, however the calls are sized."""
    amounts = [max(1, int(rate * share)) for share in shares]

    async def main() -> list[float]:
        limits = Limits(10_000, tokens_per_minute=rate)
        usage = [Completion("x", usage=Usage(n, 0)) for n in amounts]
        return list(
            await asyncio.gather(*(work(limits, tokens=n, done=d) for n, d in zip(amounts, usage, strict=True)))
        )

    starts = simulated_time(main())
    assert most_in_any_minute(starts, amounts) <= rate + max(amounts)
    assert max(starts) <= 60 * sum(amounts) / rate * 1.05 + 1e-6


def test_usage_corrects_the_estimate(simulated_time: Run) -> None:
    """What a call was expected to use and did not is free again; what it used beyond is owed."""

    async def run(actual: int) -> float:
        limits = Limits(1, tokens_per_minute=6000)
        for _ in range(20):
            await work(limits, tokens=1000, done=Completion("x", usage=Usage(actual, 0)))
        return now()

    cheap, exact, dear = (simulated_time(run(actual)) for actual in (100, 1000, 2000))
    assert cheap < 0.2 * exact
    assert dear == pytest.approx(2 * exact, rel=0.1)


def test_a_wait_that_the_provider_asks_for_holds_every_start(simulated_time: Run) -> None:
    """After Retry-After: 7 nothing starts for seven seconds; an absurd wait is cut to a minute."""

    async def main(asked: float) -> float:
        limits = Limits(8)
        await work(limits, 0.0, RateLimited("x", asked))
        assert limits.held == min(asked, LONGEST_HOLD)
        return await work(limits)

    assert simulated_time(main(7.0)) == pytest.approx(7.0, abs=1e-3)
    assert simulated_time(main(1e9)) == pytest.approx(LONGEST_HOLD, abs=1e-3)


def test_headers_that_say_nothing_is_left_hold_until_the_reset(simulated_time: Run) -> None:
    """The last request of a window goes out; the next waits for the window's end."""

    async def main() -> list[float]:
        limits = Limits(8)
        left = Completion("x", allowance=Allowance(requests=100, requests_left=2, requests_reset=5.0))
        await work(limits, done=left)
        return list(await asyncio.gather(*(work(limits) for _ in range(3))))

    assert simulated_time(main()) == pytest.approx([0, 0, 5.0], abs=1e-3)


def test_headers_about_tokens(simulated_time: Run) -> None:
    """A call that is larger than what is left waits; one that is larger than the whole limit does not wait in vain."""

    async def main(tokens: int) -> float:
        limits = Limits(8)
        left = Completion("x", allowance=Allowance(tokens=1000, tokens_left=300, tokens_reset=9.0))
        await work(limits, done=left)
        return await work(limits, tokens=tokens)

    assert simulated_time(main(200)) == 0
    assert simulated_time(main(400)) == pytest.approx(9.0, abs=1e-3)


def test_fresher_headers_end_the_hold(simulated_time: Run) -> None:
    """A later answer that says there is room lets calls through."""

    async def main() -> float:
        limits = Limits(8)
        slow = asyncio.create_task(
            work(limits, 2.0, done=Completion("x", allowance=Allowance(requests_left=5, requests_reset=1.0)))
        )
        await asyncio.sleep(0)
        await work(limits, done=Completion("x", allowance=Allowance(requests_left=0, requests_reset=50.0)))
        started = await work(limits)
        await slow
        return started

    assert simulated_time(main()) == pytest.approx(2.0, abs=1e-3)


def test_first_come_first_served_but_retries_first(simulated_time: Run) -> None:
    """Calls start in the order they asked; one that is tried again goes before those that never were."""

    async def main() -> list[str]:
        limits, order = Limits(1), list[str]()

        async def job(name: str, again: bool = False) -> None:
            async with limits.slot(again=again) as slot:
                order.append(name)
                await asyncio.sleep(1)
                slot.done(DONE)

        await asyncio.gather(job("a"), job("b"), job("c"), job("retry", again=True))
        return order

    assert simulated_time(main()) == ["a", "retry", "b", "c"]


@given(seed=st.integers(0, 10_000))
def test_calls_that_are_called_off_while_waiting_take_nothing_along(simulated_time: Run, seed: int) -> None:
    """Cancelled at any moment, a waiting call neither blocks nor takes the slots of others."""
    rng = np.random.default_rng(seed)

    async def main() -> None:
        limits = Limits(3, requests_per_minute=600)
        tasks = [asyncio.create_task(work(limits, float(rng.random()))) for _ in range(30)]
        for task in tasks:
            await asyncio.sleep(float(rng.random()) * 0.2)
            if rng.random() < 0.5:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert limits.in_flight == 0
        await asyncio.gather(*(work(limits, 1.0) for _ in range(3)))

    simulated_time(main())


def test_a_wall_clock_that_jumps_changes_nothing(simulated_time: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting the machine's clock back or forth in the middle of a run moves no start."""

    async def main() -> list[float]:
        limits = Limits(4, requests_per_minute=300, tokens_per_minute=9000)
        return list(await asyncio.gather(*(work(limits, 0.3, tokens=50) for _ in range(60))))

    calm = simulated_time(main())
    jumps = itertools.cycle([0.0, 4e9, 1e9, -1e6])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    assert simulated_time(main()) == calm


@pytest.mark.parametrize(
    "wrong",
    [{"concurrency": 0}, {"requests_per_minute": 0}, {"tokens_per_minute": -1}, {"tokens_per_minute": float("nan")}],
)
def test_limits_below_a_single_call_are_refused(wrong: dict[str, Any]) -> None:
    """A run that could never make a call does not start."""
    with pytest.raises(UsageError, match="at least 1"):
        Limits(**wrong)
