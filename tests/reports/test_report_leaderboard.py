"""The leaderboard: its order, its rows, its CSV."""

from __future__ import annotations

import csv
import io
import re
import runpy
import unicodedata
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.records import Score
from auditkit.reports.leaderboard import headline, leaderboard_csv, leaderboard_rows, ordered, ranked_controls
from auditkit.reports.report import Rank

S = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("sample.py"))))


#: Spaces that cannot be printed and are kept.
KEPT = "".join(c for c in map(chr, range(0xA0, 0x3001)) if unicodedata.category(c) == "Zs")


def escaped(name: str) -> str:
    shown = "".join(c if c.isprintable() or c in KEPT else c.encode("unicode_escape").decode() for c in name)
    return re.sub(";(?=\\s{0,16}[-=+@＝＋－＠])", ";'", shown)


def test_rejected_submissions_come_after_all_others() -> None:
    """The best score of the board does not lead it when it was cheated."""
    order = [s.model for _, s in ordered(S.field(), "length_controlled")]
    assert order[0] == "gpt-4-turbo-2024-04-09"
    assert order[-1] == "NullModel"


def test_rows_are_ordered_by_place_and_carry_interval_and_rank() -> None:
    """One row a submission; what is not known is None."""
    rows = leaderboard_rows(S.field(), by="raw")
    places = [row["raw_rank"] for row in rows if row["raw_rank"] is not None]
    assert places == list(range(1, 13))
    best = next(row for row in rows if row["model"] == "honest-70b")
    assert (best["raw"], best["raw_lo"], best["raw_hi"]) == (57.5, 57.5 - 2.9, 57.5 + 2.9)
    assert best["verdict"] == "certified"
    assert all(row["style_controlled"] is None for row in rows)
    assert len({tuple(row) for row in rows}) == 1


def test_a_report_without_submissions_has_no_rows() -> None:
    """An empty board is empty, not an error."""
    assert leaderboard_rows(S.report()) == []
    assert leaderboard_csv(S.report()) == ""


@pytest.mark.parametrize(
    "name",
    ["=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "＋1", "－1", "＠x"],
)
def test_no_cell_starts_like_a_formula(name: str) -> None:
    """A spreadsheet shows the name and runs nothing."""
    rows = list(csv.reader(io.StringIO(leaderboard_csv(S.report(S.submission(name))), newline="")))
    assert rows[1][0] == "'" + escaped(name)
    assert len(rows) == 2


def test_a_name_cannot_begin_a_row() -> None:
    """A line break inside a name does not put a formula at the start of a line."""
    assert not [line for line in leaderboard_csv(S.report(S.submission("x\r=1\n=2"))).splitlines() if line[0] == "="]


def test_numbers_stay_numbers() -> None:
    """A negative reward is not quoted."""
    sub = replace(S.submission("m"), scores=(Score("m", "raw", -3.25, unit="reward"),))
    table = list(csv.DictReader(io.StringIO(leaderboard_csv(S.report(sub)))))
    assert table[0]["raw"] == "-3.25"


def test_a_plugin_control_name_is_neutralised_in_the_header_too() -> None:
    """Column names come from plugins."""
    sub = replace(S.submission("m"), scores=(Score("m", "=evil", 1.0),))
    assert "'=evil" in leaderboard_csv(S.report(sub)).splitlines()[0]


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_any_name_comes_back_from_csv(names: list[str]) -> None:
    """Every name can be read back, apart from the quote in front of formulas and what is no text."""
    text = leaderboard_csv(S.report(*[S.submission(n) for n in names]))
    table = list(csv.reader(io.StringIO(text, newline="")))
    assert len(table) == len(names) + 1
    assert {row[0].removeprefix("'") for row in table[1:]} == {escaped(n).removeprefix("'") for n in names}
    assert all(len(row) == len(table[0]) for row in table)


def test_the_headline_is_the_raw_score_and_the_control_most_submissions_have() -> None:
    """Length control leads where it is defined; nothing is named that no submission has."""
    assert headline(S.field()) == ("raw", "length_controlled")
    only = replace(S.submission("m"), scores=(Score("m", "mt_bench", 8.1, unit="rating"),))
    assert headline(S.report(only)) == ("mt_bench", "")
    assert headline(S.report()) == ("", "")
    undefined = replace(S.submission("m"), scores=(Score("m", "raw", None), Score("m", "joint", 3.0)))
    assert headline(S.report(undefined)) == ("joint", "")


def test_variants_of_a_score_are_not_ranked_beside_it() -> None:
    """An interval computed another way does not make another order."""
    ranks = {name: Rank(1, 1, 1) for name in ("raw", "raw_published", "plugin")}
    assert ranked_controls(S.report(replace(S.submission("m"), ranks=ranks))) == ("raw", "plugin")
