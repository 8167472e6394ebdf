"""Keep secrets out of what is stored: parameters and run specs lose them before they become a row.

A value under a name that means a secret (``api_key``, ``Authorization``, ``client-secret`` …) is replaced by
`REMOVED` whatever it is; in every other text, the credentials of an address (``https://user:password@host``) and
``Bearer`` or ``Basic`` tokens are, and so are parameters of an address whose name means a secret. Prompts and answers are never altered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from auditkit.judging.calls import Json

__all__ = ["REMOVED", "without_secrets"]

REMOVED: Final = "[removed]"

# "max_tokens" and "stop_token" are parameters, not secrets: a token is one only with a word that says so.
_SECRET_NAME: Final = re.compile(
    r"api_?key|^key$|authorization|passw(or)?d|passphrase|secret|credential|cookie|private_key|access_key"
    r"|subscription_key|signature|^auth$|^token$|bearer"
    r"|(^|_)(api|access|auth|refresh|id|session|security|ad|hf|github|personal)_?token$"
)
_USERINFO: Final = re.compile(r"(?<=://)[^/?#\s@]+(?=@)")
_HEADER_TOKEN: Final = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_QUERY: Final = re.compile(r"([?&;])([A-Za-z0-9_.%-]{1,64})=([^&;#\s]+)")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(_CAMEL.sub("_", name).lower().replace("-", "_").replace(" ", "_")) is not None


def _without_secret(parameter: re.Match[str]) -> str:
    mark, name, _ = parameter.groups()
    return f"{mark}{name}={REMOVED}" if _is_secret(name) else parameter[0]


def without_secrets(value: object) -> Json:
    """Return `value` (JSON: mappings, lists, texts, numbers) with every secret replaced by `REMOVED`.

    Raises:
        TypeError: `value` holds something that is not JSON.
    """
    if isinstance(value, str):
        text = _HEADER_TOKEN.sub(rf"\1 {REMOVED}", _USERINFO.sub(REMOVED, value))
        return _QUERY.sub(_without_secret, text) if "://" in text else text
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): REMOVED if _is_secret(str(name)) else without_secrets(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(v) for v in value]
    raise TypeError(f"not JSON: {type(value).__name__}")
