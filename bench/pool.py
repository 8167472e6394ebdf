"""Make a pool of prompts with planted topics and planted duplicates: ``pool.py FILE N [--topics 60] [--seed 0]``.

Words are invented. A prompt is a task frame, words of its topic and words that every topic uses; easy prompts have a
plain frame, hard ones one with conditions. Beside FILE stands ``FILE.truth.npz``: the topic of each prompt, what it
copies (-1: nothing), and whether the copy is exact.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

CONSONANTS = list("bcdfglmnprstvz")
VOWELS = list("aeiou")
EASY = ("tell me about", "i like", "say something on", "any news of", "some words on")
#: A hard prompt takes one of each: many prompts share a phrase, few share a frame.
HARD = (
    ("Write", "Implement", "Design", "Develop", "Improve", "Debug", "Analyze", "Evaluate"),
    (
        "a python function",
        "an algorithm",
        "a database schema",
        "a class",
        "a sql query",
        "a regression",
        "an api",
        "a test plan",
    ),
    ("that must", "which should", "so that our users can", "and my team must", "which our customers", "if we"),
    (
        "handle at least 3 cases",
        "return exactly 4 rows",
        "work without a server",
        "follow the given format",
        "use only one loop",
    ),
    (
        "then compare the cost of",
        "then explain step by step",
        "and calculate f(n) = n^2 for",
        "then list the risks of",
        "and test",
    ),
)


def _words(rng: np.random.Generator, count: int) -> np.ndarray:
    found: dict[str, None] = {}
    while len(found) < count:
        size = int(rng.integers(2, 5))
        found["".join(str(rng.choice(CONSONANTS)) + str(rng.choice(VOWELS)) for _ in range(size))] = None
    return np.array(list(found))


def _draw(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Draw ranks below `size`, low ones more often."""
    return np.minimum((size * rng.random(count) ** 2).astype(int), size - 1)


def prompts(n: int, topics: int = 60, seed: int = 0, copies: float = 0.07) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the texts, and what was planted."""
    rng = np.random.default_rng(seed)
    words = _words(rng, 2_000 + 50 * topics)
    common, own = words[:2_000], words[2_000:].reshape(topics, 50)
    topic = rng.integers(0, topics, n)
    hard = rng.random(n) < 0.3
    of = np.where(rng.random(n) < copies, (rng.random(n) * np.arange(n)).astype(int), -1)
    of[:100] = -1
    exact = rng.random(n) < 0.3
    size = rng.integers(18, 60, n)
    texts: list[str] = []
    for i in range(n):
        if of[i] >= 0:
            source = int(of[i])
            while of[source] >= 0:
                source = int(of[source])
            of[i], topic[i], hard[i] = source, topic[source], hard[source]
            texts.append(texts[source] if exact[i] else _edited(rng, texts[source], common))
            continue
        mine = own[topic[i]][_draw(rng, int(size[i]), 50)]
        theirs = common[_draw(rng, int(size[i]), 2_000)]
        body = np.where(rng.random(int(size[i])) < 0.5, mine, theirs)
        frame = " ".join(_one(rng, part) for part in HARD) if hard[i] else _one(rng, EASY)
        texts.append(f"{frame} {' '.join(body)}.")
    return texts, {"topic": topic, "of": of, "exact": exact, "hard": hard}


def _one(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _edited(rng: np.random.Generator, text: str, common: np.ndarray) -> str:
    words = text.split(" ")
    for _ in range(max(1, len(words) // 30)):
        words[int(rng.integers(len(words)))] = str(common[int(rng.integers(len(common)))])
    edited = " ".join(words)
    return edited.upper() if rng.random() < 0.2 else f"{edited} thanks" if rng.random() < 0.3 else edited


def write(path: Path, n: int, topics: int = 60, seed: int = 0) -> None:
    """Write a pool and what was planted in it."""
    texts, truth = prompts(n, topics, seed)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"id": f"p{i}", "prompt": text}) + "\n" for i, text in enumerate(texts))
    np.savez(path.with_name(f"{path.name}.truth.npz"), **truth)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("n", type=int)
    parser.add_argument("--topics", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write(given.file, given.n, given.topics, given.seed)
