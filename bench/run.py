"""Measure auditkit against its peers and write ``docs/benchmarks.md``: ``make bench``, or ``run.py PART …``.

Every part is a script of its own, which measures both sides in turn in one run. Parts that are not named keep their
section of the page.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "bench"
PAGE = ROOT / "docs" / "benchmarks.md"
PARTS = {
    "estimators": ("Estimators and audit", ("numpy", "pandas", "scipy")),
    "engine": ("The engine of a run", ("aiohttp", "openai", "litellm", "sqlalchemy")),
    "local": ("The embedded model", ("xllamacpp",)),
    "search": ("The search for a prefix", ("numpy",)),
    "racing": ("A race of attacks", ("numpy",)),
}
HEAD = """# Benchmarks

Written by `make bench`. Every section comes from one run, in which both sides were measured side by side on the same
machine; its first line says when, and how busy the machine was with other work (load average of the minute before).
Where it was busy, the measured processes had real-time priority (`chrt -r 1 make bench`), all sides alike.
"""


def measured(part: str) -> str:
    """Run one part and return its section."""
    title, packages = PARTS[part]
    now, load = datetime.now(UTC), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "section.md"
        subprocess.run([sys.executable, HERE / f"{part}.py", "--out", out], check=True)
        text = out.read_text(encoding="utf-8").strip()
    ahead = os.sched_getscheduler(0) != os.SCHED_OTHER
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return (
        f"## {title}\n\n{now:%Y-%m-%d}, {os.cpu_count()} cores, load {load:.1f}{' (real-time priority)' if ahead else ''}, Python {platform.python_version()}, "
        f"{versions}.\n\n{text}\n"
    )


def main() -> None:
    """Measure the parts that are named, all by default, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}")
    parts = parser.parse_args().parts or list(PARTS)
    kept: dict[str, str] = {}
    if PAGE.exists():
        sections = re.split(r"(?m)^(?=## )", PAGE.read_text(encoding="utf-8"))[1:]
        kept = {section.partition("\n")[0].removeprefix("## "): section for section in sections}
    for part in parts:
        kept[PARTS[part][0]] = measured(part)
        order = [kept[title].rstrip() + "\n" for title, _ in PARTS.values() if title in kept]
        PAGE.write_text("\n".join([HEAD, *order]), encoding="utf-8")
        print(f"written: {PAGE}", flush=True)


if __name__ == "__main__":
    main()
