"""The tables of the store, as this version of auditkit writes them (schema version `VERSION`)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

__all__ = ["VERSION", "answers", "completions", "games", "leases", "metadata", "ratings", "runs", "schema_version"]

VERSION: Final = 2

metadata = MetaData()

#: One row: the version of the tables.
schema_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("spec", Text, nullable=False),
    Column("hashes", Text, nullable=False),
    Column("created", Text, nullable=False),
)


def _text(*names: str) -> list[Column[str]]:
    return [Column(name, Text, nullable=False) for name in names]


def _whole(*names: str) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False) for name in names]


def _spent() -> list[Column[int] | Column[float]]:
    return [
        *(Column(name, BigInteger) for name in ("tokens_in", "tokens_out", "cached")),
        *(Column(name, Double) for name in ("cost", "latency")),
    ]


#: `params` and `messages` come last: SQLite then finds the other columns without reading past the longest texts.
completions = Table(
    "completions",
    metadata,
    Column("key", String(64), primary_key=True),
    *_text("model"),
    *_whole("sample"),
    *_text("finish", "served", "created"),
    *_spent(),
    *_text("text"),
    Column("trace", Text, nullable=False, server_default=""),
    Column("logprobs", Text),
    *_text("params", "messages"),
)


def _of_a_run(name: str, *columns: Column[str] | Column[int] | Column[float], clustered: bool = True) -> Table:
    # The key is a digest of what identifies the row: model names and prompt ids may be longer than an index allows.
    # It comes first in the index, because Postgres would use no more than the run of one that begins with that.
    return Table(
        name,
        metadata,
        Column("run_id", Integer, ForeignKey("runs.id"), nullable=False),
        Column("key", String(64), nullable=False),
        *columns,
        PrimaryKeyConstraint("key", "run_id"),
        sqlite_with_rowid=not clustered,
    )


answers = _of_a_run(
    "answers",
    *_text("prompt_id", "model"),
    *_whole("turn"),
    *_text("finish", "request_key"),
    Column("tokens", BigInteger),
    *_text("text", "trace"),
    clustered=False,
)

games = _of_a_run(
    "games",
    *_text("prompt_id", "model", "opponent", "judge", "judge_sha256", "order", "label"),
    Column("outcome", Double),
    Column("weight", Double, nullable=False),
    *_text("variant"),
    *_whole("turn", "sample"),
    Column("gold", Double),
    *_text("request_key", "reason"),
    *_spent(),
)

ratings = _of_a_run(
    "ratings",
    *_text("prompt_id", "model", "judge", "judge_sha256"),
    Column("score", Double),
    *_text("label", "variant"),
    *_whole("turn", "sample"),
    *_text("request_key", "reason"),
    *_spent(),
)

#: Calls under way: who makes them, since when and for how many seconds at most (by the store's clock).
leases = Table(
    "leases",
    metadata,
    Column("key", String(64), primary_key=True),
    *_text("owner"),
    Column("granted", Double, nullable=False),
    Column("ttl", Double, nullable=False),
)
