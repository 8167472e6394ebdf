"""Judges are data: the record of a judge, its TOML file (schema ``auditkit.judge/1``), and where judges are found.

A file is validated where it is read, strictly: an unknown key, a wrong type, a template variable that does not
exist or a label that the parser cannot produce is an `InputError` that names the field.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from auditkit.errors import InputError, UsageError, printable
from auditkit.formats._io import open_file
from auditkit.judging.calls import Json
from auditkit.registry import find, plugins

__all__ = [
    "SCHEMA",
    "Aggregate",
    "Item",
    "JudgeSpec",
    "Label",
    "MessageTemplate",
    "Mode",
    "OrderPolicy",
    "ParserName",
    "Rendering",
    "Template",
    "Verdict",
    "judge_names",
    "load_judge",
    "parse_judge",
    "to_toml",
    "validate",
]

SCHEMA: Final = "auditkit.judge/1"
_LARGEST: Final = 4 << 20

Mode = Literal["pairwise", "single", "checklist", "criteria", "principles"]
OrderPolicy = Literal["both", "model_first", "model_second", "alpaca_slot", "seeded"]
ParserName = Literal[
    "labels", "json", "logprob", "ah_v01", "ah_v2", "mt_pair", "mt_single", "wb_json", "ae_logprob", "ae_ranking"
]
Rendering = Literal["jinja", "str_format", "alpaca_eval", "wildbench"]
Aggregate = Literal["mean", "swap_and_tie"]
_STRICT: Final = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
#: Fields that came after the first judges were hashed, with their defaults: left out of the hash, so that what was
#: stored of a judge without them is still that judge's.
_LATER: Final[Mapping[str, object]] = {"nonce": False, "label_nonce": False, "aggregate": "mean"}


@dataclass(frozen=True)
class MessageTemplate:
    """One message of a judge's prompt: its role and the template of its text."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True)
class Template:
    """The messages for one kind of prompt. The first template of a judge whose conditions hold is used.

    Attributes:
        messages: What is sent.
        turns: Only for prompts of one turn, or of more than one; None: any.
        reference: Only where a reference answer is shown.
        categories: Only for these categories; empty: any.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    messages: tuple[MessageTemplate, ...]
    turns: Literal["one", "many"] | None = None
    reference: bool = False
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Label:
    """What a label means: the outcome for the answer shown first (0..1), and how often the game counts."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    outcome: float
    weight: float = 1.0


@dataclass(frozen=True)
class Verdict:
    """How a verdict is read from a completion.

    Attributes:
        parser: ``labels`` (one label on the final line), ``json`` (one object), ``logprob`` (two labels' first
            token), or an upstream parser with its quirks (`auditkit.judging.compat`).
        labels: Label -> what it means. Empty where the verdict is a number.
        written: How the judge is told to write a label or number, with ``{label}`` in its place.
        field: The JSON object's field (``json``, ``wb_json``, ``ae_ranking``).
        scale: Lowest and highest number, both allowed, where the verdict is a number.
        patterns: Regular expressions of ``ah_v01`` and ``ah_v2``, tried in order.
        binarize: ``ae_logprob``: the likelier label wins, instead of the ratio of probabilities.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    parser: ParserName
    labels: Mapping[str, Label] = field(default_factory=dict)
    written: str = "[[{label}]]"
    field: str = ""
    scale: tuple[float, float] | None = None
    patterns: tuple[str, ...] = ()
    binarize: bool = False


@dataclass(frozen=True)
class Item:
    """One thing that a checklist, criteria or principles judge asks about.

    `polarity` is what a yes (or a high number) means: "for" the answer or "against" it.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    id: str
    text: str
    weight: float = 1.0
    polarity: Literal["for", "against"] = "for"


@dataclass(frozen=True)
class JudgeSpec:
    """A validated judge.

    Attributes:
        name: Short name; stored with every game.
        title: One line for people.
        source: Where the protocol comes from, in one line.
        mode: ``pairwise`` compares two answers; ``single`` rates one; ``checklist`` asks yes or no for each item of
            the prompt's checklist; ``principles`` for each item of its own; ``criteria`` rates all items in one call.
        verdict: How the reply is read.
        templates: What is sent, by kind of prompt.
        model: The judge model that the protocol was published with; a run chooses its own.
        params: Sampling parameters under OpenAI's names.
        order: Which answer is shown first. ``both``: two games. ``alpaca_slot``: AlpacaEval's function of the
            instruction. ``seeded``: WildBench's draw by the prompt's place in the file.
        first_game: With ``both``, the order of the first game.
        seed: With ``seeded``, the seed.
        turns: ``last``: one verdict on the whole conversation; ``each``: one after every turn.
        retries: Further attempts when no verdict can be read.
        retry_text: What the judge is told then, after its own reply; "": the same request again.
        missing: What the published score does with a game without a verdict.
        identical_is_tie: Two equal answers are a tie without a call.
        empty_loses: A blank answer gets the worst verdict without a call.
        words: Longer texts are cut after so many words (split at single spaces); 0: never.
        fence: ``tags``: every value stands between tags that carry its name. ``template``: the template's own
            delimiters are used.
        nonce: The tags carry a secret of the run and prompt (`auditkit.judging.nonces`).
        label_nonce: The verdict carries one too: a verdict without it does not count.
        aggregate: How the two orders of a pair make one outcome. ``mean``: their mean. ``swap_and_tie``: a win or a
            loss only where both name the same winner, else a tie.
        baselines: Baseline model by category; ``*`` for any other.
        reference_categories: A reference is shown in these categories only, and needed there. Empty: wherever there
            is one and a template for it.
        texts: Texts that templates share, as ``{{ texts.name }}``.
        items: What criteria and principles judges ask about.
        rendering: ``jinja``, or an upstream renderer with its quirks.
        notes: What the user should know: what an import could not find.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    name: str
    title: str
    source: str
    mode: Mode
    verdict: Verdict
    templates: tuple[Template, ...]
    model: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    order: OrderPolicy = "both"
    first_game: Literal["model_first", "model_second"] = "model_first"
    seed: int = 0
    turns: Literal["last", "each"] = "last"
    retries: int = 1
    retry_text: str = ""
    missing: Literal["drop_game", "drop_pair", "count_as_zero", "bound"] = "bound"
    identical_is_tie: bool = False
    empty_loses: bool = False
    words: int = 0
    fence: Literal["tags", "template"] = "tags"
    nonce: bool = False
    label_nonce: bool = False
    aggregate: Aggregate = "mean"
    baselines: Mapping[str, str] = field(default_factory=dict)
    reference_categories: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    items: tuple[Item, ...] = ()
    rendering: Rendering = "jinja"
    notes: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return int(self.sha256[:15], 16)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of the judge in canonical JSON, defaults filled in: layout and comments do not matter."""
        document = asdict(self)
        for name, default in _LATER.items():
            if document[name] == default:
                del document[name]
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def pairwise(self) -> bool:
        """Tell whether a game shows two answers."""
        return self.mode == "pairwise"

    def baseline(self, category: str) -> str:
        """Return the baseline of a category, "" if the judge names none."""
        return self.baselines.get(category, self.baselines.get("*", ""))


# --- files ----------------------------------------------------------------------------------------------------------


def _dated(value: object) -> bool:
    if isinstance(value, dict):
        return any(_dated(v) for v in value.values())
    if isinstance(value, list):
        return any(_dated(v) for v in value)
    return not isinstance(value, str | int | float | bool)


def parse_judge(text: str, path: Path | str | None = None) -> JudgeSpec:
    """Read a judge from TOML text.

    Args:
        text: The file's content.
        path: Named in errors.

    Raises:
        InputError: Not TOML, or not a usable judge; the field is named.
    """
    try:
        document = tomllib.loads(text)
        dated = _dated(document)
    except (ValueError, RecursionError) as error:  # ValueError: also whole numbers of more than 4300 digits
        raise InputError(f"not TOML: {error}", path=path) from error
    schema = document.pop("schema", None)
    if schema != SCHEMA:
        raise InputError(
            f"expected {SCHEMA!r}, got {printable(schema)!r}", path=path, record="field 'schema'",
            mend=f'begin the file with schema = "{SCHEMA}"',
        )  # fmt: skip
    if dated:
        raise InputError("dates and times have no place in a judge", path=path)
    return validate(document, path)


def validate(document: Mapping[str, object], path: Path | str | None = None) -> JudgeSpec:
    """Return the judge that a document (without its schema) describes, checked in full.

    Raises:
        InputError: A key, type, template, label or combination that cannot be used; the field is named.
    """
    from pydantic import TypeAdapter, ValidationError

    from auditkit.judging.check import check

    try:
        text = json.dumps(document, allow_nan=False)
    except ValueError as error:
        raise InputError("every number must be finite", path=path) from error
    try:
        spec: JudgeSpec = TypeAdapter(JudgeSpec).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = {
            "extra_forbidden": "unknown key", "unexpected_keyword_argument": "unknown key",
            "missing": "is missing", "missing_argument": "is missing",
        }.get(first["type"])  # fmt: skip
        if problem is None:
            problem = f"{first['msg']}, got {printable(first['input'], 60)!r}"
        raise InputError(problem, path=path, record=f"field {where!r}") from error
    check(spec, path)
    return spec


def _read(source: Path | Traversable) -> JudgeSpec:
    shown = str(source)
    if isinstance(source, Path):
        with open_file(source) as handle:
            raw = handle.read(_LARGEST + 1)
    else:
        raw = source.read_bytes()
    if len(raw) > _LARGEST:
        raise InputError(f"a judge of more than {_LARGEST} bytes", path=shown)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: byte {error.start}", path=shown) from error
    return parse_judge(text, shown)


def judge_names() -> tuple[str, ...]:
    """Return the names of the judges that are installed, ours and others', sorted."""
    return tuple(plugins("judges"))


def load_judge(name: str | Path) -> JudgeSpec:
    """Return a judge by name, or from its TOML file.

    Args:
        name: An installed judge (``auditkit judges list``), or a path: anything with a slash or ending in ``.toml``.

    Raises:
        InputError: The file cannot be used.
        UsageError: No judge of that name is installed; those that are, are listed.
    """
    if isinstance(name, Path) or "/" in name or name.endswith(".toml"):
        return _read(Path(name))
    plugin = find("judges", name)
    made: object = plugin.load()
    if callable(made):
        made = made()
    if isinstance(made, JudgeSpec):
        from auditkit.judging.check import check

        check(made, f"judge {name}")
        return made
    if not isinstance(made, Path | Traversable):
        raise UsageError(
            f"judge {name!r} of {plugin.distribution} is {type(made).__name__}: neither a judge nor a file"
        )
    return _read(made)


# --- writing --------------------------------------------------------------------------------------------------------


def _line(text: str) -> str:
    # JSON's escapes are TOML's; what steers a terminal or reorders a line has one too, which JSON leaves as it is.
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in quoted)


def _escaped(c: str) -> str:
    return f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"


def _string(text: str) -> str:
    if "\n" not in text:
        return _line(text)
    lines = [_line(line)[1:-1] for line in text.split("\n")]
    return '"""\n' + "\n".join(lines) + '"""'


def _value(value: Json) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        inner = ", ".join(f"{_line(k)} = {_value(v)}" for k, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(_value(v) for v in value)}]"
    raise TypeError(f"TOML has no {type(value).__name__}")


def to_toml(spec: JudgeSpec) -> str:
    """Return the judge as TOML text that `parse_judge` reads back as an equal judge; defaults are left out."""
    blank = JudgeSpec(spec.name, spec.title, spec.source, spec.mode, spec.verdict, spec.templates)
    lines = [f"schema = {_string(SCHEMA)}"]
    tables: list[str] = []
    for key, value in asdict(spec).items():
        if key in ("templates", "verdict", "items") or (
            key not in ("name", "title", "source", "mode") and getattr(spec, key) == getattr(blank, key)
        ):
            continue
        if isinstance(value, dict):
            tables += ["", f"[{key}]", *(f"{_line(k)} = {_value(v)}" for k, v in value.items() if v is not None)]
        else:
            lines.append(f"{key} = {_value(value)}")
    verdict = asdict(spec.verdict)
    labels = verdict.pop("labels")
    plain = Verdict(spec.verdict.parser)
    tables += ["", "[verdict]"]
    tables += [
        f"{k} = {_value(v)}"
        for k, v in verdict.items()
        if k == "parser" or getattr(spec.verdict, k) != getattr(plain, k)
    ]
    if labels:
        tables += ["", "[verdict.labels]", *(f"{_line(k)} = {_value(v)}" for k, v in labels.items())]
    for item in spec.items:
        tables += ["", "[[items]]", *(f"{k} = {_value(v)}" for k, v in asdict(item).items())]
    for template in spec.templates:
        tables += ["", "[[templates]]"]
        if template.turns is not None:
            tables.append(f"turns = {_string(template.turns)}")
        if template.reference:
            tables.append("reference = true")
        if template.categories:
            tables.append(f"categories = {_value(list(template.categories))}")
        for message in template.messages:
            tables += [
                "",
                "[[templates.messages]]",
                f"role = {_string(message.role)}",
                f"text = {_string(message.text)}",
            ]
    return "\n".join([*lines, *tables]) + "\n"
