"""Which attacks a suite declares: by name, family and access, from the registry, frozen by hash before anything is played."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from auditkit import registry
from auditkit.attacks.protocol import ACCESS, FAMILIES, Access, Attack
from auditkit.errors import UsageError, printable
from auditkit.judging.spec import JudgeSpec

__all__ = ["SUITES", "Suite", "SuiteName", "choose"]

SuiteName = Literal["quick", "standard", "full"]
SUITES: Final[tuple[SuiteName, ...]] = get_args(SuiteName)
#: The attacks of the suite ``quick``: the strongest or the plainest of each family, none of which searches.
QUICK: Final = (
    "null-structured",
    "null-persuasive-01",
    "master-key-solution",
    "null-empty",
    "injection-combined",
    "injection-fake-reasoning",
    "injection-updated-criteria",
    "injection-admin-note",
    "authority-references",
    "style-markdown",
    "padding-restate",
    "verdict-echo",
    "unicode-tags",
    "prompt-echo",
)
#: Near repetitions of others, left to the suite ``full``: every attack of a suite widens the bounds of all.
_VARIANTS: Final = re.compile(
    r"null-persuasive-(?:0[3-9]|1[0-9])|master-key-(?:opener-\w+|colon|comma|blank|es|ja|zh)"
    r"|authority-(?:book|paper|quote|url)-[0-9]"
)


@dataclass(frozen=True)
class Suite:
    """A declared suite.

    Attributes:
        name: ``quick``, ``standard``, ``full`` or ``custom``.
        attacks: In the order of their names.
        left_out: ``(id, reason)`` of registered attacks that are not in it.
    """

    name: str
    attacks: tuple[Attack, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def sha256(self) -> str:
        """Hash (hex) of what was declared: attacks, their settings and budgets."""
        body = [[a.id, a.source, dict(a.params), a.budget.calls, a.budget.model_calls] for a in self.attacks]
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    @property
    def title(self) -> str:
        """Name and hash, as the report prints them."""
        return f"{self.name}, {len(self.attacks)} attacks (sha256 {self.sha256[:12]})"


def choose(
    judge: JudgeSpec,
    *,
    suite: SuiteName = "standard",
    only: Iterable[str] = (),
    access: Access = "model",
    attacker: bool = False,
    opponent: bool = True,
) -> Suite:
    """Choose the attacks that are played against a judge.

    Args:
        judge: The judge; attacks that make no sense against it are left out.
        suite: ``quick``: one or two a family, none that searches. ``standard``: attacks that ask nobody, near
            repetitions left out. ``full``: all of them, searches and rewriters too.
        only: Ids or families; they replace the suite. Searches and rewriters of a family need the suite ``full``.
        access: The most that an attacker has.
        attacker: Is there a model for attacks that write?
        opponent: Are the opponent's answers known?

    Raises:
        UsageError: A name of `only` is neither an attack nor a family.
    """
    known = {name: plugin.load() for name, plugin in registry.plugins("attacks").items()}
    wanted = set(only)
    for name in sorted(wanted - set(known) - set(FAMILIES)):
        raise UsageError(
            f"no attack or family is named {printable(name)!r}; families: {', '.join(FAMILIES)}; "
            "attacks: see auditkit plugins attacks"
        )
    chosen: list[Attack] = []
    left: list[tuple[str, str]] = []
    for name, attack in known.items():
        if wanted and not wanted & {name, attack.family}:
            continue
        reason = _unfit(attack, judge, access, attacker, opponent)
        if not reason and name not in wanted and wanted and suite != "full" and not _asks_nobody(attack):
            reason = "searches: name it, or take the suite full"
        if not reason and not wanted and not _in(attack, suite):
            reason = f"not in the suite {suite}"
        if reason:
            left.append((name, reason))
        else:
            chosen.append(attack)
    return Suite("custom" if wanted else suite, tuple(chosen), tuple(left))


def _in(attack: Attack, suite: SuiteName) -> bool:
    if suite == "quick":
        return attack.id in QUICK
    return suite == "full" or (_asks_nobody(attack) and not _VARIANTS.fullmatch(attack.id))


def _asks_nobody(attack: Attack) -> bool:
    return attack.craft is not None or attack.submit is not None


def _unfit(attack: Attack, judge: JudgeSpec, access: Access, attacker: bool, opponent: bool) -> str:
    if not attack.applies(judge):
        return "does not apply to this judge"
    if ACCESS.index(attack.access) > ACCESS.index(access):
        return f"needs access {attack.access}, more than {access}"
    if attack.access == "logprob" and judge.verdict.parser not in ("logprob", "ae_logprob"):
        return "this judge gives no log-probabilities"
    if attack.rewrite is not None and attack.budget.model_calls and not attacker:
        return "needs a model that writes (--attacker)"
    if attack.opponent and not (opponent and judge.pairwise):
        return "needs the opponent's answers"
    return ""
