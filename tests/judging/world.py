"""A small benchmark with recorded answers, a judge on the loopback interface with planted tastes, and a way to start
runs in processes of their own. A pytest plugin, like `postgres_server`.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

__all__ = ["Command", "Runner", "World", "planted", "run_parent", "runner", "world"]

_CHILD = Path(__file__).with_name("run_child.py")
_ASKED = re.compile(r"Question number (\d+)")


def planted(
    server: Any, *, win: float = 0.5, first: float = 0.0, silent: float = 0.0, latency: float = 0.0, seed: int = 0
) -> Any:
    """Return a server's behaviour: a judge whose tastes are known.

    Args:
        server: The fixture `server`.
        win: Probability that ``cand`` is better than ``base``, drawn once a prompt and the same in both orders.
        first: Probability that the answer shown first wins, whatever it is.
        silent: Probability of a reply without a verdict.
        latency: Seconds before it answers.
        seed: Of the draws.
    """

    async def behave(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        text = body["messages"][-1]["content"]
        number = _ASKED.search(text)
        assert number is not None
        cand_first = text.index("by cand") < text.index("by base")
        own = random.Random(f"{seed} {number[1]}").random()  # noqa: S311  a test's draw
        slot = random.Random(f"{seed} {number[1]} {cand_first}")  # noqa: S311  a test's draw
        cand_wins = cand_first if slot.random() < first else own < win
        label = "[[A>B]]" if cand_wins == cand_first else "[[B>A]]"
        said = "I cannot decide." if slot.random() < silent else f"Both were read.\n{label}"
        reply: web.StreamResponse = await server.completion(said, latency=latency)(request, body)
        return reply

    return behave


@dataclass
class World:
    """A folder with prompts, answers and run specs."""

    folder: Path
    url: str

    def files(self, prompts: int = 40, models: tuple[str, ...] = ("cand", "base")) -> None:
        """Write ``question.jsonl`` and one file of answers a model."""
        with (self.folder / "question.jsonl").open("w") as handle:
            for i in range(prompts):
                record = {"uid": f"q{i}", "category": "essay", "prompt": f"Question number {i}: why?"}
                handle.write(json.dumps(record) + "\n")
        for model in models:
            with (self.folder / f"{model}.jsonl").open("w") as handle:
                for i in range(prompts):
                    said = f"Answer {i} by {model}: because of reason {i % 7}."
                    handle.write(json.dumps({"uid": f"q{i}", "model": model, "answer": said}) + "\n")

    def spec(
        self,
        *,
        judge: str = "",
        run: str = "",
        models: str = '[[models]]\nname = "cand"\nanswers = "cand.jsonl"',
        baseline: str = 'baseline = "base.jsonl"',
        use: str = "arena-hard-v2.0",
        judge_model: str = "openai/judge",
        name: str = "audit.toml",
    ) -> Path:
        """Write a run spec against the loopback judge."""
        path = self.folder / name
        path.write_text(
            f'[benchmark]\npath = "question.jsonl"\n{baseline}\n\n{models}\n\n'
            f'[judge]\nuse = "{use}"\nmodel = "{judge_model}"\nbase_url = "{self.url}"\n{judge}\n\n'
            f"[run]\n{run}\n"
        )
        return path


@pytest.fixture
def world(tmp_path: Path, server: Any) -> World:
    """A benchmark of 40 prompts with the answers of two models, and a judge's address."""
    made = World(tmp_path, server.url)
    made.files()
    return made


@dataclass
class Runner:
    """Starts ``auditkit`` command lines in processes forked from one that has everything imported."""

    parent: subprocess.Popen[str]
    folder: Path = Path()

    def tell(self, **what: object) -> dict[str, int]:
        """Tell the parent what to do and return its answer."""
        assert self.parent.stdin is not None
        assert self.parent.stdout is not None
        self.parent.stdin.write(json.dumps(what) + "\n")
        self.parent.stdin.flush()
        answer: dict[str, int] = json.loads(self.parent.stdout.readline())
        return answer

    def start(self, *argv: object) -> Command:
        """Start one command in a process of its own, in the test's folder."""
        log = self.folder / f"log-{os.urandom(4).hex()}"
        told = self.tell(argv=[str(a) for a in argv], log=str(log), folder=str(self.folder))
        return Command(self, told["pid"], log)


@dataclass
class Command:
    """A command under way."""

    runner: Runner
    pid: int
    log: Path

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for the end and return the exit code (minus the signal's number if one ended it)."""
        return self.runner.tell(wait=self.pid)["code"]

    @property
    def said(self) -> str:
        """What it printed, both streams."""
        return self.log.read_text(errors="replace")


@pytest.fixture(scope="session")
def run_parent() -> Iterator[Runner]:
    """The process that commands are forked from."""
    with subprocess.Popen(
        [sys.executable, str(_CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        yield Runner(parent)
        assert parent.stdin is not None
        parent.stdin.close()


@pytest.fixture
def runner(tmp_path: Path, run_parent: Runner) -> Runner:
    """A starter of commands in the test's folder."""
    return replace(run_parent, folder=tmp_path)
