"""Harness gates as far as a recording shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from auditkit.gates import Check, check_gates
from auditkit.judging.spec import JudgeSpec, Label, MessageTemplate, Template, Verdict, load_judge, to_toml
from auditkit.records import GAME_COLUMNS, Battles, Benchmark, Gate, frame


def _gate(battles: Battles, name: str) -> Check:
    return next(check for check in check_gates(battles) if check.gate.gate == name)


def test_all_twelve_gates_are_listed_in_order(simulate: Callable[..., Battles]) -> None:
    """H1 to H12, each with its evidence, and those that need the judge's template are not measured."""
    checks = check_gates(simulate({"m": 0.0}))
    assert [c.gate.gate for c in checks] == [f"H{i}" for i in range(1, 13)]
    assert all(c.gate.evidence for c in checks)
    unmeasured = {c.gate.gate for c in checks if c.gate.status == "not_measured"}
    assert unmeasured == {"H1", "H2", "H3", "H4", "H12"}


def test_low_coverage_fails_and_touches_only_the_short_submission(simulate: Callable[..., Battles]) -> None:
    """A model with a tenth of its prompts left out is named; its neighbours are not touched."""
    battles = simulate({"full": 0.0, "short": 0.0}, prompts=100)
    late = battles.prompts["prompt_id"].iloc[90:]
    games = battles.games[~((battles.games["model"] == "short") & battles.games["prompt_id"].isin(late))]
    check = _gate(replace(battles, games=games.reset_index(drop=True)), "H6")
    assert check.gate.status == "fail"
    assert check.touches == frozenset({"short"})
    assert "90 of 100" in check.gate.evidence


def test_a_one_sided_order_fails_and_both_orders_pass(simulate: Callable[..., Battles]) -> None:
    """Always showing the model first is unbalanced; alternating slots and both orders are not."""
    assert _gate(simulate({"m": 0.0}), "H8").gate.status == "pass"
    alternating = simulate({"m": 0.0}, both_orders=False)
    assert _gate(alternating, "H8").gate.status == "pass"
    games = alternating.games.assign(order="model_first")
    assert _gate(replace(alternating, games=games), "H8").gate.status == "fail"
    unknown = alternating.games.assign(order="unknown")
    assert _gate(replace(alternating, games=unknown), "H8").gate.status == "not_measured"


def test_a_judge_that_judges_itself_is_named(simulate: Callable[..., Battles]) -> None:
    """Spelling differences in case and punctuation do not hide it."""
    battles = simulate({"Judge_X": 0.0, "other": 0.0})
    check = _gate(battles, "H10")
    assert check.gate.status == "fail"
    assert check.touches == frozenset({"Judge_X"})


def test_evidence_shows_hostile_names_harmlessly(simulate: Callable[..., Battles]) -> None:
    """Terminal escapes in a model's name are shown, not sent."""
    name = "\x1b]0;owned\x07judge-x"
    battles = simulate({"judge-x\x1b[2J": 0.0, name: 0.0})
    gates: list[Gate] = [c.gate for c in check_gates(battles)]
    assert all("\x1b" not in g.evidence for g in gates)


def _everyone_meets(orders: list[tuple[str, str]]) -> Battles:
    """Games of an arena: the model named first was shown first."""
    n = len(orders)
    games = frame(
        GAME_COLUMNS,
        {
            "prompt_id": [f"p{i}" for i in range(n)], "model": [a for a, _ in orders],
            "opponent": [b for _, b in orders], "judge": ["j"] * n, "order": ["model_first"] * n, "label": [""] * n,
            "outcome": [0.5] * n, "weight": [1.0] * n, "variant": [""] * n, "turn": [1] * n,
            "gold": [float("nan")] * n, "answer": [-1] * n, "opponent_answer": [-1] * n,
        },
    )  # fmt: skip
    return Battles.build(Benchmark("arena"), games=games)


def test_an_arena_is_balanced_if_every_model_is_shown_first_half_of_the_time() -> None:
    """Every row of an arena shows its own model first; only a model that is nearly always first is uneven."""
    even = _everyone_meets([("a", "b"), ("b", "c"), ("c", "a")] * 20)
    assert _gate(even, "H8").gate.status == "pass"
    uneven = _gate(_everyone_meets([("a", "b"), ("a", "c"), ("b", "c"), ("c", "b")] * 20), "H8")
    assert uneven.gate.status == "fail"
    assert uneven.touches == frozenset({"a", "b", "c"})  # shown first in 100%, 33% and 33% of their games
    mild = _gate(_everyone_meets([("a", "b")] * 20 + [("b", "c"), ("c", "b"), ("b", "d"), ("d", "b")] * 40), "H8")
    assert mild.touches == frozenset({"a"})


def test_repeated_games_are_not_denied(simulate: Callable[..., Battles]) -> None:
    """A prompt that counts twice is said to, whether a reader left rows out or not."""
    battles = simulate({"m": 0.0}, prompts=10)
    assert "repeat" not in _gate(battles, "H7").gate.evidence
    twice = replace(battles, games=pd.concat([battles.games, battles.games], ignore_index=True))
    assert f"{len(battles.games)} games repeat" in _gate(twice, "H7").gate.evidence


OPEN = JudgeSpec(
    "open", "Open", "made for a test", "pairwise", Verdict("ah_v2", {"A>B": Label(1.0), "B>A": Label(0.0)}),
    (Template((MessageTemplate("user", "Q:\n{QUESTION}\n#1#\n{ANSWER_A}\n#2#\n{ANSWER_B}\n#3#"),)),), rendering="str_format",
)  # fmt: skip


def test_a_recorded_judge_is_tried(simulate: Callable[..., Battles]) -> None:
    """With the judge's file, H1-H4 and H12 are measured: proved for ours, open where the file leaves them open."""
    battles = simulate({"m": 0.0}, prompts=10)
    ours = replace(battles, judges=(to_toml(load_judge("arena-hard-v2.0")),))
    found = {c.gate.gate: c for c in check_gates(ours)}
    assert list(found) == [f"H{i}" for i in range(1, 13)]
    assert {found[g].gate.status for g in ("H1", "H2", "H3", "H4", "H12")} == {"pass"}
    assert {found[g].gate.kind for g in ("H1", "H2", "H3", "H4")} == {"proved"}
    theirs = {c.gate.gate: c for c in check_gates(replace(battles, judges=(to_toml(OPEN),)))}
    assert {g for g, c in theirs.items() if c.gate.status == "fail"} == {"H2", "H3"}
    assert theirs["H2"].touches is None
    assert "'Q:'" in theirs["H2"].gate.evidence


def test_of_several_judges_the_worst_counts(simulate: Callable[..., Battles]) -> None:
    """One open judge among several opens the score; a file that cannot be read leaves its gates unmeasured."""
    battles = simulate({"m": 0.0}, prompts=10)
    ours, theirs = to_toml(load_judge("arena-hard-v2.0")), to_toml(OPEN)
    both = replace(battles, judges=(ours, theirs, ours))
    assert _gate(both, "H2").gate.status == "fail"
    assert _gate(both, "H1").gate.status == "pass"
    unreadable = _gate(replace(battles, judges=(ours, "schema = 'auditkit.judge/9'")), "H2").gate
    assert unreadable.status == "not_measured"
    assert "cannot be read" in unreadable.evidence


@pytest.mark.parametrize(
    ("judge", "fails"),
    [
        ("arena-hard-v2.0 (openai/gpt-4.1)", True), ("pairs (openai/GPT-4.1)", True), ("gpt-4.1", True),
        ("gpt-4.1 (openai/other)", False), ("x (openai/gpt-4.1-mini)", False), ("(strange", False),
    ],
)  # fmt: skip
def test_a_runs_judge_is_known_by_its_model(simulate: Callable[..., Battles], judge: str, fails: bool) -> None:
    """A run names protocol and model; the submission that is that model judges itself."""
    battles = simulate({"gpt-4.1": 0.0, "other-model": 0.0}, prompts=10)
    check = _gate(replace(battles, games=battles.games.assign(judge=judge)), "H10")
    assert check.gate.status == ("fail" if fails else "pass")
    assert check.touches == (frozenset({"gpt-4.1"}) if fails else None)
