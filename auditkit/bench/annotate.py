"""Annotate parts: which of the seven criteria does each prompt meet, and by whose word?

Three annotators: the offline rules, recorded annotations, and a model. A part of annotations is written when every
prompt of it has been asked about; the calls behind it are in the store before that, so that a kill loses nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from auditkit.bench.asking import Reply, replies
from auditkit.bench.clean import text_of
from auditkit.bench.criteria import CRITERIA, parse_criteria, question
from auditkit.bench.engines import Job
from auditkit.bench.parts import counts_of, read_part, write_part
from auditkit.bench.reading import raws_of
from auditkit.bench.rules import NAME, criteria_by_rule
from auditkit.bench.signatures import exact_keys
from auditkit.bench.words import folded
from auditkit.errors import AuditkitError, InputError
from auditkit.formats import _io
from auditkit.judging.asking import Address, Asker
from auditkit.judging.events import Meter
from auditkit.judging.runspec import RunSettings
from auditkit.judging.session import asking, complete
from auditkit.judging.spending import Spending
from auditkit.judging.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Annotations", "Incomplete", "annotate_parts", "by_model", "by_record", "by_rules", "load_annotations", "pending",
    "recorded_annotations",
]  # fmt: skip

_FIELD: Final = "category_tag"
_SHAPES: Final = ("criteria_v0.1", "criteria")


class Incomplete(AuditkitError):
    """Not every prompt was annotated. What was paid for is stored; the same command goes on."""


@dataclass(frozen=True)
class Annotations:
    """Annotations of a pool, one entry a prompt that was asked about.

    Attributes:
        rows: Row numbers, ascending.
        met: Criteria met, ``(n, 7)``.
        read: Could the annotation be read? Where not, `met` says nothing.
        by: Who annotated.
        calls, tokens_in, tokens_out: Of all of them.
        cost: US dollars of the calls whose price is known.
        unpriced: Calls whose price is not known.
    """

    rows: np.ndarray[Any, np.dtype[np.int64]]
    met: np.ndarray[Any, np.dtype[np.bool_]]
    read: np.ndarray[Any, np.dtype[np.bool_]]
    by: tuple[str, ...]
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    unpriced: int = 0

    @property
    def scores(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Criteria met, 0 to 7; NaN where the annotation could not be read."""
        return np.where(self.read, self.met.sum(axis=1).astype(float), np.nan)


def _bits(met: Sequence[bool]) -> int:
    return sum(1 << k for k, yes in enumerate(met) if yes)


def _table(rows: Sequence[int], found: Sequence[Reply[tuple[bool, ...]]], by: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "met": pa.array([_bits(r.value or ()) for r in found], pa.uint8()),
            "read": pa.array([r.value is not None for r in found], pa.bool_()),
            "by": pa.array(by, pa.string()),
            "calls": pa.array([r.calls for r in found], pa.int32()),
            "tokens_in": pa.array([r.tokens_in for r in found], pa.int64()),
            "tokens_out": pa.array([r.tokens_out for r in found], pa.int64()),
            "cost": pa.array([r.cost for r in found], pa.float64()),
        }
    )


def by_rules(inputs: Sequence[Path], output: Path, args: Mapping[str, Any]) -> None:
    """Annotate a part by the offline rules."""
    table = read_part(inputs[0], ["row", "turns"])
    found: list[Reply[tuple[bool, ...]]] = [
        Reply(criteria_by_rule(text_of(turns)), 0, 0, 0, 0.0) for turns in table.column("turns").to_pylist()
    ]
    write_part(output, _table(table.column("row").to_pylist(), found, [NAME] * len(found)), {"asked": len(found)})


# --- recorded annotations -------------------------------------------------------------------------------------------


def recorded_annotations(paths: Sequence[Path]) -> dict[int, tuple[bool, ...]]:
    """Read recorded annotations: BenchBuilder's labelled files (``category_tag.criteria_v0.1``) or ``criteria``.

    Returns:
        Criteria by the prompt's key (`auditkit.bench.signatures.exact_keys`).

    Raises:
        InputError: No annotation in a file, or one that does not name the seven criteria.
    """
    found: dict[int, tuple[bool, ...]] = {}
    for path in paths:
        before = len(found)
        raws = raws_of(path, "all")
        for (where, record), (_, raw) in zip(_io.records_of(path), raws, strict=True):
            tag = record.get(_FIELD, record)
            given = next((tag[name] for name in _SHAPES if isinstance(tag, dict) and name in tag), None)
            if given is None or raw.reason:
                continue
            if not isinstance(given, dict) or not all(isinstance(given.get(name), bool) for name in CRITERIA):
                raise InputError(
                    f"an annotation names true or false for {', '.join(CRITERIA)}", path=path, record=where
                )
            key = int(exact_keys([folded(text_of(raw.turns))])[0])
            found[key] = tuple(given[name] for name in CRITERIA)
        if len(found) == before:
            raise InputError(
                "no annotation in this file",
                path=path,
                mend="expected category_tag.criteria_v0.1 or criteria in each record",
            )
    return found


def by_record(job: Job, recorded: Mapping[int, tuple[bool, ...]]) -> None:
    """Annotate a part by what is recorded; what is not recorded is not read."""
    rows, texts = _wanted(job)
    keys = exact_keys([folded(text) for text in texts]).tolist() if texts else []
    found: list[Reply[tuple[bool, ...]]] = [Reply(recorded.get(key), 0, 0, 0, 0.0) for key in keys]
    unread = sum(reply.value is None for reply in found)
    counts = {"asked": len(rows), "recorded": len(rows) - unread, "unread": unread}
    write_part(job.output, _table(rows, found, ["recorded"] * len(rows)), counts)


# --- models ---------------------------------------------------------------------------------------------------------


def _wanted(job: Job) -> tuple[list[int], list[str]]:
    """Return row numbers and texts of the prompts of a part that are to be annotated."""
    table = read_part(job.inputs[0], ["row", "turns"])
    rows = table.column("row").to_numpy()
    if len(job.inputs) > 1:  # the second pass: only what the first has let through
        left = read_part(job.inputs[1], ["row"]).column("row").to_numpy()
        table = table.take(np.flatnonzero(np.isin(rows, left)))
    return table.column("row").to_pylist(), [text_of(turns) for turns in table.column("turns").to_pylist()]


def pending(jobs: Sequence[Job], recorded: Mapping[int, tuple[bool, ...]]) -> tuple[int, list[str]]:
    """Return how many prompts are to be annotated in all, and the texts of those that a model would be asked about."""
    total, texts = 0, []
    for job in jobs:
        if job.output.exists():
            total += counts_of(job.output)["asked"]
            continue
        rows, own = _wanted(job)
        total += len(rows)
        keys = exact_keys([folded(text) for text in own]).tolist() if recorded and own else [0] * len(own)
        texts += [text for text, key in zip(own, keys, strict=True) if key not in recorded]
    return total, texts


async def annotate_parts(
    jobs: Sequence[Job],
    asker: Asker,
    address: Address,
    recorded: Mapping[int, tuple[bool, ...]],
    progress: Callable[[int], None] | None = None,
) -> None:
    """Annotate parts by a model; prompts whose annotation is recorded are not asked about.

    Args:
        jobs: The parts: the prompts, and for a second pass the file of those that are left.
        asker: Whom to ask through.
        address: The annotator.
        recorded: Recorded annotations, by key.
        progress: Told of the prompts of each part that is there.

    Raises:
        Incomplete: Calls failed for now, or the work was halted.
    """
    failed = 0
    for job in jobs:
        if not job.output.exists():
            failed += await _annotate(job, asker, address, recorded)
        if asker.halt.called:
            break
        if progress is not None and job.output.exists():
            progress(counts_of(job.output)["asked"])
    if asker.halt.called and asker.halt.reason is not None:
        raise asker.halt.reason
    if failed:
        raise Incomplete(f"{failed} annotations failed ({asker.meter.note})")


def by_model(inputs: Sequence[Path], output: Path, args: Mapping[str, Any]) -> None:
    """Annotate one part by a model, in a process of its own: on a cluster, whose nodes share the store.

    Args:
        inputs: As for `annotate_parts`.
        output: The part to write.
        args: ``model``, ``url``, ``recorded`` (paths), ``store``, ``concurrency``.

    Raises:
        Incomplete: Calls failed for now, or the work was halted.
    """
    address = Address(args["model"], args["url"])
    recorded = recorded_annotations([Path(path) for path in args["recorded"]])
    limits = RunSettings(concurrency=int(args["concurrency"]))

    async def main() -> None:
        with Store.open(args["store"]) as store:
            async with asking(
                store, limits, spending=Spending(None), meter=Meter(None), addresses=[address]
            ) as asker:  # fmt: skip
                await annotate_parts([Job(tuple(inputs), output)], asker, address, recorded)

    complete(main())


async def _annotate(
    job: Job, asker: Asker, address: Address, recorded: Mapping[int, tuple[bool, ...]]
) -> int:  # fmt: skip
    rows, texts = _wanted(job)
    keys = exact_keys([folded(text) for text in texts]).tolist() if texts else []
    known = {row: recorded[key] for row, key in zip(rows, keys, strict=True) if key in recorded}
    asker.meter.done += len(known)
    calls, spent, unpriced = asker.meter.calls, asker.meter.spent, asker.meter.unpriced
    ask = [(row, text) for row, text in zip(rows, texts, strict=True) if row not in known]
    found: dict[int, Reply[tuple[bool, ...]]] = {row: Reply(met, 0, 0, 0, 0.0) for row, met in known.items()}
    found |= await replies(
        ((row, partial(question, text, address.model)) for row, text in ask), asker, address, parse_criteria
    )
    if len(found) < len(rows):
        return len(rows) - len(found)
    kept = [found[row] for row in rows]
    counts = Counter({"asked": len(rows), "recorded": len(known)})
    counts["unread"] = sum(reply.value is None for reply in kept)
    counts["refused"] = sum(bool(reply.refused) for reply in kept)
    # What this start has paid, for a driver on another machine.
    counts["made"] = asker.meter.calls - calls
    counts["made_microdollars"] = round(1e6 * (asker.meter.spent - spent))
    counts["made_unpriced"] = asker.meter.unpriced - unpriced
    by = ["recorded" if row in known else address.model for row in rows]
    write_part(job.output, _table(rows, kept, by), counts)
    return 0


def load_annotations(parts: Sequence[Path]) -> Annotations:
    """Return the annotations of parts, one after the other."""
    import pyarrow as pa

    tables = [read_part(part) for part in parts]
    table = pa.concat_tables(tables) if tables else _table([], [], [])
    bits = table.column("met").to_numpy()
    cost = np.asarray(table.column("cost").to_numpy(), dtype=float)
    calls = table.column("calls").to_numpy()
    return Annotations(
        table.column("row").to_numpy(),
        ((bits[:, None] >> np.arange(len(CRITERIA))) & 1).astype(bool),
        np.asarray(table.column("read").to_numpy(), dtype=bool),
        tuple(sorted(set(table.column("by").unique().to_pylist()))),
        int(calls.sum()), int(table.column("tokens_in").to_numpy().sum()), int(table.column("tokens_out").to_numpy().sum()),
        float(np.nansum(cost)), int(calls[np.isnan(cost)].sum()),
    )  # fmt: skip
