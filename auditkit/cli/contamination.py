"""`auditkit contamination`: are the prompts of A in B?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from auditkit.cli import options

__all__ = ["command"]

_SHOWN = 20


@click.command("contamination", short_help="Look for a benchmark's prompts elsewhere.")
@click.argument("a", type=click.Path(path_type=Path, exists=True))
@click.argument("b", type=click.Path(path_type=Path, exists=True))
@click.option("--near", type=click.FloatRange(0.4, 1), default=0.7, show_default=True, help="Near-duplicate from here.")
@options.json_option()
def command(a: Path, b: Path, near: float, as_json: bool) -> None:
    """Look for the prompts of A (a benchmark) in B (another one, or what a model was trained on).

    A prompt is found if B holds the same text, a near-duplicate, or a prompt that shares a run of 13 words with it.

    \b
    Example:
      auditkit contamination bench/question.jsonl train.jsonl
    """
    from auditkit.bench.compare import compare
    from auditkit.errors import printable

    found = compare(a, b, near=near)
    if as_json:
        body = {**asdict(found), "by_test": found.by_test, "share": found.share}
        click.echo(json.dumps(body, indent=2, sort_keys=True))
        return
    for hit in found.hits[:_SHOWN]:
        click.echo(f"{hit.test:<8} {hit.value:.2f}  {printable(hit.place, 40)}  in {printable(hit.found, 40)}")
    if len(found.hits) > _SHOWN:
        click.echo(f"… and {len(found.hits) - _SHOWN} more (--json lists all)")
    told = ", ".join(f"{n} {test}" for test, n in found.by_test.items())
    click.echo(
        f"{len(found.hits)} of {found.prompts} prompts ({100 * found.share:.1f}%) are in B: {told}; B holds {found.against} prompts"
    )
