"""The records that flow through auditkit: the battles table in the middle, and what is found in it.

Frames live here and at the edges; the mathematics (`auditkit.stats`) takes arrays. pandas is imported
when a table is made, never by importing this module.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from auditkit.attacked import AttackSuite
from auditkit.errors import InputError
from auditkit.tables import (
    ANSWER_COLUMNS,
    DROPPED_COLUMNS,
    GAME_COLUMNS,
    PROMPT_COLUMNS,
    RATING_COLUMNS,
    TABLE_COLUMNS,
    frame,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = [
    "ANSWER_COLUMNS",
    "DROPPED_COLUMNS",
    "GAME_COLUMNS",
    "PROMPT_COLUMNS",
    "RATING_COLUMNS",
    "TABLE_COLUMNS",
    "Battles",
    "Benchmark",
    "Detection",
    "Evidence",
    "Explanation",
    "Findings",
    "Gate",
    "Input",
    "Interval",
    "Length",
    "Note",
    "Order",
    "Part",
    "Position",
    "Score",
    "Settings",
    "Severity",
    "Slot",
    "StyleEffect",
    "Submission",
    "frame",
]

Order = Literal["model_first", "model_second", "unknown"]
Severity = Literal["info", "review", "reject"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Benchmark:
    """What was asked and who asked it. `expected` is the benchmark's full number of prompts (0: unknown).

    `subject` says what the recording is about: submissions to a leaderboard, or a judge measured on
    pairs with a known answer (LLMBar, JudgeBench). `baselines` is empty where every model met every other.
    """

    name: str
    version: str = ""
    format: str = ""
    baselines: frozenset[str] = frozenset()
    expected: int = 0
    subject: Literal["submissions", "judge"] = "submissions"
    simulated: bool = False


@dataclass(frozen=True)
class Input:
    """One file that was read. `rows` counts its records."""

    path: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class Note:
    """Something a reader met and handled: what, how often, where. `kind` is a short fixed word."""

    kind: str
    text: str
    count: int = 1
    path: str = ""
    model: str = ""


@dataclass(frozen=True)
class Submission:
    """One model's part of a recording, for detectors.

    Attributes:
        model: The submission's name.
        games: Its games, seen from its side (columns of `GAME_COLUMNS`).
        rows: One row an answer of its own that was judged (every recorded one where games do not say which): ``prompt_id, turn, prompt, text, trace, finish, declared, baseline``
            (`baseline` is the opponent's answer to the same prompt, "" if not recorded).
        expected: How many prompts the benchmark has (0: unknown).
        dropped: Rows of `DROPPED_COLUMNS` that belong to it.
    """

    model: str
    games: pd.DataFrame
    rows: pd.DataFrame
    expected: int
    dropped: pd.DataFrame


@dataclass(frozen=True)
class Battles:
    """A recording: the table of games, and the answers, prompts, ratings and counts that belong to it.

    Every table has exactly the columns of its ``*_COLUMNS`` map. Readers build it; nothing changes it.
    """

    benchmark: Benchmark
    games: pd.DataFrame
    answers: pd.DataFrame
    prompts: pd.DataFrame
    ratings: pd.DataFrame
    tables: pd.DataFrame
    dropped: pd.DataFrame
    inputs: tuple[Input, ...] = ()
    notes: tuple[Note, ...] = ()
    #: Files found beside the results that a control may want: ``{"calibration": Path(".../df_gamed.csv")}``.
    beside: Mapping[str, Path] = field(default_factory=dict)
    #: The same judge on pairs with a known answer (a recording of subject "judge"): what its verdicts here are worth.
    judge_check: Battles | None = None
    #: The same benchmark under attack: a recording whose `suite` is set and whose variants name the attacks.
    attacked: Battles | None = None
    suite: AttackSuite | None = None
    #: The judges' files (TOML text, `auditkit.judging.spec`), as far as the recording holds them.
    judges: tuple[str, ...] = ()

    @classmethod
    def build(
        cls,
        benchmark: Benchmark,
        *,
        games: pd.DataFrame | None = None,
        answers: pd.DataFrame | None = None,
        prompts: pd.DataFrame | None = None,
        ratings: pd.DataFrame | None = None,
        tables: pd.DataFrame | None = None,
        dropped: pd.DataFrame | None = None,
        inputs: Iterable[Input] = (),
        notes: Iterable[Note] = (),
        beside: Mapping[str, Path] | None = None,
        judge_check: Battles | None = None,
        judges: Iterable[str] = (),
    ) -> Battles:
        """Check the tables once, where they enter, and return the recording.

        Raises:
            InputError: An outcome outside 0..1, a weight or an answer number out of range, or no data at all.
        """
        battles = cls(
            benchmark,
            frame(GAME_COLUMNS) if games is None else games,
            frame(ANSWER_COLUMNS) if answers is None else answers,
            frame(PROMPT_COLUMNS) if prompts is None else prompts,
            frame(RATING_COLUMNS) if ratings is None else ratings,
            frame(TABLE_COLUMNS) if tables is None else tables,
            frame(DROPPED_COLUMNS) if dropped is None else dropped,
            tuple(inputs),
            tuple(notes),
            dict(beside or {}),
            judge_check,
            judges=tuple(judges),
        )
        battles._check()
        return battles

    def _check(self) -> None:
        games, n_answers = self.games, len(self.answers)
        for name, columns in (
            ("games", GAME_COLUMNS), ("answers", ANSWER_COLUMNS), ("prompts", PROMPT_COLUMNS),
            ("ratings", RATING_COLUMNS), ("tables", TABLE_COLUMNS), ("dropped", DROPPED_COLUMNS),
        ):  # fmt: skip
            have = list(getattr(self, name).columns)
            if have != list(columns):
                raise ValueError(f"table {name}: expected the columns {list(columns)}, got {have}")
        if not (len(games) or len(self.ratings) or len(self.tables)):
            path = self.inputs[0].path if self.inputs else None
            raise InputError(
                "no judgments found", path=path, mend="point to the folder that holds the judge's verdicts"
            )
        outcome = games["outcome"].to_numpy()
        bad = (outcome < 0) | (outcome > 1)
        if bad.any():
            row = int(bad.argmax())
            raise InputError(
                f"outcome must lie in 0..1, got {outcome[row]} for model {games['model'].iloc[row]!r}",
                record=f"game {row}",
            )
        weight = games["weight"].to_numpy()
        if not ((weight > 0) & (weight < 1e6)).all():
            raise InputError("weight must be positive and finite")
        for column in ("answer", "opponent_answer"):
            code = games[column].to_numpy()
            if ((code < -1) | (code >= n_answers)).any():
                raise ValueError(f"games.{column} points outside the {n_answers} answers")

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The submissions, sorted: every model with games, ratings or counts that is not a baseline."""
        names: set[str] = set(self.games["model"].unique())
        names.update(self.ratings["model"].unique(), self.tables["model"].unique())
        if not self.benchmark.baselines:
            names.update(self.games["opponent"].unique())
        return tuple(sorted(names - self.benchmark.baselines))

    def games_of(self, model: str) -> pd.DataFrame:
        """Return the games of `model` with `model` in the first role: outcomes, gold and order turned where needed."""
        import pandas as pd

        games = self.games
        own = games[games["model"] == model]
        other = games[(games["opponent"] == model) & (games["model"] != model)]
        if self.benchmark.baselines or other.empty:
            return own
        turned = other.rename(
            columns={
                "model": "opponent", "opponent": "model", "answer": "opponent_answer", "opponent_answer": "answer",
            }
        )[list(GAME_COLUMNS)].copy()  # fmt: skip
        turned["outcome"] = 1.0 - turned["outcome"]
        turned["gold"] = 1.0 - turned["gold"]
        turned["order"] = turned["order"].map(
            {"model_first": "model_second", "model_second": "model_first", "unknown": "unknown"}
        )
        return pd.concat([own, turned]).sort_index(kind="stable")

    @cached_property
    def _prompt_text(self) -> pd.Series:
        return self.prompts.drop_duplicates("prompt_id").set_index("prompt_id")["text"]

    def submission(self, model: str) -> Submission:
        """Return everything recorded about one model, for detectors."""
        games = self.games_of(model)
        answers = self.answers[self.answers["model"] == model]
        rated = self.ratings.loc[self.ratings["model"] == model, "answer"]
        judged = answers.index.isin(games["answer"]) | answers.index.isin(rated)
        if judged.any():  # a score owes nothing to answers that no judge saw
            answers = answers[judged]
        rows = answers[["prompt_id", "turn", "text", "trace", "finish", "declared"]].copy()
        rows.insert(2, "prompt", rows["prompt_id"].map(self._prompt_text).astype("str").fillna(""))
        met = games[(games["answer"] >= 0) & (games["opponent_answer"] >= 0)].drop_duplicates("answer")
        texts = self.answers["text"]
        baseline = met.set_index("answer")["opponent_answer"].map(texts)
        rows["baseline"] = baseline.reindex(rows.index).astype("str").fillna("")
        return Submission(
            model,
            games.reset_index(drop=True),
            rows.reset_index(drop=True),
            self.benchmark.expected,
            self.dropped[self.dropped["model"] == model].reset_index(drop=True),
        )

    @staticmethod
    def concat(parts: Sequence[Battles]) -> Battles:
        """Join recordings of one benchmark; answer numbers are moved along, prompts kept once in first-seen order.

        Raises:
            InputError: The parts are recordings of different kinds (submissions and judges).
        """
        import pandas as pd

        if len(parts) == 1:
            return parts[0]
        if len({p.benchmark.subject for p in parts}) > 1:
            raise InputError("judge test sets and submissions cannot be audited together", mend="audit them one by one")
        games, ratings, start = [], [], 0
        for part in parts:
            g, r = part.games.copy(), part.ratings.copy()
            for table, columns in ((g, ("answer", "opponent_answer")), (r, ("answer",))):
                for column in columns:
                    table[column] = table[column].where(table[column] < 0, table[column] + start)
            games.append(g)
            ratings.append(r)
            start += len(part.answers)

        def join(tables: list[pd.DataFrame]) -> pd.DataFrame:
            filled = [t for t in tables if len(t)]
            return pd.concat(filled, ignore_index=True) if filled else tables[0]

        names = dict.fromkeys(p.benchmark.name for p in parts)
        # Of each judge once: parts of one run bring the same along.
        checks = {tuple(p.judge_check.games["judge"].unique()): p.judge_check for p in parts if p.judge_check}
        first = parts[0].benchmark
        benchmark = replace(
            first,
            name=" + ".join(names),
            baselines=frozenset().union(*(p.benchmark.baselines for p in parts)),
            expected=max(p.benchmark.expected for p in parts),
            simulated=any(p.benchmark.simulated for p in parts),
        )
        return Battles.build(
            benchmark,
            games=join(games),
            answers=join([p.answers for p in parts]),
            prompts=join([p.prompts for p in parts]).drop_duplicates("prompt_id", ignore_index=True),
            ratings=join(ratings),
            tables=join([p.tables for p in parts]),
            dropped=join([p.dropped for p in parts]),
            inputs=[i for p in parts for i in p.inputs],
            notes=[n for p in parts for n in p.notes],
            beside={k: v for p in reversed(parts) for k, v in p.beside.items()},
            judge_check=Battles.concat(list(checks.values())) if checks else None,
            judges=dict.fromkeys(j for p in parts for j in p.judges),
        )


@dataclass(frozen=True)
class Settings:
    """What a control or detector may be told. Every result repeats what it used.

    Attributes:
        level: Confidence level of intervals, 0..1.
        replicates: Prompt-bootstrap replicates.
        seed: Seed of every random draw.
        strong_weight: How often a strong verdict (``>>``) counts.
        calibration: AlpacaEval's ``df_gamed.csv``; None: looked for beside the results.
    """

    level: float = 0.95
    replicates: int = 1000
    seed: int = 0
    strong_weight: float = 3.0
    calibration: Path | None = None

    def rng(self, name: str) -> np.random.Generator:
        """Return the generator of the consumer `name`: independent of who else draws, the same for the same seed."""
        import numpy as np

        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])


# --- what controls and detectors find -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """One score of one model under one control.

    `estimate` is None where the score is undefined for these data or could not be computed; `note` then says
    why and what is missing. `unit` tells what may be compared: win rates are in percent (0..100), rewards in
    -100..100, ratings on the judge's scale. `overlap` is the share (0..1) of prompts on which the two answers
    are comparable in what is controlled. `published_se` is the standard error by the benchmark's own formula.
    """

    model: str
    control: str
    estimate: float | None
    se: float | None = None
    ci: Interval | None = None
    n: int = 0
    method: str = ""
    unit: Literal["win_rate", "reward", "rating", "accuracy"] = "win_rate"
    overlap: float | None = None
    published_se: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Part:
    """How many points of a score come with one part: model, length, style, position, difficulty."""

    part: Literal["model", "length", "style", "position", "difficulty"]
    points: float | None
    ci: Interval | None = None
    note: str = ""


@dataclass(frozen=True)
class Slot:
    """The win rate in percent of the answers shown in one place, over `n` prompts."""

    place: Literal["first", "second"]
    points: float
    ci: Interval | None
    n: int


@dataclass(frozen=True)
class Position:
    """What going first did. `effect_points`: win rate shown second minus shown first, in points.

    `slots` has the win rate in each place, over the games that `effect_points` is of.
    """

    design: Literal["within_pair", "between_items", "not_measured"]
    consistency: float | None = None
    first_preference: float | None = None
    effect_points: float | None = None
    ci: Interval | None = None
    p_value: float | None = None
    n: int = 0
    note: str = ""
    slots: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Length:
    """What length did. `coefficient`: log-odds per standard deviation of the (tanh) length difference, model minus baseline."""

    coefficient: float | None
    ci: Interval | None
    mean_chars: float | None
    baseline_mean_chars: float | None
    overlap: float | None
    #: Win rate by quintile of the length difference, shortest first: ``(mean difference in characters, win rate, n)``.
    quintiles: tuple[tuple[float, float, int], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class StyleEffect:
    """What one style feature did: log-odds per standard deviation of the difference, model minus baseline."""

    feature: str
    coefficient: float | None
    ci: Interval | None
    mean: float | None
    baseline_mean: float | None


@dataclass(frozen=True)
class Explanation:
    """What a control does, in plain words, for a reader of a report: one or two sentences each.

    A control of a plugin has these by score in its attribute ``explanations``: ``{"my_control": Explanation(...)}``.

    Attributes:
        holds: What is held fixed.
        formula: The estimator in one line of text.
        source: Paper and section, or file of the benchmark's own code.
        misleads: When the number says something else than it seems to.
    """

    holds: str
    formula: str
    source: str
    misleads: str


@dataclass(frozen=True)
class Findings:
    """What one control found, by model."""

    scores: tuple[Score, ...] = ()
    decomposition: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    position: Mapping[str, Position] = field(default_factory=dict)
    length: Mapping[str, Length] = field(default_factory=dict)
    style: Mapping[str, tuple[StyleEffect, ...]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """A quotation: which prompt, what was found there. `quote` is at most 300 characters and escaped (`errors.printable`)."""

    prompt_id: str
    quote: str


@dataclass(frozen=True)
class Detection:
    """What one detector says of one submission. `flag` is None where it could not be measured; `note` says why.

    `severity` is what a flag means. `p_value` is conformal against the other submissions of the same audit
    ((1 + others at least as extreme) / (1 + others)); None where there are no others.
    """

    detector: str
    flag: bool | None
    severity: Severity
    statistic: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    n: int = 0
    evidence: tuple[Evidence, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Gate:
    """One harness gate (H1…H12) as far as a recording shows it.

    For one that fails on the judge's file: `mend`, and the lines of the prompt around what broke it, printable.
    """

    gate: str
    status: Literal["pass", "fail", "not_measured"]
    kind: Literal["proved", "fuzzed", "checked"]
    evidence: str
    mend: str = ""
    excerpt: tuple[str, ...] = ()
