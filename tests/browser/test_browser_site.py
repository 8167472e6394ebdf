"""The pages of a site in a real browser: sorted, filtered and read by anyone, and inert."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from auditkit.audit import audit_battles
from auditkit.records import Battles, Settings
from auditkit.reports.site import site_files
from auditkit.reports.sliced import Slices
from auditkit.site import site

sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

S = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "reports" / "sample.py")))
C = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("chromium.py"))))
PAGES = ("index", "submission", "compare", "judge", "method", "hostile", "hostile-submission")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(C.CHROMIUM).exists(), reason="there is no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def folder(simulate: Callable[..., Battles], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of seven submissions with categories and languages, and one in which every text is an attack."""
    skills = {"fine": 0.9, "good": 0.6, "fair": 0.1, "poor": -0.5, "weak": -1.0, "last": -1.4, "null": 0.2}
    battles = simulate(skills, prompts=90, length=0.6, constant=frozenset({"null"}))
    prompts = battles.prompts.copy()
    prompts["category"] = np.array(["coding", "maths", "writing"])[np.arange(90) % 3]
    prompts["language"] = np.where(np.arange(90) % 15 == 0, "de", "en")
    settings = Settings(replicates=60)
    battles = replace(battles, prompts=prompts)
    made = site(battles, audit_battles(battles, settings=settings, command="auditkit audit run --site out"), settings)
    out = tmp_path_factory.mktemp("site")
    for name, files in (("site", made), ("hostile", site_files(S.hostile(), Slices()))):
        (out / name).mkdir()
        for file, data in files.items():
            (out / name / file).write_bytes(data)
    return out


@pytest.fixture(scope="module")
def where(folder: Path) -> dict[str, str]:
    """Address by page."""

    def first(pattern: str) -> str:
        return min(folder.glob(pattern)).as_uri()

    return {
        **{name: (folder / "site" / f"{name}.html").as_uri() for name in ("index", "judge", "method")},
        "submission": first("site/submission-*.html"),
        "compare": first("site/compare-*.html"),
        "hostile": (folder / "hostile" / "index.html").as_uri(),
        "hostile-submission": first("hostile/submission-*.html"),
    }


class Watched:
    """A page, and everything it did that no page of ours may do."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(5000)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("dialog", self._dialog)
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._request)
        self.page.goto(url)

    def _dialog(self, dialog: Any) -> None:
        self.wrong.append(dialog.message)
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        if not (request.url.startswith("file:") and request.is_navigation_request()):
            self.wrong.append(request.url)

    def wrongdoing(self) -> list[str]:
        pwned = self.page.evaluate("() => typeof window.__pwned")
        return [*self.wrong, *([] if pwned == "undefined" else [pwned])]


@pytest.fixture
def visit(browser: Any, where: dict[str, str]) -> Iterator[Any]:
    opened: list[Watched] = []

    def go(name: str, size: str = "desktop", **options: Any) -> Watched:
        width, height = C.SIZES[size]
        opened.append(Watched(browser, where[name], viewport={"width": width, "height": height}, **options))
        return opened[-1]

    yield go
    for watched in opened:
        watched.context.close()


def names_shown(page: Any) -> list[str]:
    found: list[str] = page.locator("#board tbody tr:not([hidden]) th").all_inner_texts()
    return [text.strip() for text in found]


def cells(page: Any, part: str) -> list[str]:
    found: list[str] = page.locator(f"#board tbody tr:not([hidden]) [data-part={part}]").all_inner_texts()
    return [" ".join(text.split()) for text in found]


# --- everybody can read it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [name for name in PAGES if name != "hostile-submission"])
def test_axe_finds_no_fault(visit: Any, name: str, scheme: str) -> None:
    """WCAG 2.2 AA by axe-core on each page, every fold open, light and dark."""
    page = visit(name, bypass_csp=True, color_scheme=scheme).page  # axe is injected, which the policy would refuse
    C.open_all(page)
    found = axe.Axe().run(page, options=C.RULES)
    assert found.violations_count == 0, found.generate_report()


def test_axe_finds_no_fault_on_a_phone_or_a_slice(visit: Any) -> None:
    """The same of the board at 360 pixels, and after a slice was put in."""
    for size in C.SIZES:
        page = visit("index", size, bypass_csp=True).page
        page.get_by_label("Prompts", exact=True).select_option(index=1)
        found = axe.Axe().run(page, options=C.RULES)
        assert found.violations_count == 0, found.generate_report()


def test_axe_would_find_a_fault(visit: Any) -> None:
    """Grey on grey and an input without a name are found: the tests above can fail."""
    page = visit("index", bypass_csp=True).page
    page.evaluate(
        """() => document.querySelector('main').insertAdjacentHTML('afterbegin',
            '<p id="bad">faint</p><input type="text">')"""
    )
    page.evaluate(
        "() => { const p = document.getElementById('bad'); p.style.color = '#ccc'; p.style.background = '#ddd'; }"
    )
    report = axe.Axe().run(page, options=C.RULES).generate_snapshot()
    assert "color-contrast" in report
    assert "label" in report


@pytest.mark.parametrize("size", C.SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_no_page_scrolls_sideways_or_misbehaves(visit: Any, name: str, size: str, shots: Path) -> None:
    """At 360 and 1280 pixels, light and dark, every fold open: no overflow, no tiny text, a quiet console, no request."""
    watched = visit(name, size)
    for scheme in ("light", "dark"):
        watched.page.emulate_media(color_scheme=scheme)
        watched.page.screenshot(path=shots / f"site-{name}-{size}-{scheme}.png", full_page=True)
    C.open_all(watched.page)
    found = watched.page.evaluate(
        """() => ({
            wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
            tiny: [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility()
                && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())
                && parseFloat(getComputedStyle(e).fontSize) < 10).map((e) => e.outerHTML.slice(0, 80)),
        })"""
    )
    assert found == {"wide": 0, "tiny": []}
    assert watched.wrongdoing() == []


@pytest.mark.parametrize("name", PAGES)
def test_headings_and_names_are_in_order(visit: Any, name: str) -> None:
    """One first heading, no level skipped, and every image, table, region and link has a name."""
    page = visit(name).page
    C.open_all(page)
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    nodes = [
        (node["role"]["value"], node.get("name", {}).get("value", "").strip())
        for node in tree
        if not node.get("ignored")
    ]
    for role in ("image", "img", "SvgRoot", "table", "region", "button", "link", "combobox", "searchbox"):
        assert [label for kind, label in nodes if kind == role and not label] == [], role
    levels = page.get_by_role("heading").evaluate_all("(all) => all.map((h) => Number(h.tagName[1]))")
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


# --- sorting and filtering ------------------------------------------------------------------------------------------


def test_the_board_sorts_by_every_column(visit: Any) -> None:
    """A click orders the rows by that column and says so, a second one turns them; what has no value stays last."""
    page = visit("index").page
    heads = page.locator("#board thead th[data-sort]")
    assert page.locator("#board thead th[aria-sort=ascending]").count() == 1
    for i in range(heads.count()):
        head = heads.nth(i)
        for _ in range(2):
            head.get_by_role("button").click()
            down = head.get_attribute("aria-sort") == "descending"
            column = head.evaluate("(h) => h.cellIndex")
            values = page.locator("#board tbody tr").evaluate_all(
                "(rows, column) => rows.map((r) => r.cells[column].dataset.value)", column
            )
            assert None not in values
            known = [v for v in values if v != ""]
            assert values == known + [""] * (len(values) - len(known))
            numbers = [float(v) for v in known] if all(_number(v) for v in known) else known
            assert numbers == sorted(numbers, reverse=down)
        assert page.locator("#board th[aria-sort]").count() == 1


def _number(text: str) -> bool:
    return text.replace("-", "", 1).replace(".", "", 1).isdigit()


def test_text_and_verdict_filter_rows(visit: Any) -> None:
    """Rows that do not fit are hidden, the count says how many are left, and Clear shows all again."""
    page = visit("index").page
    assert len(names_shown(page)) == 7
    page.get_by_label("Find").fill("OO")
    assert sorted(names_shown(page)) == ["good", "poor"]
    assert page.get_by_role("status").inner_text() == "2 of 7 shown"
    page.get_by_label("Find").fill("nobody")
    assert page.get_by_text("No submission fits these filters.").is_visible()
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("() => document.querySelectorAll('#board tbody tr:not([hidden])').length === 7")
    page.get_by_label("Verdict", exact=True).select_option("rejected")
    assert names_shown(page) == ["null"]


def test_a_category_shows_its_own_numbers(visit: Any) -> None:
    """Scores, intervals, ranks and n are those of the slice's own table; all prompts brings the first ones back."""
    watched = visit("index")
    page = watched.page
    before = {part: cells(page, part) for part in ("n", "raw", "raw-rank", "held", "held-rank", "move")}
    menu = page.get_by_label("Prompts", exact=True)
    names = menu.locator("option").all_inner_texts()
    assert [n.split(" (")[0] for n in names] == ["All prompts", "coding", "maths", "writing", "en", "de"]
    for ident, label, n in (("c0", "coding (30)", "30"), ("c3", "en (84)", "84"), ("c4", "de (6)", "6")):
        menu.select_option(label=label)
        assert set(cells(page, "n")) == {n}
        slice_rows = page.locator(f"#{ident} tbody tr").evaluate_all(
            "(rows) => rows.map((r) => [r.dataset.row, ...[...r.querySelectorAll('[data-part]')].map((c) => c.textContent.trim())])"
        )
        shown = page.locator("#board tbody tr").evaluate_all(
            "(rows) => rows.map((r) => [r.dataset.row, ...[...r.querySelectorAll('[data-part]')].map((c) => c.textContent.trim())])"
        )
        assert sorted(shown) == sorted(slice_rows)
        assert label.split(" (")[0] in page.get_by_role("status").inner_text()
        ids = page.evaluate("() => [...document.querySelectorAll('[id]')].map((e) => e.id)")
        assert len(ids) == len(set(ids))
    assert any("not measured on this slice" in text for text in cells(page, "held"))
    assert not any(text.startswith("0.0") for text in cells(page, "held"))
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("() => document.querySelector('#board [data-part=n]').textContent.trim() === '90'")
    assert {part: sorted(cells(page, part)) for part in before} == {
        part: sorted(found) for part, found in before.items()
    }
    assert watched.wrongdoing() == []


def test_a_slice_keeps_its_order_useful(visit: Any) -> None:
    """Where the slice has no controlled rank the raw rank orders the rows."""
    page = visit("index").page
    page.get_by_label("Prompts", exact=True).select_option(label="de (6)")
    ranks = [text.split()[0] for text in cells(page, "raw-rank")]
    numbers = [int(rank) for rank in ranks if rank.isdigit()]
    assert len(numbers) == 6
    if page.locator("#board th[aria-sort]").inner_text().startswith("Rank"):
        held = [text.split()[0] for text in cells(page, "held-rank")]
        assert numbers == sorted(numbers) or any(rank.isdigit() for rank in held)


def test_the_keyboard_alone_does_it_all(visit: Any) -> None:
    """Skip link first; sort, filter, choose a slice, open a fold and follow a link without a mouse."""
    page = visit("index").page
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"

    def tab_to(script: str) -> None:
        for _ in range(80):
            if page.evaluate(f"() => {{ const e = document.activeElement; return {script}; }}"):
                return
            page.keyboard.press("Tab")
        raise AssertionError(script)

    tab_to("e.name === 'text'")
    page.keyboard.type("poor")
    assert names_shown(page) == ["poor"]
    for _ in range(4):
        page.keyboard.press("Backspace")
    tab_to("e.name === 'slice'")
    page.keyboard.press("ArrowDown")
    assert set(cells(page, "n")) == {"30"}
    tab_to("e.tagName === 'BUTTON' && e.textContent.startsWith('Raw win rate')")
    page.keyboard.press("Enter")
    assert page.locator("#board th[aria-sort=descending]").inner_text().startswith("Raw win rate")
    page.keyboard.press("Space")
    assert page.locator("#board th[aria-sort=ascending]").inner_text().startswith("Raw win rate")
    assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") != "none"
    tab_to("e.matches('#board tbody a')")
    name = page.evaluate("() => document.activeElement.textContent")
    page.keyboard.press("Enter")
    page.wait_for_url("**/submission-*.html")
    assert name in page.locator("body").inner_text()
    page.get_by_role("link", name="Leaderboard").press("Enter")
    page.wait_for_url("**/index.html")


def test_links_lead_where_they_say(visit: Any) -> None:
    """From the board to a pair, from the pair to its first submission, to judge and method and back, from file://."""
    watched = visit("index")
    page = watched.page
    page.locator(".pairs-table a").first.click()
    page.wait_for_url("**/compare-*.html")
    who = page.locator(".side.a a").inner_text()
    page.locator(".side.a a").click()
    page.wait_for_url("**/submission-*.html")
    assert who in page.locator("body").inner_text()
    for name in ("Judge", "Method and sources", "Leaderboard"):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        assert page.get_by_role("heading", level=1).is_visible()
    assert watched.wrongdoing() == []


# --- without scripts, on paper, under attack -------------------------------------------------------------------------


def test_without_scripts_everything_is_there(visit: Any) -> None:
    """No filter and no button that would do nothing; rows in order; every slice can be opened and read."""
    page = visit("index", java_script_enabled=False).page
    assert page.locator("th button").count() == 0
    assert not page.locator("[data-filters]").is_visible()
    ranks = [text.split()[0] for text in cells(page, "held-rank")]
    assert ranks == ["1", "2", "3", "4", "5", "6", "–"]
    page.locator("#c0 > summary").click()
    assert page.locator("#c0 tbody tr").first.is_visible()
    other = visit("compare", java_script_enabled=False).page
    other.locator(".prompt > summary").first.click()
    assert other.locator(".prompt .quoted").first.is_visible()


@pytest.mark.parametrize("name", ["index", "compare"])
def test_print_shows_what_is_folded(visit: Any, name: str, shots: Path) -> None:
    """On paper every fold is open, the page white and the filters gone; it prints to a PDF."""
    page = visit(name, color_scheme="dark").page
    page.emulate_media(media="print")
    hidden = "() => [...document.querySelectorAll('details > *')].filter((e) => !e.checkVisibility()).length"
    assert page.evaluate(hidden) == 0
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("[data-filters]").is_visible() if name == "index" else True
    data = page.pdf(path=shots / f"site-{name}.pdf", format="A4")
    assert data.startswith(b"%PDF")


def test_hostile_names_execute_nothing(visit: Any) -> None:
    """Every fold opened, every column sorted, every filter used, on a site whose every text is an attack."""
    for name in ("hostile", "hostile-submission"):
        watched = visit(name)
        page = watched.page
        C.open_all(page)
        for selector in ("th button", ".filters button", "summary"):
            for i in range(page.locator(selector).count()):
                page.locator(selector).nth(i).dispatch_event("click")
        if name == "hostile":
            page.get_by_label("Find").fill("<script>")
        page.mouse.move(300, 400)
        page.mouse.wheel(0, 4000)
        assert watched.wrongdoing() == []
