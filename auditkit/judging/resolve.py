"""From a run spec to what is to be done: prompts, the judge as this run uses it, who meets whom, and whose answers
are recorded or have to be written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from auditkit.errors import InputError, UsageError, printable
from auditkit.judging.answers import Writer
from auditkit.judging.asking import Address
from auditkit.judging.inputs import Answer, Prompts, read_answers, read_prompts
from auditkit.judging.plan import Contest
from auditkit.judging.runspec import RunSpec
from auditkit.judging.spec import JudgeSpec, load_judge
from auditkit.records import Benchmark, Input

__all__ = ["Work", "only_known", "resolve"]

#: Labels by which the controls of a benchmark read its verdicts.
_LABELS: Mapping[str, frozenset[str]] = {
    "arena_hard": frozenset({"A>>B", "A>B", "A=B", "B>A", "B>>A"}),
    "wildbench": frozenset({"A++", "A+", "A=B", "B+", "B++"}),
}


@dataclass(frozen=True)
class Work:
    """A resolved run.

    Attributes:
        spec: What it was resolved from.
        benchmark: The benchmark's record for the report.
        contest: Judge, prompts, who meets whom, and the recorded answers.
        judge: Whom to ask for verdicts.
        writers: Models whose answers are generated.
        inputs: Files that were read.
    """

    spec: RunSpec
    benchmark: Benchmark
    contest: Contest
    judge: Address
    writers: tuple[Writer, ...]
    inputs: tuple[Input, ...]

    def with_answers(self, made: Mapping[str, Mapping[str, Answer]]) -> Contest:
        """Return the contest with generated answers."""
        return replace(self.contest, answers={**self.contest.answers, **made})


def resolve(spec: RunSpec) -> Work:
    """Read everything that a run spec names, and check that it fits together, before anything is asked.

    Raises:
        InputError: A file that cannot be used, a prompt that does not fit the judge, a category without baseline.
        UsageError: A judge, client or combination that does not exist.
    """
    prompts = read_prompts(spec.path(spec.benchmark.path))
    judge = _judge(spec)
    address = Address(_judge_model(spec, judge), spec.judge.base_url)
    inputs = [*prompts.inputs]
    answers: dict[str, Mapping[str, Answer]] = {}
    writers = []
    for model in spec.models:
        if model.model:
            writers.append(Writer(model.name, Address(model.model, model.base_url), model.system, model.params))
            continue
        recorded = read_answers(spec.path(model.answers), prompts.prompts, model.name)
        answers[model.name] = recorded.answers
        inputs += recorded.inputs
    _one_address(writers)
    baselines = _baselines(spec, judge, prompts, answers, inputs) if judge.pairwise else {}
    names = set(baselines.values())
    contest = Contest(
        judge,
        address.model,
        prompts.prompts,
        tuple(model.name for model in spec.models if model.name not in names),
        baselines,
        answers,
        spec.run.repeats,
    )
    if not contest.models:
        raise InputError("every model is a baseline: there is nobody to judge", mend="add a [[models]] table")
    contest.check()
    simulated = any(a.provider[0] == "simulated" for a in (address, *(w.address for w in writers)))
    return Work(
        spec,
        _benchmark(spec, prompts, judge, frozenset(names), simulated),
        contest,
        address,
        tuple(writers),
        tuple(dict.fromkeys(inputs)),
    )


def _one_address(writers: Sequence[Writer]) -> None:
    """Refuse one model's name at two addresses: an answer is found again by what was asked, not by who was.

    Raises:
        UsageError: Two models would share their answers.
    """
    seen: dict[str, Writer] = {}
    for writer in writers:
        first = seen.setdefault(writer.address.model, writer)
        if first.address != writer.address:
            raise UsageError(
                f"models {printable(first.name, 60)!r} and {printable(writer.name, 60)!r} are both "
                f"{printable(writer.address.model, 60)}, at two addresses: their answers could not be told apart; "
                "have the servers call them by different names"
            )


def _judge(spec: RunSpec) -> JudgeSpec:
    use = spec.judge.use
    judge = load_judge(spec.path(use) if "/" in use or use.endswith(".toml") else use)
    order = spec.judge.order or judge.order
    if order != judge.order and not judge.pairwise:
        raise UsageError(f"judge {judge.name} sees one answer at a time: it has no order")
    params = {**judge.params, **spec.judge.params}
    # The place of the first game means something only where there are two.
    first = judge.first_game if order == "both" else JudgeSpec.first_game
    return replace(judge, params=params, order=order, first_game=first)


def _judge_model(spec: RunSpec, judge: JudgeSpec) -> str:
    model = spec.judge.model or judge.model
    if not model:
        raise InputError(
            f"judge {judge.name} names no model", record="field 'judge.model'", mend="name one in the spec"
        )
    return model if spec.judge.model or "/" in model else f"openai/{model}"


def _baselines(
    spec: RunSpec, judge: JudgeSpec, prompts: Prompts, answers: dict[str, Mapping[str, Answer]], inputs: list[Input]
) -> dict[str, str]:
    """Return the baseline of each category, reading the answers of those that are given as files."""
    given = spec.benchmark.baseline
    chosen: dict[str, str] = {"*": given} if isinstance(given, str) and given else dict(given or {})
    if not chosen:
        categories = dict.fromkeys(prompt.category for prompt in prompts.prompts)
        chosen = {category: name for category in categories if (name := judge.baseline(category))}
        for category, name in chosen.items():
            if spec.model(name) is None:
                raise InputError(
                    f"judge {judge.name} compares with {printable(name, 60)!r} in category "
                    f"{printable(category, 60)!r}, and no model of the spec has that name",
                    record="field 'benchmark.baseline'",
                    mend="add its answers as a [[models]] table, or name another baseline",
                )
    resolved: dict[str, str] = {}
    read: dict[str, str] = {}
    for category, choice in chosen.items():
        if spec.model(choice) is None and choice not in read:
            recorded = read_answers(spec.path(choice), prompts.prompts)
            if spec.model(recorded.model) is not None or recorded.model in answers:
                raise InputError(
                    f"the baseline's answers are {printable(recorded.model, 60)!r}'s, which is also a model of the spec",
                    path=spec.path(choice),
                    mend=f"write baseline = {recorded.model!r}",
                )
            read[choice] = recorded.model
            answers[recorded.model] = recorded.answers
            inputs += recorded.inputs
        resolved[category] = read.get(choice, choice)
    return resolved


def _benchmark(
    spec: RunSpec, prompts: Prompts, judge: JudgeSpec, baselines: frozenset[str], simulated: bool
) -> Benchmark:
    path = spec.path(spec.benchmark.path).absolute()
    generic = path.stem in ("question", "prompts", "instructions")
    name = spec.benchmark.name or (path.parent.name if generic and path.is_file() else path.stem)
    known = _is_protocol_of(judge, prompts.format)
    return Benchmark(
        name,
        spec.benchmark.version or (prompts.version if known else ""),
        prompts.format if known else "run_folder",
        baselines,
        len(prompts.prompts),
        simulated=simulated,
    )


def _is_protocol_of(judge: JudgeSpec, format_: str) -> bool:
    """Tell whether the controls that are particular to a benchmark can read this judge's verdicts."""
    if format_ in _LABELS and judge.pairwise:
        return set(judge.verdict.labels) <= _LABELS[format_]
    return format_ in ("mt_bench", "wildbench") and judge.mode == "single" and judge.verdict.scale == (1.0, 10.0)


def only_known(only: Sequence[str], contest: Contest) -> None:
    """Check the names of ``--only``.

    Raises:
        UsageError: Neither a model nor a category.
    """
    known = {*contest.models, *(prompt.category for prompt in contest.prompts)}
    for name in only:
        if name not in known:
            listed = ", ".join(printable(x, 40) for x in sorted(known - {""})[:20])
            raise UsageError(f"--only {printable(name, 60)!r} is neither a model nor a category; there are: {listed}")
