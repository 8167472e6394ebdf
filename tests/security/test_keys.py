"""A key in the environment is in nothing that a run leaves, also where the server says it back."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

CANARY = "sk-canary-7f3a9c51d2e84b60a1b2c3d4e5f60718"
PASSWORD = "hunter2canarypassword"  # noqa: S105  a canary


class _Handler(BaseHTTPRequestHandler):
    """Answers as its server is told: a verdict that repeats the key, or an error that does."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = self.headers.get("Authorization", "")
        self.server.seen.append(said)  # type: ignore[attr-defined]
        echo = f"{said} {self.path}"
        how = self.server.how  # type: ignore[attr-defined]
        if how == "completion":
            body: dict[str, Any] = {
                "model": f"served {echo}", "usage": {"prompt_tokens": 5, "completion_tokens": 3},
                "choices": [{"index": 0, "message": {"role": "assistant", "content": f"My key is {echo}.\n[[A>B]]"}, "finish_reason": "stop"}],
            }  # fmt: skip
            status = 200
        else:
            status = {"refused": 401, "rejected": 400, "broken": 500}[how]
            body = {"error": {"message": f"bad key {echo}", "code": said, "type": echo}}
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Echo", said)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        pass


class _Server(ThreadingHTTPServer):
    """One that takes all connections at once."""

    request_queue_size = 128
    daemon_threads = True


@pytest.fixture
def echo() -> Iterator[Any]:
    """A server that says every key back, on the loopback interface."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.seen, server.how = [], "completion"  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def _spec(folder: Path, url: str, patience: float = 0.2) -> Path:
    for name, records in {
        "question": [{"uid": f"q{k}", "category": "x", "prompt": f"Question {k}?"} for k in range(4)],
        "cand": [{"uid": f"q{k}", "model": "cand", "answer": f"c {k}"} for k in range(4)],
        "base": [{"uid": f"q{k}", "model": "base", "answer": f"b {k}"} for k in range(4)],
    }.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    path = folder / "audit.toml"
    path.write_text(
        '[benchmark]\npath = "question.jsonl"\nbaseline = "base.jsonl"\n[[models]]\nname = "cand"\nanswers = "cand.jsonl"\n'
        f'[judge]\nuse = "arena-hard-v2.0"\nmodel = "openai/judge"\nbase_url = {json.dumps(url)}\n[run]\nretry_total = {patience}\n'
    )
    return path


def _found(folder: Path, texts: list[bytes], secrets: tuple[str, ...]) -> list[str]:
    """Return where a secret stands, in any usual spelling: files, their write-ahead logs, outputs."""
    spelled = {
        s
        for secret in secrets
        for s in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")[:-1])
    }
    held = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".env"}
    held |= {f"output {k}": text for k, text in enumerate(texts)}
    return [name for name, data in held.items() for secret in spelled if secret.encode() in data]


@pytest.mark.parametrize(
    ("how", "model"),
    [
        *((how, "openai/judge") for how in ("completion", "refused", "rejected", "broken")),
        ("completion", "litellm/openai/judge"),
    ],
)
def test_a_key_that_the_server_says_back_is_nowhere(
    how: str, model: str, echo: Any, tmp_path: Path, processes: Callable[..., Any]
) -> None:
    """Files, store and its log, report, certificate, outputs, also with AUDITKIT_DEBUG: none holds the key."""
    echo.how = how
    (tmp_path / ".env").write_text(f"OPENAI_API_KEY={CANARY}\n")
    spec = _spec(tmp_path, f"http://127.0.0.1:{echo.server_port}/v1", 30.0 if how == "completion" else 0.2)
    spec.write_text(spec.read_text().replace("openai/judge", model))
    run = tmp_path / "run"
    jobs: list[tuple[object, ...]] = [("run", spec, "--out", run), ("run", spec, "--out", run, "--json")]
    if how == "completion":
        jobs += [
            ("audit", run, "--out", tmp_path / "report", "--replicates", 50), ("certify", run, "--out", tmp_path / "c", "--replicates", 50, "--json"),
        ]  # fmt: skip
    ended = processes(jobs, cwd=tmp_path, OPENAI_API_KEY=CANARY, AUDITKIT_DEBUG="1", OPENAI_LOG="debug")
    assert any(CANARY in said for said in echo.seen), "the key was never used: nothing is shown"
    texts = [e.out + e.err for e in ended]
    if how == "completion":
        assert ended[0].code == 0, texts
        assert (run / "store.sqlite").exists()
    assert _found(tmp_path, texts, (CANARY,)) == []


@pytest.mark.parametrize("place", ["user", "query", "field", "header"])
def test_a_key_in_a_spec_is_refused_and_not_repeated(place: str, tmp_path: Path, processes: Callable[..., Any]) -> None:
    """An address or a field with a secret is an error that names the field and does not say the secret."""
    url = {
        "user": f"http://me:{PASSWORD}@127.0.0.1:9/v1", "query": f"http://127.0.0.1:9/v1?api_key={CANARY}",
    }.get(place, "http://127.0.0.1:9/v1")  # fmt: skip
    spec = _spec(tmp_path, url)
    more = {
        "field": f'api_key = "{CANARY}"\n',
        "header": f'params = {{ headers = {{ Authorization = "Bearer {CANARY}" }} }}\n',
    }
    spec.write_text(spec.read_text().replace("[run]", more.get(place, "") + "[run]"))
    (ended,) = processes([("run", spec, "--out", tmp_path / "run")], cwd=tmp_path)
    spec.unlink()
    assert ended.code == 2, ended.text
    assert _found(tmp_path, [ended.out + ended.err], (CANARY, PASSWORD)) == []


def test_the_search_finds_a_key(tmp_path: Path) -> None:
    """In a file, in a log, spelled as an address or as base64: the tests above can fail."""
    (tmp_path / "a.sqlite-wal").write_bytes(b"\x00" + CANARY.encode())
    encoded = base64.b64encode(CANARY.encode())
    found = _found(tmp_path, [encoded, quote(CANARY).encode(), b"nothing"], (CANARY,))
    assert set(found) == {"a.sqlite-wal", "output 0", "output 1"}
