"""Replace personal data and secrets in prompts by placeholders.

Two kept libraries look for them: datafog-core (Rust, no dependencies, 20 microseconds a prompt) for personal data,
and the detectors of detect-secrets for the keys and tokens of known providers, which are some years behind:
`auditkit.bench.credentials` looks for those that are given out today. Presidio and scrubadub need a language
model of hundreds of megabytes for names; names of persons are therefore not looked for, and the datasheet says so.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from ipaddress import ip_address
from typing import Final

from auditkit.bench.credentials import credentials

__all__ = ["KINDS", "redacted"]

#: What is looked for, by datafog-core's names. Dates and postal codes alone identify nobody.
KINDS: Final = ("CREDIT_CARD", "EMAIL", "IBAN", "IP_ADDRESS", "JWT", "PHONE", "PRIVATE_KEY", "SSN")
_SECRET: Final = "SECRET"  # noqa: S105  the name of a placeholder
#: Detectors that go by the shape of a known provider's keys. Those that go by entropy alone take words for secrets; those
#: of npm and OpenAI take time that grows with the square of a text, and miss what `credentials` finds.
_DETECTORS: Final = {
    "artifactory": "ArtifactoryDetector", "aws": "AWSKeyDetector", "azure_storage_key": "AzureStorageKeyDetector",
    "basic_auth": "BasicAuthDetector", "discord": "DiscordBotTokenDetector", "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector", "mailchimp": "MailchimpDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector", "slack": "SlackDetector", "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector", "telegram_token": "TelegramBotTokenDetector", "twilio": "TwilioKeyDetector",
}  # fmt: skip
#: No provider's key is without such a run; a URL with a password has "://" and "@".
_CANDIDATE: Final = re.compile(r"[A-Za-z0-9_\-./+=]{20,}|://[^\s/@:]*:[^\s/@]*@")
#: A bank account number is written in groups of four.
_ACCOUNT: Final = re.compile(r"[A-Z]{2}\d\d[ -]?[A-Z0-9]{4}")
#: What personal data cannot do without: an at sign, a dash of five, or digits enough.
_WORTH_A_LOOK: Final = re.compile(r"@|-----|eyJ|\d(?:\D{0,3}\d){6}")
#: Reserved for documentation (RFC 2606): nobody's address.
_NOBODY: Final = re.compile(
    r"(?i)@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|[\w-]+\.(?:example|test|invalid)|localhost)$"
)


#: A key that was pasted without its end is a key.
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----BEGIN).)*?(?:-----END [A-Z ]+-----|\Z)", re.DOTALL
)
_SHORTEST: Final = 8
#: Parts of a token, and what some detectors take along from around it.
_REST: Final = re.compile(r"(?:[\w-]|[.+/](?=[\w-]))*+={0,2}", re.ASCII)
_SIGN: Final = re.compile(r"[\w-]", re.ASCII)
_AROUND: Final = " \t\r\n\"'`=:,;"


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
    found = list(credentials(text))
    for pattern in _patterns():
        for match in pattern.finditer(text):
            # The group is the secret itself, where the pattern looks at its surroundings; else a part of it.
            group = max(range(1, (match.lastindex or 0) + 1), key=lambda k: len(match[k] or ""), default=0)
            if group and len(match[group] or "") < _SHORTEST and "://" not in match[0]:
                group = 0  # the group is the key's prefix
            secret = match[group].strip(_AROUND)
            start = match.start(group) + match[group].index(secret)
            found.append((start, start + len(secret), _SECRET))
    return found


def _end(text: str, end: int, kind: str) -> int:
    """Return where a token ends: a key that is longer than its pattern knows is not left standing in part."""
    if kind not in (_SECRET, "JWT") or not _SIGN.match(text, end - 1):
        return end
    rest = _REST.match(text, end)
    return rest.end() if rest else end


def redacted(text: str) -> tuple[str, Counter[str]]:
    """Return a text with placeholders such as ``[EMAIL]`` for what was found, and how much of each kind was.

    Private and documentation addresses (``10.0.0.1``, ``someone@example.com``) are kept: they are nobody's.
    """
    spans = _personal(text) if _WORTH_A_LOOK.search(text) else []
    if _CANDIDATE.search(text) or _ACCOUNT.search(text):
        spans += _secrets(text)
    if not spans:
        return text, Counter()
    counts: Counter[str] = Counter()
    pieces, reached = [], 0
    for start, end, kind in sorted(set(spans), key=lambda span: (span[0], -span[1])):
        if start < reached:  # what two of them found is one; the second may go on where the first ends
            reached = max(reached, _end(text, end, kind)) if end > reached else reached
            continue
        pieces += [text[reached:start], f"[{kind}]"]
        counts[kind] += 1
        reached = _end(text, end, kind)
    return "".join(pieces) + text[reached:], counts
