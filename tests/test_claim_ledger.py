"""The claim ledger: the published claims' table, rows of boards, and ledgers that are not what they should be."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from auditkit import claim
from auditkit.claim import claim_battles
from auditkit.claims import (
    BENCHMARKS,
    Board,
    Claim,
    ClaimReport,
    ClaimResult,
    Ledger,
    Row,
    parse_claim,
    read_board,
    read_ledger,
)
from auditkit.claims.boards import find_row
from auditkit.claims.ledger import parse_ledger
from auditkit.errors import InputError, UsageError

LEDGER = Path(__file__).resolve().parents[1] / "docs" / "claims.toml"


# --- the ledger of published claims ---------------------------------------------------------------------------------

#: systems.md, section 5: claim, verdict, and what flags it. A paper's row may hold several claims.
TABLE: Mapping[str, tuple[str, set[str]]] = {
    "t-reg-ae2": ("not_separable", {"near_threshold", "pairing", "threshold", "up_to"}),
    "t-reg-ah": ("cannot_check", {"near_threshold", "up_to"}),
    "tgdpo-ae2": ("cannot_check", {"up_to"}),
    "tgdpo-ah": ("cannot_check", {"near_threshold", "up_to"}),
    "tgdpo-mtb": ("cannot_check", {"unit"}),
    "lcpo-ae2": ("cannot_check", {"up_to"}),
    "lcpo-ah": ("cannot_check", {"up_to"}),
    "bvpo-ae2": ("cannot_check", {"up_to"}),
    "bvpo-ah": ("cannot_check", {"up_to"}),
    "simpo-ae2": ("cannot_check", {"settings", "up_to"}),
    "simpo-ah": ("cannot_check", {"settings", "up_to"}),
    "simpo-gemma": ("certified", {"near_threshold", "raw"}),
    "fusechat-ae2": ("certified", {"baseline"}),
    "fusechat-ah": ("cannot_check", {"baseline"}),
    "cgpo-ae2": ("cannot_check", set()),
    "cgpo-ah": ("cannot_check", set()),
    "janus-ae2": ("cannot_check", {"near_threshold"}),
    "janus-mtb": ("not_separable", {"threshold"}),
    "janus-ah": ("not_separable", {"threshold"}),
    "janus-ties": ("cannot_check", {"ties"}),
    "eva-dpo": ("cannot_check", set()),
    "eva-opus": ("not_separable", {"overlap", "threshold"}),
    "eva-gemini": ("contradicted", set()),
    "coe-ah": ("not_separable", {"best_component", "overlap", "threshold"}),
    "coe-mtb": ("cannot_check", set()),
    "pika-ae2": ("cannot_check", set()),
    "non-instructional": ("cannot_check", set()),
    "qwen2-ah": ("certified", set()),
    "qwen2-mtb": ("cannot_check", set()),
    "inpo-ae2": ("cannot_check", set()),
    "inpo-ah": ("cannot_check", set()),
    "simpo-score": ("certified", set()),
    "evolve-405b": ("cannot_check", {"scope"}),
    "evolve-gpt-4o": ("cannot_check", {"near_threshold", "scope"}),
    "evolve-raw": ("cannot_check", set()),
    "evolve-ah": ("cannot_check", set()),
}


@pytest.fixture(scope="module")
def published() -> dict[str, ClaimResult]:
    """The results of docs/claims.toml, by id."""
    return {result.claim.id: result for result in claim(LEDGER).results}


def test_the_ledger_gives_the_specified_table(published: Mapping[str, ClaimResult]) -> None:
    """Verdicts and flags of every claim are those of the arithmetic."""
    assert {name: (r.verdict, set(r.flags)) for name, r in published.items()} == TABLE


def test_no_published_claim_is_certified_by_its_own_figure(published: Mapping[str, ClaimResult]) -> None:
    """Certified needs a public row of the candidate; a figure at face value can only sink a claim."""
    for result in published.values():
        assert result.verdict != "certified" or result.evidence == "board"
        assert result.claim.source
        assert result.sentence.endswith(".")


def test_figures_of_the_table(published: Mapping[str, ClaimResult]) -> None:
    """The numbers in the specification's text."""
    t_reg = published["t-reg-ae2"]
    assert t_reg.optimism == pytest.approx(2.0, abs=0.1)
    assert t_reg.claim.gain is not None
    assert t_reg.claim.gain < 3.88 < (t_reg.threshold or 0)
    texts = {name: " ".join(check.text for check in result.checks) for name, result in published.items()}
    assert "28.3, the public row at 20.85: -7.4" in texts["fusechat-ae2"]
    assert "28.1, the public row at 21.34: -6.8" in texts["fusechat-ah"]
    assert "Llama-3-Base +7.5" in texts["simpo-ah"]
    assert "not +7.5" not in texts["simpo-ah"]
    assert "1 of 4 below the threshold of 3.2" in texts["simpo-ah"]
    assert "the largest is +6.3, not +6.4" in texts["simpo-ae2"]
    gemma = published["simpo-gemma"].estimates
    assert [e.estimate for e in gemma] == pytest.approx([4.69, 0.50])
    assert "62.4 and the 60.36" in texts["eva-opus"]
    assert "below the 79.21 of gpt-4o" in texts["evolve-gpt-4o"]
    assert "below the 64.09" in texts["evolve-405b"]
    measured = published["qwen2-ah"].measured
    assert measured is not None
    assert measured.ci == (44.57, 49.29)


def test_rows_of_the_ledger_are_the_published_ones(shared_data: Path) -> None:
    """Every row that the public leaderboards hold is theirs to the printed decimals."""
    public = [
        *read_board(shared_data / "alpaca_eval" / "leaderboard.csv"),
        *read_board(next((shared_data / "arena_hard" / "leaderboard").glob("*.csv"))),
    ]
    compared = 0
    for board in read_ledger(LEDGER).boards:
        for row in board.rows.values():
            theirs = find_row(public, board.benchmark, board.metric, row.model)
            if theirs is not None:
                assert row.score == pytest.approx(theirs.score, abs=0.0051), row.model
                assert row.ci is None or row.ci == pytest.approx(theirs.ci)
                assert row.se is None or row.se == pytest.approx(theirs.se, abs=0.0051), row.model
                compared += 1
    assert compared >= 20


def test_planning_figures_fit_the_public_data(shared_data: Path) -> None:
    """AlpacaEval's assumed error is that of published mid-board rows; its correlation lies where recordings have it."""
    with (shared_data / "alpaca_eval" / "leaderboard.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if 30 < float(row["win_rate"]) < 70]
    facts = BENCHMARKS["alpaca_eval_2"]
    assert np.median([float(row["standard_error"]) for row in rows]) == pytest.approx(facts.se, abs=0.06)
    arena = read_board(next((shared_data / "arena_hard" / "leaderboard").glob("*.csv")))[0]
    errors = [row.error(None, "win_rate") for row in arena.rows.values() if 30 < row.score < 70]
    assert np.median([e for e in errors if e is not None]) == pytest.approx(BENCHMARKS["arena_hard_v0.1"].se, abs=0.12)


# --- rows -----------------------------------------------------------------------------------------------------------


def _rows(metric: str, **scores: float) -> Board:
    return Board("arena_hard_v0.1", metric, {name: Row(name, value) for name, value in scores.items()}, "test")


def test_rows_under_style_control() -> None:
    """A gain between public rows vanishes if the style-controlled rows do not have it."""
    claimed = Claim(id="r", wording="beats", benchmark="arena_hard_v0.1", candidate="a", baseline="b")
    boards = (_rows("win_rate", a=81.5, b=68.0), _rows("style_controlled", a=66.9, b=66.0))
    result = claim_battles(Ledger((claimed,), boards)).results[0]
    assert (result.verdict, result.control) == ("vanishes_under", "style_controlled")
    held = (_rows("win_rate", a=81.5, b=68.0), _rows("style_controlled", a=66.9, b=56.0))
    assert claim_battles(Ledger((claimed,), held)).results[0].verdict == "certified"


def test_rows_and_equivalence() -> None:
    """Equal rows with board-sized errors are never equivalent within 2 points, and are within 5."""
    boards = (_rows("win_rate", a=50.0, b=50.1),)
    for margin, verdict in ((2.0, "not_separable"), (5.0, "certified")):
        claimed = Claim("r", "comparable", benchmark="arena_hard_v0.1", candidate="a", baseline="b", margin=margin)
        assert claim_battles(Ledger((claimed,), boards)).results[0].verdict == verdict


def test_an_error_of_a_length_controlled_row_is_never_below_the_benchmarks() -> None:
    """AlpacaEval's published error of length-controlled rates is too small to be used."""
    facts = BENCHMARKS["alpaca_eval_2"]
    assert Row("a", 86.5, 0.14).error(facts, "length_controlled") == facts.se
    assert Row("a", 50.0, 1.47).error(facts, "win_rate") == 1.47
    assert Row("a", 50.0).error(None, "win_rate") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,score\na,1\n", "expected the columns model and score"),
        ("model,score\na,x\n", "line 2: field 'score': expected a number"),
        ("model,score\na,nan\n", "line 2: field 'score': expected a number"),
        ("model,score\na,\n", "line 2: field 'score': expected a value"),
        ("model,score\na,1\na,2\n", "line 3: the model 'a' is there twice"),
        ("model,score,lo,hi\na,5,6,7\n", "line 2: the score 5 lies outside"),
        ("model,score,se\na,5,-1\n", "line 2: field 'se'"),
        ("model,score,metric\na,5,elo\n", "line 2: field 'metric'"),
    ],
)
def test_boards_that_are_not(tmp_path: Path, text: str, message: str) -> None:
    """File, line and field are named."""
    path = tmp_path / "board.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_board(path)


def test_a_board_of_several_benchmarks(tmp_path: Path) -> None:
    """Rows go to the benchmark and metric that they name; ones that name none fit any claim."""
    path = tmp_path / "board.csv"
    path.write_text("model,score,benchmark,metric\na,5,x,score\nb,6,,\n", encoding="utf-8")
    boards = read_board(path)
    assert find_row(boards, "x", "score", "a") == Row("a", 5.0)
    assert find_row(boards, "y", "score", "a") is None
    assert find_row(boards, "y", "win_rate", "b") == Row("b", 6.0)


# --- ledgers --------------------------------------------------------------------------------------------------------

HEAD = 'schema = "auditkit.claims/1"\n'
ONE = HEAD + '[[claims]]\nid = "a"\nwording = "beats"\nbaseline = "b"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = 1\n", "field 'schema': expected 'auditkit.claims/1'"),
        ("not toml", "not a TOML ledger"),
        (HEAD, "expected at least one"),
        (HEAD + "claims = 3\n", "field 'claims'"),
        (ONE + "surprise = 1\n", "field 'surprise': unknown field"),
        (ONE + 'gain = "5"\n', "field 'gain': expected a finite number"),
        (ONE + "gain = nan\n", "field 'gain': expected a finite number"),
        (ONE + "k = 3\n", "k and settings belong to 'up_to'"),
        (ONE + "margin = 3\n", "margin belongs to 'comparable'"),
        (ONE + 'metric = "elo"\n', "field 'metric': expected one of"),
        (ONE + 'candidate = "b"\n', "the same model"),
        (ONE + "runs = [1.0]\n", "at least two runs"),
        (ONE + "components = [1]\n", "components"),
        (ONE + 'note = "two\\nlines"\n', "field 'note': expected one line"),
        (ONE + ONE.removeprefix(HEAD), "the id 'a' is there twice"),
        (HEAD + '[[claims]]\nid = "a"\nwording = "best"\n', "field 'wording': expected one of exact, up_to"),
        (HEAD + '[[claims]]\nid = "a"\nwording = "exact"\n', "'exact' needs value"),
        (HEAD + '[[claims]]\nid = "a"\nwording = "up_to"\n', "'up_to' needs gain"),
        (HEAD + '[[claims]]\nid = "a"\nwording = "up_to"\ngain = 1\nk = 1\n', "field 'k': expected a whole number"),
        (HEAD + '[[claims]]\nid = "a"\nwording = "up_to"\ngain = 1\nk = true\n', "field 'k': expected a whole number"),
        (HEAD + '[[claims]]\nid = "a"\nwording = "up_to"\ngain = 1\nsettings = [{ name = "x" }]\n', r"settings\[0\]"),
        (HEAD + '[[claims]]\nid = "a"\nwording = "comparable"\nbaseline = "b"\n', "margin belongs"),
        (HEAD + '[[claims]]\nid = "a"\nwording = "comparable"\nbaseline = "b"\nmargin = 0\n', "margin above 0"),
        (HEAD + '[[boards]]\nrows = []\n', "needs benchmark, metric and source"),
        (HEAD + '[[boards]]\nfile = "../x.csv"\n', "in the ledger's folder or below"),
        (HEAD + '[[boards]]\nbenchmark = "x"\nmetric = "score"\nsource = "s"\nrows = [{ model = "a", score = 1, lo = 2, hi = 3 }]\n', "lo and hi"),
    ],
)  # fmt: skip
def test_ledgers_that_are_not(text: str, message: str) -> None:
    """Claim and field are named, and what to do."""
    with pytest.raises(InputError, match=message) as raised:
        parse_ledger(text.encode(), Path("ledger.toml"))
    assert str(raised.value).startswith("ledger.toml: ")
    assert "\n" not in str(raised.value)


def test_a_ledger_finds_its_board_file(tmp_path: Path) -> None:
    """A file beside the ledger is read, with the benchmark and metric that the table gives."""
    (tmp_path / "rows.csv").write_text("model,score\nb,50\na,70\n", encoding="utf-8")
    path = tmp_path / "ledger.toml"
    table = '[[boards]]\nbenchmark = "arena_hard_v0.1"\nmetric = "win_rate"\nfile = "rows.csv"\n'
    path.write_text(HEAD + table + ONE.removeprefix(HEAD) + 'candidate = "a"\nbenchmark = "arena_hard_v0.1"\n', "utf-8")
    assert [r.verdict for r in claim(path).results] == ["certified"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wording", "expected key=value words"),
        ("wording=beats wording=exact", "each key once"),
        ("wording=beats baseline='b", "not key=value words"),
        ("wording=exact value=x", "field 'value': expected a number, got 'x'"),
        ("wording=up_to gain=3 k=2.5", "field 'k': expected a whole number"),
        ("wording=exact gain=1 runs=1,x", "field 'runs'"),
        ("wording=up_to gain=1 settings=3", "in a ledger only"),
    ],
)
def test_words_that_are_no_claim(text: str, message: str) -> None:
    """The option and the field are named."""
    with pytest.raises(InputError, match=message):
        parse_claim(text)


def test_a_claim_in_words() -> None:
    """Quoting, lists and numbers; the metric is the benchmark's own."""
    found = parse_claim("wording=exact benchmark=mt_bench candidate='my model' gain=0.3 runs=0.2,0.4 components=a,b", 2)
    assert found == Claim(
        "claim-2", "exact", benchmark="mt_bench", metric="score", candidate="my model", gain=0.3, runs=(0.2, 0.4),
        components=("a", "b"),
    )  # fmt: skip


def test_no_claim_is_a_usage_error() -> None:
    """An empty ledger cannot be built by accident."""
    with pytest.raises(UsageError, match="no claim"):
        claim_battles(Ledger(()))


def test_the_report_counts_verdicts() -> None:
    """Contradicted and vanished claims are claims that do not hold."""
    results = claim(LEDGER).results
    report = claim(LEDGER)
    assert isinstance(report, ClaimReport)
    by_name = {r.claim.id: r for r in results}
    for name, code in (("eva-gemini", 1), ("qwen2-ah", 0), ("cgpo-ah", 3)):
        assert replace(report, results=(by_name[name],)).exit_code == code


def test_the_documented_ledger_is_one() -> None:
    """The example in docs/claims.md is read and gives the verdict that the page says; its tables name all that there is."""
    page = LEDGER.with_suffix(".md").read_text(encoding="utf-8")
    example = page.split("```toml\n")[1].split("```")[0]
    report = claim(parse_ledger(example.encode(), LEDGER))
    assert [r.verdict for r in report.results] == ["not_separable"]
    assert report.results[0].threshold == pytest.approx(3.3, abs=0.05)
    named = {field.name for field in fields(Claim)} | {check.name for r in claim(LEDGER).results for check in r.checks}
    assert [name for name in sorted(named) if f"`{name}`" not in page] == []
