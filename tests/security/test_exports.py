"""Spreadsheets run nothing of ours, and nothing that looks like a template is worked out."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from auditkit.policy import policy_text
from auditkit.reports import leaderboard_csv, render, to_json
from auditkit.reports.cells import cell, is_formula
from auditkit.reports.projections import junit, markdown, sarif

#: What OWASP and the vendors of spreadsheets list, with the full-width forms that some of them fold into these.
SIGNS = "=+-@＝＋－＠"


def _first(text: str) -> str:
    """Return the first character that a spreadsheet looks at: not a space of any width, nor what shows nothing."""
    return next((c for c in text if not c.isspace() and unicodedata.category(c) not in ("Cc", "Cf", "Zs")), "")


def _cells(text: str, separator: str = ",") -> list[str]:
    return [c for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) for c in row]


def _runs(text: str) -> bool:
    """Tell whether a spreadsheet runs a cell that is not a number: strictly by its first character."""
    try:
        float(text)
    except ValueError:
        first = _first(text)
        return bool(first) and first in SIGNS
    return False


def test_no_cell_of_a_leaderboard_runs(
    corpus: tuple[str, ...], payloads: SimpleNamespace, sample: SimpleNamespace
) -> None:
    """Every payload as a model's name, and every formula as the name of a control; also where ``;`` separates."""
    names = tuple(dict.fromkeys([*payloads.FORMULAS, *corpus, *(f"x;{f}" for f in payloads.FORMULAS)]))
    subs = [sample.submission(name, ranks=(i + 1, i + 1)) for i, name in enumerate(names)]
    first = subs[0]
    evil = [replace(s, control=f) for s, f in zip(first.scores, payloads.FORMULAS, strict=False)]
    text = leaderboard_csv(sample.report(replace(first, scores=(*first.scores, *evil)), *subs[1:]))
    for separator in ",;\t":
        assert [c for c in _cells(text, separator) if _runs(c)] == []
    assert all(c == "\n" or c.isprintable() or unicodedata.category(c) == "Zs" for c in text)
    assert len(list(csv.reader(io.StringIO(text, newline="")))) == len(names) + 1 == text.count("\n")


def test_the_check_sees_formulas(payloads: SimpleNamespace) -> None:
    """Each formula as it is would run, and our own test for them says so: the test above can fail."""
    plain = [f for f in payloads.FORMULAS if f[:1] not in "\"';,"]
    assert len(plain) >= 100
    for text in plain:
        assert _runs(text) and is_formula(text), ascii(text)
        assert not _runs(str(cell(text)))


@pytest.mark.parametrize("text", ["plain", "a=b", "gpt-4", "x + y", "e@mail", "日本", "a b", "1e5", "ü-"])
def test_ordinary_names_stay_as_they_are(text: str) -> None:
    """Only what could run is changed."""
    assert cell(text) == text


def test_a_file_of_pairs_says_what_a_spreadsheet_would_run(
    tmp_path: Path, hostile_pairs: Any, command: Any, payloads: SimpleNamespace
) -> None:
    """A recording as CSV is data, kept to the byte: the command warns, and Parquet and JSON Lines need no warning."""
    pairs = hostile_pairs(tmp_path / "pairs.jsonl", 3, 30, payloads.FORMULAS)
    found = command("convert", pairs, tmp_path / "pairs.csv")
    assert "do not open the file in a spreadsheet" in found.stderr
    assert "spreadsheet" not in command("convert", pairs, tmp_path / "pairs.parquet").stderr
    command("convert", tmp_path / "pairs.csv", tmp_path / "again.jsonl")
    command("convert", pairs, tmp_path / "once.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "once.jsonl").read_bytes()


def test_no_cell_of_a_site_runs(tmp_path: Path, hostile_pairs: Any, command: Any, payloads: SimpleNamespace) -> None:
    """Board and slices as CSV, from a recording whose models and categories are formulas."""
    pairs = hostile_pairs(tmp_path / "pairs.jsonl", 3, 24, payloads.FORMULAS)
    found = command("audit", pairs, "--site", tmp_path / "site", "--replicates", 50)
    assert found.exit_code in (0, 1, 3), found.output
    tables = sorted((tmp_path / "site").rglob("*.csv"))
    assert tables
    for table in tables:
        text = table.read_text(encoding="utf-8")
        assert [c for separator in ",;\t" for c in _cells(text, separator) if _runs(c)] == [], table.name


def test_what_else_we_write_is_no_table_of_cells(tmp_path: Path, hostile_pairs: Any, command: Any) -> None:
    """Of all files that the commands leave, none is CSV, TSV or a spreadsheet but the leaderboard's and a converted one."""
    pairs = hostile_pairs(tmp_path / "pairs.jsonl", 3, 24)
    assert command("audit", pairs, "--out", tmp_path / "a", "--replicates", 50).exit_code in (0, 1, 3)
    kinds = {p.suffix for p in tmp_path.rglob("*") if p.is_file() and p.parent.name == "a"}
    assert kinds <= {".json", ".html", ".jsonl", ".parquet", ".sqlite", ".toml"}, kinds
    assert command("certify", pairs, "--out", tmp_path / "c", "--replicates", 50).exit_code in (0, 1, 3)
    assert {p.suffix for p in (tmp_path / "c").iterdir()} <= {".json", ".html", ".toml"}


# --- templates --------------------------------------------------------------------------------------------------------


def test_templates_in_any_record_are_text(payloads: SimpleNamespace, poison: Any, sample: SimpleNamespace) -> None:
    """In every field of a report, in every projection: nothing is worked out, nothing raises, each is there as written."""
    source = iter(payloads.TEMPLATES * 200)
    report = poison(sample.report(sample.attacked()), source)
    shown = [render(report), to_json(report), markdown(report), sarif(report), junit(report)]
    for text in shown:
        for sign in ("<class", "mappingproxy", "root:x:", "_TemplateReference object", "uid=0", "7777777"):
            assert sign not in text
    assert "{{7*7}}" in shown[0].replace("&#123;", "{") and "{{7*7}}" in shown[1]


@pytest.mark.parametrize(
    "text",
    [
        "{{ 7*7 }}", "{{ question.__class__ }}", "{{ cycler.__init__.__globals__ }}", "{% include '/etc/passwd' %}", "{% import 'os' as os %}",
        "{{ ''.__class__.__mro__ }}", "{{ question|attr('__class__') }}", "{% for x in range(999999999) %}x{% endfor %}",
        "{{ range(10**9)|list }}", "{{ 'x' * 10**9 }}", "{% set x = 1 %}", "{{ lipsum(n=9**9) }}", "{{ self }}", "{% macro m() %}{% endmacro %}",
        "{{ question.format(1) }}", "{{ namespace() }}", "{{ joiner }}", "{% call x() %}{% endcall %}",
    ],
)  # fmt: skip
def test_a_judge_file_holds_places_and_no_program(text: str, tmp_path: Path, command: Any) -> None:
    """In a judge's template only the names of what is shown can stand between braces: anything else is refused."""
    from auditkit.judging.spec import load_judge, to_toml

    judge = to_toml(load_judge("arena-hard-v0.1")).replace("{{ question }}", "{{ question }}\n" + text)
    path = tmp_path / "judge.toml"
    path.write_text(judge)
    found = command("judges", "check", path)
    assert found.exit_code == 2 and "judge.toml" in found.output, found.output


def test_a_policy_holds_sentences_and_no_program(tmp_path: Path, command: Any, hostile_pairs: Any) -> None:
    """A policy's sentences are shown as they are written."""
    pairs = hostile_pairs(tmp_path / "pairs.jsonl", 2, 24)
    text = "{{7*7}} {0.__class__} {value} %s {} ${7*7}"
    policy = re.sub(r'^why = ".*"$', f"why = {json.dumps(text)}", policy_text("standard"), flags=re.MULTILINE)
    path = tmp_path / "policy.toml"
    path.write_text(policy)
    found = command("audit", pairs, "--policy", path, "--out", tmp_path / "o", "--replicates", 50)
    assert found.exit_code in (0, 1, 3), found.output
    report = (tmp_path / "o" / "report.json").read_text()
    assert text in report and "<class" not in report
