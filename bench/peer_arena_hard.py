"""Arena-Hard v2.0's optimiser, by its published settings: ``peer_arena_hard.py INPUT REPEATS``.

One refit as described in its source (arena-hard-auto at 196f6b8, ``utils/math_utils.py``): float32, a column for
each model and the baseline, summed binary cross-entropy, one L-BFGS step of 50 iterations at rate 0.1 from 0.5.
The code here is ours.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from clock import clock

REFITS = 20
data = np.load(sys.argv[1])
models = int(data["model"].max()) + 1
design = np.zeros((len(data["model"]), models + 1 + data["X"].shape[1]), dtype=np.float32)
design[np.arange(len(design)), data["model"]] = 1
design[:, models] = -1
design[:, models + 1 :] = data["X"]
X, y = torch.from_numpy(design), torch.from_numpy(data["outcome"].astype(np.float32))


def refit(X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Fit once."""
    at = torch.nn.Parameter(torch.full((X.shape[1],), 0.5))
    optimiser = torch.optim.LBFGS([at], lr=0.1, max_iter=50, tolerance_grad=1e-9, tolerance_change=1e-9)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(X @ at, y, reduction="sum")
        value.backward()
        return value

    optimiser.step(loss)
    return at.detach()


def task() -> dict[str, object]:
    """Fit the data, then resampled rows."""
    found = refit(X, y)
    generator = torch.Generator().manual_seed(0)
    for _ in range(REFITS - 1):
        rows = torch.randint(0, len(y), (len(y),), generator=generator)
        refit(X[rows], y[rows])
    win = torch.sigmoid(found[:models] - found[models])
    return {"win": (100 * win).tolist()}


clock(task, per=REFITS)
