"""Print the JSON Schema of `report.json`: ``python -m auditkit.reports.schema > docs/report.schema.json``."""

from __future__ import annotations

import json
import sys

from auditkit.reports.report import json_schema


def text() -> str:
    """Return the schema as the text of `docs/report.schema.json`."""
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
