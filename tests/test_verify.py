"""Certificates are checked: what was changed is caught and named, what is forged is refused, what is true passes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from auditkit import demo
from auditkit.attack import attack
from auditkit.attacks.plan import AttackPlan
from auditkit.certify import certify
from auditkit.cli import main
from auditkit.errors import InputError
from auditkit.formats import run_folder
from auditkit.judging.known import builtin_pairs
from auditkit.records import Battles, Settings
from auditkit.reports.envelope import PAYLOAD_TYPE, canonical, load_key, new_key, public_key, seal
from auditkit.sources import versions
from auditkit.verify import Verification, differences, verify

FAST = Settings(replicates=50)
NULL = "null-constant"
#: What a change of the certificate itself is named by.
OF_CERTIFICATE = {"envelope", "signature", "statement"}


@dataclass(frozen=True)
class Bundle:
    """A certificate, what lies beside it, the recording, and the keys."""

    folder: Path
    recording: Path
    key: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.json"

    @property
    def public(self) -> Path:
        return self.key.with_name("signing.key.pub")

    def check(self, **options: Any) -> Verification:
        return verify(self.certificate, **{"pubkey": self.public, "inputs": [self.recording], **options})

    def statement(self) -> dict[str, Any]:
        envelope = json.loads(self.certificate.read_bytes())
        tree: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
        return tree

    def files(self) -> dict[str, Path]:
        """Every file that the certificate rests on, by the name under which a change of it is reported."""
        own = {path.name: path for path in self.folder.iterdir()}
        return own | {f"inputs/{self.recording.name}/{p.name}": p for p in self.recording.iterdir()}


def _issue(folder: Path, recording: Path, model: str) -> Bundle:
    folder.mkdir(parents=True)
    out = folder / "out"
    out.mkdir()
    key = folder / "signing.key"
    new_key(key)
    found = certify(recording, settings=FAST, key=key, only=[model])
    for name, data in found.documents.items():
        (out / name).write_bytes(data)
    (out / found.certificates[0].name).write_bytes(found.certificates[0].data)
    return Bundle(out, recording, key)


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A certificate on a submission of the recorded run that ships."""
    folder = tmp_path_factory.mktemp("issued")
    recording = folder / "demo"
    shutil.copytree(demo.recorded(), recording)
    return _issue(folder / "made", recording, "padded")


@pytest.fixture
def bundle(issued: Bundle, tmp_path: Path) -> Bundle:
    """A copy of it to be changed."""
    shutil.copytree(issued.folder, tmp_path / "out")
    shutil.copytree(issued.recording, tmp_path / "demo")
    return Bundle(tmp_path / "out", tmp_path / "demo", issued.key)


def _failed(found: Verification) -> list[str]:
    return [check.name for check in found.checks if check.status == "fail"]


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("the network was used")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield


@pytest.mark.usefixtures("_offline")
def test_an_untouched_certificate_is_made_again_to_the_byte_on_another_machine(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved elsewhere, without the network, from another folder: every check passes, recomputation included."""
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "far" / "away"
    elsewhere.mkdir(parents=True)
    moved = Bundle(bundle.folder.rename(elsewhere / "papers"), bundle.recording.rename(elsewhere / "demo"), bundle.key)
    found = moved.check(recompute=True)
    assert [(c.name, c.text) for c in found.checks if c.status != "pass"] == []
    assert found.holds is True and found.exit_code == 0
    assert {"signature", "dates", "inputs", "contents", "report", "recompute"} <= {c.name for c in found.checks}
    assert moved.check(inputs=[elsewhere]).holds is True
    assert moved.check(inputs=[]).holds is True, "beside the certificate's folder"


def test_each_of_200_random_single_byte_changes_is_caught_and_named(bundle: Bundle) -> None:
    """Any byte of certificate, report, page, policy or recording, set to any other value: the file is named."""
    rng = np.random.default_rng(5)
    files = bundle.files()
    assert len(files) == 8
    names = sorted(files)
    seen = set()
    for turn in range(200):
        name = names[turn % len(names)]
        path = files[name]
        data = bytearray(path.read_bytes())
        at = int(rng.integers(len(data)))
        before = bytes(data)
        data[at] = (data[at] + 1 + int(rng.integers(255))) % 256
        path.write_bytes(data)
        found = bundle.check(recompute=True)
        path.write_bytes(before)
        culprits = _failed(found)
        assert found.exit_code == 1, (name, at)
        assert culprits and set(culprits) <= (OF_CERTIFICATE if name == "certificate.json" else {name}), (
            name,
            at,
            culprits,
        )
        seen.add(name)
    assert seen == set(files)
    assert bundle.check().holds is True, "what was restored holds again"


@pytest.mark.parametrize("name", ["report.json", "report.html", "policy.toml", "inputs/demo/games.jsonl"])
def test_what_is_cut_or_appended_is_caught(bundle: Bundle, name: str) -> None:
    """One byte less or more at the end, where a parser might not look, is a change too."""
    path = bundle.files()[name]
    data = path.read_bytes()
    for changed in (data[:-1], data + b"\n", b""):
        path.write_bytes(changed)
        assert _failed(bundle.check()) == [name]


def test_a_file_that_was_added_to_the_recording_is_named(bundle: Bundle) -> None:
    """Nothing that was certified has changed, and the audit would read more."""
    row = {"kind": "added", "text": "later", "count": 1, "path": "", "model": ""}
    (bundle.recording / "notes.jsonl").write_text(json.dumps(row) + "\n")
    found = bundle.check()
    assert _failed(found) == ["recordings"]
    assert "demo/notes.jsonl" in found.checks[-1].text


def test_what_is_missing_is_not_checked_and_said(bundle: Bundle) -> None:
    """Without the recording, or without a public key, nothing is claimed: exit code 3."""
    (bundle.recording / "games.jsonl").unlink()
    found = bundle.check(recompute=True)
    assert found.holds is None and found.exit_code == 3
    open_ = {c.name: c.text for c in found.checks if c.status == "not_checked"}
    assert "inputs/demo/games.jsonl" in open_
    assert "not done" in open_["recompute"]
    shutil.rmtree(bundle.recording)
    assert bundle.check().exit_code == 3


def test_without_a_public_key_nobody_is_named(bundle: Bundle) -> None:
    """The key inside a certificate shows that it is whole, not who signed it."""
    found = bundle.check(pubkey=None)
    assert found.exit_code == 3
    assert [c.name for c in found.checks if c.status == "not_checked"] == ["signer"]


def test_it_expires(bundle: Bundle) -> None:
    """Valid until the policy's days are over, not before it was issued, with five minutes for clocks that differ."""
    predicate = bundle.statement()["predicate"]
    issued, ends = (datetime.fromisoformat(predicate[key]) for key in ("issued", "expires"))
    assert ends - issued == timedelta(days=365)
    assert bundle.check(now=ends).holds is True
    late = bundle.check(now=ends + timedelta(seconds=1), recompute=True)
    assert _failed(late) == ["dates"] and late.exit_code == 1
    assert late.checks[-1].name == "recompute" and late.checks[-1].status == "pass", "what it says is still true"
    assert bundle.check(now=issued - timedelta(minutes=4)).holds is True
    assert _failed(bundle.check(now=issued - timedelta(minutes=6))) == ["dates"]


# --- forgeries ----------------------------------------------------------------------------------------------------


def _signed(payload: bytes, key: Path, payload_type: str = PAYLOAD_TYPE) -> dict[str, Any]:
    private = load_pem_private_key(key.read_bytes(), None)
    envelope = Envelope(payload, payload_type, {})
    envelope.sign(CryptoSigner(private))
    tree: dict[str, Any] = envelope.to_dict()
    return tree


def _write(bundle: Bundle, envelope: dict[str, Any]) -> None:
    bundle.certificate.write_bytes(canonical(envelope) + b"\n")


def _payload(bundle: Bundle) -> bytes:
    return base64.b64decode(json.loads(bundle.certificate.read_bytes())["payload"])


def _resigned(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> list[str]:
    """Change the statement, have the right key sign it, and return what fails."""
    tree = bundle.statement()
    change(tree)
    bundle.certificate.write_bytes(seal(tree, load_key(bundle.key)))
    return _failed(bundle.check())


@pytest.mark.parametrize("payload_type", ["application/json", "application/vnd.in-toto+json ", "", 7])
def test_another_payload_type_is_refused_even_if_signed(bundle: Bundle, payload_type: Any) -> None:
    """The type is part of what is signed, and only one is read."""
    text = str(payload_type)
    _write(bundle, {**_signed(_payload(bundle), bundle.key, text), "payloadType": payload_type})
    assert _failed(bundle.check()) == ["envelope"]


def test_a_signature_over_another_type_does_not_count(bundle: Bundle) -> None:
    """Signed as something else, relabelled as a statement."""
    _write(bundle, {**_signed(_payload(bundle), bundle.key, "text/plain"), "payloadType": PAYLOAD_TYPE})
    assert _failed(bundle.check()) == ["signature"]


def test_another_key_is_not_the_signer(bundle: Bundle, tmp_path: Path) -> None:
    """A forger's own key signs well, and is not the key that was given; with the right key's id it is no better."""
    forger = tmp_path / "forger.key"
    new_key(forger)
    tree = bundle.statement()
    tree["predicate"]["signer"] = load_key(forger).public.hex
    forged = _signed(canonical(tree), forger)
    _write(bundle, forged)
    assert _failed(bundle.check()) == ["signature"]
    assert bundle.check(pubkey=None).exit_code == 3, "whole, and by nobody that is known"
    forged["signatures"][0]["keyid"] = load_key(bundle.key).public.id
    _write(bundle, forged)
    assert _failed(bundle.check()) == ["signature"]
    assert _failed(bundle.check(pubkey=None)) == ["signature"]


def test_a_statement_that_names_another_signer_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """Signed by the right key, while the statement claims another, or none."""
    forger = tmp_path / "forger.key"
    new_key(forger)
    for claimed in (load_key(forger).public.hex, ""):
        tree = bundle.statement()
        tree["predicate"]["signer"] = claimed
        _write(bundle, _signed(canonical(tree), bundle.key))
        assert _failed(bundle.check()) == ["signature"]


def test_a_swapped_payload_is_refused(bundle: Bundle) -> None:
    """The signature of one certificate under the statement of another."""
    envelope = json.loads(bundle.certificate.read_bytes())
    tree = bundle.statement()
    tree["predicate"]["submission"]["verdict"] = "certified"
    _write(bundle, {**envelope, "payload": base64.b64encode(canonical(tree)).decode()})
    assert _failed(bundle.check()) == ["signature"]


def test_a_symmetric_tag_made_with_the_public_key_is_no_signature(bundle: Bundle) -> None:
    """Algorithm confusion: what anyone can compute from the public key does not pass."""
    envelope = json.loads(bundle.certificate.read_bytes())
    pae = Envelope(_payload(bundle), PAYLOAD_TYPE, {}).pae()
    for digest in ("sha256", "sha512"):
        tag = hmac.new(bytes.fromhex(load_key(bundle.key).public.hex), pae, digest).digest()
        envelope["signatures"][0]["sig"] = base64.b64encode(tag.ljust(64, b"\0")).decode()
        _write(bundle, envelope)
        assert _failed(bundle.check()) == ["signature"]


@pytest.mark.parametrize("kind", ["rsa", "ec", "x25519", "private", "garbage"])
def test_only_an_ed25519_public_key_is_taken(bundle: Bundle, tmp_path: Path, kind: str) -> None:
    """Other algorithms, and the private key by mistake, are one clear line."""
    makers: dict[str, Callable[[], Any]] = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048).public_key(),
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()).public_key(),
        "x25519": lambda: x25519.X25519PrivateKey.generate().public_key(),
    }
    path = tmp_path / "key.pub"
    if kind in makers:
        path.write_bytes(makers[kind]().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    else:
        path.write_bytes(bundle.key.read_bytes() if kind == "private" else b"\0garbage")
    with pytest.raises(InputError, match="public"):
        bundle.check(pubkey=path)


def test_an_unsigned_envelope_is_refused_unless_asked_for(bundle: Bundle) -> None:
    """Taking the signature off is a downgrade; a certificate made without a key says so itself."""
    envelope = json.loads(bundle.certificate.read_bytes())
    _write(bundle, {**envelope, "signatures": []})
    assert _failed(bundle.check()) == ["signature"]
    assert _failed(bundle.check(pubkey=None)) == ["signature"]
    assert _failed(bundle.check(pubkey=None, unsigned=True)) == ["signature"], "its statement names a signer"
    tree = bundle.statement()
    tree["predicate"]["signer"] = ""
    bundle.certificate.write_bytes(seal(tree, None))
    assert _failed(bundle.check(pubkey=None)) == ["signature"]
    assert bundle.check(pubkey=None, unsigned=True, recompute=True).exit_code == 0
    assert _failed(bundle.check(unsigned=True)) == ["signature"], "a key was given: then it has to be signed by it"


def test_a_field_that_is_there_twice_is_refused(bundle: Bundle) -> None:
    """Two readers could read two things: in the envelope and in a signed payload alike."""
    envelope = json.loads(bundle.certificate.read_bytes())
    text = canonical(envelope).decode()
    bundle.certificate.write_text(text.replace('{"payload":', '{"payload":"","payload":', 1) + "\n")
    assert _failed(bundle.check()) == ["envelope"]
    twice = _payload(bundle_with(bundle, envelope)).replace(b'"verdict":', b'"verdict":"certified","verdict":', 1)
    _write(bundle, _signed(twice, bundle.key))
    found = bundle.check()
    assert _failed(found) == ["statement"]
    assert "twice" in found.checks[-1].text


def bundle_with(bundle: Bundle, envelope: dict[str, Any]) -> Bundle:
    """Put an envelope into the bundle."""
    _write(bundle, envelope)
    return bundle


def test_only_one_spelling_of_an_envelope_is_read(bundle: Bundle) -> None:
    """Spaces, other base64, more signatures, more fields: each is a byte that nobody signed."""
    envelope = json.loads(bundle.certificate.read_bytes())
    (signature,) = envelope["signatures"]
    raw = base64.b64decode(signature["sig"])
    urlsafe = base64.urlsafe_b64encode(raw + b"\xff\xfe").decode()
    last = signature["sig"][-3]
    bits = signature["sig"][:-3] + chr(ord(last) + 1) + "=="
    for wrong in (
        {**envelope, "signatures": [signature, signature]},
        {**envelope, "signatures": [{**signature, "sig": urlsafe}]},
        {**envelope, "signatures": [{**signature, "sig": bits}]},
        {**envelope, "signatures": [{**signature, "sig": signature["sig"] + "\n"}]},
        {**envelope, "signatures": [{**signature, "alg": "none"}]},
        {**envelope, "signatures": [{"sig": signature["sig"]}]},
        {**envelope, "signatures": None},
        {**envelope, "more": 1},
        {"payload": envelope["payload"], "payloadType": PAYLOAD_TYPE},
    ):
        _write(bundle, wrong)
        assert set(_failed(bundle.check())) <= {"envelope", "signature"} != set()
        assert bundle.check().exit_code == 1
    for text in (json.dumps(envelope), json.dumps(envelope, indent=1) + "\n", "[]\n", "{}\n", "[" * 10_000, "\xff"):
        bundle.certificate.write_text(text, encoding="latin-1")
        assert _failed(bundle.check()) == ["envelope"]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda t: t.update(predicateType="https://slsa.dev/provenance/v1"),
        lambda t: t["predicate"].pop("gates"),
        lambda t: t["predicate"].update(extra=1),
        lambda t: t["subject"].pop(0),
        lambda t: t["subject"].append(t["subject"][0]),
        lambda t: t["subject"][0].update(digest={"sha256": "00", "md5": "1"}),
        lambda t: t["subject"][0].update(digest={"md5": "d41d8cd98f00b204e9800998ecf8427e"}),
        lambda t: t["subject"].append({"name": "inputs/../../../etc/passwd", "digest": {"sha256": "0" * 64}}),
        lambda t: t["subject"].append({"name": "inputs/demo/../../../../x", "digest": {"sha256": "0" * 64}}),
        lambda t: t["subject"].append({"name": "inputs/" + "x" * 300, "digest": {"sha256": "0" * 64}}),
        lambda t: t["subject"].append({"name": "/etc/passwd", "digest": {"sha256": "0" * 64}}),
        lambda t: t["predicate"].update(expires="9999-01-01T00:00:00+00:00"),
        lambda t: t["predicate"].update(issued="2000-01-01T00:00:00"),
        lambda t: t["predicate"]["policy"].update(days=10**12),
        lambda t: t["predicate"]["recipe"].update(seed=-1),
        lambda t: t["predicate"]["recipe"].update(level=2),
        lambda t: t["predicate"]["recipe"].update(sources=[{"name": "../x", "certified": True}]),
        lambda t: t["predicate"]["recipe"].update(sources=[]),
        lambda t: t["predicate"].update(signer="zz"),
        lambda t: t["predicate"]["submission"].pop("model"),
    ],
)  # fmt: skip
def test_a_statement_of_another_form_is_refused(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> None:
    """Other types, missing or additional fields, weaker digests, names that lead away, dates that do not follow."""
    assert set(_resigned(bundle, change)) <= {"statement", "signature"} != set()
    assert bundle.check().statement is None


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["predicate"]["submission"].update(verdict="certified"),
        lambda t: t["predicate"]["submission"].update(model="honest-strong"),
        lambda t: t["predicate"]["submission"].update(model="nobody"),
        lambda t: t["predicate"]["scores"][0].update(estimate=99.0),
        lambda t: t["predicate"]["gameability"].update(grade="within"),
        lambda t: t["predicate"]["gates"].pop(),
        lambda t: t["predicate"]["recipe"].update(seed=1),
        lambda t: t["predicate"]["recipe"].update(replicates=99),
        lambda t: t["predicate"]["recipe"].update(level=0.5),
        lambda t: t["predicate"]["policy"].update(name="strict"),
        lambda t: t["predicate"]["policy"].update(sha256="0" * 64),
    ],
)  # fmt: skip
def test_a_signer_that_says_other_than_the_report_is_caught(
    bundle: Bundle, change: Callable[[dict[str, Any]], object]
) -> None:
    """Signed by the right key, and still: verdict, scores, grade and settings must be those of the report."""
    failed = _resigned(bundle, change)
    if failed:
        assert set(failed) <= {"report", "policy", "contents"}
    else:  # what the report does not repeat: only making it again can tell
        assert _failed(bundle.check(recompute=True)) == ["recompute"]


def test_a_signer_that_lies_in_all_documents_is_caught_by_making_the_numbers_again(
    issued: Bundle, tmp_path: Path
) -> None:
    """Report, page and certificate are of another recording and hash well: the games say otherwise."""
    battles = run_folder.read(issued.recording)
    rng = np.random.default_rng(1)
    for turn in range(2):
        folder = tmp_path / str(turn)
        mine = battles.games.index[battles.games["model"] == "padded"]
        row = int(rng.choice(mine))
        games = battles.games.copy()
        games.loc[row, "outcome"] = 1.0 - games.loc[row, "outcome"] if games.loc[row, "outcome"] in (0.0, 1.0) else 1.0
        run_folder.write(replace(battles, games=games), folder / "demo")
        false = _issue(folder / "false", folder / "demo", "padded")
        tree = false.statement()
        true = {s["name"]: s["digest"] for s in issued.statement()["subject"]}
        for subject in tree["subject"]:
            if subject["name"].startswith("inputs/") or subject["name"] in ("answers", "games"):
                subject["digest"] = true[subject["name"]]
        false.certificate.write_bytes(seal(tree, load_key(false.key)))
        found = false.check(inputs=[issued.recording], recompute=True)
        assert _failed(found) == ["recompute"]
        assert "report made again differs in" in found.checks[-1].text


def test_a_certificate_of_another_recording_is_no_use(
    bundle: Bundle, simulate: Callable[..., Battles], tmp_path: Path
) -> None:
    """Replay: a good certificate laid beside the report of another audit."""
    run_folder.write(simulate({"padded": 0.4, "other": 0.0}, prompts=60), tmp_path / "later" / "demo")
    other = _issue(tmp_path / "new", tmp_path / "later" / "demo", "padded")
    shutil.copy(bundle.certificate, other.certificate)
    failed = _failed(verify(other.certificate, pubkey=bundle.public, inputs=[other.recording]))
    assert {"report.json", "report.html", "inputs/demo/games.jsonl"} <= set(failed)
    assert _failed(verify(other.certificate, pubkey=other.public, inputs=[other.recording])) == ["signature"]


def test_other_versions_are_named(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions that differ are noted; where the numbers differ too, they are given as the likely reason."""
    here = versions()
    other = {**here, "numpy": "9.9", "plugins": {"foreign": "1"}}
    monkeypatch.setattr(sys.modules["auditkit.verify"], "versions", lambda: other)
    found = bundle.check()
    assert found.holds is True
    (note,) = [c for c in found.checks if c.status == "note"]
    assert "numpy" in note.text and "9.9" in note.text and "foreign" in note.text
    monkeypatch.setattr(sys.modules["auditkit.certify"], "to_json", lambda report: "{}\n")
    (failed,) = [c for c in bundle.check(recompute=True).checks if c.status == "fail"]
    assert failed.name == "recompute" and "here 9.9" in failed.text


def test_differences_are_listed_by_place() -> None:
    """Numbers with both values, lists with both lengths, fields that only one side has."""
    one = {"a": 1.0, "b": [1, 2], "c": {"d": "x"}, "e": [1]}
    other = {"a": 1.5, "b": [1, 3], "c": {"d": "y", "f": 0}, "e": []}
    assert differences(one, other) == ["a (1.5, now 1.0)", "b[1] (3, now 2)", "c.f", "c.d", "e (0 items, now 1)"]
    assert differences(one, one) == []
    assert differences(True, 1) != []


# --- the command --------------------------------------------------------------------------------------------------


def _run(*args: object) -> Any:
    return CliRunner().invoke(main, [str(a) for a in args])


def test_the_command_says_what_holds(bundle: Bundle) -> None:
    """Exit codes and lines: it holds, it does not, it could not be checked; `--met` asks for the verdict too."""
    base = ("verify", bundle.certificate, "--inputs", bundle.recording, "--quiet")
    good = _run(*base, "--pubkey", bundle.public, "--recompute")
    assert good.exit_code == 0, good.output
    assert "holds" in good.stdout and "padded" in good.stdout and "conditional" in good.stdout
    assert _run(*base, "--pubkey", bundle.public, "--met").exit_code == 0
    assert _run(*base).exit_code == 3
    shown = json.loads(_run(*base, "--json").stdout)
    assert (shown["holds"], shown["exit_code"], shown["verdict"]) == (None, 3, "conditional")
    (bundle.folder / "report.html").write_text("another page")
    bad = _run(*base, "--pubkey", bundle.public)
    assert bad.exit_code == 1
    assert "✗ report.html" in bad.stdout and "DOES NOT HOLD" in bad.stdout
    assert _run("verify", bundle.folder / "nothing.json").exit_code == 2


def test_a_true_certificate_of_a_rejection_holds_and_is_not_met(issued: Bundle, tmp_path: Path) -> None:
    """A rejected submission has a certificate too: it holds, and a gate that asks for the verdict stops it."""
    null = _issue(tmp_path / "null", issued.recording, NULL)
    base = ("verify", null.certificate, "--pubkey", null.public, "--inputs", issued.recording, "--quiet")
    assert _run(*base).exit_code == 0
    assert _run(*base, "--met").exit_code == 1


def test_the_live_run_that_ships_is_made_again(tmp_path: Path) -> None:
    """A recording with pairs of known answers in a folder below: all its files are subjects."""
    recording = tmp_path / "live"
    shutil.copytree(demo.recorded_live(), recording)
    model = run_folder.read(recording).models[0]
    live = _issue(tmp_path / "made", recording, model)
    assert live.check(recompute=True).exit_code == 0
    named = {s["name"] for s in live.statement()["subject"]}
    files = {f"inputs/{p.relative_to(tmp_path)}" for p in recording.rglob("*") if p.is_file()}
    assert files <= named


def test_a_run_with_its_judge_and_its_attacks_is_made_again(tmp_path: Path) -> None:
    """The judge's file, on which gates are tried, and the games of attacks are subjects; their numbers are derived again."""
    pairs = builtin_pairs(30)
    for name, rows in (
        ("prompts", [{"id": p.id, "prompt": p.question} for p in pairs]),
        ("baseline", [{"id": p.id, "answer": p.wrong} for p in pairs]),
        ("good", [{"id": p.id, "answer": p.right} for p in pairs]),
    ):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = tmp_path / "audit.toml"
    spec.write_text(
        '[benchmark]\npath = "prompts.jsonl"\nbaseline = "baseline.jsonl"\n'
        '[[models]]\nname = "good"\nanswers = "good.jsonl"\n'
        '[judge]\nuse = "arena-hard-v0.1"\nmodel = "simulated/obey?p=0.9&seed=2"\n'
    )
    run = attack(spec, AttackPlan(only=("injection-naive", "padding-double")), out=tmp_path / "run").folder
    made = _issue(tmp_path / "made", run, "good")
    predicate = made.statement()["predicate"]
    assert {a["attack"] for a in predicate["attacks"]} == {"injection-naive", "padding-double"}
    assert all(a["uplift"] is not None for a in predicate["attacks"])
    assert {g["gate"]: g["status"] for g in predicate["gates"]}["H3"] != "not_measured"
    assert made.check(recompute=True).exit_code == 0, made.check(recompute=True).checks
    named = {s["name"] for s in made.statement()["subject"]}
    assert {"inputs/run/judge.toml", "inputs/run/attacks/suite.json", "inputs/run/run.toml"} <= named
    for name in ("judge.toml", "attacks/suite.json"):
        path = run / name
        data = path.read_bytes()
        path.write_bytes(data.replace(b"a", b"b", 1))
        assert _failed(made.check()) == [f"inputs/run/{name}"]
        path.write_bytes(data)


def test_the_signature_is_plain_dsse(bundle: Bundle) -> None:
    """Anyone can check it with the specification and an Ed25519 library alone."""
    envelope = json.loads(bundle.certificate.read_bytes())
    body, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    pae = b"DSSEv1 " + str(len(kind)).encode() + b" " + kind + b" " + str(len(body)).encode() + b" " + body
    key = load_pem_private_key(bundle.key.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    key.public_key().verify(base64.b64decode(envelope["signatures"][0]["sig"]), pae)
    statement = json.loads(body)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    by_name = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
    for name in ("report.json", "report.html", "policy.toml"):
        assert by_name[name] == hashlib.sha256((bundle.folder / name).read_bytes()).hexdigest()
    for name in ("run.toml", "games.jsonl", "answers.jsonl", "prompts.jsonl"):
        assert by_name[f"inputs/demo/{name}"] == hashlib.sha256((bundle.recording / name).read_bytes()).hexdigest()
    report = json.loads((bundle.folder / "report.json").read_bytes())
    assert by_name["benchmark"] == report["benchmark"]["sha256"]
    assert public_key(statement["predicate"]["signer"]).id == envelope["signatures"][0]["keyid"]


def test_dates_are_in_utc(bundle: Bundle) -> None:
    """The moment of issue is that of the report."""
    report = json.loads((bundle.folder / "report.json").read_bytes())
    issued = bundle.statement()["predicate"]["issued"]
    assert issued == report["created"]
    assert datetime.fromisoformat(issued).utcoffset() == UTC.utcoffset(None)
