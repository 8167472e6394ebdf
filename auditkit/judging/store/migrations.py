"""Make the tables, or bring those of an older auditkit up to date, in one transaction that no other process shares.

`STEPS[v]` turns version ``v`` into ``v + 1``. A step is never changed once a version that has it was released.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection, inspect, select, text, update

from auditkit.errors import InputError
from auditkit.judging.store import schema

__all__ = ["STEPS", "is_current", "migrate"]

#: Any number, the same in every process: Postgres' name for "somebody makes or changes the tables".
_ADVISORY_LOCK: Final = 0x617564_69746B


def _schema(connection: Connection) -> str | None:
    names = connection.get_execution_options().get("schema_translate_map") or {}
    return names.get(None)


def _traces_ratings_leases(connection: Connection) -> None:
    home = _schema(connection)
    table = f"{home}.completions" if home else "completions"
    connection.execute(text(f"ALTER TABLE {table} ADD COLUMN trace TEXT NOT NULL DEFAULT ''"))
    schema.ratings.create(connection)
    schema.leases.create(connection)


STEPS: Final[Mapping[int, Callable[[Connection], None]]] = {1: _traces_ratings_leases}


def _version(connection: Connection, name: str) -> int | None:
    """Return the version of the tables that are there, None if there are none."""
    tables = set(inspect(connection).get_table_names(schema=_schema(connection)))
    if schema.schema_version.name not in tables:
        if tables:
            raise InputError(
                "this is a database of something else: it has tables, but is no auditkit store",
                path=name,
                mend="give another path, and a new store is made there",
            )
        return None
    version: int | None = connection.scalar(select(schema.schema_version.c.version))
    if version is None or version < 1:
        raise InputError(f"the store has no valid schema version (got {version})", path=name)
    if version > schema.VERSION:
        raise InputError(
            f"the store was written by a newer auditkit (schema {version}; this one reads up to {schema.VERSION})",
            path=name,
            mend="update auditkit, or give another store",
        )
    return version


def is_current(connection: Connection, name: str) -> bool:
    """Tell whether the tables are there in this version.

    Raises:
        InputError: The database is not a store, or a newer auditkit's.
    """
    return _version(connection, name) == schema.VERSION


def migrate(connection: Connection, name: str) -> None:
    """Make the tables or bring them up to date; `connection` is in a write transaction.

    Raises:
        InputError: The database is not a store, or a newer auditkit's.
    """
    home = _schema(connection)
    if home:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {home}"))
    version = _version(connection, name)
    if version is None:
        schema.metadata.create_all(connection)
        connection.execute(schema.schema_version.insert(), {"version": schema.VERSION})
        return
    while version < schema.VERSION:
        STEPS[version](connection)
        version += 1
    connection.execute(update(schema.schema_version).values(version=version))
