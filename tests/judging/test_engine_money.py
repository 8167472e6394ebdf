"""Money: a limit is kept, and what a run would cost is said before it is spent."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditkit.judging.calls import Completion, Message, Request
from auditkit.judging.clients.openai_client import OpenAIClient
from auditkit.judging.prices import estimate
from auditkit.judging.spending import BudgetReached, Spending, call_estimate
from auditkit.run import dry_run, run

if TYPE_CHECKING:
    from tests.judging.world import World

pytest_plugins = ["tests.judging.world"]


class _Priced:
    """The real client against the loopback server, whose calls cost what the provider's own would."""

    def __init__(self, url: str) -> None:
        self._client = OpenAIClient(url)

    async def complete(self, request: Request) -> Completion:
        """Make the call and price it."""
        made = await self._client.complete(request)
        price = estimate(request.model, made.usage.tokens_in or 0, made.usage.tokens_out or 0)
        assert price is not None
        return replace(made, cost=price.dollars)

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()


def _priced(world: World) -> Path:
    return world.spec(judge_model="openai/gpt-4.1", judge="params = { max_tokens = 2000 }", run="concurrency = 8")


@pytest.fixture
def priced(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec whose judge has a known price, without a base_url (the test's client knows the address)."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    path = _priced(world)
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("base_url")))
    return path


def test_a_limit_on_cost_is_kept_and_a_higher_one_goes_on(
    world: World, server: Any, priced: Path, tmp_path: Path
) -> None:
    """The run stops before it could spend more, everything paid for is stored, and the next start does the rest."""

    def connect(model: str, **given: object) -> _Priced:
        return _Priced(world.url)

    first = run(priced, out=tmp_path / "run", flags={"max_cost": 0.06}, connect=connect)
    assert 0 < first.done < 80
    assert first.calls == first.done == server.served
    assert 0 < first.dollars <= 0.06
    assert "$0.06" in first.stopped
    assert not first.complete
    second = run(priced, out=tmp_path / "run", flags={"max_cost": 5.0}, connect=connect)
    assert second.complete
    assert server.served == 80
    assert math.isclose(first.dollars + second.dollars, 80 * first.dollars / first.calls, rel_tol=0.05)


async def _spend() -> None:
    spending = Spending(limit=0.1)
    request = Request("openai/gpt-4.1", (Message("user", "x" * 4000),), {"max_tokens": 4000})
    cost = call_estimate(request)
    assert cost is not None
    tickets = [await spending.reserve(request) for _ in range(int(0.1 / cost))]
    spending.settle(tickets[0], Completion("", cost=0.09))
    for ticket in tickets[1:]:
        spending.settle(ticket, None)
    with pytest.raises(BudgetReached, match=r"\$0.0900 of the \$0.10 is spent"):
        await spending.reserve(request)


def test_calls_under_way_count_with_what_they_may_cost(simulated_time: Any) -> None:
    """A call that fits only if others turn out cheaper waits for them, and is refused when they do not."""
    simulated_time(_spend())


def test_a_dry_run_says_calls_tokens_and_dollars_and_asks_nobody(
    world: World, server: Any, priced: Path, tmp_path: Path
) -> None:
    """80 games: their tokens within a tenth of what the requests hold, at most 2,000 tokens back, priced by the table."""
    found = dry_run(priced, out=tmp_path / "run")
    line = found.lines[0]
    assert (found.calls, line.calls, line.tokens_out, line.limited) == (80, 80, 160_000, True)
    price = estimate("openai/gpt-4.1", line.tokens_in / 80, 2000, calls=80)
    assert price is not None
    assert found.dollars == pytest.approx(price.dollars, rel=1e-3)
    assert price.source == found.prices
    assert found.unpriced == ()
    assert server.seen == []
    assert not (tmp_path / "run").exists()
    run(world.spec(), out=tmp_path / "run", limit=10)
    sent = sum(len(m["content"]) for seen in server.seen for m in seen.body["messages"]) / len(server.seen)
    assert line.tokens_in / 80 == pytest.approx(sent / 4.4, rel=0.15)


def test_a_dry_run_counts_what_is_stored_and_says_what_has_no_price(world: World, tmp_path: Path) -> None:
    """After a part of the run, the forecast is about the rest; an address of one's own has no known price."""
    run(world.spec(), out=tmp_path / "run", limit=10)
    found = dry_run(world.spec(), out=tmp_path / "run")
    assert (found.calls, found.lines[0].stored) == (60, 20)
    assert found.unpriced == ("openai/judge",)
    assert found.lines[0].dollars is None


def test_a_dry_run_counts_answers_that_are_not_written_yet(world: World, tmp_path: Path) -> None:
    """Two models to generate: their calls, and the judge's on answers as long as they may become."""
    written = "\n".join(
        f'[[models]]\nname = "{n}"\nmodel = "simulated/x"\nparams = {{ max_tokens = 300 }}' for n in ("cand", "base")
    )
    found = dry_run(world.spec(models=written, baseline='baseline = "base"'), out=tmp_path / "run")
    assert [line.calls for line in found.lines] == [40, 40, 80]
    assert found.lines[0].tokens_out == 12_000
    assert found.lines[0].dollars == 0.0
    assert found.lines[2].tokens_in > 80 * 600


def test_a_dry_run_after_the_run_asks_for_nothing_again(world: World, tmp_path: Path) -> None:
    """Generated answers and the games between them are stored: nothing is left to ask, whatever the folder's name."""
    written = "\n".join(
        f'[[models]]\nname = "{n}"\nmodel = "simulated/writer?seed={k}"' for k, n in enumerate(("cand", "base"))
    )
    spec = world.spec(models=written, baseline='baseline = "base"', judge_model="simulated/honest")
    spec.write_text(spec.read_text().replace(f'base_url = "{world.url}"\n', ""))
    assert run(spec, out=tmp_path / "run", limit=10).complete
    found = dry_run(spec, out=tmp_path / "run", limit=10)
    assert [(line.calls, line.stored) for line in found.lines] == [(0, 10), (0, 10), (0, 20)]
    more = dry_run(spec, out=tmp_path / "run", limit=12)
    assert [(line.calls, line.stored) for line in more.lines] == [(2, 10), (2, 10), (4, 20)]


def test_a_dry_run_after_one_answer_changed_counts_its_games_alone(world: World, tmp_path: Path) -> None:
    """A changed file opens every game of its model, and all but two of them cost nothing."""
    spec = world.spec()
    run(spec, out=tmp_path / "run")
    answers = world.folder / "cand.jsonl"
    answers.write_text(answers.read_text().replace("Answer 3 by cand", "Answer three by cand"))
    found = dry_run(spec, out=tmp_path / "run")
    assert (found.calls, found.lines[0].stored) == (2, 78)
    assert run(spec, out=tmp_path / "run").calls == 2
