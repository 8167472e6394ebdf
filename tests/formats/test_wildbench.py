"""WildBench: scores, pairs and counts are told apart; what the harness cut stays visible; bad input is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.formats import wildbench

HAIKU = "claude-3-haiku-20240307"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
LABELS = {"A++": ("a", 2), "A+": ("a", 1), "A=B": ("tie", 0), "B+": ("b", 1), "B++": ("b", 2)}


def score(session: str, value: object, model: str = "org/m", output: object = "text") -> dict[str, object]:
    return {
        "session_id": session, "parsed_result": {"strengths": "", "score": value}, "meta_data": {},
        "model_test": model, "score": value, "model_output": output,
    }  # fmt: skip


def pair(session: str, choice: object, first: str = "m", second: str = HAIKU, **more: object) -> dict[str, object]:
    side, extent = LABELS.get(str(choice), (None, None))
    winner = {"a": first, "b": second}.get(str(side), side)
    return {
        "session_id": session, "parsed_result": {"choice": choice}, "meta_data": {}, "model_A": first,
        "model_B": second, "winner": winner, "extent": extent,
        "model_outputs": {first: f"{first} says", second: f"{second} says"}, **more,
    }  # fmt: skip


def counts(*values: int, **more: object) -> dict[str, object]:
    return dict(zip(("win_much", "win", "tie", "lose", "lose_much"), values, strict=True)) | more


def save(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_scores_are_text_on_a_scale(tmp_path: Path) -> None:
    """ "7" is 7; what is no number or lies outside 1..10 is NaN, and the two are counted apart."""
    values = ["7", 8, " 9.5 ", "N/A", None, "11", "nan", "inf", True, "-1"]
    rows = [score(f"s{i}", value) for i, value in enumerate(values)]
    battles = wildbench.read(save(tmp_path / "eval=judge-1" / "m.json", rows))
    assert battles.ratings["score"].fillna(0).tolist() == [7, 8, 9.5, *[0] * 7]
    assert {n.kind: n.count for n in battles.notes} == {"unparsed": 4, "out_of_range": 3}
    assert set(battles.ratings["judge"]) == {"judge-1"}


def test_published_name(tmp_path: Path) -> None:
    """A model goes by its file's name where that is its name without the owner; ``@together`` stays."""
    for file, given_name, shown in (
        ("m.json", "org/m", "m"),
        ("m@together.json", "m@together", "m@together"),
        ("results.json", "org/m", "org/m"),
    ):
        battles = wildbench.read(save(tmp_path / file, [score("s", "5", given_name)]))
        assert battles.models == (shown,)


def test_output_may_be_a_list(tmp_path: Path) -> None:
    """The first sample was judged; no sample is an empty answer."""
    rows = [score("s", "5", output=["first", "second"]), score("t", "5", output=[]), score("u", "5", output=None)]
    assert wildbench.read(save(tmp_path / "m.json", rows)).answers["text"].tolist() == ["first", "", ""]


@pytest.mark.parametrize("shape", ["list", "lines"])
def test_list_and_lines_are_the_same(tmp_path: Path, shape: str) -> None:
    """A JSON list and JSON Lines hold the same records."""
    rows = [pair("s", "A+"), pair("t", "B++")]
    path = save(tmp_path / "m.json", rows)
    if shape == "lines":
        path = tmp_path / "m.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert wildbench.read(path).games["outcome"].tolist() == [0.75, 0.0]


def test_choice_is_turned_to_the_model(tmp_path: Path) -> None:
    """The tested model may be A or B; its outcome and order say so."""
    rows = [pair(f"{c}{i}", c, *names) for c in LABELS for i, names in enumerate((("m", HAIKU), (HAIKU, "m")))]
    games = wildbench.read(save(tmp_path / "eval=j" / "m.json", rows)).games
    assert games["outcome"].tolist() == [1, 0, 0.75, 0.25, 0.5, 0.5, 0.25, 0.75, 0, 1]
    assert games["order"].tolist() == ["model_first", "model_second"] * 5
    assert set(games["model"]) == {"m"}
    assert set(games["opponent"]) == {HAIKU}


def test_unusable_choices_are_missing_and_counted(tmp_path: Path) -> None:
    """No choice, an unknown one, or one that the file's own winner contradicts: NaN, never a tie."""
    rows = [
        pair("s", None),
        pair("t", "A"),
        pair("u", "A+") | {"winner": HAIKU},
        pair("v", "A+") | {"extent": 2},
        pair("w", "A+") | {"winner": None, "extent": None},
        pair("x", "A+") | {"parsed_result": None},
    ]
    battles = wildbench.read(save(tmp_path / "m.json", rows))
    assert battles.games["outcome"].isna().tolist() == [True, True, True, True, False, True]
    assert {n.kind: n.count for n in battles.notes} == {"unparsed": 3, "contradiction": 2}


def test_a_model_against_itself_is_no_game(tmp_path: Path) -> None:
    """One key in the outputs, or one name on both sides, is dropped and listed; so is a duplicate."""
    rows = [
        pair("s", "A+"),
        pair("t", "A+", HAIKU, HAIKU),
        pair("u", "A+") | {"model_outputs": {"m": "x"}},
        pair("s", "B+"),
    ]
    battles = wildbench.read(save(tmp_path / "m.json", rows))
    assert len(battles.games) == 1
    assert battles.dropped["reason"].tolist() == ["compared with itself", "compared with itself", "duplicate"]


def test_the_reference_is_found(tmp_path: Path) -> None:
    """By folder, else by file name, else by being one of the three; otherwise the file cannot be read."""
    other = "gpt-4-turbo-2024-04-09"
    rows = [pair("s", "A+", HAIKU, other)]
    for path, reference in ((f"ref={HAIKU}/x.json", HAIKU), (f"{HAIKU}.json", other)):
        assert set(wildbench.read(save(tmp_path / path, rows)).games["opponent"]) == {reference}
    assert set(wildbench.read(save(tmp_path / "x.json", [pair("s", "A+", "m", other)])).games["opponent"]) == {other}
    with pytest.raises(InputError, match="ref="):
        wildbench.read(save(tmp_path / "x.json", [pair("s", "A+", "m", "n")]))
    with pytest.raises(InputError, match="item 2"):
        wildbench.read(save(tmp_path / f"ref={HAIKU}" / "m.json", [pair("s", "A+"), pair("t", "A+", "m", "n")]))


def test_count_table(tmp_path: Path) -> None:
    """A table becomes one row a model for all tasks and one a task; the short reference name is opened."""
    entry = counts(1, 2, 3, 4, 5, total=20, avg_len=7.5, K=500, task_categorized_results={"T": counts(1, 0, 0, 0, 1)})
    tables = wildbench.read(save(tmp_path / "pairwise-haiku-K=500.json", {"m": entry})).tables
    assert tables["opponent"].tolist() == [HAIKU] * 2
    assert tables[["task", "k", "total"]].to_numpy().tolist() == [["", 500, 20], ["T", 500, 2]]
    assert tables.loc[0, ["win_much", "win", "tie", "lose", "lose_much"]].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("pairwise-haiku-K=5.json", {"m": counts(1, 2, 3, 4, 5, total=14)}, "15 counted items of 14"),
        ("pairwise-haiku-K=5.json", {"m": counts(1, 2, 3, 4, 5, total=15, K=6)}, "K=5"),
        ("pairwise-haiku-K=5.json", {"m": counts(-1, 2, 3, 4, 5, total=15)}, "expected a count"),
        ("pairwise-haiku-K=5.json", {"m": counts(1, 2, 3, 4, 5, total=1e300)}, "expected a count"),
        ("pairwise-haiku-K=5.json", {"m": counts(1, 2, 3, 4, 5, total=15), "n": 3}, "model 'n'"),
        ("pairwise-haiku-K=5.json", [{"m": counts(1, 2, 3, 4, 5, total=15)}], "expected an object of models"),
        ("m.json", [pair("s", "A+", HAIKU, HAIKU)], "no judgments found"),
        ("table.json", {"m": counts(1, 2, 3, 4, 5, total=15)}, "pairwise-<reference>-K=<k>.json"),
        ("m.json", [score("s", "5") | {"model_output": {}}], "output"),
        ("m.json", [score("s", "5") | {"model_test": 1}], "'model_test'"),
        ("m.json", [pair("s", "A+", model_outputs=[])], "'model_outputs'"),
        ("m.json", [pair("s", "A+", model_outputs={"m": "x", "n": "y"})], "expected the answers of"),
    ],
)
def test_bad_record_is_named(tmp_path: Path, name: str, content: object, words: str) -> None:
    """The message names the file, the record and what is wrong."""
    path = save(tmp_path / name, content)
    with pytest.raises(InputError) as error:
        wildbench.read(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


TABLE = {"m": counts(1, 2, 3, 4, 5, total=20, avg_len=7.5, K=5, task_categorized_results={"T": counts(1, 0, 0, 0, 1)})}


def test_a_folder_that_cannot_be_listed_is_not_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recognising never raises; reading says what is wrong."""

    def deny(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", deny)
    assert not wildbench.recognise(tmp_path)
    with pytest.raises(InputError, match="cannot be listed"):
        wildbench.read(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=JSON, raw=st.binary(max_size=40))
def test_nothing_but_input_errors(tmp_path: Path, data: st.DataObject, value: object, raw: bytes) -> None:
    """Any value in any field of any of the three kinds of file, and any bytes, read or raise `InputError`."""
    good = data.draw(st.sampled_from([score("s", "5"), pair("s", "A+")]))
    field, column = data.draw(st.sampled_from(sorted(good))), data.draw(st.sampled_from(sorted(TABLE["m"])))
    for name, content in (
        ("m.json", json.dumps([good, good | {"session_id": "t"} | {field: value}]).encode()),
        ("m.json", json.dumps([good]).encode()[:-1] + raw),
        ("pairwise-haiku-K=5.json", json.dumps(TABLE | {"n": TABLE["m"] | {column: value}}).encode()),
        ("pairwise-haiku-K=5.json", json.dumps(TABLE | {"n": value}).encode()),
        ("pairwise-haiku-K=5.json", raw),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        wildbench.recognise(path)
        try:
            wildbench.read(path)
        except InputError:
            continue


def test_nested_copies_count_once(tmp_path: Path) -> None:
    """A table and a score file that lie twice in a folder are read once; the copies are listed."""
    for folder in (tmp_path, tmp_path / "copy"):
        save(folder / "pairwise-haiku-K=5.json", TABLE)
        save(folder / "eval=j" / "m.json", [score("s", "5")])
    (tmp_path / "notes.md").write_text("not a result")
    battles = wildbench.read(tmp_path)
    assert len(battles.tables) == 2
    assert len(battles.ratings) == 1
    assert battles.dropped["reason"].tolist() == ["duplicate"] * 2


def test_public_files(shared_data: Path) -> None:
    """2 score files and 9 tables of 465 rows, 5 tasks each; published boards are not read."""
    folder = shared_data / "wildbench"
    battles = wildbench.read(folder)
    assert len(battles.inputs) == 11
    assert len(battles.tables) == 465 * 6
    assert len(battles.ratings) == 1024 + 1023
    assert battles.ratings["score"].notna().all()
    assert battles.dropped.empty
    for board in (
        "score.json",
        "score-sonnet.json",
        "all_stat.json",
        "all_stat_wildbench.1000.json",
        "wb_elo_results.json",
    ):
        assert not wildbench.recognise(folder / "tables" / board)
