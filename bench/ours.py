"""Our side of the benchmarks: ``ours.py TASK INPUT... REPEATS``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.linalg
import scipy.sparse.csgraph
import scipy.special  # noqa: F401  imports are outside the clock on both sides; auditkit's are lazy
from clock import clock

from auditkit.controls.bradley_terry import encode
from auditkit.stats.bootstrap import prompt_weights
from auditkit.stats.bradley_terry import elo, fit, fit_contextual
from auditkit.stats.length_control import Gamed, fit_length_control, refit_length_control
from auditkit.stats.star import collapse, fit_star, refit_star

OUTCOMES = {"model_a": 1.0, "tie": 0.5, "model_b": 0.0}
REFITS = 1000


def contextual(path: str) -> None:
    """Fit ratings and style slopes with 95% intervals clustered by prompt, from a table of names."""
    table = pd.read_parquet(path)

    def task() -> dict[str, object]:
        coded = encode(table["model_a"], table["model_b"], table["prompt"])
        codes, labels = pd.factorize(table["winner"])
        outcome = np.array([OUTCOMES[label] for label in labels])[codes]
        columns = np.empty((4, len(table)))
        for j in range(4):
            column = table[f"x{j}"].to_numpy()
            np.subtract(column, column.mean(), out=columns[j])
            columns[j] /= columns[j].std()
        found = fit_contextual(coded.a, coded.b, outcome, columns.T, len(coded.names), clusters=coded.clusters)
        low, high = (elo(found.ratings + sign * 1.96 * found.rating_se) for sign in (-1, 1))
        assert np.isfinite(high - low).all()
        return {"names": coded.names, "elo": elo(found.ratings).tolist(), "slopes": found.coefficients.tolist()}

    clock(task)


def plain(path: str) -> None:
    """Fit ratings with intervals clustered by prompt, from names."""
    table = pd.read_parquet(path)
    outcome = table["winner"].map(OUTCOMES).to_numpy()

    def task() -> dict[str, object]:
        coded = encode(table["model_a"], table["model_b"], table["prompt"])
        found = fit(coded.a, coded.b, outcome, len(coded.names), clusters=coded.clusters)
        assert np.isfinite(found.rating_se).all()
        return {"names": coded.names, "elo": elo(found.ratings).tolist()}

    clock(task)


def refits(path: str) -> None:
    """Refit a style-controlled star over resampled prompts."""
    data = np.load(path)
    weights = prompt_weights(int(data["prompt"].max()) + 1, REFITS, np.random.default_rng(0))

    def task() -> dict[str, object]:
        rows = collapse(data["model"], data["prompt"], data["outcome"], None, data["X"])
        found = fit_star(rows)
        again = refit_star(rows, found, weights)
        assert again.converged.all()
        return {"win": (100 / (1 + np.exp(-found.intercepts))).tolist(), "gradient": float(again.gradient.max())}

    clock(task, per=REFITS)


def length_control(folder: str, calibration: str, refits: int = 0) -> None:
    """Length-control every model of a folder, from parsed annotations in memory."""
    rows = pd.read_csv(calibration)
    difficulty = rows.drop_duplicates("index")["instruction_difficulty"].to_numpy()
    gamed = Gamed(
        np.tanh(rows["std_delta_len"].to_numpy()),
        rows["instruction_difficulty"].to_numpy(),
        rows["preference"].to_numpy(),
    )
    files = sorted(Path(folder).glob("*/*/annotations.json"))
    models = {path.parts[-3]: json.loads(path.read_text(encoding="utf-8")) for path in files}
    weights = prompt_weights(len(difficulty), refits, np.random.default_rng(0)) if refits else None

    def task() -> dict[str, object]:
        found: dict[str, object] = {}
        for name, games in models.items():
            delta = np.array([len(game["output_1"]) - len(game["output_2"]) for game in games], dtype=float)
            preference = np.array([game["preference"] for game in games], dtype=object).astype(float)
            outcome, hard = np.where(preference == 0, 1.5, preference) - 1, difficulty[: len(games)]
            fitted = fit_length_control(delta, hard, outcome, gamed)
            if weights is not None:
                refit_length_control(fitted, hard, outcome, gamed, weights[:, : len(games)])
            found[name] = 100 * fitted.win_rate
        return found

    clock(task, per=len(models))


def length_control_refits(folder: str, calibration: str) -> None:
    """Do the same with 1,000 bootstrap refits of each model."""
    length_control(folder, calibration, REFITS)


TASKS = {f.__name__: f for f in (contextual, plain, refits, length_control, length_control_refits)}

if __name__ == "__main__":
    TASKS[sys.argv[1]](*sys.argv[2:-1])
