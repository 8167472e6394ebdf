"""Model clients: who makes a call. One module each, registered by entry point in group ``auditkit.clients``.

The first part of a model's name chooses the client: ``openai/gpt-4.1`` is asked through the client ``openai``. An
entry point names a `Factory`.
"""

from __future__ import annotations

from typing import Protocol

from auditkit.errors import UsageError, printable
from auditkit.judging.calls import Client
from auditkit.registry import find, plugins

__all__ = ["TIMEOUT", "Factory", "client_for"]

TIMEOUT = 120.0
"""Seconds that a call may take in all, unless a run says otherwise."""


class Factory(Protocol):
    """What an entry point in group ``auditkit.clients`` names: a function that makes a client."""

    def __call__(self, *, base_url: str | None = None, timeout: float = TIMEOUT) -> Client:
        """Make a client, without calling anybody.

        Args:
            base_url: The address to call instead of the provider's own; None: the client's default.
            timeout: Seconds that a call may take in all, from connecting to the last byte.

        Raises:
            UsageError: The client cannot be used as asked: a malformed address, no key, a missing extra.
        """
        ...


def client_for(model: str, *, base_url: str | None = None, timeout: float = TIMEOUT) -> Client:
    """Make the client that the first part of `model` names. It serves any number of models and calls at once.

    Args:
        model: ``client/model``, as in a `Request`.
        base_url: The address to call instead of the provider's own.
        timeout: Seconds that a call may take in all.

    Raises:
        UsageError: `model` names no client, or the client cannot be used as asked.
    """
    name, slash, rest = model.partition("/")
    if not (slash and name and rest):
        raise UsageError(
            f"model {printable(model)!r} names no client: write client/model, such as openai/gpt-4.1 "
            f"(clients: {', '.join(plugins('clients'))})"
        )
    factory: Factory = find("clients", name).load()
    return factory(base_url=base_url, timeout=timeout)
