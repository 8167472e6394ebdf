"""The page: whole, honest about what is not known, and inert."""

from __future__ import annotations

import base64
import hashlib
import re
import runpy
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from auditkit.records import Length, Note, Score
from auditkit.reports import render, wording
from auditkit.reports.card import card
from auditkit.reports.report import Quality, Reason, Report

S = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("sample.py"))))

VOID = {"meta", "line", "circle", "rect", "use", "br"}


class Page(HTMLParser):
    """What a browser would find: tags, attributes, text; unbalanced tags are an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.raw: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({k for k, _ in attrs}) == len(attrs), (tag, attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            self.raw[self.open[-1]] = data
        else:
            self.words.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(name)) is not None]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


EXAMPLES = {
    "field": S.field,
    "single": lambda: S.report(S.submission("m")),
    "attacked": lambda: S.report(S.attacked()),
    "null": lambda: S.report(S.null_model()),
    "hostile": S.hostile,
    "judge": S.judge_test,
    "empty": S.report,
}


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Report:
    report: Report = EXAMPLES[request.param]()
    return report


def test_the_page_is_one_well_formed_document(example: Report) -> None:
    """Balanced tags, unique ids, every reference inside the page has its target, headings skip no level."""
    page = Page(render(example))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    for name in ("aria-labelledby",):
        assert {part for value in page.values(name) for part in value.split()} <= set(ids)
    assert {href.removeprefix("#") for href in page.values("href")} <= set(ids)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert dict(page.tags)["html"]["lang"] == "en"


def test_nothing_leaves_the_page_and_nothing_foreign_runs(example: Report) -> None:
    """No address, no handler, no inline style; the policy allows exactly the two blocks that are there."""
    page = Page(render(example))
    assert {tag for tag, _ in page.tags} & {
        "img",
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "form",
        "image",
    } == set()
    assert [tag for tag, _ in page.tags].count("script") == 1
    attributes = {name for _, attrs in page.tags for name in attrs}
    assert not [name for name in attributes if name.startswith("on") or name in ("src", "style", "srcdoc", "action")]
    assert all(href.startswith("#") for href in page.values("href"))
    policy = next(v for v in page.values("content") if "default-src" in v)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, names in (("style", ("report.css",)), ("script", ("sort.js", "report.js"))):
        own = "".join(
            files("auditkit.reports").joinpath("templates", name).read_text(encoding="utf-8") for name in names
        )
        assert page.raw[tag] == own
        assert f"'sha256-{base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()}'" in policy
    assert not re.search(
        r"url\(|@import|fetch\(|XMLHttpRequest|eval\(|innerHTML", page.raw["style"] + page.raw["script"]
    )


def test_hostile_text_is_visible_and_short() -> None:
    """Tags stand there as text, control characters as escapes, ten kilobytes as a few words."""
    page = Page(render(S.hostile()))
    assert '<img src=x onerror="window.__pwned=1">' in page.text
    assert "{{ 7*7 }}" in page.text
    assert "49{%" not in page.text
    assert "\\u202egnp.exe\\u2066 bidi" in page.text
    assert "a" * 1201 not in page.text
    assert "(10000 characters)" in page.text
    assert not [c for c in render(S.hostile()) if not c.isprintable() and c not in "\n\u00a0"]


def test_the_same_report_gives_the_same_bytes(example: Report) -> None:
    """Rendering draws nothing at random and reads no clock."""
    assert render(example) == render(example)


def test_every_score_stands_on_the_page_with_its_interval() -> None:
    """Estimate, interval, n and method of every control; the reason where there is none."""
    sub = S.submission("m")
    page = Page(render(S.report(sub)))
    for score in sub.scores:
        assert wording.control_label(score.control) in page.text
        if score.estimate is None:
            assert "Undefined: the covariates predict the verdict perfectly." in page.text
        else:
            assert f"{score.estimate:.1f}%" in page.text
            assert " ".join(wording.score_interval(score).split()) in page.text
            assert score.method in page.text
    assert f"{S.submission('m').scores[0].published_se:.2f}" in page.text


def test_the_rejected_submission_shows_verdict_rule_and_evidence() -> None:
    """Why, how much, by which rule, and a quotation."""
    text = Page(render(S.report(S.null_model()))).text
    for words in (
        "Rejected", "3 detectors reject the submission", "detectors_reject · found 3 flags · threshold 0 flags", "Constant output",
        'begin of a verdict template', "and 2 more in report.json", "extrapolation", "standard 1.0",
        "auditkit audit results --calibration df_gamed.csv --out out",
    ):  # fmt: skip
        assert words in text, words


def test_what_was_not_measured_is_called_so() -> None:
    """No dash or zero takes the place of a missing measurement on the card."""
    sub = S.submission("m")
    tiles = {tile.label: tile for tile in card(S.report(sub), sub)}
    assert tiles["Rank uplift"].value == "Not measured"
    assert tiles["Cost to the top"].value == "Not measured"
    text = Page(render(S.report(sub))).text
    for name in ("attacks on this judge", "rank uplift under attack", "cost to the top in judge calls"):
        assert name in text
    assert "robust" not in text.replace("cluster-robust", "")


def test_the_card_takes_its_marks_from_the_policy() -> None:
    """A tile warns where a rule warns, and only there."""
    sub = S.submission("m")
    warned = replace(
        sub, reasons=(Reason("position", "warn", 20.9, 10.0, "one order"), Reason("coverage", "fail", 0.2, 0.95, "few"))
    )
    tiles = {t.label: t.status for t in card(S.report(warned), warned)}
    assert tiles["Position"] == "warn"
    assert tiles["Data quality"] == "fail"
    assert {t.label: t.status for t in card(S.report(sub), sub)}["Position"] == "info"


def test_a_gate_that_does_not_touch_the_score_does_not_fail_it() -> None:
    """The card tells a failed gate from one that fails for this submission."""
    sub = S.submission("m")
    spared = replace(sub, reasons=(Reason("gates", "pass", 0.0, 0.0, "none fails for this score"),))
    harness = next(t for t in card(S.report(spared), spared) if t.label == "Harness gates")
    assert (harness.status, harness.value) == ("info", "1 of 4 fail")
    assert "not for this score" in harness.text


def test_simulated_recordings_say_so() -> None:
    """The banner is there when the judge is simulated, and only then."""
    assert "Simulated." in Page(render(S.report(S.submission("m"), simulated=True))).text
    assert "Simulated." not in Page(render(S.report(S.submission("m")))).text


def test_a_judge_test_set_reads_as_one() -> None:
    """Judges side by side, no word of submissions."""
    text = Page(render(S.judge_test())).text
    assert "Judges How often each judge prefers" in text
    assert "41.9%" in text
    assert "Same verdict in both orders 61.1%" in text
    assert "No submissions" not in text


def test_missing_measurements_everywhere_still_make_a_page() -> None:
    """A submission of which only counts are known."""
    bare = replace(
        S.submission("counts"), scores=(), decomposition=(), style=(), detectors=(), reasons=(),
        quality=Quality(None, 0, 0, 0), length=Length(None, None, None, None, None, note="no answers are recorded"),
    )  # fmt: skip
    text = Page(render(S.report(bare))).text
    assert "No control gives a score for this submission." in text
    assert "unknown: the size of the benchmark is not recorded" in text


def test_long_lists_are_cut_and_counted() -> None:
    """What is left out is stated."""
    report = replace(S.report(S.submission("m")), notes=tuple(Note("kind", f"note {i}") for i in range(1000)))
    text = Page(render(report)).text
    assert "and 940 more in report.json." in text


def test_ratings_and_rewards_have_scales_of_their_own() -> None:
    """A rating of 8.12 is not a percentage."""
    scores = (
        Score("m", "mt_bench", 8.123, 0.1, (7.9, 8.3), 160, unit="rating"),
        Score("m", "wildbench_k_mixture_K=-1", -12.5, 0.1, (-15.0, -10.0), 1024, unit="reward"),
    )
    text = Page(render(S.report(replace(S.submission("m"), scores=scores, decomposition=())))).text
    assert "8.12 [7.90, 8.30]" in text
    assert "8.12%" not in text
    assert f"{wording.MINUS}12.5 [{wording.MINUS}15.0, {wording.MINUS}10.0]" in text
    assert "WildBench mixture K off" in text


def test_the_waterfall_ends_at_the_score() -> None:
    """Base and parts add up to the score as judged."""
    sub = S.submission("m", raw=46.1)
    text = Page(render(S.report(sub))).text
    parts = sum(p.points for p in sub.decomposition if p.points is not None)
    assert parts == pytest.approx(46.1 - 50.0)
    assert "An even match: 50.0 An even match" not in text
    assert "An even match" in text
    assert "Fewer than three other submissions answered the same prompts." in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.0, "0%"), (1.0, "100%"), (0.9996, ">99.9%"), (0.0001, "<0.1%"), (0.5, "50.0%"), (0.9991, "99.9%")],
)
def test_shares_do_not_round_to_all_or_nothing(value: float | None, shown: str) -> None:
    """100% means all, 0% means none."""
    assert wording.share(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (-0.04, "0.0"), (0.04, "0.0"), (1.25, "+1.2"), (-3.0, "−3.0"), (1234.5, "+1,234.5")],
)
def test_signed_numbers_have_no_negative_zero(value: float | None, shown: str) -> None:
    """Nothing is "-0.0", and a minus is a minus."""
    assert wording.signed(value) == shown


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_the_contrast_that_wcag_asks_for(scheme: int) -> None:
    """Text 4.5 to 1 on every ground it stands on, marks of charts 3 to 1, in both schemes."""
    css = files("auditkit.reports").joinpath("templates", "report.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[scheme]))

    def contrast(a: str, b: str) -> float:
        high, low = sorted((_luminance(colours[a]), _luminance(colours[b])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    words = ["good", "warn", "bad", "none", "note"]
    grounds = [f"{w}-tint" for w in words]
    pairs = [(w, f"{w}-tint") for w in words] + [(w, "panel") for w in words]
    pairs += [(text, ground) for text in ("ink", "soft") for ground in ("page", "panel", "raised", *grounds)]
    pairs += [("accent", "panel"), ("accent", "page")]
    assert {p: c for p in pairs if (c := contrast(*p)) < 4.5} == {}
    assert {m: c for m in ("accent", "gain", "loss", "level") if (c := contrast(m, "panel")) < 3.0} == {}
