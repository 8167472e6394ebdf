"""What an attack is, what it may see, and what it may ask: the protocol of every plugin of the group ``attacks``.

An attack is a record, `Attack`, that an entry point names. It says in advance what it needs of the judge (`access`),
what is known of the true worth of what it makes (`gold`), and does one of four things:

* ``craft``: turn a situation into the answer that is submitted, without asking anybody;
* ``search``: ask the judge about *search prompts* through an `Oracle` with a budget, and return a `Fitted` attack that
  crafts answers to any prompt. It is frozen by hash before a prompt that counts is touched;
* ``rewrite``: make each answer with the help of a model or the judge (`Tools`), prompt by prompt. What the judge said
  on the way is never reported: the answer is judged again with other draws;
* ``submit``: leave the answers alone and choose which rows are submitted, and how often.

What an attack gains is measured elsewhere (`auditkit.attacks.playing`), on prompts that no search has seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, get_args

from auditkit.errors import AuditkitError
from auditkit.judging.calls import Json, Message
from auditkit.judging.inputs import Prompt
from auditkit.judging.spec import JudgeSpec
from auditkit.records import Order

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "ACCESS",
    "FAMILIES",
    "Access",
    "Attack",
    "Budget",
    "BudgetSpent",
    "Family",
    "Fitted",
    "Gold",
    "Oracle",
    "Seen",
    "Situation",
    "Tools",
    "Try",
]

Access = Literal["none", "verdict", "score", "logprob", "model"]
ACCESS: Final[tuple[Access, ...]] = get_args(Access)
#: What is known, by construction, of the gold value of an attacked answer: ``zero``: it is worthless; ``nonpositive``:
#: it is worth no more than the answer it was made from; ``unknown``: it may really be better, as an answer is from which
#: an error was cut.
Gold = Literal["zero", "nonpositive", "unknown"]
Family = Literal[
    "null", "format", "submission", "injection", "authority", "style", "length", "baseline", "echo", "unicode",
    "phrase", "search", "rewrite", "inference",
]  # fmt: skip
FAMILIES: Final[tuple[Family, ...]] = get_args(Family)


class BudgetSpent(AuditkitError):
    """A search asked for more calls than its budget has left."""


@dataclass(frozen=True)
class Situation:
    """One prompt as its attacker sees it.

    Attributes:
        prompt: The prompt; its turns are public.
        answer: The submission's own answer to the last turn.
        opponent: The answer that it is compared with, "" unless the attack declares `Attack.opponent` (a benchmark's
            baseline answers are public) or the judge sees one answer at a time.
        judge: The judge's spec: its template is public.
        place: The prompt's place in the benchmark, from 0.
        seed: Of every draw that the attack makes.
    """

    prompt: Prompt
    answer: str
    opponent: str
    judge: JudgeSpec
    place: int = 0
    seed: int = 0

    def rng(self, *what: str) -> np.random.Generator:
        """Return a generator that depends on the seed, the prompt and `what` it is for, and on nothing else."""
        import numpy as np

        body = json.dumps([self.seed, self.prompt.id, what], ensure_ascii=True)
        return np.random.default_rng(int.from_bytes(hashlib.sha256(body.encode()).digest()[:8]))


@dataclass(frozen=True)
class Budget:
    """What a search may spend: `calls` of the judge, `model_calls` of the attacker's own model."""

    calls: int
    model_calls: int = 0


@dataclass(frozen=True)
class Try:
    """One question to the judge during a search: an answer in a situation.

    Attributes:
        situation: Whose prompt, opponent and judge.
        text: The answer tried.
        order: One order of showing it; None: every order in which the judge sees a pair (each is a call).
        sample: Number of the draw: another number is another draw of the judge.
    """

    situation: Situation
    text: str
    order: Order | None = None
    sample: int = 0


@dataclass(frozen=True)
class Seen:
    """What the attacker learns from one `Try`, as far as its access goes.

    Attributes:
        outcome: How the answer did, 0..1: the mean over the orders asked; with access ``verdict`` each game counts
            0, 0.5 or 1. A rating is put on 0..1. NaN without a verdict.
        calls: Calls that it took.
        logprobs: Access ``logprob``: for each game the log-probability of the label by which the answer wins (None: not
            among those listed) and the smallest one listed, which bounds a missing one from above.
        texts: The judge's replies.
    """

    outcome: float
    calls: int = 1
    logprobs: tuple[tuple[float | None, float], ...] = ()
    texts: tuple[str, ...] = ()


class Oracle(Protocol):
    """The judge, as a search may ask it. It knows the search prompts only by the situations that it is asked about."""

    @property
    def access(self) -> Access:
        """What it tells."""
        ...

    @property
    def calls(self) -> int:
        """Calls made so far, those answered from the store included: a search's cost does not depend on luck."""
        ...

    @property
    def left(self) -> int:
        """Calls that the budget still has."""
        ...

    def cost(self, tries: Sequence[Try]) -> int:
        """Return how many calls these tries would take."""
        ...

    async def ask(self, tries: Sequence[Try]) -> list[Seen]:
        """Ask about several answers at once.

        Raises:
            BudgetSpent: They take more calls than are left; none is made.
            CallError: The judge gave no completion.
        """
        ...


class Tools(Protocol):
    """What a rewriting attack works with."""

    @property
    def oracle(self) -> Oracle:
        """The judge. An attack of access ``model`` that never asks it leaves it alone."""
        ...

    async def write(
        self, messages: Sequence[Message], params: Mapping[str, Json] | None = None, sample: int = 0
    ) -> str:
        """Return what the attacker's model says.

        Args:
            messages: The conversation.
            params: Sampling parameters under OpenAI's names.
            sample: Number of the draw.

        Raises:
            BudgetSpent: No call is left.
            CallError: The model gave no completion.
        """
        ...


@dataclass(frozen=True)
class Fitted:
    """What a search found, frozen: it crafts answers to prompts that the search has not seen.

    Attributes:
        payload: Everything that was found, as JSON data: `craft` depends on it and on the situation alone.
        craft: Makes the answer.
        calls: Judge calls that the search took.
        model_calls: Calls of the attacker's model.
        in_search: The mean outcome of the winner on the search prompts, 0..1: selected, so never an effect.
        history: ``(calls so far, best in-search value so far)`` along the way.
    """

    payload: Json
    craft: Callable[[Situation], str] = field(compare=False, repr=False)
    calls: int = 0
    model_calls: int = 0
    in_search: float | None = None
    history: tuple[tuple[int, float], ...] = ()

    @property
    def sha256(self) -> str:
        """Hash (hex) of the payload in canonical JSON: the attack is frozen under it."""
        text = json.dumps(self.payload, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _always(judge: JudgeSpec) -> bool:
    return True


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        id: Short name, as registered: ``null-structured``.
        title: What it is, in a few words.
        family: Its family; multiplicity is corrected within and across families.
        source: Paper (section) or "this project", with the catalogue's number.
        summary: One sentence: what the attacker does.
        mend: One sentence: what in a judge or harness stops it.
        access: What it needs of the judge.
        gold: What is known of the true worth of an attacked answer.
        craft: See the module. One of `craft`, `search`, `rewrite`, `submit` is given.
        search: See the module.
        rewrite: See the module.
        submit: Per-prompt scores (0..1, shape (n,)) that the attacker has seen, and a generator -> how often each row
            is submitted (whole numbers from 0, shape (n,)).
        budget: Calls that its search takes if nobody says otherwise; for `rewrite`, a prompt.
        replaces: Every turn's answer is replaced (`craft` is called once a turn, with the prompt cut to it), not the last
            one's alone.
        turn: Which turn's answer is changed where there are several: the last, or the first, which the judge sees again
            when it judges a later one.
        opponent: It uses the opponent's answer.
        control: A negative control: it is expected to gain nothing.
        applies: Does it make sense against this judge?
        drops: It makes games lose their verdict, and is scored as a harness that leaves those out scores it.
        params: Settings that the report repeats.
    """

    id: str
    title: str
    family: Family
    source: str
    summary: str
    mend: str
    access: Access
    gold: Gold
    craft: Callable[[Situation], str] | None = None
    search: Callable[[Oracle, Sequence[Situation], Budget, np.random.Generator], Awaitable[Fitted]] | None = None
    rewrite: Callable[[Situation, Tools], Awaitable[str]] | None = None
    submit: Callable[[np.ndarray[Any, Any], np.random.Generator], np.ndarray[Any, Any]] | None = None
    budget: Budget = Budget(0)
    replaces: bool = False
    drops: bool = False
    turn: Literal["first", "last"] = "last"
    opponent: bool = False
    control: bool = False
    applies: Callable[[JudgeSpec], bool] = _always
    params: Mapping[str, Json] = field(default_factory=dict)

    @property
    def chosen_where_it_counts(self) -> bool:
        """Does the judge help to choose its texts on the very prompts that count? Its gain holds a selection's luck then."""
        return self.rewrite is not None and self.budget.calls > 0

    def __post_init__(self) -> None:
        ways = (self.craft, self.search, self.rewrite, self.submit)
        if sum(way is not None for way in ways) != 1:
            raise ValueError(f"attack {self.id}: exactly one of craft, search, rewrite and submit is needed")
        if (self.craft is not None or self.submit is not None) and self.budget.calls:
            raise ValueError(f"attack {self.id}: an attack that asks nobody has no budget")
        if self.craft is not None and self.access != "none":
            raise ValueError(f"attack {self.id}: crafting needs no access to the judge")
