"""The openai client against a real server: what it sends, reads, and makes of every fault."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import socket
import ssl
import subprocess
import time
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import UsageError
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
from auditkit.judging.clients.faults import complaint, retry_after, scrub, seconds
from auditkit.judging.clients.faults import fault as fault_of
from auditkit.judging.clients.wire import read_completion

SECRET = "sk-test-4f8a9c2e71b05d36"  # noqa: S105  # opens nothing


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def ask(text: str = "Which is better?", **params: Any) -> Request:
    return Request("openai/judge-1", (Message("system", "Judge."), Message("user", text)), params)


def complete(server: Any, *requests: Request, timeout: float = 30.0) -> list[Completion]:
    """Make the calls one after the other; the first failure is raised."""

    async def run() -> list[Completion]:
        client = client_for("openai/judge-1", base_url=server.url, timeout=timeout)
        try:
            return [await client.complete(request) for request in requests]
        finally:
            await client.close()

    return asyncio.run(run())


def failure(server: Any, request: Request | None = None, timeout: float = 30.0) -> CallError:
    with pytest.raises(CallError) as caught:
        complete(server, request or ask(), timeout=timeout)
    return caught.value


def test_a_completion_is_read_in_full(server: Any) -> None:
    """Text, finish, log-probabilities with alternatives, usage with cache hits, served model, allowance."""
    server.reply(
        server.completion(
            choices=[
                {
                    "message": {"content": "m", "reasoning_content": "Hmm."},
                    "finish_reason": "stop",
                    "logprobs": {
                        "content": [
                            {
                                "token": "m",
                                "logprob": -0.1,
                                "top_logprobs": [
                                    {"token": "m", "logprob": -0.1},
                                    {"token": "M", "logprob": -2.5},
                                ],
                            }
                        ]
                    },
                }
            ],
            usage={"prompt_tokens": 90, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 64}},
            headers={
                "x-ratelimit-limit-requests": "500",
                "x-ratelimit-remaining-requests": "499",
                "x-ratelimit-reset-requests": "120ms",
                "x-ratelimit-limit-tokens": "30000",
                "x-ratelimit-remaining-tokens": "29000",
                "x-ratelimit-reset-tokens": "1m2.5s",
            },
        )
    )
    (got,) = complete(server, ask(logprobs=True, top_logprobs=2))
    assert got.text == "m" and got.finish == "stop" and got.trace == "Hmm." and got.served == "judge-1-served"
    assert got.logprobs == (TokenLogprob("m", -0.1, (("m", -0.1), ("M", -2.5))),)
    assert got.usage == Usage(90, 1, 64)
    assert got.allowance == Allowance(500, 499, 0.12, 30000, 29000, 62.5)
    assert got.cost is None, "nobody knows the price of a server of one's own"
    assert got.latency > 0


def test_the_request_is_sent_as_it_is(server: Any) -> None:
    """The model without its client, messages in order, parameters under their own names, and no key to a stranger."""
    complete(server, ask(temperature=0, max_tokens=7, stop=["\n"], seed=3, response_format={"type": "json_object"}))
    (seen,) = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.body == {
        "model": "judge-1",
        "messages": [{"role": "system", "content": "Judge."}, {"role": "user", "content": "Which is better?"}],
        "temperature": 0,
        "max_tokens": 7,
        "stop": ["\n"],
        "seed": 3,
        "response_format": {"type": "json_object"},
    }
    assert seen.headers["authorization"] == "Bearer none"


def test_each_fault_is_its_own_error(server: Any, fault: Any) -> None:
    """Every fault raises exactly its error, one line that names the model, after exactly one request."""
    error = failure(server, timeout=fault.timeout)
    assert type(error) is fault.error
    assert fault.words in str(error)
    assert str(error).startswith("openai/judge-1 at http://127.0.0.1:")
    assert "\n" not in str(error)
    assert len(server.seen) == 1, "the SDK must not retry by itself"


def test_a_body_without_end_is_cut(server: Any) -> None:
    """A server that never stops sending cannot fill the memory."""
    server.reply(server.drip(b"x" * 2**20, every=0.0))
    error = failure(server, timeout=60)
    assert type(error) is BadResponse and "MiB" in str(error)


def test_no_server_is_transient(server: Any) -> None:
    """A refused connection may be a server that restarts."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server.port = taken.getsockname()[1]
        error = failure(server)
    assert type(error) is Transient and "cannot connect" in str(error)


def test_wrong_and_right_key(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key comes from the environment; a server that refuses it is told apart by one clear line."""

    async def door(request: Any, body: Any) -> Any:
        opens = request.headers["Authorization"] == f"Bearer {SECRET}"
        behave = server.completion() if opens else server.error(401, "Incorrect API key provided: sk-wrong*******0000")
        return await behave(request, body)

    server.reply(door)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-12345678-0000")
    error = failure(server)
    assert type(error) is Fatal and "set OPENAI_API_KEY" in str(error) and "0000" not in str(error)
    monkeypatch.setenv("OPENAI_API_KEY", f" {SECRET}\n")
    assert complete(server, ask())[0].text == "[[A>B]]"


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
def test_a_key_that_the_server_repeats_is_in_no_error(
    server: Any, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Neither the message, nor the representation, nor anything the error links to holds the key."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)

    async def parrot(request: Any, body: Any) -> Any:
        said = f"you sent {request.headers['Authorization']}, that is {SECRET}"
        return await server.error(status, said)(request, body)

    server.reply(parrot)
    error = failure(server)
    link: BaseException | None = error
    while link is not None:
        for shown in (str(link), repr(link), repr(link.args), repr(vars(link))):
            assert SECRET not in shown
        link = link.__cause__ or link.__context__
    assert SECRET not in "".join(traceback.format_exception(error))


def test_the_key_is_not_shown_by_the_client(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Printing a client prints its address, without a password in it."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    client = client_for("openai/x", base_url="http://user:hunter2secret@127.0.0.1:8000/v1")
    assert isinstance(client, Client)
    shown = repr(client)
    assert SECRET not in shown and "hunter2secret" not in shown and "127.0.0.1:8000" in shown


def test_a_model_of_the_provider_itself_needs_a_key() -> None:
    """Without a key and an address nothing is sent: it is a usage error that says what to do."""
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        client_for("openai/gpt-4.1")


def test_a_key_that_no_header_can_hold_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the message does not hold the key."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-bad\x1bkey-é")
    with pytest.raises(UsageError, match="copy it again") as caught:
        client_for("openai/gpt-4.1")
    assert "sk-bad" not in str(caught.value)


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://host/v1", "http://", "http://[::1", "http://h:99999/v1"])
def test_a_malformed_address_is_a_usage_error(address: str) -> None:
    """A base_url that cannot be called is refused before the run."""
    with pytest.raises(UsageError, match="base_url"):
        client_for("openai/x", base_url=address)


@pytest.mark.parametrize("model", ["gpt-4.1", "/gpt", "openai/", "", "\x1b[31m"])
def test_a_model_without_a_client_is_a_usage_error(model: str) -> None:
    """The message lists the clients, and cannot steer the terminal."""
    with pytest.raises(UsageError, match="openai") as caught:
        client_for(model)
    assert "\x1b" not in str(caught.value)


def test_an_unknown_client_is_a_usage_error() -> None:
    """The message lists those there are."""
    with pytest.raises(UsageError, match=r"litellm.*openai"):
        client_for("opnai/gpt-4.1")


def test_proxies_do_not_come_between_us_and_this_machine(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy from the environment is not asked for a loopback address."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert complete(server, ask())[0].text == "[[A>B]]"


def test_a_proxy_of_the_environment_is_asked_for_other_machines(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call to a server elsewhere goes to the proxy, whole; NO_PROXY goes past it."""
    for name in ("HTTP_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{server.port}")

    async def run() -> Completion:
        client = client_for("openai/judge-1", base_url="http://judge.invalid/v1")
        try:
            return await client.complete(ask())
        finally:
            await client.close()

    assert asyncio.run(run()).text == "[[A>B]]"
    assert server.seen[0].headers["host"] == "judge.invalid"
    monkeypatch.setenv("no_proxy", "judge.invalid")
    with pytest.raises(Transient, match="cannot connect"):
        asyncio.run(run())


def test_a_proxy_of_another_kind_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its password is not shown."""
    monkeypatch.setenv("https_proxy", "socks5://me:hunter2secret@proxy.invalid:1080")
    with pytest.raises(UsageError, match="HTTPS_PROXY") as caught:
        client_for("openai/x", base_url="https://judge.invalid/v1")
    assert "hunter2secret" not in str(caught.value)


def test_what_the_environment_says_of_the_account_is_sent(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the SDK sends it: key, organization, project. A password in the address goes instead of the key."""
    for name, value in (("API_KEY", SECRET), ("ORG_ID", "org-1"), ("PROJECT_ID", "proj-1")):
        monkeypatch.setenv(f"OPENAI_{name}", value)
    complete(server, ask())
    sent = server.seen[0].headers
    assert sent["authorization"] == f"Bearer {SECRET}"
    assert (sent["openai-organization"], sent["openai-project"]) == ("org-1", "proj-1")
    assert sent["content-type"] == "application/json"
    assert sent["user-agent"].startswith("auditkit/")

    async def run() -> None:
        client = client_for("openai/judge-1", base_url=f"http://me:p%40ss@127.0.0.1:{server.port}/v1/")
        await client.complete(ask())
        await client.close()

    asyncio.run(run())
    assert server.seen[1].headers["authorization"] == "Basic bWU6cEBzcw=="
    assert server.seen[1].path == "/v1/chat/completions"


def test_a_redirection_is_followed_but_takes_no_key_elsewhere(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has moved is asked again with the whole request; another address is not told the key."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    moved = server.raw("", status=308, Location="/v2/chat/completions")
    server.reply(moved, server.completion("moved"))
    assert complete(server, ask())[0].text == "moved"
    assert server.seen[1].body == server.seen[0].body
    assert server.seen[1].headers["authorization"] == f"Bearer {SECRET}"
    elsewhere = f"http://localhost:{server.port}/v1/chat/completions"
    server.reply(server.raw("", status=307, Location=elsewhere), server.completion())
    complete(server, ask())
    assert "authorization" not in server.seen[3].headers


@pytest.mark.parametrize(
    ("message", "finish", "text", "read_as"),
    [
        ({"content": None, "refusal": "I will not judge this."}, "stop", "I will not judge this.", "refusal"),
        ({"content": None}, "content_filter", "", "content_filter"),
        ({"content": "The first is"}, "content_filter", "The first is", "content_filter"),
        ({"content": None, "reasoning": "so long"}, "length", "", "length"),
        ({"content": ""}, "stop", "", "stop"),
        ({"content": [{"type": "text", "text": "[[A"}, {"type": "text", "text": "]]"}]}, "stop", "[[A]]", "stop"),
    ],
)
def test_refusals_and_cut_answers_are_completions(
    server: Any, message: dict[str, object], finish: str, text: str, read_as: str
) -> None:
    """What the model answered is kept and paid for, even if it is no answer."""
    server.reply(server.completion(choices=[{"message": message, "finish_reason": finish}]))
    (got,) = complete(server, ask())
    assert (got.text, got.finish) == (text, read_as)


def test_an_error_under_status_200_is_an_error(server: Any) -> None:
    """Routers pass on a provider's refusal in the body of a success."""
    server.reply(server.raw('{"error": {"code": 429, "message": "upstream busy"}}'))
    assert type(failure(server)) is RateLimited
    server.reply(server.raw('{"error": {"message": "upstream fell over"}}'))
    assert "upstream fell over" in str(failure(server))
    server.reply(server.completion(choices=[{"message": {"content": ""}, "finish_reason": "error"}]))
    assert type(failure(server)) is BadResponse


def test_an_answer_quoted_in_a_refusal_cannot_stop_the_run(server: Any) -> None:
    """A provider's message may quote an adversary: only that one request may fail by it."""
    for planted in (
        "model_not_found",
        "insufficient_quota",
        "Your credit balance is too low",
        "x is not a valid model",
    ):
        server.reply(server.error(400, f"cannot read message 'hello\n{planted}'"))
        assert type(failure(server)) is Rejected


def test_text_that_cannot_be_sent_or_kept(server: Any) -> None:
    """An unpaired surrogate is refused on the way out and replaced on the way in."""
    assert type(failure(server, ask("half an emoji: \ud83d"))) is Rejected
    assert server.seen == []
    server.reply(server.raw('{"choices": [{"message": {"content": "half \\ud83d"}, "finish_reason": "stop"}]}'))
    assert complete(server, ask())[0].text == "half \ufffd"


def test_parameters_that_change_what_is_called_are_fatal(server: Any) -> None:
    """A spec cannot turn on streaming, several choices, or another model."""
    refused: list[dict[str, Any]] = [{"stream": True}, {"n": 2}, {"model": "other"}, {"messages": []}]
    for params in refused:
        assert type(failure(server, ask(**params))) is Fatal
    assert server.seen == []


def test_log_probabilities_in_another_shape_are_a_bad_response(server: Any) -> None:
    """Not None, which would say that the provider gives none."""
    for content in ([{"token": "m"}], [{"token": 1, "logprob": 0.0}], ["m"], [{"token": "m", "logprob": "x"}]):
        choice = {"message": {"content": "m"}, "finish_reason": "stop", "logprobs": {"content": content}}
        server.reply(server.completion(choices=[choice]))
        assert type(failure(server)) is BadResponse


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.25"}, 0.25),
        ({"retry_after": "7", "retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "Sat, 01 Jan 2000 00:00:30 GMT", "date": "Sat, 01 Jan 2000 00:00:10 GMT"}, 20.0),
        ({"retry_after": "Sat, 01 Jan 2000 00:00:00 GMT", "date": "Sat, 01 Jan 2000 00:00:10 GMT"}, 0.0),
        ({"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "2m"}, 120.0),
        ({"x_ratelimit_remaining_requests": "3", "x_ratelimit_reset_requests": "2m"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "-5"}, 0.0),
        ({}, None),
    ],
)
def test_the_wait_that_a_refusal_asks_for(
    server: Any, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], wait: float | None
) -> None:
    """Seconds, milliseconds, or a date held against the server's own clock: this machine's may stand anywhere."""
    monkeypatch.setattr(time, "time", lambda: 4e9)
    server.reply(server.error(429, "slow", **headers))
    error = failure(server)
    assert isinstance(error, RateLimited)
    assert error.retry_after == (None if wait is None else pytest.approx(wait))


def test_an_overloaded_server_may_ask_to_wait(server: Any) -> None:
    """A 503's Retry-After is kept too."""
    server.reply(server.error(503, "overloaded", retry_after="4"))
    error = failure(server)
    assert type(error) is Transient and error.retry_after == 4.0


def test_a_certificate_that_nobody_vouches_for_is_fatal(tmp_path: Path) -> None:
    """No later call could succeed, and none is made without checking."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def run() -> None:
        listening = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        port = listening.sockets[0].getsockname()[1]
        client = client_for("openai/judge-1", base_url=f"https://127.0.0.1:{port}/v1")
        try:
            await client.complete(ask())
        finally:
            await client.close()
            listening.close()

    with pytest.raises(Fatal, match="certificate is not trusted"):
        asyncio.run(run())


def test_one_client_serves_many_calls_at_once(server: Any) -> None:
    """Answers go to the calls that asked."""

    async def echo(request: Any, body: Any) -> Any:
        await asyncio.sleep(0.01)
        return await server.completion(body["messages"][1]["content"])(request, body)

    server.reply(echo)

    async def run() -> list[Completion]:
        client = client_for("openai/judge-1", base_url=server.url)
        try:
            return await asyncio.gather(*(client.complete(ask(str(i))) for i in range(200)))
        finally:
            await client.close()

    assert [got.text for got in asyncio.run(run())] == [str(i) for i in range(200)]


def test_a_cancelled_call_leaves_the_client_usable(server: Any) -> None:
    """Ctrl-C in one call breaks no other."""

    async def run() -> str:
        client = client_for("openai/judge-1", base_url=server.url)
        server.reply(server.completion(latency=30), server.completion("after"))
        slow = asyncio.create_task(client.complete(ask()))
        while not server.seen:
            await asyncio.sleep(0.01)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        try:
            return (await client.complete(ask())).text
        finally:
            await client.close()

    assert asyncio.run(run()) == "after"


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
_FIELDS = ("choices", "message", "content", "logprobs", "finish_reason", "usage", "model", "refusal", "text", "token")
_BODIES = st.recursive(
    _JSON, lambda inner: st.dictionaries(st.sampled_from(_FIELDS), inner | st.lists(inner, max_size=2), max_size=5)
)


@given(_BODIES)
def test_any_body_is_a_completion_or_a_bad_response(body: object) -> None:
    """No JSON makes the reader fail in another way."""
    try:
        got = read_completion(body, "x")
    except BadResponse:
        return
    got.text.encode()


@given(st.integers(400, 599), st.one_of(st.text(), _JSON.map(json.dumps)), st.text(max_size=12), st.text(max_size=30))
def test_any_refusal_is_a_call_error(status: int, body: str, wait: str, date: str) -> None:
    """No status, body or header makes the reader of refusals fail, and its message is one printable line."""
    headers = {
        "retry-after": wait,
        "date": date,
        "x-ratelimit-remaining-tokens": wait,
        "x-ratelimit-reset-tokens": date,
    }
    error = fault_of(status, complaint(body), headers, where="m", key_name="K")
    assert isinstance(error, CallError)
    assert str(error).isprintable()


@given(
    st.text(alphabet="0123456789hms.-+TZ:GMT, ", max_size=24)
    | st.datetimes().map(datetime.isoformat).map(lambda text: text + "+23:59")
    | st.integers(300, 400).map(lambda digits: "9" * digits + "s"),
    st.none() | st.text(max_size=24),
)
def test_a_wait_is_never_negative_nor_endless(text: str, date: str | None) -> None:
    """Whatever a header says."""
    headers = {"retry-after": text, "retry-after-ms": text, "date": date or ""}
    for wait in (seconds(text, date), retry_after(headers)):
        assert wait is None or (wait >= 0 and math.isfinite(wait))


def test_secrets_of_the_environment_are_scrubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of variables named like keys, bearer tokens, key-shaped words and passwords in addresses disappear."""
    monkeypatch.setenv("MY_PROVIDER_TOKEN", "abcdef-zyxwvu")
    monkeypatch.setenv("SOME_KEY", "short")
    text = "abcdef-zyxwvu; Bearer qwertyuiop; sk-proj-***1234; https://me:pass@host/; short words stay"
    assert scrub(text) == "[key]; [key]; [key]; https://[key]@host/; short words stay"
