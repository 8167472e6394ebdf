"""`auditkit claim`: exit codes, tables, JSON, a recording, bad usage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from auditkit.claims import parse_claim, read_ledger
from auditkit.cli import main
from auditkit.errors import InputError
from auditkit.records import Battles

LEDGER = Path(__file__).resolve().parents[2] / "docs" / "claims.toml"
IDS = [claim.id for claim in read_ledger(LEDGER).claims]


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["claim", "--quiet", "--replicates", "60", *map(str, arguments)])


@pytest.mark.parametrize(
    ("only", "code"), [(("qwen2-ah", "simpo-score"), 0), (("qwen2-ah", "eva-opus", "cgpo-ah"), 1), (("cgpo-ah", "qwen2-ah"), 3)]
)  # fmt: skip
def test_exit_codes(only: tuple[str, ...], code: int) -> None:
    """0 all certified, 1 one does not hold, 3 the rest cannot be checked."""
    done = _run(LEDGER, *(word for name in only for word in ("--only", name)))
    assert done.exit_code == code, done.output


def test_the_table_fits_80_columns() -> None:
    """Every claim has its verdict and reason; nothing is wider than a terminal."""
    done = _run(LEDGER)
    assert done.exit_code == 1
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert all(name in done.stdout for name in IDS)
    assert "4 certified" in done.stdout


def test_json_alone() -> None:
    """Standard output is one JSON document that holds what the record holds."""
    done = _run(LEDGER, "--json")
    found = json.loads(done.stdout)
    assert found["schema"] == "auditkit.claim-report/1"
    assert [r["claim"]["id"] for r in found["results"]] == IDS
    assert {r["claim"]["id"]: r["verdict"] for r in found["results"]}["eva-opus"] == "not_separable"


def test_a_recording_on_the_command_line(tmp_path: Path, simulate: Callable[..., Battles]) -> None:
    """A claim in words against a recording: the numbers, the parts, and what was looked at."""
    path = tmp_path / "games.csv"
    battles = simulate({"candidate": 1.0, "reference": -0.5}, prompts=150)
    texts = battles.answers["text"]
    games = battles.games
    pd.DataFrame(
        {
            "prompt_id": games["prompt_id"], "model": games["model"], "opponent": games["opponent"],
            "winner": np.where(games["outcome"] == 1.0, "model", "opponent"), "order": games["order"],
            "answer": games["answer"].map(texts), "opponent_answer": games["opponent_answer"].map(texts),
        }
    ).to_csv(path, index=False)  # fmt: skip
    done = _run(path, "--claim", "wording=beats candidate=candidate baseline=reference")
    assert done.exit_code == 0, done.output
    assert "claim-1: certified" in done.stdout
    for word in ("length controlled", "quality:", "smallest gain told from 0"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no claim given"),
        (("--claim", "wording=beats"), "claim 'claim-1': field 'baseline'"),
        ((LEDGER, "--only", "nothing"), "the ledger has no claim 'nothing'"),
        ((LEDGER, "--claim", "id=qwen2-ah wording=beats baseline=b"), "two claims have the id"),
        (("missing.toml",), "no such file"),
        (("missing", "--claim", "wording=beats baseline=b"), "no such file or folder"),
    ],
)
def test_bad_usage(arguments: tuple[object, ...], message: str) -> None:
    """One line on standard error, exit code 2."""
    done = _run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_hostile_names_are_shown_inert() -> None:
    """A name cannot steer the terminal, and markup in it is text."""
    with pytest.raises(InputError, match="one line"):
        parse_claim("wording=beats baseline='\x1b[31mred'")
    done = _run("--claim", "wording=beats benchmark=arena_hard_v0.1 baseline='[red]b' candidate='[bold]a[/bold]'")
    assert done.exit_code == 3
    assert "\x1b" not in done.output
