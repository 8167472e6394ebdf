"""Find keys and tokens by their shapes, and bank account numbers by their checksum.

The shapes are those that providers document for the keys that they give out today. A pattern needs the least that makes
a key; how far the key goes is for the caller to say, because what is left of one is a key cut short.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["credentials"]

#: Where a key may begin: not within a word, but behind the escaped end of a line in JSON that was pasted.
_START: Final = r"(?:(?<![\w-])|(?<=\\[nrt]))"
_KEY: Final = re.compile(
    _START + r"(?:sk-(?:proj|svcacct|admin|None|or-v1|lf|ant-[a-z]{2,8}\d\d)-[\w-]{20}"  # OpenAI, Anthropic, OpenRouter
    r"|sk-[A-Za-z0-9]{32}"  # OpenAI before 2024, DeepSeek
    r"|AIza[\w-]{35}|GOCSPX-[\w-]{28}|ya29\.[\w-]{20}"  # Google
    r"|github_pat_\w{30}|gh[opusr]_[A-Za-z0-9]{36}|npm_[A-Za-z0-9]{36}"
    r"|hf_[A-Za-z0-9]{30}|gsk_[A-Za-z0-9]{40}|xai-[A-Za-z0-9]{60}|pplx-[A-Za-z0-9]{40}|r8_[A-Za-z0-9]{37}|nvapi-[\w-]{60}"
    r"|xox[abceoprs]-[\w-]{20}|xapp-\d-[\w-]{20}"  # Slack
    r"|[rsp]k_(?:live|test)_[A-Za-z0-9]{20}|whsec_[A-Za-z0-9]{24}"  # Stripe
    r"|do[opr]_v1_[0-9a-f]{60}|dckr_[op]at_[\w-]{24}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|ATATT3[\w=-]{60}|hv[sbr]\.[\w-]{24}"
    r"|eyJ[\w=-]{10,}+\.[\w=-]{10,}+|ew(?:og|0K)[\w=-]{10,}+\.[\w=-]{10,}+)",  # JSON Web Tokens, signed cookies
    re.ASCII,
)
#: The middle of every key of OpenAI, whatever the organisation has put before it.
_OPENAI: Final = re.compile(_START + r"sk-[\w-]{10,220}?T3BlbkFJ", re.ASCII)
#: A name that says that a secret follows, and what follows.
_ASSIGNED: Final = re.compile(
    r"(?:(?:api|secret|access|auth|private|client|encryption|signing|account|app|consumer|session|refresh|service|master)"
    r"[_ -]?(?:key|token|secret|password)|secret|passw(?:or)?d|_authToken)[\"'`\]]{0,2}\s{0,3}(?:[:=]|=>|:=)\s{0,3}[\"'`]?"
    r"([A-Za-z0-9+/_.~-]{20,200}+={0,2})(?![(\[])",
    re.ASCII | re.IGNORECASE,
)
_BEARER: Final = re.compile(r"\bbearer\s{1,3}([A-Za-z0-9+/_.~-]{20,200}+={0,2})", re.ASCII | re.IGNORECASE)
_WORDS_OF_EXAMPLES: Final = re.compile(r"(?i)example|your|xxxx|placeholder|change.?me|12345678|insert|dummy|sample")
_FEWEST_SIGNS: Final = 8
_LONG_RUN: Final = re.compile(r"[A-Z]?[a-z]{4,}|[A-Z]{5,}")
_NO_WORD: Final = re.compile(r"[^aeiouy]{5}|\A[^aeiouy]+\Z|q[^u]", re.IGNORECASE)
#: From one kind of sign to another, but for a capital that begins a word.
_CHANGE: Final = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=\d)[A-Za-z]|(?<=[A-Z])\d")
_DIGITS: Final = re.compile(r"\d+")

_IBAN: Final = re.compile(r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))[A-Z]{2}\d\d(?=[ -]?[A-Z0-9]{3})")
_IBAN_TEXT: Final = re.compile(r"[A-Z0-9]|[ -](?=[A-Z0-9])")
#: Lengths by country (SWIFT's IBAN registry).
_LENGTHS: Final = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ DZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BF CM FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


def _random(value: str) -> bool:
    """Tell a value that a machine drew from a word, a path, a call, or a stand-in for a key."""
    if len(set(value)) < _FEWEST_SIGNS or not re.search("[A-Za-z]", value) or _WORDS_OF_EXAMPLES.search(value):
        return False
    words = sum(len(run) for run in _LONG_RUN.findall(value) if not _NO_WORD.search(run)) / len(value)
    changes, digits = len(_CHANGE.findall(value)) / len(value), len(_DIGITS.findall(value))
    return digits > 2 or words < (0.5 if digits else 0.25) or changes > (0.2 if digits else 0.3)


def _account(text: str, start: int) -> int:
    """Return where the bank account number ends that begins at `start`; -1 if there is none (ISO 13616, mod 97)."""
    length, signs, at = _LENGTHS.get(text[start : start + 2], 0), "", start
    while len(signs) < length and (match := _IBAN_TEXT.match(text, at)):
        signs += match[0].strip(" -")
        at = match.end()
    if not length or len(signs) < length or _IBAN_TEXT.match(text[at : at + 1]):
        return -1
    number = int("".join(str(int(sign, 36)) for sign in signs[4:] + signs[:4]))
    return at if number % 97 == 1 else -1


def credentials(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, least end and kind (``SECRET``, ``JWT``, ``IBAN``) of what gives access to something of somebody's.

    Stand-ins such as ``sk-proj-xxxxxxxx…`` are nobody's.
    """
    for match in _KEY.finditer(text):
        if len(set(match[0])) >= _FEWEST_SIGNS:
            yield match.start(), match.end(), "JWT" if match[0].startswith("e") else "SECRET"
    for match in _OPENAI.finditer(text):
        yield match.start(), match.end(), "SECRET"
    for pattern in (_ASSIGNED, _BEARER):
        for match in pattern.finditer(text):
            if _random(match[1]):
                yield match.start(1), match.end(1), "SECRET"
    for match in _IBAN.finditer(text):
        if (end := _account(text, match.start())) > 0:
            yield match.start(), end, "IBAN"
