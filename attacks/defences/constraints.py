"""Rules that an answer must meet before its quality counts: judges that ask nobody.

A mixture of constraint judges gates the preference judge: an answer that breaks one loses whatever the other says.

Source: Xu et al. 2024, arXiv:2409.20370 (CGPO, "mixture of judges"), with rules in place of models.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import or_
from typing import Final

from auditkit.attacks.defences.screening import screened
from auditkit.attacks.detect.answers import fold
from auditkit.attacks.detect.copying import echoes
from auditkit.attacks.detect.language import languages
from auditkit.attacks.detect.length import TRUNCATED_REVIEW, ends_unfinished, is_stub
from auditkit.errors import UsageError, printable
from auditkit.judging.layout import TAGS, verdict_tokens
from auditkit.judging.spec import JudgeSpec

__all__ = ["CONSTRAINTS", "Constraint", "Shown", "broken_by"]

#: Shorter answers may honestly be the same for two prompts ("Yes.", "42").
_SHORT: Final = 40
#: An answer repeats itself if it has this many characters and shrinks to this share: ordinary prose shrinks to 0.4.
_LONG: Final = 800
_SHRUNK: Final = 0.08
#: Words and marks after which something must follow.
_CUT: Final = re.compile(
    r"(?:\b(?:the|an|of|and|or|to|with|from|by|because|which|that is|such as|is|are|was|were|your|their|its)|[,(\[])\s*\Z"
)
_TAG: Final = re.compile(
    rf"</?(?:{'|'.join(sorted(set(TAGS.values()), key=len, reverse=True))})(?:_\d+)?(?:-[0-9a-f]+)?>", re.IGNORECASE
)


@dataclass(frozen=True)
class Shown:
    """Answers to be judged, row by row: the prompts, the answers, and the opponents' answers ("" for none)."""

    judge: JudgeSpec
    prompts: Sequence[str]
    answers: Sequence[str]
    opponents: Sequence[str]


@dataclass(frozen=True)
class Constraint:
    """One rule: `broken` returns for each answer why it breaks it, "" where it does not."""

    id: str
    title: str
    broken: Callable[[Shown], list[str]]


def _constant(shown: Shown) -> list[str]:
    """Long answers that are the same, up to case and blanks, for two different prompts."""
    folded = [fold(answer).strip() for answer in shown.answers]
    asked: dict[str, set[str]] = defaultdict(set)
    for answer, prompt in zip(folded, shown.prompts, strict=True):
        asked[answer].add(fold(prompt))
    constant = len(asked) == 1 and len(asked[folded[0]]) > 1 if folded else False
    return [
        f"the same answer to {len(asked[answer])} prompts" if len(asked[answer]) > 1 and (constant or len(answer) >= _SHORT)
        else "" for answer in folded
    ]  # fmt: skip


def _complete(shown: Shown) -> list[str]:
    """Blank answers, and answers that stop at a word which ends no sentence.

    Stubs beside a long opponent and endings without a full stop are honest now and then (2 to 9 in 100 of real models'
    answers): they count where three tenths of a submission are like that, as for the detector ``truncation``.
    """
    short = [is_stub(*pair) for pair in zip(shown.answers, shown.opponents, strict=True)]
    loose = [ends_unfinished(answer) for answer in shown.answers]
    usual = sum(map(or_, short, loose)) < TRUNCATED_REVIEW * len(loose)
    return [
        "empty" if not answer.strip()
        else "stops inside a sentence" if _CUT.search(answer[-40:]) or (not usual and unfinished)
        else "a stub" if not usual and stub else ""
        for answer, stub, unfinished in zip(shown.answers, short, loose, strict=True)
    ]  # fmt: skip


def _for_the_user(shown: Shown) -> list[str]:
    """Text that is meant for the judge: its own verdicts and tags, known templates' delimiters, addresses, overrides."""
    tokens = verdict_tokens(shown.judge)
    found = screened(
        ("template_tokens", "placeholders", "instruction_override", "evaluator_address"), shown.prompts, shown.answers
    )
    out = []
    for prompt, answer, hit in zip(shown.prompts, shown.answers, found, strict=True):
        token = next((token for token in tokens if token in answer and token not in prompt), "")
        tag = _TAG.search(answer)
        if not token and tag is not None and tag[0] not in prompt:
            token = tag[0]
        out.append(f"holds {printable(token, 40)}" if token else hit and f"speaks to the judge ({hit})")
    return out


def _language(shown: Shown) -> list[str]:
    """Answers in another language than the prompt, unless the prompt leaves it open or the opponent's is no better."""
    out = []
    for prompt, answer, other in zip(shown.prompts, shown.answers, shown.opponents, strict=True):
        found = languages(prompt, answer)
        usual = languages(prompt, other) if other else None
        excused = usual is not None and usual[2]
        out.append(f"asked in {found[0]}, answered in {found[1]}" if found and found[2] and not excused else "")
    return out


def _no_echo(shown: Shown) -> list[str]:
    """Answers that are little more than their prompt, where the opponent's is more."""
    prompts = tuple(shown.prompts)
    own, _ = echoes(prompts, tuple(shown.answers))
    other, _ = echoes(prompts, tuple(shown.opponents))
    return ["repeats the prompt" if hit and not usual else "" for hit, usual in zip(own, other, strict=True)]


def _no_repetition(shown: Shown) -> list[str]:
    """Long answers that say one thing over and over."""
    out = []
    for answer in shown.answers:
        raw = answer.encode(errors="replace")
        looped = len(raw) >= _LONG and len(zlib.compress(raw)) < _SHRUNK * len(raw)
        out.append("says the same over and over" if looped else "")
    return out


CONSTRAINTS: Final[Mapping[str, Constraint]] = {
    rule.id: rule
    for rule in (
        Constraint("complete", "neither empty nor cut short", _complete),
        Constraint("for_the_user", "holds nothing that is meant for the judge", _for_the_user),
        Constraint("language", "in the language of the prompt", _language),
        Constraint("no_echo", "more than the prompt", _no_echo),
        Constraint("no_repetition", "says a thing once", _no_repetition),
        Constraint("of_its_own", "not the same for every prompt", _constant),
    )
}
"""The rules by id."""


def broken_by(gate: Sequence[str], shown: Shown) -> list[str]:
    """Return for each answer the first constraint that it breaks and why (``id: why``), "" where it meets all.

    `of_its_own` and `complete` look at all rows together: give them a whole submission.

    Raises:
        UsageError: There is no such constraint.
    """
    found = [""] * len(shown.answers)
    for name in gate:
        rule = CONSTRAINTS.get(name)
        if rule is None:
            raise UsageError(f"no constraint is named {printable(name, 60)!r}; there are: {', '.join(CONSTRAINTS)}")
        for i, why in enumerate(rule.broken(shown)):
            if why and not found[i]:
                found[i] = f"{name}: {why}"
    return found
