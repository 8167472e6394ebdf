"""WildBench's reward and its length rule: a slight win by an answer that is more than K characters longer is a tie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.controls.design import answer_chars
from auditkit.formats.wildbench import EMPTY, REFERENCES, TRUNCATED
from auditkit.records import Battles, Findings, Score, Settings
from auditkit.stats.intervals import normal_interval

__all__ = ["TASK_WEIGHTS", "apply_k", "wildbench_k"]

CONTROL: Final = "wildbench_k"
#: Length margins of the sweep over games, in characters; -1 turns the rule off.
SWEEP: Final = (-1, 0, 500, 1000, 1500)
#: The weights of the five task groups in WildBench's task-macro figures; they are divided by their sum, 4.75.
TASK_WEIGHTS: Final[Mapping[str, float]] = {
    "Information/Advice seeking": 0.75,
    "Creative Tasks": 0.5,
    "Planning & Reasoning": 1.25,
    "Math & Data Analysis": 1.0,
    "Coding & Debugging": 1.25,
}
_SHORT: Final = {name: short for short, name in REFERENCES.items()}
_COUNTS: Final = ["win_much", "win", "tie", "lose", "lose_much"]
_REWARDS: Final = np.array([1.0, 0.5, 0.0, -0.5, -1.0])

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Reward:
    """A reward in -1..1 (None: undefined, `note` says why) with its standard error and the items it is a mean of."""

    value: float | None
    se: float | None
    total: int
    how: str
    note: str = ""


class _Key(NamedTuple):
    model: str
    reference: str
    k: int


_Rewards = dict[_Key, _Reward]


def wildbench_k(battles: Battles, settings: Settings | None = None) -> Findings:
    """Compute WB-Reward for every reference and length margin K, as published and with honest alternatives.

    A much better answer earns ±1, a slightly better one ±1/2, a tie 0. With K >= 0 a slight win is a tie if the
    winner's answer is more than K characters longer than the loser's (strictly, and for either side). Items with a
    truncated or empty answer are not counted but stay in the published denominator, which draws every reward towards
    0; the note gives the reward over counted items. Rows, in points -100..100:

    * ``wildbench_k_<reference>_K=<k>``: the reward. From games (K of `SWEEP`) the interval clusters by prompt; from
      count tables (every K that is there) it is that of a multinomial over the items.
    * ``…_task_macro`` (tables): ``sum_t w_t * reward_t / 4.75`` with the items counted in task t as denominator. An
      item counts in each of its tasks, so the interval takes the tasks as perfectly correlated: it is conservative.
    * ``wildbench_k_mixture_K=<k>`` and ``wildbench_k_task_macro_mixture_K=<k>``: the mean over the three references
      with a missing one as 0, as published; ``…_present`` in the name: over those that were played (a reference
      against itself is 0 by symmetry). Only where a recording holds all three references at that K.

    Args:
        battles: A WildBench recording, of games or of count tables.
        settings: Confidence level; None: the defaults.

    Source: Lin et al., arXiv:2406.04770, section 4; allenai/WildBench ``leaderboard/data_dir/_create_tables.py`` and
    ``_merge_results.py``.
    """
    settings = settings or Settings()
    if battles.benchmark.format != "wildbench":
        return Findings()
    rewards, macros = _from_tables(battles.tables)
    rewards |= _from_games(battles)
    scores = [*_mixtures("mixture", rewards, settings.level), *_mixtures("task_macro_mixture", macros, settings.level)]
    scores += [_score(key, "", reward, settings.level) for key, reward in rewards.items()]
    scores += [_score(key, "_task_macro", reward, settings.level) for key, reward in macros.items()]
    return Findings(scores=tuple(scores))


def apply_k(outcome: Floats, chars: Floats, opponent_chars: Floats, k: int) -> Floats:
    """Return outcomes (0, .25, .5, .75, 1) with slight wins of overlong answers turned into ties.

    Args:
        outcome: Verdicts from the model's side (n,); NaN: none.
        chars: Characters of the model's answers (n,).
        opponent_chars: Characters of the opponent's answers (n,).
        k: Length margin in characters; negative: no change.
    """
    if k < 0:
        return outcome
    longer = chars - opponent_chars
    tied = ((outcome == 0.75) & (longer > k)) | ((outcome == 0.25) & (-longer > k))
    return np.where(tied, 0.5, outcome)


# --- from count tables ----------------------------------------------------------------------------------------------


def _from_tables(tables: pd.DataFrame) -> tuple[_Rewards, _Rewards]:
    """Return the rewards over all tasks, and the task-macro rewards."""
    rewards: _Rewards = {}
    macros: _Rewards = {}
    for (model, reference, k), rows in tables.groupby(["model", "opponent", "k"], sort=True):
        found = {
            str(task): _of_counts(row, int(total))
            for task, total, row in zip(rows["task"], rows["total"], rows[_COUNTS].to_numpy(np.float64), strict=True)
        }
        key = _Key(str(model), str(reference), int(k))
        rewards[key] = found.pop("")
        if found:
            macros[key] = _macro(found, rewards[key].total)
    return rewards, macros


def _of_counts(counts: Floats, total: int) -> _Reward:
    """Return the reward of `counts` (5,) over `total` items, of which the others earn 0."""
    how = "counts; interval of a multinomial over the items"
    if total == 0:
        return _Reward(None, None, 0, how, "the file held no items")
    mean = float(counts @ _REWARDS) / total
    spread = float(counts @ _REWARDS**2) / total - mean**2
    se = math.sqrt(max(spread, 0.0) / (total - 1)) if total > 1 else None
    return _Reward(mean, se, total, how, _skipped(mean, total, total - int(counts.sum())))


def _macro(tasks: Mapping[str, _Reward], total: int) -> _Reward:
    """Return WildBench's weighted mean over tasks; a task that is missing or empty earns 0, as published."""
    how = "weighted mean over tasks, a task's denominator its counted items; conservative interval"
    present = {task: found for task in TASK_WEIGHTS if (found := tasks.get(task)) and found.value is not None}
    if not present:
        return _Reward(None, None, total, how, "no item of the five tasks was counted")
    whole = sum(TASK_WEIGHTS.values())
    value = sum(TASK_WEIGHTS[task] * (found.value or 0.0) for task, found in present.items()) / whole
    se = sum(TASK_WEIGHTS[task] * (found.se or 0.0) for task, found in present.items()) / whole
    lost = ", ".join(task for task in TASK_WEIGHTS if task not in present)
    return _Reward(value, se, total, how, f"no items, taken as 0 (published): {lost}" if lost else "")


# --- from games -----------------------------------------------------------------------------------------------------


def _from_games(battles: Battles) -> _Rewards:
    games = battles.games[battles.games["variant"] == ""]
    answers = battles.answers["text"]
    odd = (answers == "") | (answers == EMPTY) | answers.str.endswith(TRUNCATED)
    # An answer that was not recorded has row -1: the padded last place answers for it.
    skipped = np.append(odd.to_numpy(dtype=bool), False)
    chars = np.append(answer_chars(battles, np.arange(len(answers))), np.nan)
    ours, other = games["answer"].to_numpy(), games["opponent_answer"].to_numpy()
    outcome = games["outcome"].to_numpy()
    table = games[["model", "opponent", "prompt_id", "judge", "outcome"]].assign(
        skip=skipped[ours] | skipped[other], recorded=(ours >= 0) & (other >= 0)
    )
    rewards: _Rewards = {}
    for k in SWEEP:
        table["value"] = np.where(table["skip"], 0.0, 2 * apply_k(outcome, chars[ours], chars[other], k) - 1)
        for (model, reference), rows in table.groupby(["model", "opponent"], sort=True):
            rewards[_Key(str(model), str(reference), k)] = _of_games(rows, k)
    return rewards


def _of_games(rows: pd.DataFrame, k: int) -> _Reward:
    """Return the mean of the games' rewards, clustered by prompt; unparsed verdicts are left out, as published."""
    parsed = rows["outcome"].notna()
    rows, unparsed = rows[parsed], int((~parsed).sum())
    judges = rows["judge"].nunique()
    how = "games" if judges < 2 else f"games of {judges} judges"
    n = len(rows)
    if not n:
        return _Reward(None, None, 0, how, "no game has a verdict")
    unknown = int((~rows["recorded"]).sum())
    if k >= 0 and unknown:
        return _Reward(None, None, n, how, f"{unknown} of {n} games without both answers: lengths not known")
    value = rows["value"].to_numpy()
    prompt = pd.factorize(rows["prompt_id"])[0]
    mean, clusters = float(value.mean()), int(prompt.max()) + 1
    sums = np.bincount(prompt, weights=value - mean)
    se = math.sqrt(clusters / (clusters - 1) * float(sums @ sums)) / n if clusters > 1 else None
    notes = [_skipped(mean, n, int(rows["skip"].sum()))]
    if unparsed:
        low, high = (100 * (mean * n + sign * unparsed) / (n + unparsed) for sign in (-1, 1))
        notes.append(f"{unparsed} unparsed left out: {low:.2f} if all were lost, {high:.2f} if won")
    return _Reward(mean, se, n, f"{how}; interval clustered by prompt", "; ".join(filter(None, notes)))


# --- both -----------------------------------------------------------------------------------------------------------


def _skipped(mean: float, total: int, skipped: int) -> str:
    if not skipped:
        return ""
    text = f"{skipped} of {total} items truncated or empty: in the denominator, not counted"
    return text if skipped == total else f"{text}; {100 * mean * total / (total - skipped):.2f} over counted items"


def _rule(k: int) -> str:
    return "K rule off (-1)" if k < 0 else f"slight wins by more than {k} characters are ties"


def _score(key: _Key, suffix: str, found: _Reward, level: float) -> Score:
    control = f"{CONTROL}_{_SHORT.get(key.reference, key.reference)}_K={key.k}{suffix}"
    method = f"reward against {key.reference}; {_rule(key.k)}; {found.how}"
    if found.value is None:
        return Score(key.model, control, None, n=found.total, method=method, unit="reward", note=found.note)
    return _points(key.model, control, found.value, found.se, found.total, level, method, found.note)


def _points(
    model: str, control: str, value: float, se: float | None, n: int, level: float, method: str, note: str
) -> Score:
    ci = None
    if se is not None:
        low, high = normal_interval(value, se, level)
        ci, se = (max(-100.0, 100 * low), min(100.0, 100 * high)), 100 * se
    return Score(model, control, 100 * value, se, ci, n=n, method=method, unit="reward", note=note)


def _mixtures(name: str, rewards: _Rewards, level: float) -> Iterator[Score]:
    """Yield the mean over the three references, for each K at which the recording holds all three."""
    known = {
        key: found for key, found in rewards.items() if key.reference in REFERENCES.values() and found.value is not None
    }
    for k in sorted({key.k for key in known}):
        here = {key: found for key, found in known.items() if key.k == k}
        if len({key.reference for key in here}) == len(REFERENCES):
            for model in sorted({key.model for key in here}):
                yield from _mixture(model, name, k, here, level)


def _mixture(model: str, name: str, k: int, rewards: _Rewards, level: float) -> Iterator[Score]:
    played = [rewards[key] for r in REFERENCES.values() if (key := _Key(model, r, k)) in rewards]
    missing = [r for r in REFERENCES.values() if _Key(model, r, k) not in rewards]
    value = sum(found.value or 0.0 for found in played)
    # The references share their prompts, and counts do not tell how far their rewards go together: at most perfectly.
    se = sum(found.se or 0.0 for found in played)
    note = f"missing: {', '.join(missing)}" if missing else ""
    for suffix, parts, how in (
        ("", len(REFERENCES), "a missing reference as 0 (published)"),
        ("_present", len(played) + (model in missing), "those played; a reference against itself is 0"),
    ):
        method = f"mean reward over three references, {how}; {_rule(k)}; conservative interval"
        control, n = f"{CONTROL}_{name}{suffix}_K={k}", min(found.total for found in played)
        yield _points(model, control, value / parts, se / parts, n, level, method, note)
