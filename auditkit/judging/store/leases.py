"""Leases on calls, so that processes that share a store do not pay for the same call twice.

A lease has an owner, a time at which it was granted or last renewed, and a length. It is over when its length has
passed, when it was granted in what is now the future (the clock went back), or when its owner is seen to be dead:
a process of this machine that is not there any more. A clock that jumps can therefore let a call under way be
made once more, and never blocks one for longer than the lease.

On SQLite the clock is the machine's monotonic one, which nobody can set and which all processes share; on
Postgres it is the server's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, delete, func, select, update

from auditkit.judging.store.claims import Claim, is_dead
from auditkit.judging.store.schema import completions, leases
from auditkit.judging.store.statements import among, chunks, insert, keys_in

__all__ = ["Clock", "claim", "release", "renew"]

#: A clock in seconds; None: the database's own.
Clock = Callable[[], float] | None

#: Any number, the same in every process: Postgres' name for "somebody grants or renews leases".
_ADVISORY_LOCK: Final = 0x617564_69746C


def _turn(connection: Connection, clock: Clock) -> float:
    """Return the time, once nobody else grants or renews; that lasts until the transaction ends.

    The order matters on Postgres (a transaction that writes to SQLite is alone anyway): by a reading of the clock
    from before somebody else's grant, that grant would seem to come from the future, and the lease to be over.
    """
    server = connection.dialect.name == "postgresql"
    if server:
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    if clock is not None:
        return clock()
    if server:
        return float(connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())
    return time.monotonic()


def _others(connection: Connection, keys: Sequence[str], owner: str, now: float) -> dict[str, tuple[str, float]]:
    """Return the leases of others that are not over by the clock: key -> owner, seconds left."""
    found: dict[str, tuple[str, float]] = {}
    for chunk in chunks(keys):
        rows = connection.execute(
            select(leases).where(among(connection.dialect.name, leases.c.key, chunk), leases.c.owner != owner)
        )
        for row in rows:
            if row.granted <= now < row.granted + row.ttl:
                found[row.key] = (row.owner, row.granted + row.ttl - now)
    return found


def claim(connection: Connection, keys: Iterable[str], owner: str, ttl: float, clock: Clock) -> Claim:
    """Lease every key of `keys` that is neither stored nor leased to somebody else."""
    wanted = sorted(set(keys))
    now = _turn(connection, clock)
    others = _others(connection, wanted, owner, now)
    dead = {who for who, _ in others.values() if is_dead(who)}
    for who in sorted(dead):
        release(connection, who)
    held = {key: left for key, (who, left) in others.items() if who not in dead}
    # Looked up after the leases: whoever stores a completion ends its lease in the same transaction.
    stored = keys_in(connection, completions, [key for key in wanted if key not in held])
    free = [key for key in wanted if key not in held and key not in stored]
    if free:
        statement = insert(connection.dialect.name, leases)
        values = {name: statement.excluded[name] for name in ("owner", "granted", "ttl")}
        connection.execute(
            statement.on_conflict_do_update(index_elements=[leases.c.key], set_=values),
            [{"key": key, "owner": owner, "granted": now, "ttl": ttl} for key in free],
        )
    return Claim(frozenset(free), frozenset(stored), held)


def renew(connection: Connection, owner: str, clock: Clock) -> None:
    """Start every lease of `owner` anew."""
    now = _turn(connection, clock)
    connection.execute(update(leases).where(leases.c.owner == owner).values(granted=now))


def release(connection: Connection, owner: str, keys: Iterable[str] | None = None) -> None:
    """Give up the leases of `owner` on `keys`, or all of them."""
    mine = delete(leases).where(leases.c.owner == owner)
    if keys is None:
        connection.execute(mine)
        return
    for chunk in chunks(sorted(set(keys))):
        connection.execute(mine.where(among(connection.dialect.name, leases.c.key, chunk)))
