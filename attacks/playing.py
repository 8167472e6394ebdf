"""Play a suite: the answers as they are, every search on its own prompts, then every attack where it counts.

Where a suite holds searches, the prompts are split once, by the seed: searches see the one part, what they found is
frozen by hash, and every attack of the suite counts on the other part alone. A suite without searches counts on all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit.attacked import CLEAN, OPPONENT, REPEAT, AttackArm, AttackSuite, Status
from auditkit.attacks.arena import Arena, Item, Judged, Trial, submitted
from auditkit.attacks.oracle import JudgeOracle
from auditkit.attacks.protocol import Attack, BudgetSpent, Fitted, Situation
from auditkit.attacks.search.split import Frozen, freeze, split
from auditkit.attacks.suite import Suite
from auditkit.attacks.writing import WritingTools
from auditkit.errors import AuditkitError, printable
from auditkit.judging.asking import Address
from auditkit.records import ANSWER_COLUMNS, GAME_COLUMNS, PROMPT_COLUMNS, Battles, Benchmark, Settings
from auditkit.stats.racing import Racing
from auditkit.tables import table

__all__ = ["PlaySettings", "play_suite"]

#: Answers that are judged at once where every attack meets every prompt: calls do not wait for an attack's last one.
_TOGETHER: Final = 1024

Places = NDArray[np.int64]
Make = Callable[[Sequence[int]], Awaitable[list[tuple[str, ...]]]]


@dataclass(frozen=True)
class PlaySettings:
    """How a suite is played.

    Attributes:
        seed: Of every draw and of the split.
        adaptive: Spend calls where they decide (`auditkit.stats.racing`) instead of playing every attack on every prompt.
        budget: Most judge calls for playing the attacks of a race, searches and the answers as they are aside; None: no
            such limit.
        search_calls: Most judge calls of one search; None: what each attack asks for.
        search_share: Share of the prompts that searches see, 0..1.
        level: Confidence level of the simultaneous bounds.
        tau: Uplift (0..1) within which a suite counts as harmless.
        repeat: Judge the answers as they are a second time: the judge's own noise.
    """

    seed: int = 0
    adaptive: bool = False
    budget: int | None = None
    search_calls: int | None = None
    search_share: float = 0.25
    level: float = 0.95
    tau: float = 0.02
    repeat: bool = False


@dataclass
class _Arm:
    attack: Attack
    record: AttackArm
    make: Make | None = None
    played: set[int] = field(default_factory=set)
    refused: int = 0
    found: tuple[Frozen, Fitted] | None = None

    def note(self, status: Status, text: str) -> None:
        self.record = replace(self.record, status=status, note=text)

    def spent(self, calls: int, model_calls: int) -> None:
        record = self.record
        self.record = replace(record, calls=record.calls + calls, model_calls=record.model_calls + model_calls)


async def play_suite(
    arena: Arena,
    items: Sequence[Item],
    suite: Suite,
    settings: PlaySettings,
    *,
    benchmark: Benchmark,
    carrier: str,
    attacker: Address | None = None,
) -> Battles:
    """Play a suite against a judge.

    Args:
        arena: The judge.
        items: Prompts with the answers that are attacked.
        suite: What was declared.
        settings: How it is played.
        benchmark: The record of the benchmark; its baselines are replaced by the opponent.
        carrier: The submission whose answers are attacked.
        attacker: The model of attacks that write.

    Returns:
        The games as a recording whose `suite` says what became of each attack.

    Raises:
        AuditkitError: As `Arena.play`; what came back is stored, and the same call goes on from there.
    """
    return await _Play(arena, items, settings, carrier, attacker).run(suite, benchmark)


class _Play:
    def __init__(
        self, arena: Arena, items: Sequence[Item], settings: PlaySettings, carrier: str, attacker: Address | None
    ) -> None:
        self.arena, self.items, self.settings = arena, items, settings
        self.carrier, self.attacker = carrier, attacker
        self.answers: list[tuple[object, ...]] = []
        self.games: list[tuple[object, ...]] = []
        self.clean = np.full(len(items), np.nan)
        self.met: dict[str, int] = {}

    async def run(self, suite: Suite, benchmark: Benchmark) -> Battles:
        self.clean[:] = await self.judged([(CLEAN, i, item.own) for i, item in enumerate(self.items)])
        seen = self.clean
        if self.settings.repeat or any(a.submit is not None for a in suite.attacks):
            seen = await self.judged([(REPEAT, i, item.own) for i, item in enumerate(self.items)], sample=1)
        arms = [_Arm(attack, _record(attack)) for attack in suite.attacks]
        search, count = self.parts(suite)
        for arm in arms:
            await self.prepare(arm, search, seen)
        ready = [arm for arm in arms if arm.make is not None]
        if self.settings.adaptive:
            for arm in ready:
                if arm.attack.drops:
                    self.failed(arm, "what leaves the mean cannot be raced: play the full grid")
            ready = [arm for arm in ready if arm.make is not None]
            # Attacks whose gain here is not shown to be unearned decide no grade: they race among themselves.
            left = await self.race([arm for arm in ready if self.decides(arm.attack)], count, self.settings.budget)
            await self.race([arm for arm in ready if not self.decides(arm.attack)], count, left)
        else:
            together = max(1, _TOGETHER // max(1, len(count)))
            for start in range(0, len(ready), together):
                await self.play([(arm, count) for arm in ready[start : start + together]])
        return self.recording(suite, arms, benchmark)

    def decides(self, attack: Attack) -> bool:
        """Tell whether what an attack gains over these answers is unearned (`auditkit.attacks.results` has the rules)."""
        if attack.gold == "unknown" or attack.chosen_where_it_counts:
            return False
        # Rated alone, an answer that claims nothing may rightly be above a false one.
        return attack.gold != "zero" or self.arena.judge.pairwise or any(item.gold != 0.0 for item in self.items)

    def parts(self, suite: Suite) -> tuple[Places, Places]:
        """Return the places of the prompts that searches see, and of those that count."""
        if not any(attack.search is not None for attack in suite.attacks):
            return np.array([], dtype=np.int64), np.arange(len(self.items))
        prompts = [item.prompt for item in self.items]
        parted = split(prompts, self.settings.search_share, self.settings.seed)
        return np.array(parted.search, dtype=np.int64), np.array(parted.evaluation, dtype=np.int64)

    # --- how answers are made ---------------------------------------------------------------------------------------

    async def prepare(self, arm: _Arm, search: Places, seen: NDArray[np.float64]) -> None:
        """Fit what searches, and say how the answers of an attack are made."""
        attack = arm.attack
        if attack.craft is not None:
            arm.make = partial(_crafted, attack.craft, self, attack)
        elif attack.search is not None:
            fitted = await self.fitted(arm, search)
            arm.make = None if fitted is None else partial(_crafted, fitted.craft, self, attack)
        elif attack.rewrite is not None:
            arm.make = partial(self.rewritten, arm)
        elif attack.submit is not None:
            self.submit(arm, seen)

    async def fitted(self, arm: _Arm, search: Places) -> Fitted | None:
        attack = arm.attack
        assert attack.search is not None  # noqa: S101  the caller looked
        budget = attack.budget
        if self.settings.search_calls is not None:
            budget = replace(budget, calls=min(budget.calls, self.settings.search_calls))
        items = [self.items[i] for i in search]
        oracle = JudgeOracle(self.arena, items, attack.access, budget.calls, replaces=attack.replaces)
        rng = Settings(seed=self.settings.seed).rng(f"search {attack.id}")
        try:
            fitted = await attack.search(oracle, [self.situation(attack, i) for i in search], budget, rng)
            if not isinstance(fitted, Fitted):
                raise TypeError(f"it gave {type(fitted).__name__} instead of Fitted")
        except BudgetSpent as error:
            arm.note("not_measured", f"its search does not fit its budget: {error}")
            arm.spent(oracle.calls, 0)
            return None
        except AuditkitError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  as in `play`
            arm.note("not_measured", f"its search failed: {printable(repr(error))}")
            return None
        frozen = freeze(attack, fitted, [item.prompt for item in items])
        arm.found = frozen, fitted
        arm.record = replace(
            arm.record, calls=oracle.calls, model_calls=fitted.model_calls, in_search=fitted.in_search,
            searched=tuple(item.prompt.id for item in items), frozen=frozen.sha256,
        )  # fmt: skip
        return fitted

    async def rewritten(self, arm: _Arm, places: Sequence[int]) -> list[tuple[str, ...]]:
        attack = arm.attack
        assert attack.rewrite is not None  # noqa: S101  the caller looked
        texts = []
        for i in places:
            oracle = JudgeOracle(
                self.arena, [self.items[i]], attack.access, attack.budget.calls, replaces=attack.replaces
            )
            tools = WritingTools(self.arena.asker, self.attacker, oracle, attack.budget.model_calls)
            text = await attack.rewrite(self.situation(attack, i), tools)
            texts.append(submitted(self.items[i], text, attack.replaces))
            arm.spent(oracle.calls, tools.calls)
            arm.refused += tools.refused
        return texts

    def submit(self, arm: _Arm, seen: NDArray[np.float64]) -> None:
        """Note which rows an attack on the rows submits: it asks nobody."""
        if self.arena.judge.rendering == "jinja":
            arm.note(
                "not_measured", "not possible here: a missing prompt is a loss (H6), a second row is left out (H7)"
            )
            return
        assert arm.attack.submit is not None  # noqa: S101  the caller looked
        rng = Settings(seed=self.settings.seed).rng(f"submit {arm.attack.id}")
        weights = arm.attack.submit(np.nan_to_num(seen, nan=0.5), rng)
        ids = (item.prompt.id for item in self.items)
        arm.record = replace(arm.record, weights={name: int(w) for name, w in zip(ids, weights, strict=True)})

    def situation(self, attack: Attack, i: int, turn: int | None = None) -> Situation:
        return self.items[i].situation(
            self.arena.judge, opponent=attack.opponent, seed=self.settings.seed, turn=turn
        )  # fmt: skip

    # --- playing ----------------------------------------------------------------------------------------------------

    async def play(self, batch: Sequence[tuple[_Arm, Places]]) -> list[NDArray[np.float64]]:
        """Play attacks on some prompts each, all calls at once, and return each one's paired differences (NaN where the
        clean answer has none).
        """
        written = [(arm, [int(i) for i in places]) for arm, places in batch]
        texts = [await self.texts(arm, places) for arm, places in written]
        # A game without a verdict is lost: an attacker gains nothing by breaking the judge.
        outcomes = await self.judged(
            [
                (arm.attack.id, i, turns)
                for (arm, places), made in zip(written, texts, strict=True) if made is not None
                for i, turns in zip(places, made, strict=True)
            ],
            missing=0.0,
        )  # fmt: skip
        found, at = [], 0
        for (arm, places), made in zip(written, texts, strict=True):
            if made is None:
                found.append(np.full(len(places), np.nan))
                continue
            arm.played.update(places)
            found.append(np.asarray(outcomes[at : at + len(places)] - self.clean[places]))
            at += len(places)
        return found

    async def texts(self, arm: _Arm, places: Sequence[int]) -> list[tuple[str, ...]] | None:
        """Return what an attack submits on some prompts; None, and the reason noted, where it cannot."""
        if arm.make is None:
            return None
        if arm.found is not None:
            frozen, fitted = arm.found
            frozen.check(fitted, [self.items[i].prompt for i in places])
        try:
            texts = await arm.make(places)
            wrong = next((turn for turns in texts for turn in turns if not isinstance(turn, str)), None)
            if wrong is not None:
                raise TypeError(f"it gave {type(wrong).__name__} instead of text")
        except BudgetSpent as error:
            self.failed(arm, str(error))
            return None
        except AuditkitError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a plugin raises must not take the other attacks along
            self.failed(arm, f"the attack failed: {printable(repr(error))}")
            return None
        if arm.refused and arm.refused == arm.record.model_calls:  # what is handed in then is the answer as it was
            self.failed(arm, "the attacker's model refused every request")
            return None
        return texts

    @staticmethod
    def failed(arm: _Arm, why: str) -> None:
        arm.note("not_measured", why)
        arm.make = None

    async def race(self, arms: Sequence[_Arm], count: Places, budget: int | None) -> int | None:
        """Spend calls where they decide, at most `budget`; return what is left of it."""
        settings = self.settings
        usable = count[~np.isnan(self.clean[count])]
        if not (len(usable) and arms):
            return budget
        per_prompt = max(self.arena.calls_for(self.arena.trials(self.items[i], self.items[i].own)) for i in usable)
        racing = Racing(
            len(arms), len(usable), alpha=1.0 - settings.level, tau=settings.tau, seed=settings.seed,
            budget=None if budget is None else budget // max(1, per_prompt),
        )  # fmt: skip
        while (batch := racing.next()) is not None:
            found = await self.play([(arms[k], usable[places]) for k, places in batch])
            for (k, _), values in zip(batch, found, strict=True):
                racing.tell(k, values)
        end = racing.result()
        why = "the budget is spent" if end.stopped == "budget" else "more would not have changed the grade"
        for arm in arms:
            if arm.make is not None and not arm.played:
                self.failed(arm, f"not played: {why}")
            elif arm.make is not None and len(arm.played) < len(usable):
                arm.note("stopped", f"stopped after {len(arm.played)} of {len(usable)} prompts: {why}")
        return None if budget is None else max(0, budget - end.played * per_prompt)

    async def judged(
        self, asked: Sequence[tuple[str, int, tuple[str, ...]]], *, sample: int = 0, missing: float = np.nan
    ) -> NDArray[np.float64]:
        """Have answers judged (variant, place, turns), keep every game, and return how each answer did."""
        outcomes, groups = await self.arena.outcomes(
            [(self.items[i], turns, sample) for _, i, turns in asked], missing=missing
        )
        for (variant, i, turns), judged in zip(asked, groups, strict=True):
            trials = self.arena.trials(self.items[i], turns, sample=sample)
            self.log(variant, self.items[i], turns, zip(trials, judged, strict=True))
        return outcomes

    def log(self, variant: str, item: Item, texts: tuple[str, ...], games: Iterable[tuple[Trial, Judged]]) -> None:
        prompt_id, other = item.prompt.id, OPPONENT if self.arena.judge.pairwise else ""
        if other and prompt_id not in self.met:
            self.met[prompt_id] = self.answered(prompt_id, other, item.opponent)
        met = self.met.get(prompt_id, -1)
        at = self.answered(prompt_id, self.carrier, texts)
        for trial, game in games:
            against = met + trial.turn - 1 if other else -1
            self.games.append((
                prompt_id, self.carrier, other, self.arena.judge.name, trial.order, game.verdict.label, game.outcome,
                game.verdict.weight, variant, trial.turn, item.gold, at + trial.turn - 1, against,
            ))  # fmt: skip

    def answered(self, prompt_id: str, model: str, texts: tuple[str, ...]) -> int:
        """Add the rows of an answer and return the first one's number."""
        at = len(self.answers)
        self.answers += [(prompt_id, model, turn, text, "", "", "") for turn, text in enumerate(texts, 1)]
        return at

    def recording(self, suite: Suite, arms: Sequence[_Arm], benchmark: Benchmark) -> Battles:
        prompts = [(p.id, p.text, p.category, p.cluster, p.language) for p in (item.prompt for item in self.items)]
        tally = self.arena.tally
        battles = Battles.build(
            replace(benchmark, baselines=frozenset({OPPONENT} if self.arena.judge.pairwise else ())),
            games=table(GAME_COLUMNS, self.games),
            answers=table(ANSWER_COLUMNS, self.answers),
            prompts=table(PROMPT_COLUMNS, prompts),
        )  # fmt: skip
        record = AttackSuite(
            suite.title, self.carrier, tuple(arm.record for arm in arms), self.settings.seed, self.settings.adaptive,
            self.arena.ties, self.arena.address.provider[0] == "simulated", suite.left_out, tally.calls,
            tally.tokens_in, tally.tokens_out, tally.usd, tally.unpriced,
        )  # fmt: skip
        return replace(battles, suite=record)


async def _crafted(
    craft: Callable[[Situation], str], play: _Play, attack: Attack, places: Sequence[int]
) -> list[tuple[str, ...]]:
    made = []
    for i in places:
        own = play.items[i].own
        if attack.replaces:
            turns = range(1, len(own) + 1)
        else:
            turns = range(1, 2) if attack.turn == "first" else range(len(own), len(own) + 1)
        texts = list(own)
        for turn in turns:
            texts[turn - 1] = craft(play.situation(attack, i, turn))
        made.append(tuple(texts))
    return made


def _record(attack: Attack) -> AttackArm:
    return AttackArm(
        attack.id, attack.title, attack.family, attack.source, attack.summary, attack.mend, attack.access, attack.gold,
        attack.control, drops=attack.drops,
    )  # fmt: skip
