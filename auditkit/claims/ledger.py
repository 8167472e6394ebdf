"""The claim ledger: a TOML file of claims and board rows, checked field by field."""

from __future__ import annotations

import hashlib
import math
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from auditkit.claims.boards import BENCHMARKS, METRICS, Board, Row, read_board
from auditkit.errors import InputError
from auditkit.formats._io import open_file

__all__ = ["SCHEMA", "Claim", "Ledger", "Setting", "Wording", "parse_claim", "parse_ledger", "read_ledger"]

SCHEMA: Final = "auditkit.claims/1"
Wording = Literal["exact", "up_to", "beats", "comparable"]

_LARGEST: Final = 4 << 20
_LONGEST: Final = 500
_MOST_SETTINGS: Final = 10_000
_TEXTS: Final = ("id", "paper", "benchmark", "metric", "wording", "candidate", "baseline", "source", "note")
_NUMBERS: Final = ("value", "gain", "baseline_value", "margin")
_LISTS: Final = ("components", "runs", "settings")
_FIELDS: Final = (*_TEXTS, *_NUMBERS, "k", *_LISTS)
_BOARD_FIELDS: Final = ("benchmark", "metric", "source", "rows", "file")
_MEND: Final = "docs/claims.md lists the fields"


@dataclass(frozen=True)
class Setting:
    """One setting of an "up to" claim, as its authors list it: scores of candidate and baseline there."""

    name: str
    candidate: float
    baseline: float

    @property
    def gain(self) -> float:
        """Candidate minus baseline."""
        return self.candidate - self.baseline


@dataclass(frozen=True)
class Claim:
    """What is claimed. Scores, gains and margin are in points of `metric`.

    Attributes:
        id: Unique in its ledger.
        wording: ``exact`` a score or gain; ``up_to`` a gain, the best of `k` settings; ``beats`` the baseline, by any
            size; ``comparable`` with the baseline within `margin`.
        benchmark: A key of `BENCHMARKS`, or any other name (then nothing is known of it beforehand).
        metric: One of `METRICS`.
        candidate, baseline: Names as boards and recordings have them; "" if the claim names none.
        value, baseline_value, gain: The claimed figures.
        k: Settings that the best was picked from; None where the claim does not say.
        components: The single models of a compound system: it has to beat the best of them.
        runs: The gain in each of several independent training runs.
        settings: Settings as listed by the authors.
        source, note: Where the claim is made, and what a reader must know of it.
    """

    id: str
    wording: Wording
    paper: str = ""
    benchmark: str = ""
    metric: str = "win_rate"
    candidate: str = ""
    baseline: str = ""
    value: float | None = None
    gain: float | None = None
    baseline_value: float | None = None
    margin: float | None = None
    k: int | None = None
    components: tuple[str, ...] = ()
    runs: tuple[float, ...] = ()
    settings: tuple[Setting, ...] = ()
    source: str = ""
    note: str = ""

    @property
    def of_score(self) -> bool:
        """Whether a score is claimed rather than a difference."""
        return self.wording == "exact" and self.gain is None and not self.runs

    @property
    def best_of(self) -> int:
        """Settings to correct for: those listed, those stated, at least 2 for "up to", else 1."""
        if self.wording != "up_to":
            return 1
        return max(self.k or 2, len(self.settings))


@dataclass(frozen=True)
class Ledger:
    """Claims and the boards they can be held against. `sha256` is of the file, "" for claims given otherwise."""

    claims: tuple[Claim, ...]
    boards: tuple[Board, ...] = ()
    path: str = ""
    sha256: str = ""


def read_ledger(path: Path) -> Ledger:
    """Read and check a ledger.

    Raises:
        InputError: Not TOML, another schema, an unknown field, a value of the wrong kind, a claim that lacks what its
            wording needs.
    """
    with open_file(path) as handle:
        data = handle.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise InputError(f"more than {_LARGEST >> 20} MB: not a ledger", path=path)
    return parse_ledger(data, path)


def parse_ledger(data: bytes, path: Path) -> Ledger:
    """Check the bytes of a ledger. See `read_ledger`; files that it names are looked for beside `path`."""
    try:
        tree = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a TOML ledger: {error}", path=path) from None
    reader = _Reader(path)
    if tree.get("schema") != SCHEMA:
        raise reader.wrong(f"expected {SCHEMA!r}, got {tree.get('schema')!r}", "field 'schema'")
    reader.known(tree, ("schema", "boards", "claims"), "ledger")
    boards = [b for i, body in enumerate(reader.tables(tree, "boards")) for b in reader.boards(body, f"boards[{i}]")]
    claims = [reader.claim(body, f"claims[{i}]") for i, body in enumerate(reader.tables(tree, "claims"))]
    if not claims:
        raise reader.wrong("expected at least one [[claims]] table", "field 'claims'")
    seen: set[str] = set()
    for i, claim in enumerate(claims):
        if claim.id in seen:
            raise reader.wrong(f"the id {claim.id!r} is there twice", f"claims[{i}]: field 'id'")
        seen.add(claim.id)
    return Ledger(tuple(claims), tuple(boards), str(path), hashlib.sha256(data).hexdigest())


def parse_claim(text: str, number: int = 1) -> Claim:
    """Read a claim from ``key=value`` words, quoted as in a shell; the fields are those of a ledger's claim.

    ``components`` and ``runs`` take a list with commas. `number` makes the id, if there is none.

    Raises:
        InputError: A word is not ``key=value``, or as for a ledger.
    """
    record = f"--claim {number}"
    reader = _Reader(None)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise reader.wrong(f"not key=value words: {error}", record) from None
    body: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key in body:
            raise reader.wrong(f"expected key=value words, each key once, got {word!r}", record)
        if key == "settings":
            raise reader.wrong("settings can be listed in a ledger only", f"{record}: field 'settings'")
        body[key] = value
        if key in (*_NUMBERS, "k"):
            body[key] = reader.parsed(value, f"{record}: field {key!r}", whole=key == "k")
        elif key == "components":
            body[key] = value.split(",")
        elif key == "runs":
            body[key] = [reader.parsed(part, f"{record}: field 'runs'") for part in value.split(",")]
    return reader.claim({"id": f"claim-{number}", **body}, record)


@dataclass(frozen=True)
class _Reader:
    path: Path | None

    def wrong(self, problem: str, record: str) -> InputError:
        return InputError(problem, path=self.path, record=record, mend=_MEND)

    def parsed(self, text: str, record: str, *, whole: bool = False) -> float | int:
        try:
            return int(text) if whole else float(text)
        except ValueError:
            raise self.wrong(f"expected a {'whole ' if whole else ''}number, got {text!r}", record) from None

    def known(self, body: Mapping[str, object], fields: Sequence[str], record: str) -> None:
        if extra := sorted(set(body) - set(fields)):
            raise self.wrong(f"unknown field; there are: {', '.join(fields)}", f"{record}: field {extra[0]!r}")

    def tables(self, tree: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
        found = tree.get(name, [])
        if not isinstance(found, list) or not all(isinstance(body, dict) for body in found):
            raise self.wrong(f"expected [[{name}]] tables", f"field {name!r}")
        return found

    def text(self, body: Mapping[str, object], key: str, record: str, default: str = "") -> str:
        value = body.get(key, default)
        if not isinstance(value, str) or not value.isprintable() or len(value) > _LONGEST:
            raise self.wrong(f"expected one line of at most {_LONGEST} characters", f"{record}: field {key!r}")
        return value

    def number(self, value: object, record: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e6:
            raise self.wrong(f"expected a finite number, got {value!r}", record)
        return float(value)

    def one_of(self, value: str, allowed: Sequence[str], record: str) -> str:
        if value not in allowed:
            raise self.wrong(f"expected one of {', '.join(allowed)}, got {value!r}", record)
        return value

    def list_of(self, body: Mapping[str, object], key: str, record: str) -> list[object]:
        value = body.get(key, [])
        if not isinstance(value, list):
            raise self.wrong("expected a list", f"{record}: field {key!r}")
        return value

    def boards(self, body: Mapping[str, Any], record: str) -> list[Board]:
        self.known(body, _BOARD_FIELDS, record)
        benchmark, source = self.text(body, "benchmark", record), self.text(body, "source", record)
        metric = self.one_of(self.text(body, "metric", record), ("", *METRICS), f"{record}: field 'metric'")
        if ("rows" in body) == ("file" in body):
            raise self.wrong("expected either rows or file", record)
        if "file" in body:
            name = self.text(body, "file", record)
            if self.path is None or not name or Path(name).is_absolute() or ".." in Path(name).parts:
                raise self.wrong("expected a file in the ledger's folder or below", f"{record}: field 'file'")
            return list(read_board(self.path.parent / name, benchmark, metric))
        if not benchmark or not metric or not source:
            raise self.wrong("a board with rows needs benchmark, metric and source", record)
        rows: dict[str, Row] = {}
        for i, row in enumerate(self.list_of(body, "rows", record)):
            found = self.row(row, f"{record}: rows[{i}]")
            if found.model in rows:
                raise self.wrong(f"the model {found.model!r} is there twice", f"{record}: rows[{i}]")
            rows[found.model] = found
        return [Board(benchmark, metric, rows, source)]

    def row(self, body: object, record: str) -> Row:
        if not isinstance(body, dict):
            raise self.wrong("expected a table {model, score, lo, hi} or {model, score, se}", record)
        self.known(body, ("model", "score", "lo", "hi", "se"), record)
        model = self.text(body, "model", record)
        if not model or "score" not in body:
            raise self.wrong("a row needs model and score", record)
        given = {
            key: self.number(body[key], f"{record}: field {key!r}")
            for key in ("score", "lo", "hi", "se")
            if key in body
        }
        if ("lo" in given) != ("hi" in given) or ("lo" in given and not given["lo"] <= given["score"] <= given["hi"]):
            raise self.wrong("lo and hi go together and hold the score between them", record)
        if given.get("se", 0.0) < 0:
            raise self.wrong("expected at least 0", f"{record}: field 'se'")
        return Row(model, given["score"], given.get("se"), (given["lo"], given["hi"]) if "lo" in given else None)

    def claim(self, body: Mapping[str, Any], record: str) -> Claim:
        self.known(body, _FIELDS, record)
        texts: dict[str, Any] = {key: self.text(body, key, record) for key in _TEXTS}
        if not texts["id"]:
            raise self.wrong("a claim needs an id", f"{record}: field 'id'")
        record = f"claim {texts['id']!r}"
        wording = self.one_of(texts.pop("wording"), get_args(Wording), f"{record}: field 'wording'")
        benchmark = texts["benchmark"]
        default = BENCHMARKS[benchmark].metrics[0] if benchmark in BENCHMARKS else "win_rate"
        texts["metric"] = self.one_of(texts["metric"] or default, METRICS, f"{record}: field 'metric'")
        numbers: dict[str, Any] = {
            key: self.number(body[key], f"{record}: field {key!r}") for key in _NUMBERS if key in body
        }
        k = body.get("k")
        if k is not None and (isinstance(k, bool) or not isinstance(k, int) or not 2 <= k <= _MOST_SETTINGS):
            raise self.wrong(f"expected a whole number from 2 to {_MOST_SETTINGS}, got {k!r}", f"{record}: field 'k'")
        components = tuple(
            self.text({"components": name}, "components", record) for name in self.list_of(body, "components", record)
        )
        runs = tuple(self.number(v, f"{record}: field 'runs'") for v in self.list_of(body, "runs", record))
        settings = tuple(
            self.setting(s, f"{record}: settings[{i}]") for i, s in enumerate(self.list_of(body, "settings", record))
        )
        claim = Claim(
            wording=cast(Wording, wording), k=k, components=components, runs=runs, settings=settings, **texts, **numbers
        )
        self.sensible(claim, record)
        return claim

    def setting(self, body: object, record: str) -> Setting:
        if not isinstance(body, dict) or set(body) != {"name", "candidate", "baseline"}:
            raise self.wrong("expected exactly the fields name, candidate and baseline", record)
        scores = (self.number(body[key], f"{record}: field {key!r}") for key in ("candidate", "baseline"))
        return Setting(self.text(body, "name", record), *scores)

    def sensible(self, claim: Claim, record: str) -> None:
        """Check that a claim has what its wording needs, and nothing that its wording cannot have."""
        if claim.wording == "exact" and claim.value is None and claim.gain is None and not claim.runs:
            raise self.wrong("'exact' needs value (a score), gain (a difference) or runs", record)
        if claim.wording == "up_to" and claim.gain is None:
            raise self.wrong("'up_to' needs gain", f"{record}: field 'gain'")
        if claim.wording in ("beats", "comparable") and not (claim.baseline or claim.components):
            raise self.wrong(f"{claim.wording!r} needs baseline", f"{record}: field 'baseline'")
        if (claim.wording == "comparable") != (claim.margin is not None):
            raise self.wrong("margin belongs to 'comparable', which needs one", f"{record}: field 'margin'")
        if claim.margin is not None and claim.margin <= 0:
            raise self.wrong("expected a margin above 0", f"{record}: field 'margin'")
        if claim.wording != "up_to" and (claim.k is not None or claim.settings):
            raise self.wrong("k and settings belong to 'up_to'", record)
        if claim.candidate and claim.candidate == claim.baseline:
            raise self.wrong("candidate and baseline are the same model", f"{record}: field 'baseline'")
        if len(claim.runs) == 1:
            raise self.wrong("expected at least two runs: one says nothing of how runs vary", f"{record}: field 'runs'")
        if not math.isfinite(sum(claim.runs)):
            raise self.wrong("expected finite numbers", f"{record}: field 'runs'")
