"""Keys and tokens of many kinds, drawn anew, are gone whole; hashes, code and mathematics stay as they are."""

from __future__ import annotations

import base64
import hashlib
import json
import string
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from auditkit.bench.reading import expanded, raws_of
from auditkit.bench.redact import redacted

Draw = Callable[[np.random.Generator], str]
ALNUM = string.ascii_letters + string.digits
URL = f"{ALNUM}-_"
HEX = "0123456789abcdef"
#: The middle of an OpenAI key, in two pieces: no file of ours holds what a scanner would take for one.
MIDDLE = "T3Blbk" + "FJ"


def _some(rng: np.random.Generator, signs: str, n: int) -> str:
    return "".join(rng.choice(list(signs), n))


def _after(prefix: str, signs: str, n: int) -> Draw:
    return lambda rng: prefix + _some(rng, signs, n)


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()


def _jwt(rng: np.random.Generator) -> str:
    algorithm = str(rng.choice(["HS256", "RS256", "ES256", "EdDSA"]))
    claims = {
        "sub": _some(rng, string.digits, 10),
        "name": _some(rng, string.ascii_letters, 8),
        "iat": int(rng.integers(2**31)),
    }
    size = {"HS256": 43, "RS256": 342}.get(algorithm, 86)
    return f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{_part(claims)}.{_some(rng, URL, size)}"  # fmt: skip


def _encrypted_jwt(rng: np.random.Generator) -> str:
    sizes = (342, 16, 200, 22)
    return ".".join([_part({"alg": "RSA-OAEP", "enc": "A256GCM"}), *(_some(rng, URL, size) for size in sizes)])


def _iban(rng: np.random.Generator) -> str:
    country, size, signs = [("DE", 18, string.digits), ("FR", 23, string.digits), ("NO", 11, string.digits),
                            ("GB", 18, string.digits + string.ascii_uppercase)][int(rng.integers(4))]  # fmt: skip
    account = _some(rng, signs, size)
    number = int("".join(str(int(c, 36)) for c in f"{account}{country}00"))
    plain = f"{country}{98 - number % 97:02d}{account}"
    return plain if rng.random() < 0.5 else " ".join(plain[i : i + 4] for i in range(0, len(plain), 4))


KINDS: dict[str, Draw] = {
    "jwt": _jwt,
    "encrypted jwt": _encrypted_jwt,
    "openai project": lambda rng: f"sk-proj-{_some(rng, URL, 74)}{MIDDLE}{_some(rng, URL, 74)}",
    "openai service": lambda rng: f"sk-svcacct-{_some(rng, URL, 74)}{MIDDLE}{_some(rng, URL, 74)}",
    "openai organisation": lambda rng: f"sk-{_some(rng, string.ascii_lowercase, 6)}-{_some(rng, ALNUM, 20)}{MIDDLE}{_some(rng, ALNUM, 20)}",
    "openai 2023": lambda rng: f"sk-{_some(rng, ALNUM, 20)}{MIDDLE}{_some(rng, ALNUM, 20)}",
    "sk and 48": _after("sk-", ALNUM, 48),
    "sk and 32 hex": _after("sk-", HEX, 32),
    "anthropic": lambda rng: f"sk-ant-api03-{_some(rng, URL, 93)}AA",
    "openrouter": _after("sk-or-v1-", HEX, 64),
    "google": _after("AIza", URL, 35),
    "google client": _after("GOCSPX-", URL, 28),
    "hugging face": _after("hf_", string.ascii_letters, 34),
    "github": lambda rng: f"github_pat_{_some(rng, ALNUM, 22)}_{_some(rng, ALNUM, 59)}",
    "github classic": _after("ghp_", ALNUM, 36),
    "github long": _after("ghs_", ALNUM, 76),
    "npm": _after("npm_", ALNUM, 36),
    "npmrc": lambda rng: f"//packages.example.org/:_authToken={uuid.UUID(bytes=rng.bytes(16), version=4)}",
    "groq": _after("gsk_", ALNUM, 52),
    "slack": lambda rng: f"xoxb-{_some(rng, string.digits, 12)}-{_some(rng, string.digits, 13)}-{_some(rng, ALNUM, 24)}",
    "stripe": _after("sk_live_", ALNUM, 99),
    "aws": lambda rng: f"aws_secret_access_key = {_some(rng, ALNUM + '/+', 40)}",
    "aws in json": lambda rng: f'"SecretAccessKey": "{_some(rng, ALNUM + "/+", 40)}"',
    "aws id": _after("AKIA", string.ascii_uppercase + "234567", 16),
    "assigned hex": lambda rng: f"{rng.choice(['API_KEY', 'apiKey', 'client-secret', 'auth token'])}: {_some(rng, HEX, 32)}",
    "assigned base64": lambda rng: f"const clientSecret = '{base64.b64encode(rng.bytes(32)).decode()}';",
    "bearer": lambda rng: f"Authorization: Bearer {_some(rng, ALNUM, 40)}",
    "iban": _iban,
}  # fmt: skip
NAMES = (
    "//packages.example.org/:_authToken=",
    "aws_secret_access_key",
    '"SecretAccessKey"',
    "const clientSecret",
    "Authorization",
)
AROUND = ("{}", "my key {} does not work", "('{}')", 'x = "{}"', "it is {}.", "{}, and then", "密钥{}有问题", "line\\n{}\\nline", "\n{}\n", "`{}`")  # fmt: skip


def _fragments(key: str) -> set[str]:
    return {key[i : i + 9] for i in range(len(key) - 8)}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_key_is_gone_whole(kind: str) -> None:
    """Three hundred of each, in ten surroundings: nothing of nine signs in a row is left; what is around it stays."""
    rng = np.random.default_rng(20)
    for i in range(300):
        drawn = KINDS[kind](rng)
        around = AROUND[i % len(AROUND)]
        named = kind.startswith(("a", "bearer", "npmrc")) and kind not in ("aws id", "anthropic")
        if named:  # the name before the secret is none of it
            around = "{}" if around in (AROUND[2], AROUND[6], AROUND[7]) else around
        found, counts = redacted(around.format(drawn))
        secret = drawn.split("=" if kind == "npmrc" else " ")[-1].strip("\"';") if named else drawn
        if kind == "assigned base64":
            secret = drawn.split("'")[1]
        assert counts.total() == 1, (drawn, found)
        left = [piece for piece in _fragments(secret) if piece in found]
        assert left == [], (drawn, found)
        if not named:
            assert found == around.format(f"[{next(iter(counts))}]")


def test_a_key_block_is_gone() -> None:
    """Private keys of OpenSSL, OpenSSH and PGP, with real line ends and with escaped ones, whole or cut off."""
    body = base64.b64encode(np.random.default_rng(1).bytes(600)).decode()
    for name in (
        "RSA PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ):
        for end in ("\n", "\\n"):
            head = f"-----BEGIN {name}-----{end}{body[:64]}{end}{body[64:]}"
            assert redacted(f"a {head}{end}-----END {name}----- b")[0] == "a [PRIVATE_KEY] b"
            assert redacted(head)[0] == "[PRIVATE_KEY]"
    public = f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----"
    assert redacted(public) == (public, Counter())


def _ordinary(rng: np.random.Generator) -> list[str]:
    raw = rng.bytes(48)
    return [
        f"commit {hashlib.sha1(raw, usedforsecurity=False).hexdigest()} of main",
        f"sha256:{hashlib.sha256(raw).hexdigest()}",
        f"md5 {hashlib.md5(raw, usedforsecurity=False).hexdigest()}, which word is it?",
        f"id = '{uuid.UUID(bytes=raw[:16], version=4)}'", f'{{"key": "{raw[:16].hex()}", "value": 3}}',
        f"decode {base64.b64encode(raw).decode()} please", f"integrity=\"sha384-{base64.b64encode(raw).decode()}\"",
        f"0x{raw[:20].hex()} is a contract, {int.from_bytes(raw[:12], 'big')} a number",
        f"data:image/png;base64,{base64.b64encode(raw * 4).decode()}",
        f"eyJ{base64.urlsafe_b64encode(raw[:30]).decode()}", f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{base64.b64encode(raw[:32]).decode()}",
    ]  # fmt: skip


ORDINARY = (
    "api_key = os.environ['OPENAI_API_KEY']", 'api_key = "your-api-key-goes-here-please"', "API_KEY=<insert your 32 sign key>",
    "password = request.form.get('password_confirmation')", "secret_key: process.env.SESSION_SECRET_KEY_VALUE",
    "OPENAI_API_KEY=sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "token = hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "from hf_hub_download_with_retries_and_more import hf_transfer_enabled_everywhere",
    "class sk-folding-cube-with-a-very-long-name-indeed-yes {}", "access_token = generate_token_for_user(user, lifetime)",
    "private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)", "secret = hmac.new(base64.b64decode(key), digestmod)",
    "Authorization: Bearer YOUR_ACCESS_TOKEN_GOES_HERE", "client_secret: ${{ secrets.AZURE_CLIENT_SECRET_2 }}",
    "passwordResetTokenExpirationTimeInMinutes", "the authentication bearer represents_a_user_that_was_named",
    "GB82 is no account, nor is DE00 1234 5678 9012 3456 78, nor AB12 CDEF 3456",
    "Let K33 3333 be a graph and x_{12345678901234567890} = \\sum_{i=1}^{n} a_i", "session_key = derive(master_secret, client_random, server_random)",
    "/usr/lib/python3.11/site-packages/some_very_long_name/and_another_one/file_2024_01_02.py",
)  # fmt: skip


def test_ordinary_text_stays(shared_data: Path) -> None:
    """Hashes, identifiers, base64, code that handles keys, mathematics: nothing is taken for a secret."""
    rng = np.random.default_rng(7)
    for text in (*ORDINARY, *(text for _ in range(300) for text in _ordinary(rng))):
        assert redacted(text) == (text, Counter())
    found: Counter[str] = Counter()
    prompts = 0
    for folder in ("arena_hard/arena-hard-v0.1", "arena_hard/arena-hard-v2.0", "mt_bench"):
        for path in expanded([shared_data / folder / "question.jsonl"]):
            for _, raw in raws_of(path, "all"):
                prompts += 1
                for turn in raw.turns:
                    found += redacted(turn)[1]
    assert prompts > 1000
    # One user of Arena-Hard v2.0 left the token of a Telegram bot in his program.
    assert (found["JWT"], found["SECRET"], found["IBAN"]) == (0, 1, 0)
