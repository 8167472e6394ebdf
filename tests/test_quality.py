"""The quality job and its command, on the published bootstraps of Arena-Hard and others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import auditkit
from auditkit.cli import main
from auditkit.errors import InputError, UsageError
from auditkit.quality import BoardQuality, Quality
from auditkit.records import Battles

#: Chatbot Arena of 2024-03-29 as a stand-in: model, interval; the score is the middle.
#:
#: The pickle with the real ratings is not among the public recordings. The order below is the only one near that of
#: Arena's other boards under which the four published Brier scores come out to all 16 digits, and with it come out the
#: four log losses, all rank correlations and the plain agreements: they hold with the real ratings as well, as they
#: depend on the order alone. The intervals are made up: 13 pairs share more than a point and 3 more hold the anchored
#: model's, as published (177 separated pairs; 16 overlaps); which pairs these are is a choice under which the published
#: agreements come out, one of several. So for agreement this is a check of the definitions, not of Arena's intervals.
ARENA = {
    "claude-3-opus-20240229": (300, 310),
    "claude-3-sonnet-20240229": (280, 290),
    "gpt-4-0314": (260, 270),
    "gpt-4-0613": (238, 250),
    "mistral-large-2402": (225, 240),
    "qwen1.5-72b-chat": (222, 228),
    "mistral-medium": (220, 226),
    "command-r": (200, 210),
    "claude-2.1": (148, 160),
    "gpt-3.5-turbo-0613": (146, 158),
    "mixtral-8x7b-instruct-v0.1": (150, 150),
    "gemini-pro": (140, 152),
    "yi-34b-chat": (110, 120),
    "starling-lm-7b-alpha": (108, 118),
    "llama-2-70b-chat": (106, 116),
    "mistral-7b-instruct-v0.2": (104, 114),
    "gpt-3.5-turbo-1106": (90, 95),
    "gemma-7b-it": (80, 85),
    "llama-2-7b-chat": (70, 75),
    "gemma-2b-it": (60, 65),
}

FIGURES = (
    "separability_95", "separability_80", "pair_order", "agreement_notebook", "spearman", "kendall", "brier",
    "log_loss", "agreement_paper",
)  # fmt: skip
#: The recomputed table: each figure with as many decimals as it was printed with; None: not printed.
TABLE: dict[str, tuple[str | None, ...]] = {
    "bootstrap_stats_arena_hard": (
        "0.8421", "0.9105", "0.91579", "0.90395", "0.93233", "0.83158", "0.070479", "0.39505", "0.7526",
    ),
    "bootstrap_stats_alpaca_LC": (
        "0.8789", "0.9316", "0.85263", "0.87288", "0.87820", "0.7053", "0.134726", "1.96529", "0.6947",
    ),
    "bootstrap_stats_alpaca": (
        "0.7105", "0.8263", "0.81053", "0.79096", "0.75789", "0.6211", "0.164211", "1.84087", "0.5421",
    ),
    "bootstrap_stats_mt_bench": (
        "0.3632", "0.5526", "0.86842", "0.69492", "0.89323", "0.7368", "0.100829", "0.33105", "0.3632",
    ),
    "bootstrap_stats_20k_votes_elo": ("0.732", "0.8211", "0.95789", "0.89831", "0.98195", None, None, None, None),
}  # fmt: skip


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["quality", *map(str, args)])


def by_name(found: Quality) -> dict[str, BoardQuality]:
    return {board.name: board for board in found.boards}


@pytest.fixture(scope="module")
def boards(shared_data: Path) -> Path:
    return shared_data / "benchmark_quality"


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("arena") / "arena.jsonl"
    rows = [{"model": m, "score": (lo + hi) / 2, "lower": lo, "upper": hi} for m, (lo, hi) in ARENA.items()]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def against_arena(boards: Path, arena: Path) -> dict[str, BoardQuality]:
    return by_name(auditkit.quality(boards, against=arena, replicates=60))


@pytest.mark.parametrize(
    ("board", "figure", "printed"),
    [(b, f, v) for b, row in TABLE.items() for f, v in zip(FIGURES, row, strict=True) if v is not None],
)
def test_the_recomputed_table_comes_out_to_its_printed_digits(
    against_arena: dict[str, BoardQuality], board: str, figure: str, printed: str
) -> None:
    found = against_arena[board].figures[figure]
    assert found.estimate is not None
    assert f"{found.estimate:.{len(printed) - 2}f}" == printed
    assert found.ci is not None
    assert found.n == 20
    assert found.pairs == (177 if figure == "agreement_notebook" else 190)


@pytest.mark.parametrize(
    ("board", "brier", "loss"),
    [
        ("bootstrap_stats_alpaca_LC", 0.13472585300420672, 1.9652927160512885),
        ("bootstrap_stats_alpaca", 0.16421065021224288, 1.8408659325008474),
        ("bootstrap_stats_arena_hard", 0.07047865504650436, 0.3950460397256576),
        ("bootstrap_stats_mt_bench", 0.10082905842501223, 0.3310536497002041),
    ],
)
def test_brier_and_log_loss_are_the_published_ones(
    against_arena: dict[str, BoardQuality], board: str, brier: float, loss: float
) -> None:
    """As the notebook prints them. Brier to 1e-12, the order of a sum; log loss to 1e-8: close to 1, ``1 - p`` has few
    digits, and which of two models is named first decides whose are lost; ours is the mean of both.
    """
    figures = against_arena[board].figures
    assert figures["brier"].estimate == pytest.approx(brier, abs=1e-12)
    assert figures["log_loss"].estimate == pytest.approx(loss, abs=1e-8)
    notebook, blog = figures["agreement_notebook"].estimate, figures["agreement_blog"].estimate
    assert notebook is not None
    assert blog == pytest.approx(2 * notebook - 1)


@pytest.mark.parametrize(
    ("board", "models", "overlaps"),
    [
        ("bootstrap_stats_arena_hard", 28, 76),
        ("bootstrap_stats_arena_hard_distribution_elo", 78, 927),
        ("bootstrap_stats_mt_bench", 25, 197),
        ("bootstrap_stats_20k_votes", 20, 59),
        ("bootstrap_stats_20k_votes_elo", 20, 51),
        ("bootstrap_stats_alpaca_LC", 20, 23),
        ("bootstrap_stats_alpaca", 20, 55),
    ],
)
def test_separability_of_whole_boards_is_the_published_one(
    boards: Path, board: str, models: int, overlaps: int
) -> None:
    found = auditkit.quality(boards / f"{board}.jsonl", replicates=60).boards[0]
    separability = found.figures["separability_95"]
    assert (len(found.models), separability.pairs) == (models, models * (models - 1) // 2)
    assert separability.estimate == pytest.approx(1 - overlaps / separability.pairs, abs=1e-12)


def test_length_gameability_is_the_published_one(shared_data: Path) -> None:
    """Raw: 21.3 and 29.8 as published; length controlled: 7.476 and 16.003 on the current file."""
    found = by_name(auditkit.quality(shared_data / "alpaca_eval" / "leaderboard.csv", replicates=60))
    for name, verbose, concise in (("win_rate", 21.346, 29.765), ("length_controlled", 7.476, 16.003)):
        game = found[f"leaderboard {name}"].gameability
        assert game is not None
        assert [game.verbose, game.concise] == pytest.approx([verbose, concise], abs=5e-4)


def test_values_by_prompt_are_resampled_and_agree_with_published_replicates(boards: Path) -> None:
    """AlpacaEval's own bootstrap of the length-controlled win rate against ours of its 805 values: within 2 pairs."""
    ours = auditkit.quality(boards / "alpaca_2.0_lc_results.jsonl").boards[0]
    theirs = auditkit.quality(boards / "bootstrap_stats_alpaca_LC.jsonl").boards[0]
    mine, known = ours.figures["separability_95"].estimate, theirs.figures["separability_95"].estimate
    assert mine is not None
    assert known == pytest.approx(mine, abs=2 / 190 + 1e-9)


def simulated(simulate: Callable[..., Battles]) -> Battles:
    return simulate({f"m{i:02d}": s for i, s in enumerate(np.linspace(-2, 2, 10))}, prompts=80, unparsed=3)


def test_a_recording_says_which_prompts_earn_their_keep(simulate: Callable[..., Battles], tmp_path: Path) -> None:
    from auditkit.formats import pairs

    battles = simulated(simulate)
    pairs.write(battles, tmp_path / "games.jsonl")
    found = auditkit.quality(tmp_path / "games.jsonl", dollars_per_call=0.5, bound=0.1, replicates=200)
    board = found.boards[0]
    assert board.kind == "recording"
    assert board.calls_per_model == 160.0  # calls without a verdict are paid for, too
    assert board.dollars_per_model == 80.0
    assert board.prompts is not None
    worth = board.prompts.prompts
    assert len(worth) == 80
    assert all(w.per_dollar == pytest.approx((w.per_call or 0) / 0.5) for w in worth if w.per_call is not None)
    subset = board.prompts.subset
    assert subset is not None
    assert sum(w.chosen for w in worth) == (subset.size or 0)
    whole = json.dumps(found.to_dict())  # plain values only
    assert "NaN" not in whole


def test_a_recordings_score_is_its_win_rate(simulate: Callable[..., Battles]) -> None:
    from auditkit.scores import of_recording

    battles = simulated(simulate)
    scores = of_recording(battles, 400, 0)
    for model, score, row in zip(scores.models, scores.score, scores.rows, strict=True):
        games = battles.games_of(model)
        assert score == pytest.approx(100 * games["outcome"].mean())
        by_prompt = 100 * games.groupby("prompt_id")["outcome"].mean().dropna()
        assert row.draws.std() == pytest.approx(by_prompt.std() / np.sqrt(len(by_prompt)), rel=0.15)


def test_the_same_seed_gives_the_same_numbers_and_names_map_either_way(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wide = tmp_path / "mine.csv"
    values = rng.normal(np.arange(6.0), 0.3, (40, 6))
    header = ",".join(f"Model-{i}" for i in range(6))
    wide.write_text("\n".join([header, *(",".join(map(str, row)) for row in values)]), encoding="utf-8")
    known = tmp_path / "known.json"
    known.write_text(json.dumps({f"other{i}": [float(i), i + 0.1, i + 0.2] for i in range(6)}), encoding="utf-8")
    there, back = tmp_path / "a.json", tmp_path / "b.json"
    there.write_text(json.dumps({f"model-{i}": f"other{i}" for i in range(6)}), encoding="utf-8")
    back.write_text(json.dumps({f"other{i}": f"model-{i}" for i in range(6)}), encoding="utf-8")
    first = auditkit.quality(wide, against=known, names=[there], replicates=80, seed=3).to_dict()
    assert first == auditkit.quality(wide, against=known, names=[back], replicates=80, seed=3).to_dict()
    assert first["boards"][0]["figures"]["spearman"]["estimate"] == pytest.approx(1.0)
    assert first["resampled"] == "models"
    with pytest.raises(InputError, match="share 0 models"):
        auditkit.quality(wide, against=known)


def test_the_command_prints_80_columns_and_json_alone(boards: Path, arena: Path) -> None:
    arguments = (
        boards / "bootstrap_stats_mt_bench.jsonl",
        "--names",
        boards / "arena_to_mt_bench.json",
        "--against",
        arena,
    )
    shown = run(*arguments, "--replicates", 60)
    assert shown.exit_code == 0, shown.output
    assert max(map(len, shown.output.splitlines())) <= 80
    assert "agreement, paper" in shown.output
    assert "20 models only" in shown.output
    body = json.loads(run(*arguments, "--replicates", 60, "--json").stdout)
    assert body["schema"] == "auditkit.quality/1"
    assert body["boards"][0]["figures"]["agreement_notebook"]["estimate"] == pytest.approx(0.69492, abs=5e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"model": "a", "results": [1, "x"]}', "line 1: field 'results': expected numbers only"),
        ('{"model": "a", "results": [1]}\n{"model": "a", "results": [2]}', "line 2: model 'a' is listed twice"),
        ('{"model": "a", "results": []}', "is not empty"),
        ('{"model": "a", "score": 1, "lower": 2, "upper": 1}', "wrong way round"),
        ('{"model": "\\u001b[31mred", "results": [1, 2]}', "has 1 usable model"),
        ('{"model": "a"', "neither a board nor a recording"),
    ],
)
def test_bad_boards_are_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "board.jsonl"
    file.write_text(text, encoding="utf-8")
    result = run(file)
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.splitlines()) == 1
    assert "\x1b" not in result.output


def test_usage_errors(boards: Path, shared_data: Path) -> None:
    with pytest.raises(UsageError, match="no path"):
        auditkit.quality()
    with pytest.raises(UsageError, match="no board of the name"):
        auditkit.quality(boards / "bootstrap_stats_mt_bench.jsonl", against="nothing")
    with pytest.raises(UsageError, match="reference itself"):
        auditkit.quality(boards / "bootstrap_stats_mt_bench.jsonl", against="bootstrap_stats_mt_bench")
    with pytest.raises(InputError, match="a recording of judges"):
        auditkit.quality(shared_data / "llmbar")


# --- the page -------------------------------------------------------------------------------------------------------


def test_out_holds_the_page_the_figures_and_every_prompt(simulate: Callable[..., Battles], tmp_path: Path) -> None:
    from auditkit.formats import pairs

    pairs.write(simulated(simulate), tmp_path / "games.jsonl")
    done = run(tmp_path / "games.jsonl", "--price", "0.5", "--replicates", "100", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert f"page: {tmp_path / 'out' / 'quality.html'}" in done.output
    body = json.loads((tmp_path / "out" / "quality.json").read_text())
    page = (tmp_path / "out" / "quality.html").read_text()
    board = body["boards"][0]
    assert f"<strong>{board['figures']['separability_95']['estimate']:.3f}</strong>" in page
    best = max((p for p in board["prompts"]["prompts"] if p["per_call"] is not None), key=lambda p: p["per_call"])
    assert f"<code>{best['prompt_id']}</code>" in page
    lines = (tmp_path / "out" / "prompts.csv").read_text().splitlines()
    assert len(lines) == 81 and lines[0].startswith("board,prompt_id,discrimination")


def test_names_on_a_board_run_nowhere(tmp_path: Path) -> None:
    """Scripts are text in the page; a cell that a spreadsheet would run begins with an apostrophe."""
    from auditkit.reports.quality_page import prompts_csv, render_quality
    from auditkit.reports.quality_report import PromptQuality, PromptWorth

    evil = "=cmd|'/c calc'!A1<script>alert(1)</script>"
    worth = PromptWorth(evil, 1.0, 1.0, 1.0, None, False, False)
    other = PromptWorth("p1", 0.5, 1.0, 0.5, None, False, False)
    board = BoardQuality(
        evil,
        "recording",
        (evil, "b"),
        (),
        0,
        {},
        prompts=PromptQuality((worth, other), 0, 0, None, evil),
        notes=(evil,),
    )
    page = render_quality(Quality((board,), evil, (0.95,), 0.95, 100, 0), version="0", command=evil)
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    cells = prompts_csv([board]).splitlines()[1]
    assert cells.startswith("'=cmd|") and ",'=cmd|" in cells


def test_a_page_without_prompts_says_nothing_of_them(boards: Path, tmp_path: Path) -> None:
    done = run(boards / "bootstrap_stats_mt_bench.jsonl", "--replicates", "60", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "earn their keep" not in (tmp_path / "quality.html").read_text()
    assert not (tmp_path / "prompts.csv").exists()
