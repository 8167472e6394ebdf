"""The certify job and its key: decisions, documents, exit codes, and a secret that stays one."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from auditkit.certify import certify
from auditkit.cli import main
from auditkit.errors import InputError, UsageError
from auditkit.formats import run_folder
from auditkit.judging.known import builtin_pairs
from auditkit.records import Battles, Settings
from auditkit.reports.envelope import load_key, load_public_key, new_key
from auditkit.verify import verify

ROOT = Path(__file__).resolve().parents[1]
FAST = Settings(replicates=50)
QUICK = ("--replicates", "50", "--quiet")


def _run(*args: object, **environment: str) -> Any:
    return CliRunner(env=environment).invoke(main, [str(a) for a in args])


@pytest.fixture(scope="module")
def recording(simulate: Callable[..., Battles], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An honest submission and a constant one."""
    folder = tmp_path_factory.mktemp("recording") / "results"
    run_folder.write(simulate({"honest": 0.4, "null": 1.5}, prompts=80, constant=frozenset({"null"})), folder)
    return folder


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key."""
    path = tmp_path_factory.mktemp("key") / "signing.key"
    new_key(path)
    return path


# --- decisions ----------------------------------------------------------------------------------------------------


def test_the_exit_code_is_that_of_the_selected_submissions(recording: Path, tmp_path: Path) -> None:
    """One rejected submission of two: 1; the honest one alone: 0; too little data by the policy: 3."""
    out = tmp_path / "out"
    base = ("certify", recording, "--out", out, *QUICK)
    both = _run(*base)
    assert both.exit_code == 1, both.output
    assert "null: rejected" in both.stdout and "NOT SIGNED" in both.stdout
    assert {p.name for p in out.iterdir()} == {
        "certificate-honest.json", "certificate-null.json", "policy.toml", "report.html", "report.json",
    }  # fmt: skip
    honest = _run(*base, "--only", "honest")
    assert honest.exit_code == 0, honest.output
    assert "certificate-null.json is of another run" in honest.stderr
    assert _run(*base, "--only", "honest", "--policy", "strict").exit_code == 3
    assert _run(*base, "--only", "nobody").exit_code == 2


def test_a_spec_is_judged_and_attacked_first_and_the_certificate_can_be_recomputed(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command from a spec to a certificate; made again it asks nobody and writes the same bytes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(time.time())))

    def write(name: str, rows: list[dict[str, str]]) -> None:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    known = builtin_pairs(60)
    write("prompts.jsonl", [{"id": p.id, "prompt": p.question} for p in known])
    write("baseline.jsonl", [{"id": p.id, "answer": p.right if i % 2 else p.wrong} for i, p in enumerate(known)])
    write("mine.jsonl", [{"id": p.id, "answer": p.right} for p in known])
    (tmp_path / "audit.toml").write_text(
        '[benchmark]\npath = "prompts.jsonl"\nbaseline = "baseline.jsonl"\n[[models]]\nname = "mine"\n'
        'answers = "mine.jsonl"\n[judge]\nuse = "arena-hard-v0.1"\nmodel = "simulated/obey?p=0.9"\n'
    )
    args = ("certify", "audit.toml", "--attacks", "quick", "--key", key, "--out", "out", *QUICK)
    first = _run(*args)
    assert first.exit_code in (0, 1), first.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    (submission,) = report["submissions"]
    assert submission["gameability"]["points"] > 5 and submission["attacks"]
    certificate = (tmp_path / "out" / "certificate.json").read_bytes()
    assert _run(*args).exit_code == first.exit_code
    assert (tmp_path / "out" / "certificate.json").read_bytes() == certificate
    checked = _run(
        "verify", "out/certificate.json", "--pubkey", f"{key}.pub", "--inputs", "runs/audit", "--recompute"
    )  # fmt: skip
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("wrong", [("--policy", "nosuch.toml"), ("--key", "nosuch.key"), ("--export", "nosuch=x")])
def test_a_judge_is_paid_only_when_all_else_can_be_used(wrong: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "audit.toml").write_text("")  # not even a spec: it is not looked at
    refused = _run("certify", tmp_path / "audit.toml", *wrong)
    assert refused.exit_code == 2 and "nosuch" in refused.output, refused.output


def test_what_is_for_a_spec_alone_is_refused_elsewhere(recording: Path) -> None:
    refused = _run("certify", recording, "--attacks", "quick")
    assert refused.exit_code == 2 and "are for a spec" in refused.output


def test_json_is_all_that_is_on_standard_output(recording: Path, tmp_path: Path) -> None:
    """The decision by submission, with reasons, grade and the certificate's place."""
    shown = json.loads(_run("certify", recording, "--out", tmp_path / "out", "--json", *QUICK).stdout)
    assert shown["exit_code"] == 1
    by_model = {s["model"]: s for s in shown["submissions"]}
    assert by_model["null"]["verdict"] == "rejected"
    assert any(r["rule"] == "detectors_reject" and r["status"] == "fail" for r in by_model["null"]["reasons"])
    for s in shown["submissions"]:
        assert Path(s["certificate"]).is_file()


def test_a_submission_is_compared_with_the_benchmarks_others(
    simulate: Callable[..., Battles], tmp_path: Path, key: Path
) -> None:
    """`--benchmark` adds recordings that are audited along and not certified; both are needed to check it."""
    whole = simulate({"new": 0.4, "old": 0.0, "null": 2.0}, prompts=80, constant=frozenset({"null"}))
    for name, models in (("submission", {"new"}), ("board", {"old", "null"})):
        games = whole.games[whole.games["model"].isin(models)]
        run_folder.write(replace(whole, games=games), tmp_path / name)
    found = certify(tmp_path / "submission", benchmark=[tmp_path / "board"], settings=FAST, key=key)
    assert [c.model for c in found.certificates] == ["new"]
    assert {s.model for s in found.report.submissions} == {"new", "old", "null"}
    assert found.exit_code == 0, "the board's own null model is not on trial"
    (new,) = found.selected.submissions
    assert new.null_floor.attack == "recorded submission null" and new.ranks["raw"].rank >= 1
    out = tmp_path / "out"
    out.mkdir()
    for name, data in {**found.documents, "certificate.json": found.certificates[0].data}.items():
        (out / name).write_bytes(data)
    public = key.with_name("signing.key.pub")
    held = verify(out / "certificate.json", pubkey=public, inputs=[tmp_path], recompute=True)
    assert held.holds is True, held.checks
    (tmp_path / "board").rename(tmp_path / "gone")
    assert verify(out / "certificate.json", pubkey=public, inputs=[tmp_path]).holds is None


def test_same_inputs_same_bytes_and_no_path_of_this_machine(
    recording: Path, key: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With SOURCE_DATE_EPOCH every document is the same wherever the recording lies, signature included."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    shutil.copytree(recording, tmp_path / "elsewhere" / "results")
    one, other = (certify(p, settings=FAST, key=key) for p in (recording, tmp_path / "elsewhere" / "results"))
    assert one.documents == other.documents
    assert [c.data for c in one.certificates] == [c.data for c in other.certificates]
    for data in one.documents.values():
        assert str(recording.parent).encode() not in data
    report = json.loads(one.documents["report.json"])
    assert report["inputs"][0]["path"] == "results/run.toml"
    assert report["method"]["command"].startswith("auditkit certify results ")


def test_what_cannot_be_read_is_left_out_by_name_and_that_is_certified_too(
    recording: Path, key: Path, tmp_path: Path
) -> None:
    """`--keep-going`: the note names the recording, not the machine, and verification reads the same."""
    shutil.copytree(recording, tmp_path / "results")
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{")
    with pytest.raises(InputError):
        certify(tmp_path / "results", broken, settings=FAST)
    found = certify(tmp_path / "results", broken, settings=FAST, key=key, keep_going=True, only=["honest"])
    (note,) = [n for n in found.report.notes if n.kind == "skipped"]
    assert note.path == "broken.jsonl" and str(tmp_path) not in note.text
    for name, data in {**found.documents, "certificate.json": found.certificates[0].data}.items():
        (tmp_path / name).write_bytes(data)
    public = key.with_name("signing.key.pub")
    assert verify(tmp_path / "certificate.json", pubkey=public, recompute=True).holds is True
    broken.write_text("")
    assert verify(tmp_path / "certificate.json", pubkey=public, recompute=True).holds is False


def test_two_recordings_of_one_name_are_told_apart(simulate: Callable[..., Battles], tmp_path: Path, key: Path) -> None:
    """Both are called results: the second is results~2, and is found by its place among --inputs."""
    whole = simulate({"a": 0.4, "b": 0.0}, prompts=60)
    for model in ("a", "b"):
        run_folder.write(replace(whole, games=whole.games[whole.games["model"] == model]), tmp_path / model / "results")
    places = [tmp_path / "a" / "results", tmp_path / "b" / "results"]
    found = certify(*places, settings=FAST, key=key, only=["a"])
    out = tmp_path / "out"
    out.mkdir()
    for name, data in {**found.documents, "certificate.json": found.certificates[0].data}.items():
        (out / name).write_bytes(data)
    public = key.with_name("signing.key.pub")
    assert verify(out / "certificate.json", pubkey=public, inputs=places, recompute=True).holds is True
    assert verify(out / "certificate.json", pubkey=public, inputs=places[::-1]).holds is False


def test_hostile_names_stay_in_their_place(simulate: Callable[..., Battles], tmp_path: Path) -> None:
    """Names with paths, escapes and markup become plain file names, one each, inside --out."""
    names = ["../../evil", "a/b", "<script>", "\x1b[31mred", "con", "CON", "=cmd()", ".hidden", "x" * 300]
    folder = tmp_path / "results"
    run_folder.write(simulate(dict.fromkeys(names, 0.0), prompts=55), folder)
    out = tmp_path / "deep" / "out"
    shown = _run("certify", folder, "--out", out, *QUICK, "--junit", out / "j.xml")
    assert shown.exit_code in (0, 3), shown.output
    assert "\x1b[31m" not in shown.stdout
    made = [p for p in out.iterdir() if p.name.startswith("certificate")]
    assert len({p.name.casefold() for p in made}) == len(names)
    assert all(re.fullmatch(r"certificate-[A-Za-z0-9_.-]{1,80}\.json", p.name) for p in made)
    assert {p.name for p in tmp_path.iterdir()} == {"results", "deep"}


def test_what_cannot_be_certified_is_one_clear_line(recording: Path, tmp_path: Path, shared_data: Path) -> None:
    """No path, judges, overlapping paths, a seed beyond JSON, an unknown exporter, mixed modes."""
    with pytest.raises(UsageError, match="no path"):
        certify()
    with pytest.raises(UsageError, match="measure judges"):
        certify(next((shared_data / "judgebench").rglob("*.jsonl")), settings=FAST)
    with pytest.raises(InputError, match="overlaps"):
        certify(recording, benchmark=[recording / "games.jsonl"])
    with pytest.raises(UsageError, match="seeds"):
        certify(recording, settings=Settings(seed=2**60))
    for args in (
        [], [recording, "--export", "tarot=x"], [recording, "--export", "junit"], [recording, "--show-policy"],
        ["--show-policy", "--policy", "severe"], ["--show-policy", "--new-key", tmp_path / "k"],
    ):  # fmt: skip
        result = _run("certify", *args)
        assert result.exit_code == 2 and result.stderr.count("\n") <= 4, result.output
        assert "Traceback" not in result.output


# --- the key ------------------------------------------------------------------------------------------------------


def test_a_new_key_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    """Mode 0600 from the first moment, the public half 0644, nothing else left behind."""
    before = os.umask(0)
    try:
        made = new_key(tmp_path / "signing.key")
    finally:
        os.umask(before)
    assert {p.name for p in tmp_path.iterdir()} == {"signing.key", "signing.key.pub"}
    assert stat.S_IMODE((tmp_path / "signing.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "signing.key.pub").stat().st_mode) == 0o644
    assert load_key(tmp_path / "signing.key").public == made == load_public_key(tmp_path / "signing.key.pub")
    assert len(made.hex) == 64 and len(made.id) == 64


@pytest.mark.parametrize("taken", ["signing.key", "signing.key.pub"])
@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_a_key_is_never_overwritten_nor_written_through_a_link(
    tmp_path: Path, taken: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is taken stays as it is, and so does what a link leads to; even if the link comes at the last moment."""
    victim = tmp_path / "victim"
    if kind != "dangling":
        victim.write_text("precious")
    for race in (False, True):
        folder = tmp_path / f"keys-{race}"
        folder.mkdir()
        name = folder / taken
        if kind == "file":
            name.write_text("mine")
        else:
            name.symlink_to(victim)
        if race:
            monkeypatch.setattr(os.path, "lexists", lambda path: False)
        with pytest.raises(UsageError, match="never overwritten"):
            new_key(folder / "signing.key")
        assert name.is_symlink() or name.read_text() == "mine"
        assert not [p for p in folder.iterdir() if p.name.startswith(".key-")]
    assert not victim.exists() if kind == "dangling" else victim.read_text() == "precious"


@pytest.mark.parametrize(
    "kind", ["open", "group", "folder", "fifo", "rsa", "encrypted", "public", "empty", "huge", "missing"]
)
def test_only_a_private_ed25519_key_of_its_owner_is_taken(tmp_path: Path, key: Path, kind: str) -> None:
    """Readable by others, not a file, another algorithm, encrypted: refused before anything is audited."""
    path = tmp_path / "k"
    pem = key.read_bytes()
    if kind == "rsa":
        pem = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    elif kind == "encrypted":
        private = load_pem_private_key(pem, None)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    elif kind == "public":
        pem = key.with_name("signing.key.pub").read_bytes()
    pem = {"empty": b"", "huge": pem * 1000}.get(kind, pem)
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind != "missing":
        path.write_bytes(pem)
        path.chmod({"open": 0o644, "group": 0o640}.get(kind, 0o600))
    with pytest.raises(InputError) as caught:
        load_key(path)
    assert caught.value.__cause__ is None
    assert "PRIVATE KEY" not in str(caught.value)


def _spellings(key: Path) -> set[bytes]:
    """What would give the key away: the lines of its file, and its 32 bytes in every common spelling."""
    private = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, Ed25519PrivateKey)
    raw = private.private_bytes_raw()
    body = [line for line in key.read_bytes().splitlines() if line and not line.startswith(b"-")]
    return {raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw)[:-1], repr(raw).encode(), *body}


def test_the_key_is_in_nothing_that_a_run_leaves(
    recording: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A canary key is searched for in every file, both outputs, every log record and every message of an error."""
    caplog.set_level(logging.DEBUG)
    canary = tmp_path / "secret" / "signing.key"
    canary.parent.mkdir()
    out = tmp_path / "out"
    said = [_run("certify", "--new-key", canary)]
    spellings = _spellings(canary)
    public = canary.with_name("signing.key.pub")
    exports = [w for name in ("junit", "sarif", "markdown", "badge") for w in (f"--{name}", out / f"x.{name}")]
    said.append(_run("certify", recording, "--key", canary, "--out", out, *QUICK, *exports))
    assert said[-1].exit_code == 1, said[-1].output
    said.append(_run("certify", recording, "--out", out, "--json", *QUICK, AUDITKIT_KEY=str(canary)))
    assert json.loads(said[-1].stdout)["signer"]
    said.append(_run("verify", out / "certificate-honest.json", "--pubkey", public, "--inputs", recording, "--json"))
    said.append(_run("verify", out / "certificate-honest.json", "--pubkey", canary))
    pem = canary.read_text()
    cut = tmp_path / "secret" / "cut.key"
    cut.write_text(pem.replace("\n-----END", "A\n-----END"))
    cut.chmod(0o600)
    for debug in ({}, {"AUDITKIT_DEBUG": "1"}):
        said.append(_run("certify", recording, "--key", cut, "--out", out, *QUICK, **debug))
        said.append(_run("certify", recording, "--key", pem, "--out", out, *QUICK, **debug))
        said.append(_run("certify", recording, "--out", out, *QUICK, AUDITKIT_KEY=pem, **debug))
        assert [s.exit_code for s in said[-3:]] == [2, 2, 2], [s.output for s in said[-3:]]
    signer = load_key(canary)
    left = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and p.parent.name != "secret"]
    left += [s.output.encode() + repr(s.exception).encode() for s in said]
    left += [record.getMessage().encode() for record in caplog.records] + ["".join(capfd.readouterr()).encode()]
    left += [repr(signer).encode(), str(vars(signer)).encode(), public.read_bytes()]
    assert len(left) > 20
    for text in left:
        for secret in spellings:
            assert secret not in text
    with pytest.raises(TypeError):
        __import__("pickle").dumps(signer)


# --- the documented workflow --------------------------------------------------------------------------------------


def _workflow() -> dict[str, Any]:
    text = (ROOT / "docs" / "certify.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    tree: dict[str, Any] = yaml.safe_load(block)
    return tree


def test_the_documented_workflow_runs_as_far_as_it_can_here(recording: Path, tmp_path: Path) -> None:
    """Every shell step of the GitHub Actions example runs as GitHub runs it (bash -e), in order; uses: steps are theirs."""
    workflow = _workflow()
    (job,) = workflow["jobs"].values()
    assert workflow["permissions"] == {"contents": "read"} or "permissions" in job
    steps = [s for s in job["steps"] if "run" in s]
    assert len(steps) >= 3
    shutil.copytree(recording, tmp_path / "results")
    key = tmp_path / "made.key"
    new_key(key)
    shutil.copy(key.with_name("made.key.pub"), tmp_path / "signing.key.pub")
    temp = tmp_path / "temp"
    temp.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("AUDITKIT")}, "PATH": path, "CI": "true",
        "RUNNER_TEMP": str(temp), "GITHUB_STEP_SUMMARY": str(temp / "summary.md"), "GITHUB_OUTPUT": str(temp / "output"),
    }  # fmt: skip
    codes = {}
    for step in steps:
        if "pip install" in step["run"]:
            continue  # it is installed here, and a test reaches no package index
        own = {
            k: str(v).replace("${{ secrets.AUDITKIT_SIGNING_KEY }}", key.read_text())
            for k, v in step.get("env", {}).items()
        }
        script = step["run"]
        assert "${{" not in script, "an expression inside a script is an injection"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=tmp_path, env={**environment, **own}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        codes[step["name"]] = done.returncode
        assert "Traceback" not in done.stderr
        assert key.read_text().splitlines()[1] not in done.stdout + done.stderr
    assert list(codes.values()) == [1, 0], (
        f"the recording holds a null model: the gate stops, the rest goes on: {codes}"
    )
    summary = (temp / "summary.md").read_text()
    assert "Rejected" in summary and "null" in summary
    assert not [p for p in tmp_path.rglob("*.key") if p != key], "the key does not outlive its step"
    assert (tmp_path / "certificates" / "certificate-honest.json").is_file()


# --- real recordings ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alpaca(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three real AlpacaEval 2 submissions, NullModel among them, in a folder of links with the published calibration."""
    source = shared_data / "alpaca_eval"
    folder = tmp_path_factory.mktemp("alpaca")
    for name in ("NullModel", "OpenHermes-2.5-Mistral-7B", "gpt-3.5-turbo-1106"):
        shutil.copytree(source / "results" / name, folder / "results" / name)
    for name in ("df_gamed.csv", "instruction_difficulty.csv"):
        shutil.copy(source / name, folder / name)
    return folder


def test_the_null_model_of_alpaca_eval_is_rejected_and_honest_models_are_not(
    alpaca: Path, key: Path, tmp_path: Path
) -> None:
    """One command on real data: exit 1 with the reasons that a maintainer would write; each certificate is made again."""
    out = tmp_path / "out"
    shown = _run("certify", alpaca / "results", "--key", key, "--out", out, *QUICK, "--json")
    assert shown.exit_code == 1, shown.output
    by_model = {s["model"]: s for s in json.loads(shown.stdout)["submissions"]}
    assert {m for m, s in by_model.items() if s["verdict"] == "rejected"} == {"NullModel"}
    reasons = {r["rule"]: r["text"] for r in by_model["NullModel"]["reasons"] if r["status"] in ("fail", "warn")}
    assert (
        "exact duplicates" in reasons["detectors_reject"]
        and "one answer given to every prompt" in reasons["detectors_reject"]
    )
    for model in set(by_model) - {"NullModel"}:
        floor = next(r for r in by_model[model]["reasons"] if r["rule"] == "null_floor")
        assert "NullModel" in floor["text"] and "not the submitter's" in floor["text"]
    public = key.with_name("signing.key.pub")
    held = verify(Path(by_model["NullModel"]["certificate"]), pubkey=public, inputs=[alpaca], recompute=True)
    assert held.holds is True, held.checks
    statement = held.statement
    assert statement is not None
    assert {"results/../df_gamed.csv", "results/../instruction_difficulty.csv"} <= set(statement.inputs)
    scores = {s["control"]: s["estimate"] for s in statement.predicate["scores"]}
    assert scores["raw"] == pytest.approx(76.8, abs=0.2)
    assert scores["length_controlled"] == pytest.approx(86.5, abs=0.2)
    data = (alpaca / "df_gamed.csv").read_bytes()
    (alpaca / "df_gamed.csv").write_bytes(data.replace(b"0.5", b"0.6", 1))
    try:
        found = verify(Path(by_model["NullModel"]["certificate"]), pubkey=public, inputs=[alpaca])
    finally:
        (alpaca / "df_gamed.csv").write_bytes(data)
    assert [c.name for c in found.checks if c.status == "fail"] == ["inputs/results/../df_gamed.csv"]
