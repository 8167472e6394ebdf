"""Projections of a report into what other tools read. The report is the evidence; these only point to it.

An exporter (entry point group ``auditkit.exporters``) is a function of a report that returns a text: the same for the
same report, and with every name and sentence escaped for its format.
"""

from __future__ import annotations

from auditkit.reports.projections.badge import badge
from auditkit.reports.projections.junit import junit
from auditkit.reports.projections.markdown import markdown
from auditkit.reports.projections.sarif import sarif

__all__ = ["badge", "junit", "markdown", "sarif"]
