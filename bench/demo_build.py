"""Build a benchmark offline, from the public prompts beside the checkout where they are, else from our own examples."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
PUBLIC = (
    "arena_hard/arena-hard-v0.1/question.jsonl", "arena_hard/arena-hard-v2.0/question.jsonl",
    "m_arena_hard/m-arena-hard-ar/question.jsonl", "m_arena_hard/m-arena-hard-de/question.jsonl",
    "m_arena_hard/m-arena-hard-hi/question.jsonl", "m_arena_hard/m-arena-hard-zh/question.jsonl",
    "mt_bench/question.jsonl", "llmbar/Natural/dataset.json", "llmbar/Adversarial/Neighbor/dataset.json",
    "llmbar/Adversarial/Manual/dataset.json", "alpaca_eval/instruction_difficulty.csv",
)  # fmt: skip


def pool() -> tuple[list[str], list[str]]:
    """Return the files of prompts, and the options that fit their number."""
    public = [DATA / name for name in PUBLIC]
    if all(path.is_file() for path in public):
        return [str(path) for path in public], ["--name", "demo-build"]
    examples = Path(str(files("auditkit") / "examples"))
    own = [examples / "demo" / "prompts.jsonl", examples / "bench" / "prompts.jsonl"]
    # Our own prompts are easy on purpose: the thresholds of a real benchmark would let none through.
    easy = ["--clusters", "10", "--min-chars", "20", "--prompt-score", "1", "--cluster-score", "0.5"]
    return [str(path) for path in own], ["--name", "demo-build", *easy]


if __name__ == "__main__":
    files_of_prompts, settings = pool()
    command = [
        str(Path(sys.executable).with_name("auditkit")),
        "build",
        *files_of_prompts,
        "--out",
        sys.argv[1],
        *settings,
    ]
    raise SystemExit(subprocess.run(command, check=False).returncode)
