"""Arena-Hard-Auto: three shapes of files, the protocol's truth tables, and what can be odd in them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest

from auditkit.errors import InputError
from auditkit.formats import arena_hard
from auditkit.records import Battles

OLD = "gpt-4-0314"


def lines(path: Path, records: Sequence[Mapping[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def question(uid: str, category: str = "arena-hard-v0.1", **other: object) -> dict[str, object]:
    return {"uid": uid, "category": category, "cluster": "Shapes", "prompt": f"Ask {uid}", **other}


def answer(uid: str, model: str, text: object, **other: object) -> dict[str, object]:
    content = {"answer": text} if isinstance(text, str) else text
    messages = [{"role": "user", "content": f"Ask {uid}"}, {"role": "assistant", "content": content}]
    return {"uid": uid, "ans_id": "x", "model": model, "messages": messages, **other}


def old_answer(uid: str, model: str, text: str, tokens: int) -> dict[str, object]:
    choices = [{"index": 0, "turns": [{"content": text, "token_len": tokens}]}]
    return {"question_id": uid, "answer_id": "x", "model_id": model, "choices": choices, "tstamp": 1.0}


def judgment(uid: str, scores: Sequence[str | None], model: str = "m", **other: object) -> dict[str, object]:
    games = [None if s == "null game" else {"score": s, "judgment": {"answer": "…"}} for s in scores]
    return {"uid": uid, "judge": "j", "model": model, "games": games, **other}


def kinds(battles: Battles) -> dict[str, int]:
    return {note.kind: note.count for note in battles.notes}


def test_recorded_old_shape(shared_data: Path) -> None:
    """The recorded two-game judgments: labels counted by hand (grep), old and new answers side by side."""
    battles = arena_hard.read(shared_data / "arena_hard")
    games = battles.games
    assert battles.models == ("Nexusflow__Athene-V2-Chat",)
    assert battles.benchmark.baselines == {OLD}
    assert battles.benchmark.expected == len(battles.prompts) == 500
    assert battles.prompts["cluster"].nunique() == 250
    assert games["label"].value_counts().to_dict() == {"A>>B": 95, "B>>A": 80, "B>A": 25, "A>B": 9, "A=B": 5, "": 2}
    assert kinds(battles)["unparsed"] == games["outcome"].isna().sum() == 2
    assert games["order"].value_counts().to_dict() == {"model_first": 108, "model_second": 108}
    assert kinds(battles)["missing"] == 392
    # In that fork the judge was shown the model's answers to other questions: the judged texts are what count.
    assert kinds(battles)["answer_differs"] == 216
    answers = battles.answers
    theirs, ours = games["opponent_answer"].map(answers["model"]), games["answer"].map(answers["model"])
    assert set(theirs) == {OLD}
    assert set(ours) == {"Nexusflow__Athene-V2-Chat"}
    assert (games["answer"].map(answers["prompt_id"]) == games["prompt_id"]).all()
    recorded = answers[(answers["model"] == "Nexusflow__Athene-V2-Chat") & (answers["declared"] != "")]
    assert len(recorded) == 500 - 108
    assert all(json.loads(text).keys() == {"token_len"} for text in recorded["declared"])


def test_recorded_answers_without_judgments(shared_data: Path) -> None:
    """A folder of answers alone is recognised, and the error says what is missing."""
    folder = shared_data / "arena_hard" / "arena-hard-v2.0"
    assert arena_hard.recognise(folder)
    with pytest.raises(InputError, match="no judgments"):
        arena_hard.read(folder)
    file = next((folder / "model_answer").glob("*.jsonl"))
    with pytest.raises(InputError, match="no judgments"):
        arena_hard.read(file)


@pytest.mark.parametrize(
    ("first", "second", "outcomes", "weights"),
    [
        ("B>>A", "A>>B", (1, 1), (3, 3)),
        ("B>A", "A>B", (1, 1), (1, 1)),
        ("A>B", "A>B", (0, 1), (1, 1)),
        ("A>>B", "A>B", (0, 1), (3, 1)),
        ("A=B", "B>>A", (0.5, 0), (1, 3)),
        ("A<<B", "B<A", (1, 1), (3, 1)),
        ("B=A", "B<<A", (0.5, 1), (1, 3)),
        ("A<B", "A<B", (1, 0), (1, 1)),
    ],
)
def test_two_games(
    tmp_path: Path, first: str, second: str, outcomes: tuple[float, ...], weights: tuple[float, ...]
) -> None:
    """The baseline is A in game 1 and B in game 2; a strong label counts three times; outcomes are the model's."""
    battles = arena_hard.read(lines(tmp_path / "m.jsonl", [judgment("q", [first, second])]))
    assert battles.games["outcome"].tolist() == list(outcomes)
    assert battles.games["weight"].tolist() == list(weights)
    assert battles.games["order"].tolist() == ["model_second", "model_first"]
    assert battles.games["label"].tolist() == [first, second]
    assert (battles.games[["answer", "opponent_answer"]] == -1).all(axis=None)


def test_missing_verdicts_are_counted_by_kind(tmp_path: Path) -> None:
    """A null game, a null score and an unknown label are three notes and no outcome; the other game of the row stays."""
    rows = [
        judgment("a", ["null game", "A>B"]),
        judgment("b", [None, "A=B"]),
        judgment("c", ["A", "B>A"]),
        judgment("d", ["A>B"]),
        judgment("e", []),
    ]
    battles = arena_hard.read(lines(tmp_path / "m.jsonl", rows))
    outcome = battles.games["outcome"].tolist()
    assert [None if math.isnan(x) else x for x in outcome] == [None, 1, None, 0.5, None, 0, 0]
    found = kinds(battles)
    assert (found["null_game"], found["unparsed"], found["unknown_label"], found["no_games"]) == (1, 1, 1, 1)
    assert battles.games["label"].iloc[4] == "A"
    assert list(battles.dropped["reason"]) == ["no_games"]


def new_folder(tmp_path: Path) -> Path:
    root = tmp_path / "arena-hard-v2.0"
    lines(
        root / "question.jsonl",
        [
            {"uid": "h", "category": "hard_prompt", "subcategory": "coding", "prompt": "Sort."},
            {"uid": "w", "category": "creative_writing", "prompt": "Write."},
            {"uid": "n", "category": "other", "prompt": "?"},
        ],
    )
    style = {"token_len": 51, "header_count": {"h1": 0}, "list_count": {"ordered": 2}, "bold_count": {"**": 0}}
    lines(root / "model_answer" / "m.jsonl", [
        answer("h", "m", {"answer": "first", "thought": "hm"}, metadata=style),
        answer("h", "m", {"answer": "second", "thought": "hm"}, metadata=style),
        answer("w", "m", "plain"),
    ])  # fmt: skip
    lines(root / "model_answer" / "o3-mini-2025-01-31.jsonl", [answer("h", "o3-mini-2025-01-31", "theirs")])
    for judge in ("gpt-4.1", "gemini-2.5"):
        lines(root / "model_judgment" / judge / "m.jsonl", [
            judgment("h", ["B>A", "A>B"], judge=judge, category="hard_prompt"),
            judgment("w", ["A>B", "B>A"], judge=judge),
            judgment("h", ["A>>B", "B>>A"], judge=judge, category="hard_prompt"),
        ])  # fmt: skip
    return root


def test_second_version(tmp_path: Path) -> None:
    """Several judges, a baseline for each category, the last of repeated answers, the first of repeated judgments."""
    battles = arena_hard.read(new_folder(tmp_path))
    games, answers = battles.games, battles.answers
    assert games.groupby("judge").size().to_dict() == {"gemini-2.5": 4, "gpt-4.1": 4}
    assert games.groupby("prompt_id")["opponent"].unique().map(list).to_dict() == {
        "h": ["o3-mini-2025-01-31"], "w": ["gemini-2.0-flash-001"],
    }  # fmt: skip
    assert battles.benchmark.baselines == {"o3-mini-2025-01-31", "gemini-2.0-flash-001"}
    assert (battles.benchmark.version, battles.benchmark.expected) == ("v2.0", 2)
    mine = answers[(answers["model"] == "m") & (answers["prompt_id"] == "h")].iloc[0]
    assert (mine["text"], mine["trace"]) == ("second", "hm")
    assert json.loads(mine["declared"])["list_count"] == {"ordered": 2}
    assert battles.prompts.set_index("prompt_id").loc["h", "cluster"] == "coding"
    assert [(n.kind, n.count, n.model) for n in battles.notes] == [
        ("duplicate_answer", 1, ""),
        ("duplicate", 1, ""), ("duplicate", 1, ""),
        ("answers_missing", 4, "gemini-2.0-flash-001"),
    ]  # fmt: skip
    assert len(battles.dropped) == 2


def test_row_names_its_baseline(tmp_path: Path) -> None:
    """A row's own baseline goes before its category's; a category without one is an error with a way out."""
    path = lines(tmp_path / "m.jsonl", [judgment("a", ["A>B"], baseline="b", category="hard_prompt")])
    assert arena_hard.read(path).benchmark.baselines == {"b"}
    lines(path, [judgment("a", ["A>B"], category="own")])
    with pytest.raises(InputError, match=r"line 1: no baseline is known for the category 'own' \(add a field"):
        arena_hard.read(path)


def test_subsets_find_their_benchmark(tmp_path: Path) -> None:
    """A judge's folder or file inside a benchmark is read with the benchmark's questions and answers."""
    root = new_folder(tmp_path)
    whole = arena_hard.read(tmp_path)
    for part in (root / "model_judgment", root / "model_judgment" / "gpt-4.1", root / "model_judgment/gpt-4.1/m.jsonl"):
        assert arena_hard.recognise(part)
        battles = arena_hard.read(part)
        assert len(battles.answers) == len(whole.answers)
        assert set(battles.games["judge"]) <= set(whole.games["judge"])


def test_several_benchmarks_are_not_mixed(tmp_path: Path) -> None:
    """Two judged benchmarks below one folder: the user chooses."""
    for name in ("one", "two"):
        lines(tmp_path / name / "model_judgment" / "j" / "m.jsonl", [judgment("a", ["A>B"])])
    with pytest.raises(InputError, match="several benchmarks: one, two"):
        arena_hard.read(tmp_path)


def rendered(a: str, b: str) -> str:
    shown = "".join(
        f"<|The Start of Assistant {s}'s Answer|>\n{t}\n<|The End of Assistant {s}'s Answer|>\n\n"
        for s, t in (("A", a), ("B", b))
    )
    return f"<|User Prompt|>\nAsk q\n\n{shown}"


@pytest.mark.parametrize("old", [True, False])
def test_judged_text_counts_where_it_differs(tmp_path: Path, old: bool) -> None:
    """Where the judge's prompt holds another answer than the recorded one, games point to what was judged."""
    lines(tmp_path / "model_answer" / "m.jsonl", [old_answer("q", "m", "recorded", 3)])
    lines(tmp_path / "model_answer" / "b.jsonl", [answer("q", OLD, "base")])

    def game(a: str, b: str) -> dict[str, object]:
        prompt = rendered(a, b)
        shown = (
            {"user_prompt": prompt} if old else {"prompt": [{"role": "system"}, {"role": "user", "content": prompt}]}
        )
        return {"score": "A>B", **shown}

    games = [game(" base\n", "other text"), game("recorded", "base")]
    path = lines(tmp_path / "model_judgment" / "j" / "m.jsonl", [{**judgment("q", []), "games": games}])
    battles = arena_hard.read(tmp_path)
    texts = battles.answers["text"]
    assert list(battles.games["answer"].map(texts)) == ["other text", "recorded"]
    assert list(battles.games["opponent_answer"].map(texts)) == ["base", "base"]
    assert kinds(battles)["answer_differs"] == 1
    lines(path, [{**judgment("q", []), "games": [game("base", "x\n<|The End of Assistant B's Answer|>\ny")]}])
    assert "answer_differs" not in kinds(arena_hard.read(tmp_path)), (
        "a prompt that delimiters make ambiguous is not used"
    )


def test_answers_named_by_their_file(tmp_path: Path) -> None:
    """Upstream calls a model as its answers' file is called: such answers are found, and noted."""
    lines(tmp_path / "model_answer" / "m.jsonl", [answer("q", "org/m-long", "text")])
    lines(tmp_path / "model_judgment" / "j" / "m.jsonl", [judgment("q", ["A>B"])])
    battles = arena_hard.read(tmp_path)
    assert battles.games["answer"].tolist() == [0]
    assert kinds(battles)["name_differs"] == 1
    assert battles.prompts["text"].tolist() == ["Ask q"], "without questions, what the model was asked"


def test_null_answer_is_no_answer(tmp_path: Path) -> None:
    """A failed call leaves a null answer: nothing is recorded, and that is counted."""
    lines(tmp_path / "model_answer" / "m.jsonl", [answer("q", "m", {"answer": None}), answer("r", "m", None)])
    lines(tmp_path / "model_judgment" / "j" / "m.jsonl", [judgment("q", ["A>B"])])
    battles = arena_hard.read(tmp_path)
    assert battles.games["answer"].tolist() == [-1]
    assert kinds(battles)["no_answer"] == 2


@pytest.mark.parametrize("name", ["../../x", "=cmd()", "\x1b[31mred", "qwen@together", "\ud800", ".", ".."])
def test_hostile_names_are_data(tmp_path: Path, name: str) -> None:
    """A model's name is never a path: it survives reading and writing, and no file leaves the target."""
    rows = [judgment("q", ["A>B", "B>A"], model=name, judge=name)]
    battles = arena_hard.read(lines(tmp_path / "in" / "m.jsonl", rows))
    clean = name.replace("\ud800", "\ufffd")
    assert battles.models == (clean,)
    target = tmp_path / "out" / "bench"
    arena_hard.write(battles, target)
    assert arena_hard.read(target).models == (clean,)
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.glob("*/*")} == {"in/m.jsonl", "out/bench"}


def test_written_folder_is_read_back_equal(tmp_path: Path) -> None:
    """Games (with their labels and missing verdicts), answers, style metadata and prompts survive writing."""
    root = new_folder(tmp_path)
    rows = [judgment("h", [None, "A"]), judgment("w", ["B>>A"])]
    lines(root / "model_judgment" / "third" / "m.jsonl", [{**r, "judge": "third"} for r in rows])
    battles = arena_hard.read(root)
    arena_hard.write(battles, tmp_path / "out")
    again = arena_hard.read(tmp_path / "out")
    assert again.benchmark == battles.benchmark
    for table in ("games", "answers", "prompts"):
        pd.testing.assert_frame_equal(getattr(again, table), getattr(battles, table))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"order": "unknown"}, "unknown order"),
        ({"order": "model_first"}, "one game with the baseline first"),
        ({"outcome": 0.25}, "no label for the verdict on prompt 'q'"),
        ({"weight": 2.0}, "no label"),
        ({"label": "m"}, "no label"),
        ({"turn": 2}, "lost would be: turn"),
        ({"gold": 1.0, "variant": "x"}, "lost would be: variant, gold"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    """A recording that the label set cannot spell is refused before anything is written."""
    battles = arena_hard.read(lines(tmp_path / "m.jsonl", [judgment("q", ["A>B"])]))
    for column, value in change.items():
        battles.games[column] = pd.Series([value]).astype(battles.games[column].dtype)
    with pytest.raises(InputError, match=words):
        arena_hard.write(battles, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_verdicts_without_a_label_get_one(tmp_path: Path) -> None:
    """A recording of plain outcomes is written with the protocol's own labels."""
    battles = arena_hard.read(lines(tmp_path / "m.jsonl", [judgment("q", ["B>>A", "A=B"])]))
    battles.games["label"] = pd.Series(["", ""], dtype="str")
    arena_hard.write(battles, tmp_path / "out")
    assert arena_hard.read(tmp_path / "out").games["label"].tolist() == ["B>>A", "A=B"]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"model": "m", "games": []}, "'question_id' is missing"),
        ({"uid": True, "model": "m", "games": []}, "'uid'"),
        ({"uid": "q", "games": []}, "'model' is missing"),
        ({"uid": "q", "model": "m", "games": {}}, "'games'"),
        ({"uid": "q", "model": "m", "games": [None] * 3}, "one or two games"),
        ({"uid": "q", "model": "m", "games": ["A>B"]}, "'games': expected objects or null"),
        ({"uid": "q", "model": "m", "games": [{"score": 1}]}, "'score': expected text"),
        ({"uid": "q", "model": "m", "judge": ["j"], "games": [None]}, "'judge': expected text, got a list"),
    ],
)
def test_wrong_types_are_named(tmp_path: Path, record: dict[str, object], words: str) -> None:
    """A judgment of another shape is an error with file, line and field."""
    path = lines(tmp_path / "m.jsonl", [record])
    with pytest.raises(InputError, match=words) as caught:
        arena_hard.read(path)
    assert "m.jsonl: line 1" in str(caught.value)
