"""Boards: published scores with their errors, and what the known benchmarks can tell apart."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from auditkit.errors import InputError
from auditkit.formats._io import open_file
from auditkit.records import Interval
from auditkit.stats.claims import difference_error

__all__ = ["BENCHMARKS", "CONTROLLED", "METRICS", "Board", "Facts", "Row", "find_row", "read_board"]

#: Metrics that a claim or board may be in. Those of `CONTROLLED` hold something fixed.
METRICS: Final = ("win_rate", "length_controlled", "style_controlled", "score", "reward", "win_or_tie")
CONTROLLED: Final = ("length_controlled", "style_controlled")
_LARGEST: Final = 16 << 20
_Z95: Final = 1.959963984540054


@dataclass(frozen=True)
class Facts:
    """What is known of a benchmark before any data: for thresholds, where only a figure is claimed.

    Attributes:
        prompts: Prompts (the unit that varies).
        sd: Standard deviation over prompts of a model's outcome, in points of the metric.
        metrics: What it reports, its own first.
        correlation: Of two models' outcomes over the same prompts; None: not known, so nothing paired is planned.
        limits: Range of its first metric.
        format: The format of its recordings.
        source: Where the figures come from.
    """

    prompts: int
    sd: float
    metrics: tuple[str, ...]
    correlation: float | None
    limits: Interval
    format: str
    source: str

    @property
    def se(self) -> float:
        """Standard error of one model's score."""
        return self.sd / math.sqrt(self.prompts)

    def gain_se(self, *, paired: bool = False) -> float | None:
        """Return the standard error of a gain, of board rows or `paired` on prompts (None: not known)."""
        if paired and self.correlation is None:
            return None
        return difference_error(self.se, self.se, (self.correlation or 0.0) if paired else 0.0)


#: Spread and correlation as they are in public recordings and boards; a test compares AlpacaEval's with the recordings.
BENCHMARKS: Final[Mapping[str, Facts]] = {
    "alpaca_eval_2": Facts(
        805, 39.7, ("win_rate", "length_controlled"), 0.48, (0.0, 100.0), "alpaca_eval",
        "spread of public annotations; published standard errors of raw win rates are 1.1 to 1.5",
    ),
    "arena_hard_v0.1": Facts(
        500, 25.7, ("win_rate", "style_controlled"), None, (0.0, 100.0), "arena_hard",
        "95% half-widths of about 2.3 on the leaderboard of 2024-07-31",
    ),
    "arena_hard_v2.0": Facts(
        750, 25.7, ("win_rate", "style_controlled"), None, (0.0, 100.0), "arena_hard",
        "spread taken over from Arena-Hard v0.1",
    ),
    "mt_bench": Facts(
        80, 2.0, ("score",), None, (1.0, 10.0), "mt_bench", "assumed: a rating varies by about 2 over the 80 questions"
    ),
    "wildbench": Facts(
        1024, 60.0, ("reward", "score"), None, (-100.0, 100.0), "wildbench",
        "assumed: a reward varies by about 60 over the 1,024 tasks",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One model's published score; error and 95% interval where they are known."""

    model: str
    score: float
    se: float | None = None
    ci: Interval | None = None

    def error(self, facts: Facts | None, metric: str) -> float | None:
        """Return the standard error to reckon with: its own, else the benchmark's; None if neither is known.

        AlpacaEval's published ``lc_standard_error`` is the spread of fitted probabilities, about half the error that
        resampling prompts shows: an error of a length-controlled rate is never taken below the benchmark's.
        """
        own = (self.ci[1] - self.ci[0]) / (2.0 * _Z95) if self.ci is not None else self.se
        if facts is None or metric not in facts.metrics:
            return own
        if own is None:
            return facts.se
        return max(own, facts.se) if metric == "length_controlled" else own

    def interval(self, facts: Facts | None, metric: str) -> Interval | None:
        """Return the row's own 95% interval, else the one its error gives."""
        se = self.error(facts, metric)
        if self.ci is not None or se is None:
            return self.ci
        return self.score - _Z95 * se, self.score + _Z95 * se


@dataclass(frozen=True)
class Board:
    """Rows of one benchmark and metric. An empty `benchmark` or `metric` fits any claim."""

    benchmark: str
    metric: str
    rows: Mapping[str, Row]
    source: str = ""


def find_row(boards: Sequence[Board], benchmark: str, metric: str, model: str) -> Row | None:
    """Return the first row of `model` on a board of this benchmark and metric."""
    for board in boards:
        if board.benchmark in ("", benchmark) and board.metric in ("", metric) and model in board.rows:
            return board.rows[model]
    return None


def read_board(path: Path, benchmark: str = "", metric: str = "") -> tuple[Board, ...]:
    """Read a CSV of board rows.

    AlpacaEval's ``leaderboard.csv`` gives two boards, Arena-Hard's ``arena_hard_leaderboard_*.csv`` one. Any other file
    needs the columns ``model, score`` and may have ``lo, hi`` (95% interval) or ``se``, and ``benchmark, metric``.

    Args:
        path: The file.
        benchmark: Of its rows, where the file does not say.
        metric: The same.

    Raises:
        InputError: It cannot be read, a column is missing, a value is no number, or a model is there twice.
    """
    with open_file(path) as handle:
        data = handle.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise InputError(f"more than {_LARGEST >> 20} MB: not a board", path=path)
    try:
        table = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        columns = set(table.fieldnames or ())
        rows = [(table.line_num, row) for row in table]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"expected a CSV file: {error}", path=path) from None
    reader = _Csv(path)
    if "" in columns and {"win_rate", "standard_error", "length_controlled_winrate"} <= columns:
        name = benchmark or "alpaca_eval_2"
        return (
            reader.board(rows, name, "win_rate", "", "win_rate", se="standard_error"),
            reader.board(rows, name, "length_controlled", "", "length_controlled_winrate", se="lc_standard_error"),
        )
    if {"model", "score", "rating_q025", "rating_q975"} <= columns:
        name = benchmark or "arena_hard_v0.1"
        return (reader.board(rows, name, metric or "win_rate", "model", "score", ci=("rating_q025", "rating_q975")),)
    if not {"model", "score"} <= columns:
        raise InputError(
            "expected the columns model and score (and lo, hi or se), or a leaderboard of AlpacaEval or Arena-Hard",
            path=path,
            record="line 1",
        )
    ci = ("lo", "hi") if {"lo", "hi"} <= columns else None
    se = "se" if "se" in columns else None
    groups: dict[tuple[str, str], list[tuple[int, dict[str, str]]]] = {}
    for line, row in rows:
        key = (row.get("benchmark") or benchmark, row.get("metric") or metric)
        if key[1] and key[1] not in METRICS:
            problem = f"field 'metric': expected one of {', '.join(METRICS)}, got {key[1]!r}"
            raise InputError(problem, path=path, record=f"line {line}")
        groups.setdefault(key, []).append((line, row))
    return tuple(reader.board(own, *key, "model", "score", se=se, ci=ci) for key, own in groups.items())


@dataclass(frozen=True)
class _Csv:
    path: Path

    def board(
        self,
        rows: Sequence[tuple[int, Mapping[str, str]]],
        benchmark: str,
        metric: str,
        model: str,
        score: str,
        *,
        se: str | None = None,
        ci: tuple[str, str] | None = None,
    ) -> Board:
        found: dict[str, Row] = {}
        for line, row in rows:
            name = row[model] or ""
            value = self.number(row, score, line)
            if not name or value is None:
                problem = f"field {model if not name else score!r}: expected a value, got nothing"
                raise InputError(problem, path=self.path, record=f"line {line}")
            if name in found:
                raise InputError(f"the model {name!r} is there twice", path=self.path, record=f"line {line}")
            ends = None
            if ci is not None:
                low, high = self.number(row, ci[0], line), self.number(row, ci[1], line)
                if low is not None and high is not None:
                    if not low <= value <= high:
                        problem = f"the score {value:g} lies outside its interval [{low:g}, {high:g}]"
                        raise InputError(problem, path=self.path, record=f"line {line}")
                    ends = (low, high)
            error = self.number(row, se, line) if se is not None else None
            if error is not None and error < 0:
                raise InputError(
                    f"field {se!r}: expected at least 0, got {error:g}", path=self.path, record=f"line {line}"
                )
            found[name] = Row(name, value, error, ends)
        return Board(benchmark, metric, found, self.path.name)

    def number(self, row: Mapping[str, str], column: str, line: int) -> float | None:
        text = (row[column] or "").strip()
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(
                f"field {column!r}: expected a number, got {text!r}", path=self.path, record=f"line {line}"
            )
        return value
