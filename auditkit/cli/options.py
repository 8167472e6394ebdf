"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from auditkit.records import Settings

__all__ = [
    "json_option",
    "policy_option",
    "quiet_option",
    "reading_options",
    "settings_of",
    "settings_options",
    "stack",
]

F = TypeVar("F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True, readable=True)


def stack(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that applies all of these, shown in this order."""

    def apply(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


def reading_options() -> Callable[[F], F]:
    """Options on how inputs are read."""
    return stack(
        click.option("--format", "format_", metavar="NAME", help="Read as this format instead of recognising it."),
        click.option("--keep-going", is_flag=True, help="Leave out paths that cannot be read, with a note each."),
    )


def settings_options() -> Callable[[F], F]:
    """Options on how numbers are made."""
    return stack(
        click.option(
            "--calibration", type=_FILE, metavar="CSV",
            help="AlpacaEval's df_gamed.csv; looked for beside the results if not given.",
        ),
        click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of every random draw."),
        click.option(
            "--replicates", type=click.IntRange(50, 100_000), default=1000, show_default=True,
            help="Prompt-bootstrap refits behind an interval.",
        ),
        click.option(
            "--level", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True,
            help="Confidence level of every interval.",
        ),
    )  # fmt: skip


def settings_of(calibration: Path | None, seed: int, replicates: int, level: float) -> Settings:
    """Return the settings that the options ask for."""
    from auditkit.records import Settings

    return Settings(level=level, replicates=replicates, seed=seed, calibration=calibration)


def policy_option() -> Callable[[F], F]:
    """The option that names the verdict rules."""
    return click.option(
        "--policy", metavar="NAME|FILE",
        help="Verdict rules: strict, standard, lenient, or a TOML file.  [default: standard]",
    )  # fmt: skip


def json_option() -> Callable[[F], F]:
    """The option that puts machine-readable output, and nothing else, on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output and nothing else there.")


def quiet_option() -> Callable[[F], F]:
    """The option that silences progress."""
    return click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
