"""The battles table of a run, derived from its store, and the record of how it was made.

Repeated games carry the variant ``repeat-1``, ``repeat-2`` …: they measure the judge's noise and are no part of a
score. A game that the provider refuses for good is a game without an outcome; one that failed for now is missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from sys import intern
from typing import Final

from auditkit.judging.engine import Played
from auditkit.judging.plan import Contest
from auditkit.judging.resolve import Work
from auditkit.judging.store import Game, Rating, Store
from auditkit.judging.store.redaction import without_secrets
from auditkit.records import (
    ANSWER_COLUMNS,
    DROPPED_COLUMNS,
    GAME_COLUMNS,
    PROMPT_COLUMNS,
    RATING_COLUMNS,
    Battles,
    Benchmark,
    Note,
    frame,
)

__all__ = ["battles_of", "record_of_run", "run_name"]

_PLACES: Final = {"model_first": 0, "model_second": 1, "unknown": 2}
_NAN: Final = float("nan")


def run_name(name: str, contest: Contest, model: str) -> str:
    """Return the store's name of the run that holds one model's games: it changes with whatever decides them."""
    return f"{name[:80]}/{model[:80]}/{contest.fingerprint(model)[:16]}"


def _table(columns: Mapping[str, str], rows: list[tuple[object, ...]]) -> object:
    if not rows:
        return frame(columns)
    return frame(columns, dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)))


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
    place = {prompt.id: k for k, prompt in enumerate(contest.prompts)}
    rank = {model: k for k, model in enumerate(contest.models)}
    answers, at = _answer_rows(contest)
    games: list[tuple[object, ...]] = []
    ratings: list[tuple[object, ...]] = []
    groups: dict[tuple[object, ...], list[float]] = {}
    # Rows with shared names, not records: there may be very many.
    for record in _stored(store, runs, contest):
        prompt, model = intern(record.prompt_id), intern(record.model)
        own = at.get((model, prompt, record.turn), -1)
        if isinstance(record, Game):
            value, order = record.outcome, intern(record.order)
            games.append((
                prompt, model, intern(record.opponent), intern(record.judge), order, intern(record.label), value,
                record.weight, _variant(record.sample), record.turn, record.gold, own,
                at.get((record.opponent, prompt, record.turn), -1),
            ))  # fmt: skip
        else:
            value, order = record.score, "unknown"
            if not record.sample:
                ratings.append((prompt, model, intern(record.judge), record.turn, value, own))
        if contest.repeats > 1 and not math.isnan(value):
            groups.setdefault((prompt, model, order, record.turn), []).append(value)
    if not (games or ratings):
        return None
    for task, _ in played.rejected:
        own = at[task.model, task.prompt.id, task.turn]
        if task.opponent:
            games.append((
                task.prompt.id, task.model, task.opponent, contest.judge_name, task.order, "", _NAN, 1.0,
                _variant(task.sample), task.turn, _NAN, own, at[task.opponent, task.prompt.id, task.turn],
            ))  # fmt: skip
        elif not task.sample:
            ratings.append((task.prompt.id, task.model, contest.judge_name, task.turn, _NAN, own))
    # In the plan's order, whichever came back first.
    games.sort(key=lambda g: (place[g[0]], rank[g[1]], g[9], _PLACES[g[4]], len(str(g[8])), g[8]))  # type: ignore[index]
    ratings.sort(key=lambda r: (place[r[0]], rank[r[1]], r[3]))  # type: ignore[index]
    return Battles.build(
        benchmark,
        games=_table(GAME_COLUMNS, games),
        answers=_table(ANSWER_COLUMNS, answers),
        prompts=_table(PROMPT_COLUMNS, [(p.id, p.text, p.category, p.cluster, p.language) for p in contest.prompts]),
        ratings=_table(RATING_COLUMNS, ratings),
        dropped=_table(DROPPED_COLUMNS, [(key, model, "no_answer", reason) for key, model, reason in missing]),
        notes=[*_notes(contest, played), *_noise(groups.values())],
    )


def _variant(sample: int) -> str:
    return f"repeat-{sample}" if sample else ""


def _answer_rows(contest: Contest) -> tuple[list[tuple[object, ...]], dict[tuple[str, str, int], int]]:
    """Return the rows of the answers table, and the row of each model, prompt and turn."""
    rows: list[tuple[object, ...]] = []
    at: dict[tuple[str, str, int], int] = {}
    for name, answers in contest.answers.items():
        for prompt_id, answer in answers.items():
            for turn, text in enumerate(answer.turns, 1):
                last = turn == len(answer.turns)
                at[name, prompt_id, turn] = len(rows)
                rows.append(
                    (prompt_id, name, turn, text, answer.trace if last else "", answer.finish if last else "", "")
                )
    return rows, at


def _stored(store: Store, runs: Mapping[str, str], contest: Contest) -> Iterator[Game | Rating]:
    for run in runs.values():
        yield from store.games(run) if contest.judge.pairwise else store.ratings(run)


def _notes(contest: Contest, played: Played) -> Iterator[Note]:
    if played.rejected:
        reason = played.rejected[0][1]
        yield Note("rejected", f"games that the provider refuses for good; the first: {reason}", len(played.rejected))
    open_games = played.total - played.done - len(played.rejected)
    if open_games:
        yield Note("unplayed", "games that are not played yet: run the same command again", open_games)
    same = 0
    for name in contest.models:
        for prompt in contest.prompts:
            own = contest.answers.get(name, {}).get(prompt.id)
            other = contest.answers.get(contest.baseline(prompt), {}).get(prompt.id)
            same += own is not None and other is not None and own.turns == other.turns
    if same and contest.judge.pairwise:
        how = "ties by the judge's rule, not sent" if contest.judge.identical_is_tie else "sent like any other pair"
        yield Note("identical", f"pairs of equal answers; {how}", same)


def _noise(groups: Iterable[list[float]]) -> Iterator[Note]:
    """Yield the judge's noise: how far verdicts on one and the same request differ."""
    repeated = [values for values in groups if len(values) > 1]
    if not repeated:
        return
    changed = sum(min(values) != max(values) for values in repeated)
    spread = [sum((v - sum(values) / len(values)) ** 2 for v in values) / (len(values) - 1) for values in repeated]
    yield Note(
        "judge_noise",
        f"games asked more than once; the verdict changed in {100 * changed / len(repeated):.1f}% of them, "
        f"standard deviation of one verdict {math.sqrt(sum(spread) / len(spread)):.3f}",
        len(repeated),
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
    lines = [f"{name} = {_toml_value(value)}" for name, value in values.items() if value not in (None, "", {}, [], ())]
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
