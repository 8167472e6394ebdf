"""Which prompts of the version before stay as anchors, and why the others are retired.

The anchors are a random sample of the whole version, spread over its languages, categories and clusters: the link takes
them for a miniature of it (Kolen and Brennan, Test Equating, Scaling, and Linking, 3rd ed. 2014, section 1.4.1). What
past judgments say of a prompt has no part in that: the same outcomes are the first version's side of the link, and
anchors that were chosen by them have luck in them, which the link would carry into every score. A prompt that leaked,
that the new pool says in other words, or that has been in too many versions is no anchor. What past judgments say is
why others are retired, and which are evolved.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from auditkit.bench.compare import compare
from auditkit.bench.parts import read_part
from auditkit.bench.record import StratumRow
from auditkit.bench.refresh import Release, Retired, is_inside
from auditkit.errors import UsageError, printable
from auditkit.stats.informative import (
    FEWEST_TO_DISCRIMINATE,
    Shrunk,
    best_minus_worst,
    shrunk_discrimination,
    silent_prompts,
)

__all__ = ["Decision", "Past", "Worth", "decide", "duplicated", "leaked", "worth_of"]

Array = NDArray[np.float64]
#: Outcomes that differ by at most this share of their whole range do not tell models apart.
_SILENT: Final = 0.01
#: Samples of which the anchors are the one that is spread best; more of them gain little.
_SAMPLES: Final = 20
_DROPPED: Final = ("row", "reason", "of", "against", "place", "value")


@dataclass(frozen=True)
class Past:
    """Past judgments on a release.

    Attributes:
        outcomes: (n, M) mean outcome by prompt of the release and model; NaN: none.
        unit: ``percent`` (win rates) or ``rating``.
        inputs: File and SHA-256 of what was read.
        answers: Recorded answers, by the number of the prompt.
    """

    outcomes: Array
    unit: str = "percent"
    inputs: tuple[dict[str, str], ...] = ()
    answers: Mapping[int, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def none(cls, prompts: int) -> Past:
        """Return the past of a release that nobody was judged on."""
        return cls(np.full((prompts, 0), np.nan))


@dataclass(frozen=True)
class Worth:
    """What past judgments say of each prompt.

    Attributes:
        shrunk: Its discrimination.
        gap: The best outcome less the worst; NaN: not measured.
        uninformative: Does not separate models: no two models differ on it, or its shrunk discrimination is not
            above 0. Never where fewer than five models were judged on it.
        silent: No two models differ on it.
    """

    shrunk: Shrunk
    gap: Array
    uninformative: NDArray[np.bool_]
    silent: NDArray[np.bool_]


def worth_of(past: Past) -> Worth:
    """Return what past judgments say of each prompt."""
    x = past.outcomes
    if not x.shape[1]:
        nothing, none = np.full(len(x), np.nan), np.zeros(len(x), dtype=bool)
        count = np.zeros(len(x), dtype=np.int64)
        return Worth(Shrunk(nothing, nothing, nothing, count, np.nan, np.nan), nothing, none, none)
    found = shrunk_discrimination(x)
    enough = found.models >= FEWEST_TO_DISCRIMINATE
    known = x[np.isfinite(x)]
    silent = silent_prompts(x, _SILENT * float(known.max() - known.min()) if known.size else 0.0) & enough
    with np.errstate(invalid="ignore"):
        turned = found.shrunk <= 0.0
    return Worth(found, best_minus_worst(x), enough & (silent | turned), silent)


def leaked(release: Release, against: Sequence[str], near: float) -> dict[int, str]:
    """Return the prompts of a release that stand in the benchmarks and training prompts named, with where.

    Raises:
        InputError: A file that cannot be read, or holds no prompt.
        UsageError: The release itself is among them.
    """
    found: dict[int, str] = {}
    for name in against:
        path = Path(name)
        if is_inside(path, release.folder):
            raise UsageError(
                f"--against {printable(path)} is the earlier version itself: --since already keeps clear of its prompts"
            )
        for hit in compare(release.folder / "question.jsonl", path, near=near).hits:
            number = int(hit.place.rpartition(" ")[2]) - 1
            found.setdefault(number, f"found in {path.name}, {hit.found} ({hit.test}, {hit.value:.2f})")
    return found


def duplicated(release: Release, kept: Sequence[Path], new: Sequence[int]) -> dict[int, str]:
    """Return the prompts of a release that the pool holds in other words, in files that the release was not drawn from.

    Such a prompt goes around: its outcome may move for that reason, so that it is no anchor; and the one of the pool
    is known by the one of the release, so that it is not new.

    Args:
        release: The version before.
        kept: Parts of `auditkit.bench.overlap.keep`, with what was left out beside them.
        new: Numbers of the files that the release was not drawn from.
    """
    number_of = {prompt.uid: k for k, prompt in enumerate(release.prompts)}
    found: dict[int, str] = {}
    same: dict[int, str] = {}
    for reason in ("earlier_exact", "earlier_near", "near_duplicate"):
        for part in kept:
            for row in _dropped(part, reason, list(same)):
                if reason == "earlier_exact":
                    same[row["row"]] = row["against"]
                    continue
                # Where the prompt itself is in the pool, its variants are the duplicates of that.
                against = same[row["of"]] if reason == "near_duplicate" else row["against"]
                number = number_of.get(against.rpartition(": ")[2])
                if number is not None and row["row"] >> 40 in new:
                    found.setdefault(number, f"in the new pool in other words: {row['place']} ({row['value']:.2f})")
    return found


def _dropped(part: Path, reason: str, of: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows of a part that were left out for a reason; of near-duplicates those of the rows named alone."""
    import pyarrow.compute as pc

    table = read_part(part.with_suffix(".dropped"), _DROPPED)
    mask = pc.equal(table.column("reason"), reason)
    if reason == "near_duplicate":
        mask = pc.and_(mask, np.isin(table.column("of").to_numpy(), of))
    rows: list[dict[str, Any]] = table.filter(mask).to_pylist()
    return rows


@dataclass(frozen=True)
class Decision:
    """What becomes of the prompts of a release.

    Attributes:
        anchors: Numbers of those that stay, ascending.
        fit: (n,) Those that might have stayed: outcomes have no part in it.
        retired: All but the anchors.
        strata: For the datasheet.
    """

    anchors: tuple[int, ...]
    fit: NDArray[np.bool_]
    retired: tuple[Retired, ...]
    strata: tuple[StratumRow, ...]


def decide(
    release: Release,
    worth: Worth,
    leaks: Mapping[int, str],
    doubles: Mapping[int, str],
    *,
    version: str,
    wanted: int,
    max_age: int,
    seed: int,
) -> Decision:
    """Draw the anchors and say why every other prompt is retired; the first reason that holds counts.

    Args:
        release: The version before.
        worth: What past judgments say of its prompts; the anchors do not depend on it.
        leaks, doubles: Prompts that leaked, and that the new pool holds in other words, with where.
        version: The new version.
        wanted: Anchors; fewer are drawn where fewer are fit.
        max_age: Versions that a prompt may be in; 0: any number.
        seed: Of the draw.
    """
    versions = release.versions
    reasons: list[tuple[str, str]] = []
    for k, prompt in enumerate(release.prompts):
        born = prompt.first_version
        age = len(versions) - (versions.index(born) if born in versions else len(versions) - 1)
        if k in leaks:
            reasons.append(("leaked", leaks[k]))
        elif k in doubles:
            reasons.append(("duplicate_of_new", doubles[k]))
        elif max_age and age >= max_age:
            reasons.append(("too_old", f"in {age} versions, since {born}; {max_age} are allowed"))
        else:
            reasons.append(("", ""))
    fit = np.array([not reason for reason, _ in reasons], dtype=bool)
    anchors, strata = _drawn(release, fit, wanted, seed)
    inside = set(anchors)
    retired = []
    for k, (prompt, (reason, detail)) in enumerate(zip(release.prompts, reasons, strict=True)):
        if k in inside:
            continue
        if not reason:
            reason, detail = (
                ("uninformative", _why(worth, k))
                if worth.uninformative[k]
                else ("rotated", "made room for new prompts")
            )
        retired.append(
            Retired(
                prompt.uid, prompt.turns, prompt.category, prompt.language, prompt.cluster, prompt.first_version, version,
                reason, detail, int(worth.shrunk.models[k]), _finite(worth.shrunk.shrunk[k]), _finite(worth.gap[k]),
            )
        )  # fmt: skip
    return Decision(anchors, fit, tuple(retired), strata)


def _why(worth: Worth, k: int) -> str:
    n = int(worth.shrunk.models[k])
    if worth.silent[k]:
        return f"no two of {n} models differ on it"
    return f"orders {n} models no better than chance (shrunk discrimination {worth.shrunk.shrunk[k]:.2f})"


def _finite(value: Any) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _drawn(
    release: Release, fit: NDArray[np.bool_], wanted: int, seed: int
) -> tuple[tuple[int, ...], tuple[StratumRow, ...]]:
    """Draw the anchors: every prompt has the same chance, and strata and clusters their share up to rounding.

    A systematic sample (Cochran, Sampling Techniques, 3rd ed. 1977, chapter 8) of the whole version, sorted by stratum
    and cluster in random orders; clusters lie across strata, so that it is the best balanced over clusters of several
    such samples. In the place of a prompt that is not fit comes the nearest fit one of its cluster and stratum, else of
    its stratum, else of any.
    """
    n = len(fit)
    wanted = min(wanted, int(fit.sum()))
    rng = np.random.default_rng(seed)
    names = [(prompt.language, prompt.category) for prompt in release.prompts]
    strata, stratum = np.unique(np.array([json.dumps(name) for name in names]), return_inverse=True)
    clusters, cluster = np.unique(np.array([prompt.cluster for prompt in release.prompts]), return_inverse=True)
    sizes = np.bincount(cluster, minlength=len(clusters))
    order, places, least = np.arange(n), np.zeros(0, dtype=np.int64), np.inf
    for _ in range(_SAMPLES):
        mixed = np.lexsort(
            (rng.permutation(n), rng.permutation(len(clusters))[cluster], rng.permutation(len(strata))[stratum])
        )
        at = np.floor((rng.random() + np.arange(wanted)) * n / max(wanted, 1)).astype(np.int64)
        counts = np.bincount(cluster[mixed[at]], minlength=len(clusters))
        uneven = float(((counts - sizes * wanted / n) ** 2).sum())
        if uneven < least - 1e-9:
            order, places, least = mixed, at, uneven
    drawn = fit[order[places]]
    free = fit[order]
    free[places] = False
    taken = order[places[drawn]].tolist()
    for place in places[~drawn].tolist():
        k, left = order[place], np.flatnonzero(free)
        others = order[left]
        far = np.lexsort((np.abs(left - place), cluster[others] != cluster[k], stratum[others] != stratum[k]))
        taken.append(int(others[far[0]]))
        free[left[far[0]]] = False
    inside = np.zeros(n, dtype=bool)
    inside[taken] = True
    rows = tuple(
        StratumRow(*name, int(own.sum()), int((own & fit).sum()), int((own & inside).sum()))
        for name in sorted(set(names))
        for own in [np.array([one == name for one in names])]
    )
    return tuple(np.flatnonzero(inside).tolist()), rows
