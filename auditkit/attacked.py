"""The record of an attacked benchmark: which attacks were played, on which prompts, and every game of them.

Games and answers are a recording like any other (`auditkit.records.Battles`) in which the variant of a game names
the attack; "" is the answer that was attacked, as it was. What follows from it is derived (`auditkit.attacks.results`),
so that anyone who has the games can derive it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal

from auditkit.errors import InputError
from auditkit.records import Battles

__all__ = ["SCHEMA", "AttackArm", "Attacked", "arms_from_json", "arms_to_json"]

SCHEMA: Final = "auditkit.attacks/1"
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


@dataclass(frozen=True)
class Attacked:
    """An attacked benchmark.

    Attributes:
        recording: Games, answers and prompts; ``variant`` of a game names the attack.
        arms: The suite, in the order in which it was declared.
        carrier: The submission whose answers were attacked.
        suite: Its name, and the hash of which attacks it declared before anything was played.
        seed: Of every draw.
        adaptive: Was the budget spent by racing (else every attack met every prompt)?
        swap_and_tie: Do orders that disagree count as a tie?
        simulated: Was the judge a simulated one?
    """

    recording: Battles
    arms: tuple[AttackArm, ...]
    carrier: str
    suite: str
    seed: int = 0
    adaptive: bool = False
    swap_and_tie: bool = False
    simulated: bool = False


def arms_to_json(attacked: Attacked) -> str:
    """Return everything of the record but its recording, as JSON text."""
    body: dict[str, Any] = {"schema": SCHEMA}
    body |= {f.name: getattr(attacked, f.name) for f in fields(attacked) if f.name not in ("recording", "arms")}
    body["arms"] = [asdict(arm) for arm in attacked.arms]
    return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"


def arms_from_json(text: bytes, recording: Battles, path: object = None) -> Attacked:
    """Read what `arms_to_json` wrote.

    Raises:
        InputError: Not such a file.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", path=str(path)) from None
    if not isinstance(body, dict) or body.pop("schema", None) != SCHEMA:
        raise InputError(f"expected a file of schema {SCHEMA!r}", path=str(path))
    arms = body.pop("arms", None)
    try:
        read = TypeAdapter(tuple[AttackArm, ...]).validate_json(json.dumps(arms), strict=True)
        head = TypeAdapter(_Head).validate_json(json.dumps(body), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(str(first["msg"]), path=str(path), record=f"field {where!r}") from None
    return Attacked(recording, read, **asdict(head))


@dataclass(frozen=True)
class _Head:
    carrier: str
    suite: str
    seed: int = 0
    adaptive: bool = False
    swap_and_tie: bool = False
    simulated: bool = False
