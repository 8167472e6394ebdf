"""Style controls: published definitions, known truth, refusals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from auditkit.controls.style import arena_hard_style, chatbot_arena_style, style_controlled
from auditkit.controls.style_features import overlap, ratio, standardise
from auditkit.formats import alpaca_eval
from auditkit.records import ANSWER_COLUMNS, GAME_COLUMNS, Battles, Benchmark, Score, Settings, frame
from auditkit.stats.star import collapse, fit_star
from auditkit.text import count_tokens, markdown_counts

Floats = NDArray[np.float64]
FEW = Settings(replicates=60)


def text(rng: np.random.Generator, style: float) -> str:
    """Make an answer; the larger `style`, the longer and the more marked up it is."""
    words = 20 + rng.poisson(30 * math.exp(style))
    lines = [" ".join(["word"] * 10)] * (words // 10)
    lines += ["## Part"] * int(rng.poisson(1 + math.exp(style)))
    lines += ["- item"] * int(rng.poisson(2 * math.exp(style)))
    lines += ["**strong** word"] * int(rng.poisson(1 + math.exp(style)))
    return "\n".join(lines)


def recording(
    seed: int,
    *,
    models: Sequence[str] = ("m", "n"),
    prompts: int = 120,
    slope: float = 0.0,
    skill: float = 0.0,
    version: str = "v2.0",
    fmt: str = "arena_hard",
    answers: bool = True,
) -> Battles:
    """Judge two games a prompt; log-odds are `skill` plus `slope` times the length ratio."""
    rng = np.random.default_rng(seed)
    texts: list[tuple[str, str, str]] = []
    games: dict[str, list[object]] = {name: [] for name in GAME_COLUMNS}
    base = {}
    for p in range(prompts):
        base[p] = len(texts)
        texts.append((f"p{p}", "base", text(rng, rng.normal(scale=0.5))))
    for k, model in enumerate(models):
        for p in range(prompts):
            at = len(texts)
            texts.append((f"p{p}", model, text(rng, 0.4 + rng.normal(scale=0.5))))
            own, other = len(texts[at][2]), len(texts[base[p]][2])
            chance = 1 / (1 + math.exp(-(skill - 0.3 * k + slope * (own - other) / (own + other + 1))))
            for order in ("model_second", "model_first"):
                won = rng.random() < chance
                strong = ">>" if rng.random() < 0.4 else ">"
                label = f"A{strong}B" if won == (order == "model_first") else f"B{strong}A"
                weight = 3.0 if strong == ">>" else 1.0
                row = (f"p{p}", model, "base", "j", order, label, float(won), weight, "", 1, math.nan, at, base[p])
                if not answers:
                    row = (*row[:-2], -1, -1)
                for name, value in zip(GAME_COLUMNS, row, strict=True):
                    games[name].append(value)
    columns = {name: [t[i] for t in texts] for i, name in enumerate(("prompt_id", "model", "text"))}
    kept = {name: columns.get(name, [1 if name == "turn" else ""] * len(texts)) for name in ANSWER_COLUMNS}
    return Battles.build(
        Benchmark("made up", version, fmt, frozenset({"base"})),
        games=frame(GAME_COLUMNS, games),
        answers=frame(ANSWER_COLUMNS, kept),
    )


def counts(battles: Battles, vocabulary: str) -> tuple[Floats, Floats]:
    """Return tokens, headers, lists and bold of both answers of every game, counted one by one."""
    rows = []
    for answer in battles.answers["text"]:
        marks = markdown_counts(answer)
        rows.append([int(count_tokens([answer], vocabulary)[0][0]), marks.headers, marks.lists, marks.bold])  # type: ignore[arg-type]
    table = np.array(rows, dtype=float)
    return table[battles.games["answer"]], table[battles.games["opponent_answer"]]


def by_model(scores: Sequence[Score], control: str) -> dict[str, Score]:
    """Return one control's scores."""
    return {s.model: s for s in scores if s.control == control}


def design(battles: Battles, Z: Floats, unit: float) -> Floats:
    """Return columns base, m, n (the model +unit, the baseline -unit) and the features."""
    D = np.zeros((len(Z), 3))
    D[:, 0] = -unit
    D[np.arange(len(Z)), 1 + (battles.games["model"] == "n").to_numpy().astype(int)] = unit
    return np.hstack([D, Z])


def test_v01_equals_scikit_learn_on_repeated_rows() -> None:
    """Each strong row three times, each label once, columns of ln 10, z-scores with ddof 0, C=1."""
    battles = recording(1, version="v0.1")
    own, other = counts(battles, "cl100k_base")
    copies = np.repeat(np.arange(len(own)), battles.games["weight"].to_numpy().astype(int))
    raw = ((own - other) / (own + other + 1))[copies]
    X = design(battles, np.zeros((len(own), 0)), math.log(10))[copies]
    X = np.hstack([X, (raw - raw.mean(axis=0)) / raw.std(axis=0)])
    y = battles.games["outcome"].to_numpy()[copies]
    lr = LogisticRegression(fit_intercept=False, C=1.0, tol=1e-12, max_iter=10_000).fit(
        np.vstack([X, X]), np.concatenate([y, y])
    )
    base, m, n = lr.coef_[0, :3]
    found = by_model(arena_hard_style(battles, FEW).scores, "arena_hard_style")
    assert found["m"].estimate == pytest.approx(100 / (1 + 10 ** (base - m)), abs=1e-4)
    assert found["n"].estimate == pytest.approx(100 / (1 + 10 ** (base - n)), abs=1e-4)


def _v20(battles: Battles) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Return the exploded rows of v2.0: design without the baseline's column, outcomes, and which game each is."""
    own, other = counts(battles, "o200k_base")
    copies = np.repeat(np.arange(len(own)), battles.games["weight"].to_numpy().astype(int))
    mine, theirs = own[:, 1:] / (own[:, :1] + 1), other[:, 1:] / (other[:, :1] + 1)
    length = (own[:, :1] - other[:, :1]) / (own[:, :1] + other[:, :1])
    raw = np.hstack([length, (mine - theirs) / (mine + theirs + 1)])[copies]
    X = design(battles, np.zeros((len(own), 0)), 1.0)[copies]
    return (
        np.hstack([X, (raw - raw.mean(axis=0)) / raw.std(axis=0, ddof=1)]),
        battles.games["outcome"].to_numpy()[copies],
        copies,
    )


def test_v20_equals_an_unpenalised_glm_on_exploded_rows() -> None:
    """Densities, z-scores with ddof 1, no ridge; the standard error is clustered by prompt."""
    battles = recording(2, slope=2.0)
    X, y, copies = _v20(battles)
    groups = battles.games["prompt_id"].str[1:].astype(int).to_numpy()[copies]
    glm = sm.GLM(y, X[:, 1:], family=sm.families.Binomial())
    oracle = glm.fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}, tol=1e-13)
    found = by_model(arena_hard_style(battles, FEW).scores, "arena_hard_style")
    for at, model in enumerate(("m", "n")):
        p = 1 / (1 + math.exp(-oracle.params[at]))
        assert found[model].estimate == pytest.approx(100 * p, abs=1e-7)
        assert found[model].se == pytest.approx(100 * p * (1 - p) * oracle.bse[at] * math.sqrt(120 / 119), rel=1e-6)


def _upstream(X: Floats, y: Floats, iterations: int = 50, rate: float = 0.1) -> NDArray[np.float32]:
    """Minimise the summed log loss as v2.0 does: L-BFGS in float32, fixed step, no line search, start at a half."""
    X32, y32 = X.astype(np.float32), y.astype(np.float32)

    def slope(at: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(X32.T @ (1 / (1 + np.exp(-(X32 @ at))) - y32), dtype=np.float32)

    at = np.full(X.shape[1], 0.5, dtype=np.float32)
    g = slope(at)
    steps: list[NDArray[np.float32]] = []
    changes: list[NDArray[np.float32]] = []
    for i in range(iterations):
        d = -g
        kept = []
        for s, c in zip(reversed(steps), reversed(changes), strict=True):
            a = (s @ d) / (c @ s)
            kept.append(a)
            d = np.asarray(d - a * c, dtype=np.float32)
        if steps:
            d = np.asarray(d * ((steps[-1] @ changes[-1]) / (changes[-1] @ changes[-1])), dtype=np.float32)
        for s, c, a in zip(steps, changes, reversed(kept), strict=True):
            d = np.asarray(d + (a - (c @ d) / (c @ s)) * s, dtype=np.float32)
        step = np.float32(rate if i else rate * min(1.0, 1.0 / float(np.abs(g).sum()))) * d
        after = at + step
        new = slope(after)
        if (new - g) @ step > 1e-10:
            steps.append(step)
            changes.append(new - g)
        at, g = after, new
    return at


def test_upstream_optimiser_stops_early_and_ours_does_not() -> None:
    """Emulated on the same rows, v2.0's optimiser misses the maximum by tenths of a point; ours has a zero gradient."""
    rng = np.random.default_rng(0)
    models, games = 27, 1000
    model = np.repeat(np.arange(models), games)
    prompt = np.tile(np.arange(games) // 2, models)
    Z = np.repeat(rng.normal(size=(models * games // 2, 4)), 2, axis=0)
    eta = np.linspace(-2.5, 2.5, models)[model] + Z @ np.array([0.8, 0.2, 0.2, 0.1])
    y = (rng.random(len(eta)) < 1 / (1 + np.exp(-eta))).astype(float)
    exact = fit_star(collapse(model, prompt, y, None, Z))
    full = np.hstack([np.eye(models)[model], -np.ones((len(y), 1)), Z])
    at = _upstream(full, y).astype(float)
    gap = 100 * np.abs(1 / (1 + np.exp(at[models] - at[:models])) - 1 / (1 + np.exp(-exact.intercepts)))
    assert exact.gradient < 1e-9
    assert 0.1 < gap.max() < 3.0
    exact_at = np.concatenate([exact.intercepts, [0.0], exact.slopes])
    slope = full.T @ (1 / (1 + np.exp(-(full @ exact_at))) - y)
    upstream_slope = full.T @ (1 / (1 + np.exp(-(full @ at))) - y)
    assert np.abs(slope).max() < 1e-6
    assert np.abs(upstream_slope).max() > 1.0


def test_bootstrap_interval_is_that_of_refits_over_prompts() -> None:
    """Its width agrees with the clustered standard error, and a seed gives the same bytes."""
    battles = recording(3)
    one = arena_hard_style(battles, Settings(replicates=400))
    for found in one.scores:
        assert found.ci is not None
        assert found.se is not None
        assert found.ci[1] - found.ci[0] == pytest.approx(2 * 1.96 * found.se, rel=0.15)
        assert "prompt-bootstrap" in found.method
    assert arena_hard_style(battles, Settings(replicates=400)) == one
    assert arena_hard_style(battles, Settings(replicates=400, seed=1)) != one


def test_what_arena_hard_style_cannot_do_it_says() -> None:
    """No answers; a model that won everything, which does not stop the others."""
    without = arena_hard_style(recording(4, answers=False), FEW).scores
    assert [s.estimate for s in without] == [None, None]
    assert "both answers" in without[0].note
    battles = recording(4)
    mine = (battles.games["model"] == "m").to_numpy()
    battles.games.loc[mine, "label"] = np.where(battles.games.loc[mine, "order"] == "model_first", "A>B", "B>A")
    found = by_model(arena_hard_style(battles, FEW).scores, "arena_hard_style")
    assert found["m"].estimate is None
    assert "won every game" in found["m"].note
    assert found["n"].estimate is not None


def test_constant_feature_is_left_out_and_named() -> None:
    """Without bold anywhere, three features remain, in both controls."""
    battles = recording(5, slope=1.0)
    battles.answers["text"] = battles.answers["text"].str.replace("**", "", regex=False)
    (published,) = (s for s in arena_hard_style(battles, FEW).scores if s.model == "m")
    assert "hardly differ in it: bold" in published.note
    assert "(tokens, headers, lists)" in published.method
    (own,) = (s for s in style_controlled(battles).scores if s.model == "m")
    assert "parsed_bold" in own.note
    assert "parsed_bold" not in own.method


def test_planted_length_effect_is_removed() -> None:
    """A judge that likes length lifts the raw score; held fixed, the score returns to the planted skill."""
    battles = recording(6, models=("m",), prompts=900, slope=3.0, skill=-0.5)
    raw = 100 * battles.games["outcome"].mean()
    truth = 100 / (1 + math.exp(0.5))
    for found in (*style_controlled(battles).scores,):
        assert found.estimate is not None
        assert found.ci is not None
        assert found.ci[0] < truth < found.ci[1]
        assert raw > found.ci[1]
        assert found.overlap is not None
        assert found.overlap > 0.1


def test_own_score_depends_on_no_other_submission_and_not_on_order() -> None:
    """Another model in the recording, or shuffled games, change nothing."""
    both, alone = recording(7, models=("m", "n")), recording(7, models=("m",))
    one = by_model(style_controlled(both).scores, "style_controlled")["m"]
    other = style_controlled(alone).scores[0]
    assert one == other
    shuffled = replace(alone, games=alone.games.sample(frac=1, random_state=0, ignore_index=True))
    again = style_controlled(shuffled).scores[0]
    assert again.estimate == pytest.approx(one.estimate)
    assert again.se == pytest.approx(one.se)


def test_own_score_equals_a_glm_with_an_intercept() -> None:
    """The fitted chance at zero difference, clustered by prompt."""
    battles = recording(8, models=("m",), slope=1.0)
    measured = np.array([[len(t), *_parsed(t)] for t in battles.answers["text"]], dtype=float)
    own, other = measured[battles.games["answer"]], measured[battles.games["opponent_answer"]]
    X = sm.add_constant((own - other) / (own + other + 1))
    glm = sm.GLM(battles.games["outcome"].to_numpy(), X, family=sm.families.Binomial())
    groups = battles.games["prompt_id"].str[1:].astype(int).to_numpy()
    oracle = glm.fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}, tol=1e-13)
    found = style_controlled(battles).scores[0]
    p = 1 / (1 + math.exp(-oracle.params[0]))
    assert found.estimate == pytest.approx(100 * p, abs=1e-7)
    assert found.se == pytest.approx(100 * p * (1 - p) * oracle.bse[0] * math.sqrt(120 / 119), rel=1e-6)


def _parsed(answer: str) -> tuple[int, int, int]:
    lines = answer.split("\n")
    return (lines.count("## Part"), lines.count("- item"), answer.count("**strong**"))


@pytest.mark.parametrize("case", ["answers", "few", "all won", "separated"])
def test_own_score_is_undefined_with_its_reason(case: str) -> None:
    """No answers, few prompts, no loss, a verdict that length decides."""
    battles = recording(9, models=("m",), answers=case != "answers", prompts=15 if case == "few" else 120)
    if case == "all won":
        battles.games["outcome"] = 1.0
    if case == "separated":
        size = battles.answers["text"].str.len().to_numpy()
        battles.games["outcome"] = (size[battles.games["answer"]] > size[battles.games["opponent_answer"]]).astype(
            float
        )
    (found,) = style_controlled(battles).scores
    assert found.estimate is None
    reason = {"answers": "both answers", "few": "too few", "all won": "every game", "separated": "perfectly"}[case]
    assert reason in found.note


@pytest.mark.parametrize("case", ["alike", "twice as long", "nearly so"])
def test_own_score_is_undefined_where_no_difference_was_never_seen(case: str) -> None:
    """Equal features leave nothing to hold fixed; a constant difference, or nearly one, cannot be taken back to none."""
    battles = recording(12, models=("m",))
    sizes = {"alike": (100, 100), "twice as long": (100, 200), "nearly so": (100, 200)}[case]
    own = (battles.answers["model"] == "m").to_numpy()
    jitter = np.arange(len(own)) % 7 if case == "nearly so" else np.zeros(len(own), dtype=int)
    battles.answers["text"] = [
        "w" * int(sizes[mine] + extra) for mine, extra in zip(own.astype(int), jitter, strict=True)
    ]
    (found,) = style_controlled(battles).scores
    assert found.estimate is None
    assert found.ci is None
    assert found.n == 120
    assert ("nothing to hold fixed" if case == "alike" else "near alike in this") in found.note
    assert case == "alike" or found.note.endswith(": chars")


def all_pairs(seed: int, connected: bool = True) -> Battles:
    """Turn a star recording into one without a baseline."""
    battles = recording(seed, models=("m", "n"), prompts=60, slope=1.0)
    if not connected:
        battles.games.loc[battles.games["model"] == "m", "outcome"] = 1.0
    return replace(battles, benchmark=Benchmark("pairs"))


def test_chatbot_arena_equals_scikit_learn() -> None:
    """C=1 on columns of ln 10 and z-scored ratios; without a ridge, a GLM."""
    battles = all_pairs(10)
    own, other = counts(battles, "cl100k_base")
    raw = (own - other) / (own + other + 1)
    y, w = battles.games["outcome"].to_numpy(), battles.games["weight"].to_numpy()
    spread = np.repeat(raw, w.astype(int), axis=0).std(axis=0)
    X = design(battles, raw / spread, math.log(10))
    lr = LogisticRegression(fit_intercept=False, C=1.0, tol=1e-12, max_iter=10_000).fit(
        np.vstack([X, X]), np.repeat([1, 0], len(X)), sample_weight=2 * np.concatenate([w * y, w * (1 - y)])
    )
    glm = sm.GLM(y, X[:, 1:], family=sm.families.Binomial(), var_weights=w).fit(tol=1e-13)
    for control, ratings in (
        ("chatbot_arena_style", lr.coef_[0, :3]),
        ("chatbot_arena_style_unpenalised", np.array([0.0, *glm.params[:2]])),
    ):
        found = by_model(chatbot_arena_style(battles).scores, control)
        for at, model in enumerate(("base", "m", "n")):
            others = [r for i, r in enumerate(ratings) if i != at]
            expected = np.mean([100 / (1 + 10 ** (r - ratings[at])) for r in others])
            assert found[model].estimate == pytest.approx(expected, abs=1e-4)


def test_chatbot_arena_says_what_is_disconnected() -> None:
    """A model that never lost: both fits are undefined with the reason, for a ridge would only invent a number."""
    scores = chatbot_arena_style(all_pairs(11, connected=False)).scores
    assert {s.control for s in scores} == {"chatbot_arena_style", "chatbot_arena_style_unpenalised"}
    assert {s.estimate for s in scores} == {None}
    assert all("never lost: m" in s.note for s in scores)


def test_controls_find_nothing_where_they_do_not_apply() -> None:
    """Each control has its kind of recording."""
    star, pairs = recording(12, prompts=10), all_pairs(12)
    assert not chatbot_arena_style(star).scores
    assert not style_controlled(pairs).scores
    assert not arena_hard_style(pairs).scores
    assert not arena_hard_style(recording(12, prompts=10, fmt="alpaca_eval")).scores


def test_overlap_is_the_smallest_share_near_no_difference() -> None:
    """A normal cloud gives 0.38, a shifted one nearly none, and the worst feature counts."""
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(20_000, 1)), 5 + rng.normal(size=(20_000, 1))
    prompt = np.arange(20_000)
    assert overlap(near, prompt) == pytest.approx(0.383, abs=0.01)
    assert overlap(np.hstack([near, far]), prompt) < 0.001
    assert overlap(near[:, :0], prompt) == 1


def test_ratio_and_standardising_keep_their_word() -> None:
    """No division by zero; weighted moments are those of repeated rows."""
    np.testing.assert_array_equal(ratio(np.array([0.0, 2.0]), np.array([0.0, 1.0]), plus=0.0), [0, 1 / 3])
    rng = np.random.default_rng(0)
    X, w = rng.normal(2, 3, size=(50, 2)), rng.choice([1.0, 3.0], 50)
    repeated = np.repeat(X, w.astype(int), axis=0)
    Z = standardise(X, w, ddof=1, centre=True).X
    np.testing.assert_allclose(Z, (X - repeated.mean(axis=0)) / repeated.std(axis=0, ddof=1))
    assert standardise(np.ones((5, 1)), np.ones(5), ddof=0, centre=True).kept == ()


def test_public_recording_marks_the_null_model_as_extrapolated(shared_data: Path) -> None:
    """One constant short answer is alike its baseline on hardly any prompt; an ordinary model is on many."""
    folder = shared_data / "alpaca_eval" / "results"
    null = style_controlled(alpaca_eval.read(folder / "NullModel")).scores[0]
    plain = style_controlled(alpaca_eval.read(folder / "claude-2.1")).scores[0]
    assert null.overlap is not None
    assert null.overlap < 0.05
    assert "EXTRAPOLATION" in null.note
    assert plain.overlap is not None
    assert plain.overlap > 0.1
    assert plain.estimate == pytest.approx(25.29, abs=0.05)
