"""Verdict rules: a policy file in, reasons and a verdict out.

A policy names rules, each with a threshold and an effect. The rules themselves are functions (`auditkit.rules`);
a policy can set their thresholds and effects, for all benchmarks or for one, or leave some out, and cannot add code.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from auditkit.errors import InputError, UsageError, printable
from auditkit.formats._io import open_file
from auditkit.reports.report import Reason, Status, Verdict
from auditkit.rules import RULES, Case, spread

__all__ = ["PRESETS", "Case", "Policy", "Rule", "decide", "load_policy", "parse_policy", "policy_text", "spread"]

Effect = Literal["reject", "withhold", "condition"]
#: The built-in policies, from the one that asks most to the one that asks least.
PRESETS: Final = ("strict", "standard", "lenient")
_SCHEMA: Final = "auditkit.policy/1"
_MAX_POLICY: Final = 1 << 20
_DAYS: Final = 365
_LONGEST: Final = 36_500
_FIELDS: Final = frozenset({"effect", "threshold", "why", "unmeasured"})
_NEEDED: Final = _FIELDS - {"unmeasured"}


@dataclass(frozen=True)
class Rule:
    """One rule of a policy: what it allows, what its failure does, and why it is there.

    `unmeasured` is what it does where it cannot be measured; None: nothing.
    """

    name: str
    effect: Effect
    threshold: float
    why: str
    unmeasured: Effect | None = None


@dataclass(frozen=True)
class Policy:
    """A validated policy. `sha256` is of the file's bytes, so that a report names exactly what decided.

    Attributes:
        name, version: As the file has them.
        rules: Those that hold, in the file's order.
        sha256: Of `text`.
        days: How long a certificate is valid.
        benchmarks: By pattern of a benchmark's name: the rules that differ there (None: left out).
        text: The file itself.
    """

    name: str
    version: str
    rules: tuple[Rule, ...]
    sha256: str
    days: int = _DAYS
    benchmarks: tuple[tuple[str, Mapping[str, Rule | None]], ...] = ()
    text: str = ""

    @property
    def title(self) -> str:
        """Name and version, and whether it only bears the name of a built-in policy."""
        edited = self.name in PRESETS and not self.built_in
        return f"{self.name} {self.version}" + (" (edited: not the built-in policy)" if edited else "")

    @property
    def built_in(self) -> bool:
        """Is it, to the byte, a policy that ships with this auditkit?"""
        return self.name in PRESETS and policy_text(self.name) == self.text

    def differing(self, benchmark: str, version: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the patterns of `benchmarks` that mean this benchmark, by its name or by name and version, and the others."""
        names = {benchmark.casefold(), f"{benchmark} {version}".strip().casefold()}
        meant = {pattern for pattern, _ in self.benchmarks if any(fnmatchcase(n, pattern.casefold()) for n in names)}
        patterns = tuple(pattern for pattern, _ in self.benchmarks)
        return tuple(p for p in patterns if p in meant), tuple(p for p in patterns if p not in meant)

    def for_benchmark(self, name: str, version: str = "") -> Policy:
        """Return the policy with the rules that hold for a benchmark: later patterns outrank earlier ones."""
        rules: dict[str, Rule | None] = {rule.name: rule for rule in self.rules}
        meant, _ = self.differing(name, version)
        for pattern, changed in self.benchmarks:
            if pattern in meant:
                rules.update(changed)
        return replace(self, rules=tuple(rule for rule in rules.values() if rule is not None), benchmarks=())


def policy_text(name: str = "standard") -> str:
    """Return the text of a built-in policy.

    Raises:
        UsageError: There is none of this name.
    """
    if name not in PRESETS:
        raise UsageError(f"no built-in policy is named {printable(name)!r}; there are: {', '.join(PRESETS)}")
    return files("auditkit").joinpath("policies", f"{name}.toml").read_text(encoding="utf-8")


def load_policy(source: Path | str | None = None) -> Policy:
    """Read and check a policy.

    Args:
        source: The name of a built-in policy or a file; None: the built-in `standard` policy. A built-in name outranks
            a file of that name: write ``./strict`` for the file.

    Raises:
        InputError: Not TOML, another schema, an unknown rule or key, an effect or threshold of the wrong kind.
    """
    if source is None or str(source) in PRESETS:
        name = str(source or "standard")
        return parse_policy(policy_text(name).encode(), name)
    path = Path(source)
    if not path.exists():
        raise InputError("no such policy", path=path, mend=f"give a file, or one of {', '.join(PRESETS)}")
    with open_file(path) as handle:
        data = handle.read(_MAX_POLICY + 1)
    if len(data) > _MAX_POLICY:
        raise InputError(f"more than {_MAX_POLICY} bytes", path=path)
    return parse_policy(data, path)


def parse_policy(data: bytes, path: Path | str) -> Policy:
    """Check the bytes of a policy file. See `load_policy`; `path` is for error messages."""
    try:
        text = data.decode("utf-8")
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a TOML policy: {error}", path=path) from None
    return _Reader(path).policy(tree, text, hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class _Reader:
    path: Path | str

    def wrong(self, problem: str, record: str) -> InputError:
        return InputError(problem, path=self.path, record=record, mend="compare with `auditkit certify --show-policy`")

    def policy(self, tree: dict[str, Any], text: str, sha256: str) -> Policy:
        if tree.get("schema") != _SCHEMA:
            raise self.wrong(f"expected {_SCHEMA!r}, got {tree.get('schema')!r}", "field 'schema'")
        for key in ("name", "version"):
            if not isinstance(tree.get(key), str) or not tree[key].isprintable():
                raise self.wrong("expected a text of one line", f"field {key!r}")
        if extra := sorted(set(tree) - {"schema", "name", "version", "rules", "benchmark", "certificate"}):
            raise self.wrong("unknown field", f"field {extra[0]!r}")
        table = tree.get("rules")
        if not isinstance(table, dict) or not table:
            raise self.wrong("expected a table of rules", "field 'rules'")
        rules = {name: self.rule(name, body, f"rule {name!r}", None) for name, body in table.items()}
        return Policy(
            tree["name"], tree["version"], tuple(rules.values()), sha256, self.days(tree.get("certificate", {})),
            tuple(self.benchmarks(tree.get("benchmark", {}), rules)), text,
        )  # fmt: skip

    def days(self, table: object) -> int:
        record = "table 'certificate'"
        if not isinstance(table, dict) or set(table) - {"days"}:
            raise self.wrong("expected a table with the field days", record)
        days = table.get("days", _DAYS)
        if isinstance(days, bool) or not isinstance(days, int) or not 0 < days <= _LONGEST:
            raise self.wrong(f"days must be a whole number from 1 to {_LONGEST}, got {days!r}", record)
        return days

    def benchmarks(self, table: object, rules: Mapping[str, Rule]) -> list[tuple[str, dict[str, Rule | None]]]:
        if not isinstance(table, dict):
            raise self.wrong("expected tables [benchmark.NAME.rules.RULE]", "table 'benchmark'")
        found = []
        for pattern, body in table.items():
            record = f"benchmark {pattern!r}"
            if not isinstance(body, dict) or set(body) != {"rules"} or not isinstance(body["rules"], dict):
                raise self.wrong("expected exactly the table rules", record)
            changed: dict[str, Rule | None] = {}
            for name, fields in body["rules"].items():
                where = f"{record}: rule {name!r}"
                changed[name] = None if fields is False else self.rule(name, fields, where, rules.get(name))
            found.append((pattern, changed))
        return found

    def rule(self, name: str, body: object, record: str, base: Rule | None) -> Rule:
        """Check one rule; on top of `base` it may have fewer than all fields."""
        if name not in RULES:
            raise self.wrong(f"no rule has this name; there are: {', '.join(RULES)}", record)
        given = set(body) if isinstance(body, dict) else set()
        if not isinstance(body, dict) or given - _FIELDS or not (base or given >= _NEEDED):
            raise self.wrong(
                "expected exactly the fields effect, threshold and why (and unmeasured, if wanted)", record
            )
        effect = body.get("effect", base.effect if base else None)
        threshold = body.get("threshold", base.threshold if base else None)
        why = body.get("why", base.why if base else None)
        unmeasured = body.get("unmeasured", base.unmeasured if base else None)
        for key, value in (("effect", effect), ("unmeasured", unmeasured)):
            if value not in get_args(Effect) and not (key == "unmeasured" and value is None):
                raise self.wrong(f"{key} must be one of {', '.join(get_args(Effect))}, got {value!r}", record)
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not abs(threshold) < 1e9:
            raise self.wrong(f"threshold must be a finite number, got {threshold!r}", record)
        if not isinstance(why, str) or not why.isprintable():
            raise self.wrong("why must be a text of one line", record)
        return Rule(name, cast(Effect, effect), float(threshold), why, unmeasured)


_VERDICT_OF: Final[Mapping[Effect, Verdict]] = {
    "reject": "rejected",
    "withhold": "not_certifiable",
    "condition": "conditional",
}
_WORST_FIRST: Final[tuple[Verdict, ...]] = ("rejected", "not_certifiable", "conditional")


def decide(policy: Policy, case: Case) -> tuple[Verdict, tuple[Reason, ...]]:
    """Apply every rule of `policy` to `case`.

    Returns:
        The verdict (the worst effect among the rules that failed, or that were not measured and had to be; certified
        if there is none) and one reason a rule, failures first.
    """
    reasons: list[Reason] = []
    reached: set[Verdict] = set()
    for rule in policy.rules:
        outcome = RULES[rule.name](case, rule.threshold)
        status: Status
        text = outcome.text
        effect: Effect | None = None
        if outcome.holds is None:
            effect = rule.unmeasured
            status = "not_measured" if effect is None else "warn" if effect == "condition" else "fail"
            text = text if effect is None else f"not measured, which this policy does not let pass: {text}"
        elif outcome.holds:
            status = "pass"
        else:
            effect = rule.effect
            status = "warn" if effect == "condition" else "fail"
            text = f"{text}. {rule.why}"
        if effect is not None:
            reached.add(_VERDICT_OF[effect])
        value = None if outcome.value is None else float(outcome.value)
        reasons.append(Reason(rule.name, status, value, rule.threshold, text))
    order = ("fail", "warn", "not_measured", "pass")
    reasons.sort(key=lambda r: order.index(r.status))
    verdict: Verdict = next((worst for worst in _WORST_FIRST if worst in reached), "certified")
    return verdict, tuple(reasons)
