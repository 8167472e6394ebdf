"""Prices agree with litellm's own arithmetic, and what is not known is said to be unknown."""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from auditkit.judging.prices import UNBILLED, estimate, table


@pytest.fixture(autouse=True)
def _no_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture(scope="module")
def litellm() -> Any:
    """litellm itself, as the oracle."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    return litellm


def test_the_table_names_itself() -> None:
    """Every price says from which release of the table it is, and how old its file is."""
    prices = table()
    assert prices is not None and len(prices.models) > 1000
    assert re.fullmatch(r"litellm \d+\.\d+\.\S+, installed \d{4}-\d\d-\d\d", prices.source)
    assert datetime.date.fromisoformat(prices.installed) <= datetime.datetime.now(datetime.UTC).date()
    price = estimate("openai/gpt-4.1", 1000, 100)
    assert price is not None and price.source == prices.source and price.entry == "gpt-4.1"


@pytest.mark.filterwarnings("ignore:::pydantic")
@pytest.mark.parametrize("tokens_in", [1_000, 127_000, 129_000, 201_000, 273_000, 600_000])
def test_agrees_with_litellm_on_every_chat_model(litellm: Any, tokens_in: int) -> None:
    """For each chat model of the big providers and of those with stepped prices, with and without cache hits."""
    prices = table()
    assert prices is not None
    providers = {"openai", "anthropic", "gemini", "dashscope", "mistral", "deepseek", "xai", "groq", "together_ai"}
    checked = 0
    for name, entry in prices.models.items():
        provider = entry.get("litellm_provider")
        if entry.get("mode") != "chat" or provider not in providers:
            continue
        if any(name.startswith("off_peak") for name in entry):
            continue  # litellm's price depends on the time of day; ours is the full one
        model = name.removeprefix(f"{provider}/")
        hits = 400 if entry.get("cache_read_input_token_cost") is not None else 0
        ours = estimate(f"litellm/{provider}/{model}", tokens_in, 100, cached=hits)
        usage = litellm.Usage(
            prompt_tokens=tokens_in,
            completion_tokens=100,
            total_tokens=tokens_in + 100,
            prompt_tokens_details={"cached_tokens": hits},
        )
        theirs = sum(
            litellm.cost_per_token(
                model=model, custom_llm_provider=provider, usage_object=usage, call_type="completion"
            )
        )
        if ours is None:
            assert theirs == 0.0, name
            continue
        assert ours.dollars == pytest.approx(theirs, rel=1e-9), (name, tokens_in)
        checked += 1
    assert checked > 200


def test_long_prompts_cost_more_as_a_whole() -> None:
    """Past the step the whole call has the higher price, output included."""
    below, above = (estimate("litellm/gemini/gemini-2.5-pro", n, 1000) for n in (200_000, 200_001))
    assert below is not None and above is not None
    assert below.dollars == pytest.approx(200_000 * 1.25e-6 + 1000 * 1e-5)
    assert above.dollars == pytest.approx(200_001 * 2.5e-6 + 1000 * 1.5e-5)


def test_cache_hits_are_discounted() -> None:
    """Cached input has its own price; no more of it can be cached than was sent."""
    plain, half, all_of_it = (estimate("openai/gpt-4.1", 1000, 0, cached=n) for n in (0, 500, 10_000))
    assert plain is not None and half is not None and all_of_it is not None
    assert (plain.dollars, half.dollars, all_of_it.dollars) == pytest.approx((2e-3, 1.25e-3, 5e-4))


def test_many_calls_are_priced_one_by_one() -> None:
    """A thousand short prompts are not one long prompt."""
    one, many = estimate("openai/gpt-5.4", 1000, 10), estimate("openai/gpt-5.4", 1000, 10, calls=1000)
    assert one is not None and many is not None
    assert many.dollars == pytest.approx(1000 * one.dollars)


@pytest.mark.parametrize(
    "model",
    [
        "openai/no-such-model",
        "openai/claude-sonnet-4-5",  # listed, but not OpenAI's
        "openai/text-embedding-3-small-x",
        "litellm/ollama/llama3",  # listed at nothing, which may mean anything
        "litellm/nobody/nothing",
        "unheard/of",
        "",
        "/",
        "sample_spec",
    ],
)
def test_an_unknown_price_is_none_not_zero(model: str) -> None:
    """Unknown is said, never hidden as free."""
    assert estimate(model, 1000, 1000) is None


def test_an_address_of_ones_own_has_no_known_price(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that calls its model gpt-4.1 does not bill like OpenAI; OpenAI's own address does."""
    assert estimate("openai/gpt-4.1", 1, 1, base_url="http://127.0.0.1:8000/v1") is None
    assert estimate("litellm/openai/gpt-4.1", 1, 1, base_url="https://gateway.example/v1") is None
    assert estimate("openai/gpt-4.1", 1, 1, base_url="https://api.openai.com.evil.example/v1") is None
    assert estimate("openai/gpt-4.1", 1, 1, base_url="https://api.openai.com/v1") is not None
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    assert estimate("openai/gpt-4.1", 1, 1) is None


@pytest.mark.parametrize("client", sorted(UNBILLED))
def test_what_nobody_bills_costs_nothing(client: str) -> None:
    """A model in the process, a recording and a simulation are known to cost 0."""
    price = estimate(f"{client}/anything", 1e6, 1e6)
    assert price is not None and price.dollars == 0.0


def test_litellm_is_not_imported() -> None:
    """Reading its table takes milliseconds, importing it seconds."""
    code = (
        "import sys; from auditkit.judging.prices import estimate; "
        "assert estimate('openai/gpt-4.1', 1, 1); assert 'litellm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
