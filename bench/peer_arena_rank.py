"""arena-rank's side: ``peer_arena_rank.py MODE INPUT REPEATS``.

MODE ``defaults``: as it comes, with its penalty and re-weighting. MODE ``same``: without them, which is our model.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from arena_rank.models.contextual_bradley_terry import ContextualBradleyTerry
from arena_rank.utils.data_utils import ContextualPairDataset
from clock import clock

mode, path = sys.argv[1:3]
prepare, options = ({}, {}) if mode == "defaults" else ({"reweighted": False}, {"reg": 0.0})
table = pd.read_parquet(path)


def task() -> dict[str, object]:
    """Prepare, fit, intervals."""
    data = ContextualPairDataset.from_pandas(table, ["x0", "x1", "x2", "x3"], **prepare)
    model = ContextualBradleyTerry(n_competitors=len(data.competitors), n_features=4, **options)
    found = model.compute_ratings_and_cis(data)
    rating = np.asarray(found["ratings"])
    assert np.isfinite(np.asarray(found["rating_upper"])).all()
    slopes = np.asarray(found["coeffs"]).tolist()
    return {"names": data.competitors, "elo": (rating - rating.mean()).tolist(), "slopes": slopes}


clock(task)
