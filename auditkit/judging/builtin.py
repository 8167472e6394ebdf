"""The judges that ship with auditkit: TOML files in ``judges/``, registered like anyone else's.

They follow the published protocols (labels, games, parameters, baselines); the prompts are in our own words.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditkit.judging.spec import JudgeSpec


def _builtin(name: str) -> JudgeSpec:
    from auditkit.judging.spec import parse_judge

    file = files("auditkit.judging") / "judges" / f"{name}.toml"
    return parse_judge(file.read_text(encoding="utf-8"), f"built-in judge {name}")


def arena_hard_v01() -> JudgeSpec:
    """Arena-Hard v0.1: five labels, two games, strong verdicts count three times."""
    return _builtin("arena-hard-v0.1")


def arena_hard_v2() -> JudgeSpec:
    """Arena-Hard v2.0: as v0.1 with baselines by category and its own instructions for creative writing."""
    return _builtin("arena-hard-v2.0")


def alpaca_eval_2() -> JudgeSpec:
    """AlpacaEval 2: probability of the first token that names an answer, in both orders."""
    return _builtin("alpaca-eval-2")


def alpaca_eval_2_slot() -> JudgeSpec:
    """AlpacaEval 2 with its published rule: one order, a function of the instruction."""
    return _builtin("alpaca-eval-2-slot")


def mt_bench_single() -> JudgeSpec:
    """MT-Bench: rate one answer from 1 to 10 after each turn, with references for mathematics, reasoning and code."""
    return _builtin("mt-bench-single")


def mt_bench_pairwise() -> JudgeSpec:
    """MT-Bench: compare two answers after each turn, in both orders, with references where a right answer exists."""
    return _builtin("mt-bench-pairwise")


def wildbench_score() -> JudgeSpec:
    """WildBench score: rate one answer from 1 to 10 along the task's checklist."""
    return _builtin("wildbench-score")


def wildbench_reward() -> JudgeSpec:
    """WildBench reward: compare two answers along the task's checklist, five labels, in both orders."""
    return _builtin("wildbench-reward")
