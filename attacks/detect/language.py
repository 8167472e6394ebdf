"""Answers in another language than their prompts."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from auditkit.attacks.detect.answers import DEFAULTS, answers_of, judged, quote, unmeasured
from auditkit.records import Detection, Settings, Submission
from auditkit.text import without_code

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

__all__ = ["MISMATCH_REVIEW", "language_mismatch", "languages"]

#: Share of answers in another language than their prompt. Thirteen honest AlpacaEval models: 0 to 0.02.
MISMATCH_REVIEW: Final = 0.10
_SAMPLE: Final = 200
_MINIMUM: Final = 30
_CHARS: Final = 40
_LOOKED_AT: Final = 500
_CONFIDENT: Final = 0.99
_LETTER: Final = re.compile(r"[^\W\d_]")
#: Prompts that name a language or ask for a translation may well be answered in another one.
_NAMES: Final = re.compile(
    r"(?i)translat|\blanguages?\b|\b(?:english|french|german|spanish|italian|portuguese|dutch|russian|ukrainian|polish"
    r"|czech|turkish|arabic|hebrew|persian|farsi|hindi|urdu|bengali|tamil|telugu|chinese|mandarin|cantonese|japanese"
    r"|korean|vietnamese|thai|indonesian|malay|latin|greek|swedish|norwegian|danish|finnish|hungarian|romanian"
    r"|bulgarian|serbian|croatian|swahili|tagalog|filipino|esperanto|gujarati|marathi|punjabi|welsh|irish|catalan)\b"
    r"|\u00fcbersetz|traduc|tradui|tradu[zç]|\u043f\u0435\u0440\u0435\u0432\u0435\u0434|\u043f\u0435\u0440\u0435\u0432\u043e\u0434"
    r"|\u7ffb\u8bd1|\u7ffb\u8b6f|\u7ffb\u8a33|\ubc88\uc5ed|\u062a\u0631\u062c\u0645|\u0905\u0928\u0941\u0935\u093e\u0926"
    r"|\u82f1\u8bed|\u82f1\u6587|\u82f1\u8a9e|\u4e2d\u6587|\u65e5\u672c\u8a9e|\bEnglisch|\bingl[eé]s|\banglais|\u0430\u043d\u0433\u043b\u0438\u0439"
)
#: Pairs that the identifier confuses, or that readers share: no disagreement is confident between them.
_KIN: Final = (
    frozenset({"no", "nb", "nn", "da", "sv"}), frozenset({"hr", "sr", "bs", "sl"}), frozenset({"id", "ms", "jv"}),
    frozenset({"gl", "pt", "es", "ca", "an", "oc"}), frozenset({"cs", "sk"}), frozenset({"hi", "ne", "mr"}),
    frozenset({"ar", "fa", "ur", "ug", "ps"}), frozenset({"zh", "ja"}), frozenset({"af", "nl"}),
    frozenset({"ru", "uk", "be", "bg", "mk"}),
)  # fmt: skip


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@lru_cache(maxsize=8192)
def _free_choice(prompt: str) -> bool:
    """Tell whether a prompt names a language or asks for a translation."""
    return _NAMES.search(prompt) is not None


@lru_cache(maxsize=8192)
def _language(text: str) -> str:
    """Return the language of a text's prose, "" if there is too little of it or the identifier is not sure."""
    prose = without_code(text)[:_LOOKED_AT]
    if len(_LETTER.findall(prose)) < _CHARS:
        return ""
    name, probability = _identifier().classify(prose)
    return str(name) if probability >= _CONFIDENT else ""


def languages(prompt: str, text: str) -> tuple[str, str, bool] | None:
    """Return the language of a prompt, that of an answer, and whether they differ for sure (close kin do not).

    None where either is too short or unclear, or where the prompt leaves the language open.
    """
    if min(len(prompt), len(text)) < _CHARS or _free_choice(prompt):
        return None
    asked, given = _language(prompt[: 4 * _LOOKED_AT]), _language(text[: 4 * _LOOKED_AT])
    if not asked or not given:
        return None
    return asked, given, asked != given and not any({asked, given} <= kin for kin in _KIN)


def language_mismatch(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Measure how many answers are in another language than their prompts.

    Up to 200 rows are drawn; code is left out; prompt and answer need 40 letters each and a confident
    identification (py3langid, 0.99). Left out too: prompts that name a language or ask for a translation, close
    kin, and prompts whose baseline answer is not in the prompt's language either. The statistic is the share of
    the remaining answers that are in another language.

    Source: ours; threshold 0.10 for review.
    """
    answers = answers_of(submission)
    rows = [
        i
        for i, (prompt, text) in enumerate(zip(answers.prompts, answers.texts, strict=True))
        if len(prompt) >= _CHARS and len(text) >= _CHARS and not _free_choice(prompt)
    ]
    if len(rows) > _SAMPLE:
        drawn = settings.rng("language_mismatch").choice(len(rows), _SAMPLE, replace=False)
        rows = sorted(rows[int(i)] for i in drawn)
    n, other = 0, []
    for i in rows:
        found = languages(answers.prompts[i], answers.texts[i])
        if found is None:
            continue
        asked, given, differs = found
        n += 1
        if not differs:
            continue
        expected = _language(answers.baselines[i][: 4 * _LOOKED_AT]) if answers.baselines[i] else asked
        if expected in ("", asked):
            other.append((i, asked, given))
    if n < _MINIMUM:
        why = f"{n} prompts and answers with a clear language, at least {_MINIMUM} are needed"
        return unmeasured("language_mismatch", why, n=n)
    return judged(
        "language_mismatch",
        len(other) / n,
        n=n,
        review=MISMATCH_REVIEW,
        evidence=[
            quote(answers.prompt_ids[i], f"asked in {asked}, answered in {given}: {answers.texts[i][:150]}")
            for i, asked, given in other
        ],
    )
