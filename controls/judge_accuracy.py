"""How often a judge is right on pairs with a known answer: in each order, over both, and with itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.controls.design import clip
from auditkit.records import Battles, Findings, Score, Settings
from auditkit.stats.intervals import clopper_pearson, cluster_mean, wilson

__all__ = ["judge_accuracy"]

CONTROL = "judge_accuracy"
_ORDERS = {"model_first": "first", "model_second": "second"}
_PAIR = ["prompt_id", "answer", "opponent_answer"]

Bools = NDArray[np.bool_]
Codes = NDArray[np.intp]


def judge_accuracy(battles: Battles, settings: Settings | None = None) -> Findings:
    """Compute a judge's accuracy on pairs with a known answer, in each order and over both.

    A verdict is right if it names the right answer (a probability names the likelier one): a tie and an unparsed verdict are not right (the published rule
    of both benchmarks; the note bounds what the unparsed ones could change). By judge, in percent:

    * ``judge_accuracy``: mean over both orders (LLMBar's ``correct_average``);
    * ``judge_accuracy_model_first``, ``…_model_second``: in one order (``correct_False``, ``correct_True``);
    * ``judge_accuracy_both_orders``: right in both orders (``correct_both``);
    * ``judge_accuracy_net``: over both orders more right than wrong verdicts (JudgeBench's accuracy: right once and
      tied once is right, right once and wrong once is not);
    * ``judge_agreement``: the same parsed verdict in both orders (LLMBar's ``equal``).

    Rows over both orders take the pairs that were judged in both. The unit of resampling is the prompt.

    Args:
        battles: A recording of judges (`Benchmark.subject` "judge") whose games have `gold`.
        settings: Confidence level; None: the defaults.

    Returns:
        Scores whose `model` is the judge; nothing for a recording of submissions.

    Source: Zeng et al., arXiv:2310.07641 (LLMBar); Tan et al., arXiv:2410.12784 (JudgeBench), ``utils/metrics.py``.
    """
    settings = settings or Settings()
    if battles.benchmark.subject != "judge":
        return Findings()
    games = battles.games[battles.games["gold"].notna() & (battles.games["variant"] == "")]
    scores: list[Score] = []
    for judge, own in games.groupby("judge", sort=True):
        scores += _scores(str(judge), own, settings.level)
    return Findings(scores=tuple(scores))


def _scores(judge: str, games: pd.DataFrame, level: float) -> list[Score]:
    prompt = pd.factorize(games["prompt_id"])[0]
    right = _right(games)
    unparsed = games["outcome"].isna().to_numpy()
    scores = [_score(judge, CONTROL, "mean over all verdicts", right, prompt, level, unparsed)]
    for order, word in _ORDERS.items():
        rows = (games["order"] == order).to_numpy()
        what = f"response_A shown {word}"
        scores.append(_score(judge, f"{CONTROL}_{order}", what, right[rows], prompt[rows], level, unparsed[rows]))
    pairs = _pairs(games, right, prompt)
    missing = pairs.unparsed
    both, net, same = pairs.right == 2, pairs.right > pairs.wrong, pairs.same
    scores += [
        _score(judge, f"{CONTROL}_both_orders", "right in both orders", both, pairs.prompt, level, missing),
        _score(judge, f"{CONTROL}_net", "more right than wrong over both orders", net, pairs.prompt, level, missing),
        _score(judge, "judge_agreement", "same verdict in both orders", same, pairs.prompt, level, missing),
    ]
    return scores


def _right(games: pd.DataFrame) -> Bools:
    return np.asarray(_named(games) == games["gold"].to_numpy())


def _named(games: pd.DataFrame) -> NDArray[np.float64]:
    """Return the answer that each verdict names: 1 or 0, 0.5 for a tie, NaN for none."""
    return np.asarray(0.5 + 0.5 * np.sign(games["outcome"].to_numpy() - 0.5))


@dataclass(frozen=True)
class _Pairs:
    """Pairs judged in both orders: number of right and of wrong verdicts, and whether the two are the same."""

    prompt: Codes
    right: NDArray[np.int64]
    wrong: NDArray[np.int64]
    same: Bools
    unparsed: Bools


def _pairs(games: pd.DataFrame, right: Bools, prompt: Codes) -> _Pairs:
    table = games.assign(right=right, wrong=_named(games) == 1 - games["gold"].to_numpy(), prompt=prompt)
    first, second = (table[table["order"] == order].drop_duplicates(_PAIR) for order in _ORDERS)
    both = first.merge(second, on=_PAIR, suffixes=("", "_2"))
    one, two = _named(both), _named(both[["outcome_2"]].rename(columns={"outcome_2": "outcome"}))
    return _Pairs(
        both["prompt"].to_numpy(),
        both["right"].to_numpy(np.int64) + both["right_2"].to_numpy(np.int64),
        both["wrong"].to_numpy(np.int64) + both["wrong_2"].to_numpy(np.int64),
        one == two,
        np.isnan(one) | np.isnan(two),
    )


def _score(judge: str, control: str, what: str, hits: Bools, prompt: Codes, level: float, unparsed: Bools) -> Score:
    n, k = len(hits), int(hits.sum())
    prompts = len(np.unique(prompt))
    if not n:
        return Score(judge, control, None, unit="accuracy", method=what, note="no pair was judged this way")
    share, se, ci = k / n, None, None
    if prompts == n:
        se, ci = math.sqrt(share * (1 - share) / n), wilson(k, n, level)
        how = "Wilson interval, one value a prompt"
    elif k in (0, n):
        ci = clopper_pearson(prompts if k else 0, prompts, level)
        how = f"exact interval of {prompts} prompts that all came out the same"
    elif prompts > 1:
        mean = cluster_mean(hits, prompt, level=level)
        se, ci = mean.se, mean.ci
        how = f"interval cluster-robust by prompt ({prompts} prompts)"
        if not se:  # every prompt came out half right: the sandwich knows no error, Wilson still does
            se, ci = None, wilson(share * prompts, prompts, level)
            how = f"Wilson interval over {prompts} prompts, which all came out the same"
    else:
        how = "no interval from one prompt"
    return Score(
        judge,
        control,
        100 * share,
        None if se is None else 100 * se,
        None if ci is None else clip((100 * ci[0], 100 * ci[1])),
        n=n,
        method=f"{what}; {how}",
        unit="accuracy",
        note=_note(hits, unparsed),
    )


def _note(hits: Bools, unparsed: Bools) -> str:
    """Return the count behind a score and, where verdicts are unparsed, how far they could lift it."""
    text = f"{int(hits.sum())} of {len(hits)}"
    if unparsed.any():
        most = 100 * (hits | unparsed).mean()
        text += f"; {int(unparsed.sum())} with an unparsed verdict; at most {most:.1f} had they been parsed"
    return text
