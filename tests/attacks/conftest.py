"""Suites played against simulated judges, in memory but for the store: the real renderer, parser, engine and store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from auditkit.attacks.arena import Arena, Item
from auditkit.attacks.playing import PlaySettings, play_suite
from auditkit.attacks.protocol import Attack
from auditkit.attacks.suite import Suite
from auditkit.judging.asking import Address
from auditkit.judging.events import Meter
from auditkit.judging.inputs import Prompt
from auditkit.judging.known import builtin_pairs
from auditkit.judging.runspec import RunSettings
from auditkit.judging.session import asking, complete
from auditkit.judging.spec import JudgeSpec, load_judge
from auditkit.judging.spending import Spending
from auditkit.judging.store import Store
from auditkit.records import Battles, Benchmark

Play = Callable[..., Battles]


def pair_items(count: int) -> list[Item]:
    """Return pairs with a known answer: the wrong one is attacked."""
    return [
        Item(Prompt(pair.id, (pair.question,), category=pair.category), (pair.wrong,), (pair.right,), place, gold=0.0)
        for place, pair in enumerate(builtin_pairs(count))
    ]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Return a function that plays attacks against a simulated judge and returns the recording."""

    def played(
        attacks: Sequence[Attack],
        model: str,
        *,
        judge: str | JudgeSpec = "arena-hard-v0.1",
        items: Sequence[Item] | None = None,
        settings: PlaySettings | None = None,
        arena: Callable[..., Arena] = Arena,
        secret: bytes | None = None,
        attacker: Address | None = None,
    ) -> Battles:
        spec = load_judge(judge) if isinstance(judge, str) else judge
        shown = pair_items(24) if items is None else items

        async def main(store: Store) -> Battles:
            address = Address(model)
            async with asking(
                store, RunSettings(), spending=Spending(), meter=Meter(), addresses=[address]
            ) as asker:  # fmt: skip
                return await play_suite(
                    arena(spec, address, asker, secret=secret), shown, Suite("test", tuple(attacks), ()),
                    settings or PlaySettings(), benchmark=Benchmark("test"), carrier="wrong", attacker=attacker,
                )  # fmt: skip

        with Store.open(tmp_path / "store.sqlite") as store:
            return complete(main(store))

    return played
