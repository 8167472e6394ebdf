"""`auditkit verify`: is a certificate what it says it is, and do its numbers follow from the games?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from auditkit.cli import options, output
from auditkit.cli.progress import showing
from auditkit.errors import printable

if TYPE_CHECKING:
    from auditkit.verify import Verification

__all__ = ["command"]

_PATH: Final = click.Path(path_type=Path)
_MARKS: Final = {"pass": "✓", "fail": "✗", "not_checked": "?", "note": "·"}
_STYLES: Final = {"pass": "green", "fail": "bold red", "not_checked": "yellow", "note": "dim"}
_SAID: Final = {
    True: "holds",
    False: "DOES NOT HOLD",
    None: "was not fully checked: nothing speaks against it, and not everything for it",
}


@click.command("verify", short_help="Check a certificate.")
@click.argument("certificate", type=_PATH)
@click.option("--pubkey", type=_PATH, metavar="FILE", help="The signer's public key: who signed it, is checked by it.")
@click.option(
    "--inputs", multiple=True, type=_PATH, metavar="PATH",
    help="A recording, or the folder that holds it. Repeat it for several.  [default: beside the certificate]",
)  # fmt: skip
@click.option("--recompute", is_flag=True, help="Make every number again from the recordings; compare byte for byte.")
@click.option("--unsigned", is_flag=True, help="Accept that nobody signed it, and check what it says all the same.")
@click.option("--met", is_flag=True, help="Also exit 1 if its verdict is rejected, 3 if not certifiable.")
@options.json_option()
@options.quiet_option()
def command(
    certificate: Path,
    pubkey: Path | None,
    inputs: tuple[Path, ...],
    recompute: bool,
    unsigned: bool,
    met: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check CERTIFICATE: its signature, its dates, and every file that it names. No network is used.

    \b
    Exit codes: 0 it holds · 1 it does not hold · 2 bad input or usage
                3 something could not be checked (no --pubkey, files not found)

    \b
    Example:
      auditkit verify out/certificate.json --pubkey signing.key.pub --recompute
    """
    from auditkit.verify import verify

    with showing(quiet) as progress:
        found = verify(
            certificate, pubkey=pubkey, inputs=inputs, recompute=recompute, unsigned=unsigned, progress=progress
        )
    code = found.exit_code
    verdict = "" if found.statement is None else str(found.statement.predicate["submission"]["verdict"])
    if met and code == 0:
        code = {"rejected": 1, "not_certifiable": 3}.get(verdict, 0)
    if as_json:
        _print_json(found, verdict, code)
    else:
        _print(found, certificate)
    click.get_current_context().exit(code)


def _print(found: Verification, path: Path) -> None:
    from rich.text import Text

    console = output.console_for()
    for check in found.checks:
        console.print(
            Text(f"{_MARKS[check.status]} ", style=_STYLES[check.status]).append(f"{check.name}: {check.text}")
        )
    console.print(Text(f"{printable(path)} {_SAID[found.holds]}", style="bold"))
    if found.holds is not False and found.statement is not None:
        predicate = found.statement.predicate
        said, benchmark = predicate["submission"], predicate["benchmark"]
        verdict = printable(said["verdict"], 20).replace("_", " ")
        about = f"{printable(said['model'], 60)} on {printable(benchmark['name'], 60)}: {verdict}"
        console.print(Text(f"{about}; grade {printable(predicate['gameability']['grade'], 20)}"))


def _print_json(found: Verification, verdict: str, code: int) -> None:
    tree = {
        "holds": found.holds,
        "exit_code": code,
        "verdict": verdict,
        "model": None if found.statement is None else found.statement.predicate["submission"]["model"],
        "checks": [{"name": c.name, "status": c.status, "text": c.text} for c in found.checks],
    }
    click.echo(json.dumps(tree, indent=2))
