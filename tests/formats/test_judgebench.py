"""JudgeBench files: the second judgment is turned round, what is unparsed is counted, bad input is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.formats import judgebench

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def judgment(decision: object) -> dict[str, object]:
    return {"judgment": {"judge_model": "judge-1", "prompt": "p", "response": "r"}, "decision": decision}


def pair(name: str, label: str, *decisions: object, **more: object) -> dict[str, object]:
    """One record; a decision of ... stands for a null judgment."""
    return {
        "pair_id": name, "source": "sums", "question": "1+1?", "response_model": "m", "response_A": "two",
        "response_B": "three", "label": label, "judge_name": "protocol",
        "judgments": [None if d is ... else judgment(d) for d in decisions], **more,
    }  # fmt: skip


def save(folder: Path, *records: object, name: str = "out.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_second_judgment_is_in_the_shown_frame(tmp_path: Path) -> None:
    """A decision is about what was shown: in the second judgment B came first, so its A>B means that B won."""
    games = judgebench.read(save(tmp_path, pair("p", "A>B", "A>B", "A>B"))).games
    assert games["order"].tolist() == ["model_first", "model_second"]
    assert games["outcome"].tolist() == [1.0, 0.0]
    assert games["gold"].tolist() == [1.0, 1.0]
    assert games["label"].tolist() == ["A>B", "A>B"]
    assert set(games["judge"]) == {"judge-1/protocol"}


@pytest.mark.parametrize("decision", [..., None, "", "A>>B or so", 3])
def test_unusable_decision_is_missing_and_counted(tmp_path: Path, decision: object) -> None:
    """Neither a tie nor a loss: NaN in the table and a note with the count."""
    battles = judgebench.read(save(tmp_path, pair("p", "B>A", decision, "A=B")))
    assert battles.games["outcome"].isna().tolist() == [True, False]
    assert battles.games["outcome"][1] == 0.5
    assert [(n.kind, n.count) for n in battles.notes] == [("unparsed", 1)]


def test_null_judgment_keeps_its_judge(tmp_path: Path) -> None:
    """A pair whose judgments failed belongs to the judge of the file, not to another one without a name."""
    path = save(tmp_path, pair("p", "A>B", "A>B", "B>A"), pair("q", "A>B", ..., ...))
    assert judgebench.read(path).games["judge"].nunique() == 1


def test_duplicates_and_unjudged_pairs_are_dropped_by_name(tmp_path: Path) -> None:
    """The first record of a pair counts; what is left out is listed with its place."""
    path = save(tmp_path, pair("p", "A>B", "A>B", "B>A"), pair("p", "A>B", "B>A", "A>B"), pair("q", "B>A"))
    battles = judgebench.read(path)
    assert len(battles.games) == 2
    assert battles.dropped[["prompt_id", "reason"]].to_numpy().tolist() == [["p", "duplicate"], ["q", "no judgment"]]
    assert battles.dropped["where"].str.endswith(("line 2", "line 3")).all()


def test_folder_of_judges(tmp_path: Path) -> None:
    """All files of a folder are read; other files in it are none of this format's business."""
    save(tmp_path, pair("p", "A>B", "A>B", "B>A"))
    save(tmp_path, pair("p", "A>B", "A>B", "B>A", judge_name="other"), name="second.jsonl")
    save(tmp_path, {"instruction": "?"}, name="else.jsonl")
    save(tmp_path, "notes", name="README.md")
    assert judgebench.recognise(tmp_path)
    battles = judgebench.read(tmp_path)
    assert set(battles.games["judge"]) == {"judge-1/protocol", "judge-1/other"}
    assert len(battles.inputs) == 2
    assert battles.benchmark.subject == "judge"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": "A=B"}, "expected 'A>B' or 'B>A'"),
        ({"label": None}, "'label'"),
        ({"judgments": {}}, "a list of at most two"),
        ({"judgments": [None] * 3}, "a list of at most two"),
        ({"judgments": ["A>B"]}, "objects or null"),
        ({"question": 1}, "'question': expected text"),
        ({"response_B": None}, "'response_B'"),
    ],
)
def test_bad_record_is_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    """The message names the file, the line and the field."""
    path = save(tmp_path, pair("p", "A>B", "A>B", "B>A"), pair("q", "A>B", "A>B", "B>A") | change)
    with pytest.raises(InputError, match="line 2") as error:
        judgebench.read(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_a_folder_that_cannot_be_listed_is_not_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recognising never raises; reading says what is wrong."""

    def deny(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", deny)
    assert not judgebench.recognise(tmp_path)
    with pytest.raises(InputError, match="cannot be listed"):
        judgebench.read(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(sorted(pair("p", "A>B"))), value=JSON, raw=st.binary(max_size=40))
def test_nothing_but_input_errors(tmp_path: Path, field: str, value: object, raw: bytes) -> None:
    """Any value in any field, and any bytes after a good record, read or raise `InputError`."""
    good = json.dumps(pair("p", "A>B", "A>B", "B>A")).encode()
    bad = json.dumps(pair("q", "A>B", "A>B", "B>A") | {field: value}).encode()
    for content in (good + b"\n" + bad, bad, good + b"\n" + raw, raw):
        path = tmp_path / "fuzz.jsonl"
        path.write_bytes(content)
        judgebench.recognise(path)
        try:
            judgebench.read(path)
        except InputError:
            continue


def test_public_file(shared_data: Path) -> None:
    """270 pairs by one judge in both orders; 13 decisions are null."""
    battles = judgebench.read(shared_data / "judgebench")
    assert judgebench.recognise(shared_data / "judgebench")
    assert len(battles.prompts) == 270
    assert battles.games["order"].value_counts().to_dict() == {"model_first": 270, "model_second": 270}
    assert battles.games["outcome"].isna().sum() == 13
    assert set(battles.games["judge"]) == {"claude-3-haiku-20240307/arena_hard"}
    assert battles.prompts["category"].nunique() == 17
    assert battles.dropped.empty
