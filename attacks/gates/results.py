"""What a gate found: whether it holds, how that is known, and the smallest thing that breaks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from auditkit.errors import printable
from auditkit.records import Gate

__all__ = ["TITLES", "Counterexample", "GateResult", "Kind", "Status", "fails", "passes", "quoted", "unmeasured"]

Status = Literal["pass", "fail", "not_measured"]
Kind = Literal["proved", "fuzzed", "checked"]

#: What each gate asks.
TITLES: Final[Mapping[str, str]] = {
    "H1": "does an answer change the prompt outside its own slot?",
    "H2": "can the slots be read back from the rendered prompt?",
    "H3": "is the verdict read from the judge's last words only?",
    "H4": "is a verdict outside the labels or the scale refused?",
    "H5": "is a missing verdict counted?",
    "H6": "are all prompts there?",
    "H7": "do duplicate rows count twice?",
    "H8": "are both orders played, or is the slot unpredictable?",
    "H9": "is length measured on the raw answer?",
    "H10": "does a judge judge itself?",
    "H11": "do intervals take the prompt as the unit?",
    "H12": "does no verdict crash the parser or the aggregation?",
}
_EVIDENCE: Final = 60


def quoted(text: str, limit: int = 160) -> str:
    """Return a text between quotation marks as one short line that cannot steer a terminal; line feeds show as ``\\n``."""
    return f"'{printable(text, limit)}'"


@dataclass(frozen=True)
class Counterexample:
    """The smallest thing found that breaks a gate. Texts are whole and raw: show them with `lines` or `printable`.

    Attributes:
        given: What was put in: what it is, and the text.
        expected: What should have come out, in words.
        found: What came out, in words.
        prompt: The rendered prompt, "" where there is none.
        span: Where to look in it: start and end in characters.
    """

    given: tuple[tuple[str, str], ...]
    expected: str
    found: str
    prompt: str = ""
    span: tuple[int, int] = (0, 0)

    def excerpt(self, width: int = 200, around: int = 2, most: int = 12) -> tuple[str, ...]:
        """Return the lines of the prompt at `span` and `around` lines on either side, each printable and cut to `width`.

        Of a long line that part is shown in which the span begins; at most `most` lines are.
        """
        if not self.prompt:
            return ()
        start, end = self.span
        first, last = self.prompt.count("\n", 0, start), self.prompt.count("\n", 0, max(end, start))
        column = start - (self.prompt.rfind("\n", 0, start) + 1)
        lines = self.prompt.split("\n")
        shown = []
        for number in range(max(first - around, 0), min(last + around + 1, len(lines)))[:most]:
            line = printable(lines[number], len(lines[number]) + 1)
            if number == first and len(line) > width:
                begin = min(max(column - width // 3, 0), len(line) - width)
                line = f"…{line[begin + 1 :]}" if begin else line
            shown.append(line if len(line) <= width else f"{line[: width - 1]}…")
        return tuple(shown)


@dataclass(frozen=True)
class GateResult:
    """One harness gate of one judge.

    Attributes:
        gate: ``H1`` … ``H12``.
        title: What the gate asks.
        status: Does it hold? ``not_measured``: a judge file cannot tell; the statement says what can.
        kind: How that is known. ``proved``: it follows from how the judge is rendered and read, and `cases` fuzz cases
            agree. ``fuzzed``: `cases` cases were tried and this is all that is known. ``checked``: read from the file,
            or from what the harness does with it.
        cases: Fuzz cases run; 0 where there is nothing to fuzz.
        failures: Those that broke the gate.
        statement: What was found, in plain words.
        mend: What to change in the judge file; "" if nothing.
        counterexample: The smallest thing that breaks it, None if nothing did.
    """

    gate: str
    title: str
    status: Status
    kind: Kind
    cases: int
    failures: int
    statement: str
    mend: str = ""
    counterexample: Counterexample | None = None

    def to_gate(self) -> Gate:
        """Return the gate as the report records it, in one sentence with the counterexample's text."""
        evidence = self.statement
        if self.counterexample is not None:
            what, text = self.counterexample.given[0]
            evidence += f"; smallest counterexample: {what}: {quoted(text, _EVIDENCE)}"
        if self.status == "pass" and self.cases:
            evidence += f" ({self.cases} fuzz cases agree)" if self.kind == "proved" else f" ({self.cases} fuzz cases)"
        if self.status != "fail" or self.counterexample is None:
            return Gate(self.gate, self.status, self.kind, evidence)
        return Gate(self.gate, self.status, self.kind, evidence, self.mend, self.counterexample.excerpt())


def passes(gate: str, kind: Kind, statement: str, *, cases: int = 0) -> GateResult:
    """Return a gate that holds."""
    return GateResult(gate, TITLES[gate], "pass", kind, cases, 0, statement)


def unmeasured(gate: str, why: str) -> GateResult:
    """Return a gate of which the judge's file cannot tell."""
    return GateResult(gate, TITLES[gate], "not_measured", "checked", 0, 0, why)


def fails(
    gate: str,
    kind: Kind,
    statement: str,
    mend: str,
    counterexample: Counterexample | None = None,
    *,
    cases: int = 0,
    failures: int = 0,
) -> GateResult:
    """Return a gate that does not hold."""
    return GateResult(gate, TITLES[gate], "fail", kind, cases, failures, statement, mend, counterexample)
