"""The client ``openai``: OpenAI, and every server that speaks its chat format (vLLM, llama.cpp, Ollama, gateways).

The openai SDK says where a call goes and with which headers (key, organization, project, the environment's own);
aiohttp carries it, and the body is read as JSON and checked here. Of a call's processor time the SDK's own request
path takes three quarters, on its aiohttp transport too: 64 calls at once would wait for it rather than for the server.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
import openai
from yarl import URL

from auditkit.errors import UsageError, printable
from auditkit.judging.calls import BadResponse, CallError, Completion, Request, Transient
from auditkit.judging.clients import TIMEOUT
from auditkit.judging.clients.faults import allowance, complaint, fault, scrub
from auditkit.judging.clients.transport import LONGEST_BODY, TooLong, lost
from auditkit.judging.clients.wire import chat_body, read_completion
from auditkit.judging.prices import estimate

__all__ = ["OpenAIClient", "make"]

_KEY: Final = "OPENAI_API_KEY"
_NO_KEY: Final = "none"  # servers of one's own need no key, but a header without one is refused by some
_KEEP: Final = 4.0
"""Seconds that an unused connection is kept: uvicorn, which many servers run on, closes it after five."""


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


def _proxy(url: URL) -> str | None:
    """Return the environment's proxy for an address, None for none."""
    host = url.host or ""
    if _is_loopback(host) or proxy_bypass(host):  # a proxy cannot reach this machine's servers
        return None
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise UsageError(
            f"the environment's proxy {printable(scrub(proxy))!r} is of a kind that is not spoken here; "
            f"set {url.scheme.upper()}_PROXY to one that starts with http://, or NO_PROXY={printable(host)}"
        )
    return proxy


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
        sdk = openai.AsyncOpenAI(
            api_key=self._secret,
            base_url=self._base_url,
            http_client=httpx.AsyncClient(transport=httpx.AsyncBaseTransport()),  # unused; its own reads certificates
        )
        address = URL(str(sdk.base_url))
        self._url = address.with_user(None) / "chat/completions"
        self._proxy = _proxy(self._url)
        self._headers = {
            name: value
            for name, value in {**sdk.default_headers, **sdk.auth_headers}.items()
            if isinstance(value, str) and not name.startswith("X-Stainless")
        }
        self._headers["User-Agent"] = f"auditkit/{version('judge-auditkit')}"
        if address.user is not None:  # in the address instead of a key, as for httpx and curl
            said = f"{address.user}:{address.password or ''}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(said).decode()}"
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"OpenAIClient({self._shown!r})"

    async def complete(self, request: Request) -> Completion:
        """Make one call, without retrying.

        Raises:
            CallError: As in `Client.complete`. Nothing in it, nor in what it links to, holds the key.
        """
        payload = json.dumps(chat_body(request), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        where = f"{printable(request.model)} at {self._shown}"
        failure: CallError | None
        start = time.monotonic()
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._opened().post(self._url, data=payload, proxy=self._proxy) as response,
            ):
                content = await _content(response)
            return self._read(request, response, content, where, time.monotonic() - start)
        except TimeoutError:
            failure = Transient(f"{where}: no answer within {self._timeout:g} s")
        # These hold the request with its key: they are described and dropped, not linked to.
        except (aiohttp.ClientError, TooLong, OSError) as error:
            failure = lost(error, where)
        raise failure or Transient(f"{where}: the call failed on the way")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        # Not before the first call: a session belongs to the loop in which it is made.
        if self._session is None:
            secure = self._url.scheme == "https"
            self._session = aiohttp.ClientSession(
                # As many connections as there are calls: how many that is, is decided elsewhere.
                connector=aiohttp.TCPConnector(
                    limit=0, keepalive_timeout=_KEEP, ssl=httpx.create_ssl_context() if secure else True
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    def _without_key(self, content: bytes) -> bytes:
        """Return an answer in which the server does not say our key back: completions are stored, and published."""
        if self._secret == _NO_KEY:
            return content
        return content.replace(self._secret.encode(), b"[removed]")

    def _read(
        self, request: Request, response: aiohttp.ClientResponse, content: bytes, where: str, latency: float
    ) -> Completion:
        if response.status >= 300:  # a redirection is followed, unless it leads nowhere
            raise self._fault(response.status, content, response.headers, where)
        body: Any = None
        # Raised outside the handler, whose error would hold the whole answer.
        with suppress(ValueError, RecursionError):
            body = json.loads(self._without_key(content))
        if body is None:
            page = content.lstrip()[:1] == b"<"
            what = "a web page, not a completion; check the base_url, which often ends in /v1" if page else "no JSON"
            raise BadResponse(f"{where}: the answer is {what}")
        if isinstance(body, Mapping) and "choices" not in body and "error" in body:
            # Routers pass on a provider's error under their own status 200.
            said = complaint(content.decode("utf-8", "replace"))
            if said.code.isdecimal() and 400 <= int(said.code) < 600:
                raise self._fault(int(said.code), content, response.headers, where)
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

    def _fault(self, status: int, content: bytes, headers: Mapping[str, str], where: str) -> CallError:
        said = complaint(content.decode("utf-8", "replace"))
        return fault(status, said, headers, where=where, key_name=_KEY, secrets=(self._secret,))


async def _content(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, and stop at `LONGEST_BODY` whatever the server sends."""
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > LONGEST_BODY:
            raise TooLong
        chunks.append(chunk)
    return b"".join(chunks)


def make(*, base_url: str | None = None, timeout: float = TIMEOUT) -> OpenAIClient:
    """OpenAI and every server that speaks its chat format; the key from OPENAI_API_KEY."""
    return OpenAIClient(base_url, timeout)
