"""Scores on one version of a benchmark on the scale of an earlier one, from judgments on both.

Nothing is estimated here: `auditkit.stats.linking` does that. Here recordings become outcomes, and prompts of the same
id and text become anchors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auditkit import formats
from auditkit.errors import InputError, NoData
from auditkit.scores import Scores, of_recording
from auditkit.stats.linking import FEWEST_ANCHORS, FEWEST_FOR_SLOPE, Drift, Link, anchor_drift, link_scores

if TYPE_CHECKING:
    from auditkit.records import Battles

__all__ = ["LinkedModel", "MovedAnchor", "VersionLink", "linked_versions"]

Array = NDArray[np.float64]
Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class LinkedModel:
    """A model of the later version: its score there, and on the earlier version's scale with the interval over prompts.

    `own` is how far (0..1) it was moved from the line to where its own outcomes on the anchors put it. `earlier` is its
    score on the earlier version itself; None: not judged on it.
    """

    model: str
    score: float
    linked: float
    linked_ci: tuple[float, float]
    own: float
    earlier: float | None


@dataclass(frozen=True)
class MovedAnchor:
    """An anchor whose outcome moved more than the rest: up is what a leak looks like.

    `moved` is later minus earlier, less the move that all share, in the unit of the scores; `p` is Holm's.
    """

    prompt_id: str
    moved: float
    p: float


@dataclass(frozen=True)
class VersionLink:
    """How two versions of a benchmark are linked.

    Attributes:
        earlier, later: The recordings' names.
        unit: ``percent`` (win rates) or ``rating``.
        route: ``models``: by models judged on both; ``anchors``: by the prompts in both.
        method: ``mean``: the scales are shifted; ``mean_sigma``: stretched, too.
        shift, shift_se, shift_ci: How much harder (above 0) the later version is, in the unit, for the models that link.
        slope, slope_ci, intercept: Of the line ``earlier scale = intercept + slope * later score``, from which models that
            were judged on the later version alone are moved as far as `LinkedModel.own` says.
        misfit: Root mean square by which the line misses models judged on both; None: fewer than two.
        models: Of the later version, best first.
        shared: Models judged on both.
        anchors, earlier_prompts, later_prompts: Prompts.
        moved: Anchors that moved more than the rest; None: not measured, `drift_reason` says why.
        typical: The move that all anchors share; None: not measured.
        without, without_ci: The shift with those left out of both versions; None: there are none, or too few are left.
        notes: What to know.
    """

    earlier: str
    later: str
    unit: str
    route: str
    method: str
    shift: float
    shift_se: float
    shift_ci: tuple[float, float]
    slope: float
    slope_ci: tuple[float, float]
    intercept: float
    misfit: float | None
    models: tuple[LinkedModel, ...]
    shared: int
    anchors: int
    earlier_prompts: int
    later_prompts: int
    moved: tuple[MovedAnchor, ...] | None
    typical: float | None
    drift_reason: str
    without: float | None
    without_ci: tuple[float, float] | None
    level: float
    replicates: int
    seed: int
    notes: tuple[str, ...]


def linked_versions(
    later: Path | list[Path],
    earlier: Path,
    *,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
    format: str | None = None,  # noqa: A002  the option's own name
) -> VersionLink:
    """Put the scores of a recording of the later version on the scale of the earlier one.

    Args:
        later: Judgments on the later version (several recordings are joined).
        earlier: Judgments on the earlier one.
        level: Of the intervals.
        replicates: Bootstrap draws of the prompts.
        seed: Of the draws.
        format: Force the format of the recordings.

    Raises:
        InputError: The recordings share neither models nor enough prompts, or one holds win rates and the other
            ratings.
    """
    paths = [later] if isinstance(later, Path) else later
    new, old = formats.read(*paths, format=format), formats.read(earlier, format=format)
    y, x = of_recording(new, 1, seed), of_recording(old, 1, seed)
    units = _unit(new), _unit(old)
    if units[0] != units[1]:
        raise InputError("win rates and ratings are not on one scale", path=earlier)
    rows = _anchors(x, y, old, new)
    at = {model: i for i, model in enumerate(y.models)}
    both = [(i, at[model]) for i, model in enumerate(x.models) if model in at]
    columns = np.array(both, dtype=np.int64).reshape(-1, 2)
    a, b = x.outcomes, y.outcomes
    assert a is not None and b is not None  # noqa: S101  recordings have outcomes
    try:
        link = link_scores(a, b, rows, columns, level=level, replicates=replicates, seed=seed)
    except NoData as error:
        raise InputError(f"the recordings cannot be linked: {error}", path=earlier) from error
    drift, reason = _drift(a, b, rows, columns, level)
    moved = None if drift is None else _moved(drift, rows, x)
    without = _without(a, b, rows, columns, drift, link)
    listed = sorted(
        (
            LinkedModel(
                model, y.rows[m].score, float(link.linked[m]), (float(link.linked_ci[m, 0]), float(link.linked_ci[m, 1])),
                float(link.own[m]),
                next((x.rows[i].score for i, j in both if j == m), None),
            )
            for m, model in enumerate(y.models)
        ),
        key=lambda one: (-one.linked, one.model),
    )  # fmt: skip
    return VersionLink(
        old.benchmark.name, new.benchmark.name, units[0], link.route, link.method, link.shift, link.shift_se,
        link.shift_ci, link.slope, link.slope_ci, link.intercept, link.misfit, tuple(listed), len(both), len(rows),
        len(x.prompt_ids), len(y.prompt_ids), moved, None if drift is None else drift.typical, reason,
        None if without is None else without.shift, None if without is None else without.shift_ci, level, replicates,
        seed, _notes(old, new, link, len(rows)),
    )  # fmt: skip


def _unit(battles: Battles) -> str:
    return "percent" if len(battles.games) and battles.games["outcome"].notna().any() else "rating"


def _anchors(x: Scores, y: Scores, old: Battles, new: Battles) -> Pairs:
    """Return the rows of the prompts that are in both: the same id, and the same text where both texts are known."""
    texts = [
        {str(k): str(t).strip() for k, t in zip(b.prompts["prompt_id"], b.prompts["text"], strict=True)}
        for b in (old, new)
    ]
    at = {one: i for i, one in enumerate(y.prompt_ids)}
    found = []
    for i, one in enumerate(x.prompt_ids):
        said = [known.get(one, "") for known in texts]
        if one in at and (not all(said) or said[0] == said[1]):
            found.append((i, at[one]))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _drift(a: Array, b: Array, rows: Pairs, columns: Pairs, level: float) -> tuple[Drift | None, str]:
    paired = len(columns) > 0
    one, two = a[rows[:, 0]], b[rows[:, 1]]
    if paired:
        one, two = one[:, columns[:, 0]], two[:, columns[:, 1]]
    try:
        return anchor_drift(one, two, paired=paired, level=level), ""
    except NoData as error:
        return None, str(error)


def _moved(drift: Drift, rows: Pairs, x: Scores) -> tuple[MovedAnchor, ...]:
    found = [
        MovedAnchor(x.prompt_ids[int(rows[k, 0])], float(drift.moved[k]), float(drift.p[k]))
        for k in np.flatnonzero(drift.flagged).tolist()
    ]
    return tuple(sorted(found, key=lambda one: (one.p, one.prompt_id)))


def _without(
    a: Array, b: Array, rows: Pairs, columns: Pairs, drift: Drift | None, link: Link
) -> Link | None:  # fmt: skip
    """Link again without the anchors that moved, in neither version."""
    if drift is None or not drift.flagged.any():
        return None
    gone = rows[drift.flagged]
    stay = [np.setdiff1d(np.arange(len(x)), gone[:, k]) for k, x in enumerate((a, b))]
    place = [np.searchsorted(stay[k], rows[~drift.flagged][:, k]) for k in (0, 1)]
    try:
        return link_scores(
            a[stay[0]], b[stay[1]], np.column_stack(place), columns, level=link.level, replicates=link.replicates,
            seed=link.seed,
        )  # fmt: skip
    except NoData:
        return None


def _notes(old: Battles, new: Battles, link: Link, anchors: int) -> tuple[str, ...]:
    notes = ["intervals are over prompts; the shift is that of the models that link: others may shift by more or less"]
    for what, one, two in (
        ("baselines", set(old.benchmark.baselines), set(new.benchmark.baselines)),
        ("judges", set(old.games["judge"]), set(new.games["judge"])),
    ):
        if one != two:
            notes.append(f"the {what} differ: the link takes their difference for one of difficulty")
    few = min(link.first_models, link.second_models)
    if few < FEWEST_FOR_SLOPE:
        notes.append(
            f"{few} models link: the line shifts the scale and does not stretch it, which takes {FEWEST_FOR_SLOPE}"
        )
    alone = len(link.linked) - link.second_models if link.route == "models" else 0
    if alone and anchors < FEWEST_ANCHORS:
        notes.append(
            f"{anchors} anchors: {alone} models that were judged on the later version alone are linked as those that were "
            "judged on both are"
        )
    if not anchors:
        notes.append("no prompt is in both recordings: models alone link them")
    return tuple(notes)
