"""Gates on what a judge is sent: H1 non-interference, H2 round trip, H9 length on the raw answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from auditkit.attacks.gates.fuzz import fuzz
from auditkit.attacks.gates.hostile import guards, hostile_answers
from auditkit.attacks.gates.results import Counterexample, GateResult, fails, passes, quoted, unmeasured
from auditkit.attacks.gates.scenes import PLACEHOLDER, Scene
from auditkit.formats._io import clean
from auditkit.judging.protocol import decided
from auditkit.judging.render import Rendered, shorten, unrender
from auditkit.judging.spec import JudgeSpec

__all__ = ["length", "non_interference", "round_trip"]

_HARDEN: Final = (
    "render the judge here: `auditkit judges import … --hardened`, or rendering = \"jinja\" with {{ answer_a }} … in the "
    "templates"
)  # fmt: skip
_FENCE: Final = (
    f"{_HARDEN}; every value then stands between tags (fence = \"tags\") that are broken inside values"
)  # fmt: skip
_NO_SCENE: Final = "no prompt with or without history, checklist and reference fits the judge's templates"
_ONE_RUN: Final = (
    "templates are run without the texts, which are then put in by joining strings: no text is ever read as a template"
)
_FORMATTED: Final = (
    "str.format fills every field in one pass and never looks into a value: nothing outside a slot depends on it"
)
_COUNTED: Final = "lengths are counted on the recorded answers and never read back from a prompt"
_LENGTH_ELSEWHERE: Final = (
    "length on raw text: how upstream counts it is not in the judge file; an audit counts it on the recorded answers"
)
_BROKEN: Final = (
    "a slot's delimiters get a backslash inside values, which can be undone exactly: no value holds one, and reading the "
    "finished text gives the values back"
)


def _text(shown: Rendered) -> str:
    return "\n".join(message.content for message in shown.messages)


def _example(scene: Scene, text: str, expected: str, found: str) -> Counterexample:
    shown = scene.show(text)
    given = ((scene.where, text),)
    if isinstance(shown, str):
        return Counterexample(given, expected, found)
    return Counterexample(given, expected, found, _text(shown), _difference(scene, shown))


def _difference(scene: Scene, shown: Rendered) -> tuple[int, int]:
    """Return where the prompt leaves the one with the placeholder, and where it comes back to it."""
    plain, text = _text(scene.plain()), _text(shown)
    start = _common(plain, text)
    end = len(text) - _common(plain[::-1], text[::-1])
    return start, max(start, end)


def _common(one: str, other: str) -> int:
    """Return the length of the common beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((k for k, (a, b) in pairs if a != b), min(len(one), len(other)))


# --- H1 -------------------------------------------------------------------------------------------------------------


def _inside(plain: Rendered, shown: Rendered) -> str | None:
    """Return what stands in the placeholder's slot, None if anything else differs."""
    if [m.role for m in plain.messages] != [m.role for m in shown.messages]:
        return None
    inside: set[str] = set()
    for before, after in zip(plain.messages, shown.messages, strict=True):
        parts = before.content.split(PLACEHOLDER)
        if len(parts) == 1:
            if before.content != after.content:
                return None
            continue
        length, odd = divmod(len(after.content) - sum(map(len, parts)), len(parts) - 1)
        at = len(parts[0])
        value = after.content[at : at + length] if length >= 0 else ""
        if odd or length < 0 or after.content != value.join(parts):
            return None
        inside.add(value)
    return inside.pop() if len(inside) == 1 else None


def _interference(scene: Scene, text: str) -> str:
    """Return how an answer changes the prompt outside its slot, or takes up what stands outside; "" if it does not."""
    if not text.strip():
        return ""  # says nothing; AlpacaEval's stripping of whole messages may take blanks beside it along
    values = []
    for world in (0, 1):
        shown = scene.show(text, world)
        if isinstance(shown, str):
            return f"the harness stops: {shown}"
        plain = scene.plain(world)
        value = _inside(plain, shown)
        if value is None:
            return _elsewhere(plain, shown)
        values.append(value)
    if values[0] != values[1]:
        return f"other text stands in the answer's slot: {quoted(values[0], 100)}"
    return ""


def _elsewhere(plain: Rendered, shown: Rendered) -> str:
    if len(plain.messages) != len(shown.messages):
        return f"{len(shown.messages)} messages instead of {len(plain.messages)}: the answer wrote one of its own"
    for before, after in zip(plain.messages, shown.messages, strict=True):
        start = before.content.partition(PLACEHOLDER)[0]
        if before.content != after.content and after.content.startswith(start):
            begins = quoted(after.content[len(start) :][:60], 60)
            return f"the prompt differs outside the answer's slot, which now begins with {begins}"
    return "the prompt differs before the answer's slot"


def non_interference(spec: JudgeSpec, scenes: Sequence[Scene], cases: int, seed: int) -> GateResult:
    """H1: with another answer the prompt differs inside that answer's slot, and what stands there depends on it alone.

    Source: specification D.3; F-01 (AlpacaEval), F-02 (WildBench), F-03 (HealthBench).
    """
    if not scenes:
        return unmeasured("H1", _NO_SCENE)
    found = fuzz(
        scenes, hostile_answers(spec, scenes), lambda s, t: bool(_interference(s, t)), cases=cases, seed=seed, name="H1"
    )
    if found.smallest is None:
        argument = {"jinja": _ONE_RUN, "str_format": _FORMATTED}.get(spec.rendering)
        if argument:
            return passes("H1", "proved", argument, cases=found.cases)
        return passes("H1", "fuzzed", "no answer tried changed the prompt outside its slot", cases=found.cases)
    scene, text = found.smallest
    example = _example(
        scene, text, "the prompt changes inside that answer's slot and nowhere else", _interference(scene, text)
    )
    said = (
        f"an answer is read as part of the template: {found.failures} of {found.cases} answers tried changed the prompt "
        "outside their slot, or took other text into it"
    )
    return fails("H1", "fuzzed", said, _HARDEN, example, cases=found.cases, failures=found.failures)


# --- H2 -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _read_back(scene: Scene) -> dict[str, str]:
    return unrender(scene.plain()) or {}


def _misread(scene: Scene, text: str) -> str:
    """Return how the prompt is misread by one who knows the template; "" if it is read back as it went in.

    What interferes with the template, and what no judge is ever sent, is not looked at: that is not a misreading.
    """
    shown = scene.show(text)
    if isinstance(shown, str) or _called_off(scene, text) or _interference_upstream(scene, text):
        return ""
    value = shorten(clean(text), scene.spec.words)
    expected = {name: old.replace(PLACEHOLDER, value) for name, old in _read_back(scene).items()}
    found = unrender(shown)
    if found is None or not expected:
        return "the prompt cannot be read back: it does not follow the template"
    for name, wanted in expected.items():
        if found.get(name) != wanted:
            return f"{name} is read back as {quoted(found.get(name, ''), 80)}"
    inside = _inside(scene.plain(), shown) or ""
    for token in guards(scene):
        if token in inside:
            return f"the delimiter {quoted(token, 60)} stands inside the answer: the prompt has a second reading"
    return ""


def _interference_upstream(scene: Scene, text: str) -> bool:
    return scene.spec.rendering in ("alpaca_eval", "wildbench") and bool(_interference(scene, text))


def _called_off(scene: Scene, text: str) -> bool:
    """Tell whether a call with this answer is never made."""
    answers = [text, "x"] if scene.spec.pairwise else [text]
    return decided(scene.spec, answers) is not None


def round_trip(spec: JudgeSpec, scenes: Sequence[Scene], cases: int, seed: int) -> GateResult:
    """H2: what went in is read back from the finished text, and no answer adds a delimiter that a reader would take.

    Source: specification D.3; N-01 of its attacks, a null answer that closes its slot and opens another.
    """
    if not scenes:
        return unmeasured("H2", _NO_SCENE)
    pieces = [PLACEHOLDER, *hostile_answers(spec, scenes)]
    found = fuzz(scenes, pieces, lambda s, t: bool(_misread(s, t)), cases=cases, seed=seed, name="H2")
    if found.smallest is None:
        if spec.rendering == "jinja":
            return passes("H2", "proved", _BROKEN, cases=found.cases)
        return passes("H2", "fuzzed", "every prompt tried was read back as it went in", cases=found.cases)
    scene, text = found.smallest
    example = _example(
        scene, text, "question and answers are read back as they went in, in one way", _misread(scene, text)
    )
    said = (
        f"an answer can imitate the delimiters and open a block of its own: {found.failures} of {found.cases} answers "
        "tried are misread"
    )
    return fails("H2", "fuzzed", said, _FENCE, example, cases=found.cases, failures=found.failures)


# --- H9 -------------------------------------------------------------------------------------------------------------


def _reread(scene: Scene, text: str) -> str | None:
    """Return an answer as WildBench's formatting step takes it from the prompt: split at the delimiters, stripped.

    Source: allenai/WildBench, ``src/openai_batch_eval/batch_results_format.py``.
    """
    shown = scene.show(text)
    if isinstance(shown, str):
        return None
    plain = scene.plain()
    before, _, after = _text(plain).partition(PLACEHOLDER)
    opened = next((line.strip() for line in reversed(before.split("\n")) if line.strip()), "")
    closed = next((line.strip() for line in after.split("\n") if line.strip()), "")
    return _text(shown).split(opened)[1].split(closed)[0].strip() if opened and closed else None


def _mismeasured(scene: Scene, text: str) -> bool:
    if _called_off(scene, text) or len(text.split(" ")) > scene.spec.words > 0 or _interference(scene, text):
        return False  # cutting is announced, and left out by the published score; placeholders are H1's finding
    found = _reread(scene, text)
    return found is not None and len(found) != len(clean(text).strip())


def length(spec: JudgeSpec, scenes: Sequence[Scene], cases: int, seed: int) -> GateResult:
    """H9: an answer's length is counted on the answer, not on what can be parsed back from the prompt.

    Source: specification D.3, L-02 (WildBench's K margin).
    """
    if spec.rendering == "jinja":
        return passes("H9", "proved", _COUNTED)
    if spec.rendering != "wildbench" or not spec.pairwise or not scenes:
        return unmeasured("H9", _LENGTH_ELSEWHERE)
    found = fuzz(scenes, hostile_answers(spec, scenes), _mismeasured, cases=cases, seed=seed, name="H9")
    if found.smallest is None:
        return passes(
            "H9", "fuzzed", "every answer tried keeps its length when read from the prompt", cases=found.cases
        )
    scene, text = found.smallest
    example = _example(
        scene,
        text,
        f"a length of {len(text.strip())} characters, the answer's own",
        f"a length of {len(_reread(scene, text) or '')}: upstream takes answers from the prompt by splitting at delimiters",
    )
    said = (
        "the lengths of the K margin are parsed back from the prompt, where an answer decides where it ends: "
        f"{found.failures} of {found.cases} answers tried got a length that is not theirs"
    )
    mend = f"{_HARDEN}; auditkit counts lengths on the recorded answers"
    return fails("H9", "fuzzed", said, mend, example, cases=found.cases, failures=found.failures)
