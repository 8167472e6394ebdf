"""What another process does to a store, run as ``python store_child.py TASK ADDRESS …`` by the store's tests.

Every task prints one JSON line when it is done.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from auditkit.errors import AuditkitError
from auditkit.judging.calls import Completion, Message, Request
from auditkit.judging.store import Game, Run, Store, new_owner


def request(number: int) -> Request:
    """Return the request of a number: the same in every process."""
    return Request("openai/m", (Message("user", f"question {number}"),), {"temperature": 0})


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - the answer to the test


async def _put(store: Store, numbers: range, told: int, size: int = 400) -> None:
    """Put completions, eight at a time, and write each number to the descriptor `told` once it is acknowledged."""
    waiting = iter(numbers)
    async with store.writer(interval=0.001) as writer:

        async def work() -> None:
            for number in waiting:
                await writer.put(request(number), Completion(f"verdict {number} " + "x" * size))
                os.write(told, f"{number}\n".encode())

        await asyncio.gather(*(work() for _ in range(8)))


def kills(address: str, rounds: int, seed: int) -> None:
    """Kill -9 a child at a random moment, `rounds` times; tell what was acknowledged, and what SQLite thinks."""
    import sqlite3

    rng = random.Random(seed)  # noqa: S311 - moments, not keys
    acknowledged: list[int] = []
    checks: list[str] = []
    for number in range(rounds):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            store = Store.open(address)
            asyncio.run(_put(store, range(number * 100_000, (number + 1) * 100_000), writing))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as told:
            first = told.readline() if number % 2 else ""
            time.sleep(rng.uniform(0.0, 0.08))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            lines = [first, *told.readlines()]
        acknowledged += [int(line) for line in lines if line.endswith("\n")]
        if Path(address).exists():
            connection = sqlite3.connect(address)
            checks.append(connection.execute("PRAGMA integrity_check").fetchone()[0])
            connection.close()
    say(acknowledged=acknowledged, checks=checks)


def fill(address: str) -> None:
    """Write until the disk is full; tell what was acknowledged and the error."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    error = ""
    known: set[str] = set()
    acknowledged: list[int] = []
    try:
        store = Store.open(address)
        try:
            asyncio.run(_put(store, range(20_000), writing, size=4_000))
        finally:
            os.close(writing)
            with os.fdopen(reading) as told:
                acknowledged = [int(line) for line in told]
            known = store.known(request(number).key for number in acknowledged)
    except AuditkitError as failure:
        error = f"{type(failure).__name__} {failure.exit_code} {failure}"
    say(acknowledged=len(acknowledged), known=len(known), error=error)


def share(address: str, calls: int) -> None:
    """Make every call that nobody else makes and put every game, until all is stored; tell which calls were made."""
    numbers = {request(number).key: number for number in range(calls)}
    games = [Game(f"p{number}", "m", "o", "j", "v", "model_first", outcome=1.0) for number in range(calls)]
    made: list[int] = []

    async def work(store: Store) -> None:
        left = set(numbers)
        async with store.writer(interval=0.0) as writer:
            while left:
                claim = await writer.claim(random.sample(sorted(left), min(20, len(left))))
                made.extend(numbers[key] for key in claim.granted)
                puts = [writer.put(request(numbers[key]), Completion("made")) for key in claim.granted]
                await asyncio.gather(*puts, writer.put_games("shared", random.sample(games, 20)))
                left -= claim.granted | claim.stored
                if not claim.granted:
                    await asyncio.sleep(0.005)
            await asyncio.gather(*(writer.put_games("shared", [game]) for game in games))

    with Store.open(address) as store:
        store.put_run(Run("shared"))
        asyncio.run(work(store))
    say(made=made)


def hold(address: str, calls: int) -> None:
    """Claim calls for ten minutes, say so, and wait to be killed."""
    store = Store.open(address)
    claim = store.claim([request(number).key for number in range(calls)], new_owner(), 600.0)
    say(granted=len(claim.granted))
    time.sleep(60)


TASKS: dict[str, Callable[..., None]] = {"kills": kills, "fill": fill, "share": share, "hold": hold}

if __name__ == "__main__":
    task, where, *numbers = sys.argv[1:]
    TASKS[task](where, *map(int, numbers))
