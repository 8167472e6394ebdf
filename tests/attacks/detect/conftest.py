"""A text generator of our own, and submissions built with it: honest until a test plants something."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from auditkit import registry
from auditkit.attacks.detect import detect
from auditkit.attacks.detect.run import Detector
from auditkit.records import DROPPED_COLUMNS, GAME_COLUMNS, Detection, Settings, Submission, frame

_NOUNS = [
    "river",
    "garden",
    "letter",
    "winter",
    "engine",
    "window",
    "teacher",
    "market",
    "bridge",
    "mountain",
    "doctor",
    "kitchen",
    "island",
    "forest",
    "station",
    "picture",
    "question",
    "morning",
    "village",
    "harbour",
    "library",
    "farmer",
    "machine",
    "painter",
    "season",
    "journey",
    "history",
    "neighbour",
    "captain",
    "lantern",
    "orchard",
    "meadow",
    "chimney",
    "ladder",
    "basket",
    "carpet",
    "whistle",
    "kettle",
    "pocket",
    "mirror",
]
_VERBS = [
    "follows",
    "changes",
    "explains",
    "carries",
    "answers",
    "remembers",
    "builds",
    "covers",
    "reaches",
    "measures",
    "protects",
    "describes",
    "opens",
    "improves",
    "repairs",
    "gathers",
    "connects",
    "compares",
    "supports",
    "teaches",
]
_ADJECTIVES = [
    "small",
    "quiet",
    "careful",
    "ancient",
    "bright",
    "heavy",
    "useful",
    "distant",
    "gentle",
    "narrow",
    "honest",
    "patient",
    "simple",
    "curious",
    "broken",
    "silent",
    "wooden",
    "golden",
    "famous",
    "humble",
]
_LINKS = ["because", "while", "although", "before", "after", "when", "since", "whenever", "unless", "until"]


@dataclass
class Writer:
    """Writes English-looking sentences from a seed."""

    rng: np.random.Generator

    def _one(self, words: Sequence[str]) -> str:
        return words[int(self.rng.integers(len(words)))]

    def clause(self) -> str:
        """Write one clause."""
        return (
            f"the {self._one(_ADJECTIVES)} {self._one(_NOUNS)} {self._one(_VERBS)} "
            f"the {self._one(_NOUNS)} of a {self._one(_ADJECTIVES)} {self._one(_NOUNS)}"
        )

    def sentence(self) -> str:
        """Write one sentence."""
        text = self.clause()
        if self.rng.random() < 0.5:
            text += f" {self._one(_LINKS)} {self.clause()}"
        return text[0].upper() + text[1:] + "."

    def answer(self) -> str:
        """Write an answer of 2 to 14 sentences, some in a list or under a heading, a few with a random key."""
        n = int(self.rng.integers(2, 15))
        sentences = [self.sentence() for _ in range(n)]
        if n > 6 and self.rng.random() < 0.4:
            head, rest = sentences[:2], sentences[2:]
            return "## In short\n\n" + " ".join(head) + "\n\n" + "\n".join(f"- **{s[:12]}**{s[12:]}" for s in rest)
        if self.rng.random() < 0.05:
            letters = [chr(97 + int(k)) for k in self.rng.integers(26, size=150)]
            sentences.append(f"Key: {''.join(letters)}")
        return " ".join(sentences)

    def prompt(self) -> str:
        """Write a question."""
        return f"Why do people say that {self.clause()}? Tell me how {self.clause()}, please."


Build = Callable[..., Submission]


@pytest.fixture
def writer() -> Writer:
    """A writer with a fixed seed."""
    return Writer(np.random.default_rng(7))


@pytest.fixture
def build() -> Build:
    """Return a function that builds a submission from lists; what is not given is honest."""

    def make(
        texts: Sequence[str] | None = None,
        *,
        n: int = 200,
        seed: int = 1,
        model: str = "m",
        prompts: Sequence[str] | None = None,
        baselines: Sequence[str] | None = None,
        outcome: Sequence[float] | None = None,
        order: Sequence[str] | None = None,
        dropped: Mapping[str, Sequence[str]] | None = None,
        expected: int | None = None,
        **columns: Sequence[str],
    ) -> Submission:
        n = len(texts) if texts is not None else len(prompts) if prompts is not None else n
        asked = Writer(np.random.default_rng(99))
        prompts = [asked.prompt() for _ in range(n)] if prompts is None else prompts
        other = Writer(np.random.default_rng(98))
        baselines = [other.answer() for _ in range(n)] if baselines is None else baselines
        own = Writer(np.random.default_rng(seed))
        texts = [own.answer() for _ in range(n)] if texts is None else texts
        rng = np.random.default_rng(seed)
        ids = [f"p{i}" for i in range(n)]
        rows = pd.DataFrame(
            {
                "prompt_id": ids, "turn": 1, "prompt": list(prompts), "text": list(texts),
                "trace": columns.get("trace", [""] * n), "finish": columns.get("finish", ["stop"] * n),
                "declared": columns.get("declared", [""] * n), "baseline": list(baselines),
            }
        )  # fmt: skip
        rows = rows.astype({name: "str" for name in rows.columns if name != "turn"})
        games = frame(
            GAME_COLUMNS,
            {
                "prompt_id": ids, "model": [model] * n, "opponent": ["base"] * n, "judge": ["j"] * n,
                "order": list(order) if order is not None else ["model_first", "model_second"] * (n // 2) + ["model_first"] * (n % 2),
                "label": [""] * n, "outcome": rng.random(n) if outcome is None else np.asarray(outcome, float),
                "weight": np.ones(n), "variant": [""] * n, "turn": np.ones(n, int), "gold": np.full(n, np.nan),
                "answer": np.arange(n), "opponent_answer": np.full(n, -1),
            },
        )  # fmt: skip
        gone = frame(DROPPED_COLUMNS, dropped)
        return Submission(model, games, rows, n if expected is None else expected, gone)

    return make


@pytest.fixture(scope="session")
def detectors() -> dict[str, Detector]:
    """Every registered detector of ours."""
    return {name: p.load() for name, p in registry.plugins("detectors").items() if p.distribution == "judge-auditkit"}


@pytest.fixture
def flags(detectors: dict[str, Detector]) -> Callable[[Submission], dict[str, Detection]]:
    """Return a function that runs all detectors and gives those that flag, by name; none may fail."""

    def run(submission: Submission) -> dict[str, Detection]:
        found = detect([submission], detectors, Settings())[submission.model]
        assert [d for d in found if "failed (" in d.note] == []
        return {d.detector: d for d in found if d.flag}

    return run
