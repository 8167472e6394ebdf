"""AlpacaEval's published calibration: the rows its length control is fitted with, and the difficulty of its prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.errors import InputError
from auditkit.records import Battles, Settings
from auditkit.stats.length_control import Gamed

__all__ = ["BASELINE", "PROMPTS", "Calibration", "places", "published_calibration"]

PROMPTS: Final = 805
#: The calibration rows are this baseline's own variants: they say nothing about another baseline.
BASELINE: Final = "gpt4_1106_preview"
HOW_TO_GET: Final = (
    "pass --calibration with df_gamed.csv of the Hugging Face dataset tatsu-lab/alpaca_eval, "
    "or lay it beside the results folder"
)
_COLUMNS: Final = ("preference", "index", "std_delta_len", "instruction_difficulty")
_DIFFICULTY_COLUMNS: Final = ("instruction", "instruction_difficulty")
_LARGEST: Final = 64 * 2**20  # the published files have 0.15 MB
_SAME: Final = 1e-6  # two copies of one difficulty, one of them recovered from published predictions
#: SHA-256 over the 805 prompt ids (each the first 16 hex digits of the SHA-256 of its instruction), one a line.
_CANONICAL: Final = "981e6765cb1081eae288e792b3710a95804191ac02f35f1f949777f3c7c2b591"


@dataclass(frozen=True)
class Calibration:
    """The two published inputs of the length control.

    Attributes:
        gamed: The 1,610 calibration rows.
        difficulty: Difficulty of the benchmark's prompts in its own order (805,).
    """

    gamed: Gamed
    difficulty: NDArray[np.float64]


def published_calibration(battles: Battles, settings: Settings) -> Calibration | str:
    """Return the calibration for a recording, or the reason why there is none.

    Raises:
        InputError: The calibration file is not what it should be.
    """
    benchmark = battles.benchmark
    if benchmark.format != "alpaca_eval" or benchmark.name != "AlpacaEval" or benchmark.expected != PROMPTS:
        return (
            "not computed: AlpacaEval's length control holds for its own 805 prompts only; "
            "for these prompts the control 'joint' holds length fixed"
        )
    if benchmark.baselines != {BASELINE}:
        return (
            f"not computed: the published calibration is about the baseline {BASELINE}, which is not this recording's"
        )
    path = settings.calibration or battles.beside.get("calibration")
    if path is None:
        return f"not computed: the 1,610 calibration rows that the published fit needs are missing; {HOW_TO_GET}"
    stamp = path.stat() if path.is_file() else None
    if stamp is None:
        raise InputError("no such calibration file", path=path, mend=HOW_TO_GET)
    return _read(path, stamp.st_mtime_ns, stamp.st_size)


def places(battles: Battles, calibration: Calibration) -> Mapping[str, int] | None:
    """Return each prompt's place in the benchmark's order by prompt id; None if the recording does not show it.

    The order is known from ``instruction_difficulty.csv`` where it lies beside the results (or the calibration), or
    because the recording holds exactly the benchmark's 805 prompts in their order.

    Raises:
        InputError: The difficulty file is malformed, belongs to another calibration, or lacks a prompt.
    """
    prompts = battles.prompts
    path = battles.beside.get("difficulty")
    if path is not None:
        order = _instructions(path, calibration)
        found = [order.get(text, -1) for text in prompts["text"]]
        if -1 in found:
            raise InputError(
                "a prompt of the recording is not among its instructions",
                path=path,
                record=f"prompt {prompts['prompt_id'].iloc[found.index(-1)]}",
                mend="remove the file from beside the results if it is not AlpacaEval's",
            )
        return dict(zip(prompts["prompt_id"], found, strict=True))
    ids = "\n".join(prompts["prompt_id"])
    if hashlib.sha256(ids.encode()).hexdigest() == _CANONICAL:
        return {key: place for place, key in enumerate(prompts["prompt_id"])}
    return None


@lru_cache(maxsize=4)
def _read(path: Path, _modified: int, size: int) -> Calibration:
    table = _table(path, size, _COLUMNS)
    if len(table) != 2 * PROMPTS:
        raise InputError(
            f"expected {2 * PROMPTS:,} calibration rows (two gamed baselines x {PROMPTS} prompts), got {len(table):,}",
            path=path,
            mend=HOW_TO_GET,
        )
    values = {name: _numbers(table, name, path) for name in _COLUMNS}
    _refuse(path, "preference", values["preference"], (values["preference"] < 0) | (values["preference"] > 1), "0..1")
    index = values["index"]
    _refuse(path, "index", index, (index != np.floor(index)) | (index < 0) | (index >= PROMPTS), f"0..{PROMPTS - 1}")
    codes = index.astype(np.intp)
    _refuse(path, "index", index, (np.bincount(codes, minlength=PROMPTS) != 2)[codes], "every index exactly twice")
    difficulty = np.empty(PROMPTS)
    difficulty[codes] = values["instruction_difficulty"]
    differs = np.abs(difficulty[codes] - values["instruction_difficulty"]) > _SAME
    _refuse(path, "instruction_difficulty", values["instruction_difficulty"], differs, "one value for each index")
    gamed = Gamed(np.tanh(values["std_delta_len"]), values["instruction_difficulty"], values["preference"])
    return Calibration(gamed, difficulty)


def _instructions(path: Path, calibration: Calibration) -> dict[str, int]:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    table = _table(path, size, _DIFFICULTY_COLUMNS)
    if len(table) != PROMPTS or table["instruction"].duplicated().any():
        raise InputError(
            f"expected {PROMPTS} different instructions, got {table['instruction'].nunique()} in {len(table)} rows",
            path=path,
        )
    values = _numbers(table, "instruction_difficulty", path)
    differs = np.abs(values - calibration.difficulty) > _SAME
    _refuse(path, "instruction_difficulty", values, differs, "the difficulties of the calibration file, in its order")
    return {text: place for place, text in enumerate(table["instruction"])}


def _table(path: Path, size: int, columns: tuple[str, ...]) -> pd.DataFrame:
    if size > _LARGEST:
        raise InputError(f"{size / 2**20:,.0f} MB is not the published file, which has under 1 MB", path=path)
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise InputError(f"expected a CSV file: {reason}", path=path) from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(
            f"expected the columns {', '.join(columns)}; missing: {', '.join(missing)}", path=path, mend=HOW_TO_GET
        )
    return table


def _numbers(table: pd.DataFrame, column: str, path: Path) -> NDArray[np.float64]:
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"field {column!r}: expected a number, got {table[column].iloc[row]!r}", path=path, record=f"row {row + 2}"
        )
    return np.asarray(values)


def _refuse(path: Path, column: str, values: NDArray[np.float64], bad: NDArray[np.bool_], expected: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"field {column!r}: expected {expected}, got {values[row]:g}",
            path=path,
            record=f"row {row + 2}",
            mend=HOW_TO_GET,
        )
