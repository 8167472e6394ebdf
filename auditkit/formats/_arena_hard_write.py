"""Write a recording as an Arena-Hard-Auto folder in the shape of v2.0."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Final

from auditkit.errors import InputError
from auditkit.formats._arena_hard import ANSWERS, JUDGMENTS, LABELS, ORDERS, QUESTIONS
from auditkit.formats._tables import Loss, folder_name, refuse_losses
from auditkit.records import Battles

__all__ = ["write"]

_CANNOT: Final[frozenset[Loss]] = frozenset({"variant", "turn", "gold", "finish", "ratings", "counts"})


#: The protocol's own five labels by what they mean.
_LABEL: Final = {LABELS[label]: label for label in ("A>>B", "A>B", "A=B", "B>A", "B>>A")}


def _score(game: dict[str, object]) -> str | None:
    """Return the label to write for a game.

    Raises:
        KeyError: No label says what the game's outcome, weight and label say.
    """
    label, outcome, weight = str(game["label"]), float(str(game["outcome"])), float(str(game["weight"]))
    if math.isnan(outcome):
        if label in LABELS or weight != 1:
            raise KeyError(label)
        return label or None
    first = outcome if game["order"] == "model_first" else 1.0 - outcome
    if label:
        if LABELS[label] != (first, weight):
            raise KeyError(label)
        return label
    return _LABEL[first, weight]


def _rows(battles: Battles, path: Path) -> dict[tuple[str, str], list[dict[str, object]]]:
    """Return the judgment records by judge and model."""
    columns = ["prompt_id", "model", "opponent", "judge", "order", "label", "outcome", "weight"]
    category = dict(zip(battles.prompts["prompt_id"], battles.prompts["category"], strict=True))
    files: dict[tuple[str, str], list[dict[str, object]]] = {}
    for (key, model, judge), part in battles.games[columns].groupby(["prompt_id", "model", "judge"], sort=False):
        games = sorted(part.to_dict("records"), key=lambda game: ORDERS.index(game["order"]))
        orders = tuple(game["order"] for game in games)
        if orders not in {ORDERS, ORDERS[:1]} or len({game["opponent"] for game in games}) > 1:
            raise InputError(
                "Arena-Hard holds one game with the baseline first, or that and one with the model first, "
                f"of a model, prompt and judge; got {', '.join(orders)} for prompt {key!r}",
                path=path,
                mend="write it as pairs or as a run folder",
            )
        try:
            scores = [{"score": _score(game), "judgment": {"answer": ""}} for game in games]
        except KeyError as error:
            raise InputError(
                f"Arena-Hard has no label for the verdict on prompt {key!r}: graded outcomes and other labels are lost",
                path=path,
                mend="write it as pairs or as a run folder",
            ) from error
        files.setdefault((judge, model), []).append({
            "uid": key, "category": category.get(key, ""), "judge": judge, "model": model,
            "baseline": games[0]["opponent"], "games": scores,
        })  # fmt: skip
    return files


def _write_lines(path: Path, records: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        handle.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def write(battles: Battles, path: Path) -> None:
    """Write a benchmark folder in the shape of v2.0. Rows that a reader dropped are not written.

    Raises:
        InputError: The recording holds what the format cannot; nothing is written.
    """
    refuse_losses(battles, "Arena-Hard", path, _CANNOT)
    if (battles.games["order"] == "unknown").any():
        raise InputError("Arena-Hard cannot hold games of unknown order", path=path, mend="write it as pairs")
    if battles.answers.duplicated(["model", "prompt_id"]).any():
        raise InputError("Arena-Hard cannot hold several answers of a model to one prompt", path=path)
    judgments = _rows(battles, path)
    prompts = battles.prompts.to_dict("records")
    asked = {prompt["prompt_id"]: prompt["text"] for prompt in prompts}
    answers: dict[str, list[dict[str, object]]] = {}
    for row in battles.answers.to_dict("records"):
        content = {"answer": row["text"], **({"thought": row["trace"]} if row["trace"] else {})}
        record: dict[str, object] = {
            "uid": row["prompt_id"],
            "model": row["model"],
            "messages": [
                {"role": "user", "content": asked.get(row["prompt_id"], "")},
                {"role": "assistant", "content": content},
            ],
        }
        if row["declared"]:
            record["metadata"] = json.loads(row["declared"])
        answers.setdefault(row["model"], []).append(record)
    _write_lines(path / QUESTIONS, [
        {"uid": p["prompt_id"], "category": p["category"], "cluster": p["cluster"], "prompt": p["text"],
         **({"language": p["language"]} if p["language"] else {})}
        for p in prompts
    ])  # fmt: skip
    for model, records in answers.items():
        _write_lines(path / ANSWERS / f"{folder_name(model)}.jsonl", records)
    for (judge, model), records in judgments.items():
        _write_lines(path / JUDGMENTS / folder_name(judge) / f"{folder_name(model)}.jsonl", records)
