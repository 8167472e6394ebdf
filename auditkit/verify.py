"""The verify job: is a certificate what it says it is, and do its numbers follow from the games?

Nothing of a certificate is believed before its signature holds. What was checked, and what could not be, is listed
check by check; no network is used.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from auditkit.audit import Progress
from auditkit.certify import statements
from auditkit.errors import AuditkitError, InputError, printable
from auditkit.formats._io import open_file
from auditkit.policy import Policy, parse_policy
from auditkit.reports.certificate import PAGE, POLICY, REPORT, Statement, parse_statement, statement
from auditkit.reports.envelope import PublicKey, Sealed, canonical, load_public_key, public_key, strict_json, unseal
from auditkit.reports.report import from_json
from auditkit.sources import Sources, digests, find_sources, reread, versions

__all__ = ["Check", "Verification", "verify"]

_LARGEST: Final = 256 << 20
#: Clocks of two machines may differ by this much before a certificate seems to come from the future.
_SKEW: Final = timedelta(minutes=5)
_SHOWN: Final = 5


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. ``note`` changes nothing."""

    name: str
    status: Literal["pass", "fail", "not_checked", "note"]
    text: str


@dataclass(frozen=True)
class Verification:
    """What became of a certificate.

    Attributes:
        checks: In the order in which they were made.
        statement: What it says; None: it could not be read or believed.
    """

    checks: tuple[Check, ...]
    statement: Statement | None

    @property
    def holds(self) -> bool | None:
        """Do all checks pass? None: none fails, and some could not be made."""
        found = {check.status for check in self.checks}
        return False if "fail" in found else None if "not_checked" in found else True

    @property
    def exit_code(self) -> int:
        """0 it holds, 1 it does not, 3 something could not be checked."""
        return {True: 0, False: 1, None: 3}[self.holds]


class _Checks(list[Check]):
    def add(self, name: str, holds: bool | None, good: str, bad: str = "") -> bool:
        self.append(
            Check(name, "not_checked" if holds is None else "pass" if holds else "fail", good if holds else bad)
        )
        return bool(holds)

    @property
    def failed(self) -> bool:
        """Is something wrong that makes further checks pointless? Dates are not: what ended can still be true."""
        return any(check.status == "fail" and check.name != "dates" for check in self)


def _quiet(stage: str, done: int, total: int) -> None:
    pass


def verify(
    path: Path | str,
    *,
    pubkey: Path | None = None,
    inputs: Sequence[Path | str] = (),
    recompute: bool = False,
    unsigned: bool = False,
    now: datetime | None = None,
    progress: Progress = _quiet,
) -> Verification:
    """Check a certificate: signature, form, dates, and the SHA-256 of everything that it is about.

    Args:
        path: The certificate. Report, page and policy lie beside it.
        pubkey: The signer's public key. Without it the certificate can only be checked against the key that it names
            itself, which says nothing about who signed.
        inputs: Where the recordings lie (`auditkit.sources.find_sources`); beside the certificate by default.
        recompute: Make every number again from the recordings and compare report, page and certificate byte for byte.
        unsigned: Let a certificate pass that nobody signed: only what it says is then checked.
        now: The moment for which its dates are checked.
        progress: Told of every finished step.

    Raises:
        InputError: The certificate or the public key cannot be read at all.
    """
    place = Path(path)
    key = None if pubkey is None else load_public_key(pubkey)
    checks = _Checks()
    found = _opened(_bytes(place), key, unsigned, checks)
    if found is None or checks.failed:
        return Verification(tuple(checks), None)
    _dates(found, now or datetime.now(UTC), checks)
    home = Path(os.path.abspath(place)).parent  # noqa: PTH100  the name that was given is kept
    documents = _documents(found, home, checks)
    policy = _policy(found, documents, checks)
    roots = find_sources(found.recipe, [Path(folder) for folder in inputs], home)
    beside = _inputs(found, roots, home, [Path(folder) for folder in inputs], checks)
    if not checks.failed:
        _consistent(found, documents, policy, checks)
    sources = None if beside is None or checks.failed else _contents(found, roots, beside, checks)
    used = _versions(found)
    if used:
        checks.append(Check("versions", "note", f"made with other versions: {used}"))
    if recompute:
        if sources is None or policy is None or checks.failed:
            checks.add("recompute", None, "", "not done: see above what is missing or differs")
        else:
            _recompute(found, sources, policy, documents, used, checks, progress)
    return Verification(tuple(checks), found)


def _bytes(path: Path) -> bytes:
    with open_file(path) as handle:
        data = handle.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise InputError(f"more than {_LARGEST >> 20} MB", path=path)
    return data


def _opened(data: bytes, key: PublicKey | None, unsigned: bool, checks: _Checks) -> Statement | None:
    """Open the envelope, check who signed it, and read the statement: nothing that is not signed is returned."""
    try:
        sealed = unseal(data)
    except ValueError as error:
        checks.add("envelope", False, "", str(error))
        return None
    checks.add("envelope", True, "a DSSE envelope that holds an in-toto statement")
    if not sealed.keyid and not (unsigned and key is None):
        checks.add("signature", False, "", "the certificate is not signed")
        return None
    if key is not None and not _signature(sealed, key, checks):
        return None  # of a payload that this key did not sign, nothing is read
    try:
        tree = strict_json(sealed.payload)
        if canonical(tree) != sealed.payload:
            raise ValueError("it is not in its canonical spelling")
        found = parse_statement(tree)
        own = public_key(found.predicate["signer"]) if found.predicate["signer"] else None
    except ValueError as error:
        checks.add("statement", False, "", str(error))
        return None
    if not sealed.keyid:
        text = "nobody signed it: whether it follows from the recordings is all that can be checked"
        checks.append(
            Check("signature", "note", text)
            if own is None
            else Check("signature", "fail", "its signature was taken off")
        )
    elif own is None or (key is not None and own != key):
        checks.add("signature", False, "", "it is signed by this key, and does not name it as its signer")
    elif key is None and _signature(sealed, own, checks):
        text = f"the certificate names the key {own.id[:16]} itself: whose it is, only --pubkey can tell"
        checks.add("signer", None, "", text)
    said = found.predicate["submission"]
    checks.add(
        "statement", True, f"on {printable(said['model'], 60)}: {printable(said['verdict'], 20).replace('_', ' ')}"
    )
    return None if checks.failed else found


def _signature(sealed: Sealed, key: PublicKey, checks: _Checks) -> bool:
    if sealed.keyid != key.id:
        text = f"signed by the key {printable(sealed.keyid, 16)}, not by {key.id[:16]}"
        return checks.add("signature", False, "", text)
    return checks.add(
        "signature", sealed.signed_by(key), f"Ed25519, by the key {key.id[:16]}",
        f"it is not the signature of the key {key.id[:16]} on these bytes: certificate or signature were changed",
    )  # fmt: skip


def _dates(found: Statement, now: datetime, checks: _Checks) -> None:
    predicate = found.predicate
    issued, expires = (datetime.fromisoformat(predicate[name]) for name in ("issued", "expires"))
    if issued > now + _SKEW:
        checks.add("dates", False, "", f"issued in the future, on {predicate['issued']}")
    else:
        checks.add(
            "dates", now <= expires, f"issued {predicate['issued']}, valid until {predicate['expires']}",
            f"expired on {predicate['expires']}",
        )  # fmt: skip


def _documents(found: Statement, home: Path, checks: _Checks) -> dict[str, bytes]:
    documents: dict[str, bytes] = {}
    for name in (REPORT, PAGE, POLICY):
        try:
            data = _bytes(home / name)
        except InputError as error:
            missing = not (home / name).exists()
            checks.add(
                name, None if missing else False, "", "not found beside the certificate" if missing else error.problem
            )
            continue
        same = hashlib.sha256(data).hexdigest() == found.subjects[name]
        if checks.add(
            name,
            same,
            "as certified",
            "not the one that was certified: it was changed, or belongs to another certificate",
        ):
            documents[name] = data
    return documents


def _policy(found: Statement, documents: Mapping[str, bytes], checks: _Checks) -> Policy | None:
    if POLICY not in documents:
        return None
    said = found.predicate["policy"]
    try:
        policy = parse_policy(documents[POLICY], POLICY)
    except InputError as error:
        checks.add("policy", False, "", str(error))
        return None
    own = {"name": policy.name, "version": policy.version, "sha256": policy.sha256, "days": policy.days}
    return (
        policy
        if checks.add(
            "policy",
            said == own,
            f"{policy.title}, sha256 {policy.sha256[:12]}{', as shipped with this auditkit' if policy.built_in else ''}",
            "the policy file is not the policy of the certificate",
        )
        else None
    )


def _inputs(
    found: Statement, roots: Mapping[str, Path | None], home: Path, folders: Sequence[Path], checks: _Checks
) -> dict[str, Path] | None:
    """Check the SHA-256 of every file that was read; return those beside the recordings by kind, None if one is missing."""
    kinds = {name: kind for kind, name in (found.recipe.beside or {}).items()}
    beside: dict[str, Path] = {}
    same, absent, changed = 0, [], []
    for name, digest in found.inputs.items():
        first, _, rest = name.partition("/")
        root = roots.get(first)
        places = [Path(os.path.normpath(root / rest)) if rest else root] if root is not None else []
        if name in kinds:
            last = name.rpartition("/")[2]
            places += [folder / last for folder in (*folders, home, Path.cwd())]
            places += [other.parent / last for other in roots.values() if other is not None]
        at = next((place for place in places if place.exists()), None)
        if at is None:
            absent.append(name)
            continue
        if _sha256(at) == digest:
            same += 1
            if name in kinds:
                beside[kinds[name]] = at
        else:
            changed.append(name)
    for name in changed:
        checks.add(f"inputs/{printable(name, 200)}", False, "", "not the file that was certified: it was changed")
    for name in absent[:_SHOWN]:
        checks.add(f"inputs/{printable(name, 200)}", None, "", "not found: say with --inputs where the recordings lie")
    if len(absent) > _SHOWN:
        checks.add("inputs", None, "", f"and {len(absent) - _SHOWN} more files were not found")
    if same:
        checks.add("inputs", True, f"{same} of {len(found.inputs)} files are as certified")
    missing = set(found.recipe.beside or {}) - set(beside)
    return None if absent or changed or missing else beside


def _sha256(path: Path) -> str:
    try:
        with open_file(path) as handle:
            digest = hashlib.sha256()
            while block := handle.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    except InputError:
        return ""


def _consistent(found: Statement, documents: Mapping[str, bytes], policy: Policy | None, checks: _Checks) -> None:
    """Check that the statement says what its report says."""
    if REPORT not in documents or policy is None:
        return
    try:
        report = from_json(documents[REPORT], path=REPORT)
    except AuditkitError as error:
        checks.add("report", False, "", str(error))
        return
    model = found.predicate["submission"]["model"]
    submission = next((s for s in report.submissions if s.model == model), None)
    if submission is None:
        checks.add("report", False, "", "the report holds no submission of this name")
        return
    again = statement(
        report, submission, recipe=found.recipe, policy=found.predicate["policy"],
        files={name: found.subjects[name] for name in (REPORT, PAGE, POLICY)}, inputs=found.inputs,
        contents={name: found.subjects[name] for name in ("benchmark", "answers", "games")},
        versions=found.predicate["versions"], signer=found.predicate["signer"],
    )  # fmt: skip
    differ = differences(canonical_tree(again["predicate"]), dict(found.predicate))
    for name, said in (("seed", report.seed), ("replicates", report.method.replicates), ("level", report.method.level)):
        if getattr(found.recipe, name) != said:
            differ.append(f"recipe.{name}")
    checks.add(
        "report",
        not differ,
        "the certificate says what its report says",
        f"the certificate and its report differ in {_listed(differ)}",
    )


def canonical_tree(value: object) -> Any:
    """Return JSON data as it is once it has been written and read."""
    return strict_json(canonical(value))


def _contents(
    found: Statement, roots: Mapping[str, Path | None], beside: Mapping[str, Path], checks: _Checks
) -> Sources | None:
    """Read the recordings and check the three subjects that are no files, and that nothing else was read."""
    absent = [name for name, root in roots.items() if root is None]
    if absent:
        checks.add(
            "recordings",
            None,
            "",
            f"{printable(absent[0], 80)} was not found: say with --inputs where the recordings lie",
        )
        return None
    try:
        sources = reread(found.recipe, {name: root for name, root in roots.items() if root is not None}, beside)
    except AuditkitError as error:
        checks.add("recordings", False, "", str(error))
        return None
    read = sources.inputs()
    more = sorted(name for name, digest in read.items() if found.inputs.get(name) != digest)
    less = sorted(set(found.inputs) - set(read))
    if more or less:
        text = (
            f"was added or changed: {printable(more[0], 120)}"
            if more
            else f"is not read any more: {printable(less[0], 120)}"
        )
        checks.add("recordings", False, "", f"a file {text}")
        return None
    model = found.predicate["submission"]["model"]
    own = digests(sources.battles, model, found.predicate["benchmark"]["sha256"])
    wrong = [name for name in ("answers", "games") if own[name] != found.subjects[name]]
    wrong += ["benchmark"] if found.subjects["benchmark"] != own["benchmark"] else []
    checks.add(
        "contents",
        not wrong,
        "benchmark, answers and games are those of the recordings",
        f"not those of the recordings: {', '.join(wrong)}",
    )
    return None if wrong else sources


def _versions(found: Statement) -> str:
    """Name the versions that differ from those here, "" if none does."""
    here, there = versions(), found.predicate["versions"]
    differ = [
        f"{printable(name, 40)} {printable(there.get(name, 'none'), 60)} (here {printable(here.get(name, 'none'), 60)})"
        for name in sorted({*here, *there}) if here.get(name) != there.get(name)
    ]  # fmt: skip
    return ", ".join(differ)


def _recompute(
    found: Statement, sources: Sources, policy: Policy, documents: Mapping[str, bytes], used: str, checks: _Checks,
    progress: Progress,
) -> None:  # fmt: skip
    """Make report, page and statement again and compare them byte for byte."""
    model = found.predicate["submission"]["model"]
    try:
        _, again, made = statements(sources, found.recipe, policy, [model], found.predicate["signer"], progress)
    except (AuditkitError, KeyError) as error:
        checks.add("recompute", False, "", f"the report cannot be made again: {printable(error, 200)}")
        return
    because = f"; it was made with other versions: {used}" if used else ""
    if REPORT in documents and again[REPORT] != documents[REPORT]:
        differ = differences(strict_json(again[REPORT]), strict_json(documents[REPORT]))
        checks.add("recompute", False, "", f"the report made again differs in {_listed(differ)}{because}")
        return
    for name in (REPORT, PAGE):
        if hashlib.sha256(again[name]).hexdigest() != found.subjects[name]:
            checks.add("recompute", False, "", f"{name} made again is not the one that was certified{because}")
            return
    own = {**made[model]["predicate"], "versions": found.predicate["versions"]}
    differ = differences(canonical_tree(own), dict(found.predicate))
    subjects = {s["name"]: s["digest"]["sha256"] for s in made[model]["subject"]}
    differ += [f"subject {name}" for name in sorted(found.subjects) if subjects.get(name) != found.subjects[name]]
    checks.add(
        "recompute", not differ, "every number was made again from the recordings; report, page and certificate are the same bytes",
        f"the certificate made again differs in {_listed(differ)}{because}",
    )  # fmt: skip


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Return the places, as ``a.b[3]``, at which two trees of JSON data differ; numbers with how far."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = list(dict.fromkeys([*one, *other]))
        found = [_step(where, key) for key in keys if (key in one) != (key in other)]
        return found + [
            d
            for key in keys
            if key in one and key in other
            for d in differences(one[key], other[key], _step(where, key))
        ]
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return [f"{where} ({len(other)} items, now {len(one)})"]
        return [d for i, pair in enumerate(zip(one, other, strict=True)) for d in differences(*pair, f"{where}[{i}]")]
    if type(one) is type(other) and one == other:
        return []
    if isinstance(one, int | float) and isinstance(other, int | float):
        return [f"{where} ({other!r}, now {one!r})"]
    return [where]


def _step(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _listed(differ: Sequence[str]) -> str:
    more = f" and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
    return ", ".join(printable(d, 120) for d in differ[:_SHOWN]) + more
