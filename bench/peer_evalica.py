"""evalica's side: ``peer_evalica.py INPUT REPEATS``. Ratings only; its winners are made before the clock starts."""

from __future__ import annotations

import sys

import evalica
import numpy as np
import pandas as pd
from clock import clock

table = pd.read_parquet(sys.argv[1])
WINNERS = {"model_a": evalica.Winner.X, "model_b": evalica.Winner.Y, "tie": evalica.Winner.Draw}
models_a, models_b = table["model_a"].tolist(), table["model_b"].tolist()  # lists are what it is fastest with
winners = [WINNERS[name] for name in table["winner"]]


def task() -> dict[str, object]:
    """Index the names and fit."""
    found = evalica.bradley_terry(models_a, models_b, winners)
    rating = np.log(found.scores.sort_index()) * 400 / np.log(10)
    return {"names": list(rating.index), "elo": (rating - rating.mean()).tolist()}


clock(task)
