"""Answers are generated turn by turn, traces are kept apart, and nothing is asked twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditkit.formats import read
from auditkit.run import run

if TYPE_CHECKING:
    from tests.judging.world import World

pytest_plugins = ["tests.judging.world"]

_TWO = """[[models]]
name = "cand"
model = "openai/cand-model"
base_url = "{url}"
system = "You are terse."
params = {{ temperature = 0.5, max_tokens = 64 }}
[[models]]
name = "base"
model = "openai/base-model"
base_url = "{url}"
"""


def writes_and_judges(server: Any, *, said: str = "{last} by {model}", finish: str = "stop") -> None:
    """Let the server write answers for the two models, and prefer A as their judge."""

    async def behave(request: Any, body: Any) -> Any:
        if body["model"] == "judge":
            return await server.completion("[[A>B]]")(request, body)
        last = body["messages"][-1]["content"]
        text = said.format(last=last, model=body["model"])
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        return await server.completion(text, choices=[choice])(request, body)

    server.reply(behave)


def test_missing_answers_are_generated_once(world: World, server: Any, tmp_path: Path) -> None:
    """Both models write all answers, then the judge compares them; a second start asks nothing."""
    world.files(prompts=10)
    writes_and_judges(server)
    spec = world.spec(models=_TWO.format(url=world.url), baseline='baseline = "base"')
    result = run(spec, out=tmp_path / "run")
    assert (result.games, result.done, result.calls) == (20, 20, 40)
    answers = read(result.folder).answers
    assert len(answers) == 20
    assert set(answers.loc[answers["model"] == "cand", "text"]) == {
        f"Question number {i}: why? by cand-model" for i in range(10)
    }
    sent = next(seen.body for seen in server.seen if seen.body["model"] == "cand-model")
    assert sent["messages"][0] == {"role": "system", "content": "You are terse."}
    assert (sent["temperature"], sent["max_tokens"]) == (0.5, 64)
    assert run(spec, out=tmp_path / "run").calls == 0


def test_a_second_turn_sees_the_first_answer_and_never_its_trace(world: World, server: Any, tmp_path: Path) -> None:
    """Turns go one after the other; a trace is stored, but shown to nobody."""
    (world.folder / "question.jsonl").write_text(
        json.dumps({"question_id": 81, "category": "writing", "turns": ["First?", "Second?"]}) + "\n"
    )
    writes_and_judges(server, said="<think>secret of {model}</think>said {last}", finish="length")
    spec = world.spec(models=_TWO.format(url=world.url), baseline='baseline = "base"', use="mt-bench-pairwise")
    run(spec, out=tmp_path / "run")
    second = [m for s in server.seen if s.body["model"] != "judge" and len(m := s.body["messages"]) > 2]
    assert [m[-3:] for m in second] == [
        [
            {"role": "user", "content": "First?"},
            {"role": "assistant", "content": "said First?"},
            {"role": "user", "content": "Second?"},
        ]
    ] * 2
    assert all("secret" not in json.dumps(s.body) for s in server.seen if s.body["model"] == "judge")
    answers = read(tmp_path / "run").answers
    cand = answers[answers["model"] == "cand"].sort_values("turn")
    assert list(cand["text"]) == ["said First?", "said Second?"]
    assert cand["trace"].iloc[-1] == "secret of cand-model\nsecret of cand-model"
    assert cand["finish"].iloc[-1] == "length"


def test_an_answer_that_is_refused_leaves_its_prompt_out_and_says_so(world: World, server: Any, tmp_path: Path) -> None:
    """The game cannot be played; the recording counts the prompt as missing, with the reason."""
    world.files(prompts=10)
    writes_and_judges(server)
    normal = server.behaviours[0]
    refuse = server.error(400, "maximum context length exceeded", "context_length_exceeded")

    async def behave(request: Any, body: Any) -> Any:
        odd = body["model"] == "cand-model" and "number 3:" in body["messages"][-1]["content"]
        return await (refuse if odd else normal)(request, body)

    server.reply(behave)
    spec = world.spec(models=_TWO.format(url=world.url), baseline='baseline = "base"')
    result = run(spec, out=tmp_path / "run")
    assert (result.games, result.rejected, result.complete) == (18, 1, True)
    dropped = read(result.folder).dropped
    assert [(r.prompt_id, r.model, r.reason) for r in dropped.itertuples()] == [("q3", "cand", "no_answer")]
    assert "context" in dropped["where"].iloc[0]
    assert read(result.folder).benchmark.expected == 10


def test_only_the_wanted_model_and_its_baseline_write(world: World, server: Any, tmp_path: Path) -> None:
    """``only`` saves the answers of models that are not asked for."""
    world.files(prompts=4)
    writes_and_judges(server)
    third = f'[[models]]\nname = "third"\nmodel = "openai/third-model"\nbase_url = "{world.url}"\n'
    spec = world.spec(models=_TWO.format(url=world.url) + third, baseline='baseline = "base"')
    result = run(spec, out=tmp_path / "run", only=["cand"])
    assert {seen.body["model"] for seen in server.seen} == {"cand-model", "base-model", "judge"}
    assert result.games == 8
    assert run(spec, out=tmp_path / "run").calls == 4 + 8
