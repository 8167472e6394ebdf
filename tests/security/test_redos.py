"""No regular expression of ours takes more than linear time: steps are counted, nothing is timed."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import runpy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import auditkit
from auditkit.errors import InputError
from auditkit.judging.spec import load_judge, parse_judge, to_toml

ROOT = Path(__file__).parents[2]
FOLDERS = ("auditkit", "attacks", "controls", "reports")
STEPS = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("steps.py"))))
#: Texts of these sizes first; where steps more than double and a half, these larger ones decide: bounded repeats such as
#: ``.{0,200}`` look quadratic until a text is longer than their bound.
SMALL, LARGE = (60, 120), (500, 1000)
SUSPECT, LINEAR = 2.5, 2.5
#: Patterns that are not linear, and why that is no harm. It holds for what stands beside it, and for nothing else.
BOUNDED: dict[str, str] = {
    r"{([^ \s]+?)}": "upstream's own, run as it is on the templates of a judge file in compat mode: the user's own file",
}


@dataclass(frozen=True)
class Found:
    """A pattern, its flags, where it stands, and whether it is only ever tried at the start of a text."""

    pattern: str
    flags: int
    where: str
    anchored: bool


@cache
def _sources() -> tuple[tuple[Path, str], ...]:
    """Return every module's path and text."""
    every = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))
    own = (path for path in every if not any(part.is_symlink() for part in (path, *path.parents)))
    return tuple((path, path.read_text(encoding="utf-8")) for path in own)


@cache
def _methods(module: str, name: str) -> frozenset[str]:
    """Return the methods that are called on a name: in its own module if it is private, else anywhere."""
    own = Path(str(sys.modules[module].__file__)).resolve()
    texts = (text for path, text in _sources() if not name.startswith("_") or path.resolve() == own)
    return frozenset(method for text in texts for method in re.findall(rf"\b{name}(?:\[\w+\])?\.(\w+)", text))


def _in_modules() -> Iterator[Found]:
    """Yield the patterns that modules hold, whatever they were made from."""
    for info in pkgutil.walk_packages(auditkit.__path__, "auditkit."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            held = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else (value,)
            for one in held:
                for pattern in one if isinstance(one, tuple | list) else (one,):
                    if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
                        uses = _methods(info.name, name)
                        anchored = bool(uses) and uses <= {"match", "fullmatch", "prefixmatch", "pattern"}
                        yield Found(pattern.pattern, pattern.flags, f"{info.name}.{name}", anchored)


_CALLS = frozenset({"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn"})


def _in_calls() -> Iterator[Found]:
    """Yield the patterns that stand as literals in a call of `re`, wherever it is."""
    for path, text in _sources():
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CALLS
                and isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.args
                and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
            ):  # fmt: skip
                if node.func.attr == "compile":
                    continue  # a global: found in its module, where its uses are known; others are caught at work
                flags = 0
                for word in [*node.args[1:], *(k.value for k in node.keywords)]:
                    for part in ast.walk(word):
                        if (
                            isinstance(part, ast.Attribute)
                            and isinstance(part.value, ast.Name)
                            and part.value.id == "re"
                        ):
                            flags |= int(getattr(re, part.attr))
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield Found(node.args[0].value, flags, where, node.func.attr in ("match", "fullmatch"))


def _at_work() -> Iterator[Found]:
    """Yield the patterns that are put together while judges are checked, rendered, hardened and parsed."""
    from auditkit.attacks.gates import run_gates
    from auditkit.judging.spec import judge_names

    made: dict[tuple[str, int], str] = {}
    real = re.compile

    def noting(pattern: Any, flags: Any = 0) -> Any:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if isinstance(pattern, str) and caller.startswith("auditkit"):
            made[pattern, int(flags)] = caller
        return real(pattern, flags)

    re.compile = noting
    try:
        for name in judge_names():
            run_gates(load_judge(name), cases=2, seed=0)
    finally:
        re.compile = real
    for (pattern, flags), caller in made.items():
        yield Found(pattern, flags, f"made by {caller}", anchored=False)


@cache
def _all() -> dict[tuple[str, int], Found]:
    found: dict[tuple[str, int], Found] = {}
    for one in (*_in_modules(), *_in_calls(), *_at_work()):
        key = one.pattern, one.flags & ~re.UNICODE
        if key not in found or (found[key].anchored and not one.anchored):
            found[key] = one
    return found


def _growth(
    found: Found, sizes: tuple[int, int], only: frozenset[int] | None = None
) -> Iterator[tuple[int, float, str]]:
    """Yield number, growth of steps from one size to the next, and the text, for every family of adversarial texts."""
    machine = STEPS.Machine(found.pattern, found.flags & ~re.UNICODE)
    small, large = (STEPS.families(machine, size) for size in sizes)
    for number, (short, long) in enumerate(zip(small, large, strict=True)):
        if only is None or number in only:
            longer = len(long) / max(len(short), 1)
            try:
                few = machine.count(short, anchored=found.anchored, most=1000 * sizes[0])
                many = machine.count(long, anchored=found.anchored, most=1000 * sizes[1])
            except STEPS.TooManySteps:
                yield number, float("inf"), long
                continue
            yield number, many / max(few, 1) * (2.0 / longer), long


def _worst(found: Found) -> tuple[float, str]:
    """Return the largest growth when a text doubles, and the text."""
    suspects = frozenset(number for number, growth, _ in _growth(found, SMALL) if growth > SUSPECT)
    if not suspects:
        return 0.0, ""
    worst = 0.0, ""
    for _, growth, text in _growth(found, LARGE, suspects):
        worst = max(worst, (growth, text))
        if growth > LINEAR:
            break  # one is enough
    return worst


@pytest.fixture(autouse=True)
def _deep() -> Iterator[None]:
    """The machine recurses once a character."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.slow
def test_every_pattern_is_found() -> None:
    """As many as there are calls that make one; patterns that are put together at work are among them."""
    calls = sum(len(re.findall(r"\bre\.compile\(", text)) for _, text in _sources())
    assert len(_all()) >= 0.9 * calls
    assert any(found.where.startswith("made by") for found in _all().values())
    assert all(re.compile(found.pattern, found.flags) for found in _all().values())


@pytest.mark.slow
def test_no_pattern_takes_more_than_linear_time() -> None:
    """Twice the text, at most twice the steps (and half again): for every pattern on every family of texts."""
    slow = {}
    for found in _all().values():
        if found.pattern in BOUNDED:
            continue
        growth, text = _worst(found)
        if growth > LINEAR:
            slow[f"{found.where}: {found.pattern[:80]}"] = f"x{growth:.1f} on {text[:24]!r}"
    assert slow == {}


@pytest.mark.parametrize(
    ("pattern", "flags"),
    [
        (r"a*a*b", 0), (r"\s+$", 0), (r"<!--.*?-->", 0), (r"^\s*-", re.MULTILINE), (r"x(?=.*y)", 0),
        *(
            pytest.param(pattern, flags, marks=pytest.mark.slow)
            for pattern, flags in (
                (r"(a+)+$", 0), (r"(a|a)*b", 0), (r"(a|aa)+$", 0), (r'"(?:[^"\\]|\\.)*"', re.DOTALL), (r"(\w+\s?)+!", 0),
            )
        ),
    ],
)  # fmt: skip
def test_the_count_sees_what_is_slow(pattern: str, flags: int) -> None:
    """Known exponential and quadratic patterns are caught: the test above can fail."""
    growth, _ = _worst(Found(pattern, flags, "", anchored=False))
    assert growth > LINEAR


@pytest.mark.parametrize(
    ("pattern", "text", "flags"),
    [
        (r"(a+)(b|c)*?d", "aabcbcd", 0), (r"(?<=x)y(?!z)", "xyz xy", 0), (r"(`{1,3})x\1", "``x``", 0), (r"^a$", "b\na\n", re.MULTILINE),
        (r"(?i)AB|c{2,3}", "ab ccc", 0), (r"\bfoo\b", "a foo b", 0), (r"(?:(a)|b)+", "abab", 0), (r"[^\W\d_]{2,}", "1ab_cd", 0),
    ],
)  # fmt: skip
def test_the_machine_matches_as_python_does(pattern: str, text: str, flags: int) -> None:
    """Where a match ends is where Python's own engine says, at every place of a text."""
    machine = STEPS.Machine(pattern, flags)
    machine.text = text
    compiled = re.compile(pattern, flags)
    for at in range(len(text) + 1):
        machine.groups = {}
        real = compiled.match(text, at)
        if real is not None or not pattern.startswith("^"):
            assert machine._start(at, lambda place: place) == (real.end() if real else -1), at


def test_a_judge_file_cannot_bring_an_explosive_pattern() -> None:
    """Patterns of a judge file run on replies: a repeat inside a repeat is refused, with the field."""
    text = to_toml(load_judge("arena-hard-v0.1"))
    for pattern in (r"((?:[AB<>=]+)+)x", r"\[\[((?:[AB<>=]|[AB])*)\]\]", r"((?:a?){50}a{50})"):
        with pytest.raises(InputError, match=r"patterns\.0'.*repeated group"):
            parse_judge(text.replace('parser = "labels"', f"parser = \"ah_v2\"\npatterns = ['{pattern}']"))
