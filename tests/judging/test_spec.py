"""Judge files: what is accepted, what is refused, and how judges are found."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit import registry
from auditkit.errors import InputError, UsageError
from auditkit.judging.spec import SCHEMA, JudgeSpec, judge_names, load_judge, parse_judge, to_toml
from auditkit.registry import Plugin

GOOD = """
schema = "auditkit.judge/1"
name = "mine"
title = "My judge"
source = "made for a test"
mode = "pairwise"

[verdict]
parser = "labels"

[verdict.labels]
A = { outcome = 1.0 }
B = { outcome = 0.0 }

[[templates]]
[[templates.messages]]
role = "user"
text = "Q: {{ question }} A: {{ answer_a }} B: {{ answer_b }}"
"""


def test_a_minimal_judge_gets_the_defaults() -> None:
    """Both orders, one retry and tags round every value are what a judge gets that says nothing."""
    spec = parse_judge(GOOD)
    assert (spec.order, spec.retries, spec.fence, spec.rendering) == ("both", 1, "tags", "jinja")
    assert spec.verdict.labels["A"].weight == 1.0


@pytest.mark.parametrize("name", judge_names())
def test_a_judge_written_out_reads_back_equal(name: str) -> None:
    """`to_toml` loses nothing, and layout and comments do not change the hash."""
    spec = load_judge(name)
    again = parse_judge("# a comment\n" + to_toml(spec))
    assert again == spec
    assert again.sha256 == spec.sha256


def test_the_hash_sees_every_field() -> None:
    """Any change of wording, label or parameter gives another hash."""
    spec = parse_judge(GOOD)
    changed = [
        GOOD.replace("Q: ", "Question: "),
        GOOD.replace("My judge", "Your judge"),
        GOOD.replace("[verdict]", "[params]\ntemperature = 0.5\n[verdict]"),
        GOOD.replace("outcome = 1.0 }", "outcome = 1.0, weight = 2.0 }").replace("0.0 }", "0.0, weight = 2.0 }"),
    ]
    assert len({parse_judge(text).sha256 for text in changed} | {spec.sha256}) == 5


BAD = {
    "no schema": (GOOD.replace(f'schema = "{SCHEMA}"', ""), "schema"),
    "another schema": (GOOD.replace("judge/1", "judge/9"), "auditkit.judge/9"),
    "not TOML": ("schema = ", "not TOML"),
    "unknown key": (GOOD.replace('mode =', 'moods = 1\nmode ='), "'moods'"),
    "unknown inner key": (GOOD.replace("outcome = 1.0 }", "outcome = 1.0, wait = 3 }"), "wait"),
    "missing field": (GOOD.replace('title = "My judge"', ""), "'title': is missing"),
    "wrong type": (GOOD.replace('title = "My judge"', "title = 3"), "'title'"),
    "text for a number": (GOOD.replace("outcome = 1.0", 'outcome = "1.0"'), "verdict.labels.A.outcome"),
    "a date": (GOOD.replace('mode =', 'model = 2020-01-01\nmode ='), "dates"),
    "not finite": (GOOD.replace("outcome = 1.0", "outcome = nan"), "finite"),
    "bad mode": (GOOD.replace('"pairwise"', '"triple"'), "'mode'"),
    "bad name": (GOOD.replace('"mine"', '"../x"'), "'name'"),
    "two lines": (GOOD.replace('"My judge"', '"My\\njudge"'), "'title'"),
    "undefined variable": (GOOD.replace("{{ question }}", "{{ question }}{{ asnwer }}"), "asnwer is not a variable"),
    "variable of another mode": (GOOD.replace("{{ question }}", "{{ question }}, {{ answer }}"), "answer is not a variable"),
    "syntax": (GOOD.replace("{{ question }}", "{{ question }"), "templates.0.messages.0.text"),
    "never shows B": (GOOD.replace("B: {{ answer_b }}", ""), "never shows answer_b"),
    "a call": (GOOD.replace("Q:", "{{ question.upper() }}"), "call is not allowed"),
    "a filter": (GOOD.replace("Q:", "{{ question|upper }}"), "upper"),
    "arithmetic": (GOOD.replace("Q:", "{{ 'a' * 1000000000 }}"), "mul is not allowed"),
    "an assignment": (GOOD.replace("Q:", "{% set x = 1 %}"), "assign is not allowed"),
    "an include": (GOOD.replace("Q:", "{% include 'x' %}"), "include is not allowed"),
    "a condition on a value": (GOOD.replace("Q:", "{% if question %}x{% endif %}"), "can only be shown"),
    "a comparison of a value": (GOOD.replace("Q:", "{% if question > 'a' %}x{% endif %}"), "can only be shown"),
    "a loop over a value": (GOOD.replace("Q:", "{% for c in question %}x{% endfor %}"), "can only be shown"),
    "length of a value": (GOOD.replace("Q:", "{{ question|length }}"), "can only be shown"),
    "an attribute": (GOOD.replace("Q:", "{{ question.__class__ }}"), "templates.0"),
    "a group": (GOOD.replace("Q:", "{{ turns }}"), "templates.0"),
    "optional value": (GOOD.replace("Q:", "{{ history }}"), "'history' is undefined"),
    "a NUL": (GOOD.replace("Q:", "\\u0000"), "NUL"),
    "no user message": (GOOD.replace('role = "user"', 'role = "system"'), "a user message last"),
    "one label": (GOOD.replace("B = { outcome = 0.0 }", ""), "at least two labels"),
    "lopsided labels": (GOOD.replace("outcome = 0.0 }", "outcome = 0.0, weight = 3.0 }"), "favour one place"),
    "outcome too large": (GOOD.replace("outcome = 1.0", "outcome = 1.5"), "0 to 1"),
    "weight zero": (GOOD.replace("outcome = 1.0 }", "outcome = 1.0, weight = 0.0 }"), "more than 0"),
    "no place for the label": (GOOD.replace('"labels"', '"labels"\nwritten = "[[]]"'), "{label} exactly once"),
    "label the parser cuts": (GOOD.replace("A = {", '"A]]" = {'), "can never produce"),
    "label of MT-Bench": (GOOD.replace('"labels"', '"mt_pair"').replace("A = {", "D = {"), "can never produce"),
    "label of Arena-Hard": (GOOD.replace('"labels"', '"ah_v2"').replace("A = {", "X = {"), "can never produce"),
    "scale for labels": (GOOD.replace('"labels"', '"labels"\nscale = [1, 10]'), "gives a label"),
    "parser of another mode": (GOOD.replace('"labels"', '"mt_single"'), "cannot be used in mode pairwise"),
    "json without field": (GOOD.replace('"labels"', '"json"'), "verdict.field"),
    "logprob without logprobs": (GOOD.replace('"labels"', '"logprob"'), "params.top_logprobs"),
    "unknown parameter": (GOOD.replace("[verdict]", "[params]\ntemprature = 0.5\n[verdict]"), "params.temprature"),
    "parameter out of range": (GOOD.replace("[verdict]", "[params]\ntemperature = 3\n[verdict]"), "params.temperature"),
    "retries": (GOOD.replace("mode =", "retries = 11\nmode ="), "'retries'"),
    "retry text without retries": (GOOD.replace("mode =", 'retries = 0\nretry_text = "x"\nmode ='), "never sent"),
    "first game of one": (GOOD.replace("mode =", 'order = "seeded"\nfirst_game = "model_second"\nmode ='), "first_game"),
    "items of none": (GOOD + '[[items]]\nid = "a"\ntext = "b"\n', "items"),
    "bad expression": (GOOD.replace('"labels"', '"ah_v01"\npatterns = ["("]'), "regular expression"),
    "two groups": (GOOD.replace('"labels"', '"ah_v01"\npatterns = ["(A)(B)"]'), "one group"),
    "title of blanks": (GOOD.replace('"My judge"', '" "'), "'title'"),
    "a NUL in a text": (GOOD.replace("[verdict]", '[texts]\nx = "\\u0000"\n[verdict]'), "NUL"),
    "words below zero": (GOOD.replace("mode =", "words = -1\nmode ="), "'words'"),
    "order of a single judge": (GOOD.replace('"pairwise"', '"single"').replace("mode =", 'order = "model_first"\nmode ='), "one answer at a time"),
    "labels of a single judge": (GOOD.replace('"pairwise"', '"single"'), "set scale instead"),
    "no template": (GOOD.partition("[[templates]]")[0].replace("mode =", "templates = []\nmode ="), "at least one template"),
    "logprob label with a blank": (GOOD.replace('"labels"', '"logprob"').replace("A = {", '"A b" = {'), "can never produce"),
    "logprob with a tie": (GOOD.replace('"labels"', '"logprob"').replace("B = {", "C = { outcome = 0.5 }\nB = {"), "two labels"),
    "two lines in a label": (GOOD.replace('"labels"', '"labels"\nwritten = "{label}\\n"'), "one line"),
    "patterns of ours": (GOOD.replace('"labels"', '"labels"\npatterns = ["(A)"]'), "only for the parsers"),
    "principles without items": (GOOD.replace('"pairwise"', '"principles"'), "at least one item"),
    "the same message twice": (GOOD + '[[templates.messages]]\nrole = "user"\ntext = "Q: {{ question }} A: {{ answer_a }} B: {{ answer_b }}"\n', "the same"),
    "reference never shown": (GOOD.replace("[[templates]]\n", "[[templates]]\nreference = true\n"), "never shows it"),
    "values side by side": (GOOD.replace("Q: {{ question }} A: {{ answer_a }} B: ", "ask: {{ question }} answers: {{ answer_a }}").replace("mode =", 'fence = "template"\nmode ='), "nothing between"),
    "delimiter too short": (GOOD.replace("mode =", 'fence = "template"\nmode ='), "cannot be told from ordinary text"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "named"), BAD.values(), ids=list(BAD))
def test_a_bad_judge_is_one_line_that_names_the_field(text: str, named: str) -> None:
    """Whatever is wrong with a judge, the error is one line that says where and what."""
    with pytest.raises(InputError) as caught:
        parse_judge(text, "mine.toml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("mine.toml: ")
    assert named in message


def test_a_delimiter_that_overlaps_itself_is_refused() -> None:
    """Between two values stands a text that can be found again for sure, or the judge is refused."""
    bad = GOOD.replace("mode =", 'fence = "template"\nmode =').replace(
        "Q: {{ question }} A: {{ answer_a }} B: {{ answer_b }}",
        "question:{{ question }}-----{{ answer_a }}=====B{{ answer_b }}",
    )
    with pytest.raises(InputError, match="overlaps itself"):
        parse_judge(bad)


def test_a_file_and_a_name_are_told_apart(tmp_path: Path) -> None:
    """A path is read as a file; a name is looked up among the installed judges."""
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    assert load_judge(file) == load_judge(str(file)) == parse_judge(GOOD)
    with pytest.raises(UsageError, match=r"arena-hard-v2\.0"):
        load_judge("no-such-judge")
    with pytest.raises(InputError, match="no such file"):
        load_judge("./no-such-judge")
    with pytest.raises(InputError, match="folder"):
        load_judge(tmp_path)
    file.write_bytes(b"schema = '\xff'")
    with pytest.raises(InputError, match="UTF-8"):
        load_judge(file)
    file.write_bytes(b"#" * (5 << 20))
    with pytest.raises(InputError, match="more than"):
        load_judge(file)


class _Third:
    """What a third party's entry point may name."""

    judge = parse_judge(GOOD)
    broken = JudgeSpec("mine", "t", "s", "pairwise", judge.verdict, ())

    @staticmethod
    def factory() -> JudgeSpec:
        return _Third.judge


def _install(monkeypatch: pytest.MonkeyPatch, thing: object) -> None:
    entry = EntryPoint("third", "third:thing", "auditkit.judges")
    monkeypatch.setattr(EntryPoint, "load", lambda self: thing)
    monkeypatch.setattr(registry, "_all", lambda group, own: {"third": Plugin(group, "third", "third", "1", entry)})


def test_a_third_partys_judge_is_found_like_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An entry point may name a judge, a function that makes one, or a TOML file."""
    file = tmp_path / "third.toml"
    file.write_text(GOOD)
    for thing in (_Third.judge, _Third.factory, file):
        _install(monkeypatch, thing)
        assert load_judge("third") == _Third.judge


@pytest.mark.parametrize("thing", [_Third.broken, 3, list])
def test_a_third_partys_broken_judge_is_refused(monkeypatch: pytest.MonkeyPatch, thing: object) -> None:
    """A plugin that is no judge, or not a usable one, is an error in plain words."""
    _install(monkeypatch, thing)
    with pytest.raises((InputError, UsageError), match=re.compile("template|neither")):
        load_judge("third")


SINGLE = (
    GOOD.replace('"pairwise"', '"MODE"')
    .replace("{{ answer_a }} B: {{ answer_b }}", "{{ answer }}")
    .replace("A = { outcome = 1.0 }\nB = { outcome = 0.0 }\n", "")
    .replace('parser = "labels"', 'parser = "json"\nfield = "x"\nSCALE')
)


@pytest.mark.parametrize(
    ("mode", "scale", "items", "named"),
    [
        ("single", "", "", "verdict.scale"),
        ("single", "scale = [10, 1]", "", "the lowest number"),
        ("criteria", "scale = [1, 3]", '[[items]]\nid = "a"\ntext = " "\n', "items.0.text"),
        ("criteria", "scale = [1, 3]", '[[items]]\nid = "a"\ntext = "b"\n' * 2, "items.0.id"),
        ("criteria", "scale = [1, 3]", '[[items]]\nid = "a"\ntext = "b"\nweight = -1.0\n', "items.0.weight"),
        ("checklist", "", "", "at least two labels"),
    ],
)
def test_a_bad_scale_or_item_is_named(mode: str, scale: str, items: str, named: str) -> None:
    """Judges that rate need a scale, and items need names, texts and weights."""
    text = SINGLE.replace("MODE", mode).replace("SCALE", scale).replace("[[templates]]", f"{items}[[templates]]", 1)
    with pytest.raises(InputError) as caught:
        parse_judge(text)
    assert named in str(caught.value)


def test_a_checklist_judge_must_show_the_item() -> None:
    """A judge that asks about one item at a time and never says which is refused."""
    text = GOOD.replace('"pairwise"', '"checklist"').replace("{{ answer_a }} B: {{ answer_b }}", "{{ answer }}")
    with pytest.raises(InputError, match="never shows item"):
        parse_judge(text)


@given(text=st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40))
def test_any_text_survives_being_written(text: str) -> None:
    """Quotes, backslashes, control characters and line ends in a text come back as they were."""
    spec = replace(parse_judge(GOOD), texts={"x": text, text or "y": "1"}, retry_text=text)
    assert parse_judge(to_toml(spec)) == spec


def test_the_documented_judge_is_usable() -> None:
    """The example in docs/judges.md is a judge, and renders."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "judges.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(examples) == 1
    spec = parse_judge(examples[0])
    assert spec.baseline("any") == "some-model"
    assert [f"`{name}`" in page for name in judge_names()] == [True] * len(judge_names())


def test_a_list_that_is_shown_whole_is_refused_in_words_a_user_knows() -> None:
    """The message says what to write instead, not which Python type it was."""
    text = to_toml(load_judge("mt-bench-single"))
    for shown, said in (("{{ turns }}", "{% for one in"), ("{{ turns[0] }}", "show one of them: answer, question")):
        changed = text.replace("{{ answer }}", f"{{{{ answer }}}}{shown}")
        with pytest.raises(InputError) as caught:
            parse_judge(changed)
        assert said in str(caught.value)
        assert "list is" not in str(caught.value)
        assert "dict is" not in str(caught.value)
