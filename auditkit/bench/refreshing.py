"""A version that follows another: anchors, new prompts and evolved ones together, and the account of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.bench.annotating import Asking
from auditkit.bench.evolving import Evolved, evolved
from auditkit.bench.record import Chosen, LinkError, Reason, Refresh
from auditkit.bench.refresh import Kept, Release, Retired
from auditkit.bench.refresh_choice import Decision, Past, Worth, decide, duplicated, leaked, worth_of
from auditkit.errors import NoData
from auditkit.stats.informative import FEWEST_TO_DISCRIMINATE
from auditkit.stats.linking import expected_link_se

__all__ = ["Refreshed", "earlier_of", "refreshed"]

_NEW_MODELS: Final = (1, 3, 10)
"""New models for which the error of the link is told: between one submission and a board."""


def earlier_of(release: Release | None) -> list[tuple[str, tuple[str, ...]]]:
    """Return name and turns of every prompt that must not be drawn again: of the version before, and retired ones."""
    if release is None:
        return []
    found = [(f"version {release.version}: {prompt.uid}", prompt.turns) for prompt in release.prompts]
    return found + [(f"retired in version {one.retired_in}: {one.id}", one.turns) for one in release.retired]


@dataclass(frozen=True)
class Refreshed:
    """What a version takes from the one before.

    Attributes:
        room: New prompts that there is room for.
        wanted: Anchors that were asked for.
    """

    release: Release
    past: Past
    worth: Worth
    decision: Decision
    evolved: Evolved | None
    room: int
    wanted: int
    seed: int

    @property
    def retired(self) -> tuple[Retired, ...]:
        """Every prompt that was ever retired, the oldest first."""
        return (*self.release.retired, *self.decision.retired)

    def together(self, new: Sequence[Chosen], version: str) -> list[Chosen]:
        """Return the whole version: anchors, new prompts, evolved ones."""
        numbers = {one.cluster_name: one.cluster for one in new}
        start = max(numbers.values(), default=-1) + 1

        def numbered(name: str) -> int:
            return numbers.setdefault(name, start + sum(n >= start for n in numbers.values()))

        anchors = [
            _anchor(self.release.prompts[k], numbered(self.release.prompts[k].cluster), self._why(k))
            for k in self.decision.anchors
        ]
        made = [
            replace(one, cluster=numbered(one.cluster_name), first_version=version)
            for one in (self.evolved.chosen if self.evolved else ())
        ]
        return [*anchors, *(replace(one, first_version=version) for one in new), *made]

    def _why(self, k: int) -> str:
        prompt, shrunk = self.release.prompts[k], self.worth.shrunk
        n = int(shrunk.models[k])
        worth = (
            f"discrimination {shrunk.shrunk[k]:.2f} by the judgments of {n} models, shrunk"
            if np.isfinite(shrunk.shrunk[k])
            else f"not measured ({n} models judged)"
        )
        return (
            f"anchor: in version {self.release.version}, first in {prompt.first_version}; drawn at random by language, "
            f"category and cluster with seed {self.seed}, whatever its worth: {worth}"
        )

    def record(self, chosen: Sequence[Chosen], version: str) -> Refresh:
        """Return what the datasheet says about it."""
        release, x, shrunk = self.release, self.past.outcomes, self.worth.shrunk
        judged = np.isfinite(x).any(axis=1)
        chain = [*release.chain, {"version": release.version, "manifest": release.manifest}]
        counted = Counter(one.reason for one in self.decision.retired)
        anchors = np.zeros(len(x), dtype=bool)
        anchors[list(self.decision.anchors)] = True
        gap = None
        if (judged & anchors).any():
            means = np.nanmean(x[judged], axis=1)
            gap = float(means[anchors[judged]].mean() - means.mean())
        return Refresh(
            release.name, release.version, release.manifest, tuple(dict(one) for one in chain), len(release.prompts),
            int(anchors.sum()), self.decision.strata,
            tuple(Reason(name, n) for name, n in sorted(counted.items(), key=lambda one: (-one[1], one[0]))),
            len(release.retired), self.past.inputs, x.shape[1], int(judged.sum()),
            int((shrunk.models >= FEWEST_TO_DISCRIMINATE).sum()),
            (shrunk.mean, shrunk.between) if np.isfinite(shrunk.mean) else None, gap, self.past.unit,
            _link_errors(x, int(anchors.sum()), len(chosen)), self.evolved.record if self.evolved else None,
        )  # fmt: skip

    def notes(self, new: int, by_model: bool) -> tuple[str, ...]:
        """Return what to know about it.

        Args:
            new: New prompts that were drawn.
            by_model: Were prompts annotated by a language model?
        """
        notes = []
        if len(self.decision.anchors) < self.wanted:
            notes.append(
                f"{self.wanted} anchors were asked for and {len(self.decision.anchors)} prompts of version "
                f"{self.release.version} are fit to stay."
            )
        if new < self.room:
            notes.append(f"There is room for {self.room} new prompts and {new} qualify.")
        if not self.past.outcomes.shape[1]:
            notes.append(
                f"What prompts of version {self.release.version} are worth is not measured: no judgments were given "
                "(--judgments). None was retired for that."
            )
        elif not (self.worth.shrunk.models >= FEWEST_TO_DISCRIMINATE).any():
            notes.append(
                f"Judgments of fewer than {FEWEST_TO_DISCRIMINATE} models a prompt do not say which prompts separate "
                "models: none was retired for that."
            )
        if self.evolved is not None and self.evolved.record.by.startswith("simulated/"):
            notes.append(
                "Evolved prompts were written by a simulated model: they mean nothing, and are here for a trial."
            )
        elif self.evolved is not None and self.evolved.chosen and not by_model:
            notes.append("No model has read the evolved prompts (--annotator): read them before you publish them.")
        if self.evolved is not None and len(self.evolved.chosen) < self.evolved.record.wanted:
            notes.append(
                f"{self.evolved.record.wanted} evolved prompts were asked for and {len(self.evolved.chosen)} passed "
                "every check."
            )
        return tuple(notes)


def _anchor(prompt: Kept, cluster: int, why: str) -> Chosen:
    return Chosen(
        prompt.uid, prompt.turns, prompt.category, prompt.language, cluster, prompt.cluster, prompt.score,
        prompt.cluster_mean, dict(prompt.criteria), prompt.annotator, prompt.copies, prompt.source, prompt.licence,
        prompt.origin, prompt.origin_id, prompt.redactions, why, "anchor", prompt.first_version, prompt.evolved_from,
    )  # fmt: skip


def _link_errors(outcomes: NDArray[np.float64], anchors: int, prompts: int) -> tuple[LinkError, ...]:
    found = []
    for models in _NEW_MODELS:
        try:
            found.append(LinkError(models, expected_link_se(outcomes, anchors, prompts, models)))
        except NoData:
            return ()
    return tuple(found)


def refreshed(asking: Asking, release: Release, past: Past, version: str) -> Refreshed:
    """Decide what stays and what is retired, and have prompts evolved.

    Raises:
        InputError, UsageError: As `auditkit.bench.refresh_choice.leaked`.
        Incomplete: Calls failed for now; AuditkitError: the work was halted.
    """
    s, pipeline = asking.settings, asking.pipeline
    worth = worth_of(past)
    new = [number for number, (_, sha256) in enumerate(pipeline.files) if sha256 not in release.pools]
    decision = decide(
        release, worth, leaked(release, s.against, s.near), duplicated(release, pipeline.kept[1], new), version=version,
        wanted=s.overlap, max_age=s.max_age, seed=s.seed,
    )  # fmt: skip
    made = evolved(asking, release, decision, worth, past) if s.evolver is not None and s.evolve else None
    room = s.size - len(decision.anchors) - (len(made.chosen) if made else 0)
    return Refreshed(release, past, worth, decision, made, room, s.overlap, s.seed)
