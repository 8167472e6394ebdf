"""The audit job: a recording in, a gameability report out.

It asks the registry which controls and detectors there are, runs them all, checks what harness gates a
recording can show, and lets the policy decide. Nothing is estimated here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from auditkit import formats, registry
from auditkit import policy as verdicts
from auditkit.attacks.detect import detect
from auditkit.controls import missing_bounds
from auditkit.errors import AuditkitError, InputError, Undefined, UsageError, printable
from auditkit.gaming import gameability_of, gaming_of, prompt_outcomes, suite_floor
from auditkit.gates import Check, check_gates
from auditkit.records import (
    Battles,
    Detection,
    Explanation,
    Findings,
    Length,
    Note,
    Position,
    Score,
    Settings,
    Submission,
)
from auditkit.reports.explanations import explained
from auditkit.reports.report import (
    SCHEMA,
    BenchmarkInfo,
    Bounds,
    Cost,
    JudgeInfo,
    Method,
    NullFloor,
    Quality,
    Rank,
    Report,
    SubmissionReport,
)
from auditkit.stats.intervals import cluster_mean
from auditkit.stats.ranks import independent_se, opposed_se, paired_se, rank_intervals

__all__ = ["Progress", "audit", "audit_battles", "controls_of", "exit_code", "ranks_of", "recording"]

#: Called with a stage's name, how many of its steps are done, and how many there are.
Progress = Callable[[str, int, int], None]

#: An answer given to at least this share of the prompts makes a submission a constant one: a null floor.
CONSTANT_SHARE: Final = 0.5


def _quiet(stage: str, done: int, total: int) -> None:
    pass


def audit(
    *paths: Path | str,
    format: str | None = None,  # noqa: A002  the field's word, and the option's name
    settings: Settings | None = None,
    policy: Path | str | None = None,
    keep_going: bool = False,
    command: str = "",
    progress: Progress = _quiet,
) -> Report:
    """Read recordings and audit them together.

    Args:
        paths: Results folders or files of any format in `registry.plugins("formats")`.
        format: Force this format instead of recognising it.
        settings: Confidence level, bootstrap replicates, seed, calibration file.
        policy: A policy file, or the name of a built-in policy; None: the built-in standard policy.
        keep_going: Leave out paths that cannot be read, with a note each, as long as one can.
        command: The command line to print in the report as the way to make it again.
        progress: Told of every finished step.

    Returns:
        The report. Same inputs, settings and ``SOURCE_DATE_EPOCH``: the same report.

    Raises:
        InputError: A path, policy or calibration file cannot be used.
        UsageError: No path, or an unknown format.
    """
    rules = verdicts.load_policy(policy)
    battles = recording(*paths, format=format, keep_going=keep_going, progress=progress)
    return audit_battles(battles, settings=settings, policy=rules, command=command, progress=progress)


def recording(
    *paths: Path | str,
    format: str | None = None,  # noqa: A002  the field's word, and the option's name
    keep_going: bool = False,
    progress: Progress = _quiet,
) -> Battles:
    """Read recordings and join them. See `audit`."""
    if not paths:
        raise UsageError("no path given: name at least one results folder or file")
    progress("reading", 0, len(paths))
    parts, errors = formats.read_each(paths, format=format, keep_going=keep_going)
    if not parts:
        raise errors[0]
    progress("reading", len(paths), len(paths))
    battles = formats.join(parts)
    skipped = tuple(Note("skipped", str(error), path=printable(error.path or "")) for error in errors)
    return replace(battles, notes=battles.notes + skipped)


def audit_battles(
    battles: Battles,
    *,
    settings: Settings | None = None,
    policy: verdicts.Policy | None = None,
    command: str = "",
    progress: Progress = _quiet,
) -> Report:
    """Audit one recording. See `audit`."""
    settings = settings or Settings()
    asked = policy or verdicts.load_policy()
    rules = asked.for_benchmark(battles.benchmark.name, battles.benchmark.version)
    findings = controls_of(battles, settings, progress)
    judge_only = battles.benchmark.subject == "judge"
    worth, judge_notes = (findings, ()) if judge_only else _judge_check(battles, settings, progress)
    submissions: tuple[SubmissionReport, ...] = ()
    harness = check_gates(battles)
    if not judge_only:
        detections = _detections(battles, settings, progress)
        worths = _judge(battles, worth).scores
        submissions = _submissions(battles, findings, detections, harness, rules, settings, worths)
    return Report(
        schema=SCHEMA,
        auditkit=version("judge-auditkit"),
        created=created(),
        seed=settings.seed,
        benchmark=_benchmark(battles),
        judge=_judge(battles, worth),
        inputs=battles.inputs,
        harness=tuple(check.gate for check in harness),
        submissions=submissions,
        notes=battles.notes + findings.notes + judge_notes + _policy_notes(asked, battles),
        method=Method(settings.level, settings.replicates, f"{rules.title} (sha256 {rules.sha256[:12]})", command),
        explanations=_explanations(findings.scores),
    )  # fmt: skip


def _policy_notes(policy: verdicts.Policy, battles: Battles) -> tuple[Note, ...]:
    """Say which of a policy's differences for single benchmarks hold here: a misspelt one would pass in silence."""
    meant, others = policy.differing(battles.benchmark.name, battles.benchmark.version)
    name = printable(f"{battles.benchmark.name} {battles.benchmark.version}".strip(), 80)
    told = [("hold here", meant), ("are for other benchmarks", others)]
    return tuple(
        Note("policy", f"the policy's rules for {', '.join(printable(p, 60) for p in patterns)} {what} ({name})")
        for what, patterns in told if patterns
    )  # fmt: skip


def exit_code(report: Report) -> int:
    """Return 1 if a submission is rejected, else 3 if one is not certifiable, else 0."""
    found = {s.verdict for s in report.submissions}
    return 1 if "rejected" in found else 3 if "not_certifiable" in found else 0


def created() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    return now.isoformat(timespec="seconds")


def _explanations(scores: Sequence[Score]) -> dict[str, Explanation]:
    """Return what controls say of the scores they gave, as far as they bring a text of their own along."""
    shown = {s.control for s in scores if not explained(s.control)}
    told: dict[str, Explanation] = {}
    for plugin in registry.plugins("controls").values() if shown else ():
        try:
            own = getattr(plugin.load(), "explanations", {})
            told |= {c: text for c, text in dict(own).items() if c in shown and isinstance(text, Explanation)}
        except Exception:  # noqa: BLE001, S112  what keeps a plugin from loading is noted where it was to be run
            continue
    return told


def controls_of(battles: Battles, settings: Settings, progress: Progress = _quiet) -> Findings:
    """Run every registered control and join what they found; a control that fails is noted, not fatal."""
    known = registry.plugins("controls")
    found: list[Findings] = []
    for step, (name, plugin) in enumerate(known.items()):
        progress("controls", step, len(known))
        try:
            found.append(plugin.load()(battles, settings))
        except Undefined as error:
            found.append(Findings(notes=(Note("undefined", f"control {name}: {error}"),)))
        except AuditkitError:
            raise  # bad input (a wrong calibration file) is the user's to mend
        except Exception as error:  # noqa: BLE001  whatever a plugin raises must not take the other results along
            found.append(Findings(notes=(Note("control_failed", f"control {name}: {type(error).__name__}: {error}"),)))
    progress("controls", len(known), len(known))
    joined: dict[str, dict[str, object]] = {"decomposition": {}, "position": {}, "length": {}, "style": {}}
    for part in found:
        for section, table in joined.items():
            table.update(getattr(part, section))
    return Findings(
        scores=tuple(s for part in found for s in part.scores),
        notes=tuple(n for part in found for n in part.notes),
        **joined,  # type: ignore[arg-type]  # each section keeps its own type
    )


def _detections(battles: Battles, settings: Settings, progress: Progress) -> Mapping[str, Sequence[Detection]]:
    submissions: list[Submission] = []
    for step, model in enumerate(battles.models):
        progress("detectors", step, len(battles.models))
        submissions.append(battles.submission(model))
    plugins = {name: plugin.load() for name, plugin in registry.plugins("detectors").items()}
    found = detect(submissions, plugins, settings)
    progress("detectors", len(battles.models), len(battles.models))
    return found


def _submissions(
    battles: Battles,
    findings: Findings,
    detections: Mapping[str, Sequence[Detection]],
    harness: Sequence[Check],
    rules: verdicts.Policy,
    settings: Settings,
    worth: Sequence[Score],
) -> tuple[SubmissionReport, ...]:
    by_model: dict[str, list[Score]] = {model: [] for model in battles.models}
    for score in findings.scores:
        by_model.setdefault(score.model, []).append(score)
    usable = _usable_prompts(battles)
    nulls = _null_floors(battles, settings)
    gaming = gaming_of(battles, settings)
    played = None if gaming is None else suite_floor(gaming)
    floor = max([*nulls.values(), *([played] if played else [])], key=lambda f: f.estimate or 0.0, default=None)
    median = _median_honest(by_model, nulls)
    reports = []
    for model in battles.models:
        scores = tuple(by_model[model])
        quality = _quality(battles, model)
        position = findings.position.get(
            model, Position("not_measured", note="no games of this submission are recorded")
        )
        if floor is None:
            null_floor = NullFloor(None, note="no constant answer was judged in this recording")
        elif model in nulls:
            null_floor = replace(nulls[model], note="this submission is itself a constant answer")
        else:
            null_floor = floor
        case = verdicts.Case(
            model=model,
            n=usable.get(model, 0),
            recorded=model in usable,
            scores=scores,
            quality=quality,
            position=position,
            detections=detections.get(model, ()),
            gates=[check.gate for check in harness if check.touches is None or model in check.touches],
            null_floor=NullFloor(None, note=null_floor.note) if model in nulls else null_floor,
            attacks=() if gaming is None else gaming.result.attacks,
            judge_accuracy=[s for s in worth if s.control == "judge_accuracy"],
        )
        verdict, reasons = verdicts.decide(rules, case)
        reports.append(
            SubmissionReport(
                model=model,
                n=case.n,
                verdict=verdict,
                reasons=reasons,
                quality=quality,
                scores=scores,
                decomposition=tuple(findings.decomposition.get(model, ())),
                position=position,
                length=findings.length.get(
                    model, Length(None, None, None, None, None, note="not measured: no answers are recorded")
                ),
                style=tuple(findings.style.get(model, ())),
                detectors=tuple(case.detections),
                attacks=() if gaming is None else gaming.result.attacks,
                null_floor=null_floor,
                gameability=gameability_of(scores, floor, median, case.gates, gaming),
                cost=Cost() if gaming is None else gaming.cost,
            )
        )
    listed = [r.model for r in reports if r.verdict != "rejected"]
    ranks = ranks_of(battles, findings.scores, listed, settings)
    return tuple(replace(r, ranks=ranks.get(r.model, {})) for r in reports)


def _usable_prompts(battles: Battles) -> dict[str, int]:
    """Return, by model, how many distinct prompts have a usable verdict or rating."""
    import pandas as pd

    games = battles.games[battles.games["outcome"].notna()]
    seen = [
        games[["model", "prompt_id"]],
        battles.ratings.loc[battles.ratings["score"].notna(), ["model", "prompt_id"]],
    ]
    if not battles.benchmark.baselines:
        seen.append(games[["opponent", "prompt_id"]].rename(columns={"opponent": "model"}))
    table = pd.concat(seen, ignore_index=True).drop_duplicates()
    return {str(k): int(v) for k, v in table.groupby("model").size().items()}


def _quality(battles: Battles, model: str) -> Quality:
    games = battles.games_of(model)
    ratings = battles.ratings[battles.ratings["model"] == model]
    have = len(set(games["prompt_id"]) | set(ratings["prompt_id"]))
    expected = battles.benchmark.expected
    dropped = battles.dropped[battles.dropped["model"] == model]
    return Quality(
        coverage=min(have / expected, 1.0) if expected and have else None,
        missing=max(expected - have, 0) if have else 0,
        unparsed=int(games["outcome"].isna().sum() + ratings["score"].isna().sum()),
        duplicates=int((dropped["reason"] == "duplicate").sum()),
        bounds=_bounds(battles, model) if len(games) else None,
    )


def _bounds(battles: Battles, model: str) -> Bounds:
    found = missing_bounds(battles, model)
    return Bounds(found.dropped, found.all_lost, found.all_won)


def _null_floors(battles: Battles, settings: Settings) -> dict[str, NullFloor]:
    """Return the score of every submission that gives one answer to most prompts, by model.

    Intervals are Bonferroni-corrected for their number: the best of them is picked afterwards.
    """
    answers = battles.answers
    nulls = []
    for model in battles.models:
        texts = answers.loc[answers["model"] == model, "text"]
        if len(texts) > 1 and texts.value_counts().iloc[0] / len(texts) >= CONSTANT_SHARE:
            nulls.append(model)
    level = 1.0 - (1.0 - settings.level) / max(len(nulls), 1)
    floors = {}
    for model in nulls:
        games = battles.games_of(model)
        games = games[games["outcome"].notna() & (games["variant"] == "")]
        if games["prompt_id"].nunique() > 1:
            mean = cluster_mean(100.0 * games["outcome"].to_numpy(), games["prompt_id"].to_numpy(), level=level)
            floors[model] = NullFloor(
                mean.estimate, mean.ci, f"recorded submission {printable(model, 80)}", mean.n_clusters
            )
    return floors


def _median_honest(scores: Mapping[str, Sequence[Score]], nulls: Iterable[str]) -> float | None:
    left_out = set(nulls)
    raw = [
        s.estimate for model, own in scores.items() if model not in left_out for s in own
        if s.control == "raw" and s.estimate is not None
    ]  # fmt: skip
    return float(np.median(raw)) if raw else None


def ranks_of(
    battles: Battles, scores: Sequence[Score], listed: Sequence[str], settings: Settings
) -> dict[str, dict[str, Rank]]:
    """Rank the listed submissions under every control that gives them an interval; nothing if one was audited.

    A rejected submission is not listed: it holds no rank and takes none from the others. The raw rank is paired on
    prompts; the others treat models that met a baseline as independent, and allow for any correlation of models
    that met each other: both are conservative.
    """
    if len(battles.models) < 2:
        return {}
    table: dict[str, dict[str, Score]] = {}
    for score in scores:
        if score.estimate is not None and score.se is not None and score.model in listed:
            table.setdefault(score.control, {}).setdefault(score.model, score)
    out: dict[str, dict[str, Rank]] = {}
    for control, by_model in table.items():
        models = sorted(by_model)
        estimates = np.array([by_model[m].estimate for m in models], dtype=np.float64)
        if control == "raw" and battles.benchmark.baselines:
            se = 100.0 * paired_se(prompt_outcomes(battles.games).reindex(models).to_numpy(dtype=np.float64))
        else:
            own = np.array([by_model[m].se for m in models], dtype=np.float64)
            se = independent_se(own) if battles.benchmark.baselines else opposed_se(own)
        ranks = rank_intervals(estimates, se, settings.level)
        for i, model in enumerate(models):
            out.setdefault(model, {})[control] = Rank(int(ranks.rank[i]), int(ranks.lo[i]), int(ranks.hi[i]))
    return out


def _benchmark(battles: Battles) -> BenchmarkInfo:
    digest = hashlib.sha256()
    for column in ("prompt_id", "text"):
        for value in battles.prompts[column]:
            digest.update(value.encode("utf-8", "replace") + b"\x00")
    b = battles.benchmark
    return BenchmarkInfo(
        name=b.name,
        version=b.version,
        prompts=len(battles.prompts),
        sha256=digest.hexdigest(),
        format=b.format,
        subject=b.subject,
        expected=b.expected,
        baselines=tuple(sorted(b.baselines)),
        simulated=b.simulated,
    )


def _judge_check(battles: Battles, settings: Settings, progress: Progress) -> tuple[Findings | None, tuple[Note, ...]]:
    """Measure the judge on the pairs with a known answer that the recording brings along, if it does."""
    check = battles.judge_check
    if check is None:
        return None, ()
    found = controls_of(check, settings, lambda stage, done, total: progress("judge check", done, total))
    notes = tuple(replace(note, text=f"judge check: {note.text}") for note in check.notes + found.notes)
    others = sorted(set(check.games["judge"]) - set(battles.games["judge"]) - set(battles.ratings["judge"]))
    if others:
        names = ", ".join(printable(name, 80) for name in others)
        text = f"pairs with a known answer were put to {names}, which did not judge this recording: left out"
        notes += (Note("judge_check", text),)
    return found, notes


def _judge(battles: Battles, findings: Findings | None) -> JudgeInfo:
    """Name the judge; most recordings tell its name alone, and then the hash of its spec is empty."""
    names = sorted((set(battles.games["judge"]) | set(battles.ratings["judge"])) - {""})
    name = ", ".join(names) or "not recorded"
    if findings is None:
        return JudgeInfo(name=name, model=name, sha256=_judge_hash(battles), simulated=battles.benchmark.simulated)
    return JudgeInfo(
        name=name,
        model=name,
        sha256=_judge_hash(battles),
        simulated=battles.benchmark.simulated,
        scores=tuple(s for s in findings.scores if s.model in names),
        position={k: v for k, v in findings.position.items() if k in names},
        length={k: v for k, v in findings.length.items() if k in names},
    )


def _judge_hash(battles: Battles) -> str:
    """Return the hash of the one judge file that came with the recording, "" where there is none or another version's."""
    from auditkit.judging.spec import parse_judge

    if len(battles.judges) != 1:
        return ""
    try:
        return parse_judge(battles.judges[0], "judge.toml").sha256
    except InputError:
        return ""
