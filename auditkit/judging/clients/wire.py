"""Requests and completions in OpenAI's chat format, which most servers speak, checked where they enter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from auditkit.errors import printable
from auditkit.judging.calls import BadResponse, Completion, Fatal, Rejected, Request, TokenLogprob, Usage

__all__ = ["chat_body", "read_completion", "well_formed"]

_RESERVED: Final = frozenset({"messages", "model", "stream"})


def well_formed(text: str) -> str:
    """Replace unpaired surrogates, which neither a file nor a store can hold, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def chat_body(request: Request) -> dict[str, Any]:
    """Return the body of a chat call; the model's name without its client.

    Raises:
        Fatal: Parameters that would change what is called.
        Rejected: A message that no JSON can carry.
    """
    params = dict(request.params)
    reserved = sorted(_RESERVED & params.keys())
    if reserved or params.get("n", 1) != 1:
        name = reserved[0] if reserved else "n"
        raise Fatal(f"{request.model}: parameter {name!r} cannot be set; remove it from the spec")
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    for number, message in enumerate(request.messages, 1):
        if well_formed(message.content) is not message.content:
            raise Rejected(f"{request.model}: message {number} holds an unpaired surrogate, which cannot be sent")
    return {"model": request.model.partition("/")[2], "messages": messages, **params}


def _text(content: object) -> str | None:
    if isinstance(content, str):
        return well_formed(content)
    if isinstance(content, list):  # in parts
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return well_formed("".join(part for part in parts if isinstance(part, str)))
    return None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _usage(usage: object) -> Usage:
    if not isinstance(usage, Mapping):
        return Usage()
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, Mapping) else None
    return Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), cached)


def _token(item: Any) -> tuple[str, float]:
    token, logprob = item["token"], float(item["logprob"])
    if not isinstance(token, str) or math.isnan(logprob):
        raise ValueError("not a token with its log-probability")
    return well_formed(token), logprob


def _logprobs(said: object, where: str) -> tuple[TokenLogprob, ...] | None:
    tokens = said.get("content") if isinstance(said, Mapping) else None
    if not isinstance(tokens, list):
        return None
    try:
        return tuple(
            TokenLogprob(*_token(item), tuple(_token(other) for other in item.get("top_logprobs") or ()))
            for item in tokens
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadResponse(f"{where}: log-probabilities in a shape that is not OpenAI's") from error


def read_completion(body: object, where: str) -> Completion:
    """Read a chat completion, without its cost, latency and allowance.

    A refusal is a completion, since it is what the model answered: finish "refusal", the refusal as text. So is an
    answer that the provider's filter cut ("content_filter") and one that spent all its tokens on reasoning
    ("length"), both with whatever text there is.

    Raises:
        BadResponse: Not a completion.
    """
    if not isinstance(body, Mapping):
        raise BadResponse(f"{where}: JSON that is no completion: {printable(body, 80)}")
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        raise BadResponse(f"{where}: a completion without choices")
    finish = choice.get("finish_reason")
    finish = printable(finish, 40) if isinstance(finish, str) else ""
    text, refusal = _text(message.get("content")), message.get("refusal")
    if not text and isinstance(refusal, str) and refusal:
        text, finish = well_formed(refusal), "refusal"
    if finish == "error":  # a router's word for a fault of the provider behind it
        raise BadResponse(f"{where}: generation failed at the provider")
    if text is None:
        if finish not in ("length", "content_filter", "refusal"):
            raise BadResponse(f"{where}: a completion without content (finish: {finish or 'not said'})")
        text = ""
    trace = _text(message.get("reasoning_content")) or _text(message.get("reasoning")) or ""
    served = body.get("model")
    return Completion(
        text=text,
        finish=finish,
        logprobs=_logprobs(choice.get("logprobs"), where),
        usage=_usage(body.get("usage")),
        served=printable(served, 200) if isinstance(served, str) else "",
        trace=trace,
    )
