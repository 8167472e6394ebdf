"""A real server on the loopback interface that answers, or fails, as told; and a loop whose time is simulated."""

from __future__ import annotations

import asyncio
import json
import selectors
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from auditkit.judging.calls import BadResponse, CallError, Fatal, RateLimited, Rejected, Transient

Body = dict[str, Any]
Behaviour = Callable[[web.Request, Body], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    """One request that arrived: `headers` with names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Body


@dataclass
class Server:
    """Answers every POST by the next of `behaviours`, the last one for ever. It runs in a thread of its own.

    `seen`: requests in order of arrival. `served`: completions sent to the end. `peak`: most requests at once.
    """

    seen: list[Seen] = field(default_factory=list)
    served: int = 0
    peak: int = 0
    behaviours: list[Behaviour] = field(default_factory=list)
    port: int = 0
    _running: int = 0

    @property
    def url(self) -> str:
        """The base URL, as a client wants it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def reply(self, *behaviours: Behaviour) -> None:
        """Set what the next requests meet."""
        self.behaviours = list(behaviours)

    # Behaviours

    def completion(
        self, text: str | None = "[[A>B]]", *, latency: float = 0.0, headers: Mapping[str, str] = {}, **more: Any
    ) -> Behaviour:
        """Answer with a chat completion after `latency` seconds; `more` replaces fields of the body."""

        async def behave(request: web.Request, body: Body) -> web.StreamResponse:
            await asyncio.sleep(latency)
            sent = len(json.dumps(body.get("messages", ""))) // 4
            answer = {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": body.get("model", "") + "-served",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": sent, "completion_tokens": 5, "total_tokens": sent + 5},
                **more,
            }
            self.served += 1
            return web.json_response(answer, headers=dict(headers))

        return behave

    def raw(
        self, content: str | bytes, *, status: int = 200, kind: str = "application/json", **headers: str
    ) -> Behaviour:
        """Answer with any body; underscores in header names stand for hyphens."""
        data = content.encode() if isinstance(content, str) else content

        async def behave(request: web.Request, body: Body) -> web.StreamResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(body=data, status=status, headers={"Content-Type": kind, **named})

        return behave

    def error(self, status: int, message: str = "no", code: str = "", kind: str = "", **headers: str) -> Behaviour:
        """Answer with an error in OpenAI's shape."""
        said = {"error": {"message": message, "type": kind, "param": None, "code": code or None}}
        return self.raw(json.dumps(said), status=status, **headers)

    def bytes_then_close(self, content: bytes) -> Behaviour:
        """Write `content` to the connection as it is, and drop it."""

        async def behave(request: web.Request, body: Body) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.write(content)
            request.transport.close()
            return web.Response()

        return behave

    def drip(self, content: bytes = b" ", every: float = 0.05) -> Behaviour:
        """Send headers at once and then a little at a time, for ever."""

        async def behave(request: web.Request, body: Body) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            while True:
                await response.write(content)
                await asyncio.sleep(every)

        return behave

    def busy_above(self, capacity: Callable[[], int], then: Behaviour, **headers: str) -> Behaviour:
        """Refuse with 429 what comes while `capacity()` others are being answered."""
        refuse = self.error(429, "slow down", **headers)

        async def behave(request: web.Request, body: Body) -> web.StreamResponse:
            return await (refuse if self._running > capacity() else then)(request, body)

        return behave

    # The thread

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note a request and behave."""
        body = await request.json()
        self.seen.append(Seen(request.path, {k.lower(): v for k, v in request.headers.items()}, body))
        behave = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        self._running += 1
        self.peak = max(self.peak, self._running)
        try:
            return await behave(request, body)
        finally:
            self._running -= 1

    async def run(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Serve until told to stop."""
        app = web.Application(client_max_size=2**28)
        app.router.add_post("/{path:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        ready.set()
        await stop.wait()
        await runner.cleanup()


@pytest.fixture
def server() -> Iterator[Server]:
    """A chat server on the loopback interface; it answers ``[[A>B]]`` until told otherwise."""
    served = Server()
    served.reply(served.completion())
    ready, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(served.run(ready, stop),), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield served
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    assert not thread.is_alive()
    loop.close()


# What can go wrong with one call to a server: how it behaves, the error, and words of its message.
FAULTS: Mapping[str, tuple[Callable[[Server], Behaviour], type[CallError], str]] = {
    "wrong key": (lambda s: s.error(401, "Incorrect API key provided"), Fatal, "the key was refused"),
    "key without permission": (lambda s: s.error(403, "no access"), Fatal, "the key was refused"),
    "unknown model": (lambda s: s.error(404, "no such model", code="model_not_found"), Fatal, "unknown model"),
    "unknown path": (lambda s: s.raw("<h1>Not Found</h1>", status=404, kind="text/html"), Fatal, "base_url"),
    "no credit": (lambda s: s.error(429, "You exceeded your quota", code="insufficient_quota"), Fatal, "credit"),
    "payment required": (lambda s: s.error(402, "Insufficient balance"), Fatal, "credit"),
    "wrong parameter": (lambda s: s.error(400, "max_tokens", code="unsupported_parameter"), Fatal, "parameter"),
    "bad request": (lambda s: s.error(400, "messages must alternate"), Rejected, "messages must alternate"),
    "context overflow": (
        lambda s: s.error(400, "This model's maximum context length is 8192 tokens. Your messages hold 9001."),
        Rejected,
        "longer than the model's context",
    ),
    "too large": (lambda s: s.error(413, "too big"), Rejected, "longer than the model's context"),
    "never fits the rate limit": (
        lambda s: s.error(429, "Request too large for x on tokens per min (TPM): Limit 30000, Requested 50000"),
        Rejected,
        "longer than the model's context",
    ),
    "content filter": (lambda s: s.error(400, "refused", code="content_filter"), Rejected, "content filter"),
    "firewall": (lambda s: s.raw("<html>Blocked</html>", status=403, kind="text/html"), Rejected, "a web page"),
    "rate limit": (lambda s: s.error(429, "slow down"), RateLimited, "rate limit"),
    "500": (lambda s: s.error(500, "oops"), Transient, "server fault (500): oops"),
    "502 page": (lambda s: s.raw("<html>Bad Gateway</html>", status=502, kind="text/html"), Transient, "(502)"),
    "503 without a body": (lambda s: s.raw("", status=503), Transient, "(503)"),
    "web page": (lambda s: s.raw("<html>Log in</html>", kind="text/html"), BadResponse, ""),
    "no JSON": (lambda s: s.raw('{"choices": ['), BadResponse, ""),
    "nothing": (lambda s: s.raw(""), BadResponse, ""),
    "no choices": (lambda s: s.completion(choices=[]), BadResponse, ""),
    "no content": (lambda s: s.completion(None), BadResponse, "without content"),
    "cut off": (
        lambda s: s.bytes_then_close(b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"choices": [{"mess'),
        BadResponse,
        "cut off",
    ),
    "cut off in a chunk": (
        lambda s: s.bytes_then_close(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"choi'),
        BadResponse,
        "cut off",
    ),
    "not HTTP": (lambda s: s.bytes_then_close(b"hello\r\n\r\n"), BadResponse, "not HTTP"),
    "dropped": (lambda s: s.bytes_then_close(b""), Transient, "connection was lost"),
    "slow-loris": (lambda s: s.drip(), Transient, "no answer within 1 s"),
}


@dataclass(frozen=True)
class Fault:
    """A fault that the server of the test shows from now on, and what a client with this time-out must make of it."""

    name: str
    error: type[CallError]
    words: str
    timeout: float


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest, server: Server) -> Fault:
    """Each fault of `FAULTS` in turn."""
    behaviour, error, words = FAULTS[request.param]
    server.reply(behaviour(server))
    return Fault(request.param, error, words, timeout=1.0 if request.param == "slow-loris" else 30.0)


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting, moves the loop's clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everything waits and no timer is set: a deadlock"
        self.now += max(0.0, timeout)
        return super().select(0)


class _SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop in which waiting takes no time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


@pytest.fixture(scope="session")
def simulated_time() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """A function that runs a coroutine in simulated time, which starts at 0; a deadlock fails."""

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=_SimulatedLoop) as runner:
            return runner.run(main)

    return run
