"""Write docs/cli.md from the commands' own help. A test checks that the file is up to date."""

from __future__ import annotations

from pathlib import Path

import click

from auditkit.cli import main

HEAD = """# Commands

Written by `docs/generate_cli.py` from the commands' own help; edit that, not this page.

Progress and notes go to standard error. With `--json` or `--csv`, standard output holds the data and nothing else.
"""


def section(context: click.Context) -> str:
    """Return the section on the command of `context`."""
    return f"## {context.command_path}\n\n```text\n{context.command.get_help(context).rstrip()}\n```\n"


def page() -> str:
    """Return the whole page."""
    top = click.Context(main, info_name="auditkit", terminal_width=80, max_content_width=80, **main.context_settings)
    commands = ((name, main.get_command(top, name)) for name in main.list_commands(top))
    below = [click.Context(command, info_name=name, parent=top) for name, command in commands if command]
    return "\n".join([HEAD, *map(section, [top, *below])])


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(page(), encoding="utf-8")
