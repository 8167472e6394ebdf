"""What a store raises when it cannot go on (input that can never work is an `auditkit.errors.InputError`)."""

from __future__ import annotations

from typing import ClassVar

from auditkit.errors import AuditkitError

__all__ = ["StoreError"]


class StoreError(AuditkitError):
    """The store cannot be used now: locked, its disk full, its server away. What was committed stays; resume later."""

    exit_code: ClassVar[int] = 4
