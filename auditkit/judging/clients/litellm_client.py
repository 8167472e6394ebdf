"""The client ``litellm``: every provider that litellm knows, as ``litellm/<provider>/<model>``.

litellm takes three seconds to import, so it is imported when the client is made. Its price list stays the bundled one
(nothing is fetched), its retries, fallbacks and silent dropping of parameters are off.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any, Final
from weakref import WeakSet

import httpx

from auditkit.errors import UsageError, printable
from auditkit.judging.calls import BadResponse, CallError, Completion, Fatal, Request, Transient
from auditkit.judging.clients import TIMEOUT
from auditkit.judging.clients.faults import Complaint, allowance, complaint, fault, scrub, without_secrets
from auditkit.judging.clients.transport import causes, lost
from auditkit.judging.clients.wire import chat_body, read_completion
from auditkit.judging.prices import estimate

__all__ = ["LiteLLMClient", "make"]

_PREFIX: Final = re.compile(r"^(?:(?:litellm\.)?\w+(?:Error|Exception|Timeout)\s*[:-]\s*)+")
_OPEN: Final[WeakSet[LiteLLMClient]] = WeakSet()


def _litellm() -> ModuleType:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else the import calls a server
    try:
        import litellm
    except ImportError as error:
        raise UsageError(f"litellm cannot be imported ({printable(error)}); install it, or use openai/…") from error
    # Its notes to itself (pydantic's on its types, deprecations) would land in the progress display.
    warnings.filterwarnings("ignore", module=r"(?:litellm|pydantic)\b")
    litellm.telemetry = False
    litellm.suppress_debug_info = True  # else it prints advice on every error
    module: ModuleType = litellm
    return module


def _key_name(provider: str) -> str:
    return f"{re.sub(r'[^A-Z0-9]', '_', provider.upper())}_API_KEY"


def _headers(response: Any) -> dict[str, str]:
    said = (getattr(response, "_hidden_params", None) or {}).get("additional_headers") or {}
    # Those without the prefix are litellm's selection, which leaves the times of reset out.
    own = "llm_provider-"
    return {
        str(name).lower().removeprefix(own): str(value) for name, value in said.items() if str(name).startswith(own)
    }


class LiteLLMClient:
    """A client of all of litellm's providers. Use it inside one event loop.

    Args:
        base_url: The address to call instead of each provider's own (litellm's `api_base`).
        timeout: Seconds that a call may take in all.

    Raises:
        UsageError: litellm cannot be imported.
    """

    def __init__(self, base_url: str | None = None, timeout: float = TIMEOUT) -> None:
        self._litellm = _litellm()
        self._base_url = base_url
        self._timeout = timeout
        self._shown = printable(scrub(base_url or "its provider"))
        _OPEN.add(self)

    def __repr__(self) -> str:
        return f"LiteLLMClient({self._shown!r})"

    async def complete(self, request: Request) -> Completion:
        """Make one call, without retrying.

        Raises:
            CallError: As in `Client.complete`. Nothing in it, nor in what it links to, holds a key.
        """
        body = chat_body(request)
        provider = body["model"].partition("/")[0]
        where = f"{printable(request.model)} at {self._shown}"
        if self._base_url is not None:
            body["api_base"] = self._base_url
            if not os.environ.get(_key_name(provider)):
                body["api_key"] = "none"  # servers of one's own need no key, but litellm sends one
        failure: CallError
        start = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._litellm.acompletion(
                    **body, timeout=self._timeout + 5, num_retries=0, max_retries=0, drop_params=False
                )
            return self._read(request, response, where, time.monotonic() - start)
        except CallError:
            raise
        except TimeoutError:
            failure = Transient(f"{where}: no answer within {self._timeout:g} s")
        except Exception as error:  # noqa: BLE001  # litellm lets out errors of every kind
            failure = self._failure(error, where, provider)
        raise failure  # outside the handler: litellm's errors hold the request with its key

    async def close(self) -> None:
        """Close the connections, once no other client of this kind is open: litellm shares them."""
        _OPEN.discard(self)
        if not _OPEN:
            await self._litellm.close_litellm_async_clients()
            self._litellm.in_memory_llm_clients_cache.flush_cache()

    def _read(self, request: Request, response: Any, where: str, latency: float) -> Completion:
        body = response.model_dump(warnings=False)
        for choice in body.get("choices") or ():
            message = choice.get("message") or {}
            extra = message.get("provider_specific_fields") or {}
            message.setdefault("refusal", extra.get("refusal"))
        completion = read_completion(body, where)
        usage = completion.usage
        price = None
        if usage.tokens_in is not None and usage.tokens_out is not None:
            price = estimate(
                request.model, usage.tokens_in, usage.tokens_out, cached=usage.cached or 0, base_url=self._base_url
            )
        return replace(
            completion,
            # A server may say back what it was sent.
            text=without_secrets(completion.text),
            finish=without_secrets(completion.finish),
            served=without_secrets(completion.served),
            trace=without_secrets(completion.trace),
            cost=None if price is None else price.dollars,
            latency=latency,
            allowance=allowance(_headers(response)),
        )

    def _failure(self, error: Exception, where: str, provider: str) -> CallError:
        """Describe an error by the provider's own response if there was one, else by what failed on the way."""
        chain = causes(error)
        for cause in reversed(chain):
            response = getattr(cause, "response", None)
            # litellm's own errors carry made-up responses, without a body and sometimes without a status.
            if not isinstance(response, httpx.Response) or (response.status_code or 0) < 400:
                continue
            if isinstance(cause, httpx.HTTPStatusError) or _body(response):
                return self._fault(response.status_code, complaint(_body(response)), response.headers, where, provider)
        gone = lost(error, where)
        if gone is not None:
            return gone
        words = printable(scrub(_PREFIX.sub("", str(error)).split("\nTraceback", 1)[0]), 240)
        status = getattr(error, "status_code", None)
        if status in (401, 408, 429):
            return self._fault(status, Complaint(words, structured=True), {}, where, provider)
        if isinstance(status, int) and 400 <= status < 500:  # refused before anything was sent
            return Fatal(f"{where}: litellm cannot make this call: {words}")
        return BadResponse(f"{where}: the answer is no completion: {words}")

    def _fault(self, status: int, said: Complaint, headers: Mapping[str, str], where: str, provider: str) -> CallError:
        return fault(status, said, headers, where=where, key_name=_key_name(provider))


def _body(response: httpx.Response) -> str:
    try:
        return response.text
    except httpx.ResponseNotRead:
        return ""


def make(*, base_url: str | None = None, timeout: float = TIMEOUT) -> LiteLLMClient:
    """Every provider that litellm knows, as litellm/<provider>/<model>; keys from each provider's variables."""
    return LiteLLMClient(base_url, timeout)
