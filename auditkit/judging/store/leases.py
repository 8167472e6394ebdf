"""Leases on calls, so that processes that share a store do not pay for the same call twice.

A lease has an owner, a time at which it was granted or last renewed, and a length. It is over when its length has
passed, when it was granted in what is now the future (the clock went back), or when its owner is seen to be dead:
a process of this machine that is not there any more. A clock that jumps can therefore let a call under way be
made once more, and never blocks one for longer than the lease.

On SQLite the clock is the machine's monotonic one, which nobody can set and which all processes share; on
Postgres it is the server's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, or_, select, update

from auditkit.judging.store.claims import Claim, is_dead
from auditkit.judging.store.schema import completions, leases
from auditkit.judging.store.statements import among, chunks, insert, keys_in

__all__ = ["claim", "release", "renew"]


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


def claim(connection: Connection, keys: Iterable[str], owner: str, ttl: float, now: float) -> Claim:
    """Lease every key of `keys` that is neither stored nor leased to somebody else."""
    wanted = sorted(set(keys))
    others = _others(connection, wanted, owner, now)
    dead = {who for who, _ in others.values() if is_dead(who)}
    for who in sorted(dead):
        release(connection, who)
    free = [key for key in wanted if key not in others or others[key][0] in dead]
    statement = insert(connection.dialect.name, leases)
    statement = statement.on_conflict_do_update(
        index_elements=[leases.c.key],
        set_={name: statement.excluded[name] for name in ("owner", "granted", "ttl")},
        # On Postgres somebody may have leased it since it was seen to be free.
        where=or_(
            leases.c.owner == owner,
            leases.c.granted > now,
            leases.c.granted + leases.c.ttl <= now,
        ),
    )
    if free:
        connection.execute(statement, [{"key": k, "owner": owner, "granted": now, "ttl": ttl} for k in free])
    held = _others(connection, wanted, owner, now)
    mine = [key for key in wanted if key not in held]
    # Looked up after the lease was had: whoever held it before stored the completion before giving it up.
    stored = keys_in(connection, completions, mine)
    if stored:
        release(connection, owner, stored)
    return Claim(frozenset(mine) - stored, frozenset(stored), {key: left for key, (_, left) in held.items()})


def renew(connection: Connection, owner: str, now: float) -> None:
    """Start every lease of `owner` anew."""
    connection.execute(update(leases).where(leases.c.owner == owner).values(granted=now))


def release(connection: Connection, owner: str, keys: Iterable[str] | None = None) -> None:
    """Give up the leases of `owner` on `keys`, or all of them."""
    mine = delete(leases).where(leases.c.owner == owner)
    if keys is None:
        connection.execute(mine)
        return
    for chunk in chunks(sorted(set(keys))):
        connection.execute(mine.where(among(connection.dialect.name, leases.c.key, chunk)))
