"""The quality job: how well does a benchmark separate models, does it agree with a reference, which prompts earn it?

Boards (scores with bootstrap replicates or intervals, `auditkit.formats.boards`) and recordings (games by model and
prompt) go in; both become `auditkit.scores`. Nothing is estimated here: `auditkit.stats.quality` and
`auditkit.stats.informative` do that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from auditkit import formats
from auditkit.errors import InputError, NoData, Undefined, UnknownFormat, UsageError, printable
from auditkit.formats.boards import is_board, read_boards, read_names
from auditkit.reports.quality_report import BoardQuality, PromptQuality, PromptWorth, Quality
from auditkit.scores import Scores, of_board, of_recording, shared, usable
from auditkit.stats import informative
from auditkit.stats import quality as figures
from auditkit.stats.length_gameability import LengthGameability, length_gameability
from auditkit.stats.quality import FEWEST_FOR_INTERVAL, Estimate, Resample

__all__ = ["BoardQuality", "PromptQuality", "PromptWorth", "Quality", "quality"]

Array = NDArray[np.float64]

#: With fewer models than this, intervals come with a warning.
FEW_MODELS: Final = 30
#: Outcomes that differ by at most this share of their whole range do not tell models apart.
SILENT: Final = 0.01
_FEWEST_VARIANTS: Final = 3


def quality(
    *paths: Path | str,
    against: Path | str | None = None,
    names: Sequence[Path | str] = (),
    confidence: Sequence[float] = (0.95, 0.8),
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
    bound: float = 0.02,
    dollars_per_call: float | None = None,
    format: str | None = None,  # noqa: A002  the option's own name
) -> Quality:
    """Say how good benchmarks are.

    Args:
        paths: Boards (files, or folders of them), and recordings of any format, which are joined to one board.
        against: The reference that people trust (Chatbot Arena …): a file, or the name of a board among `paths`.
        names: Files that map the names of one board to those of another, in either direction; maps that lie in the
            folders of boards are used as well.
        confidence: Confidence levels of the models' intervals; separability is given at each, agreement at the first.
        level: Level of the interval of every figure.
        replicates: Bootstrap draws of the models (and of prompts, for recordings and boards of one value a prompt).
        seed: Of every draw.
        bound: Separability that the smallest subset of prompts may lose, 0..1.
        dollars_per_call: What a judge call costs, in US dollars; None: not known.
        format: Force the format of the recordings.

    Returns:
        The figures of every board, over the models that it shares with the reference if there is one.

    Raises:
        InputError: A path cannot be used, or a board shares fewer than two models with the reference.
        UsageError: No path, no such board, or a level out of range.
    """
    if not paths:
        raise UsageError("no path given: name at least one board or recording")
    if not confidence or any(not 0.0 < c < 1.0 for c in (*confidence, level)):
        raise UsageError("levels of confidence lie strictly between 0 and 1")
    if dollars_per_call is not None and not (0.0 < dollars_per_call < math.inf):
        raise UsageError("the price of a call must be above 0; leave it out if it is not known")
    maps = [read_names(Path(name)) for name in names]
    scores = _gather([Path(p) for p in paths], format, maps, replicates, seed)
    reference = None if against is None else _reference(against, scores, format, replicates, seed)
    if reference is not None:
        scores = [s for s in scores if s is not reference]
        if not scores:
            raise UsageError("the only board is the reference itself: name the benchmark that it is to judge")
    rated = [usable(s) for s in scores]
    pairs = [shared(s, usable(reference), maps) if reference else (s, None) for s in rated]
    found = []
    for (mine, known), whole in zip(pairs, scores, strict=True):
        if len(mine.models) < 2:
            raise InputError(f"board {mine.name!r} has {len(mine.models)} usable model: at least two are needed")
        resample = Resample.draw(len(mine.models), replicates, level, seed)
        board = _judge(mine, known, tuple(confidence), resample)
        board = replace(board, gameability=_gameability(whole, scores, level, replicates, seed))
        found.append(_priced(board, mine, bound, confidence[0], level, seed, dollars_per_call))
    tight = _tightness(pairs, confidence[0], replicates, level, seed)
    boards = tuple(_add_tightness(board, tight.get(i)) for i, board in enumerate(found))
    return Quality(boards, reference.name if reference else "", tuple(confidence), level, replicates, seed)


def _gather(
    paths: list[Path], format: str | None, maps: list[dict[str, str]], replicates: int, seed: int  # noqa: A002
) -> list[Scores]:  # fmt: skip
    scores: list[Scores] = []
    recordings: list[Path] = []
    for path in paths:
        if format is None and is_board(path):
            boards, found = read_boards(path)
            scores += [of_board(board, replicates, seed) for board in boards]
            maps += found
        else:
            recordings.append(path)
    if recordings:
        try:
            battles = formats.read(*recordings, format=format)
        except UnknownFormat as error:
            raise UnknownFormat(
                "neither a board nor a recording of any known format",
                path=error.path,
                mend="a board has one JSON object a line: model, score, results; auditkit plugins lists the formats",
            ) from error
        scores.append(of_recording(battles, replicates, seed))
    return scores


def _reference(
    against: Path | str, scores: list[Scores], format: str | None, replicates: int, seed: int  # noqa: A002
) -> Scores:  # fmt: skip
    for board in scores:
        if board.name == str(against):
            return board
    path = Path(against)
    if not path.exists():
        known = ", ".join(printable(s.name, 60) for s in scores)
        raise UsageError(f"no file and no board of the name {printable(against, 60)}; boards: {known}")
    for board in scores:
        if board.name == path.stem and board.kind == "board":
            return board
    found = _gather([path], format, [], replicates, seed)
    if len(found) != 1:
        listed = ", ".join(printable(s.name, 60) for s in found)
        raise UsageError(f"{printable(path)} holds {len(found)} boards: name one of them by its own file ({listed})")
    return found[0]


def _judge(mine: Scores, known: Scores | None, confidence: tuple[float, ...], resample: Resample) -> BoardQuality:
    found: dict[str, Estimate] = {}
    for c in confidence:
        found[f"separability_{100 * c:g}"] = figures.separability(*mine.interval(c), resample)
    if known is not None:
        ends = (*mine.interval(confidence[0]), *known.interval(confidence[0]))
        found.update(figures.confident_agreement(*ends, resample))
        found["pair_order"] = figures.pair_order_agreement(mine.score, known.score, resample)
        found["spearman"] = figures.spearman(mine.score, known.score, resample)
        found["kendall"] = figures.kendall(mine.score, known.score, resample)
        sure = figures.pair_confidence(*mine.moments())
        found["brier"] = figures.pair_brier(sure, known.score, resample)
        found["log_loss"] = figures.log_loss(sure, known.score, resample)
    notes = list(mine.notes)
    n = len(mine.models)
    if n < FEWEST_FOR_INTERVAL:
        notes.append(f"{n} models: too few for any interval")
    elif n < FEW_MODELS:
        notes.append(f"{n} models only: every interval here is rough, other models could change the figures that much")
    if any(not r.draws.size for r in mine.rows):
        notes.append("intervals without replicates are taken as those of normal errors, at other levels and for Brier")
    sizes = [r.draws.size for r in mine.rows if r.draws.size > 1]
    return BoardQuality(
        mine.name, mine.kind, mine.models, mine.dropped, min(sizes, default=0), found, notes=tuple(notes)
    )


def _priced(
    board: BoardQuality, mine: Scores, bound: float, confidence: float, level: float, seed: int, dollars: float | None
) -> BoardQuality:
    """Add what the judge calls of a recording cost, and what its prompts are worth."""
    if mine.outcomes is None or mine.calls is None:
        return board
    per_model = float(mine.calls.sum() / len(mine.models))
    calls = mine.calls.sum(axis=1) / np.maximum((mine.calls > 0).sum(axis=1), 1)
    price = np.maximum(calls, 1e-12)
    silent = _silent(mine.outcomes)
    slope = informative.discrimination(mine.outcomes)
    if len(mine.models) < informative.FEWEST_TO_DISCRIMINATE:
        slope = np.full_like(slope, np.nan)
    subset, reason = None, ""
    try:
        subset = informative.smallest_subset(
            mine.outcomes, price, bound=bound, confidence=confidence, level=level, seed=seed
        )
    except NoData as error:
        reason = str(error)
    chosen = set(subset.order[: subset.size or 0].tolist()) if subset else set()
    worths = tuple(
        PromptWorth(
            prompt_id=mine.prompt_ids[i],
            discrimination=_finite(slope[i]),
            calls=float(calls[i]),
            per_call=_finite(slope[i] / price[i]),
            per_dollar=None if dollars is None else _finite(slope[i] / (price[i] * dollars)),
            silent=bool(silent[i]),
            chosen=i in chosen,
        )
        for i in range(len(slope))
    )
    misleading = None if np.isnan(slope).all() else int((slope[~silent] < 0).sum())
    found = PromptQuality(worths, int(silent.sum()), misleading, subset, reason)
    return replace(
        board, prompts=found, calls_per_model=per_model,
        dollars_per_model=None if dollars is None else per_model * dollars,
    )  # fmt: skip


def _silent(outcomes: Array) -> NDArray[np.bool_]:
    return informative.silent_prompts(outcomes, SILENT * float(np.nanmax(outcomes) - np.nanmin(outcomes)))


def _gameability(
    board: Scores, boards: Sequence[Scores], level: float, replicates: int, seed: int
) -> LengthGameability | None:
    """Return AlpacaEval's figure where at least three models come with verbose and concise variants.

    The scale is that of the board called ``… win_rate`` of the same file, if there is one.
    """
    score = dict(zip(board.models, board.score.tolist(), strict=True))
    bases = [m for m in board.models if f"{m}_verbose" in score and f"{m}_concise" in score]
    if len(bases) < _FEWEST_VARIANTS:
        return None
    stem = board.name.rpartition(" ")[0]
    raw = next((b for b in boards if stem and b.name == f"{stem} win_rate"), board)
    win_rate = dict(zip(raw.models, raw.score.tolist(), strict=True))
    scale = [m for m in board.models if "_verbose" not in m and m in win_rate]
    try:
        return length_gameability(
            [score[m] for m in bases], [score[f"{m}_verbose"] for m in bases], [score[f"{m}_concise"] for m in bases],
            [score[m] for m in scale], [win_rate[m] for m in scale],
            level=level, replicates=replicates, seed=seed,
        )  # fmt: skip
    except (Undefined, ValueError):
        return None


def _tightness(
    pairs: Sequence[tuple[Scores, Scores | None]], confidence: float, replicates: int, level: float, seed: int
) -> dict[int, tuple[str, Estimate]]:
    """Return how much tighter each board is than the loosest one, over the models that both have (at least four)."""
    named = [dict(zip((known or mine).models, range(len(mine.models)), strict=True)) for mine, known in pairs]
    widths = [np.subtract(*mine.interval(confidence)[::-1]) for mine, _ in pairs]
    loose = [
        float(w.mean() / sd) if len(w) > 1 and (sd := mine.score.std(ddof=1)) > 0 else -1.0
        for w, (mine, _) in zip(widths, pairs, strict=True)
    ]
    if len(pairs) < 2 or max(loose) <= 0.0:
        return {}
    base = int(np.argmax(loose))
    found = {}
    for i, (mine, _) in enumerate(pairs):
        both = [m for m in named[i] if m in named[base]]
        if i == base or len(both) < 4:
            continue
        a, b = [named[i][m] for m in both], [named[base][m] for m in both]
        resample = Resample.draw(len(both), replicates, level, seed)
        other = pairs[base][0]
        factor = figures.tightness(mine.score[a], widths[i][a], other.score[b], widths[base][b], resample)
        found[i] = (other.name, factor)
    return found


def _add_tightness(board: BoardQuality, found: tuple[str, Estimate] | None) -> BoardQuality:
    if found is None:
        return board
    return replace(board, tighter_than=found[0], figures={**board.figures, "tighter": found[1]})


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
