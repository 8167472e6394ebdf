"""Which language a prompt is in: its script first, then py3langid (offline) among the languages of that script.

A prompt of which half is code in Latin letters is a Chinese one if its sentences are Chinese, so that letters of other
scripts weigh more than Latin ones. Varieties that the identifier tells apart (Wu and Cantonese, Egyptian Arabic) count
for the language that people ask for.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from auditkit.text import without_code

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

__all__ = ["UNKNOWN", "language_of"]

UNKNOWN: Final = "und"
#: More text costs time and hardly changes the answer.
_LOOKED_AT: Final = 300
_SURE: Final = 0.5
#: … for a language that is not the commonest of a script: Hindi is a little like Nepali.
_SURER: Final = 0.6
_FEWEST: Final = 3
#: Share of the letters, weighed as below, from which a script other than Latin is that of the prose.
_LEADS: Final = 0.2
#: A sign of Chinese, Japanese or Korean is about three letters of an alphabet.
_SIGN: Final = 3

_WORD: Final = re.compile(r"[^\W\d_]+")
_RUN: Final = re.compile(r"[!-~]+")
#: Addresses, entities, calls and paths say nothing about the language around them.
_NO_PROSE: Final = re.compile(r"[\\/_{}<>=()\[\].:;&][!-~]")
_SCRIPTS: Final = re.compile(
    r"(?P<Kana>[\u3040-\u30ff])|(?P<Han>[\u3400-\u4dbf\u4e00-\u9fff])|(?P<Hangul>[\u1100-\u11ff\uac00-\ud7af])"
    r"|(?P<Arabic>[\u0620-\u06ff\u0750-\u077f])|(?P<Cyrillic>[\u0400-\u052f])|(?P<Devanagari>[\u0900-\u097f])"
    r"|(?P<Bengali>[\u0980-\u09ff])|(?P<Hebrew>[\u05d0-\u05ea])|(?P<Greek>[\u0370-\u03ff])|(?P<Thai>[\u0e00-\u0e7f])"
    r"|(?P<Gurmukhi>[\u0a00-\u0a7f])|(?P<Gujarati>[\u0a80-\u0aff])|(?P<Odia>[\u0b00-\u0b7f])|(?P<Tamil>[\u0b80-\u0bff])"
    r"|(?P<Telugu>[\u0c00-\u0c7f])|(?P<Kannada>[\u0c80-\u0cff])|(?P<Malayalam>[\u0d00-\u0d7f])|(?P<Sinhala>[\u0d80-\u0dff])"
    r"|(?P<Lao>[\u0e80-\u0eff])|(?P<Myanmar>[\u1000-\u109f])|(?P<Georgian>[\u10a0-\u10ff])|(?P<Armenian>[\u0530-\u058f])"
    r"|(?P<Ethiopic>[\u1200-\u137f])|(?P<Khmer>[\u1780-\u17ff])"
)
#: Languages of each script that the identifier knows, the one to fall back on first.
_OF_SCRIPT: Final = {
    "Kana": "ja", "Han": "zh", "Hangul": "ko", "Arabic": "ar fa ur ps sd ug", "Cyrillic": "ru uk bg be sr mk kk ky mn tg ba tt",
    "Devanagari": "hi mr ne", "Bengali": "bn as", "Hebrew": "he", "Greek": "el", "Thai": "th", "Gurmukhi": "pa",
    "Gujarati": "gu", "Odia": "or", "Tamil": "ta", "Telugu": "te", "Kannada": "kn", "Malayalam": "ml", "Sinhala": "si",
    "Lao": "lo", "Myanmar": "my", "Georgian": "ka", "Armenian": "hy", "Ethiopic": "am", "Khmer": "km",
}  # fmt: skip
#: Varieties, by the language that they count for (the macrolanguages of ISO 639-3, where there is one).
_VARIETIES: Final = {
    "wuu": "zh", "yue": "zh", "arz": "ar", "ary": "ar", "hbo": "he", "grc": "el", "gom": "mr", "nb": "no", "nn": "no",
    "gug": "gn", "uzs": "uz", "ext": "es", "pcm": "en", "lij": "it", "vec": "it", "ltg": "lv",
}  # fmt: skip
#: Artificial and dead languages, and creoles that short technical English is mistaken for: nobody's prompts.
_NEVER: Final = frozenset({"vo", "la", "eo", "dz", "bcl", "ace", "gcf", "gcr", "kik", "nso", "sn", "st"})


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@lru_cache(maxsize=1)
def _latin() -> frozenset[str]:
    others = {name for names in _OF_SCRIPT.values() for name in names.split()}
    return frozenset(_VARIETIES.get(name, name) for name in _identifier().nb_classes) - others - _NEVER


def _prose(text: str) -> str:
    plain = without_code(text[: 8 * _LOOKED_AT])
    return _RUN.sub(lambda run: " " if _NO_PROSE.search(run[0]) else run[0], plain).strip()[:_LOOKED_AT]


def _script(prose: str) -> tuple[str, int]:
    """Return the script of a text, "" for Latin, and how much of it there is in letters."""
    if prose.isascii():
        return "", sum(map(len, _WORD.findall(prose)))
    found = Counter(str(match.lastgroup) for match in _SCRIPTS.finditer(prose))
    for name in ("Kana", "Han", "Hangul"):
        found[name] *= _SIGN
    letters = sum(map(len, _WORD.findall(prose))) + (found["Kana"] + found["Han"] + found["Hangul"]) * 2 // _SIGN
    # Japanese is written in both; a single kana in a Chinese text is an ornament.
    if found["Kana"] * 10 > found["Han"]:
        found["Kana"] += found.pop("Han", 0)
    name, most = max(found.items(), key=lambda item: item[1])
    return (name if most and most >= _LEADS * letters else ""), letters


def language_of(text: str) -> tuple[str, float]:
    """Return the ISO 639 code of the language of a text's prose and its probability among those of its script.

    Code, addresses and names with signs in them are left out. ``und`` where there is too little prose, or where no
    language in Latin letters is more likely than not; another script tells the language, or its commonest one.
    """
    prose = _prose(text)
    script, letters = _script(prose)
    if letters < _FEWEST:
        return UNKNOWN, 0.0
    names = _OF_SCRIPT[script].split() if script else []
    if len(names) == 1:
        return names[0], 1.0
    found: dict[str, float] = {}
    for label, probability in _identifier().rank(prose):
        name = _VARIETIES.get(label, label)
        found[name] = found.get(name, 0.0) + float(probability)
    within = {name: found.get(name, 0.0) for name in (names or sorted(_latin()))}
    total = sum(within.values())
    best = max(within, key=lambda name: within[name])
    sure = within[best] / total if total else 0.0
    if not script:
        return (best if sure >= _SURE else UNKNOWN), sure
    if best != names[0] and sure < _SURER:
        best = names[0]
    return best, within[best] / total if total else 0.0
