"""The record and its JSON."""

from __future__ import annotations

import json
import math
import runpy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit import reports
from auditkit.errors import InputError
from auditkit.records import Score
from auditkit.reports import card, charts, html, leaderboard, schema, wording
from auditkit.reports import report as record
from auditkit.reports.report import Report, Status, Verdict, from_json, json_schema, to_json

S = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("sample.py"))))
ROOT = Path(__file__).resolve().parents[2]

#: The keys of design.md, "A gameability report"; more may stand beside them.
DESIGN = {
    "": "schema auditkit created seed benchmark judge inputs harness submissions",
    "benchmark": "name version prompts sha256",
    "judge": "name model sha256 simulated",
    "inputs": "path sha256 rows",
    "harness": "gate status kind evidence",
    "submissions": "model n verdict reasons quality scores decomposition position length style detectors attacks null_floor gameability cost",
    "submissions.reasons": "rule status value threshold text",
    "submissions.quality": "coverage missing unparsed duplicates bounds",
    "submissions.quality.bounds": "dropped all_lost all_won",
    "submissions.scores": "control estimate se ci n method overlap published_se note",
    "submissions.decomposition": "part points ci",
    "submissions.position": "design consistency first_preference effect_points ci p_value n",
    "submissions.length": "coefficient ci mean_chars baseline_mean_chars overlap",
    "submissions.style": "feature coefficient ci mean baseline_mean",
    "submissions.detectors": "detector flag severity statistic threshold p_value evidence",
    "submissions.attacks": "attack family access calls uplift ci lower_bound upper_bound adjusted_p asr held_out n mde",
    "submissions.null_floor": "estimate ci attack n",
    "submissions.gameability": "grade points ci attack rank_uplift cost_to_top control_spread suite not_measured",
    "submissions.cost": "calls tokens_in tokens_out usd",
}  # fmt: skip


@pytest.fixture(params=["field", "hostile", "judge_test"])
def example(request: pytest.FixtureRequest) -> Report:
    report: Report = getattr(S, request.param)()
    return report


def test_a_report_survives_its_json(example: Report) -> None:
    """Reading what was written gives the same report."""
    assert from_json(to_json(example)) == example
    assert from_json(to_json(example).encode()) == example


def test_the_same_report_gives_the_same_ascii_bytes(example: Report) -> None:
    """No clock, no hash order; nothing in the file can steer a terminal."""
    assert to_json(example) == to_json(from_json(to_json(example)))
    assert to_json(example).replace("\n", "").isascii()
    assert to_json(example).replace("\n", "").isprintable()


def test_mappings_are_sorted() -> None:
    """The order in which ranks were put in does not change a byte."""
    one = S.submission("m", ranks=(1, 2))
    other = replace(one, ranks=dict(reversed(one.ranks.items())))
    assert to_json(S.report(one)) == to_json(S.report(other))


def test_the_keys_are_those_of_the_design() -> None:
    """Every key that the design names is where it says."""
    data: Any = json.loads(to_json(S.report(S.null_model(), S.attacked())))
    for where, keys in DESIGN.items():
        found = [data]
        for step in where.split("."):
            if step:
                found = [v for f in found for v in (f[step] if isinstance(f[step], list) else [f[step]])]
        assert found, where
        for item in found:
            assert set(keys.split()) <= set(item), where


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    """NaN and infinity never reach the file; the message names the field."""
    broken = S.report(replace(S.submission("m"), scores=(Score("m", "raw", value),)))
    with pytest.raises(ValueError, match=r"submissions\[0\]\.scores\[0\]\.estimate"):
        to_json(broken)


def test_an_object_that_is_no_data_is_refused() -> None:
    """A set in a report is a mistake of ours, not an empty list."""
    with pytest.raises(TypeError, match="set"):
        to_json(replace(S.report(), notes={1}))


def test_unpaired_surrogates_become_visible() -> None:
    """A name that is no Unicode text is written so that every JSON reader accepts it."""
    text = to_json(S.report(S.submission("a\ud800b")))
    assert json.loads(text)["submissions"][0]["model"] == "a\\ud800b"
    assert from_json(text).submissions[0].model == "a\\ud800b"


@given(
    st.text(), st.none() | st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**53), st.text(max_size=30)
)
def test_any_score_survives(model: str, estimate: float | None, n: int, note: str) -> None:
    """Every text and every finite number comes back as it was."""
    report = S.report(replace(S.submission("m"), model=model, scores=(Score(model, "raw", estimate, n=n, note=note),)))
    assert from_json(to_json(report)).submissions[0] == report.submissions[0]


BAD = {
    "empty": "",
    "not JSON": "{",
    "a list": "[]",
    "no schema": "{}",
    "another schema": '{"schema": "auditkit.report/2"}',
    "schema of the wrong type": '{"schema": {"a": [1]}}',
    "only a schema": '{"schema": "auditkit.report/1"}',
    "NaN": '{"schema": "auditkit.report/1", "seed": NaN}',
    "an infinite number": '{"schema": "auditkit.report/1", "seed": 1e999}',
    "a huge integer": '{"schema": "auditkit.report/1", "seed": ' + "9" * 5000 + "}",
    "deep nesting": "[" * 100_000,
    "a surrogate": '{"schema": "auditkit.report/1", "auditkit": "\\ud800"}',
    "not UTF-8": b"\xff\xfe{",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_what_is_no_report_is_an_input_error(text: str | bytes) -> None:
    """One line that names the file, never a traceback of a library."""
    with pytest.raises(InputError, match=r"^out/report\.json: ") as caught:
        from_json(text, path="out/report.json")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1200


def _leaves(data: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(data, dict | list) and data:
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _leaves(value, (*at, key))
    else:
        yield at


EXAMPLE = json.loads(to_json(S.report(S.null_model(), S.attacked())))
LEAVES = list(_leaves(EXAMPLE))


@given(st.sampled_from(LEAVES), st.sampled_from([None, True, 3, -0.5, "x", [], {}, [1, 2, 3], {"a": 1}]))
def test_any_other_value_is_read_or_refused(leaf: tuple[Any, ...], value: Any) -> None:
    """A field of the wrong type is an InputError that names it; nothing else is ever raised."""
    data = json.loads(json.dumps(EXAMPLE))
    parent = data
    for step in leaf[:-1]:
        parent = parent[step]
    parent[leaf[-1]] = value
    try:
        assert from_json(json.dumps(data)).schema == "auditkit.report/1"
    except InputError as error:
        assert "field" in str(error)


@pytest.mark.parametrize("value", ['"7"', "7.5", "true"])
def test_no_type_is_guessed(value: str) -> None:
    """A number in quotes is not a number."""
    text = to_json(S.report()).replace('"seed": 0', f'"seed": {value}')
    with pytest.raises(InputError, match="'seed'"):
        from_json(text)


def test_the_published_schema_is_current() -> None:
    """`docs/report.schema.json` is what the code says; make it with ``python -m auditkit.reports.schema``."""
    assert (ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8") == schema.text()


def test_reports_follow_the_schema_and_broken_ones_do_not(example: Report) -> None:
    """An independent validator agrees."""
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    data = json.loads(to_json(example))
    validator.validate(data)
    for broken in ({**data, "schema": "x"}, {**data, "submissions": [{"model": "m"}]}, {**data, "inputs": None}):
        assert not validator.is_valid(broken)


def test_the_schema_lists_the_closed_vocabularies() -> None:
    """Verdicts and statuses are enumerated, so that another program may rely on them."""
    definitions = json_schema()["$defs"]
    assert set(definitions["SubmissionReport"]["properties"]["verdict"]["enum"]) == set(get_args(Verdict))
    assert set(definitions["Reason"]["properties"]["status"]["enum"]) == set(get_args(Status))


def test_the_frame_has_one_row_a_score() -> None:
    """The numbers of the frame are those of the report; undefined is missing, not zero."""
    report = S.field()
    frame = report.to_frame()
    flat = [s for sub in report.submissions for s in sub.scores]
    assert len(frame) == len(flat)
    assert frame["model"].tolist() == [s.model for s in flat]
    assert frame["estimate"].isna().tolist() == [s.estimate is None for s in flat]
    assert frame["lo"].dropna().tolist() == [s.ci[0] for s in flat if s.ci is not None]
    assert report.submissions[0].to_frame().equals(frame[: len(report.submissions[0].scores)])


def test_the_frame_of_an_empty_report_has_the_same_columns() -> None:
    """No submission: no rows, and the columns still there."""
    assert list(S.report().to_frame().columns) == list(S.field().to_frame().columns)


def test_a_notebook_shows_reports_escaped() -> None:
    """The notebook form is a table without markup from outside."""
    shown = S.hostile()._repr_html_()
    assert "<img" not in shown
    assert "<script" not in shown
    one = S.null_model()._repr_html_()
    assert "Rejected" in one
    assert "86.5%" in one


def test_public_names_are_sorted() -> None:
    """Every `__all__` is sorted and names what exists."""
    for module in (reports, record, card, charts, html, leaderboard, wording):
        assert list(module.__all__) == sorted(module.__all__, key=lambda n: (n.islower(), not n.isupper(), n)), module
        assert all(hasattr(module, name) for name in module.__all__)
