"""What a call costs, from the price table that litellm's wheel carries, read as a file: litellm is not imported.

The table is as old as the installed litellm, and a provider may have changed its prices since; so every price names
the table that it is from. A model that the table does not hold, or holds at a price of nothing (which is how it
writes "not known" as well as "free"), and any model behind an address of your own, has no known price: None, never 0.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

__all__ = ["UNBILLED", "Price", "PriceTable", "estimate", "table"]

UNBILLED: Final = frozenset({"local", "replay", "simulated"})
"""Clients whose calls nobody bills, because no provider is asked: their price is known to be 0."""

_FILE: Final = "model_prices_and_context_window_backup.json"
_ABOVE: Final = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")


@dataclass(frozen=True)
class Price:
    """What a call or many cost.

    `dollars` in US dollars; `entry`: the table's name for the model, "" for a call that nobody bills; `source`: the
    table, with its version and the date of its file.
    """

    dollars: float
    entry: str
    source: str


@dataclass(frozen=True)
class PriceTable:
    """litellm's table: model names to prices in US dollars a token, and where it is from.

    `installed` is the date of the file on this machine (ISO 8601): prices are no newer than that.
    """

    version: str
    installed: str
    models: Mapping[str, Mapping[str, Any]]

    @property
    def source(self) -> str:
        """The table in one phrase, for a report."""
        return f"litellm {self.version}, installed {self.installed}"


@cache
def table() -> PriceTable | None:
    """Return the price table, None if litellm is not installed or carries none that can be read."""
    spec = find_spec("litellm")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).with_name(_FILE)
    try:
        models = json.loads(path.read_bytes())
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        release = version("litellm")
    except (OSError, ValueError, PackageNotFoundError):
        return None
    if not isinstance(models, dict):
        return None
    return PriceTable(
        release, changed.date().isoformat(), {name: entry for name, entry in models.items() if isinstance(entry, dict)}
    )


def _entry(models: Mapping[str, Mapping[str, Any]], provider: str, model: str) -> str | None:
    full = f"{provider}/{model}"
    if full in models:
        return full
    listed = str(models.get(model, {}).get("litellm_provider", ""))
    # A provider's models may be listed under its services: bedrock_converse, vertex_ai-language-models.
    if listed == provider or listed.startswith((f"{provider}-", f"{provider}_converse")):
        return model
    return None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _rates(entry: Mapping[str, Any], tokens_in: float) -> tuple[float, float, float] | None:
    """Return dollars a token in, a token out and a cached token in, for a prompt of this length; None: not known."""
    rates = entry
    suffix = ""
    tiers = entry.get("tiered_pricing")
    if isinstance(tiers, list) and tiers:
        # Each tier prices the whole call; a prompt beyond the last tier is billed at the last.
        fits = [tier for tier in tiers if isinstance(tier, dict) and tokens_in <= tier.get("range", (0, 0))[1]]
        rates = fits[0] if fits else tiers[-1]
    else:
        steps = [int(found[1]) for key in entry if (found := _ABOVE.fullmatch(key))]
        passed = [step for step in steps if tokens_in > step * 1000]
        suffix = f"_above_{max(passed)}k_tokens" if passed else ""

    def rate(name: str) -> float | None:
        stepped = _number(rates.get(name + suffix))
        return _number(rates.get(name)) if stepped is None else stepped

    fresh, out = rate("input_cost_per_token"), rate("output_cost_per_token")
    if fresh is None or out is None or (fresh == 0.0 and out == 0.0):
        return None
    cached = rate("cache_read_input_token_cost")
    return fresh, out, fresh if cached is None else cached


def estimate(
    model: str,
    tokens_in: float,
    tokens_out: float,
    *,
    cached: float = 0,
    calls: int = 1,
    base_url: str | None = None,
) -> Price | None:
    """Price `calls` calls that use this many tokens each; None if the price is not known.

    Long-context prices apply to the whole call once its prompt passes the table's step, as providers bill it.
    Discounts for batches and for times of day are not applied.

    Args:
        model: As in a `Request`: ``openai/gpt-4.1``, ``litellm/anthropic/claude-…``.
        tokens_in: Tokens sent in one call.
        tokens_out: Tokens generated in one call, reasoning included.
        cached: Those of `tokens_in` that the provider read from its prompt cache.
        calls: How many such calls.
        base_url: The address that is called instead of the provider's own, whose prices nobody knows. The client
            `openai` takes it from OPENAI_BASE_URL too.
    """
    client, _, rest = model.partition("/")
    if client in UNBILLED:
        return Price(0.0, "", "not billed")
    if client == "openai":
        base_url = base_url or os.environ.get("OPENAI_BASE_URL")
    if base_url and not (client == "openai" and base_url.startswith("https://api.openai.com/")):
        return None
    provider, _, name = rest.partition("/") if client == "litellm" else (client, "", rest)
    if not name:  # litellm takes OpenAI's models by their bare names
        provider, name = "openai", provider
    prices = table()
    entry = None if prices is None else _entry(prices.models, provider, name)
    if prices is None or entry is None:
        return None
    rates = _rates(prices.models[entry], tokens_in)
    if rates is None:
        return None
    fresh, out, hit = rates
    hits = min(cached, tokens_in)
    return Price(calls * ((tokens_in - hits) * fresh + hits * hit + tokens_out * out), entry, prices.source)
