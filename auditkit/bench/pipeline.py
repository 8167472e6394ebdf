"""The stages that need no model: from files of prompts to prompts that are clean, unique, embedded and clustered."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from auditkit.bench.clean import ingest, text_of, toxicity_from
from auditkit.bench.clustering import Clusters, cluster, join_outliers, method_for
from auditkit.bench.dedup import duplicates_of
from auditkit.bench.embedding import check_embedding, embed, fit, load_vectors
from auditkit.bench.engines import Engine, Job, Task
from auditkit.bench.overlap import index_of, keep, save_index
from auditkit.bench.parts import read_part, total_counts, write_part
from auditkit.bench.reading import expanded, parts_of, problems_of, raws_of, read_file
from auditkit.bench.settings import BuildSettings
from auditkit.bench.signatures import sign
from auditkit.bench.work import Stage, Work, digest

__all__ = ["Pipeline", "Progress", "no_progress"]

Progress = Callable[[str, int, int], None]
"""Told of each stage: its name, parts that are there, parts in all."""

_WHOLE: Final = "whole.parquet"


def no_progress(stage: str, done: int, total: int) -> None:
    """Say nothing."""


@dataclass
class Pipeline:
    """The local stages of one build, each done at most once.

    Attributes:
        work: The open work folder.
        paths: Files and folders of prompts.
        settings: The build's settings.
        engine: Where parts are made.
        progress: Told how far it is.
        earlier: Name and turns of every prompt of earlier versions: none of them is drawn again.
        counts: What each stage counted.
        problems: Why files of folders were passed over, by their numbers, once they are read.
    """

    work: Work
    paths: Sequence[Path]
    settings: BuildSettings
    engine: Engine
    progress: Progress = no_progress
    earlier: Sequence[tuple[str, tuple[str, ...]]] = ()
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise if something that the settings name does not exist.

        Raises:
            InputError: A path.
            UsageError: An embedding, a toxicity function.
        """
        check_embedding(self.settings.embedding, self.settings.embedding_url)
        if self.settings.toxicity:
            toxicity_from(self.settings.toxicity)
        self.files  # noqa: B018  cached, and raises if a file is missing
        expanded([Path(path) for path in self.settings.against])

    @cached_property
    def files(self) -> list[tuple[Path, str]]:
        """The files of prompts, with the SHA-256 of each."""
        return [(path, self.work.fingerprint(path)) for path in expanded(self.paths)]

    def mapped(self, stage: Stage, task: Task, jobs: Sequence[Job]) -> list[Path]:
        """Make the parts of a stage; return them in order, their counts added up."""
        done = sum(job.output.exists() for job in jobs)
        name = stage.name.partition("-")[2]
        self.progress(name, done, len(jobs))
        for _ in self.engine.run(task, jobs):
            done += 1
            self.progress(name, done, len(jobs))
        parts = [job.output for job in jobs]
        if task is not read_file:
            self.counts[stage.name] = total_counts(parts)
        if not stage.done:
            self.work.finish(stage, {"parts": len(parts)})
        return parts

    @cached_property
    def read(self) -> tuple[Stage, list[list[Path]]]:
        """The parts of each file as it was read."""
        stage = self.work.begin("00-read", {"turns": self.settings.turns, "licence": self.settings.licence})
        args = {"turns": self.settings.turns, "licence": self.settings.licence}
        named = {Path(path) for path in self.paths}
        jobs = [
            Job((path,), stage.folder / f"f{k:03d}-{sha256[:12]}.json", {**args, "file": k, "alone": path in named})
            for k, (path, sha256) in enumerate(self.files)
        ]
        _clear(stage.folder, {job.output.stem for job in jobs})
        done = self.mapped(stage, read_file, jobs)
        self.problems = problems_of(done, [path for path, _ in self.files], named)
        return stage, [parts_of(path) for path in done]

    def _beside(self, stage: Stage, parts: Sequence[Path]) -> list[Path]:
        """Return the places of the parts that a stage makes of `parts`, in folders of the same names."""
        _clear(stage.folder, {part.parent.name for part in parts})
        return [stage.folder / part.parent.name / part.name for part in parts]

    @cached_property
    def ingested(self) -> tuple[Stage, list[Path]]:
        """Every prompt with its language, redacted, and the reason why it is left out."""
        s = self.settings
        before, files = self.read
        args = {
            "min_chars": s.min_chars, "max_chars": s.max_chars, "languages": list(s.languages), "redact": s.redact,
            "keep_flagged": s.keep_flagged, "toxicity": s.toxicity, "max_toxicity": s.max_toxicity,
        }  # fmt: skip
        stage = self.work.begin("01-ingest", args, [before])
        parts = [part for file in files for part in file]
        jobs = [Job((a,), b, args) for a, b in zip(parts, self._beside(stage, parts), strict=True)]
        return stage, self.mapped(stage, ingest, jobs)

    @cached_property
    def kept(self) -> tuple[Stage, list[Path]]:
        """The prompts that are no duplicates and in no benchmark named."""
        s = self.settings
        before, parts = self.ingested
        signed = self.work.begin("02-sign", {}, [before])
        jobs = [Job((a,), b) for a, b in zip(parts, self._beside(signed, parts), strict=True)]
        signatures = self.mapped(signed, sign, jobs)
        names = [f"{part.parent.name}/{part.name}" for part in parts]
        stage = self.work.begin("03-duplicates", {"near": s.near, "parts": names}, [signed])
        found = stage.folder / _WHOLE
        if not found.exists():
            self.progress("duplicates", 0, 1)
            _write_duplicates(found, signatures, s.near, stage.folder)
        self.work.finish(stage, {})
        index, indexed = self.index
        args = {"near": s.near, "index": str(index) if index else "", "earlier": self.earlier_items}
        last = self.work.begin("05-keep", {"near": s.near}, [stage, *([indexed] if indexed else [])])
        jobs = [Job((a, found), b, args) for a, b in zip(parts, self._beside(last, parts), strict=True)]
        return last, self.mapped(last, keep, jobs)

    @cached_property
    def _earlier_texts(self) -> list[tuple[str, str]]:
        return [(name, text) for name, turns in self.earlier for text in _told(turns)]

    @property
    def earlier_items(self) -> int:
        """How many of the first items of the index are of earlier versions."""
        return len(self._earlier_texts)

    @cached_property
    def index(self) -> tuple[Path | None, Stage | None]:
        """The index of the prompts to keep clear of, and its stage; None where there are none."""
        if not self.settings.against and not self.earlier:
            return None, None
        files = expanded([Path(path) for path in self.settings.against])
        hashes = [self.work.fingerprint(path) for path in files]
        told = {"files": [[p.name, h] for p, h in zip(files, hashes, strict=True)]}
        if self.earlier:
            told["earlier"] = [[digest(self._earlier_texts)]]
        stage = self.work.begin("04-index", told)
        path = stage.folder / _WHOLE
        if not (path.exists() and path.with_suffix(".grams").exists()):
            self.progress("index", 0, 1)
            names = [name for name, _ in self._earlier_texts]
            texts = [text for _, text in self._earlier_texts]
            for file in files:
                for where, raw in raws_of(file, "all"):
                    if not raw.reason:
                        said = _told(raw.turns)
                        texts += said
                        names += [f"{file.parent.name}/{file.name}: {where}"] * len(said)
            save_index(path, index_of(texts, names))
        return path, self.work.finish(stage, {})

    @cached_property
    def embedded(self) -> tuple[Stage, list[Path]]:
        """The vectors of the prompts that are kept."""
        s = self.settings
        before, parts = self.kept
        told = {"embedding": s.embedding, "embedding_url": s.embedding_url}
        stage = self.work.begin("06-embed", {**told, "seed": s.seed}, [before])
        fitted: tuple[Path, ...] = ()
        if s.embedding == "hashed":
            fitted = (stage.folder / _WHOLE,)
            if not fitted[0].exists():
                self.progress("fit", 0, 1)
                fit(parts, fitted[0], {"seed": s.seed, "total": self.total})
        jobs = [
            Job((a, *fitted), b, told) for a, b in zip(parts, self._beside(stage, parts), strict=True)
        ]  # fmt: skip
        return stage, self.mapped(stage, embed, jobs)

    @cached_property
    def total(self) -> int:
        """Prompts that are kept."""
        return total_counts(self.kept[1])["kept"]

    @cached_property
    def vectors(self) -> Any:
        """The vectors of all prompts that are kept, in their order."""
        found = load_vectors(self.embedded[1])
        return found if len(found) else np.zeros((0, 1), dtype=np.float16)

    @cached_property
    def clustered(self) -> tuple[Stage, Clusters]:
        """The clusters of the prompts that are kept, in their order."""
        import pyarrow as pa

        s = self.settings
        before, _ = self.embedded
        method = method_for(s.clustering, self.total, s.embedding)
        told = {"method": method, "min_cluster": s.min_cluster, "k": s.k, "seed": s.seed, "least": 2 * s.clusters}
        stage = self.work.begin("07-cluster", told, [before])
        path = stage.folder / _WHOLE
        if not stage.done or not path.exists():
            self.progress("cluster", 0, 1)
            found = cluster(
                self.vectors, method=method, min_cluster=s.min_cluster, k=s.k, seed=s.seed, least=2 * s.clusters
            )  # fmt: skip
            labels = join_outliers(found.labels, self.texts())
            write_part(path, pa.table({"cluster": pa.array(labels)}))
            stage = self.work.finish(stage, {"method": found.method, "outliers": found.outliers})
        labels = read_part(path).column("cluster").to_numpy()
        return stage, Clusters(labels, stage.facts["method"], stage.facts["outliers"])

    def texts(self) -> Iterator[list[str]]:
        """Yield the texts of the prompts that are kept, part by part."""
        for part in self.kept[1]:
            said = read_part(part, ["turns"]).column("turns")
            if len(said):
                yield [text_of(turns) for turns in said.to_pylist()]


def _told(turns: Sequence[str]) -> list[str]:
    """Return the texts to look for: the whole, and each turn, because a pool of first turns is compared with those."""
    return list(dict.fromkeys([text_of(turns), *turns]))


def _clear(folder: Path, wanted: set[str]) -> None:
    """Remove what belongs to files that are no longer among the inputs."""
    for entry in folder.iterdir():
        if entry.name != _WHOLE and entry.stem not in wanted and entry.name not in wanted:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _write_duplicates(path: Path, signatures: Sequence[Path], near: float, folder: Path) -> None:
    import pyarrow as pa

    found = duplicates_of(signatures, near, folder)
    columns = {
        "row": pa.array(found.rows), "state": pa.array(found.state), "of": pa.array(found.of),
        "similarity": pa.array(found.similarity), "copies": pa.array(found.copies),
    }  # fmt: skip
    write_part(path, pa.table(columns))
