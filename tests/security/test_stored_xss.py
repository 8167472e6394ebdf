"""Stored cross-site scripting: every payload through every page, in a real browser. Nothing runs, loads or complains."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from markupsafe import Markup

from auditkit.bench.page import render as render_sheet
from auditkit.bench.record import Datasheet
from auditkit.judging.spec import load_judge, to_toml
from auditkit.reports import from_json, render
from auditkit.reports.projections import badge, markdown
from auditkit.reports.stress_html import render_stress
from auditkit.reports.stress_report import stress_from_json

sync_api = pytest.importorskip("playwright.sync_api")

TESTS: Final = Path(__file__).parents[1]
BROWSER: Final = SimpleNamespace(**runpy.run_path(str(TESTS / "browser" / "chromium.py")))
SAMPLE: Final = SimpleNamespace(**runpy.run_path(str(TESTS / "reports" / "sample.py")))

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(BROWSER.CHROMIUM).exists(), reason="there is no Chromium on this machine"),
]

#: Makes every way of running visible, in every frame, before anything of the page is read.
WATCH: Final = """
    window.__pwned = (n) => { (top.__hits ||= []).push(Number(n)); return 'x'; };
    for (const name of ['alert', 'confirm', 'prompt', 'open', 'fetch'])
        window[name] = (...given) => { (top.__hits ||= []).push(name + given[0]); };
"""


@dataclass
class World:
    """A folder of hostile material, and what the commands made of it."""

    folder: Path
    corpus: tuple[str, ...]
    poison: Callable[..., Any]
    command: Callable[..., Any]
    pairs: Path
    made: dict[str, Path] = field(default_factory=dict)
    used: int = 0

    def next(self) -> Iterator[str]:
        """Yield payloads for ever, each page going on where the last one stopped."""
        while True:
            self.used += 1
            yield self.corpus[self.used % len(self.corpus)]

    def write(self, name: str, text: str) -> Path:
        """Write a page."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    # --- through the real commands --------------------------------------------------------------------------------

    def audit(self) -> Path:
        """Recordings whose file, models, prompts, answers, labels and categories are payloads."""
        if "audit" not in self.made:
            self.made["audit"] = self.folder / "audit"
            found = self.command("audit", self.pairs, "--out", self.made["audit"], "--replicates", 50, "--quiet")
            assert found.exit_code in (0, 1, 3), found.output
        return self.made["audit"]

    def certified(self) -> Path:
        """The same from a run folder in a folder of a hostile name, certified, with every projection."""
        if "certified" not in self.made:
            run = self.folder / "<img src=x onerror=__pwned(1)>" / "\"'><svg onload=__pwned(2)>{{7*7}}"
            out = self.folder / "certified"
            found = self.command("convert", self.pairs, run)
            assert found.exit_code == 0, found.output
            exports = [
                w
                for n in ("junit", "sarif", "markdown", "badge")
                for w in (f"--{n}", out / f"x.{n.replace('badge', 'svg')}")
            ]
            found = self.command("certify", run, "--out", out, "--replicates", 50, "--quiet", *exports)
            assert found.exit_code in (0, 1, 3), found.output
            self.made["certified"] = out
        return self.made["certified"]

    def site(self, pattern: str) -> Path:
        """The first page of the site of an audit whose name fits: board, submission, comparison, judge, method."""
        if "site" not in self.made:
            self.made["site"] = self.folder / "site"
            found = self.command("audit", self.pairs, "--site", self.made["site"], "--replicates", 50, "--quiet")
            assert found.exit_code in (0, 1, 3), found.output
        return min(self.made["site"].glob(pattern))

    def paged(self, job: str) -> Path:
        """What `quality` and `compare` write of the same recording."""
        if job not in self.made:
            self.made[job] = self.folder / job
            chosen = () if job == "quality" else ("--submissions", *self.names()[:2])
            found = self.command(job, self.pairs, *chosen, "--out", self.made[job], "--replicates", 50)
            assert found.exit_code in (0, 1, 3), found.output
        return self.made[job]

    def names(self) -> list[str]:
        """Names of the submissions, as the recording has them."""
        return sorted({json.loads(line)["model"] for line in self.pairs.read_text(encoding="utf-8").splitlines()})

    def stress(self) -> Path:
        """A judge file whose every free field is a payload, on pairs of payloads."""
        if "stress" not in self.made:
            pairs = [
                {"id": a, "prompt": b, "right": f"{c} right", "wrong": f"{a} wrong", "category": c}
                for a, b, c in zip(self.corpus[:60:3], self.corpus[60::37], self.corpus[600::23], strict=False)
            ]
            known = self.write("known <b>.jsonl", "".join(json.dumps(p) + "\n" for p in pairs))
            judge = self.write("judge.toml", _hostile_judge(self.corpus))
            out = self.folder / "stress"
            found = self.command(
                "stress", judge, "--model", "simulated/obey?p=0.9", "--prompts", known, "--pairs", 16, "--attack",
                "injection", "--probes", "core", "--out", out, "--quiet",
            )  # fmt: skip
            assert found.exit_code in (0, 1, 3), found.output
            self.made["stress"] = out
        return self.made["stress"]

    def built(self) -> Path:
        """A benchmark built from prompts, categories, sources and licences that are payloads."""
        if "built" not in self.made:
            lines = [
                {
                    "prompt": f"{text} write a function number {i} that must return exactly {i} items about topic{i % 9}",
                    "category": self.corpus[i % 11], "source": self.corpus[i % 13], "license": self.corpus[i % 7], "id": text,
                }
                for i, text in enumerate(self.corpus[::4])
            ]  # fmt: skip
            pool = self.write("pool <i onclick=__pwned(1)>.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
            out = self.folder / "built"
            found = self.command(
                "build", pool, "--out", out, "--clusters", 6, "--per-cluster", 4, "--quiet", "--name", self.corpus[0],
                "--prompt-score", 0, "--cluster-score", 0,
            )  # fmt: skip
            assert found.exit_code == 0, found.output
            self.made["built"] = out
        return self.made["built"]

    # --- every payload in every field of every record --------------------------------------------------------------

    def poisoned(self, make: Callable[[], Any], show: Callable[[Any], str], name: str) -> Path:
        """The page of a record in which every free text is the next payload."""
        if name not in self.made:
            self.made[name] = self.write(name, show(self.poison(make(), self.next())))
        return self.made[name]


def _hostile_judge(corpus: tuple[str, ...]) -> str:
    """Return a judge file with payloads wherever a judge file may hold any text."""
    text = to_toml(load_judge("arena-hard-v0.1"))
    lines = [t for t in corpus if "\n" not in t and "\x00" not in t and t.strip() and t.isascii() and "{" not in t]
    plain = iter(lines[::5])
    text = re.sub(r"^(title|source) = .*$", lambda m: f"{m[1]} = {json.dumps(next(plain))}", text, flags=re.MULTILINE)
    return re.sub(r"^name = .*\n", lambda m: f"{m[0]}notes = {json.dumps([next(plain) for _ in range(40)])}\n", text)


def _markdown_page(text: str) -> str:
    """Return what a reader of Markdown that lets HTML through makes of a text."""
    from markdown_it import MarkdownIt

    return f"<!doctype html><meta charset=utf-8>{MarkdownIt('gfm-like', {'html': True, 'linkify': False}).render(text)}"


#: Every page, by name. A new kind of page is one more line here.
PAGES: Final[Mapping[str, Callable[[World], Path]]] = {
    "audit": lambda w: w.audit() / "report.html",
    "certified report": lambda w: w.certified() / "report.html",
    **{
        f"site {pattern}": lambda w, pattern=pattern: w.site(pattern)  # type: ignore[misc]  # a default binds the loop's value
        for pattern in ("index.html", "submission-*.html", "compare-*.html", "judge.html", "method.html")
    },
    "badge": lambda w: w.certified() / "x.svg",
    "markdown": lambda w: w.write("md.html", _markdown_page((w.certified() / "x.markdown").read_text("utf-8"))),
    "stress": lambda w: w.stress() / "stress.html",
    "quality": lambda w: w.paged("quality") / "quality.html",
    "comparison": lambda w: w.paged("compare") / "compare.html",
    "datasheet": lambda w: w.built() / "datasheet.html",
    "any report": lambda w: w.poisoned(SAMPLE.field, render, "field.html"),
    "any attacked report": lambda w: w.poisoned(lambda: SAMPLE.report(SAMPLE.attacked()), render, "attacked.html"),
    "any report on judges": lambda w: w.poisoned(SAMPLE.judge_test, render, "judge.html"),
    "any audited report": lambda w: w.poisoned(
        lambda: from_json((w.audit() / "report.json").read_text()), render, "audited.html"
    ),
    "any badge": lambda w: w.poisoned(lambda: SAMPLE.report(SAMPLE.null_model()), badge, "any.svg"),
    "any markdown": lambda w: w.poisoned(SAMPLE.field, lambda r: _markdown_page(markdown(r)), "any-md.html"),
    "any stress report": lambda w: w.poisoned(
        lambda: stress_from_json((w.stress() / "stress.json").read_text()), render_stress, "any-stress.html"
    ),
    "any datasheet": lambda w: w.poisoned(lambda: _sheet(w), lambda s: render_sheet(s, Markup("")), "any-sheet.html"),
}


def _sheet(world: World) -> Datasheet:
    from pydantic import TypeAdapter

    text = (world.built() / "datasheet.json").read_text(encoding="utf-8")
    return TypeAdapter(Datasheet).validate_json(text)


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, corpus: tuple[str, ...], poison: Any, command: Any, hostile_pairs: Any
) -> World:
    """The hostile material."""
    folder = tmp_path_factory.mktemp("hostile")
    pairs = hostile_pairs(folder / "<script>__pwned(0)<script>.jsonl")
    return World(folder, corpus, poison, command, pairs)


@pytest.fixture(scope="module")
def context(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A browser's context in which everything that runs is noted."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER.CHROMIUM, args=BROWSER.ARGS)
        context = browser.new_context()
        context.add_init_script(WATCH)
        context.set_default_timeout(10_000)
        yield context
        browser.close()


@dataclass
class Seen:
    """What a page did."""

    dialogs: list[str]
    console: list[str]
    requests: list[str]
    hits: list[object]

    @property
    def everything(self) -> list[object]:
        """All that a page of ours never does."""
        return [*self.dialogs, *self.console, *self.requests, *self.hits]


def _visit(context: Any, path: Path, naive: bool = False) -> Seen:
    """Open a page, open every fold, use everything that can be used, and return what happened."""
    page = context.new_page()
    seen = Seen([], [], [], [])
    page.on("dialog", lambda d: dialog(d))
    page.on("console", lambda m: seen.console.append(m.text))
    page.on("pageerror", lambda e: seen.console.append(str(e)))
    page.on("popup", lambda p: seen.requests.append(p.url))

    def dialog(shown: Any) -> None:
        seen.dialogs.append(shown.message)
        shown.dismiss()

    def route(route: Any) -> None:
        url = route.request.url
        if url == path.as_uri():
            route.continue_()
        else:
            seen.requests.append(url)
            route.abort()

    page.route("**/*", route)
    page.goto(path.as_uri(), wait_until="commit" if naive else "load")
    if naive:
        page.wait_for_function("() => (window.__hits || []).length >= 40")
    else:
        page.evaluate(USE)
        page.wait_for_timeout(50)
    hits = page.evaluate(
        "() => [...(window.__hits || []), document.documentElement.querySelector('[data-pwned]')?.outerHTML]"
    )
    seen.hits = [hit for hit in hits if hit is not None]
    page.close()
    return seen


USE: Final = """() => {
    for (const d of document.querySelectorAll('details')) d.open = true;
    for (const e of [...document.querySelectorAll('*')]) {
        for (const kind of ['mouseover', 'focus', 'focusin', 'pointerenter', 'copy'])
            e.dispatchEvent(new Event(kind, {bubbles: true}));
        if (e.matches('button, a[href^="#"], [onclick]') || (e.href || '').toString().startsWith('javascript'))
            e.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}));
    }
}"""
#: Elements and attributes that no page of ours has, and addresses that none of ours leads to.
FOREIGN: Final = """() => {
    const bad = [];
    const tags = 'img,iframe,object,embed,base,form:not(.filters),input:not([type=search]):not([type=checkbox]),video,audio,frameset,' +
        'portal,math,animate,image,marquee,template,dialog';
    for (const e of document.querySelectorAll(tags)) bad.push(e.outerHTML.slice(0, 120));
    for (const e of document.querySelectorAll('*')) for (const a of e.attributes) {
        if (/^on/i.test(a.name) || a.name === 'srcdoc' || a.name === 'style' && /url|import|expression/i.test(a.value))
            bad.push(`${e.tagName} ${a.name}=${a.value.slice(0, 80)}`);
        if (['href', 'src', 'action', 'formaction', 'xlink:href', 'srcset', 'background', 'poster'].includes(a.name)
            && !/^(#|https:\\/\\/|urn:|[a-z0-9-]+\\.(html|json|csv|toml|parquet)(#|$))/.test(a.value))
            bad.push(`${e.tagName} ${a.name}=${a.value.slice(0, 80)}`);
    }
    return bad;
}"""


def test_there_are_at_least_500_different_payloads(payloads: SimpleNamespace, corpus: tuple[str, ...]) -> None:
    """Different by more than their number, and of every family."""
    assert len({re.sub(r"\d+", "", text) for text in payloads.markup()}) >= 500
    assert len(corpus) >= 1000
    for family in (
        payloads.TEMPLATES,
        payloads.LINKS,
        payloads.CODE,
        payloads.FORMULAS,
        payloads.TERMINAL,
        payloads.UNICODE,
    ):
        assert {text.replace("URL", "http://127.0.0.1:9/0") for text in family} <= set(corpus)


def test_the_payloads_run_where_nothing_is_escaped(context: Any, payloads: SimpleNamespace, tmp_path: Path) -> None:
    """The watch sees them: of every third, in frames without our escaping, many run and many ask for their address."""
    frames = []
    for text in payloads.markup()[::3]:
        held = text.encode("utf-8", "replace").decode().replace("&", "&amp;").replace('"', "&quot;").replace("\x00", "")
        frames.append(f'<iframe srcdoc="{held}"></iframe>')
    path = tmp_path / "naive.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{''.join(frames)}", encoding="utf-8")
    seen = _visit(context, path, naive=True)
    assert len({hit for hit in seen.hits if isinstance(hit, int)}) >= 30
    assert len({url for url in seen.requests if url.startswith("http://127.0.0.1:9/")}) >= 20


@pytest.mark.parametrize("name", PAGES)
def test_no_payload_runs_loads_or_complains(name: str, world: World, context: Any) -> None:
    """No script, no dialog, no change of the page, no word on the console, no request beyond the page itself."""
    seen = _visit(context, PAGES[name](world))
    assert seen.everything == []


@pytest.mark.parametrize("name", [name for name in PAGES if "badge" not in name])
def test_no_payload_becomes_an_element(name: str, world: World, context: Any) -> None:
    """What would be harmless only because the page's policy stops it is not there either."""
    page = context.new_page()
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
    page.goto(PAGES[name](world).as_uri())
    assert page.evaluate(FOREIGN) == []
    assert page.evaluate("() => document.querySelectorAll('script').length") <= 2
    page.close()


@pytest.mark.parametrize("name", ["any report", "any stress report", "any datasheet"])
def test_the_pages_hold_the_payloads(name: str, world: World) -> None:
    """They were there to run: their words stand in the page, escaped."""
    text = PAGES[name](world).read_text(encoding="utf-8")
    assert text.count("127.0.0.1:9/") + text.count("pwned") >= 5
    assert "&lt;" in text


def test_all_payloads_stand_in_some_record(world: World) -> None:
    """The records that are filled text by text go once through the corpus."""
    for name in PAGES:
        PAGES[name](world)
    assert world.used >= len(world.corpus)
