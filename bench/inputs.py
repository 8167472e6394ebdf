"""Inputs of the benchmarks, written once to a scratch folder that our side and the peer's read alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

WORDS = np.array(
    ["the", "model", "answers", "a", "question", "about", "rivers", "and", "one", "short", "list", "of", "facts"]
)
JUDGE = "weighted_alpaca_eval_gpt4_turbo"


def battles(path: Path, n: int, models: int, features: int) -> None:
    """Write battles of known ratings; four battles a prompt, a fifth of them ties, names as strings, prompts as numbers."""
    rng = np.random.default_rng(0)
    ratings = rng.normal(scale=0.8, size=models)
    a = rng.integers(0, models, n)
    b = (a + rng.integers(1, models, n)) % models
    X = rng.normal(size=(n, features))
    gap = ratings[a] - ratings[b] + X @ np.array([0.25, 0.03, 0.02, 0.02])[:features]
    won = rng.random(n) < 1 / (1 + np.exp(-gap))
    names = np.array([f"organisation/model-{i:03d}" for i in range(models)])
    table = pd.DataFrame(
        {
            "model_a": names[a],
            "model_b": names[b],
            "winner": np.where(rng.random(n) < 0.2, "tie", np.where(won, "model_a", "model_b")),
            "prompt": rng.integers(0, n // 4, n) * 7919,
        }
    )
    for j in range(features):
        table[f"x{j}"] = X[:, j]
    table.to_parquet(path)


def star(path: Path, models: int, rows: int, features: int) -> None:
    """Write a star: two games a prompt for each model, standardised features that the two games share."""
    rng = np.random.default_rng(0)
    prompts = rows // 2
    model = np.repeat(np.arange(models), rows)
    prompt = np.tile(np.repeat(np.arange(prompts), 2), models)
    X = np.repeat(rng.normal(size=(models * prompts, features)), 2, axis=0)
    gap = np.linspace(-2, 2, models)[model] + X @ np.array([0.8, 0.2, 0.2, 0.1])[:features]
    won = (rng.random(len(gap)) < 1 / (1 + np.exp(-gap))).astype(float)
    np.savez(path, model=model, prompt=prompt, X=X, outcome=np.where(rng.random(len(gap)) < 0.1, 0.5, won))


def synthetic_results(folder: Path, models: int, prompts: int = 805) -> Path:
    """Write an AlpacaEval-shaped results folder and its calibration rows; return the latter's path."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=prompts)

    def say(size: int) -> str:
        return " ".join(WORDS[rng.integers(0, len(WORDS), size)])

    questions = [f"Question {i}: what about {say(6)}?" for i in range(prompts)]
    reference = [say(int(size)) for size in rng.lognormal(5.5, 0.5, prompts)]
    for k in range(models):
        name, rows = f"model-{k:02d}", []
        for i, size in enumerate(rng.lognormal(5.0 + 0.05 * k, 0.5, prompts)):
            text = say(int(size))
            gap = -1.5 + 0.1 * k + 0.8 * np.tanh((len(text) - len(reference[i])) / 1500) - 0.5 * difficulty[i]
            rows.append(
                {
                    "instruction": questions[i],
                    "output_1": reference[i],
                    "generator_1": "gpt4_1106_preview",
                    "output_2": text,
                    "generator_2": name,
                    "annotator": JUDGE,
                    "preference": 1 + float(1 / (1 + np.exp(-gap - rng.normal(scale=2)))),
                }
            )
        _write(folder / name / JUDGE, rows)
    calibration = folder.parent / "df_gamed.csv"
    parts = []
    for name, shift in (("gpt4_1106_preview_verbose", -1.0), ("gpt4_1106_preview_concise", 1.0)):
        length = shift + rng.normal(size=prompts)
        gap = -np.tanh(length) + 0.2 * difficulty + rng.normal(size=prompts)
        parts.append(
            pd.DataFrame(
                {
                    "preference": 1 / (1 + np.exp(-gap)),
                    "index": np.arange(prompts),
                    "std_delta_len": length,
                    "instruction_difficulty": difficulty,
                    "not_gamed_baseline": False,
                    "model": name,
                }
            )
        )
    pd.concat(parts).to_csv(calibration, index=False)
    return calibration


def real_results(data: Path, folder: Path) -> Path:
    """Lay the public AlpacaEval recordings out in scratch; return the path of their calibration rows."""
    for source in sorted((data / "alpaca_eval" / "results").iterdir()):
        target = folder / source.name / JUDGE
        target.mkdir(parents=True)
        shutil.copy(source / JUDGE / "annotations.json", target)
    calibration = folder.parent / "df_gamed.csv"
    shutil.copy(data / "alpaca_eval" / "df_gamed.csv", calibration)
    return calibration


def doubled(results: Path, target: Path) -> None:
    """Write the same submissions twice, the second time under other names and with other answers."""
    for source in sorted(results.iterdir()):
        rows = json.loads((source / JUDGE / "annotations.json").read_text(encoding="utf-8"))
        _write(target / source.name / JUDGE, rows)
        for row in rows:
            row["generator_2"] = f"{row['generator_2']}-again"
            row["output_2"] = f"{row['output_2']} Again."
        _write(target / f"{source.name}-again" / JUDGE, rows)


def _write(folder: Path, rows: list[dict[str, object]]) -> None:
    folder.mkdir(parents=True)
    (folder / "annotations.json").write_text(json.dumps(rows), encoding="utf-8")
