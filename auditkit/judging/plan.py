"""Which games a run has, in which order they are played, and what each asks the judge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from auditkit.errors import InputError, printable
from auditkit.judging.calls import Request
from auditkit.judging.inputs import Answer, Prompt
from auditkit.judging.nonces import nonce_of
from auditkit.judging.protocol import Planned, games_for
from auditkit.judging.render import pick_template
from auditkit.judging.spec import JudgeSpec
from auditkit.judging.store import game_key, rating_key
from auditkit.judging.verdicts import request_for
from auditkit.records import Order

__all__ = ["Contest", "Task", "plan", "prompts_of"]


@dataclass(frozen=True, slots=True)
class Task:
    """One game (or one rating, where the judge sees one answer) to play; `items` are what is asked about in turn."""

    prompt: Prompt
    model: str
    opponent: str
    order: Order
    turn: int
    sample: int
    items: tuple[int | None, ...]

    def key(self, judge: str) -> str:
        """Return what identifies it within a run (`auditkit.judging.store`)."""
        if not self.opponent:
            return rating_key(judge, self.prompt.id, self.model, turn=self.turn, sample=self.sample)
        return game_key(
            judge, self.prompt.id, self.model, self.opponent, self.order, turn=self.turn, sample=self.sample
        )


@dataclass(frozen=True)
class Contest:
    """A judge, prompts, and the answers to them.

    Attributes:
        judge: The judge, with the parameters and the order policy that this run uses.
        judge_model: ``client/model``.
        prompts: The whole benchmark, in its own order.
        models: The models that are judged.
        baselines: Model by category, ``*`` for any other; empty where one answer is judged at a time.
        answers: Answer by model and prompt id.
        repeats: How often each game is played.
        key: The run's secret, for a judge that fences with a nonce; None: none.
    """

    judge: JudgeSpec
    judge_model: str
    prompts: tuple[Prompt, ...]
    models: tuple[str, ...]
    baselines: Mapping[str, str]
    answers: Mapping[str, Mapping[str, Answer]]
    repeats: int = 1
    key: bytes | None = field(default=None, repr=False)

    @cached_property
    def judge_name(self) -> str:
        """The judge's name in tables: protocol and model."""
        return f"{self.judge.name} ({self.judge_model})"

    @cached_property
    def judge_sha256(self) -> str:
        """Hash (hex) of everything about the judge that decides a verdict."""
        body = json.dumps([self.judge.sha256, self.judge_model], separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest()

    def baseline(self, prompt: Prompt) -> str:
        """Return whom the models meet on a prompt, "" where nobody."""
        return self.baselines.get(prompt.category, self.baselines.get("*", ""))

    def fingerprint(self, model: str) -> str:
        """Hash (hex) of what decides the games of one model: judge, prompts, its answers and its opponents'.

        A file that was changed gives another fingerprint: no game of the old one is taken for one of the new.
        """
        known = self._fingerprints
        if model not in known:
            own = self.answers.get(model, {})
            said = (own[p.id].sha256 if p.id in own else "" for p in self.prompts)
            body = json.dumps([self._asked, model, list(said)])
            known[model] = hashlib.sha256(body.encode()).hexdigest()
        return known[model]

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        return {}

    @cached_property
    def _asked(self) -> str:
        """Hash of the judge, the prompts and the opponents' answers."""
        asked = []
        for prompt in self.prompts:
            opponent = self.baseline(prompt)
            answer = self.answers.get(opponent, {}).get(prompt.id)
            asked.append([prompt.id, prompt.sha256, opponent, "" if answer is None else answer.sha256])
        return hashlib.sha256(json.dumps([self.judge_sha256, asked]).encode()).hexdigest()

    def check(self) -> None:
        """Check that the judge has what it needs on every prompt, before anything is spent.

        Raises:
            InputError: A category without a baseline, or a prompt that does not fit the judge.
        """
        seen: set[tuple[object, ...]] = set()
        for prompt in self.prompts:
            kind = (len(prompt.turns), prompt.category, bool(prompt.reference), len(prompt.checklist) > 0)
            if kind in seen:
                continue
            seen.add(kind)
            where = f"prompt {printable(prompt.id, 60)!r}"
            try:
                for turn in {planned.turn for planned in self.calls(prompt, 0)}:
                    pick_template(self.judge, turns=turn, category=prompt.category, reference=bool(prompt.reference))
            except InputError as error:
                raise InputError(
                    error.problem, record=where, mend="choose another judge, or complete the prompt"
                ) from error
            if self.judge.mode == "checklist" and not (prompt.checklist or self.judge.items):
                raise InputError(f"judge {self.judge.name} needs a checklist", record=where)
            if self.judge.pairwise and not self.baseline(prompt):
                raise InputError(
                    f"no baseline for category {printable(prompt.category, 60)!r}", record=where,
                    mend='name one in the spec: baseline = "…" in [benchmark]',
                )  # fmt: skip

    def calls(self, prompt: Prompt, place: int) -> tuple[Planned, ...]:
        """Return every call that one model's answer to a prompt takes; `place` is the prompt's in the benchmark."""
        return games_for(self.judge, prompt.turns, checklist=prompt.checklist, index=place)

    def texts(self, task: Task) -> list[tuple[str, ...]]:
        """Return the answers that a game is about, the model's first, up to the turn that is judged."""
        names = (task.model, task.opponent) if task.opponent else (task.model,)
        return [self.answers[name][task.prompt.id].turns[: task.turn] for name in names]

    def request(self, task: Task, item: int | None) -> Request:
        """Render the first call of a game, about one item if the judge goes through a list.

        Raises:
            InputError: The prompt does not fit the judge.
        """
        return request_for(
            self.judge, self.judge_model, task.prompt, self.texts(task), task.order, turn=task.turn, item=item,
            sample=task.sample, nonce=self.nonce(task.prompt),
        )  # fmt: skip

    def nonce(self, prompt: Prompt) -> str | None:
        """Return what fences a prompt; None where nothing does, or where nobody is asked yet (a forecast has no key)."""
        return None if self.key is None else nonce_of(self.judge, self.key, prompt.turns)


def prompts_of(contest: Contest, limit: int | None = None, only: Sequence[str] = ()) -> Iterator[tuple[int, Prompt]]:
    """Yield the prompts of a plan, each with its place in the benchmark."""
    wanted = {name for name in only if name not in contest.models}
    for place, prompt in enumerate(contest.prompts[:limit]):
        if not wanted or prompt.category in wanted:
            yield place, prompt


def plan(
    contest: Contest, *, limit: int | None = None, only: Sequence[str] = (), missing: set[tuple[str, str]] | None = None
) -> Iterator[Task]:
    """Yield every game, prompt by prompt, so that calls that follow each other share their beginning.

    Within a prompt the judge's instructions, the question and, where the baseline is shown first, the first answer
    stay the same from model to model: a local model computes them once, and providers cache them.

    Args:
        contest: Who meets whom.
        limit: Only the first so many prompts.
        only: Only these models, only these categories; empty: all.
        missing: Filled with ``(prompt id, model)`` of the answers that games lack.
    """
    named = [model for model in contest.models if model in only]
    for place, prompt in prompts_of(contest, limit, only):
        opponent = contest.baseline(prompt)
        present = []
        for model in named or contest.models:
            lacking = [n for n in (model, opponent) if n and prompt.id not in contest.answers.get(n, {})]
            if not lacking:
                present.append(model)
            elif missing is not None:
                missing.update((prompt.id, name) for name in lacking)
        games: dict[tuple[int, Order], list[int | None]] = {}
        for planned in contest.calls(prompt, place):
            games.setdefault((planned.turn, planned.order), []).append(planned.item)
        for (turn, order), items in games.items():
            for model in present:
                for sample in range(contest.repeats):
                    yield Task(prompt, model, opponent, order, turn, sample, tuple(items))
