"""`auditkit stress`: what breaks a judge, what its verdicts are worth, and what to change in its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from auditkit.cli import options, output
from auditkit.cli.attack import attack_options, plan_of

__all__ = ["command"]


@click.command("stress", short_help="Stress-test a judge: what breaks it?")
@click.argument("judge")
@click.option(
    "--model", default="", metavar="CLIENT/MODEL", help="The judge's model.  [default: the one its file names]"
)
@click.option("--base-url", default="", metavar="URL", help="Its address, if not the provider's own.")
@click.option("--against", default="", metavar="JUDGE", help="A second judge, on the same pairs: is it better?")
@click.option("--against-model", default="", metavar="CLIENT/MODEL", help="Its model.  [default: the first judge's]")
@click.option("--against-url", default="", metavar="URL", help="Its address.")
@click.option(
    "--prompts",
    type=click.Path(path_type=Path, exists=True),
    help="Pairs with a known answer: JSON Lines with prompt, right, wrong, or a recording (LLMBar, JudgeBench …).",
)
@click.option(
    "--pairs", type=click.IntRange(2), metavar="N",
    help="How many pairs are played.  [default: 24 of ours, all of your own]",
)  # fmt: skip
@click.option(
    "--probes",
    type=click.Choice(["core", "all", "none"]),
    default="core",
    show_default=True,
    help="Bias probes, each beside its noise control.",
)
@click.option("--harden", is_flag=True, help="Try stacks of defences and write the judge file that holds best.")
@attack_options("quick")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("auditkit-stress"),
    show_default=True,
    help="Write stress.json, stress.html and the store here.",
)
@click.option("--store", default="", metavar="URL", help="Another store: a path, or postgresql://…")
@click.option("--concurrency", type=click.IntRange(1), default=64, show_default=True, help="Most calls at once.")
@click.option("--max-cost", type=click.FloatRange(0), metavar="USD", help="Stop before this start spends more.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked and what it would cost; ask nobody.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of every random draw.")
@click.option(
    "--level", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True, help="Level of every interval."
)
@options.json_option()
@options.quiet_option()
def command(
    judge: str,
    model: str,
    base_url: str,
    against: str,
    against_model: str,
    against_url: str,
    prompts: Path | None,
    pairs: int | None,
    probes: Literal["core", "all", "none"],
    harden: bool,
    out: Path,
    store: str,
    concurrency: int,
    max_cost: float | None,
    dry_run: bool,
    seed: int,
    level: float,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Stress-test JUDGE, an installed judge or a judge file: gates, attacks, bias probes, accuracy.

    The wrong answers of pairs with a known answer are attacked: whatever an attack gains is unearned. Exit code 1 if
    a harness gate fails or an attack surely gains, 3 if the data cannot tell, 0 if neither; with --against, by what
    the second judge does.

    \b
    Examples:
      auditkit stress my-judge.toml --model local/smollm2-135m
      auditkit stress a.toml --against b.toml --model openai/gpt-4.1 --max-cost 5
    """
    from auditkit.cli import running
    from auditkit.cli.stress_output import deliver
    from auditkit.judging.runspec import RunSettings
    from auditkit.records import Settings
    from auditkit.stress import StressPlan, dry_run_stress, exit_code, stress

    plan = StressPlan(
        model=model, base_url=base_url, against=against, against_model=against_model, against_url=against_url,
        pairs=pairs, prompts=prompts, probes=probes, harden=harden, attacks=plan_of(given),
    )  # fmt: skip
    if dry_run:
        running.show_forecast(dry_run_stress(judge, plan, seed), as_json=as_json)
        return
    with running.resumable(output.command_line()), running.following(quiet) as listener:
        report = stress(
            judge, plan, out=out, settings=Settings(seed=seed, level=level),
            limits=RunSettings(concurrency=concurrency, max_cost=max_cost, seed=seed, store=store),
            listener=listener, command=output.command_line(),
        )  # fmt: skip
    deliver(report, out=out, as_json=as_json)
    click.get_current_context().exit(exit_code(report))
