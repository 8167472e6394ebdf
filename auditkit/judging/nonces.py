"""Secrets of a run that its prompts carry: in the tags that fence what is judged, and in the labels of the verdict.

An answer is written before the run that judges it has a key, so it can hold neither a tag of its prompt nor a verdict
that the parser takes. The key is drawn at random when a run first starts and kept in the run's store
(`auditkit.judging.store.Run`), so that a resumed run asks for the calls that are stored. It is not derived from the
run's seed, which is published. A judge's replies show the labels' nonce: answers that are handed in after the replies
of a run were published need a run, and so a key, of their own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from auditkit.judging.layout import verdict_tokens
from auditkit.judging.spec import JudgeSpec, Verdict

if TYPE_CHECKING:
    from auditkit.judging.store import Store

__all__ = [
    "carries_label_nonce",
    "key_of",
    "label_nonce",
    "labelled_text",
    "nonce_for",
    "nonce_of",
    "with_label_nonce",
]

_SHORTEST: Final = 16
_LABEL: Final = 4
_FIELD: Final = "nonces"


def nonce_for(key: bytes, spec: JudgeSpec, turns: str | Sequence[str]) -> str:
    """Return the nonce of a prompt: the same whenever the run is resumed, unknown to who does not know `key`.

    It depends on the judge and the prompt, not on the answers: games on one prompt share their beginning.

    Args:
        key: The run's secret, at least 16 bytes.
        spec: The judge.
        turns: The user's turns.

    Returns:
        16 hexadecimal digits of an HMAC-SHA256.
    """
    if len(key) < _SHORTEST:
        raise ValueError(f"the key needs at least {_SHORTEST} bytes")
    asked = [turns] if isinstance(turns, str) else list(turns)
    body = json.dumps([spec.sha256, asked]).encode()
    return hmac.new(key, body, hashlib.sha256).hexdigest()[:16]


def nonce_of(judge: JudgeSpec, key: bytes | None, turns: str | Sequence[str]) -> str | None:
    """Return the nonce of a prompt as its judge wants it: None for a judge that has none.

    Raises:
        ValueError: The judge wants one and there is no key: it must not be asked without.
    """
    if not (judge.nonce or judge.label_nonce):
        return None
    if key is None:
        raise ValueError(f"judge {judge.name} fences with a nonce: a key is needed")
    return nonce_for(key, judge, turns)


def key_of(store: Store, run: str) -> bytes:
    """Return the key of a run: the one in its store, or one drawn now and stored before anything is asked with it.

    Args:
        store: The run's store.
        run: The run's name there.

    Raises:
        StoreError: It cannot be read or stored.
    """
    from auditkit.judging.store import Run

    name = f"{run[:80]}/nonces"
    kept = store.put_run(Run(name, {_FIELD: secrets.token_hex(32)}))
    return bytes.fromhex(str(kept.spec[_FIELD]))


# --- labels ---------------------------------------------------------------------------------------------------------


def label_nonce(nonce: str) -> str:
    """Return the part of a prompt's nonce that its labels carry: four digits, which any judge model copies."""
    return nonce[-_LABEL:]


def carries_label_nonce(verdict: Verdict) -> bool:
    """Tell whether a verdict can carry a nonce: a label on the final line, with something written on both sides."""
    before, _, after = verdict.written.partition("{label}")
    return verdict.parser == "labels" and bool(before.strip() and after.strip())


@lru_cache(maxsize=256)
def _tokens(spec: JudgeSpec) -> re.Pattern[str]:
    """Return the pattern of a verdict as a template names it, up to where the nonce goes."""
    before, _, after = (part.strip() for part in spec.verdict.written.partition("{label}"))
    tokens = {re.escape(token.removesuffix(after)) for token in verdict_tokens(spec)}
    if spec.verdict.scale is not None:  # also "[[rating]]", and numbers beyond the hundredth
        tokens.add(re.escape(before) + r"(?:[0-9]{1,9}|[A-Za-z_]{1,20})")
    return re.compile(f"({'|'.join(sorted(tokens, key=len, reverse=True))})(?={re.escape(after)})")


def labelled_text(spec: JudgeSpec, text: str, nonce: str) -> str:
    """Return `text`, the template's own, with the nonce in every verdict that it names."""
    return _tokens(spec).sub(lambda hit: f"{hit[1]}:{label_nonce(nonce)}", text)


@lru_cache(maxsize=4096)
def with_label_nonce(spec: JudgeSpec, nonce: str | None) -> JudgeSpec:
    """Return the judge as one prompt meets it: a verdict counts only with the nonce, and so says the reminder.

    Labels and what they mean stay as they are, so that a verdict reads as that of any other prompt.
    """
    if not spec.label_nonce or nonce is None:
        return spec
    written = spec.verdict.written.replace("{label}", f"{{label}}:{label_nonce(nonce)}")
    reminder = labelled_text(spec, spec.retry_text, nonce)
    if reminder and reminder == spec.retry_text:
        label = next(iter(spec.verdict.labels), "") or f"{(spec.verdict.scale or (1, 1))[0]:g}"
        reminder += f" With its code, as in {written.replace('{label}', label)}."
    return replace(spec, verdict=replace(spec.verdict, written=written), retry_text=reminder)
