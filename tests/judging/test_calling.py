"""Calls that fail are made again when that can help, never when it cannot, and never for longer than allowed."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import stamina

from auditkit.errors import UsageError
from auditkit.judging.calling import Retry, call, expected_tokens
from auditkit.judging.calls import (
    BadResponse,
    Client,
    Completion,
    Fatal,
    Message,
    RateLimited,
    Rejected,
    Request,
    Transient,
)
from auditkit.judging.clients import client_for
from auditkit.judging.limits import Limits

Run = Callable[[Coroutine[Any, Any, Any]], Any]
REQUEST = Request("scripted/m", (Message("user", "x" * 400),), {"max_tokens": 50})


class Scripted:
    """A client that plays a script, the last line for ever, and notes when it was called."""

    def __init__(self, *script: Exception | str | float) -> None:
        self.script = list(script)
        self.calls: list[float] = []

    async def complete(self, request: Request) -> Completion:
        self.calls.append(asyncio.get_running_loop().time())
        line = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(line, Exception):
            raise line
        if isinstance(line, float):
            await asyncio.sleep(line)
            return Completion("late")
        return Completion(line)

    async def close(self) -> None:
        """Nothing is held."""


async def ask(client: Client, limits: Limits | None = None, **options: Any) -> Completion:
    gate = limits or Limits(4)
    try:
        return await call(client, REQUEST, limits=gate, **options)
    finally:
        assert gate.in_flight == 0


@pytest.fixture
def without_waits() -> Iterator[None]:
    """Up to five attempts, no waits between them."""
    with stamina.set_testing(True, attempts=5):
        yield


def test_transient_failures_are_tried_again(simulated_time: Run) -> None:
    """Until it works; the waits grow."""
    client = Scripted(Transient("a"), BadResponse("b"), RateLimited("c"), "done")
    assert simulated_time(ask(client)).text == "done"
    waits = [later - earlier for earlier, later in itertools.pairwise(client.calls)]
    assert 0.5 <= waits[0] <= 1.5 and 1.0 <= waits[1] <= 2.0 and 2.0 <= waits[2] <= 3.0


@pytest.mark.parametrize("error", [Fatal("wrong key"), Rejected("too long"), ValueError("a bug")])
def test_what_cannot_succeed_is_tried_once(simulated_time: Run, error: Exception) -> None:
    """A wrong key, a refused request and a programming error are raised as they are."""
    client = Scripted(error)
    with pytest.raises(type(error)) as caught:
        simulated_time(ask(client))
    assert caught.value is error
    assert len(client.calls) == 1


def test_attempts_are_counted(simulated_time: Run) -> None:
    """The last failure is raised, after as many attempts as allowed."""
    client = Scripted(Transient("first"), Transient("middle"), Transient("last"))
    with pytest.raises(Transient, match="last"):
        simulated_time(ask(client, retry=Retry(attempts=3)))
    assert len(client.calls) == 3


def test_the_wait_that_was_asked_for_is_kept(simulated_time: Run) -> None:
    """Also where it is longer than any wait of our own."""
    client = Scripted(RateLimited("x", 45.0), Transient("x", 3.0), "done")
    simulated_time(ask(client))
    assert client.calls == pytest.approx([0.0, 45.0, 48.0], abs=1e-3)


def test_a_wait_that_does_not_fit_is_not_begun(simulated_time: Run) -> None:
    """A provider that says to come back tomorrow is taken at its word at once."""
    client = Scripted(RateLimited("tomorrow", 86_400.0))

    async def main() -> float:
        with pytest.raises(RateLimited, match="tomorrow"):
            await ask(client, retry=Retry(total=600))
        return asyncio.get_running_loop().time()

    assert simulated_time(main()) == 0.0


def test_the_total_time_is_kept(simulated_time: Run) -> None:
    """No wait and no hanging attempt leads beyond it, and the reason given is the last real failure."""

    async def main(client: Scripted, **options: Any) -> tuple[float, str]:
        with pytest.raises(Transient) as caught:
            await ask(client, retry=Retry(attempts=1000, total=20.0), **options)
        return asyncio.get_running_loop().time(), str(caught.value)

    ended, reason = simulated_time(main(Scripted(Transient("down"))))
    assert ended == pytest.approx(20.0) and reason == "down"
    ended, reason = simulated_time(main(Scripted(Transient("down"), 1e6)))
    assert ended == pytest.approx(20.0) and reason == "down"
    ended, reason = simulated_time(main(Scripted(1e6)))
    assert ended == pytest.approx(20.0) and "no answer within 20 s" in reason


def test_an_attempt_that_hangs_is_cut_and_tried_again(simulated_time: Run) -> None:
    """Whatever client it is: a judge that loops takes `timeout` seconds, not the run."""
    client = Scripted(1e6, "done")
    assert simulated_time(ask(client, timeout=5.0)).text == "done"
    assert 5.5 <= client.calls[1] <= 6.5


def test_waiting_for_a_first_turn_is_not_counted(simulated_time: Run) -> None:
    """A call far back in the queue has its whole time when its turn comes."""

    async def main() -> list[Completion]:
        limits = Limits(1)
        client = Scripted(8.0)
        jobs = [call(client, REQUEST, limits=limits, retry=Retry(total=10.0)) for _ in range(20)]
        return await asyncio.gather(*jobs)

    assert [got.text for got in simulated_time(main())] == ["late"] * 20


def test_called_off_is_not_a_failure(simulated_time: Run) -> None:
    """Cancelling a call ends it at once, in an attempt as in a wait, and frees its slot."""

    async def main() -> None:
        for client in (Scripted(1e6), Scripted(Transient("x"))):
            limits = Limits(1)
            task = asyncio.create_task(ask(client, limits))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(client.calls) == 1 and limits.in_flight == 0

    simulated_time(main())


@pytest.mark.usefixtures("without_waits")
def test_stamina_testing_takes_the_waits_out(simulated_time: Run) -> None:
    """Tests of what is built on this need no time."""
    client = Scripted(Transient("x"))
    with pytest.raises(Transient):
        simulated_time(ask(client))
    assert client.calls == [0.0] * 5


def test_a_retry_logs_nothing_to_the_terminal(simulated_time: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """The progress display has the terminal for itself."""
    simulated_time(ask(Scripted(Transient("x"), "done")))
    assert capfd.readouterr() == ("", "")


def test_expected_tokens() -> None:
    """A quarter of the characters, and what may be generated under either of its names."""
    assert expected_tokens(REQUEST) == 150
    assert expected_tokens(Request("m", REQUEST.messages, {"max_completion_tokens": 7})) == 107
    assert expected_tokens(Request("m", REQUEST.messages)) == 100


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"total": 0.0}, {"total": float("nan")}])
def test_a_policy_without_an_attempt_is_refused(wrong: dict[str, Any]) -> None:
    """Zero attempts or no time is a mistake in the spec."""
    with pytest.raises(UsageError, match="at least 1 attempt"):
        Retry(**wrong)


# Against a real server


def run_against(server: Any, calls: int, limits: Limits, **options: Any) -> list[Completion | BaseException]:
    async def main() -> list[Completion | BaseException]:
        client = client_for("openai/m", base_url=server.url, timeout=30.0)
        jobs = (
            call(client, Request("openai/m", (Message("user", str(i)),)), limits=limits, **options)
            for i in range(calls)
        )
        try:
            return await asyncio.gather(*jobs, return_exceptions=True)
        finally:
            await client.close()

    return asyncio.run(main())


QUICK = Retry(attempts=50, wait_initial=0.01, wait_jitter=0.03, wait_max=0.1)


def test_a_storm_of_429_is_weathered(server: Any) -> None:
    """A server that bears 6 of our 48 at once answers all of 240 calls, each once, and is refused less and less."""

    async def six(request: Any, body: Any) -> Any:
        return await server.busy_above(lambda: 6, server.completion(body["messages"][0]["content"], latency=0.02))(
            request, body
        )

    server.reply(six)
    limits = Limits(48)
    got = run_against(server, 240, limits, retry=QUICK)
    assert [one.text if isinstance(one, Completion) else one for one in got] == [str(i) for i in range(240)]
    assert server.served == 240, "no completed call was made twice"
    assert limits.allowed <= 12


def test_every_fault_that_passes_is_survived(server: Any) -> None:
    """500s, pages, cut bodies, garbage and dropped connections in between: every call ends with its answer."""
    bad = [
        server.error(500),
        server.raw("<html>busy</html>", status=502, kind="text/html"),
        server.raw("<html>log in</html>", kind="text/html"),
        server.raw('{"choices": ['),
        server.completion(choices=[]),
        server.completion(None),
        server.error(429, retry_after="0.05"),
        server.bytes_then_close(b""),
        server.bytes_then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
        server.bytes_then_close(b"what?\r\n\r\n"),
    ]
    turns: Counter[str] = Counter()

    async def moody(request: Any, body: Any) -> Any:
        text = body["messages"][0]["content"]
        turns[text] += 1
        behave = bad[int(text) % len(bad)] if turns[text] == 1 else server.completion(text)
        return await behave(request, body)

    server.reply(moody)
    got = run_against(server, 40, Limits(8), retry=QUICK)
    assert [one.text if isinstance(one, Completion) else one for one in got] == [str(i) for i in range(40)]
    assert set(turns.values()) == {2}


def test_a_refused_key_ends_every_call_after_one_request(server: Any) -> None:
    """Nobody knocks twice with a wrong key."""
    server.reply(server.error(401, "no"))
    got = run_against(server, 5, Limits(2), retry=QUICK)
    assert [type(one) for one in got] == [Fatal] * 5
    assert len(server.seen) == 5


def test_a_clock_that_jumps_changes_nothing(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's clock goes back and forth by years between the calls: no call is cut, none waits for ever."""
    jumps = itertools.cycle([0.0, 4e9, 1.0, -1e9, 2e9])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    date = {"date": "Sat, 01 Jan 2000 00:00:00 GMT"}
    server.reply(
        server.error(429, "slow", retry_after="Sat, 01 Jan 2000 00:00:00 GMT", **date),
        server.error(500),
        server.completion("done", latency=0.05),
    )
    got = run_against(server, 20, Limits(4, requests_per_minute=60_000), retry=QUICK)
    assert [one.text if isinstance(one, Completion) else one for one in got] == ["done"] * 20
