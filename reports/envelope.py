"""Signed envelopes: DSSE with one Ed25519 signature, and the key files.

The envelope is that of `securesystemslib` (DSSE protocol v1: the signature is over payload and payload type, both with
their lengths); JSON is canonical (RFC 8785), so that every document has one spelling and any other byte is a forgery.
A private key is read from its file and used; it is never part of a message, a record or an exception.
"""

from __future__ import annotations

import json
import math
import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from auditkit.errors import InputError, UsageError, printable

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

__all__ = [
    "PAYLOAD_TYPE",
    "PublicKey",
    "Sealed",
    "Signer",
    "canonical",
    "load_key",
    "load_public_key",
    "new_key",
    "public_key",
    "seal",
    "strict_json",
    "unseal",
]

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_ALGORITHM: Final = "ed25519"
_LARGEST_KEY: Final = 1 << 16
_PUBLIC: Final = ".pub"


def canonical(value: object) -> bytes:
    """Return JSON data in its one canonical spelling (RFC 8785).

    Raises:
        ValueError: A number that is not finite, or a whole number beyond 2**53.
    """
    import rfc8785

    return bytes(rfc8785.dumps(value))  # type: ignore[arg-type]  # its type of JSON data is recursive


def _no_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_constant(text[:40])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {printable(again, 60)!r} is there twice")
    return found


def strict_json(data: bytes) -> Any:
    """Parse JSON in which no field is there twice and every number is finite.

    Raises:
        ValueError: It is not; the message says why.
    """
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite
        )
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


# --- keys ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key. `id` is the SHA-256 of its description, `hex` the key itself."""

    id: str
    hex: str

    def _library(self) -> SSlibKey:
        from securesystemslib.signer import SSlibKey

        return SSlibKey(self.id, _ALGORITHM, _ALGORITHM, {"public": self.hex})


@dataclass(frozen=True)
class Signer:
    """A private key, ready to sign. It shows its public half only."""

    public: PublicKey
    _signer: CryptoSigner = field(repr=False, compare=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not copied or stored")


def public_key(hex_: str) -> PublicKey:
    """Return the key of these 32 bytes in hex.

    Raises:
        ValueError: It is none.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from securesystemslib.signer import SSlibKey

    raw = bytes.fromhex(hex_)
    if raw.hex() != hex_:
        raise ValueError("not 64 lower-case hex digits")
    key = SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(raw))
    return PublicKey(key.keyid, hex_)


def _read_key(path: Path, *, private: bool) -> bytes:
    """Read a key file by one descriptor: what was checked is what is read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"the key cannot be read: {error.strerror}", path=path) from None
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise InputError("expected a key file, got a folder, pipe or device", path=path)
        if private and state.st_mode & 0o077:
            raise InputError(
                f"the private key can be read by others (mode {state.st_mode & 0o777:04o})", path=path,
                mend="chmod 600, or make a new key if it was readable for long",
            )  # fmt: skip
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(_LARGEST_KEY + 1)
    finally:
        os.close(descriptor)
    if len(data) > _LARGEST_KEY:
        raise InputError("too large for a key", path=path)
    return data


def load_key(path: Path) -> Signer:
    """Read an Ed25519 private key (PKCS#8 PEM, not encrypted, its owner's alone).

    Raises:
        InputError: The file cannot be read, can be read by others, or holds no such key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    if "PRIVATE KEY" in str(path) or "\n" in str(path):
        raise UsageError("the key itself was given where its file belongs: consider it known, and make a new one")
    data = _read_key(path, private=True)
    key = None
    # Whatever the library says of a damaged key stays here: a message may quote what it could not parse.
    with suppress(Exception):
        key = load_pem_private_key(data, None)
    del data
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(
            "not an Ed25519 private key (PKCS#8 PEM without a passphrase)", path=path,
            mend="make one with `auditkit certify --new-key FILE`",
        )  # fmt: skip
    signer = CryptoSigner(key)
    return Signer(PublicKey(signer.public_key.keyid, signer.public_key.keyval["public"]), signer)


def load_public_key(path: Path) -> PublicKey:
    """Read an Ed25519 public key (PEM, as `new_key` and ``openssl pkey -pubout`` write it).

    Raises:
        InputError: The file cannot be read or holds no such key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    key = None
    data = _read_key(path, private=False)
    with suppress(Exception):
        key = load_pem_public_key(data)
    if not isinstance(key, Ed25519PublicKey):
        private = b"PRIVATE KEY" in data
        raise InputError(
            "a private key was given where the public one belongs" if private else "not an Ed25519 public key (PEM)",
            path=path, mend="give the .pub file that lies beside the private key",
        )  # fmt: skip
    return public_key(key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex())


def new_key(path: Path) -> PublicKey:
    """Make an Ed25519 key: `path` (mode 0600) and its public half beside it (``.pub``).

    Each file appears whole, by linking a finished temporary one to its name: nothing is overwritten, and a symbolic
    link that somebody laid at the name is not followed.

    Raises:
        UsageError: One of the names is taken.
        InputError: The folder cannot be written to.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    public = path.with_name(path.name + _PUBLIC)
    for name in (path, public):
        if os.path.lexists(name):
            raise UsageError(f"{printable(name)} exists: a key is never overwritten; choose another name")
    key = Ed25519PrivateKey.generate()
    half = key.public_key()
    private_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        _put(path, private_pem, 0o600)
        _put(public, half.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    except FileExistsError:
        raise UsageError(f"{printable(path)} exists: a key is never overwritten; choose another name") from None
    except OSError as error:
        raise InputError(f"the key cannot be written: {error.strerror}", path=path) from None
    return public_key(half.public_bytes(Encoding.Raw, PublicFormat.Raw).hex())


def _put(path: Path, data: bytes, mode: int) -> None:
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".key-")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(scratch, path)  # fails where the name is taken, by a link too
    finally:
        Path(scratch).unlink(missing_ok=True)


# --- envelopes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sealed:
    """What an envelope holds: the payload's bytes, and the signature with the id of its key ("" if there is none)."""

    payload: bytes
    keyid: str
    _envelope: Any = field(repr=False, compare=False)

    def signed_by(self, key: PublicKey) -> bool:
        """Tell whether the one signature is that of `key` over this payload and its type."""
        from securesystemslib.exceptions import VerificationError

        try:
            self._envelope.verify([key._library()], 1)
        except VerificationError:
            return False
        return True


def seal(statement: Mapping[str, Any], signer: Signer | None) -> bytes:
    """Return the file of a statement in its envelope: canonical JSON and a line end. Without a signer it is unsigned."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(canonical(statement), PAYLOAD_TYPE, {})
    if signer is not None:
        envelope.sign(signer._signer)
    return canonical(envelope.to_dict()) + b"\n"


def unseal(data: bytes) -> Sealed:
    """Take an envelope apart. Nothing of it is believed yet: see `Sealed.signed_by`.

    Raises:
        ValueError: Not an envelope in its canonical spelling, another payload type, or more than one signature.
    """
    from securesystemslib.dsse import Envelope

    tree = strict_json(data)
    if not isinstance(tree, dict) or set(tree) != {"payload", "payloadType", "signatures"}:
        raise ValueError("not a DSSE envelope: expected exactly payload, payloadType and signatures")
    if tree["payloadType"] != PAYLOAD_TYPE:
        raise ValueError(f"the payload type is {printable(tree['payloadType'], 60)!r}, not {PAYLOAD_TYPE!r}")
    signatures = tree["signatures"]
    if not isinstance(signatures, list) or len(signatures) > 1:
        raise ValueError("expected one signature")
    for signature in signatures:
        if not isinstance(signature, dict) or set(signature) != {"keyid", "sig"}:
            raise ValueError("a signature has exactly keyid and sig")
        if not all(isinstance(value, str) for value in signature.values()):
            raise ValueError("keyid and sig are texts")
    if canonical(tree) + b"\n" != data:
        raise ValueError("the envelope is not in its canonical spelling: it was changed after it was written")
    try:
        envelope = Envelope.from_dict(json.loads(data))  # it changes what it is given
    except Exception:  # noqa: BLE001  the library raises several kinds for base64 that is none
        raise ValueError("payload or signature is not base64") from None
    if canonical(envelope.to_dict()) + b"\n" != data:
        raise ValueError("payload or signature is not in canonical base64: it was changed after it was written")
    return Sealed(envelope.payload, next(iter(envelope.signatures), ""), envelope)
