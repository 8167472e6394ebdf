"""Detectors: was this submission built to cheat? One function each, registered under ``auditkit.detectors``.

A detector takes a `Submission` and `Settings` and returns a `Detection`. It reads recorded text and verdicts
only: no model, no network. Severity is set so that an honest submission is never rejected: see each module's
thresholds, which name the clean rates they rest on.
"""

from typing import Final

from auditkit.attacks.detect.run import detect

__all__ = ["HONEST_REJECTED", "detect"]

#: Honest submissions that some detector rejects, of all that were counted: AlpacaEval's public ones, 181,918 answers.
HONEST_REJECTED: Final = (0, 227)
