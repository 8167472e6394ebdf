"""Strings that are no language: searched suffixes and prefixes of random tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from auditkit.attacks.detect.answers import DEFAULTS, Answers, answers_of, judged, quote, unmeasured
from auditkit.records import Detection, Settings, Submission

__all__ = ["GIBBERISH_REVIEW", "gibberish"]

#: Share of answers with a window stranger than 99 in 100 baseline answers have. Thirteen honest AlpacaEval models:
#: 0 to 0.008; the searched prefix of NullModel: 1.
GIBBERISH_REVIEW: Final = 0.10
#: How strange the strangest window of a baseline answer is in 99 of 100.
_CLEAN_SHARE: Final = 0.01
_WINDOW: Final = 128
_MINIMUM: Final = 50
#: Windows of which more than this share is not ASCII are another script, not gibberish.
_OTHER_SCRIPT: Final = 0.25
#: A reference whose own strangest windows are tamer than this (bits a character) is too uniform to judge others by:
#: any new subject would look strange to it. AlpacaEval's baseline: 6.7; answers from one narrow form: 2 to 4.
_VARIED: Final = 5.0
_PSEUDO: Final = 0.1

_Floats = np.ndarray[Any, np.dtype[np.float32]]
_Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def _classes() -> _Bytes:
    """Map bytes to 64 classes: letters without case, digits, blanks, 30 kinds of punctuation, bytes above ASCII in 4."""
    table = np.zeros(256, dtype=np.uint8)
    for byte in range(256):
        char = chr(byte)
        if byte >= 128:
            table[byte] = 60 + (byte - 128) // 32
        elif char.isalpha():
            table[byte] = 1 + ord(char.lower()) - ord("a")
        elif char.isdigit():
            table[byte] = 27
        elif char.isspace():
            table[byte] = 28 if char == " " else 29
        elif byte > 32 and byte != 127:
            table[byte] = 30 + "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".index(char) % 30
    return table


_CLASS: Final = _classes()


@dataclass(frozen=True)
class _Encoded:
    codes: _Bytes
    other: _Bytes
    starts: np.ndarray[Any, np.dtype[np.int64]]


def _encode(texts: tuple[str, ...]) -> _Encoded:
    data = [text.encode("utf-8", "surrogatepass") for text in texts]
    raw = np.frombuffer(b"".join(data), dtype=np.uint8)
    starts = np.concatenate(([0], np.cumsum([len(d) for d in data]))).astype(np.int64)
    return _Encoded(_CLASS[raw], (raw >= 128).astype(np.uint8), starts)


def _trigrams(codes: _Bytes) -> np.ndarray[Any, np.dtype[np.int32]]:
    wide = codes.astype(np.int32)
    return (wide[:-2] << 12) | (wide[1:-1] << 6) | wide[2:]


def _surprisal(training: tuple[str, ...]) -> _Floats:
    """Return the surprisal, in bits, of each class after each pair of classes (pairs backed off to single classes)."""
    counts = np.bincount(_trigrams(_encode(training).codes), minlength=1 << 18).reshape(64, 64, 64).astype(np.float64)
    pairs = counts.sum(axis=0)
    single = pairs.sum(axis=0) + _PSEUDO
    given_one = (pairs + 4 * single / single.sum()) / (pairs.sum(axis=1, keepdims=True) + 4)
    given_two = (counts + 4 * given_one) / (counts.sum(axis=2, keepdims=True) + 4)
    bits: _Floats = -np.log2(given_two).astype(np.float32).reshape(-1)
    return bits


def _strangest(texts: tuple[str, ...], bits: _Floats) -> tuple[_Floats, np.ndarray[Any, np.dtype[np.int64]]]:
    """Return each text's highest mean surprisal over a window (NaN for texts shorter than one), and where it starts."""
    encoded = _encode(texts)
    best = np.full(len(texts), np.nan, dtype=np.float32)
    where = np.zeros(len(texts), dtype=np.int64)
    if len(encoded.codes) < _WINDOW + 2:
        return best, where
    total = np.concatenate(([0.0], np.cumsum(bits[_trigrams(encoded.codes)], dtype=np.float64)))
    strange = np.concatenate(([0], np.cumsum(encoded.other, dtype=np.int64)))
    step = _WINDOW // 8
    for row, (start, end) in enumerate(zip(encoded.starts[:-1].tolist(), encoded.starts[1:].tolist(), strict=True)):
        if end - start < _WINDOW + 2:
            continue
        begin = np.arange(start, end - _WINDOW - 1, step)
        mean = (total[begin + _WINDOW] - total[begin]) / _WINDOW
        mean[strange[begin + _WINDOW] - strange[begin] > _OTHER_SCRIPT * _WINDOW] = 0.0
        top = int(mean.argmax())
        best[row], where[row] = mean[top], begin[top] - start
    return best, where


@lru_cache(maxsize=4)
def _model(baselines: tuple[str, ...], prompts: tuple[str, ...]) -> tuple[_Floats, float]:
    """Fit on all baseline answers and prompts; set the threshold on each half's answers by a fit on the other half."""
    scores = []
    for half in (0, 1):
        bits = _surprisal(baselines[half::2] + prompts[half::2])
        scores.append(_strangest(baselines[1 - half :: 2], bits)[0])
    clean = np.concatenate(scores)
    clean = clean[~np.isnan(clean)]
    limit = float(np.quantile(clean, 1 - _CLEAN_SHARE)) if len(clean) >= _MINIMUM else float("nan")
    return _surprisal(baselines + prompts), limit


def _excerpt(answers: Answers, row: int, at: int) -> str:
    return answers.texts[row].encode("utf-8", "surrogatepass")[at : at + _WINDOW].decode("utf-8", "replace")


def gibberish(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Measure how many answers hold a stretch that reads like no language of this benchmark.

    A trigram model of characters is fitted to the baseline's answers and the prompts; a window of 128 bytes is
    strange if its mean surprisal is above that of the strangest window of 99 in 100 baseline answers (cross-fitted
    in two halves). If the baseline's answers are too uniform for that, nothing is measured. The statistic is the share of answers with such a window; one in a hundred is expected. Windows
    mostly in another script are not judged.

    Source: specification D-ppl (windowed perplexity; a single strange answer proves nothing, hence the share).
    """
    answers = answers_of(submission)
    bits, limit = _model(tuple(answers.baselines), tuple(answers.prompts))
    if np.isnan(limit):
        return unmeasured("gibberish", f"fewer than {_MINIMUM} baseline answers of {_WINDOW + 2} bytes are recorded")
    if limit < _VARIED:
        return unmeasured("gibberish", "the baseline's answers are too uniform to tell strange text from a new subject")
    best, where = _strangest(tuple(answers.texts), bits)
    n = int((~np.isnan(best)).sum())
    if n < _MINIMUM:
        return unmeasured(
            "gibberish", f"{n} answers of {_WINDOW + 2} bytes or more, at least {_MINIMUM} are needed", n=n
        )
    strange = np.flatnonzero(best > limit)
    worst = strange[np.argsort(-best[strange], kind="stable")][:3].tolist()
    return judged(
        "gibberish",
        len(strange) / n,
        n=n,
        review=GIBBERISH_REVIEW,
        evidence=[quote(answers.prompt_ids[i], _excerpt(answers, i, int(where[i]))) for i in worst],
        note=f"strangest window {float(np.nanmax(best)):.2f} bits a character; baseline's limit {limit:.2f}",
    )
