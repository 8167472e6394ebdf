"""The certificate of one submission: an in-toto Statement v1 on what was audited, and what the audit found.

The subjects are the bytes that the statement is about, by SHA-256: the report and its page, the policy, every file that
was read, and three that hold whatever file they are kept in (the benchmark's prompts, the submission's answers, its
games). The predicate, of type `PREDICATE_TYPE`, repeats from the report what a reader wants to know, and holds all that
is needed to make the report again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final

from auditkit.errors import printable
from auditkit.reports.report import Report, SubmissionReport, plain

__all__ = [
    "MOST_REPLICATES",
    "PAGE",
    "POLICY",
    "PREDICATE_TYPE",
    "REPORT",
    "STATEMENT_TYPE",
    "Recipe",
    "Source",
    "Statement",
    "expiry",
    "parse_statement",
    "statement",
]

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
#: A name, not an address: nothing is looked up.
PREDICATE_TYPE: Final = "urn:auditkit:gameability/v1"
REPORT: Final = "report.json"
PAGE: Final = "report.html"
POLICY: Final = "policy.toml"
#: Subjects that are not files: what they hash is defined by `auditkit.sources.digests`.
CONTENTS: Final = ("benchmark", "answers", "games")
_INPUTS: Final = "inputs/"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MOST_SUBJECTS: Final = 100_000
#: What the command line allows: a certificate of a stranger must not keep a machine busy for days.
MOST_REPLICATES: Final = 100_000
_UP: Final = 2
_LONGEST_NAME: Final = 4096
_LONGEST_PART: Final = 255
_PREDICATE: Final = frozenset({
    "submission", "policy", "benchmark", "judge", "scores", "gates", "quality", "position", "detectors", "attacks",
    "null_floor", "gameability", "ranks", "issued", "expires", "recipe", "versions", "signer",
})  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One recording that was given: the last part of its path, and whether its models are certified or only compared."""

    name: str
    certified: bool = True


@dataclass(frozen=True)
class Recipe:
    """What is needed to make the report again from the same files.

    Attributes:
        sources: The recordings, in the order in which they were given.
        beside: By kind (``calibration``): the file that a control used beside the recordings, by its name among the inputs.
        created: The report's date.
        seed, replicates, level, strong_weight: As in `auditkit.records.Settings`.
        format: The format that was forced; "": recognised.
        keep_going: Were recordings that cannot be read left out?
    """

    sources: tuple[Source, ...]
    created: str
    seed: int
    replicates: int
    level: float
    strong_weight: float
    format: str = ""
    keep_going: bool = False
    beside: Mapping[str, str] | None = None

    def command(self, policy: str) -> str:
        """Return the command that makes the report again where the recordings lie in this folder."""
        import shlex

        words = ["auditkit", "certify", *(s.name for s in self.sources if s.certified)]
        for source in self.sources:
            words += [] if source.certified else ["--benchmark", source.name]
        words += ["--format", self.format] if self.format else []
        words += ["--keep-going"] if self.keep_going else []
        words += ["--policy", policy, "--seed", str(self.seed), "--replicates", str(self.replicates)]
        return shlex.join([*words, "--level", f"{self.level:g}"])


@dataclass(frozen=True)
class Statement:
    """A parsed statement: SHA-256 by the subject's name, and the predicate."""

    subjects: Mapping[str, str]
    predicate: Mapping[str, Any]
    recipe: Recipe

    @property
    def inputs(self) -> Mapping[str, str]:
        """SHA-256 of the files that were read, by their name."""
        return {k.removeprefix(_INPUTS): v for k, v in self.subjects.items() if k.startswith(_INPUTS)}


def expiry(created: str, days: int) -> str:
    """Return the moment at which a certificate of this date ends."""
    return (datetime.fromisoformat(created) + timedelta(days=days)).isoformat(timespec="seconds")


def statement(
    report: Report,
    submission: SubmissionReport,
    *,
    recipe: Recipe,
    policy: Mapping[str, Any],
    files: Mapping[str, str],
    inputs: Mapping[str, str],
    contents: Mapping[str, str],
    versions: Mapping[str, Any],
    signer: str,
) -> dict[str, Any]:
    """Return the statement on one submission of a report, as JSON data.

    Args:
        report: The report.
        submission: The one of its submissions that the statement is about.
        recipe: How the report was made.
        policy: ``name``, ``version``, ``sha256`` and ``days``.
        files: SHA-256 of `REPORT`, `PAGE` and `POLICY`.
        inputs: SHA-256 of every file that was read.
        contents: SHA-256 of the three of `CONTENTS`.
        versions: Of what made the numbers.
        signer: The public key that signs, in hex; "": nobody does.
    """
    digests = {**contents, **files, **{_INPUTS + name: digest for name, digest in inputs.items()}}
    subjects = [{"name": name, "digest": {"sha256": digest}} for name, digest in digests.items()]
    found = plain(submission, "submission")
    predicate = {
        "submission": {"model": found["model"], "n": found["n"], "verdict": found["verdict"], "reasons": found["reasons"]},
        "policy": dict(policy),
        "benchmark": plain(report.benchmark, "benchmark"),
        "judge": plain(report.judge, "judge"),
        "scores": found["scores"],
        "gates": plain(report.harness, "harness"),
        "quality": found["quality"],
        "position": found["position"],
        "detectors": [
            {key: d[key] for key in ("detector", "flag", "severity", "statistic", "threshold", "p_value", "n")}
            for d in found["detectors"]
        ],
        "attacks": [
            {key: a[key] for key in ("attack", "family", "access", "calls", "uplift", "lower_bound", "upper_bound", "n", "held_out")}
            for a in found["attacks"]
        ],
        "null_floor": found["null_floor"],
        "gameability": found["gameability"],
        "ranks": found["ranks"],
        "issued": recipe.created,
        "expires": expiry(recipe.created, int(policy["days"])),
        "recipe": {**asdict(recipe), "sources": [asdict(s) for s in recipe.sources], "beside": dict(recipe.beside or {})},
        "versions": dict(versions),
        "signer": signer,
    }  # fmt: skip
    return {"_type": STATEMENT_TYPE, "subject": subjects, "predicateType": PREDICATE_TYPE, "predicate": predicate}


def parse_statement(tree: Any) -> Statement:
    """Check the form of a statement.

    Raises:
        ValueError: Another type, a subject without a digest or with a name that leads away, a field that is missing or
            not known.
    """
    if not isinstance(tree, dict) or set(tree) != {"_type", "subject", "predicateType", "predicate"}:
        raise ValueError("not an in-toto statement: expected exactly _type, subject, predicateType and predicate")
    for key, wanted in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if tree[key] != wanted:
            raise ValueError(f"{key} is {printable(tree[key], 60)!r}, not {wanted!r}")
    predicate = tree["predicate"]
    if not isinstance(predicate, dict) or set(predicate) != _PREDICATE:
        odd = sorted(set(predicate) ^ _PREDICATE) if isinstance(predicate, dict) else []
        raise ValueError(f"the predicate has not the fields that it should have: {printable(', '.join(odd), 120)}")
    subjects = _subjects(tree["subject"])
    try:
        recipe = _recipe(predicate["recipe"])
        for key in ("issued", "expires"):
            if datetime.fromisoformat(predicate[key]).tzinfo is None:
                raise ValueError(key)
        wrong = not isinstance(predicate["signer"], str) or not isinstance(predicate["versions"], dict)
        if wrong or not isinstance(predicate["submission"]["model"], str):
            raise ValueError("signer")
        _text(predicate["submission"]["verdict"], predicate["gameability"]["grade"])
        _text(*(predicate["policy"][key] for key in ("name", "version", "sha256")), predicate["benchmark"]["sha256"])
        days = predicate["policy"]["days"]
        if recipe.created != predicate["issued"] or expiry(recipe.created, days) != predicate["expires"]:
            raise ValueError("its dates are not those that its policy gives")
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"the predicate cannot be used: {printable(error, 80)}") from None
    return Statement(subjects, predicate, recipe)


def _text(*values: object) -> None:
    if not all(isinstance(value, str) for value in values):
        raise ValueError("a text is missing")


def _subjects(listed: object) -> dict[str, str]:
    if not isinstance(listed, list) or len(listed) > _MOST_SUBJECTS:
        raise ValueError("expected a list of subjects")
    found: dict[str, str] = {}
    for subject in listed:
        if not isinstance(subject, dict) or set(subject) != {"name", "digest"}:
            raise ValueError("a subject has exactly name and digest")
        name, digest = subject["name"], subject["digest"]
        if not isinstance(name, str) or not isinstance(digest, dict) or set(digest) != {"sha256"}:
            raise ValueError("a subject has a name and its SHA-256, and no weaker digest")
        if not isinstance(digest["sha256"], str) or not _SHA256.fullmatch(digest["sha256"]):
            raise ValueError(f"subject {printable(name, 80)!r} has no SHA-256")
        if name in found:
            raise ValueError(f"subject {printable(name, 80)!r} is there twice")
        if name.startswith(_INPUTS):
            _inside(name.removeprefix(_INPUTS))
        elif name not in (*CONTENTS, REPORT, PAGE, POLICY):
            raise ValueError(f"subject {printable(name, 80)!r} is none that a certificate has")
        found[name] = digest["sha256"]
    missing = sorted({*CONTENTS, REPORT, PAGE, POLICY} - set(found))
    if missing:
        raise ValueError(f"no subject is named {', '.join(missing)}")
    return found


def _inside(name: str) -> None:
    """Refuse a name that leads elsewhere. Files beside a recording (``name/../file``) lie at most two folders up."""
    parts = name.split("/")
    rest = parts[1:]
    if len(name) > _LONGEST_NAME or max(len(part.encode()) for part in parts) > _LONGEST_PART:
        raise ValueError("the name of an input is too long for a file")
    while rest and rest[0] == ".." and len(parts) - len(rest) <= _UP:
        rest = rest[1:]
    if "\0" in name or parts[0] in ("", ".", "..") or any(p in ("", ".", "..") for p in rest):
        raise ValueError(f"the input {printable(name, 80)!r} leads away from its recording")


def _recipe(body: Mapping[str, Any]) -> Recipe:
    if set(body) != {f.name for f in fields(Recipe)}:
        raise ValueError("recipe")
    sources = tuple(Source(**source) for source in body["sources"])
    recipe = Recipe(**{**body, "sources": sources})
    _text(
        recipe.created, recipe.format, *(s.name for s in sources), *recipe.beside or {}, *(recipe.beside or {}).values()
    )
    for source in sources:
        _inside(source.name)
        if "/" in source.name or not isinstance(source.certified, bool):
            raise ValueError("a source")
    names = [source.name for source in sources]
    numbers: Sequence[object] = (recipe.seed, recipe.replicates)
    if len(set(names)) != len(names) or not names:
        raise ValueError("two sources of one name")
    if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in numbers) or not isinstance(
        recipe.keep_going, bool
    ):
        raise ValueError("a setting")
    if recipe.replicates > MOST_REPLICATES:
        raise ValueError(f"more than {MOST_REPLICATES} replicates")
    if {type(recipe.level), type(recipe.strong_weight)} - {int, float}:
        raise ValueError("a setting")
    if not 0.0 < recipe.level < 1.0 or not recipe.strong_weight > 0.0:
        raise ValueError("a setting out of range")
    return recipe
