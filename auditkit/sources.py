"""The recordings behind a certificate, by names that hold on any machine.

A report names the files that were read by their paths, and those belong to one machine. A certificate is checked on
another: here every path begins with the last part of what was given (``results/model/annotations.json``), whoever reads
it and wherever it lies.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditkit import formats, registry
from auditkit.errors import InputError, UsageError, printable
from auditkit.formats._io import fingerprint
from auditkit.records import Battles, Note
from auditkit.reports.certificate import Recipe, Source
from auditkit.reports.envelope import canonical
from auditkit.reports.report import Report, plain

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Sources", "digests", "find_sources", "gather", "reread", "versions"]

#: What numbers and pages depend on, beside auditkit itself.
_LIBRARIES: Final = (
    "jinja2", "markdown-it-py", "numpy", "pandas", "py3langid", "rensa", "scipy", "scikit-learn", "statsmodels",
)  # fmt: skip
_GROUPS: Final[tuple[registry.Group, ...]] = ("controls", "detectors", "formats")
_UP: Final = 2
_ELSEWHERE: Final = "beside"


@dataclass(frozen=True)
class Sources:
    """Recordings that were read together.

    Attributes:
        battles: All of them, joined.
        listed: One entry a recording, in order.
        roots: Where each lies, by its name.
        models: The models of those that are to be certified.
        beside: By kind: the file that a control uses beside the recordings.
    """

    battles: Battles
    listed: tuple[Source, ...]
    roots: Mapping[str, Path]
    models: tuple[str, ...]
    beside: Mapping[str, Path]

    def name_of(self, path: str) -> str:
        """Return a path by the name of its recording; one that lies elsewhere is returned as it is."""
        for name, root in self.roots.items():
            if path == str(root):
                return name
            if path.startswith(f"{root}{os.sep}"):
                return f"{name}/{os.path.relpath(path, root)}"
        return path

    def beside_names(self) -> dict[str, str]:
        """Return the names of the files beside the recordings, by kind."""
        return {kind: self._beside_name(path) for kind, path in sorted(self.beside.items())}

    def _beside_name(self, path: Path) -> str:
        inside = self.name_of(str(path))
        if inside != str(path):
            return inside
        name, root = next(iter(self.roots.items()))
        relative = os.path.relpath(path, root)
        near = Path(relative).parts.count(os.pardir) <= _UP and Path(relative).parts[-1:] == (path.name,)
        return f"{name}/{relative}" if near else f"{_ELSEWHERE}/{path.name}"

    def inputs(self) -> dict[str, str]:
        """Return the SHA-256 of every file that was read, by its name."""
        found = {self.name_of(item.path): item.sha256 for item in self.battles.inputs}
        for kind, name in self.beside_names().items():
            found[name] = fingerprint(self.beside[kind], 1).sha256
        return found

    def relabel(self, report: Report) -> Report:
        """Return `report` with every path by its name."""

        def text(said: str) -> str:
            for name, root in self.roots.items():
                said = said.replace(str(root), name)
            return said

        inputs = tuple(replace(item, path=self.name_of(item.path)) for item in report.inputs)
        notes = tuple(replace(note, path=self.name_of(note.path), text=text(note.text)) for note in report.notes)
        return replace(report, inputs=inputs, notes=notes)


def gather(
    paths: Sequence[Path | str],
    benchmark: Sequence[Path | str] = (),
    *,
    format: str | None = None,  # noqa: A002  the option's own name
    keep_going: bool = False,
    calibration: Path | None = None,
) -> Sources:
    """Read the recordings of submissions, and those of the benchmark with which they are compared.

    Args:
        paths: Recordings of the submissions to be certified.
        benchmark: Recordings of other submissions to the same benchmark.
        format: Force this format instead of recognising it.
        keep_going: Leave out recordings that cannot be read, with a note each.
        calibration: The calibration file, if it does not lie beside the recordings.

    Raises:
        InputError: A recording cannot be read.
        UsageError: No path.
    """
    if not paths:
        raise UsageError("no path given: name at least one recording of a submission")
    roots: dict[str, Path] = {}
    listed: list[Source] = []
    for path, certified in [(p, True) for p in paths] + [(p, False) for p in benchmark]:
        root = Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow links and lose the name
        name = root.name or "root"
        if plain(name, "name") != name:
            raise InputError("its name is not Unicode, and a certificate could not name it", path=root)
        number = 2
        while name in roots:
            name, number = f"{root.name}~{number}", number + 1
        roots[name] = root
        listed.append(Source(name, certified))
    return _read(listed, roots, format, keep_going, None, calibration)


def find_sources(recipe: Recipe, folders: Sequence[Path], home: Path) -> dict[str, Path | None]:
    """Find the recordings of a recipe.

    Args:
        recipe: What a certificate says of how its report was made.
        folders: Where to look: each is a recording itself, or the folder that holds some. As many as there are
            recordings are taken in their order, whatever their names.
        home: The certificate's folder: looked at last, with the working folder.

    Returns:
        The path of each recording by its name; None: not found.
    """
    wanted = [source.name for source in recipe.sources]
    if len(folders) == len(wanted) and not any((folder / name).exists() for folder in folders for name in wanted):
        return {name: Path(os.path.abspath(f)) for name, f in zip(wanted, folders, strict=True)}  # noqa: PTH100
    found: dict[str, Path | None] = {}
    for name in wanted:
        places = [f if f.name == name else f / name for f in folders]
        places += [home / name, home.parent / name, Path.cwd() / name]
        found[name] = next((Path(os.path.abspath(p)) for p in places if p.exists()), None)  # noqa: PTH100
    return found


def reread(recipe: Recipe, roots: Mapping[str, Path], beside: Mapping[str, Path]) -> Sources:
    """Read the recordings of a recipe again, with exactly the files beside them that were used.

    Raises:
        InputError: A recording cannot be read.
    """
    return _read(recipe.sources, roots, recipe.format or None, recipe.keep_going, beside, None)


def _read(
    listed: Sequence[Source],
    roots: Mapping[str, Path],
    format: str | None,  # noqa: A002  the option's own name
    keep_going: bool,
    beside: Mapping[str, Path] | None,
    calibration: Path | None,
) -> Sources:
    parts: list[Battles] = []
    skipped: list[InputError] = []
    models: list[str] = []
    formats.refuse_overlap(list(roots.values()))
    for source in listed:
        read, errors = formats.read_each([roots[source.name]], format=format, keep_going=keep_going)
        parts += read
        skipped += errors
        if source.certified:
            models += [model for part in read for model in part.models]
    if not parts:
        raise skipped[0]
    battles = formats.join(parts)
    used = dict(battles.beside) if beside is None else dict(beside)
    if calibration is not None:
        used["calibration"] = Path(os.path.abspath(calibration))  # noqa: PTH100  the name is kept
    found = Sources(battles, tuple(listed), roots, tuple(dict.fromkeys(models)), used)
    notes = tuple(_skipped(error, found.name_of) for error in skipped)
    return replace(found, battles=replace(battles, notes=battles.notes + notes, beside=used))


def _skipped(error: InputError, name_of: Callable[[str], str]) -> Note:
    name = name_of(str(error.path)) if error.path else ""
    said = InputError(error.problem, path=name or None, record=error.record, mend=error.mend)
    return Note("skipped", str(said), path=printable(name))


def digests(battles: Battles, model: str, benchmark: str) -> dict[str, str]:
    """Return SHA-256 of what a recording says, whatever files it is kept in.

    Args:
        battles: The recording.
        model: The submission.
        benchmark: The report's own hash of the prompts.

    Returns:
        ``benchmark``: as given; ``answers``: of the canonical JSON of the submission's answers, each ``[prompt, turn,
        text]``, sorted; ``games``: the same of its games (every column but the answers' numbers) and ratings.
    """
    answers = battles.answers[battles.answers["model"] == model]
    games = battles.games_of(model).drop(columns=["answer", "opponent_answer"])
    ratings = battles.ratings[battles.ratings["model"] == model].drop(columns="answer")
    return {
        "benchmark": benchmark,
        "answers": _digest(answers[["prompt_id", "turn", "text"]]),
        "games": _digest(games, ratings),
    }


def _digest(*tables: pd.DataFrame) -> str:
    rows: list[Any] = []
    for table in tables:
        columns = [table[name].astype(object).where(table[name].notna(), None).tolist() for name in table.columns]
        rows.append(sorted((plain(list(row), "row") for row in zip(*columns, strict=True)), key=canonical))
    return hashlib.sha256(canonical(rows)).hexdigest()


def versions() -> dict[str, Any]:
    """Return the versions of everything that numbers and pages depend on, plugins of others included."""
    found: dict[str, Any] = {
        "auditkit": version("judge-auditkit"),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    others = {p.distribution: p.version for group in _GROUPS for p in registry.plugins(group).values()}
    found["plugins"] = {name: others[name] for name in sorted(others) if name != "judge-auditkit"}
    return found
