"""Read and write AlpacaEval results: ``results/<model>/<annotator>/annotations.json``.

Each record holds an instruction, the baseline's answer (``output_1``), the model's (``output_2``) and a
``preference`` in [1, 2], 2 if the judge is sure that the model's is better. Rows are matched by instruction, never
by place. Which answer the weighted annotators show first is a function of the instruction alone
(tatsu-lab/alpaca_eval, ``annotators/pairwise_evaluator.py`` and ``utils.py``, seed 0).
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from auditkit.errors import InputError
from auditkit.formats import _io
from auditkit.formats._tables import Answers, Loss, folder_name, prompt_table, refuse_losses
from auditkit.records import (
    DROPPED_COLUMNS,
    GAME_COLUMNS,
    Battles,
    Benchmark,
    Input,
    Note,
    Order,
)
from auditkit.tables import table

__all__ = ["TITLE", "model_first", "read", "recognise", "write"]

TITLE: Final = "AlpacaEval results (annotations.json)"

_FIELDS: Final = frozenset({"instruction", "output_1", "output_2", "preference"})
_FILE: Final = "annotations.json"
_OUTPUTS: Final = "model_outputs.json"
#: The five sources and the number of prompts of the AlpacaEval set, and the baselines of its two versions.
_DATASETS: Final = frozenset({"helpful_base", "koala", "oasst", "selfinstruct", "vicuna"})
_PROMPTS: Final = 805
_VERSIONS: Final = {"gpt4_1106_preview": "2.0", "text_davinci_003": "1.0"}
_WEIGHTED: Final = "weighted_alpaca_eval"
_BESIDE: Final = {
    "calibration": "df_gamed.csv",
    "difficulty": "instruction_difficulty.csv",
    "leaderboard": "leaderboard.csv",
}
#: Below a results folder: <results>/<model>/<annotator>/<annotator>/annotations.json, and one folder above it.
_DEPTH: Final = 5


@lru_cache(maxsize=4096)
def model_first(instruction: str) -> bool:
    """Tell whether the weighted annotators show the evaluated model's answer first (as ``m``) for this instruction."""
    # Not for secrecy: this is the published slot function, to the letter.
    return random.Random("is_switched_outputs" + instruction + "0").choices([False, True], k=1)[0]  # noqa: S311


def _is_annotations(path: Path) -> bool:
    record = _io.first_record(path)
    return record is not None and record.keys() >= _FIELDS


def _files(folder: Path) -> Iterator[Path]:
    depth = len(folder.parts) + _DEPTH
    return (p for p in _io.walk(folder) if p.name == _FILE and len(p.parts) <= depth)


def recognise(path: Path) -> bool:
    """Tell whether `path` is an annotations file, or a folder that holds one where AlpacaEval puts it."""
    if not path.is_dir():
        return path.suffix == ".json" and (path.name == _FILE or _is_annotations(path))
    try:
        return next(_files(path), None) is not None
    except InputError:
        return False


def _slot_shown(record: dict[str, object], preference: float) -> Order:
    """Return the order that the recorded log-probabilities show, "unknown" where there are none or they are even."""
    raw = record.get("raw_completion")
    try:
        top = raw["logprobs"]["content"][0]["top_logprobs"]  # type: ignore[index]  # a KeyError or TypeError is expected
        found = {entry["token"]: float(entry["logprob"]) for entry in top if entry["token"] in {"m", "M"}}
        first, second = (math.exp(found.get(token, -math.inf)) for token in ("m", "M"))
        shown = 2.0 - first / (first + second)
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError):
        return "unknown"
    if not (math.isfinite(shown) and abs(shown - 1.5) > 1e-3):
        return "unknown"
    if abs(shown - preference) < 1e-4:
        return "model_second"
    return "model_first" if abs(3.0 - shown - preference) < 1e-4 else "unknown"


def _outcome(record: dict[str, object], path: Path, where: str, seen: Counter[str]) -> float:
    preference = _io.number_of(record, "preference", path=path, where=where, optional=True)
    if math.isnan(preference) or preference == -1:
        seen["unparsed"] += 1
        return math.nan
    if preference == 0:
        seen["legacy_tie"] += 1
        return 0.5
    if not 1 <= preference <= 2:
        raise InputError(
            f"field 'preference': expected a number from 1 to 2, got {preference:g}", path=path, record=where
        )
    return preference - 1


@dataclass
class _Reader:
    """What is gathered over the files of one recording."""

    answers: Answers = field(default_factory=Answers)
    games: list[tuple[object, ...]] = field(default_factory=list)
    dropped: list[tuple[str, str, str, str]] = field(default_factory=list)
    prompts: dict[str, tuple[str, str]] = field(default_factory=dict)
    orders: list[list[str]] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    baselines: dict[tuple[str, str], str] = field(default_factory=dict)
    judged: dict[tuple[str, str], str] = field(default_factory=dict)
    seen: set[tuple[str, str, str]] = field(default_factory=set)
    ids: dict[str, str] = field(default_factory=dict)

    def prompt(self, instruction: str, dataset: str) -> str:
        key = self.ids.get(instruction)
        if key is None:
            key = self.ids[instruction] = _io.prompt_key(instruction)
        self.prompts.setdefault(key, (instruction, dataset))
        return key

    def note(self, kind: str, text: str, count: int, path: Path, model: str = "") -> None:
        if count:
            self.notes.append(Note(kind, text, count, _io.clean(str(path)), model))

    def annotations(self, path: Path) -> None:
        """Read one annotations file."""
        records = list(_io.records_of(path))
        folder = _model_folder(path, records)
        names = {_io.text_of(r, "generator_2", path=path, where=w, optional=True) for w, r in records}
        if any(folder == folder_name(name) for name in names):
            folder = ""  # the name itself, made safe for a file system
        counted: Counter[str] = Counter()
        order: dict[str, None] = {}
        models: dict[str, None] = {}
        for where, record in records:
            instruction = _io.text_of(record, "instruction", path=path, where=where)
            key = self.prompt(instruction, _io.text_of(record, "dataset", path=path, where=where, optional=True))
            order[key] = None
            name = _io.text_of(record, "generator_2", path=path, where=where, optional=True)
            # A results folder is listed under its folders' names: the published NullModel calls itself "example".
            model = folder if folder and len(names) == 1 else name or folder or "model"
            models[model] = None
            judge = _io.text_of(record, "annotator", path=path, where=where, optional=True) or path.parent.name
            at = _io.clean(f"{path}: {where}")
            if (key, model, judge) in self.seen:
                self.dropped.append((key, model, "duplicate", at))
                counted["duplicate"] += 1
                continue
            if record.get("output_1", "") is None or record.get("output_2", "") is None:
                self.dropped.append((key, model, "no_answer", at))
                counted["no_answer"] += 1
                continue
            self.seen.add((key, model, judge))
            self.game(record, path, where, key, model, judge, counted)
        self.orders.append(list(order))
        self.inputs.append(_io.fingerprint(path, len(records)))
        only = next(iter(models)) if len(models) == 1 else ""
        if folder and len(names) == 1 and not names <= {"", folder}:
            self.note(
                "name_differs", f"generator_2 says {next(iter(names))!r}; the folder's name is used", 1, path, only
            )
        for kind, text in _COUNTED.items():
            self.note(kind, text, counted[kind], path, only)

    def game(
        self, record: dict[str, object], path: Path, where: str, key: str, model: str, judge: str, counted: Counter[str]
    ) -> None:
        ours = _io.text_of(record, "output_2", path=path, where=where)
        theirs = _io.text_of(record, "output_1", path=path, where=where)
        baseline = _io.text_of(record, "generator_1", path=path, where=where, optional=True) or "reference"
        if baseline == model:
            self.dropped.append((key, model, "self", _io.clean(f"{path}: {where}")))
            counted["self"] += 1
            return
        counted["baseline_differs"] += self.baselines.setdefault((baseline, key), theirs) != theirs
        self.judged.setdefault((model, key), ours)
        outcome = _outcome(record, path, where, counted)
        shown = _slot_shown(record, outcome + 1)
        order: Order = shown
        if judge.startswith(_WEIGHTED):
            order = "model_first" if model_first(self.prompts[key][0]) else "model_second"
            if shown not in {"unknown", order}:
                counted["slot_differs"] += 1
                order = shown
        self.games.append((
            key, model, baseline, judge, order, "", outcome, 1.0, "", 1, math.nan,
            self.answers.add(key, model, ours), self.answers.add(key, baseline, theirs),
        ))  # fmt: skip

    def outputs(self, path: Path, model: str) -> None:
        """Read the model's own outputs beside its annotations: answers that were never judged, and ones that differ."""
        rows = unjudged = differs = 0
        for where, record in _io.records_of(path):
            rows += 1
            if record.get("output", "") is None:
                continue
            key = self.prompt(
                _io.text_of(record, "instruction", path=path, where=where),
                _io.text_of(record, "dataset", path=path, where=where, optional=True),
            )
            text = _io.text_of(record, "output", path=path, where=where)
            judged = self.judged.get((model, key))
            if judged is None:
                self.answers.add(key, model, text)
                unjudged += 1
            differs += judged is not None and judged != text
        self.inputs.append(_io.fingerprint(path, rows))
        self.note("unjudged", "answers without a judgment", unjudged, path, model)
        self.note("answer_differs", "judged answers that are not the model's own output", differs, path, model)


_COUNTED: Final = {
    "unparsed": "judgments without a preference",
    "legacy_tie": "preference 0, an older way to write a tie",
    "duplicate": "repeated rows of one instruction; the first is kept",
    "no_answer": "rows without an answer",
    "self": "rows in which the baseline meets itself",
    "baseline_differs": "baseline answers that differ from another row's for the same instruction",
    "slot_differs": "orders that the log-probabilities contradict; theirs are used",
}


def _model_folder(path: Path, records: list[tuple[str, dict[str, object]]]) -> str:
    """Return the name of the model's folder if the file lies where AlpacaEval puts it, else ""."""
    annotator = path.absolute().parent
    if path.name != _FILE or not records or annotator.name != records[0][1].get("annotator"):
        return ""
    folder = annotator.parent
    return _io.clean(folder.parent.name if folder.name == annotator.name else folder.name)


def _beside(path: Path, file: Path) -> dict[str, Path]:
    """Find the benchmark's tables in the folder that was given, the results folder, or the folder that holds it."""
    start, annotations = path.absolute(), file.absolute()
    results = annotations.parent.parent.parent
    places = [start if path.is_dir() else start.parent, results, results.parent]
    found: dict[str, Path] = {}
    for kind, name in _BESIDE.items():
        for place in places:
            if kind not in found and (place / name).is_file():
                found[kind] = place / name
    return found


def _canonical(orders: list[list[str]], prompts: dict[str, tuple[str, str]]) -> list[str]:
    """Return the prompts in the order of the fullest file, those it lacks after it."""
    fullest = max(orders, key=len, default=[])
    return list(dict.fromkeys([*fullest, *prompts]))


def _expected(reader: _Reader, baselines: frozenset[str], fullest: int) -> int:
    datasets = {dataset for _, dataset in reader.prompts.values()}
    standard = baselines <= _VERSIONS.keys() and datasets <= _DATASETS and len(reader.prompts) <= _PROMPTS
    return _PROMPTS if standard and baselines else fullest


def read(path: Path) -> Battles:
    """Read a results folder, one model's folder, or one annotations file.

    A preference of null or -1 is a game without an outcome (NaN); 0 is an older way to write a tie. Of repeated rows
    the first is kept. In a results folder a model is called as its folder is.

    Raises:
        InputError: A file that cannot be read, or a record without its fields or with a preference outside 1..2.
    """
    reader = _Reader()
    files = list(_files(path)) if path.is_dir() else [path]
    if not files:
        raise InputError(f"no {_FILE} below this folder", path=path)
    present = set(files)
    outputs: dict[Path, str] = {}
    for file in files:
        if file.parent.name == file.parent.parent.name and file.parent.parent / _FILE in present:
            reader.note("nested_duplicate", "an annotator's folder repeated inside itself; the outer is read", 1, file)
            continue
        before = len(reader.games)
        reader.annotations(file)
        models = {str(game[1]) for game in reader.games[before:]}
        for place in (file.parent, file.parent.parent):
            if len(models) == 1 and (place / _OUTPUTS).is_file():
                outputs.setdefault(place / _OUTPUTS, models.pop())
    for file, model in outputs.items():
        reader.outputs(file, model)

    baselines = frozenset(str(game[2]) for game in reader.games)
    order = _canonical(reader.orders, reader.prompts)
    expected = _expected(reader, baselines, max(map(len, reader.orders)))
    for model in sorted(baselines & {str(game[1]) for game in reader.games}):
        reader.note(
            "baseline_judged", "a baseline of one annotator that is a submission to another; not listed", 1, path, model
        )
    have = Counter((str(game[1]), str(game[3])) for game in reader.games)
    for (model, judge), count in sorted(have.items()):
        reader.note("missing", f"prompts without a judgment by {judge}", max(0, expected - count), path, model)
    return Battles.build(
        Benchmark(
            "AlpacaEval",
            version="/".join(sorted({_VERSIONS[b] for b in baselines if b in _VERSIONS})),
            format="alpaca_eval",
            baselines=baselines,
            expected=expected,
        ),
        games=table(GAME_COLUMNS, reader.games),
        answers=reader.answers.frame(),
        prompts=prompt_table({key: reader.prompts[key] for key in order}),
        dropped=table(DROPPED_COLUMNS, reader.dropped),
        inputs=reader.inputs,
        notes=reader.notes,
        beside=_beside(path, files[0]),
    )


_CANNOT: Final[frozenset[Loss]] = frozenset({
    "label", "weight", "variant", "turn", "gold", "unjudged answers", "traces", "finish", "declared style", "cluster",
    "language", "ratings", "counts",
})  # fmt: skip


def _refuse(battles: Battles, path: Path) -> None:
    refuse_losses(battles, "AlpacaEval", path, _CANNOT)
    games, prompts = battles.games, battles.prompts
    text = prompts.set_index("prompt_id")["text"]
    known = games["prompt_id"].map(text).astype("str")
    weighted = games["judge"].str.startswith(_WEIGHTED)
    slot = (
        known.fillna("").map(model_first).map({True: "model_first", False: "model_second"}).where(weighted, "unknown")
    )
    problem = None
    if (games[["answer", "opponent_answer"]] < 0).any(axis=None):
        problem = "games whose answers are not recorded"
    elif known.isna().any() or (known == "").any() or text.duplicated().any():
        problem = "prompts without a text of their own"
    elif games.duplicated(["prompt_id", "model", "judge"]).any():
        problem = "several games of one judge on one prompt"
    elif (games["order"] != slot).any():
        problem = "the order of the answers, which AlpacaEval derives from the instruction"
    if problem:
        raise InputError(f"AlpacaEval cannot hold {problem}", path=path, mend="write it as pairs or as a run folder")


def write(battles: Battles, path: Path) -> None:
    """Write a results folder, or one annotations file with every model if `path` ends in ``.json``.

    Prompts are named by their text alone: other prompt ids are not kept, nor are rows that a reader dropped.

    Raises:
        InputError: The recording holds what the format cannot; nothing is written.
    """
    _refuse(battles, path)
    games, texts = battles.games, battles.answers["text"]
    prompts = battles.prompts.set_index("prompt_id")
    rows = games.assign(
        instruction=games["prompt_id"].map(prompts["text"]),
        dataset=games["prompt_id"].map(prompts["category"]),
        output_1=games["opponent_answer"].map(texts),
        output_2=games["answer"].map(texts),
        preference=games["outcome"] + 1,
    )
    names = {
        "instruction": "instruction", "output_1": "output_1", "opponent": "generator_1", "dataset": "dataset",
        "output_2": "output_2", "model": "generator_2", "judge": "annotator", "preference": "preference",
    }  # fmt: skip
    single = path.suffix == ".json"
    keys = ["model", "judge"]
    parts = [(path, rows)] if single else [
        (path / folder_name(str(model)) / folder_name(str(judge)) / _FILE, part)
        for (model, judge), part in rows.groupby(keys, sort=True)
    ]  # fmt: skip
    for file, part in parts:
        records = part[list(names)].rename(columns=names).to_dict("records")
        for record in records:
            if math.isnan(record["preference"]):
                record["preference"] = None
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(records, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
