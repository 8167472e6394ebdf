"""Answers that do not depend on the prompt: the same, or nearly the same, across prompts.

Clean rates: 227 AlpacaEval submissions (181,918 answers) have at most 0.0025 mean 5-gram Jaccard similarity
between answers to different prompts, and at most 0.026 exact duplicates; a constant has 1.0 and 0.9988.
"""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from scipy import sparse

from auditkit.attacks.detect.answers import (
    DEFAULTS,
    QUOTES,
    Answers,
    answers_of,
    constant_share,
    judged,
    quote,
    unmeasured,
)
from auditkit.records import Detection, Evidence, Settings, Submission

__all__ = [
    "EXACT_REJECT",
    "EXACT_REVIEW",
    "NEAR_REJECT",
    "NEAR_REVIEW",
    "Shingles",
    "exact_duplicates",
    "near_duplicates",
    "shingles",
]

#: Share of answers that repeat another one. 0.05: twice the clean maximum. 0.5: most of the submission.
EXACT_REVIEW: Final = 0.05
EXACT_REJECT: Final = 0.50
#: Mean Jaccard similarity of answers to different prompts. 0.02: eight times the clean maximum.
NEAR_REVIEW: Final = 0.02
NEAR_REJECT: Final = 0.50
_PAIRS: Final = 2_000
_GRAM: Final = 5
_MINIMUM: Final = 20
#: Shorter answers may honestly be the same ("Yes.", "42", a letter) unless nearly all of them are.
_SHORT_CHARS: Final = 40
_SHORT_CONSTANT: Final = 0.90
#: Answers at least this similar count as one cluster.
_CLUSTER_JACCARD: Final = 0.8
#: At most so many answers are clustered (a random sample of more): the worst case is quadratic.
_CLUSTERED: Final = 2_000
_PERMUTATIONS: Final = 128
_BANDS: Final = 16


def _repeats(texts: list[str]) -> float:
    return 1.0 - len(set(texts)) / len(texts) if texts else 0.0


def _most_frequent(answers: Answers) -> list[Evidence]:
    evidence = []
    for text, count in Counter(answers.texts).most_common(QUOTES):
        if count > 1:
            evidence.append(quote(f"{answers.prompt_ids[answers.texts.index(text)]} and {count - 1} more", text))
    return evidence


def exact_duplicates(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Measure the share of answers that are the same, character by character, as another prompt's answer.

    The statistic is 1 - distinct/n, less the same share among the baseline's answers to these prompts. Answers
    shorter than 40 characters count only if a baseline shows that these prompts do not call for repeated answers,
    or if nine tenths of all answers are one and the same. Prompts that occur twice count once.

    Source: specification D-exact; thresholds 0.05 (review) and 0.5 (reject).
    """
    answers = answers_of(submission, distinct=True)
    n = len(answers)
    if n < _MINIMUM:
        return unmeasured("exact_duplicates", f"{n} answers, at least {_MINIMUM} are needed", n=n)
    known = [text for text in answers.baselines if text]
    if len(known) < n and constant_share(answers) < _SHORT_CONSTANT:
        longer = [text for text in answers.texts if len(text) >= _SHORT_CHARS]
        statistic = (len(longer) - len(set(longer))) / n
    else:
        statistic = _repeats(answers.texts) - _repeats(known)
    return judged(
        "exact_duplicates",
        max(statistic, 0.0),
        n=n,
        review=EXACT_REVIEW,
        reject=EXACT_REJECT,
        evidence=_most_frequent(answers),
        note=f"{len(set(answers.texts))} distinct answers to {n} prompts",
    )


@dataclass(frozen=True)
class Shingles:
    """The distinct 5-grams of words of some texts.

    Attributes:
        keys: One number a text and 5-gram, sorted: the text's number above the 5-gram's hash.
        size: How many 5-grams each text has.
        bits: How many of a key's bits are the hash.
    """

    keys: np.ndarray[Any, np.dtype[np.uint64]]
    size: np.ndarray[Any, np.dtype[np.int64]]
    bits: int

    def overlap(self, other: Shingles) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return, text by text, how many 5-grams the two have in common (same number of texts)."""
        both = np.concatenate((self.keys, other.keys))
        both.sort(kind="stable")  # two sorted runs: merged in one pass
        twice = both[1:][both[1:] == both[:-1]]
        return np.bincount((twice >> np.uint64(self.bits)).astype(np.int64), minlength=len(self.size))


@lru_cache(maxsize=8)
def shingles(texts: tuple[str, ...]) -> Shingles:
    """Return the distinct 5-grams of words of each text; texts of fewer than five words have none.

    Words are split at blanks and lower-cased. 5-grams are hashed to at least 40 bits up to ten million texts.
    """
    words: list[str] = []
    lengths = []
    for text in texts:
        split = text.lower().split()
        lengths.append(len(split))
        words += split
    bits = 64 - max(len(texts).bit_length(), 1)
    count = max(len(words) - _GRAM + 1, 0)
    known: dict[str, int] = {word: zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in set(words)}
    codes = np.fromiter(map(known.__getitem__, words), dtype=np.uint64, count=len(words))
    rolled = np.zeros(count, dtype=np.uint64)
    for k in range(_GRAM):
        rolled = (rolled ^ codes[k : k + count]) * np.uint64(0x9E3779B97F4A7C15)
        rolled ^= rolled >> np.uint64(29)
    owner = np.repeat(np.arange(len(texts), dtype=np.uint64), lengths)
    inside = owner[:count] == owner[_GRAM - 1 :] if count else np.zeros(0, dtype=bool)
    keys = (owner[:count][inside] << np.uint64(bits)) | (rolled[inside] >> np.uint64(64 - bits))
    keys.sort()
    keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))] if len(keys) else keys
    size = np.bincount((keys >> np.uint64(bits)).astype(np.int64), minlength=len(texts))
    return Shingles(keys, size, bits)


def _mean_jaccard(texts: tuple[str, ...], rng: np.random.Generator) -> tuple[float, int]:
    """Return the mean Jaccard similarity of random pairs of texts that have 5-grams, and how many such texts there are."""
    found = shingles(texts)
    usable = np.flatnonzero(found.size)
    if len(usable) < 2:
        return 0.0, len(usable)
    left = rng.integers(len(usable), size=_PAIRS)
    right = (left + rng.integers(1, len(usable), size=_PAIRS)) % len(usable)
    # A 5-gram of one text alone adds to no intersection.
    grams = found.keys & np.uint64((1 << found.bits) - 1)
    _, column, occurrences = np.unique(grams, return_inverse=True, return_counts=True)
    shared = occurrences[column] > 1
    owner = (found.keys[shared] >> np.uint64(found.bits)).astype(np.int64)
    table = sparse.csr_matrix(
        (np.ones(len(owner), dtype=np.int32), (owner, column[shared])), shape=(len(texts), len(occurrences))
    )
    a, b = usable[left], usable[right]
    both = np.asarray(table[a].multiply(table[b]).sum(axis=1)).ravel()
    return float((both / (found.size[a] + found.size[b] - both)).mean()), len(usable)


def _largest_cluster(texts: tuple[str, ...]) -> int:
    """Return the size of the largest group of texts that are near duplicates of one of them (MinHash and LSH)."""
    from rensa import RMinHash, RMinHashLSH

    found = shingles(texts)
    grams = (found.keys & np.uint64((1 << found.bits) - 1)).tolist()
    starts = np.concatenate(([0], np.cumsum(found.size))).tolist()
    index = RMinHashLSH(threshold=_CLUSTER_JACCARD, num_perm=_PERMUTATIONS, num_bands=_BANDS)
    hashes = {}
    for row in np.flatnonzero(found.size).tolist():
        minhash = RMinHash(num_perm=_PERMUTATIONS, seed=0)
        minhash.update([format(gram, "x") for gram in grams[starts[row] : starts[row + 1]]])
        index.insert(row, minhash)
        hashes[row] = minhash
    largest, covered = 0, set[int]()
    for row, minhash in hashes.items():
        if row in covered:
            continue
        close = {other for other in index.query(minhash) if hashes[other].jaccard(minhash) >= _CLUSTER_JACCARD}
        covered |= close
        largest = max(largest, len(close))
    return largest


def near_duplicates(submission: Submission, settings: Settings = DEFAULTS) -> Detection:
    """Measure how alike the answers to different prompts are.

    The statistic is the mean Jaccard similarity of the sets of 5-grams of words, over 2,000 random pairs of answers
    of at least five words, less the same mean for the baseline's answers (prompts that call for a form answer make
    both alike). If it is suspicious, the largest cluster (similarity 0.8, MinHash) is counted too: half of the
    answers in one cluster are as damning as a mean of 0.5.

    Source: specification D-dup; thresholds 0.02 (review), 0.5 of the mean or of the answers in one cluster (reject).
    """
    answers = answers_of(submission, distinct=True)
    texts = tuple(answers.texts)
    rng = settings.rng("near_duplicates")
    mean, n = _mean_jaccard(texts, rng)
    if n < _MINIMUM:
        return unmeasured("near_duplicates", f"{n} answers of five words or more, at least {_MINIMUM} are needed", n=n)
    if mean < NEAR_REVIEW:
        return judged("near_duplicates", mean, n=n, review=NEAR_REVIEW, reject=NEAR_REJECT)
    baseline, known = _mean_jaccard(tuple(answers.baselines), rng)
    statistic = max(mean - baseline, 0.0) if known >= _MINIMUM else mean
    looked_at = texts
    if len(texts) > _CLUSTERED:
        looked_at = tuple(texts[i] for i in rng.choice(len(texts), _CLUSTERED, replace=False))
    cluster = _largest_cluster(looked_at)
    if statistic >= NEAR_REVIEW and cluster >= NEAR_REJECT * len(looked_at):
        statistic = max(statistic, cluster / len(looked_at))
    return judged(
        "near_duplicates",
        statistic,
        n=n,
        review=NEAR_REVIEW,
        reject=NEAR_REJECT,
        evidence=[quote(answers.prompt_ids[i], texts[i]) for i in range(min(QUOTES, len(texts)))],
        note=f"mean similarity {mean:.3f} over {_PAIRS} pairs; largest cluster {cluster} of {len(looked_at)} answers",
    )
