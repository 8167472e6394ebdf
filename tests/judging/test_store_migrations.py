"""Stores of other versions: an older one is brought up to date, a newer one is refused."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection

from auditkit.errors import InputError
from auditkit.judging.calls import Completion, Message, Request, Usage
from auditkit.judging.store import Answer, Game, Run, Store, migrations, new_owner, schema

if TYPE_CHECKING:
    from tests.judging.postgres_server import PostgresServer

pytest_plugins = ["tests.judging.postgres_server"]

#: The tables of version 1, as it made them. Never changed.
VERSION_1 = """
CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO schema_version VALUES (1);
CREATE TABLE runs (id {id} NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL UNIQUE, spec TEXT NOT NULL, hashes TEXT NOT NULL,
  created TEXT NOT NULL);
CREATE TABLE completions (key VARCHAR(64) NOT NULL PRIMARY KEY, model TEXT NOT NULL, sample BIGINT NOT NULL,
  finish TEXT NOT NULL, served TEXT NOT NULL, created TEXT NOT NULL, tokens_in BIGINT, tokens_out BIGINT, cached BIGINT,
  cost DOUBLE PRECISION, latency DOUBLE PRECISION, text TEXT NOT NULL, logprobs TEXT, params TEXT NOT NULL,
  messages TEXT NOT NULL);
CREATE TABLE answers (run_id INTEGER NOT NULL REFERENCES runs (id), key VARCHAR(64) NOT NULL, prompt_id TEXT NOT NULL,
  model TEXT NOT NULL, turn BIGINT NOT NULL, finish TEXT NOT NULL, request_key TEXT NOT NULL, tokens BIGINT,
  text TEXT NOT NULL, trace TEXT NOT NULL, PRIMARY KEY (key, run_id));
CREATE TABLE games (run_id INTEGER NOT NULL REFERENCES runs (id), key VARCHAR(64) NOT NULL, prompt_id TEXT NOT NULL,
  model TEXT NOT NULL, opponent TEXT NOT NULL, judge TEXT NOT NULL, judge_sha256 TEXT NOT NULL, "order" TEXT NOT NULL,
  label TEXT NOT NULL, outcome DOUBLE PRECISION, weight DOUBLE PRECISION NOT NULL, variant TEXT NOT NULL,
  turn BIGINT NOT NULL, sample BIGINT NOT NULL, gold DOUBLE PRECISION, request_key TEXT NOT NULL, reason TEXT NOT NULL,
  tokens_in BIGINT, tokens_out BIGINT, cached BIGINT, cost DOUBLE PRECISION, latency DOUBLE PRECISION,
  PRIMARY KEY (key, run_id)){clustered};
"""
ASKED = Request("openai/m", (Message("user", "question"),), {"temperature": 0})
DONE = Completion("A wins", "stop", None, Usage(10, 2, None), 0.01, 1.5, "m-1")
GAME = Game("p", "m", "o", "j", "sha", "model_first", "A", 1.0)
ROWS = f"""
INSERT INTO runs (id, name, spec, hashes, created) VALUES (1, 'old', '{{"seed":7}}', '{{}}', '2026-01-01T00:00:00+00:00');
INSERT INTO completions VALUES ('{ASKED.key}', 'openai/m', 0, 'stop', 'm-1', '2026-01-01T00:00:00+00:00', 10, 2, NULL,
  0.01, 1.5, 'A wins', NULL, '{{"temperature":0}}', '[["user","question"]]');
INSERT INTO answers VALUES (1, '{Answer("p", "m", "t").key}', 'p', 'm', 1, 'stop', '', 3, 't', '');
INSERT INTO games VALUES (1, '{GAME.key}', 'p', 'm', 'o', 'j', 'sha', 'model_first', 'A', 1.0, 1.0, '', 1, 0, NULL, '',
  '', NULL, NULL, NULL, NULL, 0.0);
"""  # noqa: S608 - our own constants


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store that version 1 made, with one row in each table."""
    path = tmp_path / "store.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1.format(id="INTEGER", clustered=" WITHOUT ROWID") + ROWS)
    connection.close()
    return path


def columns(path: Path) -> dict[str, set[tuple[str, str, int, int]]]:
    """Return each table's columns: name, type, not null, place in the primary key."""
    connection = sqlite3.connect(path)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {
        name: {(c[1], c[2].split()[0], c[3], c[5]) for c in connection.execute(f"PRAGMA table_info({name})")}
        for name in names
    }
    connection.close()
    return found


def check_old_rows(store: Store) -> None:
    assert store.completions([ASKED.key]) == {ASKED.key: DONE}
    assert [run.spec for run in store.runs()] == [{"seed": 7}]
    assert [(g.key, g.outcome) for g in store.games("old")] == [(GAME.key, 1.0)]
    assert list(store.answers("old")) == [Answer("p", "m", "t", finish="stop", tokens=3)]
    assert list(store.ratings("old")) == []
    assert store.claim([ASKED.key], new_owner(), 60).stored == {ASKED.key}


def test_a_version_1_store_is_brought_up_to_date(old: Path, tmp_path: Path) -> None:
    """Its rows are all there, and its tables are what a new store's are."""
    with Store.open(old) as store:
        check_old_rows(store)
        asked = Request("openai/m", (Message("user", "next"),))
        store.put_completions([(asked, Completion("B", trace="because"))])
        assert store.completions([asked.key])[asked.key].trace == "because"
    Store.open(tmp_path / "new.sqlite").close()
    assert columns(old) == columns(tmp_path / "new.sqlite")
    with Store.open(old) as store:
        check_old_rows(store)


def test_a_version_1_store_on_postgres_is_brought_up_to_date(postgres: PostgresServer) -> None:
    """The same steps work there."""
    url = postgres.emptied()
    script = VERSION_1.format(id="SERIAL", clustered="") + ROWS
    script = "CREATE SCHEMA auditkit; SET search_path TO auditkit; " + script
    postgres.execute(script)
    with Store.open(url) as store:
        check_old_rows(store)
    rows = postgres.execute("SELECT version FROM auditkit.schema_version")
    assert rows == [(schema.VERSION,)]


def test_a_step_that_fails_leaves_the_store_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration is one transaction: stopped half-way it changed nothing, and the next try succeeds."""
    before = columns(old)
    step = migrations.STEPS[1]

    def broken(connection: Connection) -> None:
        step(connection)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", {1: broken})
        with pytest.raises(KeyboardInterrupt):
            Store.open(old)
    assert columns(old) == before
    with Store.open(old) as store:
        check_old_rows(store)


def test_every_older_version_has_its_step() -> None:
    """From each version there is a way to this one."""
    assert sorted(migrations.STEPS) == list(range(1, schema.VERSION))


@pytest.mark.parametrize(("version", "match"), [(99, "newer auditkit"), (0, "no valid schema version")])
def test_a_version_that_is_unknown_is_refused(tmp_path: Path, version: int, match: str) -> None:
    """A store of a newer auditkit, or of none, is refused with both versions, and left as it is."""
    path = tmp_path / "store.sqlite"
    with Store.open(path) as store:
        store.put_run(Run("r"))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE schema_version SET version = ?", (version,))
    connection.commit()
    connection.close()
    with pytest.raises(InputError, match=match) as caught:
        Store.open(path)
    assert str(version) in str(caught.value)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT version FROM schema_version").fetchall() == [(version,)]
    connection.close()


def test_a_store_can_be_read_without_auditkit(tmp_path: Path) -> None:
    """The messages and parameters of a call are plain JSON in plain SQLite."""
    path = tmp_path / "store.sqlite"
    with Store.open(path) as store:
        store.put_completions([(ASKED, DONE)])
    connection = sqlite3.connect(path)
    (messages, params), *_ = connection.execute("SELECT messages, params FROM completions").fetchall()
    assert (json.loads(messages), json.loads(params)) == ([["user", "question"]], {"temperature": 0})
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
