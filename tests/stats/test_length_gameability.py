"""Length gameability equals the published figure on the public leaderboard."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import NoData
from auditkit.stats.length_gameability import LengthGameability, length_gameability


def published(folder: Path, metric: str) -> LengthGameability:
    """Return the figure for a column of AlpacaEval's leaderboard."""
    with (folder / "alpaca_eval" / "leaderboard.csv").open(encoding="utf-8", newline="") as file:
        rows = {row[""]: row for row in csv.DictReader(file)}
    models = [m for m in rows if f"{m}_verbose" in rows and f"{m}_concise" in rows]
    assert len(models) == 6
    # the published code leaves out the verbose variants only
    scale = [m for m in rows if "_verbose" not in m and rows[m][metric]]
    base, verbose, concise = (
        [float(rows[f"{m}{suffix}"][metric]) for m in models] for suffix in ("", "_verbose", "_concise")
    )
    return length_gameability(
        base,
        verbose,
        concise,
        [float(rows[m][metric]) for m in scale],
        [float(rows[m]["win_rate"]) for m in scale],
    )


@pytest.mark.parametrize(
    ("metric", "verbose", "concise"), [("win_rate", 21.3, 29.8), ("length_controlled_winrate", 7.5, 16.1)]
)
def test_published_figures(shared_data: Path, metric: str, verbose: float, concise: float) -> None:
    """Raw 21.3 and 29.8, length-controlled 7.5 and 16.1, within 0.1 on the present leaderboard."""
    found = published(shared_data, metric)
    assert (found.verbose, found.concise) == pytest.approx((verbose, concise), abs=0.1)
    assert found.n == 6
    assert found.verbose_ci[0] < found.verbose < found.verbose_ci[1]


def test_length_control_makes_it_smaller_for_certain_when_concise(shared_data: Path) -> None:
    """Both figures of the length-controlled metric lie below the raw ones' intervals' upper ends."""
    raw, controlled = published(shared_data, "win_rate"), published(shared_data, "length_controlled_winrate")
    assert controlled.verbose < raw.verbose_ci[0]
    assert controlled.concise < raw.concise


def test_worked_example() -> None:
    """One model from 10 to 20 (sd 7.07, mean 15), on a metric of half the win rate's scale."""
    found = length_gameability([10], [20], [10], [1, 2, 3], [2, 4, 6])
    assert found.weight == pytest.approx(2.0)
    assert found.verbose == pytest.approx(200 * np.std([10, 20], ddof=1) / 15)
    assert found.concise == 0.0


@given(st.lists(st.floats(1, 100), min_size=2, max_size=8), st.floats(0.1, 10))
def test_scale_of_the_metric_cancels_on_the_board(base: list[float], factor: float) -> None:
    """Measuring the metric in other units changes nothing but the weight, which undoes it."""
    board, variants = np.array([*base, 150.0]), np.array(base) * 1.3
    plain = length_gameability(base, variants, base, board, board, replicates=20)
    scaled = length_gameability(
        np.array(base) * factor, variants * factor, np.array(base) * factor, board * factor, board, replicates=20
    )
    assert scaled.verbose * factor == pytest.approx(plain.verbose)
    assert plain.verbose == pytest.approx(100 * 0.3 / np.sqrt(2) / 1.15)
    assert plain.concise == 0.0


def test_bad_input_is_refused() -> None:
    """No variants, no scale, missing or impossible values."""
    board = [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="each model needs"):
        length_gameability([1], [1, 2], [1], board, board)
    with pytest.raises(NoData, match="no model was told"):
        length_gameability([], [], [], board, board)
    with pytest.raises(NoData, match="scale is unknown"):
        length_gameability([1], [2], [1], [1, 1, 1], board)
    with pytest.raises(ValueError, match="must be finite"):
        length_gameability([np.nan], [2], [1], board, board)
    with pytest.raises(ValueError, match="above 0"):
        length_gameability([0], [2], [1], board, board)
