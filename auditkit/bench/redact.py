"""Replace personal data and secrets in prompts by placeholders.

Two kept libraries look for them: datafog-core (Rust, no dependencies, 20 microseconds a prompt) for personal data,
and the detectors of detect-secrets for the keys and tokens of known providers. Presidio and scrubadub need a language
model of hundreds of megabytes for names; names of persons are therefore not looked for, and the datasheet says so.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from ipaddress import ip_address
from typing import Final

__all__ = ["KINDS", "redacted"]

#: What is looked for, by datafog-core's names. Dates and postal codes alone identify nobody.
KINDS: Final = ("CREDIT_CARD", "EMAIL", "IP_ADDRESS", "JWT", "PHONE", "PRIVATE_KEY", "SSN")
_SECRET: Final = "SECRET"  # noqa: S105  the name of a placeholder
#: Detectors that go by the shape of a known provider's keys. Those that go by entropy alone take words for secrets.
_DETECTORS: Final = {
    "artifactory": "ArtifactoryDetector", "aws": "AWSKeyDetector", "azure_storage_key": "AzureStorageKeyDetector",
    "basic_auth": "BasicAuthDetector", "discord": "DiscordBotTokenDetector", "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector", "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector", "openai": "OpenAIDetector", "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector", "slack": "SlackDetector", "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector", "telegram_token": "TelegramBotTokenDetector", "twilio": "TwilioKeyDetector",
}  # fmt: skip
#: No provider's key is without such a run; a URL with a password has "://" and "@".
_CANDIDATE: Final = re.compile(r"[A-Za-z0-9_\-./+=]{20,}|://[^\s/@:]*:[^\s/@]*@")
#: What personal data cannot do without: an at sign, a dash of five, or digits enough.
_WORTH_A_LOOK: Final = re.compile(r"@|-----|eyJ|\d(?:\D{0,3}\d){6}")
#: Reserved for documentation (RFC 2606): nobody's address.
_NOBODY: Final = re.compile(
    r"(?i)@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|[\w-]+\.(?:example|test|invalid)|localhost)$"
)


#: A key that was pasted without its end is a key.
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----(?:(?!-----BEGIN).)*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL
)
_SHORTEST: Final = 8


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    from importlib import import_module

    return tuple(
        pattern
        for module, name in _DETECTORS.items()
        for pattern in getattr(import_module(f"detect_secrets.plugins.{module}"), name)().denylist
    )


def _personal(text: str) -> list[tuple[int, int, str]]:
    from datafog_core import scan

    found = [(match.start(), match.end(), "PRIVATE_KEY") for match in _PEM.finditer(text)]
    for finding in scan(text):
        kind, matched = str(finding.entity_type), finding.matched_text
        if kind in KINDS and _counts(kind, matched):
            quote = len(matched) - len(matched.lstrip("'\"`"))
            found.append((finding.codepoint_range.start + quote, finding.codepoint_range.end, kind))
    return found


def _counts(kind: str, matched: str) -> bool:
    if kind in ("PHONE", "SSN"):  # nine or ten digits in a row are as often a number in a problem
        return not matched.isdecimal()
    if kind == "EMAIL":
        return not matched.startswith("git@") and _NOBODY.search(matched) is None
    if kind == "IP_ADDRESS":
        try:
            return ip_address(matched).is_global
        except ValueError:
            return False
    return True


def _secrets(text: str) -> list[tuple[int, int, str]]:
    found = []
    for pattern in _patterns():
        for match in pattern.finditer(text):
            # The group is the secret itself, where the pattern looks at its surroundings; else a part of it.
            group = max(range(1, (match.lastindex or 0) + 1), key=lambda k: len(match[k] or ""), default=0)
            if group and len(match[group] or "") < _SHORTEST and "://" not in match[0]:
                group = 0  # the group is the key's prefix
            found.append((match.start(group), match.end(group), _SECRET))
    return found


def redacted(text: str) -> tuple[str, Counter[str]]:
    """Return a text with placeholders such as ``[EMAIL]`` for what was found, and how much of each kind was.

    Private and documentation addresses (``10.0.0.1``, ``someone@example.com``) are kept: they are nobody's.
    """
    spans = _personal(text) if _WORTH_A_LOOK.search(text) else []
    if _CANDIDATE.search(text):
        spans += _secrets(text)
    if not spans:
        return text, Counter()
    counts: Counter[str] = Counter()
    pieces, reached = [], 0
    for start, end, kind in sorted(set(spans), key=lambda span: (span[0], -span[1])):
        if start < reached:
            continue
        pieces += [text[reached:start], f"[{kind}]"]
        counts[kind] += 1
        reached = end
    return "".join(pieces) + text[reached:], counts
