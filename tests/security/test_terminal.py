"""Nothing that a command prints can steer a terminal: every command on hostile names, as a process of its own."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from auditkit.judging.spec import load_judge, to_toml
from auditkit.policy import policy_text

#: A name in which everything that a terminal obeys is there once, short enough that nothing of it is cut off.
EVIL = "\x1b[31m\x1b]52;c;eA==\x07\x9b1m\r\x08\u202e\u2066\u200b\u2028\x7f\U000e0041é"
#: The same for places that hold no line end and no NUL, such as the name of a file.
NAME = "n\x1b]0;t\x07\x9b2J\r\u202ex"


def _controls(text: str) -> list[str]:
    """Return what a terminal could obey in a text: all but line ends that cannot be printed."""
    return [repr(text[max(i - 40, 0) : i + 8]) for i, c in enumerate(text) if c != "\n" and not c.isprintable()]


@pytest.fixture(scope="module")
def material(
    tmp_path_factory: pytest.TempPathFactory, payloads: SimpleNamespace, hostile_pairs: Any, command: Any
) -> Path:
    """A folder with a hostile file of every kind that a command reads."""
    folder = tmp_path_factory.mktemp("terminal")
    names = tuple(t + EVIL for t in payloads.TERMINAL if "\x00" not in t)
    pairs = hostile_pairs(folder / f"{NAME}.jsonl", 3, 24, names)
    run = folder / f"run {NAME}"
    assert command("convert", pairs, run).exit_code == 0
    text = (run / "run.toml").read_text(encoding="utf-8")
    hostile = _quoted(EVIL)
    text = re.sub(r"^(name|version) = .*$", lambda m: f"{m[1]} = {hostile}", text, flags=re.MULTILINE)
    (run / "run.toml").write_text(text, encoding="utf-8")
    found = command("certify", run, "--out", folder / "signed", "--replicates", 50)
    assert found.exit_code in (0, 1, 3), found.output
    _files(folder, hostile)
    return folder


def _quoted(text: str) -> str:
    """Return a text as TOML and YAML take it, everything odd as an escape."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text) + '"'


def _files(folder: Path, hostile: str) -> None:
    judge = to_toml(load_judge("arena-hard-v0.1"))
    judge = re.sub(r"^(title|source) = .*$", lambda m: f"{m[1]} = {hostile}", judge, flags=re.MULTILINE)
    judge = judge.replace('\nmode = "', f'\nnotes = [{hostile}]\nmode = "')
    (folder / "judge.toml").write_text(judge, encoding="utf-8")
    (folder / "bad-judge.toml").write_text(judge.replace('mode = "pairwise"', f"mode = {hostile}"), encoding="utf-8")
    (folder / "key-judge.toml").write_text(judge.replace("[params]", f"{hostile} = 1\n[params]"), encoding="utf-8")
    (folder / "label-judge.toml").write_text(judge.replace('"A>>B"', hostile), encoding="utf-8")
    plain = "m\x9b1m\u202e\u2066\u200b"  # what a ledger's "one line" does not rule out
    model = _quoted(plain)
    (folder / "claims.toml").write_text(
        f'schema = "auditkit.claims/1"\n[[boards]]\nbenchmark = {model}\nmetric = "win_rate"\nsource = {model}\n'
        f'rows = [{{ model = {model}, score = 50.0, se = 1.0 }}, {{ model = "b", score = 40.0, se = 1.0 }}]\n'
        + "".join(
            f'[[claims]]\nid = {_quoted(f"{k}{plain}")}\nwording = "beats"\npaper = {model}\nbenchmark = {model}\n'
            f'candidate = {model}\nbaseline = "b"\nsource = {model}\nnote = {model}\n'
            for k in range(2)
        ),
        encoding="utf-8",
    )
    (folder / "policy.toml").write_text(
        policy_text("standard") + f"# {EVIL}\n".replace("\x1b", "").translate(_TOML), "utf-8"
    )
    (folder / "bad-policy.toml").write_text(policy_text("standard").replace("[rules.", f"[rules.{hostile}."), "utf-8")
    (folder / "board.jsonl").write_text(
        "".join(
            json.dumps({"model": f"{k}{EVIL}", "score": 50.0 + k, "lower": 49.0 + k, "upper": 51.0 + k}) + "\n"
            for k in range(5)
        ),
        encoding="utf-8",
    )
    shutil.copy(folder / "board.jsonl", folder / f"{NAME}2.jsonl")
    with (folder / f"question {NAME}.jsonl").open("w", encoding="utf-8") as file:
        for k in range(4):
            file.write(json.dumps({"uid": f"{k}{EVIL}", "category": EVIL, "prompt": f"Question {k}{EVIL}?"}) + "\n")
    for name in ("cand", "base"):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for k in range(4):
                file.write(json.dumps({"uid": f"{k}{EVIL}", "model": f"{name}{EVIL}", "answer": f"{k}{EVIL}"}) + "\n")
    spec = (
        f'[benchmark]\npath = {_quoted(f"question {NAME}.jsonl")}\nbaseline = "base.jsonl"\n\n[[models]]\n'
        f'name = {_quoted(f"cand{EVIL}")}\nanswers = "cand.jsonl"\n\n[judge]\nuse = "arena-hard-v0.1"\n'
        'model = "simulated/honest"\n'
    )  # fmt: skip
    (folder / "audit.toml").write_text(spec, encoding="utf-8")
    (folder / "bad.toml").write_text(spec.replace("[judge]", f"[judge]\n{hostile} = 1"), encoding="utf-8")
    (folder / "away.toml").write_text(spec.replace("simulated/honest", f"openai/{EVIL[1:5]}"), encoding="utf-8")
    with (folder / "known.jsonl").open("w", encoding="utf-8") as file:
        for k in range(6):
            said = {
                "id": f"{k}{EVIL}",
                "prompt": f"{k}{EVIL}",
                "right": f"r{k}{EVIL}",
                "wrong": f"w{k}{EVIL}",
                "category": EVIL,
            }
            file.write(json.dumps(said) + "\n")
    with (folder / "pool.jsonl").open("w", encoding="utf-8") as file:
        for k in range(60):
            said = {
                "prompt": f"Write function {k} that must return {k} {EVIL} exactly topic{k % 5}",
                "category": EVIL,
                "source": EVIL,
            }
            file.write(json.dumps(said) + "\n")
    (folder / "import.yaml").write_text(f"{hostile}: 1\nprompt_template: [{hostile}]\n", encoding="utf-8")
    (folder / f"broken {NAME}.jsonl").write_text('{"model": "' + EVIL.replace("\x1b", "\\u001b"), encoding="utf-8")


_TOML = dict.fromkeys((*range(9), *range(11, 32), 127))  # what a comment of TOML may not hold


def _jobs(folder: Path) -> Iterator[tuple[object, ...]]:
    pairs, run = folder / f"{NAME}.jsonl", folder / f"run {NAME}"
    quick = ("--replicates", 50)
    yield ("audit", pairs, "--out", folder / f"o {NAME}", *quick)
    yield ("audit", run, "--json", *quick)
    yield ("audit", pairs, folder / f"broken {NAME}.jsonl", "--keep-going", "--json", *quick)
    yield ("audit", folder / f"broken {NAME}.jsonl")
    yield ("audit", folder / NAME, "--format", EVIL)
    yield ("audit", pairs, "--policy", EVIL)
    yield ("audit", pairs, "--calibration", folder / NAME)
    yield ("audit", pairs, "--seed", EVIL)
    yield ("leaderboard", folder / f"o {NAME}")
    yield ("leaderboard", folder / f"o {NAME}", "--csv")
    yield ("leaderboard", folder / f"o {NAME}", "--json")
    yield ("leaderboard", folder / f"o {NAME}", "--by", EVIL)
    yield ("convert", pairs, folder / f"c {NAME}")
    yield ("convert", pairs, folder / f"c {NAME}", "--to", EVIL)
    yield ("certify", run, "--out", folder / f"s {NAME}", *quick)
    yield ("certify", run, "--only", EVIL, *quick)
    yield ("certify", run, "--key", folder / NAME)
    yield ("certify", run, "--export", f"{EVIL}=x")
    yield ("certify", "--new-key", folder / f"key {NAME}")
    yield ("certify", "--show-policy", "--policy", folder / "policy.toml")
    yield ("certify", run, "--policy", folder / "bad-policy.toml")
    for certificate in sorted((folder / "signed").glob("certificate*.json"))[:1]:
        yield ("verify", certificate, "--unsigned", "--inputs", folder, "--recompute")
        yield ("verify", certificate, "--unsigned", "--json")
    yield ("verify", run / "run.toml")
    yield ("verify", folder / NAME)
    yield ("claim", folder / "claims.toml")
    yield ("claim", folder / "claims.toml", "--only", f"0{EVIL}")
    yield ("claim", folder / "claims.toml", "--only", EVIL)
    yield ("claim", run, "--claim", f"wording=beats candidate={EVIL} baseline={EVIL}")
    yield ("claim", run, "--claim", f"{EVIL}={EVIL}")
    yield ("claim", "--board", folder / "board.jsonl", "--claim", "wording=beats candidate=a baseline=b")
    yield ("quality", folder / "board.jsonl", folder / f"{NAME}2.jsonl", "--against", folder / "board.jsonl", *quick)
    yield ("quality", run, *quick)
    yield ("quality", folder / "board.jsonl", "--against", EVIL)
    yield ("contamination", folder / "pool.jsonl", folder / "pool.jsonl")
    yield ("contamination", folder / f"question {NAME}.jsonl", folder / f"question {NAME}.jsonl")
    yield ("judges", "check", folder / "judge.toml", "--gates", "--cases", 5)
    yield ("judges", "check", folder / "judge.toml")
    yield ("judges", "check", folder / "judge.toml", "--json")
    for name in ("bad-judge", "key-judge", "label-judge"):
        yield ("judges", "check", folder / f"{name}.toml", "--gates", "--cases", 5)
    yield (
        "judges",
        "check",
        folder / "judge.toml",
        "--gates",
        "--prompts",
        folder / f"question {NAME}.jsonl",
        "--cases",
        5,
    )
    yield ("judges", "check", EVIL)
    yield ("judges", "show", folder / "judge.toml")
    yield ("judges", "show", EVIL)
    yield ("judges", "import", folder / "import.yaml")
    yield ("judges", "import", folder / "import.yaml", "--kind", EVIL)
    yield ("run", folder / "audit.toml", "--dry-run")
    yield ("run", folder / "audit.toml", "--out", folder / f"r {NAME}")
    yield ("run", folder / "bad.toml")
    yield ("run", folder / "away.toml", "--out", folder / f"r2 {NAME}")
    yield ("run", folder / "audit.toml", "--only", EVIL, "--dry-run")
    yield ("attack", folder / "audit.toml", "--dry-run", "--suite", "quick")
    yield ("attack", folder / "audit.toml", "--attack", EVIL, "--dry-run")
    yield ("attack", folder / "audit.toml", "--carrier", EVIL, "--dry-run")
    stress = (
        "--model",
        "simulated/honest",
        "--prompts",
        folder / "known.jsonl",
        "--probes",
        "none",
        "--attack",
        "null-empty",
    )
    yield ("stress", folder / "judge.toml", *stress, "--dry-run")
    yield ("stress", folder / "judge.toml", *stress, "--out", folder / f"st {NAME}", "--pairs", 4)
    yield ("stress", folder / "judge.toml", "--model", EVIL, "--dry-run")
    yield ("stress", EVIL, "--model", "simulated/honest")
    small = ("--clusters", 3, "--prompt-score", 0, "--cluster-score", 0)
    yield ("build", folder / "pool.jsonl", "--out", folder / f"b {NAME}", "--name", "b", "--workers", 1, *small)
    yield ("build", folder / "pool.jsonl", "--out", run, "--name", EVIL)
    yield ("build", folder / "pool.jsonl", "--out", folder / "bb", "--embedding", EVIL)
    yield ("build", folder / "pool.jsonl", "--out", folder / "b2", "--since", folder / f"b {NAME}", *small)
    yield ("build", folder / "pool.jsonl", "--out", folder / "b3", "--since", folder / NAME, *small)
    yield ("compare", pairs, "--submissions", EVIL, EVIL)
    yield ("compare", run, "--out", folder / f"cmp {NAME}", *quick)
    yield ("compare", pairs, "--judges", EVIL, EVIL, "--json")
    yield ("link", run, "--to", run, *quick)
    yield ("link", folder / NAME, "--to", folder / f"{NAME}2.jsonl")
    yield ("quality", run, "--out", folder / f"q {NAME}", *quick)
    yield ("plugins", EVIL)
    yield (EVIL,)
    yield ("audit", f"--{EVIL}")


def test_no_command_prints_what_a_terminal_obeys(material: Path, processes: Callable[..., Any]) -> None:
    """In both outputs of every command nothing but printable characters and line ends; and no traceback."""
    jobs = list(_jobs(material))
    wrong = {}
    codes = set()
    for job, ended in zip(jobs, processes(jobs, cwd=material), strict=True):
        codes.add(ended.code)
        shown = " ".join(printable_words(job, material))
        bad = _controls(ended.text)
        if bad or "Traceback" in ended.text or "internal error" in ended.text:
            wrong[shown] = bad[:3] or ended.text[-400:]
    assert wrong == {}
    assert codes >= {0, 1, 2}, codes


def printable_words(job: tuple[object, ...], folder: Path) -> list[str]:
    """Return a command line as a message can hold it."""
    return [ascii(str(word).replace(str(folder), "."))[1:-1] for word in job]


def test_the_check_sees_every_kind_of_control(payloads: SimpleNamespace) -> None:
    """Each terminal payload, printed as it is, is found: the test above can fail."""
    for text in payloads.TERMINAL:
        assert _controls(text) or text == "a\nb"
