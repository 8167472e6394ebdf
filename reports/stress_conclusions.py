"""From what was found about a judge to its report: figures, what to change first, and how two judges compare."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.attacked import REPEAT
from auditkit.attacks.arena import Tally
from auditkit.attacks.gates import GateResult
from auditkit.attacks.hardening import HardenedStack
from auditkit.attacks.probes import NOT_OFFLINE
from auditkit.attacks.probing import Probed
from auditkit.attacks.results import SuiteResult, accuracy_of, gain_of, score_table
from auditkit.errors import printable
from auditkit.judging.spec import JudgeSpec
from auditkit.records import Battles, Settings
from auditkit.reports.report import NullFloor
from auditkit.reports.stress_changes import VOIDING, changes_for
from auditkit.reports.stress_report import (
    Comparison,
    Defended,
    GateFinding,
    JudgeFacts,
    Measure,
    PairedDifference,
    ProbeFinding,
    StressedJudge,
)
from auditkit.stats.betting import betting_interval
from auditkit.stats.intervals import clopper_pearson, cluster_mean, wilson
from auditkit.stats.multiplicity import benjamini_hochberg, holm
from auditkit.stats.uplift import paired_uplift, two_sided_p

__all__ = ["compared", "concluded", "defended", "measures_of"]

#: False discovery rate at which a probe stands out.
_FDR: Final = 0.10

Array = NDArray[np.float64]


def concluded(
    spec: JudgeSpec,
    model: str,
    gates: Sequence[GateResult],
    games: Battles,
    suite: SuiteResult,
    probed: Sequence[Probed],
    right: Array | None,
    tally: Tally,
    settings: Settings,
) -> StressedJudge:
    """Return everything that was found about one judge.

    Args:
        spec: The judge.
        model: Its model, ``client/model``.
        gates: Its harness gates.
        games: The recording of the suite: variant "" holds the wrong answers as they are.
        suite: What the suite came to.
        probed: The bias probes, played.
        right: For a judge that rates one answer: the right answers' outcomes (n,), 0..1; None for one that compares.
        tally: What was asked.
        settings: Level.
    """
    measures = measures_of(games, right, suite, settings)
    probes = _probes(probed, settings.level)
    record = games.suite
    assert record is not None  # noqa: S101  it was played with a suite
    not_measured = [(f"gate {g.gate}", g.statement) for g in gates if g.status == "not_measured"]
    not_measured += [(f"attack {a.attack}", a.note) for a in suite.attacks if a.status == "not_measured"]
    not_measured += [(f"attack {name}", reason) for name, reason in record.left_out]
    not_measured += [(f"probe {p.probe}", p.note) for p in probes if p.estimate is None]
    not_measured += [(f"probe {name}", why) for name, why in sorted(NOT_OFFLINE.items())]
    floor = suite.null_floor
    return StressedJudge(
        facts=JudgeFacts(spec.name, spec.title, spec.mode, model, spec.sha256, spec.source, record.simulated),
        gates=tuple(map(_gate, gates)),
        measures=measures,
        null_floor=NullFloor(None, note="no answer of no worth was played")
        if floor is None
        else NullFloor(floor.estimate, floor.ci, floor.attack, floor.n),
        attacks=suite.attacks,
        grade="voidable" if any(g.status == "fail" and g.gate in VOIDING for g in gates) else suite.grade,
        points=suite.floor_points,
        ceiling=suite.ceiling_points,
        attack=suite.attack,
        undetected_points=suite.undetected_points,
        undetected_attack=suite.undetected_attack,
        probes=probes,
        changes=changes_for(gates, measures, suite.attacks, probes),
        suite=record.name,
        calls=tally.calls,
        tokens_in=tally.tokens_in,
        tokens_out=tally.tokens_out,
        usd=tally.usd,
        unpriced=tally.unpriced,
        not_measured=tuple(not_measured),
    )


def _gate(found: GateResult) -> GateFinding:
    example = found.counterexample
    given = () if example is None else tuple((what, printable(text, 200)) for what, text in example.given)
    return GateFinding(
        found.gate, found.title, found.status, found.kind, found.cases, found.failures, found.statement, found.mend,
        given, "" if example is None else example.expected, "" if example is None else printable(example.found, 300),
        () if example is None else example.excerpt(),
    )  # fmt: skip


def _probes(probed: Sequence[Probed], level: float) -> tuple[ProbeFinding, ...]:
    """Return what probes found, with the false discovery rate controlled over all of them.

    A probe is flagged only where it stands out by itself at the level, too: its sentence says so by that.
    """
    p = [one.result.p_value if one.result.p_value is not None else math.nan for one in probed]
    adjusted = np.asarray(benjamini_hochberg(p)).tolist() if p else []
    found = []
    for one, q in zip(probed, adjusted, strict=True):
        r = one.result
        flag = None if r.p_value is None else bool(q < _FDR and r.p_value < 1.0 - level)
        parts = tuple(Measure(x.name, x.name, x.estimate, x.ci, x.n, "figure", x.note) for x in r.parts)
        found.append(ProbeFinding(
            one.probe.id, one.probe.title, r.statistic, r.estimate, r.ci, r.n, r.control, r.control_ci, r.difference,
            r.difference_ci, r.p_value, None if math.isnan(q) else q, flag, r.sentence, r.mend,
            one.probe.source, r.note, parts,
        ))  # fmt: skip
    return tuple(found)


# --- figures --------------------------------------------------------------------------------------------------------


def _share(name: str, label: str, values: Array, level: float, note: str = "") -> Measure:
    values = values[np.isfinite(values)]
    n = len(values)
    if not n:
        return Measure(name, label, None, note="no pair has a verdict")
    mean = float(values.mean())
    if set(np.unique(values)) <= {0.0, 1.0}:
        ci = wilson(float(values.sum()), n, level)
    elif values.std() > 0 and n > 2:
        low, high = cluster_mean(values, np.arange(n), level=level).ci
        ci = (max(low, 0.0), min(high, 1.0))
    else:  # every pair came out the same, or there are two: a normal interval would have no width
        ci = betting_interval(values, level, bounds=(0.0, 1.0)).ci
    return Measure(name, label, mean, ci, n, "share", note)


def measures_of(games: Battles, right: Array | None, suite: SuiteResult, settings: Settings) -> tuple[Measure, ...]:
    """Return what the judge's verdicts on the plain pairs are worth."""
    level = settings.level
    _, _, clean, tables = score_table(games)
    plain = games.games[games.games["variant"] == ""]
    found = [_share("accuracy", "names the right answer", accuracy_of(clean, right), level, "a tie counts a half")]
    outcome = plain["outcome"].to_numpy(dtype=np.float64)
    order = plain["order"].to_numpy()
    if (order == "model_first").any() and (order == "model_second").any():
        table = plain.pivot_table(index="prompt_id", columns="order", values="outcome", aggfunc="mean", dropna=False)
        named = 0.5 + 0.5 * np.sign(table.to_numpy(dtype=np.float64) - 0.5)
        same = np.where(np.isnan(named).any(axis=1), np.nan, named[:, 0] == named[:, 1])
        found.append(_share("consistency", "same verdict in both orders", same, level))
        first = np.where(order == "model_first", outcome, 1.0 - outcome)
        decided = np.isfinite(first) & (first != 0.5)
        if decided.any():
            codes = np.unique(plain["prompt_id"].to_numpy()[decided], return_inverse=True)[1]
            wins = (first[decided] > 0.5).astype(np.float64)
            by_prompt = np.bincount(codes, wins) / np.bincount(codes)
            found.append(_share("first_preference", "prefers the answer shown first", by_prompt, level))
    missing = np.isnan(outcome)
    k, n = int(missing.sum()), len(outcome)
    found.append(Measure("unparsed", "games without a verdict", k / n, clopper_pearson(k, n, level), n))
    again = tables.get(REPEAT)
    if again is not None:
        gap = np.abs(again - clean)
        found.append(_share("repeat_change", "change when asked again (its own noise)", gap, level))
    return tuple(found)


# --- defences ---------------------------------------------------------------------------------------------------------


def defended(stacks: Sequence[HardenedStack], settings: Settings) -> tuple[Defended, ...]:
    """Return every stack of defences as the report shows it."""
    rows = []
    for found in stacks:
        accuracy = _share("accuracy", "accuracy", found.accuracy, settings.level)
        result = found.result
        note = "shown the right answer as its reference: an upper bound, and never chosen" if found.told else ""
        rows.append(Defended(
            found.setup.stack, found.strongest, result.floor_points, result.ceiling_points, result.attack,
            accuracy.estimate, accuracy.ci, found.setup.calls, accuracy.n, found.on_frontier, found.chosen,
            found.failed, note,
        ))  # fmt: skip
    return tuple(rows)


# --- two judges -----------------------------------------------------------------------------------------------------


def compared(
    a: Battles, b: Battles, settings: Settings, right: tuple[Array | None, Array | None] = (None, None)
) -> Comparison:
    """Compare two judges on the same pairs, prompt by prompt: accuracy, and what each attack gains.

    Every row is a paired difference B minus A with its own interval; p-values are two-sided and corrected by Holm over
    all rows.

    Args:
        a: The first judge's games, with its suite.
        b: The second's.
        settings: Level, seed.
        right: For judges that rate one answer, the right answers' outcomes of each.
    """
    ids_a, _, clean_a, tables_a = score_table(a)
    _, place_b, clean_b, tables_b = score_table(b)
    shared = [name for name in ids_a if name in place_b]
    at_a = np.array([ids_a.index(name) for name in shared])
    at_b = np.array([place_b[name] for name in shared])
    rows = [_row(
        "accuracy", "accuracy", 100 * accuracy_of(clean_a, right[0])[at_a], 100 * accuracy_of(clean_b, right[1])[at_b], settings,
    )]  # fmt: skip
    for arm in a.suite.arms if a.suite else ():
        if arm.attack in tables_a and arm.attack in tables_b:
            gain_a = 100 * gain_of(arm, clean_a, tables_a[arm.attack], right[0])[at_a]
            gain_b = 100 * gain_of(arm, clean_b, tables_b[arm.attack], right[1])[at_b]
            rows.append(_row(arm.attack, arm.title, gain_a, gain_b, settings))
    p = [row.p_value for row in rows]
    corrected = iter(np.asarray(holm([x for x in p if x is not None])).tolist())
    rows = [row if row.p_value is None else _with_p(row, next(corrected), settings.level) for row in rows]
    return Comparison(tuple(rows), _verdict(rows))


def _row(name: str, label: str, a: Array, b: Array, settings: Settings) -> PairedDifference:
    gap = b - a
    # of shares right, 0..100 each; of gains, -100..100 each
    bounds = (-100.0, 100.0) if name == "accuracy" else (-200.0, 200.0)
    seen = np.isfinite(gap)
    n = int(seen.sum())
    if n < 2:
        return PairedDifference(name, label, None, None, None, None, n, sentence="not measured on shared prompts")
    found = paired_uplift(gap[seen], settings.level, seed=settings.seed, bounds=bounds)
    return PairedDifference(
        name, label, float(a[seen].mean()), float(b[seen].mean()), found.estimate, found.ci, n,
        p_value=two_sided_p(gap[seen], seed=settings.seed, bounds=bounds),
    )  # fmt: skip


def _with_p(row: PairedDifference, adjusted: float, level: float) -> PairedDifference:
    change = row.difference or 0.0
    better = change > 0 if row.name == "accuracy" else change < 0
    if adjusted > 1.0 - level:
        sentence = "the data do not tell the two apart"
    elif row.name == "accuracy":
        sentence = "B is right more often" if better else "B is right less often"
    else:
        sentence = "B holds better" if better else "B gives way more"
    return replace(row, adjusted_p=adjusted, sentence=sentence)


def _verdict(rows: Iterable[PairedDifference]) -> str:
    rows = list(rows)
    attacks = [row for row in rows if row.name != "accuracy" and row.difference is not None]
    holds = sum(row.sentence == "B holds better" for row in attacks)
    gives = sum(row.sentence == "B gives way more" for row in attacks)
    accuracy = next((row for row in rows if row.name == "accuracy"), None)
    cost = "accuracy was not measured"
    if accuracy and accuracy.difference is not None and accuracy.ci and not math.isnan(accuracy.difference):
        low, high = accuracy.ci
        cost = f"accuracy changes by {accuracy.difference:+.1f} points ({low:+.1f} to {high:+.1f}, {accuracy.n} pairs)"
    return (
        f"B holds better against {holds} of {len(attacks)} attacks and gives way more to {gives} "
        f"(corrected for {len(rows)} comparisons); {cost}."
    )
