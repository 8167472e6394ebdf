"""The pages in a real browser: inert, readable at every width, usable without a mouse, and sound by axe-core."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from auditkit.attacks.plan import AttackPlan
from auditkit.reports import render
from auditkit.reports.stress_html import render_stress
from auditkit.stress import StressPlan, stress

sync_api = pytest.importorskip("playwright.sync_api")

S = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "reports" / "sample.py")))
C = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("chromium.py"))))
PAGES = {
    "field": S.field,
    "null": lambda: S.report(S.null_model(), simulated=True),
    "attacked": lambda: S.report(S.attacked()),
    "judge": S.judge_test,
    "hostile": S.hostile,
}


pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(C.CHROMIUM).exists(), reason="there is no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, make in PAGES.items():
        path = folder / f"{name}.html"
        path.write_text(render(make()), encoding="utf-8")
        found[name] = path.as_uri()
    plan = StressPlan(
        model="simulated/obey?p=0.9", attacks=AttackPlan(only=("injection-naive", "padding-double")), probes="none", fuzz=20,
        pairs=16, against="arena-hard-v0.1", against_model="simulated/honest",
    )  # fmt: skip
    path = folder / "stress.html"
    path.write_text(render_stress(stress("arena-hard-v0.1", plan, out=folder / "stress")), encoding="utf-8")
    return {**found, "stress": path.as_uri()}


class Watched:
    """A page, and everything it did that a report must not do."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(5000)
        self.page = self.context.new_page()
        self.dialogs: list[str] = []
        self.console: list[str] = []
        self.requests: list[str] = []
        self.page.on("dialog", self._dialog)
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.route("**/*", self._route)
        self.page.goto(url)

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _route(self, route: Any) -> None:
        self.requests.append(route.request.url)
        if route.request.url.startswith("file:") and len(self.requests) == 1:
            route.continue_()
        else:
            route.abort()

    def wrongdoing(self) -> list[str]:
        pwned = self.page.evaluate("() => typeof window.__pwned")
        return [*self.dialogs, *self.console, *self.requests[1:], *([] if pwned == "undefined" else [pwned])]


@pytest.fixture
def visit(browser: Any, files: dict[str, str]) -> Iterator[Any]:
    opened: list[Watched] = []

    def go(name: str, size: str = "desktop", **options: Any) -> Watched:
        width, height = C.SIZES[size]
        url = files.get(name, name)
        opened.append(Watched(browser, url, viewport={"width": width, "height": height}, **options))
        return opened[-1]

    yield go
    for watched in opened:
        watched.context.close()


def test_hostile_answers_execute_nothing(visit: Any) -> None:
    """Every fold opened, every link and button used: no script, no dialog, no request, no word on the console."""
    watched = visit("hostile")
    page = watched.page
    C.open_all(page)
    for selector in ("th button", ".folds button", ".board a"):
        for i in range(page.locator(selector).count()):
            page.locator(selector).nth(i).dispatch_event("click")
    page.mouse.move(200, 300)
    page.mouse.wheel(0, 4000)
    assert watched.wrongdoing() == []


def test_the_watch_sees_what_an_unprotected_page_does(visit: Any, tmp_path: Path) -> None:
    """The same strings in a page without our escaping do run: the test above can fail."""
    naive = tmp_path / "naive.html"
    naive.write_text("<!doctype html><meta charset=utf-8>" + "".join(S.HOSTILE[:2]), encoding="utf-8")
    watched = visit(naive.as_uri())
    watched.page.wait_for_function("() => window.__pwned === 1")
    assert watched.wrongdoing()


def test_the_policy_stops_markup_that_would_slip_in(visit: Any) -> None:
    """Even a tag that got past the escaping could neither run nor load anything."""
    watched = visit("null")
    watched.page.evaluate(
        """() => document.body.insertAdjacentHTML('beforeend',
            '<img src="http://127.0.0.1:9/x" onerror="window.__pwned=1"><svg onload="window.__pwned=1"></svg>')"""
    )
    watched.page.wait_for_timeout(150)
    assert watched.page.evaluate("() => typeof window.__pwned") == "undefined"
    assert watched.requests[1:] == []
    assert any("Content Security Policy" in text for text in watched.console)


@pytest.mark.parametrize("size", C.SIZES)
@pytest.mark.parametrize("name", [*PAGES, "stress"])
def test_nothing_overflows_and_nothing_is_tiny(visit: Any, shots: Path, name: str, size: str) -> None:
    """No sideways scrolling of the page, no text below 11 pixels or in a sliver, a quiet console; with every fold open."""
    watched = visit(name, size)
    C.open_all(watched.page)
    for scheme in ("light", "dark"):
        watched.page.emulate_media(color_scheme=scheme)
        found = watched.page.evaluate(
            """() => ({
                wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
                tiny: [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility()
                    && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())
                    && parseFloat(getComputedStyle(e).fontSize) < 11).map((e) => e.outerHTML.slice(0, 80)),
                squeezed: [...document.querySelectorAll('tbody th, td, dd, li, p')].filter((e) => e.checkVisibility()
                    && !e.classList.contains('visually-hidden') && e.textContent.trim().length > 16
                    && e.clientWidth < 70).map((e) => e.outerHTML.slice(0, 80)),
                ground: getComputedStyle(document.body).backgroundColor,
            })"""
        )
        assert found["wide"] == 0
        assert found["tiny"] == []
        assert found["squeezed"] == []
        channels = [int(c) for c in found["ground"].removeprefix("rgb(").removesuffix(")").split(",")]
        assert (sum(channels) < 200) == (scheme == "dark")
        watched.page.screenshot(path=shots / f"{name}-{size}-{scheme}.png")
    assert watched.wrongdoing() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("null", "desktop"),
        ("attacked", "desktop"),
        ("attacked", "phone"),
        ("judge", "desktop"),
        ("stress", "desktop"),
        ("stress", "phone"),
        pytest.param("field", "desktop", marks=pytest.mark.slow),
        pytest.param("hostile", "desktop", marks=pytest.mark.slow),
    ],
)
def test_axe_finds_no_violation(visit: Any, name: str, size: str, scheme: str) -> None:
    """WCAG 2.2 AA and best practice by axe-core, every fold open. Its script is let past our policy for this test only."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visit(name, size, color_scheme=scheme, bypass_csp=True).page
    C.open_all(page)
    found = axe.run(page, options=C.RULES).response
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found["violations"]] == []
    assert len(found["passes"]) > 20


def test_axe_sees_what_is_wrong(visit: Any) -> None:
    """The same check fails on a page that was spoilt: it can fail."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visit("attacked", bypass_csp=True).page
    page.evaluate(
        """() => {
            document.documentElement.removeAttribute('lang');
            document.querySelector('.hero .lede').style.color = '#ddd';
        }"""
    )
    found = axe.run(page, options={"runOnly": {"type": "tag", "values": C.TAGS}}).response
    assert {v["id"] for v in found["violations"]} >= {"html-has-lang", "color-contrast"}


@pytest.mark.parametrize("name", [*PAGES, "stress"])
def test_a_screen_reader_finds_names_and_order(visit: Any, name: str) -> None:
    """In the accessibility tree every image, table and region has a name and headings skip no level."""
    page = visit(name).page
    C.open_all(page)
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    nodes = [
        (node["role"]["value"], node.get("name", {}).get("value", "").strip())
        for node in tree
        if not node.get("ignored")
    ]
    for role in ("image", "img", "SvgRoot", "table", "region", "button", "link"):
        assert [label for kind, label in nodes if kind == role and not label] == [], role
    assert [role for role, _ in nodes if role in ("image", "img", "SvgRoot")]
    assert [role for role, _ in nodes if role == "rowheader"]
    levels = page.get_by_role("heading").evaluate_all("(all) => all.map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_the_keyboard_reaches_and_opens_every_fold(visit: Any) -> None:
    """Tab comes to the skip link first and to each submission in turn; Enter opens and closes it."""
    page = visit("field").page
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        at = page.evaluate(
            """() => document.activeElement.matches('details.submission > summary')
                ? [...document.querySelectorAll('details.submission > summary')].indexOf(document.activeElement) : -1"""
        )
        if at >= 0:
            reached.add(at)
    assert reached == set(range(page.locator("details.submission").count()))
    first = page.locator("details.submission").first
    first.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert first.evaluate("(d) => d.open")
    page.keyboard.press("Enter")
    assert not first.evaluate("(d) => d.open")


def test_the_first_screen_answers(visit: Any) -> None:
    """At 1280 by 900 verdict, both scores, the reasons and what would change them are seen without scrolling."""
    page = visit("null").page
    for text in ("Can this score be believed?", "As judged", "As controlled", "Why not", "What would change it"):
        box = page.locator("p, th, h3").filter(has_text=text).first.bounding_box()
        assert box["y"] + box["height"] < 900, text
    assert page.locator(".why .reasons li").first.bounding_box()["y"] < 900


def test_a_control_leads_to_its_explanation(visit: Any) -> None:
    """Following its name opens the folded text, by keyboard and without a script."""
    page = visit("attacked", java_script_enabled=False).page
    fold = page.locator("details.explain").filter(has_text="Length controlled")
    assert not page.get_by_text("tanh(Δlength / sd)").first.is_visible()
    page.get_by_role("link", name="Length controlled").first.press("Enter")
    assert page.get_by_text("tanh(Δlength / sd)").first.is_visible()
    assert fold.first.evaluate("(d) => d.open")


def test_an_attacked_answer_is_copied_without_a_network(visit: Any) -> None:
    """The button puts the text as it stands there on the clipboard and says so to a screen reader."""
    watched = visit("attacked", permissions=["clipboard-read", "clipboard-write"])
    page = watched.page
    C.open_all(page)
    quote = page.locator("figure.quote").filter(has_text="Attacked answer").first
    quote.get_by_role("button", name="Copy: Attacked answer").press("Enter")
    page.wait_for_function("() => document.querySelector('[role=status]').textContent === 'Copied'")
    assert page.evaluate("() => navigator.clipboard.readText()") == quote.locator("code").text_content()
    command = page.locator("pre[data-copy=command]").text_content()
    page.get_by_role("button", name="Copy: command").click()
    page.wait_for_function("(text) => navigator.clipboard.readText().then((t) => t === text)", arg=command)
    assert watched.wrongdoing() == []


@pytest.mark.parametrize("name", ["attacked", "stress"])
def test_on_paper_nothing_is_cut(visit: Any, shots: Path, name: str) -> None:
    """Printed to PDF at the width of A4 nothing is wider than the paper, and every fold is open."""
    page = visit(name, color_scheme="dark").page
    page.set_viewport_size({"width": 703, "height": 1000})
    page.emulate_media(media="print")
    found = page.evaluate(
        """() => ({
            wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
            cut: [...document.querySelectorAll('.scroll, pre, td, th, dd')].filter((e) => e.checkVisibility()
                && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'visible').length,
            shut: [...document.querySelectorAll('details > *:not(summary)')].filter((e) => !e.checkVisibility()).length,
        })"""
    )
    assert found == {"wide": 0, "cut": 0, "shut": 0}
    paper = page.pdf(path=shots / f"{name}.pdf", format="A4")
    assert paper.startswith(b"%PDF") and len(paper) > 20_000


def test_a_name_in_the_leaderboard_leads_to_its_report(visit: Any) -> None:
    """Following the link opens the submission and shows it."""
    page = visit("field").page
    page.get_by_role("link", name="NullModel").press("Enter")
    inside = page.locator("details.submission").filter(has_text="NullModel").first
    assert inside.evaluate("(d) => d.open")
    assert page.get_by_text("3 detectors reject the submission").first.is_visible()


def test_the_leaderboard_sorts_by_any_column(visit: Any) -> None:
    """A click sorts, a second one turns the order; what has no number stays last."""
    page = visit("field").page
    column = page.get_by_role("columnheader", name="Raw win rate", exact=True)

    def shown() -> list[float]:
        return [
            float(t.split("%")[0])
            for t in page.locator(".board tbody tr td[data-label='Raw win rate'] strong").all_inner_texts()
        ]

    column.get_by_role("button").click()
    assert column.get_attribute("aria-sort") == "descending"
    assert shown() == sorted(shown(), reverse=True)
    column.get_by_role("button").click()
    assert column.get_attribute("aria-sort") == "ascending"
    assert shown() == sorted(shown())
    page.locator("th button", has_text="Rank").first.click()
    places = page.locator(".board tbody tr td:nth-child(5)").all_inner_texts()
    numbers = [int(p.split()[0]) for p in places if p.strip() != "–"]
    assert numbers == sorted(numbers)
    assert [p.strip() for p in places[len(numbers) :]] == ["–"] * (len(places) - len(numbers))


def test_print_shows_what_is_folded(visit: Any) -> None:
    """On paper every fold is open and the page is white, also where the screen is dark."""
    page = visit("field", color_scheme="dark").page
    hidden = "() => [...document.querySelectorAll('details .folded')].filter((e) => !e.checkVisibility()).length"
    assert page.evaluate(hidden) > 0
    page.emulate_media(media="print")
    assert page.evaluate(hidden) == 0
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".folds").is_visible()


def test_without_scripts_nothing_is_missing(visit: Any) -> None:
    """The page reads the same with scripts off, and shows no button that would do nothing."""
    page = visit("field", java_script_enabled=False).page
    assert page.locator("th button").count() == 0
    assert not page.locator(".folds").is_visible()
    summary = page.locator("details.submission > summary").first
    summary.click()
    assert page.get_by_text("3 detectors reject the submission").first.is_visible()


def test_a_row_chart_stands_where_its_scale_says(visit: Any) -> None:
    """In the browser's own geometry the dot of 46.1 lies between the ticks that enclose it, at that share."""
    page = visit("attacked").page
    found = page.evaluate(
        """() => {
            const table = document.querySelector('.fold table.plotted');
            const middle = (e) => { const r = e.getBoundingClientRect(); return r.left + r.width / 2; };
            return {
                ticks: [...table.querySelectorAll('thead .scale text')].map((t) => [parseFloat(t.textContent), middle(t)]),
                dots: [...table.querySelectorAll('tbody tr')].map((row) => [
                    parseFloat(row.querySelector('td.estimate strong').textContent),
                    row.querySelector('circle') && middle(row.querySelector('circle'))]),
            };
        }"""
    )
    (low, left), (high, right) = found["ticks"][0], found["ticks"][-1]
    drawn = [(value, at) for value, at in found["dots"] if at is not None]
    assert len(drawn) == 4
    for value, at in drawn:
        assert at == pytest.approx(left + (right - left) * (value - low) / (high - low), abs=1.0)
