"""What a defended judge is, and what a defence is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from auditkit.judging.spec import Aggregate, JudgeSpec

if TYPE_CHECKING:
    from auditkit.attacks.defences.panel import Member

__all__ = ["Defence", "PanelRule", "Setup"]

PanelRule = Literal["mean", "vote"]


@dataclass(frozen=True)
class Setup:
    """A judge with everything round it that decides a verdict.

    Attributes:
        judge: The judge. Nonces and the rule for two orders are fields of its file (`JudgeSpec.nonce`, `label_nonce`,
            `aggregate`).
        prefilter: Detectors that look at each answer before the judge does; what they flag loses without a call.
        gate: Constraints that each answer must meet; what breaks one loses without a call.
        panel: Further judges that are asked the same; empty: the one judge decides.
        panel_rule: How the panel's outcomes are combined.
        stack: Ids of the defences that made it, in the order in which they were applied.
        calls: Calls as a multiple of the undefended judge's.
    """

    judge: JudgeSpec
    prefilter: tuple[str, ...] = ()
    gate: tuple[str, ...] = ()
    panel: tuple[Member, ...] = ()
    panel_rule: PanelRule = "mean"
    stack: tuple[str, ...] = ()
    calls: float = 1.0

    @property
    def nonce(self) -> bool:
        """Do the tags carry a nonce?"""
        return self.judge.nonce

    @property
    def label_nonce(self) -> bool:
        """Does the verdict carry a nonce?"""
        return self.judge.label_nonce

    @property
    def aggregate(self) -> Aggregate:
        """How two orders make one outcome."""
        return self.judge.aggregate

    @property
    def title(self) -> str:
        """The stack in one line, "as it is" for none."""
        return " + ".join(self.stack) or "as it is"


def _once(judge: JudgeSpec) -> float:
    return 1.0


@dataclass(frozen=True)
class Defence:
    """One switch.

    Attributes:
        id: Short name.
        title: What it is, in a few words.
        source: Where it comes from.
        costs: One sentence: what it costs and what it may break.
        apply: Returns the setup with the switch on; only for setups that it is not refused for.
        refusal: Says why it makes no sense for a judge, "" if it does.
        calls: Calls as a multiple of the judge's own.
        place: Where it comes in a stack: lower first. What changes rendering comes before what needs ours.
        references: It needs prompts that have a reference answer.
    """

    id: str
    title: str
    source: str
    costs: str
    apply: Callable[[Setup], Setup] = field(repr=False)
    refusal: Callable[[JudgeSpec], str] = field(repr=False)
    calls: Callable[[JudgeSpec], float] = field(default=_once, repr=False)
    place: int = 50
    references: bool = False

    def applies(self, judge: JudgeSpec) -> bool:
        """Does it make sense for this judge?"""
        return not self.refusal(judge)
