"""The site of the documentation: built strictly, complete, and silent when it is opened from a disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
CONFIG = DOCS / "mkdocs" / "mkdocs.yml"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: Elements whose address a browser loads by itself, unlike a link's.
LOADED = re.compile(
    r"<(?:script|img|iframe|source|link rel=\"(?:stylesheet|preload|preconnect|icon)\")[^>]*?(?:src|href)=\"([^\"]+)\""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it: a broken link, a missing anchor or a page left out is an error."""
    target = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", CONFIG, "-d", target],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_every_page_is_built(site: Path) -> None:
    """Each Markdown file has its page, generators are not published, and no fenced block is left as it was written."""
    pages = {path.relative_to(DOCS).with_suffix(".html").as_posix() for path in DOCS.rglob("*.md")}
    built = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert built == pages | {"404.html"}
    assert not list(site.rglob("*.py"))
    assert [page.name for page in site.rglob("*.html") if "```" in page.read_text(encoding="utf-8")] == []


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    """Scripts, styles, fonts and pictures are all part of the site."""
    for page in site.rglob("*.html"):
        loaded = LOADED.findall(page.read_text(encoding="utf-8"))
        assert loaded
        assert [address for address in loaded if re.match(r"[a-z]+:|//", address)] == []


def test_the_api_reference_holds_the_public_names(site: Path) -> None:
    """Each name of `auditkit` is in the reference, as the object that it is."""
    import auditkit

    pages = "".join(path.read_text(encoding="utf-8") for path in (site / "api").glob("*.html"))
    anchors = set(re.findall(r'id="(auditkit\.[\w.]+)"', pages))
    for name in auditkit.__all__:
        thing = getattr(auditkit, name)
        assert f"{thing.__module__}.{thing.__qualname__}" in anchors


def test_the_navigation_has_the_three_doors() -> None:
    """A page for each user stands first among the tutorials, and the home page leads to each."""
    pages = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["nav"][1]["Tutorials"]
    home = (DOCS / "index.md").read_text(encoding="utf-8")
    for entry in pages:
        (page,) = entry.values()
        assert f"({page})" in home


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.browser
def test_search_works_from_a_disk_without_a_request(site: Path, browser: Any) -> None:
    """Opened as a file, a page searches the whole site; nothing is asked of the network and nothing is complained of."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((site / "api" / "jobs.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("null floor")
    found = page.locator(".md-search-result__link")
    found.first.wait_for(timeout=20_000)
    assert "glossary.html" in found.first.get_attribute("href")
    assert [url for url in asked if not url.startswith("file:")] == []
    assert said == []
    page.close()


@pytest.mark.browser
def test_no_page_is_wider_than_a_phone(site: Path, browser: Any) -> None:
    """Wide tables and long code scroll inside the page; the page itself does not."""
    context = browser.new_context(viewport={"width": 360, "height": 780}, java_script_enabled=False)
    page = context.new_page()
    wide = []
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())  # until styles have loaded
        if page.evaluate("document.documentElement.scrollWidth") > 360:
            wide.append(path.name)
    context.close()
    assert wide == []
