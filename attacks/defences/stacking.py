"""Stacks of defences: which go together, in which order, which are worth trying, and what of them a judge file holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from auditkit.attacks.defences.catalogue import DEFENCES
from auditkit.attacks.defences.constraints import Shown, broken_by
from auditkit.attacks.defences.protocol import Defence, Setup
from auditkit.attacks.defences.screening import screened
from auditkit.errors import UsageError, printable
from auditkit.judging.check import check
from auditkit.judging.spec import JudgeSpec, to_toml

__all__ = ["JudgeFile", "compatible", "judge_file", "losses", "stack", "stacks"]

#: Combinations that somebody would ask for, cheapest first; those that a judge refuses drop out.
_SENSIBLE: Final = (
    ("nonce", "label-nonce"),
    ("nonce", "prefilter"),
    ("nonce", "constraint-gate"),
    ("nonce", "criteria-first"),
    ("nonce", "label-nonce", "both-orders-tie"),
    ("nonce", "criteria-first", "both-orders-tie"),
    ("nonce", "label-nonce", "prefilter", "constraint-gate"),
    ("nonce", "reference-guided", "both-orders-tie"),
    ("nonce", "label-nonce", "criteria-first", "both-orders-tie", "prefilter", "constraint-gate"),
)


def compatible(defences: Iterable[Defence]) -> bool:
    """Tell whether defences can be stacked at all: no switch twice. Whether a judge takes them, `stack` says."""
    ids = [defence.id for defence in defences]
    return len(ids) == len(set(ids))


def stack(setup: Setup, defences: Iterable[Defence]) -> Setup:
    """Switch defences on, in the order that they need, whatever the order in which they are given.

    Args:
        setup: Where to start.
        defences: What to switch on.

    Raises:
        UsageError: One is switched on twice, or makes no sense for the judge; the message says why.
    """
    chosen = sorted(defences, key=lambda d: (d.place, d.id))
    if not compatible(chosen) or {d.id for d in chosen} & set(setup.stack):
        raise UsageError("a defence is switched on twice")
    for defence in chosen:
        why = defence.refusal(setup.judge)
        if why:
            raise UsageError(f"{defence.id} makes no sense for judge {printable(setup.judge.name, 60)}: {why}")
        calls = setup.calls * defence.calls(setup.judge)
        setup = replace(defence.apply(setup), stack=(*setup.stack, defence.id), calls=calls)
    return setup


def stacks(
    judge: JudgeSpec, *, references: bool = False, panel: Defence | None = None, known: Iterable[Defence] = ()
) -> list[tuple[Defence, ...]]:
    """Return the stacks that are worth measuring for a judge, cheapest first: single defences, then combinations.

    An imported judge is hardened in every stack that needs our rendering.

    Args:
        judge: The judge as it is.
        references: Do the prompts have reference answers?
        panel: A panel to try too (`panel_of`).
        known: The defences to choose from; empty: `DEFENCES`.

    Returns:
        Stacks in the order in which they are applied, none twice; the empty stack is not among them.
    """
    table = {d.id: d for d in (tuple(known) or tuple(DEFENCES.values())) if references or not d.references}
    if panel is not None:
        table[panel.id] = panel
    wanted = [(name,) for name in table] + [*_SENSIBLE]
    if panel is not None:
        wanted += [("nonce", panel.id), ("nonce", "both-orders-tie", panel.id)]
    found: dict[tuple[str, ...], tuple[Defence, ...]] = {}
    costs: dict[tuple[str, ...], float] = {}
    for ids in wanted:
        made = _made(judge, [table[name] for name in ids if name in table], table)
        if made is not None and (len(ids) == 1 or len(made) > 1):
            found[tuple(d.id for d in made)] = made
            costs[tuple(d.id for d in made)] = stack(Setup(judge), made).calls
    # Sorted: cheapest first; among equals as above, where longer ones come later.
    return [found[ids] for ids in sorted(found, key=lambda ids: costs[ids])]


def _made(judge: JudgeSpec, wanted: Sequence[Defence], table: dict[str, Defence]) -> tuple[Defence, ...] | None:
    """Return what of a stack a judge takes, hardened first where that is needed; None for nothing."""
    strict = table.get("strict-verdict")
    hardening = strict is not None and strict.applies(judge)
    kept: list[Defence] = []
    setup = Setup(judge)
    for defence in sorted(wanted, key=lambda d: (d.place, d.id)):
        if not defence.applies(setup.judge) and hardening and strict is not None and strict not in kept:
            trial = stack(Setup(judge), [strict])
            if defence.applies(trial.judge) and not kept:
                kept.append(strict)
                setup = trial
        if defence.applies(setup.judge):
            kept.append(defence)
            setup = stack(setup, [defence])
    return tuple(kept) or None


def losses(setup: Setup, prompts: Sequence[str], answers: Sequence[str], opponents: Sequence[str]) -> list[str]:
    """Return why an answer loses before any judge is asked (``what: why``), "" where the judge decides.

    Args:
        setup: The defended judge.
        prompts: The prompts, as texts.
        answers: The submission's answers, all of them: one rule looks for constants.
        opponents: The opponents' answers, "" where there is none.
    """
    found = [hit and f"prefilter: {hit}" for hit in screened(setup.prefilter, prompts, answers)]
    broken = broken_by(setup.gate, Shown(setup.judge, prompts, answers, opponents))
    return [first or (second and f"gate {second}") for first, second in zip(found, broken, strict=True)]


@dataclass(frozen=True)
class JudgeFile:
    """A judge file. `left_out`: sentences on what of the setup a judge file cannot hold."""

    judge: JudgeSpec
    text: str
    left_out: tuple[str, ...]


def judge_file(setup: Setup, name: str = "") -> JudgeFile:
    """Write a defended judge as a judge file, as far as a file can hold it.

    Args:
        setup: The defended judge.
        name: Its name; "": the judge's own with ``-defended``.

    Raises:
        InputError: The name cannot be used.
    """
    left_out = []
    if setup.prefilter:
        left_out.append(f"A pre-filter stands before the judge: {', '.join(setup.prefilter)}.")
    if setup.gate:
        left_out.append(f"Constraints gate the judge: {', '.join(setup.gate)}.")
    if setup.panel:
        others = ", ".join(member.model for member in setup.panel)
        left_out.append(f"A panel decides ({setup.panel_rule}), with {others}.")
    judge = replace(
        setup.judge,
        name=name or f"{setup.judge.name[:71]}-defended",
        source=f"{setup.judge.source}; defended by auditkit: {setup.title}",
        notes=(*setup.judge.notes, *(f"Not in this file: {text}" for text in left_out)),
    )
    check(judge, "defended judge")
    return JudgeFile(judge, to_toml(judge), tuple(left_out))
