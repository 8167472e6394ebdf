"""Style differences between a model's answer and its opponent's, as the benchmarks define them and as we do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.controls.design import answer_measures
from auditkit.records import Battles
from auditkit.text import Vocabulary, count_tokens, measure

__all__ = [
    "MARKDOWN",
    "OURS",
    "Standardised",
    "density",
    "overlap",
    "parsed_measures",
    "ratio",
    "standardise",
    "unsupported",
]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

#: Elements that the published style controls count, in Arena-Hard's order, after tokens.
MARKDOWN: Final = ("headers", "lists", "bold")
#: Elements that our style control holds fixed: length in characters, markdown as a parser sees it.
OURS: Final = (
    "chars", "parsed_headers", "parsed_lists", "parsed_bold", "code_blocks", "tables", "links", "blockquotes", "emoji",
)  # fmt: skip
_NEAR: Final = 0.5  # standard deviations of the difference that still count as no difference


@dataclass(frozen=True, eq=False)
class Standardised:
    """Features in units of their standard deviation. `kept` are column numbers of the input, `X` has only these."""

    X: Floats
    kept: tuple[int, ...]


def ratio(own: Floats, other: Floats, plus: float = 1.0) -> Floats:
    """Return ``(own - other) / (own + other + plus)``; 0 where the denominator is 0.

    FastChat and Arena-Hard v0.1 use `plus` 1, Arena-Hard v2.0 none for the token count (upstream stops at 0/0).
    """
    below = own + other + plus
    return np.divide(own - other, below, out=np.zeros_like(below), where=below != 0)


def density(count: Floats, n_tokens: Floats) -> Floats:
    """Return elements per token, ``count / (tokens + 1)``, as Arena-Hard v2.0 measures markdown."""
    return count / (n_tokens + 1.0)


def parsed_measures(battles: Battles) -> pd.DataFrame:
    """Return `auditkit.text.measure` of every answer, markdown parsed."""
    return measure(battles.answers["text"].tolist(), parsed=True)


def published_counts(battles: Battles, answers: Codes, vocabulary: Vocabulary) -> tuple[Floats, bool]:
    """Return tokens, headers, lists and bold of the answers, shape (all answers, 4), and whether tokens are estimated.

    Tokens are counted only for the rows of the answers table that `answers` names; the others have 0.
    """
    used = np.unique(answers)
    n_tokens = np.zeros(len(battles.answers))
    n_tokens[used], estimated = count_tokens(battles.answers["text"].iloc[used].tolist(), vocabulary)
    return np.column_stack([n_tokens, answer_measures(battles)[list(MARKDOWN)].to_numpy(dtype=np.float64)]), estimated


def standardise(X: Floats, weights: Floats, *, ddof: int, centre: bool) -> Standardised:
    """Divide features by their weighted standard deviation and leave out constant ones.

    Args:
        X: Shape (n, p).
        weights: How often each row counts (Arena-Hard repeats a strong verdict), shape (n,).
        ddof: 0 or 1.
        centre: Also subtract the mean. A score then holds at the mean difference (as published) instead of at
            no difference.
    """
    total = float(weights.sum())
    mean = weights @ X / total
    spread = np.sqrt(weights @ (X - mean) ** 2 / max(total - ddof, 1.0))
    kept = tuple(int(j) for j in np.flatnonzero(spread > 1e-12 * np.maximum(np.abs(mean), 1.0)))
    picked = list(kept)
    shifted = X[:, picked] - mean[picked] if centre else X[:, picked]
    return Standardised(shifted / spread[picked], kept)


def overlap(X: Floats, prompt: Codes) -> float:
    """Return how much of the data lies where the controlled score is read off.

    For each feature, the share of prompts on which the difference is within half a standard deviation of none;
    then the smallest share over the features. A normal cloud around no difference gives 0.38; a submission
    that differs everywhere in one feature gives 0, and its controlled score is an extrapolation.

    Args:
        X: The controlled features' differences, not centred, shape (n, p).
        prompt: Prompt codes 0.., shape (n,), each up to the largest used.
    """
    if not X.shape[1]:
        return 1.0
    near = np.abs(X) <= _NEAR * X.std(axis=0)
    n = np.bincount(prompt)
    return min(float((np.bincount(prompt, weights=column) / n).mean()) for column in near.T)


def unsupported(raw: Floats) -> list[int]:
    """Return the features whose differences all lie further from none than they lie from each other.

    A fitted line read off at no difference would be drawn out to more than twice the length on which it was seen; a
    difference that never varies cannot be told from the model's own skill at all.
    """
    low, high = raw.min(axis=0), raw.max(axis=0)
    gap = np.maximum(np.maximum(low, -high), 0.0)
    return [int(j) for j in np.flatnonzero((gap > 0.0) & (gap >= high - low))]
