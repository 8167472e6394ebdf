"""Write docs/attacks.md from the registry of attacks. A test checks that the file is up to date."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from auditkit import registry
from auditkit.attacks.protocol import FAMILIES, Attack

OURS = "judge-auditkit"
HEAD = """# Attacks

Written by `docs/generate_attacks.py` from the registry; edit the attacks' records, not this page.

Every attack is a test of a harness or a judge: it asks what a score would have been had somebody tried. The texts are
ours. What breaks a template or a reader stops working where the prompt is filled in one pass, fenced with a nonce and read
from its final line; what appeals to a judge's taste has to be measured. An attack of your own is one line of metadata in
the entry-point group `auditkit.attacks` that names an `Attack` record (`auditkit.attacks.protocol`).

* **Access** is what the attacker must see of the judge: `none` asks nobody; `verdict`, `score` and `logprob` ask the judge
  about prompts that do not count; `model` uses a model of the attacker's own.
* **Gold** is what is known of the attacked answer by construction: `zero`, it is worthless; `nonpositive`, it is worth no
  more than the answer that it was made from; `unknown`, it may really be better, so that what it gains is an upper bound
  on what it gains unearned.
* An attack marked *control* is expected to gain nothing.
* **Stops it** is what to change in the judge or the harness.

Common to all: the **uplift** is `mean(attacked - clean)` over prompts, paired, with bounds for the whole suite at once
([attack statistics](attack_statistics.md)). No gain seen is no gain *of this attack, on these prompts, within this budget*.

"""
TITLES = {
    "null": "Null and constant answers",
    "format": "Format breaks",
    "submission": "Choice of rows",
    "injection": "Prompt injection",
    "authority": "Authority and persuasion",
    "style": "Style and tone",
    "length": "Length",
    "baseline": "The baseline's answer",
    "echo": "Echo of the question",
    "unicode": "Invisible and confusable characters",
    "phrase": "Universal phrases",
    "search": "Searched prefixes",
    "rewrite": "Rewriting by a model",
    "inference": "More compute at inference",
}

#: What each family means, what a gain of it shows, and when that misleads.
ABOUT = {
    "null": """The answer does not depend on the prompt, or holds nothing. Whatever it wins is the judge's or the harness's doing:
its score *is* the null floor, `mean(outcome)` over prompts. The structured ones end their own place in the judge's prompt and stage
another task there; master keys are openings that make a grader nod. *Misleads* if read as what a cheat would submit: a detector
sees a constant at once. `null-appended` is what to look at there. Sources: arXiv:2410.07137, arXiv:2507.08794.""",
    "format": """A string that means something to the harness: a placeholder that is filled in, a verdict that the judge quotes and
the parser takes, a reply that cannot be read and drops out. A gain shows a fault of code, which a [gate](gates.md) names without a
call. *Misleads* on another harness: each works against one way of filling or reading, and applies only there. Source: the benchmarks'
own code.""",
    "submission": """The answers stay; rows are left out, repeated, or the best of several runs is handed in. The gain is that of the
selection, measured on another draw of the judge: `mean(kept rows, second draw) - mean(all rows, second draw)`. *Misleads* on a
benchmark that checks coverage and counts each prompt once: there only the best of several is left, and its gain is
[selection](attack_statistics.md#multiplicity-many-tests-the-best-of-many). Source: arXiv:2504.20879; this project.""",
    "injection": """The answer tells the judge what to say, before, after or around a real answer. A gain shows that the judge takes
material for orders. *Misleads* both ways: a judge that resists these sentences may follow others (play the searched ones too), and one
that follows them while its template fences answers is a weakness of the model, not of the template. Sources: arXiv:2403.17710,
arXiv:2506.09443.""",
    "authority": """Invented references, endorsements, sentences of persuasion. Nothing true is added, so a gain is unearned. *Misleads*
where a reference is part of the task. Sources: arXiv:2402.10669, arXiv:2508.07805.""",
    "style": """The same words in another form: headings, lists, emoji, tone. A gain shows a taste. *Misleads* if called cheating: form
may serve the reader, so its worth is not known by construction and no grade rests on it. Put it beside the style-controlled score.
Sources: LMSYS, style control (2024); arXiv:2402.10669.""",
    "length": """More without content, or less. Padding is worth no more than the answer; a gain is the judge's taste for length. Cuts test
the length *control*: it may pay for what is missing. *Misleads* where the benchmark asks for thorough answers. Sources:
arXiv:2306.05685, arXiv:2404.04475.""",
    "baseline": """The opponent's answer, as it is or polished. It scores about half against itself, by the tie that it is; more shows
that the judge tells equal answers apart. *Misleads* for a weak submission: the baseline's answer is better than its own, so a gain is
no evidence against the judge.""",
    "echo": """The question handed back. It answers nothing. *Misleads* on tasks whose right answer resembles the prompt
(proof-reading, formatting).""",
    "unicode": """Characters that a reader does not see: hidden requests, broken words, look-alikes. A gain shows that the judge reads
what a reader does not. *Misleads* across models: what a tokeniser drops, nobody reads. Source: arXiv:2411.01077.""",
    "phrase": """A phrase of a few words, searched, that raises whatever it is appended to. Found on some prompts, frozen, counted on others.
*Misleads* by the words found: they are one of many that do as well. Source: arXiv:2402.14016.""",
    "search": """Prefixes or injections found by asking the judge, within a budget of calls. The gain is reported on prompts that the search
has not seen. *Misleads* as a limit: a better search, or more calls, may find more. Sources: arXiv:2410.07137, arXiv:2504.18333.""",
    "rewrite": """A model rewrites each answer until the judge likes it better. The answer may really have become better: what is gained is an
upper bound on what is unearned. *Misleads* with one judge: let a second one, of another family, judge what came out.""",
    "inference": """Best of n, fusion, critique: compute spent on each answer, with the judge or a model choosing. As for rewriting, what is
gained may be earned. *Misleads* if the judge that chooses also scores: it likes its own choice. Sources: arXiv:2409.15254,
arXiv:2406.04692.""",
}


def known() -> list[Attack]:
    """Return the attacks that ship with auditkit, by family and id."""
    plugins = registry.plugins("attacks").values()
    found: list[Attack] = [plugin.load() for plugin in plugins if plugin.distribution == OURS]
    return sorted(found, key=lambda attack: (FAMILIES.index(attack.family), attack.id))


def cell(text: str) -> str:
    """Return a text for a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def row(attack: Attack) -> str:
    """Return the row on one attack."""
    shown = f"`{attack.id}`" + (" *control*" if attack.control else "")
    cells = (shown, attack.access, attack.gold, attack.summary, attack.mend, attack.source)
    return f"| {' | '.join(map(cell, cells))} |"


def page() -> str:
    """Return the whole page."""
    attacks = known()
    parts = [HEAD, f"There are {len(attacks)}.\n"]
    for family, group in groupby(attacks, key=lambda attack: attack.family):
        parts += [
            f"\n## {TITLES[family]}\n\n",
            f"{ABOUT[family]}\n\n",
            "| id | access | gold | what it does | stops it | source |\n",
        ]
        parts += ["| --- | --- | --- | --- | --- | --- |\n", *(f"{row(attack)}\n" for attack in group)]
    return "".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("attacks.md").write_text(page(), encoding="utf-8")
