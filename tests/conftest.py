"""What every test may use."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from auditkit.records import (
    ANSWER_COLUMNS,
    GAME_COLUMNS,
    PROMPT_COLUMNS,
    Battles,
    Benchmark,
    frame,
)

settings.register_profile("auditkit", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("auditkit")


def pytest_collection_finish() -> None:
    """Leave out of every later collection of garbage what lives as long as the run: thousands of tests and their modules."""
    gc.collect()
    gc.freeze()


ROOT = Path(__file__).resolve().parents[1]

_WORDS = [
    "river",
    "market",
    "lantern",
    "early",
    "quiet",
    "engine",
    "window",
    "garden",
    "copper",
    "letter",
    "morning",
    "signal",
    "harbour",
    "paper",
    "travel",
    "winter",
    "bright",
    "method",
    "simple",
    "answer",
    "because",
    "therefore",
    "measure",
    "number",
    "careful",
    "example",
    "second",
    "between",
    "table",
    "reason",
    "follow",
    "change",
    "small",
    "system",
    "value",
    "often",
    "water",
    "stone",
    "figure",
    "learn",
    "begin",
    "carry",
    "open",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the pages whose commands are run: they take longest, and nobody should wait for the last one alone."""
    items.sort(key=lambda item: item.path.name != "test_docs.py")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public recordings beside the checkout; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the public recordings are not on this machine")
    return folder


def _text(rng: np.random.Generator, words: int) -> str:
    picked = rng.choice(_WORDS, size=max(words, 3))
    return " ".join(picked).capitalize() + "."


def _simulate(
    skills: Mapping[str, float],
    *,
    prompts: int = 120,
    position: float = 0.0,
    length: float = 0.0,
    both_orders: bool = True,
    seed: int = 0,
    constant: frozenset[str] = frozenset(),
    unparsed: int = 0,
) -> Battles:
    """Return a star recording: each model of `skills` (log-odds against the baseline) judged on every prompt.

    `position` is the log-odds of being shown second, `length` those per doubling of the answer's length; a model in
    `constant` gives one answer to everything; the first `unparsed` games of every model hold no verdict.
    """
    rng = np.random.default_rng(seed)
    ids = [f"p{i:04d}" for i in range(prompts)]
    questions = [f"Question {i}: {_text(rng, 8)}" for i in range(prompts)]
    answers: dict[str, list[object]] = {name: [] for name in ANSWER_COLUMNS}
    games: dict[str, list[object]] = {name: [] for name in GAME_COLUMNS}

    def add_answer(model: str, prompt: str, text: str) -> int:
        for name, value in zip(ANSWER_COLUMNS, (prompt, model, 1, text, "", "", ""), strict=True):
            answers[name].append(value)
        return len(answers["text"]) - 1

    base = [add_answer("baseline", p, _text(rng, int(rng.integers(30, 120)))) for p in ids]
    hard = rng.normal(0.0, 0.7, prompts)
    for model, skill in sorted(skills.items()):
        same = _text(rng, 60)
        for i, prompt in enumerate(ids):
            mine = add_answer(model, prompt, same if model in constant else _text(rng, int(rng.integers(30, 120))))
            longer = np.log2(len(str(answers["text"][mine])) / len(str(answers["text"][base[i]])))
            orders = ("model_first", "model_second") if both_orders else (("model_first", "model_second")[i % 2],)
            for k, order in enumerate(orders):
                odds = skill + hard[i] + length * longer + (position if order == "model_second" else 0.0)
                won = float(rng.random() < 1 / (1 + np.exp(-odds)))
                if k == 0 and i < unparsed:
                    won = float("nan")
                row = (prompt, model, "baseline", "judge-x", order, "", won, 1.0, "", 1, float("nan"), mine, base[i])
                for name, value in zip(GAME_COLUMNS, row, strict=True):
                    games[name].append(value)
    table = dict(zip(PROMPT_COLUMNS, (ids, questions, [""] * prompts, [""] * prompts, ["en"] * prompts), strict=True))
    return Battles.build(
        Benchmark("simulated", "1", "test", frozenset({"baseline"}), prompts),
        games=frame(GAME_COLUMNS, games),
        answers=frame(ANSWER_COLUMNS, answers),
        prompts=frame(PROMPT_COLUMNS, table),
    )


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Battles]:
    """A function that makes a small star recording with planted effects (see `_simulate`)."""
    return _simulate
