"""Which language a prompt is in (py3langid, offline)."""

from __future__ import annotations

import re
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
_LETTER: Final = re.compile(r"[^\W\d_]")
_FEWEST: Final = 3


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(text: str) -> tuple[str, float]:
    """Return the ISO 639 code of the language of a text's prose and the identifier's probability.

    Code is left out. ``und`` where there is too little prose, or no language is more likely than not.
    """
    prose = without_code(text[: 8 * _LOOKED_AT]).strip()[:_LOOKED_AT]
    if len(_LETTER.findall(prose[:50])) < _FEWEST:
        return UNKNOWN, 0.0
    name, probability = _identifier().classify(prose)
    return (str(name), float(probability)) if probability >= _SURE else (UNKNOWN, float(probability))
