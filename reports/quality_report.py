"""What `auditkit quality` found: the records behind ``quality.json``, schema ``auditkit.quality/1``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from auditkit.stats.informative import Subset
from auditkit.stats.length_gameability import LengthGameability
from auditkit.stats.quality import Estimate

__all__ = ["BoardQuality", "PromptQuality", "PromptWorth", "Quality"]


@dataclass(frozen=True)
class PromptWorth:
    """One prompt: its discrimination (None: not measured), what it costs, and whether it is in the smallest subset.

    `calls` are judge calls a model; `per_call` and `per_dollar` divide the discrimination by its cost.
    """

    prompt_id: str
    discrimination: float | None
    calls: float
    per_call: float | None
    per_dollar: float | None
    silent: bool
    chosen: bool


@dataclass(frozen=True)
class PromptQuality:
    """Which prompts earn their keep: how many separate nobody, how many order the models against all others (None: too
    few models to tell). `subset` is None where models or prompts are too few; `reason` says so then.
    """

    prompts: tuple[PromptWorth, ...]
    silent: int
    misleading: int | None
    subset: Subset | None
    reason: str = ""


@dataclass(frozen=True)
class BoardQuality:
    """What was found on one board.

    Attributes:
        name: The board's name.
        kind: "board" or "recording".
        models: Models that the figures are over, by their names on this board.
        dropped: Models of the board that they are not over (not on the reference, or without an interval).
        draws: Bootstrap replicates behind a model's interval, the fewest of any model with more than one (0: the
            intervals came with the board, without replicates).
        figures: By name: ``separability_95`` and so on; against a reference ``agreement_notebook``,
            ``agreement_blog``, ``agreement_paper``, ``pair_order``, ``spearman``, ``kendall``, ``brier``, ``log_loss``;
            ``tighter`` beside other boards.
        tighter_than: The board that ``tighter`` compares with: the loosest of those read.
        gameability: AlpacaEval's length gameability, where at least three models come with
            `_verbose` and `_concise` variants.
        calls_per_model: Judge calls a model (recordings).
        dollars_per_model: The same in US dollars, if the price of a call was given.
        prompts: Which prompts earn their keep (recordings).
        notes: What to know when reading the figures.
    """

    name: str
    kind: str
    models: tuple[str, ...]
    dropped: tuple[str, ...]
    draws: int
    figures: Mapping[str, Estimate]
    tighter_than: str = ""
    gameability: LengthGameability | None = None
    calls_per_model: float | None = None
    dollars_per_model: float | None = None
    prompts: PromptQuality | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quality:
    """What `quality` found. Intervals resample models; `confidence` is that of the models' own intervals."""

    boards: tuple[BoardQuality, ...]
    reference: str
    confidence: tuple[float, ...]
    level: float
    replicates: int
    seed: int
    resampled: str = "models"

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values for JSON; NaN becomes None."""
        body: dict[str, Any] = _plain({"schema": "auditkit.quality/1", **asdict(self)})
        return body


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
