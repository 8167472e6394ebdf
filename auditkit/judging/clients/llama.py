"""Run one model file inside the process: a pool of workers on llama.cpp's server engine, through xllamacpp.

Measured on 2 cores with a model of 135M parameters: threads that share one token wait for each other at several
hundred barriers, and on a machine that does anything else they fall from 100 tokens a second to below 5. So a small
model runs once on each core, in one thread each; the weights are mapped and exist once.

What a worker computes does not depend on what it computed before. A prompt's beginning that equals the beginning of
the worker's last prompt is not computed again, which changes nothing if, and only if:

* flash attention is off: its sums depend on how a prompt is cut into batches (0.2 in a log-probability);
* no token of a prompt is computed alone, as generated tokens are: one token takes another path than several.
"""

from __future__ import annotations

import os
import tempfile
import threading
from bisect import bisect
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from auditkit.errors import printable
from auditkit.judging.calls import BadResponse, Fatal, Rejected, Transient
from auditkit.judging.clients.gguf import Gguf

__all__ = ["Job", "Pool", "shared_length"]

_UBATCH: Final = 128  # measured best for one thread; each is a chance to stop
_SMALL: Final = 512 << 20  # bytes; a larger model's tokens are worth several threads
_LONGEST_CONTEXT: Final = 8192
_PATIENCE: Final = 32  # jobs that may pass one that waits

_native = threading.Lock()
"""Held while an engine starts or ends: llama.cpp keeps some of its state for the whole process."""


def shared_length(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _advance(text: str, own: str, others: list[str]) -> tuple[int, int]:
    """Return how much more of a text its beginning shares with `own` than with any of `others`, which are sorted, and
    how much with `own`.
    """
    at, mine = bisect(others, text), shared_length(text, own)
    # The longest common beginning is with a neighbour in the order.
    return mine - max((shared_length(text, other) for other in others[max(0, at - 1) : at + 1]), default=0), mine


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(eq=False)
class Job:
    """One call: the body in llama.cpp's terms, and the prompt as text, to find what two prompts share."""

    body: Mapping[str, Any]
    text: str
    seconds: float
    future: Future[dict[str, Any]] = field(default_factory=Future)
    stopped: threading.Event = field(default_factory=threading.Event)
    passed: int = 0


class Pool:
    """Workers that share a queue of jobs. They start when there is work for them, and end with `close`.

    Args:
        model: The file's head.
        where: The model's name, for messages.
    """

    def __init__(self, model: Gguf, where: str) -> None:
        small = model.size <= _SMALL
        self.workers = cores() if small else 1
        self._threads = 1 if small else cores()
        self._model = model
        self._where = where
        self._context = min(model.context or _LONGEST_CONTEXT, _LONGEST_CONTEXT)
        self._waiting: list[Job] = []
        self._running: set[Job] = set()
        self._team: list[threading.Thread] = []
        self._idle = 0
        self._held: dict[threading.Thread, str] = {}  # the prompt that each worker computes or computed last
        self._closed = False
        self._changed = threading.Condition()

    def submit(self, job: Job) -> None:
        """Queue a job; its future gets the reply, in the shape of an OpenAI chat completion."""
        with self._changed:
            if self._closed:
                raise Fatal(f"{self._where}: the client is closed")
            self._waiting.append(job)
            if self._idle < len(self._waiting) and len(self._team) < self.workers:
                # A daemon: an interpreter that ends without `close` must not wait for a generation.
                thread = threading.Thread(target=self._serve, name=f"{self._where} {len(self._team)}", daemon=True)
                self._team.append(thread)
                thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Stop what is under way, end the workers and free the model. Blocks for a moment; may be called twice."""
        with self._changed:
            self._closed = True
            for job in (*self._waiting, *self._running):
                job.stopped.set()
            self._changed.notify_all()
        for thread in self._team:
            thread.join()

    # --- one worker ---------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        engine: _Engine | None = None
        while (job := self._next("" if engine is None else engine.last)) is not None:
            try:
                if engine is None:
                    engine = _Engine(self._model, self._context, self._threads, self._where)
                reply = engine.answer(job)
            except Exception as error:  # noqa: BLE001  it is the caller's: a worker outlives any job
                job.future.set_exception(error)
            else:
                job.future.set_result(reply)
            finally:
                with self._changed:
                    self._running.discard(job)
        if engine is not None:
            engine.close()

    def _next(self, last: str) -> Job | None:
        """Take the job that this worker has most of in advance of the others, unless one has waited for too long.

        What another worker holds more of is left to it, so that two do not both compute what prompts share.
        """
        me = threading.current_thread()
        with self._changed:
            while True:
                self._waiting = [job for job in self._waiting if not job.stopped.is_set()]
                if self._closed:
                    return None
                others = sorted(text for worker, text in self._held.items() if worker is not me)
                while self._waiting:
                    best = next((j for j in self._waiting if j.passed >= _PATIENCE), None)
                    best = best or max(self._waiting, key=lambda j: _advance(j.text, last, others))
                    for job in self._waiting[: self._waiting.index(best)]:
                        job.passed += 1
                    self._waiting.remove(best)
                    if best.future.set_running_or_notify_cancel():
                        self._running.add(best)
                        self._held[me] = best.text
                        return best
                self._idle += 1
                self._changed.wait()
                self._idle -= 1


class _Engine:
    """One model in memory with one sequence; used from one thread at a time."""

    def __init__(self, model: Gguf, context: int, threads: int, where: str) -> None:
        self._where = where
        self.last = ""
        with _native:
            self._server = _start(model, context, threads, where)
        try:
            # The engine never ends if it is told to before its loop runs: a first answer shows that it does.
            self._ask({"messages": [{"role": "user", "content": "."}], "max_tokens": 1, "cache_prompt": False})
        except (Rejected, Transient) as error:
            raise Fatal(f"{where}: {model.path} does not answer: {error}") from error

    def close(self) -> None:
        """Free the model."""
        with _native:
            del self._server

    def answer(self, job: Job) -> dict[str, Any]:
        """Answer one job.

        Raises:
            CallError: As in `Client.complete`.
        """
        deadline = monotonic() + job.seconds

        def over() -> bool:
            return job.stopped.is_set() or monotonic() > deadline

        # Reused are only tokens of the last prompt, not those that were generated after it; and never all but one.
        reuse = shared_length(job.text, self.last) < len(self.last)
        self.last = ""
        reply = self._ask({**job.body, "cache_prompt": reuse}, over)
        self.last = job.text
        if not reply["choices"][0].get("finish_reason"):
            if job.stopped.is_set():
                raise Transient(f"{self._where}: stopped")
            if monotonic() > deadline:
                raise Transient(f"{self._where}: no answer within {job.seconds:g} s")
            raise BadResponse(f"{self._where}: the answer ended early")
        return reply

    def _ask(self, body: Mapping[str, Any], over: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        said = _Said(over)
        sent = {**body, "stream": True, "stream_options": {"include_usage": True}, "return_progress": True}
        try:
            self._server.handle_chat_completions(sent, said)
        except (RuntimeError, ValueError) as error:
            raise Rejected(f"{self._where}: request refused: {printable(error)}") from error
        if said.broken is not None:
            raise said.broken
        if said.error is not None:
            raise _refusal(said.error, self._where)
        return said.reply()


def _refusal(error: Mapping[str, Any], where: str) -> Rejected | Transient:
    if error.get("type") == "exceed_context_size_error":
        asked, most = error.get("n_prompt_tokens"), error.get("n_ctx")
        return Rejected(
            f"{where}: a prompt of {asked} tokens, longer than the model's context of {most} "
            "(shorten it, or use a model with a longer context)"
        )
    words = printable(error.get("message", "no reason given"))
    if error.get("type") in ("invalid_request_error", "not_supported_error"):
        return Rejected(f"{where}: request refused: {words}")
    return Transient(f"{where}: the engine failed: {words}")


class _Said:
    """Puts a streamed reply together. Called by the engine with every piece; returns whether it may stop."""

    def __init__(self, over: Callable[[], bool]) -> None:
        self._over = over
        self._text: list[str] = []
        self._trace: list[str] = []
        self._tokens: list[Any] = []
        self._finish: str | None = None
        self._usage: Any = None
        self.error: Mapping[str, Any] | None = None
        self.broken: Exception | None = None

    def __call__(self, piece: Any) -> bool:
        try:
            self._add(piece)
        except Exception as error:  # noqa: BLE001  the engine swallows it: it is raised again when the call returns
            self.broken = error
            return True
        return self._over()

    def _add(self, piece: Any) -> None:
        if "error" in piece:
            self.error = piece["error"]
            return
        self._usage = piece.get("usage") or self._usage
        for choice in piece.get("choices", ()):
            delta = choice.get("delta") or {}
            self._text.append(delta.get("content") or "")
            self._trace.append(delta.get("reasoning_content") or "")
            self._tokens += (choice.get("logprobs") or {}).get("content") or ()
            self._finish = choice.get("finish_reason") or self._finish

    def reply(self) -> dict[str, Any]:
        """Return the whole, in the shape of an OpenAI chat completion."""
        message = {"content": "".join(self._text), "reasoning_content": "".join(self._trace)}
        logprobs = {"content": self._tokens} if self._tokens else None
        return {
            "choices": [{"message": message, "finish_reason": self._finish, "logprobs": logprobs}],
            "usage": self._usage,
        }


def _start(model: Gguf, context: int, threads: int, where: str) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model.path)
    params.n_ctx, params.n_ubatch, params.n_parallel = context, _UBATCH, 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cache_ram_mib = 0  # prompts come in an order that needs no more than the last one
    params.fit_params = params.warmup = params.ui = False
    params.offline = True
    params.verbosity = -1
    try:
        # The engine insists on listening somewhere: on a socket that nobody but us could open, and gone at once.
        with tempfile.TemporaryDirectory(prefix="auditkit-") as folder:
            params.hostnames = [os.path.join(folder, "s.sock")]  # noqa: PTH118  text, not a path
            return xllamacpp.Server(params)
    except (RuntimeError, ValueError, OSError) as error:
        raise Fatal(
            f"{where}: {model.path} could not be loaded: {printable(error)} (is the file whole, and is there memory?)"
        ) from error
