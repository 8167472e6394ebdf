"""The litellm client against a real server, through two providers with different wire formats."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import traceback
from typing import Any

import pytest

from auditkit.judging.calls import (
    Allowance,
    BadResponse,
    CallError,
    Client,
    Completion,
    Fatal,
    Message,
    RateLimited,
    Rejected,
    Request,
    TokenLogprob,
    Transient,
    Usage,
)
from auditkit.judging.clients import client_for

SECRET = "sk-test-4f8a9c2e71b05d36"  # noqa: S105  # opens nothing


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def ask(provider: str = "openai", **params: Any) -> Request:
    return Request(f"litellm/{provider}/judge-1", (Message("system", "Judge."), Message("user", "Which?")), params)


def complete(server: Any, *requests: Request, timeout: float = 30.0) -> list[Completion]:
    async def run() -> list[Completion]:
        base = server.url.removesuffix("/v1") if "anthropic" in requests[0].model else server.url
        client = client_for("litellm/openai/judge-1", base_url=base, timeout=timeout)
        assert isinstance(client, Client)
        try:
            return [await client.complete(request) for request in requests]
        finally:
            await client.close()

    return asyncio.run(run())


def failure(server: Any, request: Request | None = None, timeout: float = 30.0) -> CallError:
    with pytest.raises(CallError) as caught:
        complete(server, request or ask(), timeout=timeout)
    return caught.value


def anthropic(server: Any, text: str = "[[B]]") -> Any:
    """A completion in Anthropic's format."""
    return server.raw(
        '{"id": "m1", "type": "message", "role": "assistant", "model": "judge-1-served", "stop_reason": "end_turn", '
        f'"content": [{{"type": "text", "text": "{text}"}}], "usage": {{"input_tokens": 9, "output_tokens": 4}}}}',
        anthropic_ratelimit_requests_limit="50",
        anthropic_ratelimit_requests_remaining="0",
        anthropic_ratelimit_requests_reset="2000-01-01T00:00:30Z",
        date="Sat, 01 Jan 2000 00:00:10 GMT",
    )


def test_a_completion_is_read_in_full(server: Any) -> None:
    """As through the openai client: text, log-probabilities, usage, served model, allowance."""
    token = {"token": "m", "logprob": -0.1, "bytes": None, "top_logprobs": [{"token": "M", "logprob": -2.5}]}
    server.reply(
        server.completion(
            choices=[
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "m"},
                    "finish_reason": "stop",
                    "logprobs": {"content": [token]},
                }
            ],
            usage={
                "prompt_tokens": 90,
                "completion_tokens": 1,
                "total_tokens": 91,
                "prompt_tokens_details": {"cached_tokens": 64},
            },
            headers={"x-ratelimit-remaining-requests": "499", "x-ratelimit-reset-requests": "120ms"},
        )
    )
    (got,) = complete(server, ask(logprobs=True, top_logprobs=1, temperature=0))
    assert (got.text, got.finish, got.served) == ("m", "stop", "judge-1-served")
    assert got.logprobs == (TokenLogprob("m", -0.1, (("M", -2.5),)),)
    assert got.usage == Usage(90, 1, 64)
    assert got.allowance == Allowance(requests_left=499, requests_reset=0.12)
    assert got.cost is None
    (seen,) = server.seen
    assert seen.body["model"] == "judge-1" and seen.body["temperature"] == 0
    assert seen.body["messages"] == [{"role": "system", "content": "Judge."}, {"role": "user", "content": "Which?"}]


def test_another_provider_speaks_its_own_format(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anthropic's requests, answers and headers arrive in the same shape, with the key that is its own."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    server.reply(anthropic(server))
    (got,) = complete(server, ask("anthropic", max_tokens=10))
    assert (got.text, got.finish, got.usage.tokens_in, got.usage.tokens_out) == ("[[B]]", "stop", 9, 4)
    assert got.allowance == Allowance(requests=50, requests_left=0, requests_reset=20.0)
    (seen,) = server.seen
    assert seen.path == "/v1/messages" and seen.headers["x-api-key"] == SECRET


def test_each_fault_is_its_own_error(server: Any, fault: Any) -> None:
    """The same fault raises the same error as through the openai client, after exactly one request."""
    error = failure(server, timeout=fault.timeout)
    assert type(error) is fault.error
    assert fault.words in str(error) or type(error) is BadResponse
    assert str(error).startswith("litellm/openai/judge-1 at http://127.0.0.1:")
    assert "\n" not in str(error)
    assert len(server.seen) == 1, "litellm must not retry by itself"


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (401, "authentication_error", Fatal),
        (404, "not_found_error", Fatal),
        (429, "rate_limit_error", RateLimited),
        (529, "overloaded_error", Transient),
        (500, "api_error", Transient),
        (413, "request_too_large", Rejected),
    ],
)
def test_faults_of_another_provider(server: Any, status: int, kind: str, expected: type[CallError]) -> None:
    """Anthropic's errors map to the same tree, with the wait that it asks for."""
    server.reply(server.error(status, "no", kind=kind, retry_after="3"))
    error = failure(server, ask("anthropic", max_tokens=5))
    assert type(error) is expected
    if isinstance(error, Transient):
        assert error.retry_after == 3.0
    assert len(server.seen) == 1


def test_a_low_balance_stops_the_run(server: Any) -> None:
    """Anthropic says so in a 400."""
    server.reply(server.error(400, "Your credit balance is too low to access the API.", kind="invalid_request_error"))
    assert type(failure(server, ask("anthropic", max_tokens=5))) is Fatal


@pytest.mark.parametrize("request_", [ask("no-such-provider"), ask("anthropic", max_tokens=5, logprobs=True)])
def test_what_litellm_cannot_send_is_fatal(server: Any, request_: Request) -> None:
    """An unknown provider, or a parameter that the provider lacks, is said at once; nothing is dropped silently."""
    error = failure(server, request_)
    assert type(error) is Fatal and "litellm" in str(error)
    assert server.seen == []


def test_no_key_is_fatal_and_names_the_variable(server: Any) -> None:
    """A provider's own address without its key: one line that says which variable to set."""

    async def run() -> None:
        client = client_for("litellm/anthropic/x", timeout=5)
        try:
            await client.complete(ask("anthropic", max_tokens=5))
        finally:
            await client.close()

    with pytest.raises(Fatal, match="ANTHROPIC_API_KEY"):
        asyncio.run(run())


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_key_that_the_server_repeats_is_in_no_error(
    server: Any, monkeypatch: pytest.MonkeyPatch, provider: str, status: int
) -> None:
    """Neither the message, nor the representation, nor anything the error links to holds the key."""
    monkeypatch.setenv(f"{provider.upper()}_API_KEY", SECRET)
    server.reply(server.error(status, f"you sent Bearer {SECRET}, that is {SECRET}"))
    error = failure(server, ask(provider, max_tokens=5))
    link: BaseException | None = error
    while link is not None:
        for shown in (str(link), repr(link), repr(link.args), repr(vars(link))):
            assert SECRET not in shown
        link = link.__cause__ or link.__context__
    assert SECRET not in "".join(traceback.format_exception(error))


def test_a_refusal_is_a_completion(server: Any) -> None:
    """litellm keeps it apart; here it is the text, as through the openai client."""
    message = {"role": "assistant", "content": None, "refusal": "I will not judge this."}
    server.reply(server.completion(choices=[{"index": 0, "message": message, "finish_reason": "stop"}]))
    (got,) = complete(server, ask())
    assert (got.text, got.finish) == ("I will not judge this.", "refusal")


def test_nothing_is_printed(server: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """litellm's advice on errors stays off the terminal."""
    server.reply(server.error(500))
    failure(server)
    server.reply(server.error(401))
    failure(server)
    assert capfd.readouterr() == ("", "")


def test_two_runs_in_one_process(server: Any) -> None:
    """What one event loop left behind in litellm does not break the next; closing one client leaves another usable."""

    async def run() -> str:
        first, second = (client_for("litellm/openai/x", base_url=server.url) for _ in range(2))
        try:
            await first.complete(ask())
            await first.close()
            return (await second.complete(ask())).text
        finally:
            await second.close()

    assert asyncio.run(run()) == asyncio.run(run()) == "[[A>B]]"


@pytest.mark.slow
def test_importing_it_calls_nobody() -> None:
    """Making the client opens no connection, registers no callback and sends no telemetry; the package alone does not
    import litellm at all.
    """
    code = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(args) if event in ("socket.connect", "socket.getaddrinfo") else None)
from auditkit.judging.clients import client_for
assert "litellm" not in sys.modules
client_for("litellm/openai/x")
litellm = sys.modules["litellm"]
assert litellm.telemetry is False
callbacks = (litellm.callbacks, litellm.success_callback, litellm.failure_callback, litellm.input_callback)
assert not any(callbacks), callbacks
assert not opened, opened
"""
    subprocess.run([sys.executable, "-c", code], check=True)
