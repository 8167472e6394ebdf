"""Two judges on the same games: how often they agree, which is right more often, and whom each of them favours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.audit import created
from auditkit.controls.slices import slices_of
from auditkit.errors import NoData, UsageError, printable
from auditkit.records import Battles, Settings
from auditkit.reports.comparison import SCHEMA, Comparison, Counts, Difference, Outcome, PromptPair, excerpt
from auditkit.reports.stress_conclusions import compared
from auditkit.stats.agreement import agreement
from auditkit.stats.multiplicity import holm
from auditkit.stats.uplift import paired_uplift, two_sided_p

__all__ = ["TIE", "compare_judges", "corrected", "counts_of", "furthest"]

Floats = NDArray[np.float64]

MOST_SLICES: Final = 16
MOST_MODELS: Final = 40
MOST_PROMPTS: Final = 6
_NAMED: Final = 8
TIE: Final = 1e-9
_KEY: Final = ["prompt_id", "model", "opponent", "order", "turn", "one", "two"]


def compare_judges(
    battles: Battles, a: str, b: str, settings: Settings | None = None, *, attacked: Sequence[Battles] = ()
) -> Comparison:
    """Compare two judges on the games that both judged: the same prompt, answers and order.

    Args:
        battles: A recording with games of both.
        a, b: The judges; every difference is A minus B, in points.
        settings: Level, replicates, seed.
        attacked: Recordings of attacks on either (`Battles.attacked`); where both judges met the same suite, what each
            attack gains is compared as a stress test does it (`reports.stress_conclusions.compared`).

    Returns:
        Agreement, and the differences in accuracy (where the right answer is known), in consistency over both orders, in
        preference for the first answer, by category and by model. Rows of one kind are corrected by Holm.

    Raises:
        UsageError: A judge is not recorded, or both are the same.
        NoData: They share no game with two verdicts.
    """
    settings = settings or Settings()
    known = sorted({*battles.games["judge"], *battles.ratings["judge"]} - {""})
    for name in (a, b):
        if name not in known:
            shown = ", ".join(printable(k, 60) for k in known[:_NAMED]) or "none"
            raise UsageError(f"no judge {printable(name, 60)!r} is recorded; there are: {shown}")
    if a == b:
        raise UsageError("a judge compared with itself: name two")
    shared, left_out = _shared(battles, a, b)
    prompts = pd.factorize(shared["prompt_id"])[0]
    found = agreement(
        shared["named_a"], shared["named_b"], prompts, settings.rng("judges"), replicates=settings.replicates,
        level=settings.level,
    )  # fmt: skip
    rows = [
        Difference(
            "agreement", "measure", 100 * found.share, (100 * found.ci[0], 100 * found.ci[1]), found.prompts,
            method=f"{found.n} games with the same verdict (A wins, B wins, tie); interval clustered by prompt",
        ),
        Difference(
            "kappa", "measure", found.kappa, found.kappa_ci, found.prompts,
            method="Cohen's kappa: 0 is chance, 1 full agreement; interval: prompt bootstrap",
            note="" if found.kappa is not None else "both judges always give one verdict",
        ),
    ]  # fmt: skip
    gold = shared[shared["gold"].notna()]
    accuracy = _paired("accuracy", "measure", _right(gold, "a"), _right(gold, "b"), gold["prompt_id"], settings)
    tested = [
        accuracy
        if len(gold)
        else Difference("accuracy", "measure", None, note="not measured: no right answer is known"),
        _consistency(shared, settings),
        _first(shared, settings),
    ]
    headline = corrected(tested)[0]
    slices, cut_off = _slices(battles, shared, gold, settings)
    outcome, sentence = _decided(a, b, headline, rows[0])
    by_prompt = shared.groupby("prompt_id", sort=True)[["outcome_a", "outcome_b"]].mean()
    apart = (by_prompt["outcome_a"] - by_prompt["outcome_b"]).to_numpy()
    right = _right_by_prompt(gold)
    gap = apart if right is None else right
    return Comparison(
        schema=SCHEMA,
        subject="judges",
        auditkit=version("judge-auditkit"),
        created=created(),
        seed=settings.seed,
        level=settings.level,
        replicates=settings.replicates,
        benchmark=battles.benchmark.name,
        judge="",
        a=a,
        b=b,
        outcome=outcome,
        sentence=sentence,
        unit="accuracy",
        design="same_games",
        n=found.prompts,
        left_out=left_out,
        counts=counts_of(gap),
        headline=headline,
        rows=(*rows, *corrected(tested)),
        slices=slices,
        slices_left_out=cut_off,
        attacks=_attacks(attacked, a, b, settings),
        prompts=_prompts(battles, shared, apart, by_prompt),
        simulated=battles.benchmark.simulated,
        inputs=battles.inputs,
    )


def corrected(rows: Sequence[Difference]) -> list[Difference]:
    """Return the rows with p-values adjusted by Holm over all that have one."""
    adjusted = iter(np.asarray(holm([r.p_value for r in rows if r.p_value is not None])).tolist())
    return [r if r.p_value is None else replace(r, adjusted_p=next(adjusted)) for r in rows]


def counts_of(gap: Floats) -> Counts:
    """Return on how many prompts A did better, as well, and worse than B, from A minus B by prompt (n,)."""
    return Counts(int((gap > TIE).sum()), int((np.abs(gap) <= TIE).sum()), int((gap < -TIE).sum()))


def furthest(gap: Floats) -> list[int]:
    """Return the prompts with the largest differences, for A first and then for B, from A minus B by prompt (n,)."""
    best = [i for i in np.argsort(-gap, kind="stable")[:MOST_PROMPTS] if gap[i] > TIE]
    worst = [i for i in np.argsort(gap, kind="stable")[:MOST_PROMPTS] if gap[i] < -TIE]
    return [int(i) for i in (*best, *worst)]


def _shared(battles: Battles, a: str, b: str) -> tuple[pd.DataFrame, int]:
    """Return the games that both judged, one row each, and how many only one did (or gave no verdict on).

    Games are matched by their answers' texts, since two recordings number the same answers differently.
    """
    games = battles.games[(battles.games["variant"] == "") & battles.games["judge"].isin([a, b])]
    texts = pd.concat([battles.answers["text"], pd.Series([""], index=[-1], dtype="str")])
    code = pd.Series(pd.factorize(texts)[0], index=texts.index)
    table = games.assign(one=games["answer"].map(code), two=games["opponent_answer"].map(code))
    sides = []
    for name, suffix in ((a, "a"), (b, "b")):
        own = table[table["judge"] == name].groupby(_KEY, sort=False)[["outcome", "gold"]].mean()
        sides.append(
            own.dropna(subset="outcome").rename(columns={"outcome": f"outcome_{suffix}", "gold": f"gold_{suffix}"})
        )
    both = sides[0].join(sides[1], how="inner").reset_index()
    if not len(both):
        raise NoData(f"{printable(a, 60)} and {printable(b, 60)} share no game with a verdict of both")
    both["gold"] = both["gold_a"].fillna(both["gold_b"])
    for side in "ab":
        both[f"named_{side}"] = 0.5 + 0.5 * np.sign(both[f"outcome_{side}"] - 0.5)
    return both, len(sides[0]) + len(sides[1]) - 2 * len(both)


def _right(games: pd.DataFrame, side: str) -> Floats:
    """Return whether each verdict names the right answer (1 or 0); a tie does not."""
    return np.asarray(games[f"named_{side}"] == games["gold"], dtype=np.float64)


def _paired(name: str, kind: str, a: Floats, b: Floats, prompts: pd.Series, settings: Settings) -> Difference:
    """Return the difference of two shares, paired by prompt."""
    means = pd.DataFrame({"a": a, "b": b}).groupby(prompts.to_numpy(), sort=True).mean()
    if len(means) < 2:
        return Difference(name, kind, None, n=len(means), note="not measured: fewer than two shared prompts")
    gap = (means["a"] - means["b"]).to_numpy()
    found = paired_uplift(gap, settings.level, replicates=settings.replicates, seed=settings.seed)
    return Difference(
        name, kind, 100 * found.estimate, (100 * found.ci[0], 100 * found.ci[1]), len(means), 100 * float(means["a"].mean()),
        100 * float(means["b"].mean()), p_value=two_sided_p(gap, replicates=settings.replicates, seed=settings.seed),
        method="mean paired difference by prompt; interval: "
        + ("studentised prompt bootstrap" if found.method == "max_t" else "betting (few prompts)"),
    )  # fmt: skip


def _consistency(shared: pd.DataFrame, settings: Settings) -> Difference:
    key = ["prompt_id", "model", "opponent", "turn", "one", "two"]
    orders = [
        shared[shared["order"] == o].set_index(key)[["named_a", "named_b"]] for o in ("model_first", "model_second")
    ]
    both = orders[0].add_suffix("_1").join(orders[1].add_suffix("_2"), how="inner").reset_index()
    if not len(both):
        return Difference("consistency", "measure", None, note="not measured: no pair was judged in both orders")
    same = [np.asarray(both[f"named_{s}_1"] == both[f"named_{s}_2"], dtype=np.float64) for s in "ab"]
    return _paired("consistency", "measure", same[0], same[1], both["prompt_id"], settings)


def _first(shared: pd.DataFrame, settings: Settings) -> Difference:
    """Compare how often each prefers the answer shown first; 50 is even where both orders were played."""
    known = shared[shared["order"] != "unknown"]
    if not len(known):
        return Difference(
            "first_preference", "measure", None, note="not measured: the order of the answers is not recorded"
        )
    turn = (known["order"] == "model_second").to_numpy()
    first = [np.where(turn, 1.0 - known[f"named_{s}"], known[f"named_{s}"]) for s in "ab"]
    return _paired("first_preference", "measure", first[0], first[1], known["prompt_id"], settings)


def _slices(
    battles: Battles, shared: pd.DataFrame, gold: pd.DataFrame, settings: Settings
) -> tuple[tuple[Difference, ...], int]:
    """Return the differences by category and language (accuracy) and, of submissions, by model (score)."""
    found, left_out = slices_of(battles, MOST_SLICES) if len(gold) else ((), 0)
    rows = []
    for one in found:
        own = gold[gold["prompt_id"].isin(one.prompts)]
        rows.append(_paired(one.value, one.kind, _right(own, "a"), _right(own, "b"), own["prompt_id"], settings))
    models = battles.models if battles.benchmark.subject == "submissions" else ()
    for model in models[:MOST_MODELS]:
        own = shared[shared["model"] == model]
        if len(own):
            a, b = (own[f"outcome_{s}"].to_numpy(dtype=np.float64) for s in "ab")
            rows.append(_paired(model, "model", a, b, own["prompt_id"], settings))
    return tuple(corrected(rows)), left_out + max(len(models) - MOST_MODELS, 0)


def _attacks(attacked: Sequence[Battles], a: str, b: str, settings: Settings) -> tuple[Difference, ...]:
    """Return what each attack gains with A minus with B, where both judges met a suite."""
    by_judge = {judge: part for part in attacked for judge in set(part.games["judge"])}
    if a not in by_judge or b not in by_judge or by_judge[a] is by_judge[b]:
        return ()
    rows = compared(by_judge[b], by_judge[a], settings).rows  # it subtracts its first from its second
    return tuple(
        Difference(
            r.label, "attack", r.difference, r.ci, r.n, r.b, r.a, p_value=r.p_value, adjusted_p=r.adjusted_p,
            note="" if r.difference is not None else r.sentence,
        )
        for r in rows if r.name != "accuracy"
    )  # fmt: skip


def _decided(a: str, b: str, accuracy: Difference, agreed: Difference) -> tuple[Outcome, str]:
    names = [printable(name, 60) for name in (a, b)]
    share = f"they give the same verdict in {agreed.estimate:.1f}% of the shared games"
    if accuracy.estimate is None or accuracy.ci is None or accuracy.adjusted_p is None:
        return (
            "not_separable",
            f"{names[0]} and {names[1]}: {share}; no right answer is known, so neither is called better.",
        )
    span = f"{accuracy.estimate:+.1f} [{accuracy.ci[0]:+.1f}, {accuracy.ci[1]:+.1f}] points of accuracy on {accuracy.n} prompts"
    if accuracy.ci[0] <= 0.0 <= accuracy.ci[1]:
        return (
            "not_separable",
            f"{names[0]} against {names[1]}: {span}: this cannot be told from no difference; {share}.",
        )
    better = accuracy.estimate > 0
    return (
        "a" if better else "b"
    ), f"{names[0] if better else names[1]} is right more often: {names[0]} against {names[1]} {span}; {share}."


def _right_by_prompt(gold: pd.DataFrame) -> Floats | None:
    if not len(gold):
        return None
    gap = pd.Series(_right(gold, "a") - _right(gold, "b")).groupby(gold["prompt_id"].to_numpy(), sort=True).mean()
    return np.asarray(gap.to_numpy(dtype=np.float64))


def _prompts(battles: Battles, shared: pd.DataFrame, apart: Floats, by_prompt: pd.DataFrame) -> tuple[PromptPair, ...]:
    """Return the prompts on which the verdicts are furthest apart."""
    texts = battles.prompts.drop_duplicates("prompt_id").set_index("prompt_id")
    code = battles.answers["text"]
    first = shared.drop_duplicates("prompt_id").set_index("prompt_id")
    letters = dict(enumerate(pd.factorize(pd.concat([code, pd.Series([""], dtype="str")]))[1]))
    found = []
    for i in furthest(apart):
        key = str(by_prompt.index[i])
        text, category = (str(texts.at[key, c]) if key in texts.index else "" for c in ("text", "category"))
        a, b = (100 * float(v) for v in by_prompt.iloc[i])
        own = [excerpt(letters.get(int(first.at[key, c]), "")) for c in ("one", "two")]
        found.append(PromptPair(printable(key, 80), printable(category, 60), excerpt(text), a, b, *own))
    return tuple(found)
