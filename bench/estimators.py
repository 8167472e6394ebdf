"""Measure the estimators and the audit against their peers: ``estimators.py [--out FILE]``.

Peers live in virtual environments of their own under ``.bench/``, made on first use. Both sides read the same files,
run in turn in fresh processes, and their best times are compared; their answers are compared too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import inputs
import numpy as np
from peers import peer

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "bench"
BIN = Path(sys.executable).parent
AUDIT_SECONDS, AUDIT_MB = 20.0, 600.0
#: One BLAS thread: matrices here are small, and two threads that wait for each other only add noise.
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
STYLE = "style-controlled Bradley-Terry, 2,000,000 battles x 200 models x 4 features"
NOTES = """- Length control: the published figure of every model, from parsed annotations in memory (a data
  frame for the peer). The peer reads its calibration from disk for each model (upstream would download it).
- Style-controlled Bradley-Terry: from a table of names to ratings, slopes and 95% intervals, once in a fresh process (JAX
  compiles in each; imports are outside the clock). As it comes, `arena-rank` penalises slopes and re-weights pairs;
  without these it fits the same model as we do. Its intervals take battles as independent; ours cluster by prompt
  (four battles a prompt; prompts are numbers, model names strings).
- Plain Bradley-Terry: `evalica` gives ratings only, ours come with intervals clustered by prompt. The agreement is
  limited by its tolerance.
- Arena-Hard refits: ours over resampled prompts to the exact optimum (mean gradient below 1e-9), the published optimiser
  over resampled rows. It stops early: the agreement is what that costs.
"""


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds are the best of all rounds."""

    task: str
    peer: str
    theirs: float
    ours: float
    target: float
    agreement: str

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.theirs / self.ours


def timed(python: Path, *arguments: object) -> dict[str, object]:
    """Run one side in a fresh process and return what it printed last."""
    done = subprocess.run(
        [python, *map(str, arguments)], check=True, cwd=HERE, env=ENVIRONMENT, stdout=subprocess.PIPE, encoding="utf-8"
    )
    found: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compare(
    task: str, name: str, theirs: list[object], ours: list[object], target: float, repeats: int, agreement: str
) -> Row:
    """Run both sides in turn, three rounds, and keep the best time of each."""
    python = peer(name)
    best = [math.inf, math.inf]
    answers: list[dict[str, object]] = [{}, {}]
    for _ in range(3):
        for side, (at, arguments) in enumerate(((python, theirs), (Path(sys.executable), ours))):
            found = timed(at, *arguments, repeats)
            best[side] = min(best[side], *found["seconds"])  # type: ignore[misc]
            answers[side] = found["answer"]  # type: ignore[assignment]
    gap = agreement.format(_gap(*answers))
    row = Row(task, f"{name} {_version(python, name)}", best[0], best[1], target, gap)
    print(f"{task}: {row.peer} {_seconds(row.theirs)}, ours {_seconds(row.ours)}, {row.ratio:.1f}x; {gap}", flush=True)
    return row


def _gap(theirs: dict[str, object], ours: dict[str, object]) -> float:
    """Return the largest difference of the two sides' numbers."""
    if "names" in theirs:
        assert theirs["names"] == list(ours["names"])  # type: ignore[call-overload]
    keys = [key for key in theirs if key not in ("names", "slopes")]
    return max(float(np.abs(np.subtract(theirs[key], ours[key])).max()) for key in keys)  # type: ignore[arg-type]


def _version(python: Path, name: str) -> str:
    code = f"import importlib.metadata; print(importlib.metadata.version({name!r}))"
    return subprocess.run([python, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def audit(results: Path, calibration: Path, out: Path) -> tuple[float, float]:
    """Run the whole command; return wall seconds and peak memory in MB."""
    command = [
        BIN / "auditkit", "audit", results, "--calibration", calibration, "--replicates", "1000", "--out", out, "--quiet",
    ]  # fmt: skip
    note = out.with_suffix(".json")
    subprocess.run([sys.executable, HERE / "watch.py", note, *command], check=True, env=ENVIRONMENT)
    found = json.loads(note.read_text(encoding="utf-8"))
    if found["code"] not in (0, 1, 3) or not (out / "report.html").is_file():
        raise SystemExit(f"the audit failed with exit code {found['code']}")
    return found["seconds"], found["mb"]


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.3g} ms"


def _target(row: Row) -> str:
    return f"{row.target:g}x, {'yes' if row.ratio >= row.target else '**no**'}" if row.target else "–"


def _page(rows: list[Row], refits: tuple[float, int], audits: list[tuple[str, float, float]], data: str) -> str:
    lines = [
        "Both sides have the same input in memory, run in turn in fresh processes, and the best of three rounds counts.",
        f"{data}",
        "",
        "| task | peer | its time | ours | ratio | target, met | agreement |",
        "|---|---|--:|--:|--:|---|---|",
    ]
    lines += [
        f"| {r.task} | {r.peer} | {_seconds(r.theirs)} | {_seconds(r.ours)} | {r.ratio:.1f}x | {_target(r)} "
        f"| {r.agreement} |"
        for r in rows
    ]
    lines += [
        "",
        f"Length control with {refits[1]:,} bootstrap refits for the interval (the peer has none): {_seconds(refits[0])} a model.",
        "",
        "| whole audit with 1,000 bootstrap refits and HTML | wall time | peak memory | target | met |",
        "|---|--:|--:|---|---|",
    ]
    first = audits[0]
    met = first[1] <= AUDIT_SECONDS and first[2] <= AUDIT_MB
    lines.append(
        f"| {first[0]} | {first[1]:.1f} s | {first[2]:.0f} MB | {AUDIT_SECONDS:.0f} s, {AUDIT_MB:.0f} MB | {'yes' if met else '**no**'} |"
    )
    growth = audits[1][1] / first[1]
    lines.append(
        f"| {audits[1][0]} | {audits[1][1]:.1f} s | {audits[1][2]:.0f} MB | linear: at most 2.2 times the time "
        f"| {'yes' if growth <= 2.2 else '**no**'} ({growth:.2f} times) |"
    )
    return "\n".join([*lines, "", NOTES])


def main() -> None:
    """Measure every row."""
    parser = argparse.ArgumentParser(description=__doc__)
    beside = ROOT.parent / "shared" / "data"
    parser.add_argument(
        "--data",
        type=Path,
        default=beside if beside.is_dir() else None,
        help="public recordings (a folder with alpaca_eval/), looked for beside the checkout; else synthetic ones",
    )
    parser.add_argument("--out", type=Path, help="also write the figures there, as Markdown")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        results = work / "results"
        if options.data:
            calibration, data = (
                inputs.real_results(options.data, results),
                "Length control and audit: public recordings.",
            )
        else:
            calibration = inputs.synthetic_results(results, 14)
            data = "Length control and audit: synthetic recordings."
        inputs.battles(work / "large.parquet", 2_000_000, 200, 4)
        inputs.battles(work / "small.parquet", 200_000, 100, 0)
        inputs.star(work / "star.npz", 30, 1000, 4)
        points, elo = "within {:.2g} points", "within {:.1g} Elo"
        rows = [
            compare(
                f"length control of {len(list(results.iterdir()))} models, a model", "alpaca-eval",
                [HERE / "peer_alpaca_eval.py", results, calibration],
                [HERE / "ours.py", "length_control", results, calibration], 20, 1, points,
            ),
            compare(
                f"{STYLE}, the peer as it comes", "arena-rank",
                [HERE / "peer_arena_rank.py", "defaults", work / "large.parquet"],
                [HERE / "ours.py", "contextual", work / "large.parquet"], 10, 1, f"other model: {elo}",
            ),
            compare(
                f"{STYLE}, the same model", "arena-rank",
                [HERE / "peer_arena_rank.py", "same", work / "large.parquet"],
                [HERE / "ours.py", "contextual", work / "large.parquet"], 0, 1, elo,
            ),
            compare(
                "Bradley-Terry, 200,000 battles x 100 models", "evalica",
                [HERE / "peer_evalica.py", work / "small.parquet"],
                [HERE / "ours.py", "plain", work / "small.parquet"], 1, 5, elo,
            ),
            compare(
                "Arena-Hard style refit, 30 models x 1,000 rows", "torch",
                [HERE / "peer_arena_hard.py", work / "star.npz"],
                [HERE / "ours.py", "refits", work / "star.npz"], 50, 2, points,
            ),
        ]  # fmt: skip
        found = timed(Path(sys.executable), HERE / "ours.py", "length_control_refits", results, calibration, 2)
        refits = min(found["seconds"])  # type: ignore[call-overload]
        inputs.doubled(results, work / "doubled")
        n = len(list(results.iterdir()))
        audits = []
        for name, folder in ((f"{n} models x 805 rows", results), (f"{2 * n} models x 805 rows", work / "doubled")):
            tries = [audit(folder, calibration, work / f"out-{folder.name}-{k}") for k in range(2)]
            audits.append((name, min(t[0] for t in tries), max(t[1] for t in tries)))
            print(f"audit of {name}: {audits[-1][1]:.1f} s, {audits[-1][2]:.0f} MB", flush=True)
        page = _page(rows, (refits, 1000), audits, data)
    print(page)
    if options.out:
        options.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
