"""What the tests of a build start from: the planted pool of the scale measurement, and a loopback annotator."""

from __future__ import annotations

import importlib.util
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["Annotator", "annotator", "met_by", "planted", "write_pool"]

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"\A<user_prompt-([0-9a-f]{16})>\n(.*)\n</user_prompt-\1>\Z", re.DOTALL)


def planted() -> Any:
    """Return bench/pool.py, which makes pools with planted topics and duplicates."""
    spec = importlib.util.spec_from_file_location("planted_pool", ROOT / "bench" / "pool.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_pool(path: Path, records: list[Any]) -> Path:
    """Write records as JSON Lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def met_by(text: str, strict: bool = False) -> list[int]:
    """Return the criteria that the loopback annotator says a prompt meets: by its length and a word in it."""
    return [1, 2, 3, 4, 6, 7][: 5 if strict and len(text) % 5 == 0 else 6] if "must" in text else [1, len(text) % 6 + 2]


@dataclass
class Annotator:
    """A chat server that reads the fenced prompt and lists criteria; `seen`: the bodies of the requests."""

    port: int = 0
    seen: list[dict[str, Any]] = field(default_factory=list)
    latency: float = 0.0
    reply: Callable[[dict[str, Any], str], str] | None = None

    @property
    def url(self) -> str:
        """The base URL, as a client wants it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, body: dict[str, Any]) -> str:
        """Say what the prompt between the tags meets."""
        match = _FENCE.match(body["messages"][1]["content"])
        text = match[2] if match else ""
        if self.reply is not None:
            return self.reply(body, text)
        return str(met_by(text, strict=body["model"] == "strong"))


class _Server(ThreadingHTTPServer):
    """Takes as many connections at once as a client opens: with the usual five, the others are let wait for seconds."""

    request_queue_size = 256


@contextmanager
def annotator() -> Iterator[Annotator]:
    """Serve an annotator on the loopback interface."""
    state = Annotator()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.seen.append(body)
            time.sleep(state.latency)
            if self.path.endswith("/embeddings"):
                vectors = [[float(len(t) % 7), float(t.count("a")), 1.0] for t in body["input"]]
                data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
                said: dict[str, Any] = {
                    "object": "list",
                    "data": data,
                    "model": "m",
                    "usage": {"prompt_tokens": 1, "total_tokens": 1},
                }
            else:
                message = {"role": "assistant", "content": state.answer(body)}
                said = {
                    "id": "x", "object": "chat.completion", "created": 1, "model": body["model"],
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107},
                }  # fmt: skip
            data_out = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data_out)))
            self.end_headers()
            self.wfile.write(data_out)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the parent's name
            return

    with _Server(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def priced(url: str, cost: float) -> type:
    """Return a class of clients that ask the server at `url`; each call costs so many US dollars."""
    from auditkit.judging.clients import client_for

    class Priced:
        def __init__(self, model: str, **more: Any) -> None:
            self._client = client_for(model, base_url=url)

        async def complete(self, request: Any) -> Any:
            return replace(await self._client.complete(request), cost=cost)

        async def close(self) -> None:
            await self._client.close()

    return Priced
