"""What a bias probe is: what it shows a judge, what came of it, and what that says.

A probe shows a judge the same items in several *arms* and asks nobody itself: whoever plays it hands back `Outcomes`.
Every probe has the arm `CLEAN`, drawn more than once: how the verdicts of two draws differ is the judge's own noise. A
probe that edits a text has a placebo too, an edit that says nothing: what any change of the text does. Where an edit
adds text, its placebo (`placebo_of` its arm) adds as many characters: what the length does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from auditkit.attacks.protocol import Situation
from auditkit.judging.spec import JudgeSpec
from auditkit.records import Interval, Order

__all__ = ["CLEAN", "PLACEBO", "Arm", "Need", "Outcomes", "Part", "Probe", "ProbeResult", "Staged", "placebo_of"]

Array = NDArray[np.float64]
CLEAN: Final = "clean"
PLACEBO: Final = "placebo"

#: What an item must have: a known better answer, an opponent's answer, a known author of one of the two.
Need = Literal["gold", "opponent", "author"]


def placebo_of(arm: str) -> str:
    """Return the name of the placebo of one arm's own length; arms without one share `PLACEBO`."""
    return f"{PLACEBO} of {arm}"


@dataclass(frozen=True)
class Staged:
    """One thing that is shown to the judge.

    Attributes:
        turns: The user's turns.
        own: The answer whose outcome is recorded, to the last turn.
        opponent: The one it meets; "" where the judge sees one answer.
        judge: The judge, as this arm has it.
        order: The only order to show them in; None: the judge's own policy.
    """

    turns: tuple[str, ...]
    own: str
    opponent: str
    judge: JudgeSpec
    order: Order | None = None


@dataclass(frozen=True)
class Outcomes:
    """What came of the arms of one probe.

    Attributes:
        outcome: By arm, shape (n_items, n_orders, n_samples): how the own answer did, 0..1 (a rating put on 0..1); NaN
            where there is no verdict, where the order was not shown, or where the arm does not apply to the item.
        orders: The orders (``("unknown",)`` where the judge sees one answer).
        gold: Shape (n_items,): 1 the own answer is the right one, 0 the opponent's is, NaN not known.
        codes: Shape (n_items,): whole numbers; items of one prompt share one.
        length: By arm, shape (n_items, 2): characters of the own answer and of the opponent's.
        author: Shape (n_items,): 1 the own answer is by a model of the judge's family, 0 the opponent's is, NaN neither
            or both.
        pairwise: Does the judge compare two answers?
        scale: Lowest and highest number of a judge that rates; None for one that compares.
        level: Confidence level.
        seed: Of permutations and resamples.
    """

    outcome: Mapping[str, Array]
    orders: tuple[Order, ...]
    gold: Array
    codes: NDArray[np.intp]
    length: Mapping[str, Array] = field(default_factory=dict)
    author: Array | None = None
    pairwise: bool = True
    scale: tuple[float, float] | None = None
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        n, k = len(self.gold), len(self.orders)
        if len(self.codes) != n:
            raise ValueError(f"{len(self.codes)} codes for {n} items")
        for arm, values in self.outcome.items():
            if values.ndim != 3 or values.shape[:2] != (n, k):
                raise ValueError(f"arm {arm}: expected ({n}, {k}, samples), got {values.shape}")
            known = values[np.isfinite(values)]
            if ((known < 0.0) | (known > 1.0)).any():
                raise ValueError(f"arm {arm}: outcomes must lie in 0..1")

    @property
    def n(self) -> int:
        """Items."""
        return len(self.gold)

    def games(self, arm: str, sample: int = 0) -> Array:
        """Return the outcomes of one draw of an arm, shape (n_items, n_orders); NaN where it was not drawn."""
        values = self.outcome.get(arm)
        if values is None or sample >= values.shape[2]:
            return np.full((self.n, len(self.orders)), np.nan)
        return np.asarray(values[:, :, sample])


@dataclass(frozen=True)
class Part:
    """One figure with its interval and n; None: not measured, `note` says why or what to know."""

    name: str
    estimate: float | None
    ci: Interval | None = None
    n: int = 0
    p_value: float | None = None
    note: str = ""


@dataclass(frozen=True)
class ProbeResult:
    """What a probe found.

    Attributes:
        probe: Its id.
        statistic: What `estimate` is.
        estimate: None: not measured.
        ci: Its interval.
        n: Items behind it.
        control: The same figure without the bias: for an edited text that of the placebo, else that of a second draw.
        control_ci: Its interval.
        control_arm: What `control` is: ``placebo``, ``placebo of its length``, ``repeat`` or in words; "" for none.
        difference: Estimate less control: what the bias accounts for.
        difference_ci: Its interval.
        p_value: Of "nothing is left that does harm": one-sided where only more than the control does harm (an edit that
            loses, or flips fewer verdicts than asking again, is no bias to mend), two-sided where either direction does.
        parts: Further figures, by name.
        sentence: What that says, in plain words.
        mend: What to change if there is something.
        note: Why it is not measured, or what to know.
    """

    probe: str
    statistic: str
    estimate: float | None = None
    ci: Interval | None = None
    n: int = 0
    control: float | None = None
    control_ci: Interval | None = None
    control_arm: str = ""
    difference: float | None = None
    difference_ci: Interval | None = None
    p_value: float | None = None
    parts: tuple[Part, ...] = ()
    sentence: str = ""
    mend: str = ""
    note: str = ""


Arm = Callable[[Situation], Staged | None]


def _always(judge: JudgeSpec) -> bool:
    return True


@dataclass(frozen=True)
class Probe:
    """One probe.

    Attributes:
        id: Short name, as registered: ``position``.
        title: What it is about, in a few words.
        source: Paper (section), with the catalogue's number.
        summary: One sentence: what is changed and what is watched.
        mend: One sentence: what in a judge or protocol helps.
        arms: What each arm shows; None where it does not apply to an item. `CLEAN` is among them.
        measure: From outcomes to the result.
        repeats: How often the arm `CLEAN` is drawn (at least twice); the others are drawn once.
        needs: What items must have; others are left out.
        turned: Items are turned so that the own answer is the wrong one (gold 0): what it gains is an error.
        applies: Does it make sense for this judge?
    """

    id: str
    title: str
    source: str
    summary: str
    mend: str
    arms: Mapping[str, Arm] = field(repr=False)
    measure: Callable[[Probe, Outcomes], ProbeResult] = field(repr=False)
    repeats: int = 2
    needs: tuple[Need, ...] = ()
    turned: bool = False
    applies: Callable[[JudgeSpec], bool] = field(default=_always, repr=False)

    def __post_init__(self) -> None:
        if self.turned and "gold" not in self.needs:
            raise ValueError(f"probe {self.id}: which answer is wrong is known only with gold")
        if CLEAN not in self.arms or self.repeats < 2:
            raise ValueError(f"probe {self.id}: the arm {CLEAN!r} is needed, at least twice")

    @property
    def placebo(self) -> bool:
        """Does it have a placebo arm?"""
        return any(arm == PLACEBO or arm.startswith(placebo_of("")) for arm in self.arms)

    def samples(self, arm: str) -> int:
        """Return how often an arm is drawn: two arms of the same texts must not share a draw's number."""
        return self.repeats if arm == CLEAN else 1

    def result(self, outcomes: Outcomes) -> ProbeResult:
        """Return what the probe found; not measured, with the reason, where there is too little.

        Of a probe that wants turned items, those that are not (gold 1 or not known) are left out.
        """
        if self.turned:
            kept = (outcomes.gold == 0.0)[:, None, None]
            shown = {arm: np.where(kept, values, np.nan) for arm, values in outcomes.outcome.items()}
            outcomes = replace(outcomes, outcome=shown)
        return self.measure(self, outcomes)
