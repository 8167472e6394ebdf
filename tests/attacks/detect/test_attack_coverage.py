"""Which detectors see which attack, on submissions that are honest but for it: printed, and the sure ones asserted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import pytest

from auditkit import registry
from auditkit.attacks.detect import detect
from auditkit.attacks.detect.run import Detector
from auditkit.attacks.protocol import Attack, Situation
from auditkit.judging.inputs import Prompt
from auditkit.judging.spec import load_judge
from auditkit.records import Settings, Submission

Build = Callable[..., Submission]
JUDGE: Final = load_judge("arena-hard-v0.1")
PROMPTS: Final = 120
CONSTANT: Final = {"exact_duplicates"}
#: The detectors that must flag an attack, at least for review.
SURE: Final[dict[str, set[str]]] = {
    "baseline-copy": {"baseline_copy"},
    "baseline-polish": {"baseline_copy"},
    "null-structured": {
        "exact_duplicates",
        "near_duplicates",
        "template_tokens",
        "instruction_override",
        "length_dispersion",
    },
    "null-appended": {"template_tokens", "instruction_override"},
    "null-random-suffix": {"gibberish"},
    "injection-combined": {"template_tokens", "instruction_override"},
    "injection-context-ignore": {"template_tokens", "instruction_override"},
    "injection-admin-note": {"template_tokens", "evaluator_address"},
    "injection-corrections": {"template_tokens", "evaluator_address"},
    "injection-naive": {"template_tokens"},
    "injection-fake-reasoning": {"template_tokens"},
    "placeholder-spray": {"placeholders"},
    "special-tokens": {"special_tokens"},
    "verdict-echo": {"template_tokens"},
    "prompt-echo": {"prompt_echo"},
    "unicode-tags": {"tag_unicode"},
    "unicode-zero-width": {"invisible_unicode"},
    "unicode-selectors": {"invisible_unicode"},
    "unicode-bidi": {"invisible_unicode"},
    "unicode-comment": {"html_comment"},
    "length-half": {"truncation"},
    "null-truncated": {"truncation"},
}
#: Nothing but the answers' taste gives these away: detectors that flagged them would flag honest answers.
UNSEEN: Final = {
    "style-bold", "style-boxes", "style-code", "style-emoji", "style-headings", "style-list", "style-markdown",
    "style-quotes", "authority-url-1", "authority-paper-1", "authority-book-1", "length-concise", "unicode-emoji",
    "padding-double",
}  # fmt: skip


@cache
def attacks() -> dict[str, Attack]:
    """Attacks of ours that craft."""
    found = {name: p.load() for name, p in registry.plugins("attacks").items() if p.distribution == "judge-auditkit"}
    return {name: a for name, a in found.items() if a.craft is not None and a.applies(JUDGE)}


def attacked(attack: Attack, honest: Submission) -> tuple[list[str], list[str], list[str]]:
    """Return prompts, attacked answers and baseline answers of an honest submission."""
    assert attack.craft is not None
    rows = honest.rows
    prompts, own, base = (rows[name].tolist() for name in ("prompt", "text", "baseline"))
    made = [
        attack.craft(Situation(Prompt(f"p{i}", (prompt,)), mine, theirs if attack.opponent else "", JUDGE, i))
        for i, (prompt, mine, theirs) in enumerate(zip(prompts, own, base, strict=True))
    ]
    return prompts, made, base


@pytest.fixture(scope="module")
def flagged(detectors: dict[str, Detector]) -> Callable[[Submission], dict[str, str]]:
    """Run all detectors; severity by the name of each that flags."""

    def run(submission: Submission) -> dict[str, str]:
        found = detect([submission], detectors, Settings())[submission.model]
        assert [d for d in found if "failed (" in d.note] == []
        return {d.detector: d.severity for d in found if d.flag}

    return run


def check(names: set[str], build: Build, flagged: Callable[[Submission], dict[str, str]]) -> None:
    """Run all detectors on these attacks, print the table, and assert what must and must not be flagged."""
    honest = build(n=PROMPTS)
    assert {name for name, severity in flagged(honest).items() if severity != "info"} == set()
    missed, wrongly = [], []
    for name in sorted(names):
        attack = attacks()[name]
        prompts, made, base = attacked(attack, honest)
        found = flagged(build(made, prompts=prompts, baselines=base))
        seen = {detector for detector, severity in found.items() if severity != "info"}
        print(f"{name:<28} {', '.join(f'{d} ({found[d]})' for d in sorted(found)) or '-'}")  # noqa: T201  for -rP
        wanted = SURE.get(name, set()) | (CONSTANT if attack.gold == "zero" and attack.family == "null" else set())
        missed += [(name, detector) for detector in sorted(wanted - seen)]
        wrongly += [(name, sorted(seen))] if name in UNSEEN and seen else []
    assert missed == []
    assert wrongly == []


def test_what_must_be_seen_is_seen(build: Build, flagged: Callable[[Submission], dict[str, str]]) -> None:
    """The attacks that a detector is meant for are flagged by it; matters of taste are flagged by none."""
    check(set(SURE) | UNSEEN, build, flagged)


@pytest.mark.slow
def test_the_whole_table(build: Build, flagged: Callable[[Submission], dict[str, str]]) -> None:
    """Every attack and every detector: `pytest -m slow -rP` prints the table."""
    check(set(attacks()), build, flagged)


def test_every_constant_is_rejected(build: Build, detectors: dict[str, Detector]) -> None:
    """Gold zero and the same for every prompt: not for review but rejected, whatever it says."""
    honest = build(n=PROMPTS)
    for name, attack in attacks().items():
        if attack.gold == "zero" and attack.family == "null":
            prompts, made, base = attacked(attack, honest)
            found = detectors["exact_duplicates"](build(made, prompts=prompts, baselines=base), Settings())
            assert (found.flag, found.severity) == (True, "reject"), name


def test_the_copied_baseline_is_seen_at_once(build: Build, detectors: dict[str, Any]) -> None:
    """Copied, the overlap is 1; reworded, it stays far above the threshold of 0.10."""
    honest = build(n=PROMPTS)
    overlap = {}
    for name in ("baseline-copy", "baseline-polish"):
        prompts, made, base = attacked(attacks()[name], honest)
        overlap[name] = detectors["baseline_copy"](build(made, prompts=prompts, baselines=base)).statistic
    assert overlap["baseline-copy"] == 1.0
    assert 0.5 < overlap["baseline-polish"] < 1.0
