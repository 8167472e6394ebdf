"""Orders that disagree as ties: by hand, against the plain mean, and in a whole run whose judge file asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import auditkit
from auditkit.controls.swap_and_tie import swap_and_tie
from auditkit.controls.win_rate import raw
from auditkit.formats import read
from auditkit.judging.spec import load_judge, to_toml
from auditkit.records import Battles, Note
from auditkit.run import run

MakeBattles = Callable[..., Battles]
NOTE = Note("aggregate", "swap_and_tie: orders that disagree count as a tie")


def _recording(make_battles: MakeBattles, pairs: list[tuple[float, float]]) -> Battles:
    rows = [
        (f"p{i}", "m", order, outcome, f"own {i}", f"other {i}")
        for i, pair in enumerate(pairs)
        for order, outcome in zip(("model_first", "model_second"), pair, strict=True)
    ]
    return replace(make_battles(rows), notes=(NOTE,))


def test_by_hand(make_battles: MakeBattles) -> None:
    """Agreement counts, everything else is a tie, and a pair without a second verdict is left out."""
    nan = float("nan")
    pairs = [(1.0, 1.0), (0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.5), (0.9, 0.6), (1.0, nan), (0.0, 0.5)]
    (score,) = swap_and_tie(_recording(make_battles, pairs)).scores
    assert score.estimate == pytest.approx(100 * np.mean([1, 0, 0.5, 0.5, 0.5, 1, 0.5]))
    assert score.n == 7
    assert score.note == "of 7 pairs 2 won, 4 tied, 1 lost; 1 pairs without a verdict in both orders left out"
    assert score.ci is not None
    assert score.ci[0] < (score.estimate or 0.0) < score.ci[1]


def test_plain_wins_and_losses_give_the_plain_mean(make_battles: MakeBattles) -> None:
    """Without ties the two games' mean is the same number: a flip counts a half in both."""
    rng = np.random.default_rng(0)
    battles = _recording(make_battles, [(float(a), float(b)) for a, b in rng.integers(0, 2, (60, 2))])
    (ours,), (plain,) = swap_and_tie(battles).scores, raw(battles).scores
    assert ours.estimate == pytest.approx(plain.estimate)


def test_only_where_the_judge_says_so(make_battles: MakeBattles) -> None:
    """A recording without the note has no such score; one in a single order has none to give."""
    battles = _recording(make_battles, [(1.0, 1.0), (0.0, 1.0)])
    assert swap_and_tie(replace(battles, notes=())).scores == ()
    single = replace(make_battles([("p", "m", "model_first", 1.0, "a", "b")]), notes=(NOTE,))
    (score,) = swap_and_tie(single).scores
    assert score.estimate is None
    assert "both orders" in score.note


def test_a_run_whose_judge_file_asks_for_it(tmp_path: Path) -> None:
    """The judge file says ``swap_and_tie``; the run folder's audit has the score beside the raw one."""
    judge = replace(load_judge("arena-hard-v2.0"), name="ties", aggregate="swap_and_tie")
    (tmp_path / "judge.toml").write_text(to_toml(judge))
    asked = [json.dumps({"uid": f"q{i}", "prompt": f"Question {i}?"}) for i in range(12)]
    (tmp_path / "question.jsonl").write_text("\n".join(asked) + "\n")
    for name in ("cand", "base"):
        lines = [json.dumps({"uid": f"q{i}", "model": name, "answer": f"{name} {i}"}) for i in range(12)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    spec = tmp_path / "audit.toml"
    spec.write_text(
        '[benchmark]\npath = "question.jsonl"\nbaseline = "base.jsonl"\n\n[[models]]\nname = "cand"\n'
        'answers = "cand.jsonl"\n\n[judge]\nuse = "./judge.toml"\nmodel = "simulated/biased?position=9"\n'
    )
    done = run(spec, out=tmp_path / "run")
    assert done.complete
    recording = read(done.folder)
    assert any(note.kind == "aggregate" for note in recording.notes)
    (score,) = swap_and_tie(recording).scores
    assert score.estimate == pytest.approx(50.0)
    assert "12 tied" in score.note
    report = auditkit.audit(done.folder)
    assert "swap_and_tie" in {s.control for s in report.submissions[0].scores}
