"""The battles table of a run, derived from its store, and the record of how it was made.

A game that the provider refuses for good is a game without an outcome; one that failed for now is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version

from auditkit.judging.engine import Played
from auditkit.judging.plan import Contest
from auditkit.judging.resolve import Work
from auditkit.judging.spec import to_toml
from auditkit.judging.store import Store
from auditkit.judging.store.redaction import without_secrets
from auditkit.judging.verdict_tables import Verdicts, answers_of, games_table, noise_of, ratings_table, verdicts_of
from auditkit.records import (
    DROPPED_COLUMNS,
    PROMPT_COLUMNS,
    Battles,
    Benchmark,
    Note,
)
from auditkit.tables import table

__all__ = ["battles_of", "record_of_run", "run_name"]


def run_name(name: str, contest: Contest, model: str) -> str:
    """Return the store's name of the run that holds one model's games: it changes with whatever decides them."""
    return f"{name[:80]}/{model[:80]}/{contest.fingerprint(model)[:16]}"


def battles_of(
    store: Store,
    runs: Mapping[str, str],
    contest: Contest,
    benchmark: Benchmark,
    *,
    played: Played,
    missing: Iterable[tuple[str, str, str]] = (),
) -> Battles | None:
    """Return the recording of a run; None while it holds no verdict.

    Args:
        store: The run's store.
        runs: The store's name of the run of each model.
        contest: The contest, with every answer.
        benchmark: The benchmark's record.
        played: What this start of the run came to.
        missing: ``(prompt id, model, reason)`` of answers that there are not.
    """
    verdicts = verdicts_of(contest, store, runs.values(), [task for task, _ in played.rejected])
    if not verdicts.stored:
        return None
    answers = answers_of(contest)
    pairwise = contest.judge.pairwise
    return Battles.build(
        benchmark,
        games=games_table(verdicts, answers) if pairwise else None,
        answers=answers.table,
        prompts=table(PROMPT_COLUMNS, [(p.id, p.text, p.category, p.cluster, p.language) for p in contest.prompts]),
        ratings=None if pairwise else ratings_table(verdicts, answers),
        dropped=table(DROPPED_COLUMNS, [(key, model, "no_answer", reason) for key, model, reason in missing]),
        notes=[*_notes(contest, played), *_noise(contest, verdicts)],
        judges=(to_toml(contest.judge),),
    )


def _notes(contest: Contest, played: Played) -> Iterator[Note]:
    if played.rejected:
        reason = played.rejected[0][1]
        yield Note("rejected", f"games that the provider refuses for good; the first: {reason}", len(played.rejected))
    open_games = played.total - played.done - len(played.rejected)
    if open_games:
        yield Note("unplayed", "games that are not played yet: run the same command again", open_games)
    if contest.judge.aggregate == "swap_and_tie":
        yield Note("aggregate", "swap_and_tie: orders that disagree count as a tie; see the score of that name")
    same = 0
    for name in contest.models:
        for prompt in contest.prompts:
            own = contest.answers.get(name, {}).get(prompt.id)
            other = contest.answers.get(contest.baseline(prompt), {}).get(prompt.id)
            same += own is not None and other is not None and own.turns == other.turns
    if same and contest.judge.pairwise:
        how = "ties by the judge's rule, not sent" if contest.judge.identical_is_tie else "sent like any other pair"
        yield Note("identical", f"pairs of equal answers; {how}", same)


def _noise(contest: Contest, verdicts: Verdicts) -> Iterator[Note]:
    """Yield the judge's noise: how far verdicts on one and the same request differ."""
    noise = noise_of(verdicts) if contest.repeats > 1 else None
    if noise is not None:
        yield Note(
            "judge_noise",
            f"games asked more than once; the verdict changed in {100 * noise.changed:.1f}% of them, "
            f"standard deviation of one verdict {noise.sd:.3f}",
            noise.n,
        )


# --- the record of the run ------------------------------------------------------------------------------------------


def _toml_value(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_toml_value(str(k))} = {_toml_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml_value(v) for v in value)}]"
    return repr(value)


def _toml_table(header: str, values: Mapping[str, object]) -> str:
    # Keys are quoted: a model's name may hold a slash, a dot or an escape.
    kept = {name: value for name, value in values.items() if value not in (None, "", {}, [], ())}
    lines = [f"{_toml_value(str(name))} = {_toml_value(value)}" for name, value in kept.items()]
    return "\n".join(["", header, *lines, ""])


def record_of_run(work: Work, contest: Contest) -> str:
    """Return how a run is made, as TOML tables for ``run.toml``: settings, judge, models, versions, hashes, inputs.

    Nothing secret is in it, and no time of day: the same run gives the same bytes.
    """
    spec = work.spec
    settings = {k: v for k, v in asdict(spec.run).items() if k not in ("store", "max_cost")}
    judge = {
        "use": spec.judge.use, "name": contest.judge.name, "model": contest.judge_model,
        "base_url": work.judge.base_url, "params": dict(contest.judge.params), "order": contest.judge.order,
        "sha256": contest.judge_sha256,
    }  # fmt: skip
    if not contest.judge.pairwise:
        del judge["order"]
    asked = asdict(replace(spec.benchmark, baseline=dict(contest.baselines)))
    tables = [
        _toml_table("[spec]", _clean(asked)),
        _toml_table("[judge]", _clean(judge)),
        *(_toml_table("[[models]]", _clean(asdict(model))) for model in spec.models),
        _toml_table("[run]", _clean(settings)),
        _toml_table("[versions]", {name: version(name) for name in ("judge-auditkit", "litellm", "openai")}),
        _toml_table("[hashes]", {model: contest.fingerprint(model) for model in contest.models}),
        *(_toml_table("[[inputs]]", asdict(entry)) for entry in work.inputs),
    ]
    return "".join(tables)


def _clean(values: Mapping[str, object]) -> Mapping[str, object]:
    cleaned = without_secrets({name: value for name, value in values.items() if value is not None})
    return cleaned if isinstance(cleaned, dict) else {}
