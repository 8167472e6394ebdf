"""`auditkit demo`: audit the recorded run that ships with auditkit."""

from __future__ import annotations

from pathlib import Path

import click

from auditkit.cli import options, output
from auditkit.cli.progress import showing

__all__ = ["command"]


@click.command("demo")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("auditkit-report"), show_default=True,
    help="Write report.json and report.html here.",
)  # fmt: skip
@options.json_option()
@options.quiet_option()
def command(out: Path, as_json: bool, quiet: bool) -> None:
    """Audit a small recorded run that ships with auditkit (a simulated judge; nothing is called).

    \b
    Example:
      auditkit demo --out out
    """
    from auditkit.audit import audit
    from auditkit.demo import recorded

    with showing(quiet) as progress:
        report = audit(recorded(), command=output.command_line(), progress=progress)
    output.deliver(report, out=out, as_json=as_json)
