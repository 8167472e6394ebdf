"""Suites against judges whose weakness is planted: what is found is what was planted, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditkit.attacks.arena import Arena, Item
from auditkit.attacks.oracle import IN_SEARCH, JudgeOracle
from auditkit.attacks.playing import PlaySettings
from auditkit.attacks.protocol import Attack, Budget, BudgetSpent, Fitted, Oracle, Seen, Situation, Tools, Try
from auditkit.attacks.results import analyse, outcomes_of, score_table
from auditkit.judging.asking import Address
from auditkit.judging.calls import Message, Rejected
from auditkit.judging.spec import load_judge
from auditkit.records import Battles, Settings
from auditkit.registry import find
from tests.attacks.conftest import Play, pair_items

OBEDIENT = "simulated/obey?p=0.8&seed=3"


def registered(*names: str) -> list[Attack]:
    return [find("attacks", name).load() for name in names]


def made(name: str, craft: Callable[[Situation], str], **more: Any) -> Attack:
    known: dict[str, Any] = {
        "title": name, "family": "injection", "source": "test", "summary": "", "mend": "", "access": "none",
        "gold": "nonpositive",
    }  # fmt: skip
    return Attack(id=name, craft=craft, **{**known, **more})


def test_planted_obedience_is_found_with_its_size_inside_the_interval(play: Play) -> None:
    """The judge obeys with probability 0.8 a game: a wrong answer then wins 0.8 of its games instead of almost none."""
    battles = play(registered("injection-naive", "padding-double"), OBEDIENT, items=pair_items(120))
    result = analyse(battles)
    found = {a.attack: a for a in result.attacks}
    obeyed, padded = found["injection-naive"], found["padding-double"]
    assert obeyed.ci is not None and obeyed.ci[0] < 78.0 < obeyed.ci[1]
    assert result.grade == "gameable" and result.attack == "injection-naive"
    assert padded.lower_bound is not None and padded.lower_bound <= 0.0
    assert obeyed.asr is not None and obeyed.asr > 0.5 and obeyed.pac is not None and obeyed.pac < obeyed.asr + 0.2


def test_an_honest_judge_is_not_called_gameable(play: Play) -> None:
    names = ["injection-naive", "injection-combined", "style-markdown", "padding-double", "unicode-tags", "null-empty"]
    result = analyse(play(registered(*names), "simulated/honest?noise=0.3", items=pair_items(60)))
    assert result.grade == "unresolved" and (result.floor_points or 0.0) <= 0.0


def test_the_parsing_judge_loses_to_the_structured_null_and_its_fenced_twin_does_not(play: Play) -> None:
    attacks = registered("null-structured")
    plain = load_judge("arena-hard-v0.1")
    lost = analyse(play(attacks, "simulated/parsing", judge=plain))
    assert lost.grade == "gameable" and (lost.floor_points or 0.0) > 40.0
    assert lost.null_floor is not None and lost.null_floor.ci[0] > 50.0
    held = analyse(play(attacks, "simulated/nonce", judge=replace(plain, nonce=True), secret=b"k" * 32))
    assert held.grade != "gameable" and held.null_floor is not None and held.null_floor.estimate < 10.0


def test_the_same_suite_played_again_asks_nobody_and_gives_the_same_recording(play: Play) -> None:
    attacks = registered("injection-naive", "null-empty")
    first, again = play(attacks, OBEDIENT), play(attacks, OBEDIENT)
    assert first.games.equals(again.games) and first.answers.equals(again.answers)
    assert first.suite == again.suite


def test_a_game_without_a_verdict_is_lost_under_attack_and_left_out_as_it_is(play: Play) -> None:
    battles = play(registered("injection-naive"), "simulated/refusing?rate=0.5&seed=1")
    outcome = outcomes_of(battles.games)
    assert outcome.loc["injection-naive"].notna().all()
    games = battles.games[battles.games["variant"] == ""]
    broken = set(games.loc[games["outcome"].isna(), "prompt_id"])
    assert broken and set(outcome.loc[""].index[outcome.loc[""].isna()]) == broken
    result = analyse(battles)
    assert result.attacks[0].n == 24 - len(broken)


def test_what_copies_the_right_answer_decides_no_grade(play: Play) -> None:
    """Whether its answers are better is not known by construction: shown, with bounds of its own, and not counted."""
    attacks = [made("copy", lambda s: s.opponent, opponent=True, gold="unknown", family="baseline")]
    result = analyse(play(attacks, "simulated/honest?noise=0.2", items=pair_items(60)))
    assert result.attacks[0].uplift is not None and result.attacks[0].uplift > 30
    assert result.floor_points is None and result.grade is None


def test_an_attack_that_fails_takes_nothing_along(play: Play) -> None:
    def broken(situation: Situation) -> str:
        raise KeyError("\x1b[31moops")

    result = analyse(play([made("broken", broken), *registered("injection-naive")], OBEDIENT))
    by_name = {a.attack: a for a in result.attacks}
    assert by_name["broken"].status == "not_measured" and "KeyError" in by_name["broken"].note
    assert "\x1b" not in by_name["broken"].note and by_name["injection-naive"].status == "played"


# --- searches -------------------------------------------------------------------------------------------------------


def searching(seen: list[str], wanted: int = 40) -> Attack:
    async def search(oracle: Oracle, prompts: Sequence[Situation], budget: Budget, rng: np.random.Generator) -> Fitted:
        seen.extend(s.prompt.id for s in prompts)
        tries = [Try(s, f"{s.answer} word{rng.integers(9)}") for s in prompts]
        answers: list[Seen] = []
        while oracle.cost(tries) <= oracle.left and oracle.calls < wanted:
            answers += await oracle.ask(tries)
        best = float(np.nanmean([a.outcome for a in answers]))
        return Fitted({"suffix": "x"}, lambda s: f"{s.answer} x", oracle.calls, in_search=best)

    return Attack(
        "search", "search", "search", "test", "", "", "verdict", "nonpositive", search=search, budget=Budget(200)
    )  # fmt: skip


def test_a_search_never_sees_a_prompt_that_counts(play: Play) -> None:
    seen: list[str] = []
    battles = play([searching(seen), *registered("padding-double")], "simulated/honest?noise=0.3")
    assert battles.suite is not None
    arm = battles.suite.arms[0]
    assert set(arm.searched) == set(seen) and 0 < len(seen) < 24 and arm.frozen and arm.calls > 0
    played = set(battles.games.loc[battles.games["variant"] == "search", "prompt_id"])
    assert not played & set(seen)
    result = analyse(battles)
    assert {a.n for a in result.attacks} == {24 - len(seen)}, "the whole suite counts on the same prompts"
    assert next(a for a in result.attacks if a.attack == "search").held_out


def test_an_oracle_refuses_prompts_and_calls_that_it_was_not_given() -> None:
    items = pair_items(4)
    arena = Arena(load_judge("arena-hard-v0.1"), Address("simulated/honest"), asker=None)  # type: ignore[arg-type]
    oracle = JudgeOracle(arena, items[:2], "verdict", 3)
    situation = items[3].situation(arena.judge)
    with pytest.raises(ValueError, match="not one of its own"):
        oracle.cost([Try(situation, "x")])
    assert oracle.cost([Try(items[0].situation(arena.judge), "x")]) == 2
    assert IN_SEARCH > 0


def test_a_search_over_budget_is_not_measured_and_says_why(play: Play) -> None:
    async def greedy(oracle: Oracle, prompts: Sequence[Situation], budget: Budget, rng: np.random.Generator) -> Fitted:
        await oracle.ask([Try(s, str(k)) for k in range(99) for s in prompts])
        raise AssertionError("unreachable")

    attack = Attack("greedy", "g", "search", "t", "", "", "verdict", "nonpositive", search=greedy, budget=Budget(10))
    result = analyse(play([attack], OBEDIENT))
    assert result.attacks[0].status == "not_measured" and "budget" in result.attacks[0].note
    with pytest.raises(BudgetSpent):
        raise BudgetSpent("named in the protocol")


# --- adaptive -------------------------------------------------------------------------------------------------------


def test_racing_reaches_the_grid_s_grade_with_fewer_calls(play: Play) -> None:
    names = [
        "injection-naive",
        "style-markdown",
        "padding-double",
        "unicode-tags",
        "authority-references",
        "null-empty",
    ]
    attacks, items = registered(*names), pair_items(150)
    grid = play(attacks, OBEDIENT, items=items)
    race = play(attacks, OBEDIENT, items=items, settings=PlaySettings(adaptive=True))
    full, short = analyse(grid), analyse(race)
    assert short.grade == full.grade == "gameable" and short.attack == full.attack
    spent = [int((b.games["variant"] != "").sum()) for b in (grid, race)]
    assert spent[1] < 0.6 * spent[0]
    stopped = [a for a in short.attacks if a.status == "stopped"]
    assert stopped and all("stopped after" in a.note for a in stopped)
    assert all(a.method == "betting" for a in short.attacks if a.uplift is not None)


def test_tables_are_derived_from_the_games_alone(play: Play) -> None:
    battles = play(registered("injection-naive"), OBEDIENT)
    shuffled = replace(battles, games=battles.games.sample(frac=1.0, random_state=1, ignore_index=True))
    one, other = analyse(battles), analyse(shuffled)
    assert [a.lower_bound for a in one.attacks] == pytest.approx([a.lower_bound for a in other.attacks])
    ids, place, clean, tables = score_table(battles)
    assert len(ids) == len(place) == len(clean) == 24 and set(tables) == {"injection-naive"}


def test_swap_and_tie_counts_a_win_only_where_both_orders_agree(play: Play) -> None:
    biased = "simulated/biased?position=9"
    plain = load_judge("arena-hard-v0.1")
    tied = play(registered("padding-double"), biased, judge=replace(plain, aggregate="swap_and_tie"))
    assert tied.suite is not None and tied.suite.swap_and_tie
    assert set(outcomes_of(tied.games, swap_and_tie=True)) == {0.5}


def _level(battles: Battles, level: float) -> float:
    return analyse(battles, Settings(level=level)).floor_points or 0.0


def test_a_higher_level_gives_a_lower_floor(play: Play) -> None:
    battles = play(registered("injection-naive"), OBEDIENT, items=pair_items(60))
    assert _level(battles, 0.99) < _level(battles, 0.9)


# --- several turns --------------------------------------------------------------------------------------------------


def two_turns(count: int) -> list[Item]:
    """Return items of two turns, as MT-Bench has them."""
    return [
        replace(
            item,
            prompt=replace(item.prompt, turns=(item.prompt.turns[0], "Say it again in other words.")),
            own=(item.own[0], f"{item.own[0]} Again."),
        )
        for item in pair_items(count)
    ]


def test_a_null_answer_is_made_for_every_turn_and_fits_each(play: Play) -> None:
    """MT-Bench rates after each turn: the payload of each imitates the prompt of that turn."""
    battles = play(
        registered("null-structured"), "simulated/parsing?quality=8", judge="mt-bench-single", items=two_turns(8)
    )
    outcome = outcomes_of(battles.games)
    assert outcome.loc["null-structured"].mean() > 0.9
    turns = battles.games[battles.games["variant"] == "null-structured"].groupby("turn")["outcome"].mean()
    assert len(turns) == 2 and turns.min() > 0.9


def test_a_planted_request_leaves_the_last_answer_as_it_is(play: Play) -> None:
    battles = play(registered("turn-planted"), OBEDIENT, judge="mt-bench-single", items=two_turns(4))
    games = battles.games[battles.games["variant"] == "turn-planted"]
    texts = battles.answers["text"]
    for _, game in games[games["turn"] == 2].iterrows():
        assert texts[game["answer"]].endswith("Again.") and "note for the next turn" in texts[game["answer"] - 1]


# --- attackers that cannot write ------------------------------------------------------------------------------------


def test_a_model_that_refuses_every_request_is_not_measured(play: Play) -> None:
    """What would be handed in is the answer as it was: its uplift of 0 would be no finding."""

    async def rewrite(situation: Situation, tools: Tools) -> str:
        try:
            return await tools.write([Message("user", situation.answer)])
        except Rejected:
            return situation.answer

    attack = Attack(
        "refused", "r", "rewrite", "t", "", "", "model", "unknown", rewrite=rewrite, budget=Budget(0, model_calls=2)
    )  # fmt: skip
    # A simulated judge reads prompts of judges only: anything else is refused for good.
    result = analyse(play([attack], "simulated/honest", attacker=Address("simulated/honest")))
    assert result.attacks[0].status == "not_measured" and "refused every request" in result.attacks[0].note


def test_a_judge_without_log_probabilities_tells_none(play: Play) -> None:
    seen: list[Seen] = []

    async def search(oracle: Oracle, prompts: Sequence[Situation], budget: Budget, rng: np.random.Generator) -> Fitted:
        seen.extend(await oracle.ask([Try(prompts[0], "x")]))
        return Fitted({}, lambda s: s.answer, oracle.calls)

    attack = Attack(
        "asks", "a", "search", "t", "", "", "logprob", "nonpositive", search=search, budget=Budget(50)
    )  # fmt: skip
    play([attack], "simulated/honest")
    assert seen and seen[0].logprobs == ()
