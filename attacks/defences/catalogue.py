"""The defences: `DEFENCES` by id, and `panel_of` for a panel of given judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from auditkit.attacks.defences.constraints import CONSTRAINTS
from auditkit.attacks.defences.panel import Member
from auditkit.attacks.defences.protocol import Defence, PanelRule, Setup
from auditkit.attacks.defences.screening import PREFILTERS
from auditkit.attacks.defences.templates import problem_of, with_criteria_first, with_reference
from auditkit.errors import InputError
from auditkit.judging.hardening import hardened
from auditkit.judging.spec import JudgeSpec

__all__ = ["DEFENCES", "panel_of"]

_OURS: Final = "its rendering is an upstream harness's: put strict-verdict before it"
_FREE: Final = "It costs no call"


def _to_judge(change: Callable[[JudgeSpec], JudgeSpec]) -> Callable[[Setup], Setup]:
    return lambda setup: replace(setup, judge=change(setup.judge))


def _unless_broken(change: Callable[[JudgeSpec], JudgeSpec], judge: JudgeSpec) -> str:
    problem = problem_of(change(judge))
    return f"its file does not allow it: {problem}" if problem else ""


# --- strict verdict -------------------------------------------------------------------------------------------------


def _strict(judge: JudgeSpec) -> str:
    if judge.rendering == "jinja" and judge.verdict.parser in ("labels", "json", "logprob"):
        return "its verdict is read from the final channel alone already"
    try:
        return problem_of(hardened(judge))
    except InputError as error:
        return error.problem


# --- nonces ---------------------------------------------------------------------------------------------------------


def _fenced(judge: JudgeSpec) -> JudgeSpec:
    return replace(judge, fence="tags", nonce=True)


def _fence(judge: JudgeSpec) -> str:
    if judge.nonce:
        return "its tags carry a nonce already"
    return _OURS if judge.rendering != "jinja" else _unless_broken(_fenced, judge)


def _labelled(judge: JudgeSpec) -> JudgeSpec:
    return replace(judge, label_nonce=True)


def _label(judge: JudgeSpec) -> str:
    if judge.label_nonce:
        return "its verdict carries a nonce already"
    if judge.rendering != "jinja":
        return _OURS
    if judge.verdict.parser == "logprob":
        return "its verdict is the probability of one token: no answer can write that, and no nonce fits in"
    if judge.verdict.parser == "json":
        return "its reply is one JSON object: a verdict that an answer holds is no such reply"
    return _unless_broken(_labelled, judge)


# --- both orders ----------------------------------------------------------------------------------------------------


def _tied(judge: JudgeSpec) -> JudgeSpec:
    first = judge.first_game if judge.order == "both" else JudgeSpec.first_game
    return replace(judge, order="both", first_game=first, seed=0, aggregate="swap_and_tie")


def _ties(judge: JudgeSpec) -> str:
    if not judge.pairwise:
        return "it sees one answer at a time"
    return "orders that disagree are a tie already" if judge.aggregate == "swap_and_tie" else ""


def _orders(judge: JudgeSpec) -> float:
    return 1.0 if judge.order == "both" else 2.0


# --- templates ------------------------------------------------------------------------------------------------------


def _shows_reference(judge: JudgeSpec) -> bool:
    return any("reference" in message.text for template in judge.templates for message in template.messages)


def _reference(judge: JudgeSpec) -> str:
    if judge.rendering != "jinja":
        return _OURS
    if _shows_reference(judge) or judge.reference_categories:
        return "it shows a reference answer where there is one already"
    return _unless_broken(with_reference, judge)


def _criteria(judge: JudgeSpec) -> str:
    if judge.rendering != "jinja":
        return _OURS
    if judge.verdict.parser == "logprob":
        return "its reply is one token: there is no room for criteria"
    if judge.mode in ("checklist", "principles", "criteria"):
        return "it is asked about given criteria already"
    return _unless_broken(with_criteria_first, judge)


# --- round the judge ------------------------------------------------------------------------------------------------


def _never(judge: JudgeSpec) -> str:
    return ""


def panel_of(members: Sequence[Member], rule: PanelRule = "mean") -> Defence:
    """Return the defence that asks further judges too.

    Args:
        members: The others; the judge itself stays a member.
        rule: How outcomes are combined.

    Raises:
        ValueError: There are no members.
    """
    if not members:
        raise ValueError("a panel needs at least one more judge")
    others = tuple(members)
    return Defence(
        "panel",
        f"a panel of {len(others) + 1} judges ({rule})",
        "Verga et al. 2024, arXiv:2404.18796 (PoLL); catalogue H-panel",
        f"It takes {len(others) + 1} times the calls; it is as good as its members are different, and members of the "
        "author's own family should be left out.",
        lambda setup: replace(setup, panel=others, panel_rule=rule),
        _never,
        lambda judge: len(others) + 1.0,
        90,
    )


DEFENCES: Final[Mapping[str, Defence]] = {
    defence.id: defence
    for defence in (
        Defence(
            "strict-verdict", "our rendering, and the verdict from the final channel alone",
            "catalogue H-esc and H-parse; gates H1 to H4",
            f"{_FREE}; replies that an upstream parser guessed at become missing, and games are played in both orders.",
            _to_judge(hardened), _strict, _orders, 10,
        ),
        Defence(
            "nonce", "a secret in the tags round what is judged",
            "catalogue H-esc and H-spot; Hines et al. 2024, arXiv:2403.14720 (spotlighting by delimiters)",
            f"{_FREE} and some forty tokens; it helps against answers that imitate the prompt's structure, not against "
            "answers that ask or flatter.",
            _to_judge(_fenced), _fence, place=30,
        ),
        Defence(
            "label-nonce", "a secret in the verdict",
            "catalogue H-quote; proposed there, no published figure",
            f"{_FREE}; a weak judge model may fail to copy the code, which shows as games without a verdict.",
            _to_judge(_labelled), _label, place=40,
        ),
        Defence(
            "both-orders-tie", "both orders; where they disagree, a tie",
            "Zheng et al. 2023, arXiv:2306.05685 (MT-Bench, section 3.4); catalogue H-swt",
            "It takes two games a pair, where the judge does not play both anyway; more ties make small gains harder "
            "to see.",
            _to_judge(_tied), _ties, _orders, 60,
        ),
        Defence(
            "reference-guided", "a reference answer beside what is judged",
            "Zheng et al. 2023, arXiv:2306.05685 (section 3.4); LLMBar, arXiv:2310.07641 (71.2 to 84.5); catalogue H-ref",
            f"{_FREE} where references are recorded; it does nothing on prompts without one, and a wrong reference "
            "misleads.",
            _to_judge(with_reference), _reference, place=20, references=True,
        ),
        Defence(
            "criteria-first", "criteria derived from the request before the answers are looked at",
            "Zeng et al. 2023, arXiv:2310.07641 (LLMBar, metrics prompt); Liu et al. 2023, arXiv:2303.16634 (G-Eval)",
            f"{_FREE} and perhaps a hundred tokens of reply; a short token limit can cut the verdict off.",
            _to_judge(with_criteria_first), _criteria, place=25,
        ),
        Defence(
            "prefilter", "detectors look at each answer first; what they flag loses",
            "catalogue C.1 and H-llmdet, with rules in place of a model",
            f"{_FREE}, and saves those of flagged answers; an honest answer about prompts or judging may be flagged.",
            lambda setup: replace(setup, prefilter=PREFILTERS), _never, place=70,
        ),
        Defence(
            "constraint-gate", "answers that break a plain rule lose",
            "Xu et al. 2024, arXiv:2409.20370 (CGPO); systems catalogue 2.8",
            f"{_FREE}; short benchmarks whose right answers repeat, or are mere echoes, need rules of their own.",
            lambda setup: replace(setup, gate=tuple(CONSTRAINTS)), _never, place=80,
        ),
    )
}  # fmt: skip
"""The defences that need nothing from outside, by id."""
