"""One question in several languages is one question: found by the ids that whole files share, drawn once."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from auditkit.bench.clean import width
from auditkit.bench.language import language_of
from auditkit.bench.reading import raws_of
from auditkit.bench.select import TAKEN, choose
from auditkit.bench.settings import BuildSettings
from auditkit.bench.translations import translation_groups
from auditkit.build import build

ENGLISH = "the quick engine must return every value that was written in this table before we close it with some care"
GERMAN = (
    "die schnelle Maschine muss jeden Wert zurückgeben, der in diese Tabelle geschrieben wurde, bevor wir sie schließen"
)
FIVE = ("arena_hard/arena-hard-v0.1", *(f"m_arena_hard/m-arena-hard-{code}" for code in ("ar", "de", "hi", "zh")))


def _read(paths: list[Path]) -> tuple[Any, list[str], list[str], Any]:
    files, ids, languages, sizes = [], [], [], []
    for number, path in enumerate(paths):
        for _, raw in raws_of(path, "first"):
            if not raw.reason:
                files.append(number)
                ids.append(raw.id)
                languages.append(language_of(raw.turns[0])[0])
                sizes.append(float(max(width(raw.turns[0]), 1)))
    return np.array(files), ids, languages, np.array(sizes)


def test_real_translations_are_found_and_nothing_else(shared_data: Path) -> None:
    """Arena-Hard in five files: 500 questions of five prompts, though five other benchmarks stand beside them."""
    others = ("arena_hard/arena-hard-v2.0/question.jsonl", "mt_bench/question.jsonl", "llmbar/Natural/dataset.json",
              "llmbar/Adversarial/Manual/dataset.json", "alpaca_eval/instruction_difficulty.csv")  # fmt: skip
    paths = [shared_data / folder / "question.jsonl" for folder in FIVE] + [shared_data / name for name in others]
    files, ids, languages, sizes = _read(paths)
    found = translation_groups(files, ids, languages, sizes)
    assert set(Counter(found[found >= 0].tolist()).values()) == {5}
    assert Counter(files[found >= 0].tolist()) == dict.fromkeys(range(5), 500)
    by_question = {(found[i], ids[i]) for i in np.flatnonzero(found >= 0)}
    assert len(by_question) == 500
    # The same in one file, as data sets with a column of languages come.
    whole = translation_groups(np.zeros(len(ids), dtype=np.int64), ids, languages, sizes)
    assert (whole[files >= 5] < 0).all()
    assert (whole[files < 5] >= 0).mean() > 0.99


@pytest.mark.parametrize(
    ("case", "grouped"),
    [("translations", True), ("counters", False), ("one language", False), ("a few common ids", False), ("few", False),
     ("unknown languages", False), ("a part of a file", True), ("ids that repeat", False), ("no ids", False)],
)  # fmt: skip
def test_what_makes_two_files_translations(case: str, grouped: bool) -> None:
    """Ids of a large share of a file, other languages, lengths that go together: all three, or nothing."""
    rng = np.random.default_rng(5)
    n = 19 if case == "few" else 200
    lengths = np.exp(rng.normal(5, 1, n))
    other = np.exp(rng.normal(5, 1, n)) if case == "counters" else lengths * np.exp(rng.normal(0.1, 0.1, n))
    ids = [str(i % 5 if case == "ids that repeat" else i) for i in range(n)]
    theirs = {"a few common ids": [str(i + 120) for i in range(n)], "no ids": [""] * n}.get(case, ids)
    if case == "no ids":
        ids = theirs
    if case == "a part of a file":
        theirs, other = theirs[:60], other[:60]
    second = {"one language": "en", "unknown languages": "und"}.get(case, "de")
    files = np.repeat([3, 8], [n, len(theirs)])
    found = translation_groups(
        files, ids + theirs, ["en"] * n + [second] * len(theirs), np.concatenate([lengths, other])
    )
    assert (found >= 0).any() == grouped
    if grouped:
        shared = len(theirs)
        assert (found[n:] >= 0).all()
        assert (found[:shared] == found[n:]).all()
        assert len(set(found[n:].tolist())) == shared
    assert len(translation_groups(np.zeros(0, dtype=np.int64), [], [], np.zeros(0))) == 0


def test_at_most_one_prompt_of_a_question_is_drawn() -> None:
    """Whatever the clusters: one of each question, none that is spoken for, the same with the same seed."""
    rng = np.random.default_rng(2)
    n = 900
    clusters, good = rng.integers(-1, 60, n), rng.random(n) < 0.7
    questions = np.where(rng.random(n) < 0.6, rng.integers(0, 150, n), -1)
    questions[rng.random(n) < 0.05] = TAKEN
    strata = [("en", "a")] * n
    for seed in range(5):
        one = choose(good, clusters, strata, wanted=50, per_cluster=2, seed=seed, questions=questions)
        assert good[one.chosen].all()
        own = questions[one.chosen]
        assert (own != TAKEN).all()
        assert np.unique(own[own >= 0], return_counts=True)[1].max() == 1
        assert not set(one.chosen.tolist()) & set(one.aside.tolist())
        again = choose(good, clusters, strata, wanted=50, per_cluster=2, seed=seed, questions=questions)
        assert (again.chosen == one.chosen).all()
        # Every question that qualifies is there still: what is set aside always has another one that is not.
        fits = set(np.flatnonzero(good & (clusters >= 0)).tolist()) - set(one.aside.tolist())
        assert {int(questions[i]) for i in fits if questions[i] >= 0} == set(
            questions[good & (clusters >= 0) & (questions >= 0)].tolist()
        )
        plain = choose(good, clusters, strata, wanted=50, per_cluster=2, seed=seed)
        same = choose(good, clusters, strata, wanted=50, per_cluster=2, seed=seed, questions=np.full(n, -1))
        assert (plain.chosen == same.chosen).all()
        assert len(same.aside) == 0


def _pool(folder: Path) -> list[Path]:
    """Write sixty questions in English and in German, each of its own words and length."""
    rng = np.random.default_rng(4)
    names = [[f"{rng.choice(list('bdfgklmnprst'))}{rng.choice(list('aeiou'))}{rng.choice(list('bdfgklmnprst'))}{k}" for k in range(int(n))]
             for n in rng.integers(2, 30, 60)]  # fmt: skip
    paths = []
    for code, sentence in (("en", ENGLISH), ("de", GERMAN)):
        lines = []
        for i, own in enumerate(names):
            words = sentence.split() * (1 + len(own) // 6)
            text = (
                f"{sentence}: {' '.join(rng.permutation(words).tolist())} {' '.join(f'{name}_{code}' for name in own)}"
            )
            lines.append(json.dumps({"id": f"q{i}", "prompt": text}))
        paths.append(folder / f"{code}.jsonl")
        paths[-1].write_text("\n".join(lines), encoding="utf-8")
    return paths


def test_a_build_draws_a_question_once(tmp_path: Path) -> None:
    """By default no question twice, with funnel and ledger accounting for it; with translations both, and told."""
    english, german = _pool(tmp_path)
    settings = BuildSettings(clusters=60, per_cluster=1, workers=1, k=60, prompt_score=0, cluster_score=0.0, near=1.0)
    made = build(english, german, out=tmp_path / "one", settings=settings)
    lines = [json.loads(line) for line in (made.folder / "prompts.jsonl").read_text().splitlines()]
    assert len(lines) > 30
    assert {line["language"] for line in lines} == {"en", "de"}
    assert len({line["origin_id"] for line in lines}) == len(lines)
    funnel = made.sheet.funnel
    for before, after in pairwise(funnel):
        assert before.left - sum(reason.prompts for reason in after.reasons) == after.left
    assert (funnel[-2].step, funnel[-2].left) == ("in one language each", 60)
    ledger = Counter(pq.read_table(made.folder / "ledger.parquet").column("outcome").to_pylist())
    assert ledger["translation"] == 60 == 120 - ledger["drawn"] - ledger["not_drawn"]
    assert any("60 prompts that qualify are another prompt" in note for note in made.sheet.notes)

    both = build(english, german, out=tmp_path / "both", settings=replace(settings, translations=True), work=made.work)
    lines = [json.loads(line) for line in (both.folder / "prompts.jsonl").read_text().splitlines()]
    twice = [n for n in Counter(line["origin_id"] for line in lines).values() if n > 1]
    assert twice
    told = f"{sum(twice)} of the {len(lines)} drawn prompts put {len(twice)} questions in several languages"
    assert any(note.startswith(told) and "not independent" in note for note in both.sheet.notes)
    assert both.sheet.settings["translations"] is True


def test_a_question_that_is_known_is_not_drawn_in_another_language(tmp_path: Path) -> None:
    """Questions of a benchmark to keep clear of are kept clear of in the pool's other languages too."""
    english, german = _pool(tmp_path)
    known = tmp_path / "known.jsonl"
    known.write_text("\n".join(english.read_text(encoding="utf-8").splitlines()[:25]), encoding="utf-8")
    settings = BuildSettings(clusters=60, per_cluster=1, workers=1, k=60, prompt_score=0, cluster_score=0.0, near=1.0,
                             against=(str(known),))  # fmt: skip
    made = build(english, german, out=tmp_path / "one", settings=settings)
    lines = [json.loads(line) for line in (made.folder / "prompts.jsonl").read_text().splitlines()]
    assert lines
    assert all(int(line["origin_id"].removeprefix("q")) >= 25 for line in lines)
