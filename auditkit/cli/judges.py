"""`auditkit judges`: what judges there are, what they send, whether a file is a usable one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditkit.cli import options

if TYPE_CHECKING:
    from auditkit.attacks.gates import GateResult
    from auditkit.judging.spec import JudgeSpec

__all__ = ["command"]

_FILE = click.Path(path_type=Path)
#: More prompts do not find more: what counts is the template, and the kinds of prompt.
_MOST_PROMPTS = 50


@click.group("judges", short_help="List, show, check and import judges.")
def command() -> None:
    """List, show, check and import judges.

    \b
    Examples:
      auditkit judges show arena-hard-v2.0
      auditkit judges check my-judge.toml --gates
      auditkit judges import arena-hard-auto/config/arena-hard-v2.0.yaml --out judge.toml
    """


def _described(spec: JudgeSpec) -> dict[str, Any]:
    from dataclasses import asdict

    return {"schema": "auditkit.judge/1", "sha256": spec.sha256, **asdict(spec)}


@command.command("list")
@options.json_option()
def list_(as_json: bool) -> None:
    """List the installed judges."""
    import json

    from auditkit.judging.spec import judge_names, load_judge

    specs = [load_judge(name) for name in judge_names()]
    if as_json:
        keys = ("name", "title", "mode", "sha256", "source")
        click.echo(json.dumps([{key: getattr(s, key) for key in keys} for s in specs], indent=2))
    else:
        _print_list(specs)


@command.command()
@click.argument("name")
@options.json_option()
def show(name: str, as_json: bool) -> None:
    """Print judge NAME, or the judge in a TOML file, in full.

    The text printed is a judge file itself: save it, change it, and use the file.
    """
    import json

    from auditkit.judging.spec import load_judge, to_toml

    spec = load_judge(name)
    click.echo(
        json.dumps(_described(spec), indent=2) if as_json else f"# sha256 {spec.sha256}\n{to_toml(spec)}", nl=as_json
    )


@command.command()
@click.argument("judge", metavar="FILE")
@click.option("--gates", is_flag=True, help="Also try to break the harness (docs/gates.md); exit code 1 if that works.")
@click.option(
    "--cases", type=click.IntRange(0, 1_000_000), default=300, show_default=True, metavar="N",
    help="Random cases of each gate, beside the fixed ones.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the random cases.")
@click.option("--prompts", type=_FILE, metavar="FILE", help="Try the gates on these prompts.  [default: made-up ones]")
@options.json_option()
def check(judge: str, gates: bool, cases: int, seed: int, prompts: Path | None, as_json: bool) -> None:
    """Check the judge in FILE, or an installed one by name.

    Exit code 2 and one line on what is wrong if it cannot be used. With --gates, twelve tests ask whether an answer could break out of its place in the prompt, whether a quoted
    verdict counts, what happens to missing ones, and so on. No model is asked. Each failure comes with the smallest
    text that causes it and what to change in FILE.

    \b
    Examples:
      auditkit judges check my-judge.toml
      auditkit judges check my-judge.toml --gates
    """
    import json

    from auditkit.judging.spec import load_judge

    spec = load_judge(Path(judge) if Path(judge).exists() else judge)
    results = _gates(spec, cases, seed, prompts) if gates else ()
    if as_json:
        from auditkit.cli.gates import as_document

        click.echo(json.dumps(_described(spec) | ({"gates": as_document(results)} if gates else {}), indent=2))
    else:
        _print_summary(spec)
        if gates:
            from auditkit.cli.gates import print_gates

            print_gates(results)
    if any(result.status == "fail" for result in results):
        raise SystemExit(1)


def _gates(spec: JudgeSpec, cases: int, seed: int, prompts: Path | None) -> tuple[GateResult, ...]:
    from auditkit.attacks.gates import run_gates
    from auditkit.judging.inputs import read_prompts

    given = read_prompts(prompts).prompts[:_MOST_PROMPTS] if prompts is not None else ()
    return run_gates(spec, cases=cases, seed=seed, prompts=given)


@command.command("import")
@click.argument("file", type=_FILE)
@click.option(
    "--kind", metavar="NAME", help="alpaca_eval, arena_hard, fastchat or wildbench.  [default: told from FILE]"
)
@click.option("--name", metavar="NAME", help="Which prompt of a file that holds several.")
@click.option(
    "--settings", type=_FILE, metavar="FILE", help="Arena-Hard v2.0's utils/judge_utils.py.  [default: looked for]"
)
@click.option("--hardened", is_flag=True, help="Keep the words, replace rendering and parsing by auditkit's own.")
@click.option("--out", type=_FILE, metavar="FILE", help="Write the judge here instead of printing it.")
def import_(
    file: Path, kind: str | None, name: str | None, settings: Path | None, hardened: bool, out: Path | None
) -> None:
    """Read another project's judge from your clone of it.

    Without --hardened the judge renders and reads exactly as upstream does, quirks included, so that it can be
    stress-tested as it is. FILE is Arena-Hard's config/*.yaml, an AlpacaEval evaluator folder, FastChat's
    judge_prompts.jsonl or WildBench's eval_template.*.md.
    """
    from auditkit.errors import printable
    from auditkit.judging.importers import KINDS, import_judge
    from auditkit.judging.spec import to_toml

    chosen = next((k for k in KINDS if k == kind), None)
    if kind is not None and chosen is None:
        raise click.BadParameter(f"there is no kind {kind!r}; there are: {', '.join(KINDS)}", param_hint="--kind")
    spec = import_judge(file, chosen, name=name, compat=not hardened, settings=settings)
    for note in spec.notes:
        click.echo(f"note: {printable(note, 300)}", err=True)
    if out is None:
        click.echo(to_toml(spec), nl=False)
    else:
        _write(out, to_toml(spec))
        click.echo(f"judge {spec.name} written to {printable(out, 4096)}", err=True)


def _print_list(specs: list[JudgeSpec]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from auditkit.errors import printable

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ("judge", "mode", "what it is"):
        table.add_column(header, overflow="fold")
    for spec in specs:
        table.add_row(Text(printable(spec.name, 40)), spec.mode, Text(printable(spec.title, 120)))
    console = Console(highlight=False, emoji=False)
    (console if console.is_terminal else Console(highlight=False, emoji=False, width=80)).print(table)


def _print_summary(spec: JudgeSpec) -> None:
    from auditkit.errors import printable

    verdict = spec.verdict
    if verdict.scale is not None:
        means = f"{verdict.scale[0]:g} to {verdict.scale[1]:g}"
    else:
        means = ", ".join(
            f"{printable(label, 20)} = {meaning.outcome:g}" + (f" x{meaning.weight:g}" if meaning.weight != 1 else "")
            for label, meaning in verdict.labels.items()
        )
    order = f"{spec.order}, {spec.first_game} first" if spec.order == "both" else spec.order
    lines = {
        "judge": f"{spec.name}: {spec.title}",
        "source": spec.source,
        "mode": f"{spec.mode} ({order})" if spec.pairwise else spec.mode,
        "verdict": f"{verdict.parser}: {means}",
        "templates": f"{len(spec.templates)}, rendered by {spec.rendering}",
        "retries": str(spec.retries),
        "sha256": spec.sha256,
    }
    for key, text in lines.items():
        click.echo(f"{key + ':':<11}{printable(text, 300)}")
    for note in spec.notes:
        click.echo(f"note:      {printable(note, 300)}")


def _write(path: Path, text: str) -> None:
    from auditkit.cli.files import replace_file
    from auditkit.errors import InputError

    try:
        replace_file(path, text)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be written: {error}", path=path, mend="choose another --out") from None
