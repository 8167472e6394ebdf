"""What the tests of the threat model share: the payloads, hostile recordings, and command lines run in-process."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from click.testing import CliRunner, Result

from auditkit.cli import main

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def payloads() -> SimpleNamespace:
    """The module `payloads.py`: `corpus`, `markup`, `FORMULAS`, `TEMPLATES`, `TERMINAL`, `UNICODE`."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("payloads.py"))))


@pytest.fixture(scope="session")
def corpus(payloads: SimpleNamespace) -> tuple[str, ...]:
    """Every payload once."""
    return tuple(payloads.corpus())


@pytest.fixture(scope="session")
def command() -> Run:
    """A function that runs a command line in this process; no traceback, and no internal error."""

    def run(*args: object, **env: str) -> Result:
        result = CliRunner().invoke(main, [str(a) for a in args], env=env)
        assert "Traceback" not in result.output, result.output
        assert "internal error" not in result.output, result.output
        return result

    return run


@pytest.fixture(scope="session")
def poison() -> Callable[..., Any]:
    """A function that puts payloads into every free text of a record, however deep (see `_poison`)."""
    return _poison


def _poison(record: Any, texts: Iterator[str]) -> Any:
    """Return `record` with each text that may be anything replaced by the next payload of `texts`, which never end.

    Fields whose type allows certain words only (a verdict, a status) keep theirs; keys of mappings are texts too.
    """

    def changed(value: Any, kind: Any) -> Any:
        origin = get_origin(kind)
        if kind is str or (kind in (Any, object) and isinstance(value, str)):
            return next(texts)
        if is_dataclass(value) and not isinstance(value, type):
            hints = get_type_hints(type(value))
            return type(value)(**{f.name: changed(getattr(value, f.name), hints[f.name]) for f in fields(value)})
        if origin in (Union, types.UnionType):
            inner = [k for k in get_args(kind) if k is not type(None)]
            return value if value is None else changed(value, inner[0] if len(inner) == 1 else Any)
        if isinstance(value, Mapping):
            key, inner = get_args(kind) or (Any, Any)
            return {next(texts) if key is str and inner is not Any else k: changed(v, inner) for k, v in value.items()}
        if isinstance(value, tuple | list):
            arguments = [a for a in get_args(kind) if a is not Ellipsis]
            kinds = arguments if len(arguments) == len(value) else [*arguments[:1], *[Any] * len(value)]
            every = Ellipsis in get_args(kind) or isinstance(value, list)
            return type(value)(
                changed(v, (kinds[0] if kinds else Any) if every else kinds[i]) for i, v in enumerate(value)
            )
        return value

    return changed(record, type(record))


@pytest.fixture(scope="session")
def hostile_pairs(corpus: tuple[str, ...]) -> Callable[..., Path]:
    """A function that writes a recording of pairs in which every text is a payload (see `_pairs`)."""

    def write(path: Path, models: int = 16, prompts: int = 36, names: tuple[str, ...] = corpus) -> Path:
        return _pairs(path, corpus, names, models, prompts)

    return write


def _usable(texts: tuple[str, ...]) -> Iterator[str]:
    """Yield texts that can be names: none that is empty or that only becomes distinct by what no file can hold."""
    seen = set()
    for text in texts:
        clean = text.encode("utf-8", "replace").decode()
        if text.strip() and len(text) < 2000 and clean not in seen:
            seen.add(clean)
            yield text


def _pairs(path: Path, corpus: tuple[str, ...], names: tuple[str, ...], models: int, prompts: int) -> Path:
    """Write pairs of `models` named after payloads with one opponent on `prompts` prompts; answers go through all."""
    known = list(dict.fromkeys(_usable(names)))
    step = max(len(known) // (models + 1), 1)
    opponent, *rivals = known[::step][: models + 1]
    texts = cycle(corpus)
    rows = []
    for k in range(prompts):
        base = next(texts)
        for model in rivals:
            row = {
                "prompt_id": f"{k}{known[k % len(known)]}", "prompt": f"{k} {known[(7 * k) % len(known)]}", "model": model,
                "opponent": opponent, "answer": next(texts), "opponent_answer": f"{base} {k}", "judge": known[3],
                "outcome": float((k + len(model)) % 3 > 0), "category": known[k % 5], "cluster": known[5 + k % 3],
                "language": known[9], "label": known[k % len(known)], "order": ("model_first", "model_second")[k % 2],
            }  # fmt: skip
            rows.append(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Ended:
    """What a process of a command line left: exit code, both outputs as they were written, peak memory in MiB."""

    code: int
    out: bytes
    err: bytes
    peak: int

    @property
    def text(self) -> str:
        """Both outputs, which are UTF-8."""
        return (self.out + self.err).decode("utf-8")


@pytest.fixture(scope="session")
def processes() -> Iterator[Callable[..., list[Ended]]]:
    """A function that runs command lines, each in a process of its own (see `cli_child.py`)."""
    script = str(Path(__file__).with_name("cli_child.py"))
    with subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        sent, answered = parent.stdin, parent.stdout

        def run(jobs: Sequence[Sequence[object]], cwd: Path | None = None, **env: str) -> list[Ended]:
            found = []
            for args in jobs:
                job = {"args": [str(a) for a in args], "env": env, "cwd": str(cwd or "")}
                sent.write(json.dumps(job).encode() + b"\n")
                sent.flush()
                code, out, err, peak = json.loads(answered.readline())
                found.append(Ended(code, bytes.fromhex(out), bytes.fromhex(err), peak))
            return found

        yield run
        sent.close()


@pytest.fixture(scope="session")
def sample() -> SimpleNamespace:
    """The module `tests/reports/sample.py`: `report`, `submission`, `attacked`, `field` …"""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "reports" / "sample.py")))
