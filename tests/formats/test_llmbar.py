"""LLMBar results: the last step is the verdict, folders name the judge, bad input is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.formats import llmbar

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def step(plain: object, swapped: object) -> dict[str, object]:
    return {
        "swap = False": {"completion": ["", "stop"], "winner": plain},
        "swap = True": {"completion": ["", "stop"], "winner": swapped},
    }


def item(question: str, label: object, *steps: object) -> dict[str, object]:
    return {"input": question, "output_1": "one", "output_2": "two", "label": label, "results": list(steps)}


def save(folder: Path, *items: object, at: str = "Adversarial/Manual/Judge/Swap") -> Path:
    path = folder / at / "result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(items))
    return path


def test_last_step_is_the_verdict(tmp_path: Path) -> None:
    """A strategy that looks again overrules its first look; both orders are in the file's own frame."""
    games = llmbar.read(save(tmp_path, item("q", 2, step("1", "1"), step("2", "1")))).games
    assert games["order"].tolist() == ["model_first", "model_second"]
    assert games["outcome"].tolist() == [0.0, 1.0]
    assert games["gold"].tolist() == [0.0, 0.0]


def test_folders_name_judge_and_subset(tmp_path: Path) -> None:
    """``<subset>/<judge>/<strategy>``; an adversarial subset keeps its family's name."""
    save(tmp_path, item("q", 1, step("1", "1")))
    save(tmp_path, item("r", 1, step("1", "1")), at="Natural/Judge/Vanilla")
    (tmp_path / "notes.md").write_text("not a result")
    battles = llmbar.read(tmp_path)
    assert set(battles.games["judge"]) == {"Judge/Swap", "Judge/Vanilla"}
    assert set(battles.prompts["category"]) == {"Adversarial/Manual", "Natural"}


@pytest.mark.parametrize("winner", [None, "3", "", True, ["1"]])
def test_unusable_winner_is_missing_and_counted(tmp_path: Path, winner: object) -> None:
    """A winner that names neither output is NaN, not a loss."""
    battles = llmbar.read(save(tmp_path, item("q", 1, step(winner, 2))))
    assert battles.games["outcome"].isna().tolist() == [True, False]
    assert [(n.kind, n.count) for n in battles.notes] == [("unparsed", 1)]


def test_same_item_twice_counts_once(tmp_path: Path) -> None:
    """A nested copy of a results folder adds nothing but dropped rows; an item without a verdict is dropped too."""
    items = item("q", 1, step("1", "2")), item("r", 1), item("s", 1, {})
    save(tmp_path, *items)
    save(tmp_path, *items, at="Adversarial/Manual/Judge/Swap/copy/Judge/Swap")
    battles = llmbar.read(tmp_path)
    assert len(battles.games) == 2
    assert battles.dropped["reason"].value_counts().to_dict() == {"no judgment": 4, "duplicate": 1}


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (item("q", 3, step("1", "1")), "expected 1 or 2"),
        (item("q", True, step("1", "1")), "expected 1 or 2"),
        (item("q", 1) | {"results": "1"}, "'results': expected a list"),
        (item("q", 1, "1"), "expected a list of objects"),
        (item("q", 1, step("1", "1")) | {"output_2": None}, "'output_2'"),
    ],
)
def test_bad_item_is_named(tmp_path: Path, record: dict[str, object], words: str) -> None:
    """The message names the file, the item and the field."""
    path = save(tmp_path, item("p", 1, step("1", "1")), record)
    with pytest.raises(InputError, match="item 2") as error:
        llmbar.read(path)
    assert words in str(error.value)


def test_a_folder_that_cannot_be_listed_is_not_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recognising never raises; reading says what is wrong."""

    def deny(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", deny)
    assert not llmbar.recognise(tmp_path)
    with pytest.raises(InputError, match="cannot be listed"):
        llmbar.read(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=st.sampled_from(["input", "output_1", "output_2", "label", "results"]), value=JSON, raw=st.binary(max_size=40)
)
def test_nothing_but_input_errors(tmp_path: Path, field: str, value: object, raw: bytes) -> None:
    """Any value in any field, or in a verdict's place, and any bytes read or raise `InputError`."""
    good = item("p", 1, step("1", "2"))
    path = tmp_path / "result.json"
    for content in (
        json.dumps([good, good | {field: value}]).encode(),
        json.dumps([item("p", 1, value)]).encode(),
        json.dumps([item("p", 1, {"swap = False": value})]).encode(),
        json.dumps([item("p", 1, step(value, "1"))]).encode(),
        json.dumps([good]).encode()[:-1] + raw,
        raw,
    ):
        path.write_bytes(content)
        llmbar.recognise(path)
        try:
            llmbar.read(path)
        except InputError:
            continue


def test_public_folder(shared_data: Path) -> None:
    """12 result files: 4 judges on 280 items in both orders; 3 verdicts are unparsed."""
    battles = llmbar.read(shared_data / "llmbar")
    assert llmbar.recognise(shared_data / "llmbar")
    assert len(battles.inputs) == 12
    assert len(battles.prompts) == 280
    assert len(battles.games) == 4 * 280 * 2
    assert battles.games["outcome"].isna().sum() == 3
    assert battles.prompts["category"].value_counts().to_dict() == {
        "Natural": 100, "Adversarial/Manual": 46, "Adversarial/Neighbor": 134,
    }  # fmt: skip
