"""Turn a provider's refusals into the error tree, its waiting times into seconds, and keep secrets out of both.

What a provider says may quote what we sent, and what we sent holds answers written by adversaries. So only a status, a
code, or a message that is nothing but the complaint can make an error `Fatal`: no answer may stop a run by having
itself quoted.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from auditkit.errors import printable
from auditkit.judging.calls import Allowance, CallError, Fatal, RateLimited, Rejected, Transient

__all__ = ["Complaint", "allowance", "complaint", "fault", "retry_after", "scrub", "seconds", "without_secrets"]

_SECRET_NAME: Final = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH|HEADERS", re.IGNORECASE)
_SECRET_LENGTH: Final = 8  # shorter values ("true", "1") would blank out ordinary words
_KEY_SHAPE: Final = re.compile(r"\b(?:sk|pk|rk|gsk|xai|key)-[\w*-]{6,}|\b[Bb]earer\s+[^\s,;]+|(?<=//)[^/@\s]+(?=@)")
_HIDDEN: Final = "[key]"

_QUOTA: Final = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"}
)
_UNKNOWN_MODEL: Final = frozenset({"model_not_found", "invalid_model", "model_not_available"})
_WRONG_PARAMETER: Final = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
_FILTERED: Final = frozenset(
    {"content_filter", "content_policy_violation", "responsibleaipolicyviolation", "moderation_blocked"}
)
_OVERFLOW: Final = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length", "request_too_large"}
)
_FILTERED_TEXT: Final = re.compile(r"content (?:management )?polic|content filter|moderation|flagged", re.IGNORECASE)
_OVERFLOW_TEXT: Final = re.compile(
    r"context (?:length|window|size)|maximum (?:prompt|input|context)|(?:prompt|input|request) (?:is )?too (?:long|large)"
    r"|too many (?:input )?tokens|reduce the length|exceeds? the (?:maximum|limit)[^.]{0,40}token",
    re.IGNORECASE,
)
_UNKNOWN_MODEL_TEXT: Final = re.compile(r"[\w./:@-]{1,120} is not a valid model(?: id)?\.?", re.IGNORECASE)
_NO_CREDIT_TEXT: Final = "Your credit balance is too low"


@dataclass(frozen=True)
class Complaint:
    """A provider's error body, whatever its shape: `code` and `kind` in lower case, "" if absent."""

    message: str
    code: str = ""
    kind: str = ""
    structured: bool = False

    @property
    def codes(self) -> frozenset[str]:
        """Both the code and the kind: providers disagree on which holds what."""
        return frozenset({self.code, self.kind})


def scrub(text: str, *secrets: str) -> str:
    """Return `text` without keys: `secrets`, the value of every environment variable named like one, and what looks
    like a key, a bearer token or the user part of an address.
    """
    return _KEY_SHAPE.sub(_HIDDEN, without_secrets(text, *secrets))


def without_secrets(text: str, *secrets: str) -> str:
    """Return `text` without `secrets` and the values of environment variables named like one; all else stays."""
    known = {*secrets, *(value for name, value in os.environ.items() if _SECRET_NAME.search(name))}
    for value in sorted(known, key=len, reverse=True):
        if len(value) >= _SECRET_LENGTH:
            text = text.replace(value, _HIDDEN)
    return text


def complaint(body: str) -> Complaint:
    """Read an error body: OpenAI's ``{"error": {"message", "type", "code"}}``, its relatives, or any text."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return Complaint(body.strip())
    if isinstance(data, list) and data:
        data = data[0]  # Gemini's way
    inner = data.get("error", data) if isinstance(data, dict) else data
    if not isinstance(inner, dict):
        return Complaint(str(inner), structured=isinstance(data, dict))
    message = inner.get("message") or inner.get("detail") or json.dumps(inner)
    return Complaint(
        str(message), str(inner.get("code") or "").lower(), str(inner.get("type") or "").lower(), structured=True
    )


_DURATION: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_UNITS: Final = (86400.0, 3600.0, 60.0, 1.0, 0.001)


def _moment(text: str) -> float | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
            return moment.timestamp() if moment.tzinfo is not None else None
        except (ValueError, TypeError, IndexError, OverflowError):  # the parser of dates lets out all four
            continue
    return None


def seconds(text: str | None, date: str | None = None) -> float | None:
    """Return how long a header asks to wait: a number of seconds, a duration (``1m30s``, ``6ms``), or a point in time.

    A point in time is held against `date`, the ``Date`` of the same response, so that no clock but the server's
    matters; without one it is held against this machine's clock.
    """
    text = (text or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        found = _DURATION.fullmatch(text)
        if found is not None:
            value = sum(unit * float(part) for part, unit in zip(found.groups(), _UNITS, strict=True) if part)
        else:
            moment, sent = _moment(text), _moment(date or "")
            if moment is None:
                return None
            value = moment - (time.time() if sent is None else sent)
    return max(0.0, value) if math.isfinite(value) else None


def _count(text: str | None) -> int | None:
    try:
        return max(0, int(float(text))) if text else None
    except (ValueError, OverflowError):
        return None


def _limit(headers: Mapping[str, str], unit: str) -> tuple[int | None, int | None, float | None]:
    # In this order: litellm copies Anthropic's counts, but not its times, to the other names.
    for pattern in ("anthropic-ratelimit-{unit}-{what}", "x-ratelimit-{what}-{unit}"):
        left = headers.get(pattern.format(what="remaining", unit=unit))
        if left is not None:
            whole = headers.get(pattern.format(what="limit", unit=unit))
            reset = headers.get(pattern.format(what="reset", unit=unit))
            return _count(whole), _count(left), seconds(reset, headers.get("date"))
    return None, None, None


def allowance(headers: Mapping[str, str]) -> Allowance | None:
    """Read what is left of the rate limits from OpenAI's ``x-ratelimit-*`` headers or Anthropic's; None: not said.

    Args:
        headers: Names in lower case.
    """
    said = Allowance(*_limit(headers, "requests"), *_limit(headers, "tokens"))
    return None if said == Allowance() else said


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a refusal asks to wait; None: it does not say.

    Args:
        headers: Names in lower case.
    """
    exact = seconds(headers.get("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    plain = seconds(headers.get("retry-after"), headers.get("date"))
    if plain is not None:
        return plain
    said = allowance(headers)
    if said is None:
        return None
    resets = ((said.requests_left, said.requests_reset), (said.tokens_left, said.tokens_reset))
    return max((reset for left, reset in resets if left == 0 and reset is not None), default=None)


def fault(
    status: int,
    said: Complaint,
    headers: Mapping[str, str],
    *,
    where: str,
    key_name: str,
    secrets: tuple[str, ...] = (),
) -> CallError:
    """Return the error for a status and what came with it.

    Args:
        status: HTTP status, 400 and above.
        said: The error body.
        headers: Names in lower case.
        where: The model and address, for the message.
        key_name: The environment variable that holds the key, for the message.
        secrets: Keys that must not be repeated.
    """
    page = said.message.lstrip()[:1] == "<"
    words = "a web page" if page else printable(scrub(said.message, *secrets), 240) or "no reason given"

    def line(problem: str, mend: str = "") -> str:
        return f"{where}: {problem} ({status}): {words}" + (f" ({mend})" if mend else "")

    wait = retry_after(headers)
    if 500 > status >= 400:
        if said.codes & _QUOTA or status == 402 or said.message.startswith(_NO_CREDIT_TEXT):
            return Fatal(line("no credit left", "add credit or raise the limit at the provider, then run again"))
        if said.codes & _UNKNOWN_MODEL or _UNKNOWN_MODEL_TEXT.fullmatch(said.message.strip()):
            return Fatal(line("unknown model", "check the model's name, and that the key may use it"))
    overflow = bool(said.codes & _OVERFLOW or _OVERFLOW_TEXT.search(said.message))
    if status == 413 or (overflow and status in (400, 422, 429, 500)):
        return Rejected(line("longer than the model's context", "shorten it, or use a model with a longer context"))
    if status == 429:
        return RateLimited(line("rate limit"), wait)
    if status in (408, 409, 425) or (status >= 500 and status not in (501, 505)):
        return Transient(line("server fault" if status >= 500 else "try again"), wait)
    if said.codes & _FILTERED or (status in (400, 403, 422, 451) and _FILTERED_TEXT.search(said.message)):
        return Rejected(line("refused by the provider's content filter"))
    if status == 401 or (status == 403 and said.structured):
        return Fatal(line("the key was refused", f"set {key_name} to a key that may use this model"))
    if status in (400, 403, 422, 451):
        if said.codes & _WRONG_PARAMETER:
            return Fatal(line("a parameter that this model does not take", "change the parameters in the spec"))
        # A 403 that is no API error is a firewall that dislikes this text, not the key.
        return Rejected(line("request refused"))
    return Fatal(line("nothing answers there", "check the model's name and the base_url, which often ends in /v1"))
