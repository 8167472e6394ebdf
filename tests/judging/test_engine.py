"""Runs against a real loopback judge: what is planted is found, nothing is asked twice, nothing is lost."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import auditkit
from auditkit.errors import UsageError
from auditkit.formats import read
from auditkit.judging.engine import workers_for
from auditkit.judging.events import Snapshot
from auditkit.run import RunResult, run

if TYPE_CHECKING:
    from tests.judging.postgres_server import PostgresServer
    from tests.judging.world import Runner, World

pytest_plugins = ["tests.judging.world", "tests.judging.postgres_server"]


def planted(server: Any, **tastes: Any) -> None:
    """Give the judge known tastes."""
    from tests.judging.world import planted as make

    server.reply(make(server, **tastes))


def games(folder: Path) -> list[tuple[Any, ...]]:
    """Return what identifies each published game."""
    table = read(folder).games
    return list(
        table[["prompt_id", "model", "opponent", "order", "turn", "variant"]].itertuples(index=False, name=None)
    )


def asked(server: Any) -> Counter[str]:
    """Return how often each request arrived."""
    return Counter(json.dumps(seen.body, sort_keys=True) for seen in server.seen)


def under_way(concurrency: int) -> int:
    """Return how many calls a kill may meet between their start and the disk: one a worker."""
    return workers_for(concurrency)


# --- what is planted is found ---------------------------------------------------------------------------------------


def test_a_planted_preference_is_recovered_within_its_interval(world: World, server: Any, tmp_path: Path) -> None:
    """A judge that prefers the candidate on 70% of prompts gives a score whose interval holds 70."""
    world.files(prompts=150)
    planted(server, win=0.7)
    result = run(world.spec(), out=tmp_path / "run")
    assert result == RunResult(tmp_path / "run", 300, 300, 0, 0, 0, 300, 0.0, 300)
    raw = next(s for s in auditkit.audit(result.folder).submissions[0].scores if s.control == "raw")
    assert raw.ci is not None
    assert raw.ci[0] <= 70 <= raw.ci[1]
    assert raw.ci[1] - raw.ci[0] < 20


def test_position_bias_cancels_over_both_orders_and_not_in_one(world: World, server: Any, tmp_path: Path) -> None:
    """Half of all verdicts go to the first answer: both orders still give 50, one order does not, and the audit says so."""
    world.files(prompts=120)
    planted(server, win=0.5, first=0.5, seed=3)
    both = auditkit.audit(run(world.spec(), out=tmp_path / "both").folder).submissions[0]
    one = auditkit.audit(
        run(world.spec(judge='order = "model_first"', name="one.toml"), out=tmp_path / "one").folder
    ).submissions[0]
    fair, biased = (next(s for s in x.scores if s.control == "raw") for x in (both, one))
    assert fair.ci is not None
    assert biased.ci is not None
    assert fair.ci[0] <= 50 <= fair.ci[1]
    assert biased.ci[0] > 50
    assert both.position.design == "within_pair"
    assert both.position.effect_points is not None
    assert both.position.effect_points < -25
    assert one.position.design == "not_measured"
    assert any(r.rule.startswith("position") and r.status in ("warn", "not_measured", "fail") for r in one.reasons)


# --- verdicts -------------------------------------------------------------------------------------------------------


def test_an_unreadable_verdict_is_asked_for_once_more_and_then_recorded(
    world: World, server: Any, tmp_path: Path
) -> None:
    """Arena-Hard v0.1 asks a second time with a reminder; what stays unreadable is a game without an outcome."""
    world.files(prompts=3)
    server.reply(server.completion("I would rather not say."))
    result = run(world.spec(use="arena-hard-v0.1"), out=tmp_path / "run")
    assert (result.done, result.unparsed, result.calls) == (6, 6, 12)
    again = [seen.body["messages"] for seen in server.seen if len(seen.body["messages"]) > 2]
    assert len(again) == 6
    assert all(m[-2] == {"role": "assistant", "content": "I would rather not say."} for m in again)
    table = read(result.folder).games
    assert table["outcome"].isna().all()
    assert len(table) == 6
    assert run(world.spec(use="arena-hard-v0.1"), out=tmp_path / "run").calls == 0


def test_a_readable_second_attempt_counts(world: World, server: Any, tmp_path: Path) -> None:
    """A verdict that comes at the second attempt is the game's verdict, and the game's usage holds both calls."""
    world.files(prompts=1)
    mute, clear = server.completion("Hm."), server.completion("[[A>>B]]")

    async def behave(request: Any, body: Any) -> Any:
        return await (clear if len(body["messages"]) > 2 else mute)(request, body)

    server.reply(behave)
    result = run(world.spec(use="arena-hard-v0.1"), out=tmp_path / "run")
    table = read(result.folder).games
    assert sorted(table["outcome"]) == [0.0, 1.0]
    assert set(table["weight"]) == {3.0}
    assert result.unparsed == 0


def test_equal_answers_are_a_tie_without_a_call_where_the_protocol_says_so(
    world: World, server: Any, tmp_path: Path
) -> None:
    """AlpacaEval does not ask about equal answers; Arena-Hard does, and the run notes how many there were."""
    (world.folder / "cand.jsonl").write_text(
        (world.folder / "base.jsonl").read_text().replace('"model": "base"', '"model": "cand"')
    )
    result = run(world.spec(use="alpaca-eval-2"), out=tmp_path / "alpaca")
    assert (result.calls, result.done) == (0, 80)
    assert set(read(result.folder).games["outcome"]) == {0.5}
    server.reply(server.completion("[[A=B]]"))
    asked_too = run(world.spec(name="arena.toml"), out=tmp_path / "arena")
    assert asked_too.done == 80
    assert asked_too.calls == 40, "both orders of two equal answers are one request, which is paid once"
    assert any(note.kind == "identical" and note.count == 40 for note in read(asked_too.folder).notes)


def test_a_refused_request_is_a_game_without_an_outcome(world: World, server: Any, tmp_path: Path) -> None:
    """A context overflow cannot be mended by asking again: the run ends, and the game counts as missing."""
    from tests.judging.world import planted as make

    normal = make(server, win=1.0)
    refuse = server.error(400, "maximum context length exceeded", "context_length_exceeded")

    async def behave(request: Any, body: Any) -> Any:
        long = "Question number 7:" in body["messages"][-1]["content"]
        return await (refuse if long else normal)(request, body)

    server.reply(behave)
    result = run(world.spec(), out=tmp_path / "run")
    assert (result.rejected, result.done, result.complete) == (2, 78, True)
    table = read(result.folder).games
    assert len(table) == 80
    assert set(table.loc[table["outcome"].isna(), "prompt_id"]) == {"q7"}
    assert any(note.kind == "rejected" and note.count == 2 for note in read(result.folder).notes)


def test_repeated_games_measure_noise_and_are_no_part_of_the_score(world: World, server: Any, tmp_path: Path) -> None:
    """With three repeats each game is asked three times; only the first is scored, the others show the judge's noise."""
    world.files(prompts=10)
    draws = random.Random(0)  # noqa: S311  a test's draw

    async def behave(request: Any, body: Any) -> Any:
        return await server.completion(draws.choice(["[[A>B]]", "[[B>A]]"]))(request, body)

    server.reply(behave)
    result = run(world.spec(), out=tmp_path / "run", flags={"repeats": 3})
    assert result.calls == 60
    battles = read(result.folder)
    assert Counter(battles.games["variant"]) == {"": 20, "repeat-1": 20, "repeat-2": 20}
    noise = next(note for note in battles.notes if note.kind == "judge_noise")
    assert noise.count == 20
    assert auditkit.audit(result.folder).submissions[0].n == 10


# --- going on -------------------------------------------------------------------------------------------------------


def test_a_finished_run_asks_nothing_again_and_gives_the_same_bytes(world: World, server: Any, tmp_path: Path) -> None:
    """The second start makes no call, and publishes the same tables."""
    planted(server, win=0.6)
    first = run(world.spec(), out=tmp_path / "run")
    tables = {p.name: p.read_bytes() for p in (tmp_path / "run").glob("tables-*/*")}
    again = run(world.spec(), out=tmp_path / "run")
    assert (first.calls, again.calls) == (80, 0)
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").glob("tables-*/*")} == tables


def test_the_order_of_arrival_does_not_show(world: World, server: Any, tmp_path: Path) -> None:
    """Runs at different concurrency publish the same tables."""
    planted(server, win=0.6)
    published = []
    for concurrency in (1, 32):
        out = tmp_path / str(concurrency)
        run(world.spec(), out=out, flags={"concurrency": concurrency})
        published.append({p.name: p.read_bytes() for p in out.glob("tables-*/*")})
    assert published[0] == published[1]


def test_limit_and_only_choose_a_part_and_the_rest_comes_later(world: World, server: Any, tmp_path: Path) -> None:
    """A limited start asks for its part alone; the full one asks for what is left."""
    planted(server)
    assert run(world.spec(), out=tmp_path / "run", limit=5).calls == 10
    assert run(world.spec(), out=tmp_path / "run").calls == 70
    with pytest.raises(UsageError, match="neither a model nor a category"):
        run(world.spec(), out=tmp_path / "run", only=["nobody"])


def test_a_changed_answer_is_judged_anew_and_the_rest_is_not_paid_for_again(
    world: World, server: Any, tmp_path: Path
) -> None:
    """After an edit of one answer only its two games are asked."""
    planted(server)
    run(world.spec(), out=tmp_path / "run")
    path = world.folder / "cand.jsonl"
    path.write_text(path.read_text().replace("Answer 3 by cand", "Answer 3, revised, by cand"))
    again = run(world.spec(), out=tmp_path / "run")
    assert (again.calls, again.done) == (2, 80)
    assert "Answer 3, revised, by cand: because of reason 3." in set(read(again.folder).answers["text"])


def test_calls_that_fail_for_now_are_made_by_the_next_start(world: World, server: Any, tmp_path: Path) -> None:
    """A server that is down for one question leaves its games open, and the run can be resumed."""
    from tests.judging.world import planted as make

    normal, down = make(server, win=1.0), server.error(503, "overloaded")

    async def behave(request: Any, body: Any) -> Any:
        broken = "Question number 7:" in body["messages"][-1]["content"]
        return await (down if broken else normal)(request, body)

    server.reply(behave)
    first = run(world.spec(), out=tmp_path / "run", flags={"retry_total": 0.2})
    assert (first.failed, first.done, first.complete) == (2, 78, False)
    assert "overloaded" in first.problem
    assert len(games(first.folder)) == 78
    assert any(note.kind == "unplayed" and note.count == 2 for note in read(first.folder).notes)
    server.reply(normal)
    second = run(world.spec(), out=tmp_path / "run")
    assert (second.calls, second.done, second.complete) == (2, 80, True)


def test_a_storm_of_429_slows_the_run_and_loses_nothing(world: World, server: Any, tmp_path: Path) -> None:
    """A server that takes 4 at once and refuses the rest still answers every game exactly once."""
    from tests.judging.world import planted as make

    server.reply(server.busy_above(lambda: 4, make(server, win=0.5, latency=0.01), Retry_After="0"))
    result = run(world.spec(), out=tmp_path / "run", flags={"concurrency": 32})
    assert result.complete
    assert server.served == 80
    assert len(set(games(result.folder))) == 80


# --- stopping -------------------------------------------------------------------------------------------------------


def test_a_wrong_key_stops_at_once(world: World, server: Any, tmp_path: Path) -> None:
    """No further call is made once one has shown that none can succeed."""
    server.reply(server.error(401, "Incorrect API key provided", "invalid_api_key"))
    result = run(world.spec(run="concurrency = 4"), out=tmp_path / "run")
    assert not result.complete
    assert "key" in result.stopped
    assert len(server.seen) <= 4


def test_a_server_that_refuses_everything_stops_the_run(world: World, server: Any, tmp_path: Path) -> None:
    """When every request is refused from the start, the run does not go through all of them."""
    world.files(prompts=100)
    server.reply(server.error(400, "maximum context length exceeded", "context_length_exceeded"))
    result = run(world.spec(run="concurrency = 2"), out=tmp_path / "run")
    assert "in a row" in result.stopped
    assert len(server.seen) < 30


def test_a_judge_of_which_nothing_can_be_read_is_not_paid_to_the_end(world: World, server: Any, tmp_path: Path) -> None:
    """Thirty verdicts, none of which can be read: the run stops and says the commonest reason; all are stored."""
    world.files(prompts=200)
    server.reply(server.completion("Both have their merits."))
    result = run(world.spec(run="concurrency = 4"), out=tmp_path / "run")
    assert not result.complete
    assert "none of the judge's first 30 verdicts can be read; 30 times: no verdict on the final line" in result.stopped
    assert len(server.seen) < 50
    assert len(games(result.folder)) >= 30


def test_one_readable_verdict_is_enough_to_go_on(world: World, server: Any, tmp_path: Path) -> None:
    """A judge that is seldom clear is a finding, which the report shows: the run goes on."""
    mute, clear = server.completion("Hm."), server.completion("[[A>B]]")
    world.files(prompts=60)
    spoke = []

    async def behave(request: Any, body: Any) -> Any:
        spoke.append(1)
        return await (clear if len(spoke) == 1 else mute)(request, body)

    server.reply(behave)
    assert run(world.spec(run="concurrency = 1"), out=tmp_path / "two").complete


def test_a_wait_that_the_provider_asks_for_is_told(world: World, server: Any, tmp_path: Path) -> None:
    """Nobody has to wonder why nothing happens."""
    from tests.judging.world import planted as make

    world.files(prompts=1)
    normal, late, told = make(server, win=1.0), server.error(429, retry_after="5"), []

    async def behave(request: Any, body: Any) -> Any:
        return await (late if len(server.seen) == 1 else normal)(request, body)

    server.reply(behave)
    run(world.spec(run="concurrency = 1"), out=tmp_path / "run", listener=lambda s: told.append(s.wait))
    assert 5.0 in told and told[-1] == 0.0


def test_a_price_that_is_not_known_refuses_a_limit_on_cost(world: World, tmp_path: Path) -> None:
    """A limit that cannot be kept is refused before anything is asked."""
    with pytest.raises(UsageError, match="price of openai/judge"):
        run(world.spec(), out=tmp_path / "run", flags={"max_cost": 1.0})


def test_progress_counts_up_to_the_total(world: World, server: Any, tmp_path: Path) -> None:
    """Snapshots never go back, and the last one is complete."""
    planted(server, silent=0.3)
    seen: list[Snapshot] = []
    result = run(world.spec(), out=tmp_path / "run", listener=seen.append)
    assert [s.done for s in seen] == sorted(s.done for s in seen)
    assert (seen[-1].done, seen[-1].total, seen[-1].calls) == (80, 80, 80)
    assert seen[-1].unparsed == result.unparsed > 0


# --- processes ------------------------------------------------------------------------------------------------------


def _killed_runs(world: World, runner: Runner, server: Any, *, prompts: int, kills: int, concurrency: int) -> int:
    """Run to the end with kills at random points; return how many completed calls were made more than once."""
    world.files(prompts=prompts)
    planted(server, win=0.5, latency=0.02)
    spec = world.spec(run=f"concurrency = {concurrency}")
    draws = random.Random(5)  # noqa: S311  a test's draw
    for _ in range(kills):
        command = runner.start("run", spec, "--out", "run", "--quiet")
        goal = server.served + draws.randint(0, prompts // kills)
        limit = time.monotonic() + 60
        while server.served < goal and time.monotonic() < limit:
            time.sleep(0.002)
        time.sleep(draws.random() * 0.03)
        command.kill()
        assert command.wait() == -signal.SIGKILL
    last = runner.start("run", spec, "--out", "run", "--quiet")
    assert last.wait() == 0, last.said
    published = games(world.folder / "run")
    assert len(published) == len(set(published)) == 2 * prompts
    assert len(asked(server)) == 2 * prompts
    return int(server.served) - 2 * prompts


def test_kills_lose_no_game_and_repeat_only_calls_under_way(world: World, runner: Runner, server: Any) -> None:
    """Killed three times in the middle: every game is there once, at most the calls under way were repeated."""
    assert _killed_runs(world, runner, server, prompts=60, kills=3, concurrency=8) <= 3 * under_way(8)


@pytest.mark.slow
def test_twenty_kills_of_two_thousand_calls(world: World, runner: Runner, server: Any) -> None:
    """The same at full size: 2,000 calls, 20 kills at random points."""
    assert _killed_runs(world, runner, server, prompts=1000, kills=20, concurrency=32) <= 20 * under_way(32)


def test_interrupted_runs_end_soon_and_go_on(world: World, runner: Runner, server: Any) -> None:
    """Ctrl-C: exit code 4, one line that says how to go on, nothing that was paid for is lost."""
    planted(server, latency=0.05)
    spec = world.spec(run="concurrency = 4")
    command = runner.start("run", spec, "--out", "run")
    while server.served < 20:
        time.sleep(0.005)
    command.kill(signal.SIGINT)
    assert command.wait() == 4
    line = command.said.strip().splitlines()[-1]
    assert "interrupted" in line
    assert f"to go on: auditkit run {spec} --out run" in line
    assert len(games(world.folder / "run")) == server.served
    last = runner.start("run", spec, "--out", "run")
    assert last.wait() == 0
    assert server.served == 80


def test_a_second_interrupt_ends_at_once(world: World, runner: Runner, server: Any) -> None:
    """While calls hang, a second Ctrl-C does not wait for them."""
    planted(server, latency=30.0)
    command = runner.start("run", world.spec(run="concurrency = 4"), "--out", "run", "--quiet")
    while len(server.seen) < 4:
        time.sleep(0.005)
    command.kill(signal.SIGINT)
    time.sleep(0.3)
    command.kill(signal.SIGINT)
    assert command.wait() == 4
    assert "nothing was written that is not complete" in command.said


def test_two_processes_share_one_store(world: World, runner: Runner, server: Any) -> None:
    """Two starts of one run at the same time divide the calls between them: each is made once."""
    world.files(prompts=60)
    planted(server, latency=0.02)
    spec = world.spec(run="concurrency = 8")
    commands = [runner.start("run", spec, "--out", "run", "--quiet") for _ in range(2)]
    assert [command.wait() for command in commands] == [0, 0], [c.said for c in commands]
    assert server.served == 120
    assert len(set(games(world.folder / "run"))) == 120


@pytest.mark.slow
def test_two_processes_share_a_store_on_postgres(
    world: World, runner: Runner, server: Any, postgres: PostgresServer
) -> None:
    """The same on a Postgres server: no call is made twice, and the run is whole."""
    world.files(prompts=100)
    planted(server, latency=0.02)
    spec, url = world.spec(run="concurrency = 8"), postgres.emptied()
    commands = [runner.start("run", spec, "--out", "run", "--store", url, "--quiet") for _ in range(2)]
    assert [command.wait() for command in commands] == [0, 0], [c.said for c in commands]
    assert server.served == 200
    assert len(set(games(world.folder / "run"))) == 200
    assert not (world.folder / "run" / "store.sqlite").exists()
