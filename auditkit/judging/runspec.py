"""The run spec (``audit.toml``): what is asked of whom, who judges, and within which limits.

Strict: an unknown key, a wrong type or a combination that cannot run is an `InputError` that names the field.
Precedence: flag > ``AUDITKIT_…`` in the environment > file > default. Keys are read from the environment by the
clients alone and have no place here.
"""

from __future__ import annotations

import json
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from auditkit.errors import InputError, UsageError, printable
from auditkit.formats._io import open_file
from auditkit.judging.spec import OrderPolicy
from auditkit.judging.store.redaction import without_secrets

__all__ = ["BenchmarkChoice", "JudgeChoice", "ModelChoice", "RunSettings", "RunSpec", "load_spec", "parse_spec"]

_LARGEST: Final = 4 << 20
_PREFIX: Final = "AUDITKIT_"
_STRICT: Final = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass(frozen=True)
class BenchmarkChoice:
    """The benchmark.

    Attributes:
        path: Prompts in any format that is read (`auditkit.judging.inputs`).
        baseline: Whom the models are compared with: a file of recorded answers, or the name of one of the models; or
            one of these by category, ``*`` for any other. "": the judge's own baselines, which must then be models.
        name: Shown in the report; "": from `path`.
        version: Shown in the report.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    path: str
    baseline: str | dict[str, str] = ""
    name: str = ""
    version: str = ""


@dataclass(frozen=True)
class ModelChoice:
    """One model: a client and model that generate its answers, or a file that holds them.

    Attributes:
        name: Its name in the report.
        model: ``client/model``.
        answers: A file or recording with its answers.
        base_url: The address that the client calls instead of the provider's own.
        system: System prompt for generating answers.
        params: Sampling parameters under OpenAI's names, for generating answers.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    name: str
    model: str = ""
    answers: str = ""
    base_url: str = ""
    system: str = ""
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JudgeChoice:
    """The judge.

    Attributes:
        use: An installed judge's name, or a TOML file.
        model: ``client/model``; "": the model that the protocol was published with, through the client ``openai``.
        base_url: The address that the client calls instead of the provider's own.
        params: Sampling parameters that replace or add to the protocol's.
        order: Which answer is shown first, instead of the protocol's policy.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    use: str
    model: str = ""
    base_url: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    order: OrderPolicy | None = None


@dataclass(frozen=True)
class RunSettings:
    """Limits and draws. Each can be set as ``AUDITKIT_`` and its name in capitals.

    Attributes:
        concurrency: Most calls at once, for each provider.
        max_cost: US dollars that one start of the run may spend; None: no such limit.
        seed: Seed of every random draw that is ours.
        timeout: Seconds that a single attempt at a call may take.
        retry_total: Seconds from the first attempt at a call to the last.
        requests_per_minute: Most calls a minute, for each provider.
        tokens_per_minute: Most tokens a minute, in and out together, for each provider.
        repeats: How often each game is played; more than once measures the judge's own noise.
        store: Path or URL of the store; "": ``store.sqlite`` in the run folder.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    concurrency: int = 64
    max_cost: float | None = None
    seed: int = 0
    timeout: float = 120.0
    retry_total: float = 600.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    repeats: int = 1
    store: str = ""


@dataclass(frozen=True)
class RunSpec:
    """A resolved run spec. `home` is the folder that its relative paths start from."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    benchmark: BenchmarkChoice
    judge: JudgeChoice
    models: tuple[ModelChoice, ...] = ()
    run: RunSettings = RunSettings()
    home: Path = field(default=Path(), kw_only=True)

    def path(self, name: str) -> Path:
        """Return a path of the spec, seen from the working directory."""
        return self.home / name

    def model(self, name: str) -> ModelChoice | None:
        """Return the model of that name."""
        return next((m for m in self.models if m.name == name), None)


def load_spec(
    path: Path, flags: Mapping[str, int | float | str | None] | None = None, environ: Mapping[str, str] | None = None
) -> RunSpec:
    """Read a run spec and settle every setting: flag > ``AUDITKIT_…`` > file > default.

    Args:
        path: The TOML file.
        flags: Settings given on the command line, by the names of `RunSettings`; None values were not given.
        environ: The environment; None: the process's own.

    Raises:
        InputError: The file cannot be used; the field is named.
        UsageError: A flag or variable has a value that cannot be used.
    """
    with open_file(path) as handle:
        raw = handle.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise InputError(f"a run spec of more than {_LARGEST} bytes", path=path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: byte {error.start}", path=path) from error
    spec = parse_spec(text, path)
    given = _from_environment(os.environ if environ is None else environ)
    given |= {name: value for name, value in (flags or {}).items() if value is not None}
    settings = replace(spec.run, **given)
    problem = _bad_setting(settings)
    if problem:
        raise UsageError(problem)
    return replace(spec, run=settings, home=path.parent)


def parse_spec(text: str, path: Path | str | None = None) -> RunSpec:
    """Read a run spec from TOML text; relative paths are taken from the working directory.

    Args:
        text: The file's content.
        path: Named in errors.

    Raises:
        InputError: Not TOML, or not a usable spec; the field is named.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        document = tomllib.loads(text)
        canonical = json.dumps(document, allow_nan=False)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"not TOML: {error}", path=path) from error
    except TypeError as error:
        raise InputError("dates and times have no place in a run spec", path=path) from error
    except ValueError as error:
        raise InputError("every number must be finite", path=path) from error
    _refuse_secrets(document, path)
    if "home" in document:
        raise InputError("unknown key", path=path, record="field 'home'")
    try:
        spec: RunSpec = TypeAdapter(RunSpec).validate_json(canonical)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("str", "dict[str,str]"))
        known = {
            "extra_forbidden": "unknown key", "unexpected_keyword_argument": "unknown key",
            "missing": "is missing", "missing_argument": "is missing",
        }  # fmt: skip
        problem = known.get(first["type"]) or f"{first['msg']}, got {printable(first['input'], 60)!r}"
        raise InputError(problem, path=path, record=f"field {where!r}") from error
    _check(spec, path)
    return spec


def _refuse_secrets(value: object, path: Path | str | None, where: str = "") -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            here = f"{where}.{name}" if where else str(name)
            if not isinstance(inner, Mapping | list) and without_secrets({name: inner}) != {name: inner}:
                raise InputError(
                    "a key or password has no place in a run spec", path=path, record=f"field {here!r}",
                    mend="set it in the environment, such as OPENAI_API_KEY",
                )  # fmt: skip
            _refuse_secrets(inner, path, here)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _refuse_secrets(inner, path, f"{where}.{number}")


def _check(spec: RunSpec, path: Path | str | None) -> None:
    def refuse(where: str, problem: str, mend: str | None = None) -> InputError:
        return InputError(problem, path=path, record=f"field {where!r}", mend=mend)

    if not spec.benchmark.path:
        raise refuse("benchmark.path", "is empty")
    if not spec.judge.use:
        raise refuse("judge.use", "is empty")
    if not spec.models:
        raise refuse("models", "there is no model to judge", "add a [[models]] table")
    names: set[str] = set()
    for k, model in enumerate(spec.models):
        if not model.name.strip():
            raise refuse(f"models.{k}.name", "is empty")
        if model.name in names:
            raise refuse(f"models.{k}.name", f"a second model named {printable(model.name, 60)!r}")
        names.add(model.name)
        if bool(model.model) == bool(model.answers):
            raise refuse(f"models.{k}", "needs one of 'model' (to generate answers) and 'answers' (recorded ones)")
        if model.answers and (model.base_url or model.system or model.params):
            raise refuse(f"models.{k}", "recorded answers take no base_url, system or params")
        if model.model and "/" not in model.model:
            raise refuse(f"models.{k}.model", "expected client/model, such as openai/gpt-4.1")
    if spec.judge.model and "/" not in spec.judge.model:
        raise refuse("judge.model", "expected client/model, such as openai/gpt-4.1")
    problem = _bad_setting(spec.run)
    if problem:
        raise refuse("run", problem)


def _bad_setting(settings: RunSettings) -> str:
    """Return what is wrong with the settings, "" if nothing is."""
    least: tuple[tuple[str, float], ...] = (
        ("concurrency", 1), ("repeats", 1), ("requests_per_minute", 1), ("tokens_per_minute", 1), ("seed", 0),
        ("max_cost", 0),
    )  # fmt: skip
    for name, low in least:
        value = getattr(settings, name)
        if value is not None and not (math.isfinite(value) and value >= low):
            return f"{name} must be at least {low:g}, got {value:g}"
    for name in ("timeout", "retry_total"):
        value = getattr(settings, name)
        if not (math.isfinite(value) and value > 0):
            return f"{name} must be more than 0 seconds, got {value:g}"
    return ""


_KINDS: Final[Mapping[str, type[int | float | str]]] = {
    f.name: str if f.name == "store" else int if f.name in ("concurrency", "seed", "repeats") else float
    for f in fields(RunSettings)
}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        text = environ.get(_PREFIX + name.upper(), "").strip()
        if text:
            try:
                found[name] = kind(text)
            except ValueError:
                wanted = "a whole number" if kind is int else "a number"
                raise UsageError(f"{_PREFIX}{name.upper()} must be {wanted}, not {printable(text, 40)!r}") from None
    return found
