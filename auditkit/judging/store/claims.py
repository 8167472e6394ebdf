"""Who claims a call, what a claim came to, and whether an owner is dead."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

__all__ = ["Claim", "is_dead", "new_owner"]


@dataclass(frozen=True)
class Claim:
    """What became of the keys that were claimed; each key is in exactly one of the three.

    Attributes:
        granted: Make these calls: nobody else will while the lease lasts.
        stored: These are in the store already; read them.
        held: Somebody else makes these: key -> seconds until that lease is over unless it is renewed. Claim them
            again later; by then they are stored, or free.
    """

    granted: frozenset[str]
    stored: frozenset[str]
    held: Mapping[str, float] = field(default_factory=dict)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


@cache
def _machine() -> str:
    """Return what names this boot of this machine and this set of process numbers; "" where that cannot be known."""
    boot = _read("/proc/sys/kernel/random/boot_id")
    try:
        numbers = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return ""
    return f"{boot}.{numbers}" if boot else ""


def _started(pid: int) -> str:
    # The second field is the command's name in parentheses, and may itself hold spaces and parentheses.
    return (_read(f"/proc/{pid}/stat").rpartition(")")[2].split() or [""] * 20)[19]


def new_owner() -> str:
    """Return a name for one user of the store that nobody else has; it says which process that is."""
    return f"{_machine()}/{os.getpid()}/{_started(os.getpid())}/{secrets.token_hex(8)}"


def is_dead(owner: str) -> bool:
    """Tell whether an owner is surely gone: a process of this machine that is not there any more."""
    machine, _, rest = owner.partition("/")
    pid, _, rest = rest.partition("/")
    started = rest.partition("/")[0]
    if not (machine and machine == _machine() and pid.isdecimal() and started):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    now = _started(int(pid))
    return now not in ("", started)
