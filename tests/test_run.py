"""The job `run`: what it refuses before it asks anybody, and what it leaves on the disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import auditkit
from auditkit.errors import AuditkitError, InputError, UsageError
from auditkit.formats import run_folder
from auditkit.gates import check_gates
from auditkit.judging.spec import load_judge
from auditkit.judging.store import Store
from auditkit.run import dry_run, run

#: The discard port of the loopback interface: nobody listens there, and nothing is asked in these tests.
NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A run spec with four prompts, two of them in another category, and recorded answers."""
    with (tmp_path / "question.jsonl").open("w") as handle:
        for i in range(4):
            category = "hard_prompt" if i < 2 else "creative_writing"
            handle.write(json.dumps({"uid": f"q{i}", "category": category, "prompt": f"Question {i}?"}) + "\n")
    for model in ("cand", "base", "other"):
        with (tmp_path / f"{model}.jsonl").open("w") as handle:
            for i in range(4):
                handle.write(json.dumps({"uid": f"q{i}", "model": model, "answer": f"{i} of {model}"}) + "\n")
    path = tmp_path / "audit.toml"
    path.write_text(
        '[benchmark]\npath = "question.jsonl"\nbaseline = "base.jsonl"\n\n[[models]]\nname = "cand"\n'
        f'answers = "cand.jsonl"\n\n[judge]\nuse = "arena-hard-v2.0"\nmodel = "openai/judge"\nbase_url = "{NOWHERE}"\n'
    )
    return path


def changed(spec: Path, old: str, new: str) -> Path:
    """Replace a part of the spec."""
    text = spec.read_text()
    assert old in text
    spec.write_text(text.replace(old, new))
    return spec


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ('path = "question.jsonl"', 'path = "nothing.jsonl"', InputError, "no such file"),
        ('answers = "cand.jsonl"', 'answers = "audit.toml"', InputError, "audit.toml"),
        ('baseline = "base.jsonl"', 'baseline = "cand"', InputError, "every model is a baseline"),
        ('baseline = "base.jsonl"', 'baseline = "cand.jsonl"', InputError, "also a model of the spec"),
        ('baseline = "base.jsonl"', "", InputError, "'o3-mini-2025-01-31' in category 'hard_prompt'"),
        (
            'baseline = "base.jsonl"', 'baseline = { hard_prompt = "base.jsonl" }', InputError,
            "no baseline for category 'creative_writing'",
        ),
        ('use = "arena-hard-v2.0"', 'use = "arena-hard-v9"', UsageError, "arena-hard-v9"),
        ('use = "arena-hard-v2.0"', 'use = "./mine.toml"', InputError, "no such file"),
        ('model = "openai/judge"', 'model = "nobody/judge"', UsageError, "nobody"),
        (f'base_url = "{NOWHERE}"', 'base_url = "not an address"', UsageError, "base_url must be an address"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_is_asked(
    spec: Path, tmp_path: Path, old: str, new: str, error: type[AuditkitError], message: str
) -> None:
    """One line that names what is wrong; no table is published."""
    with pytest.raises(error, match=message) as caught:
        run(changed(spec, old, new), out=tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("run/run.toml"))


def test_a_server_that_is_away_stops_the_run_which_can_go_on(spec: Path, tmp_path: Path) -> None:
    """Nothing is published while there is no verdict; the result says what to mend."""
    result = run(spec, out=tmp_path / "run", flags={"retry_total": 0.05, "concurrency": 1})
    assert not result.complete
    assert result.done == 0
    assert "cannot connect" in result.problem
    assert not (tmp_path / "run" / "run.toml").exists()


def test_baselines_go_by_category(spec: Path, tmp_path: Path) -> None:
    """Each category has its own opponent, named or from a file; a model that is one is not judged."""
    text = 'baseline = { hard_prompt = "other", "*" = "base.jsonl" }'
    changed(spec, 'baseline = "base.jsonl"', text)
    changed(spec, "[judge]", '[[models]]\nname = "other"\nanswers = "other.jsonl"\n\n[judge]')
    found = dry_run(spec, out=tmp_path / "run")
    assert found.calls == 8
    assert dry_run(spec, out=tmp_path / "run", only=["hard_prompt"]).calls == 4
    assert dry_run(spec, out=tmp_path / "run", limit=1).calls == 2
    with pytest.raises(UsageError, match="there are: cand, creative_writing, hard_prompt"):
        dry_run(spec, out=tmp_path / "run", only=["other"])


def test_a_judge_that_sees_one_answer_needs_no_baseline(spec: Path, tmp_path: Path) -> None:
    """Ratings have no opponent and no order."""
    changed(spec, 'baseline = "base.jsonl"\n', "")
    changed(spec, "arena-hard-v2.0", "wildbench-score")
    with (tmp_path / "question.jsonl").open("w") as handle:
        handle.writelines(
            json.dumps({"session_id": f"q{i}", "prompt": f"Question {i}?", "checklist": ["Is it so?"]}) + "\n"
            for i in range(4)
        )
    assert dry_run(spec, out=tmp_path / "run").calls == 4
    changed(spec, "[judge]", '[judge]\norder = "both"')
    assert dry_run(spec, out=tmp_path / "run").calls == 4
    changed(spec, 'order = "both"', 'order = "model_first"')
    with pytest.raises(UsageError, match="no order"):
        dry_run(spec, out=tmp_path / "run")


def test_publishing_replaces_whole_recordings(tmp_path: Path, spec: Path) -> None:
    """A reader never meets a mixture: the tables of one recording lie in one folder that run.toml names."""
    from auditkit.demo import generate

    battles = generate(seed=1)
    folder = tmp_path / "run"
    run_folder.publish(battles, folder, "\n[judge]\nname = 'x'\n")
    (folder / ".tables-left").mkdir()
    first = (folder / "run.toml").read_bytes()
    run_folder.publish(battles, folder, "\n[judge]\nname = 'x'\n")
    assert (folder / "run.toml").read_bytes() == first
    run_folder.publish(generate(seed=2), folder)
    assert len(list(folder.glob("tables-*"))) == 1
    assert not list(folder.glob(".tables-*"))
    again = run_folder.read(folder)
    assert again.games.equals(generate(seed=2).games)
    text = (folder / "run.toml").read_text()
    (folder / "run.toml").write_text(text.replace('tables = "tables-', 'tables = "../tables-'))
    with pytest.raises(InputError, match="field 'tables'"):
        auditkit.read(folder)


def test_the_store_holds_no_secret(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the environment is in no file of the run folder."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-this-test")
    run(spec, out=tmp_path / "run", flags={"retry_total": 0.05, "concurrency": 1})
    with Store.open(tmp_path / "run" / "store.sqlite") as store:
        assert store.runs()
    held = [p for p in (tmp_path / "run").rglob("*") if p.is_file() and b"sk-secret" in p.read_bytes()]
    assert held == []


def test_one_models_name_at_two_addresses_is_refused(spec: Path, tmp_path: Path) -> None:
    """The store tells answers apart by what was asked: the second server's would be taken for the first one's."""
    two = "".join(
        f'[[models]]\nname = "{name}"\nmodel = "openai/served"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
        for name, port in (("one", 9), ("two", 10))
    )
    changed(spec, "[[models]]\nname", f"{two}[[models]]\nname")
    with pytest.raises(UsageError, match="models 'one' and 'two' are both openai/served, at two addresses"):
        run(spec, out=tmp_path / "run")
    changed(spec, "127.0.0.1:10/", "127.0.0.1:9/")
    assert dry_run(spec, out=tmp_path / "run").calls > 0


def test_the_judge_is_kept_with_the_run_and_its_gates_are_measured(spec: Path, tmp_path: Path) -> None:
    """What decided the verdicts, with the run's own parameters, is in the folder; an audit tries to break it."""
    changed(spec, 'model = "openai/judge"', 'model = "simulated/honest"\nparams = { temperature = 0.5 }')
    changed(spec, f'base_url = "{NOWHERE}"', "")
    done = run(spec, out=tmp_path / "run")
    assert done.complete
    judge = load_judge(done.folder / "judge.toml")
    assert (judge.name, judge.params["temperature"]) == ("arena-hard-v2.0", 0.5)
    gates = {check.gate.gate: check.gate for check in check_gates(run_folder.read(done.folder))}
    assert {gates[g].status for g in ("H1", "H2", "H3", "H4", "H12")} == {"pass"}
    assert {gates[g].kind for g in ("H1", "H2", "H3", "H4")} == {"proved"}


@pytest.mark.parametrize("name", ["Qwen/Qwen2.5", "my model", "gpt-4.1", "a\x1b[31mb", 'quo"te\\', "=cmd()", "ключ"])
def test_a_run_can_be_audited_whatever_its_models_are_called(spec: Path, tmp_path: Path, name: str) -> None:
    """A name becomes a key of run.toml: it is quoted, so that a slash, a dot or an escape breaks nothing."""
    changed(spec, 'name = "cand"', f"name = {json.dumps(name)}")
    changed(spec, 'model = "openai/judge"\nbase_url = "http://127.0.0.1:9/v1"', 'model = "simulated/honest"')
    folder = run(spec, out=tmp_path / "run").folder
    battles = run_folder.read(folder)
    assert len(battles.models) == 1 and len(battles.games) == 8


def test_a_key_in_an_address_is_refused(spec: Path, tmp_path: Path) -> None:
    changed(spec, NOWHERE, f"{NOWHERE}?api_key=hunter2hunter2")
    with pytest.raises(InputError, match="key or password") as raised:
        run(spec, out=tmp_path / "run")
    assert "hunter2" not in str(raised.value) and not (tmp_path / "run").exists()


def test_two_models_with_one_answer_are_one_call(spec: Path, tmp_path: Path) -> None:
    """Their games ask the judge the same: it is asked, and paid, once, and both games take its one verdict."""
    twin = (tmp_path / "cand.jsonl").read_text().replace('"cand"', '"twin"')
    (tmp_path / "twin.jsonl").write_text(twin)
    changed(spec, "[judge]", '[[models]]\nname = "twin"\nanswers = "twin.jsonl"\n\n[judge]')
    changed(spec, 'model = "openai/judge"\nbase_url = "http://127.0.0.1:9/v1"', 'model = "simulated/honest"')
    done = run(spec, out=tmp_path / "run")
    assert done.games == 16 and done.done == 16 and done.calls == 8
    games = run_folder.read(done.folder).games.pivot(index=["prompt_id", "order"], columns="model", values="outcome")
    assert games["cand"].equals(games["twin"].rename("cand"))
