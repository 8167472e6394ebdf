"""auditkit: audit LLM-judge benchmarks; every score ships with a gameability report.

Everything a command does is a function of the same name::

    import auditkit

    battles = auditkit.read("results/")
    report = auditkit.audit("results/", settings=auditkit.Settings(seed=1))
    print(report.to_frame())

Names load when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from auditkit.audit import audit
    from auditkit.bench.settings import BuildSettings
    from auditkit.build import build
    from auditkit.certify import certify
    from auditkit.claim import claim
    from auditkit.compare import compare
    from auditkit.errors import AuditkitError, InputError, Undefined, UsageError
    from auditkit.formats import convert, read
    from auditkit.quality import quality
    from auditkit.records import Battles, Settings
    from auditkit.reports import Report
    from auditkit.run import run
    from auditkit.site import site
    from auditkit.verify import verify

_HOMES: Final = {
    "AuditkitError": "auditkit.errors",
    "Battles": "auditkit.records",
    "BuildSettings": "auditkit.bench.settings",
    "InputError": "auditkit.errors",
    "Report": "auditkit.reports",
    "Settings": "auditkit.records",
    "Undefined": "auditkit.errors",
    "UsageError": "auditkit.errors",
    "audit": "auditkit.audit",
    "build": "auditkit.build",
    "certify": "auditkit.certify",
    "claim": "auditkit.claim",
    "compare": "auditkit.compare",
    "convert": "auditkit.formats",
    "quality": "auditkit.quality",
    "read": "auditkit.formats",
    "run": "auditkit.run",
    "site": "auditkit.site",
    "verify": "auditkit.verify",
}

__all__ = [
    "AuditkitError",
    "Battles",
    "BuildSettings",
    "InputError",
    "Report",
    "Settings",
    "Undefined",
    "UsageError",
    "audit",
    "build",
    "certify",
    "claim",
    "compare",
    "convert",
    "quality",
    "read",
    "run",
    "site",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("judge-auditkit")
    if name not in _HOMES:
        raise AttributeError(f"module 'auditkit' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


class _Package(ModuleType):
    """The package's own type: importing the module `auditkit.audit` must not hide the function `auditkit.audit`."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, getattr(value, name) if name in _HOMES and isinstance(value, ModuleType) else value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
