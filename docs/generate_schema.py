"""Write docs/report_schema.md, tables of every field, from docs/report.schema.json. A test checks that it is up to date."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HEAD = """# report.json, field by field

Written by `docs/generate_schema.py` from [report.schema.json](report.schema.json), JSON Schema 2020-12; edit the records, not this
page. What the fields mean together is on the page [report.json](report.md). A field that is not *needed* may be left out and then has
the default. `null` means undefined or not measured.

"""


def kind(field: dict[str, Any]) -> str:
    """Return the type of a field in words, with links to the records."""
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(map(kind, field["anyOf"])))
    if field.get("type") == "array":
        if "prefixItems" in field:
            return f"[{', '.join(map(kind, field['prefixItems']))}]".replace("[", "\\[", 1)
        return f"list of {kind(field['items'])}" if "items" in field else "list"
    if field.get("type") == "object":
        values = field.get("additionalProperties")
        return f"object of {kind(values)}" if isinstance(values, dict) else "object"
    return str(field.get("type", "anything"))


def default(name: str, field: dict[str, Any], needed: list[str]) -> str:
    """Return what stands in the column of defaults."""
    if name in needed:
        return "needed"
    return f"`{json.dumps(field['default'])}`" if "default" in field else ""


def prose(text: str) -> str:
    """Return a docstring as paragraphs of Markdown: its sections of Google style become lists."""
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    text = re.sub(r"\n *(Attributes|Args):$", "", text, flags=re.MULTILINE)
    return re.sub(r"^ {4}(\w+): ", r"- `\1`: ", text, flags=re.MULTILINE).strip()


def section(name: str, record: dict[str, Any]) -> str:
    """Return the section on one record."""
    needed = record.get("required", [])
    rows = [
        f"| `{field}` | {kind(about).replace('|', chr(92) + '|')} | {default(field, about, needed)} |"
        for field, about in record.get("properties", {}).items()
    ]
    parts = [
        f"## {name}",
        prose(record.get("description", "")),
        "\n".join(["| field | type | default |", "|---|---|---|", *rows]),
    ]
    return "\n\n".join(part for part in parts if part)


def page() -> str:
    """Return the whole page: the report first, then its records in the order in which they are met."""
    schema = json.loads((HERE / "report.schema.json").read_text(encoding="utf-8"))
    records, met = schema["$defs"], list[str]()
    waiting = [schema]
    while waiting:
        for name in re.findall(r"#/\$defs/(\w+)", json.dumps(waiting.pop(0).get("properties", {}))):
            if name not in met:
                met.append(name)
                waiting.append(records[name])
    sections = [section("Report", schema), *(section(name, records[name]) for name in met)]
    return HEAD + "\n\n".join(sections) + "\n"


if __name__ == "__main__":
    (HERE / "report_schema.md").write_text(page(), encoding="utf-8")
