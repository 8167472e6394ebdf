"""JUnit XML: one suite a submission, one case a rule, for the test tab of a CI system."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from auditkit.errors import printable
from auditkit.reports.report import Reason, Report
from auditkit.reports.wording import VERDICTS

__all__ = ["junit"]

_LONG = 2000


def junit(report: Report) -> str:
    """JUnit XML with one suite a submission and one case a rule.

    A rule that rejects or withholds is a failure, a condition passes with a warning in its output (as the exit code
    does), and what was not measured is skipped.
    """
    root = ET.Element("testsuites", name="auditkit")
    totals = [0, 0, 0]
    for s in report.submissions:
        counts = [
            len(s.reasons), sum(r.status == "fail" for r in s.reasons), sum(r.status == "not_measured" for r in s.reasons)
        ]  # fmt: skip
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
        name = printable(s.model, 200)
        suite = ET.SubElement(root, "testsuite", name=name, timestamp=report.created, time="0")
        suite.attrib.update(_counts(counts))
        properties = ET.SubElement(suite, "properties")
        for key, value in (
            ("benchmark", printable(report.benchmark.name, 200)), ("verdict", VERDICTS[s.verdict].word),
            ("grade", s.gameability.grade), ("policy", printable(report.method.policy, 200)), ("auditkit", report.auditkit),
        ):  # fmt: skip
            ET.SubElement(properties, "property", name=key, value=value)
        for reason in s.reasons:
            _case(suite, name, reason)
    root.attrib.update(_counts(totals))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _counts(counts: list[int]) -> dict[str, str]:
    tests, failures, skipped = map(str, counts)
    return {"tests": tests, "failures": failures, "errors": "0", "skipped": skipped}


def _case(suite: ET.Element, name: str, reason: Reason) -> None:
    case = ET.SubElement(suite, "testcase", classname=name, name=printable(reason.rule, 80), time="0")
    text = printable(reason.text, _LONG)
    if reason.status == "fail":
        ET.SubElement(case, "failure", message=text, type="policy").text = text
    elif reason.status == "not_measured":
        ET.SubElement(case, "skipped", message=text)
    else:
        ET.SubElement(case, "system-out").text = f"warning: {text}" if reason.status == "warn" else text
