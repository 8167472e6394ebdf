"""Commands without the price of a start: a process that has imported everything forks for each call of `auditkit`.

Importing pandas, scipy and the rest takes longer than most commands of the documentation. The server (`main`) does it
once; the command on the `PATH` of a test is a client that hands over its arguments, folder, environment and open files.
A call with `PYTHONPATH` set starts afresh: what is installed there is not known to the server.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path

_CLIENT = """#!{python} -IS
import json, os, socket, sys
if os.environ.get("PYTHONPATH"):
    os.execv({python!r}, [{python!r}, "-m", "auditkit", *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    call = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(call).to_bytes(8)], [0, 1, 2])
    server.sendall(call)
    code = server.recv(1)
sys.exit(code[0] if code else 70)
"""


def write_client(folder: Path, address: Path) -> None:
    """Write the command `auditkit` into `folder`; it calls the server at `address`."""
    client = folder / "auditkit"
    client.write_text(_CLIENT.format(python=sys.executable, address=str(address)), encoding="utf-8")
    client.chmod(0o755)


def _run(call: socket.socket) -> int:
    size, files, _, _ = socket.recv_fds(call, 8, 3)
    arguments, folder, environment = json.loads(call.recv(int.from_bytes(size), socket.MSG_WAITALL))
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["auditkit", *arguments]
    from auditkit.cli import main as command

    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def main(address: str) -> None:
    """Serve calls at `address` until somebody ends the process, or the one that started it is gone."""
    parent = os.getppid()
    for name in ("audit", "attack", "build", "certify", "claim", "quality", "run", "stress", "verify"):
        import_module(f"auditkit.{name}")
    import_module("scipy.stats")
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(16)
    server.settimeout(5)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while os.getppid() == parent:
        try:
            call, _ = server.accept()
        except TimeoutError:
            continue
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            code = 70
            try:
                code = _run(call)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                call.sendall(bytes([code & 255]))
                os._exit(0)
        call.close()


if __name__ == "__main__":
    main(sys.argv[1])
