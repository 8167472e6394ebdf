"""Projections of a decision: read by other tools' own parsers, and nothing in a name gets out of its place."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from junitparser import Failure, JUnitXml, Skipped
from markdown_it import MarkdownIt
from pydantic import BaseModel
from sarif_pydantic import Sarif

from auditkit import registry
from auditkit.records import Gate, Input, Length, Position, Score
from auditkit.reports.projections import badge, junit, markdown, sarif
from auditkit.reports.report import (
    BenchmarkInfo,
    Gameability,
    JudgeInfo,
    Method,
    NullFloor,
    Quality,
    Reason,
    Report,
    SubmissionReport,
    Verdict,
)

HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "]]><x/>", "&lt;b&gt;", "a|b|c", "`code` **bold** _it_",
    "[link](javascript:alert(1))", "![x](https://evil.example/x.png)", "https://evil.example", "www.evil.example",
    "@everyone", "#123", "me@evil.example", ":smile:", "line\nbreak\r\n# heading", "\x1b[31mred\x00", "\u202egnirts",
    "{{7*7}} ${x} {0} {1}", "\\[x\\]", "$e^x$", "<!-- --> <![CDATA[", "~~~", "\ufffe\ud800", "x" * 500, "",
]  # fmt: skip


def _submission(model: str, verdict: Verdict = "conditional", text: str = "controls differ") -> SubmissionReport:
    reasons = (
        Reason("detectors_reject", "fail" if verdict == "rejected" else "pass", 2.0, 0.0, f"2 detectors: {text}"),
        Reason("overlap", "warn", 0.04, 0.1, f"only 4%: {text}"),
        Reason("null_floor", "not_measured", None, 0.0, f"no constant answer: {text}"),
    )
    return SubmissionReport(
        model, 100, verdict, reasons, Quality(1.0, 0, 0, 0), (Score(model, "raw", 55.0, 1.0, (53.0, 57.0), 100),), (),
        Position("not_measured"), Length(None, None, None, None, None), (), (), (), NullFloor(None),
        Gameability("unresolved"),
    )  # fmt: skip


def _report(*submissions: SubmissionReport, name: str = "bench") -> Report:
    return Report(
        "auditkit.report/1", "0.1.0", "2026-01-02T03:04:05+00:00", 0, BenchmarkInfo(name, "1", 100, "0" * 64),
        JudgeInfo(name, name, ""), (Input("results/a b/annotations.json", "0" * 64, 5),),
        (Gate("H5", "pass", "checked", "counted"),), submissions, method=Method(policy="standard 1.1"),
    )  # fmt: skip


PLAIN = _report(_submission("good", "certified"), _submission("bad", "rejected"))
NASTY = [_report(_submission(name, "rejected", name), name=name) for name in HOSTILE]


def test_exporters_are_plugins() -> None:
    """Each is registered under its name and is a function of a report."""
    for name in ("badge", "junit", "markdown", "sarif"):
        text = registry.find("exporters", name).load()(PLAIN)
        assert isinstance(text, str) and text.endswith("\n")


def test_junit_counts_what_a_ci_system_shows() -> None:
    """A suite a submission, a case a rule: a rejection fails, a condition passes with a warning, unmeasured is skipped."""
    suites = JUnitXml.fromstring(junit(PLAIN).encode())
    assert (suites.tests, suites.failures, suites.errors, suites.skipped) == (6, 1, 0, 2)
    good, bad = suites
    assert (good.name, good.tests, good.failures, good.skipped) == ("good", 3, 0, 1)
    by_rule: dict[str, Any] = {case.name: case for case in bad}
    assert isinstance(by_rule["detectors_reject"].result[0], Failure)
    assert isinstance(by_rule["null_floor"].result[0], Skipped)
    assert by_rule["overlap"].result == [] and by_rule["overlap"].system_out.startswith("warning: ")
    properties = bad.properties()  # type: ignore[no-untyped-call]
    assert {p.name: p.value for p in properties}["verdict"] == "Rejected"


@pytest.mark.parametrize("report", NASTY)
def test_junit_holds_hostile_names_as_text(report: Report) -> None:
    """Well-formed whatever a name holds: no element but ours, no character that XML forbids."""
    root = ET.fromstring(junit(report))  # noqa: S314  our own output
    assert {e.tag for e in root.iter()} == {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "system-out", "skipped",
    }  # fmt: skip
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]", junit(report))
    assert next(iter(JUnitXml.fromstring(junit(report).encode()))).failures == 1


def _unknown(model: object, where: str = "") -> list[str]:
    """Fields that the SARIF model does not know."""
    found: list[str] = []
    if isinstance(model, list):
        for item in model:
            found += _unknown(item, where)
    elif isinstance(model, BaseModel):
        found += [f"{where}.{key}" for key in model.model_extra or {}]
        for key in type(model).model_fields:
            found += _unknown(getattr(model, key), f"{where}.{key}")
    return found


@pytest.mark.parametrize("report", [PLAIN, *NASTY])
def test_sarif_is_read_by_its_model(report: Report) -> None:
    """SARIF 2.1.0 with known fields only; each result points to its rule, and levels are those of its kind."""
    tree = json.loads(sarif(report))
    read = Sarif.model_validate(tree)
    assert read.version == "2.1.0"
    known = {".runs.tool.driver.informationUri", ".runs.columnKind", ".runs.automationDetails", ".runs.results.kind"}
    assert {w for w in _unknown(read) if not w.endswith((".logicalLocations", ".partialFingerprints"))} <= known
    (run,) = tree["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert (result["level"] == "none") == (result["kind"] != "fail")
        (location,) = result["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"] == "results/a%20b/annotations.json"
        text = result["message"]["text"]
        assert not re.search(r"(?<!\\)(\\\\)*\[", text), "a bracket would start a link"
        assert not re.search(r"(?<!\{)\{(\{\{)*[^{]", text), "a brace would be a placeholder"


def test_sarif_levels_follow_the_policy() -> None:
    """A failure is an error, a condition a warning, and only these are findings."""
    levels = [(r["kind"], r["level"]) for r in json.loads(sarif(PLAIN))["runs"][0]["results"]]
    assert levels == [
        ("pass", "none"), ("fail", "warning"), ("open", "none"), ("fail", "error"), ("fail", "warning"), ("open", "none"),
    ]  # fmt: skip


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def _rendered(text: str) -> _Tags:
    parser = _Tags()
    parser.feed(MarkdownIt("gfm-like", {"html": True, "linkify": False}).enable("table").render(text))
    return parser


@pytest.mark.parametrize("report", [PLAIN, *NASTY])
def test_markdown_holds_hostile_names_as_text(report: Report) -> None:
    """Rendered as GitHub does, raw HTML on: no tag but ours, no link, no attribute, one table row a submission."""
    text = markdown(report)
    page = _rendered(text)
    assert page.tags <= {"h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "strong", "ul", "li"}
    assert page.attributes == []
    assert sum(line.startswith("| <code>") for line in text.splitlines()) == len(report.submissions)
    assert not re.search(r"@\w|#\d|https?:/|www\.\w|(?<!\w):[a-z]+:", re.sub(r"<!-- -->", "\0", page_text(text)))


def page_text(text: str) -> str:
    """Entities resolved, comments kept: what a later pass for mentions and links sees."""
    import html

    return html.unescape(text)


def test_markdown_says_the_decision_and_its_reasons() -> None:
    """Verdict, score with interval, and each failed rule."""
    page = _rendered(markdown(PLAIN))
    for said in ("Rejected", "Certified", "55.0", "53.0", "2 detectors: controls differ", "Not measured: null floor"):
        assert said in page.text, said
    assert "raw" not in markdown(replace(PLAIN, submissions=())).lower()


@pytest.mark.parametrize("report", [PLAIN, *NASTY])
def test_a_badge_is_an_svg_without_anything_active(report: Report) -> None:
    """Well-formed, with a title, text and rectangles only, and no reference to anything."""
    root = ET.fromstring(badge(report))  # noqa: S314  our own output
    assert {e.tag.rpartition("}")[2] for e in root.iter()} == {"svg", "title", "rect", "g", "text"}
    names = {name for e in root.iter() for name in e.attrib}
    assert not {n for n in names if n.startswith("on") or "href" in n or n == "style"}
    assert int(root.attrib["width"]) < 400


def test_a_badge_says_the_verdict() -> None:
    """One submission: verdict and grade; several: the worst and how many."""
    assert "1 of 2 rejected" in badge(PLAIN)
    assert "certified · unresolved" in badge(_report(_submission("good", "certified")))
    assert badge(PLAIN) == badge(PLAIN)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("verdict", ["certified", "conditional", "rejected", "not_certifiable"])
def test_a_badge_can_be_read(verdict: Verdict) -> None:
    """White text on each colour has a contrast of at least 4.5 to 1 (WCAG 2.2 AA)."""
    (colour,) = re.findall(r'fill="(#[0-9a-f]{6})"', badge(_report(_submission("m", verdict))))
    assert 1.05 / (_luminance(colour) + 0.05) >= 4.5
