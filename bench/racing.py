"""Measure what a race of attacks saves: ``racing.py [--seeds 200] --out FILE``.

The judge is simulated on arrays, with known uplifts (`tests/stats/test_racing.py`): 40 attacks on 805 prompts. A race and
the full grid see the same judgments.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def main() -> None:
    """Race over every scenario and write the section."""
    from tests.stats.test_racing import ARMS, PROMPTS, SCENARIOS, compare

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    lines = [
        f"Simulated judge, {ARMS} attacks on {PROMPTS} prompts, {options.seeds} seeds.",
        "Target: the full grid's grade with at most 25% of its calls, a false claim in at most 5% of the races.",
        "",
        "| true uplifts | the full grid's grade reached | share of its calls, mean | false claims |",
        "|---|--:|--:|--:|",
    ]
    for scenario in SCENARIOS:
        found = [compare(scenario, seed) for seed in range(options.seeds)]
        same = np.mean([c.race.grade == c.grade for c in found])
        share = np.mean([c.race.share for c in found])
        wrong = np.mean([c.wrong for c in found])
        lines.append(f"| {scenario} | {same:.1%} | {share:.1%} | {wrong:.1%} |")
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
