"""Starts command lines of auditkit, each in a process forked from this one, which has everything imported already.

Reads JSON lines: ``{"argv", "log", "folder"}`` starts a command and prints the new process's number; ``{"wait"}`` prints
how the process of that number ended.
"""

from __future__ import annotations

import json
import os
import sys

# Imported here so that the forked commands need not: each would spend seconds on it.
import pandas  # noqa: F401

import auditkit.cli.run
import auditkit.cli.running
import auditkit.formats.run_folder
import auditkit.judging.clients.openai_client
import auditkit.run  # noqa: F401
from auditkit.cli import main
from auditkit.judging.prices import table
from auditkit.registry import plugins

table()
for group in ("formats", "clients"):
    for plugin in plugins(group).values():
        if plugin.name != "litellm":
            plugin.load()


def run(argv: list[str], log: str, folder: str) -> None:
    """Be the command."""
    os.chdir(folder)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["auditkit", *argv]
    code = 4
    try:
        main(argv, prog_name="auditkit", standalone_mode=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


for line in sys.stdin:
    wanted = json.loads(line)
    if "wait" in wanted:
        _, status = os.waitpid(wanted["wait"], 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)  # noqa: T201  the answer to the test
        continue
    pid = os.fork()
    if pid == 0:
        run(wanted["argv"], wanted["log"], wanted["folder"])
    print(json.dumps({"pid": pid}), flush=True)  # noqa: T201  the same
