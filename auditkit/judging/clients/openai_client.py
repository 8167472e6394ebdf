"""The client ``openai``: OpenAI, and every server that speaks its chat format (vLLM, llama.cpp, Ollama, gateways).

It goes through the openai SDK on its aiohttp transport: with 64 calls at once the SDK's default transport spends 12 ms
of processor time on each. The SDK's retries are off (`auditkit.judging.calling` retries), and its answer models are
not built: the body is read as JSON and checked here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import openai

from auditkit.errors import UsageError, printable
from auditkit.judging.calls import BadResponse, CallError, Completion, Request, Transient
from auditkit.judging.clients import TIMEOUT
from auditkit.judging.clients.faults import allowance, complaint, fault, scrub
from auditkit.judging.clients.transport import LONGEST_BODY, TooLong, lost
from auditkit.judging.clients.wire import chat_body, read_completion
from auditkit.judging.prices import estimate

__all__ = ["OpenAIClient", "make"]

_KEY: Final = "OPENAI_API_KEY"
_NO_KEY: Final = "none"  # servers of one's own need no key, but the SDK sends one


class _Capped(httpx.AsyncByteStream):
    """A body that stops at `LONGEST_BODY`, whatever the server sends."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > LONGEST_BODY:
                raise TooLong
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _cap(response: httpx.Response) -> None:
    stream = response.stream
    if isinstance(stream, httpx.AsyncByteStream):
        response.stream = _Capped(stream)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            f"base_url must be an address such as http://127.0.0.1:8000/v1, not {printable(scrub(base_url))!r}"
        )
    return base_url


def _key(base_url: str | None) -> str:
    key = os.environ.get(_KEY, "").strip()
    if not key:
        if base_url is None:
            raise UsageError(f"{_KEY} is not set; set it, or give the base_url of a server that needs no key")
        return _NO_KEY
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"{_KEY} holds characters that no key has; copy it again")
    return key


class OpenAIClient:
    """A client of one address. Use it inside one event loop.

    Args:
        base_url: The address, without ``/chat/completions``; None: OPENAI_BASE_URL, or OpenAI itself.
        timeout: Seconds that a call may take in all, from connecting to the last byte.

    Raises:
        UsageError: No usable address, or no key for OpenAI itself.
    """

    def __init__(self, base_url: str | None = None, timeout: float = TIMEOUT) -> None:
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        self._base_url = None if base_url is None else _address(base_url)
        self._secret = _key(base_url)
        self._timeout = timeout
        self._shown = printable(scrub(self._base_url or "api.openai.com", self._secret))
        host = urlsplit(self._base_url or "https://api.openai.com/v1").hostname or ""
        self._sdk = openai.AsyncOpenAI(
            api_key=self._secret,
            base_url=self._base_url,
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAioHttpClient(
                timeout=timeout,
                event_hooks={"response": [_cap]},
                trust_env=not _is_loopback(host),  # a proxy from the environment cannot reach this machine's servers
            ),
        )

    def __repr__(self) -> str:
        return f"OpenAIClient({self._shown!r})"

    async def complete(self, request: Request) -> Completion:
        """Make one call, without retrying.

        Raises:
            CallError: As in `Client.complete`. Nothing in it, nor in what it links to, holds the key.
        """
        body = chat_body(request)
        where = f"{printable(request.model)} at {self._shown}"
        failure: CallError
        start = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._sdk.post("/chat/completions", cast_to=httpx.Response, body=body)
            return self._read(request, response, where, time.monotonic() - start)
        # The SDK's errors hold the request with its key: they are described and dropped, not linked to.
        except TimeoutError:
            failure = Transient(f"{where}: no answer within {self._timeout:g} s")
        except openai.APIStatusError as error:
            failure = self._fault(error.status_code, error.response.text, error.response.headers, where)
        except openai.APIConnectionError as error:
            failure = lost(error, where) or Transient(f"{where}: the call failed on the way")
        raise failure

    async def close(self) -> None:
        """Close the connections."""
        await self._sdk.close()

    def _read(self, request: Request, response: httpx.Response, where: str, latency: float) -> Completion:
        body: Any = None
        # Raised outside the handler, whose error would hold the whole answer.
        with suppress(ValueError, RecursionError):
            body = json.loads(response.content)
        if body is None:
            page = response.content.lstrip()[:1] == b"<"
            what = "a web page, not a completion; check the base_url, which often ends in /v1" if page else "no JSON"
            raise BadResponse(f"{where}: the answer is {what}")
        if isinstance(body, Mapping) and "choices" not in body and "error" in body:
            # Routers pass on a provider's error under their own status 200.
            said = complaint(response.text)
            if said.code.isdecimal() and 400 <= int(said.code) < 600:
                raise self._fault(int(said.code), response.text, response.headers, where)
            raise BadResponse(f"{where}: {printable(scrub(said.message, self._secret), 240)}")
        completion = read_completion(body, where)
        usage = completion.usage
        price = None
        if usage.tokens_in is not None and usage.tokens_out is not None:
            price = estimate(
                request.model, usage.tokens_in, usage.tokens_out, cached=usage.cached or 0, base_url=self._base_url
            )
        return replace(
            completion,
            cost=None if price is None else price.dollars,
            latency=latency,
            allowance=allowance(response.headers),
        )

    def _fault(self, status: int, body: str, headers: Mapping[str, str], where: str) -> CallError:
        return fault(status, complaint(body), headers, where=where, key_name=_KEY, secrets=(self._secret,))


def make(*, base_url: str | None = None, timeout: float = TIMEOUT) -> OpenAIClient:
    """OpenAI and every server that speaks its chat format; the key from OPENAI_API_KEY."""
    return OpenAIClient(base_url, timeout)
