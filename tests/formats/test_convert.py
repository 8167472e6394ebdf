"""Converting: games survive the way through several formats, and nothing is written over."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from auditkit.errors import InputError, UsageError
from auditkit.formats import convert, read
from auditkit.records import Battles

LINKS = ["answer", "opponent_answer"]


def alpaca(folder: Path) -> Path:
    for model in ("first", "=second()"):
        rows = [
            {
                "instruction": f"Question {i}?\u2028 \x85", "output_1": f"base {i}", "generator_1": "gpt4_1106_preview",
                "dataset": "koala", "output_2": f"{model} {i % 3}\n\r\t\"", "generator_2": model,
                "annotator": "weighted_alpaca_eval_gpt4_turbo", "preference": preference,
            }
            for i, preference in enumerate([1.0, 1.123456789012345, None, 1.5, 2])
        ]  # fmt: skip
        path = folder / model / "weighted_alpaca_eval_gpt4_turbo" / "annotations.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(rows))
    return folder


def same_games(one: Battles, two: Battles) -> None:
    """Check that games are equal row for row, with the texts they point to."""
    pd.testing.assert_frame_equal(one.games.drop(columns=LINKS), two.games.drop(columns=LINKS))
    for link in LINKS:
        pd.testing.assert_series_equal(
            one.games[link].map(one.answers["text"]), two.games[link].map(two.answers["text"])
        )


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_games_survive_the_whole_way(tmp_path: Path, suffix: str) -> None:
    """AlpacaEval to pairs to a run folder to AlpacaEval: the same games, answers and prompts."""
    source = read(alpaca(tmp_path / "results"))
    convert(tmp_path / "results", tmp_path / f"pairs.{suffix}", to="pairs")
    convert(tmp_path / f"pairs.{suffix}", tmp_path / "run", to="run_folder")
    convert(tmp_path / "run", tmp_path / "again", to="alpaca_eval")
    for path in (tmp_path / f"pairs.{suffix}", tmp_path / "run"):
        same_games(source, read(path))
    again = read(tmp_path / "again")
    assert again.models == source.models == ("=second()", "first")
    one, two = (b.games.sort_values(["model", "prompt_id"], ignore_index=True) for b in (source, again))
    pd.testing.assert_frame_equal(one.drop(columns=LINKS), two.drop(columns=LINKS))


def test_recorded_results_survive(tmp_path: Path, shared_data: Path) -> None:
    """The public results of one model go through pairs and a run folder unchanged."""
    folder = shared_data / "alpaca_eval" / "results" / "phi-2"
    source = convert(folder, tmp_path / "x.parquet", to="pairs")
    convert(tmp_path / "x.parquet", tmp_path / "run", to="run_folder")
    same_games(source, read(tmp_path / "run"))


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """A target that holds anything is left as it is; an empty one may be used."""
    source = alpaca(tmp_path / "results")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").write_text("mine")
    (tmp_path / "file.jsonl").write_text("mine")
    for target, to in ((taken, "run_folder"), (tmp_path / "file.jsonl", "pairs"), (source, "alpaca_eval")):
        with pytest.raises(InputError, match="exists and is not empty"):
            convert(source, target, to=to)
    assert (taken / "file").read_text() == (tmp_path / "file.jsonl").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    convert(source, tmp_path / "empty", to="run_folder")
    assert (tmp_path / "empty" / "run.toml").exists()


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    """A target that cannot be written, a format that cannot be written, a name without a kind: one clear line."""
    source = alpaca(tmp_path / "results")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        convert(source, tmp_path / "file" / "below", to="run_folder")
    with pytest.raises(InputError, match=r"expected a name ending in \.jsonl"):
        convert(source, tmp_path / "out.xlsx", to="pairs")
    with pytest.raises(UsageError, match="can be read but not written"):
        convert(source, tmp_path / "out", to="llmbar")
    with pytest.raises(UsageError, match="no formats plugin"):
        convert(source, tmp_path / "out", to="excel")
    # AlpacaEval plays one game a prompt, in either order.
    with pytest.raises(InputError, match=r"got model_(first|second) for prompt"):
        convert(source, tmp_path / "out", to="arena_hard")
