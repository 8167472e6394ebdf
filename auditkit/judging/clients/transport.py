"""Say what went wrong on the way when a call brought back no status: refused, cut off, not HTTP, no certificate."""

from __future__ import annotations

import ssl

import aiohttp
import httpx

from auditkit.errors import printable
from auditkit.judging.calls import BadResponse, CallError, Fatal, Transient

__all__ = ["LONGEST_BODY", "TooLong", "causes", "lost"]

LONGEST_BODY = 32 * 2**20
"""Bytes of an answer at most; the longest judgment with 20 alternatives for each token stays well below."""


class TooLong(Exception):
    """An answer of more than `LONGEST_BODY`."""


def causes(error: BaseException) -> list[BaseException]:
    """Return `error` and what led to it, the first cause last."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain


def lost(error: BaseException, where: str) -> CallError | None:
    """Return the error for a connection that failed; None if the connection is not what failed.

    Args:
        error: Whatever the library raised; what led to it is looked through.
        where: The model and address, for the message.
    """
    chain = causes(error)

    def found(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in chain)

    if found(ssl.SSLCertVerificationError):
        return Fatal(f"{where}: the server's certificate is not trusted (check the base_url)")
    if found(TooLong):
        return BadResponse(f"{where}: an answer of more than {LONGEST_BODY // 2**20} MiB")
    if found(aiohttp.ClientPayloadError):
        return BadResponse(f"{where}: the answer was cut off")
    if found(aiohttp.ClientResponseError, httpx.RemoteProtocolError):
        return BadResponse(f"{where}: the answer is not HTTP")
    if found(httpx.DecodingError):
        return BadResponse(f"{where}: the answer is not compressed as it says")
    for cause in chain:
        if isinstance(cause, aiohttp.ClientConnectorError):
            reason = cause.os_error.strerror or cause.os_error
            return Transient(f"{where}: cannot connect: {printable(reason)} (is a server listening there?)")
    # The aiohttp transport reports a dropped connection as a time-out.
    if found(aiohttp.ServerTimeoutError, httpx.TimeoutException) and not found(aiohttp.ServerDisconnectedError):
        return Transient(f"{where}: no answer in time")
    if found(aiohttp.ClientError, httpx.TransportError, OSError):
        return Transient(f"{where}: the connection was lost")
    return None
