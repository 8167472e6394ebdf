"""The page in a real browser: inert, readable at every width, and usable without a mouse."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from auditkit.reports import render

sync_api = pytest.importorskip("playwright.sync_api")

S = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "reports" / "sample.py")))
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PAGES = {
    "field": S.field,
    "null": lambda: S.report(S.null_model(), simulated=True),
    "attacked": lambda: S.report(S.attacked()),
    "judge": S.judge_test,
    "hostile": S.hostile,
}
SIZES = {"phone": (360, 800), "desktop": (1280, 900)}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="there is no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, make in PAGES.items():
        path = folder / f"{name}.html"
        path.write_text(render(make()), encoding="utf-8")
        found[name] = path.as_uri()
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


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
        width, height = SIZES[size]
        url = files.get(name, name)
        opened.append(Watched(browser, url, viewport={"width": width, "height": height}, **options))
        return opened[-1]

    yield go
    for watched in opened:
        watched.context.close()


def open_all(page: Any) -> None:
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")


def test_hostile_answers_execute_nothing(visit: Any) -> None:
    """Every fold opened, every link and button used: no script, no dialog, no request, no word on the console."""
    watched = visit("hostile")
    page = watched.page
    open_all(page)
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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_overflows_and_nothing_is_tiny(visit: Any, name: str, size: str) -> None:
    """No sideways scrolling of the page, no text below 11 pixels, a quiet console; with every fold open."""
    watched = visit(name, size)
    open_all(watched.page)
    for scheme in ("light", "dark"):
        watched.page.emulate_media(color_scheme=scheme)
        found = watched.page.evaluate(
            """() => ({
                wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
                tiny: [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility()
                    && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())
                    && parseFloat(getComputedStyle(e).fontSize) < 11).map((e) => e.outerHTML.slice(0, 80)),
                ground: getComputedStyle(document.body).backgroundColor,
            })"""
        )
        assert found["wide"] == 0
        assert found["tiny"] == []
        channels = [int(c) for c in found["ground"].removeprefix("rgb(").removesuffix(")").split(",")]
        assert (sum(channels) < 200) == (scheme == "dark")
    assert watched.wrongdoing() == []


@pytest.mark.parametrize("name", PAGES)
def test_a_screen_reader_finds_names_and_order(visit: Any, name: str) -> None:
    """In the accessibility tree every image, table and region has a name and headings skip no level."""
    page = visit(name).page
    open_all(page)
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
            const table = document.querySelector('table.plotted');
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
