"""alpaca-eval's side: ``peer_alpaca_eval.py FOLDER CALIBRATION REPEATS``, reading the calibration from disk."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from pathlib import Path

import pandas as pd

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

from alpaca_eval.metrics import glm_winrate
from clock import clock

folder, calibration = sys.argv[1:3]
glm_winrate.hf_hub_download = lambda **_: calibration  # it would download the same file for each model
tables = {}
for path in sorted(Path(folder).glob("*/*/annotations.json")):
    table = pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))
    table["preference"] = table["preference"].astype(float)
    tables[path.parts[-3]] = table


def task() -> dict[str, object]:
    """Compute the published figure of every model."""
    found: dict[str, object] = {}
    for name, table in tables.items():
        metrics = glm_winrate.get_length_controlled_winrate(
            table, save_weights_dir=None, is_add_glm_preference_inplace=False, is_warn_extreme_changes=False
        )
        found[name] = float(metrics["length_controlled_winrate"])
    return found


clock(task, per=len(tables))
