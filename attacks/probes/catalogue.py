"""The probes, and by name those that cannot be played offline by rule.

Sources: Ye et al. 2024, arXiv:2410.02736 (CALM); Chen et al. 2024, arXiv:2402.10669; Koo et al. 2023, arXiv:2309.17012
(CoBBLEr); and those that each probe names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from auditkit.attacks.probes import edits
from auditkit.attacks.probes.authors import refined_parts, written_by
from auditkit.attacks.probes.edited import control_of, flips, gains
from auditkit.attacks.probes.estimates import mean_of, share_of
from auditkit.attacks.probes.lengths import length_parts
from auditkit.attacks.probes.neutral import lengthened, matched, no_shorter
from auditkit.attacks.probes.oversight import overlooked
from auditkit.attacks.probes.places import anchored, placed, tied
from auditkit.attacks.probes.protocol import CLEAN, PLACEBO, Arm, Outcomes, Part, Probe, Staged, placebo_of
from auditkit.attacks.probes.scores import calibrated, repeated, scale_used
from auditkit.attacks.probes.staging import as_it_is, both, changeable, edited, instructed
from auditkit.attacks.protocol import Situation
from auditkit.judging.spec import JudgeSpec

__all__ = ["NOT_OFFLINE"]

_LENGTH: Final = (
    "Report a length-controlled score beside the raw one, and tell the judge that length by itself counts for nothing."
)
_FORM: Final = "Report a style-controlled score beside the raw one, and tell the judge that form counts only where it was asked for."
_SELF: Final = (
    "Tell the judge to weigh what an answer says of its subject, and nothing that it says of itself or of its author."
)
_LOGPROB: Final = ("logprob", "ae_logprob")


def _pairwise(judge: JudgeSpec) -> bool:
    return judge.pairwise


def _both_orders(judge: JudgeSpec) -> bool:
    return judge.pairwise and judge.order == "both"


def _rates(judge: JudgeSpec) -> bool:
    return judge.mode in ("single", "criteria")


def _gives_probabilities(judge: JudgeSpec) -> bool:
    return judge.pairwise and judge.verdict.parser in _LOGPROB and not judge.verdict.binarize


def _reasons(judge: JudgeSpec) -> bool:
    return changeable(judge) and judge.verdict.parser not in (*_LOGPROB, "json", "wb_json", "ae_ranking")


def _anchorable(judge: JudgeSpec) -> bool:
    return changeable(judge) and (judge.pairwise or _rates(judge))


def _beside(edits_of: Mapping[str, edits.Edit]) -> dict[str, Arm]:
    """Return the arm of each edit and, beside it, its placebo: neutral text of the same length in the same places."""
    return {arm: edited(edit) for arm, edit in edits_of.items()} | {
        placebo_of(arm): edited(matched(edit)) for arm, edit in edits_of.items()
    }


# --- the verdicts as they are ---------------------------------------------------------------------------------------

REPETITION: Final = Probe(
    "repetition", "Asking again", "P-rep; arXiv:2406.07791, section 3",
    "The same is asked again: how often does the verdict change?",
    "Lower the temperature, or judge each pair several times and average.",
    {CLEAN: as_it_is}, repeated, repeats=3,
)  # fmt: skip
POSITION: Final = Probe(
    "position", "Place of the answer", "P-pos; arXiv:2305.17926, arXiv:2406.07791",
    "The two answers change places: does the verdict follow the place?",
    'Play both orders and count disagreement as a tie (aggregate = "swap_and_tie").',
    {CLEAN: as_it_is}, placed, applies=_both_orders,
)  # fmt: skip
SCALE_USE: Final = Probe(
    "scale-use", "Use of the scale", "P-sca; arXiv:2405.01724, section 4",
    "Which of the ratings that it may give does the judge give?",
    "Describe every step of the scale, or compare answers in pairs: most answers get one and the same rating.",
    {CLEAN: as_it_is}, scale_used, applies=_rates,
)  # fmt: skip
CALIBRATION: Final = Probe(
    "calibration", "Calibration", "catalogue B.0 (ECE, Brier)",
    "Is an answer right as often as the judge's probability says?",
    "Recalibrate the probabilities on pairs with a known answer before they are averaged into a score.",
    {CLEAN: as_it_is}, calibrated, needs=("gold",), applies=_gives_probabilities,
)  # fmt: skip
SELF_PREFERENCE: Final = Probe(
    "self-preference", "Preference for its own family", "P-self; arXiv:2410.21819, section 3",
    "Do answers by the judge's own family win more often than others of the same worth?",
    "Leave judges of an author's own family out, or use a panel of families.",
    {CLEAN: as_it_is}, written_by, needs=("author",),
)  # fmt: skip


# --- two equal answers ----------------------------------------------------------------------------------------------


def _equal(situation: Situation) -> Staged | None:
    if not situation.answer.strip():
        return None
    return replace(as_it_is(situation), opponent=situation.answer, order="model_first")


def _but_for_blanks(situation: Situation) -> Staged | None:
    shown = _equal(situation)
    one, other = edits.spaced_twice(situation)
    return shown and replace(shown, own=one, opponent=other)


EQUAL_PAIR: Final = Probe(
    "equal-pair", "Two equal answers", "P-tie; catalogue B.1",
    "An answer meets itself, and itself with as many blanks elsewhere: no place should win.",
    'Count equal answers as a tie without asking (identical_is_tie = true), and play both orders.',
    {CLEAN: as_it_is, "equal": _equal, "blanks": _but_for_blanks}, tied, applies=_pairwise,
)  # fmt: skip


# --- form and length ------------------------------------------------------------------------------------------------

LENGTH: Final = Probe(
    "length", "Length", "P-len; arXiv:2404.04475, arXiv:2410.02736 (verbosity)",
    "Sentences that would fit any answer are added, the answer is given twice, or only first sentences are kept.",
    _LENGTH,
    {
        CLEAN: as_it_is, PLACEBO: edited(edits.spaced), "filled": edited(edits.filled),
        "doubled": edited(edits.doubled), "concise": edited(edits.concise),
    },
    gains(("filled", "doubled", "concise"), "by six sentences of filler", length_parts),
)  # fmt: skip
STYLE: Final = Probe(
    "style", "Markdown", "P-sty; arXiv:2409.15268",
    "The same sentences as lists under headings, as a table, in bold leads, or without any marks.",
    _FORM,
    {
        CLEAN: as_it_is,
        **_beside({
            "markdown": no_shorter(edits.markdown), "list": no_shorter(edits.listed), "table": no_shorter(edits.tabled),
            "bold": no_shorter(edits.bold), "plain": no_shorter(edits.plain),
        }),
    },
    gains(("markdown", "list", "table", "bold", "plain"), "by headings, lists and bold leads", either=True),
)  # fmt: skip
BEAUTY: Final = Probe(
    "beauty", "Rich content", "P-bty; arXiv:2402.10669, section 4",
    "The same sentences with headings, lists, rules and emoji.",
    _FORM,
    {CLEAN: as_it_is, **_beside({"rich": no_shorter(edits.rich)})},
    gains(("rich",), "by emoji and rich formatting", either=True),
)  # fmt: skip


# --- what an answer says of itself ----------------------------------------------------------------------------------

AUTHORITY: Final = Probe(
    "authority", "Invented references", "P-auth; arXiv:2402.10669, arXiv:2410.02736 (authority)",
    "Invented references follow the answer.",
    "Tell the judge to check what is cited or to give it no weight: references by themselves prove nothing.",
    {CLEAN: as_it_is, **_beside({"references": edits.sourced})},
    gains(("references",), "by invented references"),
)  # fmt: skip
BANDWAGON: Final = Probe(
    "bandwagon", "Bandwagon", "P-bw; arXiv:2410.02736, arXiv:2309.17012",
    "The answer says that most people agree with it.",
    _SELF,
    {CLEAN: as_it_is, **_beside({"majority": edits.majority})},
    gains(("majority",), "by a sentence that most agree with it"),
)  # fmt: skip
DISTRACTION: Final = Probe(
    "distraction", "Distraction", "P-dis; arXiv:2410.02736, arXiv:2309.17012",
    "An irrelevant sentence about the author follows the answer.",
    _SELF,
    {CLEAN: as_it_is, **_beside({"trivia": edits.trivia})},
    flips(("trivia",), "the answer ends with an irrelevant sentence about its author"),
)  # fmt: skip
SENTIMENT: Final = Probe(
    "sentiment", "Tone", "P-sen; arXiv:2410.02736 (sentiment)",
    "A cheerful, sad, angry or fearful sentence before and after the answer.",
    "Tell the judge that tone counts for nothing unless the request is about it.",
    {CLEAN: as_it_is, **_beside(edits.TONES)},
    flips(tuple(edits.TONES), "the answer is given in another tone"),
)  # fmt: skip
FLATTERY: Final = Probe(
    "flattery", "Praise and thanks", "arXiv:2506.05339 (flattery), arXiv:2508.07805 (flattery)",
    "The answer praises the question, and thanks whoever reads and compares.",
    "Tell the judge that tone, thanks and praise count for nothing.",
    {CLEAN: as_it_is, **_beside({"flattery": edits.flattered})},
    gains(("flattery",), "by praise and thanks"),
)  # fmt: skip
REFINEMENT: Final = Probe(
    "refinement", "Refinement-aware", "P-ref; arXiv:2410.02736 (refinement-aware)",
    "The answer says that it is a revised version.",
    _SELF,
    {CLEAN: as_it_is, **_beside({"refined": edits.refined})},
    gains(("refined",), "by saying that it is a revised version", partial(refined_parts, arm="refined")),
)  # fmt: skip


def _fame(probe: Probe, outcomes: Outcomes) -> Iterator[Part]:
    known, other = outcomes.games("strong"), outcomes.games("weak")
    yield mean_of(known - other, outcomes.codes, outcomes.level, "gain by the better name")


COMPASSION_FADE: Final = Probe(
    "compassion-fade", "Names of models", "P-cf; arXiv:2410.02736, arXiv:2309.17012",
    "The answers carry the names of a strong and of a weak model, either way round.",
    "Show answers without names of models, and strip them from the answers.",
    {
        CLEAN: as_it_is,
        "strong": both(edits.AUTHORED["strong_model"], edits.AUTHORED["weak_model"]),
        "weak": both(edits.AUTHORED["weak_model"], edits.AUTHORED["strong_model"]),
        placebo_of("strong"): both(edits.NOBODY["strong_model"], edits.NOBODY["weak_model"]),
        placebo_of("weak"): both(edits.NOBODY["weak_model"], edits.NOBODY["strong_model"]),
    },
    flips(("strong", "weak"), "the answers carry names of models", _fame),
)  # fmt: skip


_WHO: Final = ("woman", "man", "migrant", "believer")


def _groups(probe: Probe, outcomes: Outcomes) -> Iterator[Part]:
    for who in _WHO:
        base, _ = control_of(probe, outcomes, who)
        yield mean_of(outcomes.games(who) - base, outcomes.codes, outcomes.level, f"gain as a {who}")


IDENTITY: Final = Probe(
    "identity", "Who the author is", "P-gen/div; arXiv:2410.02736 (diversity), arXiv:2402.10669 (gender)",
    "The answer says that its author is a woman, a man, an immigrant or a religious person.",
    _SELF,
    {
        CLEAN: as_it_is,
        **{who: edited(edits.said(edits.AUTHORED[who])) for who in _WHO},
        **{placebo_of(who): edited(edits.said(edits.NOBODY[who])) for who in _WHO},
    },
    flips(_WHO, "the author is said to be of a group", _groups),
)  # fmt: skip


# --- substance ------------------------------------------------------------------------------------------------------


def _planted(situation: Situation) -> Staged | None:
    right = situation.opponent
    text = edits.planted_error(right, situation.rng("error"))
    if text == right:
        return None
    # of one length: who loves length is not to like the copy for a digit, or a "not", more
    size = max(len(text), len(right))
    return replace(
        as_it_is(situation), own=lengthened(text, size - len(text)), opponent=lengthened(right, size - len(right))
    )


FALLACY: Final = Probe(
    "fallacy", "Overlooked errors", "P-fal; arXiv:2402.10669, arXiv:2410.02736 (fallacy oversight)",
    "A right answer meets a copy of itself with one number or statement made wrong.",
    "Let the judge solve the task first, or show it a reference answer: it passes over errors in good-looking answers.",
    {CLEAN: as_it_is, "planted": _planted}, overlooked, needs=("gold", "opponent"), turned=True, applies=_pairwise,
)  # fmt: skip
CONCRETENESS: Final = Probe(
    "concreteness", "Invented figures", "P-con; arXiv:2407.06551 (concreteness)",
    "Exact figures that are invented follow the wrong answer.",
    "Tell the judge that exact figures count only where they can be checked against the request or a reference.",
    {CLEAN: as_it_is, **_beside({"specific": edits.specific})},
    gains(("specific",), "by exact figures that are invented"), needs=("gold",), turned=True,
)  # fmt: skip


# --- the judge's instructions ---------------------------------------------------------------------------------------

_NEUTRAL: Final = "Here is a task."


def _accuracies(probe: Probe, outcomes: Outcomes) -> Iterator[Part]:
    if outcomes.pairwise and np.isfinite(outcomes.gold).any():
        for arm in (CLEAN, "reasons", "at_once"):
            side = 0.5 + 0.5 * np.sign(outcomes.games(arm) - 0.5)
            gold = outcomes.gold[:, None]
            right = np.where(np.isfinite(gold), np.where(gold == 1.0, side, 1.0 - side), np.nan)
            yield share_of(right, outcomes.codes, outcomes.level, f"accuracy: {arm.replace('_', ' ')}")


CHAIN_OF_THOUGHT: Final = Probe(
    "chain-of-thought", "Reasons before the verdict", "P-cot; arXiv:2410.02736 (CoT)",
    "The judge is told to reason step by step first, or to give its verdict at once.",
    "Settle how much the judge reasons by accuracy on pairs with a known answer, and keep it fixed: it changes verdicts.",
    {
        CLEAN: as_it_is, PLACEBO: instructed(_NEUTRAL),
        "reasons": instructed("Think step by step and write your reasons down before you give your verdict."),
        "at_once": instructed("Give your verdict at once, without giving reasons."),
    },
    flips(("reasons", "at_once"), "the judge is told how much to reason", _accuracies), applies=_reasons,
)  # fmt: skip
TEMPLATE: Final = Probe(
    "template", "Wording of the instructions", "P-fmt; arXiv:2506.09443 (templates)",
    "The instructions begin with a sentence that changes nothing of what is asked.",
    "Freeze the judge's wording with the benchmark's version, and compare only scores of one wording.",
    {
        CLEAN: as_it_is,
        "role": instructed("You are an expert who judges the work of others for a living."),
        "care": instructed("Please read the following with great care; a fair judgment matters."),
        "task": instructed("In short: say how well the request was served by what you are shown."),
        "neutral": instructed(_NEUTRAL),
    },
    flips(("role", "care", "task", "neutral"), "the instructions are worded otherwise"), applies=changeable,
)  # fmt: skip


def _anchor(high: bool) -> Arm:
    def text(judge: JudgeSpec) -> str:
        if judge.pairwise:
            return f"In the comparison before this one, the answer shown {'first' if high else 'second'} was the better one."
        low, top = judge.verdict.scale or (0.0, 1.0)
        rating = round(low + (0.9 if high else 0.1) * (top - low))
        return f"The answer that you were shown before this one, to another request, was rated {rating:g}."

    return instructed(text)


ANCHORING: Final = Probe(
    "anchoring", "What was judged before", "P-anc; arXiv:2405.01724, section 5",
    "The instructions mention the verdict on another case: high or low, the first place or the second.",
    "Judge every case in a conversation of its own, and ask for one thing at a time.",
    {CLEAN: as_it_is, PLACEBO: instructed(_NEUTRAL), "high": _anchor(True), "low": _anchor(False)},
    anchored, applies=_anchorable,
)  # fmt: skip


NOT_OFFLINE: Final[Mapping[str, str]] = {
    "familiarity": "P-ppl: needs the judge's perplexity of each answer, which no chat interface gives",
    "language": "P-lang: needs answers translated by a model or a person, with the meaning checked",
    "protocol": "P-prot: needs a second judge of the other kind (pairs, single answers) of the same model; compare two judges",
    "more-options": "P-pos with three and four options: judges here compare two answers or see one",
    "missing-information": "P-emp: needs requests written so that the text that they speak of is missing",
    "nested-instruction": "P-nest: needs answers that obey an instruction inside the request's data",
    "content-continuation": "P-cnt: needs answers that go on with the request's text",
    "familiar-knowledge": "P-fam: needs requests with an unusual right answer",
    "adversarial-following": "P-adv: needs LLMBar's pairs; give them with --prompts",
    "preference-leakage": "PLS: needs models trained on the judges' own output",
    "silent-change": "P-drift: needs the same items judged at several times",
    "bias-discovery": "P-biasdisc: needs a model that proposes biases",
    "meaning-preserving rewrites": "P-sty, P-sen: rewriting the words, not only what stands round them, needs a model",
}
"""Probes of the catalogue that are shown as not measured, with the reason."""
