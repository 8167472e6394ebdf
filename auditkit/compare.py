"""Compare two submissions or two judges, paired on the prompts that both have.

::

    found = compare("results/", submissions=("gpt-4", "vicuna-7b"))
    found = compare("llmbar/Natural", judges=("ChatGPT/Vanilla", "LLaMA2/Vanilla"))

The estimators are those of a claim's audit (`auditkit.claims`) and of an audit; nothing is estimated a second way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from auditkit import formats
from auditkit.audit import Progress, controls_of, created
from auditkit.claims import Claim, Estimate
from auditkit.claims.controlled import GATED, Gains, gains
from auditkit.claims.paired import Pairs, pair, sides
from auditkit.claims.verdicts import decide_gain
from auditkit.controls.slices import slices_of
from auditkit.errors import UsageError, printable
from auditkit.judge_pairs import TIE, compare_judges, corrected, counts_of, furthest
from auditkit.records import Battles, Interval, Part, Score, Settings
from auditkit.reports.comparison import SCHEMA, Comparison, Difference, Outcome, PromptPair, excerpt
from auditkit.stats.claims import difference_error
from auditkit.stats.intervals import normal_interval
from auditkit.stats.uplift import paired_uplift, two_sided_p

__all__ = ["compare", "compare_submissions"]

Floats = NDArray[np.float64]

#: Slices of each kind that are shown.
MOST_SLICES: Final = 16
_NAMED: Final = 8
#: Controls of an audit whose paired counterpart is among the gains already.
_PAIRED: Final = ("raw", "length_controlled", "length_matched", "style_controlled")
_WORDS: Final = {"length_controlled": "length_controlled_paired", "style_controlled": "style_controlled_paired"}


def compare(
    *paths: Path | str,
    submissions: tuple[str, str] | None = None,
    judges: tuple[str, str] | None = None,
    settings: Settings | None = None,
    format: str | None = None,  # noqa: A002  the field's word, and the option's name
    command: str = "",
    progress: Progress = lambda stage, done, total: None,
) -> Comparison:
    """Compare two submissions, or two judges, of recordings.

    Args:
        paths: Recordings of any format; two judges may stand in two of them.
        submissions: The two, A first; they may include the baseline. None, and no `judges`: the recording holds two.
        judges: The two judges, A first.
        settings: Level, replicates, seed, calibration file.
        format: Force this format instead of recognising it.
        command: The command line to print as the way to make it again.
        progress: Told of every finished step.

    Raises:
        InputError: A recording cannot be used.
        UsageError: Both kinds or neither are named, a name is not recorded, or a side is compared with itself.
        NoData: The two share no prompt (exit code 3).
    """
    if submissions and judges:
        raise UsageError("give two submissions or two judges, not both")
    settings = settings or Settings()
    progress("reading", 0, len(paths))
    parts, errors = formats.read_each(paths, format=format, keep_going=False)
    if errors:
        raise errors[0]
    battles = formats.join(parts)
    progress("reading", len(paths), len(paths))
    if judges is None and submissions is None and battles.benchmark.subject == "judge":
        judges = _the_two(sorted(set(battles.games["judge"])), "judges")
    if judges is not None:
        attacked = [p.attacked for p in parts if p.attacked is not None]
        return replace(compare_judges(battles, *judges, settings, attacked=attacked), command=command)
    a, b = submissions or _the_two(battles.models, "submissions")
    return replace(compare_submissions(battles, a, b, settings, progress=progress), command=command)


def _the_two(names: Sequence[str], what: str) -> tuple[str, str]:
    if len(names) != 2:
        raise UsageError(
            f"the recording holds {len(names)} {what}: name two with --{what} A B; there are: {_listed(names)}"
        )
    return names[0], names[1]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name, 60) for name in names[:_NAMED])
    return (f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown) or "none"


def compare_submissions(
    battles: Battles,
    a: str,
    b: str,
    settings: Settings | None = None,
    *,
    scores: Sequence[Score] | None = None,
    flagged: Mapping[str, Sequence[str]] | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> Comparison:
    """Compare two submissions of one recording, prompt by prompt.

    Args:
        battles: The recording.
        a, b: The two; every difference is A minus B.
        settings: Level, replicates, seed, calibration.
        scores: What an audit of this recording found; None: the controls are run.
        flagged: By submission, the detectors of reject severity that an audit saw flag it; None: they are run.
        progress: Told of every finished step.

    Returns:
        The raw difference with the interval of paired prompts; the difference at equal length and style (regression of
        paired differences), where the answers are about equally long and where verdicts hold in both orders, all with one
        bootstrap of the prompts; for every other control the difference of the two scores. Slices are corrected by Holm.

    Raises:
        UsageError: A name is not recorded, or both are the same.
        NoData: The two share no prompt.
    """
    settings = settings or Settings()
    known = sorted({*battles.models, *battles.benchmark.baselines})
    for name in (a, b):
        if name not in known:
            raise UsageError(f"no submission {printable(name, 60)!r} is recorded; there are: {_listed(known)}")
    if a == b:
        raise UsageError("a submission compared with itself: name two")
    metric = "win_rate" if len(battles.games) else "score"
    pairs = pair(battles, a, b, metric)
    ahead = float(pairs.difference.mean()) >= 0.0
    lead, other = (a, b) if ahead else (b, a)
    progress("comparison", 0, 3)
    known_flags = None if flagged is None else flagged.get(lead, ())
    found = gains(battles, lead, other, metric, settings, settings.level, flagged=known_flags)
    progress("comparison", 1, 3)
    if scores is None:
        scores = controls_of(battles, settings).scores
    progress("comparison", 2, 3)
    rows = [*_of_gains(found, ahead), *_of_scores(battles, a, b, scores, settings)]
    outcome, sentence = _decided(found, lead, other, ahead)
    if found.scores is not None:
        own = found.scores if ahead else found.scores[::-1]
        rows[0] = replace(rows[0], a=own[0], b=own[1])
    rows[0] = replace(rows[0], p_value=_p(pairs, settings))
    slices, left_out = _slices(battles, pairs, settings)
    judge = sorted((set(battles.games["judge"]) | set(battles.ratings["judge"])) - {""})
    progress("comparison", 3, 3)
    return Comparison(
        schema=SCHEMA,
        subject="submissions",
        auditkit=version("judge-auditkit"),
        created=created(),
        seed=settings.seed,
        level=settings.level,
        replicates=settings.replicates,
        benchmark=battles.benchmark.name,
        judge=", ".join(judge),
        a=a,
        b=b,
        outcome=outcome,
        sentence=sentence,
        unit="win_rate" if metric == "win_rate" else "rating",
        design=pairs.design,
        n=pairs.n,
        left_out=pairs.left_out,
        counts=counts_of(pairs.difference),
        headline=rows[0],
        rows=tuple(rows),
        parts=tuple(found.decomposition if ahead else map(_turned_part, found.decomposition)),
        slices=slices,
        slices_left_out=left_out,
        prompts=_prompts(battles, pairs, a, b),
        simulated=battles.benchmark.simulated,
        inputs=battles.inputs,
    )


def _turned(ci: Interval | None) -> Interval | None:
    return None if ci is None else (-ci[1], -ci[0])


def _turned_part(part: Part) -> Part:
    return replace(part, points=None if part.points is None else 0.0 - part.points, ci=_turned(part.ci))


def _of_gains(found: Gains, ahead: bool) -> list[Difference]:
    """Return what `claims.gains` found as differences A minus B; it was asked with the better one first."""
    return [
        Difference(
            name=_WORDS.get(e.control, e.control),
            kind="control",
            estimate=e.estimate if ahead or e.estimate is None else -e.estimate,
            ci=e.ci if ahead else _turned(e.ci),
            n=e.n,
            taken_away=e.drop_ci if ahead else _turned(e.drop_ci),
            overlap=e.overlap,
            method=e.method,
            note=e.note,
        )
        for e in found.estimates
        if e.control != GATED
    ]


def _of_scores(battles: Battles, a: str, b: str, scores: Sequence[Score], settings: Settings) -> list[Difference]:
    """Return, for every control that has no paired counterpart, the difference of the two models' scores.

    Two models that met the same baseline on the same prompts are positively correlated, so errors as if they were
    independent are too wide rather than too narrow. Models that met each other are negatively correlated: their errors add
    up, which holds for any correlation.
    """
    rows = []
    table = {(s.model, s.control): s for s in scores if s.estimate is not None and s.se is not None}
    for control in dict.fromkeys(s.control for s in scores):
        if control in _PAIRED or control.endswith(("_published", "_aligned")):
            continue
        one, two = table.get((a, control)), table.get((b, control))
        if one is None or two is None or one.estimate is None or two.estimate is None or one.unit == "accuracy":
            continue
        errors = (one.se or 0.0, two.se or 0.0)
        apart = bool(battles.benchmark.baselines)
        se = difference_error(*errors) if apart else errors[0] + errors[1]
        how = "as if independent (too wide, not too narrow)" if apart else "errors added up (holds for any correlation)"
        gap = one.estimate - two.estimate
        low, high = normal_interval(gap, se, settings.level)
        if one.unit == "win_rate":  # two rates of 0 to 100 are no further apart than 100 points
            low, high = max(low, -100.0), min(high, 100.0)
        rows.append(Difference(
            control, "control", gap, (low, high), min(one.n, two.n), one.estimate, two.estimate, paired=False,
            method=f"difference of two scores; interval: {how}",
            overlap=None if one.overlap is None or two.overlap is None else min(one.overlap, two.overlap),
            note=next((s.note for s in (one, two) if s.note.startswith("EXTRAPOLATION")), ""),
        ))  # fmt: skip
    return rows


def _decided(found: Gains, lead: str, other: str, ahead: bool) -> tuple[Outcome, str]:
    """Return the outcome by the rules that decide a claim that the better one beats the other."""
    main = found.estimates[0]
    rest: list[Estimate] = [e for e in found.estimates if e is not main]
    decision = decide_gain(Claim("compare", "beats", candidate=lead, baseline=other), main, rest)
    if decision.verdict == "certified":
        return ("a" if ahead else "b"), decision.sentence
    if decision.verdict != "vanishes_under":
        return "not_separable", decision.sentence
    return ("gated" if decision.control == GATED else "vanishes"), decision.sentence


def _width(pairs: Pairs) -> float:
    return max(float(np.abs(pairs.difference).max()), TIE) if math.isinf(pairs.limit) else pairs.limit


def _p(pairs: Pairs, settings: Settings) -> float | None:
    if pairs.n < 2:
        return None
    share = np.clip(pairs.difference / _width(pairs), -1.0, 1.0)
    return two_sided_p(share, replicates=settings.replicates, seed=settings.seed)


def _slices(battles: Battles, pairs: Pairs, settings: Settings) -> tuple[tuple[Difference, ...], int]:
    found, left_out = slices_of(battles, MOST_SLICES)
    rows = []
    width, place = _width(pairs), {prompt: i for i, prompt in enumerate(pairs.prompts)}
    for one in found:
        at = sorted(place[prompt] for prompt in one.prompts if prompt in place)
        kind: Literal["category", "language"] = one.kind
        if len(at) < 2:
            rows.append(
                Difference(one.value, kind, None, n=len(at), note="not measured: fewer than two shared prompts")
            )
            continue
        share = np.clip(pairs.difference[at] / width, -1.0, 1.0)
        up = paired_uplift(share, settings.level, replicates=settings.replicates, seed=settings.seed)
        own = pairs.outcomes[at].mean(axis=0)
        rows.append(Difference(
            one.value, kind, up.estimate * width, (up.ci[0] * width, up.ci[1] * width), len(at), float(own[0]),
            float(own[1]), p_value=two_sided_p(share, replicates=settings.replicates, seed=settings.seed),
        ))  # fmt: skip
    return tuple(corrected(rows)), left_out


def _prompts(battles: Battles, pairs: Pairs, a: str, b: str) -> tuple[PromptPair, ...]:
    """Return the prompts with the largest differences, for A first and then for B."""
    texts = battles.prompts.drop_duplicates("prompt_id").set_index("prompt_id")
    answers = [_answers(battles, name) for name in (a, b)]
    found = []
    for i in furthest(pairs.difference):
        key = pairs.prompts[i]
        text, category = (str(texts.at[key, c]) if key in texts.index else "" for c in ("text", "category"))
        own = [excerpt(known.get(key, "")) for known in answers]
        one, two = (float(v) for v in pairs.outcomes[i])
        found.append(PromptPair(printable(key, 80), printable(category, 60), excerpt(text), one, two, *own))
    return tuple(found)


def _answers(battles: Battles, model: str) -> dict[str, str]:
    """Return the first recorded answer of a model to each prompt."""
    own = sides(battles, model)
    games = own[own["answer"] >= 0].drop_duplicates("prompt_id")
    texts = battles.answers["text"]
    if len(games):
        return dict(zip(games["prompt_id"], texts.iloc[games["answer"].to_numpy()], strict=True))
    mine = battles.answers[battles.answers["model"] == model].drop_duplicates("prompt_id")
    return dict(zip(mine["prompt_id"], mine["text"], strict=True))
