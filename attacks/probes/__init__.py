"""Bias probes: what changes a verdict though it should not, each held against the judge's own noise.

A probe is registered under ``auditkit.probes``. It makes the inputs of judge calls (`Probe.arms`) and measures what came
of them (`Probe.result`); playing them is somebody else's task.
"""

from auditkit.attacks.probes.catalogue import NOT_OFFLINE
from auditkit.attacks.probes.protocol import CLEAN, PLACEBO, Outcomes, Part, Probe, ProbeResult, Staged, placebo_of

__all__ = [
    "CLEAN",
    "NOT_OFFLINE",
    "PLACEBO",
    "Outcomes",
    "Part",
    "Probe",
    "ProbeResult",
    "Staged",
    "placebo_of",
]
