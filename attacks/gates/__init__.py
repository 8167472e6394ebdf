"""Harness gates: can a judge's harness itself be broken, whatever the model? Twelve deterministic tests, no calls."""

from auditkit.attacks.gates.results import Counterexample, GateResult
from auditkit.attacks.gates.run import run_gates

__all__ = ["Counterexample", "GateResult", "run_gates"]
