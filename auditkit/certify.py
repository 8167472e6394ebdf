"""The certify job: recordings in, a decision and a signed certificate for every submission out.

The audit is that of `auditkit.audit`, on recordings alone, so that anyone who has them can make every number again
(`auditkit.verify`). Same recordings, settings, policy and ``SOURCE_DATE_EPOCH``: the same bytes, signature included.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from auditkit.audit import Progress, audit_battles, created, exit_code
from auditkit.errors import UsageError, printable
from auditkit.policy import Policy, load_policy
from auditkit.records import Settings
from auditkit.reports import render
from auditkit.reports.certificate import MOST_REPLICATES, PAGE, POLICY, REPORT, Recipe, statement
from auditkit.reports.envelope import Signer, load_key, seal
from auditkit.reports.report import Report, Verdict, to_json
from auditkit.sources import Sources, digests, gather, versions

__all__ = ["Certificate", "Certified", "certify", "statements"]

_SAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_LARGEST_SEED: Final = 2**53 - 1


@dataclass(frozen=True)
class Certificate:
    """The certificate of one submission. `name` is that of its file, `data` the file."""

    model: str
    verdict: Verdict
    name: str
    data: bytes


@dataclass(frozen=True)
class Certified:
    """What was decided, and the documents that say so.

    Attributes:
        report: Of the whole audit: what a submission is compared with belongs to it.
        selected: The same with only the submissions that were to be certified.
        documents: Content by file name: report, page and policy, which the certificates name by hash.
        certificates: One a submission.
        expires: When they end.
        signer: The public key's id; "": they are not signed.
    """

    report: Report
    selected: Report
    documents: Mapping[str, bytes]
    certificates: tuple[Certificate, ...]
    expires: str
    signer: str

    @property
    def exit_code(self) -> int:
        """1 if a submission that was to be certified is rejected, else 3 if one is not certifiable, else 0."""
        return exit_code(self.selected)


def _quiet(stage: str, done: int, total: int) -> None:
    pass


def certify(
    *paths: Path | str,
    benchmark: Sequence[Path | str] = (),
    only: Collection[str] = (),
    format: str | None = None,  # noqa: A002  the field's word, and the option's name
    settings: Settings | None = None,
    policy: Policy | Path | str | None = None,
    key: Path | None = None,
    keep_going: bool = False,
    progress: Progress = _quiet,
) -> Certified:
    """Audit submissions and certify what was decided.

    Args:
        paths: Recordings of the submissions: results folders, files or run folders.
        benchmark: Recordings of the benchmark's other submissions, with which these are compared; not certified.
        only: Certify these submissions alone; empty: all of `paths`.
        format: Force this format instead of recognising it.
        settings: Confidence level, bootstrap replicates, seed, calibration file.
        policy: A policy, its file, or the name of a built-in one; None: the built-in standard policy.
        key: The private key's file; None: the certificates are not signed.
        keep_going: Leave out recordings that cannot be read, with a note each.
        progress: Told of every finished step.

    Returns:
        Report, documents and certificates. Nothing is written.

    Raises:
        InputError: A recording, the policy or the key cannot be used.
        UsageError: No path, a submission that is not there, a recording of judges, or a seed or number of replicates that is too large.
    """
    settings = settings or Settings()
    if settings.seed > _LARGEST_SEED:
        raise UsageError(f"a certificate can hold seeds up to {_LARGEST_SEED}")
    if settings.replicates > MOST_REPLICATES:
        raise UsageError(f"a certificate can hold up to {MOST_REPLICATES} replicates")
    signer = None if key is None else load_key(key)
    rules = policy if isinstance(policy, Policy) else load_policy(policy)
    progress("reading", 0, 1)
    sources = gather(paths, benchmark, format=format, keep_going=keep_going, calibration=settings.calibration)
    progress("reading", 1, 1)
    if sources.battles.benchmark.subject == "judge":
        raise UsageError("these recordings measure judges: there is no submission to certify (see `auditkit audit`)")
    models = _chosen(sources, only)
    recipe = Recipe(
        sources.listed, created(), settings.seed, settings.replicates, float(settings.level), float(settings.strong_weight),
        format or "", keep_going, sources.beside_names(),
    )  # fmt: skip
    report, documents, found = statements(sources, recipe, rules, models, signer, progress)
    by_model = {s.model: s for s in report.submissions}
    names = _names(models)
    return Certified(
        report,
        replace(report, submissions=tuple(by_model[m] for m in models)),
        documents,
        tuple(Certificate(m, by_model[m].verdict, names[m], seal(found[m], signer)) for m in models),
        str(next(iter(found.values()))["predicate"]["expires"]),
        "" if signer is None else signer.public.id,
    )


def statements(
    sources: Sources,
    recipe: Recipe,
    policy: Policy,
    models: Sequence[str],
    signer: Signer | str | None,
    progress: Progress = _quiet,
) -> tuple[Report, dict[str, bytes], dict[str, dict[str, Any]]]:
    """Make the report of a recipe, its documents, and the statement on each of `models`.

    Args:
        sources: The recordings, read.
        recipe: How the report is made.
        policy: The verdict rules.
        models: The submissions.
        signer: Who signs, or their public key in hex.
        progress: Told of every finished step.
    """
    settings = Settings(
        level=recipe.level, replicates=recipe.replicates, seed=recipe.seed, strong_weight=recipe.strong_weight,
        calibration=sources.beside.get("calibration"),
    )  # fmt: skip
    report = audit_battles(
        sources.battles, settings=settings, policy=policy, command=recipe.command(POLICY), progress=progress
    )
    report = sources.relabel(replace(report, created=recipe.created))
    documents = {
        REPORT: to_json(report).encode(), PAGE: render(report).encode(), POLICY: policy.text.encode(),
    }  # fmt: skip
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in documents.items()}
    public = signer.public.hex if isinstance(signer, Signer) else signer or ""
    inputs, used = sources.inputs(), versions()
    by_model = {s.model: s for s in report.submissions}
    found = {
        model: statement(
            report, by_model[model], recipe=recipe, files=hashes, inputs=inputs, versions=used, signer=public,
            policy={"name": policy.name, "version": policy.version, "sha256": policy.sha256, "days": policy.days},
            contents=digests(sources.battles, model, report.benchmark.sha256),
        )
        for model in models
    }  # fmt: skip
    return report, documents, found


def _chosen(sources: Sources, only: Collection[str]) -> list[str]:
    have = [model for model in sources.battles.models if model in sources.models]
    unknown = sorted(set(only) - set(have))
    if unknown:
        shown = ", ".join(printable(m, 60) for m in have[:12])
        raise UsageError(f"no submission is named {printable(unknown[0], 60)!r}; there are: {shown or 'none'}")
    chosen = [model for model in have if not only or model in only]
    if not chosen:
        raise UsageError("there is no submission to certify in these recordings")
    return chosen


def _names(models: Sequence[str]) -> dict[str, str]:
    """Return a file name for each certificate: plain characters only, none twice whatever a submission is called."""
    if len(models) == 1:
        return {models[0]: "certificate.json"}
    names: dict[str, str] = {}
    for model in models:
        plain = _SAFE.sub("-", model)[:60].strip("-.")
        if plain != model or any(plain.casefold() == m.casefold() for m in models if m != model):
            plain = f"{plain}-{hashlib.sha256(model.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}".lstrip("-")
        names[model] = f"certificate-{plain}.json"
    return names
