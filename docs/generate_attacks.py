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
        parts += [f"\n## {TITLES[family]}\n\n", "| id | access | gold | what it does | stops it | source |\n"]
        parts += ["| --- | --- | --- | --- | --- | --- |\n", *(f"{row(attack)}\n" for attack in group)]
    return "".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("attacks.md").write_text(page(), encoding="utf-8")
