"""`auditkit certify`: today, show the verdict rules that an audit applies."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("certify")
@click.option("--show-policy", is_flag=True, required=True, help="Print the verdict rules as TOML, ready to edit.")
@click.option(
    "--policy", type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Check this policy file and print it instead of the built-in one.",
)  # fmt: skip
def command(show_policy: bool, policy: Path | None) -> None:
    """Show the rules by which a submission is certified.

    \b
    Example:
      auditkit certify --show-policy > policy.toml
      auditkit audit results/ --policy policy.toml
    """
    from auditkit.policy import load_policy, policy_text

    load_policy(policy)
    click.echo(policy_text() if policy is None else policy.read_text(encoding="utf-8"), nl=False)
