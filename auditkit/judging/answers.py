"""Generate answers: every model that has none recorded is asked every prompt, turn by turn, and its answers are stored.

Reasoning traces are kept apart from the answers, whether the provider returns them so or the text begins with one; a
trace is never shown to the model again in a later turn, nor to a judge.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from auditkit.judging.asking import Address, Asker, Ready, looked_up
from auditkit.judging.calls import Completion, Json, Message, Rejected, Request, Transient
from auditkit.judging.engine import Streak, workers_for
from auditkit.judging.inputs import Answer, Prompt
from auditkit.judging.pool import work_through
from auditkit.judging.store import Answer as StoredAnswer
from auditkit.judging.store import Store
from auditkit.text import split_trace

__all__ = ["Generated", "Writer", "first_request", "generate", "stored_answers"]


@dataclass(frozen=True)
class Writer:
    """A model that writes answers: its name in the report, and how it is asked."""

    name: str
    address: Address
    system: str = ""
    params: Mapping[str, Json] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Hash (hex) of what decides its answers, the prompts aside."""
        body = json.dumps([self.address.model, self.system, dict(self.params)], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest()


@dataclass
class Generated:
    """What was generated.

    Attributes:
        answers: Answer by model and prompt id.
        failed: Answers that were given up for now.
        rejected: ``(prompt id, model, reason)`` of those that the provider will never give.
    """

    answers: dict[str, dict[str, Answer]] = field(default_factory=dict)
    failed: int = 0
    rejected: list[tuple[str, str, str]] = field(default_factory=list)


def first_request(writer: Writer, prompt: Prompt) -> Request:
    """Return the request for the answer to a prompt's first turn."""
    return _request(writer, prompt, ())


def _request(writer: Writer, prompt: Prompt, said: Sequence[str]) -> Request:
    messages = [Message("system", writer.system)] if writer.system else []
    messages += prompt.history
    for turn, text in enumerate(said):
        messages += [Message("user", prompt.turns[turn]), Message("assistant", text)]
    messages.append(Message("user", prompt.turns[len(said)]))
    return Request(writer.address.model, tuple(messages), dict(writer.params))


@dataclass(frozen=True)
class _Job:
    writer: Writer
    prompt: Prompt


async def generate(writers: Sequence[Writer], prompts: Sequence[Prompt], asker: Asker, *, run: str) -> Generated:
    """Generate the answers of `writers` to `prompts`, those that are stored at no cost.

    Args:
        writers: Whom to ask.
        prompts: What to ask.
        asker: Whom to ask through.
        run: The store's name of the run that the answers belong to.

    Returns:
        The answers, also where the run was halted: look at ``asker.halt``.
    """
    workshop = _Workshop(asker, run)
    asker.meter.begin("answers", len(writers) * len(prompts), 0)
    await work_through(
        looked_up(_work(writers, prompts), asker),
        workshop.write,
        workers=workers_for(asker.settings.concurrency),
        halt=asker.halt,
    )
    asker.meter.tell()
    made = workshop.made
    # In the benchmark's order, whichever came first.
    for writer in writers:
        own = made.answers.get(writer.name, {})
        made.answers[writer.name] = {prompt.id: own[prompt.id] for prompt in prompts if prompt.id in own}
    return made


def _work(writers: Sequence[Writer], prompts: Sequence[Prompt]) -> Iterator[tuple[_Job, tuple[Request, ...]]]:
    for writer in writers:
        for prompt in prompts:
            yield _Job(writer, prompt), (first_request(writer, prompt),)


class _Workshop:
    """One start of a run's answers."""

    def __init__(self, asker: Asker, run: str) -> None:
        self._asker = asker
        self._run = run
        self._streak = Streak(2 * asker.settings.concurrency + 4)
        self.made = Generated()

    async def write(self, ready: Ready[_Job]) -> None:
        """Write one answer and store it; count it if a call failed."""
        job, meter = ready.item, self._asker.meter
        try:
            parts = await self._turns(ready)
        except Rejected as error:
            self.made.rejected.append((job.prompt.id, job.writer.name, str(error)))
            meter.done, meter.note = meter.done + 1, str(error)
            meter.tell()
            self._streak.failure(error)
            return
        except Transient as error:
            self.made.failed += 1
            meter.failed, meter.note = self.made.failed, str(error)
            meter.tell()
            self._streak.failure(error)
            return
        self._streak.success()
        await self._asker.writer.put_answers(self._run, parts)
        self.made.answers.setdefault(job.writer.name, {})[job.prompt.id] = _whole(parts)
        meter.done += 1
        meter.tell()

    async def _turns(self, ready: Ready[_Job]) -> list[StoredAnswer]:
        job, request = ready.item, ready.requests[0]
        parts: list[StoredAnswer] = []
        for turn in range(1, len(job.prompt.turns) + 1):
            completion = ready.found.stored.get(request.key)
            if completion is None:
                granted = request.key in ready.found.granted
                completion = await self._asker.ask(request, job.writer.address, granted=granted)
            parts.append(_part(job, turn, request, completion))
            if turn < len(job.prompt.turns):
                request = _request(job.writer, job.prompt, [part.text for part in parts])
        return parts


def stored_answers(writer: Writer, prompts: Sequence[Prompt], store: Store) -> dict[str, Answer]:
    """Return the answers of `writer` whose every turn is stored, by prompt id: `generate` would ask nobody for these."""
    parts: dict[str, list[StoredAnswer]] = {prompt.id: [] for prompt in prompts}
    left = list(prompts)
    while left:
        requests = [_request(writer, prompt, [part.text for part in parts[prompt.id]]) for prompt in left]
        stored = store.completions(request.key for request in requests)
        further = []
        for prompt, request in zip(left, requests, strict=True):
            completion, said = stored.get(request.key), parts[prompt.id]
            if completion is not None:
                said.append(_part(_Job(writer, prompt), len(said) + 1, request, completion))
                if len(said) < len(prompt.turns):
                    further.append(prompt)
        left = further
    return {prompt.id: _whole(parts[prompt.id]) for prompt in prompts if len(parts[prompt.id]) == len(prompt.turns)}


def _whole(parts: Sequence[StoredAnswer]) -> Answer:
    return Answer(
        tuple(part.text for part in parts), "\n".join(part.trace for part in parts if part.trace), parts[-1].finish
    )


def _part(job: _Job, turn: int, request: Request, completion: Completion) -> StoredAnswer:
    text, trace = split_trace(completion.text)
    return StoredAnswer(
        job.prompt.id, job.writer.name, text, turn, "\n".join(filter(None, (completion.trace, trace))),
        completion.finish, request.key, completion.usage.tokens_out,
    )  # fmt: skip
