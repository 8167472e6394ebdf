"""Compare our prefix searches with the published one on the simulated log-probability judge: ``search.py [--out FILE]``.

No peer is run: the published algorithm is `auditkit.attacks.search.RandomSearch` with the defects that decide what it
finds. What is found is judged on prompts that no search has seen. The judge is simulated, so this says how searches
compare, and nothing about any real judge.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from statistics import fmean

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditkit.attacks.protocol import Access, Budget
from auditkit.attacks.search import PrefixSearch, RandomSearch, VerdictSearch
from auditkit.attacks.search.asking import advantage, games_of
from auditkit.judging.simulated_judges import LogProbJudge
from tests.attacks.search.oracle import ALPACA, ARENA, MemoryOracle, situations

SEEDS = 20
PUBLISHED = 4_944
#: name, search, what it is told, most calls
ARMS: tuple[tuple[str, RandomSearch | PrefixSearch | VerdictSearch, Access, int], ...] = (
    ("published random search", RandomSearch(form="plain", published=True), "logprob", PUBLISHED),
    ("the same, its defects mended", RandomSearch(form="plain"), "logprob", 4_964),
    ("ours", PrefixSearch(form="plain"), "logprob", PUBLISHED // 10),
    ("ours, no phrase repeated", PrefixSearch(form="plain", kinds=("fresh", "copy")), "logprob", PUBLISHED // 10),
    ("ours, verdicts alone", VerdictSearch(form="plain"), "verdict", 1_000),
)


def strength(judge: LogProbJudge, text: str) -> float:
    """Return the mean log-odds that a constant wins, on ten prompts held out, in both orders."""
    tries = [game.with_text(text) for game in games_of(situations(10, first=500))]
    return fmean(map(advantage, asyncio.run(MemoryOracle(judge).ask(tries))))


def found(number: int, seed: int) -> tuple[float, int]:
    """Return how strong one search's prefix is, and the calls that it took."""
    _, search, access, calls = ARMS[number]
    judge, spec = LogProbJudge(seed=seed), ALPACA if access == "logprob" else ARENA
    oracle = MemoryOracle(judge, access, spec=spec)
    prompts = situations(10 if access == "logprob" else 40, judge=spec)
    fitted = asyncio.run(search(oracle, prompts, Budget(calls), np.random.default_rng(seed)))
    return strength(judge, str(fitted.payload["text"])), oracle.calls  # type: ignore[index,call-overload]


def section() -> str:
    """Run every search on every seed and return the section of the page."""
    intro = (
        f"Simulated judge `logprob`, {SEEDS} seeds. Strength is the mean log-odds that a constant answer of the prefix wins\n"
        "against a good one on ten prompts that no search has seen (the empty start: about -4; told apart up to 12). Target:\n"
        f"at least as strong as the published algorithm with at most a tenth of its {PUBLISHED:,} calls."
    )
    lines = [
        intro,
        "",
        "| search | told | calls | strength, mean | least | seeds at least as strong as published |",
        "|---|---|--:|--:|--:|--:|",
    ]
    base: list[float] = []
    for number, (name, _, access, _) in enumerate(ARMS):
        every = [found(number, seed) for seed in range(SEEDS)]
        values, calls = [value for value, _ in every], max(n for _, n in every)
        base = base or values
        wins = sum(value >= other for value, other in zip(values, base, strict=True))
        shown = f"{wins} of {SEEDS}" if number else "–"
        lines.append(f"| {name} | {access} | {calls:,} | {fmean(values):.2f} | {min(values):.2f} | {shown} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="file for the section of docs/benchmarks.md")
    out = parser.parse_args().out
    text = section()
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
