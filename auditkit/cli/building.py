"""How a build's settings are read from the command line, and how its result shows itself."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from auditkit.errors import printable

if TYPE_CHECKING:
    from pathlib import Path

    from auditkit.bench.record import Reason, Refresh
    from auditkit.bench.settings import BuildSettings
    from auditkit.build import BuildResult

__all__ = ["name_of", "settings_of", "show"]


def name_of(out: Path, since: Path | None) -> str:
    """Return the name of a benchmark that was given none: that of the version before, or of its folder."""
    from auditkit.bench.refresh import read_release

    return out.name if since is None else read_release(since).name


def settings_of(name: str, since: Path | None, given: dict[str, Any]) -> BuildSettings:
    """Return the settings that the options of `auditkit build` ask for."""
    from auditkit.bench.settings import Annotator, BuildSettings

    url = given.pop("annotator_url")
    annotator, second, second_url, namer = (given.pop(key) for key in ("annotator", "second", "second_url", "namer"))
    evolver, evolver_url, evolve = (given.pop(key) for key in ("evolver", "evolver_url", "evolve"))
    if evolve is None:
        evolve = given["clusters"] * given["per_cluster"] // 10 if evolver else 0
    told = {
        **given,
        "since": str(since) if since else "",
        "evolver": Annotator(evolver, evolver_url) if evolver else None,
        "evolve": evolve,
        "redact": not given.pop("no_redact"),
        "recorded": given.pop("annotations"),
        "first": Annotator(annotator or "", url if annotator else ""),
        "second": Annotator(second, second_url) if second else None,
        "namer": Annotator(namer, url) if namer else None,
    }
    known = {field.name for field in fields(BuildSettings)}
    return BuildSettings(name=name, **{key: value for key, value in told.items() if key in known})


def show(result: BuildResult, *, as_json: bool, quiet: bool) -> None:
    """Print what a build came to: JSON on standard output, or the funnel."""
    sheet = result.sheet
    if as_json:
        from auditkit.bench.record import to_json

        body = {
            "folder": str(result.folder), "prompts": result.prompts, "asked": result.asked, "short": result.short,
            "calls": result.calls, "dollars": result.dollars, "unpriced": result.unpriced,
            "datasheet": json.loads(to_json(sheet)),
        }  # fmt: skip
        click.echo(json.dumps(body, indent=2, sort_keys=True))
        return
    for row in sheet.funnel:
        why = ", ".join(f"{r.prompts} {r.reason.replace('_', ' ')}" for r in row.reasons)
        click.echo(f"{row.left:>9}  {row.step}{f'   (out: {why})' if why else ''}")
    if sheet.refresh is not None:
        _show_refresh(sheet.refresh, sheet.prompts)
    for pair in sheet.agreement:
        kappa = "undefined" if pair.score_kappa is None else f"{pair.score_kappa:.2f}"
        interval = "" if pair.score_kappa_ci is None else " [{:.2f}, {:.2f}]".format(*pair.score_kappa_ci)
        click.echo(
            f"agreement of {printable(pair.first, 40)} and {printable(pair.second, 40)}: weighted kappa "
            f"{kappa}{interval}, n = {pair.n}"
        )
    click.echo(f"benchmark: {printable(result.folder)} ({result.prompts} prompts, {len(sheet.clusters)} clusters)")
    if quiet:
        return
    for note in sheet.notes:
        click.echo(f"auditkit: {note}", err=True)


def _show_refresh(refresh: Refresh, prompts: int) -> None:
    def listed(reasons: tuple[Reason, ...]) -> str:
        return ", ".join(f"{r.prompts} {r.reason.replace('_', ' ')}" for r in reasons) or "none"

    click.echo(f"follows version {printable(refresh.version, 40)} (manifest {refresh.manifest[:16]}…)")
    click.echo(
        f"{refresh.anchors:>9}  anchors of {refresh.earlier} prompts; they are {refresh.anchors / prompts:.0%} of this version"
    )
    click.echo(f"{sum(r.prompts for r in refresh.retired):>9}  retired   ({listed(refresh.retired)})")
    if refresh.evolution is not None:
        one = refresh.evolution
        left = listed(tuple(r for row in one.funnel for r in row.reasons))
        click.echo(
            f"{len(one.lineage):>9}  evolved by {printable(one.by, 60)} of {one.funnel[0].left} asked for   (out: {left})"
        )
    if refresh.link_error:
        errors = ", ".join(f"{one.se:.1f} with {one.models}" for one in refresh.link_error)
        click.echo(f"expected standard error of the link, {refresh.unit}, by new models: {errors}")
