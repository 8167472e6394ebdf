"""The claim job: a claimed score or gain in, a verdict with its numbers out.

What is at hand decides how far a claim can be taken: recorded judgments of both models are paired by prompt and put
under every control; rows of a board are compared with their errors; a bare figure is held against what its benchmark
can tell apart at all, which can sink a claim and never certifies one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from auditkit import formats
from auditkit.audit import Progress, created
from auditkit.claims import BENCHMARKS, Board, Check, Claim, ClaimReport, ClaimResult, Estimate, Ledger, read_ledger
from auditkit.claims.boards import CONTROLLED, Facts, find_row
from auditkit.claims.checks import baseline_row, before_data, best_of_text, of_size, unit_fault
from auditkit.claims.controlled import Gains, gains, own_score
from auditkit.claims.results import SCHEMA, Evidence
from auditkit.claims.verdicts import (
    Decision,
    beyond,
    decide_comparable,
    decide_gain,
    decide_score,
    interval,
    points,
    span,
)
from auditkit.errors import Undefined, UsageError, printable
from auditkit.records import Battles, Interval, Settings
from auditkit.stats.claims import (
    detectable_gain,
    difference_error,
    equivalence,
    level_of_best,
    optimism_of_best,
    threshold_of_gain,
)

__all__ = ["claim", "claim_battles"]

_LITTLE_SHARED = 0.95
_NAMED = 6  # models of a recording that a message lists


def claim(
    ledger: Ledger | Path | str,
    *results: Path | str,
    boards: Sequence[Board] = (),
    settings: Settings | None = None,
    format: str | None = None,  # noqa: A002  the field's word, and the option's name
    progress: Progress = lambda stage, done, total: None,
) -> ClaimReport:
    """Audit the claims of a ledger.

    Args:
        ledger: A ledger, or the path of its TOML file.
        results: Recordings of the models that are claimed about, of any format; none: boards and arithmetic only.
        boards: Further boards; they outrank the ledger's.
        settings: Level, replicates, seed, calibration file.
        format: Force this format of the recordings instead of recognising it.
        progress: Told of every finished step.

    Returns:
        The report; `ClaimReport.exit_code` is the command's.

    Raises:
        InputError: The ledger or a recording cannot be used.
        UsageError: There is no such format.
    """
    book = ledger if isinstance(ledger, Ledger) else read_ledger(Path(ledger))
    battles = None
    if results:
        progress("reading", 0, len(results))
        battles = formats.read(*results, format=format)
        progress("reading", len(results), len(results))
    return claim_battles(book, battles, boards=boards, settings=settings, progress=progress)


def claim_battles(
    ledger: Ledger,
    battles: Battles | None = None,
    *,
    boards: Sequence[Board] = (),
    settings: Settings | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> ClaimReport:
    """Audit the claims of a ledger against a recording that is already read. See `claim`."""
    settings = settings or Settings()
    if not ledger.claims:
        raise UsageError("no claim given")
    found = []
    for step, one in enumerate(ledger.claims):
        progress("claims", step, len(ledger.claims))
        found.append(_audit(one, ledger, (*boards, *ledger.boards), battles, settings))
    progress("claims", len(ledger.claims), len(ledger.claims))
    return ClaimReport(
        schema=SCHEMA,
        auditkit=version("judge-auditkit"),
        created=created(),
        seed=settings.seed,
        level=settings.level,
        replicates=settings.replicates,
        ledger=ledger.path,
        ledger_sha256=ledger.sha256,
        inputs=battles.inputs if battles is not None else (),
        results=tuple(found),
    )


def _audit(
    one: Claim, ledger: Ledger, boards: Sequence[Board], battles: Battles | None, settings: Settings
) -> ClaimResult:
    facts = BENCHMARKS.get(one.benchmark)
    checks = before_data(one, facts, boards, ledger.claims, settings.level)
    if battles is not None:
        missing = _missing(one, facts, battles)
        if not missing and one.metric == "win_or_tie" and not one.of_score:
            missing = "a difference of rates of wins and ties together is no gain"
        if not missing:
            try:
                return _by_prompt(one, battles, checks, settings)
            except Undefined as error:
                missing = str(error)
        checks.append(Check("recording", "flag", f"the recording does not serve this claim: {missing}"))
    if fault := unit_fault(one, facts):
        return _done(one, Decision("cannot_check", f"Unit: {fault}."), "none", checks)
    if one.metric == "win_or_tie":
        text = "A rate of wins and ties together says nothing without the share of ties."
        return _done(one, Decision("cannot_check", text), "none", checks)
    candidate = find_row(boards, one.benchmark, one.metric, one.candidate) if one.candidate else None
    if one.of_score:
        if candidate is None:
            text = "Neither judgments nor a public row of it are at hand."
            return _done(one, Decision("cannot_check", text), "none", checks)
        main = Estimate(
            one.metric,
            candidate.score,
            candidate.error(facts, one.metric),
            candidate.interval(facts, one.metric),
            facts.prompts if facts else 0,
            method="public row",
        )
        return _done(one, decide_score(one, main, "the public row"), "board", checks, main, [main])
    if candidate is not None and baseline_row(one, boards) is not None:
        return _by_rows(one, facts, boards, checks, settings)
    return _at_face_value(one, facts, boards, checks, settings)


def _missing(one: Claim, facts: Facts | None, battles: Battles) -> str:
    """Return why a recording cannot serve a claim, "" if it can."""
    recorded = battles.benchmark.format
    if facts is not None and recorded in {f.format for f in BENCHMARKS.values()} and recorded != facts.format:
        return f"it is of {printable(battles.benchmark.name, 60)}"
    names = {*battles.games["model"], *battles.games["opponent"], *battles.ratings["model"]}
    wanted = (one.candidate,) if one.of_score else (one.candidate, *(one.components or (one.baseline,)))
    absent = [printable(name, 60) or "an unnamed model" for name in wanted if name not in names]
    if not absent:
        return ""
    held = [printable(name, 60) for name in sorted(names)]
    more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
    return f"it does not hold {', '.join(absent)}; it holds {', '.join(held[:_NAMED])}{more}"


# --- recorded judgments ---------------------------------------------------------------------------------------------


def _by_prompt(one: Claim, battles: Battles, checks: list[Check], settings: Settings) -> ClaimResult:
    if one.of_score:
        score = own_score(battles, one.candidate, one.metric, settings)
        if one.metric == "win_or_tie":
            checks = [Check("ties", "flag", score.note), *(c for c in checks if c.name != "ties")]
        main = Estimate(
            score.control, score.estimate, score.se, score.ci, score.n, method=score.method, note=score.note
        )
        return _done(one, decide_score(one, main, "the recorded judgments"), "per_instance", checks, main, [main])
    level = level_of_best(settings.level, one.best_of)
    baseline = _best_recorded(one, battles)
    found = gains(battles, one.candidate, baseline, one.metric, settings, level)
    extra = _run_error(one)
    estimates = [_with_runs(e, extra, len(one.runs), level, found.pairs.limit) for e in found.estimates]
    main, others = _main(one, estimates)
    named = replace(one, baseline=baseline)
    checks = [*checks, *_of_pairs(one, found, settings.level)]
    test = None
    if one.wording == "comparable":
        freedom = found.pairs.n - 1.0 if main.control == "raw" else None
        decision, test = decide_comparable(named, main, others, settings.level, freedom)
    else:
        decision = decide_gain(named, main, others)
    plain = estimates[0]
    if main is not plain and plain.ci is not None and plain.ci[0] <= 0 < (main.ci or (0.0, 0.0))[0]:
        checks.append(Check("raw", "flag", f"without the control the gain is {span(plain)}"))
    if one.best_of > 1 and main.se is not None:
        checks.append(Check("up_to", "flag", best_of_text(one, main.se, settings.level)))
    checks += [
        Check("extrapolation", "flag", f"{e.control}: {e.note.removeprefix('EXTRAPOLATION: ')}")
        for e in estimates
        if e.extrapolated
    ]
    result = _done(one, decision, "per_instance", checks, main, estimates, settings.level)
    return replace(result, decomposition=found.decomposition, equivalence_p=test.p_value if test else None)


def _best_recorded(one: Claim, battles: Battles) -> str:
    """Return the baseline to pair with: the best component of a compound system, by its raw mean, else the baseline."""
    if not one.components:
        return one.baseline
    table = battles.ratings if one.metric == "score" else battles.games
    column = "score" if one.metric == "score" else "outcome"
    means = table[table["model"].isin(one.components)].groupby("model")[column].mean()
    return str(means.idxmax()) if len(means) else one.components[0]


def _main(one: Claim, estimates: Sequence[Estimate]) -> tuple[Estimate, list[Estimate]]:
    """Return the estimate in the claim's own metric, and the rest: controls, and the detectors' word."""
    wanted = {
        "length_controlled": ("length_controlled_published", "length_controlled"),
        "style_controlled": ("style_controlled",),
    }.get(one.metric, ("raw",))
    main = next((e for name in wanted for e in estimates if e.control == name and e.estimate is not None), estimates[0])
    return main, [e for e in estimates if e is not main and e.control != "raw"]


def _of_pairs(one: Claim, found: Gains, level: float) -> list[Check]:
    n, left_out = found.pairs.n, found.pairs.left_out
    text = f"{n} prompts have a verdict on both models, {left_out} on one only"
    checks = [Check("coverage", "flag" if n < _LITTLE_SHARED * (n + left_out) else "pass", text)]
    if found.scores is None or one.metric in CONTROLLED:
        return checks
    facts = BENCHMARKS.get(one.benchmark)
    allowed = threshold_of_gain(facts.se, level) if facts is not None and one.metric == facts.metrics[0] else 0.1
    for name, who, claimed, recorded in (
        ("candidate_recorded", "candidate", one.value, found.scores[0]),
        ("baseline_recorded", "baseline", one.baseline_value, found.scores[1]),
    ):
        if claimed is not None:
            text = f"the claim has its {who} at {claimed:g}, the recording at {recorded:.2f}"
            checks.append(Check(name, "flag" if abs(recorded - claimed) > allowed else "pass", text))
    return checks


# --- rows of a board ------------------------------------------------------------------------------------------------


def _by_rows(
    one: Claim, facts: Facts | None, boards: Sequence[Board], checks: list[Check], settings: Settings
) -> ClaimResult:
    level = level_of_best(settings.level, one.best_of)
    row = baseline_row(one, boards)
    named = replace(one, baseline=row.model if row is not None else one.baseline)
    main = _row_gain(named, one.metric, facts, boards, level)
    if main is None or main.estimate is None or main.se is None:
        text = "The rows have no errors, and none is known for this benchmark."
        return _done(one, Decision("cannot_check", text), "board", checks)
    gain, error = main.estimate, math.hypot(main.se, _run_error(one))
    main = _with_runs(main, _run_error(one), len(one.runs), level)
    others = []
    for metric in CONTROLLED:
        found = _row_gain(named, metric, facts, boards, level) if metric != one.metric else None
        if found is not None and found.se is not None and found.estimate is not None:
            drop, half = gain - found.estimate, threshold_of_gain(math.hypot(error, found.se), level)
            others.append(replace(found, drop_ci=(drop - half, drop + half)))
    test = None
    if one.wording == "comparable":
        decision, test = decide_comparable(named, main, others, settings.level, None)
    else:
        decision = decide_gain(named, main, others)
    if one.wording != "comparable":
        checks = [*checks, *of_size(one, gain, facts, error, settings.level)]
    own = facts.metrics[0] if facts is not None else "win_rate"
    plain = _row_gain(named, own, facts, boards, level) if one.metric != own else None
    if plain is not None and plain.ci is not None and plain.ci[0] <= 0 < (main.ci or (0.0, 0.0))[0]:
        checks.append(Check("raw", "flag", f"without the control the gain is {span(plain)}"))
    estimates = [main, *([plain] if plain is not None else []), *others]
    result = _done(one, decision, "board", checks, main, estimates, settings.level)
    return replace(result, equivalence_p=test.p_value if test else None)


def _row_gain(one: Claim, metric: str, facts: Facts | None, boards: Sequence[Board], level: float) -> Estimate | None:
    rows = [find_row(boards, one.benchmark, metric, name) for name in (one.candidate, one.baseline)]
    first, second = rows
    if first is None or second is None:
        return None
    errors = [first.error(facts, metric), second.error(facts, metric)]
    if errors[0] is None or errors[1] is None:
        return Estimate(metric, None, note="a row has no error")
    se = difference_error(errors[0], errors[1])
    gain, half = first.score - second.score, threshold_of_gain(se, level)
    control = "raw" if metric == (facts.metrics[0] if facts else "win_rate") else metric
    how = "difference of two public rows, taken as independent"
    return Estimate(control, gain, se, (gain - half, gain + half), facts.prompts if facts else 0, method=how)


# --- figures alone --------------------------------------------------------------------------------------------------


def _at_face_value(
    one: Claim, facts: Facts | None, boards: Sequence[Board], checks: list[Check], settings: Settings
) -> ClaimResult:
    row = baseline_row(one, boards)
    row_error = row.error(facts, one.metric) if row is not None else None
    se = facts.gain_se() if facts is not None else None
    gain, public = _claimed_gain(one), False
    if gain is None and one.value is not None and row is not None:
        gain, public = one.value - row.score, True
        if facts is not None and row_error is not None:
            se = difference_error(facts.se, row_error)
    if gain is None:
        return _done(one, Decision("cannot_check", "No figure, no judgments and no public row of it."), "none", checks)
    if se is None:
        where = printable(one.benchmark, 60) or "its benchmark"
        text = f"{points(gain)} is claimed; nothing is known of what {where} can tell apart."
        return _done(one, Decision("cannot_check", text), "none", checks)
    se = math.hypot(se, _run_error(one))
    where = "the public row of " + printable(row.model, 60) if public and row is not None else "its baseline"
    main = Estimate("claimed", gain, se, n=facts.prompts if facts else 0, method="the claim's figures at face value")
    at = f"{points(gain)} over {where}, at face value"
    if one.wording == "comparable":
        test = equivalence(gain, se, one.margin or 0.0, level=settings.level)
        text = f"{at}: {interval(gain, test.ci)} at {1 - 2 * test.alpha:.0%}, margin {one.margin:g}"
        if beyond(test) and public:
            decision = Decision("contradicted", f"{text}: they differ by more than the margin.")
        elif test.equivalent:
            decision = Decision("cannot_check", f"{text}: inside, but only the figure is at hand.")
        else:
            decision = Decision("not_separable", f"{text}: a difference beyond the margin is not excluded.")
        result = _done(one, decision, "claimed", checks, main, [main], settings.level)
        return replace(result, equivalence_p=test.p_value)
    threshold = threshold_of_gain(se, settings.level, one.best_of)
    checks = [*checks, *of_size(one, gain, facts, se, settings.level)]
    if public and abs(gain) < threshold and row is not None:
        checks.append(Check("overlap", "flag", f"{one.value:g} and the {row.score:g} of {where} overlap"))
    best = f" for the best of {one.best_of}" if one.best_of > 1 else ""
    if public and gain <= -threshold:
        decision = Decision("contradicted", f"{at}: the public row is the better one.")
    elif gain < threshold:
        decision = Decision("not_separable", f"{at}: below the {threshold:.1f} that can be told from 0{best}.")
    else:
        text = (
            f"{at}: large enough (threshold {threshold:.1f}{best}), but no judgments and no public row of it to check."
        )
        decision = Decision("cannot_check", text)
    return _done(one, decision, "claimed", checks, main, [main], settings.level)


def _claimed_gain(one: Claim) -> float | None:
    if one.gain is not None:
        return one.gain
    if one.runs:
        return statistics.fmean(one.runs)
    if one.value is not None and one.baseline_value is not None and not one.components:
        return one.value - one.baseline_value
    return None


# --- shared ---------------------------------------------------------------------------------------------------------


def _run_error(one: Claim) -> float:
    """Return the standard error that the variation between training runs adds to a gain (0 if only one is known)."""
    return statistics.stdev(one.runs) / math.sqrt(len(one.runs)) if one.runs else 0.0


def _with_runs(estimate: Estimate, extra: float, runs: int, level: float, limit: float = math.inf) -> Estimate:
    """Widen an estimate by the variation between training runs, with Student's t of their number; cut at the scale."""
    if not extra or estimate.estimate is None or estimate.ci is None:
        return estimate
    from scipy.special import stdtrit

    reach = float(stdtrit(runs - 1, (1 + level) / 2)) * extra
    low, high = (math.hypot(estimate.estimate - end, reach) for end in estimate.ci)
    ci: Interval = (max(estimate.estimate - low, -limit), min(estimate.estimate + high, limit))
    se = math.hypot(estimate.se, extra) if estimate.se is not None else None
    return replace(estimate, ci=ci, se=se, method=f"{estimate.method}; widened by {runs} training runs")


def _done(
    one: Claim,
    decision: Decision,
    evidence: Evidence,
    checks: Sequence[Check],
    main: Estimate | None = None,
    estimates: Sequence[Estimate] = (),
    level: float | None = None,
) -> ClaimResult:
    """Put a result together; with `level`, thresholds from the main estimate's error."""
    se = main.se if main is not None and level is not None else None
    k = one.best_of
    return ClaimResult(
        claim=one,
        verdict=decision.verdict,
        control=decision.control,
        sentence=decision.sentence,
        evidence=evidence,
        measured=main,
        estimates=tuple(estimates),
        checks=tuple(sorted(checks, key=lambda check: check.status != "flag")),
        threshold=None if se is None else threshold_of_gain(se, level or 0.95, k),
        detectable=None if se is None else detectable_gain(se, level or 0.95, k=k),
        optimism=None if se is None or k == 1 else optimism_of_best(se, k),
        best_of=k,
        level_used=level_of_best(level or 0.95, k),
    )
