"""`auditkit certify`: a decision, the documents that say why, and a certificate that anyone can check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from auditkit.cli import options, output
from auditkit.cli.files import replace_file
from auditkit.cli.progress import showing
from auditkit.errors import InputError, UsageError, printable

if TYPE_CHECKING:
    from auditkit.certify import Certified

__all__ = ["command"]

_PATH: Final = click.Path(path_type=Path)
_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_EXPORTS: Final = ("junit", "sarif", "markdown", "badge")
_DEFAULT_OUT: Final = Path("auditkit-certificate")


@click.command("certify", short_help="Decide by a policy and sign a certificate.")
@click.argument("submissions", metavar="SUBMISSION...", nargs=-1, type=_PATH)
@click.option(
    "--benchmark", multiple=True, type=_PATH, metavar="PATH",
    help="Recording of the benchmark's other submissions, to compare with. Repeat it for several.",
)  # fmt: skip
@click.option("--only", multiple=True, metavar="MODEL", help="Certify this submission alone. Repeat it for several.")
@options.policy_option()
@click.option(
    "--key", type=_PATH, metavar="FILE", envvar="AUDITKIT_KEY", help="Sign with this private key.  [env: AUDITKIT_KEY]"
)
@click.option(
    "--attacks", type=click.Choice(["none", "quick", "standard", "full"]), default="none", show_default=True,
    help="Attack the benchmark of a spec with this suite, too.",
)  # fmt: skip
@click.option("--max-cost", type=click.FloatRange(0), metavar="USD", help="The most that each spec may spend.")
@options.reading_options()
@options.settings_options()
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=_DEFAULT_OUT, show_default=True,
    help="Write certificate.json, report.json, report.html and policy.toml here.",
)  # fmt: skip
@click.option("--junit", type=_FILE, metavar="FILE", help="Write JUnit XML: one test a rule.")
@click.option("--sarif", type=_FILE, metavar="FILE", help="Write SARIF for code-scanning views.")
@click.option("--markdown", type=_FILE, metavar="FILE", help="Write Markdown for a pull request.")
@click.option("--badge", type=_FILE, metavar="FILE", help="Write a badge (SVG).")
@click.option("--export", "exports", multiple=True, metavar="NAME=FILE", help="Write by any exporter plugin.")
@click.option("--show-policy", is_flag=True, help="Print the verdict rules as TOML, ready to edit, and do no more.")
@click.option("--new-key", type=_PATH, metavar="FILE", help="Make a key pair, FILE and FILE.pub, and do no more.")
@options.json_option()
@options.quiet_option()
def command(
    submissions: tuple[Path, ...],
    benchmark: tuple[Path, ...],
    only: tuple[str, ...],
    policy: str | None,
    key: Path | None,
    attacks: str,
    max_cost: float | None,
    format_: str | None,
    keep_going: bool,
    calibration: Path | None,
    seed: int,
    replicates: int,
    level: float,
    out: Path,
    junit: Path | None,
    sarif: Path | None,
    markdown: Path | None,
    badge: Path | None,
    exports: tuple[str, ...],
    show_policy: bool,
    new_key: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Decide on SUBMISSION... by a policy, and certify it.

    SUBMISSION is a recording, as `auditkit audit` takes it (a results folder, a file or a run folder), or a spec
    (audit.toml): then its judge is asked first, as by `auditkit run`. Each submission gets a certificate that names
    everything it rests on by SHA-256; `auditkit verify` checks it on any machine.

    \b
    Exit codes: 0 policy met · 1 rejected · 2 bad input or usage · 3 not certifiable

    \b
    Example:
      auditkit certify --new-key signing.key
      auditkit certify results/ --policy strict --key signing.key --out out
      auditkit certify audit.toml --attacks quick --max-cost 20 --key signing.key
    """
    if show_policy or new_key is not None:
        if submissions or (show_policy and new_key is not None):
            raise UsageError("--show-policy and --new-key stand alone, without a submission")
        _show(policy) if show_policy else _make(new_key)
        return
    if not submissions:
        raise UsageError("no submission given: name at least one recording")
    from auditkit.certify import certify
    from auditkit.cli.live import played
    from auditkit.policy import load_policy
    from auditkit.reports.envelope import load_key

    # What is wrong with these is said before a judge is paid.
    rules = load_policy(policy)
    if key is not None:
        load_key(key)

    wanted = {"junit": junit, "sarif": sarif, "markdown": markdown, "badge": badge}
    projections = [(name, path) for name, path in wanted.items() if path] + [_export(text) for text in exports]
    settings = options.settings_of(calibration, seed, replicates, level)
    recordings = played(submissions, attacks=attacks, max_cost=max_cost, quiet=quiet)
    with showing(quiet) as progress:
        found = certify(
            *recordings, benchmark=benchmark, only=only, format=format_, settings=settings, policy=rules, key=key,
            keep_going=keep_going, progress=progress,
        )  # fmt: skip
    _write(found, out, projections)
    if as_json:
        _print_json(found, out)
    else:
        _print(found, out)
    click.get_current_context().exit(found.exit_code)


def _show(policy: str | None) -> None:
    from auditkit.policy import load_policy

    click.echo(output.toml_text(load_policy(policy).text), nl=False)


def _make(path: Path | None) -> None:
    from auditkit.reports.envelope import new_key

    if path is not None:
        made = new_key(path)
        click.echo(f"private key: {printable(path)} (keep it to yourself)")
        click.echo(f"public key:  {printable(path)}.pub (hand it out), id {made.id[:16]}")


def _export(text: str) -> tuple[str, Path]:
    from auditkit import registry

    name, _, path = text.partition("=")
    if not path:
        raise UsageError(f"--export wants NAME=FILE, got {printable(text, 80)!r}")
    registry.find("exporters", name)
    return name, Path(path)


def _write(found: Certified, out: Path, projections: list[tuple[str, Path]]) -> None:
    from auditkit import registry

    files = {out / name: data.decode() for name, data in found.documents.items()}
    files |= {out / c.name: c.data.decode() for c in found.certificates}  # last: they name what is already there
    files |= {path: registry.find("exporters", name).load()(found.selected) for name, path in projections}
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", path=path, mend="choose another place") from None
    stale = {p.name for p in out.glob("certificate*.json")} - {c.name for c in found.certificates}
    for name in sorted(stale):
        click.echo(f"note: {printable(out / name)} is of another run: its report is no longer here", err=True)


def _print(found: Certified, out: Path) -> None:
    from rich.text import Text

    console = output.console_for()
    for s in found.selected.submissions:
        line = Text(f"{printable(s.model, 60)}: ").append(s.verdict.replace("_", " "), style=output.STYLES[s.verdict])
        console.print(line)
        for r in s.reasons:
            if r.status in ("fail", "warn"):
                console.print(Text(f"  {output.MARKS[r.status]} {r.text[:1].upper()}{r.text[1:]}"))
        if s.verdict == "certified":
            console.print(Text(f"  {output.MARKS['pass']} No rule of the policy found anything against this score."))
    signed = f"signed by {found.signer[:16]}" if found.signer else "NOT SIGNED: nobody vouches for it (see --key)"
    console.print(Text(f"policy {found.report.method.policy}; valid until {found.expires}; {signed}"))
    for c in found.certificates:
        click.echo(f"certificate: {printable(out / c.name, output.LONGEST_PATH)}")


def _print_json(found: Certified, out: Path) -> None:
    import json

    from auditkit.reports.report import plain

    names = {c.model: str(out / c.name) for c in found.certificates}
    tree = {
        "exit_code": found.exit_code,
        "policy": found.report.method.policy,
        "expires": found.expires,
        "signer": found.signer,
        "submissions": [
            {
                "model": s.model, "verdict": s.verdict, "grade": s.gameability.grade, "certificate": names[s.model],
                "reasons": s.reasons,
            } for s in found.selected.submissions
        ],
    }  # fmt: skip
    click.echo(json.dumps(plain(tree, "decision"), indent=2))
