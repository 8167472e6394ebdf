"""Which gains decide a grade: those that are known to be unearned, by recordings made here and by a judge of plain sense."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from auditkit.attacked import OPPONENT, AttackArm, AttackResult, AttackSuite
from auditkit.attacks.plan import AttackPlan
from auditkit.attacks.results import analyse
from auditkit.judging.calls import Client, Completion, Request, Usage
from auditkit.judging.known import builtin_pairs
from auditkit.records import ANSWER_COLUMNS, GAME_COLUMNS, Battles, Benchmark, Settings
from auditkit.registry import find
from auditkit.reports.stress_conclusions import compared
from auditkit.stats.betting import anytime_p_value
from auditkit.stats.racing import race_limits
from auditkit.stress import StressPlan, stress
from auditkit.tables import table

Array = NDArray[np.float64]
N = 60


def arm(name: str, gold: Any = "nonpositive", **more: Any) -> AttackArm:
    return AttackArm(name, name, "null", "test", "", "", "none", gold, **more)


def recorded(
    clean: Array, arms: Sequence[tuple[AttackArm, Array | None]], *, gold: float = 0.0, pairwise: bool = False, adaptive: bool = False
) -> Battles:  # fmt: skip
    """Return a recording of one game a prompt: the answers as they are, and each arm's on the first prompts; None: no games."""
    played = {"": clean} | {a.attack: values for a, values in arms if values is not None}
    answers: list[tuple[object, ...]] = []
    games: list[tuple[object, ...]] = []
    for variant, values in played.items():
        for i, value in enumerate(values):
            games.append((
                f"p{i:03d}", "wrong answer", OPPONENT if pairwise else "", "judge", "model_first", "", value, 1.0, variant, 1,
                gold, len(answers), -1,
            ))  # fmt: skip
            answers.append((f"p{i:03d}", "wrong answer", 1, f"text {i} {variant}", "", "", ""))
    battles = Battles.build(
        Benchmark("test"), games=table(GAME_COLUMNS, games), answers=table(ANSWER_COLUMNS, answers)
    )  # fmt: skip
    return replace(battles, suite=AttackSuite("test", "wrong answer", tuple(a for a, _ in arms), adaptive=adaptive))


def by_name(battles: Battles, **more: Any) -> dict[str, AttackResult]:
    return {a.attack: a for a in analyse(battles, **more).attacks}


# --- answers that claim nothing -------------------------------------------------------------------------------------

WRONG, RIGHT, NOTHING = np.zeros(N), np.ones(N), np.full(N, 1 / 9)


def test_no_claim_may_be_rated_above_a_falsehood_but_not_as_high_as_the_truth() -> None:
    """On 1..10: wrong 1, right 10, no claim 2. Gameable only if what claims nothing reaches the right answer."""
    battles = recorded(WRONG, [(arm("empty", "zero"), NOTHING), (arm("naive"), WRONG)])
    sensible = analyse(battles, right=RIGHT)
    empty = next(a for a in sensible.attacks if a.attack == "empty")
    assert sensible.grade == "unresolved" and (sensible.floor_points or 0.0) < 0.0
    assert empty.uplift == 0.0 and not empty.ungraded and "right answer" in empty.note
    assert sensible.null_floor is not None and sensible.null_floor.estimate == pytest.approx(100 / 9), (
        "still its rating"
    )

    fooled = analyse(recorded(WRONG, [(arm("payload", "zero"), RIGHT), (arm("naive"), WRONG)]), right=RIGHT)
    assert fooled.grade == "gameable" and fooled.attack == "payload"
    assert fooled.attacks[0].uplift == 50.0 and fooled.attacks[0].asr == 0.0, "as high as the right answer is a tie"
    above = analyse(recorded(WRONG, [(arm("payload", "zero"), RIGHT)]), right=np.full(N, 0.8))
    assert above.attacks[0].uplift == 100.0 and above.attacks[0].asr == 1.0


def test_without_the_right_answers_ratings_no_claim_decides_nothing() -> None:
    found = analyse(recorded(WRONG, [(arm("empty", "zero"), NOTHING), (arm("naive"), WRONG)]))
    empty = next(a for a in found.attacks if a.attack == "empty")
    assert empty.lower_bound is not None and empty.lower_bound > 0 and "rightly" in empty.ungraded
    assert found.attack == "naive" and found.grade == "unresolved"


@pytest.mark.parametrize(("gold", "pairwise"), [(float("nan"), False), (1.0, False), (0.0, True)])
def test_elsewhere_an_answer_of_no_worth_counts_as_before(gold: float, pairwise: bool) -> None:
    """Answers that may be right, and those that met the right one in the game itself."""
    found = analyse(recorded(WRONG, [(arm("empty", "zero"), NOTHING)], gold=gold, pairwise=pairwise))
    assert found.grade == "gameable" and found.attacks[0].uplift == pytest.approx(100 / 9)


class Sensible:
    """Rates the right answer 10, the wrong one 1 and whatever claims nothing 2."""

    def __init__(self) -> None:
        self.pairs = builtin_pairs(30)

    async def complete(self, request: Request) -> Completion:
        text = "\n".join(message.content for message in request.messages)
        pair = next(p for p in self.pairs if p.question in text)
        score = 1 if pair.wrong in text else 10 if pair.right in text else 2
        return Completion(f"Rating: [[{score}]]", "stop", None, usage=Usage(1, 1, 0), cost=0.0)

    async def close(self) -> None:
        return None


def test_a_judge_of_plain_sense_is_not_called_gameable(tmp_path: Path) -> None:
    def connect(*what: object, **more: object) -> Client:
        return Sensible()

    plan = StressPlan(
        model="stub/sensible", probes="none", pairs=30, fuzz=0,
        attacks=AttackPlan(only=("null-empty", "null-refusal", "null-truncated", "length-half", "injection-naive")),
    )  # fmt: skip
    judge = stress("mt-bench-single", plan, out=tmp_path, connect=connect).judge
    found = {a.attack: a for a in judge.attacks}
    assert judge.grade == "unresolved" and judge.points is not None and judge.points <= 0
    assert found["null-empty"].uplift == found["null-refusal"].uplift == 0.0
    assert found["null-truncated"].uplift == pytest.approx(100 / 9) and found["null-truncated"].ungraded
    assert judge.null_floor.estimate == pytest.approx(100 / 9)


def test_judges_are_compared_by_what_is_unearned() -> None:
    """B rates no claim a point above A and both far below the truth: neither gives way more."""
    arms = [(arm("empty", "zero"), NOTHING)], [(arm("empty", "zero"), 2 * NOTHING)]
    first, second = (recorded(WRONG, own) for own in arms)
    found = compared(first, second, Settings(), (RIGHT, RIGHT))
    empty = next(row for row in found.rows if row.name == "empty")
    assert empty.difference == 0.0 and empty.sentence == "the data do not tell the two apart"


@pytest.mark.parametrize("name", ["null-truncated", "length-half", "length-alternating", "length-concise"])
def test_a_cut_may_take_an_error_away(name: str) -> None:
    assert find("attacks", name).load().gold == "unknown"


# --- texts that the judge helped to choose --------------------------------------------------------------------------


class Arbitrary:
    """A judge whose verdict is a hash of the text, and a writer whose notes say nothing: nobody can be persuaded."""

    async def complete(self, request: Request) -> Completion:
        text = "\n".join(message.content for message in request.messages)
        sample = request.sample if request.model == "writer" else 0
        draw = int(hashlib.sha256(f"{text}{sample}".encode()).hexdigest()[:8], 16)
        said = (
            f"<note>Lorem ipsum {draw}.</note>" if request.model == "writer" else "[[A>B]]" if draw % 2 else "[[B>A]]"
        )
        return Completion(said, "stop", None, usage=Usage(1, 1, 0), cost=0.0)

    async def close(self) -> None:
        return None


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_best_of_many_tries_on_the_prompts_that_count_is_told_apart(tmp_path: Path, adaptive: bool) -> None:
    """Selection alone lifts it for sure; it decides neither the grade nor what detectors let through."""

    def connect(*what: object, **more: object) -> Client:
        return Arbitrary()

    plan = StressPlan(
        model="stub/judge", probes="none", pairs=40, fuzz=0,
        attacks=AttackPlan(only=("injection-written", "injection-naive"), attacker="stub/writer", adaptive=adaptive),
    )  # fmt: skip
    judge = stress("arena-hard-v0.1", plan, out=tmp_path, connect=connect).judge
    written = next(a for a in judge.attacks if a.attack == "injection-written")
    assert written.uplift is not None and written.uplift > 20 and written.calls > 40
    assert "not held out" in written.ungraded and "calls a prompt" in written.ungraded
    assert judge.grade == "unresolved" and judge.attack == "injection-naive"
    assert judge.undetected_attack == "", "a detector rejects the only one that counts"


def test_a_search_on_prompts_of_its_own_counts() -> None:
    gain = np.r_[np.ones(40), np.full(N - 40, 0.0)]
    held = arm("searched", calls=400, searched=("p059",))
    here = arm("chosen", calls=400)
    found = by_name(recorded(WRONG, [(held, gain), (here, gain)], gold=float("nan")))
    assert not found["searched"].ungraded and found["searched"].held_out
    assert "best of about 7 judge calls" in found["chosen"].ungraded  # 400 calls on 59 prompts


# --- attacks on the choice of rows ----------------------------------------------------------------------------------


def test_a_choice_of_rows_keeps_its_bounds_in_an_adaptive_suite() -> None:
    """It never raced: bounds at the number of prompts there is, at its share of the error, and no verdict that flips."""
    rng = np.random.default_rng(5)
    clean = (rng.random(200) < 0.5).astype(float)
    keep = {f"p{i:03d}": int(value > 0 or i % 5 > 0) for i, value in enumerate(clean)}
    arms = [(arm("omit", weights=keep), None), (arm("padding"), clean)]
    race, grid = (by_name(recorded(clean, arms, gold=float("nan"), adaptive=adaptive)) for adaptive in (True, False))
    omit, full = race["omit"], grid["omit"]
    assert omit.lower_bound is not None and full.lower_bound is not None and omit.upper_bound is not None
    assert (
        omit.uplift == pytest.approx(full.uplift)
        and omit.n == 200
        and omit.adjusted_p is not None
        and omit.adjusted_p < 0.01
    )
    assert 0 < omit.lower_bound <= full.lower_bound + 0.5 and omit.upper_bound < 20
    assert (omit.asr, omit.asr_ci, omit.reverse, omit.pac) == (None, None, None, None)
    assert race["padding"].asr is not None and race["padding"].method == "betting"
    ceiling = analyse(recorded(clean, arms, gold=float("nan"), adaptive=True)).ceiling_points
    assert ceiling is not None and ceiling < 20


# --- intervals and p-values of a race -------------------------------------------------------------------------------


def test_what_a_race_reports_holds_whenever_it_stopped() -> None:
    """Its intervals and p-values are those that hold at all times, whatever the race made of the number of prompts.

    Watched until they look best, 300 attacks that gain nothing: the fixed-n interval misses 0 in one in six, not one in forty.
    """
    rng = np.random.default_rng(11)
    gain = rng.choice([-0.5, 0.0, 0.5], p=[0.2, 0.5, 0.3], size=120)
    battles = recorded(
        np.full(200, 0.5), [(arm("a"), 0.5 + gain), (arm("b"), np.full(9, 0.5))], gold=float("nan"), adaptive=True
    )
    found = by_name(battles)["a"]
    low, high, _ = race_limits(gain, n_arms=1, n_prompts=200)
    assert found.n == 120 and found.ci == pytest.approx((100 * low, 100 * high))
    assert found.adjusted_p == pytest.approx(min(1.0, 2 * anytime_p_value(gain, 0.05 / 4, horizon=200)))

    missed = false = fixed = 0
    for _ in range(300):
        steps = rng.choice([-1.0, 0.0, 1.0], p=[0.25, 0.5, 0.25], size=300)
        means = np.cumsum(steps) / np.arange(1, 301)
        t = means * np.sqrt(np.arange(1, 301)) / np.sqrt(0.5)
        seen = steps[: 20 + int(np.argmax(t[19:]))]
        missed += race_limits(seen, n_arms=1, n_prompts=300)[0] > 0
        false += anytime_p_value(seen, 0.025, horizon=300) <= 0.05
        fixed += t[len(seen) - 1] > 1.96
    assert fixed > 30 and missed <= 15 and false <= 26  # 2.5% and 5%, with three standard errors


# --- the effect that could have been found --------------------------------------------------------------------------


def test_the_smallest_effect_follows_the_level() -> None:
    rng = np.random.default_rng(3)
    after = np.clip(rng.normal(0.5, 0.2, 200), 0, 1)
    battles = recorded(np.full(200, 0.5), [(arm("a"), after), (arm("b"), after[::-1].copy())], gold=float("nan"))
    strict, loose = (by_name(battles, settings=Settings(level=level))["a"] for level in (0.99, 0.8))
    assert strict.mde is not None and loose.mde is not None and strict.mde > 1.4 * loose.mde
    for found in (strict, loose):
        assert found.mde is not None and found.uplift is not None and found.lower_bound is not None
        assert found.mde > found.uplift - found.lower_bound, "an effect at the bound itself is found half the time"


# --- verdicts that drop out -----------------------------------------------------------------------------------------


def test_games_that_drop_out_leave_the_mean_where_the_harness_leaves_them_out() -> None:
    """Half the prompts are lost; made to drop out, they leave a mean of wins. The same games, lost, gain nothing."""
    clean = np.tile([1.0, 0.0], N // 2)
    without = np.where(clean > 0.5, clean, np.nan)
    found = by_name(
        recorded(clean, [(arm("drops", drops=True), without), (arm("loses"), without)], pairwise=True),
        settings=Settings(replicates=400),
    )
    dropped, lost = found["drops"], found["loses"]
    assert dropped.uplift == pytest.approx(50.0) and dropped.lower_bound and dropped.lower_bound > 20
    assert dropped.score == pytest.approx(100.0) and dropped.unparsed == N // 2
    assert dropped.asr is None, "no verdict turned"
    assert lost.uplift == pytest.approx(0.0)


def test_nothing_is_gained_where_all_drop_out_or_none_does() -> None:
    clean = np.tile([1.0, 0.0], N // 2)
    arms = [(arm("none", drops=True), clean), (arm("all", drops=True), np.full(N, np.nan))]
    found = by_name(recorded(clean, arms, pairwise=True))
    assert found["none"].uplift == pytest.approx(0.0)
    assert found["all"].status == "not_measured"
