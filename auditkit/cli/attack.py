"""`auditkit attack`: what an adversary could make of a benchmark's scores, into the report of every submission."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from auditkit.cli import options, output
from auditkit.errors import AuditkitError, UsageError

__all__ = ["attack_options", "command", "plan_of"]

F = TypeVar("F", bound=Callable[..., Any])


def attack_options(suite: str) -> Callable[[F], F]:
    """Options on which attacks are played, and within which budget; `suite` is the default one."""
    return options.stack(
        click.option(
            "--suite", type=click.Choice(["quick", "standard", "full"]), default=suite, show_default=True,
            help="quick: one or two a family; standard: all that ask nobody; full: searches and rewriters too.",
        ),
        click.option(
            "--attack", "only", multiple=True, metavar="NAME", help="Only this attack or family; may be given again."
        ),
        click.option(
            "--access", type=click.Choice(["none", "verdict", "score", "logprob", "model"]), default="model",
            show_default=True, help="The most that the attacker has of the judge.",
        ),
        click.option("--attacker", default="", metavar="CLIENT/MODEL", help="Model for attacks that write."),
        click.option("--attacker-url", default="", metavar="URL", help="Its address, if not the provider's own."),
        click.option(
            "--adaptive/--full-grid", default=None,
            help="Spend judge calls where they decide.  [default: full grid, adaptive with a --budget]",
        ),
        click.option("--budget", type=click.IntRange(1), metavar="CALLS", help="Most judge calls for playing attacks."),
        click.option("--search-calls", type=click.IntRange(1), metavar="CALLS", help="Most judge calls of one search."),
        click.option(
            "--search-share", type=click.FloatRange(0.05, 0.95), default=0.25, show_default=True,
            help="Share of the prompts that searches see; they do not count.",
        ),
    )  # fmt: skip


def plan_of(given: dict[str, Any], carrier: str = "") -> Any:
    """Return the `auditkit.attack.AttackPlan` that the options ask for, taking them out of `given`."""
    from auditkit.attacks.plan import AttackPlan

    names = ("suite", "access", "attacker", "attacker_url", "adaptive", "budget", "search_calls", "search_share")
    chosen = {name: given.pop(name) for name in names}
    if chosen["adaptive"] is False and chosen["budget"] is not None:
        raise UsageError("--budget cannot cut --full-grid: there every attack meets every prompt")
    return AttackPlan(only=given.pop("only"), carrier=carrier, **{**chosen, "adaptive": bool(chosen["adaptive"])})


@click.command("attack", short_help="Attack a benchmark's judge and audit it.")
@click.argument("spec", type=click.Path(path_type=Path, dir_okay=False, exists=True, readable=True))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="The run folder.  [default: runs/ and SPEC's name]"
)
@click.option(
    "--carrier", default="", metavar="NAME", help="The submission whose answers are attacked.  [default: the first]"
)
@attack_options("standard")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N prompts.")
@click.option("--max-cost", type=click.FloatRange(0), metavar="USD", help="Stop before this start spends more.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked and what it would cost; ask nobody.")
@click.option("--seed", type=click.IntRange(0), help="Seed of every random draw.")
@options.json_option()
@options.quiet_option()
def command(
    spec: Path,
    out: Path | None,
    carrier: str,
    limit: int | None,
    max_cost: float | None,
    dry_run: bool,
    seed: int | None,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Attack the benchmark of SPEC (audit.toml), and audit it: how far can its scores be gamed?

    The benchmark is run first, as far as it was not. Then the answers of one submission are changed by every attack of
    the suite and judged again. The same command, made again, goes on where an earlier start stopped.

    \b
    Examples:
      auditkit attack audit.toml --dry-run
      auditkit attack audit.toml --suite quick --adaptive --max-cost 5
    """
    from auditkit.attack import attack, dry_run_attack
    from auditkit.audit import audit, exit_code
    from auditkit.cli import running
    from auditkit.cli.progress import showing

    plan = plan_of(given, carrier)
    flags = {"max_cost": max_cost, "seed": seed}
    if dry_run:
        running.show_forecast(dry_run_attack(spec, plan, out=out, flags=flags, limit=limit), as_json=as_json)
        return
    with running.resumable(output.command_line()), running.following(quiet) as listener:
        done = attack(spec, plan, out=out, flags=flags, limit=limit, listener=listener)
    if not done.complete:
        raise AuditkitError(running.why_incomplete(done.run, output.command_line()))
    with showing(quiet) as progress:
        report = audit(done.folder, command=output.command_line(), progress=progress)
    output.deliver(report, out=done.folder, as_json=as_json)
    click.get_current_context().exit(exit_code(report))
