"""Several judges of different families instead of one.

Source: Verga et al. 2024, arXiv:2404.18796 (PoLL: a panel of smaller judges of disjoint families).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from auditkit.attacks.defences.protocol import PanelRule
from auditkit.judging.spec import JudgeSpec

__all__ = ["Member", "combined", "family_of", "without_family"]

#: Beginnings of model names by family: who trained them, for models judge their kin too well.
_FAMILIES: Final = (
    ("openai", r"gpt|chatgpt|davinci|o[1-9](?:-|$)|openai"), ("anthropic", r"claude"), ("google", r"gemini|gemma|palm|bard"),
    ("meta", r"(?:meta-)?llama|codellama"), ("mistral", r"mistral|mixtral|codestral|ministral|magistral|pixtral"),
    ("alibaba", r"qwen|qwq"), ("deepseek", r"deepseek"), ("cohere", r"command|c4ai|aya"), ("microsoft", r"phi-|wizardlm"),
    ("01-ai", r"yi-"), ("xai", r"grok"), ("amazon", r"nova-|titan"), ("nvidia", r"nemotron"), ("zhipu", r"glm|chatglm"),
    ("huggingface", r"smollm|zephyr"), ("tii", r"falcon"), ("allenai", r"olmo|tulu"), ("databricks", r"dbrx"),
    ("ai21", r"jamba|j2-"), ("ibm", r"granite"), ("simulated", r"simulated"),
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One judge of a panel: its model, where it is, and its own file if it does not use the panel's."""

    model: str
    base_url: str = ""
    judge: JudgeSpec | None = None


def family_of(model: str) -> str:
    """Return the family of a model by its name (``client/org/name``): the first part that is known, else the name."""
    parts = [part.lower() for part in re.split(r"[/:?]", model) if part]
    for part in reversed(parts[1:] or parts):
        for family, pattern in _FAMILIES:
            if re.match(pattern, part):
                return family
    return "simulated" if parts[:1] == ["simulated"] else (parts[-1] if parts else "")


def without_family(members: Sequence[Member], author: str) -> tuple[Member, ...]:
    """Return the members that are not of an author model's family; all of them where nobody would be left."""
    left = tuple(member for member in members if family_of(member.model) != family_of(author))
    return left or tuple(members)


def combined(outcomes: ArrayLike, rule: PanelRule = "mean") -> NDArray[np.float64]:
    """Return what a panel makes of its members' outcomes.

    Args:
        outcomes: Shape (members, …), 0..1; NaN for a member without a verdict, who then has no say.
        rule: ``mean``, or ``vote``: the side (win, tie, loss) that most members take; a tie between sides is a tie.

    Returns:
        Shape (…): 0..1; NaN where no member has a verdict.
    """
    values = np.asarray(outcomes, dtype=np.float64)
    known = np.isfinite(values)
    count = known.sum(axis=0)
    if rule == "mean":
        total = np.where(known, values, 0.0).sum(axis=0)
        mean: NDArray[np.float64] = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
        return mean
    wins, losses = ((known & side).sum(axis=0) for side in (values > 0.5, values < 0.5))
    ties: NDArray[Any] = count - wins - losses
    out = np.full(count.shape, 0.5)
    out[(wins > losses) & (wins > ties)] = 1.0
    out[(losses > wins) & (losses > ties)] = 0.0
    out[count == 0] = np.nan
    return out
