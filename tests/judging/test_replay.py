"""The replay client: what was paid for comes back, and nothing else does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from auditkit.errors import InputError, UsageError
from auditkit.judging.calls import Client, Completion, Message, Rejected, Request, TokenLogprob, Usage
from auditkit.judging.clients import client_for
from auditkit.judging.clients.replay import ReplayClient
from auditkit.judging.store import Store

PAID = Completion(
    "Both were read.\n[[A>B]]",
    "stop",
    (TokenLogprob("A", -0.25, (("A", -0.25), ("B", -1.5))),),
    Usage(700, 9, 0),
    cost=0.02,
    latency=3.5,
    served="judge-1-2026",
    trace="Hm.",
)


def ask(model: str = "openai/judge-1", text: str = "Which is better?", sample: int = 0) -> Request:
    return Request(model, (Message("user", text),), {"temperature": 0.0}, sample)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A store with one completion."""
    path = tmp_path / "store.sqlite"
    with Store.open(path) as store:
        store.put_completions([(ask(), PAID)])
    return path


def complete(client: Client, request: Request) -> Completion:
    async def run() -> Completion:
        try:
            return await client.complete(request)
        finally:
            await client.close()

    return asyncio.run(run())


@pytest.mark.parametrize("scheme", ["", "sqlite:///"])
@pytest.mark.parametrize("model", ["openai/judge-1", "replay/openai/judge-1"])
def test_a_paid_completion_comes_back_for_nothing(recorded: Path, model: str, scheme: str) -> None:
    """Text, log-probabilities, usage and served model are the stored ones; cost and time are not spent again."""
    client = client_for("replay/openai/judge-1", base_url=f"{scheme}{recorded}")
    got = complete(client, ask(model))
    assert got == Completion(PAID.text, "stop", PAID.logprobs, PAID.usage, 0.0, 0.0, PAID.served, PAID.trace)


@pytest.mark.parametrize(
    "request_",
    [ask("replay/openai/judge-2"), ask(text="Which is better ?"), ask(sample=1)],
    ids=["another model", "one character more", "another draw"],
)
def test_what_was_not_asked_then_is_refused(recorded: Path, request_: Request) -> None:
    """A miss is final and names the recording; it never becomes another request's answer."""
    with pytest.raises(Rejected, match=r"not recorded in .*store\.sqlite"):
        complete(client_for("replay/openai/judge-1", base_url=str(recorded)), request_)


def test_a_mapping_is_a_recording() -> None:
    """Completions by content key serve as well as a store; requests that were simulated then keep their name."""
    client = ReplayClient({ask().key: PAID, ask("replay/x").key: Completion("own")})
    assert isinstance(client, Client)
    assert complete(client, ask("replay/openai/judge-1")).text == PAID.text
    assert complete(client, ask("replay/x")).text == "own"
    with pytest.raises(Rejected, match="sample 3"):
        complete(client, ask(sample=3))


@pytest.mark.parametrize("model", ["replay/\x1b[31m", "replay/" + "x" * 9000])
def test_a_miss_is_one_short_line(model: str) -> None:
    """A hostile model name steers no terminal."""
    with pytest.raises(Rejected) as caught:
        complete(ReplayClient({}), ask(model))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_missing_store_is_not_made(tmp_path: Path) -> None:
    """A wrong path is refused at once and leaves no empty store behind."""
    for address in ("nothing.sqlite", f"sqlite:///{tmp_path / 'nothing.sqlite'}"):
        with pytest.raises(UsageError, match=r"finds no store at .*nothing\.sqlite"):
            client_for("replay/openai/judge-1", base_url=address)
    with pytest.raises(UsageError, match="set base_url"):
        client_for("replay/openai/judge-1")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_store_is_bad_input(tmp_path: Path) -> None:
    """Exit code 2, as for any file that cannot be used."""
    file = tmp_path / "store.sqlite"
    file.write_text("not a database, but long enough to be looked at " * 40)
    with pytest.raises(InputError):
        client_for("replay/openai/judge-1", base_url=str(file))
