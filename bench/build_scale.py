"""Measure `auditkit build` on planted pools: ``build_scale.py N [N…] [--workers 2]``; one JSON line a size.

Seconds and peak memory are those of the command and its processes; recall and precision of duplicates and the adjusted
Rand index of topics are read from the work folder.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent


def _tree_mb(pid: int) -> float:
    """Return the resident memory of a process and its children, shared pages counted once (PSS), in MB."""
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii")
            total += float(rollup.split("Pss:")[1].split()[0]) / 1024
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
        except (OSError, IndexError):
            continue
    return total


def measure(n: int, workers: int) -> dict[str, object]:
    """Build once and return the figures."""
    with tempfile.TemporaryDirectory() as scratch:
        pool, out = Path(scratch, "pool.jsonl"), Path(scratch, "out")
        subprocess.run([sys.executable, str(HERE / "pool.py"), str(pool), str(n)], check=True)
        start = time.perf_counter()
        command = [str(BIN / "auditkit"), "build", str(pool), "--out", str(out), "--workers", str(workers), "--quiet"]
        command += ["--cluster-score", "1.5"]  # three planted prompts of ten are hard
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            peak, done = [0.0], threading.Event()

            def watch() -> None:
                while not done.wait(0.5):
                    peak[0] = max(peak[0], _tree_mb(process.pid))

            watcher = threading.Thread(target=watch)
            watcher.start()
            code = process.wait()
            seconds = time.perf_counter() - start
            done.set()
            watcher.join()
        truth = np.load(f"{pool}.truth.npz")
        found = {"n": n, "code": code, "seconds": round(seconds, 1), "mb": round(peak[0]), "cpu": round(_cpu(), 1)}
        return {**found, **_quality(Path(f"{out}.work"), truth)}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _quality(work: Path, truth: np.lib.npyio.NpzFile) -> dict[str, float]:
    from sklearn.metrics import adjusted_rand_score

    decided = pq.read_table(work / "03-duplicates" / "whole.parquet")
    row, state = decided.column("row").to_numpy(), decided.column("state").to_numpy()
    planted, near = truth["of"][row] >= 0, ~truth["exact"][row]
    parts = sorted((work / "05-keep").glob("f*/part-*.parquet"))
    kept = np.concatenate([pq.read_table(part, columns=["row"]).column("row").to_numpy() for part in parts])
    labels = pq.read_table(work / "07-cluster" / "whole.parquet").column("cluster").to_numpy()
    return {
        "near_recall": round(float((state[planted & near] > 0).mean()), 5),
        "exact_recall": round(float((state[planted & ~near] > 0).mean()), 5),
        "precision": round(float(planted[state > 0].mean()), 5),
        "clusters": int(labels.max()) + 1,
        "adjusted_rand": round(float(adjusted_rand_score(truth["topic"][kept], labels)), 4),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("n", type=int, nargs="+")
    parser.add_argument("--workers", type=int, default=0)
    given = parser.parse_args()
    for size in given.n:
        print(json.dumps(measure(size, given.workers)), flush=True)
