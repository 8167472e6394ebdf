"""The command line: one file a command, each parses, calls the library once and renders."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import Any, Final

import click

from auditkit.errors import AuditkitError, printable

__all__ = ["Commands", "main"]

#: Command name -> module of this package; the command is the module's attribute `command`.
_COMMANDS: Final = {
    "attack": "attack",
    "audit": "audit",
    "build": "build",
    "certify": "certify",
    "claim": "claim",
    "compare": "compare",
    "contamination": "contamination",
    "convert": "convert",
    "demo": "demo",
    "judges": "judges",
    "leaderboard": "leaderboard",
    "link": "link",
    "plugins": "plugins",
    "quality": "quality",
    "run": "run",
    "stress": "stress",
    "verify": "verify",
}


class Failure(click.ClickException):
    """One line on standard error and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it on the class, and reads it here

    def show(self, file: Any = None) -> None:
        click.echo(f"auditkit: {printable(self.message, len(self.message))}", err=True)


class Commands(click.Group):
    """A group whose commands are imported when asked for, and whose errors are one line each."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"auditkit.cli.{_COMMANDS[cmd_name]}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AuditkitError as error:
            raise Failure(str(error), error.exit_code) from error
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nothing more to say
            ctx.exit(0)
        except KeyboardInterrupt:
            raise Failure("interrupted; nothing was written that is not complete", 4) from None
        except MemoryError:
            raise Failure("out of memory: audit fewer files at once", 4) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
                raise Failure(f"{printable(error.filename)}: the name is too long", 2) from None
            if os.environ.get("AUDITKIT_DEBUG"):
                raise
            text = printable(f"{type(error).__name__}: {error}", 300)
            raise Failure(f"internal error, please report it: {text} (AUDITKIT_DEBUG=1 shows where)", 4) from error


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"auditkit {version('judge-auditkit')}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def main() -> None:
    """Audit LLM-judge benchmarks: can this score be believed?

    \b
    Exit codes: 0 done, policy met · 1 policy not met · 2 bad input or usage
                3 inconclusive (too little data) · 4 could not run to the end
    """
