"""Attacks that search: they ask the judge about search prompts, and are frozen before a prompt that counts is touched."""

from auditkit.attacks.search.injections import ChooseInjection, WriteInjection, handcrafted
from auditkit.attacks.search.phrases import GreedyPhrase, RacingPhrase, perplexity
from auditkit.attacks.search.prefix import PrefixSearch
from auditkit.attacks.search.racing import Arm, race
from auditkit.attacks.search.random_search import RandomSearch
from auditkit.attacks.search.split import Frozen, Split, freeze, split
from auditkit.attacks.search.verdict import VerdictSearch

__all__ = [
    "Arm",
    "ChooseInjection",
    "Frozen",
    "GreedyPhrase",
    "PrefixSearch",
    "RacingPhrase",
    "RandomSearch",
    "Split",
    "VerdictSearch",
    "WriteInjection",
    "freeze",
    "handcrafted",
    "perplexity",
    "race",
    "split",
]
