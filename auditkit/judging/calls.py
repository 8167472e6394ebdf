"""One call to a model: the request, its content key, the completion, and what can go wrong.

::

    CallError                 a call that gave no completion; the run can be resumed (exit code 4)
    ├── Fatal                 no further call can succeed: wrong key, unknown model, wrong address
    ├── Rejected              this request can never succeed: bad request, context overflow, content filter
    └── Transient             the same request may succeed later
        ├── RateLimited       429, or the provider's equivalent
        └── BadResponse       not JSON, no choices, a truncated stream, an HTML page

Only completions are stored; errors never are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

from auditkit.errors import AuditkitError

__all__ = [
    "Allowance",
    "BadResponse",
    "CallError",
    "Client",
    "Completion",
    "Fatal",
    "Json",
    "Message",
    "RateLimited",
    "Rejected",
    "Request",
    "TokenLogprob",
    "Transient",
    "Usage",
]

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


class CallError(AuditkitError):
    """A call that gave no completion."""

    exit_code = 4


class Fatal(CallError):
    """No further call can succeed: wrong key, unknown model, wrong address."""


class Rejected(CallError):
    """This request can never succeed: bad request, context overflow, content filter."""


class Transient(CallError):
    """The same request may succeed later: a time-out, a dropped connection, a 5xx.

    `retry_after` is the wait in seconds that the provider asked for, None if it said none.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(Transient):
    """The provider asks to slow down: 429, or its equivalent."""


class BadResponse(Transient):
    """Something came back that is not a completion: not JSON, no choices, a truncated stream, an HTML page."""


@dataclass(frozen=True)
class Message:
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Request:
    """What is sent: `model` is ``client/model`` (``openai/gpt-4.1``, ``local/smollm2-135m``).

    `params` are sampling parameters under OpenAI's names (temperature, max_tokens, top_p, seed, stop, logprobs,
    top_logprobs, response_format …). `sample` numbers repeated draws of the same request. Keys, addresses and
    anything secret belong to the client, never here: a request is stored.
    """

    model: str
    messages: tuple[Message, ...]
    params: Mapping[str, Json] = field(default_factory=dict)
    sample: int = 0

    @cached_property
    def key(self) -> str:
        """Content key: SHA-256 (hex) of model, messages, parameters and sample number, in canonical JSON."""
        body = {
            "messages": [[m.role, m.content] for m in self.messages],
            "model": self.model,
            "params": dict(self.params),
            "sample": self.sample,
        }
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class TokenLogprob:
    """One generated token: its text, its natural-log probability, and the most likely alternatives with theirs."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Usage:
    """Tokens of one call, as the provider counts them; None: not said. `cached` are input tokens not computed again."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    cached: int | None = None


@dataclass(frozen=True)
class Allowance:
    """What a provider's headers say is left of its rate limits; None: not said.

    `requests` and `tokens` are the limits, `…_left` what remains of them, `…_reset` the seconds until they are
    whole again.
    """

    requests: int | None = None
    requests_left: int | None = None
    requests_reset: float | None = None
    tokens: int | None = None
    tokens_left: int | None = None
    tokens_reset: float | None = None


@dataclass(frozen=True)
class Completion:
    """What came back. `finish`: why generation stopped (stop, length, content_filter, refusal …). `cost` in US dollars,
    None if the price is unknown. `latency` in seconds. `served`: the model name that the provider reports. `trace`:
    reasoning that the provider returns apart from the text. `allowance` is news for the limits of the moment: it is
    no part of the result, and is not stored.
    """

    text: str
    finish: str = ""
    logprobs: tuple[TokenLogprob, ...] | None = None
    usage: Usage = Usage()
    cost: float | None = None
    latency: float = 0.0
    served: str = ""
    trace: str = ""
    allowance: Allowance | None = field(default=None, compare=False, repr=False)


@runtime_checkable
class Client(Protocol):
    """A model client. One object serves many calls at once; `close` releases its connections."""

    async def complete(self, request: Request) -> Completion:
        """Make one call, without retrying.

        Raises:
            CallError: The call gave no completion; the subclass says whether it may succeed later.
        """
        ...

    async def close(self) -> None:
        """Release what the client holds."""
        ...
