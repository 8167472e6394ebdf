"""Read other projects' judges from the user's clone: Arena-Hard, AlpacaEval, FastChat (MT-Bench), WildBench.

``compat=True`` keeps their rendering, parser and order, quirks included. ``compat=False`` keeps their words and
labels and replaces the machinery by ours: one-pass rendering, delimiters that values cannot imitate, the verdict
from the final line. Nothing of a clone is ever executed: YAML is read by the safe loader, Python by `ast`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from auditkit.errors import InputError, UsageError, printable
from auditkit.formats._arena_hard import BASELINES, FIRST, LABELS
from auditkit.formats._io import open_file, read_jsonl, text_of
from auditkit.judging.check import PARAMS
from auditkit.judging.hardening import FIVE, hardened
from auditkit.judging.spec import JudgeSpec, Label, MessageTemplate, Template, Verdict, load_judge, validate

__all__ = ["KINDS", "Kind", "import_judge"]

Kind = Literal["alpaca_eval", "arena_hard", "fastchat", "wildbench"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_LARGEST: Final = 4 << 20
_DEEPEST: Final = 50
_SHOWN: Final = 40
_AH_SETTINGS: Final = Path("utils/judge_utils.py")
#: The turn that Arena-Hard v0.1 appends after a reply without a label asks to go on and give one.
_AH_RETRY: Final = "continue your judgment and finish by outputting a final verdict label"
_REFERENCE_CATEGORIES: Final = ("math", "reasoning", "coding", "arena-hard-200")


def import_judge(
    path: Path | str,
    kind: Kind | None = None,
    *,
    name: str | None = None,
    compat: bool = True,
    settings: Path | str | None = None,
) -> JudgeSpec:
    """Read a judge from another project's file.

    Args:
        path: Arena-Hard's ``config/*.yaml``, an AlpacaEval evaluator folder or its ``configs.yaml``, FastChat's
            ``judge_prompts.jsonl``, or WildBench's ``eval_template.*.md``.
        kind: The project; None: told from the file.
        name: Which prompt of a file that holds several; FastChat also knows the families ``pair`` and ``single``,
            which take the prompt for each kind of question as upstream does.
        compat: Keep upstream's rendering, parser and order, quirks included.
        settings: Arena-Hard v2.0 keeps its system prompts in code: the clone's ``utils/judge_utils.py``; looked for
            beside the configuration if not given.

    Returns:
        The judge; its `notes` say what the file did not hold.

    Raises:
        InputError: The file cannot be used.
        UsageError: `name` or `settings` does not go with the file.
    """
    place = Path(path)
    kind = kind or _recognised(place)
    if settings is not None and kind != "arena_hard":
        raise UsageError("settings are for Arena-Hard v2.0 only")
    if name is not None and kind in ("arena_hard", "wildbench"):
        raise UsageError(f"a file of kind {kind} holds one judge: there is no name to choose")
    match kind:
        case "arena_hard":
            spec = _arena_hard(place, Path(settings) if settings is not None else None)
        case "alpaca_eval":
            spec = _alpaca_eval(place, name)
        case "fastchat":
            spec = _fastchat(place, name)
        case "wildbench":
            spec = _wildbench(place)
    return validate(asdict(spec if compat else hardened(spec)), place)


def _recognised(path: Path) -> Kind:
    if path.is_dir():
        return "alpaca_eval"
    match path.suffix.lower():
        case ".yaml" | ".yml":
            return "arena_hard" if isinstance(_yaml(path).get("prompt_template"), str | list) else "alpaca_eval"
        case ".jsonl":
            return "fastchat"
        case ".md":
            return "wildbench"
    raise InputError(
        "not a judge file of a known project", path=path, mend=f"name the project with --kind: {', '.join(KINDS)}"
    )


# --- reading --------------------------------------------------------------------------------------------------------


def _text(path: Path) -> str:
    with open_file(path) as handle:
        raw = handle.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise InputError(f"a judge file of more than {_LARGEST} bytes", path=path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: byte {error.start}", path=path) from error


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    text = _text(path)
    try:
        _refuse_expanding(text, path)
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"not YAML: {' '.join(str(error).split())}", path=path) from error
    if not isinstance(value, dict):
        raise InputError("expected keys and values", path=path)
    return value


def _refuse_expanding(text: str, path: Path) -> None:
    """Raise where a small file would expand without end, or cost the square of its depth; no judge file does either."""
    import yaml

    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AliasToken):
            raise InputError("aliases have no place in a judge file", path=path)
        depth += isinstance(token, yaml.FlowSequenceStartToken | yaml.FlowMappingStartToken)
        depth -= isinstance(token, yaml.FlowSequenceEndToken | yaml.FlowMappingEndToken)
        if depth > _DEEPEST:
            raise InputError("nested too deeply", path=path)


def _field(
    document: Mapping[str, Any], key: str, types: type | tuple[type, ...], path: Path, default: Any = ...
) -> Any:
    value = document.get(key, default)
    if value is ...:
        raise InputError(f"field {key!r} is missing", path=path)
    if value is not default and (not isinstance(value, types) or (isinstance(value, bool) and types is not bool)):
        raise InputError(f"field {key!r} cannot be {printable(value, 60)!r}", path=path)
    return value


def _named(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-._+")[:70] or "judge"


# --- Arena-Hard -----------------------------------------------------------------------------------------------------


def _arena_hard(path: Path, settings: Path | None) -> JudgeSpec:
    config = _yaml(path)
    texts = _field(config, "prompt_template", (str, list), path)
    params = {
        "temperature": float(_field(config, "temperature", (int, float), path)),
        "max_tokens": _field(config, "max_tokens", int, path),
    }
    bench = _field(config, "bench_name", str, path, path.stem)
    common: dict[str, Any] = {
        "name": _named(bench), "mode": "pairwise", "params": params, "first_game": "model_second",
        "model": _field(config, "judge_model", str, path, ""), "rendering": "str_format",
    }  # fmt: skip
    if isinstance(texts, list):
        return _arena_hard_v01(path, config, texts, common)
    return _arena_hard_v2(path, config, texts, common, settings)


def _arena_hard_v01(path: Path, config: Mapping[str, Any], texts: Sequence[Any], common: dict[str, Any]) -> JudgeSpec:
    if not texts or not all(isinstance(text, str) for text in texts):
        raise InputError("field 'prompt_template': expected a list of texts", path=path)
    if _field(config, "pairwise", bool, path, True) is not True:
        raise InputError("field 'pairwise': only pairwise judges can be imported", path=path)
    attempts = _field(config, "number_of_judgment_attempts", int, path, 1)
    baseline = _field(config, "baseline_model", str, path, "")
    system = MessageTemplate("system", _field(config, "system_prompt", str, path))
    return JudgeSpec(
        title=f"Arena-Hard v0.1 judge from {printable(path.name, 60)}",
        source="Imported from an Arena-Hard-Auto v0.1 configuration",
        verdict=Verdict(
            "ah_v01",
            {label: Label(*LABELS[label]) for label in FIVE},
            patterns=(_field(config, "regex_pattern", str, path),),
        ),
        templates=(Template((system, *(MessageTemplate("user", text) for text in texts))),),
        retries=attempts - 1,
        retry_text=_AH_RETRY if attempts > 1 else "",
        missing="drop_game",
        baselines={FIRST if common["name"] == FIRST else "*": baseline} if baseline else {},
        **common,
    )


def _arena_hard_v2(
    path: Path, config: Mapping[str, Any], text: str, common: dict[str, Any], settings: Path | None
) -> JudgeSpec:
    patterns = _field(config, "regex_patterns", list, path)
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise InputError("field 'regex_patterns': expected a list of texts", path=path)
    user = MessageTemplate("user", text)
    if settings is None:
        beside = path.parent.parent / _AH_SETTINGS
        settings = beside if beside.is_file() else None
    notes: tuple[str, ...] = ()
    if settings is None:
        templates: tuple[Template, ...] = (Template((user,)),)
        baselines: dict[str, str] = {k: v for k, v in BASELINES.items() if k != FIRST}
        notes = (
            f"without its system prompts, which upstream keeps in code: give the clone's {_AH_SETTINGS} with --settings",
        )
    else:
        found = _judge_settings(settings)
        by_prompt: dict[str, list[str]] = {}
        for category, entry in found.items():
            by_prompt.setdefault(entry["system_prompt"], []).append(category)
        templates = tuple(
            Template((MessageTemplate("system", system), user), categories=tuple(categories))
            for system, categories in by_prompt.items()
        )
        baselines = {category: entry["baseline"] for category, entry in found.items()}
    return JudgeSpec(
        title=f"Arena-Hard v2.0 judge from {printable(path.name, 60)}",
        source="Imported from an Arena-Hard-Auto v2.0 configuration",
        verdict=Verdict(
            "ah_v2", {label: Label(*meaning) for label, meaning in LABELS.items()}, patterns=tuple(patterns)
        ),
        templates=templates,
        retries=0,
        missing="drop_pair",
        baselines=baselines,
        notes=notes,
        **common,
    )


def _judge_settings(path: Path) -> dict[str, dict[str, str]]:
    """Read ``JUDGE_SETTINGS`` from source text: literals, and names of texts that are assigned above it."""
    try:
        tree = ast.parse(_text(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"not Python: {error}", path=path) from error
    texts: dict[str, str] = {}
    found: dict[str, dict[str, str]] = {}

    def text(node: ast.expr | None) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Name) and node.id in texts:
            return texts[node.id]
        line = getattr(node, "lineno", 0)
        raise InputError("expected a text, or the name of one", path=path, record=f"line {line}")

    for statement in tree.body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            continue
        target, value = statement.targets[0].id, statement.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            texts[target] = value.value
        elif target == "JUDGE_SETTINGS" and isinstance(value, ast.Dict):
            for key, entry in zip(value.keys, value.values, strict=True):
                if not isinstance(entry, ast.Dict):
                    raise InputError("expected settings by category", path=path, record=f"line {entry.lineno}")
                fields = {text(k): text(v) for k, v in zip(entry.keys, entry.values, strict=True)}
                if not {"baseline", "system_prompt"} <= fields.keys():
                    raise InputError("expected baseline and system_prompt", path=path, record=f"line {entry.lineno}")
                found[text(key)] = fields
    if not found:
        raise InputError("holds no JUDGE_SETTINGS", path=path, mend="point to Arena-Hard v2.0's utils/judge_utils.py")
    return found


# --- AlpacaEval -----------------------------------------------------------------------------------------------------


def _alpaca_eval(path: Path, name: str | None) -> JudgeSpec:
    path = path / "configs.yaml" if path.is_dir() else path
    configs = _yaml(path)
    if name is None and len(configs) > 1:
        raise InputError("holds several evaluators", path=path, mend=f"choose with --name: {_listed(configs)}")
    name = name or next(iter(configs), "")
    config = configs.get(name)
    if not isinstance(config, dict):
        raise InputError(f"no evaluator {printable(name)!r}; there are: {_listed(configs)}", path=path)
    if _field(config, "batch_size", int, path, 1) != 1:
        raise InputError("field 'batch_size': only 1 can be imported", path=path)
    # Upstream keeps prompts relative to the folder of all evaluators.
    root = path.resolve().parent.parent
    prompt = (root / _field(config, "prompt_template", str, path)).resolve()
    if not prompt.is_relative_to(root):
        raise InputError("field 'prompt_template' leads out of the folder of evaluators", path=path)
    given = dict(_field(config, "completions_kwargs", dict, path))
    model = given.pop("model_name", "")
    left = sorted(key for key in given if key not in PARAMS)
    return JudgeSpec(
        name=_named(name),
        title=f"AlpacaEval evaluator {printable(name, 60)}",
        source="Imported from an AlpacaEval evaluator configuration",
        mode="pairwise",
        verdict=_alpaca_verdict(config, path),
        templates=(Template((MessageTemplate("user", _text(prompt)),)),),
        model=model if isinstance(model, str) else "",
        params={key: value for key, value in given.items() if key in PARAMS},
        order="alpaca_slot",
        retries=0,
        missing="drop_game",
        identical_is_tie=True,
        rendering="alpaca_eval",
        notes=(f"without parameters of upstream's client: {', '.join(left)}",) if left else (),
    )


def _alpaca_verdict(config: Mapping[str, Any], path: Path) -> Verdict:
    parser = _field(config, "fn_completion_parser", str, path)
    options = _field(config, "completion_parser_kwargs", dict, path, {})
    if parser == "logprob_parser":
        first, tokens = options.get("numerator_token"), options.get("denominator_tokens")
        if not isinstance(first, str) or not isinstance(tokens, list) or first not in tokens or len(tokens) != 2:
            raise InputError("field 'completion_parser_kwargs': expected two tokens, one the numerator", path=path)
        labels = {first: Label(1.0), **{str(token): Label(0.0) for token in tokens if token != first}}
        return Verdict("ae_logprob", labels, binarize=_field(options, "is_binarize", bool, path, True))
    steps = options.get("parsers_to_kwargs") if parser == "pipeline_meta_parser" else None
    if isinstance(steps, dict) and list(steps) == ["json_parser", "ranking_parser"]:
        field, first = (
            steps["json_parser"].get("annotation_key"),
            steps["ranking_parser"].get("model_1_name", "model_1"),
        )
        if isinstance(field, str) and isinstance(first, str):
            second = {"m": "M", "model_1": "model_2"}.get(first, f"not {first}")
            return Verdict("ae_ranking", {first: Label(1.0), second: Label(0.0)}, field=field)
    raise InputError(
        f"field 'fn_completion_parser': {printable(parser)!r} as it is set here cannot be imported", path=path,
        mend="logprob_parser, and pipeline_meta_parser of json_parser and ranking_parser, can",
    )  # fmt: skip


def _listed(names: Mapping[str, object] | Sequence[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(printable(name, 60) for name in list(names)[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


# --- FastChat -------------------------------------------------------------------------------------------------------


def _fastchat(path: Path, name: str | None) -> JudgeSpec:
    prompts: dict[str, dict[str, object]] = {}
    for number, record in read_jsonl(path):
        where = f"line {number}"
        for key in ("name", "type", "system_prompt", "prompt_template", "output_format"):
            text_of(record, key, path=path, where=where)
        prompts[str(record["name"])] = record
    families = {
        family: tuple(f"{base}{turns}" for turns in ("", "-multi-turn") for base in bases)
        for family, bases in (("pair", ("pair-math-v1", "pair-v2")), ("single", ("single-math-v1", "single-v1")))
    }
    known = [family for family, members in families.items() if all(member in prompts for member in members)]
    if name is None:
        raise InputError(
            "holds several prompts", path=path, mend=f"choose with --name: {_listed(known)} (all of a kind); {_listed(prompts)}"
        )  # fmt: skip
    if name in prompts:
        chosen = [(name, False)]
    elif name in known:
        chosen = [(member, "math" in member) for member in families[name]]
    else:
        raise InputError(f"no prompt {printable(name)!r}; there are: {_listed([*known, *prompts])}", path=path)
    first = prompts[chosen[0][0]]
    pairwise = first["type"] == "pairwise"
    formats = {"[[A]]": "mt_pair"} if pairwise else {"[[rating]]": "mt_single"}
    templates = []
    for member, with_reference in chosen:
        record = prompts[member]
        if record["output_format"] not in formats:
            raise InputError(f"output format {printable(record['output_format'])!r} cannot be imported", path=path)
        system, user = str(record["system_prompt"]), str(record["prompt_template"])
        messages = [MessageTemplate("system", system)] if system else []
        messages.append(MessageTemplate("user", user))
        shows = "{ref_answer_1}" in user
        many = "{question_1}" in user
        templates.append(Template(tuple(messages), "many" if many else "one", with_reference or shows))
    verdict = (
        Verdict("mt_pair", {"A": Label(1.0), "C": Label(0.5), "B": Label(0.0)})
        if pairwise
        else Verdict("mt_single", scale=(1.0, 10.0))
    )
    return JudgeSpec(
        name=_named(f"mt-bench-{name}"),
        title=f"MT-Bench judge {printable(name, 60)}",
        source="Imported from FastChat's judge prompts",
        mode="pairwise" if pairwise else "single",
        verdict=verdict,
        templates=tuple(templates),
        model="gpt-4",
        params={"temperature": 0.0, "max_tokens": 2048},
        turns="each" if name in known else "last",
        retries=0,
        missing="drop_pair" if pairwise else "drop_game",
        baselines={"*": "gpt-3.5-turbo"} if pairwise else {},
        reference_categories=_REFERENCE_CATEGORIES if name in known else (),
        rendering="str_format",
    )


# --- WildBench ------------------------------------------------------------------------------------------------------


def _wildbench(path: Path) -> JudgeSpec:
    text = _text(path)
    pairwise = "{$candidate_A}" in text
    if not pairwise and "{$model_output}" not in text:
        raise InputError("shows neither {$candidate_A} nor {$model_output}", path=path)
    ours = load_judge("wildbench-reward" if pairwise else "wildbench-score")
    return JudgeSpec(
        name=_named(f"wildbench-{path.stem}"),
        title=f"WildBench judge from {printable(path.name, 60)}",
        source="Imported from a WildBench evaluation template",
        mode=ours.mode,
        verdict=replace(ours.verdict, parser="wb_json"),
        templates=(Template((MessageTemplate("user", text),)),),
        model=ours.model,
        params=ours.params,
        order="seeded" if pairwise else "both",
        seed=42 if pairwise else 0,
        retries=0,
        missing="drop_game",
        empty_loses=True,
        words=ours.words,
        rendering="wildbench",
    )
