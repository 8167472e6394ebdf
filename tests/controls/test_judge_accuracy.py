"""Accuracy of judges: the published LLMBar statistics, a recount of JudgeBench, and the rules for what is missing."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from auditkit.controls.judge_accuracy import judge_accuracy
from auditkit.controls.position import position
from auditkit.formats import judgebench, llmbar
from auditkit.records import GAME_COLUMNS, Battles, Benchmark, Score, Settings, frame
from auditkit.stats.intervals import clopper_pearson, wilson

NAN = float("nan")


def recording(pairs: Sequence[tuple[str, float, float, float]], subject: str = "judge") -> Battles:
    """Build a recording of ``(prompt, gold, outcome shown first, outcome shown second)``; every row is its own pair."""
    rows = [
        (prompt, "response_A", "response_B", "j", order, "", outcome, 1.0, "", 1, gold, -1, -1)
        for prompt, gold, *outcomes in pairs
        for order, outcome in zip(("model_first", "model_second"), outcomes, strict=True)
    ]
    columns = dict(zip(GAME_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    return Battles.build(Benchmark("made up", subject=subject), games=frame(GAME_COLUMNS, columns))  # type: ignore[arg-type]


def by_control(battles: Battles, judge: str | None = None) -> dict[str, Score]:
    return {s.control: s for s in judge_accuracy(battles).scores if judge in (None, s.model)}


def count(text: str) -> tuple[int, int]:
    """Read ``"77 / 100 = 77.0%"``."""
    found = re.match(r"(\d+) / (\d+) =", text)
    assert found is not None
    return int(found[1]), int(found[2])


LLMBAR = [
    f"{subset}/{judge}/{strategy}"
    for subset in ("Natural", "Adversarial/Manual", "Adversarial/Neighbor")
    for judge in ("ChatGPT", "LLaMA2")
    for strategy in ("Vanilla", "Swap")
]


@pytest.mark.parametrize("where", LLMBAR)
def test_llmbar_statistics(shared_data: Path, where: str) -> None:
    """Accuracy in each order, on average, in both orders, and agreement equal the published file; so do the kappas."""
    folder = shared_data / "llmbar" / where
    published = json.loads((folder / "statistics.json").read_text())
    battles = llmbar.read(folder / "result.json")
    scores = by_control(battles)
    for control, field in (
        ("judge_accuracy_model_first", "correct_False"),
        ("judge_accuracy_model_second", "correct_True"),
        ("judge_accuracy_both_orders", "correct_both"),
        ("judge_agreement", "equal"),
    ):
        hits, n = count(published[field])
        score = scores[control]
        assert score.note.startswith(f"{hits} of {n}")
        assert score.estimate == pytest.approx(100 * hits / n, abs=1e-9)
    assert scores["judge_accuracy"].estimate == pytest.approx(float(published["correct_average"].rstrip("%")), abs=1e-9)
    assert {s.model for s in scores.values()} == {"/".join(where.split("/")[-2:])}
    if battles.games["outcome"].notna().all():
        first, second = (battles.games[battles.games["order"] == o] for o in ("model_first", "model_second"))
        agreement = cohen_kappa_score(first["outcome"].astype(int), second["outcome"].astype(int))
        assert agreement == pytest.approx(published["kappa_agreement"], abs=1e-12)


def test_judgebench_recount(shared_data: Path) -> None:
    """Every figure equals a recount from the raw file by plain loops, and JudgeBench's own rule is among them."""
    lines = (shared_data / "judgebench" / "claude-3-haiku__arena_hard.jsonl").read_text("utf-8").split("\n")
    tally: Counter[str] = Counter()
    flip = {"A>B": "B>A", "B>A": "A>B", "A=B": "A=B", None: None}
    for line in filter(None, lines):
        record = json.loads(line)
        one = record["judgments"][0]["decision"]
        two = flip[record["judgments"][1]["decision"]]
        right, wrong = record["label"], flip[record["label"]]
        tally["first"] += one == right
        tally["second"] += two == right
        tally["both"] += one == right and two == right
        tally["net"] += (one == right) + (two == right) > (one == wrong) + (two == wrong)
        tally["parsed"] += one is not None and two is not None
        tally["same"] += one is not None and one == two
        if one is not None and two is not None:
            tally["decided"] += (one != "A=B") + (two != "A=B")
            tally["took first"] += (one == "A>B") + (two == "B>A")
            tally["effect"] += {"A>B": 2, "A=B": 1, "B>A": 0}[two] - {"A>B": 2, "A=B": 1, "B>A": 0}[one]
    battles = judgebench.read(shared_data / "judgebench")
    scores = by_control(battles)
    expected = {
        "judge_accuracy": (tally["first"] + tally["second"]) / 540,
        "judge_accuracy_model_first": tally["first"] / 270,
        "judge_accuracy_model_second": tally["second"] / 270,
        "judge_accuracy_both_orders": tally["both"] / 270,
        "judge_accuracy_net": tally["net"] / 270,
        "judge_agreement": tally["same"] / 270,
    }
    assert {name: s.estimate for name, s in scores.items()} == pytest.approx(
        {name: 100 * share for name, share in expected.items()}, abs=1e-9
    )
    assert scores["judge_agreement"].estimate == pytest.approx(50.0)
    found = position(battles).position["claude-3-haiku-20240307/arena_hard"]
    assert found.design == "within_pair"
    assert found.n == tally["parsed"] == 257
    assert found.consistency == pytest.approx(tally["same"] / tally["parsed"], abs=1e-12)
    assert found.first_preference == pytest.approx(tally["took first"] / tally["decided"], abs=1e-12)
    assert found.effect_points == pytest.approx(50 * tally["effect"] / tally["parsed"], abs=1e-9)


def test_ties_and_unparsed_are_not_right() -> None:
    """Only the right label is right; the note says how far unparsed verdicts could lift a score."""
    scores = by_control(recording([("p", 1, 1, 1), ("q", 1, 0.5, 0.5), ("r", 0, NAN, 0), ("s", 0, 1, NAN)]))
    assert {name: s.estimate for name, s in scores.items()} == {
        "judge_accuracy": 37.5,
        "judge_accuracy_model_first": 25.0,
        "judge_accuracy_model_second": 50.0,
        "judge_accuracy_both_orders": 25.0,
        "judge_accuracy_net": 50.0,  # p twice, r once and not wrong
        "judge_agreement": 50.0,  # p and q; two missing verdicts agree with nothing
    }
    assert scores["judge_accuracy_model_first"].note.endswith(
        "1 with an unparsed verdict; at most 50.0 had they been parsed"
    )
    assert by_control(recording([("p", 1, NAN, NAN)]))["judge_agreement"].estimate == 0.0


def test_net_rule_of_judgebench() -> None:
    """Right and tied is right, right and wrong is not, tied twice is not."""
    for outcomes, right in (((1, 0.5), 100), ((1, 0), 0), ((0.5, 0.5), 0), ((0, 0.5), 0), ((1, 1), 100)):
        assert by_control(recording([("p", 1, *outcomes)]))["judge_accuracy_net"].estimate == right


def test_intervals_say_what_they_are() -> None:
    """One value a prompt: Wilson. Both orders: clustered. No spread: exact over prompts. One prompt: none or exact."""
    pairs = [(f"p{i}", 1.0, float(i % 3 > 0), float(i % 2)) for i in range(12)]
    scores = by_control(recording(pairs))
    assert scores["judge_accuracy_model_first"].ci == pytest.approx(tuple(100 * e for e in wilson(8, 12, 0.95)))
    per_prompt = np.array([(a + b) / 2 for _, _, a, b in pairs])
    assert scores["judge_accuracy"].se == pytest.approx(100 * per_prompt.std(ddof=1) / np.sqrt(12))
    assert "cluster-robust by prompt (12 prompts)" in scores["judge_accuracy"].method
    perfect = by_control(recording([(f"p{i}", 1, 1, 1) for i in range(12)]))["judge_accuracy"]
    assert perfect.ci == pytest.approx(tuple(100 * e for e in clopper_pearson(12, 12)))
    alone = by_control(recording([("p", 1, 1, 0)]))["judge_accuracy"]
    assert (alone.estimate, alone.ci) == (50.0, None)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0]), *[st.sampled_from([0.0, 0.5, 1.0, NAN])] * 2), min_size=1, max_size=30
    )
)
def test_counts_hold_for_any_verdicts(rows: list[tuple[float, float, float]]) -> None:
    """Against plain counting; both orders is never above either order, and every interval holds its estimate."""
    scores = by_control(recording([(f"p{i}", *row) for i, row in enumerate(rows)]))
    first = sum(one == gold for gold, one, _ in rows)
    second = sum(two == gold for gold, _, two in rows)
    both = sum(one == gold == two for gold, one, two in rows)
    n = len(rows)
    assert scores["judge_accuracy_model_first"].estimate == pytest.approx(100 * first / n)
    assert scores["judge_accuracy_model_second"].estimate == pytest.approx(100 * second / n)
    assert scores["judge_accuracy"].estimate == pytest.approx(50 * (first + second) / n)
    assert scores["judge_accuracy_both_orders"].estimate == pytest.approx(100 * both / n)
    for score in scores.values():
        assert score.unit == "accuracy"
        if score.ci is not None:
            assert score.estimate is not None
            assert 0 <= score.ci[0] <= score.estimate + 1e-9
            assert score.estimate - 1e-9 <= score.ci[1] <= 100


def test_level_widens_the_interval() -> None:
    """A higher confidence level gives a wider interval."""
    battles = recording([(f"p{i}", 1.0, float(i % 2), float(i % 3 > 0)) for i in range(20)])
    for narrow, wide in zip(
        judge_accuracy(battles, Settings(level=0.8)).scores,
        judge_accuracy(battles, Settings(level=0.99)).scores,
        strict=True,
    ):
        assert narrow.ci is not None
        assert wide.ci is not None
        assert wide.ci[0] < narrow.ci[0] <= narrow.ci[1] < wide.ci[1]


def test_one_order_only_is_undefined_for_both() -> None:
    """A judge that was asked once a pair has an accuracy, but none over both orders."""
    games = recording([("p", 1, 1, 1), ("q", 0, 0, 0)]).games
    battles = Battles.build(Benchmark("x", subject="judge"), games=games[games["order"] == "model_first"])
    scores = by_control(battles)
    assert scores["judge_accuracy"].estimate == 100.0
    for name in ("judge_accuracy_model_second", "judge_accuracy_both_orders", "judge_agreement"):
        assert scores[name].estimate is None
        assert scores[name].note


def test_submissions_have_no_accuracy() -> None:
    """A recording of submissions is not this control's business."""
    assert judge_accuracy(recording([("p", 1, 1, 1)], subject="submissions")).scores == ()
