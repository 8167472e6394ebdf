"""`auditkit plugins`: what is installed, from which distribution."""

from __future__ import annotations

import click

from auditkit.cli import options

__all__ = ["command"]


@click.command("plugins", short_help="List plugins and where they come from.")
@click.argument("group", required=False)
@options.json_option()
def command(group: str | None, as_json: bool) -> None:
    """List the plugins of GROUP (controls, detectors, formats …), or of all groups.

    \b
    Example:
      auditkit plugins detectors
    """
    import json

    from auditkit.cli import output
    from auditkit.registry import GROUPS, plugins

    chosen = [g for g in GROUPS if group in (None, g)]
    if not chosen:
        raise click.BadParameter(f"there is no group {group!r}; there are: {', '.join(GROUPS)}", param_hint="GROUP")
    found = [plugin for g in chosen for plugin in plugins(g).values()]
    if as_json:
        keys = ("group", "name", "distribution", "version", "summary")
        click.echo(json.dumps([{key: getattr(p, key) for key in keys} for p in found], indent=2))
    else:
        output.plugin_table(found)
