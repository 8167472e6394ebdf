"""The record of an attacked benchmark: which attacks were declared, and what became of each.

The games are a recording like any other (`auditkit.records.Battles`) in which the variant of a game names the attack;
"" is the answer that was attacked, as it was. What follows from them is derived (`auditkit.attacks.results`), so that
anyone who has the games can derive it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal

from auditkit.errors import InputError

__all__ = [
    "CLEAN",
    "OPPONENT",
    "REPEAT",
    "SCHEMA",
    "AttackArm",
    "AttackExample",
    "AttackResult",
    "AttackSuite",
    "suite_from_json",
    "suite_to_json",
]

SCHEMA: Final = "auditkit.attacks/1"
#: Variants of the answers as they are, and of their second draw.
CLEAN: Final = ""
REPEAT: Final = "repeat-1"
#: Name of whoever the attacked answers meet.
OPPONENT: Final = "opponent"
Status = Literal["played", "stopped", "not_measured"]


@dataclass(frozen=True)
class AttackArm:
    """One attack of a suite: what it is, what its search took, and whether it was played.

    Attributes:
        attack: Its id; the variant of its games.
        title, family, source, summary, mend, access, gold, control: As `auditkit.attacks.protocol.Attack` has them.
        status: ``played`` on every prompt that it may count on, ``stopped`` early by the allocation of the budget, or
            ``not_measured``; `note` says why.
        calls: Judge calls that its search (or its making of answers) took.
        model_calls: Calls of the attacker's own model.
        searched: Prompts that its search saw; none of them counts.
        frozen: Hash of what its search found, taken before any prompt that counts was touched; "" without a search.
        in_search: The winner's mean on the search prompts, 0..1: selected, and shown only beside the held-out one.
        weights: For an attack on the submission's rows: how often each prompt was submitted.
        drops: A game without a verdict leaves its mean, as the judge's own harness has it, and is not lost.
    """

    attack: str
    title: str
    family: str
    source: str
    summary: str
    mend: str
    access: str
    gold: Literal["zero", "nonpositive", "unknown"]
    control: bool = False
    status: Status = "played"
    calls: int = 0
    model_calls: int = 0
    searched: tuple[str, ...] = ()
    frozen: str = ""
    in_search: float | None = None
    weights: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    drops: bool = False

    @property
    def chosen_where_it_counts(self) -> bool:
        """Did the judge help to choose its texts on the very prompts that count? Its gain holds a selection's luck then."""
        return self.calls > 0 and not self.searched


@dataclass(frozen=True)
class AttackSuite:
    """What was declared, and how it was played.

    Attributes:
        name: Its name, and the hash of what it declared before anything was played.
        carrier: The submission whose answers were attacked.
        arms: The attacks, in the order in which they were declared.
        seed: Of every draw.
        adaptive: Was the budget spent by racing (else every attack met every prompt)?
        swap_and_tie: Do orders that disagree count as a tie?
        simulated: Was the judge a simulated one?
        left_out: ``(attack, reason)`` of attacks that were not declared.
        tokens_in, tokens_out, usd: What all calls took; `unpriced` of them have no known price.
    """

    name: str
    carrier: str
    arms: tuple[AttackArm, ...]
    seed: int = 0
    adaptive: bool = False
    swap_and_tie: bool = False
    simulated: bool = False
    left_out: tuple[tuple[str, str], ...] = ()
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    unpriced: int = 0


@dataclass(frozen=True)
class AttackExample:
    """One attacked answer and what the judge made of it: shortened, and escaped where it is shown.

    `clean` and `attacked` are outcomes, 0..1; `reply` is the judge's, where it was kept.
    """

    prompt_id: str
    prompt: str
    answer: str
    clean: float | None
    attacked: float | None
    reply: str = ""


@dataclass(frozen=True)
class AttackResult:
    """What one attack gained, in points of the score, on prompts that its search never saw if `held_out`.

    `lower_bound` and `upper_bound` are simultaneous over the suite, `adjusted_p` is corrected for it (step-down, then
    Holm across families where that is larger), `asr` is the share (0..1) of prompts not won before that are won under
    attack, `mde` the minimum detectable effect in points. `score` and `clean` are the attacked and the plain answers'
    points out of 100. `detected_by` names reject-severity detectors that a submission of these answers sets off.
    `ungraded` says why it decides no grade, floor or cost, "" for one that does; its bounds are then of its own group.
    """

    attack: str
    family: str
    access: str
    calls: int
    uplift: float | None
    ci: tuple[float, float] | None
    lower_bound: float | None
    upper_bound: float | None
    adjusted_p: float | None
    asr: float | None
    held_out: bool
    n: int
    mde: float | None
    note: str = ""
    title: str = ""
    gold: Literal["zero", "nonpositive", "unknown"] = "unknown"
    source: str = ""
    summary: str = ""
    mend: str = ""
    control: bool = False
    status: Status = "played"
    method: str = ""
    score: float | None = None
    clean: float | None = None
    asr_ci: tuple[float, float] | None = None
    reverse: float | None = None
    pac: float | None = None
    unparsed: int = 0
    in_search: float | None = None
    frozen: str = ""
    detected_by: tuple[str, ...] = ()
    example: AttackExample | None = None
    ungraded: str = ""


def suite_to_json(suite: AttackSuite) -> str:
    """Return the record as JSON text: the same bytes for the same record."""
    return json.dumps({"schema": SCHEMA, **asdict(suite)}, indent=1, sort_keys=True, allow_nan=False) + "\n"


def suite_from_json(text: bytes, path: Path | str | None = None) -> AttackSuite:
    """Read what `suite_to_json` wrote.

    Raises:
        InputError: Not such a file, or a field of the wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", path=path) from None
    if not isinstance(body, dict) or body.pop("schema", None) != SCHEMA:
        raise InputError(f"expected a file of schema {SCHEMA!r}", path=path)
    try:
        return TypeAdapter(AttackSuite).validate_json(json.dumps(body), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(str(first["msg"]), path=path, record=f"field {where!r}") from None
