"""Arms of probes: what they show, that edits change one thing alone, and that planted biases come out at the end."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditkit.attacks.probes import CLEAN, NOT_OFFLINE, Outcomes, Probe, ProbeResult, catalogue
from auditkit.attacks.probes import edits as edit
from auditkit.attacks.protocol import Situation
from auditkit.formats import read
from auditkit.judging.calls import Message, Request
from auditkit.judging.check import check
from auditkit.judging.clients.simulated import SimulatedClient
from auditkit.judging.importers import import_judge
from auditkit.judging.inputs import Prompt
from auditkit.judging.known import builtin_pairs
from auditkit.judging.parse import parse_verdict
from auditkit.judging.protocol import orders as orders_of
from auditkit.judging.simulated_writer import SimulatedWriter
from auditkit.judging.spec import JudgeSpec, judge_names, load_judge
from auditkit.judging.verdicts import request_for
from auditkit.records import Order
from auditkit.registry import plugins

PROBES = {p.id: p for p in vars(catalogue).values() if isinstance(p, Probe)}
JUDGES = {name: load_judge(name) for name in judge_names()}
ANSWER = "Rivers run to the sea as a rule. In 1890 some 12 of them were measured. The water is then taken up again."
QUESTION = "Explain where the water of rivers goes and how it comes back."


def situation(judge: JudgeSpec, answer: str = ANSWER, opponent: str = "It flows away.", number: int = 0) -> Situation:
    return Situation(Prompt(f"p{number}", (QUESTION,)), answer, opponent if judge.pairwise else "", judge)


# --- what arms show -------------------------------------------------------------------------------------------------


def test_every_probe_is_registered_under_its_id() -> None:
    """And every plugin is a probe; what cannot be played is named with a reason."""
    assert {name: plugin.load() for name, plugin in plugins("probes").items()} == PROBES
    assert not set(NOT_OFFLINE) & set(PROBES)
    for plugin in plugins("probes").values():
        assert plugin.summary == plugin.load().summary
    for probe in PROBES.values():
        assert probe.mend.endswith(".")
        assert probe.source


@pytest.mark.parametrize("name", sorted(PROBES))
def test_arms_are_shown_by_every_judge_that_they_apply_to(name: str) -> None:
    """Each is rendered with real templates, does not depend on the time of asking, and differs from the plain one."""
    probe = PROBES[name]
    for judge in JUDGES.values():
        if not probe.applies(judge) or ("opponent" in probe.needs and not judge.pairwise):
            continue
        seen = {}
        for arm, make in probe.arms.items():
            staged = make(situation(judge))
            assert staged == make(situation(judge))
            if staged is None:
                continue
            check(staged.judge)
            texts: list[tuple[str, ...]] = [(staged.own,), (staged.opponent,)][: 2 if judge.pairwise else 1]  # type: ignore[assignment]
            order = staged.order or "model_first"
            category = (judge.reference_categories or ("",))[0]
            prompt = Prompt("p", staged.turns, category, reference=("So.",), checklist=("ok?",))
            request = request_for(
                staged.judge, "x/y", prompt, texts, order, turn=1, item=0 if judge.mode == "checklist" else None
            )
            seen[arm] = "\n".join(message.content for message in request.messages)
        assert CLEAN in seen
        assert len(set(seen.values())) == len(seen), sorted(seen)


@pytest.mark.parametrize("name", sorted(PROBES))
def test_blank_answers_are_not_edited(name: str) -> None:
    """An arm that edits an answer does not apply where there is none; the plain arm always does."""
    probe, judge = PROBES[name], JUDGES["arena-hard-v0.1"]
    for arm, make in probe.arms.items():
        staged = make(situation(judge, " ", ""))
        if arm == CLEAN:
            assert staged is not None
            assert staged.own == " "
        elif staged is not None:
            assert (staged.own, staged.opponent) == (" ", "")
            assert staged.judge != judge


UPSTREAM = {
    "arena-hard": ("arena_hard/arena-hard-v0.1.yaml", None),
    "alpaca": ("alpaca_eval/weighted_alpaca_eval_gpt4_turbo", None),
    "mt pair": ("mt_bench/judge_prompts.jsonl", "pair"),
    "wildbench": ("wildbench/eval_template.pairwise.v2.md", None),
}


@pytest.mark.parametrize("case", sorted(UPSTREAM))
def test_published_judges_are_probed_as_they_are(case: str, shared_data: Path) -> None:
    """Sentences before the instructions fit upstream's rendering too, or the probe does not apply."""
    path, name = UPSTREAM[case]
    judge = import_judge(shared_data / "judges" / path, name=name)
    tried = 0
    for probe in PROBES.values():
        if not probe.applies(judge):
            continue
        for make in probe.arms.values():
            staged = make(situation(judge))
            if staged is not None:
                check(staged.judge)
                prompt = Prompt("p", staged.turns, checklist=("ok?",))
                request = request_for(
                    staged.judge, "x/y", prompt, [(staged.own,), (staged.opponent,)], "model_first", turn=1
                )
                assert staged.own[:20] in "".join(m.content for m in request.messages)
                tried += 1
    assert tried > 20
    assert catalogue.TEMPLATE.applies(judge) == (case != "alpaca")


def test_the_page_names_every_probe() -> None:
    """Those that are played and those that are not."""
    page = (Path(__file__).parents[3] / "docs" / "probes.md").read_text(encoding="utf-8")
    assert [name for name in PROBES if f"`{name}`" not in page] == []
    assert [name for name in NOT_OFFLINE if name not in page] == []


# --- edits ----------------------------------------------------------------------------------------------------------


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


@pytest.mark.parametrize("name", ["markdown", "listed", "tabled", "bold", "rich", "spaced"])
def test_edits_of_form_keep_the_words(name: str) -> None:
    """In their order; only marks, numbers and labels of parts come on top."""
    at = situation(JUDGES["arena-hard-v0.1"])
    changed = getattr(edit, name)(at)
    assert changed != ANSWER
    rest = iter(_words(changed))
    assert all(word in rest for word in _words(ANSWER))


def test_marks_are_taken_off_again() -> None:
    """Stripping leaves the words; text without marks, and code, stays as it is."""
    at = situation(JUDGES["arena-hard-v0.1"])
    for name in ("listed", "bold"):
        bare = edit.plain(replace(at, answer=getattr(edit, name)(at)))
        assert "**" not in bare
        assert not bare.startswith("- ")
    assert edit.plain(at) == ANSWER
    code = "Use `x`:\n```\n# a comment\n- b\n```"
    assert edit.plain(replace(at, answer=code)) == code


@pytest.mark.parametrize("name", ["filled", "trivia", "refined", "sourced", "majority", "specific"])
def test_added_sentences_leave_the_answer_as_it_is(name: str) -> None:
    """What is added comes after it."""
    assert getattr(edit, name)(situation(JUDGES["arena-hard-v0.1"])).startswith(ANSWER + "\n\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6 times 7 is 42.", r"(?!6 times 7 is 42\.)\d+ times \d+ is \d+\."),
        ("A dog is an animal.", r"A dog is not an animal\."),
        ("It does not rain.", r"It does rain\."),
        ("Bees make honey.", r"Bees make honey\."),
        ("Run `x = 3`, then 4.", r"Run `x = 3`, then 4\."),
        ("In 3.5 hours", r"In 3\.5 hours"),
    ],
)
def test_one_error_is_planted(text: str, expected: str) -> None:
    """A number or a statement is made wrong, once; where no rule fits, and in code, nothing is changed."""
    for seed in range(5):
        changed = edit.planted_error(text, np.random.default_rng(seed))
        assert re.fullmatch(expected, changed), changed
        assert sum(a != b for a, b in zip(_words(text), _words(changed), strict=False)) <= 1 or "not" in text + changed


# --- from the text to the finding -----------------------------------------------------------------------------------

ORDERS: tuple[Order, ...] = ("model_first", "model_second")


def _written(number: int, skill: float) -> str:
    asked = Request("simulated/writer", (Message("user", f"{QUESTION} {number}"),))
    return SimulatedWriter(seed=number, skill=skill, words=50).write(asked).text


def _played(
    probe: Probe, judge: JudgeSpec, model: str, situations: Sequence[Situation], gold: float = np.nan
) -> ProbeResult:
    """Play a probe as a runner does, through rendering, a simulated judge and the parser."""
    client = SimulatedClient([judge])
    shown = ORDERS if judge.pairwise else ("unknown",)
    n = len(situations)
    tables = {arm: np.full((n, len(shown), probe.samples(arm)), np.nan) for arm in probe.arms}
    lengths = {arm: np.full((n, 2), np.nan) for arm in probe.arms}

    async def ask() -> None:
        for i, at in enumerate(situations):
            for arm, make in probe.arms.items():
                staged = make(at)
                if staged is None:
                    continue
                lengths[arm][i] = len(staged.own), len(staged.opponent)
                wanted = [staged.order] if staged.order else orders_of(staged.judge, staged.turns)
                for order in wanted:
                    for sample in range(probe.samples(arm)):
                        texts: Any = [(staged.own,), (staged.opponent,)][: 2 if judge.pairwise else 1]
                        request = request_for(
                            staged.judge, model, Prompt("p", staged.turns), texts, order, turn=1, sample=sample
                        )
                        verdict = parse_verdict(staged.judge, await client.complete(request))
                        low, high = judge.verdict.scale or (0.0, 1.0)
                        value = verdict.for_model(order) if judge.pairwise else (verdict.score - low) / (high - low)
                        tables[arm][i, shown.index(order), sample] = value

    asyncio.run(ask())
    return probe.result(
        Outcomes(
            tables, shown, np.full(n, gold), np.arange(n, dtype=np.intp), lengths, pairwise=judge.pairwise,
            scale=judge.verdict.scale,
        )
    )  # fmt: skip


def _situations(judge: JudgeSpec, n: int, skill: float = 0.5) -> list[Situation]:
    return [
        replace(situation(judge, _written(i, skill), _written(1000 + i, skill), i), seed=i) for i in range(n)
    ]  # fmt: skip


PLANTED = {
    "position": "position=1.2",
    "length": "length=2.5",
    "style": "style=1.5",
    "beauty": "style=1.5",
    "authority": "authority=2",
    "equal-pair": "position=1.5",
}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_bias_is_found_and_an_honest_judge_is_cleared(name: str) -> None:
    """The same probe, texts and test; only the judge differs."""
    judge, probe = JUDGES["mt-bench-pairwise"], PROBES[name]
    judge = replace(judge, reference_categories=())
    items = _situations(judge, 40)
    biased = _played(probe, judge, f"simulated/biased?quality=2&{PLANTED[name]}", items)
    assert biased.p_value is not None
    assert biased.p_value < 0.01, biased
    assert (biased.difference or 0.0) > 0.05
    assert "stands out" not in biased.sentence
    honest = _played(probe, judge, "simulated/honest?noise=0.5", items)
    assert honest.p_value is not None
    assert honest.p_value > 0.01, honest


def test_the_length_slope_is_the_planted_one() -> None:
    """Log-odds a doubling: the coefficient a unit of log length, times log 2."""
    judge = replace(JUDGES["mt-bench-pairwise"], reference_categories=())
    found = _played(catalogue.LENGTH, judge, "simulated/biased?quality=0&length=1", _situations(judge, 60))
    slope = next(part for part in found.parts if part.name.startswith("length slope, the same"))
    assert slope.ci is not None
    assert slope.ci[0] <= np.log(2) <= slope.ci[1]
    assert slope.ci[1] - slope.ci[0] < 1.0


def test_probes_of_the_instructions_are_played_too() -> None:
    """A judge whose instructions begin with one sentence more is asked, read and compared."""
    judge = JUDGES["arena-hard-v0.1"]
    for probe in (catalogue.TEMPLATE, catalogue.CHAIN_OF_THOUGHT, catalogue.ANCHORING):
        found = _played(probe, judge, "simulated/honest?noise=0.3", _situations(judge, 12))
        assert found.estimate is not None, found.note
        assert found.n == 12
        assert found.p_value is not None
        assert found.p_value > 0.01
    single = JUDGES["mt-bench-single"]
    rated = _played(catalogue.ANCHORING, single, "simulated/honest?noise=0.3", _situations(single, 12))
    assert rated.estimate is not None


def test_known_pairs_show_overlooked_errors() -> None:
    """An honest judge sees planted errors as it sees open ones; figures that are invented gain nothing from it."""
    judge = JUDGES["arena-hard-v0.1"]
    items = [
        Situation(Prompt(pair.id, (pair.question,)), pair.wrong, pair.right, judge) for pair in builtin_pairs(24)
    ]  # fmt: skip
    found = _played(catalogue.FALLACY, judge, "simulated/honest", items, gold=0.0)
    assert found.estimate is not None
    assert found.estimate < 0.1
    assert found.n >= 8
    assert (found.p_value or 0.0) > 0.05
    guessing = _played(catalogue.FALLACY, judge, "simulated/biased?quality=0", items, gold=0.0)
    assert guessing.estimate == pytest.approx(0.5, abs=0.25)
    concrete = _played(catalogue.CONCRETENESS, judge, "simulated/honest", items, gold=0.0)
    assert abs(concrete.difference or 0.0) < 0.1
    # Items that were not turned say nothing of errors, and are left out.
    assert _played(catalogue.CONCRETENESS, judge, "simulated/honest", items[:3], gold=1.0).estimate is None


def test_ratings_are_probed() -> None:
    """A judge that rates: noise, use of the scale, and a style that it likes."""
    judge = JUDGES["mt-bench-single"]
    judge = replace(judge, reference_categories=())
    items = _situations(judge, 30)
    liked = _played(catalogue.STYLE, judge, "simulated/biased?quality=1&style=1.5", items)
    assert (liked.p_value or 1.0) < 0.001
    assert (liked.estimate or 0.0) > 0.1
    used = _played(catalogue.SCALE_USE, judge, "simulated/honest", items)
    assert used.estimate is not None
    assert 0.0 < used.estimate < 1.0
    assert not catalogue.POSITION.applies(judge)


# --- on published verdicts ------------------------------------------------------------------------------------------


def test_published_verdicts_give_the_published_consistency(shared_data: Path) -> None:
    """LLMBar's verdicts in both orders: consistency exactly as its ``statistics.json`` counts it, accuracy too."""
    checked = 0
    for file in sorted((shared_data / "llmbar").rglob("statistics.json")):
        published = json.loads(file.read_text(encoding="utf-8"))
        equal, correct = ([int(x) for x in re.findall(r"\d+", published[k])[:2]] for k in ("equal", "correct_False"))
        games = read(file.with_name("result.json")).games
        games = games[(games["variant"] == "") & (games["model"] == "response_A")]
        wide = games.pivot_table(index="prompt_id", columns="order", values="outcome", dropna=False, sort=False)
        gold = games.drop_duplicates("prompt_id").set_index("prompt_id")["gold"].reindex(wide.index).to_numpy()
        values = wide[["model_first", "model_second"]].to_numpy()
        if np.isnan(values).any():
            continue
        n = len(values)
        outcomes = Outcomes({CLEAN: values[:, :, None]}, ORDERS, gold, np.arange(n, dtype=np.intp))
        found = catalogue.POSITION.result(outcomes)
        consistency = next(part for part in found.parts if part.name == "position consistency (PC)")
        assert consistency.estimate == pytest.approx(equal[0] / equal[1], abs=1e-12), file
        assert n == equal[1]
        accuracy = ((values[:, 0] > 0.5) == (gold == 1.0)).mean()
        assert accuracy == pytest.approx(correct[0] / correct[1], abs=1e-12), file
        checked += 1
    assert checked >= 6
