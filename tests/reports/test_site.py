"""The static site: its numbers by slice, its files, and what happens to a folder that it is written into."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import runpy
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from auditkit.audit import audit_battles
from auditkit.cli.files import replace_file
from auditkit.cli.site_files import write_site
from auditkit.compare import compare_submissions
from auditkit.controls.slices import cut, slices_of
from auditkit.errors import InputError
from auditkit.records import Battles, Score, Settings
from auditkit.reports.leaderboard import leaderboard_parquet, leaderboard_rows
from auditkit.reports.report import Rank, Report, from_json
from auditkit.reports.site import site_files, slice_rows
from auditkit.reports.sliced import SliceBoard, SliceRow, Slices
from auditkit.site import pairs_of, site
from auditkit.slices import MOST_ROWS, MOST_SLICES, sliced_board
from auditkit.stats.intervals import cluster_mean

S = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("sample.py"))))
FAST = Settings(replicates=60)
PAGE = 1_000_000  # bytes a page may have


@pytest.fixture(scope="module")
def battles(simulate: Callable[..., Battles]) -> Battles:
    """Six submissions on 90 prompts of three categories and two languages."""
    made = simulate(
        {"fine": 0.9, "good": 0.6, "fair": 0.1, "poor": -0.5, "weak": -1.0, "null": 0.2},
        prompts=90,
        constant=frozenset({"null"}),
    )
    prompts = made.prompts.copy()
    prompts["category"] = np.array(["coding", "=writing", "maths"])[np.arange(90) % 3]
    prompts["language"] = np.where(np.arange(90) % 5 == 0, "de", "en")
    return replace(made, prompts=prompts)


@pytest.fixture(scope="module")
def audited(battles: Battles) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        return audit_battles(battles, settings=FAST)


@pytest.fixture(scope="module")
def files(battles: Battles, audited: Report) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        return site(battles, audited, FAST)


# --- slices -----------------------------------------------------------------------------------------------------------


def test_a_slice_has_the_raw_score_of_its_prompts_by_the_cluster_interval(battles: Battles, audited: Report) -> None:
    """Counted by hand from the games: mean outcome, interval by prompt, n prompts; for every slice and submission."""
    found = sliced_board(battles, audited, FAST)
    assert [(b.kind, b.value, b.prompts) for b in found.boards] == [
        ("category", "=writing", 30), ("category", "coding", 30), ("category", "maths", 30),
        ("language", "en", 72), ("language", "de", 18),
    ]  # fmt: skip
    for board in found.boards:
        ids = set(battles.prompts.loc[battles.prompts[board.kind] == board.value, "prompt_id"])
        for row in board.rows:
            games = battles.games[(battles.games["model"] == row.model) & battles.games["prompt_id"].isin(ids)]
            mean = cluster_mean(100 * games["outcome"], np.unique(games["prompt_id"], return_inverse=True)[1])
            assert row.raw is not None
            assert row.raw.estimate == pytest.approx(mean.estimate)
            assert row.raw.ci == pytest.approx(mean.ci)
            assert row.raw.n == board.prompts


def test_a_slice_is_what_an_audit_of_those_prompts_alone_finds(battles: Battles, audited: Report) -> None:
    """Scores and ranks, raw and controlled, are those of the recording cut to the slice."""
    found = sliced_board(battles, audited, FAST)
    en = next(b for b in found.boards if b.value == "en")
    ids = battles.prompts.loc[battles.prompts["language"] == "en", "prompt_id"]
    alone = audit_battles(cut(battles, set(ids)), settings=FAST)
    listed = {s.model for s in audited.submissions if s.verdict != "rejected"}
    assert {s.model for s in alone.submissions if s.verdict != "rejected"} == listed
    for row, submission in zip(en.rows, alone.submissions, strict=True):
        assert row.model == submission.model
        assert row.raw_rank == submission.ranks.get("raw")
        assert row.held is not None
        assert row.held == next(s for s in submission.scores if s.control == row.held.control)
        assert row.held_rank == submission.ranks.get(row.held.control)
    null = next(r for r in en.rows if r.model == "null")
    assert (null.raw_rank, null.held_rank) == (None, None)


def test_prompts_without_a_value_and_kinds_with_one_are_no_slices(battles: Battles) -> None:
    """Nothing is invented for them; what is beyond the limit is counted."""
    prompts = battles.prompts.assign(language="en")
    prompts["category"] = ["", *prompts["category"].iloc[1:]]
    found, left_out = slices_of(replace(battles, prompts=prompts), 2)
    assert [(one.kind, len(one.prompts)) for one in found] == [("category", 30), ("category", 30)]
    assert left_out == 1
    nothing = replace(battles, prompts=prompts.assign(category=""))
    assert slices_of(nothing, 2) == ((), 0)
    assert "neither categories nor languages" in sliced_board(nothing, S.report(S.null_model()), FAST).note


def test_the_slices_that_are_shown_fit_the_page(battles: Battles, audited: Report) -> None:
    """Of thirty categories as many are shown as the page has room for, and the rest is counted."""
    prompts = battles.prompts.assign(category=[f"c{i % 30:02d}" for i in range(90)])
    many = replace(
        audited, submissions=tuple(replace(s, model=f"{s.model} {i}") for i in range(7) for s in audited.submissions)
    )
    for report, most in ((audited, MOST_SLICES), (many, MOST_ROWS // (42 * 2))):
        found = sliced_board(replace(battles, prompts=prompts), report, FAST)
        assert sum(b.kind == "category" for b in found.boards) == most
        assert found.left_out == 30 - most


def test_what_is_not_measured_on_a_slice_says_so(audited: Report) -> None:
    """No zero stands for a missing controlled score, in the page or in the table."""
    row = SliceRow("fine", Score("fine", "raw", 61.5, 2.0, (57.5, 65.5), 40), None, Rank(1, 1, 2), None)
    rest = tuple(SliceRow(s.model, None, None, None, None) for s in audited.submissions if s.model != "fine")
    slices = Slices((SliceBoard("category", "coding", 40, (row, *rest)),), 0, "")
    made = site_files(audited, slices)
    page = made["index.html"].decode()
    part = page[page.index('id="c0"') : page.index("</details>", page.index('id="c0"'))]
    assert part.count("not measured on this slice") == 1 + 2 * len(rest)
    assert "61.5%" in part
    assert "0.0%" not in part
    lines = list(csv.DictReader(io.StringIO(made["slices.csv"].decode())))
    assert [line["controlled"] for line in lines] == [""] * len(audited.submissions)
    assert slice_rows(slices)[0]["controlled"] is None


# --- files ------------------------------------------------------------------------------------------------------------


class Links(HTMLParser):
    """Every address that a page names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "action", "xlink:href") and tag != "use":
                self.found.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def pages_of(files: dict[str, bytes]) -> dict[str, str]:
    return {name: data.decode("utf-8") for name, data in files.items() if name.endswith(".html")}


def test_every_link_is_relative_and_leads_to_a_file_of_the_site(files: dict[str, bytes]) -> None:
    """From file:// nothing is missing; ids are unique; every page is reached from the first one."""
    graph = {}
    for name, text in pages_of(files).items():
        links = Links(text)
        assert len(links.ids) == len(set(links.ids)), name
        outward = {link for link in links.found if not link.startswith("#")}
        assert outward <= files.keys(), name
        assert {link[1:] for link in links.found if link.startswith("#")} <= set(links.ids), name
        graph[name] = outward
    reached, todo = set(), ["index.html"]
    while todo:
        page = todo.pop()
        if page not in reached:
            reached.add(page)
            todo += [link for link in graph.get(page, ()) if link.endswith(".html")]
    assert reached == graph.keys()


def test_the_same_site_twice_is_the_same_bytes(
    battles: Battles, audited: Report, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in it depends on time, order or chance that was not seeded."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert site(battles, audited, FAST) == files


def test_names_choose_no_files() -> None:
    """Whatever a submission is called, its page has a hash for a name and stays in the folder; two names, two pages."""
    names = ["../../etc/passwd", "/abs", "C:\\x", "a", "A", "a ", "index", "\ud800", "x" * 5000, "<b>", ""]
    made = site_files(S.report(*map(S.submission, names)), Slices())
    pages = [name for name in made if name.startswith("submission")]
    assert len(pages) == len(names)
    assert all(re.fullmatch(r"submission-[0-9a-f]{24}\.html", name) for name in pages)


def test_only_our_own_script_and_style_stand_in_a_page(audited: Report) -> None:
    """Hostile text in every field: each page has one script and one style sheet, which its policy names by hash."""
    for name, text in pages_of(site_files(S.hostile(), Slices())).items():
        scripts, styles = (re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", text, re.DOTALL) for tag in ("script", "style"))
        assert (len(scripts), len(styles)) == (1, 1), name
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
        assert policy is not None
        for kind, body in (("script", scripts[0]), ("style", styles[0])):
            digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
            assert f"{kind}-src &#39;sha256-{digest}&#39;" in policy[1], name
        assert "default-src &#39;none&#39;" in policy[1]


def test_the_tables_say_the_same_in_every_format(audited: Report, files: dict[str, bytes]) -> None:
    """CSV, JSON, Parquet and the report agree; a formula among the categories is neutralised in CSV."""
    import pyarrow.parquet as pq

    rows = json.loads(files["board.json"])
    assert pq.read_table(io.BytesIO(files["board.parquet"])).to_pylist() == rows
    lines = list(csv.DictReader(io.StringIO(files["board.csv"].decode())))
    assert [line["model"] for line in lines] == [row["model"] for row in rows]
    assert [float(line["raw"]) for line in lines] == pytest.approx([row["raw"] for row in rows])
    assert from_json(files["report.json"]) == audited
    null = next(row for row in rows if row["model"] == "null")
    assert "reject:exact_duplicates" in null["detectors"]
    values = {line["value"] for line in csv.DictReader(io.StringIO(files["slices.csv"].decode()))}
    assert values == {"coding", "maths", "'=writing", "en", "de"}


def test_parquet_keeps_strings_plain() -> None:
    """A name that looks like a formula is the same string again: Parquet runs nothing."""
    import pyarrow.parquet as pq

    report = S.report(S.submission("=cmd()"), S.submission("\ud800x"))
    table = pq.read_table(io.BytesIO(leaderboard_parquet(report))).to_pylist()
    assert [row["model"] for row in table] == ["=cmd()", "\\ud800x"]
    assert [row["n"] for row in table] == [row["n"] for row in leaderboard_rows(report)]
    assert pq.read_table(io.BytesIO(leaderboard_parquet(S.report()))).num_rows == 0


def test_twenty_submissions_on_many_slices_fit_a_page() -> None:
    """The largest board that is shown whole stays below one megabyte a page."""
    report = S.report(
        *[S.submission(f"model-with-a-long-name-{i:02d}-instruct", ranks=(i + 1, 20 - i)) for i in range(20)]
    )

    def score(model: str, control: str) -> Score:
        return Score(model, control, 51.23456789, 2.0, (47.3, 55.1), 805, "mean outcome", note="win 50%")

    boards = tuple(
        SliceBoard(kind, f"{kind} number {k}", 50, tuple(
            SliceRow(s.model, score(s.model, "raw"), score(s.model, "length_controlled"), Rank(3, 1, 9), Rank(5, 2, 11))
            for s in report.submissions
        ))
        for kind in ("category", "language") for k in range(MOST_ROWS // 40)
    )  # fmt: skip
    made = site_files(report, Slices(boards))
    assert max(len(text) for text in pages_of(made).values()) <= PAGE


def test_neighbours_in_either_order_are_paired(audited: Report) -> None:
    """Raw and controlled neighbours once each, rejected submissions never; of a few submissions all pairs."""
    pairs = pairs_of(S.field())
    assert ("gpt-4-turbo-2024-04-09", "honest-70b") in pairs or ("honest-70b", "gpt-4-turbo-2024-04-09") in pairs
    assert not any("NullModel" in pair for pair in pairs)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) <= 2 * 11
    few = replace(audited, submissions=audited.submissions[:4])
    assert len(pairs_of(few)) == 6
    assert pairs_of(S.report(S.null_model())) == ()


def test_a_report_of_nothing_has_a_site() -> None:
    """No submission, or a test set for judges: every page is there and says what is missing."""
    assert "no submission to rank" in site_files(S.report(), Slices())["index.html"].decode()
    page = site_files(S.judge_test(), Slices())["judge.html"].decode()
    assert "41.9%" in page
    assert "claude-3-haiku" in page


# --- the folder ---------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_writing_twice_changes_nothing_and_a_smaller_site_leaves_no_stale_page(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    """Pages of the larger site go, everything else stays; the manifest names what is there."""
    out = tmp_path / "site"
    assert write_site(files, out) == out / "index.html"
    first = contents(out)
    write_site(files, out)
    assert contents(out) == first
    assert first.keys() == files.keys() | {"site.json"}
    (out / "CNAME").write_text("example.org")
    stale = sorted(name for name in files if name.startswith("submission"))
    (out / stale[0]).write_text("edited by hand")
    small = {name: data for name, data in files.items() if not name.startswith("submission")}
    write_site(small, out)
    assert contents(out).keys() == small.keys() | {"site.json", "CNAME", stale[0]}
    assert json.loads((out / "site.json").read_text())["files"].keys() == small.keys()


def test_a_manifest_that_names_other_files_removes_none(files: dict[str, bytes], tmp_path: Path) -> None:
    """Neither outside the folder, nor a name that no site of ours has, nor through a link."""
    out = tmp_path / "site"
    write_site(files, out)
    victim = tmp_path / "index.html"
    victim.write_text("mine")
    (out / "notes.html").write_text("mine")
    linked = f"compare-{'0' * 24}.html"
    (out / linked).symlink_to(victim)
    digest = hashlib.sha256(b"mine").hexdigest()
    manifest = json.loads((out / "site.json").read_text())
    for name in ("../index.html", str(victim), "notes.html", linked):
        manifest["files"][name] = digest
    (out / "site.json").write_text(json.dumps(manifest))
    write_site(files, out)
    assert victim.read_text() == "mine"
    assert (out / "notes.html").exists()
    assert (out / linked).is_symlink()


def test_somebody_elses_page_is_not_overwritten(files: dict[str, bytes], tmp_path: Path) -> None:
    """A folder with its own index.html, or a manifest of something else, is refused before anything is written."""
    (tmp_path / "index.html").write_text("my home page")
    with pytest.raises(InputError, match="no page of ours"):
        write_site(files, tmp_path)
    assert contents(tmp_path) == {"index.html": b"my home page"}
    (tmp_path / "index.html").unlink()
    for text in ("{}", "not JSON", '{"schema": "auditkit.site/1", "files": ["index.html"]}', "[" * 100_000):
        (tmp_path / "site.json").write_text(text)
        with pytest.raises(InputError, match="not the manifest of a site"):
            write_site(files, tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write the site"):
        write_site(files, tmp_path / "file")


def test_a_run_that_was_killed_can_be_repeated(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a site is ours too: the next run completes it."""
    done: list[Path] = []
    real = replace_file

    def stop(path: Path, data: str | bytes) -> None:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(path)
        real(path, data)

    monkeypatch.setattr("auditkit.cli.site_files.replace_file", stop)
    with pytest.raises(KeyboardInterrupt):
        write_site(files, tmp_path)
    monkeypatch.undo()
    write_site(files, tmp_path)
    assert contents(tmp_path).keys() == files.keys() | {"site.json"}


def test_a_comparison_page_shows_its_numbers(battles: Battles, files: dict[str, bytes]) -> None:
    """The page of a pair holds the difference, its interval and both names, and links to both submissions."""
    found = compare_submissions(battles, "fine", "weak", FAST)
    from auditkit.reports.compare_page import render_comparison

    page = render_comparison(found, hrefs=("a.html", "b.html"))
    assert found.headline.estimate is not None
    assert f"+{found.headline.estimate:.1f}" in page
    assert 'href="a.html">fine' in page
    assert 'href="b.html">weak' in page
    assert sum(name.startswith("compare-") for name in files) >= 4
