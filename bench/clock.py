"""The stop-watch that both sides of a benchmark run under: standard library only, so that every venv has it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable


def clock(task: Callable[[], dict[str, object]], *, per: float = 1.0) -> None:
    """Run `task` as often as the last argument of the command line says; print seconds each and the last answer.

    `per` divides the seconds: refits or models that one run does.
    """
    seconds, answer = [], {}
    for _ in range(int(sys.argv[-1])):
        start = time.perf_counter()
        answer = task()
        seconds.append((time.perf_counter() - start) / per)
    print(json.dumps({"seconds": seconds, "answer": answer}))
