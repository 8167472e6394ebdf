"""Runs command lines in processes forked from this one, which has everything imported: one start instead of many.

Reads lines of ``{"args", "env", "cwd"}`` from standard input and answers each with a line of ``[exit code, standard
output, standard error, peak MiB]``, both outputs in hex.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
from importlib import import_module
from typing import Any, NoReturn

import pandas  # noqa: F401  what every command needs: once here instead of in each
import pyarrow.parquet  # noqa: F401
import rich.table  # noqa: F401
import scipy.stats  # noqa: F401
import statsmodels.api  # noqa: F401

from auditkit.attacks.suite import choose
from auditkit.cli import _COMMANDS, main
from auditkit.judging.spec import load_judge

for name in _COMMANDS.values():
    import_module(f"auditkit.cli.{name}")
for name in (
    "judging.clients.openai_client",
    "judging.engine",
    "judging.session",
    "audit",
    "certify",
    "claim",
    "quality",
    "stress",
    "verify",
    "attack",
    "build",
    "run",
):
    import_module(f"auditkit.{name}")
choose(load_judge("arena-hard-v0.1"), suite="quick")

#: A bomb that goes off takes its own process with it, not the machine.
_MOST = 8 << 30
_LONGEST = 60


def _child(job: dict[str, Any], out: int, err: int) -> NoReturn:
    """Become the command line of `job`."""
    os.environ.update(job.get("env", {}))
    os.dup2(out, 1)
    os.dup2(err, 2)
    if job.get("cwd"):
        os.chdir(job["cwd"])
    resource.setrlimit(resource.RLIMIT_AS, (_MOST, _MOST))
    signal.alarm(_LONGEST)
    sys.argv = ["auditkit", *job["args"]]
    code = 0
    try:
        main(job["args"], prog_name="auditkit")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _one(job: dict[str, Any]) -> list[Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            _child(job, out.fileno(), err.fileno())
        _, status, used = os.wait4(child, 0)
        out.seek(0)
        err.seek(0)
        return [os.waitstatus_to_exitcode(status), out.read().hex(), err.read().hex(), used.ru_maxrss // 1024]


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(_one(json.loads(line))), flush=True)  # noqa: T201  the answer
