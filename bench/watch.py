"""Run a command; print its exit code, seconds and peak memory.

A process of its own, for the peak that the system reports of a child includes the parent it was forked from.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

start = time.perf_counter()
code = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL, check=False).returncode
seconds = time.perf_counter() - start
found = {"code": code, "seconds": seconds, "mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}
Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")
